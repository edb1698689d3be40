#pragma once
// Cutting a table into extents of about equal bytes.

#include <cstdint>
#include <vector>

#include "engine/model/catalog.h"
#include "engine/model/range.h"

namespace sluice {

// Extents that cover the table (see covers_table), as many as its bytes hold `range_bytes`, as far as the
// outline has places to cut. One WholeTable where there is nothing to cut by.
std::vector<Extent> cut_table(const SourceTable& table, const TableOutline& outline,
                              std::uint64_t range_bytes);

}  // namespace sluice
