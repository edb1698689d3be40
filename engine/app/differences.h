#pragma once
// Which rows of a leaf differ, and making them equal: the lower half of a comparison.
//
// A leaf is read on both sides and its rows are compared by digest. What has no equal is then looked at once
// more, row by row, for its key, its columns and, on request, its values. Memory is a bounded number of rows'
// digests per lane, whatever the number of rows that differ: where no index finds the rows of a leaf and
// there are too many to compare at once, one scan of both sides sums them up in a million parts first, and
// only the parts that differ are compared, some after the other.

#include <cstdint>
#include <map>
#include <memory>
#include <nlohmann/json_fwd.hpp>
#include <optional>
#include <string>
#include <tuple>
#include <vector>

#include "engine/app/console.h"
#include "engine/app/verification.h"
#include "engine/model/plan.h"
#include "engine/run/range_pipeline.h"
#include "engine/run/retries.h"
#include "io/postgres/read_back.h"
#include "io/postgres/repair.h"
#include "io/sqlite/snapshot.h"
#include "verify/row_diff.h"

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
  // Why it differs and will, where that is known: the target's column cannot hold the value, or the target
  // has refused the row when it was to be repaired.
  std::string reason;
  bool unfit = false;  // the former
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
  std::uint64_t unfit_there = 0;  // mismatch: the source's value does not fit, and the target has another
  // There are rows of the source that do not fit and have no key to tell their rows in the target by.
  bool unfit_unnamed = false;

  [[nodiscard]] bool any() const { return missing + mismatch + extraneous > 0; }
};

// Rows that the target refused when they were to be repaired, with the reason, by the key's digest.
using RefusedRows = std::map<std::tuple<std::size_t, std::uint64_t, std::uint64_t>, std::string>;

struct DifferenceWork {
  Snapshot* snapshot = nullptr;  // borrowed, as all of these
  const std::vector<TablePlan>* tables = nullptr;
  const std::vector<TableLeaves>* source = nullptr;
  std::vector<std::vector<std::size_t>> leaves;         // per table: those that differ
  std::vector<std::vector<std::uint64_t>> rows_target;  // the target's, of each of these
  std::vector<Connection*> connections;  // to the target itself; at most one per reader of the snapshot
  std::uint64_t max_report = 100;
  bool show_values = false;
  // For digests and rows, over all lanes; 0: no limit but those in differences.cc. Less of it costs more
  // reading.
  std::uint64_t memory_bytes = 0;
  RefusedRows refused;  // to be described as such
  // For find(), which then tries again what it reads. Null: the caller does, from the beginning.
  Retries* retries = nullptr;
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
  // many rows in several). Leaves that stand in each other's way, such as two rows that have exchanged a
  // unique value, come together at the end; rows that the target refuses even then are left as they are and
  // listed in `refused`. Counts what it did in `differences`, also when it throws. False when stopped; then
  // what is done stays. `runs`: of the migration, per table; empty without one.
  //
  // It tries nothing again: after a lost connection nobody knows whether a leaf is repaired, and rows without
  // a key would come twice. Whoever wants to go on finds the differences anew. `progress` hears of every
  // leaf.
  bool repair(const RepairRights& rights, const RepairRecord& record, const std::vector<std::string>& runs,
              Retries& progress, Differences& differences, RefusedRows& refused);

 private:
  struct Room;
  struct Unit;
  struct Item;
  class Lane;
  class Repairer;

  bool cut();
  bool cut_table(std::size_t table);
  bool cut_by_scan(std::size_t table, const std::vector<std::size_t>& leaves, bool by_key);

  template <class Body>
  auto retried(const Body& body) {
    return work_.retries == nullptr ? body() : work_.retries->run(body);
  }

  const DifferenceWork work_;
  const std::unique_ptr<const Room> room_;
  Console& console_;
  const StopRequest& stop_;
  std::vector<Unit> units_;
};

DifferenceKind kind_of(const RowPair& pair);

// What one unit of the work found.
struct UnitDifferences {
  std::size_t table = 0;
  TableDifferences counts;
  std::vector<RowDifference> rows;

  void count(const RowPair& pair);
};
// All of them together, the rows by table and kind, and else in the order of the units.
Differences add_up(std::vector<UnitDifferences> units, std::size_t tables);

// The key columns of a row, as they were printed, as a JSON object.
std::string key_of_printed(const TablePlan& plan, const PrintedRow& row);

// A key as the records of rejected rows have it.
std::string spaced_object(const nlohmann::ordered_json& object);

}  // namespace sluice
