#pragma once
// File stores, with what the environment says about them.

#include <chrono>
#include <vector>

#include "engine/model/plan.h"
#include "engine/offload/file_stores.h"
#include "engine/run/range_pipeline.h"
#include "io/store/open_store.h"

namespace sluice {

// `stop` must outlive the store.
StoreOptions store_options(const StopRequest& stop, std::chrono::milliseconds retry_for);

// Opens the stores of these tables' offloads, and checks whether they take files, or without `changes`
// whether they can be read. Throws Error (usage, store).
void open_stores(const std::vector<TablePlan>& tables, const StoreOptions& options, FileStores& stores,
                 bool changes = true);

}  // namespace sluice
