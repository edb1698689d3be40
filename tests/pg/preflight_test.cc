// What a role lacks is said all at once, before anything is made, each with the SQL that mends it: run by a
// superuser, it is all that was missing. No superuser is needed otherwise.

#include <gtest/gtest.h>

#include <algorithm>
#include <csignal>
#include <filesystem>
#include <fstream>
#include <nlohmann/json.hpp>
#include <sstream>
#include <string>
#include <vector>

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
using testing::execute;
using testing::query_value;
using testing::shared_test_server;
using Words = std::vector<std::string>;

// Everything that a schema of SQLite may hold and a run makes.
constexpr const char* kSource = R"sql(
CREATE TABLE owner (id INTEGER PRIMARY KEY AUTOINCREMENT, name TEXT NOT NULL UNIQUE, born DATE DEFAULT '2001-02-03',
  weight REAL CHECK (weight > 0), loud TEXT GENERATED ALWAYS AS (name || '!') STORED);
CREATE TABLE pet (id INTEGER PRIMARY KEY, owner INTEGER REFERENCES owner (id), tag TEXT);
CREATE INDEX pet_owner ON pet (owner) WHERE owner > 1;
CREATE VIEW heavy AS SELECT name FROM owner WHERE weight > 70;
INSERT INTO owner (name, weight) VALUES ('one', 60.5), ('two', 70.5), ('three', 80.5);
INSERT INTO pet VALUES (1, 1, 'a'), (2, 2, 'b'), (3, NULL, 'c');
)sql";

class PreflightTest : public ::testing::Test {
 protected:
  PreflightTest() {
    name_ = ::testing::UnitTest::GetInstance()->current_test_info()->name();
    name_.resize(std::min<std::size_t>(name_.size(), 63));
    superuser_ = shared_test_server().create_database(name_);
    // Roles outlive databases. "plain" is quoted everywhere, so it may be as odd as it likes.
    execute(superuser_,
            "DO $$BEGIN IF to_regrole('\"Plain \"\" user\"') IS NULL THEN CREATE ROLE \"Plain \"\" user\" "
            "LOGIN; END IF;"
            "IF to_regrole('landlord') IS NULL THEN CREATE ROLE landlord LOGIN; END IF; END$$;"
            "ALTER ROLE \"Plain \"\" user\" NOBYPASSRLS");
    plain_ = superuser_ + " user='Plain \" user'";
    landlord_ = superuser_ + " user=landlord";
    testing::Writer(source_).run(kSource);
  }

  CommandResult migrate(const Words& more = {}, const std::string& target = {}) {
    Words words = {testing::sluice_program(),        "migrate",    source_,
                   target.empty() ? plain_ : target, "--progress", "none"};
    words.insert(words.end(), more.begin(), more.end());
    testing::CommandOptions options;
    options.directory = folder_.path();
    return run_command(words, options);
  }

  // Everything in the database: relations with their owners and privileges, schemas, columns, constraints.
  std::string contents() const {
    return query_value(superuser_,
                       "SELECT md5((SELECT coalesce(string_agg(concat_ws(' ', n.nspname, c.relname, "
                       "c.relkind, c.relowner, c.relacl, "
                       "c.relfilenode), ',' ORDER BY n.nspname, c.relname), '') FROM pg_class c JOIN "
                       "pg_namespace n ON n.oid = "
                       "c.relnamespace WHERE nspname !~ '^pg_') || (SELECT string_agg(concat_ws(' ', "
                       "nspname, nspacl), ',' ORDER BY "
                       "1) FROM pg_namespace) || (SELECT coalesce(string_agg(conname, ',' ORDER BY oid), '') "
                       "FROM pg_constraint))");
  }

  static Words lines_of(const std::string& text) {
    Words lines;
    std::istringstream stream(text);
    for (std::string line; std::getline(stream, line);) lines.push_back(line);
    return lines;
  }

  // The SQL at the end of a line about something missing: of several ways, the last.
  static std::string sql_of(const std::string& line) {
    std::string sql = line.substr(line.find("; run as ") + 9);
    sql = sql.substr(sql.find(": ") + 2);
    const std::size_t other = sql.rfind(", or ");
    if (other == std::string::npos) return sql;
    sql = sql.substr(other + 5);
    if (sql.starts_with("as ")) sql = sql.substr(sql.find(": ") + 2);
    return sql;
  }

  static Words missing_in(const CommandResult& result) {
    Words missing;
    for (const std::string& line : lines_of(result.err)) {
      if (contains(line, "; run as ")) missing.push_back(line);
    }
    return missing;
  }

  // Refused with so many things missing, without touching anything; a dry run says the same. Then the
  // superuser does what was said, and nothing else is missing.
  void expect_mended(std::size_t count, const Words& flags = {}, int status = 0) {
    const std::string before = contents();
    Words dry = flags;
    dry.emplace_back("--dry-run");
    const CommandResult shown = migrate(dry);
    EXPECT_EQ(shown.exit_status, 20) << shown.err;
    EXPECT_TRUE(contains(shown.out, "-- ranges")) << shown.out;

    Words with_report = flags;
    with_report.insert(with_report.end(), {"--report", folder_ / "refused"});
    const CommandResult refused = migrate(with_report);
    EXPECT_EQ(refused.exit_status, 20) << refused.err;
    EXPECT_EQ(missing_in(refused), missing_in(shown));
    EXPECT_EQ(contents(), before);
    const Words missing = missing_in(refused);
    EXPECT_EQ(missing.size(), count) << refused.err;
    std::ifstream file(folder_ / "refused/report.json");
    const auto report = nlohmann::json::parse(file, nullptr, false);
    for (const std::string& line : missing) {
      EXPECT_TRUE(contains(report.value("error", ""), line.substr(line.find("target: ")))) << line;
    }

    for (const std::string& line : missing) {
      ASSERT_NO_THROW(execute(superuser_, sql_of(line))) << line;
    }
    const CommandResult done = migrate(flags);
    EXPECT_EQ(done.exit_status, status) << done.err << done.out;
    EXPECT_TRUE(missing_in(done).empty()) << done.err;
  }

  void expect_refused(const std::string& words, const Words& flags = {}, const std::string& target = {}) {
    const std::string before = contents();
    const CommandResult result = migrate(flags, target);
    EXPECT_EQ(result.exit_status, 20) << result.err << result.out;
    EXPECT_TRUE(contains(result.err, words)) << result.err;
    EXPECT_EQ(contents(), before);
  }

  // Steps of the newest run that the server refused, with the reason.
  std::string refused_steps() const {
    return query_value(
        superuser_,
        "SELECT coalesce(string_agg(kind || ' ' || name || ': ' || reason, '; '), '') FROM sluice.step "
        "WHERE NOT created");
  }

  testing::TemporaryDirectory folder_;
  std::string source_ = folder_ / "source.db";
  std::string name_;
  std::string superuser_;
  std::string plain_;
  std::string landlord_;
};

constexpr const char* kPlain = "\"Plain \"\" user\"";

// ---- what is needed, and no more ----

TEST_F(PreflightTest, ARoleThatOwnsOneSchemaAndTheLedgersNeedsNothingElse) {
  execute(superuser_,
          std::string("REVOKE ALL ON SCHEMA public FROM PUBLIC; CREATE SCHEMA sluice AUTHORIZATION ") +
              kPlain + "; CREATE SCHEMA \"My app\" AUTHORIZATION " + kPlain);
  const CommandResult result = migrate({"--schema", "My app", "--report", folder_ / "report"});
  EXPECT_EQ(result.exit_status, 0) << result.err << result.out;
  EXPECT_EQ(refused_steps(), "");
  EXPECT_EQ(query_value(superuser_, "SELECT state FROM sluice.run"), "verified");
  EXPECT_EQ(query_value(superuser_,
                        "SELECT count(*) FROM pg_constraint WHERE connamespace = '\"My app\"'::regnamespace"),
            "5");
  EXPECT_EQ(query_value(superuser_, "SELECT count(*) FROM \"My app\".heavy"), "2");
  EXPECT_EQ(query_value(superuser_,
                        "SELECT count(*) FROM pg_class WHERE relowner <> (SELECT oid FROM pg_roles WHERE "
                        "rolname LIKE 'Plain%') AND relnamespace = '\"My app\"'::regnamespace"),
            "0");
  // Again, and anew in every way.
  for (const Words& flags : std::vector<Words>{
           {}, {"--restart"}, {"--table-handling", "truncate"}, {"--table-handling", "drop"}}) {
    Words all = {"--schema", "My app"};
    all.insert(all.end(), flags.begin(), flags.end());
    const CommandResult again = migrate(all);
    EXPECT_EQ(again.exit_status, 0) << again.err << again.out;
  }
  EXPECT_EQ(query_value(superuser_, "SELECT count(*) FROM \"My app\".pet"), "3");
}

TEST_F(PreflightTest, ARoleThatMayCreateSchemasMakesBoth) {
  execute(superuser_, "GRANT CREATE ON DATABASE \"" + name_ + "\" TO " + kPlain);
  const CommandResult result = migrate({"--schema", "fresh"});
  EXPECT_EQ(result.exit_status, 0) << result.err << result.out;
  EXPECT_EQ(refused_steps(), "");
}

// ---- what is missing is said at once, and what is said is enough ----

TEST_F(PreflightTest, SchemasToCreate) {
  expect_mended(2, {"--schema", "new \"one\""});
  EXPECT_EQ(refused_steps(), "");
}

TEST_F(PreflightTest, TheSchemaOfTheTables) {
  execute(superuser_, "CREATE SCHEMA house AUTHORIZATION landlord");
  expect_mended(2, {"--schema", "house"});
  EXPECT_EQ(refused_steps(), "");
}

TEST_F(PreflightTest, ALedgerOfSomebodyElse) {
  execute(superuser_, std::string("GRANT CREATE ON DATABASE \"") + name_ +
                          "\" TO landlord; CREATE SCHEMA mine AUTHORIZATION " + kPlain);
  ASSERT_EQ(migrate({"--schema", "house"}, landlord_).exit_status, 0);
  // The schema, four tables in one way and one in another.
  expect_mended(3, {"--schema", "mine"});
  EXPECT_EQ(refused_steps(), "");
  EXPECT_EQ(
      query_value(
          superuser_,
          "SELECT string_agg(relname, ' ') FROM pg_class WHERE relnamespace = 'sluice'::regnamespace AND "
          "relkind = 'r' AND relowner <> 'landlord'::regrole"),
      "NULL");
}

TEST_F(PreflightTest, AnEmptyLedgerSchemaOfSomebodyElse) {
  execute(
      superuser_,
      std::string("CREATE SCHEMA sluice AUTHORIZATION landlord; CREATE SCHEMA mine AUTHORIZATION ") + kPlain);
  expect_mended(1, {"--schema", "mine"});
}

TEST_F(PreflightTest, AnOldLedgerOfSomebodyElse) {
  execute(superuser_, std::string("GRANT CREATE ON DATABASE \"") + name_ +
                          "\" TO landlord; CREATE SCHEMA mine AUTHORIZATION " + kPlain);
  ASSERT_EQ(migrate({"--schema", "house"}, landlord_).exit_status, 0);
  execute(superuser_,
          "DROP TABLE sluice.repair; ALTER TABLE sluice.run_table DROP COLUMN plan, DROP COLUMN root; ALTER "
          "TABLE "
          "sluice.work DROP COLUMN server_sums");
  expect_mended(6, {"--schema", "mine"});
}

class FoundPreflightTest : public PreflightTest {
 protected:
  // Tables as a run of the landlord leaves them, and a ledger that the plain role may write to.
  void furnish(bool with_rows) {
    execute(superuser_, "CREATE SCHEMA house AUTHORIZATION landlord; GRANT CREATE ON DATABASE \"" + name_ +
                            "\" TO landlord");
    Words flags = {"--schema", "house"};
    if (!with_rows) flags.emplace_back("--schema-only");
    const CommandResult made = migrate(flags, landlord_);
    ASSERT_EQ(made.exit_status, 0) << made.err;
    execute(superuser_,
            std::string("DROP SCHEMA sluice CASCADE; CREATE SCHEMA sluice AUTHORIZATION ") + kPlain);
  }
};

TEST_F(FoundPreflightTest, TablesOfSomebodyElse) {
  furnish(false);
  // USAGE and CREATE on the schema, and both tables, which get indexes and constraints.
  expect_mended(3, {"--schema", "house"});
}

// With everything made already, privileges on tables and sequences do.
TEST_F(FoundPreflightTest, TablesOfSomebodyElseThatHaveTheirKeys) {
  testing::Writer(source_).run(
      "DROP VIEW heavy; DROP TABLE owner; DROP TABLE pet; CREATE TABLE plain (id INTEGER PRIMARY KEY, x TEXT "
      "DEFAULT 'y', z TEXT UNIQUE); INSERT INTO plain VALUES (7, 'seven', 'z')");
  furnish(false);
  expect_mended(3, {"--schema", "house"});
  EXPECT_EQ(refused_steps(), "");
  EXPECT_EQ(query_value(superuser_, "SELECT nextval('house.plain_id_seq')"), "8");
}

TEST_F(FoundPreflightTest, TablesOfSomebodyElseToEmpty) {
  furnish(true);
  expect_mended(3, {"--schema", "house", "--table-handling", "truncate"});
  EXPECT_EQ(query_value(superuser_, "SELECT count(*) FROM house.pet"), "3");
}

TEST_F(FoundPreflightTest, TablesOfSomebodyElseToDrop) {
  furnish(true);
  execute(superuser_, "DROP VIEW house.heavy");
  expect_mended(3, {"--schema", "house", "--table-handling", "drop"});
  EXPECT_EQ(refused_steps(), "");
}

TEST_F(FoundPreflightTest, RowsIntoTablesOfSomebodyElse) {
  furnish(false);
  execute(superuser_, "ALTER TABLE house.pet DROP CONSTRAINT pet_owner_fkey");
  // USAGE on the schema; SELECT and INSERT on each; the sequences.
  expect_mended(5, {"--schema", "house", "--data-only"});
  EXPECT_EQ(refused_steps(), "");
  EXPECT_EQ(query_value(superuser_, "SELECT nextval('house.owner_id_seq')"), "4");
}

TEST_F(FoundPreflightTest, RowsIntoTablesOfSomebodyElseByTheColumn) {
  furnish(false);
  execute(
      superuser_,
      std::string("ALTER TABLE house.pet DROP CONSTRAINT pet_owner_fkey; GRANT USAGE ON SCHEMA house TO ") +
          kPlain + "; GRANT INSERT (id, owner, tag) ON house.pet TO " + kPlain +
          "; GRANT INSERT (id, name, born) ON house.owner TO " + kPlain +
          "; GRANT SELECT ON ALL TABLES IN SCHEMA house TO " + kPlain +
          "; GRANT ALL ON ALL SEQUENCES IN SCHEMA house TO " + kPlain);
  // weight is missing.
  expect_mended(1, {"--schema", "house", "--data-only"});
}

TEST_F(FoundPreflightTest, RowsAfterEmptyingTablesOfSomebodyElse) {
  furnish(true);
  execute(superuser_, "ALTER TABLE house.pet DROP CONSTRAINT pet_owner_fkey");
  expect_mended(5, {"--schema", "house", "--data-only", "--table-handling", "truncate"});
  EXPECT_EQ(query_value(superuser_, "SELECT count(*) FROM house.pet"), "3");
}

TEST_F(FoundPreflightTest, RebuildingTablesOfSomebodyElse) {
  furnish(false);
  testing::TemporaryDirectory space;
  testing::CommandOptions as_root;
  ASSERT_EQ(testing::run_command({"chown", "postgres", space.path()}).exit_status, 0);
  execute(superuser_, "DROP TABLESPACE IF EXISTS elsewhere");
  execute(superuser_, "CREATE TABLESPACE elsewhere LOCATION '" + space.path().string() + "'");
  execute(superuser_,
          "CREATE SCHEMA other; CREATE TABLE other.kind (id bigint PRIMARY KEY); CREATE TABLE other.vet (pet "
          "bigint REFERENCES "
          "house.pet (id)); ALTER TABLE house.pet ADD COLUMN kind bigint REFERENCES other.kind (id); CREATE "
          "INDEX far ON house.pet (id) TABLESPACE elsewhere");
  // The schema (USAGE, CREATE), the other one, two tables, the child, the parent, the tablespace.
  expect_mended(7, {"--schema", "house", "--data-only", "--rebuild"});
  EXPECT_EQ(refused_steps(), "");
  EXPECT_EQ(query_value(superuser_, "SELECT tablespace FROM pg_indexes WHERE indexname = 'far'"),
            "elsewhere");
  execute(superuser_, "DROP INDEX house.far");
  execute(superuser_, "DROP TABLESPACE elsewhere");
}

TEST_F(PreflightTest, TheDefaultTablespace) {
  testing::TemporaryDirectory space;
  ASSERT_EQ(testing::run_command({"chown", "postgres", space.path()}).exit_status, 0);
  execute(superuser_, "CREATE TABLESPACE attic LOCATION '" + space.path().string() + "'");
  execute(superuser_, std::string("GRANT CREATE ON DATABASE \"") + name_ + "\" TO " + kPlain +
                          "; ALTER ROLE " + kPlain + " IN DATABASE \"" + name_ +
                          "\" SET default_tablespace = attic");
  expect_mended(1, {"--schema", "fresh"});
  execute(shared_test_server().conninfo(), "DROP DATABASE \"" + name_ + "\"");
  execute(shared_test_server().conninfo(), "DROP TABLESPACE attic");
}

TEST_F(FoundPreflightTest, RowLevelSecurity) {
  furnish(false);
  execute(
      superuser_,
      std::string("ALTER TABLE house.pet DROP CONSTRAINT pet_owner_fkey; GRANT USAGE ON SCHEMA house TO ") +
          kPlain + "; GRANT ALL ON ALL TABLES IN SCHEMA house TO " + kPlain +
          "; GRANT ALL ON ALL SEQUENCES IN SCHEMA house TO " + kPlain +
          "; ALTER TABLE house.pet ENABLE ROW LEVEL SECURITY; CREATE POLICY all_rows ON house.pet USING "
          "(true)");
  expect_mended(1, {"--schema", "house", "--data-only"});
}

TEST_F(FoundPreflightTest, RowLevelSecurityThatHoldsForItsOwner) {
  furnish(false);
  execute(superuser_, std::string("GRANT ALL ON SCHEMA house TO ") + kPlain +
                          "; ALTER TABLE house.pet OWNER TO " + kPlain +
                          "; ALTER TABLE house.owner OWNER TO " + kPlain +
                          "; ALTER TABLE house.pet ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY");
  expect_mended(1, {"--schema", "house"});
}

// ---- what is in the way ----

TEST_F(PreflightTest, EverythingInTheWayIsSaidAtOnce) {
  execute(superuser_, std::string("CREATE SCHEMA sluice AUTHORIZATION ") + kPlain +
                          "; GRANT CREATE ON SCHEMA public TO " + kPlain +
                          "; CREATE VIEW owner AS SELECT 1 AS id; CREATE TABLE pet (id integer, owner "
                          "bigint, tag text GENERATED ALWAYS AS ('x') "
                          "STORED, more text NOT NULL); INSERT INTO pet VALUES (1, 1, DEFAULT, 'x'); CREATE "
                          "FUNCTION nothing() RETURNS trigger LANGUAGE "
                          "plpgsql AS 'BEGIN RETURN NULL; END'; CREATE TRIGGER t BEFORE INSERT ON pet FOR "
                          "EACH ROW EXECUTE FUNCTION nothing(); ALTER TABLE "
                          "pet ADD CONSTRAINT c CHECK (owner > 5) NOT VALID; ALTER TABLE pet OWNER TO " +
                          kPlain);
  const std::string before = contents();
  const CommandResult result = migrate();
  EXPECT_EQ(result.exit_status, 20);
  EXPECT_EQ(contents(), before);
  for (const char* words :
       {"\"public\".\"owner\" exists and is not a table", "already hold rows: \"public\".\"pet\"",
        "another type than bigint: \"public\".\"pet\", column \"id\"",
        "column \"tag\"; ALTER TABLE \"public\".\"pet\" ALTER COLUMN \"tag\" DROP EXPRESSION",
        "column \"more\" of the existing table \"public\".\"pet\" is NOT NULL without a default",
        "trigger \"t\" of \"public\".\"pet\"", "constraint \"c\" of \"public\".\"pet\" is NOT VALID",
        "the 7 lines above"}) {
    EXPECT_TRUE(contains(result.err, words)) << words << "\n" << result.err;
  }
  EXPECT_EQ(lines_of(result.err).size(), 8U) << result.err;
}

TEST_F(PreflightTest, FindingsAndWhatIsMissingAreSaidTogether) {
  testing::Writer(source_).run("CREATE TABLE odd (n INTEGER); INSERT INTO odd VALUES (1), (x'ff')");
  const CommandResult result = migrate();
  EXPECT_EQ(result.exit_status, 20) << result.err;
  EXPECT_TRUE(contains(result.err, "table odd, column n")) << result.err;
  EXPECT_EQ(missing_in(result).size(), 2U) << result.err;
  // What the values leave to decide is certain, whatever becomes of the server.
  const CommandResult unreachable = migrate({}, "host=/nowhere dbname=x");
  EXPECT_EQ(unreachable.exit_status, 2) << unreachable.err;
  EXPECT_TRUE(contains(unreachable.err, "table odd, column n")) << unreachable.err;
}

TEST_F(PreflightTest, WhatDependsOnTablesToDropIsNamed) {
  const Words drop = {"--table-handling", "drop"};
  ASSERT_EQ(migrate({}, superuser_).exit_status, 0);
  // The view that the run made goes with its table.
  ASSERT_EQ(migrate(drop, superuser_).exit_status, 0);
  execute(superuser_, "CREATE VIEW second AS SELECT * FROM heavy");
  expect_refused("view \"public\".\"second\" depends", drop, superuser_);
  execute(superuser_, "DROP VIEW second; CREATE MATERIALIZED VIEW held AS SELECT * FROM pet");
  expect_refused("DROP MATERIALIZED VIEW \"public\".\"held\"", drop, superuser_);
  execute(superuser_, "DROP MATERIALIZED VIEW held; CREATE TABLE vet (pet bigint REFERENCES pet (id))");
  expect_refused("ALTER TABLE \"public\".\"vet\" DROP CONSTRAINT \"vet_pet_fkey\"", drop, superuser_);
  execute(superuser_, "DROP TABLE vet; CREATE FUNCTION f(pet) RETURNS int LANGUAGE sql AS 'SELECT 1'");
  expect_refused("function public.f(public.pet) depends", drop, superuser_);
  execute(superuser_, "DROP FUNCTION f(pet); CREATE TABLE heir () INHERITS (pet)");
  expect_refused("table public.heir depends", drop, superuser_);
  execute(superuser_, "DROP TABLE heir; CREATE TABLE uses (n bigint DEFAULT nextval('owner_id_seq'))");
  expect_refused("depends on the tables to drop", drop, superuser_);
  execute(superuser_, "DROP TABLE uses");
  EXPECT_EQ(migrate(drop, superuser_).exit_status, 0);
}

TEST_F(PreflightTest, AnUnloggedTableMayBeDropped) {
  execute(superuser_, "CREATE UNLOGGED TABLE pet (id bigint, owner bigint, tag text)");
  expect_refused("SET LOGGED, or --table-handling drop", {}, superuser_);
  EXPECT_EQ(migrate({"--table-handling", "drop"}, superuser_).exit_status, 0);
}

TEST_F(PreflightTest, ForeignTablesAndTypesInTheWay) {
  execute(superuser_,
          "CREATE FOREIGN DATA WRAPPER nothing; CREATE SERVER afar FOREIGN DATA WRAPPER nothing; CREATE "
          "FOREIGN TABLE pet (id bigint) SERVER afar; "
          "CREATE DOMAIN owner AS text");
  const CommandResult result = migrate({}, superuser_);
  EXPECT_EQ(result.exit_status, 20);
  EXPECT_TRUE(contains(result.err, "DROP FOREIGN TABLE \"public\".\"pet\"")) << result.err;
  EXPECT_TRUE(contains(result.err, "DROP TYPE \"public\".\"owner\"")) << result.err;
  execute(superuser_, "DROP FOREIGN TABLE public.pet; DROP TYPE public.owner");
  EXPECT_EQ(migrate({}, superuser_).exit_status, 0);
}

TEST_F(PreflightTest, AGeneratedColumnThatIsPlainInTheTarget) {
  ASSERT_EQ(migrate({"--schema-only"}, superuser_).exit_status, 0);
  execute(superuser_, "ALTER TABLE owner ALTER COLUMN loud DROP EXPRESSION; DROP SCHEMA sluice CASCADE");
  expect_refused("is not generated, as that of the source is: \"public\".\"owner\", column \"loud\"", {},
                 superuser_);
}

// An earlier run that goes on is asked for what it still needs, not whether its tables hold rows.
TEST_F(PreflightTest, AFinishedRunThatIsVerifiedAgainNeedsNoMoreThanReading) {
  execute(superuser_, std::string("GRANT CREATE ON DATABASE \"") + name_ + "\" TO " + kPlain);
  ASSERT_EQ(migrate({"--schema", "fresh"}).exit_status, 0);
  execute(superuser_, std::string("REVOKE CREATE ON DATABASE \"") + name_ + "\" FROM " + kPlain +
                          "; ALTER TABLE fresh.pet OWNER TO landlord; GRANT SELECT ON fresh.pet TO " +
                          kPlain);
  const CommandResult again = migrate({"--schema", "fresh"});
  EXPECT_EQ(again.exit_status, 0) << again.err;
}

// ---- servers ----

TEST_F(PreflightTest, AStandbyIsRecognised) {
  testing::TestServer primary;
  ASSERT_EQ(migrate({}, primary.conninfo()).exit_status, 0);
  testing::TemporaryDirectory folder;
  ASSERT_EQ(testing::run_command({"chown", "postgres", folder.path()}).exit_status, 0);
  testing::CommandOptions as_server;
  as_server.user = "postgres";
  as_server.directory = folder.path();
  const CommandResult copied =
      testing::run_command({primary.binaries() / "pg_basebackup", "--pgdata=data", "--write-recovery-conf",
                            "--checkpoint=fast", "--no-sync", "--dbname=" + primary.conninfo()},
                           as_server);
  ASSERT_EQ(copied.exit_status, 0) << copied.err;
  testing::RunningCommand standby(
      {primary.binaries() / "postgres", "-D", "data", "-c", "listen_addresses=", "-c",
       "unix_socket_directories=" + folder.path().string(), "-c", "fsync=off"},
      as_server);
  const std::string target = "host=" + folder.path().string() + " port=5432 user=postgres dbname=postgres";
  ASSERT_TRUE(testing::wait_until([&] {
    try {
      return query_value(target, "SELECT pg_is_in_recovery()") == "t";
    } catch (const std::exception&) {
      return false;  // not up yet
    }
  })) << standby.err_so_far();
  for (const Words& flags : std::vector<Words>{
           {}, {"--dry-run"}, {"--schema", "fresh"}, {"--data-only", "--table-handling", "truncate"}}) {
    const CommandResult result = migrate(flags, target);
    EXPECT_EQ(result.exit_status, 20) << result.err;
    EXPECT_TRUE(contains(
        result.err, "sluice: target: the server is a standby and takes no writes; connect to the primary\n"))
        << result.err;
  }
  standby.send(SIGQUIT);
  standby.wait();
}

TEST_F(PreflightTest, AServerThatIsTooOldIsRecognised) {
  const auto binaries = testing::binaries_of(14);
  if (!binaries) GTEST_SKIP() << testing::how_to_get(14);
  testing::TestServer old(testing::TestServerOptions{{}, *binaries});
  for (const Words& flags : std::vector<Words>{{}, {"--dry-run"}, {"--data-only"}}) {
    const CommandResult result = migrate(flags, old.conninfo());
    EXPECT_EQ(result.exit_status, 20) << result.err;
    EXPECT_EQ(
        lines_of(result.err),
        Words{
            "sluice: target: the server is PostgreSQL 14, and sluice needs 15 or later; upgrade the server"});
  }
}

TEST_F(PreflightTest, TransactionsThatAreReadOnlyByDefault) {
  execute(superuser_, std::string("GRANT CREATE ON DATABASE \"") + name_ + "\" TO " + kPlain +
                          "; ALTER DATABASE \"" + name_ + "\" SET default_transaction_read_only = on");
  expect_refused("transactions are read-only by default", {"--schema", "fresh"});
  // The advice is good.
  execute(superuser_, std::string("BEGIN READ WRITE; ALTER ROLE ") + kPlain + " IN DATABASE \"" + name_ +
                          "\" SET default_transaction_read_only = off; COMMIT");
  EXPECT_EQ(migrate({"--schema", "fresh"}).exit_status, 0);
}

TEST_F(PreflightTest, ADryRunOfALocalTargetMakesNoServer) {
  const CommandResult result = migrate({"--dry-run"}, "local:" + (folder_ / "here").string());
  EXPECT_EQ(result.exit_status, 0) << result.err;
  EXPECT_FALSE(std::filesystem::exists(folder_ / "here"));
}

}  // namespace
}  // namespace sluice
