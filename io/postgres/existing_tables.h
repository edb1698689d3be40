#pragma once
// Tables of the target that are there before a run begins: what may stay, what must go, what is in the way.

#include <string>
#include <vector>

#include "engine/model/plan.h"
#include "io/postgres/connection.h"

namespace sluice {

// What to do with tables that are there already when a new run begins.
enum class TableHandling : std::uint8_t {
  fail,      // use empty ones; stop when one holds rows
  truncate,  // empty them, keep their definitions
  drop,      // drop and create them anew; never CASCADE
};

// Makes room for the plan's tables and says which of them are left in place. Those must take the rows as
// planned: same column types, no trigger that would fire, no foreign key but those that the plan makes
// anew, which are dropped here so that the order of the load does not matter. Everything else is an Error
// (target_refused), before anything has been changed for good: call it inside a transaction.
std::vector<bool> clear_way(Connection& connection, const MigrationPlan& plan, TableHandling handling);

// Makes ready for the rows tables that are all there and whose columns the plan took from the catalog. Those
// columns, and what is in the way, are looked at again, since the plan was made before the transaction began.
// With `rebuild`, what can be put back is taken down, and the steps that do so are returned. Otherwise, and
// for everything else that is in the way, throws Error (target_refused). `handling` is fail or truncate.
std::vector<Step> make_way(Connection& connection, const MigrationPlan& plan, TableHandling handling,
                           bool rebuild);

// In one statement, because the tables' foreign keys refer to each other. `list` as in SQL; may be empty.
void drop_tables(Connection& connection, const std::string& list);

// True when the table has an index, or a constraint, of that shape.
bool has_index(Connection& connection, const TablePlan& plan, const IndexShape& shape);

}  // namespace sluice
