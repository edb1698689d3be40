#pragma once
// A hash of a row that PostgreSQL can compute with functions it has, and that we compute from the binary COPY
// tuple of the row: the server hashes what it stores, we hash what we sent, and no row travels back.
//
//   row      the integer 1, hashed with a seed: the exclusive or of its fields' hashes, each with a seed of
//   its
//            column; a NULL counts as 0. The exclusive or alone would not do for rows that are added up: two
//            values that change places cancel when no bit differs in both their hashes and those of their
//            keys
//   fields   the functions behind PostgreSQL's hash partitioning, which is why they can hardly change
//            (src/backend/access/hash/hashfunc.c, with date.c, timestamp.c and uuid.c):
//              text, varchar, bytea, uuid        their bytes
//              smallint, integer, date, boolean  as 32 bits
//              bigint, time, timestamp[tz]       as 32 bits, the upper half folded into the lower one
//              real, double precision            the eight bytes of a double; the seed for 0.0 and -0.0, and
//                                                one NaN for all
//   bytes    src/common/hashfn.c: lookup3 of Bob Jenkins (public domain), seeded, 64 bits of it
//
// Not hash_record_extended() over the whole row, which would say the same in one word: it costs 100 ns a
// field, more than sending the row back does (bench/README.md), because it looks the type up and takes the
// row apart anew each time. tests/pg/server_hash_test.cc holds both sides against each other on every major
// version.
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

// Raised when the hash of any row changes: sums that the ledger has of another are as good as none. 1 was the
// exclusive or alone.
inline constexpr std::uint8_t kServerHashFormat = 2;

// The seed of the first column, "sluice" in ASCII; those of others come from splitmix64. Never 0, because 0.0
// hashes to the seed and would be no different from NULL.
inline constexpr std::int64_t kServerHashSeed = 0x736c75696365;

// Why the rows of this table cannot be hashed here, as a sentence; empty when they can.
std::string why_no_server_hash(const TablePlan& plan);

// The same hash as an SQL expression over the columns of the table, a bigint. It needs pg_catalog on the
// search path. REQUIRES: why_no_server_hash(plan) has nothing against it.
std::string server_hash_sql(const TablePlan& plan);

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
  struct FieldHasher {
    std::uint64_t (*hash)(std::span<const std::byte> field, std::uint64_t seed);
    std::uint64_t seed;
  };
  std::vector<FieldHasher> fields_;
};

}  // namespace sluice
