// Translated expressions against the originals: both databases hold the same rows, and whatever is translated
// must have the same value in both.

#include <gtest/gtest.h>
#include <sqlite3.h>

#include <array>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <memory>
#include <random>
#include <stdexcept>
#include <string>
#include <vector>

#include "engine/model/hex.h"
#include "engine/model/quote.h"
#include "engine/translate/sql_expression.h"
#include "engine/translate/translate.h"
#include "support/query.h"
#include "support/seed.h"
#include "support/test_server.h"

namespace sluice {
namespace {

using testing::execute;
using testing::query;
using testing::QueryRow;
using testing::shared_test_server;
using testing::test_seed;

// ---- the rows ----

const Scope& scope() {
  static const Scope columns = {"t",
                                {{"i", "i", PgType::int8, "INTEGER", "", false},
                                 {"j", "j", PgType::int8, "BIGINT", "", true},
                                 {"s", "s", PgType::int4, "INT", "", false},
                                 {"t", "t", PgType::text, "TEXT", "", false},
                                 {"u", "u", PgType::text, "VARCHAR(9)", "", true},
                                 {"n", "n", PgType::text, "TEXT", "NOCASE", false},
                                 {"w", "w", PgType::text, "TEXT", "RTRIM", false},
                                 {"r", "r", PgType::float8, "REAL", "", false},
                                 {"q", "q", PgType::float8, "DOUBLE", "", true},
                                 {"b", "b", PgType::boolean, "BOOLEAN", "", false},
                                 {"c", "c", PgType::boolean, "BOOL", "", true},
                                 {"m", "m", PgType::numeric, "DECIMAL(10,2)", "", false},
                                 {"x", "x", PgType::bytea, "BLOB", "", false},
                                 {"d", "d", PgType::date, "DATE", "", false},
                                 {"l", "l", PgType::text, "STRING", "", false}}};
  return columns;
}

std::string columns_sql(bool source) {
  std::string sql = "CREATE TABLE t (id integer";
  for (const ScopeColumn& column : scope().columns) {
    sql += ", " + quote_identifier(column.source) + " " +
           (source ? column.declared_type : std::string(name_of(column.type).sql));
    if (source && !column.collation.empty()) sql += " COLLATE " + column.collation;
    if (column.not_null) sql += " NOT NULL";
  }
  return sql + ")";
}

// i j s t u n w r q b c m x d l. The same text is read by both.
const std::vector<std::array<std::string, 15>> kRows = {
    {"0", "1", "2", "''", "'a'", "'Abc'", "'a '", "0.0", "1.0", "0", "1", "1", "''", "'2024-02-29'",
     "'word'"},
    {"1", "-1", "0", "'a'", "'A'", "'aBC'", "'a'", "1.5", "-2.25", "1", "0", "1.25", "'ab'", "'1999-12-31'",
     "'7'"},
    {"-7", "3", "-2", "'abc'", "'5'", "'ABC'", "' a'", "-0.5", "1e10", "1", "1", "-0.1", "'a'",
     "'2024-03-01'", "'x'"},
    {"5", "2", "5", "'5'", "''", "'z'", "'a  '", "2.5", "0.1", "0", "0", "100", "NULL", "NULL", "''"},
    {"NULL", "0", "NULL", "NULL", "'b'", "NULL", "NULL", "NULL", "3.0", "NULL", "1", "NULL", "'zz'",
     "'0001-01-01'", "NULL"},
    {"12", "4", "7", "'Ünïcode ß'", "'K'", "'é'", "'b '", "1e-3", "5.5", "NULL", "0", "0", "'0'",
     "'9999-12-31'", "'8.5'"},
    {"100", "-4", "1", "'100%_\\x'", "'a_c'", "'k'", "''", "-1.5", "0.0", "1", "1", "3", "'5'",
     "'2000-01-01'", "'a'"},
    {"NULL", "10", "3", "' pad '", "'10'", "'a'", "'ab'", "NULL", "-1.0", "0", "1", "7.5", "NULL", "NULL",
     "'NULL'"},
    {"9223372036854775807", "9223372036854775807", "2147483647", "'line\nbreak'", "'[x]'", "'[X]'", "'x'",
     "1e300", "1e308", "1", "0", "2.5", "'x'", "'2010-10-10'", "'b'"},
    {"-9223372036854775808", "-9223372036854775808", "-2147483648", "'9'", "'-3'", "'B'", "'y '", "-1e300",
     "-1e-300", "0", "0", "-2", "'y'", "'2011-11-11'", "'c'"},
};

std::string rows_sql(bool source) {
  std::string sql = "INSERT INTO t VALUES ";
  int id = 0;
  for (const auto& row : kRows) {
    sql += std::string(id == 0 ? "" : ", ") + "(" + std::to_string(id);
    ++id;
    for (std::size_t i = 0; i < row.size(); ++i) {
      std::string value = row[i];
      const PgType type = scope().columns[i].type;
      if (!source && type == PgType::boolean && value != "NULL") value = value == "1" ? "true" : "false";
      if (type == PgType::bytea && value != "NULL") {
        const std::string bytes = value.substr(1, value.size() - 2);
        value = source ? "x'" + hex_of(bytes) + "'" : "'\\x" + hex_of(bytes) + "'::bytea";
      }
      if (!source && type == PgType::text && value.find('\\') != std::string::npos) value = "E'100%_\\\\x'";
      sql += ", " + value;
    }
    sql += ")";
  }
  return sql;
}

// ---- SQLite ----

struct CloseDatabase {
  void operator()(sqlite3* database) const noexcept { sqlite3_close(database); }
};
struct FinalizeStatement {
  void operator()(sqlite3_stmt* statement) const noexcept { sqlite3_finalize(statement); }
};

std::string shown_real(double value) {
  char room[64];
  std::snprintf(room, sizeof room, "real %.17g", value == 0 ? 0.0 : value);
  return room;
}

class Source {
 public:
  Source() {
    sqlite3* database = nullptr;
    sqlite3_open(":memory:", &database);
    database_.reset(database);
  }

  void run(const std::string& sql) {
    if (sqlite3_exec(database_.get(), sql.c_str(), nullptr, nullptr, nullptr) != SQLITE_OK) {
      throw std::runtime_error(sqlite3_errmsg(database_.get()) + (" in: " + sql));
    }
  }

  // The first column of every row, each value with its class. Throws what SQLite says.
  std::vector<std::string> values(const std::string& sql) {
    sqlite3_stmt* raw = nullptr;
    if (sqlite3_prepare_v2(database_.get(), sql.c_str(), -1, &raw, nullptr) != SQLITE_OK) {
      throw std::runtime_error(sqlite3_errmsg(database_.get()));
    }
    const std::unique_ptr<sqlite3_stmt, FinalizeStatement> statement(raw);
    std::vector<std::string> found;
    int code = 0;
    while ((code = sqlite3_step(raw)) == SQLITE_ROW) {
      const auto bytes = [&] {
        const void* data = sqlite3_column_blob(raw, 0);
        return std::string(static_cast<const char*>(data == nullptr ? "" : data),
                           static_cast<std::size_t>(sqlite3_column_bytes(raw, 0)));
      };
      switch (sqlite3_column_type(raw, 0)) {
        case SQLITE_NULL:
          found.emplace_back("null");
          break;
        case SQLITE_INTEGER:
          found.push_back("integer " + std::to_string(sqlite3_column_int64(raw, 0)));
          break;
        case SQLITE_FLOAT:
          found.push_back(shown_real(sqlite3_column_double(raw, 0)));
          break;
        case SQLITE_TEXT:
          found.push_back("text " + bytes());
          break;
        default:
          found.push_back("blob " + hex_of(bytes()));
      }
    }
    if (code != SQLITE_DONE) throw std::runtime_error(sqlite3_errmsg(database_.get()));
    return found;
  }

 private:
  std::unique_ptr<sqlite3, CloseDatabase> database_;
};

// ---- PostgreSQL ----

// A value that PostgreSQL printed, as SQLite would have it for that class.
std::string shown(const std::optional<std::string>& printed, ValueClass value, const std::string& original) {
  if (!printed) return "null";
  if (printed->starts_with("failed")) return *printed;
  switch (value) {
    case ValueClass::boolean:
      return *printed == "true" ? "integer 1" : "integer 0";
    case ValueClass::integer:
      return "integer " + *printed;
    case ValueClass::real:
      return shown_real(std::strtod(printed->c_str(), nullptr));
    case ValueClass::number: {
      // Integers and doubles alike, so only the value counts.
      const double number = std::strtod(printed->c_str(), nullptr);
      const bool integer = original.starts_with("integer ");
      if (!integer) return shown_real(number);
      return number == std::strtod(original.c_str() + 8, nullptr) ? original : "number " + *printed;
    }
    case ValueClass::blob:
      return "blob " + printed->substr(2);
    default:
      return "text " + *printed;
  }
}

class Translated : public ::testing::Test {
 protected:
  static void SetUpTestSuite() {
    database_ = new std::string(shared_test_server().create_database("translation"));
    execute(*database_, columns_sql(false));
    execute(*database_, rows_sql(false));
    execute(*database_, R"(
      CREATE FUNCTION value_of(expression text, id integer) RETURNS text LANGUAGE plpgsql AS $$
      DECLARE found text;
      BEGIN
        EXECUTE 'SELECT (' || expression || ')::text FROM t WHERE id = ' || id INTO found;
        RETURN found;
      EXCEPTION WHEN OTHERS THEN RETURN 'failed ' || SQLSTATE || ' ' || SQLERRM;
      END $$)");
    source_ = new Source;
    source_->run(columns_sql(true));
    source_->run(rows_sql(true));
  }
  static void TearDownTestSuite() {
    delete database_;
    delete source_;
  }

  static const std::string& database() { return *database_; }
  static Source& source() { return *source_; }

  // Compares the expression's values row by row. False when it is refused, or when SQLite itself cannot.
  static bool same_values(const std::string& expression) {
    const Translation translation = translate_expression(expression, scope());
    if (!translation.translated()) {
      EXPECT_NE(translation.reason, "") << expression;
      return false;
    }
    std::vector<std::string> expected;
    try {
      expected = source().values("SELECT " + expression + " FROM t ORDER BY id");
    } catch (const std::runtime_error& error) {
      // abs() of the least integer, say; but what SQLite cannot read, we must not have read.
      EXPECT_EQ(std::string(error.what()).find("syntax error"), std::string::npos) << expression;
      EXPECT_TRUE(translation.can_fail) << expression << ": " << error.what();
      return false;
    }
    const std::vector<QueryRow> rows =
        query(database(), "SELECT value_of(" + quote_literal(translation.sql) + ", id) FROM t ORDER BY id");
    EXPECT_EQ(rows.size(), expected.size());
    for (std::size_t i = 0; i < rows.size(); ++i) {
      const std::string value = shown(rows[i][0], translation.value, expected[i]);
      if (translation.can_fail && value.starts_with("failed 22")) continue;
      EXPECT_EQ(value, expected[i]) << expression << "\nas " << translation.sql << "\nin row " << i;
    }
    return true;
  }

 private:
  static inline std::string* database_ = nullptr;
  static inline Source* source_ = nullptr;
};

// ---- random expressions ----

enum class Kind { integer, text, real, truth };

class Generator {
 public:
  explicit Generator(std::uint64_t seed) : random_(seed) {}

  std::string make(Kind kind, int depth) {
    // Now and then something of another kind, to meet the conversions.
    if (below(25) == 0) kind = static_cast<Kind>(below(4));
    if (depth <= 0 || below(6) == 0) return leaf(kind);
    switch (kind) {
      case Kind::integer:
        return integer(depth - 1);
      case Kind::text:
        return text(depth - 1);
      case Kind::real:
        return real(depth - 1);
      case Kind::truth:
        break;
    }
    return truth(depth - 1);
  }

  Kind kind() { return static_cast<Kind>(below(4)); }

  // Operators and constants in a row, without parentheses: what binds to what is all that matters.
  std::string flat() {
    static const std::vector<std::string> operators = {"+",
                                                       "-",
                                                       "*",
                                                       "/",
                                                       "%",
                                                       "&",
                                                       "|",
                                                       "<",
                                                       "<=",
                                                       ">",
                                                       ">=",
                                                       "=",
                                                       "==",
                                                       "<>",
                                                       "!=",
                                                       "AND",
                                                       "OR",
                                                       "IS",
                                                       "IS NOT",
                                                       "IS DISTINCT FROM",
                                                       "IS NOT DISTINCT FROM",
                                                       "<< 1 +",
                                                       ">> 1 -",
                                                       "AND NOT",
                                                       "OR NOT",
                                                       "= NOT",
                                                       "+ NOT"};
    static const std::vector<std::string> signs = {"", "", "", "- ", "+ ", "~ ", "NOT "};
    static const std::vector<std::string> tails = {"",
                                                   "",
                                                   "",
                                                   "",
                                                   " ISNULL",
                                                   " NOTNULL",
                                                   " NOT NULL",
                                                   " IS NULL",
                                                   " BETWEEN 1 AND 3",
                                                   " NOT BETWEEN 0 AND 2",
                                                   " IN (1, 2)",
                                                   " NOT IN (0, NULL)",
                                                   " COLLATE BINARY = 1"};
    std::string sql;
    for (std::size_t count = 2 + below(5); count > 0; --count) {
      sql += pick(signs) + (below(8) == 0 ? "NULL" : std::to_string(below(5))) + pick(tails) + " ";
      if (count > 1) sql += pick(operators) + " ";
    }
    return sql;
  }

 private:
  std::size_t below(std::size_t limit) { return static_cast<std::size_t>(random_() % limit); }
  const std::string& pick(const std::vector<std::string>& words) { return words[below(words.size())]; }

  std::string leaf(Kind kind) {
    static const std::vector<std::string> integers = {
        "i",   "j",     "s",   "b", "c", "0", "1", "2", "5", "-3", "7", "NULL", "0x1F", "9007199254740993",
        "t.i", "\"I\"", "TRUE"};
    static const std::vector<std::string> texts = {"t",    "u",       "n",     "w",   "t",    "u",
                                                   "''",   "'a'",     "'abc'", "'5'", "'A '", "'ß'",
                                                   "NULL", "'it''s'", "[T]",   "`u`"};
    static const std::vector<std::string> reals = {"r",    "q",   "r",   "q",   "0.5", "1.5",
                                                   "-2.0", "0.0", "1e3", ".25", "NULL"};
    static const std::vector<std::string> truths = {"b", "c",    "i",    "j",     "0",
                                                    "1", "NULL", "TRUE", "FALSE", "r"};
    switch (kind) {
      case Kind::integer:
        return pick(integers);
      case Kind::text:
        return pick(texts);
      case Kind::real:
        return pick(reals);
      case Kind::truth:
        break;
    }
    return pick(truths);
  }

  // A part, mostly in parentheses.
  std::string part(Kind kind, int depth) {
    const std::string inside = make(kind, depth);
    return below(4) == 0 ? inside : "(" + inside + ")";
  }

  std::string integer(int depth) {
    const auto a = [&] { return part(Kind::integer, depth); };
    switch (below(14)) {
      case 0:
        return "- " + a();
      case 1:
        return "~" + a();
      case 2:
        return "length(" + make(Kind::text, depth) + ")";
      case 3:
        return "coalesce(" + a() + ", " + a() + ")";
      case 4:
        return "nullif(" + a() + ", " + a() + ")";
      case 5:
        return "CASE WHEN " + make(Kind::truth, depth) + " THEN " + a() + " ELSE " + a() + " END";
      case 6:
        return "CASE " + a() + " WHEN " + a() + " THEN " + a() + " WHEN 1 THEN 2 END";
      case 7:
        return std::string(below(2) == 0 ? "min(" : "max(") + a() + ", " + a() + ")";
      case 8:
        return "abs(" + a() + ")";
      case 9:
        return "instr(" + make(Kind::text, depth) + ", " + make(Kind::text, depth) + ")";
      case 10:
        return "CAST(" + part(below(4) == 0 ? Kind::real : Kind::integer, depth) + " AS INTEGER)";
      default: {
        static const std::vector<std::string> operators = {" + ", " - ", " * ", " / ", " % ", " & ", " | "};
        return a() + pick(operators) + a();
      }
    }
  }

  std::string text(int depth) {
    const auto a = [&] { return part(Kind::text, depth); };
    switch (below(13)) {
      case 0:
        return "lower(" + a() + ")";
      case 1:
        return "upper(" + a() + ")";
      case 2: {
        static const std::vector<std::string> trims = {"trim(", "ltrim(", "rtrim("};
        return pick(trims) + a() + (below(2) == 0 ? ")" : ", 'a ')");
      }
      case 3:
        return "substr(" + a() + ", " + std::to_string(1 + below(3)) + (below(2) == 0 ? ")" : ", 2)");
      case 4:
        return "substr(" + a() + ", -" + std::to_string(1 + below(4)) + ")";
      case 5:
        return "replace(" + a() + ", " + a() + ", " + a() + ")";
      case 6:
        return "hex(" + part(below(2) == 0 ? Kind::text : Kind::integer, depth) + ")";
      case 7:
        return "coalesce(" + a() + ", " + a() + ")";
      case 8:
        return "typeof(" + part(kind(), depth) + ")";
      case 9:
        return "CAST(" + part(Kind::integer, depth) + " AS TEXT)";
      case 10:
        return "iif(" + make(Kind::truth, depth) + ", " + a() + ", " + a() + ")";
      default:
        return a() + " || " + part(below(3) == 0 ? Kind::integer : Kind::text, depth);
    }
  }

  std::string real(int depth) {
    const auto a = [&] { return part(Kind::real, depth); };
    switch (below(9)) {
      case 0:
        return "-" + a();
      case 1:
        return "abs(" + a() + ")";
      case 2:
        return "coalesce(" + a() + ", " + a() + ")";
      case 3:
        return "max(" + a() + ", " + a() + ")";
      case 4:
        return "CAST(" + part(Kind::integer, depth) + " AS REAL)";
      case 5:
        return "iif(" + make(Kind::truth, depth) + ", " + a() + ", " + a() + ")";
      default: {
        static const std::vector<std::string> operators = {" + ", " - ", " * ", " / "};
        return a() + pick(operators) + part(below(3) == 0 ? Kind::integer : Kind::real, depth);
      }
    }
  }

  std::string truth(int depth) {
    static const std::vector<std::string> comparisons = {" = ",  " == ", " <> ", " != ", " < ",
                                                         " <= ", " > ",  " >= ", " IS ", " IS NOT "};
    static const std::vector<std::string> patterns = {"'a%'", "'%B%'", "'_'", "'%\\%'", "'100!%%' ESCAPE '!'",
                                                      "''",   "'%5%'", "'K'", "'%ß'",   "'[x]'"};
    static const std::vector<std::string> globs = {"'a*'",    "'[a-c]*'", "'*[^0-9]*'", "'?'",
                                                   "'[0-9]'", "'*[]x]*'", "'*[%_]*'",   "'[^a]*'",
                                                   "'*\\*'",  "'[-3]*'",  "'[a-]*'"};
    static const std::vector<std::string> others = {"m > 0",
                                                    "m <= 1.25",
                                                    "m = 1",
                                                    "m",
                                                    "x = x'6162'",
                                                    "x <> x''",
                                                    "length(x) = 2",
                                                    "x < x'62'",
                                                    "hex(x) = ''",
                                                    "d > '2000-01-01'",
                                                    "d = '2024-02-29'",
                                                    "d BETWEEN '1999-12-31' AND '2024-02-29'",
                                                    "l = 'word'",
                                                    "l <> ''",
                                                    "l IN ('a', 'b', 'x')",
                                                    "l IS NULL",
                                                    "i IN ()",
                                                    "i = '5'",
                                                    "t = 5",
                                                    "t > 10",
                                                    "b IN ('0', '1')",
                                                    "m IS NOT 0",
                                                    "m NOT BETWEEN 0 AND 3.5",
                                                    "typeof(d) = 'text'"};
    const Kind kind = below(6) == 0 ? Kind::real : (below(2) == 0 ? Kind::integer : Kind::text);
    const auto a = [&] { return part(kind, depth); };
    const std::string no = below(3) == 0 ? " NOT" : "";
    switch (below(16)) {
      case 0:
        return "NOT " + part(Kind::truth, depth);
      case 1:
        return a() + no + " IN (" + make(kind, depth) + ", " + make(kind, depth) + ", NULL)";
      case 2:
        return a() + no + " IN (" + make(kind, depth) + ")";
      case 3:
        return a() + no + " BETWEEN " + a() + " AND " + a();
      case 4:
        return part(Kind::text, depth) + no + " LIKE " + pick(patterns);
      case 5:
        return part(Kind::text, depth) + no + " GLOB " + pick(globs);
      case 6:
        return a() + (below(2) == 0 ? " ISNULL" : " NOT NULL");
      case 7:
        return part(Kind::truth, depth) + " IS " + (below(2) == 0 ? "NOT " : "") +
               (below(2) == 0 ? "TRUE" : "FALSE");
      case 8:
        return part(Kind::text, depth) + pick(comparisons) + part(Kind::text, depth) +
               (below(2) == 0 ? " COLLATE NOCASE" : " COLLATE RTRIM");
      case 9:
        return pick(others);
      case 10:
      case 11:
        return part(Kind::truth, depth) + " AND " + part(Kind::truth, depth);
      case 12:
        return part(Kind::truth, depth) + " OR " + part(Kind::truth, depth);
      default:
        return a() + pick(comparisons) + a();
    }
  }

  std::mt19937_64 random_;
};

TEST_F(Translated, RandomExpressionsHaveTheSameValuesInBoth) {
  Generator generator(test_seed());
  int translated = 0;
  int tried = 0;
  for (int i = 0; i < 4000 && !HasFailure(); ++i) {
    const Kind kind = generator.kind();
    const std::string expression = generator.make(kind, 1 + i % 4);
    const bool same = same_values(expression);
    if (kind == Kind::real) continue;
    ++tried;
    translated += same ? 1 : 0;
  }
  std::printf("%d of %d expressions of integers, text and logic translated\n", translated, tried);
  if (!HasFailure()) {
    EXPECT_GE(translated * 100, tried * 60);
  }
}

TEST_F(Translated, OperatorsBindAsTheyDoInSqlite) {
  Generator generator(test_seed() + 1);
  int translated = 0;
  constexpr int kTries = 2000;
  for (int i = 0; i < kTries && !HasFailure(); ++i) translated += same_values(generator.flat()) ? 1 : 0;
  std::printf("%d of %d rows of operators translated\n", translated, kTries);
  if (!HasFailure()) {
    EXPECT_GE(translated * 100, kTries * 60);
  }
}

TEST_F(Translated, WhatIsImmutableMayStandInAnIndex) {
  Generator generator(test_seed() + 2);
  execute(database(), "CREATE TABLE empty (LIKE t)");
  int made = 0;
  for (int i = 0; i < 300; ++i) {
    const std::string expression = generator.make(generator.kind(), 3);
    const Translation key = translate_key(expression, scope());
    if (!key.translated() || !key.immutable) continue;
    EXPECT_NO_THROW(execute(database(), "CREATE INDEX ON empty (" + key.sql + ")")) << expression;
    const Translation condition = translate_condition(expression, scope());
    if (condition.translated() && condition.immutable) {
      EXPECT_NO_THROW(execute(database(), "CREATE INDEX ON empty (i) WHERE " + condition.sql)) << expression;
      EXPECT_NO_THROW(execute(database(), "ALTER TABLE empty ADD CHECK (" + condition.sql + ") NOT VALID"))
          << expression;
    }
    ++made;
    if (i % 20 == 0) execute(database(), "DROP TABLE empty; CREATE TABLE empty (LIKE t)");
  }
  EXPECT_GT(made, 100);
}

// ---- defaults ----

struct DefaultCase {
  std::string sql;
  std::string declared;
  PgType type;
};

TEST_F(Translated, ConstantDefaultsFillInWhatSqliteWouldHave) {
  const std::vector<DefaultCase> cases = {{"1", "TEXT", PgType::text},
                                          {"1.5", "TEXT", PgType::text},
                                          {"'1'", "INTEGER", PgType::int8},
                                          {"0x1F", "INTEGER", PgType::int8},
                                          {"-5", "INTEGER", PgType::int8},
                                          {"(-5)", "INTEGER", PgType::int8},
                                          {"5.0", "INTEGER", PgType::int8},
                                          {"'abc'", "TEXT", PgType::text},
                                          {"word", "TEXT", PgType::text},
                                          {"\"dq\"", "TEXT", PgType::text},
                                          {"true", "INTEGER", PgType::int8},
                                          {"TRUE", "BOOLEAN", PgType::boolean},
                                          {"0", "BOOLEAN", PgType::boolean},
                                          {"'1'", "BOOLEAN", PgType::boolean},
                                          {"1", "REAL", PgType::float8},
                                          {"1e3", "REAL", PgType::float8},
                                          {"'0.5'", "REAL", PgType::float8},
                                          {"x'00ff'", "BLOB", PgType::bytea},
                                          {"(1 + 2 * 3)", "INTEGER", PgType::int8},
                                          {"(60*60*24)", "INT", PgType::int8},
                                          {"('a' || 'b')", "TEXT", PgType::text},
                                          {"'CURRENT_TIMESTAMP'", "TEXT", PgType::text},
                                          {"'it''s \\'", "TEXT", PgType::text},
                                          {"-9223372036854775808", "INTEGER", PgType::int8},
                                          {"(upper('a'))", "TEXT", PgType::text},
                                          {"(1 = 1)", "BOOLEAN", PgType::boolean},
                                          {"''", "TEXT", PgType::text},
                                          {"(7 / 2)", "REAL", PgType::float8}};
  for (const DefaultCase& each : cases) {
    const ScopeColumn column{"c", "c", each.type, each.declared, "", false};
    Source source;
    source.run("CREATE TABLE d (id INTEGER PRIMARY KEY, c " + each.declared + " DEFAULT " + each.sql + ")");
    source.run("INSERT INTO d DEFAULT VALUES");
    const std::string expected = source.values("SELECT c FROM d").front();
    const std::string printed =
        source.values("SELECT dflt_value FROM pragma_table_info('d') WHERE name = 'c'").front();
    const Translation translation = translate_default(printed.substr(5), column);
    ASSERT_TRUE(translation.translated()) << each.sql << ": " << translation.reason;
    const std::string type(name_of(each.type).sql);
    execute(database(), "DROP TABLE IF EXISTS d; CREATE TABLE d (id integer, c " + type +
                            "); ALTER TABLE d ALTER c "
                            "SET DEFAULT " +
                            translation.sql + "; INSERT INTO d (id) VALUES (1)");
    const auto found = query(database(), "SELECT c::text FROM d").front()[0];
    const ValueClass value = each.type == PgType::int8      ? ValueClass::integer
                             : each.type == PgType::float8  ? ValueClass::real
                             : each.type == PgType::boolean ? ValueClass::boolean
                             : each.type == PgType::bytea   ? ValueClass::blob
                                                            : ValueClass::text;
    EXPECT_EQ(shown(found, value, expected), expected) << each.sql << " as " << translation.sql;
  }
}

TEST_F(Translated, MomentsAreThoseOfTheStatementInUtc) {
  struct Case {
    std::string sql;
    PgType type;
    std::string check;  // of column c
  };
  const std::string near = "abs(extract(epoch FROM (statement_timestamp() - ";
  const std::vector<Case> cases = {
      {"CURRENT_TIMESTAMP", PgType::timestamp,
       near + "c AT TIME ZONE 'UTC'))) < 60 AND c = date_trunc('second', c)"},
      {"datetime('now')", PgType::timestamptz, near + "c))) < 60"},
      {"CURRENT_TIMESTAMP", PgType::text, near + "(c || 'Z')::timestamptz))) < 60 AND length(c) = 19"},
      {"strftime('%Y-%m-%dT%H:%M:%fZ', 'now')", PgType::text,
       near + "c::timestamptz))) < 60 AND length(c) = 24"},
      {"strftime('%Y-%m-%d %H:%M:%fZ')", PgType::text, near + "c::timestamptz))) < 60 AND length(c) = 24"},
      {"CURRENT_DATE", PgType::date, "c = (statement_timestamp() AT TIME ZONE 'UTC')::date"},
      {"date('now')", PgType::text, "c = to_char(statement_timestamp() AT TIME ZONE 'UTC', 'YYYY-MM-DD')"},
      {"date('now')", PgType::timestamp, "c = date_trunc('day', statement_timestamp() AT TIME ZONE 'UTC')"},
      {"CURRENT_TIME", PgType::time, "c IS NOT NULL"},
      {"strftime('%s', 'now')", PgType::int8, "abs(extract(epoch FROM statement_timestamp()) - c) < 60"},
      {"strftime('%s', 'now')", PgType::text,
       "abs(extract(epoch FROM statement_timestamp()) - c::bigint) < 60"},
      {"CAST(strftime('%s','now') AS INTEGER)", PgType::int8, "c > 1700000000"},
      {"strftime('%s','now') * 1000", PgType::int8, "c > 1700000000000"},
      {"unixepoch()", PgType::int8, "abs(extract(epoch FROM statement_timestamp()) - c) < 60"},
      {"unixepoch() * 1000", PgType::int8, "c > 1700000000000"},
      {"julianday('now')", PgType::float8,
       "abs(c - 2440587.5 - extract(epoch FROM statement_timestamp())/86400) < 0.01"},
      {"CAST((julianday('now') - 2440587.5) * 86400000 AS INTEGER)", PgType::int8,
       "abs(extract(epoch FROM statement_timestamp()) * 1000 - c) < 60000"},
      {"lower(hex(randomblob(16)))", PgType::text, "c ~ '^[0-9a-f]{32}$'"},
      {"lower(hex(randomblob(16)))", PgType::uuid, "c IS NOT NULL"},
      {"hex(randomblob(16))", PgType::text, "c ~ '^[0-9A-F]{32}$'"},
      {"'r'||lower(hex(randomblob(7)))", PgType::text, "c ~ '^r[0-9a-f]{14}$'"},
      {"randomblob(20)", PgType::bytea, "octet_length(c) = 20"},
      {"lower(hex(randomblob(4))) || '-' || lower(hex(randomblob(2))) || '-4' || "
       "substr(lower(hex(randomblob(2))),2) "
       "|| '-' || substr('89ab', abs(random()) % 4 + 1, 1) || substr(lower(hex(randomblob(2))),2) || '-' || "
       "lower(hex(randomblob(6)))",
       PgType::uuid, "c IS NOT NULL"},
      {"random()", PgType::int8, "c IS NOT NULL"},
      {"abs(random()) % 100", PgType::int8, "c BETWEEN 0 AND 99"}};
  // Whatever zone the session has.
  for (const Case& each : cases) {
    const std::string type(name_of(each.type).sql);
    const std::string declared =
        each.type == PgType::bytea ? "BLOB" : std::string(each.type == PgType::text ? "TEXT" : type);
    const Translation translation = translate_default(each.sql, {"c", "c", each.type, declared, "", false});
    ASSERT_TRUE(translation.translated()) << each.sql << ": " << translation.reason;
    EXPECT_FALSE(translation.immutable) << each.sql;
    const auto rows = query(database(),
                            "SET timezone = 'Asia/Tokyo'; DROP TABLE IF EXISTS d; CREATE TABLE d (id "
                            "integer, c " +
                                type + "); ALTER TABLE d ALTER c SET DEFAULT " + translation.sql +
                                "; INSERT INTO d (id) VALUES (1); SELECT " + each.check + ", c::text FROM d");
    EXPECT_EQ(rows.front()[0], "t") << each.sql << " as " << translation.sql << " gave "
                                    << rows.front()[1].value_or("");
  }
}

}  // namespace
}  // namespace sluice
