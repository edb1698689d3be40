// Numbers as binary numeric, from every integer, every double and from text.

#include <bit>
#include <charconv>
#include <cmath>
#include <cstring>
#include <string>

#include "fuzz/fuzz.h"
#include "io/wire/numeric.h"

namespace sluice {
namespace {

void check_integer(std::int64_t value) {
  Buffer out(64);
  append_numeric(out, value);
  fuzz::expect(numeric_to_text(out.span()) == std::to_string(value), "an integer keeps its digits");
}

void check_double(double value) {
  if (std::isnan(value)) return;
  Buffer out(64);
  append_numeric(out, value);
  const std::string text = numeric_to_text(out.span());
  if (std::isinf(value)) {
    fuzz::expect(text == (value > 0 ? "Infinity" : "-Infinity"), "infinities have names");
    return;
  }
  double again = 0;
  const auto result = std::from_chars(text.data(), text.data() + text.size(), again);
  fuzz::expect(result.ec == std::errc{} && result.ptr == text.data() + text.size(),
               "numeric prints a number");
  fuzz::expect(again == value, "a double comes back from its numeric");
}

void check_text(std::string_view text) {
  Buffer out(64);
  const bool taken = append_decimal(out, text);
  if (!taken) {
    fuzz::expect(out.size() == 0, "a refusal writes nothing");
    return;
  }
  fuzz::expect(numeric_to_text(out.span()) == text, "a decimal comes back letter by letter");
}

}  // namespace
}  // namespace sluice

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace sluice;
  if (size >= 8) {
    std::uint64_t bits = 0;
    std::memcpy(&bits, data, sizeof bits);
    check_integer(static_cast<std::int64_t>(bits));
    check_double(std::bit_cast<double>(bits));
  }
  check_text(fuzz::text_of(data, size));
  // Any bytes at all as a numeric: printed or refused, never read beyond their end.
  static_cast<void>(numeric_to_text(std::as_bytes(std::span(data, size))));
  return 0;
}
