#pragma once
// SQLite's SELECT and CREATE VIEW as trees (https://www.sqlite.org/lang_select.html, lang_createview.html).
//
// Read in full: WITH, compound selects, VALUES, DISTINCT, result columns, joins of every kind and in
// parentheses, WHERE, GROUP BY, HAVING, ORDER BY, LIMIT and OFFSET. Not read, with a reason: table-valued
// functions, named windows, frames. INDEXED BY and MATERIALIZED are read over: they change no row.

#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "engine/translate/sql_expression.h"

namespace sluice {

struct ResultColumn {
  ExpressionPtr expression{};  // null for * and table.*
  std::string table{};         // of table.*
  std::string alias{};         // empty without one
  std::string written{};       // the expression as it stands, which names it where nothing else does
};

enum class JoinKind : std::uint8_t { cross, inner, left, right, full };

struct Source;

// One more table and how it is joined to those before it; the first one's join means nothing. A comma is a
// cross join: SQLite, unlike the standard, lets it bind as any other.
struct Joined {
  JoinKind kind = JoinKind::cross;
  bool natural = false;
  ExpressionPtr on{};
  std::vector<std::string> columns{};  // USING
  std::unique_ptr<Source> source{};
};

// What stands in FROM: one of a name, a subquery, or joins in parentheses.
struct Source {
  std::string name{};
  std::string schema{};  // main.t; empty without
  std::string alias{};
  std::shared_ptr<const Select> select{};
  std::vector<Joined> joins{};
};

// SELECT ... HAVING ..., or one VALUES.
struct SelectCore {
  bool distinct = false;
  std::vector<ResultColumn> columns{};
  std::vector<Joined> from{};  // empty without FROM
  ExpressionPtr where{};
  std::vector<ExpressionPtr> group_by{};
  ExpressionPtr having{};
  std::vector<std::vector<ExpressionPtr>> values{};  // rows; then all the others are empty
};

enum class SetOperator : std::uint8_t { union_distinct, union_all, intersect, except };

struct CommonTable {
  std::string name{};
  std::vector<std::string> columns{};  // empty without a list
  std::shared_ptr<const Select> select{};
};

struct Select {
  std::vector<CommonTable> with{};
  bool recursive = false;                // as written; no more than a permission
  std::vector<SelectCore> cores{};       // at least one
  std::vector<SetOperator> operators{};  // one less than cores; all of one strength, from left to right
  std::vector<OrderTerm> order_by{};
  ExpressionPtr limit{};
  ExpressionPtr offset{};
};

struct ViewDefinition {
  std::string name{};
  std::vector<std::string> columns{};  // empty without a list
  std::shared_ptr<const Select> select{};
};

struct ParsedView {
  ViewDefinition view;
  std::string problem;  // one line; empty when it was read
};

// A whole CREATE VIEW. Takes any bytes.
ParsedView parse_view(std::string_view create_view_sql);

// The names of all tables and views that stand in any FROM of it, in lower case, in order, each once; of
// common tables, too.
std::vector<std::string> tables_in(const Select& select);

}  // namespace sluice
