// report.json, rejects.jsonl and schema.sql: what scripts rely on.

#include <gtest/gtest.h>

#include <csignal>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <map>
#include <nlohmann/json.hpp>
#include <set>
#include <sstream>
#include <string>
#include <thread>
#include <vector>

#include "datasets/dataset.h"
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
using Json = nlohmann::json;
using testing::CommandResult;
using testing::execute;
using testing::query;
using testing::query_value;
using testing::QueryRow;
using testing::run_command;
using testing::RunningCommand;
using testing::shared_test_server;
using testing::TemporaryDirectory;

// ---- the contract ----

enum class Is { text, number, integer, boolean, list, object };

using Keys = std::vector<std::pair<std::string, Is>>;

const Keys kReport = {
    {"status", Is::text},   {"exit_status", Is::integer},   {"root", Is::text},
    {"error", Is::text},    {"sluice_version", Is::text},   {"source", Is::object},
    {"target", Is::object}, {"tables", Is::list},           {"objects", Is::list},
    {"offloads", Is::list}, {"files_written", Is::integer}, {"file_bytes_written", Is::integer},
    {"phases", Is::object}, {"explain", Is::object},        {"peak_memory_bytes", Is::integer}};
const Keys kSource = {
    {"path", Is::text}, {"bytes", Is::integer}, {"fingerprint", Is::text}, {"wal_growth_bytes", Is::integer}};
const Keys kTarget = {{"database", Is::text}, {"schema", Is::text}, {"server_version", Is::integer}};
const Keys kTable = {
    {"source", Is::text},           {"schema", Is::text},         {"target", Is::text},
    {"columns", Is::list},          {"rows_source", Is::integer}, {"rows_loaded", Is::integer},
    {"rows_rejected", Is::integer}, {"bytes", Is::integer},       {"ranges", Is::integer},
    {"seconds", Is::number},        {"digest", Is::text},         {"verified", Is::boolean}};
const Keys kColumn = {{"source", Is::text}, {"target", Is::text}, {"type", Is::text}};
const Keys kObject = {{"kind", Is::text}, {"table", Is::text},  {"name", Is::text},    {"status", Is::text},
                      {"sql", Is::text},  {"reason", Is::text}, {"proposal", Is::text}};
const Keys kPhases = {{"profile", Is::number},     {"load", Is::number},   {"indexes", Is::number},
                      {"constraints", Is::number}, {"verify", Is::number}, {"total", Is::number}};
const Keys kExplain = {{"cores", Is::integer},  {"server_on_this_machine", Is::boolean},
                       {"phases", Is::list},    {"wal_bytes", Is::integer},
                       {"wal_level", Is::text}, {"tables_frozen", Is::integer}};
const Keys kExplainedPhase = {{"phase", Is::text},
                              {"wall_seconds", Is::number},
                              {"lane_seconds", Is::number},
                              {"client_cpu_seconds", Is::number},
                              {"waited_for_core_seconds", Is::number},
                              {"waited_for_server_seconds", Is::number},
                              {"waited_for_source_seconds", Is::number},
                              {"rows", Is::integer},
                              {"bytes", Is::integer},
                              {"rows_per_second", Is::number},
                              {"bytes_per_second", Is::number},
                              {"bound_by", Is::text}};
const std::set<std::string> kKinds = {"primary_key", "unique",  "index",     "foreign_key", "check",
                                      "not_null",    "default", "generated", "identity",    "view",
                                      "trigger",     "table",   "column"};
const std::set<std::string> kRejectKeys = {"table",         "target",      "key",           "column",
                                           "declared_type", "target_type", "storage_class", "length",
                                           "hex",           "reason"};

bool is(const Json& value, Is type) {
  switch (type) {
    case Is::text:
      return value.is_string();
    case Is::number:
      return value.is_number() && value.get<double>() >= 0;
    case Is::integer:
      return value.is_number_unsigned() || (value.is_number_integer() && value.get<std::int64_t>() >= 0);
    case Is::boolean:
      return value.is_boolean();
    case Is::list:
      return value.is_array();
    case Is::object:
      return value.is_object();
  }
  return false;
}

void expect_keys(const Json& json, const Keys& keys, const std::string& what) {
  ASSERT_TRUE(json.is_object()) << what;
  EXPECT_EQ(json.size(), keys.size()) << what << ": " << json.dump();
  for (const auto& [key, type] : keys) {
    if (!json.contains(key)) {
      ADD_FAILURE() << what << " lacks " << key;
    } else {
      EXPECT_TRUE(is(json[key], type)) << what << "." << key << " is " << json[key].dump();
    }
  }
}

void expect_contract(const Json& report) {
  expect_keys(report, kReport, "report");
  expect_keys(report["source"], kSource, "source");
  expect_keys(report["target"], kTarget, "target");
  expect_keys(report["explain"], kExplain, "explain");
  for (const Json& phase : report["explain"]["phases"]) {
    expect_keys(phase, kExplainedPhase, "explain.phases");
    EXPECT_FALSE(phase["bound_by"].get<std::string>().empty());
    // The lanes' time is spent somewhere, and nowhere twice.
    const double spent =
        phase["client_cpu_seconds"].get<double>() + phase["waited_for_core_seconds"].get<double>() +
        phase["waited_for_server_seconds"].get<double>() + phase["waited_for_source_seconds"].get<double>();
    EXPECT_NEAR(spent, phase["lane_seconds"].get<double>(), 0.01) << phase.dump();
  }
  expect_keys(report["phases"], kPhases, "phases");
  for (const Json& table : report["tables"]) {
    expect_keys(table, kTable, "table");
    for (const Json& column : table["columns"]) expect_keys(column, kColumn, "column");
  }
  for (const Json& object : report["objects"]) {
    expect_keys(object, kObject, "object");
    EXPECT_TRUE(kKinds.contains(object["kind"])) << object.dump();
    EXPECT_TRUE(object["status"] == "created" || object["status"] == "not_created") << object.dump();
    if (object["status"] == "not_created") {
      EXPECT_NE(object["reason"], "") << object.dump();
      EXPECT_NE(object["sql"], "") << object.dump();
    }
  }
  // A C++ program with SQLite and libpq is larger than this and, for the small tests here, smaller than that.
  EXPECT_GT(report["peak_memory_bytes"], 4'000'000);
  EXPECT_LT(report["peak_memory_bytes"], 1'000'000'000);
}

bool is_digest(const std::string& text) {
  return text.size() == 32 && text.find_first_not_of("0123456789abcdef") == std::string::npos;
}

class ReportTest : public ::testing::Test {
 protected:
  ReportTest()
      : name_(::testing::UnitTest::GetInstance()->current_test_info()->name()),
        conninfo_(shared_test_server().create_database(name_.substr(0, 63))) {}

  void source(const std::string& sql) { testing::Writer(source_).run(sql); }

  std::vector<std::string> command(std::vector<std::string> more = {}) const {
    more.insert(more.begin(), {testing::sluice_program(), "migrate", source_, conninfo_, "--progress", "none",
                               "--report", directory_});
    return more;
  }

  CommandResult migrate(const std::vector<std::string>& more = {}) { return run_command(command(more)); }

  [[nodiscard]] Json report() const { return Json::parse(std::ifstream(directory_ / "report.json")); }

  [[nodiscard]] std::vector<Json> rejects() const {
    std::vector<Json> records;
    std::ifstream file(directory_ / "rejects.jsonl");
    for (std::string line; std::getline(file, line);) records.push_back(Json::parse(line));
    return records;
  }

  static const Json& table(const Json& report, const std::string& name) {
    for (const Json& table : report["tables"]) {
      if (table["source"] == name) return table;
    }
    throw std::runtime_error("the report lacks table " + name);
  }

  static std::vector<Json> objects(const Json& report, const std::string& kind) {
    std::vector<Json> found;
    for (const Json& object : report["objects"]) {
      if (object["kind"] == kind) found.push_back(object);
    }
    return found;
  }

  TemporaryDirectory folder_;
  fs::path source_ = folder_ / "app.db";
  fs::path directory_ = folder_ / "deeper" / "report";
  std::string name_;
  std::string conninfo_;
};

constexpr const char* kShop = R"sql(
CREATE TABLE customer (id INTEGER PRIMARY KEY, email TEXT NOT NULL UNIQUE, born DATE, balance DECIMAL(10,2));
CREATE TABLE "Order" (id INTEGER PRIMARY KEY AUTOINCREMENT, customer_id INTEGER REFERENCES customer, note TEXT
  DEFAULT 'none', total REAL CHECK (total >= 0));
CREATE INDEX order_by_customer ON "Order" (customer_id, total DESC);
CREATE INDEX late ON "Order" (note) WHERE total > 5;
CREATE TABLE tag (name TEXT PRIMARY KEY) WITHOUT ROWID;
CREATE TABLE empty (x);
CREATE VIEW rich AS SELECT * FROM customer WHERE balance > 100;
CREATE TRIGGER watch AFTER INSERT ON tag BEGIN SELECT 1; END;
INSERT INTO customer VALUES (1, 'a@x', '2000-02-29', 12.5), (2, 'b@x', NULL, 1e3);
INSERT INTO "Order" (customer_id, note, total) VALUES (1, 'first', 1.5), (2, '', 0), (2, NULL, 7);
INSERT INTO tag VALUES ('red'), ('green');
)sql";

TEST_F(ReportTest, OfAVerifiedRunHoldsTheContractsKeys) {
  source(kShop);
  const CommandResult result = migrate();
  ASSERT_EQ(result.exit_status, 0) << result.err;
  const Json json = report();
  expect_contract(json);
  EXPECT_EQ(json["status"], "verified");
  EXPECT_EQ(json["exit_status"], 0);
  EXPECT_EQ(json["error"], "");
  EXPECT_TRUE(is_digest(json["root"])) << json["root"];
  EXPECT_EQ(json["source"]["path"], fs::canonical(source_).string());
  EXPECT_EQ(json["source"]["bytes"], fs::file_size(source_));
  EXPECT_NE(json["source"]["fingerprint"], "");
  EXPECT_EQ(json["target"]["database"], query_value(conninfo_, "SELECT current_database()"));
  EXPECT_EQ(json["target"]["schema"], "public");
  EXPECT_EQ(std::to_string(json["target"]["server_version"].get<int>()),
            query_value(conninfo_, "SHOW server_version_num"));
  EXPECT_FALSE(fs::exists(directory_ / "rejects.jsonl"));
  EXPECT_TRUE(json["root"] == query_value(conninfo_, "SELECT root FROM sluice.run"));

  std::set<std::string> tables;
  for (const Json& table : json["tables"]) {
    tables.insert(table["source"]);
    EXPECT_EQ(table["verified"], true);
    EXPECT_EQ(table["schema"], "public");
    EXPECT_TRUE(is_digest(table["digest"]));
    EXPECT_EQ(table["rows_source"], table["rows_loaded"]);
    EXPECT_EQ(table["rows_rejected"], 0);
    EXPECT_EQ(std::to_string(table["rows_loaded"].get<int>()),
              query_value(conninfo_, "SELECT count(*) FROM \"" + table["target"].get<std::string>() + "\""));
    EXPECT_GE(table["ranges"], 1);
  }
  EXPECT_EQ(tables, (std::set<std::string>{"customer", "Order", "tag", "empty"}));
  EXPECT_EQ(table(json, "empty")["bytes"], 0);
  EXPECT_GT(table(json, "Order")["bytes"], 0);
  std::string columns;
  for (const Json& column : table(json, "customer")["columns"]) {
    columns += column["source"].get<std::string>() + ":" + column["target"].get<std::string>() + ":" +
               column["type"].get<std::string>() + " ";
  }
  EXPECT_EQ(columns, "id:id:bigint email:email:text born:born:date balance:balance:numeric ");
  EXPECT_LE(json["phases"]["load"].get<double>() + json["phases"]["verify"].get<double>(),
            json["phases"]["total"].get<double>() + 0.01);
}

TEST_F(ReportTest, ListsEveryObjectOnce) {
  source(kShop);
  ASSERT_EQ(migrate().exit_status, 0);
  const Json json = report();
  std::map<std::string, std::string> found;
  for (const Json& object : json["objects"]) {
    const std::string key = object["kind"].get<std::string>() + " " + object["table"].get<std::string>() +
                            " " + object["name"].get<std::string>();
    EXPECT_TRUE(found.emplace(key, object["status"]).second) << "twice: " << key;
  }
  const std::map<std::string, std::string> expected = {
      {"primary_key customer customer_pkey", "created"},
      {"primary_key Order Order_pkey", "created"},
      {"primary_key tag tag_pkey", "created"},
      {"unique customer customer_email_key", "created"},
      {"index Order order_by_customer", "created"},
      {"index Order late", "created"},
      {"foreign_key Order Order_customer_id_fkey", "created"},
      {"identity customer id", "created"},
      {"identity Order id", "created"},
      {"default Order note", "created"},
      {"check Order Order_total_check", "created"},
      {"view  rich", "created"},
      {"trigger tag watch", "not_created"},
  };
  // A view of SQLite is also listed under its own name as its table.
  std::map<std::string, std::string> seen = found;
  if (const auto view = seen.find("view rich rich"); view != seen.end()) {
    seen.emplace("view  rich", view->second);
    seen.erase(view);
  }
  EXPECT_EQ(seen, expected);
  for (const char* kind : {"primary_key", "unique", "foreign_key"}) {
    for (const Json& object : objects(json, kind)) EXPECT_NE(object["sql"], "") << object.dump();
  }
}

TEST_F(ReportTest, SaysWhyAnObjectWasRefusedAndKeepsTheData) {
  source(
      "CREATE TABLE p (id INTEGER PRIMARY KEY); CREATE TABLE c (p INTEGER REFERENCES p, t TEXT REFERENCES p "
      "(id));"
      "CREATE TABLE k (a TEXT PRIMARY KEY); INSERT INTO p VALUES (1); INSERT INTO c VALUES (1, NULL), (7, "
      "'x');"
      "INSERT INTO k VALUES ('x'), (NULL), (NULL)");
  const CommandResult result = migrate();
  EXPECT_EQ(result.exit_status, 0) << "every row arrived: " << result.err;
  const Json json = report();
  expect_contract(json);
  EXPECT_EQ(json["status"], "verified");
  const auto find = [&](const std::string& name) {
    for (const Json& object : json["objects"]) {
      if (object["name"] == name) return object;
    }
    return Json();
  };
  const Json orphans = find("c_p_fkey");
  EXPECT_EQ(orphans["status"], "created");
  EXPECT_NE(orphans["reason"].get<std::string>().find("NOT VALID"), std::string::npos);
  EXPECT_NE(orphans["reason"].get<std::string>().find("23503"), std::string::npos);
  EXPECT_NE(orphans["proposal"].get<std::string>().find("NOT EXISTS"), std::string::npos);
  EXPECT_EQ(query_value(conninfo_, "SELECT convalidated FROM pg_constraint WHERE conname = 'c_p_fkey'"), "f");
  const Json types = find("c_t_fkey");
  EXPECT_EQ(types["status"], "not_created");
  EXPECT_NE(types["reason"].get<std::string>().find("42804"), std::string::npos) << types.dump();
  const Json key = find("k_pkey");
  EXPECT_EQ(key["status"], "created");
  EXPECT_NE(key["reason"].get<std::string>().find("arrives as UNIQUE"), std::string::npos) << key.dump();
  EXPECT_NE(key["proposal"], "");
  EXPECT_EQ(query_value(conninfo_, "SELECT count(*) FROM k"), "3");
}

// ---- runs that do not end well ----

TEST_F(ReportTest, OfARunWithRejectsAccountsForEveryRow) {
  source(
      "CREATE TABLE mixed (id INTEGER PRIMARY KEY, n INTEGER, day DATE);"
      "CREATE TABLE clean (x TEXT); INSERT INTO clean VALUES ('a');"
      "INSERT INTO mixed VALUES (1, 1, '2024-01-01'), (2, 'two', NULL), (3, 3, 'soon'), (4, x'00ff', NULL), "
      "(5, 5.5, NULL)");
  const CommandResult result = migrate();
  EXPECT_EQ(result.exit_status, 3) << result.err;
  const Json json = report();
  expect_contract(json);
  EXPECT_EQ(json["status"], "rejected");
  EXPECT_EQ(json["exit_status"], 3);
  EXPECT_EQ(table(json, "mixed")["rows_source"], 5);
  EXPECT_EQ(table(json, "mixed")["rows_loaded"], 1);
  EXPECT_EQ(table(json, "mixed")["rows_rejected"], 4);
  EXPECT_EQ(table(json, "clean")["rows_loaded"], 1);
  EXPECT_EQ(query_value(conninfo_, "SELECT count(*) FROM mixed"), "1");
  EXPECT_EQ(rejects().size(), 4u);
  EXPECT_NE(result.out.find("rejects.jsonl"), std::string::npos) << result.out;
}

TEST_F(ReportTest, RejectsAreJsonLinesWithTheContractsKeys) {
  source(
      "CREATE TABLE by_id (id INTEGER PRIMARY KEY, n INTEGER);"
      "CREATE TABLE by_key (a TEXT, b BLOB, n INTEGER, PRIMARY KEY (b, a)) WITHOUT ROWID;"
      "CREATE TABLE by_rowid (n INTEGER); CREATE TABLE by_nothing (rowid, _rowid_, oid, n INTEGER);"
      "CREATE TABLE odd (id INTEGER PRIMARY KEY, \"a\"\"b\n\" VARCHAR(10));"
      "INSERT INTO by_id VALUES (-7, 'x'); INSERT INTO by_key VALUES ('k\"1', x'ff00', 1.5);"
      "INSERT INTO by_rowid (rowid, n) VALUES (42, x'0102'); INSERT INTO by_nothing VALUES (1, 2, 3, 'none');"
      "INSERT INTO odd VALUES (1, CAST(x'41ff' AS TEXT)), (2, CAST(zeroblob(1000) AS TEXT))");
  EXPECT_EQ(migrate().exit_status, 3);
  std::map<std::string, std::vector<Json>> by_table;
  for (const Json& record : rejects()) {
    std::set<std::string> keys;
    for (const auto& [key, value] : record.items()) keys.insert(key);
    EXPECT_EQ(keys, kRejectKeys);
    by_table[record["table"]].push_back(record);
  }
  EXPECT_EQ(by_table["by_id"].at(0),
            Json::parse(R"({"table": "by_id", "target": "public.by_id", "key": {"id": -7},
    "column": "n", "declared_type": "INTEGER", "target_type": "bigint", "storage_class": "text", "length": 1,
    "hex": "78", "reason": "storage_class"})"));
  EXPECT_EQ(by_table["by_key"].at(0)["key"], Json::parse(R"({"b": {"hex": "ff00"}, "a": "k\"1"})"));
  EXPECT_EQ(by_table["by_key"].at(0)["reason"], "not_exact");
  EXPECT_EQ(by_table["by_key"].at(0)["storage_class"], "real");
  EXPECT_EQ(by_table["by_rowid"].at(0)["key"], Json::parse(R"({"rowid": 42})"));
  EXPECT_EQ(by_table["by_rowid"].at(0)["hex"], "0102");
  EXPECT_EQ(by_table["by_nothing"].at(0)["key"], nullptr);
  EXPECT_EQ(by_table["odd"].at(0)["column"], "a\"b\n");
  EXPECT_EQ(by_table["odd"].at(0)["reason"], "invalid_utf8");
  EXPECT_EQ(by_table["odd"].at(0)["hex"], "41ff");
  EXPECT_EQ(by_table["odd"].at(0)["declared_type"], "VARCHAR(10)");
  EXPECT_EQ(by_table["odd"].at(1)["reason"], "nul_character");
  EXPECT_EQ(by_table["odd"].at(1)["length"], 1000);
  EXPECT_EQ(by_table["odd"].at(1)["hex"], std::string(128, '0'));
}

TEST_F(ReportTest, CountsTheRejectsOfAWholeDataset) {
  constexpr std::uint64_t kRows = 20000;
  datasets::generate("mixed_classes", source_, {.rows = kRows});
  EXPECT_EQ(migrate({"--range-size", "256k"}).exit_status, 3);
  const Json json = report();
  expect_contract(json);
  std::uint64_t rejected = 0;
  std::uint64_t loaded = 0;
  for (const Json& table : json["tables"]) {
    rejected += table["rows_rejected"].get<std::uint64_t>();
    loaded += table["rows_loaded"].get<std::uint64_t>();
    EXPECT_EQ(table["rows_source"].get<std::uint64_t>(),
              table["rows_loaded"].get<std::uint64_t>() + table["rows_rejected"].get<std::uint64_t>());
    EXPECT_GT(table["ranges"], 1);
  }
  EXPECT_EQ(loaded + rejected, kRows);
  EXPECT_EQ(rejected, datasets::misfit_rows(kRows));
  EXPECT_EQ(rejects().size(), rejected);
}

TEST_F(ReportTest, ACleanRunLeavesNoRejectsOfAnEarlierOneBehind) {
  source("CREATE TABLE t (id INTEGER PRIMARY KEY, n INTEGER); INSERT INTO t VALUES (1, 'one'), (2, 2)");
  EXPECT_EQ(migrate().exit_status, 3);
  EXPECT_EQ(rejects().size(), 1u);
  source("UPDATE t SET n = 1 WHERE id = 1");
  EXPECT_EQ(migrate({"--restart"}).exit_status, 0);
  EXPECT_EQ(report()["status"], "verified");
  EXPECT_FALSE(fs::exists(directory_ / "rejects.jsonl"));
}

TEST_F(ReportTest, OfARunWithDifferencesSaysWhichTable) {
  source(kShop);
  ASSERT_EQ(migrate().exit_status, 0);
  const std::string root = report()["root"];
  execute(conninfo_, "UPDATE customer SET balance = 13 WHERE id = 1");
  const CommandResult result = migrate();
  EXPECT_EQ(result.exit_status, 4) << result.err;
  const Json json = report();
  expect_contract(json);
  EXPECT_EQ(json["status"], "different");
  EXPECT_EQ(json["exit_status"], 4);
  EXPECT_EQ(json["root"], root) << "the root is the source's";
  EXPECT_EQ(table(json, "customer")["verified"], false);
  EXPECT_EQ(table(json, "Order")["verified"], true);
}

TEST_F(ReportTest, OfAFailedRunSaysWhy) {
  source(kShop);
  execute(conninfo_,
          "CREATE TABLE customer (id bigint, email text, born date, balance numeric); INSERT INTO customer "
          "VALUES (1)");
  const CommandResult result = migrate();
  EXPECT_EQ(result.exit_status, 20);
  Json json = report();
  expect_contract(json);
  EXPECT_EQ(json["status"], "failed");
  EXPECT_EQ(json["exit_status"], 20);
  EXPECT_EQ("sluice: " + json["error"].get<std::string>() + "\n", result.err);
  EXPECT_EQ(json["tables"].size(), 4u);
  for (const Json& table : json["tables"]) {
    EXPECT_EQ(table["verified"], false);
    EXPECT_EQ(table["rows_loaded"], 0);
  }

  fs::remove(source_);
  EXPECT_EQ(migrate().exit_status, 10);
  json = report();
  expect_contract(json);
  EXPECT_EQ(json["status"], "failed");
  EXPECT_EQ(json["exit_status"], 10);
}

TEST_F(ReportTest, OfAnInterruptedRunSaysSoAndTheNextOneFinishes) {
  datasets::generate("narrow", source_, {.rows = 50000});
  // The table is there and locked against writing, so that the run stands still where we want it.
  const CommandResult dry = migrate({"--dry-run"});
  execute(conninfo_, dry.out.substr(0, dry.out.find("-- after the load")));
  const std::string table_name =
      query_value(conninfo_, "SELECT tablename FROM pg_tables WHERE schemaname = 'public'");
  std::optional<Connection> holder(conninfo_);
  holder->execute("BEGIN; LOCK TABLE public.\"" + table_name + "\" IN SHARE MODE");
  RunningCommand running(command({"-j", "1", "--range-size", "64k"}));
  ASSERT_TRUE(testing::wait_until([&] {
    return query_value(conninfo_,
                       "SELECT count(*) FROM pg_locks WHERE NOT granted AND relation IS NOT NULL") != "0";
  }));
  running.send(SIGINT);
  ASSERT_TRUE(testing::wait_until([&] { return testing::contains(running.err_so_far(), "stopping"); }));
  holder.reset();
  EXPECT_EQ(running.wait().exit_status, 5) << running.wait().err;
  Json json = report();
  expect_contract(json);
  EXPECT_EQ(json["status"], "interrupted");
  EXPECT_EQ(json["exit_status"], 5);
  EXPECT_NE(json["error"], "");
  EXPECT_FALSE(json["tables"][0]["verified"]);

  EXPECT_EQ(migrate({"-j", "1", "--range-size", "64k"}).exit_status, 0);
  json = report();
  expect_contract(json);
  EXPECT_EQ(json["status"], "verified");
  EXPECT_EQ(json["tables"][0]["rows_loaded"], 50000);
  EXPECT_EQ(std::to_string(json["tables"][0]["ranges"].get<int>()),
            query_value(conninfo_, "SELECT count(*) FROM sluice.work"));
}

TEST_F(ReportTest, OfADryRunPromisesNothing) {
  source(kShop);
  EXPECT_EQ(migrate({"--dry-run"}).exit_status, 0);
  EXPECT_FALSE(fs::exists(directory_)) << "a dry run changes nothing";
}

TEST_F(ReportTest, OfARunWithoutVerificationIsLoadedNotVerified) {
  source(kShop);
  EXPECT_EQ(migrate({"--verify", "none"}).exit_status, 0);
  const Json json = report();
  expect_contract(json);
  EXPECT_EQ(json["status"], "loaded");
  for (const Json& table : json["tables"]) EXPECT_EQ(table["verified"], false);
}

// ---- schema.sql ----

// Columns, indexes and constraints of a schema, one line each.
std::vector<std::string> shape_of(const std::string& conninfo, const std::string& schema) {
  std::vector<std::string> lines;
  for (const QueryRow& row :
       query(conninfo,
             "SELECT c.relname || '.' || a.attname || ' ' || format_type(a.atttypid, a.atttypmod) "
             "|| ' ' || a.attnotnull || a.attidentity::text FROM pg_attribute a "
             "JOIN pg_class c ON c.oid = a.attrelid WHERE c.relkind = 'r' AND a.attnum > 0 "
             "AND c.relnamespace = '\"" +
                 schema +
                 "\"'::regnamespace UNION ALL "
                 "SELECT pg_get_indexdef(c.oid) FROM pg_class c WHERE c.relkind = 'i' "
                 "AND c.relnamespace = '\"" +
                 schema +
                 "\"'::regnamespace UNION ALL "
                 "SELECT conname || ' ' || convalidated || ' ' || pg_get_constraintdef(oid) "
                 "FROM pg_constraint WHERE connamespace = '\"" +
                 schema +
                 "\"'::regnamespace "
                 "ORDER BY 1")) {
    lines.push_back(row[0].value_or("NULL"));
  }
  return lines;
}

class SchemaScriptTest : public ReportTest {
 protected:
  CommandResult replay() {
    replayed_ = shared_test_server().create_database("replayed");
    return run_command(
        {"psql", replayed_, "-X", "-q", "-v", "ON_ERROR_STOP=1", "-f", directory_ / "schema.sql"});
  }

  std::string replayed_;
};

TEST_F(SchemaScriptTest, ReplaysIntoAnEmptyDatabase) {
  source(kShop);
  ASSERT_EQ(migrate().exit_status, 0);
  const CommandResult psql = replay();
  EXPECT_EQ(psql.exit_status, 0) << psql.err;
  EXPECT_EQ(shape_of(replayed_, "public"), shape_of(conninfo_, "public"));
}

TEST_F(SchemaScriptTest, ReplaysOddNames) {
  source(R"sql(
CREATE TABLE "a""b" (id INTEGER PRIMARY KEY, "x y" TEXT, ":v" TEXT UNIQUE, ctid TEXT, "\" TEXT, "" TEXT);
CREATE TABLE "pg_class" (id INTEGER PRIMARY KEY, "line
break" TEXT, 'quote''s' TEXT);
CREATE TABLE "back\slash" (id INTEGER PRIMARY KEY, "a\'b" INTEGER REFERENCES "a""b");
CREATE TABLE "Ünïcode 😀" (id INTEGER PRIMARY KEY, "select" TEXT);
CREATE INDEX "idx "" ; --" ON "a""b" ("x y", ":v" DESC);
)sql");
  const CommandResult result = migrate({"--schema", "My schema"});
  ASSERT_EQ(result.exit_status, 0) << result.err;
  const CommandResult psql = replay();
  EXPECT_EQ(psql.exit_status, 0) << psql.err;
  EXPECT_EQ(shape_of(replayed_, "My schema"), shape_of(conninfo_, "My schema"));
}

// "The DDL that was run": what the server refused is in the report, not in the script.
TEST_F(SchemaScriptTest, ReplaysAfterTheServerRefusedAnObject) {
  source(
      "CREATE TABLE p (id INTEGER PRIMARY KEY, name TEXT); CREATE TABLE c (p TEXT REFERENCES p (id), "
      "n TEXT REFERENCES p (name))");
  ASSERT_EQ(migrate().exit_status, 0);
  const CommandResult psql = replay();
  EXPECT_EQ(psql.exit_status, 0) << psql.err;
  EXPECT_EQ(shape_of(replayed_, "public"), shape_of(conninfo_, "public"));
}

TEST_F(SchemaScriptTest, OfEveryApplicationReplays) {
  for (const char* kind : {"panel", "workspace", "objectstore", "service", "marketplace"}) {
    conninfo_ = shared_test_server().create_database(name_);
    datasets::generate(kind, source_, {.force = true});
    const CommandResult result = migrate();
    EXPECT_EQ(result.exit_status, 0) << kind << ": " << result.out << result.err;
    const CommandResult psql = replay();
    EXPECT_EQ(psql.exit_status, 0) << kind << ": " << psql.err;
    EXPECT_EQ(shape_of(replayed_, "public"), shape_of(conninfo_, "public")) << kind;
    expect_contract(report());
  }
}

}  // namespace
}  // namespace sluice
