#include "engine/app/profile.h"

#include <fmt/format.h>

#include <algorithm>
#include <atomic>
#include <optional>

#include "engine/model/error.h"
#include "engine/plan/declared_type.h"
#include "io/wire/type_fit.h"

namespace sluice {
namespace {

using Candidates = std::vector<std::vector<PgType>>;  // per column

struct ScanTask {
  std::size_t table = 0;
  const Extent* extent = nullptr;
};

// Counts misfits of the tables that have candidates; the others come back empty.
std::vector<std::optional<TypeFit>> scan_tables(Snapshot& snapshot, const MigrationPlan& plan,
                                                const std::vector<Candidates>& candidates, Console& console,
                                                const StopRequest& stop) {
  std::vector<ScanTask> tasks;
  std::vector<std::optional<TypeFit>> fits(plan.tables.size());
  for (std::size_t table = 0; table < plan.tables.size(); ++table) {
    if (candidates[table].empty()) continue;
    fits[table].emplace(candidates[table]);
    for (const Extent& extent : plan.tables[table].extents) tasks.push_back({table, &extent});
  }
  std::vector<std::optional<TypeFit>> parts(tasks.size());
  std::atomic<std::size_t> done{0};
  PipelineWork work;
  work.lanes = snapshot.readers();
  work.tasks = tasks.size();
  work.body = [&](std::size_t lane, std::size_t task) {
    TypeFit fit(candidates[tasks[task].table]);
    const auto scan = snapshot.reader(lane).scan(plan.tables[tasks[task].table], *tasks[task].extent);
    while (const std::optional<Row> row = scan->next()) fit.add(*row);
    parts[task] = std::move(fit);
    done.fetch_add(1, std::memory_order_relaxed);
  };
  work.record = [&](std::size_t task) {
    fits[tasks[task].table]->merge(*parts[task]);
    parts[task].reset();
  };
  const Ticker ticker(console.interval_seconds(), [&] {
    console.progress("profile", done.load(std::memory_order_relaxed), tasks.size());
  });
  if (!run_pipeline(work, stop)) {
    throw Error(Fault::interrupted, "stopped before the first row", "run the same command again");
  }
  return fits;
}

// Keys that are the rowid hold integers by definition.
bool can_misfit(const ColumnPlan& column) { return column.identity_sequence.empty(); }

ColumnWidening widening_of(const TablePlan& table, std::size_t column, const std::vector<PgType>& ladder,
                           const TypeFit& fit) {
  std::size_t best = 0;
  for (std::size_t candidate = 1; candidate < ladder.size(); ++candidate) {
    if (fit.misfits(column, candidate) < fit.misfits(column, best)) best = candidate;
  }
  const ColumnPlan& planned = table.columns[column];
  ColumnWidening widening;
  widening.table = table.source;
  widening.column = planned.source;
  widening.type = ladder[best];
  widening.reason = fmt::format("declared {}; {} of {} do not fit {}, so it arrives as {}",
                                planned.declared_type.empty() ? "without a type" : planned.declared_type,
                                human_count(fit.misfits(column, 0)), counted(fit.values(column), "value"),
                                name_of(ladder[0]).sql, name_of(ladder[best]).sql);
  if (fit.misfits(column, best) > 0) {
    widening.reason +=
        fmt::format("; {} fit no type and are rejected", human_count(fit.misfits(column, best)));
  }
  return widening;
}

}  // namespace

std::vector<ColumnWidening> find_widenings(Snapshot& snapshot, const MigrationPlan& plan, Console& console,
                                           const StopRequest& stop) {
  // First only the declared types, which is all that most files need.
  std::vector<Candidates> declared(plan.tables.size());
  for (std::size_t table = 0; table < plan.tables.size(); ++table) {
    for (const ColumnPlan& column : plan.tables[table].columns) {
      const bool look = can_misfit(column) && widening_ladder(column.type).size() > 1;
      declared[table].push_back(look ? std::vector{column.type} : std::vector<PgType>{});
    }
    const auto looked_at = [](const std::vector<PgType>& types) { return !types.empty(); };
    if (std::none_of(declared[table].begin(), declared[table].end(), looked_at)) declared[table].clear();
  }
  const auto first = scan_tables(snapshot, plan, declared, console, stop);

  std::vector<Candidates> ladders(plan.tables.size());
  for (std::size_t table = 0; table < plan.tables.size(); ++table) {
    if (!first[table]) continue;
    Candidates wider(plan.tables[table].columns.size());
    bool any = false;
    for (std::size_t column = 0; column < wider.size(); ++column) {
      if (declared[table][column].empty() || first[table]->misfits(column, 0) == 0) continue;
      const auto ladder = widening_ladder(plan.tables[table].columns[column].type);
      wider[column].assign(ladder.begin(), ladder.end());
      any = true;
    }
    if (any) ladders[table] = std::move(wider);
  }
  const auto second = scan_tables(snapshot, plan, ladders, console, stop);

  std::vector<ColumnWidening> widenings;
  for (std::size_t table = 0; table < plan.tables.size(); ++table) {
    if (!second[table]) continue;
    for (std::size_t column = 0; column < ladders[table].size(); ++column) {
      const std::vector<PgType>& ladder = ladders[table][column];
      if (ladder.empty()) continue;
      ColumnWidening widening = widening_of(plan.tables[table], column, ladder, *second[table]);
      if (widening.type != plan.tables[table].columns[column].type) widenings.push_back(std::move(widening));
    }
  }
  return widenings;
}

}  // namespace sluice
