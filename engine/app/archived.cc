#include "engine/app/archived.h"

#include <algorithm>
#include <mutex>

#include "engine/app/archive_plan.h"
#include "engine/app/endpoints.h"
#include "engine/app/row_meter.h"
#include "engine/app/table_read_back.h"
#include "engine/load/load_range.h"
#include "engine/model/error.h"
#include "io/archive/manifest.h"
#include "io/store/sha256.h"
#include "verify/digesting_writer.h"

namespace sluice {
namespace {

constexpr const char* kAdvice = "take another copy of the archive, or export the source again";

[[noreturn]] void refuse(const std::string& what) { throw Error(Fault::source_unreadable, what, kAdvice); }

std::span<const std::byte> bytes_of(const std::string& text) { return std::as_bytes(std::span(text)); }

// A small file that must be the one that the manifest means.
std::string read_part(const ArchiveFolder& folder, const char* name, const StoredPart& part) {
  std::string text = folder.read_small(name, kPlanBytesMax);
  if (text.size() != part.bytes) {
    refuse(std::string(name) + " has " + std::to_string(text.size()) + " bytes of " +
           std::to_string(part.bytes));
  }
  if (sha256_of(bytes_of(text)) != part.sha256) {
    refuse(std::string(name) + ": its SHA-256 is not the one in the manifest");
  }
  return text;
}

template <class Read>
auto naming_file(const char* name, const Read& read) {
  try {
    return read();
  } catch (const Error& error) {
    if (error.fault() != Fault::source_unreadable) throw;
    throw Error(Fault::source_unreadable, std::string(name) + ": " + error.what(),
                error.advice().empty() ? kAdvice : error.advice());
  }
}

// Before anything else is looked at.
std::string read_manifest_text(const ArchiveFolder& folder) {
  if (!folder.size_of(kManifestFile)) {
    if (folder.size_of(kJournalFile)) {
      throw Error(Fault::source_unreadable,
                  folder.path().string() + " holds an export that has not come to its end",
                  "run the same sluice export again, which goes on");
    }
    throw Error(Fault::source_unreadable,
                folder.path().string() + " is no archive: it has no " + std::string(kManifestFile),
                "give the folder that sluice export wrote");
  }
  std::string text = folder.read_small(kManifestFile, kManifestBytesMax);
  constexpr std::uint64_t kChecksumBytesMax = 256;
  const std::string checksum = folder.read_small(kChecksumFile, kChecksumBytesMax);
  if (checksum != checksum_text(sha256_of(bytes_of(text)))) {
    refuse(std::string(kManifestFile) + " does not have the SHA-256 that " + kChecksumFile +
           " says, so one of the two is damaged");
  }
  return text;
}

}  // namespace

bool is_archive(const std::string& source) {
  std::error_code ignored;
  return std::filesystem::is_directory(source_path(source), ignored);
}

OpenedArchive open_archive(const std::filesystem::path& path) {
  OpenedArchive opened;
  std::error_code ignored;  // a missing folder is for the next line to report
  opened.path = std::filesystem::weakly_canonical(path, ignored);
  ArchiveFolder folder = ArchiveFolder::open(opened.path);
  const std::string text = read_manifest_text(folder);
  Manifest manifest = naming_file(kManifestFile, [&] { return read_manifest(text); });
  const std::string plan = read_part(folder, kPlanFile, manifest.plan);
  opened.plan = naming_file(kPlanFile, [&] { return read_archive_plan(plan); });
  read_part(folder, kSchemaFile, manifest.ddl);
  opened.fingerprint = "archive content=" + to_hex(sha256_of(bytes_of(text)));
  opened.bytes = text.size() + manifest.plan.bytes + manifest.ddl.bytes;
  for (const TableEntry& table : manifest.tables) {
    for (const RangeEntry& range : table.ranges) opened.bytes += range.stream.bytes + range.rejects.bytes;
  }
  if (manifest.schema != opened.plan.schema)
    refuse(std::string(kManifestFile) + ": the plan has another schema");
  opened.archive = std::make_unique<Archive>(std::move(folder), std::move(manifest), opened.plan.tables);
  return opened;
}

std::optional<std::vector<TableLeaves>> scan_archive(const Archive& archive,
                                                     const std::vector<TablePlan>& tables,
                                                     const ArchiveScanOptions& options, Console& console,
                                                     const StopRequest& stop) {
  struct Task {
    std::size_t table = 0;
    std::size_t extent = 0;
  };
  std::vector<Task> tasks;
  std::vector<std::vector<RangeDigest>> digests(tables.size());
  std::uint64_t rows_expected = 0;
  for (std::size_t table = 0; table < tables.size(); ++table) {
    digests[table].resize(tables[table].extents.size());
    for (std::size_t extent = 0; extent < tables[table].extents.size(); ++extent)
      tasks.push_back({table, extent});
    const TableEntry& entry = archive.manifest().tables.at(static_cast<std::size_t>(tables[table].id));
    for (const RangeEntry& range : entry.ranges) rows_expected += range.rows_loaded + range.rows_rejected;
  }
  std::vector<std::unique_ptr<Source>> sources;
  for (std::size_t lane = 0; lane < options.lanes; ++lane) sources.push_back(make_archive_source(archive));
  std::mutex rejects_mutex;
  RowMeter meter;
  PipelineWork pipeline;
  pipeline.lanes = options.lanes;
  pipeline.tasks = tasks.size();
  pipeline.body = [&](std::size_t lane, std::size_t number) {
    const Task& task = tasks[number];
    const TablePlan& plan = tables[task.table];
    RowMeter::Share share(meter);
    naming_table(plan, [&] {
      DigestingWriterOptions digesting;
      digesting.server_hashes = options.server_hashes;
      if (options.each_reject) {
        digesting.each_reject = [&](std::string_view record) {
          const std::lock_guard lock(rejects_mutex);
          options.each_reject(task.table, record);
        };
      }
      DigestingWriter writer(plan, digesting);
      const std::unique_ptr<Scan> scan = sources[lane]->scan(plan, plan.extents[task.extent]);
      std::uint64_t rows = 0;
      std::uint64_t rows_before = 0;
      while (scan->deliver(writer, rows)) share.add_rows(rows - std::exchange(rows_before, rows));
      share.add_rows(rows - rows_before);
      digests[task.table][task.extent] = writer.seal().digest;
    });
  };
  {
    const Ticker ticker(console.interval_seconds(),
                        [&] { console.progress(meter.progress("archive", rows_expected)); });
    if (!run_pipeline(pipeline, stop)) return std::nullopt;
  }
  std::vector<TableLeaves> leaves;
  for (std::size_t table = 0; table < tables.size(); ++table)
    leaves.emplace_back(tables[table], digests[table]);
  return leaves;
}

}  // namespace sluice
