#include "io/wire/printed_value.h"

#include <array>
#include <bit>
#include <charconv>
#include <cmath>
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <string_view>

#include "engine/model/hex.h"
#include "io/wire/buffer.h"
#include "io/wire/numeric.h"

namespace sluice {
namespace {

constexpr std::int64_t kMicrosecondsPerDay = 86'400'000'000;

// REQUIRES: as many bytes as it has.
template <class Integer>
Integer load(std::span<const std::byte> value) {
  Integer number = 0;
  std::memcpy(&number, value.data(), sizeof number);
  return static_cast<Integer>(to_big_endian(number));
}

std::string_view text_of(std::span<const std::byte> value) {
  return {reinterpret_cast<const char*>(value.data()), value.size()};
}

std::string padded(std::int64_t number, std::size_t digits) {
  std::string text = std::to_string(number);
  return text.size() < digits ? std::string(digits - text.size(), '0') + text : text;
}

// The shortest digits that read back as the same number, with an exponent where the server writes one.
template <class Real>
std::string printed_real(Real number) {
  if (std::isnan(number)) return "NaN";
  if (std::isinf(number)) return number < 0 ? "-Infinity" : "Infinity";
  constexpr int kExponentMin = -4;
  constexpr int kExponentMax = sizeof(Real) == 4 ? 6 : 15;  // from here on
  std::array<char, 64> room;
  const auto shortest =
      std::to_chars(room.data(), room.data() + room.size(), number, std::chars_format::scientific);
  const std::string_view text(room.data(), static_cast<std::size_t>(shortest.ptr - room.data()));
  const int exponent = std::atoi(std::string(text.substr(text.find('e') + 1)).c_str());
  if (number == 0 || (exponent >= kExponentMin && exponent < kExponentMax)) {
    const auto fixed =
        std::to_chars(room.data(), room.data() + room.size(), number, std::chars_format::fixed);
    return {room.data(), fixed.ptr};
  }
  return std::string(text);
}

// Howard Hinnant's civil_from_days, for days since 2000-01-01.
std::string printed_date(std::int64_t days, bool& before_christ) {
  const std::int64_t shifted = days + 730'425;  // since 0000-03-01
  const std::int64_t era = (shifted >= 0 ? shifted : shifted - 146'096) / 146'097;
  const std::int64_t day_of_era = shifted - era * 146'097;
  const std::int64_t year_of_era =
      (day_of_era - day_of_era / 1460 + day_of_era / 36'524 - day_of_era / 146'096) / 365;
  const std::int64_t day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
  const std::int64_t shifted_month = (5 * day_of_year + 2) / 153;
  const std::int64_t day = day_of_year - (153 * shifted_month + 2) / 5 + 1;
  const std::int64_t month = shifted_month < 10 ? shifted_month + 3 : shifted_month - 9;
  const std::int64_t year = year_of_era + era * 400 + (month <= 2 ? 1 : 0);
  before_christ = year <= 0;
  return padded(before_christ ? 1 - year : year, 4) + "-" + padded(month, 2) + "-" + padded(day, 2);
}

// REQUIRES: not negative.
std::string printed_time(std::int64_t microseconds) {
  const std::int64_t seconds = microseconds / 1'000'000;
  std::string text =
      padded(seconds / 3600, 2) + ":" + padded(seconds / 60 % 60, 2) + ":" + padded(seconds % 60, 2);
  std::string fraction = padded(microseconds % 1'000'000, 6);
  fraction.erase(fraction.find_last_not_of('0') + 1);
  return fraction.empty() ? text : text + "." + fraction;
}

std::string printed_timestamp(std::int64_t microseconds, const char* zone) {
  if (microseconds == INT64_MAX) return "infinity";
  if (microseconds == INT64_MIN) return "-infinity";
  std::int64_t days = microseconds / kMicrosecondsPerDay;
  std::int64_t rest = microseconds % kMicrosecondsPerDay;
  if (rest < 0) {
    rest += kMicrosecondsPerDay;
    --days;
  }
  bool before_christ = false;
  const std::string date = printed_date(days, before_christ);
  return date + " " + printed_time(rest) + zone + (before_christ ? " BC" : "");
}

std::string printed_uuid(std::string_view bytes) {
  std::string hex = hex_of(bytes);
  for (const std::size_t at : {20, 16, 12, 8}) hex.insert(at, 1, '-');
  return hex;
}

// Days and months are 0 in those that we write.
std::string printed_interval(std::span<const std::byte> value) {
  const auto microseconds = load<std::int64_t>(value);
  return microseconds < 0 ? "-" + printed_time(-microseconds) : printed_time(microseconds);
}

std::size_t size_of(PgType type) { return name_of(type).bytes; }

}  // namespace

std::string printed_value(PgType type, std::span<const std::byte> value) {
  const std::string as_bytes =
      "\\x" + (value.size() < 1024 ? hex_of(text_of(value)) : hex_of(text_of(value.first(1024))));
  if (size_of(type) != 0 && size_of(type) != value.size()) return as_bytes;
  switch (type) {
    case PgType::int2:
      return std::to_string(load<std::int16_t>(value));
    case PgType::int4:
      return std::to_string(load<std::int32_t>(value));
    case PgType::int8:
      return std::to_string(load<std::int64_t>(value));
    case PgType::float8:
      return printed_real(std::bit_cast<double>(load<std::int64_t>(value)));
    case PgType::float4:
      return printed_real(std::bit_cast<float>(load<std::int32_t>(value)));
    case PgType::numeric: {
      const std::string text = numeric_to_text(value);
      return text.empty() ? as_bytes : text;
    }
    case PgType::boolean:
      return value[0] == std::byte{0} ? "f" : "t";
    case PgType::text:
    case PgType::varchar:
    case PgType::bpchar:
    case PgType::json:
      return std::string(text_of(value));
    case PgType::jsonb:
      return value.empty() ? as_bytes : std::string(text_of(value.subspan(1)));
    case PgType::bytea:
      return "\\x" + hex_of(text_of(value));
    case PgType::date: {
      const auto days = load<std::int32_t>(value);
      if (days == INT32_MAX || days == INT32_MIN) return days < 0 ? "-infinity" : "infinity";
      bool before_christ = false;
      const std::string date = printed_date(days, before_christ);
      return before_christ ? date + " BC" : date;
    }
    case PgType::time: {
      const auto microseconds = load<std::int64_t>(value);
      return microseconds < 0 ? as_bytes : printed_time(microseconds);
    }
    case PgType::timestamp:
      return printed_timestamp(load<std::int64_t>(value), "");
    case PgType::timestamptz:
      return printed_timestamp(load<std::int64_t>(value), "+00");
    case PgType::uuid:
      return printed_uuid(text_of(value));
    case PgType::interval:
      return printed_interval(value);
  }
  return as_bytes;
}

}  // namespace sluice
