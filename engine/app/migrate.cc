#include "engine/app/migrate.h"

#include <fmt/format.h>

#include <algorithm>
#include <chrono>
#include <fstream>
#include <iostream>
#include <map>
#include <memory>
#include <optional>

#include "engine/app/archive_differences.h"
#include "engine/app/archived.h"
#include "engine/app/canceller.h"
#include "engine/app/console.h"
#include "engine/app/differences.h"
#include "engine/app/endpoints.h"
#include "engine/app/execution.h"
#include "engine/app/metrics.h"
#include "engine/app/objects.h"
#include "engine/app/plan_file.h"
#include "engine/app/plan_record.h"
#include "engine/app/planning.h"
#include "engine/app/printable.h"
#include "engine/app/report.h"
#include "engine/app/retry_notice.h"
#include "engine/app/stores.h"
#include "engine/app/verification.h"
#include "engine/app/version.h"
#include "engine/model/error.h"
#include "engine/model/failpoint.h"
#include "engine/model/fingerprint.h"
#include "engine/plan/ddl.h"
#include "engine/plan/planner.h"
#include "engine/run/retries.h"
#include "io/postgres/file_column.h"
#include "io/postgres/preflight.h"
#include "io/postgres/rebuild.h"
#include "io/postgres/target.h"
#include "io/postgres/target_catalog.h"
#include "io/sqlite/snapshot.h"
#include "io/store/open_store.h"
#include "verify/merkle.h"
#include "verify/row_digest.h"

namespace sluice {
namespace {

class Stopwatch {
 public:
  [[nodiscard]] double seconds() const {
    return std::chrono::duration<double>(std::chrono::steady_clock::now() - start_).count();
  }

 private:
  std::chrono::steady_clock::time_point start_ = std::chrono::steady_clock::now();
};

Error interruption() {
  return Error(Fault::interrupted, "stopped before the end", "run the same command again to go on");
}

[[noreturn]] void throw_interrupted() { throw interruption(); }

TableHandling handling_of(ExistingTables handling) {
  switch (handling) {
    case ExistingTables::truncate:
      return TableHandling::truncate;
    case ExistingTables::drop:
      return TableHandling::drop;
    case ExistingTables::fail:
      break;
  }
  return TableHandling::fail;
}

class Migration {
 public:
  // Where rows come from: a SQLite file, or an archive of one.
  enum class From : std::uint8_t { file, archive };

  Migration(const MigrateOptions& options, From from, StopRequest& stop)
      : options_(options),
        from_archive_(from == From::archive),
        stop_(stop),
        console_(options.progress),
        retry_notice_(console_),
        retries_(options.retry_for, stop,
                 [this](const Retries::Notice& notice) {
                   metrics_.copy_retried(notice.error->sqlstate());
                   retry_notice_.say(notice);
                 }),
        canceller_(stop, options.grace) {}

  int run() {
    if (writes_report()) {
      prepare_report_directory(options_.report_directory);
      remove_old_reports();
    }
    if (!options_.metrics_file.empty() && !options_.dry_run) {
      metrics_file_.emplace(options_.metrics_file, metrics_, console_);
    }
    try {
      const int exit_status = run_to_the_end();
      end_metrics(exit_status);
      return exit_status;
    } catch (const Error& error) {
      // What fails after everything was cancelled failed because of that.
      const bool cancelled = stop_.stopped_now() && error.fault() != Fault::internal;
      const bool superseded = error.fault() == Fault::target_refused && was_given_up();
      const Error ending = cancelled ? interruption() : superseded ? given_up() : error;
      report_failure(ending);
      throw ending;
    } catch (const std::exception& error) {
      report_failure(Error(Fault::internal, error.what()));
      throw;
    }
  }

 private:
  // From the first range to the last word. A server that crashed may have taken back ranges and steps that it
  // had confirmed (commits are asynchronous), and then there is work again.
  int finish() {
    for (;;) {
      try {
        execute_plan();
        return conclude();
      } catch (const Error& error) {
        if (error.fault() != Fault::commits_lost || options_.retry_for.count() == 0 || stop_.stopped()) throw;
        console_.say(fmt::format("{} in a crash; loading it again", error.what()));
      }
    }
  }

  int run_to_the_end() {
    if (options_.data_only) read_existing_tables();
    make_plan();
    if (options_.dry_run) print_plan();
    refuse_what_is_in_the_way();
    if (options_.dry_run) {
      if (stores_)
        open_stores(plan_.tables, store_options(stop_, std::chrono::milliseconds(0)), *stores_, false);
      return 0;
    }
    // Before the run begins, so that a store that takes nothing leaves nothing behind in the target. The rows
    // of an archive have left their files already.
    if (stores_) open_stores(plan_.tables, store_options(stop_, options_.retry_for), *stores_);
    begin();
    const int exit_status = finish();
    if (exit_status == 0 || exit_status == 3) remove_copy();
    return exit_status;
  }

  // A run that took the place of this one took its tables, and the first to notice may be a query that misses
  // one of them.
  bool was_given_up() {
    if (run_.run_id.empty() || !connections_.front()->alive()) return false;
    try {
      return is_superseded(*connections_.front(), run_.run_id);
    } catch (const Error&) {
      return false;  // that error matters more than another one
    }
  }

  void end_metrics(int exit_status) {
    if (metrics_file_) metrics_file_->end(exit_status);
  }

  [[nodiscard]] bool writes_report() const { return !options_.report_directory.empty() && !options_.dry_run; }

  void make_plan() {
    metrics_.set_phase("profile");
    from_archive_ ? take_plan_of_archive() : plan_file();
    if (!options_.dry_run && !from_archive_) say_remarks(plan_, console_);
    // Tables without ranges are complete from the start; all that follows the load follows.
    if (options_.schema_only) {
      for (TablePlan& table : plan_.tables) table.extents.clear();
    }
    report_.target_schema = plan_.schema;
    for (const TablePlan& table : plan_.tables) {
      TableReport& entry = report_.tables.emplace_back();
      entry.source = table.source;
      entry.schema = table.schema;
      entry.target = table.target;
      entry.ranges = table.extents.size();
      for (const ColumnPlan& column : table.columns) {
        // A column that an offload adds comes from the one that holds the files.
        const std::string& source = column.added ? table.offloads[column.offload].column : column.source;
        entry.columns.push_back({source, column.target, type_of(column)});
      }
    }
    report_.objects = plan_.left_out;
  }

  void take_plan_of_archive() {
    archive_.emplace(open_archive(source_path(options_.source)));
    plan_ = archive_->plan;
    for (std::size_t lane = 0; lane < options_.jobs; ++lane) {
      readers_.push_back(make_archive_source(*archive_->archive));
      sources_.push_back(readers_.back().get());
    }
    report_.source_path = archive_->path.string();
    report_.source_bytes = archive_->bytes;
    report_.source_fingerprint = archive_->fingerprint;
  }

  void plan_file() {
    PlannedSource planned =
        plan_source(options_, options_.data_only ? &existing_ : nullptr, console_, stop_, &damage_);
    // Nothing but the plan is at stake, and that would be one of a part of the table.
    if (options_.dry_run && damage_.any()) throw damage_.list().front();
    stores_ = std::move(planned.stores);
    snapshot_ = std::move(planned.snapshot);
    wal_watch_ = std::move(planned.wal_watch);
    plan_ = std::move(planned.plan);
    for (const TablePlan& table : plan_.tables) rows_profiled_.push_back(planned.facts.at(table.source).rows);
    report_.source_path = snapshot_->path().string();
    report_.source_bytes = snapshot_->file_bytes();
    report_.source_fingerprint = snapshot_->fingerprint();
    profile_use_ = planned.profile;
    report_.phases.profile = profile_use_.wall;
    for (std::size_t i = 0; i < snapshot_->readers(); ++i) sources_.push_back(&snapshot_->reader(i));
  }

  bool has_run(Connection& connection) {
    if (!ledger_is_readable(connection)) return false;
    std::error_code ignored;  // a missing file is the snapshot's to report
    const std::string source = std::filesystem::weakly_canonical(source_path(options_.source), ignored);
    std::vector<RunRecord> runs = list_runs(connection);
    std::erase_if(runs, [&](const RunRecord& run) {
      return run.schema != options_.schema || run.state == RunState::superseded;
    });
    const auto any = [&](const auto& is_meant) { return std::any_of(runs.begin(), runs.end(), is_meant); };
    if (any([&](const RunRecord& run) { return run.source == source; })) return true;
    if (runs.empty()) return false;
    try {
      const Snapshot copy(source_path(options_.source), 1);
      return any([&](const RunRecord& run) { return same_state(run.fingerprint, copy.fingerprint()); });
    } catch (const Error&) {
      return false;  // for the snapshot of the run to report
    }
  }

  void print_plan() const { std::cout << plan_script_of(plan_) << std::flush; }

  // The tables of the target decide, so they are read before there is a plan.
  void read_existing_tables() {
    if (options_.target.empty()) {
      throw Error(Fault::usage, "--data-only needs a TARGET, whose tables it loads into",
                  "sluice migrate SOURCE TARGET --data-only");
    }
    connect_target();
    Connection& connection = *connections_.front();
    existing_ = retries_.run([&] { return read_target_catalog(connection, options_.schema); });
    existing_.rebuild = options_.rebuild;
    // A run that goes on has looked at them when it began, and may be about to put some of them back.
    if (!options_.restart && retries_.run([&] { return has_run(connection); })) {
      for (auto& [name, table] : existing_.tables) table.obstacles.clear();
    }
    console_.say("loading rows only: keys, indexes, defaults, checks and views stay as the target has them");
  }

  void connect_target() {
    const std::string target =
        options_.target.empty() ? default_target(report_.source_path) : options_.target;
    endpoint_ = open_target(target, options_.data_only ? LocalTarget::must_exist : LocalTarget::create);
    connect_lanes(1);
    Connection& connection = *connections_.front();
    retries_.run([&] { check_version(connection); });
    report_.target_database = connection.database();
    report_.server_version = connection.server_version();
  }

  // There is something to ask, and nothing has to be made or started for it.
  [[nodiscard]] bool target_is_there() const {
    if (!connections_.empty()) return true;
    return !options_.target.empty() && is_up(options_.target);
  }

  // All of it at once: what the values of the source leave to decide, and what the target lacks.
  void refuse_what_is_in_the_way() {
    const bool begins = plan_.findings.empty() && !options_.dry_run;
    Preflight preflight;
    if (begins || target_is_there()) {
      try {
        if (connections_.empty()) connect_target();
        preflight = retries_.run([&] { return look_ahead(*connections_.front(), request()); });
      } catch (const Error& error) {
        // The findings come first, and are sure. A dry run does without a server that cannot be reached.
        const bool goes_on = options_.dry_run && error.fault() == Fault::target_unavailable;
        if (plan_.findings.empty() && !goes_on) throw;
        console_.say("the target was not looked at: " + error.describe());
      }
    }
    // The Error counts them; a single one of the target's it repeats.
    if (!plan_.findings.empty() || preflight.obstacles.size() > 1) {
      for (const Finding& finding : plan_.findings) report_.error += describe(finding) + "\n";
      for (const Obstacle& obstacle : preflight.obstacles) report_.error += describe(obstacle) + "\n";
    }
    refuse_findings(plan_, preflight.obstacles, console_);
    for (const std::string& remark : preflight.remarks) console_.say(remark);
  }

  [[nodiscard]] RunRequest request() const {
    RunRequest request;
    request.plan = &plan_;
    for (const TablePlan& table : plan_.tables) {
      request.create_table_sql.push_back(create_table_sql(table));
      request.table_plans.push_back(plan_record_of(table));
    }
    request.source = report_.source_path;
    request.fingerprint = report_.source_fingerprint;
    // A schema without rows is another plan: the rows may follow by a run of their own.
    request.plan_hash = hash_of_plan(plan_) + (options_.schema_only ? " schema only" : "");
    request.version = kVersion;
    request.handling = handling_of(options_.table_handling);
    request.restart = options_.restart;
    request.rebuild = options_.rebuild;
    return request;
  }

  void begin() {
    Connection& connection = *connections_.front();
    const RunRequest wanted = request();
    // When the answer to its COMMIT got lost, the second time finds the run that the first one began.
    run_ = retries_.run([&] {
      try {
        return open_run(connection, wanted);
      } catch (Error& error) {
        // Somebody uses the tables. To queue for their locks again and again would hold up everybody behind
        // us.
        if (error.sqlstate() == "55P03") error.set_may_pass(false);
        throw;
      }
    });
    set_log_run(run_.run_id);
    metrics_.set_run(run_.run_id, report_.source_path);
    metrics_.set_tables(plan_);
    retries_.run([&] { take_run(connection); });
    register_files(connection);
  }

  // Before the first file: whoever looks for files that nobody refers to must know of these columns.
  void register_files(Connection& connection) {
    for (const TablePlan& table : plan_.tables) {
      for (std::size_t number = 0; number < table.offloads.size(); ++number) {
        const FileColumn column = file_column_of(table, number);
        retries_.run([&] { register_file_column(connection, column, table.offloads[number].store); });
      }
    }
  }

  // What the rows of the target say, whichever call loaded them.
  void report_files() {
    report_.offloads.clear();
    if (stores_) {
      report_.files_written = stores_->files_written();
      report_.file_bytes_written = stores_->bytes_written();
    }
    for (const TablePlan& table : plan_.tables) {
      for (std::size_t number = 0; number < table.offloads.size(); ++number) {
        const OffloadPlan& offload = table.offloads[number];
        const FileColumn column = file_column_of(table, number);
        OffloadReport& entry = report_.offloads.emplace_back();
        entry.table = table.source;
        entry.column = offload.column;
        entry.store = offload.store;
        Connection& connection = *connections_.front();
        entry.files =
            retries_.run([&] { return count_files(connection, column, storage_type_of(offload.store)); });
        if (offload.afterwards != OffloadedColumn::drop) {
          entry.left_rows = retries_.run([&] { return count_contents(connection, column).without_path; });
        }
      }
    }
  }

  void take_run(Connection& connection) {
    std::erase_if(plan_.steps, [](const Step& step) { return step.rebuild; });
    found_.clear();
    // What the run took out of the way is known to the ledger alone.
    for (Step& step : list_rebuilds(connection, run_.run_id)) plan_.steps.push_back(std::move(step));
    if (run_.resumed) take_cuts_from_ledger();
    for (const TableRecord& table : list_tables(connection, run_.run_id)) {
      const std::size_t place = static_cast<std::size_t>(table.table);
      found_.push_back(table.created ? nullptr : &plan_.tables.at(place));
    }
  }

  // An earlier run goes on with its own ranges, whatever this run's flags would have cut.
  void take_cuts_from_ledger() {
    for (TablePlan& table : plan_.tables) table.extents.clear();
    std::size_t done = 0;
    const std::vector<WorkRecord> work = list_work(*connections_.front(), run_.run_id);
    for (const WorkRecord& record : work) {
      plan_.tables.at(static_cast<std::size_t>(record.table)).extents.push_back(record.extent);
      if (record.done) ++done;
    }
    for (std::size_t i = 0; i < plan_.tables.size(); ++i) {
      report_.tables[i].ranges = plan_.tables[i].extents.size();
      if (from_archive_ && !options_.schema_only &&
          plan_.tables[i].extents != archive_->plan.tables[i].extents) {
        throw Error(Fault::internal,
                    "the ledger has other ranges than the archive, of table " + plan_.tables[i].source);
      }
      if (!options_.schema_only && !covers_table(plan_.tables[i].extents)) {
        throw Error(Fault::internal, "the ranges in the ledger do not cover table " + plan_.tables[i].source);
      }
    }
    if (run_.state == RunState::loading) {
      console_.say(fmt::format("going on with an earlier run: {} of {} ranges are done", done, work.size()));
    } else {
      console_.say(
          "this source was loaded before and has not changed; verifying again (--restart loads it anew)");
    }
  }

  // As many connections as wanted, or as the server has room for.
  void connect_lanes(std::size_t count) {
    if (connections_full_) return;
    const std::size_t before = connections_.size();
    // The first one is not tried again: a wrong address should be known at once.
    const auto connect = [&] { sluice::connect_lanes(connections_, endpoint_.conninfo, count, console_); };
    before == 0 ? connect() : retries_.run(connect);
    for (std::size_t i = before; i < connections_.size(); ++i) canceller_.watch(*connections_[i]);
    connections_full_ = connections_.size() < count;
  }

  // Of an execution whose commits were lost.
  void forget_results() {
    differences_.clear();
    refused_.clear();
    report_.explanation = {};
    for (TableReport& table : report_.tables) {
      table.rows_source = table.rows_loaded = table.rows_rejected = table.bytes = 0;
      table.verified = false;
    }
  }

  void execute_plan() {
    // The limit is for so many lanes; those that only wait for indexes would have buffers, too.
    const std::size_t index_jobs =
        options_.memory.limited() ? std::min(options_.index_jobs, options_.jobs) : options_.index_jobs;
    forget_results();
    connect_lanes(lanes_wanted(plan_, options_.jobs, index_jobs));
    ExecutionWork work;
    work.retries = &retries_;
    work.damage = &damage_;
    work.plan = &plan_;
    work.sources = sources_;
    work.run_id = run_.run_id;
    work.found = found_;
    for (const std::unique_ptr<Connection>& connection : connections_)
      work.connections.push_back(connection.get());
    work.jobs = options_.jobs;
    work.index_jobs = index_jobs;
    work.analyze = !options_.no_analyze;
    work.metrics = &metrics_;
    work.verify = options_.verify;
    work.sink.server_sums = options_.verify == VerifyMode::server;
    if (options_.memory.limited()) {
      work.sink.send_bytes = options_.memory.send_bytes;
      work.sink.reject_bytes_max = options_.memory.reject_bytes_max;
    }
    Connection& connection = *connections_.front();
    const std::optional<ServerLog> log_before = retries_.run([&] { return server_log(connection); });
    Executed executed;
    try {
      execute(work, console_, stop_, executed);
    } catch (...) {
      explain(executed);
      throw;
    }
    explain(executed);
    if (!executed.finished) throw_interrupted();
    explain_log(log_before);
    const std::vector<StepRecord> steps = retries_.run([&] { return list_steps(connection, run_.run_id); });
    report_.objects = objects_of_plan(plan_, steps);
    for (const StepRecord& step : steps) {
      if (step.done && !step.object.created) refused_[step.number] = step.object.reason;
    }
    if (damage_.any()) {
      take_whole_tables(executed);
      throw_damage();
    }
    take_roots(executed);
    if (options_.verify != VerifyMode::none) take_comparisons(executed);
  }

  // Of a run that cannot come to its end: tables that did.
  void take_whole_tables(Executed& executed) {
    for (std::size_t i = 0; i < plan_.tables.size(); ++i) {
      ExecutedTable& table = executed.tables[i];
      if (!table.leaves) continue;
      report_.tables[i].digest = to_hex(table.leaves->root());
      if (!table.comparison) continue;
      report_.tables[i].verified = table.comparison->verified();
      if (table.comparison->equal) continue;
      const auto [text, count] = describe_difference(
          *connections_.front(), plan_.tables[i], table.range_pointers(), *table.leaves, *table.comparison);
      console_.say("different: " + text);
    }
  }

  [[noreturn]] void throw_damage() {
    const std::vector<Error> damage = damage_.list();
    for (const Error& error : damage) {
      LogEvent event = event_of(LogLevel::error, error);
      event.message = fmt::format("table {}: {}", error.where().table, error.what());
      console_.note(event);
    }
    throw Error(
        Fault::source_unreadable,
        fmt::format("{} of {} could not be read to the end; {}", damage.size(),
                    counted(plan_.tables.size(), "table"),
                    damage.size() == plan_.tables.size() ? "nothing is complete"
                                                         : "the others are complete, but for foreign keys"),
        from_archive_
            ? "take another copy of the archive, or export the source again"
            : "sqlite3 FILE .recover | sqlite3 NEW saves what is left; load that with --table-handling drop");
  }

  // Whatever the end.
  void explain(const Executed& executed) {
    report_.phases.load = executed.load.wall;
    report_.phases.indexes = executed.indexes.wall;
    report_.phases.constraints = executed.constraints.wall;
    report_.phases.verify = executed.verify.wall;
    for (std::size_t i = 0; i < executed.tables.size(); ++i) {
      report_.tables[i].seconds = executed.tables[i].load_seconds;
    }
    Explanation& explanation = report_.explanation;
    explanation.machine = {cores_of_machine(), connections_.front()->is_local()};
    for (const auto& [name, use] : {std::pair<const char*, const PhaseUse&>{"profile", profile_use_},
                                    {"load", executed.load},
                                    {"indexes", executed.indexes},
                                    {"constraints", executed.constraints},
                                    {"verify", executed.verify}}) {
      if (use.wall <= 0) continue;
      explanation.phases.push_back({name, use});
      LogEvent event;
      event.message = std::string(name) + " ended";
      event.duration_s = use.wall;
      if (use.rows > 0) event.rows = use.rows;
      if (use.bytes > 0) event.bytes = use.bytes;
      event.phase = name;
      console_.record(event);
    }
    explanation.tables_frozen = executed.tables_frozen;
  }

  void explain_log(const std::optional<ServerLog>& before) {
    const std::optional<ServerLog> now = retries_.run([&] { return server_log(*connections_.front()); });
    // Another server may have taken over, whose log is behind.
    if (!before || !now || now->written < before->written) return;
    report_.explanation.wal_level = now->level;
    report_.explanation.wal_bytes = now->written - before->written;
  }

  void take_roots(const Executed& executed) {
    std::vector<std::pair<std::string, Digest>> roots;
    for (std::size_t i = 0; i < plan_.tables.size(); ++i) {
      const ExecutedTable& table = executed.tables[i];
      const Digest root = table.leaves->root();
      roots.emplace_back(plan_.tables[i].source, root);
      account_for(report_.tables[i], table.range_pointers());
      report_.tables[i].digest = to_hex(root);
    }
    report_.root = to_hex(database_root(roots));
  }

  void take_comparisons(Executed& executed) {
    std::vector<TableLeaves> leaves;
    std::vector<TableComparison> compared;
    std::vector<std::vector<const WorkRecord*>> ranges;
    for (std::size_t i = 0; i < executed.tables.size(); ++i) {
      ExecutedTable& table = executed.tables[i];
      ranges.push_back(table.range_pointers());
      leaves.push_back(std::move(*table.leaves));
      compared.push_back(std::move(*table.comparison));
      report_.tables[i].verified = compared[i].verified();
      if (!compared[i].note.empty() && options_.verify == VerifyMode::server) {
        console_.note({.message = fmt::format("table {}: {}", plan_.tables[i].source, compared[i].note),
                       .table = plan_.tables[i].source});
      }
    }
    retries_.run([&] { name_differences(leaves, compared, ranges); });
  }

  // Where the target differs from what was loaded: table, ranges and the first rows.
  void name_differences(const std::vector<TableLeaves>& leaves, const std::vector<TableComparison>& compared,
                        const std::vector<std::vector<const WorkRecord*>>& ranges) {
    constexpr std::uint64_t kRowsNamed = 20;
    differences_.clear();
    DifferenceWork work;
    bool any = false;
    std::size_t differing_ranges = 0;
    for (std::size_t i = 0; i < compared.size(); ++i) {
      if (!compared[i].equal) {
        const auto [text, count] =
            describe_difference(*connections_.front(), plan_.tables[i], ranges[i], leaves[i], compared[i]);
        differences_.push_back(text);
        differing_ranges += count;
      }
      work.leaves.push_back(compared[i].differing);
      work.rows_target.push_back(compared[i].differing_rows);
      any |= !compared[i].differing.empty();
    }
    metrics_.set_mismatched_ranges(differing_ranges);
    if (!any) return;
    work.tables = &plan_.tables;
    work.source = &leaves;
    for (const std::unique_ptr<Connection>& connection : connections_)
      work.connections.push_back(connection.get());
    work.max_report = kRowsNamed;
    work.memory_bytes = options_.memory.digest_bytes;
    std::optional<Differences> found;
    if (from_archive_) {
      found = find_archive_differences(*archive_->archive, work, console_, stop_);
    } else {
      work.snapshot = snapshot_.get();
      found = DifferenceFinder(std::move(work), console_, stop_).find();
    }
    if (!found) throw_interrupted();
    for (const RowDifference& row : found->rows) {
      differences_.push_back(describe(row, plan_.tables));
    }
  }

  static void account_for(TableReport& table, const std::vector<const WorkRecord*>& ranges) {
    for (const WorkRecord* range : ranges) {
      const RangeSeal& seal = range->seal;
      if (seal.rows_read != seal.rows_loaded + seal.rows_rejected) {
        throw Error(Fault::internal, "rows of a range are unaccounted for in table " + table.source);
      }
      table.rows_source += seal.rows_read;
      table.rows_loaded += seal.rows_loaded;
      table.rows_rejected += seal.rows_rejected;
      table.bytes += seal.bytes;
    }
  }

  // ---- the end ----

  [[nodiscard]] bool any_rejected() const {
    return std::any_of(report_.tables.begin(), report_.tables.end(),
                       [](const TableReport& table) { return table.rows_rejected > 0; });
  }

  int conclude() {
    from_archive_ ? expect_root_of_archive() : expect_same_file();
    if (from_archive_) expect_files_of_archive();
    const bool compared = options_.verify == VerifyMode::full || options_.verify == VerifyMode::server;
    RunState state = compared ? RunState::verified : RunState::loaded;
    report_.exit_status = 0;
    if (any_rejected()) {
      state = RunState::rejected;
      report_.exit_status = 3;
    }
    if (!differences_.empty()) {
      state = RunState::different;
      report_.exit_status = 4;
    }
    report_.status = name_of(state);
    std::vector<std::string> table_roots;
    for (const TableReport& table : report_.tables) table_roots.push_back(table.digest);
    // Without a second effect when only the answer got lost.
    const bool concluded = retries_.run(
        [&] { return conclude_run(*connections_.front(), run_.run_id, state, report_.root, table_roots); });
    if (!concluded) throw given_up();
    report_.phases.total = total_.seconds();
    report_.peak_memory_bytes = peak_memory_bytes();
    if (wal_watch_) report_.source_wal_growth = wal_watch_->growth();
    report_files();
    std::cout << summary_text(report_, options_.verify);
    for (const std::string& difference : differences_)
      std::cout << "different: " << printable(difference) << "\n";
    if (!differences_.empty()) {
      std::cout << "the target was changed after the load, or lost rows; "
                << (from_archive_ ? "" : "sluice verify --repair makes it equal again, ")
                << "--restart loads it anew\n";
    }
    if (any_rejected()) report_rejects();
    write_report();
    if (endpoint_.local) {
      std::cout << "look at it: " << endpoint_.local->psql_command << "\n";
      if (endpoint_.local->started) std::cout << "stop it:    " << endpoint_.local->stop_command << "\n";
    }
    std::cout.flush();
    return report_.exit_status;
  }

  // Each range was compared with the manifest before it was committed; this is the sum of it all.
  void expect_root_of_archive() const {
    if (options_.schema_only || report_.root == to_hex(archive_->archive->manifest().root)) return;
    throw Error(Fault::internal, "every range is as the archive says, and yet the whole has another root");
  }

  void expect_same_file() {
    if (!snapshot_->unchanged()) {
      throw Error(Fault::source_changed,
                  "the source was overwritten while it was read, by something that ignores locks",
                  "load it again with --restart --snapshot copy, which is sooner done with the source");
    }
    if (snapshot_->replaced()) {
      console_.note({.level = LogLevel::warning,
                     .message =
                         "the source was replaced or removed while it was read; what was loaded is the "
                         "file that was there when the run began"});
    }
    expect_rows_of_profile();
  }

  // The files of an archive's rows left them when it was written, and went into a store: of another machine,
  // perhaps, or somebody has cleared it up since.
  void expect_files_of_archive() {
    if (options_.schema_only) return;
    FileStores stores;
    std::uint64_t missing = 0;
    std::string first;
    for (const TablePlan& table : plan_.tables) {
      for (std::size_t number = 0; number < table.offloads.size(); ++number) {
        FileStore& store =
            stores.add(table.offloads[number].store, store_options(stop_, options_.retry_for), false);
        const FileColumn column = file_column_of(table, number);
        const auto look = [&](const PathInUse& used) {
          const std::optional<FileName> name = FileName::parse(used.path);
          if (!name || store.size_of(*name)) return;
          if (missing++ == 0) first = store.uri() + ": " + name->text();
        };
        retries_.run([&] { list_paths(*connections_.front(), column, storage_type_of(store.uri()), look); });
      }
    }
    if (missing == 0) return;
    throw Error(Fault::store,
                fmt::format("{} that rows of the archive refer to {} not there, the first is {}",
                            counted(missing, "file"), missing == 1 ? "is" : "are", first),
                "bring the files of the store there, then run the same command again");
  }

  // An earlier run may have cut other ranges: in a damaged table, whose rows are not in order, those may find
  // others.
  void expect_rows_of_profile() const {
    if (options_.schema_only) return;
    for (std::size_t i = 0; i < plan_.tables.size(); ++i) {
      const TableReport& table = report_.tables[i];
      if (table.rows_source == rows_profiled_[i]) continue;
      throw Error(
          Fault::source_unreadable,
          fmt::format("table {} is corrupt: {} were loaded by ranges of its key, and it has {}", table.source,
                      counted(table.rows_source, "row"), human_count(rows_profiled_[i])),
          "PRAGMA integrity_check tells more, and sqlite3 FILE .recover can save what is left");
    }
  }

  // The run has come to its end, and what it read is no longer needed to go on.
  void remove_copy() const {
    std::error_code ignored;
    if (!options_.snapshot_file.empty()) std::filesystem::remove(options_.snapshot_file, ignored);
  }

  void report_rejects() {
    constexpr std::size_t kGroupsListed = 20;
    std::size_t listed = 0;
    const std::vector<FailureGroup> groups =
        retries_.run([&] { return group_failures(*connections_.front(), run_.run_id); });
    for (const FailureGroup& group : groups) {
      if (++listed > kGroupsListed) {
        std::cout << "rejected: and more; the reject file has them all\n";
        break;
      }
      std::cout << fmt::format("rejected: {} of {}: column {} ({} to {}) holds {}: {}\n",
                               counted(group.rows, "row"), printable(group.table), printable(group.column),
                               group.declared_type.empty() ? "no type" : printable(group.declared_type),
                               group.target_type, group.storage_class, group.reason);
    }
    const std::filesystem::path path =
        options_.report_directory.empty()
            ? std::filesystem::path(std::filesystem::path(report_.source_path).filename().string() +
                                    ".rejects.jsonl")
            : std::filesystem::path(options_.report_directory) / "rejects.jsonl";
    std::ofstream file;
    retries_.run([&] {
      file = std::ofstream(path, std::ios::binary | std::ios::trunc);
      read_failures(*connections_.front(), run_.run_id,
                    [&](std::string_view record) { file << record << '\n'; });
    });
    file.flush();
    if (file) {
      std::cout << "rejected rows are in " << path.string() << " and in sluice.failure\n";
    } else {
      // The run is complete and the rows are safe in the ledger; a folder that takes no file changes neither.
      console_.note(
          {.level = LogLevel::warning,
           .message = "cannot write " + path.string() + "; the rejected rows are in sluice.failure"});
    }
  }

  // What an earlier call may have left in the report folder: it must not speak for this one.
  void remove_old_reports() const {
    std::error_code ignored;
    for (const char* name : {"report.json", "rejects.jsonl"}) {
      std::filesystem::remove(std::filesystem::path(options_.report_directory) / name, ignored);
    }
  }

  void write_report() const {
    if (options_.report_directory.empty()) return;
    const std::filesystem::path directory = options_.report_directory;
    failpoint("before report");
    write_file(directory / "schema.sql", script_of(plan_, refused_));
    failpoint("mid report");
    write_file(directory / "report.json", report_json(report_));
    failpoint("after report");
    std::cout << "report: " << (directory / "report.json").string() << "\n";
  }

  // The ranges and steps that are done, for the report of a run that did not come to its end.
  void take_what_is_done() {
    if (run_.run_id.empty() || !report_.root.empty() || !connections_.front()->alive()) return;
    const std::vector<WorkRecord> work = list_work(*connections_.front(), run_.run_id);
    for (const WorkRecord& record : work) {
      if (record.done) account_for(report_.tables.at(static_cast<std::size_t>(record.table)), {&record});
    }
    report_.objects = objects_of_plan(plan_, list_steps(*connections_.front(), run_.run_id));
  }

  // Best effort: the run has failed already, and that error matters more than another one.
  void report_failure(const Error& error) {
    console_.end_phase();
    end_metrics(exit_status_of(error.fault()));
    if (!writes_report()) return;
    report_.exit_status = exit_status_of(error.fault());
    report_.status = report_.exit_status == exit_status_of(Fault::interrupted) ? "interrupted" : "failed";
    report_.error += error.describe();
    report_.phases.total = total_.seconds();
    report_.peak_memory_bytes = peak_memory_bytes();
    if (wal_watch_) report_.source_wal_growth = wal_watch_->growth();
    try {
      take_what_is_done();
    } catch (const Error&) {
      // The server is gone; the report then says what this call knows.
    }
    try {
      write_file(std::filesystem::path(options_.report_directory) / "report.json", report_json(report_));
    } catch (const Error& second) {
      console_.note(event_of(LogLevel::warning, second));
    }
  }

  const MigrateOptions& options_;
  const bool from_archive_;
  StopRequest& stop_;
  const Stopwatch total_;
  Console console_;
  Damage damage_;
  RetryNotice retry_notice_;
  Retries retries_;
  Canceller canceller_;
  RunMetrics metrics_;
  std::optional<MetricsFile> metrics_file_;  // where one is asked for
  Report report_;
  MigrationPlan plan_;
  TargetCatalog existing_;  // with --data-only
  TargetEndpoint endpoint_;
  OpenRun run_;
  PhaseUse profile_use_;
  std::vector<std::uint64_t> rows_profiled_;  // per table
  std::vector<const TablePlan*> found_;  // per table: its plan when the run found it, null when it created it
  std::map<std::size_t, std::string> refused_;  // steps, with the reason
  std::vector<std::string> differences_;
  std::unique_ptr<FileStores> stores_;  // of a file; outlives the snapshot
  std::unique_ptr<Snapshot> snapshot_;  // of a file
  std::unique_ptr<WalWatch> wal_watch_;
  std::optional<OpenedArchive> archive_;          // else
  std::vector<std::unique_ptr<Source>> readers_;  // of the archive
  std::vector<Source*> sources_;                  // one per reader of either
  // The first one is used for everything between the phases.
  std::vector<std::unique_ptr<Connection>> connections_;
  bool connections_full_ = false;  // the server has room for no more
};

}  // namespace

int migrate(const MigrateOptions& options, StopRequest& stop) {
  return Migration(options, Migration::From::file, stop).run();
}

int restore(const RestoreOptions& options, StopRequest& stop) {
  return Migration(options, Migration::From::archive, stop).run();
}

}  // namespace sluice
