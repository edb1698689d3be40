#pragma once
// Running programs from tests: the sluice under test, psql, initdb.

#include <sys/types.h>

#include <chrono>
#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>
#include <utility>
#include <vector>

namespace sluice::testing {

// Every member has an initializer, so that {.timeout = 5s} compiles without a warning.
struct CommandOptions {
  // Added to our own environment, replacing variables of the same name.
  std::vector<std::pair<std::string, std::string>> environment{};

  // Where the program runs; our own working directory when empty.
  std::filesystem::path directory{};

  // The user to run as. Only root can choose; for everyone else the program runs as themselves.
  std::string user{};

  // Standard input, whole.
  std::string input{};

  // A program still running after this long is killed, and the result says so. Long enough for whatever a
  // busy machine does.
  std::chrono::milliseconds timeout{600'000};

  // Sends `signal` so long after the start, if the program still runs then.
  std::optional<std::chrono::milliseconds> signal_after{};
  int signal = 15;  // SIGTERM

  // Sent by the kernel when this test program dies, so that nothing is left behind however that happens.
  int signal_when_we_die = 9;  // SIGKILL
};

struct CommandResult {
  int exit_status = 0;  // as the shell counts: 128 + signal when a signal ended it, 127 when not found
  int signal = 0;       // the signal that ended it, or 0
  bool timed_out = false;
  std::string out;
  std::string err;
  std::chrono::duration<double> seconds{};
  std::uint64_t peak_memory_bytes = 0;  // of the largest of its processes that were waited for
};

// A program that runs beside the test, for tests that do something to it meanwhile. Its output goes to
// memory files and not to pipes: it never blocks on a reader, and a daemon that keeps its standard output
// open does not keep us waiting.
//
// Start it from a thread that outlives it: signal_when_we_die is tied to the starting thread.
class RunningCommand {
 public:
  explicit RunningCommand(std::vector<std::string> argv, CommandOptions options = {});
  ~RunningCommand();  // kills it (SIGKILL) if it still runs
  RunningCommand(RunningCommand&& other) noexcept;
  RunningCommand& operator=(RunningCommand&&) = delete;

  [[nodiscard]] pid_t pid() const { return pid_; }
  [[nodiscard]] bool running();
  void send(int signal);

  // What it has written so far.
  [[nodiscard]] std::string out_so_far() const;
  [[nodiscard]] std::string err_so_far() const;

  // Waits for the end, sending what the options ask for. May be called again: the result stays.
  const CommandResult& wait();

 private:
  using Clock = std::chrono::steady_clock;

  // True when it has ended by then; collects the exit status.
  bool ended_by(Clock::time_point moment);

  CommandOptions options_;
  CommandResult result_;
  Clock::time_point start_;
  pid_t pid_ = -1;
  int pidfd_ = -1;  // -1 once it has been waited for
  int out_ = -1;
  int err_ = -1;
};

// argv[0] is looked up in PATH.
CommandResult run_command(std::vector<std::string> argv, CommandOptions options = {});

// The root in what `sluice migrate` or `sluice verify` has printed; empty without one.
std::string root_in(const CommandResult& result);

// The programs of this build.
std::string sluice_program();
// sluice with failpoints (engine/model/failpoint.h), and the same with a ledger that has no guards.
std::string sluice_faults_program();
std::string sluice_careless_program();
std::string generate_dataset_program();

}  // namespace sluice::testing
