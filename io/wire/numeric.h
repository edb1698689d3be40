#pragma once
// PostgreSQL's binary numeric, in the server's own normal form.
//
// Four big-endian 16-bit fields and then that many base-10000 digits ("groups"), most significant first:
//
//   ndigits  number of groups; the first and the last are not zero, and zero itself has none
//   weight   the first group counts 10000^weight; 0 for zero
//   sign     0x0000 positive or zero, 0x4000 negative, 0xD000 Infinity, 0xF000 -Infinity, 0xC000 NaN
//   dscale   decimal digits shown after the point, up to 16383
//
//   -12.3400    00 02  00 00  40 00  00 04  00 0c  0d 48       (12, 3400)
//   10000       00 01  00 01  00 00  00 00  00 01              (1)
//
// The server takes other forms too (zero groups at the ends, an infinity with dscale 0) but answers in
// this one, so what we send is what a digest of its answer will see. Source: numeric_send() and
// numeric_recv() in src/backend/utils/adt/numeric.c, and trials on PostgreSQL 15.
//
// The append_ functions write the value alone, without the field length of COPY.

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>

#include "io/wire/buffer.h"

namespace sluice {

void append_numeric(Buffer& out, std::int64_t value);

// The shortest decimal that reads back as the same double (std::to_chars), with as many digits after the
// point as that takes in plain notation: 0.1, 1234.5, 100000000000000000000000. Infinities as the server
// has them since 14. -0.0 becomes 0: numeric has one zero. REQUIRES: not NaN, which SQLite cannot store.
void append_numeric(Buffer& out, double value);

// Plain decimal text: -12.3400, 0.5, 17. Digits after the point are kept, trailing zeros too. Whatever
// would not come back letter by letter is refused with nothing written: a plus sign, -0, leading zeros, a
// missing digit on either side of the point, exponents, blanks; more than 16383 digits after the point or
// 131072 before it.
[[nodiscard]] bool append_decimal(Buffer& out, std::string_view text);

// A number as people and programs write it. The digits are borrowed from the text.
struct WrittenNumber {
  bool negative = false;
  std::string_view whole;     // digits before the point
  std::string_view fraction;  // and after it
  std::int32_t exponent = 0;  // within +-10,000,000, beyond which it is cut off

  // Counted from the start of whole: the digit, and where the first that is not zero stands; digits() for
  // zero.
  [[nodiscard]] std::size_t digits() const { return whole.size() + fraction.size(); }
  [[nodiscard]] char digit(std::size_t i) const {
    return i < whole.size() ? whole[i] : fraction[i - whole.size()];
  }
  [[nodiscard]] std::size_t first_significant() const;
  // One past the last digit that is not zero.
  [[nodiscard]] std::size_t end_significant() const;
  // Where the point stands once the exponent has moved it, in the same count; perhaps outside.
  [[nodiscard]] std::ptrdiff_t point() const { return static_cast<std::ptrdiff_t>(whole.size()) + exponent; }
};

// An optional sign, digits with at most one point among or around them, an optional exponent: 42, -1.5e3,
// +.5, 7., 007. No blanks, no hexadecimal, no separators, no words.
[[nodiscard]] bool parse_written_number(std::string_view text, WrittenNumber& number);

// The same number, digit by digit; the display scale as the server derives it from such a text. False, with
// nothing written, beyond the limits of the type.
[[nodiscard]] bool append_numeric(Buffer& out, const WrittenNumber& number);

void append_numeric_nan(Buffer& out);

enum class NumericFit : std::uint8_t {
  ok,
  too_large,  // more digits before the point than the precision leaves, or infinite
  too_fine,   // digits after the scale, which the server would round off
};

// Makes the numeric at the end of `out`, which begins at `start`, a numeric(precision, scale): its display
// scale becomes the column's. NaN fits every precision.
[[nodiscard]] NumericFit fit_numeric(Buffer& out, std::size_t start, std::int32_t precision,
                                     std::int32_t scale);

// The text the server shows for a binary numeric. Empty when the bytes are not one. For reports and tests.
std::string numeric_to_text(std::span<const std::byte> bytes);

}  // namespace sluice
