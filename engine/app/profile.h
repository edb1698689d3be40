#pragma once
// Looking at every value before the first row moves. Each function is one scan of what it needs, with all
// readers of the snapshot, and throws Error (interrupted) when stopped, (source_unreadable) when the file is.

#include <cstdint>
#include <string>
#include <vector>

#include "engine/app/console.h"
#include "engine/app/damage.h"
#include "engine/model/facts.h"
#include "engine/model/plan.h"
#include "engine/plan/planner.h"
#include "engine/run/phase_clock.h"
#include "engine/run/range_pipeline.h"
#include "io/sqlite/snapshot.h"
#include "io/wire/type_table.h"

namespace sluice {

// With `damage`, what cannot be read of a table is noted there and the rest is looked at; without, it is
// thrown. So below, too.

// The facts of every planned column of every planned table. What SQLite guarantees is not read at all: the
// columns of a STRICT table that are declared INT, INTEGER, REAL or BLOB and planned as what they are. The
// planned type decides which columns have the form of every text examined (see io/wire/column_profile.h), and
// nothing else: that a plan widens a column does not change its facts. The same plan gives the same facts,
// examples included.
SourceFacts profile_source(Snapshot& snapshot, const MigrationPlan& plan, Console& console,
                           const StopRequest& stop, PhaseClock* clock = nullptr, Damage* damage = nullptr);

// Values that their planned column does not take, conversions and modifiers included. The judge is the
// encoder.
struct PlannedMisfit {
  std::string table;  // of the source, as the next
  std::string column;
  std::uint64_t rows = 0;
  Misfit reason = Misfit::none;  // of the first row, in the order of the key
  std::string key;               // of the same: "id = 17"
};

struct PlannedColumn {
  std::string table;  // of the source
  std::string column;
};

// Columns with misfits, by table and column of the plan. Only the tables of `columns` are read.
std::vector<PlannedMisfit> find_misfits(Snapshot& snapshot, const MigrationPlan& plan,
                                        const std::vector<PlannedColumn>& columns, Console& console,
                                        const StopRequest& stop, PhaseClock* clock = nullptr,
                                        Damage* damage = nullptr);
// Of the columns that have a conversion, a modifier or a type of the target's own: what the facts cannot
// tell.
std::vector<PlannedMisfit> find_misfits(Snapshot& snapshot, const MigrationPlan& plan, Console& console,
                                        const StopRequest& stop, PhaseClock* clock = nullptr,
                                        Damage* damage = nullptr);

// Values of columns that an offload drops, and which are no file that it could put anywhere: they would be
// gone. Only tables with such columns are read.
std::vector<PlannedMisfit> find_lost_files(Snapshot& snapshot, const MigrationPlan& plan, Console& console,
                                           const StopRequest& stop, PhaseClock* clock = nullptr,
                                           Damage* damage = nullptr);

// Enough for a scan of four million keys.
inline constexpr std::uint64_t kKeyDigestBytes = std::uint64_t{64} << 20;

// The primary keys and UNIQUE indexes (neither partial nor on expressions) of which two rows that SQLite
// tells apart would be equal in the target. Most keys are acquitted by the facts alone; of the others the key
// columns are scanned and their digests counted, holding about `memory_max` bytes of them at a time: a larger
// key takes several scans. Rows that do not fit their columns, or have a NULL in the key, collide with none.
std::vector<KeyCollision> find_key_collisions(Snapshot& snapshot, const MigrationPlan& plan,
                                              const SourceFacts& facts, Console& console,
                                              const StopRequest& stop,
                                              std::uint64_t memory_max = kKeyDigestBytes,
                                              PhaseClock* clock = nullptr, Damage* damage = nullptr);
// False when the facts show that different values of the column stay different under its planned type.
bool may_collide(const ColumnPlan& column, const ColumnFacts& facts);

}  // namespace sluice
