#pragma once
// Tables of the target that are there before a run begins: what may stay, what must go, what is in the way.

#include <optional>
#include <string>
#include <vector>

#include "engine/model/plan.h"
#include "engine/model/target_catalog.h"
#include "io/postgres/connection.h"

namespace sluice {

// What to do with tables that are there already when a new run begins.
enum class TableHandling : std::uint8_t {
  fail,      // use empty ones; stop when one holds rows
  truncate,  // empty them, keep their definitions
  drop,      // drop and create them anew; never CASCADE
};

// A relation of the target that has the name of a table of the plan.
struct FoundTable {
  std::string oid;
  char kind = 'r';  // as in pg_class: r is a plain table
  bool logged = true;
  bool has_children = false;  // tables that inherit from it
  bool readable = true;       // for the role
};
// One for each table of the plan, nothing where there is none.
using FoundTables = std::vector<std::optional<FoundTable>>;
FoundTables find_tables(Connection& connection, const MigrationPlan& plan);

// Everything that would keep the plan's tables from being made or taken over: what has their names and is no
// table, rows, other columns, triggers, constraints. Only looks. Privileges are another matter (preflight.h);
// rows are seen in tables that the role may read.
std::vector<Obstacle> obstacles_in_way(Connection& connection, const MigrationPlan& plan,
                                       const FoundTables& found, TableHandling handling);
// The same for tables that decide the plan (--data-only), as far as TargetCatalog does not have it.
std::vector<Obstacle> obstacles_to_rows(Connection& connection, const MigrationPlan& plan,
                                        const FoundTables& found, TableHandling handling, bool rebuild);
// What depends on tables that are to be dropped, but for views that earlier runs made, which go with them.
std::vector<Obstacle> obstacles_to_drop(Connection& connection, const FoundTables& found,
                                        bool ledger_is_there);

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

// Tables by their SQL names, as far as they exist. Views that read from them go first, if an earlier run of
// ours made them and they are still as it did; anything else that depends on the tables is an Error
// (target_refused).
void drop_tables(Connection& connection, const std::vector<std::string>& tables);

// True when an earlier run made the view, in the schema of this one and by that SQL, and nobody has changed
// it since.
bool is_own_view(Connection& connection, const std::string& run_id, const std::string& name,
                 const std::string& create_view_sql);

// True when the table has an index, or a constraint, of that shape.
bool has_index(Connection& connection, const TablePlan& plan, const IndexShape& shape);

}  // namespace sluice
