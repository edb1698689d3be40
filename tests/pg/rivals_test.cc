// Runs that want the same tables: one gives way, and never do both write.

#include <gtest/gtest.h>

#include <algorithm>
#include <chrono>
#include <csignal>
#include <filesystem>
#include <functional>
#include <optional>
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
using testing::begin_until;
using testing::CommandOptions;
using testing::CommandResult;
using testing::execute;
using testing::query;
using testing::query_value;
using testing::QueryRow;
using testing::RunningCommand;
using testing::shared_test_server;
using testing::TemporaryDirectory;

using Words = std::vector<std::string>;

using testing::contains;
using testing::wait_until;

// Another session, in the middle of a transaction that keeps what it has locked.
class Holder {
 public:
  explicit Holder(const std::string& conninfo) : connection_(conninfo) { transaction_.emplace(connection_); }

  // Readers and index builds pass, COPY and constraints wait.
  void hold_table(const std::string& table) {
    connection_.execute("LOCK TABLE public." + table + " IN SHARE MODE");
  }
  // The same as soon as the table has this index. No program beside the server would come in time; asking
  // again and again on one connection is fast enough.
  void hold_table_with_index(const std::string& table, const std::string& index) {
    const std::string exists = "SELECT EXISTS (SELECT 1 FROM pg_class WHERE relname = '" + index + "')";
    const auto deadline = std::chrono::steady_clock::now() + 3min;
    while (!connection_.execute(exists).boolean(0, 0)) {
      ASSERT_LT(std::chrono::steady_clock::now(), deadline) << index;
    }
    hold_table(table);
  }

  // As somebody who looks around in the ledger with psql. Returns how many rows are held.
  std::size_t hold_last_range(const std::string& table) {
    return connection_
        .execute(
            "SELECT 1 FROM sluice.work WHERE NOT done AND (run_id, table_no) IN (SELECT run_id, table_no "
            "FROM "
            "sluice.run_table WHERE target = $1) ORDER BY range_no DESC LIMIT 1 FOR UPDATE",
            {table})
        .rows();
  }

  void let_go() { transaction_.reset(); }

 private:
  Connection connection_;
  std::optional<Transaction> transaction_;
};

class RivalsTest : public ::testing::Test {
 protected:
  RivalsTest() {
    name_ = ::testing::UnitTest::GetInstance()->current_test_info()->name();
    name_.resize(std::min<std::size_t>(name_.size(), 63));
    new_database();
  }

  void new_database() { conninfo_ = shared_test_server().create_database(name_); }

  // The larger table first, as it is planned; both in many ranges. `mark` tells sources apart.
  static void make_two_tables(const fs::path& file, const std::string& mark) {
    testing::Writer(file).run(
        "CREATE TABLE first (id INTEGER PRIMARY KEY, x TEXT);"
        "CREATE TABLE second (id INTEGER PRIMARY KEY, x TEXT);"
        "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 20000)"
        "INSERT INTO first SELECT i, printf('" +
        mark +
        "%0100d', i) FROM n;"
        "INSERT INTO second SELECT * FROM first WHERE id <= 6000");
  }

  void expect_two_tables(const std::string& mark) {
    EXPECT_EQ(value("SELECT count(*) || ' ' || count(DISTINCT id) || ' ' || sum(id) FROM first"),
              "20000 20000 200010000");
    EXPECT_EQ(value("SELECT count(*) || ' ' || count(DISTINCT id) || ' ' || sum(id) FROM second"),
              "6000 6000 18003000");
    EXPECT_EQ(
        value("SELECT count(*) FROM (TABLE first UNION ALL TABLE second) t WHERE x LIKE '" + mark + "%'"),
        "26000");
  }

  [[nodiscard]] Words command(const fs::path& file, const Words& more = {}) const {
    Words words = {testing::sluice_program(),
                   "migrate",
                   file,
                   conninfo_,
                   "--progress",
                   "none",
                   "-j",
                   "1",
                   "--range-size",
                   "64k"};
    words.insert(words.end(), more.begin(), more.end());
    return words;
  }

  [[nodiscard]] CommandOptions options() const {
    CommandOptions options;
    options.directory = folder_.path();
    return options;
  }

  [[nodiscard]] RunningCommand begin(const fs::path& file, const Words& more = {}) const {
    return RunningCommand(command(file, more), options());
  }

  // A run that stands still before the first row of `table`, and has loaded what comes before.
  RunningCommand begin_and_hold(const fs::path& file, Holder& holder, const std::string& table) const {
    RunningCommand running = begin_until(command(file), "after claim:1:stop", options());
    holder.hold_table(table);
    running.send(SIGCONT);
    return running;
  }

  CommandResult migrate(const fs::path& file, const Words& more = {}) {
    return testing::run_command(command(file, more), options());
  }

  static void expect_exit(const CommandResult& result, int status) {
    EXPECT_EQ(result.exit_status, status) << result.out << result.err;
  }

  static void expect_given_up(const CommandResult& result) {
    expect_exit(result, 20);
    EXPECT_TRUE(contains(result.err, "given up")) << result.err;
  }

  [[nodiscard]] std::string value(const std::string& sql) const { return query_value(conninfo_, sql); }

  [[nodiscard]] std::string states() const {
    std::string lines;
    for (const QueryRow& row : query(conninfo_, "SELECT state FROM sluice.run ORDER BY started_at")) {
      lines += row[0].value_or("NULL") + "\n";
    }
    return lines;
  }

  // Sessions of this database that wait for a lock.
  [[nodiscard]] int waiting() const {
    return std::stoi(
        value("SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND "
              "wait_event_type = 'Lock'"));
  }

  [[nodiscard]] bool comes_to_wait(RunningCommand& one, int sessions) const {
    return wait_until([&] { return waiting() >= sessions || !one.running(); }) && one.running();
  }

  TemporaryDirectory folder_;
  fs::path source_ = folder_ / "app.db";
  fs::path other_ = folder_ / "other.db";
  std::string name_;
  std::string conninfo_;
};

// ---- given up while under way ----

TEST_F(RivalsTest, ARunThatIsGivenUpStopsAndWritesNothingMore) {
  make_two_tables(source_, "a");
  Holder holder(conninfo_);
  RunningCommand old = begin_and_hold(source_, holder, "second");
  ASSERT_TRUE(comes_to_wait(old, 1)) << old.err_so_far();
  RunningCommand newer = begin(source_, {"--restart"});
  ASSERT_TRUE(comes_to_wait(newer, 2)) << "the newer run did not wait for the range under way";
  holder.let_go();
  expect_given_up(old.wait());
  expect_exit(newer.wait(), 0);
  expect_two_tables("a");
  EXPECT_EQ(states(), "superseded\nverified\n");
}

// The old run would come back to the range that somebody else held, after the newer run has verified.
TEST_F(RivalsTest, ANewerRunVerifiesWhileARangeOfTheOldOneIsHeld) {
  make_two_tables(source_, "a");
  Holder table(conninfo_);
  Holder range(conninfo_);
  RunningCommand old = begin_and_hold(source_, table, "second");
  ASSERT_TRUE(comes_to_wait(old, 1)) << old.err_so_far();
  ASSERT_EQ(range.hold_last_range("second"), 1);
  RunningCommand newer = begin(source_, {"--restart"});
  ASSERT_TRUE(comes_to_wait(newer, 2)) << newer.err_so_far();
  table.let_go();
  expect_exit(newer.wait(), 0);
  range.let_go();
  expect_given_up(old.wait());
  expect_two_tables("a");
  EXPECT_EQ(states(), "superseded\nverified\n");
}

// Here the old run waits for the held range already, and the newer one for the old.
TEST_F(RivalsTest, ARunThatWaitsForAHeldRangeIsGivenUpToo) {
  make_two_tables(source_, "a");
  Holder table(conninfo_);
  Holder range(conninfo_);
  RunningCommand old = begin_and_hold(source_, table, "second");
  ASSERT_TRUE(comes_to_wait(old, 1)) << old.err_so_far();
  ASSERT_EQ(range.hold_last_range("second"), 1);
  table.let_go();
  ASSERT_TRUE(wait_until([&] { return value("SELECT count(*) FROM sluice.work WHERE NOT done") == "1"; }));
  ASSERT_TRUE(comes_to_wait(old, 1)) << old.err_so_far();
  RunningCommand newer = begin(source_, {"--restart"});
  ASSERT_TRUE(comes_to_wait(newer, 2)) << newer.err_so_far();
  range.let_go();
  expect_given_up(old.wait());
  expect_exit(newer.wait(), 0);
  expect_two_tables("a");
  EXPECT_EQ(states(), "superseded\nverified\n");
}

// Verification needs no claim: the old run misses a table that it has waited for before it asks the ledger
// for anything. With one lane it has nothing else in hand.
TEST_F(RivalsTest, ARunThatVerifiesIsGivenUpToo) {
  make_two_tables(source_, "a");
  RunningCommand old =
      begin_until(command(source_, {"--index-jobs", "1"}), "before verification:1:stop", options());
  RunningCommand newer = begin_until(command(source_, {"--restart"}), "after tables:1:stop", options());
  old.send(SIGCONT);
  ASSERT_TRUE(comes_to_wait(old, 1)) << old.wait().err;
  newer.send(SIGCONT);
  expect_given_up(old.wait());
  expect_exit(newer.wait(), 0);
  expect_two_tables("a");
  EXPECT_EQ(states(), "superseded\nverified\n");
}

TEST_F(RivalsTest, AnotherSourceThatReplacesTheTablesGivesTheFirstUp) {
  make_two_tables(source_, "a");
  make_two_tables(other_, "b");
  for (const char* handling : {"drop", "truncate"}) {
    new_database();
    Holder holder(conninfo_);
    RunningCommand old = begin_and_hold(source_, holder, "second");
    ASSERT_TRUE(comes_to_wait(old, 1)) << old.err_so_far();
    RunningCommand newer = begin(other_, {"--table-handling", handling});
    ASSERT_TRUE(comes_to_wait(newer, 2)) << handling;
    holder.let_go();
    expect_given_up(old.wait());
    expect_exit(newer.wait(), 0);
    expect_two_tables("b");
    EXPECT_EQ(states(), "superseded\nverified\n");
  }
}

TEST_F(RivalsTest, AnotherSourceThatKeepsTheTablesIsRefusedAndToldWhy) {
  make_two_tables(source_, "a");
  make_two_tables(other_, "b");
  Holder holder(conninfo_);
  RunningCommand old = begin_and_hold(source_, holder, "second");
  ASSERT_TRUE(comes_to_wait(old, 1)) << old.err_so_far();
  const CommandResult refused = migrate(other_);
  expect_exit(refused, 20);
  EXPECT_TRUE(contains(refused.err, "unfinished run from " + source_.string())) << refused.err;
  holder.let_go();
  expect_exit(old.wait(), 0);
  expect_two_tables("a");
  EXPECT_EQ(states(), "verified\n");
}

// ---- at the same moment ----

TEST_F(RivalsTest, OfTwoCopiesOfOneFileOneIsLoaded) {
  make_two_tables(source_, "a");
  fs::copy_file(source_, other_);
  fs::last_write_time(other_, fs::last_write_time(source_) + 1s);  // else it is the same state
  for (int round = 0; round < 4; ++round) {
    new_database();
    RunningCommand one = begin(source_);
    RunningCommand two = begin(other_);
    std::vector<int> ends = {one.wait().exit_status, two.wait().exit_status};
    std::sort(ends.begin(), ends.end());
    EXPECT_EQ(ends, (std::vector<int>{0, 20})) << one.wait().err << two.wait().err;
    expect_two_tables("a");
    EXPECT_EQ(states(), "verified\n");
  }
}

// Adding a foreign key locks two tables, and there is no order of the pairs in which nobody waits in a
// circle.
TEST_F(RivalsTest, ThreeProcessesAddForeignKeysThatPointBothWays) {
  constexpr int kPairs = 60;
  std::string script = "BEGIN;";
  for (int i = 0; i < kPairs; ++i) {
    const std::string n = std::to_string(i);
    script += "CREATE TABLE a" + n + " (id INTEGER PRIMARY KEY, b INTEGER REFERENCES b" + n + " (id));";
    script += "CREATE TABLE b" + n + " (id INTEGER PRIMARY KEY, a INTEGER REFERENCES a" + n + " (id));";
    script += "INSERT INTO a" + n + " (id) VALUES (1), (2); INSERT INTO b" + n + " VALUES (1, 2);";
  }
  testing::Writer(source_).run(script + "COMMIT");
  for (int round = 0; round < 2; ++round) {
    new_database();
    std::vector<RunningCommand> running;
    running.reserve(3);
    Holder holder(conninfo_);
    for (int i = 0; i < 3; ++i) running.push_back(begin(source_));
    holder.hold_table_with_index("a0", "a0_pkey");
    EXPECT_TRUE(wait_until([&] { return waiting() >= 3 || !running.front().running(); }));
    holder.let_go();
    for (RunningCommand& one : running) expect_exit(one.wait(), 0);
    EXPECT_EQ(value("SELECT count(*) FROM pg_constraint WHERE contype = 'f' AND convalidated AND "
                    "connamespace = 'public'::regnamespace"),
              std::to_string(2 * kPairs));
    EXPECT_EQ(states(), "verified\n");
  }
}

// ---- what is not in the way stays ----

TEST_F(RivalsTest, RestartWithFewerTablesLeavesTheOthersOfAFinishedRunAlone) {
  make_two_tables(source_, "a");
  expect_exit(migrate(source_), 0);
  execute(conninfo_, "UPDATE second SET x = 'in use' WHERE id = 7; DELETE FROM first WHERE id > 100");
  expect_exit(migrate(source_, {"--restart", "--include", "first"}), 0);
  EXPECT_EQ(value("SELECT count(*) FROM first"), "20000");
  EXPECT_EQ(value("SELECT count(*) || ' ' || count(*) FILTER (WHERE x = 'in use') FROM second"), "6000 1");
}

TEST_F(RivalsTest, RestartIsRefusedWhereOneOfTheOtherTablesRefers) {
  testing::Writer(source_).run(
      "CREATE TABLE parent (id INTEGER PRIMARY KEY); INSERT INTO parent VALUES (1);"
      "CREATE TABLE child (parent INTEGER REFERENCES parent); INSERT INTO child VALUES (1)");
  expect_exit(migrate(source_), 0);
  expect_exit(migrate(source_, {"--restart", "--include", "parent"}), 20);
  EXPECT_EQ(value("SELECT count(*) FROM child JOIN parent ON parent = id"), "1");
  EXPECT_EQ(value("SELECT count(*) FROM pg_constraint WHERE conrelid = 'child'::regclass"), "1");
  EXPECT_EQ(states(), "verified\n");
}

}  // namespace
}  // namespace sluice
