#pragma once
// Where a thread's time goes. Differences of two readings by the same thread are what matters.

namespace sluice {

// In seconds.
struct ThreadTime {
  double wall = 0;
  double cpu = 0;

  friend ThreadTime operator-(const ThreadTime& a, const ThreadTime& b) {
    return {a.wall - b.wall, a.cpu - b.cpu};
  }
  // Asleep, or ready to run and without a core.
  [[nodiscard]] double off_core() const { return wall > cpu ? wall - cpu : 0; }
};

// Costs less than a microsecond: once per send, not once per row.
ThreadTime thread_time();

// Adds the time off the core, from here to the end of the block.
class AddOffCore {
 public:
  explicit AddOffCore(double& seconds) : seconds_(seconds), began_(thread_time()) {}
  ~AddOffCore() { seconds_ += (thread_time() - began_).off_core(); }
  AddOffCore(const AddOffCore&) = delete;
  AddOffCore& operator=(const AddOffCore&) = delete;

 private:
  double& seconds_;
  const ThreadTime began_;
};

// Seconds for which the calling thread was ready to run and had no core, as Linux counts them
// (/proc/thread-self/schedstat); 0 where it does not. Opens a file: once per range.
double thread_queued_seconds();

}  // namespace sluice
