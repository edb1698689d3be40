// What a server does to its clients without being broken: timeouts, limits, administrators, a standby that
// takes over.

#include <gtest/gtest.h>

#include <atomic>
#include <filesystem>
#include <fstream>
#include <memory>
#include <random>
#include <string>
#include <thread>
#include <vector>

#include "fault/invariants.h"
#include "fault/job.h"
#include "fault/undisturbed.h"
#include "support/command.h"
#include "support/conditions.h"
#include "support/query.h"
#include "support/temporary_directory.h"
#include "support/test_server.h"

namespace sluice::testing {
namespace {

namespace fs = std::filesystem;
using namespace std::chrono_literals;

class Refusals : public UndisturbedTest {
 protected:
  static void SetUpTestSuite() {
    make("150000");
    load_undisturbed(migrate(server_->conninfo("undisturbed")));
  }

  static std::vector<std::string> migrate(const std::string& target, const std::string& retry_for = "60s",
                                          const std::vector<std::string>& more = {}) {
    std::vector<std::string> words = {sluice_program(), "migrate",    source_, target,        "--range-size",
                                      "512KB",          "--progress", "none",  "--retry-for", retry_for};
    words.insert(words.end(), more.begin(), more.end());
    return words;
  }

  // The same command once more.
  static void expect_goes_on(const std::string& target) {
    EXPECT_EQ(violations(target), std::vector<std::string>());
    expect_whole(run_command(migrate(target)), target);
  }

  // Somebody who picks one of our sessions at random and does this to it: every 100 ms while rows are loaded,
  // and then less and less often, because whoever ends the only session there is faster than it can read a
  // table back can do so for ever.
  class Administrator {
   public:
    Administrator(const TestServer& server, const std::string& database, const std::string& action)
        : thread_([this, conninfo = server.conninfo(database), action] {
            int pauses = 15;
            while (!over_) {
              const bool loading =
                  query_value(conninfo, "SELECT count(*) FROM sluice.work WHERE NOT done") != "0";
              for (int i = 0; i < (loading ? 1 : pauses) && !over_; ++i) std::this_thread::sleep_for(100ms);
              const std::size_t hits =
                  query(conninfo,
                        "SELECT " + action +
                            "(pid) FROM (SELECT pid FROM pg_stat_activity WHERE datname = current_database() "
                            "AND application_name = 'sluice' ORDER BY random() LIMIT 1) one")
                      .size();
              hits_ += static_cast<int>(hits);
              if (!loading && hits > 0) pauses *= 2;
            }
          }) {}
    ~Administrator() { leave(); }
    int leave() {
      over_ = true;
      if (thread_.joinable()) thread_.join();
      return hits_;
    }

   private:
    std::atomic<bool> over_{false};
    std::atomic<int> hits_{0};
    std::thread thread_;
  };
};

// ---- timeouts that the database gives to every session ----

class RefusalsTimeouts : public Refusals, public ::testing::WithParamInterface<const char*> {};

// Without a retry: it must not happen at all. With every command, since each has statements of its own. Only
// a session that idles can be ended: it is replaced, and in the moment before that is known this takes a
// retry.
TEST_P(RefusalsTimeouts, DoNotReachUs) {
  const std::string setting = GetParam();
  const bool idle = setting == "idle_session_timeout";
  const bool of_17 = setting == "transaction_timeout";
  std::unique_ptr<TestServer> newer;
  if (of_17) {
    const std::optional<fs::path> binaries = binaries_of(17);
    if (!binaries) GTEST_SKIP() << how_to_get(17);
    newer = std::make_unique<TestServer>(TestServerOptions{.binaries = *binaries});
  }
  TestServer& server = of_17 ? *newer : *server_;
  const std::string target = server.create_database(setting);
  execute(server.conninfo(), "ALTER DATABASE " + setting + " SET " + setting + " = '200ms'");
  RunningCommand running = begin_until(migrate(target, idle ? "60s" : "0"), "after range:1:stop");
  // Somebody reads a table that we write to and index, for longer than that.
  const std::string without = target + " options='-c " + setting + "=0'";
  RunningCommand reader({"psql", "--no-psqlrc", "-d", without, "-c",
                         "BEGIN; LOCK TABLE orders IN SHARE MODE; SELECT pg_sleep(0.6); COMMIT"});
  ASSERT_TRUE(wait_until([&] {
    return query_value(without,
                       "SELECT count(*) FROM pg_locks WHERE relation = 'orders'::regclass AND mode = "
                       "'ShareLock'") != "0";
  }));
  running.send(SIGCONT);
  EXPECT_EQ(reader.wait().exit_status, 0) << reader.wait().err;
  const CommandResult& end = running.wait();
  EXPECT_EQ(end.exit_status, 0) << end.err;
  EXPECT_EQ(root_in(end), root_);
  execute(without,
          "BEGIN; UPDATE events SET id = -id WHERE id % 1000 = 7; DELETE FROM customers WHERE id = "
          "(SELECT max(id) FROM customers) AND NOT EXISTS (SELECT FROM orders WHERE customer_id = "
          "customers.id); COMMIT");
  EXPECT_EQ(run_command({sluice_program(), "verify", source_, target}).exit_status, 4);
  const CommandResult repaired =
      run_command({sluice_program(), "verify", source_, target, "--repair", "--scan"});
  EXPECT_EQ(repaired.exit_status, 0) << repaired.err;
  EXPECT_EQ(run_command({sluice_program(), "status", target}).exit_status, 0);
  execute(server.conninfo(), "ALTER DATABASE " + setting + " RESET ALL");
  if (!of_17) {
    EXPECT_EQ(picture_of(target), picture_);
  }
}

INSTANTIATE_TEST_SUITE_P(Of, RefusalsTimeouts,
                         ::testing::Values("statement_timeout", "lock_timeout",
                                           "idle_in_transaction_session_timeout", "idle_session_timeout",
                                           "transaction_timeout"),
                         [](const auto& info) { return std::string(info.param); });

// ---- no room ----

// By the names that the server's processes give themselves.
int sessions_below(pid_t server) {
  const std::string id = std::to_string(server);
  std::ifstream children("/proc/" + id + "/task/" + id + "/children");
  int sessions = 0;
  for (std::string child; children >> child;) {
    std::string name;
    std::getline(std::ifstream("/proc/" + child + "/cmdline"), name, '\0');
    sessions += contains(name, "[local]") ? 1 : 0;
  }
  return sessions;
}

TEST_F(Refusals, ARoleThatMayConnectTwiceLoadsOverTwoLanes) {
  const std::string target = server_->create_database("role_limit");
  execute(target,
          "DROP ROLE IF EXISTS twice; CREATE ROLE twice LOGIN CONNECTION LIMIT 2; GRANT CREATE ON DATABASE "
          "role_limit TO twice; GRANT CREATE ON SCHEMA public TO twice");
  const std::string as_twice =
      "host=" + server_->socket_directory().string() + " user=twice dbname=role_limit";
  const CommandResult result = run_command(migrate(as_twice, "0", {"--jobs", "6"}));
  EXPECT_TRUE(contains(result.err, "the server has room for 2 connections only")) << result.err;
  expect_whole(result, target);
}

TEST_F(Refusals, AServerThatIsNearlyFullIsLoadedOverTheLanesThatAreLeft) {
  TestServer small(
      {.settings = {
           {"max_connections", "8"}, {"superuser_reserved_connections", "3"}, {"max_wal_senders", "0"}}});
  small.create_database("nearly");
  execute(small.conninfo(), "CREATE ROLE plain LOGIN; ALTER DATABASE nearly OWNER TO plain");
  execute(small.conninfo("nearly"), "ALTER SCHEMA public OWNER TO plain");
  const std::string as_plain = "host=" + small.socket_directory().string() + " user=plain dbname=nearly";
  // Those before have ended, and each session a moment after its client; to ask the server would be one more.
  ASSERT_TRUE(wait_until([&] { return sessions_below(small.pid()) == 0; }));
  const CommandResult few = run_command(migrate(as_plain, "0", {"--jobs", "8"}));
  EXPECT_TRUE(contains(few.err, "the server has room for 5 connections only")) << few.err;
  expect_whole(few, small.conninfo("nearly"));

  // Not one is left: a clear line, and what would help. Sessions of ours end a moment after the process.
  const auto plain_sessions = [&] {
    return query_value(small.conninfo(), "SELECT count(*) FROM pg_stat_activity WHERE usename = 'plain'");
  };
  ASSERT_TRUE(wait_until([&] { return plain_sessions() == "0"; }));
  std::vector<std::unique_ptr<RunningCommand>> guests(5);
  // The session that counts takes a place, too: a guest that comes while it is there is turned away, and
  // comes again.
  const auto all_are_in = [&] {
    for (std::unique_ptr<RunningCommand>& guest : guests) {
      if (guest && guest->running()) continue;
      guest = std::make_unique<RunningCommand>(
          std::vector<std::string>{"psql", "--no-psqlrc", "-d", as_plain, "-c", "SELECT pg_sleep(60)"});
    }
    return plain_sessions() == "5";
  };
  ASSERT_TRUE(wait_until(all_are_in));
  const CommandResult none = run_command(migrate(as_plain, "0"));
  EXPECT_EQ(none.exit_status, 21) << none.err;
  EXPECT_TRUE(contains(none.err, "[53300]")) << none.err;
  EXPECT_TRUE(contains(none.err, "run the same command again")) << none.err;
}

// ---- administrators ----

TEST_F(Refusals, SessionsThatAreEndedOneAfterTheOtherAreReplaced) {
  const std::string target = server_->create_database("terminated");
  RunningCommand running = begin_until(migrate(target), "after range:1:stop");
  Administrator administrator(*server_, "terminated", "pg_terminate_backend");
  running.send(SIGCONT);
  while (running.running()) {
    for (const std::string& violation : violations(target)) ADD_FAILURE() << violation;
    std::this_thread::sleep_for(50ms);
  }
  const int ended = administrator.leave();
  std::printf("%d sessions ended\n", ended);
  EXPECT_GT(ended, 0);
  expect_whole(running.wait(), target);
}

TEST_F(Refusals, ASessionThatIsEndedEndsARunWithoutRetriesWithStatus5) {
  const std::string target = server_->create_database("ended");
  RunningCommand running = begin_until(migrate(target, "0"), "after COPY start:5:stop");
  execute(server_->conninfo(),
          "SELECT pg_terminate_backend(pid, 10000) FROM pg_stat_activity WHERE datname = 'ended' AND "
          "application_name = 'sluice'");
  running.send(SIGCONT);
  const CommandResult& end = running.wait();
  EXPECT_EQ(end.exit_status, 5) << end.err;
  EXPECT_TRUE(contains(end.err, "run the same command again")) << end.err;
  expect_goes_on(target);
}

// The process is stopped between its look at an idle session and its BEGIN, and finds the session ended.
// Nothing was begun in it, so that needs no retry; twice in a row, it does.
TEST_F(Refusals, ASessionThatEndsBeforeItsBeginIsReplacedOnce) {
  const std::string target = server_->create_database("begins");
  const auto stop_at_begin_and_end = [&](RunningCommand& running) {
    ASSERT_TRUE(wait_until([&] { return is_stopped(running.pid()); }));
    execute(server_->conninfo(),
            "SELECT pg_terminate_backend(pid, 10000) FROM pg_stat_activity WHERE datname = 'begins' AND "
            "application_name = 'sluice'");
  };
  const auto start = [&](const std::string& failpoints) {
    return begin_until(migrate(target, "0", {"--jobs", "1", "--index-jobs", "1"}), failpoints);
  };
  RunningCommand twice = start("before BEGIN:40:stop,before BEGIN:41:stop");
  stop_at_begin_and_end(twice);
  twice.send(SIGCONT);
  stop_at_begin_and_end(twice);
  twice.send(SIGCONT);
  EXPECT_EQ(twice.wait().exit_status, 5) << twice.wait().out << twice.wait().err;
  EXPECT_TRUE(contains(twice.wait().err, "run the same command again")) << twice.wait().err;

  RunningCommand once = start("before BEGIN:40:stop");
  stop_at_begin_and_end(once);
  once.send(SIGCONT);
  expect_whole(once.wait(), target);
}

// That was somebody's will, so it is not tried again.
TEST_F(Refusals, AStatementThatIsCancelledEndsTheRunWithStatus21) {
  const std::string target = server_->create_database("cancelled");
  RunningCommand running(migrate(target));
  ASSERT_TRUE(wait_for_ranges(target));
  Administrator administrator(*server_, "cancelled", "pg_cancel_backend");
  const CommandResult& end = running.wait();
  administrator.leave();
  // A session that is between two statements takes no notice.
  EXPECT_TRUE(end.exit_status == 21 || end.exit_status == 0) << end.exit_status << end.err;
  if (end.exit_status != 0) {
    EXPECT_TRUE(contains(end.err, "[57014]")) << end.err;
  }
  expect_goes_on(target);
}

TEST_F(Refusals, ADefaultOfReadOnlyStopsABeginAndNotARunUnderWay) {
  const std::string target = server_->create_database("read_only");
  RunningCommand running = begin_until(migrate(target, "0"), "after range:3:stop");
  execute(server_->conninfo(), "ALTER SYSTEM SET default_transaction_read_only = on");
  execute(server_->conninfo(), "SELECT pg_reload_conf()");
  ASSERT_TRUE(wait_until([&] { return query_value(target, "SHOW default_transaction_read_only") == "on"; }));
  running.send(SIGCONT);
  const CommandResult& end = running.wait();
  const CommandResult refused = run_command(migrate(target, "0"));
  execute(server_->conninfo(), "BEGIN READ WRITE; SELECT 1; COMMIT");
  run_command({"psql", "--no-psqlrc", "-d", server_->conninfo(), "-c",
               "SET default_transaction_read_only = off", "-c",
               "ALTER SYSTEM RESET default_transaction_read_only", "-c", "SELECT pg_reload_conf()"});
  ASSERT_TRUE(wait_until([&] { return query_value(target, "SHOW default_transaction_read_only") == "off"; }));
  EXPECT_EQ(refused.exit_status, 20) << refused.err;
  EXPECT_TRUE(contains(refused.err, "read-only by default")) << refused.err;
  expect_whole(end, target);
}

// ---- another server takes over ----

int ranges_done(const TestServer& server) {
  return std::stoi(query_value(server.conninfo("moving"), "SELECT count(*) FROM sluice.work WHERE done"));
}

TEST_F(Refusals, AStandbyThatIsPromotedGetsTheRestAndWhatItHadNotReceived) {
  TestServer primary;
  TestServer standby;
  standby.stop();
  fs::remove_all(standby.data_directory());
  CommandOptions as_server;
  as_server.user = kServerUserWhenRoot;
  as_server.directory = standby.socket_directory();
  const CommandResult copied =
      run_command({primary.binaries() / "pg_basebackup", "--pgdata=data", "--write-recovery-conf",
                   "--checkpoint=fast", "--no-sync", "--wal-method=stream", "--dbname=" + primary.conninfo()},
                  as_server);
  ASSERT_EQ(copied.exit_status, 0) << copied.err;
  standby.start();

  primary.create_database("moving");
  const std::string target = "host=" + primary.socket_directory().string() + "," +
                             standby.socket_directory().string() +
                             " port=5432,5432 user=postgres dbname=moving target_session_attrs=read-write";
  RunningCommand running = begin_until(migrate(target, "5min"), "after range:10:stop,after range:14:stop");
  const std::string written = query_value(primary.conninfo(), "SELECT pg_current_wal_flush_lsn()");
  ASSERT_TRUE(wait_until([&] {
    return query_value(standby.conninfo(), "SELECT pg_last_wal_replay_lsn() >= '" + written + "'") == "t";
  }));
  // What is committed from here on is acknowledged and never gets there.
  execute(standby.conninfo(), "ALTER SYSTEM SET primary_conninfo = ''");
  execute(standby.conninfo(), "SELECT pg_reload_conf()");
  ASSERT_TRUE(wait_until(
      [&] { return query_value(standby.conninfo(), "SELECT count(*) FROM pg_stat_wal_receiver") == "0"; }));
  running.send(SIGCONT);
  ASSERT_TRUE(wait_until([&] { return is_stopped(running.pid()) && ranges_done(primary) >= 14; }));
  primary.stop(Stop::immediate);
  execute(standby.conninfo(), "SELECT pg_promote()");
  running.send(SIGCONT);
  const CommandResult& end = running.wait();
  std::printf("%s", end.err.c_str());
  expect_whole(end, standby.conninfo("moving"));
}

}  // namespace
}  // namespace sluice::testing
