// sluice verify --repair where the target has more to say than the rows that are compared: columns, keys and
// constraints of its own, rows that do not fit, other runs, another repair.

#include <gtest/gtest.h>

#include <chrono>
#include <nlohmann/json.hpp>
#include <stdexcept>
#include <string>
#include <thread>
#include <vector>

#include "support/command.h"
#include "support/query.h"
#include "support/temporary_directory.h"
#include "support/test_server.h"

namespace sluice::testing {
namespace {

using Json = nlohmann::json;

class Repair : public ::testing::Test {
 protected:
  void SetUp() override { target_ = shared_test_server().create_database("repair_test"); }
  void TearDown() override {
    execute(target_,
            "DO $$ BEGIN IF to_regrole('mender') IS NOT NULL THEN DROP OWNED BY mender; END IF; END $$");
    execute(target_, "DROP ROLE IF EXISTS mender");
  }

  void make_source(const std::string& script) {
    CommandOptions options;
    options.input = script;
    const CommandResult made = run_command({"sqlite3", "-batch", "-bail", source()}, options);
    ASSERT_EQ(made.exit_status, 0) << made.err;
  }

  [[nodiscard]] std::string source() const { return (folder_ / "source.sqlite").string(); }

  void migrate(std::vector<std::string> flags = {}, int expected_status = 0) {
    flags.insert(flags.begin(), {sluice_program(), "migrate", source(), target_});
    const CommandResult result = run_command(flags);
    ASSERT_EQ(result.exit_status, expected_status) << result.err << result.out;
  }

  Json verify(std::vector<std::string> flags, int expected_status, const std::string& target = {}) {
    flags.insert(flags.begin(),
                 {sluice_program(), "verify", source(), target.empty() ? target_ : target, "--json"});
    const CommandResult result = run_command(flags);
    EXPECT_EQ(result.exit_status, expected_status) << result.err << result.out;
    return Json::parse(result.out, nullptr, false);
  }

  // "mismatch t {"id":1} n" for each row that is named.
  static std::vector<std::string> named(const Json& report) {
    std::vector<std::string> rows;
    for (const Json& difference : report["differences"]) {
      std::string row = difference["kind"].get<std::string>() + " " + difference["table"].get<std::string>() +
                        " " + difference["key"].dump();
      for (const Json& column : difference.value("columns", Json::array()))
        row += " " + column.get<std::string>();
      rows.push_back(row);
    }
    return rows;
  }

  static std::string reason(const Json& report, std::size_t number) {
    return report["differences"].at(number).value("reason", "");
  }

  std::string value(const std::string& sql) { return query_value(target_, sql); }

  std::string role_with(const std::string& privileges, const std::string& tables) {
    execute(target_,
            "CREATE ROLE mender LOGIN; GRANT USAGE ON SCHEMA public, sluice TO mender; GRANT SELECT ON ALL "
            "TABLES IN SCHEMA sluice TO mender; GRANT INSERT ON sluice.repair TO mender; GRANT " +
                privileges + " ON " + tables + " TO mender");
    std::string conninfo = target_;
    const std::size_t at = conninfo.find("user=postgres");
    EXPECT_NE(at, std::string::npos) << conninfo;
    return conninfo.replace(at, 13, "user=mender");
  }

  TemporaryDirectory folder_;
  std::string target_;
};

using Names = std::vector<std::string>;

// ---- rows of the source that do not fit ----

// A target that another tool has filled, rounding as it went.
TEST_F(Repair, NeverDeletesWhatItCannotPutBack) {
  make_source(
      "CREATE TABLE orders(id INTEGER PRIMARY KEY, at DATETIME, total DECIMAL(10,2));"
      "INSERT INTO orders VALUES (1, '2023-01-01 10:00:00.1234567', 10), (2, '2023-01-01 10:00:00', 9.999),"
      "(3, '2023-01-01', 1), (4, '2023-01-01', 4)");
  execute(target_,
          "CREATE TABLE orders(id bigint PRIMARY KEY, at timestamp, total numeric(10,2));"
          "INSERT INTO orders VALUES (1, '2023-01-01 10:00:00.1234567', 10), (2, '2023-01-01 10:00:00', "
          "9.999), (3, '2023-01-01', 7), (5, '2023-01-01', 5)");
  const Json before = verify({}, 4);
  EXPECT_EQ(named(before), Names({R"(missing orders {"id":4})", R"(mismatch orders {"id":1} at)",
                                  R"(mismatch orders {"id":2} total)", R"(mismatch orders {"id":3} total)",
                                  R"(extraneous orders {"id":5})"}));
  const Json after = verify({"--repair"}, 4);
  EXPECT_EQ(after["repair"]["rows_deleted"], 2);
  EXPECT_EQ(after["repair"]["rows_inserted"], 2);
  EXPECT_EQ(named(after), Names({R"(mismatch orders {"id":1} at)", R"(mismatch orders {"id":2} total)"}));
  EXPECT_EQ(value("SELECT string_agg(id || '=' || total, ' ' ORDER BY id) FROM orders"),
            "1=10.00 2=10.00 3=1.00 4=4.00");
}

TEST_F(Repair, KeepsARowThatWasPutInForARejectedOne) {
  make_source(
      "CREATE TABLE t(id INTEGER PRIMARY KEY, n INTEGER); INSERT INTO t VALUES (1, 1), (2, 'two'), (3, 3)");
  migrate({"--on-misfit", "reject", "--report", (folder_ / "report").string()}, 3);
  const Json rejected = verify({}, 4);
  EXPECT_EQ(named(rejected), Names({R"(missing t {"id":2})"}));
  EXPECT_NE(reason(rejected, 0).find("storage_class"), std::string::npos);
  EXPECT_EQ(rejected["tables"][0]["rows_source"], 3);
  execute(target_, "INSERT INTO t VALUES (2, 2)");
  EXPECT_EQ(named(verify({"--repair"}, 4)), Names({R"(mismatch t {"id":2} n)"}));
  EXPECT_EQ(value("SELECT n FROM t WHERE id = 2"), "2");
}

TEST_F(Repair, RefusesToDeleteWhereUnfitRowsHaveNoKey) {
  make_source("CREATE TABLE h(a INTEGER, b TEXT); INSERT INTO h VALUES ('no number', 'x'), (2, 'y')");
  execute(target_, "CREATE TABLE h(a bigint, b text); INSERT INTO h VALUES (0, 'x'), (2, 'y')");
  verify({"--repair", "--repair-without-key"}, 2);
  EXPECT_EQ(value("SELECT count(*) FROM h"), "2");
}

// ---- the basis ----

TEST_F(Repair, EveryTableIsComparedWhicheverRunLoadedIt) {
  make_source(
      "CREATE TABLE a(id INTEGER PRIMARY KEY, n INTEGER); INSERT INTO a VALUES (1, 1);"
      "CREATE TABLE b(id INTEGER PRIMARY KEY, n INTEGER); INSERT INTO b VALUES (1, 1)");
  migrate();
  migrate({"--include", "b", "--table-handling", "drop"});
  execute(target_, "UPDATE a SET n = 666");
  const Json report = verify({}, 4);
  EXPECT_EQ(report["basis"], "ledger");
  EXPECT_EQ(named(report), Names({R"(mismatch a {"id":1} n)"}));
  EXPECT_EQ(verify({"--tables", "a"}, 4)["tables"].size(), 1u);
  EXPECT_EQ(verify({"--repair"}, 0)["status"], "repaired");
}

TEST_F(Repair, TablesWithoutRangesAreScanned) {
  make_source("CREATE TABLE t(id INTEGER PRIMARY KEY, name TEXT); INSERT INTO t VALUES (1, 'a'), (2, 'b')");
  migrate({"--schema-only"});
  const Json report = verify({}, 4);
  EXPECT_EQ(report["basis"], "scan");
  EXPECT_EQ(report["tables"][0]["missing"], 2);
  verify({"--repair"}, 0);
  EXPECT_EQ(verify({}, 0)["status"], "equal");
}

// ---- what the target has of its own ----

TEST_F(Repair, ColumnsThatTheSourceDoesNotHaveKeepTheirValues) {
  make_source(
      "CREATE TABLE t(id INTEGER PRIMARY KEY, name TEXT, n INTEGER);"
      "INSERT INTO t VALUES (1, 'a', 1), (2, 'b', 2), (3, 'c', 3)");
  migrate();
  execute(target_,
          "ALTER TABLE t ADD note text, ADD seen timestamptz NOT NULL DEFAULT '2020-01-01Z';"
          "UPDATE t SET note = 'precious ' || id, seen = '2024-05-06 07:08:09Z';"
          "UPDATE t SET n = 99 WHERE id = 1; DELETE FROM t WHERE id = 3");
  verify({"--repair"}, 0);
  EXPECT_EQ(value("SELECT string_agg(n || ':' || coalesce(note, '-') || ':' || extract(year FROM seen), ' ' "
                  "ORDER BY id) FROM t"),
            "1:precious 1:2024 2:precious 2:2024 3:-:2020");
}

TEST_F(Repair, UniqueValuesThatHaveChangedPlacesComeBack) {
  make_source(
      "CREATE TABLE w(k TEXT PRIMARY KEY, u INTEGER UNIQUE);"
      "WITH RECURSIVE n(i) AS (VALUES (1) UNION ALL SELECT i + 1 FROM n WHERE i < 40) INSERT INTO w SELECT "
      "'k' || i, i FROM n;"
      "CREATE TABLE o(id INTEGER PRIMARY KEY, email TEXT UNIQUE);"
      "WITH RECURSIVE n(i) AS (VALUES (1) UNION ALL SELECT i + 1 FROM n WHERE i < 60000) INSERT INTO o "
      "SELECT "
      "i, 'e' || i FROM n");
  migrate();
  execute(
      target_,
      "UPDATE w SET k = 'zz' || k WHERE u < 20;"
      "UPDATE w SET u = -u; UPDATE w SET u = 61 + u WHERE u IN (-30, -31); UPDATE w SET u = -u WHERE u < 0;"
      "UPDATE o SET email = 'x' WHERE id = 1; UPDATE o SET email = 'e1' WHERE id = 59999;"
      "UPDATE o SET email = 'e59999' WHERE id = 1");
  const Json report = verify({"--repair"}, 0);
  EXPECT_EQ(report["status"], "repaired");
  EXPECT_EQ(verify({"--scan"}, 0)["status"], "equal");
}

TEST_F(Repair, ForeignKeysStayTrue) {
  make_source(
      "CREATE TABLE p(id INTEGER PRIMARY KEY, name TEXT); INSERT INTO p VALUES (1, 'a'), (2, 'b');"
      "CREATE TABLE c(id INTEGER PRIMARY KEY, p INTEGER REFERENCES p(id)); INSERT INTO c VALUES (1, 1), (2, "
      "2)");
  migrate();
  execute(target_,
          "CREATE TABLE audit(p bigint REFERENCES p(id) ON DELETE CASCADE, what text);"
          "INSERT INTO p VALUES (3, 'new'); INSERT INTO audit VALUES (3, 'something'), (1, 'else')");
  const Json referred = verify({"--repair"}, 4);
  EXPECT_EQ(named(referred), Names({R"(extraneous p {"id":3})"}));
  EXPECT_NE(reason(referred, 0).find("audit_p_fkey"), std::string::npos);
  EXPECT_EQ(value("SELECT count(*) FROM audit a JOIN p ON p.id = a.p"), "2");
  // A row that comes back takes nothing with it.
  execute(target_, "DELETE FROM audit WHERE p = 3; UPDATE p SET name = 'z' WHERE id = 1");
  verify({"--repair"}, 0);
  EXPECT_EQ(value("SELECT count(*) FROM audit"), "1");
  EXPECT_EQ(value("SELECT count(*) FROM p"), "2");
  // A child without its parent is not let in.
  execute(target_, "DELETE FROM c WHERE id = 2; DELETE FROM p WHERE id = 2");
  const Json orphan = verify({"--repair", "--tables", "c"}, 4);
  EXPECT_EQ(named(orphan), Names({R"(missing c {"id":2})"}));
  EXPECT_NE(reason(orphan, 0).find("c_p_fkey"), std::string::npos);
  verify({"--repair"}, 0);
}

TEST_F(Repair, ARoleWithoutTheRightToSuspendForeignKeysKeepsThem) {
  make_source(
      "CREATE TABLE p(id INTEGER PRIMARY KEY, name TEXT); INSERT INTO p VALUES (1, 'a'), (2, 'b');"
      "CREATE TABLE c(id INTEGER PRIMARY KEY, p INTEGER REFERENCES p(id)); INSERT INTO c VALUES (1, 1), (2, "
      "2)");
  migrate();
  execute(target_,
          "DELETE FROM c WHERE id = 2; DELETE FROM p WHERE id = 2; UPDATE p SET name = 'z' WHERE id = 1");
  const std::string role = role_with("SELECT, INSERT, DELETE", "p, c");
  const Json report = verify({"--repair"}, 4, role);
  EXPECT_EQ(report["repair"]["rows_inserted"], 2);
  EXPECT_EQ(named(report), Names({R"(mismatch p {"id":1} name)"}));
  EXPECT_NE(reason(report, 0).find("c_p_fkey"), std::string::npos);
}

TEST_F(Repair, OneRefusedRowKeepsNoOtherBack) {
  make_source(
      "CREATE TABLE t(id INTEGER PRIMARY KEY, n INTEGER);"
      "WITH RECURSIVE n(i) AS (VALUES (1) UNION ALL SELECT i + 1 FROM n WHERE i < 50000) INSERT INTO t "
      "SELECT "
      "i, i FROM n; UPDATE t SET n = -1 WHERE id IN (5, 6)");
  migrate();
  execute(target_,
          "ALTER TABLE t ADD CONSTRAINT positive CHECK (n > 0) NOT VALID;"
          "DELETE FROM t WHERE id IN (3, 4, 5, 6, 7, 49999)");
  const Json report = verify({"--repair", "--jobs", "1"}, 4);
  EXPECT_EQ(report["repair"]["rows_inserted"], 4);
  EXPECT_EQ(report["repair"]["rows_refused"], 2);
  EXPECT_EQ(named(report), Names({R"(missing t {"id":5})", R"(missing t {"id":6})"}));
  EXPECT_NE(reason(report, 0).find("positive"), std::string::npos);
}

TEST_F(Repair, ARuleThatTakesDeletesElsewhereIsRefused) {
  make_source("CREATE TABLE t(id INTEGER PRIMARY KEY, n INTEGER); INSERT INTO t VALUES (1, 1), (2, 2)");
  migrate();
  execute(target_,
          "UPDATE t SET n = 9 WHERE id = 1; CREATE RULE keep AS ON DELETE TO t DO INSTEAD NOTHING;"
          "ALTER TABLE t ENABLE ALWAYS RULE keep");
  const CommandResult result = run_command({sluice_program(), "verify", source(), target_, "--repair"});
  EXPECT_EQ(result.exit_status, 20) << result.err;
  EXPECT_NE(result.err.find("rule keep would act"), std::string::npos) << result.err;
}

TEST_F(Repair, OneAtATimeWorksOnATable) {
  make_source("CREATE TABLE h(a INTEGER, b TEXT); INSERT INTO h VALUES (1, 'x'), (2, 'y')");
  migrate();
  execute(target_, "DELETE FROM h WHERE a = 1");
  // What a repair holds as long as it runs.
  std::thread other([&] {
    try {
      execute(target_,
              "SELECT pg_advisory_xact_lock(1936487785, 'public.h'::regclass::oid::bigint::bit(32)::integer);"
              "SELECT pg_sleep(60)");
    } catch (const std::runtime_error&) {
      // Cancelled below.
    }
  });
  const std::string holder = "FROM pg_locks WHERE locktype = 'advisory' AND classid = 1936487785 AND granted";
  while (value("SELECT count(*) " + holder) == "0")
    std::this_thread::sleep_for(std::chrono::milliseconds(10));
  const std::vector<std::string> command = {sluice_program(), "verify",   source(),
                                            target_,          "--repair", "--repair-without-key"};
  const CommandResult refused = run_command(command);
  EXPECT_EQ(refused.exit_status, 21) << refused.err;
  EXPECT_NE(refused.err.find("being repaired by another sluice"), std::string::npos) << refused.err;
  execute(target_, "SELECT pg_cancel_backend(pid) " + holder);
  other.join();
  EXPECT_EQ(run_command(command).exit_status, 0);
  EXPECT_EQ(value("SELECT count(*) FROM h"), "2");
}

// Many rows to compare where only scans find them: told apart by sums first (kPartBits in differences.cc).
TEST_F(Repair, ManyRowsWithoutAKeyAreToldApartByOneScan) {
  make_source(
      "CREATE TABLE h(a INTEGER, b TEXT);"
      "WITH RECURSIVE n(i) AS (VALUES (1) UNION ALL SELECT i + 1 FROM n WHERE i < 150000) INSERT INTO h "
      "SELECT "
      "i, 'value ' || i FROM n");
  migrate();
  execute(target_,
          "UPDATE h SET b = b || '!' WHERE a % 500 = 0; INSERT INTO h SELECT * FROM h WHERE a % 750 = 1;"
          "DELETE FROM h WHERE a % 1000 = 7");
  const Json report = verify({"--repair", "--repair-without-key", "--max-report", "0"}, 0);
  EXPECT_EQ(report["tables"][0]["missing"], 300 + 150);
  EXPECT_EQ(report["tables"][0]["extraneous"], 300 + 200);
  EXPECT_EQ(verify({"--scan"}, 0)["status"], "equal");
}

}  // namespace
}  // namespace sluice::testing
