#pragma once
// The RowMemory of a run with a memory limit.

#include <chrono>
#include <condition_variable>
#include <cstdint>
#include <mutex>

#include "engine/model/row_memory.h"

namespace sluice {

// First come, first served, so that a row that needs all of the room does not wait for ever behind small
// ones.
//
// Who holds a loan never waits here, so loans come back, unless their holder is waiting elsewhere for one of
// those who wait here: in the server, for a row that the other's transaction has locked (a unique value that
// comes twice). Nobody could see that deadlock. So when no loan has come back for as long as `patience`, the
// first in line goes on without room: over the limit is better than for ever, and then the server sees it.
class LargeRowGate final : public RowMemory {
 public:
  explicit LargeRowGate(std::uint64_t bytes_max,
                        std::chrono::milliseconds patience = std::chrono::minutes(10));

  [[nodiscard]] std::uint64_t take(std::uint64_t bytes) override;
  void give_back(std::uint64_t bytes) noexcept override;

  // How many stand in line now.
  [[nodiscard]] std::uint64_t waiting();

 private:
  const std::uint64_t bytes_max_;
  const std::chrono::milliseconds patience_;
  std::mutex mutex_;  // of everything below; held for moments
  std::condition_variable changed_;
  std::uint64_t bytes_ = 0;        // on loan
  std::uint64_t returned_ = 0;     // loans that came back so far
  std::uint64_t next_number_ = 0;  // of the next one to come
  std::uint64_t served_ = 0;       // those before this one are in
};

}  // namespace sluice
