// F4: the server crashes while it is loaded. F5: one fault upon the other, also while the job goes on after
// the first.

#include <gtest/gtest.h>

#include <csignal>
#include <optional>
#include <string>
#include <thread>

#include "fault/job.h"
#include "support/conditions.h"
#include "support/query.h"

namespace sluice::testing {
namespace {

using namespace std::chrono_literals;

std::chrono::milliseconds moment(std::mt19937_64& random, const Job& job) {
  return std::chrono::milliseconds(
      std::uniform_int_distribution<std::int64_t>(1, job.milliseconds())(random));
}

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

// ---- F4 ----

class CrashTest : public ::testing::TestWithParam<std::size_t> {};

TEST_P(CrashTest, EndsTheProcessAndTheSameCommandGoesOn) {
  std::mt19937_64 random = random_of_shot("F4", GetParam());
  Job& job = shared_job(JobKind::tables);
  set_synchronous_commit(job, GetParam() % 2 == 0);
  job.reset();
  RunningCommand running(job.command(sluice_program(), coin(random) ? 1 : 4), job.options());
  std::this_thread::sleep_for(moment(random, job));
  crash_server();
  expect_lost_server(job, running.wait());
  job.expect_sound();
  job.go_on();
}

INSTANTIATE_TEST_SUITE_P(Random, CrashTest, ::testing::Range<std::size_t>(0, shots(20)));

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

  static std::string ranges_done(const Job& job) {
    return query_value(job.target(), "SELECT count(*) FROM sluice.work WHERE done");
  }

  // Begins the job and returns when it has kAcknowledged ranges, of which no byte is in the log.
  static RunningCommand begin(const Job& job, pid_t writer, CommandOptions options) {
    options.environment.emplace_back("SLUICE_FAILPOINT",
                                     "after range:" + std::to_string(kAcknowledged) + ":stop");
    ::kill(writer, SIGSTOP);
    RunningCommand running(job.command(sluice_faults_program(), 1), std::move(options));
    EXPECT_TRUE(wait_until([&] { return is_stopped(running.pid()); }));
    return running;
  }

  static void crash(pid_t writer) {
    ::kill(shared_test_server().pid(), SIGQUIT);
    // It takes the signal once it goes on, and dies of it before it writes anything.
    ::kill(writer, SIGQUIT);
    ::kill(writer, SIGCONT);
    crash_server();
  }
};

TEST_F(LostCommitsTest, AreLoadedAgainByTheSameCommand) {
  Job& job = shared_job(JobKind::tables);
  set_synchronous_commit(job, true);
  job.reset();
  const pid_t writer = wal_writer();
  RunningCommand running = begin(job, writer, job.options());
  EXPECT_EQ(ranges_done(job), std::to_string(kAcknowledged));
  crash(writer);
  EXPECT_LT(std::stoi(ranges_done(job)), kAcknowledged) << "nothing was lost, so this test shows nothing";
  job.expect_sound();
  running.send(SIGCONT);
  expect_lost_server(job, running.wait());
  job.expect_sound();
  job.go_on();
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
    RunningCommand running(job.command(sluice_program(), coin(random) ? 1 : 4), job.options());
    std::optional<RunningCommand> second;
    if (coin(random)) second.emplace(job.command(sluice_program(), 1, "second report"), job.options());
    std::this_thread::sleep_for(moment(random, job));
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
