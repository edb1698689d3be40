#include "engine/app/memory_budget.h"

#include <gtest/gtest.h>

#include "engine/model/error.h"

namespace sluice {
namespace {

constexpr std::uint64_t kMega = std::uint64_t{1} << 20;

TEST(MemoryBudget, WithoutALimitKeepsEveryLane) {
  const MemoryBudget budget = budget_of(0, 64);
  EXPECT_FALSE(budget.limited());
  EXPECT_EQ(budget.lanes, 64U);
}

TEST(MemoryBudget, RefusesWhatNotEvenOneLaneFitsInto) {
  EXPECT_EQ(budget_of(24 * kMega, 8).lanes, 1U);
  try {
    static_cast<void>(budget_of(24 * kMega - 1, 8));
    ADD_FAILURE() << "a limit that is too low";
  } catch (const Error& error) {
    EXPECT_EQ(error.fault(), Fault::usage);
    EXPECT_NE(error.describe().find("24MiB"), std::string::npos) << error.describe();
  }
}

TEST(MemoryBudget, GivesFourLanesToFortyEightMegabytes) { EXPECT_EQ(budget_of(48'000'000, 4).lanes, 4U); }

TEST(MemoryBudget, GivesFewerLanesToLessMemoryAndNeverMoreThanWanted) {
  std::size_t before = 0;
  for (std::uint64_t limit = 24 * kMega; limit < 400 * kMega; limit += kMega) {
    const std::size_t lanes = budget_of(limit, 64).lanes;
    EXPECT_GE(lanes, before);
    before = lanes;
    EXPECT_LE(budget_of(limit, 3).lanes, 3U);
  }
  EXPECT_EQ(before, 64U);
}

// 20 MB for the process, and 4 or 8 for a lane: see memory_budget.cc.
TEST(MemoryBudget, NeverHandsOutMoreThanThereIs) {
  for (std::uint64_t limit = 24 * kMega; limit < 3000 * kMega; limit += 7 * kMega / 3) {
    for (const std::size_t jobs : {std::size_t{1}, std::size_t{4}, std::size_t{64}}) {
      const MemoryBudget budget = budget_of(limit, jobs);
      const std::uint64_t lane = (budget.cache_bytes >= 2 * kMega ? 8 : 4) * kMega;
      EXPECT_LE(20 * kMega + budget.lanes * lane + budget.large_row_bytes, limit);
      EXPECT_LE(20 * kMega + budget.lanes * 3 * kMega / 2 + budget.digest_bytes + budget.large_row_bytes,
                limit);
      EXPECT_GE(budget.digest_bytes, budget.lanes * kMega);
      EXPECT_GT(budget.send_bytes, 0U);
      EXPECT_GT(budget.reject_bytes_max, 0U);
    }
  }
}

TEST(MemoryBudget, GivesWhatIsLeftToLargeRows) {
  const MemoryBudget budget = budget_of(std::uint64_t{4} << 30, 4);
  EXPECT_EQ(budget.lanes, 4U);
  EXPECT_GT(budget.large_row_bytes, std::uint64_t{3} << 30);
}

}  // namespace
}  // namespace sluice
