#include "engine/run/range_pipeline.h"

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
#include <vector>

namespace sluice {
namespace {

// The lanes that no call uses. A lock for each range, not for each row: it costs nothing here.
class IdleLanes {
 public:
  explicit IdleLanes(std::size_t lanes) {
    for (std::size_t lane = lanes; lane > 0; --lane) idle_.push_back(lane - 1);
  }

  std::size_t take() {
    const std::lock_guard lock(mutex_);
    assert(!idle_.empty());  // there are as many tokens as lanes
    const std::size_t lane = idle_.back();
    idle_.pop_back();
    return lane;
  }

  void give_back(std::size_t lane) {
    const std::lock_guard lock(mutex_);
    idle_.push_back(lane);
  }

 private:
  std::mutex mutex_;
  std::vector<std::size_t> idle_;
};

// A lane for the time of one call.
class LaneLoan {
 public:
  explicit LaneLoan(IdleLanes& idle) : idle_(idle), lane_(idle.take()) {}
  ~LaneLoan() { idle_.give_back(lane_); }
  LaneLoan(const LaneLoan&) = delete;
  LaneLoan& operator=(const LaneLoan&) = delete;

  [[nodiscard]] std::size_t lane() const { return lane_; }

 private:
  IdleLanes& idle_;
  const std::size_t lane_;
};

// oneTBB orders the calls of one task, and everything before and after the pipeline, inside a library that
// is not built for ThreadSanitizer, which then sees races where there are none. This says the same order
// in a way it understands. Nothing in other builds.
class VisibleOrder {
 public:
  VisibleOrder() { mark(); }
  ~VisibleOrder() { mark(); }
  VisibleOrder(const VisibleOrder&) = delete;
  VisibleOrder& operator=(const VisibleOrder&) = delete;

 private:
  static void mark() noexcept {
#ifdef __SANITIZE_THREAD__
    static std::atomic<std::size_t> order{0};
    order.fetch_add(1, std::memory_order_acq_rel);
#endif
  }
};

}  // namespace

bool run_pipeline(const PipelineWork& work, const StopRequest& stop) {
  if (work.tasks == 0) return true;
  IdleLanes idle(work.lanes);
  const VisibleOrder whole;
  std::size_t next = 0;
  const auto feed =
      tbb::make_filter<void, std::size_t>(tbb::filter_mode::serial_in_order, [&](tbb::flow_control& flow) {
        const VisibleOrder order;
        if (next < work.tasks && !stop.stopped()) return next++;
        flow.stop();
        return std::size_t{0};
      });
  const auto run =
      tbb::make_filter<std::size_t, std::size_t>(tbb::filter_mode::parallel, [&](std::size_t task) {
        const VisibleOrder order;
        const LaneLoan loan(idle);
        work.body(loan.lane(), task);
        return task;
      });
  // Out of order, because a slow range must not hold back finished ones; still one at a time.
  const auto record =
      tbb::make_filter<std::size_t, void>(tbb::filter_mode::serial_out_of_order, [&](std::size_t task) {
        const VisibleOrder order;
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
