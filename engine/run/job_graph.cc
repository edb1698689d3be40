#include "engine/run/job_graph.h"

#include <algorithm>
#include <cassert>
#include <system_error>
#include <thread>
#include <tuple>

#include "engine/model/error.h"

namespace sluice {

JobGraph::JobGraph(std::vector<std::size_t> limits)
    : limits_(std::move(limits)), running_(limits_.size()), ready_(limits_.size()) {}

JobGraph::Rank JobGraph::rank_of(std::size_t number) const {
  const Node& node = nodes_[number];
  return {node.postponed, -node.way, number};
}

JobId JobGraph::add(Job job) {
  const std::lock_guard lock(mutex_);
  const std::size_t number = nodes_.size();
  Node& node = nodes_.emplace_back();
  node.job = std::move(job);
  node.way = node.job.cost;
  ++left_;
  for (const JobId id : std::vector<JobId>(node.job.after)) {
    const auto before = static_cast<std::size_t>(id);
    assert(before < number);
    if (nodes_[before].done) continue;
    nodes_[before].next.push_back(number);
    ++nodes_[number].waits_for;
    lengthen_way(before, nodes_[number].way);
  }
  if (nodes_[number].waits_for == 0) make_ready(number);
  changed_.notify_all();
  return JobId{number};
}

// Whoever waits was added later, so this walks towards the beginning and ends there.
void JobGraph::lengthen_way(std::size_t number, double behind) {
  std::vector<std::pair<std::size_t, double>> open = {{number, behind}};
  while (!open.empty()) {
    const auto [at, way_behind] = open.back();
    open.pop_back();
    Node& node = nodes_[at];
    const double way = node.job.cost + way_behind;
    if (node.done || way <= node.way) continue;
    std::set<Rank>& ready = ready_[node.job.kind];
    const bool was_ready = ready.erase(rank_of(at)) > 0;
    node.way = way;
    if (was_ready) ready.insert(rank_of(at));
    for (const JobId before : node.job.after) open.emplace_back(static_cast<std::size_t>(before), way);
  }
}

void JobGraph::make_ready(std::size_t number) {
  if (nodes_[number].job.body) {
    ready_[nodes_[number].job.kind].insert(rank_of(number));
  } else {
    finish(number);
  }
}

void JobGraph::finish(std::size_t number) {
  std::vector<std::size_t> finished = {number};
  while (!finished.empty()) {
    const std::size_t at = finished.back();
    finished.pop_back();
    nodes_[at].done = true;
    --left_;
    for (const std::size_t next : nodes_[at].next) {
      if (--nodes_[next].waits_for > 0) continue;
      if (nodes_[next].job.body) {
        ready_[nodes_[next].job.kind].insert(rank_of(next));
      } else {
        finished.push_back(next);
      }
    }
  }
}

std::size_t JobGraph::in_use(std::size_t kind) const {
  const std::lock_guard lock(mutex_);
  return std::clamp<std::size_t>(running_[kind] + ready_[kind].size(), 1, limits_[kind]);
}

std::size_t JobGraph::running(std::size_t kind) const {
  const std::lock_guard lock(mutex_);
  return running_[kind];
}

std::set<JobGraph::Rank>* JobGraph::best_ready() {
  std::set<Rank>* best = nullptr;
  for (std::size_t kind = 0; kind < ready_.size(); ++kind) {
    if (ready_[kind].empty() || running_[kind] >= limits_[kind]) continue;
    if (best == nullptr || *ready_[kind].begin() < *best->begin()) best = &ready_[kind];
  }
  return best;
}

void JobGraph::work(std::size_t lane, const StopRequest& stop) {
  std::unique_lock lock(mutex_);
  for (;;) {
    if (left_ == 0 || giving_up_) return;
    if (stop.stopped()) {
      giving_up_ = true;
      changed_.notify_all();
      return;
    }
    std::set<Rank>* ready = best_ready();
    if (ready == nullptr) {
      if (under_way_ == 0) {
        failure_ = std::make_exception_ptr(Error(Fault::internal, "a job waits for what never comes"));
        giving_up_ = true;
        changed_.notify_all();
        return;
      }
      changed_.wait(lock);
      continue;
    }
    const std::size_t number = std::get<2>(*ready->begin());
    ready->erase(ready->begin());
    const std::size_t kind = nodes_[number].job.kind;
    // Out of nodes_, which may move while the job runs.
    std::function<JobEnd(std::size_t)> body = std::move(nodes_[number].job.body);
    ++running_[kind];
    ++under_way_;
    lock.unlock();
    JobEnd end = JobEnd::done;
    std::exception_ptr failure;
    try {
      end = body(lane);
    } catch (...) {
      failure = std::current_exception();
    }
    lock.lock();
    --running_[kind];
    --under_way_;
    if (failure) {
      if (!failure_) failure_ = failure;
      giving_up_ = true;
    } else if (end == JobEnd::postponed) {
      nodes_[number].postponed = true;
      nodes_[number].job.body = std::move(body);
      make_ready(number);
    } else {
      finish(number);
    }
    changed_.notify_all();
  }
}

bool JobGraph::run(std::size_t lanes, const StopRequest& stop) {
  {
    std::vector<std::jthread> threads;
    for (std::size_t lane = 0; lane < lanes; ++lane) {
      try {
        threads.emplace_back([this, lane, &stop] { work(lane, stop); });
      } catch (const std::system_error&) {
        if (threads.empty()) throw;  // else those that are there do all of it
        break;
      }
    }
  }
  if (failure_) std::rethrow_exception(failure_);
  return left_ == 0;
}

}  // namespace sluice
