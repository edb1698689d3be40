#pragma once
// SQLite's expressions as trees (https://www.sqlite.org/lang_expr.html; precedences as in its parse.y).
//
// Read in full: literals, columns, operators, [NOT] IN (list), BETWEEN, LIKE and its kin, COLLATE, CAST,
// CASE, function calls, row values. RAISE and bind parameters are not read: what holds one is a problem with
// a reason. Neither are subqueries, aggregates with DISTINCT or FILTER and window functions by
// parse_expression, since neither a constraint nor a default can be translated with one; inside of a SELECT
// (sql_select.h) they are.
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
  integer,   // `integer`; hexadecimal literals too
  real,      // `real`; an integer literal beyond 64 bits is one
  text,      // `text`
  blob,      // `text` holds the bytes
  column,    // `text`, and `qualifier` where one was written
  clock,     // `text`: current_time, current_date or current_timestamp
  unary,     // `text`: - + ~ not
  binary,    // `text`: an operator of SQLite in one spelling: = <> < <= > >= is and or + - * / % & | << >> ||
             // -> ->>; `negated` for IS NOT (and for IS DISTINCT FROM)
  in,        // children: what is looked for, then the list, which may be empty; `negated`
  between,   // children: value, low, high; `negated`
  like,      // `text`: like, glob, regexp, match; children: value, pattern, maybe the escape; `negated`
  collate,   // `text`: the collation
  cast,      // `text`: the type as written
  choice,    // CASE: children: WHEN and THEN by turns; `has_base`: first the base; `has_else`: last the ELSE
  call,      // `text`: the function in lower case; children: the arguments; `negated`: f(*)
  row,       // (a, b)
  subquery,  // `select`, as one value
  exists,    // `select`
  in_select,  // children: what is looked for; `select`; `negated`
};

struct Expression;
struct Select;  // sql_select.h
struct Window;
struct Token;
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
  // Only inside of a SELECT.
  std::shared_ptr<const Select> select{};
  bool distinct = false;  // f(DISTINCT x)
  ExpressionPtr filter{};
  std::shared_ptr<const Window> window{};
};

struct OrderTerm {
  ExpressionPtr expression{};
  bool descending = false;
  // SQLite's own place for NULL is first, and last under DESC.
  bool nulls_written = false;
  bool nulls_first = false;
};

// OVER (...), without a frame.
struct Window {
  std::vector<ExpressionPtr> partition{};
  std::vector<OrderTerm> order{};
};

struct ParsedExpression {
  ExpressionPtr tree;   // null when there is a problem
  std::string problem;  // one line
};

// The whole text as one expression.
ParsedExpression parse_expression(std::string_view sql);

// ---- for the parser of SELECT ----

// Why SQL cannot be read. Thrown by read_expression and by a SubqueryReader, caught by the entry points.
struct SqlProblem {
  std::string text;
};

// What an expression calls when it comes to a SELECT or VALUES: reads it from tokens[at] on and leaves `at`
// behind it. `depth` counts the levels around it, for kExpressionDepthMax.
class SubqueryReader {
 public:
  virtual std::shared_ptr<const Select> read_select(std::size_t& at, int depth) = 0;

 protected:
  ~SubqueryReader() = default;
};

// One expression from tokens[at] on; `at` ends up behind it. Throws SqlProblem.
ExpressionPtr read_expression(const std::vector<Token>& tokens, std::size_t& at, SubqueryReader& subqueries,
                              int depth);

// The terms behind ORDER BY.
std::vector<OrderTerm> read_order(const std::vector<Token>& tokens, std::size_t& at,
                                  SubqueryReader& subqueries, int depth);

// True for words that SQLite never takes for an identifier.
bool is_reserved(std::string_view folded);

// ---- for tests ----

// The tree with every operation in parentheses, for tests and for looking at: ((a + 1) * -2).
std::string to_string(const Expression& expression);

}  // namespace sluice
