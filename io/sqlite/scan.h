#pragma once
// Reading the rows of a table, or of a part of it, as borrowed cells.

#include <memory>
#include <string>

#include "engine/model/load.h"
#include "io/sqlite/handle.h"

namespace sluice {

// A Source on one connection, which must outlive it and have a read transaction open for as long as
// several scans are to see one state. One thread and one scan at a time.
//
// Rows come in b-tree order: by rowid, or by primary key in a WITHOUT ROWID table. Always from the table
// itself: a secondary index may be corrupt, or in an order that an unknown collation defines. Scans
// throw Error (source_unreadable) with where().table filled in.
class TableSource final : public Source {
 public:
  explicit TableSource(const SqliteConnection& connection);
  std::unique_ptr<Scan> scan(const TablePlan& plan, const Extent& extent) override;

 private:
  const SqliteConnection* connection_;
};

// A scan through SQL, whatever the table. TableSource reads the pages themselves where it can (page_scan.h);
// the two deliver the same, and tests hold one against the other.
std::unique_ptr<Scan> scan_through_sql(const SqliteConnection& connection, const TablePlan& plan,
                                       const Extent& extent);

// The query behind a scan, with a parameter for every bound. Throws Error (internal) for an extent that
// does not fit the table.
std::string scan_query(const SqliteConnection& connection, const TablePlan& plan, const Extent& extent);

}  // namespace sluice
