// The commands as a user runs them: flags, repetition, interruption, several at a time.

#include <gtest/gtest.h>

#include <chrono>
#include <csignal>
#include <filesystem>
#include <fstream>
#include <functional>
#include <map>
#include <regex>
#include <set>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "datasets/dataset.h"
#include "engine/model/range.h"
#include "io/postgres/connection.h"
#include "support/command.h"
#include "support/conditions.h"
#include "support/query.h"
#include "support/temporary_directory.h"
#include "support/test_server.h"
#include "unit/sqlite_fixture.h"

namespace sluice {
namespace {

namespace fs = std::filesystem;
using namespace std::chrono_literals;
using testing::CommandOptions;
using testing::CommandResult;
using testing::execute;
using testing::query;
using testing::query_value;
using testing::QueryRow;
using testing::run_command;
using testing::RunningCommand;
using testing::shared_test_server;
using testing::TemporaryDirectory;

using testing::contains;
using testing::wait_until;

using Words = std::vector<std::string>;

class CommandTest : public ::testing::Test {
 protected:
  CommandTest() {
    name_ = ::testing::UnitTest::GetInstance()->current_test_info()->name();
    name_.resize(std::min<std::size_t>(name_.size(), 63));
    conninfo_ = shared_test_server().create_database(name_);
  }

  void source(const std::string& sql) { testing::Writer(source_).run(sql); }

  [[nodiscard]] Words command(Words more = {}) const {
    more.insert(more.begin(),
                {testing::sluice_program(), "migrate", source_, conninfo_, "--progress", "none"});
    return more;
  }

  [[nodiscard]] CommandOptions options() const {
    CommandOptions options;
    options.directory = folder_.path();
    options.environment = environment_;
    return options;
  }

  CommandResult migrate(const Words& more = {}) { return run_command(command(more), options()); }

  CommandResult status() { return run_command({testing::sluice_program(), "status", conninfo_}, options()); }

  void expect_exit(const CommandResult& result, int status) {
    EXPECT_EQ(result.exit_status, status) << result.out << result.err;
  }

  [[nodiscard]] std::string value(const std::string& sql) const { return query_value(conninfo_, sql); }

  // The first column of all rows, one value a line.
  [[nodiscard]] std::string list(const std::string& sql) const {
    std::string lines;
    for (const QueryRow& row : query(conninfo_, sql)) lines += row[0].value_or("NULL") + "\n";
    return lines;
  }

  [[nodiscard]] std::string tables(const std::string& schema = "public") const {
    return list("SELECT tablename FROM pg_tables WHERE schemaname = '" + schema +
                "' ORDER BY tablename COLLATE \"C\"");
  }

  // Creates the tables as sluice would, empty.
  void create_tables(const Words& more = {}) {
    Words words = more;
    words.emplace_back("--dry-run");
    const std::string script = migrate(words).out;
    ASSERT_TRUE(contains(script, "-- after the load")) << script;
    execute(conninfo_, script.substr(0, script.find("-- after the load")));
  }

  // A run that `body` begins stands still before the first row of `table`, until `body` is over. Rows of
  // other tables go on. REQUIRES: the tables exist.
  void while_held(const std::string& table, const std::function<void()>& body) {
    Connection holder(conninfo_);
    const Transaction lock(holder);
    holder.execute("LOCK TABLE public.\"" + table + "\" IN SHARE MODE");  // readers pass, COPY waits
    body();
  }

  // How many sessions wait for the lock of while_held().
  [[nodiscard]] int waiting() const {
    return std::stoi(
        value("SELECT count(*) FROM pg_locks l JOIN pg_database d ON d.oid = l.database "
              "WHERE d.datname = current_database() AND l.locktype = 'relation' AND NOT l.granted"));
  }

  [[nodiscard]] int ranges_done() const {
    if (value("SELECT to_regclass('sluice.work') IS NULL") == "t") return 0;
    return std::stoi(value("SELECT count(*) FROM sluice.work WHERE done"));
  }

  // Kills a run of kTwoTables after all of `first` and before any of `second`.
  void interrupt(int signal, const Words& more = {}) {
    create_tables(more);
    std::optional<RunningCommand> begun;
    while_held("second", [&] {
      RunningCommand& running = begun.emplace(command(more), options());
      ASSERT_TRUE(wait_until([&] { return waiting() > 0 || !running.running(); })) << running.err_so_far();
      ASSERT_TRUE(running.running()) << running.err_so_far() << running.out_so_far();
      running.send(signal);
      if (signal == SIGINT) {
        ASSERT_TRUE(wait_until([&] { return contains(running.err_so_far(), "stopping"); }));
      } else {
        running.wait();
      }
    });
    ASSERT_TRUE(begun);
    begun->wait();
    if (signal == SIGINT) expect_exit(begun->wait(), 5);
    EXPECT_EQ(value("SELECT state FROM sluice.run"), "loading");
    EXPECT_GT(ranges_done(), 0);
    EXPECT_GT(std::stoi(value("SELECT count(*) FROM sluice.work WHERE NOT done")), 0);
  }

  // The larger table first, as it is planned; `second` in several ranges.
  void make_two_tables() {
    source(
        "CREATE TABLE first (id INTEGER PRIMARY KEY, x TEXT); CREATE TABLE second (id INTEGER PRIMARY KEY, x "
        "TEXT);"
        "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 10000)"
        "INSERT INTO first SELECT i, printf('%0100d', i) FROM n;"
        "INSERT INTO second SELECT id, substr(x, 50) FROM first WHERE id <= 6000");
  }
  const Words kRanges = {"-j", "1", "--range-size", "64k"};

  void expect_two_tables() {
    EXPECT_EQ(value("SELECT count(*) || ' ' || count(DISTINCT id) || ' ' || sum(id) FROM first"),
              "10000 10000 50005000");
    EXPECT_EQ(value("SELECT count(*) || ' ' || count(DISTINCT id) || ' ' || sum(id) FROM second"),
              "6000 6000 18003000");
  }

  TemporaryDirectory folder_;
  fs::path source_ = folder_ / "app.db";
  std::vector<std::pair<std::string, std::string>> environment_;
  std::string name_;
  std::string conninfo_;
};

constexpr const char* kFamily = R"sql(
CREATE TABLE parent (id INTEGER PRIMARY KEY, name TEXT NOT NULL, boss INTEGER REFERENCES parent, pet INTEGER REFERENCES child);
CREATE TABLE child (id INTEGER PRIMARY KEY, parent_id INTEGER NOT NULL REFERENCES parent, x TEXT);
CREATE TABLE plain (x TEXT);
INSERT INTO parent VALUES (1, 'one', 2, 1), (2, 'two', NULL, NULL);
INSERT INTO plain VALUES ('a'), ('a'), (NULL);
WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 3000)
INSERT INTO child SELECT i, 1 + i % 2, hex(randomblob(20)) FROM n;
)sql";

// ---- looking without touching ----

TEST_F(CommandTest, DryRunPrintsTheDdlAndTheRangesAndChangesNothing) {
  source(kFamily);
  const CommandResult result = migrate({"--dry-run", "--range-size", "16k"});
  expect_exit(result, 0);
  EXPECT_TRUE(contains(result.out, R"(CREATE TABLE "public"."parent")")) << result.out;
  EXPECT_TRUE(contains(result.out, R"(REFERENCES "public"."child" ("id"))")) << result.out;
  EXPECT_TRUE(contains(result.out, "-- child: about")) << result.out;
  EXPECT_TRUE(contains(result.out, "--   0: rowid -9223372036854775808 ")) << result.out;
  EXPECT_TRUE(contains(result.out, "-- plain: about")) << result.out;
  EXPECT_TRUE(contains(result.out, "--   0: all")) << result.out;
  EXPECT_EQ(tables(), "");
  EXPECT_EQ(value("SELECT to_regnamespace('sluice') IS NULL"), "t");
}

TEST_F(CommandTest, DryRunNeedsNoTarget) {
  source(kFamily);
  const std::set<std::string> before = testing::names_in(folder_);
  expect_exit(
      run_command({testing::sluice_program(), "migrate", source_, "host=/nowhere", "--dry-run"}, options()),
      0);
  expect_exit(run_command({testing::sluice_program(), "migrate", source_, "--dry-run"}, options()), 0);
  expect_exit(
      run_command({testing::sluice_program(), "migrate", source_, "local:here.pg", "--dry-run"}, options()),
      0);
  EXPECT_EQ(testing::names_in(folder_), before);
}

// ---- what and where ----

TEST_F(CommandTest, LoadsIntoSchemasWithOddNames) {
  source(kFamily);
  for (const std::string schema :
       {"we\"ird sch.ema", "two\nlines", "Ünïcode", "back\\slash'", "sluice_too"}) {
    expect_exit(migrate({"--schema", schema}), 0);
    const QueryRow row =
        query(conninfo_, "SELECT count(*) FROM pg_tables WHERE schemaname = E'" +
                             std::regex_replace(schema, std::regex(R"(([\\']))"), R"(\$1)") + "'")[0];
    EXPECT_EQ(row[0], "3") << schema;
  }
  EXPECT_EQ(tables(), "");
}

TEST_F(CommandTest, LoadsWhatIncludeAndExcludeSelect) {
  source(
      "CREATE TABLE users (x); CREATE TABLE Users_old (x); CREATE TABLE logs (x); CREATE TABLE \"odd,name\" "
      "(x)");
  expect_exit(migrate({"--include", "USER*", "--exclude", "*_old", "--schema", "a"}), 0);
  EXPECT_EQ(tables("a"), "users\n");
  expect_exit(migrate({"--include", "logs,users", "--schema", "b"}), 0);
  EXPECT_EQ(tables("b"), "logs\nusers\n");
  expect_exit(migrate({"--exclude", "user?", "--exclude", "logs", "--schema", "c"}), 0);
  EXPECT_EQ(tables("c"), "Users_old\nodd,name\n");
}

TEST_F(CommandTest, SchemaOnlyMakesEverythingButRowsAndTheRowsMayFollow) {
  source(kFamily);
  expect_exit(migrate({"--schema-only"}), 0);
  EXPECT_EQ(value("SELECT count(*) FROM parent"), "0");
  EXPECT_NE(value("SELECT count(*) FROM pg_constraint WHERE conrelid = 'parent'::regclass"), "0");
  expect_exit(migrate({"--schema-only"}), 0);  // again: nothing left to do
  expect_exit(migrate(), 0);
  EXPECT_NE(value("SELECT count(*) FROM parent"), "0");
}

TEST_F(CommandTest, CommandLineWinsOverEnvironmentWinsOverFile) {
  source(kFamily);
  std::ofstream(folder_ / "sluice.toml")
      << "schema = \"from_file\"\ninclude = [\"plain\"]\nverify = \"none\"\n";
  environment_ = {{"SLUICE_CONFIG", "sluice.toml"}};
  expect_exit(migrate(), 0);
  EXPECT_EQ(tables("from_file"), "plain\n");
  EXPECT_EQ(value("SELECT state FROM sluice.run WHERE target_schema = 'from_file'"), "loaded");
  environment_ = {{"SLUICE_SCHEMA", "from_environment"}, {"SLUICE_VERIFY", "full"}};
  expect_exit(migrate({"--config", "sluice.toml"}), 0);
  EXPECT_EQ(tables("from_environment"), "plain\n");
  EXPECT_EQ(value("SELECT state FROM sluice.run WHERE target_schema = 'from_environment'"), "verified");
  expect_exit(migrate({"--config", "sluice.toml", "--schema", "from_flag", "--include", "child"}), 0);
  EXPECT_EQ(tables("from_flag"), "child\n");
}

// ---- tables that are there already ----

class ExistingTablesTest : public CommandTest {
 protected:
  // Loads the family once, then changes the source, so that another run is another run.
  void load_then_change() {
    source(kFamily);
    expect_exit(migrate(), 0);
    source(
        "INSERT INTO parent VALUES (3, 'three', 1, 2); DELETE FROM child WHERE id > 1000;"
        "INSERT INTO plain VALUES ('new')");
  }

  void expect_changed_family() {
    EXPECT_EQ(list("SELECT name FROM parent ORDER BY id"), "one\ntwo\nthree\n");
    EXPECT_EQ(value("SELECT count(*) FROM child"), "1000");
    EXPECT_EQ(value("SELECT count(*) FROM plain"), "4");
    EXPECT_EQ(value("SELECT count(*) FROM pg_constraint WHERE contype = 'f' AND convalidated"
                    " AND connamespace = 'public'::regnamespace"),
              "3");
    EXPECT_EQ(value("SELECT count(*) FROM pg_constraint WHERE contype = 'p'"
                    " AND connamespace = 'public'::regnamespace"),
              "2");
    EXPECT_EQ(list("SELECT state FROM sluice.run ORDER BY started_at"), "superseded\nverified\n");
  }
};

TEST_F(ExistingTablesTest, FailStopsAtRowsAndTouchesNothing) {
  load_then_change();
  const CommandResult result = migrate();
  expect_exit(result, 20);
  EXPECT_TRUE(contains(result.err, "was loaded on")) << result.err;
  EXPECT_TRUE(contains(result.err, "has changed since")) << result.err;
  EXPECT_EQ(value("SELECT count(*) FROM child"), "3000");
  EXPECT_EQ(list("SELECT state FROM sluice.run"), "verified\n");
}

TEST_F(ExistingTablesTest, FailFillsEmptyTables) {
  source(kFamily);
  create_tables();
  expect_exit(migrate(), 0);
  EXPECT_EQ(value("SELECT count(*) FROM child"), "3000");
}

// Their foreign keys point at each other in a circle.
TEST_F(ExistingTablesTest, TruncateEmptiesTablesThatReferToEachOther) {
  load_then_change();
  expect_exit(migrate({"--table-handling", "truncate"}), 0);
  expect_changed_family();
}

// Primary key, unique constraint and index are there from the first time.
TEST_F(ExistingTablesTest, TruncateFindsTheKeysInPlace) {
  source(
      "CREATE TABLE t (id INTEGER PRIMARY KEY, x TEXT UNIQUE, y TEXT); CREATE INDEX by_y ON t (y);"
      "INSERT INTO t VALUES (1, 'a', 'b')");
  expect_exit(migrate(), 0);
  const std::string indexes = list("SELECT indexdef FROM pg_indexes WHERE schemaname = 'public' ORDER BY 1");
  source("INSERT INTO t VALUES (2, 'c', 'd')");
  expect_exit(migrate({"--table-handling", "truncate"}), 0);
  EXPECT_EQ(list("SELECT x FROM t ORDER BY id"), "a\nc\n");
  EXPECT_EQ(list("SELECT indexdef FROM pg_indexes WHERE schemaname = 'public' ORDER BY 1"), indexes);
  EXPECT_EQ(value("INSERT INTO t DEFAULT VALUES RETURNING id"), "3");
  EXPECT_EQ(list("SELECT state FROM sluice.run ORDER BY started_at"), "superseded\nverified\n");
}

// As a framework's own migrations leave them.
TEST_F(ExistingTablesTest, FailFillsEmptyTablesThatHaveTheirKeys) {
  source(kFamily);
  execute(
      conninfo_,
      "CREATE TABLE parent (id bigserial PRIMARY KEY, name text NOT NULL, boss bigint REFERENCES parent, pet "
      "bigint);"
      "CREATE TABLE child (id bigserial PRIMARY KEY, parent_id bigint NOT NULL REFERENCES parent, x text);"
      "ALTER TABLE parent ADD FOREIGN KEY (pet) REFERENCES child");
  expect_exit(migrate(), 0);
  EXPECT_EQ(value("SELECT count(*) FROM child"), "3000");
  EXPECT_EQ(value("SELECT count(*) FROM pg_constraint WHERE contype = 'p' AND conrelid = 'child'::regclass"),
            "1");
}

TEST_F(ExistingTablesTest, TruncateKeepsDefinitions) {
  source("CREATE TABLE t (id INTEGER PRIMARY KEY, x TEXT); INSERT INTO t VALUES (5, 'five')");
  execute(conninfo_,
          "CREATE TABLE t (id bigint, x text, extra text DEFAULT 'kept'); COMMENT ON TABLE t IS 'mine';"
          "INSERT INTO t VALUES (1, 'old')");
  expect_exit(migrate({"--table-handling", "truncate"}), 0);
  EXPECT_EQ(value("SELECT id || x || extra FROM t"), "5fivekept");
  EXPECT_EQ(value("SELECT obj_description('t'::regclass)"), "mine");
}

TEST_F(ExistingTablesTest, TruncateIsRefusedWhereAForeignTableRefers) {
  load_then_change();
  execute(conninfo_, "CREATE TABLE mine (p bigint REFERENCES parent); INSERT INTO mine VALUES (1)");
  const CommandResult result = migrate({"--table-handling", "truncate"});
  expect_exit(result, 20);
  EXPECT_TRUE(contains(result.err, "0A000")) << result.err;
  EXPECT_FALSE(contains(result.err, "CASCADE to")) << result.err;
  EXPECT_EQ(value("SELECT count(*) FROM child"), "3000");
  EXPECT_EQ(value("SELECT count(*) FROM mine"), "1");
}

TEST_F(ExistingTablesTest, DropTakesTablesThatReferToEachOther) {
  load_then_change();
  expect_exit(migrate({"--table-handling", "drop"}), 0);
  expect_changed_family();
}

TEST_F(ExistingTablesTest, DropIsRefusedWhereAViewDepends) {
  load_then_change();
  execute(conninfo_, "CREATE VIEW mine AS SELECT name FROM parent");
  const CommandResult result = migrate({"--table-handling", "drop"});
  expect_exit(result, 20);
  EXPECT_TRUE(contains(result.err, "2BP01")) << result.err;
  EXPECT_EQ(list("SELECT name FROM mine ORDER BY name"), "one\ntwo\n");
  EXPECT_EQ(value("SELECT count(*) FROM child"), "3000");
  EXPECT_EQ(list("SELECT state FROM sluice.run"), "verified\n");
}

TEST_F(ExistingTablesTest, RestartIsRefusedWhereAViewDepends) {
  load_then_change();
  execute(conninfo_, "CREATE VIEW mine AS SELECT name FROM parent");
  expect_exit(migrate({"--restart"}), 20);
  EXPECT_EQ(list("SELECT name FROM mine ORDER BY name"), "one\ntwo\n");
  EXPECT_EQ(list("SELECT state FROM sluice.run"), "verified\n");
}

// ---- once more ----

TEST_F(CommandTest, TheSameCommandAgainVerifiesAgainAndLoadsNothing) {
  source(kFamily);
  const CommandResult first = migrate();
  expect_exit(first, 0);
  const std::string rows = list("SELECT xmin || ' ' || id FROM child ORDER BY id");
  const CommandResult second = migrate();
  expect_exit(second, 0);
  EXPECT_TRUE(contains(second.err, "loaded before")) << second.err;
  EXPECT_EQ(list("SELECT xmin || ' ' || id FROM child ORDER BY id"), rows);
  EXPECT_EQ(list("SELECT state FROM sluice.run"), "verified\n");
  const auto root_line = [](const std::string& out) { return out.substr(out.find("root ")); };
  EXPECT_EQ(root_line(first.out), root_line(second.out));
}

TEST_F(CommandTest, TheRootDependsOnTheRowsAlone) {
  datasets::generate("narrow", source_, {.rows = 60000});
  for (const Words& flags : {Words{"--schema", "a", "-j", "1"},
                             {"--schema", "b", "-j", "4", "--range-size", "32k"},
                             {"--schema", "c", "-j", "3", "--range-size", "100k", "--verify", "none"}}) {
    expect_exit(migrate(flags), 0);
  }
  EXPECT_EQ(value("SELECT count(DISTINCT root) FROM sluice.run"), "1");
  EXPECT_EQ(value("SELECT count(*) FROM sluice.run"), "3");
}

// The number of the range that loaded the row with this rowid.
std::string range_of(const std::string& conninfo, const std::string& table, std::int64_t rowid) {
  for (const QueryRow& row : query(conninfo,
                                   "SELECT w.range_no, w.extent FROM sluice.work w JOIN sluice.run_table t "
                                   "USING (run_id, table_no) WHERE t.source = '" +
                                       table + "'")) {
    const Extent extent = parse_extent(*row[1]);
    const auto* range = std::get_if<RowidRange>(&extent);
    if (range == nullptr || (range->first <= rowid && rowid <= range->last)) return *row[0];
  }
  return "none";
}

// True when the line names the range: "range 3, 4".
bool names_range(const std::string& line, const std::string& range) {
  std::smatch found;
  if (!std::regex_search(line, found, std::regex(R"(range ([0-9, ]+?)(:| and))"))) return false;
  return std::regex_search(found[1].str(), std::regex("\\b" + range + "\\b"));
}

TEST_F(CommandTest, AChangedTargetIsFoundWithTableAndRange) {
  source(
      "CREATE TABLE keyed (id INTEGER PRIMARY KEY, x TEXT); CREATE TABLE keyless (n INTEGER, x TEXT);"
      "CREATE TABLE other (id INTEGER PRIMARY KEY); INSERT INTO other VALUES (1);"
      "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 40000)"
      "INSERT INTO keyed SELECT i, printf('%040d', i) FROM n; INSERT INTO keyless SELECT * FROM keyed");
  expect_exit(migrate({"--range-size", "200k"}), 0);
  EXPECT_GT(std::stoi(value("SELECT count(*) FROM sluice.work")), 10);
  const std::string root = value("SELECT root FROM sluice.run");

  struct Change {
    std::string table;
    std::string sql;
    std::string undo;  // an UPDATE takes a row from its range even when it is undone
    bool names_range = true;
  };
  const std::vector<Change> changes = {
      {"keyed", "UPDATE keyed SET x = 'changed' WHERE id = 30000",
       "UPDATE keyed SET x = lpad('30000', 40, '0') WHERE id = 30000"},
      {"keyed", "DELETE FROM keyed WHERE id = 30000",
       "INSERT INTO keyed VALUES (30000, lpad('30000', 40, '0'))"},
      {"keyed",
       "ALTER TABLE keyed DROP CONSTRAINT keyed_pkey; INSERT INTO keyed SELECT * FROM keyed WHERE id = 30000",
       "DELETE FROM keyed WHERE id = 30000; INSERT INTO keyed VALUES (30000, lpad('30000', 40, '0'))"},
      {"keyed", "INSERT INTO keyed VALUES (-5, 'new')", "DELETE FROM keyed WHERE id = -5", false},
      {"keyless", "DELETE FROM keyless WHERE n = 30000",
       "INSERT INTO keyless VALUES (30000, lpad('30000', 40, '0'))"},
      {"keyless", "INSERT INTO keyless VALUES (1, 'new')", "DELETE FROM keyless WHERE x = 'new'", false},
      {"keyless", "UPDATE keyless SET x = NULL WHERE n = 30000",
       "UPDATE keyless SET x = lpad('30000', 40, '0') WHERE n = 30000"},
  };
  for (const Change& change : changes) {
    execute(conninfo_, change.sql);
    const CommandResult result = migrate({"--range-size", "200k"});
    expect_exit(result, 4);
    const std::string line = result.out.substr(std::min(result.out.find("different: "), result.out.size()));
    EXPECT_TRUE(contains(line, "table " + change.table)) << change.sql << "\n" << result.out;
    EXPECT_FALSE(contains(line, "table other")) << result.out;
    if (change.names_range) {
      EXPECT_TRUE(names_range(line, range_of(conninfo_, change.table, 30000)))
          << change.sql << "\nrange " << range_of(conninfo_, change.table, 30000) << "\n"
          << line;
    }
    EXPECT_EQ(value("SELECT state FROM sluice.run"), "different");
    EXPECT_EQ(value("SELECT root FROM sluice.run"), root);
    execute(conninfo_, change.undo);
    expect_exit(migrate({"--range-size", "200k"}), 0);
    EXPECT_EQ(value("SELECT state FROM sluice.run"), "verified");
  }
}

TEST_F(CommandTest, AMissingTableIsFound) {
  source(kFamily);
  expect_exit(migrate(), 0);
  execute(conninfo_, "DROP TABLE plain");
  const CommandResult result = migrate();
  EXPECT_TRUE(result.exit_status == 4 || result.exit_status == 20) << result.exit_status << result.err;
  EXPECT_TRUE(contains(result.out + result.err, "plain")) << result.out << result.err;
}

TEST_F(CommandTest, CountFindsMissingRowsAndNotChangedOnes) {
  source(kFamily);
  expect_exit(migrate({"--verify", "count"}), 0);
  execute(conninfo_, "UPDATE plain SET x = 'changed'");
  expect_exit(migrate({"--verify", "count"}), 0);
  expect_exit(migrate(), 4);
  execute(conninfo_, "DELETE FROM child WHERE id = 7");
  const CommandResult result = migrate({"--verify", "count"});
  expect_exit(result, 4);
  EXPECT_TRUE(contains(result.out, "table child: 3000 rows loaded, 2999 rows found")) << result.out;
  expect_exit(migrate({"--verify", "none"}), 0);
  EXPECT_EQ(value("SELECT state FROM sluice.run"), "loaded");
}

// ---- status ----

TEST_F(CommandTest, StatusOfAnEmptyTargetSaysSo) {
  const CommandResult result = status();
  expect_exit(result, 0);
  EXPECT_TRUE(contains(result.out, "no run of sluice")) << result.out;
  EXPECT_EQ(value("SELECT to_regnamespace('sluice') IS NULL"), "t");
}

TEST_F(CommandTest, StatusOfAFinishedRunShowsItsTablesAndRejects) {
  source(kFamily);
  source("CREATE TABLE bad (id INTEGER PRIMARY KEY, n INTEGER); INSERT INTO bad VALUES (1, 'x')");
  expect_exit(migrate({"--on-misfit", "reject"}), 3);
  const CommandResult result = status();
  expect_exit(result, 0);
  EXPECT_TRUE(contains(result.out, value("SELECT run_id FROM sluice.run") + "  rejected")) << result.out;
  EXPECT_TRUE(contains(result.out, "root " + value("SELECT root FROM sluice.run"))) << result.out;
  EXPECT_TRUE(std::regex_search(result.out, std::regex(R"(child +1/1 +3,000 +0 )"))) << result.out;
  EXPECT_TRUE(std::regex_search(result.out, std::regex(R"(bad +1/1 +0 +1 )"))) << result.out;
  EXPECT_TRUE(contains(result.out, "rejected: 1 row of bad: column n: storage_class")) << result.out;
}

TEST_F(CommandTest, StatusOfAnUnfinishedRunShowsHowFarItCame) {
  make_two_tables();
  interrupt(SIGKILL, kRanges);
  const CommandResult result = status();
  expect_exit(result, 0);
  EXPECT_TRUE(contains(result.out, "  loading")) << result.out;
  // The indexes of the first table may have begun.
  EXPECT_TRUE(std::regex_search(result.out, std::regex(R"(steps after the load: [0-2] of 8 done)")))
      << result.out;
  EXPECT_TRUE(std::regex_search(result.out, std::regex(R"(second +0/\d+ )"))) << result.out;
}

// ---- interruption ----

TEST_F(CommandTest, AKilledRunGoesOnAndLoadsEveryRowOnce) {
  make_two_tables();
  interrupt(SIGKILL, kRanges);
  const std::string before = list("SELECT xmin || ' ' || id FROM first ORDER BY id");
  const CommandResult result = migrate(kRanges);
  expect_exit(result, 0);
  EXPECT_TRUE(contains(result.err, "going on with an earlier run")) << result.err;
  expect_two_tables();
  EXPECT_EQ(list("SELECT xmin || ' ' || id FROM first ORDER BY id"), before) << "loaded twice";
  EXPECT_EQ(value("SELECT count(*) FROM sluice.run"), "1");
}

TEST_F(CommandTest, AStoppedRunGoesOnWhateverTheRangeSizeAndJobs) {
  make_two_tables();
  interrupt(SIGINT, kRanges);
  expect_exit(migrate({"-j", "3", "--range-size", "1MB"}), 0);
  expect_two_tables();
}

TEST_F(CommandTest, AnUnfinishedRunRefusesOtherFlags) {
  make_two_tables();
  interrupt(SIGKILL, kRanges);
  const CommandResult result = migrate({"--include", "first"});
  expect_exit(result, 2);
  EXPECT_TRUE(contains(result.err, "--restart")) << result.err;
  expect_exit(migrate(), 0);
  expect_two_tables();
}

TEST_F(CommandTest, AnUnfinishedRunRefusesAChangedSource) {
  make_two_tables();
  interrupt(SIGKILL, kRanges);
  source("UPDATE second SET x = 'changed' WHERE id = 1");
  const CommandResult result = migrate(kRanges);
  expect_exit(result, 11);
  EXPECT_TRUE(contains(result.err, "--restart")) << result.err;
  EXPECT_EQ(value("SELECT count(*) FROM second"), "0");
  EXPECT_EQ(value("SELECT state FROM sluice.run"), "loading");
}

// The tables were there before the run, so restarting handles them as asked.
TEST_F(CommandTest, RestartBeginsAnew) {
  make_two_tables();
  interrupt(SIGKILL, kRanges);
  source("UPDATE second SET x = 'changed' WHERE id = 1");
  expect_exit(migrate({"--restart"}), 20);
  expect_exit(migrate({"--restart", "--table-handling", "truncate"}), 0);
  expect_two_tables();
  EXPECT_EQ(value("SELECT x FROM second WHERE id = 1"), "changed");
  EXPECT_EQ(list("SELECT state FROM sluice.run ORDER BY started_at"), "superseded\nverified\n");
}

TEST_F(CommandTest, RestartOfAFinishedRunLeavesExactlyTheSourcesRows) {
  source(kFamily);
  expect_exit(migrate(), 0);
  execute(conninfo_, "INSERT INTO plain VALUES ('mine'); DELETE FROM child WHERE id > 2000");
  source("DELETE FROM plain WHERE x IS NULL");
  expect_exit(migrate({"--restart"}), 0);
  EXPECT_EQ(list("SELECT x FROM plain"), "a\na\n");
  EXPECT_EQ(value("SELECT count(*) FROM child"), "3000");
  EXPECT_EQ(list("SELECT state FROM sluice.run ORDER BY started_at"), "superseded\nverified\n");
}

// The tables that only the earlier run had may be in use by now.
TEST_F(CommandTest, RestartWithFewerTablesLeavesTheOthersOfAFinishedRun) {
  source(kFamily);
  expect_exit(migrate(), 0);
  execute(conninfo_, "INSERT INTO plain VALUES ('mine')");
  expect_exit(migrate({"--restart", "--include", "plain"}), 0);
  EXPECT_EQ(tables(), "child\nparent\nplain\n");
  EXPECT_EQ(value("SELECT count(*) FROM plain WHERE x = 'mine'"), "0");
  EXPECT_EQ(value("SELECT count(*) FROM child"), "3000");
}

TEST_F(CommandTest, AKillBetweenLoadAndIndexesIsMendedToo) {
  make_two_tables();
  source("CREATE UNIQUE INDEX by_x ON second (x)");
  RunningCommand running(command(kRanges), options());
  {
    // An index needs a SHARE lock, which a writer keeps out; COPY goes beside it.
    ASSERT_TRUE(wait_until([&] { return value("SELECT to_regclass('public.second') IS NOT NULL") == "t"; }));
    Connection holder(conninfo_);
    const Transaction lock(holder);
    holder.execute("LOCK TABLE public.second IN ROW EXCLUSIVE MODE");
    if (wait_until([&] { return waiting() > 0 || !running.running(); }) && running.running())
      running.send(SIGKILL);
    running.wait();
  }
  expect_exit(migrate(kRanges), 0);
  expect_two_tables();
  EXPECT_EQ(list("SELECT indexname FROM pg_indexes WHERE schemaname = 'public' ORDER BY 1"),
            "by_x\nfirst_pkey\nsecond_pkey\n");
  EXPECT_EQ(value("SELECT count(*) FROM sluice.step WHERE NOT done"), "0");
}

// ---- several at a time ----

TEST_F(CommandTest, TwoProcessesOnOneJobLoadEveryRowOnce) {
  make_two_tables();
  create_tables();
  const Words flags = {"-j", "2", "--range-size", "64k"};
  std::vector<RunningCommand> both;
  both.reserve(2);
  while_held("second", [&] {
    while (both.size() < 2) both.emplace_back(command(flags), options());
    // Both are at work: each has a session that waits for the table.
    ASSERT_TRUE(wait_until([&] { return waiting() >= 3; }));
  });
  for (RunningCommand& one : both) expect_exit(one.wait(), 0);
  expect_two_tables();
  EXPECT_EQ(list("SELECT state FROM sluice.run"), "verified\n");
  EXPECT_EQ(value("SELECT count(*) FROM sluice.work WHERE NOT done"), "0");
  EXPECT_EQ(value("SELECT count(*) FROM sluice.step WHERE NOT done"), "0");
  EXPECT_EQ(value("SELECT sum(rows_loaded) FROM sluice.work"), "16000");
}

TEST_F(CommandTest, TwoProcessesThatStartAtTheSameTimeShareOneRun) {
  source(kFamily);
  for (int round = 0; round < 3; ++round) {
    conninfo_ = shared_test_server().create_database(name_);
    std::vector<RunningCommand> running;
    running.reserve(3);
    for (int i = 0; i < 3; ++i) running.emplace_back(command({"--range-size", "16k"}), options());
    for (RunningCommand& one : running) expect_exit(one.wait(), 0);
    EXPECT_EQ(value("SELECT count(*) FROM child"), "3000");
    EXPECT_EQ(value("SELECT count(*) FROM plain"), "3");
    EXPECT_EQ(list("SELECT state FROM sluice.run"), "verified\n");
  }
}

// ---- identities ----

class IdentityTest : public CommandTest {
 protected:
  // The id that the next row without one gets.
  std::string next(const std::string& table) {
    return value("INSERT INTO \"" + table + "\" DEFAULT VALUES RETURNING id");
  }
};

TEST_F(IdentityTest, TheNextValueIsBeyondEveryOneUsed) {
  source(
      "CREATE TABLE usual (id INTEGER PRIMARY KEY, x); INSERT INTO usual VALUES (1, 'a'), (41, 'b');"
      "CREATE TABLE empty (id INTEGER PRIMARY KEY, x);"
      "CREATE TABLE negative (id INTEGER PRIMARY KEY, x); INSERT INTO negative VALUES (-5, 'a'), (-9, 'b');"
      "CREATE TABLE zero (id INTEGER PRIMARY KEY, x); INSERT INTO zero VALUES (0, 'a');"
      "CREATE TABLE least (id INTEGER PRIMARY KEY, x); INSERT INTO least VALUES (-9223372036854775808, 'a');"
      "CREATE TABLE ahead (id INTEGER PRIMARY KEY AUTOINCREMENT, x); INSERT INTO ahead VALUES (99, 'a'), (3, "
      "'b');"
      "DELETE FROM ahead WHERE id = 99;"
      "CREATE TABLE behind (id INTEGER PRIMARY KEY AUTOINCREMENT, x); INSERT INTO behind VALUES (7, 'a');"
      "UPDATE sqlite_sequence SET seq = 2 WHERE name = 'behind';"
      "CREATE TABLE unused (id INTEGER PRIMARY KEY AUTOINCREMENT, x);"
      "CREATE TABLE \"odd \"\"name'\" (id INTEGER PRIMARY KEY, x); INSERT INTO \"odd \"\"name'\" VALUES (6, "
      "'a')");
  expect_exit(migrate(), 0);
  EXPECT_EQ(next("usual"), "42");
  EXPECT_EQ(next("empty"), "1");
  EXPECT_EQ(next("negative"), "1");
  EXPECT_EQ(next("zero"), "1");
  EXPECT_EQ(next("least"), "1");
  EXPECT_EQ(next("ahead"), "100");
  EXPECT_EQ(next("behind"), "8");
  EXPECT_EQ(next("unused"), "1");
  EXPECT_EQ(next("odd \"\"name'"), "7");
}

TEST_F(IdentityTest, AtTheEndOfTheRangeTheNextValueIsRefused) {
  source(
      "CREATE TABLE most (id INTEGER PRIMARY KEY, x); INSERT INTO most VALUES (9223372036854775807, 'a');"
      "CREATE TABLE almost (id INTEGER PRIMARY KEY, x); INSERT INTO almost VALUES (9223372036854775806, "
      "'a')");
  expect_exit(migrate(), 0);
  EXPECT_EQ(next("almost"), "9223372036854775807");
  for (const char* table : {"most", "almost"}) {
    try {
      next(table);
      ADD_FAILURE() << table;
    } catch (const std::runtime_error& error) {
      EXPECT_TRUE(contains(error.what(), "2200H")) << error.what();
    }
  }
}

TEST_F(IdentityTest, OwnValuesMayStillBeGiven) {
  source("CREATE TABLE t (id INTEGER PRIMARY KEY, x); INSERT INTO t VALUES (1, 'a')");
  expect_exit(migrate(), 0);
  execute(conninfo_, "INSERT INTO t (id, x) VALUES (77, 'mine')");
  EXPECT_EQ(next("t"), "2");
}

}  // namespace
}  // namespace sluice
