#include "engine/translate/sql_expression.h"

#include <algorithm>
#include <array>
#include <charconv>
#include <limits>
#include <optional>
#include <utility>

#include "engine/model/hex.h"
#include "engine/model/quote.h"
#include "engine/translate/sql_tokens.h"

namespace sluice {
namespace {

// Precedences from loosest to tightest. NOT stands between AND and the equalities; COLLATE binds tighter than
// any operator but the signs.
enum Level : int {
  kOr = 1,
  kAnd,
  kNot,
  kEquality,  // = == <> != IS IN LIKE GLOB MATCH REGEXP BETWEEN ISNULL NOTNULL
  kOrder,
  kBits,
  kSum,
  kProduct,
  kConcatenation,
  kCollate,
};

struct SymbolOperator {
  std::string_view symbol;
  std::string_view name;  // one spelling
  Level level;
};
constexpr std::array kSymbolOperators = {
    SymbolOperator{"=", "=", kEquality},
    SymbolOperator{"==", "=", kEquality},
    SymbolOperator{"<>", "<>", kEquality},
    SymbolOperator{"!=", "<>", kEquality},
    SymbolOperator{"<", "<", kOrder},
    SymbolOperator{"<=", "<=", kOrder},
    SymbolOperator{">", ">", kOrder},
    SymbolOperator{">=", ">=", kOrder},
    SymbolOperator{"&", "&", kBits},
    SymbolOperator{"|", "|", kBits},
    SymbolOperator{"<<", "<<", kBits},
    SymbolOperator{">>", ">>", kBits},
    SymbolOperator{"+", "+", kSum},
    SymbolOperator{"-", "-", kSum},
    SymbolOperator{"*", "*", kProduct},
    SymbolOperator{"/", "/", kProduct},
    SymbolOperator{"%", "%", kProduct},
    SymbolOperator{"||", "||", kConcatenation},
    SymbolOperator{"->", "->", kConcatenation},
    SymbolOperator{"->>", "->>", kConcatenation},
};

// Words that SQLite never takes for an identifier. All other keywords may be one where no rule wants them.
constexpr std::array<std::string_view, 56> kReserved = {
    "add",         "all",     "alter",  "and",        "as",       "autoincrement",
    "between",     "case",    "check",  "collate",    "commit",   "constraint",
    "create",      "default", "delete", "deferrable", "distinct", "drop",
    "else",        "escape",  "exists", "foreign",    "from",     "group",
    "having",      "in",      "index",  "insert",     "into",     "is",
    "isnull",      "join",    "limit",  "not",        "nothing",  "notnull",
    "null",        "on",      "or",     "order",      "primary",  "references",
    "returning",   "select",  "set",    "table",      "then",     "to",
    "transaction", "union",   "unique", "update",     "using",    "values",
    "when",        "where"};

using Problem = SqlProblem;

class Parser : private TokenCursor {
 public:
  explicit Parser(const std::vector<Token>& tokens, SubqueryReader* subqueries = nullptr, std::size_t at = 0,
                  int depth = 0)
      : TokenCursor(tokens, at), subqueries_(subqueries), depth_(depth) {}

  // One expression, and where it ends.
  ExpressionPtr part(std::size_t& at) {
    ExpressionPtr tree = expression(kOr);
    at = at_;
    return tree;
  }

  std::vector<OrderTerm> order(std::size_t& at) {
    std::vector<OrderTerm> terms = order_terms();
    at = at_;
    return terms;
  }

  ExpressionPtr whole() {
    ExpressionPtr tree = expression(kOr);
    if (now().kind != TokenKind::end) unexpected();
    return tree;
  }

 private:
  // One per level of recursion, and every level of the tree comes from one or from a node on the left.
  class Depth {
   public:
    explicit Depth(int& depth) : depth_(depth) {
      if (++depth_ > kExpressionDepthMax) throw Problem{"it is nested too deeply"};
    }
    ~Depth() { --depth_; }
    Depth(const Depth&) = delete;
    Depth& operator=(const Depth&) = delete;

   private:
    int& depth_;
  };

  // ---- tokens ----

  void expect_symbol(std::string_view symbol) {
    if (!take_symbol(symbol)) unexpected();
  }
  void expect_word(std::string_view word) {
    if (!take_word(word)) unexpected();
  }
  [[noreturn]] void unexpected() const {
    if (now().kind == TokenKind::end) throw Problem{"it ends in the middle of an expression"};
    if (now().kind == TokenKind::parameter) throw Problem{"it holds a bind parameter"};
    constexpr std::size_t kShown = 40;
    std::string shown(now().text.substr(0, kShown));
    for (char& c : shown) {
      if (static_cast<unsigned char>(c) < 0x20 || static_cast<unsigned char>(c) >= 0x7f) c = '?';
    }
    throw Problem{"it cannot be read at " + shown};
  }

  // ---- nodes ----

  static ExpressionPtr node(ExpressionKind kind, std::string text = {}) {
    auto made = std::make_unique<Expression>();
    made->kind = kind;
    made->text = std::move(text);
    return made;
  }

  static void adopt(Expression& parent, ExpressionPtr child) {
    parent.height = std::max(parent.height, child->height + 1);
    parent.holds_collate |= child->holds_collate || child->kind == ExpressionKind::collate;
    if (parent.height > kExpressionDepthMax) throw Problem{"it is nested too deeply"};
    parent.children.push_back(std::move(child));
  }

  static ExpressionPtr binary(std::string_view name, ExpressionPtr left, ExpressionPtr right,
                              bool negated = false) {
    ExpressionPtr made = node(ExpressionKind::binary, std::string(name));
    made->negated = negated;
    adopt(*made, std::move(left));
    adopt(*made, std::move(right));
    return made;
  }

  // ---- operators ----

  ExpressionPtr expression(int loosest) {
    const Depth guard(depth_);
    ExpressionPtr left = prefix();
    while (continue_with(left, loosest)) {
    }
    return left;
  }

  // Takes one operator and what stands to its right, if it binds at least as tightly as `loosest`.
  bool continue_with(ExpressionPtr& left, int loosest) {
    if (now().kind == TokenKind::symbol) return continue_with_symbol(left, loosest);
    if (now().kind != TokenKind::word) return false;
    for (const auto& [word, level] : {std::pair{"or", kOr}, std::pair{"and", kAnd}}) {
      if (!is_word(now(), word)) continue;
      if (level < loosest) return false;
      advance();
      left = binary(word, std::move(left), expression(level + 1));
      return true;
    }
    if (is_word(now(), "collate")) {
      if (kCollate < loosest) return false;
      advance();
      if (!is_name(now()) && now().kind != TokenKind::string) unexpected();
      ExpressionPtr made = node(ExpressionKind::collate, unquoted(now()));
      advance();
      adopt(*made, std::move(left));
      left = std::move(made);
      return true;
    }
    return kEquality >= loosest && continue_with_equality(left);
  }

  bool continue_with_symbol(ExpressionPtr& left, int loosest) {
    const auto* found = std::find_if(kSymbolOperators.begin(), kSymbolOperators.end(),
                                     [&](const SymbolOperator& row) { return row.symbol == now().text; });
    if (found == kSymbolOperators.end() || found->level < loosest) return false;
    advance();
    left = binary(found->name, std::move(left), expression(found->level + 1));
    return true;
  }

  // The words that stand beside "=".
  bool continue_with_equality(ExpressionPtr& left) {
    if (take_word("isnull") || take_word("notnull")) {
      const bool negated = is_word(tokens_[at_ - 1], "notnull");
      left = binary("is", std::move(left), node(ExpressionKind::null), negated);
      return true;
    }
    if (take_word("is")) {
      bool negated = take_word("not");
      if (is_word(now(), "distinct") && is_word(ahead(1), "from")) {
        advance();
        advance();
        negated = !negated;
      }
      left = binary("is", std::move(left), expression(kEquality + 1), negated);
      return true;
    }
    const bool negated = is_word(now(), "not");
    const Token& word = negated ? ahead(1) : now();
    if (negated && is_word(word, "null")) {
      advance();
      advance();
      left = binary("is", std::move(left), node(ExpressionKind::null), true);
      return true;
    }
    const bool in = is_word(word, "in");
    const bool between = is_word(word, "between");
    const bool like =
        is_word(word, "like") || is_word(word, "glob") || is_word(word, "regexp") || is_word(word, "match");
    if (!in && !between && !like) return false;
    const std::string name = fold_ascii(word.text);
    if (negated) advance();
    advance();
    ExpressionPtr made =
        node(in ? ExpressionKind::in : (between ? ExpressionKind::between : ExpressionKind::like), name);
    made->negated = negated;
    adopt(*made, std::move(left));
    if (in) {
      in_list(*made);
    } else if (between) {
      adopt(*made, expression(kNot));  // up to the AND
      expect_word("and");
      adopt(*made, expression(kEquality + 1));
    } else {
      adopt(*made, expression(kEquality + 1));
      if (take_word("escape")) adopt(*made, expression(kEquality + 1));
    }
    left = std::move(made);
    return true;
  }

  void in_list(Expression& made) {
    if (!is_symbol(now(), "(")) throw Problem{"it looks into another table"};
    refuse_subquery(ahead(1));
    advance();
    if (begins_subquery(now())) {
      made.kind = ExpressionKind::in_select;
      made.select = subquery();
      expect_symbol(")");
      return;
    }
    if (take_symbol(")")) return;
    do {
      adopt(made, expression(kOr));
    } while (take_symbol(","));
    expect_symbol(")");
  }

  static bool begins_subquery(const Token& first) {
    return is_word(first, "select") || is_word(first, "values") || is_word(first, "with");
  }
  void refuse_subquery(const Token& first) const {
    if (subqueries_ == nullptr && begins_subquery(first)) throw Problem{"it holds a subquery"};
  }
  std::shared_ptr<const Select> subquery() { return subqueries_->read_select(at_, depth_); }

  // EXISTS (SELECT ...)
  ExpressionPtr exists() {
    if (subqueries_ == nullptr) throw Problem{"it holds a subquery"};
    advance();
    expect_symbol("(");
    ExpressionPtr made = node(ExpressionKind::exists);
    made->select = subquery();
    expect_symbol(")");
    return made;
  }

  std::vector<OrderTerm> order_terms() {
    std::vector<OrderTerm> terms;
    do {
      OrderTerm term;
      term.expression = expression(kOr);
      if (take_word("desc")) {
        term.descending = true;
      } else {
        take_word("asc");
      }
      if (take_word("nulls")) {
        term.nulls_written = true;
        term.nulls_first = take_word("first");
        if (!term.nulls_first) expect_word("last");
      }
      terms.push_back(std::move(term));
    } while (take_symbol(","));
    return terms;
  }

  // ---- operands ----

  ExpressionPtr prefix() {
    const Depth guard(depth_);
    if (is_word(now(), "not")) {
      advance();
      ExpressionPtr made = node(ExpressionKind::unary, "not");
      adopt(*made, expression(kNot));
      return made;
    }
    for (const std::string_view sign : {"-", "+", "~"}) {
      if (!take_symbol(sign)) continue;
      if (sign == "-" && is_least_integer()) return least_integer();
      ExpressionPtr made = node(ExpressionKind::unary, std::string(sign));
      adopt(*made, prefix());
      return sign == "-" ? folded_minus(std::move(made)) : std::move(made);
    }
    return operand();
  }

  // The one integer whose digits alone do not fit.
  [[nodiscard]] bool is_least_integer() const {
    return now().kind == TokenKind::integer && now().text == "9223372036854775808";
  }
  ExpressionPtr least_integer() {
    advance();
    ExpressionPtr made = node(ExpressionKind::integer);
    made->integer = std::numeric_limits<std::int64_t>::min();
    return made;
  }

  static ExpressionPtr folded_minus(ExpressionPtr made) {
    Expression& value = *made->children.front();
    if (value.kind == ExpressionKind::integer && value.integer != std::numeric_limits<std::int64_t>::min()) {
      value.integer = -value.integer;
    } else if (value.kind == ExpressionKind::real && value.real != 0) {
      value.real = -value.real;
    } else {
      return made;
    }
    return std::move(made->children.front());
  }

  ExpressionPtr operand() {
    switch (now().kind) {
      case TokenKind::integer:
      case TokenKind::hexadecimal:
      case TokenKind::real:
        return number();
      case TokenKind::string:
      case TokenKind::blob: {
        ExpressionPtr made = node(
            now().kind == TokenKind::string ? ExpressionKind::text : ExpressionKind::blob, unquoted(now()));
        advance();
        return made;
      }
      case TokenKind::symbol:
        if (is_symbol(now(), "(")) return group();
        unexpected();
      case TokenKind::word:
        return word();
      case TokenKind::quoted_name:
      case TokenKind::double_quoted:
        return name();
      default:
        unexpected();
    }
  }

  ExpressionPtr number() {
    const std::string_view text = now().text;
    ExpressionPtr made = node(ExpressionKind::integer);
    const char* last = text.data() + text.size();
    if (now().kind == TokenKind::hexadecimal) {
      std::uint64_t bits = 0;
      const auto result = std::from_chars(text.data() + 2, last, bits, 16);
      if (result.ec != std::errc()) throw Problem{"it holds a hexadecimal number of more than 64 bits"};
      made->integer = static_cast<std::int64_t>(bits);  // two's complement, as in SQLite
    } else if (now().kind == TokenKind::real ||
               std::from_chars(text.data(), last, made->integer).ec != std::errc()) {
      made->kind = ExpressionKind::real;
      made->integer = 0;
      // from_chars leaves the value alone on overflow; 1e999 is how SQLite spells infinity.
      const auto result = std::from_chars(text.data(), last, made->real);
      if (result.ec == std::errc::result_out_of_range) {
        const std::size_t exponent = text.find_first_of("eE");
        const bool tiny = exponent != std::string_view::npos && text.substr(exponent + 1).starts_with("-");
        made->real = tiny ? 0.0 : std::numeric_limits<double>::infinity();
      }
    }
    advance();
    return made;
  }

  ExpressionPtr group() {
    refuse_subquery(ahead(1));
    advance();
    if (begins_subquery(now())) {
      ExpressionPtr made = node(ExpressionKind::subquery);
      made->select = subquery();
      expect_symbol(")");
      return made;
    }
    ExpressionPtr first = expression(kOr);
    if (take_symbol(")")) return first;
    ExpressionPtr row = node(ExpressionKind::row);
    adopt(*row, std::move(first));
    while (take_symbol(",")) adopt(*row, expression(kOr));
    expect_symbol(")");
    return row;
  }

  ExpressionPtr word() {
    const std::string folded = fold_ascii(now().text);
    if (folded == "null") {
      advance();
      return node(ExpressionKind::null);
    }
    if (folded == "case") return choice();
    if (folded == "exists") return exists();
    const bool call = is_symbol(ahead(1), "(");
    if (folded == "cast" && call) return cast();
    if (folded == "raise" && call) throw Problem{"it holds RAISE"};
    if (folded == "current_time" || folded == "current_date" || folded == "current_timestamp") {
      advance();
      return node(ExpressionKind::clock, folded);
    }
    if (is_reserved(folded)) unexpected();
    return name();
  }

  ExpressionPtr name() {
    if (is_symbol(ahead(1), "(")) return call();
    ExpressionPtr made = node(ExpressionKind::column, unquoted(now()));
    made->bare = now().kind == TokenKind::word;
    made->double_quoted = now().kind == TokenKind::double_quoted;
    advance();
    while (take_symbol(".")) {
      if (!is_name(now())) unexpected();
      made->bare = false;
      made->double_quoted = false;
      made->qualifier = std::move(made->text);
      made->text = unquoted(now());
      advance();
    }
    return made;
  }

  ExpressionPtr call() {
    ExpressionPtr made = node(ExpressionKind::call, fold_ascii(unquoted(now())));
    advance();
    advance();
    if (is_word(now(), "distinct")) {
      if (subqueries_ == nullptr) throw Problem{"it holds an aggregate"};
      advance();
      made->distinct = true;
    }
    if (is_symbol(now(), "*") && is_symbol(ahead(1), ")")) {
      advance();
      made->negated = true;
    } else if (!is_symbol(now(), ")")) {
      refuse_subquery(now());
      do {
        adopt(*made, expression(kOr));
      } while (take_symbol(","));
    }
    if (is_word(now(), "order")) throw Problem{"it holds an aggregate"};
    expect_symbol(")");
    if (is_word(now(), "filter") && is_symbol(ahead(1), "(")) {
      if (subqueries_ == nullptr) throw Problem{"it holds an aggregate"};
      advance();
      advance();
      expect_word("where");
      made->filter = expression(kOr);
      expect_symbol(")");
    }
    if (is_word(now(), "over")) {
      if (subqueries_ == nullptr) throw Problem{"it holds a window function"};
      advance();
      made->window = window();
    }
    return made;
  }

  std::shared_ptr<const Window> window() {
    if (!take_symbol("(")) throw Problem{"it names a window"};
    auto made = std::make_shared<Window>();
    if (take_word("partition")) {
      expect_word("by");
      do {
        made->partition.push_back(expression(kOr));
      } while (take_symbol(","));
    }
    if (take_word("order")) {
      expect_word("by");
      made->order = order_terms();
    }
    if (!take_symbol(")")) throw Problem{"it frames a window"};
    return made;
  }

  ExpressionPtr cast() {
    advance();
    advance();
    ExpressionPtr made = node(ExpressionKind::cast);
    adopt(*made, expression(kOr));
    expect_word("as");
    // The type: words, and maybe one or two numbers in parentheses.
    while (!is_symbol(now(), ")")) {
      if (is_name(now())) {
        if (!made->text.empty()) made->text += ' ';
        made->text += unquoted(now());
        advance();
      } else if (is_symbol(now(), "(") && !made->text.empty()) {
        const std::optional<std::size_t> after = after_group(tokens_, at_);
        if (!after) unexpected();
        for (; at_ < *after; ++at_) made->text += now().text;
      } else {
        unexpected();
      }
    }
    advance();
    return made;
  }

  ExpressionPtr choice() {
    advance();
    ExpressionPtr made = node(ExpressionKind::choice);
    if (!is_word(now(), "when")) {
      made->has_base = true;
      adopt(*made, expression(kOr));
    }
    do {
      expect_word("when");
      adopt(*made, expression(kOr));
      expect_word("then");
      adopt(*made, expression(kOr));
    } while (is_word(now(), "when"));
    if (take_word("else")) {
      made->has_else = true;
      adopt(*made, expression(kOr));
    }
    expect_word("end");
    return made;
  }

  SubqueryReader* subqueries_;  // null where no SELECT may stand
  int depth_ = 0;
};

std::string listed(const Expression& expression, std::size_t first) {
  std::string list;
  for (std::size_t i = first; i < expression.children.size(); ++i) {
    if (i > first) list += ", ";
    list += to_string(*expression.children[i]);
  }
  return list;
}

}  // namespace

bool is_reserved(std::string_view folded) {
  return std::find(kReserved.begin(), kReserved.end(), folded) != kReserved.end();
}

ExpressionPtr read_expression(const std::vector<Token>& tokens, std::size_t& at, SubqueryReader& subqueries,
                              int depth) {
  return Parser(tokens, &subqueries, at, depth).part(at);
}

std::vector<OrderTerm> read_order(const std::vector<Token>& tokens, std::size_t& at,
                                  SubqueryReader& subqueries, int depth) {
  return Parser(tokens, &subqueries, at, depth).order(at);
}

ParsedExpression parse_expression(std::string_view sql) {
  const std::vector<Token> tokens = tokenize(sql);
  try {
    return {Parser(tokens).whole(), {}};
  } catch (const Problem& problem) {
    return {nullptr, problem.text};
  }
}

std::string to_string(const Expression& expression) {
  const auto child = [&](std::size_t i) { return to_string(*expression.children[i]); };
  const std::string negated = expression.negated ? "not " : "";
  switch (expression.kind) {
    case ExpressionKind::null:
      return "null";
    case ExpressionKind::integer:
      return std::to_string(expression.integer);
    case ExpressionKind::real: {
      std::array<char, 32> room;
      const auto result = std::to_chars(room.data(), room.data() + room.size(), expression.real);
      return {room.data(), result.ptr};
    }
    case ExpressionKind::text:
      return quote_literal(expression.text);
    case ExpressionKind::blob:
      return "x" + quote_literal(hex_of(expression.text));
    case ExpressionKind::column:
      return (expression.qualifier.empty() ? "" : expression.qualifier + ".") + expression.text;
    case ExpressionKind::clock:
      return expression.text;
    case ExpressionKind::unary:
      return "(" + expression.text + (expression.text == "not" ? " " : "") + child(0) + ")";
    case ExpressionKind::binary:
      return "(" + child(0) + " " + expression.text + " " + negated + child(1) + ")";
    case ExpressionKind::in:
      return "(" + child(0) + " " + negated + "in (" + listed(expression, 1) + "))";
    case ExpressionKind::between:
      return "(" + child(0) + " " + negated + "between " + child(1) + " and " + child(2) + ")";
    case ExpressionKind::like:
      return "(" + child(0) + " " + negated + expression.text + " " + child(1) +
             (expression.children.size() > 2 ? " escape " + child(2) : "") + ")";
    case ExpressionKind::collate:
      return "(" + child(0) + " collate " + expression.text + ")";
    case ExpressionKind::cast:
      return "cast(" + child(0) + " as " + expression.text + ")";
    case ExpressionKind::choice:
      return std::string("case") + (expression.has_base ? "_of" : "") + "(" + listed(expression, 0) +
             (expression.has_else ? " else" : "") + ")";
    case ExpressionKind::call:
      return expression.text + "(" + (expression.negated ? "*" : listed(expression, 0)) + ")";
    case ExpressionKind::row:
      return "row(" + listed(expression, 0) + ")";
    case ExpressionKind::subquery:
      return "(select)";
    case ExpressionKind::exists:
      return "exists(select)";
    case ExpressionKind::in_select:
      return "(" + child(0) + " " + negated + "in (select))";
  }
  return {};
}

}  // namespace sluice
