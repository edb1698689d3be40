#pragma once
// sluice verify: compares source and target, names the rows that differ, and repairs them on request.

#include "engine/app/options.h"
#include "engine/run/range_pipeline.h"

namespace sluice {

// Returns the exit status. Throws Error; see README.md for what each status means.
int verify(const VerifyOptions& options, const StopRequest& stop);

}  // namespace sluice
