#include "engine/model/catalog.h"

#include <algorithm>

#include "engine/model/quote.h"

namespace sluice {

std::vector<std::size_t> SourceTable::primary_key() const {
  std::vector<std::size_t> key;
  for (std::size_t i = 0; i < columns.size(); ++i) {
    if (columns[i].key_position > 0) key.push_back(i);
  }
  std::sort(key.begin(), key.end(), [this](std::size_t left, std::size_t right) {
    return columns[left].key_position < columns[right].key_position;
  });
  return key;
}

const SourceTable* find_table(const Catalog& catalog, std::string_view name) {
  const auto found = std::find_if(catalog.tables.begin(), catalog.tables.end(),
                                  [&](const SourceTable& table) { return same_name(table.name, name); });
  return found == catalog.tables.end() ? nullptr : &*found;
}

const SourceColumn* find_column(const SourceTable& table, std::string_view name) {
  const auto found = std::find_if(table.columns.begin(), table.columns.end(),
                                  [&](const SourceColumn& column) { return same_name(column.name, name); });
  return found == table.columns.end() ? nullptr : &*found;
}

}  // namespace sluice
