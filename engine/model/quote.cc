#include "engine/model/quote.h"

#include <algorithm>

#include <cassert>

namespace sluice {

std::string quote_identifier(std::string_view name) {
  assert(name.find('\0') == std::string_view::npos);
  std::string quoted = "\"";
  for (const char c : name) {
    if (c == '"') quoted += '"';
    quoted += c;
  }
  return quoted += '"';
}

std::string quote_qualified(std::string_view schema, std::string_view name) {
  return quote_identifier(schema) + "." + quote_identifier(name);
}

std::string quote_literal(std::string_view text) {
  assert(text.find('\0') == std::string_view::npos);
  const bool has_backslash = text.find('\\') != std::string_view::npos;
  std::string quoted = has_backslash ? " E'" : "'";
  for (const char c : text) {
    if (c == '\'' || c == '\\') quoted += c;
    quoted += c;
  }
  return quoted += '\'';
}

std::string in_one_line(std::string_view text) {
  std::string line(text);
  for (char& c : line) {
    if (static_cast<unsigned char>(c) < 0x20 || c == 0x7f) c = ' ';
  }
  return line;
}

std::string fold_ascii(std::string_view name) {
  std::string folded(name);
  for (char& c : folded) {
    if (c >= 'A' && c <= 'Z') c = static_cast<char>(c - 'A' + 'a');
  }
  return folded;
}

bool same_name(std::string_view left, std::string_view right) {
  const auto folded = [](char c) { return c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c; };
  return std::equal(left.begin(), left.end(), right.begin(), right.end(),
                    [&](char a, char b) { return folded(a) == folded(b); });
}

std::string quoted_list(const std::vector<std::string>& names) {
  std::string list;
  for (const std::string& name : names) list.append(list.empty() ? "" : ", ").append(quote_identifier(name));
  return list;
}

std::string joined(const std::vector<std::string>& parts, std::string_view separator) {
  std::string list;
  for (const std::string& part : parts) list.append(list.empty() ? "" : separator).append(part);
  return list;
}

}  // namespace sluice
