#pragma once
// sluice status: what the ledger of a target says.

#include "engine/app/options.h"

namespace sluice {

// Prints to stdout. Returns the exit status.
int status(const StatusOptions& options);

}  // namespace sluice
