#pragma once
// The two ends of a load. A lane owns one Source and one Sink, and one thread uses it at a time.

#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>

#include "engine/model/cell.h"
#include "engine/model/digest.h"
#include "engine/model/plan.h"

namespace sluice {

class RangeWriter;

// Reads the rows of one extent, in key order where there is a key.
class Scan {
 public:
  virtual ~Scan() = default;

  // The next row, or nothing at the end. The cells are borrowed until the next call. There are
  // cells_per_row(plan) of them. Throws Error when the source cannot be read: an error is never an end.
  virtual std::optional<Row> next() = 0;

  // Hands the next rows to the writer, some of them, and adds each to `rows`. False at the end. A scan of
  // rows that were encoded before has no cells: it hands over tuples, and next() is not to be called.
  virtual bool deliver(RangeWriter& writer, std::uint64_t& rows);
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

// A tuple that is not in memory at once.
class TuplePieces {
 public:
  virtual ~TuplePieces() = default;
  // The next bytes of it, borrowed until the next call; empty at its end.
  virtual std::span<const std::byte> next() = 0;
};

// What somebody else has counted and summed up when the rows of a range were encoded.
struct RangeExpectation {
  std::uint64_t rows_loaded = 0;
  std::uint64_t rows_rejected = 0;
  const RangeDigest* digest = nullptr;  // borrowed, never null; the server's sums do not count
  std::string_view name;                // borrowed: where the rows came from, for the error
};
// What is wrong with the rows of the seal; empty when nothing is.
[[nodiscard]] std::string why_unexpected(const RangeSeal& seal, const RangeExpectation& expected);

// One range on its way into the target, inside one transaction. Destroyed before seal(), it rolls back:
// a range whose writer dies unsealed never happened.
class RangeWriter {
 public:
  virtual ~RangeWriter() = default;

  virtual void write(Row row) = 0;

  // A row that was encoded before: a tuple of binary COPY with all columns of the plan, generated ones
  // included. Writers that load nothing but cells have neither of these three, and throw Error (internal).
  virtual void write_tuple(std::span<const std::byte> tuple);
  // The same of a large one.
  virtual void write_tuple(TuplePieces& tuple);
  // A row that was rejected when the others were encoded, as the record of it (io/wire/reject_record.h), and
  // which row of its range it was, from 1.
  virtual void write_reject(std::uint64_t row, std::string_view record);
  // seal() then throws Error (source_unreadable), and nothing is committed, when the rows are others than
  // these. What it borrows must outlive the writer.
  virtual void expect(const RangeExpectation& expected);

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
