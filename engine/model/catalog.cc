#include "engine/model/catalog.h"

#include <algorithm>

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

}  // namespace sluice
