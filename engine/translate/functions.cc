// SQLite's functions (https://www.sqlite.org/lang_corefunc.html, lang_datefunc.html), those that have an
// equal.

#include <algorithm>
#include <limits>
#include <utility>

#include "engine/model/quote.h"
#include "engine/translate/translator.h"

namespace sluice {
Fragment Translator::call(const Expression& expression) {
  const std::string& name = expression.text;
  if (std::optional<Fragment> aggregated = aggregate(expression)) return *aggregated;
  if (expression.negated) refuse(name + "(*) is an aggregate");
  if (expression.distinct || expression.filter != nullptr || expression.window != nullptr) {
    refuse(name + " is no aggregate that is translated");
  }
  std::vector<Fragment> arguments = operands(expression, 0);
  const std::size_t count = arguments.size();
  const auto is = [&](std::string_view wanted, std::size_t from, std::size_t to) {
    return name == wanted && count >= from && count <= to;
  };
  constexpr std::size_t kMany = SIZE_MAX;
  if (is("coalesce", 2, kMany) || is("ifnull", 2, 2)) {
    const Fragment shape = unify(arguments);
    Fragment result = chosen(call_sql("coalesce", arguments), shape);
    result.not_null =
        std::any_of(arguments.begin(), arguments.end(), [](const Fragment& f) { return f.not_null; });
    return result;
  }
  if (is("nullif", 2, 2)) {
    for (const Fragment& argument : arguments) {
      if (!argument.collation.empty() || argument.holds_collate) refuse("nullif under a collation");
    }
    if (is_null(arguments[0])) return arguments[0];
    const Fragment shape = unify(arguments);
    if (shape.value == ValueClass::json || shape.value == ValueClass::uuid ||
        shape.value == ValueClass::number || is_moment(shape)) {
      refuse_argument(name, shape);
    }
    return make_fragment(call_sql("nullif", arguments), Binding::atom, shape.value, shape.type);
  }
  if (is("iif", 3, 3)) {
    std::vector<Fragment> values = {arguments[1], arguments[2]};
    const Fragment shape = unify(values);
    Fragment result = chosen(
        "CASE WHEN " + truth(arguments[0]).sql + " THEN " + values[0].sql + " ELSE " + values[1].sql + " END",
        shape);
    result.changes = arguments[0].changes || shape.changes;
    return result;
  }
  if (is("min", 2, kMany) || is("max", 2, kMany)) return extreme(name, std::move(arguments));
  if (is("abs", 1, 1)) {
    Fragment value = as_number(arguments[0]);
    if (is_null(value))
      return make_fragment("NULL::bigint", Binding::cast, ValueClass::integer, PgType::int8);
    const bool real = value.value == ValueClass::real || value.value == ValueClass::number;
    if (value.value == ValueClass::real && value.type != PgType::float8)
      value = cast_to(value, PgType::float8, ValueClass::real);
    if (is_narrow(value)) value = cast_to(value, PgType::int8, ValueClass::integer);
    // The least integer has no absolute value: an error in both.
    can_fail = can_fail || !real;
    Fragment result = make_fragment("abs(" + value.sql + ")", Binding::atom, value.value, value.type);
    result.changes = value.changes;
    return result;
  }
  if (is("round", 1, 2)) return rounded(arguments);
  if (is("typeof", 1, 1)) return type_name(arguments[0]);
  if (is("json_valid", 1, 1)) return json_valid(arguments[0]);
  if (is("json_extract", 2, 2)) return json_member(arguments[0], arguments[1], false);
  if (is("length", 1, 1) && arguments[0].value == ValueClass::blob) {
    return make_fragment("octet_length(" + arguments[0].sql + ")", Binding::atom, ValueClass::integer,
                         PgType::int4);
  }
  if (is("hex", 1, 1)) {
    std::string bytes = arguments[0].sql;
    if (arguments[0].value != ValueClass::blob) {
      bytes = "convert_to(" + as_text(arguments[0]).sql + ", 'UTF8')";
      immutable = false;  // so PostgreSQL says of convert_to
    }
    const std::string digits = "upper(encode(" + bytes + ", 'hex'))";
    // SQLite has no NULL here.
    return text_fragment(arguments[0].not_null ? digits : "coalesce(" + digits + ", '')");
  }
  if (is("substr", 2, 3) || is("substring", 2, 3)) return substring(arguments);
  for (const std::string_view one : {"length", "lower", "upper", "trim", "ltrim", "rtrim"}) {
    if (is(one, 1, 1)) return text_call(name, std::move(arguments));
  }
  for (const std::string_view two : {"trim", "ltrim", "rtrim", "instr"}) {
    if (is(two, 2, 2)) return text_call(name, std::move(arguments));
  }
  if (is("replace", 3, 3)) return text_call(name, std::move(arguments));
  if (name == "date" || name == "time" || name == "datetime" || name == "strftime" || name == "unixepoch" ||
      name == "julianday") {
    return moment_call(name, arguments);
  }
  if (is("random", 0, 0)) {
    if (purpose_ == Purpose::constraint) refuse("random() changes from call to call");
    Fragment result = make_fragment(
        "('x' || left(encode(sha256(uuid_send(gen_random_uuid())), 'hex'), 16))::bit(64)::bigint",
        Binding::cast, ValueClass::integer, PgType::int8);
    result.changes = true;
    return result;
  }
  refuse("the function " + name + " is not translated");
}

Fragment Translator::text_call(const std::string& name, std::vector<Fragment> arguments) {
  const bool of_bytes = std::any_of(arguments.begin(), arguments.end(),
                                    [](const Fragment& f) { return f.value == ValueClass::blob; });
  if (of_bytes) refuse(name + " of bytes has no equal in PostgreSQL");
  bool changes = false;
  const bool of_text = arguments[0].value == ValueClass::text;
  for (Fragment& argument : arguments) {
    changes = changes || argument.changes;
    argument = as_text(argument);
  }
  Fragment result;
  if (name == "length") {
    result = make_fragment(call_sql("length", arguments), Binding::atom, ValueClass::integer, PgType::int4);
  } else if (name == "instr") {
    result = make_fragment(call_sql("strpos", arguments), Binding::atom, ValueClass::integer, PgType::int4);
  } else if (name == "lower" || name == "upper") {
    result = text_fragment(name + "(" + bound(arguments[0], Binding::collate) + " COLLATE \"C\")");
  } else if (name == "replace") {
    // Of an empty pattern, SQLite does not even look at the replacement, were it NULL, and gives back the
    // first argument as it is, were it a number.
    const bool filled = arguments[1].literal && !arguments[1].text.empty();
    if (!filled && (!arguments[2].not_null || !of_text)) refuse("replace whose pattern may be empty");
    result = text_fragment(call_sql("replace", arguments));
  } else {
    if (arguments.size() == 1) arguments.push_back(text_literal(" "));
    result = text_fragment(call_sql(name == "trim" ? "btrim" : name, arguments));
  }
  result.changes = changes;
  return result;
}

Fragment Translator::substring(const std::vector<Fragment>& arguments) {
  const auto is_count = [](const Fragment& fragment, std::int64_t least) {
    return fragment.value == ValueClass::integer && fragment.literal && fragment.integer >= least &&
           fragment.integer <= std::numeric_limits<std::int32_t>::max();
  };
  const bool blob = arguments[0].value == ValueClass::blob;
  const Fragment value = blob ? arguments[0] : as_text(arguments[0]);
  const bool from_end = arguments[1].value == ValueClass::integer && arguments[1].literal &&
                        arguments[1].integer < 0 && is_count(integer_literal(-arguments[1].integer), 1);
  if (from_end && arguments.size() == 2 && !blob) {
    return text_fragment("right(" + value.sql + ", " + std::to_string(-arguments[1].integer) + ")");
  }
  if (!is_count(arguments[1], 1) || (arguments.size() == 3 && !is_count(arguments[2], 0))) {
    refuse("substr with other than literal positions from 1 on");
  }
  std::vector<Fragment> positions = {value, arguments[1]};
  if (arguments.size() == 3) positions.push_back(arguments[2]);
  Fragment result = make_fragment(call_sql("substr", positions), Binding::atom, value.value, value.type);
  result.changes = value.changes;
  return result;
}

Fragment Translator::rounded(const std::vector<Fragment>& arguments) {
  const Fragment value = as_number(arguments[0]);
  std::int64_t digits = 0;
  if (arguments.size() == 2) {
    const bool literal = arguments[1].literal && arguments[1].value == ValueClass::integer;
    if (!literal || arguments[1].integer > 15) refuse("round to other than a literal number of digits");
    digits = std::max<std::int64_t>(arguments[1].integer, 0);
  }
  if (value.value == ValueClass::integer) return cast_to(value, PgType::float8, ValueClass::real);
  if (is_null(value))
    return make_fragment("NULL::double precision", Binding::cast, ValueClass::real, PgType::float8);
  if (!for_view()) refuse("round of a double differs in PostgreSQL");
  remark("round() decides by the digits of the number, where SQLite decides by the double next to it");
  const Fragment decimal =
      value.type == PgType::numeric ? value : cast_to(value, PgType::numeric, ValueClass::number);
  Fragment result = make_fragment(
      "round(" + decimal.sql + (digits > 0 ? ", " + std::to_string(digits) : "") + ")::double precision",
      Binding::cast, ValueClass::real, PgType::float8);
  result.not_null = value.not_null;
  result.changes = value.changes;
  return result;
}

// min and max of several: NULL as soon as one is NULL, where least and greatest pass over it.
Fragment Translator::extreme(const std::string& name, std::vector<Fragment> arguments) {
  for (const Fragment& argument : arguments) {
    if (!argument.collation.empty() || argument.holds_collate) refuse(name + " under a collation");
    if (argument.changes) refuse("it evaluates twice what changes");
  }
  if (std::any_of(arguments.begin(), arguments.end(), is_null)) return null_literal();
  const Fragment shape = unify(arguments);
  if (shape.value == ValueClass::json || shape.value == ValueClass::uuid ||
      shape.value == ValueClass::number || is_moment(shape)) {
    refuse(name + " of " + std::string(spoken(shape.value)) + " has no equal in PostgreSQL");
  }
  std::string present;
  for (const Fragment& argument : arguments) {
    if (argument.not_null) continue;
    present += (present.empty() ? "" : " AND ") + bound(argument, Binding::order) + " IS NOT NULL";
  }
  if (shape.value == ValueClass::text) arguments.front() = ordered_by_bytes(arguments.front());
  const std::string picked = call_sql(name == "min" ? "least" : "greatest", arguments);
  Fragment result =
      make_fragment(present.empty() ? picked : "CASE WHEN " + present + " THEN " + picked + " END",
                    Binding::atom, shape.value, shape.type);
  result.not_null = present.empty();
  return result;
}

Fragment Translator::type_name(const Fragment& fragment) {
  std::string name;
  switch (fragment.value) {
    case ValueClass::null:
      return text_literal("null");
    case ValueClass::boolean:
    case ValueClass::integer:
      name = "integer";
      break;
    case ValueClass::real:
      name = "real";
      break;
    case ValueClass::blob:
      name = "blob";
      break;
    case ValueClass::text:
    case ValueClass::date:
    case ValueClass::time:
    case ValueClass::timestamp:
    case ValueClass::timestamptz:
    case ValueClass::uuid:
      name = "text";
      break;
    case ValueClass::number:
    case ValueClass::json:
      refuse_argument("typeof", fragment);
  }
  if (fragment.unsure != Unsure::no) refuse("what " + fragment.sql + " holds is not surely text");
  if (fragment.not_null) return text_literal(name);
  return text_fragment("CASE WHEN " + bound(fragment, Binding::order) + " IS NULL THEN 'null' ELSE " +
                       quote_literal(name) + " END");
}

Fragment Translator::json_valid(const Fragment& json) {
  if (json.value != ValueClass::json) refuse("json_valid of anything but a JSON column");
  if (json.not_null) return boolean_literal(true);
  if (for_view()) refuse("json_valid of a column that may be NULL, on which versions of SQLite differ");
  remark("json_valid(NULL) is taken for NULL, as in SQLite since 3.45");
  return boolean_fragment("CASE WHEN " + bound(json, Binding::order) + " IS NOT NULL THEN true END",
                          Binding::atom);
}

// A path of plain names: what is at its end as text, unsure of its type.
Fragment Translator::json_member(const Fragment& json, const Fragment& path, bool label) {
  if (json.value != ValueClass::json) refuse("a member of anything but a JSON column");
  if (!path.literal || path.value != ValueClass::text) refuse("a JSON path that is not a literal");
  std::string_view rest = path.text;
  if (!rest.starts_with('$')) {
    if (!label) refuse("a JSON path that does not begin with $");
  } else {
    rest.remove_prefix(1);
    if (!rest.starts_with('.')) refuse("a JSON path of more than plain names");
    rest.remove_prefix(1);
  }
  const bool deep = path.text.starts_with('$');
  std::string names;
  bool begins = true;
  for (const char c : rest) {
    const bool letter = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_';
    const bool digit = c >= '0' && c <= '9';
    if (c == '.' && deep && !begins) {
      names += ',';
      begins = true;
      continue;
    }
    if (!letter && (begins || !digit)) refuse("a JSON path of more than plain names");
    names += c;
    begins = false;
  }
  if (begins) refuse("a JSON path of more than plain names");
  remark("of a repeated name in JSON, PostgreSQL takes the last and SQLite the first");
  Fragment member = text_fragment(bound(json, Binding::sum) + " #>> '{" + names + "}'", Binding::other);
  member.unsure = Unsure::json;
  return member;
}

}  // namespace sluice
