#include <gtest/gtest.h>

#include <array>
#include <cstdint>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <limits>
#include <map>
#include <set>
#include <span>
#include <stdexcept>
#include <string>
#include <string_view>
#include <system_error>
#include <vector>

#include "datasets/database.h"
#include "datasets/dataset.h"
#include "datasets/random.h"
#include "datasets/values.h"

namespace sluice::datasets {
namespace {

constexpr std::array kCorpora = {"panel", "workspace", "objectstore", "service", "marketplace"};
constexpr std::int64_t kSmallest = std::numeric_limits<std::int64_t>::min();
constexpr std::int64_t kLargest = std::numeric_limits<std::int64_t>::max();

class Datasets : public testing::Test {
 protected:
  Datasets() {
    std::string pattern = (std::filesystem::temp_directory_path() / "datasets_test.XXXXXX").string();
    if (mkdtemp(pattern.data()) == nullptr) throw std::runtime_error("mkdtemp failed");
    folder_ = pattern;
  }
  ~Datasets() override {
    std::error_code ignored;
    std::filesystem::remove_all(folder_, ignored);
  }

  std::filesystem::path make(std::string_view kind, GeneratorOptions options,
                             const std::string& name = "data.db") {
    options.force = true;
    generate(kind, folder_ / name, options);
    return folder_ / name;
  }
  Database made(std::string_view kind, std::uint64_t rows) {
    return Database::open(make(kind, {.rows = rows}));
  }

  std::filesystem::path folder_;
};

std::string bytes_of(const std::filesystem::path& file) {
  std::ifstream stream(file, std::ios::binary);
  return {std::istreambuf_iterator<char>(stream), {}};
}

std::uint64_t rows_in(const std::filesystem::path& file) {
  std::uint64_t total = 0;
  for (const TableRows& table : count_rows(file)) total += static_cast<std::uint64_t>(table.rows);
  return total;
}

// Enough rows to reach every branch that matters, few enough for kinds with megabytes per row.
std::uint64_t few_rows(std::string_view kind) { return kind == "big_values" ? 4 : kind == "wide" ? 50 : 300; }

std::string complaint(const auto& action) {
  try {
    action();
  } catch (const std::runtime_error& error) {
    return error.what();
  }
  return "no complaint";
}

TEST_F(Datasets, TheSameSeedGivesTheSameBytesAndAnotherSeedOthers) {
  for (const DatasetKind& kind : kinds()) {
    const std::uint64_t rows = few_rows(kind.name);
    const std::string first = bytes_of(make(kind.name, {.rows = rows, .seed = 7}, "first.db"));
    const std::string again = bytes_of(make(kind.name, {.rows = rows, .seed = 7}, "again.db"));
    const std::string other = bytes_of(make(kind.name, {.rows = rows, .seed = 8}, "other.db"));
    // Not EXPECT_EQ, which would print the files.
    EXPECT_TRUE(first == again) << kind.name;
    EXPECT_FALSE(first == other) << kind.name;
  }
}

TEST_F(Datasets, RowCountsFollowTheOption) {
  for (const DatasetKind& kind : kinds()) {
    for (const std::uint64_t rows : {few_rows(kind.name), few_rows(kind.name) * 2 + 1}) {
      EXPECT_EQ(rows_in(make(kind.name, {.rows = rows})), rows) << kind.name;
    }
  }
}

TEST_F(Datasets, OneRowIsEnoughForEveryKind) {
  for (const DatasetKind& kind : kinds()) {
    const std::filesystem::path file = make(kind.name, {.rows = 1});
    for (const TableRows& table : count_rows(file))
      EXPECT_EQ(table.rows, 1) << kind.name << " " << table.table;
    EXPECT_EQ(Database::open(file).texts("PRAGMA foreign_key_check").size(), 0u) << kind.name;
  }
}

TEST_F(Datasets, EachCorpusHasAboutTenThousandRowsAndIsSound) {
  for (const char* kind : kCorpora) {
    const std::filesystem::path file = make(kind, {});
    EXPECT_GE(rows_in(file), 9'000u) << kind;
    EXPECT_LE(rows_in(file), 11'000u) << kind;
    EXPECT_LT(std::filesystem::file_size(file), 25'000'000u) << kind;
    const Database database = Database::open(file);
    EXPECT_EQ(database.texts("PRAGMA integrity_check"), std::vector<std::string>{"ok"}) << kind;
    EXPECT_EQ(database.texts("PRAGMA foreign_key_check").size(), 0u) << kind;
  }
}

// What a value of a column must satisfy, given the first word of the column's declared type.
std::string intent_of(const std::string& type) {
  static const std::map<std::string, std::string> kIntents = {
      {"INTEGER", "typeof(v) = 'integer'"},
      {"INT", "typeof(v) = 'integer'"},
      {"BIGINT", "typeof(v) = 'integer'"},
      {"SMALLINT", "typeof(v) = 'integer' AND abs(v) < 32768"},
      {"TINYINT", "typeof(v) = 'integer' AND abs(v) < 128"},
      {"BOOLEAN", "typeof(v) = 'integer' AND v IN (0, 1)"},
      {"REAL", "typeof(v) = 'real'"},
      {"DOUBLE", "typeof(v) = 'real'"},
      {"DECIMAL", "typeof(v) IN ('integer', 'real') AND round(v, 4) = v"},
      {"NUMERIC", "typeof(v) IN ('integer', 'real') AND round(v, 2) = v"},
      {"TEXT", "typeof(v) = 'text' AND instr(v, char(0)) = 0"},
      {"VARCHAR", "typeof(v) = 'text' AND instr(v, char(0)) = 0 AND length(v) <= 255"},
      {"CHAR", "typeof(v) = 'text' AND length(v) IN (20, 64)"},
      {"BLOB", "typeof(v) = 'blob'"},
      // The modifier makes SQLite normalize: without it date('2023-02-29') is '2023-02-29'.
      {"DATE", "typeof(v) = 'text' AND date(v, '+0 days') = v"},
      {"DATETIME",
       "typeof(v) = 'text' AND datetime(substr(v, 1, 19), '+0 days') = substr(replace(v, 'T', ' '), 1, 19) "
       "AND "
       "(length(v) = 19 OR (length(v) BETWEEN 21 AND 26 AND substr(v, 20, 1) = '.' AND "
       "substr(v, 21) NOT GLOB '*[^0-9]*'))"},
      {"TIMESTAMPTZ",
       "typeof(v) = 'text' AND datetime(v) IS NOT NULL AND "
       "(v LIKE '%Z' OR (substr(v, -6, 1) IN ('+', '-') AND substr(v, -3, 1) = ':'))"},
      {"JSON", "typeof(v) = 'text' AND json_valid(v) AND json_type(v) = 'object'"},
      {"UUID",
       "typeof(v) = 'text' AND v LIKE '________-____-4___-____-____________' AND "
       "length(replace(v, '-', '')) = 32 AND replace(v, '-', '') NOT GLOB '*[^0-9a-f]*'"},
  };
  const std::string word = type.substr(0, type.find_first_of(" ("));
  return kIntents.at(word == "TIMESTAMP" ? "DATETIME" : word);
}

TEST_F(Datasets, EveryValueOfACorpusFitsTheDeclaredIntentOfItsColumn) {
  for (const char* kind : kCorpora) {
    const std::filesystem::path file = make(kind, {});
    const Database database = Database::open(file);
    for (const TableRows& table : count_rows(file)) {
      const std::string columns = " FROM pragma_table_info('" + table.table + "') ORDER BY cid";
      const std::vector<std::string> names = database.texts("SELECT name" + columns);
      const std::vector<std::string> types = database.texts("SELECT upper(type)" + columns);
      for (std::size_t column = 0; column < names.size(); ++column) {
        const std::string misfits = "SELECT count(*) FROM (SELECT \"" + names[column] + "\" AS v FROM \"" +
                                    table.table + "\") WHERE v IS NOT NULL AND NOT (" +
                                    intent_of(types[column]) + ")";
        EXPECT_EQ(database.integer(misfits), 0) << kind << " " << table.table << "." << names[column];
      }
    }
  }
}

TEST_F(Datasets, CorporaHoldTheEndsOfTheirTypesAndBothEmptyTextAndNull) {
  const Database service = made("service", 10'000);
  EXPECT_EQ(service.integer("SELECT min(clock_ns) FROM events"), kSmallest);
  EXPECT_EQ(service.integer("SELECT max(clock_ns) FROM events"), kLargest);
  EXPECT_EQ(service.integer("SELECT count(*) FROM events WHERE measurement = 1e308"), 1);
  EXPECT_EQ(service.integer("SELECT count(*) FROM events WHERE measurement > 0 AND measurement < 1e-320"), 1);
  EXPECT_GT(service.integer("SELECT count(*) FROM events WHERE message = ''"), 0);
  EXPECT_GT(service.integer("SELECT count(*) FROM events WHERE message IS NULL"), 0);
  EXPECT_GT(service.integer("SELECT count(*) FROM captures WHERE length(content) = 0"), 0);
  EXPECT_GT(service.integer("SELECT count(*) FROM captures WHERE content IS NULL"), 0);
}

TEST_F(Datasets, FilesOfTheWorkspaceAreBase64OfTheSizeTheyClaim) {
  const Database workspace = made("workspace", 1'000);
  EXPECT_GT(workspace.integer("SELECT count(*) FROM File"), 100);
  EXPECT_EQ(workspace.integer("SELECT count(*) FROM File WHERE length(data) <> (size + 2) / 3 * 4 OR "
                              "rtrim(data, '=') GLOB '*[^A-Za-z0-9+/]*'"),
            0);
}

TEST_F(Datasets, KeyShapesReachTheKeysTheyPromise) {
  const Database sparse = made("sparse_keys", 2'000);
  EXPECT_EQ(sparse.integer("SELECT max(id) FROM far_key"), std::int64_t{1} << 62);
  EXPECT_EQ(sparse.integer("SELECT max(id) FROM far_key WHERE id < 1000000"), 999);
  EXPECT_EQ(sparse.integer("SELECT count(*) FROM far_key"), 1'000);
  EXPECT_GT(sparse.integer("SELECT max(id) FROM gaps"), 1'000);

  const Database negative = made("negative_keys", 2'000);
  EXPECT_EQ(negative.integer("SELECT min(id) FROM ends"), kSmallest);
  EXPECT_EQ(negative.integer("SELECT max(id) FROM ends"), kLargest);
  EXPECT_EQ(negative.integer("SELECT count(*) FROM ends WHERE id BETWEEN -500 AND 499"), 1'000);
  EXPECT_EQ(negative.integer("SELECT count(*) FROM ends WHERE id < -4611686018427387904"), 500);

  const Database corner = made("dense_corner", 2'000);
  EXPECT_EQ(corner.integer("SELECT min(id) FROM crowd"), 1);
  EXPECT_EQ(corner.integer("SELECT max(id) FROM crowd"), 200'000);
  EXPECT_EQ(corner.integer("SELECT count(*) FROM crowd WHERE id >= 140000 AND id < 142000"), 1'800);
}

TEST_F(Datasets, LargeRowsAreWhereTheirKindSays) {
  const Database skewed = made("skewed_rows", 300);
  EXPECT_EQ(skewed.integer("SELECT count(*) FROM attachments WHERE length(content) >= 100000"), 3);
  EXPECT_EQ(skewed.integer("SELECT min(id) FROM attachments WHERE length(content) >= 100000"), 298);
  const Database big = made("big_values", 4);
  EXPECT_EQ(
      big.integer(
          "SELECT count(*) FROM documents WHERE length(coalesce(body, content)) BETWEEN 100000 AND 1000000"),
      4);
  EXPECT_EQ(made("wide", 1).integer("SELECT count(*) FROM pragma_table_info('measurements')"), 100);
}

TEST_F(Datasets, TablesWithoutAKeyHoldExactDuplicates) {
  const Database database = made("no_key", 300);
  EXPECT_EQ(database.integer("SELECT count(*) FROM log") -
                database.integer("SELECT count(*) FROM (SELECT DISTINCT level, message, logged_at FROM log)"),
            100);
}

TEST_F(Datasets, EveryThousandthRowOfMixedClassesHoldsOneMisfit) {
  constexpr std::uint64_t kRows = 20'500;
  const Database database = made("mixed_classes", kRows);
  const std::string misfits = R"sql(
      (typeof(whole) <> 'integer') + (typeof(measure) <> 'real') + (typeof(label) <> 'text') +
      (typeof(label) = 'text' AND (instr(label, char(0)) > 0 OR hex(label) LIKE '%636166E9')) +
      (flag NOT IN (0, 1)) + (typeof(amount) = 'text') + (date(day, '+0 days') IS NOT day) +
      (datetime(moment, '+0 days') IS NOT moment) + (zoned NOT LIKE '%Z' AND zoned NOT LIKE '%+02:00') +
      (NOT json_valid(payload)) + (length(identifier) <> 36) + (typeof(content) <> 'blob')
  )sql";
  EXPECT_EQ(database.integer("SELECT sum(" + misfits + ") FROM samples"),
            static_cast<std::int64_t>(misfit_rows(kRows)));
  EXPECT_EQ(database.integer("SELECT count(*) FROM samples WHERE id % 1000 = 0 AND (" + misfits + ") = 1"),
            static_cast<std::int64_t>(misfit_rows(kRows)));
}

TEST_F(Datasets, AnUnknownKindIsAnsweredWithTheListOfKinds) {
  const std::string message = complaint([&] { generate("pannel", folder_ / "data.db", {}); });
  for (const DatasetKind& kind : kinds()) EXPECT_NE(message.find(kind.name), std::string::npos) << message;
}

TEST_F(Datasets, AnExistingFileIsReplacedOnlyByForce) {
  const std::filesystem::path file = folder_ / "data.db";
  std::ofstream(file) << "precious";
  std::ofstream(folder_ / "data.db-wal") << "left over";
  const std::string message = complaint([&] { generate("narrow", file, {.rows = 5}); });
  EXPECT_NE(message.find("--force"), std::string::npos) << message;
  EXPECT_EQ(bytes_of(file), "precious");

  generate("narrow", file, {.rows = 5, .force = true});
  EXPECT_EQ(rows_in(file), 5u);
  EXPECT_FALSE(std::filesystem::exists(folder_ / "data.db-wal"));
}

TEST_F(Datasets, AMissingDirectoryIsNamed) {
  const std::string message = complaint([&] { generate("narrow", folder_ / "nowhere" / "data.db", {}); });
  EXPECT_NE(message.find("nowhere"), std::string::npos) << message;
}

TEST_F(Datasets, TheRandomNumbersAreThoseOfTheirReference) {
  // Computed with the published algorithms in another language: these numbers are in every file we make.
  Random random(1, "stream");
  EXPECT_EQ(random.next(), 0x08a28745205cc523u);
  EXPECT_EQ(random.next(), 0xd73e8b8cff0ed867u);
  EXPECT_EQ(random.next(), 0x8004af7f02742b13u);
  EXPECT_NE(Random(2, "stream").next(), Random(1, "stream").next());
  EXPECT_NE(Random(1, "other").next(), Random(1, "stream").next());

  std::set<std::int64_t> seen;
  for (int draw = 0; draw < 1'000; ++draw) seen.insert(random.between(-2, 2));
  EXPECT_EQ(seen, (std::set<std::int64_t>{-2, -1, 0, 1, 2}));
}

TEST_F(Datasets, ValuesHaveTheFormsTheyPromise) {
  EXPECT_EQ(date_time(kEpoch), "2024-01-01 00:00:00");
  EXPECT_EQ(date_time_milliseconds(kEpoch + 59 * kDay + 86'399, 7, 'T'), "2024-02-29T23:59:59.007");
  EXPECT_EQ(date(kEpoch + 366 * kDay), "2025-01-01");
  const auto encoded = [](std::string_view text) { return base64(std::as_bytes(std::span(text))); };
  EXPECT_EQ(encoded(""), "");
  EXPECT_EQ(encoded("f"), "Zg==");
  EXPECT_EQ(encoded("fo"), "Zm8=");
  EXPECT_EQ(encoded("foobar"), "Zm9vYmFy");
  EXPECT_EQ(json_text("a\"\\\n\x01"), "\"a\\\"\\\\\\n\\u0001\"");
  EXPECT_EQ(JsonObject().decimal("a", 105).integer("b", -1).done(), "{\"a\":1.05,\"b\":-1}");
}

}  // namespace
}  // namespace sluice::datasets
