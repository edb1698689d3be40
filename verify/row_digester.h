#pragma once
// One row of the source as it would be sent, with its digest: for whoever reads rows without loading them.
//
// Large values are hashed where SQLite has them and never copied (io/wire/row_encoder.h).

#include <cstddef>
#include <span>
#include <vector>

#include "engine/model/cell.h"
#include "engine/model/digest.h"
#include "engine/model/plan.h"
#include "io/wire/row_encoder.h"
#include "verify/leaves.h"

namespace sluice {

class RowDigester {
 public:
  explicit RowDigester(const TablePlan& plan);

  // False when a value does not fit its column; reject() then says which. What the calls below return is
  // borrowed until the next take(), and from the cells.
  [[nodiscard]] bool take(Row row);
  [[nodiscard]] const CellReject& reject() const { return encoder_.reject(); }

  [[nodiscard]] const Digest& digest() const { return digest_; }
  // Where the row's key is: the whole tuple, but that large values, which are no part of a key, are empty.
  [[nodiscard]] std::span<const std::byte> key_tuple() const;
  // The whole tuple.
  [[nodiscard]] std::span<const std::span<const std::byte>> pieces() const { return pieces_; }
  // The same without the generated columns, as it is sent. REQUIRES: called at most once per row.
  [[nodiscard]] std::span<const std::span<const std::byte>> sent_pieces();
  // Of each field, its length included in what is hashed.
  [[nodiscard]] std::vector<Digest> field_digests() const;

 private:
  const std::size_t sent_columns_;
  const std::size_t columns_;
  RowEncoder encoder_;
  Buffer buffer_;
  Buffer key_tuple_;
  std::vector<CellApart> apart_;
  std::vector<std::span<const std::byte>> pieces_;
  Digest digest_;
};

// Of each field of a tuple that lies in one piece.
std::vector<Digest> field_digests(std::span<const std::byte> tuple);

}  // namespace sluice
