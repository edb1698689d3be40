#include "engine/translate/sql_select.h"

#include <algorithm>
#include <array>
#include <utility>

#include "engine/model/quote.h"
#include "engine/translate/sql_tokens.h"

namespace sluice {
namespace {

// Words that end a table or a result column, so that they are no alias without AS.
constexpr std::array<std::string_view, 11> kNoAlias = {
    "left", "cross", "inner", "natural", "outer", "full", "right", "except", "intersect", "window", "offset"};

[[noreturn]] void fail(std::string text) { throw SqlProblem{std::move(text)}; }

class SelectParser : public SubqueryReader, private TokenCursor {
 public:
  SelectParser(std::string_view sql, const std::vector<Token>& tokens) : TokenCursor(tokens), sql_(sql) {}

  ViewDefinition view() {
    ViewDefinition view;
    expect_word("create");
    if (!take_word("temp")) take_word("temporary");
    expect_word("view");
    if (take_word("if")) {
      expect_word("not");
      expect_word("exists");
    }
    view.name = name();
    if (take_symbol(".")) view.name = name();
    if (is_symbol(now(), "(")) view.columns = names();
    expect_word("as");
    view.select = select(0);
    take_symbol(";");
    if (now().kind != TokenKind::end) unexpected();
    return view;
  }

  std::shared_ptr<const Select> read_select(std::size_t& at, int depth) override {
    std::swap(at, at_);
    std::shared_ptr<const Select> made = select(depth + 1);
    std::swap(at, at_);
    return made;
  }

 private:
  // ---- tokens ----

  void expect_symbol(std::string_view symbol) {
    if (!take_symbol(symbol)) unexpected();
  }
  void expect_word(std::string_view word) {
    if (!take_word(word)) unexpected();
  }
  [[noreturn]] void unexpected() const {
    if (now().kind == TokenKind::end) fail("it ends too early");
    constexpr std::size_t kShown = 40;
    std::string shown(now().text.substr(0, kShown));
    for (char& c : shown) {
      if (static_cast<unsigned char>(c) < 0x20 || static_cast<unsigned char>(c) >= 0x7f) c = '?';
    }
    fail("it cannot be read at " + shown);
  }

  // A name; SQLite takes a string for one, too.
  std::string name() {
    if (!is_name(now()) && now().kind != TokenKind::string) unexpected();
    std::string text = unquoted(now());
    advance();
    return text;
  }

  std::vector<std::string> names() {
    std::vector<std::string> all;
    expect_symbol("(");
    do {
      all.push_back(name());
    } while (take_symbol(","));
    expect_symbol(")");
    return all;
  }

  ExpressionPtr expression(int depth) { return read_expression(tokens_, at_, *this, depth); }

  std::string alias() {
    if (take_word("as")) return name();
    if (now().kind == TokenKind::word) {
      const std::string folded = fold_ascii(now().text);
      if (is_reserved(folded) || std::find(kNoAlias.begin(), kNoAlias.end(), folded) != kNoAlias.end()) {
        return {};
      }
      if (folded == "indexed" && is_word(ahead(1), "by")) return {};
      return name();
    }
    if (is_name(now()) || now().kind == TokenKind::string) return name();
    return {};
  }

  // ---- SELECT ----

  std::shared_ptr<const Select> select(int depth) {
    if (depth > kExpressionDepthMax) fail("it is nested too deeply");
    auto made = std::make_shared<Select>();
    if (take_word("with")) {
      made->recursive = take_word("recursive");
      do {
        made->with.push_back(common_table(depth));
      } while (take_symbol(","));
    }
    made->cores.push_back(core(depth));
    for (;;) {
      if (take_word("union")) {
        made->operators.push_back(take_word("all") ? SetOperator::union_all : SetOperator::union_distinct);
      } else if (take_word("intersect")) {
        made->operators.push_back(SetOperator::intersect);
      } else if (take_word("except")) {
        made->operators.push_back(SetOperator::except);
      } else {
        break;
      }
      made->cores.push_back(core(depth));
    }
    if (take_word("order")) {
      expect_word("by");
      made->order_by = read_order(tokens_, at_, *this, depth);
    }
    if (take_word("limit")) {
      made->limit = expression(depth);
      if (take_word("offset")) {
        made->offset = expression(depth);
      } else if (take_symbol(",")) {
        made->offset = std::move(made->limit);
        made->limit = expression(depth);
      }
    }
    return made;
  }

  CommonTable common_table(int depth) {
    CommonTable table;
    table.name = name();
    if (is_symbol(now(), "(")) table.columns = names();
    expect_word("as");
    if (take_word("not")) {
      expect_word("materialized");
    } else {
      take_word("materialized");
    }
    expect_symbol("(");
    table.select = select(depth + 1);
    expect_symbol(")");
    return table;
  }

  SelectCore core(int depth) {
    SelectCore core;
    if (take_word("values")) {
      do {
        expect_symbol("(");
        std::vector<ExpressionPtr>& row = core.values.emplace_back();
        do {
          row.push_back(expression(depth));
        } while (take_symbol(","));
        expect_symbol(")");
      } while (take_symbol(","));
      return core;
    }
    expect_word("select");
    core.distinct = take_word("distinct");
    if (!core.distinct) take_word("all");
    do {
      core.columns.push_back(result_column(depth));
    } while (take_symbol(","));
    if (take_word("from")) core.from = joins(depth);
    if (take_word("where")) core.where = expression(depth);
    if (take_word("group")) {
      expect_word("by");
      do {
        core.group_by.push_back(expression(depth));
      } while (take_symbol(","));
    }
    if (take_word("having")) core.having = expression(depth);
    if (is_word(now(), "window")) fail("it names a window");
    return core;
  }

  ResultColumn result_column(int depth) {
    ResultColumn column;
    if (take_symbol("*")) return column;
    if (is_name(now()) && is_symbol(ahead(1), ".") && is_symbol(ahead(2), "*")) {
      column.table = name();
      advance();
      advance();
      return column;
    }
    const std::size_t first = now().offset;
    column.expression = expression(depth);
    const Token& last = tokens_[at_ - 1];
    column.written = std::string(sql_.substr(first, last.offset + last.text.size() - first));
    column.alias = alias();
    return column;
  }

  std::vector<Joined> joins(int depth) {
    if (depth > kExpressionDepthMax) fail("it is nested too deeply");
    std::vector<Joined> all;
    for (bool more = true; more;) {
      Joined joined = all.empty() ? Joined() : join_operator();
      joined.source = source(depth);
      if (!all.empty() && take_word("on")) {
        joined.on = expression(depth);
      } else if (!all.empty() && take_word("using")) {
        joined.columns = names();
      }
      all.push_back(std::move(joined));
      more = at_join();
    }
    return all;
  }

  [[nodiscard]] bool at_join() const {
    if (is_symbol(now(), ",")) return true;
    for (const std::string_view word : {"join", "left", "right", "full", "inner", "cross", "natural"}) {
      if (is_word(now(), word)) return true;
    }
    return false;
  }

  // SQLite takes the words in any order.
  Joined join_operator() {
    Joined joined;
    if (take_symbol(",")) return joined;
    joined.kind = JoinKind::inner;
    while (!take_word("join")) {
      if (take_word("natural")) {
        joined.natural = true;
      } else if (take_word("left")) {
        joined.kind = joined.kind == JoinKind::right ? JoinKind::full : JoinKind::left;
      } else if (take_word("right")) {
        joined.kind = joined.kind == JoinKind::left ? JoinKind::full : JoinKind::right;
      } else if (take_word("full")) {
        joined.kind = JoinKind::full;
      } else if (!take_word("outer") && !take_word("inner") && !take_word("cross")) {
        unexpected();
      }
    }
    return joined;
  }

  std::unique_ptr<Source> source(int depth) {
    auto made = std::make_unique<Source>();
    if (take_symbol("(")) {
      if (is_word(now(), "select") || is_word(now(), "values") || is_word(now(), "with")) {
        made->select = select(depth + 1);
      } else {
        made->joins = joins(depth + 1);
      }
      expect_symbol(")");
      made->alias = alias();
      return made;
    }
    made->name = name();
    if (take_symbol(".")) {
      made->schema = std::move(made->name);
      made->name = name();
    }
    if (is_symbol(now(), "(")) fail("it reads rows from the function " + made->name);
    made->alias = alias();
    if (take_word("indexed")) {
      expect_word("by");
      name();
    } else if (is_word(now(), "not") && is_word(ahead(1), "indexed")) {
      advance();
      advance();
    }
    return made;
  }

  std::string_view sql_;
};

// ---- the tables in it ----

class TableList {
 public:
  void of(const Select& select) {
    for (const CommonTable& table : select.with) of(*table.select);
    for (const SelectCore& core : select.cores) {
      for (const ResultColumn& column : core.columns) of(column.expression);
      of(core.from);
      of(core.where);
      for (const ExpressionPtr& expression : core.group_by) of(expression);
      of(core.having);
      for (const auto& row : core.values) {
        for (const ExpressionPtr& expression : row) of(expression);
      }
    }
    of(select.order_by);
  }

  std::vector<std::string> names;

 private:
  void of(const std::vector<Joined>& joins) {
    for (const Joined& joined : joins) {
      of(joined.on);
      if (joined.source->select != nullptr) of(*joined.source->select);
      of(joined.source->joins);
      if (joined.source->name.empty()) continue;
      const std::string folded = fold_ascii(joined.source->name);
      if (std::find(names.begin(), names.end(), folded) == names.end()) names.push_back(folded);
    }
  }
  void of(const std::vector<OrderTerm>& terms) {
    for (const OrderTerm& term : terms) of(term.expression);
  }
  void of(const ExpressionPtr& expression) {
    if (expression == nullptr) return;
    if (expression->select != nullptr) of(*expression->select);
    of(expression->filter);
    for (const ExpressionPtr& child : expression->children) of(child);
  }
};

}  // namespace

ParsedView parse_view(std::string_view create_view_sql) {
  const std::vector<Token> tokens = tokenize(create_view_sql);
  try {
    return {SelectParser(create_view_sql, tokens).view(), {}};
  } catch (const SqlProblem& problem) {
    return {{}, problem.text};
  }
}

std::vector<std::string> tables_in(const Select& select) {
  TableList list;
  list.of(select);
  return std::move(list.names);
}

}  // namespace sluice
