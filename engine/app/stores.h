#pragma once
// File stores, with what the environment says about them.

#include <chrono>

#include "engine/run/range_pipeline.h"
#include "io/store/open_store.h"

namespace sluice {

// `stop` must outlive the store.
StoreOptions store_options(const StopRequest& stop, std::chrono::milliseconds retry_for);

}  // namespace sluice
