// Values of hundreds of megabytes: one copy of them per lane, none when they are read back, and the right
// bytes at the other end. SLUICE_LARGE_TESTS=1 adds a value and a row at SQLite's limit.

#include <gtest/gtest.h>

#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <fstream>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "support/command.h"
#include "support/query.h"
#include "support/temporary_directory.h"
#include "support/test_server.h"

namespace sluice::testing {
namespace {

using Json = nlohmann::json;

class LargeValues : public ::testing::Test {
 protected:
  void make(const std::string& script) {
    CommandOptions options;
    options.input = script;
    const CommandResult made = run_command({"sqlite3", "-batch", "-bail", file()}, options);
    ASSERT_EQ(made.exit_status, 0) << made.err;
  }

  CommandResult migrate(const std::string& verify) {
    target_ = shared_test_server().create_database("large_values");
    const CommandResult result =
        run_command({sluice_program(), "migrate", file(), target_, "--jobs", "1", "--verify", verify,
                     "--on-misfit", "reject", "--report", (folder_ / "report").string()});
    std::ifstream json((folder_ / "report" / "report.json").string());
    report_ = json ? Json::parse(json) : Json();
    return result;
  }

  [[nodiscard]] std::string file() const { return (folder_ / "source.sqlite").string(); }
  [[nodiscard]] std::uint64_t peak_bytes() const {
    return report_.at("peak_memory_bytes").get<std::uint64_t>();
  }

  TemporaryDirectory folder_;
  std::string target_;
  Json report_;
};

constexpr std::uint64_t kMega = 1'000'000;

// 'abcd' repeated, so that the content is not one byte, without a literal of that size.
std::string text_of(std::uint64_t bytes) {
  return "replace(hex(zeroblob(" + std::to_string(bytes / 4) + ")), '00', 'abcd')";
}

// In tables of their own: while it reads a table, SQLite keeps the largest value of each column.
TEST_F(LargeValues, CostOneCopyEach) {
  make(
      "CREATE TABLE t(id INTEGER PRIMARY KEY, b BLOB, note TEXT);"
      "INSERT INTO t VALUES (1, NULL, 'before');"
      "INSERT INTO t VALUES (2, zeroblob(200000000), 'blob');"
      "INSERT INTO t VALUES (3, x'00ff', 'after');"
      "CREATE TABLE u(id INTEGER PRIMARY KEY, x TEXT, note TEXT);"
      "INSERT INTO u VALUES (1, 'small', 'before');"
      "INSERT INTO u VALUES (2, " +
      text_of(150 * kMega) +
      ", 'text');"
      "INSERT INTO u VALUES (3, NULL, 'after');");
  const CommandResult result = migrate("none");
  ASSERT_EQ(result.exit_status, 0) << result.err;
  std::printf("peak without verification: %llu MB\n", static_cast<unsigned long long>(peak_bytes() / kMega));
  EXPECT_LT(peak_bytes(), 50 * kMega + 200 * kMega * 13 / 10);
  EXPECT_EQ(query_value(target_, "SELECT b = decode(repeat('00', 200000000), 'hex') FROM t WHERE id = 2"),
            "t");
  EXPECT_EQ(query_value(target_, "SELECT x = repeat('abcd', 37500000) FROM u WHERE id = 2"), "t");
  EXPECT_EQ(query_value(target_, "SELECT string_agg(note, ',' ORDER BY id) FROM t"), "before,blob,after");
  EXPECT_EQ(query_value(target_, "SELECT string_agg(note, ',' ORDER BY id) FROM u"), "before,text,after");
}

TEST_F(LargeValues, AreVerifiedLikeOthers) {
  make(
      "CREATE TABLE t(id INTEGER PRIMARY KEY, b BLOB, x TEXT);"
      "INSERT INTO t VALUES (1, randomblob(20000000), " +
      text_of(15 * kMega) + ");");
  ASSERT_EQ(migrate("full").exit_status, 0);
  EXPECT_EQ(report_.at("status"), "verified");
  std::printf("peak with verification: %llu MB\n", static_cast<unsigned long long>(peak_bytes() / kMega));
  EXPECT_LT(peak_bytes(), 20 * kMega + 35 * kMega * 11 / 10);
}

TEST_F(LargeValues, ARejectedRowSendsNothing) {
  make(
      "CREATE TABLE t(id INTEGER PRIMARY KEY, b BLOB, x TEXT);"
      "INSERT INTO t VALUES (1, zeroblob(1000000), CAST(randomblob(1000000) AS TEXT));"
      "INSERT INTO t VALUES (2, zeroblob(1000000), " +
      text_of(kMega) + ");");
  const CommandResult result = migrate("full");
  EXPECT_EQ(result.exit_status, 3) << result.err;
  EXPECT_EQ(query_value(target_, "SELECT string_agg(id::text, ',') FROM t"), "2");
  EXPECT_EQ(report_.at("tables").at(0).at("rows_rejected"), 1);
}

// Sizes around those from which on a row comes back in pieces, and around the ends of pieces; characters that
// pieces cut in two.
std::string rows_around_a_piece(const std::string& table) {
  constexpr int kPiece = 256 * 1024;
  std::string sql = "BEGIN;";
  int id = 0;
  for (const int bytes : {0, 1, kPiece - 1, kPiece, kPiece + 1, 2 * kPiece - 1, 2 * kPiece, 3 * kPiece + 7}) {
    const std::string size = std::to_string(bytes);
    const std::string text = "substr(replace(hex(zeroblob(" + size + ")), '00', 'a€ä'), 1, " + size + " / 2)";
    const std::string json = "'{\"a\": \"' || " + text + " || '\", \"b\": 1}'";
    const std::vector<std::string> rows = {
        "NULL, " + text + ", randomblob(" + size + "), NULL, NULL",
        text + ", NULL, zeroblob(" + size + "), " + json + ", NULL", "NULL, NULL, NULL, NULL, " + json,
        "'', " + text + ", x'', " + json + ", " + json, "'x', 'y', x'00', '{}', '[]'"};
    for (const std::string& values : rows) {
      ++id;
      sql += "INSERT INTO " + table + " VALUES (" + std::to_string(id) + ", " + values + ", 'note" +
             std::to_string(id) + "');";
    }
  }
  return sql + "COMMIT;";
}

TEST_F(LargeValues, OfEverySizeAndTypeAreReadBackInPieces) {
  const std::string columns = "x VARCHAR(9999999), y TEXT, b BLOB, d JSON, e JSON, note TEXT";
  make("CREATE TABLE t(id INTEGER PRIMARY KEY, " + columns + ");" + rows_around_a_piece("t") +
       "CREATE TABLE u(id TEXT, " + columns + ");" + rows_around_a_piece("u") +
       // The same key twice keeps a document json.
       "UPDATE u SET e = replace(e, '\"b\": 1', '\"b\": 1, \"b\": 2');"
       "CREATE TABLE v(id INTEGER PRIMARY KEY, n INT, x TEXT AS (substr('', 1, 0) || n) STORED, y TEXT);"
       "INSERT INTO v(id, n, y) VALUES (1, 7, " +
       text_of(kMega) + ");");
  ASSERT_EQ(migrate("full").exit_status, 0);
  EXPECT_EQ(report_.at("status"), "verified");
  EXPECT_EQ(query_value(
                target_,
                "SELECT string_agg(format_type(atttypid, atttypmod), ' ' ORDER BY attrelid::regclass::text, "
                "attname) FROM pg_attribute WHERE attrelid IN ('t'::regclass, 'u'::regclass) AND attname IN "
                "('d', 'e')"),
            "jsonb jsonb jsonb json");

  const auto verify = [&](const std::vector<std::string>& more) {
    std::vector<std::string> command = {sluice_program(), "verify", file(), target_};
    command.insert(command.end(), more.begin(), more.end());
    return run_command(command);
  };
  EXPECT_EQ(verify({"--scan"}).exit_status, 0);
  EXPECT_EQ(verify({"--sample", "50"}).exit_status, 0);
  // One byte each, at the end or in a document, and what is beside them.
  execute(
      target_,
      "UPDATE t SET b = set_byte(b, 262144, get_byte(b, 262144) # 1) WHERE id = 21;"
      "UPDATE t SET y = left(y, -1) || 'z' WHERE id = 26; UPDATE t SET d = d || '{\"b\": 2}' WHERE id = 37;"
      "UPDATE t SET note = 'other' WHERE id = 39; UPDATE t SET x = x || ' ' WHERE id = 32;"
      "UPDATE u SET e = replace(e::text, '\"b\": 2', '\"b\": 3')::json WHERE id = '39';"
      "UPDATE u SET b = NULL WHERE id = '36'; DELETE FROM u WHERE id = '31'");
  const CommandResult different = verify({});
  EXPECT_EQ(different.exit_status, 4) << different.err;
  for (const char* line :
       {R"(mismatch t {"id": 21}, column b)", R"(mismatch t {"id": 26}, column y)",
        R"(mismatch t {"id": 37}, column d)", R"(mismatch t {"id": 39}, column note)",
        R"(mismatch t {"id": 32}, column x)", "DIFFERENT: 3 rows missing, 5 mismatched, 2 extraneous"}) {
    EXPECT_NE(different.out.find(line), std::string::npos) << line << "\n" << different.out;
  }
  const CommandResult repaired = verify({"--repair", "--repair-without-key"});
  EXPECT_EQ(repaired.exit_status, 0) << repaired.out << repaired.err;
  EXPECT_EQ(verify({"--scan"}).exit_status, 0);
}

bool large_tests() { return std::getenv("SLUICE_LARGE_TESTS") != nullptr; }

TEST_F(LargeValues, AtTheLimitOfSqliteArrive) {
  if (!large_tests()) GTEST_SKIP() << "SLUICE_LARGE_TESTS is not set";
  make(
      "CREATE TABLE t(id INTEGER PRIMARY KEY, b BLOB);"
      "INSERT INTO t VALUES (1, zeroblob(999999000));");
  const CommandResult result = migrate("none");
  ASSERT_EQ(result.exit_status, 0) << result.err;
  std::printf("peak of a value at the limit: %llu MB\n",
              static_cast<unsigned long long>(peak_bytes() / kMega));
  EXPECT_EQ(query_value(target_, "SELECT octet_length(b) FROM t"), "999999000");
}

// The widest row that SQLite stores, its limit being that of a value.
TEST_F(LargeValues, TheWidestRowIsVerified) {
  if (!large_tests()) GTEST_SKIP() << "SLUICE_LARGE_TESTS is not set";
  make(
      "CREATE TABLE t(id INTEGER PRIMARY KEY, b BLOB, c BLOB);"
      "INSERT INTO t VALUES (1, zeroblob(499000000), zeroblob(499000000));");
  const CommandResult result = migrate("full");
  ASSERT_EQ(result.exit_status, 0) << result.err;
  std::printf("peak of the widest row, verified: %llu MB\n",
              static_cast<unsigned long long>(peak_bytes() / kMega));
}

}  // namespace
}  // namespace sluice::testing
