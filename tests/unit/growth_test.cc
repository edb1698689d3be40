#include "engine/app/growth.h"

#include <gtest/gtest.h>

namespace sluice {
namespace {

ColumnPlan column(const std::string& name, PgType type = PgType::text) {
  ColumnPlan plan;
  plan.source = plan.target = name;
  plan.type = type;
  return plan;
}

std::vector<std::string> candidates(const std::vector<ColumnPlan>& columns) {
  TablePlan plan;
  plan.columns = columns;
  for (std::size_t i = 0; i < plan.columns.size(); ++i) plan.columns[i].place = i;
  TableFacts facts;
  facts.columns.resize(columns.size());
  std::vector<std::string> names;
  for (const std::size_t i : growth_columns(plan, facts)) names.push_back(plan.columns[i].source);
  return names;
}

std::vector<std::int32_t> days_of(const std::vector<Cell>& cells) {
  std::vector<std::int32_t> days;
  DailyCounts counts;
  for (const Cell& cell : cells) counts.add(cell);
  for (const auto& [day, rows] : counts.days()) days.push_back(day);
  return days;
}

TEST(Growth, TheColumnThatSaysWhenARowWasMadeComesFirst) {
  EXPECT_EQ(candidates({column("when", PgType::int8), column("createdAt"), column("shipping", PgType::date)}),
            (std::vector<std::string>{"createdAt", "when", "shipping"}));
  EXPECT_EQ(candidates({column("InvoiceDate"), column("CREATED_ON"), column("ts"), column("created_at_utc")}),
            (std::vector<std::string>{"CREATED_ON", "created_at_utc", "InvoiceDate", "ts"}));
}

TEST(Growth, ColumnsThatMeanAnotherMomentAreNeverTaken) {
  for (const char* name : {"updated_at", "UpdatedAt", "last_login_at", "expires_at", "due_date", "birthday",
                           "BirthDate", "valid_until", "deleted_at", "lastupdate", "format", "category"}) {
    EXPECT_TRUE(candidates({column(name)}).empty()) << name;
  }
  EXPECT_TRUE(candidates({column("updated_at", PgType::timestamp)}).empty());
}

TEST(Growth, ColumnsWithoutAValueThatMayBeAMomentAreLeftOut) {
  TablePlan plan;
  plan.columns = {column("created_at")};
  TableFacts facts;
  facts.columns.resize(1);
  facts.columns[0].examined = true;
  facts.columns[0].blobs = 5;
  EXPECT_TRUE(growth_columns(plan, facts).empty());
  facts.columns[0].integers = 5;
  facts.columns[0].integer_max = 4711;
  EXPECT_TRUE(growth_columns(plan, facts).empty());
  facts.columns[0].integer_max = 1700000000;
  EXPECT_EQ(growth_columns(plan, facts).size(), 1u);
}

TEST(Growth, MomentsAreReadInEveryFormThatIsUnambiguous) {
  const std::int32_t day = 8825;  // 2024-02-29
  for (const Cell& cell : {Cell::of_text("2024-02-29"), Cell::of_text("2024-02-29 23:59:59.999"),
                           Cell::of_text("2024-02-29T12:00Z"), Cell::of_text("2024-03-01 01:30:00+02:00"),
                           Cell::of_text("2024-02-28 23:30:00-01:00"), Cell::of_integer(1709164800),
                           Cell::of_integer(1709164800000), Cell::of_integer(1709164800000000),
                           Cell::of_integer(1709251199999), Cell::of_real(1709164800.5)}) {
    EXPECT_EQ(days_of({cell}), std::vector{day});
  }
  EXPECT_EQ(iso_day(day), "2024-02-29");
  EXPECT_EQ(days_of({Cell::of_integer(631152000)}), std::vector{-3652});
  EXPECT_EQ(iso_day(-3652), "1990-01-01");
  EXPECT_EQ(iso_day(36889), "2100-12-31");
}

TEST(Growth, WhatIsNoMomentCountsAsSuch) {
  DailyCounts counts;
  for (const Cell& cell : {Cell::of_integer(0), Cell::of_integer(20240229), Cell::of_integer(631151999),
                           Cell::of_integer(-1709164800), Cell::of_integer(INT64_MIN), Cell::of_real(1e300),
                           Cell::of_real(-1.0), Cell::of_text("2024-02-30"), Cell::of_text("now"),
                           Cell::of_text("1989-12-31"), Cell::of_text("2101-01-01")}) {
    counts.add(cell);
  }
  counts.add(Cell());
  EXPECT_TRUE(counts.days().empty());
  EXPECT_EQ(counts.others(), 11u);
  EXPECT_FALSE(growth_of(counts, 9000, 1).has_value());
}

class GrowthRates : public ::testing::Test {
 protected:
  void add(std::int32_t day, int rows) {
    const std::int64_t seconds = 946684800 + std::int64_t{day} * 86400;
    for (int i = 0; i < rows; ++i) counts_.add(Cell::of_integer(seconds + i));
  }
  DailyCounts counts_;
};

TEST_F(GrowthRates, RecentIsTheLastThirtyDaysAndOverallIsAllOfThem) {
  for (std::int32_t day = 8000; day < 8100; ++day) add(day, day >= 8070 ? 60 : 10);
  const auto growth = growth_of(counts_, 9000, 1);
  ASSERT_TRUE(growth);
  EXPECT_EQ(growth->first_day, 8000);
  EXPECT_EQ(growth->last_day, 8099);
  EXPECT_EQ(growth->rows, 70u * 10 + 30 * 60);
  EXPECT_EQ(growth->recent_days, 30);
  EXPECT_DOUBLE_EQ(growth->recent_per_day, 60);
  EXPECT_DOUBLE_EQ(growth->overall_per_day, 25);
  EXPECT_TRUE(growth->long_enough);
  EXPECT_FALSE(growth->sampled);
}

TEST_F(GrowthRates, DaysWithoutRowsCountToo) {
  add(8000, 30);
  add(8029, 30);
  EXPECT_DOUBLE_EQ(growth_of(counts_, 9000, 1)->recent_per_day, 2);
  add(8030, 30);  // the first day is no longer recent
  EXPECT_DOUBLE_EQ(growth_of(counts_, 9000, 1)->recent_per_day, 2);
  EXPECT_EQ(growth_of(counts_, 9000, 1)->rows, 90u);
}

TEST_F(GrowthRates, AShorterHistoryIsDividedByItsOwnDays) {
  add(8000, 10);
  add(8009, 10);
  const auto growth = growth_of(counts_, 9000, 1);
  EXPECT_EQ(growth->recent_days, 10);
  EXPECT_DOUBLE_EQ(growth->recent_per_day, 2);
  EXPECT_TRUE(growth->long_enough);
}

TEST_F(GrowthRates, ATableFilledAtOnceSaysNothing) {
  add(8000, 1000);
  add(8005, 1000);
  EXPECT_FALSE(growth_of(counts_, 9000, 1)->long_enough);
  add(8006, 1);
  EXPECT_TRUE(growth_of(counts_, 9000, 1)->long_enough);
}

TEST_F(GrowthRates, DaysToComeDoNotEndTheHistory) {
  add(8000, 10);
  add(8009, 10);
  add(20000, 5);
  EXPECT_EQ(growth_of(counts_, 9000, 1)->last_day, 8009);
  EXPECT_EQ(growth_of(counts_, 9000, 1)->rows, 20u);
  EXPECT_FALSE(growth_of(counts_, 7000, 1).has_value());
}

TEST_F(GrowthRates, ASampleIsScaledUp) {
  add(8000, 10);
  add(8009, 10);
  const auto growth = growth_of(counts_, 9000, 5);
  EXPECT_TRUE(growth->sampled);
  EXPECT_EQ(growth->rows, 100u);
  EXPECT_DOUBLE_EQ(growth->recent_per_day, 10);
}

TEST_F(GrowthRates, AColumnThatMostlyHoldsOtherThingsIsNoHistory) {
  add(8000, 10);
  for (int i = 0; i < 11; ++i) counts_.add(Cell::of_text("x"));
  EXPECT_FALSE(growth_of(counts_, 9000, 1).has_value());
}

}  // namespace
}  // namespace sluice
