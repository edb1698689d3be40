// Conversions, types with modifiers and generated columns against a real server: what it shows for a
// converted value, and that it sends back what was sent.

#include <gtest/gtest.h>

#include <bit>
#include <limits>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "io/postgres/connection.h"
#include "io/postgres/copy_stream.h"
#include "io/postgres/ledger.h"
#include "io/postgres/range_sink.h"
#include "io/postgres/read_back.h"
#include "io/wire/row_encoder.h"
#include "support/query.h"
#include "support/test_server.h"
#include "verify/leaves.h"

namespace sluice {
namespace {

using testing::execute;
using testing::query_value;
using testing::shared_test_server;
using namespace std::string_view_literals;

Cell blob(std::string_view bytes) { return Cell::of_blob(std::as_bytes(std::span(bytes))); }

struct Case {
  std::string type;  // of the column, as DDL
  ColumnPlan column;
  Cell cell;
  std::string shown;  // by the server; NULL for none
};

ColumnPlan column_of(PgType type, Conversion conversion = {}, TypeModifier modifier = {}) {
  ColumnPlan column;
  column.type = type;
  column.conversion = std::move(conversion);
  column.modifier = modifier;
  return column;
}

Case epoch_case(EpochUnit unit, PgType type, Cell cell, std::string shown) {
  Conversion conversion;
  conversion.epoch = unit;
  const ColumnPlan column = column_of(type, conversion);
  return {type_of(column), column, cell, std::move(shown)};
}

template <class Set>
Case with(PgType type, Set set, Cell cell, std::string shown, TypeModifier modifier = {}) {
  Conversion conversion;
  set(conversion);
  const ColumnPlan column = column_of(type, conversion, modifier);
  return {type_of(column), column, cell, std::move(shown)};
}

Case modified(PgType type, TypeModifier modifier, Cell cell, std::string shown) {
  const ColumnPlan column = column_of(type, {}, modifier);
  return {type_of(column), column, cell, std::move(shown)};
}

std::vector<Case> cases() {
  using enum PgType;
  using enum EpochUnit;
  std::vector<Case> all = {
      epoch_case(seconds, timestamp, Cell::of_integer(1709212455), "2024-02-29 13:14:15"),
      epoch_case(seconds, timestamptz, Cell::of_integer(-1), "1969-12-31 23:59:59+00"),
      epoch_case(seconds, date, Cell::of_integer(185331706992000), "5874897-12-31"),
      epoch_case(seconds, timestamp, Cell::of_integer(9224318015999), "294276-12-31 23:59:59"),
      epoch_case(seconds, timestamp, Cell::of_integer(-210866803200), "4714-11-24 00:00:00 BC"),
      epoch_case(seconds, timestamp, Cell::of_real(1709212455.123457), "2024-02-29 13:14:15.123457"),
      epoch_case(milliseconds, timestamp, Cell::of_text("1709212455123"), "2024-02-29 13:14:15.123"),
      epoch_case(microseconds, timestamp, Cell::of_integer(-1), "1969-12-31 23:59:59.999999"),
      epoch_case(nanoseconds, timestamp, Cell::of_integer(1709212455123456000), "2024-02-29 13:14:15.123456"),
      epoch_case(julian_days, timestamp, Cell::of_real(2460370.0515625), "2024-02-29 13:14:15"),
      epoch_case(julian_days, timestamp, Cell::of_integer(0), "4714-11-24 12:00:00 BC"),
      epoch_case(apple_seconds, timestamp, Cell::of_integer(0), "2001-01-01 00:00:00"),
      epoch_case(webkit_microseconds, timestamp, Cell::of_integer(0), "1601-01-01 00:00:00"),
      epoch_case(filetime, timestamp, Cell::of_integer(133536860551234560), "2024-02-29 13:14:15.123456"),
      epoch_case(dotnet_ticks, timestamp, Cell::of_integer(0), "0001-01-01 00:00:00"),
      epoch_case(excel_days, date, Cell::of_integer(61), "1900-03-01"),
      with(
          text, [](Conversion& c) { c.encoding = TextEncoding::cp1252; }, Cell::of_text("caf\xe9 \x80"),
          "café €"),
      with(
          text, [](Conversion& c) { c.encoding = TextEncoding::cesu8; },
          Cell::of_text("\xed\xa0\xbd\xed\xb8\x80"), "😀"),
      with(
          text, [](Conversion& c) { c.bad_text = BadText::replace; }, Cell::of_text("a\0b\xff"sv),
          "a\uFFFDb\uFFFD"),
      with(
          text, [](Conversion& c) { c.bad_text = BadText::strip; }, Cell::of_text("a\0b\xff"sv), "ab"),
      with(
          text, [](Conversion& c) { c.blob_as_text = true; }, blob("caf\xc3\xa9"), "café"),
      with(
          int8, [](Conversion& c) { c.empty_as_null = true; }, Cell::of_text(""), "NULL"),
      with(
          date, [](Conversion& c) { c.zero_date_as_null = true; }, Cell::of_text("0000-00-00"), "NULL"),
      with(
          timestamp, [](Conversion& c) { c.truncate_fraction = true; },
          Cell::of_text("1969-12-31 23:59:59.9999999"), "1969-12-31 23:59:59.999999"),
      with(timestamp, [](Conversion& c) { c.truncate_fraction = true; },
           Cell::of_text("1969-12-31 23:59:59.9999"), "1969-12-31 23:59:59.999", {3}),
      with(
          timestamptz, [](Conversion& c) { c.naive_as_utc = true; }, Cell::of_text("2024-02-29 13:14"),
          "2024-02-29 13:14:00+00"),
      with(
          timestamp, [](Conversion& c) { c.date_format = "%d.%m.%Y %I:%M %p"; },
          Cell::of_text("29.02.2024 1:14 PM"), "2024-02-29 13:14:00"),
      with(
          date, [](Conversion& c) { c.date_format = "%Y%m%d"; }, Cell::of_integer(20240229), "2024-02-29"),
      with(
          uuid, [](Conversion& c) { c.uuid_bytes = UuidBytes::big_endian; }, blob("0123456789abcdef"),
          "30313233-3435-3637-3839-616263646566"),
      with(
          uuid, [](Conversion& c) { c.uuid_bytes = UuidBytes::dotnet; }, blob("0123456789abcdef"),
          "33323130-3534-3736-3839-616263646566"),
      with(
          bytea, [](Conversion& c) { c.base64 = Base64::strict; }, Cell::of_text("3q2+7w=="), "\\xdeadbeef"),
      with(
          jsonb, [](Conversion& c) { c.lossy_jsonb = true; }, Cell::of_text(R"({"a":1,"a":2})"),
          "{\"a\": 2}"),
      modified(numeric, {10, 2}, Cell::of_real(1.5), "1.50"),
      modified(numeric, {10, 2}, Cell::of_integer(0), "0.00"),
      modified(numeric, {20, 0}, Cell::of_integer(INT64_MIN), "-9223372036854775808"),
      modified(numeric, {3, 5}, Cell::of_real(0.00999), "0.00999"),
      modified(numeric, {12, 6}, Cell::of_real(10000.0001), "10000.000100"),
      modified(varchar, {4}, Cell::of_text("naïv"), "naïv"),
      modified(bpchar, {6}, Cell::of_text("naïve"), "naïve "),
      modified(bpchar, {}, Cell::of_text("blank "), "blank "),
      modified(timestamp, {3}, Cell::of_text("2024-02-29 13:14:15.123"), "2024-02-29 13:14:15.123"),
      modified(time, {0}, Cell::of_text("13:14:15"), "13:14:15"),
      modified(interval, {}, Cell::of_text("-838:59:59.5"), "-838:59:59.5"),
      modified(float4, {}, Cell::of_real(0.5), "0.5"),
  };
  for (const auto& [text, shown] : std::vector<std::pair<std::string_view, std::string>>{
           {"1.50", "1.50"},
           {"-1.5e3", "-1500"},
           {"1e-5", "0.00001"},
           {"NaN", "NaN"},
           {"-Infinity", "-Infinity"},
           {"00012345678901234567890.5", "12345678901234567890.5"},
           {"0.000", "0.000"},
           {"12e2", "1200"}}) {
    all.push_back(with(
        numeric, [](Conversion& c) { c.text_as_number = true; }, Cell::of_text(text), shown));
  }
  for (const auto& [text, shown] : std::vector<std::pair<std::string_view, std::string>>{
           {"0.1", "0.1"}, {"NaN", "NaN"}, {"Infinity", "Infinity"}, {"-0", "-0"}, {"4.9e-324", "5e-324"}}) {
    all.push_back(with(
        float8, [](Conversion& c) { c.text_as_number = true; }, Cell::of_text(text), shown));
  }
  all.push_back(with(
      float4, [](Conversion& c) { c.text_as_number = true; }, Cell::of_text("0.1"), "0.1"));
  all.push_back(with(
      float4, [](Conversion& c) { c.text_as_number = true; }, Cell::of_text("NaN"), "NaN"));
  all.push_back(
      with(numeric, [](Conversion& c) { c.text_as_number = true; }, Cell::of_text("NaN"), "NaN", {5, 2}));
  Case label = modified(text, {}, Cell::of_text("sad"), "sad");
  label.type = "mood";
  label.column.labels = {"happy", "sad"};
  all.push_back(label);
  Case domain = modified(numeric, {6, 2}, Cell::of_integer(7), "7.00");
  domain.type = "price";
  all.push_back(domain);
  return all;
}

class ConversionTest : public ::testing::Test {
 protected:
  ConversionTest()
      : conninfo_(shared_test_server().conninfo() + " options='-c timezone=UTC'"), connection_(conninfo_) {
    execute(conninfo_,
            "DROP TABLE IF EXISTS t; DROP TYPE IF EXISTS mood; DROP DOMAIN IF EXISTS price; "
            "CREATE TYPE mood AS ENUM ('happy', 'sad'); CREATE DOMAIN price AS numeric(6,2)");
  }

  std::string conninfo_;
  Connection connection_;
};

TEST_F(ConversionTest, TheServerShowsWhatWasMeantAndSendsBackWhatWasSent) {
  for (const Case& test : cases()) {
    const std::string name = test.type + " " + describe(test.column.conversion) + " expecting " + test.shown;
    ASSERT_EQ(why_not(test.column.conversion, test.column.type), "") << name;
    TablePlan plan;
    plan.columns.push_back(test.column);
    execute(conninfo_, "DROP TABLE IF EXISTS t; CREATE TABLE t (v " + test.type + ")");
    RowEncoder encoder(plan);
    Buffer sent;
    ASSERT_TRUE(encoder.encode(std::span(&test.cell, 1), sent)) << name << name_of(encoder.reject().reason);
    CopyStream copy(connection_, "COPY t FROM STDIN (FORMAT binary)");
    copy.write(sent.span());
    ASSERT_EQ(copy.finish(), 1u);
    // Not v::text, which drops the padding of char(n).
    const auto row = testing::query(conninfo_, "SELECT v FROM t")[0];
    EXPECT_EQ(row[0].value_or("NULL"), test.shown) << name;
    std::string returned;
    copy_out(connection_, "SELECT v FROM t", [&](std::span<const std::byte> tuple) {
      returned.assign(reinterpret_cast<const char*>(tuple.data()), tuple.size());
    });
    EXPECT_EQ(returned, sent.view()) << name;
  }
}

// ---- generated columns ----

class GeneratedColumnTest : public ConversionTest {
 protected:
  // t(id, price, doubled generated, label generated), loaded from rows in which SQLite computed 2 * price.
  bool load_and_verify(const std::string& expression) {
    execute(conninfo_,
            "DROP SCHEMA IF EXISTS sluice CASCADE; DROP TABLE IF EXISTS t; CREATE TABLE t (id bigint, price "
            "bigint, doubled bigint GENERATED ALWAYS AS (" +
                expression + ") STORED, label text GENERATED ALWAYS AS ('no ' || id::text) STORED)");
    MigrationPlan migration;
    migration.schema = "public";
    TablePlan plan;
    plan.source = plan.target = "t";
    plan.schema = "public";
    for (const char* name : {"id", "price", "doubled", "label"}) {
      ColumnPlan column = column_of(name == "label"sv ? PgType::text : PgType::int8);
      column.source = column.target = name;
      if (name == "doubled"sv || name == "label"sv) column.generated_as = "something";
      plan.columns.push_back(column);
    }
    plan.row_key = RowKey::ordered_integer;
    plan.key_columns = {0};
    plan.extents = {WholeTable{}};
    migration.tables = {plan};
    install_ledger(connection_);
    RunRecord run;
    run.source = "hand-made";
    run.schema = "public";
    const std::string run_id = insert_run(connection_, run, migration, {"{}"}, {true}, {}, "test");
    const auto sink = make_range_sink(connection_, run_id);
    const RangeTask task{&plan, RangeNumber{0}, WholeTable{}};
    const auto writer = sink->begin(task, Claim::wait);
    if (writer == nullptr) {
      ADD_FAILURE() << "the range cannot be claimed";
      return false;
    }
    constexpr std::int64_t kRows = 20000;
    for (std::int64_t id = 1; id <= kRows; ++id) {
      const bool null = id % 7 == 0;
      const std::string label = "no " + std::to_string(id);
      const std::vector<Cell> row = {Cell::of_integer(id), null ? Cell() : Cell::of_integer(id * 3),
                                     null ? Cell() : Cell::of_integer(id * 6), Cell::of_text(label)};
      writer->write(row);
    }
    const RangeSeal seal = writer->seal();
    EXPECT_EQ(seal.rows_loaded, static_cast<std::uint64_t>(kRows));
    EXPECT_EQ(query_value(conninfo_, "SELECT sum(price) FROM t"),
              query_value(conninfo_, "SELECT sum(3 * n) FROM generate_series(1, 20000) n WHERE n % 7 <> 0"));
    const TableLeaves source(plan, {seal.digest});
    TableLeaves target = source.emptied();
    read_blocks(connection_, plan, {}, [&](const TargetRow& row) { target.add(row.tuple, row.digest); });
    EXPECT_EQ(target.total().rows, static_cast<std::uint64_t>(kRows));
    return differing_leaves(source, target).empty();
  }
};

TEST_F(GeneratedColumnTest, AreComputedByTheServerAndProvedEqual) {
  EXPECT_TRUE(load_and_verify("price * 2"));
}

TEST_F(GeneratedColumnTest, AWrongExpressionIsFoundByVerification) {
  EXPECT_FALSE(load_and_verify("CASE WHEN id = 19999 THEN 0 ELSE price * 2 END"));
}

}  // namespace
}  // namespace sluice
