#include "io/wire/numeric.h"

#include <algorithm>
#include <array>
#include <cassert>
#include <charconv>
#include <cmath>

namespace sluice {
namespace {

constexpr unsigned kPositive = 0x0000;
constexpr unsigned kNegative = 0x4000;
constexpr unsigned kNan = 0xC000;
constexpr unsigned kInfinity = 0xD000;
constexpr unsigned kMinusInfinity = 0xF000;
// What the server sends for infinities: the bits of their short header, read as a dscale.
constexpr unsigned kInfinityDscale = 32;

constexpr std::ptrdiff_t kGroupDigits = 4;
constexpr unsigned kGroupBase = 10'000;
constexpr std::size_t kHeaderSize = 8;
constexpr std::size_t kDscaleMax = 16'383;
constexpr std::size_t kDigitsBeforePointMax = 131'072;  // weight at most 32767

std::byte* store16(std::byte* at, unsigned value) {
  at[0] = static_cast<std::byte>(value >> 8);
  at[1] = static_cast<std::byte>(value);
  return at + 2;
}

std::byte* store_header(std::byte* at, std::size_t groups, std::ptrdiff_t weight, unsigned sign,
                        std::size_t dscale) {
  at = store16(at, static_cast<unsigned>(groups));
  at = store16(at, static_cast<unsigned>(weight));
  at = store16(at, sign);
  return store16(at, static_cast<unsigned>(dscale));
}

// magnitude * 10000^lowest_weight.
void append_scaled(Buffer& out, bool negative, std::uint64_t magnitude, std::ptrdiff_t lowest_weight,
                   std::size_t dscale) {
  std::array<std::uint16_t, 5> groups;  // least significant first; 2^64 has twenty digits
  std::size_t count = 0;
  std::size_t zeros = 0;  // groups of zeros at the low end
  for (; magnitude != 0; magnitude /= kGroupBase) {
    const auto group = static_cast<std::uint16_t>(magnitude % kGroupBase);
    if (zeros == count && group == 0) ++zeros;
    groups[count++] = group;
  }
  const std::ptrdiff_t weight = count == 0 ? 0 : lowest_weight + static_cast<std::ptrdiff_t>(count) - 1;
  std::byte* const first = out.ensure(kHeaderSize + sizeof groups);
  std::byte* at = store_header(first, count - zeros, weight, negative ? kNegative : kPositive, dscale);
  while (count > zeros) at = store16(at, groups[--count]);
  out.commit(static_cast<std::size_t>(at - first));
}

// The decimal digits digit_at(0), digit_at(1) ... digit_at(count - 1), with the point before digit number
// `point`, which may lie outside them. REQUIRES: the number is within the limits of the type.
template <typename DigitAt>
void append_digits(Buffer& out, bool negative, std::ptrdiff_t count, DigitAt digit_at, std::ptrdiff_t point,
                   std::size_t dscale) {
  std::ptrdiff_t at = 0;
  while (at < count && digit_at(at) == '0') ++at;
  while (at < count && digit_at(count - 1) == '0') --count;
  if (at == count) return append_scaled(out, false, 0, 0, dscale);

  const std::ptrdiff_t weight = (point - at - 1) >> 2;  // by four, rounded down
  const std::ptrdiff_t indent =
      (weight + 1) * kGroupDigits - (point - at);  // of the first digit in its group
  const std::ptrdiff_t groups = (indent + (count - at) + kGroupDigits - 1) / kGroupDigits;
  std::byte* const first = out.ensure(kHeaderSize + static_cast<std::size_t>(groups) * 2);
  std::byte* store =
      store_header(first, static_cast<std::size_t>(groups), weight, negative ? kNegative : kPositive, dscale);
  const std::ptrdiff_t shift = indent - at;  // digit i stands at place i + shift
  unsigned group = 0;
  for (std::ptrdiff_t place = indent; place < groups * kGroupDigits; ++place) {
    const std::ptrdiff_t i = place - shift;
    group = group * 10 + (i < count ? static_cast<unsigned>(digit_at(i) - '0') : 0);
    if (place % kGroupDigits == kGroupDigits - 1) {
      store = store16(store, group);
      group = 0;
    }
  }
  out.commit(static_cast<std::size_t>(store - first));
}

void append_special(Buffer& out, unsigned sign) {
  store_header(out.ensure(kHeaderSize), 0, 0, sign, kInfinityDscale);
  out.commit(kHeaderSize);
}

// Most doubles in a table are amounts: few digits, at most four of them after the point. Such a value is
// an integer count of ten-thousandths, one group after the point. Both the count and 10^4 are exact, so
// the division is correctly rounded and tells whether count/10^4 reads back as the value; and of decimals
// with at most 15 digits only one can, so it is also the shortest.
bool append_amount(Buffer& out, double value) {
  constexpr double kCountEnd = 1e15;
  const double magnitude = std::fabs(value);
  if (!(magnitude < kCountEnd / kGroupBase)) return false;
  const auto count = static_cast<std::uint64_t>(magnitude * kGroupBase + 0.5);
  if (static_cast<double>(count) / kGroupBase != magnitude) return false;
  std::size_t dscale = static_cast<std::size_t>(kGroupDigits);
  for (std::uint64_t rest = count % kGroupBase; dscale != 0 && rest % 10 == 0; rest /= 10) --dscale;
  append_scaled(out, value < 0, count, -1, dscale);
  return true;
}

}  // namespace

void append_numeric(Buffer& out, std::int64_t value) {
  const bool negative = value < 0;
  const auto bits = static_cast<std::uint64_t>(value);
  append_scaled(out, negative, negative ? 0 - bits : bits, 0, 0);
}

void append_numeric(Buffer& out, double value) {
  assert(!std::isnan(value));
  if (append_amount(out, value)) return;
  if (std::isinf(value)) return append_special(out, value < 0 ? kMinusInfinity : kInfinity);

  std::array<char, 32> text;  // d.ddddddddddddddddde-ddd
  const double magnitude = std::fabs(value);
  const auto written =
      std::to_chars(text.data(), text.data() + text.size(), magnitude, std::chars_format::scientific);
  const char* const mark = std::find(text.data(), written.ptr, 'e');
  int exponent = 0;
  std::from_chars(mark[1] == '+' ? mark + 2 : mark + 1, written.ptr, exponent);
  const bool pointed = mark > text.data() + 1;
  if (pointed) text[1] = text[0];  // over the point, so that the digits are in one piece
  const char* const first = text.data() + (pointed ? 1 : 0);
  const std::ptrdiff_t count = mark - first;
  const std::ptrdiff_t point = exponent + 1;
  const auto dscale = static_cast<std::size_t>(std::max<std::ptrdiff_t>(0, count - point));
  append_digits(
      out, value < 0, count, [first](std::ptrdiff_t i) { return first[i]; }, point, dscale);
}

bool append_decimal(Buffer& out, std::string_view text) {
  const bool negative = text.starts_with('-');
  if (negative) text.remove_prefix(1);
  const auto digits_at = [text](std::size_t from) {
    std::size_t at = from;
    while (at < text.size() && text[at] >= '0' && text[at] <= '9') ++at;
    return at - from;
  };
  const std::size_t before = digits_at(0);
  if (before == 0 || before > kDigitsBeforePointMax) return false;
  if (before > 1 && text.front() == '0') return false;
  std::size_t after = 0;
  if (before < text.size()) {
    if (text[before] != '.') return false;
    after = digits_at(before + 1);
    if (after == 0 || after > kDscaleMax || before + 1 + after != text.size()) return false;
  }
  if (negative && text.find_first_not_of("0.") == std::string_view::npos) return false;
  const auto point = static_cast<std::ptrdiff_t>(before);
  const auto digit_at = [text, point](std::ptrdiff_t i) {
    return text[static_cast<std::size_t>(i < point ? i : i + 1)];
  };
  append_digits(out, negative, static_cast<std::ptrdiff_t>(before + after), digit_at, point, after);
  return true;
}

std::size_t WrittenNumber::first_significant() const {
  std::size_t at = 0;
  while (at < digits() && digit(at) == '0') ++at;
  return at;
}

std::size_t WrittenNumber::end_significant() const {
  std::size_t end = digits();
  while (end > 0 && digit(end - 1) == '0') --end;
  return end;
}

bool parse_written_number(std::string_view text, WrittenNumber& number) {
  constexpr std::int32_t kExponentMax = 10'000'000;
  const auto take_digits = [&text] {
    std::size_t count = 0;
    while (count < text.size() && text[count] >= '0' && text[count] <= '9') ++count;
    const std::string_view digits = text.substr(0, count);
    text.remove_prefix(count);
    return digits;
  };
  const auto take_sign = [&text] {
    const bool negative = text.starts_with('-');
    if (negative || text.starts_with('+')) text.remove_prefix(1);
    return negative;
  };
  WrittenNumber read;
  read.negative = take_sign();
  read.whole = take_digits();
  if (text.starts_with('.')) {
    text.remove_prefix(1);
    read.fraction = take_digits();
  }
  if (read.digits() == 0) return false;
  if (text.starts_with('e') || text.starts_with('E')) {
    text.remove_prefix(1);
    const bool negative = take_sign();
    const std::string_view digits = take_digits();
    if (digits.empty()) return false;
    for (const char digit : digits) {
      read.exponent = std::min(kExponentMax, read.exponent * 10 + (digit - '0'));
    }
    if (negative) read.exponent = -read.exponent;
  }
  if (!text.empty()) return false;
  number = read;
  return true;
}

bool append_numeric(Buffer& out, const WrittenNumber& number) {
  const std::ptrdiff_t point = number.point();
  const auto count = static_cast<std::ptrdiff_t>(number.digits());
  const auto dscale = static_cast<std::size_t>(std::max<std::ptrdiff_t>(0, count - point));
  if (dscale > kDscaleMax) return false;
  const auto first = static_cast<std::ptrdiff_t>(number.first_significant());
  if (first < count && point - first > static_cast<std::ptrdiff_t>(kDigitsBeforePointMax)) return false;
  const auto digit_at = [&number](std::ptrdiff_t i) { return number.digit(static_cast<std::size_t>(i)); };
  append_digits(out, number.negative, count, digit_at, point, dscale);
  return true;
}

void append_numeric_nan(Buffer& out) {
  store_header(out.ensure(kHeaderSize), 0, 0, kNan, 0);
  out.commit(kHeaderSize);
}

NumericFit fit_numeric(Buffer& out, std::size_t start, std::int32_t precision, std::int32_t scale) {
  const std::byte* const bytes = out.data() + start;
  const auto field = [bytes](std::size_t index) {
    return std::to_integer<unsigned>(bytes[index * 2]) << 8 | std::to_integer<unsigned>(bytes[index * 2 + 1]);
  };
  const std::size_t groups = field(0);
  const std::ptrdiff_t weight = static_cast<std::int16_t>(field(1));
  const unsigned sign = field(2);
  if (sign == kNan) return NumericFit::ok;
  if (sign == kInfinity || sign == kMinusInfinity) return NumericFit::too_large;
  if (groups > 0) {
    std::ptrdiff_t before = weight * kGroupDigits;  // digits before the point; negative: zeros after it
    for (unsigned first = field(kHeaderSize / 2); first != 0; first /= 10) ++before;
    if (before > precision - scale) return NumericFit::too_large;
    std::ptrdiff_t after = (static_cast<std::ptrdiff_t>(groups) - 1 - weight) * kGroupDigits;
    for (unsigned last = field(kHeaderSize / 2 + groups - 1); last % 10 == 0; last /= 10) --after;
    if (after > scale) return NumericFit::too_fine;
  }
  std::array<std::byte, 2> dscale;
  store16(dscale.data(), static_cast<unsigned>(scale));
  out.patch(start + 6, dscale);
  return NumericFit::ok;
}

std::string numeric_to_text(std::span<const std::byte> bytes) {
  const auto field = [bytes](std::size_t index) {
    return std::to_integer<unsigned>(bytes[index * 2]) << 8 | std::to_integer<unsigned>(bytes[index * 2 + 1]);
  };
  if (bytes.size() < kHeaderSize) return {};
  const std::size_t groups = field(0);
  const std::ptrdiff_t weight = static_cast<std::int16_t>(field(1));
  const unsigned sign = field(2);
  const std::size_t dscale = field(3);
  if (bytes.size() != kHeaderSize + groups * 2) return {};
  if (sign == kNan) return "NaN";
  if (sign == kInfinity) return "Infinity";
  if (sign == kMinusInfinity) return "-Infinity";
  if ((sign != kPositive && sign != kNegative) || dscale > kDscaleMax) return {};

  std::string text;
  bool good = true;
  // The four digits worth 10000^power.
  const auto append_group = [&](std::ptrdiff_t power) {
    const auto index = static_cast<std::size_t>(weight - power);
    const unsigned group = power <= weight && index < groups ? field(kHeaderSize / 2 + index) : 0;
    good = good && group < kGroupBase;
    for (const unsigned unit : {1000u, 100u, 10u, 1u})
      text.push_back(static_cast<char>('0' + group / unit % 10));
  };
  for (std::ptrdiff_t power = std::max<std::ptrdiff_t>(weight, 0); power >= 0; --power) append_group(power);
  text.erase(0, std::min(text.find_first_not_of('0'), text.size() - 1));
  if (dscale > 0) {
    text.push_back('.');
    const std::size_t end = text.size() + dscale;
    for (std::ptrdiff_t power = -1; text.size() < end; --power) append_group(power);
    text.resize(end);
  }
  if (sign == kNegative) text.insert(0, 1, '-');
  return good ? text : std::string();
}

}  // namespace sluice
