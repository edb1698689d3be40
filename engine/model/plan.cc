#include "engine/model/plan.h"

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

}  // namespace sluice
