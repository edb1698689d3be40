#pragma once
// Tables of the target that are there before a run, as far as loading into them depends on it. Plain data,
// read by io/postgres/existing_tables.h.

#include <map>
#include <string>
#include <vector>

#include "engine/model/pg_type.h"

namespace sluice {

struct ExistingColumn {
  std::string name;
  bool supported = false;  // false: sluice cannot write this type; `type_name` says what it is
  PgType type = PgType::text;
  TypeModifier modifier;
  std::string type_name;  // as ColumnPlan::type_name; for what is not supported, format_type()'s words
  std::vector<std::string> labels;  // of an enumeration: the values it takes
  bool not_null = false;
  bool generated = false;        // GENERATED ALWAYS AS (...) STORED: never sent
  bool identity_always = false;  // COPY may still fill it
  bool has_default = false;      // or is an identity: a source without the column may leave it out
};

struct ExistingTable {
  std::string name;
  std::vector<ExistingColumn> columns;  // in order
};

struct TargetCatalog {
  std::string schema;
  std::map<std::string, ExistingTable> tables;  // by name
};

}  // namespace sluice
