// Base64 in blocks against Base64 byte by byte; what is right encodes to the same characters again.

#include "io/wire/base64.h"

#include <vector>

#include "fuzz/fuzz.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace sluice;
  const auto [way, rest] = fuzz::choose(data, size, 8);
  const Base64Options options{(way & 1) != 0, (way & 2) != 0, (way & 4) != 0};
  std::vector<std::byte> bytes(base64_bytes_max(rest.size()));
  const Base64Decoded decoded = decode_base64(rest, bytes, options);
  std::vector<std::byte> slowly(bytes.size());
  fuzz::expect(decode_base64_scalar(rest, slowly, options) == decoded, "one answer both ways");
  bytes.resize(decoded.bytes);
  slowly.resize(decoded.bytes);
  fuzz::expect(bytes == slowly, "the same bytes");
  if (decoded.wrong_at) {
    fuzz::expect(*decoded.wrong_at <= rest.size(), "the wrong byte is in the text, or missing at its end");
    return 0;
  }
  std::string written;
  for (const char c : rest) {
    if (c != '\r' && c != '\n' && c != '=') written += c;
  }
  const Base64Options bare{options.url_alphabet, false, true};
  fuzz::expect(encode_base64(bytes, bare) == written, "no two texts for the same bytes");
  return 0;
}
