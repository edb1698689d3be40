#pragma once
// How many of a table's values fit the types they might become. The judge is the encoder itself, so what
// is found to fit here is what will be sent.

#include <cstdint>
#include <vector>

#include "engine/model/cell.h"
#include "engine/model/pg_type.h"
#include "io/wire/buffer.h"

namespace sluice {

// One thread at a time; merge() what several found.
class TypeFit {
 public:
  // Per column of the row, the types to try; none: the column is not looked at.
  explicit TypeFit(std::vector<std::vector<PgType>> candidates);

  // REQUIRES: at least as many cells as there are columns.
  void add(Row row);
  void merge(const TypeFit& other);

  // Values other than NULL that the candidate does not take.
  [[nodiscard]] std::uint64_t misfits(std::size_t column, std::size_t candidate) const {
    return misfits_[column][candidate];
  }
  // Values other than NULL.
  [[nodiscard]] std::uint64_t values(std::size_t column) const { return values_[column]; }

 private:
  std::vector<std::vector<PgType>> candidates_;
  std::vector<std::vector<std::uint64_t>> misfits_;
  std::vector<std::uint64_t> values_;
  Buffer scratch_;
};

}  // namespace sluice
