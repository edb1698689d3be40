#pragma once
// What may be done to the values of a column on their way, because the user asked for it, in the mapping or
// by a flag. Without being asked nothing is done: the default changes no value.

#include <cstdint>
#include <string>
#include <string_view>

#include "engine/model/pg_type.h"

namespace sluice {

// What a number in a column of dates counts, as INTEGER, REAL or text that is a number; other text is read
// as without. Exactness, ranges and the direction of rounding: io/wire/conversion.h.
enum class EpochUnit : std::uint8_t {
  none,
  seconds,  // since 1970-01-01 UTC, as the next three
  milliseconds,
  microseconds,
  nanoseconds,
  julian_days,          // days since noon of -4713-11-24 (Gregorian), as SQLite's julianday()
  apple_seconds,        // since 2001-01-01 UTC
  webkit_microseconds,  // since 1601-01-01 UTC
  filetime,             // 100 ns since 1601-01-01 UTC
  dotnet_ticks,         // 100 ns since 0001-01-01
  excel_days,           // days since 1899-12-30; from 1900-03-01 on, where Excel is right
};

// What the bytes of a TEXT mean, where they are not UTF-8.
enum class TextEncoding : std::uint8_t {
  utf8,
  cp1252,  // only values that are not UTF-8; its five unused bytes are misfits
  latin1,
  cesu8,  // joins surrogates that were encoded one by one
};

// Text that PostgreSQL refuses: bytes that are not UTF-8, and U+0000.
enum class BadText : std::uint8_t {
  misfit,   // as any other value that does not fit
  replace,  // U+FFFD in the place of each
  strip,    // leave them out
};

// 16 bytes as a uuid.
enum class UuidBytes : std::uint8_t {
  none,
  big_endian,  // in the order in which they are written
  dotnet,      // Guid.ToByteArray(): the first three groups little-endian
};

// Base64 in TEXT or BLOB to bytes.
enum class Base64 : std::uint8_t {
  none,
  strict,   // RFC 4648, padded, nothing else
  relaxed,  // data: URIs, line breaks, the URL alphabet and missing padding too
};

struct Conversion {
  EpochUnit epoch = EpochUnit::none;
  TextEncoding encoding = TextEncoding::utf8;
  BadText bad_text = BadText::misfit;
  UuidBytes uuid_bytes = UuidBytes::none;
  Base64 base64 = Base64::none;
  bool empty_as_null = false;      // TEXT '', for any type
  bool zero_date_as_null = false;  // '0000-00-00', with or without a zero time; the number 0
  // Digits of a second beyond the sixth, or beyond those that the type has, are cut off, as if they had not
  // been written: always to the earlier moment. Without it they do not fit.
  bool truncate_fraction = false;
  bool blob_as_text = false;    // a BLOB is a TEXT of the same bytes
  bool text_as_number = false;  // '42', '-1.5e3'; 'NaN', 'Infinity', '-Infinity' where the type has them
  bool naive_as_utc = false;    // for timestamptz: a time without a zone is UTC
  bool lossy_jsonb = false;     // jsonb may drop repeated keys; without it they do not fit
  // For text dates, and for integers that are dates by their digits (20240131): in strptime's words, of the
  // letters of kDateDirectives and literal characters. Only what it describes fits. Empty: ISO 8601.
  std::string date_format;

  bool operator==(const Conversion&) const = default;
  [[nodiscard]] bool any() const { return *this != Conversion(); }
};

// "epoch = \"ms\", empty-as-null = true": as the mapping writes it, in a fixed order; empty without any.
// It is part of what decides whether an earlier run can go on.
std::string describe(const Conversion& conversion);

// Year (four digits), month, day, hour, minute, second, fraction of a second, year of two digits (69 to 99
// are 19xx), short and long English month, AM or PM, hour of twelve, zone, short and long English weekday,
// and the sign itself.
inline constexpr std::string_view kDateDirectives = "YmdHMSfybBpIzaA%";

// Why the conversions cannot be applied to a column of this type, as a sentence; empty when they can.
std::string why_not(const Conversion& conversion, PgType type);

}  // namespace sluice
