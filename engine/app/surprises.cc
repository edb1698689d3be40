#include "engine/app/surprises.h"

#include <fmt/format.h>

#include <algorithm>
#include <initializer_list>
#include <utility>

#include "engine/app/console.h"
#include "engine/plan/declared_type.h"

namespace sluice {
namespace {

constexpr std::uint64_t kLongBytes = 1 << 20;
// More renamed columns of one table than this are told in one line.
constexpr std::size_t kRenamedMax = 3;

// The first example there is, of the kinds given.
Example example_of(const ColumnFacts& facts, std::initializer_list<Surprise> kinds) {
  for (const Surprise kind : kinds) {
    if (const auto& example = facts.examples[static_cast<std::size_t>(kind)]) return *example;
  }
  return {};
}

bool declared_as(const SourceColumn& column, std::initializer_list<PgType> types) {
  return std::find(types.begin(), types.end(), type_of_declaration(column.declared_type)) != types.end();
}

// One column of one table.
struct Place {
  const InspectedTable* table = nullptr;
  const SourceColumn* column = nullptr;
  const ColumnPlan* plan = nullptr;  // null when it does not arrive
  const ColumnFacts* facts = nullptr;
};

class Collector {
 public:
  explicit Collector(std::vector<SurpriseLine>& lines) : lines_(lines) {}

  void add_column(const Place& place) {
    const bool other_type = add_type(place);
    add_null_key(place);
    add_bad_text(place);
    add_numbers(place);
    if (!other_type) add_mixed(place);
    if (place.facts->bytes_longest > kLongBytes) {
      add(SurpriseKind::long_value, place, "the longest value has " + human_bytes(place.facts->bytes_longest),
          1, example_of(*place.facts, {Surprise::longest}));
    }
  }

  void add_orphans(const InspectedTable& table) {
    if (table.foreign_keys == nullptr) return;
    for (const ForeignKeyCheck& check : *table.foreign_keys) {
      if (check.orphans == 0 && check.reason.empty()) continue;
      const SourceForeignKey& key = table.source->foreign_keys[check.key];
      SurpriseLine line;
      line.kind = SurpriseKind::orphans;
      line.table = table.plan->source;
      for (const std::string& column : key.columns) line.column += (line.column.empty() ? "" : ", ") + column;
      line.count = check.orphans;
      if (check.reason.empty()) {
        const std::string rows = check.orphans == 1 ? "1 row names" : counted(check.orphans, "row") + " name";
        line.what = fmt::format("{} no row of {}; the key stays NOT VALID", rows, key.parent);
      } else {
        line.what = fmt::format("the key to {} cannot be checked: {}", key.parent, check.reason);
        if (check.orphans > 0) line.what += fmt::format("; set in {}", counted(check.orphans, "row"));
      }
      if (!check.rowids.empty()) {
        const auto alias = table.source->rowid_alias;
        line.example.key =
            fmt::format("{} = {}", alias ? table.source->columns[*alias].name : table.source->rowid_name,
                        check.rowids.front());
      }
      lines_.push_back(std::move(line));
    }
  }

  void add_names(const InspectedTable& table) {
    const TablePlan& plan = *table.plan;
    if (plan.target != plan.source) {
      lines_.push_back({SurpriseKind::name, plan.source, {}, "arrives as " + plan.target, 1, {}, {}});
    }
    std::vector<const ColumnPlan*> renamed;
    for (const ColumnPlan& column : plan.columns) {
      if (!column.added && column.target != column.source) renamed.push_back(&column);
    }
    if (renamed.size() > kRenamedMax) {
      lines_.push_back({SurpriseKind::name,
                        plan.source,
                        {},
                        fmt::format("{} columns arrive under other names, {} as {}", renamed.size(),
                                    renamed.front()->source, renamed.front()->target),
                        renamed.size(),
                        {},
                        {}});
      return;
    }
    for (const ColumnPlan* column : renamed) {
      lines_.push_back(
          {SurpriseKind::name, plan.source, column->source, "arrives as " + column->target, 1, {}, {}});
    }
  }

 private:
  void add(SurpriseKind kind, const Place& place, std::string what, std::uint64_t count, Example example) {
    lines_.push_back({kind,
                      place.table->plan->source,
                      place.column->name,
                      std::move(what),
                      count,
                      std::move(example),
                      {}});
  }

  // True when there is something to say.
  bool add_type(const Place& place) {
    if (place.plan == nullptr || place.column->declared_type.empty()) return false;
    const PgType declared = type_of_declaration(place.column->declared_type);
    if (place.plan->type == declared) return false;
    // JSON of which jsonb loses nothing; and fewer bits, on request, for integers that fit.
    const bool as_expected = declared == PgType::json && place.plan->type == PgType::jsonb;
    const bool narrower =
        declared == PgType::int8 && (place.plan->type == PgType::int2 || place.plan->type == PgType::int4);
    if (as_expected || narrower) return false;
    const std::uint64_t misfits = misfits_of(*place.facts, declared);
    std::string what = "arrives as " + type_of(*place.plan);
    if (!place.plan->remark.empty()) {
      what += "; " + place.plan->remark;
    } else {
      what += fmt::format("; declared {}", place.column->declared_type);
      if (misfits > 0) {
        what += fmt::format("; {} of {} do not fit {}", human_count(misfits),
                            counted(place.facts->values(), "value"), name_of(declared).sql);
      }
    }
    add(SurpriseKind::type, place, std::move(what), misfits,
        example_of(*place.facts,
                   {Surprise::form_not_declared, Surprise::class_not_declared, Surprise::invalid_utf8,
                    Surprise::nul_character, Surprise::integer_beyond_double, Surprise::infinite}));
    return true;
  }

  void add_null_key(const Place& place) {
    if (place.column->key_position == 0 || place.facts->nulls == 0) return;
    add(SurpriseKind::null_key, place,
        fmt::format("NULL in the primary key of {}, which becomes a unique index",
                    counted(place.facts->nulls, "row")),
        place.facts->nulls, example_of(*place.facts, {Surprise::null_in_key}));
  }

  void add_bad_text(const Place& place) {
    const ColumnFacts& facts = *place.facts;
    if (facts.texts_with_nul > 0) {
      add(SurpriseKind::bad_text, place,
          fmt::format("{} of {} hold U+0000", human_count(facts.texts_with_nul),
                      counted(facts.texts, "text")),
          facts.texts_with_nul, example_of(facts, {Surprise::nul_character}));
    }
    if (facts.texts_invalid_utf8 > 0) {
      add(SurpriseKind::bad_text, place,
          fmt::format("{} of {} are not UTF-8", human_count(facts.texts_invalid_utf8),
                      counted(facts.texts, "text")),
          facts.texts_invalid_utf8, example_of(facts, {Surprise::invalid_utf8}));
    }
  }

  void add_numbers(const Place& place) {
    const ColumnFacts& facts = *place.facts;
    const bool real = facts.reals > 0 || declared_as(*place.column, {PgType::float8});
    if (facts.integers_beyond_double > 0 && real) {
      add(SurpriseKind::numbers, place,
          fmt::format("{} beyond 2^53 beside {}: double precision would round them",
                      counted(facts.integers_beyond_double, "integer"), counted(facts.reals, "real")),
          facts.integers_beyond_double, example_of(facts, {Surprise::integer_beyond_double}));
    }
    if (facts.reals_whole_beyond_double > 0) {
      add(SurpriseKind::numbers, place,
          fmt::format("{} beyond 2^53 without a fraction: perhaps integers that SQLite has rounded",
                      counted(facts.reals_whole_beyond_double, "real")),
          facts.reals_whole_beyond_double, {});
    }
    if (facts.reals_infinite > 0) {
      add(SurpriseKind::numbers, place,
          fmt::format("{} of {} are infinite", human_count(facts.reals_infinite),
                      counted(facts.reals, "real")),
          facts.reals_infinite, example_of(facts, {Surprise::infinite}));
    }
  }

  void add_mixed(const Place& place) {
    const ColumnFacts& facts = *place.facts;
    const std::initializer_list<std::pair<const char*, std::uint64_t>> classes = {
        {"integer", facts.integers}, {"real", facts.reals}, {"text", facts.texts}, {"blob", facts.blobs}};
    std::size_t present = 0;
    std::uint64_t most = 0;
    std::string what;
    for (const auto& [name, count] : classes) {
      if (count == 0) continue;
      ++present;
      most = std::max(most, count);
      what += fmt::format("{}{} {}", what.empty() ? "" : ", ", human_count(count), name);
    }
    // SQLite stores 1.0 as an integer where the declaration allows it.
    const bool only_numbers = facts.texts == 0 && facts.blobs == 0;
    if (present < 2 || (only_numbers && declared_as(*place.column, {PgType::numeric, PgType::float8})))
      return;
    add(SurpriseKind::mixed, place, std::move(what), facts.values() - most,
        example_of(facts, {Surprise::class_not_declared}));
  }

  std::vector<SurpriseLine>& lines_;
};

}  // namespace

std::vector<SurpriseLine> find_surprises(const MigrationPlan& plan,
                                         const std::vector<InspectedTable>& tables) {
  std::vector<SurpriseLine> lines;
  for (const Finding& finding : plan.findings) {
    lines.push_back(
        {SurpriseKind::finding, finding.table, finding.column, finding.what, 0, {}, finding.resolve});
  }
  Collector collector(lines);
  for (const InspectedTable& table : tables) {
    for (std::size_t i = 0; i < table.source->columns.size() && i < table.facts->columns.size(); ++i) {
      collector.add_column(
          {&table, &table.source->columns[i], column_at(*table.plan, i), &table.facts->columns[i]});
    }
    collector.add_orphans(table);
    collector.add_names(table);
  }
  std::stable_sort(lines.begin(), lines.end(), [](const SurpriseLine& left, const SurpriseLine& right) {
    return left.kind < right.kind;
  });
  return lines;
}

}  // namespace sluice
