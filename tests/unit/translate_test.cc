// Expressions and what becomes of them, as tables. That the values are the same is for
// tests/pg/translation_test.cc to show; here it is about what users will read in their schema.

#include "engine/translate/translate.h"

#include <gtest/gtest.h>

#include <string>
#include <vector>

#include "engine/translate/text_pattern.h"

namespace sluice {
namespace {

const Scope& scope() {
  static const Scope columns = {"t",
                                {{"flag", "flag", PgType::boolean, "BOOLEAN", "", false},
                                 {"done", "done", PgType::boolean, "BOOLEAN", "", true},
                                 {"n", "n", PgType::int8, "INTEGER", "", false},
                                 {"id", "id", PgType::int8, "INTEGER", "", true},
                                 {"small", "small", PgType::int4, "INT", "", false},
                                 {"Name", "name_2", PgType::text, "TEXT", "", false},
                                 {"email", "email", PgType::text, "TEXT", "NOCASE", false},
                                 {"code", "code", PgType::text, "TEXT", "RTRIM", false},
                                 {"odd", "odd", PgType::text, "TEXT", "unicase", false},
                                 {"price", "price", PgType::float8, "REAL", "", false},
                                 {"total", "total", PgType::numeric, "DECIMAL(10,2)", "", false},
                                 {"data", "data", PgType::json, "JSON", "", false},
                                 {"doc", "doc", PgType::json, "JSON", "", true},
                                 {"key", "key", PgType::bytea, "BLOB", "", false},
                                 {"day", "day", PgType::date, "DATE", "", false},
                                 {"at", "at", PgType::timestamp, "DATETIME", "", false},
                                 {"until", "until", PgType::timestamp, "DATETIME", "", false},
                                 {"ref", "ref", PgType::uuid, "UUID", "", false},
                                 {"any", "any", PgType::text, "STRING", "", false}}};
  return columns;
}

// The SQL, or "! " and the reason.
std::string said(const Translation& translation) {
  EXPECT_NE(translation.sql.empty(), translation.reason.empty());
  return translation.translated() ? translation.sql : "! " + translation.reason;
}

struct Case {
  std::string sql;
  std::string expected;
};

struct TypedCase {
  std::string sql;
  std::string declared;
  PgType type;
  std::string expected;
};

TEST(TranslateCondition, IsExactOrSaysWhyNot) {
  const std::vector<Case> cases = {
      {"flag", "\"flag\""},
      {"flag = 1", "\"flag\""},
      {"flag = 0", "NOT \"flag\""},
      {"flag <> 0", "\"flag\""},
      {"flag == TRUE", "\"flag\""},
      {"flag IN (0, 1)", "\"flag\" IN (false, true)"},
      {"flag IN ('0','1')", "\"flag\" IN (false, true)"},
      {"flag IN (0, 1, 2)", "\"flag\"::integer IN (0, 1, 2)"},
      {"flag IS NOT NULL AND flag IN (0,1)", "\"flag\" IS NOT NULL AND \"flag\" IN (false, true)"},
      {"flag IS 1", "\"flag\" IS NOT DISTINCT FROM true"},
      {"flag IS TRUE", "\"flag\" IS TRUE"},
      {"NOT flag", "NOT \"flag\""},
      {"flag BETWEEN 0 AND 1", "\"flag\" BETWEEN false AND true"},
      {"flag IN ('t', 'f')", "! it compares a boolean with the text 't'"},
      {"flag = done", "\"flag\" = \"done\""},
      {"n", "\"n\" <> 0"},
      {"NOT n", "NOT (\"n\" <> 0)"},
      {"n = 5 OR n == 6 AND n != 7", "\"n\" = 5 OR \"n\" = 6 AND \"n\" <> 7"},
      {"n > 0 AND n < 10", "\"n\" > 0 AND \"n\" < 10"},
      {"n = '5'", "\"n\" = 5"},
      {"n = 'five'", "! it compares an integer with the text 'five'"},
      {"n IN (1, 2, 3)", "\"n\" IN (1, 2, 3)"},
      {"n IN (1, NULL)", "\"n\" IN (1, NULL)"},
      {"n NOT IN ()", "true"},
      {"n BETWEEN 1 AND 10", "\"n\" BETWEEN 1 AND 10"},
      {"n / id > 2", "\"n\" / nullif(\"id\", 0) > 2"},
      {"n % 2 = 0", "\"n\" % 2 = 0"},
      {"n + id < 10", "\"n\" + \"id\" < 10"},
      {"small * small > 5", "\"small\"::bigint * \"small\" > 5"},
      {"n << 3 = 8", "\"n\" << 3 = 8"},
      {"n << id = 8", "! it shifts by something other than 0 to 63 bits"},
      {"Name = 'x'", "\"name_2\" = 'x'"},
      {"Name <> ''", "\"name_2\" <> ''"},
      {"Name IN ('a', 'b')", "\"name_2\" IN ('a', 'b')"},
      {"Name > 'a'", "\"name_2\" COLLATE \"C\" > 'a'"},
      {"name = 5", "\"name_2\" = '5'"},
      {"name = 5.5", "! it needs the text of a double, which PostgreSQL prints in another way"},
      {"Name", "! it takes text for a truth value"},
      {"length(Name) > 0", "length(\"name_2\") > 0"},
      {"length(name) BETWEEN 1 AND 32", "length(\"name_2\") BETWEEN 1 AND 32"},
      {"length(trim(name)) > 0", "length(btrim(\"name_2\", ' ')) > 0"},
      {"lower(name) = name", "lower(\"name_2\" COLLATE \"C\") = \"name_2\""},
      {"email = 'A@B.c'", "lower(\"email\" COLLATE \"C\") = 'a@b.c'"},
      {"email <> ''", "lower(\"email\" COLLATE \"C\") <> ''"},
      {"email = name", "lower(\"email\" COLLATE \"C\") = lower(\"name_2\" COLLATE \"C\")"},
      {"name = email", "\"name_2\" = \"email\""},
      {"name = email COLLATE NOCASE", "lower(\"name_2\" COLLATE \"C\") = lower(\"email\" COLLATE \"C\")"},
      {"email IN ('A', 'b')", "lower(\"email\" COLLATE \"C\") IN ('a', 'b')"},
      {"email COLLATE BINARY = 'x'", "\"email\" = 'x'"},
      {"code = 'x'", "rtrim(\"code\", ' ') = 'x'"},
      {"odd = 'x'", "! the collation unicase is the application's own"},
      {"odd IS NULL", "\"odd\" IS NULL"},
      {"name LIKE 'a%'", "\"name_2\" COLLATE \"C\" ILIKE 'a%'"},
      {"name LIKE '%@%.%'", "\"name_2\" LIKE '%@%.%'"},
      {"name NOT LIKE '50!%%' ESCAPE '!'", "\"name_2\" NOT LIKE  E'50\\\\%%'"},
      {"name LIKE 'a\\b_'", "\"name_2\" COLLATE \"C\" ILIKE  E'a\\\\\\\\b_'"},
      {"name LIKE id", "! like with a pattern that is not a literal"},
      {"n LIKE '1%'", "\"n\"::text LIKE '1%'"},
      {"name GLOB '[A-Z][0-9]*'", "\"name_2\" ~ '^[A-Z][0-9].*$'"},
      {"name NOT GLOB '*[^0-9a-f]*'", "\"name_2\" !~ '^.*[^0-9a-f].*$'"},
      {"name GLOB 'a*b?'", "\"name_2\" LIKE 'a%b_'"},
      {"name GLOB '[z-a]'", "! glob with a set that is not closed or runs backwards"},
      {"name REGEXP '^a'", "! regexp calls a function of the application"},
      {"price > 0", "\"price\" > 0"},
      {"price >= 0 AND price <= 1", "\"price\" >= 0 AND \"price\" <= 1"},
      {"price = 1.5", "\"price\" = 1.5"},
      {"price < n", "! it compares a double with a number that may not fit one"},
      {"price * 2 > 1", "\"price\" * 2 > 1"},
      {"total > 0", "\"total\" > 0"},
      {"total >= 0.01", "\"total\" >= 0.01"},
      {"total * 2 > 1", "! it computes with a decimal"},
      {"data IS NULL", "\"data\" IS NULL"},
      {"json_valid(data)", "CASE WHEN \"data\" IS NOT NULL THEN true END"},
      {"json_valid(doc)", "true"},
      {"json_valid(name)", "! json_valid of anything but a JSON column"},
      {"data = '[]'", "\"data\"::text = '[]'"},
      {"data <> ''", "\"data\"::text <> ''"},
      {"json_extract(data, '$.kind') = 'x'", "\"data\" #>> '{kind}' = 'x'"},
      {"data ->> 'kind' IS NOT NULL", "\"data\" #>> '{kind}' IS NOT NULL"},
      {"data ->> '$.a.b' IN ('x', 'y')", "\"data\" #>> '{a,b}' IN ('x', 'y')"},
      {"json_extract(data, '$.n') > 5", "! it compares an integer with text"},
      {"json_type(data) = 'array'", "! the function json_type is not translated"},
      {"length(key) = 16", "octet_length(\"key\") = 16"},
      {"key = x'00ff'", "\"key\" = '\\x00ff'::bytea"},
      {"key = 'text'", "! it compares bytes with text"},
      {"day > '2024-01-01'", "\"day\" > '2024-01-01'::date"},
      {"day > '2024-13-01'", "! it compares a date with text that is not one in full"},
      {"day <= date('now')", "! date changes from moment to moment"},
      {"at < until", "\"at\" < \"until\""},
      {"at >= '2024-01-01 00:00:00'", "\"at\" >= '2024-01-01 00:00:00'::timestamp"},
      {"at >= '2024-01-01'", "! it compares a timestamp with text that is not one in full"},
      {"ref IS NOT NULL", "\"ref\" IS NOT NULL"},
      {"ref = 'x'", "! it compares a uuid with text"},
      {"typeof(n) = 'integer'", "CASE WHEN \"n\" IS NULL THEN 'null' ELSE 'integer' END = 'integer'"},
      {"typeof(id) = 'integer'", "true"},
      {"typeof(price) IN ('real', 'null')",
       "CASE WHEN \"price\" IS NULL THEN 'null' ELSE 'real' END IN ('real', 'null')"},
      {"typeof(total) = 'real'", "! typeof of a decimal has no equal in PostgreSQL"},
      {"any = 'word'", "\"any\" = 'word'"},
      {"any = '5'", "! what \"any\" holds is not surely text"},
      {"any > 'a'", "! what \"any\" holds is not surely text"},
      {"length(any) > 1", "! what \"any\" holds is not surely text"},
      {"Name = \"missing\"", "\"name_2\" = 'missing'"},
      {"t.n > 0", "\"n\" > 0"},
      {"u.n > 0", "! it names another table, \"u\""},
      {"nope > 0", "! there is no column \"nope\""},
      {"[no\npe] > 0", "! there is no column \"no pe\""},
      {"(n, id) = (1, 2)", "! it compares rows"},
      {"n IN (SELECT 1)", "! it holds a subquery"},
      {"CASE WHEN flag THEN n > 0 ELSE 1 END", "CASE WHEN \"flag\" THEN \"n\" > 0 ELSE true END"},
      {"CASE n WHEN 1 THEN 'a' WHEN 2 THEN 'b' END = 'a'",
       "CASE WHEN \"n\" = 1 THEN 'a' WHEN \"n\" = 2 THEN 'b' END = 'a'"},
      {"iif(flag, 1, 0)", "CASE WHEN \"flag\" THEN 1 ELSE 0 END <> 0"},
      {"coalesce(flag, 0) = 1", "coalesce(\"flag\", false)"},
      {"coalesce(n, 0) + coalesce(id, 0) > 0", "coalesce(\"n\", 0) + coalesce(\"id\", 0) > 0"},
      {"nullif(n, 0) IS NULL", "nullif(\"n\", 0) IS NULL"},
      {"min(n, id) > 0", "CASE WHEN \"n\" IS NOT NULL THEN least(\"n\", \"id\") END > 0"},
      {"max(name, 'a') = 'b'",
       "CASE WHEN \"name_2\" IS NOT NULL THEN greatest(\"name_2\" COLLATE \"C\", 'a') END = 'b'"},
      {"abs(n) < 5", "abs(\"n\") < 5"},
      {"round(price) = 1", "! round of a double differs in PostgreSQL"},
      {"round(n) = 1", "\"n\"::double precision = 1"},
      {"substr(name, 1, 2) = 'ab'", "substr(\"name_2\", 1, 2) = 'ab'"},
      {"substr(name, -2) = 'ab'", "right(\"name_2\", 2) = 'ab'"},
      {"substr(name, 0) = 'ab'", "! substr with other than literal positions from 1 on"},
      {"instr(name, '@') > 1", "strpos(\"name_2\", '@') > 1"},
      {"replace(name, ' ', '') = name", "replace(\"name_2\", ' ', '') = \"name_2\""},
      {"hex(key) = 'FF'", "coalesce(upper(encode(\"key\", 'hex')), '') = 'FF'"},
      {"hex(name) = 'FF'", "coalesce(upper(encode(convert_to(\"name_2\", 'UTF8'), 'hex')), '') = 'FF'"},
      {"name || n = 'a5'", "\"name_2\" || \"n\"::text = 'a5'"},
      {"name || price = 'a5'", "! it needs the text of a double, which PostgreSQL prints in another way"},
      {"CURRENT_TIMESTAMP > at", "! current_timestamp changes from moment to moment"},
      {"random() > 0", "! random() changes from call to call"},
      {"myfunction(n)", "! the function myfunction is not translated"},
      {"printf('%d', n) = '5'", "! the function printf is not translated"},
      {"n IS DISTINCT FROM id", "\"n\" IS DISTINCT FROM \"id\""},
      {"n ISNULL OR n NOTNULL", "\"n\" IS NULL OR \"n\" IS NOT NULL"},
      {"n = NULL", "NULL::boolean"},
      {"n IS NOT NULL", "\"n\" IS NOT NULL"},
      {"1", "true"},
      {"'text'", "! it takes text for a truth value"},
      {"(flag <> 0) + (done <> 0) = 1", "\"flag\"::integer::bigint + \"done\"::integer = 1"},
      {"(n IS NULL) <> (id IS NULL)", "(\"n\" IS NULL) <> (\"id\" IS NULL)"},
      {"(n IS NULL) + (name IS NULL) + flag = 1",
       "(\"n\" IS NULL)::integer::bigint + (\"name_2\" IS NULL)::integer + \"flag\"::integer = 1"},
      {"CAST(price AS INTEGER) = price", "! it compares a double with a number that may not fit one"},
      {"n = 9223372036854775808", "! it compares with a double beyond 2^53"},
      {"n = -9223372036854775808", "\"n\" = '-9223372036854775808'::bigint"},
      {"1e999 > price", "'Infinity'::double precision > \"price\""},
  };
  for (const Case& each : cases)
    EXPECT_EQ(said(translate_condition(each.sql, scope())), each.expected) << each.sql;
}

TEST(TranslateKey, StandsReadyForTheListOfAnIndex) {
  struct KeyCase {
    std::string sql;
    std::string collation;
    std::string expected;
  };
  const std::vector<KeyCase> cases = {
      {"name", "", "\"name_2\""},
      {"Name COLLATE NOCASE", "", "lower(\"name_2\" COLLATE \"C\")"},
      {"email", "", "lower(\"email\" COLLATE \"C\")"},
      {"email", "BINARY", "\"email\""},
      {"name", "RTRIM", "rtrim(\"name_2\", ' ')"},
      {"lower(name)", "", "(lower(\"name_2\" COLLATE \"C\"))"},
      {"name || ':' || n", "", "(\"name_2\" || ':' || \"n\"::text)"},
      {"n + 1", "", "(\"n\" + 1)"},
      {"json_extract(data, '$.id')", "", "(\"data\" #>> '{id}')"},
      {"data", "", "! its key is JSON, for which json has no order"},
      {"price", "", "\"price\""},
      {"odd", "", "! the collation unicase is the application's own"},
      {"hex(name)", "", "(coalesce(upper(encode(convert_to(\"name_2\", 'UTF8'), 'hex')), ''))"},
      {"5", "", "! its key is a constant"},
      {"coalesce(name, '')", "", "(coalesce(\"name_2\", ''))"},
  };
  for (const KeyCase& each : cases) {
    EXPECT_EQ(said(translate_key(each.sql, scope(), each.collation)), each.expected) << each.sql;
  }
}

TEST(TranslateValue, FitsTheColumnItIsFor) {
  const std::vector<TypedCase> cases = {
      {"n * 2", "INTEGER", PgType::int8, "\"n\" * 2"},
      {"n / 2", "REAL", PgType::float8, "(\"n\" / 2)::double precision"},
      {"price * n", "REAL", PgType::float8, "\"price\" * \"n\""},
      {"price", "INTEGER", PgType::int8, "! its value is not of the column's type, bigint"},
      {"name || ' ' || email", "TEXT", PgType::text, "\"name_2\" || ' ' || \"email\""},
      {"n", "TEXT", PgType::text, "\"n\"::text"},
      {"n > 5", "BOOLEAN", PgType::boolean, "\"n\" > 5"},
      {"n > 5", "INTEGER", PgType::int8, "(\"n\" > 5)::integer"},
      {"n", "BOOLEAN", PgType::boolean, "! its value is not of the column's type, boolean"},
      {"total", "DECIMAL", PgType::numeric, "\"total\""},
      {"substr(name, 1, 3)", "TEXT", PgType::text, "substr(\"name_2\", 1, 3)"},
      {"name", "STRING", PgType::text, "! its text may turn into a number under the affinity of the column"},
      {"json_extract(data, '$.id')", "TEXT", PgType::text,
       "! what \"data\" #>> '{id}' holds is not surely text"},
      {"day", "DATE", PgType::date, "\"day\""},
      {"key", "BLOB", PgType::bytea, "\"key\""},
      {"data", "JSON", PgType::json, "\"data\""},
  };
  for (const TypedCase& each : cases) {
    const ScopeColumn column{"c", "c", each.type, each.declared, "", false};
    EXPECT_EQ(said(translate_value(each.sql, scope(), column)), each.expected) << each.sql;
  }
}

TEST(TranslateDefault, FitsTheColumnItIsFor) {
  const std::vector<TypedCase> cases = {
      {"NULL", "TEXT", PgType::text, "NULL"},
      {"0", "INTEGER", PgType::int8, "0"},
      {"''", "INTEGER", PgType::int8, "! the default '' is no bigint"},
      {"'abc'", "INTEGER", PgType::int8, "! the default 'abc' is no bigint"},
      {"'5'", "INTEGER", PgType::int8, "5"},
      {"' 5'", "INTEGER", PgType::int8, "5"},
      {"1.5", "INTEGER", PgType::int8, "! the default 1.5 is no bigint"},
      {"0x1F", "INTEGER", PgType::int8, "31"},
      {"true", "INTEGER", PgType::int8, "1"},
      {"1", "TEXT", PgType::text, "'1'"},
      {"1.0", "TEXT", PgType::text, "'1.0'"},
      {"1", "STRING", PgType::text, "'1'"},
      {"'007'", "STRING", PgType::text, "'7'"},
      {"'007'", "TEXT", PgType::text, "'007'"},
      {"word", "TEXT", PgType::text, "'word'"},
      {"\"dq\"", "TEXT", PgType::text, "'dq'"},
      {"'CURRENT_TIMESTAMP'", "TEXT", PgType::text, "'CURRENT_TIMESTAMP'"},
      {"'CURRENT_TIMESTAMP'", "DATETIME", PgType::timestamp,
       "! the default 'CURRENT_TIMESTAMP' is no timestamp without time zone"},
      {"1", "BOOLEAN", PgType::boolean, "true"},
      {"0", "BOOLEAN", PgType::boolean, "false"},
      {"'true'", "BOOLEAN", PgType::boolean, "true"},
      {"'t'", "BOOLEAN", PgType::boolean, "true"},
      {"false", "BOOLEAN", PgType::boolean, "false"},
      {"2", "BOOLEAN", PgType::boolean, "! the default 2 is no boolean"},
      {"''", "BOOLEAN", PgType::boolean, "! the default '' is no boolean"},
      {"70000", "SMALLINT", PgType::int2, "! the default 70000 is no smallint"},
      {"'0.1'", "REAL", PgType::float8, "0.1"},
      {"0.10", "DECIMAL(10,2)", PgType::numeric, "0.1"},
      {"9e999", "REAL", PgType::float8, "'Infinity'::double precision"},
      {"x'00ff'", "BLOB", PgType::bytea, "'\\x00ff'::bytea"},
      {"'ab'", "BLOB", PgType::bytea, "'\\x6162'::bytea"},
      {"0", "BLOB", PgType::bytea, "! the default 0 is no bytea"},
      {"'2024-02-29'", "DATE", PgType::date, "'2024-02-29'"},
      {"'2023-02-29'", "DATE", PgType::date, "! the default '2023-02-29' is no date"},
      {"'0000-00-00'", "DATE", PgType::date, "! the default '0000-00-00' is no date"},
      {"''", "DATE", PgType::date, "! the default '' is no date"},
      {"0", "DATETIME", PgType::timestamp, "! the default 0 is no timestamp without time zone"},
      {"'2024-01-01'", "DATETIME", PgType::timestamp, "'2024-01-01'"},
      {"'2024-01-01T10:00:00.5'", "DATETIME", PgType::timestamp, "'2024-01-01T10:00:00.5'"},
      {"'2024-01-01T10:00:00Z'", "DATETIME", PgType::timestamp,
       "! the default '2024-01-01T10:00:00Z' is no timestamp without time zone"},
      {"'2024-01-01T10:00:00Z'", "TIMESTAMPTZ", PgType::timestamptz, "'2024-01-01T10:00:00Z'"},
      {"'10:00'", "TIME", PgType::time, "'10:00'"},
      {"'{}'", "JSON", PgType::json, "'{}'"},
      {"''", "JSON", PgType::json, "! the default '' is no json"},
      {"0", "JSON", PgType::json, "'0'"},
      {"'word'", "JSON", PgType::json, "! the default 'word' is no json"},
      {"'00000000-0000-0000-0000-000000000000'", "UUID", PgType::uuid,
       "'00000000-0000-0000-0000-000000000000'"},
      {"'x'", "UUID", PgType::uuid, "! the default 'x' is no uuid"},
      {"CURRENT_TIMESTAMP", "DATETIME", PgType::timestamp,
       "date_trunc('second', statement_timestamp() AT TIME ZONE 'UTC')"},
      {"CURRENT_TIMESTAMP", "TIMESTAMPTZ", PgType::timestamptz,
       "date_trunc('second', statement_timestamp())"},
      {"CURRENT_TIMESTAMP", "TEXT", PgType::text,
       "to_char(statement_timestamp() AT TIME ZONE 'UTC', 'YYYY-MM-DD HH24:MI:SS')"},
      {"CURRENT_TIMESTAMP", "DATE", PgType::date, "(statement_timestamp() AT TIME ZONE 'UTC')::date"},
      {"CURRENT_TIMESTAMP", "INTEGER", PgType::int8, "! a moment as text in a column of type bigint"},
      {"CURRENT_DATE", "DATE", PgType::date, "(statement_timestamp() AT TIME ZONE 'UTC')::date"},
      {"CURRENT_DATE", "TEXT", PgType::text,
       "to_char(statement_timestamp() AT TIME ZONE 'UTC', 'YYYY-MM-DD')"},
      {"CURRENT_TIME", "TIME", PgType::time,
       "date_trunc('second', statement_timestamp() AT TIME ZONE 'UTC')::time"},
      {"datetime('now')", "TEXT", PgType::text,
       "to_char(statement_timestamp() AT TIME ZONE 'UTC', 'YYYY-MM-DD HH24:MI:SS')"},
      {"datetime('now', 'localtime')", "TEXT", PgType::text,
       "! 'localtime' is the time zone of whatever machine runs SQLite"},
      {"datetime('now', '+1 day')", "TEXT", PgType::text, "! the modifier '+1 day' is not translated"},
      {"datetime('2024-01-01')", "TEXT", PgType::text, "! datetime of something other than now"},
      {"strftime('%s', 'now')", "INTEGER", PgType::int8,
       "floor(extract(epoch FROM statement_timestamp()))::bigint"},
      {"strftime('%s', 'now')", "TEXT", PgType::text,
       "floor(extract(epoch FROM statement_timestamp()))::bigint::text"},
      {"strftime('%s', 'now')", "DATETIME", PgType::timestamp,
       "! its value is not of the column's type, timestamp without time zone"},
      {"strftime('%Y-%m-%dT%H:%M:%fZ', 'now')", "TEXT", PgType::text,
       "to_char(statement_timestamp() AT TIME ZONE 'UTC', 'YYYY-MM-DD\"T\"HH24:MI:SS.MS\"Z\"')"},
      {"strftime('%Y-%m-%d %H:%M:%fZ')", "TEXT", PgType::text,
       "to_char(statement_timestamp() AT TIME ZONE 'UTC', 'YYYY-MM-DD HH24:MI:SS.MS\"Z\"')"},
      {"strftime('%Y-%m-%dT%H:%M:%fZ', 'now')", "DATETIME", PgType::timestamp,
       "date_trunc('milliseconds', statement_timestamp() AT TIME ZONE 'UTC')"},
      {"strftime('%W', 'now')", "TEXT", PgType::text, "! strftime with a format that is not translated"},
      {"unixepoch()", "INTEGER", PgType::int8, "floor(extract(epoch FROM statement_timestamp()))::bigint"},
      {"unixepoch()", "REAL", PgType::float8,
       "floor(extract(epoch FROM statement_timestamp()))::bigint::double precision"},
      {"(unixepoch() * 1000)", "INTEGER", PgType::int8,
       "floor(extract(epoch FROM statement_timestamp()))::bigint * 1000"},
      {"julianday('now')", "REAL", PgType::float8,
       "extract(epoch FROM date_trunc('milliseconds', statement_timestamp()))::double precision / 86400 + "
       "2440587.5"},
      {"CAST((julianday('now') - 2440587.5) * 86400000 AS INTEGER)", "INTEGER", PgType::int8,
       "trunc((extract(epoch FROM date_trunc('milliseconds', statement_timestamp()))::double precision / "
       "86400 + 2440587.5 - 2440587.5) * 86400000)::bigint"},
      {"lower(hex(randomblob(16)))", "TEXT", PgType::text,
       "left(encode(sha256(uuid_send(gen_random_uuid()) || uuid_send(gen_random_uuid())), 'hex'), 32)"},
      {"lower(hex(randomblob(16)))", "UUID", PgType::uuid, "gen_random_uuid()"},
      {"'r'||lower(hex(randomblob(7)))", "TEXT", PgType::text,
       "'r' || left(encode(sha256(uuid_send(gen_random_uuid()) || uuid_send(gen_random_uuid())), 'hex'), "
       "14)"},
      {"hex(randomblob(4))", "TEXT", PgType::text, "upper(right(gen_random_uuid()::text, 8))"},
      {"randomblob(16)", "BLOB", PgType::bytea,
       "substr(sha256(uuid_send(gen_random_uuid()) || uuid_send(gen_random_uuid())), 1, 16)"},
      {"hex(randomblob(99))", "TEXT", PgType::text, "! the function randomblob is not translated"},
      {"random()", "INTEGER", PgType::int8,
       "('x' || left(encode(sha256(uuid_send(gen_random_uuid())), 'hex'), 16))::bit(64)::bigint"},
      {"(1 + 2) * 3", "INTEGER", PgType::int8, "(1::bigint + 2) * 3"},
      {"timestamp()", "TEXT", PgType::text, "! the function timestamp is not translated"},
      {"n", "INTEGER", PgType::int8, "! the default 'n' is no bigint"},
      {"'n\nm'", "INTEGER", PgType::int8, "! the default 'n m' is no bigint"},
      {"(upper('x') || 1)", "TEXT", PgType::text, "upper('x' COLLATE \"C\") || '1'"},
  };
  for (const TypedCase& each : cases) {
    const ScopeColumn column{"c", "c", each.type, each.declared, "", false};
    EXPECT_EQ(said(translate_default(each.sql, column)), each.expected)
        << each.sql << " for " << each.declared;
  }
}

TEST(TranslateDefault, RecognizesUuidsPutTogetherByHand) {
  const std::string halves =
      "lower(hex(randomblob(4))) || '-' || lower(hex(randomblob(2))) || '-4' || "
      "substr(lower(hex(randomblob(2))),2) || '-' || substr('89ab',abs(random()) % 4 + 1, 1) || "
      "substr(lower(hex(randomblob(2))),2) || '-' || lower(hex(randomblob(6)))";
  EXPECT_EQ(said(translate_default(halves, {"c", "c", PgType::text, "TEXT", "", false})),
            "gen_random_uuid()::text");
  EXPECT_EQ(said(translate_default(halves, {"c", "c", PgType::uuid, "UUID", "", false})),
            "gen_random_uuid()");
}

TEST(TranslateDefault, OfNullNeedsNone) {
  const Translation translation = translate_default("null", {"c", "c", PgType::int8, "INT", "", false});
  EXPECT_TRUE(translation.translated());
  EXPECT_EQ(translation.value, ValueClass::null);
}

TEST(Translation, TellsWhatIsNotFitForAnIndex) {
  EXPECT_TRUE(translate_condition("n > 0", scope()).immutable);
  EXPECT_TRUE(translate_condition("day > '2024-01-01'", scope()).immutable);
  EXPECT_FALSE(translate_condition("hex(name) = ''", scope()).immutable);
  EXPECT_FALSE(translate_default("CURRENT_TIMESTAMP", {"c", "c", PgType::text, "TEXT", "", false}).immutable);
  EXPECT_FALSE(translate_default("random()", {"c", "c", PgType::int8, "INT", "", false}).immutable);
}

TEST(Translation, TellsWhatMayFailWhereSqliteDoesNot) {
  for (const char* sql :
       {"n + 1 > 0", "n / id > 0", "-n > 0", "price * 2 > 1", "abs(n) > 1", "CAST(price AS INT) > 1"}) {
    EXPECT_TRUE(translate_condition(sql, scope()).can_fail) << sql;
  }
  for (const char* sql : {"n > 0", "n / 2 > 0", "n % id > 0", "~n > 0", "n & 1", "length(name) > 1"}) {
    EXPECT_FALSE(translate_condition(sql, scope()).can_fail) << sql;
  }
}

TEST(Translation, RemarksOnWhatAReaderWouldNotExpect) {
  const auto remarks = [](const char* sql) { return translate_condition(sql, scope()).remarks; };
  EXPECT_EQ(remarks("name = \"missing\""),
            std::vector<std::string>{"\"missing\" is no column, so SQLite reads it as a string"});
  EXPECT_EQ(remarks("name = \"mis\nsing\""),
            std::vector<std::string>{"\"mis sing\" is no column, so SQLite reads it as a string"});
  EXPECT_EQ(remarks("at < until AND at < until"),
            std::vector<std::string>{"moments are compared as such, not by their spelling"});
  EXPECT_TRUE(remarks("n > 0").empty());
}

TEST(ScopeOf, TakesCollationsFromTheText) {
  SourceTable source;
  source.name = "t";
  source.sql = "CREATE TABLE t (a TEXT COLLATE NOCASE, b TEXT)";
  TablePlan plan;
  for (const char* name : {"A", "b"}) {
    ColumnPlan column;
    column.source = name;
    column.target = std::string(name) + "_2";
    column.declared_type = "TEXT";
    column.not_null = true;
    plan.columns.push_back(column);
  }
  const Scope found = scope_of(source, plan);
  ASSERT_EQ(found.columns.size(), 2u);
  EXPECT_EQ(found.columns[0].collation, "NOCASE");
  EXPECT_TRUE(found.columns[0].not_null);
  EXPECT_EQ(found.columns[1].collation, "");
  EXPECT_EQ(said(translate_condition("T.a = 'X'", found)), "lower(\"A_2\" COLLATE \"C\") = 'x'");
}

TEST(TextPattern, GlobSetsFollowSqlitesLoop) {
  const std::vector<Case> cases = {
      {"a*", "^a.*$"},      {"[abc]?", "^[abc].$"},     {"[^a-z]", "^[^a-z]$"},
      {"[]x]", "^[\\]x]$"}, {"[^]x]", "^[^\\]x]$"},     {"[-a]", "^[\\-a]$"},
      {"[a-]", "^[a\\-]$"}, {"[a-c-e]", "^[a-c\\-e]$"}, {"[]-a]", "^[\\]\\-a]$"},
      {"[[]", "^[\\[]$"},   {"a.b$(", "^a\\.b\\$\\($"}, {"[\xc3\xa4-\xc3\xbc]", "^[\xc3\xa4-\xc3\xbc]$"}};
  for (const Case& each : cases) EXPECT_EQ(glob_regex(each.sql), each.expected) << each.sql;
  for (const char* pattern : {"[a", "[", "[]", "[^]", "[b-a]"}) EXPECT_FALSE(glob_regex(pattern)) << pattern;
}

TEST(TextPattern, LikeKnowsNoEscapeUntilOneIsGiven) {
  EXPECT_EQ(like_pattern("a\\%_", '\0'), "a\\\\%_");
  EXPECT_EQ(like_pattern("a!%!_!!%", '!'), "a\\%\\_!%");
  EXPECT_EQ(like_pattern("a\\%", '\\'), "a\\%");
  EXPECT_FALSE(like_pattern("a!", '!'));
  EXPECT_EQ(glob_like("a*b?c%"), "a%b_c\\%");
  EXPECT_FALSE(glob_like("[a]"));
}

}  // namespace
}  // namespace sluice
