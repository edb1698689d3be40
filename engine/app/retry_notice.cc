#include "engine/app/retry_notice.h"

#include <fmt/format.h>

namespace sluice {

void RetryNotice::say(const Retries::Notice& notice) {
  constexpr auto kSilence = std::chrono::seconds(2);
  const std::lock_guard lock(mutex_);
  const auto now = std::chrono::steady_clock::now();
  if (said_ && now - *said_ < kSilence) return;
  said_ = now;
  const Error& error = *notice.error;
  LogEvent event = event_of(LogLevel::warning, error);
  event.message =
      fmt::format("{}{}; trying again in {:.1f} s", error.what(),
                  error.sqlstate().empty() ? "" : " [" + error.sqlstate() + "]", notice.wait_seconds);
  event.attempt = static_cast<unsigned>(notice.attempt);
  console_.note(event);
}

}  // namespace sluice
