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

// The text the server shows for a binary numeric. Empty when the bytes are not one. For reports and tests.
std::string numeric_to_text(std::span<const std::byte> bytes);

}  // namespace sluice
