#include "engine/model/plan.h"

#include <algorithm>
#include <utility>

#include "engine/model/quote.h"

namespace sluice {

std::string quoted_name(const TablePlan& plan) { return quote_qualified(plan.schema, plan.target); }

std::string quoted_columns(const TablePlan& plan) {
  std::string list;
  for (const ColumnPlan& column : plan.columns) {
    if (!list.empty()) list += ", ";
    list += quote_identifier(column.target);
  }
  return list;
}

std::size_t sent_columns(const TablePlan& plan) {
  const auto generated = [](const ColumnPlan& column) { return !column.generated_as.empty(); };
  return static_cast<std::size_t>(std::find_if(plan.columns.begin(), plan.columns.end(), generated) -
                                  plan.columns.begin());
}

std::string selected_columns(const TablePlan& plan) {
  std::string list;
  for (const ColumnPlan& column : plan.columns) {
    const std::string name = quote_identifier(column.target);
    list += (list.empty() ? "" : ", ") + (column.compared_as_text ? printed_form(name) : name);
  }
  return list;
}

std::string printed_form(const std::string& column) {
  return "CASE WHEN " + column + " IS NOT NULL THEN format('%s', " + column + ") END";
}

std::string quoted_sent_columns(const TablePlan& plan) {
  std::string list;
  for (std::size_t i = 0; i < sent_columns(plan); ++i) {
    if (!list.empty()) list += ", ";
    list += quote_identifier(plan.columns[i].target);
  }
  return list;
}

bool is_key_column(const TablePlan& plan, std::size_t column) {
  return std::find(plan.key_columns.begin(), plan.key_columns.end(), column) != plan.key_columns.end();
}

const ColumnPlan* column_at(const TablePlan& plan, std::size_t place) {
  const auto found = std::find_if(plan.columns.begin(), plan.columns.end(),
                                  [&](const ColumnPlan& column) { return column.place == place; });
  return found == plan.columns.end() ? nullptr : &*found;
}

const ColumnPlan* find_column(const TablePlan& plan, std::string_view source) {
  const auto found = std::find_if(plan.columns.begin(), plan.columns.end(),
                                  [&](const ColumnPlan& column) { return same_name(column.source, source); });
  return found == plan.columns.end() ? nullptr : &*found;
}

ColumnPlan* find_column(TablePlan& plan, std::string_view source) {
  return const_cast<ColumnPlan*>(find_column(std::as_const(plan), source));
}

ObjectOutcome outcome_of(const TablePlan& table, const ColumnPlan& column) {
  ObjectOutcome object;
  object.kind = "column";
  object.table = table.source;
  object.name = column.source;
  object.created = true;
  object.reason = column.remark;
  return object;
}

const std::string& shown_name(const ColumnPlan& column) {
  return column.added ? column.target : column.source;
}

std::string type_of(const ColumnPlan& column) {
  return column.type_name.empty() ? sql_of(column.type, column.modifier) : column.type_name;
}

std::string choose_another_schema(const MigrationPlan& plan) {
  return plan.archived ? "export the source for another schema (sluice export --schema)"
                       : "load into another schema with --schema";
}

}  // namespace sluice
