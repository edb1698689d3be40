#pragma once
// Jobs that wait for each other, each done as soon as it can be, by lanes: threads that sleep in a socket for
// most of their time.
//
// Of the jobs that could begin, the one begins with the longest way behind it: its own cost and that of what
// waits for it, along the dearest path (Graham's list scheduling, in the order of critical paths; R. L.
// Graham, "Bounds on Multiprocessing Timing Anomalies", 1969). So a large index is not left for the end, when
// the other lanes would have nothing left to do.
//
// Threads and a condition, not oneTBB: its workers are made to compute and are not promised, and a lane that
// waits for another lane's job must not take a worker from it.

#include <condition_variable>
#include <cstddef>
#include <cstdint>
#include <exception>
#include <functional>
#include <mutex>
#include <set>
#include <utility>
#include <vector>

#include "engine/run/range_pipeline.h"

namespace sluice {

enum class JobId : std::size_t {};

enum class JobEnd : std::uint8_t {
  done,
  // Nothing could be done now. It is called again when nothing better is left to begin.
  postponed,
};

struct Job {
  // May block, and may add further jobs; everything before that is seen by the jobs that wait for this one.
  // Empty for a mere meeting point, which takes no lane.
  std::function<JobEnd(std::size_t lane)> body;
  std::vector<JobId> after;  // begins when all of these are done
  double cost = 0;           // in any unit, the same for all
  std::size_t kind = 0;      // which limit holds
};

// Any thread may call add() and jobs_of_kind(); run() is called once.
class JobGraph {
 public:
  // limits[kind]: how many jobs of that kind may be under way at the same time. At least 1.
  explicit JobGraph(std::vector<std::size_t> limits);

  // REQUIRES: what it waits for has been added before, so there are no circles.
  JobId add(Job job);

  // Jobs of the kind that are under way or could begin at once, but not more than its limit: how many share
  // what they need.
  [[nodiscard]] std::size_t in_use(std::size_t kind) const;
  // Jobs of the kind that are under way.
  [[nodiscard]] std::size_t running(std::size_t kind) const;

  // Runs all jobs, also those that jobs add, and returns true; or false when it was stopped before the last
  // of them began. What was under way is finished in any case. The first exception of a job is thrown here.
  bool run(std::size_t lanes, const StopRequest& stop);

 private:
  struct Node {
    Job job;
    std::size_t waits_for = 0;      // jobs that are not done
    std::vector<std::size_t> next;  // jobs that wait for this one
    double way = 0;                 // own cost and the dearest way behind it
    bool postponed = false;
    bool done = false;
  };
  // First what was not postponed, then the longest way, then the order of adding.
  using Rank = std::tuple<bool, double, std::size_t>;

  [[nodiscard]] Rank rank_of(std::size_t number) const;
  void lengthen_way(std::size_t number, double behind);
  void make_ready(std::size_t number);
  void finish(std::size_t number);
  [[nodiscard]] std::set<Rank>* best_ready();
  void work(std::size_t lane, const StopRequest& stop);

  mutable std::mutex mutex_;
  std::condition_variable changed_;
  const std::vector<std::size_t> limits_;
  std::vector<std::size_t> running_;   // per kind
  std::vector<std::set<Rank>> ready_;  // per kind
  std::vector<Node> nodes_;
  std::size_t left_ = 0;  // not done
  std::size_t under_way_ = 0;
  bool giving_up_ = false;  // stopped or failed: no further job begins
  std::exception_ptr failure_;
};

}  // namespace sluice
