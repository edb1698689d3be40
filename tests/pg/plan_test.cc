// `sluice plan`: the file that it writes is what migrate does without it, and what is edited in it happens.

#include <gtest/gtest.h>

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "support/command.h"
#include "support/conditions.h"
#include "support/corpus.h"
#include "support/query.h"
#include "support/temporary_directory.h"
#include "support/test_server.h"

namespace sluice::testing {
namespace {

namespace fs = std::filesystem;
using Json = nlohmann::json;

std::string content_of(const fs::path& path) {
  std::ifstream file(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(file), {}};
}

// Replaces the one place where `from` occurs.
std::string edited(std::string text, const std::string& from, const std::string& to) {
  const std::size_t place = text.find(from);
  EXPECT_NE(place, std::string::npos) << from << " is not in\n" << text;
  if (place == std::string::npos) return text;
  EXPECT_EQ(text.find(from, place + 1), std::string::npos) << from << " is twice in\n" << text;
  return text.replace(place, from.size(), to);
}

struct Migrated {
  CommandResult run;
  std::string target;
  std::string root;
  std::string schema;  // the SQL that was run
};

class Plan : public ::testing::Test {
 protected:
  void make_source(const std::string& script) {
    source_ = folder_ / "source.sqlite";
    run_script(script);
  }

  void run_script(const std::string& script) {
    CommandOptions options;
    options.input = script;
    const CommandResult made = run_command({"sqlite3", "-batch", "-bail", source_.string()}, options);
    ASSERT_EQ(made.exit_status, 0) << made.err;
  }

  CommandResult plan(const std::vector<std::string>& flags = {}) {
    std::vector<std::string> words = {sluice_program(), "plan", source_.string(), "--progress", "none"};
    words.insert(words.end(), flags.begin(), flags.end());
    return run_command(words);
  }

  // What `sluice plan` prints, in a file of ours.
  fs::path write_plan(const std::string& text) {
    const fs::path path = folder_ / "plan.toml";
    std::ofstream(path, std::ios::binary | std::ios::trunc) << text;
    return path;
  }

  Migrated migrate(const std::vector<std::string>& flags, int expected_status = 0) {
    Migrated result;
    result.target = shared_test_server().create_database("plan_test");
    const fs::path report = folder_ / "report";
    fs::remove_all(report);
    std::vector<std::string> words = {sluice_program(), "migrate", source_.string(), result.target,
                                      "--progress",     "none",    "--report",       report.string()};
    words.insert(words.end(), flags.begin(), flags.end());
    result.run = run_command(words);
    EXPECT_EQ(result.run.exit_status, expected_status) << result.run.err << result.run.out;
    if (std::ifstream json(report / "report.json"); json) result.root = Json::parse(json).value("root", "");
    result.schema = content_of(report / "schema.sql");
    return result;
  }

  // With the plan as without it: the same types, names and objects, and the same digest of the same rows.
  void expect_plan_changes_nothing(const std::vector<std::string>& flags) {
    const CommandResult planned = plan(flags);
    ASSERT_EQ(planned.exit_status, 0) << planned.err;
    EXPECT_EQ(plan(flags).out, planned.out);
    const Migrated plain = migrate(flags);
    const Migrated followed = migrate({"--config", write_plan(planned.out).string()});
    EXPECT_NE(plain.root, "");
    EXPECT_EQ(plain.root, followed.root) << planned.out;
    EXPECT_EQ(plain.schema, followed.schema) << planned.out;
  }

  TemporaryDirectory folder_;
  fs::path source_;
};

constexpr const char* kMixed =
    "CREATE TABLE users(id INTEGER PRIMARY KEY, name VARCHAR(20) NOT NULL, born DATE, active BOOLEAN, "
    "created_at DATETIME, score NUMERIC, note TEXT, doc JSON);"
    "INSERT INTO users VALUES (1, 'Ada', '1815-12-10', 1, 1700000000000, 1.5, '', '{\"a\":1}'),"
    "(2, 'Bob', '1990-02-03', 0, 1700000001000, 'many', NULL, '[1]');"
    "CREATE INDEX by_name ON users(name);"
    "CREATE TABLE \"Odd Table\"(\"a \"\"b\"\"\" ANY, \"Größe\" INT REFERENCES users(id));"
    "INSERT INTO \"Odd Table\" VALUES (1, 1), ('x', 2);"
    "CREATE TABLE logs(line TEXT); INSERT INTO logs VALUES ('l');"
    "CREATE VIEW v AS SELECT 1; CREATE TRIGGER g AFTER INSERT ON users BEGIN SELECT 1; END;";

TEST_F(Plan, FollowedUneditedItChangesNothing) {
  make_source(kMixed);
  expect_plan_changes_nothing({"--on-misfit", "widen"});
}

TEST_F(Plan, FollowedUneditedItChangesNothingUnderOtherNamesToo) {
  make_source(kMixed);
  expect_plan_changes_nothing({"--on-misfit", "widen", "--identifiers", "snake", "--schema", "my \"schema\"",
                               "--keep-rowid", "--narrow-ints", "--range-size", "8k", "--exclude", "logs"});
}

TEST_F(Plan, OfGeneratedDataSetsChangesNothing) {
  for (const char* name : {"three_tables"}) {
    source_ = folder_ / (std::string(name) + ".sqlite");
    const CommandResult made =
        run_command({generate_dataset_program(), name, source_.string(), "--rows", "2000", "--seed", "7"});
    ASSERT_EQ(made.exit_status, 0) << made.err;
    expect_plan_changes_nothing({"--on-misfit", "widen"});
  }
}

TEST_F(Plan, OfRealDatabasesChangesNothing) {
  std::size_t found = 0;
  for (const char* name : {"chinook", "sakila", "northwind_efcore", "fdw_core", "micro_pgloader_sqlite",
                           "pocketbase_data", "uptime_kuma", "datasette_fixtures"}) {
    const std::optional<fs::path> file = corpus_file(name);
    if (!file) continue;
    SCOPED_TRACE(name);
    ++found;
    source_ = *file;
    expect_plan_changes_nothing({"--on-misfit", "widen", "--bad-text", "bytea"});
  }
  if (found == 0) GTEST_SKIP() << "no corpus";
}

TEST_F(Plan, SaysWhyWhereItIsNotObviousAndWhatWillNotArrive) {
  make_source(kMixed);
  const CommandResult planned = plan({"--on-misfit", "widen"});
  ASSERT_EQ(planned.exit_status, 0) << planned.err;
  for (const char* part :
       {"sluice migrate SOURCE TARGET --config", "plan = 1\n", "[tables.\"Odd Table\"]",
        "\"a \\\"b\\\"\" = { target = ", "2 rows", "declared DATETIME", "# not created: trigger g"}) {
    EXPECT_TRUE(contains(planned.out, part)) << part << "\n" << planned.out;
  }
}

TEST_F(Plan, WhatIsEditedHappens) {
  make_source(kMixed);
  std::string text = plan({"--on-misfit", "widen"}).out;
  text = edited(text, "\"users\"\n", "\"people\"\n");
  text = edited(text, "\"name\" = { target = \"name\"", "\"name\" = { target = \"full_name\"");
  text = edited(text, "\"created_at\" = { target = \"created_at\", type = \"bigint\"",
                "\"created_at\" = { target = \"created_at\", type = \"timestamptz\", epoch = \"ms\"");
  text = edited(text, "\"note\" = { target = \"note\", type = \"text\"",
                "\"note\" = { target = \"note\", type = \"text\", empty-as-null = true");
  text = edited(text, "[tables.\"logs\"]", "[tables.\"logs\"]\nexclude = true");
  const Migrated migrated = migrate({"--config", write_plan(text).string()});
  EXPECT_EQ(query_value(migrated.target, "SELECT string_agg(full_name, ',' ORDER BY id) FROM people"),
            "Ada,Bob");
  EXPECT_EQ(
      query_value(migrated.target, "SELECT extract(epoch FROM created_at)::bigint FROM people WHERE id = 2"),
      "1700000001");
  EXPECT_EQ(query_value(migrated.target, "SELECT count(*) FROM people WHERE note IS NULL"), "2");
  EXPECT_EQ(query_value(migrated.target, "SELECT to_regclass('public.logs')"), "NULL");
}

TEST_F(Plan, APlanThatNoLongerFitsIsRefusedWithItsLines) {
  make_source(kMixed);
  const fs::path file = write_plan(plan({"--on-misfit", "widen"}).out);
  const std::string text = content_of(file);
  const std::size_t header = text.find("[tables.\"logs\"]");
  const std::string line =
      std::to_string(std::count(text.begin(), text.begin() + static_cast<long>(header), '\n') + 1);
  run_script("ALTER TABLE logs ADD COLUMN level TEXT; CREATE TABLE gained(x);");
  const Migrated refused = migrate({"--config", file.string()}, 2);
  for (const std::string& part :
       {file.string() + ":" + line + ": the plan no longer fits the source: table logs has a column level",
        std::string("it has a table gained"), std::string("run sluice plan again")}) {
    EXPECT_TRUE(contains(refused.run.err, part)) << part << "\n" << refused.run.err;
  }
  EXPECT_EQ(query_value(refused.target,
                        "SELECT count(*) FROM pg_class WHERE relnamespace = 'public'::regnamespace"),
            "0");
}

TEST_F(Plan, MistakesAreRefusedBeforeAnythingIsTouched) {
  make_source(kMixed);
  const std::vector<std::pair<std::string, std::string>> mistakes = {
      {"[tables.users]\nspeed = 1\n", ":2: unknown key speed"},
      {"\n[tables.user]\n", ":2: the source has no table user, did you mean users?"},
      {"[tables.users.columns]\nid = { type = \"blob\" }\n", ":2: type: \"blob\" is no type of PostgreSQL"},
      {"[tables.users.columns]\nname = { type = \"text\", epoch = \"s\" }\n",
       ":2: column name of users: epoch"},
      {"[tables.users.columns]\nname = { truncate-fraction = true }\n",
       ":2: column name of users: truncate-fraction"},
      {"[tables.users.columns]\nnaem = {}\n", ":2: table users has no column naem, did you mean name?"},
  };
  for (const auto& [toml, part] : mistakes) {
    const fs::path file = write_plan(toml);
    const Migrated refused = migrate({"--config", file.string()}, 2);
    EXPECT_TRUE(contains(refused.run.err, file.string() + part)) << toml << refused.run.err;
    EXPECT_EQ(query_value(refused.target, "SELECT to_regclass('public.users')"), "NULL");
    EXPECT_EQ(plan({"--config", file.string()}).exit_status, 2);
  }
}

TEST_F(Plan, FindingsEndInStatusTwoAndTheirLinesResolveThem) {
  make_source(
      "CREATE TABLE t(id INTEGER PRIMARY KEY, bio TEXT); INSERT INTO t VALUES (1, 'fine'), "
      "(17, CAST(x'ff41' AS TEXT));");
  const CommandResult planned = plan({"--on-misfit", "widen"});
  EXPECT_EQ(planned.exit_status, 2) << planned.err;
  EXPECT_TRUE(contains(planned.err, "column bio")) << planned.err;
  EXPECT_TRUE(contains(planned.out, "# STOPS THE RUN: ")) << planned.out;
  migrate({"--config", write_plan(planned.out).string()}, 2);
  const std::string text = edited(planned.out, "# bad-text = \"replace\"\n", "bad-text = \"replace\"\n");
  const Migrated migrated = migrate({"--config", write_plan(text).string()});
  EXPECT_EQ(query_value(migrated.target, "SELECT bio FROM t WHERE id = 17"),
            "\xef\xbf\xbd"
            "A");
}

TEST_F(Plan, TheSqlIsWhatMigrateWouldRunAndRuns) {
  make_source(kMixed);
  const CommandResult planned = plan({"--on-misfit", "widen", "--format", "sql"});
  ASSERT_EQ(planned.exit_status, 0) << planned.err;
  EXPECT_TRUE(contains(planned.out, "-- users.created_at: ")) << planned.out;
  EXPECT_TRUE(contains(planned.out, "-- not created: trigger g")) << planned.out;
  const CommandResult dry = run_command({sluice_program(), "migrate", source_.string(), "--on-misfit",
                                         "widen", "--dry-run", "--progress", "none"});
  EXPECT_EQ(dry.out, planned.out);
  const std::string database = shared_test_server().create_database("plan_sql");
  CommandOptions options;
  options.input = planned.out;
  const CommandResult ran = run_command({"psql", "-X", "-v", "ON_ERROR_STOP=1", "-d", database}, options);
  EXPECT_EQ(ran.exit_status, 0) << ran.err;
  EXPECT_EQ(query_value(database, "SELECT count(*) FROM users"), "0");
}

TEST_F(Plan, AFileThatIsThereIsNotOverwritten) {
  make_source(kMixed);
  const fs::path file = folder_ / "mine.toml";
  ASSERT_EQ(plan({"--on-misfit", "widen", "--output", file.string()}).exit_status, 0);
  const std::string text = content_of(file);
  EXPECT_EQ(text, plan({"--on-misfit", "widen"}).out);
  const CommandResult again = plan({"--output", file.string()});
  EXPECT_EQ(again.exit_status, 2);
  EXPECT_TRUE(contains(again.err, file.string() + " exists already")) << again.err;
  EXPECT_EQ(content_of(file), text);
  EXPECT_EQ(plan({"--output", (folder_ / "no" / "such" / "folder.toml").string()}).exit_status, 2);
}

}  // namespace
}  // namespace sluice::testing
