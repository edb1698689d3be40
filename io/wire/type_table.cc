#include "io/wire/type_table.h"

#include <algorithm>
#include <charconv>
#include <cmath>
#include <cstring>
#include <limits>

#include "io/wire/boolean.h"
#include "io/wire/datetime.h"
#include "io/wire/json.h"
#include "io/wire/numeric.h"
#include "io/wire/utf8.h"
#include "io/wire/uuid.h"

namespace sluice {
namespace {

// Beyond this, neighbouring integers share a double.
constexpr std::int64_t kExactInDouble = std::int64_t{1} << 53;
constexpr std::int64_t kExactInFloat = std::int64_t{1} << 24;

// ---- numbers ----

// The integer a cell holds, when it is exactly one: 3 and 3.0, but neither 3.5 nor '3'.
Misfit integer_of(const Cell& cell, std::int64_t& value) {
  if (cell.storage() == StorageClass::integer) {
    value = cell.integer();
    return Misfit::none;
  }
  if (cell.storage() != StorageClass::real) return Misfit::storage_class;
  const double real = cell.real();
  if (!(real >= -0x1p63 && real < 0x1p63)) return Misfit::out_of_range;
  value = static_cast<std::int64_t>(real);
  return static_cast<double>(value) == real ? Misfit::none : Misfit::not_exact;
}

template <class Integer>
Misfit encode_integer(const Cell& cell, Buffer& out) {
  std::int64_t value = 0;
  if (const Misfit misfit = integer_of(cell, value); misfit != Misfit::none) return misfit;
  if (value < std::numeric_limits<Integer>::min() || value > std::numeric_limits<Integer>::max()) {
    return Misfit::out_of_range;
  }
  // Length and value in one store run, since this is the most common field of all.
  std::byte* at = out.ensure(4 + sizeof(Integer));
  const auto length = to_big_endian(static_cast<std::int32_t>(sizeof(Integer)));
  const auto bits = to_big_endian(static_cast<Integer>(value));
  std::memcpy(at, &length, sizeof length);
  std::memcpy(at + 4, &bits, sizeof bits);
  out.commit(4 + sizeof(Integer));
  return Misfit::none;
}

Misfit encode_float8(const Cell& cell, Buffer& out) {
  double value = 0;
  if (cell.storage() == StorageClass::real) {
    value = cell.real();
  } else if (cell.storage() == StorageClass::integer) {
    if (cell.integer() > kExactInDouble || cell.integer() < -kExactInDouble) return Misfit::not_exact;
    value = static_cast<double>(cell.integer());
  } else {
    return Misfit::storage_class;
  }
  out.put_int32(8);
  out.put_int64(std::bit_cast<std::int64_t>(value));
  return Misfit::none;
}

// Only what single precision holds exactly; 0.1 is not.
Misfit encode_float4(const Cell& cell, Buffer& out) {
  float value = 0;
  if (cell.storage() == StorageClass::real) {
    const double real = cell.real();
    const double limit = std::numeric_limits<float>::max();
    if (std::isfinite(real) && (real > limit || real < -limit)) return Misfit::out_of_range;
    value = static_cast<float>(real);
    if (static_cast<double>(value) != real) return Misfit::not_exact;
  } else if (cell.storage() == StorageClass::integer) {
    if (cell.integer() > kExactInFloat || cell.integer() < -kExactInFloat) return Misfit::not_exact;
    value = static_cast<float>(cell.integer());
  } else {
    return Misfit::storage_class;
  }
  out.put_int32(4);
  out.put_int32(std::bit_cast<std::int32_t>(value));
  return Misfit::none;
}

// Writes a field whose length is only known afterwards.
template <class Write>
Misfit with_length(Buffer& out, Write write) {
  const std::size_t start = out.size();
  out.put_int32(0);
  if (const Misfit misfit = write(); misfit != Misfit::none) return misfit;
  out.patch_int32(start, static_cast<std::int32_t>(out.size() - start - 4));
  return Misfit::none;
}

Misfit encode_numeric(const Cell& cell, Buffer& out) {
  return with_length(out, [&] {
    if (cell.storage() == StorageClass::integer) {
      append_numeric(out, cell.integer());
    } else if (cell.storage() == StorageClass::real) {
      append_numeric(out, cell.real());
    } else {
      return Misfit::storage_class;
    }
    return Misfit::none;
  });
}

Misfit encode_boolean(const Cell& cell, Buffer& out) {
  std::optional<bool> value;
  switch (cell.storage()) {
    case StorageClass::integer:
      if (cell.integer() == 0 || cell.integer() == 1) value = cell.integer() == 1;
      break;
    case StorageClass::real:
      if (cell.real() == 0.0 || cell.real() == 1.0) value = cell.real() == 1.0;
      break;
    case StorageClass::text:
      value = parse_boolean(cell.text());
      break;
    default:
      return Misfit::storage_class;
  }
  if (!value) return Misfit::not_a_boolean;
  out.put_int32(1);
  out.put_byte(*value ? std::byte{1} : std::byte{0});
  return Misfit::none;
}

// ---- text and bytes ----

void put_field(Buffer& out, const void* bytes, std::size_t size) {
  out.put_int32(static_cast<std::int32_t>(size));
  out.append(bytes, size);
}

Misfit put_value(Buffer& out, const void* bytes, std::size_t size) {
  if (size > kFieldBytesMax) [[unlikely]]
    return Misfit::too_long;
  put_field(out, bytes, size);
  return Misfit::none;
}

// The number as the shortest decimal text that reads back as the same number; the infinities in the server's
// words. Locale never matters.
std::string_view print_number(const Cell& cell, std::span<char> room) {
  if (cell.storage() == StorageClass::real && std::isinf(cell.real())) {
    return cell.real() < 0 ? "-Infinity" : "Infinity";
  }
  const auto result = cell.storage() == StorageClass::integer
                          ? std::to_chars(room.data(), room.data() + room.size(), cell.integer())
                          : std::to_chars(room.data(), room.data() + room.size(), cell.real());
  return {room.data(), static_cast<std::size_t>(result.ptr - room.data())};
}

Misfit checked_text(std::string_view text) {
  switch (check_text(text)) {
    case TextCheck::ok:
      return Misfit::none;
    case TextCheck::nul:
      return Misfit::nul_character;
    case TextCheck::bad_utf8:
      break;
  }
  return Misfit::invalid_utf8;
}

Misfit encode_text(const Cell& cell, Buffer& out) {
  std::array<char, 32> room;
  switch (cell.storage()) {
    case StorageClass::text: {
      if (const Misfit misfit = checked_text(cell.text()); misfit != Misfit::none) return misfit;
      return put_value(out, cell.text().data(), cell.text().size());
    }
    case StorageClass::integer:
    case StorageClass::real: {
      const std::string_view text = print_number(cell, room);
      put_field(out, text.data(), text.size());
      return Misfit::none;
    }
    default:
      return Misfit::storage_class;
  }
}

// Text in a column of bytes arrives as its UTF-8 bytes; it is never taken for Base64.
Misfit encode_bytea(const Cell& cell, Buffer& out) {
  if (cell.storage() != StorageClass::blob && cell.storage() != StorageClass::text) {
    return Misfit::storage_class;
  }
  return put_value(out, cell.bytes().data(), cell.bytes().size());
}

// ---- dates and times ----

Misfit encode_date(const Cell& cell, Buffer& out) {
  if (cell.storage() != StorageClass::text) return Misfit::storage_class;
  std::int32_t days = 0;
  if (!parse_date(cell.text(), days)) return Misfit::not_a_date;
  out.put_int32(4);
  out.put_int32(days);
  return Misfit::none;
}

Misfit encode_time(const Cell& cell, Buffer& out) {
  if (cell.storage() != StorageClass::text) return Misfit::storage_class;
  std::int64_t microseconds = 0;
  if (!parse_time(cell.text(), microseconds)) return Misfit::not_a_time;
  out.put_int32(8);
  out.put_int64(microseconds);
  return Misfit::none;
}

template <bool kZoned>
Misfit encode_timestamp(const Cell& cell, Buffer& out) {
  if (cell.storage() != StorageClass::text) return Misfit::storage_class;
  std::int64_t microseconds = 0;
  const bool fits =
      kZoned ? parse_timestamptz(cell.text(), microseconds) : parse_timestamp(cell.text(), microseconds);
  if (!fits) {
    // Only now the second look: would the other one have taken it?
    const bool other =
        kZoned ? parse_timestamp(cell.text(), microseconds) : parse_timestamptz(cell.text(), microseconds);
    if (!other) return Misfit::not_a_timestamp;
    return kZoned ? Misfit::zone_missing : Misfit::zone_not_expected;
  }
  out.put_int32(8);
  out.put_int64(microseconds);
  return Misfit::none;
}

// Hours without days, as applications store durations: the server shows 25:30:00 as it was.
Misfit encode_interval(const Cell& cell, Buffer& out) {
  if (cell.storage() != StorageClass::text) return Misfit::storage_class;
  std::int64_t microseconds = 0;
  if (!parse_duration(cell.text(), microseconds)) return Misfit::not_an_interval;
  out.put_int32(16);
  out.put_int64(microseconds);
  out.put_int32(0);  // days
  out.put_int32(0);  // months
  return Misfit::none;
}

// ---- documents and identifiers ----

// JSON columns have NUMERIC affinity, so SQLite turned scalar numbers into numbers: print them again.
Misfit json_text_of(const Cell& cell, std::span<char> room, std::string_view& text) {
  switch (cell.storage()) {
    case StorageClass::text:
      text = cell.text();
      if (const Misfit misfit = checked_text(text); misfit != Misfit::none) return misfit;
      return check_json(text) == JsonCheck::ok ? Misfit::none : Misfit::invalid_json;
    case StorageClass::real:
      if (!std::isfinite(cell.real())) return Misfit::out_of_range;
      [[fallthrough]];
    case StorageClass::integer:
      text = print_number(cell, room);
      return Misfit::none;
    default:
      return Misfit::storage_class;
  }
}

Misfit encode_json(const Cell& cell, Buffer& out) {
  std::array<char, 32> room;
  std::string_view text;
  if (const Misfit misfit = json_text_of(cell, room, text); misfit != Misfit::none) return misfit;
  return put_value(out, text.data(), text.size());
}

template <bool kLossy>
Misfit encode_jsonb(const Cell& cell, Buffer& out) {
  std::array<char, 32> room;
  std::string_view text;
  if (const Misfit misfit = json_text_of(cell, room, text); misfit != Misfit::none) return misfit;
  return with_length(out, [&] {
    out.put_byte(std::byte{1});  // the version of jsonb's binary form
    const JsonbResult result = canonical_jsonb(text, out);
    const bool fits = kLossy ? is_written(result) : result == JsonbResult::ok;
    return fits ? Misfit::none : Misfit::jsonb_would_change;
  });
}

Misfit encode_uuid(const Cell& cell, Buffer& out) {
  if (cell.storage() != StorageClass::text) return Misfit::storage_class;
  std::array<std::byte, 16> bytes;
  if (!parse_uuid(cell.text(), bytes)) return Misfit::not_a_uuid;
  put_field(out, bytes.data(), bytes.size());
  return Misfit::none;
}

// ---- modifiers ----

// numeric(p,s)
Misfit fit_numeric_field(const TypeModifier& modifier, Buffer& out, std::size_t start) {
  switch (fit_numeric(out, start + 4, modifier.length, modifier.scale < 0 ? 0 : modifier.scale)) {
    case NumericFit::ok:
      return Misfit::none;
    case NumericFit::too_large:
      return Misfit::out_of_range;
    case NumericFit::too_fine:
      break;
  }
  return Misfit::not_exact;
}

std::int32_t count_characters(std::span<const std::byte> utf8) {
  return static_cast<std::int32_t>(std::count_if(
      utf8.begin(), utf8.end(), [](std::byte byte) { return (byte & std::byte{0xC0}) != std::byte{0x80}; }));
}

// varchar(n)
Misfit fit_varchar(const TypeModifier& modifier, Buffer& out, std::size_t start) {
  return count_characters(field_value(out, start)) > modifier.length ? Misfit::too_long : Misfit::none;
}

// char(n): sent with the blanks that the server would add.
Misfit fit_bpchar(const TypeModifier& modifier, Buffer& out, std::size_t start) {
  const std::span<const std::byte> value = field_value(out, start);
  if (!value.empty() && value.back() == std::byte{' '}) return Misfit::trailing_blanks;
  const std::int32_t missing = modifier.length - count_characters(value);
  if (missing < 0) return Misfit::too_long;
  std::memset(out.ensure(static_cast<std::size_t>(missing)), ' ', static_cast<std::size_t>(missing));
  out.commit(static_cast<std::size_t>(missing));
  out.patch_int32(start, static_cast<std::int32_t>(out.size() - start - 4));
  return Misfit::none;
}

// time(p), timestamp(p): eight bytes of microseconds.
Misfit fit_second_digits(const TypeModifier& modifier, Buffer& out, std::size_t start) {
  std::int64_t microseconds;
  std::memcpy(&microseconds, field_value(out, start).data(), sizeof microseconds);
  microseconds = static_cast<std::int64_t>(to_big_endian(microseconds));
  return microseconds % microseconds_per_digit(modifier.length) == 0 ? Misfit::none : Misfit::not_exact;
}

// ---- samples ----

std::vector<Sample> sample_int2() {
  return {{Cell::of_integer(0), "0"},
          {Cell::of_integer(-32768), "-32768"},
          {Cell::of_integer(32767), "32767"},
          {Cell::of_real(7.0), "7"}};
}
std::vector<Sample> sample_int4() {
  return {{Cell::of_integer(1), "1"},
          {Cell::of_integer(INT32_MIN), "-2147483648"},
          {Cell::of_integer(INT32_MAX), "2147483647"}};
}
std::vector<Sample> sample_int8() {
  return {{Cell::of_integer(-1), "-1"},
          {Cell::of_integer(INT64_MIN), "-9223372036854775808"},
          {Cell::of_integer(INT64_MAX), "9223372036854775807"},
          {Cell::of_real(-0x1p63), "-9223372036854775808"},
          {Cell::of_real(-0.0), "0"}};
}
std::vector<Sample> sample_float8() {
  return {{Cell::of_real(0.1), "0.1"},
          {Cell::of_real(-0.0), "-0"},
          {Cell::of_real(5e-324), "5e-324"},
          {Cell::of_real(std::numeric_limits<double>::max()), "1.7976931348623157e+308"},
          {Cell::of_real(std::numeric_limits<double>::infinity()), "Infinity"},
          {Cell::of_real(-std::numeric_limits<double>::infinity()), "-Infinity"},
          {Cell::of_integer(kExactInDouble), "9.007199254740992e+15"}};
}
std::vector<Sample> sample_numeric() {
  return {{Cell::of_integer(0), "0"},
          {Cell::of_integer(10000), "10000"},
          {Cell::of_integer(INT64_MIN), "-9223372036854775808"},
          {Cell::of_real(1230.99), "1230.99"},
          {Cell::of_real(-0.0001), "-0.0001"},
          {Cell::of_real(1e20), "100000000000000000000"},
          {Cell::of_real(1.5e-7), "0.00000015"},
          {Cell::of_real(0.0), "0"},
          {Cell::of_real(std::numeric_limits<double>::infinity()), "Infinity"}};
}
std::vector<Sample> sample_boolean() {
  return {{Cell::of_integer(1), "t"},
          {Cell::of_integer(0), "f"},
          {Cell::of_real(1.0), "t"},
          {Cell::of_text("FALSE"), "f"},
          {Cell::of_text("yes"), "t"}};
}
std::vector<Sample> sample_text() {
  return {{Cell::of_text(""), ""},
          {Cell::of_text("naïve 😀 \\N \t\n\"quoted\""), "naïve 😀 \\N \t\n\"quoted\""},
          {Cell::of_integer(-42), "-42"},
          {Cell::of_real(0.1), "0.1"}};
}
std::vector<Sample> sample_bytea() {
  static constexpr std::array<std::byte, 3> kBytes = {std::byte{0}, std::byte{0xff}, std::byte{0x5c}};
  return {{Cell::of_blob({}), "\\x"}, {Cell::of_blob(kBytes), "\\x00ff5c"}, {Cell::of_text("AB"), "\\x4142"}};
}
std::vector<Sample> sample_date() {
  return {{Cell::of_text("2000-01-01"), "2000-01-01"},
          {Cell::of_text("1969-12-31"), "1969-12-31"},
          {Cell::of_text("2024-02-29"), "2024-02-29"},
          {Cell::of_text("0001-01-01"), "0001-01-01"}};
}
std::vector<Sample> sample_time() {
  return {{Cell::of_text("00:00"), "00:00:00"},
          {Cell::of_text("23:59:59.999999"), "23:59:59.999999"},
          {Cell::of_text("12:34:56.5"), "12:34:56.5"}};
}
std::vector<Sample> sample_timestamp() {
  return {{Cell::of_text("2024-02-29 12:34:56"), "2024-02-29 12:34:56"},
          {Cell::of_text("1999-12-31T23:59:59.999999"), "1999-12-31 23:59:59.999999"},
          {Cell::of_text("1970-01-01"), "1970-01-01 00:00:00"}};
}
std::vector<Sample> sample_timestamptz() {
  return {{Cell::of_text("2024-02-29T12:34:56Z"), "2024-02-29 12:34:56+00"},
          {Cell::of_text("2024-03-01 00:30:00.25+02:00"), "2024-02-29 22:30:00.25+00"}};
}
std::vector<Sample> sample_json() {
  return {{Cell::of_text(R"({"b":  1, "a": [true, null, "\u0041"], "a": 2})"),
           R"({"b":  1, "a": [true, null, "\u0041"], "a": 2})"},
          {Cell::of_integer(7), "7"},
          {Cell::of_real(0.5), "0.5"}};
}
std::vector<Sample> sample_jsonb() {
  return {{Cell::of_text(R"({"bb":1,"a":[true,null,"\u0041"],"c":1.50})"),
           R"({"a": [true, null, "A"], "c": 1.50, "bb": 1})"},
          {Cell::of_text(" [ ] "), "[]"},
          {Cell::of_integer(7), "7"}};
}
std::vector<Sample> sample_uuid() {
  return {{Cell::of_text("A0EEBC99-9C0B-4EF8-BB6D-6BB9BD380A11"), "a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11"},
          {Cell::of_text("00000000000000000000000000000000"), "00000000-0000-0000-0000-000000000000"}};
}

std::vector<Sample> sample_float4() {
  return {{Cell::of_real(0.5), "0.5"},
          {Cell::of_real(static_cast<double>(0.1F)), "0.1"},
          {Cell::of_real(-0.0), "-0"},
          {Cell::of_real(static_cast<double>(std::numeric_limits<float>::denorm_min())), "1e-45"},
          {Cell::of_real(-std::numeric_limits<double>::infinity()), "-Infinity"},
          {Cell::of_integer(kExactInFloat), "1.6777216e+07"}};
}
std::vector<Sample> sample_interval() {
  return {{Cell::of_text("25:30:00"), "25:30:00"},
          {Cell::of_text("-01:00:00"), "-01:00:00"},
          {Cell::of_text("838:59:59.25"), "838:59:59.25"},
          {Cell::of_text("00:05"), "00:05:00"}};
}

constexpr bool rows_line_up(const std::array<TypeRow, kPgTypeCount>& rows) {
  for (std::size_t i = 0; i < rows.size(); ++i) {
    if (static_cast<std::size_t>(rows[i].type) != i) return false;
  }
  return true;
}

constexpr std::array<TypeRow, kPgTypeCount> kRows = {{
    {PgType::int2, encode_integer<std::int16_t>, sample_int2},
    {PgType::int4, encode_integer<std::int32_t>, sample_int4},
    {PgType::int8, encode_integer<std::int64_t>, sample_int8},
    {PgType::float8, encode_float8, sample_float8},
    {PgType::numeric, encode_numeric, sample_numeric, fit_numeric_field},
    {PgType::boolean, encode_boolean, sample_boolean},
    {PgType::text, encode_text, sample_text},
    {PgType::bytea, encode_bytea, sample_bytea},
    {PgType::date, encode_date, sample_date},
    {PgType::time, encode_time, sample_time, fit_second_digits},
    {PgType::timestamp, encode_timestamp<false>, sample_timestamp, fit_second_digits},
    {PgType::timestamptz, encode_timestamp<true>, sample_timestamptz, fit_second_digits},
    {PgType::json, encode_json, sample_json},
    {PgType::jsonb, encode_jsonb<false>, sample_jsonb},
    {PgType::uuid, encode_uuid, sample_uuid},
    {PgType::float4, encode_float4, sample_float4},
    {PgType::varchar, encode_text, sample_text, fit_varchar},
    {PgType::bpchar, encode_text, sample_text, fit_bpchar},
    {PgType::interval, encode_interval, sample_interval},
}};
static_assert(rows_line_up(kRows));

}  // namespace

constexpr std::array<TypeRow, kPgTypeCount> kTypes = kRows;

Misfit encode_lossy_jsonb(const Cell& cell, Buffer& out) { return encode_jsonb<true>(cell, out); }

std::string_view name_of(Misfit misfit) {
  switch (misfit) {
    case Misfit::none:
      return "none";
    case Misfit::storage_class:
      return "storage_class";
    case Misfit::out_of_range:
      return "out_of_range";
    case Misfit::not_exact:
      return "not_exact";
    case Misfit::nul_character:
      return "nul_character";
    case Misfit::invalid_utf8:
      return "invalid_utf8";
    case Misfit::not_a_date:
      return "not_a_date";
    case Misfit::not_a_time:
      return "not_a_time";
    case Misfit::not_a_timestamp:
      return "not_a_timestamp";
    case Misfit::zone_not_expected:
      return "zone_not_expected";
    case Misfit::zone_missing:
      return "zone_missing";
    case Misfit::not_a_boolean:
      return "not_a_boolean";
    case Misfit::not_a_uuid:
      return "not_a_uuid";
    case Misfit::invalid_json:
      return "invalid_json";
    case Misfit::jsonb_would_change:
      return "jsonb_would_change";
    case Misfit::null_not_allowed:
      return "null_not_allowed";
    case Misfit::too_long:
      return "too_long";
    case Misfit::trailing_blanks:
      return "trailing_blanks";
    case Misfit::not_an_interval:
      return "not_an_interval";
    case Misfit::not_a_label:
      return "not_a_label";
    case Misfit::not_a_number:
      return "not_a_number";
    case Misfit::not_base64:
      return "not_base64";
  }
  return "unknown";
}

}  // namespace sluice
