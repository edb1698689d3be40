// Every exit status of the README, reached by running sluice, with what it says: golden/exit_statuses.txt.
// More of what it says about bad input is in bad_input_test.cc.

#include <arpa/inet.h>
#include <gtest/gtest.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <csignal>
#include <filesystem>
#include <fstream>
#include <functional>
#include <ostream>
#include <regex>
#include <set>
#include <sstream>
#include <string>
#include <utility>
#include <vector>

#include "golden/message_book.h"
#include "support/command.h"
#include "support/conditions.h"
#include "support/directories.h"
#include "support/query.h"
#include "support/s3_stub.h"
#include "support/small_disk.h"
#include "support/temporary_directory.h"
#include "support/test_server.h"
#include "unit/sqlite_fixture.h"

namespace sluice::testing {
namespace {

namespace fs = std::filesystem;
using Words = std::vector<std::string>;

constexpr const char* kPassword = "hunter2";
constexpr const char* kValue = "a value of a row";
constexpr int kRows = 400;

MessageBook& messages() {
  static MessageBook book("exit_statuses.txt",
                          "What sluice says with each exit status. Written by tests/pg/exit_status_test.cc.");
  return book;
}

// A source, a database, and what can happen to them.
class World {
 public:
  World() : database_(shared_test_server().create_database("app")) {
    Writer(source()).run(
        "CREATE TABLE users (id INTEGER PRIMARY KEY, name TEXT, age INTEGER); WITH RECURSIVE n(i) AS (SELECT "
        "1 UNION "
        "ALL SELECT i + 1 FROM n WHERE i < " +
        std::to_string(kRows) + ") INSERT INTO users SELECT i, '" + kValue +
        "' || printf('%060d', i), i % 90 FROM n");
    call(folder_.path().string(), "FOLDER");
    call(shared_test_server().socket_directory().string(), "SERVER");
  }

  [[nodiscard]] fs::path source() const { return folder_ / "app.sqlite"; }
  [[nodiscard]] const std::string& database() const { return database_; }
  [[nodiscard]] const TemporaryDirectory& folder() const { return folder_; }
  CommandOptions& options() { return options_; }

  // In what was said, `what` is called `by`.
  void call(const std::string& what, const std::string& by) { names_.emplace_back(what, by); }

  [[nodiscard]] Words migration(const std::string& target, const Words& more = {}) const {
    Words words = {sluice_program(), "migrate", source(), target,         "--progress",
                   "none",           "--jobs",  "1",      "--index-jobs", "1"};
    words.insert(words.end(), more.begin(), more.end());
    // Several ranges, of which some can be done.
    if (std::find(more.begin(), more.end(), "--range-size") == more.end())
      words.insert(words.end(), {"--range-size", "4k"});
    return words;
  }

  CommandResult run(const Words& words) {
    CommandOptions options = options_;
    options.directory = folder_.path();
    return run_command(words, options);
  }
  CommandResult migrate(const Words& more = {}) { return run(migration(database_, more)); }
  CommandResult verify(const Words& more = {}) {
    Words words = {sluice_program(), "verify", source(), database_, "--progress", "none"};
    words.insert(words.end(), more.begin(), more.end());
    return run(words);
  }

  // The first half of a migration, which then dies.
  void migrate_a_part() {
    const CommandResult killed = run_with_failpoint("after range:2", {}).wait();
    EXPECT_EQ(killed.signal, SIGKILL) << killed.err;
  }

  // A migration that stops itself there, for `meanwhile`, and then goes on.
  CommandResult migrate_and_meanwhile(const std::string& step, const std::function<void(pid_t)>& meanwhile,
                                      const Words& more = {}) {
    RunningCommand running = run_with_failpoint(step + ":1:stop", more);
    EXPECT_TRUE(wait_until([&] { return is_stopped(running.pid()); })) << running.err_so_far();
    meanwhile(running.pid());
    running.send(SIGCONT);
    return running.wait();
  }

  // What was said, with names in place of what differs from run to run.
  [[nodiscard]] std::string neutral(std::string text) const {
    for (const auto& [what, by] : names_) {
      for (std::size_t at = 0; (at = text.find(what, at)) != std::string::npos; at += by.size())
        text.replace(at, what.size(), by);
    }
    const auto call_all = [&](const char* pattern, const char* by) {
      text = std::regex_replace(text, std::regex(pattern), by);
    };
    call_all(R"(\d{4}-\d\d-\d\d \d\d:\d\d:\d\d)", "TIME");
    call_all(R"([0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12})", "RUN");
    call_all(R"(root [0-9a-f]{32})", "root ROOT");
    call_all(R"([0-9.]+ (B|kB|MB)\b)", "SIZE");
    call_all(R"(\d+\.\d\d\b)", "SECONDS");
    // Numbers stand right, so their width is in the blanks before them.
    call_all(" {2,}", "  ");
    std::string lines;
    std::istringstream stream(text);
    static const std::regex measured("(phase|profile|load|indexes|constraints|verify) .*|write-ahead log .*");
    for (std::string line; std::getline(stream, line);) {
      if (!line.empty() && !std::regex_match(line, measured)) lines += line + "\n";
    }
    return lines;
  }

 private:
  RunningCommand run_with_failpoint(const std::string& failpoint, const Words& more) {
    Words words = migration(database_, more);
    words.front() = sluice_faults_program();
    CommandOptions options = options_;
    options.directory = folder_.path();
    options.environment.emplace_back("SLUICE_FAILPOINT", failpoint);
    return RunningCommand(words, options);
  }

  TemporaryDirectory folder_;
  std::string database_;
  CommandOptions options_;
  std::vector<std::pair<std::string, std::string>> names_;
};

std::string role(const std::string& name, const std::string& options) {
  const std::string server = shared_test_server().conninfo();
  if (query_value(server, "SELECT count(*) FROM pg_roles WHERE rolname = '" + name + "'") == "0")
    execute(server, "CREATE ROLE " + name + " LOGIN " + options);
  return " user=" + name;
}

// A TCP port that was free a moment ago.
std::string closed_port() {
  const int descriptor = socket(AF_INET, SOCK_STREAM, 0);
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  socklen_t size = sizeof address;
  EXPECT_EQ(bind(descriptor, reinterpret_cast<sockaddr*>(&address), sizeof address), 0);
  EXPECT_EQ(getsockname(descriptor, reinterpret_cast<sockaddr*>(&address), &size), 0);
  close(descriptor);
  return std::to_string(ntohs(address.sin_port));
}

// From now on the role must give its password.
void ask_for_password(const std::string& role) {
  TestServer& server = shared_test_server();
  server.stop();
  const fs::path file = server.data_directory() / "pg_hba.conf";
  const std::string line = "local all " + role + " scram-sha-256\n";
  const std::string before = bytes_of(file);
  if (!before.starts_with(line)) put_bytes(file, line + before);
  server.start();
}

struct Case {
  int status = 0;
  const char* name = "";
  CommandResult (*run)(World& world) = nullptr;
};

void PrintTo(const Case& one, std::ostream* out) { *out << one.status << ": " << one.name; }

const std::vector<Case> kCases = {
    {0, "migrated", [](World& world) { return world.migrate(); }},
    {0, "migrated before",
     [](World& world) {
       world.migrate();
       return world.migrate();
     }},
    {0, "equal",
     [](World& world) {
       world.migrate();
       return world.verify();
     }},
    {0, "repaired",
     [](World& world) {
       world.migrate();
       execute(world.database(), "DELETE FROM users WHERE id = 7");
       return world.verify({"--repair"});
     }},

    {2, "a flag that does not exist",
     [](World& world) {
       return world.migrate({"--jbos", "4"});
     }},
    {2, "a file for --config that does not exist",
     [](World& world) {
       return world.migrate({"--config", world.folder() / "missing.toml"});
     }},
    {2, "a value that no type holds",
     [](World& world) {
       Writer(world.source()).run("UPDATE users SET name = CAST(x'ff' AS TEXT) WHERE id = 5");
       return world.migrate();
     }},
    {2, "a report that cannot be written",
     [](World& world) {
       put_bytes(world.folder() / "report", "a file");
       return world.migrate({"--report", world.folder() / "report"});
     }},

    {3, "rows rejected",
     [](World& world) {
       Writer(world.source()).run("UPDATE users SET age = 'many' WHERE id % 100 = 0");
       return world.migrate({"--on-misfit", "reject"});
     }},

    {4, "rows that differ",
     [](World& world) {
       world.migrate();
       execute(world.database(), "DELETE FROM users WHERE id = 7; UPDATE users SET age = 1 WHERE id = 8");
       return world.verify();
     }},
    {4, "rows that differ when a migration is run again",
     [](World& world) {
       world.migrate();
       execute(world.database(), "DELETE FROM users WHERE id = 7");
       return world.migrate();
     }},
    {4, "a row that a repair cannot bring",
     [](World& world) {
       world.migrate();
       execute(world.database(),
               "DELETE FROM users WHERE id = 7; ALTER TABLE users ADD CHECK (id <> 7) NOT VALID");
       return world.verify({"--repair"});
     }},

    {5, "stopped by SIGINT",
     [](World& world) {
       return world.migrate_and_meanwhile("after claim", [](pid_t process) { kill(process, SIGINT); });
     }},
    {5, "a session that an administrator ended, with --retry-for 0",
     [](World& world) {
       return world.migrate_and_meanwhile(
           "after claim",
           [](pid_t) {
             execute(shared_test_server().conninfo(),
                     "SELECT pg_terminate_backend(pid, 10000) FROM pg_stat_activity WHERE datname = 'app'");
           },
           {"--retry-for", "0"});
     }},
    {5, "a server that stays away, with --retry-for 1s",
     [](World& world) {
       CommandResult result;
       {
         TestServer server;
         world.call(server.socket_directory(), "AWAY");
         Words words = world.migration(server.conninfo(), {"--retry-for", "1s"});
         words.front() = sluice_faults_program();
         CommandOptions options;
         options.environment = {{"SLUICE_FAILPOINT", "after claim:1:stop"}};
         RunningCommand running(words, options);
         EXPECT_TRUE(wait_until([&] { return is_stopped(running.pid()); }));
         server.stop(Stop::immediate);
         running.send(SIGCONT);
         result = running.wait();
       }
       // How long it waits each time is left to chance.
       EXPECT_TRUE(contains(result.err, "; trying again in ")) << result.err;
       result.err = std::regex_replace(result.err, std::regex("[^\n]*trying again in [^\n]*\n"), "");
       return result;
     }},

    {10, "no such file",
     [](World& world) {
       fs::remove(world.source());
       return world.migrate();
     }},
    {10, "not SQLite",
     [](World& world) {
       put_bytes(world.source(), "Dear Sir or Madam,\n" + std::string(5000, 'x'));
       return world.migrate();
     }},
    {10, "encrypted",
     [](World& world) {
       // SQLCipher keeps nothing in clear, the headline included.
       std::string bytes = bytes_of(world.source());
       for (std::size_t i = 0; i < bytes.size(); ++i) bytes[i] = static_cast<char>(bytes[i] ^ (i * 151 + 89));
       put_bytes(world.source(), bytes);
       return world.migrate();
     }},
    {10, "a corrupt page",
     [](World& world) {
       std::string bytes = bytes_of(world.source());
       bytes.replace(4096 * 5, 4096, std::string(4096, '\xff'));
       put_bytes(world.source(), bytes);
       return world.migrate();
     }},

    {11, "overwritten during the run",
     [](World& world) {
       return world.migrate_and_meanwhile("after read back", [&](pid_t) {
         // As cp does: into the same file, past all locks.
         std::string bytes = bytes_of(world.source());
         bytes[27] = static_cast<char>(bytes[27] + 1);  // the counter of changes
         put_bytes(world.source(), bytes);
       });
     }},
    {11, "changed between run and resume",
     [](World& world) {
       world.migrate_a_part();
       Writer(world.source()).run("UPDATE users SET age = 1 WHERE id = 8");
       return world.migrate();
     }},
    {11, "changed between run and comparison",
     [](World& world) {
       world.migrate();
       Writer(world.source()).run("UPDATE users SET age = 1 WHERE id = 8");
       return world.verify();
     }},

    {20, "a wrong password",
     [](World& world) {
       const std::string guarded = role("guarded", "PASSWORD 'other'");
       ask_for_password("guarded");
       return world.run(world.migration(world.database() + guarded + " password=" + kPassword));
     }},
    {20, "no privilege",
     [](World& world) { return world.run(world.migration(world.database() + role("nobody_much", ""))); }},
    {20, "a table in the way",
     [](World& world) {
       execute(world.database(),
               "CREATE TABLE users (id bigint, name text, age bigint); INSERT INTO users "
               "VALUES (1, 'old', 1)");
       return world.migrate();
     }},

    {21, "nobody listens",
     [](World& world) {
       const std::string port = closed_port();
       world.call("port " + port, "port PORT");
       return world.run(world.migration("host=127.0.0.1 dbname=app port=" + port));
     }},
    {21, "too many connections",
     [](World& world) {
       return world.run(world.migration(world.database() + role("none_at_all", "CONNECTION LIMIT 0")));
     }},
    {21, "a full disk, with --retry-for 0",
     [](World& world) {
       const SmallDisk disk(std::uint64_t{4} << 20);
       give_to_server_user(disk.path());
       world.call(disk.path(), "DISK");
       const std::string server = shared_test_server().conninfo();
       execute(server, "CREATE TABLESPACE small LOCATION '" + disk.path().string() + "'");
       execute(server, "ALTER DATABASE app SET default_tablespace = small");
       Writer(world.source())
           .run(
               "WITH RECURSIVE n(i) AS (SELECT 1000 UNION ALL SELECT i + 1 FROM n WHERE i < 60000) INSERT "
               "INTO "
               "users SELECT i, printf('%0100d', i), 1 FROM n");
       CommandResult result = world.migrate({"--retry-for", "0", "--range-size", "100MB"});
       // The server looks into every tablespace when it starts, and this one is going to be gone.
       execute(server, "DROP DATABASE app WITH (FORCE)");
       execute(server, "DROP TABLESPACE small");
       // The server is ahead of the disk, and we are ahead of the server.
       result.err = std::regex_replace(result.err, std::regex(R"(file "[^"]*")"), "file FILE");
       result.err = std::regex_replace(result.err, std::regex(R"(row \d+)"), "row N");
       return result;
     }},

    {40, "a store that is not there",
     [](World& world) {
       std::ofstream(world.folder() / "offload.toml") << "[tables.users.offload.name]\nstore = \"file://"
                                                      << (world.folder() / "nowhere").string() << "\"\n";
       return world.migrate({"--config", (world.folder() / "offload.toml").string()});
     }},
    {40, "a secret that is wrong",
     [](World& world) {
       const S3Stub stub;
       world.call(stub.endpoint(), "http://S3");
       world.options().environment = {{"AWS_ENDPOINT_URL", stub.endpoint()},
                                      {"AWS_REGION", stub.options().region},
                                      {"AWS_ACCESS_KEY_ID", stub.options().access_key_id},
                                      {"AWS_SECRET_ACCESS_KEY", kPassword}};
       world.migrate();
       return world.run({sluice_program(), "offload", world.database(), "--table", "users", "--column",
                         "name", "--store", "s3://bucket/files", "--progress", "none"});
     }},
    {40, "a disk that is full of files",
     [](World& world) {
       const SmallDisk disk(std::uint64_t{256} << 10);
       world.call(disk.path(), "DISK");
       world.migrate();
       execute(world.database(),
               "UPDATE users SET name = translate(encode(decode(repeat(md5(id::text), 200), 'hex'), "
               "'base64'), E'\\n', '')");
       CommandResult result = world.run({sluice_program(), "offload", world.database(), "--table", "users",
                                         "--column", "name", "--store", "file://" + disk.path().string(),
                                         "--progress", "none", "--jobs", "1", "--retry-for", "0"});
       result.err = std::regex_replace(result.err, std::regex("[0-9a-f]{2}/[0-9a-f]{64}"), "NAME");
       return result;
     }},

    {70, "no memory",
     [](World& world) {
       // The row is larger than all that the process may have.
       Writer(world.source()).run("UPDATE users SET name = CAST(zeroblob(250000000) AS TEXT) WHERE id = 9");
       Words words = world.migration(world.database());
       words.insert(words.begin(), {"sh", "-c", "ulimit -v 200000 && exec \"$@\"", "sh"});
       return world.run(words);
     }},
    {70, "a ledger that says what sluice never writes",
     [](World& world) {
       world.migrate_a_part();
       execute(world.database(), "UPDATE sluice.work SET extent = 'from here to there'");
       return world.migrate();
     }},
};

class ExitStatus : public ::testing::TestWithParam<Case> {};

// Results go to stdout, and to stderr all else; where there is no result, the last line says what, where, why
// and what to do next.
TEST_P(ExitStatus, SaysWhatItMeans) {
  const Case& one = GetParam();
  if ((contains(one.name, "full disk") || contains(one.name, "full of files")) && !SmallDisk::available())
    GTEST_SKIP() << "a tmpfs cannot be mounted here: that takes root";
  World world;
  const CommandResult result = one.run(world);
  const bool has_result = std::set<int>{0, 3, 4}.contains(one.status);
  EXPECT_EQ(result.exit_status, one.status) << result.out << result.err;
  EXPECT_EQ(result.out.empty(), !has_result) << result.out;
  if (!has_result) {
    const std::size_t last = result.err.rfind('\n', result.err.size() - 2);
    EXPECT_TRUE(result.err.substr(last == std::string::npos ? 0 : last + 1).starts_with("sluice: "))
        << result.err;
    EXPECT_TRUE(result.err.ends_with('\n'));
  } else {
    EXPECT_FALSE(contains(result.err, "root ")) << result.err;
  }
  for (const char* never : {kPassword, kValue, "terminate called", "Assertion", "std::"})
    EXPECT_FALSE(contains(result.out + result.err, never)) << result.out << result.err;
  std::string said = "exit status " + std::to_string(result.exit_status) + "\n";
  if (!result.err.empty()) said += "to stderr:\n" + world.neutral(result.err);
  if (!result.out.empty()) said += "to stdout:\n" + world.neutral(result.out);
  messages().expect(std::to_string(one.status) + " " + one.name, said);
}

std::string test_name(const ::testing::TestParamInfo<Case>& info) {
  std::string name = std::to_string(info.param.status) + "_" + info.param.name;
  std::erase_if(name, [](char c) { return c == ','; });
  std::replace_if(
      name.begin(), name.end(), [](char c) { return std::isalnum(static_cast<unsigned char>(c)) == 0; }, '_');
  return name;
}

INSTANTIATE_TEST_SUITE_P(Of, ExitStatus, ::testing::ValuesIn(kCases), test_name);

TEST(ExitStatuses, AreThoseOfTheReadme) {
  std::ifstream readme(fs::path(source_directory()) / "README.md");
  std::set<int> documented;
  bool inside = false;
  static const std::regex row(R"(\| (\d+) \|.*)");
  for (std::string line; std::getline(readme, line);) {
    if (line.starts_with("## ")) inside = line == "## Exit status";
    std::smatch match;
    if (inside && std::regex_match(line, match, row)) documented.insert(std::stoi(match[1]));
  }
  std::set<int> reached;
  std::set<std::string> names;
  for (const Case& one : kCases) {
    reached.insert(one.status);
    names.insert(std::to_string(one.status) + " " + one.name);
  }
  EXPECT_EQ(documented, reached) << "a status without a case, or a case without a line in the README";
  EXPECT_EQ(names.size(), kCases.size());
  messages().expect_no_others(names);
}

}  // namespace
}  // namespace sluice::testing
