#pragma once
// Looking at every value before the first row moves: which columns hold what their declared type cannot.

#include <vector>

#include "engine/app/console.h"
#include "engine/model/plan.h"
#include "engine/plan/planner.h"
#include "engine/run/range_pipeline.h"
#include "io/sqlite/snapshot.h"

namespace sluice {

// Scans the planned tables with all readers. A column whose values do not all fit its type gets the first
// type of its ladder that takes them all, or else the one that takes most. One pass over every table, and
// a second one over those with misfits. Throws Error (interrupted) when stopped.
std::vector<ColumnWidening> find_widenings(Snapshot& snapshot, const MigrationPlan& plan, Console& console,
                                           const StopRequest& stop);

}  // namespace sluice
