#include "io/wire/datetime.h"

#include <bit>
#include <cstddef>
#include <cstring>

namespace sluice {
namespace {

static_assert(std::endian::native == std::endian::little, "fields are picked out of words by byte order");

constexpr std::int64_t kMicrosecondsPerSecond = 1'000'000;
constexpr std::int64_t kMicrosecondsPerDay = 86'400 * kMicrosecondsPerSecond;

// From the server's src/include/datatype/timestamp.h. Its dates begin with Julian day 0.
constexpr std::int64_t kFirstDay = -2'451'545;
constexpr std::int64_t kEndDay = 2'145'031'949;
constexpr std::int64_t kFirstTimestamp = -211'813'488'000'000'000;
constexpr std::int64_t kEndTimestamp = 9'223'371'331'200'000'000;
static_assert(kFirstTimestamp == kFirstDay * kMicrosecondsPerDay);

// Eight characters at once. After the exclusive-or with a pattern such as "0000-00-" a digit is its value
// and a separator in its place is zero; `slack` is what each byte lacks to 0x80 when it is the largest it
// may be, so that adding it raises the top bit of every byte that is larger.
constexpr std::uint64_t word_of(const char (&text)[9]) {
  std::uint64_t word = 0;
  for (unsigned i = 0; i < 8; ++i)
    word |= static_cast<std::uint64_t>(static_cast<unsigned char>(text[i])) << 8 * i;
  return word;
}
constexpr std::uint64_t slack_of(std::uint64_t pattern) {
  std::uint64_t slack = 0;
  for (unsigned i = 0; i < 8; ++i) {
    const bool digit = (pattern >> 8 * i & 0xFF) == '0';
    slack |= std::uint64_t{digit ? 0x7Fu - 9u : 0x7Fu} << 8 * i;
  }
  return slack;
}

// The eight characters as pairs of digits: byte i of `pairs` is the number made of characters i and i + 1.
template <std::uint64_t kPattern>
bool take_word(const char* text, std::uint64_t& pairs) {
  constexpr std::uint64_t kTops = 0x8080808080808080u;
  std::uint64_t word;
  std::memcpy(&word, text, sizeof word);
  word ^= kPattern;
  if (((word | (word + slack_of(kPattern))) & kTops) != 0) return false;
  pairs = word * 10 + (word >> 8);
  return true;
}
constexpr std::uint64_t byte_of(std::uint64_t word, unsigned index) { return word >> 8 * index & 0xFF; }

bool digit_at(const char* text) { return static_cast<unsigned char>(*text - '0') < 10; }
unsigned value_of(const char* digit) { return static_cast<unsigned>(*digit - '0'); }

// What is left of the text. Every take_ function moves it past what it took.
struct Rest {
  const char* at;
  const char* end;

  explicit Rest(std::string_view text) : at(text.data()), end(text.data() + text.size()) {}
  [[nodiscard]] std::size_t size() const { return static_cast<std::size_t>(end - at); }
  [[nodiscard]] bool empty() const { return at == end; }
};

bool take(Rest& rest, char expected) {
  if (rest.empty() || *rest.at != expected) return false;
  ++rest.at;
  return true;
}

bool take_pair(Rest& rest, unsigned& value) {
  if (rest.size() < 2 || !digit_at(rest.at) || !digit_at(rest.at + 1)) return false;
  value = value_of(rest.at) * 10 + value_of(rest.at + 1);
  rest.at += 2;
  return true;
}

constexpr bool leap_year(std::int64_t year) { return year % 4 == 0 && (year % 100 != 0 || year % 400 == 0); }

constexpr unsigned days_in(std::int64_t year, unsigned month) {
  if (month == 2) return leap_year(year) ? 29 : 28;
  return 30 | (month ^ month >> 3);  // 31 in the odd months to July and the even ones from August on
}

// Days since 2000-01-01. Howard Hinnant's days_from_civil: years begin in March, so that the leap day comes
// last and the lengths of the months before it follow one line; eras of 400 years keep it all positive.
// http://howardhinnant.github.io/date_algorithms.html#days_from_civil
constexpr std::int64_t days_from_civil(std::int64_t year, unsigned month, unsigned day) {
  constexpr std::int64_t kMarch0000To2000 = 730'425;
  year -= month <= 2;
  const std::int64_t era = (year >= 0 ? year : year - 399) / 400;
  const auto year_of_era = static_cast<std::uint32_t>(year - era * 400);
  const std::uint32_t day_of_year = (153 * (month > 2 ? month - 3 : month + 9) + 2) / 5 + day - 1;
  const std::uint32_t day_of_era = year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year;
  return era * 146'097 + day_of_era - kMarch0000To2000;
}
static_assert(days_from_civil(2000, 1, 1) == 0);
static_assert(days_from_civil(-4713, 11, 24) == kFirstDay);
static_assert(days_from_civil(5'874'897, 12, 31) + 1 == kEndDay);
static_assert(days_from_civil(294'277, 1, 1) * kMicrosecondsPerDay == kEndTimestamp);

// A year with its sign, and the month: where the eight characters of the usual form do not fit.
bool take_signed_year_and_month(Rest& rest, std::int64_t& year, unsigned& month) {
  const bool negative = take(rest, '-');
  if (!negative && !take(rest, '+')) return false;
  int digits = 0;
  for (year = 0; digits < 7 && !rest.empty() && digit_at(rest.at); ++digits) {
    year = year * 10 + value_of(rest.at++);
  }
  if (digits < 4) return false;
  if (negative) {
    if (year == 0) return false;  // ISO 8601 has only one year zero
    year = -year;
  }
  return take(rest, '-') && take_pair(rest, month) && take(rest, '-');
}

bool take_date(Rest& rest, std::int64_t& days) {
  std::int64_t year = 0;
  unsigned month = 0;
  unsigned day = 0;
  std::uint64_t pairs = 0;
  if (rest.size() < 10) return false;
  if (take_word<word_of("0000-00-")>(rest.at, pairs)) [[likely]] {
    year = static_cast<std::int64_t>(byte_of(pairs, 0) * 100 + byte_of(pairs, 2));
    month = static_cast<unsigned>(byte_of(pairs, 5));
    rest.at += 8;
  } else if (!take_signed_year_and_month(rest, year, month)) {
    return false;
  }
  if (!take_pair(rest, day)) return false;
  if (month - 1 >= 12) return false;
  // Only the last days of a month need to know which one it is.
  if (day - 1 >= 28 && (day == 0 || day > days_in(year, month))) return false;
  days = days_from_civil(year, month, day);
  return true;
}

bool take_fraction(Rest& rest, std::int64_t& microseconds) {
  const char* const first = rest.at;
  std::int64_t fraction = 0;
  for (std::int64_t unit = 100'000; !rest.empty() && digit_at(rest.at); ++rest.at, unit /= 10) {
    const unsigned digit = value_of(rest.at);
    if (unit == 0 && digit != 0) return false;
    fraction += digit * unit;
  }
  microseconds += fraction;
  return rest.at != first;
}

bool take_time(Rest& rest, std::int64_t& microseconds) {
  std::uint64_t pairs = 0;
  unsigned hour = 0;
  unsigned minute = 0;
  unsigned second = 0;
  const bool with_seconds = rest.size() >= 8 && take_word<word_of("00:00:00")>(rest.at, pairs);
  if (with_seconds) [[likely]] {
    hour = static_cast<unsigned>(byte_of(pairs, 0));
    minute = static_cast<unsigned>(byte_of(pairs, 3));
    second = static_cast<unsigned>(byte_of(pairs, 6));
    rest.at += 8;
  } else if (!take_pair(rest, hour) || !take(rest, ':') || !take_pair(rest, minute)) {
    return false;
  }
  if (hour > 23 || minute > 59 || second > 59) return false;
  microseconds = (static_cast<std::int64_t>(hour) * 3600 + minute * 60 + second) * kMicrosecondsPerSecond;
  return !with_seconds || !take(rest, '.') || take_fraction(rest, microseconds);
}

// REQUIRES: the rest is not empty. Takes all of it.
bool take_zone(Rest& rest, std::int32_t& offset_seconds) {
  if (std::string_view(rest.at, rest.size()) == " +0000 UTC") {
    rest.at = rest.end;
    return true;
  }
  take(rest, ' ');
  if (take(rest, 'Z') || take(rest, 'z')) return rest.empty();
  const bool west = take(rest, '-');
  if (!west && !take(rest, '+')) return false;
  unsigned hour = 0;
  unsigned minute = 0;
  if (!take_pair(rest, hour)) return false;
  if (!rest.empty()) {
    take(rest, ':');
    if (!take_pair(rest, minute)) return false;
  }
  if (hour > 15 || minute > 59) return false;
  const auto seconds = static_cast<std::int32_t>(hour * 3600 + minute * 60);
  offset_seconds = west ? -seconds : seconds;
  return rest.empty();
}

bool read_timestamp(std::string_view text, WrittenTimestamp& written) {
  // A day and more beyond what any column holds on either side, so that a zone may still bring it in, and
  // well within what 64 bits hold.
  constexpr std::int64_t kFirst = kFirstDay - 1;
  constexpr std::int64_t kEnd = kEndTimestamp / kMicrosecondsPerDay + 1;
  Rest rest(text);
  WrittenTimestamp result;
  std::int64_t days = 0;
  if (!take_date(rest, days) || days < kFirst || days >= kEnd) return false;
  if (!rest.empty()) {
    if (!take(rest, ' ') && !take(rest, 'T')) return false;
    if (!take_time(rest, result.microseconds)) return false;
    result.zoned = !rest.empty();
    if (result.zoned && !take_zone(rest, result.offset_seconds)) return false;
  }
  result.microseconds += days * kMicrosecondsPerDay;
  written = result;
  return true;
}

}  // namespace

bool in_date_range(std::int64_t days) { return days >= kFirstDay && days < kEndDay; }

bool in_timestamp_range(std::int64_t microseconds) {
  return microseconds >= kFirstTimestamp && microseconds < kEndTimestamp;
}

bool make_date(std::int64_t year, unsigned month, unsigned day, std::int64_t& days) {
  if (month - 1 >= 12 || day == 0 || day > days_in(year, month)) return false;
  days = days_from_civil(year, month, day);
  return true;
}

bool parse_duration(std::string_view text, std::int64_t& microseconds) {
  Rest rest(text);
  const bool negative = take(rest, '-');
  if (!negative) take(rest, '+');
  std::int64_t hours = 0;
  unsigned minute = 0;
  unsigned second = 0;
  int digits = 0;
  for (; digits < 9 && !rest.empty() && digit_at(rest.at); ++digits) hours = hours * 10 + value_of(rest.at++);
  if (digits < 2 || !take(rest, ':') || !take_pair(rest, minute) || minute > 59) return false;
  std::int64_t result = 0;
  if (!rest.empty()) {
    if (!take(rest, ':') || !take_pair(rest, second) || second > 59) return false;
    if (take(rest, '.') && !take_fraction(rest, result)) return false;
    if (!rest.empty()) return false;
  }
  result += (hours * 3600 + minute * 60 + second) * kMicrosecondsPerSecond;
  microseconds = negative ? -result : result;
  return true;
}

bool parse_zone(std::string_view text, std::int32_t& offset_seconds) {
  if (text.empty() || text.front() == ' ') return false;
  Rest rest(text);
  return take_zone(rest, offset_seconds);
}

bool parse_date(std::string_view text, std::int32_t& days) {
  Rest rest(text);
  std::int64_t wide = 0;
  if (!take_date(rest, wide) || !rest.empty()) return false;
  if (!in_date_range(wide)) return false;
  days = static_cast<std::int32_t>(wide);
  return true;
}

bool parse_time(std::string_view text, std::int64_t& microseconds) {
  Rest rest(text);
  std::int64_t result = 0;
  if (!take_time(rest, result) || !rest.empty()) return false;
  microseconds = result;
  return true;
}

bool parse_written_timestamp(std::string_view text, WrittenTimestamp& written) {
  return read_timestamp(text, written);
}

bool parse_timestamp(std::string_view text, std::int64_t& microseconds) {
  WrittenTimestamp written;
  if (!read_timestamp(text, written) || written.zoned) return false;
  if (!in_timestamp_range(written.microseconds)) return false;
  microseconds = written.microseconds;
  return true;
}

bool is_usual_timestamp(std::string_view text) {
  const std::size_t size = text.size();
  if (size < 19 || size > 26 || size == 20) return false;
  const char* const at = text.data();
  std::uint64_t date = 0;
  std::uint64_t time = 0;
  if (!take_word<word_of("0000-00-")>(at, date) || !take_word<word_of("00:00:00")>(at + 11, time))
    return false;
  if (!digit_at(at + 8) || !digit_at(at + 9) || (at[10] != ' ' && at[10] != 'T')) return false;
  const auto month = static_cast<unsigned>(byte_of(date, 5));
  const unsigned day = value_of(at + 8) * 10 + value_of(at + 9);
  if (month - 1 >= 12 || byte_of(time, 0) > 23 || byte_of(time, 3) > 59 || byte_of(time, 6) > 59)
    return false;
  if (day - 1 >= 28) {
    const auto year = static_cast<std::int64_t>(byte_of(date, 0) * 100 + byte_of(date, 2));
    if (day == 0 || day > days_in(year, month)) return false;
  }
  // The last second and six digits; or fewer, one by one.
  if (size == 26) return take_word<word_of("0.000000")>(at + 18, time);
  if (size == 19) return true;
  if (at[19] != '.') return false;
  for (std::size_t i = 20; i < size; ++i) {
    if (!digit_at(at + i)) return false;
  }
  return true;
}

bool parse_timestamptz(std::string_view text, std::int64_t& microseconds) {
  WrittenTimestamp written;
  if (!read_timestamp(text, written) || !written.zoned) return false;
  const std::int64_t utc = written.microseconds - written.offset_seconds * kMicrosecondsPerSecond;
  if (!in_timestamp_range(utc)) return false;
  microseconds = utc;
  return true;
}

}  // namespace sluice
