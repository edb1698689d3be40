#include "verify/leaves.h"

#include <algorithm>
#include <bit>
#include <cassert>
#include <cstring>
#include <string_view>

#include "engine/model/error.h"
#include "io/wire/row_encoder.h"
#include "verify/merkle.h"
#include "verify/row_digest.h"
#include "verify/server_hash.h"

namespace sluice {
namespace {

std::int64_t load_int64(const std::byte* bytes) {
  std::uint64_t bits;
  std::memcpy(&bits, bytes, sizeof bits);
  return static_cast<std::int64_t>(to_big_endian(bits));
}

}  // namespace

LeafRule::LeafRule(const TablePlan& plan) : ordered_(plan.row_key == RowKey::ordered_integer) {
  if (plan.row_key == RowKey::ordered_integer || plan.row_key == RowKey::columns) {
    key_fields_ = plan.key_columns;
    std::sort(key_fields_.begin(), key_fields_.end());
  }
  assert(!ordered_ || key_fields_.size() == 1);
}

std::int64_t LeafRule::key_of(std::span<const std::byte> tuple) const {
  TupleFields fields(tuple);
  TupleFields::Field field;
  for (std::size_t i = 0; i <= key_fields_.front(); ++i) field = fields.next();
  return field.value.size() == 8 ? load_int64(field.value.data()) : INT64_MIN;
}

std::size_t LeafRule::bucket_of(std::span<const std::byte> tuple, const Digest& row) const {
  std::uint64_t hash = row.low;
  if (!key_fields_.empty()) {
    hash = 0;
    TupleFields fields(tuple);
    std::size_t at = 0;
    for (const std::size_t wanted : key_fields_) {
      TupleFields::Field field;
      for (; at <= wanted; ++at) field = fields.next();
      // Rotated between fields, so that (a, b) and (b, a) part.
      hash = std::rotl(hash, 17) ^ hash_of_key(field.with_length);
    }
  }
  return hash % kBuckets;
}

Digest LeafRule::identity_of(std::span<const std::byte> tuple, const Digest& row) const {
  if (ordered_) return digest_of_signed(key_of(tuple));
  if (key_fields_.empty()) return row;
  std::vector<std::span<const std::byte>> key;
  key.reserve(key_fields_.size());
  TupleFields fields(tuple);
  std::size_t at = 0;
  for (const std::size_t wanted : key_fields_) {
    TupleFields::Field field;
    for (; at <= wanted; ++at) field = fields.next();
    key.push_back(field.with_length);
  }
  return digest_of_row(key);
}

bool cuts_after(std::int64_t key) {
  const auto big_endian = to_big_endian(key);
  const std::uint64_t hash = hash_of_key(std::as_bytes(std::span(&big_endian, 1)));
  return (hash & ((std::uint64_t{1} << kCutBits) - 1)) == 0;
}

RangeDigester::RangeDigester(const TablePlan& plan) : rule_(plan) {
  if (!rule_.ordered()) buckets_.resize(kBuckets);
}

void RangeDigester::add(std::span<const std::byte> tuple) { add(tuple, digest_of_row(tuple)); }

void RangeDigester::add(std::span<const std::byte> tuple, const Digest& row, std::uint64_t server) {
  const RowSum one{row, 1};
  const Digest server_hash = digest_of_signed(static_cast<std::int64_t>(server));
  digest_.total += one;
  if (!rule_.ordered()) {
    LeafPart& bucket = buckets_[rule_.bucket_of(tuple, row)];
    bucket.rows += one;
    bucket.server += server_hash;
    return;
  }
  open_.rows += one;
  open_.server += server_hash;
  const std::int64_t key = rule_.key_of(tuple);
  if (digest_.total.rows > 1 && key <= last_key_) [[unlikely]] {
    throw Error(Fault::source_unreadable,
                "the rows do not come in the order of their keys: the table is corrupt",
                "PRAGMA integrity_check tells more, and sqlite3 FILE .recover can save what is left");
  }
  last_key_ = key;
  if (cuts_after(key)) [[unlikely]] {
    open_.tag = key;
    digest_.leaves.push_back(open_);
    open_ = {};
  }
}

RangeDigest RangeDigester::finish() {
  if (open_.rows.rows > 0) {
    open_.open = true;
    digest_.leaves.push_back(open_);
    open_ = {};
  }
  for (std::size_t i = 0; i < buckets_.size(); ++i) {
    if (buckets_[i].rows.rows == 0) continue;
    buckets_[i].tag = static_cast<std::int64_t>(i);
    digest_.leaves.push_back(buckets_[i]);
    buckets_[i] = {};
  }
  RangeDigest finished;
  std::swap(finished, digest_);
  return finished;
}

TableLeaves::TableLeaves(const TablePlan& plan, const std::vector<RangeDigest>& ranges) : rule_(plan) {
  if (!rule_.ordered()) leaves_.resize(kBuckets);
  Leaf open;
  for (const RangeDigest& range : ranges) {
    for (const LeafPart& part : range.leaves) {
      if (!rule_.ordered()) {
        Leaf& bucket = leaves_.at(static_cast<std::size_t>(part.tag));
        bucket.rows += part.rows;
        bucket.server += part.server;
        continue;
      }
      open.rows += part.rows;
      open.server += part.server;
      if (part.open) continue;
      assert(leaves_.empty() || leaves_.back().last_key < part.tag);
      open.last_key = part.tag;
      leaves_.push_back(open);
      open = {};
    }
  }
  if (rule_.ordered()) leaves_.push_back(open);
}

TableLeaves TableLeaves::emptied() const {
  TableLeaves copy = *this;
  for (Leaf& leaf : copy.leaves_) {
    leaf.rows = {};
    leaf.server = {};
  }
  return copy;
}

std::size_t TableLeaves::leaf_of(std::span<const std::byte> tuple, const Digest& row) const {
  if (!rule_.ordered()) return rule_.bucket_of(tuple, row);
  const std::int64_t key = rule_.key_of(tuple);
  const auto leaf =
      std::lower_bound(leaves_.begin(), leaves_.end() - 1, key,
                       [](const Leaf& at, std::int64_t wanted) { return at.last_key < wanted; });
  return static_cast<std::size_t>(leaf - leaves_.begin());
}

void TableLeaves::add(std::span<const std::byte> tuple) { add(tuple, digest_of_row(tuple)); }

void TableLeaves::add(std::span<const std::byte> tuple, const Digest& row) {
  leaves_[leaf_of(tuple, row)].rows += RowSum{row, 1};
}

void TableLeaves::add(std::size_t leaf, const Leaf& rows) {
  leaves_.at(leaf).rows += rows.rows;
  leaves_.at(leaf).server += rows.server;
}

RowidRange TableLeaves::keys_of(std::size_t leaf) const {
  // What follows a leaf that ends with the largest key holds nothing.
  const bool after_all = leaf > 0 && leaves_[leaf - 1].last_key == INT64_MAX;
  const std::int64_t first = leaf == 0 ? INT64_MIN : leaves_[leaf - 1].last_key + (after_all ? 0 : 1);
  return {first, leaves_[leaf].last_key};
}

void TableLeaves::merge(const TableLeaves& other) {
  assert(leaves_.size() == other.leaves_.size());
  for (std::size_t i = 0; i < leaves_.size(); ++i) add(i, other.leaves_[i]);
}

RowSum TableLeaves::total() const {
  RowSum total;
  for (const Leaf& leaf : leaves_) total += leaf.rows;
  return total;
}

Digest TableLeaves::root() const {
  std::vector<RowSum> sums;
  sums.reserve(leaves_.size());
  for (const Leaf& leaf : leaves_) sums.push_back(leaf.rows);
  // The open end of an ordered table only is a leaf when there are rows in it: otherwise a table whose
  // last key happens to cut would have two forms.
  if (ordered() && sums.back().rows == 0) sums.pop_back();
  return merkle_root(sums);
}

namespace {

// A build that overlooks one leaf shows that the tests would notice (tests/CMakeLists.txt, blind_verify).
#ifdef SLUICE_BLIND_LEAF
constexpr bool is_overlooked(std::size_t leaf) { return leaf == SLUICE_BLIND_LEAF; }
#else
constexpr bool is_overlooked(std::size_t) { return false; }
#endif

template <class Differ>
std::vector<std::size_t> leaves_where(const TableLeaves& source, const TableLeaves& target,
                                      const Differ& differ) {
  assert(source.leaves().size() == target.leaves().size());
  std::vector<std::size_t> found;
  for (std::size_t i = 0; i < source.leaves().size(); ++i) {
    if (differ(source.leaves()[i], target.leaves()[i]) && !is_overlooked(i)) found.push_back(i);
  }
  return found;
}

}  // namespace

std::vector<std::size_t> differing_leaves(const TableLeaves& source, const TableLeaves& target) {
  return leaves_where(source, target,
                      [](const Leaf& left, const Leaf& right) { return !(left.rows == right.rows); });
}

bool same_server_sum(const TableLeaves& source, const TableLeaves& target) {
  const auto sum_of = [](const TableLeaves& leaves) {
    Digest sum;
    for (const Leaf& leaf : leaves.leaves()) sum += leaf.server;
    return sum;
  };
  return source.total().rows == target.total().rows && sum_of(source) == sum_of(target);
}

std::vector<std::size_t> differing_server_leaves(const TableLeaves& source, const TableLeaves& target) {
  assert(source.ordered());
  return leaves_where(source, target, [](const Leaf& left, const Leaf& right) {
    return left.rows.rows != right.rows.rows || !(left.server == right.server);
  });
}

std::vector<RangeNumber> ranges_of_leaf(const TablePlan& plan, const TableLeaves& leaves, std::size_t leaf) {
  std::vector<RangeNumber> ranges;
  const std::int64_t last = leaves.leaves()[leaf].last_key;
  // The leaf begins after the one before it; INT64_MIN for the first.
  const std::int64_t before = leaf == 0 ? INT64_MIN : leaves.leaves()[leaf - 1].last_key;
  for (std::size_t i = 0; i < plan.extents.size(); ++i) {
    const auto* range = std::get_if<RowidRange>(&plan.extents[i]);
    const bool touches = range == nullptr || (range->first <= last && (leaf == 0 || range->last > before));
    if (touches) ranges.push_back(static_cast<RangeNumber>(i));
  }
  return ranges;
}

// Per part: tag (8), open (1), rows (8), sum high (8), sum low (8), all big-endian.
constexpr std::size_t kPartSize = 33;

std::string pack_leaves(const std::vector<LeafPart>& leaves) {
  Buffer buffer(leaves.size() * kPartSize);
  for (const LeafPart& part : leaves) {
    buffer.put_int64(part.tag);
    buffer.put_byte(part.open ? std::byte{1} : std::byte{0});
    buffer.put_int64(static_cast<std::int64_t>(part.rows.rows));
    buffer.put_int64(static_cast<std::int64_t>(part.rows.sum.high));
    buffer.put_int64(static_cast<std::int64_t>(part.rows.sum.low));
  }
  return std::string(buffer.view());
}

std::vector<LeafPart> unpack_leaves(std::string_view bytes) {
  if (bytes.size() % kPartSize != 0) {
    throw Error(Fault::internal, "the ledger holds leaves that cannot be read");
  }
  std::vector<LeafPart> leaves;
  leaves.reserve(bytes.size() / kPartSize);
  for (std::size_t at = 0; at < bytes.size(); at += kPartSize) {
    const auto* part = reinterpret_cast<const std::byte*>(bytes.data()) + at;
    leaves.push_back({load_int64(part), part[8] != std::byte{0},
                      RowSum{Digest{static_cast<std::uint64_t>(load_int64(part + 17)),
                                    static_cast<std::uint64_t>(load_int64(part + 25))},
                             static_cast<std::uint64_t>(load_int64(part + 9))}});
  }
  return leaves;
}

std::string pack_server_sums(const std::vector<LeafPart>& leaves) {
  Buffer buffer(1 + leaves.size() * 16);
  buffer.put_byte(std::byte{kServerHashFormat});
  for (const LeafPart& part : leaves) {
    buffer.put_int64(static_cast<std::int64_t>(part.server.high));
    buffer.put_int64(static_cast<std::int64_t>(part.server.low));
  }
  return std::string(buffer.view());
}

bool unpack_server_sums(std::string_view bytes, std::vector<LeafPart>& leaves) {
  // Format 1 had no byte for it, and so another size.
  if (bytes.size() % 16 != 1 || static_cast<std::uint8_t>(bytes.front()) != kServerHashFormat) return false;
  bytes.remove_prefix(1);
  if (bytes.size() != leaves.size() * 16) {
    throw Error(Fault::internal, "the ledger holds sums that cannot be read");
  }
  for (std::size_t i = 0; i < leaves.size(); ++i) {
    const auto* sum = reinterpret_cast<const std::byte*>(bytes.data()) + i * 16;
    leaves[i].server = {static_cast<std::uint64_t>(load_int64(sum)),
                        static_cast<std::uint64_t>(load_int64(sum + 8))};
  }
  return true;
}

}  // namespace sluice
