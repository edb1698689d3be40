#include "io/wire/numeric.h"
#include "support/seed.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <array>
#include <bit>
#include <charconv>
#include <cmath>
#include <cstdint>
#include <cstdlib>
#include <iostream>
#include <limits>
#include <optional>
#include <random>
#include <span>
#include <string>
#include <utility>
#include <vector>

namespace sluice {
namespace {

std::mt19937_64 seeded_random() { return std::mt19937_64(testing::test_seed()); }

std::string hex(std::span<const std::byte> bytes) {
  std::string text;
  for (const std::byte byte : bytes) {
    text.push_back("0123456789abcdef"[std::to_integer<unsigned>(byte) >> 4]);
    text.push_back("0123456789abcdef"[std::to_integer<unsigned>(byte) & 15]);
  }
  return text;
}

template <typename Value>
std::string encoded(Value value) {
  Buffer buffer;
  append_numeric(buffer, value);
  return hex(buffer.span());
}

std::optional<std::string> encoded_decimal(const std::string& text) {
  Buffer buffer;
  buffer.put_byte(std::byte{0x5A});
  if (!append_decimal(buffer, text)) {
    EXPECT_EQ(buffer.size(), 1u) << text;
    return std::nullopt;
  }
  return hex(buffer.span().subspan(1));
}

// The slow, obvious reference: pad the plain text to whole groups on both sides of the point, cut it into
// groups, throw away zero groups at the ends.
std::string reference(std::string text) {
  const bool negative = text[0] == '-';
  if (negative) text.erase(0, 1);
  std::string before = text.substr(0, text.find('.'));
  std::string after = text.find('.') == std::string::npos ? "" : text.substr(text.find('.') + 1);
  const std::size_t dscale = after.size();
  while (before.size() % 4 != 0) before.insert(0, 1, '0');
  while (after.size() % 4 != 0) after.push_back('0');
  std::vector<int> groups;
  const std::string digits = before + after;
  for (std::size_t at = 0; at < digits.size(); at += 4) groups.push_back(std::stoi(digits.substr(at, 4)));
  int weight = static_cast<int>(before.size() / 4) - 1;
  while (!groups.empty() && groups.front() == 0) {
    groups.erase(groups.begin());
    --weight;
  }
  while (!groups.empty() && groups.back() == 0) groups.pop_back();
  Buffer buffer;
  const auto put = [&buffer](auto value) { buffer.put_int16(static_cast<std::int16_t>(value)); };
  put(groups.size());
  put(groups.empty() ? 0 : weight);
  put(negative && !groups.empty() ? 0x4000 : 0);
  put(dscale);
  for (const int group : groups) put(group);
  return hex(buffer.span());
}

// Shortest scientific form written out in plain notation, digit by digit.
std::string plain_text(double value) {
  std::array<char, 40> text;
  const auto end =
      std::to_chars(text.data(), text.data() + text.size(), value, std::chars_format::scientific).ptr;
  const std::string scientific(text.data(), end);
  const std::size_t mark = scientific.find('e');
  int exponent = std::stoi(scientific.substr(mark + 1));
  std::string digits = scientific.substr(0, mark);
  const bool negative = digits[0] == '-';
  if (negative) digits.erase(0, 1);
  std::string before = digits.substr(0, 1);
  std::string after = digits.size() > 1 ? digits.substr(2) : "";
  for (; exponent > 0; --exponent) {
    before.push_back(after.empty() ? '0' : after[0]);
    if (!after.empty()) after.erase(0, 1);
  }
  for (; exponent < 0; ++exponent) {
    after.insert(0, 1, before.back());
    before.pop_back();
    if (before.empty()) before = "0";
  }
  return (negative ? "-" : "") + before + (after.empty() ? "" : "." + after);
}

void expect_as_reference(double value) {
  const std::string plain = plain_text(value);
  Buffer buffer;
  append_numeric(buffer, value);
  ASSERT_EQ(hex(buffer.span()), reference(plain)) << plain;
  const std::string shown = numeric_to_text(buffer.span());
  ASSERT_EQ(shown, value == 0 ? "0" : plain);
  ASSERT_EQ(std::strtod(shown.c_str(), nullptr), value) << plain;
}

// Taken from PostgreSQL 15: select encode(numeric_send('...'), 'hex').
TEST(Numeric, MatchesWhatTheServerSends) {
  EXPECT_EQ(encoded(std::int64_t{0}), "0000000000000000");
  EXPECT_EQ(encoded(std::int64_t{1}), "00010000000000000001");
  EXPECT_EQ(encoded(std::int64_t{10000}), "00010001000000000001");
  EXPECT_EQ(encoded(std::numeric_limits<std::int64_t>::min()), "0005000440000000039a0d2c0170156516b0");
  EXPECT_EQ(encoded(1.5), "000200000000000100011388");
  EXPECT_EQ(encoded(1e22), "00010005000000000064");
  EXPECT_EQ(encoded(0.00001), "0001fffe0000000503e8");
  EXPECT_EQ(encoded(10000.0001), "0003000100000004000100000001");
  EXPECT_EQ(encoded_decimal("1.50"), "000200000000000200011388");
  EXPECT_EQ(encoded_decimal("-12.3400"), "0002000040000004000c0d48");
  EXPECT_EQ(encoded_decimal("0.00"), "0000000000000002");
}

TEST(Numeric, SendsInfinitiesInTheShapeTheServerAnswersIn) {
  EXPECT_EQ(encoded(std::numeric_limits<double>::infinity()), "00000000d0000020");
  EXPECT_EQ(encoded(-std::numeric_limits<double>::infinity()), "00000000f0000020");
}

TEST(Numeric, HasOneZero) {
  EXPECT_EQ(encoded(0.0), "0000000000000000");
  EXPECT_EQ(encoded(-0.0), "0000000000000000");
}

TEST(Numeric, EncodesIntegersOfEveryLengthLikeTheReference) {
  auto random = seeded_random();
  const auto expect = [](std::int64_t value) {
    ASSERT_EQ(encoded(value), reference(std::to_string(value))) << value;
  };
  for (std::int64_t value = -10'100; value <= 10'100; ++value) expect(value);
  std::int64_t power = 1;
  for (int exponent = 0; exponent <= 18; ++exponent) {
    for (const std::int64_t value : {power - 1, power, power + 1, power * 9}) {
      if (exponent == 18 && value == power * 9) continue;
      expect(value);
      expect(-value);
    }
    if (exponent < 18) power *= 10;
  }
  expect(std::numeric_limits<std::int64_t>::max());
  expect(std::numeric_limits<std::int64_t>::min());
  for (int round = 0; round < 20'000; ++round) expect(static_cast<std::int64_t>(random()) >> random() % 64);
}

TEST(Numeric, EncodesDoublesOfEveryExponentLikeTheReference) {
  auto random = seeded_random();
  for (std::uint64_t exponent = 0; exponent < 0x7FF; ++exponent) {
    for (int round = 0; round < 6; ++round) {
      // A full mantissa, and one of few bits, whose decimal is short or exact.
      const std::uint64_t mantissa = round % 2 == 0 ? random() >> 12 : (random() & 0xF) << 48;
      expect_as_reference(std::bit_cast<double>((random() & 1) << 63 | exponent << 52 | mantissa));
    }
  }
  for (int exponent = -324; exponent <= 308; ++exponent) {
    expect_as_reference(std::strtod(("1e" + std::to_string(exponent)).c_str(), nullptr));
    expect_as_reference(std::strtod(("-1.7975e" + std::to_string(exponent)).c_str(), nullptr));
  }
  expect_as_reference(std::numeric_limits<double>::max());
  expect_as_reference(std::numeric_limits<double>::denorm_min());
  expect_as_reference(std::numeric_limits<double>::min());
}

TEST(Numeric, EncodesAmountsLikeTheReference) {
  auto random = seeded_random();
  for (int round = 0; round < 40'000; ++round) {
    const auto count = static_cast<double>(random() >> (12 + random() % 52));
    constexpr std::array kUnits = {1.0, 10.0, 100.0, 1000.0, 10'000.0, 100'000.0};
    double value = count / kUnits[random() % kUnits.size()];
    // And its neighbours, which need all their digits.
    if (round % 3 == 1) value = std::nextafter(value, 1e300);
    if (round % 3 == 2) value = std::nextafter(value, -1e300);
    expect_as_reference(random() % 2 == 0 ? value : -value);
  }
  for (const double value :
       {1e11, 1e11 - 1, 99'999'999'999.9999, std::nextafter(1e11, 0), 1e15, 1e16, 9.00719925474099e15, 0.0001,
        0.00005, 0.00015, 123.45675, 1230.99, 0.1, 0.3, 1.0 / 3}) {
    expect_as_reference(value);
    expect_as_reference(-value);
  }
}

TEST(Decimal, EncodesTextOfEveryShapeLikeTheReferenceAndGivesItBack) {
  auto random = seeded_random();
  for (int round = 0; round < 20'000; ++round) {
    std::string before(1 + random() % 13, '0');
    std::string after(random() % 13, '0');
    // Digits here and there, so that zero groups appear at the ends and in the middle.
    for (char& digit : before) digit = static_cast<char>('0' + (random() % 3 == 0 ? random() % 10 : 0));
    for (char& digit : after) digit = static_cast<char>('0' + (random() % 3 == 0 ? random() % 10 : 0));
    before.erase(0, std::min(before.find_first_not_of('0'), before.size() - 1));
    std::string text = after.empty() ? before : before + '.' + after;
    if (random() % 2 == 0 && text.find_first_not_of("0.") != std::string::npos) text.insert(0, 1, '-');
    ASSERT_EQ(encoded_decimal(text), reference(text)) << text;
    Buffer buffer;
    ASSERT_TRUE(append_decimal(buffer, text));
    ASSERT_EQ(numeric_to_text(buffer.span()), text);
  }
}

TEST(Decimal, HoldsDecimal18Comma18) {
  for (const std::string text : {"0.000000000000000001", "0.999999999999999999", "-0.123456789012345678",
                                 "999999999999999999.999999999999999999"}) {
    EXPECT_EQ(encoded_decimal(text), reference(text)) << text;
  }
}

TEST(Decimal, ReachesTheLimitsOfTheTypeAndNoFurther) {
  const std::string longest = std::string(131'072, '9') + '.' + std::string(16'383, '9');
  Buffer buffer;
  ASSERT_TRUE(append_decimal(buffer, longest));
  EXPECT_EQ(numeric_to_text(buffer.span()), longest);
  EXPECT_FALSE(encoded_decimal(std::string(131'073, '9')));
  EXPECT_FALSE(encoded_decimal("0." + std::string(16'384, '0')));
  EXPECT_EQ(encoded_decimal("0." + std::string(16'383, '0')), "0000000000003fff");
  EXPECT_EQ(encoded_decimal("1" + std::string(131'071, '0')), "00017fff0000000003e8");
}

TEST(Decimal, RefusesWhatWouldNotComeBackAsItWas) {
  for (const char* text : {"",     "-",     ".",   "+1",    "-0",       "-0.00", "00",   "007",     "-01.5",
                           ".5",   "5.",    "-.5", "1.2.3", "1e5",      "1E5",   " 1",   "1 ",      "1,5",
                           "0x10", "1_000", "--1", "NaN",   "Infinity", "1-",    "1.-5", "\xD9\xA1"}) {
    EXPECT_FALSE(encoded_decimal(text)) << text;
  }
  EXPECT_FALSE(encoded_decimal(std::string("1\0", 2)));
}

TEST(NumericToText, ShowsTheSpecialValues) {
  const auto text_of = [](std::initializer_list<int> fields) {
    Buffer buffer;
    for (const int field : fields) buffer.put_int16(static_cast<std::int16_t>(field));
    return numeric_to_text(buffer.span());
  };
  EXPECT_EQ(text_of({0, 0, 0xC000, 0}), "NaN");
  EXPECT_EQ(text_of({0, 0, 0xD000, 32}), "Infinity");
  EXPECT_EQ(text_of({0, 0, 0xF000, 32}), "-Infinity");
  EXPECT_EQ(text_of({0, 0, 0, 0}), "0");
  EXPECT_EQ(text_of({0, 0, 0, 3}), "0.000");
  EXPECT_EQ(text_of({1, -2, 0x4000, 5, 1000}), "-0.00001");
  EXPECT_EQ(text_of({1, 1, 0, 0, 12}), "120000");
}

TEST(NumericToText, IsEmptyForWhatIsNoNumeric) {
  Buffer buffer;
  append_numeric(buffer, 12'345.675);
  for (std::size_t size = 0; size < buffer.size(); ++size) {
    EXPECT_EQ(numeric_to_text(buffer.span().first(size)), "") << size;
  }
  ASSERT_EQ(numeric_to_text(buffer.span()), "12345.675");
  for (const auto& [offset, value] :
       {std::pair<std::size_t, unsigned char>{0, 0xFF}, {4, 0x12}, {6, 0x40}, {8, 0x28}}) {
    Buffer changed;
    changed.append(buffer.span().first(offset));
    changed.put_byte(static_cast<std::byte>(value));
    changed.append(buffer.span().subspan(offset + 1));
    EXPECT_EQ(numeric_to_text(changed.span()), "") << offset;
  }
}

TEST(Numeric, AppendsAfterWhatIsThere) {
  Buffer buffer;
  for (int i = 0; i < 1000; ++i) {
    append_numeric(buffer, std::int64_t{i});
    append_numeric(buffer, i / 1e7);
    ASSERT_TRUE(append_decimal(buffer, "1.0"));
  }
  Buffer last;
  append_numeric(last, std::int64_t{999});
  append_numeric(last, 999 / 1e7);
  ASSERT_TRUE(append_decimal(last, "1.0"));
  EXPECT_TRUE(std::ranges::equal(buffer.span().last(last.size()), last.span()));
}

}  // namespace
}  // namespace sluice
