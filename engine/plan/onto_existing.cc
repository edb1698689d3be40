#include "engine/plan/onto_existing.h"

#include <algorithm>
#include <functional>
#include <map>
#include <string>

#include "engine/model/quote.h"
#include "engine/plan/names.h"
#include "engine/plan/offload.h"
#include "engine/plan/row_key.h"

namespace sluice {
namespace {

// Which of `names` is meant: the first way of comparing that finds any decides. Several are ambiguous.
template <class Item>
std::vector<const Item*> find_meant(const std::vector<const Item*>& items, const std::string& wanted) {
  using Form = std::function<std::string(const std::string&)>;
  const std::vector<Form> forms = {
      [](const std::string& name) { return name; }, [](const std::string& name) { return shortened(name); },
      [](const std::string& name) { return fold_ascii(name); },
      [](const std::string& name) { return identifier_in(Identifiers::snake, name); }};
  for (const Form& form : forms) {
    std::vector<const Item*> found;
    const std::string meant = form(wanted);
    for (const Item* item : items) {
      if (form(item->name) == meant) found.push_back(item);
    }
    if (!found.empty()) return found;
  }
  return {};
}

template <class Item>
std::string list_names(const std::vector<const Item*>& items) {
  std::string list;
  for (const Item* item : items) list.append(list.empty() ? "" : ", ").append(quote_identifier(item->name));
  return list;
}

std::string in_rows(std::uint64_t count) {
  return count == 1 ? std::string("1 row") : std::to_string(count) + " rows";
}

class Matcher {
 public:
  Matcher(TablePlan& plan, const SourceTable& source, const TargetCatalog& existing, const Mapping& mapping,
          const TableFacts* facts, std::vector<Finding>& findings)
      : plan_(plan),
        source_(source),
        existing_(existing),
        mapping_(mapping),
        wishes_(mapping.table(source.name)),
        facts_(facts),
        findings_(findings) {}

  void run() {
    plan_.target = shortened(source_.name);
    table_ = find_table();
    plan_.columns.clear();
    if (table_ != nullptr) {
      plan_.target = table_->name;
      for (std::size_t place = 0; place < source_.columns.size(); ++place) add_column(place);
      if (!compares()) refuse_gaps();
      refuse_nothing();
      for (const Obstacle& obstacle : table_->obstacles) {
        if (obstacle.rebuilt && existing_.rebuild) continue;
        find("", obstacle.what, obstacle.resolve);
      }
    }
    // Hashed and not sent, so last: as in a plan that creates the table.
    std::stable_partition(plan_.columns.begin(), plan_.columns.end(),
                          [](const ColumnPlan& column) { return column.generated_as.empty(); });
    set_row_key(plan_, source_);
  }

 private:
  [[nodiscard]] bool compares() const { return existing_.use == TargetUse::compare; }

  void find(const std::string& column, std::string what, std::string resolve, std::string origin = {}) {
    findings_.push_back({source_.name, column, std::move(what), std::move(resolve), std::move(origin)});
  }

  [[nodiscard]] std::string line(const std::string& column, const std::string& setting) const {
    return mapping_line(source_.name, column, setting);
  }

  const ExistingTable* find_table() {
    std::vector<const ExistingTable*> all;
    for (const auto& [name, table] : existing_.tables) all.push_back(&table);
    const std::string where = "schema " + quote_identifier(existing_.schema);
    if (wishes_ != nullptr && wishes_->target) {
      const auto named = existing_.tables.find(*wishes_->target);
      if (named != existing_.tables.end()) return &named->second;
      find("", "the target has no table " + quote_identifier(*wishes_->target) + " in " + where,
           "name one that is there, or create it", wishes_->origin);
      return nullptr;
    }
    const std::vector<const ExistingTable*> meant = find_meant(all, source_.name);
    if (meant.size() == 1) return meant.front();
    if (meant.empty()) {
      find("", "the target has no such table in " + where,
           "create it, name another with " + mapping_line(source_.name, "target = \"...\"") +
               ", or --exclude " + source_.name);
    } else {
      find("", "several tables of the target may be meant: " + list_names(meant),
           mapping_line(source_.name, "target = \"...\""));
    }
    return nullptr;
  }

  const ExistingColumn* find_existing(const SourceColumn& column, const ColumnMapping* wish) {
    std::vector<const ExistingColumn*> all;
    for (const ExistingColumn& existing : table_->columns) all.push_back(&existing);
    const std::string where = quote_qualified(existing_.schema, table_->name);
    if (wish != nullptr && wish->target) {
      const auto named = std::find_if(all.begin(), all.end(), [&](const ExistingColumn* existing) {
        return existing->name == *wish->target;
      });
      if (named != all.end()) return *named;
      find(column.name, where + " has no column " + quote_identifier(*wish->target),
           "name one that is there, or add it", wish->origin);
      return nullptr;
    }
    const std::vector<const ExistingColumn*> meant = find_meant(all, column.name);
    if (meant.size() == 1) return meant.front();
    if (meant.empty()) {
      find(column.name, where + " has no such column",
           "leave it out with " + line(column.name, "exclude = true") + ", or ALTER TABLE " + where +
               " ADD COLUMN " + quote_identifier(column.name) + " ...");
    } else {
      find(column.name, "several columns of " + where + " may be meant: " + list_names(meant),
           line(column.name, "target = \"...\""));
    }
    return nullptr;
  }

  void add_column(std::size_t place) {
    const SourceColumn& column = source_.columns[place];
    const ColumnMapping* wish = find_column(wishes_, column.name);
    if (wish != nullptr && wish->exclude) return;
    if (is_dropped_by_offload(wishes_, column.name)) return;
    const ExistingColumn* existing = find_existing(column, wish);
    if (existing == nullptr) return;
    const auto [taken, is_new] = used_.emplace(existing->name, column.name);
    if (!is_new) {
      find(column.name,
           "it and " + quote_identifier(taken->second) + " both match column " +
               quote_identifier(existing->name) + " of the target",
           line(column.name, "target = \"...\"") + ", or exclude = true");
      return;
    }
    if (existing->generated && !compares()) {
      // The server computes it and takes no value. Where the source computes its own, nothing is lost but
      // what the two expressions differ in, which is said.
      if (column.generated == Generated::no) {
        find(column.name,
             "column " + quote_identifier(existing->name) +
                 " of the target is generated and takes no value of the source",
             line(column.name, "exclude = true") + " to leave it to the target");
      }
      return;
    }
    if (!existing->supported && !compares()) {
      find(column.name, "the target's type " + existing->type_name + " is not one that sluice writes",
           line(column.name, "exclude = true") + ", or another type in the target");
      return;
    }
    ColumnPlan planned;
    planned.source = column.name;
    planned.target = existing->name;
    planned.declared_type = column.declared_type;
    planned.place = place;
    planned.type = existing->type;
    planned.modifier = existing->modifier;
    planned.type_name = existing->type_name;
    planned.labels = existing->labels;
    planned.not_null = existing->not_null;
    planned.compared_as_text = !existing->supported;
    if (existing->generated) planned.generated_as = "computed by the target";
    if (existing->domain_checks && !compares()) {
      planned.remark = "only the server can check the domain " + existing->type_name +
                       ": a value that it refuses stops the load of its range";
    }
    take_wishes(planned, wish);
    judge(planned);
    plan_.columns.push_back(std::move(planned));
  }

  void take_wishes(ColumnPlan& planned, const ColumnMapping* wish) {
    const BadTextPolicy bad_text = bad_text_policy(mapping_, wish);
    if (wish != nullptr) planned.conversion = wish->conversion;
    if (bad_text == BadTextPolicy::replace) planned.conversion.bad_text = BadText::replace;
    if (bad_text == BadTextPolicy::strip) planned.conversion.bad_text = BadText::strip;
    if (planned.type == PgType::jsonb && json_target(mapping_, wish) == JsonTarget::jsonb) {
      planned.conversion.lossy_jsonb = true;
    }
    const bool other_type = wish != nullptr && wish->type && planned.type_name.empty() &&
                            (wish->type->type != planned.type || wish->type->modifier != planned.modifier);
    if (other_type) {
      find(planned.source,
           "the target's column is " + type_of(planned) + ", not " +
               sql_of(wish->type->type, wish->type->modifier),
           "leave the type to the target, or change its column",
           wish->type_origin.empty() ? wish->origin : wish->type_origin);
    }
  }

  // Where the facts leave a doubt, the encoder looks at every value before the run begins.
  void judge(ColumnPlan& planned) {
    const ColumnFacts* facts = facts_at(facts_, planned.place);
    planned.judge = facts == nullptr || !facts->examined || planned.modifier.any() ||
                    !planned.labels.empty() || planned.conversion.any() ||
                    misfits_of(*facts, planned.type) > 0;
    if (facts == nullptr || !planned.not_null || facts->nulls == 0) return;
    if (misfit_policy(mapping_, find_column(wishes_, planned.source)) == MisfitPolicy::reject) return;
    find(planned.source, "NULL in " + in_rows(facts->nulls) + ", and the target's column is NOT NULL",
         "fill them in the source, ALTER TABLE " + quoted_name(plan_) + " ALTER COLUMN " +
             quote_identifier(planned.target) + " DROP NOT NULL, or " +
             line(planned.source, "on-misfit = \"reject\"") + " to leave those rows out");
  }

  // Columns of the target that must have a value and get none.
  void refuse_gaps() {
    for (const ExistingColumn& column : table_->columns) {
      if (!column.not_null || column.has_default || column.generated) continue;
      if (column_named(column.name) != nullptr || used_.contains(column.name)) continue;
      const std::string alter =
          "ALTER TABLE " + quoted_name(plan_) + " ALTER COLUMN " + quote_identifier(column.name);
      find("",
           "the target's column " + quote_identifier(column.name) +
               " is NOT NULL without a default, and the source has nothing for it",
           alter + " SET DEFAULT ..., " + alter + " DROP NOT NULL, or name its source in the mapping");
    }
  }

  void refuse_nothing() {
    if (!plan_.columns.empty() || findings_.size() != findings_before_) return;
    find("", "none of its columns arrives", "--exclude " + source_.name);
  }

  const ColumnPlan* column_named(const std::string& target) const {
    const auto found = std::find_if(plan_.columns.begin(), plan_.columns.end(),
                                    [&](const ColumnPlan& column) { return column.target == target; });
    return found == plan_.columns.end() ? nullptr : &*found;
  }

  TablePlan& plan_;
  const SourceTable& source_;
  const TargetCatalog& existing_;
  const Mapping& mapping_;
  const TableMapping* wishes_;
  const TableFacts* facts_;
  std::vector<Finding>& findings_;
  const std::size_t findings_before_ = findings_.size();
  const ExistingTable* table_ = nullptr;
  std::map<std::string, std::string> used_;  // columns of the target, with those of the source for them
};

// A column that a sequence fills.
struct Filled {
  const PlannedTable* table;
  const ColumnPlan* column;
};

// One step for each sequence, since several columns may share one.
Step sequence_step(const std::string& sequence, const std::vector<Filled>& columns) {
  std::string used;
  for (const Filled& filled : columns) {
    used += "(SELECT max(" + quote_identifier(filled.column->target) + ")::bigint FROM " +
            quoted_name(*filled.table->plan) + "), ";
    const SourceTable& source = *filled.table->source;
    const bool counts = source.rowid_alias && *source.rowid_alias == filled.column->place;
    if (counts && source.sequence) used += std::to_string(*source.sequence) + ", ";
  }
  const Filled& first = columns.front();
  const std::string name = quote_literal(sequence) + "::regclass";
  Step step;
  step.phase = StepPhase::finish;
  step.table = first.table->plan->id;
  step.sequence = sequence;
  // Never back: what the sequence has given out may be known elsewhere.
  step.sql = "SELECT setval(" + name + ", used) FROM (SELECT least(greatest(" + used +
             "(SELECT last_value FROM " + sequence +
             " WHERE is_called)), seqmax) AS used, seqmin FROM pg_sequence WHERE seqrelid = " + name +
             " AND seqincrement > 0) AS state WHERE used >= seqmin";
  step.object.kind = "identity";
  step.object.table = first.table->source->name;
  step.object.name = first.column->target;
  step.remedies = {{"42501", "GRANT UPDATE ON SEQUENCE " + sequence + ", then run the SQL again"}};
  return step;
}

bool is_number(PgType type) {
  return type == PgType::int2 || type == PgType::int4 || type == PgType::int8 || type == PgType::numeric;
}

void leave_out_columns(const PlannedTable& table, const ExistingTable& existing,
                       std::vector<ObjectOutcome>& left_out) {
  const auto is_generated = [&](const std::string& name) {
    const std::string form = identifier_in(Identifiers::snake, name);
    return std::any_of(existing.columns.begin(), existing.columns.end(), [&](const ExistingColumn& column) {
      return column.generated && identifier_in(Identifiers::snake, column.name) == form;
    });
  };
  for (std::size_t place = 0; place < table.source->columns.size(); ++place) {
    if (column_at(*table.plan, place) != nullptr) continue;
    ObjectOutcome object;
    object.kind = "column";
    object.table = table.source->name;
    object.name = table.source->columns[place].name;
    object.reason = is_generated(object.name)
                        ? "the target computes it: its values are neither sent nor compared"
                        : "left out by the mapping";
    object.sql = quote_identifier(object.name) + " " + table.source->columns[place].declared_type;
    object.proposal = "compare the two definitions";
    left_out.push_back(std::move(object));
  }
  for (const ColumnPlan& column : table.plan->columns) {
    if (!column.remark.empty()) left_out.push_back(outcome_of(*table.plan, column));
  }
}

}  // namespace

void plan_onto(TablePlan& plan, const SourceTable& source, const TargetCatalog& existing,
               const Mapping& mapping, const TableFacts* facts, std::vector<Finding>& findings) {
  Matcher(plan, source, existing, mapping, facts, findings).run();
}

SchemaSteps steps_onto(const std::vector<PlannedTable>& tables, const TargetCatalog& existing,
                       std::vector<Finding>& findings) {
  SchemaSteps result;
  std::map<std::string, std::vector<Filled>> sequences;
  std::map<std::string, std::string> used;  // tables of the target, with those of the source for them
  for (const PlannedTable& table : tables) {
    const auto found = existing.tables.find(table.plan->target);
    if (found == existing.tables.end()) continue;
    const auto [taken, is_new] = used.emplace(table.plan->target, table.source->name);
    if (!is_new) {
      findings.push_back({table.source->name, "",
                          "it and " + quote_identifier(taken->second) + " both match " +
                              quoted_name(*table.plan) + " of the target",
                          mapping_line(table.source->name, "target = \"...\"") + ", or --exclude one", ""});
    }
    for (const ColumnPlan& column : table.plan->columns) {
      for (const ExistingColumn& there : found->second.columns) {
        if (there.name != column.target || there.sequence.empty() || !is_number(column.type)) continue;
        sequences[there.sequence].push_back({&table, &column});
      }
    }
    leave_out_columns(table, found->second, result.left_out);
  }
  for (const auto& [sequence, columns] : sequences) {
    result.steps.push_back(sequence_step(sequence, columns));
  }
  for (const PlannedTable& table : tables) {
    Step& step = result.steps.emplace_back();
    step.phase = StepPhase::finish;
    step.table = table.plan->id;
    step.sql = "ANALYZE " + quoted_name(*table.plan);
  }
  return result;
}

}  // namespace sluice
