#include "io/postgres/machine_memory.h"

#include <unistd.h>

#include <algorithm>
#include <cstdlib>
#include <fstream>
#include <string>

namespace sluice {
namespace {

std::uint64_t within_container(std::uint64_t bytes) {
  std::uint64_t limit = 0;
  std::ifstream file("/sys/fs/cgroup/memory.max");  // a number, or "max"
  return file >> limit ? std::min(bytes, limit) : bytes;
}

}  // namespace

std::uint64_t machine_memory_bytes() {
  return within_container(static_cast<std::uint64_t>(sysconf(_SC_PHYS_PAGES)) *
                          static_cast<std::uint64_t>(sysconf(_SC_PAGESIZE)));
}

std::uint64_t available_memory_bytes() {
  std::uint64_t available = 0;
  std::ifstream meminfo("/proc/meminfo");
  for (std::string line; std::getline(meminfo, line);) {
    if (line.starts_with("MemAvailable:")) available = std::strtoull(line.c_str() + 13, nullptr, 10) * 1024;
  }
  return within_container(available);
}

}  // namespace sluice
