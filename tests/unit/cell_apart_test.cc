#include <gtest/gtest.h>

#include <algorithm>
#include <random>
#include <span>
#include <string>
#include <vector>

#include "io/wire/row_encoder.h"
#include "support/seed.h"
#include "verify/row_digest.h"

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

Cell blob(const std::string& bytes) { return Cell::of_blob(std::as_bytes(std::span(bytes))); }

TEST(CellsApart, MakeTheSameTupleAndTheSameDigest) {
  std::mt19937_64 random(testing::test_seed());
  const TablePlan plan = plan_of({PgType::int8, PgType::text, PgType::bytea, PgType::varchar, PgType::text});
  RowEncoder encoder(plan);
  for (int round = 0; round < 40; ++round) {
    std::vector<std::string> values(4);
    for (std::string& value : values) {
      const bool large = random() % 2 == 0;
      value.assign((large ? kApartBytesMin - 2 : 0) + random() % 5, 'a');
      for (std::size_t i = 0; i < value.size(); i += 1 + random() % 5000)
        value[i] = static_cast<char>('a' + random() % 26);
    }
    const std::vector<Cell> row = {Cell::of_integer(round), Cell::of_text(values[0]),
                                   random() % 2 == 0 ? blob(values[1]) : Cell::of_text(values[1]),
                                   Cell::of_text(values[2]),
                                   random() % 3 == 0 ? Cell() : Cell::of_text(values[3])};
    Buffer whole;
    whole.append("before");
    ASSERT_TRUE(encoder.encode(row, whole));
    const bool expected = std::any_of(row.begin(), row.end(), is_large);
    EXPECT_EQ(encoder.has_apart(row), expected);
    Buffer parts;
    parts.append("before");
    std::vector<CellApart> apart;
    ASSERT_TRUE(encoder.encode_apart(row, parts, apart));
    EXPECT_EQ(apart.empty(), !expected);
    std::vector<std::span<const std::byte>> pieces;
    std::size_t at = 6;
    for (const CellApart& cell : apart) {
      pieces.push_back(parts.span().subspan(at, cell.offset - at));
      pieces.push_back(cell.bytes);
      at = cell.offset;
    }
    pieces.push_back(parts.span().subspan(at));
    Buffer joined;
    joined.append("before");
    for (const auto piece : pieces) joined.append(piece);
    ASSERT_TRUE(joined.view() == whole.view());
    EXPECT_EQ(digest_of_row(pieces), digest_of_row(whole.span().subspan(6)));
  }
}

TEST(CellsApart, AreDocumentsThatAreSentAsTheyAre) {
  RowEncoder encoder(plan_of({PgType::json, PgType::jsonb}));
  const std::string document = "[\"" + std::string(kApartBytesMin, 'x') + "\"]";
  const std::vector<Cell> row = {Cell::of_text(document), Cell::of_text(document)};
  Buffer whole;
  ASSERT_TRUE(encoder.encode(row, whole));
  ASSERT_TRUE(encoder.has_apart(row));
  Buffer out;
  std::vector<CellApart> apart;
  ASSERT_TRUE(encoder.encode_apart(row, out, apart));
  ASSERT_EQ(apart.size(), 1U);
  EXPECT_EQ(digest_of_row(pieces_of(out, 0, apart)), digest_of_row(whole.span()));
}

TEST(CellsApart, ARejectedRowLeavesNothing) {
  const TablePlan plan = plan_of({PgType::text, PgType::text, PgType::int8, PgType::json});
  RowEncoder encoder(plan);
  const std::string good(kApartBytesMin, 'x');
  std::string bad = good;
  bad.back() = '\xff';
  std::string nul = good;
  nul[1000] = '\0';
  const std::vector<std::pair<std::vector<Cell>, Misfit>> rows = {
      {{Cell::of_text(good), Cell::of_text(bad), Cell(), Cell()}, Misfit::invalid_utf8},
      {{Cell::of_text(good), Cell::of_text(nul), Cell(), Cell()}, Misfit::nul_character},
      {{Cell::of_text(good), blob(good), Cell(), Cell()}, Misfit::storage_class},
      {{Cell::of_text(good), Cell(), Cell::of_text("x"), Cell()}, Misfit::storage_class},
      {{Cell(), Cell(), Cell(), Cell::of_text(good)}, Misfit::invalid_json},
      {{Cell(), Cell(), Cell(), blob(good)}, Misfit::storage_class}};
  for (const auto& [row, reason] : rows) {
    ASSERT_TRUE(encoder.has_apart(row));
    Buffer out;
    out.append("before");
    std::vector<CellApart> apart;
    EXPECT_FALSE(encoder.encode_apart(row, out, apart));
    EXPECT_EQ(out.view(), "before");
    EXPECT_EQ(encoder.reject().reason, reason);
  }
}

TEST(CellsApart, KeysAndGeneratedColumnsStayInOnePiece) {
  TablePlan plan = plan_of({PgType::text, PgType::text});
  plan.row_key = RowKey::columns;
  plan.key_columns = {0};
  const std::string large(kApartBytesMin, 'x');
  const std::vector<Cell> key = {Cell::of_text(large), Cell()};
  EXPECT_FALSE(RowEncoder(plan).has_apart(key));
  const std::vector<Cell> value = {Cell(), Cell::of_text(large)};
  EXPECT_TRUE(RowEncoder(plan).has_apart(value));
  plan.columns[1].generated_as = "upper(a)";
  EXPECT_FALSE(RowEncoder(plan).has_apart(value));
}

}  // namespace
}  // namespace sluice
