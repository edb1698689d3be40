#include "datasets/values.h"

#include <algorithm>
#include <array>
#include <cassert>
#include <chrono>

namespace sluice::datasets {

namespace {

using namespace std::string_view_literals;

// A power of two, so that six bits choose one and a single draw lasts for ten words.
constexpr std::array<std::string_view, 64> kWords = {
    "account", "address",  "after",   "again",   "annual",   "answer",  "archive", "backup",
    "balance", "before",   "border",  "bridge",  "budget",   "cable",   "channel", "charge",
    "client",  "contract", "copper",  "credit",  "customer", "delay",   "deliver", "deploy",
    "domain",  "draft",    "early",   "engine",  "entry",    "export",  "failed",  "field",
    "filter",  "follow",   "garden",  "handle",  "harbor",   "invoice", "kernel",  "ladder",
    "letter",  "market",   "meeting", "monday",  "network",  "number",  "office",  "order",
    "packet",  "paper",    "payment", "planned", "please",   "quarter", "reply",   "report",
    "retry",   "river",    "server",  "signal",  "stone",    "update",  "valve",   "window"};

constexpr std::array kFirstNames = {"Ada"sv,   "Amir"sv,  "Ana"sv,    "Björn"sv, "Chloé"sv, "Dmitri"sv,
                                    "Elif"sv,  "Femi"sv,  "Grace"sv,  "Hana"sv,  "İrem"sv,  "José"sv,
                                    "Kwame"sv, "Linh"sv,  "Łukasz"sv, "Mary"sv,  "Niamh"sv, "Ole"sv,
                                    "Priya"sv, "Søren"sv, "Tomás"sv,  "Uma"sv,   "Юлия"sv,  "美咲"sv};
constexpr std::array kLastNames = {"Abadi"sv,    "Brown"sv,        "Castro"sv, "D'Angelo"sv, "Eriksen"sv,
                                   "Fischer"sv,  "García"sv,       "Haddad"sv, "Ivanova"sv,  "Jones"sv,
                                   "Kowalski"sv, "Lovelace"sv,     "Müller"sv, "Nguyen"sv,   "O'Brien"sv,
                                   "Patel"sv,    "Quirke"sv,       "Rossi"sv,  "Smith"sv,    "Tanaka"sv,
                                   "Ünal"sv,     "van der Berg"sv, "Wójcik"sv, "Zhou"sv};

constexpr std::array kOddities = {
    "\U0001F680 \U0001F469\u200D\U0001F469\u200D\U0001F467 \U0001F3F3\uFE0F\u200D\U0001F308"sv,  // joined
                                                                                                 // emoji
    "e\u0301a\u030A\u0323 beside \u00E9\u00E5\u0323"sv,  // combining marks beside composed letters
    "\u05E9\u05DC\u05D5\u05DD \u05E2\u05D5\u05DC\u05DD"sv,
    "\u0645\u0631\u062D\u0628\u0627 abc 123 \u0628\u0627\u0644\u0639\u0627\u0644\u0645"sv,
    "\u202Eoverride\u202C \u200Bzero width \u00A0no break \uFEFFmark"sv,
    "\u65E5\u672C\u8A9E\u306E\u6587\u7AE0\u3068\uFF21\uFF22\uFF23"sv,
    "\U0001D518\U0001D52B\U0001D526\U0001D520\U0001D52C\U0001D521\U0001D522 stra\u00DFe"sv,
    "it's \"double\" and 'single' and `back`"sv, "C:\\Users\\new\\table, \\N \\. \\x00"sv,
    "tab\there\tand\tthere"sv, "first line\nsecond line\r\nthird line\n"sv, "\\."sv, "\n\\.\n"sv, "\\N"sv,
    "NULL"sv, "'; DROP TABLE users; --"sv, "100% of $1 and %s in {braces}, semi;colon|pipe,comma"sv,
    "control \x01\x02\x1B[31m\x7F end"sv, "  blanks at both ends  "sv};

constexpr std::array kUserAgents = {
    "Mozilla/5.0 (X11; Linux x86_64; rv:121.0) Gecko/20100101 Firefox/121.0"sv,
    "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/120.0.0.0 Safari/537.36"sv,
    "Mozilla/5.0 (Macintosh; Intel Mac OS X 14_2) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/17.2 Safari/605.1.15"sv,
    "Mozilla/5.0 (iPhone; CPU iPhone OS 17_2 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) Mobile/15E148"sv,
    "curl/8.5.0"sv,
    "GuzzleHttp/7"sv,
    "python-requests/2.31.0"sv,
    "Go-http-client/2.0"sv};

void append_padded(std::string& out, std::uint64_t value, std::size_t width) {
  const std::size_t end = out.size() + width;
  out.resize(end);
  for (std::size_t index = 0; index < width; ++index) {
    out[end - 1 - index] = static_cast<char>('0' + value % 10);
    value /= 10;
  }
}

void append_date(std::string& out, std::int64_t days) {
  const std::chrono::year_month_day day{std::chrono::sys_days{std::chrono::days{days}}};
  append_padded(out, static_cast<std::uint64_t>(static_cast<int>(day.year())), 4);
  out += '-';
  append_padded(out, static_cast<unsigned>(day.month()), 2);
  out += '-';
  append_padded(out, static_cast<unsigned>(day.day()), 2);
}

void append_words(std::string& out, Random& random, std::size_t size) {
  constexpr std::size_t kLongestWordAndBlank = 9;
  const std::size_t end = out.size() + size;
  out.reserve(end);
  std::uint64_t bits = 0;
  int words_left = 0;
  while (out.size() + kLongestWordAndBlank <= end) {
    if (words_left == 0) {
      bits = random.next();
      words_left = 10;
    }
    out += kWords[bits & 63];
    out += ' ';
    bits >>= 6;
    --words_left;
  }
  out.append(end - out.size(), '.');
}

}  // namespace

std::string date(std::int64_t seconds) {
  assert(seconds >= 0);
  std::string result;
  append_date(result, seconds / kDay);
  return result;
}

std::string date_time(std::int64_t seconds, char separator) {
  assert(seconds >= 0);
  std::string result;
  result.reserve(26);
  append_date(result, seconds / kDay);
  const auto second_of_day = static_cast<std::uint64_t>(seconds % kDay);
  result += separator;
  append_padded(result, second_of_day / 3600, 2);
  result += ':';
  append_padded(result, second_of_day / 60 % 60, 2);
  result += ':';
  append_padded(result, second_of_day % 60, 2);
  return result;
}

std::string date_time_milliseconds(std::int64_t seconds, std::uint64_t milliseconds, char separator) {
  std::string result = date_time(seconds, separator);
  result += '.';
  append_padded(result, milliseconds, 3);
  return result;
}

std::string date_time_microseconds(std::int64_t seconds, std::uint64_t microseconds, char separator) {
  std::string result = date_time(seconds, separator);
  result += '.';
  append_padded(result, microseconds, 6);
  return result;
}

std::int64_t some_time(Random& random) { return kEpoch + random.between(0, kYear - 1); }

std::string hex(Random& random, std::size_t digits) {
  std::string result(digits, '0');
  std::uint64_t bits = 0;
  for (std::size_t index = 0; index < digits; ++index) {
    if (index % 16 == 0) bits = random.next();
    result[index] = "0123456789abcdef"[bits & 15];
    bits >>= 4;
  }
  return result;
}

std::string uuid(Random& random) {
  std::string result = hex(random, 36);
  for (const std::size_t dash : {8u, 13u, 18u, 23u}) result[dash] = '-';
  result[14] = '4';                                                 // version
  result[19] = "89ab"[static_cast<unsigned char>(result[19]) & 3];  // variant
  return result;
}

std::string cuid(Random& random, std::int64_t serial) {
  constexpr std::string_view kDigits = "0123456789abcdefghijklmnopqrstuvwxyz";
  std::string result(25, 'c');
  auto milliseconds = static_cast<std::uint64_t>(kEpoch * 1000 + serial * 977);
  for (std::size_t index = 8; index >= 1; --index) {
    result[index] = kDigits[milliseconds % 36];
    milliseconds /= 36;
  }
  for (std::size_t index = 9; index < result.size(); ++index) result[index] = random.pick(kDigits);
  return result;
}

std::string token(Random& random, std::size_t characters) {
  constexpr std::string_view kAlphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789";
  std::string result(characters, ' ');
  for (char& character : result) character = random.pick(kAlphabet);
  return result;
}

std::vector<std::byte> bytes(Random& random, std::size_t size) {
  std::vector<std::byte> result(size);
  random.fill(result);
  return result;
}

std::string base64(std::span<const std::byte> bytes) {
  constexpr std::string_view kAlphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
  std::string result;
  result.reserve((bytes.size() + 2) / 3 * 4);
  for (; !bytes.empty(); bytes = bytes.subspan(std::min<std::size_t>(3, bytes.size()))) {
    const std::size_t count = std::min<std::size_t>(3, bytes.size());
    std::uint32_t group = 0;
    for (std::size_t index = 0; index < 3; ++index) {
      group = group << 8 | (index < count ? std::to_integer<std::uint32_t>(bytes[index]) : 0);
    }
    for (std::size_t index = 0; index < 4; ++index) {
      result += index <= count ? kAlphabet[group >> (18 - 6 * index) & 63] : '=';
    }
  }
  return result;
}

std::string prose(Random& random, std::size_t size) {
  std::string result;
  append_words(result, random, size);
  return result;
}

std::string person(Random& random) {
  return concat({random.pick(kFirstNames), " ", random.pick(kLastNames)});
}

std::string_view oddity(Random& random) { return random.pick(kOddities); }

std::string free_text(Random& random, std::size_t size_max) {
  if (random.one_in(30)) return "";
  std::string result = prose(random, static_cast<std::size_t>(random.below(size_max + 1)));
  if (random.one_in(6)) {
    // At the front, at the end, or all there is.
    const std::uint64_t place = random.below(3);
    const std::string_view text = oddity(random);
    if (place == 0) return concat({text, result});
    if (place == 1) return concat({result, text});
    return std::string(text);
  }
  return result;
}

std::string ip_address(Random& random) {
  std::string result;
  if (random.one_in(8)) {
    result = "2001:db8";
    for (int group = 0; group < 6; ++group) {
      result += ':';
      result += hex(random, 4);
    }
    return result;
  }
  result = std::to_string(random.between(11, 99));
  for (int group = 0; group < 3; ++group) {
    result += '.';
    result += std::to_string(random.between(1, 254));
  }
  return result;
}

std::string_view user_agent(Random& random) { return random.pick(kUserAgents); }

std::string concat(std::initializer_list<std::string_view> parts) {
  std::size_t size = 0;
  for (const std::string_view part : parts) size += part.size();
  std::string result;
  result.reserve(size);
  for (const std::string_view part : parts) result += part;
  return result;
}

std::string json_text(std::string_view text) {
  std::string result = "\"";
  for (const char character : text) {
    const auto code = static_cast<unsigned char>(character);
    if (character == '"' || character == '\\') {
      result += '\\';
      result += character;
    } else if (character == '\n') {
      result += "\\n";
    } else if (character == '\r') {
      result += "\\r";
    } else if (character == '\t') {
      result += "\\t";
    } else if (code < 0x20) {
      result += "\\u00";
      result += "0123456789abcdef"[code >> 4];
      result += "0123456789abcdef"[code & 15];
    } else {
      result += character;
    }
  }
  return result + '"';
}

JsonObject& JsonObject::decimal(std::string_view key, std::int64_t hundredths) {
  assert(hundredths >= 0);
  std::string value = std::to_string(hundredths / 100);
  value += '.';
  append_padded(value, static_cast<std::uint64_t>(hundredths % 100), 2);
  return raw(key, value);
}

JsonObject& JsonObject::raw(std::string_view key, std::string_view json) {
  if (text_.size() > 1) text_ += ',';
  text_ += json_text(key);
  text_ += ':';
  text_ += json;
  return *this;
}

}  // namespace sluice::datasets
