#pragma once
// Tables that PostgreSQL cannot hold because they are too wide: 1,600 columns, and rows that must fit a page
// of 8 kB after every long value has moved out of line. Pure.

#include <cstddef>
#include <string>
#include <vector>

#include "engine/model/facts.h"
#include "engine/model/finding.h"
#include "engine/model/plan.h"

namespace sluice {

inline constexpr std::size_t kTableColumnsMax = 1600;
inline constexpr std::size_t kIndexColumnsMax = 32;
// What a page of 8,192 bytes leaves for one row with its header.
inline constexpr std::size_t kRowBytesMax = 8160;

// The bytes of a row in its page: header, bitmap of NULLs, values with their alignment.
struct RowWidth {
  std::size_t columns = 0;
  std::size_t bytes_least = 0;  // every column with no NULL anywhere, each as short as it can be
  std::size_t bytes_longest =
      0;  // every column that has a value, each as long as its longest, or out of line
};
// `facts` may be null: then nothing is known of the values, and bytes_least counts the NOT NULL columns.
RowWidth width_of(const TablePlan& plan, const TableFacts* facts);

// What certainly fails, as soon as the table has a row. Empty for every other table.
std::vector<Finding> find_too_wide(const TablePlan& plan, const TableFacts* facts);

// For tables of which a row may fail, and none need: a remark; else empty.
std::string why_perhaps_too_wide(const TablePlan& plan, const TableFacts* facts);

}  // namespace sluice
