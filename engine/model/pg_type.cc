#include "engine/model/pg_type.h"

namespace sluice {

std::string sql_of(PgType type, const TypeModifier& modifier) {
  if (!modifier.any()) return std::string(name_of(type).sql);
  // `character` without a length would be character(1).
  const std::string_view name = type == PgType::bpchar ? "character" : name_of(type).sql;
  std::string written = std::to_string(modifier.length);
  if (modifier.scale >= 0) written.append(",").append(std::to_string(modifier.scale));
  // The modifier of a time stands before its zone: timestamp(3) without time zone.
  const std::size_t zone = name.find(" with");
  std::string sql(name.substr(0, zone));
  sql.append("(").append(written).append(")");
  if (zone != std::string_view::npos) sql.append(name.substr(zone));
  return sql;
}

}  // namespace sluice
