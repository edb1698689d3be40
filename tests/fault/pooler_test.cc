// Through PgBouncer in transaction mode: everything works, and nothing of ours stays in the sessions that
// others get next.

#include <gtest/gtest.h>

#include <atomic>
#include <csignal>
#include <fstream>
#include <string>
#include <thread>
#include <vector>

#include "fault/invariants.h"
#include "fault/loaders.h"
#include "support/command.h"
#include "support/conditions.h"
#include "support/pooler.h"
#include "support/query.h"
#include "support/seed.h"
#include "support/temporary_directory.h"
#include "support/test_server.h"
#include "unit/sqlite_fixture.h"

namespace sluice::testing {
namespace {

namespace fs = std::filesystem;

// What a session holds beyond its transactions: the next client of the pooler would get it.
constexpr const char* kSession =
    "SELECT (SELECT coalesce(string_agg(name || '=' || setting, ' ' ORDER BY name), '') FROM pg_settings "
    "WHERE source = "
    "'session' AND name NOT IN ('application_name', 'client_encoding', 'transaction_isolation', "
    "'transaction_read_only', "
    "'transaction_deferrable')) || '|' || (SELECT count(*) FROM pg_prepared_statements) || '|' || (SELECT "
    "count(*) FROM "
    "pg_cursors WHERE NOT statement LIKE 'SELECT (SELECT coalesce%') || '|' || (SELECT count(*) FROM "
    "pg_locks WHERE locktype "
    "= 'advisory' AND pid = pg_backend_pid()) || '|' || pg_my_temp_schema() || '|' || (SELECT count(*) FROM "
    "pg_listening_channels()) || '|' || current_setting('search_path') || '|' || "
    "current_setting('statement_timeout') || "
    "'|' || current_setting('synchronous_commit') || '|' || current_setting('session_replication_role') || "
    "'|' || "
    "current_setting('TimeZone')";

class PoolerTest : public ::testing::Test {
 protected:
  // A source, and what a direct load makes of it.
  struct Loaded {
    std::string source;
    std::string root;
    std::string picture;
  };

  static void SetUpTestSuite() {
    if (!Pooler::program()) return;
    folder_ = new TemporaryDirectory();
    server_ = new TestServer();
  }
  static void TearDownTestSuite() {
    delete server_;
    delete folder_;
  }

  static Loaded make(int owners, int items) {
    Loaded loaded;
    loaded.source = (*folder_ / (std::to_string(owners) + ".sqlite")).string();
    Writer(loaded.source)
        .run(
            "CREATE TABLE owner (id INTEGER PRIMARY KEY, name TEXT NOT NULL, doc JSON);"
            "CREATE TABLE item (id INTEGER PRIMARY KEY, owner INTEGER REFERENCES owner, note TEXT UNIQUE);"
            "CREATE INDEX item_owner ON item (owner);"
            "CREATE VIEW items AS SELECT name, note FROM owner JOIN item ON item.owner = owner.id;"
            "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < " +
            std::to_string(owners) +
            ")"
            "INSERT INTO owner SELECT i, printf('owner %060d', i), '{\"a\": ' || i || '}' FROM n;"
            "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < " +
            std::to_string(items) +
            ")"
            "INSERT INTO item SELECT i, i % " +
            std::to_string(owners) + " + 1, printf('note %060d', i) FROM n;");
    const std::string target = server_->create_database("undisturbed");
    const CommandResult direct = run_command({sluice_program(), "migrate", loaded.source, target});
    EXPECT_EQ(direct.exit_status, 0) << direct.err;
    loaded.root = root_in(direct);
    loaded.picture = picture_of(target);
    server_->create_database("undisturbed");  // room on the disk
    return loaded;
  }
  static const Loaded& small() {
    static const Loaded loaded = make(60'000, 90'000);
    return loaded;
  }

  void SetUp() override {
    if (!Pooler::program()) GTEST_SKIP() << "no pgbouncer here: apt-get install pgbouncer";
  }

  static std::vector<std::string> migrate(const std::string& target,
                                          const std::vector<std::string>& more = {},
                                          const Loaded& loaded = small()) {
    std::vector<std::string> words = {sluice_program(), "migrate",    loaded.source,
                                      target,           "--progress", "none"};
    words.insert(words.end(), more.begin(), more.end());
    return words;
  }

  static CommandResult sluice(std::vector<std::string> words) {
    words.insert(words.begin(), sluice_program());
    return run_command(std::move(words));
  }

  static std::string session_of(const std::string& conninfo) { return query_value(conninfo, kSession); }

  static void expect_whole(const std::string& target, const Loaded& loaded = small()) {
    EXPECT_EQ(violations(target), std::vector<std::string>());
    EXPECT_EQ(picture_of(target), loaded.picture);
  }

  static inline TemporaryDirectory* folder_ = nullptr;
  static inline TestServer* server_ = nullptr;
};

TEST_F(PoolerTest, FourLanesShareOneSessionWithAStrangerWhoSeesNothingOfThem) {
  const std::string target = server_->create_database("shared");
  const Pooler pooler(*server_, {.pool_size = 1});
  const std::string through = pooler.conninfo("shared");
  const std::string pid = query_value(through, "SELECT pg_backend_pid()");
  const std::string before = session_of(through);

  std::atomic<bool> over{false};
  std::atomic<int> looks{0};
  std::thread stranger([&] {
    while (!over) {
      const std::string now = session_of(through);
      EXPECT_EQ(now, before);
      ++looks;
      if (now != before) return;
    }
  });
  // In many ranges, each of which ends with a turn for the stranger.
  const CommandResult result = run_command(migrate(through, {"--jobs", "4", "--range-size", "256k"}));
  over = true;
  stranger.join();
  EXPECT_EQ(result.exit_status, 0) << result.err;
  EXPECT_EQ(root_in(result), small().root);
  EXPECT_GT(looks, 10);
  expect_whole(target);

  // The other commands, and the session afterwards.
  EXPECT_EQ(sluice({"status", through}).exit_status, 0);
  execute(target, "UPDATE item SET note = note || 'x' WHERE id % 100000 = 7");
  const CommandResult differs = sluice({"verify", small().source, through, "--jobs", "4"});
  EXPECT_EQ(differs.exit_status, 4) << differs.err;
  execute(target, "DROP SCHEMA sluice CASCADE; TRUNCATE item, owner");
  const CommandResult data_only = run_command(migrate(through, {"--data-only", "--rebuild", "--jobs", "4"}));
  EXPECT_EQ(data_only.exit_status, 0) << data_only.err;
  EXPECT_EQ(violations(target), std::vector<std::string>());
  for (const std::vector<std::string>& how : {std::vector<std::string>{"--verify", "count"},
                                              {"--scan"},
                                              {"--sample", "10"},
                                              {"--scan", "--verify", "server"}}) {
    std::vector<std::string> words = {"verify", small().source, through};
    words.insert(words.end(), how.begin(), how.end());
    const CommandResult verified = sluice(words);
    EXPECT_EQ(verified.exit_status, 0) << how.front() << verified.err;
  }
  EXPECT_EQ(session_of(through), before);
  EXPECT_EQ(query_value(through, "SELECT pg_backend_pid()"), pid);
}

// The lock that keeps other repairs out is a transaction of its own, so a repair holds two sessions at a
// time.
TEST_F(PoolerTest, ARepairNeedsTwoSessionsAndLeavesThemAsTheyWere) {
  const std::string target = server_->create_database("repaired");
  const Pooler pooler(*server_, {.pool_size = 2});
  const std::string through = pooler.conninfo("repaired");
  const auto both_sessions = [&] {
    std::string first;
    std::thread other([&] { first = query_value(through, std::string(kSession) + " FROM pg_sleep(0.5)"); });
    const std::string second = query_value(through, std::string(kSession) + " FROM pg_sleep(0.5)");
    other.join();
    return first + "\n" + second;
  };
  const std::string before = both_sessions();
  ASSERT_EQ(run_command(migrate(through, {"--jobs", "4"})).exit_status, 0);
  execute(target,
          "UPDATE item SET note = note || 'x' WHERE id % 100000 = 7; DELETE FROM item WHERE id = 12345; "
          "INSERT INTO "
          "item VALUES (700001, 1, 'more')");
  const CommandResult repaired = sluice({"verify", small().source, through, "--jobs", "4", "--repair"});
  EXPECT_EQ(repaired.exit_status, 0) << repaired.out << repaired.err;
  EXPECT_EQ(query_value(target, "SELECT count(*) FROM sluice.repair") == "0", false);
  expect_whole(target);
  EXPECT_EQ(both_sessions(), before);
  // Those that asked the server without the pooler may still be on their way out.
  EXPECT_TRUE(wait_until([&] {
    return query_value(target,
                       "SELECT count(*) FROM pg_stat_activity WHERE datname = 'repaired' AND pid <> "
                       "pg_backend_pid() AND backend_type = 'client backend'") == "2";
  }));
}

TEST_F(PoolerTest, AKilledRunGoesOnAndLeavesNothingInThePool) {
  const std::string target = server_->create_database("killed");
  const Pooler pooler(*server_, {.pool_size = 3});
  const std::string through = pooler.conninfo("killed");
  const std::string before = session_of(through);
  for (const int signal : {SIGKILL, SIGINT, SIGTERM, SIGKILL}) {
    RunningCommand running = begin_until(migrate(through, {"--range-size", "64k"}), "after range:3:stop");
    running.send(signal);
    running.send(SIGCONT);
    const CommandResult& end = running.wait();
    EXPECT_TRUE(end.signal == SIGKILL || end.exit_status == 5) << end.err;
    EXPECT_EQ(violations(target), std::vector<std::string>());
    EXPECT_EQ(session_of(through), before);
  }
  const CommandResult last = run_command(migrate(through, {"--jobs", "4"}));
  EXPECT_EQ(last.exit_status, 0) << last.err;
  EXPECT_EQ(root_in(last), small().root);
  expect_whole(target);
  EXPECT_EQ(session_of(through), before);
}

TEST_F(PoolerTest, ThreeLoadersOfWhichOneDiesEveryTenthOfASecondLoadAMillionRowsOnce) {
  const Loaded million = make(400'000, 600'000);
  const std::string target = server_->create_database("three");
  const Pooler pooler(*server_, {.pool_size = 4});
  expect_loaded_under_kills(
      migrate(pooler.conninfo("three"), {"--jobs", "2", "--range-size", "256k"}, million), target,
      million.root, 1);
  expect_whole(target, million);
}

// A run that would need two sessions at a time would wait here for ever: for itself.
TEST_F(PoolerTest, ASecondSessionIsNeverNeededWhileOneIsHeld) {
  const std::string target = server_->create_database("one");
  const Pooler pooler(*server_, {.pool_size = 1, .settings = {{"query_wait_timeout", "10"}}});
  const fs::path report = *folder_ / "report";
  const CommandResult result = run_command(
      migrate(pooler.conninfo("one"), {"--verify", "server", "--index-jobs", "4", "--report", report}));
  EXPECT_EQ(result.exit_status, 0) << result.err;
  const CommandResult again = run_command(migrate(pooler.conninfo("one"), {"--restart"}));
  EXPECT_EQ(again.exit_status, 0) << again.err;
  expect_whole(target);
}

}  // namespace
}  // namespace sluice::testing
