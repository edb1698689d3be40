// Values of hundreds of megabytes: one copy of them per lane, and the right bytes at the other end.
// SLUICE_LARGE_TESTS=1 adds a value and a row at SQLite's limit.

#include <gtest/gtest.h>

#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <fstream>
#include <nlohmann/json.hpp>
#include <string>

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

// The widest row that SQLite stores, its limit being that of a value. It is read back in one piece.
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
