#include "io/wire/buffer.h"

#include <algorithm>
#include <new>

namespace sluice {

void Buffer::grow(std::size_t count) {
  constexpr std::size_t kSmallest = 256;
  const std::size_t needed = size_ + count;
  if (needed < count) throw std::bad_alloc();
  const std::size_t capacity = std::max({kSmallest, needed, capacity_ * 2});
  void* const grown = std::realloc(bytes_.get(), capacity);
  if (grown == nullptr) throw std::bad_alloc();
  static_cast<void>(bytes_.release());  // realloc freed it or is handing it back
  bytes_.reset(static_cast<std::byte*>(grown));
  capacity_ = capacity;
}

}  // namespace sluice
