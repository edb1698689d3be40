#include "io/wire/utf8.h"

#include <array>
#include <cstddef>
#include <cstring>

#if defined(__SSE2__)
#include <emmintrin.h>
#endif

namespace sluice {
namespace {

// Plain: every byte in 0x01..0x7F, that is ASCII without NUL. Nearly all text is, so this is the test
// that must be fast, on a paragraph and on a five-letter word alike.

template <typename Word>
Word load(const char* bytes) {
  Word word;
  std::memcpy(&word, bytes, sizeof word);
  return word;
}

// Subtracting one from every byte borrows into the top bit of the first NUL, if there is one.
template <typename Word>
bool plain(Word word) {
  constexpr auto kOnes = static_cast<Word>(0x0101010101010101u);
  constexpr auto kTops = static_cast<Word>(0x8080808080808080u);
  return ((word | (word - kOnes)) & kTops) == 0;
}

#if defined(__SSE2__)
// As signed bytes, plain ones are exactly the positive ones.
using Block = __m128i;
Block load_block(const char* bytes) { return _mm_loadu_si128(reinterpret_cast<const __m128i*>(bytes)); }
bool plain(Block block) { return _mm_movemask_epi8(_mm_cmpgt_epi8(block, _mm_setzero_si128())) == 0xFFFF; }
#else
struct Block {
  std::uint64_t low;
  std::uint64_t high;
};
Block load_block(const char* bytes) {
  return {load<std::uint64_t>(bytes), load<std::uint64_t>(bytes + sizeof(std::uint64_t))};
}
bool plain(Block block) { return plain(block.low) && plain(block.high); }
#endif

// The last load of each case overlaps the one before instead of looping over what is left.
bool plain_text(const char* text, std::size_t size) {
  if (size >= sizeof(Block)) {
    for (std::size_t at = 0; at + sizeof(Block) <= size; at += sizeof(Block)) {
      if (!plain(load_block(text + at))) return false;
    }
    return plain(load_block(text + size - sizeof(Block)));
  }
  if (size >= 8) return plain(load<std::uint64_t>(text)) && plain(load<std::uint64_t>(text + size - 8));
  if (size >= 4) return plain(load<std::uint32_t>(text)) && plain(load<std::uint32_t>(text + size - 4));
  for (std::size_t i = 0; i < size; ++i) {
    if (static_cast<signed char>(text[i]) <= 0) return false;
  }
  return true;
}

// A finite automaton over bytes, in the shift-based form of Per Vognsen
// (https://gist.github.com/pervognsen/218ea17743e1442e59bb60d29b1aa725): a state is the position of a
// six-bit field, and the row of a byte holds the next state in the field of each state. A step is one
// shift, without a branch to mispredict where scripts mix. Ten states fit in 64 bits.
enum State : unsigned {
  kStart = 0,     // between characters
  kTail1 = 6,     // one continuation byte to come
  kTail2 = 12,    // two
  kTail3 = 18,    // three
  kAfterE0 = 24,  // A0..BF next: less is overlong
  kAfterED = 30,  // 80..9F next: more is a surrogate
  kAfterF0 = 36,  // 90..BF next: less is overlong
  kAfterF4 = 42,  // 80..8F next: more is above U+10FFFF
  kBad = 48,      // for good
  kSawNul = 54,   // for good
};
constexpr std::uint64_t kStateMask = 63;

constexpr unsigned next_state(unsigned state, unsigned byte) {
  const bool tail = byte >= 0x80 && byte <= 0xBF;
  switch (state) {
    case kStart:
      if (byte == 0) return kSawNul;
      if (byte < 0x80) return kStart;
      if (byte >= 0xC2 && byte <= 0xDF) return kTail1;
      if (byte == 0xE0) return kAfterE0;
      if (byte == 0xED) return kAfterED;
      if (byte >= 0xE1 && byte <= 0xEF) return kTail2;
      if (byte == 0xF0) return kAfterF0;
      if (byte >= 0xF1 && byte <= 0xF3) return kTail3;
      if (byte == 0xF4) return kAfterF4;
      return kBad;
    case kTail1:
      return tail ? kStart : kBad;
    case kTail2:
      return tail ? kTail1 : kBad;
    case kTail3:
      return tail ? kTail2 : kBad;
    case kAfterE0:
      return tail && byte >= 0xA0 ? kTail1 : kBad;
    case kAfterED:
      return tail && byte <= 0x9F ? kTail1 : kBad;
    case kAfterF0:
      return tail && byte >= 0x90 ? kTail2 : kBad;
    case kAfterF4:
      return tail && byte <= 0x8F ? kTail2 : kBad;
    default:
      return state;
  }
}

constexpr std::array<std::uint64_t, 256> make_rows() {
  std::array<std::uint64_t, 256> rows{};
  for (unsigned byte = 0; byte < 256; ++byte) {
    for (unsigned state = kStart; state <= kSawNul; state += 6) {
      rows[byte] |= static_cast<std::uint64_t>(next_state(state, byte)) << state;
    }
  }
  return rows;
}
constexpr std::array<std::uint64_t, 256> kRows = make_rows();

std::uint64_t run(std::uint64_t state, const char* text, std::size_t size) {
  for (std::size_t i = 0; i < size; ++i) {
    state = kRows[static_cast<unsigned char>(text[i])] >> (state & kStateMask);
  }
  return state & kStateMask;
}

TextCheck check_byte_by_byte(std::string_view text) {
  std::uint64_t state = kStart;
  std::size_t at = 0;
  for (; at + sizeof(Block) <= text.size(); at += sizeof(Block)) {
    if (state == kStart && plain(load_block(text.data() + at))) continue;
    state = run(state, text.data() + at, sizeof(Block));
    if (state >= kBad) break;
  }
  if (state < kBad) state = run(state, text.data() + at, text.size() - at);
  if (state == kStart) return TextCheck::ok;
  return state == kSawNul ? TextCheck::nul : TextCheck::bad_utf8;
}

}  // namespace

bool is_plain(std::string_view text) { return plain_text(text.data(), text.size()); }

TextCheck check_text(std::string_view text) {
  if (plain_text(text.data(), text.size())) return TextCheck::ok;
  return check_byte_by_byte(text);
}

bool valid_utf8(std::string_view text) {
  for (;;) {
    switch (check_text(text)) {
      case TextCheck::ok:
        return true;
      case TextCheck::bad_utf8:
        return false;
      case TextCheck::nul:  // the first fault, so all before it is fine
        text.remove_prefix(text.find('\0') + 1);
    }
  }
}

}  // namespace sluice
