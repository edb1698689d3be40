#pragma once
// Columns whose files go to a store (engine/model/offload.h), in the plan of their table. Pure.

#include <vector>

#include "engine/model/catalog.h"
#include "engine/model/plan.h"
#include "engine/model/target_catalog.h"
#include "engine/plan/mapping.h"

namespace sluice {

// Gives the columns of the plan their roles, adds those that neither the source nor the plan has, and takes
// out what is dropped. `existing`: the table of the target where it is there already, else null. What cannot
// be done becomes a finding of the plan, and what arrives changed is listed. REQUIRES: the columns have their
// names, and the row key is set.
void plan_offloads(TablePlan& plan, const SourceTable& source, const TableMapping& wishes,
                   const Mapping& mapping, const ExistingTable* existing, MigrationPlan& migration);

// Whether the mapping drops that column of the source: then the target need not have it.
bool is_dropped_by_offload(const TableMapping* wishes, const std::string& column);

}  // namespace sluice
