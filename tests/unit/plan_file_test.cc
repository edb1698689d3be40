// The plan as TOML: what is written is read again, and whatever is wrong in it is told with its line.

#include "engine/app/plan_file.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cstdint>
#include <random>
#include <string>
#include <utility>
#include <vector>

#include "engine/app/words.h"
#include "engine/model/error.h"
#include "support/conditions.h"
#include "support/seed.h"

namespace sluice {
namespace {

using testing::contains;

// The error that `act` must end in.
template <class Act>
std::string refusal_of(const Act& act) {
  try {
    act();
  } catch (const Error& error) {
    EXPECT_EQ(error.fault(), Fault::usage) << error.describe();
    EXPECT_EQ(error.describe().find('\n'), std::string::npos) << error.describe();
    return error.describe();
  }
  return {};
}

std::string refusal(const std::string& toml) {
  return refusal_of([&] { static_cast<void>(read_mapping(toml, "map.toml")); });
}

// ---- reading ----

TEST(ReadMapping, EveryKeyReachesItsField) {
  const Mapping mapping = read_mapping(R"(
schema = "kept for the flags"
[tables.Orders]
target = "orders"
range-size = "1MiB"
keep-rowid = true
[tables.Orders.columns]
at = { target = "created", type = "timestamp with time zone", epoch = "ms", naive-as-utc = true }
note = { encoding = "cp1252", bad-text = "strip", empty-as-null = true }
[tables.Orders.columns.day]
zero-date-as-null = true
truncate-fraction = true
date-format = "%d.%m.%Y"
on-misfit = "reject"
[tables.Orders.columns."a key"]
uuid-bytes = "dotnet"
[tables.Orders.columns.data]
base64 = "relaxed"
[tables.Orders.columns.document]
json = "jsonb"
blob-as-text = true
[tables.Orders.columns.amount]
text-as-number = true
bad-text = "reject"
[tables."old ones"]
exclude = true
range-size = 4096
)",
                                       "map.toml");
  EXPECT_FALSE(mapping.complete);
  EXPECT_EQ(mapping.origin, "map.toml");
  ASSERT_EQ(mapping.tables.size(), 2u);
  const TableMapping& orders = mapping.tables[0];
  EXPECT_EQ(orders.table, "Orders");
  EXPECT_EQ(orders.origin, "map.toml:3");
  EXPECT_EQ(orders.target, "orders");
  EXPECT_EQ(orders.range_bytes, 1u << 20);
  EXPECT_EQ(orders.keep_rowid, true);
  EXPECT_FALSE(orders.exclude);
  EXPECT_FALSE(orders.complete);
  ASSERT_EQ(orders.columns.size(), 7u);
  const ColumnMapping& at = orders.columns[0];
  EXPECT_EQ(at.column, "at");
  EXPECT_EQ(at.origin, "map.toml:8");
  EXPECT_EQ(at.type_origin, "map.toml:8");
  EXPECT_EQ(at.conversion_origin, "map.toml:8");
  EXPECT_EQ(at.target, "created");
  ASSERT_TRUE(at.type);
  EXPECT_EQ(at.type->type, PgType::timestamptz);
  EXPECT_EQ(at.conversion.epoch, EpochUnit::milliseconds);
  EXPECT_TRUE(at.conversion.naive_as_utc);
  const ColumnMapping& note = orders.columns[1];
  EXPECT_FALSE(note.type);
  EXPECT_EQ(note.conversion.encoding, TextEncoding::cp1252);
  EXPECT_EQ(note.conversion.bad_text, BadText::strip);
  EXPECT_EQ(note.bad_text, BadTextPolicy::strip);
  EXPECT_TRUE(note.conversion.empty_as_null);
  const ColumnMapping& day = orders.columns[2];
  EXPECT_EQ(day.origin, "map.toml:10");
  EXPECT_EQ(day.conversion_origin, "map.toml:11");
  EXPECT_TRUE(day.conversion.zero_date_as_null);
  EXPECT_TRUE(day.conversion.truncate_fraction);
  EXPECT_EQ(day.conversion.date_format, "%d.%m.%Y");
  EXPECT_EQ(day.on_misfit, MisfitPolicy::reject);
  EXPECT_EQ(orders.columns[3].column, "a key");
  EXPECT_EQ(orders.columns[3].conversion.uuid_bytes, UuidBytes::dotnet);
  EXPECT_EQ(orders.columns[4].conversion.base64, Base64::relaxed);
  EXPECT_EQ(orders.columns[5].json, JsonTarget::jsonb);
  EXPECT_TRUE(orders.columns[5].conversion.lossy_jsonb);
  EXPECT_TRUE(orders.columns[5].conversion.blob_as_text);
  EXPECT_TRUE(orders.columns[6].conversion.text_as_number);
  EXPECT_EQ(orders.columns[6].bad_text, BadTextPolicy::reject);
  EXPECT_EQ(orders.columns[6].conversion.bad_text, BadText::misfit);
  EXPECT_TRUE(mapping.tables[1].exclude);
  EXPECT_EQ(mapping.tables[1].range_bytes, 4096u);
}

TEST(ReadMapping, APlanIsCompleteAndItsExcludedTablesAreNot) {
  const Mapping mapping = read_mapping("\nplan = 1\n[tables.a]\n[tables.b]\nexclude = true\n", "p.toml");
  EXPECT_TRUE(mapping.complete);
  EXPECT_EQ(mapping.origin, "p.toml:2");
  EXPECT_TRUE(mapping.tables[0].complete);
  EXPECT_FALSE(mapping.tables[1].complete);
}

TEST(ReadMapping, EveryMistakeHasItsLineAndItsWord) {
  const std::string column = "[tables.t.columns]\n";
  const std::vector<std::tuple<std::string, int, std::string>> mistakes = {
      {"tables = 1\n", 1, "expected a table for each table"},
      {"plan = 2\n", 1, "plan = 1"},
      {"plan = \"1\"\n", 1, "plan = 1"},
      {"[tables]\nt = 5\n", 2, "table t: expected"},
      {"[tables.t]\nspeed = 5\n", 2, "unknown key speed"},
      {"[tables.t]\n\ntraget = \"x\"\n", 3, "did you mean target?"},
      {"[tables.t]\ncolumn = {}\n", 2, "did you mean columns?"},
      {"[tables.t]\ntarget = 5\n", 2, "target: expected a string, found a number"},
      {"[tables.t]\ntarget = \"\"\n", 2, "empty"},
      {"[tables.t]\ntarget = \"a\\u0000b\"\n", 2, "U+0000"},
      {"[tables.t]\ntarget = \"" + std::string(64, 'x') + "\"\n", 2, "64 bytes"},
      {"[tables.t]\nexclude = \"yes\"\n", 2, "true or false"},
      {"[tables.t]\nrange-size = \"many\"\n", 2, "not a size: many"},
      {"[tables.t]\nrange-size = 0\n", 2, "range-size"},
      {"[tables.t]\nrange-size = -1\n", 2, "range-size"},
      {"[tables.t]\nrange-size = true\n", 2, "range-size"},
      {"[tables.t]\nkeep-rowid = 1\n", 2, "keep-rowid"},
      {"[tables.t]\ncolumns = []\n", 2, "expected a table of columns, found a list"},
      {"[tables.t]\n[tables.T]\n", 2, "has an entry at map.toml:1 already"},
      {"[tables.t]\ntarget = \"x\"\n[tables.u]\ntarget = \"x\"\n", 3, "tables t and u have one target, x"},
      {column + "c = 5\n", 2, "column c: expected settings"},
      {column + "c = \"text\"\n", 2, "column c: expected settings"},
      {column + "c = { speed = 5 }\n", 2, "unknown key speed for column c of t"},
      {column + "c = { ecpoh = \"ms\" }\n", 2, "did you mean epoch?"},
      {column + "c = { empty_as_null = true }\n", 2, "did you mean empty-as-null?"},
      {column + "c = {}\nC = {}\n", 3, "has an entry at map.toml:2 already"},
      {column + "c = { target = \"x\" }\nd = { target = \"x\" }\n", 3,
       "columns c and d of t have one target"},
      {column + "c = { target = \"ctid\" }\n", 2, "system column"},
      {column + "c = { type = 5 }\n", 2, "type: expected a string"},
      {column + "c = { type = \"blob\" }\n", 2, "\"blob\" is no type of PostgreSQL"},
      {column + "c = { type = \"bigin\" }\n", 2, "did you mean bigint?"},
      {column + "c = { type = \"\" }\n", 2, "no type of PostgreSQL"},
      {column + "c = { epoch = \"minutes\" }\n", 2, "s, ms, us, ns, julian"},
      {column + "c = { epoch = true }\n", 2, "epoch: expected a string, found true or false"},
      {column + "c = { encoding = \"utf16\" }\n", 2, "cp1252, latin1, cesu8"},
      {column + "c = { bad-text = \"ignore\" }\n", 2, "stop, reject, replace, strip, bytea"},
      {column + "c = { json = \"yes\" }\n", 2, "auto, json, jsonb, text"},
      {column + "c = { uuid-bytes = \"le\" }\n", 2, "be, dotnet"},
      {column + "c = { base64 = true }\n", 2, "base64: expected a string"},
      {column + "c = { base64 = \"url\" }\n", 2, "strict, relaxed"},
      {column + "c = { empty-as-null = \"true\" }\n", 2, "expected true or false, found a string"},
      {column + "c = { zero-date-as-null = 1 }\n", 2, "zero-date-as-null"},
      {column + "c = { truncate-fraction = 1 }\n", 2, "truncate-fraction"},
      {column + "c = { blob-as-text = 1 }\n", 2, "blob-as-text"},
      {column + "c = { text-as-number = 1 }\n", 2, "text-as-number"},
      {column + "c = { naive-as-utc = 1979-05-27 }\n", 2, "found a date or time"},
      {column + "c = { date-format = \"\" }\n", 2, "date-format"},
      {column + "c = { on-misfit = \"guess\" }\n", 2, "widen, reject, fail"},
      {column + "c = { type = \"text\", epoch = \"ms\" }\n", 2, "epoch"},
      {"[tables.t.columns.c]\ntype = \"text\"\nepoch = \"ms\"\n", 3, "epoch"},
      {column + "c = { type = \"text\", bad-text = \"bytea\" }\n", 2, "bytea"},
      {column + "c = { type = \"text\", json = \"jsonb\" }\n", 2, "does not go with type text"},
      {column + "c = { type = \"jsonb\", json = \"json\" }\n", 2, "does not go with type jsonb"},
      {"[tables.t\n", 1, ""},
      {"[tables.t]\ntarget = \"x\"\ntarget = \"y\"\n", 3, ""},
      {"x = \"\xff\"\n", 1, ""},
  };
  for (const auto& [toml, line, word] : mistakes) {
    const std::string message = refusal(toml);
    EXPECT_TRUE(contains(message, "map.toml:" + std::to_string(line) + ": ")) << toml << message;
    EXPECT_TRUE(contains(message, word)) << toml << message;
  }
}

TEST(ReadMapping, AllMistakesAreToldAtOnce) {
  const std::string message =
      refusal("[tables.t]\nspeed = 1\n[tables.t.columns]\na = { type = \"blob\" }\nb = { epoch = \"x\" }\n");
  for (const char* part : {"map.toml:2: unknown key speed", "map.toml:4: type", "map.toml:5: epoch"}) {
    EXPECT_TRUE(contains(message, part)) << message;
  }
  std::string many = "[tables.t]\n";
  for (int i = 0; i < 30; ++i) many += "key" + std::to_string(i) + " = 1\n";
  EXPECT_TRUE(contains(refusal(many), "and 20 more")) << refusal(many);
}

// ---- against the source ----

SourceTable table_of(const std::string& name, const std::vector<std::string>& columns) {
  SourceTable table;
  table.name = name;
  table.rowid_name = "rowid";
  for (const std::string& column : columns) table.columns.emplace_back().name = column;
  return table;
}

std::string misfit_of(const std::string& toml, const Catalog& catalog) {
  const Mapping mapping = read_mapping(toml, "map.toml");
  return refusal_of([&] { check_mapping(mapping, catalog); });
}

TEST(CheckMapping, NamesAreComparedAsSqliteDoes) {
  const Catalog catalog{{table_of("Orders", {"Id", "Ünit"})}, {}};
  EXPECT_EQ(misfit_of("[tables.ORDERS.columns]\niD = {}\n\"ÜNIT\" = {}\n", catalog), "");
  EXPECT_TRUE(contains(misfit_of("[tables.orders.columns]\n\"ünit\" = {}\n", catalog), "no column ünit"));
}

TEST(CheckMapping, WhatTheSourceLacksIsNamedWithItsLine) {
  const Catalog catalog{{table_of("orders", {"id"}), table_of("users", {"name"})}, {}};
  const std::string table = misfit_of("\n[tables.order]\n", catalog);
  EXPECT_TRUE(contains(table, "map.toml:2: the source has no table order, did you mean orders?")) << table;
  const std::string column = misfit_of("[tables.users.columns]\n\nnmae = {}\n", catalog);
  EXPECT_TRUE(contains(column, "map.toml:3: table users has no column nmae, did you mean name?")) << column;
  EXPECT_FALSE(contains(column, "no longer")) << column;
}

TEST(CheckMapping, AMappingMayNameWhatItChangesAlone) {
  const Catalog catalog{{table_of("orders", {"id", "more"}), table_of("users", {"name"})}, {}};
  EXPECT_EQ(misfit_of("[tables.orders.columns]\nid = {}\n", catalog), "");
}

TEST(CheckMapping, APlanThatNoLongerFitsIsRefused) {
  const Catalog catalog{{table_of("orders", {"id", "gained"}), table_of("new", {"x"})}, {}};
  const std::string message = misfit_of(
      "\nplan = 1\n[tables.orders.columns]\nid = {}\nlost = {}\n[tables.gone]\n[tables.left]\nexclude = "
      "true\n",
      catalog);
  for (const char* part : {"map.toml:2: the plan no longer fits the source: it has a table new",
                           "map.toml:3: the plan no longer fits the source: table orders has a column gained",
                           "map.toml:5: the plan no longer fits the source: table orders has no column lost",
                           "map.toml:6: the plan no longer fits the source: the source has no table gone",
                           "map.toml:7: the plan no longer fits the source: the source has no table left",
                           "run sluice plan again"}) {
    EXPECT_TRUE(contains(message, part)) << part << "\n" << message;
  }
}

TEST(CheckMapping, AKeptRowidIsAColumnAndTheRowidItselfIsABigint) {
  SourceTable keyed = table_of("keyed", {"id"});
  keyed.rowid_alias = 0;
  const Catalog catalog{{table_of("plain", {"x"}), keyed}, {}};
  EXPECT_EQ(misfit_of("[tables.plain]\nkeep-rowid = true\n[tables.plain.columns]\nrowid = {}\n", catalog),
            "");
  EXPECT_NE(misfit_of("[tables.plain.columns]\nrowid = {}\n", catalog), "");
  EXPECT_NE(misfit_of("[tables.keyed]\nkeep-rowid = true\n[tables.keyed.columns]\nrowid = {}\n", catalog),
            "");
  EXPECT_EQ(misfit_of("[tables.keyed.columns]\nid = { type = \"bigint\" }\n", catalog), "");
  const std::string message = misfit_of("[tables.keyed.columns]\nid = { type = \"text\" }\n", catalog);
  EXPECT_TRUE(contains(message, "map.toml:2: column id of keyed is SQLite's rowid")) << message;
}

TEST(CheckConversions, AConversionThatDoesNotApplyToTheTypeIsNamedWithItsLine) {
  const Mapping mapping = read_mapping("[tables.t.columns]\n\nc = { epoch = \"ms\" }\n", "map.toml");
  MigrationPlan plan;
  plan.tables.emplace_back().source = "t";
  plan.tables[0].columns.emplace_back().source = "C";
  plan.tables[0].columns[0].type = PgType::timestamptz;
  EXPECT_EQ(refusal_of([&] { check_conversions(mapping, plan); }), "");
  plan.tables[0].columns[0].type = PgType::bytea;
  const std::string message = refusal_of([&] { check_conversions(mapping, plan); });
  EXPECT_TRUE(contains(message, "map.toml:3: column C of t: epoch")) << message;
}

// ---- writing ----

class RandomPlan {
 public:
  explicit RandomPlan(std::uint64_t seed) : random_(seed) {}

  // Fills catalog, facts, plan and options with the same tables.
  void make() {
    options.source = "a \"b\"\n.db";
    plan.schema = name();
    const std::size_t tables = upto(4);
    for (std::size_t i = 0; i < tables; ++i) add_table(i);
    const std::size_t left_out = upto(3);
    for (std::size_t i = 0; i < left_out; ++i) {
      plan.left_out.push_back({"index", name(), name(), chance(), "CREATE\nINDEX", name(), ""});
    }
    std::shuffle(plan.tables.begin(), plan.tables.end(), random_);
  }

  Catalog catalog;
  SourceFacts facts;
  MigrationPlan plan;
  PlanningOptions options;

 private:
  std::size_t upto(std::size_t most) { return random_() % (most + 1); }
  bool chance() { return random_() % 2 == 0; }

  // Unique, and as bad as names get.
  std::string name() {
    static const std::vector<std::string> parts = {"a", "B", "\"", "\\", "\n",   "\t",   "#",  "=", ".", " ",
                                                   "Ä", "]", "'",  "€",  "\x01", "\x7f", "\r", "{", ","};
    std::string text = std::to_string(++names_);
    for (std::size_t i = upto(5); i > 0; --i) text += parts[random_() % parts.size()];
    return text;
  }

  template <class Value, std::size_t count>
  Value any(const std::array<Word<Value>, count>& words) {
    return words[random_() % count].value;
  }

  void add_table(std::size_t place) {
    SourceTable& table = catalog.tables.emplace_back();
    table.name = name();
    table.rowid_name = "rowid";
    const std::size_t columns = 1 + upto(6);
    for (std::size_t i = 0; i < columns; ++i) table.columns.emplace_back().name = name();
    if (chance() && chance()) return;  // not planned
    TableMapping wishes;
    wishes.table = table.name;
    if (chance()) wishes.range_bytes = 1 + random_() % (std::uint64_t{1} << 62);
    TablePlan planned;
    planned.id = static_cast<TableId>(place);
    planned.source = table.name;
    planned.target = name();
    planned.extents = {WholeTable{}};
    for (std::size_t i = 0; i < columns; ++i) add_column(table, i, planned, wishes);
    if (chance()) {
      wishes.keep_rowid = true;
      ColumnPlan& rowid = planned.columns.emplace_back();
      rowid.source = table.rowid_name;
      rowid.target = name();
      rowid.type = PgType::int8;
      rowid.place = columns;
    }
    if (chance()) facts[table.name].rows = random_() % 1000;
    options.mapping.tables.push_back(std::move(wishes));
    plan.tables.push_back(std::move(planned));
  }

  void add_column(const SourceTable& table, std::size_t place, TablePlan& planned, TableMapping& wishes) {
    ColumnPlan& column = planned.columns.emplace_back();
    column.source = table.columns[place].name;
    column.target = name();
    column.place = place;
    column.type = kPgTypeNames[random_() % kPgTypeCount].type;
    if (chance()) column.remark = name();
    if (chance()) convert(column);
    if (chance() && chance()) {
      plan.findings.push_back({table.name, column.source, name(),
                               "tables.\"x\".bad-text = \"replace\", or type = \"bytea\"", ""});
    }
    ColumnMapping wish;
    wish.column = column.source;
    if (chance()) wish.on_misfit = any(kMisfitWords);
    if (chance() && column.conversion.bad_text == BadText::misfit && column.type == PgType::text) {
      wish.bad_text = chance() ? BadTextPolicy::reject : BadTextPolicy::stop;
    }
    if (chance()) wishes.columns.push_back(std::move(wish));
  }

  // Conversions that have a meaning for the column's type.
  void convert(ColumnPlan& column) {
    Conversion& conversion = column.conversion;
    conversion.empty_as_null = chance();
    switch (column.type) {
      case PgType::timestamptz:
        conversion.naive_as_utc = true;
        [[fallthrough]];
      case PgType::timestamp:
      case PgType::date:
        if (chance()) conversion.epoch = any(kEpochWords);
        conversion.zero_date_as_null = chance();
        conversion.truncate_fraction = chance();
        if (chance()) conversion.date_format = "%d.%m.%Y \"of\" \\";
        return;
      case PgType::text:
        if (chance()) conversion.encoding = any(kEncodingWords);
        if (chance()) conversion.bad_text = chance() ? BadText::replace : BadText::strip;
        conversion.blob_as_text = chance();
        return;
      case PgType::uuid:
        conversion.uuid_bytes = any(kUuidWords);
        return;
      case PgType::bytea:
        conversion.base64 = any(kBase64Words);
        return;
      case PgType::jsonb:
        conversion.lossy_jsonb = true;
        return;
      case PgType::numeric:
        column.modifier = {10, 2};
        [[fallthrough]];
      case PgType::int8:
      case PgType::float8:
        conversion.text_as_number = true;
        return;
      default:
        return;
    }
  }

  std::mt19937_64 random_;
  int names_ = 0;
};

void expect_same(const TablePlan& plan, const TableMapping* read, const TableMapping* wishes) {
  ASSERT_NE(read, nullptr) << plan.source;
  EXPECT_TRUE(read->complete);
  EXPECT_FALSE(read->exclude);
  EXPECT_EQ(read->target, plan.target);
  EXPECT_EQ(read->range_bytes, wishes->range_bytes);
  EXPECT_EQ(read->keep_rowid, wishes->keep_rowid);
  ASSERT_EQ(read->columns.size(), plan.columns.size());
  for (const ColumnPlan& column : plan.columns) {
    const ColumnMapping* found = find_column(read, column.source);
    ASSERT_NE(found, nullptr) << column.source;
    EXPECT_EQ(found->target, column.target);
    ASSERT_TRUE(found->type);
    EXPECT_EQ(found->type->type, column.type);
    EXPECT_EQ(found->type->modifier, column.modifier);
    EXPECT_EQ(found->conversion, column.conversion)
        << describe(found->conversion) << describe(column.conversion);
    const ColumnMapping* wish = find_column(wishes, column.source);
    EXPECT_EQ(found->on_misfit, wish == nullptr ? std::nullopt : wish->on_misfit);
    if (wish != nullptr && wish->bad_text) {
      EXPECT_EQ(found->bad_text, wish->bad_text);
    }
  }
}

TEST(PlanFile, WhatIsWrittenIsReadAgain) {
  const std::uint64_t seed = testing::test_seed();
  for (std::uint64_t round = 0; round < 500; ++round) {
    RandomPlan random(seed + round);
    random.make();
    const std::string text = plan_file_of(random.catalog, random.facts, random.plan, random.options);
    SCOPED_TRACE(std::to_string(seed + round) + "\n" + text);
    EXPECT_EQ(text, plan_file_of(random.catalog, random.facts, random.plan, random.options));
    Mapping mapping;
    ASSERT_NO_THROW(mapping = read_mapping(text, "plan.toml"));
    EXPECT_TRUE(mapping.complete);
    ASSERT_EQ(mapping.tables.size(), random.catalog.tables.size());
    for (const TablePlan& table : random.plan.tables) {
      expect_same(table, mapping.table(table.source), random.options.mapping.table(table.source));
    }
    for (const SourceTable& table : random.catalog.tables) {
      const bool planned = std::any_of(random.plan.tables.begin(), random.plan.tables.end(),
                                       [&](const TablePlan& plan) { return plan.source == table.name; });
      EXPECT_EQ(mapping.table(table.name)->exclude, !planned);
    }
    EXPECT_EQ(refusal_of([&] { check_mapping(mapping, random.catalog); }), "");
    EXPECT_EQ(refusal_of([&] { check_conversions(mapping, random.plan); }), "");
    if (HasFailure()) return;
  }
}

TEST(PlanFile, SettingsThatWouldResolveAFindingNeedOnlyBeUncommented) {
  Catalog catalog{{table_of("t", {"bio", "n"})}, {}};
  MigrationPlan plan;
  plan.schema = "public";
  TablePlan& table = plan.tables.emplace_back();
  table.source = table.target = "t";
  for (const char* name : {"bio", "n"}) {
    ColumnPlan& column = table.columns.emplace_back();
    column.source = column.target = name;
  }
  plan.findings.push_back(
      {"t", "bio", "3 texts are not UTF-8, the first at id = 17",
       "tables.\"t\".columns.\"bio\".bad-text = \"replace\" or \"strip\", or type = \"bytea\"", ""});
  const std::string text = plan_file_of(catalog, {}, plan, {});
  EXPECT_TRUE(contains(text, "# STOPS THE RUN: 3 texts are not UTF-8, the first at id = 17\n")) << text;
  const std::string line = "# bad-text = \"replace\"\n";
  ASSERT_TRUE(contains(text, line)) << text;
  ASSERT_TRUE(contains(text, "\n# type = \"bytea\"  # instead of the line above")) << text;
  std::string edited = text;
  edited.erase(edited.find(line), 2);
  const Mapping mapping = read_mapping(edited, "plan.toml");
  EXPECT_EQ(find_column(mapping.table("t"), "bio")->conversion.bad_text, BadText::replace);
}

// ---- anything at all ----

TEST(ReadMapping, ArbitraryBytesEndInAMappingOrInAnError) {
  const std::uint64_t seed = testing::test_seed();
  std::mt19937_64 random(seed);
  static const std::vector<std::string> parts = {"[tables.t]\n",
                                                 "[tables.\"t\".columns]\n",
                                                 "c = {",
                                                 "}",
                                                 "\n",
                                                 "type = ",
                                                 "\"text\"",
                                                 "epoch = \"ms\"",
                                                 ", ",
                                                 "plan = 1\n",
                                                 "tables",
                                                 ".",
                                                 "[",
                                                 "]",
                                                 "[[",
                                                 "\"",
                                                 "'''",
                                                 "\\u0000",
                                                 "=",
                                                 "#",
                                                 "1e9",
                                                 "true",
                                                 "\xff",
                                                 "\xf0\x9f",
                                                 "target = \"x\"\n",
                                                 "columns",
                                                 "range-size = \"9TB\"\n",
                                                 "1979-05-27",
                                                 "\0"};
  for (int round = 0; round < 20'000; ++round) {
    std::string text;
    for (std::uint64_t i = random() % 20; i > 0; --i) {
      text +=
          random() % 8 == 0 ? std::string(1, static_cast<char>(random())) : parts[random() % parts.size()];
    }
    try {
      static_cast<void>(read_mapping(text, "any.toml"));
    } catch (const Error& error) {
      ASSERT_EQ(error.fault(), Fault::usage) << text;
      ASSERT_TRUE(contains(error.describe(), "any.toml:")) << text;
    }
  }
}

}  // namespace
}  // namespace sluice
