#include "fault/loaders.h"

#include <algorithm>
#include <csignal>
#include <memory>
#include <random>
#include <thread>

namespace sluice::testing {

LoadersResult load_with_kills(const std::vector<std::string>& command, const LoadersOptions& options) {
  LoadersResult result;
  std::mt19937_64 random(options.seed);
  const auto start = [&] {
    ++result.starts;
    return std::make_unique<RunningCommand>(command, options.command);
  };
  std::vector<std::unique_ptr<RunningCommand>> loaders;
  while (loaders.size() < options.processes) loaders.push_back(start());

  // True when one has found the job complete.
  const auto collect = [&] {
    bool complete = false;
    for (std::unique_ptr<RunningCommand>& loader : loaders) {
      if (loader->running()) continue;
      result.ends.push_back(loader->wait());
      complete |= result.ends.back().exit_status == 0;
      loader.reset();
    }
    std::erase(loaders, nullptr);
    return complete;
  };

  auto next_kill = std::chrono::steady_clock::now() + options.between_kills;
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
        if (options.after_kill) options.after_kill();
      }
      next_kill = std::chrono::steady_clock::now() + options.between_kills;
    }
    std::this_thread::sleep_for(std::chrono::milliseconds(2));
  }
  for (std::unique_ptr<RunningCommand>& loader : loaders) result.ends.push_back(loader->wait());
  return result;
}

}  // namespace sluice::testing
