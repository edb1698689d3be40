#pragma once
// LIKE and GLOB patterns of SQLite (func.c, patternCompare) as patterns of PostgreSQL.

#include <optional>
#include <string>
#include <string_view>

namespace sluice {

// A LIKE pattern for PostgreSQL's default escape, the backslash. SQLite has no escape unless one is given:
// `escape` is one ASCII character that is no wildcard, or NUL for none. Nothing when the pattern ends in its
// escape, which SQLite never matches and PostgreSQL refuses.
std::optional<std::string> like_pattern(std::string_view pattern, char escape);

// An anchored regular expression (PostgreSQL's advanced form) for a GLOB pattern in UTF-8. Nothing for a set
// that is never closed or a range that runs backwards: SQLite matches nothing there.
std::optional<std::string> glob_regex(std::string_view pattern);

// A LIKE pattern for a GLOB pattern without sets; nothing when there is one.
std::optional<std::string> glob_like(std::string_view pattern);

}  // namespace sluice
