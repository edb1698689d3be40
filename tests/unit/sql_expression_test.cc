// SQL text as SQLite reads it: tokens, trees, and the clauses of CREATE TABLE and CREATE INDEX.

#include "engine/translate/sql_expression.h"

#include <gtest/gtest.h>

#include <random>
#include <string>
#include <utility>
#include <vector>

#include "engine/translate/sql_clauses.h"
#include "engine/translate/sql_tokens.h"
#include "engine/translate/translate.h"
#include "support/seed.h"

namespace sluice {
namespace {

std::string kinds(std::string_view sql) {
  std::string shown;
  for (const Token& token : tokenize(sql)) {
    if (!shown.empty()) shown += ' ';
    switch (token.kind) {
      case TokenKind::word:
        shown += "word:";
        break;
      case TokenKind::quoted_name:
        shown += "name:";
        break;
      case TokenKind::double_quoted:
        shown += "dq:";
        break;
      case TokenKind::string:
        shown += "string:";
        break;
      case TokenKind::blob:
        shown += "blob:";
        break;
      case TokenKind::integer:
        shown += "integer:";
        break;
      case TokenKind::hexadecimal:
        shown += "hex:";
        break;
      case TokenKind::real:
        shown += "real:";
        break;
      case TokenKind::symbol:
        break;
      case TokenKind::parameter:
        shown += "parameter:";
        break;
      case TokenKind::bad:
        shown += "bad:";
        break;
      case TokenKind::end:
        shown += "end";
        continue;
    }
    shown += unquoted(token);
  }
  return shown;
}

TEST(Tokenize, CutsAsSqliteDoes) {
  const std::vector<std::pair<std::string, std::string>> cases = {
      {"", "end"},
      {"a \"b\" `c` [d e]", "word:a dq:b name:c name:d e end"},
      {"'it''s' \"a\"\"b\" `a``b`", "string:it's dq:a\"b name:a`b end"},
      {"x'4142' X'' x", "blob:AB blob: word:x end"},
      {"0x1F 12 1.5 .5 5. 1e3 1E-3 .5e+2",
       "hex:0x1F integer:12 real:1.5 real:.5 real:5. real:1e3 real:1E-3 real:.5e+2 end"},
      {"a||b<<1>>2==3<>4!=5<=6>=7->8->>9",
       "word:a || word:b << integer:1 >> integer:2 == integer:3 <> integer:4 != "
       "integer:5 <= integer:6 >= integer:7 -> integer:8 ->> integer:9 end"},
      {"a -- to the end\nb /* in * between */ c /* open", "word:a word:b word:c end"},
      {"? ?1 :a @b $c", "parameter:? parameter:?1 parameter::a parameter:@b parameter:$c end"},
      {"t.a.b", "word:t . word:a . word:b end"},
      {"na\xc3\xafve $x", "word:na\xc3\xafve parameter:$x end"},
      {"'open", "bad:'open end"},
      {"[open", "bad:[open end"},
      {"x'4' a", "bad:x'4' end"},
      {"12ab c", "bad:12ab end"},
      {"a ! b", "word:a bad:! end"},
  };
  for (const auto& [sql, expected] : cases) EXPECT_EQ(kinds(sql), expected) << sql;
}

TEST(ParseExpression, FollowsThePrecedencesOfSqlite) {
  const std::vector<std::pair<std::string, std::string>> cases = {
      {"1 + 2 * 3", "(1 + (2 * 3))"},
      {"1 - 2 - 3", "((1 - 2) - 3)"},
      {"a or b and not c = d", "(a or (b and (not (c = d))))"},
      {"not a = b", "(not (a = b))"},
      {"1 + not 0 = 1", "(1 + (not (0 = 1)))"},
      {"a = b < c", "(a = (b < c))"},
      {"a < b & c", "(a < (b & c))"},
      {"a & b + c", "(a & (b + c))"},
      {"a * b || c", "(a * (b || c))"},
      {"- a || b", "((-a) || b)"},
      {"-5", "-5"},
      {"- -5", "5"},
      {"-9223372036854775808", "-9223372036854775808"},
      {"9223372036854775808", "9223372036854775808"},
      {"0x1F", "31"},
      {"0xFFFFFFFFFFFFFFFF", "-1"},
      {"a == b != c", "((a = b) <> c)"},
      {"a is not b", "(a is not b)"},
      {"a is distinct from b", "(a is not b)"},
      {"a is not distinct from b", "(a is b)"},
      {"a isnull", "(a is null)"},
      {"a not null and b notnull", "((a is not null) and (b is not null))"},
      {"a between 1 and 2 and c", "((a between 1 and 2) and c)"},
      {"a not between b + 1 and c or d", "((a not between (b + 1) and c) or d)"},
      {"a in (1, 2) = b", "((a in (1, 2)) = b)"},
      {"a not in ()", "(a not in ())"},
      {"a like b escape c || d", "(a like b escape (c || d))"},
      {"a not glob 'x*'", "(a not glob 'x*')"},
      {"a || b collate nocase = c", "((a || (b collate nocase)) = c)"},
      {"a collate nocase desc", "! it cannot be read at desc"},
      {"case when a then b else c end", "case(a, b, c else)"},
      {"case a when 1 then 2 end", "case_of(a, 1, 2)"},
      {"cast(a as decimal(10, 2)) + 1", "(cast(a as decimal(10,2)) + 1)"},
      {"coalesce(a, b, 1)", "coalesce(a, b, 1)"},
      {"Replace(a,'x','y')", "replace(a, 'x', 'y')"},
      {"count(*)", "count(*)"},
      {"t.a + main.t.b", "(t.a + t.b)"},
      {"(a, b) = (1, 2)", "(row(a, b) = row(1, 2))"},
      {"a -> '$.x' ->> 'y'", "((a -> '$.x') ->> 'y')"},
      {"current_timestamp", "current_timestamp"},
      {"~1 << 2", "((~1) << 2)"},
      {"(a /* ) */ + 1) -- x", "(a + 1)"},
      {"", "! it ends in the middle of an expression"},
      {"a +", "! it ends in the middle of an expression"},
      {"a b", "! it cannot be read at b"},
      {"(a", "! it ends in the middle of an expression"},
      {"a = ?", "! it holds a bind parameter"},
      {"a in (select 1)", "! it holds a subquery"},
      {"exists (select 1)", "! it holds a subquery"},
      {"not exists (select 1)", "! it holds a subquery"},
      {"(select max(a) from t)", "! it holds a subquery"},
      {"a in b", "! it looks into another table"},
      {"count(distinct a)", "! it holds an aggregate"},
      {"sum(a) filter (where a > 1)", "! it holds an aggregate"},
      {"row_number() over (order by a)", "! it holds a window function"},
      {"raise(abort, 'x')", "! it holds RAISE"},
      {"0x10000000000000000", "! it holds a hexadecimal number of more than 64 bits"},
      {"'open", "! it cannot be read at 'open"},
      {"select", "! it cannot be read at select"},
  };
  for (const auto& [sql, expected] : cases) {
    const ParsedExpression parsed = parse_expression(sql);
    EXPECT_EQ(parsed.tree == nullptr ? "! " + parsed.problem : to_string(*parsed.tree), expected) << sql;
  }
}

std::string repeated(std::string_view part, int times) {
  std::string all;
  for (int i = 0; i < times; ++i) all += part;
  return all;
}

TEST(ParseExpression, RefusesWhatIsNestedTooDeeply) {
  for (const char* part :
       {"(", "- ", "NOT ", "a(", "CASE WHEN ", "a + (", "a IN (", "CAST(", "a BETWEEN ", "~", "((a,"}) {
    const ParsedExpression parsed = parse_expression(repeated(part, 100'000) + "1");
    EXPECT_EQ(parsed.tree, nullptr) << part;
    EXPECT_NE(parsed.problem, "") << part;
  }
  for (const char* part : {" + 1", " AND 1", " COLLATE x", " ISNULL", " IS NOT 1"}) {
    EXPECT_EQ(parse_expression("1" + repeated(part, 100'000)).problem, "it is nested too deeply") << part;
  }
  EXPECT_NE(parse_expression(repeated("(", 80) + "1" + repeated(")", 80)).tree, nullptr);
  EXPECT_NE(parse_expression("1" + repeated(" AND 1", 150)).tree, nullptr);
}

// ---- clauses ----

std::string clauses_of(std::string_view sql) {
  const std::optional<TableClauses> found = find_clauses(sql);
  if (!found) return "?";
  std::string shown;
  for (const CheckClause& check : found->checks) {
    shown += "check " + check.name + "[" + check.column + "](" + check.expression + ") ";
  }
  for (const GeneratedClause& generated : found->generated) {
    shown += "as [" + generated.column + "](" + generated.expression +
             (generated.stored ? ") stored " : ") virtual ");
  }
  for (const CollateClause& collate : found->collations)
    shown += "collate [" + collate.column + "]" + collate.collation + " ";
  for (const ForeignKeyClause& key : found->foreign_keys) {
    shown += "key " + key.name + "[";
    for (const std::string& column : key.columns) shown += column + ";";
    shown += "]" + key.parent + (key.deferred ? " deferred " : " ");
  }
  return shown;
}

TEST(FindClauses, ReadsWhatTheCatalogDoesNotSay) {
  const std::vector<std::pair<std::string, std::string>> cases = {
      {"CREATE TABLE t (a)", ""},
      {"CREATE TABLE t (a INT CHECK (a > 0), b TEXT CHECK(b <> ')') CHECK (length(b) < 9))",
       "check [a](a > 0) check [b](b <> ')') check [b](length(b) < 9) "},
      {"create table if not exists main.\"t(\" (a, CONSTRAINT \"my check\" CHECK ((a) > (1)), CHECK(a<5) "
       "CHECK (a<6))",
       "check my check[]((a) > (1)) check [](a<5) check [](a<6) "},
      {"CREATE TABLE t (a DEFAULT 'CHECK (x)', b DEFAULT (check_it), \"check\" TEXT, [CHECK (y)] /* CHECK "
       "(z) */)",
       ""},
      {"CREATE TABLE t (a DECIMAL(10, 2) NOT NULL ON CONFLICT IGNORE DEFAULT -1.5 CHECK (a), b VARCHAR (9) "
       "UNIQUE)",
       "check [a](a) "},
      {"CREATE TABLE t (a, b AS (a * 2), c INT GENERATED ALWAYS AS (a || 'x') STORED NOT NULL, d AS (1) "
       "VIRTUAL)",
       "as [b](a * 2) virtual as [c](a || 'x') stored as [d](1) virtual "},
      {"CREATE TABLE t (a TEXT COLLATE NOCASE, b TEXT COLLATE \"my\" COLLATE RTRIM PRIMARY KEY DESC)",
       "collate [a]NOCASE collate [b]RTRIM "},
      {"CREATE TABLE t (a INTEGER PRIMARY KEY AUTOINCREMENT, b REFERENCES p, c CONSTRAINT fk REFERENCES p "
       "(x) ON "
       "DELETE CASCADE ON UPDATE SET NULL MATCH FULL DEFERRABLE INITIALLY DEFERRED, FOREIGN KEY (a, `b`) "
       "REFERENCES "
       "\"q q\" (x, y) NOT DEFERRABLE INITIALLY DEFERRED, CONSTRAINT k2 FOREIGN KEY (c) REFERENCES r "
       "DEFERRABLE)",
       "key [b;]p key fk[c;]p deferred key [a;b;]q q key k2[c;]r "},
      {"CREATE TABLE t (a TEXT, PRIMARY KEY (a), UNIQUE (a COLLATE NOCASE) ON CONFLICT REPLACE, CHECK (1)) "
       "WITHOUT "
       "ROWID, STRICT;",
       "check [](1) "},
      {"CREATE TEMP TABLE t(\n  a--x\n  INT CHECK--y\n(a>0)\n)", "check [a](a>0) "},
      {"CREATE TABLE t ('a' 'TEXT' CHECK ('a' = \"a\"))", "check [a]('a' = \"a\") "},
      {"CREATE TABLE t (a CONSTRAINT n1 CONSTRAINT n2 CHECK (a) NOT NULL, CONSTRAINT lonely)",
       "check n2[a](a) "},
      {"CREATE TABLE t (a DEFAULT CURRENT_TIMESTAMP ON UPDATE x)", "?"},
      {"CREATE TABLE t AS SELECT 1", "?"},
      {"CREATE VIRTUAL TABLE t USING fts5(a)", "?"},
      {"CREATE TABLE t (a CHECK (a > 0)", "?"},
      {"CREATE TABLE t (a CHECK)", "?"},
      {"CREATE TABLE t (a) garbage", "?"},
      {"", "?"},
  };
  for (const auto& [sql, expected] : cases) EXPECT_EQ(clauses_of(sql), expected) << sql;
}

std::string parts_of(std::string_view sql) {
  const std::optional<IndexParts> found = find_index_parts(sql);
  if (!found) return "?";
  std::string shown;
  for (const IndexPart& part : found->keys) {
    shown += "[" + part.expression + "]" + part.collation + (part.descending ? " desc " : " ");
  }
  return shown + (found->where.empty() ? "" : "where " + found->where);
}

TEST(FindIndexParts, ReadsKeysAndTheCondition) {
  const std::vector<std::pair<std::string, std::string>> cases = {
      {"CREATE INDEX i ON t (a)", "[a] "},
      {"create unique index if not exists main.\"i x\" on [t (] (a DESC, \"b,c\" COLLATE NOCASE ASC, "
       "lower(d, ','))",
       "[a] desc [\"b,c\"]NOCASE [lower(d, ',')] "},
      {"CREATE INDEX i ON t (a || b COLLATE nocase, (a) collate binary desc)",
       "[a || b COLLATE nocase] [(a)]binary desc "},
      {"CREATE INDEX i ON t (a) WHERE b IS NOT NULL AND c = ')' ;", "[a] where b IS NOT NULL AND c = ')'"},
      {"CREATE INDEX i ON t (a ASC NULLS LAST)", "[a] "},
      {"CREATE INDEX i ON t (desc, asc desc)", "[desc] [asc] desc "},
      {"CREATE INDEX i ON t (a,)", "?"},
      {"CREATE INDEX i ON t (a", "?"},
      {"CREATE INDEX i ON t (a) WHERE", "?"},
      {"CREATE INDEX i ON t (a) x", "?"},
      {"CREATE TABLE t (a)", "?"},
  };
  for (const auto& [sql, expected] : cases) EXPECT_EQ(parts_of(sql), expected) << sql;
}

// ---- garbage ----

void read_everything(const std::string& sql) {
  const Scope scope = {
      "t", {{"a", "a", PgType::int8, "INT", "", false}, {"b", "b", PgType::text, "TEXT", "", false}}};
  find_clauses(sql);
  find_index_parts(sql);
  for (const Translation& translation :
       {translate_condition(sql, scope), translate_key(sql, scope),
        translate_value(sql, scope, scope.columns[1]), translate_default(sql, scope.columns[0]),
        translate_default(sql, scope.columns[1])}) {
    EXPECT_NE(translation.sql.empty(), translation.reason.empty()) << sql;
  }
}

TEST(Garbage, NeverCrashesAndAlwaysHasAReason) {
  std::mt19937_64 random(testing::test_seed());
  const auto below = [&](std::size_t limit) { return static_cast<std::size_t>(random() % limit); };
  const std::string sound =
      "CREATE TABLE t (a INT CHECK (a BETWEEN 1 AND 2 OR b LIKE 'x%' ESCAPE '!'), b TEXT COLLATE NOCASE "
      "DEFAULT "
      "(lower(hex(randomblob(4))) || x'00'), c AS (CASE a WHEN 1 THEN CAST(b AS TEXT) ELSE substr(b, 1, 2) "
      "END) STORED, "
      "FOREIGN KEY (a) REFERENCES p (\"x\") ON DELETE SET NULL DEFERRABLE INITIALLY DEFERRED) -- end";
  for (std::size_t size = 0; size <= sound.size(); ++size) {
    read_everything(sound.substr(0, size));
    read_everything(sound.substr(size));
  }
  static const std::vector<std::string> words = {"a",
                                                 "b",
                                                 "1",
                                                 "0x",
                                                 "1e",
                                                 "'x'",
                                                 "\"a\"",
                                                 "[",
                                                 "]",
                                                 "`",
                                                 "(",
                                                 ")",
                                                 ",",
                                                 "NOT",
                                                 "AND",
                                                 "OR",
                                                 "IS",
                                                 "NULL",
                                                 "IN",
                                                 "BETWEEN",
                                                 "LIKE",
                                                 "ESCAPE",
                                                 "CASE",
                                                 "WHEN",
                                                 "THEN",
                                                 "ELSE",
                                                 "END",
                                                 "CAST",
                                                 "AS",
                                                 "TEXT",
                                                 "COLLATE",
                                                 "NOCASE",
                                                 "||",
                                                 "->>",
                                                 "<<",
                                                 "-",
                                                 "~",
                                                 "=",
                                                 ".",
                                                 "min(",
                                                 "coalesce(",
                                                 "substr(",
                                                 "json_extract(",
                                                 "strftime(",
                                                 "x'00'",
                                                 "CREATE",
                                                 "TABLE",
                                                 "INDEX",
                                                 "ON",
                                                 "t",
                                                 "CHECK",
                                                 "DEFAULT",
                                                 "REFERENCES",
                                                 "DEFERRABLE",
                                                 "--",
                                                 "/*",
                                                 "randomblob(",
                                                 "lower(",
                                                 "hex(",
                                                 "'now'",
                                                 "GLOB",
                                                 "'[a-'",
                                                 "-9223372036854775808",
                                                 "9e999",
                                                 "\xff",
                                                 "?"};
  for (int i = 0; i < 20'000; ++i) {
    std::string sql;
    if (i % 3 == 0) {
      for (std::size_t count = below(40); count > 0; --count) sql += static_cast<char>(below(256));
    } else if (i % 3 == 1) {
      for (std::size_t count = below(25); count > 0; --count) sql += words[below(words.size())] + " ";
    } else {
      sql = sound;
      for (int flips = 0; flips < 4; ++flips) sql[below(sql.size())] = static_cast<char>(below(256));
    }
    read_everything(sql);
  }
  for (const char* part :
       {"(", "- ", "NOT ", "min(a,", "CASE WHEN ", "CREATE TABLE t (", "a,", "'", "CHECK ("}) {
    read_everything(repeated(part, 100'000));
  }
}

TEST(Garbage, OfNestedDoublingEndsInAReason) {
  const Scope scope = {"t", {{"a", "a", PgType::int8, "INT", "", false}}};
  std::string sql = "a";
  for (int i = 0; i < 60; ++i) sql = "min(" + sql + ", a)";
  EXPECT_EQ(translate_condition(sql, scope).reason, "its translation is too long");
}

}  // namespace
}  // namespace sluice
