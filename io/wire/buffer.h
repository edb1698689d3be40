#pragma once
// The bytes on their way to the server: a growable byte buffer for the encoder.
//
// Unlike std::vector it never zero-fills what it grows by, and unlike std::string it writes big-endian
// integers. Capacity only grows: clear() keeps it, so a lane allocates during its first batches and then
// no more. One thread at a time. Growing throws std::bad_alloc and leaves the content as it was.

#include <bit>
#include <concepts>
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <memory>
#include <span>
#include <string_view>
#include <type_traits>
#include <utility>

namespace sluice {

static_assert(std::endian::native == std::endian::little, "to_big_endian() swaps unconditionally");

// The value whose bytes in memory are `value` in network order.
template <std::integral Integer>
constexpr auto to_big_endian(Integer value) {
  const auto bits = static_cast<std::make_unsigned_t<Integer>>(value);
  if constexpr (sizeof(Integer) == 1) return bits;
  if constexpr (sizeof(Integer) == 2) return __builtin_bswap16(bits);
  if constexpr (sizeof(Integer) == 4) return __builtin_bswap32(bits);
  if constexpr (sizeof(Integer) == 8) return __builtin_bswap64(bits);
}

class Buffer {
 public:
  Buffer() = default;
  explicit Buffer(std::size_t capacity) { ensure(capacity); }
  Buffer(Buffer&& other) noexcept
      : bytes_(std::move(other.bytes_)),
        size_(std::exchange(other.size_, 0)),
        capacity_(std::exchange(other.capacity_, 0)) {}
  Buffer& operator=(Buffer&& other) noexcept {
    bytes_ = std::move(other.bytes_);
    size_ = std::exchange(other.size_, 0);
    capacity_ = std::exchange(other.capacity_, 0);
    return *this;
  }

  [[nodiscard]] std::size_t size() const { return size_; }
  [[nodiscard]] std::size_t capacity() const { return capacity_; }
  [[nodiscard]] bool empty() const { return size_ == 0; }
  [[nodiscard]] const std::byte* data() const { return bytes_.get(); }
  [[nodiscard]] std::span<const std::byte> span() const { return {bytes_.get(), size_}; }
  // The same bytes as text, for the pieces that are text.
  [[nodiscard]] std::string_view view() const { return {reinterpret_cast<const char*>(bytes_.get()), size_}; }

  // Room for `count` bytes beyond size(). Write there, then commit() what was written. The pointer is
  // good until the next call that may grow.
  std::byte* ensure(std::size_t count) {
    if (capacity_ - size_ < count) [[unlikely]]
      grow(count);
    return bytes_.get() + size_;
  }
  // REQUIRES: count is at most what ensure() promised.
  void commit(std::size_t count) { size_ += count; }

  void append(const void* bytes, std::size_t count) {
    if (count == 0) return;  // `bytes` may be null then, which memcpy does not take
    std::memcpy(ensure(count), bytes, count);
    size_ += count;
  }
  void append(std::string_view text) { append(text.data(), text.size()); }
  void append(std::span<const std::byte> bytes) { append(bytes.data(), bytes.size()); }

  void put_byte(std::byte value) {
    *ensure(1) = value;
    ++size_;
  }
  // Big-endian, as everything in the protocol.
  void put_int16(std::int16_t value) { put(value); }
  void put_int32(std::int32_t value) { put(value); }
  void put_int64(std::int64_t value) { put(value); }

  // Overwrites four bytes written before, for lengths known only afterwards. REQUIRES: offset + 4 <= size().
  void patch_int32(std::size_t offset, std::int32_t value) {
    const auto big = to_big_endian(value);
    std::memcpy(bytes_.get() + offset, &big, sizeof big);
  }

  // The same for any bytes. REQUIRES: offset + bytes.size() <= size().
  void patch(std::size_t offset, std::span<const std::byte> bytes) {
    std::memcpy(bytes_.get() + offset, bytes.data(), bytes.size());
  }

  // Forgets everything from `size` on: how a rejected row is taken back. REQUIRES: size <= size().
  void truncate(std::size_t size) { size_ = size; }
  void clear() { size_ = 0; }

 private:
  struct Free {
    void operator()(std::byte* bytes) const noexcept { std::free(bytes); }
  };

  template <std::integral Integer>
  void put(Integer value) {
    const auto big = to_big_endian(value);
    std::memcpy(ensure(sizeof big), &big, sizeof big);
    size_ += sizeof big;
  }

  void grow(std::size_t count);

  // From malloc, so that growing can be realloc: a large buffer moves by remapping pages, not by copying.
  std::unique_ptr<std::byte[], Free> bytes_;
  std::size_t size_ = 0;
  std::size_t capacity_ = 0;
};

}  // namespace sluice
