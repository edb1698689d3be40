#pragma once
// What --memory-limit comes to: so many lanes, buffers of this size, and so much for large rows. Pure, but
// for the last function.

#include <cstddef>
#include <cstdint>

namespace sluice {

struct MemoryBudget {
  std::size_t lanes = 1;

  // 0, as all of the following without a limit: everyone keeps to their own defaults, and large rows take
  // what they need.
  std::uint64_t limit_bytes = 0;

  std::uint64_t cache_bytes = 0;  // of SQLite, per reader
  std::size_t send_bytes = 0;     // RangeSinkOptions
  std::size_t reject_bytes_max = 0;
  // Large rows that are in memory at once, over all lanes; a single one may be larger (LargeRowGate).
  std::uint64_t large_row_bytes = 0;
  // What is kept of keys or of rows to compare them, over all lanes.
  std::uint64_t digest_bytes = 0;

  [[nodiscard]] bool limited() const { return limit_bytes != 0; }
};

// As many of the `jobs` wanted as fit. `limit_bytes` 0: no limit. Throws Error (usage) when not even one lane
// fits, and says how much it takes. `more_per_lane`: what a lane takes beside all of that.
MemoryBudget budget_of(std::uint64_t limit_bytes, std::size_t jobs, std::uint64_t more_per_lane = 0);

// Tells the allocator to give freed memory back to the system at once. By itself it keeps up to 64 MB in each
// thread, after blocks of that size were freed. For a run with a limit, before its threads begin.
void give_back_freed_memory();

}  // namespace sluice
