#pragma once
// An archive that is opened to be read: its manifest and its plan are whole and agree, and every file is
// there.

#include <filesystem>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
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

struct ArchiveScanOptions {
  bool server_hashes = false;  // the server's hashes, too, where the table's types allow
  std::size_t lanes = 1;
  // Called for each rejected row, with the place of its table among those given and its record; never two at
  // a time. May be empty.
  std::function<void(std::size_t table, std::string_view record)> each_reject{};
};

// Reads every row of these tables of the archive, and compares each range with the manifest. Per table, in
// the order given; nothing when stopped. Throws Error (source_unreadable).
std::optional<std::vector<TableLeaves>> scan_archive(const Archive& archive,
                                                     const std::vector<TablePlan>& tables,
                                                     const ArchiveScanOptions& options, Console& console,
                                                     const StopRequest& stop);

}  // namespace sluice
