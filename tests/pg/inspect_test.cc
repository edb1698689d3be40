// sluice inspect on real files: what its JSON says is held against SQLite's own answers, and its estimate of
// the size against PostgreSQL's.

#include <gtest/gtest.h>
#include <sqlite3.h>

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <map>
#include <nlohmann/json.hpp>
#include <sstream>
#include <string>
#include <vector>

#include "datasets/dataset.h"
#include "engine/model/quote.h"
#include "support/command.h"
#include "support/corpus.h"
#include "support/query.h"
#include "support/temporary_directory.h"
#include "support/test_server.h"

namespace sluice::testing {
namespace {

using Json = nlohmann::json;
namespace fs = std::filesystem;

// A connection with none of sluice's precautions, for asking SQLite itself.
class Database {
 public:
  explicit Database(const fs::path& path) {
    if (sqlite3_open(path.c_str(), &raw_) != SQLITE_OK)
      throw std::runtime_error("cannot open " + path.string());
  }
  ~Database() { sqlite3_close(raw_); }
  Database(const Database&) = delete;
  Database& operator=(const Database&) = delete;

  void run(const std::string& sql) {
    if (sqlite3_exec(raw_, sql.c_str(), nullptr, nullptr, nullptr) != SQLITE_OK) {
      throw std::runtime_error(sqlite3_errmsg(raw_) + (" in " + sql));
    }
  }

  // All rows; numbers as numbers, NULL as null.
  std::vector<std::vector<Json>> rows(const std::string& sql) {
    sqlite3_stmt* statement = nullptr;
    if (sqlite3_prepare_v2(raw_, sql.c_str(), -1, &statement, nullptr) != SQLITE_OK) {
      throw std::runtime_error(sqlite3_errmsg(raw_) + (" in " + sql));
    }
    std::vector<std::vector<Json>> rows;
    while (sqlite3_step(statement) == SQLITE_ROW) {
      std::vector<Json>& row = rows.emplace_back();
      for (int i = 0; i < sqlite3_column_count(statement); ++i) {
        const int type = sqlite3_column_type(statement, i);
        if (type == SQLITE_NULL) {
          row.emplace_back();
        } else if (type == SQLITE_INTEGER) {
          row.emplace_back(sqlite3_column_int64(statement, i));
        } else {
          row.emplace_back(reinterpret_cast<const char*>(sqlite3_column_text(statement, i)));
        }
      }
    }
    sqlite3_finalize(statement);
    return rows;
  }

 private:
  sqlite3* raw_ = nullptr;
};

CommandResult inspect(const fs::path& file, const std::vector<std::string>& flags = {}) {
  std::vector<std::string> argv = {sluice_program(), "inspect", file, "--progress", "none"};
  argv.insert(argv.end(), flags.begin(), flags.end());
  return run_command(argv);
}

Json inspect_json(const fs::path& file, std::vector<std::string> flags = {}) {
  flags.emplace_back("--json");
  const CommandResult result = inspect(file, flags);
  EXPECT_EQ(result.exit_status, 0) << result.err;
  return Json::parse(result.out);
}

// ---- Counts ----

void expect_columns_as_sqlite_counts(Database& database, const Json& table) {
  std::string query = "SELECT count(*)";
  for (const Json& column : table["columns"]) {
    const std::string name = "t." + quote_identifier(column["name"].get<std::string>());
    for (const char* storage : {"null", "integer", "real", "text", "blob"}) {
      query += ", count(CASE WHEN typeof(" + name + ") = '" + storage + "' THEN 1 END)";
    }
    const std::string integer = "(CASE WHEN typeof(" + name + ") = 'integer' THEN " + name + " END)";
    query += ", min" + integer + ", max" + integer;
  }
  query += " FROM " + quote_identifier(table["name"].get<std::string>()) + " AS t";
  const std::vector<Json> expected = database.rows(query).at(0);
  EXPECT_EQ(table["rows"], expected[0]);
  for (std::size_t i = 0; i < table["columns"].size(); ++i) {
    const Json& facts = table["columns"][i]["facts"];
    SCOPED_TRACE(table["columns"][i]["name"]);
    if (!facts["examined"].get<bool>()) {
      EXPECT_TRUE(table["strict"].get<bool>() || table["rows"] == 0);
      continue;
    }
    const auto* counted = &expected[1 + i * 7];
    EXPECT_EQ(facts["nulls"], counted[0]);
    EXPECT_EQ(facts["integers"], counted[1]);
    EXPECT_EQ(facts["reals"], counted[2]);
    EXPECT_EQ(facts["texts"], counted[3]);
    EXPECT_EQ(facts["blobs"], counted[4]);
    EXPECT_EQ(facts["integer_min"], counted[5]);
    EXPECT_EQ(facts["integer_max"], counted[6]);
  }
}

// The pragma says nothing about a table with an ill-defined key.
void expect_orphans_as_sqlite_counts(Database& database, const Json& table) {
  const std::string name = quote_identifier(table["name"].get<std::string>());
  std::map<std::vector<std::string>, std::int64_t> expected;
  std::map<std::int64_t, std::vector<std::string>> columns_of;
  for (const auto& row : database.rows("PRAGMA foreign_key_list(" + name + ")")) {
    columns_of[row[0].get<std::int64_t>()].push_back(row[3].get<std::string>());
  }
  ASSERT_EQ(table["foreign_keys"].size(), columns_of.size());
  if (columns_of.empty()) return;
  std::map<std::int64_t, std::int64_t> orphans;
  try {
    for (const auto& row : database.rows("PRAGMA foreign_key_check(" + name + ")")) {
      ++orphans[row[3].get<std::int64_t>()];
    }
  } catch (const std::runtime_error&) {
    bool any_reason = false;
    for (const Json& key : table["foreign_keys"]) any_reason = any_reason || key["reason"] != "";
    EXPECT_TRUE(any_reason) << "SQLite finds fault with a key and inspect does not";
    return;
  }
  for (const auto& [id, columns] : columns_of) expected[columns] += orphans[id];
  for (const Json& key : table["foreign_keys"]) {
    expected[key["columns"].get<std::vector<std::string>>()] -= key["orphans"].get<std::int64_t>();
  }
  for (const auto& [columns, difference] : expected) EXPECT_EQ(difference, 0) << columns.front();
}

void expect_as_sqlite_counts(const fs::path& file, const Json& json) {
  Database database(file);
  EXPECT_EQ(json["source"]["bytes"], fs::file_size(file));
  std::int64_t rows = 0;
  for (const Json& table : json["tables"]) {
    SCOPED_TRACE(table["name"]);
    rows += table["rows"].get<std::int64_t>();
    expect_columns_as_sqlite_counts(database, table);
    expect_orphans_as_sqlite_counts(database, table);
  }
  EXPECT_EQ(json["rows"], rows);
  // Every table that is no index's or module's own is there.
  for (const auto& row :
       database.rows("SELECT name FROM pragma_table_list WHERE schema = 'main' AND type = 'table' "
                     "AND name NOT LIKE 'sqlite\\_%' ESCAPE '\\'")) {
    const auto named = [&](const Json& table) { return table["name"] == row[0]; };
    EXPECT_TRUE(std::any_of(json["tables"].begin(), json["tables"].end(), named)) << row[0];
  }
}

void expect_readable(const std::string& text) {
  EXPECT_TRUE(text.starts_with("Time to move: "));
  for (const char c : text) EXPECT_TRUE(c == '\n' || static_cast<unsigned char>(c) >= 0x20) << int{c};
  std::istringstream lines(text);
  for (std::string line; std::getline(lines, line);) {
    const auto characters = std::count_if(
        line.begin(), line.end(), [](char c) { return (static_cast<unsigned char>(c) & 0xc0) != 0x80; });
    if (line.starts_with("  sluice ")) continue;  // to be copied whole
    EXPECT_LE(characters, 110) << line;
  }
}

void expect_inspected(const fs::path& file) {
  SCOPED_TRACE(file.filename());
  const CommandResult first = inspect(file);
  EXPECT_EQ(first.exit_status, 0) << first.err;
  expect_readable(first.out);
  EXPECT_EQ(inspect(file).out, first.out) << "the same file, other words";
  const Json json = inspect_json(file);
  expect_as_sqlite_counts(file, json);
  // However many readers there are, they find the same.
  Json alone = inspect_json(file, {"--jobs", "1"});
  Json together = inspect_json(file, {"--jobs", "5"});
  for (Json* one : {&alone, &together}) {
    for (const char* key : {"estimate", "profile_seconds"}) one->erase(key);
  }
  EXPECT_EQ(alone, together);
}

TEST(Inspect, SaysOfEveryRealFileWhatSqliteSays) {
  int present = 0;
  for (const char* name : {"chinook", "datasette_fixtures", "fdw_common", "fdw_core", "micro_pgloader_sqlite",
                           "micro_pgloader_storage", "northwind_big", "northwind_efcore", "pocketbase_data",
                           "sakila", "sql_murder_mystery", "uptime_kuma"}) {
    const auto file = corpus_file(name);
    if (!file) continue;
    ++present;
    expect_inspected(*file);
  }
  if (present == 0) GTEST_SKIP() << "no corpus file at all";
}

TEST(Inspect, FindsTheOrphansOfTheMurderMystery) {
  const auto file = corpus_file("sql_murder_mystery");
  if (!file) GTEST_SKIP() << "no corpus file sql_murder_mystery";
  std::int64_t orphans = 0;
  const Json json = inspect_json(*file);
  for (const Json& surprise : json["surprises"]) {
    if (surprise["kind"] == "orphans") orphans += surprise["count"].get<std::int64_t>();
  }
  EXPECT_EQ(orphans, 2502);
}

std::uint64_t few_rows(const datasets::DatasetKind& kind) {
  return kind.name == "big_values" ? 40 : kind.name == "wide" || kind.name == "skewed_rows" ? 2'000 : 20'000;
}

TEST(Inspect, SaysOfEveryGeneratedFileWhatSqliteSays) {
  const TemporaryDirectory folder;
  for (const datasets::DatasetKind& kind : datasets::kinds()) {
    const fs::path file = folder / (std::string(kind.name) + ".db");
    datasets::generate(kind.name, file, {.rows = few_rows(kind)});
    expect_inspected(file);
  }
}

// ---- Surprises ----

class InspectMade : public ::testing::Test {
 protected:
  // The only surprise of that kind and table.
  Json surprise(const Json& json, const std::string& kind, const std::string& table) {
    Json found;
    for (const Json& one : json["surprises"]) {
      if (one["kind"] != kind || one["table"] != table) continue;
      EXPECT_TRUE(found.is_null()) << "twice: " << kind << " of " << table;
      found = one;
    }
    EXPECT_FALSE(found.is_null()) << "no " << kind << " of " << table << " in " << json["surprises"].dump(1);
    return found.is_null() ? Json{{"count", 0}, {"key", ""}, {"what", ""}, {"column", ""}} : found;
  }

  TemporaryDirectory folder_;
  fs::path file_ = folder_ / "made.db";
  Database database_{file_};
};

TEST_F(InspectMade, EverySurpriseIsFoundWithItsCountAndAnExample) {
  database_.run(
      "CREATE TABLE nulls(k TEXT PRIMARY KEY); INSERT INTO nulls VALUES (NULL), ('a'), (NULL);"
      "CREATE TABLE parents(id INTEGER PRIMARY KEY); INSERT INTO parents VALUES (1);"
      "CREATE TABLE orphans(id INTEGER PRIMARY KEY, up INTEGER REFERENCES parents);"
      "INSERT INTO orphans VALUES (5, 1), (6, 2), (7, 3);"
      "CREATE TABLE texts(id INTEGER PRIMARY KEY, t TEXT);"
      "INSERT INTO texts VALUES (1, 'fine'), (2, CAST(x'410042' AS TEXT)), (3, CAST(x'ff' AS TEXT));"
      "CREATE TABLE numbers(id INTEGER PRIMARY KEY, n NUMERIC);"
      "INSERT INTO numbers VALUES (1, 0.5), (2, 9007199254740993);"
      "CREATE TABLE mixed(id INTEGER PRIMARY KEY, m);"
      "INSERT INTO mixed VALUES (1, 'a'), (2, 2), (3, 'b');"
      "CREATE TABLE types(id INTEGER PRIMARY KEY, n INTEGER); INSERT INTO types VALUES (1, 1), (2, 'two');"
      "CREATE TABLE longs(id INTEGER PRIMARY KEY, b BLOB); INSERT INTO longs VALUES (9, zeroblob(1500000));"
      "CREATE TABLE names(xmin INTEGER);"
      "CREATE VIEW broken AS SELECT gone FROM nowhere;"
      "CREATE TRIGGER touched AFTER INSERT ON mixed BEGIN SELECT 1; END;");
  const Json json = inspect_json(file_, {"--on-misfit", "widen"});
  const Json null_key = surprise(json, "null_key", "nulls");
  EXPECT_EQ(null_key["count"], 2);
  EXPECT_NE(null_key["key"], "");
  const Json orphan = surprise(json, "orphans", "orphans");
  EXPECT_EQ(orphan["count"], 2);
  EXPECT_EQ(orphan["key"], "id = 6");
  std::map<std::string, std::string> bad;
  for (const Json& one : json["surprises"]) {
    if (one["kind"] == "bad_text") bad[one["key"]] = one["what"];
  }
  EXPECT_EQ(bad.size(), 2u);
  EXPECT_NE(bad["id = 2"].find("U+0000"), std::string::npos);
  EXPECT_NE(bad["id = 3"].find("UTF-8"), std::string::npos);
  EXPECT_EQ(surprise(json, "numbers", "numbers")["key"], "id = 2");
  EXPECT_EQ(surprise(json, "finding", "texts")["column"], "t");
  EXPECT_EQ(surprise(json, "mixed", "mixed")["count"], 1);
  const Json type = surprise(json, "type", "types");
  EXPECT_EQ(type["column"], "n");
  EXPECT_EQ(type["count"], 1);
  EXPECT_EQ(type["key"], "id = 2");
  EXPECT_EQ(surprise(json, "long_value", "longs")["key"], "id = 9");
  EXPECT_EQ(surprise(json, "name", "names")["column"], "xmin");
  std::map<std::string, std::string> missing;
  for (const Json& object : json["objects"]) {
    if (object["status"] == "not_created") missing[object["name"]] = object["kind"];
  }
  EXPECT_EQ(missing["broken"], "view");
  EXPECT_EQ(missing["touched"], "trigger");
  expect_readable(inspect(file_).out);
}

TEST_F(InspectMade, ThresholdsAreSettableAndTakenFromTheEnvironment) {
  database_.run(
      "CREATE TABLE sites(id INTEGER PRIMARY KEY); WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 "
      "FROM n "
      "WHERE i < 800) INSERT INTO sites SELECT i FROM n; CREATE TABLE log(x);");
  EXPECT_EQ(inspect_json(file_)["thresholds"][1]["distance"], "near");
  EXPECT_EQ(inspect_json(file_)["time_to_move"], "near");
  EXPECT_EQ(inspect_json(file_, {"--threshold-rows", "800"})["thresholds"][1]["distance"], "crossed");
  EXPECT_EQ(inspect_json(file_, {"--rows-table", "LOG"})["thresholds"][1]["distance"], "far");
  EXPECT_EQ(inspect_json(file_, {"--threshold-size", "1kB"})["thresholds"][0]["distance"], "crossed");
  CommandOptions options;
  options.environment = {{"SLUICE_THRESHOLD_ROWS", "10000"}, {"SLUICE_JSON", "true"}};
  const CommandResult result = run_command({sluice_program(), "inspect", file_}, options);
  EXPECT_EQ(Json::parse(result.out)["thresholds"][1]["distance"], "far");
  const CommandResult refused = inspect(file_, {"--rows-table", "nothing"});
  EXPECT_EQ(refused.exit_status, 2);
  EXPECT_NE(refused.err.find("nothing"), std::string::npos);
}

TEST_F(InspectMade, GrowthIsReadFromTextsAndFromEpochs) {
  // 100 days from 2024-01-01, 5 rows a day, in the last 30 days 50.
  database_.run(
      "CREATE TABLE texts(id INTEGER PRIMARY KEY, updated_at TEXT, created_at TEXT);"
      "WITH RECURSIVE d(day) AS (SELECT 0 UNION ALL SELECT day + 1 FROM d WHERE day < 99),"
      "r(k) AS (SELECT 1 UNION ALL SELECT k + 1 FROM r WHERE k < 50)"
      "INSERT INTO texts(updated_at, created_at) SELECT '2024-01-01', datetime('2024-01-01', '+' || day || ' "
      "days', "
      "'+' || k || ' minutes') FROM d, r WHERE k <= 5 OR day >= 70;"
      "CREATE TABLE epochs(id INTEGER PRIMARY KEY, \"createdAt\" INTEGER NOT NULL);"
      "INSERT INTO epochs SELECT id, strftime('%s', created_at) * 1000 + 7 FROM texts;"
      "CREATE TABLE keys(created_at TEXT PRIMARY KEY, n INTEGER) WITHOUT ROWID;"
      "INSERT OR IGNORE INTO keys SELECT created_at, 1 FROM texts;"
      "CREATE TABLE at_once(created_at TEXT); INSERT INTO at_once SELECT '2024-02-03 04:05:06' FROM texts;");
  const Json json = inspect_json(file_, {"--threshold-daily-rows", "60"});
  for (const Json& table : json["tables"]) {
    SCOPED_TRACE(table["name"]);
    const Json& growth = table["growth"];
    ASSERT_TRUE(growth.is_object());
    if (table["name"] == "at_once") {
      EXPECT_EQ(growth["long_enough"], false);
      continue;
    }
    EXPECT_EQ(growth["first_day"], "2024-01-01");
    EXPECT_EQ(growth["last_day"], "2024-04-09");
    EXPECT_EQ(growth["rows"], 70 * 5 + 30 * 50);
    EXPECT_EQ(growth["recent_per_day"], 50);
    EXPECT_EQ(growth["overall_per_day"], 18.5);
    EXPECT_EQ(growth["sampled"], false);
  }
  EXPECT_EQ(json["thresholds"][2]["distance"], "near");
  EXPECT_EQ(json["thresholds"][2]["value"], 50);
}

TEST_F(InspectMade, GrowthOfALargeTableIsSampledAndSaysSo) {
  // 5 million rows, 10,000 a day for 500 days.
  database_.run(
      "PRAGMA journal_mode = OFF; PRAGMA synchronous = OFF; CREATE TABLE log(id INTEGER PRIMARY KEY, at "
      "INTEGER);"
      "WITH RECURSIVE n(i) AS (SELECT 0 UNION ALL SELECT i + 1 FROM n WHERE i < 4999999)"
      "INSERT INTO log SELECT i, 1600000000 + i * 864 / 100 FROM n;");
  const Json growth = inspect_json(file_)["tables"][0]["growth"];
  EXPECT_EQ(growth["sampled"], true);
  EXPECT_NEAR(growth["recent_per_day"].get<double>(), 10'000, 1'000);
  EXPECT_NEAR(growth["overall_per_day"].get<double>(), 10'000, 200);
  EXPECT_NEAR(growth["rows"].get<double>(), 5e6, 1e5);
}

TEST_F(InspectMade, WhatCannotBeReadEndsInStatus10AndPrintsNothing) {
  for (const auto& [name, content] : std::map<std::string, std::string>{
           {"text.db",
            "this is no database at all, but it is longer than a header of one hundred bytes would be, "
            "so that it is looked at"}}) {
    std::ofstream(folder_ / name) << content;
    const CommandResult result = inspect(folder_ / name, {"--json"});
    EXPECT_EQ(result.exit_status, 10);
    EXPECT_EQ(result.out, "");
  }
  EXPECT_EQ(inspect(folder_ / "missing.db").exit_status, 10);
}

TEST_F(InspectMade, TheSourceIsLeftAsItWas) {
  database_.run("PRAGMA journal_mode = WAL; CREATE TABLE t(x); INSERT INTO t VALUES (1)");
  const auto before = fs::file_size(file_);
  EXPECT_EQ(inspect_json(file_)["rows"], 1);
  EXPECT_EQ(fs::file_size(file_), before);
  database_.run("INSERT INTO t VALUES (2)");
  EXPECT_EQ(inspect_json(file_)["rows"], 2);
}

// ---- Size ----

TEST(InspectEstimate, SizeIsWithinTwiceAndHalfOfWhatPostgresqlTakes) {
  const TemporaryDirectory folder;
  for (const datasets::DatasetKind& kind : datasets::kinds()) {
    SCOPED_TRACE(kind.name);
    const fs::path file = folder / (std::string(kind.name) + ".db");
    datasets::generate(kind.name, file, {.rows = few_rows(kind)});
    const std::string target = shared_test_server().create_database("inspect_size");
    // Its bad values fit no type: the rows that hold them stay behind.
    const bool rejects = kind.name == "mixed_classes";
    const std::string policy = rejects ? "reject" : "widen";
    CommandOptions options;
    options.directory = folder.path();  // the reject file goes there
    const CommandResult moved = run_command({sluice_program(), "migrate", file, target, "--on-misfit", policy,
                                             "--bad-text", "reject", "--progress", "none"},
                                            options);
    ASSERT_EQ(moved.exit_status, rejects ? 3 : 0) << moved.err;
    const Json json = inspect_json(file, {"--on-misfit", policy, "--bad-text", "reject"});
    double total = 0;
    for (const Json& table : json["tables"]) {
      const double bytes = std::stod(query_value(
          target, "SELECT pg_total_relation_size(" +
                      quote_literal("public." + quote_identifier(table["target"].get<std::string>())) +
                      "::regclass)"));
      total += bytes;
      const double ratio = table["estimated_bytes"].get<double>() / bytes;
      EXPECT_GT(ratio, 0.5) << table["name"] << " takes " << bytes << " of " << table["rows"] << " rows";
      EXPECT_LT(ratio, 2.0) << table["name"] << " takes " << bytes << " of " << table["rows"] << " rows";
    }
    EXPECT_GE(total, json["estimate"]["bytes_low"].get<double>());
    EXPECT_LE(total, json["estimate"]["bytes_high"].get<double>());
  }
}

}  // namespace
}  // namespace sluice::testing
