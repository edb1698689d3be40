#include "engine/offload/rate_limit.h"

#include <algorithm>
#include <thread>

namespace sluice {

void RateLimit::pass(std::uint64_t bytes, const std::function<bool()>& stopped) {
  if (bytes_per_second_ == 0) return;
  Clock::time_point turn;
  {
    const std::lock_guard lock(mutex_);
    const double seconds = static_cast<double>(bytes) / static_cast<double>(bytes_per_second_);
    turn = std::max(free_, Clock::now()) +
           std::chrono::duration_cast<Clock::duration>(std::chrono::duration<double>(seconds));
    free_ = turn;
  }
  while (!stopped()) {
    const Clock::time_point now = Clock::now();
    if (now >= turn) return;
    std::this_thread::sleep_for(std::min<Clock::duration>(turn - now, std::chrono::milliseconds(100)));
  }
}

}  // namespace sluice
