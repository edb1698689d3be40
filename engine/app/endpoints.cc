#include "engine/app/endpoints.h"

#include <string_view>

#include "engine/model/error.h"

namespace sluice {
namespace {

constexpr std::string_view kSqliteScheme = "sqlite://";
constexpr std::string_view kLocalScheme = "local:";

}  // namespace

std::filesystem::path source_path(const std::string& source) {
  if (source.starts_with(kSqliteScheme)) return source.substr(kSqliteScheme.size());
  if (source.find("://") != std::string::npos) {
    // Not repeated: with the arguments in the wrong order it may hold a password.
    throw Error(Fault::usage, "SOURCE is an address, not a SQLite file",
                "the order is: sluice migrate SOURCE TARGET");
  }
  return source;
}

TargetEndpoint open_target(const std::string& target) {
  if (!target.starts_with(kLocalScheme)) return {target, std::nullopt};
  LocalServer server = ensure_local_server(target.substr(kLocalScheme.size()));
  std::string conninfo = server.conninfo;
  return {std::move(conninfo), std::move(server)};
}

std::string default_target(const std::filesystem::path& source) {
  return std::string(kLocalScheme) + source.filename().string() + ".pg";
}

}  // namespace sluice
