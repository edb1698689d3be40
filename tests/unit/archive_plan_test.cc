// The plan of an archive: read back as it was written, and read with suspicion.

#include "engine/app/archive_plan.h"

#include <gtest/gtest.h>

#include <functional>
#include <nlohmann/json.hpp>
#include <random>
#include <string>

#include "engine/app/plan_record.h"
#include "engine/model/error.h"
#include "support/conditions.h"
#include "support/seed.h"

namespace sluice {
namespace {

using testing::contains;
using Json = nlohmann::ordered_json;

ColumnPlan column(const std::string& name, PgType type, std::size_t place) {
  ColumnPlan column;
  column.source = name;
  column.target = name;
  column.declared_type = "INTEGER";
  column.type = type;
  column.place = place;
  return column;
}

MigrationPlan sample() {
  MigrationPlan plan;
  plan.schema = "app";
  TablePlan& orders = plan.tables.emplace_back();
  orders.id = TableId{0};
  orders.source = "Orders";
  orders.schema = "app";
  orders.target = "Orders";
  orders.columns = {column("id", PgType::int8, 0), column("note", PgType::text, 2),
                    column("twice", PgType::int8, 1)};
  orders.columns[0].identity_sequence = "Orders_id_seq";
  orders.columns[0].not_null = true;
  orders.columns[1].remark = "declared nothing";
  orders.columns[1].conversion.empty_as_null = true;
  orders.columns[2].generated_as = "\"id\" * 2";
  orders.row_key = RowKey::ordered_integer;
  orders.key_columns = {0};
  orders.rowid_name = "rowid";
  orders.extents = {RowidRange{INT64_MIN, 41}, RowidRange{42, INT64_MAX}};
  orders.bytes = 12345;
  TablePlan& tags = plan.tables.emplace_back();
  tags.id = TableId{1};
  tags.source = "tags";
  tags.schema = "app";
  tags.target = "tags";
  tags.columns = {column("name", PgType::varchar, 0)};
  tags.columns[0].modifier = {20, -1};
  tags.row_key = RowKey::columns;
  tags.key_columns = {0};
  tags.without_rowid = true;
  tags.extents = {PrimaryKeyRange{{}, {TextValue{"m\n"}}}, PrimaryKeyRange{{TextValue{"m\n"}}, {}}};
  Step& index = plan.steps.emplace_back();
  index.sql = "CREATE UNIQUE INDEX \"Orders_pkey\" ON \"app\".\"Orders\" (\"id\")";
  index.object = {"primary_key", "Orders", "Orders_pkey", false, "", "a remark", "a proposal"};
  index.remedies = {{"23505", "find the rows"}};
  index.index = IndexShape{{"id"}, true, 'p'};
  Step& view = plan.steps.emplace_back();
  view.phase = StepPhase::view;
  view.sql = "CREATE VIEW ...";
  Step& sequence = plan.steps.emplace_back();
  sequence.phase = StepPhase::finish;
  sequence.table = TableId{1};
  sequence.sequence = "app.tags_seq";
  plan.left_out.push_back({"trigger", "Orders", "t", false, "CREATE TRIGGER ...", "no triggers", ""});
  return plan;
}

std::string refusal(const std::string& text) {
  try {
    read_archive_plan(text);
    return {};
  } catch (const Error& error) {
    EXPECT_EQ(error.fault(), Fault::source_unreadable) << error.what();
    return error.what();
  }
}

TEST(ArchivePlan, IsReadBackAsItWasWritten) {
  const MigrationPlan plan = sample();
  const std::string text = archive_plan_text(plan);
  const MigrationPlan back = read_archive_plan(text);
  EXPECT_EQ(archive_plan_text(back), text);
  EXPECT_EQ(hash_of_plan(back), hash_of_plan(plan));
  EXPECT_EQ(back.tables[0].extents, plan.tables[0].extents);
  EXPECT_EQ(back.tables[1].extents, plan.tables[1].extents);
  EXPECT_EQ(back.tables[1].id, TableId{1});
  EXPECT_EQ(back.tables[0].columns[1].remark, "declared nothing");
  EXPECT_EQ(back.tables[0].bytes, 12345u);
  EXPECT_EQ(back.steps[0].index->constraint, 'p');
  EXPECT_EQ(back.steps[0].remedies[0].proposal, "find the rows");
  EXPECT_EQ(back.steps[2].table, TableId{1});
  EXPECT_EQ(back.steps[2].sequence, "app.tags_seq");
  EXPECT_EQ(back.left_out[0].reason, "no triggers");
  EXPECT_FALSE(back.into_existing);
}

TEST(ArchivePlan, RefusesWhatCannotBeRun) {
  struct Case {
    const char* why;
    std::function<void(Json&)> change;
  };
  const auto table = [](Json& json) -> Json& { return json["tables"][0]; };
  const std::vector<Case> cases = {
      {"not the plan", [](Json& json) { json["what"] = "x"; }},
      {"format", [](Json& json) { json["format"] = 2; }},
      {"holds the ledger", [](Json& json) { json["schema"] = "sluice"; }},
      {"empty or too long", [](Json& json) { json["schema"] = ""; }},
      {"empty or too long", [&](Json& json) { table(json)["plan"]["target"] = std::string(64, 'x'); }},
      {"NUL", [&](Json& json) { table(json)["plan"]["target"] = std::string("a\0b", 3); }},
      {"NUL", [](Json& json) { json["steps"][0]["sql"] = std::string("a\0b", 3); }},
      {"NUL",
       [&](Json& json) { table(json)["plan"]["columns"][2]["generated_as"] = std::string("a\0b", 3); }},
      {"another schema", [&](Json& json) { table(json)["plan"]["schema"] = "b"; }},
      {"one name", [&](Json& json) { table(json)["plan"]["target"] = "tags"; }},
      {"one name", [&](Json& json) { table(json)["plan"]["source"] = "tags"; }},
      {"no columns",
       [&](Json& json) {
         table(json)["plan"]["columns"] = Json::array(), table(json)["plan"]["key_columns"] = Json::array();
       }},
      {"not the last",
       [&](Json& json) { std::swap(table(json)["plan"]["columns"][0], table(json)["plan"]["columns"][2]); }},
      {"key",
       [&](Json& json) {
         table(json)["plan"]["key_columns"] = {0, 1};
       }},
      {"key", [&](Json& json) { table(json)["plan"]["key_columns"] = {1}; }},
      {"key", [&](Json& json) { table(json)["plan"]["key_columns"] = Json::array(); }},
      {"plan that cannot be read", [&](Json& json) { table(json)["plan"]["key_columns"] = {7}; }},
      {"type", [&](Json& json) { table(json)["plan"]["columns"][0]["type"] = "money"; }},
      {"do not cover", [&](Json& json) { table(json)["extents"].erase(1); }},
      {"do not cover", [&](Json& json) { table(json)["extents"] = Json::array(); }},
      {"are one", [&](Json& json) { table(json)["extents"].push_back(table(json)["extents"][1]); }},
      {"cannot be read", [&](Json& json) { table(json)["extents"][0] = "rowid 1"; }},
      {"not a number", [&](Json& json) { table(json)["bytes"] = -5; }},
      {"table that is not there", [](Json& json) { json["steps"][2]["table"] = 2; }},
      {"table that is not there", [](Json& json) { json["steps"][2]["table"] = -1; }},
      {"phase", [](Json& json) { json["steps"][0]["phase"] = "now"; }},
      {"constraint", [](Json& json) { json["steps"][0]["index"]["constraint"] = "pp"; }},
      {"cannot be read", [](Json& json) { json.erase("steps"); }},
  };
  const Json whole = Json::parse(archive_plan_text(sample()));
  for (const Case& one : cases) {
    Json json = whole;
    one.change(json);
    EXPECT_TRUE(contains(refusal(json.dump()), one.why)) << one.why << ": " << refusal(json.dump());
  }
  EXPECT_EQ(refusal(whole.dump()), "");
}

TEST(ArchivePlan, AnyBytesEndInAPlanOrInAnError) {
  std::mt19937_64 random(testing::test_seed());
  const std::string text = archive_plan_text(sample());
  for (int round = 0; round < 5000; ++round) {
    std::string changed = text.substr(0, round % 2 == 0 ? text.size() : random() % text.size());
    for (std::uint64_t i = random() % 4; i > 0 && !changed.empty(); --i) {
      changed[random() % changed.size()] = static_cast<char>(random());
    }
    static_cast<void>(refusal(changed));
  }
}

}  // namespace
}  // namespace sluice
