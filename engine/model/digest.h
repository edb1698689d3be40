#pragma once
// Digests as values. How they are computed is verify/'s business; see verify/DIGEST.md.

#include <cstdint>
#include <string>
#include <vector>

namespace sluice {

// An unsigned 128-bit number; addition is modulo 2^128, so sums do not depend on order.
struct Digest {
  std::uint64_t high = 0;
  std::uint64_t low = 0;

  Digest& operator+=(const Digest& other) {
    low += other.low;
    high += other.high + (low < other.low ? 1 : 0);
    return *this;
  }
  bool operator==(const Digest&) const = default;
};

// 32 lower-case hex digits, most significant first. parse_digest throws Error (Fault::internal).
std::string to_hex(const Digest& digest);
Digest parse_digest(const std::string& hex);

// A multiset of rows.
struct RowSum {
  Digest sum;
  std::uint64_t rows = 0;

  RowSum& operator+=(const RowSum& other) {
    sum += other.sum;
    rows += other.rows;
    return *this;
  }
  bool operator==(const RowSum&) const = default;
};

// A signed 64-bit number as a summand.
inline Digest digest_of_signed(std::int64_t value) {
  return {value < 0 ? UINT64_MAX : 0, static_cast<std::uint64_t>(value)};
}

// The part of one leaf that lies in one range.
//   keyed tables:  `tag` is the key that closes the leaf; the last part of a range may be open
//   other tables:  `tag` is the bucket's number
struct LeafPart {
  std::int64_t tag = 0;
  bool open = false;
  RowSum rows;
  // The sum of the server's own hashes of the rows, as signed numbers; zero unless it was asked for.
  Digest server{};
  bool operator==(const LeafPart&) const = default;
};

struct RangeDigest {
  RowSum total;
  std::vector<LeafPart> leaves;
  bool operator==(const RangeDigest&) const = default;
};

}  // namespace sluice
