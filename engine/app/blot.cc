#include "engine/app/blot.h"

#include <algorithm>
#include <string>
#include <string_view>

#include "engine/model/hex.h"

namespace sluice {
namespace {

constexpr std::string_view kKey = "password";  // and sslpassword, which ends with it

void blot(std::span<char> secret) { std::fill(secret.begin(), secret.end(), 'x'); }

// A key of a URI may be percent-encoded as well as a value.
std::string decoded(std::string_view text) {
  std::string plain;
  for (std::size_t i = 0; i < text.size(); ++i) {
    const auto byte = text[i] == '%' ? bytes_of_hex(text.substr(i + 1, 2)) : std::nullopt;
    if (byte && !byte->empty()) i += 2;
    plain += byte && !byte->empty() ? *byte : std::string(1, text[i]);
  }
  return plain;
}

void blot_uri(std::span<char> argument, std::size_t authority) {
  const std::string_view text(argument.data(), argument.size());
  const std::size_t colon = text.find(':', authority);
  const std::size_t at = text.rfind('@');
  // A host's port has no @ behind it.
  if (colon != text.npos && at != text.npos && colon < at) blot(argument.subspan(colon + 1, at - colon - 1));
  for (std::size_t begin = text.find('?', authority); begin != text.npos;) {
    const std::size_t end = std::min(text.find('&', begin + 1), text.size());
    const std::size_t equals = text.find('=', begin);
    if (equals < end && decoded(text.substr(begin + 1, equals - begin - 1)).ends_with(kKey)) {
      blot(argument.subspan(equals + 1, end - equals - 1));
    }
    begin = end == text.size() ? text.npos : end;
  }
}

// Behind the = of a key, as libpq reads it: a word, or '...' with backslashes; either may be left open.
std::size_t end_of_value(std::string_view text, std::size_t begin) {
  const bool quoted = begin < text.size() && text[begin] == '\'';
  for (std::size_t i = quoted ? begin + 1 : begin; i < text.size(); ++i) {
    if (text[i] == '\\') {
      ++i;
    } else if (quoted ? text[i] == '\'' : text[i] == ' ' || (text[i] >= '\t' && text[i] <= '\r')) {
      return quoted ? i + 1 : i;
    }
  }
  return text.size();
}

void blot_pairs(std::span<char> argument) {
  const std::string_view text(argument.data(), argument.size());
  for (std::size_t at = text.find(kKey); at != text.npos; at = text.find(kKey, at)) {
    constexpr std::string_view kBlanks = " \t\n\v\f\r";
    at += kKey.size();
    const std::size_t equals = std::min(text.find_first_not_of(kBlanks, at), text.size());
    if (equals == text.size() || text[equals] != '=') continue;
    const std::size_t begin = std::min(text.find_first_not_of(kBlanks, equals + 1), text.size());
    at = end_of_value(text, begin);
    blot(argument.subspan(begin, at - begin));
  }
}

}  // namespace

void blot_passwords(std::span<char> argument) {
  const std::string_view text(argument.data(), argument.size());
  const std::size_t scheme = text.find("://");
  if (const std::size_t scheme = text.find("://"); scheme != text.npos) blot_uri(argument, scheme + 3);
  blot_pairs(argument);
}

}  // namespace sluice
