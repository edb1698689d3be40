// One source, migrated to every major version of PostgreSQL: the rows' binary form, and so the root over all
// of them, is the same on each.

#include <gtest/gtest.h>
#include <sqlite3.h>

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <map>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <vector>

#include "engine/model/quote.h"
#include "io/wire/type_table.h"
#include "support/command.h"
#include "support/query.h"
#include "support/temporary_directory.h"
#include "support/test_server.h"
#include "unit/sqlite_fixture.h"
#include "verify/leaves.h"

namespace sluice {
namespace {

namespace fs = std::filesystem;
using Json = nlohmann::json;
using testing::query_value;
using testing::TemporaryDirectory;
using testing::Writer;

// What every version must come to. It changes with the source below, with the samples of the type table, and
// with the digest (kDigestFormat). Then run one version, `ctest -R versions_15`, put what it found here, and
// see the others agree with it.
constexpr std::string_view kRoot = "0982cc0ca8a1de6aade2cf459aad0f9a";
const std::map<std::string, std::string> kDigests = {
    {"by_both", "fbe90040171dbfecf7b822447293cfb5"},   {"by_text", "02cea31dc3ff72fc75f700ff2b58fd85"},
    {"clustered", "ab55c0e14bb14e32f4d4fd55d4c30a4b"}, {"empty", "a6cd5e9392000f6ac44bdff4074eecdb"},
    {"readings", "87e488a87d3603720117c03c08f30cc7"},  {"samples", "c5f083c3ad94434fa59eebddac4e3537"},
    {"unkeyed", "fffb0cfcfb5148a76e71843799ba7bd1"},
};

// ---- the source ----

// Values are made of the row's number alone. The periods of the NULLs are primes, so that in time they meet
// in every combination.
constexpr const char* kTables = R"sql(
CREATE TABLE readings (
  id INTEGER PRIMARY KEY, amount INTEGER, ratio REAL, price DECIMAL(12,4), active BOOLEAN, note TEXT,
  payload BLOB, day DATE, clock TIME, taken DATETIME, sent TIMESTAMPTZ, document JSON, repeated JSON, token UUID,
  anything);
CREATE TABLE by_text (name TEXT PRIMARY KEY, amount INTEGER, ratio REAL);
CREATE TABLE by_both (tenant INTEGER, name TEXT, day DATE, PRIMARY KEY (tenant, name));
CREATE TABLE clustered (name TEXT, number INTEGER, price DECIMAL(12,4), PRIMARY KEY (name, number)) WITHOUT ROWID;
CREATE TABLE unkeyed (kind TEXT, taken DATETIME, document JSON);
CREATE TABLE empty (id INTEGER PRIMARY KEY, note TEXT);

CREATE TEMP TABLE n AS WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 40000)
  SELECT i, i * 2654435761 % 4294967296 AS h FROM n;
INSERT INTO readings SELECT
  i * 3 - 30000,
  CASE WHEN i % 2 > 0 THEN (h - 2147483648) * 4294967296 + h WHEN i % 11 > 0 THEN i % 100 - 50 END,
  CASE WHEN i % 3 > 0 THEN (h - 2147483648) / 7.0 WHEN i % 13 > 0 THEN i / 8 END,
  CASE WHEN i % 17 > 0 THEN (h % 1000000000 - 500000000) / 10000.0 END,
  CASE WHEN i % 19 > 0 THEN h % 2 END,
  CASE i % 23 WHEN 0 THEN NULL WHEN 1 THEN '' WHEN 2 THEN char(233, 8364, 128512, 769, 9, 10, 13, 1, 92, 34, 39)
    ELSE 'note ' || i || substr(' of some length, and of some more still', 1, h % 40) END,
  CASE i % 29 WHEN 0 THEN NULL WHEN 1 THEN x'' WHEN 2 THEN x'00ff5c80' ELSE CAST('bytes ' || h AS BLOB) END,
  CASE WHEN i % 31 > 0 THEN date('0001-01-01', (h % 3652059) || ' days') END,
  CASE WHEN i % 37 > 0 THEN time('00:00', (h % 86400) || ' seconds') || substr('.123456', 1, i % 5 + 3) END,
  CASE WHEN i % 41 > 0 THEN datetime('1900-01-01', (h * 3 / 2) || ' seconds') || printf('.%06d', i % 7 * 12345) END,
  CASE WHEN i % 43 > 0 THEN strftime('%Y-%m-%dT%H:%M:%S', '1970-01-01', h || ' seconds')
    || CASE i % 3 WHEN 0 THEN 'Z' WHEN 1 THEN '+02:00' ELSE '-05:30' END END,
  CASE i % 47 WHEN 0 THEN NULL WHEN 1 THEN '[]' WHEN 2 THEN i WHEN 3 THEN i / 8.0 WHEN 4 THEN 'null'
    ELSE printf('{"name":"\u00e9\/\u0001 %d", "b" : [1.50,1e5,-0,0.10e-3,true,null,{}], "":{"\ud83d\ude00":%d}}', i, h) END,
  CASE WHEN i % 53 > 0 THEN printf('{"b":  %d, "a": [ ], "b": "\u0041"}', i) END,
  CASE WHEN i % 59 > 0 THEN printf('%08x-%04X-4%03x-8%03x-%012x', h, i % 65536, h % 4096, i % 4096, h * i) END,
  CASE i % 7 WHEN 1 THEN -0.0 WHEN 2 THEN 9e999 WHEN 3 THEN -1e300 WHEN 4 THEN 5e-324 WHEN 5 THEN i END
  FROM n;
INSERT INTO by_text SELECT 'name ' || h || CASE i % 3 WHEN 0 THEN char(233) ELSE '' END, NULLIF(i % 7, 0), i / 3.0
  FROM n WHERE i <= 3000;
INSERT INTO by_both SELECT i % 10 - 5, 'name ' || h, date('2000-01-01', i || ' days') FROM n WHERE i <= 3000;
INSERT INTO clustered SELECT 'name ' || i % 100, h, NULLIF(i % 10000, 0) / 16.0 FROM n WHERE i <= 3000;
INSERT INTO unkeyed SELECT NULLIF('kind ' || i % 5, 'kind 0'), '2024-02-29T12:34:' || (10 + i % 50),
  '{"x":1,"a":' || i % 3 || '}' FROM n WHERE i <= 3000;
)sql";

void bind(sqlite3_stmt* statement, int place, const Cell& cell) {
  const auto size = static_cast<sqlite3_uint64>(
      cell.storage() == StorageClass::text || cell.storage() == StorageClass::blob ? cell.bytes().size() : 0);
  switch (cell.storage()) {
    case StorageClass::integer:
      sqlite3_bind_int64(statement, place, cell.integer());
      break;
    case StorageClass::real:
      sqlite3_bind_double(statement, place, cell.real());
      break;
    case StorageClass::text:
      sqlite3_bind_text64(statement, place, cell.text().data(), size, SQLITE_TRANSIENT, SQLITE_UTF8);
      break;
    case StorageClass::blob:
      // A null pointer would make it NULL.
      sqlite3_bind_blob64(statement, place, size == 0 ? "" : static_cast<const void*>(cell.bytes().data()),
                          size, SQLITE_TRANSIENT);
      break;
    case StorageClass::null:
      sqlite3_bind_null(statement, place);
  }
}

void run_with(const Writer& writer, const std::string& sql, const std::vector<Cell>& cells) {
  sqlite3_stmt* raw = nullptr;
  ASSERT_EQ(sqlite3_prepare_v2(writer.get(), sql.c_str(), -1, &raw, nullptr), SQLITE_OK) << sql;
  const StatementHandle statement(raw);
  for (std::size_t i = 0; i < cells.size(); ++i) bind(raw, static_cast<int>(i) + 1, cells[i]);
  ASSERT_EQ(sqlite3_step(raw), SQLITE_DONE) << sqlite3_errmsg(writer.get());
}

// The table `samples`: one column per type, with its samples and then NULLs. Without declared types SQLite
// keeps every cell as it is (a REAL column would turn -0.0 into 0.0, a UUID of digits would become a number),
// so the mapping, which is returned, names the types.
std::string add_samples(const Writer& writer) {
  std::string mapping = "[tables.samples.columns]\n";
  std::string columns = "id INTEGER PRIMARY KEY";
  std::string places = "NULL";
  std::vector<std::vector<Sample>> samples;
  std::size_t rows = 0;
  for (const TypeRow& row : kTypes) {
    const std::string name(name_of(row.type).sql);
    mapping += "\"" + name + "\" = { type = \"" + name + "\" }\n";
    columns += ", " + quote_identifier(name);
    places += ", ?";
    samples.push_back(row.samples());
    rows = std::max(rows, samples.back().size() + 1);
  }
  writer.run("CREATE TABLE samples (" + columns + ")");
  for (std::size_t i = 0; i < rows; ++i) {
    std::vector<Cell> cells;
    for (const auto& of_type : samples) cells.push_back(i < of_type.size() ? of_type[i].cell : Cell());
    run_with(writer, "INSERT INTO samples VALUES (" + places + ")", cells);
  }
  return mapping;
}

struct SourceFiles {
  explicit SourceFiles(const TemporaryDirectory& folder)
      : database(folder / "source.sqlite"), mapping(folder / "mapping.toml") {
    const Writer writer(database);
    writer.run("PRAGMA synchronous = OFF; BEGIN");
    writer.run(kTables);
    std::ofstream(mapping) << add_samples(writer);
    writer.run("COMMIT");
    EXPECT_EQ(writer.integer("SELECT count(DISTINCT typeof(anything)) FROM readings"), 3);
    // Otherwise the root would say little about how leaves are put together.
    std::int64_t cuts = 0;
    const std::int64_t last = writer.integer("SELECT max(id) FROM readings");
    for (std::int64_t id = writer.integer("SELECT min(id) FROM readings"); id <= last; id += 3) {
      if (cuts_after(id)) ++cuts;
    }
    EXPECT_GE(cuts, 2);
  }

  fs::path database;
  fs::path mapping;
};

// ---- the migration ----

class VersionsTest : public ::testing::TestWithParam<int> {};

Json migrate(const SourceFiles& source, const std::string& target, const fs::path& directory) {
  const testing::CommandResult result =
      testing::run_command({testing::sluice_program(), "migrate", source.database, target, "--config",
                            source.mapping, "--progress", "none", "--report", directory});
  EXPECT_EQ(result.exit_status, 0) << result.err;
  std::ifstream file(directory / "report.json");
  return file ? Json::parse(file) : Json();
}

// Whatever looks at a finished migration once more: each must come to the same root.
void expect_later_looks_to_agree(const SourceFiles& source, const std::string& target) {
  EXPECT_EQ(query_value(target, "SELECT root FROM sluice.run"), kRoot);
  // From the ledger, from both sides, and by the server's hashes.
  for (const std::vector<std::string>& flags :
       {std::vector<std::string>{}, {"--scan"}, {"--scan", "--verify", "server"}}) {
    std::vector<std::string> command = {
        testing::sluice_program(), "verify", source.database, target, "--json", "--config", source.mapping};
    command.insert(command.end(), flags.begin(), flags.end());
    const testing::CommandResult result = testing::run_command(command);
    EXPECT_EQ(result.exit_status, 0) << result.err << result.out;
    const Json report = Json::parse(result.out, nullptr, false);
    ASSERT_FALSE(report.is_discarded()) << result.out;
    EXPECT_EQ(report["root"], kRoot) << report["basis"];
    for (const Json& table : report["tables"]) EXPECT_EQ(table["equal"], true) << table;
  }
}

TEST_P(VersionsTest, OneSourceHasOneRoot) {
  const std::optional<fs::path> binaries = testing::binaries_of(GetParam());
  if (!binaries) GTEST_SKIP() << testing::how_to_get(GetParam());
  const TemporaryDirectory folder("sluice-versions");
  const SourceFiles source(folder);
  testing::TestServer server({.binaries = *binaries});
  const std::string target = server.create_database("target");
  const Json report = migrate(source, target, folder / "report");
  ASSERT_TRUE(report.is_object());
  EXPECT_EQ(report["status"], "verified");
  EXPECT_EQ(report["target"]["server_version"].get<int>() / 10000, GetParam());
  std::map<std::string, std::string> digests;
  std::map<std::string, std::vector<std::string>> types;
  for (const Json& table : report["tables"]) {
    EXPECT_EQ(table["verified"], true) << table["source"];
    EXPECT_EQ(table["rows_loaded"], table["rows_source"]) << table["source"];
    digests[table["source"]] = table["digest"];
    for (const Json& column : table["columns"]) types[table["source"]].push_back(column["type"]);
  }
  std::vector<std::string> all_types = {"bigint"};
  for (const PgTypeName& name : kPgTypeNames) all_types.emplace_back(name.sql);
  EXPECT_EQ(types["samples"], all_types);
  EXPECT_EQ(types["readings"], (std::vector<std::string>{
                                   "bigint", "bigint", "double precision", "numeric", "boolean", "text",
                                   "bytea", "date", "time without time zone", "timestamp without time zone",
                                   "timestamp with time zone", "jsonb", "json", "uuid", "double precision"}));
  EXPECT_EQ(digests, kDigests);
  EXPECT_EQ(report["root"], kRoot);
  expect_later_looks_to_agree(source, target);
}

INSTANTIATE_TEST_SUITE_P(PostgreSQL, VersionsTest, ::testing::Values(15, 16, 17, 18),
                         ::testing::PrintToStringParamName());

}  // namespace
}  // namespace sluice
