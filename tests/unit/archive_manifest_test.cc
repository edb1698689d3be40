// The manifest of an archive: written, read back, and read with suspicion.

#include "io/archive/manifest.h"

#include <gtest/gtest.h>

#include <functional>
#include <nlohmann/json.hpp>
#include <random>
#include <string>
#include <vector>

#include "engine/model/error.h"
#include "engine/model/hex.h"
#include "io/store/sha256.h"
#include "io/wire/buffer.h"
#include "support/conditions.h"
#include "support/seed.h"
#include "verify/leaves.h"
#include "verify/merkle.h"

namespace sluice {
namespace {

using testing::contains;
using Json = nlohmann::ordered_json;

TablePlan plan_of(std::size_t number, const std::string& name, bool ordered) {
  TablePlan plan;
  plan.id = static_cast<TableId>(number);
  plan.source = name;
  plan.schema = "public";
  plan.target = name;
  plan.columns.resize(2);
  plan.columns[0].target = "id";
  plan.columns[0].type = PgType::int8;
  plan.columns[1].target = "note";
  if (ordered) {
    plan.row_key = RowKey::ordered_integer;
    plan.key_columns = {0};
    plan.extents = {RowidRange{INT64_MIN, 99'999}, RowidRange{100'000, INT64_MAX}};
  } else {
    plan.extents = {WholeTable{}};
  }
  return plan;
}

RangeDigest digest_of(const TablePlan& plan, std::int64_t first, std::int64_t rows) {
  RangeDigester digester(plan);
  for (std::int64_t id = first; id < first + rows; ++id) {
    Buffer tuple;
    tuple.put_int16(2);
    tuple.put_int32(8);
    tuple.put_int64(id);
    tuple.put_int32(-1);
    digester.add(tuple.span());
  }
  return digester.finish();
}

RangeEntry entry_of(const TablePlan& plan, std::int64_t first, std::int64_t rows, std::uint64_t rejected) {
  RangeEntry entry;
  entry.digest = digest_of(plan, first, rows);
  entry.rows_loaded = static_cast<std::uint64_t>(rows);
  entry.rows_rejected = rejected;
  entry.frames = {{1000, kFrameBytes}, {77, 500}};
  entry.stream = {1077, sha256_of({})};
  if (rejected > 0) entry.rejects = {99, sha256_of({})};
  return entry;
}

struct Sample {
  std::vector<TablePlan> plans;
  Manifest manifest;
};

Sample sample() {
  Sample sample;
  sample.plans = {plan_of(0, "Orders of \"2026\"", true), plan_of(1, "\u00e4", false)};
  Manifest& manifest = sample.manifest;
  manifest.version = "0.1.0";
  manifest.source_path = "/data/app.sqlite";
  manifest.source_bytes = 4096;
  manifest.source_fingerprint = "size=4096 content=0";
  manifest.schema = "public";
  manifest.plan = {10, sha256_of({})};
  manifest.ddl = {20, sha256_of({})};
  std::vector<std::pair<std::string, Digest>> roots;
  for (const TablePlan& plan : sample.plans) {
    TableEntry& table = manifest.tables.emplace_back();
    table.source = plan.source;
    table.schema = plan.schema;
    table.target = plan.target;
    table.columns = {"id", "note"};
    if (plan.extents.size() == 2) {
      table.ranges = {entry_of(plan, 1, 50'000, 0), entry_of(plan, 100'000, 50'000, 3)};
    } else {
      table.ranges = {entry_of(plan, 1, 700, 0)};
    }
    std::vector<RangeDigest> digests;
    for (const RangeEntry& range : table.ranges) digests.push_back(range.digest);
    table.root = TableLeaves(plan, digests).root();
    roots.emplace_back(table.source, table.root);
  }
  manifest.root = database_root(roots);
  return sample;
}

std::string refusal(const std::string& text) {
  try {
    read_manifest(text);
    return {};
  } catch (const Error& error) {
    EXPECT_EQ(error.fault(), Fault::source_unreadable) << error.what();
    return error.what();
  }
}

std::string refusal_of(const std::function<void(Json&)>& change) {
  Json json = Json::parse(manifest_text(sample().manifest));
  change(json);
  return refusal(json.dump());
}

std::string plan_refusal(const std::function<void(Sample&)>& change) {
  Sample changed = sample();
  change(changed);
  try {
    check_against_plan(changed.manifest, changed.plans);
    return {};
  } catch (const Error& error) {
    EXPECT_EQ(error.fault(), Fault::source_unreadable);
    return error.what();
  }
}

TEST(ArchiveManifest, IsReadBackAsItWasWritten) {
  const Sample written = sample();
  const std::string text = manifest_text(written.manifest);
  EXPECT_EQ(read_manifest(text), written.manifest);
  EXPECT_EQ(manifest_text(read_manifest(text)), text);
  EXPECT_EQ(plan_refusal([](Sample&) {}), "");
  const RangeEntry& range = written.manifest.tables[0].ranges[1];
  EXPECT_EQ(read_range(range_text(range, 0, "Orders of \"2026\"", 1), 0, "Orders of \"2026\"", 1), range);
  Manifest empty = written.manifest;
  empty.tables.clear();
  empty.root = database_root({});
  EXPECT_EQ(read_manifest(manifest_text(empty)), empty);
}

TEST(ArchiveManifest, NamesOfFilesAreOursAlone) {
  EXPECT_EQ(stream_file(3, "orders", 17), "tables/3-orders/range-17.copy.zst");
  EXPECT_EQ(rejects_file(0, "Line Items!", 0), "tables/0-lineitems/range-0.rejects.jsonl");
  EXPECT_EQ(folder_of_table(7, "../../etc"), "tables/7-etc");
  EXPECT_EQ(folder_of_table(7, "\u00e4\u00f6"), "tables/7-table");
  EXPECT_EQ(folder_of_table(1, std::string(100, 'x')), "tables/1-" + std::string(40, 'x'));
  for (const char* name :
       {"manifest.json", "plan.json.part", "unfinished.jsonl", "tables/", "tables/0-orders/range-1.copy.zst",
        "tables/0-orders/range-1.copy.zst.part", "tables/12-x/range-3.rejects.jsonl", "tables/12-x/"}) {
    EXPECT_TRUE(is_archive_file(name)) << name;
  }
  for (const char* name :
       {"", "notes.txt", "manifest.json.old", "tables/0-orders/range-1.copy", "tables/x/range-1.copy.zst",
        "tables/0-orders/../range-1.copy.zst", "/manifest.json", "tables/0-Orders/range-1.copy.zst",
        "tables/0-orders/range-1.copy.zst\n"}) {
    EXPECT_FALSE(is_archive_file(name)) << name;
  }
}

TEST(ArchiveManifest, RefusesEachThingThatIsNotAsWeWrite) {
  const auto range = [](Json& json) -> Json& { return json["tables"][0]["ranges"][1]; };
  struct Case {
    const char* why;
    std::function<void(Json&)> change;
  };
  const std::vector<Case> cases = {
      {"not the manifest", [](Json& json) { json["what"] = "another"; }},
      {"has format 2", [](Json& json) { json["format"] = 2; }},
      {"another form", [](Json& json) { json["digest_format"] = kDigestFormat + 1; }},
      {"another name", [&](Json& json) { range(json)["file"] = "../../etc/passwd"; }},
      {"another name", [&](Json& json) { range(json)["file"] = "tables/0-ordersof2026/range-0.copy.zst"; }},
      {"another name", [](Json& json) { json["plan"]["file"] = "/etc/passwd"; }},
      {"another name", [&](Json& json) { range(json)["rejects"]["file"] = "plan.json"; }},
      {"SHA-256", [&](Json& json) { range(json)["sha256"] = "00"; }},
      {"SHA-256", [&](Json& json) { range(json)["sha256"] = std::string(64, 'A'); }},
      {"not a whole number", [&](Json& json) { range(json)["bytes"] = -1; }},
      {"not a whole number", [&](Json& json) { range(json)["rows_loaded"] = 1.5; }},
      {"not a whole number", [&](Json& json) { range(json)["bytes"] = "1077"; }},
      {"do not add up", [&](Json& json) { range(json)["rows_read"] = 5; }},
      {"too large", [&](Json& json) { range(json)["rows_rejected"] = UINT64_MAX; }},
      {"three numbers",
       [&](Json& json) {
         range(json)["frames"][0] = {0, 1000};
       }},
      {"three numbers",
       [&](Json& json) {
         range(json)["frames"][0] = {0, 1000, -5};
       }},
      {"follow each other", [&](Json& json) { range(json)["frames"][1][0] = 999; }},
      {"larger than frames are", [&](Json& json) { range(json)["frames"][0][2] = kFrameBytesMax + 1; }},
      {"larger than frames are", [&](Json& json) { range(json)["frames"][0][1] = kStoredFrameBytesMax + 1; }},
      {"larger than frames are", [&](Json& json) { range(json)["frames"][0][1] = 0; }},
      {"not as large as the file", [&](Json& json) { range(json)["bytes"] = 1078; }},
      {"not as large as the file", [&](Json& json) { range(json)["content_bytes"] = 5; }},
      {"not as large as the file",
       [&](Json& json) {
         range(json)["frames"] = Json::array();
         range(json)["bytes"] = range(json)["content_bytes"] = 0;
       }},
      {"leaves of a range cannot", [&](Json& json) { range(json)["leaves"] = "0g"; }},
      {"leaves of a range cannot", [&](Json& json) { range(json)["leaves"] = "00"; }},
      {"leaves of a range do not add up", [&](Json& json) { range(json)["leaves"] = ""; }},
      {"no digest", [&](Json& json) { range(json)["digest"] = "12"; }},
      {"leaves of a range do not add up", [&](Json& json) { range(json)["digest"] = std::string(32, '0'); }},
      {"rejects and no rejected rows", [](Json& json) { json["tables"][0]["ranges"][0]["rejects"] = 1; }},
      {"more generated columns", [](Json& json) { json["tables"][0]["generated_columns"] = 3; }},
      {"do not give its root", [](Json& json) { json["root"] = std::string(32, '0'); }},
      {"do not give its root", [](Json& json) { json["tables"][0]["root"] = std::string(32, '0'); }},
      {"larger than plans", [](Json& json) { json["plan"]["bytes"] = kPlanBytesMax + 1; }},
      {"cannot be read", [](Json& json) { json.erase("tables"); }},
      {"cannot be read", [](Json& json) { json["source"] = 1; }},
      {"cannot be read", [&](Json& json) { range(json).erase("rejects"); }},
  };
  for (const Case& one : cases)
    EXPECT_TRUE(contains(refusal_of(one.change), one.why)) << one.why << ": " << refusal_of(one.change);
  EXPECT_EQ(refusal_of([](Json&) {}), "");
  EXPECT_EQ(refusal_of([](Json& json) { json["more"] = "of a later version"; }), "");
}

TEST(ArchiveManifest, MustAgreeWithThePlan) {
  struct Case {
    const char* why;
    std::function<void(Sample&)> change;
  };
  const std::vector<Case> cases = {
      {"another number of tables", [](Sample& s) { s.plans.pop_back(); }},
      {"another one in the plan", [](Sample& s) { std::swap(s.plans[0], s.plans[1]); }},
      {"another one in the plan", [](Sample& s) { s.plans[1].target = "b"; }},
      {"other columns", [](Sample& s) { s.plans[0].columns[1].target = "b"; }},
      {"other columns", [](Sample& s) { s.plans[0].columns[1].generated_as = "1"; }},
      {"another number of ranges", [](Sample& s) { s.plans[0].extents.pop_back(); }},
      {"not in their order",
       [](Sample& s) { std::swap(s.manifest.tables[0].ranges[0], s.manifest.tables[0].ranges[1]); }},
      {"not in their order",
       [](Sample& s) { s.manifest.tables[0].ranges[0].digest.leaves.front().open = true; }},
      {"not in their order",
       [](Sample& s) { s.manifest.tables[1].ranges[0].digest.leaves.front().tag = -1; }},
      {"not in their order",
       [](Sample& s) { s.manifest.tables[1].ranges[0].digest.leaves.back().tag = 256; }},
      {"not in their order", [](Sample& s) { s.plans[0].row_key = RowKey::none; }},
      {"do not give its root", [](Sample& s) { s.manifest.tables[1].root = {}; }},
  };
  for (const Case& one : cases)
    EXPECT_TRUE(contains(plan_refusal(one.change), one.why)) << one.why << ": " << plan_refusal(one.change);
}

TEST(ArchiveManifest, AnyBytesEndInAManifestOrInAnError) {
  std::mt19937_64 random(testing::test_seed());
  const std::string text = manifest_text(sample().manifest);
  for (std::size_t length = 0; length + 1 < text.size(); ++length) {
    EXPECT_NE(refusal(text.substr(0, length)), "") << length;
  }
  for (int round = 0; round < 3000; ++round) {
    std::string changed = text;
    for (std::uint64_t i = 1 + random() % 3; i > 0; --i)
      changed[random() % changed.size()] = static_cast<char>(random());
    static_cast<void>(refusal(changed));
  }
  EXPECT_NE(refusal(std::string(100'000, '[')), "");
  EXPECT_NE(refusal(""), "");
}

TEST(ArchiveManifest, TheChecksumIsAsSha256sumReadsIt) {
  EXPECT_EQ(checksum_text(sha256_of({})),
            "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855  manifest.json\n");
  EXPECT_EQ(parse_sha256(to_hex(sha256_of({}))), sha256_of({}));
  EXPECT_EQ(parse_sha256("e3b0"), std::nullopt);
}

}  // namespace
}  // namespace sluice
