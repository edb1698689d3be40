#pragma once
// Files of random bytes, as a store takes them.

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <optional>
#include <random>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "io/store/file_store.h"
#include "io/store/sha256.h"

namespace sluice::testing {

using Bytes = std::vector<std::byte>;

inline Bytes random_bytes(std::mt19937_64& random, std::size_t size) {
  Bytes bytes(size);
  for (std::size_t i = 0; i < size; i += sizeof(std::uint64_t)) {
    const std::uint64_t word = random();
    std::memcpy(bytes.data() + i, &word, std::min(sizeof word, size - i));
  }
  return bytes;
}

class BytesContent : public FileContent {
 public:
  explicit BytesContent(Bytes bytes, std::size_t piece_bytes = 65536)
      : bytes_(std::move(bytes)), piece_bytes_(piece_bytes) {}

  [[nodiscard]] std::uint64_t size() const override { return bytes_.size(); }
  void rewind() override { at_ = 0; }
  std::span<const std::byte> next() override {
    const auto piece = std::span(bytes_).subspan(at_, std::min(piece_bytes_, bytes_.size() - at_));
    at_ += piece.size();
    return piece;
  }

  [[nodiscard]] FileName name() const { return {sha256_of(bytes_), false}; }
  [[nodiscard]] const Bytes& bytes() const { return bytes_; }

 private:
  Bytes bytes_;
  std::size_t piece_bytes_;
  std::size_t at_ = 0;
};

inline std::string text_of(const Bytes& bytes) {
  return {reinterpret_cast<const char*>(bytes.data()), bytes.size()};
}

// The whole file; nothing when there is none.
inline std::optional<Bytes> read_file(FileStore& store, const FileName& name) {
  Bytes bytes;
  const bool found = store.read(
      name, [&](std::span<const std::byte> piece) { bytes.insert(bytes.end(), piece.begin(), piece.end()); });
  return found ? std::optional(std::move(bytes)) : std::nullopt;
}

}  // namespace sluice::testing
