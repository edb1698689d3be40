#include "engine/translate/sql_clauses.h"

#include <algorithm>
#include <utility>

#include "engine/translate/sql_expression.h"
#include "engine/translate/sql_tokens.h"

namespace sluice {
namespace {

// Thrown where the text stops making sense; it never leaves this file.
struct Unreadable {};

class Reader {
 public:
  explicit Reader(std::string_view sql) : sql_(sql), tokens_(tokenize(sql)) {
    if (tokens_.size() > 1 && tokens_[tokens_.size() - 2].kind == TokenKind::bad) throw Unreadable{};
  }

 protected:
  [[nodiscard]] const Token& now() const { return tokens_[at_]; }
  [[nodiscard]] const Token& ahead(std::size_t count) const {
    return tokens_[std::min(at_ + count, tokens_.size() - 1)];
  }
  void advance() {
    if (at_ + 1 < tokens_.size()) ++at_;
  }
  bool take_word(std::string_view word) {
    if (!is_word(now(), word)) return false;
    advance();
    return true;
  }
  bool take_symbol(std::string_view symbol) {
    if (!is_symbol(now(), symbol)) return false;
    advance();
    return true;
  }
  void expect_word(std::string_view word) {
    if (!take_word(word)) throw Unreadable{};
  }
  void expect_symbol(std::string_view symbol) {
    if (!take_symbol(symbol)) throw Unreadable{};
  }

  // SQLite takes strings for names, too.
  std::string name() {
    if (!is_name(now()) && now().kind != TokenKind::string) throw Unreadable{};
    std::string text = unquoted(now());
    advance();
    return text;
  }

  // [schema.]name
  std::string qualified_name() {
    std::string text = name();
    return take_symbol(".") ? name() : text;
  }

  void skip_group() {
    if (!is_symbol(now(), "(")) throw Unreadable{};
    const std::optional<std::size_t> after = after_group(tokens_, at_);
    if (!after) throw Unreadable{};
    at_ = *after;
  }

  // The text between a pair of parentheses, after which it stands.
  std::string group() {
    const std::size_t open = at_;
    skip_group();
    if (at_ == open + 2) throw Unreadable{};
    return slice(open + 1, at_ - 1);
  }

  // The text of tokens [first, last). REQUIRES: first < last
  [[nodiscard]] std::string slice(std::size_t first, std::size_t last) const {
    const Token& end = tokens_[last - 1];
    return std::string(
        sql_.substr(tokens_[first].offset, end.offset + end.text.size() - tokens_[first].offset));
  }

  // CREATE [words before] TABLE|INDEX [IF NOT EXISTS] [schema.]name
  void header(std::string_view what) {
    expect_word("create");
    while (take_word("temp") || take_word("temporary") || take_word("unique")) {
    }
    expect_word(what);
    if (is_word(now(), "if") && is_word(ahead(1), "not") && is_word(ahead(2), "exists")) at_ += 3;
    qualified_name();
  }

  void expect_end() {
    take_symbol(";");
    if (now().kind != TokenKind::end) throw Unreadable{};
  }

  std::string_view sql_;
  std::vector<Token> tokens_;
  std::size_t at_ = 0;
};

class TableReader : Reader {
 public:
  explicit TableReader(std::string_view sql) : Reader(sql) {}

  TableClauses read() {
    header("table");
    expect_symbol("(");
    column();
    bool columns = true;
    while (!take_symbol(")")) {
      // Between table constraints, SQLite does not insist on the comma.
      const bool comma = take_symbol(",");
      columns = columns && !begins_table_constraint();
      if (columns) {
        if (!comma) throw Unreadable{};
        column();
      } else {
        table_constraint();
      }
    }
    while (take_word("without") || take_word("rowid") || take_word("strict") || take_symbol(",")) {
    }
    expect_end();
    return std::move(found_);
  }

 private:
  [[nodiscard]] bool begins_table_constraint() const {
    return is_word(now(), "constraint") || is_word(now(), "primary") || is_word(now(), "unique") ||
           is_word(now(), "check") || is_word(now(), "foreign");
  }

  [[nodiscard]] bool begins_column_constraint() const {
    static constexpr std::string_view kWords[] = {
        "constraint", "primary",    "not",       "null", "unique", "check",      "default",
        "collate",    "references", "generated", "as",   "on",     "deferrable", "initially"};
    return std::any_of(std::begin(kWords), std::end(kWords),
                       [this](std::string_view word) { return is_word(now(), word); });
  }

  void column() {
    const std::string column = name();
    // The type: any names that begin no constraint, and numbers in parentheses.
    while (!begins_column_constraint() && (is_name(now()) || now().kind == TokenKind::string)) advance();
    if (is_symbol(now(), "(")) skip_group();
    std::string constraint;
    while (!is_symbol(now(), ",") && !is_symbol(now(), ")")) column_constraint(column, constraint);
  }

  // One word or one constraint; `constraint` is the name that the next one gets.
  void column_constraint(const std::string& column, std::string& constraint) {
    if (take_word("constraint")) {
      constraint = name();
      return;
    }
    if (take_word("check")) {
      found_.checks.push_back({constraint, group(), column});
    } else if (take_word("default")) {
      default_value();
    } else if (take_word("collate")) {
      collation(column);
    } else if (take_word("generated")) {
      expect_word("always");
      if (!is_word(now(), "as")) throw Unreadable{};
      return;
    } else if (take_word("as")) {
      std::string expression = group();
      const bool stored = take_word("stored");
      if (!stored) take_word("virtual");
      found_.generated.push_back({column, std::move(expression), stored});
    } else if (take_word("references")) {
      references({constraint, {column}, {}, false});
    } else {
      plain_constraint();
    }
    constraint.clear();
  }

  // PRIMARY KEY [ASC|DESC] [AUTOINCREMENT], [NOT] NULL, UNIQUE, each with ON CONFLICT: only skipped.
  void plain_constraint() {
    if (take_word("primary")) {
      expect_word("key");
      if (!take_word("asc")) take_word("desc");
      conflict_clause();
      take_word("autoincrement");
      return;
    }
    if (take_word("not")) {
      // A second "[NOT] DEFERRABLE" may follow a key that had one already.
      if (deferrable().has_value()) return;
      expect_word("null");
    } else if (!take_word("null") && !take_word("unique")) {
      const std::optional<bool> deferred = deferrable();
      if (!deferred.has_value() || found_.foreign_keys.empty()) throw Unreadable{};
      found_.foreign_keys.back().deferred = *deferred;
      found_.foreign_keys.back().deferrable = true;
      return;
    }
    conflict_clause();
  }

  void conflict_clause() {
    if (!is_word(now(), "on") || !is_word(ahead(1), "conflict")) return;
    at_ += 2;
    name();
  }

  // [DEFERRABLE] [INITIALLY DEFERRED|IMMEDIATE] after a possible NOT: whether the check is deferred.
  std::optional<bool> deferrable() {
    if (!take_word("deferrable")) return std::nullopt;
    if (!take_word("initially")) return false;
    if (take_word("deferred")) return true;
    expect_word("immediate");
    return false;
  }

  void default_value() {
    if (is_symbol(now(), "(")) return skip_group();
    while (is_symbol(now(), "+") || is_symbol(now(), "-")) advance();
    if (now().kind == TokenKind::symbol || now().kind == TokenKind::end) throw Unreadable{};
    advance();
  }

  void collation(const std::string& column) {
    std::string collation = name();
    std::vector<CollateClause>& all = found_.collations;
    if (!all.empty() && all.back().column == column) all.pop_back();
    all.push_back({column, std::move(collation)});
  }

  // Behind REFERENCES.
  void references(ForeignKeyClause key) {
    key.parent = name();
    if (is_symbol(now(), "(")) skip_group();
    for (;;) {
      if (is_word(now(), "on") && !is_word(ahead(1), "conflict")) {
        advance();
        if (!take_word("delete") && !take_word("update") && !take_word("insert")) throw Unreadable{};
        if (take_word("set")) {
          if (!take_word("null")) expect_word("default");
        } else if (take_word("no")) {
          expect_word("action");
        } else if (!take_word("cascade")) {
          expect_word("restrict");
        }
      } else if (take_word("match")) {
        name();
      } else if (is_word(now(), "deferrable")) {
        key.deferred = *deferrable();
        key.deferrable = true;
      } else if (is_word(now(), "not") && is_word(ahead(1), "deferrable")) {
        advance();
        deferrable();
        key.deferred = false;
        key.deferrable = false;
      } else {
        break;
      }
    }
    found_.foreign_keys.push_back(std::move(key));
  }

  void table_constraint() {
    std::string constraint;
    while (take_word("constraint")) constraint = name();
    if (take_word("check")) {
      found_.checks.push_back({std::move(constraint), group(), {}});
      conflict_clause();
    } else if (take_word("foreign")) {
      expect_word("key");
      expect_symbol("(");
      ForeignKeyClause key{std::move(constraint), {}, {}, false};
      do {
        key.columns.push_back(name());
      } while (take_symbol(","));
      expect_symbol(")");
      expect_word("references");
      references(std::move(key));
    } else if (take_word("primary") || take_word("unique")) {
      take_word("key");
      skip_group();
      conflict_clause();
    } else if (constraint.empty()) {
      throw Unreadable{};
    }
  }

  TableClauses found_;
};

class IndexReader : Reader {
 public:
  explicit IndexReader(std::string_view sql) : Reader(sql) {}

  IndexParts read() {
    header("index");
    expect_word("on");
    name();
    if (!is_symbol(now(), "(")) throw Unreadable{};
    const std::optional<std::size_t> after = after_group(tokens_, at_);
    if (!after) throw Unreadable{};
    advance();
    IndexParts parts;
    while (at_ < *after) parts.keys.push_back(key(*after - 1));
    if (take_word("where")) {
      const std::size_t first = at_;
      while (now().kind != TokenKind::end && !is_symbol(now(), ";")) advance();
      if (at_ == first) throw Unreadable{};
      parts.where = slice(first, at_);
    }
    expect_end();
    return parts;
  }

 private:
  // One part; leaves behind the comma or the parenthesis that ends it. `close` is that parenthesis.
  IndexPart key(std::size_t close) {
    const std::size_t first = at_;
    while (at_ < close && !is_symbol(now(), ",")) {
      if (is_symbol(now(), "(")) {
        skip_group();
      } else {
        advance();
      }
    }
    std::size_t last = at_;
    advance();
    IndexPart part;
    const auto ends_with = [&](std::string_view word) {
      return last > first + 1 && is_word(tokens_[last - 1], word);
    };
    if ((ends_with("first") || ends_with("last")) && is_word(tokens_[last - 2], "nulls")) last -= 2;
    if (ends_with("asc") || ends_with("desc")) {
      part.descending = ends_with("desc");
      --last;
    }
    if (first == last) throw Unreadable{};
    // In `a || b COLLATE nocase` the collation is that of b, and does not make the part's own.
    if (last > first + 2 && is_word(tokens_[last - 2], "collate")) {
      const ParsedExpression parsed = parse_expression(slice(first, last));
      if (parsed.tree != nullptr && parsed.tree->kind == ExpressionKind::collate) {
        part.collation = unquoted(tokens_[last - 1]);
        last -= 2;
      }
    }
    part.expression = slice(first, last);
    return part;
  }
};

}  // namespace

std::optional<TableClauses> find_clauses(std::string_view create_table_sql) {
  try {
    return TableReader(create_table_sql).read();
  } catch (const Unreadable&) {
    return std::nullopt;
  }
}

std::optional<IndexParts> find_index_parts(std::string_view create_index_sql) {
  try {
    return IndexReader(create_index_sql).read();
  } catch (const Unreadable&) {
    return std::nullopt;
  }
}

}  // namespace sluice
