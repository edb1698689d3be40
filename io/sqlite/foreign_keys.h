#pragma once
// Rows whose foreign key names no row: orphans. SQLite lets them in unless each connection asks it not to, so
// they are common.
//
// PRAGMA foreign_key_check gives up on a whole table when one of its keys is ill-defined, and without a table
// on the whole file. So each key is asked for on its own, by a query that compares as SQLite's own check
// does: with the affinity and the collation of the parent's column. tests/unit holds it against the pragma.

#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

#include "engine/model/catalog.h"
#include "io/sqlite/handle.h"

namespace sluice {

struct ForeignKeyCheck {
  std::size_t key = 0;        // index into SourceTable::foreign_keys
  std::uint64_t orphans = 0;  // rows whose key has no NULL and no row in the parent
  // Of the first few, in b-tree order; none without a name for the rowid.
  std::vector<std::int64_t> rowids;
  // Why there is nothing to check against: no such parent, a view, columns that are no key. Empty otherwise.
  // Without the parent every key without NULL counts as an orphan, as for SQLite; else the count is 0.
  std::string reason;
};

inline constexpr std::size_t kOrphanExamples = 3;

// One entry for every foreign key of the table, in its order. Reads the whole table once per key; constant
// memory. REQUIRES: a read transaction. Throws Error (source_unreadable) with where().table.
std::vector<ForeignKeyCheck> check_foreign_keys(const SqliteConnection& connection, const Catalog& catalog,
                                                const SourceTable& table);

}  // namespace sluice
