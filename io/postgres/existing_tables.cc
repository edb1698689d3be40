#include "io/postgres/existing_tables.h"

#include <algorithm>
#include <map>

#include "engine/model/quote.h"

namespace sluice {
namespace {

std::string name_of_table(const TablePlan& plan) { return quote_qualified(plan.schema, plan.target); }

std::string table_list(const MigrationPlan& plan, const std::vector<bool>& included) {
  std::string list;
  for (std::size_t i = 0; i < plan.tables.size(); ++i) {
    if (!included[i]) continue;
    if (!list.empty()) list += ", ";
    list += name_of_table(plan.tables[i]);
  }
  return list;
}

// Relations with the names of the plan's tables, as far as they exist.
std::vector<bool> existing_tables(Connection& connection, const MigrationPlan& plan) {
  const Result result = connection.execute(
      "SELECT c.relname, c.relkind FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace "
      "WHERE n.nspname = $1",
      {plan.schema});
  std::map<std::string, std::string> kinds;
  for (std::size_t row = 0; row < result.rows(); ++row) kinds[result.text(row, 0)] = result.text(row, 1);
  std::vector<bool> existing(plan.tables.size());
  for (std::size_t i = 0; i < plan.tables.size(); ++i) {
    const auto found = kinds.find(plan.tables[i].target);
    existing[i] = found != kinds.end();
    if (existing[i] && found->second != "r" && found->second != "p") {
      throw Error(Fault::target_refused, name_of_table(plan.tables[i]) + " exists and is not a table",
                  "remove it, or load into another schema with --schema");
    }
  }
  return existing;
}

void refuse_rows(Connection& connection, const MigrationPlan& plan, const std::vector<bool>& existing) {
  std::string full;
  for (std::size_t i = 0; i < plan.tables.size(); ++i) {
    if (!existing[i]) continue;
    const std::string name = name_of_table(plan.tables[i]);
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
      "SELECT a.attname, a.atttypid FROM pg_attribute a WHERE a.attrelid = to_regclass($1) AND a.attnum > 0 "
      "AND NOT a.attisdropped",
      {name_of_table(plan)});
  std::map<std::string, std::int64_t> types;
  for (std::size_t row = 0; row < result.rows(); ++row) types[result.text(row, 0)] = result.integer(row, 1);
  for (const ColumnPlan& column : plan.columns) {
    const auto found = types.find(column.target);
    const std::string where = name_of_table(plan) + ", column " + quote_identifier(column.target);
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
      "SELECT quote_ident(tgname) FROM pg_trigger WHERE tgrelid = to_regclass($1) AND NOT tgisinternal "
      "AND tgenabled <> 'D' ORDER BY 1",
      {name_of_table(plan)});
  if (result.rows() == 0) return;
  throw Error(Fault::target_refused,
              "trigger " + result.text(0, 0) + " of " + name_of_table(plan) + " would fire for every row",
              "disable it for the load: ALTER TABLE " + name_of_table(plan) + " DISABLE TRIGGER " +
                  result.text(0, 0));
}

// The foreign keys of a table that stays. They are checked row by row during a load, in whatever order the
// rows arrive, so those that the plan makes anew are dropped until then.
void drop_foreign_keys(Connection& connection, const MigrationPlan& plan, const TablePlan& table) {
  const Result keys = connection.execute(
      "SELECT quote_ident(c.conname), 'FOREIGN KEY (' || child.names || ') REFERENCES ' || parent.name || ' "
      "(' || "
      "parent.names || ')' FROM pg_constraint c, "
      "LATERAL (SELECT string_agg('\"' || replace(a.attname, '\"', '\"\"') || '\"', ', ' ORDER BY k.n) AS "
      "names "
      "FROM unnest(c.conkey) WITH ORDINALITY k(number, n) JOIN pg_attribute a ON a.attrelid = c.conrelid AND "
      "a.attnum = k.number) child, "
      "LATERAL (SELECT string_agg('\"' || replace(a.attname, '\"', '\"\"') || '\"', ', ' ORDER BY k.n) AS "
      "names, "
      "(SELECT '\"' || replace(s.nspname, '\"', '\"\"') || '\".\"' || replace(r.relname, '\"', '\"\"') || "
      "'\"' "
      "FROM pg_class r JOIN pg_namespace s ON s.oid = r.relnamespace WHERE r.oid = c.confrelid) AS name "
      "FROM unnest(c.confkey) WITH ORDINALITY k(number, n) JOIN pg_attribute a ON a.attrelid = c.confrelid "
      "AND "
      "a.attnum = k.number) parent "
      "WHERE c.conrelid = to_regclass($1) AND c.contype = 'f'",
      {name_of_table(table)});
  for (std::size_t row = 0; row < keys.rows(); ++row) {
    const std::string clause = keys.text(row, 1);
    const bool planned = std::any_of(plan.steps.begin(), plan.steps.end(), [&](const Step& step) {
      return step.table == table.id && step.phase == StepPhase::constraint &&
             step.sql.find(clause) != std::string::npos;
    });
    if (!planned) {
      throw Error(
          Fault::target_refused,
          "foreign key " + keys.text(row, 0) + " of " + name_of_table(table) + " is not in the source",
          "drop it, or let sluice create the table with --table-handling drop");
    }
    connection.execute("ALTER TABLE " + name_of_table(table) + " DROP CONSTRAINT " + keys.text(row, 0));
  }
}

}  // namespace

void drop_tables(Connection& connection, const std::string& list) {
  if (list.empty()) return;
  try {
    // One statement, because the tables' foreign keys refer to each other.
    connection.execute("DROP TABLE IF EXISTS " + list);
  } catch (Error& error) {
    if (error.sqlstate() != "2BP01") throw;
    throw Error(Fault::target_refused,
                std::string("other objects depend on the tables to drop: ") + error.what(),
                "drop those first; sluice never uses CASCADE")
        .set_sqlstate(error.sqlstate());
  }
}

std::vector<bool> clear_way(Connection& connection, const MigrationPlan& plan, TableHandling handling) {
  std::vector<bool> existing = existing_tables(connection, plan);
  const std::string list = table_list(plan, existing);
  if (handling == TableHandling::drop) {
    drop_tables(connection, list);
    return std::vector<bool>(plan.tables.size(), false);
  }
  if (handling == TableHandling::fail) refuse_rows(connection, plan, existing);
  for (std::size_t i = 0; i < plan.tables.size(); ++i) {
    if (!existing[i]) continue;
    check_columns(connection, plan.tables[i]);
    refuse_triggers(connection, plan.tables[i]);
    drop_foreign_keys(connection, plan, plan.tables[i]);
  }
  if (handling == TableHandling::truncate && !list.empty()) connection.execute("TRUNCATE TABLE " + list);
  return existing;
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
  return connection.execute(query + ")", {name_of_table(plan)}).boolean(0, 0);
}

}  // namespace sluice
