#pragma once
// Whether SQLite's text may go into a PostgreSQL text column of a UTF8 database.
//
// SQLite stores whatever bytes it was given. The server takes well-formed UTF-8 (RFC 3629: no overlong
// forms, no surrogates, nothing above U+10FFFF; noncharacters such as U+FFFE are fine) without NUL, and
// one bad byte aborts a whole COPY with 22021. So every text is checked here first.
//
// All functions are pure and read nothing outside the text.

#include <cstdint>
#include <string_view>

namespace sluice {

enum class TextCheck : std::uint8_t {
  ok,
  nul,       // contains U+0000, which is UTF-8 but which no PostgreSQL text can hold
  bad_utf8,  // not UTF-8
};

// Of several faults it names the first, so that the reason in a reject report does not depend on how
// the check is built. Empty text is ok.
[[nodiscard]] TextCheck check_text(std::string_view text);

// True when every byte is ASCII and not NUL: what most texts are, found faster than anything else about them.
[[nodiscard]] bool is_plain(std::string_view text);

// The same rules, but U+0000 passes: for text that ends up as bytea or is repaired afterwards.
[[nodiscard]] bool valid_utf8(std::string_view text);

}  // namespace sluice
