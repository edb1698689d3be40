#include "engine/model/range.h"

#include <bit>
#include <charconv>

#include "engine/model/digest.h"
#include "engine/model/error.h"
#include "engine/model/hex.h"

namespace sluice {
namespace {

template <class... Handlers>
struct Overloaded : Handlers... {
  using Handlers::operator()...;
};
template <class... Handlers>
Overloaded(Handlers...) -> Overloaded<Handlers...>;  // GCC needs no guide; clang 14 does

std::string format_tuple(const std::vector<KeyValue>& tuple) {
  if (tuple.empty()) return "-";
  std::string text;
  for (const KeyValue& value : tuple) {
    if (!text.empty()) text += ',';
    text += std::visit(Overloaded{
                           [](std::int64_t integer) { return "i" + std::to_string(integer); },
                           [](double real) {
                             // The bits, because decimal text would have to be proven exact.
                             const auto bits = std::bit_cast<std::uint64_t>(real);
                             return "r" + to_hex(Digest{0, bits}).substr(16);
                           },
                           [](const TextValue& value) { return "t" + hex_of(value.bytes); },
                           [](const BlobValue& value) { return "b" + hex_of(value.bytes); },
                       },
                       value);
  }
  return text;
}

[[noreturn]] void refuse(std::string_view text) {
  throw Error(Fault::internal, "the ledger holds a range that cannot be read: " + std::string(text));
}

std::string_view take_word(std::string_view& rest) {
  const std::size_t end = rest.find(' ');
  const std::string_view word = rest.substr(0, end);
  rest = end == std::string_view::npos ? std::string_view{} : rest.substr(end + 1);
  return word;
}

std::int64_t parse_integer(std::string_view word) {
  std::int64_t value = 0;
  const auto [end, status] = std::from_chars(word.data(), word.data() + word.size(), value);
  if (status != std::errc{} || end != word.data() + word.size()) refuse(word);
  return value;
}

std::string parse_hex(std::string_view hex) {
  std::optional<std::string> bytes = bytes_of_hex(hex);
  if (!bytes) refuse(hex);
  return *std::move(bytes);
}

KeyValue parse_value(std::string_view word) {
  if (word.empty()) refuse(word);
  const std::string_view body = word.substr(1);
  switch (word.front()) {
    case 'i':
      return parse_integer(body);
    case 'r':
      if (body.size() != 16) refuse(word);
      return std::bit_cast<double>(parse_digest("0000000000000000" + std::string(body)).low);
    case 't':
      return TextValue{parse_hex(body)};
    case 'b':
      return BlobValue{parse_hex(body)};
    default:
      refuse(word);
  }
}

std::vector<KeyValue> parse_tuple(std::string_view text) {
  std::vector<KeyValue> tuple;
  if (text == "-") return tuple;
  for (;;) {
    const std::size_t comma = text.find(',');
    tuple.push_back(parse_value(text.substr(0, comma)));
    if (comma == std::string_view::npos) return tuple;
    text.remove_prefix(comma + 1);
  }
}

}  // namespace

Cell cell_of(const KeyValue& value) {
  return std::visit(
      Overloaded{
          [](std::int64_t integer) { return Cell::of_integer(integer); },
          [](double real) { return Cell::of_real(real); },
          [](const TextValue& text) { return Cell::of_text(text.bytes); },
          [](const BlobValue& blob) { return Cell::of_blob(std::as_bytes(std::span(blob.bytes))); },
      },
      value);
}

std::string format_extent(const Extent& extent) {
  return std::visit(Overloaded{
                        [](const WholeTable&) { return std::string("all"); },
                        [](const RowidRange& range) {
                          return "rowid " + std::to_string(range.first) + " " + std::to_string(range.last);
                        },
                        [](const PrimaryKeyRange& range) {
                          return "key " + format_tuple(range.from) + " " + format_tuple(range.until);
                        },
                    },
                    extent);
}

namespace {

Extent parse_loosely(std::string_view text) {
  std::string_view rest = text;
  const std::string_view kind = take_word(rest);
  if (kind == "all") return WholeTable{};
  const std::string_view low = take_word(rest);
  const std::string_view high = take_word(rest);
  if (kind == "rowid") return RowidRange{parse_integer(low), parse_integer(high)};
  if (kind == "key") return PrimaryKeyRange{parse_tuple(low), parse_tuple(high)};
  refuse(text);
}

}  // namespace

Extent parse_extent(std::string_view text) {
  Extent extent = parse_loosely(text);
  // One form for each value: what we would have written otherwise, somebody else wrote.
  if (format_extent(extent) != text) refuse(text);
  return extent;
}

bool covers_table(const std::vector<Extent>& extents) {
  if (extents.empty()) return false;
  if (std::holds_alternative<WholeTable>(extents.front())) return extents.size() == 1;
  if (std::holds_alternative<RowidRange>(extents.front())) {
    std::int64_t expected = INT64_MIN;
    for (std::size_t i = 0; i < extents.size(); ++i) {
      const auto* range = std::get_if<RowidRange>(&extents[i]);
      if (range == nullptr || range->first != expected || range->last < range->first) return false;
      if (range->last == INT64_MAX) return i + 1 == extents.size();
      expected = range->last + 1;
    }
    return false;
  }
  const std::vector<KeyValue>* expected = nullptr;
  for (const Extent& extent : extents) {
    const auto* range = std::get_if<PrimaryKeyRange>(&extent);
    if (range == nullptr) return false;
    if (expected == nullptr ? !range->from.empty() : (expected->empty() || range->from != *expected)) {
      return false;
    }
    expected = &range->until;
  }
  return expected->empty();
}

}  // namespace sluice
