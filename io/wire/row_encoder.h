#pragma once
// Rows as binary COPY tuples.

#include <cstddef>
#include <memory>
#include <span>
#include <vector>

#include "engine/model/cell.h"
#include "engine/model/plan.h"
#include "io/wire/buffer.h"
#include "io/wire/column_encoder.h"
#include "io/wire/type_table.h"

namespace sluice {

// What precedes the first tuple and follows the last one (PostgreSQL manual, COPY, "Binary Format").
std::span<const std::byte> copy_header();
std::span<const std::byte> copy_trailer();

struct CellReject {
  std::size_t column = 0;
  Misfit reason = Misfit::none;
};

// A value that is not copied into the tuple: its bytes belong where the buffer has `offset`, behind its
// length.
struct CellApart {
  std::size_t offset = 0;
  std::span<const std::byte> bytes;  // of the cell
};

// The tuple that begins at `start` and ends the buffer, with its values apart in their places. Borrowed from
// both.
std::vector<std::span<const std::byte>> pieces_of(const Buffer& buffer, std::size_t start,
                                                  std::span<const CellApart> apart);

// Text or bytes from which on it pays to send a value from where SQLite has it.
inline constexpr std::size_t kApartBytesMin = std::size_t{256} << 10;

inline bool is_large(const Cell& cell) {
  const bool bytes = cell.storage() == StorageClass::text || cell.storage() == StorageClass::blob;
  return bytes && cell.bytes().size() >= kApartBytesMin;
}

// Encodes rows of one table. The functions per column are looked up once, here; a column with a conversion, a
// modifier or labels has an encoder of its own. One thread at a time.
class RowEncoder {
 public:
  explicit RowEncoder(const TablePlan& plan);

  // Appends the tuple and returns true, or leaves the buffer as it was and returns false: a value its
  // column cannot hold is data, not a failure. reject() then says which; the first one found.
  // REQUIRES: the row has at least as many cells as the plan has columns.
  [[nodiscard]] bool encode(Row row, Buffer& out);
  [[nodiscard]] const CellReject& reject() const { return reject_; }

  // Whether the row has a value to set apart: a large one that is sent as it is and is no part of the key.
  [[nodiscard]] bool has_apart(Row row) const {
    for (const std::size_t column : apart_columns_) {
      if (is_large(row[column])) return true;
    }
    return false;
  }
  // As encode(), but such values are checked and named in `apart`, in order, instead of copied.
  [[nodiscard]] bool encode_apart(Row row, Buffer& out, std::vector<CellApart>& apart);

 private:
  struct Column {
    Misfit (*encode)(const Cell& cell, Buffer& out) = nullptr;
    bool not_null = false;
    bool apart = false;  // a large value may stay where it is
    PgType type = PgType::text;
    std::unique_ptr<ColumnEncoder> own;  // null for a plain column
  };

  // `apart` may be null.
  bool encode_with_own(Row row, Buffer& out, std::vector<CellApart>* apart);
  bool take_back(std::size_t start, std::size_t column, Misfit misfit, Buffer& out);

  std::vector<Column> columns_;
  std::vector<std::size_t> apart_columns_;
  bool plain_ = true;
  CellReject reject_;
};

// Walks the fields of one tuple, as sent by us or by the server.
class TupleFields {
 public:
  // REQUIRES: a whole tuple, beginning with its field count.
  explicit TupleFields(std::span<const std::byte> tuple);

  [[nodiscard]] std::size_t count() const { return count_; }

  struct Field {
    bool null = true;
    std::span<const std::byte> value;        // without the length
    std::span<const std::byte> with_length;  // as it stands in the tuple
  };
  // The next field. REQUIRES: fewer than count() calls so far. Throws Error (Fault::internal) when the
  // tuple is shorter than it says.
  Field next();

 private:
  std::span<const std::byte> rest_;
  std::size_t count_;
};

}  // namespace sluice
