#include "engine/run/phase_clock.h"

#include <unistd.h>
#include <ctime>

#include <algorithm>
#include <fstream>
#include <string>

namespace sluice {

double machine_cpu_seconds() {
  // cpu  user nice system idle iowait irq softirq steal: what the hypervisor took is busy, too, as seen from
  // here.
  std::ifstream stat("/proc/stat");
  std::string name;
  double user = 0;
  double nice = 0;
  double system = 0;
  double idle = 0;
  double waiting = 0;
  double interrupts = 0;
  double soft_interrupts = 0;
  double stolen = 0;
  if (!(stat >> name >> user >> nice >> system >> idle >> waiting >> interrupts >> soft_interrupts >> stolen))
    return 0;
  return (user + nice + system + interrupts + soft_interrupts + stolen) /
         static_cast<double>(sysconf(_SC_CLK_TCK));
}

unsigned cores_of_machine() { return static_cast<unsigned>(std::max(1L, sysconf(_SC_NPROCESSORS_ONLN))); }

double process_cpu_seconds() {
  timespec time{};
  clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &time);
  return static_cast<double>(time.tv_sec) + static_cast<double>(time.tv_nsec) * 1e-9;
}

PhaseClock::Share::Share(PhaseClock& clock)
    : clock_(clock), began_(thread_time()), queued_(thread_queued_seconds()) {
  clock_.begin();
}

PhaseClock::Share::~Share() { clock_.end(thread_time() - began_, thread_queued_seconds() - queued_); }

void PhaseClock::begin() {
  const std::lock_guard lock(mutex_);
  if (at_it_++ > 0) return;
  wall_began_ = thread_time().wall;
  process_began_ = process_cpu_seconds();
  machine_began_ = machine_cpu_seconds();
}

void PhaseClock::end(const ThreadTime& used, double queued) {
  const std::lock_guard lock(mutex_);
  use_.lanes += used.wall;
  use_.cpu += used.cpu;
  const double off_core = used.off_core();
  const double for_core = std::min(queued, off_core);
  use_.for_core += for_core;
  asleep_ += off_core - for_core;
  if (--at_it_ > 0) return;
  use_.wall += thread_time().wall - wall_began_;
  use_.process += process_cpu_seconds() - process_began_;
  use_.machine += machine_cpu_seconds() - machine_began_;
}

void PhaseClock::split_waits(double for_server) {
  const std::lock_guard lock(mutex_);
  split_ = true;
  blocked_ += for_server;
}

void PhaseClock::add_work(std::uint64_t rows, std::uint64_t bytes) {
  const std::lock_guard lock(mutex_);
  use_.rows += rows;
  use_.bytes += bytes;
}

PhaseUse PhaseClock::use() const {
  const std::lock_guard lock(mutex_);
  PhaseUse use = use_;
  // A thread that is woken by the server may still have to wait for a core: that part is counted above.
  use.for_server = split_ ? std::min(blocked_, asleep_) : asleep_;
  use.for_source = asleep_ - use.for_server;
  return use;
}

}  // namespace sluice
