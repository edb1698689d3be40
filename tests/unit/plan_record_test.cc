// The plan of a table in the ledger: what was written is read back, and nothing else is taken for it.

#include "engine/app/plan_record.h"

#include <gtest/gtest.h>

#include <random>
#include <string>

#include "engine/model/error.h"
#include "support/seed.h"

namespace sluice {
namespace {

TablePlan random_plan(std::mt19937_64& random) {
  const auto coin = [&] { return random() % 2 == 0; };
  TablePlan plan;
  plan.source = "t\"" + std::to_string(random() % 100);
  plan.schema = "s";
  plan.target = "Ziel \u00e4";
  plan.rowid_name = coin() ? "_rowid_" : "";
  plan.without_rowid = coin();
  plan.row_key = static_cast<RowKey>(random() % 4);
  for (std::uint64_t i = 1 + random() % 6; i > 0; --i) {
    ColumnPlan& column = plan.columns.emplace_back();
    column.source = "c" + std::to_string(i);
    column.target = "C " + std::to_string(i);
    column.declared_type = coin() ? "DATETIME" : "";
    column.type = static_cast<PgType>(random() % kPgTypeCount);
    column.place = random() % 9;
    column.not_null = coin();
    if (coin()) column.modifier = {static_cast<std::int32_t>(random() % 20), coin() ? 3 : -1};
    if (coin()) column.type_name = "public.mood";
    if (coin()) column.labels = {"sad", "happy"};
    if (coin()) column.generated_as = "a + 1";
    Conversion& conversion = column.conversion;
    conversion.epoch = static_cast<EpochUnit>(random() % 11);
    conversion.encoding = static_cast<TextEncoding>(random() % 4);
    conversion.bad_text = static_cast<BadText>(random() % 3);
    conversion.uuid_bytes = static_cast<UuidBytes>(random() % 3);
    conversion.base64 = static_cast<Base64>(random() % 3);
    conversion.empty_as_null = coin();
    conversion.zero_date_as_null = coin();
    conversion.truncate_fraction = coin();
    conversion.blob_as_text = coin();
    conversion.text_as_number = coin();
    conversion.naive_as_utc = coin();
    conversion.lossy_jsonb = coin();
    if (coin()) conversion.date_format = "%d.%m.%Y \"";
  }
  for (std::size_t i = 0; i < plan.columns.size(); ++i) {
    if (coin()) plan.key_columns.push_back(i);
  }
  return plan;
}

TEST(PlanRecord, IsReadBackAsItWasWritten) {
  std::mt19937_64 random(testing::test_seed());
  for (int i = 0; i < 500; ++i) {
    const TablePlan plan = random_plan(random);
    const std::string record = plan_record_of(plan);
    const TablePlan read = read_plan_record(record);
    EXPECT_EQ(plan_record_of(read), record);
    EXPECT_EQ(read.source, plan.source);
    EXPECT_EQ(read.row_key, plan.row_key);
    EXPECT_EQ(read.key_columns, plan.key_columns);
    ASSERT_EQ(read.columns.size(), plan.columns.size());
    for (std::size_t c = 0; c < plan.columns.size(); ++c) {
      EXPECT_EQ(read.columns[c].type, plan.columns[c].type);
      EXPECT_EQ(read.columns[c].modifier, plan.columns[c].modifier);
      EXPECT_EQ(read.columns[c].conversion, plan.columns[c].conversion) << record;
      EXPECT_EQ(read.columns[c].labels, plan.columns[c].labels);
      EXPECT_EQ(read.columns[c].generated_as, plan.columns[c].generated_as);
      EXPECT_EQ(read.columns[c].not_null, plan.columns[c].not_null);
    }
  }
}

void expect_refusal(const std::string& record) {
  try {
    read_plan_record(record);
    ADD_FAILURE() << record;
  } catch (const Error& error) {
    EXPECT_EQ(error.fault(), Fault::target_refused) << record;
  }
}

TEST(PlanRecord, KeepsWhereFilesGo) {
  std::mt19937_64 random(11);
  TablePlan plan = random_plan(random);
  plan.columns.resize(1);
  plan.key_columns = {0};
  plan.columns[0].role = OffloadRole::content;
  ColumnPlan path;
  path.target = "filePath";
  path.place = 9;
  path.role = OffloadRole::path;
  path.added = true;
  plan.columns.push_back(path);
  OffloadPlan offload;
  offload.column = "data";
  offload.place = 3;
  offload.store = "s3://bucket/files";
  offload.afterwards = OffloadedColumn::keep;
  offload.text = {.data_uri = true, .line_breaks = true, .url_alphabet = true, .missing_padding = true};
  offload.compress = true;
  plan.offloads = {offload};
  const std::string record = plan_record_of(plan);
  const TablePlan read = read_plan_record(record);
  EXPECT_EQ(read.offloads, plan.offloads);
  ASSERT_EQ(read.columns.size(), 2U);
  EXPECT_EQ(read.columns[0].role, OffloadRole::content);
  EXPECT_EQ(read.columns[1].role, OffloadRole::path);
  EXPECT_EQ(read.columns[1].target, "filePath");
  EXPECT_TRUE(read.columns[1].added);
  EXPECT_FALSE(read.columns[0].added);
  const auto with = [&](const std::string& old, const std::string& now) {
    std::string changed = record;
    return changed.replace(changed.find(old), old.size(), now);
  };
  expect_refusal(with("\"role\":\"path\"", "\"role\":\"wrath\""));
  expect_refusal(with("\"source\":\"keep\"", "\"source\":\"burn\""));
  expect_refusal(with("\"offloads\":[{", "\"offloadz\":[{"));
}

TEST(PlanRecord, OfANewerSluiceIsRefusedAndNotGuessedAt) {
  std::mt19937_64 random(7);
  TablePlan plan = random_plan(random);
  plan.columns.resize(1);
  plan.key_columns = {0};
  plan.columns[0].conversion = {};
  plan.columns[0].conversion.epoch = EpochUnit::seconds;
  plan.columns[0].type = PgType::date;
  const std::string record = plan_record_of(plan);
  const auto with = [&](const std::string& old, const std::string& now) {
    std::string changed = record;
    const std::size_t at = changed.find(old);
    EXPECT_NE(at, std::string::npos) << old << " in " << record;
    return changed.replace(at, old.size(), now);
  };
  expect_refusal(with("\"format\":1", "\"format\":3"));
  expect_refusal(with("\"type\":\"date\"", "\"type\":\"hyperdate\""));
  expect_refusal(with("\"epoch\":\"s\"", "\"epoch\":\"fortnights\""));
  expect_refusal(with("\"epoch\":\"s\"", "\"era\":\"s\""));
  expect_refusal(with("\"key_columns\":[0]", "\"key_columns\":[1]"));
  expect_refusal(with("\"digest_format\":1", "\"digest_format\":2"));
  expect_refusal(with("\"digest_format\":1,", ""));
  expect_refusal(with("\"row_key\":", "\"row_key\":7,\"was\":"));
  for (std::size_t size = 0; size < record.size(); ++size) expect_refusal(record.substr(0, size));
}

}  // namespace
}  // namespace sluice
