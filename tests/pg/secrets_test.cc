// A password arrives, however odd it is and by whatever way, and is seen nowhere afterwards.

#include <gtest/gtest.h>
#include <libpq-fe.h>
#include <unistd.h>

#include <csignal>
#include <fstream>
#include <memory>
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
using testing::CommandOptions;
using testing::CommandResult;
using testing::contains;
using testing::execute;
using testing::query;
using testing::query_value;
using Words = std::vector<std::string>;

constexpr const char* kPassword = "S3cr3t@:/%'\" w\\ord&=?#";
constexpr const char* kTellTale = "S3cr3t";  // no form of it lacks this part

std::string replaced(std::string text, const std::string& what, const std::string& by) {
  for (std::size_t at = 0; (at = text.find(what, at)) != std::string::npos; at += by.size()) {
    text.replace(at, what.size(), by);
  }
  return text;
}

std::string percent_encoded(const std::string& text) {
  constexpr const char* kHex = "0123456789ABCDEF";
  std::string encoded;
  for (const char c : text) {
    if (std::isalnum(static_cast<unsigned char>(c)) != 0) {
      encoded += c;
    } else {
      encoded += {'%', kHex[static_cast<unsigned char>(c) >> 4], kHex[c & 15]};
    }
  }
  return encoded;
}

struct FinishPlainConnection {
  void operator()(PGconn* connection) const { PQfinish(connection); }
};

class SecretsTest : public ::testing::Test {
 protected:
  static void SetUpTestSuite() {
    server_ = new testing::TestServer();
    const std::string literal = replaced(replaced(kPassword, "\\", "\\\\"), "'", "''");
    execute(server_->conninfo(),
            "CREATE ROLE app LOGIN PASSWORD E'" + literal + "'; CREATE ROLE other LOGIN PASSWORD 'S3cr3t'");
    // Everybody gives a password but the superuser.
    server_->stop();
    testing::put_bytes(server_->data_directory() / "pg_hba.conf",
                       "local all postgres trust\nlocal all all scram-sha-256\n");
    server_->start();
  }
  static void TearDownTestSuite() {
    delete server_;
    server_ = nullptr;
  }

  SecretsTest() {
    superuser_ = server_->create_database("secrets");
    execute(superuser_, "GRANT CREATE ON DATABASE secrets TO app; GRANT ALL ON SCHEMA public TO app");
    testing::Writer(source_).run(
        "CREATE TABLE t (id INTEGER PRIMARY KEY, x TEXT); INSERT INTO t VALUES (1, 'one'), (2, 'two')");
  }

  static std::string folder_of_server() { return server_->socket_directory().string(); }
  static std::string pairs() { return "host=" + folder_of_server() + " dbname=secrets user=app"; }
  static std::string pairs_with_password() {
    return pairs() + " password='" + replaced(replaced(kPassword, "\\", "\\\\"), "'", "\\'") + "'";
  }
  static std::string uri_with_password() {
    return "postgresql://app:" + percent_encoded(kPassword) + "@" + percent_encoded(folder_of_server()) +
           "/secrets";
  }
  static std::string uri_with_parameter() {
    return "postgresql:///secrets?host=" + folder_of_server() +
           "&user=app&password=" + percent_encoded(kPassword);
  }

  std::string write(const std::string& name, const std::string& text) {
    testing::put_bytes(folder_ / name, text);
    fs::permissions(folder_ / name, fs::perms::owner_read | fs::perms::owner_write);
    return folder_ / name;
  }

  CommandOptions options() const {
    CommandOptions options;
    options.directory = folder_.path();
    options.environment = environment_;
    options.environment.emplace_back("HOME", folder_.path());
    return options;
  }

  CommandResult sluice(Words words) const {
    words.insert(words.begin(), testing::sluice_program());
    return run_command(words, options());
  }

  // What is in the ledger, all of it.
  std::string ledger() const {
    std::string text;
    for (const char* table : {"run", "run_table", "work", "step", "failure", "repair"}) {
      text +=
          query_value(superuser_, std::string("SELECT coalesce(string_agg(t::text, ' '), '') FROM sluice.") +
                                      table + " t");
    }
    return text;
  }

  void expect_kept(const std::string& text) const { EXPECT_FALSE(contains(text, kTellTale)) << text; }

  // Every command gets in with it, and tells nobody.
  void expect_works(const std::string& target) {
    const CommandResult migrated =
        sluice({"migrate", source_, target, "--report", folder_ / "report", "--restart"});
    EXPECT_EQ(migrated.exit_status, 0) << migrated.err;
    expect_kept(migrated.out + migrated.err);
    for (const auto& entry : fs::directory_iterator(folder_ / "report"))
      expect_kept(testing::bytes_of(entry.path()));
    expect_kept(ledger());
    for (const Words& words : std::vector<Words>{{"verify", source_, target, "--json"},
                                                 {"verify", source_, target, "--scan", "--target", target},
                                                 {"status", target},
                                                 {"plan", source_, target, "--data-only"},
                                                 {"migrate", source_, target, "--dry-run"}}) {
      const CommandResult result = sluice(words);
      // The primary is no standby of itself, which is said.
      EXPECT_EQ(result.exit_status, words.size() == 6 ? 2 : 0) << words.front() << ": " << result.err;
      expect_kept(result.out + result.err);
    }
  }

  void expect_refused(const std::string& target, int status = 20) {
    const CommandResult result = sluice({"migrate", source_, target, "--report", folder_ / "report"});
    EXPECT_EQ(result.exit_status, status) << result.err;
    expect_kept(result.out + result.err + testing::bytes_of(folder_ / "report/report.json"));
  }

  static testing::TestServer* server_;

  testing::TemporaryDirectory folder_;
  std::string source_ = folder_ / "source.db";
  std::string superuser_;
  std::vector<std::pair<std::string, std::string>> environment_;
};

testing::TestServer* SecretsTest::server_ = nullptr;

// ---- every way in ----

TEST_F(SecretsTest, APasswordInAUri) { expect_works(uri_with_password()); }
TEST_F(SecretsTest, APasswordInAParameterOfAUri) { expect_works(uri_with_parameter()); }
TEST_F(SecretsTest, APasswordInAKey) { expect_works(pairs_with_password()); }

TEST_F(SecretsTest, APasswordInTheEnvironment) {
  environment_ = {{"PGPASSWORD", kPassword}};
  expect_works(pairs());
}

TEST_F(SecretsTest, APasswordInAPasswordFile) {
  const std::string escaped = replaced(replaced(kPassword, "\\", "\\\\"), ":", "\\:");
  environment_ = {{"PGPASSFILE", write("passwords", "*:*:secrets:app:" + escaped + "\n")}};
  expect_works(pairs());
  expect_works("postgresql://app@/secrets?host=" + folder_of_server());
  // libpq does not use a file that others may read, and says so.
  fs::permissions(folder_ / "passwords", fs::perms::others_read, fs::perm_options::add);
  expect_refused(pairs());
}

TEST_F(SecretsTest, APasswordInAPasswordFileAtHome) {
  write(".pgpass", "*:*:*:app:" + replaced(replaced(kPassword, "\\", "\\\\"), ":", "\\:") + "\n");
  expect_works(pairs());
}

TEST_F(SecretsTest, APasswordInAServiceFile) {
  environment_ = {
      {"PGSERVICEFILE", write("services", "[app]\nhost=" + folder_of_server() +
                                              "\ndbname=secrets\nuser=app\npassword=" + kPassword + "\n")}};
  expect_works("service=app");
  expect_works("postgresql:///?service=app");
  expect_refused("service=missing", 2);
  environment_ = {{"PGSERVICEFILE", write("services", "[app]\npassword " + std::string(kPassword) + "\n")}};
  expect_refused("service=app", 2);
}

// ---- refusals ----

TEST_F(SecretsTest, AWrongPasswordIsNotRepeated) {
  for (const std::string& target : {replaced(uri_with_password(), "S3cr3t", "S3cr3tS3cr3t"),
                                    replaced(uri_with_parameter(), "S3cr3t", "S3cr3tS3cr3t"),
                                    replaced(pairs_with_password(), "S3cr3t", "S3cr3tS3cr3t")}) {
    expect_refused(target);
  }
  environment_ = {{"PGPASSWORD", "S3cr3t!"}};
  expect_refused(pairs());
}

TEST_F(SecretsTest, ValuesThatLibpqDoesNotTakeAreNotRepeated) {
  for (const char* setting :
       {"sslmode=S3cr3t", "channel_binding=S3cr3t", "target_session_attrs=S3cr3t", "gssencmode=S3cr3t",
        "keepalives_idle=S3cr3t", "connect_timeout=S3cr3t", "ssl_min_protocol_version=S3cr3t"}) {
    const CommandResult result = sluice({"migrate", source_, pairs_with_password() + " " + setting});
    // libpq takes no notice of some of them where no network is crossed.
    EXPECT_TRUE(result.exit_status == 2 || result.exit_status == 0)
        << setting << ": " << result.exit_status << result.err;
    expect_kept(result.out + result.err);
  }
}

// ---- the list of processes ----

std::string command_line_of(pid_t pid) {
  return replaced(testing::bytes_of("/proc/" + std::to_string(pid) + "/cmdline"), std::string(1, '\0'), " ");
}

TEST_F(SecretsTest, TheListOfProcessesDoesNotShowIt) {
  ASSERT_EQ(sluice({"migrate", source_, pairs_with_password()}).exit_status, 0);
  const std::unique_ptr<PGconn, FinishPlainConnection> lock(PQconnectdb(superuser_.c_str()));
  PQclear(PQexec(lock.get(), "BEGIN; LOCK TABLE sluice.run"));
  for (const std::string& target : {uri_with_password(), uri_with_parameter(), pairs_with_password(),
                                    "sslpassword=S3cr3t " + pairs_with_password()}) {
    for (const Words& words : std::vector<Words>{{"migrate", source_, target},
                                                 {"verify", source_, target, "--target=" + target},
                                                 {"status", target}}) {
      Words argv = words;
      argv.insert(argv.begin(), testing::sluice_program());
      testing::RunningCommand running(argv, options());
      ASSERT_TRUE(testing::wait_until([&] {
        return query_value(superuser_,
                           "SELECT count(*) FROM pg_stat_activity WHERE usename = 'app' AND wait_event_type "
                           "= 'Lock'") != "0";
      })) << running.err_so_far();
      const std::string shown = command_line_of(running.pid());
      EXPECT_TRUE(contains(shown, words.front())) << shown;
      EXPECT_TRUE(contains(shown, "secrets")) << "where it goes is no secret: " << shown;
      expect_kept(shown);
      running.send(SIGKILL);
      running.wait();
      ASSERT_TRUE(testing::wait_until([&] {
        execute(superuser_, "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = 'app'");
        return query_value(superuser_, "SELECT count(*) FROM pg_stat_activity WHERE usename = 'app'") == "0";
      }));
    }
  }
}

}  // namespace
}  // namespace sluice
