#pragma once
// SQL text as SQLite cuts it into words (https://www.sqlite.org/lang_keywords.html, tokenize.c). Takes any
// bytes whatsoever, in one pass and without recursion.

#include <algorithm>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace sluice {

enum class TokenKind : std::uint8_t {
  word,           // bare: a keyword or an identifier
  quoted_name,    // `x` or [x]
  double_quoted,  // "x": a name, or a string where nothing has that name
  string,         // 'x'
  blob,           // x'00'
  integer,        // decimal digits
  hexadecimal,    // 0x1F
  real,           // 1.5 .5 5. 1e3
  symbol,         // operators and punctuation, the longest that fits
  parameter,      // ?1 :name @name $name
  bad,            // what SQLite would not read either; always followed by `end`
  end,
};

// `text` is the token as it stands in the SQL, quotes included, so the SQL must outlive the token.
struct Token {
  TokenKind kind = TokenKind::end;
  std::string_view text;
  std::size_t offset = 0;
};

// Blanks and comments are dropped. The last token is `end`, and nothing else is.
std::vector<Token> tokenize(std::string_view sql);

// What a name or a string says without its quotes; the bytes of a blob; any other token as it stands.
std::string unquoted(const Token& token);

// True for this bare word, in any ASCII case. REQUIRES: `word` is in lower case.
bool is_word(const Token& token, std::string_view word);

bool is_symbol(const Token& token, std::string_view symbol);

// True for what may name a column, a table or a collation.
bool is_name(const Token& token);

// A place among tokens, for parsers that look one or two ahead. The tokens must outlive it.
class TokenCursor {
 protected:
  explicit TokenCursor(const std::vector<Token>& tokens, std::size_t at = 0) : tokens_(tokens), at_(at) {}

  [[nodiscard]] const Token& now() const { return tokens_[at_]; }
  [[nodiscard]] const Token& ahead(std::size_t count) const {
    return tokens_[std::min(at_ + count, tokens_.size() - 1)];
  }
  void advance() {
    if (at_ + 1 < tokens_.size()) ++at_;
  }
  bool take_symbol(std::string_view symbol) {
    if (!is_symbol(now(), symbol)) return false;
    advance();
    return true;
  }
  bool take_word(std::string_view word) {
    if (!is_word(now(), word)) return false;
    advance();
    return true;
  }

  const std::vector<Token>& tokens_;
  std::size_t at_;
};

// The index of the token after the group that the "(" at `open` begins; nothing when it is never closed.
// REQUIRES: tokens[open] is "(".
std::optional<std::size_t> after_group(const std::vector<Token>& tokens, std::size_t open);

}  // namespace sluice
