// Somebody writes to the source, replaces it or overwrites it while it is loaded. What arrives is one state
// of it, or the run ends with status 11; and afterwards there is a way to go on.

#include <gtest/gtest.h>
#include <unistd.h>

#include <atomic>
#include <csignal>
#include <filesystem>
#include <functional>
#include <nlohmann/json.hpp>
#include <string>
#include <thread>
#include <vector>

#include "support/command.h"
#include "support/conditions.h"
#include "support/query.h"
#include "support/temporary_directory.h"
#include "support/test_server.h"
#include "unit/sqlite_fixture.h"

namespace sluice {
namespace {

namespace fs = std::filesystem;
using namespace testing;

constexpr int kRows = 60'000;

constexpr const char* kInTheMiddle = "after range:2:stop";

// A table in which every row says the same `state`, and which every transaction of the application changes as
// a whole: rows of two states are a mixture.
class SourceChanges : public ::testing::Test {
 protected:
  void make(const std::string& journal_mode) {
    const Writer writer(source());
    writer.run("PRAGMA journal_mode=" + journal_mode +
               "; CREATE TABLE t(id INTEGER PRIMARY KEY, state INT, filler TEXT); CREATE TABLE u(state INT); "
               "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < " +
               std::to_string(kRows) +
               ") INSERT INTO t SELECT i, 0, printf('%0150d', i) FROM n; INSERT INTO u VALUES (0)");
    const std::string name = ::testing::UnitTest::GetInstance()->current_test_info()->name();
    target_ = shared_test_server().create_database(name.substr(0, 63));
  }

  [[nodiscard]] fs::path source() const { return folder_ / "app.db"; }
  [[nodiscard]] fs::path kept() const { return folder_ / "kept.db"; }

  [[nodiscard]] std::vector<std::string> migrate(std::vector<std::string> more = {}) const {
    more.insert(more.begin(), {sluice_program(), "migrate", source(), target_, "--progress", "none",
                               "--range-size", "256k", "-j", "2", "--report", folder_ / "report"});
    return more;
  }

  // A run that waits in the middle of its load until `meanwhile` is over.
  CommandResult run_while(const std::function<void()>& meanwhile, const std::vector<std::string>& more = {}) {
    RunningCommand running = begin_until(migrate(more), kInTheMiddle);
    meanwhile();
    running.send(SIGCONT);
    return running.wait();
  }

  // A run that is killed with some ranges done.
  void kill_one(const std::vector<std::string>& more = {}) {
    RunningCommand running = begin_until(migrate(more), kInTheMiddle);
    running.send(SIGKILL);
    ASSERT_EQ(running.wait().signal, SIGKILL);
  }

  void expect_state(int state) const {
    EXPECT_EQ(query_value(target_, "SELECT count(*) || ' ' || min(state) || ' ' || max(state) FROM t"),
              std::to_string(kRows) + " " + std::to_string(state) + " " + std::to_string(state));
    EXPECT_EQ(query_value(target_, "SELECT string_agg(state::text, ' ') FROM u"), std::to_string(state));
  }

  void change(int state) const {
    Writer(source()).run("BEGIN IMMEDIATE; UPDATE t SET state = " + std::to_string(state) +
                         "; UPDATE u SET state = " + std::to_string(state) + "; COMMIT");
  }

  TemporaryDirectory folder_;
  std::string target_;
};

TEST_F(SourceChanges, WritesToAWalAreNotSeen) {
  make("WAL");
  const CommandResult result = run_while([&] {
    change(1);
    change(2);
  });
  EXPECT_EQ(result.exit_status, 0) << result.err;
  expect_state(0);
  const auto report = nlohmann::json::parse(bytes_of(folder_ / "report" / "report.json"));
  EXPECT_TRUE(report["source"].contains("wal_growth_bytes"));
}

TEST_F(SourceChanges, WritesInRollbackModeWaitForTheEnd) {
  make("DELETE");
  const CommandResult result = run_while([&] {
    const Writer writer(source());
    sqlite3_busy_timeout(writer.get(), 0);
    EXPECT_EQ(writer.try_run("UPDATE u SET state = 1"), SQLITE_BUSY);
  });
  EXPECT_EQ(result.exit_status, 0) << result.err;
  expect_state(0);
  change(1);
}

TEST_F(SourceChanges, WritesInRollbackModeGoOnBesideACopy) {
  make("DELETE");
  const CommandResult result = run_while([&] { change(1); }, {"--snapshot", "copy"});
  EXPECT_EQ(result.exit_status, 0) << result.err;
  expect_state(0);
}

TEST_F(SourceChanges, AnotherSchemaAndAVacuumAreNotSeen) {
  make("WAL");
  const CommandResult result = run_while([&] {
    Writer(source()).run("ALTER TABLE u ADD COLUMN more; DROP TABLE t; CREATE TABLE t(x); VACUUM");
  });
  EXPECT_EQ(result.exit_status, 0) << result.err;
  expect_state(0);
}

TEST_F(SourceChanges, ACheckpointAndANewLogAreNotSeen) {
  make("WAL");
  // Filled from before, so that the run reads the log.
  const Writer application(source());
  application.run("PRAGMA wal_autocheckpoint=0; UPDATE u SET state = 0");
  const CommandResult result = run_while([&] {
    application.run("UPDATE t SET state = 1; PRAGMA wal_checkpoint(PASSIVE); UPDATE u SET state = 1");
    static_cast<void>(application.try_run("PRAGMA busy_timeout=100; PRAGMA wal_checkpoint(TRUNCATE)"));
    application.run("UPDATE t SET state = 2; PRAGMA wal_checkpoint(PASSIVE)");
  });
  EXPECT_EQ(result.exit_status, 0) << result.err;
  expect_state(0);
}

TEST_F(SourceChanges, AFileRenamedOverItIsNotSeen) {
  make("DELETE");
  const CommandResult result = run_while([&] {
    Writer(folder_ / "new.db").run("CREATE TABLE t(x)");
    fs::rename(folder_ / "new.db", source());
  });
  EXPECT_EQ(result.exit_status, 0) << result.err;
  expect_state(0);
}

TEST_F(SourceChanges, AFileCopiedOverItIsNoticed) {
  make("DELETE");
  fs::copy_file(source(), folder_ / "new.db");
  Writer(folder_ / "new.db").run("UPDATE t SET state = 1; UPDATE u SET state = 1");
  // As cp does: into the same file, past all locks.
  const CommandResult result = run_while([&] {
    const std::string bytes = bytes_of(folder_ / "new.db");
    put_bytes(source(), bytes);
  });
  EXPECT_TRUE(result.exit_status == 11 || result.exit_status == 10) << result.exit_status << result.err;
  const CommandResult again = run_command(migrate({"--restart", "--snapshot", "copy"}));
  EXPECT_EQ(again.exit_status, 0) << again.err;
  expect_state(1);
}

TEST_F(SourceChanges, ARunThatWasKilledGoesOnWhereNothingChanged) {
  for (const char* mode : {"WAL", "DELETE"}) {
    fs::remove(source());
    make(mode);
    kill_one({"--snapshot", "copy"});
    // Live or copy: it is the same state.
    const CommandResult again = run_command(migrate());
    EXPECT_EQ(again.exit_status, 0) << again.err;
    EXPECT_TRUE(contains(again.err, "going on with an earlier run")) << again.err;
    expect_state(0);
  }
}

TEST_F(SourceChanges, ARunThatWasKilledSaysWhatCanBeDoneAboutAChangedSource) {
  for (const char* mode : {"WAL", "DELETE"}) {
    fs::remove(source());
    make(mode);
    kill_one();
    change(1);
    const CommandResult again = run_command(migrate());
    EXPECT_EQ(again.exit_status, 11) << again.err;
    EXPECT_TRUE(contains(again.err, "--restart")) << again.err;
    EXPECT_TRUE(contains(again.err, "--snapshot copy")) << again.err;
    const CommandResult anew = run_command(migrate({"--restart"}));
    EXPECT_EQ(anew.exit_status, 0) << anew.err;
    expect_state(1);
  }
}

TEST_F(SourceChanges, ARunThatWasKilledGoesOnFromItsKeptCopyWhateverBecameOfTheSource) {
  for (const char* mode : {"WAL", "DELETE"}) {
    fs::remove(source());
    make(mode);
    const std::vector<std::string> keeping = {"--snapshot", "copy", "--snapshot-file", kept()};
    kill_one(keeping);
    EXPECT_TRUE(fs::exists(kept()));
    std::vector<std::string> looking = keeping;
    looking.emplace_back("--dry-run");
    EXPECT_EQ(run_command(migrate(looking)).exit_status, 0);
    EXPECT_TRUE(fs::exists(kept())) << "a dry run has brought nothing to its end";
    change(1);
    const CommandResult again = run_command(migrate(keeping));
    EXPECT_EQ(again.exit_status, 0) << again.err;
    EXPECT_TRUE(contains(again.err, "going on with an earlier run")) << again.err;
    expect_state(0);
    EXPECT_FALSE(fs::exists(kept())) << "the run has come to its end";
    // And --restart takes the source as it is now.
    kill_one({"--restart", "--snapshot", "copy", "--snapshot-file", kept()});
    change(2);
    const CommandResult anew =
        run_command(migrate({"--restart", "--snapshot", "copy", "--snapshot-file", kept()}));
    EXPECT_EQ(anew.exit_status, 0) << anew.err;
    expect_state(2);
  }
}

TEST_F(SourceChanges, ACopyWithoutRoomIsRefusedBeforeAnythingIsDone) {
  if (geteuid() != 0) GTEST_SKIP() << "mounting a small file system takes root";
  make("DELETE");
  const fs::path small = folder_ / "small";
  fs::create_directory(small);
  if (run_command({"mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", small}).exit_status != 0) {
    GTEST_SKIP() << "no file system can be mounted here";
  }
  CommandOptions options;
  options.environment = {{"TMPDIR", small.string()}};
  const CommandResult result = run_command(migrate({"--snapshot", "copy"}), options);
  EXPECT_TRUE(fs::is_empty(small));
  run_command({"umount", small});
  EXPECT_EQ(result.exit_status, 2) << result.err;
  EXPECT_TRUE(contains(result.err, "has room for 1 MB")) << result.err;
  EXPECT_TRUE(contains(result.err, "TMPDIR")) << result.err;
  EXPECT_EQ(query_value(target_, "SELECT to_regnamespace('sluice') IS NULL"), "t");
}

}  // namespace
}  // namespace sluice
