#include "io/postgres/rebuild.h"

#include <algorithm>
#include <functional>
#include <map>
#include <tuple>

#include "engine/model/quote.h"

namespace sluice {
namespace {

// $1 is an array of the tables' OIDs. pg_get_*def() qualifies names, since only pg_catalog is on the search
// path, and what was written by one server of a version is read by the same.

constexpr const char* kTriggers =
    "SELECT g.tgrelid::bigint, g.tgname, g.tgenabled::text FROM pg_trigger g WHERE g.tgrelid = "
    "ANY($1::oid[]) AND NOT g.tgisinternal AND g.tgenabled <> 'D' AND (g.tgtype & 36) <> 0 ORDER BY 1, 2";

// A foreign key whose own triggers are partly off was left so on purpose; nobody could put that back.
constexpr const char* kForeignKeys =
    "SELECT k.conrelid::bigint, k.conname, pg_get_constraintdef(k.oid), k.convalidated, "
    "obj_description(k.oid, 'pg_constraint'), c.relkind = 'p' FROM pg_constraint k JOIN pg_class c ON c.oid "
    "= k.conrelid WHERE k.contype = 'f' AND k.conparentid = 0 AND (k.conrelid = ANY($1::oid[]) OR "
    "k.confrelid = ANY($1::oid[])) AND NOT EXISTS (SELECT 1 FROM pg_trigger g WHERE g.tgconstraint = k.oid "
    "AND g.tgenabled <> 'O') ORDER BY k.conrelid::regclass::text, k.conname";

constexpr const char* kChecks =
    "SELECT k.conrelid::bigint, k.conname, pg_get_constraintdef(k.oid), k.convalidated, "
    "obj_description(k.oid, 'pg_constraint'), false FROM pg_constraint k WHERE k.contype = 'c' AND "
    "k.conislocal AND k.coninhcount = 0 AND k.conrelid = ANY($1::oid[]) ORDER BY "
    "k.conrelid::regclass::text, k.conname";

constexpr const char* kIndexes =
    "SELECT i.indrelid::bigint, x.relname, format('%I.%I', n.nspname, x.relname), "
    "pg_get_indexdef(i.indexrelid), obj_description(i.indexrelid, 'pg_class'), s.spcname, "
    "coalesce(k.contype::text, ''), k.condeferrable, k.condeferred, obj_description(k.oid, "
    "'pg_constraint'), i.indisunique FROM pg_index i JOIN pg_class x ON x.oid = i.indexrelid JOIN "
    "pg_namespace n ON n.oid = x.relnamespace JOIN pg_am a ON a.oid = x.relam LEFT JOIN pg_tablespace s ON "
    "s.oid = x.reltablespace LEFT JOIN pg_constraint k ON k.conindid = i.indexrelid AND k.conrelid = "
    "i.indrelid AND k.contype IN ('p', 'u', 'x') WHERE i.indrelid = ANY($1::oid[]) AND i.indisvalid AND NOT "
    "i.indisclustered AND NOT i.indisreplident AND NOT x.relispartition AND coalesce(k.contype, 'p') <> 'x' "
    "AND (k.oid IS NULL OR a.amname = 'btree') AND NOT EXISTS (SELECT 1 FROM pg_attribute t WHERE t.attrelid "
    "= x.oid AND t.attstattarget > 0) ORDER BY k.contype = 'p' DESC NULLS LAST, 1, 2";

// "(a, b)" at the first parenthesis after `from`, with what is nested; empty where there is none.
std::string list_after(const std::string& sql, std::size_t from) {
  const std::size_t begin = from == std::string::npos ? from : sql.find('(', from);
  if (begin == std::string::npos) return {};
  int depth = 0;
  bool quoted = false;
  for (std::size_t at = begin; at < sql.size(); ++at) {
    if (sql[at] == '"') quoted = !quoted;
    if (quoted) continue;
    if (sql[at] == '(') ++depth;
    if (sql[at] == ')' && --depth == 0) return sql.substr(begin, at + 1 - begin);
  }
  return {};
}

// What to do when the server refuses to make it again, read from the SQL itself: a run that goes on knows
// nothing else of it.
std::vector<Remedy> remedies_of(const std::string& sql, const std::string& add_sql) {
  std::vector<Remedy> remedies;
  const auto table_after = [](const std::string& text, const std::string& words, const char* end) {
    const std::size_t at = text.find(words);
    if (at == std::string::npos) return std::string();
    const std::size_t begin = at + words.size();
    return text.substr(begin, text.find(end, begin) - begin);
  };
  if (const std::string table = table_after(sql, " ON ", " USING "); !table.empty()) {
    std::string keys = list_after(sql, sql.find(" USING "));
    if (keys.size() > 2) keys = keys.substr(1, keys.size() - 2);
    remedies.push_back({"23505", "find the double rows: SELECT " + keys + ", count(*) FROM " + table +
                                     " GROUP BY " + keys +
                                     " HAVING count(*) > 1; remove them, then run the SQL again"});
  }
  const std::size_t foreign = add_sql.find(" FOREIGN KEY ");
  if (foreign != std::string::npos) {
    const std::size_t references = add_sql.find(" REFERENCES ", foreign);
    const std::string child = table_after(add_sql, "ALTER TABLE ", " ADD CONSTRAINT ");
    const std::string columns = list_after(add_sql, foreign);
    const std::string parent = table_after(add_sql, " REFERENCES ", "(");
    const std::string keys = list_after(add_sql, references);
    if (!columns.empty() && keys.size() > 2) {
      remedies.push_back(
          {"23503", "find the orphans: SELECT * FROM " + child + " WHERE (" + columns + " IS NOT NULL) AND " +
                        columns + " NOT IN (SELECT " + keys.substr(1, keys.size() - 2) + " FROM " + parent +
                        " WHERE " + keys +
                        " IS NOT NULL); give them a parent or remove them, then run the SQL again"});
    }
  }
  const std::size_t check = add_sql.find(" CHECK ");
  if (check != std::string::npos) {
    remedies.push_back(
        {"23514", "find the rows: SELECT * FROM " + table_after(add_sql, "ALTER TABLE ", " ADD CONSTRAINT ") +
                      " WHERE NOT " + list_after(add_sql, check) + "; mend them, then run the SQL again"});
  }
  return remedies;
}

using ObjectName = std::tuple<std::string, std::string, std::string>;
ObjectName name_of(const Step& step) { return {step.object.kind, step.object.table, step.object.name}; }

void add_remedies(std::vector<Step>& steps) {
  for (Step& step : steps) {
    const auto adding = std::find_if(steps.begin(), steps.end(), [&](const Step& other) {
      return name_of(other) == name_of(step) && other.phase == StepPhase::constraint;
    });
    step.remedies = remedies_of(step.sql, adding == steps.end() ? step.sql : adding->sql);
  }
}

class Demolition {
 public:
  Demolition(Connection& connection, const MigrationPlan& plan) : connection_(connection), plan_(plan) {}

  std::vector<Step> run() {
    find_tables();
    disable_triggers();
    drop_constraints("foreign_key", kForeignKeys);
    drop_constraints("check", kChecks);
    drop_indexes();
    return std::move(steps_);
  }

 private:
  void find_tables() {
    std::string list;
    for (const TablePlan& table : plan_.tables) list += (list.empty() ? "" : ", ") + quoted_name(table);
    // All at once, before anything is looked at: what is found must still be there when it is dropped.
    connection_.execute("LOCK TABLE " + list + " IN ACCESS EXCLUSIVE MODE");
    oids_ = "{";
    for (const TablePlan& table : plan_.tables) {
      const std::string oid =
          connection_.execute("SELECT to_regclass($1)::oid", {quoted_name(table)}).text(0, 0);
      oids_ += (oids_.size() > 1 ? "," : "") + oid;
      names_[std::stoll(oid)] = {quoted_name(table), table.source};
    }
    oids_ += "}";
  }

  struct TableName {
    std::string sql;
    std::string shown;  // for the report: as the source calls it, or as SQL for other tables of the target
  };

  const TableName& table_of(std::int64_t oid) {
    const auto found = names_.find(oid);
    if (found != names_.end()) return found->second;
    const std::string sql =
        connection_
            .execute(
                "SELECT format('%I.%I', n.nspname, c.relname) FROM pg_class c JOIN pg_namespace n ON "
                "n.oid = c.relnamespace WHERE c.oid = $1",
                {std::to_string(oid)})
            .text(0, 0);
    return names_[oid] = {sql, sql};
  }

  Step& add_step(StepPhase phase, const char* kind, const TableName& table, const std::string& name,
                 std::string sql) {
    Step& step = steps_.emplace_back();
    step.rebuild = true;
    step.phase = phase;
    step.sql = std::move(sql);
    step.object.kind = kind;
    step.object.table = table.shown;
    step.object.name = name;
    return step;
  }

  static std::string comment_on(const std::string& what, const Result& result, std::size_t row,
                                std::size_t column) {
    if (result.is_null(row, column)) return {};
    return "; COMMENT ON " + what + " IS " + quote_literal(result.text(row, column));
  }

  void disable_triggers() {
    const Result result = connection_.execute(kTriggers, {oids_});
    for (std::size_t row = 0; row < result.rows(); ++row) {
      const TableName& table = table_of(result.integer(row, 0));
      const std::string name = result.text(row, 1);
      const std::string state = result.text(row, 2);
      const std::string alter = "ALTER TABLE " + table.sql;
      connection_.execute(alter + " DISABLE TRIGGER " + quote_identifier(name));
      const char* enable = state == "A"   ? " ENABLE ALWAYS TRIGGER "
                           : state == "R" ? " ENABLE REPLICA TRIGGER "
                                          : " ENABLE TRIGGER ";
      add_step(StepPhase::finish, "trigger", table, name, alter + enable + quote_identifier(name));
    }
  }

  void drop_constraints(const char* kind, const char* query) {
    const Result result = connection_.execute(query, {oids_});
    for (std::size_t row = 0; row < result.rows(); ++row) {
      const TableName table = table_of(result.integer(row, 0));
      const std::string name = result.text(row, 1);
      const std::string quoted = quote_identifier(name);
      const bool validated = result.boolean(row, 3);
      const bool partitioned = result.boolean(row, 5);
      const std::string alter = "ALTER TABLE " + table.sql;
      connection_.execute(alter + " DROP CONSTRAINT " + quoted);
      // pg_get_constraintdef() says NOT VALID itself. A partitioned table takes no key that is not valid.
      const bool in_two_steps = validated && !partitioned;
      add_step(StepPhase::constraint, kind, table, name,
               alter + " ADD CONSTRAINT " + quoted + " " + result.text(row, 2) +
                   (in_two_steps ? " NOT VALID" : "") +
                   comment_on("CONSTRAINT " + quoted + " ON " + table.sql, result, row, 4));
      if (in_two_steps) {
        add_step(StepPhase::validate, kind, table, name, alter + " VALIDATE CONSTRAINT " + quoted);
      }
    }
  }

  // False when something else needs it: then it stays.
  bool try_drop(const std::string& sql) {
    connection_.execute("SAVEPOINT rebuild");
    try {
      connection_.execute(sql);
    } catch (const Error& error) {
      if (error.sqlstate() != "2BP01") throw;
      connection_.execute("ROLLBACK TO SAVEPOINT rebuild");
      return false;
    }
    connection_.execute("RELEASE SAVEPOINT rebuild");
    return true;
  }

  void drop_indexes() {
    const Result result = connection_.execute(kIndexes, {oids_});
    for (std::size_t row = 0; row < result.rows(); ++row) {
      const TableName& table = table_of(result.integer(row, 0));
      const std::string name = result.text(row, 1);
      const std::string quoted = quote_identifier(name);
      const std::string index = result.text(row, 2);
      const std::string constraint = result.text(row, 6);
      const std::string alter = "ALTER TABLE " + table.sql;
      if (!try_drop(constraint.empty() ? "DROP INDEX " + index : alter + " DROP CONSTRAINT " + quoted)) {
        continue;
      }
      const char* kind = constraint == "p" ? "primary_key" : result.boolean(row, 10) ? "unique" : "index";
      // The definition does not say where the index lay. The setting takes the bare name.
      const std::string place =
          result.is_null(row, 5)
              ? std::string()
              : "SET LOCAL default_tablespace = " + quote_literal(result.text(row, 5)) + "; ";
      add_step(StepPhase::index, kind, table, name,
               place + result.text(row, 3) + comment_on("INDEX " + index, result, row, 4));
      if (constraint.empty()) continue;
      const bool deferrable = result.boolean(row, 7);
      const bool deferred = result.boolean(row, 8);
      add_step(StepPhase::constraint, kind, table, name,
               alter + " ADD CONSTRAINT " + quoted + (constraint == "p" ? " PRIMARY KEY" : " UNIQUE") +
                   " USING INDEX " + quoted +
                   (deferrable ? deferred ? " DEFERRABLE INITIALLY DEFERRED" : " DEFERRABLE" : "") +
                   comment_on("CONSTRAINT " + quoted + " ON " + table.sql, result, row, 9));
    }
  }

  Connection& connection_;
  const MigrationPlan& plan_;
  std::string oids_;  // as an array's text
  std::map<std::int64_t, TableName> names_;
  std::vector<Step> steps_;
};

std::vector<Step> rebuilds_of(Connection& connection, const std::string& run_id,
                              const std::function<bool(const StepRecord&)>& wanted) {
  std::vector<Step> steps;
  for (const StepRecord& record : list_steps(connection, run_id)) {
    if (!record.rebuild || !wanted(record)) continue;
    Step& step = steps.emplace_back();
    step.rebuild = true;
    step.phase = record.phase;
    step.sql = record.object.sql;
    step.object.kind = record.object.kind;
    step.object.table = record.object.table;
    step.object.name = record.object.name;
  }
  add_remedies(steps);
  return steps;
}

}  // namespace

std::vector<Step> take_down(Connection& connection, const MigrationPlan& plan) {
  return Demolition(connection, plan).run();
}

std::vector<Step> open_rebuilds(Connection& connection, const std::string& run_id) {
  // What the server refused counts as open: the rows that were in the way may not come again.
  return rebuilds_of(connection, run_id,
                     [](const StepRecord& record) { return !record.done || !record.object.created; });
}

std::vector<Step> merge_rebuilds(const std::vector<Step>& carried, const std::vector<Step>& taken) {
  std::vector<Step> merged;
  for (const Step& step : carried) {
    const bool again = std::any_of(taken.begin(), taken.end(), [&](const Step& other) {
      return name_of(other) == name_of(step) && other.phase == step.phase;
    });
    if (!again) merged.push_back(step);
  }
  merged.insert(merged.end(), taken.begin(), taken.end());
  std::stable_partition(merged.begin(), merged.end(), [](const Step& step) {
    return step.object.kind != "foreign_key" && step.object.kind != "check";
  });
  add_remedies(merged);
  return merged;
}

std::vector<Step> list_rebuilds(Connection& connection, const std::string& run_id) {
  return rebuilds_of(connection, run_id, [](const StepRecord&) { return true; });
}

}  // namespace sluice
