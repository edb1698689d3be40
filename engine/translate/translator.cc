#include "engine/translate/translator.h"

#include <algorithm>
#include <charconv>
#include <utility>

#include "engine/model/quote.h"

namespace sluice {

void Translator::remark(std::string_view text) {
  std::string line = in_one_line(text);
  if (std::find(remarks.begin(), remarks.end(), line) == remarks.end()) remarks.push_back(std::move(line));
}

Fragment Translator::translate(const Expression& expression) {
  ++depth_;
  Fragment fragment = walk(expression);
  --depth_;
  if (fragment.converted && depth_ > 0) {
    refuse("the values of column " + fragment.sql + " are converted on their way");
  }
  // A COLLATE of its own hides those below it.
  fragment.holds_collate = expression.holds_collate && !fragment.collated;
  return fragment;
}

Fragment Translator::walk(const Expression& expression) {
  switch (expression.kind) {
    case ExpressionKind::null:
      return null_literal();
    case ExpressionKind::integer:
      return integer_literal(expression.integer);
    case ExpressionKind::real:
      return real_literal(expression.real);
    case ExpressionKind::text:
      return text_literal(expression.text);
    case ExpressionKind::blob:
      return blob_literal(expression.text);
    case ExpressionKind::column:
      return column(expression);
    case ExpressionKind::clock:
      return moment_call(expression.text, {});
    case ExpressionKind::unary:
      return unary(expression);
    case ExpressionKind::binary:
      return binary(expression);
    case ExpressionKind::in:
      return in_list(expression);
    case ExpressionKind::between:
      return between(expression);
    case ExpressionKind::like:
      return like(expression);
    case ExpressionKind::collate: {
      Fragment fragment = translate(*expression.children[0]);
      fragment.collation = fold_ascii(expression.text);
      if (fragment.collation == "binary") fragment.collation.clear();
      fragment.collated = true;
      return fragment;
    }
    case ExpressionKind::cast:
      return cast(expression);
    case ExpressionKind::choice:
      return choice(expression);
    case ExpressionKind::call:
      return call(expression);
    case ExpressionKind::subquery:
    case ExpressionKind::exists:
    case ExpressionKind::in_select:
      return query(expression);
    case ExpressionKind::row:
      break;
  }
  refuse("it compares rows");
}

// A part whose collation would reach what surrounds it in SQLite, but not in PostgreSQL.
Fragment Translator::operand(const Expression& expression) {
  Fragment fragment = translate(expression);
  if (fragment.collated) refuse("it has a COLLATE inside of an expression");
  return fragment;
}

std::vector<Fragment> Translator::operands(const Expression& expression, std::size_t first) {
  std::vector<Fragment> all;
  for (std::size_t i = first; i < expression.children.size(); ++i) {
    all.push_back(operand(*expression.children[i]));
  }
  return all;
}

namespace {

const ScopeColumn* find_column(const Scope& scope, std::string_view name) {
  const std::string folded = fold_ascii(name);
  const auto found = std::find_if(scope.columns.begin(), scope.columns.end(), [&](const ScopeColumn& column) {
    return fold_ascii(column.source) == folded;
  });
  return found == scope.columns.end() ? nullptr : &*found;
}

}  // namespace

bool Translator::knows_column(std::string_view name) const { return find_column(scope_, name) != nullptr; }

bool Translator::is_truth_word(const Expression& expression) const {
  if (expression.kind != ExpressionKind::column || !expression.bare) return false;
  const std::string folded = fold_ascii(expression.text);
  return (folded == "true" || folded == "false") && !knows_column(folded);
}

Fragment Translator::query(const Expression& /*expression*/) { refuse("it holds a subquery"); }

std::optional<Fragment> Translator::aggregate(const Expression& /*expression*/) { return std::nullopt; }

Fragment Translator::no_column(const Expression& expression) {
  if (is_truth_word(expression)) return integer_literal(fold_ascii(expression.text) == "true" ? 1 : 0);
  if (!expression.double_quoted) refuse("there is no column " + quote_identifier(expression.text));
  remark(quote_identifier(expression.text) + " is no column, so SQLite reads it as a string");
  return text_literal(expression.text);
}

Fragment Translator::column(const Expression& expression) {
  if (!expression.qualifier.empty() && fold_ascii(expression.qualifier) != fold_ascii(scope_.table)) {
    refuse("it names another table, " + quote_identifier(expression.qualifier));
  }
  const ScopeColumn* found = find_column(scope_, expression.text);
  return found == nullptr ? no_column(expression) : fragment_of(*found);
}

Fragment Translator::fragment_of(const ScopeColumn& of) {
  const ScopeColumn* found = &of;
  Fragment fragment =
      make_fragment(quote_identifier(found->target), Binding::atom, ValueClass::text, found->type);
  fragment.of_column = true;
  fragment.affinity = affinity_of(*found);
  if (found->declared_type.empty() && found->type != PgType::text && found->type != PgType::bytea) {
    fragment.affinity = Affinity::numeric;
  }
  fragment.not_null = found->not_null;
  fragment.converted = found->converted;
  fragment.collation = fold_ascii(found->collation);
  if (fragment.collation == "binary") fragment.collation.clear();
  const std::string declared = fold_ascii(found->declared_type);
  const auto declares = [&](const char* part) { return declared.find(part) != std::string::npos; };
  const bool real_affinity = !declares("int") && fragment.affinity == Affinity::numeric &&
                             (declares("real") || declares("floa") || declares("doub"));
  switch (found->type) {
    case PgType::int2:
    case PgType::int4:
    case PgType::int8:
      // Without INTEGER or NUMERIC affinity, 3.0 stays a double in SQLite and arrives as 3.
      fragment.value =
          real_affinity || fragment.affinity != Affinity::numeric ? ValueClass::number : ValueClass::integer;
      if (found->type == PgType::int2) fragment.type = PgType::int4;
      break;
    case PgType::float8:
      fragment.value = real_affinity || declared.empty() ? ValueClass::real : ValueClass::number;
      fragment.whole_is_integer =
          fragment.value == ValueClass::number && fragment.affinity == Affinity::numeric;
      break;
    case PgType::numeric:
      fragment.value = ValueClass::number;
      fragment.whole_is_integer = fragment.affinity == Affinity::numeric && !real_affinity;
      break;
    case PgType::boolean:
      if (fragment.affinity == Affinity::text && !fragment.converted)
        refuse("column " + fragment.sql + " holds truth values as text");
      fragment.value = ValueClass::boolean;
      break;
    case PgType::text:
    case PgType::varchar:
      if (fragment.affinity != Affinity::text) fragment.unsure = Unsure::number;
      break;
    case PgType::bytea:
      fragment.value = ValueClass::blob;
      break;
    case PgType::date:
      fragment.value = ValueClass::date;
      break;
    case PgType::time:
      fragment.value = ValueClass::time;
      break;
    case PgType::timestamp:
      fragment.value = ValueClass::timestamp;
      break;
    case PgType::timestamptz:
      fragment.value = ValueClass::timestamptz;
      break;
    case PgType::json:
    case PgType::jsonb:
      fragment.value = ValueClass::json;
      break;
    case PgType::uuid:
      fragment.value = ValueClass::uuid;
      break;
    case PgType::float4:
    case PgType::bpchar:
    case PgType::interval:
      // Single precision in arithmetic, blanks that do not count, no counterpart in SQLite.
      refuse("column " + fragment.sql + " arrives as " + std::string(name_of(found->type).sql));
  }
  return fragment;
}

// ---- truth values ----

Fragment Translator::truth(const Fragment& fragment) {
  if (fragment.converted) refuse("the values of column " + fragment.sql + " are converted on their way");
  switch (fragment.value) {
    case ValueClass::null:
      return unknown_truth();
    case ValueClass::boolean:
      return fragment;
    case ValueClass::integer:
      if (fragment.literal) return boolean_literal(fragment.integer != 0);
      break;
    case ValueClass::real:
      if (fragment.literal) return boolean_literal(fragment.real != 0);
      break;
    case ValueClass::number:
      break;
    default:
      refuse("it takes " + std::string(spoken(fragment.value)) + " for a truth value");
  }
  return boolean_fragment(bound(fragment, Binding::like) + " <> 0", Binding::order);
}

Fragment Translator::logical(const Expression& expression) {
  const bool both = expression.text == "and";
  const Binding own = both ? Binding::logical_and : Binding::logical_or;
  const Fragment left = truth(operand(*expression.children[0]));
  const Fragment right = truth(operand(*expression.children[1]));
  // Both are associative, so chains read without parentheses; but not AND next to OR.
  return boolean_fragment(bound(left, own) + (both ? " AND " : " OR ") + bound(right, own), own);
}

// ---- operators ----

Fragment Translator::unary(const Expression& expression) {
  const std::string& name = expression.text;
  if (name == "+") {
    Fragment fragment = translate(*expression.children[0]);
    fragment.affinity = Affinity::none;
    // A column keeps its collation, and also what makes it unsure.
    return fragment;
  }
  Fragment fragment = operand(*expression.children[0]);
  if (name == "not") {
    const Fragment condition = truth(fragment);
    if (condition.literal) return boolean_literal(condition.integer == 0);
    return boolean_fragment("NOT " + bound(condition, Binding::other), Binding::logical_not);
  }
  fragment = as_number(fragment);
  if (is_null(fragment)) return fragment;
  if (fragment.value == ValueClass::integer) {
    if (is_narrow(fragment) && (name == "~" || !fragment.literal)) {
      fragment = cast_to(fragment, PgType::int8, ValueClass::integer);
    }
    if (name == "-" && !fragment.literal) {
      can_fail = true;
      remark("integer arithmetic fails beyond 64 bits, where SQLite goes on with a double");
    }
    if (name == "-" && fragment.literal) return arithmetic("-", integer_literal(0), fragment);
    return make_fragment(name + bound(fragment, Binding::cast), name == "-" ? Binding::minus : Binding::other,
                         ValueClass::integer, PgType::int8);
  }
  if (name == "-" && (fragment.value == ValueClass::real || fragment.value == ValueClass::number)) {
    // SQLite subtracts from zero, so that no -0.0 comes out.
    return real_arithmetic("-", integer_literal(0), fragment);
  }
  refuse_argument(name, fragment);
}

Fragment Translator::binary(const Expression& expression) {
  const std::string& name = expression.text;
  if (name == "and" || name == "or") return logical(expression);
  if (name == "is" && is_truth_word(*expression.children[1])) {
    // IS TRUE is a test of truth, unlike IS 1.
    const Fragment condition = truth(operand(*expression.children[0]));
    const bool wanted = fold_ascii(expression.children[1]->text) == "true";
    return boolean_fragment(bound(condition, Binding::order) + (expression.negated ? " IS NOT " : " IS ") +
                                (wanted ? "TRUE" : "FALSE"),
                            Binding::is);
  }
  if (name == "is" || name == "=" || name == "<>" || is_ordering(name)) {
    return compare(name, expression.negated, translate(*expression.children[0]),
                   translate(*expression.children[1]));
  }
  Fragment left = operand(*expression.children[0]);
  Fragment right = operand(*expression.children[1]);
  if (name == "||") return concatenation(left, right);
  if (name == "->>") return json_member(left, right, true);
  if (name == "->") refuse("-> yields JSON, which PostgreSQL prints in another way");
  if (name == "&" || name == "|" || name == "<<" || name == ">>") {
    return bits(name, std::move(left), std::move(right));
  }
  return arithmetic(name, std::move(left), std::move(right));
}

// What arithmetic makes of an operand: a number, or NULL.
Fragment Translator::as_number(Fragment fragment) {
  if (!fragment.digits.empty()) {
    Fragment digits = make_fragment(fragment.digits, Binding::cast, ValueClass::integer, PgType::int8);
    digits.changes = fragment.changes;
    return digits;
  }
  if (fragment.value == ValueClass::boolean) {
    if (fragment.literal) return integer_literal(fragment.integer);
    return cast_to(fragment, PgType::int4, ValueClass::integer);
  }
  if (is_null(fragment) || fragment.value == ValueClass::integer || fragment.value == ValueClass::real) {
    return fragment;
  }
  if (for_view() && fragment.value == ValueClass::number) return fragment;
  if (for_view() && fragment.value == ValueClass::text && fragment.unsure != Unsure::json) {
    return leading_number(fragment);
  }
  refuse("it computes with " + std::string(spoken(fragment.value)));
}

namespace {

// Blanks, then what SQLite takes for the beginning of a number.
constexpr std::string_view kLeadingDouble =
    "^[ \\t\\n\\v\\f\\r]*([+-]?(?:[0-9]+\\.?[0-9]*|\\.[0-9]+)(?:[eE][+-]?[0-9]+)?)";
constexpr std::string_view kLeadingInteger = "^[ \\t\\n\\v\\f\\r]*([+-]?[0-9]+)";

Fragment leading_number_of(std::string_view text) {
  text.remove_prefix(std::min(text.find_first_not_of(" \t\n\v\f\r"), text.size()));
  const bool negative = text.starts_with('-');
  if (negative || text.starts_with('+')) text.remove_prefix(1);
  const auto is_digit = [&](std::size_t at) {
    return at < text.size() && text[at] >= '0' && text[at] <= '9';
  };
  std::size_t digits = 0;
  while (is_digit(digits)) ++digits;
  const bool real = text.substr(digits).starts_with('.') || text.substr(digits).starts_with('e') ||
                    text.substr(digits).starts_with('E') || digits > 18;
  if (digits == 0 && !is_digit(1)) return integer_literal(0);
  double value = 0;
  const auto result = std::from_chars(text.data(), text.data() + text.size(), value);
  if (result.ec == std::errc::result_out_of_range) refuse("it computes with text that is no double");
  const bool whole = !real || result.ptr == text.data() + digits;  // "1e" begins with the integer 1
  if (whole && digits <= 18) return integer_literal(static_cast<std::int64_t>(negative ? -value : value));
  return real_literal(negative ? -value : value);
}

}  // namespace

// The number that a text begins with, and 0 where it begins with none: an integer or a double in SQLite, a
// double here.
Fragment Translator::leading_number(const Fragment& text) {
  if (text.literal) return leading_number_of(text.text);
  if (text.changes) refuse("it evaluates twice what changes");
  remark("text that is computed with counts as the number it begins with, as a double");
  can_fail = true;
  const std::string number = "coalesce(substring(" + text.sql + " from " + quote_literal(kLeadingDouble) +
                             "), '0')::double precision";
  Fragment result =
      text.not_null
          ? make_fragment(number, Binding::cast, ValueClass::number, PgType::float8)
          : make_fragment("CASE WHEN " + bound(text, Binding::order) + " IS NOT NULL THEN " + number + " END",
                          Binding::atom, ValueClass::number, PgType::float8);
  result.not_null = text.not_null;
  return result;
}

Fragment Translator::leading_integer(const Fragment& text) {
  if (text.changes) refuse("it evaluates twice what changes");
  can_fail = true;
  remark("a cast of text takes the integer it begins with, and fails beyond 64 bits");
  return make_fragment("CASE WHEN " + bound(text, Binding::order) + " IS NOT NULL THEN coalesce(substring(" +
                           text.sql + " from " + quote_literal(kLeadingInteger) + "), '0')::bigint END",
                       Binding::atom, ValueClass::integer, PgType::int8);
}

Fragment Translator::as_double(const Fragment& number) {
  if (number.type == PgType::float8) return number;
  Fragment cast = cast_to(number, PgType::float8, number.value);
  if (number.value == ValueClass::integer) cast.value = ValueClass::real;
  return cast;
}

void Translator::insist_on_equality(const Fragment& fragment, const std::string& where) {
  if (fragment.value == ValueClass::json) refuse(where + " JSON, which SQLite compares by its spelling");
  if (fragment.value == ValueClass::text) {
    if (fragment.unsure != Unsure::no) refuse(where + " " + fragment.sql + ", which is not surely text");
    if (!fragment.collation.empty()) refuse(where + " text under the collation " + fragment.collation);
  }
  if (fragment.value == ValueClass::uuid) remark("uuids are compared by value, not by spelling");
  if (is_moment(fragment) && fragment.value != ValueClass::date) {
    remark("moments are compared as such, not by their spelling");
  }
}

Fragment Translator::arithmetic(const std::string& name, Fragment left, Fragment right) {
  left = as_number(std::move(left));
  right = as_number(std::move(right));
  if (is_null(left) || is_null(right)) {
    const Fragment& other = is_null(left) ? right : left;
    const bool real = other.value == ValueClass::real;
    return make_fragment(real ? "NULL::double precision" : "NULL::bigint", Binding::cast,
                         real ? ValueClass::real : ValueClass::integer, real ? PgType::float8 : PgType::int8);
  }
  const bool integers = left.value == ValueClass::integer && right.value == ValueClass::integer;
  Fragment result = integers ? integer_arithmetic(name, left, right) : real_arithmetic(name, left, right);
  result.changes = left.changes || right.changes;
  return result;
}

Fragment Translator::integer_arithmetic(const std::string& name, const Fragment& left,
                                        const Fragment& right) {
  // int4 with int4 would stay int4, and overflow early.
  const Fragment wide =
      is_narrow(left) && is_narrow(right) ? cast_to(left, PgType::int8, ValueClass::integer) : left;
  const auto result = [&](const std::string& divisor) {
    const bool sum = name == "+" || name == "-";
    const Binding own = sum ? Binding::sum : Binding::product;
    const Binding tighter = sum ? Binding::product : Binding::time_zone;
    return make_fragment(
        bound(wide, own) + " " + name + " " + (divisor.empty() ? bound(right, tighter) : divisor), own,
        ValueClass::integer, PgType::int8);
  };
  if (name != "/" && name != "%") {
    can_fail = true;
    remark("integer arithmetic fails beyond 64 bits, where SQLite goes on with a double");
    return result({});
  }
  if (right.literal) {
    if (right.integer == 0)
      return make_fragment("NULL::bigint", Binding::cast, ValueClass::integer, PgType::int8);
    if (right.integer != -1) return result({});
  }
  if (name == "/") {
    can_fail = true;  // the least integer divided by -1
    remark("integer arithmetic fails beyond 64 bits, where SQLite goes on with a double");
  }
  return result(right.literal ? std::string() : "nullif(" + right.sql + ", 0)");
}

Fragment Translator::real_arithmetic(const std::string& name, const Fragment& left, const Fragment& right) {
  if (name == "%") refuse("% of a double has no equal in PostgreSQL");
  const bool decimals = left.value == ValueClass::number || right.value == ValueClass::number;
  if (decimals) {
    if (!for_view()) refuse("it computes with a decimal, which is a double in SQLite");
    remark("decimals are computed with as doubles, as SQLite does");
    // A double beside it makes the result one.
    const bool mixed = left.value != ValueClass::real && right.value != ValueClass::real;
    if (name == "/" && mixed) return decimal_division(left, right);
    const Fragment first_double = left.literal ? left : as_double(left);
    const Fragment second_double = right.literal ? right : as_double(right);
    Fragment first = first_double;
    Fragment second = second_double;
    first.value = second.value = ValueClass::real;
    if (left.literal) first = left;
    if (right.literal) second = right;
    Fragment result = real_arithmetic(name, first, second);
    if (mixed) result.value = ValueClass::number;
    return result;
  }
  // Two literals, or an integer and a literal, would be computed as decimals.
  const bool doubles = left.type == PgType::float8 || right.type == PgType::float8;
  const Fragment first = doubles ? left : cast_to(left, PgType::float8, ValueClass::real);
  const bool sum = name == "+" || name == "-";
  const Binding own = sum ? Binding::sum : Binding::product;
  std::string second = bound(right, sum ? Binding::product : Binding::time_zone);
  if (name == "/") {
    if (!right.literal) second = "nullif(" + right.sql + ", 0)";
    if (right.literal && (right.value == ValueClass::integer ? right.integer == 0 : right.real == 0)) {
      return make_fragment("NULL::double precision", Binding::cast, ValueClass::real, PgType::float8);
    }
  }
  can_fail = true;
  remark("arithmetic with doubles fails out of their range, where SQLite has infinities and zeros");
  return make_fragment(bound(first, own) + " " + name + " " + second, own, ValueClass::real, PgType::float8);
}

// SQLite divides integers as integers, and a decimal that is whole is one there.
Fragment Translator::decimal_division(const Fragment& left, const Fragment& right) {
  for (const Fragment* side : {&left, &right}) {
    if (side->value == ValueClass::number && !side->whole_is_integer) {
      refuse("it divides by or into a number that may be an integer or a double in SQLite");
    }
    if (side->changes) refuse("it evaluates twice what changes");
  }
  if (right.literal && right.integer == 0) {
    return make_fragment("NULL::double precision", Binding::cast, ValueClass::number, PgType::float8);
  }
  const auto is_whole = [](const Fragment& side) {
    if (side.value == ValueClass::integer) return std::string();
    return bound(side, Binding::like) + " = trunc(" + side.sql + ")";
  };
  const std::string whole_left = is_whole(left);
  const std::string whole_right = is_whole(right);
  const std::string quotient = bound(as_double(left), Binding::product) + " / " +
                               (right.literal ? right.sql : "nullif(" + as_double(right).sql + ", 0)");
  can_fail = true;
  remark("whole decimals are divided as the integers that they are in SQLite");
  return make_fragment("CASE WHEN " + whole_left +
                           (whole_left.empty() || whole_right.empty() ? "" : " AND ") + whole_right +
                           " THEN trunc(" + quotient + ") ELSE " + quotient + " END",
                       Binding::atom, ValueClass::number, PgType::float8);
}

Fragment Translator::bits(const std::string& name, Fragment left, Fragment right) {
  left = as_number(std::move(left));
  right = as_number(std::move(right));
  if (is_null(left) || is_null(right)) {
    return make_fragment("NULL::bigint", Binding::cast, ValueClass::integer, PgType::int8);
  }
  if (left.value != ValueClass::integer || right.value != ValueClass::integer) {
    refuse(name + " of a double has no equal in PostgreSQL");
  }
  const bool shift = name == "<<" || name == ">>";
  if (shift && (!right.literal || right.integer < 0 || right.integer > 63)) {
    refuse("it shifts by something other than 0 to 63 bits");
  }
  if (is_narrow(left)) left = cast_to(left, PgType::int8, ValueClass::integer);
  return make_fragment(bound(left, Binding::sum) + " " + name + " " + bound(right, Binding::sum),
                       Binding::other, ValueClass::integer, PgType::int8);
}

Fragment Translator::as_text(const Fragment& fragment) {
  switch (fragment.value) {
    case ValueClass::null:
      return text_fragment("NULL::text", Binding::cast);
    case ValueClass::boolean:
      if (fragment.literal) return text_literal(fragment.integer == 0 ? "0" : "1");
      return cast_to(cast_to(fragment, PgType::int4, ValueClass::integer), PgType::text, ValueClass::text);
    case ValueClass::integer:
      if (fragment.literal) return text_literal(std::to_string(fragment.integer));
      return cast_to(fragment, PgType::text, ValueClass::text);
    case ValueClass::text:
      if (fragment.unsure != Unsure::no) refuse("what " + fragment.sql + " holds is not surely text");
      return fragment;
    case ValueClass::date:
      if (for_view()) return text_fragment("to_char(" + fragment.sql + ", 'YYYY-MM-DD')");
      [[fallthrough]];
    default:
      refuse("it needs the text of " + std::string(spoken(fragment.value)) +
             ", which PostgreSQL prints in another way");
  }
}

Fragment Translator::concatenation(const Fragment& left, const Fragment& right) {
  Fragment result = text_fragment(
      bound(as_text(left), Binding::other) + " || " + bound(as_text(right), Binding::sum), Binding::other);
  result.changes = left.changes || right.changes;
  return result;
}

// ---- CAST and CASE ----

Fragment Translator::cast(const Expression& expression) {
  Fragment fragment = operand(*expression.children[0]);
  const bool of_column = fragment.of_column;
  const std::string collation = fragment.collation;
  ScopeColumn as;
  as.declared_type = expression.text;
  const Affinity affinity = affinity_of(as);
  const std::string declared = fold_ascii(expression.text);
  const auto contains = [&](const char* part) { return declared.find(part) != std::string::npos; };
  Fragment result;
  if (affinity == Affinity::text) {
    result = as_text(fragment);
    if (result.literal) result = cast_to(result, PgType::text, ValueClass::text);
  } else if (affinity == Affinity::none) {
    if (fragment.value != ValueClass::blob && !is_null(fragment)) refuse("a cast to bytes");
    result = is_null(fragment) ? make_fragment("NULL::bytea", Binding::cast, ValueClass::blob, PgType::bytea)
                               : fragment;
  } else if (contains("int") && for_view() && fragment.value == ValueClass::text && fragment.digits.empty()) {
    if (fragment.unsure != Unsure::no) refuse("what " + fragment.sql + " holds is not surely text");
    result = leading_integer(fragment);
  } else if (contains("int")) {
    fragment = as_number(fragment);
    if (is_null(fragment)) {
      result = make_fragment("NULL::bigint", Binding::cast, ValueClass::integer, PgType::int8);
    } else if (fragment.value == ValueClass::real || fragment.value == ValueClass::number) {
      can_fail = true;
      remark("a double beyond 64 bits fails to become an integer, where SQLite takes the nearest");
      const Fragment real = fragment.type == PgType::float8 || fragment.value == ValueClass::number
                                ? fragment
                                : cast_to(fragment, PgType::float8, ValueClass::real);
      result =
          make_fragment("trunc(" + real.sql + ")::bigint", Binding::cast, ValueClass::integer, PgType::int8);
      result.changes = fragment.changes;
    } else {
      result = fragment;
    }
  } else if (contains("real") || contains("floa") || contains("doub")) {
    fragment = as_number(fragment);
    result =
        fragment.value == ValueClass::real ? fragment : cast_to(fragment, PgType::float8, ValueClass::real);
  } else {
    fragment = as_number(fragment);
    if (fragment.value == ValueClass::real && !for_view()) refuse("a cast of a double to numeric");
    result = is_null(fragment)
                 ? make_fragment("NULL::bigint", Binding::cast, ValueClass::integer, PgType::int8)
                 : fragment;
    if (fragment.value == ValueClass::real) {
      result = as_double(fragment);
      result.value = ValueClass::number;
    }
  }
  result.affinity = affinity;
  result.collation = of_column ? collation : "";
  result.of_column = of_column;
  // It is an expression now, whose text no affinity reads again.
  result.literal = false;
  result.digits.clear();
  result.moment = Moment::none;
  return result;
}

Fragment Translator::unify(std::vector<Fragment>& fragments) {
  const auto any = [&](auto predicate) { return std::any_of(fragments.begin(), fragments.end(), predicate); };
  const auto holds = [&](ValueClass value) {
    return any([value](const Fragment& fragment) { return fragment.value == value; });
  };
  for (const Fragment& fragment : fragments) {
    if (fragment.unsure != Unsure::no) refuse("what " + fragment.sql + " holds is not surely text");
  }
  Fragment result;
  result.changes = any([](const Fragment& fragment) { return fragment.changes; });
  const bool bits_only = !any([](const Fragment& fragment) {
    const bool bit = fragment.value == ValueClass::integer && fragment.literal &&
                     (fragment.integer == 0 || fragment.integer == 1);
    return !is_null(fragment) && fragment.value != ValueClass::boolean && !bit;
  });
  if (holds(ValueClass::boolean)) {
    for (Fragment& fragment : fragments) {
      if (bits_only && fragment.value == ValueClass::integer)
        fragment = boolean_literal(fragment.integer == 1);
      if (!bits_only && fragment.value == ValueClass::boolean) fragment = as_number(fragment);
    }
  }
  const auto first = std::find_if(fragments.begin(), fragments.end(),
                                  [](const Fragment& fragment) { return !is_null(fragment); });
  if (first == fragments.end()) return result;
  result.value = first->value;
  result.type = first->type;
  const bool numbers = is_numeric(*first) && result.value != ValueClass::boolean;
  const bool mixed = any([&](const Fragment& f) { return !is_null(f) && f.value != result.value; });
  const bool kinds = any([&](const Fragment& f) {
    return !is_null(f) && f.value != result.value && !(numbers && is_numeric(f));
  });
  if (kinds) refuse("its branches hold values of several kinds");
  if (!numbers) return result;
  const bool doubles = any([](const Fragment& f) { return !is_null(f) && f.type == PgType::float8; });
  const auto is_wide_integer = [](const Fragment& f) {
    const bool small = f.literal && f.integer >= -kExactInDouble && f.integer <= kExactInDouble;
    return f.value == ValueClass::integer && !is_narrow(f) && !small;
  };
  const bool decimals = any([](const Fragment& f) {
    return !is_null(f) && f.value == ValueClass::number && f.type != PgType::float8;
  });
  if (doubles && decimals) refuse("its branches mix doubles with decimals");
  if (mixed) {
    // Integers beside doubles stay integers in SQLite: fit for comparisons, no more.
    if ((holds(ValueClass::real) || doubles) && any(is_wide_integer)) {
      refuse("its branches mix doubles with integers that may not fit one");
    }
    result.value = ValueClass::number;
  }
  if (result.value == ValueClass::integer) {
    const bool wide = any([](const Fragment& f) { return !is_null(f) && !is_narrow(f); });
    result.type = wide ? PgType::int8 : PgType::int4;
  } else if (doubles || result.value == ValueClass::real) {
    result.type = PgType::float8;
    if (!doubles) *first = cast_to(*first, PgType::float8, ValueClass::real);
  } else if (mixed) {
    result.type = PgType::numeric;
  }
  return result;
}

Fragment Translator::choice(const Expression& expression) {
  const std::size_t end = expression.children.size() - (expression.has_else ? 1 : 0);
  std::vector<std::string> conditions;
  std::vector<Fragment> values;
  Fragment base;
  if (expression.has_base) {
    base = translate(*expression.children[0]);
    if (base.changes) refuse("it evaluates twice what changes");
  }
  for (std::size_t i = expression.has_base ? 1 : 0; i + 1 < end; i += 2) {
    const Expression& when = *expression.children[i];
    conditions.push_back(expression.has_base ? compare("=", false, base, translate(when)).sql
                                             : truth(operand(when)).sql);
    values.push_back(operand(*expression.children[i + 1]));
  }
  if (expression.has_else) values.push_back(operand(*expression.children.back()));
  const Fragment shape = unify(values);
  std::string sql = "CASE";
  for (std::size_t i = 0; i < conditions.size(); ++i) {
    sql += " WHEN " + conditions[i] + " THEN " + values[i].sql;
  }
  if (expression.has_else) sql += " ELSE " + values.back().sql;
  return chosen(sql + " END", shape);
}

}  // namespace sluice
