#include "io/archive/zstd_frame.h"

#include <zstd.h>
#include <zstd_errors.h>

#include <algorithm>
#include <new>
#include <string>

#include "engine/model/error.h"

namespace sluice {
namespace {

constexpr std::size_t kOutputStep = std::size_t{128} << 10;

[[noreturn]] void refuse_frame(const std::string& what) { throw Error(Fault::source_unreadable, what); }

std::size_t require_compressed(std::size_t result) {
  if (ZSTD_isError(result) == 0) return result;
  if (ZSTD_getErrorCode(result) == ZSTD_error_memory_allocation) throw std::bad_alloc();
  throw Error(Fault::internal, std::string("zstd refuses to compress: ") + ZSTD_getErrorName(result));
}

constexpr std::uint64_t kWindowMax = std::uint64_t{1} << static_cast<unsigned>(kZstdWindowLogMax);

[[noreturn]] void refuse_window() {
  refuse_frame("a zstd frame asks for a window of more than " + std::to_string(kWindowMax >> 20U) + " MiB");
}

std::size_t require_decompressed(std::size_t result) {
  if (ZSTD_isError(result) == 0) return result;
  switch (ZSTD_getErrorCode(result)) {
    case ZSTD_error_memory_allocation:
      throw std::bad_alloc();
    case ZSTD_error_frameParameter_windowTooLarge:
      refuse_window();
    default:
      refuse_frame(std::string("a zstd frame is damaged: ") + ZSTD_getErrorName(result));
  }
}

void require_content_size(std::uint64_t said, std::uint64_t expected) {
  if (said == expected) return;
  refuse_frame(said == ZSTD_CONTENTSIZE_ERROR ? "no zstd frame where one should begin"
               : said == ZSTD_CONTENTSIZE_UNKNOWN
                   ? "a zstd frame does not say how large its content is"
                   : "a zstd frame says that its content has " + std::to_string(said) + " bytes and not " +
                         std::to_string(expected));
}

// RFC 8878, 3.1.1.1. REQUIRES: begins with a frame that has its content size, so the header is complete.
void require_window(std::span<const std::byte> frame) {
  constexpr std::size_t kDescriptor = 4;  // after the magic number
  const bool single_segment = (frame[kDescriptor] & std::byte{0x20}) != std::byte{0};
  if (single_segment) return;  // the window is the content
  const auto window = std::to_integer<unsigned>(frame[kDescriptor + 1]);
  const std::uint64_t base = std::uint64_t{1} << (10 + (window >> 3U));
  if (base + base / 8 * (window & 7U) > kWindowMax) refuse_window();
}

}  // namespace

void ZstdCompressor::Free::operator()(ZSTD_CCtx_s* context) const noexcept { ZSTD_freeCCtx(context); }
void ZstdDecompressor::Free::operator()(ZSTD_DCtx_s* context) const noexcept { ZSTD_freeDCtx(context); }

ZstdCompressor::ZstdCompressor(int level) : context_(ZSTD_createCCtx()) {
  if (!context_) throw std::bad_alloc();
  require_compressed(ZSTD_CCtx_setParameter(context_.get(), ZSTD_c_compressionLevel, level));
  require_compressed(ZSTD_CCtx_setParameter(context_.get(), ZSTD_c_checksumFlag, 1));
  require_compressed(ZSTD_CCtx_setParameter(context_.get(), ZSTD_c_contentSizeFlag, 1));
  // The highest levels would take more. 0 keeps what the level says.
  const ZSTD_bounds levels = ZSTD_cParam_getBounds(ZSTD_c_compressionLevel);
  if (level > levels.upperBound - 3) {
    require_compressed(ZSTD_CCtx_setParameter(context_.get(), ZSTD_c_windowLog, kZstdWindowLogMax));
  }
}

void ZstdCompressor::compress(std::span<const std::byte> content, std::vector<std::byte>& out) {
  const std::size_t before = out.size();
  out.resize(before + ZSTD_compressBound(content.size()));
  const std::size_t written = require_compressed(ZSTD_compress2(
      context_.get(), out.data() + before, out.size() - before, content.data(), content.size()));
  out.resize(before + written);
}

void ZstdCompressor::begin(std::uint64_t content_bytes) {
  require_compressed(ZSTD_CCtx_reset(context_.get(), ZSTD_reset_session_only));
  require_compressed(ZSTD_CCtx_setPledgedSrcSize(context_.get(), content_bytes));
}

void ZstdCompressor::stream(std::span<const std::byte> piece, int directive, std::vector<std::byte>& out) {
  ZSTD_inBuffer input = {piece.data(), piece.size(), 0};
  std::size_t left = 0;
  do {
    const std::size_t before = out.size();
    out.resize(before + kOutputStep);
    ZSTD_outBuffer output = {out.data() + before, kOutputStep, 0};
    left = require_compressed(
        ZSTD_compressStream2(context_.get(), &output, &input, static_cast<ZSTD_EndDirective>(directive)));
    out.resize(before + output.pos);
  } while (directive == ZSTD_e_end ? left != 0 : input.pos < input.size);
}

void ZstdCompressor::add(std::span<const std::byte> piece, std::vector<std::byte>& out) {
  stream(piece, ZSTD_e_continue, out);
}

void ZstdCompressor::finish(std::vector<std::byte>& out) { stream({}, ZSTD_e_end, out); }

std::optional<std::uint64_t> content_bytes_of(std::span<const std::byte> frame) {
  const unsigned long long said = ZSTD_getFrameContentSize(frame.data(), frame.size());
  if (said == ZSTD_CONTENTSIZE_ERROR || said == ZSTD_CONTENTSIZE_UNKNOWN) return std::nullopt;
  return said;
}

ZstdDecompressor::ZstdDecompressor() : context_(ZSTD_createDCtx()) {
  if (!context_) throw std::bad_alloc();
  require_compressed(ZSTD_DCtx_setParameter(context_.get(), ZSTD_d_windowLogMax, kZstdWindowLogMax));
}

void ZstdDecompressor::decompress(std::span<const std::byte> frame, std::uint64_t content_bytes,
                                  std::vector<std::byte>& content) {
  content.clear();
  require_content_size(ZSTD_getFrameContentSize(frame.data(), frame.size()), content_bytes);
  content.resize(content_bytes);
  try {
    decompress(frame, content);
  } catch (const Error&) {
    content.clear();
    throw;
  }
}

void ZstdDecompressor::decompress(std::span<const std::byte> frame, std::span<std::byte> content) {
  require_content_size(ZSTD_getFrameContentSize(frame.data(), frame.size()), content.size());
  require_window(frame);
  if (require_decompressed(ZSTD_findFrameCompressedSize(frame.data(), frame.size())) != frame.size()) {
    refuse_frame("something follows a zstd frame where nothing should");
  }
  // In one piece, so that no window is needed beside the content itself.
  const std::size_t written = require_decompressed(
      ZSTD_decompressDCtx(context_.get(), content.data(), content.size(), frame.data(), frame.size()));
  if (written != content.size()) refuse_frame("a zstd frame holds less than it says");
}

void ZstdDecompressor::begin(std::uint64_t content_bytes) {
  require_compressed(ZSTD_DCtx_reset(context_.get(), ZSTD_reset_session_only));
  content_bytes_ = content_bytes;
  produced_ = 0;
  ended_ = false;
}

void ZstdDecompressor::add(std::span<const std::byte> piece, std::vector<std::byte>& out) {
  ZSTD_inBuffer input = {piece.data(), piece.size(), 0};
  bool full = true;
  while (input.pos < input.size || full) {
    if (ended_) {
      if (input.pos < input.size) refuse_frame("something follows a zstd frame where nothing should");
      return;
    }
    // One more than is left, so that a frame that yields too much shows itself.
    const std::uint64_t room = std::min<std::uint64_t>(kOutputStep, content_bytes_ - produced_ + 1);
    const std::size_t before = out.size();
    out.resize(before + room);
    ZSTD_outBuffer output = {out.data() + before, room, 0};
    const std::size_t hint = require_decompressed(ZSTD_decompressStream(context_.get(), &output, &input));
    out.resize(before + output.pos);
    produced_ += output.pos;
    full = output.pos == room;
    if (produced_ > content_bytes_) refuse_frame("a zstd frame holds more than it says");
    if (hint == 0) ended_ = true;
  }
}

void ZstdDecompressor::finish() {
  if (!ended_) refuse_frame("a zstd frame ends too early");
  if (produced_ != content_bytes_) refuse_frame("a zstd frame holds less than it says");
}

}  // namespace sluice
