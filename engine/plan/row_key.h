#pragma once
// How the rows of a planned table say which row they are. Pure.

#include "engine/model/catalog.h"
#include "engine/model/plan.h"

namespace sluice {

// Fills in row_key and key_columns from the planned columns: again whenever these change their order or types.
void set_row_key(TablePlan& plan, const SourceTable& source);

}  // namespace sluice
