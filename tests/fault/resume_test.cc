// If we could keep one test, it would be this sweep: whichever step a run dies at, the same command ends
// with every row exactly once.

#include <gtest/gtest.h>

#include <map>
#include <set>
#include <thread>
#include <vector>

#include "engine/run/load_jobs.h"
#include "fault/fake_server.h"

namespace sluice::testing {
namespace {

constexpr std::int64_t kRows = 12;

// One table of three ranges and one of a single range.
std::vector<TablePlan> plans() {
  std::vector<TablePlan> plans(2);
  plans[0].id = TableId{0};
  plans[0].source = "three_ranges";
  plans[0].extents = {RowidRange{INT64_MIN, 4}, RowidRange{5, 8}, RowidRange{9, INT64_MAX}};
  plans[1].id = TableId{1};
  plans[1].source = "one_range";
  plans[1].extents = {WholeTable{}};
  return plans;
}

// As migrate does: asks the ledger what is left, then loads that. Returns true when it came to its end.
bool run_until_death(const std::vector<TablePlan>& plans, FakeServer& server, std::size_t lane_count) {
  const std::map<RangeKey, std::uint64_t> done = server.ledger();
  FakeSource source(kRows);
  std::vector<LaneMeter> meters(lane_count);
  std::vector<Lane> lanes;
  for (std::size_t i = 0; i < lane_count; ++i) lanes.push_back({nullptr, server.make_sink(), &meters[i]});
  PhaseClock clock;
  const StopRequest never;
  Retries retries(std::chrono::milliseconds(0), never, nullptr);
  LoadJobs load(lanes, std::vector<Source*>(lane_count, &source), clock, retries, nullptr);
  JobGraph graph({lane_count});
  for (const TablePlan& plan : plans) {
    for (std::uint32_t number = 0; number < plan.extents.size(); ++number) {
      if (done.contains({static_cast<std::uint32_t>(plan.id), number})) continue;
      load.add(graph, 0, {&plan, RangeNumber{number}, plan.extents[number]}, 1);
    }
  }
  try {
    const StopRequest stop;
    return graph.run(lane_count, stop);
  } catch (const Error& error) {
    EXPECT_EQ(exit_status_of(error.fault()), 5) << error.describe();
    return false;
  }
}

std::multiset<std::int64_t> all_rows() {
  std::multiset<std::int64_t> rows;
  for (std::int64_t row = 1; row <= kRows; ++row) rows.insert(row);
  return rows;
}

std::uint64_t rows_in_ledger(const FakeServer& server) {
  std::uint64_t rows = 0;
  for (const auto& [key, count] : server.ledger()) rows += count;
  return rows;
}

void expect_exactly_once(const FakeServer& server, std::uint64_t step) {
  EXPECT_EQ(server.rows(0), all_rows()) << "died at step " << step;
  EXPECT_EQ(server.rows(1), all_rows()) << "died at step " << step;
  EXPECT_EQ(rows_in_ledger(server), 2 * kRows) << "died at step " << step;
}

class Resume : public ::testing::TestWithParam<std::size_t> {};

TEST_P(Resume, LoadsEveryRowExactlyOnceWhereverTheProcessDies) {
  const std::vector<TablePlan> tables = plans();
  for (std::uint64_t step = 0;; ++step) {
    ASSERT_LT(step, 1000U) << "the script never outlives the run";
    FakeServer server;
    server.die_at(step);
    const bool finished = run_until_death(tables, server, GetParam());
    EXPECT_EQ(finished, !server.died());
    server.heal();
    EXPECT_TRUE(run_until_death(tables, server, GetParam()));
    expect_exactly_once(server, step);
    if (finished) break;  // the script outlived the run: every step has been tried
  }
}

TEST_P(Resume, LoadsEveryRowExactlyOnceWhereverOneConnectionBreaks) {
  const std::vector<TablePlan> tables = plans();
  for (std::uint64_t step = 0;; ++step) {
    ASSERT_LT(step, 1000U);
    FakeServer server;
    server.fail_once_at(step);
    const bool finished = run_until_death(tables, server, GetParam());
    server.heal();
    EXPECT_TRUE(run_until_death(tables, server, GetParam()));
    expect_exactly_once(server, step);
    if (finished) break;
  }
}

TEST_P(Resume, SurvivesASecondDeathDuringTheSecondRun) {
  const std::vector<TablePlan> tables = plans();
  for (std::uint64_t first = 3; first < 30; first += 5) {
    for (std::uint64_t second = 0; second < 40; ++second) {
      FakeServer server;
      server.die_at(first);
      run_until_death(tables, server, GetParam());
      server.heal();
      server.die_at(second);
      run_until_death(tables, server, GetParam());
      server.heal();
      EXPECT_TRUE(run_until_death(tables, server, GetParam()));
      expect_exactly_once(server, second);
    }
  }
}

INSTANTIATE_TEST_SUITE_P(Lanes, Resume, ::testing::Values(1, 4));

// The sweep must be able to fail: a ledger that commits apart from its rows doubles them.
TEST(ResumeSweep, NoticesALedgerThatCommitsApartFromItsRows) {
  const std::vector<TablePlan> tables = plans();
  bool doubled = false;
  for (std::uint64_t step = 0; step < 100 && !doubled; ++step) {
    FakeServer server;
    server.forget_to_commit_together();
    server.die_at(step);
    run_until_death(tables, server, 1);
    server.heal();
    run_until_death(tables, server, 1);
    doubled = server.rows(0) != all_rows() || server.rows(1) != all_rows();
  }
  EXPECT_TRUE(doubled);
}

TEST(TwoLoaders, ShareTheRangesOfOneJob) {
  const std::vector<TablePlan> tables = plans();
  FakeServer server;
  std::vector<std::jthread> loaders;
  for (int i = 0; i < 3; ++i) {
    loaders.emplace_back([&] { EXPECT_TRUE(run_until_death(tables, server, 2)); });
  }
  loaders.clear();
  expect_exactly_once(server, 0);
}

TEST(StopRequest, KeepsFurtherRangesFromBeginning) {
  const std::vector<TablePlan> tables = plans();
  FakeServer server;
  FakeSource source(kRows);
  LaneMeter meter;
  std::vector<Lane> lanes;
  lanes.push_back({nullptr, server.make_sink(), &meter});
  StopRequest stop;
  PhaseClock clock;
  Retries retries(std::chrono::milliseconds(0), stop, nullptr);
  LoadJobs load(lanes, {&source}, clock, retries, [&](const std::optional<RangeSeal>&) { stop.stop(); });
  JobGraph graph({1});
  for (std::uint32_t number = 0; number < 3; ++number) {
    load.add(graph, 0, {&tables[0], RangeNumber{number}, tables[0].extents[number]}, 1);
  }
  EXPECT_FALSE(graph.run(1, stop));
  EXPECT_EQ(server.ledger().size(), 1U);
}

}  // namespace
}  // namespace sluice::testing
