#pragma once
// A table as large as one likes in a file that takes up little: of its b-tree only the pages are written that
// must be read to plan it. The rest is a hole, which reads as zeros.

#include <cstdint>
#include <filesystem>

namespace sluice::testing {

struct HollowTable {
  std::uint64_t leaves = 2;         // pages, at least 2
  std::uint64_t rows_per_leaf = 1;  // the rowids ascend from 1 without a gap
  // Of each row. 0: the leaves belong to the hole. Otherwise they are written, with the beginnings of at most
  // 7 rows each, and the overflow pages are the hole.
  std::uint64_t overflow_pages = 0;
};

// Makes the empty table whose root is page 2 of a SQLite file, the last one of the file, such a table.
// Returns how many pages of the tree are above its leaves. REQUIRES: nobody has the file open.
std::uint64_t write_hollow_table(const std::filesystem::path& file, const HollowTable& table);

}  // namespace sluice::testing
