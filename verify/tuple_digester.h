#pragma once
// The digest of a row that is a tuple already and comes in pieces: nothing is held of it but its key.

#include <cstddef>
#include <span>
#include <vector>

#include "engine/model/digest.h"
#include "engine/model/plan.h"
#include "io/wire/buffer.h"
#include "io/wire/tuple_walker.h"
#include "verify/row_digest.h"

namespace sluice {

// One tuple. Throws Error (source_unreadable) for what is none.
class TupleDigester {
 public:
  explicit TupleDigester(const TablePlan& plan);

  // REQUIRES: nothing behind the tuple.
  void add(std::span<const std::byte> piece);

  // REQUIRES: the whole tuple was added. Once.
  [[nodiscard]] Digest digest() { return digest_.finish(); }
  // Where the row's key is: the tuple, but that values which are no part of the key are empty.
  [[nodiscard]] std::span<const std::byte> key_tuple() const { return key_tuple_.span(); }

 private:
  std::vector<bool> in_key_;  // per column
  TupleWalker walker_;
  DigestStream digest_;
  Buffer key_tuple_;
};

}  // namespace sluice
