#include "io/store/open_store.h"

#include <algorithm>
#include <string_view>
#include <utility>
#include <vector>

#include "engine/model/error.h"
#include "engine/model/hex.h"
#include "io/store/local_store.h"
#include "io/store/s3_store.h"

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

// One of those variables; empty when none is set.
std::string first_of(const EnvironmentLookup& environment, const std::vector<std::string>& names) {
  for (const std::string& name : names) {
    const std::optional<std::string> value = environment ? environment(name) : std::nullopt;
    if (value && !value->empty()) return *value;
  }
  return {};
}

std::unique_ptr<FileStore> open_s3(const std::string& uri, const StoreOptions& options) {
  constexpr std::string_view kLetters = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789";
  const std::string rest = uri.substr(kS3.size());
  const std::size_t slash = std::min(rest.find('/'), rest.size());
  const std::string bucket = rest.substr(0, slash);
  if (bucket.size() < 3 || bucket.size() > 255 ||
      bucket.find_first_not_of(std::string(kLetters) + ".-_") != std::string::npos ||
      kLetters.find(bucket.front()) == std::string_view::npos || bucket.find("..") != std::string::npos) {
    refuse(uri, "the name of a bucket is three letters, digits, points and hyphens or more");
  }
  std::string prefix = rest.substr(slash);
  while (prefix.ends_with('/')) prefix.pop_back();
  if (prefix.size() > 512) refuse(uri, "the prefix is too long");
  for (std::size_t begin = 0; begin < prefix.size();) {
    const std::size_t end = std::min(prefix.find('/', begin + 1), prefix.size());
    const std::string part = prefix.substr(begin + 1, end - begin - 1);
    if (part.empty() || part == "." || part == "..")
      refuse(uri, "the prefix has a part that is empty, . or ..");
    begin = end;
  }
  if (!prefix.empty()) prefix.erase(0, 1);

  const EnvironmentLookup& environment = options.environment;
  const std::string endpoint =
      options.endpoint.empty() ? find_endpoint(environment).value_or("") : options.endpoint;
  S3Options s3;
  s3.calls.region = options.region.empty() ? find_region(environment) : options.region;
  s3.calls.address = s3_address(endpoint, s3.calls.region, bucket);
  s3.calls.credentials = find_credentials(environment);
  // As curl and the AWS tools have it. HTTP_PROXY in capitals is what a web server passes to its scripts.
  s3.calls.http.proxy = s3.calls.address.origin.starts_with("https")
                            ? first_of(environment, {"https_proxy", "HTTPS_PROXY", "all_proxy", "ALL_PROXY"})
                            : first_of(environment, {"http_proxy", "all_proxy", "ALL_PROXY"});
  s3.calls.http.no_proxy = first_of(environment, {"no_proxy", "NO_PROXY"});
  s3.calls.http.certificates = first_of(environment, {"AWS_CA_BUNDLE"});
  s3.calls.retry_for = options.retry_for;
  s3.calls.stop = options.stop;
  s3.removable_after = options.removable_after;
  return std::make_unique<S3Store>(bucket, prefix, std::move(s3));
}

}  // namespace

std::unique_ptr<FileStore> open_store(const std::string& uri, const StoreOptions& options) {
  if (has_control_characters(uri))
    throw Error(Fault::usage, "the address of a file store holds control characters");
  if (uri.starts_with(kFile)) return std::make_unique<LocalStore>(folder_of(uri));
  if (uri.starts_with(kS3)) return open_s3(uri, options);
  refuse(uri, "its scheme is neither file nor s3");
}

}  // namespace sluice
