#include "engine/run/job_graph.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <latch>
#include <random>
#include <stdexcept>
#include <thread>

namespace sluice::testing {
namespace {

// Writes down which jobs ran, in order.
class Diary {
 public:
  Job job(int name, double cost, std::vector<JobId> after = {}, std::size_t kind = 0) {
    Job job;
    job.body = [this, name](std::size_t) {
      const std::lock_guard lock(mutex_);
      names_.push_back(name);
      return JobEnd::done;
    };
    job.cost = cost;
    job.after = std::move(after);
    job.kind = kind;
    return job;
  }

  std::vector<int> names() {
    const std::lock_guard lock(mutex_);
    return names_;
  }

 private:
  std::mutex mutex_;
  std::vector<int> names_;
};

TEST(JobGraph, BeginsWithTheLongestWay) {
  Diary diary;
  JobGraph graph({8});
  graph.add(diary.job(1, 5));
  const JobId head = graph.add(diary.job(2, 1));
  graph.add(diary.job(3, 3));
  const JobId meeting = graph.add({nullptr, {head}, 0, 0});
  graph.add(diary.job(4, 7, {meeting}));  // makes the way of 2 eight long
  EXPECT_TRUE(graph.run(1, StopRequest()));
  EXPECT_EQ(diary.names(), (std::vector<int>{2, 4, 1, 3}));
}

TEST(JobGraph, RunsEveryJobOnceAndAfterWhatItWaitsFor) {
  std::mt19937 random(7);
  for (int round = 0; round < 50; ++round) {
    const std::size_t count = 60;
    std::vector<std::atomic<int>> runs(count);
    std::atomic<int> wrong{0};
    JobGraph graph({2, 3});
    for (std::size_t i = 0; i < count; ++i) {
      Job job;
      for (std::size_t edge = 0; i > 0 && edge < random() % 4; ++edge)
        job.after.push_back(JobId{random() % i});
      job.cost = static_cast<double>(random() % 10);
      job.kind = random() % 2;
      job.body = [&runs, &wrong, i, after = job.after](std::size_t) {
        for (const JobId before : after) wrong += runs[static_cast<std::size_t>(before)] != 1;
        ++runs[i];
        return JobEnd::done;
      };
      graph.add(std::move(job));
    }
    EXPECT_TRUE(graph.run(4, StopRequest()));
    EXPECT_EQ(wrong, 0);
    EXPECT_TRUE(std::all_of(runs.begin(), runs.end(), [](const std::atomic<int>& n) { return n == 1; }));
  }
}

TEST(JobGraph, HoldsTheLimitOfEachKindAndNeverGivesALaneTwice) {
  JobGraph graph({1, 3});
  std::vector<std::atomic<int>> under_way(2);
  std::vector<std::atomic<int>> most(2);
  std::vector<std::atomic<int>> lanes(4);
  std::atomic<int> wrong{0};
  for (std::size_t i = 0; i < 80; ++i) {
    const std::size_t kind = i % 2;
    graph.add({[&, kind](std::size_t lane) {
                 wrong += lanes[lane]++ != 0;
                 const int now = ++under_way[kind];
                 if (now > most[kind]) most[kind] = now;
                 std::this_thread::sleep_for(std::chrono::microseconds(200));
                 --under_way[kind];
                 --lanes[lane];
                 return JobEnd::done;
               },
               {},
               1,
               kind});
  }
  EXPECT_TRUE(graph.run(4, StopRequest()));
  EXPECT_EQ(wrong, 0);
  EXPECT_EQ(most[0], 1);
  EXPECT_LE(most[1], 3);
}

TEST(JobGraph, RunsIndependentJobsAtTheSameTime) {
  // Each waits for the other one: a graph that ran them one by one would never end.
  std::latch both(2);
  JobGraph graph({1, 1});
  for (const std::size_t kind : {0U, 1U}) {
    graph.add({[&](std::size_t) {
                 both.arrive_and_wait();
                 return JobEnd::done;
               },
               {},
               1,
               kind});
  }
  EXPECT_TRUE(graph.run(2, StopRequest()));
}

TEST(JobGraph, TakesJobsThatJobsAdd) {
  Diary diary;
  JobGraph graph({2});
  graph.add({[&](std::size_t) {
               std::vector<JobId> parts;
               for (int part = 1; part <= 5; ++part) parts.push_back(graph.add(diary.job(part, 1)));
               graph.add(diary.job(6, 1, parts));
               return JobEnd::done;
             },
             {},
             1,
             0});
  EXPECT_TRUE(graph.run(2, StopRequest()));
  std::vector<int> names = diary.names();
  ASSERT_EQ(names.size(), 6U);
  EXPECT_EQ(names.back(), 6);
}

TEST(JobGraph, CallsAPostponedJobAgainAfterTheOthers) {
  Diary diary;
  JobGraph graph({1});
  int calls = 0;
  const JobId postponed = graph.add({[&](std::size_t) {
                                       if (++calls == 1) return JobEnd::postponed;
                                       EXPECT_EQ(diary.names(), (std::vector<int>{1, 2}));
                                       return JobEnd::done;
                                     },
                                     {},
                                     100,
                                     0});
  graph.add(diary.job(1, 2));
  graph.add(diary.job(2, 1));
  graph.add(diary.job(3, 1, {postponed}));
  EXPECT_TRUE(graph.run(1, StopRequest()));
  EXPECT_EQ(calls, 2);
  EXPECT_EQ(diary.names(), (std::vector<int>{1, 2, 3}));
}

TEST(JobGraph, BeginsNothingAfterAStop) {
  StopRequest stop;
  Diary diary;
  JobGraph graph({4});
  graph.add({[&](std::size_t) {
               stop.stop();
               return JobEnd::done;
             },
             {},
             9,
             0});
  graph.add(diary.job(1, 1));
  EXPECT_FALSE(graph.run(1, stop));
  EXPECT_TRUE(diary.names().empty());
}

TEST(JobGraph, ThrowsWhatAJobThrewAfterTheOthersCameToTheirEnd) {
  std::latch started(2);
  std::atomic<bool> other_ended{false};
  Diary diary;
  JobGraph graph({4});
  const JobId failing = graph.add({[&](std::size_t) -> JobEnd {
                                     started.arrive_and_wait();
                                     throw std::runtime_error("the disk is full");
                                   },
                                   {},
                                   9,
                                   0});
  graph.add({[&](std::size_t) {
               started.arrive_and_wait();
               std::this_thread::sleep_for(std::chrono::milliseconds(20));
               other_ended = true;
               return JobEnd::done;
             },
             {},
             9,
             0});
  graph.add(diary.job(1, 1, {failing}));
  EXPECT_THROW(graph.run(2, StopRequest()), std::runtime_error);
  EXPECT_TRUE(other_ended);
  EXPECT_TRUE(diary.names().empty());
}

TEST(JobGraph, SaysHowManyShareAKind) {
  JobGraph graph({4, 2});
  EXPECT_EQ(graph.in_use(0), 1U);
  Diary diary;
  for (int i = 0; i < 3; ++i) graph.add(diary.job(i, 1));
  for (int i = 0; i < 3; ++i) graph.add(diary.job(i, 1, {}, 1));
  EXPECT_EQ(graph.in_use(0), 3U);
  EXPECT_EQ(graph.in_use(1), 2U);
  EXPECT_TRUE(graph.run(2, StopRequest()));
}

}  // namespace
}  // namespace sluice::testing
