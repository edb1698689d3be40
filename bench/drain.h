#pragma once
// Reading tables as binary COPY streams and looking at nothing: what the server, the socket and libpq cost
// when nobody hashes. The floor under every read-back.

#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

#include "bench/floor_session.h"

namespace sluice::bench {

struct Drained {
  FloorTime time;
  std::size_t tasks = 0;
  std::uint64_t rows = 0;
  std::uint64_t bytes = 0;
};

// In tasks of 4096 blocks, as verification has them, in the order of the tables. Throws std::runtime_error
// with what the server said.
Drained drain(const std::string& conninfo, const std::vector<std::string>& tables, std::size_t connections);

}  // namespace sluice::bench
