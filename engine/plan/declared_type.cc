#include "engine/plan/declared_type.h"

#include <algorithm>
#include <array>
#include <charconv>
#include <string>

#include "engine/model/quote.h"

namespace sluice {
namespace {

struct DeclaredType {
  std::string_view name;  // lower case, single blanks, no arguments
  PgType type;
};

// One row per name that says more than its affinity. Names that hold "int", "char", "clob", "text",
// "blob", "real", "floa" or "doub" need no row unless they mean something else.
constexpr std::array kDeclaredTypes = {
    DeclaredType{"bigint", PgType::int8},
    DeclaredType{"long", PgType::int8},
    DeclaredType{"serial", PgType::int8},
    DeclaredType{"bigserial", PgType::int8},
    DeclaredType{"unsigned", PgType::int8},
    DeclaredType{"year", PgType::int8},
    DeclaredType{"numeric", PgType::numeric},
    DeclaredType{"decimal", PgType::numeric},
    DeclaredType{"dec", PgType::numeric},
    DeclaredType{"number", PgType::numeric},
    DeclaredType{"money", PgType::numeric},
    DeclaredType{"currency", PgType::numeric},
    DeclaredType{"boolean", PgType::boolean},
    DeclaredType{"bool", PgType::boolean},
    DeclaredType{"bit", PgType::boolean},
    DeclaredType{"date", PgType::date},
    DeclaredType{"time", PgType::time},
    DeclaredType{"time without time zone", PgType::time},
    DeclaredType{"datetime", PgType::timestamp},
    DeclaredType{"smalldatetime", PgType::timestamp},
    DeclaredType{"timestamp", PgType::timestamp},
    DeclaredType{"timestamp without time zone", PgType::timestamp},
    DeclaredType{"timestamptz", PgType::timestamptz},
    DeclaredType{"timestamp with time zone", PgType::timestamptz},
    DeclaredType{"datetimeoffset", PgType::timestamptz},
    DeclaredType{"json", PgType::json},
    DeclaredType{"jsonb", PgType::jsonb},
    DeclaredType{"uuid", PgType::uuid},
    DeclaredType{"guid", PgType::uuid},
    DeclaredType{"uniqueidentifier", PgType::uuid},
    DeclaredType{"bytea", PgType::bytea},
    DeclaredType{"binary", PgType::bytea},
    DeclaredType{"varbinary", PgType::bytea},
    DeclaredType{"binary varying", PgType::bytea},
    DeclaredType{"image", PgType::bytea},
    // Spatial types hold bytes in practice. POINT and its kin would have INTEGER affinity by their letters.
    DeclaredType{"geometry", PgType::bytea},
    DeclaredType{"geometrycollection", PgType::bytea},
    DeclaredType{"point", PgType::bytea},
    DeclaredType{"multipoint", PgType::bytea},
    DeclaredType{"linestring", PgType::bytea},
    DeclaredType{"multilinestring", PgType::bytea},
    DeclaredType{"polygon", PgType::bytea},
    DeclaredType{"multipolygon", PgType::bytea},
    // INTEGER affinity by its letters, but nobody means an integer by it.
    DeclaredType{"floating point", PgType::float8},
};

// "DECIMAL (10, 2)  unsigned" -> "decimal unsigned"
std::string normal_form(std::string_view declared) {
  std::string normal;
  int depth = 0;
  for (const char c : fold_ascii(declared)) {
    if (c == '(') ++depth;
    if (c == ')' && depth > 0) {
      --depth;
      continue;
    }
    if (depth > 0) continue;
    const bool blank = c == ' ' || c == '\t' || c == '\n' || c == '\r';
    if (!blank) {
      normal += c;
    } else if (!normal.empty() && normal.back() != ' ') {
      normal += ' ';
    }
  }
  if (!normal.empty() && normal.back() == ' ') normal.pop_back();
  return normal;
}

const DeclaredType* find_name(std::string_view name) {
  const auto found = std::find_if(kDeclaredTypes.begin(), kDeclaredTypes.end(),
                                  [&](const DeclaredType& row) { return row.name == name; });
  return found == kDeclaredTypes.end() ? nullptr : &*found;
}

// "pointzm" -> "point": spatial types carry their dimensions as a suffix.
std::string_view without_dimension(std::string_view word) {
  for (const std::string_view suffix : {"zm", "z", "m"}) {
    if (!word.ends_with(suffix)) continue;
    const std::string_view shape = word.substr(0, word.size() - suffix.size());
    const DeclaredType* row = find_name(shape);
    if (row != nullptr && row->type == PgType::bytea) return shape;
  }
  return word;
}

}  // namespace

PgType type_of_declaration(std::string_view declared) {
  // Text takes every number and every text without changing it.
  return intent_of(declared).value_or(PgType::text);
}

std::optional<PgType> intent_of(std::string_view declared) {
  const std::string name = normal_form(declared);
  if (const DeclaredType* row = find_name(name)) return row->type;
  const DeclaredType* first_word =
      find_name(without_dimension(std::string_view(name).substr(0, name.find(' '))));
  const auto contains = [&](std::string_view part) { return name.find(part) != std::string::npos; };
  // The order is SQLite's own: CHARINT is an integer. But POINT Z is not, whatever its letters.
  if (contains("int")) return first_word == nullptr ? PgType::int8 : first_word->type;
  if (contains("char") || contains("clob") || contains("text")) return PgType::text;
  if (contains("blob")) return PgType::bytea;
  if (contains("real") || contains("floa") || contains("doub")) return PgType::float8;
  if (first_word != nullptr) return first_word->type;
  return std::nullopt;
}

PgType narrow_integer_of(std::string_view declared) {
  const std::string name = normal_form(declared);
  const auto contains = [&](std::string_view part) { return name.find(part) != std::string::npos; };
  if (contains("bigint") || contains("int8")) return PgType::int8;
  return contains("tinyint") || contains("smallint") || contains("int2") ? PgType::int2 : PgType::int4;
}

TypeModifier declared_modifier(std::string_view declared) {
  TypeModifier modifier;
  const std::size_t open = declared.find('(');
  const std::size_t close = declared.find(')', open == std::string_view::npos ? 0 : open);
  if (open == std::string_view::npos || close == std::string_view::npos) return modifier;
  const char* at = declared.data() + open + 1;
  const char* const end = declared.data() + close;
  const auto skip_blanks = [&] {
    while (at < end && (*at == ' ' || *at == '\t')) ++at;
  };
  const auto number = [&](std::int32_t& value) {
    skip_blanks();
    const auto [next, status] = std::from_chars(at, end, value);
    if (status != std::errc{} || value < 0) return false;
    at = next;
    skip_blanks();
    return true;
  };
  TypeModifier read;
  if (!number(read.length)) return modifier;
  if (at < end && *at == ',') {
    ++at;
    if (!number(read.scale)) return modifier;
  }
  return at == end ? read : modifier;
}

std::span<const PgType> widening_ladder(PgType type) {
  using enum PgType;
  static constexpr std::array kInteger = {int8, float8, numeric, text, bytea};
  static constexpr std::array kFloat = {float8, numeric, text, bytea};
  static constexpr std::array kNumeric = {numeric, text, bytea};
  static constexpr std::array kBoolean = {boolean, int8, text, bytea};
  static constexpr std::array kDate = {date, timestamp, timestamptz, int8, float8, text, bytea};
  static constexpr std::array kTime = {time, int8, float8, text, bytea};
  static constexpr std::array kTimestamp = {timestamp, timestamptz, int8, float8, text, bytea};
  static constexpr std::array kTimestamptz = {timestamptz, timestamp, int8, float8, text, bytea};
  static constexpr std::array kJson = {jsonb, json, text, bytea};
  static constexpr std::array kUuid = {uuid, text, bytea};
  static constexpr std::array kText = {text};
  static constexpr std::array kBytes = {bytea, text};
  static constexpr std::array kSingle = {float4, float8, numeric, text, bytea};
  static constexpr std::array kLimited = {varchar, text};
  static constexpr std::array kPadded = {bpchar, text};
  static constexpr std::array kInterval = {interval, text, bytea};
  switch (type) {
    case int2:
    case int4:
    case int8:
      return kInteger;
    case float8:
      return kFloat;
    case numeric:
      return kNumeric;
    case boolean:
      return kBoolean;
    case date:
      return kDate;
    case time:
      return kTime;
    case timestamp:
      return kTimestamp;
    case timestamptz:
      return kTimestamptz;
    case json:
    case jsonb:
      return kJson;
    case uuid:
      return kUuid;
    case text:
      return kText;
    case bytea:
      return kBytes;
    case float4:
      return kSingle;
    case varchar:
      return kLimited;
    case bpchar:
      return kPadded;
    case interval:
      return kInterval;
  }
  return kText;
}

}  // namespace sluice
