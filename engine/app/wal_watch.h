#pragma once
// How the write-ahead log of the source grows while it is read: a snapshot keeps the log from being started
// anew, so an application that goes on writing fills the disk with it, if the run is long enough.

#include <atomic>
#include <cstdint>

#include "engine/app/console.h"
#include "engine/run/range_pipeline.h"
#include "io/sqlite/snapshot.h"

namespace sluice {

// Rings when the log has grown by a number of bytes, and each time that has doubled.
class WalAlarm {
 public:
  explicit WalAlarm(std::uint64_t bytes_at_first, std::uint64_t growth)
      : first_(bytes_at_first), next_(growth) {}

  // Whether a log of this size rings.
  bool rings(std::uint64_t bytes);
  // The most that it has been larger than at first, of the sizes asked about.
  [[nodiscard]] std::uint64_t growth() const { return growth_.load(std::memory_order_relaxed); }

 private:
  const std::uint64_t first_;
  std::uint64_t next_;
  std::atomic<std::uint64_t> growth_{0};
};

// From here on an application that keeps its log small by checkpoints notices, and so does its disk.
inline constexpr std::uint64_t kWalGrowthMin = 256'000'000;

// Looks about every second, on a thread of its own, and says so on the console. What it is given must outlive
// it.
class WalWatch {
 public:
  WalWatch(const Snapshot& snapshot, Console& console);

  // By how many bytes so far, as of the last look. Any thread.
  [[nodiscard]] std::uint64_t growth() const { return alarm_.growth(); }

 private:
  const Snapshot& snapshot_;
  WalAlarm alarm_;
  Ticker ticker_;  // last: its thread uses the rest
};

}  // namespace sluice
