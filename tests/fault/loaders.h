#pragma once
// Several processes with the same command at one job, of which one after the other is killed.

#include <chrono>
#include <cstdint>
#include <functional>
#include <string>
#include <vector>

#include "support/command.h"

namespace sluice::testing {

struct LoadersOptions {
  std::size_t processes = 3;

  // One of them, chosen at random, gets SIGKILL so long after the one before, and another takes its place.
  std::chrono::milliseconds between_kills{100};

  // After so many the rest is left in peace, so that every test ends.
  std::size_t kills_max = 300;

  // Of the choice: test_seed().
  std::uint64_t seed = 0;

  // Environment, directory and timeout of each process.
  CommandOptions command{};

  // Called after each kill, while the others go on. Says whether the job has got anywhere yet: until it has,
  // kills come further and further apart, so that a machine that is too busy to start a process in that time
  // gets to work at all.
  std::function<bool()> after_kill{};
};

struct LoadersResult {
  std::size_t starts = 0;
  std::size_t kills = 0;            // that hit a process which was still at work
  std::vector<CommandResult> ends;  // of those that ended by themselves, in that order
};

// Until the first of them ends with status 0, which says that the job is complete. The others are then waited
// for, and not killed. A process that ends with another status is replaced like one that was killed, and is
// among the ends; but a status that the same command would end with again (usage, a refusal, a changed
// source) fails the test and ends it. `command` names the target, so it may lead through whatever the test
// has put in between.
//
// Call it from a thread that outlives the processes.
LoadersResult load_with_kills(const std::vector<std::string>& command, const LoadersOptions& options);

// The same with three processes and test_seed(), of a command that loads into `target` (by whatever way).
// After each kill the target is looked at for violations, and in the end everybody must have ended with
// status 0 and `root`, after as many kills in the middle of the load.
void expect_loaded_under_kills(const std::vector<std::string>& command, const std::string& target,
                               const std::string& root, std::size_t kills_in_load_min);

}  // namespace sluice::testing
