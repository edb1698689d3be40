#pragma once
// Everything between the beginning of a run and its last word, as one graph of jobs over lanes: ranges, then
// per table its indexes and its verification while other tables still load, then keys, validations and views.

#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "engine/app/console.h"
#include "engine/app/damage.h"
#include "engine/app/explain.h"
#include "engine/app/metrics.h"
#include "engine/app/options.h"
#include "engine/app/table_read_back.h"
#include "engine/model/plan.h"
#include "engine/run/phase_clock.h"
#include "engine/run/range_pipeline.h"
#include "engine/run/retries.h"
#include "io/postgres/connection.h"
#include "io/postgres/ledger.h"
#include "io/postgres/range_sink.h"
#include "verify/leaves.h"

namespace sluice {

struct ExecutionWork {
  const MigrationPlan* plan = nullptr;  // borrowed, as all of these
  std::vector<Source*> sources;         // one per reader
  std::string run_id;
  // Per table: its plan when the run found it, null when it created it.
  std::vector<const TablePlan*> found;
  std::vector<Connection*> connections;  // one per lane
  std::size_t jobs = 1;                  // ranges, or pieces of a read-back, at the same time
  std::size_t index_jobs = 1;            // indexes, or validations, at the same time
  bool analyze = true;                   // false: statistics are left to autovacuum
  VerifyMode verify = VerifyMode::full;
  RangeSinkOptions sink;
  Retries* retries = nullptr;
  // Tables that cannot be read to their end: what is known already, and what is found. They get no further
  // than their last range.
  Damage* damage = nullptr;
  RunMetrics* metrics = nullptr;
};

struct ExecutedTable {
  std::vector<WorkRecord> ranges;
  std::optional<TableLeaves> leaves;
  std::optional<TableComparison> comparison;  // not with VerifyMode::none
  // Of `ranges`, for those who take ranges of several tables.
  [[nodiscard]] std::vector<const WorkRecord*> range_pointers() const;
  double load_seconds = 0;  // from its first range's begin to its last one's commit, in this call
};

struct Executed {
  bool finished = false;  // false: stopped before the end
  // Per table of the plan; complete when finished, but for those that are damaged.
  std::vector<ExecutedTable> tables;
  PhaseUse load;
  PhaseUse indexes;
  PhaseUse constraints;  // keys, validations, defaults, ANALYZE, views
  PhaseUse verify;
  std::size_t tables_frozen = 0;
};

// Runs to the end, or until stopped. Throws what the first failing job threw; `executed` has the times in any
// case.
void execute(const ExecutionWork& work, Console& console, const StopRequest& stop, Executed& executed);

// How many lanes the work could use at the same time.
std::size_t lanes_wanted(const MigrationPlan& plan, std::size_t jobs, std::size_t index_jobs);

}  // namespace sluice
