#pragma once
// SQL text as SQLite cuts it into words (https://www.sqlite.org/lang_keywords.html, tokenize.c). Takes any
// bytes whatsoever, in one pass and without recursion.

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

// The index of the token after the group that the "(" at `open` begins; nothing when it is never closed.
// REQUIRES: tokens[open] is "(".
std::optional<std::size_t> after_group(const std::vector<Token>& tokens, std::size_t open);

}  // namespace sluice
