#pragma once
// Which rows of the leaves that differ do, where the source is an archive: what DifferenceFinder is for a
// file.
//
// The archive's rows can only be read one after the other, so each pass reads the ranges of the leaves anew.
// A pass compares at most 131,072 rows of both sides, and memory is bounded by that.

#include <optional>

#include "engine/app/console.h"
#include "engine/app/differences.h"
#include "engine/run/range_pipeline.h"
#include "io/archive/archive_source.h"

namespace sluice {

// As DifferenceFinder::find(); `work.snapshot` is not used, and neither are its memory and what was refused.
// Keys of rows that the target has not got are as PostgreSQL would print them. Nothing when stopped.
std::optional<Differences> find_archive_differences(const Archive& archive, const DifferenceWork& work,
                                                    Console& console, const StopRequest& stop);

}  // namespace sluice
