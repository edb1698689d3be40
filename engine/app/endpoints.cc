#include "engine/app/endpoints.h"

#include <fmt/format.h>

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

TargetEndpoint open_target(const std::string& target, LocalTarget local) {
  if (!target.starts_with(kLocalScheme)) return {target, std::nullopt};
  std::string name = target.substr(kLocalScheme.size());
  while (name.size() > 1 && name.ends_with('/')) name.pop_back();
  const std::filesystem::path directory = name;
  std::error_code ignored;
  if (local == LocalTarget::must_exist && !std::filesystem::exists(directory / "data", ignored)) {
    throw Error(Fault::usage, "there is no embedded server in " + directory.string(), "check the directory");
  }
  // A typing error must not leave a chain of new folders behind.
  const std::filesystem::path parent =
      std::filesystem::absolute(directory, ignored).lexically_normal().parent_path();
  if (!std::filesystem::is_directory(parent, ignored)) {
    throw Error(Fault::usage, "there is no directory " + parent.string() + " to make the embedded server in",
                "create it, or choose another local:DIR");
  }
  LocalServer server = ensure_local_server(directory);
  std::string conninfo = server.conninfo;
  return {std::move(conninfo), std::move(server)};
}

bool is_up(const std::string& target) {
  if (!target.starts_with(kLocalScheme)) return true;
  std::error_code ignored;
  const std::filesystem::path directory = target.substr(kLocalScheme.size());
  return std::filesystem::exists(directory / "data" / "postmaster.pid", ignored);
}

std::string default_target(const std::filesystem::path& source) {
  return std::string(kLocalScheme) + source.filename().string() + ".pg";
}

void warn_of_plain_text(const Connection& connection, Console& console) {
  if (!connection.is_exposed()) return;
  console.note({.level = LogLevel::warning,
                .message = fmt::format(
                    "the connection to {} is not encrypted, and its rows can be read and changed on the way; "
                    "sslmode=verify-full (with sslrootcert=FILE of the CA) in TARGET protects them",
                    connection.host())});
}

void connect_lanes(std::vector<std::unique_ptr<Connection>>& connections, const std::string& conninfo,
                   std::size_t count, Console& console) {
  while (connections.size() < count) {
    try {
      connections.push_back(std::make_unique<Connection>(conninfo));
      if (connections.size() == 1) warn_of_plain_text(*connections.front(), console);
    } catch (const Error& error) {
      if (error.sqlstate() != "53300" || connections.empty()) throw;
      console.say(fmt::format("the server has room for {} only; going on with those",
                              counted(connections.size(), "connection")));
      return;
    }
  }
}

}  // namespace sluice
