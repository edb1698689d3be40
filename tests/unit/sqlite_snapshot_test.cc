#include <sys/wait.h>
#include <unistd.h>

#include <atomic>
#include <chrono>
#include <fstream>
#include <thread>

#include "engine/model/fingerprint.h"
#include "io/sqlite/page_sample.h"
#include "io/sqlite/wal.h"
#include "unit/sqlite_fixture.h"

namespace sluice {
namespace {

using namespace testing;

constexpr std::size_t kReaders = 4;

// A process of its own, as an application is: SQLite shares locks and the wal-index within a process.
class BusyWriter {
 public:
  BusyWriter(const std::filesystem::path& path, std::chrono::microseconds rest) : child_(fork()) {
    if (child_ != 0) return;
    const Writer writer(path);
    static_cast<void>(writer.try_run("PRAGMA synchronous=OFF"));
    for (;;) {
      static_cast<void>(
          writer.try_run("BEGIN IMMEDIATE; UPDATE a SET n = n + 1; UPDATE b SET n = n + 1; COMMIT"));
      if (rest.count() > 0) std::this_thread::sleep_for(rest);
    }
  }
  ~BusyWriter() {
    kill(child_, SIGKILL);
    waitpid(child_, nullptr, 0);
  }
  BusyWriter(const BusyWriter&) = delete;
  BusyWriter& operator=(const BusyWriter&) = delete;

 private:
  pid_t child_;
};

// The distinct states that the readers of one snapshot see.
std::set<std::string> states_of(Snapshot& snapshot) {
  std::set<std::string> states;
  for (const char* table : {"a", "b"}) {
    const TablePlan plan = plan_of(table_named(snapshot.catalog(), table));
    for (std::size_t i = 0; i < snapshot.readers(); ++i) {
      for (std::string& row : rows_of(snapshot.reader(i), plan, WholeTable{})) states.insert(std::move(row));
    }
  }
  return states;
}

void expect_one_state_every_time(const std::string& journal_mode, Snapshot::Agreement agreement) {
  const Folder folder;
  Writer(folder / "live.db")
      .run("PRAGMA journal_mode=" + journal_mode +
           "; CREATE TABLE a(n); CREATE TABLE b(n); INSERT INTO a VALUES (0); INSERT INTO b VALUES (0)");
  // Without a rest no reader would ever get its lock in rollback mode.
  const BusyWriter writer(folder / "live.db", std::chrono::microseconds(journal_mode == "WAL" ? 0 : 200));
  std::set<std::string> all;
  for (int round = 0; round < 50; ++round) {
    Snapshot snapshot(folder / "live.db", kReaders, agreement);
    const auto states = states_of(snapshot);
    EXPECT_EQ(states.size(), 1U) << "round " << round;
    std::this_thread::sleep_for(std::chrono::milliseconds(2));
    EXPECT_EQ(states_of(snapshot), states) << "it must not move on, round " << round;
    all.insert(states.begin(), states.end());
  }
  EXPECT_GT(all.size(), 5U) << "the writer did nothing, so this showed nothing";
}

TEST(Snapshot, NeverMixesStatesBehindAFence) {
  expect_one_state_every_time("WAL", Snapshot::Agreement::fence);
}

TEST(Snapshot, NeverMixesStatesByComparison) {
  expect_one_state_every_time("WAL", Snapshot::Agreement::comparison);
}

TEST(Snapshot, NeverMixesStatesInRollbackMode) {
  expect_one_state_every_time("DELETE", Snapshot::Agreement::fence);
}

TEST(Snapshot, KeepsCommitsOutInRollbackModeAndLetsThemInAfterwards) {
  const Folder folder;
  const Writer writer(folder / "a.db");
  writer.run("CREATE TABLE t(x); INSERT INTO t VALUES (1)");
  sqlite3_busy_timeout(writer.get(), 0);
  {
    Snapshot snapshot(folder / "a.db", 1);
    EXPECT_EQ(writer.try_run("INSERT INTO t VALUES (2)"), SQLITE_BUSY);
    EXPECT_EQ(rows_of(snapshot, "t").size(), 1U);
  }
  writer.run("INSERT INTO t VALUES (2)");
}

TEST(Snapshot, LetsWritersGoOnInWalMode) {
  const Folder folder;
  const Writer writer(folder / "a.db");
  writer.run("PRAGMA journal_mode=WAL; CREATE TABLE t(x); INSERT INTO t VALUES (1)");
  sqlite3_busy_timeout(writer.get(), 0);
  Snapshot snapshot(folder / "a.db", 2);
  writer.run("INSERT INTO t VALUES (2); PRAGMA wal_checkpoint(PASSIVE)");
  EXPECT_EQ(rows_of(snapshot, "t").size(), 1U);
}

TEST(Snapshot, ComesAboutWhileAWriterHoldsItsTransactionOpen) {
  const Folder folder;
  const Writer writer(folder / "a.db");
  writer.run("PRAGMA journal_mode=WAL; CREATE TABLE t(x); INSERT INTO t VALUES (1)");
  writer.run("BEGIN IMMEDIATE; INSERT INTO t VALUES (2)");
  Snapshot snapshot(folder / "a.db", 2, Snapshot::Agreement::comparison);
  EXPECT_EQ(rows_of(snapshot, "t").size(), 1U);
  writer.run("COMMIT");
}

TEST(Snapshot, LeavesTheLogAsItIs) {
  const Folder folder;
  const Folder copy;
  const Writer writer(folder / "a.db");
  writer.run("PRAGMA journal_mode=WAL; PRAGMA wal_autocheckpoint=0; CREATE TABLE t(x)");
  for (int i = 0; i < 2000; ++i) writer.run("INSERT INTO t VALUES (" + std::to_string(i) + ")");
  // As a crashed application leaves it: nobody has it open, and the last one to close would checkpoint.
  std::filesystem::copy_file(folder / "a.db", copy / "a.db");
  std::filesystem::copy_file(folder / "a.db-wal", copy / "a.db-wal");
  const std::string file = bytes_of(copy / "a.db");
  const std::string log = bytes_of(copy / "a.db-wal");
  for (int round = 0; round < 2; ++round) {
    Snapshot snapshot(copy / "a.db", 3);
    EXPECT_EQ(rows_of(snapshot, "t").size(), 2000U);
    EXPECT_EQ(snapshot.file_bytes(), file.size() + log.size());
  }
  EXPECT_EQ(bytes_of(copy / "a.db"), file);
  EXPECT_EQ(bytes_of(copy / "a.db-wal"), log);
}

TEST(Snapshot, LeavesNothingBesideAFileThatWasClosedCleanly) {
  const Folder folder;
  Writer(folder / "a.db").run("PRAGMA journal_mode=WAL; CREATE TABLE t(x); INSERT INTO t VALUES (1)");
  const std::string file = bytes_of(folder / "a.db");
  ASSERT_EQ(names_in(folder), std::set<std::string>{"a.db"});
  {
    Snapshot snapshot(folder / "a.db", 2);
    EXPECT_EQ(rows_of(snapshot, "t").size(), 1U);
  }
  EXPECT_EQ(names_in(folder), std::set<std::string>{"a.db"});
  EXPECT_EQ(bytes_of(folder / "a.db"), file);
}

TEST(Snapshot, ReadsADatabaseThatIsAllInTheLog) {
  const Folder folder;
  const Folder copy;
  const Writer writer(folder / "a.db");
  writer.run(
      "PRAGMA journal_mode=WAL; PRAGMA wal_autocheckpoint=0; CREATE TABLE t(id INTEGER PRIMARY KEY, x);"
      "WITH RECURSIVE c(i) AS (SELECT 1 UNION ALL SELECT i+1 FROM c WHERE i<5000)"
      " INSERT INTO t SELECT i, 'row number ' || i FROM c");
  ASSERT_EQ(std::filesystem::file_size(folder / "a.db"), 4096U);
  std::filesystem::copy_file(folder / "a.db", copy / "a.db");
  std::filesystem::copy_file(folder / "a.db-wal", copy / "a.db-wal");
  Snapshot snapshot(copy / "a.db", 1);
  EXPECT_EQ(rows_of(snapshot, "t").size(), 5000U);
  std::size_t rows = 0;
  for (const Extent& extent : extents_of(snapshot.outline(table_named(snapshot.catalog(), "t")))) {
    rows += rows_of(snapshot, "t", extent).size();
  }
  EXPECT_EQ(rows, 5000U);
}

TEST(Snapshot, FindsTheSameTipInTheLogAsInItsIndex) {
  const Folder folder;
  const Writer writer(folder / "a.db");
  writer.run("PRAGMA journal_mode=WAL; CREATE TABLE t(x)");
  const SqliteConnection connection(folder / "a.db", Access::read);
  for (int i = 0; i < 20; ++i) {
    writer.run("INSERT INTO t VALUES (randomblob(3000))");
    // Frames without a commit: a transaction that outgrows its cache and changes its mind.
    writer.run("PRAGMA cache_size=2; BEGIN");
    for (int k = 0; k < 10; ++k) writer.run("INSERT INTO t VALUES (randomblob(9000))");
    writer.run("ROLLBACK");
    connection.pin();
    auto published = published_tip(connection.get());
    connection.unpin();
    ASSERT_TRUE(published);
    EXPECT_EQ(published->text(), tip_in_log(folder / "a.db-wal").text());
  }
  EXPECT_EQ(tip_in_log(folder / "nothing").text(), "none");
}

std::string fingerprint_of(const std::filesystem::path& path) { return Snapshot(path, 1).fingerprint(); }

TEST(Fingerprint, IsTheSameForAFileThatDidNotChange) {
  const Folder folder;
  for (const char* mode : {"DELETE", "WAL"}) {
    const Writer writer(folder / mode);
    writer.run("PRAGMA journal_mode=" + std::string(mode) + "; CREATE TABLE t(x); INSERT INTO t VALUES (1)");
    const std::string before = fingerprint_of(folder / mode);
    EXPECT_EQ(fingerprint_of(folder / mode), before);
    writer.run("INSERT INTO t VALUES (2)");
    const std::string after = fingerprint_of(folder / mode);
    EXPECT_NE(after, before);
    EXPECT_EQ(fingerprint_of(folder / mode), after);
  }
}

TEST(Fingerprint, TellsAWalChangeThatLeftNoLogAndNoCounter) {
  const Folder folder;
  Writer(folder / "a.db").run("PRAGMA journal_mode=WAL; CREATE TABLE t(x); INSERT INTO t VALUES (1)");
  std::this_thread::sleep_for(std::chrono::milliseconds(30));
  const std::string before = fingerprint_of(folder / "a.db");
  EXPECT_EQ(fingerprint_of(folder / "a.db"), before);
  // Closing checkpoints and deletes the log; the header's change counter stays as it was.
  Writer(folder / "a.db").run("UPDATE t SET x = 2");
  EXPECT_NE(fingerprint_of(folder / "a.db"), before);
}

// As cp -p and rsync -t do.
void copy_with_time(const std::filesystem::path& from, const std::filesystem::path& to) {
  std::filesystem::copy_file(from, to, std::filesystem::copy_options::overwrite_existing);
  std::filesystem::last_write_time(to, std::filesystem::last_write_time(from));
}

TEST(Fingerprint, IsTheSameStateInACopyThatKeepsTheTimeAndInNoOther) {
  const Folder folder;
  const Folder elsewhere;
  Writer(folder / "a.db").run("CREATE TABLE t(x); INSERT INTO t VALUES (1)");
  const std::string original = fingerprint_of(folder / "a.db");
  copy_with_time(folder / "a.db", elsewhere / "b.db");
  EXPECT_NE(fingerprint_of(elsewhere / "b.db"), original) << "it is another file";
  EXPECT_TRUE(same_state(original, fingerprint_of(elsewhere / "b.db")));
  std::filesystem::copy_file(folder / "a.db", elsewhere / "c.db");
  // As any other copy has it, but for one that is made within the same tick of the kernel's clock.
  std::filesystem::last_write_time(
      elsewhere / "c.db", std::filesystem::last_write_time(folder / "a.db") + std::chrono::seconds(1));
  EXPECT_EQ(fingerprint_differences(original, fingerprint_of(elsewhere / "c.db")),
            std::vector<std::string>{"mtime"});
}

TEST(Fingerprint, IsTheSameStateInACopyWithItsLog) {
  const Folder folder;
  const Folder elsewhere;
  const Writer writer(folder / "a.db");
  writer.run(
      "PRAGMA journal_mode=WAL; PRAGMA wal_autocheckpoint=0; CREATE TABLE t(x); INSERT INTO t VALUES (1)");
  const std::string original = fingerprint_of(folder / "a.db");
  for (const char* name : {"a.db", "a.db-wal"}) copy_with_time(folder / name, elsewhere / name);
  EXPECT_TRUE(same_state(original, fingerprint_of(elsewhere / "a.db")));
  // The log went on, and the main file did not.
  writer.run("INSERT INTO t VALUES (2)");
  for (const char* name : {"a.db", "a.db-wal"}) copy_with_time(folder / name, elsewhere / name);
  EXPECT_EQ(fingerprint_differences(original, fingerprint_of(elsewhere / "a.db")),
            std::vector<std::string>{"wal"});
}

// Two histories of one file, with size, counters and times that somebody has made alike.
TEST(Fingerprint, TellsPagesThatDifferWhereAllElseIsMadeAlike) {
  const Folder folder;
  Writer(folder / "small.db").run("CREATE TABLE t(x); INSERT INTO t VALUES (zeroblob(40000))");
  Writer(folder / "large.db").run("CREATE TABLE t(x); INSERT INTO t VALUES (zeroblob(8000000))");
  const auto told = [&](const char* name, std::uint64_t page) {
    const std::string before = fingerprint_of(folder / name);
    copy_with_time(folder / name, folder / "other.db");
    {
      std::fstream file(folder / "other.db", std::ios::binary | std::ios::in | std::ios::out);
      file.seekp(static_cast<std::streamoff>(page * 4096 + 2000));
      file.put('x');
    }
    std::filesystem::last_write_time(folder / "other.db", std::filesystem::last_write_time(folder / name));
    const auto differences = fingerprint_differences(before, fingerprint_of(folder / "other.db"));
    EXPECT_TRUE(differences.empty() || differences == std::vector<std::string>{"content"});
    return !differences.empty();
  };
  const std::uint64_t pages = std::filesystem::file_size(folder / "small.db") / 4096;
  ASSERT_GT(pages, 5U);
  ASSERT_LT(pages, 16U);
  for (std::uint64_t page = 0; page < pages; ++page) EXPECT_TRUE(told("small.db", page)) << page;
  const std::uint64_t last = std::filesystem::file_size(folder / "large.db") / 4096 - 1;
  EXPECT_TRUE(told("large.db", 0));
  EXPECT_TRUE(told("large.db", last));
  EXPECT_TRUE(told("large.db", last / 2));
  EXPECT_FALSE(told("large.db", last - 1)) << "a sample is not the whole file";
}

TEST(Fingerprint, CostsAsMuchForAHundredGigabytesAsForSome) {
  const Folder folder;
  Writer(folder / "huge.db").run("CREATE TABLE t(x)");
  std::filesystem::resize_file(folder / "huge.db", std::uint64_t{100} << 30);  // a hole
  const auto bytes_read = [] {
    std::ifstream file("/proc/self/io");
    std::string word;
    std::uint64_t bytes = 0;
    file >> word >> bytes;  // rchar
    return bytes;
  };
  const SqliteConnection connection(folder / "huge.db", Access::read);
  connection.execute("SELECT 1 FROM sqlite_schema");
  const DatabaseFile file(connection.get());
  const std::uint64_t before = bytes_read();
  EXPECT_EQ(page_sample(file, file.header("huge.db")).size(), 16U);
  EXPECT_LT(bytes_read() - before, 100U * 1024);
}

TEST(Snapshot, NoticesThatItsFileWasReplaced) {
  const Folder folder;
  Writer(folder / "a.db").run("CREATE TABLE t(x); INSERT INTO t VALUES (1)");
  copy_with_time(folder / "a.db", folder / "b.db");
  Snapshot snapshot(folder / "a.db", 1);
  EXPECT_FALSE(snapshot.replaced());
  std::filesystem::rename(folder / "b.db", folder / "a.db");
  EXPECT_TRUE(snapshot.replaced());
  EXPECT_TRUE(snapshot.unchanged()) << "what is open is still whole";
  EXPECT_EQ(rows_of(snapshot, "t").size(), 1U);
}

TEST(Fingerprint, TellsAFileThatWasReplacedByItsCopy) {
  const Folder folder;
  Writer(folder / "a.db").run("CREATE TABLE t(x)");
  const std::string before = fingerprint_of(folder / "a.db");
  std::filesystem::copy_file(folder / "a.db", folder / "b.db");
  std::filesystem::rename(folder / "b.db", folder / "a.db");
  EXPECT_NE(fingerprint_of(folder / "a.db"), before);
}

}  // namespace
}  // namespace sluice
