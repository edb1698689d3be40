#pragma once
// Tables of the source that could not be read to their end. One damaged page must not keep the other tables
// from arriving, nor let the run end as if everything had.

#include <map>
#include <mutex>
#include <optional>
#include <string>
#include <vector>

#include "engine/model/error.h"

namespace sluice {

// Any thread.
class Damage {
 public:
  // Keeps the first error of each table. False for an error that is about something else: throw it on.
  bool note(const Error& error);

  // By the name in the source.
  [[nodiscard]] bool of_table(const std::string& table) const;
  [[nodiscard]] bool any() const;
  [[nodiscard]] std::vector<Error> list() const;

 private:
  mutable std::mutex mutex_;
  std::map<std::string, Error> errors_;
};

}  // namespace sluice
