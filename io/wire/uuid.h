#pragma once
// UUIDs as text, for the uuid type.

#include <array>
#include <cstddef>
#include <string_view>

namespace sluice {

// Takes 32 hex digits of either case, bare or with the dashes of RFC 9562 (8-4-4-4-12), and either of
// these in braces. Not "urn:uuid:", which the server refuses as well, nor dashes elsewhere, which it
// takes. On false `bytes` holds nothing of use.
[[nodiscard]] bool parse_uuid(std::string_view text, std::array<std::byte, 16>& bytes);

}  // namespace sluice
