#pragma once

#include "engine/app/options.h"
#include "engine/run/range_pipeline.h"

namespace sluice {

// sluice inspect. Reads the source, prints to stdout, and returns 0 whatever it finds there. Throws Error
// (source_unreadable, usage, interrupted, output).
int inspect(const InspectOptions& options, const StopRequest& stop);

}  // namespace sluice
