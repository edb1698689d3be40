#include "io/sqlite/declared_affinity.h"

#include <string>

#include "engine/model/quote.h"

namespace sluice {

DeclaredAffinity affinity_of(std::string_view declared_type) {
  const std::string type = fold_ascii(declared_type);
  const auto has = [&type](std::string_view part) { return type.find(part) != std::string::npos; };
  if (has("int")) return DeclaredAffinity::numeric;
  if (has("char") || has("clob") || has("text")) return DeclaredAffinity::text;
  if (type.empty() || has("blob")) return DeclaredAffinity::none;
  if (has("real") || has("floa") || has("doub")) return DeclaredAffinity::real;
  return DeclaredAffinity::numeric;
}

}  // namespace sluice
