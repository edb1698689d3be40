#include "engine/plan/mapping.h"

#include <algorithm>

#include "engine/model/quote.h"

namespace sluice {

const TableMapping* Mapping::table(std::string_view name) const {
  const auto found = std::find_if(tables.begin(), tables.end(), [&](const TableMapping& mapping) {
    return fold_ascii(mapping.table) == fold_ascii(name);
  });
  return found == tables.end() ? nullptr : &*found;
}

const ColumnMapping* find_column(const TableMapping* table, std::string_view name) {
  if (table == nullptr) return nullptr;
  const auto found = std::find_if(
      table->columns.begin(), table->columns.end(),
      [&](const ColumnMapping& mapping) { return fold_ascii(mapping.column) == fold_ascii(name); });
  return found == table->columns.end() ? nullptr : &*found;
}

}  // namespace sluice
