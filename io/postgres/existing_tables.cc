#include "io/postgres/existing_tables.h"

#include <algorithm>
#include <map>
#include <set>

#include "engine/model/quote.h"
#include "io/postgres/rebuild.h"
#include "io/postgres/target_catalog.h"

namespace sluice {
namespace {

std::vector<std::string> table_list(const MigrationPlan& plan, const std::vector<bool>& included) {
  std::vector<std::string> list;
  for (std::size_t i = 0; i < plan.tables.size(); ++i) {
    if (included[i]) list.push_back(quoted_name(plan.tables[i]));
  }
  return list;
}

// A view w (pg_rewrite) that is as a run of ours made it: its rule was written by the very transaction that
// recorded the step. CREATE OR REPLACE VIEW writes the rule anew.
constexpr const char* kMadeByOurStep =
    "SELECT 1 FROM sluice.step s JOIN sluice.run r USING (run_id) WHERE s.kind = 'view' AND s.created AND "
    "s.name = c.relname AND r.target_schema = n.nspname AND s.xmin = w.xmin";

struct OwnView {
  std::string oid;
  std::string name;  // as SQL
};

// Our own views that read from these tables, or from such views. `tables`: their OIDs as SQL, with commas.
std::vector<OwnView> own_views_on(Connection& connection, const std::string& tables) {
  const Result result = connection.execute(
      "WITH RECURSIVE reader(oid) AS (SELECT w.ev_class FROM pg_depend d JOIN pg_rewrite w ON w.oid = "
      "d.objid "
      "WHERE d.classid = 'pg_rewrite'::regclass AND d.refclassid = 'pg_class'::regclass AND d.refobjid = ANY "
      "(ARRAY[" +
      tables +
      "]::oid[]) AND w.ev_class <> d.refobjid UNION SELECT w.ev_class FROM reader JOIN pg_depend d ON "
      "d.refobjid = reader.oid JOIN pg_rewrite w ON w.oid = d.objid WHERE d.classid = 'pg_rewrite'::regclass "
      "AND d.refclassid = 'pg_class'::regclass AND w.ev_class <> d.refobjid) SELECT c.oid, n.nspname, "
      "c.relname "
      "FROM reader JOIN pg_class c USING (oid) JOIN pg_namespace n ON n.oid = c.relnamespace JOIN "
      "pg_rewrite w ON w.ev_class = c.oid WHERE c.relkind = 'v' AND EXISTS (" +
      std::string(kMadeByOurStep) + ")");
  std::vector<OwnView> views;
  for (std::size_t row = 0; row < result.rows(); ++row) {
    views.push_back({result.text(row, 0), quote_qualified(result.text(row, 1), result.text(row, 2))});
  }
  return views;
}

std::string oids_of(const FoundTables& found) {
  std::string oids;
  for (const std::optional<FoundTable>& table : found) {
    if (table) oids += (oids.empty() ? "" : ",") + table->oid;
  }
  return "{" + oids + "}";
}

// Whatever is done with the table, these are in its way.
void add_kind_obstacle(const MigrationPlan& plan, const TablePlan& table, const FoundTable& found,
                       TableHandling handling, std::vector<Obstacle>& obstacles) {
  const std::string name = quoted_name(table);
  const std::string elsewhere = choose_another_schema(plan);
  if (found.kind == 'p') {
    obstacles.push_back({name + " is partitioned, which sluice cannot load into yet", elsewhere});
  } else if (found.kind == 'f') {
    obstacles.push_back({name + " is a foreign table, whose rows are elsewhere",
                         "remove it: DROP FOREIGN TABLE " + name + ", or " + elsewhere});
  } else if (found.kind != 'r') {
    obstacles.push_back({name + " exists and is not a table", "remove it, or " + elsewhere});
  } else if (found.has_children) {
    obstacles.push_back(
        {name + " has tables that inherit from it, whose rows would count as its own", elsewhere});
  } else if (!found.logged && handling != TableHandling::drop) {
    obstacles.push_back({name + " is UNLOGGED: a crash of the server would empty it, but not the ledger",
                         "ALTER TABLE " + name + " SET LOGGED, or --table-handling drop"});
  }
}

// All tables with rows are one obstacle: what helps is the same for all of them.
void add_row_obstacle(Connection& connection, const MigrationPlan& plan, const FoundTables& found,
                      std::vector<Obstacle>& obstacles) {
  std::string full;
  for (std::size_t i = 0; i < plan.tables.size(); ++i) {
    if (!found[i] || found[i]->kind != 'r' || !found[i]->readable) continue;
    const std::string name = quoted_name(plan.tables[i]);
    if (!connection.execute("SELECT EXISTS (SELECT 1 FROM " + name + ")").boolean(0, 0)) continue;
    if (!full.empty()) full += ", ";
    full += name;
  }
  if (full.empty()) return;
  obstacles.push_back({"target tables already hold rows: " + full,
                       plan.into_existing ? "empty them, or choose --table-handling truncate"
                                          : "empty them, choose --table-handling truncate or drop, or " +
                                                choose_another_schema(plan)});
}

// A table that is kept must take the rows as planned: binary COPY needs the exact types.
void add_column_obstacles(Connection& connection, const TablePlan& plan, const FoundTable& found,
                          std::vector<Obstacle>& obstacles) {
  const Result result = connection.execute(
      "SELECT attname, atttypid, atttypmod, attgenerated <> '', attnotnull AND NOT atthasdef AND attidentity "
      "= "
      "'' FROM pg_attribute WHERE attrelid = $1 AND attnum > 0 AND NOT attisdropped ORDER BY attnum",
      {found.oid});
  struct There {
    std::int64_t type = 0;
    bool generated = false;
  };
  const std::string table = quoted_name(plan);
  std::map<std::string, There> there;
  for (std::size_t row = 0; row < result.rows(); ++row) {
    const std::string name = result.text(row, 0);
    // A modifier such as numeric(10,2) or timestamp(0) would round, so it counts as another type.
    there[name] = {result.integer(row, 2) == -1 ? result.integer(row, 1) : 0, result.boolean(row, 3)};
    const bool planned = std::any_of(plan.columns.begin(), plan.columns.end(),
                                     [&](const ColumnPlan& column) { return column.target == name; });
    if (planned || !result.boolean(row, 4)) continue;
    const std::string quoted = quote_identifier(name);
    obstacles.push_back({"column " + quoted + " of the existing table " + table +
                             " is NOT NULL without a default, and the source has nothing for it",
                         "ALTER TABLE " + table + " ALTER COLUMN " + quoted +
                             " DROP NOT NULL, or let sluice "
                             "create the table with --table-handling drop"});
  }
  for (const ColumnPlan& column : plan.columns) {
    const auto found_column = there.find(column.target);
    const std::string quoted = quote_identifier(column.target);
    const std::string where = table + ", column " + quoted;
    if (found_column == there.end()) {
      obstacles.push_back({"the existing table lacks a column: " + where,
                           "add it, or let sluice create the table with --table-handling drop"});
    } else if (found_column->second.type != name_of(column.type).oid) {
      obstacles.push_back({"the existing column has another type than " +
                               std::string(name_of(column.type).sql) + ": " + where,
                           "change it, or let sluice create the table with --table-handling drop"});
    } else if (found_column->second.generated && column.generated_as.empty()) {
      obstacles.push_back({"the existing column is generated and takes no value of the source: " + where,
                           "ALTER TABLE " + table + " ALTER COLUMN " + quoted +
                               " DROP EXPRESSION, or let sluice "
                               "create the table with --table-handling drop"});
    } else if (!found_column->second.generated && !column.generated_as.empty()) {
      obstacles.push_back({"the existing column is not generated, as that of the source is: " + where,
                           "let sluice create the table with --table-handling drop"});
    }
  }
}

void add_trigger_obstacles(Connection& connection, const TablePlan& plan, const FoundTable& found,
                           std::vector<Obstacle>& obstacles) {
  const Result result = connection.execute(
      "SELECT tgname FROM pg_trigger WHERE tgrelid = $1 AND NOT tgisinternal AND tgenabled <> 'D' ORDER BY 1",
      {found.oid});
  for (std::size_t row = 0; row < result.rows(); ++row) {
    const std::string trigger = quote_identifier(result.text(row, 0));
    obstacles.push_back(
        {"trigger " + trigger + " of " + quoted_name(plan) + " would fire for every row",
         "disable it for the load: ALTER TABLE " + quoted_name(plan) + " DISABLE TRIGGER " + trigger});
  }
}

// A CHECK that some rows of the source broke, left NOT VALID by an earlier load, would refuse them now.
void add_check_obstacles(Connection& connection, const TablePlan& plan, const FoundTable& found,
                         std::vector<Obstacle>& obstacles) {
  const Result result = connection.execute(
      "SELECT conname FROM pg_constraint WHERE conrelid = $1 AND contype = 'c' AND NOT convalidated ORDER BY "
      "1",
      {found.oid});
  for (std::size_t row = 0; row < result.rows(); ++row) {
    const std::string check = quote_identifier(result.text(row, 0));
    obstacles.push_back({"constraint " + check + " of " + quoted_name(plan) +
                             " is NOT VALID and may refuse rows of the source",
                         "drop it for the load, or let sluice create the table with --table-handling drop"});
  }
}

struct ForeignKey {
  std::string name;
  std::string columns;  // quoted, with commas
  std::string parent;
  std::string parent_columns;
  std::string actions;  // as the plan writes them
  bool deferrable = false;
  bool deferred = false;
  bool unusual = false;  // MATCH FULL, or SET NULL of some columns only, which SQLite does not know
};

std::vector<ForeignKey> foreign_keys_of(Connection& connection, const FoundTable& table) {
  const auto action = [](const char* event, const std::string& code) {
    const std::map<std::string, std::string> words = {
        {"r", "RESTRICT"}, {"c", "CASCADE"}, {"n", "SET NULL"}, {"d", "SET DEFAULT"}};
    const auto word = words.find(code);
    return word == words.end() ? std::string() : event + word->second;
  };
  const Result result = connection.execute(
      "SELECT c.conname, a.attname, n.nspname, p.relname, pa.attname, c.confupdtype, c.confdeltype, "
      "c.condeferrable, c.condeferred, "
      "k.number, c.confmatchtype <> 's' OR c.confdelsetcols IS NOT NULL FROM pg_constraint c CROSS JOIN "
      "LATERAL unnest(c.conkey, c.confkey) WITH ORDINALITY "
      "k(child, parent, number) JOIN pg_attribute a ON a.attrelid = c.conrelid AND a.attnum = k.child "
      "JOIN pg_attribute pa ON pa.attrelid = c.confrelid AND pa.attnum = k.parent JOIN pg_class p ON p.oid = "
      "c.confrelid JOIN pg_namespace n ON n.oid = p.relnamespace "
      "WHERE c.conrelid = $1 AND c.contype = 'f' ORDER BY c.conname, k.number",
      {table.oid});
  std::vector<ForeignKey> keys;
  for (std::size_t row = 0; row < result.rows(); ++row) {
    if (result.integer(row, 9) == 1) {
      ForeignKey& key = keys.emplace_back();
      key.name = result.text(row, 0);
      key.parent = quote_qualified(result.text(row, 2), result.text(row, 3));
      key.actions = action(" ON UPDATE ", result.text(row, 5)) + action(" ON DELETE ", result.text(row, 6));
      key.deferrable = result.boolean(row, 7);
      key.deferred = result.boolean(row, 8);
      key.unusual = result.boolean(row, 10);
    }
    ForeignKey& key = keys.back();
    key.columns += (key.columns.empty() ? "" : ", ") + quote_identifier(result.text(row, 1));
    key.parent_columns += (key.parent_columns.empty() ? "" : ", ") + quote_identifier(result.text(row, 4));
  }
  return keys;
}

// The foreign keys of a table that stays are checked row by row during a load, in whatever order the rows
// arrive, so they step aside. That takes a plan that makes them anew, with the same definition.
bool is_made_again(const MigrationPlan& plan, const TablePlan& table, const ForeignKey& key) {
  const std::string definition = " FOREIGN KEY (" + key.columns + ") REFERENCES " + key.parent + " (" +
                                 key.parent_columns + ")" + key.actions +
                                 (key.deferred ? " DEFERRABLE INITIALLY DEFERRED" : "") + " NOT VALID";
  const bool planned = std::any_of(plan.steps.begin(), plan.steps.end(), [&](const Step& step) {
    return step.table == table.id && step.phase == StepPhase::constraint && step.sql.ends_with(definition);
  });
  // The plan knows no DEFERRABLE INITIALLY IMMEDIATE.
  return planned && !key.unusual && key.deferrable == key.deferred;
}

void add_foreign_key_obstacles(Connection& connection, const MigrationPlan& plan, const TablePlan& table,
                               const FoundTable& found, std::vector<Obstacle>& obstacles) {
  for (const ForeignKey& key : foreign_keys_of(connection, found)) {
    if (is_made_again(plan, table, key)) continue;
    obstacles.push_back({"foreign key " + quote_identifier(key.name) + " of " + quoted_name(table) +
                             " differs from the source's or is not in it, so it could not be made again",
                         "drop it for the load, or let sluice create the table with --table-handling drop"});
  }
}

// Tables that stay refer to those that are to be emptied.
void add_truncate_obstacles(Connection& connection, const FoundTables& found,
                            std::vector<Obstacle>& obstacles) {
  const Result result = connection.execute(
      "SELECT n.nspname, c.relname, k.conname, pn.nspname, p.relname FROM pg_constraint k JOIN pg_class c ON "
      "c.oid = k.conrelid JOIN pg_namespace n ON n.oid = c.relnamespace JOIN pg_class p ON p.oid = "
      "k.confrelid JOIN pg_namespace pn ON pn.oid = p.relnamespace WHERE k.contype = 'f' AND k.confrelid = "
      "ANY($1::oid[]) AND k.conrelid <> ALL($1::oid[]) ORDER BY 1, 2, 3",
      {oids_of(found)});
  for (std::size_t row = 0; row < result.rows(); ++row) {
    const std::string child = quote_qualified(result.text(row, 0), result.text(row, 1));
    const std::string key = quote_identifier(result.text(row, 2));
    obstacles.push_back(
        {"foreign key " + key + " of " + child + " keeps " +
             quote_qualified(result.text(row, 3), result.text(row, 4)) + " from being emptied (0A000)",
         "ALTER TABLE " + child + " DROP CONSTRAINT " + key + ", and make it again afterwards"});
  }
}

// Everything that DROP TABLE without CASCADE would stumble upon: what depends on the tables, or on what goes
// with them (their types, sequences and columns' defaults), and does not go itself.
void add_drop_obstacles(Connection& connection, const FoundTables& found, std::vector<Obstacle>& obstacles) {
  const Result result = connection.execute(
      "WITH RECURSIVE goes(classid, objid) AS (SELECT 'pg_class'::regclass::oid, oid FROM unnest($1::oid[]) "
      "oid "
      "UNION SELECT d.classid, d.objid FROM goes g JOIN pg_depend d ON d.refclassid = g.classid AND "
      "d.refobjid "
      "= g.objid WHERE d.deptype IN ('a', 'i')), "
      "stays AS (SELECT DISTINCT d.classid, d.objid, (SELECT w.ev_class FROM pg_rewrite w WHERE d.classid = "
      "'pg_rewrite'::regclass AND w.oid = d.objid) AS view FROM goes g JOIN pg_depend d ON d.refclassid = "
      "g.classid AND d.refobjid = g.objid WHERE d.deptype = 'n' AND NOT EXISTS (SELECT 1 FROM goes x WHERE "
      "x.classid = d.classid AND x.objid = d.objid)) "
      "SELECT coalesce(n.nspname, pg_describe_object(s.classid, s.objid, 0)), c.relname, c.relkind::text, "
      "k.conname FROM stays s LEFT JOIN pg_constraint k ON s.classid = 'pg_constraint'::regclass AND k.oid = "
      "s.objid LEFT JOIN pg_class c ON c.oid = coalesce(s.view, k.conrelid) LEFT JOIN pg_namespace n ON "
      "n.oid = "
      "c.relnamespace ORDER BY 1, 2, 4",
      {oids_of(found)});
  for (std::size_t row = 0; row < result.rows(); ++row) {
    std::string what = result.text(row, 0);
    std::string resolve = "drop that first";
    if (!result.is_null(row, 1)) {
      const std::string name = quote_qualified(what, result.text(row, 1));
      const std::string kind = result.text(row, 2);
      if (!result.is_null(row, 3)) {
        const std::string key = quote_identifier(result.text(row, 3));
        what = "constraint " + key + " of " + name;
        resolve = "ALTER TABLE " + name + " DROP CONSTRAINT " + key;
      } else if (kind == "v" || kind == "m") {
        what = (kind == "v" ? "view " : "materialized view ") + name;
        resolve = (kind == "v" ? "DROP VIEW " : "DROP MATERIALIZED VIEW ") + name;
      } else {
        what = "a rule of " + name;
      }
    }
    obstacles.push_back({"other objects depend on the tables to drop: " + what + " (2BP01)",
                         resolve + "; sluice never uses CASCADE"});
  }
}

// CREATE TABLE makes a type of its name, too.
void add_type_obstacles(Connection& connection, const MigrationPlan& plan, const FoundTables& found,
                        TableHandling handling, std::vector<Obstacle>& obstacles) {
  // The server renames the array types that it made itself.
  const Result result = connection.execute(
      "SELECT t.typname FROM pg_type t JOIN pg_namespace n ON n.oid = t.typnamespace WHERE n.nspname = $1 "
      "AND "
      "t.typrelid = 0 AND NOT EXISTS (SELECT 1 FROM pg_type e WHERE e.typarray = t.oid)",
      {plan.schema});
  std::set<std::string> types;
  for (std::size_t row = 0; row < result.rows(); ++row) types.insert(result.text(row, 0));
  for (std::size_t i = 0; i < plan.tables.size(); ++i) {
    if ((found[i] && handling != TableHandling::drop) || !types.contains(plan.tables[i].target)) continue;
    const std::string name = quoted_name(plan.tables[i]);
    obstacles.push_back({"a type " + name + " is in the way of the table of that name",
                         "DROP TYPE " + name + ", or " + choose_another_schema(plan)});
  }
}

void drop_foreign_keys(Connection& connection, const TablePlan& table, const FoundTable& found) {
  for (const ForeignKey& key : foreign_keys_of(connection, found)) {
    connection.execute("ALTER TABLE " + quoted_name(table) + " DROP CONSTRAINT " +
                       quote_identifier(key.name));
  }
}

[[noreturn]] void refuse(const Obstacle& obstacle) {
  throw Error(Fault::target_refused, obstacle.what, obstacle.resolve);
}

// The server says that they may not be read.
void refuse_unreadable(Connection& connection, const MigrationPlan& plan, const FoundTables& found) {
  for (std::size_t i = 0; i < plan.tables.size(); ++i) {
    if (!found[i] || found[i]->readable) continue;
    connection.execute("SELECT FROM " + quoted_name(plan.tables[i]) + " LIMIT 1");
  }
}

}  // namespace

void drop_tables(Connection& connection, const std::vector<std::string>& tables) {
  if (tables.empty()) return;
  try {
    std::string oids;
    for (const std::string& table : tables) {
      oids += (oids.empty() ? "" : ", ") + ("to_regclass(" + quote_literal(table) + ")::oid");
    }
    std::vector<std::string> views;
    for (const OwnView& view : own_views_on(connection, oids)) views.push_back(view.name);
    if (!views.empty()) connection.execute("DROP VIEW " + joined(views));
    // One statement, because the tables' foreign keys refer to each other.
    connection.execute("DROP TABLE IF EXISTS " + joined(tables));
  } catch (Error& error) {
    if (error.sqlstate() != "2BP01") throw;
    throw Error(Fault::target_refused,
                std::string("other objects depend on the tables to drop: ") + error.what(),
                "drop those first; sluice never uses CASCADE")
        .set_sqlstate(error.sqlstate());
  }
}

bool is_own_view(Connection& connection, const std::string& run_id, const std::string& name,
                 const std::string& create_view_sql) {
  return connection
      .execute(
          "SELECT EXISTS (SELECT 1 FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace JOIN "
          "pg_rewrite w ON w.ev_class = c.oid WHERE c.relkind = 'v' AND n.nspname = (SELECT target_schema "
          "FROM sluice.run WHERE run_id = $1) AND c.relname = $2 "
          "AND EXISTS (" +
              std::string(kMadeByOurStep) + " AND s.sql = $3))",
          {run_id, name, create_view_sql})
      .boolean(0, 0);
}

FoundTables find_tables(Connection& connection, const MigrationPlan& plan) {
  const Result result = connection.execute(
      "SELECT c.relname, c.oid, c.relkind::text, c.relpersistence <> 'u', EXISTS (SELECT 1 FROM pg_inherits "
      "i "
      "WHERE i.inhparent = c.oid), has_schema_privilege(n.oid, 'USAGE') AND has_table_privilege(c.oid, "
      "'SELECT') "
      "FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace WHERE n.nspname = $1",
      {plan.schema});
  std::map<std::string, FoundTable> relations;
  for (std::size_t row = 0; row < result.rows(); ++row) {
    relations[result.text(row, 0)] = {result.text(row, 1), result.text(row, 2).front(),
                                      result.boolean(row, 3), result.boolean(row, 4), result.boolean(row, 5)};
  }
  FoundTables found;
  for (const TablePlan& table : plan.tables) {
    const auto relation = relations.find(table.target);
    found.push_back(relation == relations.end() ? std::nullopt : std::optional(relation->second));
  }
  return found;
}

std::vector<Obstacle> obstacles_in_way(Connection& connection, const MigrationPlan& plan,
                                       const FoundTables& found, TableHandling handling) {
  std::vector<Obstacle> obstacles;
  for (std::size_t i = 0; i < plan.tables.size(); ++i) {
    if (found[i]) add_kind_obstacle(plan, plan.tables[i], *found[i], handling, obstacles);
  }
  add_type_obstacles(connection, plan, found, handling, obstacles);
  if (handling == TableHandling::drop) return obstacles;
  if (handling == TableHandling::fail) add_row_obstacle(connection, plan, found, obstacles);
  for (std::size_t i = 0; i < plan.tables.size(); ++i) {
    if (!found[i] || found[i]->kind != 'r') continue;
    const TablePlan& table = plan.tables[i];
    add_column_obstacles(connection, table, *found[i], obstacles);
    add_trigger_obstacles(connection, table, *found[i], obstacles);
    add_check_obstacles(connection, table, *found[i], obstacles);
    add_foreign_key_obstacles(connection, plan, table, *found[i], obstacles);
  }
  if (handling == TableHandling::truncate) add_truncate_obstacles(connection, found, obstacles);
  return obstacles;
}

std::vector<Obstacle> obstacles_to_rows(Connection& connection, const MigrationPlan& plan,
                                        const FoundTables& found, TableHandling handling, bool rebuild) {
  std::vector<Obstacle> obstacles;
  if (handling == TableHandling::fail) add_row_obstacle(connection, plan, found, obstacles);
  // --rebuild takes the foreign keys down first.
  if (handling == TableHandling::truncate && !rebuild) add_truncate_obstacles(connection, found, obstacles);
  return obstacles;
}

std::vector<Obstacle> obstacles_to_drop(Connection& connection, const FoundTables& found,
                                        bool ledger_is_there) {
  FoundTables going = found;
  if (ledger_is_there) {
    // Views of ours go with the tables.
    std::string oids;
    for (const std::optional<FoundTable>& table : found) {
      if (table) oids += (oids.empty() ? "" : ", ") + table->oid;
    }
    if (!oids.empty()) {
      for (const OwnView& view : own_views_on(connection, oids)) going.push_back(FoundTable{view.oid});
    }
  }
  std::vector<Obstacle> obstacles;
  add_drop_obstacles(connection, going, obstacles);
  return obstacles;
}

std::vector<bool> clear_way(Connection& connection, const MigrationPlan& plan, TableHandling handling) {
  const FoundTables found = find_tables(connection, plan);
  std::vector<bool> existing;
  for (const std::optional<FoundTable>& table : found) existing.push_back(table.has_value());
  const std::vector<std::string> list = table_list(plan, existing);
  // Whoever queues for these tables behind us waits as long as we do.
  connection.execute("SET LOCAL lock_timeout = '10s'");
  // The preflight has said all of them; what came since is said one by one.
  const std::vector<Obstacle> obstacles = obstacles_in_way(connection, plan, found, handling);
  if (!obstacles.empty()) refuse(obstacles.front());
  if (handling == TableHandling::drop) {
    drop_tables(connection, list);
    connection.execute("SET LOCAL lock_timeout = 0");
    return std::vector<bool>(plan.tables.size(), false);
  }
  if (handling == TableHandling::fail) refuse_unreadable(connection, plan, found);
  for (std::size_t i = 0; i < plan.tables.size(); ++i) {
    if (found[i]) drop_foreign_keys(connection, plan.tables[i], *found[i]);
  }
  if (handling == TableHandling::truncate && !list.empty())
    connection.execute("TRUNCATE TABLE " + joined(list));
  connection.execute("SET LOCAL lock_timeout = 0");
  return existing;
}

namespace {

// The plan was made from the catalog, which may have changed since.
void refuse_changed_columns(const TablePlan& plan, const ExistingTable& table) {
  for (const ColumnPlan& column : plan.columns) {
    const auto found =
        std::find_if(table.columns.begin(), table.columns.end(),
                     [&](const ExistingColumn& existing) { return existing.name == column.target; });
    const bool same = found != table.columns.end() && found->supported && !found->generated &&
                      found->type == column.type && found->modifier == column.modifier &&
                      found->type_name == column.type_name && found->labels == column.labels &&
                      found->not_null == column.not_null;
    if (same) continue;
    throw Error(Fault::target_refused,
                quoted_name(plan) + ", column " + quote_identifier(column.target) +
                    ": it was changed while the plan was made",
                "run the command again");
  }
}

}  // namespace

std::vector<Step> make_way(Connection& connection, const MigrationPlan& plan, TableHandling handling,
                           bool rebuild) {
  const std::vector<bool> all(plan.tables.size(), true);
  const std::vector<std::string> list = table_list(plan, all);
  // Whoever queues for these tables behind us waits as long as we do.
  connection.execute("SET LOCAL lock_timeout = '10s'");
  std::vector<Step> steps;
  if (rebuild) steps = take_down(connection, plan);
  const TargetCatalog catalog = read_target_catalog(connection, plan.schema);
  for (const TablePlan& table : plan.tables) {
    const auto found = catalog.tables.find(table.target);
    if (found == catalog.tables.end()) {
      throw Error(Fault::target_refused, quoted_name(table) + " is gone since the plan was made",
                  "run the command again");
    }
    refuse_changed_columns(table, found->second);
    if (found->second.obstacles.empty()) continue;
    refuse(found->second.obstacles.front());
  }
  const FoundTables found = find_tables(connection, plan);
  const std::vector<Obstacle> obstacles = obstacles_to_rows(connection, plan, found, handling, rebuild);
  if (!obstacles.empty()) refuse(obstacles.front());
  if (handling == TableHandling::truncate) {
    connection.execute("TRUNCATE TABLE " + joined(list));
  } else {
    refuse_unreadable(connection, plan, found);
  }
  connection.execute("SET LOCAL lock_timeout = 0");
  return steps;
}

bool has_index(Connection& connection, const TablePlan& plan, const IndexShape& shape) {
  std::string columns = "ARRAY[";
  for (const std::string& column : shape.columns) {
    columns += (columns.ends_with('[') ? "" : ", ") + quote_literal(column);
  }
  columns += "]::text[]";
  std::string query =
      "SELECT EXISTS (SELECT 1 FROM pg_index i WHERE i.indrelid = (SELECT c.oid FROM pg_class c JOIN "
      "pg_namespace n ON n.oid = c.relnamespace WHERE n.nspname = $1 AND c.relname = $2) AND i.indisvalid "
      "AND i.indpred IS NULL AND i.indexprs IS NULL AND (SELECT array_agg(a.attname::text ORDER BY k.n) "
      "FROM unnest(i.indkey::int2[]) WITH ORDINALITY k(number, n) JOIN pg_attribute a ON a.attrelid = "
      "i.indrelid "
      "AND a.attnum = k.number WHERE k.n <= i.indnkeyatts) = " +
      columns;
  if (shape.unique) query += " AND i.indisunique";
  if (shape.constraint != 0) {
    query += " AND EXISTS (SELECT 1 FROM pg_constraint c WHERE c.conindid = i.indexrelid AND c.contype = " +
             quote_literal({&shape.constraint, 1}) + ")";
  }
  // Not by to_regclass(), which refuses to look into a schema without the privilege to use it.
  return connection.execute(query + ")", {plan.schema, plan.target}).boolean(0, 0);
}

}  // namespace sluice
