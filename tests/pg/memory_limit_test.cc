// --memory-limit: what report.json calls the peak stays within it, but for one large value.

#include <gtest/gtest.h>
#include <sqlite3.h>

#include <cstdint>
#include <cstdio>
#include <fstream>
#include <memory>
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

constexpr std::uint64_t kMega = 1'000'000;

struct CloseDatabase {
  void operator()(sqlite3* database) const { sqlite3_close(database); }
};
using Database = std::unique_ptr<sqlite3, CloseDatabase>;

Database open(const std::string& file) {
  sqlite3* raw = nullptr;
  EXPECT_EQ(sqlite3_open(file.c_str(), &raw), SQLITE_OK);
  return Database(raw);
}

void run(const Database& database, const std::string& sql) {
  ASSERT_EQ(sqlite3_exec(database.get(), sql.c_str(), nullptr, nullptr, nullptr), SQLITE_OK)
      << sqlite3_errmsg(database.get());
}

// 'abcd' repeated.
std::string text_of(std::uint64_t bytes) {
  return "replace(hex(zeroblob(" + std::to_string(bytes / 4) + ")), '00', 'abcd')";
}

std::string numbers_to(int last) {
  return "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < " + std::to_string(last) +
         ") ";
}

class MemoryLimit : public ::testing::Test {
 protected:
  [[nodiscard]] std::string file() const { return (folder_ / "source.sqlite").string(); }

  // By a program of its own: the peak of a child that we ask the kernel for begins with what we have
  // ourselves.
  void make(const std::string& sql) {
    CommandOptions options;
    options.input = sql;
    const CommandResult made = run_command({"sqlite3", "-batch", "-bail", file()}, options);
    ASSERT_EQ(made.exit_status, 0) << made.err;
  }

  // Two tables of three rows, each of 100 MB and a little.
  static std::string large_values(const std::string& options) {
    return "CREATE TABLE b(id INTEGER PRIMARY KEY, v BLOB, note TEXT)" + options + ";" +
           "CREATE TABLE x(id INTEGER PRIMARY KEY, v TEXT, note TEXT)" + options + ";" + numbers_to(3) +
           "INSERT INTO b SELECT i, zeroblob(100000000), 'note' FROM n;" + numbers_to(3) +
           "INSERT INTO x SELECT i, " + text_of(100 * kMega) + ", 'note' FROM n;";
  }

  // The peak of a migration with four lanes, 0 when it failed.
  std::uint64_t migrate(const std::string& limit, const std::vector<std::string>& more = {}) {
    target_ = shared_test_server().create_database("memory_limit");
    std::vector<std::string> command = {sluice_program(), "migrate",
                                        file(),           target_,
                                        "--jobs",         "4",
                                        "--memory-limit", limit,
                                        "--report",       (folder_ / "report").string()};
    command.insert(command.end(), more.begin(), more.end());
    const CommandResult result = run_command(command);
    EXPECT_EQ(result.exit_status, 0) << result.err;
    std::ifstream json((folder_ / "report" / "report.json").string());
    const Json report = json ? Json::parse(json) : Json();
    if (result.exit_status != 0) return 0;
    const auto peak = report.at("peak_memory_bytes").get<std::uint64_t>();
    std::printf("limit %s: peak %.1f MB\n", limit.c_str(), static_cast<double>(peak) / 1e6);
    return peak;
  }

  // The peak of a verification.
  std::uint64_t verify(const std::string& limit, int expected_status, const std::vector<std::string>& more) {
    std::vector<std::string> command = {sluice_program(), "verify", file(),           target_,
                                        "--jobs",         "4",      "--memory-limit", limit};
    command.insert(command.end(), more.begin(), more.end());
    const CommandResult result = run_command(command);
    EXPECT_EQ(result.exit_status, expected_status) << result.out << result.err;
    std::printf("verify, limit %s: peak %.1f MB\n", limit.c_str(),
                static_cast<double>(result.peak_memory_bytes) / 1e6);
    return result.peak_memory_bytes;
  }

  TemporaryDirectory folder_;
  std::string target_;
};

TEST_F(MemoryLimit, IsExceededByOneLargeValueAndNoMore) {
  make(large_values(""));
  for (const auto& [limit, bytes] :
       {std::pair("48MB", 48 * kMega), std::pair("64MB", 64 * kMega), std::pair("150MB", 150 * kMega)}) {
    const std::uint64_t peak = migrate(limit);
    EXPECT_GT(peak, 100 * kMega);
    EXPECT_LE(peak, bytes + 100 * kMega);
  }
  EXPECT_EQ(query_value(target_, "SELECT count(*) FROM b WHERE v = decode(repeat('00', 100000000), 'hex')"),
            "3");
  EXPECT_EQ(query_value(target_, "SELECT count(*) FROM x WHERE v = repeat('abcd', 25000000)"), "3");

  // The source read again, rows that differ found and mended.
  EXPECT_LE(verify("48MB", 0, {"--scan"}), 148 * kMega);
  execute(target_,
          "UPDATE b SET v = v || 'x' WHERE id = 2; UPDATE x SET v = v || 'x' WHERE id = 3; DELETE FROM x "
          "WHERE id = 1; UPDATE b SET note = '' WHERE id = 3");
  EXPECT_LE(verify("48MB", 4, {}), 148 * kMega);
  EXPECT_LE(verify("48MB", 0, {"--repair"}), 148 * kMega);
  EXPECT_LE(verify("48MB", 0, {}), 48 * kMega);
}

TEST_F(MemoryLimit, LetsSeveralLargeValuesInWhereThereIsRoom) {
  make(large_values(""));
  const std::uint64_t peak = migrate("500MB");
  EXPECT_GT(peak, 200 * kMega);
  EXPECT_LE(peak, 500 * kMega);
}

// Rows that SQLite must be asked for: in a log, and in a table that is an index.
TEST_F(MemoryLimit, HoldsWhereOnlySqliteCanRead) {
  const Database writer = open(file());
  run(writer, "PRAGMA journal_mode = WAL; PRAGMA wal_autocheckpoint = 0;" + large_values(""));
  EXPECT_LE(migrate("48MB"), 148 * kMega);
  ASSERT_EQ(sqlite3_exec(writer.get(), "DROP TABLE b; DROP TABLE x", nullptr, nullptr, nullptr), SQLITE_OK);
  run(writer,
      "PRAGMA wal_checkpoint(TRUNCATE); PRAGMA journal_mode = DELETE;" + large_values(" WITHOUT ROWID"));
  EXPECT_LE(migrate("48MB"), 148 * kMega);
}

TEST_F(MemoryLimit, HoldsForMillionsOfSmallRows) {
  make(
      "CREATE TABLE t(id INTEGER PRIMARY KEY, a INTEGER, r REAL, name TEXT, code TEXT UNIQUE);" +
      numbers_to(2'200'000) +
      "INSERT INTO t SELECT i, i * 7919 % 1000003, i / 7.0, 'name ' || i, printf('%d-%x', i, i * 31) FROM n");
  EXPECT_LE(migrate("26MB"), 26 * kMega);
  EXPECT_LE(migrate("48MB"), 48 * kMega);
  EXPECT_LE(migrate("150MB"), 150 * kMega);
  // A hundred thousand rows that differ, one in each leaf and more.
  execute(target_, "UPDATE t SET a = a + 1 WHERE id % 22 = 0");
  EXPECT_LE(verify("48MB", 4, {}), 48 * kMega);
  EXPECT_LE(verify("48MB", 0, {"--repair"}), 48 * kMega);
}

// Texts among numbers of a unique key: the digests of all keys are compared.
TEST_F(MemoryLimit, HoldsWhileKeysAreCompared) {
  make("CREATE TABLE t(code ANY PRIMARY KEY, x);" + numbers_to(1'000'000) +
       "INSERT INTO t SELECT CASE WHEN i % 2 THEN i ELSE 'code ' || i END, i FROM n");
  EXPECT_LE(migrate("26MB"), 26 * kMega);
}

// Just below the size from which on rows count as large, and converted: what a lane costs at most.
TEST_F(MemoryLimit, HoldsForDocumentsThatAreNotYetLarge) {
  make(
      "CREATE TABLE t(id INTEGER PRIMARY KEY, doc JSON);" + numbers_to(400) +
      "INSERT INTO t SELECT i, '[' || rtrim(replace(hex(zeroblob(10500)), '00', '{\"b\": ' || i || ', \"a\": "
      "1.50},'), ',') || ']' FROM n");
  EXPECT_LE(migrate("26MB"), 26 * kMega);
  EXPECT_LE(migrate("48MB"), 48 * kMega);
}

TEST_F(MemoryLimit, LeavesOutLanesThatDoNotFitAndSaysSo) {
  make("CREATE TABLE t(id INTEGER PRIMARY KEY, x TEXT);" + numbers_to(1000) +
       "INSERT INTO t SELECT i, 'x' FROM n");
  target_ = shared_test_server().create_database("memory_limit");
  const auto run_with = [&](const std::string& limit) {
    return run_command(
        {sluice_program(), "migrate", file(), target_, "--jobs", "8", "--memory-limit", limit, "--restart"});
  };
  const CommandResult few = run_with("30MiB");
  EXPECT_EQ(few.exit_status, 0) << few.err;
  EXPECT_NE(few.err.find("2 of 8 lanes fit into --memory-limit"), std::string::npos) << few.err;
  const CommandResult all = run_with("100MB");
  EXPECT_EQ(all.exit_status, 0) << all.err;
  EXPECT_EQ(all.err.find("lanes fit"), std::string::npos) << all.err;
  const CommandResult none = run_with("20MB");
  EXPECT_EQ(none.exit_status, 2);
  EXPECT_NE(none.err.find("one lane takes 24MiB"), std::string::npos) << none.err;
}

}  // namespace
}  // namespace sluice::testing
