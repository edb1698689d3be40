#pragma once
// The memory of this machine, or of the container that this process is confined to. In bytes; any thread.

#include <cstdint>

namespace sluice {

std::uint64_t machine_memory_bytes();
// What could be had now without swapping, as Linux estimates it; 0 where it does not say.
std::uint64_t available_memory_bytes();

}  // namespace sluice
