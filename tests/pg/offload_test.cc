// Files that leave their column: while a database is migrated, and in a database that is in PostgreSQL
// already. Whether they are what the texts said is for Python to judge.

#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>
#include <nlohmann/json.hpp>
#include <regex>
#include <set>
#include <sstream>
#include <string>
#include <vector>

#include "support/command.h"
#include "support/conditions.h"
#include "support/corpus.h"
#include "support/query.h"
#include "support/small_disk.h"
#include "support/temporary_directory.h"
#include "support/test_server.h"

namespace sluice::testing {
namespace {

namespace fs = std::filesystem;
using Json = nlohmann::json;

// Reads the source and the store by itself: every text that Python's own decoder takes must be in the store,
// byte for byte, under the SHA-256 of its content, and the store must hold nothing else. Prints the number of
// texts and of files.
constexpr const char* kJudge = R"py(
import base64, hashlib, os, sqlite3, sys
source, table, column, store = sys.argv[1:5]
texts, names = 0, set()
for (value,) in sqlite3.connect(source).execute(f'SELECT "{column}" FROM "{table}" WHERE "{column}" IS NOT NULL'):
    text = value if isinstance(value, bytes) else value.encode()
    try:
        content = base64.b64decode(text, validate=True)
    except ValueError:
        continue
    if base64.b64encode(content) != text:
        continue
    name = hashlib.sha256(content).hexdigest()
    with open(os.path.join(store, name[:2], name), 'rb') as file:
        if file.read() != content:
            sys.exit(f'{name} differs')
    texts += 1
    names.add(name)
found = {name for _, _, files in os.walk(store) for name in files}
if found != names:
    sys.exit(f'in the store and of no text: {sorted(found - names)[:3]}')
print(texts, len(names))
)py";

class Offload : public ::testing::Test {
 protected:
  void SetUp() override {
    target_ = shared_test_server().create_database("offload_test");
    fs::create_directory(store());
  }

  [[nodiscard]] fs::path store() const { return folder_ / "store"; }
  [[nodiscard]] std::string source() const { return (folder_ / "source.sqlite").string(); }
  [[nodiscard]] std::string uri() const { return "file://" + store().string(); }

  void make_source(const std::string& script) {
    CommandOptions options;
    options.input = script;
    const CommandResult made = run_command({"sqlite3", "-batch", "-bail", source()}, options);
    ASSERT_EQ(made.exit_status, 0) << made.err;
  }

  CommandResult migrate(const std::string& table, const std::string& column, const std::string& settings,
                        std::vector<std::string> flags = {}) {
    const std::string config = (folder_ / "mapping.toml").string();
    std::ofstream(config) << "[tables.\"" << table << "\".offload.\"" << column << "\"]\nstore = \"" << uri()
                          << "\"\n"
                          << settings;
    flags.insert(flags.begin(), {sluice_program(), "migrate", source(), target_, "--config", config,
                                 "--report", (folder_ / "report").string()});
    return run_command(flags);
  }

  CommandResult offload(std::vector<std::string> flags) {
    flags.insert(flags.begin(), {sluice_program(), "offload", target_, "--store", uri()});
    return run_command(flags);
  }
  CommandResult offload_file(std::vector<std::string> flags) {
    flags.insert(flags.begin(), {"--table", "file", "--column", "data"});
    return offload(flags);
  }

  [[nodiscard]] std::string judge(const std::string& table, const std::string& column) const {
    const CommandResult judged =
        run_command({"python3", "-c", kJudge, source(), table, column, store().string()});
    return judged.exit_status == 0 ? judged.out : judged.err;
  }

  [[nodiscard]] std::set<std::string> files() const {
    std::set<std::string> found;
    for (const fs::directory_entry& entry : fs::recursive_directory_iterator(store())) {
      if (entry.is_regular_file()) found.insert(entry.path().lexically_relative(store()).string());
    }
    return found;
  }

  std::string value(const std::string& sql) { return query_value(target_, sql); }

  // Paths of the table without their file.
  std::vector<std::string> dangling(const std::string& table) {
    const std::set<std::string> there = files();
    std::vector<std::string> missing;
    for (const QueryRow& row :
         query(target_, "SELECT DISTINCT \"filePath\" FROM " + table + " WHERE \"storageType\" = 'file'")) {
      if (!there.contains(*row[0])) missing.push_back(*row[0]);
    }
    return missing;
  }

  [[nodiscard]] Json report() const {
    std::ifstream file(folder_ / "report" / "report.json");
    return Json::parse(file, nullptr, false);
  }

  // A table of the target with files of some sizes, every third of them twice.
  void make_table(int rows, const std::string& columns = "") {
    execute(target_,
            "CREATE TABLE file (id bigint PRIMARY KEY, name text, data text NOT NULL" + columns +
                "); INSERT INTO file SELECT i, 'file ' || i, translate(encode(convert_to(repeat(md5((i - "
                "CASE WHEN i % 3 = 0 THEN 1 ELSE 0 END)::text), 1 + i % 40), 'UTF8'), 'base64'), E'\\n', '') "
                "FROM generate_series(1, " +
                std::to_string(rows) + ") i");
  }

  TemporaryDirectory folder_;
  std::string target_;
};

TEST_F(Offload, OfTheWorkspaceCorpusIsWhatPythonDecodes) {
  const CommandResult made =
      run_command({generate_dataset_program(), "workspace", source(), "--rows", "10000", "--seed", "11"});
  ASSERT_EQ(made.exit_status, 0) << made.err;
  const CommandResult result = migrate(
      "File", "data", "size = \"size\"\nsha256 = \"sha256\"\nmedia-type = \"mimeType\"\n", {"--jobs", "4"});
  ASSERT_EQ(result.exit_status, 0) << result.err << result.out;
  EXPECT_EQ(judge("File", "data"), "1200 1200\n");
  EXPECT_TRUE(contains(result.out, "files of File.data: 1,200 in " + uri())) << result.out;
  EXPECT_EQ(
      value(
          "SELECT count(*) FROM \"File\" WHERE data IS NULL AND \"storageType\" = 'file' AND \"filePath\" = "
          "left(sha256, 2) || '/' || sha256"),
      "1200");
  EXPECT_EQ(dangling("\"File\""), std::vector<std::string>());
  EXPECT_EQ(report()["status"], "verified");
  EXPECT_EQ(report()["offloads"][0]["files"], 1200);
  EXPECT_EQ(report()["files_written"], 1200);
  // The source says the same, read again with the plan of the ledger; and the files are those of the rows.
  const CommandResult again = run_command({sluice_program(), "verify", source(), target_, "--scan",
                                           "--config", (folder_ / "mapping.toml").string()});
  EXPECT_EQ(again.exit_status, 0) << again.err << again.out;
  const CommandResult ledger = run_command({sluice_program(), "verify", source(), target_});
  EXPECT_EQ(ledger.exit_status, 0) << ledger.err << ledger.out;
  const CommandResult check = offload({"--table", "File", "--column", "data", "--size", "size", "--verify"});
  EXPECT_EQ(check.exit_status, 0) << check.err << check.out;
  EXPECT_TRUE(contains(check.out, "1,200 files read back")) << check.out;
}

TEST_F(Offload, OfTheStorageCorpusIsWhatPythonDecodes) {
  const auto corpus = corpus_file("micro_pgloader_storage");
  if (!corpus) GTEST_SKIP() << "no corpus file micro_pgloader_storage";
  fs::copy_file(*corpus, source());
  const CommandResult result = migrate("files", "file_data", "size = \"bytes\"\n");
  ASSERT_EQ(result.exit_status, 0) << result.err << result.out;
  const std::string judged = judge("files", "file_data");
  std::istringstream words(judged);
  int texts = 0;
  words >> texts;
  EXPECT_GT(texts, 0) << judged;
  EXPECT_EQ(value("SELECT count(*) FROM files WHERE \"filePath\" IS NOT NULL"), std::to_string(texts));
  EXPECT_EQ(dangling("files"), std::vector<std::string>());
}

TEST_F(Offload, LeavesWhatIsNoFileAndListsIt) {
  make_source(
      "CREATE TABLE file (id INTEGER PRIMARY KEY, data TEXT, filePath TEXT, note TEXT);"
      "INSERT INTO file VALUES (1, 'aGVsbG8=', NULL, 'a'), (2, 'aGVsbG8', NULL, 'b'), (3, NULL, NULL, 'c'),"
      "(4, 'aGVsbG8=', 'old/one.png', 'd'), (5, '', NULL, 'e'), (6, 'aGVsbG8=', '', 'f'), (7, 17, NULL, "
      "'g');");
  const CommandResult result = migrate("file", "data", "");
  ASSERT_EQ(result.exit_status, 0) << result.err << result.out;
  EXPECT_EQ(
      value("SELECT string_agg(id || '|' || coalesce(data, '-') || '|' || coalesce(\"filePath\", '-') || '|' "
            "|| "
            "coalesce(\"storageType\", '-'), ' ' ORDER BY id) FROM file"),
      "1|-|2c/2cf24dba5fb0a30e26e83b2ac5b9e29e1b161e5c1fa7425e73043362938b9824|file 2|aGVsbG8|-|- 3|-|-|- "
      "4|aGVsbG8=|old/one.png|- "
      "5|-|e3/e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855|file "
      "6|-|2c/2cf24dba5fb0a30e26e83b2ac5b9e29e1b161e5c1fa7425e73043362938b9824|file 7|17|-|-");
  EXPECT_TRUE(contains(result.out, "left as they are in file.data: 2 values that are no file")) << result.out;
  EXPECT_EQ(report()["offloads"][0]["left_rows"], 2);
  EXPECT_EQ(files().size(), 2U) << "equal content is stored once";
}

TEST_F(Offload, KeepsOrDropsTheColumnWhenAsked) {
  make_source(
      "CREATE TABLE file (id INTEGER PRIMARY KEY, data TEXT NOT NULL, note TEXT, CHECK (length(data) > 0));"
      "CREATE INDEX by_data ON file (data); CREATE VIEW texts AS SELECT id, data FROM file;"
      "INSERT INTO file VALUES (1, 'aGVsbG8=', 'a'), (2, 'd29ybGQ=', 'b');");
  CommandResult result = migrate("file", "data", "source = \"keep\"\n");
  ASSERT_EQ(result.exit_status, 0) << result.err << result.out;
  EXPECT_EQ(value("SELECT count(*) FROM file WHERE data IS NOT NULL AND \"filePath\" IS NOT NULL"), "2");
  target_ = shared_test_server().create_database("offload_test");
  result = migrate("file", "data", "source = \"drop\"\npath = \"Where\"\n");
  ASSERT_EQ(result.exit_status, 0) << result.err << result.out;
  EXPECT_EQ(value("SELECT string_agg(attname, ' ' ORDER BY attnum) FROM pg_attribute WHERE attrelid = "
                  "'file'::regclass AND attnum > 0"),
            "id note Where storageType");
  const Json objects = report()["objects"];
  std::set<std::string> not_created;
  for (const Json& object : objects) {
    if (object["status"] == "not_created") not_created.insert(object["name"].get<std::string>());
  }
  EXPECT_TRUE(not_created.contains("by_data"));
  EXPECT_TRUE(not_created.contains("texts"));
  EXPECT_EQ(run_command({sluice_program(), "verify", source(), target_}).exit_status, 0);
}

TEST_F(Offload, DropsNoColumnThatHoldsMoreThanFiles) {
  make_source(
      "CREATE TABLE file (id INTEGER PRIMARY KEY, data TEXT);"
      "INSERT INTO file VALUES (1, 'aGVsbG8='), (2, 'no file'), (3, 'neither');");
  const CommandResult refused = migrate("file", "data", "source = \"drop\"\n");
  EXPECT_EQ(refused.exit_status, 2) << refused.out;
  EXPECT_TRUE(contains(refused.err, "2 values are no file")) << refused.err;
  EXPECT_TRUE(contains(refused.err, "id = 2")) << refused.err;
  EXPECT_TRUE(files().empty());
}

TEST_F(Offload, DropsAColumnWhoseFilesHaveAnEmptyPath) {
  make_source(
      "CREATE TABLE file (id INTEGER PRIMARY KEY, data TEXT, filePath TEXT);"
      "INSERT INTO file VALUES (1, 'aGVsbG8=', ''), (2, NULL, 'old/one.png'), (3, 'd29ybGQ=', NULL);");
  const CommandResult result = migrate("file", "data", "source = \"drop\"\n");
  ASSERT_EQ(result.exit_status, 0) << result.err;
  EXPECT_EQ(files().size(), 2U);
  EXPECT_EQ(value("SELECT count(*) FROM file WHERE \"storageType\" = 'file'"), "2");
}

TEST_F(Offload, RefusesColumnsThatCannotTakePart) {
  make_source(
      "CREATE TABLE file (id TEXT PRIMARY KEY, data TEXT, size TEXT, half TEXT AS (substr(data, 1, 4)));"
      "INSERT INTO file VALUES ('a', 'aGVsbG8=', 'x');");
  const auto refused = [&](const std::string& column, const std::string& settings) {
    const CommandResult end = migrate("file", column, settings);
    EXPECT_EQ(end.exit_status, 2) << end.out;
    EXPECT_TRUE(files().empty());
    return end.err;
  };
  EXPECT_TRUE(contains(refused("id", ""), "part of the primary key"));
  EXPECT_TRUE(contains(refused("half", ""), "it is generated"));
  EXPECT_TRUE(contains(refused("nothing", ""), "has no column nothing"));
  EXPECT_TRUE(contains(refused("data", "size = \"size\"\n"), "it is text, and not bigint"));
  EXPECT_TRUE(contains(refused("data", "path = \"id\"\n"), "part of the key"));
  EXPECT_TRUE(contains(refused("data", "path = \"x\"\nsha256 = \"x\"\n"), "a part in an offload already"));
  EXPECT_TRUE(contains(refused("data", "sorce = \"drop\"\n"), "source"));
}

TEST_F(Offload, TakesMediaTypesOfDataUrisAndCompressesWhatItHelps) {
  const std::string long_text(20'000, 'a');
  CommandOptions encode;
  encode.input = long_text;
  const std::string base64 = run_command({"base64", "-w0"}, encode).out;
  make_source(
      "CREATE TABLE file (id INTEGER PRIMARY KEY, data TEXT);"
      "INSERT INTO file VALUES (1, 'data:text/plain;charset=utf-8;base64," +
      base64 + "'), (2, 'data:image/png;base64," + base64 + "'), (3, '" + base64 + "');");
  const CommandResult result =
      migrate("file", "data", "data-uri = true\ncompress = true\nmedia-type = \"type\"\nsize = \"bytes\"\n");
  ASSERT_EQ(result.exit_status, 0) << result.err << result.out;
  EXPECT_EQ(
      value(
          "SELECT string_agg(coalesce(type, '-') || (CASE WHEN \"filePath\" LIKE '%.zst' THEN ' zst' ELSE '' "
          "END) || ' ' || bytes, ', ' ORDER BY id) FROM file"),
      "text/plain;charset=utf-8 zst 20000, image/png 20000, - 20000");
  const std::string path = value("SELECT \"filePath\" FROM file WHERE id = 1");
  const CommandResult unpacked = run_command({"zstd", "-dc", (store() / path).string()});
  EXPECT_EQ(unpacked.out, long_text);
  EXPECT_LT(fs::file_size(store() / path), 1000U);
  EXPECT_EQ(files().size(), 2U);
  const CommandResult check = offload_file({"--size", "bytes", "--verify"});
  EXPECT_EQ(check.exit_status, 0) << check.out << check.err;
}

TEST_F(Offload, ThatFailsEndsWith40AndLeavesNothingDangling) {
  ASSERT_EQ(run_command({generate_dataset_program(), "workspace", source(), "--rows", "3000"}).exit_status,
            0);
  fs::remove(store());
  CommandResult result = migrate("File", "data", "");
  EXPECT_EQ(result.exit_status, 40) << result.out;
  EXPECT_TRUE(contains(result.err, "file store:")) << result.err;
  EXPECT_EQ(value("SELECT to_regclass('\"File\"') IS NULL"), "t") << "nothing was made";
  fs::create_directory(store());
  if (!SmallDisk::available()) GTEST_SKIP() << "no small disk can be mounted here";
  SmallDisk disk(std::uint64_t{1} << 20);
  fs::remove(store());
  fs::create_directory_symlink(disk.path(), store());
  result = migrate("File", "data", "", {"--retry-for", "0"});
  EXPECT_EQ(result.exit_status, 40) << result.out;
  EXPECT_TRUE(contains(result.err, "No space left on device")) << result.err;
  EXPECT_EQ(dangling("\"File\""), std::vector<std::string>());
  disk.resize(std::uint64_t{64} << 20);
  result = migrate("File", "data", "");
  EXPECT_EQ(result.exit_status, 0) << result.err;
  EXPECT_EQ(dangling("\"File\""), std::vector<std::string>());
  EXPECT_EQ(value("SELECT count(data) FROM \"File\""), "0");
}

TEST_F(Offload, IsRepairedWithItsFiles) {
  make_source(
      "CREATE TABLE entry (id INTEGER PRIMARY KEY, data TEXT); INSERT INTO entry VALUES (1, 'b25l'), (2, "
      "'dHdv'), (3, "
      "'dGhyZWU='), (4, 'Zm91cg==');");
  ASSERT_EQ(migrate("entry", "data", "").exit_status, 0);
  const std::string gone = value("SELECT \"filePath\" FROM entry WHERE id = 1");
  execute(target_, "DELETE FROM entry WHERE id = 1; UPDATE entry SET \"filePath\" = 'nowhere' WHERE id = 3");
  fs::remove(store() / gone);
  const CommandResult mended = run_command({sluice_program(), "verify", source(), target_, "--repair"});
  EXPECT_EQ(mended.exit_status, 0) << mended.err << mended.out;
  EXPECT_EQ(dangling("entry"), std::vector<std::string>()) << "the row came back, and its file with it";
  EXPECT_EQ(files().size(), 4U);
}

// Names and media types of files that somebody hostile chose: of traversal, control characters, long ones,
// Unicode.
constexpr const char* kHostile = R"py(
import base64, sqlite3, sys
parts = ['../../etc/passwd', '/etc/passwd', '..', '.', '', 'a/../../b', 'con', '-rf', '~root', '$(id)', '`id`', ';id', '|id',
         'a\nb', 'a\rb', 'a\x01b', 'a\x7fb', 'a\tb', ' ', '%2e%2e%2f', '%00', '\u202e', '\u0301' * 50, '\U0001f4a9', '\ufeffx',
         'x' * 255, 'x' * 256, 'x' * 5000, '"', "'", '\\', '\\..\\', '{}', '{"a"}', 'NULL', 'a,b', 'image/png/../../x',
         'image/png\n', 'text/plain; charset=\x0b', '<script>', 'file:///etc', 's3://x', 'a?b#c', 'a:b', 'C:\\x', '//x//y',
         '.put-1', '.tmp', 'ab/cd', '00/' + '0' * 64, 'x.zst', '...', 'a/./b', '*', '[a]', '@', '!x', '&', '=', '++']
assert len(parts) >= 60, len(parts)
c = sqlite3.connect(sys.argv[1])
c.execute('CREATE TABLE file (id INTEGER PRIMARY KEY, name TEXT, data TEXT)')
for i, part in enumerate(parts):
    c.execute('INSERT INTO file VALUES (?, ?, ?)', (i, part, f'data:{part};base64,' + base64.b64encode(b'%d' % i).decode()))
c.commit()
print(len(parts))
)py";

TEST_F(Offload, KeepsHostileNamesAndMediaTypesInsideTheStore) {
  const CommandResult made = run_command({"python3", "-c", kHostile, source()});
  ASSERT_EQ(made.exit_status, 0) << made.err;
  const std::string rows = made.out.substr(0, made.out.size() - 1);
  const auto expect_tame = [&](const char* how) {
    static const std::regex ours("([0-9a-f]{2})/\\1[0-9a-f]{62}(\\.zst)?");
    for (const std::string& name : files()) EXPECT_TRUE(std::regex_match(name, ours)) << how << ": " << name;
    std::set<std::string> beside;
    for (const fs::directory_entry& entry : fs::directory_iterator(folder_.path())) {
      beside.insert(entry.path().filename().string());
    }
    EXPECT_EQ(beside, (std::set<std::string>{"mapping.toml", "report", "source.sqlite", "store"})) << how;
    EXPECT_EQ(dangling("file"), std::vector<std::string>());
    // What is no media type leaves its row as it is; the others are where they were found.
    EXPECT_EQ(value("SELECT count(*) FROM file WHERE (data IS NULL) <> (\"filePath\" IS NOT NULL)"), "0")
        << how;
    EXPECT_EQ(value("SELECT count(*) FROM file WHERE type ~ '[^!-~]' OR length(type) > 255"), "0") << how;
  };
  const CommandResult result =
      migrate("file", "data", "data-uri = true\ncompress = true\nmedia-type = \"type\"\n");
  ASSERT_EQ(result.exit_status, 0) << result.err << result.out;
  expect_tame("migrate");
  const std::string moved = value("SELECT count(\"filePath\") FROM file");
  EXPECT_GT(std::stoi(moved), 30);
  EXPECT_LT(std::stoi(moved), std::stoi(rows));

  target_ = shared_test_server().create_database("offload_test");
  ASSERT_EQ(run_command({sluice_program(), "migrate", source(), target_}).exit_status, 0);
  const CommandResult in_place = offload_file({"--data-uri", "--compress", "--media-type", "type"});
  ASSERT_EQ(in_place.exit_status, 0) << in_place.err << in_place.out;
  expect_tame("offload");
  EXPECT_EQ(value("SELECT count(\"filePath\") FROM file"), moved) << "both judge alike";
}

// ---- in place ----

TEST_F(Offload, InPlaceMovesEveryFileOnce) {
  make_table(2000);
  execute(target_,
          "UPDATE file SET data = 'no file' WHERE id IN (5, 6); INSERT INTO file SELECT 5000, 'large', "
          "translate(encode(convert_to(repeat(md5('x'), 150000), 'UTF8'), 'base64'), E'\\n', '')");
  execute(target_,
          "CREATE TABLE before AS SELECT id, decode(data, 'base64') AS content FROM file WHERE data <> 'no "
          "file'");
  const std::string before = value("SELECT sum(hashtext(f::text)) FROM file f");
  const CommandResult tried = offload_file({"--dry-run", "--size", "bytes", "--media-type", "media"});
  ASSERT_EQ(tried.exit_status, 0) << tried.err;
  EXPECT_TRUE(contains(tried.out, "1,999 contents of \"public\".\"file\".\"data\" to be offloaded"))
      << tried.out;
  EXPECT_TRUE(contains(tried.out, "left as they are: 2 rows")) << tried.out;
  EXPECT_TRUE(contains(tried.out, "column to be added: \"filePath\"")) << tried.out;
  EXPECT_TRUE(contains(tried.out, "column to be added: \"media\"")) << tried.out;
  EXPECT_EQ(value("SELECT sum(hashtext(f::text)) FROM file f"), before) << "nothing was touched";
  EXPECT_TRUE(files().empty());
  const CommandResult result = offload_file({"--size", "bytes", "--sha256", "sha"});
  ASSERT_EQ(result.exit_status, 0) << result.err << result.out;
  const CommandResult nothing = offload_file({"--dry-run", "--size", "bytes"});
  EXPECT_TRUE(contains(nothing.out, "0 contents of ")) << nothing.out;
  EXPECT_TRUE(contains(nothing.out, "left as they are: 2 rows")) << nothing.out;
  EXPECT_TRUE(contains(nothing.out, "finds them")) << nothing.out;
  EXPECT_TRUE(contains(result.out, "1,999 rows offloaded")) << result.out;
  EXPECT_TRUE(contains(result.out, "left as they are: 2 rows")) << result.out;
  EXPECT_EQ(value("SELECT count(*) FROM file f JOIN before b USING (id) WHERE f.data IS NULL AND f.sha = "
                  "encode(sha256(b.content), 'hex') AND f.bytes = length(b.content) AND \"filePath\" = "
                  "left(sha, 2) || "
                  "'/' || sha"),
            "1999");
  EXPECT_EQ(std::to_string(files().size()), value("SELECT count(DISTINCT content) FROM before"));
  EXPECT_EQ(dangling("file"), std::vector<std::string>());
  EXPECT_EQ(offload_file({"--size", "bytes", "--verify"}).exit_status, 0);
  const CommandResult again = offload_file({});
  EXPECT_EQ(again.exit_status, 0) << again.err;
  EXPECT_TRUE(contains(again.out, "0 rows offloaded")) << again.out;

  // The column goes only when nothing is left in it and every file is there.
  CommandResult drop = offload_file({"--drop-column"});
  EXPECT_EQ(drop.exit_status, 20) << drop.out;
  EXPECT_TRUE(contains(drop.err, "2 contents are left in it")) << drop.err;
  execute(target_, "DELETE FROM file WHERE data IS NOT NULL");
  const fs::path some = store() / value("SELECT \"filePath\" FROM file WHERE id = 9");
  fs::rename(some, folder_ / "aside");
  drop = offload_file({"--drop-column"});
  EXPECT_EQ(drop.exit_status, 4) << drop.out;
  EXPECT_TRUE(contains(drop.out, "it is missing")) << drop.out;
  fs::rename(folder_ / "aside", some);
  drop = offload_file({"--drop-column"});
  EXPECT_EQ(drop.exit_status, 0) << drop.err << drop.out;
  EXPECT_EQ(
      value(
          "SELECT count(*) FROM pg_attribute WHERE attrelid = 'file'::regclass AND attname = 'data' AND NOT "
          "attisdropped"),
      "0");
  drop = offload_file({"--drop-column"});
  EXPECT_EQ(drop.exit_status, 0) << drop.err;
}

TEST_F(Offload, InPlaceKeepsTheTextWhenAskedAndTakesItAwayLater) {
  make_table(300);
  ASSERT_EQ(offload_file({"--after", "keep"}).exit_status, 0);
  EXPECT_EQ(value("SELECT count(*) FROM file WHERE data IS NOT NULL AND \"filePath\" IS NOT NULL"), "300");
  execute(target_, "UPDATE file SET data = translate(encode('another', 'base64'), E'\\n', '') WHERE id = 7");
  const CommandResult result = offload_file({});
  ASSERT_EQ(result.exit_status, 0) << result.err;
  EXPECT_EQ(value("SELECT count(*) FROM file WHERE data IS NOT NULL"), "1");
  EXPECT_TRUE(contains(result.out, "1 row whose path is that of another file")) << result.out;
}

TEST_F(Offload, InPlaceGoesThroughPartitionsAndBytea) {
  execute(target_,
          "CREATE TABLE file (id bigint, data bytea) PARTITION BY RANGE (id); CREATE TABLE low PARTITION OF "
          "file FOR "
          "VALUES FROM (0) TO (50); CREATE TABLE high PARTITION OF file FOR VALUES FROM (50) TO (1000); "
          "INSERT INTO "
          "file SELECT i, convert_to(translate(encode(convert_to(i::text, 'UTF8'), 'base64'), E'\\n', ''), "
          "'UTF8') FROM "
          "generate_series(1, 99) i; INSERT INTO file VALUES (100, "
          "convert_to(translate(encode(convert_to(repeat('ab', "
          "2000000), 'UTF8'), 'base64'), E'\\n', ''), 'UTF8')), (101, '\\xff00')");
  const CommandResult result = offload_file({"--size", "bytes"});
  ASSERT_EQ(result.exit_status, 0) << result.err << result.out;
  EXPECT_EQ(value("SELECT count(*) FROM file WHERE data IS NULL AND \"filePath\" IS NOT NULL"), "100");
  EXPECT_EQ(value("SELECT bytes FROM file WHERE id = 100"), "4000000");
  EXPECT_EQ(dangling("file"), std::vector<std::string>());
}

TEST_F(Offload, InPlaceSaysEverythingThatIsInTheWayAtOnce) {
  make_table(10, ", \"filePath\" varchar(10), \"storageType\" integer");
  CommandResult result = offload_file({});
  EXPECT_EQ(result.exit_status, 20) << result.out;
  EXPECT_TRUE(contains(result.err, "\"filePath\"")) << result.err;
  EXPECT_TRUE(contains(result.err, "\"storageType\"")) << result.err;
  EXPECT_EQ(offload({"--table", "nothing", "--column", "data"}).exit_status, 20);
  EXPECT_EQ(offload({"--table", "file", "--column", "nothing"}).exit_status, 20);
  EXPECT_EQ(offload({"--table", "file", "--column", "id", "--path", "p", "--storage-type", "s"}).exit_status,
            20);
  EXPECT_TRUE(files().empty());
  execute(target_,
          "DROP TABLE file; DROP ROLE IF EXISTS reader; CREATE ROLE reader LOGIN; GRANT USAGE ON SCHEMA "
          "public TO reader");
  make_table(10);
  execute(target_, "GRANT SELECT ON file TO reader");
  const std::string uri_of_store = uri();
  result = run_command({sluice_program(), "offload", target_ + " user=reader", "--store", uri_of_store,
                        "--table", "file", "--column", "data"});
  EXPECT_EQ(result.exit_status, 20) << result.out;
  EXPECT_TRUE(contains(result.err, "GRANT UPDATE")) << result.err;
  EXPECT_TRUE(contains(result.err, "ADD COLUMN \"filePath\" text")) << result.err;
  execute(target_, "DROP OWNED BY reader; DROP ROLE reader");
}

TEST_F(Offload, FindsFilesThatAreMissingOrDamaged) {
  make_table(200);
  ASSERT_EQ(offload_file({"--size", "bytes"}).exit_status, 0);
  const auto path = [&](int id) {
    return store() / value("SELECT \"filePath\" FROM file WHERE id = " + std::to_string(id));
  };
  fs::remove(path(10));
  {
    std::fstream file(path(20), std::ios::in | std::ios::out | std::ios::binary);
    file.put('X');
  }
  fs::resize_file(path(25), fs::file_size(path(25)) - 1);
  execute(
      target_,
      "UPDATE file SET bytes = bytes + 1 WHERE id = 40; UPDATE file SET \"filePath\" = 'by/hand.png' WHERE "
      "id = 50");
  const CommandResult result = offload_file({"--size", "bytes", "--verify"});
  EXPECT_EQ(result.exit_status, 4) << result.err;
  EXPECT_TRUE(contains(result.out, "4 missing or damaged")) << result.out;
  EXPECT_TRUE(contains(result.out, "it is missing")) << result.out;
  EXPECT_TRUE(contains(result.out, "another than its name says")) << result.out;
  EXPECT_TRUE(contains(result.out, "and its row says")) << result.out;
  EXPECT_TRUE(contains(result.out, "1 path not of sluice's form")) << result.out;
}

TEST_F(Offload, RemovesOnlyWhatNoRowOfAnyTableRefersTo) {
  make_table(100);
  ASSERT_EQ(offload_file({}).exit_status, 0);
  execute(target_, "CREATE TABLE other (id int, data text); INSERT INTO other VALUES (1, 'b3RoZXI=')");
  ASSERT_EQ(offload({"--table", "other", "--column", "data", "--path", "where"}).exit_status, 0);
  std::ofstream(store() / "README") << "not ours";
  const std::set<std::string> all = files();
  const std::string gone = value("SELECT \"filePath\" FROM file WHERE id = 1");
  execute(target_, "DELETE FROM file WHERE id = 1");
  CommandResult result = offload_file({"--gc", "--delete"});
  EXPECT_EQ(result.exit_status, 0) << result.err;
  EXPECT_EQ(files(), all) << "everything is younger than a day";
  result = offload_file({"--gc", "--older-than", "0"});
  EXPECT_EQ(result.exit_status, 0) << result.err;
  EXPECT_TRUE(contains(result.out, gone + "\n")) << result.out;
  EXPECT_EQ(files(), all) << "a list removes nothing";
  result = offload_file({"--gc", "--older-than", "0", "--delete"});
  EXPECT_EQ(result.exit_status, 0) << result.err;
  std::set<std::string> left = all;
  left.erase(gone);
  EXPECT_EQ(files(), left);
  EXPECT_TRUE(contains(result.out, "1 removed")) << result.out;
}

TEST_F(Offload, InPlaceTakesSeveralLargeFilesAtOnce) {
  execute(target_,
          "CREATE TABLE file (id int, data text); INSERT INTO file SELECT i, repeat('aGVs', 500000 + i) FROM "
          "generate_series(1, 3) i; INSERT INTO file VALUES (4, repeat('no! ', 500000))");
  const CommandResult result = offload_file({"--size", "bytes"});
  ASSERT_EQ(result.exit_status, 0) << result.err;
  EXPECT_EQ(value("SELECT string_agg(bytes::text, ' ' ORDER BY id) FROM file WHERE data IS NULL"),
            "1500003 1500006 1500009");
}

TEST_F(Offload, InPlaceStopsWhereATriggerTakesTheReferenceAway) {
  for (const char* what :
       {"new.\"filePath\" := old.\"filePath\"", "new.\"filePath\" := '/files/' || new.\"filePath\"",
        "new.data := old.data", "new.\"storageType\" := 'x'"}) {
    SCOPED_TRACE(what);
    execute(target_, "DROP TABLE IF EXISTS file");
    make_table(3, ", \"filePath\" text, \"storageType\" text");
    execute(
        target_,
        "ALTER TABLE file ALTER data DROP NOT NULL; CREATE OR REPLACE FUNCTION meddle() RETURNS trigger "
        "LANGUAGE "
        "plpgsql AS $$ BEGIN " +
            std::string(what) +
            "; RETURN new; END $$; CREATE TRIGGER meddle BEFORE UPDATE ON file FOR EACH ROW EXECUTE FUNCTION "
            "meddle()");
    const CommandResult result = offload_file({"--drop-column"});
    EXPECT_EQ(result.exit_status, 20) << result.out;
    EXPECT_TRUE(contains(result.err, "a trigger of")) << result.err;
    EXPECT_EQ(value("SELECT count(data) FROM file"), "3") << "nothing moved";
  }
}

TEST_F(Offload, InPlaceRefusesWhatWouldChangeOtherData) {
  execute(
      target_,
      "CREATE TABLE file (id int, data text UNIQUE, half text GENERATED ALWAYS AS (left(data, 2)) STORED); "
      "CREATE TABLE child (d text REFERENCES file (data) ON UPDATE CASCADE); INSERT INTO file (id, data) "
      "VALUES (1, 'aGVsbG8='); INSERT INTO child VALUES ('aGVsbG8=')");
  CommandResult result = offload_file({});
  EXPECT_EQ(result.exit_status, 20) << result.out;
  EXPECT_TRUE(contains(result.err, "foreign key")) << result.err;
  EXPECT_TRUE(contains(result.err, "is generated from")) << result.err;
  EXPECT_EQ(value("SELECT d FROM child"), "aGVsbG8=");
  execute(target_,
          "DROP TABLE file, child; CREATE TABLE file (id int, data text, x int, UNIQUE (data, x), CHECK "
          "(data <> '' "
          "OR x > 0)); CREATE INDEX both_of_them ON file (x, data)");
  result = offload_file({"--drop-column"});
  EXPECT_EQ(result.exit_status, 20) << result.out;
  for (const char* part : {"file_data_x_key", "file_check", "both_of_them"})
    EXPECT_TRUE(contains(result.err, part)) << result.err;
  execute(target_,
          "DROP TABLE file; CREATE TABLE file (id int, data text, other text); INSERT INTO file VALUES (1, "
          "'aGVsbG8=', 'b3RoZXI=')");
  ASSERT_EQ(offload_file({}).exit_status, 0);
  result = offload({"--table", "file", "--column", "other"});
  EXPECT_EQ(result.exit_status, 20) << result.out;
  EXPECT_TRUE(contains(result.err, "has the paths of the files of column \"data\"")) << result.err;
  EXPECT_EQ(offload({"--table", "file", "--column", "other", "--path", "other"}).exit_status, 2);
}

TEST_F(Offload, ReplacesAFileThatIsDamagedBeforeItsTextGoes) {
  const fs::path damaged = store() / "2c/2cf24dba5fb0a30e26e83b2ac5b9e29e1b161e5c1fa7425e73043362938b9824";
  fs::create_directory(store() / "2c");
  std::ofstream(damaged) << "XXXXX";
  execute(target_, "CREATE TABLE file (id int, data text); INSERT INTO file VALUES (1, 'aGVsbG8=')");
  ASSERT_EQ(offload_file({}).exit_status, 0);
  EXPECT_EQ(offload_file({"--verify"}).exit_status, 0);
  std::ifstream file(damaged);
  EXPECT_EQ(std::string(std::istreambuf_iterator<char>(file), {}), "hello");
}

TEST_F(Offload, RemovesNothingThatItCannotBeSureOf) {
  const auto table = [&](const std::string& name, const std::string& text) {
    execute(target_, "CREATE TABLE " + name + " (id int, data text); INSERT INTO " + name + " VALUES (1, '" +
                         text + "')");
  };
  const auto collect = [&] {
    return offload({"--table", "judge", "--column", "data", "--gc", "--older-than", "0", "--delete"});
  };
  table("judge", "anVkZ2U=");
  ASSERT_EQ(offload({"--table", "judge", "--column", "data"}).exit_status, 0);
  // Another spelling of the store, and another storage type.
  table("slash", "c2xhc2g=");
  ASSERT_EQ(run_command({sluice_program(), "offload", target_, "--store", uri() + "/", "--table", "slash",
                         "--column", "data", "--storage-type", "kind"})
                .exit_status,
            0);
  const std::set<std::string> all = files();
  ASSERT_EQ(all.size(), 2U);
  EXPECT_EQ(collect().exit_status, 0);
  EXPECT_EQ(files(), all);
  // A table that has another name now.
  execute(target_, "ALTER TABLE slash RENAME TO renamed");
  CommandResult result = collect();
  EXPECT_EQ(result.exit_status, 20) << result.out;
  EXPECT_TRUE(contains(result.err, "\"slash\"")) << result.err;
  EXPECT_EQ(files(), all);
  execute(target_, "ALTER TABLE renamed RENAME TO slash");
  // Rows that the role does not see.
  execute(
      target_,
      "DROP ROLE IF EXISTS blinkered; CREATE ROLE blinkered LOGIN; GRANT ALL ON ALL TABLES IN SCHEMA public "
      "TO "
      "blinkered; GRANT USAGE ON SCHEMA sluice TO blinkered; GRANT SELECT ON ALL TABLES IN SCHEMA sluice TO "
      "blinkered; ALTER TABLE slash ENABLE ROW LEVEL SECURITY");
  result = run_command({sluice_program(), "offload", target_ + " user=blinkered", "--store", uri(), "--table",
                        "judge", "--column", "data", "--gc", "--older-than", "0", "--delete"});
  EXPECT_EQ(result.exit_status, 20) << result.out;
  EXPECT_EQ(files(), all);
  execute(target_, "DROP OWNED BY blinkered; DROP ROLE blinkered");
}

TEST_F(Offload, OfAnArchiveIsMissedWhenItsFilesAre) {
  make_source(
      "CREATE TABLE file (id INTEGER PRIMARY KEY, data TEXT); INSERT INTO file VALUES (1, 'b25l'), (2, "
      "'dHdv');");
  const std::string config = (folder_ / "mapping.toml").string();
  std::ofstream(config) << "[tables.file.offload.data]\nstore = \"" << uri() << "\"\n";
  const std::string archive = (folder_ / "archive").string();
  const CommandResult exported =
      run_command({sluice_program(), "export", source(), archive, "--config", config});
  ASSERT_EQ(exported.exit_status, 0) << exported.err;
  ASSERT_EQ(files().size(), 2U);
  const std::string some = *files().begin();
  fs::rename(store() / some, folder_ / "aside");
  CommandResult restored = run_command({sluice_program(), "restore", archive, target_});
  EXPECT_EQ(restored.exit_status, 40) << restored.out;
  EXPECT_TRUE(contains(restored.err, some)) << restored.err;
  fs::rename(folder_ / "aside", store() / some);
  restored = run_command({sluice_program(), "restore", archive, target_});
  EXPECT_EQ(restored.exit_status, 0) << restored.err;
  EXPECT_EQ(dangling("file"), std::vector<std::string>());
}

TEST_F(Offload, InPlaceIsNotUndoneByARepair) {
  make_source(
      "CREATE TABLE file (id INTEGER PRIMARY KEY, data TEXT); INSERT INTO file VALUES (1, 'b25l'), (2, "
      "'dHdv');");
  ASSERT_EQ(run_command({sluice_program(), "migrate", source(), target_}).exit_status, 0);
  ASSERT_EQ(offload_file({}).exit_status, 0);
  const CommandResult compared = run_command({sluice_program(), "verify", source(), target_});
  EXPECT_EQ(compared.exit_status, 4) << compared.err;
  EXPECT_TRUE(contains(compared.err, "since it was loaded (sluice offload)")) << compared.err;
  const CommandResult repaired = run_command({sluice_program(), "verify", source(), target_, "--repair"});
  EXPECT_EQ(repaired.exit_status, 2) << repaired.out;
  EXPECT_EQ(value("SELECT count(data) FROM file"), "0");
}

TEST_F(Offload, NamesTheColumnsThatItAddsWhereTheyDiffer) {
  make_source(
      "CREATE TABLE file (id INTEGER PRIMARY KEY, data TEXT); INSERT INTO file VALUES (1, 'b25l'), (2, "
      "'dHdv');");
  ASSERT_EQ(migrate("file", "data", "").exit_status, 0);
  execute(target_, "UPDATE file SET \"filePath\" = 'elsewhere' WHERE id = 2");
  const CommandResult compared = run_command({sluice_program(), "verify", source(), target_});
  EXPECT_EQ(compared.exit_status, 4) << compared.err;
  EXPECT_TRUE(contains(compared.out, "mismatch file {\"id\": 2}, column filePath")) << compared.out;
  target_ = shared_test_server().create_database("offload_test");
  fs::remove_all(store());
  const CommandResult tried = migrate("file", "data", "", {"--dry-run"});
  EXPECT_EQ(tried.exit_status, 40) << tried.out;
}

TEST_F(Offload, OfTwoColumnsNeitherTakesTheOthersPlace) {
  make_source(
      "CREATE TABLE file (id INTEGER PRIMARY KEY, a TEXT, b TEXT); INSERT INTO file VALUES (1, 'b25l', "
      "'dHdv');");
  for (const char* settings :
       {"path = \"b\"\n[tables.file.offload.b]\nstore = \"file:///tmp\"\nsource = \"drop\"\npath = "
        "\"c\"\nstorage-type = \"d\"\n",
        "[tables.file.offload.b]\nstore = \"file:///tmp\"\n"}) {
    const CommandResult result = migrate("file", "a", settings);
    EXPECT_EQ(result.exit_status, 2) << result.out;
    EXPECT_TRUE(contains(result.err, "a part in an offload already")) << result.err;
    EXPECT_TRUE(files().empty());
  }
}

TEST_F(Offload, KeepsToARate) {
  make_table(400);
  const CommandResult result = offload_file({"--max-rate", "100kB"});
  ASSERT_EQ(result.exit_status, 0) << result.err;
  const double bytes = std::stod(value("SELECT sum(32 * (1 + id % 40)) FROM file"));
  EXPECT_GT(result.seconds.count(), bytes / 100'000 * 0.9);
}

TEST_F(Offload, RefusesFlagsThatContradictEachOther) {
  EXPECT_EQ(offload_file({"--delete"}).exit_status, 2);
  EXPECT_EQ(offload_file({"--verify", "--drop-column"}).exit_status, 2);
  EXPECT_EQ(offload_file({"--after", "keep", "--drop-column"}).exit_status, 2);
  EXPECT_EQ(run_command({sluice_program(), "offload", target_, "--store", "ftp://x/y", "--table", "file",
                         "--column", "data"})
                .exit_status,
            20)
      << "there is no table yet";
  make_table(1);
  EXPECT_EQ(run_command({sluice_program(), "offload", target_, "--store", "ftp://x/y", "--table", "file",
                         "--column", "data"})
                .exit_status,
            2);
}

}  // namespace
}  // namespace sluice::testing
