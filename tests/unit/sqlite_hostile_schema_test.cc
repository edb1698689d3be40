// Files whose schema wants to do more than describe tables. What their author can reach is what SQLite's own
// harmless functions compute, in a bounded time.

#include <atomic>
#include <chrono>
#include <thread>

#include "unit/sqlite_fixture.h"

namespace sluice {
namespace {

using namespace testing;
using std::chrono::steady_clock;

// `column` replaces the type of the column x of a table t that holds one row.
void plant_column(const std::filesystem::path& path, const std::string& column) {
  const Writer writer(path);
  writer.run(
      "CREATE TABLE t(a, x TEXT); INSERT INTO t VALUES (1, 'one');"
      "CREATE TABLE safe(a); INSERT INTO safe VALUES (7); PRAGMA writable_schema=ON");
  writer.run("UPDATE sqlite_schema SET sql = 'CREATE TABLE t(a, " + column + ")' WHERE name = 't'");
}

std::string reading(const std::filesystem::path& path, const std::string& table) {
  try {
    Snapshot snapshot(path, 1);
    const auto rows = rows_of(snapshot, table);
    return rows.empty() ? "no row" : rows.front();
  } catch (const Error& error) {
    return std::string("error: ") + error.what();
  }
}

class HostileSchemaTest : public ::testing::Test {
 protected:
  [[nodiscard]] std::filesystem::path path() const { return folder_ / "a.db"; }
  Folder folder_;
};

TEST_F(HostileSchemaTest, CallsNoFunctionThatReachesOutside) {
  for (const char* call : {"load_extension(\"/tmp/evil.so\")", "fts3_tokenizer(\"simple\")",
                           "rtreecheck(\"t\")", "rtreedepth(x\"00\")", "writefile(\"/tmp/sluice-evil\", a)",
                           "readfile(\"/etc/passwd\")", "edit(a)", "fts5(a)"}) {
    std::filesystem::remove(path());
    std::string quoted = call;
    std::replace(quoted.begin(), quoted.end(), '"', '\'');
    std::string in_schema;
    for (const char c : quoted) in_schema += c == '\'' ? "''" : std::string(1, c);
    plant_column(path(), "x AS (" + in_schema + ")");
    const std::string said = reading(path(), "t");
    // Left out as a column that cannot be computed, or refused: never computed.
    EXPECT_TRUE(said.starts_with("error: ") || said == "i1 i1" || said == "i1") << call << ": " << said;
    // SQLite refuses a schema with a function for statements alone; then there is nothing to read at all.
    const std::string safe = reading(path(), "safe");
    EXPECT_TRUE(safe == "i7 i1" || safe.starts_with("error: ")) << call << ": " << safe;
    EXPECT_FALSE(std::filesystem::exists("/tmp/sluice-evil"));
  }
}

TEST_F(HostileSchemaTest, LeavesOutWhatCallsAFunctionThatIsNotHarmless) {
  plant_column(path(), "x AS (rtreecheck(''t''))");
  Snapshot snapshot(path(), 1);
  const SourceTable& table = table_named(snapshot.catalog(), "t");
  EXPECT_EQ(table.columns.size(), 1U);
  ASSERT_EQ(snapshot.catalog().objects.size(), 1U);
  EXPECT_EQ(snapshot.catalog().objects[0].reason, "it calls rtreecheck(), which sluice lets no schema do");
  EXPECT_EQ(rows_of(snapshot, "t").size(), 1U);
}

TEST_F(HostileSchemaTest, MayUseJson) {
  Writer(path()).run(
      "CREATE TABLE t(a, x AS (json_extract(a, '$.k')), y AS (a->>'$.k')); CREATE INDEX i ON "
      "t(json_extract(a, '$.k'));"
      "INSERT INTO t(a) VALUES ('{\"k\":5}')");
  Snapshot snapshot(path(), 1);
  EXPECT_EQ(table_named(snapshot.catalog(), "t").columns.size(), 3U);
  EXPECT_EQ(reading(path(), "t"), "t{\"k\":5} i5 i5 i1") << "as SQLite's own functions say";
}

// Views and triggers are text to us.
TEST_F(HostileSchemaTest, RunsNeitherViewsNorTriggers) {
  {
    const Writer writer(path());
    writer.run("CREATE TABLE t(a); INSERT INTO t VALUES (1)");
    writer.run(
        "CREATE VIEW endless AS WITH RECURSIVE c(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM c) SELECT "
        "count(*) "
        "FROM c");
    writer.run("CREATE VIEW huge AS SELECT zeroblob(999999999) AS b");
    // As an attacker writes it, where CREATE TRIGGER would refuse it.
    writer.run(
        "PRAGMA writable_schema=ON; INSERT INTO sqlite_schema VALUES ('trigger', 'attach', 't', 0, 'CREATE "
        "TRIGGER "
        "attach AFTER INSERT ON t BEGIN SELECT load_extension(''/tmp/evil.so''); END')");
  }
  const auto began = steady_clock::now();
  Snapshot snapshot(path(), 1);
  EXPECT_EQ(rows_of(snapshot, "t").size(), 1U);
  EXPECT_LT(steady_clock::now() - began, std::chrono::seconds(5));
  const SqliteConnection connection(path(), Access::read);
  EXPECT_THROW(connection.execute("SELECT * FROM endless"), Error);
}

TEST_F(HostileSchemaTest, ReachesNoOtherFile) {
  Writer(path()).run("CREATE TABLE t(a)");
  Writer(folder_ / "other.db").run("CREATE TABLE secret(a)");
  for (const Access access : {Access::read, Access::fence}) {
    const SqliteConnection connection(path(), access);
    EXPECT_THROW(connection.execute("ATTACH '" + (folder_ / "other.db").string() + "' AS other"), Error);
    EXPECT_THROW(connection.execute("VACUUM INTO '" + (folder_ / "new.db").string() + "'"), Error);
    EXPECT_THROW(connection.execute("SELECT load_extension('/tmp/evil.so')"), Error);
  }
  EXPECT_FALSE(std::filesystem::exists(folder_ / "new.db"));
}

TEST_F(HostileSchemaTest, MayNotTakeMoreThanAValueMayHave) {
  plant_column(path(), "x AS (hex(zeroblob(999999999)))");
  const std::string said = reading(path(), "t");
  EXPECT_TRUE(said.starts_with("error: ")) << said.substr(0, 100);
  EXPECT_EQ(reading(path(), "safe"), "i7 i1");
  std::filesystem::remove(path());
  // As a default of a column that rows from before it do not have. SQLite takes no function there.
  plant_column(path(), "x TEXT, y DEFAULT (zeroblob(2147483647))");
  EXPECT_TRUE(reading(path(), "t").starts_with("i1 tone")) << reading(path(), "t");
}

// Pages that are there again and again: to the depth that SQLite follows, more rows than anyone can wait for.
// Byte offsets are those of a page of 512 bytes.
TEST_F(HostileSchemaTest, EndsWherePagesMakeMoreRowsThanTheFileHolds) {
  for (const bool without_rowid : {false, true}) {
    std::filesystem::remove(path());
    {
      const Writer writer(path());
      writer.run(
          std::string(
              "PRAGMA page_size=512; PRAGMA encoding='UTF-16le'; CREATE TABLE t(id INTEGER PRIMARY KEY, x)") +
          (without_rowid ? "WITHOUT ROWID" : ""));
      writer.run(
          "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 20000) INSERT INTO t "
          "SELECT i, i "
          "FROM n");
    }
    std::string bytes = bytes_of(path());
    const auto number_at = [&](std::size_t at, std::size_t size) {
      std::size_t value = 0;
      for (std::size_t i = 0; i < size; ++i) value = value << 8 | static_cast<unsigned char>(bytes[at + i]);
      return value;
    };
    // Every child of an interior page becomes the next interior page: as many rows as the product of all
    // their children. (A page that points to itself is deeper than twenty levels at once, which SQLite sees.)
    const std::size_t root = 2;
    const char kind = without_rowid ? 2 : 5;
    std::vector<std::size_t> interior;
    for (std::size_t page = root; page <= bytes.size() / 512; ++page) {
      if (bytes[(page - 1) * 512] == kind) interior.push_back(page);
    }
    ASSERT_EQ(interior.front(), root);
    ASSERT_GE(interior.size(), 6U);
    for (std::size_t i = 0; i + 1 < 6; ++i) {
      const std::size_t at = (interior[i] - 1) * 512;
      const auto lead = [&](std::size_t child) {
        bytes.replace(child, 4,
                      std::string("\0\0", 2) + static_cast<char>(interior[i + 1] >> 8) +
                          static_cast<char>(interior[i + 1]));
      };
      lead(at + 8);
      for (std::size_t cell = 0; cell < number_at(at + 3, 2); ++cell)
        lead(at + number_at(at + 12 + 2 * cell, 2));
    }
    put_bytes(path(), bytes);
    const auto began = steady_clock::now();
    const std::string said = reading(path(), "t");
    EXPECT_NE(said.find("is corrupt"), std::string::npos) << said;
    EXPECT_LT(steady_clock::now() - began, std::chrono::seconds(20));
  }
}

TEST_F(HostileSchemaTest, EndsALongStatementWhenTheUserWantsToStop) {
  Writer(path()).run("CREATE TABLE t(a)");
  SqliteConnection connection(path(), Access::read);
  std::atomic<bool> stop{false};
  connection.stop_when([&] { return stop.load(); });
  std::thread user([&] {
    std::this_thread::sleep_for(std::chrono::milliseconds(200));
    stop = true;
  });
  const auto began = steady_clock::now();
  try {
    connection.execute(
        "WITH RECURSIVE c(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM c) SELECT count(*) FROM c");
    ADD_FAILURE() << "an endless statement ended";
  } catch (const Error& error) {
    EXPECT_EQ(error.fault(), Fault::interrupted);
  }
  user.join();
  EXPECT_LT(steady_clock::now() - began, std::chrono::seconds(5));
  stop = false;
  connection.execute("SELECT * FROM t");
}

}  // namespace
}  // namespace sluice
