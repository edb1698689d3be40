#include <gtest/gtest.h>

#include <algorithm>
#include <cctype>
#include <cstdint>
#include <map>
#include <random>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "engine/model/error.h"
#include "engine/model/quote.h"
#include "engine/plan/ddl.h"
#include "engine/plan/declared_type.h"
#include "engine/plan/names.h"
#include "engine/plan/planner.h"
#include "engine/plan/ranges.h"
#include "support/conditions.h"
#include "support/seed.h"
#include "unit/sqlite_fixture.h"

namespace sluice {
namespace {

using testing::contains;

// ---- declared types ----

TEST(DeclaredType, SaysWhatWasIntended) {
  const std::vector<std::pair<const char*, PgType>> expected = {
      {"INTEGER", PgType::int8},
      {"INT", PgType::int8},
      {"int(11)", PgType::int8},
      {"BIGINT", PgType::int8},
      {"INT8", PgType::int8},
      {"INT2", PgType::int8},
      {"LONG", PgType::int8},
      {"TINYINT(1)", PgType::int8},
      {"SMALLINT", PgType::int8},
      {"MEDIUMINT", PgType::int8},
      {"UNSIGNED BIG INT", PgType::int8},
      {"INTEGER UNSIGNED", PgType::int8},
      {"INT(10) UNSIGNED ZEROFILL", PgType::int8},
      {"UNSIGNED", PgType::int8},
      {"SERIAL", PgType::int8},
      {"YEAR", PgType::int8},
      {"REAL", PgType::float8},
      {"FLOAT", PgType::float8},
      {"FLOAT4", PgType::float8},
      {"FLOAT(24)", PgType::float8},
      {"DOUBLE", PgType::float8},
      {"DOUBLE PRECISION", PgType::float8},
      {"double\n  precision", PgType::float8},
      {"NUMERIC", PgType::numeric},
      {"NUMERIC(10, 2)", PgType::numeric},
      {"DECIMAL(10,2)", PgType::numeric},
      {"DECIMAL (10, 2) UNSIGNED", PgType::numeric},
      {"MONEY", PgType::numeric},
      {"NUMBER(10)", PgType::numeric},
      {"BOOLEAN", PgType::boolean},
      {"BOOL", PgType::boolean},
      {"BIT(1)", PgType::boolean},
      {"DATE", PgType::date},
      {"TIME", PgType::time},
      {"DATETIME", PgType::timestamp},
      {"DATETIME(6)", PgType::timestamp},
      {"TIMESTAMP", PgType::timestamp},
      {"TIMESTAMP WITHOUT TIME ZONE", PgType::timestamp},
      {"TIMESTAMPTZ", PgType::timestamptz},
      {"TIMESTAMP WITH TIME ZONE", PgType::timestamptz},
      {"TIMESTAMP(3) WITH TIME ZONE", PgType::timestamptz},
      {"JSON", PgType::json},
      {"JSONB", PgType::jsonb},
      {"UUID", PgType::uuid},
      {"GUID", PgType::uuid},
      {"UNIQUEIDENTIFIER", PgType::uuid},
      {"BLOB", PgType::bytea},
      {"LONGBLOB", PgType::bytea},
      {"BYTEA", PgType::bytea},
      {"BINARY(16)", PgType::bytea},
      {"VARBINARY", PgType::bytea},
      {"IMAGE", PgType::bytea},
      {"GEOMETRY", PgType::bytea},
      {"GEOMETRY(POINT, 4326)", PgType::bytea},
      {"LINESTRING", PgType::bytea},
      {"TEXT", PgType::text},
      {"VARCHAR(255)", PgType::text},
      {"CHAR(36)", PgType::text},
      {"NATIVE CHARACTER(70)", PgType::text},
      {"NVARCHAR(100)", PgType::text},
      {"CLOB", PgType::text},
      {"STRING", PgType::text},
      {"LONGVARCHAR", PgType::text},
      {"ENUM('a', 'b')", PgType::text},
      {"ANY", PgType::text},
  };
  for (const auto& [declared, type] : expected) {
    EXPECT_EQ(name_of(type_of_declaration(declared)).sql, name_of(type).sql) << declared;
  }
}

TEST(DeclaredType, IsNotFooledByLetters) {
  const std::vector<std::pair<const char*, PgType>> expected = {
      {"FLOATING POINT", PgType::float8},  // INTEGER affinity by "point"
      {"POINT", PgType::bytea},
      {"MULTIPOINT", PgType::bytea},
      {"CHARINT", PgType::int8},             // SQLite's own order: INT before CHAR
      {"BLOB SUB_TYPE TEXT", PgType::text},  // TEXT before BLOB
      {"VARCHAR (255)", PgType::text},
      {"VARCHAR(255", PgType::text},
      {"", PgType::text},
      {"   ", PgType::text},
      {"()", PgType::text},
      {"TEXT NOL", PgType::text},
      {"intege", PgType::int8},
      {"INTEGER_OR_TEXT", PgType::int8},
      {"timestampz", PgType::text},
      {"  integer  ", PgType::int8},
      {"\tDATE\n", PgType::date},
      {"целое", PgType::text},
      {"x\"y", PgType::text},
  };
  for (const auto& [declared, type] : expected) {
    EXPECT_EQ(name_of(type_of_declaration(declared)).sql, name_of(type).sql) << "'" << declared << "'";
  }
}

TEST(DeclaredType, KnowsSpatialTypesWithDimensions) {
  for (const char* declared : {"POINT Z", "POINTZ", "MULTIPOINT ZM", "POINT(4326)"}) {
    EXPECT_EQ(name_of(type_of_declaration(declared)).sql, "bytea") << declared;
  }
}

TEST(DeclaredType, CaseNeverMatters) {
  for (const char* declared :
       {"Double Precision", "dEcImAl(3)", "Json", "TimeStamp With Time Zone", "Uuid"}) {
    std::string upper = declared;
    for (char& c : upper) c = static_cast<char>(std::toupper(static_cast<unsigned char>(c)));
    EXPECT_EQ(type_of_declaration(declared), type_of_declaration(upper));
    EXPECT_EQ(type_of_declaration(declared), type_of_declaration(fold_ascii(declared)));
  }
}

TEST(DeclaredType, NeverFails) {
  std::mt19937_64 random(testing::test_seed());
  for (int i = 0; i < 2000; ++i) {
    std::string declared(random() % 30, '\0');
    for (char& c : declared) c = static_cast<char>(random());
    static_cast<void>(type_of_declaration(declared));
  }
}

// ---- names ----

bool ends_within_a_character(const std::string& name) {
  std::size_t at = 0;
  while (at < name.size()) {
    const auto lead = static_cast<unsigned char>(name[at]);
    at += lead < 0x80 ? 1 : lead < 0xe0 ? 2 : lead < 0xf0 ? 3 : 4;
  }
  return at != name.size();
}

TEST(Names, FitStayAsTheyAre) {
  EXPECT_EQ(shortened(std::string(63, 'n')), std::string(63, 'n'));
  EXPECT_EQ(shortened("Ä name. with \"everything\""), "Ä name. with \"everything\"");
}

TEST(Names, LongOnesAreCutAndToldApart) {
  const std::string left = std::string(70, 'n') + "left";
  const std::string right = std::string(70, 'n') + "right";
  EXPECT_LE(shortened(left).size(), kNameBytesMax);
  EXPECT_EQ(shortened(left).substr(0, 54), std::string(54, 'n'));
  EXPECT_NE(shortened(left), shortened(right));
  EXPECT_EQ(shortened(left), shortened(left));
  // FNV-1a, 32 bits, of the whole name: a later version must come to the same name.
  EXPECT_EQ(shortened(std::string(64, 'a')), std::string(54, 'a') + "_d96f0f85");
}

TEST(Names, AreCutBetweenCharacters) {
  for (const char* character : {"é", "€", "😀"}) {
    for (std::size_t offset = 0; offset < 8; ++offset) {
      std::string name(offset, 'x');
      while (name.size() <= kNameBytesMax) name += character;
      const std::string cut = shortened(name);
      EXPECT_LE(cut.size(), kNameBytesMax);
      EXPECT_FALSE(ends_within_a_character(cut)) << cut;
      // The cut loses less than one character.
      EXPECT_GT(cut.size(), kNameBytesMax - 4);
    }
  }
}

TEST(Names, GivenOutTwiceGetANumber) {
  NameSpace names;
  EXPECT_EQ(names.claim("a"), "a");
  EXPECT_EQ(names.claim("a"), "a_2");
  EXPECT_EQ(names.claim("a"), "a_3");
  EXPECT_EQ(names.claim("a_2"), "a_2_2");
  EXPECT_EQ(names.claim("A"), "A");
  EXPECT_EQ(names.claim(""), "unnamed");
  EXPECT_EQ(names.claim(""), "unnamed_2");
}

TEST(Names, StayDifferentAndShortWhateverIsAskedFor) {
  NameSpace names;
  std::set<std::string> given;
  for (int i = 0; i < 300; ++i) {
    const std::string name =
        names.claim(i % 3 == 0 ? std::string(63, 'x') : std::string(40, 'x') + "€€€€€€€€");
    EXPECT_LE(name.size(), kNameBytesMax);
    EXPECT_FALSE(ends_within_a_character(name)) << name;
    EXPECT_TRUE(given.insert(name).second) << name;
  }
}

TEST(Names, OfSystemColumnsAreAvoidedForColumns) {
  NameSpace columns;
  for (const char* system : {"ctid", "xmin", "xmax", "cmin", "cmax", "tableoid"}) {
    EXPECT_EQ(columns.claim_column(system), std::string(system) + "_");
  }
  EXPECT_EQ(columns.claim_column("CTID"), "CTID");  // quoted, it is another name
  EXPECT_EQ(columns.claim_column("oid"), "oid");
  EXPECT_EQ(columns.claim_column("xmin_"), "xmin__2");
}

// ---- ranges ----

SourceTable rowid_table() {
  SourceTable table;
  table.name = "t";
  table.rowid_name = "rowid";
  return table;
}

std::vector<Extent> cut(const std::vector<std::int64_t>& rowids, std::uint64_t bytes,
                        std::uint64_t range_bytes) {
  TableOutline outline;
  outline.bytes = bytes;
  outline.rowids = rowids;
  std::vector<Extent> extents = cut_table(rowid_table(), outline, range_bytes);
  EXPECT_TRUE(covers_table(extents));
  return extents;
}

TEST(CutTable, CoversWhateverTheCandidatesAre) {
  std::mt19937_64 random(testing::test_seed());
  for (int i = 0; i < 500; ++i) {
    std::vector<std::int64_t> rowids(random() % 50);
    for (std::int64_t& rowid : rowids) {
      rowid = random() % 8 == 0 ? (random() % 2 == 0 ? INT64_MIN : INT64_MAX)
                                : static_cast<std::int64_t>(random());
    }
    if (random() % 4 != 0) std::sort(rowids.begin(), rowids.end());  // stale pages may say anything
    cut(rowids, random() % 1000000, random() % 100000);
  }
}

TEST(CutTable, TakesTheEndsOfTheKeySpace) {
  EXPECT_EQ(cut({INT64_MIN}, 100, 1),
            (std::vector<Extent>{RowidRange{INT64_MIN, INT64_MIN}, RowidRange{INT64_MIN + 1, INT64_MAX}}));
  EXPECT_EQ(cut({INT64_MAX}, 100, 1), (std::vector<Extent>{RowidRange{}}));
  EXPECT_EQ(cut({INT64_MIN, INT64_MAX - 1, INT64_MAX}, 100, 1),
            (std::vector<Extent>{RowidRange{INT64_MIN, INT64_MIN}, RowidRange{INT64_MIN + 1, INT64_MAX - 1},
                                 RowidRange{INT64_MAX, INT64_MAX}}));
}

TEST(CutTable, LeavesWholeWhatCannotOrNeedNotBeCut) {
  const std::vector<Extent> whole = {WholeTable{}};
  EXPECT_EQ(cut({}, 1000000, 1), whole);
  EXPECT_EQ(cut({1, 2, 3}, 999, 1000), whole);
  EXPECT_EQ(cut({1, 2, 3}, 0, 1000), whole);
  TableOutline outline;
  outline.bytes = 1000;
  outline.rowids = {1, 2, 3};
  SourceTable shadowed = rowid_table();
  shadowed.rowid_name.clear();
  EXPECT_EQ(cut_table(shadowed, outline, 1), whole);
}

// Candidates stand for equal runs of bytes, so a range is as large as the number of runs in it.
std::vector<std::size_t> runs_per_range(const std::vector<Extent>& extents,
                                        const std::vector<std::int64_t>& rowids) {
  std::vector<std::size_t> runs;
  for (const Extent& extent : extents) {
    const auto& range = std::get<RowidRange>(extent);
    // A run ends with its candidate; the last run of the table ends with the table.
    auto count =
        static_cast<std::size_t>(std::count_if(rowids.begin(), rowids.end(), [&](std::int64_t rowid) {
          return range.first <= rowid && rowid <= range.last;
        }));
    if (range.last == INT64_MAX) ++count;
    runs.push_back(count);
  }
  return runs;
}

TEST(CutTable, BalancesBytesWhateverTheKeysLookLike) {
  std::vector<std::int64_t> dense;
  for (int i = 0; i < 999; ++i) dense.push_back(i);
  std::vector<std::int64_t> skewed = dense;
  for (std::size_t i = 500; i < skewed.size(); ++i) {
    skewed[i] = (std::int64_t{1} << 62) + static_cast<std::int64_t>(i) * 1000000007;
  }
  std::vector<std::int64_t> negative = dense;
  for (std::size_t i = 0; i < negative.size(); ++i)
    negative[i] = INT64_MIN + static_cast<std::int64_t>(i * i);
  for (const auto& rowids : {dense, skewed, negative}) {
    for (const std::uint64_t range_bytes : {1u, 100u, 333u, 1000u, 9999u, 50000u}) {
      const std::vector<Extent> extents = cut(rowids, 100000, range_bytes);
      if (extents.size() == 1) continue;
      EXPECT_EQ(extents.size(), std::min<std::size_t>(100000 / range_bytes + 1, 1000));
      const std::vector<std::size_t> runs = runs_per_range(extents, rowids);
      const auto [least, most] = std::minmax_element(runs.begin(), runs.end());
      EXPECT_LE(*most - *least, 1u) << "range size " << range_bytes;
    }
  }
}

TEST(CutTable, CutsTablesWithoutRowidByTheirKeys) {
  SourceTable table;
  table.without_rowid = true;
  TableOutline outline;
  outline.bytes = 300;
  outline.key_tuples = {{TextValue{"a"}, std::int64_t{1}}, {TextValue{"b"}, std::int64_t{1}}};
  const std::vector<Extent> extents = cut_table(table, outline, 100);
  EXPECT_TRUE(covers_table(extents));
  ASSERT_EQ(extents.size(), 3u);
  EXPECT_EQ(std::get<PrimaryKeyRange>(extents[1]).from, outline.key_tuples[0]);
  EXPECT_EQ(std::get<PrimaryKeyRange>(extents[1]).until, outline.key_tuples[1]);
}

// ---- patterns ----

TEST(Pattern, MatchesWholeNames) {
  const std::vector<std::tuple<const char*, const char*, bool>> cases = {
      {"", "", true},
      {"", "a", false},
      {"*", "", true},
      {"*", "anything", true},
      {"?", "", false},
      {"?", "a", true},
      {"?", "ab", false},
      {"a*", "abc", true},
      {"a*", "ba", false},
      {"*c", "abc", true},
      {"*b*", "abc", true},
      {"a?c", "abc", true},
      {"a?c", "ac", false},
      {"a*b*c", "aXbYbZc", true},
      {"a*b*c", "acb", false},
      {"**", "x", true},
      {"*a*a*a*b", "aaaaaaaaaaaaaaaaaaaaaaaac", false},
      {"User", "user", true},
      {"user", "USER", true},
      {"user", "users", false},
      {"a.c", "abc", false},
      {"[ab]", "a", false},
      {"a_c", "abc", false},
      {"%", "x", false},
      {"*?", "", false},
      {"*?", "x", true},
      {"?*?", "x", false},
  };
  for (const auto& [pattern, name, expected] : cases) {
    EXPECT_EQ(matches_pattern(pattern, name), expected) << pattern << " and " << name;
  }
}

TEST(Pattern, AQuestionMarkIsOneCharacterOfAnyAlphabet) {
  EXPECT_TRUE(matches_pattern("caf?", "café"));
  EXPECT_TRUE(matches_pattern("?", "😀"));
  EXPECT_FALSE(matches_pattern("??", "é"));
}

// ---- the plan of a schema ----

class PlanTest : public ::testing::Test {
 protected:
  const MigrationPlan& plan(const std::string& sql, PlanOptions options = {}) {
    const std::filesystem::path path = folder_ / "source.db";
    testing::Writer(path).run(sql);
    const Snapshot snapshot(path, 1);
    std::map<std::string, TableOutline> outlines;
    for (const SourceTable& table : snapshot.catalog().tables) {
      outlines.emplace(table.name, snapshot.outline(table));
    }
    plan_ = plan_migration(snapshot.catalog(), outlines, options);
    return plan_;
  }

  [[nodiscard]] const TablePlan& table(const std::string& source) const {
    for (const TablePlan& table : plan_.tables) {
      if (table.source == source) return table;
    }
    throw std::runtime_error("no table " + source);
  }

  // The statements that make objects of the kind, in the order of the plan.
  [[nodiscard]] std::vector<std::string> statements(const std::string& kind) const {
    std::vector<std::string> found;
    for (const Step& step : plan_.steps) {
      if (step.object.kind == kind) found.push_back(step.sql);
    }
    return found;
  }

  [[nodiscard]] std::vector<ObjectOutcome> left_out(const std::string& kind) const {
    std::vector<ObjectOutcome> found;
    for (const ObjectOutcome& object : plan_.left_out) {
      if (object.kind == kind) found.push_back(object);
    }
    return found;
  }

  // What every left-out object owes the user.
  void expect_explained(const ObjectOutcome& object) {
    EXPECT_FALSE(object.created);
    EXPECT_FALSE(object.reason.empty()) << object.kind << " " << object.name;
    EXPECT_FALSE(object.proposal.empty()) << object.kind << " " << object.name;
    EXPECT_FALSE(object.sql.empty()) << object.kind << " " << object.name;
  }

  testing::Folder folder_;
  MigrationPlan plan_;
};

using Statements = std::vector<std::string>;

TEST_F(PlanTest, MakesBareTablesWithIdentityAndNotNull) {
  plan(
      R"(CREATE TABLE "Order" (id INTEGER PRIMARY KEY, "a""b" TEXT NOT NULL, ctid TEXT, price DECIMAL(10,2)))");
  EXPECT_EQ(create_table_sql(table("Order")), R"(CREATE TABLE "public"."Order" (
  "id" bigint NOT NULL GENERATED BY DEFAULT AS IDENTITY (SEQUENCE NAME "public"."Order_id_seq"),
  "a""b" text NOT NULL,
  "ctid_" text,
  "price" numeric))");
  EXPECT_EQ(table("Order").row_key, RowKey::ordered_integer);
  EXPECT_EQ(table("Order").key_columns, (std::vector<std::size_t>{0}));
}

TEST_F(PlanTest, KnowsWhichIntegerKeysAreTheRowid) {
  plan(
      "CREATE TABLE a (id INT PRIMARY KEY); CREATE TABLE b (id INTEGER PRIMARY KEY DESC);"
      "CREATE TABLE c (id INTEGER, PRIMARY KEY (id DESC)); CREATE TABLE d (x TEXT, id INTEGER PRIMARY KEY);"
      "CREATE TABLE e (id INTEGER PRIMARY KEY, x) WITHOUT ROWID; CREATE TABLE f (x)");
  EXPECT_EQ(table("a").row_key, RowKey::columns);
  EXPECT_EQ(table("a").columns[0].identity_sequence, "");
  EXPECT_EQ(table("b").row_key, RowKey::columns);
  EXPECT_EQ(table("c").row_key, RowKey::ordered_integer);
  EXPECT_EQ(table("d").row_key, RowKey::ordered_integer);
  EXPECT_EQ(table("d").key_columns, (std::vector<std::size_t>{1}));
  EXPECT_EQ(table("e").row_key, RowKey::columns);
  EXPECT_EQ(table("e").columns[0].identity_sequence, "");
  EXPECT_TRUE(table("e").columns[0].not_null);
  EXPECT_EQ(table("f").row_key, RowKey::rowid);
}

TEST_F(PlanTest, IsOrderedLargestFirstThenByName) {
  plan(
      "CREATE TABLE b (x); CREATE TABLE a (x); CREATE TABLE big (x);"
      "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 2000)"
      "INSERT INTO big SELECT hex(randomblob(50)) FROM n");
  ASSERT_EQ(plan_.tables.size(), 3u);
  EXPECT_EQ(plan_.tables[0].source, "big");
  EXPECT_EQ(plan_.tables[1].source, "a");
  EXPECT_EQ(plan_.tables[2].source, "b");
  for (std::size_t i = 0; i < 3; ++i) EXPECT_EQ(plan_.tables[i].id, static_cast<TableId>(i));
}

TEST_F(PlanTest, PrimaryKeysAreInKeyOrder) {
  plan("CREATE TABLE t (a TEXT, b TEXT, c TEXT, PRIMARY KEY (c, a))");
  EXPECT_EQ(
      statements("primary_key"),
      (Statements{R"(CREATE UNIQUE INDEX "t_pkey" ON "public"."t" ("c", "a"))",
                  R"(ALTER TABLE "public"."t" ADD CONSTRAINT "t_pkey" PRIMARY KEY USING INDEX "t_pkey")"}));
  EXPECT_EQ(table("t").key_columns, (std::vector<std::size_t>{2, 0}));
}

TEST_F(PlanTest, IndexesKeepTheirOrderAndDirection) {
  plan(
      "CREATE TABLE t (a TEXT, b TEXT, c INTEGER); CREATE INDEX mixed ON t (c DESC, a, b DESC);"
      "CREATE UNIQUE INDEX one ON t (a, c)");
  EXPECT_EQ(statements("index"),
            (Statements{R"(CREATE INDEX "mixed" ON "public"."t" ("c" DESC, "a", "b" DESC))"}));
  EXPECT_EQ(statements("unique"), (Statements{R"(CREATE UNIQUE INDEX "one" ON "public"."t" ("a", "c"))"}));
}

TEST_F(PlanTest, UniqueConstraintsBecomeConstraints) {
  plan("CREATE TABLE t (a TEXT UNIQUE, b TEXT, c TEXT, UNIQUE (c, b))");
  const Statements sql = statements("unique");
  ASSERT_EQ(sql.size(), 4u);
  const auto has = [&](const std::string& part) {
    return std::any_of(sql.begin(), sql.end(), [&](const std::string& one) { return contains(one, part); });
  };
  EXPECT_TRUE(has(R"("t_a_key" ON "public"."t" ("a"))"));
  EXPECT_TRUE(has(R"("t_c_b_key" ON "public"."t" ("c", "b"))"));
  EXPECT_TRUE(has(R"(ADD CONSTRAINT "t_a_key" UNIQUE USING INDEX "t_a_key")"));
  EXPECT_TRUE(has(R"(ADD CONSTRAINT "t_c_b_key" UNIQUE USING INDEX "t_c_b_key")"));
}

TEST_F(PlanTest, PartialExpressionAndCollatedIndexesAreTranslated) {
  plan(
      "CREATE TABLE t (a TEXT, b INTEGER, n TEXT COLLATE NOCASE, r TEXT COLLATE RTRIM);"
      "CREATE UNIQUE INDEX part ON t (a) WHERE b > 0; CREATE INDEX expr ON t (a, b + 1);"
      "CREATE INDEX fold ON t (n, b DESC); CREATE INDEX trimmed ON t (r);"
      "CREATE UNIQUE INDEX foldu ON t (a COLLATE NOCASE)");
  const auto has = [&](const char* kind, const std::string& part) {
    const std::vector<std::string> sql = statements(kind);
    return std::any_of(sql.begin(), sql.end(), [&](const std::string& one) { return contains(one, part); });
  };
  EXPECT_TRUE(has("unique", R"(CREATE UNIQUE INDEX "part" ON "public"."t" ("a") WHERE )"));
  EXPECT_TRUE(has("index", R"(CREATE INDEX "expr" ON "public"."t" ("a", ()"));
  EXPECT_TRUE(has("index", R"(lower("n" COLLATE "C"), "b" DESC))"));
  EXPECT_TRUE(has("index", R"(rtrim("r", ' ')"));
  EXPECT_TRUE(has("unique", R"(lower("a" COLLATE "C"))"));
  EXPECT_TRUE(left_out("index").empty());
  EXPECT_TRUE(left_out("unique").empty());
}

TEST_F(PlanTest, IndexesThatCannotBeTranslatedAreLeftOutWithAProposal) {
  plan(
      "CREATE TABLE t (a TEXT, b INTEGER); CREATE UNIQUE INDEX part ON t (a) WHERE unicode(a) > 1;"
      "CREATE INDEX expr ON t (printf('%s', a))");
  EXPECT_TRUE(statements("index").empty());
  EXPECT_TRUE(statements("unique").empty());
  for (const char* kind : {"index", "unique"}) {
    const std::vector<ObjectOutcome> objects = left_out(kind);
    ASSERT_EQ(objects.size(), 1u) << kind;
    expect_explained(objects[0]);
  }
}

TEST_F(PlanTest, CollationsOfNumbersDoNotMatter) {
  plan("CREATE TABLE t (a INTEGER COLLATE NOCASE); CREATE INDEX i ON t (a)");
  EXPECT_EQ(statements("index").size(), 1u);
}

TEST_F(PlanTest, IndexNamesStayClearOfTablesAndEachOther) {
  const std::string long_name(70, 'i');
  plan(
      "CREATE TABLE t (a TEXT, b TEXT, PRIMARY KEY (a)); CREATE TABLE t_pkey (x);"
      "CREATE INDEX " +
      long_name + "_one ON t (a); CREATE INDEX " + long_name + "_two ON t (b)");
  std::set<std::string> names = {"t", "t_pkey"};
  for (const Step& step : plan_.steps) {
    if (step.phase != StepPhase::index) continue;
    EXPECT_LE(step.object.name.size(), kNameBytesMax);
    EXPECT_TRUE(names.insert(step.object.name).second) << step.object.name;
  }
  EXPECT_EQ(names.size(), 5u);
}

TEST_F(PlanTest, ForeignKeysKeepColumnOrderAndActions) {
  plan(
      "CREATE TABLE p (x TEXT, y TEXT, PRIMARY KEY (y, x));"
      "CREATE TABLE c (a TEXT, b TEXT, FOREIGN KEY (b, a) REFERENCES p (y, x) ON DELETE CASCADE "
      "ON UPDATE SET NULL)");
  const Statements sql = statements("foreign_key");
  ASSERT_EQ(sql.size(), 2u);
  EXPECT_EQ(sql[0],
            R"(ALTER TABLE "public"."c" ADD CONSTRAINT "c_b_a_fkey" FOREIGN KEY ("b", "a") REFERENCES )"
            R"("public"."p" ("y", "x") ON UPDATE SET NULL ON DELETE CASCADE NOT VALID)");
  EXPECT_EQ(sql[1], R"(ALTER TABLE "public"."c" VALIDATE CONSTRAINT "c_b_a_fkey")");
}

TEST_F(PlanTest, ForeignKeysWithoutColumnsMeanTheParentsPrimaryKeyInKeyOrder) {
  plan(
      "CREATE TABLE p (x TEXT, y TEXT, PRIMARY KEY (y, x));"
      "CREATE TABLE c (a TEXT, b TEXT, FOREIGN KEY (a, b) REFERENCES p);"
      "CREATE TABLE d (p_id INTEGER REFERENCES q); CREATE TABLE q (id INTEGER PRIMARY KEY)");
  const Statements sql = statements("foreign_key");
  ASSERT_EQ(sql.size(), 4u);
  EXPECT_TRUE(contains(sql[0], R"(FOREIGN KEY ("a", "b") REFERENCES "public"."p" ("y", "x"))")) << sql[0];
  EXPECT_TRUE(contains(sql[2], R"(FOREIGN KEY ("p_id") REFERENCES "public"."q" ("id"))")) << sql[2];
}

TEST_F(PlanTest, ForeignKeysFindTheirParentWithoutCase) {
  plan(
      R"(CREATE TABLE "Parent" ("Id" INTEGER PRIMARY KEY); CREATE TABLE c (p INTEGER REFERENCES PARENT (ID)))");
  const Statements sql = statements("foreign_key");
  ASSERT_EQ(sql.size(), 2u);
  EXPECT_TRUE(contains(sql[0], R"(REFERENCES "public"."Parent" ("Id"))")) << sql[0];
}

TEST_F(PlanTest, ForeignKeysToTheirOwnTableAndInCircles) {
  plan(
      "CREATE TABLE a (id INTEGER PRIMARY KEY, up INTEGER REFERENCES a, b INTEGER REFERENCES b);"
      "CREATE TABLE b (id INTEGER PRIMARY KEY, a INTEGER REFERENCES a)");
  EXPECT_EQ(statements("foreign_key").size(), 6u);
}

TEST_F(PlanTest, ForeignKeysThatCannotBeAreLeftOut) {
  plan(
      "CREATE TABLE nokey (x TEXT); CREATE TABLE p (id INTEGER PRIMARY KEY);"
      "CREATE TABLE c (a INTEGER REFERENCES missing (id), b INTEGER REFERENCES nokey,"
      " d INTEGER REFERENCES p (no_such_column))");
  EXPECT_TRUE(statements("foreign_key").empty());
  const std::vector<ObjectOutcome> objects = left_out("foreign_key");
  ASSERT_EQ(objects.size(), 3u);
  std::string reasons;
  for (const ObjectOutcome& object : objects) {
    EXPECT_EQ(object.table, "c");
    EXPECT_FALSE(object.reason.empty());
    EXPECT_TRUE(contains(object.sql, "REFERENCES"));
    reasons += object.reason;
  }
  EXPECT_TRUE(contains(reasons, R"("missing" does not arrive)"));
}

TEST_F(PlanTest, ForeignKeysToTablesThatWereNotSelectedAreLeftOut) {
  PlanOptions options;
  options.exclude = {"p"};
  plan("CREATE TABLE p (id INTEGER PRIMARY KEY); CREATE TABLE c (a INTEGER REFERENCES p)", options);
  EXPECT_TRUE(statements("foreign_key").empty());
  EXPECT_EQ(left_out("foreign_key").size(), 1u);
}

TEST_F(PlanTest, ForeignKeysOfOneTableHaveDifferentNames) {
  const std::string column(60, 'c');
  plan(
      "CREATE TABLE p (id INTEGER PRIMARY KEY); CREATE TABLE q (id INTEGER PRIMARY KEY);"
      "CREATE TABLE t (a INTEGER REFERENCES p REFERENCES q, " +
      column + "1 INTEGER REFERENCES p, " + column + "2 INTEGER REFERENCES p)");
  std::set<std::string> names;
  for (const Step& step : plan_.steps) {
    if (step.object.kind != "foreign_key" || step.phase != StepPhase::constraint) continue;
    EXPECT_LE(step.object.name.size(), kNameBytesMax);
    names.insert(step.object.name);
  }
  EXPECT_EQ(names.size(), 4u);
}

TEST_F(PlanTest, TheProposalForOrphansFindsThem) {
  plan("CREATE TABLE p (id INTEGER PRIMARY KEY); CREATE TABLE c (a INTEGER REFERENCES p)");
  for (const Step& step : plan_.steps) {
    if (step.object.kind != "foreign_key" || step.phase != StepPhase::validate) continue;
    ASSERT_EQ(step.remedies.size(), 1u);
    EXPECT_EQ(step.remedies.front().sqlstate, "23503");
    EXPECT_TRUE(
        contains(step.remedies.front().proposal,
                 R"(SELECT c.* FROM "public"."c" c WHERE c."a" IS NOT NULL AND NOT EXISTS (SELECT 1 FROM )"
                 R"("public"."p" p WHERE p."id" = c."a"))"))
        << step.remedies.front().proposal;
  }
}

TEST_F(PlanTest, WhatDoesNotArriveAsAnObjectIsListed) {
  plan(
      "CREATE TABLE t (id INTEGER PRIMARY KEY, a TEXT DEFAULT (datetime('now', 'localtime')), b INTEGER "
      "CHECK (b > unicode(a)), c DEFAULT NULL, d AS (id + 1) STORED); CREATE VIEW v AS SELECT unicode('a'); "
      "CREATE "
      "TRIGGER tr AFTER INSERT ON t BEGIN SELECT "
      "1; END;"
      "CREATE VIRTUAL TABLE search USING fts5(body, content='')");
  for (const char* kind : {"default", "check", "generated", "view", "trigger", "table"}) {
    const std::vector<ObjectOutcome> objects = left_out(kind);
    ASSERT_EQ(objects.size(), 1u) << kind;
    expect_explained(objects[0]);
  }
  EXPECT_EQ(left_out("default")[0].name, "a");
  EXPECT_EQ(left_out("trigger")[0].table, "t");
}

TEST_F(PlanTest, TheWordCheckInNamesTextsAndCommentsIsNoConstraint) {
  plan(
      "CREATE TABLE t (id INTEGER PRIMARY KEY, \"check\" TEXT, checked TEXT DEFAULT 'check', [check it] TEXT,"
      " check_date TEXT -- CHECK (x)\n /* check */)");
  EXPECT_TRUE(left_out("check").empty());
}

TEST_F(PlanTest, KindsAreSpelledAsInTheContract) {
  plan(
      "CREATE TABLE p (id INTEGER PRIMARY KEY, u TEXT UNIQUE, a DEFAULT 1 CHECK (a), g AS (a) VIRTUAL);"
      "CREATE TABLE c (p INTEGER REFERENCES p, q REFERENCES none); CREATE INDEX i ON c (p);"
      "CREATE INDEX j ON c (p + 1); CREATE VIEW v AS SELECT 1; CREATE VIRTUAL TABLE s USING fts5(body)");
  const std::set<std::string> contract = {"primary_key", "unique",  "index",     "foreign_key", "check",
                                          "not_null",    "default", "generated", "identity",    "view",
                                          "trigger",     "table",   "column"};
  for (const Step& step : plan_.steps) {
    EXPECT_TRUE(step.object.kind.empty() || contract.contains(step.object.kind)) << step.object.kind;
  }
  for (const ObjectOutcome& object : plan_.left_out) {
    EXPECT_TRUE(contract.contains(object.kind)) << object.kind;
  }
}

TEST_F(PlanTest, SelectsByPatternWithoutCase) {
  PlanOptions options;
  options.include = {"USER*", "log?"};
  options.exclude = {"*_tmp"};
  plan("CREATE TABLE users (x); CREATE TABLE users_tmp (x); CREATE TABLE log1 (x); CREATE TABLE other (x)",
       options);
  std::set<std::string> names;
  for (const TablePlan& table : plan_.tables) names.insert(table.source);
  EXPECT_EQ(names, (std::set<std::string>{"users", "log1"}));
}

TEST_F(PlanTest, APatternWithoutAMatchIsAUsageError) {
  for (const bool include : {true, false}) {
    PlanOptions options;
    (include ? options.include : options.exclude) = {"nothing*"};
    try {
      plan("CREATE TABLE IF NOT EXISTS t (x)", options);
      ADD_FAILURE();
    } catch (const Error& error) {
      EXPECT_EQ(error.fault(), Fault::usage);
      EXPECT_TRUE(contains(error.describe(), "nothing*")) << error.describe();
    }
  }
}

TEST_F(PlanTest, RangesAreAsLargeAsAsked) {
  PlanOptions options;
  options.range_bytes = 64 << 10;
  plan(
      "CREATE TABLE t (id INTEGER PRIMARY KEY, x TEXT);"
      "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 20000)"
      "INSERT INTO t SELECT i, hex(randomblob(25)) FROM n",
      options);
  const std::size_t expected = table("t").bytes / options.range_bytes + 1;
  EXPECT_GT(expected, 10u);
  EXPECT_EQ(table("t").extents.size(), expected);
  EXPECT_TRUE(covers_table(table("t").extents));
}

TEST_F(PlanTest, TheSchemaIsTheOneAskedFor) {
  PlanOptions options;
  options.schema = "My \"schema\"";
  plan("CREATE TABLE t (id INTEGER PRIMARY KEY)", options);
  EXPECT_TRUE(contains(script_of(plan_), R"(CREATE SCHEMA IF NOT EXISTS "My ""schema""";)"));
  EXPECT_TRUE(contains(create_table_sql(plan_.tables[0]), R"("My ""schema"""."t")"));
}

TEST_F(PlanTest, AnEmptyDatabaseIsAPlanWithoutTables) {
  plan("SELECT 1");
  EXPECT_TRUE(plan_.tables.empty());
  EXPECT_TRUE(plan_.steps.empty());
}

TEST_F(PlanTest, IsTheSameForTheSameFile) {
  const std::string sql =
      "CREATE TABLE b (x REFERENCES a); CREATE TABLE a (id INTEGER PRIMARY KEY, y UNIQUE)";
  const std::string first = script_of(plan(sql));
  const std::string second = script_of(plan("SELECT 1"));
  EXPECT_EQ(first, second);
}

}  // namespace
}  // namespace sluice
