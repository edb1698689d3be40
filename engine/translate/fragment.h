#pragma once
// A piece of PostgreSQL's SQL together with what SQLite would have in its place: what the translator is made
// of. Only for the files of the translator.

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "engine/model/pg_type.h"
#include "engine/model/quote.h"
#include "engine/translate/translate.h"

namespace sluice {

// Why something is not translated. Thrown by the walk, caught by the entry points; it goes no further.
struct Refusal {
  explicit Refusal(std::string_view text) : reason(in_one_line(text)) {}
  std::string reason;  // one line, whatever names it quotes
};

// How tightly a fragment holds together (PostgreSQL manual, 4.1.6), loosest first.
enum class Binding : std::uint8_t {
  logical_or,
  logical_and,
  logical_not,
  is,
  order,  // = < > and so on; not associative
  like,   // BETWEEN IN LIKE
  other,  // || & | << >> ~ and whatever has no place of its own
  sum,
  product,
  time_zone,
  collate,
  minus,
  cast,
  atom,
};

enum class Affinity : std::uint8_t { none, numeric, text };

// Text whose origin is not quite known, so that it may only be compared with a literal that is surely text.
enum class Unsure : std::uint8_t {
  no,
  number,  // may have been a number in SQLite
  json,    // may have been any JSON value
};

// What a text literal of a moment means, beside its text.
enum class Moment : std::uint8_t { none, date, time, seconds, milliseconds, seconds_zone, milliseconds_zone };

struct Fragment {
  std::string sql{};
  Binding binding = Binding::atom;
  ValueClass value = ValueClass::null;
  PgType type = PgType::text;  // what PostgreSQL has; a real literal is numeric, and a smallint int4
  Affinity affinity = Affinity::none;
  Unsure unsure = Unsure::no;
  std::string collation{};     // in lower case, empty for BINARY
  bool collated = false;       // by a COLLATE, not by its column
  bool holds_collate = false;  // somewhere below
  bool of_column = false;      // a column, or one under CAST and +: its collation counts
  bool not_null = false;
  bool converted = false;  // ScopeColumn::converted
  // A decimal that SQLite holds as an integer whenever it is whole: a column of NUMERIC affinity.
  bool whole_is_integer = false;
  bool changes = false;  // from one evaluation to the next: it must not stand twice
  // A literal, and its value as SQLite reads it.
  bool literal = false;
  std::int64_t integer = 0;
  double real = 0;
  std::string text{};
  // For defaults: text that is the digits of this integer, and a text that is a moment.
  std::string digits{};
  Moment moment = Moment::none;
};

Fragment integer_literal(std::int64_t value);
Fragment real_literal(double value);
Fragment text_literal(std::string value);
Fragment boolean_literal(bool value);

// The SQL, in parentheses where it binds less tightly than `least`.
std::string bound(const Fragment& fragment, Binding least);
Fragment cast_to(const Fragment& fragment, PgType type, ValueClass value);

// What the declared type makes of values (https://www.sqlite.org/datatype3.html, 3.1).
Affinity affinity_of(const ScopeColumn& column);

// Whether SQLite would read text as a number when an affinity asks for it.
enum class NumberText : std::uint8_t { no, yes, unclear };
NumberText number_of(std::string_view text, Fragment& number);

// The shortest digits that read back as the same double, always with a point or an exponent.
std::string print_real(double value);

// As PostgreSQL takes it: no NUL, no surrogates, nothing overlong.
bool is_valid_utf8(std::string_view text);

// ---- making them ----

// Throws Refusal when the SQL is too long: a fragment that stands twice in its parent doubles at every level.
Fragment make_fragment(std::string sql, Binding binding, ValueClass value, PgType type);
Fragment boolean_fragment(std::string sql, Binding binding);
Fragment text_fragment(std::string sql, Binding binding = Binding::atom);
Fragment blob_literal(std::string bytes);
Fragment null_literal();
Fragment unknown_truth();  // NULL as a boolean

// What a choice between branches yields. Of nothing but NULLs PostgreSQL would make text.
Fragment chosen(std::string sql, const Fragment& shape);

// name(first, second)
std::string call_sql(const std::string& name, const std::vector<Fragment>& arguments);

// Text that compares byte by byte: x COLLATE "C".
Fragment ordered_by_bytes(const Fragment& fragment);

// ---- asking them ----

inline bool is_null(const Fragment& fragment) { return fragment.value == ValueClass::null; }

// For what SQLite holds as a number; booleans, too.
bool is_numeric(const Fragment& fragment);
bool is_moment(const Fragment& fragment);

// With its own kind it would overflow at 32 bits.
inline bool is_narrow(const Fragment& fragment) { return fragment.type == PgType::int4; }

bool is_ordering(const std::string& name);  // < <= > >=

// Up to here integers and doubles are the same numbers, also in their shortest digits.
inline constexpr std::int64_t kExactInDouble = std::int64_t{1} << 53;

// The text of a date, time or timestamp as the load takes it, of years 1 to 9999: ISO form, a zone for
// timestamptz and none for the others; a date alone is a timestamp.
bool is_moment_text(std::string_view text, PgType type);

// ---- refusing them ----

std::string_view spoken(ValueClass value);  // "an integer"
[[noreturn]] void refuse(std::string_view reason);
[[noreturn]] void refuse_argument(const std::string& name, const Fragment& fragment);

}  // namespace sluice
