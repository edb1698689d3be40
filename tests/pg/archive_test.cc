// sluice export, restore, and verify with an archive: what goes in comes out, and what is damaged is named.

#include <gtest/gtest.h>
#include <sqlite3.h>

#include <algorithm>
#include <csignal>
#include <cstdint>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <memory>
#include <nlohmann/json.hpp>
#include <optional>
#include <random>
#include <stdexcept>
#include <string>
#include <vector>

#include "engine/app/archived.h"
#include "engine/model/error.h"
#include "support/command.h"
#include "support/conditions.h"
#include "support/corpus.h"
#include "support/directories.h"
#include "support/moments.h"
#include "support/query.h"
#include "support/seed.h"
#include "support/small_disk.h"
#include "support/temporary_directory.h"
#include "support/test_server.h"

namespace sluice {
namespace {

namespace fs = std::filesystem;
using nlohmann::json;
using testing::begin_until;
using testing::CommandOptions;
using testing::CommandResult;
using testing::contains;
using testing::query;
using testing::query_value;
using testing::root_in;
using testing::run_command;
using testing::RunningCommand;
using testing::shared_test_server;
using testing::TemporaryDirectory;

std::string content_of(const fs::path& path) {
  std::ifstream file(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(file), {}};
}

void put(const fs::path& path, const std::string& content) {
  std::ofstream(path, std::ios::binary | std::ios::trunc) << content;
}

void make_source(const fs::path& path, const std::string& sql) {
  sqlite3* raw = nullptr;
  const int code = sqlite3_open(path.c_str(), &raw);
  const std::unique_ptr<sqlite3, int (*)(sqlite3*)> database(raw, sqlite3_close);
  if (code != SQLITE_OK || sqlite3_exec(raw, sql.c_str(), nullptr, nullptr, nullptr) != SQLITE_OK) {
    throw std::runtime_error(sqlite3_errmsg(raw));
  }
}

CommandResult sluice(std::vector<std::string> words, CommandOptions options = {}) {
  words.insert(words.begin(), testing::sluice_program());
  words.insert(words.end(), {"--progress", "none"});
  return run_command(std::move(words), std::move(options));
}

json manifest_of(const fs::path& archive) { return json::parse(content_of(archive / "manifest.json")); }

// ---- a source with everything in it ----

constexpr const char* kEverything = R"(
CREATE TABLE customers (id INTEGER PRIMARY KEY, name TEXT NOT NULL, joined DATETIME, total DECIMAL(10,2) DEFAULT 0,
                        loud TEXT GENERATED ALWAYS AS (upper(name)) VIRTUAL, twice INTEGER AS (id * 2) STORED);
INSERT INTO customers (id, name, joined, total)
  WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 30000)
  SELECT i * 3, 'customer ' || i, datetime(1700000000 + i, 'unixepoch'), i / 100.0 FROM n;
CREATE TABLE orders (id INTEGER PRIMARY KEY, customer INTEGER NOT NULL REFERENCES customers(id), note TEXT, data BLOB);
INSERT INTO orders WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 60000)
  SELECT i, 3 * (1 + i % 30000), 'note ' || (i * 7919 % 100000), CASE i % 5 WHEN 0 THEN NULL ELSE randomblob(20) END FROM n;
CREATE INDEX orders_note ON orders (note);
CREATE TABLE keys (a TEXT, b INTEGER, v REAL, PRIMARY KEY (a, b)) WITHOUT ROWID;
INSERT INTO keys WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 20000)
  SELECT 'k' || (i % 100), i, i / 3.0 FROM n;
CREATE TABLE keyless (x, y);
INSERT INTO keyless VALUES (1, 'a'), (1, 'a'), (NULL, NULL), (2.5, x'00ff');
CREATE TABLE hollow (id INTEGER PRIMARY KEY, x TEXT);
CREATE TABLE picky (id INTEGER PRIMARY KEY, n INTEGER, d DATE);
INSERT INTO picky WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 3000)
  SELECT i, CASE i % 100 WHEN 7 THEN 'seven' ELSE i END, CASE i % 500 WHEN 3 THEN 'soon' ELSE '2026-01-01' END FROM n;
CREATE VIEW big_spenders AS SELECT name, total FROM customers WHERE total > 100;
)";

struct Everything {
  TemporaryDirectory folder{"sluice-archive"};
  fs::path source = folder / "everything.sqlite";
  fs::path archive = folder / "archive";
  CommandResult exported;
  // Flags of the plan: the same for migrate and export.
  std::vector<std::string> flags = {"--on-misfit", "reject", "--range-size", "300KB"};

  Everything() {
    make_source(source, kEverything);
    exported = write(archive);
  }
  [[nodiscard]] CommandResult write(const fs::path& to, std::vector<std::string> more = {}) const {
    std::vector<std::string> words = {"export", source, to};
    words.insert(words.end(), flags.begin(), flags.end());
    words.insert(words.end(), more.begin(), more.end());
    return sluice(words);
  }
  [[nodiscard]] CommandResult migrate(const std::string& target) const {
    std::vector<std::string> words = {"migrate", source, target};
    words.insert(words.end(), flags.begin(), flags.end());
    return sluice(words, {.directory = folder.path()});
  }
};

const Everything& everything() {
  static const Everything everything;
  return everything;
}

CommandResult restore(const fs::path& archive, const std::string& target,
                      std::vector<std::string> more = {}) {
  std::vector<std::string> words = {"restore", archive, target};
  words.insert(words.end(), more.begin(), more.end());
  return sluice(words, {.directory = everything().folder.path()});
}

// What a database holds, as text: rows, columns, indexes, constraints, views, the rejected rows.
std::string picture_of(const std::string& conninfo) {
  std::string picture;
  const auto add = [&](const std::string& sql) {
    for (const auto& row : query(conninfo, sql)) {
      for (const auto& value : row) picture += value.value_or("NULL") + "|";
      picture += "\n";
    }
  };
  for (const auto& table :
       query(conninfo,
             "SELECT c.oid::regclass::text FROM pg_class c WHERE relnamespace = 'public'::regnamespace AND "
             "relkind IN ('r', 'v') ORDER BY 1")) {
    add("SELECT '" + *table[0] + "', count(*), sum(hashtextextended(t::text, 0)) FROM " + *table[0] + " t");
  }
  add("SELECT table_name, column_name, data_type, column_default, is_nullable, generation_expression FROM "
      "information_schema.columns WHERE table_schema = 'public' ORDER BY 1, ordinal_position");
  add("SELECT indexdef FROM pg_indexes WHERE schemaname = 'public' ORDER BY 1");
  add("SELECT conname, pg_get_constraintdef(oid), convalidated FROM pg_constraint WHERE connamespace = "
      "'public'::regnamespace ORDER BY 1");
  add("SELECT sequencename, last_value FROM pg_sequences WHERE schemaname = 'public' ORDER BY 1");
  add("SELECT table_no, range_no, row_no, record::text FROM sluice.failure ORDER BY 1, 2, 3");
  add("SELECT table_no, range_no, extent, rows_read, rows_loaded, rows_rejected, bytes, digest, leaves FROM "
      "sluice.work "
      "ORDER BY 1, 2");
  return picture;
}

// ---- there and back ----

TEST(Archive, RestoredIsEverythingThatADirectMigrationLeaves) {
  const Everything& it = everything();
  ASSERT_EQ(it.exported.exit_status, 3) << it.exported.err << it.exported.out;  // rows were rejected
  const std::string direct = shared_test_server().create_database("direct");
  const CommandResult migrated = it.migrate(direct);
  ASSERT_EQ(migrated.exit_status, 3) << migrated.err;
  EXPECT_EQ(root_in(it.exported), root_in(migrated));
  EXPECT_EQ(manifest_of(it.archive).at("root"), root_in(migrated));

  const std::string target = shared_test_server().create_database("restored");
  const CommandResult restored = restore(it.archive, target, {"--report", it.folder / "report"});
  ASSERT_EQ(restored.exit_status, 3) << restored.err;
  EXPECT_EQ(root_in(restored), root_in(migrated));
  // The ledger, too.
  EXPECT_EQ(picture_of(target), picture_of(direct));
  const json report = json::parse(content_of(it.folder / "report" / "report.json"));
  EXPECT_EQ(report.at("status"), "rejected");
  EXPECT_EQ(report.at("root"), root_in(migrated));
  for (const json& table : report.at("tables")) EXPECT_TRUE(table.at("verified").get<bool>()) << table;
  const std::string rejects = content_of(it.folder / "report" / "rejects.jsonl");
  EXPECT_EQ(std::count(rejects.begin(), rejects.end(), '\n'), 36) << "30 by n, 6 by d";

  const CommandResult verified = sluice({"verify", it.archive, target});
  EXPECT_EQ(verified.exit_status, 4) << "rejected rows are missing" << verified.out;
  EXPECT_TRUE(
      contains(verified.out, "missing picky {\"id\": 7}: the target's column for n cannot hold its value"))
      << verified.out;
  const CommandResult checked = sluice({"verify", it.archive});
  EXPECT_EQ(checked.exit_status, 0) << checked.err;
  EXPECT_TRUE(contains(checked.out, root_in(migrated))) << checked.out;
}

TEST(Archive, TheRestoredRowsAreThoseOfTheSourceByTheIndependentComparison) {
  const TemporaryDirectory folder;
  const fs::path archive = folder / "archive";
  // Which does not know generated columns. Widened, so that no row is missing.
  std::string sql = kEverything;
  const std::size_t begin = sql.find("loud TEXT");
  sql.replace(begin, sql.find("STORED);") - begin, "more TEXT");
  sql.erase(sql.find("STORED);"), 6);
  make_source(folder / "source.sqlite", sql);
  ASSERT_EQ(sluice({"export", folder / "source.sqlite", archive}).exit_status, 0);
  const std::string target = shared_test_server().create_database("compared");
  const CommandResult restored = restore(archive, target, {"--report", folder / "report"});
  ASSERT_EQ(restored.exit_status, 0) << restored.err;
  const CommandResult comparison =
      run_command({"python3", testing::source_directory() + "/tests/support/compare_databases.py",
                   folder / "source.sqlite", target, folder / "report"});
  EXPECT_EQ(comparison.exit_status, 0) << comparison.out << comparison.err;
}

TEST(Archive, LanesAndRangesAndLevelsChangeNothingOfTheRoot) {
  const Everything& it = everything();
  const TemporaryDirectory folder;
  const std::string root = root_in(it.exported);
  for (const std::vector<std::string>& flags :
       {std::vector<std::string>{"--jobs", "1", "--range-size", "100MB"},
        {"--jobs", "7", "--range-size", "50KB", "--level", "9"},
        {"--jobs", "2", "--memory-limit", "80MB"}}) {
    const fs::path archive = folder / ("a" + flags[1] + flags[3]);
    std::vector<std::string> words = {"export", it.source, archive, "--on-misfit", "reject"};
    words.insert(words.end(), flags.begin(), flags.end());
    const CommandResult exported = sluice(words);
    ASSERT_EQ(exported.exit_status, 3) << exported.err;
    EXPECT_EQ(root_in(exported), root);
    const std::string target = shared_test_server().create_database("lanes");
    const CommandResult restored = restore(archive, target, {"--jobs", flags[1], "--verify", "server"});
    EXPECT_EQ(restored.exit_status, 3) << restored.err;
    EXPECT_EQ(root_in(restored), root);
  }
}

TEST(Archive, RestoreCanMakeTheSchemaAloneAndAfterwardsTheRows) {
  const Everything& it = everything();
  const std::string target = shared_test_server().create_database("schema_only");
  const CommandResult dry = restore(it.archive, target, {"--dry-run"});
  EXPECT_EQ(dry.exit_status, 0) << dry.err;
  EXPECT_TRUE(contains(dry.out, "CREATE TABLE \"public\".\"customers\"")) << dry.out;
  EXPECT_EQ(query_value(target, "SELECT count(*) FROM pg_class WHERE relnamespace = 'public'::regnamespace"),
            "0");
  EXPECT_EQ(restore(it.archive, target, {"--schema-only"}).exit_status, 0);
  EXPECT_EQ(query_value(target, "SELECT count(*) FROM customers"), "0");
  const CommandResult rows = restore(it.archive, target, {"--table-handling", "drop"});
  EXPECT_EQ(rows.exit_status, 3) << rows.err;
  EXPECT_EQ(query_value(target, "SELECT count(*) FROM customers"), "30000");
  // Once more: it is complete, and verified again.
  const CommandResult again = restore(it.archive, target);
  EXPECT_EQ(again.exit_status, 3) << again.err;
  EXPECT_EQ(query_value(target, "SELECT count(*) FROM customers"), "30000");
}

TEST(Archive, RestoreLeavesStatisticsToAutovacuumWhenTold) {
  const Everything& it = everything();
  const char* const kAnalyzed =
      "SELECT count(DISTINCT tablename) > 0 FROM pg_stats WHERE schemaname = 'public'";
  const std::string with = shared_test_server().create_database("analyzed");
  EXPECT_EQ(restore(it.archive, with).exit_status, 3);
  EXPECT_EQ(query_value(with, kAnalyzed), "t");
  const std::string without = shared_test_server().create_database("not_analyzed");
  // Rows that nobody counts are none that autovacuum would come for in the middle of the test.
  testing::execute(without, "ALTER DATABASE not_analyzed SET track_counts = off");
  const CommandResult restored = restore(it.archive, without, {"--no-analyze"});
  EXPECT_EQ(restored.exit_status, 3) << restored.err;
  EXPECT_EQ(query_value(without, kAnalyzed), "f");
  // Nothing is left open, and keys and indexes are there.
  EXPECT_EQ(query_value(without, "SELECT count(*) FROM sluice.step WHERE NOT done"), "0");
  const char* const kIndexes =
      "SELECT count(*) FROM pg_index WHERE indrelid::regclass::text !~ '^(pg_|sluice)'";
  EXPECT_EQ(query_value(without, kIndexes), query_value(with, kIndexes));
}

TEST(Archive, ItsFilesAreForZstdAndPsqlToo) {
  const Everything& it = everything();
  const std::string target = shared_test_server().create_database("by_hand");
  testing::execute(target, "CREATE TABLE orders (id bigint, customer bigint, note text, data bytea)");
  const json manifest = manifest_of(it.archive);
  const auto table = std::find_if(manifest.at("tables").begin(), manifest.at("tables").end(),
                                  [](const json& entry) { return entry.at("source") == "orders"; });
  ASSERT_GT(table->at("ranges").size(), 3u);
  for (const json& range : table->at("ranges")) {
    const fs::path file = it.archive / range.at("file").get<std::string>();
    const CommandResult copied = run_command(
        {"sh", "-c", "zstd -dcq \"$0\" | psql -qX \"$1\" -c '\\copy orders from stdin (format binary)'", file,
         target});
    ASSERT_EQ(copied.exit_status, 0) << copied.err;
  }
  EXPECT_EQ(query_value(target, "SELECT count(*) FROM orders"), "60000");
  EXPECT_EQ(run_command({"sha256sum", "-c", "--quiet", "manifest.json.sha256"}, {.directory = it.archive})
                .exit_status,
            0);
  EXPECT_EQ(run_command({"psql", "-qX", "-v", "ON_ERROR_STOP=1",
                         shared_test_server().create_database("by_script"), "-f", it.archive / "schema.sql"})
                .exit_status,
            0);
  // Generated columns are in the tuples, since they are part of the digest; the manifest says so.
  const auto customers = std::find_if(manifest.at("tables").begin(), manifest.at("tables").end(),
                                      [](const json& entry) { return entry.at("source") == "customers"; });
  EXPECT_GT(customers->at("generated_columns").get<int>(), 0);
  EXPECT_EQ(customers->at("columns").size(), 6u);
}

TEST(Archive, RowsThatSpanFramesPassWithoutBeingHeld) {
  const TemporaryDirectory folder;
  const fs::path source = folder / "large.sqlite";
  make_source(source,
              "CREATE TABLE files (id INTEGER PRIMARY KEY, name TEXT, body BLOB, more TEXT);"
              "INSERT INTO files VALUES (1, 'small', x'00', 'x'), (2, 'large', randomblob(60000000), 'y'),"
              " (3, NULL, NULL, NULL), (4, 'fits', randomblob(4194304), hex(randomblob(3000000))),"
              " (5, 'zeros', zeroblob(50000000), 'z')");
  const fs::path archive = folder / "archive";
  const CommandResult exported = sluice({"export", source, archive, "--jobs", "1"});
  ASSERT_EQ(exported.exit_status, 0) << exported.err;
  const std::string direct = shared_test_server().create_database("large_direct");
  const CommandResult migrated = sluice({"migrate", source, direct});
  EXPECT_EQ(root_in(exported), root_in(migrated));
  const std::string target = shared_test_server().create_database("large");
  const CommandResult restored = restore(archive, target, {"--jobs", "1", "--verify", "none"});
  ASSERT_EQ(restored.exit_status, 0) << restored.err;
  EXPECT_LT(restored.peak_memory_bytes, 55'000'000u) << "a row of 60 MB was held";
  EXPECT_EQ(root_in(sluice({"verify", archive, target})), root_in(migrated));
  const CommandResult checked = sluice({"verify", archive, "--jobs", "1"});
  EXPECT_EQ(checked.exit_status, 0) << checked.err;
  EXPECT_LT(checked.peak_memory_bytes, 55'000'000u);
}

// ---- the corpus ----

class ArchiveOfCorpus : public ::testing::TestWithParam<const char*> {};

INSTANTIATE_TEST_SUITE_P(Files, ArchiveOfCorpus,
                         ::testing::Values("chinook", "datasette_fixtures", "fdw_common", "fdw_core",
                                           "micro_pgloader_sqlite", "micro_pgloader_storage", "northwind_big",
                                           "northwind_efcore", "pocketbase_data", "sakila",
                                           "sql_murder_mystery", "uptime_kuma"),
                         [](const auto& parameter) { return std::string(parameter.param); });

TEST_P(ArchiveOfCorpus, HasTheRootOfADirectMigrationWhateverLanesAndRanges) {
  const auto source = testing::corpus_file(GetParam());
  if (!source) GTEST_SKIP() << "no corpus file " << GetParam();
  const TemporaryDirectory folder;
  const CommandResult migrated =
      sluice({"migrate", *source, shared_test_server().create_database("corpus_direct")},
             {.directory = folder.path()});
  ASSERT_EQ(migrated.exit_status, 0) << migrated.err;
  const std::vector<std::vector<std::string>> ways = {{}, {"--jobs", "3", "--range-size", "64KB"}};
  for (std::size_t way = 0; way < ways.size(); ++way) {
    const fs::path archive = folder / ("archive" + std::to_string(way));
    std::vector<std::string> words = {"export", *source, archive};
    words.insert(words.end(), ways[way].begin(), ways[way].end());
    const CommandResult exported = sluice(words);
    ASSERT_EQ(exported.exit_status, 0) << exported.err;
    EXPECT_EQ(root_in(exported), root_in(migrated));
    const std::string target = shared_test_server().create_database("corpus_restored");
    const CommandResult restored = restore(archive, target, {"--jobs", std::to_string(1 + way * 3)});
    EXPECT_EQ(restored.exit_status, 0) << restored.err;
    EXPECT_EQ(root_in(restored), root_in(migrated));
    const CommandResult verified = sluice({"verify", archive, target});
    EXPECT_EQ(verified.exit_status, 0) << verified.err << verified.out;
    EXPECT_EQ(root_in(verified), root_in(migrated));
  }
}

// ---- damage ----

// An archive to be damaged: small, with more than one frame in one of its files, rejects, and several tables.
class DamagedArchive : public ::testing::Test {
 protected:
  static void SetUpTestSuite() {
    folder_ = new TemporaryDirectory("sluice-damaged");
    make_source(
        *folder_ / "source.sqlite",
        "CREATE TABLE a (id INTEGER PRIMARY KEY, x TEXT, n INTEGER);"
        "INSERT INTO a WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 2000)"
        " SELECT i, hex(randomblob(10)), CASE i WHEN 77 THEN 'x' ELSE i END FROM n;"
        "CREATE TABLE b (id INTEGER PRIMARY KEY, body BLOB);"
        "INSERT INTO b VALUES (1, randomblob(100)), (2, zeroblob(9000000)), (3, randomblob(100));"
        "CREATE TABLE c (k TEXT PRIMARY KEY, v) WITHOUT ROWID; INSERT INTO c VALUES ('a', 1), ('b', 2);");
    const CommandResult exported = sluice(
        {"export", *folder_ / "source.sqlite", archive(), "--on-misfit", "reject", "--range-size", "20KB"});
    ASSERT_EQ(exported.exit_status, 3) << exported.err;
    for (const auto& entry : fs::recursive_directory_iterator(archive())) {
      if (!entry.is_regular_file()) continue;
      const std::string name = entry.path().lexically_relative(archive()).string();
      for (std::uint64_t i = 0; i < entry.file_size(); ++i) places_.push_back({name, i});
      files_.push_back(name);
    }
    std::sort(files_.begin(), files_.end());
  }
  static void TearDownTestSuite() {
    delete folder_;
    folder_ = nullptr;
  }

  static fs::path archive() { return *folder_ / "archive"; }

  // What opening and reading all of it says; empty when it is whole.
  static std::string check() {
    try {
      const OpenedArchive opened = open_archive(archive());
      Console console(ProgressMode::none);
      const StopRequest stop;
      ArchiveScanOptions options;
      options.lanes = 2;
      const auto leaves = scan_archive(*opened.archive, opened.plan.tables, options, console, stop);
      EXPECT_TRUE(leaves);
      return {};
    } catch (const Error& error) {
      EXPECT_EQ(error.fault(), Fault::source_unreadable) << error.describe();
      return error.describe();
    }
  }

  // The file with another content, for as long as this lives.
  class Changed {
   public:
    Changed(std::string name, const std::string& content)
        : name_(std::move(name)), before_(content_of(archive() / name_)) {
      put(archive() / name_, content);
    }
    ~Changed() { put(archive() / name_, before_); }
    Changed(const Changed&) = delete;
    Changed& operator=(const Changed&) = delete;

   private:
    std::string name_;
    std::string before_;
  };

  static void expect_named(const std::string& refusal, const std::string& file, const std::string& how) {
    EXPECT_TRUE(contains(refusal, file)) << how << " of " << file << ": " << refusal;
  }

  struct Place {
    std::string file;
    std::uint64_t offset = 0;
  };
  static std::string with_bit_flipped(const Place& place, unsigned bit) {
    std::string content = content_of(archive() / place.file);
    content[place.offset] = static_cast<char>(content[place.offset] ^ (1 << bit));
    return content;
  }

  static inline TemporaryDirectory* folder_ = nullptr;
  static inline std::vector<Place> places_;
  static inline std::vector<std::string> files_;
};

TEST_F(DamagedArchive, IsWholeBeforeAnythingIsDoneToIt) {
  EXPECT_EQ(check(), "");
  EXPECT_GE(files_.size(), 9u);
}

TEST_F(DamagedArchive, CutAtEveryFrameAndAtRandomLengthsIsRefusedByTheNameOfTheFile) {
  std::mt19937_64 random(testing::test_seed());
  std::vector<Place> cuts;
  std::size_t frames = 0;
  const json manifest = manifest_of(archive());
  for (const json& table : manifest.at("tables")) {
    for (const json& range : table.at("ranges")) {
      for (const json& frame : range.at("frames")) {
        cuts.push_back({range.at("file"), frame.at(0).get<std::uint64_t>()});
        ++frames;
      }
    }
  }
  EXPECT_GT(frames, 5u);
  for (int i = 0; i < 200; ++i) cuts.push_back(places_[random() % places_.size()]);
  for (const std::string& file : files_) cuts.push_back({file, 0});
  for (const Place& cut : cuts) {
    const Changed changed(cut.file, content_of(archive() / cut.file).substr(0, cut.offset));
    expect_named(check(), cut.file, "cut at " + std::to_string(cut.offset));
  }
  for (const std::string& file : files_) {
    const Changed changed(file, content_of(archive() / file) + "x");
    expect_named(check(), file, "one byte more");
  }
  EXPECT_EQ(check(), "");
}

TEST_F(DamagedArchive, WithASingleBitFlippedIsRefusedByTheNameOfTheFile) {
  std::mt19937_64 random(testing::test_seed());
  std::size_t frames_named = 0;
  const auto flip = [&](const Place& place) {
    const auto bit = static_cast<unsigned>(random() % 8);
    const Changed changed(place.file, with_bit_flipped(place, bit));
    const std::string refusal = check();
    expect_named(refusal, place.file,
                 "bit " + std::to_string(bit) + " of byte " + std::to_string(place.offset));
    frames_named += contains(refusal, ".copy.zst, frame ") ? 1 : 0;
  };
  for (int i = 0; i < 500; ++i) flip(places_[random() % places_.size()]);
  // Small files, too.
  for (const std::string& file : files_) {
    for (int i = 0; i < 10; ++i) flip({file, random() % fs::file_size(archive() / file)});
  }
  EXPECT_GT(frames_named, 50u);
  EXPECT_EQ(check(), "");
}

TEST_F(DamagedArchive, OfWhichFilesAreMissingOrExchangedNamesThemAllAtOnce) {
  std::vector<std::string> streams;
  for (const std::string& file : files_) {
    if (file.ends_with(".copy.zst")) streams.push_back(file);
  }
  fs::rename(archive() / streams[0], *folder_ / "aside");
  {
    const Changed shorter(streams[1], "");
    const std::string refusal = check();
    expect_named(refusal, streams[0] + " is missing", "removed");
    expect_named(refusal, streams[1] + " has 0 bytes", "emptied");
  }
  // A link to the very same bytes is not what we wrote.
  fs::create_symlink(*folder_ / "aside", archive() / streams[0]);
  expect_named(check(), streams[0], "a link");
  fs::remove(archive() / streams[0]);
  fs::rename(*folder_ / "aside", archive() / streams[0]);
  for (const std::string& file : files_) {
    const std::string content = content_of(archive() / file);
    fs::remove(archive() / file);
    expect_named(check(), file, "removed");
    put(archive() / file, content);
  }
  EXPECT_EQ(check(), "");
}

TEST_F(DamagedArchive, IsNeverRestoredAsIfItWereWhole) {
  std::mt19937_64 random(testing::test_seed() + 1);
  const std::string target = shared_test_server().create_database("damaged");
  constexpr int kShots = 44;
  int loaded_something = 0;
  for (int shot = 0; shot < kShots; ++shot) {
    // Ranges more often than chance has it: only there something is loaded before the damage is met.
    std::string file = files_[random() % files_.size()];
    if (shot % 2 == 0) {
      while (!file.starts_with("tables/")) file = files_[random() % files_.size()];
    }
    const Place place = {file, random() % fs::file_size(archive() / file)};
    const std::string damaged = shot % 4 == 3 ? content_of(archive() / file).substr(0, place.offset)
                                              : with_bit_flipped(place, static_cast<unsigned>(random() % 8));
    const Changed changed(file, damaged);
    testing::execute(
        target, "DROP SCHEMA IF EXISTS sluice CASCADE; DROP SCHEMA public CASCADE; CREATE SCHEMA public");
    const CommandResult restored =
        restore(archive(), target, {"--report", *folder_ / "report", "--jobs", "2"});
    EXPECT_EQ(restored.exit_status, 10) << file << restored.err << restored.out;
    EXPECT_TRUE(contains(restored.err, file)) << file << " byte " << place.offset << ": " << restored.err;
    EXPECT_EQ(root_in(restored), "") << restored.out;
    EXPECT_EQ(json::parse(content_of(*folder_ / "report" / "report.json")).at("status"), "failed");
    const bool begun = query_value(target, "SELECT to_regclass('sluice.run') IS NOT NULL") == "t";
    if (!begun) continue;
    ++loaded_something;
    EXPECT_EQ(query_value(target, "SELECT string_agg(state, ',') FROM sluice.run"), "loading");
    // The range that is damaged is not in the ledger, and none of its rows in its table.
    EXPECT_NE(query_value(target, "SELECT count(*) FROM sluice.work WHERE NOT done"), "0");
    for (const auto& row :
         query(target,
               "SELECT t.target, coalesce(sum(w.rows_loaded) FILTER (WHERE w.done), 0) FROM "
               "sluice.run_table t JOIN sluice.work w USING (run_id, table_no) GROUP BY 1")) {
      EXPECT_EQ(query_value(target, "SELECT count(*) FROM \"" + *row[0] + "\""), *row[1]) << *row[0];
    }
  }
  EXPECT_GT(loaded_something, 10);
  // The whole one goes on where the damaged one stopped.
  const CommandResult whole = restore(archive(), target);
  EXPECT_EQ(whole.exit_status, 3) << whole.err;
  EXPECT_EQ(root_in(whole), manifest_of(archive()).at("root"));
}

// ---- ends before the end ----

std::vector<std::string> export_words(const Everything& it, const fs::path& archive) {
  std::vector<std::string> words = {testing::sluice_program(),
                                    "export",
                                    it.source,
                                    archive,
                                    "--range-size",
                                    "40KB",
                                    "--on-misfit",
                                    "reject",
                                    "--jobs",
                                    "2",
                                    "--progress",
                                    "none"};
  return words;
}

// In the middle of it.
constexpr const char* kSomeParts = "after part:3:stop";
constexpr const char* kManyParts = "after part:20:stop";

TEST(ExportInterrupted, ByKillsGoesOnAndEndsWithTheSameRoot) {
  const Everything& it = everything();
  std::mt19937_64 random(testing::test_seed() + 2);
  const TemporaryDirectory folder;
  const CommandResult whole = run_command(export_words(it, folder / "whole"));
  ASSERT_EQ(whole.exit_status, 3) << whole.err;
  testing::Moments moments(whole.seconds);
  int killed = 0;
  int went_on = 0;
  for (int shot = 0; shot < 14; ++shot) {
    const fs::path archive = folder / std::to_string(shot);
    if (shot < 2) {
      RunningCommand first = begin_until(export_words(it, archive), shot == 0 ? kSomeParts : kManyParts);
      first.send(SIGKILL);
      ASSERT_EQ(first.wait().signal, SIGKILL);
    } else {
      CommandOptions options;
      options.signal = SIGKILL;
      options.signal_after = moments.next(random);
      const CommandResult first = run_command(export_words(it, archive), options);
      moments.last_came_in_time(first.signal == SIGKILL);
      killed += first.signal == SIGKILL ? 1 : 0;
    }
    if (!fs::exists(archive / "manifest.json")) {
      const CommandResult refused = sluice({"verify", archive});
      EXPECT_EQ(refused.exit_status, 10);
      EXPECT_TRUE(contains(refused.err, "not come to its end") || contains(refused.err, "no manifest.json") ||
                  contains(refused.err, "cannot be read"))
          << refused.err;
      const CommandResult second = run_command(export_words(it, archive));
      EXPECT_EQ(second.exit_status, 3) << second.err;
      EXPECT_EQ(root_in(second), root_in(whole));
      went_on += contains(second.err, "going on with an unfinished export") ? 1 : 0;
    }
    EXPECT_EQ(sluice({"verify", archive}).exit_status, 0);
    EXPECT_EQ(manifest_of(archive).at("root"), root_in(whole));
    EXPECT_FALSE(fs::exists(archive / "unfinished.jsonl"));
  }
  std::printf("%d of 12 kills landed, %d exports went on\n", killed, went_on);
  EXPECT_GE(killed, 4);
  EXPECT_GE(went_on, 2);
}

TEST(ExportInterrupted, BySigintEndsWithStatus5AndOtherFlagsOfCuttingGoOn) {
  const Everything& it = everything();
  const TemporaryDirectory folder;
  const fs::path archive = folder / "archive";
  RunningCommand running = begin_until(export_words(it, archive), kSomeParts);
  running.send(SIGINT);
  running.send(SIGCONT);
  const CommandResult& stopped = running.wait();
  EXPECT_EQ(stopped.exit_status, 5) << stopped.err;
  EXPECT_FALSE(fs::exists(archive / "manifest.json"));
  EXPECT_EQ(restore(archive, shared_test_server().create_database("unfinished")).exit_status, 10);
  // The cuts of the first call count, whatever the second one would have cut.
  const CommandResult second = sluice({"export", it.source, archive, "--on-misfit", "reject", "--jobs", "5"});
  EXPECT_EQ(second.exit_status, 3) << second.err;
  EXPECT_TRUE(contains(second.err, "going on with an unfinished export")) << second.err;
  EXPECT_EQ(root_in(second), root_in(it.exported));
  EXPECT_EQ(sluice({"verify", archive}).exit_status, 0);
}

TEST(ExportInterrupted, OfAnotherSourceOrPlanBeginsAnewAndOtherFoldersAreRefused) {
  const Everything& it = everything();
  const TemporaryDirectory folder;
  const fs::path archive = folder / "archive";
  {
    RunningCommand running = begin_until(export_words(it, archive), kManyParts);
    running.send(SIGKILL);
    running.wait();
  }
  const fs::path other = folder / "other.sqlite";
  make_source(other, "CREATE TABLE t (id INTEGER PRIMARY KEY); INSERT INTO t VALUES (1)");
  const CommandResult anew = sluice({"export", other, archive});
  EXPECT_EQ(anew.exit_status, 0) << anew.err;
  EXPECT_TRUE(contains(anew.err, "beginning anew")) << anew.err;
  EXPECT_EQ(sluice({"verify", archive}).exit_status, 0);
  EXPECT_FALSE(fs::exists(archive / "tables" / "0-orders" / "range-0.copy.zst"));

  const CommandResult finished = sluice({"export", other, archive});
  EXPECT_EQ(finished.exit_status, 2);
  EXPECT_TRUE(contains(finished.err, "finished archive")) << finished.err;
  fs::create_directories(folder / "mine");
  put(folder / "mine" / "notes.txt", "x");
  const CommandResult foreign = sluice({"export", other, folder / "mine"});
  EXPECT_EQ(foreign.exit_status, 2);
  EXPECT_TRUE(contains(foreign.err, "notes.txt")) << foreign.err;
  EXPECT_EQ(sluice({"export", other, other}).exit_status, 2);
}

TEST(ExportInterrupted, ByAFullDiskSaysSoAndGoesOnWhenThereIsRoom) {
  if (!testing::SmallDisk::available()) GTEST_SKIP() << "a tmpfs cannot be mounted here: that takes root";
  const Everything& it = everything();
  testing::SmallDisk disk(std::uint64_t{1} << 20);
  const fs::path archive = disk.path() / "archive";
  const CommandResult full = run_command(export_words(it, archive));
  EXPECT_EQ(full.exit_status, 2) << full.err;
  EXPECT_TRUE(contains(full.err, "No space left on device")) << full.err;
  EXPECT_TRUE(contains(full.err, "run the same command again")) << full.err;
  EXPECT_FALSE(fs::exists(archive / "manifest.json"));
  for (const auto& entry : fs::recursive_directory_iterator(archive)) {
    EXPECT_FALSE(entry.path().string().ends_with(".part")) << entry.path() << ": takes room that nobody uses";
  }
  disk.resize(std::uint64_t{64} << 20);
  const CommandResult second = run_command(export_words(it, archive));
  EXPECT_EQ(second.exit_status, 3) << second.err;
  EXPECT_TRUE(contains(second.err, "going on with an unfinished export")) << second.err;
  EXPECT_EQ(root_in(second), root_in(it.exported));
  EXPECT_EQ(sluice({"verify", archive}).exit_status, 0);
}

TEST(ExportInterrupted, ByASourceThatIsOverwrittenEndsWithStatus11) {
  const Everything& it = everything();
  const TemporaryDirectory folder;
  const fs::path source = folder / "source.sqlite";
  fs::copy_file(it.source, source);
  const fs::path archive = folder / "archive";
  RunningCommand running = begin_until({testing::sluice_program(), "export", source, archive, "--range-size",
                                        "40KB", "--on-misfit", "reject", "--jobs", "1", "--progress", "none"},
                                       kSomeParts);
  std::fstream file(source, std::ios::binary | std::ios::in | std::ios::out | std::ios::ate);
  file << std::string(4096, '\0');
  file.close();
  running.send(SIGCONT);
  const CommandResult& result = running.wait();
  EXPECT_EQ(result.exit_status, 11) << result.err;
  EXPECT_FALSE(fs::exists(archive / "manifest.json"));
}

TEST(ExportFindings, StopItBeforeTheFirstRow) {
  const TemporaryDirectory folder;
  make_source(
      folder / "s.sqlite",
      "CREATE TABLE t (id INTEGER PRIMARY KEY, x TEXT); INSERT INTO t VALUES (1, CAST(x'ff' AS TEXT))");
  const CommandResult result = sluice({"export", folder / "s.sqlite", folder / "archive"});
  EXPECT_EQ(result.exit_status, 2) << result.err;
  EXPECT_TRUE(contains(result.err, "bad-text")) << result.err;
  EXPECT_FALSE(fs::exists(folder / "archive")) << "as if it had not been";
  EXPECT_EQ(sluice({"export", folder / "missing.sqlite", folder / "archive"}).exit_status, 10);
  EXPECT_FALSE(fs::exists(folder / "archive"));
  EXPECT_EQ(sluice({"export", folder / "s.sqlite", folder / "archive", "--bad-text", "replace"}).exit_status,
            0);
}

TEST(RestoreInterrupted, ByKillsLoadsEveryRangeOnceAndEndsWithTheSameRoot) {
  const Everything& it = everything();
  std::mt19937_64 random(testing::test_seed() + 3);
  const std::string target = shared_test_server().create_database("killed");
  const CommandResult whole = restore(it.archive, target);
  ASSERT_EQ(whole.exit_status, 3) << whole.err;
  const std::string picture = picture_of(target);
  testing::Moments moments(whole.seconds);
  int killed = 0;
  for (int shot = 0; shot < 15; ++shot) {
    const std::string again = shared_test_server().create_database("killed");
    CommandOptions options;
    options.signal = SIGKILL;
    options.directory = it.folder.path();
    options.signal_after = moments.next(random);
    const CommandResult first = run_command({testing::sluice_program(), "restore", it.archive, again,
                                             "--jobs", shot % 2 == 0 ? "1" : "4", "--progress", "none"},
                                            options);
    moments.last_came_in_time(first.signal == SIGKILL);
    killed += first.signal == SIGKILL ? 1 : 0;
    const CommandResult second = restore(it.archive, again);
    EXPECT_EQ(second.exit_status, 3) << second.err;
    EXPECT_EQ(root_in(second), root_in(whole));
    EXPECT_EQ(picture_of(again), picture);
  }
  std::printf("%d of 15 kills landed\n", killed);
  EXPECT_GE(killed, 7);
}

TEST(RestoreInterrupted, GoesOnFromACopyOfTheArchiveAndFromNoOther) {
  const Everything& it = everything();
  const TemporaryDirectory folder;
  const std::string target = shared_test_server().create_database("moved");
  {
    RunningCommand running = begin_until(
        {testing::sluice_program(), "restore", it.archive, target, "--jobs", "1", "--progress", "none"},
        "after range:3:stop", {.directory = it.folder.path()});
    running.send(SIGKILL);
    running.wait();
  }
  const fs::path other = folder / "other";
  ASSERT_EQ(it.write(other, {"--level", "3"}).exit_status, 3);
  const CommandResult refused = restore(other, target);
  EXPECT_EQ(refused.exit_status, 20) << refused.err;
  EXPECT_TRUE(contains(refused.err, "unfinished run")) << refused.err;
  EXPECT_EQ(it.migrate(target).exit_status, 20) << "nor is the file that it was made of";
  fs::copy(it.archive, folder / "copy", fs::copy_options::recursive);
  const CommandResult second = restore(folder / "copy", target);
  EXPECT_EQ(second.exit_status, 3) << second.err;
  EXPECT_TRUE(contains(second.err, "going on with an earlier run")) << second.err;
  EXPECT_EQ(root_in(second), root_in(it.exported));
}

TEST(RestoreRefused, NamesNoFlagThatItDoesNotHave) {
  const Everything& it = everything();
  const std::string target = shared_test_server().create_database("occupied");
  testing::execute(target,
                   "CREATE VIEW orders AS SELECT 1 AS id; CREATE TABLE keys (a text, b bigint, v float8); "
                   "INSERT INTO keys VALUES ('k', 1, 2)");
  const CommandResult refused = restore(it.archive, target);
  EXPECT_EQ(refused.exit_status, 20) << refused.err;
  EXPECT_TRUE(contains(refused.err, "orders\" exists and is not a table; remove it, or export the source"))
      << refused.err;
  EXPECT_TRUE(contains(refused.err, "hold rows: \"public\".\"keys\"")) << refused.err;
  EXPECT_FALSE(contains(refused.err, "load into another schema")) << refused.err;
}

// ---- verify ----

TEST(VerifyArchive, NamesTheRowsThatDiffer) {
  const Everything& it = everything();
  const TemporaryDirectory folder;
  const fs::path archive = folder / "archive";
  ASSERT_EQ(sluice({"export", it.source, archive, "--range-size", "300KB"}).exit_status, 0);
  const std::string target = shared_test_server().create_database("changed");
  ASSERT_EQ(restore(archive, target).exit_status, 0);
  const CommandResult equal = sluice({"verify", archive, target});
  EXPECT_EQ(equal.exit_status, 0) << equal.out;
  testing::execute(
      target,
      "ALTER TABLE orders DROP CONSTRAINT IF EXISTS orders_customer_fkey;"
      "UPDATE orders SET note = 'changed' WHERE id = 41; DELETE FROM orders WHERE id = 59999;"
      "INSERT INTO orders VALUES (70000, 3, 'new', NULL);"
      "DELETE FROM keys WHERE a = 'k7' AND b = 107; UPDATE keys SET v = 0 WHERE a = 'k8' AND b = 8;"
      "UPDATE keyless SET y = 'b' WHERE ctid = (SELECT min(ctid) FROM keyless WHERE y = 'a');");
  const CommandResult result = sluice({"verify", archive, target, "--json", "--show-values"});
  EXPECT_EQ(result.exit_status, 4) << result.err;
  const json report = json::parse(result.out);
  EXPECT_EQ(report.at("basis"), "archive");
  EXPECT_EQ(report.at("status"), "different");
  std::vector<std::string> found;
  for (const json& row : report.at("differences")) {
    found.push_back(row.at("table").get<std::string>() + " " + row.at("kind").get<std::string>() + " " +
                    row.at("key").dump() + (row.contains("columns") ? " " + row.at("columns").dump() : ""));
  }
  std::sort(found.begin(), found.end());
  EXPECT_EQ(found, (std::vector<std::string>{
                       "keyless extraneous null", "keyless missing null",
                       "keys mismatch {\"a\":\"k8\",\"b\":8} [\"v\"]",
                       "keys missing {\"a\":\"k7\",\"b\":107}", "orders extraneous {\"id\":70000}",
                       "orders mismatch {\"id\":41} [\"note\"]", "orders missing {\"id\":59999}"}));
  const auto mismatch = std::find_if(
      report.at("differences").begin(), report.at("differences").end(),
      [](const json& row) { return row.at("table") == "orders" && row.at("kind") == "mismatch"; });
  EXPECT_EQ(mismatch->at("values").at(0).at("source"), "note " + std::to_string(41 * 7919 % 100000));
  EXPECT_EQ(mismatch->at("values").at(0).at("target"), "changed");

  const CommandResult text = sluice({"verify", archive, target, "--tables", "orders"});
  EXPECT_EQ(text.exit_status, 4);
  EXPECT_TRUE(contains(text.out, "missing orders {\"id\": 59999}")) << text.out;
  EXPECT_FALSE(contains(text.out, "keys")) << text.out;
  for (const char* mode : {"server", "count"}) {
    EXPECT_EQ(sluice({"verify", archive, target, "--verify", mode}).exit_status, 4) << mode;
  }
  // A restore that is repeated says so, too.
  const CommandResult again = restore(archive, target);
  EXPECT_EQ(again.exit_status, 4) << again.err;
  EXPECT_TRUE(contains(again.out, "missing orders {\"id\": 59999}")) << again.out;
  const CommandResult repair = sluice({"verify", archive, target, "--repair"});
  EXPECT_EQ(repair.exit_status, 2);
  EXPECT_TRUE(contains(repair.err, "the source is an archive")) << repair.err;
}

TEST(VerifyArchive, CountsEveryRowOfTablesThatHaveNothingInCommon) {
  const TemporaryDirectory folder;
  make_source(folder / "s.sqlite",
              "CREATE TABLE t (id INTEGER PRIMARY KEY, x TEXT); CREATE TABLE u (x TEXT, y);"
              "INSERT INTO t WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 150000)"
              " SELECT i, 'a' || i FROM n; INSERT INTO u SELECT x, id FROM t;");
  const fs::path archive = folder / "archive";
  ASSERT_EQ(sluice({"export", folder / "s.sqlite", archive, "--range-size", "200KB"}).exit_status, 0);
  const std::string target = shared_test_server().create_database("nothing_in_common");
  ASSERT_EQ(restore(archive, target).exit_status, 0);
  testing::execute(target, "UPDATE t SET x = x || 'b'; UPDATE u SET x = x || 'b'");
  const CommandResult result = sluice({"verify", archive, target, "--json", "--max-report", "10"});
  EXPECT_EQ(result.exit_status, 4) << result.err;
  const json report = json::parse(result.out);
  EXPECT_EQ(report.at("differences").size(), 10u);
  for (const json& table : report.at("tables")) {
    const bool keyed = table.at("source") == "t";
    EXPECT_EQ(table.at("mismatch"), keyed ? 150000 : 0) << table;
    EXPECT_EQ(table.at("missing"), keyed ? 0 : 150000) << table;
    EXPECT_EQ(table.at("extraneous"), keyed ? 0 : 150000) << table;
  }
}

TEST(VerifyArchive, WithoutATargetIsForArchivesAlone) {
  const Everything& it = everything();
  const CommandResult result = sluice({"verify", it.source});
  EXPECT_EQ(result.exit_status, 2);
  EXPECT_TRUE(contains(result.err, "TARGET is required")) << result.err;
  const CommandResult none = sluice({"verify", it.folder.path()});
  EXPECT_EQ(none.exit_status, 10);
  EXPECT_TRUE(contains(none.err, "is no archive")) << none.err;
}

}  // namespace
}  // namespace sluice
