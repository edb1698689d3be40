#pragma once
// sluice offload: files leave a column of a database that is in PostgreSQL already.
//
//   moving        adds the columns for the references, then takes the files out row by row while everybody
//   goes on
//                 reading: a row has its content or its path at any time, never neither. Killed anywhere, the
//                 same command goes on with the rows that still have their content: there is no other list.
//   --drop-column after that reads every file back, and drops the column if nothing is left in it
//   --verify      reads every file that rows refer to, and compares size and SHA-256
//   --gc          lists files that no row refers to, and with --delete removes them

#include "engine/app/options.h"
#include "engine/run/range_pipeline.h"

namespace sluice {

// Prints its findings to stdout. Returns the exit status: 4 where a file is missing or damaged. Throws Error.
int offload(const OffloadOptions& options, StopRequest& stop);

}  // namespace sluice
