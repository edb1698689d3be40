#pragma once
// Tuples of binary COPY that somebody else wrote: where one ends, and what is in it, also when it comes in
// pieces that are cut anywhere. Pure. Whatever is no tuple ends in Error (source_unreadable).

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>

#include "io/wire/type_table.h"

namespace sluice {

// What stands where the next tuple would: there is none.
[[nodiscard]] bool begins_with_trailer(std::span<const std::byte> bytes);

// The size of the tuple that begins there, which must have so many fields; nothing when it does not end
// within these bytes.
[[nodiscard]] std::optional<std::size_t> size_of_tuple(std::span<const std::byte> bytes, std::size_t fields);

// One tuple that comes in pieces.
class TupleWalker {
 public:
  explicit TupleWalker(std::size_t fields) : fields_(fields) {}

  // Takes the bytes that belong to the tuple and returns how many; less than all only when it ends there.
  // on_field(index, length), with -1 for NULL, then on_value(index, bytes) for the pieces of its value, none
  // of them empty.
  template <class OnField, class OnValue>
  std::size_t take(std::span<const std::byte> bytes, const OnField& on_field, const OnValue& on_value) {
    std::size_t taken = 0;
    while (!done_ && taken < bytes.size()) {
      if (value_left_ > 0) {
        const std::span<const std::byte> piece =
            bytes.subspan(taken, std::min<std::size_t>(value_left_, bytes.size() - taken));
        on_value(field_ - 1, piece);
        taken += piece.size();
        value_left_ -= piece.size();
      } else {
        head_[head_size_++] = bytes[taken++];
        if (take_head()) on_field(field_ - 1, length_);
      }
      done_ = counted_ && field_ == fields_ && value_left_ == 0 && head_size_ == 0;
    }
    return taken;
  }
  std::size_t take(std::span<const std::byte> bytes) {
    return take(
        bytes, [](std::size_t, std::int32_t) {}, [](std::size_t, std::span<const std::byte>) {});
  }

  [[nodiscard]] bool done() const { return done_; }

 private:
  // True when the length of a field is complete.
  bool take_head();

  const std::size_t fields_;
  std::array<std::byte, 4> head_{};  // a number under way: the count of fields, or a length
  std::size_t head_size_ = 0;
  bool counted_ = false;
  std::size_t field_ = 0;  // fields whose length is known
  std::int32_t length_ = 0;
  std::size_t value_left_ = 0;
  bool done_ = false;
};

}  // namespace sluice
