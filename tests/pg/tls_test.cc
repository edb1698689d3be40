// Who is at the other end: TLS with verify-full, channel binding, and what is said where nothing protects a
// connection. The host that a certificate is for is named by host=, and where it is by hostaddr=, so no name
// has to be resolved.

#include <fcntl.h>
#include <gtest/gtest.h>
#include <sched.h>
#include <unistd.h>

#include <filesystem>
#include <string>
#include <utility>
#include <vector>

#include "support/command.h"
#include "support/conditions.h"
#include "support/query.h"
#include "support/temporary_directory.h"
#include "support/test_server.h"
#include "unit/sqlite_fixture.h"

namespace sluice {
namespace {

namespace fs = std::filesystem;
using testing::CommandResult;
using testing::contains;
using testing::execute;
using testing::query_value;
using testing::run_command;
using testing::TestServer;
using Words = std::vector<std::string>;

constexpr const char* kHost = "database.example";
constexpr const char* kPassword = "only over TLS";

// A certificate authority and what it signed, made anew for each test program.
class Certificates {
 public:
  Certificates() {
    authority("ca");
    authority("stranger");
    openssl({"req", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-keyout", "server.key",
             "-out", "server.csr", "-subj", "/CN=server", "-addext",
             std::string("subjectAltName=DNS:") + kHost});
    openssl({"x509", "-req", "-in", "server.csr", "-CA", "ca.crt", "-CAkey", "ca.key", "-CAcreateserial",
             "-copy_extensions", "copy", "-days", "2", "-out", "server.crt"});
    // The server wants its key for itself.
    if (geteuid() == 0) run({"chown", "postgres", folder_ / "server.key"});
    fs::permissions(folder_ / "server.key", fs::perms::owner_read);
  }

  [[nodiscard]] std::string file(const std::string& name) const { return folder_ / name; }

 private:
  void authority(const std::string& name) const {
    openssl({"req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-keyout",
             name + ".key", "-out", name + ".crt", "-subj", "/CN=" + name, "-days", "2"});
  }
  void openssl(Words words) const {
    words.insert(words.begin(), "openssl");
    run(words);
  }
  void run(const Words& words) const {
    testing::CommandOptions options;
    options.directory = folder_.path();
    const CommandResult result = run_command(words, options);
    if (result.exit_status != 0) throw std::runtime_error(words.front() + ": " + result.err);
  }

  testing::TemporaryDirectory folder_;
};

// Its own address of this machine, so that programs side by side may all use the usual port.
std::string loopback_address() {
  const auto number = static_cast<unsigned>(getpid());
  return "127." + std::to_string(1 + number / 62500 % 250) + "." + std::to_string(1 + number / 250 % 250) +
         "." + std::to_string(1 + number % 250);
}

testing::TestServerOptions server_options(const std::string& address, const Certificates* certificates) {
  testing::TestServerOptions options;
  options.settings = {{"listen_addresses", address}, {"log_connections", "on"}};
  if (certificates != nullptr) {
    options.settings.insert(options.settings.end(), {{"ssl", "on"},
                                                     {"ssl_cert_file", certificates->file("server.crt")},
                                                     {"ssl_key_file", certificates->file("server.key")}});
  }
  return options;
}

void admit(TestServer& server, const std::string& rules) {
  execute(server.conninfo(),
          std::string("CREATE ROLE app LOGIN PASSWORD '") + kPassword +
              "'; GRANT CREATE ON DATABASE postgres TO app; GRANT ALL ON SCHEMA public TO app");
  server.stop();
  testing::put_bytes(server.data_directory() / "pg_hba.conf", "local all all trust\n" + rules);
  server.start();
}

class TlsTest : public ::testing::Test {
 protected:
  static void SetUpTestSuite() {
    certificates_ = new Certificates;
    server_ = new TestServer(server_options(loopback_address(), certificates_));
    admit(*server_, "hostssl all app all scram-sha-256\nhost all postgres all trust\n");
  }
  static void TearDownTestSuite() {
    delete server_;
    delete certificates_;
  }

  TlsTest() {
    testing::Writer(source_).run(
        "CREATE TABLE t (id INTEGER PRIMARY KEY, x TEXT); INSERT INTO t VALUES (1, 'one'), (2, 'two')");
  }

  // key=value pairs, without sslmode.
  static std::string target(const std::string& host = kHost) {
    return "host=" + host + " hostaddr=" + loopback_address() + " dbname=postgres user=app";
  }
  static std::string verified(const std::string& host = kHost, const std::string& authority = "ca.crt") {
    return target(host) + " sslmode=verify-full sslrootcert=" + certificates_->file(authority);
  }

  CommandResult migrate(const std::string& target, const Words& more = {}) {
    Words words = {testing::sluice_program(), "migrate", source_, target, "--table-handling", "drop"};
    words.insert(words.end(), more.begin(), more.end());
    testing::CommandOptions options;
    options.directory = folder_.path();
    // No files of whoever runs the tests.
    options.environment = {{"HOME", folder_.path()}, {"PGPASSWORD", kPassword}};
    return run_command(words, options);
  }

  void expect_refused(const std::string& target, const std::string& words, int status = 20) {
    const CommandResult result = migrate(target);
    EXPECT_EQ(result.exit_status, status) << result.err;
    EXPECT_TRUE(contains(result.err, words)) << result.err;
    EXPECT_EQ(std::count(result.err.begin(), result.err.end(), '\n'), 1) << result.err;
    EXPECT_FALSE(contains(result.err, kPassword)) << result.err;
  }

  static Certificates* certificates_;
  static TestServer* server_;

  testing::TemporaryDirectory folder_;
  std::string source_ = folder_ / "source.db";
};

Certificates* TlsTest::certificates_ = nullptr;
TestServer* TlsTest::server_ = nullptr;

TEST_F(TlsTest, APlainRoleOverVerifiedTlsWithChannelBinding) {
  const CommandResult result = migrate(verified() + " channel_binding=require");
  EXPECT_EQ(result.exit_status, 0) << result.err;
  EXPECT_FALSE(contains(result.err, "warning")) << result.err;
  const std::string log = server_->log();
  EXPECT_TRUE(
      contains(log, "connection authorized: user=app database=postgres application_name=sluice SSL enabled"))
      << log;
  EXPECT_EQ(query_value(server_->conninfo(), "SELECT count(*) FROM t"), "2");

  const CommandResult as_uri =
      migrate(std::string("postgresql://app@") + kHost + "/postgres?hostaddr=" + loopback_address() +
              "&sslmode=verify-full&channel_binding=require&sslrootcert=" + certificates_->file("ca.crt"));
  EXPECT_EQ(as_uri.exit_status, 0) << as_uri.err;
}

// Another name, though the address is right and the certificate is signed by whom we trust.
TEST_F(TlsTest, AnotherHostNameIsRefused) {
  expect_refused(verified("other.example"),
                 "server certificate for \"database.example\" does not match host name "
                 "\"other.example\"");
  // Lesser modes do not look at the name; that is libpq's meaning of them.
  EXPECT_EQ(
      migrate(target("other.example") + " sslmode=verify-ca sslrootcert=" + certificates_->file("ca.crt"))
          .exit_status,
      0);
}

TEST_F(TlsTest, AnUnknownAuthorityIsRefused) {
  expect_refused(
      verified(kHost, "stranger.crt"),
      "certificate verify failed; nothing was sent; check the host name in TARGET, sslmode and sslrootcert");
  expect_refused(verified(kHost, "missing.crt"), "does not exist");
  expect_refused(target() + " sslmode=verify-full", "root certificate file");
}

TEST_F(TlsTest, AServerThatTakesTlsAloneSaysSo) {
  expect_refused(target() + " sslmode=disable", "no encryption");
  expect_refused(target() +
                     " sslmode=require channel_binding=require ssl_min_protocol_version=TLSv1.3 "
                     "ssl_max_protocol_version=TLSv1.2",
                 "", 2);
}

TEST_F(TlsTest, AWrongPasswordOverTls) {
  expect_refused(verified() + " password=wrong", "password authentication failed for user \"app\" [28P01]");
}

// What is asked for does not exist: no later attempt will find it.
TEST_F(TlsTest, AServerWithoutTlsIsRefusedWhereTlsIsAskedFor) {
  const std::string address = loopback_address();
  server_->stop();
  {
    TestServer plain(server_options(address, nullptr));
    admit(plain, "host all all all scram-sha-256\n");
    expect_refused(verified(), "server does not support SSL, but SSL was required; let the server offer TLS");
    expect_refused(target() + " sslmode=require", "server does not support SSL");
    expect_refused(target() + " channel_binding=require", "channel binding required, but SSL not in use");
    // On this machine there is nobody on the way.
    const CommandResult result = migrate(target());
    EXPECT_EQ(result.exit_status, 0) << result.err;
    EXPECT_FALSE(contains(result.err, "warning")) << result.err;
  }
  server_->start();
}

// A network namespace of this thread and what it starts, with one address beside the loopback ones. Not every
// kernel has a device for it, so lo gets it.
class Network {
 public:
  static constexpr const char* kAddress = "10.99.0.1";

  Network() : before_(open("/proc/self/ns/net", O_RDONLY | O_CLOEXEC)) {
    if (unshare(CLONE_NEWNET) != 0) return;
    entered_ = true;
    made_ =
        run_command({"sh", "-c", std::string("ip link set lo up && ip addr add ") + kAddress + "/24 dev lo"})
            .exit_status == 0;
  }
  ~Network() {
    if (entered_) setns(before_, CLONE_NEWNET);
    close(before_);
  }
  Network(const Network&) = delete;
  Network& operator=(const Network&) = delete;
  [[nodiscard]] bool made() const { return made_; }

 private:
  int before_;
  bool entered_ = false;
  bool made_ = false;
};

TEST_F(TlsTest, AConnectionThatAnybodyCanReadDrawsOneWarning) {
  const Network network;
  if (!network.made()) GTEST_SKIP() << "making a network takes root";
  TestServer server(server_options(Network::kAddress, certificates_));
  admit(server, "host all app all scram-sha-256\n");
  const std::string address = std::string("host=") + Network::kAddress + " dbname=postgres user=app";
  const std::string warning =
      "sluice: the connection to 10.99.0.1 is not encrypted, and its rows can be read and changed on the "
      "way; sslmode=verify-full";
  const auto warnings_in = [&](const CommandResult& result) {
    std::size_t count = 0;
    for (std::size_t at = result.err.find(warning); at != std::string::npos;
         at = result.err.find(warning, at + 1))
      ++count;
    return count;
  };
  const CommandResult plain = migrate(address + " sslmode=disable");
  EXPECT_EQ(plain.exit_status, 0) << plain.err;
  EXPECT_EQ(warnings_in(plain), 1U) << plain.err;  // several connections, one line
  for (const Words& words : std::vector<Words>{{"verify", source_}, {"status"}, {"plan", source_}}) {
    Words argv = words;
    argv.insert(argv.begin(), testing::sluice_program());
    argv.push_back(address + " sslmode=disable");
    if (words.front() == "plan") argv.emplace_back("--data-only");
    testing::CommandOptions options;
    options.environment = {{"HOME", folder_.path()}, {"PGPASSWORD", kPassword}};
    const CommandResult result = run_command(argv, options);
    EXPECT_EQ(result.exit_status, 0) << result.err;
    EXPECT_EQ(warnings_in(result), 1U) << words.front() << ": " << result.err;
  }

  // TLS, even where nobody looks at the certificate: nobody reads it by the way. And the socket.
  for (const std::string& quiet :
       {address + " sslmode=require",
        std::string("host=") + kHost + " hostaddr=" + Network::kAddress +
            " dbname=postgres user=app sslmode=verify-full sslrootcert=" + certificates_->file("ca.crt"),
        server.conninfo()}) {
    const CommandResult result = migrate(quiet);
    EXPECT_EQ(result.exit_status, 0) << result.err;
    EXPECT_FALSE(contains(result.err, "warning")) << result.err;
  }
}

}  // namespace
}  // namespace sluice
