// Files whose schema is unusual, moved by the program itself.

#include <gtest/gtest.h>
#include <sqlite3.h>

#include <algorithm>
#include <filesystem>
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

  void migrate(int expected_status = 0, const std::vector<std::string>& flags = {}) {
    target_ = shared_test_server().create_database("schemas_test");
    const std::string report = (folder_ / "report").string();
    std::vector<std::string> command = {sluice_program(), "migrate", file(), target_, "--report", report};
    command.insert(command.end(), flags.begin(), flags.end());
    const CommandResult result = run_command(command);
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

TEST_F(Schemas, NamesThatPostgresqlCannotHaveAreMappedAndTheMappingIsWrittenDown) {
  std::string long_name;
  for (int i = 0; i < 20; ++i) long_name += "\xc3\xa4\xe2\x82\xac";  // 5 bytes each, 100 in all
  migrate_script("CREATE TABLE \"" + long_name + "1\"(a); CREATE TABLE \"" + long_name +
                 "2\"(a); INSERT INTO \"" + long_name +
                 "2\" VALUES ('second');"
                 "CREATE TABLE \"\"(\"\" TEXT, ctid TEXT, xmin_ TEXT, XMIN TEXT, \"a\nb\" TEXT, \"it's "
                 "\"\"q\"\"\" TEXT);"
                 "INSERT INTO \"\" VALUES ('e', 'c', 'x_', 'x', 'line', 'quote');"
                 "CREATE TABLE \"\xf0\x9f\x90\x98 'x\"(\"\xc3\x84\" TEXT, \"\xc3\xa4\" TEXT);"
                 "INSERT INTO \"\xf0\x9f\x90\x98 'x\" VALUES ('capital', 'small');"
                 "CREATE TABLE pg_class(\"select\" TEXT); INSERT INTO pg_class VALUES ('mine');");
  EXPECT_EQ(
      value("SELECT concat_ws('|', \"unnamed\", ctid_, xmin_, \"XMIN\", \"a\nb\", \"it's \"\"q\"\"\") FROM "
            "public.unnamed"),
      "e|c|x_|x|line|quote");
  EXPECT_EQ(value("SELECT col_description('public.unnamed'::regclass, 2)"), "sluice: ctid");
  EXPECT_EQ(value("SELECT obj_description('public.unnamed'::regclass)"), "sluice: ");
  EXPECT_EQ(value("SELECT \"\xc3\x84\" || \"\xc3\xa4\" FROM \"\xf0\x9f\x90\x98 'x\""), "capitalsmall");
  EXPECT_EQ(value("SELECT \"select\" FROM public.pg_class"), "mine");
  const std::string second =
      value("SELECT relname FROM pg_class WHERE obj_description(oid) = 'sluice: " + long_name + "2'");
  EXPECT_LE(second.size(), 63U);
  EXPECT_EQ(value("SELECT a FROM \"" + second + "\""), "second");
  EXPECT_EQ(value("SELECT count(*) FROM pg_class WHERE obj_description(oid) LIKE 'sluice: %'"), "3");
  const Json mapped = object("table", long_name + "2");
  EXPECT_EQ(mapped["status"], "created");
  EXPECT_TRUE(mentions(mapped["reason"], "\"" + second + "\"")) << mapped;
  EXPECT_TRUE(mentions(object("column", "ctid")["reason"], "system column"));
}

TEST_F(Schemas, KeysOfEveryKindBecomeWhatTheyWere) {
  migrate_script(
      "CREATE TABLE int_key(id INT PRIMARY KEY, v); INSERT INTO int_key VALUES (3, 'a'), (NULL, 'b'), (NULL, "
      "'c');"
      "CREATE TABLE desc_key(id INTEGER PRIMARY KEY DESC); INSERT INTO desc_key VALUES (1), (2);"
      "CREATE TABLE desc_alias(id INTEGER, v, PRIMARY KEY(id DESC)); INSERT INTO desc_alias(v) VALUES ('x');"
      "CREATE TABLE quoted(id \"INTEGER\" PRIMARY KEY, v); INSERT INTO quoted(v) VALUES ('x');"
      "CREATE TABLE hidden(rowid TEXT, oid TEXT, _rowid_ TEXT); INSERT INTO hidden VALUES ('a', 'b', 'c'), "
      "('a', 'b', 'c');"
      "CREATE TABLE composite(a TEXT, b INTEGER, c, PRIMARY KEY(b, a)) WITHOUT ROWID;"
      "INSERT INTO composite VALUES ('x', 2, 'q'), ('y', 1, 'r');"
      "CREATE TABLE ends(id INTEGER PRIMARY KEY, v); INSERT INTO ends VALUES (-9223372036854775808, 'low'), "
      "(9223372036854775807, 'high'), (0, 'zero');"
      "CREATE TABLE negative(id INTEGER PRIMARY KEY); INSERT INTO negative VALUES (-7);"
      "CREATE TABLE none_yet(id INTEGER PRIMARY KEY, v);"
      "CREATE TABLE ahead(id INTEGER PRIMARY KEY AUTOINCREMENT, v); INSERT INTO ahead VALUES (50, 'x');"
      "DELETE FROM ahead; CREATE TABLE behind(id INTEGER PRIMARY KEY AUTOINCREMENT, v);"
      "INSERT INTO behind VALUES (90, 'x'); UPDATE sqlite_sequence SET seq = 4 WHERE name = 'behind';"
      "INSERT INTO sqlite_sequence VALUES ('ahead', 7), ('orphan', 9), ('behind', 'text'), (NULL, 1);");
  EXPECT_EQ(value("SELECT count(*) FROM int_key"), "3");
  EXPECT_NE(object("primary_key", "int_key_pkey")["reason"].get<std::string>().find("arrives as UNIQUE"),
            std::string::npos);
  EXPECT_EQ(object("primary_key", "desc_key_pkey")["status"], "created");
  EXPECT_EQ(value("SELECT count(*) FROM pg_attribute WHERE attidentity = 'd' AND attrelid IN "
                  "('desc_key'::regclass, 'int_key'::regclass)"),
            "0");
  EXPECT_EQ(value("INSERT INTO desc_alias(v) VALUES ('y') RETURNING id"), "2");
  EXPECT_EQ(value("INSERT INTO quoted(v) VALUES ('y') RETURNING id"), "2");
  EXPECT_EQ(value("SELECT count(*) FROM hidden"), "2");
  EXPECT_EQ(value("SELECT pg_get_constraintdef(oid) FROM pg_constraint WHERE conname = 'composite_pkey'"),
            "PRIMARY KEY (b, a)");
  EXPECT_EQ(value("SELECT string_agg(v, ' ' ORDER BY id) FROM ends"), "low zero high");
  EXPECT_THROW(execute(target_, "INSERT INTO ends(v) VALUES ('over')"), std::runtime_error);
  EXPECT_EQ(value("INSERT INTO negative DEFAULT VALUES RETURNING id"), "1");
  EXPECT_EQ(value("INSERT INTO none_yet DEFAULT VALUES RETURNING id"), "1");
  EXPECT_EQ(value("INSERT INTO ahead(v) VALUES ('y') RETURNING id"), "51");
  EXPECT_EQ(value("INSERT INTO behind(v) VALUES ('y') RETURNING id"), "91");
}

TEST_F(Schemas, ForeignKeysKeepTheirActionsOrSayWhatIsImpossible) {
  migrate_script(
      "CREATE TABLE Parent(id INTEGER PRIMARY KEY, a, b INTEGER, k TEXT COLLATE NOCASE UNIQUE, UNIQUE(a, b));"
      "INSERT INTO parent VALUES (1, 'x', 2, 'Alpha');"
      "CREATE TABLE c(id INTEGER PRIMARY KEY, up INTEGER REFERENCES c DEFERRABLE INITIALLY IMMEDIATE, "
      "p INTEGER REFERENCES PARENT ON DELETE SET NULL, b INTEGER, a, k TEXT REFERENCES parent(k), s INTEGER "
      "REFERENCES seen(id), FOREIGN KEY (b, a) REFERENCES parent(b, a) MATCH FULL ON UPDATE CASCADE);"
      "INSERT INTO c VALUES (1, 1, 1, 2, 'x', 'ALPHA', 5), (2, NULL, NULL, 2, NULL, NULL, NULL);"
      "CREATE VIEW seen AS SELECT id FROM parent;");
  EXPECT_EQ(
      value("SELECT string_agg(pg_get_constraintdef(oid), '; ' ORDER BY conname) FROM pg_constraint WHERE "
            "contype = 'f' AND connamespace = 'public'::regnamespace"),
      "FOREIGN KEY (b, a) REFERENCES \"Parent\"(b, a) ON UPDATE CASCADE; FOREIGN KEY (p) REFERENCES "
      "\"Parent\"(id) ON DELETE SET NULL; FOREIGN KEY (up) REFERENCES c(id) DEFERRABLE");
  EXPECT_TRUE(mentions(object("foreign_key", "c_k_fkey")["reason"], "NOCASE"));
  EXPECT_TRUE(mentions(object("foreign_key", "c_s_fkey")["reason"], "it is a view"));
}

TEST_F(Schemas, AnIndexOfMoreColumnsThanPostgresqlTakesIsListed) {
  std::string columns;
  for (int i = 1; i <= 33; ++i) columns += (i == 1 ? "c" : ", c") + std::to_string(i);
  migrate_script("CREATE TABLE t(" + columns + ", PRIMARY KEY(" + columns + ")); CREATE INDEX most ON t(" +
                 columns + "); INSERT INTO t(c1) VALUES (1);");
  EXPECT_TRUE(mentions(object("index", "most")["reason"], "at most 32 columns, not 33"));
  EXPECT_TRUE(mentions(object("primary_key", "t_pkey")["reason"], "at most 32 columns, not 33"));
  EXPECT_EQ(value("SELECT count(*) FROM t"), "1");
}

// The limit that engine/plan/width.cc counts with.
TEST_F(Schemas, ARowOfBigintsFitsAPageUpTo1017OfThem) {
  for (const int count : {1017, 1018}) {
    std::string columns;
    std::string values;
    for (int i = 1; i <= count; ++i) {
      columns += (i == 1 ? "c" : " INTEGER, c") + std::to_string(i);
      values += i == 1 ? "1" : ", 1";
    }
    std::filesystem::remove(file());
    ASSERT_NO_FATAL_FAILURE(
        write("CREATE TABLE wide(" + columns + " INTEGER); INSERT INTO wide VALUES (" + values + ")"));
    target_ = shared_test_server().create_database("schemas_test");
    const CommandResult result = run_command({sluice_program(), "migrate", file(), target_});
    EXPECT_EQ(result.exit_status == 0, count == 1017) << result.err;
  }
}

TEST_F(Schemas, EveryKindOfFileArrives) {
  int number = 0;
  for (const std::string pragma :
       {"PRAGMA page_size = 512", "PRAGMA page_size = 65536", "PRAGMA encoding = 'UTF-16le'",
        "PRAGMA encoding = 'UTF-16be'", "PRAGMA auto_vacuum = 1",
        "PRAGMA auto_vacuum = 2; PRAGMA page_size = 1024", "PRAGMA legacy_file_format = ON"}) {
    SCOPED_TRACE(pragma);
    std::filesystem::remove(file());
    migrate_script(
        pragma +
        "; CREATE TABLE t(id INTEGER PRIMARY KEY, v TEXT); INSERT INTO t SELECT 1, 'gr\xc3\xbc\xc3\x9f "
        "\xf0\x9f\x90\x98'; WITH RECURSIVE c(i) AS (SELECT 2 UNION ALL SELECT i + 1 FROM c WHERE i < "
        "2000) INSERT INTO t SELECT i, printf('%.*c', i, 'x') FROM c; DELETE FROM t WHERE id % 3 = 2;"
        "CREATE TABLE w(k TEXT PRIMARY KEY, v) WITHOUT ROWID; INSERT INTO w SELECT v, id FROM t;");
    EXPECT_EQ(value("SELECT v FROM t WHERE id = 1"), "gr\xc3\xbc\xc3\x9f \xf0\x9f\x90\x98");
    EXPECT_EQ(value("SELECT count(*) || ' ' || sum(length(v)) FROM t"),
              value("SELECT count(*) || ' ' || sum(length(k)) FROM w"));
    EXPECT_EQ(value("SELECT count(*) FROM t"), "1333");
    ++number;
  }
  EXPECT_EQ(number, 7);
}

TEST_F(Schemas, HalvesOfSurrogatePairsAreNeverOtherCharacters) {
  migrate_script(
      "PRAGMA encoding = 'UTF-16le'; CREATE TABLE t(id INTEGER PRIMARY KEY, v TEXT); INSERT INTO t(v) VALUES "
      "(CAST(x'610000d86200' AS TEXT)), ('fine');",
      2);  // nobody has said what is to become of half a character
  migrate(3, {"--on-misfit", "reject"});
  EXPECT_EQ(value("SELECT string_agg(v, ',') FROM t"), "fine");
}

TEST_F(Schemas, AnEmptyFileArrivesAsNoTables) {
  std::ofstream(file()).close();
  migrate();
  EXPECT_TRUE(report_["tables"].empty());
}

TEST_F(Schemas, ACorruptIndexCostsNoRow) {
  ASSERT_NO_FATAL_FAILURE(write(
      "CREATE TABLE t(id INTEGER PRIMARY KEY, v INTEGER NOT NULL, w TEXT, x TEXT); CREATE INDEX i ON t(v);"
      "WITH RECURSIVE c(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM c WHERE i < 5000) INSERT INTO t SELECT "
      "i, i, hex(i), hex(i) FROM c; CREATE TABLE spare(v INTEGER NOT NULL); CREATE INDEX j ON spare(v); "
      "INSERT INTO spare "
      "SELECT v FROM t WHERE v > 100;"
      // The index of the table is now the shorter one of another.
      "PRAGMA writable_schema = ON; UPDATE sqlite_schema SET rootpage = (SELECT rootpage FROM sqlite_schema "
      "WHERE name = 'j') WHERE name = 'i'; DELETE FROM sqlite_schema WHERE name = 'j';"));
  {
    sqlite3* raw = nullptr;
    sqlite3_open(file().c_str(), &raw);
    const DatabaseHandle database(raw);
    sqlite3_stmt* count = nullptr;
    sqlite3_prepare_v2(raw, "SELECT count(*) FROM t", -1, &count, nullptr);
    const StatementHandle statement(count);
    sqlite3_step(count);
    ASSERT_EQ(sqlite3_column_int(count, 0), 4900) << "SQLite itself counts by the index";
  }
  migrate();
  EXPECT_EQ(value("SELECT count(*) || ' ' || sum(v) FROM t"), "5000 12502500");
}

}  // namespace
}  // namespace sluice::testing
