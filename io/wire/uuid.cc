#include "io/wire/uuid.h"

#include <cstdint>

namespace sluice {
namespace {

// The value of a hex digit; 0xFF, with bits no digit has, for everything else.
constexpr std::array<std::uint8_t, 256> make_hex_values() {
  std::array<std::uint8_t, 256> values{};
  values.fill(0xFF);
  for (unsigned digit = 0; digit < 10; ++digit) values['0' + digit] = static_cast<std::uint8_t>(digit);
  for (unsigned digit = 0; digit < 6; ++digit) {
    values['a' + digit] = values['A' + digit] = static_cast<std::uint8_t>(10 + digit);
  }
  return values;
}
constexpr std::array<std::uint8_t, 256> kHexValues = make_hex_values();

// Where the sixteen pairs of digits begin.
using Places = std::array<std::uint8_t, 16>;
constexpr Places kBare = {0, 2, 4, 6, 8, 10, 12, 14, 16, 18, 20, 22, 24, 26, 28, 30};
constexpr Places kDashed = {0, 2, 4, 6, 9, 11, 14, 16, 19, 21, 24, 26, 28, 30, 32, 34};

}  // namespace

bool parse_uuid(std::string_view text, std::array<std::byte, 16>& bytes) {
  if (text.size() == 34 || text.size() == 38) {
    if (text.front() != '{' || text.back() != '}') return false;
    text = text.substr(1, text.size() - 2);
  }
  const bool dashed = text.size() == 36;
  if (!dashed && text.size() != 32) return false;
  if (dashed && (text[8] != '-' || text[13] != '-' || text[18] != '-' || text[23] != '-')) return false;
  const Places& places = dashed ? kDashed : kBare;
  unsigned seen = 0;
  for (std::size_t i = 0; i < bytes.size(); ++i) {
    const unsigned high = kHexValues[static_cast<unsigned char>(text[places[i]])];
    const unsigned low = kHexValues[static_cast<unsigned char>(text[places[i] + 1u])];
    seen |= high | low;
    bytes[i] = static_cast<std::byte>(high << 4 | low);
  }
  return seen <= 0xF;
}

}  // namespace sluice
