#pragma once
// SQLite's expressions in PostgreSQL's SQL: the same value for every row, or a reason why not.
//
// The two agree on few expressions as written. SQLite compares 5 with '5' by affinity, takes numbers for
// truth values, gives NULL for a division by zero, and folds ASCII alone in LIKE and lower(). So a
// translation is built from types: every part carries what SQLite would hold there and what PostgreSQL holds
// instead, and whatever has no rule is refused. https://www.sqlite.org/datatype3.html (affinity, 4.2),
// lang_expr.html, lang_corefunc.html; all of it tried against both servers by tests/pg/translation_test.cc.
//
// Taken for granted, because the load has made it so: a column's values are of its target's type. A boolean
// holds 0 and 1, a date is text in ISO form, a bytea was a blob, a double is no infinity where it is computed
// with. The server's encoding is UTF8.
//
// Refused, each with its reason: subqueries, window functions, row values, functions not listed in
// translate.cc, text used as a number or a truth value, comparisons between different classes (other than
// with a literal that the affinity of the column converts), columns of unsure content (no declared type,
// STRING) other than = with a literal that cannot be a number, decimals in arithmetic, doubles turned into
// text, LIKE and GLOB with a pattern that is not a literal, round() of doubles, 'localtime'. And in
// conditions and values, all that changes from one moment to the next.
//
// Accepted although not the same, since the difference is an error instead of a value, and said in remarks:
// integer arithmetic beyond 64 bits (SQLite goes on with a double), doubles out of range.

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "engine/model/catalog.h"
#include "engine/model/pg_type.h"
#include "engine/model/plan.h"
#include "engine/translate/sql_clauses.h"

namespace sluice {

// What a translated expression yields.
enum class ValueClass : std::uint8_t {
  null,     // the literal NULL
  boolean,  // 0 or 1 in SQLite
  integer,
  real,    // double precision
  number,  // integers and doubles mixed in SQLite; numeric or double precision here. Only compared.
  text,
  blob,
  date,
  time,
  timestamp,
  timestamptz,
  json,
  uuid,
};

struct Translation {
  std::string sql;     // empty when refused
  std::string reason;  // one line; empty when translated
  std::vector<std::string> remarks;
  ValueClass value = ValueClass::null;
  // For PostgreSQL: fit for indexes and generated columns.
  bool immutable = true;
  // Some row may bring it to an error (overflow) where SQLite has a value. A generated column that fails
  // makes the whole COPY fail; a CHECK that fails only refuses the row.
  bool can_fail = false;

  [[nodiscard]] bool translated() const { return !sql.empty(); }
};

struct ScopeColumn {
  std::string source;
  std::string target;
  PgType type = PgType::text;
  std::string declared_type;  // for the affinity; empty where none was declared
  std::string collation;      // BINARY when empty
  bool not_null = false;
  // Its values are not those of SQLite (an epoch became a timestamp, '' a NULL): it arrives as it is, and no
  // expression may look into it.
  bool converted = false;
};

// What the names in an expression mean.
struct Scope {
  std::string table;  // the only name that may qualify a column
  std::vector<ScopeColumn> columns;
};

// The columns of a planned table, with the collations that its CREATE TABLE gives them.
Scope scope_of(const SourceTable& source, const TablePlan& plan);

// A DEFAULT as PRAGMA table_xinfo prints it, for ALTER COLUMN ... SET DEFAULT. The value NULL
// (ValueClass::null) needs no default at all. Literals get the affinity of the column before they are held
// against its type, and '' or 'abc' on a number are refused.
//
// Times: SQLite's are UTC and stand still during a statement, to the second; so statement_timestamp(), cut
// off, AT TIME ZONE 'UTC'. Random identifiers: hex(randomblob(n)) becomes n random bytes made from
// gen_random_uuid(), the server's only source of strong randomness without an extension.
Translation translate_default(std::string_view sql, const ScopeColumn& column);

// A CHECK or the WHERE of an index: a boolean. NULL passes a CHECK in both, and keeps a row out of an index.
// For an index, insist on `immutable`.
Translation translate_condition(std::string_view sql, const Scope& scope);

// A generated column's expression, as a value for that column. Insist on `immutable`; mind `can_fail`.
Translation translate_value(std::string_view sql, const Scope& scope, const ScopeColumn& column);

// The same in a table whose clauses name generated columns: a reference to one that would be generated here,
// too, is replaced by its expression, because PostgreSQL takes no generated column inside of another.
// fit_for_generation says which would.
Translation translate_generated(const std::vector<GeneratedClause>& clauses, const Scope& scope,
                                const ScopeColumn& column);

// For GENERATED ALWAYS AS (...) STORED: always the same, the same as in SQLite, and never an error.
bool fit_for_generation(const Translation& translation);

// One key of an index, ready to stand in its list: "col", lower("col" COLLATE "C") for NOCASE, or an
// expression in parentheses. `collation` as PRAGMA index_xinfo has it, or empty. ASC and DESC are not its
// business. Insist on `immutable`.
Translation translate_key(std::string_view sql, const Scope& scope, std::string_view collation = {});

// Any expression, with whatever class it has. The others are built on it; tests compare its values.
Translation translate_expression(std::string_view sql, const Scope& scope);

}  // namespace sluice
