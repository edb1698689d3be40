#include "io/wire/type_fit.h"

#include <cassert>
#include <utility>

#include "io/wire/type_table.h"

namespace sluice {

TypeFit::TypeFit(std::vector<std::vector<PgType>> candidates)
    : candidates_(std::move(candidates)), values_(candidates_.size()) {
  for (const std::vector<PgType>& types : candidates_) misfits_.emplace_back(types.size());
}

void TypeFit::add(Row row) {
  assert(row.size() >= candidates_.size());
  for (std::size_t column = 0; column < candidates_.size(); ++column) {
    const std::vector<PgType>& types = candidates_[column];
    if (types.empty() || row[column].is_null()) continue;
    ++values_[column];
    for (std::size_t candidate = 0; candidate < types.size(); ++candidate) {
      scratch_.clear();
      const Misfit misfit = row_of(types[candidate]).encode(row[column], scratch_);
      if (misfit != Misfit::none) ++misfits_[column][candidate];
    }
  }
}

void TypeFit::merge(const TypeFit& other) {
  assert(candidates_ == other.candidates_);
  for (std::size_t column = 0; column < candidates_.size(); ++column) {
    values_[column] += other.values_[column];
    for (std::size_t candidate = 0; candidate < candidates_[column].size(); ++candidate) {
      misfits_[column][candidate] += other.misfits_[column][candidate];
    }
  }
}

}  // namespace sluice
