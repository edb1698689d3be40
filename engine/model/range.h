#pragma once
// The key range: the unit of reading, transaction, retry, resume and parallel work.
//
// A table is planned as an ordered list of extents that cover its whole key space and never overlap.
// Bounds are hints as far as balance goes and law as far as correctness goes: any sorted list of split
// points covers the table, however stale the pages it was read from.

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "engine/model/cell.h"

namespace sluice {

enum class TableId : std::uint32_t {};
enum class RangeNumber : std::uint32_t {};

// An owned key value. Keys of WITHOUT ROWID tables are never NULL.
struct TextValue {
  std::string bytes;
  bool operator==(const TextValue&) const = default;
};
struct BlobValue {
  std::string bytes;
  bool operator==(const BlobValue&) const = default;
};
using KeyValue = std::variant<std::int64_t, double, TextValue, BlobValue>;

// The cell borrows from the value.
Cell cell_of(const KeyValue& value);

// One extent for the table: it is small, or has nothing to be cut by.
struct WholeTable {
  bool operator==(const WholeTable&) const = default;
};

// Closed on both sides, because the largest rowid is a legal rowid.
struct RowidRange {
  std::int64_t first = INT64_MIN;
  std::int64_t last = INT64_MAX;  // inclusive
  bool operator==(const RowidRange&) const = default;
};

// Rows of a WITHOUT ROWID table with from <= primary key < until, compared as SQLite row values, that
// is with each column's own collation. An empty vector is an open end.
struct PrimaryKeyRange {
  std::vector<KeyValue> from;
  std::vector<KeyValue> until;
  bool operator==(const PrimaryKeyRange&) const = default;
};

using Extent = std::variant<WholeTable, RowidRange, PrimaryKeyRange>;

// A form for the ledger: one line of printable ASCII, exact for every value. `parse` throws Error
// (Fault::internal) on anything `format` did not write.
//   all | rowid -5 99 | key i7,t616263 r4045000000000000,b00 -     ("-" is an open end)
std::string format_extent(const Extent& extent);
Extent parse_extent(std::string_view text);

// True when the extents, in this order, cover a whole table and never overlap. Row values are only
// checked to chain, since their order depends on collations that only SQLite knows.
bool covers_table(const std::vector<Extent>& extents);

}  // namespace sluice
