#pragma once
// Names and values of a stranger's file on a terminal. A table may be called "\x1b[2J": what reaches the
// screen must be what it looks like.

#include <cstddef>
#include <string>
#include <string_view>

namespace sluice {

// The text on one line: control characters, DEL, the C1 controls, line separators, characters that turn the
// direction of writing, invisible ones, and bytes that are not UTF-8 appear as \x1b or \u202e. All else
// stays.
std::string printable(std::string_view text);

// Cut behind `width` characters at most, with an ellipsis as the last one where something was cut.
// REQUIRES: `text` comes from printable(); width > 0.
std::string cut_to(const std::string& text, std::size_t width);

// Characters; wide ones count as one.
std::size_t width_of(std::string_view text);

// Breaks at blanks so that no line is longer than `width`, and indents all lines but the first. What has no
// blank to break at is cut on a character boundary. Ends without a newline.
std::string wrapped(std::string_view text, std::size_t width, std::size_t indent);

}  // namespace sluice
