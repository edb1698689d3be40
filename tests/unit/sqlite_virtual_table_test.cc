// Virtual tables, and schemas that call what SQLite does not have.

#include "io/sqlite/virtual_table.h"

#include "io/sqlite/catalog.h"
#include "io/sqlite/outline.h"
#include "unit/sqlite_fixture.h"

namespace sluice {
namespace {

using namespace testing;
using Names = std::vector<std::string>;

Names columns_of(const SourceTable& table) {
  Names names;
  for (const SourceColumn& column : table.columns) names.push_back(column.name);
  return names;
}

const SourceObject& object_named(const Catalog& catalog, const std::string& name) {
  for (const SourceObject& object : catalog.objects) {
    if (object.name == name) return object;
  }
  throw std::runtime_error("no object " + name);
}

bool has_table(const Catalog& catalog, const std::string& name) {
  return std::any_of(catalog.tables.begin(), catalog.tables.end(),
                     [&](const SourceTable& table) { return table.name == name; });
}

void one(sqlite3_context* context, int, sqlite3_value**) { sqlite3_result_int(context, 1); }

// An application with a function and a collation of its own.
Writer application(const std::filesystem::path& path) {
  Writer writer(path);
  sqlite3_create_function(writer.get(), "foo", -1, SQLITE_UTF8 | SQLITE_DETERMINISTIC, nullptr, one, nullptr,
                          nullptr);
  // SQLite 3.48 takes two arguments as well.
  sqlite3_create_function(writer.get(), "iif", 2, SQLITE_UTF8 | SQLITE_DETERMINISTIC, nullptr, one, nullptr,
                          nullptr);
  return writer;
}

TEST(VirtualTableText, IsReadAsSqliteReadsIt) {
  const auto read = [](const char* sql) {
    const VirtualTableText text = read_virtual_table_text(sql);
    std::string shown = text.module;
    for (const std::string& argument : text.arguments) shown += "|" + argument;
    return shown;
  };
  EXPECT_EQ(read("CREATE VIRTUAL TABLE t USING FTS5(a, b, tokenize = 'porter, x')"),
            "fts5|a|b|tokenize = 'porter, x'");
  EXPECT_EQ(
      read("create /* a ( */ virtual table if not exists main . \"t \"\"using x(\" -- x\n using\n[rtree] "
           "(id,x0 ,x1)"),
      "rtree|id|x0|x1");
  EXPECT_EQ(read("CREATE VIRTUAL TABLE t USING fts4"), "fts4");
  EXPECT_EQ(read("CREATE VIRTUAL TABLE t USING csv(f(a,b), c"), "csv|f(a,b)");
  EXPECT_EQ(read("CREATE TABLE t(using)"), "");
  EXPECT_EQ(read("CREATE VIRTUAL TABLE t USING x('it''s, (', [a]b])"), "x|'it''s, ('|[a]b]");
}

TEST(VirtualTable, FullTextOfItsOwnIsATableWithTheRowidAsKey) {
  const Folder folder;
  Writer(folder / "a.db").run(R"(
      CREATE VIRTUAL TABLE five USING fts5(title, body UNINDEXED, tokenize='porter ascii', prefix='2 3');
      INSERT INTO five(rowid, title, body) VALUES (9, 'a', 1), (3, 'b', x'00'), (-5, NULL, 2.5);
      CREATE VIRTUAL TABLE four USING fts4(subject, "the body", notindexed=subject);
      INSERT INTO four(docid, subject, "the body") VALUES (7, 'x', 'y'), (2, 'z', 'w');
      CREATE VIRTUAL TABLE three USING fts3(rowid, b);
      INSERT INTO three VALUES ('x', 'y');
      CREATE VIRTUAL TABLE languages USING fts4(a, languageid="tongue");
      INSERT INTO languages(a, tongue) VALUES ('q', 3);
      CREATE VIRTUAL TABLE nameless USING fts3())");
  Snapshot snapshot(folder / "a.db", 2);
  const Catalog& catalog = snapshot.catalog();
  EXPECT_EQ(catalog.tables.size(), 5U) << "no shadow tables";
  EXPECT_TRUE(catalog.objects.empty());
  const SourceTable& five = table_named(catalog, "five");
  EXPECT_EQ(five.module, "fts5");
  EXPECT_EQ(columns_of(five), (Names{"rowid", "title", "body"}));
  EXPECT_EQ(five.rowid_alias, 0U);
  EXPECT_EQ(five.columns[1].declared_type, "TEXT");
  EXPECT_EQ(rows_of(snapshot, "five"), (Names{"i-5 null r2.5", "i3 tb x00", "i9 ta i1"})) << "by rowid";
  EXPECT_EQ(rows_of(snapshot, "five", RowidRange{3, 8}), (Names{"i3 tb x00"}));
  EXPECT_EQ(rows_of(snapshot, "four"), (Names{"i2 tz tw", "i7 tx ty"}));
  EXPECT_EQ(rows_of(snapshot, "four", RowidRange{3, INT64_MAX}), (Names{"i7 tx ty"}));
  EXPECT_EQ(columns_of(table_named(catalog, "three")), (Names{"_rowid_", "rowid", "b"}));
  EXPECT_EQ(rows_of(snapshot, "three"), (Names{"i1 tx ty"}));
  EXPECT_EQ(rows_of(snapshot, "languages"), (Names{"i1 tq i3"}));
  EXPECT_EQ(columns_of(table_named(catalog, "nameless")), (Names{"rowid", "content"}));
}

TEST(VirtualTable, LargeFullTextIsCutByRowid) {
  const Folder folder;
  Writer(folder / "a.db").run(R"(
      CREATE VIRTUAL TABLE t USING fts5(body);
      WITH RECURSIVE c(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM c WHERE i < 3000)
      INSERT INTO t(rowid, body) SELECT i * 7 - 5000, hex(randomblob(200)) FROM c)");
  Snapshot snapshot(folder / "a.db", 1);
  const SourceTable& table = table_named(snapshot.catalog(), "t");
  const TableOutline outline = snapshot.outline(table);
  EXPECT_GT(outline.bytes, 1000000U);
  EXPECT_GT(outline.rowids.size(), 10U);
  std::vector<std::string> rows;
  for (const Extent& extent : extents_of(outline)) {
    for (std::string& row : rows_of(snapshot, "t", extent)) rows.push_back(std::move(row));
  }
  EXPECT_EQ(rows, rows_of(snapshot, "t"));
  EXPECT_EQ(rows.size(), 3000U);
}

TEST(VirtualTable, BoxesAreATableWhoseKeyIsTheFirstColumn) {
  const Folder folder;
  Writer(folder / "a.db").run(R"(
      CREATE VIRTUAL TABLE boxes USING rtree(id, minx, maxx, +label, +extra);
      INSERT INTO boxes VALUES (5, 1.1, 2, 'a', x'01'), (2, 0, 1, 'b', 3);
      CREATE VIRTUAL TABLE whole USING rtree_i32(id, "min x", maxx);
      INSERT INTO whole VALUES (1, -5, 7);
      CREATE VIRTUAL TABLE many USING rtree(id, a, b);
      WITH RECURSIVE c(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM c WHERE i < 5000)
      INSERT INTO many SELECT i, i % 100, i % 100 + 1 FROM c)");
  Snapshot snapshot(folder / "a.db", 1);
  const SourceTable& boxes = table_named(snapshot.catalog(), "boxes");
  EXPECT_EQ(columns_of(boxes), (Names{"id", "minx", "maxx", "label", "extra"}));
  EXPECT_EQ(boxes.columns[0].declared_type, "INTEGER");
  EXPECT_EQ(boxes.columns[1].declared_type, "REAL");
  EXPECT_EQ(boxes.primary_key(), (std::vector<std::size_t>{0}));
  EXPECT_FALSE(boxes.rowid_alias) << "rows come in the order of the tree";
  const auto rows = rows_of(snapshot, "boxes");
  EXPECT_EQ(std::set<std::string>(rows.begin(), rows.end()),
            (std::set<std::string>{"i5 r1.1 r2 ta x01", "i2 r0 r1 tb i3"}));
  EXPECT_EQ(rows_of(snapshot, "whole"), (Names{"i1 i-5 i7"}));
  const TableOutline outline = snapshot.outline(table_named(snapshot.catalog(), "many"));
  EXPECT_GT(outline.bytes, 50000U);
  EXPECT_TRUE(outline.rowids.empty());
  EXPECT_EQ(rows_of(snapshot, "many").size(), 5000U);
  EXPECT_EQ(snapshot.catalog().tables.size(), 3U);
}

TEST(VirtualTable, WhatHoldsNothingOfItsOwnIsListedWithTheReason) {
  const Folder folder;
  Writer(folder / "a.db").run(R"(
      CREATE TABLE ext(id INTEGER PRIMARY KEY, title);
      CREATE TABLE "own name_content"(id INTEGER PRIMARY KEY, title);
      INSERT INTO "own name_content" VALUES (1, 'kept');
      CREATE VIRTUAL TABLE outer5 USING fts5(title, content='ext', content_rowid='id');
      CREATE VIRTUAL TABLE "own name" USING fts5(title, cont='own name_content', content_rowid='id');
      CREATE VIRTUAL TABLE none5 USING fts5(title, content='');
      CREATE VIRTUAL TABLE none4 USING fts4(content="", a);
      CREATE VIRTUAL TABLE outer4 USING fts4(content=ext, title);
      CREATE VIRTUAL TABLE words5 USING fts5vocab(outer5, row);
      CREATE VIRTUAL TABLE words4 USING fts4aux(outer4);
      CREATE VIRTUAL TABLE pages USING dbstat(main))");
  const Snapshot snapshot(folder / "a.db", 1);
  const Catalog& catalog = snapshot.catalog();
  EXPECT_TRUE(has_table(catalog, "ext"));
  EXPECT_TRUE(has_table(catalog, "own name_content")) << "the user's, though SQLite counts it as a shadow";
  EXPECT_EQ(catalog.tables.size(), 2U);
  EXPECT_EQ(object_named(catalog, "outer5").reason,
            "an FTS5 index over \"ext\": it holds nothing of its own");
  EXPECT_EQ(object_named(catalog, "outer4").reason,
            "an FTS4 index over \"ext\": it holds nothing of its own");
  EXPECT_EQ(object_named(catalog, "none5").reason, "a contentless FTS5 index: it holds nothing of its own");
  EXPECT_EQ(object_named(catalog, "none4").reason, "a contentless FTS4 index: it holds nothing of its own");
  for (const char* name : {"words5", "words4", "pages"}) {
    EXPECT_NE(object_named(catalog, name).reason.find("computed by the module"), std::string::npos) << name;
  }
}

TEST(VirtualTable, WithAnUnknownTokenizerItsContentArrivesUnderTheShadowsName) {
  const Folder folder;
  Writer(folder / "a.db").run(R"(
      CREATE VIRTUAL TABLE docs USING fts5(body);
      INSERT INTO docs VALUES ('kept');
      CREATE VIRTUAL TABLE old USING fts4(body);
      INSERT INTO old VALUES ('kept too');
      PRAGMA writable_schema=ON;
      UPDATE sqlite_schema SET sql = 'CREATE VIRTUAL TABLE docs USING fts5(body, tokenize=''jieba'')'
        WHERE name = 'docs';
      UPDATE sqlite_schema SET sql = 'CREATE VIRTUAL TABLE old USING fts4(body, uncompress=unzip, compress=zip)'
        WHERE name = 'old')");
  Snapshot snapshot(folder / "a.db", 1);
  EXPECT_EQ(rows_of(snapshot, "docs_content"), (Names{"i1 tkept"}));
  EXPECT_EQ(rows_of(snapshot, "old_content"), (Names{"i1 tkept too"}));
  EXPECT_EQ(snapshot.catalog().tables.size(), 2U);
  EXPECT_NE(object_named(snapshot.catalog(), "docs").reason.find("its content arrives as \"docs_content\""),
            std::string::npos);
  EXPECT_NE(object_named(snapshot.catalog(), "old").reason.find("SQLite cannot read it ("),
            std::string::npos);
}

TEST(UnknownNames, OfModulesLoseTheVirtualTableAlone) {
  const Folder folder;
  Writer(folder / "a.db").run(R"(
      CREATE TABLE good(x);
      CREATE TABLE gone_data(x);
      INSERT INTO gone_data VALUES (1);
      PRAGMA writable_schema=ON;
      INSERT INTO sqlite_schema(type, name, tbl_name, rootpage, sql)
        VALUES ('table', 'gone', 'gone', 0, 'CREATE VIRTUAL TABLE gone USING spatialite(x)');
      PRAGMA writable_schema=RESET;
      CREATE VIEW seen AS SELECT * FROM gone)");
  Snapshot snapshot(folder / "a.db", 1);
  EXPECT_EQ(object_named(snapshot.catalog(), "gone").reason, "no such module: spatialite");
  EXPECT_EQ(object_named(snapshot.catalog(), "seen").kind, SourceObjectKind::view);
  EXPECT_EQ(rows_of(snapshot, "gone_data"), (Names{"i1 i1"})) << "whose shadow it is, only the module knew";
}

TEST(UnknownNames, OfFunctionsLoseTheIndexAndTheColumnThatCallThem) {
  const Folder folder;
  application(folder / "a.db").run(R"(
      CREATE TABLE t(a, b DEFAULT (foo()), v AS (foo(a)), w AS (a + 1), s AS (foo(b)) STORED,
                     u AS (foo(a, 1)) UNIQUE, CHECK (foo(a) = 1));
      INSERT INTO t(a, b) VALUES (5, 6);
      CREATE INDEX by_foo ON t(foo(b));
      CREATE INDEX some ON t(a) WHERE foo(b) > 0;
      CREATE INDEX on_v ON t(v);
      CREATE INDEX fine ON t(w);
      CREATE VIEW seen AS SELECT foo(a) FROM t)");
  Snapshot snapshot(folder / "a.db", 2);
  const SourceTable& table = table_named(snapshot.catalog(), "t");
  EXPECT_EQ(columns_of(table), (Names{"a", "b", "w", "s"}));
  ASSERT_EQ(table.indexes.size(), 1U);
  EXPECT_EQ(table.indexes[0].name, "fine");
  EXPECT_EQ(rows_of(snapshot, "t"), (Names{"i5 i6 i6 i1 i1"}));
  for (const char* name : {"by_foo", "some", "on_v", "sqlite_autoindex_t_1"}) {
    const SourceObject& object = object_named(snapshot.catalog(), name);
    EXPECT_EQ(object.kind, SourceObjectKind::index);
    EXPECT_EQ(object.table, "t");
    EXPECT_EQ(object.reason, "no such function: foo()") << name;
    EXPECT_FALSE(object.sql.empty());
  }
  EXPECT_EQ(object_named(snapshot.catalog(), "u").kind, SourceObjectKind::generated_column);
  EXPECT_EQ(snapshot.catalog().objects.size(), 7U) << "with v and the view";
}

TEST(UnknownNames, OfFunctionsWithOtherArgumentsDoNotLoseTheFile) {
  const Folder folder;
  application(folder / "a.db").run(R"(
      CREATE TABLE t(a, v AS (iif(a, 1)), w AS (iif(a, 1, 2)), CHECK (iif(a, 1)));
      INSERT INTO t(a) VALUES (5), (0);
      CREATE INDEX by_iif ON t(iif(a, 2));
      CREATE INDEX fine ON t(iif(a, 2, 3)))");
  {
    sqlite3* raw = nullptr;
    sqlite3_open((folder / "a.db").c_str(), &raw);
    const DatabaseHandle plain(raw);
    ASSERT_NE(sqlite3_exec(raw, "SELECT a FROM t", nullptr, nullptr, nullptr), SQLITE_OK)
        << "this SQLite knows the function: the test needs another";
  }
  Snapshot snapshot(folder / "a.db", 2);
  EXPECT_EQ(rows_of(snapshot, "t"), (Names{"i5 i1 i1", "i0 i2 i2"})) << "SQLite's own iif() still works";
  const SourceTable& table = table_named(snapshot.catalog(), "t");
  EXPECT_EQ(columns_of(table), (Names{"a", "w"}));
  ASSERT_EQ(table.indexes.size(), 1U);
  EXPECT_EQ(table.indexes[0].name, "fine");
  EXPECT_EQ(object_named(snapshot.catalog(), "by_iif").reason, "no such function: iif(2)");
  EXPECT_EQ(object_named(snapshot.catalog(), "v").kind, SourceObjectKind::generated_column);
  EXPECT_EQ(object_named(snapshot.catalog(), "v").table, "t");
}

TEST(UnknownNames, OfCollationsKeepTheRowsInTheOrderOfTheTree) {
  const Folder folder;
  {
    const Writer writer(folder / "a.db");
    sqlite3_create_collation(
        writer.get(), "backwards", SQLITE_UTF8, nullptr,
        [](void*, int left_bytes, const void* left, int right_bytes, const void* right) {
          const std::string_view a(static_cast<const char*>(left), std::size_t(left_bytes));
          const std::string_view b(static_cast<const char*>(right), std::size_t(right_bytes));
          return b.compare(a);
        });
    writer.run(R"(
        CREATE TABLE keyed(k TEXT COLLATE backwards PRIMARY KEY, v);
        INSERT INTO keyed VALUES ('a', 1), ('c', 2), ('b', 3);
        CREATE TABLE tree(k TEXT COLLATE backwards PRIMARY KEY, v) WITHOUT ROWID;
        WITH RECURSIVE c(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM c WHERE i < 3000)
        INSERT INTO tree SELECT printf('%05d', i), hex(randomblob(100)) FROM c)");
  }
  Snapshot snapshot(folder / "a.db", 1);
  EXPECT_EQ(rows_of(snapshot, "keyed"), (Names{"ta i1 i1", "tc i2 i2", "tb i3 i3"}));
  const TableOutline outline = snapshot.outline(table_named(snapshot.catalog(), "tree"));
  EXPECT_TRUE(outline.key_tuples.empty()) << "a range by this collation means nothing";
  const auto rows = rows_of(snapshot, "tree");
  ASSERT_EQ(rows.size(), 3000U);
  EXPECT_EQ(rows.front().substr(0, 6), "t03000");
}

TEST(UnknownNames, DoNotHideARealFault) {
  const Folder folder;
  Writer(folder / "a.db").run(R"(
      CREATE TABLE t(a);
      CREATE INDEX "i - no such function: x" ON t(a);
      PRAGMA writable_schema=ON;
      UPDATE sqlite_schema SET sql = 'CREATE INDEX i ON t(nothing' WHERE type = 'index')");
  EXPECT_EQ(error_of(folder / "a.db").fault(), Fault::source_unreadable);
}

}  // namespace
}  // namespace sluice
