#pragma once
// Reading the rows of a table, or of a part of it, as borrowed cells.

#include <memory>
#include <string>

#include "engine/model/load.h"
#include "engine/model/row_memory.h"
#include "io/sqlite/handle.h"

namespace sluice {

// A Source on one connection, which must outlive it and have a read transaction open for as long as
// several scans are to see one state. One thread and one scan at a time.
//
// Rows come in b-tree order: by rowid, or by primary key in a WITHOUT ROWID table. Always from the table
// itself: a secondary index may be corrupt, or in an order that an unknown collation defines. Scans
// throw Error (source_unreadable) with where().table filled in.
//
// `memory`: where large rows borrow; borrowed itself, and may be null.
class TableSource final : public Source {
 public:
  explicit TableSource(const SqliteConnection& connection, RowMemory* memory = nullptr);
  std::unique_ptr<Scan> scan(const TablePlan& plan, const Extent& extent) override;

 private:
  const SqliteConnection* connection_;
  RowMemory* memory_;
};

// A scan through SQL, whatever the table. TableSource reads the pages themselves where it can (page_scan.h);
// the two deliver the same, and tests hold one against the other.
//
// SQLite has a row in memory before anyone can ask for its size, and keeps the largest value of each column
// to the end of a scan. So with `memory` the first large row borrows all of it for the rest of the scan.
// Virtual tables, which read by statements of their own, borrow nothing.
std::unique_ptr<Scan> scan_through_sql(const SqliteConnection& connection, const TablePlan& plan,
                                       const Extent& extent, RowMemory* memory = nullptr);

// The query behind a scan, with a parameter for every bound. Throws Error (internal) for an extent that
// does not fit the table.
std::string scan_query(const SqliteConnection& connection, const TablePlan& plan, const Extent& extent);

}  // namespace sluice
