#pragma once
// What engine/model/conversion.h promises, value by value. ColumnEncoder puts the pieces in order.
//
// All of it is exact or refused, but for what is rounded by its nature and said so below. Pure, no locale.

#include <cstdint>
#include <string>
#include <string_view>

#include "engine/model/cell.h"
#include "engine/model/conversion.h"
#include "engine/model/pg_type.h"
#include "io/wire/buffer.h"
#include "io/wire/type_table.h"

namespace sluice {

// ---- dates as numbers ----

// Days since 2000-01-01 and microseconds into the day, UTC.
struct Moment {
  std::int64_t days = 0;
  std::int64_t microseconds = 0;
};

// The moment that a number counts in `unit`s. INTEGER, REAL or TEXT that is a number as
// parse_written_number() reads it; anything else is Misfit::not_a_timestamp. A REAL is its shortest decimal
// that reads back the same: 1709212455.123457 means six digits of a second.
//
// What is no whole microsecond is Misfit::not_exact, or with `truncate` goes back to the microsecond before,
// also before 1970. Two units count days in a floating point number, so that hardly any time of day is exact
// in them; they are read to the nearest millisecond:
//   julian_days  as SQLite's own datetime() does, and in its range: 0 to 5373484.5, which is the year 10000
//   excel_days   61 (1900-03-01) to the end of 9999; before, Excel counts a day that never was
// Otherwise the range is what the caller's type holds.
Misfit moment_of_epoch(const Cell& cell, EpochUnit unit, bool truncate, Moment& moment);

// '0000-00-00', alone or followed by a blank or T and a time of zeros, perhaps with Z.
bool is_zero_date(std::string_view text);

// Cuts the fraction of a second in an ISO 8601 text to six digits; false when it is not longer.
bool shorten_fraction(std::string_view text, std::string& shorter);

// ---- text ----

// The text in UTF-8. REQUIRES: not utf8. Bytes that mean nothing in the encoding stay as they are, and so
// stay ill-formed: the five unused ones of cp1252; for cesu8 all but pairs of surrogates.
void decode_text(std::string_view text, TextEncoding encoding, std::string& utf8);

// Text that check_text() takes: U+FFFD for, or without, each maximal ill-formed subpart (Unicode 3.9, U+FFFD
// Substitution of Maximal Subparts) and each U+0000. REQUIRES: not misfit.
void repair_text(std::string_view text, BadText how, std::string& repaired);

// ---- bytes ----

// Appends the bytes, without a length. False, with rubbish behind the old size, for what is not Base64. Both
// ways insist that bits of the last character that stand for nothing are zero, so encoding the bytes again
// gives the same characters. Relaxed: an optional data: URI that says ;base64, CR and LF anywhere, + and /
// or - and _ but not both, padding or none.
[[nodiscard]] bool decode_base64(std::string_view text, Base64 how, Buffer& out);

// ---- numbers as text ----

// Appends a whole field. For integers and numeric the number must be exact. For real and double precision it
// is the nearest one, and that one must give back every digit of the text when it is printed with as many:
// 0.1 and 0.10000000000000001 fit, 9007199254740993 and a hundred digits of pi do not.
// REQUIRES: a number type.
Misfit encode_text_as_number(std::string_view text, PgType type, Buffer& out);

}  // namespace sluice
