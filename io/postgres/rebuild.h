#pragma once
// Taking out of the way of a load what would slow it, stop it or act on its rows, and the steps that put it
// back exactly as it was (--rebuild).

#include <string>
#include <vector>

#include "engine/model/plan.h"
#include "io/postgres/connection.h"
#include "io/postgres/ledger.h"

namespace sluice {

// Drops foreign keys from and to the plan's tables, their CHECKs, secondary indexes, primary keys and unique
// constraints, and disables the triggers that a load would fire. What something else depends on stays, as do
// exclusion constraints and the indexes of CLUSTER and REPLICA IDENTITY, which more than a definition makes.
// The steps returned put it back: names, definitions, comments, tablespaces, whether it was validated, in
// which replication roles it fired. Call it in the transaction that writes them to the ledger, so that no
// interruption can lose one.
std::vector<Step> take_down(Connection& connection, const MigrationPlan& plan);

// What a run that is given up has not put back, for the run that takes its place.
std::vector<Step> open_rebuilds(Connection& connection, const std::string& run_id);

// Those of `carried` that `taken` does not name already, and `taken`. Keys before what refers to them.
std::vector<Step> merge_rebuilds(const std::vector<Step>& carried, const std::vector<Step>& taken);

// The run's own, as the ledger has them: a run that goes on can no longer see them in the catalog. In order
// of their numbers, which follow those of the plan's steps.
std::vector<Step> list_rebuilds(Connection& connection, const std::string& run_id);

}  // namespace sluice
