#include "engine/run/load_phase.h"

#include <optional>

namespace sluice {
namespace {

// One pass over the tasks; those that someone else holds go to `left`.
bool run_pass(const LoadPhase& phase, const std::vector<RangeTask>& tasks, Claim claim,
              std::vector<RangeTask>& left, const StopRequest& stop) {
  std::vector<std::optional<RangeSeal>> seals(tasks.size());
  PipelineWork work;
  work.lanes = phase.lanes->size();
  work.tasks = tasks.size();
  work.body = [&](std::size_t lane, std::size_t task) {
    seals[task] = load_range((*phase.lanes)[lane], tasks[task], claim);
  };
  work.record = [&](std::size_t task) {
    if (!seals[task]) {
      left.push_back(tasks[task]);
      return;
    }
    if (phase.on_seal) phase.on_seal(*seals[task]);
    seals[task].reset();  // leaf sums of a large table add up
  };
  return run_pipeline(work, stop);
}

}  // namespace

bool run_load(const LoadPhase& phase, const StopRequest& stop) {
  std::vector<RangeTask> left;
  if (!run_pass(phase, phase.tasks, Claim::skip_locked, left, stop)) return false;
  std::vector<RangeTask> done_by_others;
  return run_pass(phase, left, Claim::wait, done_by_others, stop);
}

}  // namespace sluice
