#pragma once
// What the user hears of retries: one line, and not one of every lane, since a server that goes down takes
// all of them with it.

#include <chrono>
#include <mutex>
#include <optional>

#include "engine/app/console.h"
#include "engine/run/retries.h"

namespace sluice {

// Any thread. The console must outlive it.
class RetryNotice {
 public:
  explicit RetryNotice(Console& console) : console_(console) {}

  void say(const Retries::Notice& notice);

 private:
  Console& console_;
  std::mutex mutex_;  // of what follows
  std::optional<std::chrono::steady_clock::time_point> said_;
};

}  // namespace sluice
