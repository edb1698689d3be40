#include "io/wire/column_profile.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <deque>
#include <limits>
#include <random>

#include "io/wire/type_table.h"
#include "support/seed.h"

namespace sluice {
namespace {

using namespace std::string_literals;

std::span<const std::byte> bytes_of(std::string_view text) { return std::as_bytes(std::span(text)); }

// A table with a rowid and one column.
TablePlan plan_of_column(PgType type, const std::string& declared = {}) {
  TablePlan plan;
  plan.row_key = RowKey::rowid;
  plan.rowid_name = "rowid";
  ColumnPlan column;
  column.source = "value";
  column.type = type;
  column.declared_type = declared;
  plan.columns.push_back(column);
  return plan;
}

ColumnFacts facts_of(const TablePlan& plan, const std::vector<Cell>& cells, bool key = false) {
  TableProfile profile(plan, {{true, key}});
  std::int64_t rowid = 0;
  for (const Cell& cell : cells) {
    const Cell row[] = {cell, Cell::of_integer(++rowid)};
    profile.add(row);
  }
  EXPECT_EQ(profile.rows(), cells.size());
  return profile.facts(0);
}

ColumnFacts facts_of(PgType type, const std::vector<Cell>& cells) {
  return facts_of(plan_of_column(type), cells);
}

std::string key_of(const ColumnFacts& facts, Surprise surprise) {
  const auto& example = facts.examples[static_cast<std::size_t>(surprise)];
  return example ? example->key : "none";
}

std::string value_of(const ColumnFacts& facts, Surprise surprise) {
  const auto& example = facts.examples[static_cast<std::size_t>(surprise)];
  return example ? example->value : "none";
}

// ---- facts of hand-made columns ----

TEST(TableProfile, CountsTheStorageClasses) {
  const ColumnFacts facts =
      facts_of(PgType::text, {Cell(), Cell::of_integer(5), Cell::of_real(0.5), Cell::of_text("x"),
                              Cell::of_text(""), Cell::of_blob(bytes_of("ab"))});
  EXPECT_TRUE(facts.examined);
  EXPECT_EQ(facts.nulls, 1U);
  EXPECT_EQ(facts.integers, 1U);
  EXPECT_EQ(facts.reals, 1U);
  EXPECT_EQ(facts.texts, 2U);
  EXPECT_EQ(facts.texts_empty, 1U);
  EXPECT_EQ(facts.blobs, 1U);
  EXPECT_EQ(facts.bytes_total, 3U);
  EXPECT_EQ(facts.bytes_longest, 2U);
}

TEST(TableProfile, KnowsTheRangeOfIntegers) {
  const ColumnFacts facts = facts_of(
      PgType::int8, {Cell::of_integer(7), Cell::of_integer(-3), Cell::of_integer(INT64_MIN),
                     Cell::of_integer((std::int64_t{1} << 53) + 1), Cell::of_integer(std::int64_t{1} << 53),
                     Cell::of_integer(-(std::int64_t{1} << 53)), Cell::of_integer(1), Cell::of_integer(0)});
  EXPECT_EQ(facts.integer_min, INT64_MIN);
  EXPECT_EQ(facts.integer_max, (std::int64_t{1} << 53) + 1);
  EXPECT_EQ(facts.integers_beyond_double, 2U);
  EXPECT_EQ(facts.integers_zero_or_one, 2U);
  const ColumnFacts none = facts_of(PgType::int8, {Cell()});
  EXPECT_EQ(none.integer_min, 0);
  EXPECT_EQ(none.integer_max, 0);
}

TEST(TableProfile, KnowsWhichRealsAreWhole) {
  const ColumnFacts facts =
      facts_of(PgType::float8,
               {Cell::of_real(0.5), Cell::of_real(3.0), Cell::of_real(-0.0), Cell::of_real(0x1p62),
                Cell::of_real(0x1p63), Cell::of_real(1e300), Cell::of_real(-HUGE_VAL), Cell::of_real(1.0)});
  EXPECT_EQ(facts.reals, 8U);
  EXPECT_EQ(facts.reals_whole, 4U);
  EXPECT_EQ(facts.reals_whole_beyond_double, 1U);
  EXPECT_EQ(facts.reals_infinite, 1U);
  EXPECT_EQ(facts.reals_zero_or_one, 2U);
  EXPECT_EQ(key_of(facts, Surprise::infinite), "rowid = 7");
  EXPECT_EQ(value_of(facts, Surprise::infinite), "-9e999");
}

TEST(TableProfile, TellsNulFromBadBytesAndShowsBothAsHex) {
  const std::string nul = "a\0b"s;
  const std::string bad = "a\xFF";
  const std::string both = "\0\xC0"s;
  const std::string replaced = "\xEF\xBF\xBD";
  const ColumnFacts facts =
      facts_of(PgType::text, {Cell::of_text("ok"), Cell::of_text(nul), Cell::of_text(bad),
                              Cell::of_text(both), Cell::of_text(replaced)});
  EXPECT_EQ(facts.texts_with_nul, 1U);
  EXPECT_EQ(facts.texts_invalid_utf8, 2U);
  EXPECT_EQ(facts.texts_replaced, 1U);
  EXPECT_EQ(key_of(facts, Surprise::nul_character), "rowid = 2");
  EXPECT_EQ(value_of(facts, Surprise::nul_character), "x'610062'");
  EXPECT_EQ(key_of(facts, Surprise::invalid_utf8), "rowid = 3");
  EXPECT_EQ(value_of(facts, Surprise::invalid_utf8), "x'61ff'");
}

TEST(TableProfile, CountsCharactersAndBytes) {
  const ColumnFacts facts =
      facts_of(PgType::text, {Cell::of_text("abcd"), Cell::of_text("äöü"), Cell::of_text("日本")});
  EXPECT_EQ(facts.characters_longest, 4U);
  EXPECT_EQ(facts.bytes_longest, 6U);
  const ColumnFacts wide = facts_of(PgType::text, {Cell::of_text("abc"), Cell::of_text("日本語語")});
  EXPECT_EQ(wide.characters_longest, 4U);
}

TEST(TableProfile, ShowsTheLongestValueByItsKeyAlone) {
  const std::string large(std::size_t{3} << 20, 'x');
  const ColumnFacts facts = facts_of(PgType::text, {Cell::of_text(std::string_view(large).substr(1 << 20)),
                                                    Cell::of_text(large), Cell::of_text("x")});
  EXPECT_EQ(key_of(facts, Surprise::longest), "rowid = 2");
  EXPECT_EQ(value_of(facts, Surprise::longest), "");
  EXPECT_EQ(facts.bytes_longest, large.size());
  EXPECT_EQ(facts.characters_longest, 1U << 20);
}

TEST(TableProfile, LooksAtBlobs) {
  const std::string sixteen(16, '\xFE');
  const ColumnFacts facts = facts_of(
      PgType::bytea, {Cell::of_blob({}), Cell::of_blob(bytes_of(sixteen)), Cell::of_blob(bytes_of("text"))});
  EXPECT_EQ(facts.blobs_of_16_bytes, 1U);
  EXPECT_EQ(facts.blobs_of_text, 2U);
}

TEST(TableProfile, ShowsAClassThatWasNotDeclared) {
  const ColumnFacts facts = facts_of(plan_of_column(PgType::int8, "INTEGER"),
                                     {Cell::of_integer(1), Cell::of_real(2.5), Cell::of_text("it's")});
  EXPECT_EQ(key_of(facts, Surprise::class_not_declared), "rowid = 3");
  EXPECT_EQ(value_of(facts, Surprise::class_not_declared), "'it''s'");
  const ColumnFacts untyped =
      facts_of(plan_of_column(PgType::text), {Cell::of_blob({}), Cell::of_integer(1)});
  EXPECT_EQ(key_of(untyped, Surprise::class_not_declared), "none");
  const ColumnFacts text =
      facts_of(plan_of_column(PgType::text, "TEXT"), {Cell::of_text("x"), Cell::of_blob({})});
  EXPECT_EQ(key_of(text, Surprise::class_not_declared), "rowid = 2");
}

TEST(TableProfile, CutsLongExamplesOnACharacter) {
  std::string text;
  for (int i = 0; i < 50; ++i) text += "é";
  const ColumnFacts facts = facts_of(PgType::int8, {Cell::of_text(text)});
  EXPECT_EQ(value_of(facts, Surprise::class_not_declared), "'" + text.substr(0, 80) + "...'");
  const ColumnFacts control = facts_of(PgType::int8, {Cell::of_text("a\x1B[0m")});
  EXPECT_EQ(value_of(control, Surprise::class_not_declared), "x'611b5b306d'");
}

TEST(TableProfile, ShowsTextThatIsNotWhatWasDeclared) {
  const ColumnFacts dates =
      facts_of(PgType::timestamp, {Cell::of_text("2024-01-01"), Cell::of_text("2024-01-01 10:00"),
                                   Cell::of_text("yesterday"), Cell::of_text("never")});
  EXPECT_EQ(key_of(dates, Surprise::form_not_declared), "rowid = 3");
  EXPECT_EQ(value_of(dates, Surprise::form_not_declared), "'yesterday'");
  const ColumnFacts booleans =
      facts_of(PgType::boolean, {Cell::of_integer(1), Cell::of_text("on"), Cell::of_integer(2)});
  EXPECT_EQ(key_of(booleans, Surprise::form_not_declared), "rowid = 3");
}

TEST(TableProfile, CountsNullsInAKeyWithAnExample) {
  const ColumnFacts facts =
      facts_of(plan_of_column(PgType::text), {Cell::of_text("x"), Cell(), Cell()}, true);
  EXPECT_EQ(facts.nulls, 2U);
  EXPECT_EQ(key_of(facts, Surprise::null_in_key), "rowid = 2");
  EXPECT_EQ(key_of(facts_of(PgType::text, {Cell()}), Surprise::null_in_key), "none");
}

TEST(TableProfile, SamplesTheFormsOfTextColumnsAndExaminesAllWhereTheTypeAsks) {
  const std::vector<Cell> cells(1000, Cell::of_text("2024-01-01 10:00:00"));
  const ColumnFacts sampled = facts_of(PgType::text, cells);
  EXPECT_EQ(sampled.forms_examined, 256U + (1000U - 256U + 63U) / 64U);
  EXPECT_EQ(sampled.of_form(TextForm::timestamp), sampled.forms_examined);
  const ColumnFacts all = facts_of(PgType::timestamp, cells);
  EXPECT_EQ(all.forms_examined, 1000U);
}

TEST(TableProfile, LeavesOutWhatIsNotToBeExamined) {
  TablePlan plan = plan_of_column(PgType::int8);
  plan.columns.push_back(plan.columns.front());
  plan.columns.push_back(plan.columns.front());
  TableProfile profile(plan, {{false, false}, {true, false}, {false, false}});
  const Cell row[] = {Cell::of_integer(1), Cell::of_integer(2), Cell::of_integer(3), Cell::of_integer(1)};
  profile.add(row);
  EXPECT_FALSE(profile.facts(0).examined);
  EXPECT_EQ(profile.facts(0).integers, 0U);
  EXPECT_EQ(profile.facts(1).integer_max, 2);
  EXPECT_FALSE(profile.facts(2).examined);
}

TEST(DescribeKey, WritesTheKeyAsSqlWould) {
  TablePlan plan = plan_of_column(PgType::text);
  plan.columns.push_back(plan.columns.front());
  plan.columns[1].source = "the \"other\"";
  plan.row_key = RowKey::columns;
  plan.key_columns = {1, 0};
  const Cell row[] = {Cell::of_integer(17), Cell::of_text("x")};
  EXPECT_EQ(describe_key(plan, row), "\"the \"\"other\"\"\" = 'x' and value = 17");
  const Cell nulls[] = {Cell(), Cell::of_blob(bytes_of("\xAB"))};
  EXPECT_EQ(describe_key(plan, nulls), "\"the \"\"other\"\"\" = x'ab' and value is NULL");
  plan.row_key = RowKey::none;
  plan.key_columns.clear();
  EXPECT_EQ(describe_key(plan, row), "");
}

// ---- forms ----

std::vector<TextForm> forms_of(std::string_view text) {
  TextForms forms;
  std::vector<TextForm> found;
  const TextFormSet set = forms.of(text);
  for (std::size_t i = 0; i < kTextFormCount; ++i) {
    if ((set >> i & 1) != 0) found.push_back(static_cast<TextForm>(i));
  }
  return found;
}

TEST(TextForms, NamesEveryFormOfAText) {
  using enum TextForm;
  const std::vector<std::pair<std::string, std::vector<TextForm>>> cases = {
      {"", {}},
      {"hello", {}},
      {"2024-02-29", {date}},
      {"2023-02-29", {}},
      {"+300000-01-01", {date}},
      {"-0044-03-15", {date}},
      {"+12345-01-01 10:00:00", {timestamp}},
      {"12:34", {time}},
      {"23:59:59.999", {time}},
      {"24:00", {}},
      {"2024-02-29 12:34:56", {timestamp}},
      {"2024-02-29T12:34:56.123456", {timestamp}},
      {"2024-02-29T12:34:56.1234567", {}},
      {"2024-02-29T12:34:56Z", {timestamptz}},
      {"2024-02-29 12:34:56+05:30", {timestamptz}},
      {"2024-02-29 12:34:56.123 +0000 UTC", {timestamptz}},
      {"20240131", {compact_date, integer, json_scalar, jsonb_exact, plain_integer}},
      {"20240132", {integer, json_scalar, jsonb_exact, plain_integer}},
      {"20240131123456", {compact_date, integer, json_scalar, jsonb_exact, plain_integer}},
      {"Tue, 01 Jan 2024 12:00:00 +0000", {rfc2822}},
      {"1 Jan 2024 12:00:00 GMT", {rfc2822}},
      {"Tue, 32 Jan 2024 12:00:00 +0000", {}},
      {"Tue, 01 Foo 2024 12:00:00 +0000", {}},
      {"0000-00-00", {zero_date}},
      {"0000-00-00 00:00:00", {zero_date}},
      {"0000-00-00T00:00:00.000", {zero_date}},
      {"0000-00-00 00:00:01", {}},
      {"42", {integer, json_scalar, jsonb_exact, plain_integer}},
      {"+42", {integer}},
      {"-42", {integer, json_scalar, jsonb_exact, plain_integer}},
      {"007", {integer}},
      {"-0", {integer, json_scalar, jsonb_exact}},
      {"0", {integer, boolean, json_scalar, jsonb_exact, plain_integer}},
      {"9223372036854775807", {integer, json_scalar, jsonb_exact, plain_integer}},
      {"9223372036854775808", {number, json_scalar, jsonb_exact}},
      {"1.5", {number, json_scalar, jsonb_exact}},
      {"-1.5e-3", {number, json_scalar, jsonb_exact}},
      {"1e200000", {number, json_scalar}},
      {".5", {number}},
      {"5.", {number}},
      {".", {}},
      {"1e", {}},
      {"-", {}},
      {"1", {integer, boolean, json_scalar, jsonb_exact, plain_integer}},
      {"true", {boolean, json_scalar, jsonb_exact}},
      {"TRUE", {boolean}},
      {"off", {boolean}},
      {"null", {json_scalar, jsonb_exact}},
      {" 7 ", {json_scalar, jsonb_exact}},
      {"7 ", {json_scalar, jsonb_exact}},
      {"\"x\"", {json_scalar, jsonb_exact}},
      {"\"\\u0000\"", {json_scalar}},
      {"{}", {json, jsonb_exact}},
      {"\n[1]", {json, jsonb_exact}},
      {"{\"a\":1,\"a\":1}", {json}},
      {"{\"a\":1,\"\\u0061\":1}", {json}},
      {"[\"\\ud800\"]", {json}},
      {"{'a':1}", {}},
      {"a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11", {uuid, uuid_lower}},
      {"A0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11", {uuid}},
      {"{a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11}", {uuid}},
      {"a0eebc999c0b4ef8bb6d6bb9bd380a11", {uuid, base64}},
      {"0eebc999c0b4ef8bb6d6bb9bd380a11a", {uuid, base64}},
      {"aGVsbG8gd29ybGQ=", {base64}},
      {"/9j/4AAQSkZJRgABAQ==", {base64}},
      {"aGVsbG8gd29ybGR=", {}},  // the last digit has bits that belong to no byte
      {"aGVsbG8gd29ybG==", {}},
      {"1234567890123456", {integer, json_scalar, jsonb_exact, plain_integer}},
  };
  for (const auto& [text, forms] : cases) EXPECT_EQ(forms_of(text), forms) << text;
}

// ---- against the encoder ----

// Random texts of every form, with now and then a letter changed, so that near misses turn up as often.
class RandomCells {
 public:
  explicit RandomCells(std::uint64_t seed) : random_(seed) {}

  Cell next() {
    switch (below(10)) {
      case 0:
        return Cell::of_integer(integer());
      case 1:
        return Cell::of_real(real());
      case 2: {
        std::string& bytes = kept();
        for (std::size_t i = below(20); i > 0; --i) bytes += static_cast<char>(below(256));
        return Cell::of_blob(bytes_of(bytes));
      }
      default:
        return Cell::of_text(text());
    }
  }

 private:
  std::uint64_t below(std::uint64_t end) { return random_() % end; }
  template <std::size_t kCount>
  std::string pick(const std::array<const char*, kCount>& list) {
    return list[below(kCount)];
  }
  std::string& kept() { return kept_.emplace_back(); }
  std::string digits(std::size_t count) {
    std::string text;
    while (text.size() < count) text += static_cast<char>('0' + below(10));
    return text;
  }
  std::string pair(std::uint64_t end) {
    const std::uint64_t value = below(end);
    return {static_cast<char>('0' + value / 10), static_cast<char>('0' + value % 10)};
  }

  std::int64_t integer() {
    static constexpr std::array<std::int64_t, 8> kEdges = {
        0, 1, std::int64_t{1} << 53, -(std::int64_t{1} << 53), INT64_MAX, INT64_MIN, 32767, 2147483648};
    const std::int64_t edge = kEdges[below(kEdges.size())];
    switch (below(3)) {
      case 0:
        return edge;
      case 1:
        return static_cast<std::int64_t>(static_cast<std::uint64_t>(edge) + below(3) - 1);
      default:
        return static_cast<std::int64_t>(random_() >> below(64));
    }
  }
  double real() {
    static constexpr std::array<double, 9> kEdges = {
        0.0, -0.0, 1.0, 0.5, 0x1p53, 0x1p63, -0x1p63, std::numeric_limits<double>::infinity(), 1e300};
    return below(2) == 0 ? kEdges[below(kEdges.size())]
                         : static_cast<double>(integer()) / static_cast<double>(1 + below(3));
  }

  std::string zone() {
    return pick(std::array{"", "", "Z", "+02:00", "-0330", "+15:59", "+16:00", " +0000 UTC", " Z"});
  }
  std::string clock() {
    std::string text = pair(25) + ":" + pair(61);
    if (below(4) == 0) return text;
    text += ":" + pair(61);
    return below(2) == 0 ? text : text + "." + digits(1 + below(8));
  }
  std::string day() {
    const std::string year = below(4) == 0 ? pick(std::array{"0000", "-0001", "-4713", "-4714", "+294276",
                                                             "+294277", "+5874897", "+5874898", "+20240"})
                                           : digits(4);
    return year + "-" + pair(14) + "-" + pair(33);
  }
  std::string json(std::size_t depth) {
    switch (below(depth > 3 ? 5 : 7)) {
      case 0:
        return std::to_string(integer());
      case 1:
        return pick(std::array{"true", "false", "null", "0", "-0", "1.50", "1E2", "1e131072", "1e-16384",
                               "01", "1.", "-"});
      case 2:
      case 3:
      case 4:
        return json_string();
      case 5: {
        std::string text = "[";
        for (std::size_t i = below(4); i > 0; --i) text += json(depth + 1) + (i > 1 ? "," : "");
        return text + "]";
      }
      default: {
        std::string text = "{";
        for (std::size_t i = below(4); i > 0; --i) {
          text += json_string() + pick(std::array{":", " : "}) + json(depth + 1) + (i > 1 ? ", " : "");
        }
        return text + "}";
      }
    }
  }
  std::string json_string() {
    std::string text = "\"";
    for (std::size_t i = below(3); i > 0; --i) {
      text += pick(std::array{"a", "b", "\\u0061", "\\n", "é", "\\ud83d\\ude00", "a", "\\ud83d", "\\u0000",
                              "\\x", "\x01"});
    }
    return text + "\"";
  }

  std::string_view text() {
    std::string text;
    switch (below(12)) {
      case 0:
        text = day();
        break;
      case 1:
        text = clock();
        break;
      case 2:
      case 3:
        text = day() + pick(std::array{" ", "T", "  "}) + clock() + zone();
        break;
      case 4:
        text = pick(
            std::array{"t", "F", "yes", "off", "1", "0", "true", "FALSE", "y", "N", "on", "2", "tr", ""});
        break;
      case 5:
      case 6:
      case 7:
        text = json(0);
        break;
      case 8: {
        const bool upper = below(2) == 0;
        const bool dashed = below(2) == 0;
        for (std::size_t i = 0; i < 32; ++i) {
          if (dashed && (i == 8 || i == 12 || i == 16 || i == 20)) text += '-';
          text += (upper ? "0123456789ABCDEF" : "0123456789abcdef")[below(16)];
        }
        if (below(4) == 0) text = "{" + text + "}";
        break;
      }
      case 9:
        text = pick(std::array{"", "-", "+"}) + digits(below(22)) + pick(std::array{"", ".5", "e3", "."});
        break;
      default:
        for (std::size_t i = below(30); i > 0; --i) text += static_cast<char>(below(256));
    }
    if (below(8) == 0 && !text.empty()) text[below(text.size())] = static_cast<char>(below(256));
    if (below(16) == 0) text += ' ';
    if (below(16) == 0) text.insert(0, " ");
    kept() = text;
    return kept_.back();
  }

  std::mt19937_64 random_;
  std::deque<std::string> kept_;  // what the cells borrow
};

std::uint64_t misfits_by_encoder(PgType type, const std::vector<Cell>& cells) {
  Buffer scratch;
  return static_cast<std::uint64_t>(std::count_if(cells.begin(), cells.end(), [&](const Cell& cell) {
    scratch.clear();
    return !cell.is_null() && row_of(type).encode(cell, scratch) != Misfit::none;
  }));
}

// Of the narrow types the facts hold a range of integers, and nothing about reals that are whole.
bool is_exact_for(PgType type, const ColumnFacts& facts) {
  if (type == PgType::int2 || type == PgType::int4) return facts.reals == 0;
  return type <= PgType::uuid;
}

TEST(TableProfile, AgreesWithTheEncoderOnEveryValueAndType) {
  RandomCells random(testing::test_seed());
  for (int i = 0; i < 20'000; ++i) {
    const std::vector<Cell> cells = {random.next()};
    // Every text is examined, because the first 256 always are.
    const ColumnFacts facts = facts_of(PgType::text, cells);
    for (const PgTypeName& name : kPgTypeNames) {
      const std::uint64_t misfits = misfits_by_encoder(name.type, cells);
      const std::string_view text = cells[0].storage() == StorageClass::text ? cells[0].text() : "";
      ASSERT_GE(misfits_of(facts, name.type), misfits) << name.sql << ", cell " << i << ": " << text;
      if (!is_exact_for(name.type, facts)) continue;
      ASSERT_EQ(misfits_of(facts, name.type), misfits) << name.sql << ", cell " << i << ": " << text;
    }
  }
}

TEST(TableProfile, AgreesWithTheEncoderOnWholeColumns) {
  RandomCells random(testing::test_seed() + 1);
  std::vector<Cell> cells;
  for (int i = 0; i < 20'000; ++i) cells.push_back(random.next());
  const ColumnFacts facts = facts_of(PgType::json, cells);
  EXPECT_EQ(facts.forms_examined, facts.texts);
  for (const PgTypeName& name : kPgTypeNames) {
    if (!is_exact_for(name.type, facts)) continue;
    EXPECT_EQ(misfits_of(facts, name.type), misfits_by_encoder(name.type, cells)) << name.sql;
  }
}

TEST(ColumnFacts, AddUpToTheSameInAnyOrder) {
  std::mt19937_64 shuffle(testing::test_seed());
  RandomCells random(testing::test_seed() + 2);
  std::vector<Cell> cells;
  std::vector<ColumnFacts> parts;
  for (int part = 0; part < 10; ++part) {
    std::vector<Cell> some;
    for (std::uint64_t i = shuffle() % 100; i > 0; --i) some.push_back(random.next());
    parts.push_back(facts_of(PgType::jsonb, some));
    cells.insert(cells.end(), some.begin(), some.end());
  }
  const ColumnFacts whole = facts_of(PgType::jsonb, cells);
  for (int round = 0; round < 10; ++round) {
    std::shuffle(parts.begin(), parts.end(), shuffle);
    ColumnFacts sum;
    for (const ColumnFacts& part : parts) sum.add(part);
    for (const auto member : {&ColumnFacts::nulls,
                              &ColumnFacts::integers,
                              &ColumnFacts::reals,
                              &ColumnFacts::texts,
                              &ColumnFacts::blobs,
                              &ColumnFacts::integers_beyond_double,
                              &ColumnFacts::integers_zero_or_one,
                              &ColumnFacts::reals_whole,
                              &ColumnFacts::reals_whole_beyond_double,
                              &ColumnFacts::reals_infinite,
                              &ColumnFacts::reals_zero_or_one,
                              &ColumnFacts::texts_empty,
                              &ColumnFacts::texts_with_nul,
                              &ColumnFacts::texts_invalid_utf8,
                              &ColumnFacts::texts_replaced,
                              &ColumnFacts::blobs_of_16_bytes,
                              &ColumnFacts::blobs_of_text,
                              &ColumnFacts::bytes_longest,
                              &ColumnFacts::bytes_total,
                              &ColumnFacts::forms_examined,
                              &ColumnFacts::dates_beyond_timestamp}) {
      ASSERT_EQ(sum.*member, whole.*member);
    }
    ASSERT_EQ(sum.forms, whole.forms);
    ASSERT_EQ(sum.integer_min, whole.integer_min);
    ASSERT_EQ(sum.integer_max, whole.integer_max);
    ASSERT_EQ(sum.characters_longest, whole.characters_longest);
  }
}

}  // namespace
}  // namespace sluice
