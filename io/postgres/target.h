#pragma once
// The target database around the load: is it fit, which run goes on, the bare tables, the steps after
// the load, and reading back.

#include <cstdint>
#include <functional>
#include <map>
#include <span>
#include <string>
#include <vector>

#include "engine/model/plan.h"
#include "io/postgres/connection.h"
#include "io/postgres/existing_tables.h"
#include "io/postgres/ledger.h"

namespace sluice {

// Throws unless the server can be loaded: version 15 or later, UTF8, not a standby.
void check_server(Connection& connection);

struct RunRequest {
  const MigrationPlan* plan = nullptr;        // borrowed
  std::vector<std::string> create_table_sql;  // one per table of the plan
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
// session's.
bool run_step(Connection& connection, const std::string& run_id, std::size_t number, const Step& step,
              const TablePlan* found, Claim claim);

// ---- reading back ----

// Blocks of the table's heap, for cutting a read-back into pieces. 0 when the table is missing.
std::uint64_t count_blocks(Connection& connection, const TablePlan& plan);

// Tuples of the blocks first <= block < last, in binary, in any order. UINT64_MAX is an open end.
void read_blocks(Connection& connection, const TablePlan& plan, std::uint64_t first, std::uint64_t last,
                 const std::function<void(std::span<const std::byte>)>& each);

std::uint64_t count_rows(Connection& connection, const TablePlan& plan);

// Rows per transaction that wrote them: tells which range a missing or changed row belonged to, even in
// tables whose rows carry no key.
std::map<std::uint32_t, std::uint64_t> rows_by_transaction(Connection& connection, const TablePlan& plan);

}  // namespace sluice
