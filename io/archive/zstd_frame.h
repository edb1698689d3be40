#pragma once
// zstd frames (RFC 8878) with the size of their content and a checksum, and the limits within which ours
// stay: whoever opens a file of a stranger's must not be made to take more memory than that.

#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <vector>

struct ZSTD_CCtx_s;
struct ZSTD_DCtx_s;

namespace sluice {

// The window is 8 MiB at most, so that opening a frame takes no more, however large its content.
inline constexpr int kZstdWindowLogMax = 23;

// One thread at a time; may be used for any number of frames.
class ZstdCompressor {
 public:
  // 1 is fast, 3 usual, 19 slow; below 0 faster than 1.
  explicit ZstdCompressor(int level);

  // Appends one frame of all of it.
  void compress(std::span<const std::byte> content, std::vector<std::byte>& out);

  // The same piece by piece: begin(), add() ..., finish(), each of which appends what is ready. The pieces
  // must be `content_bytes` together; Error (internal) otherwise.
  void begin(std::uint64_t content_bytes);
  void add(std::span<const std::byte> piece, std::vector<std::byte>& out);
  void finish(std::vector<std::byte>& out);

 private:
  void stream(std::span<const std::byte> piece, int directive, std::vector<std::byte>& out);

  struct Free {
    void operator()(ZSTD_CCtx_s* context) const noexcept;
  };
  std::unique_ptr<ZSTD_CCtx_s, Free> context_;
};

// What a frame that begins so says its content has; nothing when it says nothing, or is none.
std::optional<std::uint64_t> content_bytes_of(std::span<const std::byte> frame);

// One thread at a time; may be used for any number of frames. Errors are Error (source_unreadable), and say
// what is wrong with the frame; the caller adds where it is.
class ZstdDecompressor {
 public:
  ZstdDecompressor();

  // Replaces `content`. The frame must say that its content has `content_bytes`, must be all of `frame`, and
  // no more memory than that is taken.
  void decompress(std::span<const std::byte> frame, std::uint64_t content_bytes,
                  std::vector<std::byte>& content);
  // The same into memory that has exactly the size of the content. When it throws, rubbish may be there.
  void decompress(std::span<const std::byte> frame, std::span<std::byte> content);

  // The same piece by piece, for a frame of any size within the window: begin(), then add() for all of its
  // bytes, each of which appends what it yields, then finish(). Not more than `content_bytes` come out.
  void begin(std::uint64_t content_bytes);
  void add(std::span<const std::byte> piece, std::vector<std::byte>& out);
  void finish();

 private:
  struct Free {
    void operator()(ZSTD_DCtx_s* context) const noexcept;
  };
  std::unique_ptr<ZSTD_DCtx_s, Free> context_;
  std::uint64_t content_bytes_ = 0;
  std::uint64_t produced_ = 0;
  bool ended_ = false;
};

}  // namespace sluice
