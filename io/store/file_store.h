#pragma once
// Where files go that leave the database: named by what is in them, kept once, and durable before anything
// refers to them.
//
// A store takes and gives whole files. It knows nothing of rows, Base64 or compression.

#include <array>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>

namespace sluice {

using Sha256 = std::array<std::byte, 32>;

// The name of a file in a store, made by us from the SHA-256 of its content (before compression): two
// hexadecimal digits, a slash, all 64 of them, and ".zst" where the store holds it as a zstd frame. Nothing
// that a user wrote is part of it.
struct FileName {
  Sha256 sha256{};
  bool zstd = false;

  [[nodiscard]] std::string text() const;
  // Nothing for what text() did not write.
  static std::optional<FileName> parse(std::string_view text);

  bool operator==(const FileName&) const = default;
};

// The bytes of a file as they are to be stored, piece by piece, as often as they are asked for.
class FileContent {
 public:
  virtual ~FileContent() = default;

  // How many bytes the pieces are together.
  [[nodiscard]] virtual std::uint64_t size() const = 0;
  // Begins again.
  virtual void rewind() = 0;
  // The next piece, borrowed until the next call; empty at the end. The same pieces after every rewind().
  virtual std::span<const std::byte> next() = 0;
};

// Files on their way into a store, some or many at a time. One thread at a time; several batches of one store
// may be under way. Destroyed before settle(), it leaves nothing behind that is not complete, except what a
// later settle() or FileStore::abandon_unfinished() clears away.
class FileBatch {
 public:
  virtual ~FileBatch() = default;

  // Takes the content, which is not used after the call. A file that is there already is not written again,
  // but counts as new for whoever removes old ones. Throws Error (Fault::store).
  virtual void put(const FileName& name, FileContent& content) = 0;

  // Everything that was put is durable and can be read under its name when this returns. Throws Error
  // (Fault::store); then some of it may be.
  virtual void settle() = 0;

  // Of all that was put: files and bytes that the store had not had before.
  [[nodiscard]] virtual std::uint64_t files_written() const = 0;
  [[nodiscard]] virtual std::uint64_t bytes_written() const = 0;
};

struct StoredFile {
  std::string name;  // below the root of the store; what FileName::parse does not take is not ours
  std::uint64_t bytes = 0;
  std::chrono::system_clock::time_point modified;  // when it was put last
};

// Any number of threads. Errors are Error (Fault::store, status 40) with the store, the name and the reason,
// never with a secret. What may pass by itself (a server that is busy, a connection cut) has been tried again
// before, as the store's options say.
class FileStore {
 public:
  virtual ~FileStore() = default;

  // "file:///var/files", "s3://bucket/prefix".
  [[nodiscard]] virtual const std::string& uri() const = 0;
  // "file" or "s3": what the column of the storage type gets.
  [[nodiscard]] virtual std::string_view kind() const = 0;

  // Throws when files could not be put there: no such folder or bucket, no right, read-only. Writes and
  // removes one small file.
  virtual void check() = 0;

  [[nodiscard]] virtual std::unique_ptr<FileBatch> begin_batch() = 0;

  // Nothing when there is none of that name.
  [[nodiscard]] virtual std::optional<std::uint64_t> size_of(const FileName& name) = 0;
  // Hands over the whole file in pieces; false when there is none of that name. Throws when it ends too
  // early.
  virtual bool read(const FileName& name, const std::function<void(std::span<const std::byte>)>& piece) = 0;

  // All files below the root, in no order, other people's included.
  virtual void list(const std::function<void(const StoredFile&)>& each) = 0;
  // False when there was none.
  virtual bool remove(const FileName& name) = 0;

  // Clears away what puts that were killed have left: temporary files, unfinished uploads. Only those older
  // than `age`, since others may be at it. Returns how many.
  virtual std::size_t abandon_unfinished(std::chrono::seconds age) = 0;
};

}  // namespace sluice
