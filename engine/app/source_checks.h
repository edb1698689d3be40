#pragma once
// What inspect asks of the source beside its profile: orphans, and how fast tables grow.

#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include "engine/app/console.h"
#include "engine/app/growth.h"
#include "engine/app/planning.h"
#include "engine/run/range_pipeline.h"
#include "io/sqlite/foreign_keys.h"

namespace sluice {

struct SourceChecks {
  std::map<std::string, std::vector<ForeignKeyCheck>> foreign_keys;  // by table; as SourceTable::foreign_keys
  std::vector<Growth> growths;                                       // at most one per table, by table name
};

// Rows that growth reads of one table; of bigger ones it takes evenly spread parts.
inline constexpr std::uint64_t kGrowthRowsMax = 2'000'000;

// One task per table and question, on all readers of the snapshot. Throws Error (source_unreadable,
// interrupted).
SourceChecks check_source(const PlannedSource& source, std::int32_t today, Console& console,
                          const StopRequest& stop);

}  // namespace sluice
