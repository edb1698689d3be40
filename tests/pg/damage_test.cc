// A file of which one table is damaged: the others arrive whole, that one as far as it can be read, and the
// run does not end as if it were complete.

#include <gtest/gtest.h>

#include <fstream>
#include <iterator>
#include <nlohmann/json.hpp>
#include <string>

#include "support/command.h"
#include "support/conditions.h"
#include "support/query.h"
#include "support/temporary_directory.h"
#include "support/test_server.h"
#include "unit/sqlite_fixture.h"

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

}  // namespace
}  // namespace sluice::testing
