#include "engine/plan/foreign_keys.h"

#include <algorithm>
#include <map>
#include <optional>

#include "engine/model/quote.h"

namespace sluice {
namespace {

std::string why_no_parent(const Catalog& catalog, const std::string& name) {
  for (const SourceObject& object : catalog.objects) {
    if (!same_name(object.name, name)) continue;
    if (object.kind == SourceObjectKind::view) return "it is a view";
    if (object.kind == SourceObjectKind::virtual_table)
      return "it is a virtual table without rows of its own";
  }
  return "the source has no such table";
}

bool is_binary(const std::string& collation) { return collation.empty() || same_name(collation, "binary"); }

// The collations of `names` in a unique index on exactly these; nothing when the index is another.
std::optional<std::vector<std::string>> collations_in(const SourceIndex& index,
                                                      const std::vector<std::string>& names) {
  if (!index.unique || index.partial || index.columns.size() != names.size()) return std::nullopt;
  std::vector<std::string> collations;
  for (const std::string& name : names) {
    const auto found =
        std::find_if(index.columns.begin(), index.columns.end(), [&](const SourceIndexColumn& column) {
          return !column.name.empty() && same_name(column.name, name);
        });
    if (found == index.columns.end()) return std::nullopt;
    collations.push_back(is_binary(found->collation) ? std::string() : found->collation);
  }
  return collations;
}

bool is_integer(PgType type) { return type == PgType::int2 || type == PgType::int4 || type == PgType::int8; }

bool is_float(PgType type) { return type == PgType::float4 || type == PgType::float8; }

bool is_moment(PgType type) {
  return type == PgType::date || type == PgType::timestamp || type == PgType::timestamptz;
}

// Whether PostgreSQL takes a foreign key between the types: their operators are of one family, or the child's
// becomes the parent's by an implicit cast.
bool can_refer(PgType child, PgType parent) {
  return child == parent || (is_integer(child) && (is_integer(parent) || parent == PgType::numeric)) ||
         (is_float(child) && is_float(parent)) || (is_text(child) && is_text(parent)) ||
         (is_moment(child) && is_moment(parent));
}

class Aligner {
 public:
  Aligner(const SourceFacts& facts, std::vector<TablePlan>& tables,
          const std::function<bool(const TablePlan&, const ColumnPlan&)>& may_change)
      : facts_(facts), tables_(tables), may_change_(may_change) {}

  // True when it changed something.
  bool align(const std::string& child_table, const std::string& child_column, const std::string& parent_table,
             const std::string& parent_column) {
    TablePlan* child_plan = find_table(child_table);
    TablePlan* parent_plan = find_table(parent_table);
    if (child_plan == nullptr || parent_plan == nullptr) return false;
    ColumnPlan* child = find_planned(*child_plan, child_column);
    ColumnPlan* parent = find_planned(*parent_plan, parent_column);
    if (child == nullptr || parent == nullptr || can_refer(child->type, parent->type)) return false;
    const std::string pair =
        quote_identifier(parent_table) + "." + quote_identifier(parent_column) + ", to which it refers";
    if (can_become(*child_plan, *child, parent->type)) {
      change(*child_plan, *child, *parent, "as is " + pair);
      return true;
    }
    if (are_all_numbers(*child_plan, *child, parent->type)) {
      change(*child_plan, *child, *parent,
             "as is " + pair + "; its texts are all whole numbers, written as numbers are");
      child->conversion.text_as_number = true;
      return true;
    }
    // Never the parent for the sake of one child: all the others, and whoever asks for it, would follow.
    return false;
  }

  std::vector<ObjectOutcome> outcomes() && { return std::move(outcomes_); }

 private:
  TablePlan* find_table(const std::string& source) {
    const auto found = std::find_if(tables_.begin(), tables_.end(),
                                    [&](const TablePlan& table) { return table.source == source; });
    return found == tables_.end() ? nullptr : &*found;
  }

  static ColumnPlan* find_planned(TablePlan& plan, const std::string& source) {
    const auto found = std::find_if(plan.columns.begin(), plan.columns.end(), [&](const ColumnPlan& column) {
      return same_name(column.source, source);
    });
    return found == plan.columns.end() ? nullptr : &*found;
  }

  [[nodiscard]] const ColumnFacts* facts_of(const TablePlan& plan, const ColumnPlan& column) const {
    const auto table = facts_.find(plan.source);
    if (table == facts_.end() || column.place >= table->second.columns.size()) return nullptr;
    const ColumnFacts& facts = table->second.columns[column.place];
    return facts.examined ? &facts : nullptr;
  }

  [[nodiscard]] bool can_change(const TablePlan& plan, const ColumnPlan& column) const {
    const bool is_identity =
        plan.row_key == RowKey::ordered_integer && &plan.columns[plan.key_columns.front()] == &column;
    return !is_identity && column.type_name.empty() && column.generated_as.empty() &&
           column.conversion == Conversion{} && may_change_(plan, column);
  }

  [[nodiscard]] bool can_become(const TablePlan& plan, const ColumnPlan& column, PgType type) const {
    const ColumnFacts* facts = facts_of(plan, column);
    return facts != nullptr && can_change(plan, column) && misfits_of(*facts, type) == 0;
  }

  // SQLite compares '1' with an integer key as the number 1. But '007' is more than a number.
  [[nodiscard]] bool are_all_numbers(const TablePlan& plan, const ColumnPlan& column, PgType type) const {
    const ColumnFacts* facts = facts_of(plan, column);
    if (facts == nullptr || type != PgType::int8 || !can_change(plan, column)) return false;
    return facts->reals == 0 && facts->blobs == 0 && facts->texts > 0 &&
           facts->forms_examined == facts->texts && facts->of_form(TextForm::plain_integer) == facts->texts;
  }

  void change(const TablePlan& plan, ColumnPlan& column, const ColumnPlan& model, const std::string& why) {
    const std::string before = type_of(column);
    column.type = model.type;
    // The parent's own modifier may be too narrow for a value without a parent.
    column.modifier = {};
    column.judge_length = false;
    ObjectOutcome outcome;
    outcome.kind = "column";
    outcome.table = plan.source;
    outcome.name = column.source;
    outcome.created = true;
    outcome.reason = type_of(column) + " and not " + before + ", " + why;
    column.remark = outcome.reason;
    const auto [place, is_new] = place_of_.try_emplace({plan.source, column.source}, outcomes_.size());
    if (is_new) {
      outcomes_.push_back(std::move(outcome));
    } else {
      outcomes_[place->second] = std::move(outcome);
    }
  }

  const SourceFacts& facts_;
  std::vector<TablePlan>& tables_;
  const std::function<bool(const TablePlan&, const ColumnPlan&)>& may_change_;
  std::vector<ObjectOutcome> outcomes_;
  std::map<std::pair<std::string, std::string>, std::size_t> place_of_;
};

}  // namespace

ParentKey find_parent_key(const Catalog& catalog, const SourceForeignKey& key) {
  ParentKey found;
  for (const SourceTable& table : catalog.tables) {
    if (same_name(table.name, key.parent)) found.parent = &table;
  }
  if (found.parent == nullptr) {
    found.obstacle = why_no_parent(catalog, key.parent);
    return found;
  }
  const SourceTable& parent = *found.parent;
  std::vector<std::string> primary;
  for (const std::size_t place : parent.primary_key()) primary.push_back(parent.columns[place].name);
  const std::vector<std::string>& wanted = key.parent_columns.empty() ? primary : key.parent_columns;
  if (wanted.empty()) {
    found.obstacle = "the parent has no primary key";
    return found;
  }
  if (wanted.size() != key.columns.size()) {
    found.obstacle =
        std::to_string(key.columns.size()) + " columns cannot refer to " + std::to_string(wanted.size());
    return found;
  }
  for (const std::string& name : wanted) {
    const SourceColumn* column = find_column(parent, name);
    if (column == nullptr) {
      found.obstacle = "the parent has no column " + quote_identifier(name);
      return found;
    }
    found.columns.push_back(column->name);
  }
  if (parent.rowid_alias && found.columns.size() == 1 &&
      found.columns.front() == parent.columns[*parent.rowid_alias].name) {
    found.collations = {std::string()};
    return found;
  }
  bool unique = false;
  for (const SourceIndex& index : parent.indexes) {
    auto collations = collations_in(index, found.columns);
    if (!collations) continue;
    const bool exact = std::all_of(collations->begin(), collations->end(),
                                   [](const std::string& collation) { return collation.empty(); });
    if (!unique || exact) found.collations = *std::move(collations);
    unique = true;
    if (exact) break;
  }
  if (!unique) {
    found.obstacle =
        "no primary key or whole unique index of the parent is on " + quoted_list(found.columns) + " alone";
  }
  return found;
}

std::vector<ObjectOutcome> align_foreign_key_types(
    const Catalog& catalog, const SourceFacts& facts, std::vector<TablePlan>& tables,
    const std::function<bool(const TablePlan&, const ColumnPlan&)>& may_change) {
  Aligner aligner(facts, tables, may_change);
  // A changed column may be a parent itself. Text is where every chain of changes ends, and one that goes in
  // a circle ends with the count.
  bool changed = true;
  for (std::size_t round = 0; changed && round < 8; ++round) {
    changed = false;
    for (const SourceTable& table : catalog.tables) {
      for (const SourceForeignKey& key : table.foreign_keys) {
        const ParentKey parent = find_parent_key(catalog, key);
        if (!parent.obstacle.empty()) continue;
        for (std::size_t i = 0; i < key.columns.size(); ++i) {
          changed =
              aligner.align(table.name, key.columns[i], parent.parent->name, parent.columns[i]) || changed;
        }
      }
    }
  }
  return std::move(aligner).outcomes();
}

}  // namespace sluice
