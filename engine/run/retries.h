#pragma once
// Trying again what a server refused for the moment: it restarts, a network dropped the connection, a disk is
// full until somebody makes room.

#include <atomic>
#include <chrono>
#include <cstddef>
#include <functional>
#include <type_traits>
#include <utility>

#include "engine/model/error.h"
#include "engine/run/range_pipeline.h"

namespace sluice {

// Shared by all lanes, any thread may call. Waits 0.1 s at first, then twice as long each time, up to 10 s, a
// part of it random, so that lanes do not come back all at once.
class Retries {
 public:
  struct Notice {
    const Error* error = nullptr;  // borrowed for the call
    std::size_t attempt = 0;       // the one that failed, from 1
    double wait_seconds = 0;       // until the next one
  };
  using OnRetry = std::function<void(const Notice&)>;

  // Gives up when neither the body nor anybody else's has succeeded for `patience`; zero gives up at once.
  // `on_retry` is called by the thread that will try again; it may be empty.
  Retries(std::chrono::milliseconds patience, const StopRequest& stop, OnRetry on_retry);

  // Calls `body` until it returns, or fails for good: with an Error that no waiting mends (Error::may_pass),
  // after the patience, or when stopped, which is Fault::interrupted. REQUIRES: a body that failed may run
  // again from its beginning. It may take the number of the attempt, from 1.
  template <class Body>
  auto run(Body&& body) {
    Clock::time_point failing_since;
    for (std::size_t attempt = 1;; ++attempt) {
      try {
        if constexpr (std::is_invocable_v<Body, std::size_t>) {
          return succeeded(body, attempt);
        } else {
          return succeeded([&](std::size_t) { return body(); }, attempt);
        }
      } catch (const Error& error) {
        if (attempt == 1) failing_since = Clock::now();
        if (!wait(error, attempt, failing_since)) throw;
      }
    }
  }

  // Something has succeeded that no body returns from: a part of one.
  void note_progress();

  // Failures so far that were tried again.
  [[nodiscard]] std::size_t count() const { return count_.load(std::memory_order_relaxed); }

 private:
  using Clock = std::chrono::steady_clock;

  template <class Body>
  auto succeeded(Body&& body, std::size_t attempt) {
    if constexpr (std::is_void_v<decltype(body(attempt))>) {
      body(attempt);
      note_progress();
    } else {
      auto result = body(attempt);
      note_progress();
      return result;
    }
  }

  // False when the error is for good. Throws Error (interrupted) when stopped.
  bool wait(const Error& error, std::size_t attempt, Clock::time_point failing_since);

  const std::chrono::milliseconds patience_;
  const StopRequest& stop_;
  const OnRetry on_retry_;
  std::atomic<Clock::rep> progress_{0};  // when something succeeded last
  std::atomic<std::size_t> count_{0};
};

}  // namespace sluice
