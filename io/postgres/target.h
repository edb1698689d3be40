#pragma once
// The target database around the load: is it fit, which run goes on, the bare tables, the steps after the
// load.

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "engine/model/plan.h"
#include "io/postgres/connection.h"
#include "io/postgres/existing_tables.h"
#include "io/postgres/ledger.h"

namespace sluice {

// Throws unless the server can be compared with: version 15 or later, UTF8.
void check_readable(Connection& connection);
// Throws unless it can be loaded, too: no standby, not read-only.
void check_server(Connection& connection);

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
  std::string fingerprint;
  std::string plan_hash;
  std::string version;
  TableHandling handling = TableHandling::fail;
  bool restart = false;  // give up an earlier run and drop the tables it created
  bool rebuild = false;  // of tables that are there: see rebuild.h
};

struct OpenRun {
  std::string run_id;
  bool resumed = false;                // an earlier run goes on
  RunState state = RunState::loading;  // of the earlier run
};

// Finds the run to go on with or begins a new one: ledger, tables, ranges and steps in one transaction,
// so that a kill leaves either all of it or nothing.
// Throws source_changed when an unfinished run began with another state of the file, target_refused when
// a table is in the way, usage when an unfinished run had another plan.
OpenRun open_run(Connection& connection, const RunRequest& request);

// Runs one step together with its ledger row, where a refusal by the server is recorded; it is an outcome,
// not an exception. `found`: the step's table when the run found it instead of creating it; what such a
// table has already is not made twice. False when the step is done already or, with skip_locked, another
// session's. `settings`: SET LOCAL statements for its transaction. `unfinished`: see refuse_lost_ranges().
bool run_step(Connection& connection, const std::string& run_id, std::size_t number, const Step& step,
              const TablePlan* found, Claim claim, const std::string& settings = {},
              const std::vector<TableId>& unfinished = {});

}  // namespace sluice
