#pragma once
// The one place where names and text become SQL. Both servers take the same quoting.

#include <string>
#include <string_view>
#include <vector>

namespace sluice {

// "name", with inner quotes doubled. REQUIRES: no NUL byte (neither SQLite nor PostgreSQL has such names).
std::string quote_identifier(std::string_view name);

// "schema"."name"
std::string quote_qualified(std::string_view schema, std::string_view name);

// 'text', with inner quotes doubled; E'' form where a backslash occurs, so that the meaning does not
// depend on standard_conforming_strings.
std::string quote_literal(std::string_view text);

// The text with every control character as a blank: names of a stranger's schema in a message of one line.
std::string in_one_line(std::string_view text);

// Lower-cases A to Z only, as SQLite compares names.
std::string fold_ascii(std::string_view name);
// True when SQLite takes the two for one name.
bool same_name(std::string_view left, std::string_view right);

// "a", "b" and a, b: lists as SQL has them.
std::string quoted_list(const std::vector<std::string>& names);
std::string joined(const std::vector<std::string>& parts, std::string_view separator = ", ");

}  // namespace sluice
