#pragma once
// Rows of a table from the pages of its b-tree, without SQLite's virtual machine, which takes two thirds of
// the time of a scan.

#include <cstddef>
#include <memory>

#include "engine/model/load.h"
#include "engine/model/row_memory.h"
#include "io/sqlite/handle.h"

namespace sluice {

// A scan that delivers exactly what one through SQL would. Null where pages cannot be read so: without a read
// transaction, with anything in the write-ahead log, for texts that are not UTF-8, tables without rowid,
// virtual tables, virtual generated columns, and where no name of the rowid is left to go on with by SQL.
//
// A record that this reader does not expect is left to SQLite: `through_sql` gets the rest of the extent, and
// SQLite alone judges. A tree that is not in order is an Error (source_unreadable) here: SQLite would deliver
// its rows, or miss some, depending on where a range begins.
//
// `memory`: where large rows borrow; may be null. With it, a row is in memory once, and only from one call of
// next() to the next.
//
// All that is passed must outlive the scan. One thread at a time.
using ScanThroughSql = std::unique_ptr<Scan> (*)(const SqliteConnection&, const TablePlan&, const Extent&,
                                                 RowMemory*);
std::unique_ptr<Scan> scan_pages(const SqliteConnection& connection, const TablePlan& plan,
                                 const Extent& extent, ScanThroughSql through_sql,
                                 RowMemory* memory = nullptr);

}  // namespace sluice
