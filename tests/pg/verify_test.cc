// sluice verify beyond the mutations: what it refuses, what it asks of a role, what an interruption leaves,
// types of the target's own, standbys, samples.

#include <gtest/gtest.h>
#include <unistd.h>

#include <csignal>
#include <fstream>
#include <nlohmann/json.hpp>
#include <string>
#include <thread>
#include <vector>

#include "support/command.h"
#include "support/conditions.h"
#include "support/directories.h"
#include "support/query.h"
#include "support/temporary_directory.h"
#include "support/test_server.h"

namespace sluice::testing {
namespace {

using Json = nlohmann::json;
using namespace std::chrono_literals;

constexpr const char* kSource =
    "CREATE TABLE t(id INTEGER PRIMARY KEY, name TEXT, at DATETIME, n INTEGER);"
    "WITH RECURSIVE n(i) AS (VALUES (1) UNION ALL SELECT i + 1 FROM n WHERE i < 50000) INSERT INTO t SELECT "
    "i, "
    "'name ' || i, datetime(1700000000 + i, 'unixepoch'), i % 7 FROM n;"
    "CREATE TABLE words(word TEXT PRIMARY KEY, n INTEGER);"
    "WITH RECURSIVE n(i) AS (VALUES (1) UNION ALL SELECT i + 1 FROM n WHERE i < 3000) INSERT INTO words "
    "SELECT "
    "'w' || i, i FROM n;";

class Verify : public ::testing::Test {
 protected:
  void SetUp() override { target_ = shared_test_server().create_database("verify_test"); }

  void make_source(const std::string& script, const std::string& name = "source.sqlite") {
    CommandOptions options;
    options.input = script;
    const CommandResult made =
        run_command({"sqlite3", "-batch", "-bail", (folder_ / name).string()}, options);
    ASSERT_EQ(made.exit_status, 0) << made.err;
  }

  void migrate(std::vector<std::string> flags = {}) {
    std::vector<std::string> command = {sluice_program(), "migrate", source(), target_};
    command.insert(command.end(), flags.begin(), flags.end());
    const CommandResult result = run_command(command);
    ASSERT_EQ(result.exit_status, 0) << result.err << result.out;
  }

  [[nodiscard]] std::string source() const { return (folder_ / "source.sqlite").string(); }

  CommandResult verify(std::vector<std::string> flags = {}, const std::string& target = {}) {
    std::vector<std::string> command = {sluice_program(), "verify", source(),
                                        target.empty() ? target_ : target};
    command.insert(command.end(), flags.begin(), flags.end());
    return run_command(command);
  }

  Json verify_json(std::vector<std::string> flags, int expected_status) {
    flags.emplace_back("--json");
    const CommandResult result = verify(flags);
    EXPECT_EQ(result.exit_status, expected_status) << result.err << result.out;
    return Json::parse(result.out, nullptr, false);
  }

  void expect_refusal(const CommandResult& result, int status, const std::string& words) {
    EXPECT_EQ(result.exit_status, status) << result.err << result.out;
    EXPECT_NE(result.err.find(words), std::string::npos) << result.err;
    EXPECT_EQ(result.out, "");
  }

  // A role with just these privileges on t, words and the ledger.
  std::string role_with(const std::string& privileges) {
    execute(target_, "DROP ROLE IF EXISTS verifier");
    execute(target_,
            "CREATE ROLE verifier LOGIN; GRANT USAGE ON SCHEMA public, sluice TO verifier; GRANT SELECT ON "
            "ALL TABLES IN SCHEMA sluice TO verifier");
    if (!privileges.empty()) execute(target_, "GRANT " + privileges + " ON t, words TO verifier");
    std::string conninfo = target_;
    const std::string superuser = "user=postgres";
    const std::size_t at = conninfo.find(superuser);
    EXPECT_NE(at, std::string::npos) << conninfo;
    return conninfo.replace(at, superuser.size(), "user=verifier");
  }

  void TearDown() override {
    execute(target_,
            "DO $$ BEGIN IF to_regrole('verifier') IS NOT NULL THEN DROP OWNED BY verifier; END IF; END $$");
    execute(target_, "DROP ROLE IF EXISTS verifier");
  }

  TemporaryDirectory folder_;
  std::string target_;
};

// ---- the basis ----

TEST_F(Verify, SaysTheSameFromTheLedgerAndFromBothSides) {
  make_source(kSource);
  migrate();
  const Json ledger = verify_json({}, 0);
  const Json scan = verify_json({"--scan", "-j", "3"}, 0);
  EXPECT_EQ(ledger["basis"], "ledger");
  EXPECT_EQ(scan["basis"], "scan");
  EXPECT_EQ(ledger["root"], scan["root"]);
  EXPECT_EQ(ledger["root"], query_value(target_, "SELECT root FROM sluice.run"));
  for (std::size_t i = 0; i < 2; ++i) {
    EXPECT_EQ(
        ledger["tables"][i]["digest"],
        query_value(target_, "SELECT root FROM sluice.run_table WHERE table_no = " + std::to_string(i)));
  }
}

TEST_F(Verify, NeedsNoEarlierRun) {
  make_source(kSource);
  execute(
      target_,
      "CREATE TABLE words(n integer, word varchar(20) UNIQUE); CREATE TABLE \"T\"(extra int, id int, name "
      "text, n smallint, at timestamptz DEFAULT now())");
  execute(
      target_,
      "INSERT INTO words SELECT i, 'w' || i FROM generate_series(1, 3000) i; INSERT INTO \"T\"(id, name, n) "
      "SELECT i, 'name ' || i, i % 7 FROM generate_series(1, 50000) i; UPDATE words SET n = 0 WHERE n = 7");
  std::ofstream(folder_ / "map.toml") << "[tables.t.columns]\nat = { exclude = true }\n";
  const Json report = verify_json({"--config", (folder_ / "map.toml").string()}, 4);
  ASSERT_EQ(report["differences"].size(), 1u) << report;
  EXPECT_EQ(report["differences"][0]["key"], Json({{"word", "w7"}}));
  EXPECT_EQ(report["differences"][0]["columns"], Json({"n"}));
}

TEST_F(Verify, KnowsTheConversionsOfTheMigration) {
  make_source(
      "CREATE TABLE t(id INTEGER PRIMARY KEY, at INTEGER, note TEXT, code TEXT); INSERT INTO t VALUES (1, "
      "1700000000123, CAST(x'ff61' AS TEXT), ''), (2, 1700000000456, 'b', 'x')");
  std::ofstream(folder_ / "map.toml") << "[tables.t.columns]\nat = { epoch = \"ms\" }\nnote = { encoding = "
                                         "\"latin1\" }\ncode = { empty-as-null = true }\n";
  migrate({"--config", (folder_ / "map.toml").string()});
  EXPECT_EQ(verify().exit_status, 0);
  execute(target_, "UPDATE t SET at = at + interval '1 ms' WHERE id = 2");
  const Json report = verify_json({"--show-values"}, 4);
  EXPECT_EQ(report["differences"][0]["columns"], Json({"at"}));
  EXPECT_EQ(report["differences"][0]["values"][0]["source"], "1700000000456");
  EXPECT_EQ(verify({"--repair"}).exit_status, 0);
  EXPECT_EQ(query_value(target_, "SELECT count(*) FROM t WHERE at = '2023-11-14 22:13:20.456+00'"), "1");
}

TEST_F(Verify, ShowsNoValueUnasked) {
  make_source(kSource);
  migrate();
  execute(target_, "UPDATE t SET name = 'a secret of the target' WHERE id = 77");
  const CommandResult quiet = verify();
  EXPECT_EQ(quiet.exit_status, 4);
  EXPECT_NE(quiet.out.find("mismatch t {\"id\": 77}, column name\n"), std::string::npos) << quiet.out;
  EXPECT_EQ((quiet.out + quiet.err).find("secret"), std::string::npos);
  EXPECT_EQ((quiet.out + quiet.err).find("name 77"), std::string::npos);
  EXPECT_NE(verify({"--show-values"}).out.find("source 'name 77', target 'a secret of the target'"),
            std::string::npos);
}

TEST_F(Verify, NamesAsManyRowsAsAskedForAndCountsAll) {
  make_source(kSource);
  migrate();
  execute(target_, "DELETE FROM t WHERE id > 100; DELETE FROM words");
  const Json report = verify_json({"--max-report", "5"}, 4);
  EXPECT_EQ(report["differences"].size(), 5u);
  EXPECT_EQ(report["differences_unnamed"], 49'900 + 3000 - 5);
  EXPECT_EQ(verify({"--max-report", "0", "--repair"}).exit_status, 0);
  EXPECT_EQ(query_value(target_, "SELECT count(*) FROM t"), "50000");
}

TEST_F(Verify, ARowThatTheTargetCannotHoldIsMissing) {
  make_source("CREATE TABLE t(id INTEGER PRIMARY KEY, n); INSERT INTO t VALUES (1, 1), (2, 'two'), (3, 3)");
  execute(target_, "CREATE TABLE t(id bigint PRIMARY KEY, n integer); INSERT INTO t VALUES (1, 1), (3, 3)");
  const Json report = verify_json({}, 4);
  ASSERT_EQ(report["differences"].size(), 1u) << report;
  EXPECT_EQ(report["differences"][0]["kind"], "missing");
  EXPECT_EQ(report["differences"][0]["key"], Json({{"id", 2}}));
  EXPECT_NE(report["differences"][0]["reason"].get<std::string>().find("storage_class"), std::string::npos);
  EXPECT_EQ(verify({"--repair"}).exit_status, 4);
}

TEST_F(Verify, ReadsASampleOfTheLeaves) {
  make_source(kSource);
  migrate();
  const Json report = verify_json({"--sample", "30", "--sample-seed", "7"}, 0);
  EXPECT_EQ(report["status"], "sampled");
  EXPECT_EQ(report["sample_seed"], 7);
  const Json& table = report["tables"][0];
  EXPECT_LT(table["leaves_read"].get<int>(), table["leaves"].get<int>());
  // Some seed looks where the difference is, and some other does not.
  execute(target_, "DELETE FROM t WHERE id = 50000");
  bool seen = false;
  bool missed = false;
  for (int seed = 1; seed <= 30 && !(seen && missed); ++seed) {
    const int status = verify({"--sample", "30", "--sample-seed", std::to_string(seed)}).exit_status;
    (status == 4 ? seen : missed) = true;
  }
  EXPECT_TRUE(seen && missed);
}

TEST_F(Verify, SumsTheServersHashesOfTheLedger) {
  make_source(kSource);
  migrate({"--verify", "server"});
  EXPECT_EQ(query_value(target_, "SELECT count(*) FROM sluice.work WHERE server_sums IS NULL"), "0");
  EXPECT_EQ(verify_json({"--verify", "server"}, 0)["status"], "hashed");
  execute(target_, "UPDATE t SET n = n + 1 WHERE id = 31234");
  const Json report = verify_json({"--verify", "server"}, 4);
  EXPECT_EQ(report["tables"][0]["level"], "server");
  EXPECT_EQ(report["tables"][0]["leaves_differing"], 1);
  EXPECT_EQ(report["differences"][0]["key"], Json({{"id", 31234}}));
  // Loaded without: the table is read back, and that is said.
  target_ = shared_test_server().create_database("verify_test_without");
  migrate();
  const Json without = verify_json({"--verify", "server"}, 0);
  EXPECT_EQ(without["tables"][0]["level"], "full");
  EXPECT_NE(without["tables"][0]["note"].get<std::string>().find("migrate --verify server"),
            std::string::npos);
}

TEST_F(Verify, SumsOfTheServerShowNamesThatChangedPlaces) {
  make_source(
      "CREATE TABLE t(id INTEGER PRIMARY KEY, name TEXT); WITH RECURSIVE n(i) AS (VALUES (1) UNION ALL "
      "SELECT i + "
      "1 FROM n WHERE i < 60000) INSERT INTO t SELECT i, 'name ' || i FROM n");
  migrate({"--verify", "server"});
  // Pairs whose hashes cancel where a row is no more than the exclusive or of its fields.
  execute(
      target_,
      "UPDATE t SET name = 'name ' || v.other FROM (VALUES (333, 40473), (40473, 333), (2718, 7747), (7747, "
      "2718)) v(id, other) WHERE t.id = v.id");
  for (const std::vector<std::string>& flags :
       {std::vector<std::string>{"--verify", "server"}, {"--verify", "server", "--scan"}}) {
    const Json report = verify_json(flags, 4);
    EXPECT_EQ(report["tables"][0]["level"], "server");
    EXPECT_EQ(report["differences"].size(), 4u) << report;
  }
}

TEST_F(Verify, SumsOfAnEarlierHashAreNotComparedWithOurs) {
  make_source(kSource);
  migrate({"--verify", "server"});
  execute(target_, "UPDATE sluice.work SET server_sums = substr(server_sums, 2)");
  const Json report = verify_json({"--verify", "server"}, 0);
  for (const Json& table : report["tables"]) {
    EXPECT_EQ(table["level"], "full");
    EXPECT_NE(table["note"].get<std::string>().find("the ledger has no sums"), std::string::npos);
  }
}

// ---- types of the target's own ----

// A digit left out would make two values equal, and another form of a date two equal values different.
TEST_F(Verify, ComparesTextsInOneFormWhateverTheRolesSettings) {
  make_source(
      "CREATE TABLE t(id INTEGER PRIMARY KEY, n TEXT, d TEXT, z TEXT, i TEXT); INSERT INTO t VALUES (1, "
      "'{0.1,0.3}', '{2024-02-29}', '{\"2024-02-29 12:00:00+00\"}', '{\"1 day -02:00:00\"}')");
  execute(target_,
          "CREATE TABLE t(id bigint PRIMARY KEY, n float8[], d date[], z timestamptz[], i interval[]); "
          "INSERT INTO "
          "t VALUES (1, '{0.1,0.3}', '{2024-02-29}', '{2024-02-29 12:00:00+00}', '{1 day -02:00:00}')");
  for (const char* setting : {"extra_float_digits = -3", "datestyle = 'German'",
                              "timezone = 'Asia/Kathmandu'", "intervalstyle = 'sql_standard'"}) {
    execute(target_, "ALTER DATABASE verify_test SET " + std::string(setting));
  }
  EXPECT_EQ(verify().exit_status, 0) << verify().out;
  execute(target_, "UPDATE t SET n = '{0.1,0.30000000000000004}'");
  const Json report = verify_json({"--show-values"}, 4);
  ASSERT_EQ(report["differences"].size(), 1u) << report;
  EXPECT_EQ(report["differences"][0]["columns"], Json({"n"}));
  EXPECT_EQ(report["differences"][0]["values"][0]["target"], "{0.1,0.30000000000000004}") << report;
}

TEST_F(Verify, ComparesTypesThatTheServerRewrites) {
  make_source(
      "CREATE TABLE t(id INTEGER PRIMARY KEY, c TEXT, e TEXT, l TEXT, a TEXT, v TEXT);"
      "INSERT INTO t VALUES (1, 'ab', 'sad', '{1,2}', '10.0.0.1', 'v'), (2, 'abcd', 'happy', NULL, NULL, "
      "'w')");
  execute(
      target_,
      "CREATE TYPE mood AS ENUM ('sad', 'happy'); CREATE DOMAIN short AS varchar(10); CREATE TABLE t(id int "
      "PRIMARY KEY, c char(4), e mood, l int[], a inet, v short)");
  execute(target_,
          "INSERT INTO t VALUES (1, 'ab', 'sad', '{1,2}', '10.0.0.1', 'v'), (2, 'abcd', 'happy', NULL, NULL, "
          "'w')");
  EXPECT_EQ(verify().exit_status, 0) << verify().out;
  execute(target_, "UPDATE t SET c = 'ac', e = 'happy', l = '{1,3}', a = '10.0.0.2' WHERE id = 1");
  const Json report = verify_json({}, 4);
  EXPECT_EQ(report["differences"][0]["columns"], Json({"c", "e", "l", "a"}));
  const CommandResult repair = verify({"--repair"});
  EXPECT_EQ(repair.exit_status, 2);
  EXPECT_NE(repair.err.find("integer[]"), std::string::npos) << repair.err;
}

// A cast to text runs what its owner wrote, and as whoever verifies.
TEST_F(Verify, RunsNoCastOfATypesOwner) {
  make_source("CREATE TABLE t(k TEXT PRIMARY KEY, n INTEGER); INSERT INTO t VALUES ('sad', 1)");
  execute(target_, "CREATE TYPE mood AS ENUM ('sad', 'happy')");
  execute(
      target_,
      "CREATE TABLE t(k mood PRIMARY KEY, n bigint); INSERT INTO t VALUES ('sad', 1), ('happy', 2); CREATE "
      "FUNCTION print(mood) RETURNS text LANGUAGE plpgsql AS $$BEGIN RAISE EXCEPTION 'a cast was run'; "
      "END$$; "
      "CREATE CAST (mood AS text) WITH FUNCTION print(mood)");
  EXPECT_THROW(execute(target_, "SELECT k::text FROM t"), std::runtime_error);
  const Json report = verify_json({"--show-values"}, 4);
  ASSERT_EQ(report["differences"].size(), 1u) << report;
  EXPECT_EQ(report["differences"][0]["kind"], "extraneous");
  EXPECT_EQ(report["differences"][0]["key"], Json({{"k", "happy"}}));
}

// ---- repair ----

TEST_F(Verify, ARepairAsksForNoMoreThanItNeeds) {
  make_source(kSource);
  migrate();
  const std::string reader = role_with("SELECT");
  EXPECT_EQ(verify({}, reader).exit_status, 0);
  execute(target_, "DELETE FROM t WHERE id = 5");
  CommandResult refused = verify({"--repair"}, reader);
  EXPECT_EQ(refused.exit_status, 20);
  EXPECT_NE(refused.err.find("GRANT INSERT ON \"public\".\"t\" TO \"verifier\""), std::string::npos)
      << refused.err;
  execute(target_, "GRANT INSERT ON t TO verifier");
  refused = verify({"--repair"}, reader);
  EXPECT_EQ(refused.exit_status, 20);
  EXPECT_NE(refused.err.find("GRANT INSERT ON sluice.repair"), std::string::npos) << refused.err;
  execute(target_, "GRANT INSERT ON sluice.repair TO verifier");
  EXPECT_EQ(verify({"--repair"}, reader).exit_status, 0);
  execute(target_, "INSERT INTO words VALUES ('new', 1)");
  refused = verify({"--repair"}, reader);
  EXPECT_NE(refused.err.find("GRANT DELETE ON \"public\".\"words\""), std::string::npos) << refused.err;
  execute(target_, "GRANT DELETE ON words TO verifier");
  EXPECT_EQ(verify({"--repair"}, reader).exit_status, 0);
  EXPECT_EQ(
      query_value(target_,
                  "SELECT string_agg(target || rows_deleted || rows_inserted, ' ' ORDER BY target) FROM "
                  "sluice.repair"),
      "t01 words10");
  const CommandResult status = run_command({sluice_program(), "status", target_});
  EXPECT_NE(status.out.find("public.words from " + source()), std::string::npos) << status.out;
}

TEST_F(Verify, ARepairAsksForEveryColumnThatItFills) {
  make_source(kSource);
  migrate();
  const std::string reader = role_with("SELECT");
  execute(
      target_,
      "GRANT INSERT ON sluice.repair TO verifier; GRANT INSERT (id, name) ON t TO verifier; DELETE FROM t "
      "WHERE id = 5");
  const CommandResult refused = verify({"--repair"}, reader);
  EXPECT_EQ(refused.exit_status, 20);
  EXPECT_NE(refused.err.find("GRANT INSERT ON \"public\".\"t\" TO \"verifier\""), std::string::npos)
      << refused.err;
  execute(target_, "GRANT INSERT (at, n) ON t TO verifier");
  EXPECT_EQ(verify({"--repair"}, reader).exit_status, 0);
}

TEST_F(Verify, NothingOfTheTargetActsOnARepair) {
  make_source(
      "CREATE TABLE parent(id INTEGER PRIMARY KEY, name TEXT); CREATE TABLE child(id INTEGER PRIMARY KEY, p "
      "INTEGER REFERENCES parent ON DELETE CASCADE); INSERT INTO parent VALUES (1, 'a'), (2, 'b'); INSERT "
      "INTO "
      "child VALUES (1, 1), (2, 1), (3, 2)");
  migrate();
  execute(
      target_,
      "CREATE TABLE fired(n int); CREATE FUNCTION f() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN INSERT INTO "
      "fired VALUES (1); RETURN NULL; END'; UPDATE parent SET name = 'x' WHERE id = 1; CREATE TRIGGER z "
      "AFTER "
      "INSERT OR DELETE ON parent FOR EACH ROW EXECUTE FUNCTION f()");
  EXPECT_EQ(verify({"--repair"}).exit_status, 0);
  EXPECT_EQ(query_value(target_, "SELECT count(*) FROM child"), "3");
  EXPECT_EQ(query_value(target_, "SELECT count(*) FROM fired"), "0");
  // A role that may not say so is told what would act.
  execute(
      target_,
      "UPDATE parent SET name = 'x' WHERE id = 1; ALTER TABLE parent RENAME TO t; ALTER TABLE t RENAME TO "
      "parent; CREATE TABLE t(); CREATE TABLE words()");
  const std::string role = role_with("SELECT");
  execute(
      target_,
      "GRANT SELECT, INSERT, DELETE ON parent, child TO verifier; GRANT INSERT ON sluice.repair TO verifier");
  const CommandResult refused = verify({"--repair"}, role);
  EXPECT_EQ(refused.exit_status, 20) << refused.out;
  EXPECT_NE(refused.err.find("GRANT SET ON PARAMETER session_replication_role"), std::string::npos)
      << refused.err;
  EXPECT_EQ(query_value(target_, "SELECT name FROM parent WHERE id = 1"), "x");
}

TEST_F(Verify, RowsWithoutAKeyAreRepairedOnlyWhenAsked) {
  make_source("CREATE TABLE h(a, b); INSERT INTO h VALUES (1, 'x'), (1, 'x'), (2, 'y')");
  migrate();
  execute(target_, "DELETE FROM h WHERE ctid = (SELECT min(ctid) FROM h)");
  const CommandResult refused = verify({"--repair"});
  EXPECT_EQ(refused.exit_status, 2);
  EXPECT_NE(refused.err.find("--repair-without-key"), std::string::npos) << refused.err;
  EXPECT_NE(refused.out.find("missing h row "), std::string::npos) << refused.out;
  EXPECT_EQ(verify({"--repair", "--repair-without-key"}).exit_status, 0);
  EXPECT_EQ(query_value(target_, "SELECT count(*) FROM h WHERE b = 'x'"), "2");
}

TEST_F(Verify, AKilledRepairLeavesWholeLeavesAndGoesOn) {
  make_source(kSource);
  migrate();
  for (int attempt = 0; attempt < 6; ++attempt) {
    execute(target_,
            "TRUNCATE sluice.repair; UPDATE t SET n = 99 WHERE id % 3 = 0; DELETE FROM t WHERE id % 50 = 1; "
            "DELETE FROM words WHERE n % 2 = 0");
    CommandOptions options;
    options.signal = 9;
    options.signal_after = std::chrono::milliseconds(60 + 40 * attempt);
    const CommandResult killed =
        run_command({sluice_program(), "verify", source(), target_, "--repair"}, options);
    // What the ledger says was inserted is what came back, killed or not.
    const std::string there = query_value(target_,
                                          "SELECT (SELECT count(*) FROM t) + (SELECT count(*) FROM words) - "
                                          "coalesce((SELECT sum(rows_inserted - "
                                          "rows_deleted) FROM sluice.repair), 0)");
    EXPECT_EQ(there, std::to_string(50'000 - 1000 + 1500)) << killed.exit_status;
    ASSERT_TRUE(wait_for_sessions_to_end(target_));  // one of them keeps other repairs out
    EXPECT_EQ(verify({"--repair"}).exit_status, 0);
    EXPECT_EQ(query_value(target_, "SELECT count(*) FROM t WHERE n = 99"), "0");
  }
}

// ---- what is refused, before any row is read ----

TEST_F(Verify, RefusesWhatCannotBeCompared) {
  make_source(kSource);
  expect_refusal(verify(), 20, "the target has no such table");
  execute(target_, "CREATE TABLE t(id bigint, name text); CREATE TABLE words(word text, n bigint)");
  expect_refusal(verify(), 20, "has no such column");
  expect_refusal(verify({"--tables", "nothing"}), 2, "nothing");
  EXPECT_EQ(verify({"--tables", "words"}).exit_status, 4);
  execute(target_, "DROP TABLE t; CREATE TABLE t(id bigint) PARTITION BY RANGE (id)");
  expect_refusal(verify(), 20, "partitioned");
}

TEST_F(Verify, RefusesATargetThatWasChangedSince) {
  make_source(kSource);
  migrate();
  execute(target_, "ALTER TABLE t ALTER n TYPE integer");
  expect_refusal(verify(), 20, "it was loaded as bigint and is integer in the target now");
  execute(target_, "ALTER TABLE t DROP COLUMN n");
  expect_refusal(verify(), 20, "is gone from");
  execute(target_, "DROP TABLE t");
  expect_refusal(verify(), 20, "is gone from the target");
  EXPECT_EQ(verify({"--tables", "words"}).exit_status, 0);
}

TEST_F(Verify, RefusesASourceThatIsNotTheOneMigrated) {
  make_source(kSource);
  migrate();
  std::filesystem::copy_file(source(), folder_ / "other.sqlite");
  const CommandResult other =
      run_command({sluice_program(), "verify", (folder_ / "other.sqlite").string(), target_});
  expect_refusal(other, 11, "which is another file");
  EXPECT_EQ(run_command({sluice_program(), "verify", (folder_ / "other.sqlite").string(), target_, "--scan"})
                .exit_status,
            0);
  make_source("UPDATE t SET n = 8 WHERE id = 3");
  expect_refusal(verify(), 11, "--scan");
  EXPECT_EQ(verify_json({"--scan"}, 4)["differences"][0]["key"], Json({{"id", 3}}));
  expect_refusal(run_command({sluice_program(), "verify", (folder_ / "none.sqlite").string(), target_}), 10,
                 "none.sqlite");
}

TEST_F(Verify, RefusesARoleThatMayNotRead) {
  make_source(kSource);
  migrate();
  expect_refusal(verify({}, role_with("")), 20, "GRANT SELECT ON \"public\".\"t\"");
  execute(target_, "GRANT SELECT ON t, words TO verifier; ALTER TABLE words ENABLE ROW LEVEL SECURITY");
  std::string role = target_;
  role.replace(role.find("user=postgres"), 13, "user=verifier");
  expect_refusal(verify({}, role), 20, "row-level security");
}

TEST_F(Verify, ReadingTheLedgerTakesNoMoreThanToSeeIt) {
  make_source(kSource);
  migrate();
  const std::string role = role_with("SELECT");
  const auto expect_hint = [&](const CommandResult& result) {
    EXPECT_EQ(result.exit_status, 20);
    EXPECT_NE(
        result.err.find("GRANT USAGE ON SCHEMA sluice TO \"verifier\"; GRANT SELECT ON ALL TABLES IN SCHEMA "
                        "sluice TO \"verifier\" (sluice verify --scan"),
        std::string::npos)
        << result.err;
  };
  execute(target_, "REVOKE SELECT ON sluice.work FROM verifier");
  expect_hint(verify({}, role));
  execute(target_,
          "REVOKE ALL ON ALL TABLES IN SCHEMA sluice FROM verifier; REVOKE USAGE ON SCHEMA sluice FROM "
          "verifier");
  expect_hint(verify({}, role));
  expect_hint(run_command({sluice_program(), "status", role}));
  EXPECT_EQ(verify({"--scan"}, role).exit_status, 0);
  execute(
      target_,
      "GRANT USAGE ON SCHEMA sluice TO verifier; GRANT SELECT ON ALL TABLES IN SCHEMA sluice TO verifier");
  EXPECT_EQ(verify({}, role).exit_status, 0);
}

TEST_F(Verify, RefusesALedgerOfANewerSluice) {
  make_source(kSource);
  migrate();
  execute(target_, "UPDATE sluice.run SET format = format + 1");
  constexpr const char* kWords = "the ledger was written by a newer sluice";
  expect_refusal(verify(), 20, kWords);
  expect_refusal(run_command({sluice_program(), "status", target_}), 20, kWords);
  expect_refusal(run_command({sluice_program(), "migrate", source(), target_}), 20, kWords);
  EXPECT_EQ(verify({"--scan"}).exit_status, 0);
  // A repair is recorded in it.
  execute(target_, "DELETE FROM t WHERE id = 5");
  const CommandResult repair = verify({"--scan", "--repair"});
  EXPECT_EQ(repair.exit_status, 20);
  EXPECT_NE(repair.err.find(kWords), std::string::npos) << repair.err;
  EXPECT_EQ(query_value(target_, "SELECT count(*) FROM t"), "49999");
}

TEST_F(Verify, RefusesAPlanOfTheLedgerThatCannotBeRead) {
  make_source(kSource);
  migrate();
  for (const char* plan : {"'[]'", "'{\"format\": \"one\"}'", "json_strip_nulls(plan)::jsonb - 'columns'",
                           "plan::jsonb || '{\"digest_format\": 99}'"}) {
    execute(target_,
            std::string("UPDATE sluice.run_table SET plan = (") + plan + ")::json WHERE target = 't'");
    expect_refusal(verify(), 20, "--scan");
  }
  EXPECT_EQ(verify({"--scan"}).exit_status, 0);
}

TEST_F(Verify, NamesTheSchemaThatTheSourceWasMigratedInto) {
  make_source(kSource);
  migrate({"--schema", "app"});
  const CommandResult result = verify();
  expect_refusal(result, 20, "the target has no such table");
  EXPECT_NE(result.err.find("--schema \"app\""), std::string::npos) << result.err;
}

TEST_F(Verify, RefusesFlagsThatContradict) {
  make_source(kSource);
  expect_refusal(verify({"--repair", "--sample", "5"}), 2, "--sample");
  expect_refusal(verify({"--repair", "--verify", "count"}), 2, "--verify count");
  expect_refusal(verify({"--repair-without-key"}), 2, "--repair");
  expect_refusal(verify({"--verify", "none"}), 2, "none");
  expect_refusal(verify({"--target", target_}), 20, "no such table");
}

// ---- standbys ----

TEST_F(Verify, SpreadsTheReadBackOverStandbys) {
  make_source(kSource);
  migrate();
  expect_refusal(verify({"--target", target_}), 2, "no standby");

  TestServer& primary = shared_test_server();
  const TemporaryDirectory copy;
  const std::filesystem::path data = copy / "data";
  CommandOptions as_server;
  as_server.user = "postgres";
  if (geteuid() == 0) {
    ASSERT_EQ(run_command({"chown", "postgres", copy.path().string()}).exit_status, 0);
  }
  const CommandResult backup =
      run_command({(primary.binaries() / "pg_basebackup").string(), "-D", data.string(), "-R", "-X", "stream",
                   "-c", "fast", "-h", primary.socket_directory().string(), "-U", "postgres"},
                  as_server);
  ASSERT_EQ(backup.exit_status, 0) << backup.err;
  RunningCommand standby({(primary.binaries() / "postgres").string(), "-D", data.string(), "-k",
                          copy.path().string(), "-c", "listen_addresses="},
                         as_server);
  const std::string standby_target = "host=" + copy.path().string() + " user=postgres dbname=verify_test";
  const auto answers = [&] {
    try {
      return query_value(standby_target, "SELECT 1") == "1";
    } catch (const std::exception&) {
      return false;
    }
  };
  ASSERT_TRUE(wait_until(answers)) << standby.err_so_far();
  // Changed after the standby began: it is only seen there once that is replayed.
  execute(target_, "UPDATE t SET n = n + 1 WHERE id = 49999");
  const Json report = verify_json({"--target", standby_target, "-j", "4"}, 4);
  EXPECT_EQ(report["differences"].size(), 1u) << report;
  EXPECT_GT(std::stoi(query_value(standby_target,
                                  "SELECT sum(seq_scan + coalesce(idx_scan, 0)) FROM pg_stat_user_tables")),
            -1);
  EXPECT_EQ(verify({"--target", standby_target, "--repair"}).exit_status, 0);
  // Sessions that the standby ends, some of them while they read, come back.
  int tried_again = 0;
  for (int transaction = 6; transaction < 18; ++transaction) {
    CommandOptions options;
    options.environment = {{"SLUICE_FAILPOINT", "after BEGIN:" + std::to_string(transaction) + ":stop"}};
    RunningCommand running({sluice_faults_program(), "verify", source(), target_, "--target", standby_target,
                            "--jobs", "2", "--retry-for", "5min"},
                           options);
    if (!wait_until([&] { return is_stopped(running.pid()) || !running.running(); })) break;
    execute(
        standby_target,
        "SELECT pg_terminate_backend(pid, 10000) FROM pg_stat_activity WHERE application_name = 'sluice'");
    running.send(SIGCONT);
    EXPECT_EQ(running.wait().exit_status, 0) << running.wait().err;
    tried_again += contains(running.wait().err, "trying again in") ? 1 : 0;
  }
  EXPECT_GT(tried_again, 0);
  execute(standby_target, "SELECT pg_wal_replay_pause()");
  execute(target_, "UPDATE t SET n = n + 1 WHERE id = 7");
  expect_refusal(verify({"--target", standby_target, "--replica-wait", "1"}), 21, "has not replayed");
  execute(standby_target, "SELECT pg_wal_replay_resume()");
  standby.send(SIGINT);
  standby.wait();
}

}  // namespace
}  // namespace sluice::testing
