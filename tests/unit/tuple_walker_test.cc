// Tuples that come in pieces are found and hashed as those that come whole.

#include "io/wire/tuple_walker.h"

#include <gtest/gtest.h>

#include <random>
#include <string>
#include <vector>

#include "engine/model/error.h"
#include "io/wire/printed_value.h"
#include "io/wire/row_encoder.h"
#include "support/conditions.h"
#include "support/seed.h"
#include "verify/digesting_writer.h"
#include "verify/row_digest.h"
#include "verify/tuple_digester.h"

namespace sluice {
namespace {

TablePlan plan_of_texts(std::size_t columns, std::vector<std::size_t> keys) {
  TablePlan plan;
  plan.columns.resize(columns);
  plan.row_key = keys.empty() ? RowKey::none : RowKey::columns;
  plan.key_columns = std::move(keys);
  return plan;
}

Buffer random_tuple(std::mt19937_64& random, const TablePlan& plan) {
  Buffer tuple;
  tuple.put_int16(static_cast<std::int16_t>(plan.columns.size()));
  for (std::size_t i = 0; i < plan.columns.size(); ++i) {
    if (random() % 4 == 0) {
      tuple.put_int32(-1);
      continue;
    }
    const std::size_t size = random() % 3 == 0 ? 0 : random() % 300;
    tuple.put_int32(static_cast<std::int32_t>(size));
    for (std::size_t at = 0; at < size; ++at) tuple.put_byte(static_cast<std::byte>(random()));
  }
  return tuple;
}

// The bytes in pieces that are cut anywhere.
class Pieces final : public TuplePieces {
 public:
  Pieces(std::span<const std::byte> bytes, std::mt19937_64& random) : rest_(bytes), random_(random) {}
  std::span<const std::byte> next() override {
    const auto piece = rest_.first(std::min<std::size_t>(rest_.size(), 1 + random_() % 70));
    rest_ = rest_.subspan(piece.size());
    return piece;
  }

 private:
  std::span<const std::byte> rest_;
  std::mt19937_64& random_;
};

std::string refusal(const std::function<void()>& body) {
  try {
    body();
    return {};
  } catch (const Error& error) {
    EXPECT_EQ(error.fault(), Fault::source_unreadable);
    return error.what();
  }
}

TEST(TupleWalker, FindsTheEndWhereverTheTupleIsCut) {
  std::mt19937_64 random(testing::test_seed());
  for (int round = 0; round < 2000; ++round) {
    const TablePlan plan = plan_of_texts(1 + random() % 5, {});
    Buffer bytes = random_tuple(random, plan);
    const std::size_t size = bytes.size();
    EXPECT_EQ(size_of_tuple(bytes.span(), plan.columns.size()), size);
    for (std::size_t cut = 0; cut < std::min<std::size_t>(size, 20); ++cut) {
      EXPECT_EQ(size_of_tuple(bytes.span().first(cut), plan.columns.size()), std::nullopt);
    }
    bytes.append("and what follows");
    EXPECT_EQ(size_of_tuple(bytes.span(), plan.columns.size()), size);
    TupleWalker walker(plan.columns.size());
    std::size_t at = 0;
    while (!walker.done()) {
      const std::size_t piece = std::min<std::size_t>(bytes.size() - at, 1 + random() % 50);
      at += walker.take(bytes.span().subspan(at, piece));
    }
    EXPECT_EQ(at, size);
    EXPECT_EQ(walker.take(bytes.span().subspan(at)), 0u);
  }
}

TEST(TupleWalker, RefusesWhatIsNoTupleOfTheTable) {
  Buffer bytes;
  bytes.put_int16(2);
  bytes.put_int32(-2);
  EXPECT_TRUE(
      testing::contains(refusal([&] { static_cast<void>(size_of_tuple(bytes.span(), 2)); }), "impossible"));
  EXPECT_TRUE(testing::contains(refusal([&] { TupleWalker(2).take(bytes.span()); }), "impossible"));
  EXPECT_TRUE(
      testing::contains(refusal([&] { static_cast<void>(size_of_tuple(bytes.span(), 3)); }), "2 fields"));
  EXPECT_TRUE(testing::contains(refusal([&] { TupleWalker(3).take(bytes.span()); }), "2 fields and not 3"));
  bytes.patch_int32(2, INT32_MAX);
  EXPECT_TRUE(testing::contains(refusal([&] { TupleWalker(2).take(bytes.span()); }), "impossible"));
  EXPECT_FALSE(begins_with_trailer(bytes.span()));
  EXPECT_TRUE(begins_with_trailer(copy_trailer()));
  EXPECT_FALSE(begins_with_trailer(copy_trailer().first(1)));
}

TEST(TupleDigester, GivesTheDigestOfTheWholeTupleAndItsKey) {
  std::mt19937_64 random(testing::test_seed());
  for (int round = 0; round < 500; ++round) {
    const TablePlan plan =
        plan_of_texts(4, round % 2 == 0 ? std::vector<std::size_t>{2, 0} : std::vector<std::size_t>{});
    const Buffer bytes = random_tuple(random, plan);
    TupleDigester digester(plan);
    Pieces pieces(bytes.span(), random);
    for (auto piece = pieces.next(); !piece.empty(); piece = pieces.next()) digester.add(piece);
    const Digest digest = digester.digest();
    EXPECT_EQ(digest, digest_of_row(bytes.span()));
    const LeafRule rule(plan);
    EXPECT_EQ(rule.bucket_of(digester.key_tuple(), digest), rule.bucket_of(bytes.span(), digest));
    EXPECT_EQ(rule.identity_of(digester.key_tuple(), digest), rule.identity_of(bytes.span(), digest));
  }
}

TEST(DigestingWriter, SumsTheSameWhetherARowComesWholeOrInPieces) {
  std::mt19937_64 random(testing::test_seed());
  const TablePlan plan = plan_of_texts(3, {1});
  const DigestingWriterOptions options;
  DigestingWriter whole(plan, options);
  DigestingWriter pieced(plan, options);
  for (int row = 0; row < 300; ++row) {
    const Buffer bytes = random_tuple(random, plan);
    whole.write_tuple(bytes.span());
    Pieces pieces(bytes.span(), random);
    pieced.write_tuple(pieces);
  }
  const RangeSeal seal = whole.seal();
  RangeExpectation expected = {seal.rows_loaded, 0, &seal.digest, "a file"};
  pieced.expect(expected);
  EXPECT_EQ(pieced.seal().digest, seal.digest);

  DigestingWriter another(plan, options);
  another.expect(expected);
  EXPECT_TRUE(testing::contains(refusal([&] { another.seal(); }), "a file: it holds 0 rows and not 300"));
  DigestingWriter changed(plan, options);
  for (int row = 0; row < 300; ++row) changed.write_tuple(random_tuple(random, plan).span());
  changed.expect(expected);
  EXPECT_TRUE(testing::contains(refusal([&] { changed.seal(); }), "another digest"));
}

TEST(PrintedValue, IsWhatTheServerPrintsForEverySample) {
  for (const TypeRow& type : kTypes) {
    for (const Sample& sample : type.samples()) {
      Buffer field;
      ASSERT_EQ(type.encode(sample.cell, field), Misfit::none);
      EXPECT_EQ(printed_value(type.type, field_value(field, 0)), sample.server_text)
          << name_of(type.type).sql;
    }
  }
}

TEST(PrintedValue, TakesAnyBytes) {
  std::mt19937_64 random(testing::test_seed());
  for (const TypeRow& type : kTypes) {
    for (int round = 0; round < 300; ++round) {
      std::vector<std::byte> value(random() % 20);
      for (std::byte& byte : value) byte = static_cast<std::byte>(random());
      EXPECT_LT(printed_value(type.type, value).size(), 200'000u);
    }
  }
}

}  // namespace
}  // namespace sluice
