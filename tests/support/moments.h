#pragma once
// When to do harm to a process that a test does not see into.

#include <algorithm>
#include <chrono>
#include <cstdint>
#include <random>

namespace sluice::testing {

// Moments at random between the beginning and the end of what takes about as long each time. How long that is
// changes with whatever else the machine does, so say of each moment whether it came before the end.
class Moments {
 public:
  explicit Moments(std::chrono::duration<double> whole = {})
      : whole_(std::chrono::ceil<std::chrono::milliseconds>(whole)) {}

  std::chrono::milliseconds next(std::mt19937_64& random) {
    last_ = std::chrono::milliseconds(
        std::uniform_int_distribution<std::int64_t>(1, std::max<std::int64_t>(whole_.count(), 1))(random));
    return last_;
  }
  void last_came_in_time(bool in_time) {
    whole_ = in_time ? whole_ + whole_ / 20 + std::chrono::milliseconds(1) : last_;
  }

 private:
  std::chrono::milliseconds whole_;  // as far as we know now
  std::chrono::milliseconds last_{};
};

}  // namespace sluice::testing
