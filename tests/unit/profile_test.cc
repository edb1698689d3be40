#include "engine/app/profile.h"

#include <gtest/gtest.h>

#include <algorithm>

#include "engine/model/error.h"
#include "engine/plan/planner.h"
#include "unit/sqlite_fixture.h"

namespace sluice {
namespace {

using testing::Folder;
using testing::Writer;

// A file, the plan that its declarations ask for, and what a look at its values finds.
class Profiled {
 public:
  explicit Profiled(const std::string& sql, std::uint64_t range_bytes = 0, std::size_t readers = 2) {
    const auto path = folder_.path() / "source.db";
    Writer(path).run(sql);
    snapshot_ = std::make_unique<Snapshot>(path, readers);
    std::map<std::string, TableOutline> outlines;
    for (const SourceTable& table : snapshot_->catalog().tables) {
      outlines.emplace(table.name, snapshot_->outline(table));
    }
    PlanOptions options;
    options.range_bytes = range_bytes;
    plan_ = plan_migration(snapshot_->catalog(), outlines, options);
  }

  [[nodiscard]] SourceFacts facts() { return profile_source(*snapshot_, plan_, console_, stop_); }
  [[nodiscard]] TableFacts facts(const std::string& table) { return facts().at(table); }

  [[nodiscard]] ColumnPlan& column(const std::string& table, const std::string& name) {
    for (TablePlan& planned : plan_.tables) {
      for (ColumnPlan& column : planned.columns) {
        if (planned.source == table && column.source == name) return column;
      }
    }
    throw std::runtime_error("no column " + table + "." + name);
  }

  Snapshot& snapshot() { return *snapshot_; }
  MigrationPlan& plan() { return plan_; }
  Console& console() { return console_; }
  StopRequest& stop() { return stop_; }

 private:
  Folder folder_;
  std::unique_ptr<Snapshot> snapshot_;
  MigrationPlan plan_;
  Console console_{ProgressMode::none};
  StopRequest stop_;
};

const Example& example_of(const ColumnFacts& facts, Surprise surprise) {
  static const Example kNone{"none", "none"};
  const auto& example = facts.examples[static_cast<std::size_t>(surprise)];
  return example ? *example : kNone;
}

std::string rows(const std::string& table, int count, const std::string& values) {
  return "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < " + std::to_string(count) +
         ") INSERT INTO " + table + " SELECT " + values + " FROM n;";
}

TEST(ProfileSource, CountsEveryColumnOfEveryTable) {
  Profiled profiled(
      "CREATE TABLE a(id INTEGER PRIMARY KEY, n INT, d DATETIME);"
      "INSERT INTO a VALUES (5, 1, '2024-01-01'), (7, 'x', NULL), (9, 2.5, 'soon');"
      "CREATE TABLE b(k TEXT PRIMARY KEY, v) WITHOUT ROWID; INSERT INTO b VALUES ('x', x'00');"
      "CREATE TABLE empty(x);");
  const SourceFacts facts = profiled.facts();
  ASSERT_EQ(facts.size(), 3U);
  const TableFacts& a = facts.at("a");
  EXPECT_EQ(a.rows, 3U);
  ASSERT_EQ(a.columns.size(), 3U);
  EXPECT_EQ(a.columns[0].integer_min, 5);
  EXPECT_EQ(a.columns[0].integer_max, 9);
  EXPECT_EQ(a.columns[1].texts, 1U);
  EXPECT_EQ(a.columns[1].reals, 1U);
  EXPECT_EQ(example_of(a.columns[1], Surprise::class_not_declared).key, "id = 7");
  EXPECT_EQ(a.columns[2].of_form(TextForm::date), 1U);
  EXPECT_EQ(example_of(a.columns[2], Surprise::form_not_declared).value, "'soon'");
  EXPECT_EQ(facts.at("b").columns[1].blobs, 1U);
  EXPECT_EQ(facts.at("empty").rows, 0U);
  EXPECT_EQ(facts.at("empty").columns.size(), 1U);
}

TEST(ProfileSource, FindsTheSameWhateverTheRangesAndReaders) {
  const std::string sql = "CREATE TABLE t(id INTEGER PRIMARY KEY, v INT, x TEXT);" +
                          rows("t", 20'000, "i, iif(i % 1000 = 0, 'odd ' || i, i * 7), hex(randomblob(40))");
  Profiled whole(sql, std::uint64_t{1} << 40, 1);
  const TableFacts expected = whole.facts("t");
  EXPECT_EQ(expected.columns[1].texts, 20U);
  Profiled cut(sql, 65'536, 4);
  ASSERT_GT(cut.plan().tables.front().extents.size(), 4U);
  for (int round = 0; round < 5; ++round) {
    const TableFacts found = cut.facts("t");
    EXPECT_EQ(found.rows, expected.rows);
    for (std::size_t i = 0; i < 3; ++i) {
      EXPECT_EQ(found.columns[i].integers, expected.columns[i].integers);
      EXPECT_EQ(found.columns[i].integer_max, expected.columns[i].integer_max);
      EXPECT_EQ(found.columns[i].texts, expected.columns[i].texts);
      EXPECT_EQ(found.columns[i].bytes_total, expected.columns[i].bytes_total);
    }
    EXPECT_EQ(example_of(found.columns[1], Surprise::class_not_declared).key, "id = 1000");
  }
}

TEST(ProfileSource, DoesNotReadWhatAStrictTableGuarantees) {
  Profiled profiled(
      "CREATE TABLE s(id INTEGER PRIMARY KEY, i INT, r REAL, b BLOB, t TEXT, a ANY) STRICT;"
      "INSERT INTO s VALUES (3, 1, 0.5, x'00', 'x', 'y'), (4, 2, 1, x'01', 'z', 7);"
      "CREATE TABLE w(k INTEGER, i INTEGER, t TEXT, PRIMARY KEY (i, k)) STRICT, WITHOUT ROWID;"
      "INSERT INTO w VALUES (1, 2, 'x');"
      "CREATE TABLE n(i INT PRIMARY KEY, b BLOB) STRICT; INSERT INTO n VALUES (1, x''), (2, x'');");
  const SourceFacts facts = profiled.facts();
  const std::vector<ColumnFacts>& s = facts.at("s").columns;
  const std::vector<bool> examined = {true, false, false, false, true, true};
  for (std::size_t i = 0; i < examined.size(); ++i) EXPECT_EQ(s[i].examined, examined[i]) << i;
  EXPECT_EQ(s[0].integer_max, 4);
  EXPECT_EQ(s[1].integers, 0U);
  EXPECT_EQ(s[4].texts, 2U);
  EXPECT_EQ(s[5].integers, 1U);
  EXPECT_EQ(facts.at("w").rows, 1U);
  EXPECT_FALSE(facts.at("w").columns[0].examined);
  EXPECT_EQ(facts.at("w").columns[2].texts, 1U);
  EXPECT_EQ(facts.at("n").rows, 2U);
  EXPECT_FALSE(facts.at("n").columns[0].examined);
}

TEST(ProfileSource, NeverAsksSqliteForTheColumnsItSkips) {
  // A file whose overflow pages are gone: reading the blobs fails, all else is there.
  const Folder folder;
  const auto path = folder.path() / "source.db";
  std::int64_t page_bytes = 0;
  {
    const Writer writer(path);
    writer.run(
        "PRAGMA journal_mode = DELETE; CREATE TABLE s(t TEXT, i INT, b BLOB) STRICT;"
        "INSERT INTO s VALUES ('x', 1, zeroblob(100000)), ('y', 2, zeroblob(100000));");
    page_bytes = writer.integer("PRAGMA page_size");
  }
  // Each overflow page begins with the number of the next one: let them lead nowhere.
  std::string bytes = testing::bytes_of(path);
  for (std::size_t at = 2 * static_cast<std::size_t>(page_bytes); at < bytes.size();
       at += static_cast<std::size_t>(page_bytes)) {
    bytes.replace(at, 4, 4, '\x7f');
  }
  testing::put_bytes(path, bytes);
  Snapshot snapshot(path, 1);
  const MigrationPlan plan =
      plan_migration(snapshot.catalog(), {{"s", snapshot.outline(snapshot.catalog().tables.front())}}, {});
  Console console(ProgressMode::none);
  const StopRequest stop;
  const SourceFacts facts = profile_source(snapshot, plan, console, stop);
  EXPECT_EQ(facts.at("s").rows, 2U);
  EXPECT_EQ(facts.at("s").columns[0].texts, 2U);
  // The same file does not survive being asked for everything.
  MigrationPlan doubtful = plan;
  doubtful.tables.front().columns[2].type = PgType::text;
  EXPECT_THROW(profile_source(snapshot, doubtful, console, stop), Error);
}

TEST(ProfileSource, ExaminesAStrictColumnThatIsToBecomeSomethingElse) {
  Profiled profiled("CREATE TABLE s(i INT, j INT) STRICT; INSERT INTO s VALUES (1, 70000);");
  profiled.column("s", "i").type = PgType::boolean;
  const TableFacts facts = profiled.facts("s");
  EXPECT_EQ(facts.columns[0].integers_zero_or_one, 1U);
  EXPECT_FALSE(facts.columns[1].examined);
}

TEST(ProfileSource, CountsNullsInKeys) {
  Profiled profiled(
      "CREATE TABLE t(k TEXT PRIMARY KEY, v); INSERT INTO t VALUES ('a', 1), (NULL, 2), (NULL, 3);");
  const TableFacts facts = profiled.facts("t");
  EXPECT_EQ(facts.columns[0].nulls, 2U);
  EXPECT_EQ(example_of(facts.columns[0], Surprise::null_in_key).key, "rowid = 2");
}

TEST(ProfileSource, ShowsIntegersBeyondDoublesOnlyBesideReals) {
  Profiled profiled(
      "CREATE TABLE t(a INT, b NUMERIC, c); INSERT INTO t VALUES (9007199254740993, 9007199254740993, 0.5), "
      "(1, 0.5, 0.5);");
  const TableFacts facts = profiled.facts("t");
  EXPECT_EQ(facts.columns[0].integers_beyond_double, 1U);
  EXPECT_EQ(example_of(facts.columns[0], Surprise::integer_beyond_double).key, "none");
  EXPECT_EQ(example_of(facts.columns[1], Surprise::integer_beyond_double).key, "rowid = 1");
}

// As --keep-rowid plans it: a column that the source does not have.
TEST(ProfileSource, PassesOverAColumnForTheHiddenRowid) {
  Profiled profiled("CREATE TABLE t(k UNIQUE); INSERT INTO t VALUES (1), ('1');");
  TablePlan& table = profiled.plan().tables.front();
  ColumnPlan rowid;
  rowid.source = rowid.target = "rowid";
  rowid.type = PgType::int8;
  rowid.place = 1;
  table.columns.push_back(rowid);
  table.row_key = RowKey::ordered_integer;
  table.key_columns = {1};
  const SourceFacts facts = profiled.facts();
  ASSERT_EQ(facts.at("t").columns.size(), 1U);
  EXPECT_EQ(facts.at("t").columns[0].integers, 1U);
  const auto collisions =
      find_key_collisions(profiled.snapshot(), profiled.plan(), facts, profiled.console(), profiled.stop());
  ASSERT_EQ(collisions.size(), 1U);
  EXPECT_EQ(collisions[0].rows, 1U);
}

TEST(ProfileSource, StopsWhenAsked) {
  Profiled profiled("CREATE TABLE t(a); INSERT INTO t VALUES (1);");
  profiled.stop().stop();
  try {
    static_cast<void>(profiled.facts());
    FAIL() << "it went on";
  } catch (const Error& error) {
    EXPECT_EQ(error.fault(), Fault::interrupted);
  }
}

// ---- misfits ----

TEST(FindMisfits, NamesTheFirstRowAndCountsTheRest) {
  Profiled profiled(
      "CREATE TABLE t(id INTEGER PRIMARY KEY, n INT, d DATE, x);"
      "INSERT INTO t VALUES (1, 1, '2024-01-01', 1), (2, 'a', '2024-02-30', 2), (3, 2.5, NULL, 3), (4, 'b', "
      "'x', 4);");
  const std::vector<PlannedColumn> columns = {{"t", "d"}, {"t", "n"}, {"t", "x"}};
  const auto misfits =
      find_misfits(profiled.snapshot(), profiled.plan(), columns, profiled.console(), profiled.stop());
  ASSERT_EQ(misfits.size(), 2U);
  EXPECT_EQ(misfits[0].column, "n");
  EXPECT_EQ(misfits[0].rows, 3U);
  EXPECT_EQ(misfits[0].reason, Misfit::storage_class);
  EXPECT_EQ(misfits[0].key, "id = 2");
  EXPECT_EQ(misfits[1].column, "d");
  EXPECT_EQ(misfits[1].rows, 2U);
  EXPECT_EQ(misfits[1].reason, Misfit::not_a_date);
}

TEST(FindMisfits, JudgesConversionsAndModifiers) {
  Profiled profiled(
      "CREATE TABLE t(id INTEGER PRIMARY KEY, d DATETIME, s VARCHAR(3));"
      "INSERT INTO t VALUES (1, 1700000000, 'abc'), (2, 'x', 'abcd'), (3, 1700000000.5, 'äöü');");
  profiled.column("t", "d").conversion.epoch = EpochUnit::seconds;
  ColumnPlan& text = profiled.column("t", "s");
  text.type = PgType::varchar;
  text.modifier.length = 3;
  const auto misfits =
      find_misfits(profiled.snapshot(), profiled.plan(), profiled.console(), profiled.stop());
  ASSERT_EQ(misfits.size(), 2U);
  EXPECT_EQ(misfits[0].column, "d");
  EXPECT_EQ(misfits[0].rows, 1U);
  EXPECT_EQ(misfits[0].key, "id = 2");
  EXPECT_EQ(misfits[1].column, "s");
  EXPECT_EQ(misfits[1].rows, 1U);
}

TEST(FindMisfits, LooksOnlyWhereTheFactsCannotTell) {
  Profiled profiled("CREATE TABLE t(n INT); INSERT INTO t VALUES ('a');");
  EXPECT_TRUE(
      find_misfits(profiled.snapshot(), profiled.plan(), profiled.console(), profiled.stop()).empty());
}

// ---- keys ----

// "table(columns): rows" of every collision.
std::vector<std::string> collisions_of(Profiled& profiled,
                                       std::uint64_t memory_max = std::uint64_t{1} << 20) {
  const SourceFacts facts = profiled.facts();
  std::vector<std::string> list;
  for (const KeyCollision& collision : find_key_collisions(profiled.snapshot(), profiled.plan(), facts,
                                                           profiled.console(), profiled.stop(), memory_max)) {
    std::string columns;
    for (const std::string& column : collision.columns) columns += (columns.empty() ? "" : ",") + column;
    list.push_back(collision.table + "(" + columns + "): " + std::to_string(collision.rows));
  }
  return list;
}

using Collisions = std::vector<std::string>;

TEST(FindKeyCollisions, FindsANumberBesideItsText) {
  Profiled profiled(
      "CREATE TABLE t(k UNIQUE, v); INSERT INTO t VALUES (1, 0), ('1', 0), (2, 0), ('x', 0), (NULL, 0), "
      "(NULL, 0);");
  EXPECT_EQ(collisions_of(profiled), Collisions{"t(k): 1"});
}

TEST(FindKeyCollisions, FindsTwoSpellingsOfOneMoment) {
  Profiled profiled(
      "CREATE TABLE t(k DATETIME PRIMARY KEY) WITHOUT ROWID;"
      "INSERT INTO t VALUES ('2024-01-01'), ('2024-01-01 00:00'), ('2024-01-01T00:00:00.000'), "
      "('2024-01-02');");
  EXPECT_EQ(collisions_of(profiled), Collisions{"t(k): 2"});
}

TEST(FindKeyCollisions, FindsUuidsOfDifferentCaseAndBooleansOfDifferentWords) {
  Profiled profiled(
      "CREATE TABLE u(k UUID UNIQUE);"
      "INSERT INTO u VALUES ('a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11'), "
      "('A0EEBC99-9C0B-4EF8-BB6D-6BB9BD380A11');"
      "CREATE TABLE b(k BOOLEAN, v INT, UNIQUE (k, v)); INSERT INTO b VALUES ('t', 1), (1, 1), ('t', 2), (0, "
      "1), ('f', 2);");
  auto found = collisions_of(profiled);
  std::sort(found.begin(), found.end());
  EXPECT_EQ(found, (Collisions{"b(k,v): 1", "u(k): 1"}));
}

TEST(FindKeyCollisions, FindsThePrimaryKeyAndItsIndexOnce) {
  Profiled profiled(
      "CREATE TABLE t(a, b, PRIMARY KEY (b, a)); CREATE UNIQUE INDEX i ON t(b, a);"
      "INSERT INTO t VALUES (1, 'x'), ('1', 'x');");
  EXPECT_EQ(collisions_of(profiled), Collisions{"t(b,a): 1"});
}

TEST(FindKeyCollisions, LeavesPartialAndExpressionIndexesAlone) {
  Profiled profiled(
      "CREATE TABLE t(k, v); INSERT INTO t VALUES (1, 0), ('1', 0);"
      "CREATE UNIQUE INDEX p ON t(k) WHERE v > 5; CREATE UNIQUE INDEX e ON t(k || typeof(k));");
  EXPECT_EQ(collisions_of(profiled), Collisions{});
}

// Equal for the server though their bytes differ.
TEST(FindKeyCollisions, ComparesAsTheServerDoes) {
  Profiled profiled(
      "CREATE TABLE t(k UNIQUE); INSERT INTO t VALUES ('1.5'), ('1.50'), ('1.51'), ('-0.0'), ('0.0');"
      "CREATE TABLE c(k TEXT UNIQUE); INSERT INTO c VALUES ('a'), ('a '), ('b');");
  profiled.column("c", "k").type = PgType::bpchar;
  ColumnPlan& number = profiled.column("t", "k");
  number.type = PgType::numeric;
  number.conversion.text_as_number = true;
  auto found = collisions_of(profiled);
  std::sort(found.begin(), found.end());
  EXPECT_EQ(found, (Collisions{"c(k): 1", "t(k): 2"}));
  number.type = PgType::float8;
  found = collisions_of(profiled);
  std::sort(found.begin(), found.end());
  EXPECT_EQ(found, (Collisions{"c(k): 1", "t(k): 2"}));
}

TEST(FindKeyCollisions, CountsOnlyRowsThatArrive) {
  Profiled profiled(
      "CREATE TABLE t(k DATE UNIQUE); INSERT INTO t VALUES ('x'), ('y'), ('2024-01-01'), ('+2024-01-01');");
  EXPECT_EQ(collisions_of(profiled), Collisions{"t(k): 1"});
}

// Every key twice, as text and as number, in a memory that holds a hundredth of them.
TEST(FindKeyCollisions, CountsTheSameInSeveralPasses) {
  const std::string sql =
      "CREATE TABLE t(k, UNIQUE (k));" + rows("t", 5000, "i") + rows("t", 3000, "CAST(i AS TEXT)");
  Profiled profiled(sql, 16'384);
  for (const std::uint64_t memory_max :
       {std::uint64_t{1} << 30, std::uint64_t{65'536}, std::uint64_t{1'280}}) {
    EXPECT_EQ(collisions_of(profiled, memory_max), Collisions{"t(k): 3000"}) << memory_max;
  }
}

// A key of two values takes no more memory than two digests, however many rows share it.
TEST(FindKeyCollisions, HoldsRepeatedKeysOnce) {
  std::string sql = "CREATE TABLE t(k BOOLEAN, v DATE, UNIQUE (k, v));";
  for (const char* word : {"t", "true", "y", "yes", "on", "1", "T", "TRUE", "Y", "YES", "ON"}) {
    sql += rows("t", 300, std::string("'") + word + "', date('2024-01-01', i || ' days')");
  }
  Profiled profiled(sql);
  EXPECT_EQ(collisions_of(profiled, 16 * 150), Collisions{"t(k,v): 3000"});
}

TEST(MayCollide, IsAcquittedByTheFactsAlone) {
  Profiled profiled(
      "CREATE TABLE t(i INTEGER UNIQUE, r REAL UNIQUE, x TEXT UNIQUE, b BLOB UNIQUE, u UUID UNIQUE, d DATE "
      "UNIQUE, n UNIQUE);"
      "INSERT INTO t VALUES (1, 2, 'a', x'00', 'a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11', '2024-01-01', 1),"
      "(2, 3, 'A', x'01', 'b0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11', '2024-01-02', 2.5);");
  const TableFacts facts = profiled.facts("t");
  for (const ColumnPlan& column : profiled.plan().tables.front().columns) {
    EXPECT_FALSE(may_collide(column, facts.columns[column.place])) << column.source;
    ColumnPlan converted = column;
    converted.conversion.text_as_number = true;
    EXPECT_TRUE(may_collide(converted, facts.columns[column.place])) << column.source;
  }
}

// What the facts acquit, a count of the keys acquits as well.
TEST(MayCollide, NeverAcquitsAKeyThatCollides) {
  const std::vector<std::string> values = {"1",
                                           "'1'",
                                           "1.5",
                                           "'1.5'",
                                           "x'31'",
                                           "'2024-01-01'",
                                           "'+2024-01-01'",
                                           "'2024-01-01 00:00:00'",
                                           "'2024-01-01T00:00'",
                                           "'t'",
                                           "'true'",
                                           "0",
                                           "'0'",
                                           "4611686018427387904.0",
                                           "4611686018427388000",
                                           "9007199254740993",
                                           "'a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11'",
                                           "'{a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11}'",
                                           "'12:00'",
                                           "'12:00:00'",
                                           "'2024-01-01T00:00:00Z'",
                                           "'2024-01-01 01:00:00+01'",
                                           "'[1]'",
                                           "'[ 1]'"};
  std::string sql;
  for (std::size_t i = 0; i < values.size(); ++i) {
    for (std::size_t j = 0; j < i; ++j) {
      const std::string table = "t" + std::to_string(i) + "_" + std::to_string(j);
      sql += "CREATE TABLE " + table + "(k UNIQUE); INSERT INTO " + table + " VALUES (" + values[i] + "), (" +
             values[j] + ");";
    }
  }
  Profiled profiled("BEGIN;" + sql + "COMMIT;", 0, 1);
  int acquitted = 0;
  for (const PgTypeName& type : kPgTypeNames) {
    for (TablePlan& table : profiled.plan().tables) table.columns.front().type = type.type;
    const SourceFacts facts = profiled.facts();
    for (const TablePlan& table : profiled.plan().tables) {
      const ColumnPlan& column = table.columns.front();
      if (may_collide(column, facts.at(table.source).columns.front())) continue;
      // A type of the target's own is suspect by itself, so the keys are counted after all.
      MigrationPlan alone = profiled.plan();
      alone.tables = {table};
      alone.tables.front().columns.front().type_name = "its_own";
      const auto collisions =
          find_key_collisions(profiled.snapshot(), alone, facts, profiled.console(), profiled.stop());
      EXPECT_TRUE(collisions.empty()) << type.sql << ' ' << table.source;
      ++acquitted;
    }
  }
  EXPECT_GT(acquitted, 1000);
}

}  // namespace
}  // namespace sluice
