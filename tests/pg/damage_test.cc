// A file of which one table is damaged: the others arrive whole, that one as far as it can be read, and the
// run does not end as if it were complete.

#include <gtest/gtest.h>

#include <fstream>
#include <iterator>
#include <nlohmann/json.hpp>
#include <stdexcept>
#include <string>

#include "support/command.h"
#include "support/conditions.h"
#include "support/query.h"
#include "support/temporary_directory.h"
#include "support/test_server.h"
#include "unit/sqlite_fixture.h"
#include "verify/leaves.h"

namespace sluice::testing {
namespace {

constexpr int kRows = 20'000;

class DamagedTable : public ::testing::Test {
 protected:
  DamagedTable() : target_(shared_test_server().create_database("damage")) {}

  // Three tables of 20,000 rows; `child` refers to `parent`, whose row `id` gets a page of nonsense around
  // it.
  void make_source(int id, const std::string& keys = "id INTEGER PRIMARY KEY") {
    {
      const Writer writer(source_);
      writer.run("CREATE TABLE parent (" + keys + ", v TEXT)");
      writer.run("CREATE TABLE child (id INTEGER PRIMARY KEY, parent REFERENCES parent (id), v TEXT)");
      writer.run("CREATE TABLE other (id INTEGER PRIMARY KEY, v TEXT)");
      writer.run("CREATE INDEX child_v ON child (v)");
      const std::string numbers =
          "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < " +
          std::to_string(kRows) + ") ";
      writer.run("INSERT INTO parent " + numbers + "SELECT i, printf('parent %050d', i) FROM n");
      writer.run("INSERT INTO child " + numbers + "SELECT i, i, printf('child %050d', i) FROM n");
      writer.run("INSERT INTO other " + numbers + "SELECT i, printf('other %050d', i) FROM n");
    }
    std::fstream file(source_, std::ios::in | std::ios::out | std::ios::binary);
    const std::string bytes(std::istreambuf_iterator<char>(file), {});
    char text[80];
    std::snprintf(text, sizeof text, "parent %050d", id);
    const std::size_t row = bytes.find(text);
    ASSERT_NE(row, std::string::npos);
    constexpr std::size_t kPage = 4096;
    // The pointers to its rows.
    file.clear();
    file.seekp(static_cast<std::streamoff>(row / kPage * kPage + 8));
    file << std::string(40, '\xff');
  }

  CommandResult migrate(const std::vector<std::string>& wishes = {}) {
    std::vector<std::string> command = {sluice_program(), "migrate",       source_.string(), target_,
                                        "--range-size",   "300kB",         "--jobs",         "2",
                                        "--report",       report_.string()};
    command.insert(command.end(), wishes.begin(), wishes.end());
    return run_command(command);
  }

  [[nodiscard]] std::string value(const std::string& sql) const { return query_value(target_, sql); }

  TemporaryDirectory folder_;
  const std::filesystem::path source_ = folder_ / "damaged.db";
  const std::filesystem::path report_ = folder_ / "report";
  const std::string target_;
};

TEST_F(DamagedTable, TheOthersArriveWholeWithTheirKeysAndAreVerified) {
  make_source(kRows / 2);
  const CommandResult result = migrate();
  EXPECT_EQ(result.exit_status, 10) << result.err;
  EXPECT_TRUE(contains(result.err, "table parent: ")) << result.err;
  EXPECT_TRUE(contains(result.err, "the last good row has rowid ")) << result.err;
  EXPECT_TRUE(contains(result.err, "1 of 3 tables could not be read to the end")) << result.err;
  for (const std::string table : {"child", "other"}) {
    EXPECT_EQ(value("SELECT count(*) FROM " + table), std::to_string(kRows)) << table;
    EXPECT_EQ(value("SELECT count(*) FROM pg_constraint WHERE contype = 'p' AND conrelid = '" + table +
                    "'::regclass"),
              "1")
        << table;
  }
  EXPECT_EQ(value("SELECT count(*) FROM pg_indexes WHERE indexname = 'child_v'"), "1");
  // Of the damaged one, what whole ranges hold: some before the damage, some behind it, nothing twice, no
  // key.
  const int loaded = std::stoi(value("SELECT count(*) FROM parent"));
  EXPECT_GT(loaded, kRows / 2);
  EXPECT_LT(loaded, kRows);
  EXPECT_EQ(value("SELECT count(DISTINCT id) FROM parent"), std::to_string(loaded));
  EXPECT_EQ(value("SELECT sum(rows_loaded) FROM sluice.work"), std::to_string(2 * kRows + loaded));
  EXPECT_EQ(value("SELECT count(*) FROM pg_constraint WHERE conrelid = 'parent'::regclass"), "0");
  // Whether a foreign key holds, nobody can say.
  EXPECT_EQ(value("SELECT count(*) FROM pg_constraint WHERE contype = 'f' AND conrelid = 'child'::regclass"),
            "0");
  EXPECT_EQ(value("SELECT state FROM sluice.run"), "loading");

  std::ifstream file(report_ / "report.json");
  const nlohmann::json report = nlohmann::json::parse(file);
  EXPECT_EQ(report.at("status"), "failed");
  EXPECT_EQ(report.at("exit_status"), 10);
  EXPECT_EQ(report.at("root"), "");
  for (const nlohmann::json& table : report.at("tables")) {
    const bool whole = table.at("source") != "parent";
    EXPECT_EQ(table.at("verified"), whole) << table;
    EXPECT_EQ(table.at("rows_loaded"), whole ? kRows : loaded) << table;
  }
}

TEST_F(DamagedTable, TheSameCommandEndsTheSameAndDoublesNothing) {
  make_source(3);
  ASSERT_EQ(migrate().exit_status, 10);
  const std::string before = value("SELECT count(*) FROM parent");
  const CommandResult again = migrate();
  EXPECT_EQ(again.exit_status, 10) << again.err;
  EXPECT_TRUE(contains(again.err, "going on with an earlier run")) << again.err;
  EXPECT_EQ(value("SELECT count(*) FROM parent"), before);
  EXPECT_EQ(value("SELECT count(*) FROM child"), std::to_string(kRows));
}

TEST_F(DamagedTable, IsNoticedWithoutVerificationAndWithKeysThatAreNoIntegers) {
  make_source(kRows / 2, "id TEXT PRIMARY KEY");
  const CommandResult result = migrate({"--verify", "none"});
  EXPECT_EQ(result.exit_status, 10) << result.err;
  EXPECT_TRUE(contains(result.err, "table parent: ")) << result.err;
  EXPECT_EQ(value("SELECT count(*) FROM other"), std::to_string(kRows));
}

TEST_F(DamagedTable, ADryRunIsRefused) {
  make_source(kRows / 2);
  const CommandResult result = migrate({"--dry-run"});
  EXPECT_EQ(result.exit_status, 10) << result.err;
  EXPECT_TRUE(contains(result.err, "corrupt")) << result.err;
}

// A key above two pages that is too small: a search for one of the rows behind it on the left page lands on
// the right one, and SQLite says nothing. UTF-16 is read by SQL, since the reader of pages would notice.
class LostBySearching : public DamagedTable {
 protected:
  static constexpr int kMany = 60'000;

  void SetUp() override {
    const Writer writer(source_);
    writer.run("PRAGMA encoding='UTF-16le'; CREATE TABLE t (id INTEGER PRIMARY KEY, v TEXT)");
    writer.run("WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < " +
               std::to_string(kMany) + ") INSERT INTO t SELECT i, printf('row %040d', i) FROM n");
    const CommandResult loaded = run_command({sluice_program(), "migrate", source_.string(), target_});
    ASSERT_EQ(loaded.exit_status, 0) << loaded.err;
  }

  // The key that ends the page with row `id` becomes `id`, so that those behind it are not found. False where
  // it is that already.
  static bool damage_key_after(std::string& bytes, std::int64_t id) {
    constexpr std::size_t kPage = 4096;
    const auto byte = [&](std::size_t at) {
      return static_cast<std::size_t>(static_cast<unsigned char>(bytes[at]));
    };
    std::size_t best = 0;
    std::int64_t best_key = INT64_MAX;
    for (std::size_t page = kPage; page < bytes.size(); page += kPage) {
      if (bytes[page] != 5) continue;  // an interior page of a table
      const std::size_t cells = byte(page + 3) << 8 | byte(page + 4);
      for (std::size_t i = 0; i < cells; ++i) {
        const std::size_t pointer = page + 12 + 2 * i;
        const std::size_t key_at = page + (byte(pointer) << 8 | byte(pointer + 1)) + 4;
        // From 16,384 on, keys have three bytes of seven bits.
        const auto key = static_cast<std::int64_t>((byte(key_at) & 127) << 14 |
                                                   (byte(key_at + 1) & 127) << 7 | byte(key_at + 2));
        if (byte(key_at) < 128 || byte(key_at + 1) < 128 || key < id || key >= best_key) continue;
        best = key_at;
        best_key = key;
      }
    }
    if (best == 0) throw std::runtime_error("no page ends behind row " + std::to_string(id));
    if (best_key == id) return false;
    bytes[best] = static_cast<char>(128 | id >> 14);
    bytes[best + 1] = static_cast<char>(128 | (id >> 7 & 127));
    bytes[best + 2] = static_cast<char>(id & 127);
    return true;
  }

  CommandResult verify(const std::vector<std::string>& wishes) {
    std::vector<std::string> command = {sluice_program(), "verify", source_.string(), target_, "--scan"};
    command.insert(command.end(), wishes.begin(), wishes.end());
    return run_command(command);
  }
};

TEST_F(LostBySearching, RowsOfTheSourceAreNotCalledTooManyInTheTarget) {
  put_bytes(folder_ / "ranges.toml", "[tables.t]\nrange-size = \"64kB\"\n");
  const std::vector<std::string> in_ranges = {"--config", (folder_ / "ranges.toml").string()};
  ASSERT_EQ(verify(in_ranges).exit_status, 0);
  // Ranges are cut at keys above pages, so that the search for the next one begins right behind one of these.
  std::string bytes = bytes_of(source_);
  for (std::int64_t id = 30'000; id < 50'000; id += 90) damage_key_after(bytes, id);
  put_bytes(source_, bytes);
  const CommandResult result = verify(in_ranges);
  EXPECT_EQ(result.exit_status, 10) << result.out << result.err;
  EXPECT_TRUE(contains(result.err, "its rows are not in order")) << result.err;
  EXPECT_EQ(result.out, "");
}

TEST_F(LostBySearching, RowsOfTheTargetAreNotDeletedByARepair) {
  // Read as a whole, every row is there. A repair searches for the leaf.
  std::int64_t end_of_leaf = 17'000;
  std::string bytes = bytes_of(source_);
  while (!cuts_after(end_of_leaf) || !damage_key_after(bytes, end_of_leaf)) ++end_of_leaf;
  put_bytes(source_, bytes);
  ASSERT_EQ(verify({}).exit_status, 0);
  const std::string behind = std::to_string(end_of_leaf + 1);
  execute(target_,
          "UPDATE t SET v = 'changed' WHERE id = (SELECT min(id) + 200 FROM t WHERE id >= " + behind + ")");
  for (const std::vector<std::string>& wishes : {std::vector<std::string>{}, {"--repair"}}) {
    const CommandResult result = verify(wishes);
    EXPECT_EQ(result.exit_status, 10) << result.out << result.err;
    EXPECT_TRUE(contains(result.err, "its rows are not found again by their keys")) << result.err;
    EXPECT_EQ(value("SELECT count(*) FROM t"), std::to_string(kMany));
  }
}

}  // namespace
}  // namespace sluice::testing
