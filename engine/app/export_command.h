#pragma once
// sluice export: from a SQLite file to an archive (io/ARCHIVE.md), without a server.

#include "engine/app/options.h"
#include "engine/run/range_pipeline.h"

namespace sluice {

// Returns the exit status. Throws Error.
int export_archive(const ExportOptions& options, const StopRequest& stop);

}  // namespace sluice
