#include "verify/row_digest.h"

// Inlined, because most rows are short and the call would cost as much as the hash.
#define XXH_INLINE_ALL
#include <xxhash.h>

namespace sluice {

Digest digest_of_bytes(std::span<const std::byte> bytes) {
  const XXH128_hash_t hash = XXH3_128bits(bytes.data(), bytes.size());
  return {hash.high64, hash.low64};
}

Digest digest_of_row(std::span<const std::byte> tuple) { return digest_of_bytes(tuple); }

Digest digest_of_row(std::span<const std::span<const std::byte>> pieces) {
  XXH3_state_t state;
  XXH3_128bits_reset(&state);
  for (const std::span<const std::byte> piece : pieces) {
    XXH3_128bits_update(&state, piece.data(), piece.size());
  }
  const XXH128_hash_t hash = XXH3_128bits_digest(&state);
  return {hash.high64, hash.low64};
}

std::uint64_t hash_of_key(std::span<const std::byte> key) { return XXH3_64bits(key.data(), key.size()); }

}  // namespace sluice
