#include "io/archive/folder.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cassert>
#include <cerrno>
#include <cstring>

#include "engine/model/error.h"

namespace sluice {
namespace {

constexpr const char* kPartial = ".part";

[[noreturn]] void refuse_reading(std::string_view name, int error) {
  throw Error(Fault::source_unreadable, std::string(name) + " cannot be read: " + std::strerror(error));
}

[[noreturn]] void refuse_writing(std::string_view name, int error) {
  const bool full = error == ENOSPC || error == EDQUOT;
  throw Error(Fault::output, "cannot write " + std::string(name) + ": " + std::strerror(error),
              full ? "make room and run the same command again; it goes on" : "");
}

int open_at(int folder, const std::string& name, int flags, mode_t mode = 0) {
  // Neither a link nor a pipe of somebody's that would keep us waiting.
  return ::openat(folder, name.c_str(), flags | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK, mode);
}

}  // namespace

FileHandle::~FileHandle() {
  if (descriptor_ >= 0) ::close(descriptor_);
}

std::size_t FileReader::read(std::span<std::byte> into) {
  std::size_t done = 0;
  while (done < into.size()) {
    const ssize_t count = ::read(file_.get(), into.data() + done, into.size() - done);
    if (count == 0) break;
    if (count < 0 && errno != EINTR) refuse_reading(name_, errno);
    done += count < 0 ? 0 : static_cast<std::size_t>(count);
  }
  return done;
}

FileWriter::~FileWriter() {
  if (!file_.open()) return;
  ::unlinkat(parent_.get(), (leaf_ + kPartial).c_str(), 0);
}

void FileWriter::write(std::span<const std::byte> bytes) {
  while (!bytes.empty()) {
    const ssize_t count = ::write(file_.get(), bytes.data(), bytes.size());
    if (count < 0 && errno != EINTR) refuse_writing(name_, errno);
    if (count <= 0) continue;
    bytes_ += static_cast<std::uint64_t>(count);
    bytes = bytes.subspan(static_cast<std::size_t>(count));
  }
}

void FileWriter::finish() {
  if (::fsync(file_.get()) != 0) refuse_writing(name_, errno);
  if (::renameat(parent_.get(), (leaf_ + kPartial).c_str(), parent_.get(), leaf_.c_str()) != 0) {
    refuse_writing(name_, errno);
  }
  file_ = FileHandle();
}

ArchiveFolder ArchiveFolder::open(const std::filesystem::path& path) {
  FileHandle folder(::open(path.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  if (!folder.open()) refuse_reading("the folder " + path.string(), errno);
  return {path, std::move(folder), false};
}

ArchiveFolder ArchiveFolder::create(const std::filesystem::path& path) {
  std::error_code error;
  const bool made = std::filesystem::create_directories(path, error);
  FileHandle folder(::open(path.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  if (!folder.open()) {
    throw Error(
        Fault::output,
        "cannot make the folder " + path.string() + ": " + std::strerror(error ? error.value() : errno),
        "choose another one");
  }
  return {path, std::move(folder), made};
}

FileHandle ArchiveFolder::parent_of(std::string_view name, bool create, std::string& leaf) const {
  FileHandle folder(::fcntl(folder_.get(), F_DUPFD_CLOEXEC, 0));
  for (std::size_t slash = name.find('/'); folder.open() && slash != name.npos; slash = name.find('/')) {
    const std::string part(name.substr(0, slash));
    assert(!part.empty() && part != "." && part != "..");
    name.remove_prefix(slash + 1);
    if (create && ::mkdirat(folder.get(), part.c_str(), 0777) != 0 && errno != EEXIST) return {};
    folder = FileHandle(open_at(folder.get(), part, O_RDONLY | O_DIRECTORY));
  }
  leaf = name;
  return folder;
}

std::optional<std::uint64_t> ArchiveFolder::size_of(std::string_view name) const {
  std::string leaf;
  const FileHandle parent = parent_of(name, false, leaf);
  struct stat status {};
  if (!parent.open() || ::fstatat(parent.get(), leaf.c_str(), &status, AT_SYMLINK_NOFOLLOW) != 0 ||
      !S_ISREG(status.st_mode)) {
    return std::nullopt;
  }
  return static_cast<std::uint64_t>(status.st_size);
}

FileReader ArchiveFolder::read(std::string_view name) const {
  std::string leaf;
  const FileHandle parent = parent_of(name, false, leaf);
  FileHandle file(parent.open() ? open_at(parent.get(), leaf, O_RDONLY) : -1);
  if (!file.open()) refuse_reading(name, errno);
  struct stat status {};
  if (::fstat(file.get(), &status) != 0) refuse_reading(name, errno);
  if (!S_ISREG(status.st_mode)) {
    throw Error(Fault::source_unreadable, std::string(name) + " is no plain file");
  }
  return {std::move(file), std::string(name)};
}

std::string ArchiveFolder::read_small(std::string_view name, std::uint64_t bytes_max) const {
  FileReader file = read(name);
  std::string content;
  for (;;) {
    constexpr std::size_t kStep = std::size_t{64} << 10;
    const std::size_t before = content.size();
    content.resize(before + kStep);
    const std::size_t count = file.read(std::as_writable_bytes(std::span(content.data() + before, kStep)));
    content.resize(before + count);
    if (content.size() > bytes_max) {
      throw Error(Fault::source_unreadable, std::string(name) + " is larger than the " +
                                                std::to_string(bytes_max) + " bytes it may have");
    }
    if (count < kStep) return content;
  }
}

FileWriter ArchiveFolder::write(std::string_view name) {
  std::string leaf;
  FileHandle parent = parent_of(name, true, leaf);
  if (!parent.open()) refuse_writing(name, errno);
  ::unlinkat(parent.get(), (leaf + kPartial).c_str(), 0);  // of an export that was killed
  FileHandle file(open_at(parent.get(), leaf + kPartial, O_WRONLY | O_CREAT | O_EXCL, 0666));
  if (!file.open()) refuse_writing(name, errno);
  return {std::move(parent), std::move(file), std::string(name), std::move(leaf)};
}

void ArchiveFolder::write_small(std::string_view name, std::string_view content) {
  FileWriter file = write(name);
  file.write(std::as_bytes(std::span(content)));
  file.finish();
}

FileHandle ArchiveFolder::append_to(std::string_view name) {
  std::string leaf;
  const FileHandle parent = parent_of(name, true, leaf);
  FileHandle file(parent.open() ? open_at(parent.get(), leaf, O_WRONLY | O_CREAT | O_APPEND, 0666) : -1);
  if (!file.open()) refuse_writing(name, errno);
  return file;
}

void ArchiveFolder::append(const FileHandle& file, std::string_view name, std::string_view record) const {
  while (!record.empty()) {
    const ssize_t count = ::write(file.get(), record.data(), record.size());
    if (count < 0 && errno != EINTR) refuse_writing(name, errno);
    if (count > 0) record.remove_prefix(static_cast<std::size_t>(count));
  }
  if (::fdatasync(file.get()) != 0) refuse_writing(name, errno);
}

void ArchiveFolder::truncate(const FileHandle& file, std::string_view name) const {
  if (::ftruncate(file.get(), 0) != 0) refuse_writing(name, errno);
}

void ArchiveFolder::remove(std::string_view name) {
  std::string leaf;
  const FileHandle parent = parent_of(name, false, leaf);
  if (!parent.open()) return;
  if (::unlinkat(parent.get(), leaf.c_str(), 0) != 0 && errno != ENOENT) refuse_writing(name, errno);
}

void ArchiveFolder::unmake() const {
  if (made_) ::rmdir(path_.c_str());
}

void ArchiveFolder::settle(const std::vector<std::string>& folders) const {
  for (const std::string& name : folders) {
    std::string leaf;
    const FileHandle folder = parent_of(name + "/", false, leaf);
    if (!folder.open() || ::fsync(folder.get()) != 0) refuse_writing(name, errno);
  }
  if (::fsync(folder_.get()) != 0) refuse_writing(path_.string(), errno);
}

std::vector<std::string> ArchiveFolder::list() const {
  std::vector<std::string> names;
  std::error_code error;
  // Does not follow links to folders.
  for (std::filesystem::recursive_directory_iterator at(path_, error), end; !error && at != end;
       at.increment(error)) {
    const std::string name = at->path().lexically_relative(path_).string();
    if (!at->is_directory() || at->is_symlink()) {
      names.push_back(name);
    } else if (std::filesystem::is_empty(at->path(), error)) {
      names.push_back(name + "/");
    }
  }
  if (error) refuse_writing(path_.string(), error.value());
  std::sort(names.begin(), names.end());
  return names;
}

}  // namespace sluice
