#pragma once
// PostgreSQL's DDL for planned tables. Every name goes through quote_identifier.

#include <map>
#include <string>
#include <vector>

#include "engine/model/catalog.h"
#include "engine/model/facts.h"
#include "engine/model/plan.h"
#include "engine/plan/names.h"

namespace sluice {

// The bare table: columns, NOT NULL, identity. Keys and indexes come after the data.
std::string create_table_sql(const TablePlan& plan);

// A source table with its plan.
struct PlannedTable {
  const SourceTable* source = nullptr;
  const TablePlan* plan = nullptr;
  const TableFacts* facts = nullptr;  // null before the values were looked at
};

// What follows the load, and what of the schema will not arrive as an object. `names` holds the names of
// the schema's relations; index names are claimed there.
struct SchemaSteps {
  std::vector<Step> steps;
  std::vector<ObjectOutcome> left_out;
};
SchemaSteps steps_after_load(const Catalog& catalog, const std::vector<PlannedTable>& tables,
                             NameSpace& names);

// The text as comments of SQL, every line of it; ends with a line break.
std::string as_comment(const std::string& text);

// The whole of it as a script: schema, tables, steps. Steps that the server refused, by number with the
// reason, stand in comments, so that the script can be run again.
std::string script_of(const MigrationPlan& plan, const std::map<std::size_t, std::string>& refused = {});

}  // namespace sluice
