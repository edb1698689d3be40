// What a run finds in place: tables that others made, a source that others write to, reports of earlier
// calls, names that were meant as traps. Nothing is touched that could not be put back.

#include <fcntl.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <csignal>
#include <filesystem>
#include <fstream>
#include <functional>
#include <nlohmann/json.hpp>
#include <set>
#include <string>
#include <thread>
#include <vector>

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
using Json = nlohmann::json;
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

using Words = std::vector<std::string>;

using testing::contains;
using testing::wait_until;

class FoundTest : public ::testing::Test {
 protected:
  FoundTest() {
    name_ = ::testing::UnitTest::GetInstance()->current_test_info()->name();
    name_.resize(std::min<std::size_t>(name_.size(), 63));
    new_database();
  }

  void new_database() { conninfo_ = shared_test_server().create_database(name_); }
  void source(const std::string& sql) const { testing::Writer(source_).run(sql); }
  void target(const std::string& sql) const { execute(conninfo_, sql); }

  [[nodiscard]] Words command(const Words& more = {}) const {
    Words words = {testing::sluice_program(), "migrate", source_, conninfo_, "--progress", "none"};
    words.insert(words.end(), more.begin(), more.end());
    return words;
  }
  [[nodiscard]] CommandOptions options() const {
    CommandOptions options;
    options.directory = folder_.path();
    return options;
  }
  [[nodiscard]] CommandResult migrate(const Words& more = {}) const {
    return run_command(command(more), options());
  }
  [[nodiscard]] CommandResult sluice(Words words) const {
    words.insert(words.begin(), testing::sluice_program());
    return run_command(words, options());
  }

  static void expect_exit(const CommandResult& result, int status) {
    EXPECT_EQ(result.exit_status, status) << result.out << result.err;
  }

  [[nodiscard]] std::string value(const std::string& sql) const { return query_value(conninfo_, sql); }

  // Everything that is in schema public, as text: equal before and after means that nothing was touched.
  [[nodiscard]] std::string everything() const {
    std::string lines;
    const std::string sql =
        "SELECT format('%s %s%s %s', oid::regclass, relkind, relpersistence, pg_relation_filenode(oid)) "
        "FROM pg_class WHERE relnamespace = 'public'::regnamespace UNION ALL "
        "SELECT format('%s %s %s', conrelid::regclass, conname, pg_get_constraintdef(oid)) "
        "FROM pg_constraint WHERE connamespace = 'public'::regnamespace UNION ALL "
        "SELECT nspname FROM pg_namespace ORDER BY 1";
    for (const QueryRow& row : query(conninfo_, sql)) {
      lines += row[0].value_or("NULL") + "\n";
    }
    return lines;
  }

  // Refused, whatever is to become of the rows; with these words, and with nothing changed.
  void expect_refused(const std::string& words) const {
    const std::string before = everything();
    for (const char* handling : {"fail", "truncate"}) {
      const CommandResult result = migrate({"--table-handling", handling});
      expect_exit(result, 20);
      EXPECT_TRUE(contains(result.err, words)) << result.err;
      EXPECT_EQ(everything(), before) << handling;
    }
  }

  [[nodiscard]] bool waits() const {
    return value(
               "SELECT EXISTS (SELECT 1 FROM pg_stat_activity WHERE datname = current_database() AND "
               "wait_event_type = 'Lock')") == "t";
  }

  TemporaryDirectory folder_;
  fs::path source_ = folder_ / "app.db";
  std::string name_;
  std::string conninfo_;
};

constexpr const char* kFamily =
    "CREATE TABLE parent (id INTEGER PRIMARY KEY, name TEXT);"
    "CREATE TABLE child (id INTEGER PRIMARY KEY, parent INTEGER REFERENCES parent ON DELETE CASCADE);"
    "INSERT INTO parent VALUES (1, 'a'), (2, 'b'); INSERT INTO child VALUES (1, 2), (2, 1), (3, NULL);";
constexpr const char* kParent = "CREATE TABLE parent (id bigint PRIMARY KEY, name text);";

// ---- tables that would change what they take ----

// The table before it is in order, and its foreign key would be dropped for the load.
TEST_F(FoundTest, ColumnsThatWouldRoundOrCutAreRefused) {
  struct Column {
    std::string declared;
    std::string found;
  };
  for (const Column& column : {Column{"DECIMAL(10,2)", "numeric(10,2)"}, Column{"DATETIME", "timestamp(0)"},
                               Column{"TIME", "time(0)"}, Column{"TIMESTAMPTZ", "timestamptz(3)"},
                               Column{"VARCHAR(5)", "varchar(5)"}, Column{"TEXT", "char(5)"},
                               Column{"DOUBLE", "real"}, Column{"INTEGER", "integer"}}) {
    new_database();
    fs::remove(source_);
    source(kFamily + ("CREATE TABLE last (x " + column.declared + "); INSERT INTO last VALUES (NULL)"));
    target(kParent + ("CREATE TABLE child (id bigint, parent bigint REFERENCES parent ON DELETE CASCADE);"
                      "CREATE TABLE last (x " +
                      column.found + ")"));
    SCOPED_TRACE(column.found);
    expect_refused("another type");
  }
}

TEST_F(FoundTest, AnUnloggedTableIsRefused) {
  source(kFamily);
  target(kParent + std::string("CREATE UNLOGGED TABLE child (id bigint, parent bigint)"));
  expect_refused("UNLOGGED");
}

TEST_F(FoundTest, APartitionedTableIsRefused) {
  source(kFamily);
  target(
      "CREATE TABLE parent (id bigint, name text) PARTITION BY RANGE (id);"
      "CREATE TABLE part PARTITION OF parent DEFAULT");
  expect_refused("partitioned");
}

TEST_F(FoundTest, ATableThatOthersInheritFromIsRefused) {
  source(kFamily);
  target(kParent);
  target("CREATE TABLE heir () INHERITS (parent); INSERT INTO heir VALUES (7, 'mine')");
  expect_refused("inherit from it");
  EXPECT_EQ(value("SELECT count(*) FROM heir"), "1");
}

TEST_F(FoundTest, ACheckThatRowsOfTheSourceBrokeIsRefusedBeforeAnythingIsEmptied) {
  source(
      "CREATE TABLE t (n INTEGER CHECK (n > 0)); PRAGMA ignore_check_constraints = ON; INSERT INTO t VALUES "
      "(-1)");
  expect_exit(migrate(), 0);
  const CommandResult again = migrate({"--table-handling", "truncate"});
  expect_exit(again, 20);
  EXPECT_TRUE(contains(again.err, "NOT VALID")) << again.err;
  EXPECT_EQ(value("SELECT count(*) FROM t"), "1");
  expect_exit(migrate({"--table-handling", "drop"}), 0);
}

TEST_F(FoundTest, AForeignKeyWithMatchFullIsRefusedAndStays) {
  source(
      "CREATE TABLE p (a INTEGER, b INTEGER, PRIMARY KEY (a, b));"
      "CREATE TABLE c (a INTEGER, b INTEGER, FOREIGN KEY (a, b) REFERENCES p (a, b))");
  target(
      "CREATE TABLE p (a bigint, b bigint, PRIMARY KEY (a, b));"
      "CREATE TABLE c (a bigint, b bigint, FOREIGN KEY (a, b) REFERENCES p MATCH FULL)");
  expect_refused("foreign key");
}

TEST_F(FoundTest, ADefaultOfTheTableStays) {
  source("CREATE TABLE t (id INTEGER PRIMARY KEY, n INTEGER DEFAULT 7); INSERT INTO t VALUES (1, 1)");
  expect_exit(migrate(), 0);
  target("ALTER TABLE t ALTER COLUMN n SET DEFAULT 99");
  expect_exit(migrate({"--table-handling", "truncate"}), 0);
  EXPECT_EQ(value("INSERT INTO t (id) VALUES (2) RETURNING n"), "99");
}

// An empty table that one run created may hold the rows of another by now.
TEST_F(FoundTest, RestartNeverDropsWhatALaterRunLoaded) {
  const fs::path other = folder_ / "other.db";
  testing::Writer(other).run("CREATE TABLE log (x TEXT); INSERT INTO log VALUES ('a'), ('b')");
  source("CREATE TABLE first (x TEXT); INSERT INTO first VALUES ('1'); CREATE TABLE log (x TEXT)");
  expect_exit(migrate(), 0);
  expect_exit(sluice({"migrate", other, conninfo_}), 0);
  const CommandResult restart = migrate({"--restart"});
  expect_exit(restart, 20);
  EXPECT_TRUE(contains(restart.err, "was loaded from")) << restart.err;
  EXPECT_EQ(value("SELECT count(*) FROM log"), "2");
}

TEST_F(FoundTest, ATriggerIsRefused) {
  source(kFamily);
  target(kParent +
         std::string("CREATE FUNCTION f() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NULL; END';"
                     "CREATE TRIGGER eats_rows BEFORE INSERT ON parent FOR EACH ROW EXECUTE FUNCTION f()"));
  expect_refused("\"eats_rows\"");
  target("ALTER TABLE parent DISABLE TRIGGER eats_rows");
  expect_exit(migrate(), 0);
  EXPECT_EQ(value("SELECT count(*) FROM parent"), "2");
}

// ---- foreign keys ----

TEST_F(FoundTest, AForeignKeyThatDiffersIsRefusedAndStays) {
  source(kFamily);
  for (const char* key :
       {"REFERENCES parent", "REFERENCES parent ON DELETE SET NULL", "REFERENCES parent ON DELETE RESTRICT",
        "REFERENCES parent ON UPDATE CASCADE ON DELETE CASCADE",
        "REFERENCES parent ON DELETE CASCADE DEFERRABLE",
        "REFERENCES parent ON DELETE CASCADE DEFERRABLE INITIALLY DEFERRED"}) {
    new_database();
    target(kParent + ("CREATE TABLE child (id bigint, parent bigint " + std::string(key) + ")"));
    SCOPED_TRACE(key);
    expect_refused("\"child_parent_fkey\"");
  }
}

TEST_F(FoundTest, EqualForeignKeysAreMadeAgainAfterTheLoad) {
  source(kFamily);
  target(kParent +
         std::string("CREATE TABLE child (id bigint PRIMARY KEY, parent bigint, CONSTRAINT mine FOREIGN "
                     "KEY (parent) REFERENCES parent ON DELETE CASCADE)"));
  expect_exit(migrate(), 0);
  EXPECT_EQ(value("SELECT count(*) FROM child"), "3");
  EXPECT_EQ(value("SELECT pg_get_constraintdef(oid) || ' ' || convalidated FROM pg_constraint WHERE contype "
                  "= 'f' AND conrelid = 'child'::regclass"),
            "FOREIGN KEY (parent) REFERENCES parent(id) ON DELETE CASCADE true");
  target("DELETE FROM parent WHERE id = 2");
  EXPECT_EQ(value("SELECT count(*) FROM child"), "2");
}

// ---- what a found table lacks ----

TEST_F(FoundTest, AMissingIdentityIsReportedWithAProposalThatWorks) {
  source(kFamily);
  target("CREATE TABLE parent (id bigint, name text)");
  expect_exit(migrate({"--report", "report"}), 0);
  const Json report = Json::parse(std::ifstream(folder_ / "report/report.json"));
  Json identity;
  for (const Json& object : report["objects"]) {
    if (object["kind"] == "identity" && object["name"] == "id" && contains(object["table"], "parent"))
      identity = object;
  }
  ASSERT_FALSE(identity.is_null());
  EXPECT_EQ(identity["status"], "not_created") << identity;
  const std::string proposal = identity["proposal"];
  const std::size_t end = proposal.find(", then run the SQL again");
  ASSERT_NE(end, std::string::npos) << proposal;
  target(proposal.substr(0, end));
  target(identity["sql"]);
  EXPECT_EQ(value("INSERT INTO parent (name) VALUES ('c') RETURNING id"), "3");
}

// ---- locks of others ----

TEST_F(FoundTest, ATableThatSomebodyReadsIsNotWaitedForWithoutEnd) {
  source(kFamily);
  target(kParent);
  Connection reader(conninfo_);
  reader.execute("BEGIN; SELECT * FROM public.parent");
  const CommandResult result = migrate({"--table-handling", "drop"});
  expect_exit(result, 21);
  EXPECT_LT(result.seconds.count(), 60) << result.err;
  EXPECT_EQ(value("SELECT to_regnamespace('sluice') IS NULL"), "t");
  reader.execute("COMMIT");
  expect_exit(migrate({"--table-handling", "drop"}), 0);
}

// ---- a source that is written to ----

class HeldLoadTest : public FoundTest {
 protected:
  // The larger table first, as it is planned, so that `second` is read late.
  void make_two_tables() const {
    source(
        "CREATE TABLE first (id INTEGER PRIMARY KEY, x TEXT); CREATE TABLE second (id INTEGER PRIMARY KEY, x "
        "TEXT);"
        "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 10000)"
        "INSERT INTO first SELECT i, printf('a%0100d', i) FROM n;"
        "INSERT INTO second SELECT id, 'second' || substr(x, 20) FROM first WHERE id <= 6000");
    target("CREATE TABLE first (id bigint, x text); CREATE TABLE second (id bigint, x text)");
  }

  // Does `body` while the command stands still before the first row of `second`.
  CommandResult migrate_with(const Words& more, const std::function<void(RunningCommand&)>& body) const {
    Connection holder(conninfo_);
    holder.execute("BEGIN; LOCK TABLE public.second IN SHARE MODE");  // readers pass, COPY waits
    Words words = {"-j", "1", "--range-size", "64k"};
    words.insert(words.end(), more.begin(), more.end());
    RunningCommand running(command(words), options());
    EXPECT_TRUE(wait_until([&] { return waits() || !running.running(); }));
    EXPECT_TRUE(running.running()) << running.out_so_far() << running.err_so_far();
    body(running);
    holder.execute("ROLLBACK");
    return running.wait();
  }

  // As cp or rsync --inplace would, without a look at locks. The file stays sound, which makes it worse: only
  // its rows are others.
  void overwrite_rows() const {
    std::string bytes = testing::bytes_of(source_);
    for (std::size_t at = bytes.find("second0"); at != std::string::npos;
         at = bytes.find("second0", at + 1)) {
      bytes.replace(at, 6, "SECOND");
    }
    const int file = open(source_.c_str(), O_WRONLY | O_CLOEXEC);
    ASSERT_GE(file, 0);
    EXPECT_EQ(pwrite(file, bytes.data(), bytes.size(), 0), static_cast<ssize_t>(bytes.size()));
    close(file);
  }
};

TEST_F(HeldLoadTest, ASourceThatIsOverwrittenInPlaceIsNoticed) {
  make_two_tables();
  const CommandResult result = migrate_with({}, [&](RunningCommand&) { overwrite_rows(); });
  expect_exit(result, 11);
  EXPECT_TRUE(contains(result.err, "overwritten")) << result.err;
  EXPECT_EQ(value("SELECT state FROM sluice.run"), "loading");
  expect_exit(migrate(), 11);
  expect_exit(migrate({"--restart", "--table-handling", "drop"}), 0);
  EXPECT_EQ(value("SELECT count(*) FROM second WHERE x LIKE 'SECOND%'"), "6000");
}

TEST_F(HeldLoadTest, ASourceThatIsOverwrittenIsNoticedWithoutVerification) {
  make_two_tables();
  expect_exit(migrate_with({"--verify", "none"}, [&](RunningCommand&) { overwrite_rows(); }), 11);
}

// ---- reports of earlier calls ----

TEST_F(HeldLoadTest, AReportOfAnEarlierSuccessDoesNotOutliveAKilledCall) {
  make_two_tables();
  const fs::path report = folder_ / "report/report.json";
  expect_exit(migrate({"--report", "report"}), 0);
  ASSERT_EQ(Json::parse(std::ifstream(report))["status"], "verified");
  migrate_with({"--report", "report", "--table-handling", "truncate"}, [](RunningCommand& running) {
    running.send(SIGKILL);
    running.wait();
  });
  EXPECT_FALSE(fs::exists(report)) << testing::bytes_of(report);
}

// ---- targets that are none ----

TEST_F(FoundTest, StatusOfALocalServerThatIsNotThereMakesNothing) {
  const std::set<std::string> before = testing::names_in(folder_);
  for (const char* place : {"local:nowhere", "local:deeper/nowhere", "local:app.db.pg/", "local:"}) {
    const CommandResult result = sluice({"status", place});
    expect_exit(result, 2);
    EXPECT_EQ(testing::names_in(folder_), before) << place;
  }
  // A folder without a server stays as it is.
  fs::create_directory(folder_ / "empty");
  expect_exit(sluice({"status", "local:empty"}), 2);
  EXPECT_TRUE(fs::is_empty(folder_ / "empty"));
}

// As in a script with an unset variable: "$TARGET".
TEST_F(FoundTest, AnEmptyTargetIsRefused) {
  source(kFamily);
  const std::set<std::string> before = testing::names_in(folder_);
  expect_exit(sluice({"migrate", source_, ""}), 2);
  expect_exit(sluice({"migrate", source_, "", "--dry-run"}), 2);
  EXPECT_EQ(testing::names_in(folder_), before);
}

// libpq would take it for its default database.
TEST_F(FoundTest, AnEmptyTargetOfStatusIsRefused) { expect_exit(sluice({"status", ""}), 2); }

// ---- names as traps ----

class TrapTest : public FoundTest {
 protected:
  // Names whose second line would be a statement if it stood outside of quotes and comments. Both tables have
  // something that is refused and so becomes a comment, and something that is never created.
  void make_traps() const {
    std::string script;
    int number = 0;
    for (const std::string end : {"\n", "\r", "\r\n"}) {
      const std::string trap = end + "DROP TABLE victim; --";
      const std::string n = std::to_string(++number);
      script +=
          "CREATE TABLE \"t" + n + trap + "\" (\"c" + trap + "\" TEXT DEFAULT 'x" + trap + "', CHECK (1));";
      script += "CREATE INDEX \"i" + n + trap + "\" ON \"t" + n + trap + "\" (\"c" + trap + "\");";
      script += "CREATE VIEW \"v" + n + trap + "\" AS SELECT unicode('x');";
      // Too long for an index and not to be compressed.
      script += "INSERT INTO \"t" + n + trap + "\" VALUES (hex(randomblob(20000)));";
    }
    source(script);
  }

  // As a user runs a script after a look at it. REQUIRES: a database with table victim.
  static void expect_harmless(const std::string& script, const std::string& conninfo) {
    CommandOptions options;
    options.input = script;
    const CommandResult result =
        run_command({"psql", "-X", "-q", "-v", "ON_ERROR_STOP=1", "-d", conninfo}, options);
    EXPECT_EQ(result.exit_status, 0) << result.err << script;
    EXPECT_EQ(query_value(conninfo, "SELECT to_regclass('victim') IS NOT NULL"), "t") << script;
    EXPECT_EQ(query_value(conninfo, "SELECT count(*) FROM pg_tables WHERE schemaname = 'public'"), "4");
  }

  [[nodiscard]] std::string database_with_victim() const {
    const std::string conninfo = shared_test_server().create_database(name_ + "Scratch");
    execute(conninfo, "CREATE TABLE victim (x text)");
    return conninfo;
  }
};

TEST_F(TrapTest, LinesInNamesStayInTheCommentsOfADryRun) {
  make_traps();
  const CommandResult result = migrate({"--dry-run", "--range-size", "16k"});
  expect_exit(result, 0);
  EXPECT_TRUE(contains(result.out, "-- not created: ")) << result.out;
  expect_harmless(result.out, database_with_victim());
}

TEST_F(TrapTest, LinesInNamesStayInTheCommentsOfSchemaSql) {
  make_traps();
  expect_exit(migrate({"--report", "report"}), 0);
  const std::string script = testing::bytes_of(folder_ / "report/schema.sql");
  EXPECT_TRUE(contains(script, "-- refused: ")) << script;
  expect_harmless(script, database_with_victim());
}

}  // namespace
}  // namespace sluice
