// F4: the server crashes while it is loaded. F5: one fault upon the other, also while the job goes on after
// the first.

#include <gtest/gtest.h>

#include <csignal>
#include <cstdio>
#include <fstream>
#include <optional>
#include <regex>
#include <string>
#include <thread>
#include <vector>

#include "fault/job.h"
#include "support/conditions.h"
#include "support/query.h"
#include "support/temporary_directory.h"

namespace sluice::testing {
namespace {

using namespace std::chrono_literals;

bool coin(std::mt19937_64& random) { return std::uniform_int_distribution<int>(0, 1)(random) == 1; }

// What every session of this database has that says nothing else: the ranges have their own.
void set_synchronous_commit(const Job& job, bool on) {
  const std::string database = query_value(job.target(), "SELECT current_database()");
  execute(job.target(), "ALTER DATABASE " + database + " SET synchronous_commit = " + (on ? "on" : "off"));
}

void crash_server() {
  shared_test_server().stop(Stop::immediate);
  shared_test_server().start();
}

// A process that lost its server: it says so, and that the same command goes on. It may have been done
// before.
void expect_lost_server(const Job& job, const CommandResult& end) {
  if (end.exit_status == 0) {
    // It has said that everything is there, so a crash cannot take it any more.
    job.expect_complete(end);
    return;
  }
  EXPECT_TRUE(end.exit_status == 5 || end.exit_status == 21) << end.exit_status << end.out << end.err;
  EXPECT_TRUE(contains(end.err, "run the same command again")) << end.err;
}

std::size_t crashes_survived = 0;

// A process that outlives its server: only where it had not begun yet does it give up.
void expect_survived(const Job& job, const CommandResult& end) {
  const bool begun = query_value(job.target(), "SELECT to_regclass('sluice.run') IS NOT NULL") == "t";
  if (end.exit_status != 0 && !begun && !contains(end.err, "trying again")) {
    expect_lost_server(job, end);
  } else {
    job.expect_complete(end);
    if (contains(end.err, "trying again")) ++crashes_survived;
  }
}

CommandOptions with_retries(const Job& job) {
  CommandOptions options = job.options();
  options.environment = {{"SLUICE_RETRY_FOR", "5min"}};
  return options;
}

// ---- F4 ----

class CrashTest : public ::testing::TestWithParam<std::size_t> {
 protected:
  static void TearDownTestSuite() {
    std::printf("%zu crashes were survived, others came before the first connection or after the end\n",
                crashes_survived);
    const ::testing::TestSuite& suite = *::testing::UnitTest::GetInstance()->current_test_suite();
    // Otherwise the moments are badly chosen, and the family tests little.
    if (suite.test_to_run_count() >= 20) {
      EXPECT_GE(crashes_survived, 3U);
    }
  }
};

TEST_P(CrashTest, EndsTheProcessAndTheSameCommandGoesOn) {
  std::mt19937_64 random = random_of_shot("F4", GetParam());
  Job& job = shared_job(JobKind::tables);
  set_synchronous_commit(job, GetParam() % 2 == 0);
  job.reset();
  RunningCommand running(job.command(sluice_program(), coin(random) ? 1 : 4), job.options());
  std::this_thread::sleep_for(job.moments().next(random));
  job.moments().last_came_in_time(running.running());
  crash_server();
  expect_lost_server(job, running.wait());
  job.expect_sound();
  job.go_on();
}

TEST_P(CrashTest, IsSurvivedByAProcessThatTriesAgain) {
  std::mt19937_64 random = random_of_shot("F4 with retries", GetParam());
  Job& job = shared_job(JobKind::tables);
  set_synchronous_commit(job, GetParam() % 2 == 0);
  job.reset();
  RunningCommand running(job.command(sluice_program(), coin(random) ? 1 : 4), with_retries(job));
  std::this_thread::sleep_for(job.moments().next(random));
  job.moments().last_came_in_time(running.running());
  crash_server();
  job.expect_sound();
  expect_survived(job, running.wait());
  job.go_on();
}

INSTANTIATE_TEST_SUITE_P(Random, CrashTest, ::testing::Range<std::size_t>(0, shots(20)));

// A comparison reads on; a repair, whose leaves a crash takes back that were committed, looks again at all
// that differed.
class RepairCrashTest : public ::testing::TestWithParam<std::size_t> {
 protected:
  static void TearDownTestSuite() {
    std::printf("%zu repairs survived a crash\n", repairs_survived_);
    if (::testing::UnitTest::GetInstance()->current_test_suite()->test_to_run_count() >= 20) {
      EXPECT_GE(repairs_survived_, 3U);
    }
  }

  static void fire(std::string_view family, const CommandOptions& options);

  static inline std::size_t repairs_survived_ = 0;
};

void RepairCrashTest::fire(std::string_view family, const CommandOptions& options) {
  std::mt19937_64 random = random_of_shot(family, GetParam());
  Job& job = shared_job(JobKind::repair);
  job.reset();
  RunningCommand running(job.command(sluice_program()), options);
  std::this_thread::sleep_for(job.moments().next(random));
  job.moments().last_came_in_time(running.running());
  crash_server();
  const CommandResult& end = running.wait();
  const bool survived = contains(end.err, "trying again");
  survived ? job.expect_complete(end) : expect_lost_server(job, end);
  repairs_survived_ += survived ? 1 : 0;
  job.expect_sound();
  job.go_on();
}

TEST_P(RepairCrashTest, EndsTheProcessAndTheSameCommandGoesOn) {
  fire("F4 of a repair", shared_job(JobKind::repair).options());
}

TEST_P(RepairCrashTest, IsSurvivedByAProcessThatTriesAgain) {
  fire("F4 of a repair with retries", with_retries(shared_job(JobKind::repair)));
}

// What a comparison has to say, whatever becomes of its server meanwhile: at several places of its way, of
// which the last are in the search for the rows that differ. With one lane, so that it names the same of them
// each time.
class ComparisonTest : public ::testing::TestWithParam<int> {
 protected:
  static std::vector<std::string> comparison(const std::string& program) {
    std::vector<std::string> words = shared_job(JobKind::repair).command(program);
    EXPECT_EQ(words.back(), "--repair");
    words.pop_back();
    words.insert(words.end(), {"--jobs", "1"});
    return words;
  }

  // How many transactions it begins.
  static std::size_t transactions() {
    const TemporaryDirectory folder;
    CommandOptions options;
    options.environment = {{"SLUICE_FAILPOINT_TRACE", folder / "steps"}};
    EXPECT_EQ(run_command(comparison(sluice_faults_program()), options).exit_status, 4);
    std::ifstream steps(folder / "steps");
    std::size_t count = 0;
    for (std::string step; std::getline(steps, step);) count += step == "after BEGIN" ? 1 : 0;
    return count;
  }
};

TEST_P(ComparisonTest, GoesOnWithAServerThatRestartsOrEndsItsSessions) {
  Job& job = shared_job(JobKind::repair);
  job.reset();
  const CommandResult undisturbed = run_command(comparison(sluice_program()));
  ASSERT_EQ(undisturbed.exit_status, 4) << undisturbed.err;
  const std::size_t transaction = transactions() * static_cast<std::size_t>(GetParam()) / 100;
  ASSERT_GT(transaction, 0U);
  for (const bool restart : {true, false}) {
    for (const bool tries_again : {true, false}) {
      RunningCommand running =
          begin_until(comparison(sluice_program()), "after BEGIN:" + std::to_string(transaction) + ":stop",
                      tries_again ? with_retries(job) : job.options());
      if (restart) {
        shared_test_server().stop(Stop::fast);
        shared_test_server().start();
      } else {
        execute(
            shared_test_server().conninfo(),
            "SELECT pg_terminate_backend(pid, 10000) FROM pg_stat_activity WHERE datname = 'fault_repair'");
      }
      running.send(SIGCONT);
      const CommandResult& end = running.wait();
      if (tries_again) {
        EXPECT_EQ(end.exit_status, 4) << end.err;
        EXPECT_EQ(end.out, undisturbed.out);
        EXPECT_TRUE(contains(end.err, "trying again in")) << end.err;
      } else {
        EXPECT_EQ(end.exit_status, 5) << end.out << end.err;
        EXPECT_TRUE(contains(end.err, "run the same command again")) << end.err;
      }
    }
  }
}

INSTANTIATE_TEST_SUITE_P(AtPercent, ComparisonTest, ::testing::Values(10, 30, 50, 70, 85, 100));

INSTANTIATE_TEST_SUITE_P(Random, RepairCrashTest, ::testing::Range<std::size_t>(0, shots(15)));

// ---- acknowledged, and lost all the same ----

pid_t wal_writer() {
  return std::stoi(query_value(shared_test_server().conninfo(),
                               "SELECT pid FROM pg_stat_activity WHERE backend_type = 'walwriter'"));
}

// With the process that writes the log stopped, what is committed asynchronously stays in the server's
// memory.
class LostCommitsTest : public ::testing::Test {
 protected:
  static constexpr int kAcknowledged = 7;  // ranges

  LostCommitsTest() : job_(shared_job(JobKind::tables)) {
    // Whose commits would take ours to the disk.
    execute(shared_test_server().conninfo(), "ALTER SYSTEM SET autovacuum = off");
    execute(shared_test_server().conninfo(), "SELECT pg_reload_conf()");
    set_synchronous_commit(job_, true);
    job_.reset();
  }

  [[nodiscard]] int ranges_done() const {
    if (query_value(job_.target(), "SELECT to_regclass('sluice.work') IS NULL") == "t") return 0;
    return std::stoi(query_value(job_.target(), "SELECT count(*) FROM sluice.work WHERE done"));
  }

  // The server crashes with what is not in its log yet, and is back.
  static void crash_without_writing(pid_t writer) {
    ::kill(shared_test_server().pid(), SIGQUIT);
    // It takes the signal once it goes on, and dies of it before it writes anything.
    ::kill(writer, SIGQUIT);
    ::kill(writer, SIGCONT);
    crash_server();
  }

  // A stopped process that has had the answer to so many commits, of which the server kept none.
  RunningCommand lose_ranges(CommandOptions options) {
    const pid_t writer = wal_writer();
    ::kill(writer, SIGSTOP);
    RunningCommand running =
        begin_until(job_.command(sluice_program(), 1),
                    "after range:" + std::to_string(kAcknowledged) + ":stop", std::move(options));
    EXPECT_EQ(ranges_done(), kAcknowledged);
    crash_without_writing(writer);
    EXPECT_LT(ranges_done(), kAcknowledged) << "nothing was lost, so this test shows nothing";
    job_.expect_sound();
    return running;
  }

  Job& job_;
};

TEST_F(LostCommitsTest, AreLoadedAgainByTheSameCommand) {
  RunningCommand running = lose_ranges(job_.options());
  running.send(SIGCONT);
  expect_lost_server(job_, running.wait());
  job_.expect_sound();
  job_.go_on();
}

TEST_F(LostCommitsTest, AreLoadedAgainByTheSameProcess) {
  RunningCommand running = lose_ranges(with_retries(job_));
  running.send(SIGCONT);
  const CommandResult& end = running.wait();
  job_.expect_complete(end);
  EXPECT_TRUE(contains(end.err, "loading it again")) << end.err;
}

// Where the role's commits are asynchronous by default, the server could forget the run, too.
TEST_F(LostCommitsTest, NeverTakeTheRunItself) {
  set_synchronous_commit(job_, false);
  RunningCommand running = lose_ranges(with_retries(job_));
  running.send(SIGCONT);
  job_.expect_complete(running.wait());
}

// A repair counts what there is in the end, not what was answered.
TEST_F(LostCommitsTest, OfARepairAreRepairedAgain) {
  Job& job = shared_job(JobKind::repair);
  job.reset();
  const auto leaves = [&] {
    return std::stoi(query_value(job.target(), "SELECT count(*) FROM sluice.repair"));
  };
  // With one lane, so that the same rows are named.
  std::vector<std::string> command = job.command(sluice_program());
  command.insert(command.end(), {"--jobs", "1"});
  const CommandResult undisturbed = run_command(command);
  const int leaves_differing = leaves();
  job.reset();
  const pid_t writer = wal_writer();
  ::kill(writer, SIGSTOP);
  RunningCommand running = begin_until(command, "before settle:1:stop", with_retries(job));
  EXPECT_EQ(leaves(), leaves_differing);
  crash_without_writing(writer);
  EXPECT_LT(leaves(), leaves_differing) << "nothing was lost, so this test shows nothing";
  job.expect_sound();
  running.send(SIGCONT);
  const CommandResult& end = running.wait();
  job.expect_complete(end);
  EXPECT_EQ(leaves(), leaves_differing);
  const auto without_id = [](const CommandResult& result) {
    return std::regex_replace(result.out, std::regex("recorded in sluice.repair as [0-9a-f-]+"), "recorded");
  };
  EXPECT_EQ(without_id(end), without_id(undisturbed));
}

// An index that the crash took is not there for the constraint that is made of it. That is no reason to do
// without the constraint.
TEST_F(LostCommitsTest, OfIndexesAreMadeAgainBeforeWhatNeedsThem) {
  set_synchronous_commit(job_, false);
  const auto indexes_made = [&] {
    return std::stoi(
        query_value(job_.target(), "SELECT count(*) FROM sluice.step WHERE done AND phase = 'index'"));
  };
  const pid_t writer = wal_writer();
  RunningCommand running =
      begin_until(job_.command(sluice_program(), 1),
                  "before CREATE INDEX:5:stop,before ADD CONSTRAINT:1:stop", with_retries(job_));
  EXPECT_EQ(query_value(job_.target(), "SELECT count(*) FROM sluice.work WHERE NOT done"), "0");
  execute(shared_test_server().conninfo(), "CHECKPOINT");
  ::kill(writer, SIGSTOP);
  running.send(SIGCONT);
  ASSERT_TRUE(wait_until([&] { return indexes_made() == 5 && is_stopped(running.pid()); }));
  crash_without_writing(writer);
  EXPECT_LT(indexes_made(), 5) << "nothing was lost, so this test shows nothing";
  job_.expect_sound();
  running.send(SIGCONT);
  job_.expect_complete(running.wait());
}

// ---- F5 ----

class CompoundTest : public ::testing::TestWithParam<std::size_t> {};

TEST_P(CompoundTest, FaultsUponFaultsLoseNothing) {
  std::mt19937_64 random = random_of_shot("F5", GetParam());
  Job& job = shared_job(JobKind::tables);
  set_synchronous_commit(job, coin(random));
  job.reset();
  const int rounds = std::uniform_int_distribution<int>(2, 4)(random);
  for (int round = 0; round < rounds; ++round) {
    const CommandOptions options = coin(random) ? with_retries(job) : job.options();
    RunningCommand running(job.command(sluice_program(), coin(random) ? 1 : 4), options);
    std::optional<RunningCommand> second;
    if (coin(random)) second.emplace(job.command(sluice_program(), 1, "second report"), job.options());
    std::this_thread::sleep_for(job.moments().next(random));
    job.moments().last_came_in_time(running.running());
    switch (std::uniform_int_distribution<int>(0, 3)(random)) {
      case 0:
        running.send(SIGKILL);
        break;
      case 1:
        crash_server();
        break;
      case 2:
        running.send(SIGKILL);
        crash_server();
        break;
      default:  // as an administrator does
        execute(shared_test_server().conninfo(),
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = 'fault_tables'");
    }
    job.expect_sound();
    for (RunningCommand* one : {&running, second ? &*second : nullptr}) {
      if (one == nullptr || one->wait().signal == SIGKILL) continue;
      expect_lost_server(job, one->wait());
    }
    job.expect_sound();
  }
  job.go_on();
}

INSTANTIATE_TEST_SUITE_P(Random, CompoundTest, ::testing::Range<std::size_t>(0, shots(40)));

}  // namespace
}  // namespace sluice::testing
