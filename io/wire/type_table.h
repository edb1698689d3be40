#pragma once
// Which cells each PostgreSQL type takes, and the bytes they become.
//
// One row per type. The bytes are the server's own binary form in its normal form: what
// COPY ... TO STDOUT (FORMAT binary) sends back for the stored value is what was sent, so the digest of
// a row needs no second definition of equality. See io/WIRE.md.

#include <array>
#include <cstdint>
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
};

std::string_view name_of(Misfit misfit);

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
};

extern const std::array<TypeRow, kPgTypeCount> kTypes;

inline const TypeRow& row_of(PgType type) { return kTypes[static_cast<std::size_t>(type)]; }

}  // namespace sluice
