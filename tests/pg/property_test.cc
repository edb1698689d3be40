// Random tables of random values, migrated by the program and read back with a plain SELECT.
//
// The oracle below is written from the documentation, not with io/wire: it says for each stored value, as
// sqlite3 returns it, which text the server must show in a column of a given type, or that the type cannot
// hold it. A row arrives if and only if every cell holds; a run may be refused only for a column that no type
// could hold.
//
// 2000 tables, or SLUICE_PROPERTY_CASES; SLUICE_TEST_SEED replays.

#include <gtest/gtest.h>
#include <libpq-fe.h>
#include <rapidcheck.h>
#include <sqlite3.h>

#include <algorithm>
#include <array>
#include <bit>
#include <charconv>
#include <chrono>
#include <cmath>
#include <cstdlib>
#include <fstream>
#include <iterator>
#include <limits>
#include <map>
#include <memory>
#include <nlohmann/json.hpp>
#include <optional>
#include <regex>
#include <set>
#include <sstream>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "support/command.h"
#include "support/conditions.h"
#include "support/query.h"
#include "support/seed.h"
#include "support/temporary_directory.h"
#include "support/test_server.h"

namespace sluice::testing {
namespace {

using Json = nlohmann::json;

// ---- Values and tables ----

struct Value {
  int storage_class = SQLITE_NULL;
  std::int64_t integer = 0;
  double real = 0;
  std::string bytes{};  // of TEXT and BLOB

  [[nodiscard]] bool null() const { return storage_class == SQLITE_NULL; }
};

Value integer(std::int64_t n) { return {.storage_class = SQLITE_INTEGER, .integer = n}; }
Value real(double x) { return {.storage_class = SQLITE_FLOAT, .real = x}; }
Value text(std::string bytes) { return {.storage_class = SQLITE_TEXT, .bytes = std::move(bytes)}; }
Value blob(std::string bytes) { return {.storage_class = SQLITE_BLOB, .bytes = std::move(bytes)}; }

std::string hex(const std::string& bytes) {
  std::string result;
  for (const char c : bytes) {
    const auto byte = static_cast<unsigned char>(c);
    result += "0123456789abcdef"[byte >> 4U];
    result += "0123456789abcdef"[byte & 15U];
  }
  return result;
}

std::string shortest(double x) {
  if (std::isinf(x)) return x < 0 ? "-Infinity" : "Infinity";
  std::array<char, 32> digits{};
  return {digits.data(), std::to_chars(digits.data(), digits.data() + digits.size(), x).ptr};
}

std::string describe(const Value& value) {
  switch (value.storage_class) {
    case SQLITE_INTEGER:
      return std::to_string(value.integer);
    case SQLITE_FLOAT:
      return "REAL " + shortest(value.real);
    case SQLITE_TEXT:
      return "TEXT x'" + hex(value.bytes.substr(0, 60)) + "' (" + std::to_string(value.bytes.size()) +
             " bytes)";
    case SQLITE_BLOB:
      return "BLOB x'" + hex(value.bytes.substr(0, 60)) + "'";
    default:
      return "NULL";
  }
}

// What a declared type asks for.
enum class Intent : std::uint8_t {
  integer,
  floating,
  decimal,
  boolean,
  date,
  time,
  timestamp,
  timestamptz,
  json,
  uuid,
  bytes,
  text,
  observed,  // says nothing: the values decide
};

struct Declaration {
  const char* type;
  Intent intent;
};

constexpr std::array kDeclarations = {
    Declaration{"INTEGER", Intent::integer},
    Declaration{"INT", Intent::integer},
    Declaration{"BIGINT", Intent::integer},
    Declaration{"TINYINT(1)", Intent::integer},
    Declaration{"UNSIGNED BIG INT", Intent::integer},
    Declaration{"intege", Intent::integer},
    Declaration{"REAL", Intent::floating},
    Declaration{"DOUBLE PRECISION", Intent::floating},
    Declaration{"FLOAT", Intent::floating},
    Declaration{"FLOATING POINT", Intent::floating},
    Declaration{"NUMERIC", Intent::decimal},
    Declaration{"DECIMAL(10,2)", Intent::decimal},
    Declaration{"MONEY", Intent::decimal},
    Declaration{"BOOLEAN", Intent::boolean},
    Declaration{"BOOL", Intent::boolean},
    Declaration{"DATE", Intent::date},
    Declaration{"TIME", Intent::time},
    Declaration{"DATETIME", Intent::timestamp},
    Declaration{"TIMESTAMP", Intent::timestamp},
    Declaration{"TIMESTAMPTZ", Intent::timestamptz},
    Declaration{"JSON", Intent::json},
    Declaration{"JSONB", Intent::json},
    Declaration{"UUID", Intent::uuid},
    Declaration{"GUID", Intent::uuid},
    Declaration{"BLOB", Intent::bytes},
    Declaration{"VARBINARY(9)", Intent::bytes},
    Declaration{"GEOMETRY", Intent::bytes},
    Declaration{"TEXT", Intent::text},
    Declaration{"VARCHAR(5)", Intent::text},
    Declaration{"CHAR(3)", Intent::text},
    Declaration{"TEXT NOL", Intent::text},
    Declaration{"STRING", Intent::observed},
    Declaration{"wibble(3, 4)", Intent::observed},
    Declaration{"", Intent::observed},
};

constexpr std::array kStrictDeclarations = {
    Declaration{"INTEGER", Intent::integer}, Declaration{"INT", Intent::integer},
    Declaration{"REAL", Intent::floating},   Declaration{"TEXT", Intent::text},
    Declaration{"BLOB", Intent::bytes},      Declaration{"ANY", Intent::observed},
};

enum class Key : std::uint8_t { none, rowid, primary, unique };

struct Column {
  Declaration declaration{};
  bool not_null = false;
};

struct Table {
  bool strict = false;
  Key key = Key::none;  // rowid: a column id of its own; otherwise of the first column
  std::vector<Column> columns;
  std::vector<std::vector<Value>> rows;

  [[nodiscard]] bool in_key(std::size_t column) const {
    return column == 0 && (key == Key::primary || key == Key::unique);
  }
};

std::string column_name(std::size_t column) { return "c" + std::to_string(column); }

std::string definition(const Table& table, const std::string& name) {
  std::string sql = "CREATE TABLE " + name + "(";
  if (table.key == Key::rowid) sql += "id INTEGER PRIMARY KEY, ";
  for (std::size_t i = 0; i < table.columns.size(); ++i) {
    if (i > 0) sql += ", ";
    sql += column_name(i) + " ";
    sql += table.columns[i].declaration.type;
    if (table.columns[i].not_null) sql += " NOT NULL";
    if (i == 0 && table.key == Key::primary) sql += " PRIMARY KEY";
    if (i == 0 && table.key == Key::unique) sql += " UNIQUE";
  }
  return sql + (table.strict ? ") STRICT" : ")");
}

void showValue(const Table& table, std::ostream& out) {
  out << definition(table, "t");
  for (const auto& row : table.rows) {
    out << "\n  (";
    for (std::size_t i = 0; i < row.size(); ++i) out << (i > 0 ? ", " : "") << describe(row[i]);
    out << ")";
  }
}

// ---- Random tables ----

std::string repeated(const std::string& part, int times) {
  std::string result;
  for (int i = 0; i < times; ++i) result += part;
  return result;
}

// Families of values. A column draws from a few of them, so that columns of one kind are as common as mixed
// ones.
const std::vector<std::vector<Value>>& families() {
  constexpr double kInfinite = std::numeric_limits<double>::infinity();
  constexpr auto kMin = std::numeric_limits<std::int64_t>::min();
  constexpr auto kMax = std::numeric_limits<std::int64_t>::max();
  static const std::vector<std::vector<Value>> all = {
      {integer(0), integer(1)},
      {integer(0), integer(1), integer(-1), integer(2), integer(42), integer(2024), integer(20240131)},
      {integer(kMin), integer(kMax), integer(32768), integer(-32769), integer(2147483648),
       integer(9007199254740992), integer(9007199254740993), integer(-9007199254740993)},
      {integer(1709212455), integer(1709212455123), integer(-1), integer(0)},
      {real(0.5), real(-1.25), real(0.1), real(1e21), real(1e-7), real(1230.99)},
      {real(1.0), real(0.0), real(100.0), real(-3.0)},
      {real(kInfinite), real(-kInfinite), real(-0.0), real(5e-324), real(1.7976931348623157e308),
       real(9223372036854775808.0), real(1e15), real(4503599627370497.5), real(0.1 + 0.2)},
      {text("a"), text("Abc def"), text("äöü €"), text("😀"), text("\xEF\xBF\xBE"),
       text("it's \"x\" \\N \\. \t\r\n")},
      {text("")},
      {text(repeated("long ", 3000)), text(repeated("ä", 5000))},
      {text("42"), text("-7"), text("0x1F"), text(" 7"), text("007"), text("9223372036854775808")},
      {text("1.50"), text("1e3"), text("-0.0"), text("NaN"), text("Infinity"), text(".5")},
      {text("t"), text("f"), text("TRUE"), text("false"), text("Y"), text("no"), text("on"), text("off"),
       text("yes"), text("N")},
      {text("tr"), text("of"), text(" true"), text("wahr")},
      {text("2024-01-02"), text("2024-02-29"), text("1969-12-31"), text("0001-01-01"), text("9999-12-31")},
      {text("2023-02-29"), text("0000-00-00"), text("2024-13-01"), text("01/02/2024"), text("today"),
       text("2024-1-2"), text("20240131"), text(" 2024-01-02")},
      {text("2024-01-02 03:04:05"), text("2024-01-02T03:04"), text("2024-01-02 03:04:05.123456"),
       text("1999-12-31 23:59:59.9"), text("2024-01-02 03:04:05.100000000")},
      {text("2024-01-02T03:04:05Z"), text("2024-01-02 03:04:05+02:00"), text("2024-12-31 23:59:59.5-0930"),
       text("2024-01-02 03:04:05 +0000 UTC"), text("2024-03-01 00:30:00+01")},
      {text("2024-01-02 24:00:00"), text("2024-01-02 23:59:60"), text("2024-01-02 03:04:05.1234567"),
       text("2024-01-02 03:04:05 Europe/Berlin"), text("2024-01-02 3:04"), text("now")},
      {text("00:00"), text("23:59:59"), text("12:34:56.789"), text("12:00:00.000001")},
      {text("24:00:00"), text("25:30:00"), text("-01:00"), text("12:00:60"), text("9:00"),
       text("12:00:00+01")},
      {text("a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11"), text("A0EEBC999C0B4EF8BB6D6BB9BD380A12"),
       text("{a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a13}")},
      {text("a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a1"), text("urn:uuid:a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11"),
       text("a0eebc99-9c0b4ef8-bb6d-6bb9bd380a11"), text("12345678123456781234567812345678")},
      {text("{}"), text("[1, 2.50, \"x\"]"), text("{\"b\": [true, null], \"aa\": {\"c\": \"\\u00e4\"}}"),
       text("null"), text("\"s\"")},
      {text("{a: 1}"), text("[1,]"), text("[NaN]"), text("{} {}"), text("'x'"), text("\xEF\xBB\xBF{}")},
      {text(std::string("a\0b", 3)), text(std::string(1, '\0'))},
      {text("caf\xE9"), text("\xC0\xAF"), text("\xED\xA0\x80"), text("\xF4\x90\x80\x80"), text("\xE2\x82")},
      {blob(""), blob("abc"), blob(std::string("\0\xFF", 2))},
      {blob(std::string("\x00\x11\x22\x33\x44\x55\x66\x77\x88\x99\xAA\xBB\xCC\xDD\xEE\xFF", 16))},
      {blob(std::string(1, '\0')), blob("\x01")},
      {blob(repeated("\xFE\x00z", 4000))},
  };
  return all;
}

// Which families a value of the declared intent usually comes from.
std::vector<std::size_t> natural_families(Intent intent) {
  switch (intent) {
    case Intent::integer:
      return {1, 2, 3};
    case Intent::floating:
      return {4, 5, 6, 1};
    case Intent::decimal:
      return {4, 1, 2, 11};
    case Intent::boolean:
      return {0, 0, 12, 5};
    case Intent::date:
      return {14, 14, 16, 3};
    case Intent::time:
      return {19, 19, 20};
    case Intent::timestamp:
      return {16, 16, 14, 17, 3};
    case Intent::timestamptz:
      return {17, 17, 16};
    case Intent::json:
      return {23, 23, 1, 24};
    case Intent::uuid:
      return {21, 21, 28};
    case Intent::bytes:
      return {27, 28, 30, 7};
    case Intent::text:
      return {7, 8, 9, 10, 14};
    case Intent::observed:
      return {1, 4, 7, 27};
  }
  return {};
}

// rapidcheck's own ranges grow with its notion of size; here every table is as wild as the next.
std::size_t pick(std::size_t below) {
  return *rc::gen::noShrink(rc::gen::resize(rc::kNominalSize, rc::gen::inRange<std::size_t>(0, below)));
}
bool one_in(std::size_t n) { return pick(n) == 0; }

Table random_table() {
  Table table;
  table.strict = one_in(8);
  table.key = static_cast<Key>(pick(4));
  const std::size_t width = 1 + pick(5);
  const std::size_t height = pick(8);
  std::vector<std::vector<std::size_t>> palettes;
  for (std::size_t i = 0; i < width; ++i) {
    Column column;
    column.declaration = table.strict ? kStrictDeclarations.at(pick(kStrictDeclarations.size()))
                                      : kDeclarations.at(pick(kDeclarations.size()));
    column.not_null = one_in(6);
    const std::vector<std::size_t> natural = natural_families(column.declaration.intent);
    std::vector<std::size_t> palette = {natural[pick(natural.size())]};
    if (one_in(2)) palette.push_back(natural[pick(natural.size())]);
    if (one_in(4)) palette.push_back(pick(families().size()));
    if (one_in(12)) palette = {pick(families().size()), pick(families().size()), pick(families().size())};
    palettes.push_back(palette);
    table.columns.push_back(column);
  }
  for (std::size_t r = 0; r < height; ++r) {
    std::vector<Value> row;
    for (std::size_t i = 0; i < width; ++i) {
      const std::vector<Value>& family = families()[palettes[i][pick(palettes[i].size())]];
      row.push_back(one_in(8) ? Value{} : family[pick(family.size())]);
    }
    table.rows.push_back(std::move(row));
  }
  return table;
}

// Fewer tables; of a single table, fewer rows, then fewer columns.
rc::Seq<std::vector<Table>> smaller(const std::vector<Table>& tables) {
  if (tables.size() > 1) return rc::shrink::removeChunks(tables);
  if (tables.empty()) return {};
  std::vector<std::vector<Table>> simpler;
  const Table& table = tables.front();
  for (std::size_t r = 0; r < table.rows.size(); ++r) {
    simpler.push_back(tables);
    simpler.back()[0].rows.erase(simpler.back()[0].rows.begin() + static_cast<std::ptrdiff_t>(r));
  }
  for (std::size_t c = 0; table.columns.size() > 1 && c < table.columns.size(); ++c) {
    simpler.push_back(tables);
    Table& less = simpler.back()[0];
    less.columns.erase(less.columns.begin() + static_cast<std::ptrdiff_t>(c));
    for (auto& row : less.rows) row.erase(row.begin() + static_cast<std::ptrdiff_t>(c));
  }
  return rc::seq::fromContainer(std::move(simpler));
}

// ---- The oracle ----

bool valid_utf8(std::string_view bytes) {
  for (std::size_t i = 0; i < bytes.size();) {
    const auto at = [&](std::size_t k) {
      return static_cast<unsigned char>(i + k < bytes.size() ? bytes[i + k] : 0);
    };
    const unsigned lead = at(0);
    if (lead == 0) return false;  // U+0000, which PostgreSQL refuses as well
    const std::size_t length = lead < 0x80        ? 1
                               : lead >> 5U == 6  ? 2
                               : lead >> 4U == 14 ? 3
                               : lead >> 3U == 30 ? 4
                                                  : 0;
    if (length == 0) return false;
    unsigned code = length == 1 ? lead : lead & (0xFFU >> (length + 1));
    for (std::size_t k = 1; k < length; ++k) {
      if (at(k) >> 6U != 2) return false;
      code = code << 6U | (at(k) & 63U);
    }
    constexpr std::array<unsigned, 5> kLeast = {0, 0, 0x80, 0x800, 0x10000};
    if (code < kLeast.at(length) || code > 0x10FFFF || (code >= 0xD800 && code < 0xE000)) return false;
    i += length;
  }
  return true;
}

// "-12.340e5" -> sign, digits without zeros at the ends, and the power of ten of the last digit.
std::string canonical_decimal(const std::string& written) {
  static const std::regex kForm("(-?)(\\d*)(?:\\.(\\d*))?(?:[eE]([+-]?\\d+))?");
  std::smatch match;
  if (!std::regex_match(written, match, kForm)) return written;  // Infinity
  std::string digits = match[2].str() + match[3].str();
  int exponent = (match[4].matched ? std::stoi(match[4]) : 0) - static_cast<int>(match[3].length());
  while (!digits.empty() && digits.back() == '0') {
    digits.pop_back();
    ++exponent;
  }
  digits.erase(0, std::min(digits.find_first_not_of('0'), digits.size()));
  if (digits.empty()) return "0";
  return match[1].str() + digits + "e" + std::to_string(exponent);
}

// 2^63 as 9.223372036854776e+18: the fewest digits, not all of them.
std::string fewest_digits(double x) {
  if (std::isinf(x)) return shortest(x);
  std::array<char, 32> digits{};
  const auto end =
      std::to_chars(digits.data(), digits.data() + digits.size(), x, std::chars_format::scientific);
  return {digits.data(), end.ptr};
}

// Fields of a date and a time as written, checked against the calendar.
struct Written {
  bool has_time = false;
  bool has_zone = false;
  std::chrono::sys_days day;
  std::chrono::microseconds time{};
  std::chrono::minutes zone{};
};

std::optional<std::chrono::microseconds> time_of(const std::string& hour, const std::string& minute,
                                                 const std::string& second, std::string fraction) {
  const int h = std::stoi(hour);
  const int m = std::stoi(minute);
  const int s = second.empty() ? 0 : std::stoi(second);
  if (h > 23 || m > 59 || s > 59) return std::nullopt;
  if (fraction.find_first_not_of('0', std::min<std::size_t>(6, fraction.size())) != std::string::npos)
    return std::nullopt;
  fraction.resize(6, '0');
  return std::chrono::hours(h) + std::chrono::minutes(m) + std::chrono::seconds(s) +
         std::chrono::microseconds(std::stoi(fraction));
}

std::optional<Written> written_of(const std::string& bytes) {
  static const std::regex kForm(
      "(\\d{4})-(\\d\\d)-(\\d\\d)(?:[ T](\\d\\d):(\\d\\d)(?::(\\d\\d)(?:\\.(\\d+))?)?"
      "(?: ?([Zz]|[+-]\\d\\d(?::?\\d\\d)?)|( \\+0000 UTC))?)?");
  std::smatch match;
  if (bytes.size() > 60 || !std::regex_match(bytes, match, kForm)) return std::nullopt;
  const std::chrono::year_month_day date(std::chrono::year(std::stoi(match[1])),
                                         std::chrono::month(static_cast<unsigned>(std::stoi(match[2]))),
                                         std::chrono::day(static_cast<unsigned>(std::stoi(match[3]))));
  if (!date.ok()) return std::nullopt;
  Written written;
  written.day = date;
  written.has_time = match[4].matched;
  if (written.has_time) {
    const auto time = time_of(match[4], match[5], match[6], match[7]);
    if (!time) return std::nullopt;
    written.time = *time;
  }
  written.has_zone = match[8].matched || match[9].matched;
  const std::string zone = match[8];
  if (zone.size() > 1) {
    const int minutes =
        std::stoi(zone.substr(1, 2)) * 60 + (zone.size() > 3 ? std::stoi(zone.substr(zone.size() - 2)) : 0);
    written.zone = std::chrono::minutes(zone[0] == '-' ? -minutes : minutes);
  }
  return written;
}

std::string two(long long n) { return (n < 10 ? "0" : "") + std::to_string(n); }

std::string printed_time(std::chrono::microseconds time) {
  const auto total = time.count() / 1'000'000;
  std::string result = two(total / 3600) + ":" + two(total / 60 % 60) + ":" + two(total % 60);
  if (const auto fraction = time.count() % 1'000'000; fraction != 0) {
    std::string digits = std::to_string(1'000'000 + fraction).substr(1);
    digits.erase(digits.find_last_not_of('0') + 1);
    result += "." + digits;
  }
  return result;
}

std::string printed_date(std::chrono::sys_days day) {
  const std::chrono::year_month_day date(day);
  const int year = static_cast<int>(date.year());
  std::string number = std::to_string(year > 0 ? year : 1 - year);
  number.insert(0, number.size() < 4 ? 4 - number.size() : 0, '0');
  return number + "-" + two(static_cast<unsigned>(date.month())) + "-" +
         two(static_cast<unsigned>(date.day()));
}

std::string printed_timestamp(const Written& written, bool shift) {
  const std::chrono::sys_time<std::chrono::microseconds> moment =
      written.day + written.time - (shift ? written.zone : std::chrono::minutes(0));
  const auto day = std::chrono::floor<std::chrono::days>(moment);
  const std::string text = printed_date(day) + " " + printed_time(moment - day) + (shift ? "+00" : "");
  return std::chrono::year_month_day(day).year() > std::chrono::year(0) ? text : text + " BC";
}

std::string lower(std::string text) {
  for (char& c : text) c = c >= 'A' && c <= 'Z' ? static_cast<char>(c + 32) : c;
  return text;
}

// What a column of the type shows for the value, in the form of canonical(); nothing when it cannot hold it.
std::optional<std::string> held(const std::string& type, const Value& value) {
  const bool is_integer = value.storage_class == SQLITE_INTEGER;
  const bool is_real = value.storage_class == SQLITE_FLOAT;
  const bool is_text = value.storage_class == SQLITE_TEXT;
  const bool is_blob = value.storage_class == SQLITE_BLOB;
  if (value.null()) return "NULL";
  if (type == "bytea") {
    if (is_integer || is_real) return std::nullopt;
    return "\\x" + hex(value.bytes);
  }
  if (is_text && !valid_utf8(value.bytes)) return std::nullopt;
  if (type == "text") {
    if (is_integer) return std::to_string(value.integer);
    if (is_real) return shortest(value.real);
    if (is_text) return value.bytes;
    return std::nullopt;
  }
  if (type == "bigint") {
    if (is_integer) return std::to_string(value.integer);
    if (is_real && std::trunc(value.real) == value.real && value.real >= -0x1p63 && value.real < 0x1p63) {
      return std::to_string(static_cast<std::int64_t>(value.real));
    }
    return std::nullopt;
  }
  if (type == "double precision") {
    if (is_integer && std::abs(static_cast<long double>(value.integer)) <= 9007199254740992.0L) {
      return std::to_string(std::bit_cast<std::uint64_t>(static_cast<double>(value.integer)));
    }
    if (is_real) return std::to_string(std::bit_cast<std::uint64_t>(value.real));
    return std::nullopt;
  }
  if (type == "numeric") {
    if (is_integer) return canonical_decimal(std::to_string(value.integer));
    if (is_real) return canonical_decimal(fewest_digits(value.real));
    return std::nullopt;
  }
  if (type == "boolean") {
    if (is_integer && (value.integer == 0 || value.integer == 1)) return value.integer == 1 ? "t" : "f";
    if (is_real && (value.real == 0 || value.real == 1)) return value.real == 1 ? "t" : "f";
    static const std::set<std::string> kTrue = {"t", "true", "y", "yes", "on", "1"};
    static const std::set<std::string> kFalse = {"f", "false", "n", "no", "off", "0"};
    if (is_text && kTrue.contains(lower(value.bytes))) return "t";
    if (is_text && kFalse.contains(lower(value.bytes))) return "f";
    return std::nullopt;
  }
  if (type == "json" || type == "jsonb") {
    if (is_integer) return Json(value.integer).dump();
    if (is_real && !std::isinf(value.real)) return Json::parse(shortest(value.real)).dump();
    // The library skips a byte order mark, which is no JSON.
    if (is_text && !value.bytes.starts_with("\xEF\xBB\xBF") && Json::accept(value.bytes))
      return type == "json" ? value.bytes : Json::parse(value.bytes).dump();
    return std::nullopt;
  }
  if (type == "uuid") {
    static const std::regex kForm(
        "[0-9a-f]{32}|[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}");
    std::string bytes = lower(value.bytes);
    if (bytes.size() > 2 && bytes.front() == '{' && bytes.back() == '}')
      bytes = bytes.substr(1, bytes.size() - 2);
    if (!is_text || bytes.size() > 40 || !std::regex_match(bytes, kForm)) return std::nullopt;
    std::erase(bytes, '-');
    for (const std::size_t dash : {8U, 13U, 18U, 23U}) bytes.insert(dash, "-");
    return bytes;
  }
  if (is_blob || !is_text) return std::nullopt;
  if (type == "time without time zone") {
    static const std::regex kForm("(\\d\\d):(\\d\\d)(?::(\\d\\d)(?:\\.(\\d+))?)?");
    std::smatch match;
    if (value.bytes.size() > 40 || !std::regex_match(value.bytes, match, kForm)) return std::nullopt;
    const auto time = time_of(match[1], match[2], match[3], match[4]);
    if (!time) return std::nullopt;
    return printed_time(*time);
  }
  const auto written = written_of(value.bytes);
  if (!written) return std::nullopt;
  if (type == "date") return written->has_time ? std::nullopt : std::optional(printed_date(written->day));
  if (type == "timestamp without time zone" && !written->has_zone) return printed_timestamp(*written, false);
  if (type == "timestamp with time zone" && written->has_zone) return printed_timestamp(*written, true);
  return std::nullopt;
}

// The server's text, in the same form: one spelling for one value.
std::string canonical(const std::string& type, const std::string& shown) {
  if (type == "double precision") {
    return std::to_string(std::bit_cast<std::uint64_t>(std::strtod(shown.c_str(), nullptr)));
  }
  if (type == "numeric") return canonical_decimal(shown);
  if (type == "jsonb" && Json::accept(shown)) return Json::parse(shown).dump();
  if (type == "json" && Json::accept(shown) && Json::parse(shown).is_number())
    return Json::parse(shown).dump();
  return shown;
}

// From the declared intent to wider types, in the order in which they are tried.
std::vector<std::string> ladder(Intent intent) {
  switch (intent) {
    case Intent::integer:
      return {"bigint", "double precision", "numeric", "text"};
    case Intent::floating:
      return {"double precision", "numeric", "text"};
    case Intent::decimal:
      return {"numeric", "text"};
    case Intent::boolean:
      return {"boolean", "bigint", "text"};
    case Intent::date:
      return {"date", "timestamp without time zone", "timestamp with time zone", "bigint", "double precision",
              "text"};
    case Intent::time:
      return {"time without time zone", "bigint", "double precision", "text"};
    case Intent::timestamp:
      return {"timestamp without time zone", "timestamp with time zone", "bigint", "double precision",
              "text"};
    case Intent::timestamptz:
      return {"timestamp with time zone", "timestamp without time zone", "bigint", "double precision",
              "text"};
    case Intent::json:
      return {"json", "text"};
    case Intent::uuid:
      return {"uuid", "text"};
    case Intent::bytes:
      return {"bytea"};
    case Intent::text:
      return {"text"};
    case Intent::observed:
      return {"bigint", "double precision", "numeric", "text", "bytea"};
  }
  return {};
}

bool holds_blob(const std::vector<Value>& values) {
  return std::any_of(values.begin(), values.end(),
                     [](const Value& value) { return value.storage_class == SQLITE_BLOB; });
}

bool holds_all(const std::string& type, const std::vector<Value>& values) {
  return std::all_of(values.begin(), values.end(),
                     [&](const Value& value) { return held(type, value).has_value(); });
}

bool same_type(const std::string& one, const std::string& other) {
  return one == other || (one == "json" && other == "jsonb");
}

// ---- One batch of tables ----

struct Stored {  // as SQLite returns it
  std::vector<std::vector<Value>> rows;

  [[nodiscard]] std::vector<Value> column(std::size_t i) const {
    std::vector<Value> values;
    for (const auto& row : rows) values.push_back(row[i]);
    return values;
  }
};

struct CloseDatabase {
  void operator()(sqlite3* db) const noexcept { sqlite3_close_v2(db); }
};
struct FinalizeStatement {
  void operator()(sqlite3_stmt* statement) const noexcept { sqlite3_finalize(statement); }
};
using Statement = std::unique_ptr<sqlite3_stmt, FinalizeStatement>;

Statement prepared(sqlite3* database, const std::string& sql) {
  sqlite3_stmt* raw = nullptr;
  if (sqlite3_prepare_v2(database, sql.c_str(), -1, &raw, nullptr) != SQLITE_OK) {
    throw std::runtime_error(sql + ": " + sqlite3_errmsg(database));
  }
  return Statement(raw);
}

void bind(sqlite3_stmt* statement, int place, const Value& value) {
  const auto length = static_cast<sqlite3_uint64>(value.bytes.size());
  switch (value.storage_class) {
    case SQLITE_INTEGER:
      sqlite3_bind_int64(statement, place, value.integer);
      break;
    case SQLITE_FLOAT:
      sqlite3_bind_double(statement, place, value.real);
      break;
    case SQLITE_TEXT:
      sqlite3_bind_text64(statement, place, value.bytes.data(), length, SQLITE_TRANSIENT, SQLITE_UTF8);
      break;
    case SQLITE_BLOB:
      sqlite3_bind_blob64(statement, place, value.bytes.data(), length, SQLITE_TRANSIENT);
      break;
    default:
      sqlite3_bind_null(statement, place);
  }
}

Value read(sqlite3_stmt* statement, int place) {
  Value value;
  value.storage_class = sqlite3_column_type(statement, place);
  if (value.storage_class == SQLITE_INTEGER) value.integer = sqlite3_column_int64(statement, place);
  if (value.storage_class == SQLITE_FLOAT) value.real = sqlite3_column_double(statement, place);
  if (value.storage_class == SQLITE_TEXT || value.storage_class == SQLITE_BLOB) {
    const void* bytes = sqlite3_column_blob(statement, place);
    const int length = sqlite3_column_bytes(statement, place);
    if (length > 0) value.bytes.assign(static_cast<const char*>(bytes), static_cast<std::size_t>(length));
  }
  return value;
}

// Writes the tables t0, t1, ... and returns what is in them then: affinity has been at work, and rows that
// break a constraint of SQLite's were not taken.
std::vector<Stored> write_source(const std::string& path, const std::vector<Table>& tables) {
  sqlite3* raw = nullptr;
  sqlite3_open(path.c_str(), &raw);
  const std::unique_ptr<sqlite3, CloseDatabase> database(raw);
  sqlite3_exec(raw, "PRAGMA synchronous = OFF; BEGIN", nullptr, nullptr, nullptr);
  std::vector<Stored> stored;
  for (std::size_t t = 0; t < tables.size(); ++t) {
    const Table& table = tables[t];
    const std::string name = "t" + std::to_string(t);
    sqlite3_step(prepared(raw, definition(table, name)).get());
    std::string columns;
    std::string places;
    for (std::size_t i = 0; i < table.columns.size(); ++i) {
      columns.append(i > 0 ? ", " : "").append(column_name(i));
      places += i > 0 ? ", ?" : "?";
    }
    const Statement insert =
        prepared(raw, "INSERT INTO " + name + "(" + columns + ") VALUES (" + places + ")");
    for (const auto& row : table.rows) {
      for (std::size_t i = 0; i < row.size(); ++i) bind(insert.get(), static_cast<int>(i) + 1, row[i]);
      sqlite3_step(insert.get());
      sqlite3_reset(insert.get());
    }
    stored.emplace_back();
    const Statement select = prepared(raw, "SELECT " + columns + " FROM " + name + " NOT INDEXED");
    while (sqlite3_step(select.get()) == SQLITE_ROW) {
      std::vector<Value> row;
      for (std::size_t i = 0; i < table.columns.size(); ++i)
        row.push_back(read(select.get(), static_cast<int>(i)));
      stored.back().rows.push_back(std::move(row));
    }
  }
  sqlite3_exec(raw, "COMMIT", nullptr, nullptr, nullptr);
  return stored;
}

struct FinishConnection {
  void operator()(PGconn* connection) const noexcept { PQfinish(connection); }
};
struct ClearResult {
  void operator()(PGresult* result) const noexcept { PQclear(result); }
};
using Result = std::unique_ptr<PGresult, ClearResult>;

Result ask(PGconn* connection, const std::string& sql) {
  Result result(PQexec(connection, sql.c_str()));
  const auto status = PQresultStatus(result.get());
  if (status != PGRES_TUPLES_OK && status != PGRES_COMMAND_OK)
    throw std::runtime_error(PQerrorMessage(connection));
  return result;
}

using Place = std::pair<std::size_t, std::size_t>;  // table, column

// Columns that a refusal names: lines "table tN, column cN: ...".
std::set<Place> refused_columns(const std::string& messages) {
  static const std::regex kPlace("table t(\\d+), column c(\\d+):");
  std::set<Place> places;
  for (std::sregex_iterator i(messages.begin(), messages.end(), kPlace), end; i != end; ++i) {
    places.emplace(std::stoul((*i)[1]), std::stoul((*i)[2]));
  }
  return places;
}

class Migration {
 public:
  explicit Migration(std::vector<Table> tables) : tables_(std::move(tables)) {
    stored_ = write_source(folder_ / "source.sqlite", tables_);
  }

  void widens_or_refuses_for_a_reason() {
    const CommandResult first = run({});
    if (first.exit_status == 0) {
      compare("widen", {});
      return;
    }
    RC_ASSERT(first.exit_status == 2);
    const std::set<Place> refused = refused_columns(first.err);
    if (refused.empty()) RC_FAIL("refused without a column: " + first.err);
    std::ofstream mapping(folder_ / "mapping.toml");
    for (const Place& place : refused) {
      const auto [table, column] = place;
      const Intent intent = tables_[table].columns[column].declaration.intent;
      for (const std::string& type : ladder(intent)) {
        // Bytes are not what texts become unasked; in a column of unknown intent only a blob makes them that.
        if (type == "bytea" && intent == Intent::observed && !holds_blob(stored_[table].column(column)))
          continue;
        if (holds_all(type, stored_[table].column(column))) {
          RC_FAIL("refused " + name_of(place) + ", which " + type + " holds: " + first.err);
        }
      }
      mapping << "[tables.t" << table << ".columns.c" << column
              << "]\non-misfit = \"reject\"\nbad-text = \"reject\"\n";
    }
    mapping.close();
    const CommandResult second = run({"--config", folder_ / "mapping.toml"});
    if (second.exit_status != 0 && second.exit_status != 3) RC_FAIL(second.err);
    compare("widen", refused);
  }

  void keeps_the_declared_types() {
    const CommandResult result = run({"--on-misfit", "reject", "--bad-text", "reject"});
    if (result.exit_status != 0 && result.exit_status != 3) RC_FAIL(result.err);
    compare("reject", {});
  }

 private:
  CommandResult run(const std::vector<std::string>& flags) {
    target_ = shared_test_server().conninfo("property");
    execute(target_,
            "SET client_min_messages = error; DROP SCHEMA IF EXISTS sluice CASCADE; DROP SCHEMA public "
            "CASCADE; CREATE SCHEMA public");
    CommandOptions options;
    options.directory = folder_.path();
    std::vector<std::string> argv = {sluice_program(), "migrate",  folder_ / "source.sqlite",
                                     target_,          "--report", folder_ / "report"};
    argv.insert(argv.end(), flags.begin(), flags.end());
    return run_command(argv, options);
  }

  [[nodiscard]] std::string name_of(const Place& place) const {
    return "t" + std::to_string(place.first) + "." + column_name(place.second) + " " +
           tables_[place.first].columns[place.second].declaration.type;
  }

  // `may_reject`: columns whose misfits go to the reject file although others widen.
  void compare(const std::string& policy, const std::set<Place>& may_reject) {
    const std::unique_ptr<PGconn, FinishConnection> connection(PQconnectdb(target_.c_str()));
    ask(connection.get(), "SET TimeZone = 'UTC'");
    std::map<std::string, std::string> types;
    const Result listed =
        ask(connection.get(),
            "SELECT c.relname || '.' || a.attname, format_type(a.atttypid, a.atttypmod) FROM pg_class c "
            "JOIN pg_attribute a ON a.attrelid = c.oid WHERE c.relnamespace = 'public'::regnamespace "
            "AND c.relkind = 'r' AND a.attnum > 0");
    for (int i = 0; i < PQntuples(listed.get()); ++i) {
      types[PQgetvalue(listed.get(), i, 0)] = PQgetvalue(listed.get(), i, 1);
    }
    for (std::size_t t = 0; t < tables_.size(); ++t) {
      const std::string name = "t" + std::to_string(t);
      std::vector<std::string> columns;
      std::string list;
      for (std::size_t i = 0; i < tables_[t].columns.size(); ++i) {
        columns.push_back(types[name + "." + column_name(i)]);
        list.append(i > 0 ? ", " : "").append(column_name(i));
        check_type({t, i}, columns.back(), policy, may_reject.contains({t, i}));
      }
      std::multiset<std::vector<std::string>> expected;
      for (const auto& row : stored_[t].rows) {
        std::vector<std::string> shown;
        for (std::size_t i = 0; i < row.size(); ++i) {
          const auto cell = held(columns[i], row[i]);
          if (!cell) break;
          shown.push_back((row[i].null() ? "" : "=") + *cell);
        }
        if (shown.size() == row.size()) expected.insert(shown);
      }
      std::multiset<std::vector<std::string>> found;
      const Result rows = ask(connection.get(), "SELECT " + list + " FROM " + name);
      for (int r = 0; r < PQntuples(rows.get()); ++r) {
        std::vector<std::string> shown;
        for (std::size_t i = 0; i < columns.size(); ++i) {
          const int c = static_cast<int>(i);
          shown.push_back(PQgetisnull(rows.get(), r, c) != 0
                              ? "NULL"
                              : "=" + canonical(columns[i], PQgetvalue(rows.get(), r, c)));
        }
        found.insert(shown);
      }
      if (expected != found) {
        std::ostringstream message;
        message << definition(tables_[t], name) << " arrived as";
        for (const std::string& type : columns) message << " " << type << ",";
        for (const auto& row : expected) show(row, found.contains(row), "\n  expected", message);
        for (const auto& row : found) show(row, expected.contains(row), "\n  found   ", message);
        RC_FAIL(message.str());
      }
    }
    check_rejects(types);
  }

  static void show(const std::vector<std::string>& row, bool in_both, const char* heading,
                   std::ostream& out) {
    if (in_both) return;
    out << heading;
    for (const std::string& cell : row) out << " | " << cell.substr(0, 80);
  }

  void check_type(const Place& place, const std::string& type, const std::string& policy, bool may_reject) {
    const auto& [t, c] = place;
    const Intent intent = tables_[t].columns[c].declaration.intent;
    const std::vector<Value> values = stored_[t].column(c);
    const std::vector<std::string> types = ladder(intent);
    const std::string problem = name_of(place) + " became " + type;
    if (policy == "reject") {
      // What the declaration leaves open is decided by the values in this mode, too.
      if (intent != Intent::observed && !same_type(types.front(), type)) RC_FAIL(problem);
      return;
    }
    if (may_reject) return;
    if (!holds_all(type, values)) RC_FAIL(problem + ", which does not hold every value");
    if (tables_[t].in_key(c)) return;  // where two keys would become equal, it stays text
    const bool all_null =
        std::all_of(values.begin(), values.end(), [](const Value& value) { return value.null(); });
    if (intent == Intent::observed && all_null) return;
    for (const std::string& narrower : types) {
      if (same_type(narrower, type)) return;
      // What holds reals alone says by itself that it is meant for them, whole numbers or not.
      const bool reals = std::any_of(values.begin(), values.end(),
                                     [](const Value& value) { return value.storage_class == SQLITE_FLOAT; });
      if (intent == Intent::observed && narrower == "bigint" && reals) continue;
      if (holds_all(narrower, values)) RC_FAIL(problem + ", but " + narrower + " holds every value");
    }
  }

  // A row is in the reject file for a column whose type cannot hold its value, and for no other.
  void check_rejects(std::map<std::string, std::string>& types) {
    std::map<std::size_t, std::size_t> rejected;
    std::ifstream file(folder_ / "report" / "rejects.jsonl");
    for (std::string line; std::getline(file, line);) {
      const Json record = Json::parse(line);
      const std::string table = record["table"];
      const std::string column = record["column"];
      const std::size_t t = std::stoul(table.substr(1));
      ++rejected[t];
      const std::vector<Value> values = stored_[t].column(std::stoul(column.substr(1)));
      if (holds_all(types[table + "." + column], values)) RC_FAIL("rejected without a reason: " + line);
    }
    for (std::size_t t = 0; t < tables_.size(); ++t) {
      std::size_t misfits = 0;
      for (const auto& row : stored_[t].rows) {
        bool fits = true;
        for (std::size_t i = 0; i < row.size(); ++i) {
          fits = fits && held(types["t" + std::to_string(t) + "." + column_name(i)], row[i]).has_value();
        }
        misfits += fits ? 0 : 1;
      }
      if (misfits != rejected[t]) {
        RC_FAIL("t" + std::to_string(t) + ": " + std::to_string(misfits) + " rows do not fit, " +
                std::to_string(rejected[t]) + " are in the reject file");
      }
    }
  }

  TemporaryDirectory folder_{"sluice-property"};
  std::vector<Table> tables_;
  std::vector<Stored> stored_;
  std::string target_;
};

// ---- The properties ----

constexpr std::size_t kTablesPerRun = 50;

std::size_t cases() {
  const char* given = std::getenv("SLUICE_PROPERTY_CASES");
  return given == nullptr ? 2000 : std::stoul(given);
}

void check_batches(const std::string& description, void (Migration::*property)()) {
  shared_test_server().create_database("property");
  const auto batches = static_cast<int>((cases() / 2 + kTablesPerRun - 1) / kTablesPerRun);
  if (std::getenv("RC_PARAMS") == nullptr) {
    const std::string parameters = "seed=" + std::to_string(test_seed());
    setenv("RC_PARAMS", parameters.c_str(), 1);
  }
  rc::detail::TestParams parameters = rc::detail::configuration().testParams;
  parameters.maxSuccess = batches;
  const auto batch = rc::gen::shrink(rc::gen::noShrink(rc::gen::container<std::vector<Table>>(
                                         kTablesPerRun, rc::gen::noShrink(rc::gen::exec(random_table)))),
                                     [](const std::vector<Table>& tables) { return smaller(tables); });
  rc::detail::TestMetadata metadata;
  metadata.description = description;
  const auto result =
      rc::detail::checkTestable([&] { (Migration(*batch).*property)(); }, metadata, parameters);
  if (!result.template is<rc::detail::SuccessResult>()) {
    std::ostringstream message;
    rc::detail::printResultMessage(result, message);
    FAIL() << message.str();
  }
}

TEST(Property, EveryTableArrivesInTypesThatHoldItsValuesOrIsRefusedForAReason) {
  if (!contains(run_command({sluice_program(), "migrate", "--help"}).out, "[widen]")) {
    GTEST_SKIP() << "widening is not the default yet";
  }
  check_batches("widen", &Migration::widens_or_refuses_for_a_reason);
}

TEST(Property, DeclaredTypesStandWhereMisfitsAreRejectedAndEveryOtherRowArrives) {
  check_batches("reject", &Migration::keeps_the_declared_types);
}

}  // namespace
}  // namespace sluice::testing
