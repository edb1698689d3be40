// Our hash of a row against the same by functions of real servers: the digest of a table that no row leaves
// rests on their being one function.

#include <gtest/gtest.h>

#include <array>
#include <bit>
#include <cstdint>
#include <initializer_list>
#include <limits>
#include <map>
#include <optional>
#include <random>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "engine/model/error.h"
#include "io/postgres/connection.h"
#include "io/postgres/copy_stream.h"
#include "io/wire/type_table.h"
#include "support/query.h"
#include "support/seed.h"
#include "support/test_server.h"
#include "verify/server_hash.h"

namespace sluice {
namespace {

using testing::execute;
using testing::TestServer;

// A field as it travels, without its length: values of the wire and not of SQLite, so that also what we never
// send ourselves is tried.
using Field = std::optional<std::string>;

template <class Integer>
Field field_of(Integer value) {
  const auto bits = to_big_endian(value);
  return std::string(reinterpret_cast<const char*>(&bits), sizeof bits);
}
Field field_of(double value) { return field_of(std::bit_cast<std::uint64_t>(value)); }
Field field_of(float value) { return field_of(std::bit_cast<std::uint32_t>(value)); }

Field field_of(const TypeRow& row, const Cell& cell) {
  Buffer buffer;
  EXPECT_EQ(row.encode(cell, buffer), Misfit::none) << name_of(row.type).sql;
  return std::string(buffer.view().substr(4));
}

std::vector<PgType> hashed_types() {
  std::vector<PgType> types;
  for (const PgTypeName& name : kPgTypeNames) {
    TablePlan plan;
    plan.columns.emplace_back().type = name.type;
    if (why_no_server_hash(plan).empty()) types.push_back(name.type);
  }
  return types;
}

// What the server takes of dates and timestamps, and both infinities.
constexpr std::int32_t kFirstDay = -2451545;   // 4714-11-24 BC
constexpr std::int32_t kLastDay = 2145031948;  // 5874897-12-31
constexpr std::int64_t kDay = 86'400'000'000;  // in microseconds
constexpr std::int64_t kTimestampDays = 106'000'000;

std::vector<Field> edge_fields(PgType type) {
  std::vector<Field> fields = {std::nullopt};
  const auto add = [&]<class Value>(std::initializer_list<Value> values) {
    for (const Value value : values) fields.push_back(field_of(value));
  };
  const auto add_reals = [&]<class Real>(Real zero) {
    using Limits = std::numeric_limits<Real>;
    add({zero, -zero, Real{1}, -Limits::infinity(), Limits::infinity(), Limits::quiet_NaN(),
         -Limits::quiet_NaN(), Limits::denorm_min(), -Limits::max(), Limits::epsilon()});
  };
  switch (type) {
    case PgType::int2:
      add({std::int16_t{0}, std::int16_t{-1}, std::int16_t{INT16_MIN}, std::int16_t{INT16_MAX}});
      break;
    case PgType::int4:
      add({0, -1, INT32_MIN, INT32_MAX});
      break;
    case PgType::int8:
      add({std::int64_t{0}, std::int64_t{-1}, INT64_MIN, INT64_MAX, INT64_MIN + 1, std::int64_t{INT32_MIN},
           std::int64_t{INT32_MIN} - 1, std::int64_t{INT32_MAX} + 1, std::int64_t{1} << 32});
      break;
    case PgType::float4:
      add_reals(0.0F);
      break;
    case PgType::float8:
      add_reals(0.0);
      // A NaN with a payload, which the server keeps.
      add({std::bit_cast<double>(0xfff8000000001234)});
      break;
    case PgType::boolean:
      add({std::int8_t{0}, std::int8_t{1}});
      break;
    case PgType::text:
    case PgType::varchar:
    case PgType::bytea: {
      // The bytes of a text differ from each other, so that none can stand in for another; signed ones, too.
      const bool text = type != PgType::bytea;
      std::string value;
      for (int size = 0; size <= 64; ++size) {
        fields.emplace_back(value);
        value += static_cast<char>(text ? '0' + size : 255 - size * 3);
      }
      fields.emplace_back("naïve 😀 €");
      while (value.size() < 300'000) value += value.substr(0, 300'000 - value.size());
      fields.emplace_back(value);
      break;
    }
    case PgType::date:
      add({0, -1, kFirstDay, kLastDay, INT32_MIN, INT32_MAX});
      break;
    case PgType::time:
      add({std::int64_t{0}, kDay, kDay - 1});
      break;
    case PgType::timestamp:
    case PgType::timestamptz:
      add({std::int64_t{0}, std::int64_t{-1}, kFirstDay * kDay, kTimestampDays * kDay, INT64_MIN, INT64_MAX});
      break;
    case PgType::uuid:
      fields.emplace_back(std::string(16, '\0'));
      fields.emplace_back(std::string(16, '\xff'));
      break;
    default:
      ADD_FAILURE() << "no edges for " << name_of(type).sql;
  }
  return fields;
}

std::string random_bytes(std::mt19937_64& random, std::size_t size) {
  std::string bytes(size, '\0');
  for (char& byte : bytes) byte = static_cast<char>(random());
  return bytes;
}

// Most texts are short; some go over many blocks.
std::size_t random_size(std::mt19937_64& random) { return random() % (random() % 8 == 0 ? 400 : 40); }

Field random_field(PgType type, std::mt19937_64& random) {
  if (random() % 8 == 0) return std::nullopt;
  // In unsigned arithmetic, because a range of timestamps is wider than a signed number.
  const auto between = [&](std::int64_t least, std::int64_t most) {
    const std::uint64_t width = static_cast<std::uint64_t>(most) - static_cast<std::uint64_t>(least);
    return static_cast<std::int64_t>(static_cast<std::uint64_t>(least) + random() % (width + 1));
  };
  switch (type) {
    case PgType::int2:
    case PgType::int4:
    case PgType::float4:
    case PgType::float8:
    case PgType::uuid:
      return random_bytes(random, name_of(type).bytes);
    case PgType::int8:
      return field_of(static_cast<std::int64_t>(random()) >> (random() % 64));
    case PgType::boolean:
      return field_of(static_cast<std::int8_t>(random() % 2));
    case PgType::text:
    case PgType::varchar: {
      constexpr std::array<std::string_view, 8> kPieces = {"a", "Z", " ", "\n", "\x7f", "é", "€", "😀"};
      std::string text;
      for (std::size_t size = random_size(random); text.size() < size;) {
        text += kPieces[random() % kPieces.size()];
      }
      return text;
    }
    case PgType::bytea:
      return random_bytes(random, random_size(random));
    case PgType::date:
      return field_of(static_cast<std::int32_t>(between(kFirstDay, kLastDay)));
    case PgType::time:
      return field_of(between(0, kDay));
    case PgType::timestamp:
    case PgType::timestamptz:
      return field_of(between(kFirstDay * kDay, kTimestampDays * kDay));
    default:
      ADD_FAILURE() << "no random values for " << name_of(type).sql;
      return std::nullopt;
  }
}

// ---- one table ----

using Row = std::vector<Field>;

std::string tuple_of(const Row& row) {
  Buffer buffer;
  buffer.put_int16(static_cast<std::int16_t>(row.size()));
  for (const Field& field : row) {
    buffer.put_int32(field ? static_cast<std::int32_t>(field->size()) : -1);
    if (field) buffer.append(*field);
  }
  return std::string(buffer.view());
}

// Loads the rows, whose first column numbers them, and compares what both sides say of each.
void expect_equal_hashes(const TestServer& server, const std::vector<PgType>& types,
                         const std::vector<Row>& rows) {
  TablePlan plan;
  std::string definitions;
  for (std::size_t i = 0; i < types.size(); ++i) {
    plan.columns.emplace_back().type = types[i];
    plan.columns.back().target = "c" + std::to_string(i);
    if (i > 0) definitions += ", ";
    definitions += plan.columns.back().target + " " + std::string(name_of(types[i]).sql);
  }
  ASSERT_EQ(why_no_server_hash(plan), "");
  execute(server.conninfo(), "DROP TABLE IF EXISTS t; CREATE TABLE t (" + definitions + ")");

  const ServerHasher hasher(plan);
  std::vector<std::uint64_t> ours;
  Connection connection(server.conninfo());
  {
    CopyStream copy(connection, "COPY t FROM STDIN (FORMAT binary)");
    for (const Row& row : rows) {
      const std::string tuple = tuple_of(row);
      copy.write(std::as_bytes(std::span(tuple)));
      ours.push_back(hasher.hash(std::as_bytes(std::span(tuple))));
    }
    ASSERT_EQ(copy.finish(), rows.size());
  }
  const Result theirs = connection.execute("SELECT c0, " + server_hash_sql(plan) + " FROM t ORDER BY c0");
  ASSERT_EQ(theirs.rows(), rows.size());
  for (std::size_t i = 0; i < rows.size(); ++i) {
    ASSERT_EQ(theirs.integer(i, 0), static_cast<std::int64_t>(i));
    ASSERT_EQ(static_cast<std::uint64_t>(theirs.integer(i, 1)), ours[i]) << definitions << ", row " << i;
  }
}

// ---- the servers ----

class ServerHashTest : public ::testing::TestWithParam<int> {
 protected:
  void SetUp() override {
    const auto binaries = testing::binaries_of(GetParam());
    if (!binaries) GTEST_SKIP() << testing::how_to_get(GetParam());
    static std::map<int, TestServer> servers;
    server_ =
        &servers.try_emplace(GetParam(), testing::TestServerOptions{.binaries = *binaries}).first->second;
  }

  TestServer* server_ = nullptr;
};

INSTANTIATE_TEST_SUITE_P(OnPostgreSQL, ServerHashTest, ::testing::Values(15, 16, 17, 18),
                         ::testing::PrintToStringParamName());

TEST_P(ServerHashTest, AgreesOnEverySampleOfTheTypeTable) {
  for (const PgType type : hashed_types()) {
    std::vector<Row> rows;
    for (const Sample& sample : row_of(type).samples()) {
      rows.push_back({field_of(std::int64_t{std::ssize(rows)}), field_of(row_of(type), sample.cell)});
    }
    expect_equal_hashes(*server_, {PgType::int8, type}, rows);
  }
}

TEST_P(ServerHashTest, AgreesOnTheEdgesOfEveryType) {
  for (const PgType type : hashed_types()) {
    std::vector<Row> rows;
    for (const Field& field : edge_fields(type)) {
      rows.push_back({field_of(std::int64_t{std::ssize(rows)}), field});
    }
    expect_equal_hashes(*server_, {PgType::int8, type}, rows);
  }
}

TEST_P(ServerHashTest, AgreesOnRandomRowsOfRandomColumns) {
  std::mt19937_64 random(testing::test_seed());
  const std::vector<PgType> hashed = hashed_types();
  for (int table = 0; table < 30; ++table) {
    std::vector<PgType> types = {PgType::int8};
    for (std::uint64_t more = random() % 16; more > 0; --more)
      types.push_back(hashed[random() % hashed.size()]);
    std::vector<Row> rows;
    for (std::int64_t number = 0; number < 300; ++number) {
      Row& row = rows.emplace_back();
      row.push_back(field_of(number));
      while (row.size() < types.size()) row.push_back(random_field(types[row.size()], random));
    }
    expect_equal_hashes(*server_, types, rows);
    if (HasFatalFailure()) return;
  }
}

TEST_P(ServerHashTest, AgreesOnTheWidestTable) {
  std::mt19937_64 random(testing::test_seed());
  std::vector<PgType> types(1600, PgType::boolean);
  types[0] = PgType::int8;
  Row row = {field_of(std::int64_t{0})};
  while (row.size() < types.size()) row.push_back(random_field(PgType::boolean, random));
  expect_equal_hashes(*server_, types, {row});
}

}  // namespace
}  // namespace sluice
