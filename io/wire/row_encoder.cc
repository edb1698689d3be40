#include "io/wire/row_encoder.h"

#include <algorithm>
#include <cassert>
#include <cstring>

#include "engine/model/error.h"
#include "io/wire/json.h"
#include "io/wire/utf8.h"

namespace sluice {

std::span<const std::byte> copy_header() {
  // Signature, flags (no OIDs), length of the header extension.
  static constexpr char kHeader[] = "PGCOPY\n\377\r\n\0\0\0\0\0\0\0\0";
  static_assert(sizeof kHeader == 19);
  return std::as_bytes(std::span(kHeader, 19));
}

std::span<const std::byte> copy_trailer() {
  static constexpr std::array<unsigned char, 2> kTrailer = {0xff, 0xff};
  return std::as_bytes(std::span(kTrailer));
}

RowEncoder::RowEncoder(const TablePlan& plan) {
  columns_.reserve(plan.columns.size());
  for (const ColumnPlan& column : plan.columns) {
    const std::size_t index = columns_.size();
    Column& added = columns_.emplace_back();
    added.encode = row_of(column.type).encode;
    added.not_null = column.not_null;
    added.type = column.type;
    if (ColumnEncoder::is_plain(column)) {
      const bool as_is = column.type == PgType::text || column.type == PgType::varchar ||
                         column.type == PgType::bytea || column.type == PgType::json;
      added.apart = as_is && !is_key_column(plan, index);
      if (added.apart) apart_columns_.push_back(index);
      continue;
    }
    added.own = std::make_unique<ColumnEncoder>(column);
    plain_ = false;
  }
  // What the server computes is cut off the tuple again, which is simpler in one piece.
  if (sent_columns(plan) < plan.columns.size()) apart_columns_.clear();
}

bool RowEncoder::encode_apart(Row row, Buffer& out, std::vector<CellApart>& apart) {
  apart.clear();
  return encode_with_own(row, out, &apart);
}

namespace {

// As the type's encoder, but the value itself stays where it is.
Misfit set_apart(PgType type, const Cell& cell, Buffer& out, std::vector<CellApart>& apart) {
  if (cell.bytes().size() > kFieldBytesMax) return Misfit::too_long;
  if (type != PgType::bytea) {
    if (cell.storage() != StorageClass::text) return Misfit::storage_class;
    const TextCheck check = check_text(cell.text());
    if (check == TextCheck::nul) return Misfit::nul_character;
    if (check != TextCheck::ok) return Misfit::invalid_utf8;
    if (type == PgType::json && check_json(cell.text()) != JsonCheck::ok) return Misfit::invalid_json;
  }
  out.put_int32(static_cast<std::int32_t>(cell.bytes().size()));
  apart.push_back({out.size(), cell.bytes()});
  return Misfit::none;
}

}  // namespace

bool RowEncoder::take_back(std::size_t start, std::size_t column, Misfit misfit, Buffer& out) {
  out.truncate(start);
  reject_ = {column, misfit};
  return false;
}

bool RowEncoder::encode_with_own(Row row, Buffer& out, std::vector<CellApart>* apart) {
  const std::size_t start = out.size();
  out.put_int16(static_cast<std::int16_t>(columns_.size()));
  for (std::size_t i = 0; i < columns_.size(); ++i) {
    const Column& column = columns_[i];
    Misfit misfit = Misfit::none;
    if (column.own != nullptr) {
      misfit = column.own->encode(row[i], out);
    } else if (apart != nullptr && column.apart && is_large(row[i])) {
      misfit = set_apart(column.type, row[i], out, *apart);
    } else if (!row[i].is_null()) {
      misfit = column.encode(row[i], out);
    } else if (column.not_null) {
      misfit = Misfit::null_not_allowed;
    } else {
      out.put_int32(-1);
    }
    if (misfit != Misfit::none) return take_back(start, i, misfit, out);
  }
  return true;
}

bool RowEncoder::encode(Row row, Buffer& out) {
  assert(row.size() >= columns_.size());
  // One branch a row, so that tables without conversions pay nothing per cell.
  if (!plain_) return encode_with_own(row, out, nullptr);
  const std::size_t start = out.size();
  out.put_int16(static_cast<std::int16_t>(columns_.size()));
  for (std::size_t i = 0; i < columns_.size(); ++i) {
    const Column& column = columns_[i];
    Misfit misfit = Misfit::none;
    if (row[i].is_null()) {
      if (column.not_null) [[unlikely]] {
        misfit = Misfit::null_not_allowed;
      } else {
        out.put_int32(-1);
      }
    } else {
      misfit = column.encode(row[i], out);
    }
    if (misfit != Misfit::none) [[unlikely]]
      return take_back(start, i, misfit, out);
  }
  return true;
}

namespace {

[[noreturn]] void refuse_tuple() { throw Error(Fault::internal, "a COPY tuple is shorter than it says"); }

template <class Integer>
Integer load_big_endian(const std::byte* bytes) {
  Integer value;
  std::memcpy(&value, bytes, sizeof value);
  return static_cast<Integer>(to_big_endian(value));
}

}  // namespace

TupleFields::TupleFields(std::span<const std::byte> tuple) {
  if (tuple.size() < 2) refuse_tuple();
  count_ = load_big_endian<std::uint16_t>(tuple.data());
  rest_ = tuple.subspan(2);
}

TupleFields::Field TupleFields::next() {
  if (rest_.size() < 4) refuse_tuple();
  const auto length = load_big_endian<std::int32_t>(rest_.data());
  const std::size_t value_size = length < 0 ? 0 : static_cast<std::size_t>(length);
  if (rest_.size() - 4 < value_size) refuse_tuple();
  const Field field{length < 0, rest_.subspan(4, value_size), rest_.first(4 + value_size)};
  rest_ = rest_.subspan(4 + value_size);
  return field;
}

std::vector<std::span<const std::byte>> pieces_of(const Buffer& buffer, std::size_t start,
                                                  std::span<const CellApart> apart) {
  std::vector<std::span<const std::byte>> pieces;
  std::size_t at = start;
  for (const CellApart& cell : apart) {
    pieces.push_back(buffer.span().subspan(at, cell.offset - at));
    pieces.push_back(cell.bytes);
    at = cell.offset;
  }
  pieces.push_back(buffer.span().subspan(at));
  return pieces;
}

}  // namespace sluice
