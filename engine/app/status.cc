#include "engine/app/status.h"

#include <fmt/format.h>

#include <algorithm>
#include <iostream>

#include "engine/app/console.h"
#include "engine/app/endpoints.h"
#include "engine/app/objects.h"
#include "engine/app/printable.h"
#include "engine/app/report.h"
#include "io/postgres/ledger.h"
#include "io/postgres/repair.h"

namespace sluice {
namespace {

struct TableState {
  std::size_t ranges = 0;
  std::size_t ranges_done = 0;
  std::uint64_t rows = 0;
  std::uint64_t rejected = 0;
  std::uint64_t bytes = 0;
  double seconds = 0;  // of all lanes together
};

void print_run(Connection& connection, const RunRecord& run) {
  std::cout << fmt::format("run {}  {}\n  source {}\n  schema {}, began {} UTC{}\n", run.run_id,
                           name_of(run.state), printable(run.source), printable(run.schema), run.started_at,
                           run.finished_at.empty() ? "" : ", ended " + run.finished_at + " UTC");
  if (!run.root.empty()) std::cout << "  root " << run.root << "\n";
  if (run.state == RunState::loading) {
    std::cout << "  not finished: it is under way, or the same command goes on with it\n";
  }
  const std::vector<TableRecord> tables = list_tables(connection, run.run_id);
  std::vector<TableState> states(tables.size());
  for (const WorkRecord& work : list_work(connection, run.run_id)) {
    TableState& state = states.at(static_cast<std::size_t>(work.table));
    ++state.ranges;
    if (!work.done) continue;
    ++state.ranges_done;
    state.rows += work.seal.rows_loaded;
    state.rejected += work.seal.rows_rejected;
    state.bytes += work.seal.bytes;
    state.seconds += work.seal.seconds;
  }
  std::cout << fmt::format("  {:<32}  {:>11}  {:>13}  {:>9}  {:>10}  {:>12}  {}\n", "table", "ranges", "rows",
                           "rejected", "bytes", "rows/s", "root");
  for (std::size_t i = 0; i < tables.size(); ++i) {
    const TableState& state = states[i];
    const double rate = state.seconds > 0 ? static_cast<double>(state.rows) / state.seconds : 0;
    std::cout << fmt::format("  {:<32}  {:>5}/{:<5}  {:>13}  {:>9}  {:>10}  {:>12}  {}\n",
                             printable(tables[i].source), state.ranges_done, state.ranges,
                             human_count(state.rows), human_count(state.rejected), human_bytes(state.bytes),
                             human_count(static_cast<std::uint64_t>(rate)),
                             tables[i].root.empty() ? "-" : tables[i].root);
  }
  const std::vector<StepRecord> steps = list_steps(connection, run.run_id);
  const auto done =
      std::count_if(steps.begin(), steps.end(), [](const StepRecord& step) { return step.done; });
  std::cout << fmt::format("  steps after the load: {} of {} done\n", done, steps.size());
  for (const ObjectOutcome& object : objects_of_steps(steps)) {
    if (!object.created) std::cout << "  not created: " << printable(describe(object)) << "\n";
    if (object.created && !object.reason.empty())
      std::cout << "  created, but: " << printable(describe(object)) << "\n";
  }
  for (const StepRecord& step : steps) {
    if (!step.rebuild || step.done) continue;
    std::cout << fmt::format("  to be put back: {} {} of {}: {}\n", step.object.kind,
                             printable(step.object.name), printable(step.object.table),
                             printable(step.object.sql));
  }
  for (const FailureGroup& group : group_failures(connection, run.run_id)) {
    std::cout << fmt::format("  rejected: {} of {}: column {}: {}\n", counted(group.rows, "row"),
                             printable(group.table), printable(group.column), printable(group.reason));
  }
}

}  // namespace

int status(const StatusOptions& options) {
  const TargetEndpoint endpoint = open_target(options.target, LocalTarget::must_exist);
  Connection connection(endpoint.conninfo);
  Console console(ProgressMode::none);
  warn_of_plain_text(connection, console);
  if (!ledger_exists(connection, LedgerUse::read)) {
    std::cout << "no run of sluice in database " << connection.database() << "\n";
  } else {
    std::vector<RunRecord> runs = list_runs(connection);
    std::reverse(runs.begin(), runs.end());  // the last one is what people look for
    for (const RepairSummary& repair : list_repairs(connection)) {
      std::cout << fmt::format("repair {}  {}.{} from {}, {} UTC: {} deleted, {} inserted, in {}\n",
                               repair.repair_id, printable(repair.schema), printable(repair.target),
                               printable(repair.source), repair.at, counted(repair.rows_deleted, "row"),
                               counted(repair.rows_inserted, "row"), counted(repair.leaves, "transaction"));
    }
    for (const RunRecord& run : runs) {
      if (run.state == RunState::superseded) {
        std::cout << fmt::format("run {}  superseded\n  source {}, schema {}, began {} UTC\n", run.run_id,
                                 printable(run.source), printable(run.schema), run.started_at);
      } else {
        print_run(connection, run);
      }
    }
  }
  if (endpoint.local && endpoint.local->started) {
    std::cout << "the server was started to ask it; stop it: " << endpoint.local->stop_command << "\n";
  }
  return 0;
}

}  // namespace sluice
