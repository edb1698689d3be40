#pragma once
// Plans for tables that are there already (--data-only): the target's columns and types decide, the source
// and the mapping say what goes where. Pure.
//
// Nothing here changes a table of the target. What keeps rows from arriving as they are is a Finding.

#include <vector>

#include "engine/model/facts.h"
#include "engine/model/finding.h"
#include "engine/model/plan.h"
#include "engine/model/target_catalog.h"
#include "engine/plan/ddl.h"
#include "engine/plan/mapping.h"

namespace sluice {

// Fills in target, columns, row_key and key_columns of the plan of one table. Names are matched exactly, then
// without case, then as snake_case; the mapping's names go before. A column whose values may not all fit is
// marked to be judged. `facts` may be null: before the look at the values.
void plan_onto(TablePlan& plan, const SourceTable& source, const TargetCatalog& existing,
               const Mapping& mapping, const TableFacts* facts, std::vector<Finding>& findings);

// What follows the load: sequences go past what arrived, never back, and ANALYZE. left_out says which columns
// of the source do not arrive. Two tables of the source for one of the target are a finding.
SchemaSteps steps_onto(const std::vector<PlannedTable>& tables, const TargetCatalog& existing,
                       std::vector<Finding>& findings);

}  // namespace sluice
