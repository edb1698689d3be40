#include "engine/plan/names.h"

#include <algorithm>
#include <array>
#include <cstdint>

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

}  // namespace

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
