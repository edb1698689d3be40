#include "engine/app/verify_command.h"

#include <fmt/format.h>

#include <algorithm>
#include <chrono>
#include <iostream>
#include <map>
#include <memory>
#include <nlohmann/json.hpp>
#include <optional>
#include <random>
#include <set>

#include "engine/app/archive_differences.h"
#include "engine/app/archived.h"
#include "engine/app/console.h"
#include "engine/app/differences.h"
#include "engine/app/endpoints.h"
#include "engine/app/plan_file.h"
#include "engine/app/plan_record.h"
#include "engine/app/planning.h"
#include "engine/app/retry_notice.h"
#include "engine/app/stores.h"
#include "engine/app/verification.h"
#include "engine/app/verify_report.h"
#include "engine/app/wal_watch.h"
#include "engine/model/error.h"
#include "engine/model/fingerprint.h"
#include "engine/model/quote.h"
#include "engine/plan/planner.h"
#include "engine/run/retries.h"
#include "io/postgres/file_column.h"
#include "io/postgres/ledger.h"
#include "io/postgres/preflight.h"
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
      : options_(options),
        stop_(stop),
        console_(options.progress),
        retry_notice_(console_),
        retries_(options.retry_for, stop, [this](const auto& notice) { retry_notice_.say(notice); }),
        repairs_(options.retry_for, stop, [this](const auto& notice) { retry_notice_.say(notice); }) {}

  int run() {
    open();
    if (options_.target.empty()) return check_archive();
    connect();
    archive_ ? choose_archive() : choose_basis();
    look_for_offloads();
    // Before anything is compared: what another repair does meanwhile would be done twice.
    if (options_.repair) {
      retries_.run([&] { repair_lock_.emplace(endpoint_.conninfo, report_.tables); });
    }
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

  void open() {
    if (!is_archive(options_.source)) {
      if (options_.target.empty()) {
        if (!std::filesystem::exists(source_path(options_.source))) {
          throw Error(Fault::source_unreadable, options_.source + ": no such file or archive");
        }
        throw Error(Fault::usage, "TARGET is required, but for an archive", "see sluice verify --help");
      }
      snapshot_ = open_source(options_, stores_, console_, stop_);
      wal_watch_ = std::make_unique<WalWatch>(*snapshot_, console_);
      report_.source_path = snapshot_->path().string();
      report_.source_fingerprint = snapshot_->fingerprint();
      return;
    }
    if (options_.repair) {
      throw Error(Fault::usage, "--repair takes rows from a SQLite file, and the source is an archive",
                  "compare without it; sluice restore --restart loads the archive again");
    }
    archive_.emplace(open_archive(source_path(options_.source)));
    report_.source_path = archive_->path.string();
    report_.source_fingerprint = archive_->fingerprint;
    report_.from_archive = true;
  }

  // The archive alone: every row of it against its manifest.
  int check_archive() {
    if (options_.json) {
      throw Error(Fault::usage, "--json is for the comparison with a TARGET",
                  "leave it out, or name the target");
    }
    const std::vector<TablePlan> tables = selected_of_archive();
    console_.begin_phase();
    ArchiveScanOptions scan;
    scan.lanes = options_.jobs;
    const auto leaves = scan_archive(*archive_->archive, tables, scan, console_, stop_);
    console_.end_phase();
    if (!leaves) throw_interrupted();
    std::uint64_t rows = 0;
    for (const TableLeaves& table : *leaves) rows += table.total().rows;
    std::cout << fmt::format("the archive is whole: {} in {}, root {}\n", counted(rows, "row"),
                             counted(tables.size(), "table"), to_hex(archive_->archive->manifest().root))
              << std::flush;
    return 0;
  }

  void connect() {
    endpoint_ = open_target(options_.target, LocalTarget::must_exist);
    // Not tried again: a wrong address should be known at once.
    connect_lanes(connections_, endpoint_.conninfo, 1, console_);
    retries_.run([&] { check_readable(primary()); });
    report_.target_database = primary().database();
    report_.target_schema = options_.schema;
    report_.server_version = primary().server_version();
  }

  // ---- what is compared ----

  // Per table: the ledger's plan and digests where they are those of this very source; else a plan from the
  // target's table.
  void choose_basis() {
    // Refuses patterns without a match.
    const std::vector<const SourceTable*> selected =
        select_tables(snapshot_->catalog(), plan_options(nullptr));
    if (selected.empty())
      throw Error(Fault::usage, "there is no table to compare", "see --tables, --exclude and the mapping");
    existing_ =
        retries_.run([&] { return read_target_catalog(primary(), options_.schema, TargetUse::compare); });
    const std::map<std::string, Loaded> loaded =
        options_.scan ? std::map<std::string, Loaded>() : retries_.run([&] { return find_loaded(selected); });
    std::set<std::string> scanned;
    for (const SourceTable* table : selected) {
      const auto found = loaded.find(table->name);
      if (found == loaded.end() || !take_from_ledger(found->second)) scanned.insert(table->name);
    }
    tables_from_ledger_ = report_.tables.size();
    if (!scanned.empty()) plan_from_target(scanned);
    refuse_findings(tables_from_ledger_ > 0 || schema_elsewhere_.empty()
                        ? "lines such as tables.\"t\".exclude = true belong into a file for --config; "
                          "--tables and --exclude leave tables out"
                        : "this source was migrated into schema " + quote_identifier(schema_elsewhere_) +
                              ": --schema " + quote_identifier(schema_elsewhere_));
  }

  void refuse_findings(const std::string& advice) {
    for (const Finding& finding : findings_)
      console_.note({.level = LogLevel::error, .message = describe(finding), .table = finding.table});
    if (findings_.empty()) return;
    throw Error(Fault::target_refused,
                fmt::format("{} must be settled before the first row is read",
                            findings_.size() == 1 ? std::string("the finding above")
                                                  : fmt::format("the {} findings above", findings_.size())),
                advice);
  }

  // As the archive has them, with its plan and its digests.
  void choose_archive() {
    existing_ = read_target_catalog(primary(), archive_->plan.schema, TargetUse::compare);
    report_.target_schema = archive_->plan.schema;
    for (TablePlan& table : selected_of_archive()) {
      check_against_target(table);
      const TableEntry& entry = archive_->archive->manifest().tables.at(static_cast<std::size_t>(table.id));
      std::uint64_t rejected = 0;
      for (const RangeEntry& range : entry.ranges) rejected += range.rows_rejected;
      report_.runs.emplace_back();
      report_.unfit.push_back(rejected);
      report_.rejected.push_back(rejected);
      report_.tables.push_back(std::move(table));
    }
    refuse_findings("sluice restore loads the archive; --tables and --exclude leave tables out");
  }

  std::vector<TablePlan> selected_of_archive() const {
    const auto matches = [](const std::vector<std::string>& patterns, const TablePlan& table) {
      return std::any_of(patterns.begin(), patterns.end(),
                         [&](const std::string& pattern) { return matches_pattern(pattern, table.source); });
    };
    std::vector<TablePlan> tables;
    for (const TablePlan& table : archive_->plan.tables) {
      const bool included = options_.include.empty() || matches(options_.include, table);
      if (included && !matches(options_.exclude, table)) tables.push_back(table);
    }
    if (tables.empty())
      throw Error(Fault::usage, "there is no table to compare", "see --tables and --exclude");
    return tables;
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

  // What the ledger knows of one table of the source.
  struct Loaded {
    RunRecord run;
    TableRecord table;
  };

  // By table of the source: the newest run that loaded it into this schema, given up since or not, for the
  // digests of the same file stay good. Tables that came from another file last are refused.
  std::map<std::string, Loaded> find_loaded(const std::vector<const SourceTable*>& selected) {
    std::map<std::string, Loaded> own;
    if (!ledger_exists(primary(), LedgerUse::read)) return own;
    // By name, or a copy of the file with another one.
    const auto is_source = [&](const RunRecord& run) {
      return run.source == snapshot_->path().string() ||
             same_state(run.fingerprint, snapshot_->fingerprint());
    };
    std::map<std::string, Loaded> last;  // by table of the target
    for (const RunRecord& run : list_runs(primary())) {
      if (run.schema != options_.schema) {
        if (is_source(run)) schema_elsewhere_ = run.schema;
        continue;
      }
      for (const TableRecord& table : list_tables(primary(), run.run_id)) {
        last[table.target] = {run, table};
        if (is_source(run)) own[table.source] = {run, table};
      }
    }
    for (const SourceTable* table : selected) {
      const auto known = own.find(table->name);
      for (const auto& [target, other] : last) {
        if (is_source(other.run) || !existing_.tables.contains(target)) continue;
        const bool is_its_table = known != own.end()
                                      ? known->second.table.target == target
                                      : find_table(snapshot_->catalog(), other.table.source) == table;
        if (!is_its_table) continue;
        throw Error(Fault::source_changed,
                    "table " + quote_qualified(other.run.schema, target) + " was migrated from " +
                        other.run.source + ", which is another file",
                    "compare with that file, or with this one all the same: --scan");
      }
    }
    return own;
  }

  void find(const std::string& table, const std::string& column, std::string what, std::string resolve) {
    findings_.push_back({table, column, std::move(what), std::move(resolve), {}});
  }

  // False when what the ledger has of the table is not enough, so that both sides must be read.
  bool take_from_ledger(const Loaded& loaded) {
    const RunRecord& run = loaded.run;
    const auto read_both = [&](const std::string& why) {
      console_.note({.message = "table " + loaded.table.source + ": " + why + "; both sides are read",
                     .table = loaded.table.source});
      return false;
    };
    if (run.state == RunState::loading) {
      throw Error(Fault::target_refused, "the migration of " + run.started_at + " UTC is not finished",
                  "let it finish, or run its command again; sluice status shows it");
    }
    if (!same_state(run.fingerprint, snapshot_->fingerprint())) {
      throw Error(Fault::source_changed,
                  "the source is not as it was when it was migrated on " + run.started_at +
                      " UTC (it differs in " +
                      joined(fingerprint_differences(run.fingerprint, snapshot_->fingerprint())) + ")",
                  "compare with that state of the file, or with the file as it is now: --scan");
    }
    if (loaded.table.plan.empty())
      return read_both("the ledger was written by an earlier sluice and has no plan of it");
    std::vector<const WorkRecord*> ranges;
    const auto& [known, added] = work_.try_emplace(run.run_id);
    if (added) known->second = retries_.run([&] { return list_work(primary(), run.run_id); });
    bool complete = true;
    for (const WorkRecord& record : known->second) {
      if (record.table != loaded.table.table) continue;
      complete &= record.done;
      ranges.push_back(&record);
    }
    if (!complete && run.state != RunState::superseded) {
      throw Error(Fault::connection_lost, "the server lost ranges that it had taken",
                  "run the migration's command again to load them");
    }
    if (!complete) return read_both("the run that loaded it was given up");
    // Every table has a range, without rows too; only --schema-only plans none.
    if (ranges.empty()) return read_both("it was made without its rows (--schema-only)");
    TablePlan plan = read_plan_record(loaded.table.plan);
    plan.id = loaded.table.table;
    std::uint64_t rejected = 0;
    bool server_sums = true;
    for (const WorkRecord* range : ranges) {
      plan.extents.push_back(range->extent);
      rejected += range->seal.rows_rejected;
      server_sums &= range->server_sums;
    }
    check_against_target(plan);
    leaves_.push_back(leaves_from_ledger(plan, ranges));
    server_sums_.push_back(server_sums);
    report_.runs.push_back(run.run_id);
    report_.runs_began[run.run_id] = run.started_at;
    report_.unfit.push_back(rejected);
    report_.rejected.push_back(rejected);
    if (rejected > 0) {
      const std::size_t before = unfit_rows_.size();
      retries_.run([&] {
        unfit_rows_.resize(before);
        take_rejected_rows(run.run_id, plan, report_.tables.size());
      });
    }
    report_.tables.push_back(std::move(plan));
    return true;
  }

  // Rows that the migration left out are missing, as they would be after a scan.
  void take_rejected_rows(const std::string& run_id, const TablePlan& plan, std::size_t table) {
    const std::size_t before = unfit_rows_.size();
    read_failures(primary(), run_id, [&](std::string_view record) {
      if (unfit_rows_.size() - before < options_.max_report) take_rejected_row(record, table, plan.source);
    });
  }

  // `source`: only of that table; empty: of whatever table it is.
  void take_rejected_row(std::string_view record, std::size_t table, const std::string& source = {}) {
    const auto failure = nlohmann::ordered_json::parse(record, nullptr, false);
    if (!failure.is_object()) return;
    // An archive may be a stranger's.
    const auto text = [&](const char* key) {
      const auto found = failure.find(key);
      return found != failure.end() && found->is_string() ? found->get<std::string>() : std::string();
    };
    if (!source.empty() && text("table") != source) return;
    const auto key = failure.find("key");
    unfit_rows_.push_back({table,
                           spaced_object(key == failure.end() ? nlohmann::ordered_json::object() : *key),
                           text("column"), text("reason")});
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

  // Adds plans for these tables of the source.
  void plan_from_target(const std::set<std::string>& scanned) {
    check_mapping(options_.mapping, snapshot_->catalog());
    const PlanOptions plan = plan_options(&existing_);
    std::map<std::string, TableOutline> outlines;
    for (const SourceTable* table : select_tables(snapshot_->catalog(), plan)) {
      outlines.emplace(table->name, snapshot_->outline(*table));
    }
    MigrationPlan planned = plan_migration(snapshot_->catalog(), outlines, plan);
    for (Finding& finding : planned.findings) {
      if (finding.table.empty() || scanned.contains(finding.table)) findings_.push_back(std::move(finding));
    }
    for (TablePlan& table : planned.tables) {
      if (!scanned.contains(table.source)) continue;
      report_.tables.push_back(std::move(table));
      report_.runs.emplace_back();
    }
    report_.unfit.resize(report_.tables.size());
    report_.rejected.resize(report_.tables.size());
  }

  // ---- comparing ----

  // The digests of those tables that the ledger has none of.
  void take_source() {
    if (archive_) return take_archive();
    if (tables_from_ledger_ == report_.tables.size()) return;
    const bool needs_sums = options_.verify == VerifyMode::server;
    const std::vector<TablePlan> tables(
        report_.tables.begin() + static_cast<std::ptrdiff_t>(tables_from_ledger_), report_.tables.end());
    std::optional<ScannedSource> scanned =
        scan_source(*snapshot_, tables, needs_sums, options_.max_report, console_, stop_);
    if (!scanned) throw_interrupted();
    std::move(scanned->leaves.begin(), scanned->leaves.end(), std::back_inserter(leaves_));
    std::copy(scanned->unfit.begin(), scanned->unfit.end(),
              report_.unfit.begin() + static_cast<std::ptrdiff_t>(tables_from_ledger_));
    for (UnfitRow& row : scanned->unfit_rows) {
      row.table += tables_from_ledger_;
      unfit_rows_.push_back(std::move(row));
    }
    server_sums_.resize(report_.tables.size(), needs_sums);
  }

  void take_archive() {
    ArchiveScanOptions scan;
    scan.server_hashes = options_.verify == VerifyMode::server;
    scan.lanes = options_.jobs;
    scan.each_reject = [&](std::size_t table, std::string_view record) {
      // A record that is no record could be nested deeper than the stack is.
      constexpr std::size_t kRecordBytesNamed = std::size_t{16} << 10;
      if (record.size() > kRecordBytesNamed || unfit_rows_.size() >= options_.max_report) return;
      take_rejected_row(record, table);
    };
    auto leaves = scan_archive(*archive_->archive, report_.tables, scan, console_, stop_);
    if (!leaves) throw_interrupted();
    leaves_ = std::move(*leaves);
    server_sums_.resize(report_.tables.size(), scan.server_hashes);
  }

  void compare() {
    retries_.run([&] { connect_lanes(connections_, endpoint_.conninfo, options_.jobs, console_); });
    ComparisonWork work;
    work.tables = &report_.tables;
    work.source = &leaves_;
    work.server_sums = server_sums_;
    const std::string position =
        options_.replicas.empty() ? std::string() : retries_.run([&] { return flushed_position(primary()); });
    work.connections = lanes_of_all_targets(position);
    work.retries = &retries_;
    if (!replicas_.empty()) {
      work.before_reading_again = [this, position, lanes = work.connections](std::size_t lane) {
        look_at_standby_again(*lanes[lane], position);
      };
    }
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
  std::vector<Connection*> lanes_of_all_targets(const std::string& position) {
    const std::vector<Connection*> lanes = own_lanes();
    if (options_.replicas.empty()) return lanes;
    std::vector<std::string> conninfos;
    for (const std::string& replica : options_.replicas) {
      conninfos.push_back(open_target(replica, LocalTarget::must_exist).conninfo);
      // As with the primary, the first connection is not tried again.
      replicas_.push_back(std::make_unique<Connection>(conninfos.back()));
      Connection& standby = *replicas_.back();
      warn_of_plain_text(standby, console_);
      retries_.run([&] {
        check_readable(standby);
        wait_for_replay(standby, primary(), position, options_.replica_wait_seconds);
      });
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
        retries_.run([&] { replicas_.push_back(std::make_unique<Connection>(conninfos[server - 1])); });
        spread.push_back(replicas_.back().get());
      }
    }
    return spread;
  }

  // A standby that was started anew shows the state it replays to first, which may be an older one than
  // before. The connections of the primary belong to other lanes now, so this asks over one of its own.
  void look_at_standby_again(Connection& connection, const std::string& position) const {
    const bool standby =
        std::any_of(replicas_.begin(), replicas_.end(),
                    [&](const std::unique_ptr<Connection>& replica) { return replica.get() == &connection; });
    if (!standby) return;
    Connection own(endpoint_.conninfo);
    wait_for_replay(connection, own, position, options_.replica_wait_seconds);
  }

  // Of the leaves that differ, as far as it is known which: at first, and again after a repair that has left
  // some. `refused`: what the target did not take then.
  void find_differences(RefusedRows refused = {}) {
    Differences differences;
    differences.tables.resize(report_.tables.size());
    DifferenceWork work;
    work.snapshot = snapshot_.get();
    work.tables = &report_.tables;
    work.source = &leaves_;
    bool any = false;
    for (const TableComparison& comparison : report_.comparisons) {
      work.leaves.push_back(comparison.differing);
      work.rows_target.push_back(comparison.differing_rows);
      any |= !comparison.differing.empty();
    }
    work.connections = own_lanes();
    work.max_report = options_.max_report;
    work.show_values = options_.show_values;
    work.memory_bytes = options_.memory.digest_bytes;
    work.refused = std::move(refused);
    work.retries = &retries_;
    if (any && archive_) {
      std::optional<Differences> found = find_archive_differences(*archive_->archive, work, console_, stop_);
      if (!found) throw_interrupted();
      differences = std::move(*found);
    } else if (any) {
      finder_ = std::make_unique<DifferenceFinder>(std::move(work), console_, stop_);
      std::optional<Differences> found = finder_->find();
      if (!found) throw_interrupted();
      differences = std::move(*found);
    }
    std::uint64_t total = 0;
    for (std::size_t i = 0; i < report_.tables.size(); ++i) {
      TableDifferences& table = differences.tables[i];
      table.missing += report_.unfit[i] - std::min(report_.unfit[i], table.unfit_there);
      total += table.missing + table.mismatch + table.extraneous;
      if (i >= report_.differences.tables.size()) continue;
      table.deleted = report_.differences.tables[i].deleted;
      table.inserted = report_.differences.tables[i].inserted;
    }
    report_.differences = std::move(differences);
    name_unfit_rows();
    report_.differences_unnamed = total - std::min<std::uint64_t>(total, report_.differences.rows.size());
  }

  // Those of which the target has nothing; the others have been named as mismatches.
  void name_unfit_rows() {
    std::set<std::pair<std::size_t, std::string>> named;
    for (const RowDifference& row : report_.differences.rows) {
      if (row.unfit) named.emplace(row.table, row.key);
    }
    for (const UnfitRow& row : unfit_rows_) {
      if (report_.differences.rows.size() >= options_.max_report) break;
      if (named.contains({row.table, row.key})) continue;
      RowDifference difference;
      difference.table = row.table;
      difference.key = row.key;
      difference.reason =
          "the target's column for " + row.column + " cannot hold its value (" + row.reason + ")";
      difference.unfit = true;
      report_.differences.rows.push_back(std::move(difference));
    }
  }

  // ---- repairing ----

  // What a table's rows need.
  struct Changes {
    std::uint64_t inserts = 0;
    std::uint64_t deletes = 0;
  };

  [[nodiscard]] Changes changes_of(const TableDifferences& table, std::size_t number) const {
    const std::uint64_t mismatch = table.mismatch - table.unfit_there;
    const std::uint64_t missing = table.missing - (report_.unfit[number] - table.unfit_there);
    return {missing + mismatch, mismatch + table.extraneous};
  }

  // Whether there is anything to repair, and what for each table.
  bool find_needs(std::vector<RepairNeeds>& needs) const {
    needs.assign(report_.tables.size(), {});
    bool any = false;
    for (std::size_t i = 0; i < report_.tables.size(); ++i) {
      const Changes changes = changes_of(report_.differences.tables[i], i);
      if (changes.inserts + changes.deletes == 0) continue;
      refuse_what_cannot_be_repaired(i);
      needs[i] = {&report_.tables[i], changes.inserts > 0, changes.deletes > 0};
      any = true;
    }
    return any;
  }

  // sluice offload changes rows after a migration, and a repair would bring their texts back.
  void look_for_offloads() {
    // A role that may not read them is told nothing of them.
    const std::optional<std::vector<RegisteredFileColumn>> registered =
        retries_.run([&] { return list_file_columns(primary()); });
    for (const TablePlan& table : report_.tables) {
      const bool offloaded =
          table.offloads.empty() && registered &&
          std::any_of(registered->begin(), registered->end(), [&](const RegisteredFileColumn& known) {
            return known.there && known.column.schema == table.schema && known.column.table == table.target;
          });
      if (!offloaded) continue;
      const std::string what = "files left " + quoted_name(table) + " since it was loaded (sluice offload)";
      if (options_.repair) {
        throw Error(Fault::usage, what + ", and a repair would bring their texts back",
                    "--exclude " + table.source + " leaves it out");
      }
      console_.note(
          {.level = LogLevel::warning, .message = what + ": its rows differ in that", .table = table.source});
    }
  }

  // As a migration does: nobody removes a file between the look whether it is there and the commit of its
  // row.
  void keep_files() {
    for (const TablePlan& table : report_.tables) {
      for (std::size_t number = 0; number < table.offloads.size(); ++number) {
        retries_.run([&] {
          register_file_column(primary(), file_column_of(table, number), table.offloads[number].store);
        });
      }
    }
    file_connection_ = std::make_unique<Connection>(endpoint_.conninfo);
    file_transaction_ = std::make_unique<Transaction>(*file_connection_);
    lock_files(*file_connection_, FileLock::putting);
  }

  void repair() {
    std::vector<RepairNeeds> needs;
    if (!find_needs(needs)) return;
    // Rows that are put back refer to files, which may be gone as well.
    open_stores(report_.tables, store_options(stop_, options_.retry_for), stores_);
    if (!stores_.empty()) keep_files();
    found_.comparisons = report_.comparisons;
    found_.differences = report_.differences;
    found_.unnamed = report_.differences_unnamed;
    RefusedRows refused;
    bool begun = false;
    try {
      repairs_.run([&](std::size_t attempt) {
        const bool locked = repair_lock_->held();
        if (attempt > 1 || !locked) {
          refused.clear();
          find_what_is_left(locked);
          if (!find_needs(needs)) return;
        }
        const RepairRights rights = retries_.run([&] { return prepare_repair(primary(), needs); });
        if (!report_.repair) {
          report_.repair.emplace().id = retries_.run([&] { return make_repair_id(primary()); });
        }
        begun = true;
        repair_as_found(rights, refused);
      });
    } catch (const Error& error) {
      if (!begun) throw;
      report_as_found();
      end_in_the_middle(error);
    }
    report_as_found();
    if (report_.repair) compare_repaired(std::move(refused));
  }

  void repair_as_found(const RepairRights& rights, RefusedRows& refused) {
    RepairOutcome& outcome = *report_.repair;
    outcome.recorded = rights.recorded;
    outcome.advice.clear();
    if (!rights.without_triggers) {
      outcome.advice =
          "where foreign keys are in the way, a superuser can let the role suspend them: GRANT SET "
          "ON PARAMETER session_replication_role TO " +
          quote_identifier(primary().user());
    }
    try {
      const RepairRecord record{outcome.id, report_.source_path};
      if (!finder_->repair(rights, record, report_.runs, repairs_, report_.differences, refused)) {
        throw Error(Fault::interrupted, "stopped in the middle of the repair",
                    "what is repaired stays; run the same command again for the rest");
      }
      settle_repair(primary());
      // Until that was done a crash could take leaves back that were repaired, and the lanes may have been
      // between two transactions then. The session with the lock never is.
      if (!repair_lock_->held()) {
        throw Error(Fault::connection_lost,
                    "the server was lost during the repair, and may have lost what it had taken",
                    "run the same command again");
      }
    } catch (Error& error) {
      // Somebody else writes to these rows, and would be in the way again.
      if (error.sqlstate() == "40001") error.set_may_pass(false);
      throw;
    }
  }

  // Of the leaves that differed at first: a leaf whose COMMIT was not answered may be repaired or not, and
  // one whose COMMIT was may have gone with a crash. `locked`: the lock held all the time; else another
  // repair may have been here.
  void find_what_is_left(bool locked) {
    if (!locked) {
      retries_.run([&] {
        try {
          repair_lock_.reset();
          repair_lock_.emplace(endpoint_.conninfo, report_.tables);
        } catch (Error& error) {
          // The server may not have noticed yet that the session is gone which held it.
          if (error.fault() == Fault::target_unavailable) error.set_may_pass(true);
          throw;
        }
      });
    }
    report_.comparisons = found_.comparisons;
    for (std::size_t i = 0; i < report_.tables.size(); ++i) {
      TableComparison& comparison = report_.comparisons[i];
      if (comparison.differing.empty()) continue;
      LeavesLeft left = leaves_left(i);
      comparison.differing = std::move(left.differing);
      comparison.differing_rows = std::move(left.rows);
    }
    find_differences();
    for (std::size_t i = 0; i < report_.tables.size(); ++i) {
      TableDifferences& table = report_.differences.tables[i];
      const Changes wanted = changes_of(found_.differences.tables[i], i);
      const Changes left = changes_of(table, i);
      table.inserted = wanted.inserts - std::min(wanted.inserts, left.inserts);
      table.deleted = wanted.deletes - std::min(wanted.deletes, left.deletes);
    }
  }

  [[nodiscard]] LeavesLeft leaves_left(std::size_t table) {
    std::optional<LeavesLeft> left = compare_leaves(own_lanes(), report_.tables[table], leaves_[table],
                                                    report_.comparisons[table].differing, retries_, stop_);
    if (!left) throw_interrupted();
    return std::move(*left);
  }

  // What was found before the repair, however often it was begun, and what has been done about it.
  void report_as_found() {
    for (std::size_t i = 0; i < report_.tables.size(); ++i) {
      found_.differences.tables[i].deleted = report_.differences.tables[i].deleted;
      found_.differences.tables[i].inserted = report_.differences.tables[i].inserted;
    }
    report_.comparisons = found_.comparisons;
    report_.differences = found_.differences;
    report_.differences_unnamed = found_.unnamed;
  }

  void compare_repaired(RefusedRows refused) {
    count_repaired();
    RepairOutcome& outcome = *report_.repair;
    outcome.refused = refused.size();
    outcome.equal = true;
    bool any_left = false;
    for (std::size_t i = 0; i < report_.tables.size(); ++i) {
      TableComparison& comparison = report_.comparisons[i];
      if (!comparison.differing.empty()) {
        LeavesLeft left = leaves_left(i);
        any_left |= !left.differing.empty();
        comparison.equal = left.differing.empty() && report_.unfit[i] == 0;
        if (left.differing.empty() && comparison.root_target) comparison.root_target = comparison.root_source;
        const TableDifferences& table = report_.differences.tables[i];
        comparison.rows_target = comparison.rows_target + table.inserted - table.deleted;
        if (!left.differing.empty()) {
          comparison.differing = std::move(left.differing);
          comparison.differing_rows = std::move(left.rows);
        } else {
          mended_.push_back(i);
        }
      }
      outcome.equal &= comparison.equal;
    }
    if (any_left) report_what_is_left(std::move(refused));
  }

  // The differences that were found before are of no use any more.
  void report_what_is_left(RefusedRows refused) {
    std::vector<TableComparison> before = report_.comparisons;
    for (const std::size_t table : mended_) report_.comparisons[table].differing.clear();
    find_differences(std::move(refused));
    for (const std::size_t table : mended_) report_.comparisons[table].differing = before[table].differing;
  }

  void count_repaired() {
    report_.repair->rows_deleted = report_.repair->rows_inserted = 0;
    for (const TableDifferences& table : report_.differences.tables) {
      report_.repair->rows_deleted += table.deleted;
      report_.repair->rows_inserted += table.inserted;
    }
  }

  // What was done is said and made sure of, before the reason why it is not all.
  [[noreturn]] void end_in_the_middle(const Error& error) {
    count_repaired();
    try {
      settle_repair(primary());
    } catch (const Error&) {
      // The one that ended the repair says more.
    }
    report_.repair->ended_early = true;
    show_report(error.fault());
    throw error;
  }

  void refuse_what_cannot_be_repaired(std::size_t number) const {
    const TablePlan& plan = report_.tables[number];
    for (const ColumnPlan& column : plan.columns) {
      if (!column.compared_as_text) continue;
      show_report(Fault::usage);
      throw Error(Fault::usage,
                  "table " + quote_identifier(plan.source) + " cannot be repaired: column " +
                      quote_identifier(column.source) + " has type " + column.type_name +
                      " in the target, which sluice compares but does not write",
                  "repair its rows by hand, or leave the table out with --exclude");
    }
    const TableDifferences& differences = report_.differences.tables[number];
    const bool keyless_unfit = plan.key_columns.empty() && report_.unfit[number] > 0;
    if (differences.extraneous > 0 && (differences.unfit_unnamed || keyless_unfit)) {
      show_report(Fault::usage);
      throw Error(Fault::usage,
                  "table " + quote_identifier(plan.source) +
                      " cannot be repaired: rows of the source do not fit the target's types and have no key "
                      "there, so an extraneous row may be one of them",
                  "widen the columns named above and verify again, or leave the table out with --exclude");
    }
    if (!plan.key_columns.empty() || options_.repair_without_key) return;
    show_report(Fault::usage);
    throw Error(Fault::usage,
                "rows of table " + quote_identifier(plan.source) +
                    " have no key, so nothing says which of equal rows is meant",
                "--repair-without-key deletes and inserts by whole rows; --exclude leaves the table out");
  }

  // ---- the end ----

  // What was found is said, also when the repair is refused or ends in the middle.
  void show_report(Fault fault) const {
    VerifyReport report = report_;
    report.status = "different";
    report.exit_status = exit_status_of(fault);
    std::cout << (options_.json ? verify_report_json(report) : verify_report_text(report)) << std::flush;
  }

  int conclude() {
    if (snapshot_ && !snapshot_->unchanged()) {
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
  RetryNotice retry_notice_;
  Retries retries_;  // of what is read
  // Of the repair as a whole. Apart from the others, since whoever can still read but not write makes no
  // progress.
  Retries repairs_;
  VerifyReport report_;
  TargetEndpoint endpoint_;
  TargetCatalog existing_;
  std::vector<Finding> findings_;
  std::map<std::string, std::vector<WorkRecord>> work_;  // by run
  std::size_t tables_from_ledger_ = 0;                   // they come first
  // Holds the lock on files during a repair that puts some.
  std::unique_ptr<Connection> file_connection_;
  std::unique_ptr<Transaction> file_transaction_;
  FileStores stores_;  // outlives the snapshot
  std::unique_ptr<Snapshot> snapshot_;
  std::unique_ptr<WalWatch> wal_watch_;
  std::optional<OpenedArchive> archive_;  // in place of both
  std::vector<std::unique_ptr<Connection>>
      connections_;  // to the target; the first is used between the phases
  std::vector<std::unique_ptr<Connection>> replicas_;
  std::vector<TableLeaves> leaves_;  // of the source
  std::vector<bool> server_sums_;
  std::string schema_elsewhere_;  // into which this source was migrated, too; empty: none
  std::vector<UnfitRow> unfit_rows_;
  std::unique_ptr<DifferenceFinder> finder_;
  std::vector<std::size_t> mended_;  // tables that differed and are equal since the repair
  std::optional<RepairLock> repair_lock_;
  struct {
    std::vector<TableComparison> comparisons;
    Differences differences;
    std::uint64_t unnamed = 0;
  } found_;  // before the repair
};

}  // namespace

int verify(const VerifyOptions& options, const StopRequest& stop) {
  return Verification(options, stop).run();
}

}  // namespace sluice
