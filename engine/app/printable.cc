#include "engine/app/printable.h"

#include <fmt/format.h>

#include <algorithm>
#include <cstdint>

#include "io/wire/utf8.h"

namespace sluice {
namespace {

bool is_continuation(char c) { return (static_cast<unsigned char>(c) & 0xc0) == 0x80; }

// The bytes of the well-formed character that `text` begins with; 0 for none.
std::size_t character_bytes(std::string_view text) {
  const auto first = static_cast<unsigned char>(text[0]);
  const std::size_t bytes = first < 0x80 ? 1 : first < 0xe0 ? 2 : first < 0xf0 ? 3 : 4;
  return bytes <= text.size() && valid_utf8(text.substr(0, bytes)) ? bytes : 0;
}

// REQUIRES: one well-formed character.
std::uint32_t code_point(std::string_view character) {
  if (character.size() == 1) return static_cast<unsigned char>(character[0]);
  std::uint32_t code = static_cast<unsigned char>(character[0]) & (0xffU >> (character.size() + 1));
  for (const char c : character.substr(1)) code = code << 6 | (static_cast<unsigned char>(c) & 0x3fU);
  return code;
}

bool must_be_escaped(std::uint32_t code) {
  return code < 0x20 || (code >= 0x7f && code < 0xa0) || code == 0xad || code == 0x61c ||
         (code >= 0x200b && code <= 0x200f) || (code >= 0x2028 && code <= 0x202e) ||
         (code >= 0x2060 && code <= 0x206f) || code == 0xfeff || (code >= 0xfff9 && code <= 0xfffb) ||
         (code >= 0xe0000 && code <= 0xe007f);
}

// Where the character that holds byte `count` begins, counted in characters from the front.
std::size_t bytes_of(std::string_view text, std::size_t characters) {
  std::size_t bytes = 0;
  while (bytes < text.size() && characters > 0) {
    ++bytes;
    while (bytes < text.size() && is_continuation(text[bytes])) ++bytes;
    --characters;
  }
  return bytes;
}

}  // namespace

std::string printable(std::string_view text) {
  std::string result;
  while (!text.empty()) {
    const std::size_t bytes = character_bytes(text);
    const std::uint32_t code =
        bytes == 0 ? static_cast<unsigned char>(text[0]) : code_point(text.substr(0, bytes));
    if (bytes == 0 || (must_be_escaped(code) && code < 0x100)) {
      result += fmt::format("\\x{:02x}", code);
    } else if (must_be_escaped(code)) {
      result += fmt::format("\\u{:04x}", code);
    } else {
      result += text.substr(0, bytes);
    }
    text.remove_prefix(std::max<std::size_t>(bytes, 1));
  }
  return result;
}

std::size_t width_of(std::string_view text) {
  return static_cast<std::size_t>(
      std::count_if(text.begin(), text.end(), [](char c) { return !is_continuation(c); }));
}

std::string cut_to(const std::string& text, std::size_t width) {
  if (width_of(text) <= width) return text;
  return text.substr(0, bytes_of(text, width - 1)) + "\u2026";
}

std::string wrapped(std::string_view text, std::size_t width, std::size_t indent) {
  std::string result;
  std::size_t room = width;
  while (width_of(text) > room) {
    const std::size_t fitting = bytes_of(text, room);
    std::size_t at = text.rfind(' ', fitting);
    const bool at_blank = at != std::string_view::npos && at > indent;
    if (!at_blank) at = fitting;
    result += text.substr(0, at);
    text.remove_prefix(at + (at_blank ? 1 : 0));
    result += "\n" + std::string(indent, ' ');
    room = width - indent;
  }
  return result.append(text);
}

}  // namespace sluice
