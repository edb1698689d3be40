#pragma once
// A PgBouncer in transaction mode, in front of a test server.

#include <filesystem>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "support/command.h"
#include "support/temporary_directory.h"
#include "support/test_server.h"

namespace sluice::testing {

struct PoolerOptions {
  // Sessions of the server for each database, whatever the number of clients.
  int pool_size = 20;

  // Added to pgbouncer.ini, and stronger than what this class writes there.
  std::vector<std::pair<std::string, std::string>> settings{};
};

// Listens on a Unix socket in a folder of its own. Every client is the server's superuser, without a
// password. As root it runs as the server's user, because it refuses to run as root.
class Pooler {
 public:
  // Debian puts it into /usr/sbin, which is on root's path only.
  static std::optional<std::filesystem::path> program();

  // Returns when it takes connections. Throws std::runtime_error with its log otherwise. The server must
  // outlive it.
  explicit Pooler(const TestServer& server, const PoolerOptions& options = {});
  ~Pooler();
  Pooler(const Pooler&) = delete;
  Pooler& operator=(const Pooler&) = delete;

  [[nodiscard]] std::string conninfo(const std::string& database = "postgres") const;
  [[nodiscard]] std::string log() const { return process_->err_so_far(); }

 private:
  TemporaryDirectory folder_;
  std::optional<RunningCommand> process_;
};

}  // namespace sluice::testing
