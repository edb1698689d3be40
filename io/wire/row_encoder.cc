#include "io/wire/row_encoder.h"

#include <cassert>
#include <cstring>

#include "engine/model/error.h"

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
    Column& added = columns_.emplace_back();
    added.encode = row_of(column.type).encode;
    added.not_null = column.not_null;
    if (ColumnEncoder::is_plain(column)) continue;
    added.own = std::make_unique<ColumnEncoder>(column);
    plain_ = false;
  }
}

bool RowEncoder::take_back(std::size_t start, std::size_t column, Misfit misfit, Buffer& out) {
  out.truncate(start);
  reject_ = {column, misfit};
  return false;
}

bool RowEncoder::encode_with_own(Row row, Buffer& out) {
  const std::size_t start = out.size();
  out.put_int16(static_cast<std::int16_t>(columns_.size()));
  for (std::size_t i = 0; i < columns_.size(); ++i) {
    const Column& column = columns_[i];
    Misfit misfit = Misfit::none;
    if (column.own != nullptr) {
      misfit = column.own->encode(row[i], out);
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
  if (!plain_) return encode_with_own(row, out);
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

}  // namespace sluice
