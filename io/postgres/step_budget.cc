#include "io/postgres/step_budget.h"

#include <algorithm>
#include <thread>

#include "io/postgres/machine_memory.h"

namespace sluice {
StepBudget::StepBudget(Connection& connection) {
  const ReadScope scope(connection);
  const Result settings = connection.execute(
      "SELECT pg_size_bytes(current_setting('shared_buffers')), "
      "current_setting('max_parallel_workers')::int, "
      "current_setting('max_parallel_maintenance_workers')::int, "
      "(SELECT max_val::bigint * 1024 FROM pg_settings WHERE name = 'maintenance_work_mem')");
  const auto shared_buffers = static_cast<std::uint64_t>(settings.integer(0, 0));
  const auto workers = static_cast<unsigned>(settings.integer(0, 1));
  const auto own_workers = static_cast<unsigned>(settings.integer(0, 2));
  memory_bytes_max_ = static_cast<std::uint64_t>(settings.integer(0, 3));
  if (connection.is_local()) {
    // Other processes want memory, too, and a server with few buffers was not meant to have much.
    memory_bytes_ = std::min(available_memory_bytes() / 4, shared_buffers * 8);
    memory_bytes_min_ = std::uint64_t{32} << 20;
    processes_ = std::max(1U, std::thread::hardware_concurrency());
    workers_left_ = own_workers == 0 ? 0 : std::min(workers, processes_ - 1);
  } else {
    // Whoever gave the server shared buffers usually gave it a quarter of the memory.
    memory_bytes_ = shared_buffers;
    memory_bytes_min_ = std::uint64_t{128} << 20;
    processes_ = std::max(1U, workers);
    workers_left_ = std::min(workers, own_workers * 2);
  }
  memory_bytes_left_ = memory_bytes_;
}

StepBudget::Grant::Grant(StepBudget& budget, std::size_t slots) : budget_(budget) {
  const std::lock_guard lock(budget.mutex_);
  memory_bytes_ = std::min(budget.memory_bytes_ / slots, budget.memory_bytes_left_);
  budget.memory_bytes_left_ -= memory_bytes_;
  const auto each = static_cast<unsigned>(budget.processes_ / slots);
  workers_ = std::min(each > 0 ? each - 1 : 0, budget.workers_left_);
  budget.workers_left_ -= workers_;
}

StepBudget::Grant::~Grant() {
  const std::lock_guard lock(budget_.mutex_);
  budget_.memory_bytes_left_ += memory_bytes_;
  budget_.workers_left_ += workers_;
}

std::string StepBudget::Grant::settings() const {
  // Never less than the administrator gave.
  const std::uint64_t memory =
      std::min(std::max(memory_bytes_, budget_.memory_bytes_min_), budget_.memory_bytes_max_);
  return "SELECT set_config('maintenance_work_mem', "
         "greatest(pg_size_bytes(current_setting('maintenance_work_mem')), " +
         std::to_string(memory) +
         ") / 1024 || 'kB', true); SET LOCAL max_parallel_maintenance_workers = " + std::to_string(workers_);
}

}  // namespace sluice
