#include "io/wire/reject_record.h"

#include <array>
#include <charconv>
#include <cmath>

#include "engine/model/hex.h"
#include "io/wire/utf8.h"

namespace sluice {
namespace {

// Enough to recognise a value by, little enough for a file of millions of lines.
constexpr std::size_t kHexBytesMax = 64;

constexpr char kHexDigits[] = "0123456789abcdef";

void append_quoted(std::string& json, std::string_view text) {
  json += '"';
  for (const char c : text) {
    const auto code = static_cast<unsigned char>(c);
    if (c == '"' || c == '\\') {
      json += '\\';
      json += c;
    } else if (code < 0x20) {
      json += "\\u00";
      json += kHexDigits[code >> 4];
      json += kHexDigits[code & 0xf];
    } else {
      json += c;
    }
  }
  json += '"';
}

void append_hex(std::string& json, std::string_view bytes) {
  json += '"';
  json += hex_of(bytes);
  json += '"';
}

std::string number_text(const Cell& cell) {
  std::array<char, 32> room;
  if (cell.storage() == StorageClass::real && std::isinf(cell.real())) {
    return cell.real() < 0 ? "-Infinity" : "Infinity";  // as a column of text would hold it
  }
  const auto end = cell.storage() == StorageClass::integer
                       ? std::to_chars(room.data(), room.data() + room.size(), cell.integer()).ptr
                       : std::to_chars(room.data(), room.data() + room.size(), cell.real()).ptr;
  return {room.data(), end};
}

std::string_view bytes_of(const Cell& cell) {
  return {reinterpret_cast<const char*>(cell.bytes().data()), cell.bytes().size()};
}

void append_key_value(std::string& json, const Cell& cell) {
  switch (cell.storage()) {
    case StorageClass::null:
      json += "null";
      return;
    case StorageClass::integer:
      json += number_text(cell);
      return;
    case StorageClass::real:
      if (std::isfinite(cell.real())) {
        json += number_text(cell);
      } else {
        append_quoted(json, number_text(cell));
      }
      return;
    case StorageClass::text:
      if (check_text(cell.text()) == TextCheck::ok) {
        append_quoted(json, cell.text());
        return;
      }
      [[fallthrough]];
    case StorageClass::blob:
      json += "{\"hex\": ";
      append_hex(json, bytes_of(cell));
      json += '}';
      return;
  }
}

void append_key(std::string& json, const TablePlan& plan, Row row) {
  if (plan.row_key == RowKey::none) {
    json += "null";
    return;
  }
  json += '{';
  if (plan.row_key == RowKey::rowid) {
    json += "\"rowid\": ";
    append_key_value(json, row[plan.columns.size()]);
  }
  bool first = true;
  for (const std::size_t column : plan.key_columns) {
    if (!first) json += ", ";
    first = false;
    append_quoted(json, plan.columns[column].source);
    json += ": ";
    append_key_value(json, row[column]);
  }
  json += '}';
}

}  // namespace

std::string key_of_row(const TablePlan& plan, Row row) {
  std::string json;
  append_key(json, plan, row);
  return json;
}

std::string reject_record(const TablePlan& plan, Row row, const CellReject& reject) {
  const ColumnPlan& column = plan.columns[reject.column];
  const Cell& cell = row[reject.column];
  std::string number;
  std::string_view value;  // of perhaps a gigabyte, so not copied
  if (cell.storage() == StorageClass::integer || cell.storage() == StorageClass::real) {
    number = number_text(cell);
    value = number;
  } else if (!cell.is_null()) {
    value = bytes_of(cell);
  }
  std::string json = "{\"table\": ";
  append_quoted(json, plan.source);
  json += ", \"target\": ";
  append_quoted(json, plan.schema + "." + plan.target);
  json += ", \"key\": ";
  append_key(json, plan, row);
  json += ", \"column\": ";
  append_quoted(json, column.source);
  json += ", \"declared_type\": ";
  append_quoted(json, column.declared_type);
  json += ", \"target_type\": ";
  append_quoted(json, type_of(column));
  json += ", \"storage_class\": ";
  append_quoted(json, name_of(cell.storage()));
  json += ", \"length\": " + std::to_string(value.size());
  json += ", \"hex\": ";
  append_hex(json, value.substr(0, kHexBytesMax));
  json += ", \"reason\": ";
  append_quoted(json, name_of(reject.reason));
  json += '}';
  return json;
}

}  // namespace sluice
