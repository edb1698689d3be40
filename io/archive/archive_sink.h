#pragma once
// The Sink that writes ranges into an archive: one file of zstd frames for each, and one of reject records
// where there are any.

#include <cstdint>
#include <functional>
#include <memory>

#include "engine/model/load.h"
#include "io/archive/folder.h"
#include "io/archive/manifest.h"

namespace sluice {

// `on_range` is called by seal(), in the thread of its lane, when the files of the range are whole and on the
// disk. The folder is borrowed and must outlive the sink and its writers. A range is claimed by nobody: every
// begin() gives a writer, and the last one to come to its end stays.
using OnArchivedRange = std::function<void(const RangeTask& task, RangeEntry entry)>;
std::unique_ptr<Sink> make_archive_sink(ArchiveFolder& folder, int zstd_level, OnArchivedRange on_range);

}  // namespace sluice
