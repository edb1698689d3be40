// The answers were given by PostgreSQL 15: SELECT hashint4extended(-5, 126909663503205) and so on, other
// columns with their seeds of verify/DIGEST.md. The same against a server is tests/pg/server_hash_test.cc.

#include <gtest/gtest.h>

#include <array>
#include <cmath>
#include <cstdint>
#include <limits>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "engine/model/error.h"
#include "io/wire/row_encoder.h"
#include "verify/server_hash.h"

namespace sluice {
namespace {

TablePlan plan_of(const std::vector<PgType>& types) {
  TablePlan plan;
  for (const PgType type : types) {
    plan.columns.emplace_back().type = type;
    plan.columns.back().target = "c" + std::to_string(plan.columns.size());
  }
  return plan;
}

std::string tuple_of(const TablePlan& plan, const std::vector<Cell>& row) {
  RowEncoder encoder(plan);
  Buffer buffer;
  EXPECT_TRUE(encoder.encode(row, buffer));
  return std::string(buffer.view());
}

std::span<const std::byte> bytes_of(std::string_view tuple) { return std::as_bytes(std::span(tuple)); }

std::uint64_t hash_of(const std::vector<PgType>& types, const std::vector<Cell>& row) {
  const TablePlan plan = plan_of(types);
  return ServerHasher(plan).hash(bytes_of(tuple_of(plan, row)));
}

// ---- known answers ----

TEST(ServerHash, OfEveryTypeIsWhatTheServerAnswered) {
  static_assert(kServerHashSeed == 126909663503205);
  constexpr double kInfinity = std::numeric_limits<double>::infinity();
  constexpr std::array<std::byte, 3> kBytes = {std::byte{0}, std::byte{0xff}, std::byte{0x5c}};
  struct Known {
    PgType type;
    Cell cell;
    std::uint64_t answer;
  };
  const std::vector<Known> known = {
      {PgType::int2, Cell::of_integer(-5), 0x9937135ba06c52f4},
      {PgType::int4, Cell::of_integer(-5), 0x9937135ba06c52f4},
      {PgType::int8, Cell::of_integer(-5), 0x9937135ba06c52f4},
      {PgType::int4, Cell::of_integer(42), 0x825462077d8f44e6},
      {PgType::int8, Cell::of_integer(1099511627777), 0x72163db469e1efbb},
      {PgType::int8, Cell::of_integer(INT64_MIN), 0x9e33fbbf827eb5cc},
      {PgType::boolean, Cell::of_integer(1), 0xe32680a1f836e747},
      {PgType::boolean, Cell::of_integer(0), 0x9f0ea5b80b821c1c},
      {PgType::float8, Cell::of_real(1.5), 0xd3fbf1ea83541c93},
      {PgType::float4, Cell::of_real(1.5), 0xd3fbf1ea83541c93},
      {PgType::float8, Cell::of_real(0.1), 0xae498633f045afcb},
      {PgType::float8, Cell::of_real(0.0), 0x0000736c75696365},
      {PgType::float8, Cell::of_real(-0.0), 0x0000736c75696365},
      {PgType::float4, Cell::of_real(-0.0), 0x0000736c75696365},
      {PgType::float8, Cell::of_real(-kInfinity), 0xce30cd2c78006ca9},
      {PgType::float8, Cell::of_real(std::nan("1")), 0x3e921415353bd462},
      {PgType::text, Cell::of_text("sluice"), 0xe13f88a7b68637ec},
      {PgType::varchar, Cell::of_text("sluice"), 0xe13f88a7b68637ec},
      {PgType::bytea, Cell::of_blob(kBytes), 0x7e3b5ddfbc013d79},
      {PgType::uuid, Cell::of_text("00112233-4455-6677-8899-aabbccddeeff"), 0x530aa2a4860dd55d},
      {PgType::date, Cell::of_text("1999-12-31"), 0xcb7b6e85108a848f},
      {PgType::time, Cell::of_text("12:34:56.5"), 0x7e092f372e58b7df},
      {PgType::timestamp, Cell::of_text("2024-02-29 12:34:56"), 0xc63855f2f385ef7a},
      {PgType::timestamptz, Cell::of_text("2024-02-29T12:34:56Z"), 0xc63855f2f385ef7a},
      {PgType::text, Cell(), 0},
  };
  for (const auto& [type, cell, answer] : known) {
    EXPECT_EQ(hash_of({type}, {cell}), answer) << name_of(type).sql;
  }
}

TEST(ServerHash, OfARowIsWhatTheServerAnswered) {
  const std::vector<PgType> types = {PgType::int8, PgType::text, PgType::float8, PgType::boolean};
  EXPECT_EQ(hash_of(types, {Cell::of_integer(7), Cell::of_text("amber"), Cell(), Cell::of_integer(1)}),
            0xbea541c1ac91cc67);
  EXPECT_EQ(hash_of({PgType::int8, PgType::text}, {Cell(), Cell::of_text("amber")}), 0x7c8bdfcd6b1595e8);
}

TEST(ServerHash, OfTextOfEveryLengthIsWhatTheServerAnswered) {
  constexpr std::string_view kText = "The quick brown fox jumps over the lazy dog";
  constexpr std::array<std::uint64_t, 41> kAnswers = {
      0x1d037ad7bceb41d2, 0xc157eac08989bc4e, 0x4250f152c916ad12, 0x306e12659b8b1d1c, 0x3bfc1ee4512782c4,
      0x5fe1ca82bc0ba56d, 0x0e269b10597f7397, 0x0f3e8eae558f8afc, 0x37b2c1a6f7ef2866, 0x837ce93bbeb0be11,
      0xd815c2ff49bd2d63, 0xf2d5de2c579cec71, 0x544bf087a5641a2b, 0xcf8b16260b869f5a, 0x5a336928df4be1f7,
      0x10ea7be63b7356f9, 0x3a17e21cb79b2bfe, 0x98cbca7ebbd6b109, 0x75a155ce63a2b5c4, 0x2fbd74399c4acafd,
      0x0ba5795532b77057, 0x7039defe6c1fc0d3, 0x9e104aa3e893cf2c, 0x76ddc2812eb795ea, 0x91131792d35cbd2f,
      0xfe9218470af93cc0, 0xa32140d61470cddb, 0x6057a0b2029c1730, 0x9500827ce8afc9f1, 0x7044dc15df9108f1,
      0x20bf0ef687f75b6e, 0xa7cabcaead8caae3, 0x36b34ca1c84853e9, 0xa3495fbf2ebf67e6, 0xf0baa2ab474a9896,
      0xcd2291ccb3cb26e6, 0x2333f430c74a784f, 0x856633bc51a2c8c8, 0x1eae48ef4098e7ec, 0x466f5b11b706640d,
      0x32b76e52c7026f92};
  for (std::size_t size = 0; size < kAnswers.size(); ++size) {
    EXPECT_EQ(hash_of({PgType::text}, {Cell::of_text(kText.substr(0, size))}), kAnswers[size]) << size;
  }
}

TEST(ServerHash, TellsZeroFromNull) {
  const std::vector<PgType> types(3, PgType::float8);
  std::vector<std::uint64_t> hashes;
  for (unsigned zeros = 0; zeros < 8; ++zeros) {
    std::vector<Cell> row(3);
    for (std::size_t i = 0; i < 3; ++i) {
      if ((zeros >> i & 1) != 0) row[i] = Cell::of_real(0);
    }
    for (const std::uint64_t other : hashes) EXPECT_NE(hash_of(types, row), other) << zeros;
    hashes.push_back(hash_of(types, row));
  }
}

// The header warns of it; a digest that relies on this hash must know.
TEST(ServerHash, FoldsBigintsIntoThirtyTwoBits) {
  EXPECT_EQ(hash_of({PgType::int8}, {Cell::of_integer(1)}),
            hash_of({PgType::int8}, {Cell::of_integer(4294967296)}));
}

// ---- pieces ----

// A field of every length class, and of every function.
class ServerHashPieces : public ::testing::Test {
 protected:
  ServerHashPieces()
      : plan_(plan_of({PgType::int8, PgType::text, PgType::uuid, PgType::bytea, PgType::int2, PgType::float8,
                       PgType::text, PgType::boolean, PgType::text})),
        hasher_(plan_),
        tuple_(tuple_of(
            plan_,
            {Cell::of_integer(INT64_MIN + 77), Cell::of_text("sixteen letters."),
             Cell::of_text("00112233-4455-6677-8899-aabbccddeeff"),
             Cell::of_text("a value of more than a few blocks, so that it is cut inside one"),
             Cell::of_integer(-2), Cell::of_real(0.1), Cell(), Cell::of_integer(1), Cell::of_text("")})),
        whole_(hasher_.hash(bytes_of(tuple_))) {}

  // Of the tuple cut at these places. Every piece in memory of its own, whose ends a sanitizer guards.
  [[nodiscard]] std::uint64_t hash_cut_at(const std::vector<std::size_t>& cuts) const {
    const std::span<const std::byte> tuple = bytes_of(tuple_);
    std::vector<std::vector<std::byte>> copies;
    std::size_t from = 0;
    const auto copy_until = [&](std::size_t to) {
      copies.emplace_back(tuple.begin() + static_cast<std::ptrdiff_t>(from),
                          tuple.begin() + static_cast<std::ptrdiff_t>(to));
      from = to;
    };
    for (const std::size_t cut : cuts) copy_until(cut);
    copy_until(tuple.size());
    const std::vector<std::span<const std::byte>> pieces(copies.begin(), copies.end());
    return hasher_.hash(pieces);
  }

  TablePlan plan_;
  ServerHasher hasher_;
  std::string tuple_;
  std::uint64_t whole_;
};

TEST_F(ServerHashPieces, HashAsTheWholeAtEveryCut) {
  for (std::size_t first = 0; first <= tuple_.size(); ++first) {
    for (std::size_t second = first; second <= tuple_.size(); ++second) {
      ASSERT_EQ(hash_cut_at({first, second}), whole_) << first << " " << second;
    }
  }
}

TEST_F(ServerHashPieces, HashAsTheWholeByteByByte) {
  std::vector<std::size_t> cuts;
  for (std::size_t at = 0; at < tuple_.size(); ++at) cuts.insert(cuts.end(), {at, at});
  EXPECT_EQ(hash_cut_at(cuts), whole_);
}

// ---- misuse ----

TEST_F(ServerHashPieces, RefuseATupleThatEndsEarly) {
  for (std::size_t size = 0; size < tuple_.size(); ++size) {
    const std::vector<std::byte> cut(bytes_of(tuple_).begin(),
                                     bytes_of(tuple_).begin() + static_cast<std::ptrdiff_t>(size));
    const std::array pieces = {std::span(cut).first(size / 2), std::span(cut).subspan(size / 2)};
    EXPECT_THROW(static_cast<void>(hasher_.hash(cut)), Error) << size;
    EXPECT_THROW(static_cast<void>(hasher_.hash(pieces)), Error) << size;
  }
}

TEST(ServerHash, RefusesATupleOfAnotherTable) {
  const ServerHasher hasher(plan_of({PgType::int8}));
  const auto hash = [&](const std::vector<PgType>& types, const std::vector<Cell>& row) {
    return hasher.hash(bytes_of(tuple_of(plan_of(types), row)));
  };
  EXPECT_THROW(hash({PgType::int8, PgType::int8}, {Cell(), Cell()}), Error) << "more columns";
  EXPECT_THROW(hash({PgType::int4}, {Cell::of_integer(1)}), Error) << "a smaller type";
  const std::string tuple = tuple_of(plan_of({PgType::text}), {Cell::of_text("longer than any number")});
  const std::array pieces = {bytes_of(tuple).first(10), bytes_of(tuple).subspan(10)};
  EXPECT_THROW(static_cast<void>(hasher.hash(pieces)), Error) << "a larger type in pieces";
}

// ---- which tables ----

TEST(ServerHash, IsNotForTypesWithAHashOfTheirOwn) {
  for (const PgTypeName& name : kPgTypeNames) {
    const bool own = name.type == PgType::numeric || name.type == PgType::json ||
                     name.type == PgType::jsonb || name.type == PgType::bpchar ||
                     name.type == PgType::interval;
    EXPECT_EQ(why_no_server_hash(plan_of({PgType::int8, name.type})).empty(), !own) << name.sql;
  }
  TablePlan plan = plan_of({PgType::text, PgType::numeric, PgType::json});
  plan.columns[1].modifier = {10, 2};
  EXPECT_EQ(why_no_server_hash(plan),
            "column c2 is of type numeric(10,2), whose hash only the server can compute");
}

TEST(ServerHash, IsNotForTypesOfTheTarget) {
  TablePlan plan = plan_of({PgType::text});
  plan.columns[0].type_name = "public.citext";
  EXPECT_EQ(why_no_server_hash(plan),
            "column c1 is of type public.citext, whose hash only the server can compute");
}

TEST(ServerHash, IsNotForARowWithoutColumns) {
  EXPECT_EQ(why_no_server_hash(plan_of({})), "a row without columns has no hash");
}

}  // namespace
}  // namespace sluice
