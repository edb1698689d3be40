#include "engine/app/verify_command.h"

#include <fmt/format.h>

#include <algorithm>
#include <chrono>
#include <iostream>
#include <map>
#include <memory>
#include <optional>
#include <random>

#include "engine/app/console.h"
#include "engine/app/differences.h"
#include "engine/app/endpoints.h"
#include "engine/app/plan_file.h"
#include "engine/app/plan_record.h"
#include "engine/app/planning.h"
#include "engine/app/verification.h"
#include "engine/app/verify_report.h"
#include "engine/model/error.h"
#include "engine/model/quote.h"
#include "engine/plan/planner.h"
#include "io/postgres/ledger.h"
#include "io/postgres/repair.h"
#include "io/postgres/replica.h"
#include "io/postgres/target.h"
#include "io/postgres/target_catalog.h"
#include "io/sqlite/snapshot.h"
#include "verify/merkle.h"

namespace sluice {
namespace {

[[noreturn]] void throw_interrupted() {
  throw Error(Fault::interrupted, "stopped before the end", "run the same command again");
}

class Verification {
 public:
  Verification(const VerifyOptions& options, const StopRequest& stop)
      : options_(options), stop_(stop), console_(options.progress) {}

  int run() {
    snapshot_ = std::make_unique<Snapshot>(source_path(options_.source), options_.jobs);
    if (!snapshot_->remark().empty()) console_.say(snapshot_->remark());
    connect();
    choose_basis();
    console_.begin_phase();
    take_source();
    compare();
    find_differences();
    if (options_.repair) repair();
    console_.end_phase();
    return conclude();
  }

 private:
  [[nodiscard]] Connection& primary() const { return *connections_.front(); }

  void connect() {
    endpoint_ = open_target(options_.target, LocalTarget::must_exist);
    connect_lanes(connections_, endpoint_.conninfo, 1, console_);
    check_readable(primary());
    report_.source_path = snapshot_->path().string();
    report_.source_fingerprint = snapshot_->fingerprint();
    report_.target_database = primary().database();
    report_.target_schema = options_.schema;
    report_.server_version = primary().server_version();
  }

  // ---- what is compared ----

  // The ledger's plan and digests where they are those of this very source; else a plan from the target's
  // tables.
  void choose_basis() {
    select_tables(snapshot_->catalog(), plan_options(nullptr));  // refuses patterns without a match
    existing_ = read_target_catalog(primary(), options_.schema, TargetUse::compare);
    if (!options_.scan) run_ = find_run();
    if (run_) {
      take_plans_from_ledger();
    } else {
      plan_from_target();
    }
    for (const Finding& finding : findings_) console_.say("sluice: " + describe(finding));
    if (!findings_.empty()) {
      throw Error(
          Fault::target_refused,
          fmt::format("{} must be settled before the first row is read",
                      findings_.size() == 1 ? std::string("the finding above")
                                            : fmt::format("the {} findings above", findings_.size())),
          run_ || schema_elsewhere_.empty()
              ? "lines in brackets belong into a file for --config; --tables and --exclude leave tables out"
              : "this source was migrated into schema " + quote_identifier(schema_elsewhere_) +
                    ": --schema " + quote_identifier(schema_elsewhere_));
    }
  }

  PlanOptions plan_options(const TargetCatalog* existing) const {
    PlanOptions plan;
    plan.schema = options_.schema;
    plan.include = options_.include;
    plan.exclude = options_.exclude;
    plan.lanes = options_.jobs;
    plan.mapping = options_.mapping;
    plan.existing = existing;
    return plan;
  }

  // The newest run that loaded this source into this schema. Tables that came from elsewhere are refused.
  std::optional<RunRecord> find_run() {
    if (!ledger_exists(primary(), LedgerUse::read)) return std::nullopt;
    const std::string source = snapshot_->path().string();
    std::optional<RunRecord> found;
    std::vector<RunRecord> others;
    for (const RunRecord& run : list_runs(primary())) {
      if (run.state == RunState::superseded) continue;
      if (run.schema != options_.schema) {
        if (run.source == source) schema_elsewhere_ = run.schema;
        continue;
      }
      if (run.source == source) {
        found = run;
      } else {
        others.push_back(run);
      }
    }
    if (!found) {
      refuse_tables_of(others);
      return std::nullopt;
    }
    if (found->state == RunState::loading) {
      throw Error(Fault::target_refused, "the migration of " + found->started_at + " UTC is not finished",
                  "let it finish, or run its command again; sluice status shows it");
    }
    if (found->fingerprint != snapshot_->fingerprint()) {
      throw Error(Fault::source_changed,
                  "the source is not as it was when it was migrated on " + found->started_at + " UTC",
                  "compare with that state of the file, or with the file as it is now: --scan");
    }
    for (const TableRecord& table : list_tables(primary(), found->run_id)) {
      if (!table.plan.empty()) continue;
      console_.say(
          "the ledger was written by an earlier sluice and has no plan of its tables; both sides are read");
      return std::nullopt;
    }
    return found;
  }

  void refuse_tables_of(const std::vector<RunRecord>& runs) {
    for (const RunRecord& run : runs) {
      for (const TableRecord& table : list_tables(primary(), run.run_id)) {
        const SourceTable* own = find_table(snapshot_->catalog(), table.source);
        if (own == nullptr || !existing_.tables.contains(table.target)) continue;
        throw Error(Fault::source_changed,
                    "table " + quote_qualified(run.schema, table.target) + " was migrated from " +
                        run.source + ", which is another file",
                    "compare with that file, or with this one all the same: --scan");
      }
    }
  }

  void find(const std::string& table, const std::string& column, std::string what, std::string resolve) {
    findings_.push_back({table, column, std::move(what), std::move(resolve), {}});
  }

  [[nodiscard]] bool is_selected(const std::string& table) const {
    const auto matches = [&](const std::vector<std::string>& patterns) {
      return std::any_of(patterns.begin(), patterns.end(),
                         [&](const std::string& pattern) { return matches_pattern(pattern, table); });
    };
    return (options_.include.empty() || matches(options_.include)) && !matches(options_.exclude);
  }

  void take_plans_from_ledger() {
    report_.run_id = run_->run_id;
    report_.run_began = run_->started_at;
    std::map<std::uint32_t, std::vector<const WorkRecord*>> ranges;
    const std::vector<WorkRecord> work = list_work(primary(), run_->run_id);
    for (const WorkRecord& record : work) {
      if (!record.done) {
        throw Error(Fault::connection_lost, "the server lost ranges that it had taken",
                    "run the migration's command again to load them");
      }
      ranges[static_cast<std::uint32_t>(record.table)].push_back(&record);
    }
    for (const TableRecord& record : list_tables(primary(), run_->run_id)) {
      if (!is_selected(record.source)) continue;
      TablePlan plan = read_plan_record(record.plan);
      plan.id = record.table;
      const std::vector<const WorkRecord*>& own = ranges[static_cast<std::uint32_t>(record.table)];
      for (const WorkRecord* range : own) plan.extents.push_back(range->extent);
      check_against_target(plan);
      leaves_.push_back(leaves_from_ledger(plan, own));
      server_sums_.push_back(
          std::all_of(own.begin(), own.end(), [](const WorkRecord* range) { return range->server_sums; }));
      std::uint64_t rejected = 0;
      for (const WorkRecord* range : own) rejected += range->seal.rows_rejected;
      report_.rejected.push_back(rejected);
      report_.tables.push_back(std::move(plan));
    }
  }

  // Whether the table is as it was loaded, as far as comparing needs it.
  void check_against_target(const TablePlan& plan) {
    const auto found = existing_.tables.find(plan.target);
    if (found == existing_.tables.end()) {
      find(plan.source, "", quoted_name(plan) + " is gone from the target",
           "sluice migrate --restart loads it again");
      return;
    }
    for (const Obstacle& obstacle : found->second.obstacles)
      find(plan.source, "", obstacle.what, obstacle.resolve);
    for (const ColumnPlan& column : plan.columns) {
      const auto& columns = found->second.columns;
      const auto there = std::find_if(columns.begin(), columns.end(), [&](const ExistingColumn& candidate) {
        return candidate.name == column.target;
      });
      if (there == columns.end()) {
        find(plan.source, column.source,
             "column " + quote_identifier(column.target) + " is gone from " + quoted_name(plan),
             "--scan compares the columns that are there, with [tables." + quote_identifier(plan.source) +
                 ".columns." + quote_identifier(column.source) + "] exclude = true");
        continue;
      }
      const std::string type =
          there->type_name.empty() ? sql_of(there->type, there->modifier) : there->type_name;
      if (type == type_of(column)) continue;
      find(plan.source, column.source,
           "it was loaded as " + type_of(column) + " and is " + type + " in the target now",
           "--scan compares it in the type that it has now");
    }
  }

  void plan_from_target() {
    check_mapping(options_.mapping, snapshot_->catalog());
    const PlanOptions plan = plan_options(&existing_);
    std::map<std::string, TableOutline> outlines;
    for (const SourceTable* table : select_tables(snapshot_->catalog(), plan)) {
      outlines.emplace(table->name, snapshot_->outline(*table));
    }
    MigrationPlan planned = plan_migration(snapshot_->catalog(), outlines, plan);
    findings_ = std::move(planned.findings);
    report_.tables = std::move(planned.tables);
    report_.rejected.assign(report_.tables.size(), 0);
  }

  // ---- comparing ----

  void take_source() {
    report_.unfit.assign(report_.tables.size(), 0);
    const bool needs_sums = options_.verify == VerifyMode::server;
    if (run_) return;
    std::optional<ScannedSource> scanned =
        scan_source(*snapshot_, report_.tables, needs_sums, options_.max_report, console_, stop_);
    if (!scanned) throw_interrupted();
    leaves_ = std::move(scanned->leaves);
    report_.unfit = std::move(scanned->unfit);
    unfit_rows_ = std::move(scanned->unfit_rows);
    server_sums_.assign(report_.tables.size(), needs_sums);
  }

  void compare() {
    connect_lanes(connections_, endpoint_.conninfo, options_.jobs, console_);
    ComparisonWork work;
    work.tables = &report_.tables;
    work.source = &leaves_;
    work.server_sums = server_sums_;
    work.connections = lanes_of_all_targets();
    work.mode = options_.verify;
    work.sample_percent = options_.sample_percent;
    if (options_.sample_percent < 100) {
      report_.sample_seed = options_.sample_seed != 0 ? options_.sample_seed : std::random_device{}() | 1u;
    }
    work.sample_seed = report_.sample_seed;
    report_.comparisons = compare_target(work, console_, stop_);
    if (report_.comparisons.size() != report_.tables.size()) throw_interrupted();
    std::vector<std::pair<std::string, Digest>> roots;
    for (std::size_t i = 0; i < report_.tables.size(); ++i) {
      roots.emplace_back(report_.tables[i].source, report_.comparisons[i].root_source);
      if (report_.unfit[i] > 0) report_.comparisons[i].equal = false;
    }
    report_.root = to_hex(database_root(roots));
  }

  [[nodiscard]] std::vector<Connection*> own_lanes() const {
    std::vector<Connection*> lanes;
    for (const std::unique_ptr<Connection>& connection : connections_) lanes.push_back(connection.get());
    return lanes;
  }

  // The lanes in turn over the primary and its standbys, each of which has replayed what the primary has.
  std::vector<Connection*> lanes_of_all_targets() {
    const std::vector<Connection*> lanes = own_lanes();
    if (options_.replicas.empty()) return lanes;
    const std::string position = flushed_position(primary());
    std::vector<std::string> conninfos;
    for (const std::string& replica : options_.replicas) {
      conninfos.push_back(open_target(replica, LocalTarget::must_exist).conninfo);
      replicas_.push_back(std::make_unique<Connection>(conninfos.back()));
      check_readable(*replicas_.back());
      wait_for_replay(*replicas_.back(), primary(), position, options_.replica_wait_seconds);
    }
    const std::size_t servers = conninfos.size() + 1;
    const std::size_t wanted = std::max(options_.jobs, servers);
    std::vector<Connection*> spread = {lanes.front()};
    for (const std::unique_ptr<Connection>& replica : replicas_) spread.push_back(replica.get());
    for (std::size_t lane = servers; lane < wanted; ++lane) {
      const std::size_t server = lane % servers;
      if (server == 0) {
        const std::size_t own = lane / servers;
        if (own < lanes.size()) spread.push_back(lanes[own]);
      } else {
        replicas_.push_back(std::make_unique<Connection>(conninfos[server - 1]));
        spread.push_back(replicas_.back().get());
      }
    }
    return spread;
  }

  void find_differences() {
    report_.differences.tables.resize(report_.tables.size());
    DifferenceWork work;
    work.snapshot = snapshot_.get();
    work.tables = &report_.tables;
    work.source = &leaves_;
    bool any = false;
    for (const TableComparison& comparison : report_.comparisons) {
      work.leaves.push_back(comparison.differing);
      work.rows_target.push_back(comparison.rows_target);
      any |= !comparison.differing.empty();
    }
    for (const std::unique_ptr<Connection>& connection : connections_)
      work.connections.push_back(connection.get());
    work.max_report = options_.max_report;
    work.show_values = options_.show_values;
    if (any) {
      finder_ = std::make_unique<DifferenceFinder>(std::move(work), console_, stop_);
      std::optional<Differences> found = finder_->find();
      if (!found) throw_interrupted();
      report_.differences = std::move(*found);
    }
    std::uint64_t total = 0;
    for (std::size_t i = 0; i < report_.tables.size(); ++i) {
      TableDifferences& table = report_.differences.tables[i];
      table.missing += report_.unfit[i];
      total += table.missing + table.mismatch + table.extraneous;
    }
    for (const UnfitRow& row : unfit_rows_) {
      if (report_.differences.rows.size() >= options_.max_report) break;
      RowDifference difference;
      difference.table = row.table;
      difference.key = row.key;
      difference.unfit =
          "the target's column for " + row.column + " cannot hold its value (" + row.reason + ")";
      report_.differences.rows.push_back(std::move(difference));
    }
    report_.differences_unnamed = total - std::min<std::uint64_t>(total, report_.differences.rows.size());
  }

  // ---- repairing ----

  void repair() {
    std::vector<RepairNeeds> needs;
    for (std::size_t i = 0; i < report_.tables.size(); ++i) {
      const TableDifferences& table = report_.differences.tables[i];
      const bool insert = table.missing - report_.unfit[i] + table.mismatch > 0;
      const bool remove = table.mismatch + table.extraneous > 0;
      if (!insert && !remove) continue;
      refuse_what_cannot_be_repaired(report_.tables[i]);
      needs.push_back({&report_.tables[i], insert, remove});
    }
    if (needs.empty()) return;
    const RepairRights rights = prepare_repair(primary(), needs);
    RepairRecord record;
    record.repair_id = make_repair_id(primary());
    record.run_id = report_.run_id;
    record.source = report_.source_path;
    RepairOutcome outcome;
    outcome.id = record.repair_id;
    outcome.recorded = rights.recorded;
    const bool complete = finder_->repair(rights, record, report_.differences);
    settle_repair(primary());
    for (const TableDifferences& table : report_.differences.tables) {
      outcome.rows_deleted += table.deleted;
      outcome.rows_inserted += table.inserted;
    }
    if (!complete) {
      throw Error(Fault::interrupted,
                  fmt::format("stopped in the middle of the repair: {} deleted and {} inserted so far",
                              counted(outcome.rows_deleted, "row"), counted(outcome.rows_inserted, "row")),
                  "what is repaired stays; run the same command again for the rest");
    }
    outcome.equal = true;
    for (std::size_t i = 0; i < report_.tables.size(); ++i) {
      TableComparison& comparison = report_.comparisons[i];
      if (!comparison.differing.empty()) {
        const auto left =
            compare_leaves(own_lanes(), report_.tables[i], leaves_[i], comparison.differing, stop_);
        if (!left) throw_interrupted();
        comparison.equal = left->empty() && report_.unfit[i] == 0;
        if (comparison.equal && comparison.root_target) comparison.root_target = comparison.root_source;
        const TableDifferences& table = report_.differences.tables[i];
        comparison.rows_target = comparison.rows_target + table.inserted - table.deleted;
      }
      outcome.equal &= comparison.equal;
    }
    report_.repair = outcome;
  }

  void refuse_what_cannot_be_repaired(const TablePlan& plan) const {
    for (const ColumnPlan& column : plan.columns) {
      if (!column.compared_as_text) continue;
      show_report();
      throw Error(Fault::usage,
                  "table " + quote_identifier(plan.source) + " cannot be repaired: column " +
                      quote_identifier(column.source) + " has type " + column.type_name +
                      " in the target, which sluice compares but does not write",
                  "repair its rows by hand, or leave the table out with --exclude");
    }
    if (!plan.key_columns.empty() || options_.repair_without_key) return;
    show_report();
    throw Error(Fault::usage,
                "rows of table " + quote_identifier(plan.source) +
                    " have no key, so nothing says which of equal rows is meant",
                "--repair-without-key deletes and inserts by whole rows; --exclude leaves the table out");
  }

  // ---- the end ----

  // What was found is said, also when the repair is refused.
  void show_report() const {
    VerifyReport report = report_;
    report.status = "different";
    report.exit_status = exit_status_of(Fault::usage);
    std::cout << (options_.json ? verify_report_json(report) : verify_report_text(report)) << std::flush;
  }

  int conclude() {
    if (!snapshot_->unchanged()) {
      throw Error(Fault::source_changed,
                  "the source was overwritten while it was read, by something that ignores locks",
                  "copy it where nobody writes to it, and compare again");
    }
    const bool equal = std::all_of(report_.comparisons.begin(), report_.comparisons.end(),
                                   [](const TableComparison& comparison) { return comparison.equal; });
    const auto any_at = [&](Level level) {
      return std::any_of(report_.comparisons.begin(), report_.comparisons.end(),
                         [&](const TableComparison& comparison) { return comparison.level == level; });
    };
    report_.exit_status = equal ? 0 : 4;
    report_.status = !equal                  ? "different"
                     : report_.repair        ? "repaired"
                     : any_at(Level::count)  ? "counted"
                     : any_at(Level::sample) ? "sampled"
                     : any_at(Level::server) ? "hashed"
                                             : "equal";
    report_.seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - began_).count();
    std::cout << (options_.json ? verify_report_json(report_) : verify_report_text(report_));
    if (!options_.json && endpoint_.local && endpoint_.local->started) {
      std::cout << "the server was started for it; stop it: " << endpoint_.local->stop_command << "\n";
    }
    std::cout.flush();
    return report_.exit_status;
  }

  const VerifyOptions& options_;
  const StopRequest& stop_;
  const std::chrono::steady_clock::time_point began_ = std::chrono::steady_clock::now();
  Console console_;
  VerifyReport report_;
  TargetEndpoint endpoint_;
  TargetCatalog existing_;
  std::vector<Finding> findings_;
  std::optional<RunRecord> run_;
  std::unique_ptr<Snapshot> snapshot_;
  std::vector<std::unique_ptr<Connection>>
      connections_;  // to the target; the first is used between the phases
  std::vector<std::unique_ptr<Connection>> replicas_;
  std::vector<TableLeaves> leaves_;  // of the source
  std::vector<bool> server_sums_;
  std::string schema_elsewhere_;  // into which this source was migrated, too; empty: none
  std::vector<UnfitRow> unfit_rows_;
  std::unique_ptr<DifferenceFinder> finder_;
};

}  // namespace

int verify(const VerifyOptions& options, const StopRequest& stop) {
  return Verification(options, stop).run();
}

}  // namespace sluice
