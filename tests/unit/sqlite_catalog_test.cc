#include "io/sqlite/catalog.h"

#include "unit/sqlite_fixture.h"

namespace sluice {
namespace {

using namespace testing;

Catalog catalog_of(const std::string& sql) {
  const Folder folder;
  Writer(folder / "a.db").run(sql);
  const SqliteConnection connection(folder / "a.db", Access::read);
  connection.pin();
  return read_catalog(connection);
}

std::vector<std::string> names_of(const Catalog& catalog) {
  std::vector<std::string> names;
  for (const SourceTable& table : catalog.tables) names.push_back(table.name);
  return names;
}

using Names = std::vector<std::string>;

TEST(Catalog, KnowsWhichPrimaryKeyIsTheRowid) {
  const Catalog catalog = catalog_of(R"(
      CREATE TABLE plain(x, id INTEGER PRIMARY KEY);
      CREATE TABLE lower_case(id integer primary key asc);
      CREATE TABLE quoted(id "INTEGER" PRIMARY KEY);
      CREATE TABLE constraint_desc(id INTEGER, PRIMARY KEY(id DESC));
      CREATE TABLE column_desc(id INTEGER PRIMARY KEY DESC);
      CREATE TABLE int_only(id INT PRIMARY KEY);
      CREATE TABLE sized(id INTEGER(8) PRIMARY KEY);
      CREATE TABLE composite(a INTEGER, b INTEGER, PRIMARY KEY(a, b));
      CREATE TABLE no_rowid(id INTEGER PRIMARY KEY) WITHOUT ROWID;
      CREATE TABLE only_unique(id INTEGER UNIQUE);
      CREATE TABLE text_key(id TEXT PRIMARY KEY))");
  std::set<std::string> with_alias;
  for (const SourceTable& table : catalog.tables) {
    if (table.rowid_alias) with_alias.insert(table.name);
  }
  EXPECT_EQ(with_alias, (std::set<std::string>{"plain", "lower_case", "quoted", "constraint_desc"}));
  EXPECT_EQ(table_named(catalog, "plain").rowid_alias, 1U);
  EXPECT_TRUE(table_named(catalog, "no_rowid").without_rowid);
  EXPECT_EQ(table_named(catalog, "no_rowid").rowid_name, "");
}

TEST(Catalog, FindsARowidNameThatNoColumnShadows) {
  const Catalog catalog = catalog_of(R"(
      CREATE TABLE a(x);
      CREATE TABLE b(RowId);
      CREATE TABLE c(rowid, _ROWID_);
      CREATE TABLE d(rowid, _rowid_, oid);
      CREATE TABLE e(rowid INTEGER PRIMARY KEY))");
  Names found;
  for (const SourceTable& table : catalog.tables) found.push_back(table.rowid_name);
  EXPECT_EQ(found, (Names{"rowid", "_rowid_", "oid", "", "_rowid_"}));
}

TEST(Catalog, TellsAutoincrementFromTheWord) {
  const Catalog catalog = catalog_of(R"(
      CREATE TABLE yes(id INTEGER PRIMARY KEY AUTOINCREMENT);
      CREATE TABLE comment(id INTEGER PRIMARY KEY /* AUTOINCREMENT */);
      CREATE TABLE named(id INTEGER PRIMARY KEY, "AUTOINCREMENT" TEXT DEFAULT 'autoincrement');
      INSERT INTO yes VALUES (41);
      CREATE TABLE untouched(id INTEGER PRIMARY KEY AUTOINCREMENT))");
  EXPECT_TRUE(table_named(catalog, "yes").autoincrement);
  EXPECT_EQ(table_named(catalog, "yes").sequence, 41);
  EXPECT_FALSE(table_named(catalog, "comment").autoincrement);
  EXPECT_FALSE(table_named(catalog, "named").autoincrement);
  EXPECT_TRUE(table_named(catalog, "untouched").autoincrement);
  EXPECT_FALSE(table_named(catalog, "untouched").sequence);
  EXPECT_EQ(catalog.tables.size(), 4U) << "sqlite_sequence is not a table of the user's";
}

TEST(Catalog, TakesTheLargestIntegerOfADamagedSequence) {
  const Catalog catalog = catalog_of(R"(
      CREATE TABLE t(id INTEGER PRIMARY KEY AUTOINCREMENT);
      CREATE TABLE u(id INTEGER PRIMARY KEY AUTOINCREMENT);
      INSERT INTO sqlite_sequence VALUES ('t', 5), ('t', 9), ('t', 'many'), ('t', NULL), (NULL, 3), ('gone', 7),
                                         ('u', 'text'))");
  EXPECT_EQ(table_named(catalog, "t").sequence, 9);
  EXPECT_FALSE(table_named(catalog, "u").sequence);
}

TEST(Catalog, ListsColumnsAsTheyWereDeclared) {
  const Catalog catalog = catalog_of(R"(
      CREATE TABLE t(a VARCHAR(10) NOT NULL DEFAULT 'x''y', "b c", d INT GENERATED ALWAYS AS (length(a)),
                     e TEXT AS (a || 'e') STORED, f DATETIME DEFAULT CURRENT_TIMESTAMP, g DEFAULT (1 + 2),
                     h DEFAULT NULL, PRIMARY KEY(f, a));
      CREATE TABLE s(x ANY) STRICT)");
  const SourceTable& table = table_named(catalog, "t");
  ASSERT_EQ(table.columns.size(), 7U);
  EXPECT_EQ(table.columns[0].declared_type, "VARCHAR(10)");
  EXPECT_TRUE(table.columns[0].not_null);
  EXPECT_EQ(table.columns[0].default_sql, "'x''y'");
  EXPECT_EQ(table.columns[1].name, "b c");
  EXPECT_EQ(table.columns[1].declared_type, "");
  EXPECT_FALSE(table.columns[1].default_sql);
  EXPECT_EQ(table.columns[2].generated, Generated::virtual_column);
  EXPECT_EQ(table.columns[3].generated, Generated::stored);
  EXPECT_EQ(table.columns[4].default_sql, "CURRENT_TIMESTAMP");
  EXPECT_EQ(table.columns[5].default_sql, "1 + 2");
  EXPECT_EQ(table.columns[6].default_sql, "NULL");
  EXPECT_EQ(table.primary_key(), (std::vector<std::size_t>{4, 0}));
  EXPECT_FALSE(table.strict);
  EXPECT_TRUE(table_named(catalog, "s").strict);
}

TEST(Catalog, DescribesIndexes) {
  const Catalog catalog = catalog_of(R"(
      CREATE TABLE t(id INTEGER PRIMARY KEY, a TEXT UNIQUE, b TEXT COLLATE NOCASE, c INT);
      CREATE INDEX "by b" ON t(b DESC, lower(a), c);
      CREATE UNIQUE INDEX some ON t(c, id) WHERE c > 5;
      CREATE TABLE k(a, b, PRIMARY KEY(b, a)))");
  const auto& indexes = table_named(catalog, "t").indexes;
  ASSERT_EQ(indexes.size(), 3U);
  EXPECT_EQ(indexes[0].origin, IndexOrigin::unique_constraint);
  EXPECT_TRUE(indexes[0].unique);
  EXPECT_EQ(indexes[0].sql, "");
  EXPECT_EQ(indexes[1].name, "by b");
  EXPECT_EQ(indexes[1].origin, IndexOrigin::create_index);
  EXPECT_FALSE(indexes[1].sql.empty());
  ASSERT_EQ(indexes[1].columns.size(), 3U);
  EXPECT_TRUE(indexes[1].columns[0].descending);
  EXPECT_EQ(indexes[1].columns[0].collation, "NOCASE");
  EXPECT_EQ(indexes[1].columns[1].name, "") << "an expression";
  EXPECT_EQ(indexes[1].columns[2].name, "c");
  EXPECT_TRUE(indexes[2].partial);
  EXPECT_TRUE(indexes[2].unique);
  EXPECT_EQ(indexes[2].columns[1].name, "id") << "also where the column is the rowid";
  const auto& key = table_named(catalog, "k").indexes;
  ASSERT_EQ(key.size(), 1U);
  EXPECT_EQ(key[0].origin, IndexOrigin::primary_key);
  EXPECT_EQ(key[0].columns[0].name, "b");
}

TEST(Catalog, KeepsForeignKeysTogetherAndInOrder) {
  const Catalog catalog = catalog_of(R"(
      CREATE TABLE t(a REFERENCES First, b, c, d,
                     FOREIGN KEY (b, c) REFERENCES second(y, x) ON DELETE CASCADE ON UPDATE SET NULL,
                     FOREIGN KEY (d) REFERENCES t(a)))");
  const auto& keys = table_named(catalog, "t").foreign_keys;
  ASSERT_EQ(keys.size(), 3U);
  EXPECT_EQ(keys[0].parent, "First");
  EXPECT_TRUE(keys[0].parent_columns.empty());
  EXPECT_EQ(keys[1].columns, (Names{"b", "c"}));
  EXPECT_EQ(keys[1].parent_columns, (Names{"y", "x"}));
  EXPECT_EQ(keys[1].on_delete, "CASCADE");
  EXPECT_EQ(keys[1].on_update, "SET NULL");
  EXPECT_EQ(keys[2].parent, "t");
}

TEST(Catalog, SkipsShadowTablesByTypeAndNeverByName) {
  const Catalog catalog = catalog_of(R"(
      CREATE VIRTUAL TABLE docs USING fts5(body);
      CREATE TABLE notes_data(x);
      CREATE TABLE notes_content(x))");
  EXPECT_EQ(names_of(catalog), (Names{"docs", "notes_content", "notes_data"}));
  EXPECT_TRUE(catalog.objects.empty());
}

TEST(Catalog, SurvivesAVirtualTableWithoutItsModule) {
  const Catalog catalog = catalog_of(R"(
      CREATE TABLE good(x);
      CREATE TABLE gone_data(x);
      PRAGMA writable_schema=ON;
      INSERT INTO sqlite_schema(type, name, tbl_name, rootpage, sql)
        VALUES ('table', 'gone', 'gone', 0, 'CREATE VIRTUAL TABLE gone USING nosuchmodule(x)');
      PRAGMA writable_schema=RESET)");
  EXPECT_EQ(names_of(catalog), (Names{"gone_data", "good"}));
  ASSERT_EQ(catalog.objects.size(), 1U);
  EXPECT_EQ(catalog.objects[0].kind, SourceObjectKind::virtual_table);
  EXPECT_NE(catalog.objects[0].sql.find("nosuchmodule"), std::string::npos);
}

TEST(Catalog, ListsViewsAndTriggersEvenBrokenOnes) {
  const Catalog catalog = catalog_of(R"(
      CREATE TABLE t(x);
      CREATE VIEW broken AS SELECT nosuchfunction(y) FROM nosuchtable;
      CREATE VIEW fine AS SELECT x FROM t;
      CREATE TRIGGER fires AFTER INSERT ON t BEGIN DELETE FROM t; END)");
  ASSERT_EQ(catalog.objects.size(), 3U);
  EXPECT_EQ(catalog.objects[0].name, "broken");
  EXPECT_EQ(catalog.objects[0].kind, SourceObjectKind::view);
  EXPECT_EQ(catalog.objects[2].kind, SourceObjectKind::trigger);
  EXPECT_EQ(catalog.objects[2].table, "t");
  EXPECT_NE(catalog.objects[2].sql.find("CREATE TRIGGER"), std::string::npos);
}

TEST(Catalog, TakesNamesThatNeedQuoting) {
  const Catalog catalog = catalog_of(R"(
      CREATE TABLE "we""ird; --"("a""b" TEXT, 'c d' INT);
      CREATE INDEX "i""x" ON "we""ird; --"("a""b");
      CREATE TABLE "select"([from] INT);
      CREATE TABLE pragma_table_xinfo(x);
      CREATE TABLE pragma_index_list(x);
      CREATE TABLE ""(""))");
  EXPECT_EQ(names_of(catalog),
            (Names{"", "pragma_index_list", "pragma_table_xinfo", "select", "we\"ird; --"}));
  EXPECT_EQ(catalog.tables[4].columns[0].name, "a\"b");
  ASSERT_EQ(catalog.tables[4].indexes.size(), 1U);
  EXPECT_EQ(catalog.tables[4].indexes[0].columns[0].name, "a\"b");
}

TEST(Catalog, ReadsTablesWithUnknownCollations) {
  const Folder folder;
  {
    const Writer writer(folder / "a.db");
    sqlite3_create_collation(writer.get(), "unicase", SQLITE_UTF8, nullptr,
                             [](void*, int, const void*, int, const void*) { return 0; });
    writer.run("CREATE TABLE t(x TEXT COLLATE unicase UNIQUE)");
  }
  const SqliteConnection connection(folder / "a.db", Access::read);
  const Catalog catalog = read_catalog(connection);
  EXPECT_EQ(catalog.tables.at(0).indexes.at(0).columns.at(0).collation, "unicase");
}

}  // namespace
}  // namespace sluice
