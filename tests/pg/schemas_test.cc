// Files whose schema is unusual, moved by the program itself.

#include <gtest/gtest.h>
#include <sqlite3.h>

#include <algorithm>
#include <fstream>
#include <nlohmann/json.hpp>
#include <string>

#include "io/sqlite/handle.h"
#include "support/command.h"
#include "support/query.h"
#include "support/temporary_directory.h"
#include "support/test_server.h"

namespace sluice::testing {
namespace {

using Json = nlohmann::json;

void one(sqlite3_context* context, int, sqlite3_value**) { sqlite3_result_int(context, 1); }

class Schemas : public ::testing::Test {
 protected:
  // Runs the script as an application that has functions foo() and iif(x, y) of its own.
  void write(const std::string& script) {
    sqlite3* raw = nullptr;
    ASSERT_EQ(sqlite3_open(file().c_str(), &raw), SQLITE_OK);
    const DatabaseHandle database(raw);
    for (const auto& [name, arguments] : {std::pair{"foo", -1}, std::pair{"iif", 2}}) {
      sqlite3_create_function(raw, name, arguments, SQLITE_UTF8 | SQLITE_DETERMINISTIC, nullptr, one, nullptr,
                              nullptr);
    }
    ASSERT_EQ(sqlite3_exec(raw, script.c_str(), nullptr, nullptr, nullptr), SQLITE_OK) << sqlite3_errmsg(raw);
  }

  void migrate(int expected_status = 0) {
    target_ = shared_test_server().create_database("schemas_test");
    const std::string report = (folder_ / "report").string();
    const CommandResult result =
        run_command({sluice_program(), "migrate", file(), target_, "--report", report});
    ASSERT_EQ(result.exit_status, expected_status) << result.err << result.out;
    std::ifstream json(report + "/report.json");
    report_ = Json::parse(json);
  }

  void migrate_script(const std::string& script, int expected_status = 0) {
    ASSERT_NO_FATAL_FAILURE(write(script));
    migrate(expected_status);
  }

  [[nodiscard]] std::string file() const { return (folder_ / "source.sqlite").string(); }

  Json object(const std::string& kind, const std::string& name) const {
    for (const Json& object : report_["objects"]) {
      if (object["kind"] == kind && object["name"] == name) return object;
    }
    ADD_FAILURE() << kind << " " << name << " is not in the report " << report_["objects"];
    return {{"status", ""}, {"reason", ""}, {"proposal", ""}, {"sql", ""}};
  }

  static bool mentions(const Json& text, const std::string& part) {
    return text.get<std::string>().find(part) != std::string::npos;
  }

  std::string value(const std::string& sql) const { return query_value(target_, sql); }

  TemporaryDirectory folder_;
  std::string target_;
  Json report_;
};

TEST_F(Schemas, FunctionsThatNobodyKnowsLoseOnlyWhatCallsThem) {
  migrate_script(
      "CREATE TABLE t(id INTEGER PRIMARY KEY, a INTEGER, v AS (foo(a)), w AS (iif(a, 1)), CHECK (foo(a)));"
      "INSERT INTO t(a) VALUES (5), (6); CREATE INDEX by_foo ON t(foo(a)); CREATE INDEX by_a ON t(a);"
      "CREATE INDEX by_iif ON t(a) WHERE iif(a, 2); CREATE TABLE other(x); INSERT INTO other VALUES (1);"
      "CREATE VIEW seen AS SELECT foo(a) FROM t;");
  EXPECT_EQ(value("SELECT string_agg(id || ' ' || a, ', ' ORDER BY id) FROM t"), "1 5, 2 6");
  EXPECT_EQ(value("SELECT count(*) FROM other"), "1");
  EXPECT_EQ(object("index", "by_a")["status"], "created");
  for (const auto& [kind, name] : {std::pair{"index", "by_foo"}, std::pair{"index", "by_iif"},
                                   std::pair{"generated", "v"}, std::pair{"generated", "w"}}) {
    const Json lost = object(kind, name);
    EXPECT_EQ(lost["status"], "not_created") << lost;
    EXPECT_TRUE(mentions(lost["reason"], "no such function: ")) << lost;
    EXPECT_EQ(lost["table"], "t");
    EXPECT_FALSE(lost["sql"].get<std::string>().empty());
    EXPECT_FALSE(lost["proposal"].get<std::string>().empty());
  }
  EXPECT_EQ(object("view", "seen")["status"], "not_created");
}

TEST_F(Schemas, ModulesThatNobodyKnowsLoseOnlyTheVirtualTable) {
  migrate_script(
      "CREATE TABLE good(x); INSERT INTO good VALUES (1); CREATE TABLE gone_node(x);"
      "INSERT INTO gone_node VALUES ('content'); PRAGMA writable_schema = ON;"
      "INSERT INTO sqlite_schema(type, name, tbl_name, rootpage, sql) VALUES ('table', 'gone', 'gone', 0, "
      "'CREATE VIRTUAL TABLE gone USING spatialite(x)'); PRAGMA writable_schema = RESET;"
      "CREATE VIEW seen AS SELECT * FROM gone;");
  EXPECT_EQ(value("SELECT x FROM gone_node"), "content");
  EXPECT_EQ(object("table", "gone")["status"], "not_created");
  EXPECT_EQ(object("table", "gone")["reason"], "no such module: spatialite");
  EXPECT_EQ(object("view", "seen")["status"], "not_created");
}

TEST_F(Schemas, FullTextArrivesAsPlainTablesWithAProposalThatWorks) {
  migrate_script(
      "CREATE VIRTUAL TABLE docs USING fts5(title, body, search UNINDEXED);"
      "INSERT INTO docs(rowid, title, body, search) VALUES (9, 'Moving', 'house in winter', 1), "
      "(-3, NULL, 'elephants', 'x');"
      "CREATE VIRTUAL TABLE mail USING fts4(subject); INSERT INTO mail(docid, subject) VALUES (4, 'hello');"
      "CREATE VIRTUAL TABLE shell USING fts5(x, content='');"
      "CREATE TABLE docs_data_of_user(x);");
  EXPECT_EQ(
      value("SELECT string_agg(concat_ws('|', rowid, title, body, search), ', ' ORDER BY rowid) FROM docs"),
      "-3|elephants|x, 9|Moving|house in winter|1");
  EXPECT_EQ(value("SELECT rowid || subject FROM mail"), "4hello");
  EXPECT_EQ(report_["tables"].size(), 3U) << "no shadow tables";
  const Json docs = object("table", "docs");
  EXPECT_EQ(docs["status"], "created");
  EXPECT_EQ(docs["reason"], "FTS5 content as a plain table");
  execute(target_, docs["proposal"]);
  EXPECT_EQ(value("SELECT rowid FROM docs WHERE search_2 @@ to_tsquery('simple', 'winter & moving')"), "9");
  EXPECT_EQ(value("INSERT INTO docs(title) VALUES ('new') RETURNING rowid"), "10");
  EXPECT_EQ(object("table", "shell")["status"], "not_created");
  EXPECT_TRUE(mentions(object("table", "shell")["reason"], "contentless"));
}

TEST_F(Schemas, BoxesArriveAsPlainTablesWithAProposalThatWorks) {
  migrate_script(
      "CREATE VIRTUAL TABLE spans USING rtree(id, low, high); CREATE VIRTUAL TABLE flat USING rtree_i32(k, "
      "x0, "
      "x1, y0, y1); CREATE VIRTUAL TABLE solid USING rtree(id, x0, x1, y0, y1, z0, z1, +label);"
      "WITH RECURSIVE c(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM c WHERE i < 20000) INSERT INTO spans "
      "SELECT i, i % 1000 + 0.25, i % 1000 + 1 FROM c;"
      "INSERT INTO flat VALUES (1, -5, 7, 0, 3); INSERT INTO solid VALUES (2, 0.1, 1, 2, 3, 4, 5, 'a');");
  EXPECT_EQ(value("SELECT count(*) || ' ' || sum(low) FROM spans"), "20000 9995000");
  EXPECT_EQ(value("SELECT x0 <= 0.1 AND x0 > 0.0999 FROM solid"), "t") << "float32, rounded down";
  EXPECT_EQ(value("SELECT pg_typeof(id) || ' ' || pg_typeof(low) FROM spans LIMIT 1"),
            "bigint double precision");
  for (const char* name : {"spans", "flat", "solid"}) {
    const Json table = object("table", name);
    EXPECT_EQ(table["status"], "created");
    const std::string proposal = table["proposal"];
    EXPECT_NE(proposal.find("USING gist"), std::string::npos) << proposal;
    const bool has_cube = value("SELECT count(*) FROM pg_available_extensions WHERE name = 'cube'") == "1";
    if (has_cube || proposal.find("cube") == std::string::npos) execute(target_, proposal);
  }
  EXPECT_EQ(object("primary_key", "spans_pkey")["status"], "created");
}

}  // namespace
}  // namespace sluice::testing
