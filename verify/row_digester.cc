#include "verify/row_digester.h"

#include <cassert>

#include "verify/row_digest.h"

namespace sluice {
namespace {

// One row of a gigabyte must not cost a gigabyte for the rest of the run.
constexpr std::size_t kBufferBytesKept = std::size_t{16} << 20;

}  // namespace

RowDigester::RowDigester(const TablePlan& plan)
    : sent_columns_(sluice::sent_columns(plan)), columns_(plan.columns.size()), encoder_(plan) {}

bool RowDigester::take(Row row) {
  if (buffer_.capacity() > kBufferBytesKept) buffer_ = Buffer();
  buffer_.clear();
  apart_.clear();
  pieces_.clear();
  if (!encoder_.has_apart(row)) {
    if (!encoder_.encode(row, buffer_)) return false;
    pieces_.push_back(buffer_.span());
    digest_ = digest_of_row(buffer_.span());
  } else {
    if (!encoder_.encode_apart(row, buffer_, apart_)) return false;
    pieces_ = pieces_of(buffer_, 0, apart_);
    digest_ = digest_of_row(pieces_);
  }
  if (apart_.empty()) return true;
  key_tuple_.clear();
  key_tuple_.append(buffer_.span());
  for (const CellApart& cell : apart_) key_tuple_.patch_int32(cell.offset - 4, 0);
  return true;
}

std::span<const std::byte> RowDigester::key_tuple() const {
  return apart_.empty() ? buffer_.span() : key_tuple_.span();
}

std::span<const std::span<const std::byte>> RowDigester::sent_pieces() {
  if (sent_columns_ == columns_) return pieces_;
  // Generated columns come last, and a table that has them sets nothing apart.
  assert(apart_.empty());
  TupleFields fields(buffer_.span());
  std::size_t size = 2;
  for (std::size_t i = 0; i < sent_columns_; ++i) size += fields.next().with_length.size();
  buffer_.truncate(size);
  const auto count = to_big_endian(static_cast<std::int16_t>(sent_columns_));
  buffer_.patch(0, std::as_bytes(std::span(&count, 1)));
  pieces_ = {buffer_.span()};
  return pieces_;
}

std::vector<Digest> RowDigester::field_digests() const {
  std::vector<Digest> digests;
  TupleFields fields(key_tuple());
  auto apart = apart_.begin();
  while (digests.size() < fields.count()) {
    const TupleFields::Field field = fields.next();
    const auto offset = static_cast<std::size_t>(field.with_length.data() - key_tuple().data()) + 4;
    const bool is_apart = apart != apart_.end() && apart->offset == offset;
    digests.push_back(digest_of_field(is_apart ? (apart++)->bytes : field.value, field.null));
  }
  return digests;
}

std::vector<Digest> field_digests(std::span<const std::byte> tuple) {
  std::vector<Digest> digests;
  TupleFields fields(tuple);
  while (digests.size() < fields.count()) {
    const TupleFields::Field field = fields.next();
    digests.push_back(digest_of_field(field.value, field.null));
  }
  return digests;
}

}  // namespace sluice
