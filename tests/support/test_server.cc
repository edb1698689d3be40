#include "support/test_server.h"

#include <libpq-fe.h>
#include <pwd.h>
#include <unistd.h>

#include <cerrno>
#include <charconv>
#include <csignal>
#include <cstdlib>
#include <stdexcept>
#include <system_error>
#include <thread>

#include "support/query.h"

namespace sluice::testing {
namespace {

using namespace std::chrono_literals;

constexpr const char* kDebianServers = "/usr/lib/postgresql";  // 15/bin, 16/bin, ...

constexpr auto kPatience = 300s;  // a machine under sanitizers and full load is slow

std::filesystem::path find_binaries() {
  if (const char* given = std::getenv("SLUICE_POSTGRES_BIN")) return given;
  std::filesystem::path newest;
  int newest_major = 0;
  std::error_code none;
  for (const auto& entry : std::filesystem::directory_iterator(kDebianServers, none)) {
    const std::string name = entry.path().filename();
    int major = 0;
    std::from_chars(name.data(), name.data() + name.size(), major);
    const std::filesystem::path folder = entry.path() / "bin";
    if (major > newest_major && std::filesystem::exists(folder / "initdb")) {
      newest_major = major;
      newest = folder;
    }
  }
  if (newest.empty()) throw std::runtime_error("no PostgreSQL server found: set SLUICE_POSTGRES_BIN");
  return newest;
}

std::string variable_of(int major) { return "SLUICE_TEST_POSTGRES" + std::to_string(major); }

}  // namespace

void give_to_server_user(const std::filesystem::path& folder) {
  if (geteuid() != 0) return;
  const passwd* user = getpwnam(kServerUserWhenRoot);
  if (user == nullptr) throw std::runtime_error("as root the tests need a user named postgres");
  if (chown(folder.c_str(), user->pw_uid, user->pw_gid) != 0) {
    throw std::system_error(errno, std::generic_category(), folder);
  }
}

std::optional<std::filesystem::path> binaries_of(int major) {
  if (const char* given = std::getenv(variable_of(major).c_str())) return given;
  std::filesystem::path folder = std::filesystem::path(kDebianServers) / std::to_string(major) / "bin";
  if (!std::filesystem::exists(folder / "initdb")) return std::nullopt;
  return folder;
}

std::string how_to_get(int major) {
  const std::string version = std::to_string(major);
  return "no PostgreSQL " + version + " here: set " + variable_of(major) +
         " to the folder of its initdb and postgres, such as .ci/postgres prints";
}

TestServer::TestServer(TestServerOptions options) : options_(std::move(options)), folder_("sluice-server") {
  if (options_.binaries.empty()) options_.binaries = find_binaries();
  give_to_server_user(folder_.path());
  CommandOptions as_server;
  as_server.user = kServerUserWhenRoot;
  as_server.directory = folder_.path();
  // Collation and character types as in the embedded server of `local:DIR`.
  const CommandResult made =
      run_command({options_.binaries / "initdb", "--pgdata=data", "--username=postgres", "--auth=trust",
                   "--encoding=UTF8", "--locale=C", "--lc-ctype=C.UTF-8", "--no-sync", "--no-instructions"},
                  as_server);
  if (made.exit_status != 0) throw std::runtime_error("initdb: " + made.out + made.err);
  start();
}

TestServer::~TestServer() {
  if (running()) stop(Stop::immediate);
}

void TestServer::start() {
  std::vector<std::pair<std::string, std::string>> settings = {
      {"listen_addresses", ""},
      {"unix_socket_directories", folder_.path()},
      {"port", "5432"},
      {"fsync", "off"},
      {"full_page_writes", "off"},  // pages tear when the power goes, not when a process does
      {"shared_buffers", "64MB"},
      {"max_wal_size", "2GB"},
      {"max_connections", "100"},
      {"log_line_prefix", "%m [%p] %q%a "},
  };
  // The later one of a name wins.
  settings.insert(settings.end(), options_.settings.begin(), options_.settings.end());
  std::vector<std::string> argv = {options_.binaries / "postgres", "-D", "data"};
  for (const auto& [name, value] : settings) {
    argv.emplace_back("-c");
    argv.push_back(name + "=" + value);
  }
  CommandOptions as_server;
  as_server.user = kServerUserWhenRoot;
  as_server.directory = folder_.path();
  as_server.signal_when_we_die = SIGQUIT;  // the postmaster then ends its children, too
  postgres_.reset();
  postgres_.emplace(std::move(argv), std::move(as_server));

  const auto deadline = std::chrono::steady_clock::now() + kPatience;
  while (PQping(conninfo().c_str()) != PQPING_OK) {
    if (!postgres_->running() || std::chrono::steady_clock::now() > deadline) {
      throw std::runtime_error("the test server does not start:\n" + log());
    }
    std::this_thread::sleep_for(10ms);
  }
}

void TestServer::stop(Stop how) {
  postgres_->send(how == Stop::fast ? SIGINT : SIGQUIT);
  const auto deadline = std::chrono::steady_clock::now() + kPatience;
  while (running()) {
    if (std::chrono::steady_clock::now() > deadline) postgres_->send(SIGKILL);
    std::this_thread::sleep_for(2ms);
  }
}

bool TestServer::running() { return postgres_ && postgres_->running(); }

std::string TestServer::conninfo(const std::string& database) const {
  return "host=" + folder_.path().string() + " port=5432 user=postgres dbname='" + database + "'";
}

std::string TestServer::create_database(const std::string& name) {
  // FORCE waits 5 s for the sessions that it ends, and one may be in the middle of something longer.
  const auto deadline = std::chrono::steady_clock::now() + kPatience;
  for (bool dropped = false; !dropped;) {
    try {
      execute(conninfo(), "DROP DATABASE IF EXISTS \"" + name + "\" WITH (FORCE)");
      dropped = true;
    } catch (const std::runtime_error& error) {
      const bool in_use = std::string_view(error.what()).find("55006") != std::string_view::npos;
      if (!in_use || std::chrono::steady_clock::now() > deadline) throw;
    }
  }
  execute(conninfo(), "CREATE DATABASE \"" + name + "\" TEMPLATE template0");
  return conninfo(name);
}

TestServer& shared_test_server() {
  static TestServer server;
  return server;
}

}  // namespace sluice::testing
