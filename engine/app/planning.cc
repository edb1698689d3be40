#include "engine/app/planning.h"

#include <fmt/format.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <functional>
#include <utility>

#include "engine/app/endpoints.h"
#include "engine/app/plan_file.h"
#include "engine/app/profile.h"
#include "engine/model/error.h"
#include "engine/model/quote.h"
#include "engine/offload/offload_source.h"
#include "engine/plan/decision.h"
#include "engine/plan/planner.h"
#include "engine/run/large_row_gate.h"
#include "io/sqlite/private_copy.h"
#include "io/wire/type_table.h"
#include "io/wire/utf8.h"

namespace sluice {
namespace {

PlanOptions options_of(const PlanningOptions& options, const TargetCatalog* existing) {
  PlanOptions plan;
  plan.schema = options.schema;
  plan.include = options.include;
  plan.exclude = options.exclude;
  plan.range_bytes = options.range_bytes;
  plan.lanes = options.jobs;
  plan.mapping = options.mapping;
  plan.existing = existing;
  return plan;
}

const ColumnMapping* wish_for(const Mapping& mapping, const std::string& table, const std::string& column) {
  return find_column(mapping.table(table), column);
}

MisfitPolicy policy_for(const Mapping& mapping, const ColumnMapping* wish) {
  return wish != nullptr && wish->on_misfit ? *wish->on_misfit : mapping.on_misfit;
}

std::vector<PlannedColumn> columns_to_judge(const MigrationPlan& plan) {
  std::vector<PlannedColumn> columns;
  for (const TablePlan& table : plan.tables) {
    for (const ColumnPlan& column : table.columns) {
      const bool judge = column.judge || column.conversion.any() || !column.type_name.empty();
      if (judge) columns.push_back({table.source, column.source});
    }
  }
  return columns;
}

std::vector<PlannedColumn> lengths_to_judge(const MigrationPlan& plan) {
  std::vector<PlannedColumn> columns;
  for (const TablePlan& table : plan.tables) {
    for (const ColumnPlan& column : table.columns) {
      if (column.judge_length) columns.push_back({table.source, column.source});
    }
  }
  return columns;
}

BadTextPolicy bad_text_for(const Mapping& mapping, const ColumnMapping* wish) {
  return wish != nullptr && wish->bad_text ? *wish->bad_text : mapping.bad_text;
}

// REQUIRES: it is planned.
const ColumnPlan& planned_column(const MigrationPlan& plan, const std::string& table_name,
                                 const std::string& column_name) {
  const auto table = std::find_if(plan.tables.begin(), plan.tables.end(),
                                  [&](const TablePlan& planned) { return planned.source == table_name; });
  return *std::find_if(table->columns.begin(), table->columns.end(),
                       [&](const ColumnPlan& planned) { return planned.source == column_name; });
}

// Types and conversions of the user's must hold every value, or the run does not begin.
void refuse_misfits(const std::vector<PlannedMisfit>& misfits, const Mapping& mapping, MigrationPlan& plan) {
  for (const PlannedMisfit& misfit : misfits) {
    const ColumnMapping* wish = wish_for(mapping, misfit.table, misfit.column);
    if (policy_for(mapping, wish) == MisfitPolicy::reject) continue;
    const bool bad_text = misfit.reason == Misfit::invalid_utf8 || misfit.reason == Misfit::nul_character;
    if (bad_text && bad_text_for(mapping, wish) == BadTextPolicy::reject) continue;
    const ColumnPlan& column = planned_column(plan, misfit.table, misfit.column);
    Finding finding;
    finding.table = misfit.table;
    finding.column = misfit.column;
    const std::string conversion = describe(column.conversion);
    finding.what = fmt::format("{} not fit {}{} ({}), the first at {}",
                               misfit.rows == 1 ? "1 value does" : fmt::format("{} values do", misfit.rows),
                               type_of(column), conversion.empty() ? "" : " with " + conversion,
                               name_of(misfit.reason), misfit.key);
    if (misfit.reason == Misfit::zone_missing) {
      finding.resolve =
          mapping_line(misfit.table, misfit.column, "naive-as-utc = true") + " if they are UTC, ";
    }
    finding.resolve += (plan.into_existing ? "another type in the target, or " : "choose another type, or ") +
                       mapping_line(misfit.table, misfit.column, "on-misfit = \"reject\"") +
                       " to leave those rows out";
    if (wish != nullptr) finding.origin = wish->type_origin.empty() ? wish->origin : wish->type_origin;
    plan.findings.push_back(std::move(finding));
  }
}

// Of a column that does not arrive, only files may be taken away.
void refuse_lost_files(const std::vector<PlannedMisfit>& lost, const Mapping& mapping, MigrationPlan& plan) {
  for (const PlannedMisfit& found : lost) {
    Finding finding;
    finding.table = found.table;
    finding.column = found.column;
    finding.what = fmt::format(
        "{} no file that the offload could put into its store, the first at {}, and the column is "
        "to be dropped",
        found.rows == 1 ? "1 value is" : fmt::format("{} values are", found.rows), found.key);
    finding.resolve = "source = \"null\" keeps the column for them";
    for (const OffloadMapping& offload : mapping.table(found.table)->offloads) {
      if (same_name(offload.column, found.column)) finding.origin = offload.origin;
    }
    plan.findings.push_back(std::move(finding));
  }
}

// Keys that stay broken although sluice changed what it may change: what the user asked for breaks them.
void refuse_collisions(const std::vector<KeyCollision>& collisions, const Mapping& mapping,
                       MigrationPlan& plan) {
  for (const KeyCollision& collision : collisions) {
    for (const std::string& column : collision.columns) {
      const ColumnMapping* wish = wish_for(mapping, collision.table, column);
      const bool wished = wish != nullptr && (wish->type || wish->conversion.any());
      // By a flag for all columns, too.
      const bool repaired =
          planned_column(plan, collision.table, column).conversion.bad_text != BadText::misfit;
      if (!wished && !repaired) continue;
      Finding finding;
      finding.table = collision.table;
      finding.column = column;
      finding.what = fmt::format("{} would make {} of a unique key equal to others",
                                 repaired ? "mending its texts" : "it",
                                 collision.rows == 1 ? "1 row" : fmt::format("{} rows", collision.rows));
      finding.resolve = repaired ? mapping_line(collision.table, column, "bad-text = \"bytea\"") +
                                       " or \"reject\", or mend those keys first"
                                 : "leave the column as it is, or mend those keys first";
      if (wish != nullptr) finding.origin = wish->origin;
      plan.findings.push_back(std::move(finding));
    }
  }
}

// SQLite takes any bytes for a name. Neither the target nor its ledger could hold them.
void refuse_names(MigrationPlan& plan) {
  constexpr const char* kWhat = "is not UTF-8, as every name of PostgreSQL is";
  const auto find = [&](const std::string& table, const std::string& column, std::string what,
                        std::string resolve) {
    plan.findings.push_back({table, column, std::move(what), std::move(resolve), ""});
  };
  for (const TablePlan& table : plan.tables) {
    if (!valid_utf8(table.source)) {
      find(table.source, "", std::string("its name ") + kWhat,
           "ALTER TABLE ... RENAME TO ... in the source, or --exclude it");
    }
    for (const ColumnPlan& column : table.columns) {
      if (valid_utf8(column.source)) continue;
      find(table.source, column.source, std::string("its name ") + kWhat,
           "ALTER TABLE ... RENAME COLUMN ... in the source");
    }
  }
  if (!plan.findings.empty()) return;  // their names are in the SQL of the steps, too
  for (const Step& step : plan.steps) {
    if (valid_utf8(step.sql) && valid_utf8(step.object.name)) continue;
    find(step.object.table, "",
         fmt::format("the SQL of its {} {} {}", step.object.kind, quote_identifier(step.object.name), kWhat),
         "drop it in the source, and make it anew with another name");
  }
}

}  // namespace

namespace {

// Ends a query over a large table, or one that a hostile file never lets end, when the user wants to stop:
// what is under way may come to its end, as a range does, but not take longer than the grace.
std::function<bool()> end_of_grace(const StopRequest& stop, std::chrono::milliseconds grace) {
  using Clock = std::chrono::steady_clock;
  // Nothing while nobody wants to stop. Shared by the threads of all readers.
  auto since = std::make_shared<std::atomic<Clock::rep>>(0);
  return [&stop, since, grace] {
    if (!stop.stopped()) return false;
    if (stop.stopped_now()) return true;
    const Clock::rep now = Clock::now().time_since_epoch().count();
    Clock::rep first = 0;
    if (since->compare_exchange_strong(first, now)) first = now;
    return Clock::duration(now - first) > grace;
  };
}

std::unique_ptr<PrivateCopy> copy_source(const PlanningOptions& options, Console& console,
                                         const StopRequest& stop) {
  CopyRequest request;
  request.source = source_path(options.source);
  request.keep_as = options.snapshot_file;
  request.anew = options.restart;
  request.stop = end_of_grace(stop, options.grace);
  request.go_on = [&](std::uint64_t done, std::uint64_t total) {
    console.progress("copy", done, total);
    return !stop.stopped();
  };
  console.begin_phase();
  auto copy = std::make_unique<PrivateCopy>(request);
  console.end_phase();
  if (!copy->remark().empty()) console.say(copy->remark());
  if (copy->found()) {
    console.say("reading the copy of the source in " + copy->path().string() +
                ", which an earlier run has left; the source itself may have changed since (--restart copies "
                "it anew)");
  }
  return copy;
}

// Files are large, and their rows are small once they have left: then two lanes with a file each are not
// worth the memory of two.
bool moves_files(const Mapping& mapping) {
  return std::any_of(mapping.tables.begin(), mapping.tables.end(),
                     [](const TableMapping& table) { return !table.offloads.empty(); });
}

constexpr std::uint64_t kLargeRowsAtOnce = std::uint64_t{48} << 20;

}  // namespace

std::unique_ptr<Snapshot> open_source(const PlanningOptions& options, FileStores& stores, Console& console,
                                      const StopRequest& stop) {
  const MemoryBudget& memory = options.memory;
  ReaderOptions readers;
  if (memory.limited()) {
    give_back_freed_memory();
    readers.memory = std::make_unique<LargeRowGate>(memory.large_row_bytes);
    readers.cache_bytes = memory.cache_bytes;
  }
  if (!memory.limited() && (options.few_large_rows || moves_files(options.mapping))) {
    give_back_freed_memory();
    readers.memory = std::make_unique<LargeRowGate>(kLargeRowsAtOnce);
  }
  if (options.jobs < options.jobs_wanted) {
    console.say(fmt::format("{} of {} lanes fit into --memory-limit", options.jobs, options.jobs_wanted));
  }
  readers.stop = end_of_grace(stop, options.grace);
  readers.wrap = [&stores](Source& source) { return std::make_unique<OffloadSource>(source, stores); };
  std::unique_ptr<PrivateCopy> copy;  // may go once the snapshot has it open
  if (options.snapshot == SnapshotMode::copy) {
    copy = copy_source(options, console, stop);
    readers.origin = copy->origin();
  }
  auto snapshot = std::make_unique<Snapshot>(copy ? copy->path() : source_path(options.source), options.jobs,
                                             Snapshot::Agreement::fence, std::move(readers));
  if (!snapshot->remark().empty()) console.say(snapshot->remark());
  return snapshot;
}

PlannedSource plan_source(const PlanningOptions& options, const TargetCatalog* existing, Console& console,
                          const StopRequest& stop, Damage* damage) {
  PlannedSource planned;
  planned.stores = std::make_unique<FileStores>();
  planned.snapshot = open_source(options, *planned.stores, console, stop);
  planned.wal_watch = std::make_unique<WalWatch>(*planned.snapshot, console);
  const Catalog& catalog = planned.snapshot->catalog();
  check_mapping(options.mapping, catalog);
  PlanOptions plan = options_of(options, existing);
  for (const SourceTable* table : select_tables(catalog, plan)) {
    planned.outlines.emplace(table->name, planned.snapshot->outline(*table));
  }
  plan.offload = false;
  planned.plan = plan_migration(catalog, planned.outlines, plan);
  plan.offload = true;

  const double began = thread_time().wall;
  PhaseClock clock;
  console.begin_phase();
  planned.facts = profile_source(*planned.snapshot, planned.plan, console, stop, &clock, damage);
  for (const TablePlan& table : planned.plan.tables) {
    if (table.extents.size() < 2 || (damage != nullptr && damage->of_table(table.source))) continue;
    try {
      planned.snapshot->expect_rows(table, planned.facts.at(table.source).rows);
    } catch (const Error& error) {
      if (damage == nullptr || !damage->note(error)) throw;
    }
  }
  plan.facts = &planned.facts;
  planned.plan = plan_migration(catalog, planned.outlines, plan);
  // Before the keys are looked at: a row that does not fit would be in nobody's way.
  for (const PlannedMisfit& misfit : find_misfits(
           *planned.snapshot, planned.plan, lengths_to_judge(planned.plan), console, stop, &clock, damage)) {
    plan.lengths_given_up.emplace(misfit.table, misfit.column);
  }
  if (!plan.lengths_given_up.empty()) planned.plan = plan_migration(catalog, planned.outlines, plan);
  // They are held in vectors that double.
  const std::uint64_t key_bytes =
      options.memory.limited() ? options.memory.digest_bytes / 2 : kKeyDigestBytes;
  const auto find_collisions = [&] {
    return find_key_collisions(*planned.snapshot, planned.plan, planned.facts, console, stop, key_bytes,
                               &clock, damage);
  };
  plan.collisions = find_collisions();
  if (!plan.collisions.empty()) {
    planned.plan = plan_migration(catalog, planned.outlines, plan);
    refuse_collisions(find_collisions(), options.mapping, planned.plan);
  }
  refuse_names(planned.plan);
  check_conversions(options.mapping, planned.plan);
  refuse_misfits(find_misfits(*planned.snapshot, planned.plan, columns_to_judge(planned.plan), console, stop,
                              &clock, damage),
                 options.mapping, planned.plan);
  refuse_lost_files(find_lost_files(*planned.snapshot, planned.plan, console, stop, &clock, damage),
                    options.mapping, planned.plan);
  console.end_phase();
  clock.split_waits(0);  // no server is asked
  PhaseUse& use = planned.profile;
  use = clock.use();
  use.wall = thread_time().wall - began;  // deciding included
  for (const TablePlan& table : planned.plan.tables) {
    const auto facts = planned.facts.find(table.source);
    if (facts != planned.facts.end()) use.rows += facts->second.rows;
    use.bytes += table.bytes;
  }
  return planned;
}

void say_remarks(const MigrationPlan& plan, Console& console) {
  constexpr std::size_t kRemarksShown = 20;
  std::size_t remarks = 0;
  for (const TablePlan& table : plan.tables) {
    for (const ColumnPlan& column : table.columns) {
      if (column.remark.empty() || ++remarks > kRemarksShown) continue;
      console.note({.message = fmt::format("column {} of {}: {}", column.source, table.source, column.remark),
                    .table = table.source});
    }
  }
  if (remarks > kRemarksShown) {
    console.say(fmt::format("and {} more; sluice plan shows them all", remarks - kRemarksShown));
  }
}

std::string describe(const Obstacle& obstacle) {
  return Error(Fault::target_refused, obstacle.what, obstacle.resolve).describe();
}

void refuse_findings(const MigrationPlan& plan, const std::vector<Obstacle>& obstacles, Console& console) {
  if (plan.findings.empty() && obstacles.size() == 1) {
    throw Error(Fault::target_refused, obstacles.front().what, obstacles.front().resolve);
  }
  for (const Finding& finding : plan.findings) {
    console.note({.level = LogLevel::error, .message = describe(finding), .table = finding.table});
  }
  for (const Obstacle& obstacle : obstacles) {
    console.note({.level = LogLevel::error, .message = describe(obstacle)});
  }
  if (!obstacles.empty()) {
    throw Error(Fault::target_refused,
                fmt::format("the {} lines above say what is in the way; nothing was created or changed",
                            plan.findings.size() + obstacles.size()),
                "settle them, then run the same command again");
  }
  if (plan.findings.empty()) return;
  throw Error(Fault::usage,
              plan.findings.size() == 1
                  ? std::string("the finding above must be decided before the first row moves")
                  : fmt::format("the {} findings above must be decided before the first row moves",
                                plan.findings.size()),
              "put the lines into a file for --config; sluice plan writes one to start from");
}

}  // namespace sluice
