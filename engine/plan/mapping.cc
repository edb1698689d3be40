#include "engine/plan/mapping.h"

#include <algorithm>
#include <array>
#include <cctype>
#include <charconv>

#include "engine/model/hex.h"
#include "engine/model/quote.h"

namespace sluice {
namespace {

// What may stand in parentheses behind a type.
enum class ModifierKind : std::uint8_t {
  none,
  precision_and_scale,  // numeric
  characters,           // varchar, char
  second_digits,        // 0 to 6
  float_bits,           // float(24) is real, float(53) double precision
};

struct TypeAlias {
  std::string_view name;  // lower case, words apart by one blank
  PgType type;
  ModifierKind modifier = ModifierKind::none;
};

constexpr std::array kTypeAliases = {
    TypeAlias{"smallint", PgType::int2},
    TypeAlias{"int2", PgType::int2},
    TypeAlias{"integer", PgType::int4},
    TypeAlias{"int", PgType::int4},
    TypeAlias{"int4", PgType::int4},
    TypeAlias{"bigint", PgType::int8},
    TypeAlias{"int8", PgType::int8},
    TypeAlias{"real", PgType::float4},
    TypeAlias{"float4", PgType::float4},
    TypeAlias{"double precision", PgType::float8},
    TypeAlias{"float8", PgType::float8},
    TypeAlias{"float", PgType::float8, ModifierKind::float_bits},
    TypeAlias{"numeric", PgType::numeric, ModifierKind::precision_and_scale},
    TypeAlias{"decimal", PgType::numeric, ModifierKind::precision_and_scale},
    TypeAlias{"dec", PgType::numeric, ModifierKind::precision_and_scale},
    TypeAlias{"boolean", PgType::boolean},
    TypeAlias{"bool", PgType::boolean},
    TypeAlias{"text", PgType::text},
    TypeAlias{"character varying", PgType::varchar, ModifierKind::characters},
    TypeAlias{"varchar", PgType::varchar, ModifierKind::characters},
    TypeAlias{"character", PgType::bpchar, ModifierKind::characters},
    TypeAlias{"char", PgType::bpchar, ModifierKind::characters},
    TypeAlias{"bpchar", PgType::bpchar, ModifierKind::characters},
    TypeAlias{"bytea", PgType::bytea},
    TypeAlias{"date", PgType::date},
    TypeAlias{"time", PgType::time, ModifierKind::second_digits},
    TypeAlias{"time without time zone", PgType::time, ModifierKind::second_digits},
    TypeAlias{"timestamp", PgType::timestamp, ModifierKind::second_digits},
    TypeAlias{"timestamp without time zone", PgType::timestamp, ModifierKind::second_digits},
    TypeAlias{"timestamptz", PgType::timestamptz, ModifierKind::second_digits},
    TypeAlias{"timestamp with time zone", PgType::timestamptz, ModifierKind::second_digits},
    TypeAlias{"json", PgType::json},
    TypeAlias{"jsonb", PgType::jsonb},
    TypeAlias{"uuid", PgType::uuid},
    TypeAlias{"interval", PgType::interval},
};

bool is_blank(char c) { return c == ' ' || c == '\t' || c == '\n' || c == '\r'; }

// Lower case, single blanks between words, none at the ends or around punctuation:
// "Timestamp ( 3 ) WITHOUT time zone" becomes "timestamp(3)without time zone".
std::string squeezed(std::string_view written) {
  const auto punctuation = [](char c) { return c == '(' || c == ')' || c == ','; };
  std::string text;
  bool blank = false;
  for (const char c : fold_ascii(written)) {
    if (is_blank(c)) {
      blank = true;
      continue;
    }
    if (blank && !text.empty() && !punctuation(c) && !punctuation(text.back())) text += ' ';
    blank = false;
    text += c;
  }
  return text;
}

// One or two numbers: "10", "10,2".
bool read_modifier(std::string_view written, TypeModifier& modifier) {
  const auto number = [](std::string_view digits, std::int32_t& value) {
    const bool only_digits = !digits.empty() && digits.find_first_not_of("0123456789") == digits.npos;
    const char* const end = digits.data() + digits.size();
    return only_digits && std::from_chars(digits.data(), end, value).ec == std::errc{};
  };
  const std::size_t comma = written.find(',');
  if (!number(written.substr(0, comma), modifier.length)) return false;
  return comma == std::string_view::npos || number(written.substr(comma + 1), modifier.scale);
}

// The server's own limits.
bool settle(ModifierKind kind, WrittenType& type) {
  TypeModifier& modifier = type.modifier;
  const bool given = modifier.any();
  if (modifier.scale >= 0 && kind != ModifierKind::precision_and_scale) return false;
  switch (kind) {
    case ModifierKind::none:
      return !given;
    case ModifierKind::precision_and_scale:
      if (given && modifier.scale < 0) modifier.scale = 0;
      return !given || (modifier.length >= 1 && modifier.length <= 1000 && modifier.scale <= 1000);
    case ModifierKind::characters:
      return !given || (modifier.length >= 1 && modifier.length <= 10'485'760);
    case ModifierKind::second_digits:
      if (modifier.length == 6) modifier = {};  // what it has anyway
      return modifier.length <= 6;
    case ModifierKind::float_bits:
      if (given && (modifier.length < 1 || modifier.length > 53)) return false;
      if (given && modifier.length <= 24) type.type = PgType::float4;
      modifier = {};
      return true;
  }
  return false;
}

}  // namespace

std::optional<WrittenType> parse_type(std::string_view written) {
  std::string name = squeezed(written);
  WrittenType type;
  if (const std::size_t open = name.find('('); open != std::string::npos) {
    const std::size_t close = name.find(')', open);
    if (close == std::string::npos) return std::nullopt;
    if (!read_modifier(std::string_view(name).substr(open + 1, close - open - 1), type.modifier)) {
      return std::nullopt;
    }
    const std::string rest = name.substr(close + 1);
    name.erase(open);
    if (!rest.empty()) name.append(" ").append(rest);
  }
  const auto alias = std::find_if(kTypeAliases.begin(), kTypeAliases.end(),
                                  [&](const TypeAlias& a) { return a.name == name; });
  if (alias == kTypeAliases.end()) return std::nullopt;
  type.type = alias->type;
  // As in DDL: char is char(1).
  if (alias->modifier == ModifierKind::characters && !type.modifier.any() && name.starts_with("char") &&
      type.type == PgType::bpchar) {
    type.modifier.length = 1;
  }
  if (!settle(alias->modifier, type)) return std::nullopt;
  return type;
}

const TableMapping* Mapping::table(std::string_view name) const {
  const auto found = std::find_if(tables.begin(), tables.end(), [&](const TableMapping& mapping) {
    return same_name(mapping.table, name);
  });
  return found == tables.end() ? nullptr : &*found;
}

const ColumnMapping* find_column(const TableMapping* table, std::string_view name) {
  if (table == nullptr) return nullptr;
  const auto found =
      std::find_if(table->columns.begin(), table->columns.end(),
                   [&](const ColumnMapping& mapping) { return same_name(mapping.column, name); });
  return found == table->columns.end() ? nullptr : &*found;
}

MisfitPolicy misfit_policy(const Mapping& mapping, const ColumnMapping* wish) {
  return wish != nullptr && wish->on_misfit ? *wish->on_misfit : mapping.on_misfit;
}

BadTextPolicy bad_text_policy(const Mapping& mapping, const ColumnMapping* wish) {
  return wish != nullptr && wish->bad_text ? *wish->bad_text : mapping.bad_text;
}

JsonTarget json_target(const Mapping& mapping, const ColumnMapping* wish) {
  return wish != nullptr && wish->json ? *wish->json : mapping.json;
}

std::string toml_string(std::string_view text) {
  std::string string = "\"";
  for (const char c : text) {
    if (c == '"' || c == '\\') {
      string += '\\';
      string += c;
    } else if (static_cast<unsigned char>(c) < 0x20 || c == 0x7f) {
      string.append("\\u00").append(hex_of({&c, 1}));
    } else {
      string += c;
    }
  }
  return string + "\"";
}

std::string mapping_line(std::string_view table, const std::string& setting) {
  return std::string("tables.").append(toml_string(table)).append(".").append(setting);
}

std::string mapping_line(std::string_view table, std::string_view column, const std::string& setting) {
  return std::string("tables.")
      .append(toml_string(table))
      .append(".columns.")
      .append(toml_string(column))
      .append(".")
      .append(setting);
}

}  // namespace sluice
