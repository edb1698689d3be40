#pragma once
// JSON as the server's json and jsonb types take it, checked and printed before it is sent.
//
// The grammar is RFC 8259 to the letter: no comments, no NaN, no trailing comma, no byte order mark, one
// value and nothing after it. Both functions read bytes: whether they are UTF-8 is for check_text().
// Neither recurses, so depth costs memory but no stack.

#include <cstddef>
#include <cstdint>
#include <deque>
#include <string>
#include <string_view>
#include <vector>

#include "io/wire/buffer.h"

namespace sluice {

struct JsonLimits {
  // Containers within containers. The server recurses, and stops with 54001 somewhere between 10000 and
  // 20000 levels at its default max_stack_depth.
  std::size_t depth_max = 5000;
};

enum class JsonCheck : std::uint8_t {
  ok,
  malformed,  // not JSON
  too_deep,   // nested beyond depth_max; perhaps JSON
};

// Whether json takes the text. It keeps every byte as it is, so \u0000, lone surrogates, numbers of any
// size and repeated keys are all fine.
[[nodiscard]] JsonCheck check_json(std::string_view text, const JsonLimits& limits = {});

enum class JsonbResult : std::uint8_t {
  ok,
  duplicate_keys,       // written, but only the last member of each name is left, as on the server
  malformed,            // 22P02
  too_deep,             // as above
  nul_escape,           // \u0000: 22P05
  lone_surrogate,       // \ud800 without its other half: 22P02
  number_out_of_range,  // more than 131072 digits before the point or 16383 after: 22003
  too_long,             // the printed form would exceed 1 GB, because of numbers like 1e100000
};

// True when the text was written: the server takes this document.
constexpr bool is_written(JsonbResult result) {
  return result == JsonbResult::ok || result == JsonbResult::duplicate_keys;
}

// Appends what the server prints for text::jsonb, byte by byte, or nothing:
//   members by length of name, then by its bytes; of repeated ones the last; ", " and ": " between;
//   strings with no escapes but \" \\ \b \f \n \r \t and \u00xx below U+0020;
//   numbers in plain notation, with the digits after the point that were written: 1.50, 1E2 as 100,
//   -0 as 0.
// Of several faults it reports one; the server may name another. Not checked: single strings, arrays and
// objects beyond 256 MB, which jsonb cannot hold either (54000).
[[nodiscard]] JsonbResult canonical_jsonb(std::string_view text, Buffer& out, const JsonLimits& limits = {});

struct JsonExamination {
  JsonCheck check = JsonCheck::malformed;      // what check_json() says
  JsonbResult jsonb = JsonbResult::malformed;  // what canonical_jsonb() says; ok: jsonb loses nothing
};

// Both answers in one pass that prints nothing. It keeps its memory from one text to the next: one object per
// thread, and no allocation for the usual document.
class JsonExaminer {
 public:
  [[nodiscard]] JsonExamination examine(std::string_view text, const JsonLimits& limits = {});

 private:
  class Events;
  struct Key {
    std::string_view name;    // decoded
    std::uint64_t signature;  // different for different names, mostly
  };

  std::vector<Key> keys_;             // of the objects still open, innermost last
  std::vector<std::size_t> objects_;  // where their keys begin
  std::deque<std::string> decoded_;   // the names that had escapes
};

}  // namespace sluice
