#include "engine/translate/translate_view.h"

#include <algorithm>
#include <utility>

#include "engine/model/quote.h"
#include "engine/translate/select_translator.h"
#include "engine/translate/sql_select.h"
#include "engine/translate/translate.h"

namespace sluice {
namespace {

// Makes fragments of a table's columns, for all expressions to come.
class ColumnShapes : public Translator {
 public:
  ColumnShapes() : Translator(nothing_, Purpose::view) {}

  Fragment shape(const ScopeColumn& column) {
    try {
      return fragment_of(column);
    } catch (const Refusal&) {
      // It still arrives as it is, but no expression may look into it.
      Fragment closed = make_fragment({}, Binding::atom, ValueClass::text, column.type);
      closed.not_null = column.not_null;
      closed.converted = true;
      closed.unsure = Unsure::number;
      return closed;
    }
  }

 private:
  static const Scope nothing_;
};

const Scope ColumnShapes::nothing_{};

}  // namespace

struct ViewTranslator::Known {
  Relations relations;
};

ViewTranslator::ViewTranslator() : known_(std::make_unique<Known>()) {}
ViewTranslator::~ViewTranslator() = default;
ViewTranslator::ViewTranslator(ViewTranslator&&) noexcept = default;
ViewTranslator& ViewTranslator::operator=(ViewTranslator&&) noexcept = default;

void ViewTranslator::add_table(const SourceTable& source, const TablePlan& plan) {
  Relation relation;
  relation.sql = quoted_name(plan);
  const Scope scope = scope_of(source, plan);
  ColumnShapes shapes;
  std::vector<std::size_t> places;  // of the source's columns among the relation's
  for (std::size_t place = 0; place < source.columns.size(); ++place) {
    const ColumnPlan* planned = column_at(plan, place);
    places.push_back(relation.columns.size());
    if (planned == nullptr) {
      add_missing(source.name, "a column of " + quote_identifier(source.name) + " does not arrive");
      return;
    }
    const auto index = static_cast<std::size_t>(planned - plan.columns.data());
    RelationColumn column;
    column.source = planned->source;
    column.target = planned->target;
    column.shape = shapes.shape(scope.columns.at(index));
    // A module's rowid stands among the columns, but * does not stand for it.
    column.starred = source.module.empty() || place > 0 || fold_ascii(planned->source) != "rowid";
    relation.columns.push_back(std::move(column));
  }
  for (const std::size_t place : source.primary_key()) {
    relation.primary_key.push_back(places[place]);
    // Without NOT NULL a primary key may hold NULL, and then PostgreSQL has none.
    if (!relation.columns[places[place]].shape.not_null) {
      relation.primary_key.clear();
      break;
    }
  }
  if (source.rowid_alias) relation.rowid_column = places[*source.rowid_alias];
  known_->relations[fold_ascii(source.name)] = std::move(relation);
}

void ViewTranslator::add_missing(std::string_view name, std::string reason) {
  known_->relations[fold_ascii(name)].missing = std::move(reason);
}

ViewTranslation ViewTranslator::translate(const SourceObject& view, const std::string& quoted_target,
                                          const NameColumn& name_column) {
  ViewTranslation translation;
  const auto refuse_with = [&](const std::string& reason) {
    add_missing(view.name, "it reads the view " + quote_identifier(view.name) + ", which is not created");
    translation.reason = in_one_line(reason);
    return translation;
  };
  if (!is_valid_utf8(view.sql)) return refuse_with("it is not valid UTF-8");
  const ParsedView parsed = parse_view(view.sql);
  if (!parsed.problem.empty()) return refuse_with(parsed.problem);
  SelectTranslator translator(known_->relations);
  try {
    Selected selected = translator.translate_select(*parsed.view.select, parsed.view.columns);
    translation.select = std::move(selected.sql);
    translation.remarks = translator.remarks;
    for (RelationColumn& column : selected.columns) {
      column.target = name_column(column.target);
      translation.columns.push_back(column.target);
    }
    Relation relation;
    relation.sql = quoted_target;
    relation.columns = std::move(selected.columns);
    known_->relations[fold_ascii(view.name)] = std::move(relation);
    return translation;
  } catch (const Refusal& refusal) {
    return refuse_with(refusal.reason);
  }
}

std::vector<std::size_t> order_of_views(const std::vector<const SourceObject*>& views) {
  std::vector<std::vector<std::size_t>> reads(views.size());
  for (std::size_t i = 0; i < views.size(); ++i) {
    const ParsedView parsed = parse_view(views[i]->sql);
    if (parsed.view.select == nullptr) continue;
    for (const std::string& name : tables_in(*parsed.view.select)) {
      for (std::size_t k = 0; k < views.size(); ++k) {
        if (fold_ascii(views[k]->name) == name) reads[i].push_back(k);
      }
    }
  }
  // Rounds, since chains of views are short: take what reads from nothing that is left.
  std::vector<std::size_t> order;
  std::vector<bool> taken(views.size(), false);
  for (bool found = true; found;) {
    found = false;
    for (std::size_t i = 0; i < views.size(); ++i) {
      const bool ready =
          !taken[i] && std::all_of(reads[i].begin(), reads[i].end(), [&](std::size_t k) { return taken[k]; });
      if (!ready) continue;
      taken[i] = found = true;
      order.push_back(i);
    }
  }
  for (std::size_t i = 0; i < views.size(); ++i) {
    if (!taken[i]) order.push_back(i);
  }
  return order;
}

}  // namespace sluice
