#include "io/wire/conversion.h"

#include <algorithm>
#include <array>
#include <bit>
#include <charconv>
#include <cmath>
#include <limits>
#include <optional>
#include <span>
#include <system_error>

#include "io/wire/base64.h"
#include "io/wire/numeric.h"
#include "io/wire/utf8.h"

namespace sluice {

// ---- dates as numbers ----

namespace {

__extension__ using Wide = __int128;

constexpr std::int64_t kMicrosecondsPerSecond = 1'000'000;
constexpr std::int64_t kMicrosecondsPerDay = 86'400 * kMicrosecondsPerSecond;
constexpr std::int64_t kMillisecondsPerDay = 86'400'000;

// A unit is 10^power microseconds; zero is `base` seconds after 2000-01-01.
struct EpochScale {
  int power;
  std::int64_t base;
};

constexpr std::int64_t kUnixBase = -946'684'800;
constexpr std::int64_t kWindowsBase = -12'591'158'400;

std::optional<EpochScale> scale_of(EpochUnit unit) {
  switch (unit) {
    case EpochUnit::seconds:
      return EpochScale{6, kUnixBase};
    case EpochUnit::milliseconds:
      return EpochScale{3, kUnixBase};
    case EpochUnit::microseconds:
      return EpochScale{0, kUnixBase};
    case EpochUnit::nanoseconds:
      return EpochScale{-3, kUnixBase};
    case EpochUnit::apple_seconds:
      return EpochScale{6, 31'622'400};
    case EpochUnit::webkit_microseconds:
      return EpochScale{0, kWindowsBase};
    case EpochUnit::filetime:
      return EpochScale{-1, kWindowsBase};
    case EpochUnit::dotnet_ticks:
      return EpochScale{-1, -63'082'281'600};
    case EpochUnit::none:
    case EpochUnit::julian_days:
    case EpochUnit::excel_days:
      break;
  }
  return std::nullopt;
}

Moment moment_of(Wide microseconds) {
  Wide days = microseconds / kMicrosecondsPerDay;
  Wide rest = microseconds % kMicrosecondsPerDay;
  if (rest < 0) {
    rest += kMicrosecondsPerDay;
    --days;
  }
  return {static_cast<std::int64_t>(days), static_cast<std::int64_t>(rest)};
}

Misfit scaled_moment(const WrittenNumber& number, const EpochScale& scale, bool truncate, Moment& moment) {
  // Far more than any type holds, and far less than 128 bits do.
  constexpr int kDigitsMax = 26;
  const std::size_t first = number.first_significant();
  const std::size_t end = number.end_significant();
  Wide microseconds = 0;
  if (first < end) {
    const std::ptrdiff_t point = number.point() + scale.power;  // in microseconds
    if (point - static_cast<std::ptrdiff_t>(first) > kDigitsMax) return Misfit::out_of_range;
    std::ptrdiff_t at = static_cast<std::ptrdiff_t>(first);
    for (; at < point; ++at) {
      const bool given = at < static_cast<std::ptrdiff_t>(end);
      microseconds = microseconds * 10 + (given ? number.digit(static_cast<std::size_t>(at)) - '0' : 0);
    }
    const bool rest = point < static_cast<std::ptrdiff_t>(end);
    if (rest && !truncate) return Misfit::not_exact;
    if (number.negative) microseconds = -microseconds - (rest ? 1 : 0);
  }
  moment = moment_of(microseconds + Wide{scale.base} * kMicrosecondsPerSecond);
  return Misfit::none;
}

// Days in a double, to the nearest millisecond.
Misfit moment_of_days(double days, EpochUnit unit, Moment& moment) {
  const bool julian = unit == EpochUnit::julian_days;
  const bool within = julian ? days >= 0 && days < 5'373'484.5 : days >= 61 && days < 2'958'466;
  if (!within) return Misfit::out_of_range;
  // SQLite's own arithmetic, in its date.c.
  const auto milliseconds = static_cast<std::int64_t>(days * static_cast<double>(kMillisecondsPerDay) + 0.5);
  constexpr std::int64_t kJulianOf2000 = 2'451'544 * kMillisecondsPerDay + kMillisecondsPerDay / 2;
  constexpr std::int64_t kExcelOf2000 = 36'526 * kMillisecondsPerDay;
  moment = moment_of(Wide{milliseconds - (julian ? kJulianOf2000 : kExcelOf2000)} * 1000);
  return Misfit::none;
}

}  // namespace

Misfit moment_of_epoch(const Cell& cell, EpochUnit unit, bool truncate, Moment& moment) {
  std::array<char, 32> room;
  std::string_view text;
  switch (cell.storage()) {
    case StorageClass::integer:
      text = {room.data(), std::to_chars(room.data(), room.data() + room.size(), cell.integer()).ptr};
      break;
    case StorageClass::real:
      if (!std::isfinite(cell.real())) return Misfit::out_of_range;
      text = {room.data(), std::to_chars(room.data(), room.data() + room.size(), cell.real()).ptr};
      break;
    case StorageClass::text:
      text = cell.text();
      break;
    default:
      return Misfit::not_a_timestamp;
  }
  WrittenNumber number;
  if (!parse_written_number(text, number)) return Misfit::not_a_timestamp;
  if (const std::optional<EpochScale> scale = scale_of(unit)) {
    return scaled_moment(number, *scale, truncate, moment);
  }
  if (text.starts_with('+')) text.remove_prefix(1);
  double days = 0;
  if (std::from_chars(text.data(), text.data() + text.size(), days).ec != std::errc{}) {
    return Misfit::out_of_range;
  }
  return moment_of_days(days, unit, moment);
}

bool is_zero_date(std::string_view text) {
  constexpr std::string_view kDate = "0000-00-00";
  if (!text.starts_with(kDate)) return false;
  text.remove_prefix(kDate.size());
  if (text.empty()) return true;
  if (text.front() != ' ' && text.front() != 'T') return false;
  text.remove_prefix(1);
  if (text.ends_with('Z')) text.remove_suffix(1);
  constexpr std::string_view kTime = "00:00:00.";
  const std::string_view time = text.substr(0, kTime.size());
  if (time.size() < kTime.size()) return time == "00:00" || time == "00:00:00";
  text.remove_prefix(kTime.size());
  return time == kTime && !text.empty() && text.find_first_not_of('0') == std::string_view::npos;
}

bool shorten_fraction(std::string_view text, std::string& shorter) {
  constexpr std::size_t kDigits = 6;
  const std::size_t point = text.find('.');
  if (point == std::string_view::npos) return false;
  const std::size_t end = std::min(text.find_first_not_of("0123456789", point + 1), text.size());
  if (end - point - 1 <= kDigits) return false;
  shorter.assign(text.substr(0, point + 1 + kDigits));
  shorter.append(text.substr(end));
  return true;
}

// ---- text ----

namespace {

// 0x80 to 0x9f of Windows code page 1252; 0 where it has nothing.
constexpr std::array<char16_t, 32> kCp1252 = {0x20AC, 0,      0x201A, 0x0192, 0x201E, 0x2026, 0x2020, 0x2021,
                                              0x02C6, 0x2030, 0x0160, 0x2039, 0x0152, 0,      0x017D, 0,
                                              0,      0x2018, 0x2019, 0x201C, 0x201D, 0x2022, 0x2013, 0x2014,
                                              0x02DC, 0x2122, 0x0161, 0x203A, 0x0153, 0,      0x017E, 0x0178};

void append_utf8(std::string& utf8, char32_t code) {
  const auto tail = [&](int shift) { utf8 += static_cast<char>(0x80 | (code >> shift & 0x3F)); };
  if (code < 0x80) {
    utf8 += static_cast<char>(code);
  } else if (code < 0x800) {
    utf8 += static_cast<char>(0xC0 | code >> 6);
    tail(0);
  } else if (code < 0x10000) {
    utf8 += static_cast<char>(0xE0 | code >> 12);
    tail(6);
    tail(0);
  } else {
    utf8 += static_cast<char>(0xF0 | code >> 18);
    tail(12);
    tail(6);
    tail(0);
  }
}

unsigned byte_at(std::string_view text, std::size_t at) { return static_cast<unsigned char>(text[at]); }

// The surrogate that was encoded at `at` as if it were a character: ED, A0 to BF, 80 to BF. 0 for none.
char32_t surrogate_at(std::string_view text, std::size_t at) {
  if (text.size() - at < 3 || byte_at(text, at) != 0xED) return 0;
  const unsigned second = byte_at(text, at + 1);
  const unsigned third = byte_at(text, at + 2);
  if (second < 0xA0 || second > 0xBF || third < 0x80 || third > 0xBF) return 0;
  return 0xD000 | (second & 0x3F) << 6 | (third & 0x3F);
}

void join_surrogates(std::string_view text, std::string& utf8) {
  for (std::size_t at = 0; at < text.size();) {
    const char32_t high = surrogate_at(text, at);
    const char32_t low = high != 0 ? surrogate_at(text, at + 3) : 0;
    if (high >= 0xD800 && high <= 0xDBFF && low >= 0xDC00) {
      append_utf8(utf8, 0x10000 + ((high - 0xD800) << 10) + (low - 0xDC00));
      at += 6;
    } else {
      utf8 += text[at++];
    }
  }
}

// How many bytes at `at` belong together, and whether they are a character: a well-formed one, or the longest
// beginning of one (Unicode, table 3-7), or a single byte.
std::size_t sequence_at(std::string_view text, std::size_t at, bool& good) {
  const unsigned lead = byte_at(text, at);
  good = lead < 0x80;
  if (lead < 0xC2 || lead > 0xF4) return 1;
  const std::size_t length = lead < 0xE0 ? 2 : lead < 0xF0 ? 3 : 4;
  unsigned low = 0x80;
  unsigned high = 0xBF;
  if (lead == 0xE0) low = 0xA0;
  if (lead == 0xED) high = 0x9F;
  if (lead == 0xF0) low = 0x90;
  if (lead == 0xF4) high = 0x8F;
  for (std::size_t i = 1; i < length; ++i) {
    if (at + i == text.size() || byte_at(text, at + i) < low || byte_at(text, at + i) > high) return i;
    low = 0x80;
    high = 0xBF;
  }
  good = true;
  return length;
}

}  // namespace

void decode_text(std::string_view text, TextEncoding encoding, std::string& utf8) {
  utf8.clear();
  if (encoding == TextEncoding::cesu8) return join_surrogates(text, utf8);
  for (const char c : text) {
    const auto byte = static_cast<unsigned char>(c);
    if (encoding == TextEncoding::cp1252 && byte >= 0x80 && byte < 0xA0) {
      const char16_t code = kCp1252[byte - 0x80u];
      if (code == 0) {
        utf8 += c;
      } else {
        append_utf8(utf8, code);
      }
    } else {
      append_utf8(utf8, byte);
    }
  }
}

void repair_text(std::string_view text, BadText how, std::string& repaired) {
  repaired.clear();
  for (std::size_t at = 0; at < text.size();) {
    bool good = false;
    const std::size_t length = sequence_at(text, at, good);
    if (good && text[at] != '\0') {
      repaired.append(text.substr(at, length));
    } else if (how == BadText::replace) {
      repaired.append("\xEF\xBF\xBD");
    }
    at += length;
  }
}

// ---- bytes ----

bool decode_base64(std::string_view text, Base64 how, Buffer& out) {
  const bool relaxed = how == Base64::relaxed;
  if (relaxed && !take_data_uri(text)) return false;
  Base64Options options;
  if (relaxed) {
    const bool url = text.find('-') != std::string_view::npos || text.find('_') != std::string_view::npos;
    options = {.url_alphabet = url, .line_breaks = true, .missing_padding = true};
  }
  const std::size_t room = base64_bytes_max(text.size());
  const Base64Decoded decoded = decode_base64(text, std::span(out.ensure(room), room), options);
  if (decoded.wrong_at) return false;
  out.commit(decoded.bytes);
  return true;
}

// ---- numbers as text ----

namespace {

Misfit integer_of(const WrittenNumber& number, std::int64_t& value) {
  const auto first = static_cast<std::ptrdiff_t>(number.first_significant());
  const auto end = static_cast<std::ptrdiff_t>(number.end_significant());
  value = 0;
  if (first >= end) return Misfit::none;
  const std::ptrdiff_t point = number.point();
  if (point - first > 19) return Misfit::out_of_range;
  if (point < end) return Misfit::not_exact;
  Wide wide = 0;
  for (std::ptrdiff_t at = first; at < point; ++at) {
    wide = wide * 10 + (at < end ? number.digit(static_cast<std::size_t>(at)) - '0' : 0);
  }
  if (number.negative) wide = -wide;
  if (wide < std::numeric_limits<std::int64_t>::min() || wide > std::numeric_limits<std::int64_t>::max()) {
    return Misfit::out_of_range;
  }
  value = static_cast<std::int64_t>(wide);
  return Misfit::none;
}

// Whether `value`, printed with as many digits as the text has, gives the digits of the text.
template <class Real>
bool gives_back(Real value, const WrittenNumber& number) {
  constexpr std::size_t kDigitsMax = 770;  // more than any finite double has
  const std::size_t first = number.first_significant();
  const std::size_t end = number.end_significant();
  if (first >= end) return value == 0;
  if (end - first > kDigitsMax) return false;
  std::array<char, kDigitsMax + 16> room;
  const auto printed = std::to_chars(room.data(), room.data() + room.size(), std::fabs(value),
                                     std::chars_format::scientific, static_cast<int>(end - first) - 1);
  WrittenNumber again;
  const std::string_view text(room.data(), static_cast<std::size_t>(printed.ptr - room.data()));
  if (!parse_written_number(text, again)) return false;
  if (again.point() != number.point() - static_cast<std::ptrdiff_t>(first)) return false;
  for (std::size_t i = first; i < end; ++i) {
    if (again.digit(i - first) != number.digit(i)) return false;
  }
  return true;
}

template <class Real, class Bits>
Misfit encode_text_as_real(std::string_view text, Buffer& out) {
  Real value = 0;
  if (text == "NaN") {
    value = std::numeric_limits<Real>::quiet_NaN();
  } else if (text == "Infinity") {
    value = std::numeric_limits<Real>::infinity();
  } else if (text == "-Infinity") {
    value = -std::numeric_limits<Real>::infinity();
  } else {
    WrittenNumber number;
    if (!parse_written_number(text, number)) return Misfit::not_a_number;
    if (text.starts_with('+')) text.remove_prefix(1);
    const auto read = std::from_chars(text.data(), text.data() + text.size(), value);
    if (read.ec != std::errc{}) {
      const std::size_t first = number.first_significant();
      if (first < number.digits()) {
        const bool large = number.point() > static_cast<std::ptrdiff_t>(first);
        return large ? Misfit::out_of_range : Misfit::not_exact;
      }
      value = number.negative ? Real{-0.0} : Real{0};
    }
    if (!gives_back(value, number)) return Misfit::not_exact;
  }
  out.put_int32(sizeof value);
  const auto bits = to_big_endian(std::bit_cast<Bits>(value));
  out.append(&bits, sizeof bits);
  return Misfit::none;
}

Misfit encode_text_as_numeric(std::string_view text, Buffer& out) {
  const std::size_t start = out.size();
  out.put_int32(0);
  if (text == "NaN") {
    append_numeric_nan(out);
  } else if (text == "Infinity" || text == "-Infinity") {
    const double infinity = std::numeric_limits<double>::infinity();
    append_numeric(out, text.front() == '-' ? -infinity : infinity);
  } else {
    WrittenNumber number;
    if (!parse_written_number(text, number)) return Misfit::not_a_number;
    if (!append_numeric(out, number)) return Misfit::out_of_range;
  }
  out.patch_int32(start, static_cast<std::int32_t>(out.size() - start - 4));
  return Misfit::none;
}

}  // namespace

Misfit encode_text_as_number(std::string_view text, PgType type, Buffer& out) {
  switch (type) {
    case PgType::float4:
      return encode_text_as_real<float, std::int32_t>(text, out);
    case PgType::float8:
      return encode_text_as_real<double, std::int64_t>(text, out);
    case PgType::numeric:
      return encode_text_as_numeric(text, out);
    default:
      break;
  }
  WrittenNumber number;
  if (!parse_written_number(text, number)) return Misfit::not_a_number;
  std::int64_t value = 0;
  if (const Misfit misfit = integer_of(number, value); misfit != Misfit::none) return misfit;
  return row_of(type).encode(Cell::of_integer(value), out);
}

}  // namespace sluice
