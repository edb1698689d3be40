#include "io/postgres/local_server.h"

#include <gtest/gtest.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <optional>
#include <string>
#include <thread>

#include "engine/model/error.h"
#include "support/command.h"
#include "support/query.h"
#include "support/temporary_directory.h"

namespace sluice {
namespace {

namespace fs = std::filesystem;
using testing::CommandResult;
using testing::query_value;
using testing::run_command;
using testing::TemporaryDirectory;

// Stops what a test has started, also when the test fails or throws.
class LocalServerTest : public ::testing::Test {
 protected:
  ~LocalServerTest() override {
    for (const fs::path& directory : used_) {
      try {
        stop_local_server(directory);
      } catch (const Error& error) {
        ADD_FAILURE() << error.describe();
      }
    }
  }

  LocalServer ensure(const fs::path& directory) {
    used_.push_back(directory);
    return ensure_local_server(directory);
  }

  // The Error of an attempt that must fail.
  Error refusal(const fs::path& directory) {
    try {
      ensure(directory);
    } catch (const Error& error) {
      return error;
    }
    throw std::runtime_error("no error for " + directory.string());
  }

  TemporaryDirectory folder_;

 private:
  std::vector<fs::path> used_;
};

CommandResult shell(const std::string& line) { return run_command({"bash", "-c", line}); }

int mode_of(const fs::path& path) {
  struct stat status {};
  EXPECT_EQ(::stat(path.c_str(), &status), 0) << path;
  return static_cast<int>(status.st_mode & 0777);
}

std::string contents(const fs::path& file) {
  std::ifstream stream(file);
  return std::string(std::istreambuf_iterator<char>(stream), {});
}

TEST_F(LocalServerTest, CreatesAndStartsAServerThatPsqlCanUse) {
  const fs::path directory = folder_ / "deeper/one.pg";
  const LocalServer server = ensure(directory);
  EXPECT_TRUE(server.created);
  EXPECT_TRUE(server.started);
  EXPECT_EQ(server.psql_command, "psql -h " + directory.string() + " -U postgres postgres");
  const CommandResult psql = shell(server.psql_command + " -Atc 'SELECT 41 + 1'");
  EXPECT_EQ(psql.out, "42\n") << psql.err;
  EXPECT_EQ(query_value(server.conninfo, "SHOW fsync"), "on");
  EXPECT_EQ(query_value(server.conninfo, "SHOW full_page_writes"), "on");
  EXPECT_EQ(query_value(server.conninfo, "SHOW listen_addresses"), "");
  EXPECT_EQ(query_value(server.conninfo, "SHOW lc_collate"), "C");
  EXPECT_EQ(query_value(server.conninfo, "SHOW server_encoding"), "UTF8");
  EXPECT_EQ(query_value(server.conninfo, "SHOW max_connections"), "100");
  EXPECT_EQ(query_value(server.conninfo, "SELECT count(*) FROM pg_file_settings WHERE error IS NOT NULL"),
            "0");
  EXPECT_EQ(mode_of(directory), 0700);
  EXPECT_TRUE(fs::exists(directory / "server.log"));
}

TEST_F(LocalServerTest, LeavesARunningServerAlone) {
  const LocalServer first = ensure(folder_ / "pg");
  const std::string start = query_value(first.conninfo, "SELECT pg_postmaster_start_time()");
  const LocalServer second = ensure(folder_ / "pg/");
  EXPECT_FALSE(second.created);
  EXPECT_FALSE(second.started);
  EXPECT_EQ(second.conninfo, first.conninfo);
  EXPECT_EQ(query_value(second.conninfo, "SELECT pg_postmaster_start_time()"), start);
}

TEST_F(LocalServerTest, KeepsItsDataOverAStopAndAMove) {
  LocalServer server = ensure(folder_ / "pg");
  testing::execute(server.conninfo, "CREATE TABLE kept AS SELECT 7 AS seven");
  const CommandResult stopped = shell(server.stop_command);
  EXPECT_EQ(stopped.exit_status, 0) << stopped.out << stopped.err;
  EXPECT_THROW(query_value(server.conninfo, "SELECT 1"), std::runtime_error);

  fs::rename(folder_ / "pg", folder_ / "moved");
  server = ensure(folder_ / "moved");
  EXPECT_FALSE(server.created);
  EXPECT_TRUE(server.started);
  EXPECT_EQ(query_value(server.conninfo, "SELECT seven FROM kept"), "7");
}

TEST_F(LocalServerTest, StartsAgainAfterACrash) {
  LocalServer server = ensure(folder_ / "pg");
  testing::execute(server.conninfo, "CREATE TABLE kept AS SELECT 7 AS seven");
  std::ifstream file(folder_ / "pg/data/postmaster.pid");
  pid_t postmaster = 0;
  ASSERT_TRUE(file >> postmaster);
  ASSERT_EQ(::kill(postmaster, SIGKILL), 0);
  server = ensure(folder_ / "pg");
  EXPECT_TRUE(server.started);
  EXPECT_EQ(query_value(server.conninfo, "SELECT seven FROM kept"), "7");
}

TEST_F(LocalServerTest, IsNotFooledByAPidFileOfAnotherLife) {
  ensure(folder_ / "pg");
  stop_local_server(folder_ / "pg");
  // After a reboot the number may belong to anyone; here, to this test.
  const fs::path pid_file = folder_ / "pg/data/postmaster.pid";
  std::ofstream(pid_file) << getpid() << "\n";
  fs::permissions(pid_file, fs::perms(0644));
  stop_local_server(folder_ / "pg");  // does nothing, above all not to us
  fs::remove(pid_file);
  EXPECT_TRUE(ensure(folder_ / "pg").started);
}

TEST_F(LocalServerTest, StartsAfreshAfterAnInterruptedInitdb) {
  fs::create_directories(folder_ / "pg/data.new/base");
  std::ofstream(folder_ / "pg/data.new/PG_VERSION") << "15\n";
  const LocalServer server = ensure(folder_ / "pg");
  EXPECT_TRUE(server.created);
  EXPECT_EQ(query_value(server.conninfo, "SELECT 1"), "1");
  EXPECT_FALSE(fs::exists(folder_ / "pg/data.new"));
}

TEST_F(LocalServerTest, TwoCallsAtOnceMakeOneServer) {
#ifdef __SANITIZE_THREAD__
  GTEST_SKIP() << "ThreadSanitizer takes the other thread for leaked in every child process";
#endif
  std::optional<LocalServer> other;
  std::thread thread([&] { other = ensure_local_server(folder_ / "pg"); });
  const LocalServer mine = ensure(folder_ / "pg");
  thread.join();
  EXPECT_NE(mine.created, other->created);
  EXPECT_NE(mine.started, other->started);
  EXPECT_EQ(mine.conninfo, other->conninfo);
}

TEST_F(LocalServerTest, DoesNotKeepTheCallersOutputOpen) {
  // A server that inherits a pipe makes `sluice ... | tail` wait for as long as the server lives.
  int ends[2];
  ASSERT_EQ(::pipe(ends), 0);
  ensure(folder_ / "pg");
  ::close(ends[1]);
  char byte = 0;
  EXPECT_EQ(::read(ends[0], &byte, 1), 0);
  ::close(ends[0]);
}

TEST_F(LocalServerTest, WorksWhereTheNameHoldsSpacesAndQuotes) {
  const LocalServer server = ensure(folder_ / "it's \"my\" $HOME, \\ ü");
  const CommandResult psql = shell(server.psql_command + " -Atc 'SELECT 1'");
  EXPECT_EQ(psql.out, "1\n") << server.psql_command << psql.err;
  EXPECT_EQ(query_value(server.conninfo, "SELECT 1"), "1");
  const LocalServer no_comma = ensure(folder_ / "it's \"my\" $HOME \\ ü");
  EXPECT_TRUE(fs::exists(folder_ / "it's \"my\" $HOME \\ ü/.s.PGSQL.5432"));
  EXPECT_EQ(query_value(no_comma.conninfo, "SELECT 1"), "1");
  const CommandResult stopped = shell(no_comma.stop_command);
  EXPECT_EQ(stopped.exit_status, 0) << no_comma.stop_command << stopped.err;
}

TEST_F(LocalServerTest, WorksWhereThePathIsTooLongForASocket) {
  const fs::path directory = folder_ / std::string(60, 'a') / std::string(60, 'b') / "pg";
  const LocalServer server = ensure(directory);
  EXPECT_EQ(query_value(server.conninfo, "SELECT 1"), "1");
  const fs::path sockets = query_value(server.conninfo, "SHOW unix_socket_directories");
  EXPECT_TRUE(sockets.string().starts_with("\"/tmp/sluice-")) << sockets;
  const CommandResult psql = shell(server.psql_command + " -Atc 'SELECT 1'");
  EXPECT_EQ(psql.out, "1\n") << psql.err;
  EXPECT_EQ(ensure(directory).conninfo, server.conninfo);
  const std::string name = sockets.string().substr(1, sockets.string().size() - 2);
  EXPECT_EQ(mode_of(name), 0700);
  stop_local_server(directory);
  EXPECT_FALSE(fs::exists(name));

  fs::create_directory(name);  // as a stranger might
  fs::permissions(name, fs::perms::all);
  EXPECT_EQ(refusal(directory).fault(), Fault::target_refused);
  fs::remove(name);
}

TEST_F(LocalServerTest, RefusesAFileInTheWay) {
  std::ofstream(folder_ / "file") << "precious";
  EXPECT_EQ(refusal(folder_ / "file").fault(), Fault::usage);
  EXPECT_EQ(refusal(folder_ / "file/pg").fault(), Fault::usage);
  EXPECT_EQ(contents(folder_ / "file"), "precious");
}

TEST_F(LocalServerTest, LeavesADirectoryWithOtherFilesAsItIs) {
  fs::create_directory(folder_ / "home");
  fs::permissions(folder_ / "home", fs::perms(0755));
  std::ofstream(folder_ / "home/letter") << "precious";
  const Error error = refusal(folder_ / "home");
  EXPECT_EQ(error.fault(), Fault::usage);
  EXPECT_NE(error.describe().find("letter"), std::string::npos) << error.describe();
  EXPECT_EQ(mode_of(folder_ / "home"), 0755);

  fs::create_directories(folder_ / "application/data/2024");
  EXPECT_EQ(refusal(folder_ / "application").fault(), Fault::usage);
  EXPECT_THROW(ensure_local_server("/tmp"), Error);
  EXPECT_THROW(ensure_local_server(""), Error);
  EXPECT_EQ(refusal(folder_ / "two\nlines").fault(), Fault::usage);
}

TEST_F(LocalServerTest, RefusesAPlaceItMayNotUse) {
  fs::create_directory(folder_ / "private");
  // To root nothing is closed, but it is to the user the server runs as.
  fs::permissions(folder_ / "private", geteuid() == 0 ? fs::perms::owner_all : fs::perms(0500));
  const Error error = refusal(folder_ / "private/pg");
  EXPECT_EQ(error.fault(), Fault::target_refused);
  EXPECT_NE(error.describe().find((folder_ / "private").string()), std::string::npos) << error.describe();
  EXPECT_FALSE(error.advice().empty());
  EXPECT_FALSE(fs::exists(folder_ / "private/pg"));
}

TEST_F(LocalServerTest, SaysWhatTheServerComplainsAbout) {
  const LocalServer server = ensure(folder_ / "pg");
  testing::execute(server.conninfo, "ALTER SYSTEM SET shared_preload_libraries = 'no_such_library'");
  stop_local_server(folder_ / "pg");
  const Error error = refusal(folder_ / "pg");
  EXPECT_EQ(error.fault(), Fault::target_unavailable);
  EXPECT_NE(error.describe().find("no_such_library"), std::string::npos) << error.describe();
  EXPECT_NE(error.advice().find("server.log"), std::string::npos) << error.advice();
}

TEST_F(LocalServerTest, RefusesAClusterOfAnotherMajorVersion) {
  ensure(folder_ / "pg");
  stop_local_server(folder_ / "pg");
  std::ofstream(folder_ / "pg/data/PG_VERSION") << "9\n";
  const Error error = refusal(folder_ / "pg");
  EXPECT_EQ(error.fault(), Fault::target_refused);
  EXPECT_NE(error.describe().find("PostgreSQL 9"), std::string::npos) << error.describe();
}

TEST_F(LocalServerTest, SaysWhereTheServerProgramsAreMissing) {
  setenv("SLUICE_POSTGRES_BIN", folder_.path().c_str(), 1);
  const Error error = refusal(folder_ / "pg");
  unsetenv("SLUICE_POSTGRES_BIN");
  EXPECT_EQ(error.fault(), Fault::usage);
  EXPECT_NE(error.describe().find(folder_.path().string()), std::string::npos) << error.describe();
  EXPECT_FALSE(fs::exists(folder_ / "pg"));
}

TEST_F(LocalServerTest, SaysWhyInitdbFailed) {
  // Programs that look like a server's, of which one fails as on a full disk.
  const auto program = [&](const std::string& name, const std::string& body) {
    std::ofstream(folder_ / name) << "#!/bin/sh\n" << body << "\n";
    fs::permissions(folder_ / name, fs::perms(0755));
  };
  program("postgres", "echo 'postgres (PostgreSQL) 15.1'");
  program("pg_ctl", "exit 1");
  program("initdb",
          "mkdir data.new; echo 'creating directory data.new ... ok'\n"
          "echo 'initdb: error: could not write file: No space left on device' >&2\n"
          "echo 'initdb: removing contents of data directory' >&2; exit 1");
  setenv("SLUICE_POSTGRES_BIN", folder_.path().c_str(), 1);
  const Error error = refusal(folder_ / "pg");
  unsetenv("SLUICE_POSTGRES_BIN");
  EXPECT_EQ(error.fault(), Fault::target_unavailable);
  EXPECT_NE(error.describe().find("No space left on device"), std::string::npos) << error.describe();
  EXPECT_NE(error.advice().find("free some space"), std::string::npos) << error.advice();
  EXPECT_FALSE(fs::exists(folder_ / "pg/data"));
  EXPECT_TRUE(ensure(folder_ / "pg").created);
}

}  // namespace
}  // namespace sluice
