#include "support/pooler.h"

#include <libpq-fe.h>

#include <chrono>
#include <csignal>
#include <cstdlib>
#include <fstream>
#include <sstream>
#include <stdexcept>
#include <thread>

namespace sluice::testing {
namespace {

using namespace std::chrono_literals;

constexpr auto kPatience = 180s;

}  // namespace

std::optional<std::filesystem::path> Pooler::program() {
  const char* path = std::getenv("PATH");
  std::istringstream folders(std::string(path == nullptr ? "" : path) + ":/usr/sbin:/usr/local/sbin");
  for (std::string folder; std::getline(folders, folder, ':');) {
    std::filesystem::path file = std::filesystem::path(folder) / "pgbouncer";
    if (std::filesystem::exists(file)) return file;
  }
  return std::nullopt;
}

Pooler::Pooler(const TestServer& server, const PoolerOptions& options) : folder_("sluice-pooler") {
  give_to_server_user(folder_.path());
  const std::filesystem::path file = folder_ / "pgbouncer.ini";
  {
    std::ofstream ini(file);
    // `any` takes everybody for the user of the database's line.
    ini << "[databases]\n* = host=" << server.socket_directory().string() << " port=5432 user=postgres\n"
        << "[pgbouncer]\nlisten_addr =\nlisten_port = 6432\nunix_socket_dir = " << folder_.path().string()
        << "\nauth_type = any\npool_mode = transaction\ndefault_pool_size = " << options.pool_size
        << "\nmax_client_conn = 200\nlog_connections = 0\nlog_disconnections = 0\n";
    for (const auto& [name, value] : options.settings) ini << name << " = " << value << "\n";
  }
  CommandOptions as_server;
  as_server.user = kServerUserWhenRoot;
  as_server.directory = folder_.path();
  as_server.signal_when_we_die = SIGKILL;
  process_.emplace(std::vector<std::string>{program().value_or("pgbouncer"), file}, std::move(as_server));
  const auto deadline = std::chrono::steady_clock::now() + kPatience;
  while (PQping(conninfo().c_str()) != PQPING_OK) {
    if (!process_->running() || std::chrono::steady_clock::now() > deadline) {
      throw std::runtime_error("the pooler does not start:\n" + log());
    }
    std::this_thread::sleep_for(10ms);
  }
}

Pooler::~Pooler() = default;

std::string Pooler::conninfo(const std::string& database) const {
  return "host=" + folder_.path().string() + " port=6432 user=postgres dbname='" + database + "'";
}

}  // namespace sluice::testing
