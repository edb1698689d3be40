#include "engine/run/retries.h"

#include <algorithm>
#include <random>
#include <thread>

namespace sluice {
namespace {

constexpr auto kFirstWait = std::chrono::milliseconds(100);
constexpr auto kLongestWait = std::chrono::milliseconds(10'000);
constexpr auto kStopNoticedWithin = std::chrono::milliseconds(50);

std::chrono::milliseconds wait_after(std::size_t attempt) {
  auto wait = kFirstWait;
  for (std::size_t i = 1; i < attempt && wait < kLongestWait; ++i) wait *= 2;
  wait = std::min(wait, kLongestWait);
  thread_local std::minstd_rand random(std::random_device{}());
  return wait / 2 + std::chrono::milliseconds(std::uniform_int_distribution<std::chrono::milliseconds::rep>(
                        0, wait.count() / 2)(random));
}

}  // namespace

Retries::Retries(std::chrono::milliseconds patience, const StopRequest& stop, OnRetry on_retry)
    : patience_(patience), stop_(stop), on_retry_(std::move(on_retry)) {}

void Retries::note_progress() {
  progress_.store(Clock::now().time_since_epoch().count(), std::memory_order_relaxed);
}

bool Retries::wait(const Error& error, std::size_t attempt, Clock::time_point failing_since) {
  if (!error.may_pass() || patience_.count() == 0) return false;
  const auto interrupt_when_stopped = [&] {
    if (!stop_.stopped()) return;
    throw Error(Fault::interrupted, std::string("stopped while waiting for the server: ") + error.what(),
                "run the same command again to go on");
  };
  interrupt_when_stopped();
  const Clock::time_point progress{Clock::duration(progress_.load(std::memory_order_relaxed))};
  const Clock::time_point end = std::max(failing_since, progress) + patience_;
  const Clock::time_point now = Clock::now();
  if (now >= end) return false;
  const auto wanted = wait_after(attempt);
  const Clock::time_point again = std::min<Clock::time_point>(now + wanted, end);
  count_.fetch_add(1, std::memory_order_relaxed);
  if (on_retry_) on_retry_({&error, attempt, std::chrono::duration<double>(again - now).count()});
  while (Clock::now() < again) {
    interrupt_when_stopped();
    std::this_thread::sleep_for(std::min<Clock::duration>(
        kStopNoticedWithin, std::max(again - Clock::now(), Clock::duration::zero())));
  }
  return true;
}

}  // namespace sluice
