#include "verify/server_hash.h"

#include <algorithm>
#include <array>
#include <bit>
#include <cassert>
#include <cmath>
#include <cstring>
#include <limits>
#include <string_view>

#include "engine/model/error.h"
#include "engine/model/quote.h"
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

  // With the size, which is known beforehand, and the seed in it; 0 leaves the state as it is, as on the
  // server.
  Lookup3(std::size_t size, std::uint64_t seed)
      : a(0x9e3779b9 + static_cast<std::uint32_t>(size) + 3923095), b(a), c(a) {
    if (seed == 0) [[unlikely]]
      return;
    a += static_cast<std::uint32_t>(seed >> 32);
    b += static_cast<std::uint32_t>(seed);
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

using Field = std::span<const std::byte>;

std::uint64_t hash_word(std::uint32_t word, std::uint64_t seed) {
  Lookup3 state(sizeof word, seed);
  state.add_words(word);
  return state.finish();
}

template <class Value>
Value value_of(Field field) {
  if (field.size() != sizeof(Value)) [[unlikely]]
    refuse_tuple();
  return load_big_endian<Value>(field.data());
}

// Negative numbers become negative in 32 bits.
template <class Integer>
std::uint64_t hash_integer(Field field, std::uint64_t seed) {
  return hash_word(static_cast<std::uint32_t>(std::int32_t{value_of<Integer>(field)}), seed);
}

// So folded that a number which fits 32 bits hashes as an integer of that size.
std::uint64_t hash_int8(Field field, std::uint64_t seed) {
  const auto value = value_of<std::int64_t>(field);
  const auto low = static_cast<std::uint32_t>(value);
  const auto high = static_cast<std::uint32_t>(value >> 32);
  return hash_word(low ^ (value < 0 ? ~high : high), seed);
}

std::uint64_t hash_double(double value, std::uint64_t seed) {
  if (value == 0) return seed;
  if (std::isnan(value)) value = std::numeric_limits<double>::quiet_NaN();
  Lookup3 state(sizeof value, seed);
  state.add_words(std::bit_cast<std::uint64_t>(value));
  return state.finish();
}

std::uint64_t hash_float8(Field field, std::uint64_t seed) {
  return hash_double(std::bit_cast<double>(value_of<std::uint64_t>(field)), seed);
}

std::uint64_t hash_float4(Field field, std::uint64_t seed) {
  return hash_double(std::bit_cast<float>(value_of<std::uint32_t>(field)), seed);
}

std::uint64_t hash_bytes(Field field, std::uint64_t seed) {
  Lookup3 state(field.size(), seed);
  const std::byte* at = field.data();
  std::size_t size = field.size();
  for (; size >= kBlock; at += kBlock, size -= kBlock) state.add_block(at);
  state.add_rest(at, size);
  return state.finish();
}

std::uint64_t hash_uuid(Field field, std::uint64_t seed) {
  if (field.size() != 16) [[unlikely]]
    refuse_tuple();
  return hash_bytes(field, seed);
}

using FieldHash = std::uint64_t (*)(Field field, std::uint64_t seed);

// One row a type: ours and the server's. {} is the column, {seed} the seed. Where the server's own function
// cannot be called from SQL under every major version, ROW reaches it; such a hash of NULL is 0.
struct TypeHash {
  PgType type;
  FieldHash hash;
  std::string_view before;  // the column and ", seed)" stand between
  std::string_view after;
};
constexpr std::array kTypeHashes = {
    TypeHash{PgType::int2, hash_integer<std::int16_t>, "hashint2extended(", ""},
    TypeHash{PgType::int4, hash_integer<std::int32_t>, "hashint4extended(", ""},
    TypeHash{PgType::int8, hash_int8, "hashint8extended(", ""},
    TypeHash{PgType::float4, hash_float4, "hashfloat4extended(", ""},
    TypeHash{PgType::float8, hash_float8, "hashfloat8extended(", ""},
    TypeHash{PgType::boolean, hash_integer<std::int8_t>, "hashint4extended(", "::integer"},
    TypeHash{PgType::text, hash_bytes, "hashtextextended(", ""},
    TypeHash{PgType::varchar, hash_bytes, "hashtextextended(", ""},
    TypeHash{PgType::bytea, hash_bytes, "hash_record_extended(ROW(", ")"},
    TypeHash{PgType::date, hash_integer<std::int32_t>, "hash_record_extended(ROW(", ")"},
    TypeHash{PgType::time, hash_int8, "time_hash_extended(", ""},
    TypeHash{PgType::timestamp, hash_int8, "timestamp_hash_extended(", ""},
    TypeHash{PgType::timestamptz, hash_int8, "hash_record_extended(ROW(", ")"},
    TypeHash{PgType::uuid, hash_uuid, "uuid_hash_extended(", ""},
    // Not: numeric (without its zeros at the end, by digits of the server's memory), bpchar (without its
    // blanks at the end), interval (by its length: a month is 30 days), jsonb (element by element), json (has
    // no equality).
};

const TypeHash* hash_of_type(PgType type) {
  const auto* found = std::find_if(kTypeHashes.begin(), kTypeHashes.end(),
                                   [&](const TypeHash& row) { return row.type == type; });
  return found == kTypeHashes.end() ? nullptr : found;
}

// Of the column's place, so that equal values of two columns do not cancel out, nor zeros, which hash to the
// seed. Outputs of splitmix64 (Steele, Lea and Flood, 2014): seeds with a pattern would let some twenty zeros
// cancel.
std::uint64_t seed_of(std::size_t column) {
  if (column == 0) return static_cast<std::uint64_t>(kServerHashSeed);
  std::uint64_t mixed = static_cast<std::uint64_t>(kServerHashSeed) + column * 0x9e3779b97f4a7c15U;
  mixed = (mixed ^ mixed >> 30) * 0xbf58476d1ce4e5b9U;
  mixed = (mixed ^ mixed >> 27) * 0x94d049bb133111ebU;
  mixed ^= mixed >> 31;
  return mixed == 0 ? 1 : mixed;
}

// Why not the exclusive or itself: it and the sum of rows are too much alike, and two values that changed
// places would cancel once in 10^8.
std::uint64_t hash_of_row(std::uint64_t fields) { return hash_word(1, fields); }
constexpr std::string_view kHashOfRow = "hashint8extended(1, ";

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
std::uint64_t hash_in_pieces(PieceReader& reader, std::size_t size, FieldHash hash, std::uint64_t seed) {
  constexpr std::size_t kCopiedMax = 16;  // no type of one size is larger
  std::array<std::byte, 4 + kCopiedMax> room{};
  const auto copied = std::span(room).subspan(4);
  if (size <= kCopiedMax) {
    reader.copy(copied.first(size));
    return hash(copied.first(size), seed);
  }
  if (reader.holds(size)) return hash(reader.take(size), seed);
  if (hash != hash_bytes) refuse_tuple();
  Lookup3 state(size, seed);
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
  for (const ColumnPlan& column : plan.columns) {
    const bool own_type = !column.type_name.empty() || column.compared_as_text;
    if (!own_type && hash_of_type(column.type) != nullptr) continue;
    return "column " + column.target + " is of type " + type_of(column) +
           ", whose hash only the server can compute";
  }
  return {};
}

std::string server_hash_sql(const TablePlan& plan) {
  assert(why_no_server_hash(plan).empty());
  std::string sql(kHashOfRow);
  for (std::size_t i = 0; i < plan.columns.size(); ++i) {
    const TypeHash& hash = *hash_of_type(plan.columns[i].type);
    const std::string seed = std::to_string(static_cast<std::int64_t>(seed_of(i)));
    std::string field(hash.before);
    field.append(quote_identifier(plan.columns[i].target)).append(hash.after).append(", ").append(seed);
    field += ")";
    if (!plan.columns[i].not_null) field = "coalesce(" + field + ", 0)";
    sql += (i == 0 ? "" : " # ") + field;
  }
  return sql + ")";
}

ServerHasher::ServerHasher(const TablePlan& plan) {
  assert(why_no_server_hash(plan).empty());
  fields_.reserve(plan.columns.size());
  for (std::size_t i = 0; i < plan.columns.size(); ++i) {
    fields_.push_back({hash_of_type(plan.columns[i].type)->hash, seed_of(i)});
  }
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
  std::uint64_t fields = 0;
  for (const FieldHasher& field : fields_) {
    need(4);
    const auto length = load_big_endian<std::int32_t>(at);
    at += 4;
    if (length < 0) continue;  // a NULL counts as 0
    const auto size = static_cast<std::size_t>(length);
    need(size);
    fields ^= field.hash({at, size}, field.seed);
    at += size;
  }
  return hash_of_row(fields);
}

std::uint64_t ServerHasher::hash(std::span<const std::span<const std::byte>> pieces) const {
  if (pieces.size() == 1) return hash(pieces.front());
  PieceReader reader(pieces);
  if (reader.next<std::uint16_t>() != fields_.size()) refuse_tuple();
  std::uint64_t fields = 0;
  for (const FieldHasher& field : fields_) {
    const auto length = reader.next<std::int32_t>();
    if (length >= 0)
      fields ^= hash_in_pieces(reader, static_cast<std::size_t>(length), field.hash, field.seed);
  }
  return hash_of_row(fields);
}

}  // namespace sluice
