#pragma once
// SQLite's expressions as trees (https://www.sqlite.org/lang_expr.html; precedences as in its parse.y).
//
// Read in full: literals, columns, operators, [NOT] IN (list), BETWEEN, LIKE and its kin, COLLATE, CAST,
// CASE, function calls, row values. Subqueries, RAISE, aggregates with DISTINCT or FILTER, window functions
// and bind parameters are not read: what holds one is a problem with a reason, since neither a constraint
// nor a default can be translated with one.
//
// Takes any bytes. Nesting is limited to kExpressionDepthMax, well below SQLite's own limit of 1000, so that
// whoever walks a tree may recurse.

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

namespace sluice {

inline constexpr int kExpressionDepthMax = 200;

enum class ExpressionKind : std::uint8_t {
  null,
  integer,  // `integer`; hexadecimal literals too
  real,     // `real`; an integer literal beyond 64 bits is one
  text,     // `text`
  blob,     // `text` holds the bytes
  column,   // `text`, and `qualifier` where one was written
  clock,    // `text`: current_time, current_date or current_timestamp
  unary,    // `text`: - + ~ not
  binary,   // `text`: an operator of SQLite in one spelling: = <> < <= > >= is and or + - * / % & | << >> ||
            // -> ->>; `negated` for IS NOT (and for IS DISTINCT FROM)
  in,       // children: what is looked for, then the list, which may be empty; `negated`
  between,  // children: value, low, high; `negated`
  like,     // `text`: like, glob, regexp, match; children: value, pattern, maybe the escape; `negated`
  collate,  // `text`: the collation
  cast,     // `text`: the type as written
  choice,   // CASE: children: WHEN and THEN by turns; `has_base`: first the base; `has_else`: last the ELSE
  call,     // `text`: the function in lower case; children: the arguments; `negated`: f(*)
  row,      // (a, b)
};

struct Expression;
using ExpressionPtr = std::unique_ptr<Expression>;

struct Expression {
  ExpressionKind kind = ExpressionKind::null;
  std::string text{};
  std::string qualifier{};
  std::int64_t integer = 0;
  double real = 0;
  bool negated = false;
  bool has_base = false;
  bool has_else = false;
  // For a column: a bare word may also be TRUE or FALSE, and what stands in double quotes a string.
  bool bare = false;
  bool double_quoted = false;
  int height = 1;
  bool holds_collate = false;  // somewhere below
  std::vector<ExpressionPtr> children{};
};

struct ParsedExpression {
  ExpressionPtr tree;   // null when there is a problem
  std::string problem;  // one line
};

// The whole text as one expression.
ParsedExpression parse_expression(std::string_view sql);

// The tree with every operation in parentheses, for tests and for looking at: ((a + 1) * -2).
std::string to_string(const Expression& expression);

}  // namespace sluice
