#include "verify/row_digest.h"

#include <array>

// Inlined, because most rows are short and the call would cost as much as the hash.
#define XXH_INLINE_ALL
#include <xxhash.h>

namespace sluice {

Digest digest_of_bytes(std::span<const std::byte> bytes) {
  const XXH128_hash_t hash = XXH3_128bits(bytes.data(), bytes.size());
  return {hash.high64, hash.low64};
}

Digest digest_of_row(std::span<const std::byte> tuple) { return digest_of_bytes(tuple); }

struct DigestStream::State {
  XXH3_state_t hash;
};

DigestStream::DigestStream() : state_(std::make_unique<State>()) { XXH3_128bits_reset(&state_->hash); }
DigestStream::~DigestStream() = default;
DigestStream::DigestStream(DigestStream&&) noexcept = default;
DigestStream& DigestStream::operator=(DigestStream&&) noexcept = default;

void DigestStream::add(std::span<const std::byte> bytes) {
  XXH3_128bits_update(&state_->hash, bytes.data(), bytes.size());
}

Digest DigestStream::finish() {
  const XXH128_hash_t hash = XXH3_128bits_digest(&state_->hash);
  XXH3_128bits_reset(&state_->hash);
  return {hash.high64, hash.low64};
}

Digest digest_of_row(std::span<const std::span<const std::byte>> pieces) {
  DigestStream stream;
  for (const std::span<const std::byte> piece : pieces) stream.add(piece);
  return stream.finish();
}

namespace {

DigestStream begin_field(bool null) {
  const std::array<std::byte, 1> presence = {null ? std::byte{0} : std::byte{1}};
  DigestStream stream;
  stream.add(presence);
  return stream;
}

}  // namespace

DigestStream begin_field() { return begin_field(false); }

Digest digest_of_field(std::span<const std::byte> value, bool null) {
  DigestStream stream = begin_field(null);
  stream.add(value);
  return stream.finish();
}

std::uint64_t hash_of_key(std::span<const std::byte> key) { return XXH3_64bits(key.data(), key.size()); }

}  // namespace sluice
