#include "io/wire/type_fit.h"

#include <gtest/gtest.h>

#include <set>

#include "engine/plan/declared_type.h"
#include "io/wire/type_table.h"

namespace sluice {
namespace {

TEST(TypeFit, CountsMisfitsPerCandidateAndLeavesNullsOut) {
  TypeFit fit({{PgType::int8, PgType::text}, {}, {PgType::boolean}});
  const Cell first[] = {Cell::of_integer(1), Cell::of_text("ignored"), Cell()};
  const Cell second[] = {Cell::of_text("x"), Cell(), Cell::of_integer(2)};
  fit.add(first);
  fit.add(second);
  EXPECT_EQ(fit.values(0), 2U);
  EXPECT_EQ(fit.misfits(0, 0), 1U);
  EXPECT_EQ(fit.misfits(0, 1), 0U);
  EXPECT_EQ(fit.values(1), 0U);
  EXPECT_EQ(fit.values(2), 1U);
  EXPECT_EQ(fit.misfits(2, 0), 1U);
}

TEST(TypeFit, AddsUpWhatSeveralReadersFound) {
  TypeFit one({{PgType::int8}});
  TypeFit other({{PgType::int8}});
  const Cell number[] = {Cell::of_integer(1)};
  const Cell word[] = {Cell::of_text("x")};
  one.add(number);
  other.add(word);
  other.add(word);
  one.merge(other);
  EXPECT_EQ(one.values(0), 3U);
  EXPECT_EQ(one.misfits(0, 0), 2U);
}

TEST(WideningLadder, BeginsWithTheTypeItselfOrAWiderOneAndNeverRepeats) {
  for (const PgTypeName& type : kPgTypeNames) {
    const auto ladder = widening_ladder(type.type);
    ASSERT_FALSE(ladder.empty()) << type.sql;
    const bool narrow_integer = type.type == PgType::int2 || type.type == PgType::int4;
    EXPECT_EQ(ladder.front(), narrow_integer ? PgType::int8 : type.type) << type.sql;
    EXPECT_EQ(std::set<PgType>(ladder.begin(), ladder.end()).size(), ladder.size()) << type.sql;
  }
}

// Whatever a type takes, some later type of its ladder would take as well: widening loses nothing that
// the declared type could have held.
TEST(WideningLadder, EndsInATypeThatTakesEverySampleOfTheFirst) {
  for (const PgTypeName& type : kPgTypeNames) {
    const auto ladder = widening_ladder(type.type);
    if (ladder.size() == 1) continue;
    for (const Sample& sample : row_of(type.type).samples()) {
      bool taken = false;
      for (const PgType wider : ladder.subspan(1)) {
        Buffer scratch;
        taken = taken || row_of(wider).encode(sample.cell, scratch) == Misfit::none;
      }
      // Bytes have nothing wider, and infinity is held by numeric and text.
      EXPECT_TRUE(taken || sample.cell.storage() == StorageClass::blob) << type.sql << " " << sample.server_text;
    }
  }
}

}  // namespace
}  // namespace sluice
