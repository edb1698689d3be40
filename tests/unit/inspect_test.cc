// What inspect says, from facts made by hand: each surprise has its line, and the golden files show the
// whole.

#include <gtest/gtest.h>

#include <algorithm>
#include <nlohmann/json.hpp>
#include <sstream>

#include "engine/app/inspect_report.h"
#include "engine/app/inspection.h"
#include "engine/app/printable.h"
#include "golden/golden.h"
#include "io/wire/utf8.h"

namespace sluice {
namespace {

using Json = nlohmann::json;

// A source that does not exist, described from hand to mouth.
class Inspected : public ::testing::Test {
 protected:
  void SetUp() override { plan_.schema = "public"; }

  // Columns as "name TYPE"; all arrive as the type that is declared, unless changed afterwards.
  void add_table(const std::string& name, std::uint64_t rows, std::uint64_t bytes,
                 const std::vector<std::pair<std::string, PgType>>& columns) {
    SourceTable source;
    source.name = name;
    source.rowid_name = "rowid";
    TablePlan table;
    table.source = table.target = name;
    table.schema = "public";
    table.id = static_cast<TableId>(plan_.tables.size());
    table.bytes = bytes;
    TableFacts facts;
    facts.rows = rows;
    for (const auto& [written, type] : columns) {
      SourceColumn column;
      column.name = written.substr(0, written.find(' '));
      column.declared_type =
          written.find(' ') == std::string::npos ? "" : written.substr(written.find(' ') + 1);
      ColumnPlan planned;
      planned.source = planned.target = column.name;
      planned.declared_type = column.declared_type;
      planned.type = type;
      planned.place = source.columns.size();
      ColumnFacts counts;
      counts.examined = true;
      (type == PgType::float8                         ? counts.reals
       : type == PgType::text                         ? counts.texts
       : type == PgType::int8 || type == PgType::int4 ? counts.integers
                                                      : counts.texts) = rows;
      counts.integer_max = 1000;
      counts.bytes_total = counts.texts * 20;
      counts.forms_examined = counts.texts;
      facts.columns.push_back(counts);
      source.columns.push_back(column);
      table.columns.push_back(planned);
    }
    outlines_[name].bytes = bytes;
    facts_[name] = facts;
    catalog_.tables.push_back(source);
    plan_.tables.push_back(table);
  }

  ColumnFacts& facts(const std::string& table, std::size_t column) {
    return facts_.at(table).columns.at(column);
  }
  SourceTable& source(const std::string& table) {
    return *std::find_if(catalog_.tables.begin(), catalog_.tables.end(),
                         [&](const SourceTable& one) { return one.name == table; });
  }
  ColumnPlan& planned(const std::string& table, std::size_t column) {
    return std::find_if(plan_.tables.begin(), plan_.tables.end(),
                        [&](const TablePlan& one) { return one.source == table; })
        ->columns.at(column);
  }
  static void give_example(ColumnFacts& facts, Surprise surprise, const std::string& key,
                           const std::string& value) {
    facts.examples[static_cast<std::size_t>(surprise)] = Example{key, value};
  }
  void add_growth(const std::string& table, const std::string& column, double recent,
                  bool long_enough = true) {
    Growth growth;
    growth.table = table;
    growth.column = column;
    growth.first_day = 8400;
    growth.last_day = 8825;
    growth.recent_days = 30;
    growth.recent_per_day = recent;
    growth.overall_per_day = recent / 2;
    growth.long_enough = long_enough;
    checks_.growths.push_back(growth);
  }

  Inspection inspection() {
    InspectionInput input;
    input.catalog = &catalog_;
    input.outlines = &outlines_;
    input.facts = &facts_;
    input.plan = &plan_;
    input.checks = &checks_;
    input.path = path_;
    input.bytes = bytes_;
    input.fingerprint = "dev=1 ino=2";
    return inspect_source(input, options_);
  }
  std::string text() { return inspection_text(inspection()); }
  Json json() { return Json::parse(inspection_json(inspection())); }

  // The surprises of a kind.
  std::vector<SurpriseLine> of_kind(SurpriseKind kind) {
    std::vector<SurpriseLine> lines;
    for (const SurpriseLine& line : inspection().surprises) {
      if (line.kind == kind) lines.push_back(line);
    }
    return lines;
  }

  Catalog catalog_;
  std::map<std::string, TableOutline> outlines_;
  SourceFacts facts_;
  MigrationPlan plan_;
  SourceChecks checks_;
  InspectOptions options_;
  std::string path_ = "app.sqlite";
  std::uint64_t bytes_ = 50'000'000;
};

// Every surprise there is.
class Surprising : public Inspected {
 protected:
  void SetUp() override {
    Inspected::SetUp();
    add_table(
        "audit_logs", 812'000, 310'000'000,
        {{"id INTEGER", PgType::int8}, {"created_at DATETIME", PgType::text}, {"note TEXT", PgType::text}});
    source("audit_logs").rowid_alias = 0;
    source("audit_logs").columns[0].key_position = 1;
    ColumnFacts& created = facts("audit_logs", 1);
    created.integers = 3;
    created.texts -= 3;
    created.forms[static_cast<std::size_t>(TextForm::timestamp)] = created.texts;
    give_example(created, Surprise::class_not_declared, "id = 17", "1700000000");
    ColumnFacts& note = facts("audit_logs", 2);
    note.texts_with_nul = 2;
    note.texts_invalid_utf8 = 1;
    note.bytes_longest = 3'200'000;
    give_example(note, Surprise::nul_character, "id = 4", "'ab' || char(0)");
    give_example(note, Surprise::invalid_utf8, "id = 5", "CAST(x'fc' AS TEXT)");
    give_example(note, Surprise::longest, "id = 6", "");
    add_growth("audit_logs", "created_at", 5100);

    add_table("sites", 812, 400'000,
              {{"code TEXT", PgType::text},
               {"size REAL", PgType::float8},
               {"extra", PgType::text},
               {"server_id INTEGER", PgType::int8}});
    source("sites").columns[0].key_position = 1;
    facts("sites", 0).nulls = 2;
    give_example(facts("sites", 0), Surprise::null_in_key, "rowid = 9", "");
    facts("sites", 1).integers_beyond_double = 1;
    facts("sites", 1).integers = 1;
    facts("sites", 1).reals_infinite = 4;
    facts("sites", 1).reals_whole_beyond_double = 2;
    give_example(facts("sites", 1), Surprise::integer_beyond_double, "rowid = 3", "9007199254740993");
    give_example(facts("sites", 1), Surprise::infinite, "rowid = 4", "9e999");
    facts("sites", 2).blobs = 5;
    give_example(facts("sites", 2), Surprise::class_not_declared, "rowid = 2", "x'00ff'");
    SourceForeignKey to_servers;
    to_servers.parent = "servers";
    to_servers.columns = {"server_id"};
    SourceForeignKey to_view = to_servers;
    to_view.parent = "all_servers";
    source("sites").foreign_keys = {to_servers, to_view};
    checks_.foreign_keys["sites"] = {{0, 12, {3, 4, 8}, ""}, {1, 0, {}, "its parent is a view"}};

    const std::string long_name(80, 'n');
    add_table(long_name, 0, 0, {{"oid INTEGER", PgType::int8}});
    plan_.tables.back().target = long_name.substr(0, 50) + "_1a2b3c4d";
    planned(long_name, 0).target = "oid_";

    plan_.findings.push_back(
        {"audit_logs", "note", "3 of 812,000 texts cannot be stored, the first at id = 4",
         "tables.\"audit_logs\".columns.\"note\".bad-text = \"replace\", or --bad-text "
         "replace",
         ""});
    ObjectOutcome trigger;
    trigger.kind = "trigger";
    trigger.table = "sites";
    trigger.name = "touch";
    trigger.sql = "CREATE TRIGGER touch ...";
    trigger.reason = "triggers are not translated";
    plan_.left_out.push_back(trigger);
    ObjectOutcome check;
    check.kind = "check";
    check.table = "sites";
    check.sql = "CHECK (code GLOB printf('%s', code)\n  AND size > 0)";
    check.reason = "printf() has no exact translation";
    check.proposal = "CHECK (size > 0)";
    plan_.left_out.push_back(check);
    ObjectOutcome changed;
    changed.kind = "index";
    changed.table = "sites";
    changed.name = "by_code";
    changed.created = true;
    changed.reason = "NOCASE folds ASCII letters alone, and so does this index";
    plan_.left_out.push_back(changed);
    bytes_ = 1'500'000'000;
    options_.rows_table = "SITES";
  }
};

TEST_F(Surprising, TextIsAsInTheGoldenFile) { testing::expect_golden("inspect_surprises.txt", text()); }

TEST_F(Surprising, EveryKindHasItsLineWithCountAndExample) {
  const auto only = [&](SurpriseKind kind) {
    const auto lines = of_kind(kind);
    EXPECT_EQ(lines.size(), 1u) << name_of(kind);
    return lines.empty() ? SurpriseLine() : lines.front();
  };
  EXPECT_EQ(only(SurpriseKind::finding).table, "audit_logs");
  EXPECT_EQ(only(SurpriseKind::type).count, 3u);
  EXPECT_EQ(only(SurpriseKind::type).example.value, "1700000000");
  EXPECT_EQ(only(SurpriseKind::null_key).count, 2u);
  EXPECT_EQ(only(SurpriseKind::null_key).example.key, "rowid = 9");
  EXPECT_EQ(only(SurpriseKind::mixed).column, "extra");
  EXPECT_EQ(only(SurpriseKind::mixed).count, 5u);
  EXPECT_EQ(only(SurpriseKind::long_value).example.key, "id = 6");
  ASSERT_EQ(of_kind(SurpriseKind::orphans).size(), 2u);
  EXPECT_EQ(of_kind(SurpriseKind::orphans)[0].count, 12u);
  EXPECT_EQ(of_kind(SurpriseKind::orphans)[0].example.key, "rowid = 3");
  EXPECT_EQ(of_kind(SurpriseKind::bad_text).size(), 2u);
  EXPECT_EQ(of_kind(SurpriseKind::numbers).size(), 3u);
  EXPECT_EQ(of_kind(SurpriseKind::name).size(), 2u);
}

TEST_F(Surprising, TheWorstComesFirst) {
  const auto lines = inspection().surprises;
  EXPECT_TRUE(std::is_sorted(lines.begin(), lines.end(),
                             [](const auto& left, const auto& right) { return left.kind < right.kind; }));
  EXPECT_EQ(lines.front().kind, SurpriseKind::finding);
}

TEST_F(Surprising, JsonHoldsWhatTheTextHolds) {
  const Json found = json();
  EXPECT_EQ(found["time_to_move"], "crossed");
  EXPECT_EQ(found["source"]["bytes"], 1'500'000'000);
  EXPECT_EQ(found["surprises"].size(), inspection().surprises.size());
  EXPECT_EQ(found["tables"].size(), 3u);
  EXPECT_EQ(found["tables"][0]["name"], "audit_logs");
  EXPECT_EQ(found["tables"][0]["growth"]["recent_per_day"], 5100);
  EXPECT_EQ(found["tables"][0]["columns"][1]["facts"]["forms"]["timestamp"], 811'997);
  EXPECT_EQ(found["tables"][0]["columns"][1]["facts"]["examples"]["class_not_declared"]["key"], "id = 17");
  EXPECT_EQ(found["tables"][0]["columns"][2]["facts"]["integer_max"], nullptr);
  EXPECT_EQ(found["tables"][1]["foreign_keys"][0]["rowids"], (Json{3, 4, 8}));
  EXPECT_EQ(found["objects"].size(), 3u);
  EXPECT_EQ(found["objects"][0]["status"], "not_created");
  EXPECT_EQ(found["objects"][2]["status"], "created");
}

TEST_F(Inspected, AFileWithoutSurprisesSaysSo) {
  add_table("sites", 500, 40'000, {{"id INTEGER", PgType::int8}, {"name TEXT", PgType::text}});
  source("sites").rowid_alias = 0;
  source("sites").columns[0].key_position = 1;
  testing::expect_golden("inspect_plain.txt", text());
}

TEST_F(Inspected, AnEmptyFileIsDescribedToo) {
  bytes_ = 0;
  testing::expect_golden("inspect_empty.txt", text());
  EXPECT_EQ(json()["tables"], Json::array());
}

TEST_F(Inspected, HostileNamesAndValuesReachTheTerminalEscaped) {
  const std::string hostile = "t\x1b[2J\n\u202e" + std::string("\xff", 1);
  add_table(hostile, 10, 8192, {{"a\x07 TEXT", PgType::text}, {"b\x9b INTEGER", PgType::text}});
  facts(hostile, 0).blobs = 1;
  give_example(facts(hostile, 0), Surprise::class_not_declared, "rowid = 1", "'\x1b]0;pwned\x07'");
  plan_.left_out.push_back(
      {"view", "", "v\x1b[31m", false, "CREATE VIEW \"v\x1b[31m\" AS SELECT 1", "no\r", ""});
  plan_.findings.push_back({hostile, "a\x07", "bad\x1b[0m", "fix\x1b[0m", ""});
  add_growth(hostile, "a\x07", 9000);
  path_ = "evil\x1b[2J; rm -rf.sqlite";
  const std::string shown = text();
  EXPECT_TRUE(valid_utf8(shown));
  for (const char c : shown) EXPECT_TRUE(c == '\n' || static_cast<unsigned char>(c) >= 0x20) << int{c};
  EXPECT_EQ(shown.find("\u202e"), std::string::npos);
  EXPECT_NE(shown.find("t\\x1b[2J\\x0a\\u202e\\xff"), std::string::npos);
  const std::string raw = inspection_json(inspection());
  for (const char c : raw) EXPECT_TRUE(c == '\n' || (c >= 0x20 && c < 0x7f)) << int{c};
}

TEST_F(Inspected, NoLineIsLongerThanATerminalIsWide) {
  const std::string long_name(300, 'x');
  add_table(long_name, 10, 8192, {{long_name + " INTEGER", PgType::text}, {"b REAL", PgType::float8}});
  facts(long_name, 1).reals_infinite = 1;
  give_example(facts(long_name, 1), Surprise::infinite, long_name, long_name);
  plan_.findings.push_back({long_name, long_name, long_name, long_name, ""});
  plan_.left_out.push_back({"view", long_name, long_name, false, long_name, long_name, long_name});
  path_ = "folder with blanks/" + long_name;
  options_.rows_table = long_name;
  std::istringstream lines(text());
  std::string shell;
  for (std::string line; std::getline(lines, line);) {
    if (line.starts_with("  sluice ")) {
      shell = line;  // to be copied whole
    } else {
      EXPECT_LE(width_of(line), 110u) << line;
    }
  }
  EXPECT_NE(shell.find("'folder with blanks/"), std::string::npos);
}

TEST_F(Inspected, ManyLinesOfOneKindAreCountedButStopsAreTold) {
  for (int i = 0; i < 30; ++i) {
    const std::string name = "t" + std::to_string(i);
    add_table(name, 10, 8192, {{"a TEXT", PgType::text}});
    facts(name, 0).bytes_longest = 2'000'000;
    plan_.findings.push_back({name, "a", "cannot be stored", "", ""});
  }
  const std::string shown = text();
  EXPECT_NE(shown.find("and 10 more; --json lists them"), std::string::npos);
  EXPECT_NE(shown.find("t29.a: cannot be stored"), std::string::npos);
  EXPECT_EQ(json()["surprises"].size(), 60u);
}

TEST_F(Inspected, NumbersOfBothClassesAreNoSurpriseWhereTheyAreDeclared) {
  add_table("t", 10, 8192,
            {{"price DECIMAL(10,2)", PgType::numeric},
             {"ratio REAL", PgType::float8},
             {"n INTEGER", PgType::float8}});
  for (std::size_t i = 0; i < 3; ++i) {
    facts("t", i) = ColumnFacts();
    facts("t", i).examined = true;
    facts("t", i).integers = 5;
    facts("t", i).reals = 5;
  }
  EXPECT_TRUE(of_kind(SurpriseKind::mixed).empty());
  ASSERT_EQ(of_kind(SurpriseKind::type).size(), 1u);
  EXPECT_EQ(of_kind(SurpriseKind::type)[0].column, "n");
  EXPECT_EQ(of_kind(SurpriseKind::type)[0].count, 5u);
}

TEST_F(Inspected, AManyTimesRenamedTableIsOneLine) {
  add_table("t", 10, 8192,
            {{"aB TEXT", PgType::text},
             {"bC TEXT", PgType::text},
             {"cD TEXT", PgType::text},
             {"dE TEXT", PgType::text}});
  for (std::size_t i = 0; i < 3; ++i) planned("t", i).target = "x" + std::to_string(i);
  EXPECT_EQ(of_kind(SurpriseKind::name).size(), 3u);
  planned("t", 3).target = "x3";
  ASSERT_EQ(of_kind(SurpriseKind::name).size(), 1u);
  EXPECT_EQ(of_kind(SurpriseKind::name)[0].count, 4u);
}

class Thresholds : public Inspected {
 protected:
  void SetUp() override {
    Inspected::SetUp();
    add_table("log", 900, 80'000, {{"created_at TEXT", PgType::text}});
    add_table("sites", 100, 8192, {{"id INTEGER", PgType::int8}});
  }
  Threshold threshold(const std::string& name) {
    for (const Threshold& one : inspection().thresholds) {
      if (one.name == name) return one;
    }
    ADD_FAILURE() << name;
    return {};
  }
};

TEST_F(Thresholds, CrossedNearAndFarAreDecidedByTheShare) {
  options_.threshold_bytes = 100'000;
  for (const auto& [bytes, distance] : {std::pair{std::uint64_t{69'999}, Distance::far},
                                        {70'000, Distance::near},
                                        {99'999, Distance::near},
                                        {100'000, Distance::crossed},
                                        {UINT64_MAX, Distance::crossed},
                                        {0, Distance::far}}) {
    bytes_ = bytes;
    EXPECT_EQ(threshold("size").distance, distance) << bytes;
  }
}

TEST_F(Thresholds, RowsAreThoseOfTheLargestTableOrOfTheOneNamed) {
  EXPECT_EQ(threshold("rows").table, "log");
  EXPECT_EQ(threshold("rows").distance, Distance::near);
  options_.rows_table = "Sites";
  EXPECT_EQ(threshold("rows").table, "sites");
  EXPECT_EQ(threshold("rows").distance, Distance::far);
  options_.threshold_rows = 100;
  EXPECT_EQ(threshold("rows").distance, Distance::crossed);
  options_.rows_table = "nothing";
  try {
    inspection();
    ADD_FAILURE();
  } catch (const Error& error) {
    EXPECT_EQ(error.fault(), Fault::usage);
    EXPECT_NE(error.describe().find("--rows-table"), std::string::npos);
  }
}

TEST_F(Thresholds, GrowthIsThatOfTheFastestTableWithAHistory) {
  EXPECT_EQ(threshold("daily_rows").distance, Distance::unknown);
  add_growth("log", "created_at", 1e9, false);
  EXPECT_EQ(threshold("daily_rows").distance, Distance::unknown);
  add_growth("log", "created_at", 3499);
  EXPECT_EQ(threshold("daily_rows").distance, Distance::far);
  add_growth("sites", "made", 5000);
  EXPECT_EQ(threshold("daily_rows").distance, Distance::crossed);
  EXPECT_EQ(threshold("daily_rows").table, "sites");
  EXPECT_EQ(threshold("daily_rows").column, "made");
}

TEST_F(Thresholds, TheNearestDecidesAndAnUnknownOneDoesNot) {
  options_.threshold_rows = 100'000;
  EXPECT_EQ(inspection().time_to_move, Distance::far);
  EXPECT_TRUE(text().starts_with("Time to move: not yet."));
  options_.threshold_rows = 1000;
  EXPECT_EQ(inspection().time_to_move, Distance::near);
  EXPECT_TRUE(text().starts_with("Time to move: soon. 900 rows in log."));
  options_.threshold_bytes = 10;
  EXPECT_EQ(inspection().time_to_move, Distance::crossed);
  EXPECT_TRUE(text().starts_with("Time to move: yes. 50.0 MB."));
}

TEST_F(Inspected, IndexesMakeTheEstimateBigger) {
  add_table("t", 100'000, 5'000'000, {{"a INTEGER", PgType::int8}, {"b TEXT", PgType::text}});
  const double bare = inspection().bytes.likely;
  Step step;
  step.phase = StepPhase::index;
  step.table = plan_.tables[0].id;
  step.index = IndexShape{{"a"}, true, 0};
  plan_.steps.push_back(step);
  const Estimate indexed = inspection().bytes;
  EXPECT_NEAR(indexed.likely - bare, 100'000 * 20 / 0.9, 300'000);
  EXPECT_LT(indexed.low, indexed.likely);
  EXPECT_LT(indexed.likely, indexed.high);
  EXPECT_GT(inspection().seconds.likely, 0.1);
}

}  // namespace
}  // namespace sluice
