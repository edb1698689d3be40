#pragma once
// Truth values as text, for the boolean type.

#include <optional>
#include <string_view>

namespace sluice {

// t true y yes on 1 and f false n no off 0, in any ASCII case, and nothing else. Not the server's own
// reading, which takes prefixes such as "tr" and "of" and blanks around.
[[nodiscard]] std::optional<bool> parse_boolean(std::string_view text);

}  // namespace sluice
