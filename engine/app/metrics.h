#pragma once
// What a run tells the machines that watch it: --metrics-file, for the textfile collector of node_exporter.
// The names are a contract: engine/MANUAL.md, "Watch a run".

#include <array>
#include <atomic>
#include <chrono>
#include <cstdint>
#include <filesystem>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "engine/app/console.h"
#include "engine/model/load.h"
#include "engine/model/plan.h"
#include "engine/run/range_pipeline.h"

namespace sluice {

// The numbers of one run. Any thread may call anything; what belongs to ranges takes no lock, and nothing
// is called for a row.
class RunMetrics {
 public:
  // Seconds; one more bucket has the rest.
  static constexpr std::array<double, 12> kDurationBounds = {0.05, 0.1, 0.25, 0.5, 1,   2.5,
                                                             5,    10,  30,   60,  120, 300};
  // Above so many tables the smaller ones share a series.
  static constexpr std::size_t kTableSeriesMax = 200;

  // What is counted elsewhere and read when the file is written.
  struct Live {
    std::uint64_t rows_sent = 0;
    std::uint64_t bytes_sent = 0;
    std::size_t ranges_in_flight = 0;
    std::size_t steps_done = 0;
    std::size_t steps_left = 0;
    std::uint64_t rows_read_back = 0;
  };

  // Asks for the live numbers as long as it lives, and keeps the last ones. `live` may be called by any
  // thread. REQUIRES: one at a time; the metrics outlive it.
  class Watch {
   public:
    Watch(RunMetrics& metrics, std::function<Live()> live);
    ~Watch();
    Watch(const Watch&) = delete;
    Watch& operator=(const Watch&) = delete;

   private:
    RunMetrics& metrics_;
  };

  RunMetrics();

  // `source`: the file whose -wal is watched.
  void set_run(const std::string& run_id, const std::filesystem::path& source);
  // Before the first range. The tables come largest first, as plans have them.
  void set_tables(const MigrationPlan& plan);
  // All of the run, and those that were done before this process began.
  void set_ranges(std::size_t all, std::size_t done);
  // Without a seal: another process did it.
  void range_done(const std::optional<RangeSeal>& seal);
  // A range, or its claim, that failed and is tried again. `sqlstate`: empty for a connection that broke.
  void copy_retried(std::string_view sqlstate);
  void set_mismatched_ranges(std::size_t ranges);
  void set_phase(const std::string& phase);
  void set_exit_status(int exit_status);

  // All of it, for a file. `source_wal_bytes` and the time are looked up here.
  [[nodiscard]] std::string text();

 private:
  struct Series {
    std::string label;
    std::atomic<std::uint64_t> rows{0};
    std::atomic<std::uint64_t> rejected{0};
  };
  static constexpr std::size_t kPhases = 5;
  static constexpr std::array<std::string_view, kPhases> kPhaseNames = {"profile", "load", "indexes",
                                                                        "verify", "schema"};

  void take_live();
  void note_progress();

  std::unique_ptr<Series[]> series_;
  std::size_t series_count_ = 0;
  std::vector<std::size_t> series_of_table_;
  std::atomic<std::uint64_t> bytes_{0};
  std::atomic<std::size_t> ranges_all_{0};
  std::atomic<std::size_t> ranges_done_{0};
  std::array<std::atomic<std::uint64_t>, kDurationBounds.size() + 1> durations_{};
  std::atomic<double> duration_sum_{0};
  std::atomic<double> last_progress_{0};  // seconds since 1970

  std::mutex mutex_;  // of what follows, and of series_ until the first range
  std::string run_id_;
  std::filesystem::path source_;
  std::string phase_;
  std::map<std::string, std::uint64_t, std::less<>> retries_;  // by class of SQLSTATE
  std::optional<std::size_t> mismatched_ranges_;
  std::optional<int> exit_status_;
  std::function<Live()> live_;
  Live last_live_;
};

// Writes the numbers when it is made, every five seconds, and at the end, each time a whole file in place of
// the last one.
class MetricsFile {
 public:
  // Throws Error (output) when the file cannot be written. Both are borrowed.
  MetricsFile(std::filesystem::path path, RunMetrics& metrics, Console& console);

  // The last words of the run.
  void end(int exit_status);

 private:
  // Later on, a file that cannot be written is no reason to stop: it is said once.
  void write_again();

  const std::filesystem::path path_;
  RunMetrics& metrics_;
  Console& console_;
  bool complained_ = false;  // by the ticker's thread, and after its end
  std::optional<Ticker> ticker_;
};

}  // namespace sluice
