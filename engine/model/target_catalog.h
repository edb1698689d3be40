#pragma once
// Tables of the target that are there before a run, as far as loading into them depends on it. Plain data,
// read by io/postgres/target_catalog.h.

#include <cstdint>
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
  // The type is a domain that checks more than NOT NULL. Only the server can tell which values pass.
  bool domain_checks = false;
  bool not_null = false;         // of the column, or of its domain
  bool generated = false;        // GENERATED ALWAYS AS (...) STORED: never sent
  bool identity_always = false;  // COPY may still fill it
  bool has_default = false;      // or is an identity: a source without the column may leave it out
  // The sequence that fills it, of an identity, a serial column or a DEFAULT nextval(...), as SQL:
  // "schema"."sequence". Several columns may share one. Empty without.
  std::string sequence;
};

// Something that keeps rows from arriving in a table as they were sent, or at all.
struct Obstacle {
  std::string what;
  std::string resolve;
  bool rebuilt = false;  // --rebuild takes it out of the way and puts it back
};

struct ExistingTable {
  std::string name;
  std::vector<ExistingColumn> columns;  // in order
  std::vector<Obstacle> obstacles;
};

// What the tables are read for: rows are to arrive in them, or theirs are to be compared with the source's.
enum class TargetUse : std::uint8_t { load, compare };

struct TargetCatalog {
  std::string schema;
  TargetUse use = TargetUse::load;
  std::map<std::string, ExistingTable> tables;  // by name
  // The run may take indexes, keys and triggers out of the way: MigrateOptions::rebuild.
  bool rebuild = false;
};

}  // namespace sluice
