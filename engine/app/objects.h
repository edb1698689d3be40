#pragma once
// What became of the schema's objects, put together from the steps of the ledger.

#include <string>
#include <vector>

#include "engine/model/plan.h"
#include "io/postgres/ledger.h"

namespace sluice {

// Several steps may make one object: an index and the key that takes it over, a foreign key and its
// validation. One entry for each object, in the order of the plan. A foreign key that could not be
// validated is created, with a reason.
std::vector<ObjectOutcome> objects_of_steps(const std::vector<StepRecord>& steps);

// The same with the plan's remarks and proposals, and with what the plan left out from the start.
std::vector<ObjectOutcome> objects_of_plan(const MigrationPlan& plan, const std::vector<StepRecord>& steps);

// "3 defaults, 1 view" of those that were not created; empty when all were.
std::string count_missing(const std::vector<ObjectOutcome>& objects);

// Foreign keys and CHECKs in force for new rows only, because rows that break them arrived.
std::size_t count_not_validated(const std::vector<ObjectOutcome>& objects);

}  // namespace sluice
