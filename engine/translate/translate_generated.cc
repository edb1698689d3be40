#include <algorithm>
#include <set>
#include <utility>

#include "engine/model/quote.h"
#include "engine/translate/translate.h"
#include "engine/translate/translator.h"

namespace sluice {
namespace {

class GeneratedTranslator : public Translator {
 public:
  GeneratedTranslator(const std::vector<GeneratedClause>& clauses, const Scope& scope,
                      std::set<std::string> within)
      : Translator(scope, Purpose::constraint),
        clauses_(clauses),
        scope_of_(scope),
        within_(std::move(within)) {}

  // The expression of a generated column as its value. Throws Refusal.
  Fragment value_of(const ScopeColumn& column) {
    const std::string name = fold_ascii(column.source);
    const auto clause = std::find_if(clauses_.begin(), clauses_.end(), [&](const GeneratedClause& each) {
      return fold_ascii(each.column) == name;
    });
    if (clause == clauses_.end()) refuse("its expression is not in the SQL of its table");
    if (!within_.insert(name).second) refuse("it refers to itself");
    if (!is_valid_utf8(clause->expression)) refuse("it is not valid UTF-8");
    const ParsedExpression parsed = parse_expression(clause->expression);
    if (parsed.tree == nullptr) refuse(parsed.problem);
    return fitted(*this, translate(*parsed.tree), column);
  }

 protected:
  Fragment column(const Expression& expression) override {
    const std::string name = fold_ascii(expression.text);
    const bool generated = std::any_of(clauses_.begin(), clauses_.end(), [&](const GeneratedClause& clause) {
      return fold_ascii(clause.column) == name;
    });
    const auto found = std::find_if(scope_of_.columns.begin(), scope_of_.columns.end(),
                                    [&](const ScopeColumn& each) { return fold_ascii(each.source) == name; });
    if (!generated || found == scope_of_.columns.end()) return Translator::column(expression);
    GeneratedTranslator inner(clauses_, scope_of_, within_);
    Fragment value;
    try {
      value = inner.value_of(*found);
    } catch (const Refusal&) {
      return Translator::column(expression);  // it arrives as a plain column
    }
    if (!inner.remarks.empty() || !inner.immutable || inner.can_fail || value.changes || is_null(value)) {
      return Translator::column(expression);
    }
    const Fragment shape = Translator::column(expression);
    value.affinity = shape.affinity;
    value.collation = shape.collation;
    value.collated = value.holds_collate = value.literal = false;
    value.of_column = true;
    value.not_null = false;
    value.digits.clear();
    value.moment = Moment::none;
    return value;
  }

 private:
  const std::vector<GeneratedClause>& clauses_;
  const Scope& scope_of_;
  std::set<std::string> within_;  // the columns around this one
};

}  // namespace

Translation translate_generated(const std::vector<GeneratedClause>& clauses, const Scope& scope,
                                const ScopeColumn& column) {
  Translation translation;
  GeneratedTranslator translator(clauses, scope, {});
  try {
    const Fragment fragment = translator.value_of(column);
    translation.sql = fragment.sql;
    translation.value = fragment.value;
    translation.remarks = translator.remarks;
    translation.immutable = translator.immutable && !fragment.changes;
    translation.can_fail = translator.can_fail;
  } catch (const Refusal& refusal) {
    translation.reason = refusal.reason;
  }
  return translation;
}

bool fit_for_generation(const Translation& translation) {
  return translation.translated() && translation.immutable && !translation.can_fail &&
         translation.remarks.empty();
}

}  // namespace sluice
