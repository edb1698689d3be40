// A network that dies without a word, between a loader and a server that both live on. Each must notice by
// itself: the loader, to connect again, and the server, whose session otherwise keeps the claim of a range.

#include <gtest/gtest.h>

#include <unistd.h>

#include <algorithm>
#include <csignal>
#include <fstream>
#include <sstream>
#include <string>
#include <thread>
#include <vector>

#include "fault/invariants.h"
#include "fault/job.h"
#include "fault/undisturbed.h"
#include "support/command.h"
#include "support/conditions.h"
#include "support/network_namespace.h"
#include "support/query.h"
#include "support/temporary_directory.h"
#include "support/test_server.h"

namespace sluice::testing {
namespace {

using namespace std::chrono_literals;

// The loader's end notices within this; what it sets for the server's end takes a minute, longer than a test
// should.
constexpr const char* kImpatient =
    " connect_timeout=2 tcp_user_timeout=2000 keepalives_idle=1 keepalives_interval=1 keepalives_count=2";

// With a range claimed, and rows of it to come.
constexpr const char* kInTheMiddle = "after COPY start:5:stop";

class BlackHole : public UndisturbedTest {
 protected:
  static void SetUpTestSuite() {
    alone_ = enter_network_namespace();
    if (!alone_) return;
    // In a namespace of our own every port is free.
    make("200000", {.settings = {{"listen_addresses", "127.0.0.1"}}});
    load_undisturbed(migrate(over_network("undisturbed"), "0"));
  }

  void SetUp() override {
    if (!alone_) GTEST_SKIP() << "no network namespace to be had: that takes root";
  }
  void TearDown() override {
    if (alone_) set_loopback(true);
  }

  static std::string over_network(const std::string& database) {
    return "host=127.0.0.1 port=5432 user=postgres sslmode=disable dbname=" + database + kImpatient;
  }

  static std::vector<std::string> migrate(const std::string& target, const std::string& retry_for) {
    return {sluice_program(), "migrate", source_,      target, "--range-size", "512KB",
            "--jobs",         "3",       "--progress", "none", "--retry-for",  retry_for};
  }

  static inline bool alone_ = false;
};

TEST_F(BlackHole, OfAFewSecondsIsLivedThrough) {
  const std::string target = server_->create_database("pulled");
  RunningCommand running = begin_until(migrate(over_network("pulled"), "5min"), kInTheMiddle);
  set_loopback(false);
  running.send(SIGCONT);
  ASSERT_TRUE(wait_until([&] { return contains(running.err_so_far(), "trying again"); }))
      << running.err_so_far();
  std::this_thread::sleep_for(1s);
  EXPECT_EQ(violations(target), std::vector<std::string>());
  set_loopback(true);
  const CommandResult& end = running.wait();
  EXPECT_FALSE(end.timed_out);
  expect_whole(end, target);
}

TEST_F(BlackHole, ThatLastsEndsWithinThePatienceAndTheSameCommandGoesOn) {
  for (const auto& [retry_for, limit] : {std::pair<const char*, double>{"0", 8}, {"4s", 16}}) {
    const std::string target = server_->create_database("cut");
    RunningCommand running = begin_until(migrate(over_network("cut"), retry_for), kInTheMiddle);
    const auto pulled = std::chrono::steady_clock::now();
    set_loopback(false);
    running.send(SIGCONT);
    const CommandResult& end = running.wait();
    const double seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - pulled).count();
    std::printf("--retry-for %s: over after %.1f s\n", retry_for, seconds);
    EXPECT_TRUE(end.exit_status == 5 || end.exit_status == 21) << end.exit_status << end.err;
    EXPECT_LT(seconds, limit);
    EXPECT_TRUE(contains(end.err, "run the same command again")) << end.err;
    EXPECT_EQ(violations(target), std::vector<std::string>());
    set_loopback(true);
    expect_whole(run_command(migrate(over_network("cut"), "60s")), target);
  }
}

// The seconds until the next keep-alive of each connection that ends at the server, as the kernel counts
// them.
std::vector<double> seconds_to_keep_alives() {
  std::vector<double> seconds;
  std::ifstream table("/proc/net/tcp");
  std::string line;
  std::getline(table, line);  // headings
  while (std::getline(table, line)) {
    std::istringstream fields(line);
    std::string number, local, remote, state, queues, timer;
    fields >> number >> local >> remote >> state >> queues >> timer;
    if (!local.ends_with(":1538") || state != "01" || !timer.starts_with("02:"))
      continue;  // 5432, established
    seconds.push_back(static_cast<double>(std::stoul(timer.substr(3), nullptr, 16)) /
                      static_cast<double>(sysconf(_SC_CLK_TCK)));
  }
  return seconds;
}

// Without what we set for the server's end, a session whose client is gone stays for two hours, and with it
// the claim of its range. Between transactions it holds nothing, and has the server's own settings again.
TEST_F(BlackHole, IsNoticedByTheServersEndWhereThatHoldsAClaim) {
  const std::string target = server_->create_database("zombies");
  RunningCommand running = begin_until(migrate(over_network("zombies"), "0"), kInTheMiddle);
  ASSERT_TRUE(wait_until([&] {
    const std::vector<double> seconds = seconds_to_keep_alives();
    return std::any_of(seconds.begin(), seconds.end(), [](double left) { return left <= 10.5; });
  })) << "no connection has keep-alives of seconds";
  set_loopback(false);
  running.send(SIGKILL);
  running.wait();
  const auto zombies = [&] {
    return query_value(target,
                       "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND "
                       "application_name = 'sluice' AND state <> 'idle'");
  };
  EXPECT_NE(zombies(), "0") << "the server cannot know yet";
  if (shots(1) > 1) {
    const auto pulled = std::chrono::steady_clock::now();
    while (zombies() != "0" && std::chrono::steady_clock::now() - pulled < 100s)
      std::this_thread::sleep_for(1s);
    EXPECT_EQ(zombies(), "0");
    std::printf("the server's sessions were gone after %.0f s\n",
                std::chrono::duration<double>(std::chrono::steady_clock::now() - pulled).count());
    set_loopback(true);
  } else {
    set_loopback(
        true);  // the server's retransmissions now meet a machine that knows nothing of the connection
  }
  expect_whole(run_command(migrate(over_network("zombies"), "60s")), target);
}

}  // namespace
}  // namespace sluice::testing
