#pragma once
// What an archive holds, as its manifest.json says. The format is in io/ARCHIVE.md.
//
// The manifest of a stranger is read with suspicion: what read_manifest() returns is consistent in itself
// (sizes add up, every name is the one that we would have given), so that nobody after it needs to look
// twice. What it says of the rows is compared with the rows, never trusted.

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "engine/model/digest.h"
#include "engine/model/plan.h"
#include "io/store/file_store.h"

namespace sluice {

inline constexpr int kArchiveFormat = 1;

// Content of a frame, of all but the last one of a file. Large enough to compress well, small enough that a
// lane needs little; cut without regard to rows, so that a row of a gigabyte needs no more.
inline constexpr std::uint64_t kFrameBytes = std::uint64_t{4} << 20;
// What a reader takes.
inline constexpr std::uint64_t kFrameBytesMax = std::uint64_t{8} << 20;
// A frame of that content that does not compress, with room to spare.
inline constexpr std::uint64_t kStoredFrameBytesMax = kFrameBytesMax + (kFrameBytesMax >> 7) + 1024;
// What nobody allocates more for.
inline constexpr std::uint64_t kManifestBytesMax = std::uint64_t{1} << 30;
inline constexpr std::uint64_t kPlanBytesMax = std::uint64_t{256} << 20;

inline constexpr const char* kManifestFile = "manifest.json";
inline constexpr const char* kChecksumFile = "manifest.json.sha256";
inline constexpr const char* kPlanFile = "plan.json";
inline constexpr const char* kSchemaFile = "schema.sql";
// Of an export that has not come to its end.
inline constexpr const char* kJournalFile = "unfinished.jsonl";

struct StoredPart {
  std::uint64_t bytes = 0;
  Sha256 sha256{};
  bool operator==(const StoredPart&) const = default;
};

struct FrameEntry {
  std::uint64_t bytes = 0;    // in the file
  std::uint64_t content = 0;  // of the COPY stream
  bool operator==(const FrameEntry&) const = default;
};

struct RangeEntry {
  StoredPart stream;               // the file of frames
  std::vector<FrameEntry> frames;  // one after the other, nothing between them
  StoredPart rejects;              // no such file without rejected rows
  std::uint64_t rows_loaded = 0;
  std::uint64_t rows_rejected = 0;
  RangeDigest digest;

  [[nodiscard]] std::uint64_t content_bytes() const;
  [[nodiscard]] bool has_rejects() const { return rows_rejected > 0; }
  bool operator==(const RangeEntry&) const = default;
};

struct TableEntry {
  std::string source;
  std::string schema;
  std::string target;
  std::vector<std::string> columns;   // of the target, those that are in the tuples
  std::size_t generated_columns = 0;  // the last of them, which COPY FROM would not take
  Digest root;
  std::vector<RangeEntry> ranges;
  bool operator==(const TableEntry&) const = default;
};

struct Manifest {
  std::string version;  // of the sluice that wrote it
  std::string source_path;
  std::uint64_t source_bytes = 0;
  std::string source_fingerprint;
  std::string schema;
  Digest root;
  StoredPart plan;
  StoredPart ddl;
  std::vector<TableEntry> tables;  // in the order of the plan
  bool operator==(const Manifest&) const = default;
};

// "tables/0-orders/range-17.copy.zst". Of the table's name only ASCII letters and digits are part of it, in
// lower case, at most 40 of them.
std::string folder_of_table(std::size_t table, std::string_view source);
std::string stream_file(std::size_t table, std::string_view source, std::size_t range);
std::string rejects_file(std::size_t table, std::string_view source, std::size_t range);
// Whether it is a name of one of the files of an archive, finished or not, whatever tables it has.
bool is_archive_file(std::string_view name);

std::string manifest_text(const Manifest& manifest);
// Pure: any bytes end in a Manifest or in Error (source_unreadable).
Manifest read_manifest(std::string_view text);

// Whether the plan is that of this archive: its tables, columns and extents, and roots that are those of the
// leaves. Throws Error (source_unreadable).
void check_against_plan(const Manifest& manifest, const std::vector<TablePlan>& tables);

// One range as an object, on one line: in the manifest and in the journal.
std::string range_text(const RangeEntry& range, std::size_t table, std::string_view source,
                       std::size_t number);
// Throws Error (source_unreadable).
RangeEntry read_range(std::string_view text, std::size_t table, std::string_view source, std::size_t number);

// What manifest.json.sha256 holds, in the form of sha256sum -c.
std::string checksum_text(const Sha256& manifest);

// 64 lower-case digits; nothing for anything else.
std::optional<Sha256> parse_sha256(std::string_view hex);

}  // namespace sluice
