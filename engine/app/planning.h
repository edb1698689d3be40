#pragma once
// From a source and the wishes of its owner to a plan: open, look at every value, decide. What migrate, plan
// and inspect have in common.

#include <map>
#include <memory>
#include <string>
#include <vector>

#include "engine/app/console.h"
#include "engine/app/damage.h"
#include "engine/app/options.h"
#include "engine/app/wal_watch.h"
#include "engine/model/facts.h"
#include "engine/model/plan.h"
#include "engine/model/target_catalog.h"
#include "engine/offload/file_stores.h"
#include "engine/run/phase_clock.h"
#include "engine/run/range_pipeline.h"
#include "io/sqlite/snapshot.h"

namespace sluice {

struct PlannedSource {
  // None of them is open yet: nothing is written for a plan. Outlives the snapshot, whose rows they take
  // files of.
  std::unique_ptr<FileStores> stores;
  std::unique_ptr<Snapshot> snapshot;
  std::unique_ptr<WalWatch> wal_watch;           // of the snapshot; goes before it
  std::map<std::string, TableOutline> outlines;  // by table, of the selected tables
  SourceFacts facts;                             // of the selected tables
  MigrationPlan plan;                            // its findings are not acted upon here
  PhaseUse profile;
};

// Opens SOURCE, or a copy of it, within the memory that the options allow, and says when that is fewer lanes
// than were asked for. Files of its rows go to `stores`, which must outlive it as `stop` must. Throws Error
// (as Snapshot and PrivateCopy do).
std::unique_ptr<Snapshot> open_source(const PlanningOptions& options, FileStores& stores, Console& console,
                                      const StopRequest& stop);

// `existing`: the target's tables for --data-only, else null. `damage`: where tables that cannot be read to
// their end are noted; without, one is an error. Throws Error (source_unreadable, usage, interrupted).
PlannedSource plan_source(const PlanningOptions& options, const TargetCatalog* existing, Console& console,
                          const StopRequest& stop, Damage* damage = nullptr);

// Decisions that were not obvious, the first of them; the plan and the report have them all.
void say_remarks(const MigrationPlan& plan, Console& console);

// One line: what, and what to do.
std::string describe(const Obstacle& obstacle);

// Prints what must be decided and what the target lacks, one line each, and throws when there is any: Error
// (target_refused) when it is the target's, usage else. A single obstacle is the Error itself.
void refuse_findings(const MigrationPlan& plan, const std::vector<Obstacle>& obstacles, Console& console);

}  // namespace sluice
