// Several processes at one job: every range is loaded once, whichever of them dies.

#include "fault/loaders.h"

#include <gtest/gtest.h>

#include <csignal>
#include <string>
#include <vector>

#include "fault/invariants.h"
#include "fault/job.h"
#include "support/conditions.h"
#include "support/query.h"
#include "support/seed.h"
#include "support/temporary_directory.h"
#include "support/test_server.h"
#include "unit/sqlite_fixture.h"

namespace sluice::testing {
namespace {

namespace fs = std::filesystem;

class LoadersTest : public ::testing::Test {
 protected:
  // A million rows in two tables that refer to each other, wide enough that there is something to kill.
  static void SetUpTestSuite() {
    folder_ = new TemporaryDirectory();
    source_ = *folder_ / "million.sqlite";
    Writer(source_).run(
        "CREATE TABLE owner (id INTEGER PRIMARY KEY, name TEXT NOT NULL);"
        "CREATE TABLE item (id INTEGER PRIMARY KEY, owner INTEGER REFERENCES owner, note TEXT);"
        "CREATE INDEX item_owner ON item (owner);"
        "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 400000)"
        "INSERT INTO owner SELECT i, printf('owner %080d', i) FROM n;"
        "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 600000)"
        "INSERT INTO item SELECT i, i % 400000 + 1, printf('note %080d', i) FROM n");
  }
  static void TearDownTestSuite() { delete folder_; }

  static std::vector<std::string> migrate(const fs::path& source, const std::string& target,
                                          const std::vector<std::string>& more = {}) {
    std::vector<std::string> words = {sluice_program(), "migrate", source, target,         "--progress",
                                      "none",           "--jobs",  "1",    "--range-size", "64k"};
    words.insert(words.end(), more.begin(), more.end());
    return words;
  }

  static inline TemporaryDirectory* folder_ = nullptr;
  static inline fs::path source_;
};

TEST_F(LoadersTest, ThreeProcessesOfWhichOneDiesEveryTenthOfASecondLoadAMillionRowsOnce) {
  const std::string undisturbed = shared_test_server().create_database("undisturbed");
  const CommandResult alone = run_command(migrate(source_, undisturbed));
  ASSERT_EQ(alone.exit_status, 0) << alone.err;
  const std::string picture = picture_of(undisturbed);

  const std::string target = shared_test_server().create_database("killed");
  expect_loaded_under_kills(migrate(source_, target), target, root_in(alone), 3);
  EXPECT_EQ(violations(target), std::vector<std::string>());
  EXPECT_EQ(picture_of(target), picture);
}

TEST_F(LoadersTest, AnotherPlanAndAnotherSourceAreRefusedWhileTheyAreAtWork) {
  const std::string target = shared_test_server().create_database("at_work");
  std::vector<RunningCommand> loaders;
  loaders.reserve(3);
  while (loaders.size() < 3) loaders.push_back(begin_until(migrate(source_, target), "after range:3:stop"));

  const CommandResult other_plan = run_command(migrate(source_, target, {"--narrow-ints"}));
  EXPECT_EQ(other_plan.exit_status, 2) << other_plan.err;
  EXPECT_TRUE(
      contains(other_plan.err, "has another plan (other flags or version); repeat its flags to go on"))
      << other_plan.err;
  const fs::path copy = *folder_ / "copy.sqlite";
  fs::copy_file(source_, copy);
  const CommandResult other_source = run_command(migrate(copy, target));
  EXPECT_EQ(other_source.exit_status, 20) << other_source.err;
  EXPECT_TRUE(contains(other_source.err, "an unfinished run from " + source_.string())) << other_source.err;
  EXPECT_TRUE(contains(other_source.err, "finish that run first")) << other_source.err;
  EXPECT_EQ(violations(target), std::vector<std::string>());

  for (RunningCommand& loader : loaders) loader.send(SIGCONT);
  for (RunningCommand& loader : loaders) {
    EXPECT_EQ(loader.wait().exit_status, 0) << loader.wait().err;
  }
  EXPECT_EQ(violations(target), std::vector<std::string>());
  EXPECT_EQ(query_value(target, "SELECT count(*) FROM item"), "600000");
}

}  // namespace
}  // namespace sluice::testing
