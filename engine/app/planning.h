#pragma once
// From a source and the wishes of its owner to a plan: open, look at every value, decide. What migrate, plan
// and inspect have in common.

#include <map>
#include <memory>
#include <string>

#include "engine/app/console.h"
#include "engine/app/options.h"
#include "engine/app/wal_watch.h"
#include "engine/model/facts.h"
#include "engine/model/plan.h"
#include "engine/model/target_catalog.h"
#include "engine/run/phase_clock.h"
#include "engine/run/range_pipeline.h"
#include "io/sqlite/snapshot.h"

namespace sluice {

struct PlannedSource {
  std::unique_ptr<Snapshot> snapshot;
  std::unique_ptr<WalWatch> wal_watch;           // of the snapshot; goes before it
  std::map<std::string, TableOutline> outlines;  // by table, of the selected tables
  SourceFacts facts;                             // of the selected tables
  MigrationPlan plan;                            // its findings are not acted upon here
  PhaseUse profile;
};

// Opens SOURCE, or a copy of it, within the memory that the options allow, and says when that is fewer lanes
// than were asked for. `stop` must outlive it. Throws Error (as Snapshot and PrivateCopy do).
std::unique_ptr<Snapshot> open_source(const PlanningOptions& options, Console& console,
                                      const StopRequest& stop);

// `existing`: the target's tables for --data-only, else null. Throws Error (source_unreadable, usage,
// interrupted).
PlannedSource plan_source(const PlanningOptions& options, const TargetCatalog* existing, Console& console,
                          const StopRequest& stop);

// Prints the findings, one line each, and throws Error (usage) when there are any.
void refuse_findings(const MigrationPlan& plan, Console& console);

}  // namespace sluice
