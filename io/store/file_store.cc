#include "io/store/file_store.h"

#include <cstring>

#include "engine/model/hex.h"

namespace sluice {
namespace {

constexpr std::string_view kCompressed = ".zst";

}  // namespace

std::string FileName::text() const {
  const std::string hex = hex_of({reinterpret_cast<const char*>(sha256.data()), sha256.size()});
  return hex.substr(0, 2) + "/" + hex + (zstd ? std::string(kCompressed) : std::string());
}

std::optional<FileName> FileName::parse(std::string_view text) {
  FileName name;
  name.zstd = text.ends_with(kCompressed);
  const std::size_t slash = text.find('/');
  if (slash == std::string_view::npos) return std::nullopt;
  const std::string_view digits = text.substr(slash + 1, 2 * name.sha256.size());
  const std::optional<std::string> bytes = bytes_of_hex(digits);
  if (!bytes || bytes->size() != name.sha256.size()) return std::nullopt;
  std::memcpy(name.sha256.data(), bytes->data(), bytes->size());
  // One name for one file: no other spelling of it is taken.
  if (name.text() != text) return std::nullopt;
  return name;
}

}  // namespace sluice
