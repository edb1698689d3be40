// How many large rows are in memory at once, and that nobody waits for ever.

#include "engine/run/large_row_gate.h"

#include <gtest/gtest.h>

#include <atomic>
#include <random>
#include <thread>
#include <vector>

namespace sluice {
namespace {

using std::chrono::milliseconds;

// Takes on a thread of its own, to see whether it gets in.
class Taker {
 public:
  Taker(LargeRowGate& gate, std::uint64_t bytes)
      : thread_([this, &gate, bytes] {
          RowLoan loan(gate, bytes);
          in_ = true;
          while (!leave_) std::this_thread::yield();
        }) {}
  ~Taker() { leave(); }
  Taker(const Taker&) = delete;
  Taker& operator=(const Taker&) = delete;

  void leave() {
    leave_ = true;
    if (thread_.joinable()) thread_.join();
  }
  [[nodiscard]] bool is_in() const { return in_; }
  [[nodiscard]] bool gets_in() const {
    while (!in_) std::this_thread::yield();
    return true;
  }
  // Long enough for whoever may go in.
  [[nodiscard]] bool stays_out() const {
    std::this_thread::sleep_for(milliseconds(30));
    return !in_;
  }

 private:
  std::atomic<bool> in_{false};
  std::atomic<bool> leave_{false};
  std::thread thread_;
};

TEST(LargeRowGate, LetsInAsManyAsThereIsRoomFor) {
  LargeRowGate gate(100);
  Taker first(gate, 60);
  ASSERT_TRUE(first.gets_in());
  Taker second(gate, 40);
  ASSERT_TRUE(second.gets_in());
  Taker third(gate, 1);
  EXPECT_TRUE(third.stays_out());
  first.leave();
  EXPECT_TRUE(third.gets_in());
}

TEST(LargeRowGate, LetsInAloneWhatIsLargerThanAllOfTheRoom) {
  LargeRowGate gate(100);
  Taker small(gate, 1);
  ASSERT_TRUE(small.gets_in());
  Taker giant(gate, 1000);
  EXPECT_TRUE(giant.stays_out());
  small.leave();
  ASSERT_TRUE(giant.gets_in());
  Taker another(gate, 1);
  EXPECT_TRUE(another.stays_out());
  giant.leave();
  EXPECT_TRUE(another.gets_in());
}

TEST(LargeRowGate, LetsNobodyPastAGiantThatWaits) {
  LargeRowGate gate(100);
  Taker small(gate, 50);
  ASSERT_TRUE(small.gets_in());
  Taker giant(gate, 1000);
  while (gate.waiting() == 0) std::this_thread::yield();
  ASSERT_TRUE(giant.stays_out());
  Taker later(gate, 1);
  EXPECT_TRUE(later.stays_out());
  small.leave();
  EXPECT_TRUE(giant.gets_in());
  EXPECT_FALSE(later.is_in());
  giant.leave();
  EXPECT_TRUE(later.gets_in());
}

TEST(LargeRowGate, WithoutAnyRoomLetsInOneAtATime) {
  LargeRowGate gate(0);
  Taker first(gate, 10);
  ASSERT_TRUE(first.gets_in());
  Taker second(gate, 10);
  EXPECT_TRUE(second.stays_out());
  first.leave();
  EXPECT_TRUE(second.gets_in());
}

TEST(LargeRowGate, LosesPatienceWithAHolderThatNeverComesBack) {
  LargeRowGate gate(100, milliseconds(500));
  Taker stuck(gate, 100);
  ASSERT_TRUE(stuck.gets_in());
  Taker second(gate, 100);
  Taker third(gate, 100);
  EXPECT_TRUE(second.gets_in());
  EXPECT_TRUE(third.gets_in());
  second.leave();
  third.leave();
  Taker fourth(gate, 10);
  EXPECT_TRUE(fourth.stays_out());
  stuck.leave();
  EXPECT_TRUE(fourth.gets_in());
}

TEST(LargeRowGate, ALoanThatMovesIsGivenBackOnce) {
  LargeRowGate gate(100);
  RowLoan first(gate, 100);
  RowLoan second(std::move(first));
  EXPECT_FALSE(first.open());  // NOLINT(bugprone-use-after-move)
  second = RowLoan();
  EXPECT_FALSE(second.open());
  const RowLoan third(gate, 100);
  EXPECT_TRUE(third.open());
}

TEST(LargeRowGate, HoldsUnderManyThreads) {
  constexpr std::uint64_t kRoom = 1000;
  LargeRowGate gate(kRoom);
  std::atomic<std::uint64_t> held{0};
  std::atomic<std::uint64_t> alone{0};
  std::vector<std::thread> threads;
  for (unsigned lane = 0; lane < 8; ++lane) {
    threads.emplace_back([&, lane] {
      std::mt19937_64 random(lane);
      for (int row = 0; row < 500; ++row) {
        const std::uint64_t bytes = 1 + random() % (row % 50 == 0 ? 5000 : 600);
        const RowLoan loan(gate, bytes);
        const std::uint64_t now = held.fetch_add(bytes) + bytes;
        EXPECT_TRUE(now <= kRoom || now == bytes) << now;
        if (bytes > kRoom) ++alone;
        held.fetch_sub(bytes);
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(held, 0U);
  EXPECT_GT(alone, 0U);
}

}  // namespace
}  // namespace sluice
