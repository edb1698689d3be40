#pragma once
// TEMPORARY until --retry-for lands
#include "support/command.h"
#include "support/conditions.h"
namespace sluice::testing {
inline bool retries_known() {
  static const bool known = contains(run_command({sluice_program(), "migrate", "--help"}).out, "--retry-for");
  return known;
}
inline std::vector<std::string> retry_for(const std::string& time) {
  if (!retries_known()) return {};
  return {"--retry-for", time};
}
}  // namespace sluice::testing
