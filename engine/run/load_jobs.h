#pragma once
// Loading ranges as jobs of a graph.

#include <functional>
#include <mutex>
#include <optional>
#include <vector>

#include "engine/load/load_range.h"
#include "engine/run/job_graph.h"
#include "engine/run/phase_clock.h"
#include "engine/run/retries.h"

namespace sluice {

// Takes every range to its end, whoever does it. A range that another session holds is postponed, and waited
// for when nothing else is left: that session may die without committing, and the backend of a killed process
// may live on for a moment.
class LoadJobs {
 public:
  // `lanes`: one per lane of the graph, without a source. `sources`: as many as jobs of this kind may be
  // under way at the same time. All are borrowed, as are `clock` and `retries`. `on_done` is called for every
  // range that is done, never two at a time, and without a seal when another process did it; it may be empty.
  // `on_damage` is called when the source of a range cannot be read; true lets the others go on. May be
  // empty.
  using OnDone = std::function<void(const std::optional<RangeSeal>&)>;
  using OnDamage = std::function<bool(const Error&)>;
  LoadJobs(std::vector<Lane>& lanes, std::vector<Source*> sources, PhaseClock& clock, Retries& retries,
           OnDone on_done, OnDamage on_damage = nullptr);

  // The plan of the task must outlive the graph, and so must this object.
  JobId add(JobGraph& graph, std::size_t kind, const RangeTask& task, double cost);

 private:
  JobEnd load(std::size_t lane, const RangeTask& task, Claim claim);

  std::vector<Lane>& lanes_;
  PhaseClock& clock_;
  Retries& retries_;
  std::mutex mutex_;  // of the idle sources, and of on_done
  std::vector<Source*> idle_;
  const OnDone on_done_;
  const OnDamage on_damage_;
};

}  // namespace sluice
