#pragma once
// Loading many ranges over many lanes.

#include <functional>
#include <vector>

#include "engine/load/load_range.h"
#include "engine/run/range_pipeline.h"

namespace sluice {

struct LoadPhase {
  std::vector<Lane>* lanes = nullptr;  // borrowed, not empty
  std::vector<RangeTask> tasks;        // begun in this order

  // Called for every range that this process committed; never two at a time. May be empty.
  std::function<void(const RangeSeal&)> on_seal;
};

// Takes every range to its end, whoever does it. Ranges that another session holds are left to it in the
// first pass; in a second one we wait for each, in case that session dies without committing: the backend
// of a killed process may live on for a moment. Returns false when stopped before the end.
bool run_load(const LoadPhase& phase, const StopRequest& stop);

}  // namespace sluice
