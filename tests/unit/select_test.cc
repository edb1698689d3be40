// SELECT and CREATE VIEW: what is read, in which shape, and what PostgreSQL is told. What the views show is
// compared on a real server by tests/pg/views_test.cc.

#include "engine/translate/sql_select.h"

#include <gtest/gtest.h>

#include <random>
#include <string>
#include <vector>

#include "engine/plan/generated.h"
#include "engine/translate/translate_view.h"

namespace sluice {
namespace {

// ---- the parser ----

ViewDefinition parsed(const std::string& sql) {
  ParsedView view = parse_view(sql);
  EXPECT_EQ(view.problem, "") << sql;
  return std::move(view.view);
}

TEST(SelectParser, ReadsNamesInAllFourQuotes) {
  const ViewDefinition view =
      parsed("CREATE TEMP VIEW IF NOT EXISTS main.[v w] (\"a\", `b`, [c], d) AS SELECT 1, 2, 3, 4;");
  EXPECT_EQ(view.name, "v w");
  EXPECT_EQ(view.columns, (std::vector<std::string>{"a", "b", "c", "d"}));
  ASSERT_EQ(view.select->cores.size(), 1u);
  EXPECT_EQ(view.select->cores.front().columns.size(), 4u);
}

TEST(SelectParser, KeepsWhatNamesAColumn) {
  const ViewDefinition view =
      parsed("CREATE VIEW v AS SELECT a  +  1, count( * ), b AS c, d e, t.*, * FROM t");
  const std::vector<ResultColumn>& columns = view.select->cores.front().columns;
  ASSERT_EQ(columns.size(), 6u);
  EXPECT_EQ(columns[0].written, "a  +  1");
  EXPECT_EQ(columns[1].written, "count( * )");
  EXPECT_EQ(columns[2].alias, "c");
  EXPECT_EQ(columns[3].alias, "e");
  EXPECT_EQ(columns[4].table, "t");
  EXPECT_EQ(columns[5].expression, nullptr);
}

TEST(SelectParser, ReadsJoinsOfEveryKind) {
  const ViewDefinition view = parsed(
      "CREATE VIEW v AS SELECT 1 FROM a, b CROSS JOIN c LEFT OUTER JOIN d USING (x, y) NATURAL JOIN e "
      "JOIN (f JOIN g ON 1) ON a.x = 1 JOIN (SELECT 2) AS s FULL JOIN h INDEXED BY i RIGHT JOIN k NOT "
      "INDEXED");
  const std::vector<Joined>& joins = view.select->cores.front().from;
  ASSERT_EQ(joins.size(), 9u);
  EXPECT_EQ(joins[1].kind, JoinKind::cross);
  EXPECT_EQ(joins[2].kind, JoinKind::inner);
  EXPECT_EQ(joins[3].kind, JoinKind::left);
  EXPECT_EQ(joins[3].columns, (std::vector<std::string>{"x", "y"}));
  EXPECT_TRUE(joins[4].natural);
  EXPECT_EQ(joins[5].source->joins.size(), 2u);
  EXPECT_NE(joins[5].on, nullptr);
  EXPECT_NE(joins[6].source->select, nullptr);
  EXPECT_EQ(joins[6].source->alias, "s");
  EXPECT_EQ(joins[7].kind, JoinKind::full);
  EXPECT_EQ(joins[8].kind, JoinKind::right);
}

TEST(SelectParser, ReadsCompoundsInTheirOrder) {
  const ViewDefinition view = parsed(
      "CREATE VIEW v AS SELECT 1 UNION ALL SELECT 2 EXCEPT VALUES (3), (4) INTERSECT SELECT 5 UNION SELECT 6 "
      "ORDER BY 1 DESC NULLS LAST LIMIT 2, 3");
  EXPECT_EQ(view.select->operators,
            (std::vector<SetOperator>{SetOperator::union_all, SetOperator::except, SetOperator::intersect,
                                      SetOperator::union_distinct}));
  EXPECT_EQ(view.select->cores[2].values.size(), 2u);
  ASSERT_EQ(view.select->order_by.size(), 1u);
  EXPECT_TRUE(view.select->order_by[0].descending);
  EXPECT_TRUE(view.select->order_by[0].nulls_written);
  EXPECT_FALSE(view.select->order_by[0].nulls_first);
  EXPECT_EQ(view.select->limit->integer, 3);
  EXPECT_EQ(view.select->offset->integer, 2);
}

TEST(SelectParser, FindsTablesWhereverTheyStand) {
  const ViewDefinition view = parsed(
      "CREATE VIEW v AS WITH w AS (SELECT * FROM A) SELECT (SELECT 1 FROM b), EXISTS (SELECT 1 FROM c) FROM "
      "w "
      "JOIN (d JOIN e) WHERE x IN (SELECT y FROM f) GROUP BY (SELECT 1 FROM g) ORDER BY (SELECT 1 FROM h)");
  EXPECT_EQ(tables_in(*view.select), (std::vector<std::string>{"a", "b", "c", "w", "d", "e", "f", "g", "h"}));
}

TEST(SelectParser, SaysWhyItCannotRead) {
  const std::vector<std::pair<std::string, std::string>> cases = {
      {"CREATE TABLE t(a)", "it cannot be read at TABLE"},
      {"CREATE VIEW v AS SELECT", "it ends in the middle of an expression"},
      {"CREATE VIEW v AS SELECT 1 FROM", "it ends too early"},
      {"CREATE VIEW v AS SELECT 1 x y", "it cannot be read at y"},
      {"CREATE VIEW v AS SELECT * FROM json_each(a)", "it reads rows from the function json_each"},
      {"CREATE VIEW v AS SELECT sum(a) OVER w FROM t WINDOW w AS ()", "it names a window"},
      {"CREATE VIEW v AS SELECT ?1", "it holds a bind parameter"},
  };
  for (const auto& [sql, problem] : cases) EXPECT_EQ(parse_view(sql).problem, problem) << sql;
}

TEST(SelectParser, TakesAnyNestingAndAnyBytes) {
  std::string deep = "SELECT 1";
  for (int i = 0; i < 5000; ++i) deep = "SELECT (" + deep + ")";
  EXPECT_EQ(parse_view("CREATE VIEW v AS " + deep).problem, "it is nested too deeply");
  std::string joins = "CREATE VIEW v AS SELECT 1 FROM ";
  joins.append(5000, '(');
  EXPECT_EQ(parse_view(joins).problem, "it is nested too deeply");

  const std::string whole =
      "CREATE VIEW v AS WITH w(a) AS (SELECT 1) SELECT DISTINCT a, count(*) FILTER (WHERE a > 1) FROM w LEFT "
      "JOIN "
      "(x JOIN y USING (z)) ON w.a = y.b WHERE a IN (SELECT b FROM c) GROUP BY 1 HAVING 1 ORDER BY a LIMIT 3";
  ASSERT_EQ(parse_view(whole).problem, "");
  for (std::size_t size = 0; size < whole.size(); ++size) parse_view(whole.substr(0, size));
  std::mt19937 random(7);
  for (int i = 0; i < 5000; ++i) {
    std::string changed = whole;
    for (int k = 0; k < 3; ++k) changed[random() % changed.size()] = static_cast<char>(random());
    parse_view(changed);
  }
}

// ---- the translator ----

class ViewTranslatorTest : public ::testing::Test {
 protected:
  ViewTranslatorTest() {
    source_.name = "t";
    add("id", "INTEGER", PgType::int8, true);
    add("n", "INT", PgType::int8, false);
    add("price", "DECIMAL(9,2)", PgType::numeric, false);
    add("x", "REAL", PgType::float8, false);
    add("name", "TEXT", PgType::text, false);
    add("Day", "DATE", PgType::date, false);
    add("at", "DATETIME", PgType::timestamp, false);
    source_.columns[0].key_position = 1;
    source_.rowid_alias = 0;
    plan_.source = plan_.target = "t";
    plan_.schema = "public";
  }

  void add(const std::string& name, const std::string& declared, PgType type, bool not_null) {
    SourceColumn column;
    column.name = name;
    column.declared_type = declared;
    source_.columns.push_back(column);
    ColumnPlan planned;
    planned.source = planned.target = name;
    planned.declared_type = declared;
    planned.type = type;
    planned.not_null = not_null;
    planned.place = plan_.columns.size();
    plan_.columns.push_back(planned);
  }

  ViewTranslation translated(const std::string& select) {
    ViewTranslator translator;
    translator.add_table(source_, plan_);
    SourceObject view;
    view.name = "v";
    view.sql = "CREATE VIEW v AS " + select;
    return translator.translate(view, "\"public\".\"v\"", [](const std::string& name) { return name; });
  }

  SourceTable source_;
  TablePlan plan_;
};

TEST_F(ViewTranslatorTest, SpeaksPostgreSql) {
  const std::string from = " FROM \"public\".\"t\" AS \"t\"";
  const std::vector<std::pair<std::string, std::string>> cases = {
      {"SELECT [id], `name` FROM t", "SELECT \"t\".\"id\", \"t\".\"name\"" + from},
      {"SELECT n == 1 FROM t", "SELECT \"t\".\"n\" = 1" + from},
      {"SELECT ifnull(n, 0) FROM t", "SELECT coalesce(\"t\".\"n\", 0)" + from},
      {"SELECT sum(n), sum(x), avg(n) FROM t",
       "SELECT sum(\"t\".\"n\")::bigint, sum(\"t\".\"x\"), avg(\"t\".\"n\"::double precision)" + from},
      {"SELECT price * n FROM t",
       "SELECT \"t\".\"price\"::double precision * \"t\".\"n\"::double precision" + from},
      {"SELECT max(name) FROM t", "SELECT max(\"t\".\"name\" COLLATE \"C\") COLLATE \"default\"" + from},
      {"SELECT id FROM t ORDER BY n, id DESC",
       "SELECT \"t\".\"id\"" + from + " ORDER BY \"t\".\"n\" NULLS FIRST, \"t\".\"id\" DESC"},
      {"SELECT id FROM t LIMIT -1 OFFSET 0", "SELECT \"t\".\"id\"" + from},
      {"SELECT id FROM t WHERE at < DATETIME('2020-01-01')",
       "SELECT \"t\".\"id\"" + from + " WHERE \"t\".\"at\" < '2020-01-01 00:00:00'::timestamp"},
      {"SELECT id FROM t WHERE n", "SELECT \"t\".\"id\"" + from + " WHERE \"t\".\"n\" <> 0"},
      {"SELECT a.id FROM t a, t b",
       "SELECT \"a\".\"id\" FROM \"public\".\"t\" AS \"a\" CROSS JOIN \"public\".\"t\" AS \"b\""},
      {"SELECT (SELECT max(n) FROM t) FROM t AS T",
       "SELECT (SELECT max(\"t_1\".\"n\") FROM \"public\".\"t\" AS \"t_1\") FROM \"public\".\"t\" AS \"T\""},
  };
  for (const auto& [select, expected] : cases) {
    const ViewTranslation view = translated(select);
    EXPECT_EQ(view.select, expected) << select << "\n" << view.reason;
  }
}

TEST_F(ViewTranslatorTest, NamesColumnsAsSqliteDoes) {
  const std::vector<std::pair<std::string, std::vector<std::string>>> cases = {
      {"SELECT DAY, id, 1+1, name AS N FROM t", {"Day", "id", "1+1", "N"}},
      {"SELECT id, id, ID, id AS x FROM t", {"id", "id:1", "id:2", "x"}},
      {"SELECT a.id, b.* FROM t a JOIN (SELECT id, n FROM t) b", {"id", "id:1", "n"}},
      {"SELECT count(*) FROM t", {"count(*)"}},
      {"VALUES (1, 2)", {"column1", "column2"}},
  };
  for (const auto& [select, columns] : cases) EXPECT_EQ(translated(select).columns, columns) << select;
}

TEST_F(ViewTranslatorTest, OrdersViewsByWhatTheyRead) {
  std::vector<SourceObject> views(4);
  const char* const texts[] = {"CREATE VIEW a AS SELECT * FROM b",
                               "CREATE VIEW b AS SELECT (SELECT 1 FROM C)", "CREATE VIEW c AS SELECT 1",
                               "CREATE VIEW d AS SELECT * FROM d"};
  std::vector<const SourceObject*> pointers;
  for (std::size_t i = 0; i < views.size(); ++i) {
    views[i].name = std::string(1, static_cast<char>('a' + i));
    views[i].sql = texts[i];
    pointers.push_back(&views[i]);
  }
  EXPECT_EQ(order_of_views(pointers), (std::vector<std::size_t>{2, 1, 0, 3}));
}

TEST_F(ViewTranslatorTest, LooksIntoNoColumnWhoseValuesAreConverted) {
  plan_.columns[6].conversion.epoch = EpochUnit::seconds;
  EXPECT_TRUE(translated("SELECT at, id FROM t").translated());
  EXPECT_NE(translated("SELECT at + 1 FROM t").reason.find("are converted"), std::string::npos);
  EXPECT_NE(translated("SELECT id FROM t WHERE at > 5").reason.find("are converted"), std::string::npos);
  EXPECT_NE(translated("SELECT q.at || '' FROM (SELECT at FROM t) q").reason.find("are converted"),
            std::string::npos);
}

TEST_F(ViewTranslatorTest, PassesOnWhatNoExpressionMayRead) {
  plan_.columns[3].type = PgType::float4;
  EXPECT_TRUE(translated("SELECT x FROM t").translated());
  EXPECT_FALSE(translated("SELECT x * 2 FROM t").translated());
  EXPECT_FALSE(translated("SELECT DISTINCT x FROM t").translated());
}

// ---- generated columns ----

class GeneratedColumns : public ViewTranslatorTest {
 protected:
  // The column g with that expression, and maybe others.
  Generation generated(const std::string& expression, const std::string& others = "") {
    source_.sql =
        "CREATE TABLE t(id INTEGER PRIMARY KEY, n INT, price DECIMAL(9,2), x REAL, name TEXT, Day DATE, "
        "at DATETIME, g AS (" +
        expression + ")" + others + ")";
    return generation_of(source_, plan_, plan_.columns[7]);
  }
};

TEST_F(GeneratedColumns, AreMadeWhereNothingCanDiffer) {
  add("g", "TEXT", PgType::text, false);
  add("h", "TEXT", PgType::text, false);
  source_.columns[7].generated = source_.columns[8].generated = Generated::stored;
  EXPECT_EQ(generated("lower(name)").sql, "lower(\"name\" COLLATE \"C\")");
  EXPECT_EQ(generated_expression(source_, plan_, plan_.columns[7]), "lower(\"name\" COLLATE \"C\")");
  EXPECT_EQ(generated_expression(source_, plan_, plan_.columns[4]), "");
  // Another generated column is written out, since PostgreSQL takes none inside of a generated one.
  EXPECT_EQ(generated("h || '!'", ", h TEXT AS (name || '?')").sql, "\"name\" || '?' || '!'");
  // One that arrives as a plain column may be named.
  EXPECT_EQ(generated("h || '!'", ", h TEXT AS (printf('%s', name))").sql, "\"h\" || '!'");
}

TEST_F(GeneratedColumns, ArePlainWithTheReasonWhereSomethingCould) {
  add("g", "INTEGER", PgType::int8, false);
  source_.columns[7].generated = Generated::stored;
  const Generation sum = generated("n + 1");
  EXPECT_EQ(sum.sql, "");
  EXPECT_EQ(sum.nearly, "\"n\" + 1");
  EXPECT_NE(sum.reason.find("fails beyond 64 bits"), std::string::npos) << sum.reason;
  EXPECT_EQ(generated("unicode(name)").reason, "the function unicode is not translated");
  EXPECT_EQ(generated("date('now')").reason, "date changes from moment to moment");
  EXPECT_EQ(generated("length(name)").sql, "length(\"name\")");
  plan_.columns[7].conversion.empty_as_null = true;
  EXPECT_EQ(generated("length(name)").reason, "its values are converted on their way");
}

TEST_F(ViewTranslatorTest, GivesItsReasonInOneLineWhateverTheNames) {
  const std::string reason = translated("SELECT * FROM \"a\n  b\"").reason;
  EXPECT_NE(reason, "");
  EXPECT_EQ(reason.find('\n'), std::string::npos) << reason;
}

}  // namespace
}  // namespace sluice
