#include "support/seed.h"

#include <cstdio>
#include <cstdlib>
#include <random>
#include <string>

namespace sluice::testing {
namespace {

std::uint64_t choose_and_print() {
  std::uint64_t seed = 0;
  if (const char* given = std::getenv("SLUICE_TEST_SEED")) {
    seed = std::stoull(given);
  } else {
    std::random_device random;
    seed = (std::uint64_t{random()} << 32) | random();
  }
  std::printf("random inputs: replay with SLUICE_TEST_SEED=%llu\n", static_cast<unsigned long long>(seed));
  std::fflush(stdout);
  return seed;
}

}  // namespace

std::uint64_t test_seed() {
  static const std::uint64_t seed = choose_and_print();
  return seed;
}

}  // namespace sluice::testing
