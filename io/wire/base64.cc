#include "io/wire/base64.h"

#include <algorithm>
#include <array>
#include <cassert>
#include <cstdint>

#if defined(__x86_64__)
#include <immintrin.h>
#endif

#include "engine/model/quote.h"

namespace sluice {
namespace {

constexpr std::string_view kUsual = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
constexpr std::string_view kUrl = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";

constexpr std::uint8_t kNoDigit = 0xFF;
using Digits = std::array<std::uint8_t, 256>;

constexpr Digits digits_of(std::string_view alphabet) {
  Digits digits{};
  for (auto& digit : digits) digit = kNoDigit;
  for (std::size_t i = 0; i < alphabet.size(); ++i) {
    digits[static_cast<unsigned char>(alphabet[i])] = static_cast<std::uint8_t>(i);
  }
  return digits;
}

constexpr Digits kUsualDigits = digits_of(kUsual);
constexpr Digits kUrlDigits = digits_of(kUrl);

// A text on its way: what is before `at` has been decoded to what is before `store`.
struct Progress {
  std::string_view text;
  std::span<std::byte> bytes;
  std::size_t at = 0;
  std::size_t store = 0;

  [[nodiscard]] std::size_t left() const { return text.size() - at; }
  [[nodiscard]] unsigned char byte() const { return static_cast<unsigned char>(text[at]); }
  void put(std::uint32_t group, std::size_t count) {
    for (std::size_t i = 0; i < count; ++i) bytes[store++] = static_cast<std::byte>(group >> (16 - 8 * i));
  }
};

// Groups of four digits, up to the first that is something else.
void take_groups(Progress& progress, const Digits& digits) {
  while (progress.left() >= 4) {
    const char* const text = progress.text.data() + progress.at;
    const auto digit = [&](std::size_t i) -> std::uint32_t {
      return digits[static_cast<unsigned char>(text[i])];
    };
    const std::uint32_t first = digit(0);
    const std::uint32_t second = digit(1);
    const std::uint32_t third = digit(2);
    const std::uint32_t fourth = digit(3);
    if ((first | second | third | fourth) == kNoDigit) return;
    progress.put(first << 18 | second << 12 | third << 6 | fourth, 3);
    progress.at += 4;
  }
}

enum class Step : std::uint8_t { more, end, wrong };

// One group with whatever may lie between its digits, or the last one with its padding.
Step take_group(Progress& progress, const Digits& digits, const Base64Options& options) {
  const auto skip_breaks = [&] {
    while (options.line_breaks && progress.left() > 0 && (progress.byte() == '\r' || progress.byte() == '\n'))
      ++progress.at;
    return progress.left() > 0;
  };
  std::uint32_t group = 0;
  std::size_t count = 0;
  while (skip_breaks() && digits[progress.byte()] != kNoDigit) {
    group = group << 6 | digits[progress.byte()];
    ++progress.at;
    if (++count == 4) {
      progress.put(group, 3);
      return Step::more;
    }
  }
  if (count == 0) return progress.left() == 0 ? Step::end : Step::wrong;
  if (count == 1) return Step::wrong;
  group <<= 6 * (4 - count);
  const std::size_t whole = count - 1;  // bytes
  if ((group & (0xFFFFFFu >> 8 * whole)) != 0) return Step::wrong;
  if (progress.left() > 0 || !options.missing_padding) {
    for (std::size_t padding = 4 - count; padding > 0; --padding) {
      if (!skip_breaks() || progress.byte() != '=') return Step::wrong;
      ++progress.at;
    }
    if (skip_breaks()) return Step::wrong;
  }
  progress.put(group, whole);
  return Step::end;
}

#if defined(__x86_64__)

// What a block of characters is looked up in, by the halves of each.
struct BlockTables {
  // The two have a bit in common exactly when the byte is no digit: a bit for each upper half that digits
  // have, and one for all the others.
  std::array<std::uint8_t, 16> of_upper{};
  std::array<std::uint8_t, 16> of_lower{};
  // What to add to a digit to get its value, by its upper half. That goes for all but the last of the
  // alphabet, which finds its own eight places further on.
  std::array<std::uint8_t, 16> offset{};
  char last = 0;
};

constexpr BlockTables tables_of(std::string_view alphabet) {
  const Digits digits = digits_of(alphabet);
  BlockTables tables;
  tables.last = alphabet.back();
  for (unsigned upper = 0; upper < 16; ++upper) {
    const bool ascii = upper >= 2 && upper < 8;
    tables.of_upper[upper] = static_cast<std::uint8_t>(ascii ? 1u << upper : 1u);
    for (unsigned lower = 0; lower < 16; ++lower) {
      const unsigned byte = upper << 4 | lower;
      if (digits[byte] == kNoDigit) {
        tables.of_lower[lower] = static_cast<std::uint8_t>(tables.of_lower[lower] | tables.of_upper[upper]);
      } else {
        const unsigned place = byte == static_cast<unsigned char>(tables.last) ? upper + 8 : upper;
        tables.offset[place] = static_cast<std::uint8_t>(digits[byte] - byte);
      }
    }
  }
  return tables;
}

constexpr BlockTables kUsualTables = tables_of(kUsual);
constexpr BlockTables kUrlTables = tables_of(kUrl);

__attribute__((target("avx2"))) __m256i twice(const std::array<std::uint8_t, 16>& table) {
  return _mm256_broadcastsi128_si256(_mm_loadu_si128(reinterpret_cast<const __m128i*>(table.data())));
}

// Blocks of 32 digits, up to the first that is something else. Stores 32 bytes for each, of which 24 count.
__attribute__((target("avx2"))) void take_blocks(Progress& progress, const BlockTables& tables) {
  constexpr std::size_t kBlock = 32;
  const __m256i of_upper = twice(tables.of_upper);
  const __m256i of_lower = twice(tables.of_lower);
  const __m256i offset = twice(tables.offset);
  const __m256i last = _mm256_set1_epi8(tables.last);
  const __m256i half = _mm256_set1_epi8(0x0F);
  const __m256i eight = _mm256_set1_epi8(8);
  while (progress.left() >= kBlock && progress.bytes.size() - progress.store >= kBlock) {
    const __m256i block =
        _mm256_loadu_si256(reinterpret_cast<const __m256i*>(progress.text.data() + progress.at));
    const __m256i upper = _mm256_and_si256(_mm256_srli_epi32(block, 4), half);
    const __m256i lower = _mm256_and_si256(block, half);
    if (_mm256_testz_si256(_mm256_shuffle_epi8(of_upper, upper), _mm256_shuffle_epi8(of_lower, lower)) == 0)
      break;
    const __m256i place = _mm256_or_si256(upper, _mm256_and_si256(_mm256_cmpeq_epi8(block, last), eight));
    const __m256i values = _mm256_add_epi8(block, _mm256_shuffle_epi8(offset, place));
    // Six bits each to twelve, to twenty-four, whose bytes then are put in order and side by side.
    const __m256i pairs = _mm256_maddubs_epi16(values, _mm256_set1_epi32(0x01400140));
    const __m256i groups = _mm256_madd_epi16(pairs, _mm256_set1_epi32(0x00011000));
    const __m256i halves = _mm256_shuffle_epi8(
        groups, _mm256_setr_epi8(2, 1, 0, 6, 5, 4, 10, 9, 8, 14, 13, 12, -1, -1, -1, -1,  //
                                 2, 1, 0, 6, 5, 4, 10, 9, 8, 14, 13, 12, -1, -1, -1, -1));
    const __m256i packed = _mm256_permutevar8x32_epi32(halves, _mm256_setr_epi32(0, 1, 2, 4, 5, 6, 3, 7));
    _mm256_storeu_si256(reinterpret_cast<__m256i*>(progress.bytes.data() + progress.store), packed);
    progress.at += kBlock;
    progress.store += kBlock / 4 * 3;
  }
}

void take_blocks(Progress& progress, const Base64Options& options) {
  take_blocks(progress, options.url_alphabet ? kUrlTables : kUsualTables);
}

#else

void take_blocks(Progress&, const Base64Options&) {}

#endif

Base64Decoded decode(std::string_view text, std::span<std::byte> bytes, const Base64Options& options,
                     bool in_blocks) {
  assert(bytes.size() >= base64_bytes_max(text.size()));
  const Digits& digits = options.url_alphabet ? kUrlDigits : kUsualDigits;
  Progress progress{text, bytes};
  for (;;) {
    if (in_blocks) take_blocks(progress, options);
    take_groups(progress, digits);
    switch (take_group(progress, digits, options)) {
      case Step::more:
        continue;
      case Step::end:
        return {progress.store, std::nullopt};
      case Step::wrong:
        return {progress.store, progress.at};
    }
  }
}

}  // namespace

Base64Decoded decode_base64(std::string_view text, std::span<std::byte> bytes, const Base64Options& options) {
  return decode(text, bytes, options, base64_has_avx2());
}

Base64Decoded decode_base64_scalar(std::string_view text, std::span<std::byte> bytes,
                                   const Base64Options& options) {
  return decode(text, bytes, options, false);
}

bool base64_has_avx2() {
#if defined(__x86_64__)
  static const bool has = __builtin_cpu_supports("avx2") != 0;
  return has;
#else
  return false;
#endif
}

std::optional<std::string_view> take_data_uri(std::string_view& text) {
  constexpr std::string_view kScheme = "data:";
  constexpr std::string_view kMark = ";base64";
  if (!same_name(text.substr(0, kScheme.size()), kScheme)) return std::string_view();
  const std::size_t comma = text.find(',');
  if (comma == std::string_view::npos || comma < kScheme.size() + kMark.size()) return std::nullopt;
  const std::size_t mark = comma - kMark.size();
  if (!same_name(text.substr(mark, kMark.size()), kMark)) return std::nullopt;
  const std::string_view media_type = text.substr(kScheme.size(), mark - kScheme.size());
  text.remove_prefix(comma + 1);
  return media_type;
}

std::string encode_base64(std::span<const std::byte> bytes, const Base64Options& options) {
  const std::string_view alphabet = options.url_alphabet ? kUrl : kUsual;
  std::string text;
  text.reserve((bytes.size() + 2) / 3 * 4);
  for (std::size_t at = 0; at < bytes.size(); at += 3) {
    const std::size_t count = std::min<std::size_t>(bytes.size() - at, 3);
    std::uint32_t group = 0;
    for (std::size_t i = 0; i < 3; ++i) {
      group = group << 8 | (i < count ? std::to_integer<std::uint32_t>(bytes[at + i]) : 0u);
    }
    for (std::size_t i = 0; i <= count; ++i) text += alphabet[group >> (18 - 6 * i) & 63];
    if (!options.missing_padding) text.append(3 - count, '=');
  }
  return text;
}

}  // namespace sluice
