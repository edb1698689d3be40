#include "engine/plan/planner.h"

#include <algorithm>
#include <cassert>

#include "engine/model/error.h"
#include "engine/model/quote.h"
#include "engine/plan/ddl.h"
#include "engine/plan/declared_type.h"
#include "engine/plan/names.h"
#include "engine/plan/ranges.h"

namespace sluice {
namespace {

// Small enough that a failed range costs a second or two, large enough that its transaction, its COPY
// and its ledger row cost nothing beside it.
constexpr std::uint64_t kRangeBytesMin = std::uint64_t{4} << 20;
constexpr std::uint64_t kRangeBytesMax = std::uint64_t{32} << 20;
constexpr std::uint64_t kRangesPerLane = 8;

std::uint64_t choose_range_bytes(const PlanOptions& options, std::uint64_t total_bytes) {
  if (options.range_bytes > 0) return options.range_bytes;
  const std::uint64_t ranges = kRangesPerLane * std::max<std::size_t>(options.lanes, 1);
  return std::clamp(total_bytes / ranges, kRangeBytesMin, kRangeBytesMax);
}

bool matches_any(const std::vector<std::string>& patterns, const std::string& name) {
  return std::any_of(patterns.begin(), patterns.end(),
                     [&](const std::string& pattern) { return matches_pattern(pattern, name); });
}

void refuse_idle_patterns(const Catalog& catalog, const std::vector<std::string>& patterns,
                          const char* flag) {
  for (const std::string& pattern : patterns) {
    const bool used =
        std::any_of(catalog.tables.begin(), catalog.tables.end(),
                    [&](const SourceTable& table) { return matches_pattern(pattern, table.name); });
    if (used) continue;
    throw Error(Fault::usage, std::string(flag) + " " + pattern + " matches no table of the source",
                "patterns take * and ?, and match whole names");
  }
}

RowKey row_key_of(const SourceTable& table) {
  if (table.rowid_alias) return RowKey::ordered_integer;
  if (!table.primary_key().empty()) return RowKey::columns;
  return table.rowid_name.empty() ? RowKey::none : RowKey::rowid;
}

TablePlan plan_table(const SourceTable& table, const TableOutline& outline, const std::string& schema,
                     NameSpace& tables, std::uint64_t range_bytes) {
  TablePlan plan;
  plan.source = table.name;
  plan.schema = schema;
  plan.target = tables.claim(table.name);
  NameSpace columns;
  for (std::size_t i = 0; i < table.columns.size(); ++i) {
    const SourceColumn& column = table.columns[i];
    ColumnPlan planned;
    planned.source = column.name;
    planned.place = i;
    planned.target = columns.claim_column(column.name);
    planned.declared_type = column.declared_type;
    planned.type = type_of_declaration(column.declared_type);
    planned.not_null = column.not_null || (table.without_rowid && column.key_position > 0);
    if (table.rowid_alias == i) {
      // Any INTEGER PRIMARY KEY assigns itself, with or without AUTOINCREMENT, and is never NULL.
      planned.type = PgType::int8;
      planned.not_null = true;
    }
    plan.columns.push_back(std::move(planned));
  }
  plan.row_key = row_key_of(table);
  const auto planned_place = [&](std::size_t place) {
    return static_cast<std::size_t>(column_at(plan, place) - plan.columns.data());
  };
  if (plan.row_key == RowKey::ordered_integer) plan.key_columns = {planned_place(*table.rowid_alias)};
  if (plan.row_key == RowKey::columns) {
    for (const std::size_t place : table.primary_key()) plan.key_columns.push_back(planned_place(place));
  }
  plan.rowid_name = table.rowid_name;
  plan.without_rowid = table.without_rowid;
  plan.bytes = outline.bytes;
  plan.extents = cut_table(table, outline, range_bytes);
  assert(covers_table(plan.extents));
  return plan;
}

void apply_widenings(TablePlan& plan, const std::vector<ColumnWidening>& widenings) {
  for (const ColumnWidening& widening : widenings) {
    if (widening.table != plan.source) continue;
    for (ColumnPlan& column : plan.columns) {
      if (column.source == widening.column) column.type = widening.type;
    }
  }
}

}  // namespace

bool matches_pattern(std::string_view pattern, std::string_view name) {
  const std::string folded_pattern = fold_ascii(pattern);
  const std::string folded_name = fold_ascii(name);
  // Greedy with one point to come back to: the last star and the place it stood for.
  std::size_t p = 0;
  std::size_t n = 0;
  std::size_t star = std::string::npos;
  std::size_t resume = 0;
  while (n < folded_name.size()) {
    if (p < folded_pattern.size() && folded_pattern[p] == '*') {
      star = p++;
      resume = n;
    } else if (p < folded_pattern.size() && folded_pattern[p] == '?') {
      ++p;
      do {
        ++n;  // over the continuation bytes of one character
      } while (n < folded_name.size() && (static_cast<unsigned char>(folded_name[n]) & 0xc0) == 0x80);
    } else if (p < folded_pattern.size() && folded_pattern[p] == folded_name[n]) {
      ++p;
      ++n;
    } else if (star != std::string::npos) {
      p = star + 1;
      n = ++resume;
    } else {
      return false;
    }
  }
  while (p < folded_pattern.size() && folded_pattern[p] == '*') ++p;
  return p == folded_pattern.size();
}

std::vector<const SourceTable*> select_tables(const Catalog& catalog, const PlanOptions& options) {
  refuse_idle_patterns(catalog, options.include, "--include");
  refuse_idle_patterns(catalog, options.exclude, "--exclude");
  std::vector<const SourceTable*> selected;
  for (const SourceTable& table : catalog.tables) {
    if (!options.include.empty() && !matches_any(options.include, table.name)) continue;
    if (matches_any(options.exclude, table.name)) continue;
    selected.push_back(&table);
  }
  return selected;
}

MigrationPlan plan_migration(const Catalog& catalog, const std::map<std::string, TableOutline>& outlines,
                             const PlanOptions& options) {
  const std::vector<const SourceTable*> selected = select_tables(catalog, options);
  std::uint64_t total_bytes = 0;
  for (const SourceTable* table : selected) total_bytes += outlines.at(table->name).bytes;
  const std::uint64_t range_bytes = choose_range_bytes(options, total_bytes);

  MigrationPlan plan;
  plan.schema = options.schema;
  NameSpace relations;
  std::map<std::string, const SourceTable*> source_of;
  for (const SourceTable* table : selected) {
    plan.tables.push_back(
        plan_table(*table, outlines.at(table->name), options.schema, relations, range_bytes));
    source_of[table->name] = table;
    apply_widenings(plan.tables.back(), options.widenings);
  }
  for (TablePlan& table : plan.tables) {
    if (table.row_key != RowKey::ordered_integer) continue;
    ColumnPlan& column = table.columns[table.key_columns.front()];
    column.identity_sequence = relations.claim(table.target + "_" + column.target + "_seq");
  }
  // Largest first, so that the last lane to finish has a small table. Ties by name: same file, same plan.
  std::stable_sort(plan.tables.begin(), plan.tables.end(),
                   [](const TablePlan& left, const TablePlan& right) { return left.bytes > right.bytes; });
  std::vector<PlannedTable> planned;
  for (std::size_t i = 0; i < plan.tables.size(); ++i) {
    plan.tables[i].id = static_cast<TableId>(i);
    planned.push_back({source_of[plan.tables[i].source], &plan.tables[i]});
  }
  SchemaSteps after = steps_after_load(catalog, planned, relations);
  plan.steps = std::move(after.steps);
  plan.left_out = std::move(after.left_out);
  for (const ColumnWidening& widening : options.widenings) {
    ObjectOutcome object;
    object.kind = "column";
    object.table = widening.table;
    object.name = widening.column;
    object.created = true;
    object.reason = widening.reason;
    plan.left_out.push_back(std::move(object));
  }
  return plan;
}

}  // namespace sluice
