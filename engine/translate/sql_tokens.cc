#include "engine/translate/sql_tokens.h"

#include <array>
#include <cassert>

#include "engine/model/hex.h"
#include "engine/model/quote.h"

namespace sluice {
namespace {

bool is_digit(char c) { return c >= '0' && c <= '9'; }
bool is_hex_digit(char c) { return is_digit(c) || (c >= 'a' && c <= 'f') || (c >= 'A' && c <= 'F'); }
bool is_blank(char c) { return c == ' ' || c == '\t' || c == '\n' || c == '\f' || c == '\r'; }
bool begins_word(char c) {
  return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_' ||
         static_cast<unsigned char>(c) >= 0x80;
}
bool continues_word(char c) { return begins_word(c) || is_digit(c) || c == '$'; }

constexpr std::array<std::string_view, 8> kLongSymbols = {"->>", "->", "||", "<<", ">>", "<=", ">=", "<>"};
constexpr std::array<std::string_view, 2> kEquals = {"==", "!="};
constexpr std::string_view kShortSymbols = "()+-*/%=<>&|~,;.";

class Tokenizer {
 public:
  explicit Tokenizer(std::string_view sql) : sql_(sql) {}

  std::vector<Token> run() {
    while (skip_blanks()) {
      const std::size_t start = at_;
      const TokenKind kind = next();
      tokens_.push_back({kind, sql_.substr(start, at_ - start), start});
      if (kind == TokenKind::bad) break;
    }
    tokens_.push_back({TokenKind::end, {}, sql_.size()});
    return std::move(tokens_);
  }

 private:
  [[nodiscard]] char peek(std::size_t ahead = 0) const {
    return at_ + ahead < sql_.size() ? sql_[at_ + ahead] : '\0';
  }
  [[nodiscard]] bool looking_at(std::string_view text) const { return sql_.substr(at_, text.size()) == text; }

  // False at the end. A comment that is never closed ends with the text, as in SQLite.
  bool skip_blanks() {
    while (at_ < sql_.size()) {
      if (is_blank(sql_[at_])) {
        ++at_;
      } else if (looking_at("--") || looking_at("/*")) {
        const std::string_view close = sql_[at_] == '-' ? "\n" : "*/";
        const std::size_t found = sql_.find(close, at_ + 2);
        at_ = found == std::string_view::npos ? sql_.size() : found + close.size();
      } else {
        return true;
      }
    }
    return false;
  }

  TokenKind next() {
    const char c = sql_[at_];
    if ((c == 'x' || c == 'X') && peek(1) == '\'') return blob();
    if (begins_word(c)) {
      skip_word();
      return TokenKind::word;
    }
    if (is_digit(c) || (c == '.' && is_digit(peek(1)))) return number();
    switch (c) {
      case '\'':
        return quoted('\'', TokenKind::string);
      case '"':
        return quoted('"', TokenKind::double_quoted);
      case '`':
        return quoted('`', TokenKind::quoted_name);
      case '[': {
        const std::size_t close = sql_.find(']', at_);
        at_ = close == std::string_view::npos ? sql_.size() : close + 1;
        return close == std::string_view::npos ? TokenKind::bad : TokenKind::quoted_name;
      }
      case '?':
      case ':':
      case '@':
      case '#':
      case '$':
        ++at_;
        skip_word();
        return TokenKind::parameter;
      default:
        return symbol();
    }
  }

  void skip_word() {
    while (at_ < sql_.size() && continues_word(sql_[at_])) ++at_;
  }

  TokenKind quoted(char quote, TokenKind kind) {
    for (++at_; at_ < sql_.size(); ++at_) {
      if (sql_[at_] != quote) continue;
      ++at_;
      if (peek() != quote || at_ == sql_.size()) return kind;
    }
    return TokenKind::bad;
  }

  TokenKind blob() {
    const std::size_t digits = at_ + 2;
    at_ = digits;
    while (is_hex_digit(peek())) ++at_;
    const bool whole = (at_ - digits) % 2 == 0 && peek() == '\'';
    if (peek() == '\'') ++at_;
    return whole ? TokenKind::blob : TokenKind::bad;
  }

  TokenKind number() {
    TokenKind kind = TokenKind::integer;
    if (peek() == '0' && (peek(1) == 'x' || peek(1) == 'X') && is_hex_digit(peek(2))) {
      kind = TokenKind::hexadecimal;
      at_ += 2;
      while (is_hex_digit(peek())) ++at_;
    } else {
      skip_digits();
      if (peek() == '.') {
        kind = TokenKind::real;
        ++at_;
        skip_digits();
      }
      if (peek() == 'e' || peek() == 'E') {
        const std::size_t sign = peek(1) == '+' || peek(1) == '-' ? 1 : 0;
        if (is_digit(peek(1 + sign))) {
          kind = TokenKind::real;
          at_ += 1 + sign;
          skip_digits();
        }
      }
    }
    if (!continues_word(peek())) return kind;
    skip_word();
    return TokenKind::bad;
  }

  void skip_digits() {
    while (is_digit(peek())) ++at_;
  }

  TokenKind symbol() {
    for (const std::string_view symbol : kLongSymbols) {
      if (looking_at(symbol)) return take(symbol.size());
    }
    for (const std::string_view symbol : kEquals) {
      if (looking_at(symbol)) return take(symbol.size());
    }
    const bool known = kShortSymbols.find(sql_[at_]) != std::string_view::npos;
    take(1);
    return known ? TokenKind::symbol : TokenKind::bad;
  }

  TokenKind take(std::size_t size) {
    at_ += size;
    return TokenKind::symbol;
  }

  std::string_view sql_;
  std::size_t at_ = 0;
  std::vector<Token> tokens_;
};

}  // namespace

std::vector<Token> tokenize(std::string_view sql) { return Tokenizer(sql).run(); }

std::string unquoted(const Token& token) {
  switch (token.kind) {
    case TokenKind::quoted_name:
      if (token.text.front() == '[') return std::string(token.text.substr(1, token.text.size() - 2));
      [[fallthrough]];
    case TokenKind::double_quoted:
    case TokenKind::string: {
      const char quote = token.text.front();
      const std::string_view inside = token.text.substr(1, token.text.size() - 2);
      std::string text;
      for (std::size_t i = 0; i < inside.size(); ++i) {
        text += inside[i];
        if (inside[i] == quote) ++i;
      }
      return text;
    }
    case TokenKind::blob:
      return bytes_of_hex(token.text.substr(2, token.text.size() - 3)).value_or("");
    default:
      return std::string(token.text);
  }
}

bool is_word(const Token& token, std::string_view word) {
  return token.kind == TokenKind::word && token.text.size() == word.size() && fold_ascii(token.text) == word;
}

bool is_symbol(const Token& token, std::string_view symbol) {
  return token.kind == TokenKind::symbol && token.text == symbol;
}

bool is_name(const Token& token) {
  return token.kind == TokenKind::word || token.kind == TokenKind::quoted_name ||
         token.kind == TokenKind::double_quoted;
}

std::optional<std::size_t> after_group(const std::vector<Token>& tokens, std::size_t open) {
  assert(is_symbol(tokens[open], "("));
  std::size_t depth = 0;
  for (std::size_t i = open; i + 1 < tokens.size(); ++i) {
    if (is_symbol(tokens[i], "(")) ++depth;
    if (is_symbol(tokens[i], ")") && --depth == 0) return i + 1;
  }
  return std::nullopt;
}

}  // namespace sluice
