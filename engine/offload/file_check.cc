#include "engine/offload/file_check.h"

#include <algorithm>
#include <span>
#include <utility>
#include <vector>

#include "engine/model/error.h"
#include "io/archive/zstd_frame.h"
#include "io/store/sha256.h"

namespace sluice {
namespace {

// The content of a file as it comes, whether it is compressed or not.
class ContentHasher {
 public:
  explicit ContentHasher(bool zstd) {
    if (zstd) decompressor_.emplace();
  }

  void add(std::span<const std::byte> piece) {
    if (!decompressor_) return take(piece);
    if (!begun_) {
      // The head of a frame is smaller than any piece that a store hands over, but for the last.
      head_.insert(head_.end(), piece.begin(), piece.end());
      const std::optional<std::uint64_t> said = content_bytes_of(head_);
      if (!said) {
        if (head_.size() < kFrameHeadBytesMax) return;
        throw Error(Fault::source_unreadable, "it is no zstd frame with the size of its content");
      }
      decompressor_->begin(*said);
      begun_ = true;
      const std::vector<std::byte> head = std::exchange(head_, {});
      return decompress(head);
    }
    decompress(piece);
  }

  void finish() {
    if (!decompressor_) return;
    if (!begun_) throw Error(Fault::source_unreadable, "it ends before its first frame");
    decompressor_->finish();
  }

  [[nodiscard]] std::uint64_t size() const { return size_; }
  [[nodiscard]] Sha256 sha256() { return hasher_.finish(); }

 private:
  static constexpr std::size_t kFrameHeadBytesMax = 18;

  void decompress(std::span<const std::byte> piece) {
    // Not all of it at once: a small piece may stand for much.
    constexpr std::size_t kStep = std::size_t{16} << 10;
    for (std::size_t at = 0; at < piece.size(); at += kStep) {
      out_.clear();
      decompressor_->add(piece.subspan(at, std::min(kStep, piece.size() - at)), out_);
      take(out_);
    }
  }
  void take(std::span<const std::byte> content) {
    hasher_.add(content);
    size_ += content.size();
  }

  Sha256Hasher hasher_;
  std::optional<ZstdDecompressor> decompressor_;
  std::vector<std::byte> head_;
  std::vector<std::byte> out_;
  bool begun_ = false;
  std::uint64_t size_ = 0;
};

}  // namespace

std::string why_broken(FileStore& store, const ReferredFile& file, std::uint64_t& bytes) {
  ContentHasher hasher(file.name.zstd);
  bytes = 0;
  std::string wrong;
  const bool there = store.read(file.name, [&](std::span<const std::byte> piece) {
    bytes += piece.size();
    if (!wrong.empty()) return;
    try {
      hasher.add(piece);
    } catch (const Error& error) {
      if (error.fault() != Fault::source_unreadable) throw;
      wrong = error.what();
    }
  });
  if (!there) return "it is missing";
  if (!wrong.empty()) return wrong;
  try {
    hasher.finish();
  } catch (const Error& error) {
    return error.what();
  }
  if (hasher.sha256() != file.name.sha256) return "its content is another than its name says";
  if (file.size && *file.size != hasher.size()) {
    return "it has " + std::to_string(hasher.size()) + " bytes, and its row says " +
           std::to_string(*file.size);
  }
  return {};
}

}  // namespace sluice
