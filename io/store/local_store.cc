#include "io/store/local_store.h"

#include <dirent.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <bitset>
#include <cerrno>
#include <cstdio>
#include <optional>
#include <random>
#include <set>
#include <system_error>
#include <thread>
#include <utility>
#include <vector>

#include "engine/model/error.h"
#include "engine/model/hex.h"

namespace sluice {
namespace {

using std::chrono::system_clock;

// What is not yet a file. A dot keeps it out of listings by hand as well.
constexpr std::string_view kTemporaryPrefix = ".put-";
constexpr std::size_t kTemporaryDigits = 16;

// The disk begins to write when so much has come, so that fsync() finds little left to do.
constexpr std::uint64_t kWritebackBytes = std::uint64_t{8} << 20;

// A batch makes durable what it holds when it is so much, however few the files are.
constexpr std::uint64_t kPendingBytes = std::uint64_t{256} << 20;

// Threads that wait for the disk when a batch is made durable.
constexpr std::size_t kSyncsTogether = 8;

constexpr std::size_t kReadBytes = std::size_t{256} << 10;

// A file that is older than this is on the disk, whoever has made it: Linux writes what is dirty after 30
// seconds. Ours are on the disk before they have their name.
constexpr auto kSurelyWritten = std::chrono::minutes(2);

// An existing file's time is left alone when it is younger than this; gc thinks in hours.
constexpr auto kYoungEnough = std::chrono::seconds(60);

std::string new_temporary_name() {
  thread_local std::mt19937_64 random = [] {
    std::random_device device;
    std::seed_seq seed{device(), device(), device(), device()};
    return std::mt19937_64(seed);
  }();
  char digits[kTemporaryDigits + 1];
  std::snprintf(digits, sizeof digits, "%016llx", static_cast<unsigned long long>(random()));
  return std::string(kTemporaryPrefix) + digits;
}

bool is_temporary_name(std::string_view name) {
  return name.size() == kTemporaryPrefix.size() + kTemporaryDigits && name.starts_with(kTemporaryPrefix) &&
         name.substr(kTemporaryPrefix.size()).find_first_not_of("0123456789abcdef") == std::string_view::npos;
}

// "ab"
std::string fan_out_of(std::size_t index) {
  const char byte = static_cast<char>(index);
  return hex_of({&byte, 1});
}

std::size_t fan_out_index(const FileName& name) { return std::to_integer<std::size_t>(name.sha256[0]); }

// "ab/abcd" -> "abcd"
std::string last_part(const FileName& name) { return name.text().substr(3); }

system_clock::time_point time_of(const timespec& time) {
  return system_clock::time_point(std::chrono::duration_cast<system_clock::duration>(
      std::chrono::seconds(time.tv_sec) + std::chrono::nanoseconds(time.tv_nsec)));
}

// When the file was made, whatever has been done to its times since; nothing where the file system does not
// know.
std::optional<system_clock::time_point> birth_of(int file) {
  struct statx about {};
  if (::statx(file, "", AT_EMPTY_PATH, STATX_BTIME, &about) != 0 || (about.stx_mask & STATX_BTIME) == 0) {
    return std::nullopt;
  }
  return time_of({about.stx_btime.tv_sec, static_cast<long>(about.stx_btime.tv_nsec)});
}

bool write_all(int file, std::span<const std::byte> bytes) {
  while (!bytes.empty()) {
    const ssize_t written = ::write(file, bytes.data(), bytes.size());
    if (written < 0) {
      if (errno == EINTR) continue;
      return false;
    }
    bytes = bytes.subspan(static_cast<std::size_t>(written));
  }
  return true;
}

bool fsync_all(int file) {
  while (::fsync(file) != 0) {
    if (errno != EINTR) return false;
  }
  return true;
}

struct SyncFailure {
  std::size_t index = 0;
  int error = 0;
};

// sync(0) to sync(count - 1), which return 0 or an errno, several at a time. Each waits for the disk and does
// nothing else; those that wait together share one flush of its cache and one writing of the journal.
std::optional<SyncFailure> sync_together(std::size_t count, const std::function<int(std::size_t)>& sync) {
  std::vector<int> errors(count);
  std::atomic<std::size_t> next = 0;
  const auto work = [&] {
    for (std::size_t i = next++; i < count; i = next++) errors[i] = sync(i);
  };
  std::vector<std::thread> helpers;
  try {
    while (helpers.size() + 1 < std::min(count, kSyncsTogether)) helpers.emplace_back(work);
  } catch (const std::system_error&) {  // no more threads: then with fewer
  }
  work();
  for (std::thread& helper : helpers) helper.join();
  const auto failed = std::find_if(errors.begin(), errors.end(), [](int error) { return error != 0; });
  if (failed == errors.end()) return std::nullopt;
  return SyncFailure{static_cast<std::size_t>(failed - errors.begin()), *failed};
}

struct CloseFolder {
  void operator()(DIR* folder) const noexcept { ::closedir(folder); }
};

// Every entry but "." and "..". False when it cannot be read; errno says why.
bool for_each_entry(Descriptor folder, const std::function<void(int folder, const std::string& name)>& each) {
  const std::unique_ptr<DIR, CloseFolder> entries(::fdopendir(folder.get()));
  if (!entries) return false;
  const int descriptor = folder.release();  // the DIR closes it
  for (;;) {
    errno = 0;
    const dirent* entry = ::readdir(entries.get());
    if (entry == nullptr) return errno == 0;
    const std::string name = entry->d_name;
    if (name != "." && name != "..") each(descriptor, name);
  }
}

// What open_store() takes for this folder.
std::string uri_of(const std::string& folder) {
  std::string uri = "file://";
  for (const char c : folder) {
    if (c == '%' || c == '?' || c == '#') {
      uri += "%" + hex_of({&c, 1});
    } else {
      uri += c;
    }
  }
  return uri;
}

std::string advice_for(int error) {
  switch (error) {
    case ENOSPC:
    case EDQUOT:
      return "make room there, then run the same command again";
    case EROFS:
      return "mount it for writing";
    case EACCES:
    case EPERM:
      return "give the user that sluice runs as the right to read, write and enter this folder and those in "
             "it";
    case ELOOP:
    case ENOTDIR:
      return "something that is not a folder or a file of the store is in its place, such as a symbolic "
             "link; "
             "remove it";
    case ENOENT:
      return "was something removed meanwhile?";
    case EIO:
      return "the disk fails: look into the kernel's log";
    case EMFILE:
      return "raise the limit of open files (ulimit -n)";
    default:
      return {};
  }
}

}  // namespace

// ---- Files on their way ----

class LocalBatch : public FileBatch {
 public:
  explicit LocalBatch(LocalStore& store) : store_(store) {}
  ~LocalBatch() override { drop_pending(); }

  void put(const FileName& name, FileContent& content) override {
    require_sound();
    if (put_names_.contains(name.text())) return;
    const std::size_t index = fan_out_index(name);
    const Descriptor folder = store_.open_fan_out(fan_out_of(index), LocalStore::Make::yes);
    touched_.set(index);
    const bool there = is_there(folder.get(), name, content.size());
    const bool damaged = there && !has_content(folder.get(), name, content);
    if (damaged) existing_.pop_back();
    if (!there || damaged) write(folder.get(), name, content, damaged);
    put_names_.insert(name.text());
    if (pending_.size() >= LocalStore::kOpenFiles || pending_bytes_ >= kPendingBytes) name_pending();
  }

  void settle() override {
    require_sound();
    name_pending();
    sound_ = false;  // a second fsync() of what could not be written says that all is well
    sync_folders();
    make_sure_of_existing();
    sound_ = true;
    existing_.clear();
    put_names_.clear();
  }

  [[nodiscard]] std::uint64_t files_written() const override { return files_written_; }
  [[nodiscard]] std::uint64_t bytes_written() const override { return bytes_written_; }

 private:
  // Written under a temporary name.
  struct Pending {
    FileName name;
    std::string temporary;
    Descriptor file;
    std::uint64_t bytes = 0;
    bool replaces = false;  // what has the name is of the same size, and not what it should be
  };
  struct Existing {
    FileName name;
    std::uint64_t bytes = 0;
  };

  // True when there is such a file, whose age is then nothing again.
  bool is_there(int folder, const FileName& name, std::uint64_t bytes) {
    struct stat found {};
    if (::fstatat(folder, last_part(name).c_str(), &found, AT_SYMLINK_NOFOLLOW) != 0) {
      if (errno == ENOENT) return false;
      store_.fail("cannot look at " + name.text(), errno);
    }
    // Of another size it is damaged, and is replaced.
    if (!S_ISREG(found.st_mode) || static_cast<std::uint64_t>(found.st_size) != bytes) return false;
    if (system_clock::now() - time_of(found.st_mtim) > kYoungEnough) {
      const timespec times[2] = {{0, UTIME_OMIT}, {0, UTIME_NOW}};
      if (::utimensat(folder, last_part(name).c_str(), times, AT_SYMLINK_NOFOLLOW) != 0) {
        if (errno == ENOENT) return false;
        store_.fail("cannot set the time of " + name.text(), errno);
      }
    }
    existing_.push_back({name, bytes});
    return true;
  }

  // A file that is there may be all that is left of its content in a moment, so its name is not believed: a
  // disk may have lost some of it since, or a machine that went down may have left zeros.
  bool has_content(int folder, const FileName& name, FileContent& content) {
    const Descriptor file = open_beneath(folder, last_part(name), O_RDONLY | O_NONBLOCK | O_NOFOLLOW);
    if (!file) return false;
    compared_.resize(kReadBytes);
    content.rewind();
    for (std::span<const std::byte> piece = content.next(); !piece.empty(); piece = content.next()) {
      while (!piece.empty()) {
        const ssize_t got = ::read(file.get(), compared_.data(), std::min(piece.size(), compared_.size()));
        if (got < 0 && errno == EINTR) continue;
        // What cannot be read is damaged, too; writing it anew shows whether the disk takes it.
        if (got <= 0) return false;
        const auto size = static_cast<std::size_t>(got);
        if (!std::equal(piece.begin(), piece.begin() + got, compared_.begin())) return false;
        piece = piece.subspan(size);
      }
    }
    return true;
  }

  void write(int folder, const FileName& name, FileContent& content, bool replaces) {
    Pending pending;
    pending.replaces = replaces;
    pending.name = name;
    do {
      pending.temporary = new_temporary_name();
      pending.file = open_beneath(folder, pending.temporary, O_WRONLY | O_CREAT | O_EXCL, 0666);
    } while (!pending.file && errno == EEXIST);
    if (!pending.file) {
      const int error = errno;
      if (error == EMFILE && !pending_.empty()) {
        name_pending();  // closes all of them
        write(folder, name, content, replaces);
        return;
      }
      store_.fail("cannot create " + name.text(), error);
    }
    try {
      std::uint64_t begun = 0;  // to be written to the disk
      content.rewind();
      for (std::span<const std::byte> piece = content.next(); !piece.empty(); piece = content.next()) {
        if (!write_all(pending.file.get(), piece)) store_.fail("cannot write " + name.text(), errno);
        pending.bytes += piece.size();
        if (pending.bytes - begun >= kWritebackBytes) {
          begin_writeback(pending.file.get(), begun, pending.bytes - begun);
          begun = pending.bytes;
        }
      }
      if (pending.bytes != content.size()) {
        throw Error(Fault::internal, "the content of " + name.text() + " had " +
                                         std::to_string(pending.bytes) + " bytes, not " +
                                         std::to_string(content.size()));
      }
      begin_writeback(pending.file.get(), begun, 0);
      pending_bytes_ += pending.bytes;
      pending_.push_back(std::move(pending));
    } catch (...) {
      ::unlinkat(folder, pending.temporary.c_str(), 0);
      throw;
    }
  }

  // A hint: a file system that does not know it writes later.
  static void begin_writeback(int file, std::uint64_t from, std::uint64_t bytes) {
    ::sync_file_range(file, static_cast<off_t>(from), static_cast<off_t>(bytes), SYNC_FILE_RANGE_WRITE);
  }

  // Files that were put may be gone: settle() must not say otherwise.
  void require_sound() const {
    if (!sound_) throw Error(Fault::store, store_.uri() + ": these files could not be put before");
  }

  // The data are on the disk, if the file system can tell; nothing that they need to be found.
  void await_data(const Pending& pending) const {
    constexpr unsigned kAll =
        SYNC_FILE_RANGE_WAIT_BEFORE | SYNC_FILE_RANGE_WRITE | SYNC_FILE_RANGE_WAIT_AFTER;
    if (::sync_file_range(pending.file.get(), 0, 0, kAll) == 0) return;
    // An error is told once: fsync() would not tell it again.
    if (errno == EIO || errno == ENOSPC || errno == EDQUOT) {
      store_.fail("cannot write " + pending.name.text() + " to the disk", errno);
    }
  }

  // All that was written is on the disk and gets its name. Where one fails, all that have none yet are gone.
  void name_pending() {
    if (pending_.empty()) return;
    sound_ = false;
    try {
      // First all of the data, then what the file system notes about it, and then the names: so the journal
      // is written once or twice for all of them. A file whose data were still on their way would cost a
      // writing of its own, and there are many.
      for (const Pending& pending : pending_) await_data(pending);
      const auto failed = sync_together(
          pending_.size(), [&](std::size_t i) { return fsync_all(pending_[i].file.get()) ? 0 : errno; });
      if (failed) {
        store_.fail("cannot write " + pending_[failed->index].name.text() + " to the disk", failed->error);
      }
      for (Pending& pending : pending_) {
        give_name(pending);
        pending.temporary.clear();
      }
    } catch (...) {
      drop_pending();
      throw;
    }
    pending_.clear();
    pending_bytes_ = 0;
    sound_ = true;
  }

  void give_name(const Pending& pending) {
    const Descriptor folder =
        store_.open_fan_out(fan_out_of(fan_out_index(pending.name)), LocalStore::Make::no);
    const std::string name = last_part(pending.name);
    const char* from = pending.temporary.c_str();
    if (!folder) store_.fail("cannot name " + pending.name.text(), ENOENT);
    if (::renameat2(folder.get(), from, folder.get(), name.c_str(), RENAME_NOREPLACE) != 0) {
      if (errno == EEXIST && !pending.replaces && is_there(folder.get(), pending.name, pending.bytes)) {
        // Somebody else has put it meanwhile.
        ::unlinkat(folder.get(), from, 0);
        return;
      }
      // Damaged, or a file system that does not know the flag. To replace a file by the same does no harm.
      if (::renameat(folder.get(), from, folder.get(), name.c_str()) != 0) {
        store_.fail("cannot name " + pending.name.text(), errno);
      }
    }
    ++files_written_;
    bytes_written_ += pending.bytes;
  }

  // The names are on the disk, and so are those that others have given and perhaps not yet written.
  void sync_folders() {
    std::vector<std::size_t> folders;
    for (std::size_t index = 0; index < touched_.size(); ++index) {
      if (touched_[index]) folders.push_back(index);
    }
    const auto failed = sync_together(folders.size(), [&](std::size_t i) {
      const Descriptor folder =
          open_beneath(store_.root_.get(), fan_out_of(folders[i]), O_RDONLY | O_DIRECTORY | O_NOFOLLOW);
      return folder && fsync_all(folder.get()) ? 0 : errno;
    });
    if (failed) {
      store_.fail("cannot write " + fan_out_of(folders[failed->index]) + " to the disk", failed->error);
    }
    const bool new_folder = std::any_of(folders.begin(), folders.end(),
                                        [&](std::size_t index) { return !store_.fan_out_durable_[index]; });
    if (new_folder) {
      if (!fsync_all(store_.root_.get())) store_.fail("cannot write the folder to the disk", errno);
      for (const std::size_t index : folders) store_.fan_out_durable_[index] = true;
    }
    touched_.reset();
  }

  // They are still there, and on the disk, even if another program has copied them here a moment ago.
  void make_sure_of_existing() const {
    const auto failed = sync_together(existing_.size(), [&](std::size_t i) {
      const Descriptor file =
          open_beneath(store_.root_.get(), existing_[i].name.text(), O_RDONLY | O_NONBLOCK);
      struct stat found {};
      if (!file || ::fstat(file.get(), &found) != 0) return errno;
      if (!S_ISREG(found.st_mode) || static_cast<std::uint64_t>(found.st_size) != existing_[i].bytes)
        return ENOENT;
      const auto birth = birth_of(file.get());
      if (birth && *birth <= system_clock::now() && system_clock::now() - *birth > kSurelyWritten) return 0;
      // Not fsync(): whether its time survives a crash does not matter.
      return ::fdatasync(file.get()) == 0 ? 0 : errno;
    });
    if (failed)
      store_.fail("cannot find " + existing_[failed->index].name.text() + " any more", failed->error);
  }

  void drop_pending() noexcept {
    for (const Pending& pending : pending_) {
      if (pending.temporary.empty()) continue;
      try {
        const Descriptor folder =
            store_.open_fan_out(fan_out_of(fan_out_index(pending.name)), LocalStore::Make::no);
        if (folder) ::unlinkat(folder.get(), pending.temporary.c_str(), 0);
      } catch (const std::exception&) {  // abandon_unfinished() finds it
      }
    }
    pending_.clear();
    pending_bytes_ = 0;
  }

  LocalStore& store_;
  bool sound_ = true;
  std::vector<Pending> pending_;
  std::uint64_t pending_bytes_ = 0;
  std::vector<Existing> existing_;
  std::vector<std::byte> compared_;
  std::set<std::string> put_names_;  // since the last settle()
  std::bitset<256> touched_;
  std::uint64_t files_written_ = 0;
  std::uint64_t bytes_written_ = 0;
};

// ---- The store ----

LocalStore::LocalStore(const std::string& folder)
    : uri_(uri_of(folder)), root_(::open(folder.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC)) {
  if (root_) return;
  if (errno == ENOENT) throw Error(Fault::store, uri_ + ": there is no such folder", "make it first");
  if (errno == ENOTDIR) throw Error(Fault::store, uri_ + ": that is not a folder");
  fail("cannot open it", errno);
}

void LocalStore::fail(const std::string& what, int error) const {
  throw Error(Fault::store, uri_ + ": " + what + ": " + std::generic_category().message(error),
              advice_for(error));
}

Descriptor LocalStore::open_fan_out(const std::string& part, Make make) {
  for (int attempt = 0;; ++attempt) {
    Descriptor folder = open_beneath(root_.get(), part, O_RDONLY | O_DIRECTORY | O_NOFOLLOW);
    if (folder) return folder;
    if (errno != ENOENT || attempt == 3) fail("cannot open the folder " + part, errno);
    if (make == Make::no) return {};
    if (::mkdirat(root_.get(), part.c_str(), 0777) == 0) {
      fan_out_durable_[std::stoul(part, nullptr, 16)] = false;
    } else if (errno != EEXIST) {
      fail("cannot make the folder " + part, errno);
    }
  }
}

void LocalStore::check() {
  const std::string name = new_temporary_name();
  const Descriptor file = open_beneath(root_.get(), name, O_WRONLY | O_CREAT | O_EXCL, 0666);
  if (!file) fail("no file can be made there", errno);
  const std::array<std::byte, 1> one{};
  const bool written = write_all(file.get(), one) && fsync_all(file.get());
  const int error = errno;
  const bool removed = ::unlinkat(root_.get(), name.c_str(), 0) == 0;
  if (!written) fail("no file can be written there", error);
  if (!removed) fail("no file can be removed there", errno);
}

std::unique_ptr<FileBatch> LocalStore::begin_batch() { return std::make_unique<LocalBatch>(*this); }

std::optional<std::uint64_t> LocalStore::size_of(const FileName& name) {
  const Descriptor file = open_beneath(root_.get(), name.text(), O_PATH | O_NOFOLLOW);
  struct stat found {};
  if (!file || ::fstat(file.get(), &found) != 0) {
    if (errno == ENOENT) return std::nullopt;
    fail("cannot look at " + name.text(), errno);
  }
  if (!S_ISREG(found.st_mode)) fail(name.text() + " is no file", ENOTDIR);
  return static_cast<std::uint64_t>(found.st_size);
}

bool LocalStore::read(const FileName& name, const std::function<void(std::span<const std::byte>)>& piece) {
  // Not to wait for the other end of a pipe that somebody has put there.
  const Descriptor file = open_beneath(root_.get(), name.text(), O_RDONLY | O_NONBLOCK);
  struct stat found {};
  if (!file || ::fstat(file.get(), &found) != 0) {
    if (errno == ENOENT) return false;
    fail("cannot open " + name.text(), errno);
  }
  if (!S_ISREG(found.st_mode)) fail(name.text() + " is no file", ENOTDIR);
  std::vector<std::byte> buffer(kReadBytes);
  std::uint64_t total = 0;
  for (;;) {
    const ssize_t got = ::read(file.get(), buffer.data(), buffer.size());
    if (got < 0 && errno == EINTR) continue;
    if (got < 0) fail("cannot read " + name.text(), errno);
    if (got == 0) break;
    total += static_cast<std::uint64_t>(got);
    piece({buffer.data(), static_cast<std::size_t>(got)});
  }
  if (total != static_cast<std::uint64_t>(found.st_size)) {
    throw Error(Fault::store, uri_ + ": " + name.text() + " has " + std::to_string(total) +
                                  " bytes and not " + std::to_string(found.st_size));
  }
  return true;
}

void LocalStore::list(const std::function<void(const StoredFile&)>& each) {
  std::vector<std::string> folders{""};  // still to be looked into, with a slash at the end
  while (!folders.empty()) {
    const std::string path = std::move(folders.back());
    folders.pop_back();
    Descriptor folder =
        open_beneath(root_.get(), path.empty() ? "." : path, O_RDONLY | O_DIRECTORY | O_NOFOLLOW);
    if (!folder) {
      const bool ours = path.size() <= 3;
      // lost+found, for example; one that has gone meanwhile; one that is too deep for a path
      if (errno == ENOENT || errno == ENAMETOOLONG || (errno == EACCES && !ours)) continue;
      fail("cannot open the folder " + path, errno);
    }
    const bool listed = for_each_entry(std::move(folder), [&](int entries, const std::string& name) {
      struct stat found {};
      if (::fstatat(entries, name.c_str(), &found, AT_SYMLINK_NOFOLLOW) != 0) {
        if (errno == ENOENT) return;
        fail("cannot look at " + path + name, errno);
      }
      if (S_ISDIR(found.st_mode)) {
        folders.push_back(path + name + "/");
      } else if (S_ISREG(found.st_mode) && !is_temporary_name(name)) {
        each({path + name, static_cast<std::uint64_t>(found.st_size), time_of(found.st_mtim)});
      }
    });
    if (!listed) fail("cannot read the folder " + path, errno);
  }
}

bool LocalStore::remove(const FileName& name) {
  const Descriptor folder = open_fan_out(fan_out_of(fan_out_index(name)), Make::no);
  if (!folder) return false;
  if (::unlinkat(folder.get(), last_part(name).c_str(), 0) == 0) return true;
  if (errno == ENOENT) return false;
  fail("cannot remove " + name.text(), errno);
}

std::size_t LocalStore::abandon_unfinished(std::chrono::seconds age) {
  std::size_t count = 0;
  const auto sweep = [&](Descriptor folder, const std::string& path) {
    const bool listed = for_each_entry(std::move(folder), [&](int entries, const std::string& name) {
      if (!is_temporary_name(name)) return;
      struct stat found {};
      if (::fstatat(entries, name.c_str(), &found, AT_SYMLINK_NOFOLLOW) != 0 || !S_ISREG(found.st_mode))
        return;
      if (system_clock::now() - time_of(found.st_mtim) < age) return;
      if (::unlinkat(entries, name.c_str(), 0) == 0) {
        ++count;
      } else if (errno != ENOENT) {
        fail("cannot remove " + path + name, errno);
      }
    });
    if (!listed) fail("cannot read the folder " + path, errno);
  };
  Descriptor root = open_beneath(root_.get(), ".", O_RDONLY | O_DIRECTORY);
  if (!root) fail("cannot open it", errno);
  sweep(std::move(root), "");
  for (std::size_t index = 0; index < fan_out_durable_.size(); ++index) {
    Descriptor folder = open_fan_out(fan_out_of(index), Make::no);
    if (folder) sweep(std::move(folder), fan_out_of(index) + "/");
  }
  return count;
}

}  // namespace sluice
