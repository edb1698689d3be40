#include "io/wire/column_profile.h"

#include <algorithm>
#include <array>
#include <bit>
#include <cassert>
#include <charconv>
#include <cmath>
#include <limits>

#include "engine/model/hex.h"
#include "engine/model/quote.h"
#include "io/wire/datetime.h"
#include "io/wire/utf8.h"

namespace sluice {
namespace {

constexpr std::uint64_t kSampledFirst = 256;
constexpr std::uint64_t kSampledEvery = 64;
constexpr std::uint64_t kLong = std::uint64_t{1} << 20;  // bytes worth showing
constexpr std::uint64_t kExactInDouble = std::uint64_t{1} << 53;
constexpr std::size_t kShownMax = 40;  // characters of a value

constexpr std::uint8_t bit_of(StorageClass storage) {
  return static_cast<std::uint8_t>(1U << static_cast<unsigned>(storage));
}
constexpr std::uint8_t kNumbers = bit_of(StorageClass::integer) | bit_of(StorageClass::real);
constexpr std::uint8_t kText = bit_of(StorageClass::text);
constexpr std::uint8_t kBlob = bit_of(StorageClass::blob);

// The classes that the declared type does not suggest.
std::uint8_t strange_classes(const ColumnPlan& column) {
  switch (column.type) {
    case PgType::boolean:
    case PgType::json:
    case PgType::jsonb:
      return kBlob;
    case PgType::date:
    case PgType::time:
    case PgType::timestamp:
    case PgType::timestamptz:
    case PgType::interval:
    case PgType::uuid:
      return kNumbers | kBlob;
    case PgType::bytea:
      return kNumbers | kText;
    case PgType::text:
    case PgType::varchar:
    case PgType::bpchar:
      // Without a type, or with ANY, nothing is strange. Numbers need no word: they arrive as they print.
      return column.declared_type.empty() || fold_ascii(column.declared_type) == "any" ? 0 : kBlob;
    default:
      return kText | kBlob;
  }
}

// The forms of which a text of the type has one; 0 where any text will do or none.
TextFormSet declared_forms(PgType type) {
  switch (type) {
    case PgType::date:
      return set_of(TextForm::date);
    case PgType::time:
      return set_of(TextForm::time);
    case PgType::timestamp:
      return set_of(TextForm::timestamp) | set_of(TextForm::date);
    case PgType::timestamptz:
      return set_of(TextForm::timestamptz);
    case PgType::boolean:
      return set_of(TextForm::boolean);
    case PgType::json:
    case PgType::jsonb:
      return set_of(TextForm::json) | set_of(TextForm::json_scalar);
    case PgType::uuid:
      return set_of(TextForm::uuid);
    default:
      return 0;
  }
}

std::uint64_t count_characters(std::string_view text) {
  return static_cast<std::uint64_t>(
      std::count_if(text.begin(), text.end(), [](char byte) { return (byte & 0xC0) != 0x80; }));
}

// The first `count` characters, and whether that is all of them.
std::string_view first_characters(std::string_view text, std::size_t count, bool& all) {
  std::size_t at = 0;
  for (; at < text.size() && count > 0; --count) {
    ++at;
    while (at < text.size() && (text[at] & 0xC0) == 0x80) ++at;
  }
  all = at == text.size();
  return text.substr(0, at);
}

std::string hex_literal(std::span<const std::byte> bytes) {
  const std::span<const std::byte> shown = bytes.first(std::min(bytes.size(), kShownMax / 2));
  std::string literal("x'");
  literal.append(hex_of({reinterpret_cast<const char*>(shown.data()), shown.size()}));
  literal.append(shown.size() == bytes.size() ? "'" : "...'");
  return literal;
}

std::string literal_of(const Cell& cell) {
  std::array<char, 32> room;
  const auto printed = [&](auto value) {
    const auto result = std::to_chars(room.data(), room.data() + room.size(), value);
    return std::string(room.data(), result.ptr);
  };
  switch (cell.storage()) {
    case StorageClass::null:
      return "NULL";
    case StorageClass::integer:
      return printed(cell.integer());
    case StorageClass::real:
      if (std::isinf(cell.real())) return cell.real() < 0 ? "-9e999" : "9e999";
      return printed(cell.real());
    case StorageClass::blob:
      return hex_literal(cell.bytes());
    case StorageClass::text:
      break;
  }
  const std::string_view text = cell.text();
  const bool control = std::any_of(
      text.begin(), text.begin() + static_cast<std::ptrdiff_t>(std::min(text.size(), 4 * kShownMax)),
      [](char byte) { return static_cast<unsigned char>(byte) < 0x20 || byte == 0x7F; });
  // Bytes that no terminal should get.
  if (control || check_text(text) != TextCheck::ok) return hex_literal(cell.bytes());
  bool all = false;
  std::string literal("'");
  for (const char byte : first_characters(text, kShownMax, all)) {
    literal.append(byte == '\'' ? 2 : 1, byte);
  }
  return literal.append(all ? "'" : "...'");
}

// Without quotes where SQL takes it so.
std::string readable_name(const std::string& name) {
  const auto plain = [](char byte) {
    return (byte >= 'a' && byte <= 'z') || (byte >= 'A' && byte <= 'Z') || byte == '_';
  };
  const bool bare = !name.empty() && plain(name.front()) &&
                    std::all_of(name.begin(), name.end(),
                                [&](char byte) { return plain(byte) || (byte >= '0' && byte <= '9'); });
  return bare ? name : quote_identifier(name);
}

}  // namespace

std::string describe_key(const TablePlan& plan, Row row) {
  if (plan.row_key == RowKey::rowid) return "rowid = " + literal_of(row[plan.columns.size()]);
  const bool has_null = std::any_of(plan.key_columns.begin(), plan.key_columns.end(),
                                    [&](std::size_t column) { return row[column].is_null(); });
  for (std::size_t i = 0; has_null && !plan.rowid_name.empty() && i < plan.columns.size(); ++i) {
    if (plan.columns[i].source == plan.rowid_name) return "rowid = " + literal_of(row[i]);
  }
  std::string key;
  for (const std::size_t column : plan.key_columns) {
    if (!key.empty()) key += " and ";
    key += readable_name(plan.columns[column].source);
    key += row[column].is_null() ? " is " : " = ";
    key += literal_of(row[column]);
  }
  return key;
}

TableProfile::TableProfile(const TablePlan& plan, const std::vector<ProfiledColumn>& wishes) : plan_(&plan) {
  assert(wishes.size() == plan.columns.size());
  for (std::size_t i = 0; i < plan.columns.size(); ++i) {
    place_of_.push_back(columns_.size());
    if (!wishes[i].examined) continue;
    const ColumnPlan& planned = plan.columns[i];
    Column column;
    column.index = i;
    column.facts.examined = true;
    column.facts.integer_min = std::numeric_limits<std::int64_t>::max();
    column.facts.integer_max = std::numeric_limits<std::int64_t>::min();
    column.declared_forms = declared_forms(planned.type);
    column.strange = strange_classes(planned);
    column.all_forms =
        column.declared_forms != 0 || planned.examine_forms || planned.type == PgType::interval;
    column.moments = planned.type == PgType::timestamp;
    column.key = wishes[i].key;
    column.show_strange_boolean = planned.type == PgType::boolean;
    columns_.push_back(std::move(column));
  }
}

void TableProfile::show(Column& column, Surprise surprise, Row row) {
  std::optional<Example>& example = column.facts.examples[static_cast<std::size_t>(surprise)];
  if (example && surprise != Surprise::longest) return;
  const bool value_says_something = surprise != Surprise::null_in_key && surprise != Surprise::longest;
  example = Example{describe_key(*plan_, row), value_says_something ? literal_of(row[column.index]) : ""};
}

void TableProfile::add(Row row) {
  ++rows_;
  for (Column& column : columns_) {
    const Cell& cell = row[column.index];
    const StorageClass storage = cell.storage();
    if ((column.strange & bit_of(storage)) != 0) [[unlikely]] {
      column.strange &= static_cast<std::uint8_t>(~bit_of(storage));
      show(column, Surprise::class_not_declared, row);
    }
    switch (storage) {
      case StorageClass::integer:
        add_integer(column, cell.integer(), row);
        break;
      case StorageClass::text:
        add_text(column, cell.text(), row);
        break;
      case StorageClass::real:
        add_real(column, cell.real(), row);
        break;
      case StorageClass::blob:
        add_blob(column, cell.bytes(), row);
        break;
      case StorageClass::null:
        ++column.facts.nulls;
        if (column.key) [[unlikely]]
          show(column, Surprise::null_in_key, row);
        break;
    }
  }
}

inline void TableProfile::add_integer(Column& column, std::int64_t value, Row row) {
  ColumnFacts& facts = column.facts;
  ++facts.integers;
  facts.integer_min = std::min(facts.integer_min, value);
  facts.integer_max = std::max(facts.integer_max, value);
  if (static_cast<std::uint64_t>(value) + kExactInDouble > 2 * kExactInDouble) [[unlikely]] {
    if (facts.integers_beyond_double++ == 0) show(column, Surprise::integer_beyond_double, row);
  }
  const bool truth = static_cast<std::uint64_t>(value) <= 1;
  facts.integers_zero_or_one += truth ? 1 : 0;
  if (!truth && column.show_strange_boolean) [[unlikely]] {
    column.show_strange_boolean = false;
    show(column, Surprise::form_not_declared, row);
  }
}

inline void TableProfile::add_real(Column& column, double value, Row row) {
  ColumnFacts& facts = column.facts;
  ++facts.reals;
  const bool truth = value == 0.0 || value == 1.0;
  facts.reals_zero_or_one += truth ? 1 : 0;
  if (!truth && column.show_strange_boolean) [[unlikely]] {
    column.show_strange_boolean = false;
    show(column, Surprise::form_not_declared, row);
  }
  if (value >= -0x1p63 && value < 0x1p63) [[likely]] {
    const auto whole = static_cast<std::int64_t>(value);
    if (static_cast<double>(whole) == value) {
      ++facts.reals_whole;
      if (value > 0x1p53 || value < -0x1p53) ++facts.reals_whole_beyond_double;
    }
  } else if (std::isinf(value)) {
    if (facts.reals_infinite++ == 0) show(column, Surprise::infinite, row);
  }
}

inline void TableProfile::note_longest(Column& column, Row row) {
  if (column.facts.bytes_longest > kLong) show(column, Surprise::longest, row);
}

inline void TableProfile::add_text(Column& column, std::string_view text, Row row) {
  ColumnFacts& facts = column.facts;
  const std::uint64_t number = facts.texts++;
  facts.bytes_total += text.size();
  if (text.size() > facts.bytes_longest) {
    facts.bytes_longest = text.size();
    note_longest(column, row);
  }
  const bool moment = column.moments && is_usual_timestamp(text);
  if (moment || is_plain(text)) [[likely]] {
    if (text.size() > facts.characters_longest) {
      facts.characters_longest = static_cast<std::uint32_t>(std::min<std::uint64_t>(text.size(), kCharactersCounted));
    }
    if (text.empty()) ++facts.texts_empty;
  } else {
    add_unusual_text(column, text, row);
    return;
  }
  if (moment) [[likely]] {
    ++facts.forms_examined;
    ++facts.forms[static_cast<std::size_t>(TextForm::timestamp)];
    return;
  }
  if (column.all_forms || number < kSampledFirst || number % kSampledEvery == 0) {
    examine_forms(column, text, row);
  }
}

void TableProfile::add_unusual_text(Column& column, std::string_view text, Row row) {
  ColumnFacts& facts = column.facts;
  const TextCheck check = check_text(text);
  if (check != TextCheck::ok) {
    // A text with both faults counts as the worse one.
    const bool only_nul = check == TextCheck::nul && valid_utf8(text);
    const bool first = (only_nul ? facts.texts_with_nul : facts.texts_invalid_utf8)++ == 0;
    if (first) show(column, only_nul ? Surprise::nul_character : Surprise::invalid_utf8, row);
  }
  if (text.find("\xEF\xBF\xBD") != std::string_view::npos) ++facts.texts_replaced;
  if (text.size() > facts.characters_longest) {
    facts.characters_longest = static_cast<std::uint32_t>(
        std::min<std::uint64_t>(kCharactersCounted,
                                std::max<std::uint64_t>(facts.characters_longest, count_characters(text))));
  }
  const std::uint64_t number = facts.texts - 1;
  if (!column.all_forms && number >= kSampledFirst && number % kSampledEvery != 0) return;
  if (check == TextCheck::ok) {
    examine_forms(column, text, row);
  } else {
    ++facts.forms_examined;  // it has none
    if (column.declared_forms != 0) show(column, Surprise::form_not_declared, row);
  }
}

void TableProfile::examine_forms(Column& column, std::string_view text, Row row) {
  ColumnFacts& facts = column.facts;
  ++facts.forms_examined;
  const TextFormSet forms = forms_.of(text);
  for (TextFormSet rest = forms; rest != 0; rest &= rest - 1) {
    ++facts.forms[static_cast<std::size_t>(std::countr_zero(rest))];
  }
  if ((forms & set_of(TextForm::date)) != 0 && is_date_beyond_timestamp(text)) ++facts.dates_beyond_timestamp;
  if (column.declared_forms != 0 && (forms & column.declared_forms) == 0) [[unlikely]] {
    show(column, Surprise::form_not_declared, row);
  }
}

inline void TableProfile::add_blob(Column& column, std::span<const std::byte> bytes, Row row) {
  ColumnFacts& facts = column.facts;
  ++facts.blobs;
  facts.bytes_total += bytes.size();
  if (bytes.size() > facts.bytes_longest) {
    facts.bytes_longest = bytes.size();
    note_longest(column, row);
  }
  if (bytes.size() == 16) ++facts.blobs_of_16_bytes;
  if (check_text({reinterpret_cast<const char*>(bytes.data()), bytes.size()}) == TextCheck::ok) {
    ++facts.blobs_of_text;
  }
}

ColumnFacts TableProfile::facts(std::size_t column) const {
  const std::size_t place = place_of_[column];
  if (place == columns_.size() || columns_[place].index != column) return {};
  ColumnFacts facts = columns_[place].facts;
  if (facts.integers == 0) facts.integer_min = facts.integer_max = 0;
  return facts;
}

}  // namespace sluice
