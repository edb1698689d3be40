#pragma once
// A whole plan as JSON, plan.json of an archive: what a restore does needs nothing else. Version 1;
// io/ARCHIVE.md has the keys.

#include <string>
#include <string_view>

#include "engine/model/plan.h"

namespace sluice {

// REQUIRES: no findings, no steps that rebuild, and not into tables that are there.
std::string archive_plan_text(const MigrationPlan& plan);

// The same plan: one hash (hash_of_plan) and the same extents, but without what only planning needed. Pure:
// any bytes end in a plan that can be run or in Error (source_unreadable). Whether its SQL means well nobody
// can tell.
MigrationPlan read_archive_plan(std::string_view text);

}  // namespace sluice
