// Values of every class under every conversion that applies: a field, or a reason and nothing written past
// it.

#include <cstring>
#include <string>

#include "engine/model/conversion.h"
#include "fuzz/fuzz.h"
#include "io/wire/column_encoder.h"

namespace sluice {
namespace {

class Bytes {
 public:
  explicit Bytes(std::string_view text) : rest_(text) {}
  unsigned byte() {
    if (rest_.empty()) return 0;
    const auto value = static_cast<unsigned char>(rest_[0]);
    rest_.remove_prefix(1);
    return value;
  }
  [[nodiscard]] std::string_view rest() const { return rest_; }

 private:
  std::string_view rest_;
};

ColumnPlan column_of(Bytes& bytes) {
  ColumnPlan column;
  column.source = column.target = "c";
  column.type = static_cast<PgType>(bytes.byte() % kPgTypeCount);
  column.not_null = bytes.byte() % 2 == 0;
  Conversion& conversion = column.conversion;
  const unsigned flags = bytes.byte();
  conversion.empty_as_null = (flags & 1) != 0;
  conversion.zero_date_as_null = (flags & 2) != 0;
  conversion.truncate_fraction = (flags & 4) != 0;
  conversion.blob_as_text = (flags & 8) != 0;
  conversion.text_as_number = (flags & 16) != 0;
  conversion.naive_as_utc = (flags & 32) != 0;
  conversion.lossy_jsonb = (flags & 64) != 0;
  const unsigned more = bytes.byte();
  switch (more % 6) {
    case 1:
      conversion.epoch = static_cast<EpochUnit>(bytes.byte() % 11);
      break;
    case 2:
      conversion.encoding = static_cast<TextEncoding>(bytes.byte() % 4);
      conversion.bad_text = static_cast<BadText>(bytes.byte() % 3);
      break;
    case 3:
      conversion.uuid_bytes = static_cast<UuidBytes>(bytes.byte() % 3);
      break;
    case 4:
      conversion.base64 = static_cast<Base64>(bytes.byte() % 3);
      break;
    case 5:
      conversion.date_format = bytes.byte() % 2 == 0 ? "%d/%m/%Y %H:%M:%S.%f %z" : "%a, %d %b %y %I%p";
      break;
    default:
      break;
  }
  return column;
}

Cell cell_of(Bytes& bytes) {
  const unsigned storage = bytes.byte() % 4;
  const std::string_view rest = bytes.rest();
  std::uint64_t bits = 0;
  std::memcpy(&bits, rest.data(), std::min(rest.size(), sizeof bits));
  switch (storage) {
    case 0:
      return Cell::of_integer(static_cast<std::int64_t>(bits));
    case 1: {
      const double value = std::bit_cast<double>(bits);
      return Cell::of_real(value == value ? value : 0.5);  // SQLite stores no NaN
    }
    case 2:
      return Cell::of_text(rest);
    default:
      return Cell::of_blob(std::as_bytes(std::span(rest.data(), rest.size())));
  }
}

}  // namespace
}  // namespace sluice

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace sluice;
  Bytes bytes(fuzz::text_of(data, size));
  const ColumnPlan column = column_of(bytes);
  if (!why_not(column.conversion, column.type).empty()) return 0;
  const Cell cell = cell_of(bytes);
  Buffer out(64);
  Buffer again(64);
  ColumnEncoder encoder(column);
  const Misfit misfit = encoder.encode(cell, out);
  fuzz::expect(encoder.encode(cell, again) == misfit, "the same value has the same fate");
  if (misfit != Misfit::none) return 0;
  fuzz::expect(out.size() >= 4 && out.size() == again.size() &&
                   std::memcmp(out.span().data(), again.span().data(), out.size()) == 0,
               "and the same bytes");
  std::uint32_t length = 0;
  std::memcpy(&length, out.span().data(), sizeof length);
  length = __builtin_bswap32(length);
  if (length == 0xffffffffU) {
    fuzz::expect(!column.not_null && out.size() == 4, "NULL where it may be");
  } else {
    fuzz::expect(out.size() == 4 + std::size_t{length}, "a field is as long as it says");
  }
  return 0;
}
