#include "datasets/dataset.h"

#include <array>
#include <stdexcept>
#include <system_error>

#include "datasets/kinds.h"

namespace sluice::datasets {

namespace {

// Beyond any disk we have, and far enough from 2^63 that key arithmetic need not think about it.
constexpr std::uint64_t kRowsMax = 1'000'000'000'000;

// Bump when the bytes made from the same options change on purpose.
constexpr int kGeneratorVersion = 1;

constexpr std::array kKinds = {
    DatasetKind{"panel", "hosting panel, Laravel conventions: servers, sites, users, audit_logs", 10'000,
                generate_panel},
    DatasetKind{"workspace", "Prisma names, files as Base64 text, join table, text keys", 10'000,
                generate_workspace},
    DatasetKind{"objectstore", "buckets, files, share tokens; UUID keys, sizes, expiry times", 10'000,
                generate_objectstore},
    DatasetKind{"service", "events with JSON and zoned times, WITHOUT ROWID counters, blobs", 10'000,
                generate_service},
    DatasetKind{"marketplace", "Prisma names, eight tables, decimals, DESC and composite indexes", 10'000,
                generate_marketplace},
    DatasetKind{"three_tables", "the reference load: customers, orders, events as 1:5:5", 100'000,
                generate_three_tables},
    DatasetKind{"narrow", "a key and two integers", 100'000, generate_narrow},
    DatasetKind{"wide", "100 columns of eleven types", 100'000, generate_wide},
    DatasetKind{"big_values", "blobs and texts of 100 kB to 1 MB", 200, generate_big_values},
    DatasetKind{"skewed_rows", "the last 1 % of the rows hold 100 kB to 1 MB each", 10'000,
                generate_skewed_rows},
    DatasetKind{"sparse_keys", "dense keys with one at 2^62; keys in runs with gaps", 100'000,
                generate_sparse_keys},
    DatasetKind{"negative_keys", "keys at both ends of int64, around zero and far from it", 100'000,
                generate_negative_keys},
    DatasetKind{"dense_corner", "90 % of the rows in 1 % of the key space", 100'000, generate_dense_corner},
    DatasetKind{"text_keys", "WITHOUT ROWID: random text key; (text, integer) key", 100'000,
                generate_text_keys},
    DatasetKind{"no_key", "no key at all, a third of the rows are duplicates", 100'000, generate_no_key},
    DatasetKind{"mixed_classes", "every 1000th row has a value its declared type cannot hold", 100'000,
                generate_mixed_classes},
};

std::filesystem::path with_suffix(std::filesystem::path path, std::string_view suffix) {
  return path += suffix;
}

}  // namespace

std::span<const DatasetKind> kinds() { return kKinds; }

const DatasetKind& find_kind(std::string_view name) {
  std::string known;
  for (const DatasetKind& kind : kKinds) {
    if (kind.name == name) return kind;
    known += known.empty() ? "" : ", ";
    known += kind.name;
  }
  throw std::runtime_error("unknown kind '" + std::string(name) + "'; the kinds are: " + known);
}

void generate(std::string_view kind_name, const std::filesystem::path& file,
              const GeneratorOptions& given_options) {
  const DatasetKind& kind = find_kind(kind_name);
  GeneratorOptions options = given_options;
  if (options.rows == 0) options.rows = kind.default_rows;
  if (options.rows > kRowsMax) {
    throw std::runtime_error("more than " + std::to_string(kRowsMax) + " rows are not supported");
  }
  const std::filesystem::path directory = file.has_parent_path() ? file.parent_path() : ".";
  if (!std::filesystem::is_directory(directory)) {
    throw std::runtime_error("there is no directory " + directory.string());
  }
  if (std::filesystem::is_directory(file)) {
    throw std::runtime_error(file.string() + " is a directory");
  }
  if (!options.force && std::filesystem::exists(std::filesystem::symlink_status(file))) {
    throw std::runtime_error(file.string() + " exists; say --force to replace it");
  }

  const std::filesystem::path partial = with_suffix(file, ".partial");
  std::filesystem::remove(partial);
  try {
    Database database = Database::create(partial);
    // 0x736c7569 is "slui" in ASCII.
    database.run("BEGIN; PRAGMA application_id = 0x736c7569; PRAGMA user_version = " +
                 std::to_string(kGeneratorVersion));
    kind.generate(database, options);
    database.run("COMMIT");
  } catch (...) {
    std::error_code ignored;  // the first failure is the one to report
    std::filesystem::remove(partial, ignored);
    throw;
  }
  // SQLite would play an old file's write-ahead log or journal into the new one.
  for (const std::string_view suffix : {"-journal", "-wal", "-shm"}) {
    std::filesystem::remove(with_suffix(file, suffix));
  }
  std::filesystem::rename(partial, file);
}

std::vector<TableRows> count_rows(const std::filesystem::path& file) {
  const Database database = Database::open(file);
  std::vector<TableRows> result;
  for (const std::string& table : database.texts("SELECT name FROM sqlite_schema WHERE type = 'table' AND "
                                                 "name NOT LIKE 'sqlite~_%' ESCAPE '~' ORDER BY rowid")) {
    result.push_back({table, database.integer("SELECT count(*) FROM \"" + table + "\"")});
  }
  return result;
}

}  // namespace sluice::datasets
