#pragma once
// The ledger: what a run planned and what of it is done, kept in the target database so that it commits
// and vanishes together with the data. Schema `sluice`, tables run, run_table, work, step, failure; the
// page engine/RESUME.md describes them.
//
// Functions run on the connection given and in its transaction, if there is one.

#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "engine/model/load.h"
#include "engine/model/plan.h"
#include "io/postgres/connection.h"
#include "io/wire/buffer.h"

namespace sluice {

enum class RunState : std::uint8_t {
  loading,     // ranges or steps are left to do
  loaded,      // complete; only counted, or verification was not asked for
  verified,    // complete and equal
  rejected,    // complete, with rejected rows
  different,   // complete, but verification found differences
  superseded,  // given up for a later run
};
std::string_view name_of(RunState state);
RunState parse_run_state(std::string_view name);

struct RunRecord {
  std::string run_id;
  std::string source;
  std::string fingerprint;
  std::string plan_hash;
  std::string schema;
  RunState state = RunState::loading;
  std::string root;
  std::string started_at;
  std::string finished_at;
};

struct TableRecord {
  TableId table{};
  std::string source;
  std::string target;
  bool created = false;  // by this run, as opposed to found
  std::string plan;      // JSON; empty when an earlier sluice wrote it
  std::string root;      // of the table's tree, hex; empty before the run is complete
};

struct WorkRecord {
  TableId table{};
  RangeNumber number{};
  Extent extent;
  bool done = false;
  std::uint32_t transaction = 0;  // the low half of the xid that loaded it
  RangeSeal seal;                 // when done
  bool server_sums = false;       // the leaves of the seal have them, as we make them now
};

struct StepRecord {
  std::size_t number = 0;
  StepPhase phase = StepPhase::index;
  bool done = false;
  ObjectOutcome object;  // proposals are the plan's and stay there
  std::string sqlstate;  // of the refusal
  bool rebuild = false;  // as Step::rebuild
};

// Creates schema and tables where they are missing.
void install_ledger(Connection& connection);
// Throws Error (target_refused) when the role may not see, and says what the use takes.
enum class LedgerUse : std::uint8_t { read, write };
bool ledger_exists(Connection& connection, LedgerUse use = LedgerUse::write);
// True when there is one, of whatever version, and the role may read its runs. Never throws for a privilege.
bool ledger_is_readable(Connection& connection);
// False for one that an earlier sluice made and none of this version has written to.
bool ledger_is_current(Connection& connection);

// Oldest first. Throws Error (target_refused) for a ledger of a newer sluice: whoever reads the ledger begins
// here.
std::vector<RunRecord> list_runs(Connection& connection);

// `table_plans`: per table, as JSON, for whoever verifies later. `rebuild`: steps beyond those of the plan,
// numbered after them.
std::string insert_run(Connection& connection, const RunRecord& run, const MigrationPlan& plan,
                       const std::vector<std::string>& table_plans, const std::vector<bool>& created,
                       const std::vector<Step>& rebuild, const std::string& version);
// Does nothing to a run that was given up meanwhile, and returns false.
bool set_run_state(Connection& connection, const std::string& run_id, RunState state,
                   const std::string& root);

// The last word of a run. Its commit is synchronous and so covers all the asynchronous ones before it. Throws
// Error (commits_lost) when the ledger lacks a range or a step that was done: see refuse_lost_ranges().
// `table_roots`: per table, hex.
bool conclude_run(Connection& connection, const std::string& run_id, RunState state, const std::string& root,
                  const std::vector<std::string>& table_roots);

// Waits until no session is in the middle of a range or step of the run, and keeps new ones from beginning
// until the transaction ends. Whoever gives a run up must hold this before touching its tables.
void lock_run(Connection& connection, const std::string& run_id);

// Part of every claim: keeps lock_run out while this transaction lives. Throws Error (target_refused) when
// the run has been given up for another one or is gone.
void share_run(Connection& connection, const std::string& run_id);

// For what needs no claim, such as reading back: whether the run was given up for another one, which may have
// taken its tables away. given_up() is the error that says so.
bool is_superseded(Connection& connection, const std::string& run_id);
Error given_up();

std::vector<TableRecord> list_tables(Connection& connection, const std::string& run_id);
// Of one table, or of all of them in the order of their numbers.
std::vector<WorkRecord> list_work(Connection& connection, const std::string& run_id,
                                  std::optional<TableId> table = std::nullopt);
// Throws Error (commits_lost) when a range of the table, or of any, is not done: a server that crashed and
// came back may have lost the last asynchronous commits, and this process may have reconnected without
// noticing. What is done to a table that lacks rows would be done for good.
// `unfinished`: tables whose ranges are known to be open.
void refuse_lost_ranges(Connection& connection, const std::string& run_id,
                        std::optional<TableId> table = std::nullopt,
                        const std::vector<TableId>& unfinished = {});
// The same for steps, before one of `phase`: those of the phases before it, and for a view the views before
// it, are done, or were lost. What it needs would not be there, and the server's refusal would pass for the
// last word on it.
void refuse_lost_steps(Connection& connection, const std::string& run_id, StepPhase phase,
                       std::size_t number);
std::vector<StepRecord> list_steps(Connection& connection, const std::string& run_id);

// A run's id as a field of a binary COPY tuple.
void append_run_id(Buffer& buffer, std::string_view run_id);

// Hands over the reject records of a run, JSON objects, in order of table, range and row.
void read_failures(Connection& connection, const std::string& run_id,
                   const std::function<void(std::string_view)>& each);

// Rejected rows that have table, column, types and reason in common.
struct FailureGroup {
  std::string table;
  std::string column;
  std::string declared_type;
  std::string target_type;
  std::string storage_class;
  std::string reason;
  std::uint64_t rows = 0;
};
std::vector<FailureGroup> group_failures(Connection& connection, const std::string& run_id);

}  // namespace sluice
