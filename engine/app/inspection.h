#pragma once
// What there is to say about a source before it moves. Pure: reads its arguments, nothing else.
// engine/app/inspect_report.h prints it.

#include <cstddef>
#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "engine/app/estimate.h"
#include "engine/app/growth.h"
#include "engine/app/options.h"
#include "engine/app/source_checks.h"
#include "engine/model/catalog.h"
#include "engine/model/facts.h"
#include "engine/model/plan.h"

namespace sluice {

// In the order in which they are shown. The names are those of the JSON, so they are a contract.
enum class SurpriseKind : std::uint8_t {
  finding,   // keeps a migration from beginning
  type,      // arrives as another type than its declaration suggests
  null_key,  // NULL in a primary key
  orphans,   // rows whose foreign key names no row, or a key that cannot be checked
  bad_text,  // U+0000, bytes that are not UTF-8
  numbers,   // integers beyond 2^53 beside reals, infinities
  mixed,     // several storage classes in one column
  long_value,
  name,  // arrives under another name
};
std::string_view name_of(SurpriseKind kind);

struct SurpriseLine {
  SurpriseKind kind = SurpriseKind::finding;
  std::string table;
  std::string column;
  std::string what;         // with the counts, without names of table and column
  std::uint64_t count = 0;  // of values, rows or keys; 0 where nothing is counted
  Example example;          // empty strings where there is none
  std::string resolve;      // what to do about it; may be empty
};

struct InspectedTable {
  const SourceTable* source = nullptr;
  const TablePlan* plan = nullptr;
  const TableFacts* facts = nullptr;
  std::uint64_t bytes = 0;  // leaf pages, and what the profile saw out of them
  TableEstimate estimate;
  const std::vector<ForeignKeyCheck>* foreign_keys = nullptr;  // null without any
  const Growth* growth = nullptr;                              // null without a history
  std::size_t surprises = 0;
};

// How far a number is from the one that says: time to move. `near` begins at 70 %.
enum class Distance : std::uint8_t { crossed, near, far, unknown };
std::string_view name_of(Distance distance);

struct Threshold {
  std::string name;  // size, rows, daily_rows
  Distance distance = Distance::unknown;
  double value = 0;
  double limit = 0;
  std::string table;   // the one with the largest number; empty for the size of the file
  std::string column;  // for daily_rows: which column says so
  std::string remark;
};

// Everything borrowed must outlive the Inspection.
struct InspectionInput {
  const Catalog* catalog = nullptr;
  const std::map<std::string, TableOutline>* outlines = nullptr;
  const SourceFacts* facts = nullptr;
  const MigrationPlan* plan = nullptr;
  const SourceChecks* checks = nullptr;
  std::string path;  // as the user gave it
  std::uint64_t bytes = 0;
  std::string fingerprint;
  std::string remark;  // of the snapshot
  double profile_seconds = 0;
};

struct Inspection {
  InspectionInput source;
  std::size_t jobs = 1;
  Distance time_to_move = Distance::far;  // of the nearest threshold
  std::vector<Threshold> thresholds;
  std::vector<SurpriseLine> surprises;  // by kind, then by table and place of the column
  std::vector<InspectedTable> tables;   // largest first
  std::uint64_t rows = 0;
  Estimate bytes;
  Estimate seconds;
  std::vector<const ObjectOutcome*> missing;      // objects that will not arrive
  std::vector<const ObjectOutcome*> expressions;  // of these, those with SQL that only SQLite understands
  std::vector<const ObjectOutcome*> changed;      // that arrive with a difference
};

// Throws Error (usage) when --rows-table names a table that is not among those inspected.
Inspection inspect_source(const InspectionInput& input, const InspectOptions& options);

}  // namespace sluice
