#pragma once
// So many bytes a second over all threads together.

#include <chrono>
#include <cstdint>
#include <functional>
#include <mutex>

namespace sluice {

// Any thread.
class RateLimit {
 public:
  // 0: none.
  explicit RateLimit(std::uint64_t bytes_per_second) : bytes_per_second_(bytes_per_second) {}

  // Waits until these bytes and those before them have had their time. Not longer than until `stopped`.
  void pass(std::uint64_t bytes, const std::function<bool()>& stopped);

 private:
  using Clock = std::chrono::steady_clock;

  const std::uint64_t bytes_per_second_;
  std::mutex mutex_;
  Clock::time_point free_{};  // when all that has passed has had its time
};

}  // namespace sluice
