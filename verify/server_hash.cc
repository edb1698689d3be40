#include "verify/server_hash.h"

#include <algorithm>
#include <array>
#include <bit>
#include <cassert>
#include <cmath>
#include <cstring>
#include <limits>
#include <utility>

#include "engine/model/error.h"
#include "io/wire/buffer.h"

namespace sluice {
namespace {

[[noreturn]] void refuse_tuple() {
  throw Error(Fault::internal, "a row to be hashed does not have the form of its table");
}

// As they are in memory; lookup3 is defined on words of a little-endian machine.
template <class Integer>
Integer load(const std::byte* bytes) {
  Integer value;
  std::memcpy(&value, bytes, sizeof value);
  return value;
}

template <class Integer>
Integer load_big_endian(const std::byte* bytes) {
  return static_cast<Integer>(to_big_endian(load<Integer>(bytes)));
}

// ---- lookup3 ----

constexpr std::size_t kBlock = 12;

struct Lookup3 {
  std::uint32_t a, b, c;

  // With the size, which is known beforehand, and the seed in it.
  constexpr explicit Lookup3(std::size_t size)
      : a(0x9e3779b9 + static_cast<std::uint32_t>(size) + 3923095), b(a), c(a) {
    static_assert(kServerHashSeed != 0, "the server leaves the state as it is for a seed of 0");
    a += static_cast<std::uint32_t>(static_cast<std::uint64_t>(kServerHashSeed) >> 32);
    b += static_cast<std::uint32_t>(kServerHashSeed);
    mix();
  }

  constexpr void mix() {
    a = (a - c) ^ std::rotl(c, 4);
    c += b;
    b = (b - a) ^ std::rotl(a, 6);
    a += c;
    c = (c - b) ^ std::rotl(b, 8);
    b += a;
    a = (a - c) ^ std::rotl(c, 16);
    c += b;
    b = (b - a) ^ std::rotl(a, 19);
    a += c;
    c = (c - b) ^ std::rotl(b, 4);
    b += a;
  }

  void add_block(const std::byte* block) {
    a += load<std::uint32_t>(block);
    b += load<std::uint32_t>(block + 4);
    c += load<std::uint32_t>(block + 8);
    mix();
  }

  // The last bytes, fewer than kBlock, as if zeros followed. Without branches, because no processor guesses
  // the lengths of texts: each word is loaded so that it ends no later than the field, and shifted.
  // REQUIRES: four readable bytes before `rest`.
  void add_rest(const std::byte* rest, std::size_t size) {
    assert(size < kBlock);
    const auto word = [&](std::size_t at) {
      const std::size_t end = at + 4;
      const std::size_t missing = end - std::min(size, end);
      return static_cast<std::uint32_t>(std::uint64_t{load<std::uint32_t>(rest + at - missing)} >>
                                        8 * std::min(missing, std::size_t{4}));
    };
    a += word(0);
    b += word(4);
    c += word(8) << 8;  // the lowest byte is left to the size
  }
  constexpr void add_words(std::uint64_t low) {
    a += static_cast<std::uint32_t>(low);
    b += static_cast<std::uint32_t>(low >> 32);
  }

  [[nodiscard]] constexpr std::uint64_t finish() {
    c = (c ^ b) - std::rotl(b, 14);
    a = (a ^ c) - std::rotl(c, 11);
    b = (b ^ a) - std::rotl(a, 25);
    c = (c ^ b) - std::rotl(b, 16);
    a = (a ^ c) - std::rotl(c, 4);
    b = (b ^ a) - std::rotl(a, 14);
    c = (c ^ b) - std::rotl(b, 24);
    return std::uint64_t{b} << 32 | c;
  }
};

// ---- fields ----
//
// REQUIRES, of all of them: four readable bytes before the field. In a tuple they are its length.

std::uint64_t hash_word(std::uint32_t word) {
  Lookup3 state(sizeof word);
  state.add_words(word);
  return state.finish();
}

template <class Value>
Value value_of(std::span<const std::byte> field) {
  if (field.size() != sizeof(Value)) [[unlikely]]
    refuse_tuple();
  return load_big_endian<Value>(field.data());
}

// Negative numbers become negative in 32 bits.
template <class Integer>
std::uint64_t hash_integer(std::span<const std::byte> field) {
  return hash_word(static_cast<std::uint32_t>(std::int32_t{value_of<Integer>(field)}));
}

// So folded that a number which fits 32 bits hashes as an integer of that size.
std::uint64_t hash_int8(std::span<const std::byte> field) {
  const auto value = value_of<std::int64_t>(field);
  const auto low = static_cast<std::uint32_t>(value);
  const auto high = static_cast<std::uint32_t>(value >> 32);
  return hash_word(low ^ (value < 0 ? ~high : high));
}

std::uint64_t hash_double(double value) {
  if (value == 0) return static_cast<std::uint64_t>(kServerHashSeed);
  if (std::isnan(value)) value = std::numeric_limits<double>::quiet_NaN();
  Lookup3 state(sizeof value);
  state.add_words(std::bit_cast<std::uint64_t>(value));
  return state.finish();
}

std::uint64_t hash_float8(std::span<const std::byte> field) {
  return hash_double(std::bit_cast<double>(value_of<std::uint64_t>(field)));
}

std::uint64_t hash_float4(std::span<const std::byte> field) {
  return hash_double(std::bit_cast<float>(value_of<std::uint32_t>(field)));
}

std::uint64_t hash_uuid(std::span<const std::byte> field) {
  if (field.size() != 16) [[unlikely]]
    refuse_tuple();
  Lookup3 state(16);
  state.add_block(field.data());
  state.add_words(load<std::uint32_t>(field.data() + kBlock));
  return state.finish();
}

// Most texts are short: for them the first mixing, which depends on the size alone, is done by the compiler,
// as it is for the types of one size.
template <std::size_t... kSizes>
constexpr std::array<Lookup3, sizeof...(kSizes)> starts_of(std::index_sequence<kSizes...>) {
  return {Lookup3(kSizes)...};
}
constexpr auto kStarts = starts_of(std::make_index_sequence<64>());

std::uint64_t hash_bytes(std::span<const std::byte> field) {
  Lookup3 state = field.size() < kStarts.size() ? kStarts[field.size()] : Lookup3(field.size());
  const std::byte* at = field.data();
  std::size_t size = field.size();
  for (; size >= kBlock; at += kBlock, size -= kBlock) state.add_block(at);
  state.add_rest(at, size);
  return state.finish();
}

using FieldHash = std::uint64_t (*)(std::span<const std::byte> field);

// Null for a type whose hash is not that of the bytes which travel.
FieldHash hash_of_type(PgType type) {
  switch (type) {
    case PgType::int2:
      return hash_integer<std::int16_t>;
    case PgType::int4:
    case PgType::date:
      return hash_integer<std::int32_t>;
    case PgType::boolean:
      return hash_integer<std::int8_t>;
    case PgType::int8:
    case PgType::time:
    case PgType::timestamp:
    case PgType::timestamptz:
      return hash_int8;
    case PgType::float4:
      return hash_float4;
    case PgType::float8:
      return hash_float8;
    case PgType::text:
    case PgType::varchar:
    case PgType::bytea:
      return hash_bytes;
    case PgType::uuid:
      return hash_uuid;
    case PgType::numeric:   // without its zeros at the end, by digits of the server's memory
    case PgType::bpchar:    // without its blanks at the end
    case PgType::interval:  // by its length: a month is 30 days
    case PgType::jsonb:     // element by element
    case PgType::json:      // has no equality, hence no hash
      break;
  }
  return nullptr;
}

// ---- pieces ----

// Reads pieces as if they were one.
class PieceReader {
 public:
  explicit PieceReader(std::span<const std::span<const std::byte>> pieces) : later_(pieces) { skip_empty(); }

  // Whether the next `size` bytes lie in one piece.
  [[nodiscard]] bool holds(std::size_t size) const { return size <= piece_.size(); }
  // REQUIRES: holds(size).
  std::span<const std::byte> take(std::size_t size) {
    const std::span<const std::byte> taken = piece_.first(size);
    piece_ = piece_.subspan(size);
    skip_empty();
    return taken;
  }

  void copy(std::span<std::byte> out) {
    while (!out.empty()) {
      if (piece_.empty()) refuse_tuple();
      const std::span<const std::byte> part = take(std::min(out.size(), piece_.size()));
      std::memcpy(out.data(), part.data(), part.size());
      out = out.subspan(part.size());
    }
  }

  template <class Integer>
  Integer next() {
    std::array<std::byte, sizeof(Integer)> bytes;
    copy(bytes);
    return load_big_endian<Integer>(bytes.data());
  }

 private:
  void skip_empty() {
    for (; piece_.empty() && !later_.empty(); later_ = later_.subspan(1)) piece_ = later_.front();
  }

  std::span<const std::byte> piece_;  // what is left of it; empty at the end only
  std::span<const std::span<const std::byte>> later_;
};

// Small fields are copied, large ones a block at a time, and not at all when they lie in one piece, as those
// of a load do.
std::uint64_t hash_in_pieces(PieceReader& reader, std::size_t size, FieldHash hash) {
  constexpr std::size_t kCopiedMax = 16;  // no type of one size is larger
  std::array<std::byte, 4 + kCopiedMax> room{};
  const auto copied = std::span(room).subspan(4);
  if (size <= kCopiedMax) {
    reader.copy(copied.first(size));
    return hash(copied.first(size));
  }
  if (reader.holds(size)) return hash(reader.take(size));
  if (hash != hash_bytes) refuse_tuple();
  Lookup3 state(size);
  for (; size >= kBlock; size -= kBlock) {
    reader.copy(copied.first(kBlock));
    state.add_block(copied.data());
  }
  reader.copy(copied.first(size));
  state.add_rest(copied.data(), size);
  return state.finish();
}

}  // namespace

std::string why_no_server_hash(const TablePlan& plan) {
  if (plan.columns.empty()) return "a row without columns has no hash";
  if (plan.columns.size() > kServerHashColumnsMax) {
    return "a ROW has at most " + std::to_string(kServerHashColumnsMax) + " columns, this table has " +
           std::to_string(plan.columns.size());
  }
  for (const ColumnPlan& column : plan.columns) {
    if (column.type_name.empty() && hash_of_type(column.type) != nullptr) continue;
    return "column " + column.target + " is of type " + type_of(column) +
           ", whose hash only the server can compute";
  }
  return {};
}

ServerHasher::ServerHasher(const TablePlan& plan) {
  assert(why_no_server_hash(plan).empty());
  fields_.reserve(plan.columns.size());
  for (const ColumnPlan& column : plan.columns) fields_.push_back(hash_of_type(column.type));
}

std::uint64_t ServerHasher::hash(std::span<const std::byte> tuple) const {
  const std::byte* at = tuple.data();
  const std::byte* const end = at + tuple.size();
  const auto need = [&](std::size_t size) {
    if (static_cast<std::size_t>(end - at) < size) [[unlikely]]
      refuse_tuple();
  };
  need(2);
  if (load_big_endian<std::uint16_t>(at) != fields_.size()) [[unlikely]]
    refuse_tuple();
  at += 2;
  std::uint64_t row = 0;
  for (const auto hash_field : fields_) {
    need(4);
    const auto length = load_big_endian<std::int32_t>(at);
    at += 4;
    std::uint64_t field = 0;  // of a NULL
    if (length >= 0) {
      const auto size = static_cast<std::size_t>(length);
      need(size);
      field = hash_field({at, size});
      at += size;
    }
    row = row * 31 + field;
  }
  return row;
}

std::uint64_t ServerHasher::hash(std::span<const std::span<const std::byte>> pieces) const {
  if (pieces.size() == 1) return hash(pieces.front());
  PieceReader reader(pieces);
  if (reader.next<std::uint16_t>() != fields_.size()) refuse_tuple();
  std::uint64_t row = 0;
  for (const auto hash_field : fields_) {
    const auto length = reader.next<std::int32_t>();
    const bool null = length < 0;
    row = row * 31 + (null ? 0 : hash_in_pieces(reader, static_cast<std::size_t>(length), hash_field));
  }
  return row;
}

}  // namespace sluice
