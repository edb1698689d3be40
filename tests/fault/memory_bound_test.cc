// Memory that is not there: within --memory-limit a process lives in a cgroup that would kill it for more,
// and where the address space ends it says so in one line.

#include <gtest/gtest.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>
#include <optional>
#include <string>
#include <vector>

#include "fault/invariants.h"
#include "support/command.h"
#include "support/conditions.h"
#include "support/query.h"
#include "support/temporary_directory.h"
#include "support/test_server.h"

namespace sluice::testing {
namespace {

namespace fs = std::filesystem;

constexpr std::uint64_t kMega = 1'000'000;

// A control group whose processes may use so much memory, the pages of files that they cannot give back
// included; whoever takes more is killed. Gone with the object.
class MemoryGroup {
 public:
  // Nothing where there is no such group to be had: with the first version of cgroups or the second, it takes
  // root.
  static std::optional<fs::path> root() {
    for (const char* candidate : {"/sys/fs/cgroup/memory", "/sys/fs/cgroup"}) {
      const fs::path folder = candidate;
      if (!fs::exists(folder / "cgroup.procs")) continue;
      const fs::path probe = folder / ("sluice-probe-" + std::to_string(getpid()));
      std::error_code refused;
      if (!fs::create_directory(probe, refused)) continue;
      const bool limits = fs::exists(probe / "memory.limit_in_bytes") || fs::exists(probe / "memory.max");
      fs::remove(probe, refused);
      if (limits) return folder;
    }
    return std::nullopt;
  }

  MemoryGroup(const fs::path& root, std::uint64_t bytes)
      : folder_(root / ("sluice-test-" + std::to_string(getpid()))) {
    fs::create_directory(folder_);
    const bool second = fs::exists(folder_ / "memory.max");
    std::ofstream(folder_ / (second ? "memory.max" : "memory.limit_in_bytes")) << bytes << std::flush;
    // Without this it would be swapped out instead of killed.
    std::ofstream(folder_ / (second ? "memory.swap.max" : "memory.swappiness")) << 0 << std::flush;
  }
  ~MemoryGroup() {
    std::error_code ignored;
    fs::remove(folder_, ignored);
  }
  MemoryGroup(const MemoryGroup&) = delete;
  MemoryGroup& operator=(const MemoryGroup&) = delete;

  // The command, run inside.
  [[nodiscard]] std::vector<std::string> inside(std::vector<std::string> command) const {
    command.insert(command.begin(),
                   {"sh", "-c", "echo $$ > \"$0\" && exec \"$@\"", (folder_ / "cgroup.procs").string()});
    return command;
  }

 private:
  fs::path folder_;
};

class MemoryBound : public ::testing::Test {
 protected:
  void SetUp() override { source_ = (folder_ / "source.sqlite").string(); }

  [[nodiscard]] std::vector<std::string> migrate(const std::string& target,
                                                 const std::vector<std::string>& more) const {
    std::vector<std::string> words = {sluice_program(), "migrate", source_, target, "--progress", "none"};
    words.insert(words.end(), more.begin(), more.end());
    return words;
  }

  TemporaryDirectory folder_;
  std::string source_;
};

TEST_F(MemoryBound, ValuesOfAHundredMegabytesPassAGroupThatHoldsOneOfThem) {
  const std::optional<fs::path> root = MemoryGroup::root();
  if (!root)
    GTEST_SKIP() << "no memory cgroup to be had: that takes root, and a group that may have children";
  CommandOptions sql;
  sql.input =
      "CREATE TABLE b(id INTEGER PRIMARY KEY, v BLOB); CREATE TABLE x(id INTEGER PRIMARY KEY, v TEXT);"
      "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 3) INSERT INTO b SELECT i, "
      "zeroblob(100000000) FROM n; WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < "
      "3) INSERT INTO "
      "x SELECT i, replace(hex(zeroblob(25000000)), '00', 'abcd') FROM n;";
  ASSERT_EQ(run_command({"sqlite3", "-batch", "-bail", source_}, sql).exit_status, 0);
  const std::string target = shared_test_server().create_database("group");
  // The promise: the limit and the largest row. The rest is the kernel's, which counts page tables and socket
  // buffers.
  const MemoryGroup group(*root, (48 + 100 + 12) * kMega);
  const CommandResult within =
      run_command(group.inside(migrate(target, {"--jobs", "4", "--memory-limit", "48MB"})));
  EXPECT_EQ(within.signal, 0) << "killed";
  EXPECT_EQ(within.exit_status, 0) << within.err;
  EXPECT_EQ(violations(target), std::vector<std::string>());
  const CommandResult verified = run_command(group.inside(
      {sluice_program(), "verify", source_, target, "--jobs", "4", "--memory-limit", "48MB", "--scan"}));
  EXPECT_EQ(verified.exit_status, 0) << verified.err;

  // And the group does bite: four lanes with a row each are more than it holds.
  const std::string other = shared_test_server().create_database("without");
  const CommandResult without =
      run_command(group.inside(migrate(other, {"--jobs", "4", "--range-size", "50MB"})));
  EXPECT_EQ(without.signal, 9) << without.exit_status << without.err;
  EXPECT_EQ(violations(other), std::vector<std::string>());
}

TEST_F(MemoryBound, AnAddressSpaceThatEndsIsSaidInOneLineWhereverItEnds) {
  const CommandResult made =
      run_command({generate_dataset_program(), "three_tables", source_, "--rows", "20000", "--seed", "7"});
  ASSERT_EQ(made.exit_status, 0) << made.err;
  int refused = 0;
  int loaded = 0;
  for (int kilobytes = 40'000; kilobytes < 400'000; kilobytes += kilobytes / 10) {
    const std::string target = shared_test_server().create_database("space");
    std::vector<std::string> command = migrate(target, {"--jobs", "4", "--range-size", "256k"});
    command.insert(command.begin(),
                   {"sh", "-c", "ulimit -v \"$0\" && exec \"$@\"", std::to_string(kilobytes)});
    const CommandResult result = run_command(command);
    const std::string what =
        std::to_string(kilobytes) + " kB: status " + std::to_string(result.exit_status) + " " + result.err;
    EXPECT_EQ(result.signal, 0) << what;
    EXPECT_EQ(violations(target), std::vector<std::string>()) << what;
    if (result.exit_status == 0) {
      ++loaded;
      continue;
    }
    ++refused;
    // SQLite has memory of its own to run out of, and says where.
    if (result.exit_status == 10) {
      EXPECT_TRUE(contains(result.err, "out of memory while reading it")) << what;
    } else {
      EXPECT_EQ(result.exit_status, 70) << what;
      EXPECT_TRUE(contains(result.err, "out of memory") || contains(result.err, "no further thread")) << what;
      EXPECT_TRUE(contains(result.err, "run the same command again")) << what;
    }
    const CommandResult again = run_command(migrate(target, {"--jobs", "4", "--range-size", "256k"}));
    EXPECT_EQ(again.exit_status, 0) << what << again.err;
    EXPECT_EQ(violations(target), std::vector<std::string>()) << what;
  }
  std::printf("%d refused, %d loaded\n", refused, loaded);
  EXPECT_GT(refused, 3);
  EXPECT_GT(loaded, 3);
}

}  // namespace
}  // namespace sluice::testing
