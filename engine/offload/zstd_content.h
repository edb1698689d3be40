#pragma once
// A file as one zstd frame.

#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

#include "io/archive/zstd_frame.h"
#include "io/store/file_store.h"

namespace sluice {

// Borrows the file. Compresses it once when made, to know its size, and again whenever it is asked for,
// unless it is small: memory stays bounded whatever the file. One thread at a time.
class ZstdContent final : public FileContent {
 public:
  explicit ZstdContent(FileContent& file);

  [[nodiscard]] std::uint64_t size() const override { return size_; }
  void rewind() override;
  std::span<const std::byte> next() override;

 private:
  std::span<const std::byte> compress_more();

  FileContent& file_;
  ZstdCompressor compressor_;
  std::vector<std::byte> out_;
  std::uint64_t size_ = 0;
  bool finished_ = false;
  bool whole_ = false;  // all of it is in out_
  bool given_ = false;
};

}  // namespace sluice
