// Every conversion value by value; tests/pg/conversion_test.cc asks a server what the bytes mean.

#include "engine/model/conversion.h"

#include <gtest/gtest.h>

#include <array>
#include <bit>
#include <charconv>
#include <cstdio>
#include <limits>
#include <random>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "io/wire/column_encoder.h"
#include "io/wire/conversion.h"
#include "io/wire/datetime.h"
#include "io/wire/numeric.h"
#include "io/wire/row_encoder.h"
#include "io/wire/utf8.h"
#include "support/seed.h"

namespace sluice {
namespace {

using namespace std::string_view_literals;

struct Outcome {
  Misfit misfit = Misfit::none;
  bool null = false;
  std::string bytes;
};

ColumnPlan column_of(PgType type, Conversion conversion = {}, TypeModifier modifier = {}) {
  ColumnPlan column;
  column.type = type;
  column.conversion = std::move(conversion);
  column.modifier = modifier;
  return column;
}

Outcome encode(const ColumnPlan& column, const Cell& cell) {
  EXPECT_EQ(why_not(column.conversion, column.type), "");
  ColumnEncoder encoder(column);
  Buffer out;
  out.append("before");
  Outcome outcome;
  outcome.misfit = encoder.encode(cell, out);
  if (outcome.misfit != Misfit::none) return outcome;
  Buffer tuple;
  tuple.put_int16(1);
  tuple.append(out.span().subspan(6));
  TupleFields fields(tuple.span());
  const TupleFields::Field field = fields.next();
  EXPECT_EQ(field.with_length.size() + 2, tuple.size());
  outcome.null = field.null;
  outcome.bytes.assign(reinterpret_cast<const char*>(field.value.data()), field.value.size());
  return outcome;
}

std::string shown(const ColumnPlan& column, const Cell& cell) {
  const Outcome outcome = encode(column, cell);
  if (outcome.misfit != Misfit::none) return "!" + std::string(name_of(outcome.misfit));
  return outcome.null ? "NULL" : outcome.bytes;
}

Cell blob(std::string_view bytes) { return Cell::of_blob(std::as_bytes(std::span(bytes))); }

// The bytes that the ISO text has without any conversion.
std::string iso(PgType type, std::string_view text) {
  const std::string bytes = shown(column_of(type), Cell::of_text(text));
  EXPECT_NE(bytes.front(), '!') << text;
  return bytes;
}

std::string big_endian(std::int64_t value) {
  Buffer out;
  out.put_int64(value);
  return std::string(out.view());
}

// ---- epochs ----

Conversion epoch(EpochUnit unit, bool truncate = false) {
  Conversion conversion;
  conversion.epoch = unit;
  conversion.truncate_fraction = truncate;
  return conversion;
}

struct EpochCase {
  EpochUnit unit;
  Cell cell;
  std::string_view moment;  // naive ISO, or ! and the reason
};

TEST(Epoch, CountsFromWhereItsUnitSays) {
  using enum EpochUnit;
  const std::vector<EpochCase> cases = {
      {seconds, Cell::of_integer(0), "1970-01-01 00:00:00"},
      {seconds, Cell::of_integer(-1), "1969-12-31 23:59:59"},
      {seconds, Cell::of_integer(1709212455), "2024-02-29 13:14:15"},
      {seconds, Cell::of_text("1709212455"), "2024-02-29 13:14:15"},
      {seconds, Cell::of_text("1.709212455e9"), "2024-02-29 13:14:15"},
      {seconds, Cell::of_real(1709212455.5), "2024-02-29 13:14:15.5"},
      {seconds, Cell::of_real(1709212455.123457), "2024-02-29 13:14:15.123457"},
      {seconds, Cell::of_text("1709212455.123456"), "2024-02-29 13:14:15.123456"},
      {seconds, Cell::of_text("1709212455.1234560"), "2024-02-29 13:14:15.123456"},
      {seconds, Cell::of_text("1709212455.1234567"), "!not_exact"},
      {seconds, Cell::of_integer(-210866803200), "-4713-11-24 00:00:00"},
      {seconds, Cell::of_integer(-210866803201), "!out_of_range"},
      {seconds, Cell::of_integer(9224318015999), "+294276-12-31 23:59:59"},
      {seconds, Cell::of_integer(9224318016000), "!out_of_range"},
      {seconds, Cell::of_integer(INT64_MAX), "!out_of_range"},
      {seconds, Cell::of_integer(INT64_MIN), "!out_of_range"},
      {seconds, Cell::of_real(1e300), "!out_of_range"},
      {seconds, Cell::of_real(5e-324), "!not_exact"},
      {seconds, Cell::of_real(std::numeric_limits<double>::infinity()), "!out_of_range"},
      {seconds, Cell::of_text("1e9999999999"), "!out_of_range"},
      {seconds, Cell::of_text("0e9999999999"), "1970-01-01 00:00:00"},
      {seconds, Cell::of_text("2024-02-29 13:14:15"), "2024-02-29 13:14:15"},
      {seconds, Cell::of_text("2024-02-29T13:14:15Z"), "!zone_not_expected"},
      {seconds, Cell::of_text("soon"), "!not_a_timestamp"},
      {seconds, Cell::of_text(""), "!not_a_timestamp"},
      {seconds, blob("1709212455"), "!storage_class"},
      {milliseconds, Cell::of_integer(1709212455123), "2024-02-29 13:14:15.123"},
      {milliseconds, Cell::of_integer(-1), "1969-12-31 23:59:59.999"},
      {milliseconds, Cell::of_real(0.5), "1970-01-01 00:00:00.0005"},
      {milliseconds, Cell::of_integer(INT64_MAX), "!out_of_range"},
      {microseconds, Cell::of_integer(1709212455123456), "2024-02-29 13:14:15.123456"},
      {microseconds, Cell::of_real(0.5), "!not_exact"},
      {microseconds, Cell::of_integer(INT64_MIN), "!out_of_range"},
      {nanoseconds, Cell::of_integer(1709212455123456000), "2024-02-29 13:14:15.123456"},
      {nanoseconds, Cell::of_integer(1709212455123456789), "!not_exact"},
      {nanoseconds, Cell::of_integer(-1000), "1969-12-31 23:59:59.999999"},
      {apple_seconds, Cell::of_integer(0), "2001-01-01 00:00:00"},
      {apple_seconds, Cell::of_real(730905255.25), "2024-02-29 13:14:15.25"},
      {webkit_microseconds, Cell::of_integer(0), "1601-01-01 00:00:00"},
      {webkit_microseconds, Cell::of_integer(13353686055123456), "2024-02-29 13:14:15.123456"},
      {filetime, Cell::of_integer(133536860551234560), "2024-02-29 13:14:15.123456"},
      {filetime, Cell::of_integer(133536860551234567), "!not_exact"},
      {dotnet_ticks, Cell::of_integer(0), "0001-01-01 00:00:00"},
      {dotnet_ticks, Cell::of_integer(638448092551234560), "2024-02-29 13:14:15.123456"},
      {dotnet_ticks, Cell::of_integer(INT64_MAX), "!not_exact"},
      {julian_days, Cell::of_real(2440587.5), "1970-01-01 00:00:00"},
      {julian_days, Cell::of_integer(0), "-4713-11-24 12:00:00"},
      {julian_days, Cell::of_real(2460370.05156250), "2024-02-29 13:14:15"},
      {julian_days, Cell::of_text("2460370.05156250"), "2024-02-29 13:14:15"},
      {julian_days, Cell::of_real(-0.5), "!out_of_range"},
      {julian_days, Cell::of_real(5373484.5), "!out_of_range"},
      {excel_days, Cell::of_integer(61), "1900-03-01 00:00:00"},
      {excel_days, Cell::of_integer(60), "!out_of_range"},
      {excel_days, Cell::of_real(45351.5515625), "2024-02-29 13:14:15"},
      {excel_days, Cell::of_real(45292.520833333336), "2024-01-01 12:30:00"},
      {excel_days, Cell::of_integer(2958466), "!out_of_range"},
  };
  for (const EpochCase& test : cases) {
    const bool refused = test.moment.starts_with("!");
    const ColumnPlan column = column_of(PgType::timestamp, epoch(test.unit));
    const std::string expected = refused ? std::string(test.moment) : iso(PgType::timestamp, test.moment);
    EXPECT_EQ(shown(column, test.cell), expected) << describe(column.conversion) << " " << test.moment;
    if (refused || test.cell.storage() == StorageClass::text) continue;
    const ColumnPlan zoned = column_of(PgType::timestamptz, epoch(test.unit));
    EXPECT_EQ(shown(zoned, test.cell), expected) << "with time zone " << test.moment;
  }
}

TEST(Epoch, TruncationGoesBackToTheMicrosecondBefore) {
  const auto moment = [](EpochUnit unit, const Cell& cell) {
    return shown(column_of(PgType::timestamp, epoch(unit, true)), cell);
  };
  EXPECT_EQ(moment(EpochUnit::nanoseconds, Cell::of_integer(1999)),
            iso(PgType::timestamp, "1970-01-01 00:00:00.000001"));
  EXPECT_EQ(moment(EpochUnit::nanoseconds, Cell::of_integer(-1)),
            iso(PgType::timestamp, "1969-12-31 23:59:59.999999"));
  EXPECT_EQ(moment(EpochUnit::nanoseconds, Cell::of_integer(-1000)),
            iso(PgType::timestamp, "1969-12-31 23:59:59.999999"));
  EXPECT_EQ(moment(EpochUnit::seconds, Cell::of_real(-1e-9)),
            iso(PgType::timestamp, "1969-12-31 23:59:59.999999"));
  EXPECT_EQ(moment(EpochUnit::seconds, Cell::of_text("0.00000199999999999999999999999999999999999999999999")),
            iso(PgType::timestamp, "1970-01-01 00:00:00.000001"));
  EXPECT_EQ(moment(EpochUnit::seconds, Cell::of_text("2024-02-29 13:14:15.1234567")),
            iso(PgType::timestamp, "2024-02-29 13:14:15.123456"));
}

TEST(Epoch, IsADateOnlyWhenItIsAWholeDay) {
  const auto date = [](EpochUnit unit, const Cell& cell) {
    return shown(column_of(PgType::date, epoch(unit)), cell);
  };
  EXPECT_EQ(date(EpochUnit::seconds, Cell::of_integer(1709164800)), iso(PgType::date, "2024-02-29"));
  EXPECT_EQ(date(EpochUnit::seconds, Cell::of_integer(1709164801)), "!not_exact");
  EXPECT_EQ(date(EpochUnit::seconds, Cell::of_integer(-86400)), iso(PgType::date, "1969-12-31"));
  EXPECT_EQ(date(EpochUnit::julian_days, Cell::of_real(2460369.5)), iso(PgType::date, "2024-02-29"));
  EXPECT_EQ(date(EpochUnit::excel_days, Cell::of_integer(45351)), iso(PgType::date, "2024-02-29"));
  // Beyond the timestamps there are still dates.
  EXPECT_EQ(date(EpochUnit::seconds, Cell::of_integer(185331706992000)),
            iso(PgType::date, "+5874897-12-31"));
  EXPECT_EQ(date(EpochUnit::seconds, Cell::of_integer(185331707078400)), "!out_of_range");
  EXPECT_EQ(date(EpochUnit::seconds, Cell::of_text("2024-02-29")), iso(PgType::date, "2024-02-29"));
}

// A slow reference: the same arithmetic on 64 bits, where it cannot overflow.
TEST(Epoch, RandomMillisecondsAgreeWithPlainArithmetic) {
  std::mt19937_64 random(testing::test_seed());
  const ColumnPlan column = column_of(PgType::timestamp, epoch(EpochUnit::milliseconds));
  for (int i = 0; i < 2000; ++i) {
    const auto value = static_cast<std::int64_t>(random() % 20'000'000'000'000) - 10'000'000'000'000;
    EXPECT_EQ(shown(column, Cell::of_integer(value)), big_endian(value * 1000 - 946'684'800'000'000))
        << value;
  }
}

// ---- zones, formats, zero dates ----

TEST(NaiveAsUtc, ReadsAMissingZoneAsUtcAndKeepsOthers) {
  Conversion conversion;
  conversion.naive_as_utc = true;
  const ColumnPlan column = column_of(PgType::timestamptz, conversion);
  const std::string expected = iso(PgType::timestamptz, "2024-02-29T13:14:15Z");
  EXPECT_EQ(shown(column, Cell::of_text("2024-02-29 13:14:15")), expected);
  EXPECT_EQ(shown(column, Cell::of_text("2024-02-29 14:14:15+01")), expected);
  EXPECT_EQ(shown(column, Cell::of_text("2024-02-29")), iso(PgType::timestamptz, "2024-02-29 00:00Z"));
  EXPECT_EQ(shown(column, Cell::of_text("2024-02-30")), "!not_a_timestamp");
  EXPECT_EQ(shown(column, Cell::of_integer(5)), "!storage_class");
}

struct FormatCase {
  std::string_view format;
  PgType type;
  Cell cell;
  std::string_view expected;
};

TEST(DateFormat, TakesOnlyWhatItDescribes) {
  using enum PgType;
  const auto written = [](std::string_view t) { return Cell::of_text(t); };
  const std::vector<FormatCase> cases = {
      {"%d/%m/%Y", date, written("29/02/2024"), "2024-02-29"},
      {"%d/%m/%Y", date, written("1/2/2024"), "2024-02-01"},
      {"%d/%m/%Y", date, written("29/02/2023"), "!not_a_date"},
      {"%d/%m/%Y", date, written("29/02/24"), "!not_a_date"},
      {"%d/%m/%Y", date, written("29/02/2024 "), "!not_a_date"},
      {"%d/%m/%Y", date, written("2024-02-29"), "!not_a_date"},
      {"%m/%d/%y", date, written("02/29/24"), "2024-02-29"},
      {"%m/%d/%y", date, written("01/01/69"), "1969-01-01"},
      {"%m/%d/%y", date, written("01/01/68"), "2068-01-01"},
      {"%Y%m%d", date, written("20240131"), "2024-01-31"},
      {"%Y%m%d", date, Cell::of_integer(20240131), "2024-01-31"},
      {"%Y%m%d", date, Cell::of_integer(2024131), "!not_a_date"},
      {"%Y%m%d", date, Cell::of_integer(-20240131), "!not_a_date"},
      {"%Y%m%d", date, Cell::of_real(20240131), "!storage_class"},
      {"%Y%m%d%H%M%S", timestamp, written("20180210230001"), "2018-02-10 23:00:01"},
      {"%Y%m%d%H%M%S", timestamp, Cell::of_integer(20180210230001), "2018-02-10 23:00:01"},
      {"%Y%m%d%H%M%S", date, written("20180210000000"), "2018-02-10"},
      {"%Y%m%d%H%M%S", date, written("20180210230001"), "!not_exact"},
      {"%a, %d %b %Y %H:%M:%S %z", timestamptz, written("Thu, 29 Feb 2024 13:14:15 +0100"),
       "2024-02-29 12:14:15Z"},
      {"%a, %d %b %Y %H:%M:%S %z", timestamptz, written("Fri, 29 Feb 2024 13:14:15 +0100"),
       "!not_a_timestamp"},
      {"%a, %d %b %Y %H:%M:%S %z", timestamptz, written("Thu, 29 Feb 2024 13:14:15 GMT"), "!not_a_timestamp"},
      {"%A %d %B %Y", date, written("saturday 01 JANUARY 2000"), "2000-01-01"},
      {"%A %d %B %Y", date, written("Friday 31 December 1999"), "1999-12-31"},
      {"%B %d, %Y", date, written("Feb 29, 2024"), "!not_a_date"},
      {"%d.%m.%Y %H:%M:%S.%f", timestamp, written("29.02.2024 13:14:15.5"), "2024-02-29 13:14:15.5"},
      {"%d.%m.%Y %H:%M:%S.%f", timestamp, written("29.02.2024 13:14:15.1234567"), "!not_a_timestamp"},
      {"%d.%m.%Y %H:%M", timestamp, written("29.02.2024 24:00"), "!not_a_timestamp"},
      {"%Y-%m-%d %I:%M %p", timestamp, written("2024-02-29 12:30 AM"), "2024-02-29 00:30"},
      {"%Y-%m-%d %I:%M %p", timestamp, written("2024-02-29 12:30 pm"), "2024-02-29 12:30"},
      {"%Y-%m-%d %I:%M %p", timestamp, written("2024-02-29 1:30 PM"), "2024-02-29 13:30"},
      {"%Y-%m-%d %I:%M %p", timestamp, written("2024-02-29 13:30 PM"), "!not_a_timestamp"},
      {"%H.%M", time, written("13.05"), "13:05"},
      {"%H.%M", time, written("25.05"), "!not_a_time"},
      {"%d%%%m%%%Y", date, written("29%02%2024"), "2024-02-29"},
  };
  for (const FormatCase& test : cases) {
    Conversion conversion;
    conversion.date_format = test.format;
    const bool refused = test.expected.starts_with("!");
    EXPECT_EQ(shown(column_of(test.type, conversion), test.cell),
              refused ? std::string(test.expected) : iso(test.type, test.expected))
        << test.format << " " << test.expected;
  }
}

TEST(DateFormat, GoesTogetherWithEpochsAndTruncation) {
  Conversion conversion = epoch(EpochUnit::seconds, true);
  conversion.date_format = "%d.%m.%Y %H:%M:%S.%f";
  const ColumnPlan column = column_of(PgType::timestamp, conversion);
  EXPECT_EQ(shown(column, Cell::of_integer(0)), iso(PgType::timestamp, "1970-01-01"));
  EXPECT_EQ(shown(column, Cell::of_text("0")), "!not_a_timestamp") << "text is what the format says";
  EXPECT_EQ(shown(column, Cell::of_text("29.02.2024 13:14:15.1234567")),
            iso(PgType::timestamp, "2024-02-29 13:14:15.123456"));
}

TEST(ZeroDate, BecomesNullAndNothingElseDoes) {
  Conversion conversion;
  conversion.zero_date_as_null = true;
  const ColumnPlan column = column_of(PgType::timestamp, conversion);
  for (const std::string_view text : {"0000-00-00", "0000-00-00 00:00:00", "0000-00-00T00:00",
                                      "0000-00-00 00:00:00.000", "0000-00-00T00:00:00Z"}) {
    EXPECT_EQ(shown(column, Cell::of_text(text)), "NULL") << text;
  }
  EXPECT_EQ(shown(column, Cell::of_integer(0)), "NULL");
  EXPECT_EQ(shown(column, Cell::of_real(-0.0)), "NULL");
  for (const std::string_view text :
       {"0000-00-00 00:00:01", "0000-00-01", "0000-00-00 ", "0000-00-00 00:00:00.", "", "0"}) {
    EXPECT_EQ(shown(column, Cell::of_text(text)), "!not_a_timestamp") << text;
  }
  EXPECT_EQ(shown(column, Cell::of_integer(1)), "!storage_class");
  EXPECT_EQ(shown(column, Cell::of_text("2024-02-29")), iso(PgType::timestamp, "2024-02-29"));
}

TEST(EmptyAsNull, HoldsForEveryType) {
  Conversion conversion;
  conversion.empty_as_null = true;
  for (const PgTypeName& type : kPgTypeNames) {
    EXPECT_EQ(shown(column_of(type.type, conversion), Cell::of_text("")), "NULL") << type.sql;
  }
  EXPECT_EQ(shown(column_of(PgType::text, conversion), Cell::of_text(" ")), " ");
  EXPECT_EQ(shown(column_of(PgType::bytea, conversion), blob("")), "") << "a BLOB is no TEXT";
}

TEST(Conversions, ThatEndInNullAreHeldAgainstNotNull) {
  Conversion conversion;
  conversion.empty_as_null = true;
  conversion.zero_date_as_null = true;
  ColumnPlan column = column_of(PgType::date, conversion);
  column.not_null = true;
  EXPECT_EQ(shown(column, Cell::of_text("")), "!null_not_allowed");
  EXPECT_EQ(shown(column, Cell::of_text("0000-00-00")), "!null_not_allowed");
  EXPECT_EQ(shown(column, Cell()), "!null_not_allowed");
  EXPECT_EQ(shown(column, Cell::of_text("2024-02-29")), iso(PgType::date, "2024-02-29"));
}

// ---- text ----

TEST(Encoding, DecodesOnlyWhatIsNotUtf8) {
  Conversion conversion;
  conversion.encoding = TextEncoding::cp1252;
  const ColumnPlan column = column_of(PgType::text, conversion);
  EXPECT_EQ(shown(column, Cell::of_text("caf\xe9 \x80 \x93quoted\x94")), "café € “quoted”");
  EXPECT_EQ(shown(column, Cell::of_text("café €")), "café €") << "already UTF-8";
  for (const char byte : {'\x81', '\x8d', '\x8f', '\x90', '\x9d'}) {
    EXPECT_EQ(shown(column, Cell::of_text(std::string("\xe9") + byte)), "!invalid_utf8");
  }
  EXPECT_EQ(shown(column, Cell::of_text("\xe9\0"sv)), "!nul_character");
  conversion.encoding = TextEncoding::latin1;
  EXPECT_EQ(shown(column_of(PgType::text, conversion), Cell::of_text("caf\xe9 \x80")), "café \xc2\x80");
  EXPECT_EQ(shown(column_of(PgType::jsonb, conversion), Cell::of_text("\"caf\xe9\"")), "\1\"café\"");
}

TEST(Encoding, JoinsSurrogatesThatWereEncodedOneByOne) {
  Conversion conversion;
  conversion.encoding = TextEncoding::cesu8;
  const ColumnPlan column = column_of(PgType::text, conversion);
  EXPECT_EQ(shown(column, Cell::of_text("a\xed\xa0\xbd\xed\xb8\x80z")), "a😀z");
  EXPECT_EQ(shown(column, Cell::of_text("\xed\xa0\x80\xed\xb0\x80")), "\xf0\x90\x80\x80");
  EXPECT_EQ(shown(column, Cell::of_text("\xed\xaf\xbf\xed\xbf\xbf")), "\xf4\x8f\xbf\xbf");
  for (const std::string_view lone : {"\xed\xa0\xbd", "\xed\xb8\x80", "\xed\xb8\x80\xed\xa0\xbd",
                                      "\xed\xa0\xbd\xed\xb8", "\xed\xa0\xbd x"}) {
    EXPECT_EQ(shown(column, Cell::of_text(lone)), "!invalid_utf8");
  }
  conversion.bad_text = BadText::replace;
  EXPECT_EQ(shown(column_of(PgType::text, conversion), Cell::of_text("\xed\xa0\xbd\xed\xa0\xbd\xed\xb8\x80")),
            "\uFFFD\uFFFD\uFFFD😀");
}

TEST(BadTextConversion, ReplacesMaximalSubpartsAsUnicodeShowsIt) {
  Conversion replace;
  replace.bad_text = BadText::replace;
  Conversion strip;
  strip.bad_text = BadText::strip;
  const auto both = [&](std::string_view text) {
    return shown(column_of(PgType::text, replace), Cell::of_text(text)) + "|" +
           shown(column_of(PgType::text, strip), Cell::of_text(text));
  };
  // Tables 3-8 to 3-11 of the Unicode Standard, chapter 3.9.
  const std::string r = "\uFFFD";
  EXPECT_EQ(both("\xc0\xaf\xe0\x80\xbf\xf0\x81\x82\x41"), r + r + r + r + r + r + r + r + "A|A");
  EXPECT_EQ(both("\xed\xa0\x80\xed\xbf\xbf\xed\xaf\x41"), r + r + r + r + r + r + r + r + "A|A");
  EXPECT_EQ(both("\xf4\x91\x92\x93\xff\x41\x80\xbf\x42"), r + r + r + r + r + "A" + r + r + "B|AB");
  EXPECT_EQ(both("\xe1\x80\xe2\xf0\x91\x92\xf1\xbf\x41"), r + r + r + r + "A|A");
  EXPECT_EQ(both("a\0b"sv), "a" + r + "b|ab");
  EXPECT_EQ(both("tail\xf0\x9f\x98"), "tail" + r + "|tail");
  EXPECT_EQ(both("fine 😀"), "fine 😀|fine 😀");
}

TEST(BadTextConversion, LeavesNothingThatTheServerRefuses) {
  std::mt19937_64 random(testing::test_seed());
  for (int i = 0; i < 20000; ++i) {
    std::string text(random() % 12, '\0');
    constexpr std::string_view kBytes = "A\0\x7f\x80\xbf\xc2\xe0\xed\xa0\xb0\xf0\xf4\x8f\x90\xff\xef"sv;
    for (char& c : text) c = kBytes[random() % kBytes.size()];
    std::string repaired;
    for (const BadText how : {BadText::replace, BadText::strip}) {
      repair_text(text, how, repaired);
      EXPECT_EQ(check_text(repaired), TextCheck::ok);
      if (check_text(text) == TextCheck::ok) {
        EXPECT_EQ(repaired, text);
      }
    }
  }
}

TEST(BlobAsText, IsTextOfTheSameBytes) {
  Conversion conversion;
  conversion.blob_as_text = true;
  EXPECT_EQ(shown(column_of(PgType::text, conversion), blob("caf\xc3\xa9")), "café");
  EXPECT_EQ(shown(column_of(PgType::text, conversion), blob("caf\xe9")), "!invalid_utf8");
  EXPECT_EQ(shown(column_of(PgType::json, conversion), blob("[1]")), "[1]");
  EXPECT_EQ(shown(column_of(PgType::boolean, conversion), blob("true")), "\1");
  EXPECT_EQ(shown(column_of(PgType::date, conversion), blob("2024-02-29")), iso(PgType::date, "2024-02-29"));
  EXPECT_EQ(shown(column_of(PgType::text), blob("x")), "!storage_class");
}

// ---- bytes ----

TEST(Base64Conversion, StrictIsRfc4648AndNothingElse) {
  Conversion conversion;
  conversion.base64 = Base64::strict;
  const ColumnPlan column = column_of(PgType::bytea, conversion);
  EXPECT_EQ(shown(column, Cell::of_text("")), "");
  EXPECT_EQ(shown(column, Cell::of_text("Zg==")), "f");
  EXPECT_EQ(shown(column, Cell::of_text("Zm8=")), "fo");
  EXPECT_EQ(shown(column, Cell::of_text("Zm9v")), "foo");
  EXPECT_EQ(shown(column, Cell::of_text("Zm9vYmFy")), "foobar");
  EXPECT_EQ(shown(column, blob("+/+/")), "\xfb\xff\xbf");
  for (const std::string_view text : {"Zg", "Zg=", "Zg===", "Z", "Z===", "Zh==", "Zm9=", "Zm9v\n", "Zm 9v",
                                      "-_-_", "=", "====", "Zg==Zg==", "data:;base64,Zm9v", "Zm9*"}) {
    EXPECT_EQ(shown(column, Cell::of_text(text)), "!not_base64") << text;
  }
  EXPECT_EQ(shown(column, Cell::of_integer(1234)), "!storage_class");
}

TEST(Base64Conversion, RelaxedTakesWhatTheWildHas) {
  Conversion conversion;
  conversion.base64 = Base64::relaxed;
  const ColumnPlan column = column_of(PgType::bytea, conversion);
  EXPECT_EQ(shown(column, Cell::of_text("Zg")), "f");
  EXPECT_EQ(shown(column, Cell::of_text("Zm9v\r\nYmFy\n")), "foobar");
  EXPECT_EQ(shown(column, Cell::of_text("-_-_")), "\xfb\xff\xbf");
  EXPECT_EQ(shown(column, Cell::of_text("data:image/png;base64,Zm9v")), "foo");
  EXPECT_EQ(shown(column, Cell::of_text("DATA:;BASE64,Zm9v")), "foo");
  for (const std::string_view text :
       {"Z", "Zh", "Zg=", "+_", "data:text/plain,foo", "data:", "Zm9 v", "Zg==x"}) {
    EXPECT_EQ(shown(column, Cell::of_text(text)), "!not_base64") << text;
  }
}

TEST(UuidBytesConversion, ReadsBothOrders) {
  const std::string_view bytes = "\x00\x11\x22\x33\x44\x55\x66\x77\x88\x99\xaa\xbb\xcc\xdd\xee\xff"sv;
  Conversion conversion;
  conversion.uuid_bytes = UuidBytes::big_endian;
  EXPECT_EQ(shown(column_of(PgType::uuid, conversion), blob(bytes)), bytes);
  EXPECT_EQ(shown(column_of(PgType::uuid, conversion), blob(bytes.substr(1))), "!not_a_uuid");
  EXPECT_EQ(shown(column_of(PgType::uuid, conversion), Cell::of_text("00112233-4455-6677-8899-aabbccddeeff")),
            bytes);
  conversion.uuid_bytes = UuidBytes::dotnet;
  EXPECT_EQ(shown(column_of(PgType::uuid, conversion), blob(bytes)),
            "\x33\x22\x11\x00\x55\x44\x77\x66\x88\x99\xaa\xbb\xcc\xdd\xee\xff"sv);
}

// ---- numbers ----

Conversion as_number() {
  Conversion conversion;
  conversion.text_as_number = true;
  return conversion;
}

std::string numeric_shown(std::string_view text, TypeModifier modifier = {}) {
  const Outcome outcome = encode(column_of(PgType::numeric, as_number(), modifier), Cell::of_text(text));
  if (outcome.misfit != Misfit::none) return "!" + std::string(name_of(outcome.misfit));
  return numeric_to_text(std::as_bytes(std::span(outcome.bytes)));
}

TEST(TextAsNumber, IsExactForNumeric) {
  EXPECT_EQ(numeric_shown("42"), "42");
  EXPECT_EQ(numeric_shown("+007.50"), "7.50");
  EXPECT_EQ(numeric_shown("-1.5e3"), "-1500");
  EXPECT_EQ(numeric_shown("1.5E-3"), "0.0015");
  EXPECT_EQ(numeric_shown(".5"), "0.5");
  EXPECT_EQ(numeric_shown("5."), "5");
  EXPECT_EQ(numeric_shown("-0.00"), "0.00");
  EXPECT_EQ(numeric_shown("123456789012345678901234567890.12345678901234567890"),
            "123456789012345678901234567890.12345678901234567890");
  EXPECT_EQ(numeric_shown("NaN"), "NaN");
  EXPECT_EQ(numeric_shown("-Infinity"), "-Infinity");
  EXPECT_EQ(numeric_shown("1e131071").size(), 131072u);
  EXPECT_EQ(numeric_shown("1e131072"), "!out_of_range");
  EXPECT_EQ(numeric_shown("1e-16383").size(), 16385u);
  EXPECT_EQ(numeric_shown("1e-16384"), "!out_of_range");
  for (const std::string_view text : {"", " 1", "1 ", "1,5", "0x1F", "1_000", "e5", "1e", "1e+", ".", "-",
                                      "--1", "1.2.3", "nan", "inf", "infinity", "٣"}) {
    EXPECT_EQ(numeric_shown(text), "!not_a_number") << text;
  }
}

TEST(TextAsNumber, IsExactForIntegers) {
  const auto integer = [](PgType type, std::string_view text) {
    return shown(column_of(type, as_number()), Cell::of_text(text));
  };
  EXPECT_EQ(integer(PgType::int8, "9223372036854775807"), big_endian(INT64_MAX));
  EXPECT_EQ(integer(PgType::int8, "-9223372036854775808"), big_endian(INT64_MIN));
  EXPECT_EQ(integer(PgType::int8, "9223372036854775808"), "!out_of_range");
  EXPECT_EQ(integer(PgType::int8, "1e19"), "!out_of_range");
  EXPECT_EQ(integer(PgType::int8, "1e9999999999"), "!out_of_range");
  EXPECT_EQ(integer(PgType::int8, "1.5e1"), big_endian(15));
  EXPECT_EQ(integer(PgType::int8, "1500e-2"), big_endian(15));
  EXPECT_EQ(integer(PgType::int8, "-0.0"), big_endian(0));
  EXPECT_EQ(integer(PgType::int8, "1.5"), "!not_exact");
  EXPECT_EQ(integer(PgType::int8, "1e-1"), "!not_exact");
  EXPECT_EQ(integer(PgType::int8, "NaN"), "!not_a_number");
  EXPECT_EQ(integer(PgType::int2, "32768"), "!out_of_range");
  EXPECT_EQ(integer(PgType::int2, "-32768"), "\x80\0"sv);
  EXPECT_EQ(shown(column_of(PgType::int8, as_number()), Cell::of_integer(7)), big_endian(7));
}

TEST(TextAsNumber, IsTheNearestDoubleThatGivesTheTextBack) {
  const auto real = [](std::string_view text) {
    return shown(column_of(PgType::float8, as_number()), Cell::of_text(text));
  };
  const auto bits = [](double value) { return big_endian(std::bit_cast<std::int64_t>(value)); };
  EXPECT_EQ(real("0.1"), bits(0.1));
  EXPECT_EQ(real("0.10000000000000001"), bits(0.1));
  EXPECT_EQ(real("0.1000000000000000055511151231257827021181583404541015625"), bits(0.1));
  EXPECT_EQ(real("+1.5e3"), bits(1500));
  EXPECT_EQ(real("-0"), bits(-0.0));
  EXPECT_EQ(real("1e308"), bits(1e308));
  EXPECT_EQ(real("4.9e-324"), bits(5e-324));
  EXPECT_EQ(real("9007199254740993"), "!not_exact");
  EXPECT_EQ(real("0.12345678901234567890"), "!not_exact");
  EXPECT_EQ(real("1e309"), "!out_of_range");
  EXPECT_EQ(real("1e-400"), "!not_exact");
  EXPECT_EQ(real("0e-400"), bits(0));
  EXPECT_EQ(real("Infinity"), bits(std::numeric_limits<double>::infinity()));
  EXPECT_EQ(real("NaN"), "\x7f\xf8\0\0\0\0\0\0"sv);
  EXPECT_EQ(real("abc"), "!not_a_number");
  const ColumnPlan single = column_of(PgType::float4, as_number());
  EXPECT_EQ(shown(single, Cell::of_text("0.1")), "\x3d\xcc\xcc\xcd");
  EXPECT_EQ(shown(single, Cell::of_text("16777217")), "!not_exact");
}

TEST(TextAsNumber, EveryDoubleComesBackFromItsText) {
  std::mt19937_64 random(testing::test_seed());
  const ColumnPlan column = column_of(PgType::float8, as_number());
  for (int i = 0; i < 5000; ++i) {
    const auto value = std::bit_cast<double>(random());
    if (value != value) continue;
    std::array<char, 64> room;
    const auto shortest = std::to_chars(room.data(), room.data() + room.size(), value);
    std::string text(room.data(), shortest.ptr);
    if (text == "inf" || text == "-inf") continue;
    EXPECT_EQ(shown(column, Cell::of_text(text)), big_endian(std::bit_cast<std::int64_t>(value))) << text;
    std::snprintf(room.data(), room.size(), "%.17g", value);
    EXPECT_EQ(shown(column, Cell::of_text(room.data())), big_endian(std::bit_cast<std::int64_t>(value)))
        << room.data();
  }
}

TEST(LossyJsonb, DropsRepeatedKeysAndNothingElse) {
  Conversion conversion;
  conversion.lossy_jsonb = true;
  const ColumnPlan column = column_of(PgType::jsonb, conversion);
  EXPECT_EQ(shown(column, Cell::of_text(R"({"a":1,"a":2})")), "\1{\"a\": 2}");
  EXPECT_EQ(shown(column, Cell::of_text(R"(["\u0000"])")), "!jsonb_would_change");
  EXPECT_EQ(shown(column, Cell::of_text("{")), "!invalid_json");
}

// ---- modifiers ----

TEST(Modifiers, NumericKeepsItsScaleAndRefusesWhatTheServerWouldRound) {
  EXPECT_EQ(numeric_shown("1.5", {10, 2}), "1.50");
  EXPECT_EQ(numeric_shown("1.500", {10, 2}), "1.50");
  EXPECT_EQ(numeric_shown("0", {10, 2}), "0.00");
  EXPECT_EQ(numeric_shown("99999999.99", {10, 2}), "99999999.99");
  EXPECT_EQ(numeric_shown("100000000", {10, 2}), "!out_of_range");
  EXPECT_EQ(numeric_shown("1.505", {10, 2}), "!not_exact");
  EXPECT_EQ(numeric_shown("NaN", {10, 2}), "NaN");
  EXPECT_EQ(numeric_shown("Infinity", {10, 2}), "!out_of_range");
  EXPECT_EQ(numeric_shown("12", {2, 0}), "12");
  EXPECT_EQ(numeric_shown("1e1", {2, 0}), "10");
  EXPECT_EQ(numeric_shown("0.00999", {3, 5}), "0.00999");
  EXPECT_EQ(numeric_shown("0.01", {3, 5}), "!out_of_range");
  EXPECT_EQ(numeric_shown("10000.0001", {9, 4}), "10000.0001");
  EXPECT_EQ(numeric_shown("10000.00010", {9, 4}), "10000.0001");
  EXPECT_EQ(numeric_shown("100000.0001", {9, 4}), "!out_of_range");
  const ColumnPlan column = column_of(PgType::numeric, {}, {10, 2});
  EXPECT_EQ(shown(column, Cell::of_real(0.1 + 0.2)), "!not_exact");
  EXPECT_EQ(encode(column, Cell::of_integer(INT64_MAX)).misfit, Misfit::out_of_range);
}

// Every scale and precision against arithmetic on whole numbers.
TEST(Modifiers, NumericAgreesWithASlowReference) {
  std::mt19937_64 random(testing::test_seed());
  for (int i = 0; i < 20000; ++i) {
    const std::int64_t count =
        static_cast<std::int64_t>(random() % 200'000'000) / (random() % 2 == 0 ? 1 : 1000);
    const int places = static_cast<int>(random() % 9);
    std::string digits = std::to_string(count);
    if (digits.size() <= static_cast<std::size_t>(places))
      digits.insert(0, static_cast<std::size_t>(places) + 1 - digits.size(), '0');
    const std::string text = places == 0
                                 ? digits
                                 : digits.substr(0, digits.size() - static_cast<std::size_t>(places)) + "." +
                                       digits.substr(digits.size() - static_cast<std::size_t>(places));
    const auto precision = static_cast<std::int32_t>(1 + random() % 12);
    const auto scale = static_cast<std::int32_t>(random() % static_cast<std::uint64_t>(precision + 1));
    // count / 10^places as an integer of 10^-12.
    __extension__ using Wide = __int128;
    const auto power = [](int exponent) {
      Wide value = 1;
      while (exponent-- > 0) value *= 10;
      return value;
    };
    const Wide value = Wide{count} * power(12 - places);
    const std::string result = numeric_shown(text, {precision, scale});
    if (value >= power(12 + precision - scale)) {
      EXPECT_EQ(result, "!out_of_range") << text << " " << precision << "," << scale;
    } else if (value % power(12 - scale) != 0) {
      EXPECT_EQ(result, "!not_exact") << text << " " << precision << "," << scale;
    } else {
      const std::size_t point = result.find('.');
      EXPECT_EQ(point == std::string::npos ? 0 : result.size() - point - 1, static_cast<std::size_t>(scale))
          << text;
      EXPECT_EQ(std::stod(result), std::stod(text)) << text;
    }
  }
}

TEST(Modifiers, CountCharactersAndNotBytes) {
  const ColumnPlan varchar = column_of(PgType::varchar, {}, {3});
  EXPECT_EQ(shown(varchar, Cell::of_text("éàü")), "éàü");
  EXPECT_EQ(shown(varchar, Cell::of_text("😀😀😀")), "😀😀😀");
  EXPECT_EQ(shown(varchar, Cell::of_text("abcd")), "!too_long");
  EXPECT_EQ(shown(varchar, Cell::of_text("abc ")), "!too_long") << "the server would cut the blank off";
  EXPECT_EQ(shown(varchar, Cell::of_integer(1234)), "!too_long");
  const ColumnPlan bpchar = column_of(PgType::bpchar, {}, {3});
  EXPECT_EQ(shown(bpchar, Cell::of_text("é")), "é  ");
  EXPECT_EQ(shown(bpchar, Cell::of_text("")), "   ");
  EXPECT_EQ(shown(bpchar, Cell::of_text("abc")), "abc");
  EXPECT_EQ(shown(bpchar, Cell::of_text("ab ")), "!trailing_blanks");
  EXPECT_EQ(shown(bpchar, Cell::of_text("abcd")), "!too_long");
}

TEST(Modifiers, RefuseOrCutDigitsOfASecond) {
  const ColumnPlan column = column_of(PgType::timestamp, {}, {3});
  EXPECT_EQ(shown(column, Cell::of_text("2024-02-29 13:14:15.123")),
            iso(PgType::timestamp, "2024-02-29 13:14:15.123"));
  EXPECT_EQ(shown(column, Cell::of_text("2024-02-29 13:14:15.1234")), "!not_exact");
  Conversion truncate;
  truncate.truncate_fraction = true;
  EXPECT_EQ(shown(column_of(PgType::timestamp, truncate, {3}), Cell::of_text("1969-12-31 23:59:59.99999999")),
            iso(PgType::timestamp, "1969-12-31 23:59:59.999"));
  EXPECT_EQ(shown(column_of(PgType::time, truncate, {0}), Cell::of_text("12:34:56.999")),
            iso(PgType::time, "12:34:56"));
  EXPECT_EQ(shown(column_of(PgType::time, truncate), Cell::of_text("12:34:56.1234567")),
            iso(PgType::time, "12:34:56.123456"));
  EXPECT_EQ(shown(column_of(PgType::interval, truncate), Cell::of_text("25:00:00.1234567")),
            iso(PgType::interval, "25:00:00.123456"));
  EXPECT_EQ(shown(column_of(PgType::timestamptz, {}, {0}), Cell::of_text("2024-02-29 13:14:15.5Z")),
            "!not_exact");
}

TEST(Labels, AreAllThatAnEnumerationTakes) {
  ColumnPlan column = column_of(PgType::text);
  column.type_name = "mood";
  column.labels = {"happy", "sad"};
  EXPECT_EQ(shown(column, Cell::of_text("sad")), "sad");
  EXPECT_EQ(shown(column, Cell::of_text("Sad")), "!not_a_label");
  EXPECT_EQ(shown(column, Cell::of_text("")), "!not_a_label");
  EXPECT_EQ(shown(column, Cell()), "NULL");
}

// ---- rows ----

TEST(RowEncoderWithConversions, EncodesAndRejectsAsForPlainColumns) {
  TablePlan plan;
  plan.columns.push_back(column_of(PgType::int8));
  plan.columns.push_back(column_of(PgType::timestamp, epoch(EpochUnit::seconds)));
  plan.columns.push_back(column_of(PgType::varchar, {}, {2}));
  RowEncoder encoder(plan);
  Buffer out;
  const std::array<Cell, 3> good = {Cell::of_integer(7), Cell::of_integer(946684800), Cell::of_text("ab")};
  ASSERT_TRUE(encoder.encode(good, out));
  const std::string before(out.view());
  EXPECT_EQ(before, "\0\3\0\0\0\10\0\0\0\0\0\0\0\7\0\0\0\10\0\0\0\0\0\0\0\0\0\0\0\2ab"sv);
  const std::array<Cell, 3> bad = {Cell::of_integer(8), Cell::of_integer(946684800), Cell::of_text("abc")};
  EXPECT_FALSE(encoder.encode(bad, out));
  EXPECT_EQ(out.view(), before);
  EXPECT_EQ(encoder.reject().column, 2u);
  EXPECT_EQ(encoder.reject().reason, Misfit::too_long);
  const std::array<Cell, 3> nulls;
  ASSERT_TRUE(encoder.encode(nulls, out));
  EXPECT_EQ(out.view().substr(before.size()), "\0\3\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff"sv);
}

// ---- what applies to what ----

TEST(WhyNot, NamesTheConversionAndTheTypesItIsFor) {
  EXPECT_EQ(
      why_not(epoch(EpochUnit::seconds), PgType::text),
      "epoch does not apply to text, only to date, timestamp without time zone, timestamp with time zone");
  EXPECT_EQ(why_not({}, PgType::text), "");
  Conversion conversion;
  conversion.encoding = TextEncoding::cp1252;
  EXPECT_NE(why_not(conversion, PgType::int8), "");
  EXPECT_EQ(why_not(conversion, PgType::json), "");
  Conversion lossy;
  lossy.lossy_jsonb = true;
  EXPECT_EQ(why_not(lossy, PgType::json), "lossy-jsonb does not apply to json, only to jsonb");
}

TEST(WhyNot, RefusesFormatsThatCannotMeanADate) {
  const auto refused = [](std::string_view format, PgType type, bool utc = false) {
    Conversion conversion;
    conversion.date_format = format;
    conversion.naive_as_utc = utc;
    return why_not(conversion, type);
  };
  EXPECT_EQ(refused("%d/%m/%Y", PgType::date), "");
  EXPECT_EQ(refused("%d/%m/%Y %H:%M", PgType::timestamptz, true), "");
  for (const std::string_view format :
       {"%d/%m", "%Y", "%d/%m/%Y %q", "%d/%m/%Y %", "%d/%m/%Y %d", "%d/%m/%Y%y", "%d/%m/%b/%Y", "no date",
        "%d/%m/%Y %M", "%d/%m/%Y %I:%M", "%d/%m/%Y %H %p", "%d/%m/%Y %H:%S", "%d/%m/%Y %H %z"}) {
    EXPECT_NE(refused(format, PgType::date), "") << format;
  }
  EXPECT_NE(refused("%d/%m/%Y %H:%M", PgType::timestamptz), "") << "no zone";
  EXPECT_NE(refused("%H:%M %z", PgType::time), "");
  EXPECT_NE(refused("%M", PgType::time), "");
}

}  // namespace
}  // namespace sluice
