// Columns whose values do not fit their declared type, loaded with a look at every value first.

#include <gtest/gtest.h>

#include <fstream>
#include <map>
#include <nlohmann/json.hpp>
#include <string>

#include "support/command.h"
#include "support/conditions.h"
#include "support/query.h"
#include "support/temporary_directory.h"
#include "support/test_server.h"

namespace sluice::testing {
namespace {

using Json = nlohmann::json;

class Widen : public ::testing::Test {
 protected:
  void migrate(const std::string& script, const std::string& on_misfit, int expected_status) {
    const std::string file = (folder_ / "source.sqlite").string();
    if (!script.empty()) {
      CommandOptions options;
      options.input = script;
      const CommandResult made = run_command({"sqlite3", "-batch", "-bail", file}, options);
      ASSERT_EQ(made.exit_status, 0) << made.err;
    }
    target_ = shared_test_server().create_database("widen_test");
    const std::string report = (folder_ / "report").string();
    std::vector<std::string> command = {sluice_program(), "migrate", file, target_, "--report", report};
    if (!on_misfit.empty()) command.insert(command.end(), {"--on-misfit", on_misfit});
    const CommandResult result = run_command(command);
    err_ = result.err;
    ASSERT_EQ(result.exit_status, expected_status) << result.err << result.out;
    std::ifstream json(report + "/report.json");
    report_ = Json::parse(json);
  }

  // Types in the target, by column.
  std::map<std::string, std::string> types() const {
    std::map<std::string, std::string> types;
    for (const QueryRow& row : query(target_,
                                     "SELECT attname, format_type(atttypid, NULL) FROM pg_attribute WHERE "
                                     "attrelid = 'public.t'::regclass AND attnum > 0")) {
      types[*row[0]] = *row[1];
    }
    return types;
  }

  TemporaryDirectory folder_;
  std::string target_;
  std::string err_;
  Json report_;
};

TEST_F(Widen, GivesEachColumnTheNarrowestTypeThatTakesAllItsValues) {
  migrate(
      "CREATE TABLE t(id INTEGER PRIMARY KEY, fits INTEGER, reals INT, words INT, huge REAL, mixed DECIMAL, "
      "flag BOOLEAN, prisma DATETIME, zoned DATETIME, days DATE, both DATETIME, at TIME, doc JSON, bytes "
      "UUID);"
      "INSERT INTO t VALUES (1, 1, 1, 1, 0.5, 1.5, 1, 1700000000000, '2024-01-02T03:04:05Z', '2024-01-02', "
      "'2024-01-02', '25:00:00', '{}', x'00112233445566778899aabbccddeeff'),"
      "(2, NULL, 1.5, 'one', 9007199254740993, 'x', 2, 1700000000001, '2024-01-02 03:04:05+02:00', "
      "'2024-01-02 03:04', 1700000000, '12:00', 'not json', NULL);",
      "widen", 0);
  const std::map<std::string, std::string> expected = {{"id", "bigint"},
                                                       {"fits", "bigint"},
                                                       {"reals", "double precision"},
                                                       {"words", "text"},
                                                       {"huge", "double precision"},
                                                       {"mixed", "text"},
                                                       {"flag", "bigint"},
                                                       {"prisma", "bigint"},
                                                       {"zoned", "timestamp with time zone"},
                                                       {"days", "timestamp without time zone"},
                                                       {"both", "text"},
                                                       {"at", "text"},
                                                       {"doc", "text"},
                                                       {"bytes", "bytea"}};
  EXPECT_EQ(types(), expected);
  EXPECT_EQ(query_value(target_, "SELECT prisma FROM t WHERE id = 2"), "1700000000001");
  EXPECT_EQ(query_value(target_, "SELECT \"both\" FROM t WHERE id = 2"), "1700000000");
  EXPECT_EQ(report_["status"], "verified");
  EXPECT_EQ(report_["tables"][0]["rows_loaded"], 2);
  EXPECT_GT(report_["phases"]["profile"].get<double>(), 0.0);
}

TEST_F(Widen, NamesEveryColumnItWidensWithTheCounts) {
  migrate("CREATE TABLE t(at DATETIME); INSERT INTO t VALUES (5), ('2024-01-02'), (NULL), (6);", "widen", 0);
  Json column;
  for (const Json& object : report_["objects"]) {
    if (object["kind"] == "column") column = object;
  }
  EXPECT_EQ(column["table"], "t");
  EXPECT_EQ(column["name"], "at");
  EXPECT_EQ(column["status"], "created");
  EXPECT_NE(column["reason"].get<std::string>().find("2 of 3 values"), std::string::npos) << column;
  EXPECT_EQ(report_["tables"][0]["columns"][0]["type"], "text");
}

TEST_F(Widen, StopsBeforeTheFirstRowForWhatNoTypeHolds) {
  // A number and bytes in one column: whichever type it gets, one of the two does not fit. And text that is
  // none. Both are said at once.
  migrate(
      "CREATE TABLE t(n INTEGER, s TEXT); INSERT INTO t VALUES (1, 'a'), (2, CAST(x'ff' AS TEXT)), "
      "(x'00ff', 'b');",
      "widen", 2);
  EXPECT_EQ(report_["status"], "failed");
  EXPECT_EQ(query_value(target_, "SELECT count(*) FROM pg_tables WHERE schemaname IN ('public', 'sluice')"),
            "0");
  EXPECT_TRUE(contains(err_, "table t, column n: 1 value of 3 does not fit bigint nor any other type"))
      << err_;
  EXPECT_TRUE(contains(err_, "tables.\"t\".columns.\"n\".on-misfit = \"reject\"")) << err_;
  EXPECT_TRUE(contains(err_, "table t, column s: PostgreSQL's text takes none of these: 1 text not UTF-8"))
      << err_;
  EXPECT_TRUE(contains(err_, "rowid = 2")) << err_;
  migrate("", "reject", 3);
  EXPECT_EQ(report_["tables"][0]["rows_loaded"], 1);
  EXPECT_EQ(report_["tables"][0]["rows_rejected"], 2);
}

TEST_F(Widen, LooksAtEveryValueUnasked) {
  migrate("CREATE TABLE t(at DATETIME); INSERT INTO t VALUES (5), ('2024-01-02');", "", 0);
  EXPECT_EQ(types()["at"], "text");
}

TEST_F(Widen, FailsForAnyMisfitWhenAsked) {
  migrate("CREATE TABLE t(at DATETIME); INSERT INTO t VALUES (5), ('2024-01-02');", "fail", 2);
  EXPECT_TRUE(contains(err_, "1 value of 2 does not fit timestamp")) << err_;
}

TEST_F(Widen, LeavesColumnsThatFitAsTheyAre) {
  const std::string script =
      "CREATE TABLE t(id INTEGER PRIMARY KEY, a INTEGER, b REAL, c TEXT, d DATETIME, e BOOLEAN, f BLOB);"
      "INSERT INTO t VALUES (1, 1, 0.5, 'x', '2024-01-02', 1, x'00'), (2, NULL, NULL, NULL, NULL, NULL, "
      "NULL);";
  migrate(script, "reject", 0);
  const auto declared = types();
  const std::string root = report_["root"];
  migrate("", "widen", 0);
  EXPECT_EQ(types(), declared);
  EXPECT_EQ(report_["root"], root);
}

TEST_F(Widen, KeepsTheDeclarationAndRejectsRowsWhenAsked) {
  migrate("CREATE TABLE t(at DATETIME); INSERT INTO t VALUES (5), ('2024-01-02');", "reject", 3);
  EXPECT_EQ(types()["at"], "timestamp without time zone");
  EXPECT_EQ(report_["tables"][0]["rows_rejected"], 1);
}

}  // namespace
}  // namespace sluice::testing
