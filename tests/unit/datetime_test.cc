#include "io/wire/datetime.h"
#include "support/seed.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <array>
#include <cstdint>
#include <iostream>
#include <map>
#include <memory>
#include <optional>
#include <random>
#include <string>
#include <vector>

namespace sluice {
namespace {

std::mt19937_64 seeded_random() { return std::mt19937_64(testing::test_seed()); }

constexpr std::int64_t kSecond = 1'000'000;
constexpr std::int64_t kHour = 3600 * kSecond;
constexpr std::int64_t kDay = 24 * kHour;

// Each in a heap block of exactly its size, so that the address sanitizer sees any read past the end.
template <typename Value>
std::optional<Value> parse_exact(bool (*parse)(std::string_view, Value&), const std::string& text) {
  const auto block = std::make_unique<char[]>(text.size());
  text.copy(block.get(), text.size());
  Value value{};
  if (!parse({block.get(), text.size()}, value)) return std::nullopt;
  return value;
}
auto date(const std::string& text) { return parse_exact(parse_date, text); }
auto time(const std::string& text) { return parse_exact(parse_time, text); }
auto written(const std::string& text) { return parse_exact(parse_written_timestamp, text); }
auto timestamp(const std::string& text) { return parse_exact(parse_timestamp, text); }
auto timestamptz(const std::string& text) { return parse_exact(parse_timestamptz, text); }

std::string padded(std::int64_t value, std::size_t digits) {
  const std::string text = std::to_string(value);
  return text.size() < digits ? std::string(digits - text.size(), '0') + text : text;
}

std::string year_text(std::int64_t year) {
  if (year >= 0 && year <= 9999) return padded(year, 4);
  return (year < 0 ? "-" : "+") + padded(year < 0 ? -year : year, 4);
}

// A calendar that knows nothing but how to get to tomorrow.
struct Calendar {
  std::int64_t year;
  int month;
  int day;

  [[nodiscard]] int month_length() const {
    static constexpr int kLengths[] = {31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31};
    const bool leap = year % 400 == 0 || (year % 4 == 0 && year % 100 != 0);
    return month == 2 && leap ? 29 : kLengths[month - 1];
  }
  void advance() {
    if (++day <= month_length()) return;
    day = 1;
    if (++month <= 12) return;
    month = 1;
    ++year;
  }
};

TEST(ParseDate, CountsEveryDayFromTheFirstToTheYear10000) {
  Calendar calendar{-4713, 11, 24};
  for (std::int32_t expected = -2'451'545; calendar.year < 10'000; ++expected, calendar.advance()) {
    std::string text = year_text(calendar.year) + "-00-00";
    text[text.size() - 5] = static_cast<char>('0' + calendar.month / 10);
    text[text.size() - 4] = static_cast<char>('0' + calendar.month % 10);
    text[text.size() - 2] = static_cast<char>('0' + calendar.day / 10);
    text[text.size() - 1] = static_cast<char>('0' + calendar.day % 10);
    std::int32_t days = 0;
    ASSERT_TRUE(parse_date(text, days)) << text;
    ASSERT_EQ(days, expected) << text;
  }
}

TEST(ParseDate, RefusesEveryDayThatItsMonthLacks) {
  for (const std::int64_t year :
       {-4000, -400, -4, -1, 0, 1, 4, 100, 400, 1900, 2000, 2023, 2024, 9999, 10000}) {
    for (int month = 0; month <= 99; ++month) {
      for (int day = 0; day <= 99; ++day) {
        const bool exists =
            month >= 1 && month <= 12 && day >= 1 && day <= Calendar{year, month, 1}.month_length();
        const std::string text = year_text(year) + '-' + padded(month, 2) + '-' + padded(day, 2);
        ASSERT_EQ(date(text).has_value(), exists) << text;
      }
    }
  }
}

TEST(ParseDate, RefusesTheThirtiethOfFebruary) {
  EXPECT_FALSE(date("2024-02-30"));
  EXPECT_TRUE(date("2024-02-29"));
  EXPECT_FALSE(date("2023-02-29"));
  EXPECT_FALSE(date("1900-02-29"));
}

TEST(ParseDate, ReadsIsoYearZeroAsOneBeforeChrist) {
  EXPECT_EQ(date("0000-01-01"), -730'485);  // '0001-01-01 BC'::date - '2000-01-01'
  EXPECT_EQ(date("0000-02-29"), -730'485 + 59);
  EXPECT_EQ(date("-0001-12-31"), -730'486);
  EXPECT_EQ(date("+0000-01-01"), -730'485);
  EXPECT_FALSE(date("-0000-01-01"));
  EXPECT_FALSE(date("0000-00-00"));
}

TEST(ParseDate, EndsWhereTheServerDoes) {
  EXPECT_EQ(date("-4713-11-24"), -2'451'545);
  EXPECT_FALSE(date("-4713-11-23"));
  EXPECT_FALSE(date("-9999-01-01"));
  EXPECT_EQ(date("+5874897-12-31"), 2'145'031'948);
  EXPECT_FALSE(date("+5874898-01-01"));
  EXPECT_FALSE(date("+9999999-12-31"));
  EXPECT_FALSE(date("-9999999-12-31"));
}

TEST(ParseDate, WantsASignBeforeALongYear) {
  EXPECT_TRUE(date("+12345-01-01"));
  EXPECT_FALSE(date("12345-01-01"));
  EXPECT_EQ(date("+2024-01-01"), date("2024-01-01"));
  EXPECT_EQ(date("+002024-01-01"), date("2024-01-01"));
  EXPECT_FALSE(date("+024-01-01"));
  EXPECT_FALSE(date("+00002024-01-01"));
}

TEST(ParseDate, RefusesWhatOnlyLooksLikeADate) {
  for (const char* text : {"",
                           " ",
                           "-",
                           "+",
                           "2024",
                           "2024-01",
                           "20240101",
                           "2024-1-1",
                           "2024-01-1",
                           "2024/01/01",
                           "01/02/2024",
                           "2024-01-01 ",
                           " 2024-01-01",
                           "2024-01-01T",
                           "2024-01-01Z",
                           "today",
                           "infinity",
                           "2024-01-01 00:00:00",
                           "٢٠٢٤-01-01",
                           "2024-01-0x",
                           "2024_01_01"}) {
    EXPECT_FALSE(date(text)) << text;
  }
}

TEST(ParseTime, CountsEverySecondOfTheDay) {
  std::int64_t expected = 0;
  for (int hour = 0; hour < 24; ++hour) {
    for (int minute = 0; minute < 60; ++minute) {
      const std::string start = padded(hour, 2) + ':' + padded(minute, 2);
      ASSERT_EQ(time(start), expected) << start;
      for (int second = 0; second < 60; ++second, expected += kSecond) {
        const std::string text = start + ':' + padded(second, 2);
        ASSERT_EQ(time(text), expected) << text;
      }
    }
  }
}

TEST(ParseTime, RefusesWhatTheServerWouldCarryOver) {
  EXPECT_FALSE(time("24:00:00"));
  EXPECT_FALSE(time("24:00"));
  EXPECT_FALSE(time("23:60:00"));
  EXPECT_FALSE(time("23:59:60"));
  EXPECT_FALSE(time("25:30:00"));
  EXPECT_FALSE(time("-01:00"));
}

TEST(ParseTime, KeepsSixDigitsAndDropsOnlyZeros) {
  EXPECT_EQ(time("00:00:01.5"), 1'500'000);
  EXPECT_EQ(time("00:00:01.000001"), 1'000'001);
  EXPECT_EQ(time("00:00:01.123456"), 1'123'456);
  EXPECT_EQ(time("00:00:01.123456000"), 1'123'456);
  EXPECT_EQ(time("00:00:01." + std::string(100, '0')), 1'000'000);
  EXPECT_FALSE(time("00:00:01.1234567"));
  EXPECT_FALSE(time("00:00:01." + std::string(30, '0') + '1'));
  EXPECT_EQ(time("23:59:59.999999"), kDay - 1);
}

TEST(ParseTime, RefusesWhatOnlyLooksLikeATime) {
  for (const char* text : {"",           "1",           "10",        "10:",       "10:0",
                           "1:00",       "10:00:",      "10:00:0",   "10:00:00.", "10:00.5",
                           "10:00:00,5", "10:00:00.5x", "10:00:00Z", "10:00:00 ", " 10:00:00",
                           "100000",     "10-00-00",    "10:00 PM",  "allballs",  "10:00:00.-5"}) {
    EXPECT_FALSE(time(text)) << text;
  }
}

TEST(ParseTimestamp, ReadsTheFormsFoundInTheWild) {
  const std::int64_t noon = 8766 * kDay + 12 * kHour;  // 2024-01-01 12:00
  EXPECT_EQ(timestamp("2024-01-01"), noon - 12 * kHour);
  EXPECT_EQ(timestamp("2024-01-01 12:00"), noon);
  EXPECT_EQ(timestamp("2024-01-01T12:00"), noon);
  EXPECT_EQ(timestamp("2024-01-01 12:00:00"), noon);
  EXPECT_EQ(timestamp("2024-01-01T12:00:00"), noon);
  EXPECT_EQ(timestamp("2024-01-01T12:00:00.250"), noon + 250'000);
  EXPECT_EQ(timestamp("2024-01-01 12:00:00.000001"), noon + 1);
  EXPECT_EQ(timestamp("2000-01-01 00:00:00"), 0);
  EXPECT_EQ(timestamp("1999-12-31 23:59:59.999999"), -1);
  EXPECT_EQ(timestamptz("2024-01-01T12:00:00Z"), noon);
  EXPECT_EQ(timestamptz("2024-01-01T12:00:00z"), noon);
  EXPECT_EQ(timestamptz("2024-01-01T12:00Z"), noon);
  EXPECT_EQ(timestamptz("2024-01-01T12:00:00.250Z"), noon + 250'000);
  EXPECT_EQ(timestamptz("2024-01-01 14:00:00+02"), noon);
  EXPECT_EQ(timestamptz("2024-01-01 14:00+02:00"), noon);
  EXPECT_EQ(timestamptz("2024-01-01 14:00:00 +02:00"), noon);
  EXPECT_EQ(timestamptz("2024-01-01 14:00:00+0200"), noon);
  EXPECT_EQ(timestamptz("2024-01-01 17:45:00 +0545"), noon);
  EXPECT_EQ(timestamptz("2024-01-01 08:30:00-03:30"), noon);
  EXPECT_EQ(timestamptz("2024-01-01 12:00:00-00:00"), noon);
  EXPECT_EQ(timestamptz("2024-01-01 12:00:00 +0000 UTC"), noon);
  EXPECT_EQ(timestamptz("2024-01-01 12:00:00.25 +0000 UTC"), noon + 250'000);
}

TEST(ParseTimestamp, NeverDropsAZoneAndNeverInventsOne) {
  for (const char* naive : {"2024-01-01", "2024-01-01 12:00", "2024-01-01 12:00:00.5"}) {
    EXPECT_TRUE(timestamp(naive)) << naive;
    EXPECT_FALSE(timestamptz(naive)) << naive;
    EXPECT_FALSE(written(naive)->zoned);
  }
  for (const char* zoned :
       {"2024-01-01 12:00Z", "2024-01-01 12:00:00+00", "2024-01-01 12:00:00.5 +0000 UTC"}) {
    EXPECT_FALSE(timestamp(zoned)) << zoned;
    EXPECT_TRUE(timestamptz(zoned)) << zoned;
    EXPECT_TRUE(written(zoned)->zoned);
  }
  EXPECT_EQ(written("2024-01-01 12:00:00-03:30")->offset_seconds, -12'600);
  EXPECT_EQ(written("2024-01-01 12:00:00-03:30")->microseconds, timestamp("2024-01-01 12:00:00"));
}

TEST(ParseTimestamp, EndsWhereTheServerDoes) {
  EXPECT_EQ(timestamp("-4713-11-24 00:00:00"), -211'813'488'000'000'000);
  EXPECT_FALSE(timestamp("-4713-11-23 23:59:59.999999"));
  EXPECT_EQ(timestamp("+294276-12-31 23:59:59.999999"), 9'223'371'331'199'999'999);
  EXPECT_FALSE(timestamp("+294277-01-01 00:00:00"));
  EXPECT_FALSE(timestamp("+294278-01-01 00:00:00"));
  EXPECT_FALSE(timestamp("+9999999-12-31 23:59:59"));
  // A zone moves values in and out.
  EXPECT_EQ(timestamptz("-4713-11-23 23:00:00-01:00"), -211'813'488'000'000'000);
  EXPECT_FALSE(timestamptz("-4713-11-24 00:00:00+00:01"));
  EXPECT_EQ(timestamptz("+294277-01-01 15:58:59.999999+15:59"), 9'223'371'331'199'999'999);
  EXPECT_FALSE(timestamptz("+294276-12-31 23:59:59.999999-00:01"));
}

TEST(ParseTimestamp, RefusesWhatOnlyLooksLikeATimestamp) {
  for (const char* text : {"",
                           "2024-01-01 ",
                           "2024-01-01T",
                           "2024-01-01  12:00:00",
                           "2024-01-01t12:00:00",
                           "2024-01-01_12:00:00",
                           "2024-01-01 12",
                           "2024-01-01 1:00:00",
                           "2024-01-01 12:00:0",
                           "2024-01-01 12:00:00 ",
                           "2024-01-01Z",
                           "2024-01-01+02:00",
                           "2024-01-01 +0000 UTC",
                           "2024-01-01 24:00:00",
                           "2024-01-01 12:00:60",
                           "2024-01-01 12:00:00  Z",
                           "2024-01-01 12:00:00 z ",
                           "2024-01-01 12:00:00+2",
                           "2024-01-01 12:00:00+02:",
                           "2024-01-01 12:00:00+02:0",
                           "2024-01-01 12:00:00+020",
                           "2024-01-01 12:00:00+02000",
                           "2024-01-01 12:00:00+16",
                           "2024-01-01 12:00:00+02:60",
                           "2024-01-01 12:00:00+02:00:00",
                           "2024-01-01 12:00:00 UTC",
                           "2024-01-01 12:00:00+0000 UTC",
                           "2024-01-01 12:00:00 +0100 CET",
                           "2024-01-01 12:00:00 +0000 UTC m=+0.1",
                           "2024-01-01 12:00:00.1234567",
                           "2024-01-01 12:00:00.1234567Z",
                           "Mon, 01 Jan 2024 12:00:00 GMT",
                           "1704110400",
                           "20240101120000",
                           "now",
                           "infinity",
                           "0000-00-00 00:00:00",
                           "01/01/2024 12:00:00"}) {
    EXPECT_FALSE(written(text)) << text;
    EXPECT_FALSE(timestamp(text)) << text;
    EXPECT_FALSE(timestamptz(text)) << text;
  }
}

TEST(ParseTimestamp, LeavesTheResultAloneWhenItRefuses) {
  std::int64_t microseconds = 42;
  EXPECT_FALSE(parse_timestamp("2024-01-01 12:00:61", microseconds));
  EXPECT_FALSE(parse_timestamptz("2024-01-01 12:00:00 +02:00x", microseconds));
  EXPECT_FALSE(parse_time("12:00:00.1234567", microseconds));
  EXPECT_EQ(microseconds, 42);
  std::int32_t days = 42;
  EXPECT_FALSE(parse_date("2024-01-01x", days));
  EXPECT_EQ(days, 42);
}

// The grammar of the header once more: every shape a text may have, with 0 for any digit, written out one
// by one. Knows the years -4712 to 294276 and up to twelve digits after the point.
class ReferenceReader {
 public:
  ReferenceReader() {
    Calendar calendar{kFirstYear, 1, 1};
    std::int64_t days = 0;
    for (std::int64_t year = kFirstYear; year < kEndYear; ++year) {
      first_day_.push_back(days);
      calendar.year = year;
      for (calendar.month = 1; calendar.month <= 12; ++calendar.month) days += calendar.month_length();
    }
    const std::int64_t epoch = first_day_[2000 - kFirstYear];
    for (std::int64_t& first : first_day_) first -= epoch;

    std::vector<std::string> years = {"0000"};
    for (const std::string year : {"0000", "00000", "000000", "0000000"}) {
      years.push_back('+' + year);
      years.push_back('-' + year);
    }
    std::vector<std::string> times = {"00:00", "00:00:00"};
    for (std::size_t digits = 1; digits <= 12; ++digits)
      times.push_back("00:00:00." + std::string(digits, '0'));
    std::vector<std::string> zones = {"", "Z", "z", " Z", " z", " +0000 UTC"};
    for (const char* sign : {"+", "-", " +", " -"}) {
      for (const char* offset : {"00", "0000", "00:00"}) zones.push_back(std::string(sign) + offset);
    }
    for (const std::string& year : years) {
      shapes_[year + "-00-00"] = {year.size(), 0};
      for (const std::string& time : times) {
        for (const std::string& zone : zones) {
          shapes_[year + "-00-00 " + time + zone] = {year.size(), time.size()};
          shapes_[year + "-00-00T" + time + zone] = {year.size(), time.size()};
        }
      }
    }
  }

  [[nodiscard]] std::optional<WrittenTimestamp> read(const std::string& text) const {
    std::string shape = text;
    for (char& letter : shape) {
      if (letter >= '1' && letter <= '9') letter = '0';
    }
    const auto found = shapes_.find(shape);
    if (found == shapes_.end()) return std::nullopt;
    const std::size_t date_size = found->second.year_size + 6;
    const std::string date = text.substr(0, date_size);
    const std::string time =
        date_size < text.size() ? text.substr(date_size + 1, found->second.time_size) : "";
    const std::string zone = text.substr(std::min(text.size(), date_size + 1 + time.size()));

    WrittenTimestamp result;
    const int day = std::stoi(date.substr(date_size - 2));
    Calendar calendar{std::stoll(date), std::stoi(date.substr(date_size - 5)), 1};
    if (calendar.year == 0 && date[0] == '-') return std::nullopt;
    if (calendar.month < 1 || calendar.month > 12 || day < 1 || day > calendar.month_length())
      return std::nullopt;
    if (calendar.year < kFirstYear || calendar.year >= kEndYear) return std::nullopt;
    std::int64_t days = first_day_[static_cast<std::size_t>(calendar.year - kFirstYear)] + day - 1;
    while (--calendar.month > 0) days += calendar.month_length();
    result.microseconds = days * kDay;
    if (!time.empty()) {
      const int hour = std::stoi(time);
      const int minute = std::stoi(time.substr(3));
      const int second = time.size() > 5 ? std::stoi(time.substr(6)) : 0;
      if (hour > 23 || minute > 59 || second > 59) return std::nullopt;
      result.microseconds += hour * kHour + (minute * 60 + second) * kSecond;
    }
    if (time.size() > 8) {
      const std::string fraction = time.substr(9) + "000000";
      if (fraction.find_first_not_of('0', 6) != std::string::npos) return std::nullopt;
      result.microseconds += std::stoll(fraction.substr(0, 6));
    }
    result.zoned = !zone.empty();
    const std::size_t sign = zone.find_first_of("+-");
    if (sign != std::string::npos) {
      const int hour = std::stoi(zone.substr(sign + 1, 2));
      const bool minutes = zone.size() > sign + 3;
      const int minute = minutes ? std::stoi(zone.substr(zone.find_first_not_of(':', sign + 3), 2)) : 0;
      if (hour > 15 || minute > 59) return std::nullopt;
      if (zone.ends_with("UTC") && zone != " +0000 UTC") return std::nullopt;
      result.offset_seconds = (zone[sign] == '-' ? -60 : 60) * (hour * 60 + minute);
    }
    return result;
  }

 private:
  static constexpr std::int64_t kFirstYear = -4712;
  static constexpr std::int64_t kEndYear = 294'277;
  struct Shape {
    std::size_t year_size;
    std::size_t time_size;
  };
  std::vector<std::int64_t> first_day_;
  std::map<std::string, Shape> shapes_;
};

void expect_as_reference(const ReferenceReader& reference, const std::string& text) {
  const auto expected = reference.read(text);
  const auto actual = written(text);
  ASSERT_EQ(actual.has_value(), expected.has_value()) << ::testing::PrintToString(text);
  if (!expected) return;
  ASSERT_EQ(actual->microseconds, expected->microseconds) << text;
  ASSERT_EQ(actual->zoned, expected->zoned) << text;
  ASSERT_EQ(actual->offset_seconds, expected->offset_seconds) << text;
}

TEST(ParseTimestamp, AgreesWithASlowReaderWhenAnyByteIsChangedDroppedOrDoubled) {
  const ReferenceReader reference;
  for (const std::string text : {"2024-02-29 12:34:56", "2023-12-31T23:59:59.250Z", "1999-01-31 00:00+05:45",
                                 "+10000-10-10T10:10:10-0930", "2024-06-30 12:00:00.123456000 +0000 UTC"}) {
    for (std::size_t at = 0; at < text.size(); ++at) {
      for (unsigned byte = 0; byte < 256; ++byte) {
        std::string changed = text;
        changed[at] = static_cast<char>(byte);
        expect_as_reference(reference, changed);
      }
      expect_as_reference(reference, text.substr(0, at));
      expect_as_reference(reference, text.substr(at));
      expect_as_reference(reference, text.substr(0, at) + text.substr(at + 1));
      expect_as_reference(reference, text.substr(0, at) + text[at] + text.substr(at));
    }
  }
}

TEST(ParseTimestamp, AgreesWithASlowReaderOnRandomPieces) {
  auto random = seeded_random();
  const ReferenceReader reference;
  const auto below = [&random](std::uint64_t bound) { return static_cast<std::int64_t>(random() % bound); };
  const auto pick = [&](const std::vector<std::string>& choices) {
    return choices[static_cast<std::size_t>(below(choices.size()))];
  };
  for (int round = 0; round < 20000; ++round) {
    std::string text = below(4) != 0 ? padded(below(10'000), 4) : year_text(below(24'000) - 4690);
    text += '-' + padded(below(13), 2) + '-' + padded(below(32), 2);
    text += pick({" ", " ", "T", "T", "t", ""});
    text += padded(below(25), 2) + ':' + padded(below(61), 2);
    if (below(4) != 0) text += ':' + padded(below(61), 2);
    if (below(2) != 0) text += '.' + padded(below(1'000'000), static_cast<std::size_t>(below(8)));
    if (below(4) == 0) text += std::string(static_cast<std::size_t>(below(5)), '0');
    text += pick({"", "", "", " ", "Z", " Z", "z", "+01", "-02:30", " +0430", "+14:00", " -15:59", "+16:00",
                  "+1:00", " +0000 UTC", "UTC"});
    expect_as_reference(reference, text);
  }
}

// Near misses of the usual form, each letter changed now and then: what it takes, the parser takes; and of
// whole seconds and microseconds in four-digit years it leaves nothing out.
TEST(IsUsualTimestamp, NeverTakesWhatTheParserRefuses) {
  auto random = seeded_random();
  const auto below = [&](std::uint64_t end) { return random() % end; };
  const auto pair = [&](std::uint64_t end) {
    const std::uint64_t value = below(end);
    return std::string{static_cast<char>('0' + value / 10), static_cast<char>('0' + value % 10)};
  };
  int usual = 0;
  for (int round = 0; round < 200'000; ++round) {
    std::string text = pair(100) + pair(100) + '-' + pair(14) + '-' + pair(33) + (below(2) == 0 ? ' ' : 'T') +
                       pair(25) + ':' + pair(61) + ':' + pair(61);
    const std::size_t digits = std::array{0, 0, 6, 6, 3, 1, 7}[below(7)];
    if (digits > 0) text += '.';
    for (std::size_t i = 0; i < digits; ++i) text += static_cast<char>('0' + below(10));
    const bool changed = below(4) == 0;
    if (changed) text[below(text.size())] = static_cast<char>(below(256));
    if (below(20) == 0) text += "Z";
    std::int64_t microseconds = 0;
    const bool parsed = parse_timestamp(text, microseconds);
    if (is_usual_timestamp(text)) {
      ASSERT_TRUE(parsed) << text;
      ++usual;
    } else if (!changed && digits < 7) {
      ASSERT_FALSE(parsed) << text;
    }
  }
  EXPECT_GT(usual, 10'000);
}

}  // namespace
}  // namespace sluice
