#include "io/wire/tuple_walker.h"

#include <cstring>
#include <string>

#include "engine/model/error.h"

namespace sluice {
namespace {

template <class Integer>
Integer load(const std::byte* bytes) {
  Integer value = 0;
  std::memcpy(&value, bytes, sizeof value);
  return static_cast<Integer>(to_big_endian(value));
}

[[noreturn]] void refuse(const std::string& what) { throw Error(Fault::source_unreadable, what); }

void require_fields(std::int16_t found, std::size_t expected) {
  if (found >= 0 && static_cast<std::size_t>(found) == expected) return;
  refuse("a row has " + std::to_string(found) + " fields and not " + std::to_string(expected));
}

void require_length(std::int32_t length) {
  if (length == -1 || (length >= 0 && static_cast<std::size_t>(length) <= kFieldBytesMax)) return;
  refuse("a field of a row has an impossible length, " + std::to_string(length));
}

}  // namespace

bool begins_with_trailer(std::span<const std::byte> bytes) {
  return bytes.size() >= 2 && load<std::int16_t>(bytes.data()) == -1;
}

std::optional<std::size_t> size_of_tuple(std::span<const std::byte> bytes, std::size_t fields) {
  if (bytes.size() < 2) return std::nullopt;
  require_fields(load<std::int16_t>(bytes.data()), fields);
  std::size_t at = 2;
  for (std::size_t field = 0; field < fields; ++field) {
    if (bytes.size() - at < 4) return std::nullopt;
    const auto length = load<std::int32_t>(bytes.data() + at);
    require_length(length);
    at += 4;
    if (length < 0) continue;
    if (bytes.size() - at < static_cast<std::size_t>(length)) return std::nullopt;
    at += static_cast<std::size_t>(length);
  }
  return at;
}

bool TupleWalker::take_head() {
  if (!counted_) {
    if (head_size_ < 2) return false;
    require_fields(load<std::int16_t>(head_.data()), fields_);
    counted_ = true;
    head_size_ = 0;
    return false;
  }
  if (head_size_ < 4) return false;
  length_ = load<std::int32_t>(head_.data());
  require_length(length_);
  head_size_ = 0;
  ++field_;
  value_left_ = length_ < 0 ? 0 : static_cast<std::size_t>(length_);
  return true;
}

}  // namespace sluice
