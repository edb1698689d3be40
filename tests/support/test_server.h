#pragma once
// A throw-away PostgreSQL for one test program.

#include <filesystem>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "support/command.h"
#include "support/temporary_directory.h"

namespace sluice::testing {

struct TestServerOptions {
  // Added to postgresql.conf's settings, and stronger than the defaults of this class.
  std::vector<std::pair<std::string, std::string>> settings{};

  // The folder with initdb and postgres: another major version, say. Empty: SLUICE_POSTGRES_BIN if set, else
  // the newest of /usr/lib/postgresql/*/bin.
  std::filesystem::path binaries{};
};

// How a server ends. `fast` rolls back and writes a checkpoint; `immediate` is a crash: no checkpoint, and
// the next start recovers from the log.
enum class Stop { fast, immediate };

// The folder with initdb and postgres of that major version: what SLUICE_TEST_POSTGRES<major> says, or else
// Debian's. Nothing where there is none: skip what needs it, for the reason that how_to_get() gives.
std::optional<std::filesystem::path> binaries_of(int major);
std::string how_to_get(int major);

// PostgreSQL and PgBouncer refuse to run as root.
constexpr const char* kServerUserWhenRoot = "postgres";

// As root: makes that user the owner. Otherwise nothing.
void give_to_server_user(const std::filesystem::path& folder);

// The server listens on a Unix socket in a temporary folder, and nowhere else. It does not fsync: this is the
// right server for a killed process, and the wrong one for a power cut. As root it runs as the user postgres.
//
// It dies with the test program, however that ends: the kernel sends it SIGQUIT. Only the thread that started
// it counts for that, so construct and start() it from the main thread.
class TestServer {
 public:
  // Returns when the server takes connections. Throws std::runtime_error with the server's log otherwise.
  explicit TestServer(TestServerOptions options = {});
  ~TestServer();
  TestServer(const TestServer&) = delete;
  TestServer& operator=(const TestServer&) = delete;

  // For libpq and for sluice's TARGET. The superuser is `postgres`.
  [[nodiscard]] std::string conninfo(const std::string& database = "postgres") const;

  // Makes an empty database, after dropping the one of that name if there is one. Returns its conninfo.
  std::string create_database(const std::string& name);

  void stop(Stop how = Stop::fast);
  void start();  // REQUIRES: stopped

  // Whether the postmaster runs. It keeps running when only a backend crashes.
  [[nodiscard]] bool running();
  [[nodiscard]] pid_t pid() const { return postgres_->pid(); }

  // What the server has logged since the last start.
  [[nodiscard]] std::string log() const { return postgres_->err_so_far(); }

  [[nodiscard]] const std::filesystem::path& socket_directory() const { return folder_.path(); }
  [[nodiscard]] std::filesystem::path data_directory() const { return folder_ / "data"; }
  [[nodiscard]] const std::filesystem::path& binaries() const { return options_.binaries; }

 private:
  TestServerOptions options_;
  TemporaryDirectory folder_;
  std::optional<RunningCommand> postgres_;
};

// The server of this test program: started when first asked for, stopped at exit. Tests keep apart by using a
// database each.
TestServer& shared_test_server();

}  // namespace sluice::testing
