// Tables that are one range: they arrive frozen, and past the write-ahead log where the server allows it,
// unless somebody else has to do with them already.

#include <gtest/gtest.h>

#include <chrono>
#include <filesystem>
#include <nlohmann/json.hpp>
#include <string>
#include <thread>
#include <vector>

#include "io/postgres/connection.h"
#include "support/command.h"
#include "support/conditions.h"
#include "support/query.h"
#include "support/temporary_directory.h"
#include "support/test_server.h"
#include "unit/sqlite_fixture.h"

namespace sluice {
namespace {

namespace fs = std::filesystem;
using namespace std::chrono_literals;
using Json = nlohmann::json;
using testing::begin_until;
using testing::query_value;
using testing::RunningCommand;
using testing::shared_test_server;
using testing::TemporaryDirectory;
using testing::wait_until;

// 20 MB in one range, or in many of 3 MB; `small` is always one, and large enough to be worth a file of its
// own.
void make_tables(const fs::path& file) {
  testing::Writer(file).run(
      "CREATE TABLE large (id INTEGER PRIMARY KEY, x TEXT);"
      "CREATE TABLE small (id INTEGER PRIMARY KEY, x TEXT);"
      "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 100000)"
      "INSERT INTO large SELECT i, printf('%0200d', i) FROM n;"
      "INSERT INTO small SELECT * FROM large WHERE id <= 12000");
}

class Freeze : public ::testing::Test {
 protected:
  Freeze() : name_(::testing::UnitTest::GetInstance()->current_test_info()->name()) { make_tables(file()); }

  [[nodiscard]] fs::path file() const { return folder_ / "source.db"; }

  [[nodiscard]] std::vector<std::string> command(const std::string& conninfo,
                                                 const std::string& range_size) const {
    return {testing::sluice_program(),
            "migrate",
            file().string(),
            conninfo,
            "--jobs",
            "1",
            "--range-size",
            range_size,
            "--report",
            (folder_ / "report").string(),
            "--progress",
            "none"};
  }

  [[nodiscard]] Json report() const { return Json::parse(std::ifstream(folder_ / "report" / "report.json")); }

  TemporaryDirectory folder_;
  const std::string name_;
};

// ANALYZE counts the pages that the visibility map has; 3 of `small` may be the last ones of a COPY.
std::string visible(const std::string& conninfo, const std::string& table) {
  return query_value(
      conninfo, "SELECT relallvisible || ' of ' || relpages FROM pg_class WHERE relname = '" + table + "'");
}

std::string pages(const std::string& conninfo, const std::string& table) {
  const std::string count =
      query_value(conninfo, "SELECT relpages FROM pg_class WHERE relname = '" + table + "'");
  return count + " of " + count;
}

TEST_F(Freeze, RowsOfATableOfOneRangeArriveFrozen) {
  const std::string conninfo = shared_test_server().create_database("frozen");
  // Or autovacuum could look at the pages of `large` as well.
  testing::execute(conninfo, "ALTER DATABASE frozen SET track_counts = off");
  const testing::CommandResult result = testing::run_command(command(conninfo, "3M"));
  ASSERT_EQ(result.exit_status, 0) << result.err;
  EXPECT_EQ(visible(conninfo, "small"), pages(conninfo, "small"));
  EXPECT_TRUE(visible(conninfo, "large").starts_with("0 of ")) << visible(conninfo, "large");
  EXPECT_EQ(report()["explain"]["tables_frozen"], 1);
  EXPECT_EQ(query_value(conninfo, "SELECT count(*) FROM small"), "12000");
}

TEST_F(Freeze, NeitherLockNorRowsOfOthersAreInTheWay) {
  const std::string conninfo = shared_test_server().create_database("frozen_not");
  RunningCommand migrate = begin_until(command(conninfo, "3M"), "after claim:1:stop");
  // Somebody who looks at a new table at once, and keeps looking.
  Connection watcher(conninfo);
  watcher.execute("BEGIN; LOCK TABLE public.small IN ACCESS SHARE MODE");
  const auto rows = [&] { return watcher.execute("SELECT count(*) FROM public.small").text(0, 0); };
  ASSERT_EQ(rows(), "0") << "came too late";
  migrate.send(SIGCONT);
  // The rows come all the same; only the keys wait for whoever looks.
  ASSERT_TRUE(wait_until([&] { return rows() == "12000"; }));
  watcher.execute("COMMIT");
  const testing::CommandResult result = migrate.wait();
  ASSERT_EQ(result.exit_status, 0) << result.err;
  EXPECT_EQ(report()["explain"]["tables_frozen"], 0);
  EXPECT_EQ(query_value(conninfo, "SELECT count(*) FROM small"), "12000");
}

// Rows of somebody else are neither deleted nor added to: they could be ours, from a dump that has no ledger
// row of them, because frozen rows are seen by snapshots that are older.
TEST_F(Freeze, RowsOfOthersStopTheRunAndStay) {
  const std::string conninfo = shared_test_server().create_database("frozen_rows");
  RunningCommand migrate = begin_until(command(conninfo, "3M"), "after claim:1:stop");
  Connection stranger(conninfo);
  stranger.execute("INSERT INTO public.small VALUES (-5, 'mine')");
  migrate.send(SIGCONT);
  const testing::CommandResult result = migrate.wait();
  EXPECT_EQ(result.exit_status, 20) << result.err;
  EXPECT_NE(result.err.find("holds rows of somebody else"), std::string::npos) << result.err;
  EXPECT_EQ(query_value(conninfo, "SELECT count(*) || ' ' || min(x) FROM small"), "1 mine");

  stranger.execute("TRUNCATE public.small");
  const testing::CommandResult again = testing::run_command(command(conninfo, "3M"));
  EXPECT_EQ(again.exit_status, 0) << again.err;
  EXPECT_EQ(query_value(conninfo, "SELECT count(*) FROM small"), "12000");
}

// Whoever follows the changes of this database must not be told to empty a table.
TEST_F(Freeze, LogicalLogsGetNoTruncate) {
  testing::TestServerOptions options;
  options.settings = {{"wal_level", "logical"}};
  testing::TestServer server(options);
  const testing::CommandResult result = testing::run_command(command(server.conninfo(), "1G"));
  ASSERT_EQ(result.exit_status, 0) << result.err;
  EXPECT_EQ(report()["explain"]["tables_frozen"], 0);
}

TEST_F(Freeze, MinimalLogsTakeNothingOfTablesOfOneRange) {
  testing::TestServerOptions options;
  options.settings = {{"wal_level", "minimal"}, {"max_wal_senders", "0"}, {"fsync", "on"}};
  testing::TestServer server(options);
  const std::string one = server.create_database("one_range");
  testing::CommandResult result = testing::run_command(command(one, "1G"));
  ASSERT_EQ(result.exit_status, 0) << result.err;
  const Json report_of_one = report();
  EXPECT_EQ(report_of_one["explain"]["wal_level"], "minimal");
  EXPECT_EQ(report_of_one["explain"]["tables_frozen"], 2);
  EXPECT_NE(result.out.find("2 tables loaded frozen, past the log where"), std::string::npos) << result.out;

  const std::string many = server.create_database("many_ranges");
  result = testing::run_command(command(many, "3M"));
  ASSERT_EQ(result.exit_status, 0) << result.err;
  const auto logged = report()["explain"]["wal_bytes"].get<std::uint64_t>();
  const auto skipped = report_of_one["explain"]["wal_bytes"].get<std::uint64_t>();
  EXPECT_GT(logged, 20'000'000U);
  EXPECT_LT(skipped, logged / 4) << "the indexes and the catalog alone";
  EXPECT_EQ(report_of_one["root"], report()["root"]);

  // What was not logged survives a crash all the same.
  server.stop(testing::Stop::immediate);
  server.start();
  EXPECT_EQ(query_value(server.conninfo("one_range"), "SELECT count(*) || ' ' || sum(length(x)) FROM large"),
            "100000 20000000");
}

}  // namespace
}  // namespace sluice
