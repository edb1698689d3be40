#include "engine/translate/fragment.h"

#include <algorithm>
#include <array>
#include <charconv>
#include <cmath>
#include <limits>
#include <utility>

#include "engine/model/hex.h"
#include "engine/model/quote.h"
#include "engine/translate/sql_expression.h"
#include "engine/translate/sql_tokens.h"

namespace sluice {
namespace {

// A fragment that stands twice in its parent doubles at every level.
constexpr std::size_t kSqlBytesMax = std::size_t{64} << 10;

bool all_digits(std::string_view text, std::size_t from, std::size_t count) {
  if (from + count > text.size()) return false;
  return std::all_of(text.begin() + static_cast<std::ptrdiff_t>(from),
                     text.begin() + static_cast<std::ptrdiff_t>(from + count),
                     [](char c) { return c >= '0' && c <= '9'; });
}

int number_at(std::string_view text, std::size_t from, std::size_t count) {
  int number = 0;
  for (const char c : text.substr(from, count)) number = number * 10 + (c - '0');
  return number;
}

// Takes YYYY-MM-DD from the front; years 1 to 9999.
bool take_date(std::string_view& text) {
  if (text.size() < 10 || text[4] != '-' || text[7] != '-' || !all_digits(text, 0, 4) ||
      !all_digits(text, 5, 2) || !all_digits(text, 8, 2)) {
    return false;
  }
  const int year = number_at(text, 0, 4);
  const int month = number_at(text, 5, 2);
  const int day = number_at(text, 8, 2);
  const bool leap = (year % 4 == 0 && year % 100 != 0) || year % 400 == 0;
  const bool short_month = month == 4 || month == 6 || month == 9 || month == 11;
  const int days = month == 2 ? (leap ? 29 : 28) : (short_month ? 30 : 31);
  if (year < 1 || month < 1 || month > 12 || day < 1 || day > days) return false;
  text.remove_prefix(10);
  return true;
}

// Takes HH:MM[:SS[.ffffff]] from the front.
bool take_time(std::string_view& text) {
  if (!all_digits(text, 0, 2) || number_at(text, 0, 2) > 23) return false;
  std::size_t size = 2;
  for (int part = 0; part < 2; ++part) {
    if (text.size() <= size || text[size] != ':') break;
    if (!all_digits(text, size + 1, 2) || number_at(text, size + 1, 2) > 59) return false;
    size += 3;
  }
  if (size == 2) return false;
  if (size == 8 && text.size() > 8 && text[8] == '.') {
    ++size;
    while (size < text.size() && all_digits(text, size, 1)) ++size;
    if (size == 9 || size > 15) return false;
  }
  text.remove_prefix(size);
  return true;
}

// Takes Z, +hh, +hh:mm or +hhmm from the front.
bool take_zone(std::string_view& text) {
  if (text == "Z" || text == "z") {
    text = {};
    return true;
  }
  if (text.empty() || (text.front() != '+' && text.front() != '-') || !all_digits(text, 1, 2)) return false;
  const bool colon = text.size() > 3 && text[3] == ':';
  const std::size_t minutes = colon ? 4 : 3;
  if (text.size() != 3 && (text.size() != minutes + 2 || !all_digits(text, minutes, 2))) return false;
  if (number_at(text, 1, 2) > 15 || (text.size() != 3 && number_at(text, minutes, 2) > 59)) return false;
  text = {};
  return true;
}

}  // namespace

Fragment make_fragment(std::string sql, Binding binding, ValueClass value, PgType type) {
  if (sql.size() > kSqlBytesMax) refuse("its translation is too long");
  Fragment fragment;
  fragment.sql = std::move(sql);
  fragment.binding = binding;
  fragment.value = value;
  fragment.type = type;
  return fragment;
}

Fragment boolean_fragment(std::string sql, Binding binding) {
  return make_fragment(std::move(sql), binding, ValueClass::boolean, PgType::boolean);
}

Fragment text_fragment(std::string sql, Binding binding) {
  return make_fragment(std::move(sql), binding, ValueClass::text, PgType::text);
}

Fragment blob_literal(std::string bytes) {
  Fragment literal =
      make_fragment("'\\x" + hex_of(bytes) + "'::bytea", Binding::cast, ValueClass::blob, PgType::bytea);
  literal.literal = literal.not_null = true;
  literal.text = std::move(bytes);
  return literal;
}

Fragment null_literal() {
  Fragment null = make_fragment("NULL", Binding::atom, ValueClass::null, PgType::text);
  null.literal = true;
  return null;
}

Fragment chosen(std::string sql, const Fragment& shape) {
  if (shape.value == ValueClass::null) return null_literal();
  Fragment fragment = make_fragment(std::move(sql), Binding::atom, shape.value, shape.type);
  fragment.changes = shape.changes;
  return fragment;
}

Fragment unknown_truth() { return boolean_fragment("NULL::boolean", Binding::cast); }

bool is_numeric(const Fragment& fragment) {
  return fragment.value == ValueClass::boolean || fragment.value == ValueClass::integer ||
         fragment.value == ValueClass::real || fragment.value == ValueClass::number;
}

bool is_moment(const Fragment& fragment) {
  return fragment.value == ValueClass::date || fragment.value == ValueClass::time ||
         fragment.value == ValueClass::timestamp || fragment.value == ValueClass::timestamptz;
}

std::string_view spoken(ValueClass value) {
  switch (value) {
    case ValueClass::null:
      return "NULL";
    case ValueClass::boolean:
      return "a boolean";
    case ValueClass::integer:
      return "an integer";
    case ValueClass::real:
      return "a double";
    case ValueClass::number:
      return "a decimal";
    case ValueClass::text:
      return "text";
    case ValueClass::blob:
      return "bytes";
    case ValueClass::date:
      return "a date";
    case ValueClass::time:
      return "a time";
    case ValueClass::timestamp:
    case ValueClass::timestamptz:
      return "a timestamp";
    case ValueClass::json:
      return "JSON";
    case ValueClass::uuid:
      return "a uuid";
  }
  return "";
}

void refuse(std::string_view reason) { throw Refusal(reason); }

void refuse_argument(const std::string& name, const Fragment& fragment) {
  refuse(name + " of " + std::string(spoken(fragment.value)) + " has no equal in PostgreSQL");
}

bool is_ordering(const std::string& name) {
  return name == "<" || name == "<=" || name == ">" || name == ">=";
}

std::string call_sql(const std::string& name, const std::vector<Fragment>& arguments) {
  std::string sql = name + "(";
  for (std::size_t i = 0; i < arguments.size(); ++i) sql += (i == 0 ? "" : ", ") + arguments[i].sql;
  return sql + ")";
}

Fragment ordered_by_bytes(const Fragment& fragment) {
  Fragment ordered = fragment;
  ordered.sql = bound(fragment, Binding::collate) + " COLLATE \"C\"";
  ordered.binding = Binding::collate;
  return ordered;
}

bool is_moment_text(std::string_view text, PgType type) {
  if (type == PgType::time) return take_time(text) && text.empty();
  if (!take_date(text)) return false;
  if (type == PgType::date) return text.empty();
  if (text.empty()) return type == PgType::timestamp;
  if (text.front() != ' ' && text.front() != 'T') return false;
  text.remove_prefix(1);
  if (!take_time(text)) return false;
  return type == PgType::timestamp ? text.empty() : take_zone(text);
}

std::string bound(const Fragment& fragment, Binding least) {
  return fragment.binding >= least ? fragment.sql : "(" + fragment.sql + ")";
}

Fragment cast_to(const Fragment& fragment, PgType type, ValueClass value) {
  Fragment cast = make_fragment(bound(fragment, Binding::cast) + "::" + std::string(name_of(type).sql),
                                Binding::cast, value, type);
  cast.not_null = fragment.not_null;
  cast.changes = fragment.changes;
  return cast;
}

std::string print_real(double value) {
  std::array<char, 40> room;
  const auto result = std::to_chars(room.data(), room.data() + room.size(), value);
  std::string digits(room.data(), result.ptr);
  if (digits.find_first_of(".en") == std::string::npos) digits += ".0";
  return digits;
}

Fragment integer_literal(std::int64_t value) {
  const bool narrow =
      value > std::numeric_limits<std::int32_t>::min() && value <= std::numeric_limits<std::int32_t>::max();
  Fragment literal = make_fragment(std::to_string(value), value < 0 ? Binding::minus : Binding::atom,
                                   ValueClass::integer, narrow ? PgType::int4 : PgType::int8);
  if (value == std::numeric_limits<std::int64_t>::min()) {
    // Without the quotes, the digits would be a numeric before the minus is seen.
    literal.sql = quote_literal(literal.sql) + "::bigint";
    literal.binding = Binding::cast;
  }
  literal.literal = literal.not_null = true;
  literal.integer = value;
  return literal;
}

Fragment real_literal(double value) {
  Fragment literal;
  if (std::isinf(value)) {
    literal = make_fragment(value < 0 ? "'-Infinity'::double precision" : "'Infinity'::double precision",
                            Binding::cast, ValueClass::real, PgType::float8);
  } else {
    literal = make_fragment(print_real(value), value < 0 ? Binding::minus : Binding::atom, ValueClass::real,
                            PgType::numeric);
  }
  literal.literal = literal.not_null = true;
  literal.real = value;
  return literal;
}

Fragment text_literal(std::string value) {
  Fragment literal = text_fragment(quote_literal(value));
  literal.literal = literal.not_null = true;
  literal.text = std::move(value);
  return literal;
}

Fragment boolean_literal(bool value) {
  Fragment literal = boolean_fragment(value ? "true" : "false", Binding::atom);
  literal.literal = literal.not_null = true;
  literal.integer = value ? 1 : 0;
  return literal;
}

Affinity affinity_of(const ScopeColumn& column) {
  const std::string declared = fold_ascii(column.declared_type);
  const auto contains = [&](const char* part) { return declared.find(part) != std::string::npos; };
  if (contains("int")) return Affinity::numeric;
  if (contains("char") || contains("clob") || contains("text")) return Affinity::text;
  if (declared.empty() || contains("blob")) return Affinity::none;
  return Affinity::numeric;
}

NumberText number_of(std::string_view text, Fragment& number) {
  constexpr std::string_view kBlanks = " \t\n\v\f\r";
  const std::size_t first = text.find_first_not_of(kBlanks);
  if (first == std::string_view::npos) return NumberText::no;
  std::string_view digits = text.substr(first, text.find_last_not_of(kBlanks) - first + 1);
  const bool negative = digits.front() == '-';
  if (digits.front() == '-' || digits.front() == '+') digits.remove_prefix(1);
  // An infinity that became text is spelled with letters.
  const std::string folded = fold_ascii(digits);
  if (folded == "inf" || folded == "infinity" || folded == "nan") return NumberText::unclear;
  const std::vector<Token> tokens = tokenize(digits);
  const bool alone = tokens.size() == 2 && tokens.front().text == digits;
  if (!alone || (tokens.front().kind != TokenKind::integer && tokens.front().kind != TokenKind::real)) {
    return NumberText::no;
  }
  const ParsedExpression parsed =
      parse_expression(negative ? "-" + std::string(digits) : std::string(digits));
  if (parsed.tree == nullptr) return NumberText::unclear;
  if (parsed.tree->kind == ExpressionKind::integer) {
    number = integer_literal(parsed.tree->integer);
  } else if (parsed.tree->kind == ExpressionKind::real) {
    number = real_literal(parsed.tree->real);
  } else {
    return NumberText::unclear;  // -0.0
  }
  return NumberText::yes;
}

}  // namespace sluice
