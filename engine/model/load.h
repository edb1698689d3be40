#pragma once
// The two ends of a load. A lane owns one Source and one Sink, and one thread uses it at a time.

#include <cstdint>
#include <memory>
#include <optional>

#include "engine/model/cell.h"
#include "engine/model/digest.h"
#include "engine/model/plan.h"

namespace sluice {

// Reads the rows of one extent, in key order where there is a key.
class Scan {
 public:
  virtual ~Scan() = default;

  // The next row, or nothing at the end. The cells are borrowed until the next call. There are
  // cells_per_row(plan) of them. Throws Error when the source cannot be read: an error is never an end.
  virtual std::optional<Row> next() = 0;
};

class Source {
 public:
  virtual ~Source() = default;

  // The plan must outlive the scan. One scan at a time per source.
  virtual std::unique_ptr<Scan> scan(const TablePlan& plan, const Extent& extent) = 0;
};

struct RangeTask {
  const TablePlan* plan = nullptr;  // borrowed, never null
  RangeNumber number{};
  Extent extent;
  // The run created the table, this is its only range, and it is large enough to be worth a file of its own.
  bool whole_new_table = false;
};

// What is known of a range once its transaction has committed.
struct RangeSeal {
  TableId table{};
  RangeNumber number{};
  std::uint64_t rows_read = 0;  // = loaded + rejected
  std::uint64_t rows_loaded = 0;
  std::uint64_t rows_rejected = 0;
  std::uint64_t bytes = 0;  // COPY payload
  double seconds = 0;
  double blocked_seconds = 0;  // of these, asleep until the target took bytes or answered
  bool frozen = false;         // its rows need no later visit by VACUUM or the first reader
  RangeDigest digest;
};

// One range on its way into the target, inside one transaction. Destroyed before seal(), it rolls back:
// a range whose writer dies unsealed never happened.
class RangeWriter {
 public:
  virtual ~RangeWriter() = default;

  virtual void write(Row row) = 0;

  // Payload bytes taken so far, for the progress line.
  [[nodiscard]] virtual std::uint64_t bytes() const = 0;

  // Ends the COPY, marks the range done in the ledger and commits: all or nothing. An error with
  // Fault::in_doubt means that only the ledger knows whether it committed.
  virtual RangeSeal seal() = 0;
};

// Whether to take a range that another session holds.
enum class Claim : std::uint8_t {
  skip_locked,  // leave it to whoever has it
  wait,         // wait for the other session to commit or die
};

class Sink {
 public:
  virtual ~Sink() = default;

  // Claims the range. Null when it is done already, or with skip_locked when someone else is at it.
  virtual std::unique_ptr<RangeWriter> begin(const RangeTask& task, Claim claim) = 0;
};

}  // namespace sluice
