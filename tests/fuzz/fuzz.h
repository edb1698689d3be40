#pragma once
// What every fuzz target begins with. A target reads bytes that nobody vouches for and checks what must hold
// of the answer; a broken expectation ends the process, which libFuzzer records with its input.

#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <string_view>

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size);

namespace sluice::fuzz {

inline std::string_view text_of(const std::uint8_t* data, std::size_t size) {
  return {reinterpret_cast<const char*>(data), size};
}

// The first byte chooses between `count` ways to read the rest.
struct Choice {
  unsigned way = 0;
  std::string_view rest;
};
inline Choice choose(const std::uint8_t* data, std::size_t size, unsigned count) {
  if (size == 0) return {};
  return {data[0] % count, text_of(data + 1, size - 1)};
}

inline void expect(bool holds, const char* what) {
  if (holds) return;
  std::fprintf(stderr, "fuzz: does not hold: %s\n", what);
  std::abort();
}

// SQL that was made of a stranger's: outside of literals and quoted names, no semicolon, and parentheses in
// pairs.
inline void expect_one_piece(std::string_view sql) {
  int depth = 0;
  char quote = 0;
  for (const char c : sql) {
    if (quote != 0) {
      if (c == quote) quote = 0;
    } else if (c == '\'' || c == '"') {
      quote = c;
    } else if (c == '(') {
      ++depth;
    } else if (c == ')') {
      expect(--depth >= 0, "parentheses close what was opened");
    } else {
      expect(c != ';' && c != '\0', "one piece and nothing after it");
    }
  }
  expect(depth == 0 && quote == 0, "whatever is opened is closed");
}

}  // namespace sluice::fuzz
