#include "engine/model/digest.h"

#include <charconv>

#include "engine/model/error.h"

namespace sluice {

std::string to_hex(const Digest& digest) {
  constexpr char kDigits[] = "0123456789abcdef";
  std::string hex(32, '0');
  for (std::size_t i = 0; i < 16; ++i) {
    hex[i] = kDigits[(digest.high >> (60 - 4 * i)) & 0xf];
    hex[16 + i] = kDigits[(digest.low >> (60 - 4 * i)) & 0xf];
  }
  return hex;
}

Digest parse_digest(const std::string& hex) {
  Digest digest;
  const char* text = hex.data();
  if (hex.size() != 32 || std::from_chars(text, text + 16, digest.high, 16).ptr != text + 16 ||
      std::from_chars(text + 16, text + 32, digest.low, 16).ptr != text + 32) {
    throw Error(Fault::internal, "not a digest of 32 hex digits");
  }
  return digest;
}

}  // namespace sluice
