#pragma once
// An archive that is opened to be read: its manifest and its plan are whole and agree, and every file is
// there.

#include <filesystem>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "engine/app/console.h"
#include "engine/model/plan.h"
#include "engine/run/range_pipeline.h"
#include "io/archive/archive_source.h"
#include "verify/leaves.h"

namespace sluice {

struct OpenedArchive {
  std::filesystem::path path;  // absolute
  MigrationPlan plan;
  std::unique_ptr<Archive> archive;
  // For the ledger: another archive is another source. Made of the SHA-256 of the manifest, which has that of
  // every file.
  std::string fingerprint;
  std::uint64_t bytes = 0;  // of all files
};

// Whether SOURCE is meant to be an archive: a folder.
bool is_archive(const std::string& source);

// Throws Error (source_unreadable), which names the file that is at fault.
OpenedArchive open_archive(const std::filesystem::path& path);

// Reads every row of these tables of the archive over so many lanes, and compares each range with the
// manifest. With the server's hashes where `server_hashes` and the table's types allow. Per table, in the
// order given; nothing when stopped. Throws Error (source_unreadable).
std::optional<std::vector<TableLeaves>> scan_archive(const Archive& archive,
                                                     const std::vector<TablePlan>& tables, bool server_hashes,
                                                     std::size_t lanes, Console& console,
                                                     const StopRequest& stop);

}  // namespace sluice
