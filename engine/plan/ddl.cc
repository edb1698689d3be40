#include "engine/plan/ddl.h"

#include <algorithm>
#include <cctype>
#include <optional>

#include "engine/model/quote.h"

namespace sluice {
namespace {

std::string table_name(const TablePlan& plan) { return quote_qualified(plan.schema, plan.target); }

std::string join(const std::vector<std::string>& parts, const char* separator) {
  std::string joined;
  for (const std::string& part : parts) {
    if (!joined.empty()) joined += separator;
    joined += part;
  }
  return joined;
}

std::string quoted_list(const std::vector<std::string>& names) {
  std::vector<std::string> quoted;
  for (const std::string& name : names) quoted.push_back(quote_identifier(name));
  return join(quoted, ", ");
}

// The column whose source name is `name`, compared as SQLite does.
const ColumnPlan* find_column(const TablePlan& plan, const std::string& name) {
  const std::string folded = fold_ascii(name);
  const auto found = std::find_if(plan.columns.begin(), plan.columns.end(), [&](const ColumnPlan& column) {
    return fold_ascii(column.source) == folded;
  });
  return found == plan.columns.end() ? nullptr : &*found;
}

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
  return planned != nullptr && planned->type == PgType::text;
}

// "col" for an ascending key part, (lower("col") COLLATE "C") DESC and so on for what we only propose.
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
         " ON " + table_name(plan) + " (" + join(parts, ", ") + ")" + (index.partial ? " WHERE ..." : "");
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
      : catalog_(catalog), tables_(tables), names_(names) {}

  SchemaSteps make() {
    for (const PlannedTable& table : tables_) {
      add_primary_key(table);
      for (const SourceIndex& index : table.source->indexes) add_index(table, index);
      list_columns(table);
    }
    for (const PlannedTable& table : tables_) add_foreign_keys(table);
    for (const PlannedTable& table : tables_) {
      add_identity(table);
      add_step(StepPhase::finish, table, "ANALYZE " + table_name(*table.plan), {});
    }
    list_objects();
    return std::move(result_);
  }

 private:
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
                           "CREATE UNIQUE INDEX " + quoted + " ON " + table_name(*table.plan) + " (" +
                               quoted_list(columns) + ")",
                           object);
    index.remedies = index_remedies(*table.plan, columns);
    index.index = IndexShape{columns, true, 0};
    Step& key = add_step(StepPhase::constraint, table,
                         "ALTER TABLE " + table_name(*table.plan) + " ADD CONSTRAINT " + quoted + " " +
                             constraint + " USING INDEX " + quoted,
                         object);
    key.remedies = {{"23502", "give the rows whose key is NULL a key, then ALTER TABLE " +
                                  table_name(*table.plan) + " ADD PRIMARY KEY USING INDEX " + quoted}};
    key.index = IndexShape{columns, true, std::string_view(constraint) == "UNIQUE" ? 'u' : 'p'};
  }

  static std::vector<Remedy> index_remedies(const TablePlan& plan, const std::vector<std::string>& columns) {
    const std::string list = quoted_list(columns);
    std::vector<std::string> hashed;
    for (const std::string& column : columns) hashed.push_back("md5(" + quote_identifier(column) + "::text)");
    return {
        {"23505", "find the double rows: SELECT " + list + ", count(*) FROM " + table_name(plan) +
                      " GROUP BY " + list + " HAVING count(*) > 1; remove them, then run the SQL again"},
        {"54000", "the values are too long for an index; index a hash of them: CREATE INDEX ON " +
                      table_name(plan) + " (" + join(hashed, ", ") + ")"},
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

  void add_primary_key(const PlannedTable& table) {
    std::vector<std::string> columns;
    for (const std::size_t column : table.source->primary_key()) {
      columns.push_back(table.plan->columns[column].target);
    }
    if (columns.empty()) return;
    ObjectOutcome object = object_of("primary_key", table, names_.claim(table.plan->target + "_pkey"));
    remark_collation(table, object);
    add_key(table, "PRIMARY KEY", object, columns);
  }

  void add_index(const PlannedTable& table, const SourceIndex& index) {
    if (index.origin == IndexOrigin::primary_key) return;
    const TablePlan& plan = *table.plan;
    const char* kind = index.unique ? "unique" : "index";
    const auto cannot = [&](const char* reason) {
      ObjectOutcome object = object_of(kind, table, index.name);
      object.sql = index.sql;
      object.reason = reason;
      object.proposal = propose_index(plan, index, index.name);
      leave_out(std::move(object));
    };
    if (index.partial) return cannot("partial index: its WHERE clause is not translated");
    std::vector<std::string> columns;
    std::vector<std::string> parts;
    bool descending = false;
    for (const SourceIndexColumn& column : index.columns) {
      if (column.name.empty()) return cannot("index on an expression, which is not translated");
      if (collation_matters(plan, column))
        return cannot("index with a collation that PostgreSQL does not have");
      const ColumnPlan* planned = find_column(plan, column.name);
      if (planned == nullptr) return cannot("index on a column that does not arrive");
      columns.push_back(planned->target);
      // No NULLS FIRST: PostgreSQL's own order of NULLs is what queries of the application will ask for.
      parts.push_back(quote_identifier(planned->target) + (column.descending ? " DESC" : ""));
      descending = descending || column.descending;
    }
    if (index.origin == IndexOrigin::unique_constraint && !descending) {
      const std::string name = names_.claim(plan.target + "_" + join(columns, "_") + "_key");
      add_key(table, "UNIQUE", object_of("unique", table, name), columns);
      return;
    }
    const bool automatic = index.origin == IndexOrigin::unique_constraint;
    const std::string name =
        names_.claim(automatic ? plan.target + "_" + join(columns, "_") + "_key" : index.name);
    Step& step =
        add_step(StepPhase::index, table,
                 std::string("CREATE ") + (index.unique ? "UNIQUE " : "") + "INDEX " +
                     quote_identifier(name) + " ON " + table_name(plan) + " (" + join(parts, ", ") + ")",
                 object_of(kind, table, name));
    step.remedies = index_remedies(plan, columns);
    step.index = IndexShape{columns, index.unique, 0};
  }

  const PlannedTable* find_parent(const std::string& name) const {
    const std::string folded = fold_ascii(name);
    const auto found = std::find_if(tables_.begin(), tables_.end(), [&](const PlannedTable& table) {
      return fold_ascii(table.source->name) == folded;
    });
    return found == tables_.end() ? nullptr : &*found;
  }

  void add_foreign_keys(const PlannedTable& table) {
    NameSpace constraints;
    for (const SourceForeignKey& key : table.source->foreign_keys) {
      add_foreign_key(table, key,
                      constraints.claim(table.plan->target + "_" + join(key.columns, "_") + "_fkey"));
    }
  }

  void add_foreign_key(const PlannedTable& table, const SourceForeignKey& key, const std::string& name) {
    ObjectOutcome object = object_of("foreign_key", table, name);
    const auto cannot = [&](std::string reason, std::string proposal) {
      object.reason = std::move(reason);
      object.proposal = std::move(proposal);
      object.sql = "FOREIGN KEY (" + quoted_list(key.columns) + ") REFERENCES " +
                   quote_identifier(key.parent) +
                   (key.parent_columns.empty() ? "" : " (" + quoted_list(key.parent_columns) + ")");
      leave_out(object);
    };
    const PlannedTable* parent = find_parent(key.parent);
    if (parent == nullptr) {
      return cannot("the parent table " + quote_identifier(key.parent) + " does not arrive",
                    "bring the parent (it may be excluded, missing or a view), then add the key by hand");
    }
    std::vector<std::string> parent_sources = key.parent_columns;
    if (parent_sources.empty()) {
      for (const std::size_t column : parent->source->primary_key()) {
        parent_sources.push_back(parent->source->columns[column].name);
      }
    }
    const auto columns = target_names(*table.plan, key.columns);
    const auto parent_columns = target_names(*parent->plan, parent_sources);
    if (!columns || !parent_columns || columns->size() != parent_columns->size()) {
      return cannot("its columns do not match a key of the parent table",
                    "SQLite would refuse to enforce it, too; name columns that exist on both sides");
    }
    const std::string child = table_name(*table.plan);
    const std::string quoted = quote_identifier(name);
    std::string sql = "ALTER TABLE " + child + " ADD CONSTRAINT " + quoted + " FOREIGN KEY (" +
                      quoted_list(*columns) + ") REFERENCES " + table_name(*parent->plan) + " (" +
                      quoted_list(*parent_columns) + ")";
    if (fold_ascii(key.on_update) != "no action") sql += " ON UPDATE " + key.on_update;
    if (fold_ascii(key.on_delete) != "no action") sql += " ON DELETE " + key.on_delete;
    Step& add = add_step(StepPhase::constraint, table, sql + " NOT VALID", object);
    add.remedies = {
        {"42804",
         "give both columns one type (ALTER TABLE ... ALTER COLUMN ... TYPE ... USING ...), then run "
         "the SQL again"},
        {"42830", "make the parent's columns unique: ALTER TABLE " + table_name(*parent->plan) +
                      " ADD UNIQUE (" + quoted_list(*parent_columns) + "), then run the SQL again"}};
    Step& validate = add_step(StepPhase::validate, table,
                              "ALTER TABLE " + child + " VALIDATE CONSTRAINT " + quoted, object);
    validate.remedies = {
        {"23503", "find the rows without a parent: " +
                      orphan_query(child, *columns, table_name(*parent->plan), *parent_columns) +
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
    return "SELECT c.* FROM " + child + " c WHERE " + join(present, " AND ") +
           " AND NOT EXISTS (SELECT 1 FROM " + parent + " p WHERE " + join(match, " AND ") + ")";
  }

  // The next value is one more than the largest of what is there and what AUTOINCREMENT gave out before;
  // sqlite_sequence may be ahead of the table or behind it. setval takes no value below 1, and at the end
  // of the range nextval must fail rather than wrap.
  void add_identity(const PlannedTable& table) {
    for (const ColumnPlan& column : table.plan->columns) {
      if (column.identity_sequence.empty()) continue;
      const std::string name = table_name(*table.plan);
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

  void list_columns(const PlannedTable& table) {
    for (const SourceColumn& column : table.source->columns) {
      const ColumnPlan* planned = find_column(*table.plan, column.name);
      const std::string alter = "ALTER TABLE " + table_name(*table.plan) + " ALTER COLUMN " +
                                quote_identifier(planned == nullptr ? column.name : planned->target);
      if (column.default_sql && fold_ascii(*column.default_sql) != "null") {
        ObjectOutcome object = object_of("default", table, column.name);
        object.sql = *column.default_sql;
        object.reason = "default expressions are not translated";
        object.proposal = alter + " SET DEFAULT " + *column.default_sql;
        leave_out(std::move(object));
      }
      if (column.generated != Generated::no) {
        ObjectOutcome object = object_of("generated", table, column.name);
        object.sql = table.source->sql;
        object.reason = "loaded as a plain column that holds the generated values";
        object.proposal =
            "keep it up to date with a trigger, or drop it and add it as GENERATED ALWAYS AS (...) STORED";
        leave_out(std::move(object));
      }
    }
    if (mentions_keyword(table.source->sql, "check")) {
      ObjectOutcome object = object_of("check", table, "");
      object.sql = table.source->sql;
      object.reason = "CHECK expressions are not translated";
      object.proposal =
          "ALTER TABLE " + table_name(*table.plan) + " ADD CHECK (...) NOT VALID, then VALIDATE CONSTRAINT";
      leave_out(std::move(object));
    }
  }

  void list_objects() {
    for (const SourceObject& source : catalog_.objects) {
      ObjectOutcome object;
      object.table = source.table;
      object.name = source.name;
      object.sql = source.sql;
      switch (source.kind) {
        case SourceObjectKind::view:
          object.kind = "view";
          object.reason = "views hold no rows, and their SQL is not translated";
          object.proposal = "create it by hand from its SQL";
          break;
        case SourceObjectKind::trigger:
          object.kind = "trigger";
          object.reason = "triggers are never created: they must not fire while rows arrive";
          object.proposal = "write it anew as a PL/pgSQL trigger after the move";
          break;
        case SourceObjectKind::virtual_table:
          object.kind = "table";
          object.reason = "virtual table: its rows belong to a module of SQLite";
          object.proposal =
              "copy its content into a plain table first, or rebuild it from the tables it indexes";
          break;
      }
      leave_out(std::move(object));
    }
  }

  const Catalog& catalog_;
  const std::vector<PlannedTable>& tables_;
  NameSpace& names_;
  SchemaSteps result_;
};

}  // namespace

std::string create_table_sql(const TablePlan& plan) {
  std::string sql = "CREATE TABLE " + table_name(plan) + " (";
  const char* separator = "\n  ";
  for (const ColumnPlan& column : plan.columns) {
    sql += separator + quote_identifier(column.target) + " " + std::string(name_of(column.type).sql);
    if (column.not_null) sql += " NOT NULL";
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
  std::string script = "CREATE SCHEMA IF NOT EXISTS " + quote_identifier(plan.schema) + ";\n";
  for (const TablePlan& table : plan.tables) script += "\n" + create_table_sql(table) + ";\n";
  script += "\n-- after the load\n";
  for (const StepPhase phase :
       {StepPhase::index, StepPhase::constraint, StepPhase::validate, StepPhase::finish}) {
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
