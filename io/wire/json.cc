#include "io/wire/json.h"

#include <algorithm>
#include <array>
#include <bit>
#include <cassert>
#include <cstring>
#include <string>
#include <vector>

#if defined(__SSE2__)
#include <emmintrin.h>
#endif

namespace sluice {
namespace {

static_assert(std::endian::native == std::endian::little, "the first byte of a word is its lowest");

bool is_digit(char byte) { return static_cast<unsigned char>(byte - '0') < 10; }

// -1 for anything but a hex digit.
int hex_value(char byte) {
  if (is_digit(byte)) return byte - '0';
  const char folded = static_cast<char>(byte | 0x20);
  return folded >= 'a' && folded <= 'f' ? folded - 'a' + 10 : -1;
}

// The top bit of the first byte of `word` that ends a run of plain characters in a string (a quote, a
// backslash, a control character), and perhaps of some after it. Zero when there is none.
std::uint64_t string_stops(std::uint64_t word) {
  constexpr std::uint64_t kOnes = 0x0101010101010101u;
  constexpr std::uint64_t kTops = 0x8080808080808080u;
  const std::uint64_t quote = word ^ kOnes * '"';
  const std::uint64_t backslash = word ^ kOnes * '\\';
  return (((quote - kOnes) & ~quote) | ((backslash - kOnes) & ~backslash) | ((word - kOnes * 0x20) & ~word)) &
         kTops;
}

#if defined(__SSE2__)
// The same for sixteen bytes: one bit per byte, and only for those that end a run.
unsigned string_stops(__m128i block) {
  const __m128i control = _mm_cmpeq_epi8(_mm_min_epu8(block, _mm_set1_epi8(0x1F)), block);
  const __m128i quote = _mm_cmpeq_epi8(block, _mm_set1_epi8('"'));
  const __m128i backslash = _mm_cmpeq_epi8(block, _mm_set1_epi8('\\'));
  return static_cast<unsigned>(_mm_movemask_epi8(_mm_or_si128(control, _mm_or_si128(quote, backslash))));
}
#endif

// The containers around a place in a document, as their opening brackets. Without memory of its own up to a
// depth that few documents exceed.
class Containers {
 public:
  [[nodiscard]] bool empty() const { return size_ == 0; }
  [[nodiscard]] std::size_t size() const { return size_; }
  // REQUIRES: not empty.
  [[nodiscard]] char back() const { return size_ <= near_.size() ? near_[size_ - 1] : far_.back(); }
  void push(char bracket) {
    if (size_ < near_.size()) {
      near_[size_] = bracket;
    } else {
      far_.push_back(bracket);
    }
    ++size_;
  }
  void pop() {
    if (size_ > near_.size()) far_.pop_back();
    --size_;
  }

 private:
  std::array<char, 32> near_;
  std::string far_;
  std::size_t size_ = 0;
};

enum class WalkEnd : std::uint8_t { ok, malformed, too_deep, stopped };

// Reads one document and tells its parts, in order, to `Events`. Every event returns whether to go on.
// Strings arrive without their quotes and as written; their escapes are well-formed.
template <typename Events>
class Walk {
 public:
  Walk(std::string_view text, Events& events) : at_(text.data()), end_(at_ + text.size()), events_(events) {}

  WalkEnd run(std::size_t depth_max) {
    for (;;) {
      if (in_object() && !take_key()) return failure();
      skip_blanks();
      if (at_ == end_) return WalkEnd::malformed;
      const char first = *at_;
      if (first == '{' || first == '[') {
        if (open_.size() >= depth_max) return WalkEnd::too_deep;
        ++at_;
        open_.push(first);
        if (!go_on(first == '{' ? events_.begin_object() : events_.begin_array())) return failure();
        skip_blanks();
        if (at_ == end_) return WalkEnd::malformed;
        if (*at_ != closing()) continue;  // to its first key or value
      } else if (!take_scalar(first)) {
        return failure();
      }
      // A value has ended or, just after an opening bracket, has to. So may those around it.
      for (;;) {
        skip_blanks();
        if (open_.empty()) return at_ == end_ ? WalkEnd::ok : WalkEnd::malformed;
        if (at_ == end_) return WalkEnd::malformed;
        const char next = *at_++;
        if (next == ',') break;
        if (next != closing()) return WalkEnd::malformed;
        const bool object = in_object();
        open_.pop();
        if (!go_on(object ? events_.end_object() : events_.end_array())) return failure();
      }
    }
  }

 private:
  [[nodiscard]] bool in_object() const { return !open_.empty() && open_.back() == '{'; }
  [[nodiscard]] char closing() const { return open_.back() == '{' ? '}' : ']'; }
  [[nodiscard]] WalkEnd failure() const { return stopped_ ? WalkEnd::stopped : WalkEnd::malformed; }
  bool go_on(bool wanted) {
    stopped_ = !wanted;
    return wanted;
  }

  void skip_blanks() {
    if (at_ != end_ && static_cast<unsigned char>(*at_) > ' ') return;  // all blanks are below
    while (at_ != end_ && (*at_ == ' ' || *at_ == '\n' || *at_ == '\t' || *at_ == '\r')) ++at_;
  }

  bool take(char expected) {
    if (at_ == end_ || *at_ != expected) return false;
    ++at_;
    return true;
  }

  bool take_key() {
    skip_blanks();
    if (!take('"')) return false;
    const char* const first = at_;
    bool escaped = false;
    if (!take_string(escaped)) return false;
    if (!go_on(events_.key(since(first, 1), escaped))) return false;
    skip_blanks();
    return take(':');
  }

  bool take_scalar(char first) {
    const char* const begin = at_;
    switch (first) {
      case '"': {
        ++at_;
        bool escaped = false;
        return take_string(escaped) && go_on(events_.string(since(begin + 1, 1), escaped));
      }
      case 't':
        return take_word("true") && go_on(events_.literal(since(begin)));
      case 'f':
        return take_word("false") && go_on(events_.literal(since(begin)));
      case 'n':
        return take_word("null") && go_on(events_.literal(since(begin)));
      default: {
        bool exponent = false;
        return take_number(exponent) && go_on(events_.number(since(begin), exponent));
      }
    }
  }

  [[nodiscard]] std::string_view since(const char* first, std::size_t without = 0) const {
    return {first, static_cast<std::size_t>(at_ - first) - without};
  }

  bool take_word(std::string_view word) {
    if (!std::string_view(at_, static_cast<std::size_t>(end_ - at_)).starts_with(word)) return false;
    at_ += word.size();
    return true;
  }

  bool take_digits() {
    if (at_ == end_ || !is_digit(*at_)) return false;
    while (at_ != end_ && is_digit(*at_)) ++at_;
    return true;
  }

  bool take_number(bool& exponent) {
    take('-');
    if (!take('0') && !take_digits()) return false;
    if (take('.') && !take_digits()) return false;
    if (!take('e') && !take('E')) return true;
    exponent = true;
    if (!take('+')) take('-');
    return take_digits();
  }

  // Past the closing quote. Most strings end, or have their first escape, within sixteen bytes.
  bool take_string(bool& escaped) {
#if defined(__SSE2__)
    if (end_ - at_ >= 16) [[likely]] {
      const unsigned stops = stops_ahead();
      if (stops == 0) {
        at_ += 16;
      } else {
        at_ += std::countr_zero(stops);
        if (*at_ == '"') [[likely]] {
          ++at_;
          return true;
        }
      }
    }
#endif
    return take_rest_of_string(escaped);
  }

#if defined(__SSE2__)
  // REQUIRES: sixteen bytes to the end.
  [[nodiscard]] unsigned stops_ahead() const {
    return string_stops(_mm_loadu_si128(reinterpret_cast<const __m128i*>(at_)));
  }
#endif

  [[gnu::noinline]] bool take_rest_of_string(bool& escaped) {
    for (;;) {
#if defined(__SSE2__)
      while (end_ - at_ >= 16) {
        const unsigned stops = stops_ahead();
        if (stops != 0) {
          at_ += std::countr_zero(stops);
          break;
        }
        at_ += 16;
      }
#endif
      while (end_ - at_ >= 8) {
        std::uint64_t word;
        std::memcpy(&word, at_, sizeof word);
        const std::uint64_t stops = string_stops(word);
        if (stops != 0) {
          at_ += std::countr_zero(stops) / 8;
          break;
        }
        at_ += 8;
      }
      if (at_ == end_) return false;
      const char byte = *at_++;
      if (byte == '"') return true;
      if (static_cast<unsigned char>(byte) < 0x20) return false;
      if (byte != '\\') continue;
      escaped = true;
      if (!take_escape()) return false;
    }
  }

  bool take_escape() {
    if (at_ == end_) return false;
    switch (*at_++) {
      case '"':
      case '\\':
      case '/':
      case 'b':
      case 'f':
      case 'n':
      case 'r':
      case 't':
        return true;
      case 'u':
        if (end_ - at_ < 4) return false;
        for (int i = 0; i < 4; ++i) {
          if (hex_value(*at_++) < 0) return false;
        }
        return true;
      default:
        return false;
    }
  }

  const char* at_;
  const char* end_;
  Events& events_;
  Containers open_;  // around at_
  bool stopped_ = false;
};

struct NoEvents {
  static constexpr bool begin_object() { return true; }
  static constexpr bool end_object() { return true; }
  static constexpr bool begin_array() { return true; }
  static constexpr bool end_array() { return true; }
  static constexpr bool key(std::string_view, bool) { return true; }
  static constexpr bool string(std::string_view, bool) { return true; }
  static constexpr bool number(std::string_view, bool) { return true; }
  static constexpr bool literal(std::string_view) { return true; }
};

void append_utf8(std::string& text, unsigned code) {
  const auto put = [&text](unsigned byte) { text.push_back(static_cast<char>(byte)); };
  if (code < 0x80) {
    put(code);
  } else if (code < 0x800) {
    put(0xC0 | code >> 6);
    put(0x80 | (code & 0x3F));
  } else if (code < 0x10000) {
    put(0xE0 | code >> 12);
    put(0x80 | (code >> 6 & 0x3F));
    put(0x80 | (code & 0x3F));
  } else {
    put(0xF0 | code >> 18);
    put(0x80 | (code >> 12 & 0x3F));
    put(0x80 | (code >> 6 & 0x3F));
    put(0x80 | (code & 0x3F));
  }
}

// The value of four hex digits.
unsigned code_at(std::string_view text, std::size_t at) {
  unsigned code = 0;
  for (std::size_t i = at; i < at + 4; ++i) code = code << 4 | static_cast<unsigned>(hex_value(text[i]));
  return code;
}

// The character whose \uxxxx has its digits at `at`, with its other half if it has one; moves `at` past it.
JsonbResult take_unicode_escape(std::string_view text, std::size_t& at, unsigned& code) {
  code = code_at(text, at);
  at += 4;
  if (code == 0) return JsonbResult::nul_escape;
  if (code < 0xD800 || code > 0xDFFF) return JsonbResult::ok;
  if (code >= 0xDC00 || text.substr(at, 2) != "\\u") return JsonbResult::lone_surrogate;
  const unsigned low = code_at(text, at + 2);
  if (low < 0xDC00 || low > 0xDFFF) return JsonbResult::lone_surrogate;
  code = 0x10000 + ((code - 0xD800) << 10 | (low - 0xDC00));
  at += 6;
  return JsonbResult::ok;
}

// Whether append_unescaped() would succeed.
JsonbResult check_escapes(std::string_view text) {
  for (std::size_t at = text.find('\\'); at != std::string_view::npos; at = text.find('\\', at)) {
    const bool unicode = text[at + 1] == 'u';
    at += 2;
    unsigned code = 0;
    if (!unicode) continue;
    if (const JsonbResult result = take_unicode_escape(text, at, code); result != JsonbResult::ok)
      return result;
  }
  return JsonbResult::ok;
}

// Appends the characters that a string stands for, never more bytes than it has. REQUIRES: well-formed
// escapes.
JsonbResult append_unescaped(std::string& decoded, std::string_view text) {
  for (std::size_t at = 0; at < text.size();) {
    const std::size_t backslash = std::min(text.find('\\', at), text.size());
    decoded.append(text, at, backslash - at);
    if (backslash == text.size()) break;
    at = backslash + 2;
    switch (const char letter = text[backslash + 1]) {
      case 'b':
        decoded.push_back('\b');
        break;
      case 'f':
        decoded.push_back('\f');
        break;
      case 'n':
        decoded.push_back('\n');
        break;
      case 'r':
        decoded.push_back('\r');
        break;
      case 't':
        decoded.push_back('\t');
        break;
      case 'u': {
        unsigned code = 0;
        const JsonbResult result = take_unicode_escape(text, at, code);
        if (result != JsonbResult::ok) return result;
        append_utf8(decoded, code);
        break;
      }
      default:
        decoded.push_back(letter);
    }
  }
  return JsonbResult::ok;
}

// As the server's escape_json() does.
void append_escaped(Buffer& out, std::string_view text) {
  for (const char byte : text) {
    char letter = 0;
    switch (byte) {
      case '\b':
        letter = 'b';
        break;
      case '\f':
        letter = 'f';
        break;
      case '\n':
        letter = 'n';
        break;
      case '\r':
        letter = 'r';
        break;
      case '\t':
        letter = 't';
        break;
      case '"':
      case '\\':
        letter = byte;
        break;
      default:
        break;
    }
    if (letter != 0) {
      out.append("\\", 1);
      out.append(&letter, 1);
    } else if (static_cast<unsigned char>(byte) < 0x20) {
      constexpr std::string_view kHex = "0123456789abcdef";
      out.append(byte < 0x10 ? std::string_view("\\u000") : std::string_view("\\u001"));
      out.append(&kHex[static_cast<unsigned char>(byte) & 0xFu], 1);
    } else {
      out.append(&byte, 1);
    }
  }
}

// Without an exponent JSON text is what numeric prints, except for the sign of a zero: leading zeros are
// not JSON, trailing ones are kept. Those far below any limit need no closer look.
bool prints_as_written(std::string_view number, bool exponent) {
  return !exponent && number.size() <= 10'000 && !number.starts_with("-0");
}

// A number as the server's numeric takes it: the digits written, with the point before digit number
// point_, which may lie outside them.
class Number {
 public:
  explicit Number(std::string_view text) : negative_(text.starts_with('-')), digits_(text.substr(negative_)) {
    const std::size_t mark = digits_.find_first_of("eE");
    if (mark != std::string_view::npos) {
      exponent_ = exponent_of(digits_.substr(mark + 1));
      digits_ = digits_.substr(0, mark);
    }
    const std::size_t dot = digits_.find('.');
    const bool whole = dot == std::string_view::npos;
    before_ = static_cast<std::ptrdiff_t>(whole ? digits_.size() : dot);
    count_ = static_cast<std::ptrdiff_t>(whole ? digits_.size() : digits_.size() - 1);
    while (lead_ < count_ && digit_at(lead_) == '0') ++lead_;
    point_ = before_ + exponent_;
    dscale_ = std::max<std::ptrdiff_t>(0, count_ - point_);
  }

  // As set_var_from_str() and make_result() in the server's numeric.c, where a zero may have any number of
  // digits before the point but not after.
  [[nodiscard]] bool in_range() const {
    if (exponent_ >= kExponentEnd || exponent_ <= -kExponentEnd) return false;
    return dscale_ <= 16'383 && (is_zero() || point_ - lead_ <= 131'072);
  }

  // REQUIRES: in_range().
  [[nodiscard]] std::size_t printed_size() const {
    return static_cast<std::size_t>((is_signed() ? 1 : 0) + (is_fraction() ? 1 : point_ - lead_) +
                                    (dscale_ > 0 ? 1 + dscale_ : 0));
  }

  // REQUIRES: in_range().
  void append_to(Buffer& out) const {
    const std::size_t size = printed_size();
    char* at = reinterpret_cast<char*>(out.ensure(size));
    if (is_signed()) *at++ = '-';
    if (is_fraction()) *at++ = '0';
    if (!is_fraction()) at = put_digits(at, lead_, point_);
    if (dscale_ > 0) *at++ = '.';
    put_digits(at, point_, point_ + dscale_);
    out.commit(size);
  }

 private:
  // INT_MAX / 2, the bound of PostgreSQL 15. Later versions take 0e1073741823, too.
  static constexpr std::ptrdiff_t kExponentEnd = 1'073'741'823;

  static std::ptrdiff_t exponent_of(std::string_view text) {
    std::ptrdiff_t value = 0;
    for (const char byte : text) {
      if (is_digit(byte)) value = std::min<std::ptrdiff_t>(kExponentEnd, value * 10 + (byte - '0'));
    }
    return text.starts_with('-') ? -value : value;
  }

  [[nodiscard]] bool is_zero() const { return lead_ == count_; }
  [[nodiscard]] bool is_signed() const { return negative_ && !is_zero(); }
  [[nodiscard]] bool is_fraction() const { return is_zero() || lead_ >= point_; }  // nothing before the point
  [[nodiscard]] char digit_at(std::ptrdiff_t index) const {
    if (index < 0 || index >= count_) return '0';
    return digits_[static_cast<std::size_t>(index < before_ ? index : index + 1)];
  }
  char* put_digits(char* at, std::ptrdiff_t first, std::ptrdiff_t end) const {
    for (std::ptrdiff_t i = first; i < end; ++i) *at++ = digit_at(i);
    return at;
  }

  bool negative_;
  std::string_view digits_;  // as written, with the point
  std::ptrdiff_t exponent_ = 0;
  std::ptrdiff_t before_ = 0;  // digits before the point as written
  std::ptrdiff_t count_ = 0;   // digits as written
  std::ptrdiff_t lead_ = 0;    // leading zeros among them
  std::ptrdiff_t point_ = 0;
  std::ptrdiff_t dscale_ = 0;
};

constexpr std::size_t kPrintedMax = 0x3FFFFFFF;  // MaxAllocSize in the server's memutils.h

// The document as a tree, and the tree as text. The text has to wait until the whole object is known,
// since its members change places. Nodes are small and borrow their bytes.
//
// It keeps its memory from one document to the next, as long as that is not much.
class JsonbTree {
 public:
  // Forgets the document before. `text` must outlive the tree's use.
  void begin_document(std::string_view text) {
    constexpr std::size_t kNodesKept = 4096;
    if (nodes_.capacity() > kNodesKept || decoded_.capacity() > kNodesKept) *this = JsonbTree();
    source_size_ = text.size();
    result_ = JsonbResult::ok;
    key_ = {};
    key_escaped_ = false;
    decoded_.clear();
    nodes_.clear();
    children_.clear();
    waiting_.clear();
    open_.clear();
    inside_.clear();
  }

  bool begin_object() { return begin(Kind::object); }
  bool begin_array() { return begin(Kind::array); }
  bool end_object() {
    settle_members();
    return end_array();
  }
  bool end_array() {
    const Open open = open_.back();
    open_.pop_back();
    Node& container = nodes_[open.node];
    container.first = index_of(children_.size());
    container.count = index_of(waiting_.size() - open.waiting);
    children_.insert(children_.end(), waiting_.begin() + open.waiting, waiting_.end());
    waiting_.resize(open.waiting);
    return true;
  }
  bool key(std::string_view text, bool escaped) {
    key_ = text;
    key_escaped_ = escaped;
    return !escaped || unescape(key_);
  }
  bool string(std::string_view text, bool escaped) {
    return (!escaped || unescape(text)) && add(escaped ? Kind::escaped_string : Kind::string, text);
  }
  bool number(std::string_view text, bool exponent) {
    if (prints_as_written(text, exponent)) return add(Kind::verbatim, text);
    if (!Number(text).in_range()) return fail(JsonbResult::number_out_of_range);
    return add(Kind::number, text);
  }
  bool literal(std::string_view text) { return add(Kind::verbatim, text); }

  // What kept an event from going on; or ok, or duplicate_keys.
  [[nodiscard]] JsonbResult result() const { return result_; }

  // REQUIRES: a whole document. False when it grows too long, with the beginning written.
  [[nodiscard]] bool print(Buffer& out) {
    const std::size_t start = out.size();
    std::vector<Progress>& inside = inside_;
    std::uint32_t index = 0;
    for (;;) {
      const Node& node = nodes_[index];
      switch (node.kind) {
        case Kind::verbatim:
          out.append(node.text);
          break;
        case Kind::number: {
          // Only numbers print longer than they were written by more than a blank.
          const Number number(node.text);
          if (out.size() - start + number.printed_size() > kPrintedMax) return false;
          number.append_to(out);
          break;
        }
        case Kind::string:
        case Kind::escaped_string:
          append_string(out, node.text, node.kind == Kind::escaped_string);
          break;
        case Kind::array:
        case Kind::object:
          out.append(node.kind == Kind::object ? "{" : "[", 1);
          inside.push_back({index, 0});
          break;
      }
      // On to the next child of the innermost container that has one.
      while (!inside.empty() && inside.back().done == nodes_[inside.back().node].count) {
        out.append(nodes_[inside.back().node].kind == Kind::object ? "}" : "]", 1);
        inside.pop_back();
      }
      if (inside.empty()) return true;
      const Node& container = nodes_[inside.back().node];
      const std::uint32_t done = inside.back().done++;
      if (done > 0) out.append(", ", 2);
      index = children_[container.first + done];
      if (container.kind == Kind::object) {
        append_string(out, nodes_[index].key, nodes_[index].key_escaped);
        out.append(": ", 2);
      }
    }
  }

 private:
  enum class Kind : std::uint8_t { verbatim, number, string, escaped_string, array, object };
  struct Node {
    std::string_view key;     // decoded; of no meaning outside an object
    std::string_view text;    // decoded, for a scalar
    std::uint32_t first = 0;  // for a container: its slice of children_
    std::uint32_t count = 0;
    Kind kind;
    bool key_escaped;  // it was, so it may have to be again
  };
  struct Open {
    std::uint32_t node;
    std::uint32_t waiting;
  };

  struct Progress {
    std::uint32_t node;
    std::uint32_t done;  // children
  };

  // A document is smaller than 2^32 bytes, and each node comes from at least one.
  static std::uint32_t index_of(std::size_t size) { return static_cast<std::uint32_t>(size); }

  static void append_string(Buffer& out, std::string_view text, bool escaped) {
    out.append("\"", 1);
    if (escaped) {
      append_escaped(out, text);
    } else {
      out.append(text);
    }
    out.append("\"", 1);
  }

  bool fail(JsonbResult result) {
    result_ = result;
    return false;
  }

  bool unescape(std::string_view& text) {
    // Room for all there can ever be, because the nodes borrow from it.
    if (decoded_.empty()) decoded_.reserve(source_size_);  // no part of it can move then
    const std::size_t first = decoded_.size();
    const JsonbResult result = append_unescaped(decoded_, text);
    if (result != JsonbResult::ok) return fail(result);
    text = std::string_view(decoded_).substr(first);
    return true;
  }

  bool add(Kind kind, std::string_view text) {
    waiting_.push_back(index_of(nodes_.size()));
    nodes_.push_back({.key = key_, .text = text, .kind = kind, .key_escaped = key_escaped_});
    return true;
  }

  bool begin(Kind kind) {
    const std::uint32_t node = index_of(nodes_.size());
    add(kind, {});
    open_.push_back({node, index_of(waiting_.size())});
    return true;
  }

  // Puts the members of the object that ends into the server's order and drops the repeated ones.
  void settle_members() {
    const auto first = waiting_.begin() + open_.back().waiting;
    const auto compare = [this](std::uint32_t left, std::uint32_t right) {
      const std::string_view left_key = nodes_[left].key;
      const std::string_view right_key = nodes_[right].key;
      if (left_key.size() != right_key.size()) return left_key.size() < right_key.size() ? -1 : 1;
      return left_key.compare(right_key);
    };
    // Nodes are numbered in the order of the document: of equal names the last one comes first.
    std::sort(first, waiting_.end(), [&compare](std::uint32_t left, std::uint32_t right) {
      const int order = compare(left, right);
      return order != 0 ? order < 0 : left > right;
    });
    const auto kept = std::unique(first, waiting_.end(), [&compare](std::uint32_t left, std::uint32_t right) {
      return compare(left, right) == 0;
    });
    if (kept == waiting_.end()) return;
    waiting_.erase(kept, waiting_.end());
    result_ = JsonbResult::duplicate_keys;
  }

  std::size_t source_size_ = 0;
  JsonbResult result_ = JsonbResult::ok;
  std::string_view key_;  // of the member whose value comes next
  bool key_escaped_ = false;
  std::string decoded_;  // the strings that had escapes
  std::vector<Node> nodes_;
  std::vector<std::uint32_t> children_;  // the containers' slices
  std::vector<std::uint32_t> waiting_;   // values of the containers still open, innermost last
  std::vector<Open> open_;               // those containers, and where their values begin
  std::vector<Progress> inside_;         // while printing: containers begun and not ended, innermost last
};

}  // namespace

// Faults in the order in which JsonbTree finds them, so that both name the same one.
class JsonExaminer::Events {
 public:
  Events(JsonExaminer& memory, std::string_view text) : memory_(memory), end_(text.data() + text.size()) {}

  bool begin_object() {
    memory_.objects_.push_back(memory_.keys_.size());
    return true;
  }
  bool end_object() {
    const std::size_t first = memory_.objects_.back();
    memory_.objects_.pop_back();
    if (repeats(first)) result_ = JsonbResult::duplicate_keys;
    memory_.keys_.resize(first);
    return true;
  }
  static constexpr bool begin_array() { return true; }
  static constexpr bool end_array() { return true; }
  bool key(std::string_view text, bool escaped) {
    if (escaped) {
      std::string& decoded = memory_.decoded_.emplace_back();
      const JsonbResult result = append_unescaped(decoded, text);
      if (result != JsonbResult::ok) return fail(result);
      text = decoded;
    }
    memory_.keys_.push_back({text, signature_of(text, !escaped)});
    return true;
  }
  bool string(std::string_view text, bool escaped) {
    if (!escaped) return true;
    const JsonbResult result = check_escapes(text);
    return result == JsonbResult::ok || fail(result);
  }
  bool number(std::string_view text, bool exponent) {
    if (prints_as_written(text, exponent)) return true;
    const Number number(text);
    if (!number.in_range()) return fail(JsonbResult::number_out_of_range);
    printed_size_ += number.printed_size();
    return true;
  }
  static constexpr bool literal(std::string_view) { return true; }

  // What kept an event from going on; or ok, or duplicate_keys.
  [[nodiscard]] JsonbResult result() const { return result_; }
  // Of the numbers that may print longer than they were written. Everything else grows by a blank at most.
  [[nodiscard]] std::size_t printed_size() const { return printed_size_; }

 private:
  bool fail(JsonbResult result) {
    result_ = result;
    return false;
  }

  // Length and the first eight bytes, which is where names differ. `inside`: the name lies in the document.
  [[nodiscard]] std::uint64_t signature_of(std::string_view name, bool inside) const {
    std::uint64_t word = 0;
    if (inside && end_ - name.data() >= 8) {
      std::memcpy(&word, name.data(), sizeof word);
      if (name.size() < sizeof word) word &= (std::uint64_t{1} << 8 * name.size()) - 1;
    } else if (!name.empty()) {
      std::memcpy(&word, name.data(), std::min(name.size(), sizeof word));
    }
    return word * 0x9E3779B97F4A7C15u + name.size();
  }

  // Whether two keys from `first` on are the same.
  [[nodiscard]] bool repeats(std::size_t first) {
    constexpr std::size_t kFew = 16;
    std::vector<Key>& keys = memory_.keys_;
    if (keys.size() - first <= kFew) {
      for (std::size_t i = first + 1; i < keys.size(); ++i) {
        for (std::size_t j = first; j < i; ++j) {
          if (keys[i].signature == keys[j].signature && keys[i].name == keys[j].name) return true;
        }
      }
      return false;
    }
    const auto begin = keys.begin() + static_cast<std::ptrdiff_t>(first);
    std::sort(begin, keys.end(), [](const Key& left, const Key& right) {
      return left.signature != right.signature ? left.signature < right.signature : left.name < right.name;
    });
    return std::adjacent_find(begin, keys.end(), [](const Key& left, const Key& right) {
             return left.name == right.name;
           }) != keys.end();
  }

  JsonExaminer& memory_;
  const char* end_;  // of the document
  JsonbResult result_ = JsonbResult::ok;
  std::size_t printed_size_ = 0;
};

JsonExamination JsonExaminer::examine(std::string_view text, const JsonLimits& limits) {
  keys_.clear();
  objects_.clear();
  if (!decoded_.empty()) decoded_.clear();
  Events events(*this, text);
  switch (Walk(text, events).run(limits.depth_max)) {
    case WalkEnd::malformed:
      return {JsonCheck::malformed, JsonbResult::malformed};
    case WalkEnd::too_deep:
      return {JsonCheck::too_deep, JsonbResult::too_deep};
    case WalkEnd::stopped:
      // json may still take it: the rest has not been read.
      return {check_json(text, limits), events.result()};
    case WalkEnd::ok:
      break;
  }
  if (events.printed_size() > 0 && events.printed_size() + 2 * text.size() > kPrintedMax) {
    // Rare, and whether it is too long depends on the order of the members.
    Buffer printed;
    return {JsonCheck::ok, canonical_jsonb(text, printed, limits)};
  }
  return {JsonCheck::ok, events.result()};
}

JsonCheck check_json(std::string_view text, const JsonLimits& limits) {
  NoEvents events;
  switch (Walk(text, events).run(limits.depth_max)) {
    case WalkEnd::ok:
      return JsonCheck::ok;
    case WalkEnd::too_deep:
      return JsonCheck::too_deep;
    default:
      return JsonCheck::malformed;
  }
}

JsonbResult canonical_jsonb(std::string_view text, Buffer& out, const JsonLimits& limits) {
  assert(text.size() < UINT32_MAX);
  thread_local JsonbTree tree;
  tree.begin_document(text);
  switch (Walk(text, tree).run(limits.depth_max)) {
    case WalkEnd::malformed:
      return JsonbResult::malformed;
    case WalkEnd::too_deep:
      return JsonbResult::too_deep;
    case WalkEnd::stopped:
      return tree.result();
    case WalkEnd::ok:
      break;
  }
  const std::size_t start = out.size();
  if (!tree.print(out)) {
    out.truncate(start);
    return JsonbResult::too_long;
  }
  return tree.result();
}

}  // namespace sluice
