#include "engine/plan/width.h"

#include <algorithm>

#include "engine/model/quote.h"

namespace sluice {
namespace {

// Every value of a varying size has at least its header of a byte; numeric has two more.
constexpr std::size_t kShortHeaderBytes = 1;
constexpr std::size_t kShortestNumericBytes = 3;
// What stays in the row of a value that was moved out of line. Shorter ones are never moved.
constexpr std::size_t kPointerBytes = 18;
constexpr std::size_t kMovedFromBytes = 24;
constexpr std::size_t kFixedHeaderBytes = 23;

std::size_t aligned(std::size_t bytes, std::size_t alignment) {
  return (bytes + alignment - 1) / alignment * alignment;
}

std::size_t header_bytes(std::size_t columns, bool with_nulls) {
  return aligned(kFixedHeaderBytes + (with_nulls ? (columns + 7) / 8 : 0), 8);
}

// What the row keeps of a value so long when space is short.
std::size_t kept_of(std::uint64_t bytes) {
  const std::uint64_t stored = bytes + kShortHeaderBytes;
  return stored <= kMovedFromBytes ? static_cast<std::size_t>(stored) : kPointerBytes;
}

const ColumnFacts* examined_facts_at(const TableFacts* facts, std::size_t place) {
  const ColumnFacts* column = facts_at(facts, place);
  return column != nullptr && column->examined ? column : nullptr;
}

std::string advice(const TablePlan& plan) {
  const std::string name = quote_identifier(plan.source);
  return "split " + name +
         " in the source into tables that share its key, keep the columns that are seldom "
         "asked for in one JSON column, or leave the table out with --exclude";
}

}  // namespace

RowWidth width_of(const TablePlan& plan, const TableFacts* facts) {
  RowWidth width;
  width.columns = plan.columns.size();
  std::size_t least = 0;
  std::size_t longest = 0;
  bool always_nulls = false;
  for (const ColumnPlan& column : plan.columns) {
    const ColumnFacts* known = examined_facts_at(facts, column.place);
    const PgTypeName& storage = name_of(column.type);
    const bool always = column.not_null || (known != nullptr && facts->rows > 0 && known->nulls == 0);
    const bool ever = always || known == nullptr || known->values() > 0;
    if (!ever) always_nulls = true;
    if (always) {
      const std::size_t shortest = column.type == PgType::numeric ? kShortestNumericBytes : kShortHeaderBytes;
      least = aligned(least, storage.alignment) + (storage.bytes > 0 ? storage.bytes : shortest);
    }
    if (ever) {
      std::size_t bytes = storage.bytes;
      if (bytes == 0) {
        bytes = known == nullptr || column.type == PgType::numeric ? kPointerBytes
                                                                   : kept_of(known->bytes_longest);
      }
      longest = aligned(longest, storage.alignment) + bytes;
    }
  }
  width.bytes_least = header_bytes(width.columns, always_nulls) + least;
  width.bytes_longest = header_bytes(width.columns, true) + longest;
  return width;
}

std::vector<Finding> find_too_wide(const TablePlan& plan, const TableFacts* facts) {
  const RowWidth width = width_of(plan, facts);
  Finding finding;
  finding.table = plan.source;
  if (width.columns > kTableColumnsMax) {
    finding.what = std::to_string(width.columns) + " columns, and PostgreSQL has at most " +
                   std::to_string(kTableColumnsMax) + " in a table";
    finding.resolve = advice(plan);
    return {finding};
  }
  const bool has_rows = facts != nullptr && facts->rows > 0;
  if (!has_rows || width.bytes_least <= kRowBytesMax) return {};
  finding.what = "every row takes " + std::to_string(width.bytes_least) +
                 " bytes or more without its long values, and PostgreSQL keeps at most " +
                 std::to_string(kRowBytesMax) + " in a page";
  finding.resolve = advice(plan);
  return {finding};
}

std::string why_perhaps_too_wide(const TablePlan& plan, const TableFacts* facts) {
  const RowWidth width = width_of(plan, facts);
  if (width.bytes_longest <= kRowBytesMax || !find_too_wide(plan, facts).empty()) return {};
  return "a row with a value in each of the " + std::to_string(width.columns) + " columns would take " +
         std::to_string(width.bytes_longest) + " bytes, and PostgreSQL keeps at most " +
         std::to_string(kRowBytesMax) + " in a page; such rows would be refused (54000)";
}

}  // namespace sluice
