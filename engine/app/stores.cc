#include "engine/app/stores.h"

#include <cstdlib>

namespace sluice {

StoreOptions store_options(const StopRequest& stop, std::chrono::milliseconds retry_for) {
  StoreOptions options;
  options.environment = [](const std::string& name) -> std::optional<std::string> {
    const char* value = std::getenv(name.c_str());
    return value == nullptr ? std::nullopt : std::optional<std::string>(value);
  };
  options.retry_for = retry_for;
  // What is under way may come to its end, as a range does.
  options.stop = [&stop] { return stop.stopped_now(); };
  return options;
}

}  // namespace sluice
