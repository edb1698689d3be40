#pragma once
// SOURCE and TARGET as the user writes them.

#include <filesystem>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "engine/app/console.h"
#include "io/postgres/connection.h"
#include "io/postgres/local_server.h"

namespace sluice {

// A path, or sqlite:///absolute/path.
std::filesystem::path source_path(const std::string& source);

struct TargetEndpoint {
  std::string conninfo;              // for libpq
  std::optional<LocalServer> local;  // when the target is local:DIR; running by now
};

enum class LocalTarget : std::uint8_t {
  create,      // make the embedded server where there is none
  must_exist,  // only start it
};

// Starts the embedded server of a local: target. REQUIRES: target is not empty. Throws Error (usage) for a
// local: directory that has no server and may not get one.
TargetEndpoint open_target(const std::string& target, LocalTarget local);

// False for a local: target whose server does not run: open_target() would start or make it.
bool is_up(const std::string& target);

// The target of a migration without one: next to where the user stands.
std::string default_target(const std::filesystem::path& source);

// Says so when what travels on the connection can be read on the way.
void warn_of_plain_text(const Connection& connection, Console& console);

// Adds connections until there are `count`, or as many as the server has room for, which is said. One at
// least.
void connect_lanes(std::vector<std::unique_ptr<Connection>>& connections, const std::string& conninfo,
                   std::size_t count, Console& console);

}  // namespace sluice
