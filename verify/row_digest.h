#pragma once
// XXH3-128 of rows and of tree nodes. It detects accidents (2^-128 per leaf), not adversaries: XXH3 is
// not a cryptographic hash, and sums of it can be forged. See verify/DIGEST.md.

#include <cstddef>
#include <cstdint>
#include <span>

#include "engine/model/digest.h"

namespace sluice {

// REQUIRES: a whole binary COPY tuple, field count included.
Digest digest_of_row(std::span<const std::byte> tuple);

// The same digest of a tuple that lies in pieces.
Digest digest_of_row(std::span<const std::span<const std::byte>> pieces);

Digest digest_of_bytes(std::span<const std::byte> bytes);

// 64 bits, for choosing leaf boundaries and buckets.
std::uint64_t hash_of_key(std::span<const std::byte> key);

}  // namespace sluice
