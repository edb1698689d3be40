#pragma once
// `sluice plan`: writes what migrate would do, and does none of it.

#include "engine/app/options.h"
#include "engine/run/range_pipeline.h"

namespace sluice {

// Returns the exit status: 0, or 2 when the plan has findings, which go to stderr. Throws Error.
int write_plan(const PlanFileOptions& options, const StopRequest& stop);

}  // namespace sluice
