#include "io/sqlite/virtual_table.h"

#include <sqlite3.h>

#include <algorithm>
#include <cctype>
#include <optional>

#include "engine/model/quote.h"

namespace sluice {
namespace {

bool is_space(char c) { return c == ' ' || (c >= '\t' && c <= '\r'); }

bool is_word(char c) {
  return c == '_' || c == '$' || std::isalnum(static_cast<unsigned char>(c)) != 0 || (c & 0x80) != 0;
}

std::string_view trimmed(std::string_view text) {
  while (!text.empty() && is_space(text.front())) text.remove_prefix(1);
  while (!text.empty() && is_space(text.back())) text.remove_suffix(1);
  return text;
}

// The end of the quoted thing that begins at `at`; a doubled quote does not end it.
std::size_t after_quoted(std::string_view sql, std::size_t at) {
  const char close = sql[at] == '[' ? ']' : sql[at];
  for (++at; at < sql.size(); ++at) {
    if (sql[at] != close) continue;
    if (close == ']' || at + 1 >= sql.size() || sql[at + 1] != close) return at + 1;
    ++at;
  }
  return sql.size();
}

bool begins_quoted(char c) { return c == '\'' || c == '"' || c == '`' || c == '['; }

// Blanks and comments.
std::size_t after_space(std::string_view sql, std::size_t at) {
  for (;;) {
    while (at < sql.size() && is_space(sql[at])) ++at;
    if (sql.substr(at, 2) == "--") {
      at = std::min(sql.find('\n', at), sql.size());
    } else if (sql.substr(at, 2) == "/*") {
      const std::size_t end = sql.find("*/", at + 2);
      at = end == std::string_view::npos ? sql.size() : end + 2;
    } else {
      return at;
    }
  }
}

std::string_view take_token(std::string_view sql, std::size_t& at) {
  at = after_space(sql, at);
  const std::size_t start = at;
  if (at < sql.size() && begins_quoted(sql[at])) {
    at = after_quoted(sql, at);
  } else if (at < sql.size() && is_word(sql[at])) {
    while (at < sql.size() && is_word(sql[at])) ++at;
  } else if (at < sql.size()) {
    ++at;
  }
  return sql.substr(start, at - start);
}

std::string unquoted(std::string_view token) {
  if (token.size() < 2 || !begins_quoted(token.front())) return std::string(token);
  const char close = token.front() == '[' ? ']' : token.front();
  std::string text;
  for (std::size_t i = 1; i + 1 < token.size(); ++i) {
    text += token[i];
    if (token[i] == close) ++i;
  }
  return text;
}

// name = value, both unquoted; nothing for a plain column.
struct Option {
  std::string name;
  std::string value;
};
std::optional<Option> option_of(std::string_view argument) {
  std::size_t at = 0;
  const std::string_view name = take_token(argument, at);
  if (name.empty() || !is_word(name.front()) || take_token(argument, at) != "=") return std::nullopt;
  return Option{fold_ascii(name), unquoted(trimmed(argument.substr(at)))};
}

bool is_fts(std::string_view module) { return module == "fts5" || module == "fts4" || module == "fts3"; }
bool is_rtree(std::string_view module) { return module == "rtree" || module == "rtree_i32"; }

// The value of the option `content`, which makes the rows somebody else's; nothing without one.
std::optional<std::string> foreign_content(const VirtualTableText& text) {
  if (text.module != "fts5" && text.module != "fts4") return std::nullopt;  // fts3 has no options
  for (const std::string& argument : text.arguments) {
    const auto option = option_of(argument);
    if (!option) continue;
    // fts5 takes any beginning of the word.
    const bool named = text.module == "fts4" ? option->name == "content"
                                             : std::string_view("content").starts_with(option->name);
    if (named) return option->value;
  }
  return std::nullopt;
}

std::string language_column(const VirtualTableText& text) {
  if (text.module != "fts4") return {};
  for (const std::string& argument : text.arguments) {
    const auto option = option_of(argument);
    if (option && option->name == "languageid") return fold_ascii(option->value);
  }
  return {};
}

std::string upper(std::string text) {
  for (char& c : text) c = static_cast<char>(std::toupper(static_cast<unsigned char>(c)));
  return text;
}

// What SQLite says against reading a row; empty when it can be read.
std::string why_unreadable(const SqliteConnection& connection, const std::string& name) {
  try {
    connection.step(connection.prepare("SELECT * FROM main." + quote_identifier(name) + " LIMIT 1"));
    return {};
  } catch (const Error&) {
    switch (sqlite3_errcode(connection.get()) & 0xff) {
      case SQLITE_NOMEM:
      case SQLITE_IOERR:
      case SQLITE_BUSY:
      case SQLITE_LOCKED:
      case SQLITE_INTERRUPT:
        throw;
      default:
        break;
    }
    const std::string said = sqlite3_errmsg(connection.get());
    return said.starts_with("no such module: ") ? said : "SQLite cannot read it (" + said + ")";
  }
}

SourceTable describe(const SqliteConnection& connection, const std::string& name, const std::string& sql,
                     const VirtualTableText& text) {
  SourceTable table;
  table.name = name;
  table.sql = sql;
  table.module = text.module;
  const std::string language = language_column(text);
  std::set<std::string> taken;
  const StatementHandle info = connection.prepare("PRAGMA main.table_xinfo(" + quote_identifier(name) + ")");
  while (connection.step(info)) {
    SourceColumn column;
    column.name = text_of(info, 1);
    column.declared_type = text_of(info, 2);
    const std::string folded = fold_ascii(column.name);
    taken.insert(folded);
    // Hidden are the column named like the table, rank, docid: all of them the module's own. The language of
    // a row is hidden too, but somebody's.
    if (sqlite3_column_int(info.get(), 6) == 1 && (language.empty() || folded != language)) continue;
    if (is_fts(table.module)) column.declared_type = folded == language ? "INTEGER" : "TEXT";
    if (is_rtree(table.module) && column.declared_type == "INT") column.declared_type = "INTEGER";
    table.columns.push_back(std::move(column));
  }
  if (is_rtree(table.module)) {
    // The first column is the key, but rows come in the order of the tree.
    if (!table.columns.empty()) {
      table.columns.front().key_position = 1;
      table.columns.front().not_null = true;
    }
    return table;
  }
  for (const char* rowid : {"rowid", "_rowid_", "oid"}) {
    if (taken.count(rowid) > 0) continue;
    SourceColumn column;
    column.name = rowid;
    column.declared_type = "INTEGER";
    column.not_null = true;
    column.key_position = 1;
    table.columns.insert(table.columns.begin(), std::move(column));
    if (has_ordered_rowid(table)) {
      table.rowid_name = rowid;
      table.rowid_alias = 0;
    }
    break;
  }
  return table;
}

}  // namespace

VirtualTableText read_virtual_table_text(std::string_view sql) {
  VirtualTableText text;
  std::size_t at = 0;
  for (const std::string_view word : {"create", "virtual", "table"}) {
    if (fold_ascii(take_token(sql, at)) != word) return {};
  }
  std::string_view token = take_token(sql, at);
  if (fold_ascii(token) == "if" && fold_ascii(take_token(sql, at)) == "not") {
    take_token(sql, at);  // EXISTS
    token = take_token(sql, at);
  }
  token = take_token(sql, at);
  if (token == ".") {
    take_token(sql, at);
    token = take_token(sql, at);
  }
  if (fold_ascii(token) != "using") return {};
  text.module = fold_ascii(unquoted(take_token(sql, at)));
  if (take_token(sql, at) != "(") return text;
  std::size_t depth = 1;
  std::size_t start = at;
  while (at < sql.size() && depth > 0) {
    at = after_space(sql, at);
    const std::size_t token_at = at;
    token = take_token(sql, at);
    if (token == "(") ++depth;
    if (token == ")") --depth;
    if ((token == "," && depth == 1) || depth == 0) {
      const std::string_view argument = trimmed(sql.substr(start, token_at - start));
      if (!argument.empty()) text.arguments.emplace_back(argument);
      start = at;
    }
  }
  return text;
}

VirtualTable read_virtual_table(const SqliteConnection& connection, const std::string& name,
                                const std::string& sql) {
  const VirtualTableText text = read_virtual_table_text(sql);
  VirtualTable found;
  const auto object = [&](std::string reason) {
    found.object.push_back({SourceObjectKind::virtual_table, name, {}, sql, std::move(reason)});
    return found;
  };
  const bool own = is_fts(text.module) || is_rtree(text.module) || text.module == "geopoly";
  const std::optional<std::string> content = foreign_content(text);
  const std::string unreadable = own && content && content->empty() ? "" : why_unreadable(connection, name);
  if (!own) {
    if (!unreadable.empty()) return object(unreadable);
    return object("its rows are computed by the module " + text.module +
                  " from other tables: it holds nothing of its own");
  }
  if (content) {
    if (content->empty()) {
      return object("a contentless " + upper(text.module) + " index: it holds nothing of its own");
    }
    // SQLite takes a content table of just this name for a shadow table.
    if (fold_ascii(*content) == fold_ascii(name + "_content")) found.kept_table = *content;
    return object("an " + upper(text.module) + " index over " + quote_identifier(*content) +
                  ": it holds nothing of its own");
  }
  if (!unreadable.empty()) {
    if (is_fts(text.module)) found.kept_table = name + "_content";
    return object(unreadable + (found.kept_table.empty()
                                    ? std::string()
                                    : "; its content arrives as " + quote_identifier(found.kept_table)));
  }
  found.table.push_back(describe(connection, name, sql, text));
  return found;
}

std::string content_table_of(const SourceTable& table) {
  return table.name + (is_fts(table.module) ? "_content" : "_node");
}

bool has_ordered_rowid(const SourceTable& table) { return is_fts(table.module); }

}  // namespace sluice
