#include "engine/plan/row_key.h"

namespace sluice {

void set_row_key(TablePlan& plan, const SourceTable& source) {
  const std::vector<std::size_t> key =
      source.rowid_alias ? std::vector<std::size_t>{*source.rowid_alias} : source.primary_key();
  plan.key_columns.clear();
  for (const std::size_t place : key) {
    const ColumnPlan* column = column_at(plan, place);
    if (column == nullptr) break;
    plan.key_columns.push_back(static_cast<std::size_t>(column - plan.columns.data()));
  }
  if (key.empty() || plan.key_columns.size() < key.size()) {
    plan.key_columns.clear();
    plan.row_key = source.rowid_name.empty() ? RowKey::none : RowKey::rowid;
    return;
  }
  // Leaves in key order need the key as a bigint in the row; any other type of it is a key like others.
  const ColumnPlan& first = plan.columns[plan.key_columns.front()];
  const bool ordered = source.rowid_alias && first.type == PgType::int8 && !first.conversion.any();
  plan.row_key = ordered ? RowKey::ordered_integer : RowKey::columns;
}

}  // namespace sluice
