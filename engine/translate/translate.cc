#include "engine/translate/translate.h"

#include <algorithm>
#include <utility>

#include "engine/model/quote.h"
#include "engine/translate/sql_clauses.h"
#include "engine/translate/sql_expression.h"
#include "engine/translate/translator.h"

namespace sluice {
namespace {

Translation refused(std::string_view reason) {
  Translation translation;
  translation.reason = in_one_line(reason);
  return translation;
}

Translation outcome(const Translator& translator, const Fragment& fragment) {
  Translation translation;
  translation.sql = fragment.sql;
  translation.value = fragment.value;
  translation.remarks = translator.remarks;
  translation.immutable = translator.immutable && !fragment.changes;
  translation.can_fail = translator.can_fail;
  return translation;
}

// Parses, translates, and lets `finish` make the final fragment.
template <class Finish>
Translation translate_with(std::string_view sql, const Scope& scope, Finish finish) {
  if (!is_valid_utf8(sql)) return refused("it is not valid UTF-8");
  const ParsedExpression parsed = parse_expression(sql);
  if (parsed.tree == nullptr) return refused(parsed.problem);
  Translator translator(scope, Purpose::constraint);
  try {
    const Fragment fragment = finish(translator, translator.translate(*parsed.tree));
    return outcome(translator, fragment);
  } catch (const Refusal& refusal) {
    return refused(refusal.reason);
  }
}

std::string spelled(PgType type) { return std::string(name_of(type).sql); }

}  // namespace

bool is_valid_utf8(std::string_view text) {
  for (std::size_t i = 0; i < text.size();) {
    const auto byte = [&](std::size_t at) {
      return at < text.size() ? static_cast<unsigned char>(text[at]) : 0u;
    };
    const unsigned first = byte(i);
    if (first == 0) return false;
    std::size_t size = 1;
    if (first >= 0x80) {
      if (first < 0xc2 || first > 0xf4) return false;
      size = first < 0xe0 ? 2 : (first < 0xf0 ? 3 : 4);
      const unsigned second = byte(i + 1);
      if ((first == 0xe0 && second < 0xa0) || (first == 0xed && second > 0x9f) ||
          (first == 0xf0 && second < 0x90) || (first == 0xf4 && second > 0x8f)) {
        return false;
      }
      for (std::size_t k = 1; k < size; ++k) {
        if ((byte(i + k) & 0xc0u) != 0x80u) return false;
      }
    }
    i += size;
  }
  return true;
}

Fragment fitted(Translator& translator, const Fragment& fragment, const ScopeColumn& column) {
  const auto misfit = [&]() {
    return Refusal("its value is not of the column's type, " + spelled(column.type));
  };
  if (fragment.unsure != Unsure::no) refuse("what " + fragment.sql + " holds is not surely text");
  if (fragment.value == ValueClass::null) return fragment;
  const bool whole = fragment.value == ValueClass::integer || fragment.value == ValueClass::boolean;
  Fragment number = fragment;
  if (fragment.value == ValueClass::boolean && column.type != PgType::boolean) {
    number = fragment.literal ? integer_literal(fragment.integer)
                              : cast_to(fragment, PgType::int4, ValueClass::integer);
  }
  if (!fragment.digits.empty() && column.type != PgType::text) {
    number.sql = fragment.digits;
    number.binding = Binding::cast;
  }
  switch (column.type) {
    case PgType::int2:
    case PgType::int4:
      if (!whole && fragment.digits.empty()) throw misfit();
      translator.can_fail = true;
      return number;
    case PgType::int8:
      if (!whole && fragment.digits.empty()) throw misfit();
      return number;
    case PgType::numeric:
      if (fragment.value == ValueClass::number && fragment.type != PgType::float8) return fragment;
      if (!whole && fragment.digits.empty()) throw misfit();
      return number;
    case PgType::float8:
      if (fragment.value == ValueClass::real || whole || !fragment.digits.empty() ||
          (fragment.value == ValueClass::number && fragment.type == PgType::float8)) {
        return number.type == PgType::float8 ? number : cast_to(number, PgType::float8, ValueClass::real);
      }
      throw misfit();
    case PgType::boolean:
      if (fragment.value == ValueClass::boolean) return fragment;
      if (fragment.value == ValueClass::integer && fragment.literal &&
          (fragment.integer == 0 || fragment.integer == 1)) {
        return boolean_literal(fragment.integer == 1);
      }
      throw misfit();
    case PgType::text:
    case PgType::varchar:
      // Under another affinity than TEXT, what looks like a number becomes one, and arrives in its spelling.
      if (fragment.value == ValueClass::text && affinity_of(column) == Affinity::numeric) {
        refuse("its text may turn into a number under the affinity of the column");
      }
      return translator.as_text(fragment);
    case PgType::bytea:
      if (fragment.value == ValueClass::blob) return fragment;
      throw misfit();
    default:
      break;
  }
  if (column.type != fragment.type || fragment.value == ValueClass::text) throw misfit();
  return fragment;
}

Scope scope_of(const SourceTable& source, const TablePlan& plan) {
  Scope scope;
  scope.table = source.name;
  const std::optional<TableClauses> clauses = find_clauses(source.sql);
  for (const ColumnPlan& planned : plan.columns) {
    ScopeColumn column{planned.source,  planned.target, planned.type, planned.declared_type, {},
                       planned.not_null};
    column.converted = planned.conversion.any() || planned.respelled || planned.role != OffloadRole::none;
    if (clauses) {
      for (const CollateClause& clause : clauses->collations) {
        if (fold_ascii(clause.column) == fold_ascii(planned.source)) column.collation = clause.collation;
      }
    }
    scope.columns.push_back(std::move(column));
  }
  return scope;
}

Translation translate_expression(std::string_view sql, const Scope& scope) {
  return translate_with(sql, scope, [](Translator&, Fragment fragment) { return fragment; });
}

Translation translate_condition(std::string_view sql, const Scope& scope) {
  return translate_with(sql, scope, [](Translator& translator, const Fragment& fragment) {
    return translator.truth(fragment);
  });
}

Translation translate_value(std::string_view sql, const Scope& scope, const ScopeColumn& column) {
  return translate_with(sql, scope, [&](Translator& translator, const Fragment& fragment) {
    return fitted(translator, fragment, column);
  });
}

Translation translate_key(std::string_view sql, const Scope& scope, std::string_view collation) {
  return translate_with(sql, scope, [&](Translator& translator, const Fragment& fragment) -> Fragment {
    Fragment key = fragment;
    if (key.literal || key.value == ValueClass::null) refuse("its key is a constant");
    if (key.value == ValueClass::json) refuse("its key is JSON, for which json has no order");
    if (key.unsure == Unsure::json) translator.remark("what JSON holds is compared as text");
    const std::string folded =
        collation.empty() ? key.collation : (fold_ascii(collation) == "binary" ? "" : fold_ascii(collation));
    if (key.value == ValueClass::text && !folded.empty()) {
      key = Translator::with_collation(key, folded);
      return key;  // a call, which stands in an index without parentheses
    }
    const bool plain = key.sql.starts_with('"') && key.binding == Binding::atom;
    if (!plain) key.sql = "(" + key.sql + ")";
    return key;
  });
}

}  // namespace sluice
