#include "io/wire/column_encoder.h"

#include <algorithm>
#include <array>
#include <charconv>

#include "io/wire/conversion.h"
#include "io/wire/datetime.h"
#include "io/wire/numeric.h"
#include "io/wire/utf8.h"

namespace sluice {
namespace {

constexpr std::int64_t kMicrosecondsPerSecond = 1'000'000;
constexpr std::int64_t kMicrosecondsPerDay = 86'400 * kMicrosecondsPerSecond;

std::string_view text_of(std::span<const std::byte> bytes) {
  return {reinterpret_cast<const char*>(bytes.data()), bytes.size()};
}

bool is_moment(PgType type) {
  return type == PgType::date || type == PgType::time || type == PgType::timestamp ||
         type == PgType::timestamptz;
}

Misfit not_a(PgType type) {
  if (type == PgType::date) return Misfit::not_a_date;
  return type == PgType::time ? Misfit::not_a_time : Misfit::not_a_timestamp;
}

}  // namespace

ColumnEncoder::ColumnEncoder(const ColumnPlan& column) : column_(column), type_(row_of(column.type)) {
  const Conversion& conversion = column_.conversion;
  if (!conversion.date_format.empty()) date_format_.emplace(conversion.date_format);
  moment_ = is_moment(column_.type) && (conversion.epoch != EpochUnit::none || date_format_ ||
                                        conversion.naive_as_utc || conversion.truncate_fraction);
}

bool ColumnEncoder::is_plain(const ColumnPlan& column) {
  const bool modified = column.modifier.any() && row_of(column.type).fit != nullptr;
  return !column.conversion.any() && !modified && column.labels.empty();
}

Misfit ColumnEncoder::encode(const Cell& cell, Buffer& out) {
  const Conversion& conversion = column_.conversion;
  if (cell.is_null()) return put_null(out);
  Cell value = cell;
  if (conversion.blob_as_text && cell.storage() == StorageClass::blob) {
    value = Cell::of_text(text_of(cell.bytes()));
  }
  if (becomes_null(value)) return put_null(out);
  if (value.storage() == StorageClass::text &&
      (conversion.encoding != TextEncoding::utf8 || conversion.bad_text != BadText::misfit)) {
    const std::string_view text = in_utf8(value.text());
    if (text.size() > kFieldBytesMax) return Misfit::too_long;
    value = Cell::of_text(text);
  }
  const std::size_t start = out.size();
  Misfit misfit = encode_value(value, out);
  if (misfit == Misfit::none && column_.modifier.any() && type_.fit != nullptr) {
    misfit = type_.fit(column_.modifier, out, start);
  }
  if (misfit == Misfit::none && !column_.labels.empty() && !has_label(out, start)) {
    misfit = Misfit::not_a_label;
  }
  return misfit;
}

Misfit ColumnEncoder::put_null(Buffer& out) const {
  if (column_.not_null) return Misfit::null_not_allowed;
  out.put_int32(-1);
  return Misfit::none;
}

bool ColumnEncoder::becomes_null(const Cell& cell) const {
  const Conversion& conversion = column_.conversion;
  switch (cell.storage()) {
    case StorageClass::integer:
      return conversion.zero_date_as_null && cell.integer() == 0;
    case StorageClass::real:
      return conversion.zero_date_as_null && cell.real() == 0;
    case StorageClass::text:
      return (conversion.empty_as_null && cell.text().empty()) ||
             (conversion.zero_date_as_null && is_zero_date(cell.text()));
    default:
      return false;
  }
}

std::string_view ColumnEncoder::in_utf8(std::string_view text) {
  const Conversion& conversion = column_.conversion;
  if (conversion.encoding != TextEncoding::utf8 && !valid_utf8(text)) {
    decode_text(text, conversion.encoding, decoded_);
    text = decoded_;
  }
  if (conversion.bad_text != BadText::misfit && check_text(text) != TextCheck::ok) {
    repair_text(text, conversion.bad_text, repaired_);
    text = repaired_;
  }
  return text;
}

Misfit ColumnEncoder::encode_value(const Cell& cell, Buffer& out) {
  const Conversion& conversion = column_.conversion;
  const bool text = cell.storage() == StorageClass::text;
  const bool blob = cell.storage() == StorageClass::blob;
  if (moment_) return encode_moment(cell, out);
  if (conversion.text_as_number && text) return encode_text_as_number(cell.text(), column_.type, out);
  if (conversion.lossy_jsonb) return encode_lossy_jsonb(cell, out);
  if (conversion.truncate_fraction && text && shorten_fraction(cell.text(), shorter_)) {
    return type_.encode(Cell::of_text(shorter_), out);
  }
  if (conversion.base64 != Base64::none && (text || blob)) {
    const std::size_t start = out.size();
    out.put_int32(0);
    if (!decode_base64(text_of(cell.bytes()), conversion.base64, out)) return Misfit::not_base64;
    out.patch_int32(start, static_cast<std::int32_t>(out.size() - start - 4));
    return Misfit::none;
  }
  if (conversion.uuid_bytes != UuidBytes::none && blob) {
    std::array<std::byte, 16> bytes;
    if (cell.bytes().size() != bytes.size()) return Misfit::not_a_uuid;
    std::copy(cell.bytes().begin(), cell.bytes().end(), bytes.begin());
    if (conversion.uuid_bytes == UuidBytes::dotnet) {
      std::reverse(bytes.begin(), bytes.begin() + 4);
      std::swap(bytes[4], bytes[5]);
      std::swap(bytes[6], bytes[7]);
    }
    out.put_int32(16);
    out.append(bytes);
    return Misfit::none;
  }
  return type_.encode(cell, out);
}

Misfit ColumnEncoder::encode_moment(const Cell& cell, Buffer& out) {
  const Conversion& conversion = column_.conversion;
  if (cell.storage() == StorageClass::blob) return Misfit::storage_class;
  const bool text = cell.storage() == StorageClass::text;
  if (text && date_format_) return encode_formatted(cell.text(), out);
  WrittenNumber number;
  if (conversion.epoch != EpochUnit::none && (!text || parse_written_number(cell.text(), number))) {
    Moment moment;
    const Misfit misfit = moment_of_epoch(cell, conversion.epoch, conversion.truncate_fraction, moment);
    return misfit == Misfit::none ? put_moment(moment.days, moment.microseconds, out) : misfit;
  }
  if (text) return encode_iso(cell.text(), out);
  if (!date_format_ || cell.storage() != StorageClass::integer) return Misfit::storage_class;
  // '20240131' in a column declared as DATE, which has NUMERIC affinity.
  std::array<char, 24> room;
  const char* const end = std::to_chars(room.data(), room.data() + room.size(), cell.integer()).ptr;
  return encode_formatted({room.data(), static_cast<std::size_t>(end - room.data())}, out);
}

Misfit ColumnEncoder::encode_formatted(std::string_view text, Buffer& out) {
  WrittenTimestamp written;
  if (!date_format_->parse(text, column_.conversion.truncate_fraction, written)) return not_a(column_.type);
  return put_timestamp(written.microseconds - written.offset_seconds * kMicrosecondsPerSecond, out);
}

Misfit ColumnEncoder::encode_iso(std::string_view text, Buffer& out) {
  const Conversion& conversion = column_.conversion;
  if (conversion.truncate_fraction && shorten_fraction(text, shorter_)) text = shorter_;
  std::int64_t microseconds = 0;
  bool fits = false;
  switch (column_.type) {
    case PgType::time:
      fits = parse_time(text, microseconds);
      break;
    case PgType::timestamp:
      fits = parse_timestamp(text, microseconds);
      break;
    case PgType::timestamptz:
      fits = parse_timestamptz(text, microseconds) ||
             (conversion.naive_as_utc && parse_timestamp(text, microseconds));
      break;
    default:
      break;
  }
  // The type's own encoder names the reason.
  return fits ? put_timestamp(microseconds, out) : type_.encode(Cell::of_text(text), out);
}

Misfit ColumnEncoder::put_timestamp(std::int64_t microseconds, Buffer& out) const {
  std::int64_t days = microseconds / kMicrosecondsPerDay;
  std::int64_t rest = microseconds % kMicrosecondsPerDay;
  if (rest < 0) {
    rest += kMicrosecondsPerDay;
    --days;
  }
  return put_moment(days, rest, out);
}

Misfit ColumnEncoder::put_moment(std::int64_t days, std::int64_t microseconds, Buffer& out) const {
  if (column_.type == PgType::date) {
    if (microseconds != 0) return Misfit::not_exact;
    if (!in_date_range(days)) return Misfit::out_of_range;
    out.put_int32(4);
    out.put_int32(static_cast<std::int32_t>(days));
    return Misfit::none;
  }
  if (column_.conversion.truncate_fraction && column_.modifier.any()) {
    microseconds -= microseconds % microseconds_per_digit(column_.modifier.length);
  }
  // Dates reach further than timestamps, and in microseconds further than 64 bits.
  if (!in_date_range(days) || days > INT64_MAX / kMicrosecondsPerDay - 1) return Misfit::out_of_range;
  const std::int64_t value = days * kMicrosecondsPerDay + microseconds;
  if (!in_timestamp_range(value)) return Misfit::out_of_range;
  out.put_int32(8);
  out.put_int64(value);
  return Misfit::none;
}

bool ColumnEncoder::has_label(const Buffer& out, std::size_t start) const {
  const std::string_view value = text_of(field_value(out, start));
  return std::find(column_.labels.begin(), column_.labels.end(), value) != column_.labels.end();
}

}  // namespace sluice
