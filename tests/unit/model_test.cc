#include <gtest/gtest.h>

#include <bit>
#include <cmath>
#include <cstdint>
#include <limits>
#include <random>
#include <string>
#include <vector>

#include "engine/model/catalog.h"
#include "engine/model/cell.h"
#include "engine/model/digest.h"
#include "engine/model/error.h"
#include "engine/model/pg_type.h"
#include "engine/model/quote.h"
#include "engine/model/range.h"
#include "support/seed.h"

namespace sluice {
namespace {

// ---- names as SQL ----

TEST(Quote, IdentifiersAreAlwaysQuotedAndInnerQuotesDoubled) {
  EXPECT_EQ(quote_identifier("name"), R"("name")");
  EXPECT_EQ(quote_identifier("select"), R"("select")");
  EXPECT_EQ(quote_identifier(R"(a"b)"), R"("a""b")");
  EXPECT_EQ(quote_identifier(R"(")"), R"("""")");
  EXPECT_EQ(quote_identifier(R"("")"), R"("""""")");
  EXPECT_EQ(quote_identifier("two\nlines"), "\"two\nlines\"");
  EXPECT_EQ(quote_identifier(R"(x"; DROP TABLE y; --)"), R"("x""; DROP TABLE y; --")");
  EXPECT_EQ(quote_identifier("a'b\\c"), R"("a'b\c")");
  EXPECT_EQ(quote_identifier("Ä 😀"), "\"Ä 😀\"");
  EXPECT_EQ(quote_qualified("a.b", R"(c"d)"), R"("a.b"."c""d")");
}

TEST(Quote, LiteralsDoNotDependOnStandardConformingStrings) {
  EXPECT_EQ(quote_literal(""), "''");
  EXPECT_EQ(quote_literal("it's"), "'it''s'");
  EXPECT_EQ(quote_literal(R"(a\b)"), R"( E'a\\b')");
  EXPECT_EQ(quote_literal(R"(\')"), R"( E'\\''')");
}

TEST(Quote, FoldingTouchesAsciiLettersAlone) {
  EXPECT_EQ(fold_ascii("AbZ_09[`@{"), "abz_09[`@{");
  EXPECT_EQ(fold_ascii("ÄÖÜ"), "ÄÖÜ");
  std::string bytes;
  for (int byte = 0; byte < 256; ++byte) bytes += static_cast<char>(byte);
  const std::string folded = fold_ascii(bytes);
  for (int byte = 0; byte < 256; ++byte) {
    const int expected = byte >= 'A' && byte <= 'Z' ? byte + 32 : byte;
    EXPECT_EQ(static_cast<unsigned char>(folded[static_cast<std::size_t>(byte)]), expected);
  }
}

// ---- ranges ----

TEST(ExtentText, IsAsDocumented) {
  EXPECT_EQ(format_extent(WholeTable{}), "all");
  EXPECT_EQ(format_extent(RowidRange{-5, 99}), "rowid -5 99");
  EXPECT_EQ(format_extent(RowidRange{}), "rowid -9223372036854775808 9223372036854775807");
  EXPECT_EQ(format_extent(PrimaryKeyRange{{std::int64_t{7}, TextValue{"abc"}}, {}}), "key i7,t616263 -");
  EXPECT_EQ(format_extent(PrimaryKeyRange{{}, {2.0, BlobValue{std::string(1, '\0')}}}),
            "key - r4000000000000000,b00");
  EXPECT_EQ(format_extent(PrimaryKeyRange{{TextValue{""}}, {BlobValue{""}}}), "key t b");
}

void expect_round_trip(const Extent& extent) {
  const std::string text = format_extent(extent);
  EXPECT_EQ(parse_extent(text), extent) << text;
  for (const char c : text) EXPECT_TRUE(c >= 0x20 && c < 0x7f) << text;
}

TEST(ExtentText, ReadsBackExactly) {
  expect_round_trip(WholeTable{});
  expect_round_trip(RowidRange{});
  expect_round_trip(RowidRange{INT64_MIN, INT64_MIN});
  expect_round_trip(RowidRange{INT64_MAX, INT64_MAX});
  expect_round_trip(RowidRange{-1, 0});
  std::string every_byte;
  for (int byte = 0; byte < 256; ++byte) every_byte += static_cast<char>(byte);
  expect_round_trip(PrimaryKeyRange{{TextValue{every_byte}}, {BlobValue{every_byte}}});
  expect_round_trip(PrimaryKeyRange{{TextValue{"-"}, TextValue{"a b,c"}}, {TextValue{""}, BlobValue{""}}});
  expect_round_trip(PrimaryKeyRange{{INT64_MIN}, {INT64_MAX}});
  for (const double real : {0.0, 0.1, 5e-324, std::numeric_limits<double>::max(), -1e-300,
                            std::numeric_limits<double>::infinity()}) {
    expect_round_trip(PrimaryKeyRange{{real}, {-real}});
  }
}

TEST(ExtentText, KeepsTheSignOfZero) {
  const Extent extent = parse_extent(format_extent(PrimaryKeyRange{{-0.0}, {}}));
  EXPECT_TRUE(std::signbit(std::get<double>(std::get<PrimaryKeyRange>(extent).from.at(0))));
}

KeyValue random_value(std::mt19937_64& random) {
  const auto bytes = [&] {
    std::string text(random() % 20, '\0');
    for (char& c : text) c = static_cast<char>(random());
    return text;
  };
  switch (random() % 4) {
    case 0:
      return static_cast<std::int64_t>(random());
    case 1:
      return static_cast<double>(static_cast<std::int64_t>(random())) / 3;
    case 2:
      return TextValue{bytes()};
    default:
      return BlobValue{bytes()};
  }
}

TEST(ExtentText, ReadsBackRandomKeys) {
  std::mt19937_64 random(testing::test_seed());
  for (int i = 0; i < 2000; ++i) {
    PrimaryKeyRange range;
    for (std::uint64_t n = random() % 4; n > 0; --n) range.from.push_back(random_value(random));
    for (std::uint64_t n = random() % 4; n > 0; --n) range.until.push_back(random_value(random));
    expect_round_trip(range);
  }
}

void expect_refused(const std::string& text) {
  try {
    static_cast<void>(parse_extent(text));
    ADD_FAILURE() << "accepted: '" << text << "'";
  } catch (const Error& error) {
    EXPECT_EQ(error.fault(), Fault::internal) << text;
  }
}

TEST(ExtentText, RefusesGarbage) {
  for (const char* text : {"",
                           " ",
                           "al",
                           "alll",
                           "ALL",
                           "all all",
                           "rowid",
                           "rowid 1",
                           "rowid 1 x",
                           "rowid 1 2 3",
                           "rowid 1 2x",
                           "rowid  1 2",
                           "rowid +1 2",
                           "rowid 1,2",
                           "rowid - -",
                           "rowid 1 9223372036854775808",
                           "rowid -9223372036854775809 1",
                           "key",
                           "key -",
                           "key - - -",
                           "key i1",
                           "key i1 i",
                           "key t6 -",
                           "key t6g -",
                           "key q1 -",
                           "key r12 -",
                           "key i1,, -",
                           "key ,i1 -",
                           "key i1, -",
                           "key 1 -",
                           "key r400000000000000g -",
                           "range 1 2"}) {
    expect_refused(text);
  }
}

TEST(ExtentText, RefusesWhatFormatWouldHaveWrittenInAnotherWay) {
  for (const char* text : {"all ", "rowid 1 2 ", "key - - ", "rowid 01 2", "rowid -0 2", "key t6A -",
                           "key rC000000000000000 -"}) {
    expect_refused(text);
  }
}

TEST(CoversTable, TakesChainsFromEndToEnd) {
  EXPECT_TRUE(covers_table({WholeTable{}}));
  EXPECT_TRUE(covers_table({RowidRange{}}));
  EXPECT_TRUE(covers_table({RowidRange{INT64_MIN, INT64_MIN}, RowidRange{INT64_MIN + 1, INT64_MAX}}));
  EXPECT_TRUE(covers_table(
      {RowidRange{INT64_MIN, -1}, RowidRange{0, INT64_MAX - 1}, RowidRange{INT64_MAX, INT64_MAX}}));
  EXPECT_TRUE(covers_table({PrimaryKeyRange{}}));
  EXPECT_TRUE(covers_table({PrimaryKeyRange{{}, {TextValue{"m"}}}, PrimaryKeyRange{{TextValue{"m"}}, {}}}));
}

TEST(CoversTable, RefusesGapsOverlapsAndMixtures) {
  EXPECT_FALSE(covers_table({}));
  EXPECT_FALSE(covers_table({WholeTable{}, WholeTable{}}));
  EXPECT_FALSE(covers_table({WholeTable{}, RowidRange{}}));
  EXPECT_FALSE(covers_table({RowidRange{}, WholeTable{}}));
  EXPECT_FALSE(covers_table({RowidRange{0, INT64_MAX}}));
  EXPECT_FALSE(covers_table({RowidRange{INT64_MIN, 5}}));
  EXPECT_FALSE(covers_table({RowidRange{INT64_MIN, 5}, RowidRange{7, INT64_MAX}}));
  EXPECT_FALSE(covers_table({RowidRange{INT64_MIN, 5}, RowidRange{5, INT64_MAX}}));
  EXPECT_FALSE(covers_table({RowidRange{6, INT64_MAX}, RowidRange{INT64_MIN, 5}}));
  EXPECT_FALSE(covers_table({RowidRange{}, RowidRange{}}));
  EXPECT_FALSE(covers_table({RowidRange{INT64_MIN, 5}, RowidRange{6, 5}, RowidRange{6, INT64_MAX}}));
  EXPECT_FALSE(covers_table({PrimaryKeyRange{}, PrimaryKeyRange{}}));
  EXPECT_FALSE(covers_table({PrimaryKeyRange{{}, {std::int64_t{1}}}}));
  EXPECT_FALSE(covers_table({PrimaryKeyRange{{std::int64_t{1}}, {}}}));
  EXPECT_FALSE(
      covers_table({PrimaryKeyRange{{}, {std::int64_t{1}}}, PrimaryKeyRange{{std::int64_t{2}}, {}}}));
  EXPECT_FALSE(covers_table({PrimaryKeyRange{{}, {std::int64_t{1}}}, PrimaryKeyRange{{1.0}, {}}}));
}

TEST(KeyValueCell, BorrowsTheValue) {
  EXPECT_EQ(cell_of(KeyValue{std::int64_t{-3}}).integer(), -3);
  EXPECT_EQ(cell_of(KeyValue{0.5}).real(), 0.5);
  const KeyValue text = TextValue{std::string("a\0b", 3)};
  EXPECT_EQ(cell_of(text).text(), std::string_view("a\0b", 3));
  const KeyValue blob = BlobValue{"xyz"};
  EXPECT_EQ(cell_of(blob).storage(), StorageClass::blob);
  EXPECT_EQ(cell_of(blob).bytes().size(), 3u);
}

// ---- errors ----

TEST(ErrorText, HoldsWhatIsKnownInOneLine) {
  Error error(Fault::target_refused, "numeric field overflow", "widen the column");
  error.set_sqlstate("22003");
  error.where().table = "public.orders";
  error.where().range = RangeNumber{41};
  error.where().row = 9120;
  error.where().column = "total";
  EXPECT_EQ(error.describe(),
            "target: numeric field overflow [22003] in public.orders, range 41, row 9120, column total; "
            "widen the column");
  EXPECT_STREQ(error.what(), "numeric field overflow");
}

TEST(ErrorText, LeavesOutWhatIsNotKnown) {
  EXPECT_EQ(Error(Fault::usage, "no").describe(), "usage: no");
  Error error(Fault::source_unreadable, "gone");
  error.where().row = 0;
  EXPECT_EQ(error.describe(), "source: gone in row 0");
}

TEST(ErrorText, FoldsTheServersLinesIntoOne) {
  const Error error(Fault::internal, "first\nsecond\r\n\tthird\n", "do\nthis\n");
  EXPECT_EQ(error.describe(), "bug in sluice: first second   third; do this");
}

TEST(ErrorText, FoldsLinesOfNamesToo) {
  Error error(Fault::target_refused, "no");
  error.where().table = "two\nlines";
  error.where().column = "two\r\nlines";
  EXPECT_EQ(error.describe().find_first_of("\r\n"), std::string::npos) << error.describe();
}

TEST(ExitStatus, IsTheContractOfEachFault) {
  EXPECT_EQ(exit_status_of(Fault::usage), 2);
  EXPECT_EQ(exit_status_of(Fault::output), 2);
  EXPECT_EQ(exit_status_of(Fault::source_unreadable), 10);
  EXPECT_EQ(exit_status_of(Fault::source_changed), 11);
  EXPECT_EQ(exit_status_of(Fault::target_refused), 20);
  EXPECT_EQ(exit_status_of(Fault::target_unavailable), 21);
  EXPECT_EQ(exit_status_of(Fault::connection_lost), 5);
  EXPECT_EQ(exit_status_of(Fault::in_doubt), 5);
  EXPECT_EQ(exit_status_of(Fault::interrupted), 5);
  EXPECT_EQ(exit_status_of(Fault::internal), 70);
}

// ---- digests ----

TEST(DigestText, IsThirtyTwoLowerCaseDigits) {
  EXPECT_EQ(to_hex({0, 0}), "00000000000000000000000000000000");
  EXPECT_EQ(to_hex({0x0123456789abcdef, 0xfedcba9876543210}), "0123456789abcdeffedcba9876543210");
  EXPECT_EQ(to_hex({UINT64_MAX, UINT64_MAX}), "ffffffffffffffffffffffffffffffff");
}

TEST(DigestText, ReadsBackAndRefusesAnythingElse) {
  std::mt19937_64 random(testing::test_seed());
  for (int i = 0; i < 1000; ++i) {
    const Digest digest{random(), random()};
    EXPECT_EQ(parse_digest(to_hex(digest)), digest);
  }
  const std::string good(32, '7');
  for (const std::string& bad :
       {std::string(), good.substr(1), good + "7", "g" + good.substr(1), good.substr(1) + "g",
        " " + good.substr(1), good.substr(1) + " ", "0x" + good.substr(2), "-" + good.substr(1),
        good.substr(0, 16) + "-" + good.substr(17), good.substr(0, 16) + "+" + good.substr(17)}) {
    EXPECT_THROW(static_cast<void>(parse_digest(bad)), Error) << bad;
  }
}

TEST(DigestSum, CarriesAndWraps) {
  Digest sum{1, UINT64_MAX};
  sum += {0, 1};
  EXPECT_EQ(sum, (Digest{2, 0}));
  sum = {UINT64_MAX, UINT64_MAX};
  sum += {0, 1};
  EXPECT_EQ(sum, (Digest{0, 0}));
}

TEST(DigestSum, AgreesWithWideArithmetic) {
  __extension__ using Wide = unsigned __int128;
  std::mt19937_64 random(testing::test_seed());
  Digest sum;
  Wide reference = 0;
  for (int i = 0; i < 1000; ++i) {
    const Digest digest{random(), random()};
    sum += digest;
    reference += Wide{digest.high} << 64 | digest.low;
    ASSERT_EQ(sum.high, static_cast<std::uint64_t>(reference >> 64));
    ASSERT_EQ(sum.low, static_cast<std::uint64_t>(reference));
  }
}

// ---- the rest of the vocabulary ----

TEST(Catalog, PrimaryKeyIsInKeyOrderNotInColumnOrder) {
  SourceTable table;
  table.columns.resize(3);
  EXPECT_TRUE(table.primary_key().empty());
  table.columns[0].key_position = 2;
  table.columns[2].key_position = 1;
  EXPECT_EQ(table.primary_key(), (std::vector<std::size_t>{2, 0}));
}

TEST(Names, OfStorageClassesAreThoseOfSqlite) {
  EXPECT_EQ(name_of(StorageClass::null), "null");
  EXPECT_EQ(name_of(StorageClass::integer), "integer");
  EXPECT_EQ(name_of(StorageClass::real), "real");
  EXPECT_EQ(name_of(StorageClass::text), "text");
  EXPECT_EQ(name_of(StorageClass::blob), "blob");
}

}  // namespace
}  // namespace sluice
