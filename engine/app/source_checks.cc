#include "engine/app/source_checks.h"

#include <algorithm>
#include <atomic>
#include <optional>
#include <utility>

#include "engine/model/error.h"

namespace sluice {
namespace {

// A table's plan with one column and without its key, for a scan of that column alone.
TablePlan only_column(const TablePlan& table, std::size_t column) {
  TablePlan plan = table;
  plan.columns = {table.columns[column]};
  plan.key_columns.clear();
  if (plan.row_key == RowKey::ordered_integer && plan.rowid_name.empty()) {
    // Ranges need a name of the rowid, and here only the key has one.
    plan.extents = {WholeTable{}};
  }
  plan.row_key = RowKey::none;
  return plan;
}

// All of the table, or every n-th of its parts, the last one among them, when it has too many rows.
std::vector<Extent> growth_extents(const TablePlan& plan, const TableOutline& outline, std::uint64_t rows) {
  const std::uint64_t stride = (rows + kGrowthRowsMax - 1) / kGrowthRowsMax;
  const std::size_t parts = outline.rowids.size() + 1;
  if (stride < 2 || plan.rowid_name.empty() || parts < stride * 8) return {WholeTable{}};
  std::vector<Extent> extents;
  for (std::size_t part = 0; part < parts; ++part) {
    if ((parts - 1 - part) % stride != 0) continue;
    RowidRange range;
    if (part > 0) range.first = outline.rowids[part - 1] + 1;
    range.last = part < outline.rowids.size() ? outline.rowids[part] : INT64_MAX;
    extents.emplace_back(range);
  }
  return extents;
}

std::optional<Growth> measure_growth(Source& reader, const PlannedSource& source, const TablePlan& table,
                                     std::int32_t today) {
  const TableFacts& facts = source.facts.at(table.source);
  for (const std::size_t column : growth_columns(table, facts)) {
    const TablePlan plan = only_column(table, column);
    DailyCounts counts;
    std::uint64_t rows = 0;
    const std::vector<Extent> extents = growth_extents(plan, source.outlines.at(table.source), facts.rows);
    for (const Extent& extent : extents) {
      const auto scan = reader.scan(plan, extent);
      while (const std::optional<Row> row = scan->next()) {
        counts.add(row->front());
        ++rows;
      }
    }
    const bool whole = std::holds_alternative<WholeTable>(extents.front());
    const double scale = whole || rows == 0 ? 1 : static_cast<double>(facts.rows) / static_cast<double>(rows);
    if (std::optional<Growth> growth = growth_of(counts, today, scale)) {
      growth->table = table.source;
      growth->column = table.columns[column].source;
      return growth;
    }
  }
  return std::nullopt;
}

}  // namespace

SourceChecks check_source(const PlannedSource& source, std::int32_t today, Console& console,
                          const StopRequest& stop) {
  const std::vector<TablePlan>& planned = source.plan.tables;
  std::vector<const SourceTable*> with_keys;
  for (const SourceTable& table : source.snapshot->catalog().tables) {
    if (!table.foreign_keys.empty() && source.facts.contains(table.name)) with_keys.push_back(&table);
  }
  // A place for each task: nothing is shared between threads, so nothing is locked.
  std::vector<std::optional<Growth>> growths(planned.size());
  std::vector<std::vector<ForeignKeyCheck>> keys(with_keys.size());
  std::atomic<std::size_t> done{0};
  PipelineWork work;
  work.lanes = source.snapshot->readers();
  work.tasks = growths.size() + keys.size();
  work.body = [&](std::size_t lane, std::size_t task) {
    if (task < growths.size()) {
      growths[task] = measure_growth(source.snapshot->reader(lane), source, planned[task], today);
    } else {
      const std::size_t table = task - growths.size();
      keys[table] = source.snapshot->check_foreign_keys(*with_keys[table], lane);
    }
    done.fetch_add(1, std::memory_order_relaxed);
  };
  console.begin_phase();
  {
    const Ticker ticker(console.interval_seconds(), [&] {
      console.progress("checks", done.load(std::memory_order_relaxed), work.tasks);
    });
    if (!run_pipeline(work, stop)) {
      throw Error(Fault::interrupted, "stopped before the end", "run the same command again");
    }
  }
  console.end_phase();

  SourceChecks checks;
  for (std::size_t i = 0; i < with_keys.size(); ++i) {
    checks.foreign_keys[with_keys[i]->name] = std::move(keys[i]);
  }
  for (std::optional<Growth>& growth : growths) {
    if (growth) checks.growths.push_back(std::move(*growth));
  }
  std::sort(checks.growths.begin(), checks.growths.end(),
            [](const Growth& left, const Growth& right) { return left.table < right.table; });
  return checks;
}

}  // namespace sluice
