#pragma once
// Everything that knows about threads. The rest of the program is ordinary code that is called here.

#include <atomic>
#include <cstddef>
#include <functional>

namespace sluice {

// Set by whoever wants the work to end, in two stages. Safe to set from a signal handler.
class StopRequest {
 public:
  // No further task begins, those under way are finished.
  void stop() noexcept { stopped_.store(true, std::memory_order_relaxed); }
  // Those under way are given up, too.
  void stop_now() noexcept {
    stop();
    now_.store(true, std::memory_order_relaxed);
  }
  [[nodiscard]] bool stopped() const noexcept { return stopped_.load(std::memory_order_relaxed); }
  [[nodiscard]] bool stopped_now() const noexcept { return now_.load(std::memory_order_relaxed); }

 private:
  std::atomic<bool> stopped_{false};
  std::atomic<bool> now_{false};
};

struct PipelineWork {
  std::size_t lanes = 1;
  std::size_t tasks = 0;

  // Called for task 0, 1, 2, ... (begun in order), on as many threads as there are lanes, with the number
  // of a lane that no other call uses at that time. May block.
  std::function<void(std::size_t lane, std::size_t task)> body;

  // Called once for each finished task, never two at a time, in order of finishing: no lock is needed in
  // there. May be empty.
  std::function<void(std::size_t task)> record;
};

// Runs the work to its end and returns true, or false when it was stopped before the last task began.
// The first exception of a body or of record is thrown here, after what was under way has ended.
bool run_pipeline(const PipelineWork& work, const StopRequest& stop);

// Calls `tick` about every `seconds` on a thread of its own until destroyed, for progress lines.
class Ticker {
 public:
  Ticker(double seconds, std::function<void()> tick);
  ~Ticker();
  Ticker(const Ticker&) = delete;
  Ticker& operator=(const Ticker&) = delete;

 private:
  struct State;
  State* state_;
};

}  // namespace sluice
