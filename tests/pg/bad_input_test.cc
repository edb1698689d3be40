// Whatever is wrong with the input, a run ends in one clear line and the right exit status, and leaves
// nothing half-done. Every message is in golden/messages.txt.

#include <arpa/inet.h>
#include <gtest/gtest.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>
#include <random>
#include <regex>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "golden/message_book.h"
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
using testing::execute;
using testing::query_value;
using testing::run_command;
using testing::shared_test_server;
using testing::TemporaryDirectory;
using testing::TestServer;
using testing::TestServerOptions;

constexpr const char* kPassword = "hunter2";

using testing::contains;

testing::MessageBook& messages() {
  static testing::MessageBook book(
      "messages.txt", "What sluice says about bad input. Written by tests/pg/bad_input_test.cc.");
  return book;
}

// What is in a database, beside what is there from the start.
std::string contents_of(const std::string& conninfo) {
  return query_value(
      conninfo,
      "SELECT coalesce(string_agg(n.nspname || '.' || coalesce(c.relname, ''), ' ' ORDER BY 1), '') "
      "FROM pg_namespace n LEFT JOIN pg_class c ON c.relnamespace = n.oid "
      "WHERE n.nspname !~ '^pg_' AND n.nspname <> 'information_schema'");
}

class BadInputTest : public ::testing::Test {
 protected:
  BadInputTest() {
    testing::Writer(good_).run(
        "CREATE TABLE users (id INTEGER PRIMARY KEY, name TEXT); INSERT INTO users VALUES (1, 'one'), (2, "
        "'two')");
  }

  // A database for this test alone.
  std::string database() {
    name_ = ::testing::UnitTest::GetInstance()->current_test_info()->name();
    if (name_.size() > 63) name_.resize(63);
    conninfo_ = shared_test_server().create_database(name_);
    return conninfo_;
  }

  CommandResult sluice(std::vector<std::string> words) {
    words.insert(words.begin(), testing::sluice_program());
    CommandOptions options;
    options.directory = folder_.path();
    options.environment = environment_;
    return run_command(words, options);
  }

  CommandResult migrate(const fs::path& source, const std::string& target,
                        std::vector<std::string> more = {}) {
    more.insert(more.begin(), {"migrate", source, target, "--progress", "none"});
    return sluice(more);
  }

  // Paths, ports and names of one run, replaced by what they are.
  std::string neutral(std::string text) const {
    const auto replace = [&](const std::string& what, const std::string& by) {
      if (what.empty()) return;
      for (std::size_t at = 0; (at = text.find(what, at)) != std::string::npos; at += by.size()) {
        text.replace(at, what.size(), by);
      }
    };
    replace(folder_.path().string(), "FOLDER");
    replace(shared_test_server().socket_directory().string(), "SERVER");
    for (const auto& [what, by] : replacements_) replace(what, by);
    replace(name_, "DATABASE");
    static const std::regex moment(R"(\d{4}-\d\d-\d\d \d\d:\d\d:\d\d)");
    return std::regex_replace(text, moment, "TIME");
  }

  void expect_message(const std::string& name, const CommandResult& result, int status, long lines = 1) {
    EXPECT_EQ(result.exit_status, status) << name << ": " << result.err;
    EXPECT_FALSE(result.timed_out) << name;
    EXPECT_TRUE(result.err.starts_with("sluice: ")) << name << ": " << result.err;
    EXPECT_EQ(std::count(result.err.begin(), result.err.end(), '\n'), lines) << name << ": " << result.err;
    EXPECT_TRUE(result.err.ends_with('\n'));
    EXPECT_EQ(result.out, "") << name;
    EXPECT_FALSE(contains(result.out + result.err, kPassword)) << name << ": " << result.err;
    for (const char* trace : {"terminate called", "Assertion", "std::", "exception"}) {
      EXPECT_FALSE(contains(result.err, trace)) << name << ": " << result.err;
    }
    messages().expect(name, "exit status " + std::to_string(status) + "\n" + neutral(result.err));
  }

  // The same, and the database is as it was before.
  void expect_untouched(const std::string& name, const fs::path& source, int status,
                        const std::vector<std::string>& more = {}, long lines = 1) {
    const std::string before = contents_of(conninfo_);
    expect_message(name, migrate(source, target_.empty() ? conninfo_ : target_, more), status, lines);
    EXPECT_EQ(contents_of(conninfo_), before) << name;
  }

  fs::path write(const std::string& name, const std::string& bytes) {
    testing::put_bytes(folder_ / name, bytes);
    return folder_ / name;
  }

  TemporaryDirectory folder_;
  fs::path good_ = folder_ / "good.db";
  std::vector<std::pair<std::string, std::string>> environment_;
  std::vector<std::pair<std::string, std::string>> replacements_;
  std::string target_;  // instead of conninfo_, where the run connects in another way
  std::string name_;
  std::string conninfo_;
};

// ---- the source ----

TEST_F(BadInputTest, SourceThatIsNoFile) {
  database();
  expect_untouched("source: no such file", folder_ / "missing.db", 10);
  EXPECT_FALSE(fs::exists(folder_ / "missing.db"));
  expect_untouched("source: no such file, as a URI", "sqlite://" + (folder_ / "missing.db").string(), 10);
  expect_untouched("source: a directory", folder_.path(), 10);
  expect_untouched("source: a device", "/dev/null", 10);
}

TEST_F(BadInputTest, AnEmptyFileIsADatabaseWithoutTables) {
  database();
  const CommandResult result = migrate(write("empty.db", ""), conninfo_);
  EXPECT_EQ(result.exit_status, 0) << result.err;
  EXPECT_EQ(query_value(conninfo_, "SELECT count(*) FROM pg_tables WHERE schemaname = 'public'"), "0");
  EXPECT_EQ(query_value(conninfo_, "SELECT state FROM sluice.run"), "verified");
}

TEST_F(BadInputTest, SourceThatIsNotADatabase) {
  database();
  expect_untouched("source: not a database",
                   write("letter.txt", "Dear Sir or Madam,\n" + std::string(5000, 'x')), 10);
  // Not one byte: SQLite itself takes such a file for an empty database.
  expect_untouched("source: not a database, two bytes", write("two", "xx"), 10);
  expect_untouched("source: a header and nothing else", write("header", std::string("SQLite format 3\0", 16)),
                   10);
  std::string noise(8192, ' ');
  std::mt19937 random(7);
  for (char& byte : noise) byte = static_cast<char>(random());
  expect_untouched("source: encrypted", write("encrypted.db", noise), 10);
}

TEST_F(BadInputTest, SourceThatIsTruncated) {
  database();
  const fs::path path = folder_ / "large.db";
  testing::Writer(path).run(
      "CREATE TABLE t (id INTEGER PRIMARY KEY, x TEXT); WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i "
      "+ 1 FROM n "
      "WHERE i < 5000) INSERT INTO t SELECT i, hex(randomblob(50)) FROM n");
  const auto bytes = fs::file_size(path);
  fs::resize_file(path, bytes - 1);
  replacements_ = {{std::to_string(bytes), "BYTES"}, {std::to_string(bytes - 1), "LESS"}};
  expect_untouched("source: one byte short", path, 10);
  fs::resize_file(path, bytes / 2);
  replacements_ = {{std::to_string(bytes), "BYTES"}, {std::to_string(bytes / 2), "HALF"}};
  expect_untouched("source: half a file", path, 10);
}

TEST_F(BadInputTest, SourceWithACorruptPageInTheMiddleOfATable) {
  database();
  const fs::path path = folder_ / "corrupt.db";
  {
    const testing::Writer writer(path);
    writer.run(
        "PRAGMA page_size = 4096; CREATE TABLE t (id INTEGER PRIMARY KEY, x TEXT); CREATE TABLE whole (x "
        "TEXT);"
        "INSERT INTO whole VALUES ('here'); WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n "
        "WHERE i < 20000) INSERT INTO t SELECT i, printf('%050d', i) FROM n");
  }
  std::fstream file(path, std::ios::in | std::ios::out | std::ios::binary);
  const auto page = static_cast<std::streamoff>(fs::file_size(path) / 4096 / 2);
  file.seekp(page * 4096);
  file << std::string(4096, '\xff');
  file.close();
  const CommandResult result = migrate(path, conninfo_, {"-j", "1", "--range-size", "64k"});
  replacements_ = {};
  const std::string line = std::regex_replace(result.err, std::regex(R"((page|range|row) \d+)"), "$1 N");
  expect_message("source: a corrupt page", {result.exit_status, result.signal, false, result.out, line, {}},
                 10, 2);
  EXPECT_EQ(query_value(conninfo_, "SELECT x FROM whole"), "here");  // more in damage_test.cc
}

// ---- reaching the target ----

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

TEST_F(BadInputTest, TargetThatCannotBeReached) {
  const std::string port = closed_port();
  replacements_ = {{port, "PORT"}};
  expect_message("target: closed port", migrate(good_, "host=127.0.0.1 dbname=x port=" + port), 21);
  expect_message("target: closed port, as a URI",
                 migrate(good_, "postgresql://me:hunter2@127.0.0.1:" + port + "/x"), 21);
  expect_message("target: missing socket",
                 migrate(good_, "dbname=x port=5432 host=" + folder_.path().string()), 21);
  expect_message("status: closed port", sluice({"status", "host=127.0.0.1 dbname=x port=" + port}), 21);
}

TEST_F(BadInputTest, TargetThatDoesNotExist) {
  database();
  target_ = shared_test_server().conninfo("no_such_database");
  expect_untouched("target: no such database", good_, 20);
  target_ = conninfo_ + " user=no_such_user";
  expect_untouched("target: no such user", good_, 20);
}

// Roles belong to the server, which goes with this program; nobody drops them.
void create_role(const std::string& name, const std::string& options) {
  const std::string server = shared_test_server().conninfo();
  if (query_value(server, "SELECT count(*) FROM pg_roles WHERE rolname = '" + name + "'") != "0") return;
  execute(server, "CREATE ROLE " + name + " LOGIN " + options);
}

// Makes the role `guarded` give its password, for the time of one test.
class AskForPassword {
 public:
  explicit AskForPassword(TestServer& server)
      : server_(server), file_(server.data_directory() / "pg_hba.conf"), before_(testing::bytes_of(file_)) {
    rewrite("local all guarded scram-sha-256\n" + before_);
  }
  ~AskForPassword() { rewrite(before_); }
  AskForPassword(const AskForPassword&) = delete;
  AskForPassword& operator=(const AskForPassword&) = delete;

 private:
  void rewrite(const std::string& text) {
    testing::put_bytes(file_, text);
    execute(server_.conninfo(), "SELECT pg_reload_conf()");
    // The postmaster reads it at the signal; a new connection shows that it has.
    for (int i = 0; i < 1000; ++i) {
      const std::string asked = query_value(
          server_.conninfo(),
          "SELECT count(*) FROM pg_stat_file('pg_hba.conf') f WHERE f.modification < pg_conf_load_time()");
      if (asked == "1") return;
      usleep(2000);
      execute(server_.conninfo(), "SELECT pg_reload_conf()");
    }
  }

  TestServer& server_;
  fs::path file_;
  std::string before_;
};

TEST_F(BadInputTest, PasswordThatIsWrongOrMissing) {
  database();
  create_role("guarded", "SUPERUSER PASSWORD 'hunter2hunter2'");
  const AskForPassword asking(shared_test_server());
  const std::string guarded = conninfo_ + " user=guarded";
  target_ = guarded + " password=hunter2";
  expect_untouched("target: wrong password", good_, 20);
  target_ =
      "postgresql://guarded:hunter2@/" + name_ + "?host=" + shared_test_server().socket_directory().string();
  expect_untouched("target: wrong password, as a URI", good_, 20);
  target_ = guarded;
  environment_ = {{"PGPASSWORD", "hunter2"}};
  expect_untouched("target: wrong password in the environment", good_, 20);
  environment_ = {{"PGPASSFILE", folder_ / "no_pass_file"}};
  expect_untouched("target: no password", good_, 20);

  environment_ = {{"PGPASSWORD", "hunter2hunter2"}};
  const CommandResult result = migrate(good_, guarded, {"--report", folder_ / "report"});
  EXPECT_EQ(result.exit_status, 0) << result.err;
  EXPECT_FALSE(
      contains(result.out + result.err + testing::bytes_of(folder_ / "report/report.json"), kPassword));
}

// A string that libpq does not take as a target, or takes for something else.
TEST_F(BadInputTest, TargetThatIsNoConnectionString) {
  const auto server = shared_test_server().socket_directory().string();
  expect_message("target: port that is no number", migrate(good_, "postgresql://me:hunter2@host:port/x"), 2);
  expect_message("target: bad escape", migrate(good_, "postgresql://me:hunter2%zz@host/x"), 2);
  expect_message("target: missing value", migrate(good_, "host=/tmp password=hunter2 dbname"), 2);
  expect_message("target: open quote", migrate(good_, "host=/tmp password='hunter2"), 2);
  expect_message("target: unknown key", migrate(good_, "host=/tmp password=hunter2 colour=red"), 2);
  expect_message("target: misspelt scheme", migrate(good_, "postgress://me:hunter2@host/x"), 2);
  expect_message("status: misspelt scheme", sluice({"status", "postgress://me:hunter2@host/x"}), 2);
}

// libpq takes it for the name of a database, and the server then repeats it.
TEST_F(BadInputTest, TargetWithoutASchemeDoesNotShowItsPassword) {
  environment_ = {
      {"PGHOST", shared_test_server().socket_directory()}, {"PGUSER", "postgres"}, {"PGPORT", "5432"}};
  const CommandResult result = migrate(good_, "me:hunter2@host/x");
  EXPECT_TRUE(result.exit_status == 2 || result.exit_status == 20) << result.exit_status;
  EXPECT_FALSE(contains(result.out + result.err, kPassword)) << result.err;
}

TEST_F(BadInputTest, ArgumentsInTheWrongPlaceDoNotShowTheirPassword) {
  const std::string target = "postgresql://me:hunter2@host/x";
  for (const std::vector<std::string>& words : {std::vector<std::string>{"migrate", target, good_},
                                                {"migrate", good_, "local:x", target},
                                                {target, good_},
                                                {"migrate", good_, "--target", target},
                                                {"migrate", good_, "--target=" + target},
                                                {"status", good_, target}}) {
    const CommandResult result = sluice(words);
    EXPECT_NE(result.exit_status, 0);
    EXPECT_FALSE(contains(result.out + result.err, kPassword)) << result.err;
  }
}

// ---- what the target allows ----

TEST_F(BadInputTest, NoPrivilegeToCreate) {
  database();
  create_role("plain_user", "");
  target_ = conninfo_ + " user=plain_user";
  // What is missing, all of it, and how much that is.
  expect_untouched("target: no CREATE on the database and the schema", good_, 20, {}, 3);
  const CommandResult refused = migrate(good_, target_);
  EXPECT_TRUE(contains(refused.err, "GRANT CREATE ON DATABASE \"" + name_ + "\" TO \"plain_user\""))
      << refused.err;

  execute(conninfo_, "CREATE SCHEMA sluice AUTHORIZATION plain_user");
  expect_untouched("target: no CREATE on the schema", good_, 20);
  EXPECT_TRUE(contains(migrate(good_, target_).err, R"(GRANT CREATE ON SCHEMA "public" TO "plain_user")"));
  expect_untouched("target: no CREATE for a new schema", good_, 20, {"--schema", "fresh"});

  // The advice is good.
  execute(conninfo_, "GRANT CREATE ON SCHEMA public TO plain_user");
  const CommandResult granted = migrate(good_, target_);
  EXPECT_EQ(granted.exit_status, 0) << granted.err;
}

TEST_F(BadInputTest, NoPrivilegeOnAnExistingTable) {
  database();
  create_role("guest_user", "");
  execute(conninfo_,
          "CREATE SCHEMA sluice AUTHORIZATION guest_user; CREATE TABLE users (id bigint, name text);"
          "GRANT USAGE ON SCHEMA public TO guest_user");
  target_ = conninfo_ + " user=guest_user";
  expect_untouched("target: a table of somebody else", good_, 20, {}, 3);
}

// ---- what is in the way ----

TEST_F(BadInputTest, TablesThatHoldRows) {
  database();
  execute(conninfo_, "CREATE TABLE users (id bigint, name text); INSERT INTO users VALUES (9, 'old')");
  expect_untouched("target: a table with rows", good_, 20);
  EXPECT_EQ(query_value(conninfo_, "SELECT name FROM users"), "old");
}

TEST_F(BadInputTest, TablesOfAnotherShape) {
  database();
  execute(conninfo_, "CREATE TABLE users (id bigint, name varchar(20))");
  expect_untouched("target: another column type", good_, 20);
  execute(conninfo_, "DROP TABLE users; CREATE TABLE users (id bigint)");
  expect_untouched("target: a missing column", good_, 20);
  execute(conninfo_, "DROP TABLE users; CREATE TABLE users (id integer, name text)");
  expect_untouched("target: a narrower column", good_, 20);
  execute(conninfo_, "DROP TABLE users; CREATE TABLE users (id bigint, name text) PARTITION BY RANGE (id)");
  const CommandResult result = migrate(good_, conninfo_);
  EXPECT_EQ(result.exit_status, 20) << "no partition takes the rows: " << result.err;
}

TEST_F(BadInputTest, ThingsThatAreNoTables) {
  database();
  execute(conninfo_, "CREATE VIEW users AS SELECT 1 AS id");
  expect_untouched("target: a view in the way", good_, 20);
  expect_untouched("target: a view in the way of drop", good_, 20, {"--table-handling", "drop"});
  execute(conninfo_, "DROP VIEW users; CREATE SEQUENCE users");
  expect_untouched("target: a sequence in the way", good_, 20);
  execute(conninfo_, "DROP SEQUENCE users; CREATE TYPE users AS ENUM ('a')");
  expect_untouched("target: a type in the way", good_, 20);
}

// The server then takes fewer rows than it was sent, which is no bug of ours.
TEST_F(BadInputTest, TablesWithATriggerThatDropsRows) {
  database();
  execute(conninfo_,
          "CREATE TABLE users (id bigint, name text); CREATE FUNCTION nothing() RETURNS trigger LANGUAGE "
          "plpgsql AS "
          "'BEGIN RETURN NULL; END'; CREATE TRIGGER t BEFORE INSERT ON users FOR EACH ROW EXECUTE FUNCTION "
          "nothing()");
  expect_message("target: a trigger that drops rows", migrate(good_, conninfo_), 20);
}

TEST_F(BadInputTest, SchemasThatCannotBe) {
  database();
  expect_untouched("target: the schema of the ledger", good_, 2, {"--schema", "sluice"});
  expect_untouched("target: a reserved schema", good_, 20, {"--schema", "pg_mine"});
}

TEST_F(BadInputTest, DatabasesThatCannotTakeTheRows) {
  database();
  execute(shared_test_server().conninfo(),
          "ALTER DATABASE \"" + name_ + "\" SET default_transaction_read_only = on");
  expect_untouched("target: read-only by default", good_, 20);

  execute(shared_test_server().conninfo(), "DROP DATABASE IF EXISTS latin");
  execute(shared_test_server().conninfo(),
          "CREATE DATABASE latin ENCODING 'LATIN1' LC_COLLATE 'C' LC_CTYPE 'C' TEMPLATE template0");
  conninfo_ = shared_test_server().conninfo("latin");
  expect_untouched("target: another encoding", good_, 20);
}

TEST_F(BadInputTest, AStandbyTakesNoWrites) {
  TestServer server;
  server.stop();
  testing::put_bytes(server.data_directory() / "standby.signal", "");
  server.start();
  replacements_ = {{server.socket_directory(), "STANDBY"}};
  expect_message("target: a standby", migrate(good_, server.conninfo()), 20);
}

// ---- the command line ----

TEST_F(BadInputTest, CommandLinesThatCannotBeUnderstood) {
  database();
  const auto expect_usage = [&](const std::string& name, const std::vector<std::string>& words) {
    expect_message("usage: " + name, sluice(words), 2);
  };
  const std::string source = good_;
  expect_usage("unknown command", {"migrat", source});
  expect_usage("unknown flag", {"migrate", source, conninfo_, "--jbos", "4"});
  expect_usage("unknown flag before the command", {"--jobs", "4", "migrate", source});
  expect_usage("missing SOURCE", {"migrate"});
  expect_usage("missing TARGET of status", {"status"});
  expect_usage("one argument too many", {"migrate", source, "local:x", "more"});
  expect_usage("--jobs 0", {"migrate", source, "--jobs", "0"});
  expect_usage("--jobs 65", {"migrate", source, "--jobs", "65"});
  expect_usage("--jobs -1", {"migrate", source, "--jobs", "-1"});
  expect_usage("--jobs many", {"migrate", source, "--jobs", "many"});
  expect_usage("--jobs without a value", {"migrate", source, "--jobs"});
  expect_usage("--index-jobs 0", {"migrate", source, "--index-jobs", "0"});
  expect_usage("--verify maybe", {"migrate", source, "--verify", "maybe"});
  expect_usage("--table-handling cascade", {"migrate", source, "--table-handling", "cascade"});
  expect_usage("--progress loud", {"migrate", source, "--progress", "loud"});
  expect_usage("--memory-limit of less than a lane", {"migrate", source, "--memory-limit", "10MB"});
  expect_usage("--range-size 0", {"migrate", source, "--range-size", "0"});
  expect_usage("--range-size -1", {"migrate", source, "--range-size", "-1"});
  expect_usage("--range-size 1XB", {"migrate", source, "--range-size", "1XB"});
  expect_usage("--range-size beyond 64 bits", {"migrate", source, "--range-size", "99999999TB"});
  expect_untouched("usage: --include without a match", good_, 2, {"--include", "user"});
  expect_untouched("usage: --exclude without a match", good_, 2, {"--exclude", "u?"});
  environment_ = {{"SLUICE_JOBS", "many"}};
  expect_untouched("usage: SLUICE_JOBS=many", good_, 2);
  environment_ = {{"SLUICE_VERIFY", "maybe"}};
  expect_untouched("usage: SLUICE_VERIFY=maybe", good_, 2);
}

TEST_F(BadInputTest, ConfigurationFilesThatCannotBeUnderstood) {
  database();
  const auto expect_config = [&](const std::string& name, const std::string& text) {
    expect_untouched("usage: --config with " + name, good_, 2, {"--config", write("sluice.toml", text)});
  };
  expect_config("a syntax error", "jobs = 4\nschema = \n");
  expect_config("a key twice", "jobs = 4\njobs = 5\n");
  expect_config("an unknown key", "# how fast\nspeed = 4\n");
  expect_config("a wrong value", "verify = \"maybe\"\n");
  expect_config("a wrong number", "\njobs = 0\n");
  expect_config("a wrong size", "\nrange-size = \"1XB\"\n");
  expect_config("a table", "[migrate]\njobs = 4\n");
  expect_config("bad UTF-8", "schema = \"\xff\"\n");
  expect_untouched("usage: --config missing", good_, 2, {"--config", folder_ / "missing.toml"});
  expect_untouched("usage: --config is a directory", good_, 2, {"--config", folder_.path()});
}

TEST_F(BadInputTest, ReportDirectoriesThatCannotBe) {
  database();
  const fs::path file = write("report", "a file\n");
  expect_untouched("usage: --report is a file", good_, 2, {"--report", file});
  expect_untouched("usage: --report below a file", good_, 2, {"--report", file / "deeper"});
  EXPECT_EQ(testing::bytes_of(file), "a file\n");
}

TEST_F(BadInputTest, TheFolderOfTheSourceIsLeftAsItWas) {
  database();
  const std::set<std::string> before = testing::names_in(folder_);
  static_cast<void>(migrate(good_, shared_test_server().conninfo("no_such_database")));
  static_cast<void>(migrate(folder_ / "missing.db", conninfo_));
  static_cast<void>(sluice({"migrate", folder_ / "missing.db"}));  // would be local:missing.db.pg
  EXPECT_EQ(testing::names_in(folder_), before);
}

}  // namespace
}  // namespace sluice
