#include "io/postgres/existing_tables.h"

#include <algorithm>
#include <map>

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

// Our own views that read from these tables, or from such views.
std::vector<std::string> own_views_on(Connection& connection, const std::vector<std::string>& tables) {
  std::string oids;
  for (const std::string& table : tables) {
    oids += (oids.empty() ? "" : ", ") + ("to_regclass(" + quote_literal(table) + ")::oid");
  }
  const Result result = connection.execute(
      "WITH RECURSIVE reader(oid) AS (SELECT w.ev_class FROM pg_depend d JOIN pg_rewrite w ON w.oid = "
      "d.objid "
      "WHERE d.classid = 'pg_rewrite'::regclass AND d.refclassid = 'pg_class'::regclass AND d.refobjid = ANY "
      "(ARRAY[" +
      oids +
      "]) AND w.ev_class <> d.refobjid UNION SELECT w.ev_class FROM reader JOIN pg_depend d ON d.refobjid = "
      "reader.oid JOIN pg_rewrite w ON w.oid = d.objid WHERE d.classid = 'pg_rewrite'::regclass AND "
      "d.refclassid = 'pg_class'::regclass AND w.ev_class <> d.refobjid) SELECT format('%I.%I', n.nspname, "
      "c.relname) FROM reader JOIN pg_class c USING (oid) JOIN pg_namespace n ON n.oid = c.relnamespace JOIN "
      "pg_rewrite w ON w.ev_class = c.oid WHERE c.relkind = 'v' AND EXISTS (" +
      std::string(kMadeByOurStep) + ")");
  std::vector<std::string> views;
  for (std::size_t row = 0; row < result.rows(); ++row) views.push_back(result.text(row, 0));
  return views;
}

// Relations with the names of the plan's tables, as far as they exist.
std::vector<bool> existing_tables(Connection& connection, const MigrationPlan& plan) {
  const Result result = connection.execute(
      "SELECT c.relname, c.relkind::text || c.relpersistence::text || CASE WHEN EXISTS (SELECT 1 FROM "
      "pg_inherits i WHERE i.inhparent = c.oid) THEN 'i' ELSE '' END FROM pg_class c JOIN pg_namespace n "
      "ON n.oid = c.relnamespace WHERE n.nspname = $1",
      {plan.schema});
  std::map<std::string, std::string> kinds;
  for (std::size_t row = 0; row < result.rows(); ++row) kinds[result.text(row, 0)] = result.text(row, 1);
  std::vector<bool> existing(plan.tables.size());
  for (std::size_t i = 0; i < plan.tables.size(); ++i) {
    const auto found = kinds.find(plan.tables[i].target);
    existing[i] = found != kinds.end();
    if (existing[i] && found->second == "ru") {
      throw Error(Fault::target_refused,
                  quoted_name(plan.tables[i]) +
                      " is UNLOGGED: a crash of the server would empty it, but not the ledger",
                  "ALTER TABLE " + quoted_name(plan.tables[i]) + " SET LOGGED, or --table-handling drop");
    }
    if (existing[i] && found->second.ends_with('i') && found->second.starts_with('r')) {
      throw Error(
          Fault::target_refused,
          quoted_name(plan.tables[i]) + " has tables that inherit from it, whose rows would count as its own",
          "load into another schema with --schema");
    }
    if (existing[i] && found->second.starts_with("pp")) {
      throw Error(Fault::target_refused,
                  quoted_name(plan.tables[i]) + " is partitioned, which sluice cannot load into yet",
                  "load into another schema with --schema");
    }
    if (existing[i] && found->second != "rp") {
      throw Error(Fault::target_refused, quoted_name(plan.tables[i]) + " exists and is not a table",
                  "remove it, or load into another schema with --schema");
    }
  }
  return existing;
}

void refuse_rows(Connection& connection, const MigrationPlan& plan, const std::vector<bool>& existing) {
  std::string full;
  for (std::size_t i = 0; i < plan.tables.size(); ++i) {
    if (!existing[i]) continue;
    const std::string name = quoted_name(plan.tables[i]);
    if (!connection.execute("SELECT EXISTS (SELECT 1 FROM " + name + ")").boolean(0, 0)) continue;
    if (!full.empty()) full += ", ";
    full += name;
  }
  if (full.empty()) return;
  throw Error(
      Fault::target_refused, "target tables already hold rows: " + full,
      "empty them, choose --table-handling truncate or drop, or load into another schema with --schema");
}

// A table that is kept must take the rows as planned: binary COPY needs the exact types.
void check_columns(Connection& connection, const TablePlan& plan) {
  const Result result = connection.execute(
      "SELECT a.attname, a.atttypid, a.atttypmod FROM pg_attribute a WHERE a.attrelid = to_regclass($1) AND "
      "a.attnum > 0 "
      "AND NOT a.attisdropped",
      {quoted_name(plan)});
  std::map<std::string, std::int64_t> types;
  for (std::size_t row = 0; row < result.rows(); ++row) {
    // A modifier such as numeric(10,2) or timestamp(0) would round, so it counts as another type.
    types[result.text(row, 0)] = result.integer(row, 2) == -1 ? result.integer(row, 1) : 0;
  }
  for (const ColumnPlan& column : plan.columns) {
    const auto found = types.find(column.target);
    const std::string where = quoted_name(plan) + ", column " + quote_identifier(column.target);
    if (found == types.end()) {
      throw Error(Fault::target_refused, "the existing table lacks a column: " + where,
                  "add it, or let sluice create the table with --table-handling drop");
    }
    if (found->second != name_of(column.type).oid) {
      throw Error(
          Fault::target_refused,
          "the existing column has another type than " + std::string(name_of(column.type).sql) + ": " + where,
          "change it, or let sluice create the table with --table-handling drop");
    }
  }
}

void refuse_triggers(Connection& connection, const TablePlan& plan) {
  const Result result = connection.execute(
      "SELECT tgname FROM pg_trigger WHERE tgrelid = to_regclass($1) AND NOT tgisinternal "
      "AND tgenabled <> 'D' ORDER BY 1",
      {quoted_name(plan)});
  if (result.rows() == 0) return;
  const std::string trigger = quote_identifier(result.text(0, 0));
  throw Error(Fault::target_refused,
              "trigger " + trigger + " of " + quoted_name(plan) + " would fire for every row",
              "disable it for the load: ALTER TABLE " + quoted_name(plan) + " DISABLE TRIGGER " + trigger);
}

// A CHECK that some rows of the source broke, left NOT VALID by an earlier load, would refuse them now.
void refuse_checks_not_valid(Connection& connection, const TablePlan& plan) {
  const Result result = connection.execute(
      "SELECT conname FROM pg_constraint WHERE conrelid = to_regclass($1) AND contype = 'c' AND NOT "
      "convalidated "
      "ORDER BY 1",
      {quoted_name(plan)});
  if (result.rows() == 0) return;
  const std::string check = quote_identifier(result.text(0, 0));
  throw Error(
      Fault::target_refused,
      "constraint " + check + " of " + quoted_name(plan) + " is NOT VALID and may refuse rows of the source",
      "drop it for the load, or let sluice create the table with --table-handling drop");
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

std::vector<ForeignKey> foreign_keys_of(Connection& connection, const TablePlan& table) {
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
      "WHERE c.conrelid = to_regclass($1) AND c.contype = 'f' ORDER BY c.conname, k.number",
      {quoted_name(table)});
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

// The foreign keys of a table that stays. They are checked row by row during a load, in whatever order the
// rows arrive, so those that the plan makes anew, with the same definition, are dropped until then.
void drop_foreign_keys(Connection& connection, const MigrationPlan& plan, const TablePlan& table) {
  for (const ForeignKey& key : foreign_keys_of(connection, table)) {
    const std::string definition = " FOREIGN KEY (" + key.columns + ") REFERENCES " + key.parent + " (" +
                                   key.parent_columns + ")" + key.actions +
                                   (key.deferred ? " DEFERRABLE INITIALLY DEFERRED" : "") + " NOT VALID";
    const bool planned = std::any_of(plan.steps.begin(), plan.steps.end(), [&](const Step& step) {
      return step.table == table.id && step.phase == StepPhase::constraint && step.sql.ends_with(definition);
    });
    if (!planned || key.unusual ||
        key.deferrable != key.deferred) {  // the plan knows no DEFERRABLE INITIALLY IMMEDIATE
      throw Error(Fault::target_refused,
                  "foreign key " + quote_identifier(key.name) + " of " + quoted_name(table) +
                      " differs from the source's or is not in it, so it could not be made again",
                  "drop it for the load, or let sluice create the table with --table-handling drop");
    }
    connection.execute("ALTER TABLE " + quoted_name(table) + " DROP CONSTRAINT " +
                       quote_identifier(key.name));
  }
}

}  // namespace

void drop_tables(Connection& connection, const std::vector<std::string>& tables) {
  if (tables.empty()) return;
  try {
    const std::vector<std::string> views = own_views_on(connection, tables);
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

std::vector<bool> clear_way(Connection& connection, const MigrationPlan& plan, TableHandling handling) {
  std::vector<bool> existing = existing_tables(connection, plan);
  const std::vector<std::string> list = table_list(plan, existing);
  // Whoever queues for these tables behind us waits as long as we do.
  connection.execute("SET LOCAL lock_timeout = '10s'");
  if (handling == TableHandling::drop) {
    drop_tables(connection, list);
    connection.execute("SET LOCAL lock_timeout = 0");
    return std::vector<bool>(plan.tables.size(), false);
  }
  if (handling == TableHandling::fail) refuse_rows(connection, plan, existing);
  for (std::size_t i = 0; i < plan.tables.size(); ++i) {
    if (!existing[i]) continue;
    check_columns(connection, plan.tables[i]);
    refuse_triggers(connection, plan.tables[i]);
    refuse_checks_not_valid(connection, plan.tables[i]);
    drop_foreign_keys(connection, plan, plan.tables[i]);
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
    const Obstacle& obstacle = found->second.obstacles.front();
    throw Error(Fault::target_refused, obstacle.what, obstacle.resolve);
  }
  if (handling == TableHandling::truncate) {
    connection.execute("TRUNCATE TABLE " + joined(list));
  } else {
    refuse_rows(connection, plan, all);
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
      "SELECT EXISTS (SELECT 1 FROM pg_index i WHERE i.indrelid = to_regclass($1) AND i.indisvalid "
      "AND i.indpred IS NULL AND i.indexprs IS NULL AND (SELECT array_agg(a.attname::text ORDER BY k.n) "
      "FROM unnest(i.indkey::int2[]) WITH ORDINALITY k(number, n) JOIN pg_attribute a ON a.attrelid = "
      "i.indrelid "
      "AND a.attnum = k.number WHERE k.n <= i.indnkeyatts) = " +
      columns;
  if (shape.unique) query += " AND i.indisunique";
  if (shape.constraint != 0) {
    query += " AND EXISTS (SELECT 1 FROM pg_constraint c WHERE c.conindid = i.indexrelid AND c.contype = '";
    query += shape.constraint;
    query += "')";
  }
  return connection.execute(query + ")", {quoted_name(plan)}).boolean(0, 0);
}

}  // namespace sluice
