#pragma once
// Files that leave their column: decoded from Base64, put into a store, and referred to by other columns of
// their row. See engine/offload/offload_source.h for what that does to a row.

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace sluice {

// What becomes of the column that held the file, where the file could be decoded.
enum class OffloadedColumn : std::uint8_t {
  null,  // NULL in its place
  drop,  // the column does not arrive; then every value must decode
  keep,  // it stays as it is, beside the file
};

// How a file is written in its column.
struct FileText {
  bool data_uri = false;     // data:image/png;base64, may stand in front of it, and gives the media type
  bool line_breaks = false;  // as the next two: io/wire/base64.h
  bool url_alphabet = false;
  bool missing_padding = false;

  bool operator==(const FileText&) const = default;
};

// What a column of the target is to an offload.
enum class OffloadRole : std::uint8_t {
  none,
  content,       // the column that held the file
  path,          // the name of the file in the store; NULL where there is none
  storage_type,  // which kind of store: "file" or "s3"
  size,          // bytes of the file
  sha256,        // 64 lower-case hex digits
  media_type,    // what the data: URI said
};

// The columns that refer to a file, by their names in the target.
struct FileReferences {
  std::string path = "filePath";
  std::string storage_type = "storageType";
  std::optional<std::string> size{};  // this and the next: none unless named
  std::optional<std::string> sha256{};
  std::optional<std::string> media_type{};
};

struct OffloadPlan {
  std::string column;     // of the source
  std::size_t place = 0;  // in SourceTable::columns
  std::string store;      // file:///var/files, s3://bucket/prefix
  OffloadedColumn afterwards = OffloadedColumn::null;
  FileText text;
  bool compress = false;  // zstd for media types that it helps

  bool operator==(const OffloadPlan&) const = default;
};

// "store = \"file:///var/files\", source = \"null\", ...": as the mapping writes it, in a fixed order. It is
// part of what decides whether an earlier run can go on.
std::string describe(const OffloadPlan& offload);

std::string_view name_of(OffloadedColumn afterwards);

}  // namespace sluice
