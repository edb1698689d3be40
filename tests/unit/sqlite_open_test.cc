#include <sys/wait.h>
#include <unistd.h>

#include <random>

#include "unit/sqlite_fixture.h"

namespace sluice {
namespace {

using namespace testing;

bool says(const Error& error, const std::string& part) {
  return error.describe().find(part) != std::string::npos && error.fault() == Fault::source_unreadable &&
         error.describe().find('\n') == std::string::npos;
}

// Runs `body` as someone who may not write to `folder`, as root can everywhere. Its result is the text.
template <typename Body>
std::string without_permission(const Folder& folder, Body body) {
  namespace fs = std::filesystem;
  fs::permissions(folder.path(), fs::perms(0555));
  int ends[2];
  if (pipe(ends) != 0) return "no pipe";
  const pid_t child = fork();
  if (child == 0) {
    std::string said;
    if (getuid() == 0 && (setgid(65534) != 0 || setuid(65534) != 0)) {
      said = "cannot become another user";
    } else {
      try {
        said = body();
      } catch (const Error& error) {
        said = "error: " + error.describe();
      }
    }
    static_cast<void>(!write(ends[1], said.data(), said.size()));
    _exit(0);
  }
  close(ends[1]);
  std::string said;
  char buffer[4096];
  for (ssize_t count = 0; (count = read(ends[0], buffer, sizeof buffer)) > 0;) {
    said.append(buffer, static_cast<std::size_t>(count));
  }
  close(ends[0]);
  waitpid(child, nullptr, 0);
  fs::permissions(folder.path(), fs::perms(0755));
  return said;
}

TEST(OpenSqlite, SaysWhatIsNotADatabase) {
  const Folder folder;
  EXPECT_TRUE(says(error_of(folder / "missing.db"), "no such file"));
  EXPECT_TRUE(says(error_of(folder.path()), "is a directory"));

  std::mt19937 random(7);
  std::string noise(8192, ' ');
  for (char& byte : noise) byte = static_cast<char>(random());
  put_bytes(folder / "noise", noise);
  EXPECT_TRUE(says(error_of(folder / "noise"), "is not a SQLite database"));
  EXPECT_TRUE(says(error_of(folder / "noise"), "encrypted"));
  put_bytes(folder / "short", "SQLite");
  EXPECT_TRUE(says(error_of(folder / "short"), "is not a SQLite database"));
  EXPECT_EQ(names_in(folder), (std::set<std::string>{"noise", "short"})) << "nothing may be created";
}

TEST(OpenSqlite, TakesAnEmptyFileForADatabaseWithoutTables) {
  const Folder folder;
  put_bytes(folder / "empty.db", "");
  const Snapshot snapshot(folder / "empty.db", 2);
  EXPECT_TRUE(snapshot.catalog().tables.empty());
  EXPECT_EQ(snapshot.file_bytes(), 0U);
}

TEST(OpenSqlite, NoticesATruncatedFileWhereverItIsCut) {
  const Folder folder;
  Writer(folder / "whole.db")
      .run(
          "CREATE TABLE t(x); WITH RECURSIVE c(i) AS (SELECT 1 UNION ALL SELECT i+1 FROM c WHERE i<5000)"
          " INSERT INTO t SELECT 'row number ' || i FROM c");
  const std::string whole = bytes_of(folder / "whole.db");
  for (const std::size_t missing : {std::size_t{1}, std::size_t{4095}, std::size_t{4096}, whole.size() / 2}) {
    put_bytes(folder / "cut.db", whole.substr(0, whole.size() - missing));
    EXPECT_TRUE(says(error_of(folder / "cut.db"), "is truncated")) << missing;
  }
  put_bytes(folder / "cut.db", whole.substr(0, 50));
  EXPECT_TRUE(says(error_of(folder / "cut.db"), "is not a SQLite database"));
}

TEST(OpenSqlite, NoticesATruncatedFileInWalMode) {
  const Folder folder;
  {
    const Writer writer(folder / "whole.db");
    writer.run(
        "PRAGMA journal_mode=WAL; CREATE TABLE t(x);"
        "WITH RECURSIVE c(i) AS (SELECT 1 UNION ALL SELECT i+1 FROM c WHERE i<5000)"
        " INSERT INTO t SELECT 'row number ' || i FROM c");
  }
  const std::string whole = bytes_of(folder / "whole.db");
  put_bytes(folder / "cut.db", whole.substr(0, whole.size() - 5000));
  EXPECT_TRUE(says(error_of(folder / "cut.db"), "is truncated"));
}

TEST(OpenSqlite, ReportsACorruptSchema) {
  const Folder folder;
  Writer(folder / "a.db").run("CREATE TABLE t(x)");
  std::string bytes = bytes_of(folder / "a.db");
  bytes[100] = 77;  // no such kind of page
  put_bytes(folder / "a.db", bytes);
  EXPECT_TRUE(says(error_of(folder / "a.db"), "is corrupt"));
}

TEST(OpenSqlite, RefusesAHotJournal) {
  const Folder folder;
  const Writer writer(folder / "live.db");
  writer.run(
      "CREATE TABLE t(x);"
      "WITH RECURSIVE c(i) AS (SELECT 1 UNION ALL SELECT i+1 FROM c WHERE i<5000)"
      " INSERT INTO t SELECT 'row number ' || i FROM c;"
      "PRAGMA cache_size=5; BEGIN; UPDATE t SET x = 'changed ' || x");
  ASSERT_GT(std::filesystem::file_size(folder / "live.db-journal"), 1000U);
  std::filesystem::copy_file(folder / "live.db", folder / "crashed.db");
  std::filesystem::copy_file(folder / "live.db-journal", folder / "crashed.db-journal");
  const std::string before = bytes_of(folder / "crashed.db");
  EXPECT_TRUE(says(error_of(folder / "crashed.db"), "left its rollback journal"));
  EXPECT_EQ(bytes_of(folder / "crashed.db"), before);
  EXPECT_TRUE(std::filesystem::exists(folder / "crashed.db-journal"));
}

TEST(OpenSqlite, SaysWhenSomeoneIsWriting) {
  const Folder folder;
  const Writer writer(folder / "a.db");
  writer.run("CREATE TABLE t(x); BEGIN EXCLUSIVE");
  const SqliteConnection connection(folder / "a.db", Access::read);
  sqlite3_busy_timeout(connection.get(), 0);
  try {
    connection.pin();
    FAIL() << "pinned under an exclusive lock";
  } catch (const Error& error) {
    EXPECT_TRUE(says(error, "busy")) << error.describe();
  }
}

TEST(OpenSqlite, TakesANameThatLooksLikeAUriAsAName) {
  const Folder folder;
  const auto before = std::filesystem::current_path();
  std::filesystem::current_path(folder.path());
  const std::string name = "file:odd.db?mode=memory";
  Writer(folder.path() / name).run("CREATE TABLE here(x)");
  EXPECT_EQ(Snapshot(name, 1).catalog().tables.size(), 1U);
  std::filesystem::current_path(before);
}

TEST(OpenSqlite, KeepsWritersOutByAFenceThatItselfWritesNothing) {
  const Folder folder;
  Writer(folder / "a.db").run("CREATE TABLE t(x)");
  const SqliteConnection fence(folder / "a.db", Access::fence);
  EXPECT_TRUE(fence.writable());
  fence.execute("BEGIN IMMEDIATE");
  const Writer writer(folder / "a.db");
  sqlite3_busy_timeout(writer.get(), 0);
  EXPECT_EQ(writer.try_run("INSERT INTO t VALUES (1)"), SQLITE_BUSY);
  fence.unpin();
  writer.run("INSERT INTO t VALUES (1)");
  EXPECT_THROW(fence.execute("CREATE TABLE u(x)"), Error);
  EXPECT_THROW(fence.execute("INSERT INTO t VALUES (1)"), Error);
  EXPECT_THROW(fence.execute("PRAGMA journal_mode=WAL"), Error);
  const SqliteConnection reading(folder / "a.db", Access::read);
  EXPECT_FALSE(reading.writable());
  EXPECT_THROW(reading.execute("INSERT INTO t VALUES (1)"), Error);
  EXPECT_THROW(reading.execute("SELECT \"nothing\" FROM t"), Error) << "a name must not become a text";
}

TEST(OpenSqlite, StandsInForCollationsItDoesNotKnow) {
  const Folder folder;
  {
    const Writer writer(folder / "a.db");
    sqlite3_create_collation(writer.get(), "unicase", SQLITE_UTF8, nullptr,
                             [](void*, int, const void*, int, const void*) { return 0; });
    writer.run("CREATE TABLE t(x TEXT COLLATE unicase PRIMARY KEY); INSERT INTO t VALUES ('b')");
  }
  const SqliteConnection connection(folder / "a.db", Access::read);
  EXPECT_TRUE(connection.unknown_collations().empty());
  connection.execute("SELECT * FROM t WHERE x > 'a' ORDER BY x");
  EXPECT_EQ(connection.unknown_collations(), std::set<std::string>{"unicase"});
}

TEST(OpenSqlite, ReadsACleanWalFileInAFolderItMayNotWriteTo) {
  const Folder folder;
  Writer(folder / "a b%.db").run("PRAGMA journal_mode=WAL; CREATE TABLE t(x); INSERT INTO t VALUES (5)");
  ASSERT_EQ(names_in(folder), std::set<std::string>{"a b%.db"});
  EXPECT_EQ(without_permission(folder,
                               [&] {
                                 Snapshot snapshot(folder / "a b%.db", 2);
                                 return rows_of(snapshot, "t").at(0) +
                                        (snapshot.remark().empty() ? "" : " remark");
                               }),
            "i5 i1 remark");
}

TEST(OpenSqlite, RefusesAWalItMayNotUse) {
  const Folder folder;
  const Writer writer(folder / "a.db");
  writer.run("PRAGMA journal_mode=WAL; CREATE TABLE t(x); INSERT INTO t VALUES (5)");
  const Folder copy;
  std::filesystem::copy_file(folder / "a.db", copy / "a.db");
  std::filesystem::copy_file(folder / "a.db-wal", copy / "a.db-wal");
  const std::string said = without_permission(copy, [&] {
    Snapshot snapshot(copy / "a.db", 1);
    return rows_of(snapshot, "t").at(0);
  });
  EXPECT_TRUE(said.starts_with("error: ")) << said;
  EXPECT_NE(said.find("-shm"), std::string::npos) << said;
}

TEST(OpenSqlite, ReadsALiveWalItMayNotWrite) {
  const Folder folder;
  const Writer writer(folder / "a.db");
  writer.run("PRAGMA journal_mode=WAL; CREATE TABLE t(x); INSERT INTO t VALUES (5)");
  EXPECT_EQ(without_permission(folder,
                               [&] {
                                 Snapshot snapshot(folder / "a.db", 3);
                                 return rows_of(snapshot, "t").at(0);
                               }),
            "i5 i1");
}

TEST(OpenSqlite, ReadsAWalWithAForeignIndexItMayNotWrite) {
  const Folder folder;
  const Folder copy;
  {
    const Writer writer(folder / "a.db");
    writer.run("PRAGMA journal_mode=WAL; CREATE TABLE t(x); INSERT INTO t VALUES (5)");
    for (const char* suffix : {"", "-wal", "-shm"}) {
      std::filesystem::copy_file(folder / ("a.db" + std::string(suffix)),
                                 copy / ("a.db" + std::string(suffix)));
    }
  }
  const std::string said = without_permission(copy, [&] {
    Snapshot snapshot(copy / "a.db", 3);
    return rows_of(snapshot, "t").at(0) + " " + snapshot.fingerprint();
  });
  EXPECT_TRUE(said.starts_with("i5 i1 ")) << said;
  EXPECT_EQ(said.find("wal=none"), std::string::npos) << said;
}

TEST(OpenSqlite, ReportsAFileItMayNotRead) {
  const Folder folder;
  Writer(folder / "a.db").run("CREATE TABLE t(x)");
  std::filesystem::permissions(folder / "a.db", std::filesystem::perms(0000));
  const std::string said = without_permission(folder, [&] {
    const Snapshot snapshot(folder / "a.db", 1);
    return std::string("opened");
  });
  EXPECT_NE(said.find("no permission"), std::string::npos) << said;
}

}  // namespace
}  // namespace sluice
