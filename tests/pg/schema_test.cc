// What becomes of keys, indexes and constraints that PostgreSQL sees differently.

#include <gtest/gtest.h>

#include <fstream>
#include <nlohmann/json.hpp>
#include <string>

#include "support/command.h"
#include "support/query.h"
#include "support/temporary_directory.h"
#include "support/test_server.h"

namespace sluice::testing {
namespace {

using Json = nlohmann::json;

class Schema : public ::testing::Test {
 protected:
  // Makes a SQLite file from a script and migrates it into a fresh database.
  void migrate(const std::string& script, int expected_status = 0) {
    const std::string file = (folder_ / "source.sqlite").string();
    CommandOptions options;
    options.input = script;
    const CommandResult made = run_command({"sqlite3", "-batch", "-bail", file}, options);
    ASSERT_EQ(made.exit_status, 0) << made.err;
    target_ = shared_test_server().create_database("schema_test");
    const std::string report = (folder_ / "report").string();
    const CommandResult result =
        run_command({sluice_program(), "migrate", file, target_, "--report", report});
    ASSERT_EQ(result.exit_status, expected_status) << result.err << result.out;
    std::ifstream json(report + "/report.json");
    report_ = Json::parse(json);
  }

  // The entry of an object in the report.
  Json object(const std::string& kind, const std::string& table) const {
    for (const Json& object : report_["objects"]) {
      if (object["kind"] == kind && object["table"] == table) return object;
    }
    ADD_FAILURE() << kind << " of " << table << " is not in the report";
    return {};
  }

  static bool mentions(const Json& text, const std::string& part) {
    return text.get<std::string>().find(part) != std::string::npos;
  }

  TemporaryDirectory folder_;
  std::string target_;
  Json report_;
};

TEST_F(Schema, SequencesGetOutOfTheWayOfTablesAndIndexes) {
  migrate(
      "CREATE TABLE t(id INTEGER PRIMARY KEY, v); INSERT INTO t(v) VALUES (1), (2);"
      "CREATE TABLE t_id_seq(a); INSERT INTO t_id_seq VALUES (7);"
      "CREATE TABLE u(id INTEGER PRIMARY KEY); CREATE INDEX u_id_seq ON t(v);");
  EXPECT_EQ(query_value(target_, "SELECT a FROM t_id_seq"), "7");
  EXPECT_EQ(query_value(target_, "INSERT INTO t(v) VALUES (9) RETURNING id"), "3");
  EXPECT_EQ(object("index", "t")["status"], "created");
}

TEST_F(Schema, APrimaryKeyWithNullsBecomesUniqueAndLosesNoRow) {
  migrate("CREATE TABLE t(k TEXT PRIMARY KEY, v); INSERT INTO t VALUES ('a', 1), (NULL, 2), (NULL, 3);");
  EXPECT_EQ(query_value(target_, "SELECT count(*) FROM t"), "3");
  const Json key = object("primary_key", "t");
  EXPECT_EQ(key["status"], "created");
  EXPECT_TRUE(mentions(key["reason"], "2 rows have NULL in the primary key, so it arrives as UNIQUE")) << key;
  EXPECT_TRUE(mentions(key["proposal"], "ADD PRIMARY KEY")) << key;
  EXPECT_EQ(query_value(target_, "SELECT contype FROM pg_constraint WHERE conrelid = 't'::regclass"), "u");
  EXPECT_THROW(execute(target_, "INSERT INTO t VALUES ('a', 4)"), std::runtime_error);
}

TEST_F(Schema, AKeyWithoutCaseIsMarkedAsComparingExactlyNow) {
  migrate("CREATE TABLE t(name TEXT PRIMARY KEY COLLATE NOCASE); INSERT INTO t VALUES ('a'), ('B');");
  const Json key = object("primary_key", "t");
  EXPECT_EQ(key["status"], "created");
  EXPECT_TRUE(mentions(key["reason"], "NOCASE")) << key;
  execute(target_, key["proposal"].get<std::string>());
  EXPECT_THROW(execute(target_, "INSERT INTO t VALUES ('A')"), std::runtime_error);
}

TEST_F(Schema, ValuesTooLongForAnIndexLoseTheIndexAndAreToldAboutHashes) {
  migrate(
      "CREATE TABLE t(k TEXT UNIQUE, n INTEGER);"
      "WITH RECURSIVE c(i, s) AS (SELECT 1, hex(randomblob(9000)) UNION ALL SELECT i + 1, "
      "hex(randomblob(9000)) "
      "FROM c WHERE i < 3) INSERT INTO t SELECT s, i FROM c;");
  EXPECT_EQ(query_value(target_, "SELECT count(*) FROM t"), "3");
  const Json index = object("unique", "t");
  EXPECT_EQ(index["status"], "not_created");
  EXPECT_TRUE(mentions(index["reason"], "54000")) << index;
  const std::string proposal = index["proposal"];
  execute(target_, proposal.substr(proposal.find("CREATE INDEX")));
}

TEST_F(Schema, DoubleRowsOfAUniqueIndexAreFoundByTheProposedQuery) {
  // SQLite tells 1 and '1' apart in a column without a type; as text they are the same.
  migrate("CREATE TABLE t(k UNIQUE); INSERT INTO t VALUES (1), ('1'), (2);");
  const Json index = object("unique", "t");
  EXPECT_EQ(index["status"], "not_created");
  const std::string proposal = index["proposal"];
  const std::size_t begin = proposal.find("SELECT");
  const auto rows = query(target_, proposal.substr(begin, proposal.find("; remove") - begin));
  ASSERT_EQ(rows.size(), 1U);
  EXPECT_EQ(rows[0][0], "1");
}

TEST_F(Schema, AForeignKeyBetweenTypesIsListedWithBothTypes) {
  migrate(
      "CREATE TABLE p(id INTEGER PRIMARY KEY); INSERT INTO p VALUES (1);"
      "CREATE TABLE c(p_id TEXT REFERENCES p(id)); INSERT INTO c VALUES ('1'), ('01');");
  EXPECT_EQ(query_value(target_, "SELECT max(p_id) || min(p_id) FROM c"), "101")
      << "01 is more than a number";
  const Json key = object("foreign_key", "c");
  EXPECT_EQ(key["status"], "not_created");
  EXPECT_TRUE(mentions(key["reason"], "incompatible types: text and bigint")) << key;
  EXPECT_TRUE(mentions(key["proposal"], "one type")) << key;
}

TEST_F(Schema, ChildrenOfNumbersThatAreAllNumbersTakeTheirType) {
  migrate(
      "CREATE TABLE p(id INTEGER PRIMARY KEY); INSERT INTO p VALUES (1), (-20);"
      "CREATE TABLE c(p_id TEXT REFERENCES p(id)); INSERT INTO c VALUES ('1'), (NULL), ('-20');");
  EXPECT_EQ(object("foreign_key", "c")["status"], "created");
  EXPECT_EQ(query_value(target_, "SELECT pg_typeof(p_id) || ' ' || sum(p_id) OVER () FROM c LIMIT 1"),
            "bigint -19");
}

TEST_F(Schema, OrphansLeaveTheForeignKeyInForceButNotValid) {
  migrate(
      "CREATE TABLE p(id INTEGER PRIMARY KEY); INSERT INTO p VALUES (1);"
      "CREATE TABLE c(p_id INTEGER REFERENCES p(id) ON DELETE CASCADE); INSERT INTO c VALUES (1), (2), "
      "(NULL);");
  const Json key = object("foreign_key", "c");
  EXPECT_EQ(key["status"], "created");
  EXPECT_TRUE(mentions(key["reason"], "NOT VALID")) << key;
  EXPECT_EQ(
      query_value(target_,
                  "SELECT convalidated FROM pg_constraint WHERE contype = 'f' AND conrelid = 'c'::regclass"),
      "f");
  EXPECT_THROW(execute(target_, "INSERT INTO c VALUES (3)"), std::runtime_error);
  EXPECT_EQ(query_value(target_, "SELECT count(*) FROM c"), "3");
}

TEST_F(Schema, DefaultsChecksAndSpecialIndexesMeanTheSame) {
  migrate(
      "CREATE TABLE t(id INTEGER PRIMARY KEY, name TEXT NOT NULL COLLATE NOCASE, flag BOOLEAN DEFAULT 1, "
      "n INTEGER DEFAULT 0x1F CHECK (n > 0), at DATETIME DEFAULT CURRENT_TIMESTAMP, s VARCHAR(10) DEFAULT "
      "'it''s', "
      "gone DATETIME, CHECK (flag IN (0, 1)));"
      "CREATE UNIQUE INDEX by_name ON t(name); CREATE UNIQUE INDEX present ON t(s, n) WHERE gone IS NULL;"
      "CREATE INDEX folded ON t(lower(s), n DESC); INSERT INTO t(name) VALUES ('Ada');");
  execute(target_, "INSERT INTO t(name, s) VALUES ('Bob', 'x')");
  EXPECT_EQ(query_value(target_,
                        "SELECT flag || ' ' || n || ' ' || (at <= now() AT TIME ZONE 'UTC') FROM t "
                        "WHERE name = 'Bob'"),
            "true 31 true");
  EXPECT_THROW(execute(target_, "INSERT INTO t(name, n) VALUES ('c', 0)"), std::runtime_error);
  EXPECT_THROW(execute(target_, "INSERT INTO t(name, s) VALUES ('BOB', 'y')"), std::runtime_error);
  EXPECT_THROW(execute(target_, "INSERT INTO t(name, s) VALUES ('d', 'x')"), std::runtime_error);
  execute(target_, "INSERT INTO t(name, s, gone) VALUES ('e', 'x', now())");
  for (const Json& object : report_["objects"]) EXPECT_EQ(object["status"], "created") << object;
}

TEST_F(Schema, ChecksThatExistingRowsBreakStayInForceForNewOnes) {
  migrate(
      "CREATE TABLE t(n INTEGER CHECK (n > 0)); PRAGMA ignore_check_constraints = ON; INSERT INTO t VALUES "
      "(-1);");
  const Json check = object("check", "t");
  EXPECT_EQ(check["status"], "created");
  EXPECT_TRUE(mentions(check["reason"], "NOT VALID")) << check;
  EXPECT_THROW(execute(target_, "INSERT INTO t VALUES (-2)"), std::runtime_error);
  EXPECT_EQ(query_value(target_, "SELECT count(*) FROM t"), "1");
}

TEST_F(Schema, DeferredForeignKeysStayDeferred) {
  migrate(
      "CREATE TABLE p(id INTEGER PRIMARY KEY, c INTEGER REFERENCES ch(id) DEFERRABLE INITIALLY DEFERRED);"
      "CREATE TABLE ch(id INTEGER PRIMARY KEY, p INTEGER REFERENCES p(id) ON DELETE CASCADE);"
      "BEGIN; INSERT INTO p VALUES (1, 1); INSERT INTO ch VALUES (1, 1); COMMIT;");
  EXPECT_EQ(query_value(target_,
                        "SELECT string_agg(conrelid::regclass || ' ' || condeferred, ', ' ORDER BY conname) "
                        "FROM pg_constraint WHERE contype = 'f' AND connamespace = 'public'::regnamespace"),
            "ch false, p true");
  execute(target_, "BEGIN; INSERT INTO p VALUES (2, 2); INSERT INTO ch VALUES (2, 2); COMMIT");
}

TEST_F(Schema, NoObjectIsListedAsMissingWithoutAReasonAndAProposal) {
  migrate(
      "CREATE TABLE t(id INTEGER PRIMARY KEY, a TEXT DEFAULT (datetime('now', 'localtime')) "
      "CHECK (unicode(a) > 1), b AS (a || 'b'), n NUMERIC DEFAULT 'words');"
      "CREATE INDEX partial ON t(a) WHERE json_extract(a, '$.x') > 1;"
      "CREATE INDEX expression ON t(unicode(a));"
      "CREATE VIEW v AS SELECT unicode(a) FROM t; CREATE VIEW w AS SELECT * FROM nowhere;"
      "CREATE VIEW x AS SELECT * FROM w; CREATE TRIGGER g AFTER INSERT ON t BEGIN SELECT 1; END;"
      "CREATE VIRTUAL TABLE f USING fts5(x, content='');"
      "CREATE TABLE c(x REFERENCES missing(id), y REFERENCES t(absent));");
  std::size_t missing = 0;
  for (const Json& object : report_["objects"]) {
    if (object["status"] == "created") continue;
    ++missing;
    EXPECT_FALSE(object["reason"].get<std::string>().empty()) << object;
    EXPECT_FALSE(object["proposal"].get<std::string>().empty()) << object;
    EXPECT_FALSE(object["sql"].get<std::string>().empty()) << object;
  }
  EXPECT_GE(missing, 10U);
}

}  // namespace
}  // namespace sluice::testing
