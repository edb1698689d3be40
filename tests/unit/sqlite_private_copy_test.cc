#include "io/sqlite/private_copy.h"

#include <sys/stat.h>

#include <cstdlib>

#include "unit/sqlite_fixture.h"

namespace sluice {
namespace {

using namespace testing;

// TMPDIR for the time of a test.
class TemporaryFolder {
 public:
  explicit TemporaryFolder(const std::filesystem::path& folder) {
    if (const char* before = std::getenv("TMPDIR")) before_ = before;
    setenv("TMPDIR", folder.c_str(), 1);
  }
  ~TemporaryFolder() { before_.empty() ? unsetenv("TMPDIR") : setenv("TMPDIR", before_.c_str(), 1); }
  TemporaryFolder(const TemporaryFolder&) = delete;
  TemporaryFolder& operator=(const TemporaryFolder&) = delete;

 private:
  std::string before_;
};

std::unique_ptr<Snapshot> read(const PrivateCopy& copy, std::size_t readers) {
  ReaderOptions options;
  options.origin = copy.origin();
  return std::make_unique<Snapshot>(copy.path(), readers, Snapshot::Agreement::fence, std::move(options));
}

std::string fingerprint_of(const std::filesystem::path& path) { return Snapshot(path, 1).fingerprint(); }

class PrivateCopyTest : public ::testing::TestWithParam<const char*> {
 protected:
  void make() const {
    writer_ = std::make_unique<Writer>(source());
    writer_->run("PRAGMA journal_mode=" + std::string(GetParam()) +
                 "; PRAGMA wal_autocheckpoint=0; CREATE TABLE t(x); "
                 "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 5000) "
                 "INSERT INTO t SELECT printf('%0100d', i) FROM n; DELETE FROM t WHERE rowid % 3 = 0");
  }
  [[nodiscard]] std::filesystem::path source() const { return folder_ / "a.db"; }
  [[nodiscard]] std::filesystem::path kept() const { return copies_ / "kept.db"; }
  [[nodiscard]] CopyRequest keeping() const {
    CopyRequest request;
    request.source = source();
    request.keep_as = kept();
    return request;
  }

  Folder folder_;
  Folder copies_;
  mutable std::unique_ptr<Writer> writer_;
};

TEST_P(PrivateCopyTest, HasTheRowsAndTheirRowidsAndTheOriginalsName) {
  make();
  const TemporaryFolder folder(copies_.path());
  CopyRequest request;
  request.source = source();
  std::unique_ptr<Snapshot> snapshot;
  {
    const PrivateCopy copy(request);
    struct stat status {};
    ASSERT_EQ(stat(copy.path().c_str(), &status), 0);
    EXPECT_EQ(status.st_mode & 0777U, 0600U);
    EXPECT_EQ(copy.path().parent_path(), copies_.path());
    snapshot = read(copy, 3);
  }
  EXPECT_TRUE(names_in(copies_).empty()) << "it must not outlive the process, however that ends";
  EXPECT_EQ(snapshot->path(), std::filesystem::canonical(source()));
  EXPECT_EQ(snapshot->fingerprint(), fingerprint_of(source()));
  EXPECT_EQ(snapshot->wal_bytes(), 0U);
  const auto rows = rows_of(*snapshot, "t");
  Snapshot live(source(), 1);
  EXPECT_EQ(rows, rows_of(live, "t"));
  EXPECT_EQ(rows.size(), 3334U);
  EXPECT_TRUE(snapshot->unchanged());
}

TEST_P(PrivateCopyTest, LetsTheApplicationWriteWhileItIsRead) {
  make();
  const TemporaryFolder folder(copies_.path());
  sqlite3_busy_timeout(writer_->get(), 0);
  CopyRequest request;
  request.source = source();
  std::unique_ptr<Snapshot> snapshot = read(PrivateCopy(request), 2);
  writer_->run("DELETE FROM t; VACUUM; DROP TABLE t");
  EXPECT_EQ(rows_of(*snapshot, "t").size(), 3334U);
  EXPECT_TRUE(snapshot->unchanged());
}

TEST_P(PrivateCopyTest, KeptIsReadAgainWhateverBecameOfTheSource) {
  make();
  std::string fingerprint;
  {
    const PrivateCopy copy(keeping());
    EXPECT_FALSE(copy.found());
    EXPECT_EQ(names_in(copies_), std::set<std::string>{"kept.db"});
    fingerprint = read(copy, 1)->fingerprint();
    EXPECT_EQ(fingerprint, fingerprint_of(source()));
  }
  writer_->run("DELETE FROM t");
  {
    const PrivateCopy copy(keeping());
    EXPECT_TRUE(copy.found());
    EXPECT_EQ(copy.origin().fingerprint, fingerprint);
    EXPECT_EQ(rows_of(*read(copy, 1), "t").size(), 3334U);
  }
  writer_.reset();
  std::filesystem::remove(source());
  EXPECT_EQ(rows_of(*read(PrivateCopy(keeping()), 1), "t").size(), 3334U);
}

TEST_P(PrivateCopyTest, KeptIsMadeAnewWhereThatIsWanted) {
  make();
  static_cast<void>(PrivateCopy(keeping()));
  writer_->run("DELETE FROM t");
  CopyRequest request = keeping();
  request.anew = true;
  const PrivateCopy copy(request);
  EXPECT_FALSE(copy.found());
  EXPECT_EQ(rows_of(*read(copy, 1), "t").size(), 0U);
}

Fault fault_of(const CopyRequest& request) {
  try {
    static_cast<void>(PrivateCopy(request));
  } catch (const Error& error) {
    return error.fault();
  }
  ADD_FAILURE() << "nothing was refused";
  return Fault::internal;
}

TEST_P(PrivateCopyTest, TakesNoOtherFileForACopyAndHarmsNone) {
  make();
  Writer(kept()).run("CREATE TABLE precious(x)");
  const std::string precious = bytes_of(kept());
  CopyRequest request = keeping();
  for (const bool anew : {false, true}) {
    request.anew = anew;
    EXPECT_EQ(fault_of(request), Fault::usage);
    EXPECT_EQ(bytes_of(kept()), precious);
  }
  request.keep_as = source();
  EXPECT_EQ(fault_of(request), Fault::usage);
  EXPECT_EQ(Snapshot(source(), 1).catalog().tables.size(), 1U);
}

TEST_P(PrivateCopyTest, TakesNoCopyOfAnotherFileNorOneThatWasWrittenToOrCut) {
  make();
  static_cast<void>(PrivateCopy(keeping()));
  const std::string whole = bytes_of(kept());
  Writer(folder_ / "b.db").run("CREATE TABLE t(x)");
  CopyRequest of_another = keeping();
  of_another.source = folder_ / "b.db";
  EXPECT_EQ(fault_of(of_another), Fault::usage);
  Writer(kept()).run("UPDATE t SET x = 0 WHERE rowid = 1");
  EXPECT_EQ(fault_of(keeping()), Fault::usage);
  for (const std::size_t cut : {std::size_t{1}, std::size_t{20}, whole.size() / 2, whole.size()}) {
    put_bytes(kept(), whole.substr(0, whole.size() - cut));
    EXPECT_EQ(fault_of(keeping()), Fault::usage) << cut << " bytes less";
  }
  put_bytes(kept(), whole);
  EXPECT_TRUE(PrivateCopy(keeping()).found());
}

TEST_P(PrivateCopyTest, LeavesNothingWhenItIsStopped) {
  make();
  CopyRequest request = keeping();
  // Whatever a killed process has left of an earlier try.
  put_bytes(copies_ / "kept.db.part", std::string(100'000, 'x'));
  request.go_on = [](std::uint64_t, std::uint64_t) { return false; };
  // Smaller than a piece is copied at once.
  writer_->run(
      "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 3000) INSERT INTO t SELECT "
      "randomblob(4000) FROM n");
  EXPECT_EQ(fault_of(request), Fault::interrupted);
  EXPECT_TRUE(names_in(copies_).empty());
  request.go_on = nullptr;
  EXPECT_EQ(rows_of(*read(PrivateCopy(request), 1), "t").size(), 6334U);
}

TEST_P(PrivateCopyTest, SpeaksOfTheOriginalWhenSomethingIsWrong) {
  make();
  writer_->run("PRAGMA journal_mode=DELETE");
  writer_.reset();
  std::string bytes = bytes_of(source());
  for (std::size_t page = 2; page < bytes.size() / 4096; ++page) bytes[page * 4096] = 'x';
  put_bytes(source(), bytes);
  const std::unique_ptr<Snapshot> snapshot = read(PrivateCopy(keeping()), 1);
  try {
    rows_of(*snapshot, "t");
    ADD_FAILURE() << "the damage was not seen";
  } catch (const Error& error) {
    EXPECT_NE(std::string(error.what()).find(source().string() + ": is corrupt"), std::string::npos)
        << error.what();
  }
}

INSTANTIATE_TEST_SUITE_P(Modes, PrivateCopyTest, ::testing::Values("DELETE", "WAL"));

TEST(PrivateCopyOfAnEmptyFile, IsEmpty) {
  const Folder folder;
  put_bytes(folder / "a.db", "");
  CopyRequest request;
  request.source = folder / "a.db";
  request.keep_as = folder / "kept.db";
  EXPECT_TRUE(read(PrivateCopy(request), 1)->catalog().tables.empty());
  EXPECT_TRUE(PrivateCopy(request).found());
}

}  // namespace
}  // namespace sluice
