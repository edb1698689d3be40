#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <iterator>
#include <span>
#include <string_view>

namespace sluice::datasets {

// A small random number generator whose output is the same everywhere: xoshiro256** 1.0 by D. Blackman
// and S. Vigna (public domain, https://prng.di.unimi.it/xoshiro256starstar.c), its state filled by
// SplitMix64 as its authors advise. The engines of the standard library would do; its distributions
// would not, because each implementation may draw differently.
//
// The order of draws is part of a file's content. C++ leaves the order in which function arguments and
// the two sides of `+` are evaluated to the compiler, so never draw twice in one of those: draw inside
// braces (evaluated left to right), in a chain of calls, or in statements of their own.
class Random {
 public:
  // Independent numbers for each `stream`, so that a change in one table leaves the others alone.
  Random(std::uint64_t seed, std::string_view stream);

  // 64 fresh bits.
  std::uint64_t next() {
    const std::uint64_t result = rotate_left(state_[1] * 5, 7) * 9;
    const std::uint64_t shifted = state_[1] << 17;
    state_[2] ^= state_[0];
    state_[3] ^= state_[1];
    state_[1] ^= state_[2];
    state_[0] ^= state_[3];
    state_[2] ^= shifted;
    state_[3] = rotate_left(state_[3], 45);
    return result;
  }

  // Uniform in [0, bound), without bias. REQUIRES: bound > 0.
  std::uint64_t below(std::uint64_t bound);

  // Uniform in [first, last], both inclusive; the whole of int64 is a legal range.
  std::int64_t between(std::int64_t first, std::int64_t last);

  // True once in `count` draws on average.
  bool one_in(std::uint64_t count) { return below(count) == 0; }

  // A multiple of 2^-53 in [0, 1).
  double fraction() { return static_cast<double>(next() >> 11) * 0x1.0p-53; }

  // An amount with exactly two decimals: whole hundredths in [first, last], over 100. One division,
  // correctly rounded, so it is the double nearest to the decimal and prints back as it.
  double hundredths(std::int64_t first, std::int64_t last) {
    return static_cast<double>(between(first, last)) / 100.0;
  }

  // One element of an array or vector, each equally likely. REQUIRES: it is not empty.
  template <typename Container>
  const auto& pick(const Container& container) {
    return container[static_cast<std::size_t>(below(std::size(container)))];
  }

  // Overwrites `bytes`; the same on machines of either endianness.
  void fill(std::span<std::byte> bytes);

 private:
  static constexpr std::uint64_t rotate_left(std::uint64_t value, int count) {
    return (value << count) | (value >> (64 - count));
  }

  std::array<std::uint64_t, 4> state_;
};

}  // namespace sluice::datasets
