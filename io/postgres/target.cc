#include "io/postgres/target.h"

#include <algorithm>

#include "engine/model/failpoint.h"
#include "engine/model/fingerprint.h"
#include "engine/model/quote.h"
#include "io/postgres/copy_stream.h"
#include "io/postgres/rebuild.h"

namespace sluice {
namespace {

// A lock for the short steps that must not run twice at the same time: installing the ledger, beginning a
// run. Held by the transaction, so a pooler cannot strand it.
constexpr const char* kExclusive = "SELECT pg_advisory_xact_lock(hashtext('sluice'))";

void create_schema(Connection& connection, const std::string& schema) {
  if (connection.execute("SELECT 1 FROM pg_namespace WHERE nspname = $1", {schema}).rows() > 0) return;
  connection.execute("CREATE SCHEMA " + quote_identifier(schema));
}

bool finished(RunState state) { return state != RunState::loading; }

// A later run may have filled a table that this one created and left empty: those rows are not ours to drop.
void refuse_tables_of_later_runs(Connection& connection, const MigrationPlan& plan, const RunRecord& run) {
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
              choose_another_schema(plan) + ", or replace the tables with --table-handling drop");
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

void give_up_run(Connection& connection, const MigrationPlan& plan, const RunRecord& run,
                 TableHandling handling, std::vector<Step>& inherited) {
  lock_run(connection, run.run_id);
  inherit_rebuilds(connection, plan, run, handling, inherited);
  std::vector<std::string> created;
  for (const std::string& table : tables_going_with(connection, plan, run)) {
    created.push_back(quote_qualified(plan.schema, table));
  }
  drop_tables(connection, created);
  set_run_state(connection, run.run_id, RunState::superseded, "");
}

bool has_tables_of(const MigrationPlan& plan, const std::vector<TableRecord>& tables, std::string& shared) {
  for (const TableRecord& table : tables) {
    const bool planned = std::any_of(plan.tables.begin(), plan.tables.end(),
                                     [&](const TablePlan& next) { return next.target == table.target; });
    if (!planned) continue;
    shared = quote_qualified(plan.schema, table.target);
    return true;
  }
  return false;
}

// Two runs must never write to one table. A run that is under way, of whatever source, is in the way of
// tables it shares.
void refuse_unfinished_run(Connection& connection, const MigrationPlan& plan, const std::string& given_up) {
  for (const RunRecord& run : list_runs(connection)) {
    if (run.run_id == given_up || run.schema != plan.schema) continue;
    if (run.state == RunState::superseded || finished(run.state)) continue;
    std::string shared;
    if (!has_tables_of(plan, list_tables(connection, run.run_id), shared)) continue;
    throw Error(
        Fault::target_refused,
        "an unfinished run from " + run.source + ", begun on " + run.started_at + " UTC, has table " + shared,
        "finish that run first, or replace its tables with --table-handling drop");
  }
}

// Where the tables are to be replaced, runs that have them are given up, finished or not.
void give_up_runs_with_these_tables(Connection& connection, const MigrationPlan& plan, TableHandling handling,
                                    std::vector<Step>& inherited) {
  if (handling == TableHandling::fail) return refuse_unfinished_run(connection, plan, {});
  for (const RunRecord& run : list_runs(connection)) {
    if (run.state == RunState::superseded || run.schema != plan.schema) continue;
    std::string shared;
    if (!has_tables_of(plan, list_tables(connection, run.run_id), shared)) continue;
    lock_run(connection, run.run_id);
    inherit_rebuilds(connection, plan, run, handling, inherited);
    set_run_state(connection, run.run_id, RunState::superseded, "");
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
    failpoint("after take down");
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
      error.where().table = quoted_name(plan.tables[i]);
      throw;
    }
  }
  failpoint("after tables");
  RunRecord record;
  record.source = request.source;
  record.fingerprint = request.fingerprint;
  record.plan_hash = request.plan_hash;
  record.schema = plan.schema;
  return insert_run(connection, record, plan, request.table_plans, created, rebuild, request.version);
}

}  // namespace

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

namespace {

// REQUIRES: the two are not the same state.
Error source_changed(const RunRecord& run, const std::string& fingerprint) {
  const std::vector<std::string> differences = fingerprint_differences(run.fingerprint, fingerprint);
  if (differences == std::vector<std::string>{"mtime"}) {
    return Error(Fault::source_changed,
                 "the source was written to at another time than the file that the run of " + run.started_at +
                     " UTC began with",
                 "if it is a copy, make it with cp -p or rsync -t, which keep that time; otherwise stop the "
                 "writer and load again from the beginning with --restart");
  }
  return Error(Fault::source_changed,
               "the source was written to since the run began on " + run.started_at + " UTC (it differs in " +
                   joined(differences) + ")",
               "put that state of it back and go on, or load again from the beginning with --restart; with "
               "--snapshot copy --snapshot-file FILE an interrupted run goes on from a copy of its own");
}

}  // namespace

std::vector<std::string> tables_going_with(Connection& connection, const MigrationPlan& plan,
                                           const RunRecord& run) {
  std::vector<std::string> going;
  for (const TableRecord& table : list_tables(connection, run.run_id)) {
    const bool planned = std::any_of(plan.tables.begin(), plan.tables.end(),
                                     [&](const TablePlan& next) { return next.target == table.target; });
    if (table.created && (!finished(run.state) || planned)) going.push_back(table.target);
  }
  return going;
}

RunChoice choose_run(Connection& connection, const RunRequest& request) {
  std::optional<RunRecord> same_plan;   // the newest run of this very plan
  std::optional<RunRecord> unfinished;  // the newest one that is not done, whatever its plan
  std::optional<RunRecord> newest;
  for (const RunRecord& run : list_runs(connection)) {
    if (run.schema != request.plan->schema || run.state == RunState::superseded) continue;
    if (run.source != request.source) {
      // A copy, perhaps on another host: what counts is what it holds. But the tables of a complete run,
      // which may be in use, are not dropped for the sake of a file that has never been loaded by this name.
      if (!same_state(run.fingerprint, request.fingerprint)) continue;
      if (request.restart && finished(run.state)) continue;
    }
    if (run.plan_hash == request.plan_hash) same_plan = run;
    if (!finished(run.state)) unfinished = run;
    newest = run;
  }
  RunChoice choice;
  if (request.restart) {
    // What is meant is the run that would have gone on; without one, the last.
    choice.given_up = unfinished ? unfinished : same_plan ? same_plan : newest;
    if (choice.given_up) refuse_tables_of_later_runs(connection, *request.plan, *choice.given_up);
    unfinished.reset();
    same_plan.reset();
  }
  if (unfinished && !same_state(unfinished->fingerprint, request.fingerprint)) {
    throw source_changed(*unfinished, request.fingerprint);
  }
  if (unfinished && unfinished->plan_hash != request.plan_hash) {
    throw Error(
        Fault::usage,
        "an unfinished run of " + unfinished->started_at + " UTC has another plan (other flags or version)",
        "repeat its flags to go on, or load again from the beginning with --restart");
  }
  if (same_plan && same_state(same_plan->fingerprint, request.fingerprint)) {
    // Whoever asks for the tables to be replaced after a complete run wants another one.
    const bool again = finished(same_plan->state) && request.handling != TableHandling::fail;
    if (!again) {
      choice.resumed = same_plan;
      return choice;
    }
  }
  if (same_plan && request.handling == TableHandling::fail) {
    throw Error(Fault::target_refused,
                "this source was loaded on " + same_plan->started_at +
                    " UTC and has changed since (it differs in " +
                    joined(fingerprint_differences(same_plan->fingerprint, request.fingerprint)) + ")",
                "load it anew with --restart or --table-handling drop");
  }
  if (request.handling == TableHandling::fail) {
    refuse_unfinished_run(connection, *request.plan, choice.given_up ? choice.given_up->run_id : "");
  }
  return choice;
}

OpenRun open_run(Connection& connection, const RunRequest& request) {
  // Ranges that a crash takes back can be loaded again, but not a run that the ledger does not know any more.
  Transaction transaction(connection, "SET LOCAL synchronous_commit = on");
  connection.execute(kExclusive);
  failpoint("before ledger");
  install_ledger(connection);
  failpoint("after ledger");
  const RunChoice choice = choose_run(connection, request);
  if (choice.resumed) {
    transaction.commit();
    return {choice.resumed->run_id, true, choice.resumed->state};
  }
  std::vector<Step> rebuild;
  if (choice.given_up) {
    give_up_run(connection, *request.plan, *choice.given_up, request.handling, rebuild);
  }
  OpenRun run;
  failpoint("before run");
  run.run_id = begin_run(connection, request, std::move(rebuild));
  failpoint("after run");
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

// Around the one statement that the step is about.
void failpoint_of(const Step& step, bool before) {
  if (step.rebuild) return failpoint(before ? "before put back" : "after put back");
  switch (step.phase) {
    case StepPhase::index:
      return failpoint(before ? "before CREATE INDEX" : "after CREATE INDEX");
    case StepPhase::constraint:
      return failpoint(before ? "before ADD CONSTRAINT" : "after ADD CONSTRAINT");
    case StepPhase::validate:
      return failpoint(before ? "before VALIDATE" : "after VALIDATE");
    case StepPhase::finish:  // setval, defaults, ANALYZE
      return failpoint(before ? "before finish step" : "after finish step");
    case StepPhase::view:
      return failpoint(before ? "before CREATE VIEW" : "after CREATE VIEW");
  }
}

// A refusal that says something about the object; anything else (a lost connection, a full disk) stops.
bool is_refusal(const Error& error) { return error.fault() == Fault::target_refused; }

}  // namespace

bool is_there_already(Connection& connection, const TablePlan& found, const Step& step) {
  if (step.index) return has_index(connection, found, *step.index);
  if (step.object.kind != "default") return false;
  for (const ColumnPlan& column : found.columns) {
    if (column.source != step.object.name) continue;
    return connection
        .execute(
            "SELECT EXISTS (SELECT 1 FROM pg_attribute a JOIN pg_class c ON c.oid = a.attrelid JOIN "
            "pg_namespace n "
            "ON n.oid = c.relnamespace WHERE n.nspname = $1 AND c.relname = $2 AND a.attname = $3 AND "
            "a.atthasdef)",
            {found.schema, found.target, column.target})
        .boolean(0, 0);
  }
  return false;
}

bool run_step(Connection& connection, const std::string& run_id, std::size_t number, const Step& step,
              const TablePlan* found, Claim claim, const std::string& settings,
              const std::vector<TableId>& unfinished, StepRun how) {
  StepRecord record;
  record.object = step.object;
  Transaction transaction(connection, settings);
  if (step.phase == StepPhase::constraint) connection.execute(kOneConstraintAtATime);
  share_run(connection, run_id);
  if (!claim_step(connection, run_id, number, claim)) return false;
  const bool of_one_table = step.phase == StepPhase::index && !step.rebuild;
  refuse_lost_ranges(connection, run_id, of_one_table ? std::optional(step.table) : std::nullopt, unfinished);
  // With a damaged table the run does not come to its end, and steps that others build on were left out.
  if (unfinished.empty()) refuse_lost_steps(connection, run_id, step.phase, number);
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
    failpoint_of(step, true);
    if (how == StepRun::run) connection.execute(step.sql);
    failpoint_of(step, false);
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
  failpoint("after step record");
  transaction.commit();
  return true;
}

}  // namespace sluice
