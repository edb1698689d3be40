#include "engine/plan/ddl.h"

#include <algorithm>
#include <cctype>
#include <optional>

#include "engine/model/quote.h"
#include "engine/plan/foreign_keys.h"
#include "engine/plan/generated.h"
#include "engine/plan/width.h"
#include "engine/translate/sql_clauses.h"
#include "engine/translate/translate.h"
#include "engine/translate/translate_view.h"

namespace sluice {
namespace {

std::optional<std::vector<std::string>> target_names(const TablePlan& plan,
                                                     const std::vector<std::string>& sources) {
  std::vector<std::string> targets;
  for (const std::string& source : sources) {
    const ColumnPlan* column = find_column(plan, source);
    if (column == nullptr) return std::nullopt;
    targets.push_back(column->target);
  }
  return targets;
}

// Collations only order and equate text.
bool collation_matters(const TablePlan& plan, const SourceIndexColumn& column) {
  if (column.collation.empty() || fold_ascii(column.collation) == "binary") return false;
  const ColumnPlan* planned = find_column(plan, column.name);
  return planned != nullptr && is_text(planned->type);
}

// "col" for an ascending key part, lower("col" COLLATE "C") DESC and so on for what we only propose.
std::string proposed_part(const TablePlan& plan, const SourceIndexColumn& column) {
  if (column.name.empty()) return "(...)";
  const ColumnPlan* planned = find_column(plan, column.name);
  std::string part = quote_identifier(planned == nullptr ? column.name : planned->target);
  const std::string collation = fold_ascii(column.collation);
  if (collation_matters(plan, column)) {
    part = collation == "rtrim" ? "rtrim(" + part + ")" : "lower(" + part + " COLLATE \"C\")";
  }
  return column.descending ? part + " DESC" : part;
}

std::string propose_index(const TablePlan& plan, const SourceIndex& index, const std::string& name) {
  std::vector<std::string> parts;
  for (const SourceIndexColumn& column : index.columns) parts.push_back(proposed_part(plan, column));
  return std::string("CREATE ") + (index.unique ? "UNIQUE " : "") + "INDEX " + quote_identifier(name) +
         " ON " + quoted_name(plan) + " (" + joined(parts) + ")" + (index.partial ? " WHERE ..." : "");
}

// True when `word` stands in the SQL outside of strings, quoted names and comments.
bool mentions_keyword(std::string_view sql, std::string_view word) {
  const std::string text = fold_ascii(sql);
  const auto is_name = [](char c) {
    return std::isalnum(static_cast<unsigned char>(c)) != 0 || c == '_' || c < 0;
  };
  for (std::size_t i = 0; i < text.size();) {
    const char c = text[i];
    if (c == '\'' || c == '"' || c == '`' || c == '[') {
      i = text.find(c == '[' ? ']' : c, i + 1);
      if (i == std::string::npos) return false;
      ++i;
    } else if (text.compare(i, 2, "--") == 0 || text.compare(i, 2, "/*") == 0) {
      const bool line = c == '-';
      i = text.find(line ? "\n" : "*/", i + 2);
      if (i == std::string::npos) return false;
      i += line ? 1 : 2;
    } else if (is_name(c)) {
      const std::size_t start = i;
      while (i < text.size() && is_name(text[i])) ++i;
      if (text.compare(start, i - start, word) == 0) return true;
    } else {
      ++i;
    }
  }
  return false;
}

class StepMaker {
 public:
  StepMaker(const Catalog& catalog, const std::vector<PlannedTable>& tables, NameSpace& names)
      : catalog_(catalog),
        tables_(tables),
        names_(names),
        schema_(tables.empty() ? "public" : tables.front().plan->schema) {}

  SchemaSteps make() {
    // Before the names of keys and indexes, which nobody asks for by name.
    for (const SourceObject& object : catalog_.objects) {
      if (object.kind == SourceObjectKind::view) views_.push_back({&object, names_.claim(object.name)});
    }
    for (const PlannedTable& table : tables_) {
      add_primary_key(table);
      for (const SourceIndex& index : table.source->indexes) add_index(table, index);
      add_columns(table);
      add_comments(table);
    }
    for (const PlannedTable& table : tables_) add_constraints(table);
    for (const PlannedTable& table : tables_) {
      add_identity(table);
      add_step(StepPhase::finish, table, "ANALYZE " + quoted_name(*table.plan), {});
    }
    add_views();
    list_objects();
    return std::move(result_);
  }

 private:
  struct PlannedView {
    const SourceObject* source = nullptr;
    std::string target;
  };

  Step& add_step(StepPhase phase, const PlannedTable& table, std::string sql, ObjectOutcome object) {
    Step& step = result_.steps.emplace_back();
    step.phase = phase;
    step.table = table.plan->id;
    step.sql = std::move(sql);
    step.object = std::move(object);
    return step;
  }

  void leave_out(ObjectOutcome object) { result_.left_out.push_back(std::move(object)); }

  static ObjectOutcome object_of(const char* kind, const PlannedTable& table, std::string name) {
    ObjectOutcome object;
    object.kind = kind;
    object.table = table.source->name;
    object.name = std::move(name);
    return object;
  }

  // The index is built first, side by side with others of the table; the constraint then takes it over,
  // which only touches the catalog.
  void add_key(const PlannedTable& table, const char* constraint, const ObjectOutcome& object,
               const std::vector<std::string>& columns) {
    const std::string name = object.name;
    const std::string quoted = quote_identifier(name);
    Step& index = add_step(StepPhase::index, table,
                           "CREATE UNIQUE INDEX " + quoted + " ON " + quoted_name(*table.plan) + " (" +
                               quoted_list(columns) + ")",
                           object);
    index.remedies = index_remedies(*table.plan, columns);
    index.index = IndexShape{columns, true, 0};
    Step& key = add_step(StepPhase::constraint, table,
                         "ALTER TABLE " + quoted_name(*table.plan) + " ADD CONSTRAINT " + quoted + " " +
                             constraint + " USING INDEX " + quoted,
                         object);
    key.remedies = {{"23502", "give the rows whose key is NULL a key, then ALTER TABLE " +
                                  quoted_name(*table.plan) + " ADD PRIMARY KEY USING INDEX " + quoted}};
    key.index = IndexShape{columns, true, std::string_view(constraint) == "UNIQUE" ? 'u' : 'p'};
  }

  static std::vector<Remedy> index_remedies(const TablePlan& plan, const std::vector<std::string>& columns) {
    const std::string list = quoted_list(columns);
    std::vector<std::string> hashed;
    for (const std::string& column : columns) hashed.push_back("md5(" + quote_identifier(column) + "::text)");
    return {
        {"23505", "find the double rows: SELECT " + list + ", count(*) FROM " + quoted_name(plan) +
                      " GROUP BY " + list + " HAVING count(*) > 1; remove them, then run the SQL again"},
        {"54000", "the values are too long for an index; index a hash of them: CREATE INDEX ON " +
                      quoted_name(plan) + " (" + joined(hashed) + ")"},
        {"42704", "the column's type cannot be indexed like this; an expression such as (" +
                      quote_identifier(columns.front()) + "::text) can"},
    };
  }

  // PostgreSQL compares keys exactly, whatever collation the source's key had.
  static void remark_collation(const PlannedTable& table, ObjectOutcome& object) {
    for (const SourceIndex& index : table.source->indexes) {
      if (index.origin != IndexOrigin::primary_key) continue;
      for (const SourceIndexColumn& column : index.columns) {
        if (!collation_matters(*table.plan, column)) continue;
        object.reason = "the source compares column " + quote_identifier(column.name) + " by " +
                        column.collation + "; this key tells apart what that held equal";
        object.proposal = propose_index(*table.plan, index, object.name + "_" + fold_ascii(column.collation));
      }
    }
  }

  static std::uint64_t nulls_in_key(const PlannedTable& table) {
    if (table.facts == nullptr || table.source->rowid_alias) return 0;
    std::uint64_t nulls = 0;
    for (const std::size_t place : table.source->primary_key()) {
      if (place < table.facts->columns.size()) nulls = std::max(nulls, table.facts->columns[place].nulls);
    }
    return nulls;
  }

  void add_primary_key(const PlannedTable& table) {
    std::vector<std::string> columns;
    for (const std::size_t place : table.source->primary_key()) {
      columns.push_back(column_at(*table.plan, place)->target);
    }
    if (columns.empty()) return;
    const std::uint64_t nulls = nulls_in_key(table);
    ObjectOutcome object = object_of("primary_key", table, names_.claim(table.plan->target + "_pkey"));
    if (columns.size() > kIndexColumnsMax) {
      object.sql = "PRIMARY KEY (" + quoted_list(columns) + ")";
      object.reason = "an index of PostgreSQL has at most " + std::to_string(kIndexColumnsMax) +
                      " columns, not " + std::to_string(columns.size()) + " (54011)";
      object.proposal = "add a column GENERATED ALWAYS AS IDENTITY as the key";
      return leave_out(std::move(object));
    }
    remark_collation(table, object);
    if (nulls > 0) {
      // Legal in SQLite, as often as you like; in PostgreSQL only UNIQUE allows it.
      object.reason = std::to_string(nulls) + (nulls == 1 ? " row has" : " rows have") +
                      " NULL in the primary key, so it arrives as UNIQUE";
      object.proposal = "give them a key, then ALTER TABLE " + quoted_name(*table.plan) +
                        " DROP CONSTRAINT " + quote_identifier(object.name) + ", ADD PRIMARY KEY (" +
                        quoted_list(columns) + ")";
    }
    add_key(table, nulls > 0 ? "UNIQUE" : "PRIMARY KEY", object, columns);
  }

  void add_index(const PlannedTable& table, const SourceIndex& index) {
    if (index.origin == IndexOrigin::primary_key) return;
    const TablePlan& plan = *table.plan;
    const char* kind = index.unique ? "unique" : "index";
    const auto cannot = [&](const std::string& reason) {
      ObjectOutcome object = object_of(kind, table, index.name);
      object.sql = index.sql.empty() ? propose_index(plan, index, index.name) : index.sql;
      object.reason = reason;
      object.proposal = propose_index(plan, index, index.name);
      leave_out(std::move(object));
    };
    if (index.columns.size() > kIndexColumnsMax) {
      return cannot("an index of PostgreSQL has at most " + std::to_string(kIndexColumnsMax) +
                    " columns, not " + std::to_string(index.columns.size()) + " (54011)");
    }
    if (needs_translation(plan, index)) return add_translated_index(table, index, cannot);
    std::vector<std::string> columns;
    std::vector<std::string> parts;
    bool descending = false;
    for (const SourceIndexColumn& column : index.columns) {
      const ColumnPlan* planned = find_column(plan, column.name);
      if (planned == nullptr) return cannot("index on a column that does not arrive");
      columns.push_back(planned->target);
      // No NULLS FIRST: PostgreSQL's own order of NULLs is what queries of the application will ask for.
      parts.push_back(quote_identifier(planned->target) + (column.descending ? " DESC" : ""));
      descending = descending || column.descending;
    }
    if (index.origin == IndexOrigin::unique_constraint && !descending) {
      const std::string name = names_.claim(plan.target + "_" + joined(columns, "_") + "_key");
      add_key(table, "UNIQUE", object_of("unique", table, name), columns);
      return;
    }
    const bool automatic = index.origin == IndexOrigin::unique_constraint;
    const std::string name =
        names_.claim(automatic ? plan.target + "_" + joined(columns, "_") + "_key" : index.name);
    ObjectOutcome object = object_of(kind, table, name);
    if (!automatic) remark_renamed(index.name, name, object);
    Step& step =
        add_step(StepPhase::index, table,
                 std::string("CREATE ") + (index.unique ? "UNIQUE " : "") + "INDEX " +
                     quote_identifier(name) + " ON " + quoted_name(plan) + " (" + joined(parts) + ")",
                 std::move(object));
    step.remedies = index_remedies(plan, columns);
    step.index = IndexShape{columns, index.unique, 0};
  }

  static bool needs_translation(const TablePlan& plan, const SourceIndex& index) {
    return index.partial || std::any_of(index.columns.begin(), index.columns.end(), [&](const auto& column) {
             return column.name.empty() || collation_matters(plan, column);
           });
  }

  // An index that is more than a list of columns: an expression, a WHERE clause, another collation.
  template <class Cannot>
  void add_translated_index(const PlannedTable& table, const SourceIndex& index, const Cannot& cannot) {
    const Scope scope = scope_of(*table.source, *table.plan);
    std::optional<IndexParts> written;
    if (!index.sql.empty()) {
      written = find_index_parts(index.sql);
      if (!written || written->keys.size() != index.columns.size()) return cannot("its SQL cannot be read");
    }
    std::vector<std::string> keys;
    std::vector<std::string> remarks;
    const auto take = [&](const Translation& translation) {
      remarks.insert(remarks.end(), translation.remarks.begin(), translation.remarks.end());
      return translation.translated() && translation.immutable;
    };
    for (std::size_t i = 0; i < index.columns.size(); ++i) {
      const SourceIndexColumn& column = index.columns[i];
      const std::string expression = written ? written->keys[i].expression : quote_identifier(column.name);
      const Translation key = translate_key(expression, scope, column.collation);
      if (index.unique && !key.remarks.empty()) return cannot(key.remarks.front());  // not quite the same key
      if (!take(key)) return cannot(key.translated() ? "its expression depends on the moment" : key.reason);
      keys.push_back(key.sql + (column.descending ? " DESC" : ""));
    }
    std::string where;
    if (index.partial) {
      if (!written || written->where.empty()) return cannot("its WHERE clause cannot be read");
      const Translation condition = translate_condition(written->where, scope);
      if (!take(condition)) {
        return cannot(condition.translated() ? "its WHERE clause depends on the moment" : condition.reason);
      }
      where = " WHERE " + condition.sql;
    }
    const bool automatic = index.origin == IndexOrigin::unique_constraint;
    const std::string name = names_.claim(automatic ? table.plan->target + "_key" : index.name);
    ObjectOutcome object = object_of(index.unique ? "unique" : "index", table, name);
    object.reason = joined(remarks, "; ");
    if (!automatic) remark_renamed(index.name, name, object);
    Step& step = add_step(StepPhase::index, table,
                          std::string("CREATE ") + (index.unique ? "UNIQUE " : "") + "INDEX " +
                              quote_identifier(name) + " ON " + quoted_name(*table.plan) + " (" +
                              joined(keys) + ")" + where,
                          std::move(object));
    step.remedies = {{"23505", "find the rows that are double by " + joined(keys) + where +
                                   "; remove them, then run the SQL again"},
                     {"54000", "the values are too long for an index; index a hash of them"}};
  }

  const PlannedTable* find_parent(const std::string& name) const {
    const std::string folded = fold_ascii(name);
    const auto found = std::find_if(tables_.begin(), tables_.end(), [&](const PlannedTable& table) {
      return fold_ascii(table.source->name) == folded;
    });
    return found == tables_.end() ? nullptr : &*found;
  }

  void add_constraints(const PlannedTable& table) {
    NameSpace names;
    const std::optional<TableClauses> clauses = find_clauses(table.source->sql);
    for (std::size_t i = 0; i < table.source->foreign_keys.size(); ++i) {
      const SourceForeignKey& key = table.source->foreign_keys[i];
      const std::string name = names.claim(table.plan->target + "_" + joined(key.columns, "_") + "_fkey");
      add_foreign_key(table, key, name, clauses ? deferral_of(*clauses, *table.source, i) : std::string());
    }
    if (!clauses) {
      if (table.source->module.empty() && mentions_keyword(table.source->sql, "check")) {
        leave_out_check(table, "", table.source->sql, "the SQL of its table cannot be read");
      }
      return;
    }
    const Scope scope = scope_of(*table.source, *table.plan);
    for (const CheckClause& check : clauses->checks) {
      const std::string column = check.column.empty() ? "" : "_" + check.column;
      const std::string wanted = check.name.empty() ? table.plan->target + column + "_check" : check.name;
      add_check(table, check, names.claim(wanted), translate_condition(check.expression, scope));
    }
  }

  // Two keys may have the same columns and parent, so their place decides.
  static std::string deferral_of(const TableClauses& clauses, const SourceTable& table, std::size_t place) {
    if (clauses.foreign_keys.size() != table.foreign_keys.size()) return {};
    const ForeignKeyClause& clause = clauses.foreign_keys[place];
    if (clause.deferred) return " DEFERRABLE INITIALLY DEFERRED";
    return clause.deferrable ? " DEFERRABLE" : "";
  }

  void leave_out_check(const PlannedTable& table, const std::string& name, const std::string& sql,
                       const std::string& reason) {
    ObjectOutcome object = object_of("check", table, name);
    object.sql = sql;
    object.reason = reason;
    object.proposal = "write it in PostgreSQL's words: ALTER TABLE " + quoted_name(*table.plan) +
                      " ADD CHECK (...) NOT VALID, then VALIDATE CONSTRAINT";
    leave_out(std::move(object));
  }

  void add_check(const PlannedTable& table, const CheckClause& check, const std::string& name,
                 const Translation& condition) {
    if (!condition.translated()) {
      leave_out_check(table, name, "CHECK (" + check.expression + ")", condition.reason);
      return;
    }
    ObjectOutcome object = object_of("check", table, name);
    object.reason = joined(condition.remarks, "; ");
    if (!check.name.empty()) remark_renamed(check.name, name, object);
    const std::string alter = "ALTER TABLE " + quoted_name(*table.plan);
    const std::string quoted = quote_identifier(name);
    add_step(StepPhase::constraint, table,
             alter + " ADD CONSTRAINT " + quoted + " CHECK (" + condition.sql + ") NOT VALID", object);
    Step& validate = add_step(StepPhase::validate, table, alter + " VALIDATE CONSTRAINT " + quoted, object);
    validate.remedies = {{"23514", "find the rows: SELECT * FROM " + quoted_name(*table.plan) +
                                       " WHERE NOT (" + condition.sql + "); mend them, then " + alter +
                                       " VALIDATE CONSTRAINT " + quoted}};
  }

  void add_foreign_key(const PlannedTable& table, const SourceForeignKey& key, const std::string& name,
                       const std::string& deferral) {
    ObjectOutcome object = object_of("foreign_key", table, name);
    const auto cannot = [&](std::string reason, std::string proposal) {
      object.reason = std::move(reason);
      object.proposal = std::move(proposal);
      object.sql = "FOREIGN KEY (" + quoted_list(key.columns) + ") REFERENCES " +
                   quote_identifier(key.parent) +
                   (key.parent_columns.empty() ? "" : " (" + quoted_list(key.parent_columns) + ")");
      leave_out(object);
    };
    const ParentKey found = find_parent_key(catalog_, key);
    const PlannedTable* parent = find_parent(key.parent);
    if (parent == nullptr) {
      return cannot("the parent table " + quote_identifier(key.parent) +
                        " does not arrive: " + (found.parent == nullptr ? found.obstacle : "it is excluded"),
                    "bring the parent, with a unique key on the columns, then add the key by hand");
    }
    if (!found.obstacle.empty()) {
      return cannot("its columns do not match a key of the parent table: " + found.obstacle,
                    "SQLite refuses to enforce it, too; make the parent's columns unique, then add the key");
    }
    const auto columns = target_names(*table.plan, key.columns);
    const auto parent_columns = target_names(*parent->plan, found.columns);
    if (!columns || !parent_columns) {
      return cannot("a column of it does not arrive", "bring the column, then add the key by hand");
    }
    // In SQLite the parent's collation says which values are equal. A key that compares bytes would be a
    // stricter one, and refuse rows that were right.
    for (std::size_t i = 0; i < found.columns.size(); ++i) {
      const ColumnPlan* column = find_column(*parent->plan, found.columns[i]);
      const bool is_text =
          column->type == PgType::text || column->type == PgType::varchar || column->type == PgType::bpchar;
      if (found.collations[i].empty() || !is_text) continue;
      const std::string to_citext = " TYPE citext; ";
      return cannot("the parent's key compares " + quote_identifier(found.columns[i]) + " by " +
                        found.collations[i] + ", and a foreign key between texts compares exactly",
                    "CREATE EXTENSION citext; ALTER TABLE " + quoted_name(*parent->plan) + " ALTER COLUMN " +
                        quote_identifier((*parent_columns)[i]) + to_citext + "ALTER TABLE " +
                        quoted_name(*table.plan) + " ALTER COLUMN " + quote_identifier((*columns)[i]) +
                        to_citext + "then add the key by hand");
    }
    const std::string child = quoted_name(*table.plan);
    const std::string quoted = quote_identifier(name);
    std::string sql = "ALTER TABLE " + child + " ADD CONSTRAINT " + quoted + " FOREIGN KEY (" +
                      quoted_list(*columns) + ") REFERENCES " + quoted_name(*parent->plan) + " (" +
                      quoted_list(*parent_columns) + ")";
    if (fold_ascii(key.on_update) != "no action") sql += " ON UPDATE " + key.on_update;
    if (fold_ascii(key.on_delete) != "no action") sql += " ON DELETE " + key.on_delete;
    sql += deferral;
    Step& add = add_step(StepPhase::constraint, table, sql + " NOT VALID", object);
    add.remedies = {
        {"42804",
         "give both columns one type (ALTER TABLE ... ALTER COLUMN ... TYPE ... USING ...), then run "
         "the SQL again"},
        {"42830", "make the parent's columns unique: ALTER TABLE " + quoted_name(*parent->plan) +
                      " ADD UNIQUE (" + quoted_list(*parent_columns) + "), then run the SQL again"}};
    Step& validate = add_step(StepPhase::validate, table,
                              "ALTER TABLE " + child + " VALIDATE CONSTRAINT " + quoted, object);
    validate.remedies = {
        {"23503", "find the rows without a parent: " +
                      orphan_query(child, *columns, quoted_name(*parent->plan), *parent_columns) +
                      "; mend them, then ALTER TABLE " + child + " VALIDATE CONSTRAINT " + quoted}};
  }

  static std::string orphan_query(const std::string& child, const std::vector<std::string>& columns,
                                  const std::string& parent, const std::vector<std::string>& parent_columns) {
    std::vector<std::string> match;
    std::vector<std::string> present;
    for (std::size_t i = 0; i < columns.size(); ++i) {
      match.push_back("p." + quote_identifier(parent_columns[i]) + " = c." + quote_identifier(columns[i]));
      present.push_back("c." + quote_identifier(columns[i]) + " IS NOT NULL");
    }
    return "SELECT c.* FROM " + child + " c WHERE " + joined(present, " AND ") +
           " AND NOT EXISTS (SELECT 1 FROM " + parent + " p WHERE " + joined(match, " AND ") + ")";
  }

  // The next value is one more than the largest of what is there and what AUTOINCREMENT gave out before;
  // sqlite_sequence may be ahead of the table or behind it. setval takes no value below 1, and at the end
  // of the range nextval must fail rather than wrap.
  void add_identity(const PlannedTable& table) {
    for (const ColumnPlan& column : table.plan->columns) {
      if (column.identity_sequence.empty()) continue;
      const std::string name = quoted_name(*table.plan);
      const std::string used =
          "greatest((SELECT max(" + quote_identifier(column.target) + ") FROM " + name + "), " +
          std::to_string(std::max<std::int64_t>(table.source->sequence.value_or(0), 0)) + ")";
      // A table that the run found may have no identity here; then the cast must fail, because setval of
      // NULL does nothing and says nothing.
      Step& step = add_step(
          StepPhase::finish, table,
          "SELECT CASE WHEN used < 9223372036854775807 THEN setval(sequence, used + 1, false) ELSE "
          "setval(sequence, used, true) END FROM (SELECT coalesce(pg_get_serial_sequence(" +
              quote_literal(name) + ", " + quote_literal(column.target) +
              "), 'no_sequence_of_this_column')::regclass AS sequence, " + used + " AS used) AS state",
          object_of("identity", table, column.target));
      step.remedies = {{"42P01", "ALTER TABLE " + name + " ALTER COLUMN " + quote_identifier(column.target) +
                                     " ADD GENERATED BY DEFAULT AS IDENTITY, then run the SQL again"}};
    }
  }

  void add_columns(const PlannedTable& table) {
    const Scope scope = scope_of(*table.source, *table.plan);
    for (std::size_t i = 0; i < table.plan->columns.size(); ++i) {
      const ColumnPlan& planned = table.plan->columns[i];
      if (planned.place >= table.source->columns.size()) continue;  // the rowid has no declaration
      const SourceColumn& column = table.source->columns[planned.place];
      const std::string alter = "ALTER TABLE " + quoted_name(*table.plan);
      const std::string quoted = quote_identifier(planned.target);
      if (column.default_sql && planned.identity_sequence.empty())
        add_default(table, *column.default_sql, scope.columns[i], alter + " ALTER COLUMN " + quoted);
      if (column.generated == Generated::no) continue;
      ObjectOutcome object = object_of("generated", table, column.name);
      if (!planned.generated_as.empty()) {
        object.created = true;
        object.sql = "GENERATED ALWAYS AS (" + planned.generated_as + ") STORED";
        leave_out(std::move(object));
        continue;
      }
      object.sql = table.source->sql;
      object.reason = "loaded as a plain column that holds the generated values";
      object.proposal = "keep it up to date with a trigger";
      const Generation generation = generation_of(*table.source, *table.plan, planned);
      if (!generation.reason.empty()) object.reason += ": " + generation.reason;
      if (!generation.nearly.empty()) {
        object.proposal = alter + " DROP COLUMN " + quoted + ", ADD COLUMN " + quoted + " " +
                          type_of(planned) + " GENERATED ALWAYS AS (" + generation.nearly + ") STORED";
      }
      leave_out(std::move(object));
    }
  }

  // What got another name says in the target which one it had.
  void add_comments(const PlannedTable& table) {
    const TablePlan& plan = *table.plan;
    add_comment(table, "table", plan.source, plan.target, "TABLE " + quoted_name(plan));
    for (const ColumnPlan& column : plan.columns) {
      if (column.added) continue;
      add_comment(table, "column", column.source, column.target,
                  "COLUMN " + quoted_name(plan) + "." + quote_identifier(column.target));
    }
  }

  void add_comment(const PlannedTable& table, const char* kind, const std::string& source,
                   const std::string& target, const std::string& what) {
    if (source == target) return;
    ObjectOutcome object = object_of(kind, table, source);
    object.created = true;
    remark_renamed(source, target, object);
    object.sql = "COMMENT ON " + what + " IS " + quote_literal("sluice: " + source);
    // Housekeeping: without the comment the table is still there.
    add_step(StepPhase::finish, table, object.sql, {});
    leave_out(std::move(object));
  }

  // No name is ever changed in silence.
  static void remark_renamed(const std::string& source, const std::string& target, ObjectOutcome& object) {
    if (source == target) return;
    if (!object.reason.empty()) object.reason += "; ";
    object.reason += "named " + quote_identifier(target) + " in the target, " + why_renamed(source, target);
    // The object itself goes by its new name where it is made.
    if (object.name != source) object.reason += "; in the source it is " + quote_identifier(source);
  }

  static std::string why_renamed(const std::string& source, const std::string& target) {
    if (source.empty()) return "because PostgreSQL has no empty names";
    if (source.size() > kNameBytesMax) {
      return "because a name of PostgreSQL has at most " + std::to_string(kNameBytesMax) + " bytes";
    }
    if (target == source + "_") return "because PostgreSQL has a system column of its name";
    return "because that was asked for or its own name was taken";
  }

  void add_default(const PlannedTable& table, const std::string& sql, const ScopeColumn& column,
                   const std::string& alter_column) {
    ObjectOutcome object = object_of("default", table, column.source);
    const Translation value = translate_default(sql, column);
    if (value.translated() && value.value == ValueClass::null) return;  // the default of a column without one
    if (!value.translated()) {
      object.sql = sql;
      object.reason = value.reason;
      object.proposal = "write it in PostgreSQL's words: " + alter_column + " SET DEFAULT ...";
      leave_out(std::move(object));
      return;
    }
    object.reason = joined(value.remarks, "; ");
    add_step(StepPhase::finish, table, alter_column + " SET DEFAULT " + value.sql, std::move(object));
  }

  // The rows of a virtual table are there; what the module did with them is not.
  void list_virtual_table(const PlannedTable& table) {
    const std::string& module = table.source->module;
    ObjectOutcome object = object_of("table", table, table.source->name);
    object.created = true;
    object.sql = table.source->sql;
    const std::string name = quoted_name(*table.plan);
    if (module.starts_with("fts")) {
      std::vector<std::string> texts;
      for (const ColumnPlan& column : table.plan->columns) {
        if (table.source->columns[column.place].declared_type != "TEXT") continue;
        texts.push_back("coalesce(" + quote_identifier(column.target) + "::text, '')");
      }
      object.reason = fts_name(module) + " content as a plain table";
      NameSpace columns;
      for (const ColumnPlan& column : table.plan->columns) columns.claim(column.target);
      const std::string search = quote_identifier(columns.claim("search"));
      object.proposal = "ALTER TABLE " + name + " ADD COLUMN " + search +
                        " tsvector GENERATED ALWAYS AS (to_tsvector('simple', " +
                        joined(texts, " || ' ' || ") + ")) STORED; CREATE INDEX ON " + name + " USING gin (" +
                        search + ")";
    } else {
      object.reason = module + " content as a plain table";
      object.proposal = propose_boxes(*table.plan, name);
    }
    leave_out(std::move(object));
  }

  static std::string fts_name(std::string module) {
    for (char& c : module) c = static_cast<char>(std::toupper(static_cast<unsigned char>(c)));
    return module;
  }

  // One dimension is a range, two are a box, more are a cube; the coordinates follow the key in pairs.
  static std::string propose_boxes(const TablePlan& plan, const std::string& name) {
    std::vector<std::string> sides;
    for (std::size_t i = 1; i < plan.columns.size(); ++i) {
      const std::string declared = fold_ascii(plan.columns[i].declared_type);
      if (declared != "real" && declared != "integer") break;
      sides.push_back(quote_identifier(plan.columns[i].target));
    }
    const std::string index = "CREATE INDEX ON " + name + " USING gist (";
    if (sides.size() == 2) {
      return index + "numrange(" + sides[0] + "::numeric, " + sides[1] + "::numeric, '[]'))";
    }
    if (sides.size() == 4) {
      return index + "box(point(" + sides[0] + ", " + sides[2] + "), point(" + sides[1] + ", " + sides[3] +
             ")))";
    }
    std::vector<std::string> low;
    std::vector<std::string> high;
    for (std::size_t i = 0; i + 1 < sides.size(); i += 2) {
      low.push_back(sides[i]);
      high.push_back(sides[i + 1]);
    }
    if (low.empty()) return "index its shapes with a GiST index, of PostGIS for example";
    return "CREATE EXTENSION cube; " + index + "cube(ARRAY[" + joined(low) + "]::float8[], ARRAY[" +
           joined(high) + "]::float8[]))";
  }

  void add_views() {
    ViewTranslator translator;
    for (const SourceTable& table : catalog_.tables) {
      translator.add_missing(table.name, "its table " + quote_identifier(table.name) + " does not arrive");
    }
    for (const SourceObject& object : catalog_.objects) {
      if (object.kind != SourceObjectKind::virtual_table) continue;
      translator.add_missing(object.name, "it reads the virtual table " + quote_identifier(object.name) +
                                              ", which does not arrive");
    }
    for (const PlannedTable& table : tables_) translator.add_table(*table.source, *table.plan);
    std::vector<const SourceObject*> sources;
    for (const PlannedView& view : views_) {
      sources.push_back(view.source);
      translator.add_missing(view.source->name, "it reads the view " + quote_identifier(view.source->name) +
                                                    ", which reads from it");
    }
    for (const std::size_t place : order_of_views(sources)) add_view(translator, views_[place]);
  }

  void add_view(ViewTranslator& translator, const PlannedView& view) {
    const std::string name = quote_qualified(schema_, view.target);
    NameSpace columns;
    std::vector<std::string> renamed;
    const ViewTranslation translation =
        translator.translate(*view.source, name, [&](const std::string& column) {
          std::string claimed = columns.claim(column);
          if (claimed != column) {
            renamed.push_back("column " + quote_identifier(column) + " is named " +
                              quote_identifier(claimed));
          }
          return claimed;
        });
    ObjectOutcome object;
    object.kind = "view";
    object.name = translation.translated() ? view.target : view.source->name;
    if (!translation.translated()) {
      object.sql = view.source->sql;
      object.reason = translation.reason;
      object.proposal = "write it in PostgreSQL's words: CREATE VIEW " + name + " AS ...";
      leave_out(std::move(object));
      return;
    }
    renamed.insert(renamed.begin(), translation.remarks.begin(), translation.remarks.end());
    object.reason = joined(renamed, "; ");
    remark_renamed(view.source->name, view.target, object);
    Step& step = result_.steps.emplace_back();
    step.phase = StepPhase::view;
    step.sql = "CREATE VIEW " + name + " (" + quoted_list(translation.columns) + ") AS " + translation.select;
    step.object = std::move(object);
    step.remedies = {{"42P07", "rename or drop what has that name, then run the SQL"}};
  }

  void list_objects() {
    for (const SourceObject& source : catalog_.objects) {
      ObjectOutcome object;
      object.table = source.table;
      object.name = source.name;
      object.sql = source.sql;
      object.reason = source.reason;
      switch (source.kind) {
        case SourceObjectKind::view:
          continue;  // add_views has dealt with it
        case SourceObjectKind::trigger:
          object.kind = "trigger";
          object.reason = "triggers are never created: they must not fire while rows arrive";
          object.proposal = "write it anew as a PL/pgSQL trigger after the move";
          break;
        case SourceObjectKind::virtual_table:
          object.kind = "table";
          if (object.reason.empty()) object.reason = "virtual table: its rows belong to a module of SQLite";
          object.proposal =
              "copy its content into a plain table first, or rebuild it from the tables it indexes";
          break;
        case SourceObjectKind::index:
          object.kind = "index";
          object.proposal = "write it in PostgreSQL's words: CREATE INDEX ...";
          break;
        case SourceObjectKind::generated_column:
          object.kind = "generated";
          object.reason += ": its values exist only where that is";
          object.proposal = "add the column by hand and fill it with what the function computes";
          break;
      }
      leave_out(std::move(object));
    }
    for (const PlannedTable& table : tables_) {
      if (!table.source->module.empty()) list_virtual_table(table);
    }
  }

  const Catalog& catalog_;
  const std::vector<PlannedTable>& tables_;
  NameSpace& names_;
  std::string schema_;
  std::vector<PlannedView> views_;
  SchemaSteps result_;
};

}  // namespace

std::string create_table_sql(const TablePlan& plan) {
  std::string sql = "CREATE TABLE " + quoted_name(plan) + " (";
  const char* separator = "\n  ";
  std::vector<const ColumnPlan*> columns;
  for (const ColumnPlan& column : plan.columns) columns.push_back(&column);
  std::sort(columns.begin(), columns.end(),
            [](const ColumnPlan* left, const ColumnPlan* right) { return left->place < right->place; });
  for (const ColumnPlan* planned : columns) {
    const ColumnPlan& column = *planned;
    sql += separator + quote_identifier(column.target) + " " + type_of(column);
    if (column.not_null) sql += " NOT NULL";
    if (!column.generated_as.empty()) sql += " GENERATED ALWAYS AS (" + column.generated_as + ") STORED";
    if (!column.identity_sequence.empty()) {
      sql += " GENERATED BY DEFAULT AS IDENTITY (SEQUENCE NAME " +
             quote_qualified(plan.schema, column.identity_sequence) + ")";
    }
    separator = ",\n  ";
  }
  return sql + ")";
}

SchemaSteps steps_after_load(const Catalog& catalog, const std::vector<PlannedTable>& tables,
                             NameSpace& names) {
  return StepMaker(catalog, tables, names).make();
}

std::string as_comment(const std::string& text) {
  std::string comment = "-- ";
  for (const char c : text) {
    comment += c;
    if (c == '\n' || c == '\r') comment += "-- ";  // either ends a comment
  }
  return comment + "\n";
}

std::string script_of(const MigrationPlan& plan, const std::map<std::size_t, std::string>& refused) {
  std::string script;
  if (!plan.into_existing) {
    script = "CREATE SCHEMA IF NOT EXISTS " + quote_identifier(plan.schema) + ";\n";
    for (const TablePlan& table : plan.tables) script += "\n" + create_table_sql(table) + ";\n";
  }
  script += "\n-- after the load\n";
  for (const StepPhase phase :
       {StepPhase::index, StepPhase::constraint, StepPhase::validate, StepPhase::finish, StepPhase::view}) {
    for (std::size_t number = 0; number < plan.steps.size(); ++number) {
      const Step& step = plan.steps[number];
      if (step.phase != phase) continue;
      const auto reason = refused.find(number);
      if (reason == refused.end()) {
        script += step.sql + ";\n";
      } else {
        script += as_comment("refused: " + reason->second + "\n" + step.sql);
      }
    }
  }
  return script;
}

}  // namespace sluice
