#pragma once
// The stores that a run puts files into, by their address.

#include <atomic>
#include <cstdint>
#include <map>
#include <memory>
#include <string>

#include "io/store/file_store.h"
#include "io/store/open_store.h"

namespace sluice {

// add() belongs to the thread that prepares the run, before any other looks; the rest may be called by any.
class FileStores {
 public:
  // Opens it, unless it is open already, and checks whether it takes files where any are to be put or
  // removed. Throws Error (usage, store).
  FileStore& add(const std::string& uri, const StoreOptions& options, bool changes = true);

  // Null for one that is not open: then files are only looked at.
  [[nodiscard]] FileStore* find(const std::string& uri) const;
  [[nodiscard]] bool empty() const { return stores_.empty(); }

  // What settled batches wrote.
  void note(const FileBatch& batch) {
    files_.fetch_add(batch.files_written(), std::memory_order_relaxed);
    bytes_.fetch_add(batch.bytes_written(), std::memory_order_relaxed);
  }
  [[nodiscard]] std::uint64_t files_written() const { return files_.load(std::memory_order_relaxed); }
  [[nodiscard]] std::uint64_t bytes_written() const { return bytes_.load(std::memory_order_relaxed); }

 private:
  std::map<std::string, std::unique_ptr<FileStore>> stores_;
  std::atomic<std::uint64_t> files_{0};
  std::atomic<std::uint64_t> bytes_{0};
};

// What a file is called in a store, and in the column of the storage type there.
std::string_view storage_type_of(const std::string& uri);

// Puts the file, as it is or as a zstd frame. `content` is what stands under `name` uncompressed.
void put_file(FileBatch& batch, const FileName& name, FileContent& content);

}  // namespace sluice
