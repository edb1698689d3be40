#pragma once
// Everything that knows about threads. The rest of the program is ordinary code that is called here.

#include <atomic>
#include <cstddef>
#include <functional>

namespace sluice {

// Set once by whoever wants the work to end: no further task begins, those under way are finished.
class StopRequest {
 public:
  void stop() noexcept { stopped_.store(true, std::memory_order_relaxed); }
  [[nodiscard]] bool stopped() const noexcept { return stopped_.load(std::memory_order_relaxed); }

 private:
  std::atomic<bool> stopped_{false};
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
