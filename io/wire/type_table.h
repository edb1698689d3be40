#pragma once
// Which cells each PostgreSQL type takes, and the bytes they become.
//
// One row per type. The bytes are the server's own binary form in its normal form: what
// COPY ... TO STDOUT (FORMAT binary) sends back for the stored value is what was sent, so the digest of
// a row needs no second definition of equality. See io/WIRE.md.

#include <array>
#include <cstddef>
#include <cstdint>
#include <span>
#include <string_view>
#include <vector>

#include "engine/model/cell.h"
#include "engine/model/pg_type.h"
#include "io/wire/buffer.h"

namespace sluice {

// Why a value cannot be stored in its column without changing. The names are the reason codes of the
// reject file, so they are a contract.
enum class Misfit : std::uint8_t {
  none,
  storage_class,       // the type takes no value of this storage class
  out_of_range,        // a number or date beyond the type's limits
  not_exact,           // a fraction for an integer type, an integer that a double would round
  nul_character,       // text with U+0000
  invalid_utf8,        // text that PostgreSQL refuses as UTF-8
  not_a_date,          // not YYYY-MM-DD
  not_a_time,          // not HH:MM[:SS[.ffffff]]
  not_a_timestamp,     // not a date with an optional time
  zone_not_expected,   // a zone in a timestamp without time zone
  zone_missing,        // no zone for a timestamp with time zone
  not_a_boolean,       // outside the word list
  not_a_uuid,          // not 32 hex digits
  invalid_json,        // not RFC 8259
  jsonb_would_change,  // duplicate keys or numbers that jsonb cannot keep
  null_not_allowed,    // NULL in a NOT NULL column
  too_long,            // more characters than varchar(n) or char(n) has, or more than kFieldBytesMax
  trailing_blanks,     // for char(n), which does not tell them from its padding
  not_an_interval,     // not [-]HH:MM[:SS[.ffffff]]
  not_a_label,         // not a value of the enumeration
  not_a_number,        // text that a conversion was to read as a number
  not_base64,          // text that a conversion was to decode
};

std::string_view name_of(Misfit misfit);

// The server reads a field into one piece of memory of at most 1 GB - 1, with a header and a NUL.
inline constexpr std::size_t kFieldBytesMax = (std::size_t{1} << 30) - 6;

// A value with the text that the server prints for it; every test that iterates over the table uses them.
struct Sample {
  Cell cell;
  std::string_view server_text;
};

struct TypeRow {
  PgType type;
  // Appends the field: a 32-bit length and the value. On a misfit the buffer holds rubbish from its old
  // size on; the caller truncates. REQUIRES: the cell is not NULL.
  Misfit (*encode)(const Cell& cell, Buffer& out);
  std::vector<Sample> (*samples)();
  // Holds the field that begins at `start`, the last one of the buffer, against the modifier of its column
  // and gives it the form in which the server would store it. Null where the type takes no modifier.
  // REQUIRES: the modifier is not empty.
  Misfit (*fit)(const TypeModifier& modifier, Buffer& out, std::size_t start) = nullptr;
};

extern const std::array<TypeRow, kPgTypeCount> kTypes;

// The bytes of a field that begins at `start` and ends the buffer, without its length.
inline std::span<const std::byte> field_value(const Buffer& out, std::size_t start) {
  return out.span().subspan(start + 4);
}

// As the encoder of jsonb, but repeated keys are dropped as the server does.
Misfit encode_lossy_jsonb(const Cell& cell, Buffer& out);

inline const TypeRow& row_of(PgType type) { return kTypes[static_cast<std::size_t>(type)]; }

}  // namespace sluice
