// A real server, a real load, and a process that dies at random moments.

#include <gtest/gtest.h>

#include <chrono>
#include <csignal>
#include <optional>
#include <random>
#include <string>
#include <thread>
#include <vector>

#include "io/postgres/connection.h"
#include "support/command.h"
#include "support/conditions.h"
#include "support/query.h"
#include "support/seed.h"
#include "support/temporary_directory.h"
#include "support/test_server.h"

namespace sluice::testing {
namespace {

constexpr int kKills = 10;
constexpr std::uint64_t kRows = 2'000'000;

class Kill : public ::testing::Test {
 protected:
  static void SetUpTestSuite() {
    folder_ = new TemporaryDirectory();
    source_ = (*folder_ / "two_million.sqlite").string();
    const CommandResult made = run_command({generate_dataset_program(), "three_tables", source_, "--rows",
                                            std::to_string(kRows), "--seed", "7"});
    ASSERT_EQ(made.exit_status, 0) << made.err;
    server_ = new TestServer();
  }
  static void TearDownTestSuite() {
    delete server_;
    delete folder_;
  }

  static std::vector<std::string> migrate(const std::string& target) {
    // Ranges of 4 MB: each kill then finds some done, some under way and some not begun.
    return {sluice_program(), "migrate", source_, target, "--jobs", "3", "--range-size", "4MB"};
  }

  static std::string value(const std::string& conninfo, const std::string& sql) {
    return query_value(conninfo, sql);
  }

  // The source's rows, each once, and a ledger that says the same.
  static void expect_complete(const std::string& conninfo) {
    std::uint64_t rows = 0;
    for (const std::string table : {"customers", "orders", "events"}) {
      const std::string count = value(conninfo, "SELECT count(*) FROM " + table);
      EXPECT_EQ(count, value(conninfo, "SELECT count(DISTINCT id) FROM " + table)) << table;
      rows += std::stoull(count);
    }
    EXPECT_EQ(rows, kRows);
    EXPECT_EQ(value(conninfo, "SELECT sum(rows_loaded) FROM sluice.work"), std::to_string(kRows));
    EXPECT_EQ(value(conninfo, "SELECT count(*) FROM sluice.work WHERE NOT done"), "0");
    EXPECT_EQ(value(conninfo, "SELECT count(*) FROM sluice.run"), "1");
    EXPECT_EQ(value(conninfo,
                    "SELECT count(*) FROM pg_index WHERE indrelid::regclass::text IN "
                    "('customers', 'orders', 'events')"),
              indexes_);
  }

  // Starts a load, blocks it, and stops it once: lanes that wait for a lock cannot finish their ranges.
  RunningCommand stopped_and_blocked(const std::vector<std::string>& wishes) {
    target_ = server_->create_database("stopped");
    std::vector<std::string> command = migrate(target_);
    command.insert(command.end(), wishes.begin(), wishes.end());
    RunningCommand running(command);
    EXPECT_TRUE(wait_for_ranges(target_));
    holder_.emplace(target_);
    holder_->execute("BEGIN; LOCK TABLE events, orders, customers IN SHARE MODE");  // COPY waits
    EXPECT_TRUE(wait_until([&] {
      return value(target_, "SELECT count(*) FROM pg_locks WHERE locktype = 'relation' AND NOT granted") !=
             "0";
    }));
    running.send(SIGINT);
    return running;
  }

  void expect_cancelled_and_resumable(const CommandResult& result) {
    EXPECT_EQ(result.exit_status, 5) << result.err;
    EXPECT_NE(result.err.find("run the same command again"), std::string::npos) << result.err;
    // Nothing of the run goes on in the server; one session is the holder's.
    EXPECT_TRUE(wait_until([&] {
      return value(target_, "SELECT count(*) FROM pg_stat_activity WHERE application_name = 'sluice'") == "1";
    }));
    holder_.reset();
    const CommandResult last = run_command(migrate(target_));
    ASSERT_EQ(last.exit_status, 0) << last.err;
    EXPECT_EQ(root_in(last), root_);
    expect_complete(target_);
  }

  std::string target_;
  std::optional<Connection> holder_;
  static inline TemporaryDirectory* folder_ = nullptr;
  static inline TestServer* server_ = nullptr;
  static inline std::string source_;
  static inline std::string root_;
  static inline std::string indexes_;
  static inline double seconds_ = 0;
};

TEST_F(Kill, AnUndisturbedLoadGivesTheRootToCompareWith) {
  const std::string target = server_->create_database("undisturbed");
  const CommandResult result = run_command(migrate(target));
  ASSERT_EQ(result.exit_status, 0) << result.err;
  root_ = root_in(result);
  seconds_ = result.seconds.count();
  indexes_ = value(target,
                   "SELECT count(*) FROM pg_index WHERE indrelid::regclass::text IN "
                   "('customers', 'orders', 'events')");
  EXPECT_EQ(root_.size(), 32U);
  expect_complete(target);
  server_->create_database("undisturbed");  // drops it: room on the disk
}

TEST_F(Kill, TenTimesAtRandomMomentsStillEndsWithEveryRowOnceAndTheSameRoot) {
  ASSERT_FALSE(root_.empty());
  std::mt19937_64 random(test_seed());
  const std::string target = server_->create_database("killed");
  // Together the ten attempts get about one whole run's time, so that they reach every phase.
  const double longest = 2 * seconds_ / kKills;
  int landed = 0;
  for (int attempt = 0; landed < kKills && attempt < 10 * kKills; ++attempt) {
    CommandOptions options;
    const double after = std::uniform_real_distribution<double>(0.02, longest)(random);
    options.signal_after = std::chrono::milliseconds(static_cast<std::int64_t>(after * 1000));
    options.signal = SIGKILL;
    const CommandResult result = run_command(migrate(target), options);
    if (result.signal == SIGKILL) {
      ++landed;
      if (value(target, "SELECT to_regclass('sluice.work') IS NOT NULL") == "t") {
        RecordProperty("done_after_kill_" + std::to_string(landed),
                       value(target, "SELECT count(*) FROM sluice.work WHERE done"));
      }
    } else {
      ASSERT_EQ(result.exit_status, 0) << result.err;
    }
  }
  EXPECT_EQ(landed, kKills);
  const CommandResult last = run_command(migrate(target));
  ASSERT_EQ(last.exit_status, 0) << last.err;
  EXPECT_EQ(root_in(last), root_);
  expect_complete(target);
}

TEST_F(Kill, AnInterruptLetsRangesFinishAndTheSameCommandGoesOn) {
  ASSERT_FALSE(root_.empty());
  const std::string target = server_->create_database("interrupted");
  RunningCommand running(migrate(target));
  ASSERT_TRUE(wait_for_ranges(target));
  running.send(SIGINT);
  const CommandResult stopped = running.wait();
  EXPECT_EQ(stopped.exit_status, 5) << stopped.err;
  EXPECT_NE(stopped.err.find("run the same command again"), std::string::npos) << stopped.err;
  const CommandResult last = run_command(migrate(target));
  ASSERT_EQ(last.exit_status, 0) << last.err;
  EXPECT_NE(last.err.find("going on with an earlier run"), std::string::npos) << last.err;
  EXPECT_EQ(root_in(last), root_);
  expect_complete(target);
}

TEST_F(Kill, AServerThatCrashesMidLoadAndComesBackIsLoadedByTheSameProcess) {
  ASSERT_FALSE(root_.empty());
  const std::string target = server_->create_database("survived");
  RunningCommand running(migrate(target));
  ASSERT_TRUE(wait_for_ranges(target));
  server_->stop(Stop::immediate);
  server_->start();
  const CommandResult result = running.wait();
  ASSERT_EQ(result.exit_status, 0) << result.err;
  EXPECT_NE(result.err.find("trying again in"), std::string::npos) << result.err;
  EXPECT_EQ(root_in(result), root_);
  expect_complete(target);
}

TEST_F(Kill, AServerThatStaysAwayForLongerThanThePatienceEndsInStatusFive) {
  ASSERT_FALSE(root_.empty());
  const std::string target = server_->create_database("away");
  std::vector<std::string> command = migrate(target);
  command.insert(command.end(), {"--retry-for", "1s"});
  RunningCommand running(command);
  ASSERT_TRUE(wait_for_ranges(target));
  server_->stop(Stop::immediate);
  const CommandResult gone = running.wait();
  server_->start();
  EXPECT_EQ(gone.exit_status, 5) << gone.err;
  EXPECT_NE(gone.err.find("run the same command again"), std::string::npos) << gone.err;
}

TEST_F(Kill, TheSecondSignalCancelsWhatIsUnderWay) {
  ASSERT_FALSE(root_.empty());
  RunningCommand running = stopped_and_blocked({});
  std::this_thread::sleep_for(std::chrono::milliseconds(500));
  ASSERT_TRUE(running.running()) << "the first signal lets ranges finish";
  running.send(SIGINT);
  const auto asked = std::chrono::steady_clock::now();
  const CommandResult result = running.wait();
  EXPECT_LT(std::chrono::steady_clock::now() - asked, std::chrono::seconds(20));
  expect_cancelled_and_resumable(result);
}

TEST_F(Kill, TheEndOfTheGraceCancelsWhatIsUnderWay) {
  ASSERT_FALSE(root_.empty());
  RunningCommand running = stopped_and_blocked({"--grace", "1s"});
  const CommandResult result = running.wait();
  EXPECT_FALSE(result.timed_out);
  expect_cancelled_and_resumable(result);
}

TEST_F(Kill, AServerThatCrashesMidLoadEndsInStatusFiveWithoutRetriesAndIsLoadedExactlyOnceAfterwards) {
  ASSERT_FALSE(root_.empty());
  const std::string target = server_->create_database("crashed");
  std::vector<std::string> command = migrate(target);
  command.insert(command.end(), {"--retry-for", "0"});
  RunningCommand running(command);
  ASSERT_TRUE(wait_for_ranges(target));
  server_->stop(Stop::immediate);
  const CommandResult crashed = running.wait();
  server_->start();
  EXPECT_EQ(crashed.exit_status, 5) << crashed.err;
  const CommandResult last = run_command(migrate(target));
  ASSERT_EQ(last.exit_status, 0) << last.err;
  EXPECT_EQ(root_in(last), root_);
  expect_complete(target);
}

}  // namespace
}  // namespace sluice::testing
