// A disk that runs full, at the server's end or at ours: one clear line, the rows so far kept, and the same
// command, or the same process, goes on once there is room.

#include <gtest/gtest.h>

#include <csignal>
#include <fstream>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "fault/invariants.h"
#include "fault/undisturbed.h"
#include "support/command.h"
#include "support/conditions.h"
#include "support/query.h"
#include "support/small_disk.h"
#include "support/temporary_directory.h"
#include "support/test_server.h"
#include "unit/sqlite_fixture.h"

namespace sluice::testing {
namespace {

namespace fs = std::filesystem;

constexpr std::uint64_t kMega = std::uint64_t{1} << 20;

class DiskFull : public UndisturbedTest {
 protected:
  static void SetUpTestSuite() {
    if (!SmallDisk::available()) return;
    make("200000");
    load_undisturbed(migrate(server_->conninfo("undisturbed"), {}));
  }

  void SetUp() override {
    if (!SmallDisk::available()) GTEST_SKIP() << "a tmpfs cannot be mounted here: that takes root";
  }

  static std::vector<std::string> migrate(const std::string& target, const std::vector<std::string>& more) {
    std::vector<std::string> words = {sluice_program(), "migrate", source_,      target,
                                      "--range-size",   "1MB",     "--progress", "none"};
    words.insert(words.end(), more.begin(), more.end());
    return words;
  }

  // A database whose tables, ours as well, go to that disk.
  static std::string database_on(const SmallDisk& disk, const std::string& name) {
    give_to_server_user(disk.path());
    execute(server_->conninfo(),
            "CREATE TABLESPACE \"" + name + "\" LOCATION '" + disk.path().string() + "'");
    const std::string target = server_->create_database(name);
    execute(server_->conninfo(), "ALTER DATABASE \"" + name + "\" SET default_tablespace = \"" + name + "\"");
    return target;
  }
  // The server looks into every tablespace when it starts, and this one is going to be gone.
  static void drop(const std::string& name) {
    execute(server_->conninfo(), "DROP DATABASE \"" + name + "\" WITH (FORCE)");
    execute(server_->conninfo(), "DROP TABLESPACE \"" + name + "\"");
  }

  static std::uint64_t ranges_done(const std::string& target) {
    return std::stoull(query_value(target, "SELECT count(*) FROM sluice.work WHERE done"));
  }
};

TEST_F(DiskFull, OfTheTargetEndsWithStatus21AndTheSameCommandGoesOn) {
  SmallDisk disk(12 * kMega);
  const std::string target = database_on(disk, "full");
  const CommandResult full = run_command(migrate(target, {"--retry-for", "0"}));
  EXPECT_EQ(full.exit_status, 21) << full.err;
  EXPECT_TRUE(contains(full.err, "No space left on device")) << full.err;
  EXPECT_TRUE(contains(full.err, "[53100]")) << full.err;
  EXPECT_TRUE(contains(full.err, "run the same command again")) << full.err;
  EXPECT_EQ(violations(target), std::vector<std::string>());
  const std::uint64_t done = ranges_done(target);
  EXPECT_GT(done, 2U);

  // Still full: nothing is lost by trying.
  EXPECT_EQ(run_command(migrate(target, {"--retry-for", "0"})).exit_status, 21);
  EXPECT_GE(ranges_done(target), done);
  EXPECT_EQ(violations(target), std::vector<std::string>());

  disk.resize(512 * kMega);
  const CommandResult last = run_command(migrate(target, {}));
  EXPECT_EQ(last.exit_status, 0) << last.err;
  EXPECT_EQ(root_in(last), root_);
  expect_whole(target);
  drop("full");
}

TEST_F(DiskFull, OfTheTargetIsWaitedForUntilThereIsRoom) {
  SmallDisk disk(12 * kMega);
  const std::string target = database_on(disk, "waiting");
  RunningCommand running(migrate(target, {"--retry-for", "100s"}));
  ASSERT_TRUE(wait_until([&] { return contains(running.err_so_far(), "No space left on device"); }))
      << "a user must learn what it waits for: " << running.err_so_far();
  // Long enough for a second attempt, or a third.
  std::this_thread::sleep_for(std::chrono::seconds(2));
  ASSERT_TRUE(running.running()) << running.err_so_far();
  EXPECT_EQ(violations(target), std::vector<std::string>());
  disk.resize(512 * kMega);
  const CommandResult& end = running.wait();
  EXPECT_EQ(end.exit_status, 0) << end.err;
  EXPECT_EQ(root_in(end), root_);
  expect_whole(target);
  drop("waiting");
}

// Room for the rows and not for all of the indexes: of one table, since those of others begin while rows
// still come.
TEST_F(DiskFull, WhileIndexesAreMadeLosesNothing) {
  const std::string probe = server_->create_database("probe");
  const CommandResult undisturbed = run_command(migrate(probe, {"--include", "orders"}));
  ASSERT_EQ(undisturbed.exit_status, 0) << undisturbed.err;
  const std::string picture = picture_of(probe);
  const std::uint64_t room = std::stoull(
      query_value(probe, "SELECT pg_table_size('orders') + pg_indexes_size('orders') / 2 + 1000000"));
  server_->create_database("probe");
  SmallDisk disk(room);
  const std::string target = database_on(disk, "indexes");
  const CommandResult full = run_command(migrate(target, {"--include", "orders", "--retry-for", "0"}));
  EXPECT_EQ(full.exit_status, 21) << full.err;
  EXPECT_TRUE(contains(full.err, "[53100]")) << full.err;
  EXPECT_EQ(violations(target), std::vector<std::string>());
  EXPECT_EQ(query_value(target, "SELECT bool_and(done) FROM sluice.work"), "t");
  EXPECT_EQ(query_value(target, "SELECT bool_and(done) FROM sluice.step"), "f");
  disk.resize(512 * kMega);
  const CommandResult last = run_command(migrate(target, {"--include", "orders"}));
  EXPECT_EQ(last.exit_status, 0) << last.err;
  EXPECT_EQ(root_in(last), root_in(undisturbed));
  EXPECT_EQ(violations(target), std::vector<std::string>());
  EXPECT_EQ(picture_of(target), picture);
  drop("indexes");
}

// PostgreSQL panics when its log cannot grow, and does not come up again before there is room.
TEST_F(DiskFull, OfTheLogTakesTheServerDownAndTheRunGoesOnAfterwards) {
  SmallDisk disk(40 * kMega);
  TestServer server({.settings = {{"max_wal_size", "10GB"}, {"wal_recycle", "off"}}});
  const std::string target = server.create_database("log");
  server.stop(Stop::fast);
  const fs::path log = server.data_directory() / "pg_wal";
  fs::copy(log, disk.path() / "pg_wal", fs::copy_options::recursive);
  ASSERT_EQ(run_command({"chown", "-R", kServerUserWhenRoot, disk.path() / "pg_wal"}).exit_status, 0);
  fs::remove_all(log);
  fs::create_directory_symlink(disk.path() / "pg_wal", log);
  fs::permissions(disk.path() / "pg_wal", fs::perms::owner_all);
  server.start();

  const CommandResult crashed = run_command(migrate(target, {"--retry-for", "0"}));
  EXPECT_TRUE(crashed.exit_status == 5 || crashed.exit_status == 21) << crashed.exit_status << crashed.err;
  EXPECT_TRUE(contains(crashed.err, "run the same command again")) << crashed.err;
  EXPECT_TRUE(contains(server.log(), "PANIC")) << server.log();
  if (server.running()) server.stop(Stop::immediate);
  disk.resize(2048 * kMega);
  server.start();
  EXPECT_EQ(violations(target), std::vector<std::string>());
  const CommandResult last = run_command(migrate(target, {}));
  EXPECT_EQ(last.exit_status, 0) << last.err;
  EXPECT_EQ(root_in(last), root_);
  expect_whole(target);
}

TEST_F(DiskFull, OfTheReportFolderIsSaidAndTheRunIsCompleteAllTheSame) {
  SmallDisk disk(kMega);
  const fs::path report = disk.path() / "report";
  fs::create_directory(report);
  disk.fill();
  const std::string target = server_->create_database("report");
  const CommandResult full = run_command(migrate(target, {"--report", report}));
  EXPECT_EQ(full.exit_status, 2) << full.err;
  EXPECT_TRUE(contains(full.err, report.string())) << full.err;
  EXPECT_TRUE(contains(full.err, "No space left on device")) << full.err;
  expect_whole(target);
  // A file that is cut in two must not be taken for a report.
  if (fs::exists(report / "report.json")) {
    std::ifstream file(report / "report.json");
    EXPECT_TRUE(nlohmann::json::accept(file));
  }
  disk.resize(16 * kMega);
  const CommandResult last = run_command(migrate(target, {"--report", report}));
  EXPECT_EQ(last.exit_status, 0) << last.err;
  std::ifstream file(report / "report.json");
  EXPECT_EQ(nlohmann::json::parse(file).at("status"), "verified");
}

TEST_F(DiskFull, OfTheFolderOfTheRejectFileLeavesTheRowsInTheLedger) {
  const fs::path source = *folder_ / "rejects.sqlite";
  Writer(source).run(
      "CREATE TABLE t (id INTEGER PRIMARY KEY, n INTEGER);"
      "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 5000)"
      "INSERT INTO t SELECT i, CASE WHEN i % 10 THEN i ELSE 'text ' || i END FROM n");
  SmallDisk disk(kMega);
  disk.fill();
  const std::string target = server_->create_database("rejects");
  CommandOptions there;
  there.directory = disk.path();
  const std::vector<std::string> command = {sluice_program(), "migrate",     source,
                                            target,           "--on-misfit", "reject"};
  const CommandResult full = run_command(command, there);
  EXPECT_EQ(full.exit_status, 3) << full.err;
  EXPECT_TRUE(contains(full.err, "rejects.jsonl")) << full.err;
  EXPECT_TRUE(contains(full.err, "sluice.failure")) << full.err;
  EXPECT_EQ(violations(target), std::vector<std::string>());
  EXPECT_EQ(query_value(target, "SELECT count(*) FROM sluice.failure"), "500");
  disk.resize(16 * kMega);
  EXPECT_EQ(run_command(command, there).exit_status, 3);
  std::ifstream file(disk.path() / "rejects.sqlite.rejects.jsonl");
  int lines = 0;
  for (std::string line; std::getline(file, line);) lines += nlohmann::json::accept(line) ? 1 : 0;
  EXPECT_EQ(lines, 500);
}

}  // namespace
}  // namespace sluice::testing
