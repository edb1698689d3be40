// Comparisons, by the rules of https://www.sqlite.org/datatype3.html, 4.2 and 7.1: which affinity is applied
// to which side, and whose collation counts.

#include <algorithm>
#include <cmath>
#include <optional>
#include <utility>

#include "engine/model/quote.h"
#include "engine/translate/text_pattern.h"
#include "engine/translate/translator.h"

namespace sluice {
namespace {

std::string lower_ascii_sql(const std::string& collatable) {
  return "lower(" + collatable + " COLLATE \"C\")";
}

}  // namespace

Fragment Translator::with_collation(const Fragment& fragment, const std::string& collation) {
  if (collation.empty()) return fragment;
  Fragment folded;
  if (collation == "nocase") {
    folded = fragment.literal ? text_literal(fold_ascii(fragment.text))
                              : text_fragment(lower_ascii_sql(bound(fragment, Binding::collate)));
  } else if (collation == "rtrim") {
    folded = text_fragment("rtrim(" + fragment.sql + ", ' ')");
    if (fragment.literal)
      folded = text_literal(fragment.text.substr(0, fragment.text.find_last_not_of(' ') + 1));
  } else {
    refuse("the collation " + collation + " is the application's own");
  }
  folded.not_null = fragment.not_null;
  return folded;
}

// Brings two operands to where PostgreSQL's plain operator compares as SQLite does. Throws Refusal.
Translator::Pair Translator::comparable(const std::string& name, Fragment left, Fragment right) {
  // A COLLATE anywhere in an operand reaches this comparison in SQLite, through functions and all.
  const bool hidden = !left.collated && (left.holds_collate || (!right.collated && right.holds_collate));
  // An explicit COLLATE first, the left one before the right one; then the column's.
  const bool of_left = left.collated || (!right.collated && left.of_column);
  const std::string collation = of_left ? left.collation : right.collation;
  align(name, left, right);
  if (left.value != ValueClass::text) return {std::move(left), std::move(right)};
  if (hidden) refuse("it has a COLLATE inside of what it compares");
  if (!collation.empty() && (left.unsure != Unsure::no || right.unsure != Unsure::no)) {
    refuse("it compares under a collation what is not surely text");
  }
  left = with_collation(left, collation);
  right = with_collation(right, collation);
  if (is_ordering(name)) left = ordered_by_bytes(left);
  return {std::move(left), std::move(right)};
}

void Translator::align(const std::string& name, Fragment& left, Fragment& right) {
  if (is_null(left) || is_null(right)) return;
  if (is_numeric(left) && is_numeric(right)) return align_numbers(left, right);
  if (right.value == ValueClass::text && left.value != ValueClass::text) {
    return align_with_text(name, left, right);
  }
  if (left.value == ValueClass::text && right.value != ValueClass::text) {
    return align_with_text(name, right, left);
  }
  if (left.value != right.value) {
    refuse("it compares " + std::string(spoken(left.value)) + " with " + std::string(spoken(right.value)));
  }
  if (left.value == ValueClass::json) refuse("it compares JSON, for which json has no operator");
  if (left.value == ValueClass::uuid) {
    if (is_ordering(name)) refuse("it orders uuids, which are text in SQLite");
    remark("uuids are compared by value, not by spelling");
  }
  if (left.value == ValueClass::time || left.value == ValueClass::timestamp ||
      left.value == ValueClass::timestamptz) {
    remark("moments are compared as such, not by their spelling");
  }
  if (left.unsure == Unsure::no && right.unsure == Unsure::no) return;
  // Both are text, and one may have been something else: then only a literal that can be nothing but text
  // is equal to it in both databases at the same times.
  const Fragment& unsure = left.unsure != Unsure::no ? left : right;
  const Fragment& other = left.unsure != Unsure::no ? right : left;
  Fragment number;
  bool surely_text = other.literal && number_of(other.text, number) == NumberText::no;
  if (unsure.unsure == Unsure::json) {
    surely_text = surely_text && !other.text.starts_with('{') && !other.text.starts_with('[') &&
                  other.text != "true" && other.text != "false";
  }
  if (is_ordering(name) || !surely_text) refuse("what " + unsure.sql + " holds is not surely text");
}

void Translator::align_numbers(Fragment& left, Fragment& right) {
  if (left.value == ValueClass::boolean && right.value == ValueClass::boolean) return;
  const auto is_bit = [](const Fragment& fragment) {
    return fragment.value == ValueClass::integer && fragment.literal &&
           (fragment.integer == 0 || fragment.integer == 1);
  };
  if (left.value == ValueClass::boolean && is_bit(right)) {
    right = boolean_literal(right.integer == 1);
    return;
  }
  if (right.value == ValueClass::boolean && is_bit(left)) {
    left = boolean_literal(left.integer == 1);
    return;
  }
  for (Fragment* side : {&left, &right}) {
    if (side->value == ValueClass::boolean) {
      const Affinity affinity = side->affinity;
      *side = as_number(*side);
      side->affinity = affinity;
    }
  }
  // What an integer is compared with, and may have to be a double or a decimal for.
  const auto exact_in_double = [](const Fragment& fragment) {
    if (fragment.value == ValueClass::integer && fragment.literal) {
      return fragment.integer >= -kExactInDouble && fragment.integer <= kExactInDouble;
    }
    if (fragment.value == ValueClass::real && fragment.literal) {
      return std::abs(fragment.real) <= static_cast<double>(kExactInDouble);
    }
    return is_narrow(fragment);
  };
  if (left.type == PgType::float8 || right.type == PgType::float8) {
    const Fragment& other = left.type == PgType::float8 ? right : left;
    // A literal double is read as one, whatever its size; an infinity is above all of them.
    const bool infinity =
        (left.literal && std::isinf(left.real)) || (right.literal && std::isinf(right.real));
    const bool literal_double = other.value == ValueClass::real && other.literal;
    if (other.type != PgType::float8 && !literal_double && !exact_in_double(other) && !infinity) {
      if (!for_view()) refuse("it compares a double with a number that may not fit one");
      Fragment& wide = left.type == PgType::float8 ? right : left;
      if (wide.value == ValueClass::integer) remark("integers are compared with doubles as doubles");
      wide = as_double(wide);
    }
    return;
  }
  // From here on, integers and decimals: PostgreSQL compares them as decimals.
  for (const Fragment* side : {&left, &right}) {
    if (side->literal && side->value == ValueClass::real && !exact_in_double(*side)) {
      refuse("it compares with a double beyond 2^53");
    }
    const Fragment& other = side == &left ? right : left;
    if (side->literal && other.value == ValueClass::number && !exact_in_double(*side)) {
      refuse("it compares a decimal with a number beyond 2^53");
    }
  }
}

// `text` is the side that is text; `other` is of another class.
void Translator::align_with_text(const std::string& name, Fragment& other, Fragment& text) {
  if (is_moment(other)) return align_moment(name, other, text);
  if (other.value == ValueClass::json && other.type == PgType::json) {
    other = cast_to(other, PgType::text, ValueClass::text);
    other.unsure = Unsure::json;
    // A whole document is JSON text in SQLite too, unless it was a bare number.
    Fragment number;
    if (is_ordering(name) || !text.literal || number_of(text.text, number) != NumberText::no) {
      refuse("it compares JSON with more than a text that is no number");
    }
    other.unsure = Unsure::no;
    return;
  }
  if (!is_numeric(other)) {
    refuse("it compares " + std::string(spoken(other.value)) + " with text");
  }
  if (other.affinity == Affinity::numeric && text.literal && text.affinity == Affinity::none) {
    Fragment number;
    if (number_of(text.text, number) != NumberText::yes) {
      refuse("it compares " + std::string(spoken(other.value)) + " with the text " + text.sql);
    }
    text = std::move(number);
    return align_numbers(other, text);
  }
  if (text.affinity == Affinity::text && other.affinity == Affinity::none && text.unsure == Unsure::no) {
    other = as_text(other);
    return;
  }
  refuse("it compares " + std::string(spoken(other.value)) + " with text");
}

void Translator::align_moment(const std::string& name, Fragment& moment, Fragment& text) {
  const std::string_view written = text.text;
  const bool stamp = moment.value == ValueClass::timestamp;
  // In full, since a shorter spelling of the same moment is another text.
  const bool whole =
      is_moment_text(written, moment.type) &&
      (moment.type == PgType::date || written.size() == (moment.type == PgType::time ? 8 : 19)) &&
      moment.type != PgType::timestamptz;
  // The text of a day is less than that of every moment on it, be it midnight.
  const bool day = for_view() && stamp && is_moment_text(written, PgType::date);
  if (!text.literal || (!whole && !day)) {
    refuse("it compares " + std::string(spoken(moment.value)) + " with text that is not one in full");
  }
  if (moment.value != ValueClass::date) remark("moments are compared as such, not by their spelling");
  if (day && name != ">=" && name != "<") {
    remark(text.sql + " counts as the midnight at which that day begins");
  }
  const std::string_view type = moment.type == PgType::date   ? "date"
                                : moment.type == PgType::time ? "time"
                                                              : "timestamp";
  text = make_fragment(text.sql + "::" + std::string(type), Binding::cast, moment.value, moment.type);
}

Fragment Translator::compare(const std::string& name, bool negated, const Fragment& left,
                             const Fragment& right) {
  if (is_null(left) || is_null(right)) {
    if (name != "is") return unknown_truth();
    if (is_null(left) && is_null(right)) return boolean_literal(!negated);
    const Fragment& other = is_null(left) ? right : left;
    return boolean_fragment(bound(other, Binding::order) + (negated ? " IS NOT NULL" : " IS NULL"),
                            Binding::is);
  }
  const Pair pair = comparable(name, left, right);
  if (pair.left.value == ValueClass::text && pair.left.literal && pair.right.literal && !is_ordering(name)) {
    return boolean_literal((pair.left.text == pair.right.text) == (name != "<>" && !negated));
  }
  if (name == "is") {
    return boolean_fragment(bound(pair.left, Binding::order) +
                                (negated ? " IS DISTINCT FROM " : " IS NOT DISTINCT FROM ") +
                                bound(pair.right, Binding::order),
                            Binding::is);
  }
  // flag = 1 says flag.
  const bool booleans = pair.left.value == ValueClass::boolean && pair.right.value == ValueClass::boolean;
  if (booleans && !is_ordering(name) && (pair.left.literal || pair.right.literal)) {
    const Fragment& literal = pair.right.literal ? pair.right : pair.left;
    const Fragment& other = pair.right.literal ? pair.left : pair.right;
    const bool same = (literal.integer == 1) == (name == "=");
    if (other.literal) return boolean_literal((other.integer == 1) == same);
    return same ? other : boolean_fragment("NOT " + bound(other, Binding::other), Binding::logical_not);
  }
  return boolean_fragment(
      bound(pair.left, Binding::like) + " " + name + " " + bound(pair.right, Binding::like), Binding::order);
}

Fragment Translator::in_list(const Expression& expression) {
  Fragment left = translate(*expression.children[0]);
  std::vector<Fragment> items = operands(expression, 1);
  if (items.empty()) return boolean_literal(expression.negated);
  if (is_null(left)) return unknown_truth();
  const bool beyond_bits = std::any_of(items.begin(), items.end(), [](const Fragment& item) {
    return item.literal && item.value == ValueClass::integer && item.integer != 0 && item.integer != 1;
  });
  if (left.value == ValueClass::boolean && beyond_bits) {
    const Affinity affinity = left.affinity;
    left = as_number(left);
    left.affinity = affinity;
  }
  std::vector<Pair> pairs;
  for (Fragment& item : items) {
    if (item.holds_collate) refuse("it has a COLLATE inside of a list");
    // The list has neither affinity nor collation of its own.
    item.affinity = Affinity::none;
    item.collation.clear();
    if (is_null(item)) {
      Fragment null = left;
      if (!pairs.empty()) null = pairs.front().left;
      pairs.push_back({std::move(null), std::move(item)});
    } else {
      pairs.push_back(comparable("=", left, std::move(item)));
    }
  }
  // Each item may have changed the left side in its own way.
  const auto of_value =
      std::find_if(pairs.begin(), pairs.end(), [](const Pair& p) { return !is_null(p.right); });
  const std::string shared = of_value == pairs.end() ? pairs.front().left.sql : of_value->left.sql;
  const bool alike = std::all_of(pairs.begin(), pairs.end(),
                                 [&](const Pair& p) { return is_null(p.right) || p.left.sql == shared; });
  if (!alike) refuse("it looks for one value among values of several kinds");
  std::string list;
  for (const Pair& pair : pairs) list += (list.empty() ? "" : ", ") + pair.right.sql;
  const Fragment& sought = of_value == pairs.end() ? pairs.front().left : of_value->left;
  return boolean_fragment(
      bound(sought, Binding::other) + (expression.negated ? " NOT IN (" : " IN (") + list + ")",
      Binding::like);
}

Fragment Translator::between(const Expression& expression) {
  const Fragment value = translate(*expression.children[0]);
  const Fragment low = translate(*expression.children[1]);
  const Fragment high = translate(*expression.children[2]);
  if (!is_null(value) && !is_null(low) && !is_null(high)) {
    const Pair above = comparable(">=", value, low);
    const Pair below = comparable("<=", value, high);
    if (above.left.sql == below.left.sql) {
      return boolean_fragment(
          bound(above.left, Binding::other) + (expression.negated ? " NOT BETWEEN " : " BETWEEN ") +
              bound(above.right, Binding::other) + " AND " + bound(below.right, Binding::other),
          Binding::like);
    }
  }
  if (value.changes) refuse("it evaluates twice what changes");
  const Fragment above = compare(">=", false, value, low);
  const Fragment below = compare("<=", false, value, high);
  const Fragment both =
      boolean_fragment(bound(above, Binding::logical_and) + " AND " + bound(below, Binding::logical_and),
                       Binding::logical_and);
  return expression.negated ? boolean_fragment("NOT (" + both.sql + ")", Binding::logical_not) : both;
}

Fragment Translator::like(const Expression& expression) {
  if (expression.text == "regexp" || expression.text == "match") {
    refuse(expression.text + " calls a function of the application");
  }
  Fragment value = translate(*expression.children[0]);
  const Fragment pattern = translate(*expression.children[1]);
  if (is_null(value) || is_null(pattern)) return unknown_truth();
  if (!pattern.literal || pattern.value != ValueClass::text) {
    refuse(expression.text + " with a pattern that is not a literal");
  }
  value = as_text(value);
  const std::string no = expression.negated ? "NOT " : "";
  if (expression.text == "glob") {
    if (expression.children.size() > 2) refuse("glob with ESCAPE");
    if (const auto plain = glob_like(pattern.text)) {
      return boolean_fragment(bound(value, Binding::other) + " " + no + "LIKE " + quote_literal(*plain),
                              Binding::like);
    }
    const std::optional<std::string> regex = glob_regex(pattern.text);
    if (!regex) refuse("glob with a set that is not closed or runs backwards");
    return boolean_fragment(
        bound(value, Binding::sum) + (expression.negated ? " !~ " : " ~ ") + quote_literal(*regex),
        Binding::other);
  }
  char escape = '\0';
  if (expression.children.size() > 2) {
    const Fragment written = translate(*expression.children[2]);
    const bool usable = written.literal && written.text.size() == 1 && written.text != "%" &&
                        written.text != "_" &&
                        std::isalpha(static_cast<unsigned char>(written.text.front())) == 0;
    if (!usable) refuse("like with an unusual ESCAPE");
    escape = written.text.front();
  }
  const std::optional<std::string> translated = like_pattern(pattern.text, escape);
  if (!translated) refuse("like with a pattern that ends in its escape");
  const bool letters = std::any_of(pattern.text.begin(), pattern.text.end(),
                                   [](char c) { return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z'); });
  // Under "C", ILIKE folds ASCII alone, as SQLite does.
  const std::string subject =
      letters ? bound(value, Binding::collate) + " COLLATE \"C\"" : bound(value, Binding::other);
  return boolean_fragment(subject + " " + no + (letters ? "ILIKE " : "LIKE ") + quote_literal(*translated),
                          Binding::like);
}

}  // namespace sluice
