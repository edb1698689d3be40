#pragma once
// Which leaf of its table's Merkle tree a row belongs to, and sums of rows per leaf.
//
// Leaves depend on the rows alone, never on lanes, range sizes or the layout of the file:
//   - a table whose rows carry their rowid is cut in key order, after every key whose hash ends in
//     kCutBits zero bits: about 16 k rows to a leaf, and an insert touches one leaf;
//   - any other table has kBuckets leaves, by the hash of its key, or of the whole row without a key.
// A leaf that straddles ranges is the sum of its parts.

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "engine/model/digest.h"
#include "engine/model/plan.h"

namespace sluice {

// Raised when the bytes that are hashed, the leaves or the tree change: a run never goes on under another.
inline constexpr int kDigestFormat = 1;

inline constexpr unsigned kCutBits = 14;
inline constexpr std::size_t kBuckets = 256;

// Finds the key in the tuples of one table. Small enough to copy.
class LeafRule {
 public:
  explicit LeafRule(const TablePlan& plan);

  [[nodiscard]] bool ordered() const { return ordered_; }
  // REQUIRES: ordered(). The row's key; INT64_MIN when the field is NULL or not a bigint, which only a
  // target that was changed can hold.
  [[nodiscard]] std::int64_t key_of(std::span<const std::byte> tuple) const;
  // REQUIRES: not ordered().
  [[nodiscard]] std::size_t bucket_of(std::span<const std::byte> tuple, const Digest& row) const;
  // Equal for rows of one key; the row's own digest where rows carry no key.
  [[nodiscard]] Digest identity_of(std::span<const std::byte> tuple, const Digest& row) const;

 private:
  bool ordered_;
  std::vector<std::size_t> key_fields_;  // in tuple order; empty: the whole row
};

// True when a leaf ends after this key.
bool cuts_after(std::int64_t key);

// The source side: sums the rows of one range as they are loaded. Rows of ordered tables come in ascending
// key order; otherwise add() throws Error (source_unreadable), since only a corrupt file does that.
class RangeDigester {
 public:
  explicit RangeDigester(const TablePlan& plan);
  void add(std::span<const std::byte> tuple);
  // The same for a row whose digest is known. Of the tuple only the fields of the key are looked at.
  // `server`: the server's hash of the row, where it is asked for.
  void add(std::span<const std::byte> tuple, const Digest& row, std::uint64_t server = 0);
  // The digest of what was added; starts anew.
  RangeDigest finish();

 private:
  LeafRule rule_;
  RangeDigest digest_;
  LeafPart open_;
  std::int64_t last_key_ = 0;
  std::vector<LeafPart> buckets_;
};

// The leaves of one table.
struct Leaf {
  std::int64_t last_key = INT64_MAX;  // ordered tables: the leaf ends with this key
  RowSum rows;
  Digest server{};  // as LeafPart::server
};

class TableLeaves {
 public:
  // From the digests of all ranges of the table, in range order.
  TableLeaves(const TablePlan& plan, const std::vector<RangeDigest>& ranges);

  // The same leaves without rows, to sum a read-back into.
  [[nodiscard]] TableLeaves emptied() const;

  void add(std::span<const std::byte> tuple);
  // The same for a row whose digest is known. Of the tuple only the fields of the key are looked at.
  void add(std::span<const std::byte> tuple, const Digest& row);
  // Rows that were summed elsewhere. REQUIRES: leaf < leaves().size().
  void add(std::size_t leaf, const Leaf& rows);
  // Forgets the rows of one leaf.
  void clear(std::size_t leaf) { leaves_[leaf].rows = {}; }
  void merge(const TableLeaves& other);

  // Where a row belongs.
  [[nodiscard]] std::size_t leaf_of(std::span<const std::byte> tuple, const Digest& row) const;
  [[nodiscard]] const LeafRule& rule() const { return rule_; }
  // The keys of a leaf of an ordered table, both ends included.
  [[nodiscard]] RowidRange keys_of(std::size_t leaf) const;

  // For ordered tables the last leaf is open-ended and may be without rows.
  [[nodiscard]] const std::vector<Leaf>& leaves() const { return leaves_; }
  [[nodiscard]] bool ordered() const { return rule_.ordered(); }
  [[nodiscard]] RowSum total() const;
  // The root of the table's tree.
  [[nodiscard]] Digest root() const;

 private:
  LeafRule rule_;
  std::vector<Leaf> leaves_;
};

// Indexes of the leaves that differ. REQUIRES: both have the same boundaries.
std::vector<std::size_t> differing_leaves(const TableLeaves& source, const TableLeaves& target);
// By the sums that the server makes: whether the whole tables agree, and, of ordered ones, which leaves do
// not.
bool same_server_sum(const TableLeaves& source, const TableLeaves& target);
std::vector<std::size_t> differing_server_leaves(const TableLeaves& source, const TableLeaves& target);

// The ranges of an ordered table that hold keys of the leaf.
std::vector<RangeNumber> ranges_of_leaf(const TablePlan& plan, const TableLeaves& leaves, std::size_t leaf);

// RangeDigest as bytes for the ledger; the format is in verify/DIGEST.md. unpack_leaves throws Error
// (Fault::internal) on anything else.
std::string pack_leaves(const std::vector<LeafPart>& leaves);
std::vector<LeafPart> unpack_leaves(std::string_view bytes);
// The server's sums of the same parts, in the same order. unpack_server_sums returns false, and leaves the
// parts as they are, when the sums are not of kServerHashFormat.
std::string pack_server_sums(const std::vector<LeafPart>& leaves);
[[nodiscard]] bool unpack_server_sums(std::string_view bytes, std::vector<LeafPart>& leaves);

}  // namespace sluice
