// F2: SIGKILL at a random moment. What a dying process leaves is sound, and the same command ends with
// everything once. Here it is sluice as it is shipped; steps_test.cc has the moments that a clock rarely
// meets.

#include <gtest/gtest.h>

#include <csignal>
#include <cstdio>
#include <string>

#include "fault/job.h"

namespace sluice::testing {
namespace {

class KillsTest : public ::testing::TestWithParam<std::size_t> {
 protected:
  static void TearDownTestSuite() {
    std::printf("%zu of %zu kills landed\n", landed_, tried_);
    // Otherwise the moments are badly chosen, and the family tests little.
    if (tried_ >= 20) {
      EXPECT_GE(landed_ * 2, tried_);
    }
  }

  static inline std::size_t tried_ = 0;
  static inline std::size_t landed_ = 0;
};

TEST_P(KillsTest, LoseNothingAndDoubleNothing) {
  std::mt19937_64 random = random_of_shot("F2", GetParam());
  // Every tenth in a job of another kind.
  constexpr JobKind kRare[] = {JobKind::rejects, JobKind::frozen, JobKind::rebuild, JobKind::repair};
  const JobKind kind = GetParam() % 10 == 9 ? kRare[GetParam() / 10 % std::size(kRare)] : JobKind::tables;
  Job& job = shared_job(kind);
  job.reset();
  const unsigned lanes = std::uniform_int_distribution<unsigned>(0, 1)(random) == 0 ? 1 : 4;
  CommandOptions options = job.options();
  options.signal = SIGKILL;
  options.signal_after = job.moments().next(random);
  const CommandResult result = run_command(job.command(sluice_program(), lanes), options);
  job.moments().last_came_in_time(result.signal == SIGKILL);
  ++tried_;
  if (result.signal != SIGKILL) {
    job.expect_complete(result);
    return;
  }
  ++landed_;
  job.expect_sound();
  job.go_on(lanes);
}

INSTANTIATE_TEST_SUITE_P(Random, KillsTest, ::testing::Range<std::size_t>(0, shots(300)));

}  // namespace
}  // namespace sluice::testing
