#pragma once
// The folder of an archive: files below it by names that we made, never through a symbolic link, whoever put
// it there.
//
// Names have at most three parts ("tables/0-orders/range-17.copy.zst"). Errors are Error with the file's name
// and the system's reason: source_unreadable for what is read, output for what is written.

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace sluice {

// A file descriptor with an owner.
class FileHandle {
 public:
  FileHandle() = default;
  explicit FileHandle(int descriptor) : descriptor_(descriptor) {}
  FileHandle(FileHandle&& other) noexcept : descriptor_(std::exchange(other.descriptor_, -1)) {}
  FileHandle& operator=(FileHandle&& other) noexcept {
    std::swap(descriptor_, other.descriptor_);
    return *this;
  }
  ~FileHandle();

  [[nodiscard]] int get() const { return descriptor_; }
  [[nodiscard]] bool open() const { return descriptor_ >= 0; }

 private:
  int descriptor_ = -1;
};

// A file that is read from its beginning. One thread at a time.
class FileReader {
 public:
  FileReader(FileHandle file, std::string name) : file_(std::move(file)), name_(std::move(name)) {}

  // As many of the next bytes as there are, at most all of `into`; fewer only at the end of the file.
  std::size_t read(std::span<std::byte> into);

 private:
  FileHandle file_;
  std::string name_;
};

// A file on its way: under another name until finish(), after which it is whole and on the disk, whatever
// happens then, but for its entry in the folder (ArchiveFolder::settle). Destroyed before, it is gone. One
// thread at a time. The folder must outlive it.
class ArchiveFolder;
class FileWriter {
 public:
  FileWriter(FileWriter&& other) noexcept = default;
  FileWriter& operator=(FileWriter&&) = delete;
  ~FileWriter();

  void write(std::span<const std::byte> bytes);
  [[nodiscard]] std::uint64_t bytes() const { return bytes_; }
  void finish();

 private:
  friend class ArchiveFolder;
  FileWriter(FileHandle parent, FileHandle file, std::string name, std::string leaf)
      : parent_(std::move(parent)), file_(std::move(file)), name_(std::move(name)), leaf_(std::move(leaf)) {}

  FileHandle parent_;
  FileHandle file_;  // closed once finished
  std::string name_;
  std::string leaf_;
  std::uint64_t bytes_ = 0;
};

// Any thread.
class ArchiveFolder {
 public:
  // Of an archive that is there. Throws Error (source_unreadable).
  static ArchiveFolder open(const std::filesystem::path& path);
  // Makes the folder where it is missing. Throws Error (output).
  static ArchiveFolder create(const std::filesystem::path& path);

  [[nodiscard]] const std::filesystem::path& path() const { return path_; }

  // ---- reading ----

  // Its size; nothing where there is none, or what is no plain file.
  [[nodiscard]] std::optional<std::uint64_t> size_of(std::string_view name) const;
  [[nodiscard]] FileReader read(std::string_view name) const;
  // The whole of a small file. Throws when it is larger than that.
  [[nodiscard]] std::string read_small(std::string_view name, std::uint64_t bytes_max) const;

  // ---- writing ----

  // Folders on the way are made.
  [[nodiscard]] FileWriter write(std::string_view name);
  void write_small(std::string_view name, std::string_view content);
  // For records that are added one by one, each whole on the disk when the next one comes. Made where it is
  // missing; the position is at its end.
  [[nodiscard]] FileHandle append_to(std::string_view name);
  void append(const FileHandle& file, std::string_view name, std::string_view record) const;
  void truncate(const FileHandle& file, std::string_view name) const;
  // Nothing when it is not there.
  void remove(std::string_view name);
  // Removes the folder itself, if create() made it and it is empty.
  void unmake() const;
  // The entries of the folders are on the disk, too.
  void settle(const std::vector<std::string>& folders) const;

  // Names of all files and links below, and, with a slash behind them, of folders without any.
  [[nodiscard]] std::vector<std::string> list() const;

 private:
  ArchiveFolder(std::filesystem::path path, FileHandle folder, bool made)
      : path_(std::move(path)), folder_(std::move(folder)), made_(made) {}

  // The folder that has the file; not open when it is not there. Made with `create`.
  [[nodiscard]] FileHandle parent_of(std::string_view name, bool create, std::string& leaf) const;

  std::filesystem::path path_;
  FileHandle folder_;
  bool made_ = false;  // by us
};

}  // namespace sluice
