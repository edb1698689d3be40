#pragma once
// The values of one column as its plan says: converted where the user asked for it, encoded as the type of
// the column, held against its modifier.
//
// What is sent, hashed and later read back is the converted value.

#include <optional>
#include <string>

#include "engine/model/cell.h"
#include "engine/model/plan.h"
#include "io/wire/buffer.h"
#include "io/wire/date_format.h"
#include "io/wire/type_table.h"

namespace sluice {

// One thread at a time.
class ColumnEncoder {
 public:
  // REQUIRES: why_not() has nothing against its conversion.
  explicit ColumnEncoder(const ColumnPlan& column);

  // Whether the function of the type table does all that the column asks for, except for NULL.
  static bool is_plain(const ColumnPlan& column);

  // Appends the field, for NULL and what becomes NULL as well. On a misfit the buffer holds rubbish from its
  // old size on; the caller truncates.
  Misfit encode(const Cell& cell, Buffer& out);

 private:
  [[nodiscard]] Misfit put_null(Buffer& out) const;
  [[nodiscard]] bool becomes_null(const Cell& cell) const;
  // Text that PostgreSQL takes, as far as the conversion can make it so.
  std::string_view in_utf8(std::string_view text);
  Misfit encode_value(const Cell& cell, Buffer& out);
  Misfit encode_moment(const Cell& cell, Buffer& out);
  Misfit encode_formatted(std::string_view text, Buffer& out);
  Misfit encode_iso(std::string_view text, Buffer& out);
  Misfit put_moment(std::int64_t days, std::int64_t microseconds, Buffer& out) const;
  Misfit put_timestamp(std::int64_t microseconds, Buffer& out) const;
  [[nodiscard]] bool has_label(const Buffer& out, std::size_t start) const;

  const ColumnPlan column_;
  const TypeRow& type_;
  std::optional<DateFormat> date_format_;
  bool moment_ = false;  // a date or time that is not simply ISO 8601
  std::string decoded_;
  std::string repaired_;
  std::string shorter_;
};

}  // namespace sluice
