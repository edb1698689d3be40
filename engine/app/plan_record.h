#pragma once
// How a table was loaded, as the ledger keeps it (sluice.run_table.plan): columns, types, conversions and the
// key. With it a later `sluice verify` needs neither the flags and the mapping of the migration nor another
// look at the values. JSON, version 1, or 2
// where files go to a store.

#include <string>
#include <string_view>

#include "engine/model/plan.h"

namespace sluice {

std::string plan_record_of(const TablePlan& table);

// The same table, as far as comparing needs it: without extents and remarks. Throws Error (target_refused)
// for a record of a newer sluice, with digests of another format, or for what is none.
TablePlan read_plan_record(std::string_view record);

// What decides whether an earlier run can go on: everything of the plan but the cuts, which the ledger, or
// the journal of an export, keeps. TableIds count through it, so the order is part of it.
std::string hash_of_plan(const MigrationPlan& plan);

}  // namespace sluice
