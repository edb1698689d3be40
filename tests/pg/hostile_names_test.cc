// Names that SQLite takes and that break tools: each arrives as it is, or under another name that is said, as
// a table, a column and an index, all of them in one database.

#include <gtest/gtest.h>

#include <array>
#include <filesystem>
#include <fstream>
#include <map>
#include <nlohmann/json.hpp>
#include <set>
#include <string>
#include <vector>

#include "engine/model/quote.h"
#include "support/command.h"
#include "support/conditions.h"
#include "support/query.h"
#include "support/temporary_directory.h"
#include "support/test_server.h"
#include "unit/sqlite_fixture.h"

namespace sluice {
namespace {

using testing::CommandResult;
using testing::contains;
using testing::query_value;
using Json = nlohmann::json;
using Words = std::vector<std::string>;

std::string repeated(const std::string& text, std::size_t times) {
  std::string result;
  for (std::size_t i = 0; i < times; ++i) result += text;
  return result;
}

const std::vector<std::string>& names() {
  static const std::vector<std::string> kNames = {
      // quotes and the ends of statements
      "a\"b", "\"", "\"\"", "a'b", "''", "a;b", "\"; DROP TABLE users; --", "'); DROP TABLE users; --", "--",
      "/*", "*/", "a]b", "`", "\"public\".\"t\"", "U&\"d\\0061\"", "E'\\x41'", "\\", "a\\'b", "$1", "$$",
      "$body$", "%s", "%I", "{}", "{0}", "?", ":a", "@a",
      // what does not show, or shows as something else
      "a\nb", "a\rb", "a\tb", "\x01", "\x1b[2J", "\x7f", " ", " before", "after ", "\xe2\x80\xaegpj.exe",
      "a\xe2\x80\x8b"
      "b",
      "\xef\xbb\xbf"
      "bom",
      "\xc2\xa0", "\xf0\x9f\x98\x80", "\xc3\x89", "E\xcc\x81", "\xc4\xb0", "\xc3\x9f", "\xe2\x80\xa8line",
      // nothing, and names of the server's own
      "", "ctid", "xmin", "xmax", "cmin", "cmax", "tableoid", "oid", "select", "user", "null", "pg_class",
      "sluice", "a.b", "a.b.c", "1", "-1",
      // up to the server's 63 bytes, and beyond: what is cut must neither collide nor fall apart
      repeated("a", 63), repeated("a", 64), repeated("b", 69) + "1", repeated("b", 69) + "2",
      repeated("\xc3\xa9", 31), repeated("\xc3\xa9", 32), "x" + repeated("\xc3\xa9", 31) + "1",
      "x" + repeated("\xc3\xa9", 31) + "2", repeated("\xf0\x9f\x98\x80", 50), repeated("\"", 63),
      repeated("'", 100), repeated("a", 53) + "_" + "ffffffff", repeated("long name ", 200)};
  return kNames;
}

class HostileNamesTest : public ::testing::Test {
 protected:
  HostileNamesTest() {
    name_ = ::testing::UnitTest::GetInstance()->current_test_info()->name();
    name_.resize(std::min<std::size_t>(name_.size(), 63));
    conninfo_ = testing::shared_test_server().create_database(name_);
  }

  CommandResult sluice(Words words) {
    words.insert(words.begin(), testing::sluice_program());
    testing::CommandOptions options;
    options.directory = folder_.path();
    return testing::run_command(words, options);
  }

  Json migrate(const Words& more = {}) {
    Words words = {"migrate", source_, conninfo_, "--report", folder_ / "report", "--progress", "none"};
    words.insert(words.end(), more.begin(), more.end());
    const CommandResult result = sluice(words);
    EXPECT_EQ(result.exit_status, 0) << result.err << result.out;
    std::ifstream file(folder_ / "report/report.json");
    return Json::parse(file, nullptr, false);
  }

  // Each name as a table, with its place in the list as the row.
  void make_tables() const {
    const testing::Writer writer(source_);
    for (std::size_t i = 0; i < names().size(); ++i) {
      const std::string table = quote_identifier(names()[i]);
      writer.run("CREATE TABLE " + table + " (id INTEGER PRIMARY KEY, v TEXT); INSERT INTO " + table +
                 " VALUES (" + std::to_string(i) + ", 'v" + std::to_string(i) + "')");
    }
  }

  // What the report says of the object of that kind and name of the source: "" when nothing.
  static std::string reason_of(const Json& report, const std::string& kind, const std::string& table,
                               const std::string& name) {
    for (const Json& object : report["objects"]) {
      if (object["kind"] == kind && object["table"] == table && object["name"] == name)
        return object["reason"];
    }
    return "";
  }

  static bool fits(const std::string& name) {
    static const std::set<std::string> kSystem = {"ctid", "xmin", "xmax", "cmin", "cmax", "tableoid"};
    return !name.empty() && name.size() <= 63 && !kSystem.contains(name);
  }

  testing::TemporaryDirectory folder_;
  std::string source_ = folder_ / "source.db";
  std::string name_;
  std::string conninfo_;
};

TEST_F(HostileNamesTest, Tables) {
  ASSERT_GE(names().size(), 40U);
  make_tables();
  const Json report = migrate();
  ASSERT_EQ(report["tables"].size(), names().size());
  std::map<std::string, std::string> targets;
  std::set<std::string> distinct;
  for (const Json& table : report["tables"]) {
    targets[table["source"]] = table["target"];
    distinct.insert(table["target"]);
  }
  EXPECT_EQ(distinct.size(), names().size());
  for (std::size_t i = 0; i < names().size(); ++i) {
    const std::string& name = names()[i];
    ASSERT_TRUE(targets.contains(name)) << name;
    const std::string& target = targets[name];
    EXPECT_LE(target.size(), 63U);
    // Tables may be called like system columns.
    const bool kept = !name.empty() && name.size() <= 63;
    EXPECT_EQ(target == name, kept) << name << " as " << target;
    const std::string quoted = quote_qualified("public", target);
    EXPECT_EQ(query_value(conninfo_, "SELECT v FROM " + quoted), "v" + std::to_string(i)) << name;
    EXPECT_EQ(
        query_value(conninfo_, "SELECT count(*) FROM pg_class WHERE relname = " + quote_literal(target) +
                                   " AND relnamespace = 'public'::regnamespace AND relkind = 'r'"),
        "1")
        << name;
    if (kept) continue;
    EXPECT_TRUE(contains(reason_of(report, "table", name, name), "named " + quote_identifier(target)))
        << name;
    EXPECT_EQ(
        query_value(conninfo_, "SELECT obj_description(" + quote_literal(quoted) + "::regclass, 'pg_class')"),
        "sluice: " + name);
  }
  // What was made can be read back and compared by name.
  EXPECT_EQ(sluice({"verify", source_, conninfo_}).exit_status, 0);
  // Without the ledger tables are found by name, which the empty one is not.
  const CommandResult scanned =
      sluice({"verify", source_, conninfo_, "--verify", "server", "--scan", "--exclude", ""});
  EXPECT_EQ(scanned.exit_status, 0) << scanned.err;
  EXPECT_EQ(sluice({"status", conninfo_}).exit_status, 0);
  EXPECT_EQ(sluice({"inspect", source_}).exit_status, 0);
}

TEST_F(HostileNamesTest, DifferencesAreNamedAndRepaired) {
  make_tables();
  const Json report = migrate();
  for (const Json& table : report["tables"]) {
    testing::execute(conninfo_, "UPDATE " + quote_qualified("public", table["target"].get<std::string>()) +
                                    " SET v = 'other'");
  }
  const CommandResult found = sluice({"verify", source_, conninfo_, "--json"});
  EXPECT_EQ(found.exit_status, 4) << found.err;
  const Json differences = Json::parse(found.out, nullptr, false);
  EXPECT_FALSE(differences.is_discarded());
  const CommandResult repaired = sluice({"verify", source_, conninfo_, "--repair"});
  EXPECT_EQ(repaired.exit_status, 0) << repaired.err << repaired.out;
  EXPECT_EQ(sluice({"verify", source_, conninfo_, "--scan", "--exclude", ""}).exit_status, 0);
}

TEST_F(HostileNamesTest, TheSamePlanByWayOfAFile) {
  make_tables();
  const CommandResult planned = sluice({"plan", source_, "-o", folder_ / "plan.toml"});
  ASSERT_EQ(planned.exit_status, 0) << planned.err;
  const Json followed = migrate({"--config", folder_ / "plan.toml"});
  const Json direct = migrate({"--schema", "direct"});
  EXPECT_EQ(followed["root"], direct["root"]);
  EXPECT_NE(followed["root"], "");
}

// Replaced, emptied, found and taken apart: every statement that names a table of the target.
TEST_F(HostileNamesTest, TablesThatAreThere) {
  make_tables();
  const Json first = migrate();
  EXPECT_EQ(migrate({"--table-handling", "truncate"})["root"], first["root"]);
  EXPECT_EQ(migrate({"--table-handling", "drop"})["root"], first["root"]);
  EXPECT_EQ(migrate({"--restart"})["root"], first["root"]);
  EXPECT_EQ(migrate({"--restart", "--verify", "server"})["root"], first["root"]);
  // Of the names alone, none is found by another rule than the one that made it; the empty one is renamed for
  // good.
  EXPECT_EQ(migrate({"--data-only", "--rebuild", "--table-handling", "truncate", "--exclude", ""})["status"],
            "verified");
}

TEST_F(HostileNamesTest, Columns) {
  {
    const testing::Writer writer(source_);
    // One table with all of them, and one for each, whose key it is.
    std::string all;
    std::string values;
    for (std::size_t i = 0; i < names().size(); ++i) {
      const std::string column = quote_identifier(names()[i]);
      all += (all.empty() ? "" : ", ") + column + " TEXT";
      values += (values.empty() ? "" : ", ") + ("'v" + std::to_string(i) + "'");
      const std::string table = "one_" + std::to_string(i);
      writer.run("CREATE TABLE " + table + " (" + column + " TEXT PRIMARY KEY CHECK (" + column +
                 " <> 'x')); INSERT INTO " + table + " VALUES ('v" + std::to_string(i) + "')");
    }
    writer.run("CREATE TABLE wide (" + all + "); INSERT INTO wide VALUES (" + values + ")");
  }
  const Json report = migrate();
  std::map<std::string, std::vector<std::string>>
      targets;  // tables, and their columns of the target in order
  for (const Json& table : report["tables"]) {
    for (const Json& column : table["columns"]) targets[table["source"]].push_back(column["target"]);
  }
  ASSERT_EQ(targets["wide"].size(), names().size());
  EXPECT_EQ(std::set<std::string>(targets["wide"].begin(), targets["wide"].end()).size(), names().size());
  for (std::size_t i = 0; i < names().size(); ++i) {
    const std::string& name = names()[i];
    for (const std::string& table : {std::string("wide"), "one_" + std::to_string(i)}) {
      const std::string& target = targets[table][table == "wide" ? i : 0];
      EXPECT_LE(target.size(), 63U);
      EXPECT_EQ(target == name, fits(name)) << name << " as " << target;
      EXPECT_EQ(query_value(conninfo_, "SELECT " + quote_identifier(target) + " FROM public." + table),
                "v" + std::to_string(i))
          << name;
      if (fits(name)) continue;
      EXPECT_TRUE(contains(reason_of(report, "column", table, name), "named " + quote_identifier(target)))
          << table << ", " << name;
    }
  }
  for (const Json& object : report["objects"]) {
    EXPECT_EQ(object["status"], "created") << object.dump();
  }
  EXPECT_EQ(sluice({"verify", source_, conninfo_}).exit_status, 0);
}

TEST_F(HostileNamesTest, IndexesChecksAndViews) {
  {
    const testing::Writer writer(source_);
    for (std::size_t i = 0; i < names().size(); ++i) {
      const std::string number = std::to_string(i);
      const std::string name = quote_identifier(names()[i]);
      writer.run("CREATE TABLE table_" + number + " (a INTEGER CONSTRAINT " + name +
                 " CHECK (a > 0)); CREATE INDEX " + name + " ON table_" + number +
                 " (a); INSERT INTO table_" + number + " VALUES (1)");
    }
  }
  const Json report = migrate();
  std::map<std::string, std::map<std::string, const Json*>> objects;  // by table and kind
  for (const Json& object : report["objects"]) objects[object["table"]][object["kind"]] = &object;
  std::set<std::string> indexes;
  for (std::size_t i = 0; i < names().size(); ++i) {
    const std::string& name = names()[i];
    const std::string table = "table_" + std::to_string(i);
    const std::string made = query_value(conninfo_,
                                         "SELECT relname FROM pg_class WHERE oid = (SELECT indexrelid FROM "
                                         "pg_index WHERE indrelid = 'public." +
                                             table + "'::regclass)");
    indexes.insert(made);
    const bool fits_index = !name.empty() && name.size() <= 63;
    EXPECT_EQ(made == name, fits_index) << name << " as " << made;
    const std::string check = query_value(
        conninfo_, "SELECT conname FROM pg_constraint WHERE contype = 'c' AND conrelid = 'public." + table +
                       "'::regclass");
    for (const auto& [kind, object_name] :
         {std::pair<std::string, std::string>{"index", made}, {"check", check}}) {
      ASSERT_NE(objects[table][kind], nullptr) << table << " " << kind;
      const Json& object = *objects[table][kind];
      EXPECT_EQ(object["status"], "created") << object.dump();
      EXPECT_EQ(object["name"], object_name);
      if (object_name == name) continue;
      // A CHECK without a name is given one.
      if (name.empty() && kind == "check") continue;
      EXPECT_TRUE(contains(object["reason"], "in the source it is " + quote_identifier(name)))
          << object.dump();
    }
  }
  EXPECT_EQ(indexes.size(), names().size());
}

TEST_F(HostileNamesTest, Views) {
  {
    const testing::Writer writer(source_);
    writer.run("CREATE TABLE t (a INTEGER); INSERT INTO t VALUES (1)");
    for (std::size_t i = 0; i < names().size(); ++i) {
      const std::string name = quote_identifier(names()[i]);
      writer.run("CREATE VIEW " + name + " AS SELECT a + " + std::to_string(i) + " AS " + name + " FROM t");
    }
  }
  const Json report = migrate();
  std::size_t views = 0;
  for (const Json& object : report["objects"]) {
    if (object["kind"] != "view") continue;
    ++views;
    EXPECT_EQ(object["status"], "created") << object.dump();
    const bool kept = std::find(names().begin(), names().end(), object["name"]) != names().end();
    EXPECT_TRUE(kept || contains(object["reason"], "in the source it is ")) << object.dump();
  }
  EXPECT_EQ(views, names().size());
  EXPECT_EQ(
      query_value(
          conninfo_,
          "SELECT count(*) FROM pg_class WHERE relkind = 'v' AND relnamespace = 'public'::regnamespace"),
      std::to_string(names().size()));
}

// The server knows no such text, so such a name is told before anything is made.
TEST_F(HostileNamesTest, NamesThatAreNoText) {
  for (const std::string& name : {std::string("a\xff"), std::string("\xed\xa0\x80"), std::string("\xc3")}) {
    const std::string quoted = quote_identifier(name);
    for (const std::string& script :
         {"CREATE TABLE " + quoted + " (v TEXT)", "CREATE TABLE t (" + quoted + " TEXT)",
          "CREATE TABLE t (v TEXT); CREATE INDEX " + quoted + " ON t (v)",
          "CREATE TABLE t (v TEXT CONSTRAINT " + quoted + " CHECK (v <> ''))"}) {
      std::filesystem::remove(source_);
      testing::Writer(source_).run(script);
      const CommandResult result = sluice({"migrate", source_, conninfo_});
      EXPECT_EQ(result.exit_status, 2) << script << result.err << result.out;
      EXPECT_TRUE(contains(result.err, "is not UTF-8, as every name of PostgreSQL is")) << result.err;
      EXPECT_EQ(query_value(conninfo_, "SELECT to_regnamespace('sluice')"), "NULL");
    }
  }
  // Views never stop the rows: it is listed.
  std::filesystem::remove(source_);
  testing::Writer(source_).run("CREATE TABLE t (v TEXT); CREATE VIEW \"a\xff\" AS SELECT v FROM t");
  const Json report = migrate();
  EXPECT_EQ(report["objects"].size(), 1U) << report.dump();
  EXPECT_EQ(report["objects"][0]["status"], "not_created") << report.dump();
}

// Two names that only folding makes equal.
TEST_F(HostileNamesTest, FoldingThemLosesNone) {
  make_tables();
  for (const char* identifiers : {"lower", "snake"}) {
    const Json report = migrate({"--identifiers", identifiers, "--schema", identifiers});
    std::set<std::string> distinct;
    for (const Json& table : report["tables"]) {
      distinct.insert(table["target"]);
      if (table["target"] == table["source"]) continue;
      EXPECT_TRUE(contains(reason_of(report, "table", table["source"], table["source"]), "named "))
          << table.dump();
    }
    EXPECT_EQ(distinct.size(), names().size());
  }
}

}  // namespace
}  // namespace sluice
