#pragma once
// Where a table could be cut, read from the interior pages of its b-tree.
// Format: https://www.sqlite.org/fileformat2.html sections 1.6 (b-tree pages) and 2.1 (records).

#include "engine/model/catalog.h"
#include "io/sqlite/handle.h"

namespace sluice {

// Reads at most a few thousand interior pages, whatever the size of the table, and at most 4,096 split
// points come back. Where rows are large, some 16,000 leaves are read, too, to see how large. A table of one
// leaf page with small rows has no split points.
//
// Pages come from the main file without locks and without the WAL, so they may be old or torn, or the work
// of an attacker: then the balance suffers and nothing else. What comes back is always in ascending
// order, by SQLite's own comparison for key tuples.
//
// No split points, only bytes: WITHOUT ROWID tables in UTF-16 files, with a DESC key column, or with
// a key whose collation SQLite does not know or is not its column's; a table without a name for its rowid.
//
// REQUIRES: the connection has a read transaction open. Throws Error where that breaks; not for odd pages.
TableOutline outline_of(const SqliteConnection& connection, const SourceTable& table);

}  // namespace sluice
