#pragma once
// What steps that run at the same time may take of the server: memory for sorting, and parallel workers.

#include <cstdint>
#include <mutex>
#include <string>

#include "io/postgres/connection.h"

namespace sluice {

// Hands out shares and takes them back. On this machine by its memory and cores; elsewhere by what the
// server's settings give away about its own. Any thread.
class StepBudget {
 public:
  // Asks the server.
  explicit StepBudget(Connection& connection);

  // A step's share, for as long as this lives.
  class Grant {
   public:
    Grant(StepBudget& budget, std::size_t slots);
    ~Grant();
    Grant(const Grant&) = delete;
    Grant& operator=(const Grant&) = delete;

    // SET LOCAL statements.
    [[nodiscard]] std::string settings() const;

   private:
    StepBudget& budget_;
    std::uint64_t memory_bytes_ = 0;
    unsigned workers_ = 0;
  };

 private:
  std::mutex mutex_;
  std::uint64_t memory_bytes_ = 0;       // for all steps together
  std::uint64_t memory_bytes_left_ = 0;  // not handed out
  std::uint64_t memory_bytes_min_ = 0;   // of a step, even when nothing is left
  std::uint64_t memory_bytes_max_ = 0;   // that the setting takes
  unsigned processes_ = 1;               // backends and workers together
  unsigned workers_left_ = 0;
};

}  // namespace sluice
