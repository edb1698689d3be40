#pragma once
// Rows and tuples like those of the reference load (datasets/three_tables.cc), for every benchmark that
// needs whole ones.

#include <cstddef>
#include <span>
#include <vector>

#include "engine/model/cell.h"
#include "engine/model/plan.h"
#include "io/wire/buffer.h"

namespace sluice::bench {

// A plan and a run of rows for it, whose ids ascend from 1. The cells borrow from the program's constants.
struct SampleTable {
  TablePlan plan;
  std::vector<std::vector<Cell>> rows;
};

// 1024 rows: more than a branch predictor learns by heart, little enough for the first-level caches to play
// the part they play in a load, where rows come hot from SQLite.
SampleTable orders_table();  // 9 columns, three of them sometimes NULL, text up to 140 bytes
SampleTable events_table();  // 6 columns, among them a JSON document of about 130 bytes

// The tuples of the rows, one after the other.
struct SampleTuples {
  Buffer bytes;
  std::vector<std::size_t> ends;

  [[nodiscard]] std::span<const std::byte> tuple(std::size_t index) const {
    const std::size_t start = index == 0 ? 0 : ends[index - 1];
    return bytes.span().subspan(start, ends[index] - start);
  }
};
SampleTuples tuples_of(const SampleTable& table);

}  // namespace sluice::bench
