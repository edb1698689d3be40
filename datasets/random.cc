#include "datasets/random.h"

#include <cassert>

namespace sluice::datasets {

namespace {

// FNV-1a: http://www.isthe.com/chongo/tech/comp/fnv/
std::uint64_t hash_of(std::string_view text) {
  std::uint64_t hash = 0xcbf29ce484222325;
  for (const char character : text) {
    hash = (hash ^ static_cast<unsigned char>(character)) * 0x100000001b3;
  }
  return hash;
}

// https://prng.di.unimi.it/splitmix64.c
std::uint64_t split_mix(std::uint64_t& state) {
  std::uint64_t mixed = (state += 0x9e3779b97f4a7c15);
  mixed = (mixed ^ (mixed >> 30)) * 0xbf58476d1ce4e5b9;
  mixed = (mixed ^ (mixed >> 27)) * 0x94d049bb133111eb;
  return mixed ^ (mixed >> 31);
}

}  // namespace

Random::Random(std::uint64_t seed, std::string_view stream) {
  // Mixed before the stream's hash is added: neighbouring seeds must not give neighbouring states.
  std::uint64_t state = split_mix(seed) ^ hash_of(stream);
  for (std::uint64_t& word : state_) {
    word = split_mix(state);
  }
}

// D. Lemire, "Fast Random Integer Generation in an Interval", ACM TOMACS 29(1), 2019.
std::uint64_t Random::below(std::uint64_t bound) {
  assert(bound > 0);
  __extension__ using Wide = unsigned __int128;
  Wide product = static_cast<Wide>(next()) * bound;
  if (static_cast<std::uint64_t>(product) < bound) {
    const std::uint64_t threshold = (0 - bound) % bound;
    while (static_cast<std::uint64_t>(product) < threshold) {
      product = static_cast<Wide>(next()) * bound;
    }
  }
  return static_cast<std::uint64_t>(product >> 64);
}

std::int64_t Random::between(std::int64_t first, std::int64_t last) {
  assert(first <= last);
  // Unsigned arithmetic wraps where the signed one would overflow.
  const std::uint64_t span = static_cast<std::uint64_t>(last) - static_cast<std::uint64_t>(first);
  const std::uint64_t offset = span == UINT64_MAX ? next() : below(span + 1);
  return static_cast<std::int64_t>(static_cast<std::uint64_t>(first) + offset);
}

void Random::fill(std::span<std::byte> bytes) {
  while (bytes.size() >= 8) {
    const std::uint64_t word = next();
    for (std::size_t index = 0; index < 8; ++index) {
      bytes[index] = static_cast<std::byte>(word >> (8 * index));
    }
    bytes = bytes.subspan(8);
  }
  if (!bytes.empty()) {
    std::uint64_t word = next();
    for (std::byte& byte : bytes) {
      byte = static_cast<std::byte>(word);
      word >>= 8;
    }
  }
}

}  // namespace sluice::datasets
