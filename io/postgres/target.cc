#include "io/postgres/target.h"

#include <algorithm>

#include "engine/model/quote.h"
#include "io/postgres/copy_stream.h"
#include "io/postgres/rebuild.h"

namespace sluice {
namespace {

constexpr int kServerVersionMin = 150000;

// A lock for the short steps that must not run twice at the same time: installing the ledger, beginning a
// run. Held by the transaction, so a pooler cannot strand it.
constexpr const char* kExclusive = "SELECT pg_advisory_xact_lock(hashtext('sluice'))";

void create_schema(Connection& connection, const std::string& schema) {
  if (connection.execute("SELECT 1 FROM pg_namespace WHERE nspname = $1", {schema}).rows() > 0) return;
  try {
    connection.execute("CREATE SCHEMA " + quote_identifier(schema));
  } catch (const Error& error) {
    if (error.sqlstate() != "42501") throw;
    throw Error(Fault::target_refused,
                "no privilege to create schema " + quote_identifier(schema) + ": " + error.what(),
                "run as the owner: GRANT CREATE ON DATABASE " + quote_identifier(connection.database()) +
                    " TO " + quote_identifier(connection.user()))
        .set_sqlstate(error.sqlstate());
  }
}

bool finished(RunState state) { return state != RunState::loading; }

// A later run may have filled a table that this one created and left empty: those rows are not ours to drop.
void refuse_tables_of_later_runs(Connection& connection, const RunRecord& run) {
  const Result later = connection.execute(
      "SELECT r.source, t.target FROM sluice.run r JOIN sluice.run_table t USING (run_id), sluice.run mine "
      "JOIN "
      "sluice.run_table own USING (run_id) WHERE mine.run_id = $1 AND r.run_id <> mine.run_id AND r.state <> "
      "'superseded' AND r.target_schema = mine.target_schema AND r.started_at > mine.started_at AND "
      "t.target = own.target LIMIT 1",
      {run.run_id});
  if (later.rows() == 0) return;
  throw Error(Fault::target_refused,
              "table " + quote_qualified(run.schema, later.text(0, 1)) + " was loaded from " +
                  later.text(0, 0) + " since",
              "load into another schema with --schema, or replace the tables with --table-handling drop");
}

// What a run took down and has not put back is the next one's to put back, unless its table is dropped.
void inherit_rebuilds(Connection& connection, const MigrationPlan& plan, const RunRecord& run,
                      TableHandling handling, std::vector<Step>& inherited) {
  std::vector<std::string> dropped;
  for (const TableRecord& table : list_tables(connection, run.run_id)) {
    const bool planned = std::any_of(plan.tables.begin(), plan.tables.end(),
                                     [&](const TablePlan& next) { return next.target == table.target; });
    if (handling == TableHandling::drop && planned) dropped.push_back(table.source);
  }
  std::vector<Step> open = open_rebuilds(connection, run.run_id);
  std::erase_if(open, [&](const Step& step) {
    return std::find(dropped.begin(), dropped.end(), step.object.table) != dropped.end();
  });
  inherited = merge_rebuilds(inherited, open);
}

// What an abandoned run created goes with it; what it found stays and is handled as asked. Of a complete
// run only the tables that are loaded anew: the others may be in use.
void give_up_run(Connection& connection, const MigrationPlan& plan, const RunRecord& run,
                 TableHandling handling, std::vector<Step>& inherited) {
  lock_run(connection, run.run_id);
  inherit_rebuilds(connection, plan, run, handling, inherited);
  refuse_tables_of_later_runs(connection, run);
  std::vector<std::string> created;
  for (const TableRecord& table : list_tables(connection, run.run_id)) {
    const bool planned = std::any_of(plan.tables.begin(), plan.tables.end(),
                                     [&](const TablePlan& next) { return next.target == table.target; });
    if (!table.created || (finished(run.state) && !planned)) continue;
    created.push_back(quote_qualified(plan.schema, table.target));
  }
  drop_tables(connection, created);
  set_run_state(connection, run.run_id, RunState::superseded, "");
}

// Two runs must never write to one table. A run that is under way, of whatever source, is in the way of
// tables it shares; where the tables are to be replaced, it is given up, as are earlier ones.
void give_up_runs_with_these_tables(Connection& connection, const MigrationPlan& plan, TableHandling handling,
                                    std::vector<Step>& inherited) {
  for (const RunRecord& run : list_runs(connection)) {
    if (run.state == RunState::superseded || run.schema != plan.schema) continue;
    const std::vector<TableRecord> tables = list_tables(connection, run.run_id);
    const auto shared = std::find_if(tables.begin(), tables.end(), [&](const TableRecord& table) {
      return std::any_of(plan.tables.begin(), plan.tables.end(),
                         [&](const TablePlan& planned) { return planned.target == table.target; });
    });
    if (shared == tables.end()) continue;
    if (handling != TableHandling::fail) {
      lock_run(connection, run.run_id);
      inherit_rebuilds(connection, plan, run, handling, inherited);
      set_run_state(connection, run.run_id, RunState::superseded, "");
    } else if (!finished(run.state)) {
      throw Error(Fault::target_refused,
                  "an unfinished run from " + run.source + ", begun on " + run.started_at +
                      " UTC, has table " + quote_qualified(plan.schema, shared->target),
                  "finish that run first, or replace its tables with --table-handling drop");
    }
  }
}

// `rebuild`: what runs that were given up for this one left to put back.
std::string begin_run(Connection& connection, const RunRequest& request, std::vector<Step> rebuild) {
  const MigrationPlan& plan = *request.plan;
  std::vector<bool> existing(plan.tables.size(), true);
  if (!plan.into_existing) create_schema(connection, plan.schema);
  give_up_runs_with_these_tables(connection, plan, request.handling, rebuild);
  if (plan.into_existing) {
    rebuild = merge_rebuilds(rebuild, make_way(connection, plan, request.handling, request.rebuild));
  } else {
    existing = clear_way(connection, plan, request.handling);
  }
  std::vector<bool> created(plan.tables.size());
  for (std::size_t i = 0; i < plan.tables.size(); ++i) {
    created[i] = !existing[i];
    if (existing[i]) continue;
    try {
      connection.execute(request.create_table_sql[i]);
    } catch (Error& error) {
      if (error.sqlstate() == "42501") {
        throw Error(
            Fault::target_refused,
            "no privilege to create tables in schema " + quote_identifier(plan.schema) + ": " + error.what(),
            "run as the owner: GRANT CREATE ON SCHEMA " + quote_identifier(plan.schema) + " TO " +
                quote_identifier(connection.user()))
            .set_sqlstate(error.sqlstate());
      }
      error.where().table = quoted_name(plan.tables[i]);
      throw;
    }
  }
  RunRecord record;
  record.source = request.source;
  record.fingerprint = request.fingerprint;
  record.plan_hash = request.plan_hash;
  record.schema = plan.schema;
  return insert_run(connection, record, plan, request.table_plans, created, rebuild, request.version);
}

}  // namespace

void check_readable(Connection& connection) {
  if (connection.server_version() < kServerVersionMin) {
    throw Error(Fault::target_refused,
                "the server is PostgreSQL " + std::to_string(connection.server_version() / 10000) +
                    ", and sluice needs 15 or later",
                "upgrade the server");
  }
  const ReadScope scope(connection);
  const std::string encoding = connection.execute("SELECT current_setting('server_encoding')").text(0, 0);
  if (encoding != "UTF8") {
    throw Error(Fault::target_refused, "the database's encoding is " + encoding + ", not UTF8",
                "create one with: CREATE DATABASE ... ENCODING 'UTF8' TEMPLATE template0");
  }
}

void check_server(Connection& connection) {
  check_readable(connection);
  const ReadScope scope(connection);
  const Result result =
      connection.execute("SELECT pg_is_in_recovery(), current_setting('default_transaction_read_only')");
  if (result.boolean(0, 0)) {
    throw Error(Fault::target_refused, "the server is a standby and takes no writes",
                "connect to the primary");
  }
  if (result.text(0, 1) == "on") {
    // Only a default, but somebody's wish all the same.
    throw Error(Fault::target_refused, "transactions are read-only by default on this connection",
                "unset default_transaction_read_only for this role or database");
  }
}

std::optional<ServerLog> server_log(Connection& connection) {
  const ReadScope scope(connection);
  try {
    const Result log = connection.execute(
        "SELECT pg_current_wal_insert_lsn() - '0/0'::pg_lsn, current_setting('wal_level')");
    return ServerLog{static_cast<std::uint64_t>(log.integer(0, 0)), log.text(0, 1)};
  } catch (const Error&) {
    if (!connection.alive()) throw;
    return std::nullopt;
  }
}

OpenRun open_run(Connection& connection, const RunRequest& request) {
  Transaction transaction(connection);
  connection.execute(kExclusive);
  install_ledger(connection);
  std::optional<RunRecord> same_plan;   // the newest run of this very plan
  std::optional<RunRecord> unfinished;  // the newest one that is not done, whatever its plan
  std::optional<RunRecord> newest;
  for (const RunRecord& run : list_runs(connection)) {
    if (run.source != request.source || run.schema != request.plan->schema) continue;
    if (run.state == RunState::superseded) continue;
    if (run.plan_hash == request.plan_hash) same_plan = run;
    if (!finished(run.state)) unfinished = run;
    newest = run;
  }
  std::vector<Step> rebuild;
  if (request.restart) {
    // What is meant is the run that would have gone on; without one, the last.
    const std::optional<RunRecord>& meant = unfinished ? unfinished : same_plan ? same_plan : newest;
    if (meant) give_up_run(connection, *request.plan, *meant, request.handling, rebuild);
    unfinished.reset();
    same_plan.reset();
  }
  if (unfinished && unfinished->fingerprint != request.fingerprint) {
    throw Error(Fault::source_changed,
                "the source was written to since the run began on " + unfinished->started_at + " UTC",
                "put that state of it back and go on, or load again from the beginning with --restart; with "
                "--snapshot copy --snapshot-file FILE an interrupted run goes on from a copy of its own");
  }
  if (unfinished && unfinished->plan_hash != request.plan_hash) {
    throw Error(
        Fault::usage,
        "an unfinished run of " + unfinished->started_at + " UTC has another plan (other flags or version)",
        "repeat its flags to go on, or load again from the beginning with --restart");
  }
  if (same_plan && same_plan->fingerprint == request.fingerprint) {
    // Whoever asks for the tables to be replaced after a complete run wants another one.
    const bool again = finished(same_plan->state) && request.handling != TableHandling::fail;
    if (!again) {
      transaction.commit();
      return {same_plan->run_id, true, same_plan->state};
    }
  }
  if (same_plan && request.handling == TableHandling::fail) {
    throw Error(Fault::target_refused,
                "this source was loaded on " + same_plan->started_at + " UTC and has changed since",
                "load it anew with --restart or --table-handling drop");
  }
  OpenRun run;
  run.run_id = begin_run(connection, request, std::move(rebuild));
  transaction.commit();
  return run;
}

namespace {

// Steps that only touch the catalog lock two tables each. One at a time, over all processes, or two of them
// could wait for each other.
constexpr const char* kOneConstraintAtATime = "SELECT pg_advisory_xact_lock(hashtext('sluice constraint'))";

void record_step(Connection& connection, const std::string& run_id, std::size_t number,
                 const StepRecord& record) {
  connection.execute(
      "UPDATE sluice.step SET done = true, created = $3, reason = nullif($4, ''), sqlstate = nullif($5, ''), "
      "done_at = clock_timestamp() WHERE run_id = $1 AND step_no = $2 AND NOT done",
      {run_id, std::to_string(number), record.object.created ? "t" : "f", record.object.reason,
       record.sqlstate});
}

bool claim_step(Connection& connection, const std::string& run_id, std::size_t number, Claim claim) {
  return connection
             .execute(std::string("SELECT 1 FROM sluice.step WHERE run_id = $1 AND step_no = $2 AND NOT done "
                                  "FOR UPDATE") +
                          (claim == Claim::skip_locked ? " SKIP LOCKED" : ""),
                      {run_id, std::to_string(number)})
             .rows() > 0;
}

// A refusal that says something about the object; anything else (a lost connection, a full disk) stops.
bool is_refusal(const Error& error) { return error.fault() == Fault::target_refused; }

}  // namespace

// True when the table, found by the run, has what the step would make.
bool is_there_already(Connection& connection, const TablePlan& found, const Step& step) {
  if (step.index) return has_index(connection, found, *step.index);
  if (step.object.kind != "default") return false;
  for (const ColumnPlan& column : found.columns) {
    if (column.source != step.object.name) continue;
    return connection
        .execute(
            "SELECT EXISTS (SELECT 1 FROM pg_attribute WHERE attrelid = to_regclass($1) AND attname = $2 AND "
            "atthasdef)",
            {quoted_name(found), column.target})
        .boolean(0, 0);
  }
  return false;
}

bool run_step(Connection& connection, const std::string& run_id, std::size_t number, const Step& step,
              const TablePlan* found, Claim claim, const std::string& settings) {
  StepRecord record;
  record.object = step.object;
  Transaction transaction(connection, settings);
  if (step.phase == StepPhase::constraint) connection.execute(kOneConstraintAtATime);
  share_run(connection, run_id);
  if (!claim_step(connection, run_id, number, claim)) return false;
  const bool of_one_table = step.phase == StepPhase::index && !step.rebuild;
  refuse_lost_ranges(connection, run_id, of_one_table ? std::optional(step.table) : std::nullopt);
  if (found != nullptr && is_there_already(connection, *found, step)) {
    record.object.created = true;
    record.object.reason = "was there already";
    record_step(connection, run_id, number, record);
    transaction.commit();
    return true;
  }
  // The savepoint lets a refusal leave the claim in place.
  connection.execute("SAVEPOINT step");
  try {
    connection.execute(step.sql);
    record.object.created = true;
  } catch (const Error& error) {
    if (!is_refusal(error)) throw;
    connection.execute("ROLLBACK TO SAVEPOINT step");
    record.object.reason = std::string(error.what()) + " [" + error.sqlstate() + "]";
    record.sqlstate = error.sqlstate();
    if ((found != nullptr || step.rebuild) && (error.sqlstate() == "42P07" || error.sqlstate() == "42710")) {
      record.object.created = true;
      record.object.reason = "something of that name was there already and was left as it is";
    }
    // A view outlives its run where the tables that it reads from do, or where it reads from none.
    if (step.phase == StepPhase::view && error.sqlstate() == "42P07" &&
        is_own_view(connection, run_id, step.object.name, step.sql)) {
      record.object.created = true;
      record.object.reason = "was there already";
    }
  }
  record_step(connection, run_id, number, record);
  transaction.commit();
  return true;
}

}  // namespace sluice
