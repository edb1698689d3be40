#pragma once
// What SQLite's catalog does not say in columns of its own: constraints, expressions and collations, read
// from the text of CREATE TABLE and CREATE INDEX.
//
// The reader follows tokens, so odd spacing, comments, quoted names and the word CHECK inside of a string
// mean nothing to it. It does not judge the expressions: they come back as they stand, for translate.h. What
// is only understood in part gives nullopt, never half a list: a lost CHECK must not look like no CHECK.

#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace sluice {

struct CheckClause {
  std::string name;        // of the CONSTRAINT, empty without one
  std::string expression;  // without the parentheses around it
  std::string column;      // where it stands; empty for the table's own. It may name any column either way.
};

struct GeneratedClause {
  std::string column;
  std::string expression;
  bool stored = false;
};

struct CollateClause {
  std::string column;
  std::string collation;  // as written; the last one where there are several, as in SQLite
};

// MATCH means nothing to SQLite.
struct ForeignKeyClause {
  std::string name;  // of the CONSTRAINT, empty without one
  std::vector<std::string> columns;
  std::string parent;
  // DEFERRABLE INITIALLY DEFERRED. SQLite checks every other key at the end of the statement, those that are
  // DEFERRABLE INITIALLY IMMEDIATE too.
  bool deferred = false;
  bool deferrable = false;
};

struct TableClauses {
  std::vector<CheckClause> checks;
  std::vector<GeneratedClause> generated;
  std::vector<CollateClause> collations;
  // In the order of the text. PRAGMA foreign_key_list counts backwards: its id 0 is the last one here.
  std::vector<ForeignKeyClause> foreign_keys;
};

// nullopt when the text is not a CREATE TABLE with columns, or cannot be read to its end.
std::optional<TableClauses> find_clauses(std::string_view create_table_sql);

struct IndexPart {
  std::string expression;  // a column's name or any expression, as written, without COLLATE and ASC or DESC
  std::string collation;   // empty without a COLLATE of its own
  bool descending = false;
};

struct IndexParts {
  std::vector<IndexPart> keys;
  std::string where;  // empty for a whole index
};

std::optional<IndexParts> find_index_parts(std::string_view create_index_sql);

}  // namespace sluice
