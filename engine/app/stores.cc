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

void open_stores(const std::vector<TablePlan>& tables, const StoreOptions& options, FileStores& stores,
                 bool changes) {
  for (const TablePlan& table : tables) {
    for (const OffloadPlan& offload : table.offloads) {
      FileStore& store = stores.add(offload.store, options, changes);
      if (!changes) static_cast<void>(store.size_of(FileName{}));
    }
  }
}

}  // namespace sluice
