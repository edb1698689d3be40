#include "engine/model/thread_time.h"

#include <ctime>

#include <fstream>

namespace sluice {
namespace {

double seconds_of(clockid_t clock) {
  timespec time{};
  clock_gettime(clock, &time);
  return static_cast<double>(time.tv_sec) + static_cast<double>(time.tv_nsec) * 1e-9;
}

}  // namespace

ThreadTime thread_time() { return {seconds_of(CLOCK_MONOTONIC), seconds_of(CLOCK_THREAD_CPUTIME_ID)}; }

double thread_queued_seconds() {
  std::ifstream schedstat("/proc/thread-self/schedstat");
  double ran = 0;
  double queued = 0;
  return schedstat >> ran >> queued ? queued * 1e-9 : 0;
}

}  // namespace sluice
