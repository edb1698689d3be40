#include <algorithm>
#include <cmath>
#include <limits>
#include <optional>
#include <utility>

#include "engine/model/quote.h"
#include "engine/translate/translate.h"
#include "engine/translate/translator.h"

namespace sluice {
namespace {

std::string spelled(PgType type) { return std::string(name_of(type).sql); }

// ---- literals ----

std::optional<bool> truth_of(std::string_view text) {
  const std::string folded = fold_ascii(text);
  for (const std::string_view word : {"1", "t", "true", "y", "yes", "on"}) {
    if (folded == word) return true;
  }
  for (const std::string_view word : {"0", "f", "false", "n", "no", "off"}) {
    if (folded == word) return false;
  }
  return std::nullopt;
}

bool is_uuid(std::string_view text) {
  if (text.size() != 36) return false;
  for (std::size_t i = 0; i < text.size(); ++i) {
    const bool dash = i == 8 || i == 13 || i == 18 || i == 23;
    if (dash ? text[i] != '-' : std::isxdigit(static_cast<unsigned char>(text[i])) == 0) return false;
  }
  return true;
}

// SQLite prints 15 digits; where these do not read back as the same double, the text is not ours to guess.
std::string real_as_text(double value) {
  const std::string digits = print_real(value);
  const auto count = std::count_if(digits.begin(), digits.end(), [](char c) { return c >= '0' && c <= '9'; });
  if (!std::isfinite(value) || count > 15 || digits.find('e') != std::string::npos) {
    refuse("the text that SQLite makes of the default is not known");
  }
  return digits;
}

// The literal after the affinity of the column had its way with it.
Fragment with_affinity(const Fragment& literal, const ScopeColumn& column) {
  Affinity affinity = affinity_of(column);
  if (column.declared_type.empty() && column.type != PgType::text && column.type != PgType::bytea) {
    affinity = Affinity::numeric;
  }
  if (affinity == Affinity::numeric && literal.value == ValueClass::text) {
    Fragment number;
    switch (number_of(literal.text, number)) {
      case NumberText::yes:
        return number;
      case NumberText::no:
        return literal;
      case NumberText::unclear:
        refuse("whether " + literal.sql + " is a number depends on how it is read");
    }
  }
  if (affinity == Affinity::text && literal.value == ValueClass::integer) {
    return text_literal(std::to_string(literal.integer));
  }
  if (affinity == Affinity::text && literal.value == ValueClass::real) {
    return text_literal(real_as_text(literal.real));
  }
  return literal;
}

// A literal that is of the column's type, or the reason why not.
Fragment fitted_literal(Translator& translator, const Fragment& written, const ScopeColumn& column) {
  const Fragment literal = with_affinity(written, column);
  const std::string shown = literal.sql.size() <= 40 ? literal.sql : "a long " + std::string("literal");
  const auto misfit = [&]() { return Refusal("the default " + shown + " is no " + spelled(column.type)); };
  const bool whole = literal.value == ValueClass::integer ||
                     (literal.value == ValueClass::real && std::trunc(literal.real) == literal.real &&
                      std::abs(literal.real) < 0x1p53);
  const std::int64_t integer = literal.value == ValueClass::integer ? literal.integer
                               : whole                              ? static_cast<std::int64_t>(literal.real)
                                                                    : 0;
  const bool text = literal.value == ValueClass::text;
  const auto within = [&](auto limit) {
    return integer >= std::numeric_limits<decltype(limit)>::min() &&
           integer <= std::numeric_limits<decltype(limit)>::max();
  };
  switch (column.type) {
    case PgType::int2:
      if (whole && within(std::int16_t{})) return integer_literal(integer);
      throw misfit();
    case PgType::int4:
      if (whole && within(std::int32_t{})) return integer_literal(integer);
      throw misfit();
    case PgType::int8:
      if (whole) return integer_literal(integer);
      throw misfit();
    case PgType::float4:
    case PgType::float8:
    case PgType::numeric:
      if (literal.value == ValueClass::integer) return integer_literal(integer);
      if (literal.value == ValueClass::real) return literal;
      throw misfit();
    case PgType::boolean:
      if (whole && (integer == 0 || integer == 1)) return boolean_literal(integer == 1);
      if (const std::optional<bool> value = text ? truth_of(literal.text) : std::nullopt) {
        return boolean_literal(*value);
      }
      throw misfit();
    case PgType::text:
    case PgType::varchar:
    case PgType::bpchar:
      if (text) return literal;
      // Without TEXT affinity the number stays one, and arrives in its digits.
      if (literal.value == ValueClass::integer) return text_literal(std::to_string(literal.integer));
      if (literal.value == ValueClass::real) return text_literal(real_as_text(literal.real));
      throw misfit();
    case PgType::bytea:
      if (literal.value == ValueClass::blob) return literal;
      if (!text) throw misfit();
      translator.remark("the default is text in SQLite, and arrives as its bytes");
      return blob_literal(literal.text);
    case PgType::date:
    case PgType::time:
    case PgType::timestamp:
    case PgType::timestamptz:
      if (text && is_moment_text(literal.text, column.type)) return literal;
      throw misfit();
    case PgType::json:
    case PgType::jsonb: {
      if (literal.value == ValueClass::integer || literal.value == ValueClass::real) {
        if (literal.value == ValueClass::real && !std::isfinite(literal.real)) throw misfit();
        return text_literal(literal.sql);
      }
      // What begins like JSON is left to the server, which reads the whole when the default is set.
      const std::size_t first = text ? literal.text.find_first_not_of(" \t\r\n") : std::string::npos;
      if (first == std::string::npos) throw misfit();
      const std::string_view rest = std::string_view(literal.text).substr(first);
      if (std::string_view("{[\"").find(rest.front()) == std::string_view::npos && rest != "null" &&
          rest != "true" && rest != "false") {
        throw misfit();
      }
      return literal;
    }
    case PgType::interval:
      throw misfit();
    case PgType::uuid:
      if (text && is_uuid(literal.text)) return literal;
      throw misfit();
  }
  throw misfit();
}

// ---- random identifiers ----

// Part of a text made of random hexadecimal digits.
struct Piece {
  std::size_t random = 0;  // so many digits; 0: `text`
  bool upper = false;
  bool variant = false;  // one of 8, 9, a, b
  std::string text{};
};

std::optional<std::size_t> random_bytes(const Expression& expression) {
  if (expression.kind != ExpressionKind::call || expression.text != "randomblob" ||
      expression.children.size() != 1) {
    return std::nullopt;
  }
  const Expression& count = *expression.children[0];
  if (count.kind != ExpressionKind::integer || count.integer < 1 || count.integer > 32) return std::nullopt;
  return static_cast<std::size_t>(count.integer);
}

using Pieces = std::optional<std::vector<Piece>>;
Pieces pieces_of(const Expression& expression);

Pieces pieces_of_substr(const Expression& expression) {
  const auto& children = expression.children;
  if (children.size() < 2 || children.size() > 3) return std::nullopt;
  const bool one =
      children.size() == 3 && children[2]->kind == ExpressionKind::integer && children[2]->integer == 1;
  // substr('89ab', abs(random()) % 4 + 1, 1): the variant of a version 4 uuid.
  if (one && children[0]->kind == ExpressionKind::text && fold_ascii(children[0]->text) == "89ab" &&
      children[1]->kind != ExpressionKind::integer) {
    return std::vector<Piece>{{.variant = true}};
  }
  Pieces whole = pieces_of(*children[0]);
  if (!whole || whole->size() != 1 || whole->front().random == 0) return std::nullopt;
  std::size_t& random = whole->front().random;
  if (children[1]->kind != ExpressionKind::integer || children[1]->integer < 1 ||
      children[1]->integer > static_cast<std::int64_t>(random)) {
    return std::nullopt;
  }
  random -= static_cast<std::size_t>(children[1]->integer) - 1;
  if (children.size() == 3) {
    if (children[2]->kind != ExpressionKind::integer || children[2]->integer < 1) return std::nullopt;
    random = std::min(random, static_cast<std::size_t>(children[2]->integer));
  }
  return whole;
}

// The expression as random digits and plain text in a row; nothing when it is anything else.
Pieces pieces_of(const Expression& expression) {
  if (expression.kind == ExpressionKind::text) return std::vector<Piece>{{.text = expression.text}};
  if (expression.kind == ExpressionKind::binary && expression.text == "||") {
    Pieces left = pieces_of(*expression.children[0]);
    Pieces right = pieces_of(*expression.children[1]);
    if (!left || !right) return std::nullopt;
    left->insert(left->end(), right->begin(), right->end());
    return left;
  }
  if (expression.kind != ExpressionKind::call || expression.children.empty()) return std::nullopt;
  if (expression.text == "hex" && expression.children.size() == 1) {
    const std::optional<std::size_t> bytes = random_bytes(*expression.children[0]);
    if (!bytes) return std::nullopt;
    return std::vector<Piece>{{.random = *bytes * 2, .upper = true}};
  }
  if (expression.text == "lower" && expression.children.size() == 1) {
    Pieces pieces = pieces_of(*expression.children[0]);
    if (!pieces) return std::nullopt;
    for (Piece& piece : *pieces) {
      piece.upper = false;
      piece.text = fold_ascii(piece.text);
    }
    return pieces;
  }
  if (expression.text == "substr" || expression.text == "substring") return pieces_of_substr(expression);
  return std::nullopt;
}

bool is_uuid_shape(const std::vector<Piece>& pieces) {
  std::string shape;
  for (const Piece& piece : pieces) {
    if (piece.upper) return false;
    shape +=
        piece.random > 0 ? std::string(piece.random, 'x') : (piece.variant ? "y" : fold_ascii(piece.text));
  }
  return shape == "xxxxxxxx-xxxx-4xxx-yxxx-xxxxxxxxxxxx" || shape == "xxxxxxxx-xxxx-4xxx-xxxx-xxxxxxxxxxxx" ||
         shape == "xxxxxxxx-xxxx-xxxx-xxxx-xxxxxxxxxxxx";
}

constexpr std::string_view kRandomBytes =
    "sha256(uuid_send(gen_random_uuid()) || uuid_send(gen_random_uuid()))";

// The last twelve digits of a version 4 uuid are all random; more than that comes from a hash of two of them.
std::string random_digits(std::size_t count) {
  if (count <= 12) return "right(gen_random_uuid()::text, " + std::to_string(count) + ")";
  return "left(encode(" + std::string(kRandomBytes) + ", 'hex'), " + std::to_string(count) + ")";
}

// A generator of identifiers, or nothing when the expression is none.
std::optional<Fragment> random_identifier(Translator& translator, const Expression& expression,
                                          const ScopeColumn& column) {
  Fragment result;
  result.changes = true;
  result.value = ValueClass::text;
  if (const std::optional<std::size_t> bytes = random_bytes(expression)) {
    if (column.type != PgType::bytea) refuse("random bytes in a column of type " + spelled(column.type));
    result.sql = "substr(" + std::string(kRandomBytes) + ", 1, " + std::to_string(*bytes) + ")";
    result.value = ValueClass::blob;
    translator.remark("random bytes, made from gen_random_uuid()");
    return result;
  }
  const Pieces pieces = pieces_of(expression);
  if (!pieces) return std::nullopt;
  const bool random =
      std::any_of(pieces->begin(), pieces->end(), [](const Piece& p) { return p.random > 0; });
  if (!random) return std::nullopt;
  const bool digits_of_uuid = pieces->size() == 1 && pieces->front().random == 32;
  if (column.type == PgType::uuid && (is_uuid_shape(*pieces) || digits_of_uuid)) {
    result.sql = "gen_random_uuid()";
    result.value = ValueClass::uuid;
    translator.remark("a random uuid of version 4");
    return result;
  }
  if (column.type != PgType::text) refuse("a random text in a column of type " + spelled(column.type));
  if (is_uuid_shape(*pieces)) {
    result.sql = "gen_random_uuid()::text";
    translator.remark("a random uuid of version 4");
    return result;
  }
  for (const Piece& piece : *pieces) {
    if (piece.variant) return std::nullopt;
    const std::string sql = piece.random > 0 ? random_digits(piece.random) : quote_literal(piece.text);
    result.sql += (result.sql.empty() ? "" : " || ") + (piece.upper ? "upper(" + sql + ")" : sql);
  }
  translator.remark("an identifier of random digits, made from gen_random_uuid()");
  return result;
}

// ---- moments ----

// A moment in a column that holds such; nothing when the column takes its text.
std::optional<Fragment> fitted_moment(Translator& translator, const Fragment& fragment,
                                      const ScopeColumn& column) {
  if (column.type == PgType::text) return std::nullopt;
  const Moment moment = fragment.moment;
  const bool zoned = moment == Moment::seconds_zone || moment == Moment::milliseconds_zone;
  const bool stamp = zoned || moment == Moment::seconds || moment == Moment::milliseconds;
  const std::string unit =
      moment == Moment::date
          ? "day"
          : (moment == Moment::seconds || moment == Moment::seconds_zone ? "second" : "milliseconds");
  const std::string utc = "statement_timestamp() AT TIME ZONE 'UTC'";
  Fragment result = fragment;
  if (column.type == PgType::timestamp && (stamp || moment == Moment::date)) {
    result.sql = "date_trunc(" + quote_literal(unit) + ", " + utc + ")";
    if (zoned) translator.remark("the zone that SQLite writes is UTC, which the column leaves out");
  } else if (column.type == PgType::timestamptz && stamp) {
    result.sql = "date_trunc(" + quote_literal(unit) + ", statement_timestamp())";
  } else if (column.type == PgType::date && (stamp || moment == Moment::date)) {
    result.sql = "(" + utc + ")::date";
    if (stamp) translator.remark("the time of day is left out of a date");
  } else if (column.type == PgType::time && moment == Moment::time) {
    result.sql = "date_trunc('second', " + utc + ")::time";
  } else {
    refuse("a moment as text in a column of type " + spelled(column.type));
  }
  return result;
}

Fragment translate_tree(Translator& translator, const Expression& tree, const ScopeColumn& column) {
  // DEFAULT word is the string 'word', and only here.
  if (tree.kind == ExpressionKind::column && tree.qualifier.empty()) {
    const std::string folded = fold_ascii(tree.text);
    if (tree.bare && (folded == "true" || folded == "false")) {
      return fitted_literal(translator, integer_literal(folded == "true" ? 1 : 0), column);
    }
    translator.remark("the bare word is a string in SQLite");
    return fitted_literal(translator, text_literal(tree.text), column);
  }
  if (std::optional<Fragment> identifier = random_identifier(translator, tree, column)) return *identifier;
  const Fragment fragment = translator.translate(tree);
  if (fragment.value == ValueClass::null) return fragment;
  if (fragment.literal) return fitted_literal(translator, fragment, column);
  if (fragment.moment != Moment::none) {
    if (const std::optional<Fragment> moment = fitted_moment(translator, fragment, column)) return *moment;
    return fragment;
  }
  return fitted(translator, fragment, column);
}

}  // namespace

Translation translate_default(std::string_view sql, const ScopeColumn& column) {
  Translation translation;
  const ParsedExpression parsed = parse_expression(sql);
  if (!is_valid_utf8(sql) || parsed.tree == nullptr) {
    translation.reason = in_one_line(parsed.tree == nullptr ? parsed.problem : "it is not valid UTF-8");
    return translation;
  }
  const Scope nothing;
  Translator translator(nothing, Purpose::default_value);
  try {
    const Fragment fragment = translate_tree(translator, *parsed.tree, column);
    translation.sql = fragment.sql;
    translation.value = fragment.value;
    translation.immutable = !fragment.changes;
    translation.can_fail = translator.can_fail;
    translation.remarks = translator.remarks;
  } catch (const Refusal& refusal) {
    translation.reason = refusal.reason;
  }
  return translation;
}

}  // namespace sluice
