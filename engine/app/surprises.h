#pragma once
// Where a source is not what its schema says, worst first. Pure.

#include <vector>

#include "engine/app/inspection.h"

namespace sluice {

// By kind, within one by table (in the order given) and by the place of the column.
std::vector<SurpriseLine> find_surprises(const MigrationPlan& plan,
                                         const std::vector<InspectedTable>& tables);

}  // namespace sluice
