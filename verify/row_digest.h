#pragma once
// XXH3-128 of rows and of tree nodes. It detects accidents (2^-128 per leaf), not adversaries: XXH3 is
// not a cryptographic hash, and sums of it can be forged. See verify/DIGEST.md.

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>

#include "engine/model/digest.h"

namespace sluice {

// REQUIRES: a whole binary COPY tuple, field count included.
Digest digest_of_row(std::span<const std::byte> tuple);

// The same digest of a tuple that lies in pieces.
Digest digest_of_row(std::span<const std::span<const std::byte>> pieces);

// The same of bytes that come one after the other and are not in memory at once. One thread at a time.
class DigestStream {
 public:
  DigestStream();
  ~DigestStream();
  DigestStream(DigestStream&&) noexcept;
  DigestStream& operator=(DigestStream&&) noexcept;

  void add(std::span<const std::byte> bytes);
  // Of what was added; starts anew.
  Digest finish();

 private:
  struct State;
  std::unique_ptr<State> state_;
};

// Of one field of a tuple, for finding the columns in which two rows differ: NULL is not an empty value.
Digest digest_of_field(std::span<const std::byte> value, bool null);
// A stream for the bytes of a field that is not NULL.
DigestStream begin_field();

Digest digest_of_bytes(std::span<const std::byte> bytes);

// 64 bits, for choosing leaf boundaries and buckets.
std::uint64_t hash_of_key(std::span<const std::byte> key);

}  // namespace sluice
