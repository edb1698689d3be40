// The answers were given by PostgreSQL 15: SELECT hashint8extended(1, hashint4extended(-5, 126909663503205))
// and so on, other columns with their seeds of verify/DIGEST.md. The same against a server is
// tests/pg/server_hash_test.cc.

#include <gtest/gtest.h>

#include <array>
#include <cmath>
#include <cstdint>
#include <limits>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "engine/model/digest.h"
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
      {PgType::int2, Cell::of_integer(-5), 0x3e019cccb0860409},
      {PgType::int4, Cell::of_integer(-5), 0x3e019cccb0860409},
      {PgType::int8, Cell::of_integer(-5), 0x3e019cccb0860409},
      {PgType::int4, Cell::of_integer(42), 0xac9c43cd70bc9bcc},
      {PgType::int8, Cell::of_integer(1099511627777), 0xc73e1796782134bb},
      {PgType::int8, Cell::of_integer(INT64_MIN), 0x7eefe76276895824},
      {PgType::boolean, Cell::of_integer(1), 0x8c68b70e2574002d},
      {PgType::boolean, Cell::of_integer(0), 0x63eca9b8d3e0eb5c},
      {PgType::float8, Cell::of_real(1.5), 0x5457c2d6040b7619},
      {PgType::float4, Cell::of_real(1.5), 0x5457c2d6040b7619},
      {PgType::float8, Cell::of_real(0.1), 0x358f3586a8525085},
      {PgType::float8, Cell::of_real(0.0), 0xe32680a1f836e747},
      {PgType::float8, Cell::of_real(-0.0), 0xe32680a1f836e747},
      {PgType::float4, Cell::of_real(-0.0), 0xe32680a1f836e747},
      {PgType::float8, Cell::of_real(-kInfinity), 0xbee36cfe52b218dc},
      {PgType::float8, Cell::of_real(std::nan("1")), 0x71147a63b61fe794},
      {PgType::text, Cell::of_text("sluice"), 0x24502bbedb0eb7ea},
      {PgType::varchar, Cell::of_text("sluice"), 0x24502bbedb0eb7ea},
      {PgType::bytea, Cell::of_blob(kBytes), 0x7bc25a6853f6ef74},
      {PgType::uuid, Cell::of_text("00112233-4455-6677-8899-aabbccddeeff"), 0x0983387965ced5ce},
      {PgType::date, Cell::of_text("1999-12-31"), 0x07435ac3891da4db},
      {PgType::time, Cell::of_text("12:34:56.5"), 0xa3ce044da768689b},
      {PgType::timestamp, Cell::of_text("2024-02-29 12:34:56"), 0x57789ab367019e1b},
      {PgType::timestamptz, Cell::of_text("2024-02-29T12:34:56Z"), 0x57789ab367019e1b},
      {PgType::text, Cell(), 0xcd0f69c48e731746},
  };
  for (const auto& [type, cell, answer] : known) {
    EXPECT_EQ(hash_of({type}, {cell}), answer) << name_of(type).sql;
  }
}

TEST(ServerHash, OfARowIsWhatTheServerAnswered) {
  const std::vector<PgType> types = {PgType::int8, PgType::text, PgType::float8, PgType::boolean};
  EXPECT_EQ(hash_of(types, {Cell::of_integer(7), Cell::of_text("amber"), Cell(), Cell::of_integer(1)}),
            0x39aaee7556026d08);
  EXPECT_EQ(hash_of({PgType::int8, PgType::text}, {Cell(), Cell::of_text("amber")}), 0x222ecaebdc8d0fa7);
}

TEST(ServerHash, OfTextOfEveryLengthIsWhatTheServerAnswered) {
  constexpr std::string_view kText = "The quick brown fox jumps over the lazy dog";
  constexpr std::array<std::uint64_t, 41> kAnswers = {
      0x4addbc4ca7365677, 0x84cbab94582a1594, 0xfd16ea29b26c3e62, 0x3237845d14b07ded, 0x354e3485acbdacb0,
      0xbd032c728c3b9fea, 0xb07e410270386b42, 0xf2aab91cce5035aa, 0x7cd9b14eedc6a5f2, 0x322028a76d107747,
      0x2ef0abc454ddb7e7, 0x1772f1656d978637, 0x33407c116f88d852, 0xaaab4d4e501969b7, 0xfee40c28f4a9dacd,
      0xe42aca4743c7ba0c, 0x833805b580bfe159, 0x2d35b92804a94d62, 0x21924744f3c6acff, 0x8511e5aec1e7dc24,
      0xe4ece92a9a6facfe, 0xcfdb0dfa61a36491, 0x4dc127f24ea9d0da, 0xf1423a57658ea918, 0x9344ac8078dd9176,
      0x55b7c86f48104f6d, 0x7e6369bff94bb787, 0x0908f0057d8c1147, 0xc52bc01f44264bd6, 0x9c34dbf4f4fa99ac,
      0x6796b6be47185dc3, 0x7b77907449112875, 0x16047a8a3cc93c6d, 0xd9aa8f8fe56a0e35, 0xa73b5e909afa1465,
      0x011ddf2991b56430, 0xbcfa2f0791477452, 0xcc549c285c155a0f, 0x032bc875dcf7fbcf, 0x304a7734d0d8915a,
      0x0f01fa87637911d2};
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

// Of rows that are only added up, every bit in which neither the two keys' hashes nor the two values' hashes
// differ both would cancel: these are the pairs of sixty thousand rows for which that was all 64 of them.
TEST(ServerHash, SumsShowValuesThatChangedPlaces) {
  const std::vector<PgType> types = {PgType::int8, PgType::text};
  const auto sum_of = [&](const std::vector<std::pair<int, int>>& rows) {
    Digest sum;
    for (const auto& [id, named] : rows) {
      const std::string name = "name " + std::to_string(named);
      sum += digest_of_signed(
          static_cast<std::int64_t>(hash_of(types, {Cell::of_integer(id), Cell::of_text(name)})));
    }
    return sum;
  };
  for (const auto& [one, other] : {std::pair{333, 40473}, {2718, 7747}}) {
    EXPECT_FALSE(sum_of({{one, one}, {other, other}}) == sum_of({{one, other}, {other, one}})) << one;
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
