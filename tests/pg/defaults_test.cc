// Whatever a role, a database or a server has as its defaults: the same rows arrive.

#include <gtest/gtest.h>

#include <algorithm>
#include <chrono>
#include <csignal>
#include <cstdlib>
#include <filesystem>
#include <functional>
#include <optional>
#include <regex>
#include <string>
#include <thread>
#include <utility>
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

// Some of these tests are about rows that are rejected; widening would find a type for their values.
[[maybe_unused]] const bool kRejecting = setenv("SLUICE_ON_MISFIT", "reject", 1) == 0;

namespace fs = std::filesystem;
using namespace std::chrono_literals;
using testing::CommandOptions;
using testing::CommandResult;
using testing::execute;
using testing::query_value;
using testing::RunningCommand;
using testing::shared_test_server;
using testing::Stop;
using testing::TemporaryDirectory;
using testing::TestServer;

using Words = std::vector<std::string>;

using testing::contains;
using testing::wait_until;

// A source with everything that goes through text somewhere: names with quotes and backslashes, keys, dates,
// floating point, bytes, rows that are rejected.
constexpr const char* kScript = R"sql(
CREATE TABLE owner (id INTEGER PRIMARY KEY, born DATE, seen DATETIME, weight REAL, photo BLOB, note TEXT UNIQUE);
CREATE TABLE "back\slash's ""pet""" ("i\d" INTEGER PRIMARY KEY, owner INTEGER NOT NULL REFERENCES owner, x TEXT);
CREATE INDEX "by\x" ON "back\slash's ""pet""" (x);
CREATE TABLE wrong (n INTEGER); INSERT INTO wrong VALUES (1), ('C:\dir''s'), (3);
WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 6000)
INSERT INTO owner SELECT i, date('2001-02-03', '+' || i || ' days'), datetime('2001-02-03 04:05:06', '+' || i || ' hours'),
  i / 7.0, randomblob(30), 'back\slash ''' || i FROM n;
INSERT INTO "back\slash's ""pet""" SELECT id, 1 + id % 100, note FROM owner;
)sql";

// A role without privileges owns its database. Settings hold for them, and the test looks on as superuser.
class DefaultsTest : public ::testing::Test {
 protected:
  DefaultsTest() { use(shared_test_server()); }

  void use(TestServer& server) {
    name_ = ::testing::UnitTest::GetInstance()->current_test_info()->name();
    name_.resize(std::min<std::size_t>(name_.size(), 63));
    superuser_ = server.create_database(name_);
    execute(superuser_,
            "DO $$BEGIN IF to_regrole('plain') IS NULL THEN CREATE ROLE plain LOGIN; END IF; END$$;"
            "ALTER DATABASE \"" +
                name_ + "\" OWNER TO plain");
    conninfo_ = superuser_ + " user=plain";
  }

  void source(const std::string& script) const { testing::Writer(source_).run(script); }

  // For the role in this database, which is the strongest default there is.
  void set(const std::string& setting) const {
    execute(superuser_, "ALTER ROLE plain IN DATABASE \"" + name_ + "\" SET " + setting);
  }
  void set_for_database(const std::string& setting) const {
    execute(superuser_, "ALTER DATABASE \"" + name_ + "\" SET " + setting);
  }

  [[nodiscard]] Words command(const Words& more = {}) const {
    Words words = {testing::sluice_program(), "migrate", source_, conninfo_, "--progress", "none"};
    words.insert(words.end(), more.begin(), more.end());
    return words;
  }

  [[nodiscard]] CommandOptions options() const {
    CommandOptions options;
    options.directory = folder_.path();
    return options;
  }

  [[nodiscard]] CommandResult migrate(const Words& more = {}) const {
    return testing::run_command(command(more), options());
  }
  [[nodiscard]] CommandResult status() const {
    return testing::run_command({testing::sluice_program(), "status", conninfo_}, options());
  }

  static void expect_exit(const CommandResult& result, int status) {
    EXPECT_EQ(result.exit_status, status) << result.out << result.err;
  }

  [[nodiscard]] std::string value(const std::string& sql) const { return query_value(superuser_, sql); }

  void expect_everything() const {
    EXPECT_EQ(value("SELECT count(*) || ' ' || count(DISTINCT note) FROM public.owner"), "6000 6000");
    EXPECT_EQ(
        value(R"(SELECT count(*) FROM public."back\slash's ""pet""" WHERE x LIKE E'back\\\\slash \'%')"),
        "6000");
    EXPECT_EQ(value(R"(SELECT min(born) || ' ' || max(seen) FROM public.owner)"),
              "2001-02-04 2001-10-11 04:05:06");
    EXPECT_EQ(value("SELECT count(*) FROM public.wrong"), "2");
    EXPECT_EQ(value("SELECT count(*) FROM pg_constraint WHERE connamespace = 'public'::regnamespace AND "
                    "convalidated"),
              "4");
    EXPECT_EQ(value(R"(SELECT last_value || ' ' || is_called FROM public."back\slash's ""pet""_i\d_seq")"),
              "6001 false");
    EXPECT_EQ(value("SELECT string_agg(DISTINCT state, ' ') FROM sluice.run WHERE state <> 'superseded'"),
              "rejected");
  }

  // Loads, looks, and verifies again from the ledger.
  void expect_it_works() const {
    source(kScript);
    const CommandResult first = migrate({"-j", "4", "--range-size", "64k"});
    expect_exit(first, 3);
    expect_everything();
    expect_exit(status(), 0);
    expect_exit(migrate({"-j", "4", "--range-size", "64k"}), 3);
    expect_everything();
  }

  // Two tables of many ranges and no rejects.
  void make_two_tables() const {
    source(
        "CREATE TABLE first (id INTEGER PRIMARY KEY, x TEXT);"
        "CREATE TABLE second (id INTEGER PRIMARY KEY, x TEXT);"
        "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 20000)"
        "INSERT INTO first SELECT i, printf('%0100d', i) FROM n;"
        "INSERT INTO second SELECT * FROM first WHERE id <= 6000;"
        "CREATE INDEX by_x ON second (x)");
  }
  void expect_two_tables() const {
    EXPECT_EQ(value("SELECT count(*) || ' ' || count(DISTINCT id) FROM public.first"), "20000 20000");
    EXPECT_EQ(value("SELECT count(*) || ' ' || count(DISTINCT id) FROM public.second"), "6000 6000");
    EXPECT_EQ(value("SELECT string_agg(state, ' ') FROM sluice.run"), "verified");
    EXPECT_EQ(value("SELECT sum(rows_loaded) FROM sluice.work"), "26000");
    EXPECT_EQ(value("SELECT count(*) FROM pg_indexes WHERE schemaname = 'public'"), "3");
  }

  // Creates the tables as sluice would, empty and without keys.
  void create_tables() const {
    const std::string script = migrate({"--dry-run"}).out;
    ASSERT_TRUE(contains(script, "-- after the load")) << script;
    execute(conninfo_, script.substr(0, script.find("-- after the load")));
  }

  // Runs the command while another session has locked the table, and for `time` longer than it takes the
  // command to come to that lock. SHARE lets readers and index builds pass and COPY wait; ROW EXCLUSIVE lets
  // COPY pass and index builds wait.
  CommandResult migrate_while_locked(const std::string& table, const std::string& mode,
                                     std::chrono::milliseconds time, const Words& more) const {
    Connection holder(superuser_);
    std::optional<Transaction> lock(std::in_place, holder);
    holder.execute("LOCK TABLE public." + table + " IN " + mode + " MODE");
    RunningCommand running(command(more), options());
    EXPECT_TRUE(wait_until([&] { return sessions_that_wait() > 0 || !running.running(); }));
    std::this_thread::sleep_for(time);
    lock.reset();
    return running.wait();
  }

  [[nodiscard]] int sessions_that_wait() const {
    return std::stoi(
        value("SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND "
              "wait_event_type = 'Lock'"));
  }

  TemporaryDirectory folder_;
  fs::path source_ = folder_ / "app.db";
  std::string name_;
  std::string superuser_;
  std::string conninfo_;
};

// ---- isolation ----

class IsolationTest : public DefaultsTest, public ::testing::WithParamInterface<const char*> {
 protected:
  IsolationTest() {
    set("default_transaction_isolation = '" + std::string(GetParam()) + "'");
    set("default_transaction_deferrable = on");
  }
};

TEST_P(IsolationTest, OfARoleChangesNothing) { expect_it_works(); }

TEST_P(IsolationTest, OfARoleDoesNotKeepTwoProcessesFromSharing) {
  make_two_tables();
  for (int round = 0; round < 2; ++round) {
    const Words flags = {"-j", "4", "--range-size", "32k"};
    RunningCommand one(command(flags), options());
    RunningCommand two(command(flags), options());
    expect_exit(one.wait(), 0);
    expect_exit(two.wait(), 0);
    expect_two_tables();
  }
}

INSTANTIATE_TEST_SUITE_P(All, IsolationTest, ::testing::Values("repeatable read", "serializable"),
                         [](const auto& test) { return std::string(test.param).substr(0, 6); });

// ---- forms of values ----

TEST_F(DefaultsTest, BytesInTheOldForm) {
  set("bytea_output = 'escape'");
  expect_it_works();
}

TEST_F(DefaultsTest, OddFormsOfDatesAndNumbers) {
  set("datestyle = 'SQL, DMY'");
  set("intervalstyle = 'sql_standard'");
  set("extra_float_digits = -15");
  set_for_database("timezone = 'Asia/Kathmandu'");
  set_for_database("xmloption = 'document'");
  expect_it_works();
  EXPECT_EQ(value("SELECT sum(weight)::numeric(20, 6) FROM public.owner"), "2571857.142857");
}

// Rows of a target with defaults of its own are written where the role lives.
TEST_F(DefaultsTest, TheTimeZoneIsTheRolesWhereDefaultsAreComputed) {
  source("CREATE TABLE t (id INTEGER PRIMARY KEY); INSERT INTO t VALUES (1)");
  execute(conninfo_,
          "CREATE TABLE public.t (id bigint PRIMARY KEY, zone text DEFAULT current_setting('timezone'))");
  set("timezone = 'Asia/Kathmandu'");
  expect_exit(migrate({"--data-only"}), 0);
  EXPECT_EQ(value("SELECT zone FROM public.t"), "Asia/Kathmandu");
}

TEST_F(DefaultsTest, BackslashesThatEscapeInPlainStrings) {
  set("standard_conforming_strings = off");
  set("backslash_quote = off");
  set("escape_string_warning = on");
  expect_it_works();
}

// ---- timeouts ----

TEST_F(DefaultsTest, TimeoutsDoNotEndALoadThatWaitsOrLasts) {
  make_two_tables();
  create_tables();
  set("statement_timeout = '1s'");
  set("lock_timeout = '500ms'");
  set("idle_in_transaction_session_timeout = '1s'");
  expect_exit(migrate_while_locked("second", "SHARE", 2s, {"-j", "2", "--range-size", "64k"}), 0);
  expect_two_tables();
  expect_exit(status(), 0);
  expect_exit(migrate(), 0);
}

TEST_F(DefaultsTest, TimeoutsDoNotEndAnIndexThatWaits) {
  make_two_tables();
  create_tables();
  set_for_database("statement_timeout = '1s'");
  set_for_database("lock_timeout = '500ms'");
  expect_exit(migrate_while_locked("second", "ROW EXCLUSIVE", 2s, {"-j", "2"}), 0);
  expect_two_tables();
}

// The program itself stands still between two statements, as on a laptop that sleeps.
TEST_F(DefaultsTest, AnIdleTransactionIsNotEnded) {
  make_two_tables();
  set("idle_in_transaction_session_timeout = '10ms'");
  RunningCommand running(command({"-j", "2", "--range-size", "16k"}), options());
  for (int i = 0; i < 10 && running.running(); ++i) {
    running.send(SIGSTOP);
    std::this_thread::sleep_for(40ms);
    running.send(SIGCONT);
    std::this_thread::sleep_for(15ms);
  }
  expect_exit(running.wait(), 0);
  expect_two_tables();
}

// Lanes without work stand by while another one waits or works, and the server may end them meanwhile.
TEST_F(DefaultsTest, AnIdleSessionMayEndWhileARangeWaits) {
  make_two_tables();
  create_tables();
  set("idle_session_timeout = '300ms'");
  expect_exit(migrate_while_locked("second", "SHARE", 1s, {"-j", "4"}), 0);
  expect_two_tables();
}

TEST_F(DefaultsTest, AnIdleSessionMayEndWhileAnIndexIsMade) {
  make_two_tables();
  create_tables();
  set("idle_session_timeout = '300ms'");
  expect_exit(migrate_while_locked("second", "ROW EXCLUSIVE", 1s, {"-j", "4"}), 0);
  expect_two_tables();
}

// ---- the search path ----

class SearchPathTest : public DefaultsTest {
 protected:
  // Every function that can be called is there once more, before the real one, and so are common operators.
  void make_hostile_schema() const {
    execute(superuser_, R"sql(
CREATE SCHEMA hostile;
GRANT USAGE ON SCHEMA hostile TO PUBLIC;
DO $do$
DECLARE f record;
BEGIN
  FOR f IN SELECT proname, pg_get_function_identity_arguments(oid) AS arguments, pg_get_function_result(oid) AS result
           FROM pg_proc WHERE pronamespace = 'pg_catalog'::regnamespace AND prokind IN ('f', 'a')
  LOOP
    BEGIN
      EXECUTE format('CREATE FUNCTION hostile.%I(%s) RETURNS %s LANGUAGE plpgsql AS '
                     '$$BEGIN RAISE EXCEPTION ''hostile function was called''; END$$',
                     f.proname, f.arguments, f.result);
    EXCEPTION WHEN OTHERS THEN NULL;  -- one that cannot be written in PL/pgSQL
    END;
  END LOOP;
END$do$;
)sql");
    for (const std::string type : {"text", "name", "bigint", "integer", "uuid", "oid", "\"char\""}) {
      std::string sql = "CREATE FUNCTION hostile.compare(" + type + ", " + type +
                        ") RETURNS boolean LANGUAGE plpgsql AS "
                        "$$BEGIN RAISE EXCEPTION 'hostile operator was called'; END$$;";
      for (const char* name : {"=", "<>", "<", ">", "<=", ">="}) {
        sql += "CREATE OPERATOR hostile." + std::string(name) + " (LEFTARG = " + type +
               ", RIGHTARG = " + type + ", FUNCTION = hostile.compare);";
      }
      execute(superuser_, sql);
    }
    set("search_path = hostile, pg_catalog, public");
  }
};

TEST_F(SearchPathTest, TheTrapsAreSet) {
  make_hostile_schema();
  for (const char* call :
       {"quote_ident('a'::name)", "hashtext('a')", "replace('a', 'b', 'c')", "current_setting('port')",
        "to_regclass('a')", "1::bigint = 2::bigint", "'a'::text = 'b'::text", "pg_advisory_xact_lock(1)"}) {
    EXPECT_THROW(execute(conninfo_, std::string("SELECT ") + call), std::runtime_error) << call;
  }
}

TEST_F(SearchPathTest, AHostileSchemaInFrontIsNeverUsed) {
  make_hostile_schema();
  expect_it_works();
  const Words again = {"--restart", "-j", "4", "--range-size", "64k"};
  expect_exit(migrate(again), 3);
  expect_everything();
}

TEST_F(SearchPathTest, AHostileSchemaIsNotUsedForTablesThatAreThere) {
  source(kScript);
  expect_exit(migrate(), 3);
  make_hostile_schema();
  const CommandResult result = migrate({"--table-handling", "truncate"});
  expect_exit(result, 3);
  expect_everything();
  source("INSERT INTO owner (id) VALUES (100000); DELETE FROM owner WHERE id = 100000");
  expect_exit(migrate({"--table-handling", "truncate"}), 3);
  expect_everything();
}

// ---- the server ----

// What is reported as done is done, also for a server that writes its log late.
TEST_F(DefaultsTest, WhatIsVerifiedSurvivesACrashRightAfterwards) {
  TestServer server(
      {.settings = {
           {"synchronous_commit", "off"}, {"wal_writer_delay", "10s"}, {"wal_writer_flush_after", "1GB"}}});
  use(server);
  source("CREATE TABLE t (id INTEGER PRIMARY KEY, x TEXT); INSERT INTO t VALUES (1, 'a'), (2, 'b')");
  expect_exit(migrate(), 0);
  server.stop(Stop::immediate);
  server.start();
  EXPECT_EQ(value("SELECT state FROM sluice.run"), "verified");
  EXPECT_EQ(value("SELECT count(*) FROM public.t"), "2");
}

TEST_F(DefaultsTest, AServerWithRoomForFewConnectionsIsLoadedWithThose) {
  TestServer server({.settings = {{"max_connections", "8"}, {"superuser_reserved_connections", "2"}}});
  use(server);
  make_two_tables();
  const CommandResult result = migrate({"-j", "16", "--range-size", "32k"});
  expect_exit(result, 0);
  EXPECT_TRUE(std::regex_search(result.err, std::regex("room for [1-6] connections? only"))) << result.err;
  expect_two_tables();
}

}  // namespace
}  // namespace sluice
