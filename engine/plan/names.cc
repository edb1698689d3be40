#include "engine/plan/names.h"

#include <algorithm>
#include <array>
#include <cstdint>

#include "engine/model/quote.h"

namespace sluice {
namespace {

// FNV-1a, 32 bits: stable for ever, which std::hash is not; collisions are resolved by claim().
std::uint32_t hash_of_name(std::string_view name) {
  std::uint32_t hash = 2166136261u;
  for (const char c : name) hash = (hash ^ static_cast<unsigned char>(c)) * 16777619u;
  return hash;
}

std::string hex_of_hash(std::uint32_t hash) {
  constexpr char kDigits[] = "0123456789abcdef";
  std::string hex(8, '0');
  for (std::size_t i = 0; i < 8; ++i) hex[i] = kDigits[(hash >> (28 - 4 * i)) & 0xf];
  return hex;
}

// A column of such a name is refused even when quoted (42701).
constexpr std::array<std::string_view, 6> kSystemColumns = {"ctid", "xmin", "xmax",
                                                            "cmin", "cmax", "tableoid"};

std::string_view cut_to(std::string_view name, std::size_t bytes) {
  if (name.size() <= bytes) return name;
  while (bytes > 0 && (static_cast<unsigned char>(name[bytes]) & 0xc0) == 0x80) --bytes;
  return name.substr(0, bytes);
}

bool is_capital(char c) { return c >= 'A' && c <= 'Z'; }
bool is_digit(char c) { return c >= '0' && c <= '9'; }
bool is_small(char c) { return (c >= 'a' && c <= 'z') || static_cast<unsigned char>(c) >= 0x80; }
bool is_word(char c) { return is_capital(c) || is_digit(c) || is_small(c) || c == '_'; }

// A capital at `place` that begins a word.
bool begins_word(std::string_view name, std::size_t place) {
  if (place == 0 || !is_capital(name[place])) return false;
  const char before = name[place - 1];
  if (is_small(before) || is_digit(before)) return true;
  return is_capital(before) && place + 1 < name.size() && is_small(name[place + 1]);
}

std::string snake_case(std::string_view name) {
  std::string snake;
  bool gap = false;
  for (std::size_t i = 0; i < name.size(); ++i) {
    if (!is_word(name[i])) {
      gap = true;
      continue;
    }
    const bool apart = gap || begins_word(name, i);
    // What is written with a _ keeps it, leading ones and double ones too; no other one is put beside it.
    if (apart && !snake.empty() && snake.back() != '_' && name[i] != '_') snake += '_';
    snake += name[i];
    gap = false;
  }
  return snake.empty() ? std::string(name) : fold_ascii(snake);
}

}  // namespace

std::string identifier_in(Identifiers identifiers, std::string_view name) {
  switch (identifiers) {
    case Identifiers::lower:
      return fold_ascii(name);
    case Identifiers::snake:
      return snake_case(name);
    case Identifiers::preserve:
      break;
  }
  return std::string(name);
}

std::string shortened(std::string_view name) {
  if (name.size() <= kNameBytesMax) return std::string(name);
  return std::string(cut_to(name, kNameBytesMax - 9)) + "_" + hex_of_hash(hash_of_name(name));
}

std::string NameSpace::claim(std::string_view wanted) {
  const std::string base = wanted.empty() ? "unnamed" : shortened(wanted);
  std::string name = base;
  for (int number = 2; !taken_.insert(name).second; ++number) {
    const std::string suffix = "_" + std::to_string(number);
    name = std::string(cut_to(base, kNameBytesMax - suffix.size())) + suffix;
  }
  return name;
}

std::string NameSpace::claim_column(std::string_view wanted) {
  const bool system = std::find(kSystemColumns.begin(), kSystemColumns.end(), wanted) != kSystemColumns.end();
  return claim(system ? std::string(wanted) + "_" : std::string(wanted));
}

}  // namespace sluice
