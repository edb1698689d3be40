#include "engine/app/wal_watch.h"

#include <algorithm>

namespace sluice {

bool WalAlarm::rings(std::uint64_t bytes) {
  const std::uint64_t growth = bytes > first_ ? bytes - first_ : 0;
  growth_.store(std::max(growth, growth_.load(std::memory_order_relaxed)), std::memory_order_relaxed);
  if (growth < next_) return false;
  while (next_ <= growth) next_ *= 2;
  return true;
}

WalWatch::WalWatch(const Snapshot& snapshot, Console& console)
    : snapshot_(snapshot), alarm_(snapshot.wal_bytes(), kWalGrowthMin), ticker_(1, [this, &console] {
        if (!alarm_.rings(snapshot_.wal_bytes())) return;
        console.say("sluice: warning: the -wal of the source has grown by " + human_bytes(alarm_.growth()) +
                    " since it is being read, and cannot be checkpointed away before the end: watch the "
                    "disk, or stop "
                    "and run with --snapshot copy");
      }) {}

}  // namespace sluice
