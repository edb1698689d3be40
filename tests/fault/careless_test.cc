// Two processes at one range. The ledger's claim and its AND NOT done keep them from loading it twice;
// without them rows are doubled, and the invariants of this suite say so.

#include <gtest/gtest.h>

#include <csignal>
#include <string>
#include <vector>

#include "fault/job.h"
#include "support/conditions.h"
#include "support/query.h"

namespace sluice::testing {
namespace {

class CarelessTest : public ::testing::Test {
 protected:
  CarelessTest() : job_(shared_job(JobKind::tables)) { job_.reset(); }

  // Stops with the rows of its `range`-th range sent and not committed.
  [[nodiscard]] RunningCommand begin_zombie(const std::string& program, int range = 5,
                                            const std::string& report = "report") const {
    return begin_until(job_.command(program, 1, report),
                       "before work UPDATE:" + std::to_string(range) + ":stop", job_.options());
  }

  // Until it can do no more as long as the zombie stands in its way.
  [[nodiscard]] bool comes_to_wait(RunningCommand& one) const {
    return wait_until([&] {
             return !one.running() ||
                    query_value(
                        job_.target(),
                        "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND "
                        "wait_event_type = 'Lock'") != "0";
           }) &&
           one.running();
  }

  Job& job_;
};

TEST_F(CarelessTest, ARangeUnderWayInAProcessThatHangsIsWaitedForAndNotLoadedTwice) {
  RunningCommand zombie = begin_zombie(sluice_faults_program());
  RunningCommand other(job_.command(sluice_faults_program(), 1, "second report"), job_.options());
  ASSERT_TRUE(comes_to_wait(other)) << other.wait().err;
  job_.expect_sound();
  zombie.send(SIGCONT);
  job_.expect_complete(zombie.wait());
  job_.expect_complete(other.wait());
}

TEST_F(CarelessTest, WithoutTheGuardsTheInvariantsFindItsRowsTwice) {
  RunningCommand zombie = begin_zombie(sluice_careless_program());
  RunningCommand other(job_.command(sluice_careless_program(), 1, "second report"), job_.options());
  static_cast<void>(comes_to_wait(other));  // or comes to its end
  zombie.send(SIGCONT);
  zombie.wait();
  other.wait();
  EXPECT_NE(job_.violations_now(), std::vector<std::string>());
}

TEST_F(CarelessTest, WithoutTheGuardsTheInvariantsFindWhatTwoProcessesAtOnceDouble) {
  // Both have the first range in hand, so that they go through the ranges side by side.
  RunningCommand one = begin_zombie(sluice_careless_program(), 1);
  RunningCommand two = begin_zombie(sluice_careless_program(), 1, "second report");
  one.send(SIGCONT);
  two.send(SIGCONT);
  one.wait();
  two.wait();
  EXPECT_NE(job_.violations_now(), std::vector<std::string>());
}

}  // namespace
}  // namespace sluice::testing
