#include "engine/run/range_pipeline.h"

#include <tbb/concurrent_queue.h>
#include <tbb/global_control.h>
#include <tbb/parallel_pipeline.h>
#include <tbb/task_arena.h>

#include <cassert>
#include <chrono>
#include <condition_variable>
#include <mutex>
#include <stop_token>
#include <thread>
#include <utility>

namespace sluice {
namespace {

// A lane number for the time of one call.
class LaneLoan {
 public:
  explicit LaneLoan(tbb::concurrent_queue<std::size_t>& idle) : idle_(idle) {
    // There are as many tokens as lanes, so one is always free.
    [[maybe_unused]] const bool found = idle_.try_pop(lane_);
    assert(found);
  }
  ~LaneLoan() { idle_.push(lane_); }
  LaneLoan(const LaneLoan&) = delete;
  LaneLoan& operator=(const LaneLoan&) = delete;

  [[nodiscard]] std::size_t lane() const { return lane_; }

 private:
  tbb::concurrent_queue<std::size_t>& idle_;
  std::size_t lane_ = 0;
};

}  // namespace

bool run_pipeline(const PipelineWork& work, const StopRequest& stop) {
  if (work.tasks == 0) return true;
  tbb::concurrent_queue<std::size_t> idle;
  for (std::size_t lane = 0; lane < work.lanes; ++lane) idle.push(lane);

  std::size_t next = 0;
  const auto feed =
      tbb::make_filter<void, std::size_t>(tbb::filter_mode::serial_in_order, [&](tbb::flow_control& flow) {
        if (next < work.tasks && !stop.stopped()) return next++;
        flow.stop();
        return std::size_t{0};
      });
  const auto run =
      tbb::make_filter<std::size_t, std::size_t>(tbb::filter_mode::parallel, [&](std::size_t task) {
        const LaneLoan loan(idle);
        work.body(loan.lane(), task);
        return task;
      });
  // Out of order, because a slow range must not hold back finished ones; still one at a time.
  const auto record =
      tbb::make_filter<std::size_t, void>(tbb::filter_mode::serial_out_of_order, [&](std::size_t task) {
        if (work.record) work.record(task);
      });

  // A lane sleeps in its socket, so more lanes than cores are wanted. oneTBB needs both of these for that.
  const tbb::global_control allow(tbb::global_control::max_allowed_parallelism, work.lanes + 1);
  tbb::task_arena arena(static_cast<int>(work.lanes));
  arena.execute([&] { tbb::parallel_pipeline(work.lanes, feed & run & record); });
  return next == work.tasks;
}

struct Ticker::State {
  std::mutex mutex;
  std::condition_variable_any wake;
  std::jthread thread;
};

Ticker::Ticker(double seconds, std::function<void()> tick) : state_(new State) {
  state_->thread =
      std::jthread([state = state_, seconds, tick = std::move(tick)](const std::stop_token& stop) {
        const auto interval = std::chrono::duration<double>(seconds);
        std::unique_lock lock(state->mutex);
        while (!state->wake.wait_for(lock, stop, interval, [&] { return stop.stop_requested(); })) tick();
      });
}

Ticker::~Ticker() {
  state_->thread.request_stop();
  state_->thread.join();
  delete state_;
}

}  // namespace sluice
