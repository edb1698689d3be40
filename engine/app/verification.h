#pragma once
// Reading the target back and comparing it with the ledger.

#include <memory>
#include <string>
#include <vector>

#include "engine/app/console.h"
#include "engine/model/plan.h"
#include "engine/run/range_pipeline.h"
#include "io/postgres/connection.h"
#include "io/postgres/ledger.h"
#include "verify/leaves.h"

namespace sluice {

struct TableVerdict {
  bool equal = false;
  std::uint64_t rows_target = 0;
  // Where it differs, one line each: table, ranges, rows expected and found.
  std::vector<std::string> differences;
};

// The source side of one table, from the ledger's rows of its ranges.
TableLeaves leaves_from_ledger(const TablePlan& plan, const std::vector<const WorkRecord*>& ranges);

struct VerificationWork {
  const MigrationPlan* plan = nullptr;                                    // borrowed
  const std::vector<TableLeaves>* source = nullptr;                       // per table
  std::vector<std::vector<const WorkRecord*>> ranges;                     // per table, in range order
  const std::vector<std::unique_ptr<Connection>>* connections = nullptr;  // one per lane
};

// Reads every table back over all connections and compares leaf by leaf. Nothing when stopped.
std::vector<TableVerdict> verify_full(const VerificationWork& work, Console& console,
                                      const StopRequest& stop);

// Compares row counts alone.
std::vector<TableVerdict> verify_counts(const VerificationWork& work, const StopRequest& stop);

}  // namespace sluice
