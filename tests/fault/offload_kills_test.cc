// Files that leave a table in place while the process is killed again and again, and while somebody reads:
// every row can be read by its content or by its path at any time, and in the end every file is there, once,
// as it was.

#include <gtest/gtest.h>

#include <atomic>
#include <cstdio>
#include <filesystem>
#include <fstream>
#include <random>
#include <set>
#include <string>
#include <thread>
#include <vector>

#include "fault/job.h"
#include "support/command.h"
#include "support/conditions.h"
#include "support/query.h"
#include "support/temporary_directory.h"
#include "support/test_server.h"

namespace sluice::testing {
namespace {

namespace fs = std::filesystem;

constexpr int kFiles = 20'000;

class OffloadKills : public ::testing::Test {
 protected:
  void SetUp() override {
    target_ = shared_test_server().create_database("offload_kills");
    fs::create_directory(store());
    // Of 12 to 3,000 bytes; every tenth is another one's twin.
    execute(
        target_,
        "CREATE TABLE file (id bigint PRIMARY KEY, data text NOT NULL); INSERT INTO file SELECT i, "
        "translate(encode(convert_to(repeat(md5((i - CASE WHEN i % 10 = 0 THEN 1 ELSE 0 END)::text), 1 + (i "
        "- CASE "
        "WHEN i % 10 = 0 THEN 1 ELSE 0 END) % 90), 'UTF8'), 'base64'), E'\\n', '') FROM generate_series(1, " +
            std::to_string(kFiles) +
            ") i; CREATE TABLE before AS SELECT id, encode(sha256(decode(data, 'base64')), 'hex') AS sha "
            "FROM file");
  }

  [[nodiscard]] fs::path store() const { return folder_ / "store"; }

  [[nodiscard]] std::vector<std::string> command() const {
    return {sluice_program(), "offload", target_,
            "--table",        "file",    "--column",
            "data",           "--store", "file://" + store().string(),
            "--jobs",         "3",       "--progress",
            "none",           "--size",  "bytes"};
  }

  // A page of rows as they are now: those with neither, or whose path has no file of its size.
  std::vector<std::string> unreadable(int first, int count) const {
    std::vector<std::string> wrong;
    const std::vector<QueryRow> rows =
        query(target_,
              "SELECT f.id, f.data IS NOT NULL, to_jsonb(f)->>'filePath', to_jsonb(f)->>'bytes' FROM file f "
              "WHERE f.id >= " +
                  std::to_string(first) + " AND f.id < " + std::to_string(first + count));
    for (const QueryRow& row : rows) {
      const bool has_data = *row[1] == "t";
      if (!row[2]) {
        if (!has_data) wrong.push_back("row " + *row[0] + " has neither content nor path");
        continue;
      }
      std::error_code error;
      const std::uintmax_t size = fs::file_size(store() / *row[2], error);
      if (error || std::to_string(size) != *row[3])
        wrong.push_back("row " + *row[0] + " refers to no whole file");
    }
    if (rows.size() != static_cast<std::size_t>(std::min(count, kFiles + 1 - first)))
      wrong.emplace_back("rows are missing");
    return wrong;
  }

  TemporaryDirectory folder_;
  std::string target_;
};

TEST_F(OffloadKills, AKillAtEachStepLosesNothing) {
  execute(target_, "DELETE FROM file WHERE id > 3000");
  const auto expect_readable = [&] {
    EXPECT_EQ(
        query_value(target_,
                    "SELECT count(*) FROM file WHERE data IS NULL AND to_jsonb(file)->>'filePath' IS NULL"),
        "0");
    for (const QueryRow& row :
         query(target_, "SELECT to_jsonb(f)->>'filePath' FROM file f WHERE data IS NULL")) {
      EXPECT_TRUE(fs::exists(store() / *row[0])) << *row[0];
    }
  };
  for (const std::string& step : kOffloadSteps) {
    SCOPED_TRACE(step);
    std::vector<std::string> words = command();
    words.front() = sluice_faults_program();
    CommandOptions options;
    options.environment.emplace_back("SLUICE_FAILPOINT", step + ":1");
    const std::string before = query_value(target_, "SELECT count(data) FROM file");
    EXPECT_EQ(run_command(words, options).signal, SIGKILL);
    expect_readable();
    // Only what was committed has moved.
    const std::string after = query_value(target_, "SELECT count(data) FROM file");
    if (step != "after files committed") {
      EXPECT_EQ(after, before);
    }
  }
  const CommandResult end = run_command(command());
  EXPECT_EQ(end.exit_status, 0) << end.err;
  expect_readable();
  EXPECT_EQ(query_value(target_, "SELECT count(data) FROM file"), "0");
}

TEST_F(OffloadKills, EveryRowIsReadableAtAnyTimeAndEveryFileArrives) {
  std::atomic<bool> done{false};
  std::atomic<int> pages{0};
  std::vector<std::string> wrong;
  std::thread reader([&] {
    constexpr int kPage = 500;
    int first = 1;
    while (!done && wrong.empty()) {
      wrong = unreadable(first, kPage);
      first = first + kPage > kFiles ? 1 : first + kPage;
      ++pages;
    }
  });
  const std::size_t kills = shots(50);
  std::size_t landed = 0;
  std::size_t runs = 0;
  bool finished = false;
  std::string left_after_kills;
  int longest_ms = 400;
  while (!finished && runs < kills * 4) {
    std::mt19937_64 random = random_of_shot("offload kill", runs);
    ++runs;
    CommandOptions options;
    options.timeout = std::chrono::minutes(5);
    // So that most of the work is left for the kills: each run gets further, whatever the machine does.
    if (landed < kills) {
      options.signal = SIGKILL;
      options.signal_after =
          std::chrono::milliseconds(std::uniform_int_distribution<int>(30, longest_ms)(random));
    }
    const CommandResult end = run_command(command(), options);
    EXPECT_FALSE(end.timed_out);
    if (end.signal == SIGKILL) {
      if (++landed % 10 == 0 || landed == kills) {
        left_after_kills = query_value(target_, "SELECT count(data) FROM file");
        // On a machine that has other things to do a run may need longer than that to get anywhere.
        if (left_after_kills == std::to_string(kFiles)) longest_ms *= 2;
      }
      continue;
    }
    ASSERT_EQ(end.exit_status, 0) << end.err << end.out;
    finished = landed >= kills;
    if (landed < kills) {
      // All of it moved before the kills were over: put some back and go on.
      execute(
          target_,
          "UPDATE file SET data = translate(encode(convert_to(repeat(md5((id - CASE WHEN id % 10 = 0 THEN 1 "
          "ELSE 0 "
          "END)::text), (1 + (id - CASE WHEN id % 10 = 0 THEN 1 ELSE 0 END) % 90)::int), 'UTF8'), 'base64'), "
          "E'\\n', ''), \"filePath\" = NULL, \"storageType\" = NULL, bytes = NULL WHERE id % 3 = 0");
      finished = false;
    }
  }
  done = true;
  reader.join();
  std::printf(
      "%zu kills landed in %zu runs, and left %s of %d files to the last; %d pages were read meanwhile\n",
      landed, runs, left_after_kills.c_str(), kFiles, pages.load());
  EXPECT_TRUE(finished);
  EXPECT_EQ(landed, kills);
  EXPECT_GT(pages.load(), 10);
  EXPECT_NE(left_after_kills, std::to_string(kFiles)) << "no kill came after a file had moved";
  EXPECT_EQ(wrong, std::vector<std::string>());

  EXPECT_EQ(query_value(target_,
                        "SELECT count(*) FROM file f JOIN before b USING (id) WHERE f.data IS NULL AND "
                        "f.\"filePath\" = left(b.sha, 2) || '/' || b.sha"),
            std::to_string(kFiles));
  // Verified by sluice itself, and counted by hand: nothing is there under a name of a file that is none.
  std::vector<std::string> verify = command();
  verify.emplace_back("--verify");
  const CommandResult verified = run_command(verify);
  EXPECT_EQ(verified.exit_status, 0) << verified.err << verified.out;
  std::set<std::string> names;
  for (const fs::directory_entry& entry : fs::recursive_directory_iterator(store())) {
    const std::string name = entry.path().filename().string();
    if (entry.is_regular_file() && !name.starts_with('.')) names.insert(name);
  }
  EXPECT_EQ(std::to_string(names.size()), query_value(target_, "SELECT count(DISTINCT sha) FROM before"));
}

}  // namespace
}  // namespace sluice::testing
