#include "engine/load/load_range.h"

#include <utility>

#include "engine/model/error.h"
#include "engine/model/thread_time.h"

namespace sluice {
namespace {

// Adds up on a counter that only this thread writes; a plain store, so that counting costs nothing.
void advance(std::atomic<std::uint64_t>& counter, std::uint64_t by) {
  counter.store(counter.load(std::memory_order_relaxed) + by, std::memory_order_relaxed);
}

}  // namespace

std::optional<RangeSeal> load_range(Lane& lane, const RangeTask& task, Claim claim) {
  std::uint64_t rows = 0;
  const std::uint64_t rows_at_first = lane.meter->rows.load(std::memory_order_relaxed);
  const std::uint64_t bytes_at_first = lane.meter->bytes.load(std::memory_order_relaxed);
  try {
    double blocked_at_first = 0;
    const std::unique_ptr<RangeWriter> writer = [&] {
      const AddOffCore blocked(blocked_at_first);
      return lane.sink->begin(task, claim);
    }();
    if (!writer) return std::nullopt;
    const std::unique_ptr<Scan> scan = lane.source->scan(*task.plan, task.extent);
    std::uint64_t bytes_before = 0;
    const auto tick = [&](std::uint64_t rows_since) {
      advance(lane.meter->rows, rows_since);
      advance(lane.meter->bytes, writer->bytes() - bytes_before);
      bytes_before = writer->bytes();
    };
    std::uint64_t rows_before = 0;
    while (scan->deliver(*writer, rows)) tick(rows - std::exchange(rows_before, rows));
    RangeSeal seal = writer->seal();  // rows, ledger row, COMMIT: all or nothing
    seal.blocked_seconds += blocked_at_first;
    advance(lane.meter->rows, rows - rows_before);
    advance(lane.meter->bytes, seal.bytes - bytes_before);
    return seal;
  } catch (Error& error) {
    lane.meter->rows.store(rows_at_first, std::memory_order_relaxed);
    lane.meter->bytes.store(bytes_at_first, std::memory_order_relaxed);
    error.where().table = task.plan->source;
    error.where().range = task.number;
    if (rows > 0 && !error.where().row) error.where().row = rows;
    throw;
  }
}

}  // namespace sluice
