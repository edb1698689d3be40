#include "engine/app/metrics.h"

#include <gtest/gtest.h>
#include <sys/stat.h>

#include <filesystem>
#include <fstream>
#include <iterator>
#include <set>
#include <stdexcept>
#include <string>
#include <thread>
#include <vector>

#include "engine/app/metrics_text.h"
#include "engine/model/error.h"
#include "support/prometheus_text.h"
#include "support/temporary_directory.h"

namespace sluice {
namespace {

using testing::PrometheusText;
using testing::TemporaryDirectory;

MigrationPlan plan_of(const std::vector<std::string>& tables) {
  MigrationPlan plan;
  for (const std::string& name : tables) {
    TablePlan table;
    table.id = static_cast<TableId>(plan.tables.size());
    table.source = name;
    plan.tables.push_back(std::move(table));
  }
  return plan;
}

RangeSeal seal_of(std::size_t table, std::uint64_t rows, double seconds) {
  RangeSeal seal;
  seal.table = static_cast<TableId>(table);
  seal.rows_loaded = rows;
  seal.rows_rejected = 1;
  seal.bytes = rows * 10;
  seal.seconds = seconds;
  return seal;
}

std::string file_text(const std::filesystem::path& path) {
  std::ifstream file(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(file), {}};
}

TEST(MetricsText, WritesTheFormat) {
  MetricsText text;
  text.begin("x_total", MetricType::counter, "Things.");
  text.sample({}, 3);
  text.begin("y_seconds", MetricType::histogram, "Times.");
  text.sample("_bucket", {{"le", "+Inf"}, {"a", "b\\c\"d\ne"}}, 0.5);
  EXPECT_EQ(text.text(),
            "# HELP x_total Things.\n# TYPE x_total counter\nx_total 3\n"
            "# HELP y_seconds Times.\n# TYPE y_seconds histogram\n"
            "y_seconds_bucket{le=\"+Inf\",a=\"b\\\\c\\\"d\\ne\"} 0.5\n");
  EXPECT_EQ(metric_number(1e15), "1000000000000000");
  EXPECT_EQ(metric_number(1709210096.789), "1709210096.789");
  EXPECT_EQ(escaped_label("\xff"), "\\\\xff");
}

// The reader must be worth something: each of these has one thing wrong with it.
TEST(MetricsText, TheReaderOfTheTestsForgivesNothing) {
  const std::string good = "# HELP a_total A.\n# TYPE a_total counter\na_total{t=\"x\"} 1\n";
  EXPECT_EQ(PrometheusText(good).value("a_total", {{"t", "x"}}), 1);
  for (const std::string& bad :
       {good + "a_total{t=\"x\"} 2\n", good + "b 1\n", good + "a_total{t=\"y\"} x\n",
        good + "a_total{t=\"y\"}\n", good + "a_total{t=\"y\" 1\n", good + "a_total{t=\"\\y\"} 1\n",
        good + "a_total{t=\"y} 1\n", good + "a_total{1=\"y\"} 1\n", good + "a_total{t=\"y\"} -1\n",
        good + good, good + "\n", good + "a_total{t=\"\xff\"} 1\n", std::string("a_total 1\n"),
        good.substr(0, 50), std::string("# HELP a A.\n# TYPE a counter\na 1\n"),
        std::string("# HELP h H.\n# TYPE h histogram\nh_bucket{le=\"1\"} 1\nh_sum 1\nh_count 1\n"),
        std::string("# HELP h H.\n# TYPE h histogram\nh_bucket{le=\"+Inf\"} 1\nh_sum 1\nh_count 2\n")}) {
    EXPECT_THROW(static_cast<void>(PrometheusText(bad)), std::runtime_error) << bad;
  }
}

TEST(RunMetrics, CountsWhatRangesBring) {
  RunMetrics metrics;
  metrics.set_run("run", "/nowhere/a.db");
  metrics.set_tables(plan_of({"first", "second"}));
  metrics.set_ranges(5, 1);
  metrics.range_done(seal_of(0, 100, 0.05));
  metrics.range_done(seal_of(1, 7, 1000));
  metrics.range_done(std::nullopt);
  metrics.copy_retried("40001");
  metrics.copy_retried("");
  metrics.set_phase("load");
  RunMetrics::Live live;
  live.rows_sent = 200;
  live.ranges_in_flight = 4;
  {
    const RunMetrics::Watch watch(metrics, [&] { return live; });
    const PrometheusText text(metrics.text());
    EXPECT_EQ(text.value("sluice_rows_copied_total", {{"table", "first"}}), 100);
    EXPECT_EQ(text.value("sluice_rows_copied_total", {{"table", "second"}}), 7);
    EXPECT_EQ(text.sum("sluice_rejected_rows_total"), 2);
    EXPECT_EQ(text.value("sluice_bytes_copied_total"), 1070);
    EXPECT_EQ(text.value("sluice_rows_sent_total"), 200);
    EXPECT_EQ(text.value("sluice_ranges", {{"state", "done"}}), 4);
    EXPECT_EQ(text.value("sluice_ranges", {{"state", "in_flight"}}), 1) << "no more than are left";
    EXPECT_EQ(text.value("sluice_ranges", {{"state", "pending"}}), 0);
    EXPECT_EQ(text.value("sluice_range_duration_seconds_bucket", {{"le", "0.05"}}), 1)
        << "the bound included";
    EXPECT_EQ(text.value("sluice_range_duration_seconds_bucket", {{"le", "300"}}), 1);
    EXPECT_EQ(text.value("sluice_range_duration_seconds_count"), 2);
    EXPECT_EQ(text.value("sluice_range_duration_seconds_sum"), 1000.05);
    EXPECT_EQ(text.value("sluice_copy_retries_total", {{"sqlstate_class", "40"}}), 1);
    EXPECT_EQ(text.value("sluice_copy_retries_total", {{"sqlstate_class", "08"}}), 1);
    EXPECT_EQ(text.value("sluice_phase", {{"phase", "load"}}), 1);
    EXPECT_EQ(text.sum("sluice_phase"), 1);
    EXPECT_EQ(text.value("sluice_source_wal_bytes"), 0);
    EXPECT_EQ(text.value("sluice_run_info", {{"run_id", "run"}, {"source", "/nowhere/a.db"}}), 1);
    EXPECT_FALSE(text.has("sluice_exit_status"));
    EXPECT_FALSE(text.has("sluice_verify_mismatched_ranges"));
  }
  live.rows_sent = 300;  // nobody asks any more
  metrics.set_exit_status(4);
  metrics.set_mismatched_ranges(2);
  const PrometheusText text(metrics.text());
  EXPECT_EQ(text.value("sluice_rows_sent_total"), 200);
  EXPECT_EQ(text.value("sluice_exit_status"), 4);
  EXPECT_EQ(text.value("sluice_verify_mismatched_ranges"), 2);
  EXPECT_EQ(text.sum("sluice_phase"), 0);
}

TEST(RunMetrics, ProgressIsSeenWhenSomethingMoves) {
  RunMetrics metrics;
  RunMetrics::Live live;
  const RunMetrics::Watch watch(metrics, [&] { return live; });
  const auto last = [&] {
    return PrometheusText(metrics.text()).value("sluice_last_progress_timestamp_seconds");
  };
  const double before = last();
  std::this_thread::sleep_for(std::chrono::milliseconds(20));
  EXPECT_EQ(last(), before);
  live.rows_read_back = 1;
  EXPECT_GT(last(), before);
}

TEST(RunMetrics, StaysValidWhateverTablesAreCalled) {
  RunMetrics metrics;
  const std::vector<std::string> names = {"plain", "quote\"", "back\\slash", "two\nlines",
                                          "\xff",  "\\xff",   "\u202e",      "{a=\"b\"} 1",
                                          "",      "\x1b[2J", "\r"};
  metrics.set_run("run", "/a \"b\"\n\xff");
  metrics.set_tables(plan_of(names));
  for (std::size_t i = 0; i < names.size(); ++i) metrics.range_done(seal_of(i, i + 1, 0));
  const PrometheusText text(metrics.text());
  EXPECT_EQ(text.samples("sluice_rows_copied_total").size(), names.size());
  EXPECT_EQ(text.value("sluice_rows_copied_total", {{"table", "two\nlines"}}), 4);
  EXPECT_EQ(text.value("sluice_rows_copied_total", {{"table", "{a=\"b\"} 1"}}), 8);
  // The bytes that are no text, and the text that looks like them.
  EXPECT_EQ(text.value("sluice_rows_copied_total", {{"table", "\\xff"}}), 5);
  EXPECT_EQ(text.value("sluice_rows_copied_total", {{"table", "\\xff_"}}), 6);
}

TEST(RunMetrics, ManyTablesShareASeriesAndTheLargestKeepTheirs) {
  constexpr std::size_t kTables = 1000;
  std::vector<std::string> names;
  for (std::size_t i = 0; i < kTables; ++i) names.push_back("t" + std::to_string(i));
  names[3] = "other";
  RunMetrics metrics;
  metrics.set_tables(plan_of(names));
  for (std::size_t i = 0; i < kTables; ++i) metrics.range_done(seal_of(i, 1, 0));
  const PrometheusText text(metrics.text());
  EXPECT_EQ(text.samples("sluice_rows_copied_total").size(), RunMetrics::kTableSeriesMax);
  EXPECT_EQ(text.value("sluice_rows_copied_total", {{"table", "t0"}}), 1);
  EXPECT_EQ(text.value("sluice_rows_copied_total", {{"table", "other"}}), 1) << "a table of that name";
  EXPECT_EQ(text.value("sluice_rows_copied_total", {{"table", "other_"}}), 801);
  EXPECT_EQ(text.sum("sluice_rows_copied_total"), kTables);

  RunMetrics few;
  names.resize(RunMetrics::kTableSeriesMax);
  few.set_tables(plan_of(names));
  EXPECT_EQ(PrometheusText(few.text()).samples("sluice_rows_copied_total").back().labels[0].second, "t199");
}

TEST(MetricsFile, IsThereFromTheStartAndToTheEnd) {
  const TemporaryDirectory folder;
  RunMetrics metrics;
  Console console(ProgressMode::none);
  {
    MetricsFile file(folder / "a.prom", metrics, console);
    EXPECT_FALSE(PrometheusText(file_text(folder / "a.prom")).has("sluice_exit_status"));
    file.end(5);
  }
  EXPECT_EQ(PrometheusText(file_text(folder / "a.prom")).value("sluice_exit_status"), 5);
  std::set<std::string> names;
  for (const auto& entry : std::filesystem::directory_iterator(folder.path())) {
    names.insert(entry.path().filename());
  }
  EXPECT_EQ(names, std::set<std::string>{"a.prom"});
  struct stat status {};
  ASSERT_EQ(stat((folder / "a.prom").c_str(), &status), 0);
  EXPECT_TRUE(status.st_mode & S_IROTH) << "node_exporter is another user";
}

TEST(MetricsFile, ThatCannotBeWrittenIsAnErrorAtFirstAndARemarkLater) {
  const TemporaryDirectory folder;
  RunMetrics metrics;
  Console console(ProgressMode::none);
  try {
    const MetricsFile file(folder / "missing" / "a.prom", metrics, console);
    FAIL() << "written where there is no folder";
  } catch (const Error& error) {
    EXPECT_EQ(exit_status_of(error.fault()), 2);
    EXPECT_NE(error.describe().find("a.prom"), std::string::npos) << error.describe();
  }
  std::filesystem::create_directory(folder / "going");
  MetricsFile file(folder / "going" / "a.prom", metrics, console);
  std::filesystem::remove_all(folder / "going");
  ::testing::internal::CaptureStderr();
  file.end(0);
  const std::string said = ::testing::internal::GetCapturedStderr();
  EXPECT_NE(said.find("sluice: output: cannot write"), std::string::npos) << said;
}

}  // namespace
}  // namespace sluice
