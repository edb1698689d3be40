#include "engine/plan/generated.h"

#include <optional>

#include "engine/translate/sql_clauses.h"
#include "engine/translate/translate.h"

namespace sluice {

Generation generation_of(const SourceTable& source, const TablePlan& plan, const ColumnPlan& column) {
  Generation generation;
  const std::optional<TableClauses> clauses = find_clauses(source.sql);
  if (!clauses) {
    generation.reason = "the SQL of its table cannot be read";
    return generation;
  }
  if (column.conversion.any()) {
    generation.reason = "its values are converted on their way";
    return generation;
  }
  const Scope scope = scope_of(source, plan);
  const auto place = static_cast<std::size_t>(&column - plan.columns.data());
  const Translation translation = translate_generated(clauses->generated, scope, scope.columns.at(place));
  if (translation.translated() && translation.immutable) generation.nearly = translation.sql;
  if (fit_for_generation(translation)) {
    generation.sql = translation.sql;
  } else if (!translation.translated()) {
    generation.reason = translation.reason;
  } else if (!translation.immutable) {
    generation.reason = "its value depends on more than its row";
  } else {
    generation.reason = translation.remarks.empty() ? "a value may be out of the range of its type"
                                                    : translation.remarks.front();
  }
  return generation;
}

std::string generated_expression(const SourceTable& source, const TablePlan& plan, const ColumnPlan& column) {
  if (column.place >= source.columns.size()) return {};  // the rowid as a column
  if (source.columns[column.place].generated == Generated::no) return {};
  return generation_of(source, plan, column).sql;
}

}  // namespace sluice
