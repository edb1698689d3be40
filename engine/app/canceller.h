#pragma once
// The second stage of a stop: what is under way on the server is cancelled, when the user asks once more or
// the time of grace is over. A statement whose client merely dies would go on: an index of an hour, for
// nobody.

#include <chrono>
#include <memory>
#include <mutex>
#include <optional>
#include <vector>

#include "engine/run/range_pipeline.h"
#include "io/postgres/connection.h"

namespace sluice {

// Watches on a thread of its own until destroyed.
class Canceller {
 public:
  // `stop` is borrowed, and told when the grace is over.
  Canceller(StopRequest& stop, std::chrono::milliseconds grace);

  // Any thread.
  void watch(const Connection& connection);

 private:
  void look();

  StopRequest& stop_;
  const std::chrono::milliseconds grace_;
  std::optional<std::chrono::steady_clock::time_point> stopped_at_;    // the watching thread's
  std::optional<std::chrono::steady_clock::time_point> cancelled_at_;  // the watching thread's
  std::mutex mutex_;                                                   // of what follows
  std::vector<std::shared_ptr<CancelSwitch>> switches_;
  const Ticker ticker_;  // last, since its thread uses the others
};

}  // namespace sluice
