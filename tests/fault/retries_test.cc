// Trying again: what is, for how long, and how it ends.

#include "engine/run/retries.h"

#include <gtest/gtest.h>

#include <thread>
#include <vector>

namespace sluice {
namespace {

using std::chrono::milliseconds;

Error lost() { return Error(Fault::connection_lost, "the connection to the server was lost"); }

TEST(Retries, GoesOnUntilTheBodySucceeds) {
  const StopRequest never;
  std::vector<std::size_t> failed;
  Retries retries(std::chrono::minutes(5), never, [&](const Retries::Notice& notice) {
    failed.push_back(notice.attempt);
    EXPECT_EQ(notice.error->fault(), Fault::connection_lost);
    EXPECT_GT(notice.wait_seconds, 0);
  });
  const int result = retries.run([&](std::size_t attempt) -> int {
    if (attempt < 4) throw lost();
    return 42;
  });
  EXPECT_EQ(result, 42);
  EXPECT_EQ(failed, (std::vector<std::size_t>{1, 2, 3}));
  EXPECT_EQ(retries.count(), 3);
}

TEST(Retries, LeavesWhatNoWaitingMends) {
  const StopRequest never;
  Retries retries(std::chrono::minutes(5), never, nullptr);
  for (const Fault fault : {Fault::target_refused, Fault::source_unreadable, Fault::commits_lost,
                            Fault::internal, Fault::interrupted, Fault::usage}) {
    int calls = 0;
    EXPECT_THROW(retries.run([&] {
      ++calls;
      throw Error(fault, "no");
    }),
                 Error);
    EXPECT_EQ(calls, 1) << name_of(fault);
  }
  // Of a fault that mostly passes, what does not.
  EXPECT_THROW(retries.run([] { throw Error(Fault::target_unavailable, "cancelled").set_may_pass(false); }),
               Error);
  EXPECT_EQ(retries.count(), 0);
}

TEST(Retries, GivesUpAtOnceWithoutPatience) {
  const StopRequest never;
  Retries retries(milliseconds(0), never, nullptr);
  int calls = 0;
  EXPECT_THROW(retries.run([&] {
    ++calls;
    throw lost();
  }),
               Error);
  EXPECT_EQ(calls, 1);
}

TEST(Retries, GivesUpAfterItsPatienceWithTheErrorItself) {
  const StopRequest never;
  Retries retries(milliseconds(2000), never, nullptr);
  try {
    retries.run([] { throw lost(); });
    FAIL() << "went on";
  } catch (const Error& error) {
    EXPECT_EQ(error.fault(), Fault::connection_lost);
  }
  EXPECT_GE(retries.count(), 2);
}

// One lane may find no free slot for longer than that, while the others work.
TEST(Retries, ThePatienceBeginsAnewWithEachSuccessOfAnybody) {
  const StopRequest never;
  Retries retries(milliseconds(300), never, nullptr);
  const auto begin = std::chrono::steady_clock::now();
  retries.run([&] {
    retries.run([] {});  // as another lane's would be
    if (std::chrono::steady_clock::now() - begin < milliseconds(900)) throw lost();
  });
  EXPECT_GE(std::chrono::steady_clock::now() - begin, milliseconds(900));
}

TEST(Retries, AStopEndsTheWaitAsAnInterruption) {
  StopRequest stop;
  Retries retries(std::chrono::minutes(5), stop, nullptr);
  std::jthread stopper([&] {
    std::this_thread::sleep_for(milliseconds(100));
    stop.stop();
  });
  try {
    retries.run([] { throw Error(Fault::target_unavailable, "no room"); });
    FAIL() << "went on";
  } catch (const Error& error) {
    EXPECT_EQ(error.fault(), Fault::interrupted);
    EXPECT_NE(std::string(error.what()).find("no room"), std::string::npos);
  }
}

}  // namespace
}  // namespace sluice
