#pragma once
// Bytes as hex digits and back.

#include <optional>
#include <string>
#include <string_view>

namespace sluice {

// Two lower-case digits a byte.
std::string hex_of(std::string_view bytes);

// Nothing when the text is not pairs of hex digits.
std::optional<std::string> bytes_of_hex(std::string_view hex);

}  // namespace sluice
