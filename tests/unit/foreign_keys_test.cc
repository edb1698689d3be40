#include "engine/plan/foreign_keys.h"

#include "engine/plan/planner.h"
#include "unit/sqlite_fixture.h"

namespace sluice {
namespace {

using Names = std::vector<std::string>;

class PlannedForeignKeys : public ::testing::Test {
 protected:
  void read(const std::string& sql) {
    testing::Writer(folder_ / "a.db").run(sql);
    const Snapshot snapshot(folder_ / "a.db", 1);
    catalog_ = snapshot.catalog();
    std::map<std::string, TableOutline> outlines;
    for (const SourceTable& table : catalog_.tables) outlines[table.name] = snapshot.outline(table);
    plan_ = plan_migration(catalog_, outlines, {});
    for (const SourceTable& table : catalog_.tables) {
      TableFacts& facts = facts_[table.name];
      facts.rows = 10;
      facts.columns.resize(table.columns.size());
      for (ColumnFacts& column : facts.columns) column.examined = true;
    }
  }

  ParentKey parent_of(const std::string& table, std::size_t place = 0) const {
    return find_parent_key(catalog_, testing::table_named(catalog_, table).foreign_keys.at(place));
  }

  ColumnFacts& facts_of(const std::string& table, std::size_t place) {
    return facts_.at(table).columns.at(place);
  }

  std::vector<ObjectOutcome> align() {
    return align_foreign_key_types(catalog_, facts_, plan_.tables,
                                   [](const TablePlan&, const ColumnPlan&) { return true; });
  }

  PgType type_of(const std::string& table, const std::string& column) const {
    for (const TablePlan& plan : plan_.tables) {
      if (plan.source != table) continue;
      for (const ColumnPlan& planned : plan.columns) {
        if (planned.source == column) return planned.type;
      }
    }
    throw std::runtime_error("no column " + column);
  }

  std::vector<std::string> keys() const {
    std::vector<std::string> found;
    for (const Step& step : plan_.steps) {
      if (step.object.kind == "foreign_key" && step.phase == StepPhase::constraint) {
        found.push_back(step.sql.substr(step.sql.find("FOREIGN KEY")));
      }
    }
    return found;
  }

  testing::Folder folder_;
  Catalog catalog_;
  MigrationPlan plan_;
  SourceFacts facts_;
};

TEST_F(PlannedForeignKeys, FindTheParentsKeyAsSqliteDoes) {
  read(R"(
      CREATE TABLE Parent(Id INTEGER PRIMARY KEY, "Code" TEXT UNIQUE, a, b, c, UNIQUE(b, a));
      CREATE UNIQUE INDEX partly ON parent(c) WHERE c > 0;
      CREATE TABLE pair(x, y, PRIMARY KEY(y, x));
      CREATE TABLE heap(x);
      CREATE VIEW seen AS SELECT 1 AS id;
      CREATE VIRTUAL TABLE words USING fts5(x, content='');
      CREATE TABLE c(p REFERENCES PARENT, q REFERENCES parent(code), r, s, t,
                     FOREIGN KEY (r, s) REFERENCES parent(a, B),
                     FOREIGN KEY (r, s) REFERENCES pair,
                     FOREIGN KEY (r) REFERENCES pair,
                     FOREIGN KEY (r) REFERENCES heap,
                     FOREIGN KEY (r) REFERENCES heap(rowid),
                     FOREIGN KEY (r) REFERENCES parent(c),
                     FOREIGN KEY (r) REFERENCES seen(id),
                     FOREIGN KEY (r) REFERENCES words(x),
                     FOREIGN KEY (r) REFERENCES gone(x)))");
  EXPECT_EQ(parent_of("c", 0).columns, (Names{"Id"}));
  EXPECT_EQ(parent_of("c", 1).columns, (Names{"Code"}));
  EXPECT_EQ(parent_of("c", 2).columns, (Names{"a", "b"})) << "beside r and s, whatever the index's order";
  EXPECT_EQ(parent_of("c", 3).columns, (Names{"y", "x"})) << "in the order of the key";
  for (std::size_t place = 0; place < 4; ++place) EXPECT_EQ(parent_of("c", place).obstacle, "") << place;
  EXPECT_EQ(parent_of("c", 4).obstacle, "1 columns cannot refer to 2");
  EXPECT_EQ(parent_of("c", 5).obstacle, "the parent has no primary key");
  EXPECT_EQ(parent_of("c", 6).obstacle, "the parent has no column \"rowid\"");
  EXPECT_EQ(parent_of("c", 7).obstacle,
            "no primary key or whole unique index of the parent is on \"c\" alone");
  EXPECT_EQ(parent_of("c", 8).obstacle, "it is a view");
  EXPECT_EQ(parent_of("c", 9).obstacle, "it is a virtual table without rows of its own");
  EXPECT_EQ(parent_of("c", 10).obstacle, "the source has no such table");
  EXPECT_EQ(keys().size(), 4U);
}

TEST_F(PlannedForeignKeys, SayWhenTheyAreDeferred) {
  read(R"(
      CREATE TABLE p(id INTEGER PRIMARY KEY);
      CREATE TABLE c(a, FOREIGN KEY (a) REFERENCES p DEFERRABLE INITIALLY IMMEDIATE,
                     FOREIGN KEY (a) REFERENCES p MATCH FULL,
                     FOREIGN KEY (a) REFERENCES p(id) DEFERRABLE INITIALLY DEFERRED,
                     FOREIGN KEY (a) REFERENCES p(id) NOT DEFERRABLE INITIALLY DEFERRED,
                     FOREIGN KEY (a) REFERENCES p(id) DEFERRABLE))");
  const std::string key = "FOREIGN KEY (\"a\") REFERENCES \"public\".\"p\" (\"id\")";
  EXPECT_EQ(keys(), (Names{key + " DEFERRABLE NOT VALID", key + " NOT VALID",
                           key + " DEFERRABLE INITIALLY DEFERRED NOT VALID", key + " NOT VALID",
                           key + " DEFERRABLE NOT VALID"}));
}

TEST_F(PlannedForeignKeys, ToATextThatIgnoresCaseAreListed) {
  read(R"(
      CREATE TABLE p(k TEXT COLLATE NOCASE PRIMARY KEY, n INTEGER COLLATE NOCASE UNIQUE);
      CREATE TABLE c(k TEXT REFERENCES p, n INTEGER REFERENCES p(n)))");
  ASSERT_EQ(keys().size(), 1U) << "case means nothing to numbers";
  EXPECT_NE(keys()[0].find("(\"n\")"), std::string::npos);
  const auto listed = std::find_if(plan_.left_out.begin(), plan_.left_out.end(),
                                   [](const ObjectOutcome& object) { return object.kind == "foreign_key"; });
  ASSERT_NE(listed, plan_.left_out.end());
  EXPECT_NE(listed->reason.find("by NOCASE"), std::string::npos) << listed->reason;
  EXPECT_NE(listed->proposal.find("citext"), std::string::npos);
}

TEST_F(PlannedForeignKeys, TakeTheParentsTypeWhereEveryValueFits) {
  read(R"(
      CREATE TABLE p(id INTEGER PRIMARY KEY);
      CREATE TABLE c(untyped REFERENCES p, wrong TEXT REFERENCES p, never TEXT REFERENCES p);
      CREATE TABLE g(up REFERENCES c(untyped)))");
  facts_of("c", 0).integers = 10;
  facts_of("c", 1).texts = 1;
  facts_of("c", 1).integers = 9;
  ASSERT_EQ(type_of("c", "untyped"), PgType::text);
  const auto outcomes = align();
  EXPECT_EQ(type_of("c", "untyped"), PgType::int8);
  EXPECT_EQ(type_of("c", "wrong"), PgType::text) << "a text does not fit, and an identity stays an integer";
  EXPECT_EQ(type_of("c", "never"), PgType::int8) << "no value at all fits everywhere";
  EXPECT_EQ(type_of("g", "up"), PgType::text) << "c.untyped is not unique, so no key refers to it";
  ASSERT_EQ(outcomes.size(), 2U);
  EXPECT_EQ(outcomes[0].reason, "bigint and not text, as is \"p\".\"id\", to which it refers");
  EXPECT_TRUE(outcomes[0].created);
}

TEST_F(PlannedForeignKeys, TakeTextsOfDigitsForNumbersWhenAllOfThemAre) {
  read(R"(
      CREATE TABLE p(id INTEGER PRIMARY KEY);
      CREATE TABLE c(all_digits TEXT REFERENCES p, some TEXT REFERENCES p))");
  for (const std::size_t place : {0U, 1U}) {
    facts_of("c", place).texts = 10;
    facts_of("c", place).forms_examined = 10;
    facts_of("c", place).forms[static_cast<std::size_t>(TextForm::integer)] = 10;
    facts_of("c", place).forms[static_cast<std::size_t>(TextForm::plain_integer)] = place == 0 ? 10 : 9;
  }
  EXPECT_EQ(align().size(), 1U);
  EXPECT_EQ(type_of("c", "all_digits"), PgType::int8);
  EXPECT_EQ(type_of("c", "some"), PgType::text);
  for (const TablePlan& plan : plan_.tables) {
    if (plan.source != "c") continue;
    EXPECT_TRUE(plan.columns[0].conversion.text_as_number);
    EXPECT_FALSE(plan.columns[1].conversion.text_as_number);
  }
}

TEST_F(PlannedForeignKeys, NeverChangeTheParentForOneChild) {
  read(R"(
      CREATE TABLE p(code INTEGER UNIQUE);
      CREATE TABLE words(code TEXT REFERENCES p(code));
      CREATE TABLE numbers(code INTEGER REFERENCES p(code));
      CREATE TABLE names(name TEXT UNIQUE);
      CREATE TABLE codes(name INTEGER REFERENCES names(name)))");
  facts_of("p", 0).integers = 10;
  facts_of("words", 0).texts = 10;
  facts_of("numbers", 0).integers = 3;
  facts_of("names", 0).texts = 3;
  facts_of("codes", 0).integers = 3;
  const auto outcomes = align();
  EXPECT_EQ(type_of("p", "code"), PgType::int8);
  EXPECT_EQ(type_of("words", "code"), PgType::text);
  EXPECT_EQ(type_of("numbers", "code"), PgType::int8);
  EXPECT_EQ(type_of("codes", "name"), PgType::text);
  EXPECT_EQ(outcomes.size(), 1U);
}

TEST_F(PlannedForeignKeys, LeaveAloneWhatTheUserDecided) {
  read("CREATE TABLE p(id INTEGER PRIMARY KEY); CREATE TABLE c(p REFERENCES p)");
  facts_of("c", 0).integers = 10;
  EXPECT_TRUE(
      align_foreign_key_types(catalog_, facts_, plan_.tables, [](const TablePlan&, const ColumnPlan&) {
        return false;
      }).empty());
  EXPECT_EQ(type_of("c", "p"), PgType::text);
  facts_of("c", 0).examined = false;
  EXPECT_TRUE(align().empty()) << "and nothing is known";
}

}  // namespace
}  // namespace sluice
