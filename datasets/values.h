#pragma once

#include <cstddef>
#include <cstdint>
#include <initializer_list>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "datasets/random.h"

// Values as applications store them. Everything is made of integers drawn from a Random; nothing reads
// the clock or the locale. All texts are valid UTF-8 without NUL.
namespace sluice::datasets {

// 2024-01-01 00:00:00 UTC, where the generated histories begin.
inline constexpr std::int64_t kEpoch = 1'704'067'200;
inline constexpr std::int64_t kDay = 86'400;
inline constexpr std::int64_t kYear = 365 * kDay;

// "2024-02-29".
std::string date(std::int64_t seconds);

// "2024-02-29 23:59:59", or with 'T' between.
std::string date_time(std::int64_t seconds, char separator = ' ');

// "2024-02-29 23:59:59.123".
std::string date_time_milliseconds(std::int64_t seconds, std::uint64_t milliseconds, char separator = ' ');

// "2024-02-29 23:59:59.123456".
std::string date_time_microseconds(std::int64_t seconds, std::uint64_t microseconds, char separator = ' ');

// Some moment within a year of kEpoch, in seconds.
std::int64_t some_time(Random& random);

// Lowercase hexadecimal digits.
std::string hex(Random& random, std::size_t digits);

// A version 4 UUID in its canonical form.
std::string uuid(Random& random);

// 25 characters in the form of a cuid: 'c', a time that grows with `serial`, random digits of base 36.
std::string cuid(Random& random, std::int64_t serial);

// Letters and digits.
std::string token(Random& random, std::size_t characters);

std::vector<std::byte> bytes(Random& random, std::size_t size);

// RFC 4648, padded, no line breaks.
std::string base64(std::span<const std::byte> bytes);

// ASCII words, filled up with full stops to exactly `size` bytes.
std::string prose(Random& random, std::size_t size);

// A first and a last name, some of them outside ASCII.
std::string person(Random& random);

// One of a fixed list of texts that are legal and often mishandled: emoji, combining marks, right to left,
// quotes, backslashes, tabs, line ends, words that look like NULL or like COPY's own markers.
std::string_view oddity(Random& random);

// Prose of up to `size_max` bytes; one in six has an oddity in it (on top of the size), one in thirty is
// the empty string.
std::string free_text(Random& random, std::size_t size_max);

// A public IPv4 address, one in eight an IPv6 address.
std::string ip_address(Random& random);

// A browser's or a tool's.
std::string_view user_agent(Random& random);

// The parts, one after the other. Draw from a Random inside the braces, never on two sides of a `+`.
std::string concat(std::initializer_list<std::string_view> parts);

// NULL once in `count` draws.
template <typename Held>
std::optional<Held> maybe_null(Random& random, std::uint64_t count, Held value) {
  if (random.one_in(count)) return std::nullopt;
  return std::optional<Held>(std::move(value));
}

// A JSON string with its quotes, escaped as RFC 8259 asks.
std::string json_text(std::string_view text);

// A JSON object under construction. Keys must differ.
class JsonObject {
 public:
  JsonObject& text(std::string_view key, std::string_view value) { return raw(key, json_text(value)); }
  JsonObject& integer(std::string_view key, std::int64_t value) { return raw(key, std::to_string(value)); }
  JsonObject& boolean(std::string_view key, bool value) { return raw(key, value ? "true" : "false"); }
  JsonObject& null(std::string_view key) { return raw(key, "null"); }
  // Two decimals, written as such: 150 becomes 1.50. REQUIRES: hundredths >= 0.
  JsonObject& decimal(std::string_view key, std::int64_t hundredths);
  // A value that is JSON already.
  JsonObject& raw(std::string_view key, std::string_view json);

  std::string done() const { return text_ + "}"; }

 private:
  std::string text_ = "{";
};

}  // namespace sluice::datasets
