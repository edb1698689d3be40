// Several processes on several hosts, each with a copy of the file: here, folders stand for hosts.

#include <gtest/gtest.h>

#include <chrono>
#include <csignal>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <string>
#include <vector>

#include "support/command.h"
#include "support/conditions.h"
#include "support/prometheus_text.h"
#include "support/query.h"
#include "support/temporary_directory.h"
#include "support/test_server.h"
#include "unit/sqlite_fixture.h"

namespace sluice::testing {
namespace {

namespace fs = std::filesystem;
using Words = std::vector<std::string>;

constexpr std::uint64_t kRows = 400'000;

class Hosts : public ::testing::Test {
 protected:
  static void SetUpTestSuite() {
    folder_ = new TemporaryDirectory();
    const CommandResult made = run_command({generate_dataset_program(), "three_tables", file("original"),
                                            "--rows", std::to_string(kRows), "--seed", "7"});
    ASSERT_EQ(made.exit_status, 0) << made.err;
  }
  static void TearDownTestSuite() { delete folder_; }

  Hosts() : target_(shared_test_server().create_database("shared")) {}

  // The file on that host; its folder is made.
  static std::string file(const std::string& host) {
    fs::create_directories(*folder_ / host);
    return (*folder_ / host / "app.sqlite").string();
  }
  static std::string copy(const std::string& host, const Words& how = {"cp", "-p"}) {
    Words words = how;
    words.insert(words.end(), {file("original"), file(host)});
    const CommandResult copied = run_command(words);
    EXPECT_EQ(copied.exit_status, 0) << copied.err;
    return file(host);
  }

  [[nodiscard]] Words migrate(const std::string& source, const Words& more = {}) const {
    Words words = {sluice_program(), "migrate", source, target_, "--progress", "none"};
    words.insert(words.end(), more.begin(), more.end());
    return words;
  }
  [[nodiscard]] CommandResult verify(const std::string& source) const {
    return run_command({sluice_program(), "verify", source, target_, "--progress", "none"});
  }
  [[nodiscard]] std::string value(const std::string& sql) const { return query_value(target_, sql); }

  void expect_complete() const {
    std::uint64_t rows = 0;
    for (const std::string table : {"customers", "orders", "events"}) {
      const std::string count = value("SELECT count(*) FROM " + table);
      EXPECT_EQ(count, value("SELECT count(DISTINCT id) FROM " + table)) << table;
      rows += std::stoull(count);
    }
    EXPECT_EQ(rows, kRows);
    EXPECT_EQ(value("SELECT count(*) FROM sluice.run"), "1");
    EXPECT_EQ(value("SELECT state FROM sluice.run"), "verified");
  }

  static double copied(const std::string& metrics) {
    std::ifstream stream(metrics, std::ios::binary);
    return PrometheusText(std::string(std::istreambuf_iterator<char>(stream), {}))
        .sum("sluice_rows_copied_total");
  }

  static inline TemporaryDirectory* folder_ = nullptr;
  std::string target_;
};

TEST_F(Hosts, TwoOfThemShareTheRangesOfOneRun) {
  const std::string first = (*folder_ / "first.prom").string();
  const std::string second = (*folder_ / "second.prom").string();
  const Words flags = {"--jobs", "1", "--range-size", "1MB", "--metrics-file"};
  const auto with = [&](const std::string& metrics) {
    Words words = flags;
    words.push_back(metrics);
    return words;
  };
  // Each has a range in hand before either goes on.
  RunningCommand one = begin_until(migrate(copy("one"), with(first)), "after claim:1:stop");
  RunningCommand other = begin_until(migrate(copy("two"), with(second)), "after claim:1:stop");
  one.send(SIGCONT);
  other.send(SIGCONT);
  EXPECT_EQ(one.wait().exit_status, 0) << one.wait().err;
  EXPECT_EQ(other.wait().exit_status, 0) << other.wait().err;
  expect_complete();
  EXPECT_GT(copied(first), 0) << "only the other one worked";
  EXPECT_GT(copied(second), 0) << "only the other one worked";
  EXPECT_EQ(copied(first) + copied(second), kRows);
}

TEST_F(Hosts, AnotherOneGoesOnWithWhatAKilledOneHasBegunAndVerifiesItLater) {
  RunningCommand running =
      begin_until(migrate(file("original"), {"--jobs", "1", "--range-size", "1MB"}), "after range:3:stop");
  running.send(SIGKILL);
  ASSERT_EQ(running.wait().signal, SIGKILL) << running.wait().err;
  // As rsync -t of old, or an archive, leaves it.
  const std::string source = copy("three");
  fs::last_write_time(source, std::chrono::floor<std::chrono::seconds>(fs::last_write_time(source)));
  const CommandResult result = run_command(migrate(source));
  ASSERT_EQ(result.exit_status, 0) << result.err;
  EXPECT_TRUE(contains(result.err, "going on with an earlier run")) << result.err;
  expect_complete();
  // From the ledger, by either name, and without a word about reading both sides.
  for (const std::string& name : {source, file("original")}) {
    const CommandResult verified = verify(name);
    EXPECT_EQ(verified.exit_status, 0) << verified.err;
    EXPECT_FALSE(contains(verified.err, "both sides")) << verified.err;
  }
  // The tables of a complete run may be in use: a file of another name does not drop them unasked.
  const std::string before = value("SELECT 'customers'::regclass::oid");
  const CommandResult restarted = run_command(migrate(source, {"--restart"}));
  EXPECT_EQ(restarted.exit_status, 20) << restarted.err;
  EXPECT_EQ(value("SELECT 'customers'::regclass::oid"), before);
}

TEST_F(Hosts, ACopyThatLostItsTimeIsRefusedWithTheWayToMakeOne) {
  ASSERT_EQ(run_command(migrate(file("original"), {"--schema-only"})).exit_status, 0);
  execute(target_, "UPDATE sluice.run SET state = 'loading'");
  const std::string original = file("original");
  const std::string plain = copy("four", {"cp"});
  // By the same name on its host: here, the ledger is told.
  execute(target_, "UPDATE sluice.run SET source = '" + fs::canonical(plain).string() + "'");
  const CommandResult result = run_command(migrate(plain, {"--schema-only"}));
  EXPECT_EQ(result.exit_status, 11) << result.err;
  EXPECT_TRUE(contains(result.err, "make it with cp -p or rsync -t")) << result.err;
  // One with the same time that is another file.
  fs::last_write_time(plain, fs::last_write_time(original));
  EXPECT_EQ(run_command(migrate(plain, {"--schema-only"})).exit_status, 0);
  Writer(plain).run("UPDATE customers SET id = id WHERE id = (SELECT min(id) FROM customers)");
  fs::last_write_time(plain, fs::last_write_time(original));
  execute(target_, "UPDATE sluice.run SET state = 'loading'");
  const CommandResult changed = run_command(migrate(plain, {"--schema-only"}));
  EXPECT_EQ(changed.exit_status, 11) << changed.err;
  EXPECT_TRUE(contains(changed.err, "it differs in change")) << changed.err;
}

TEST_F(Hosts, ALedgerOfAnEarlierSluiceStillKnowsItsFile) {
  const std::string source = copy("five");
  ASSERT_EQ(run_command(migrate(source)).exit_status, 0);
  // dev=... ino=... first, and no content.
  execute(target_,
          "UPDATE sluice.run SET fingerprint = regexp_replace(fingerprint, "
          "'^(.*) content=\\w+ (dev=.*)$', '\\2 \\1')");
  EXPECT_TRUE(value("SELECT fingerprint FROM sluice.run").starts_with("dev="));
  EXPECT_EQ(run_command(migrate(source)).exit_status, 0);
  EXPECT_EQ(verify(source).exit_status, 0);
  EXPECT_EQ(run_command(migrate(copy("six"))).exit_status, 20) << "which file it is, only dev and ino tell";
  EXPECT_EQ(verify(file("six")).exit_status, 11);
}

TEST_F(Hosts, AFileThatIsReplacedWhileItIsReadIsLoadedAsItWasAndTheUserIsTold) {
  const std::string source = copy("seven");
  const std::string next = (*folder_ / "seven" / "next").string();
  fs::copy_file(source, next);
  Writer(next).run("DELETE FROM customers");
  RunningCommand running =
      begin_until(migrate(source, {"--jobs", "1", "--range-size", "1MB"}), "after claim:1:stop");
  fs::rename(next, source);
  running.send(SIGCONT);
  const CommandResult& result = running.wait();
  ASSERT_EQ(result.exit_status, 0) << result.err;
  EXPECT_TRUE(contains(result.err, "the source was replaced or removed while it was read")) << result.err;
  expect_complete();
  EXPECT_EQ(run_command(migrate(source)).exit_status, 20) << "it is another state by now";
}

}  // namespace
}  // namespace sluice::testing
