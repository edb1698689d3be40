#pragma once
// The target database around the load: which run goes on, the bare tables, the steps after the load. Whether
// it is fit is for preflight.h to say.

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "engine/model/plan.h"
#include "io/postgres/connection.h"
#include "io/postgres/existing_tables.h"
#include "io/postgres/ledger.h"

namespace sluice {

// The server's write-ahead log, of all its databases: how far it is, in bytes, and what goes into it.
struct ServerLog {
  std::uint64_t written = 0;
  std::string level;  // wal_level
};
// Nothing where the server does not tell, as some services do not.
std::optional<ServerLog> server_log(Connection& connection);

struct RunRequest {
  const MigrationPlan* plan = nullptr;        // borrowed
  std::vector<std::string> create_table_sql;  // one per table of the plan
  std::vector<std::string> table_plans;       // the same, as JSON for the ledger
  std::string source;
  std::string fingerprint;  // engine/model/fingerprint.h
  std::string plan_hash;
  std::string version;
  TableHandling handling = TableHandling::fail;
  bool restart = false;  // give up an earlier run and drop the tables it created
  bool rebuild = false;  // of tables that are there: see rebuild.h
};

// What becomes of earlier runs of the source.
struct RunChoice {
  std::optional<RunRecord> resumed;   // goes on; else a new one begins
  std::optional<RunRecord> given_up;  // by --restart
};
// Only looks. Throws source_changed when an unfinished run began with another state of the file,
// target_refused when another run is in the way, usage when an unfinished run had another plan. REQUIRES:
// there is a ledger, and the role may read it.
RunChoice choose_run(Connection& connection, const RunRequest& request);

// What a run that is given up created goes with it; what it found stays and is handled as asked. Of a
// complete run only the tables that are loaded anew: the others may be in use. Names of the target.
std::vector<std::string> tables_going_with(Connection& connection, const MigrationPlan& plan,
                                           const RunRecord& run);

struct OpenRun {
  std::string run_id;
  bool resumed = false;                // an earlier run goes on
  RunState state = RunState::loading;  // of the earlier run
};

// Finds the run to go on with or begins a new one: ledger, tables, ranges and steps in one transaction,
// so that a kill leaves either all of it or nothing.
// Throws what choose_run() does, and target_refused when a table is in the way.
OpenRun open_run(Connection& connection, const RunRequest& request);

// True when the table, which the run found, has what the step would make.
bool is_there_already(Connection& connection, const TablePlan& found, const Step& step);

enum class StepRun { run, only_record };

// Runs one step together with its ledger row, where a refusal by the server is recorded; it is an outcome,
// not an exception. `found`: the step's table when the run found it instead of creating it; what such a
// table has already is not made twice. False when the step is done already or, with skip_locked, another
// session's. `settings`: SET LOCAL statements for its transaction. `unfinished`: see refuse_lost_ranges().
// With only_record the ledger has the step as done, and nothing was.
bool run_step(Connection& connection, const std::string& run_id, std::size_t number, const Step& step,
              const TablePlan* found, Claim claim, const std::string& settings = {},
              const std::vector<TableId>& unfinished = {}, StepRun how = StepRun::run);

}  // namespace sluice
