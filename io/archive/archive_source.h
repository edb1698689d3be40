#pragma once
// The Source that reads ranges of an archive: tuples, which it hands to writers as they are.
//
// Nothing of a file is believed: frames must be as large as the manifest says and decompress to what it says,
// their content must be whole tuples of the plan's columns, and at the end the file must have the SHA-256 of
// the manifest and the writer the rows and the digest of it. Only then can a range be sealed. Errors are
// Error (source_unreadable) and begin with the file and, where one is at fault, its frame:
//
//   tables/3-orders/range-17.copy.zst, frame 5 of 9: a zstd frame is damaged: Restored data doesn't match
//   checksum
//
// A lane holds two frames and nothing of a row that is larger than a megabyte.

#include <cstddef>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "engine/model/load.h"
#include "io/archive/folder.h"
#include "io/archive/manifest.h"

namespace sluice {

// An archive that is whole as far as can be told without reading its rows. Any thread.
class Archive {
 public:
  // `tables`: those of its plan, with their extents; not kept. Throws Error (source_unreadable): as
  // check_against_plan(), and for files that are missing, too short or too long, all of them at once.
  Archive(ArchiveFolder folder, Manifest manifest, const std::vector<TablePlan>& tables);

  [[nodiscard]] const ArchiveFolder& folder() const { return folder_; }
  [[nodiscard]] const Manifest& manifest() const { return manifest_; }
  // REQUIRES: it is an extent of the table's plan.
  [[nodiscard]] std::size_t range_of(const TablePlan& plan, const Extent& extent) const;

 private:
  ArchiveFolder folder_;
  Manifest manifest_;
  std::vector<std::map<std::string, std::size_t>> ranges_;  // per table, by format_extent()
};

// For one lane. The archive must outlive it. TableId counts through the archive's tables.
std::unique_ptr<Source> make_archive_source(const Archive& archive);

}  // namespace sluice
