#pragma once
// A few pages of the main file, as evidence that two files which look alike from outside are alike.

#include <string>

#include "io/sqlite/handle.h"

namespace sluice {

// 16 hex digits: FNV-1a, 64 bits (http://www.isthe.com/chongo/tech/comp/fnv/), over the first page, the head
// of the list of free pages, and 16 pages evenly spread, the last one included; of a smaller file all pages.
// A hundred gigabytes cost as much as a hundred pages: some milliseconds where none of them is in memory.
// "none" for a file without a page.
//
// Nothing is locked: while somebody writes or a checkpoint runs, it may be of no state at all.
std::string page_sample(const DatabaseFile& file, const DatabaseHeader& header);

}  // namespace sluice
