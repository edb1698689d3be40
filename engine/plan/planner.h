#pragma once
// From what a file contains to what will be done. Pure: reads its arguments, nothing else.

#include <cstdint>
#include <map>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "engine/model/catalog.h"
#include "engine/model/facts.h"
#include "engine/model/plan.h"
#include "engine/model/target_catalog.h"
#include "engine/plan/mapping.h"

namespace sluice {

struct PlanOptions {
  std::string schema = "public";

  // Patterns of table names with * and ?, without case as SQLite compares names. Empty includes all.
  std::vector<std::string> include;
  std::vector<std::string> exclude;

  // Source bytes per range. 0: from the size of the file and the lanes, so that every lane has several
  // ranges and a failed range costs little.
  std::uint64_t range_bytes = 0;
  std::size_t lanes = 1;

  Mapping mapping;
  // Whether files leave their columns where the mapping says so. False for a plan by which the values are looked
  // at: they are the source's, as they are.
  bool offload = true;
  // What a look at the values found; null before there was one. Borrowed.
  const SourceFacts* facts = nullptr;
  // Keys that the plan made without them would have broken.
  std::vector<KeyCollision> collisions;
  // Columns (table and column of the source) of which not every value fits the declared length.
  std::set<std::pair<std::string, std::string>> lengths_given_up;
  // The tables of the target whose columns and types are to be used; null where sluice makes the tables.
  const TargetCatalog* existing = nullptr;
};

// The tables of the catalog that the options select. Throws Error (usage) for a pattern without a match.
std::vector<const SourceTable*> select_tables(const Catalog& catalog, const PlanOptions& options);

// `outlines` by table name, for every selected table.
MigrationPlan plan_migration(const Catalog& catalog, const std::map<std::string, TableOutline>& outlines,
                             const PlanOptions& options);

// True when the pattern matches the whole name.
bool matches_pattern(std::string_view pattern, std::string_view name);

}  // namespace sluice
