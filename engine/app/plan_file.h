#pragma once
// The plan as a TOML file to read, to edit and to follow, and the mapping that such a file, or one written by
// hand, asks for.
//
//   plan = 1                            # only in a file that names everything; see Mapping::complete
//   schema = "public"                   # flags without dashes; the command line wins over them
//   [tables."orders"]
//   target = "orders"                   # exclude = true, range-size = "32MB", keep-rowid = true
//   [tables."orders".columns]
//   "created_at" = { target = "created_at", type = "timestamp without time zone", epoch = "ms" }
//
// Entries of columns hold whatever the flags say. Names of tables and columns are compared as SQLite does.

#include <string>
#include <string_view>

#include "engine/app/options.h"
#include "engine/model/catalog.h"
#include "engine/model/facts.h"
#include "engine/model/plan.h"
#include "engine/plan/mapping.h"

namespace sluice {

// The keys `plan` and `tables` of a TOML text; all others are flags and left to options.h. Pure: any bytes
// end in a Mapping or in Error (usage), with file:line for every mistake there is. `file_name` is for
// messages.
Mapping read_mapping(std::string_view toml, std::string_view file_name);

// What only the source can tell: tables and columns that it lacks, or that a complete plan lacks. Throws
// Error (usage) with file:line for every mistake.
void check_mapping(const Mapping& mapping, const Catalog& catalog);

// What only the plan can tell: conversions that do not apply to the type that the column got. Throws the
// same.
void check_conversions(const Mapping& mapping, const MigrationPlan& plan);

// The plan as a file that read_mapping() takes, with a comment for each decision that was not obvious, the
// findings with the lines that would resolve them, and what will not arrive. The same plan gives the same
// text.
std::string plan_file_of(const Catalog& catalog, const SourceFacts& facts, const MigrationPlan& plan,
                         const PlanningOptions& options);

// The plan as SQL: the script, and as comments what was decided, the ranges, and what will not arrive.
std::string plan_script_of(const MigrationPlan& plan);

}  // namespace sluice
