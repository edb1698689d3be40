#include "io/sqlite/private_copy.h"

#include <fcntl.h>
#include <sqlite3.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <charconv>
#include <cstdio>
#include <sstream>
#include <system_error>
#include <utility>

#include "io/sqlite/handle.h"

namespace sluice {
namespace {

// Behind it another thread of the process could not hold the source's locks for long: some four megabytes.
constexpr int kPagesPerPiece = 1024;

constexpr std::string_view kTail = "SLUICE1\n";
constexpr std::size_t kTailBytes = 8 + kTail.size();
constexpr std::size_t kLinesBytesMax = 65536;

// Of the header of a database: fileformat2.html, section 1.3.
constexpr off_t kVersionsAt = 18;
constexpr off_t kChangeCounterAt = 24;

std::string why(int error) { return std::generic_category().message(error); }

Error cannot_write(const std::filesystem::path& path, int error) {
  return {Fault::output, "cannot write the copy of the source to " + path.string() + ": " + why(error),
          "set TMPDIR to a folder with room, or name a file there with --snapshot-file"};
}

class Descriptor {
 public:
  explicit Descriptor(int number) : number_(number) {}
  ~Descriptor() {
    if (number_ >= 0) close(number_);
  }
  Descriptor(const Descriptor&) = delete;
  Descriptor& operator=(const Descriptor&) = delete;
  [[nodiscard]] int get() const { return number_; }

 private:
  int number_;
};

std::filesystem::path folder_of(const std::filesystem::path& file) {
  return file.has_parent_path() ? file.parent_path() : std::filesystem::path(".");
}

std::string in_megabytes(std::uint64_t bytes) {
  return std::to_string((bytes + 999'999) / 1'000'000) + " MB";
}

void refuse_without_room(const std::filesystem::path& folder, std::uint64_t bytes) {
  struct statvfs room {};
  if (statvfs(folder.c_str(), &room) != 0) return;  // writing will tell
  const std::uint64_t there = std::uint64_t{room.f_bavail} * room.f_frsize;
  if (there >= bytes) return;
  throw Error(
      Fault::usage,
      "the copy of the source takes " + in_megabytes(bytes) + ", and " + folder.string() + " has room for " +
          std::to_string(there / 1'000'000) + " MB",
      "set TMPDIR to a folder with room, name a file there with --snapshot-file, or read the source itself "
      "with --snapshot live");
}

bool is_of_the_copy(int code) {
  return (code & 0xff) == SQLITE_FULL || (code & 0xff) == SQLITE_CANTOPEN || code == SQLITE_IOERR_WRITE ||
         code == SQLITE_IOERR_TRUNCATE || code == SQLITE_IOERR_FSYNC || (code & 0xff) == SQLITE_READONLY;
}

struct FinishBackup {
  void operator()(sqlite3_backup* backup) const noexcept { sqlite3_backup_finish(backup); }
};

// REQUIRES: `file` exists and is empty. Durable only after a sync.
void copy_pages(const SqliteConnection& source, const std::filesystem::path& file,
                const CopyRequest& request) {
  sqlite3* raw = nullptr;
  const int opened = sqlite3_open_v2(
      file.c_str(), &raw, SQLITE_OPEN_READWRITE | SQLITE_OPEN_NOMUTEX | SQLITE_OPEN_PRIVATECACHE, nullptr);
  const DatabaseHandle copy(raw);
  if (opened != SQLITE_OK) throw cannot_write(file, sqlite3_system_errno(raw));
  sqlite3_extended_result_codes(raw, 1);
  // A copy that is not finished is thrown away, so nothing needs to be undone.
  sqlite3_exec(raw, "PRAGMA journal_mode=OFF; PRAGMA synchronous=OFF", nullptr, nullptr, nullptr);
  int code = SQLITE_OK;
  {
    const std::unique_ptr<sqlite3_backup, FinishBackup> backup(
        sqlite3_backup_init(raw, "main", source.get(), "main"));
    if (!backup) throw cannot_write(file, EIO);
    do {
      code = sqlite3_backup_step(backup.get(), kPagesPerPiece);
      const auto total = static_cast<std::uint64_t>(sqlite3_backup_pagecount(backup.get()));
      const auto left = static_cast<std::uint64_t>(sqlite3_backup_remaining(backup.get()));
      if (code == SQLITE_OK && request.go_on && !request.go_on(total - left, total)) {
        throw Error(Fault::interrupted, "stopped while the source was copied", "run the same command again");
      }
    } while (code == SQLITE_OK);
  }
  if (code == SQLITE_DONE) return;
  if (!is_of_the_copy(code)) throw source.error(code);
  const int system = sqlite3_system_errno(raw);
  throw cannot_write(file, system != 0 ? system : ENOSPC);
}

std::uint32_t change_counter_in(int file) {
  std::array<unsigned char, 4> bytes{};
  if (pread(file, bytes.data(), bytes.size(), kChangeCounterAt) != ssize_t{bytes.size()}) return 0;
  return std::uint32_t{bytes[0]} << 24 | std::uint32_t{bytes[1]} << 16 | std::uint32_t{bytes[2]} << 8 |
         bytes[3];
}

std::uint64_t bytes_of(int file) {
  struct stat status {};
  return fstat(file, &status) == 0 ? static_cast<std::uint64_t>(status.st_size) : 0;
}

bool put(int file, std::string_view bytes, std::uint64_t at) {
  return pwrite(file, bytes.data(), bytes.size(), static_cast<off_t>(at)) ==
         static_cast<ssize_t>(bytes.size());
}

std::string lines_of(const SnapshotOrigin& origin, std::uint64_t bytes, std::uint32_t counter) {
  std::string lines = "1 " + std::to_string(bytes) + " " + std::to_string(counter) + " " +
                      std::to_string(origin.bytes) + "\n" + origin.fingerprint + "\n" + origin.path.string();
  std::array<char, 9> length{};
  std::snprintf(length.data(), length.size(), "%08zx", lines.size());
  return lines + length.data() + std::string(kTail);
}

// Nothing for any file that is not a whole copy of ours. No database is open under this name, so closing it
// again drops no lock.
std::optional<SnapshotOrigin> origin_in(const std::filesystem::path& path) {
  const Descriptor file(open(path.c_str(), O_RDONLY | O_CLOEXEC));
  if (file.get() < 0) return std::nullopt;
  const std::uint64_t all = bytes_of(file.get());
  std::array<char, kTailBytes> tail{};
  if (all < kTailBytes || pread(file.get(), tail.data(), tail.size(), static_cast<off_t>(all - kTailBytes)) !=
                              ssize_t{kTailBytes}) {
    return std::nullopt;
  }
  if (std::string_view(tail.data() + 8, kTail.size()) != kTail) return std::nullopt;
  std::size_t length = 0;
  const auto [end, status] = std::from_chars(tail.data(), tail.data() + 8, length, 16);
  if (status != std::errc{} || end != tail.data() + 8 || length > kLinesBytesMax ||
      length + kTailBytes > all) {
    return std::nullopt;
  }
  std::string lines(length, '\0');
  const std::uint64_t database = all - kTailBytes - length;
  if (pread(file.get(), lines.data(), length, static_cast<off_t>(database)) != static_cast<ssize_t>(length)) {
    return std::nullopt;
  }
  std::istringstream text(lines);
  int format = 0;
  std::uint64_t bytes = 0;
  std::uint32_t counter = 0;
  SnapshotOrigin origin;
  text >> format >> bytes >> counter >> origin.bytes;
  text.ignore(1);
  std::string path_text;
  std::getline(text, origin.fingerprint);
  std::getline(text, path_text, '\0');  // a path may have any byte but this
  if (!text || format != 1 || bytes != database || counter != change_counter_in(file.get()))
    return std::nullopt;
  origin.path = path_text;
  return origin;
}

std::filesystem::path half_of(const std::filesystem::path& path) { return path.string() + ".part"; }

// A fresh file of our own to copy into, locked as long as it is open.
int create(const CopyRequest& request, std::filesystem::path& path) {
  if (request.keep_as.empty()) {
    std::error_code error;
    const std::filesystem::path folder = std::filesystem::temp_directory_path(error);
    if (error) throw Error(Fault::usage, "TMPDIR is not a folder", "set TMPDIR to a folder with room");
    std::string name = (folder / "sluice-XXXXXX.sqlite").string();
    const int file = mkostemps(name.data(), 7, O_CLOEXEC);
    if (file < 0) throw cannot_write(folder, errno);
    path = name;
    return file;
  }
  path = half_of(request.keep_as);
  const int file = open(path.c_str(), O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
  if (file < 0) throw cannot_write(path, errno);
  if (flock(file, LOCK_EX | LOCK_NB) != 0) {
    close(file);
    throw Error(Fault::usage, "another sluice is making the copy " + request.keep_as.string(),
                "wait until it has, or give another --snapshot-file");
  }
  // What a copy that was interrupted has left.
  if (ftruncate(file, 0) != 0 || fchmod(file, 0600) != 0) {
    const int error = errno;
    close(file);
    throw cannot_write(path, error);
  }
  return file;
}

}  // namespace

PrivateCopy::PrivateCopy(const CopyRequest& request) : kept_(!request.keep_as.empty()) {
  if (kept_ && !request.anew) {
    take_kept(request);
    if (found_) return;
  }
  try {
    make(request);
  } catch (...) {
    // Also of a kept one: it is not whole.
    std::error_code ignored;
    if (!path_.empty()) std::filesystem::remove(path_, ignored);
    throw;
  }
}

PrivateCopy::~PrivateCopy() {
  std::error_code ignored;
  if (!kept_) std::filesystem::remove(path_, ignored);
}

void PrivateCopy::take_kept(const CopyRequest& request) {
  std::error_code error;
  if (!std::filesystem::exists(std::filesystem::symlink_status(request.keep_as, error))) return;
  const std::optional<SnapshotOrigin> origin = origin_in(request.keep_as);
  // The source itself may be gone by now.
  if (!origin || origin->path != std::filesystem::weakly_canonical(request.source, error)) {
    throw Error(Fault::usage,
                request.keep_as.string() + " is there and is no copy of " + request.source.string() +
                    " that sluice made, or was written to since",
                "give another --snapshot-file, or remove that file");
  }
  path_ = request.keep_as;
  origin_ = *origin;
  found_ = true;
}

void PrivateCopy::make(const CopyRequest& request) {
  if (kept_ && request.anew && std::filesystem::exists(request.keep_as) && !origin_in(request.keep_as)) {
    throw Error(Fault::usage, request.keep_as.string() + " is there and is no copy that sluice made",
                "give another --snapshot-file, or remove that file");
  }
  ReaderOptions options;
  options.stop = request.stop;
  const Snapshot source(request.source, 0, Snapshot::Agreement::fence, std::move(options));
  origin_ = {source.path(), source.fingerprint(), source.file_bytes()};
  remark_ = source.remark();
  const Descriptor file(create(request, path_));
  refuse_without_room(folder_of(path_), source.pages_bytes());
  copy_pages(source.connection(), path_, request);
  if (!source.unchanged()) {
    throw Error(Fault::source_changed,
                "the source was overwritten while it was copied, by something that ignores locks",
                "run the same command again when that is done");
  }
  // The pages of a WAL database are all in the copy, which needs no log. Both versions 1: a rollback journal.
  const std::uint64_t bytes = bytes_of(file.get());
  if (bytes > 0 && !put(file.get(), "\1\1", kVersionsAt)) throw cannot_write(path_, errno);
  if (!kept_) return;
  const std::string lines = lines_of(origin_, bytes, change_counter_in(file.get()));
  if (!put(file.get(), lines, bytes) || fsync(file.get()) != 0) throw cannot_write(path_, errno);
  if (rename(path_.c_str(), request.keep_as.c_str()) != 0) throw cannot_write(request.keep_as, errno);
  path_ = request.keep_as;
  const Descriptor folder(open(folder_of(path_).c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  if (folder.get() >= 0) fsync(folder.get());
}

}  // namespace sluice
