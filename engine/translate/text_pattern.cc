#include "engine/translate/text_pattern.h"

namespace sluice {
namespace {

bool is_ascii_letter_or_digit(char c) {
  return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9');
}

// One character of UTF-8, from the front. REQUIRES: not empty
std::string_view take_character(std::string_view& text) {
  std::size_t size = 1;
  while (size < text.size() && (static_cast<unsigned char>(text[size]) & 0xc0) == 0x80) ++size;
  const std::string_view character = text.substr(0, size);
  text.remove_prefix(size);
  return character;
}

// The character standing for itself, also between brackets: a backslash makes any ASCII punctuation plain.
void append_plain(std::string& regex, std::string_view character) {
  const char c = character.front();
  if (character.size() == 1 && !is_ascii_letter_or_digit(c) && c > ' ') regex += '\\';
  regex += character;
}

// Behind "[". Follows SQLite's loop step by step: "]" is plain at the beginning, "-" at the beginning, at the
// end and behind a range.
bool append_set(std::string& regex, std::string_view& rest) {
  regex += '[';
  if (rest.starts_with('^')) {
    regex += '^';
    rest.remove_prefix(1);
  }
  std::string_view prior;
  bool first = true;
  for (;;) {
    if (rest.empty()) return false;
    const std::string_view character = take_character(rest);
    if (character == "]" && !first) break;
    if (character == "]") {
      append_plain(regex, character);
    } else if (character == "-" && !prior.empty() && !rest.empty() && rest.front() != ']') {
      const std::string_view last = take_character(rest);
      if (last < prior) return false;  // bytes of UTF-8 order as code points do
      regex += '-';
      append_plain(regex, last);
      prior = {};
    } else {
      append_plain(regex, character);
      prior = character;
    }
    first = false;
  }
  regex += ']';
  return true;
}

void append_like(std::string& pattern, char c) {
  if (c == '%' || c == '_' || c == '\\') pattern += '\\';
  pattern += c;
}

}  // namespace

std::optional<std::string> like_pattern(std::string_view pattern, char escape) {
  std::string like;
  for (std::size_t i = 0; i < pattern.size(); ++i) {
    const char c = pattern[i];
    if (escape != '\0' && c == escape) {
      if (++i == pattern.size()) return std::nullopt;
      append_like(like, pattern[i]);
    } else if (c == '%' || c == '_') {
      like += c;
    } else {
      append_like(like, c);
    }
  }
  return like;
}

std::optional<std::string> glob_regex(std::string_view pattern) {
  std::string regex = "^";
  while (!pattern.empty()) {
    const std::string_view character = take_character(pattern);
    if (character == "*") {
      regex += ".*";
    } else if (character == "?") {
      regex += '.';
    } else if (character == "[") {
      if (!append_set(regex, pattern)) return std::nullopt;
    } else {
      append_plain(regex, character);
    }
  }
  return regex + "$";
}

std::optional<std::string> glob_like(std::string_view pattern) {
  std::string like;
  for (const char c : pattern) {
    if (c == '[') return std::nullopt;
    if (c == '*') {
      like += '%';
    } else if (c == '?') {
      like += '_';
    } else {
      append_like(like, c);
    }
  }
  return like;
}

}  // namespace sluice
