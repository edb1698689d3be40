#include "engine/app/canceller.h"

#include <thread>

namespace sluice {
namespace {

constexpr double kLookSeconds = 0.05;
// A lane may have begun its next statement just then, and a cancellation that comes between two ends nothing.
constexpr auto kCancelAgain = std::chrono::seconds(1);

}  // namespace

Canceller::Canceller(StopRequest& stop, std::chrono::milliseconds grace)
    : stop_(stop), grace_(grace), ticker_(kLookSeconds, [this] { look(); }) {}

void Canceller::watch(const Connection& connection) {
  const std::lock_guard lock(mutex_);
  switches_.push_back(connection.cancel_switch());
}

void Canceller::look() {
  if (!stop_.stopped()) return;
  const auto now = std::chrono::steady_clock::now();
  if (!stopped_at_) stopped_at_ = now;
  if (!stop_.stopped_now() && now - *stopped_at_ < grace_) return;
  stop_.stop_now();
  if (cancelled_at_ && now - *cancelled_at_ < kCancelAgain) return;
  cancelled_at_ = now;
  std::vector<std::shared_ptr<CancelSwitch>> switches;
  {
    const std::lock_guard lock(mutex_);
    switches = switches_;
  }
  // Detached, since a server that is gone would hold up the end of the program: connecting to it takes
  // minutes.
  std::thread([switches = std::move(switches)] {
    for (const std::shared_ptr<CancelSwitch>& each : switches) each->cancel();
  }).detach();
}

}  // namespace sluice
