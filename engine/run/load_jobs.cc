#include "engine/run/load_jobs.h"

#include <cassert>
#include <utility>

namespace sluice {
namespace {

// A source for the time of one range.
class SourceLoan {
 public:
  SourceLoan(std::mutex& mutex, std::vector<Source*>& idle) : mutex_(mutex), idle_(idle) {
    const std::lock_guard lock(mutex_);
    assert(!idle_.empty());
    source_ = idle_.back();
    idle_.pop_back();
  }
  ~SourceLoan() {
    const std::lock_guard lock(mutex_);
    idle_.push_back(source_);
  }
  SourceLoan(const SourceLoan&) = delete;
  SourceLoan& operator=(const SourceLoan&) = delete;

  [[nodiscard]] Source* source() const { return source_; }

 private:
  std::mutex& mutex_;
  std::vector<Source*>& idle_;
  Source* source_ = nullptr;
};

}  // namespace

LoadJobs::LoadJobs(std::vector<Lane>& lanes, std::vector<Source*> sources, PhaseClock& clock,
                   Retries& retries, OnDone on_done, OnDamage on_damage)
    : lanes_(lanes),
      clock_(clock),
      retries_(retries),
      idle_(std::move(sources)),
      on_done_(std::move(on_done)),
      on_damage_(std::move(on_damage)) {}

JobId LoadJobs::add(JobGraph& graph, std::size_t kind, const RangeTask& task, double cost) {
  Job job;
  job.cost = cost;
  job.kind = kind;
  job.body = [this, task, claim = Claim::skip_locked](std::size_t lane) mutable {
    try {
      return load(lane, task, std::exchange(claim, Claim::wait));
    } catch (const Error& error) {
      if (!on_damage_ || !on_damage_(error)) throw;
      return JobEnd::done;
    }
  };
  return graph.add(std::move(job));
}

JobEnd LoadJobs::load(std::size_t lane, const RangeTask& task, Claim claim) {
  const PhaseClock::Share share(clock_);
  const SourceLoan loan(mutex_, idle_);
  lanes_[lane].source = loan.source();
  double off_core = 0;
  double off_core_of_last = 0;
  std::optional<RangeSeal> seal;
  {
    const AddOffCore count(off_core);
    // Whoever tries again may meet the session that it has lost, which holds the claim until the server knows
    // that it is dead, or find that the answer to COMMIT was all that got lost.
    seal = retries_.run([&](std::size_t attempt) {
      off_core_of_last = 0;
      const AddOffCore count_attempt(off_core_of_last);
      return load_range(lanes_[lane], task, attempt == 1 ? claim : Claim::wait);
    });
  }
  // Without a seal it was another session's range, and only the server was waited for; as between attempts.
  clock_.split_waits(seal ? off_core - off_core_of_last + seal->blocked_seconds : off_core);
  if (!seal && claim == Claim::skip_locked) return JobEnd::postponed;  // asked for a second time, to be sure
  if (on_done_) {
    const std::lock_guard lock(mutex_);
    on_done_(seal);
  }
  return JobEnd::done;
}

}  // namespace sluice
