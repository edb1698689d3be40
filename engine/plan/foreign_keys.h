#pragma once
// What a foreign key of the source refers to, and whether PostgreSQL can have it. Pure.

#include <functional>
#include <string>
#include <vector>

#include "engine/model/catalog.h"
#include "engine/model/facts.h"
#include "engine/model/plan.h"

namespace sluice {

// The key of the parent, found as SQLite finds it: names without case, no names for the primary key, and
// columns in any order as long as a primary key or a whole unique index is on exactly these.
struct ParentKey {
  const SourceTable* parent = nullptr;  // borrowed from the catalog; null when the source has no such table
  std::vector<std::string> columns;     // as the parent spells them, each beside its child column
  std::vector<std::string> collations;  // by which the parent's key compares them
  // Why SQLite itself could not enforce the key; empty when it could.
  std::string obstacle;
};
ParentKey find_parent_key(const Catalog& catalog, const SourceForeignKey& key);

// Gives the columns of a foreign key the type of the parent's key where they differ and every value of the
// child fits (texts that are written as whole numbers fit a bigint); never the parent's. SQLite
// compares with the parent's affinity, while PostgreSQL refuses a key between two types (42804). Changes only
// columns for which `may_change` says yes (those whose type nobody asked for); never an identity or a column
// with a conversion. Returns an outcome of kind "column" for each change.
std::vector<ObjectOutcome> align_foreign_key_types(
    const Catalog& catalog, const SourceFacts& facts, std::vector<TablePlan>& tables,
    const std::function<bool(const TablePlan&, const ColumnPlan&)>& may_change);

}  // namespace sluice
