#include <gtest/gtest.h>

#include <algorithm>
#include <cstdint>
#include <numeric>
#include <random>
#include <set>
#include <span>
#include <string>
#include <vector>

#include "engine/model/error.h"
#include "io/wire/buffer.h"
#include "support/seed.h"
#include "verify/leaves.h"
#include "verify/merkle.h"
#include "verify/row_digest.h"

namespace sluice {
namespace {

using Tuple = std::string;

std::span<const std::byte> bytes_of(const Tuple& tuple) { return std::as_bytes(std::span(tuple)); }

// A tuple of a bigint and a text, written out by hand: the digest must not depend on our own encoder.
Tuple tuple_of(std::int64_t key, const std::string& text) {
  Buffer buffer;
  buffer.put_int16(2);
  buffer.put_int32(8);
  buffer.put_int64(key);
  buffer.put_int32(static_cast<std::int32_t>(text.size()));
  buffer.append(text);
  return Tuple(buffer.view());
}

TablePlan plan_of(RowKey key) {
  TablePlan plan;
  plan.columns.resize(2);
  plan.columns[0].type = PgType::int8;
  plan.row_key = key;
  if (key == RowKey::ordered_integer || key == RowKey::columns) plan.key_columns = {0};
  if (key == RowKey::columns) plan.key_columns = {1, 0};
  plan.extents = {WholeTable{}};
  return plan;
}

// Enough rows for several leaves of an ordered table.
const std::vector<Tuple>& sample_rows() {
  static const std::vector<Tuple> rows = [] {
    std::vector<Tuple> made;
    for (std::int64_t key = -30000; key < 70000; ++key) {
      made.push_back(tuple_of(key, "value " + std::to_string(key * key % 1013)));
    }
    return made;
  }();
  return rows;
}

RangeDigest digest_of(const TablePlan& plan, std::span<const Tuple> rows) {
  RangeDigester digester(plan);
  for (const Tuple& row : rows) digester.add(bytes_of(row));
  return digester.finish();
}

TableLeaves source_side(const TablePlan& plan, const std::vector<Tuple>& rows) {
  return TableLeaves(plan, {digest_of(plan, rows)});
}

TableLeaves read_back(const TableLeaves& source, const std::vector<Tuple>& rows) {
  TableLeaves target = source.emptied();
  for (const Tuple& row : rows) target.add(bytes_of(row));
  return target;
}

std::vector<RowSum> sums_of(const TableLeaves& leaves) {
  std::vector<RowSum> sums;
  for (const Leaf& leaf : leaves.leaves()) sums.push_back(leaf.rows);
  return sums;
}

class LeavesTest : public ::testing::TestWithParam<RowKey> {
 protected:
  std::mt19937_64 random_{testing::test_seed()};
};

INSTANTIATE_TEST_SUITE_P(EveryKindOfKey, LeavesTest,
                         ::testing::Values(RowKey::ordered_integer, RowKey::columns, RowKey::rowid,
                                           RowKey::none),
                         [](const auto& info) {
                           switch (info.param) {
                             case RowKey::ordered_integer:
                               return "OrderedInteger";
                             case RowKey::columns:
                               return "Columns";
                             case RowKey::rowid:
                               return "Rowid";
                             case RowKey::none:
                               break;
                           }
                           return "None";
                         });

TEST_P(LeavesTest, DoNotDependOnTheCutsIntoRanges) {
  const TablePlan plan = plan_of(GetParam());
  const std::vector<Tuple>& rows = sample_rows();
  const TableLeaves whole = source_side(plan, rows);
  EXPECT_EQ(whole.total().rows, rows.size());
  EXPECT_GT(whole.leaves().size(), 3u);
  for (int i = 0; i < 8; ++i) {
    std::vector<std::size_t> cuts(random_() % 30);
    for (std::size_t& cut : cuts) cut = random_() % (rows.size() + 1);
    cuts.push_back(rows.size());
    std::sort(cuts.begin(), cuts.end());
    std::vector<RangeDigest> ranges;
    RowSum total;
    std::size_t begin = 0;
    for (const std::size_t end : cuts) {
      ranges.push_back(digest_of(plan, std::span(rows).subspan(begin, end - begin)));
      EXPECT_EQ(ranges.back().total.rows, end - begin);
      total += ranges.back().total;
      begin = end;
    }
    const TableLeaves pieces(plan, ranges);
    EXPECT_EQ(sums_of(pieces), sums_of(whole));
    EXPECT_EQ(pieces.root(), whole.root());
    EXPECT_EQ(total, whole.total());
  }
}

TEST_P(LeavesTest, DoNotDependOnTheOrderOfReadingBack) {
  const TableLeaves source = source_side(plan_of(GetParam()), sample_rows());
  std::vector<Tuple> rows = sample_rows();
  std::shuffle(rows.begin(), rows.end(), random_);
  const TableLeaves target = read_back(source, rows);
  EXPECT_TRUE(differing_leaves(source, target).empty());
  EXPECT_EQ(target.root(), source.root());
}

TEST_P(LeavesTest, AddUpFromPartsReadSideBySide) {
  const TableLeaves source = source_side(plan_of(GetParam()), sample_rows());
  std::vector<std::vector<Tuple>> parts(5);
  for (const Tuple& row : sample_rows()) parts[random_() % parts.size()].push_back(row);
  TableLeaves target = source.emptied();
  EXPECT_EQ(target.total().rows, 0u);
  for (const auto& part : parts) target.merge(read_back(source, part));
  EXPECT_TRUE(differing_leaves(source, target).empty());
  EXPECT_EQ(target.root(), source.root());
}

// The rows of a target that somebody touched must differ in few leaves, in the root and where it says.
void expect_difference(const TableLeaves& source, const std::vector<Tuple>& rows, std::size_t leaves_max,
                       const char* what) {
  const TableLeaves target = read_back(source, rows);
  const std::vector<std::size_t> differing = differing_leaves(source, target);
  EXPECT_GE(differing.size(), 1u) << what;
  EXPECT_LE(differing.size(), leaves_max) << what;
  EXPECT_NE(target.root(), source.root()) << what;
}

TEST_P(LeavesTest, ShowEveryDifference) {
  const TableLeaves source = source_side(plan_of(GetParam()), sample_rows());
  for (int i = 0; i < 3; ++i) {
    std::vector<Tuple> rows = sample_rows();
    const std::size_t at = random_() % rows.size();
    const std::size_t other = (at + 1 + random_() % (rows.size() - 1)) % rows.size();
    const auto key_of = [](std::size_t row) { return static_cast<std::int64_t>(row) - 30000; };

    rows[at] = tuple_of(key_of(at), "changed");
    expect_difference(source, rows, 2, "one value changed");

    rows = sample_rows();
    rows[at].back() = static_cast<char>(rows[at].back() ^ 1);
    expect_difference(source, rows, 2, "one bit changed");

    rows = sample_rows();
    rows.erase(rows.begin() + static_cast<std::ptrdiff_t>(at));
    expect_difference(source, rows, 1, "one row missing");

    rows = sample_rows();
    rows.push_back(rows[at]);
    expect_difference(source, rows, 1, "one row twice");

    rows = sample_rows();
    rows.push_back(tuple_of(1000000 + static_cast<std::int64_t>(at), "new"));
    expect_difference(source, rows, 1, "one row added");

    rows = sample_rows();
    rows[at] = rows[other];
    expect_difference(source, rows, 2, "one row instead of another");

    rows = sample_rows();
    rows[at] = tuple_of(key_of(at), "left");
    rows[other] = tuple_of(key_of(other), "right");
    const TableLeaves before = source_side(plan_of(GetParam()), rows);
    rows[at] = tuple_of(key_of(at), "right");
    rows[other] = tuple_of(key_of(other), "left");
    expect_difference(before, rows, 4, "the values of two rows swapped");
  }
}

TEST_P(LeavesTest, TellNullFromEmpty) {
  const TablePlan plan = plan_of(GetParam());
  Buffer null;
  null.put_int16(2);
  null.put_int32(8);
  null.put_int64(1);
  null.put_int32(-1);
  const TableLeaves source = source_side(plan, {tuple_of(1, "")});
  expect_difference(source, {Tuple(null.view())}, 2, "NULL for an empty text");
}

TEST_P(LeavesTest, OfNoRowsHaveARoot) {
  const TablePlan plan = plan_of(GetParam());
  const TableLeaves empty(plan, {});
  EXPECT_EQ(empty.total().rows, 0u);
  EXPECT_EQ(TableLeaves(plan, {digest_of(plan, {}), digest_of(plan, {})}).root(), empty.root());
  expect_difference(empty, {tuple_of(1, "x")}, 1, "a row in an empty table");
}

TEST(LeafRule, TakesAKeyThatIsNoBigint) {
  const TableLeaves source = source_side(plan_of(RowKey::ordered_integer), sample_rows());
  Buffer strange;
  strange.put_int16(2);
  strange.put_int32(-1);
  strange.put_int32(-1);
  expect_difference(source, {Tuple(strange.view())}, source.leaves().size(), "a NULL key");
}

TEST(LeafRule, PartsKeysThatTurnTheirFieldsAround) {
  TablePlan plan = plan_of(RowKey::columns);
  const LeafRule rule(plan);
  const auto pair = [](const std::string& left, const std::string& right) {
    Buffer buffer;
    buffer.put_int16(2);
    for (const std::string& text : {left, right}) {
      buffer.put_int32(static_cast<std::int32_t>(text.size()));
      buffer.append(text);
    }
    return Tuple(buffer.view());
  };
  int same = 0;
  for (int i = 0; i < 1000; ++i) {
    const Tuple forth = pair("a" + std::to_string(i), "b");
    const Tuple back = pair("b", "a" + std::to_string(i));
    if (rule.bucket_of(bytes_of(forth), {}) == rule.bucket_of(bytes_of(back), {})) ++same;
  }
  EXPECT_LT(same, 30);
}

TEST(LeafRule, SpreadsRowsOverAllBuckets) {
  for (const RowKey key : {RowKey::columns, RowKey::none}) {
    const TableLeaves leaves = source_side(plan_of(key), sample_rows());
    ASSERT_EQ(leaves.leaves().size(), kBuckets);
    const double mean = static_cast<double>(sample_rows().size()) / static_cast<double>(kBuckets);
    for (const Leaf& leaf : leaves.leaves()) {
      EXPECT_GT(static_cast<double>(leaf.rows.rows), mean / 2);
      EXPECT_LT(static_cast<double>(leaf.rows.rows), mean * 2);
    }
  }
}

TEST(CutsAfter, AboutEverySixteenThousandthKey) {
  const auto count = [](std::int64_t first, std::int64_t step) {
    int cuts = 0;
    for (int i = 0; i < (1 << 20); ++i) {
      if (cuts_after(first + i * step)) ++cuts;
    }
    return cuts;
  };
  // 64 expected, with a deviation of 8.
  for (const std::int64_t step : {1, 2, 1000, 1 << 20}) {
    EXPECT_NEAR(count(1, step), 64, 40) << step;
    EXPECT_NEAR(count(-(std::int64_t{1} << 40), step), 64, 40) << step;
  }
}

TEST(OrderedLeaves, EndAfterTheKeysThatCut) {
  const TableLeaves leaves = source_side(plan_of(RowKey::ordered_integer), sample_rows());
  std::vector<std::int64_t> expected;
  for (std::int64_t key = -30000; key < 70000; ++key) {
    if (cuts_after(key)) expected.push_back(key);
  }
  ASSERT_EQ(leaves.leaves().size(), expected.size() + 1);
  for (std::size_t i = 0; i < expected.size(); ++i) EXPECT_EQ(leaves.leaves()[i].last_key, expected[i]);
  EXPECT_EQ(leaves.leaves().back().last_key, INT64_MAX);
}

TEST(OrderedLeaves, HaveOneFormWhenTheLastKeyCuts) {
  const TablePlan plan = plan_of(RowKey::ordered_integer);
  std::int64_t key = 0;
  while (!cuts_after(key)) ++key;
  const std::vector<Tuple> rows = {tuple_of(key - 1, "a"), tuple_of(key, "b")};
  const TableLeaves leaves = source_side(plan, rows);
  EXPECT_EQ(leaves.root(), merkle_root(std::vector<RowSum>{leaves.total()}));
  const TableLeaves with_empty_range(plan, {digest_of(plan, rows), digest_of(plan, {})});
  EXPECT_EQ(with_empty_range.root(), leaves.root());
}

TEST(OrderedLeaves, KeepTheirNeighboursWhenARowIsInserted) {
  const TablePlan plan = plan_of(RowKey::ordered_integer);
  std::vector<Tuple> rows = sample_rows();
  const TableLeaves before = source_side(plan, rows);
  rows.erase(rows.begin() + 50000);
  const TableLeaves after = source_side(plan, rows);
  std::set<std::string> sums;
  for (const Leaf& leaf : before.leaves()) sums.insert(to_hex(leaf.rows.sum));
  std::size_t kept = 0;
  for (const Leaf& leaf : after.leaves()) kept += sums.count(to_hex(leaf.rows.sum));
  EXPECT_GE(kept + 2, before.leaves().size());
}

TEST(RangesOfLeaf, AreThoseThatHoldItsKeys) {
  TablePlan plan = plan_of(RowKey::ordered_integer);
  const TableLeaves leaves = source_side(plan, sample_rows());
  plan.extents.clear();
  for (std::int64_t first = INT64_MIN; first != 70000;) {
    const std::int64_t last = first == INT64_MIN ? -30001 : first + 9999;
    plan.extents.push_back(RowidRange{first, last});
    first = last + 1;
  }
  plan.extents.push_back(RowidRange{70000, INT64_MAX});
  ASSERT_TRUE(covers_table(plan.extents));
  for (std::int64_t key = -30000; key < 70000; key += 97) {
    std::size_t leaf = 0;
    while (leaves.leaves()[leaf].last_key < key) ++leaf;
    const auto range = static_cast<RangeNumber>(1 + (key + 30000) / 10000);
    const std::vector<RangeNumber> named = ranges_of_leaf(plan, leaves, leaf);
    EXPECT_EQ(std::count(named.begin(), named.end(), range), 1) << key;
    EXPECT_LE(named.size(), plan.extents.size());
  }
}

// ---- the tree ----

std::vector<RowSum> numbered_leaves(std::size_t count) {
  std::vector<RowSum> leaves;
  for (std::size_t i = 0; i < count; ++i) leaves.push_back({Digest{i, i * 7 + 1}, i + 1});
  return leaves;
}

// The tree of verify/DIGEST.md, spelled out.
Digest slow_root(const std::vector<RowSum>& leaves) {
  if (leaves.empty()) return digest_of_bytes(std::as_bytes(std::span("\0", 1)));
  const auto put = [](std::string& text, std::uint64_t value) {
    for (int shift = 56; shift >= 0; shift -= 8) text += static_cast<char>(value >> shift);
  };
  std::vector<Digest> nodes;
  for (const RowSum& leaf : leaves) {
    std::string text(1, '\0');
    put(text, leaf.rows);
    put(text, leaf.sum.high);
    put(text, leaf.sum.low);
    nodes.push_back(digest_of_bytes(std::as_bytes(std::span(text))));
  }
  for (char level = 1; nodes.size() > 1; ++level) {
    std::vector<Digest> parents;
    for (std::size_t i = 0; i < nodes.size(); i += 2) {
      if (i + 1 == nodes.size()) {
        parents.push_back(nodes[i]);
        continue;
      }
      std::string text(1, level);
      for (const Digest& node : {nodes[i], nodes[i + 1]}) {
        put(text, node.high);
        put(text, node.low);
      }
      parents.push_back(digest_of_bytes(std::as_bytes(std::span(text))));
    }
    nodes = parents;
  }
  return nodes.front();
}

TEST(MerkleRoot, AgreesWithTheSlowTreeAtEverySize) {
  for (std::size_t count = 0; count < 70; ++count) {
    EXPECT_EQ(merkle_root(numbered_leaves(count)), slow_root(numbered_leaves(count))) << count;
  }
}

TEST(MerkleRoot, DiffersWithEveryLeafAndTheirOrder) {
  for (const std::size_t count : {1u, 2u, 3u, 5u, 6u, 7u, 9u, 33u}) {
    const Digest root = merkle_root(numbered_leaves(count));
    std::set<std::string> roots = {to_hex(root), to_hex(merkle_root(numbered_leaves(count + 1)))};
    for (std::size_t i = 0; i < count; ++i) {
      std::vector<RowSum> leaves = numbered_leaves(count);
      leaves[i].sum.low ^= 1;
      EXPECT_TRUE(roots.insert(to_hex(merkle_root(leaves))).second);
      leaves = numbered_leaves(count);
      leaves[i].rows += 1;
      EXPECT_TRUE(roots.insert(to_hex(merkle_root(leaves))).second);
      leaves = numbered_leaves(count);
      leaves.erase(leaves.begin() + static_cast<std::ptrdiff_t>(i));
      EXPECT_TRUE(roots.insert(to_hex(merkle_root(leaves))).second);
      leaves = numbered_leaves(count);
      if (i > 0) {
        std::swap(leaves[i - 1], leaves[i]);
        EXPECT_TRUE(roots.insert(to_hex(merkle_root(leaves))).second);
      }
    }
  }
}

// Fixed for good: a ledger written by one version is read by the next. A change here is a change of format.
TEST(DigestFormat, IsWhatItWas) {
  EXPECT_EQ(to_hex(digest_of_bytes({})), "99aa06d3014798d86001c324468d497f");
  EXPECT_EQ(to_hex(digest_of_row(bytes_of(tuple_of(1, "one")))), "a759c82f03bb58415016dce26e431380");
  EXPECT_EQ(to_hex(merkle_root({})), "a6cd5e9392000f6ac44bdff4074eecdb");
  EXPECT_EQ(to_hex(merkle_root(numbered_leaves(1))), "ecf8b7fb897e868af87ba3496a562165");
  EXPECT_EQ(to_hex(merkle_root(numbered_leaves(5))), "57ccca772ee46cbb81298e0b0387e613");
  EXPECT_EQ(to_hex(database_root({{"a", {1, 2}}, {"b", {3, 4}}, {"c", {5, 6}}})),
            "9ccedf58085a6f6c1d7761b17ef27272");
  EXPECT_EQ(to_hex(source_side(plan_of(RowKey::ordered_integer), sample_rows()).root()),
            "01156c9f733bd3a0d58a1881fb38b0e9");
  EXPECT_EQ(to_hex(source_side(plan_of(RowKey::columns), sample_rows()).root()),
            "09136a1afc233c5f243a09771f0270c6");
  EXPECT_EQ(to_hex(source_side(plan_of(RowKey::none), sample_rows()).root()),
            "644edb223e07d5af49a8b360f20b349f");
}

TEST(DatabaseRoot, DependsOnNamesAndRootsAndNotOnOrder) {
  const Digest one{1, 2};
  const Digest two{3, 4};
  const Digest root = database_root({{"a", one}, {"b", two}});
  EXPECT_EQ(root, database_root({{"b", two}, {"a", one}}));
  EXPECT_NE(root, database_root({{"a", two}, {"b", one}}));
  EXPECT_NE(root, database_root({{"a", one}}));
  EXPECT_NE(root, database_root({{"a", one}, {"c", two}}));
  EXPECT_NE(database_root({{"a", one}}), one);
  EXPECT_EQ(database_root({}), database_root({}));
}

// ---- the ledger's form ----

TEST(PackedLeaves, ReadBackExactly) {
  std::mt19937_64 random(testing::test_seed());
  EXPECT_TRUE(unpack_leaves("").empty());
  for (int i = 0; i < 100; ++i) {
    std::vector<LeafPart> leaves(random() % 20);
    for (LeafPart& leaf : leaves) {
      leaf = {static_cast<std::int64_t>(random()), random() % 2 == 0, {Digest{random(), random()}, random()}};
    }
    EXPECT_EQ(unpack_leaves(pack_leaves(leaves)), leaves);
  }
  const std::vector<LeafPart> ends = {{INT64_MIN, false, {}},
                                      {INT64_MAX, true, {{UINT64_MAX, UINT64_MAX}, UINT64_MAX}}};
  EXPECT_EQ(unpack_leaves(pack_leaves(ends)), ends);
}

TEST(PackedLeaves, AreRefusedWhenCut) {
  const std::string packed = pack_leaves({{1, false, {}}, {2, true, {}}});
  for (std::size_t size = 1; size < packed.size(); ++size) {
    if (size == packed.size() / 2) continue;  // a shorter list, and a good one
    EXPECT_THROW(static_cast<void>(unpack_leaves(packed.substr(0, size))), Error) << size;
  }
}

TEST(PackedServerSums, ReadBackExactly) {
  std::vector<LeafPart> leaves(3);
  for (std::uint64_t i = 0; i < 3; ++i) leaves[i].server = {UINT64_MAX - i, i};
  std::vector<LeafPart> read(3);
  ASSERT_TRUE(unpack_server_sums(pack_server_sums(leaves), read));
  EXPECT_EQ(read, leaves);
  std::vector<LeafPart> none;
  EXPECT_TRUE(unpack_server_sums(pack_server_sums({}), none));
}

TEST(PackedServerSums, OfAnotherHashAreNone) {
  for (const std::size_t size : {0u, 1u, 16u}) {
    std::vector<LeafPart> leaves(size);
    std::string packed = pack_server_sums(leaves);
    packed[0] = static_cast<char>(packed[0] + 1);
    EXPECT_FALSE(unpack_server_sums(packed, leaves)) << size;
    // The first format had no byte for its number. Here its first sum begins with ours.
    std::string first(size * 16, '\2');
    EXPECT_FALSE(unpack_server_sums(first, leaves)) << size;
  }
}

TEST(PackedServerSums, AreRefusedWhenCut) {
  std::vector<LeafPart> leaves(2);
  const std::string packed = pack_server_sums(leaves);
  EXPECT_THROW(static_cast<void>(unpack_server_sums(packed.substr(0, 17), leaves)), Error);
}

}  // namespace
}  // namespace sluice
