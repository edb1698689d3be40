#include "engine/app/status.h"

#include <fmt/format.h>

#include <algorithm>
#include <iostream>
#include <nlohmann/json.hpp>
#include <optional>

#include "engine/app/console.h"
#include "engine/app/endpoints.h"
#include "engine/app/objects.h"
#include "engine/app/printable.h"
#include "engine/app/report.h"
#include "io/postgres/ledger.h"
#include "io/postgres/repair.h"
#include "io/postgres/run_activity.h"

namespace sluice {
namespace {

using Json = nlohmann::ordered_json;

// All that is said of one run.
struct RunStatus {
  RunRecord run;
  // From here on empty for one that is superseded.
  std::vector<TableRecord> tables;
  RunActivity activity;
  std::vector<StepRecord> steps;
  std::vector<FailureGroup> failures;

  [[nodiscard]] bool superseded() const { return run.state == RunState::superseded; }
  [[nodiscard]] bool loading() const { return run.state == RunState::loading; }
  [[nodiscard]] std::size_t steps_done() const {
    return static_cast<std::size_t>(
        std::count_if(steps.begin(), steps.end(), [](const StepRecord& step) { return step.done; }));
  }
  // REQUIRES: it is one of the run.
  [[nodiscard]] const std::string& name_of(TableId table) const {
    return std::find_if(tables.begin(), tables.end(),
                        [&](const TableRecord& record) { return record.table == table; })
        ->source;
  }
};

RunStatus read_status(Connection& connection, const RunRecord& run) {
  RunStatus status;
  status.run = run;
  if (status.superseded()) return status;
  status.tables = list_tables(connection, run.run_id);
  status.activity = read_activity(connection, run.run_id);
  status.steps = list_steps(connection, run.run_id);
  status.failures = group_failures(connection, run.run_id);
  return status;
}

// ---- for people ----

std::string rate_text(const RunActivity& activity) {
  const bool loaded =
      std::all_of(activity.tables.begin(), activity.tables.end(),
                  [](const TableProgress& table) { return table.ranges_done == table.ranges; });
  if (!activity.pace || loaded) return "";
  std::string text = fmt::format(": {} rows/s, {}/s over {}",
                                 human_count(static_cast<std::uint64_t>(activity.pace->rows_per_second)),
                                 human_bytes(static_cast<std::uint64_t>(activity.pace->bytes_per_second)),
                                 human_seconds(activity.pace->seconds));
  if (const std::optional<double> left = seconds_to_load(activity)) {
    text += fmt::format("; about {} of loading left", human_seconds(*left));
  }
  return text;
}

std::string describe(const WorkingSession& session, const RunStatus& status) {
  const std::string table = session.table ? printable(status.name_of(*session.table)) : "";
  std::string text;
  switch (session.work) {
    case SessionWork::load:
      text = "loads " + table;
      if (session.rows) text += fmt::format(", {} of this range so far", counted(*session.rows, "row"));
      break;
    case SessionWork::index:
      text = "makes an index of " + table;
      if (!session.phase.empty()) text += ": " + session.phase;
      if (session.fraction) text += fmt::format(", {:.0f} %", *session.fraction * 100);
      break;
    case SessionWork::read_back:
      text = "reads " + table + " back";
      break;
    case SessionWork::step:
      text = table.empty() ? "is at a range or a step" : "is at a step of " + table;
      break;
  }
  if (!session.waits_for.empty()) {
    text += fmt::format("; waits for a lock of session {}", fmt::join(session.waits_for, ", "));
  }
  return fmt::format("session {} ({}): {}", session.pid, printable(session.application), text);
}

void print_activity(const RunStatus& status) {
  const RunActivity& activity = status.activity;
  const std::size_t elsewhere = activity.sessions_elsewhere;
  if (activity.sessions.empty() && elsewhere == 0) {
    std::cout << "  not finished, and no session works on it; the same command goes on with it\n";
    return;
  }
  if (activity.sessions.empty()) {
    std::cout << fmt::format(
        "  not finished, and no session is at it right now; {} of sluice in this database may go on with "
        "it\n",
        counted(elsewhere, "session"));
    return;
  }
  std::cout << fmt::format("  under way, {} at work{}\n", counted(activity.sessions.size(), "session"),
                           rate_text(activity));
  for (const WorkingSession& session : activity.sessions) {
    std::cout << "  " << describe(session, status) << "\n";
  }
}

void print_run(const RunStatus& status) {
  const RunRecord& run = status.run;
  if (status.superseded()) {
    std::cout << fmt::format("run {}  superseded\n  source {}, schema {}, began {} UTC\n", run.run_id,
                             printable(run.source), printable(run.schema), run.started_at);
    return;
  }
  std::cout << fmt::format("run {}  {}\n  source {}\n  schema {}, began {} UTC{}\n", run.run_id,
                           name_of(run.state), printable(run.source), printable(run.schema), run.started_at,
                           run.finished_at.empty() ? "" : ", ended " + run.finished_at + " UTC");
  if (!run.root.empty()) std::cout << "  root " << run.root << "\n";
  if (status.loading()) print_activity(status);
  std::cout << fmt::format("  {:<32}  {:>11}  {:>13}  {:>9}  {:>9}  {:>7}  {:>10}  {:>12}  {}\n", "table",
                           "ranges", "rows", "rejected", "in flight", "left", "bytes", "rows/s", "root");
  for (std::size_t i = 0; i < status.tables.size(); ++i) {
    const TableProgress& table = status.activity.tables.at(i);
    const double rate = table.seconds > 0 ? static_cast<double>(table.rows_loaded) / table.seconds : 0;
    std::cout << fmt::format("  {:<32}  {:>5}/{:<5}  {:>13}  {:>9}  {:>9}  {:>7}  {:>10}  {:>12}  {}\n",
                             printable(status.tables[i].source), table.ranges_done, table.ranges,
                             human_count(table.rows_loaded), human_count(table.rows_rejected),
                             table.ranges_in_flight, table.ranges_left(), human_bytes(table.bytes),
                             human_count(static_cast<std::uint64_t>(rate)),
                             status.tables[i].root.empty() ? "-" : status.tables[i].root);
  }
  std::cout << fmt::format("  steps after the load: {} of {} done\n", status.steps_done(),
                           status.steps.size());
  for (const ObjectOutcome& object : objects_of_steps(status.steps)) {
    if (!object.created) std::cout << "  not created: " << printable(describe(object)) << "\n";
    if (object.created && !object.reason.empty())
      std::cout << "  created, but: " << printable(describe(object)) << "\n";
  }
  for (const StepRecord& step : status.steps) {
    if (!step.rebuild || step.done) continue;
    std::cout << fmt::format("  to be put back: {} {} of {}: {}\n", step.object.kind,
                             printable(step.object.name), printable(step.object.table),
                             printable(step.object.sql));
  }
  for (const FailureGroup& group : status.failures) {
    std::cout << fmt::format("  rejected: {} of {}: column {}: {}\n", counted(group.rows, "row"),
                             printable(group.table), printable(group.column), printable(group.reason));
  }
}

void print_text(const std::string& database, const std::vector<RepairSummary>& repairs,
                const std::vector<RunStatus>& runs) {
  if (runs.empty() && repairs.empty()) std::cout << "no run of sluice in database " << database << "\n";
  for (const RepairSummary& repair : repairs) {
    std::cout << fmt::format("repair {}  {}.{} from {}, {} UTC: {} deleted, {} inserted, in {}\n",
                             repair.repair_id, printable(repair.schema), printable(repair.target),
                             printable(repair.source), repair.at, counted(repair.rows_deleted, "row"),
                             counted(repair.rows_inserted, "row"), counted(repair.leaves, "transaction"));
  }
  for (const RunStatus& run : runs) print_run(run);
}

// ---- for scripts ----

template <class Value>
Json or_null(const std::optional<Value>& value) {
  return value ? Json(*value) : Json(nullptr);
}
Json or_null(const std::string& text) { return text.empty() ? Json(nullptr) : Json(text); }

Json json_of(const WorkingSession& session, const RunStatus& status) {
  Json json = {{"pid", session.pid},
               {"application_name", session.application},
               {"user", session.user},
               {"does", name_of(session.work)},
               {"table", session.table ? Json(status.name_of(*session.table)) : Json(nullptr)},
               {"waits_for", session.waits_for}};
  if (session.work == SessionWork::load) {
    json["rows"] = or_null(session.rows);
    json["bytes"] = or_null(session.bytes);
  }
  if (session.work == SessionWork::index) {
    json["phase"] = or_null(session.phase);
    json["fraction"] = or_null(session.fraction);
  }
  return json;
}

Json json_of(const ObjectOutcome& object) {
  return {{"kind", object.kind},
          {"table", object.table},
          {"name", object.name},
          {"reason", object.reason},
          {"sql", object.sql}};
}

Json json_of(const RunStatus& status) {
  const RunRecord& run = status.run;
  Json json = {{"run_id", run.run_id},     {"state", name_of(run.state)}, {"source", run.source},
               {"schema", run.schema},     {"began", run.started_at},     {"ended", or_null(run.finished_at)},
               {"root", or_null(run.root)}};
  if (status.superseded()) return json;
  if (status.loading()) {
    const RunActivity& activity = status.activity;
    json["sessions"] = Json::array();
    for (const WorkingSession& session : activity.sessions) {
      json["sessions"].push_back(json_of(session, status));
    }
    json["sessions_elsewhere"] = activity.sessions_elsewhere;
    json["rate"] = nullptr;
    if (activity.pace) {
      json["rate"] = {{"seconds", activity.pace->seconds},
                      {"rows_per_second", activity.pace->rows_per_second},
                      {"bytes_per_second", activity.pace->bytes_per_second}};
    }
    json["seconds_to_load"] = or_null(seconds_to_load(activity));
  }
  json["tables"] = Json::array();
  for (std::size_t i = 0; i < status.tables.size(); ++i) {
    const TableProgress& table = status.activity.tables.at(i);
    json["tables"].push_back({{"source", status.tables[i].source},
                              {"target", status.tables[i].target},
                              {"ranges", table.ranges},
                              {"ranges_done", table.ranges_done},
                              {"ranges_in_flight", table.ranges_in_flight},
                              {"ranges_left", table.ranges_left()},
                              {"rows", table.rows_loaded},
                              {"rows_rejected", table.rows_rejected},
                              {"bytes", table.bytes},
                              {"root", or_null(status.tables[i].root)}});
  }
  json["steps"] = status.steps.size();
  json["steps_done"] = status.steps_done();
  json["not_created"] = Json::array();
  for (const ObjectOutcome& object : objects_of_steps(status.steps)) {
    if (!object.created) json["not_created"].push_back(json_of(object));
  }
  json["to_be_put_back"] = Json::array();
  for (const StepRecord& step : status.steps) {
    if (!step.rebuild || step.done) continue;
    Json object = json_of(step.object);
    object.erase("reason");
    json["to_be_put_back"].push_back(std::move(object));
  }
  json["rejects"] = Json::array();
  for (const FailureGroup& group : status.failures) {
    json["rejects"].push_back(
        {{"table", group.table}, {"column", group.column}, {"reason", group.reason}, {"rows", group.rows}});
  }
  return json;
}

void print_json(const std::string& database, const std::vector<RepairSummary>& repairs,
                const std::vector<RunStatus>& runs) {
  Json json = {{"database", database}, {"repairs", Json::array()}, {"runs", Json::array()}};
  for (const RepairSummary& repair : repairs) {
    json["repairs"].push_back({{"id", repair.repair_id},
                               {"schema", repair.schema},
                               {"target", repair.target},
                               {"source", repair.source},
                               {"at", repair.at},
                               {"rows_deleted", repair.rows_deleted},
                               {"rows_inserted", repair.rows_inserted},
                               {"transactions", repair.leaves}});
  }
  for (const RunStatus& run : runs) json["runs"].push_back(json_of(run));
  // The ledger's names are UTF-8, as all that PostgreSQL sends; escapes keep them from the terminal.
  constexpr bool kAscii = true;
  std::cout << json.dump(1, ' ', kAscii) << "\n";
}

}  // namespace

int status(const StatusOptions& options) {
  const TargetEndpoint endpoint = open_target(options.target, LocalTarget::must_exist);
  Connection connection(endpoint.conninfo);
  Console console(ProgressMode::none);
  warn_of_plain_text(connection, console);
  std::vector<RepairSummary> repairs;
  std::vector<RunStatus> runs;
  {
    // One transaction, so that another `sluice status` does not take this one for a session at work.
    const Transaction transaction(connection, "SET LOCAL application_name = 'sluice status'",
                                  TransactionMode::read_only);
    if (ledger_exists(connection, LedgerUse::read)) {
      for (const RunRecord& run : list_runs(connection)) runs.push_back(read_status(connection, run));
      std::reverse(runs.begin(), runs.end());  // the last one is what people look for
      repairs = list_repairs(connection);
    }
  }
  (options.json ? print_json : print_text)(connection.database(), repairs, runs);
  if (endpoint.local && endpoint.local->started && !options.json) {
    std::cout << "the server was started to ask it; stop it: " << endpoint.local->stop_command << "\n";
  }
  return 0;
}

}  // namespace sluice
