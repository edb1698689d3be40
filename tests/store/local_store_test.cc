// A store that is a folder, with a folder that somebody else has been in, a disk that is full, calls that
// fail, and a process that is killed.

#include "io/store/local_store.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <atomic>
#include <csignal>
#include <filesystem>
#include <fstream>
#include <functional>
#include <iterator>
#include <map>
#include <mutex>
#include <set>
#include <string>
#include <thread>
#include <vector>

#include "engine/model/error.h"
#include "io/store/open_store.h"
#include "io/store/sha256.h"
#include "support/bytes_content.h"
#include "support/conditions.h"
#include "support/error_of.h"
#include "support/seed.h"
#include "support/small_disk.h"
#include "support/temporary_directory.h"

// ---- The calls that count, seen on their way to the kernel: what is defined here stands in for libc's ----

namespace {

struct Calls {
  bool watched = false;
  int fail_at = 0;  // this call fails, counted from 1; none when 0
  int error = 0;
  int count = 0;
  std::vector<std::string> log;  // "fsync 17", "rename 17", by inode
};
// A batch has threads of its own.
std::mutex calls_mutex;
Calls calls;

// Whether this call fails, with errno set.
bool fails_now() {
  const std::lock_guard lock(calls_mutex);
  if (!calls.watched || ++calls.count != calls.fail_at) return false;
  errno = calls.error;
  return true;
}

std::string inode_of(int file) {
  struct stat found {};
  return ::fstat(file, &found) == 0 ? std::to_string(found.st_ino) : "?";
}

std::string inode_at(int folder, const char* name) {
  struct stat found {};
  return ::fstatat(folder, name, &found, AT_SYMLINK_NOFOLLOW) == 0 ? std::to_string(found.st_ino) : "?";
}

void record(const std::string& what) {
  const std::lock_guard lock(calls_mutex);
  if (calls.watched) calls.log.push_back(what);
}

}  // namespace

extern "C" {

int fsync(int file) {
  if (fails_now()) return -1;
  record("fsync " + inode_of(file));
  return static_cast<int>(::syscall(SYS_fsync, file));
}

int sync_file_range(int file, off_t from, off_t bytes, unsigned flags) {
  // Without waiting it is a hint.
  if ((flags & SYNC_FILE_RANGE_WAIT_AFTER) != 0 && fails_now()) return -1;
  return static_cast<int>(::syscall(SYS_sync_file_range, file, from, bytes, flags));
}

int fdatasync(int file) {
  if (fails_now()) return -1;
  record("fdatasync " + inode_of(file));
  return static_cast<int>(::syscall(SYS_fdatasync, file));
}

ssize_t write(int file, const void* bytes, size_t size) {
  if (fails_now()) return -1;
  return ::syscall(SYS_write, file, bytes, size);
}

int renameat2(int from_folder, const char* from, int to_folder, const char* to, unsigned flags) noexcept {
  if (fails_now()) return -1;
  record("rename " + inode_at(from_folder, from) + " in " + inode_of(to_folder));
  return static_cast<int>(::syscall(SYS_renameat2, from_folder, from, to_folder, to, flags));
}

int mkdirat(int folder, const char* name, mode_t mode) noexcept {
  if (fails_now()) return -1;
  record("mkdir");
  return static_cast<int>(::syscall(SYS_mkdirat, folder, name, mode));
}
}

namespace sluice::testing {
namespace {

namespace fs = std::filesystem;
using namespace std::chrono_literals;

// While it lives, calls are counted.
class WatchedCalls {
 public:
  explicit WatchedCalls(int fail_at = 0, int error = 0) { set({true, fail_at, error, 0, {}}); }
  ~WatchedCalls() { set({}); }
  WatchedCalls(const WatchedCalls&) = delete;
  WatchedCalls& operator=(const WatchedCalls&) = delete;

 private:
  static void set(Calls state) {
    const std::lock_guard lock(calls_mutex);
    calls = std::move(state);
  }
};

std::vector<std::string> temporary_names_below(const fs::path& folder) {
  std::vector<std::string> found;
  for (const fs::directory_entry& entry : fs::recursive_directory_iterator(folder)) {
    if (entry.path().filename().string().starts_with(".put-")) found.push_back(entry.path());
  }
  return found;
}

void write_text(const fs::path& path, const std::string& text) { std::ofstream(path) << text; }

std::string text_of(const fs::path& path) {
  std::ifstream file(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(file), {}};
}

void make_old(const fs::path& path) { fs::last_write_time(path, fs::file_time_type::clock::now() - 100h); }

// Whatever has the name of a file is that file.
void expect_only_whole_files(FileStore& store) {
  store.list([&](const StoredFile& stored) {
    const std::optional<FileName> name = FileName::parse(stored.name);
    if (!name) return;
    const std::optional<Bytes> bytes = read_file(store, *name);
    ASSERT_TRUE(bytes) << stored.name;
    EXPECT_EQ(to_hex(sha256_of(*bytes)), to_hex(name->sha256))
        << stored.name << ", " << bytes->size() << " bytes";
  });
}

class LocalStoreTest : public ::testing::Test {
 protected:
  fs::path file(const FileName& name) const { return folder_ / name.text(); }

  void put(const FileName& name, BytesContent& content) {
    const auto batch = store_.begin_batch();
    batch->put(name, content);
    batch->settle();
  }

  TemporaryDirectory folder_;
  LocalStore store_{folder_.path()};
  std::mt19937_64 random_{test_seed()};
};

TEST_F(LocalStoreTest, FilesOfAllSizesComeBackAsTheyWere) {
  std::vector<BytesContent> files;
  for (const std::size_t size : {0, 1, 4095, 4096, 8192, 65537, 1 << 20, (9 << 20) + 1}) {
    files.emplace_back(random_bytes(random_, size));
  }
  for (int i = 0; i < 200; ++i) files.emplace_back(random_bytes(random_, random_() % 20000), 777);
  std::uint64_t bytes = 0;
  const auto batch = store_.begin_batch();
  for (BytesContent& content : files) {
    batch->put(content.name(), content);
    bytes += content.size();
  }
  batch->settle();
  EXPECT_EQ(batch->files_written(), files.size());
  EXPECT_EQ(batch->bytes_written(), bytes);
  std::map<std::string, std::uint64_t> expected;
  for (BytesContent& content : files) {
    EXPECT_EQ(read_file(store_, content.name()), content.bytes());
    EXPECT_EQ(store_.size_of(content.name()), content.size());
    EXPECT_EQ(text_of(file(content.name())).size(), content.size());
    expected[content.name().text()] = content.size();
  }
  std::map<std::string, std::uint64_t> listed;
  store_.list([&](const StoredFile& stored) {
    listed[stored.name] = stored.bytes;
    EXPECT_LT(std::chrono::abs(std::chrono::system_clock::now() - stored.modified), 1h);
  });
  EXPECT_EQ(listed, expected);
  EXPECT_EQ(temporary_names_below(folder_.path()), std::vector<std::string>());
}

TEST_F(LocalStoreTest, WhatIsNotThereIsNotThere) {
  const FileName name = BytesContent(random_bytes(random_, 10)).name();
  EXPECT_EQ(store_.size_of(name), std::nullopt);
  EXPECT_EQ(read_file(store_, name), std::nullopt);
  EXPECT_FALSE(store_.remove(name));
  EXPECT_EQ(store_.abandon_unfinished(0s), 0U);
  store_.check();
  EXPECT_TRUE(fs::is_empty(folder_.path()));
}

TEST_F(LocalStoreTest, AFileThatIsThereIsMadeYoungAndNotWrittenAgain) {
  BytesContent content(random_bytes(random_, 5000));
  put(content.name(), content);
  make_old(file(content.name()));
  const std::string inode = inode_at(AT_FDCWD, file(content.name()).c_str());
  const auto batch = store_.begin_batch();
  batch->put(content.name(), content);
  batch->put(content.name(), content);
  batch->settle();
  EXPECT_EQ(batch->files_written(), 0U);
  EXPECT_EQ(batch->bytes_written(), 0U);
  EXPECT_EQ(inode_at(AT_FDCWD, file(content.name()).c_str()), inode);
  store_.list(
      [](const StoredFile& stored) { EXPECT_LT(std::chrono::system_clock::now() - stored.modified, 1h); });
}

TEST_F(LocalStoreTest, AFileOfAnotherSizeIsDamagedAndReplaced) {
  BytesContent content(random_bytes(random_, 5000));
  put(content.name(), content);
  fs::resize_file(file(content.name()), 4999);
  put(content.name(), content);
  EXPECT_EQ(read_file(store_, content.name()), content.bytes());
}

TEST_F(LocalStoreTest, TheSameContentInTwoBatchesIsOneFile) {
  BytesContent content(random_bytes(random_, 5000));
  const auto one = store_.begin_batch();
  const auto other = store_.begin_batch();
  one->put(content.name(), content);
  other->put(content.name(), content);
  one->settle();
  other->settle();
  EXPECT_EQ(one->files_written() + other->files_written(), 1U);
  EXPECT_EQ(read_file(store_, content.name()), content.bytes());
  EXPECT_EQ(temporary_names_below(folder_.path()), std::vector<std::string>());
}

TEST_F(LocalStoreTest, ManyThreadsPutTheSameFiles) {
  std::vector<Bytes> contents;
  for (int i = 0; i < 150; ++i) contents.push_back(random_bytes(random_, 3000));
  std::atomic<std::uint64_t> written = 0;
  std::vector<std::thread> threads;
  for (int thread = 0; thread < 4; ++thread) {
    threads.emplace_back([&] {
      const auto batch = store_.begin_batch();
      for (const Bytes& bytes : contents) {
        BytesContent content(bytes);
        batch->put(content.name(), content);
      }
      batch->settle();
      written += batch->files_written();
    });
  }
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(written, contents.size());
  for (const Bytes& bytes : contents) EXPECT_EQ(read_file(store_, BytesContent(bytes).name()), bytes);
  EXPECT_EQ(temporary_names_below(folder_.path()), std::vector<std::string>());
}

TEST_F(LocalStoreTest, ABatchThatIsNotSettledLeavesNothingUnfinished) {
  BytesContent content(random_bytes(random_, 5000));
  {
    const auto batch = store_.begin_batch();
    batch->put(content.name(), content);
    EXPECT_EQ(temporary_names_below(folder_.path()).size(), 1U);
  }
  EXPECT_EQ(temporary_names_below(folder_.path()), std::vector<std::string>());
}

TEST_F(LocalStoreTest, OnlyOldTemporaryFilesAreAbandoned) {
  BytesContent content(random_bytes(random_, 5000));
  put(content.name(), content);
  make_old(file(content.name()));
  const fs::path fan_out = file(content.name()).parent_path();
  write_text(fan_out / ".put-0123456789abcdef", "half");
  write_text(fan_out / ".put-0123456789abcde0", "half");
  write_text(folder_ / ".put-0123456789abcdef", "half");
  write_text(fan_out / ".put-somebody-elses", "whole");
  make_old(fan_out / ".put-0123456789abcdef");
  make_old(fan_out / ".put-somebody-elses");
  make_old(folder_ / ".put-0123456789abcdef");
  EXPECT_EQ(store_.abandon_unfinished(1h), 2U);
  EXPECT_TRUE(fs::exists(fan_out / ".put-0123456789abcde0"));
  EXPECT_TRUE(fs::exists(fan_out / ".put-somebody-elses"));
  EXPECT_EQ(store_.abandon_unfinished(0s), 1U);
  EXPECT_EQ(read_file(store_, content.name()), content.bytes());
}

TEST_F(LocalStoreTest, AFileThatIsRemovedBeforeTheBatchIsSettledIsMissed) {
  BytesContent content(random_bytes(random_, 5000));
  put(content.name(), content);
  const auto batch = store_.begin_batch();
  batch->put(content.name(), content);
  EXPECT_TRUE(store_.remove(content.name()));
  EXPECT_EQ(error_of([&] { batch->settle(); }).fault(), Fault::store);
}

TEST_F(LocalStoreTest, HasFewFilesOpenHoweverManyArePut) {
  const auto open_files = [] {
    return std::distance(fs::directory_iterator("/proc/self/fd"), fs::directory_iterator());
  };
  const auto before = open_files();
  const auto batch = store_.begin_batch();
  std::ptrdiff_t most = 0;
  for (std::size_t i = 0; i < 3 * LocalStore::kOpenFiles; ++i) {
    BytesContent content(random_bytes(random_, 100));
    batch->put(content.name(), content);
    most = std::max(most, open_files() - before);
  }
  EXPECT_LE(most, static_cast<std::ptrdiff_t>(LocalStore::kOpenFiles) + 2);
  EXPECT_GE(most, 2) << "they are made durable together";
}

// ---- Durability ----

TEST_F(LocalStoreTest, EveryFileIsOnTheDiskBeforeItHasItsName) {
  std::vector<BytesContent> files;
  for (std::size_t i = 0; i < 3 * LocalStore::kOpenFiles / 2; ++i) {
    files.emplace_back(random_bytes(random_, 100));
  }
  std::vector<std::string> log;
  {
    const WatchedCalls watched;
    const auto batch = store_.begin_batch();
    for (BytesContent& content : files) batch->put(content.name(), content);
    batch->settle();
    log = calls.log;
  }
  std::set<std::string> on_disk;  // inodes, and those of folders whose entries are
  std::set<std::string> changed_folders;
  std::size_t renamed = 0;
  const std::string root = inode_at(AT_FDCWD, folder_.path().c_str());
  for (const std::string& call : log) {
    if (call.starts_with("fsync ")) {
      on_disk.insert(call.substr(6));
      changed_folders.erase(call.substr(6));
    } else if (call.starts_with("rename ")) {
      const std::size_t in = call.find(" in ");
      EXPECT_TRUE(on_disk.contains(call.substr(7, in - 7))) << call;
      changed_folders.insert(call.substr(in + 4));
      ++renamed;
    } else if (call == "mkdir") {
      changed_folders.insert(root);
    }
  }
  EXPECT_EQ(renamed, files.size());
  EXPECT_EQ(changed_folders, std::set<std::string>()) << "settled before their entries were on the disk";
}

// Another process has put the file and not yet settled; or has copied it here by other means.
TEST_F(LocalStoreTest, AFileThatIsThereIsMadeDurableAsWell) {
  BytesContent content(random_bytes(random_, 100));
  fs::create_directory(file(content.name()).parent_path());
  std::ofstream(file(content.name()), std::ios::binary)
      .write(reinterpret_cast<const char*>(content.bytes().data()), 100);
  std::vector<std::string> log;
  {
    const WatchedCalls watched;
    put(content.name(), content);
    log = calls.log;
  }
  const auto logged = [&](const std::string& call) { return std::count(log.begin(), log.end(), call); };
  EXPECT_EQ(logged("fdatasync " + inode_at(AT_FDCWD, file(content.name()).c_str())), 1);
  EXPECT_EQ(logged("fsync " + inode_at(AT_FDCWD, file(content.name()).parent_path().c_str())), 1);
  EXPECT_EQ(logged("fsync " + inode_at(AT_FDCWD, folder_.path().c_str())), 1);
}

// Every call that may fail, once: what put() and settle() then say is true.
TEST_F(LocalStoreTest, WhicheverCallFailsNothingIsHalfThere) {
  for (const int error : {ENOSPC, EIO, EDQUOT}) {
    for (int step = 1;; ++step) {
      const TemporaryDirectory folder;
      LocalStore store(folder.path());
      std::vector<BytesContent> files;
      for (int i = 0; i < 6; ++i) files.emplace_back(random_bytes(random_, 3000), 1000);
      Error failure{Fault::internal, "none"};
      bool failed = false;
      {
        const WatchedCalls watched(step, error);
        const auto batch = store.begin_batch();
        failure = error_of([&] {
          for (BytesContent& content : files) batch->put(content.name(), content);
          batch->settle();
        });
        failed = calls.count >= step;
      }
      SCOPED_TRACE(std::string(std::strerror(error)) + " at step " + std::to_string(step));
      expect_only_whole_files(store);
      EXPECT_EQ(temporary_names_below(folder.path()), std::vector<std::string>());
      if (!failed) {
        EXPECT_GT(step, 30);
        break;
      }
      // A rename that must not replace anything is tried again as one that may.
      if (failure.fault() == Fault::internal) {
        for (BytesContent& content : files) EXPECT_EQ(read_file(store, content.name()), content.bytes());
        continue;
      }
      EXPECT_EQ(failure.fault(), Fault::store);
      EXPECT_NE(std::string(failure.what()).find(std::strerror(error)), std::string::npos) << failure.what();
      EXPECT_NE(failure.advice(), "");
      // A new batch puts all of them.
      const auto again = store.begin_batch();
      for (BytesContent& content : files) again->put(content.name(), content);
      again->settle();
      for (BytesContent& content : files) EXPECT_EQ(read_file(store, content.name()), content.bytes());
    }
  }
}

// A second fsync() says that all is well.
TEST_F(LocalStoreTest, ABatchThatFailedOnceIsNotSettledByAskingAgain) {
  BytesContent content(random_bytes(random_, 3000));
  for (int step = 3;; ++step) {
    const auto batch = store_.begin_batch();
    const WatchedCalls watched(step, EIO);
    if (error_of([&] {
          batch->put(content.name(), content);
          batch->settle();
        }).fault() == Fault::store) {
      EXPECT_EQ(error_of([&] { batch->settle(); }).fault(), Fault::store) << step;
      break;
    }
    ASSERT_LT(step, 20);
    store_.remove(content.name());
  }
}

// ---- Folders that others have been in ----

TEST_F(LocalStoreTest, ALinkInThePlaceOfAFolderIsNotFollowed) {
  const TemporaryDirectory outside;
  BytesContent content(random_bytes(random_, 100));
  fs::create_directory_symlink(outside.path(), file(content.name()).parent_path());
  const Error error = error_of([&] { put(content.name(), content); });
  EXPECT_EQ(error.fault(), Fault::store);
  EXPECT_NE(error.describe().find("symbolic link"), std::string::npos) << error.describe();
  EXPECT_TRUE(fs::is_empty(outside.path()));
  // Nor for reading, removing and looking.
  write_text(outside / content.name().text().substr(3), "secret");
  write_text(outside / ".put-0123456789abcdef", "theirs");
  EXPECT_EQ(error_of([&] { read_file(store_, content.name()); }).fault(), Fault::store);
  EXPECT_EQ(error_of([&] { static_cast<void>(store_.size_of(content.name())); }).fault(), Fault::store);
  EXPECT_EQ(error_of([&] { store_.remove(content.name()); }).fault(), Fault::store);
  EXPECT_EQ(error_of([&] { store_.abandon_unfinished(0s); }).fault(), Fault::store);
  EXPECT_EQ(std::distance(fs::directory_iterator(outside.path()), fs::directory_iterator()), 2);
  store_.list([](const StoredFile& stored) { ADD_FAILURE() << stored.name; });
}

TEST_F(LocalStoreTest, AFileInThePlaceOfAFolderIsAnError) {
  BytesContent content(random_bytes(random_, 100));
  write_text(file(content.name()).parent_path(), "no folder");
  EXPECT_EQ(error_of([&] { put(content.name(), content); }).fault(), Fault::store);
  EXPECT_EQ(text_of(file(content.name()).parent_path()), "no folder");
}

TEST_F(LocalStoreTest, ALinkInThePlaceOfAFileIsReplacedAndNeverRead) {
  const TemporaryDirectory outside;
  write_text(outside / "secret", "secret");
  BytesContent content(random_bytes(random_, 6));
  fs::create_directory(file(content.name()).parent_path());
  fs::create_symlink(outside / "secret", file(content.name()));
  EXPECT_EQ(error_of([&] { read_file(store_, content.name()); }).fault(), Fault::store);
  EXPECT_EQ(error_of([&] { static_cast<void>(store_.size_of(content.name())); }).fault(), Fault::store);
  put(content.name(), content);
  EXPECT_EQ(read_file(store_, content.name()), content.bytes());
  EXPECT_EQ(text_of(outside / "secret"), "secret");
}

TEST_F(LocalStoreTest, APipeInThePlaceOfAFileDoesNotHang) {
  BytesContent content(random_bytes(random_, 6));
  fs::create_directory(file(content.name()).parent_path());
  ASSERT_EQ(::mkfifo(file(content.name()).c_str(), 0666), 0);
  EXPECT_EQ(error_of([&] { read_file(store_, content.name()); }).fault(), Fault::store);
  put(content.name(), content);
  EXPECT_EQ(read_file(store_, content.name()), content.bytes());
}

TEST_F(LocalStoreTest, ListsWhatOthersHavePutThereButNotWhatIsElsewhere) {
  const TemporaryDirectory outside;
  write_text(outside / "elsewhere", "");
  fs::create_directory_symlink(outside.path(), folder_ / "link");
  fs::create_directories(folder_ / "deep/er");
  write_text(folder_ / "deep/er/file", "12345");
  write_text(folder_ / "notes.txt", "");
  std::set<std::string> names;
  store_.list([&](const StoredFile& stored) { names.insert(stored.name); });
  EXPECT_EQ(names, (std::set<std::string>{"deep/er/file", "notes.txt"}));
}

// Sixty ways out, for all that opens files.
TEST_F(LocalStoreTest, NoNameLeadsOutOfTheStore) {
  const std::string hex(64, 'a');
  std::vector<std::string> names = {"",
                                    ".",
                                    "..",
                                    "/",
                                    "//",
                                    "../x",
                                    "../../x",
                                    "/etc/passwd",
                                    "a/../../x",
                                    "aa/../x",
                                    "aa/..",
                                    "./../x",
                                    "aa/./../../x",
                                    "aa//../../x",
                                    "..//x",
                                    "aa/" + hex + "/../../../x",
                                    "link/x",
                                    "link",
                                    "aa/link",
                                    "aa/link/x",
                                    "link/../x",
                                    "./link/x",
                                    "//etc/passwd",
                                    "/proc/self/cwd/../etc/passwd",
                                    "aa/\n",
                                    "aa/-rf",
                                    "~/x",
                                    "$HOME/x",
                                    "aa\\..\\x",
                                    "C:\\x",
                                    "file:///etc/passwd",
                                    "%2e%2e/x",
                                    "..%2fx",
                                    "aa/%2e%2e/x",
                                    "aa/" + hex + ".zst/..",
                                    "aa/" + hex + ".gz",
                                    "aa/" + hex + ".zst.zst",
                                    "aa/" + hex + " ",
                                    " aa/" + hex,
                                    "aa/" + hex + "\n",
                                    "AA/" + std::string(64, 'A'),
                                    "ab/" + hex,
                                    "a/" + hex,
                                    "aaa/" + hex,
                                    "aa/" + hex.substr(1),
                                    "aa/a" + hex,
                                    "aa" + hex,
                                    "aa/aa/" + hex,
                                    "../aa/" + hex,
                                    "./aa/" + hex,
                                    "/aa/" + hex,
                                    "aa//" + hex,
                                    "aa/" + hex + "/",
                                    "aa/" + std::string(63, 'a') + "g",
                                    "aa/" + std::string(62, 'a') + "\xc3\xa4",
                                    hex,
                                    ".put-0123456789abcdef",
                                    "aa/.put-0123456789abcdef",
                                    std::string("aa/") + hex + '\0',
                                    std::string("aa/\0", 4) + hex,
                                    std::string(5000, 'a'),
                                    "aa/" + std::string(5000, '.')};
  EXPECT_GE(names.size(), 60U);
  const TemporaryDirectory outside;
  const fs::path store = folder_ / "store";
  fs::create_directories(store / "aa");
  fs::create_directory_symlink(outside.path(), store / "link");
  fs::create_directory_symlink(outside.path(), store / "aa/link");
  const Descriptor root(::open(store.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  const std::string inside = fs::canonical(store).string();
  for (const std::string& name : names) {
    EXPECT_FALSE(FileName::parse(name)) << name;
    for (const auto& open : {open_beneath, open_beneath_by_hand}) {
      const Descriptor file = open(root.get(), name, O_WRONLY | O_CREAT, 0666);
      if (!file) continue;
      const std::string where = fs::read_symlink("/proc/self/fd/" + std::to_string(file.get()));
      EXPECT_TRUE(where.starts_with(inside + "/")) << name << " is " << where;
    }
  }
  EXPECT_TRUE(fs::is_empty(outside.path()));
  EXPECT_EQ(std::distance(fs::directory_iterator(folder_.path()), fs::directory_iterator()), 1);
}

TEST_F(LocalStoreTest, OpensByHandWhatTheKernelOpens) {
  fs::create_directories(folder_ / "one/two");
  write_text(folder_ / "one/two/file", "x");
  fs::create_directory_symlink(folder_ / "one", folder_ / "inner");
  const Descriptor root(::open(folder_.path().c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  const auto errno_of = [&](const auto& open, const std::string& path) {
    errno = 0;
    const Descriptor file = open(root.get(), path, O_RDONLY, 0);
    return file ? 0 : errno;
  };
  for (const std::string path : {"one", "one/", "one/two/file", "./one/./two//file", ".", "none", "none/x",
                                 "one/two/file/x", "../x", "/x", "one/../../x"}) {
    EXPECT_EQ(errno_of(open_beneath_by_hand, path), errno_of(open_beneath, path)) << path;
  }
  // A link that stays inside is one, too; by hand it is told otherwise in the middle of a path.
  EXPECT_EQ(errno_of(open_beneath, "inner/two/file"), ELOOP);
  EXPECT_EQ(errno_of(open_beneath_by_hand, "inner/two/file"), ENOTDIR);
}

// ---- Disks and users ----

TEST(LocalStoreOnASmallDisk, AFullDiskIsAnErrorThatLeavesNothing) {
  if (!SmallDisk::available()) GTEST_SKIP() << "mounting a tmpfs takes root";
  SmallDisk disk(2 << 20);
  LocalStore store(disk.path());
  std::mt19937_64 random(test_seed());
  BytesContent small(random_bytes(random, 100'000));
  BytesContent large(random_bytes(random, 4'000'000));
  const auto batch = store.begin_batch();
  batch->put(small.name(), small);
  const Error error = error_of([&] { batch->put(large.name(), large); });
  EXPECT_EQ(error.fault(), Fault::store);
  EXPECT_EQ(exit_status_of(error.fault()), 40);
  EXPECT_NE(error.describe().find(store.uri() + ": cannot write " + large.name().text() +
                                  ": No space left on device; make room"),
            std::string::npos)
      << error.describe();
  EXPECT_EQ(temporary_names_below(disk.path()).size(), 1U)
      << "of the small one, which is still to be settled";
  // What was put goes on, and after some room is made the rest, too.
  disk.resize(8 << 20);
  batch->put(large.name(), large);
  batch->settle();
  EXPECT_EQ(read_file(store, small.name()), small.bytes());
  EXPECT_EQ(read_file(store, large.name()), large.bytes());
}

TEST(LocalStoreOnASmallDisk, AReadOnlyDiskIsToldBeforehand) {
  if (!SmallDisk::available()) GTEST_SKIP() << "mounting a tmpfs takes root";
  const SmallDisk disk(2 << 20);
  LocalStore store(disk.path());
  std::mt19937_64 random(test_seed());
  BytesContent content(random_bytes(random, 100));
  {
    const auto batch = store.begin_batch();
    batch->put(content.name(), content);
    batch->settle();
  }
  make_old(disk.path() / content.name().text());
  ASSERT_EQ(::mount("tmpfs", disk.path().c_str(), "tmpfs", MS_REMOUNT | MS_RDONLY, nullptr), 0);
  EXPECT_NE(error_of([&] { store.check(); }).describe().find("Read-only file system; mount it"),
            std::string::npos);
  EXPECT_EQ(read_file(store, content.name()), content.bytes());
  // It is there, but could not be kept from gc.
  EXPECT_EQ(error_of([&] {
              const auto batch = store.begin_batch();
              batch->put(content.name(), content);
            }).fault(),
            Fault::store);
}

TEST(LocalStoreOfSomebodyElse, TellsThatItMayNotWriteThere) {
  if (::geteuid() != 0) GTEST_SKIP() << "becoming another user takes root";
  const TemporaryDirectory folder;
  std::fflush(stdout);
  const pid_t child = ::fork();
  if (child == 0) {
    if (::setgid(65534) != 0 || ::setuid(65534) != 0) ::_exit(2);
    LocalStore store(folder.path());
    const Error error = error_of([&] { store.check(); });
    ::_exit(error.fault() == Fault::store &&
                    error.describe().find("Permission denied; give the user") != std::string::npos
                ? 0
                : 1);
  }
  int status = 0;
  ASSERT_EQ(::waitpid(child, &status, 0), child);
  EXPECT_EQ(status, 0);
}

TEST(LocalStoreAddress, SaysWhatIsWrongWithIt) {
  const TemporaryDirectory folder("sluice 100% #test?");
  const std::string encoded = LocalStore(folder.path()).uri();
  EXPECT_EQ(open_store(encoded, {})->uri(), encoded);
  EXPECT_EQ(open_store(encoded + "//", {})->uri(), encoded);
  EXPECT_EQ(open_store(encoded, {})->kind(), "file");
  for (const std::string uri :
       {"", "files", "/var/files", "file:", "file:/var/files", "file://var/files",
        "file://localhost/var/files", "file:///", "file://", "file:///a%2", "file:///a%zz", "file:///a%00b",
        "file:///a?b", "file:///a#b", "file:///a\nb", "ftp://x/y", "FILE:///tmp"}) {
    EXPECT_EQ(error_of([&] { static_cast<void>(open_store(uri, {})); }).fault(), Fault::usage) << uri;
  }
  EXPECT_NE(error_of([&] { static_cast<void>(open_store(encoded + "/none", {})); })
                .describe()
                .find("no such folder"),
            std::string::npos);
}

// ---- kill -9 ----

TEST_F(LocalStoreTest, KilledAtAnyMomentItLeavesNoIncompleteFile) {
  std::size_t killed_in_the_middle = 0;
  for (int round = 0; round < 40; ++round) {
    const std::uint64_t seed = random_();
    std::fflush(stdout);
    const pid_t child = ::fork();
    if (child == 0) {
      std::mt19937_64 random(seed);
      for (;;) {
        const auto batch = store_.begin_batch();
        for (int i = 0; i < 20; ++i) {
          BytesContent content(random_bytes(random, random() % 300'000), 4096);
          batch->put(content.name(), content);
        }
        batch->settle();
      }
    }
    // Every other one once the child has come as far as a file, which may take it some time.
    if (round % 2 == 1) {
      EXPECT_TRUE(testing::wait_until([&] { return !temporary_names_below(folder_.path()).empty(); }));
    }
    std::this_thread::sleep_for(std::chrono::microseconds(random_() % 30'000));
    ::kill(child, SIGKILL);
    int status = 0;
    ASSERT_EQ(::waitpid(child, &status, 0), child);
    ASSERT_TRUE(WIFSIGNALED(status)) << "it ended by itself: " << status;
    if (!temporary_names_below(folder_.path()).empty()) ++killed_in_the_middle;
    expect_only_whole_files(store_);
    store_.abandon_unfinished(0s);
    EXPECT_EQ(temporary_names_below(folder_.path()), std::vector<std::string>());
    // For the next round to be as quick.
    std::vector<FileName> names;
    store_.list([&](const StoredFile& stored) { names.push_back(FileName::parse(stored.name).value()); });
    for (const FileName& name : names) EXPECT_TRUE(store_.remove(name));
  }
  EXPECT_GT(killed_in_the_middle, 5U) << "the kills come at the wrong moments";
}

}  // namespace
}  // namespace sluice::testing
