#include "engine/app/memory_budget.h"

#include <fmt/format.h>
#include <malloc.h>

#include <algorithm>

#include "engine/model/error.h"

namespace sluice {
namespace {

constexpr std::uint64_t kMega = std::uint64_t{1} << 20;

// Measured as report.json has it, with PostgreSQL's libpq of Debian 12 (which brings TLS, Kerberos and LDAP):
// a file of one row takes 15.9 MB with one lane, 16.2 MB with four, and 64 connections for indexes 4 MB more.
constexpr std::uint64_t kProcessBytes = 20 * kMega;

// A lane with small rows takes 0.6 MB (2.2 million rows over 32 lanes: 32.9 MB). It takes most with rows just
// below kLargeRowBytes that are converted: the record, the encoded row in a buffer that doubles, libpq's two
// buffers of one message each, and what malloc keeps between them.
constexpr std::uint64_t kLaneBytesMin = 4 * kMega;

// With SQLite's usual cache and a larger send buffer.
constexpr std::uint64_t kLaneBytesFull = 8 * kMega;

// Of a lane that reads and compares, and sends nothing: libpq's buffers, and a row of each side.
constexpr std::uint64_t kReaderBytes = kMega + kMega / 2;

}  // namespace

MemoryBudget budget_of(std::uint64_t limit_bytes, std::size_t jobs, std::uint64_t more_per_lane) {
  MemoryBudget budget;
  budget.lanes = jobs;
  if (limit_bytes == 0) return budget;
  const std::uint64_t lane_bytes = kLaneBytesMin + more_per_lane;
  const std::uint64_t least = kProcessBytes + lane_bytes;
  if (limit_bytes < least) {
    throw Error(Fault::usage, fmt::format("--memory-limit is too low: one lane takes {}MiB", least / kMega),
                fmt::format("--memory-limit {}MiB, or more for more lanes", least / kMega));
  }
  budget.limit_bytes = limit_bytes;
  std::uint64_t for_lanes = limit_bytes - kProcessBytes;
  budget.lanes = static_cast<std::size_t>(std::min<std::uint64_t>(jobs, for_lanes / lane_bytes));
  for_lanes -= budget.lanes * more_per_lane;
  const bool full = for_lanes / budget.lanes >= kLaneBytesFull;
  const std::uint64_t left = for_lanes - budget.lanes * (full ? kLaneBytesFull : kLaneBytesMin);
  budget.cache_bytes = full ? 2 * kMega : kMega / 4;
  budget.send_bytes = full ? 128 * 1024 : 64 * 1024;
  budget.reject_bytes_max = full ? kMega : kMega / 4;
  // More digests than that would not make it faster by much.
  const std::uint64_t for_digests = std::min(left / 2, 128 * kMega);
  budget.large_row_bytes = left - for_digests;
  budget.digest_bytes = for_digests + budget.lanes * (kLaneBytesMin - kReaderBytes);
  return budget;
}

void give_back_freed_memory() {
#ifdef __GLIBC__
  // Setting either keeps glibc from raising both as it goes.
  mallopt(M_MMAP_THRESHOLD, 128 * 1024);
  mallopt(M_TRIM_THRESHOLD, 128 * 1024);
#endif
}

}  // namespace sluice
