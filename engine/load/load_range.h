#pragma once
// One range from start to finish. No thread, no logger, no configuration: each has its own place.

#include <atomic>
#include <cstdint>
#include <memory>
#include <optional>

#include "engine/model/load.h"

namespace sluice {

// How far a lane is, for whoever watches from another thread. What a range counted goes again when the range
// fails. One cache line each, so that lanes do not slow each other down.
struct alignas(64) LaneMeter {
  std::atomic<std::uint64_t> rows{0};
  std::atomic<std::uint64_t> bytes{0};
};

// One Source, one Sink, used by one thread at a time.
struct Lane {
  Source* source = nullptr;  // borrowed
  std::unique_ptr<Sink> sink;
  LaneMeter* meter = nullptr;  // borrowed
};

// Loads the range and commits it with its ledger row. Nothing when the range is done already or, with
// Claim::skip_locked, someone else's. An error says table and range, and the row when one was at hand.
std::optional<RangeSeal> load_range(Lane& lane, const RangeTask& task, Claim claim);

}  // namespace sluice
