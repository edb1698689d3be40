#pragma once
// Both sides as leaves, and which of them differ: the upper half of a comparison. The lower half, which rows,
// is engine/app/differences.h.

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "engine/app/console.h"
#include "engine/app/table_read_back.h"
#include "engine/model/plan.h"
#include "engine/run/range_pipeline.h"
#include "engine/run/retries.h"
#include "io/postgres/connection.h"
#include "io/postgres/ledger.h"
#include "io/sqlite/snapshot.h"
#include "verify/leaves.h"

namespace sluice {

// ---- the source ----

// One table, from the ledger's rows of its ranges.
TableLeaves leaves_from_ledger(const TablePlan& plan, const std::vector<const WorkRecord*>& ranges);

// A row that the target's types cannot hold, so that it cannot be there.
struct UnfitRow {
  std::size_t table = 0;
  std::string key;  // as JSON
  std::string column;
  std::string reason;
};

struct ScannedSource {
  std::vector<TableLeaves> leaves;   // per table
  std::vector<std::uint64_t> unfit;  // per table: rows that no leaf has
  std::vector<UnfitRow> unfit_rows;  // the first of them
};

// Reads every row of the tables, with the server's hashes where `server_hashes` and the table's types allow.
// Each plan's extents must cover its table. Nothing when stopped.
std::optional<ScannedSource> scan_source(Snapshot& snapshot, const std::vector<TablePlan>& tables,
                                         bool server_hashes, std::size_t unfit_rows_max, Console& console,
                                         const StopRequest& stop);

// ---- the target ----

struct ComparisonWork {
  const std::vector<TablePlan>* tables = nullptr;    // borrowed, as all of these
  const std::vector<TableLeaves>* source = nullptr;  // per table
  // Per table: its leaves have the server's sums. Empty: none has.
  std::vector<bool> server_sums;
  std::vector<Connection*> connections;  // one per lane; each reads alone
  Retries* retries = nullptr;
  // Before a lane reads again what has failed: its connection may lead to another server now. May be empty.
  std::function<void(std::size_t lane)> before_reading_again;
  VerifyMode mode = VerifyMode::full;  // not none
  double sample_percent = 100;
  std::uint64_t sample_seed = 0;
};

// Looks at every table of the target over all connections. Nothing when stopped.
std::vector<TableComparison> compare_target(const ComparisonWork& work, Console& console,
                                            const StopRequest& stop);

// Reads some leaves of one table anew, after a repair, and returns those that still differ, with the target's
// rows in each; nothing when stopped. `leaves`: ascending. What is read is tried again by `retries`.
struct LeavesLeft {
  std::vector<std::size_t> differing;
  std::vector<std::uint64_t> rows;
};
std::optional<LeavesLeft> compare_leaves(const std::vector<Connection*>& connections, const TablePlan& plan,
                                         const TableLeaves& source, const std::vector<std::size_t>& leaves,
                                         Retries& retries, const StopRequest& stop);

// Which ranges of a load a difference concerns, and the numbers, on one line.
struct DescribedDifference {
  std::string text;
  std::size_t ranges = 1;  // 1 for rows that no range loaded, and where only rows were counted
};
DescribedDifference describe_difference(Connection& connection, const TablePlan& plan,
                                        const std::vector<const WorkRecord*>& ranges,
                                        const TableLeaves& source, const TableComparison& comparison);

}  // namespace sluice
