#pragma once
// The number that PostgreSQL's hash_record_extended(ROW(a, b, ...), seed) gives for a row, computed from the
// binary COPY tuple of the row: the server hashes what it stores, we hash what we sent, and no row travels
// back.
//
// The definition is PostgreSQL's, the same since hash_record_extended appeared in version 14. The hashes of
// fields can hardly change, because partitions by hash rest on them; tests/pg/server_hash_test.cc would tell.
//   row      src/backend/utils/adt/rowtypes.c: from 0 on, times 31 plus the hash of the next field; a NULL
//            counts as 0
//   bytes    src/common/hashfn.c: lookup3 of Bob Jenkins (public domain), seeded, 64 bits of it
//   fields   src/backend/access/hash/hashfunc.c, with date.c and timestamp.c:
//              text, varchar, bytea, uuid        their bytes
//              smallint, integer, date, boolean  as 32 bits
//              bigint, time, timestamp[tz]       as 32 bits, the upper half folded into the lower one
//              real, double precision            the eight bytes of a double; the seed for 0.0 and -0.0, and
//                                                one NaN for all
//
// What it is worth. Two rows that differ by accident have equal hashes with a probability of 2^-64, but:
//   - hashing follows the server's =, so 0.0 is -0.0 and all NaN are one;
//   - of a bigint, time or timestamp only 32 bits count. One flipped bit always shows, but other accidents go
//     unseen once in 2^32, and some numbers are alike by construction: 1 and 4294967296;
//   - text counts by its bytes under a deterministic collation only. Others hash the collation's key: whoever
//     asks the server must have looked (pg_collation.collisdeterministic), the plan does not know;
//   - a server on a big-endian machine computes other numbers.

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "engine/model/plan.h"

namespace sluice {

// The second argument of hash_record_extended, "sluice" in ASCII. Not 0, because 0.0 hashes to the seed and
// would be no different from NULL, which counts as 0. Odd and large, so that several columns of either do not
// cancel out.
inline constexpr std::int64_t kServerHashSeed = 0x736c75696365;

// What a ROW of PostgreSQL takes.
inline constexpr std::size_t kServerHashColumnsMax = 1664;

// Why the rows of this table cannot be hashed here, as a sentence; empty when they can.
std::string why_no_server_hash(const TablePlan& plan);

// Hashes the rows of one table. Small enough to copy; never allocates after that.
class ServerHasher {
 public:
  // REQUIRES: why_no_server_hash(plan) has nothing against it.
  explicit ServerHasher(const TablePlan& plan);

  // REQUIRES: a whole binary COPY tuple of all columns of the plan, field count included. Throws Error
  // (Fault::internal) when it is not.
  [[nodiscard]] std::uint64_t hash(std::span<const std::byte> tuple) const;
  // The same of a tuple that lies in pieces, cut anywhere. No value is copied, however large.
  [[nodiscard]] std::uint64_t hash(std::span<const std::span<const std::byte>> pieces) const;

 private:
  std::vector<std::uint64_t (*)(std::span<const std::byte> field)> fields_;
};

}  // namespace sluice
