#pragma once
// sluice migrate and restore: from a SQLite file, or an archive of one, to a verified PostgreSQL database.

#include "engine/app/options.h"
#include "engine/run/range_pipeline.h"

namespace sluice {

// Returns the exit status. Errors that end the run are thrown, after what is known of it has been written
// to the report. `stop` is also set here, when the grace of a stopped run is over.
int migrate(const MigrateOptions& options, StopRequest& stop);
// The same from an archive, whose plan it follows.
int restore(const RestoreOptions& options, StopRequest& stop);

}  // namespace sluice
