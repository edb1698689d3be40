#include "engine/app/damage.h"

namespace sluice {

bool Damage::note(const Error& error) {
  if (error.fault() != Fault::source_unreadable || error.where().table.empty()) return false;
  const std::lock_guard lock(mutex_);
  errors_.try_emplace(error.where().table, error);
  return true;
}

bool Damage::of_table(const std::string& table) const {
  const std::lock_guard lock(mutex_);
  return errors_.contains(table);
}

bool Damage::any() const {
  const std::lock_guard lock(mutex_);
  return !errors_.empty();
}

std::vector<Error> Damage::list() const {
  const std::lock_guard lock(mutex_);
  std::vector<Error> errors;
  for (const auto& [table, error] : errors_) errors.push_back(error);
  return errors;
}

}  // namespace sluice
