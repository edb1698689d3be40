#pragma once

#include <cstdint>

namespace sluice::testing {

// The seed of this test program's random inputs: SLUICE_TEST_SEED if set, else a random one. Printed the
// first time it is asked for, so that a failure can be replayed. The same value for the whole process.
std::uint64_t test_seed();

}  // namespace sluice::testing
