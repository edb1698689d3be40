// Which rows have no equal on the other side, and a row of the source as a digest.

#include "verify/row_diff.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <map>
#include <random>
#include <string>
#include <vector>

#include "support/seed.h"
#include "verify/row_digest.h"
#include "verify/row_digester.h"

namespace sluice {
namespace {

RowMark mark(std::uint64_t key, std::uint64_t row, std::uint64_t place = 0) {
  return {Digest{0, key}, Digest{0, row}, place, 0};
}

// "k:s/t" for each pair: key, row of the source, row of the target; - for none.
std::vector<std::string> spelled(const std::vector<RowPair>& pairs) {
  std::vector<std::string> texts;
  for (const RowPair& pair : pairs) {
    const auto text = [](const std::optional<RowMark>& mark) {
      return mark ? std::to_string(mark->row.low) : std::string("-");
    };
    const std::uint64_t key = (pair.source ? pair.source : pair.target)->identity.low;
    texts.push_back(std::to_string(key) + ":" + text(pair.source) + "/" + text(pair.target));
  }
  return texts;
}

TEST(RowDiff, TellsMissingMismatchAndExtraneousByTheKey) {
  RowDiff diff;
  for (const std::uint64_t key : {1, 2, 3, 4}) diff.add_source(mark(key, 10 * key));
  diff.add_target(mark(3, 31));
  diff.add_target(mark(5, 50));
  diff.add_target(mark(1, 10));
  EXPECT_EQ(spelled(diff.finish()), (std::vector<std::string>{"2:20/-", "3:30/31", "4:40/-", "5:-/50"}));
  EXPECT_TRUE(diff.finish().empty());
}

TEST(RowDiff, CountsRowsThatAreDouble) {
  RowDiff diff;
  for (int i = 0; i < 3; ++i) diff.add_source(mark(7, 7));
  diff.add_source(mark(8, 8));
  diff.add_target(mark(7, 7));
  for (int i = 0; i < 2; ++i) diff.add_target(mark(8, 8));
  EXPECT_EQ(spelled(diff.finish()), (std::vector<std::string>{"7:7/-", "7:7/-", "8:-/8"}));
}

TEST(RowDiff, KeepsThePlacesOfBothSides) {
  RowDiff diff;
  diff.add_source(mark(1, 5, 42));
  diff.add_target(mark(1, 6, 77));
  const std::vector<RowPair> pairs = diff.finish();
  ASSERT_EQ(pairs.size(), 1u);
  EXPECT_EQ(pairs[0].source->place, 42u);
  EXPECT_EQ(pairs[0].target->place, 77u);
}

// Against counting with a map, on few keys and rows so that everything happens.
TEST(RowDiff, LeavesWhatCountingLeaves) {
  std::mt19937_64 random(testing::test_seed());
  for (int round = 0; round < 500; ++round) {
    RowDiff diff;
    std::map<std::pair<std::uint64_t, std::uint64_t>, int> balance;  // (key, row): source minus target
    const auto draw = [&] { return std::pair(random() % 6, random() % 3); };
    for (std::uint64_t i = random() % 30; i > 0; --i) {
      const auto [key, row] = draw();
      diff.add_source(mark(key, row, i));
      ++balance[{key, row}];
    }
    for (std::uint64_t i = random() % 30; i > 0; --i) {
      const auto [key, row] = draw();
      diff.add_target(mark(key, row, i));
      --balance[{key, row}];
    }
    for (const RowPair& pair : diff.finish()) {
      if (pair.source && pair.target) {
        EXPECT_EQ(pair.source->identity, pair.target->identity);
      }
      if (pair.source) --balance[{pair.source->identity.low, pair.source->row.low}];
      if (pair.target) ++balance[{pair.target->identity.low, pair.target->row.low}];
    }
    for (const auto& [row, left] : balance) EXPECT_EQ(left, 0) << row.first << ", " << row.second;
  }
}

// ---- RowDigester ----

TablePlan plan_of_texts() {
  TablePlan plan;
  plan.row_key = RowKey::ordered_integer;
  plan.key_columns = {0};
  plan.columns.emplace_back().type = PgType::int8;
  for (int i = 0; i < 2; ++i) plan.columns.emplace_back().type = PgType::text;
  plan.columns.emplace_back().type = PgType::bytea;
  return plan;
}

TEST(RowDigester, HashesLargeValuesWhereTheyAreAsIfTheyWereInTheTuple) {
  const TablePlan plan = plan_of_texts();
  const std::string large(kApartBytesMin + 5, 'x');
  const std::vector<std::byte> bytes(kApartBytesMin + 9, std::byte{7});
  const std::vector<Cell> row = {Cell::of_integer(9), Cell::of_text(large), Cell(), Cell::of_blob(bytes)};
  RowDigester digester(plan);
  ASSERT_TRUE(digester.take(row));
  RowEncoder encoder(plan);
  Buffer tuple;
  ASSERT_TRUE(encoder.encode(row, tuple));
  EXPECT_EQ(digester.digest(), digest_of_row(tuple.span()));
  EXPECT_EQ(digester.field_digests(), field_digests(tuple.span()));
  std::string sent;
  for (const auto piece : digester.sent_pieces()) {
    sent.append(reinterpret_cast<const char*>(piece.data()), piece.size());
  }
  EXPECT_EQ(sent, tuple.view());
  EXPECT_LT(digester.key_tuple().size(), 100u);
  EXPECT_EQ(LeafRule(plan).key_of(digester.key_tuple()), 9);
  // The next row has nothing of the last one.
  const std::vector<Cell> small = {Cell::of_integer(10), Cell::of_text("a"), Cell::of_text(""), Cell()};
  ASSERT_TRUE(digester.take(small));
  tuple.clear();
  ASSERT_TRUE(encoder.encode(small, tuple));
  EXPECT_EQ(digester.digest(), digest_of_row(tuple.span()));
  EXPECT_EQ(digester.field_digests(), field_digests(tuple.span()));
}

TEST(RowDigester, TellsNullFromEmptyInAField) {
  const TablePlan plan = plan_of_texts();
  RowDigester digester(plan);
  ASSERT_TRUE(digester.take(std::vector<Cell>{Cell::of_integer(1), Cell(), Cell::of_text(""), Cell()}));
  const std::vector<Digest> fields = digester.field_digests();
  EXPECT_FALSE(fields[1] == fields[2]);
}

TEST(RowDigester, SendsNoGeneratedColumn) {
  TablePlan plan = plan_of_texts();
  plan.columns[3].generated_as = "x";
  RowDigester digester(plan);
  const std::string large(kApartBytesMin + 5, 'x');
  ASSERT_TRUE(digester.take(
      std::vector<Cell>{Cell::of_integer(1), Cell::of_text(large), Cell::of_text("b"), Cell::of_text("g")}));
  const std::vector<Digest> fields = digester.field_digests();
  EXPECT_EQ(fields.size(), 4u);
  std::string sent;
  for (const auto piece : digester.sent_pieces()) {
    sent.append(reinterpret_cast<const char*>(piece.data()), piece.size());
  }
  TupleFields tuple(std::as_bytes(std::span(sent)));
  EXPECT_EQ(tuple.count(), 3u);
  for (int i = 0; i < 3; ++i) tuple.next();
  EXPECT_EQ(sent.back(), 'b');
}

}  // namespace
}  // namespace sluice
