#pragma once
// The PostgreSQL types that sluice writes. A new type is a line here and a row in io/wire/type_table.cc,
// which does not compile until every line here has its row.

#include <array>
#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

namespace sluice {

enum class PgType : std::uint8_t {
  int2,
  int4,
  int8,
  float8,
  numeric,
  boolean,
  text,
  bytea,
  date,
  time,
  timestamp,
  timestamptz,
  json,
  jsonb,
  uuid,
  // Only where the user or a table of the target asks for them.
  float4,
  varchar,
  bpchar,
  interval,
};
inline constexpr std::size_t kPgTypeCount = static_cast<std::size_t>(PgType::interval) + 1;

struct PgTypeName {
  PgType type;
  std::string_view sql;  // without a modifier, as format_type() prints it and as DDL takes it
  std::uint32_t oid;     // pg_type.oid, fixed since the type exists
  // In a row: pg_type.typlen, 0 where the size varies, and typalign. Short values of varying size are not
  // aligned.
  std::uint8_t bytes;
  std::uint8_t alignment;
};

inline constexpr std::array<PgTypeName, kPgTypeCount> kPgTypeNames = {{
    {PgType::int2, "smallint", 21, 2, 2},
    {PgType::int4, "integer", 23, 4, 4},
    {PgType::int8, "bigint", 20, 8, 8},
    {PgType::float8, "double precision", 701, 8, 8},
    {PgType::numeric, "numeric", 1700, 0, 1},
    {PgType::boolean, "boolean", 16, 1, 1},
    {PgType::text, "text", 25, 0, 1},
    {PgType::bytea, "bytea", 17, 0, 1},
    {PgType::date, "date", 1082, 4, 4},
    {PgType::time, "time without time zone", 1083, 8, 8},
    {PgType::timestamp, "timestamp without time zone", 1114, 8, 8},
    {PgType::timestamptz, "timestamp with time zone", 1184, 8, 8},
    {PgType::json, "json", 114, 0, 1},
    {PgType::jsonb, "jsonb", 3802, 0, 1},
    {PgType::uuid, "uuid", 2950, 16, 1},
    {PgType::float4, "real", 700, 4, 4},
    {PgType::varchar, "character varying", 1043, 0, 1},
    {PgType::bpchar, "bpchar", 1042, 0, 1},
    {PgType::interval, "interval", 1186, 16, 8},
}};

constexpr const PgTypeName& name_of(PgType type) { return kPgTypeNames[static_cast<std::size_t>(type)]; }

constexpr bool names_line_up() {
  for (std::size_t i = 0; i < kPgTypeCount; ++i) {
    if (static_cast<std::size_t>(kPgTypeNames[i].type) != i) return false;
  }
  return true;
}
static_assert(names_line_up());

// Text of characters, whatever its length: what collations order.
constexpr bool is_text(PgType type) {
  return type == PgType::text || type == PgType::varchar || type == PgType::bpchar;
}

// What stands in parentheses behind a type. numeric(p,s): precision and scale; varchar(n), char(n):
// characters; timestamp(p) and the like: digits of a second. Negative: not there.
struct TypeModifier {
  std::int32_t length = -1;
  std::int32_t scale = -1;  // numeric only, and only with a length

  bool operator==(const TypeModifier&) const = default;
  [[nodiscard]] bool any() const { return length >= 0; }
};

// "numeric(10,2)", "timestamp(3) without time zone", "character(8)"
std::string sql_of(PgType type, const TypeModifier& modifier);

}  // namespace sluice
