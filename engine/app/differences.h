#pragma once
// Which rows of a leaf differ, and making them equal: the lower half of a comparison.
//
// A leaf is read on both sides and its rows are compared by digest. What has no equal is then looked at once
// more, row by row, for its key, its columns and, on request, its values. Memory is a bounded number of rows'
// digests per lane, whatever the number of rows that differ; the rows themselves are never kept.

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "engine/app/console.h"
#include "engine/app/verification.h"
#include "engine/model/plan.h"
#include "engine/run/range_pipeline.h"
#include "io/postgres/repair.h"
#include "io/sqlite/snapshot.h"

namespace sluice {

enum class DifferenceKind : std::uint8_t { missing, mismatch, extraneous };
std::string_view name_of(DifferenceKind kind);

struct ValueDifference {
  std::string column;
  std::optional<std::string> source;  // the beginning of it, printable; nullopt is NULL, or no row
  std::optional<std::string> target;
};

struct RowDifference {
  std::size_t table = 0;
  DifferenceKind kind = DifferenceKind::missing;
  // The key as a JSON object; null for rows without one, which are named by their place and digest instead.
  std::string key;
  std::string row;  // without a key: digest, and rowid or ctid where there is one; else empty
  std::vector<std::string> columns;  // mismatch: those that differ, by their names in the source
  std::string unfit;                 // missing: the column and reason for which the target cannot hold it
  std::vector<ValueDifference> values;
};

// "mismatch orders {"id": 5}, column total"
std::string describe(const RowDifference& difference, const std::vector<TablePlan>& tables);

struct TableDifferences {
  std::uint64_t missing = 0;
  std::uint64_t mismatch = 0;
  std::uint64_t extraneous = 0;
  std::uint64_t deleted = 0;  // by the repair
  std::uint64_t inserted = 0;

  [[nodiscard]] bool any() const { return missing + mismatch + extraneous > 0; }
};

struct DifferenceWork {
  Snapshot* snapshot = nullptr;  // borrowed, as all of these
  const std::vector<TablePlan>* tables = nullptr;
  const std::vector<TableLeaves>* source = nullptr;
  std::vector<std::vector<std::size_t>> leaves;  // per table: those that differ
  std::vector<std::uint64_t> rows_target;        // per table
  std::vector<Connection*> connections;  // to the target itself; at most one per reader of the snapshot
  std::uint64_t max_report = 100;
  bool show_values = false;
};

struct Differences {
  std::vector<TableDifferences> tables;
  std::vector<RowDifference> rows;  // the first of them, in order of table, kind and key
};

class DifferenceFinder {
 public:
  DifferenceFinder(DifferenceWork work, Console& console, const StopRequest& stop);
  ~DifferenceFinder();
  DifferenceFinder(const DifferenceFinder&) = delete;
  DifferenceFinder& operator=(const DifferenceFinder&) = delete;

  // Nothing when stopped.
  std::optional<Differences> find();

  // After find(): deletes and inserts what it found, leaf by leaf, each in one transaction (a leaf with very
  // many rows in several). Counts what it did in `differences`. False when stopped; then what is done stays.
  bool repair(const RepairRights& rights, const RepairRecord& record, Differences& differences);

 private:
  struct Unit;
  class Lane;

  void cut();

  const DifferenceWork work_;
  Console& console_;
  const StopRequest& stop_;
  std::vector<Unit> units_;
};

}  // namespace sluice
