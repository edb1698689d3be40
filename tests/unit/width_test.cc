#include "engine/plan/width.h"

#include <gtest/gtest.h>

namespace sluice {
namespace {

struct Wide {
  TablePlan plan;
  TableFacts facts;

  Wide(std::size_t columns, PgType type) {
    plan.source = "wide";
    facts.rows = 5;
    for (std::size_t i = 0; i < columns; ++i) {
      ColumnPlan column;
      column.type = type;
      column.place = i;
      plan.columns.push_back(column);
      ColumnFacts known;
      known.examined = true;
      known.integers = 5;
      facts.columns.push_back(known);
    }
  }
};

TEST(Width, CountsWhatPostgresqlCounts) {
  // 24 bytes of header without a bitmap, padded to 8.
  const Wide even(3, PgType::int8);
  EXPECT_EQ(width_of(even.plan, &even.facts).bytes_least, 24U + 24);
  Wide mixed(4, PgType::int8);
  mixed.plan.columns[0].type = PgType::boolean;
  mixed.plan.columns[2].type = PgType::text;
  EXPECT_EQ(width_of(mixed.plan, &mixed.facts).bytes_least, 24U + 8 + 8 + 8 + 8) << "with alignment";
}

TEST(Width, TooManyColumnsAreFoundBeforeAnythingElse) {
  const Wide wide(1601, PgType::boolean);
  ASSERT_EQ(find_too_wide(wide.plan, nullptr).size(), 1U);
  EXPECT_NE(find_too_wide(wide.plan, nullptr)[0].what.find("1601 columns"), std::string::npos);
  EXPECT_TRUE(find_too_wide(Wide(1600, PgType::boolean).plan, &wide.facts).empty());
}

TEST(Width, RowsThatCannotFitAreFoundAndOthersAreNot) {
  // Tried on PostgreSQL 15: 1,017 bigints fit a row and 1,018 do not.
  const Wide fits(1017, PgType::int8);
  const Wide too_wide(1018, PgType::int8);
  EXPECT_TRUE(find_too_wide(fits.plan, &fits.facts).empty());
  EXPECT_EQ(find_too_wide(too_wide.plan, &too_wide.facts).size(), 1U);
  EXPECT_TRUE(find_too_wide(too_wide.plan, nullptr).empty()) << "nobody knows whether there are rows";
  Wide empty = too_wide;
  empty.facts.rows = 0;
  EXPECT_TRUE(find_too_wide(empty.plan, &empty.facts).empty());
}

TEST(Width, ARowThatMayNotFitIsARemarkAndNoFinding) {
  Wide sparse(1500, PgType::int8);
  for (ColumnFacts& column : sparse.facts.columns) {
    column.nulls = 4;
    column.integers = 1;
  }
  EXPECT_TRUE(find_too_wide(sparse.plan, &sparse.facts).empty());
  EXPECT_NE(why_perhaps_too_wide(sparse.plan, &sparse.facts).find("54000"), std::string::npos);
  Wide texts(300, PgType::text);
  for (ColumnFacts& column : texts.facts.columns) column.bytes_longest = 100000;
  EXPECT_EQ(why_perhaps_too_wide(texts.plan, &texts.facts), "") << "300 pointers fit";
  Wide many(500, PgType::text);
  for (ColumnFacts& column : many.facts.columns) column.bytes_longest = 100000;
  EXPECT_NE(why_perhaps_too_wide(many.plan, &many.facts), "");
  for (ColumnFacts& column : many.facts.columns) column.bytes_longest = 5;
  EXPECT_EQ(why_perhaps_too_wide(many.plan, &many.facts), "");
}

}  // namespace
}  // namespace sluice
