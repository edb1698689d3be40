// Connections that break after any number of bytes, either way, by reset, in order, or in silence: with
// --retry-for 0 the run ends with 5 or 21 and the same command goes on; with retries it lives through that.
// Nothing is lost, nothing comes twice.

#include <gtest/gtest.h>

#include <algorithm>
#include <atomic>
#include <random>
#include <string>
#include <thread>
#include <vector>

#include "fault/invariants.h"
#include "fault/job.h"
#include "support/command.h"
#include "support/conditions.h"
#include "support/fault_proxy.h"
#include "support/query.h"
#include "support/temporary_directory.h"
#include "support/test_server.h"

namespace sluice::testing {
namespace {

using namespace std::chrono_literals;

constexpr std::size_t kShots = 50;        // of each kind
constexpr std::size_t kLanes = 4;         // shots at the same time
constexpr std::size_t kSilentLanes = 16;  // those that mostly wait
constexpr std::uint64_t kRows = 6000;

// So short that a silence is noticed within a test's time, and longer than any pause of a busy machine...
// which does not count: the kernel answers a keep-alive whatever the process does.
constexpr const char* kImpatient =
    "connect_timeout=10 tcp_user_timeout=1000 keepalives_idle=1 keepalives_interval=1 keepalives_count=2";
constexpr auto kPatience = 5min;

class ConnectionCut : public ::testing::Test {
 protected:
  static void SetUpTestSuite() {
    folder_ = new TemporaryDirectory();
    source_ = (*folder_ / "source.sqlite").string();
    const CommandResult made = run_command({generate_dataset_program(), "three_tables", source_, "--rows",
                                            std::to_string(kRows), "--seed", "7"});
    ASSERT_EQ(made.exit_status, 0) << made.err;
    server_ = new TestServer();

    // The undisturbed run tells the root, and between which numbers of bytes there is something to break.
    const std::string target = server_->create_database("undisturbed");
    FaultProxy proxy(socket());
    const CommandResult result = run_command(migrate(proxy.conninfo("undisturbed"), "0"));
    ASSERT_EQ(result.exit_status, 0) << result.err;
    root_ = root_in(result);
    ASSERT_EQ(root_.size(), 32U);
    traffic_ = proxy.traffic();
    picture_ = picture_of(target);
    ASSERT_GT(traffic_.turns_to_server.size(), 100U);
  }
  static void TearDownTestSuite() {
    delete server_;
    delete folder_;
  }

  static std::filesystem::path socket() { return server_->socket_directory() / ".s.PGSQL.5432"; }

  static std::vector<std::string> migrate(const std::string& target, const std::string& retry) {
    std::vector<std::string> command = {sluice_program(), "migrate", source_,        target, "--jobs", "2",
                                        "--index-jobs",   "2",       "--range-size", "64KB"};
    command.insert(command.end(), {"--retry-for", retry});
    return command;
  }

  struct Shot {
    std::size_t number = 0;
    Trigger trigger{};
    std::string retry_for = "0";
  };

  static std::string words_for(const Shot& shot) {
    const char* how[] = {"reset", "finish", "black hole"};
    return "shot " + std::to_string(shot.number) + ": " + how[static_cast<int>(shot.trigger.how)] +
           " after " + std::to_string(shot.trigger.after_bytes) + " bytes " + shot.trigger.after_text +
           (shot.trigger.direction == Direction::to_server ? " to the server" : " to the client") +
           (shot.trigger.all_connections ? ", all connections" : "") + ", --retry-for " + shot.retry_for;
  }

  // Returns whether the connection broke before the run was over.
  static bool fire(const Shot& shot) {
    const std::string what = words_for(shot);
    const std::string database = "cut" + std::to_string(shot.number);
    const std::string target = server_->create_database(database);
    CommandOptions options;
    options.timeout = kPatience;
    bool landed = false;
    {
      FaultProxy proxy(socket());
      proxy.arm(shot.trigger);
      const CommandResult result =
          run_command(migrate(proxy.conninfo(database, kImpatient), shot.retry_for), options);
      landed = proxy.broken() > 0;
      EXPECT_FALSE(result.timed_out) << what << "\n" << result.err;
      if (shot.retry_for == "0") {
        // The last bytes are those of a run that is over.
        EXPECT_TRUE(result.exit_status == 5 || result.exit_status == 21 || result.exit_status == 0)
            << what << ": " << result.exit_status << "\n"
            << result.err;
        // Nor does one have to end that is cut where it only begins a transaction: it has connected once
        // more.
        landed = landed && (result.exit_status != 0 || proxy.traffic().connections > traffic_.connections);
        if (result.exit_status != 0) {
          EXPECT_TRUE(contains(result.err, "run the same command again")) << what << "\n" << result.err;
        }
      } else {
        EXPECT_EQ(result.exit_status, 0) << what << "\n" << result.err;
        EXPECT_EQ(root_in(result), root_) << what;
      }
    }
    EXPECT_EQ(violations(target), std::vector<std::string>()) << what;
    // Straight to the server.
    const CommandResult again = run_command(migrate(target, "0"), options);
    EXPECT_EQ(again.exit_status, 0) << what << "\n" << again.err;
    EXPECT_EQ(root_in(again), root_) << what;
    EXPECT_EQ(violations(target), std::vector<std::string>()) << what;
    EXPECT_EQ(picture_of(target), picture_) << what;
    execute(server_->conninfo(), "DROP DATABASE \"" + database + "\" WITH (FORCE)");
    return landed;
  }

  // Half of the numbers are anywhere, half where a statement or an answer begins, and some bytes around:
  // there is where the states are, while most of the bytes are rows.
  static std::vector<Shot> shots_of(Break how, const std::string& retry_for, std::size_t first) {
    std::vector<Shot> all;
    for (std::size_t i = 0; i < shots(kShots); ++i) {
      std::mt19937_64 random = random_of_shot("cut", first + i);
      const auto below = [&](std::uint64_t limit) {
        return std::uniform_int_distribution<std::uint64_t>(0, limit - 1)(random);
      };
      Shot shot;
      shot.number = first + i;
      shot.retry_for = retry_for;
      shot.trigger.how = how;
      shot.trigger.direction = i % 2 == 0 ? Direction::to_server : Direction::to_client;
      shot.trigger.all_connections = below(3) == 0;
      const bool up = shot.trigger.direction == Direction::to_server;
      const std::vector<std::uint64_t>& turns = up ? traffic_.turns_to_server : traffic_.turns_to_client;
      const std::uint64_t total = up ? traffic_.to_server : traffic_.to_client;
      shot.trigger.after_bytes = i % 4 < 2 ? below(total) : turns[below(turns.size())] + below(9);
      // The first connection is not tried again: a wrong address should be known at once.
      if (retry_for != "0") shot.trigger.after_bytes = std::max(shot.trigger.after_bytes, turns[1]);
      all.push_back(shot);
    }
    return all;
  }

  static void fire_all(const std::vector<Shot>& shots) {
    std::atomic<std::size_t> next{0};
    std::atomic<int> landed{0};
    std::vector<std::thread> lanes;
    const bool silent = shots.front().trigger.how == Break::black_hole;
    for (std::size_t lane = 0; lane < (silent ? kSilentLanes : kLanes); ++lane) {
      lanes.emplace_back([&] {
        for (std::size_t i = next++; i < shots.size() && !HasFailure(); i = next++)
          landed += fire(shots[i]) ? 1 : 0;
      });
    }
    for (std::thread& lane : lanes) lane.join();
    // A run is never the same twice, so some of the last numbers are not reached.
    if (!HasFailure()) {
      EXPECT_GE(landed * 10, static_cast<int>(shots.size()) * 8);
    }
    std::printf("%d of %zu shots landed\n", landed.load(), shots.size());
  }

  static inline TemporaryDirectory* folder_ = nullptr;
  static inline TestServer* server_ = nullptr;
  static inline std::string source_;
  static inline std::string root_;
  static inline std::string picture_;
  static inline Traffic traffic_;
};

TEST_F(ConnectionCut, ByResetIsResumedByTheSameCommand) { fire_all(shots_of(Break::reset, "0", 0)); }
TEST_F(ConnectionCut, InOrderIsResumedByTheSameCommand) { fire_all(shots_of(Break::finish, "0", 100000)); }
TEST_F(ConnectionCut, InSilenceIsResumedByTheSameCommand) {
  fire_all(shots_of(Break::black_hole, "0", 200000));
}
TEST_F(ConnectionCut, ByResetIsLivedThrough) { fire_all(shots_of(Break::reset, "20s", 300000)); }
TEST_F(ConnectionCut, InOrderIsLivedThrough) { fire_all(shots_of(Break::finish, "20s", 400000)); }
TEST_F(ConnectionCut, InSilenceIsLivedThrough) { fire_all(shots_of(Break::black_hole, "20s", 500000)); }

// What a process cannot know: the COMMIT was carried out, and its answer never came. Every one of them in
// turn.
TEST_F(ConnectionCut, ACommitWhoseAnswerIsLostIsNotDoneTwice) {
  std::vector<Shot> all;
  for (const std::string retry_for : {"0", "20s"}) {
    for (int occurrence = 1; occurrence <= 12; ++occurrence) {
      Shot shot;
      shot.number = 700000 + all.size();
      shot.retry_for = retry_for;
      // As a simple query: length, text, zero.
      shot.trigger.after_text = std::string("COMMIT\0", 7);
      shot.trigger.occurrence = occurrence * 2;
      shot.trigger.direction = Direction::to_client;
      all.push_back(shot);
    }
  }
  fire_all(all);
}

// Everything that is asked before the first range, and some of what follows, one transaction after the other:
// each has its own place in the program, and each must be tried again there.
TEST_F(ConnectionCut, AnyOfTheFirstTransactionsMayBeLost) {
  std::vector<Shot> all;
  for (int occurrence = 2; occurrence <= 41; ++occurrence) {
    Shot shot;
    shot.number = 800000 + all.size();
    shot.retry_for = "20s";
    shot.trigger.after_text = "BEGIN ISOLATION";
    shot.trigger.occurrence = occurrence;
    shot.trigger.direction = occurrence % 2 == 0 ? Direction::to_client : Direction::to_server;
    all.push_back(shot);
  }
  fire_all(all);
}

// Nor by a repair, of rows that no key keeps from coming twice.
TEST_F(ConnectionCut, ARepairWhoseAnswerIsLostBringsNoRowTwice) {
  const std::string source = (*folder_ / "keyless.sqlite").string();
  CommandOptions script;
  script.input =
      "CREATE TABLE sighting (bird TEXT, seen INTEGER); WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i "
      "+ "
      "1 FROM n WHERE i < 3000) INSERT INTO sighting SELECT 'bird ' || i % 7, i % 100 FROM n;";
  ASSERT_EQ(run_command({"sqlite3", "-batch", "-bail", source}, script).exit_status, 0);
  int landed = 0;
  constexpr int kCommits = 8;
  for (int occurrence = 1; occurrence <= kCommits; ++occurrence) {
    SCOPED_TRACE("COMMIT " + std::to_string(occurrence));
    const std::string target = server_->create_database("keyless");
    ASSERT_EQ(run_command({sluice_program(), "migrate", source, target}).exit_status, 0);
    execute(target,
            "DELETE FROM sighting WHERE seen IN (3, 4); UPDATE sighting SET bird = 'cat' WHERE seen = 5");
    FaultProxy proxy(socket());
    Trigger trigger;
    trigger.after_text = std::string("COMMIT\0", 7);
    trigger.occurrence = occurrence;
    trigger.direction = Direction::to_client;
    proxy.arm(trigger);
    const CommandResult end =
        run_command({sluice_program(), "verify", source, proxy.conninfo("keyless", kImpatient), "--repair",
                     "--repair-without-key", "--retry-for", "20s"});
    EXPECT_EQ(end.exit_status, 0) << end.out << end.err;
    EXPECT_TRUE(contains(end.out, "repair: 30 rows deleted, 90 rows inserted")) << end.out;
    EXPECT_EQ(query_value(target, "SELECT count(*) FROM sighting"), "3000");
    if (proxy.broken() > 0) {
      ++landed;
      EXPECT_TRUE(contains(end.err, "trying again in")) << end.err;
    }
    EXPECT_EQ(run_command({sluice_program(), "verify", source, target}).exit_status, 0);
  }
  std::printf("%d of %d COMMITs of a repair\n", landed, kCommits);
  EXPECT_GE(landed, 3);
}

// What the migration above does not have: rows that are rejected, a frozen table, objects that are taken down
// and put back, and a repair.
class JobCut : public ::testing::TestWithParam<JobKind> {
 protected:
  static void cut(const std::string& retry_for);
};

void JobCut::cut(const std::string& retry_for) {
  const bool tries_again = retry_for != "0";
  Job& job = shared_job(GetParam());
  const std::string database = "fault_" + std::string(name_of(GetParam()));
  const std::filesystem::path socket = shared_test_server().socket_directory() / ".s.PGSQL.5432";
  Traffic traffic;
  const auto run_through = [&](FaultProxy& proxy) {
    std::vector<std::string> words = job.command(sluice_program(), 2);
    std::replace(words.begin(), words.end(), job.target(), proxy.conninfo(database, kImpatient));
    CommandOptions options = job.options();
    options.environment = {{"SLUICE_RETRY_FOR", retry_for}};
    return run_command(words, options);
  };
  {
    job.reset();
    FaultProxy proxy(socket);
    job.expect_complete(run_through(proxy));
    traffic = proxy.traffic();
  }
  int landed = 0;
  const std::size_t count = shots(12);
  for (std::size_t i = 0; i < count && !HasFailure(); ++i) {
    std::mt19937_64 random =
        random_of_shot((tries_again ? "retries of " : "cut of ") + std::string(name_of(GetParam())), i);
    Trigger trigger;
    trigger.direction = i % 2 == 0 ? Direction::to_server : Direction::to_client;
    const std::vector<std::uint64_t>& turns = i % 2 == 0 ? traffic.turns_to_server : traffic.turns_to_client;
    trigger.after_bytes = turns[std::uniform_int_distribution<std::size_t>(0, turns.size() - 1)(random)] +
                          std::uniform_int_distribution<std::uint64_t>(0, 200)(random);
    // The first connection is not tried again.
    if (tries_again) trigger.after_bytes = std::max(trigger.after_bytes, turns[1]);
    trigger.how = i % 4 < 2 ? Break::reset : Break::finish;
    SCOPED_TRACE("shot " + std::to_string(i) + ": after " + std::to_string(trigger.after_bytes) +
                 (i % 2 == 0 ? " bytes to the server" : " bytes to the client"));
    job.reset();
    {
      FaultProxy proxy(socket);
      proxy.arm(trigger);
      const CommandResult end = run_through(proxy);
      EXPECT_FALSE(end.timed_out);
      landed += proxy.broken() > 0 ? 1 : 0;
      if (proxy.broken() == 0 || tries_again) {
        job.expect_complete(end);
        continue;
      }
    }
    job.expect_sound();
    job.go_on(2);
  }
  std::printf("%d of %zu shots landed\n", landed, count);
  EXPECT_GE(landed * 10, static_cast<int>(count) * 7);
}

TEST_P(JobCut, IsResumedByTheSameCommand) { cut("0"); }
TEST_P(JobCut, IsLivedThrough) { cut("20s"); }

INSTANTIATE_TEST_SUITE_P(Of, JobCut,
                         ::testing::Values(JobKind::rejects, JobKind::frozen, JobKind::rebuild,
                                           JobKind::repair),
                         [](const auto& info) { return std::string(name_of(info.param)); });

}  // namespace
}  // namespace sluice::testing
