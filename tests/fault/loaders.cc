#include "fault/loaders.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <array>
#include <csignal>
#include <cstdio>
#include <memory>
#include <random>
#include <thread>

#include "fault/invariants.h"
#include "support/query.h"
#include "support/seed.h"

namespace sluice::testing {

namespace {

// What another start of the same command does not change; a lost server, an interrupted or a crashed process,
// it may.
bool is_final(const CommandResult& end) {
  constexpr std::array kFinal = {2, 3, 4, 10, 11, 20, 127};
  return std::find(kFinal.begin(), kFinal.end(), end.exit_status) != kFinal.end();
}

}  // namespace

LoadersResult load_with_kills(const std::vector<std::string>& command, const LoadersOptions& options) {
  LoadersResult result;
  std::mt19937_64 random(options.seed);
  const auto start = [&] {
    ++result.starts;
    return std::make_unique<RunningCommand>(command, options.command);
  };
  std::vector<std::unique_ptr<RunningCommand>> loaders;
  while (loaders.size() < options.processes) loaders.push_back(start());

  // True when one has found the job complete, or that it never will be.
  const auto collect = [&] {
    bool over = false;
    for (std::unique_ptr<RunningCommand>& loader : loaders) {
      if (loader->running()) continue;
      result.ends.push_back(loader->wait());
      const CommandResult& end = result.ends.back();
      over |= end.exit_status == 0 || is_final(end);
      if (is_final(end)) ADD_FAILURE() << "status " << end.exit_status << " ends this for good: " << end.err;
      loader.reset();
    }
    std::erase(loaders, nullptr);
    return over;
  };

  std::chrono::milliseconds between_kills = options.between_kills;
  bool begun = false;
  auto next_kill = std::chrono::steady_clock::now() + between_kills;
  while (!collect()) {
    while (loaders.size() < options.processes) loaders.push_back(start());
    if (std::chrono::steady_clock::now() >= next_kill && result.kills < options.kills_max) {
      std::unique_ptr<RunningCommand>& victim =
          loaders[std::uniform_int_distribution<std::size_t>(0, loaders.size() - 1)(random)];
      victim->send(SIGKILL);
      const CommandResult& end = victim->wait();
      if (end.signal == SIGKILL) {  // else it was faster, and is collected
        ++result.kills;
        victim = start();
        if (options.after_kill && options.after_kill()) begun = true;
        if (options.after_kill && !begun && result.kills % 20 == 0) between_kills *= 2;
      }
      next_kill = std::chrono::steady_clock::now() + between_kills;
    }
    std::this_thread::sleep_for(std::chrono::milliseconds(2));
  }
  for (std::unique_ptr<RunningCommand>& loader : loaders) result.ends.push_back(loader->wait());
  return result;
}

void expect_loaded_under_kills(const std::vector<std::string>& command, const std::string& target,
                               const std::string& root, std::size_t kills_in_load_min) {
  std::size_t kills_in_load = 0;
  LoadersOptions options;
  options.seed = test_seed();
  options.after_kill = [&] {
    for (const std::string& violation : violations(target)) ADD_FAILURE() << violation;
    if (query_value(target, "SELECT to_regclass('sluice.work') IS NOT NULL") != "t") return false;
    const auto ranges =
        query(target, "SELECT count(*) FILTER (WHERE done), count(*) FROM sluice.work").front();
    if (ranges[0] != "0" && ranges[0] != ranges[1]) ++kills_in_load;
    return ranges[0] != "0";
  };
  const LoadersResult result = load_with_kills(command, options);
  ::testing::Test::RecordProperty("kills", static_cast<int>(result.kills));
  ::testing::Test::RecordProperty("kills_in_load", static_cast<int>(kills_in_load));
  std::printf("%zu processes, %zu killed, %zu of them in the middle of the load\n", result.starts,
              result.kills, kills_in_load);
  EXPECT_GE(kills_in_load, kills_in_load_min);
  for (const CommandResult& end : result.ends) {
    EXPECT_EQ(end.exit_status, 0) << end.err;
    EXPECT_EQ(root_in(end), root);
  }
}

}  // namespace sluice::testing
