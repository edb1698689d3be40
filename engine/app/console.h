#pragma once
// What the user sees while a command runs. Progress and remarks go to stderr, results to stdout.

#include <chrono>
#include <cstdint>
#include <mutex>
#include <string>

#include "engine/app/log.h"
#include "engine/app/options.h"

namespace sluice {

// "1.2 GB", "17.3 MB", "512 B"
std::string human_bytes(std::uint64_t bytes);
// "2,200,000"
std::string human_count(std::uint64_t count);
// "1 row", "2,200,000 rows"
std::string counted(std::uint64_t count, const std::string& noun);
// "0.4 s", "2 min 5 s"
std::string human_seconds(double seconds);

struct Progress {
  std::string phase;
  std::uint64_t rows = 0;
  std::uint64_t bytes = 0;
  double fraction = 0;  // 0 to 1
  // Done before this phase began, by an earlier run; counts for the fraction but not for the rates.
  std::uint64_t rows_before = 0;
  std::uint64_t bytes_before = 0;
};

// One line that is rewritten on a terminal, a plain line every ten seconds elsewhere, or an event of the log.
// Any thread.
class Console {
 public:
  explicit Console(ProgressMode mode);

  // Begins a phase: clears the live line and its clock.
  void begin_phase();
  void progress(const Progress& progress);
  // For phases without rows to count: "indexes  3 of 12".
  void progress(const std::string& phase, std::size_t done, std::size_t total);
  void end_phase();

  // On stderr, on a line of its own.
  void note(const LogEvent& event);
  // A remark: note() with a message alone.
  void say(const std::string& text);
  // For the JSON log alone: people find it in the summary.
  void record(const LogEvent& event);

  // Seconds between two calls of progress() that make sense.
  [[nodiscard]] double interval_seconds() const { return live_ ? 0.2 : 1.0; }
  [[nodiscard]] bool shows_progress() const { return mode_ != ProgressMode::none; }

 private:
  // What a line of progress says to people and to the log. REQUIRES, as of clear_line(): mutex_ is held.
  void show(const std::string& line, LogEvent event);
  void clear_line();
  [[nodiscard]] double seconds_of_phase() const;

  const ProgressMode mode_;
  const bool live_;
  std::mutex mutex_;  // of what follows, and of stderr
  bool line_shown_ = false;
  std::chrono::steady_clock::time_point phase_began_;
  std::chrono::steady_clock::time_point last_plain_line_;
};

}  // namespace sluice
