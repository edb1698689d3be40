#pragma once
// Which rows of two sides have no equal on the other: the last step down from a leaf that differs.
//
// Rows are compared as multisets, so rows that are double count, and come in any order. 56 bytes a row of the
// source and as many per row of the target without an equal are kept; the caller chooses how many rows to
// compare at once.

#include <cstddef>
#include <cstdint>
#include <optional>
#include <vector>

#include "engine/model/digest.h"

namespace sluice {

struct RowMark {
  Digest identity;          // of the key; of the whole row where there is none
  Digest row;               // of the whole row
  std::uint64_t place = 0;  // where its side finds it again: a rowid, a ctid
  std::uint32_t leaf = 0;
  // Of the source: 1 + the column whose value the target cannot hold, and why. Such a row equals none, but it
  // may have a partner: whatever the target has of its key.
  std::uint16_t unfit_column = 0;
  std::uint8_t unfit_reason = 0;

  [[nodiscard]] bool is_unfit() const { return unfit_column != 0; }
};

// missing: `source` alone. extraneous: `target` alone. mismatch: both, of one key.
struct RowPair {
  std::optional<RowMark> source;
  std::optional<RowMark> target;
};

class RowDiff {
 public:
  // First all rows of the source, then all of the target.
  void add_source(const RowMark& row);
  void add_target(const RowMark& row);

  // What is left, in order of the identity; starts anew.
  std::vector<RowPair> finish();

 private:
  struct Entry {
    RowMark mark;
    bool met = false;
  };

  void sort_source();

  std::vector<Entry> source_;
  bool sorted_ = false;
  std::vector<RowMark> target_;  // without an equal
};

}  // namespace sluice
