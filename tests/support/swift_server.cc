#include "support/swift_server.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <pwd.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cerrno>
#include <fstream>
#include <stdexcept>
#include <system_error>

#include "support/conditions.h"

namespace sluice::testing {
namespace {

// Swift looks for swift.conf there and nowhere else. Its processes see our folder in that place, and nobody
// else does.
constexpr const char* kConfigurationFolder = "/etc/swift";
constexpr const char* kInOurFolder = R"(mount --bind "$1" /etc/swift && shift && exec "$@")";

std::vector<std::string> in_namespace(const std::string& folder, const std::vector<std::string>& argv) {
  std::vector<std::string> command = {"unshare", "--mount"};
  if (::geteuid() != 0) command.emplace_back("--map-root-user");
  command.insert(command.end(), {"sh", "-c", kInOurFolder, "sh", folder});
  command.insert(command.end(), argv.begin(), argv.end());
  return command;
}

// All of them are held until the last one is found, so that they differ.
std::vector<int> free_ports(std::size_t count) {
  std::vector<int> ports;
  std::vector<int> sockets;
  for (std::size_t i = 0; i < count; ++i) {
    const int socket = ::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    socklen_t length = sizeof address;
    if (socket < 0 || ::bind(socket, reinterpret_cast<sockaddr*>(&address), length) != 0 ||
        ::getsockname(socket, reinterpret_cast<sockaddr*>(&address), &length) != 0) {
      throw std::system_error(errno, std::generic_category(), "a free port");
    }
    ports.push_back(ntohs(address.sin_port));
    sockets.push_back(socket);
  }
  for (const int socket : sockets) ::close(socket);
  return ports;
}

bool answers(int port) {
  const int socket = ::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  address.sin_port = htons(static_cast<std::uint16_t>(port));
  const bool connected = ::connect(socket, reinterpret_cast<sockaddr*>(&address), sizeof address) == 0;
  ::close(socket);
  return connected;
}

std::string user_name() {
  if (::geteuid() != 0) return "root";  // as which its namespace sees us
  const passwd* user = ::getpwuid(::geteuid());
  return user == nullptr ? "root" : user->pw_name;
}

// They leave each other out after a second or three, which a busy machine takes: an object is stored then,
// and the listing lacks it.
const std::string kPatience = "node_timeout = 60\nconn_timeout = 10\n";

// What the three storage servers have in common.
std::string storage_configuration(const std::string& kind, int port, const std::string& folder) {
  return "[DEFAULT]\nbind_ip = 127.0.0.1\nbind_port = " + std::to_string(port) +
         "\nworkers = 0\nuser = " + user_name() + "\nswift_dir = " + folder + "\ndevices = " + folder +
         "/devices\nmount_check = false\nlog_level = WARNING\nrecon_cache_path = " + folder +
         "/recon\n[pipeline:main]\npipeline = " + kind + "-server\n[app:" + kind +
         "-server]\nuse = egg:swift#" + kind + "\n" + kPatience + "container_update_timeout = 60\n";
}

}  // namespace

std::string SwiftServer::obstacle() {
  for (const char* program : {"swift-proxy-server", "swift-account-server", "swift-container-server",
                              "swift-object-server", "memcached", "unshare"}) {
    if (run_command({"sh", "-c", "command -v \"$1\"", "sh", program}).exit_status != 0) {
      return std::string("there is no ") + program;
    }
  }
  if (!std::filesystem::is_directory(kConfigurationFolder))
    return "there is no folder of Swift's configuration";
  const TemporaryDirectory folder;
  if (run_command(in_namespace(folder.path(), {"true"})).exit_status != 0) {
    return "a mount of one's own takes root or user namespaces";
  }
  return {};
}

SwiftServer::SwiftServer() : folder_("sluice-swift") {
  const std::string folder = folder_.path();
  const std::vector<int> ports = free_ports(5);
  port_ = ports[0];
  for (const char* below : {"devices/one", "recon"}) std::filesystem::create_directories(folder_ / below);
  write("swift.conf", "[swift-hash]\nswift_hash_path_prefix = sluice\nswift_hash_path_suffix = tests\n");
  write("proxy-server.conf",
        "[DEFAULT]\nbind_ip = 127.0.0.1\nbind_port = " + std::to_string(port_) +
            "\nworkers = 0\nuser = " + user_name() + "\nswift_dir = " + folder +
            "\nlog_level = WARNING\n"
            "[pipeline:main]\npipeline = catch_errors gatekeeper healthcheck cache bulk tempurl s3api "
            "tempauth slo "
            "dlo versioned_writes proxy-server\n"
            "[app:proxy-server]\nuse = egg:swift#proxy\naccount_autocreate = true\n" +
            kPatience +
            "[filter:catch_errors]\nuse = egg:swift#catch_errors\n"
            "[filter:gatekeeper]\nuse = egg:swift#gatekeeper\n"
            "[filter:healthcheck]\nuse = egg:swift#healthcheck\n"
            "[filter:cache]\nuse = egg:swift#memcache\nmemcache_servers = 127.0.0.1:" +
            std::to_string(ports[4]) +
            "\n[filter:bulk]\nuse = egg:swift#bulk\n[filter:tempurl]\nuse = egg:swift#tempurl\n"
            "[filter:s3api]\nuse = egg:swift#s3api\nlocation = " +
            kRegion +
            "\n[filter:tempauth]\nuse = egg:swift#tempauth\nuser_test_tester = testing .admin\n"
            "[filter:slo]\nuse = egg:swift#slo\n[filter:dlo]\nuse = egg:swift#dlo\n"
            "[filter:versioned_writes]\nuse = egg:swift#versioned_writes\nallow_versioned_writes = true\n");
  const std::map<std::string, int> storage = {
      {"account", ports[1]}, {"container", ports[2]}, {"object", ports[3]}};
  for (const auto& [kind, port] : storage)
    write(kind + "-server.conf", storage_configuration(kind, port, folder));
  make_rings(storage);
  std::vector<std::string> memcached = {"memcached", "-l", "127.0.0.1", "-p", std::to_string(ports[4]),
                                        "-U",        "0"};
  if (::geteuid() == 0) memcached.insert(memcached.end(), {"-u", "root"});
  processes_.emplace_back(memcached);
  for (const auto& [kind, _] : storage) {
    start({"swift-" + kind + "-server", folder + "/" + kind + "-server.conf"});
  }
  start({"swift-proxy-server", folder + "/proxy-server.conf"});
  for (const int port : ports) {
    if (!wait_until([&] { return answers(port); }))
      throw std::runtime_error("Swift does not start:\n" + output());
  }
}

SwiftServer::~SwiftServer() = default;

std::string SwiftServer::endpoint() const { return "http://127.0.0.1:" + std::to_string(port_); }

void SwiftServer::write(const std::string& name, const std::string& text) const {
  std::ofstream(folder_ / name) << text;
}

// Where which of the three servers is; one device holds everything.
void SwiftServer::make_rings(const std::map<std::string, int>& ports) const {
  std::vector<std::string> argv = {"/usr/bin/python3", "-c",
                                   "import sys\n"
                                   "from swift.common.ring import RingBuilder\n"
                                   "for kind, port in zip(sys.argv[2::2], sys.argv[3::2]):\n"
                                   "  builder = RingBuilder(4, 1, 1)\n"
                                   "  builder.add_dev({'region': 1, 'zone': 1, 'ip': '127.0.0.1', 'port': "
                                   "int(port), 'device': 'one', 'weight': 1})\n"
                                   "  builder.rebalance()\n"
                                   "  builder.get_ring().save(sys.argv[1] + '/' + kind + '.ring.gz')\n",
                                   folder_.path()};
  for (const auto& [kind, port] : ports) argv.insert(argv.end(), {kind, std::to_string(port)});
  const CommandResult made = run_command(in_namespace(folder_.path(), argv));
  if (made.exit_status != 0) throw std::runtime_error("Swift's rings: " + made.out + made.err);
}

void SwiftServer::start(const std::vector<std::string>& argv) {
  processes_.emplace_back(in_namespace(folder_.path(), argv));
}

std::string SwiftServer::output() const {
  std::string text;
  for (const RunningCommand& process : processes_) text += process.out_so_far() + process.err_so_far();
  return text;
}

}  // namespace sluice::testing
