#pragma once
// How long a phase took and what its threads did meanwhile, also where phases overlap.

#include <cstdint>
#include <mutex>

#include "engine/model/thread_time.h"

namespace sluice {

// In seconds. Of the threads' time: lanes = cpu + for_core + for_server + for_source, but for rounding.
struct PhaseUse {
  double wall = 0;        // in which at least one thread was at it
  double lanes = 0;       // of all threads together
  double cpu = 0;         // computing
  double for_core = 0;    // ready, but other threads and processes had the cores
  double for_server = 0;  // asleep until the server took or gave something
  double for_source = 0;  // asleep in reading the file
  double process = 0;     // CPU seconds of this process during `wall`, for whatever phase
  double machine = 0;     // the same of the whole machine; 0 where it does not say
  std::uint64_t rows = 0;
  std::uint64_t bytes = 0;
};

// CPU seconds that the machine has spent on anything since it was started (/proc/stat); 0 where it does not
// say.
double machine_cpu_seconds();
// The cores that they are counted over.
unsigned cores_of_machine();
// CPU seconds of this process.
double process_cpu_seconds();

// Any thread.
class PhaseClock {
 public:
  // What one thread does for the phase, from here to the end of the block.
  class Share {
   public:
    explicit Share(PhaseClock& clock);
    ~Share();
    Share(const Share&) = delete;
    Share& operator=(const Share&) = delete;

   private:
    PhaseClock& clock_;
    const ThreadTime began_;
    const double queued_;
  };

  // Of the time off the core that Shares measure, so much was waiting for the server, and the rest for the
  // source. Without a call of this, all of it is the server's.
  void split_waits(double for_server);
  void add_work(std::uint64_t rows, std::uint64_t bytes);

  [[nodiscard]] PhaseUse use() const;

 private:
  void begin();
  void end(const ThreadTime& used, double queued);

  mutable std::mutex mutex_;
  PhaseUse use_;
  double asleep_ = 0;
  double blocked_ = 0;
  bool split_ = false;
  int at_it_ = 0;
  double wall_began_ = 0;
  double process_began_ = 0;
  double machine_began_ = 0;
};

}  // namespace sluice
