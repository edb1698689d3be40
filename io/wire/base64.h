#pragma once
// Base64 (RFC 4648) to bytes, and back.
//
// Where the processor has AVX2, 32 characters are checked and packed at a time, as in Wojciech Muła and
// Daniel Lemire, "Faster Base64 Encoding and Decoding using AVX2 Instructions", ACM Transactions on the Web
// 12 (3), 2018, https://arxiv.org/abs/1704.00605. Both ways give the same answer to every text.
//
// All functions are pure; any thread may call them.

#include <cstddef>
#include <optional>
#include <span>
#include <string>
#include <string_view>

namespace sluice {

// Without any of these: the RFC's own alphabet, padded, and nothing else.
struct Base64Options {
  bool url_alphabet = false;     // - and _ in the place of + and /, which then are wrong
  bool line_breaks = false;      // CR and LF mean nothing, wherever they stand
  bool missing_padding = false;  // a text may end without any of its padding
};

struct Base64Decoded {
  std::size_t bytes = 0;  // written; of a wrong text those of its whole groups before the wrong byte
  // Offset of the first byte that no valid text could have after what is before it; the size of the text when
  // it ends too early. Bits that stand for nothing must be zero, so "Zh==" is wrong from its first '=' on.
  std::optional<std::size_t> wrong_at;

  friend bool operator==(const Base64Decoded&, const Base64Decoded&) = default;
};

// How much room decoding asks for.
[[nodiscard]] constexpr std::size_t base64_bytes_max(std::size_t characters) {
  return characters / 4 * 3 + 3;
}

// REQUIRES: room for base64_bytes_max(text.size()). All of it may be written to.
[[nodiscard]] Base64Decoded decode_base64(std::string_view text, std::span<std::byte> bytes,
                                          const Base64Options& options = {});

// The same on every processor, for tests and measurements to compare with.
[[nodiscard]] Base64Decoded decode_base64_scalar(std::string_view text, std::span<std::byte> bytes,
                                                 const Base64Options& options = {});

// Whether decode_base64() is more than decode_base64_scalar() on this processor.
[[nodiscard]] bool base64_has_avx2();

// Takes "data:image/png;base64," (RFC 2397) off the front of the text, in any case of letters, and returns what
// stands between the colon and ";base64": a media type, or empty; empty as well for a text without it. Nothing
// for a data: URI of something else than Base64.
[[nodiscard]] std::optional<std::string_view> take_data_uri(std::string_view& text);

// In one line; `missing_padding` leaves the padding out.
[[nodiscard]] std::string encode_base64(std::span<const std::byte> bytes, const Base64Options& options = {});

}  // namespace sluice
