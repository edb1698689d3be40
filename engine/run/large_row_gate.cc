#include "engine/run/large_row_gate.h"

#include <algorithm>

namespace sluice {

LargeRowGate::LargeRowGate(std::uint64_t bytes_max, std::chrono::milliseconds patience)
    : bytes_max_(std::max<std::uint64_t>(bytes_max, 1)), patience_(patience) {}

std::uint64_t LargeRowGate::take(std::uint64_t bytes) {
  const std::uint64_t share = std::clamp<std::uint64_t>(bytes, 1, bytes_max_);
  std::unique_lock lock(mutex_);
  const std::uint64_t number = next_number_++;
  changed_.wait(lock, [&] { return served_ == number; });
  // Who went in without room may be more than the whole.
  const auto has_room = [&] { return bytes_ == 0 || bytes_ + share <= bytes_max_; };
  while (!has_room()) {
    const std::uint64_t returned = returned_;
    if (!changed_.wait_for(lock, patience_, [&] { return returned_ != returned; })) break;
  }
  bytes_ += share;
  ++served_;
  changed_.notify_all();
  return share;
}

void LargeRowGate::give_back(std::uint64_t bytes) noexcept {
  const std::scoped_lock lock(mutex_);
  bytes_ -= bytes;
  ++returned_;
  changed_.notify_all();
}

std::uint64_t LargeRowGate::waiting() {
  const std::scoped_lock lock(mutex_);
  return next_number_ - served_;
}

}  // namespace sluice
