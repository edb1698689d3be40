#pragma once
// What one look at every value of the source has found. Counts of values, per column; plain data.
//
// A column of a STRICT table whose declared type leaves no doubt is not looked at (`examined` is false):
// SQLite guarantees its class, so it fits.

#include <array>
#include <cstddef>
#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "engine/model/pg_type.h"

namespace sluice {

// What a TEXT may be read as. A text can be several of them; `'2024'` is a number and JSON.
enum class TextForm : std::uint8_t {
  date,           // 2024-02-29, as parse_date takes it
  time,           // 12:34[:56[.789]]
  timestamp,      // a date with a time and no zone; not a date alone
  timestamptz,    // with a zone
  compact_date,   // 20240131 or 20240131123456
  rfc2822,        // Tue, 01 Jan 2024 12:00:00 +0000
  zero_date,      // 0000-00-00 with or without a zero time
  integer,        // an optional sign and digits, within 64 bits
  number,         // a decimal number that is not an integer, with or without an exponent
  boolean,        // the word list of io/wire/boolean.h
  json,           // a document of RFC 8259 that starts with { or [
  json_scalar,    // any other
  jsonb_exact,    // json or json_scalar of which jsonb loses nothing but blanks, the order of keys and the
                  // spelling of numbers: it keeps values, so 1.0e2 becomes 100
  uuid,           // as parse_uuid takes it
  uuid_lower,     // a uuid in the form that PostgreSQL prints
  base64,         // 16 characters or more, strict Base64 with at least one of A-Z a-z
  plain_integer,  // an integer as it is printed: neither 007 nor +7 nor -0
};
inline constexpr std::size_t kTextFormCount = static_cast<std::size_t>(TextForm::plain_integer) + 1;

inline constexpr std::uint32_t kCharactersCounted = std::uint32_t{1} << 20;

// Why a value is shown as an example.
enum class Surprise : std::uint8_t {
  class_not_declared,     // a class that the declared type does not suggest: TEXT in an INTEGER column
  integer_beyond_double,  // beyond 2^53, in a column that also holds reals or was declared as one
  infinite,
  nul_character,
  invalid_utf8,
  form_not_declared,  // text that is not the date, boolean, JSON or UUID that was declared; the integer 2
  null_in_key,
  longest,  // over 1 MB
};
inline constexpr std::size_t kSurpriseCount = static_cast<std::size_t>(Surprise::longest) + 1;

struct Example {
  std::string key;    // of the row, as SQL would write it: "id = 17", "rowid = 3"
  std::string value;  // as SQL literal, cut after 40 characters; empty where it says nothing
};

struct ColumnFacts {
  bool examined = false;
  std::uint64_t nulls = 0;
  std::uint64_t integers = 0;
  std::uint64_t reals = 0;
  std::uint64_t texts = 0;
  std::uint64_t blobs = 0;

  // Meaningful where integers > 0.
  std::int64_t integer_min = 0;
  std::int64_t integer_max = 0;
  std::uint64_t integers_beyond_double = 0;  // |value| > 2^53
  std::uint64_t integers_zero_or_one = 0;

  std::uint64_t reals_whole = 0;                // exactly an int64
  std::uint64_t reals_whole_beyond_double = 0;  // of these, |value| > 2^53: perhaps integers that overflowed
  std::uint64_t reals_infinite = 0;
  std::uint64_t reals_zero_or_one = 0;

  std::uint64_t texts_empty = 0;
  std::uint64_t texts_with_nul = 0;      // valid UTF-8 but for U+0000
  std::uint64_t texts_invalid_utf8 = 0;  // both together: texts that PostgreSQL refuses
  std::uint64_t texts_replaced = 0;  // contain U+FFFD, which in a UTF-16 file may stand for a lone surrogate
  std::uint32_t characters_longest = 0;  // of texts; kCharactersCounted stands for any number from there on
  std::uint64_t blobs_of_16_bytes = 0;
  std::uint64_t blobs_of_text = 0;  // valid UTF-8 without NUL; empty ones too
  std::uint64_t bytes_longest = 0;  // of texts and blobs
  std::uint64_t bytes_total = 0;    // of texts and blobs

  // Of `forms_examined` texts, how many read as each form. All texts where the declared type asks for a form
  // (dates, times, booleans, JSON, UUID); elsewhere a sample, for information alone.
  std::uint64_t forms_examined = 0;
  std::array<std::uint64_t, kTextFormCount> forms{};
  std::uint64_t dates_beyond_timestamp = 0;  // of form date, later than the year 294276

  std::array<std::optional<Example>, kSurpriseCount> examples{};

  [[nodiscard]] std::uint64_t values() const { return integers + reals + texts + blobs; }
  [[nodiscard]] std::uint64_t of_form(TextForm form) const { return forms[static_cast<std::size_t>(form)]; }
  void add(const ColumnFacts& other);
};

// Values other than NULL that the encoder of the type would not take, without any conversion. Exact for a
// type when either the type does not depend on a TextForm or forms_examined == texts; otherwise every text
// that was not examined counts as a misfit. io/wire tests hold it against the encoder.
std::uint64_t misfits_of(const ColumnFacts& facts, PgType type);

struct TableFacts {
  std::uint64_t rows = 0;
  std::vector<ColumnFacts> columns;  // as in SourceTable::columns
};

// Of the column that stands at `place` in the source; null without facts, and for the rowid as a column.
const ColumnFacts* facts_at(const TableFacts* facts, std::size_t place);

using SourceFacts = std::map<std::string, TableFacts>;  // by the source's table name

// A unique key of the source of which two rows would become equal in the target, since their values are
// told apart by SQLite and not by the planned types: '1' and 1 as text, two spellings of one moment.
struct KeyCollision {
  std::string table;
  std::vector<std::string> columns;  // of the source, in key order
  std::uint64_t rows = 0;            // rows whose key another row has already
};

}  // namespace sluice
