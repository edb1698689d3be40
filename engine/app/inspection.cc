#include "engine/app/inspection.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <set>
#include <tuple>
#include <utility>

#include "engine/app/console.h"
#include "engine/app/surprises.h"
#include "engine/model/error.h"
#include "engine/model/quote.h"

namespace sluice {
namespace {

constexpr double kNear = 0.7;

Distance distance_of(double value, double limit) {
  const double share = value / limit;
  return share >= 1 ? Distance::crossed : share >= kNear ? Distance::near : Distance::far;
}

const SourceTable* find_table(const Catalog& catalog, const std::string& name) {
  const std::string folded = fold_ascii(name);
  const auto found = std::find_if(catalog.tables.begin(), catalog.tables.end(),
                                  [&](const SourceTable& table) { return fold_ascii(table.name) == folded; });
  return found == catalog.tables.end() ? nullptr : &*found;
}

std::vector<InspectedTable> list_tables(const InspectionInput& input) {
  std::vector<InspectedTable> tables;
  for (const TablePlan& plan : input.plan->tables) {
    InspectedTable table;
    table.source = find_table(*input.catalog, plan.source);
    table.plan = &plan;
    table.facts = &input.facts->at(plan.source);
    // Overflow pages are not among the leaf pages, but the profile has seen what is on them.
    std::uint64_t value_bytes = 0;
    for (const ColumnFacts& facts : table.facts->columns) value_bytes += facts.bytes_total;
    table.bytes = std::max(input.outlines->at(plan.source).bytes, value_bytes);
    table.estimate = estimate_table(*input.plan, plan, *table.facts, table.bytes);
    const auto keys = input.checks->foreign_keys.find(plan.source);
    if (keys != input.checks->foreign_keys.end()) table.foreign_keys = &keys->second;
    for (const Growth& growth : input.checks->growths) {
      if (growth.table == plan.source) table.growth = &growth;
    }
    tables.push_back(table);
  }
  std::stable_sort(tables.begin(), tables.end(), [](const InspectedTable& left, const InspectedTable& right) {
    return std::tie(right.bytes, right.facts->rows, left.plan->source) <
           std::tie(left.bytes, left.facts->rows, right.plan->source);
  });
  return tables;
}

Threshold size_threshold(const InspectionInput& input, const InspectOptions& options) {
  Threshold threshold;
  threshold.name = "size";
  threshold.value = static_cast<double>(input.bytes);
  threshold.limit = static_cast<double>(options.threshold_bytes);
  threshold.distance = distance_of(threshold.value, threshold.limit);
  return threshold;
}

Threshold rows_threshold(const std::vector<InspectedTable>& tables, const InspectOptions& options) {
  Threshold threshold;
  threshold.name = "rows";
  threshold.limit = static_cast<double>(options.threshold_rows);
  const InspectedTable* counted = nullptr;
  for (const InspectedTable& table : tables) {
    const bool named = fold_ascii(table.plan->source) == fold_ascii(options.rows_table);
    if (!options.rows_table.empty() && !named) continue;
    if (counted == nullptr || table.facts->rows > counted->facts->rows) counted = &table;
  }
  if (counted == nullptr) {
    if (!options.rows_table.empty()) {
      throw Error(Fault::usage, "--rows-table: there is no table " + options.rows_table + " to inspect",
                  "name one of the tables that sluice inspect lists");
    }
    threshold.remark = "there is no table";
    return threshold;
  }
  threshold.table = counted->plan->source;
  threshold.value = static_cast<double>(counted->facts->rows);
  threshold.distance = distance_of(threshold.value, threshold.limit);
  if (options.rows_table.empty())
    threshold.remark = "the largest table; --rows-table names the one that counts";
  return threshold;
}

Threshold growth_threshold(const SourceChecks& checks, const InspectOptions& options) {
  Threshold threshold;
  threshold.name = "daily_rows";
  threshold.limit = static_cast<double>(options.threshold_daily_rows);
  const Growth* fastest = nullptr;
  for (const Growth& growth : checks.growths) {
    if (!growth.long_enough) continue;
    if (fastest == nullptr || growth.recent_per_day > fastest->recent_per_day) fastest = &growth;
  }
  if (fastest == nullptr) {
    threshold.remark = checks.growths.empty()
                           ? "no table says when its rows were made"
                           : fmt::format("no table has a history of {} days", kHistoryDaysMin);
    return threshold;
  }
  threshold.table = fastest->table;
  threshold.column = fastest->column;
  threshold.value = fastest->recent_per_day;
  threshold.distance = distance_of(threshold.value, threshold.limit);
  threshold.remark = fmt::format("in the {} days up to {}, {:.1f} a day since {}{}", fastest->recent_days,
                                 iso_day(fastest->last_day), fastest->overall_per_day,
                                 iso_day(fastest->first_day), fastest->sampled ? "; from a sample" : "");
  return threshold;
}

Distance nearest(const std::vector<Threshold>& thresholds) {
  Distance distance = Distance::far;
  for (const Threshold& threshold : thresholds) distance = std::min(distance, threshold.distance);
  return distance;
}

// Kinds whose SQL is an expression or a query, rather than something SQLite does and PostgreSQL does not.
bool is_expression(const ObjectOutcome& object) {
  static constexpr std::array<std::string_view, 6> kKinds = {"default", "check",  "generated",
                                                             "index",   "unique", "view"};
  return !object.sql.empty() && std::find(kKinds.begin(), kKinds.end(), object.kind) != kKinds.end();
}

void list_objects(Inspection& inspection) {
  std::set<std::pair<std::string, std::string>> surprising;
  for (const SurpriseLine& line : inspection.surprises) {
    const bool tells_remark = line.kind == SurpriseKind::type || line.kind == SurpriseKind::numbers ||
                              line.kind == SurpriseKind::name;
    if (tells_remark) surprising.emplace(line.table, line.column);
  }
  for (const ObjectOutcome& object : inspection.source.plan->left_out) {
    if (!object.created) {
      (is_expression(object) ? inspection.expressions : inspection.missing).push_back(&object);
      continue;
    }
    // A column's other type and a table's other name are among the surprises.
    const bool is_table = object.kind == "table";
    const bool told = (is_table || object.kind == "column") &&
                      surprising.contains({is_table && object.table.empty() ? object.name : object.table,
                                           is_table ? std::string() : object.name});
    if (!object.reason.empty() && !told) inspection.changed.push_back(&object);
  }
  for (const Step& step : inspection.source.plan->steps) {
    if (!step.object.kind.empty() && !step.object.reason.empty()) inspection.changed.push_back(&step.object);
  }
}

void add(Estimate& sum, const Estimate& other) {
  sum.low += other.low;
  sum.likely += other.likely;
  sum.high += other.high;
}

}  // namespace

std::string_view name_of(SurpriseKind kind) {
  static constexpr std::array<std::string_view, 9> kNames = {
      "finding", "type", "null_key", "orphans", "bad_text", "numbers", "mixed", "long_value", "name"};
  return kNames[static_cast<std::size_t>(kind)];
}

std::string_view name_of(Distance distance) {
  static constexpr std::array<std::string_view, 4> kNames = {"crossed", "near", "far", "unknown"};
  return kNames[static_cast<std::size_t>(distance)];
}

Inspection inspect_source(const InspectionInput& input, const InspectOptions& options) {
  Inspection inspection;
  inspection.source = input;
  inspection.jobs = options.jobs;
  inspection.tables = list_tables(input);
  inspection.thresholds = {size_threshold(input, options), rows_threshold(inspection.tables, options),
                           growth_threshold(*input.checks, options)};
  inspection.time_to_move = nearest(inspection.thresholds);
  inspection.surprises = find_surprises(*input.plan, inspection.tables);
  double payload_bytes = 0;
  double index_entries = 0;
  for (InspectedTable& table : inspection.tables) {
    table.surprises = static_cast<std::size_t>(
        std::count_if(inspection.surprises.begin(), inspection.surprises.end(),
                      [&](const SurpriseLine& line) { return line.table == table.plan->source; }));
    inspection.rows += table.facts->rows;
    add(inspection.bytes, table.estimate.bytes);
    payload_bytes += table.estimate.payload_bytes;
    index_entries += table.estimate.index_entries;
  }
  inspection.seconds = estimate_seconds(inspection.tables.size(), static_cast<double>(inspection.rows),
                                        payload_bytes, index_entries, options.jobs);
  list_objects(inspection);
  return inspection;
}

}  // namespace sluice
