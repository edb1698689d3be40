#include "io/store/open_store.h"

#include <string_view>

#include "engine/model/error.h"
#include "engine/model/hex.h"
#include "io/store/local_store.h"

namespace sluice {
namespace {

constexpr std::string_view kFile = "file://";
constexpr std::string_view kS3 = "s3://";

[[noreturn]] void refuse(const std::string& uri, const std::string& why) {
  throw Error(Fault::usage, uri + " is no address of a file store: " + why,
              "write file:///absolute/folder or s3://bucket/prefix");
}

bool has_control_characters(std::string_view text) {
  for (const char c : text) {
    if (static_cast<unsigned char>(c) < 0x20 || c == 0x7f) return true;
  }
  return false;
}

std::string folder_of(const std::string& uri) {
  std::string folder;
  const std::string_view path = std::string_view(uri).substr(kFile.size());
  for (std::size_t i = 0; i < path.size(); ++i) {
    if (path[i] == '?' || path[i] == '#') {
      refuse(uri, "a question mark or a number sign of a folder's name is written %3F or %23");
    }
    if (path[i] != '%') {
      folder += path[i];
      continue;
    }
    const std::optional<std::string> byte = bytes_of_hex(path.substr(i + 1, 2));
    if (!byte || byte->size() != 1 || byte->front() == '\0') {
      refuse(uri,
             "two hexadecimal digits must follow each percent sign; a percent sign itself is written %25");
    }
    folder += *byte;
    i += 2;
  }
  if (!folder.starts_with('/')) refuse(uri, "the path is not absolute");
  while (folder.ends_with('/')) folder.pop_back();
  if (folder.empty()) refuse(uri, "that is the root of the file system");
  return folder;
}

}  // namespace

std::unique_ptr<FileStore> open_store(const std::string& uri, const StoreOptions& options) {
  static_cast<void>(options);
  if (has_control_characters(uri))
    throw Error(Fault::usage, "the address of a file store holds control characters");
  if (uri.starts_with(kFile)) return std::make_unique<LocalStore>(folder_of(uri));
  if (uri.starts_with(kS3)) throw Error(Fault::usage, "S3 is not there yet");
  refuse(uri, "its scheme is neither file nor s3");
}

}  // namespace sluice
