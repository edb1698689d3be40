#pragma once

#include <cstdint>
#include <filesystem>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace sluice::datasets {

class Database;

struct GeneratorOptions {
  // Rows over all tables of the kind; 0 stands for the kind's default. A kind with several tables gives
  // each at least one row.
  std::uint64_t rows = 0;

  // Another seed, other values in the same shape.
  std::uint64_t seed = 1;

  // Replace an existing file, and its leftover -journal, -wal and -shm. We refuse otherwise: the name may
  // be that of somebody's real database.
  bool force = false;
};

// Makes one kind of database. `generate` fills an empty database inside an open transaction; it receives
// options with `rows` already resolved.
struct DatasetKind {
  std::string_view name;
  std::string_view summary;
  std::uint64_t default_rows;
  void (*generate)(Database& database, const GeneratorOptions& options);
};

// Every kind there is: first the application corpora, then the shapes.
std::span<const DatasetKind> kinds();

// The kind of that name. Throws std::runtime_error listing the kinds if there is none.
const DatasetKind& find_kind(std::string_view name);

// Writes the file. The same kind, rows and seed give the same bytes whatever the time, the locale and the
// machine, with one version of the SQLite library (which writes its version number into the header).
//
// The file appears under its name only when it is complete; until then it is FILE.partial beside it.
// Throws std::runtime_error: unknown kind, too many rows, file exists, directory missing, or what SQLite
// says (a full disk).
void generate(std::string_view kind, const std::filesystem::path& file, const GeneratorOptions& options);

struct TableRows {
  std::string table;
  std::int64_t rows = 0;
};

// What a file holds, in the order its tables were created.
std::vector<TableRows> count_rows(const std::filesystem::path& file);

// How many rows of kind `mixed_classes` hold a value that does not fit its column's declared type: each
// row whose id is a multiple of 1000, one value in each.
constexpr std::uint64_t misfit_rows(std::uint64_t rows) { return rows / 1000; }

}  // namespace sluice::datasets
