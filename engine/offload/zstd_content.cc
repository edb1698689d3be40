#include "engine/offload/zstd_content.h"

namespace sluice {
namespace {

constexpr int kLevel = 3;
constexpr std::size_t kPieceBytes = std::size_t{256} << 10;

}  // namespace

ZstdContent::ZstdContent(FileContent& file) : file_(file), compressor_(kLevel) {
  rewind();
  std::size_t pieces = 0;
  for (std::span<const std::byte> piece = compress_more(); !piece.empty(); piece = compress_more()) {
    size_ += piece.size();
    ++pieces;
  }
  whole_ = pieces == 1;
}

void ZstdContent::rewind() {
  given_ = false;
  if (whole_) return;
  file_.rewind();
  compressor_.begin(file_.size());
  finished_ = false;
}

std::span<const std::byte> ZstdContent::next() {
  if (!whole_) return compress_more();
  if (given_) return {};
  given_ = true;
  return out_;
}

std::span<const std::byte> ZstdContent::compress_more() {
  if (finished_) return {};
  out_.clear();
  while (out_.size() < kPieceBytes) {
    const std::span<const std::byte> piece = file_.next();
    if (piece.empty()) {
      compressor_.finish(out_);
      finished_ = true;
      break;
    }
    compressor_.add(piece, out_);
  }
  return out_;
}

}  // namespace sluice
