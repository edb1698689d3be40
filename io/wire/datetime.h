#pragma once
// ISO 8601 text to PostgreSQL's binary dates and times, strictly.
//
// SQLite has no such types; what its columns hold is text that only promises to be a date. The server's
// own parser takes `today`, `Jan 5` and `24:00`, rounds the seventh digit of a second and depends on
// DateStyle and TimeZone, so it never sees the text. What these functions refuse is a misfit, for the
// caller to report; they never adjust a value to make it fit.
//
//   date    YYYY-MM-DD, or with a sign and four to seven digits of year (+12345-01-01, -0044-03-15).
//           Years are ISO years: 0000 is 1 BC, -0001 is 2 BC. The Gregorian calendar, also before 1582.
//   time    HH:MM, HH:MM:SS or HH:MM:SS.f with any number of digits, of which those after the sixth must
//           be zero, since they would be lost. Not 24:00, not second 60: the server would carry them over.
//   zone    Z, z, +hh, +hhmm, +hh:mm or with '-', up to 15:59 as on the server; a blank may precede it.
//           And the form that Go's Time.String() gives UTC: " +0000 UTC".
//
// No blanks around, no locale, no allocation, no exceptions. On false the result is untouched.

#include <cstdint>
#include <string_view>

namespace sluice {

// Days since 2000-01-01, as in a binary date. From 4714-11-24 BC (Julian day 0, which the manual calls
// 4713 BC) to 5874897-12-31.
[[nodiscard]] bool parse_date(std::string_view text, std::int32_t& days);

// Microseconds since midnight, as in a binary time.
[[nodiscard]] bool parse_time(std::string_view text, std::int64_t& microseconds);

// A length of time: a time as above, of any number of hours from two to nine digits and perhaps with a sign:
// 25:30:00, -01:00.
[[nodiscard]] bool parse_duration(std::string_view text, std::int64_t& microseconds);

// Microseconds in one unit of the last of so many digits of a second. REQUIRES: 0 to 6.
constexpr std::int64_t microseconds_per_digit(std::int32_t digits) {
  std::int64_t unit = 1;
  for (; digits < 6; ++digits) unit *= 10;
  return unit;
}

// Days since 2000-01-01 of a day of the Gregorian calendar; false when there is no such day. REQUIRES: the
// year has at most seven digits.
[[nodiscard]] bool make_date(std::int64_t year, unsigned month, unsigned day, std::int64_t& days);

// Whether a binary date, or a timestamp of either kind, can hold the value.
[[nodiscard]] bool in_date_range(std::int64_t days);
[[nodiscard]] bool in_timestamp_range(std::int64_t microseconds);

// Z, z, +hh, +hhmm, +hh:mm, as above but without " +0000 UTC".
[[nodiscard]] bool parse_zone(std::string_view text, std::int32_t& offset_seconds);

// A timestamp as written, before a column decides what it means.
struct WrittenTimestamp {
  std::int64_t microseconds = 0;  // local time since 2000-01-01 00:00
  bool zoned = false;
  std::int32_t offset_seconds = 0;  // east of Greenwich; 0 without a zone
};

// A date alone (midnight, never with a zone), or a date, a blank or 'T', a time, and maybe a zone. Not yet
// held against the range of any column type.
[[nodiscard]] bool parse_written_timestamp(std::string_view text, WrittenTimestamp& written);

// For `timestamp`: refuses a zone, since dropping it would change the meaning. Microseconds since
// 2000-01-01 00:00; from 4714-11-24 BC to the end of 294276.
[[nodiscard]] bool parse_timestamp(std::string_view text, std::int64_t& microseconds);

// True only for what parse_timestamp() takes, and for nearly all of that: YYYY-MM-DD, a blank or 'T',
// HH:MM:SS and up to six digits of a fraction. Without computing the value. False says nothing.
[[nodiscard]] bool is_usual_timestamp(std::string_view text);

// For `timestamptz`: requires a zone, since none of ours to assume is right. The same scale in UTC.
[[nodiscard]] bool parse_timestamptz(std::string_view text, std::int64_t& microseconds);

}  // namespace sluice
