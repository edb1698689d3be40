#include "io/sqlite/scan.h"

#include "io/sqlite/catalog.h"
#include "unit/sqlite_fixture.h"

namespace sluice {
namespace {

using namespace testing;

using Rows = std::vector<std::string>;

// A database made by SQL, and a source on it.
class ScanTest : public DatabaseTest {
 protected:
  void opened() override { source_ = std::make_unique<TableSource>(*connection_); }
  Rows rows(const std::string& table, const Extent& extent = WholeTable{}) {
    return rows_of(*source_, plan(table), extent);
  }
  // EXPLAIN QUERY PLAN in one line.
  std::string way(const std::string& table, const Extent& extent) {
    const StatementHandle explain =
        connection_->prepare("EXPLAIN QUERY PLAN " + scan_query(*connection_, plan(table), extent));
    std::string way;
    while (connection_->step(explain)) way += (way.empty() ? "" : " | ") + text_of(explain, 3);
    return way;
  }

  std::unique_ptr<TableSource> source_;
};

TEST_F(ScanTest, DeliversEveryStorageClassAsItIsStored) {
  make(
      "CREATE TABLE t(x);"
      "INSERT INTO t VALUES (NULL), (-7), (9223372036854775807), (0.5), (2.0), (9e999), ('text'), (''), "
      "('5'),"
      "(x'00ff'), (x''), ('a' || char(0) || 'b')");
  EXPECT_EQ(rows("t"),
            (Rows{"null i1", "i-7 i2", "i9223372036854775807 i3", "r0.5 i4", "r2 i5", "rinf i6", "ttext i7",
                  "t i8", "t5 i9", "x00ff i10", "x i11", std::string("ta\0b i12", 8)}));
}

TEST_F(ScanTest, ReadsRealColumnsAsReal) {
  make("CREATE TABLE t(id INTEGER PRIMARY KEY, x REAL); INSERT INTO t VALUES (1, 5), (2, 5.25)");
  EXPECT_EQ(rows("t"), (Rows{"i1 r5", "i2 r5.25"}));
}

TEST_F(ScanTest, ReadsTablesWhoseSchemaCallsJsonFunctions) {
  make(
      "CREATE TABLE t(doc TEXT CHECK (json_valid(doc)), name AS (json_extract(doc, '$.name')));"
      "CREATE INDEX by_size ON t(json_extract(doc, '$.size')) WHERE json_extract(doc, '$.live') = 1;"
      "INSERT INTO t VALUES ('{\"name\":\"n\"}')");
  EXPECT_EQ(rows("t"), (Rows{"t{\"name\":\"n\"} tn i1"}));
}

TEST_F(ScanTest, SuppliesTheDefaultOfAnAddedColumn) {
  make(
      "CREATE TABLE t(id INTEGER PRIMARY KEY); INSERT INTO t VALUES (1); ALTER TABLE t ADD COLUMN y DEFAULT "
      "'new'");
  EXPECT_EQ(rows("t"), Rows{"i1 tnew"});
}

TEST_F(ScanTest, DeliversUtf8FromAUtf16File) {
  for (const char* encoding : {"UTF-16le", "UTF-16be"}) {
    std::filesystem::remove(path());
    make("PRAGMA encoding='" + std::string(encoding) +
         "'; CREATE TABLE t(k TEXT PRIMARY KEY, x) WITHOUT ROWID; INSERT INTO t VALUES ('ä€😀', 'z'), ('', "
         "x'0102')");
    EXPECT_EQ(rows("t"), (Rows{"t x0102", "tä€😀 tz"}));
  }
}

TEST_F(ScanTest, DeliversTextThatIsNotValidUtf8AsItIs) {
  make("CREATE TABLE t(id INTEGER PRIMARY KEY, x); INSERT INTO t VALUES (1, CAST(x'ff80c3' AS TEXT))");
  EXPECT_EQ(rows("t"), Rows{"i1 t\xff\x80\xc3"});
}

TEST_F(ScanTest, ReadsLargeValuesAcrossOverflowPages) {
  make(
      "CREATE TABLE t(id INTEGER PRIMARY KEY, x, y);"
      "INSERT INTO t VALUES (1, zeroblob(3000000), replace(hex(zeroblob(100000)), '0', 'q'))");
  const auto plan_of_t = plan("t");
  const auto scan = source_->scan(plan_of_t, WholeTable{});
  const auto row = scan->next();
  ASSERT_TRUE(row);
  EXPECT_EQ((*row)[1].bytes().size(), 3000000U);
  EXPECT_EQ((*row)[2].text(), std::string(200000, 'q'));
}

TEST_F(ScanTest, StaysAtTheEnd) {
  make("CREATE TABLE t(x); INSERT INTO t VALUES (1)");
  const auto plan_of_t = plan("t");
  const auto scan = source_->scan(plan_of_t, WholeTable{});
  EXPECT_TRUE(scan->next());
  for (int i = 0; i < 3; ++i) EXPECT_FALSE(scan->next());
}

TEST_F(ScanTest, ReadsATableWhoseRowidNamesAreAllTaken) {
  make(
      "CREATE TABLE t(rowid, _rowid_, oid); INSERT INTO t VALUES (1, 2, 3);"
      "CREATE TABLE u(rowid INTEGER PRIMARY KEY, _rowid_, oid); INSERT INTO u VALUES (4, 5, 6), (7, 8, 9)");
  EXPECT_EQ(rows("t"), Rows{"i1 i2 i3"});
  EXPECT_EQ(rows("u", RowidRange{7, 7}), Rows{"i7 i8 i9"});
  EXPECT_THROW(rows("t", RowidRange{}), Error);
}

TEST_F(ScanTest, CoversExtremeRowidsExactlyOnce) {
  make(
      "CREATE TABLE t(id INTEGER PRIMARY KEY);"
      "INSERT INTO t VALUES (-9223372036854775808), (-5), (-1), (0), (1), (9223372036854775806),"
      "(9223372036854775807)");
  const Rows whole = rows("t");
  EXPECT_EQ(whole.size(), 7U);
  const std::vector<std::int64_t> cuts = {INT64_MIN, -5, -1, 0, 7, INT64_MAX - 1};
  TableOutline outline;
  outline.rowids = cuts;
  Rows joined;
  for (const Extent& extent : extents_of(outline)) {
    for (std::string& row : rows("t", extent)) joined.push_back(std::move(row));
  }
  EXPECT_EQ(joined, whole);
  EXPECT_TRUE(rows("t", RowidRange{5, 4}).empty());
}

TEST_F(ScanTest, ReadsRowsFromTheTableAndNotFromAnIndex) {
  make(
      "CREATE TABLE t(id INTEGER PRIMARY KEY, x); CREATE INDEX covering ON t(x);"
      "CREATE TABLE w(a TEXT, b INT, c, PRIMARY KEY(a, b)) WITHOUT ROWID; CREATE INDEX wide ON w(a, b, c);"
      "CREATE INDEX narrow ON w(c)");
  EXPECT_EQ(way("t", WholeTable{}), "SCAN t");
  EXPECT_EQ(way("t", RowidRange{}), "SEARCH t USING INTEGER PRIMARY KEY (rowid>? AND rowid<?)");
  EXPECT_EQ(way("w", WholeTable{}), "SCAN t");
  const std::vector<KeyValue> low = {TextValue{"a"}, std::int64_t{1}};
  const std::vector<KeyValue> high = {TextValue{"b"}, std::int64_t{2}};
  EXPECT_EQ(way("w", PrimaryKeyRange{low, high}), "SEARCH t USING PRIMARY KEY ((a,b)>(?,?) AND (a,b)<(?,?))");
  EXPECT_EQ(way("w", PrimaryKeyRange{low, {}}), "SEARCH t USING PRIMARY KEY ((a,b)>(?,?))");
  EXPECT_EQ(way("w", PrimaryKeyRange{{}, high}), "SEARCH t USING PRIMARY KEY ((a,b)<(?,?))");
  EXPECT_EQ(way("w", PrimaryKeyRange{}), "SCAN t");
}

TEST_F(ScanTest, IncludesTheLowerKeyAndExcludesTheUpper) {
  make(
      "CREATE TABLE w(a TEXT COLLATE NOCASE, b, PRIMARY KEY(a, b)) WITHOUT ROWID;"
      "INSERT INTO w VALUES ('a', 1), ('B', 1), ('b', 2), ('B', 2.5), ('b', 'x'), ('b', x'00'), ('c', '')");
  const auto range = [](std::vector<KeyValue> from, std::vector<KeyValue> until) {
    return PrimaryKeyRange{std::move(from), std::move(until)};
  };
  EXPECT_EQ(rows("w", range({TextValue{"b"}, std::int64_t{2}}, {TextValue{"B"}, TextValue{"x"}})),
            (Rows{"tb i2", "tB r2.5"}));
  EXPECT_EQ(rows("w", range({TextValue{"B"}, BlobValue{std::string(1, '\0')}}, {})),
            (Rows{"tb x00", "tc t"}));
  EXPECT_EQ(rows("w", range({}, {TextValue{"b"}, std::int64_t{2}})), (Rows{"ta i1", "tB i1"}));
  EXPECT_EQ(rows("w", range({TextValue{"c"}, TextValue{""}}, {})), Rows{"tc t"});
}

TEST_F(ScanTest, ReadsInTreeOrderWhereTheKeyHasAnUnknownCollation) {
  {
    const Writer writer(path());
    sqlite3_create_collation(
        writer.get(), "backwards", SQLITE_UTF8, nullptr,
        [](void*, int n, const void* a, int m, const void* b) {
          return -std::string_view(static_cast<const char*>(a), static_cast<std::size_t>(n))
                      .compare({static_cast<const char*>(b), static_cast<std::size_t>(m)});
        });
    writer.run(
        "CREATE TABLE w(a TEXT COLLATE backwards PRIMARY KEY, b) WITHOUT ROWID; CREATE INDEX i ON w(b, a);"
        "INSERT INTO w VALUES ('a', 1), ('b', 2), ('c', 3)");
  }
  open();
  EXPECT_EQ(rows("w"), (Rows{"tc i3", "tb i2", "ta i1"}));
}

TEST_F(ScanTest, ThrowsWhereThePageIsCorruptAndNamesTheTable) {
  Writer(path()).run(
      "CREATE TABLE t(x); WITH RECURSIVE c(i) AS (SELECT 1 UNION ALL SELECT i+1 FROM c WHERE i<20000)"
      " INSERT INTO t SELECT 'row number ' || i FROM c");
  std::string bytes = bytes_of(path());
  for (std::size_t i = 0; i < 4096; ++i) bytes[bytes.size() / 8192 * 4096 + i] = '\x5a';
  put_bytes(path(), bytes);
  open();
  const auto plan_of_t = plan("t");
  const auto scan = source_->scan(plan_of_t, WholeTable{});
  std::size_t rows = 0;
  try {
    while (scan->next()) ++rows;
    FAIL() << "the error looked like the end";
  } catch (const Error& error) {
    EXPECT_EQ(error.fault(), Fault::source_unreadable);
    EXPECT_EQ(error.where().table, "t");
    EXPECT_NE(error.describe().find("is corrupt"), std::string::npos) << error.describe();
  }
  EXPECT_GT(rows, 0U);
  EXPECT_LT(rows, 20000U);
}

TEST_F(ScanTest, NamesTheTableWhenItCannotBegin) {
  make("CREATE TABLE t(x)");
  TablePlan stale = plan("t");
  stale.columns[0].source = "gone";
  try {
    static_cast<void>(source_->scan(stale, WholeTable{}));
    FAIL() << "a missing column must not become a text";
  } catch (const Error& error) {
    EXPECT_EQ(error.where().table, "t");
  }
}

TEST_F(ScanTest, QuotesEveryName) {
  make(R"(CREATE TABLE "we""ird; --"("a""b" TEXT, "select" INT, PRIMARY KEY("a""b")) WITHOUT ROWID;)"
       R"(INSERT INTO "we""ird; --" VALUES ('k', 1))");
  EXPECT_EQ(rows("we\"ird; --", PrimaryKeyRange{{TextValue{"k"}}, {}}), Rows{"tk i1"});
}

// SQLite itself would make U+10062 of the second one.
TEST(Scan, HalvesOfSurrogatePairsInUtf16FilesNeverBecomeOtherCharacters) {
  for (const bool little : {true, false}) {
    SCOPED_TRACE(little);
    const auto units = [&](std::u16string_view text) {
      std::string literal = "CAST(x'";
      for (const char16_t unit : text) {
        const std::string high = {"0123456789abcdef"[unit >> 12], "0123456789abcdef"[unit >> 8 & 15]};
        const std::string low = {"0123456789abcdef"[unit >> 4 & 15], "0123456789abcdef"[unit & 15]};
        literal += little ? low + high : high + low;
      }
      return literal + "' AS TEXT)";
    };
    const Folder folder;
    Writer(folder / "a.db")
        .run(std::string("PRAGMA encoding = '") + (little ? "UTF-16le" : "UTF-16be") +
             "'; CREATE TABLE t(id INTEGER PRIMARY KEY, v); INSERT INTO t(v) VALUES (" +
             units({u"\xd83d", 1}) + "), (" +
             units({u"a\xd800"
                    u"b",
                    3}) +
             "), (" + units({u"\xdc00", 1}) + "), (" + units({u"\xd83d\xdc18\u00e4\u20ac\ufffd", 5}) +
             "), (" + units({u"\xdc18\xd83d\u00e4", 3}) + ")");
    Snapshot snapshot(folder / "a.db", 1);
    TablePlan plan = plan_of(table_named(snapshot.catalog(), "t"));
    EXPECT_EQ(
        rows_of(snapshot.reader(0), plan, WholeTable{}),
        (std::vector<std::string>{"i1 t\xed\xa0\xbd",
                                  "i2 ta\xed\xa0\x80"
                                  "b",
                                  "i3 t\xed\xb0\x80", "i4 t\xf0\x9f\x90\x98\xc3\xa4\xe2\x82\xac\xef\xbf\xbd",
                                  "i5 t\xed\xb0\x98\xed\xa0\xbd\xc3\xa4"}));
  }
}

}  // namespace
}  // namespace sluice
