#include "engine/plan/planner.h"

#include <algorithm>
#include <cassert>
#include <iterator>
#include <optional>
#include <set>

#include "engine/model/error.h"
#include "engine/model/quote.h"
#include "engine/plan/ddl.h"
#include "engine/plan/decision.h"
#include "engine/plan/foreign_keys.h"
#include "engine/plan/generated.h"
#include "engine/plan/names.h"
#include "engine/plan/offload.h"
#include "engine/plan/onto_existing.h"
#include "engine/plan/ranges.h"
#include "engine/plan/row_key.h"
#include "engine/plan/width.h"

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

// What one table of the source is planned with.
struct TableInputs {
  const SourceTable* source = nullptr;
  const TableOutline* outline = nullptr;
  const TableFacts* facts = nullptr;     // null before the values were looked at
  const TableMapping* wishes = nullptr;  // null without any
  std::set<std::string> apart;           // columns of keys that a conversion would break
  std::set<std::string> lengths_given_up;
};

// A rowid that no column carries, to be kept as a column.
constexpr const char* kRowidColumn = "rowid";

ColumnDecision decide(const TableInputs& table, std::size_t place, const Mapping& mapping) {
  const ColumnFacts* facts = facts_at(table.facts, place);
  ColumnDecision decision = decide_column(*table.source, place, facts, mapping, false);
  const SourceColumn& column = table.source->columns[place];
  const bool several_spellings = decision.type != PgType::int8 && decision.type != PgType::text &&
                                 decision.type != PgType::varchar && decision.type != PgType::bytea;
  if (several_spellings && table.apart.contains(column.name)) {
    decision = decide_column(*table.source, place, facts, mapping, true);
  }
  if (decision.judge_length && table.lengths_given_up.contains(column.name)) give_up_length(column, decision);
  return decision;
}

// NOT NULL is declared before the load; where rows of the source break it, it would cost them.
bool arrives_not_null(const TableInputs& table, std::size_t place, MigrationPlan& plan) {
  const SourceColumn& column = table.source->columns[place];
  if (!column.not_null && !(table.source->without_rowid && column.key_position > 0)) return false;
  const ColumnFacts* facts = facts_at(table.facts, place);
  if (facts == nullptr || facts->nulls == 0) return true;
  ObjectOutcome object;
  object.kind = "not_null";
  object.table = table.source->name;
  object.name = column.name;
  object.sql = "NOT NULL";
  object.reason = std::to_string(facts->nulls) + (facts->nulls == 1 ? " row breaks it" : " rows break it");
  object.proposal =
      "fill them, then ALTER TABLE ... ALTER COLUMN " + quote_identifier(column.name) + " SET NOT NULL";
  plan.left_out.push_back(std::move(object));
  return false;
}

void remark_column(const TableInputs& table, const ColumnPlan& column, MigrationPlan& plan) {
  if (column.remark.empty()) return;
  ObjectOutcome object;
  object.kind = "column";
  object.table = table.source->name;
  object.name = column.source;
  object.created = true;
  object.reason = column.remark;
  plan.left_out.push_back(std::move(object));
}

ColumnPlan plan_column(const TableInputs& table, std::size_t place, const Mapping& mapping,
                       MigrationPlan& plan) {
  const SourceColumn& column = table.source->columns[place];
  ColumnPlan planned;
  planned.source = column.name;
  planned.place = place;
  planned.declared_type = column.declared_type;
  ColumnDecision decision = decide(table, place, mapping);
  planned.type = decision.type;
  planned.modifier = decision.modifier;
  planned.conversion = decision.conversion;
  planned.remark = std::move(decision.remark);
  planned.judge = decision.judge;
  planned.judge_length = decision.judge_length;
  const ColumnFacts* facts = facts_at(table.facts, place);
  planned.respelled = planned.type == PgType::boolean && facts != nullptr && facts->texts > 0;
  if (table.source->rowid_alias == place && !decision.judge) {
    // Any INTEGER PRIMARY KEY assigns itself, with or without AUTOINCREMENT, and is never NULL.
    planned.type = PgType::int8;
    planned.remark.clear();
    decision.findings.clear();
  }
  planned.not_null = table.source->rowid_alias == place || arrives_not_null(table, place, plan);
  plan.findings.insert(plan.findings.end(), decision.findings.begin(), decision.findings.end());
  remark_column(table, planned, plan);
  return planned;
}

void name_columns(const TableInputs& table, const Mapping& mapping, TablePlan& plan) {
  NameSpace names;
  // What the user named first, so that nothing else takes the name.
  for (const bool wished : {true, false}) {
    for (ColumnPlan& column : plan.columns) {
      const ColumnMapping* wish = find_column(table.wishes, column.source);
      const bool has_wish = wish != nullptr && wish->target;
      if (has_wish != wished) continue;
      column.target =
          names.claim_column(has_wish ? *wish->target : identifier_in(mapping.identifiers, column.source));
    }
  }
}

bool keeps_rowid(const TableInputs& table, const Mapping& mapping) {
  if (table.source->rowid_alias || table.source->rowid_name.empty()) return false;
  const bool wished = table.wishes != nullptr && table.wishes->keep_rowid;
  return wished ? *table.wishes->keep_rowid : mapping.keep_rowid;
}

// A column that the mapping leaves out; one of the key cannot be.
bool is_left_out(const TableInputs& table, std::size_t place, MigrationPlan& plan) {
  const SourceColumn& column = table.source->columns[place];
  const ColumnMapping* wish = find_column(table.wishes, column.name);
  if (wish == nullptr || !wish->exclude) return false;
  if (column.key_position > 0) {
    plan.findings.push_back({table.source->name, column.name,
                             "it is part of the primary key and cannot be left out",
                             "take exclude = true away, or leave out the table", wish->origin});
    return false;
  }
  ObjectOutcome object;
  object.kind = "column";
  object.table = table.source->name;
  object.name = column.name;
  object.sql = quote_identifier(column.name) + " " + column.declared_type;
  object.reason = "left out by the mapping";
  object.proposal = "take exclude = true away";
  plan.left_out.push_back(std::move(object));
  return true;
}

// A name of the mapping that pushes another table aside would rename that one in silence.
void refuse_displaced_tables(const std::map<std::string, TableInputs>& inputs, const Mapping& mapping,
                             MigrationPlan& plan) {
  std::map<std::string, const TableInputs*> named;
  for (const auto& [name, table] : inputs) {
    if (table.wishes != nullptr && table.wishes->target) named.emplace(*table.wishes->target, &table);
  }
  for (const auto& [name, table] : inputs) {
    if (table.wishes != nullptr && table.wishes->target) continue;
    const auto taken = named.find(shortened(identifier_in(mapping.identifiers, name)));
    if (taken == named.end()) continue;
    plan.findings.push_back({name, "", "the mapping gives its name to table " + taken->second->source->name,
                             "give one of them another target", taken->second->wishes->origin});
  }
}

void refuse_displaced_columns(const TableInputs& table, const Mapping& mapping, MigrationPlan& plan) {
  if (table.wishes == nullptr) return;
  for (const ColumnMapping& wish : table.wishes->columns) {
    if (!wish.target) continue;
    for (const SourceColumn& column : table.source->columns) {
      const ColumnMapping* other = find_column(table.wishes, column.name);
      if (other == &wish || (other != nullptr && (other->target || other->exclude))) continue;
      if (shortened(identifier_in(mapping.identifiers, column.name)) != *wish.target) continue;
      plan.findings.push_back({table.source->name, column.name,
                               "the mapping gives its name to column " + wish.column,
                               "give one of them another target", wish.origin});
    }
  }
}

// Columns as sluice would make them.
void plan_columns(const TableInputs& inputs, const Mapping& mapping, TablePlan& plan,
                  MigrationPlan& migration) {
  const SourceTable& table = *inputs.source;
  for (std::size_t place = 0; place < table.columns.size(); ++place) {
    if (is_left_out(inputs, place, migration)) continue;
    plan.columns.push_back(plan_column(inputs, place, mapping, migration));
  }
  if (keeps_rowid(inputs, mapping)) {
    ColumnPlan rowid;
    rowid.source = table.rowid_name;
    rowid.place = table.columns.size();
    rowid.declared_type = kRowidColumn;
    rowid.type = PgType::int8;
    rowid.not_null = true;
    rowid.remark = "the rowid that SQLite keeps beside the columns";
    remark_column(inputs, rowid, migration);
    plan.columns.push_back(std::move(rowid));
  }
  refuse_displaced_columns(inputs, mapping, migration);
  name_columns(inputs, mapping, plan);
  set_row_key(plan, table);
}

TablePlan plan_table(const TableInputs& inputs, const PlanOptions& options, NameSpace& tables,
                     std::uint64_t range_bytes, MigrationPlan& migration) {
  const SourceTable& table = *inputs.source;
  TablePlan plan;
  plan.source = table.name;
  plan.schema = options.schema;
  if (options.existing != nullptr) {
    plan_onto(plan, table, *options.existing, options.mapping, inputs.facts, migration.findings);
  } else {
    const bool named = inputs.wishes != nullptr && inputs.wishes->target;
    plan.target =
        tables.claim(named ? *inputs.wishes->target : identifier_in(options.mapping.identifiers, table.name));
    plan_columns(inputs, options.mapping, plan, migration);
  }
  plan.rowid_name = table.rowid_name;
  plan.without_rowid = table.without_rowid;
  if (options.offload && inputs.wishes != nullptr) {
    const ExistingTable* existing = nullptr;
    if (options.existing != nullptr) {
      const auto found = options.existing->tables.find(plan.target);
      if (found != options.existing->tables.end()) existing = &found->second;
    }
    if (options.existing == nullptr || existing != nullptr) {
      plan_offloads(plan, table, *inputs.wishes, options.mapping, existing, migration);
    }
  }
  plan.bytes = inputs.outline->bytes;
  const bool own_range = inputs.wishes != nullptr && inputs.wishes->range_bytes;
  plan.extents = cut_table(table, *inputs.outline, own_range ? *inputs.wishes->range_bytes : range_bytes);
  assert(covers_table(plan.extents));
  return plan;
}

// Texts that refer to a key of numbers may all be numbers: align_foreign_key_types() asks that of the facts.
void mark_children_of_numbers(const Catalog& catalog, MigrationPlan& plan) {
  for (TablePlan& table : plan.tables) {
    const auto source =
        std::find_if(catalog.tables.begin(), catalog.tables.end(),
                     [&](const SourceTable& candidate) { return candidate.name == table.source; });
    for (const SourceForeignKey& key : source->foreign_keys) {
      for (const std::string& name : key.columns) {
        for (ColumnPlan& column : table.columns) {
          if (column.type == PgType::text && fold_ascii(column.source) == fold_ascii(name))
            column.examine_forms = true;
        }
      }
    }
  }
}

// Generated columns that the server can compute come last: they are hashed and not sent.
void let_server_generate(const SourceTable& source, TablePlan& plan) {
  std::vector<std::size_t> key;
  for (const std::size_t column : plan.key_columns) key.push_back(plan.columns[column].place);
  for (ColumnPlan& column : plan.columns) column.generated_as = generated_expression(source, plan, column);
  std::stable_partition(plan.columns.begin(), plan.columns.end(),
                        [](const ColumnPlan& column) { return column.generated_as.empty(); });
  for (std::size_t i = 0; i < key.size(); ++i) {
    plan.key_columns[i] = static_cast<std::size_t>(column_at(plan, key[i]) - plan.columns.data());
  }
}

// What no page of the server holds stops the run; what may be too wide is said.
void check_width(const TablePlan& table, const TableFacts* facts, MigrationPlan& plan) {
  std::vector<Finding> findings = find_too_wide(table, facts);
  std::move(findings.begin(), findings.end(), std::back_inserter(plan.findings));
  std::string remark = why_perhaps_too_wide(table, facts);
  if (remark.empty()) return;
  ObjectOutcome object;
  object.kind = "table";
  object.table = table.source;
  object.name = table.target;
  object.created = true;
  object.reason = std::move(remark);
  plan.left_out.push_back(std::move(object));
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
    if (const TableMapping* wishes = options.mapping.table(table.name); wishes != nullptr && wishes->exclude)
      continue;
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
  std::map<std::string, TableInputs> inputs;
  for (const SourceTable* table : selected) {
    TableInputs& input = inputs[table->name];
    input.source = table;
    input.outline = &outlines.at(table->name);
    input.wishes = options.mapping.table(table->name);
    if (options.facts != nullptr) {
      const auto found = options.facts->find(table->name);
      if (found != options.facts->end()) input.facts = &found->second;
    }
    for (const KeyCollision& collision : options.collisions) {
      if (collision.table == table->name)
        input.apart.insert(collision.columns.begin(), collision.columns.end());
    }
    for (const auto& [name, column] : options.lengths_given_up) {
      if (name == table->name) input.lengths_given_up.insert(column);
    }
  }
  const auto has_name = [&](const SourceTable* table) {
    const TableMapping* wishes = inputs.at(table->name).wishes;
    return wishes != nullptr && wishes->target;
  };
  if (options.existing == nullptr) refuse_displaced_tables(inputs, options.mapping, plan);
  // Tables that the user named first, so that nothing else takes the name.
  std::vector<const SourceTable*> order = selected;
  std::stable_partition(order.begin(), order.end(), has_name);
  for (const SourceTable* table : order) {
    plan.tables.push_back(plan_table(inputs.at(table->name), options, relations, range_bytes, plan));
  }
  for (TablePlan& table : plan.tables) {
    const SourceTable& source = *inputs.at(table.source).source;
    if (!source.rowid_alias || options.existing != nullptr) continue;
    ColumnPlan& column = table.columns[table.key_columns.front()];
    if (column.type != PgType::int8 && column.type != PgType::int4 && column.type != PgType::int2) continue;
    column.identity_sequence = relations.claim(table.target + "_" + column.target + "_seq");
  }
  // Largest first, so that the last lane to finish has a small table. Ties by name: same file, same plan.
  std::sort(plan.tables.begin(), plan.tables.end(), [](const TablePlan& left, const TablePlan& right) {
    return left.bytes != right.bytes ? left.bytes > right.bytes : left.source < right.source;
  });
  mark_children_of_numbers(catalog, plan);
  if (options.existing == nullptr && options.facts != nullptr) {
    const auto may_change = [&](const TablePlan& table, const ColumnPlan& column) {
      const ColumnMapping* wish = find_column(inputs.at(table.source).wishes, column.source);
      return wish == nullptr || !wish->type;
    };
    std::vector<ObjectOutcome> aligned =
        align_foreign_key_types(catalog, *options.facts, plan.tables, may_change);
    std::move(aligned.begin(), aligned.end(), std::back_inserter(plan.left_out));
  }
  if (options.existing == nullptr) {
    for (TablePlan& table : plan.tables) let_server_generate(*inputs.at(table.source).source, table);
  }
  for (const TablePlan& table : plan.tables) check_width(table, inputs.at(table.source).facts, plan);
  std::vector<PlannedTable> planned;
  for (std::size_t i = 0; i < plan.tables.size(); ++i) {
    plan.tables[i].id = static_cast<TableId>(i);
    const TableInputs& input = inputs.at(plan.tables[i].source);
    planned.push_back({input.source, &plan.tables[i], input.facts});
  }
  plan.into_existing = options.existing != nullptr;
  SchemaSteps after = options.existing != nullptr ? steps_onto(planned, *options.existing, plan.findings)
                                                  : steps_after_load(catalog, planned, relations);
  plan.steps = std::move(after.steps);
  plan.left_out.insert(plan.left_out.end(), after.left_out.begin(), after.left_out.end());
  return plan;
}

}  // namespace sluice
