// UTF-8, against a decoder that takes one character at a time.

#include "fuzz/fuzz.h"
#include "io/wire/utf8.h"

namespace sluice {
namespace {

bool decodes(std::string_view text, bool& has_nul) {
  for (std::size_t i = 0; i < text.size();) {
    const auto byte = [&](std::size_t at) { return static_cast<unsigned char>(text[at]); };
    const unsigned lead = byte(i);
    if (lead == 0) has_nul = true;
    if (lead < 0x80) {
      ++i;
      continue;
    }
    const std::size_t length = lead >= 0xf0 ? 4 : lead >= 0xe0 ? 3 : 2;
    if (lead < 0xc0 || lead >= 0xf8 || i + length > text.size()) return false;
    std::uint32_t code = lead & (0x7fu >> length);
    for (std::size_t k = 1; k < length; ++k) {
      if ((byte(i + k) & 0xc0) != 0x80) return false;
      code = code << 6 | (byte(i + k) & 0x3fu);
    }
    const std::uint32_t least = length == 2 ? 0x80 : length == 3 ? 0x800 : 0x10000;
    if (code < least || code > 0x10ffff || (code >= 0xd800 && code <= 0xdfff)) return false;
    i += length;
  }
  return true;
}

}  // namespace
}  // namespace sluice

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace sluice;
  const std::string_view text = fuzz::text_of(data, size);
  bool has_nul = false;
  const bool valid = decodes(text, has_nul);
  fuzz::expect(valid_utf8(text) == valid, "valid by the slow decoder");
  fuzz::expect((check_text(text) == TextCheck::ok) == (valid && !has_nul), "fit for a text column");
  return 0;
}
