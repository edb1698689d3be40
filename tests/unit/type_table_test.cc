#include "io/wire/type_table.h"

#include <gtest/gtest.h>

#include <array>
#include <cstdint>
#include <limits>
#include <set>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "engine/model/error.h"
#include "io/wire/buffer.h"
#include "io/wire/row_encoder.h"

namespace sluice {
namespace {

TablePlan plan_of(const std::vector<PgType>& types) {
  TablePlan plan;
  for (const PgType type : types) {
    ColumnPlan column;
    column.type = type;
    plan.columns.push_back(column);
  }
  return plan;
}

std::string_view name_of_type(PgType type) { return name_of(type).sql; }

TEST(TypeTable, HasARowForEveryTypeInOrder) {
  for (std::size_t i = 0; i < kTypes.size(); ++i) {
    EXPECT_EQ(static_cast<std::size_t>(kTypes[i].type), i);
    EXPECT_NE(kTypes[i].encode, nullptr);
    EXPECT_FALSE(kTypes[i].samples().empty()) << name_of_type(kTypes[i].type);
    EXPECT_EQ(&row_of(kTypes[i].type), &kTypes[i]);
  }
}

TEST(TypeTable, EncodesEverySampleAsOneField) {
  for (const TypeRow& row : kTypes) {
    for (const Sample& sample : row.samples()) {
      Buffer out;
      out.append("before");
      EXPECT_EQ(row.encode(sample.cell, out), Misfit::none)
          << name_of_type(row.type) << " " << sample.server_text;
      ASSERT_GE(out.size(), 10u);
      EXPECT_EQ(out.view().substr(0, 6), "before");
      Buffer tuple;
      tuple.put_int16(1);
      tuple.append(out.span().subspan(6));
      TupleFields fields(tuple.span());
      const TupleFields::Field field = fields.next();
      EXPECT_FALSE(field.null);
      EXPECT_EQ(field.with_length.size() + 2, tuple.size()) << name_of_type(row.type);
    }
  }
}

TEST(TypeTable, EncodesNullAsNull) {
  for (const TypeRow& row : kTypes) {
    const TablePlan plan = plan_of({row.type});
    RowEncoder encoder(plan);
    Buffer out;
    const std::array<Cell, 1> cells;
    ASSERT_TRUE(encoder.encode(cells, out)) << name_of_type(row.type);
    EXPECT_EQ(out.view(), std::string_view("\0\1\xff\xff\xff\xff", 6));
  }
}

TEST(TypeTable, RefusesNullWhereItIsNotAllowed) {
  for (const TypeRow& row : kTypes) {
    TablePlan plan = plan_of({row.type, row.type});
    plan.columns[1].not_null = true;
    RowEncoder encoder(plan);
    Buffer out;
    const std::array<Cell, 2> cells;
    EXPECT_FALSE(encoder.encode(cells, out));
    EXPECT_EQ(encoder.reject().reason, Misfit::null_not_allowed);
    EXPECT_EQ(encoder.reject().column, 1u);
    EXPECT_TRUE(out.empty());
  }
}

// ---- what each type takes ----

// Short, so that the table below can be read as a table.
constexpr Misfit ok = Misfit::none;
constexpr Misfit cls = Misfit::storage_class;
constexpr Misfit rng = Misfit::out_of_range;
constexpr Misfit inx = Misfit::not_exact;
constexpr Misfit nul = Misfit::nul_character;
constexpr Misfit utf = Misfit::invalid_utf8;
constexpr Misfit dat = Misfit::not_a_date;
constexpr Misfit tim = Misfit::not_a_time;
constexpr Misfit tst = Misfit::not_a_timestamp;
constexpr Misfit znx = Misfit::zone_not_expected;
constexpr Misfit znm = Misfit::zone_missing;
constexpr Misfit boo = Misfit::not_a_boolean;
constexpr Misfit uid = Misfit::not_a_uuid;
constexpr Misfit jsn = Misfit::invalid_json;
constexpr Misfit jbc = Misfit::jsonb_would_change;
constexpr Misfit itv = Misfit::not_an_interval;

struct Expectation {
  const char* what;
  Cell cell;
  std::array<Misfit, kPgTypeCount> misfits;
};

std::vector<Expectation> expectations() {
  constexpr double kInfinity = std::numeric_limits<double>::infinity();
  static constexpr std::array<std::byte, 16> kBytes{};
  constexpr std::int64_t kTwo53 = std::int64_t{1} << 53;
  // clang-format off
  return {
      //                                                    int2 int4 int8 flt  num  bool text byte date time ts   tstz json jsnb uuid flt4 vchr bpch intv
      {"1",            Cell::of_integer(1),                 {ok,  ok,  ok,  ok,  ok,  ok,  ok,  cls, cls, cls, cls, cls, ok,  ok,  cls, ok,  ok,  ok,  cls}},
      {"2",            Cell::of_integer(2),                 {ok,  ok,  ok,  ok,  ok,  boo, ok,  cls, cls, cls, cls, cls, ok,  ok,  cls, ok,  ok,  ok,  cls}},
      {"-1",           Cell::of_integer(-1),                {ok,  ok,  ok,  ok,  ok,  boo, ok,  cls, cls, cls, cls, cls, ok,  ok,  cls, ok,  ok,  ok,  cls}},
      {"32768",        Cell::of_integer(32768),             {rng, ok,  ok,  ok,  ok,  boo, ok,  cls, cls, cls, cls, cls, ok,  ok,  cls, ok,  ok,  ok,  cls}},
      {"-32769",       Cell::of_integer(-32769),            {rng, ok,  ok,  ok,  ok,  boo, ok,  cls, cls, cls, cls, cls, ok,  ok,  cls, ok,  ok,  ok,  cls}},
      {"2^31",         Cell::of_integer(2147483648),        {rng, rng, ok,  ok,  ok,  boo, ok,  cls, cls, cls, cls, cls, ok,  ok,  cls, inx, ok,  ok,  cls}},
      {"2^53",         Cell::of_integer(kTwo53),            {rng, rng, ok,  ok,  ok,  boo, ok,  cls, cls, cls, cls, cls, ok,  ok,  cls, inx, ok,  ok,  cls}},
      {"2^53 + 1",     Cell::of_integer(kTwo53 + 1),        {rng, rng, ok,  inx, ok,  boo, ok,  cls, cls, cls, cls, cls, ok,  ok,  cls, inx, ok,  ok,  cls}},
      {"-2^53 - 1",    Cell::of_integer(-kTwo53 - 1),       {rng, rng, ok,  inx, ok,  boo, ok,  cls, cls, cls, cls, cls, ok,  ok,  cls, inx, ok,  ok,  cls}},
      {"INT64_MAX",    Cell::of_integer(INT64_MAX),         {rng, rng, ok,  inx, ok,  boo, ok,  cls, cls, cls, cls, cls, ok,  ok,  cls, inx, ok,  ok,  cls}},
      {"INT64_MIN",    Cell::of_integer(INT64_MIN),         {rng, rng, ok,  inx, ok,  boo, ok,  cls, cls, cls, cls, cls, ok,  ok,  cls, inx, ok,  ok,  cls}},
      {"1.0",          Cell::of_real(1.0),                  {ok,  ok,  ok,  ok,  ok,  ok,  ok,  cls, cls, cls, cls, cls, ok,  ok,  cls, ok,  ok,  ok,  cls}},
      {"0.5",          Cell::of_real(0.5),                  {inx, inx, inx, ok,  ok,  boo, ok,  cls, cls, cls, cls, cls, ok,  ok,  cls, ok,  ok,  ok,  cls}},
      {"-2^63",        Cell::of_real(-0x1p63),              {rng, rng, ok,  ok,  ok,  boo, ok,  cls, cls, cls, cls, cls, ok,  ok,  cls, ok,  ok,  ok,  cls}},
      {"2^63",         Cell::of_real(0x1p63),               {rng, rng, rng, ok,  ok,  boo, ok,  cls, cls, cls, cls, cls, ok,  ok,  cls, ok,  ok,  ok,  cls}},
      {"1e300",        Cell::of_real(1e300),                {rng, rng, rng, ok,  ok,  boo, ok,  cls, cls, cls, cls, cls, ok,  ok,  cls, rng, ok,  ok,  cls}},
      {"5e-324",       Cell::of_real(5e-324),               {inx, inx, inx, ok,  ok,  boo, ok,  cls, cls, cls, cls, cls, ok,  ok,  cls, inx, ok,  ok,  cls}},
      {"Infinity",     Cell::of_real(kInfinity),            {rng, rng, rng, ok,  ok,  boo, ok,  cls, cls, cls, cls, cls, rng, rng, cls, ok,  ok,  ok,  cls}},
      {"-Infinity",    Cell::of_real(-kInfinity),           {rng, rng, rng, ok,  ok,  boo, ok,  cls, cls, cls, cls, cls, rng, rng, cls, ok,  ok,  ok,  cls}},
      {"''",           Cell::of_text(""),                   {cls, cls, cls, cls, cls, boo, ok,  ok,  dat, tim, tst, tst, jsn, jsn, uid, cls, ok,  ok,  itv}},
      {"'abc'",        Cell::of_text("abc"),                {cls, cls, cls, cls, cls, boo, ok,  ok,  dat, tim, tst, tst, jsn, jsn, uid, cls, ok,  ok,  itv}},
      {"'1'",          Cell::of_text("1"),                  {cls, cls, cls, cls, cls, ok,  ok,  ok,  dat, tim, tst, tst, ok,  ok,  uid, cls, ok,  ok,  itv}},
      {"'2'",          Cell::of_text("2"),                  {cls, cls, cls, cls, cls, boo, ok,  ok,  dat, tim, tst, tst, ok,  ok,  uid, cls, ok,  ok,  itv}},
      {"'true'",       Cell::of_text("true"),               {cls, cls, cls, cls, cls, ok,  ok,  ok,  dat, tim, tst, tst, ok,  ok,  uid, cls, ok,  ok,  itv}},
      {"'tr'",         Cell::of_text("tr"),                 {cls, cls, cls, cls, cls, boo, ok,  ok,  dat, tim, tst, tst, jsn, jsn, uid, cls, ok,  ok,  itv}},
      {"'Infinity'",   Cell::of_text("Infinity"),           {cls, cls, cls, cls, cls, boo, ok,  ok,  dat, tim, tst, tst, jsn, jsn, uid, cls, ok,  ok,  itv}},
      {"'today'",      Cell::of_text("today"),              {cls, cls, cls, cls, cls, boo, ok,  ok,  dat, tim, tst, tst, jsn, jsn, uid, cls, ok,  ok,  itv}},
      {"a date",       Cell::of_text("2024-02-29"),         {cls, cls, cls, cls, cls, boo, ok,  ok,  ok,  tim, ok,  znm, jsn, jsn, uid, cls, ok,  ok,  itv}},
      {"no date",      Cell::of_text("2023-02-29"),         {cls, cls, cls, cls, cls, boo, ok,  ok,  dat, tim, tst, tst, jsn, jsn, uid, cls, ok,  ok,  itv}},
      {"zero date",    Cell::of_text("0000-00-00"),         {cls, cls, cls, cls, cls, boo, ok,  ok,  dat, tim, tst, tst, jsn, jsn, uid, cls, ok,  ok,  itv}},
      {"a time",       Cell::of_text("12:30:01"),           {cls, cls, cls, cls, cls, boo, ok,  ok,  dat, ok,  tst, tst, jsn, jsn, uid, cls, ok,  ok,  ok}},
      {"24:00",        Cell::of_text("24:00:00"),           {cls, cls, cls, cls, cls, boo, ok,  ok,  dat, tim, tst, tst, jsn, jsn, uid, cls, ok,  ok,  ok}},
      {"naive",        Cell::of_text("2024-02-29 12:30"),   {cls, cls, cls, cls, cls, boo, ok,  ok,  dat, tim, ok,  znm, jsn, jsn, uid, cls, ok,  ok,  itv}},
      {"zoned",        Cell::of_text("2024-02-29T12:30Z"),  {cls, cls, cls, cls, cls, boo, ok,  ok,  dat, tim, znx, ok,  jsn, jsn, uid, cls, ok,  ok,  itv}},
      {"second 60",    Cell::of_text("2024-02-29 12:30:60"), {cls, cls, cls, cls, cls, boo, ok, ok,  dat, tim, tst, tst, jsn, jsn, uid, cls, ok,  ok,  itv}},
      {"nanoseconds",  Cell::of_text("2024-02-29 12:30:00.1234567"),
                                                            {cls, cls, cls, cls, cls, boo, ok,  ok,  dat, tim, tst, tst, jsn, jsn, uid, cls, ok,  ok,  itv}},
      {"an object",    Cell::of_text(R"({"a":1})"),         {cls, cls, cls, cls, cls, boo, ok,  ok,  dat, tim, tst, tst, ok,  ok,  uid, cls, ok,  ok,  itv}},
      {"keys twice",   Cell::of_text(R"({"a":1,"a":2})"),   {cls, cls, cls, cls, cls, boo, ok,  ok,  dat, tim, tst, tst, ok,  jbc, uid, cls, ok,  ok,  itv}},
      {"escaped NUL",  Cell::of_text(R"(["\u0000"])"),      {cls, cls, cls, cls, cls, boo, ok,  ok,  dat, tim, tst, tst, ok,  jbc, uid, cls, ok,  ok,  itv}},
      {"half a pair",  Cell::of_text(R"(["\ud800"])"),      {cls, cls, cls, cls, cls, boo, ok,  ok,  dat, tim, tst, tst, ok,  jbc, uid, cls, ok,  ok,  itv}},
      {"1e200000",     Cell::of_text("1e200000"),           {cls, cls, cls, cls, cls, boo, ok,  ok,  dat, tim, tst, tst, ok,  jbc, uid, cls, ok,  ok,  itv}},
      {"NaN",          Cell::of_text("NaN"),                {cls, cls, cls, cls, cls, boo, ok,  ok,  dat, tim, tst, tst, jsn, jsn, uid, cls, ok,  ok,  itv}},
      {"a uuid",       Cell::of_text("A0EEBC99-9C0B-4EF8-BB6D-6BB9BD380A11"),
                                                            {cls, cls, cls, cls, cls, boo, ok,  ok,  dat, tim, tst, tst, jsn, jsn, ok, cls, ok,  ok,  itv}},
      {"a urn",        Cell::of_text("urn:uuid:a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11"),
                                                            {cls, cls, cls, cls, cls, boo, ok,  ok,  dat, tim, tst, tst, jsn, jsn, uid, cls, ok,  ok,  itv}},
      {"NUL in text",  Cell::of_text({"1\0", 2}),           {cls, cls, cls, cls, cls, boo, nul, ok,  dat, tim, tst, tst, nul, nul, uid, cls, nul, nul, itv}},
      {"bad UTF-8",    Cell::of_text("\"\xe9\""),           {cls, cls, cls, cls, cls, boo, utf, ok,  dat, tim, tst, tst, utf, utf, uid, cls, utf, utf, itv}},
      {"surrogate",    Cell::of_text("\"\xed\xa0\x80\""),   {cls, cls, cls, cls, cls, boo, utf, ok,  dat, tim, tst, tst, utf, utf, uid, cls, utf, utf, itv}},
      {"empty blob",   Cell::of_blob({}),                   {cls, cls, cls, cls, cls, cls, cls, ok,  cls, cls, cls, cls, cls, cls, cls, cls, cls, cls, cls}},
      {"16 bytes",     Cell::of_blob(kBytes),               {cls, cls, cls, cls, cls, cls, cls, ok,  cls, cls, cls, cls, cls, cls, cls, cls, cls, cls, cls}},
  };
  // clang-format on
}

TEST(TypeTable, TakesWhatTheMatrixSays) {
  for (const Expectation& row : expectations()) {
    for (const TypeRow& type : kTypes) {
      Buffer out;
      EXPECT_EQ(name_of(type.encode(row.cell, out)),
                name_of(row.misfits[static_cast<std::size_t>(type.type)]))
          << row.what << " as " << name_of_type(type.type);
    }
  }
}

// ---- rows ----

TEST(RowEncoder, ARejectedRowLeavesTheBufferAsItWas) {
  for (const Expectation& row : expectations()) {
    for (const TypeRow& type : kTypes) {
      const TablePlan plan = plan_of({PgType::int8, PgType::text, type.type});
      RowEncoder encoder(plan);
      Buffer out;
      const std::array<Cell, 3> good = {Cell::of_integer(7), Cell::of_text("seven"), Cell()};
      ASSERT_TRUE(encoder.encode(good, out));
      const std::string before(out.view());
      const std::array<Cell, 3> cells = {Cell::of_integer(8), Cell::of_text("eight"), row.cell};
      const Misfit expected = row.misfits[static_cast<std::size_t>(type.type)];
      EXPECT_EQ(encoder.encode(cells, out), expected == Misfit::none);
      if (expected == Misfit::none) continue;
      EXPECT_EQ(out.view(), before) << row.what << " as " << name_of_type(type.type);
      EXPECT_EQ(encoder.reject().column, 2u);
      EXPECT_EQ(encoder.reject().reason, expected);
      ASSERT_TRUE(encoder.encode(good, out));
      EXPECT_EQ(out.view(), before + before);
    }
  }
}

TEST(RowEncoder, ReportsTheFirstMisfitOfARow) {
  const TablePlan plan = plan_of({PgType::text, PgType::int8, PgType::date});
  RowEncoder encoder(plan);
  Buffer out;
  const std::array<Cell, 3> cells = {Cell::of_text("fine"), Cell::of_real(0.5), Cell::of_text("never")};
  EXPECT_FALSE(encoder.encode(cells, out));
  EXPECT_EQ(encoder.reject().column, 1u);
  EXPECT_EQ(encoder.reject().reason, Misfit::not_exact);
}

TEST(RowEncoder, IgnoresTheCellsAfterTheColumns) {
  const TablePlan plan = plan_of({PgType::int2});
  RowEncoder encoder(plan);
  Buffer out;
  const std::array<Cell, 2> cells = {Cell::of_integer(-2), Cell::of_integer(99)};  // a hidden rowid
  ASSERT_TRUE(encoder.encode(cells, out));
  EXPECT_EQ(out.view(), std::string_view("\0\1\0\0\0\2\xff\xfe", 8));
}

TEST(TupleFields, WalksAndRefusesEveryCutTuple) {
  const TablePlan plan = plan_of({PgType::int8, PgType::text, PgType::text});
  RowEncoder encoder(plan);
  Buffer out;
  const std::array<Cell, 3> cells = {Cell::of_integer(1), Cell(), Cell::of_text("three")};
  ASSERT_TRUE(encoder.encode(cells, out));
  const auto walk = [](std::span<const std::byte> tuple) {
    TupleFields fields(tuple);
    for (std::size_t i = 0; i < fields.count(); ++i) static_cast<void>(fields.next());
  };
  walk(out.span());
  for (std::size_t size = 0; size < out.size(); ++size)
    EXPECT_THROW(walk(out.span().first(size)), Error) << size;
}

TEST(Misfit, NamesAreDifferentAndPrintable) {
  std::set<std::string_view> names;
  for (int i = 0; i <= static_cast<int>(Misfit::not_base64); ++i) {
    const std::string_view name = name_of(static_cast<Misfit>(i));
    EXPECT_TRUE(names.insert(name).second) << name;
    EXPECT_EQ(name.find_first_not_of("abcdefghijklmnopqrstuvwxyz0123456789_"), std::string_view::npos)
        << name;
  }
}

}  // namespace
}  // namespace sluice
