// What a run shows to those who watch it: the log, the metrics, and `sluice status` from another terminal,
// for a real load on a real server.

#include <gtest/gtest.h>

#include <algorithm>
#include <csignal>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <nlohmann/json.hpp>
#include <set>
#include <sstream>
#include <string>
#include <vector>

#include "io/postgres/connection.h"
#include "support/command.h"
#include "support/conditions.h"
#include "support/prometheus_text.h"
#include "support/query.h"
#include "support/temporary_directory.h"
#include "support/test_server.h"
#include "unit/sqlite_fixture.h"

namespace sluice::testing {
namespace {

using nlohmann::json;
using Words = std::vector<std::string>;

constexpr std::uint64_t kRows = 600'000;

class Observability : public ::testing::Test {
 protected:
  static void SetUpTestSuite() {
    folder_ = new TemporaryDirectory();
    source_ = (*folder_ / "large.sqlite").string();
    const CommandResult made = run_command({generate_dataset_program(), "three_tables", source_, "--rows",
                                            std::to_string(kRows), "--seed", "7"});
    ASSERT_EQ(made.exit_status, 0) << made.err;
  }
  static void TearDownTestSuite() { delete folder_; }

  Observability() : target_(shared_test_server().create_database("watched")) {}

  // Some forty ranges, of which each moment finds some done, some under way and some not begun.
  Words migrate(const Words& more = {}) const {
    Words words = {sluice_program(), "migrate", source_, target_, "--jobs", "2", "--range-size", "2MB"};
    words.insert(words.end(), more.begin(), more.end());
    return words;
  }

  static CommandResult status_of(const std::string& conninfo, const Words& more = {}) {
    Words words = {sluice_program(), "status", conninfo};
    words.insert(words.end(), more.begin(), more.end());
    CommandResult result = run_command(words);
    EXPECT_EQ(result.exit_status, 0) << result.err;
    return result;
  }
  // The only run, as `sluice status --json` shows it.
  static json run_of(const std::string& conninfo) {
    const json read = json::parse(status_of(conninfo, {"--json"}).out);
    EXPECT_EQ(read.at("runs").size(), 1U);
    return read.at("runs").at(0);
  }

  [[nodiscard]] std::string value(const std::string& sql) const { return query_value(target_, sql); }

  [[nodiscard]] int ranges_done() const {
    if (value("SELECT to_regclass('sluice.work') IS NULL") == "t") return 0;
    return std::stoi(value("SELECT count(*) FROM sluice.work WHERE done"));
  }

  // A role that may read the ledger and nothing else. Returns its conninfo.
  std::string make_watcher() const {
    execute(target_,
            "CREATE ROLE watcher LOGIN; GRANT USAGE ON SCHEMA sluice TO watcher; "
            "GRANT SELECT ON ALL TABLES IN SCHEMA sluice TO watcher");
    return target_ + " user=watcher";
  }

  // Every line of it must be an object with the keys of all.
  static std::vector<json> log_of(const CommandResult& result) {
    std::vector<json> events;
    std::istringstream lines(result.err);
    for (std::string line; std::getline(lines, line);) {
      events.push_back(json::parse(line, nullptr, false));
      EXPECT_TRUE(events.back().is_object()) << line;
      if (!events.back().is_object()) continue;
      for (const char* key : {"ts", "level", "msg"}) EXPECT_TRUE(events.back().contains(key)) << line;
    }
    return events;
  }

  static std::string file_text(const std::string& path) {
    std::ifstream file(path, std::ios::binary);
    return {std::istreambuf_iterator<char>(file), {}};
  }

  static inline TemporaryDirectory* folder_ = nullptr;
  static inline std::string source_;
  std::string target_;
};

TEST_F(Observability, StatusOfARunUnderWayMovesAndAddsUp) {
  // It stands still three times, so that there is something to see however long a look takes.
  RunningCommand running =
      begin_until(migrate(), "after first row:3:stop,after first row:9:stop,after first row:15:stop");
  std::set<std::uint64_t> rows_seen;
  std::uint64_t done_before = 0;
  bool at_work = false;
  bool copies_shown = false;
  bool estimated = false;
  while (running.running()) {
    const bool stopped = is_stopped(running.pid());
    const json run = run_of(target_);
    if (stopped) running.send(SIGCONT);
    std::uint64_t done = 0;
    std::uint64_t rows = 0;
    std::uint64_t in_flight = 0;
    for (const json& table : run.at("tables")) {
      const auto number = [&](const char* key) { return table.at(key).get<std::uint64_t>(); };
      EXPECT_EQ(number("ranges_done") + number("ranges_in_flight") + number("ranges_left"), number("ranges"));
      done += number("ranges_done");
      in_flight += number("ranges_in_flight");
      rows += number("rows");
      EXPECT_EQ(number("rows_rejected"), 0U);
    }
    EXPECT_GE(done, done_before) << "what is committed stays";
    EXPECT_LE(in_flight, 2U) << "--jobs 2";
    EXPECT_LE(rows, kRows);
    done_before = done;
    rows_seen.insert(rows);
    if (run.at("state") != "loading") break;
    for (const json& session : run.at("sessions")) {
      EXPECT_EQ(session.at("application_name"), "sluice");
      at_work |= session.at("does") == "load" && in_flight > 0;
      copies_shown |= session.at("does") == "load" && session.at("rows").is_number();
    }
    if (!run.at("seconds_to_load").is_null()) {
      estimated = true;
      EXPECT_GE(run.at("seconds_to_load").get<double>(), 0);
      EXPECT_LT(run.at("seconds_to_load").get<double>(), 86'400);
      EXPECT_GT(run.at("rate").at("rows_per_second").get<double>(), 0);
      EXPECT_LE(run.at("rate").at("seconds").get<double>(), 60.5);
    }
  }
  const CommandResult& result = running.wait();
  ASSERT_EQ(result.exit_status, 0) << result.err;
  EXPECT_GT(rows_seen.size(), 2U) << "the numbers did not move";
  EXPECT_TRUE(at_work);
  EXPECT_TRUE(copies_shown);
  EXPECT_TRUE(estimated);
  const json run = run_of(target_);
  EXPECT_EQ(run.at("state"), "verified");
  EXPECT_FALSE(run.contains("sessions"));
  std::uint64_t rows = 0;
  for (const json& table : run.at("tables")) {
    rows += table.at("rows").get<std::uint64_t>();
    EXPECT_EQ(table.at("ranges"), table.at("ranges_done"));
  }
  EXPECT_EQ(rows, kRows);
  EXPECT_EQ(run.at("steps"), run.at("steps_done"));
}

TEST_F(Observability, StatusSaysWhoWaitsForWhomAndThatNobodyIsLeftAfterAKill) {
  // No lane has begun to copy, so none is in the way of the lock that stops them all.
  RunningCommand running = begin_until(migrate(), "after claim:1:stop");
  {
    Connection holder(target_);
    const Transaction lock(holder);
    holder.execute("LOCK TABLE public.events, public.orders, public.customers IN SHARE MODE");
    running.send(SIGCONT);
    const std::string pid = holder.execute("SELECT pg_backend_pid()").text(0, 0);
    const auto held = [&](const json& run) {
      std::size_t sessions = 0;
      for (const json& session : run.at("sessions")) {
        const auto& waits_for = session.at("waits_for");
        if (session.at("does") == "load" && waits_for.size() == 1 && waits_for.at(0).dump() == pid)
          ++sessions;
      }
      return sessions == 2;
    };
    ASSERT_TRUE(wait_until([&] { return held(run_of(target_)); })) << run_of(target_).dump(1);
    // A role that may read the ledger alone sees the same.
    const std::string watcher = make_watcher();
    const json run = run_of(watcher);
    EXPECT_TRUE(held(run)) << run.dump(1);
    std::uint64_t in_flight = 0;
    for (const json& table : run.at("tables")) in_flight += table.at("ranges_in_flight").get<std::uint64_t>();
    EXPECT_EQ(in_flight, 2U);
    const std::string text = status_of(watcher).out;
    EXPECT_TRUE(contains(text, "  under way, 2 sessions at work: ")) << text;
    EXPECT_TRUE(contains(text, "waits for a lock of session " + pid)) << text;
    running.send(SIGKILL);
    running.wait();
    // The server's processes find out when they are let go: until then they are at it, and status says so.
    EXPECT_TRUE(held(run_of(watcher)));
  }
  const std::string watcher = target_ + " user=watcher";
  ASSERT_TRUE(wait_until([&] { return run_of(watcher).at("sessions").empty(); }));
  ASSERT_TRUE(wait_until([&] { return run_of(watcher).at("sessions_elsewhere") == 0; }));
  const json run = run_of(watcher);
  EXPECT_EQ(run.at("state"), "loading");
  EXPECT_TRUE(run.at("seconds_to_load").is_null()) << "nobody loads";
  for (const json& table : run.at("tables")) EXPECT_EQ(table.at("ranges_in_flight"), 0);
  const std::string text = status_of(watcher).out;
  EXPECT_TRUE(contains(text, "no session works on it; the same command goes on with it")) << text;
  const CommandResult last = run_command(migrate());
  EXPECT_EQ(last.exit_status, 0) << last.err;
}

TEST_F(Observability, StatusSeesIndexesAndReadersAtWork) {
  Words one_lane = migrate({"--index-jobs", "1"});
  *(std::find(one_lane.begin(), one_lane.end(), "--jobs") + 1) = "1";
  RunningCommand running = begin_until(one_lane, "after first row:1:stop,before read back:1:stop");
  const auto sees = [&](const std::string& work) {
    const json run = run_of(target_);
    bool seen = false;
    for (const json& session : run.at("sessions")) {
      seen |= session.at("does") == work;
      EXPECT_TRUE(session.at("table").is_string() || session.at("does") == "step") << session;
    }
    return seen;
  };
  EXPECT_TRUE(sees("load"));
  // Somebody who holds the tables makes it wait: first before an index, and then before it reads back.
  for (const auto& [mode, work] : {std::pair("ROW EXCLUSIVE", "index"), {"ACCESS EXCLUSIVE", "read_back"}}) {
    ASSERT_TRUE(wait_until([&] { return is_stopped(running.pid()); })) << running.err_so_far();
    Connection holder(target_);
    const Transaction lock(holder);
    holder.execute(std::string("LOCK TABLE public.events, public.orders, public.customers IN ") + mode +
                   " MODE");
    running.send(SIGCONT);
    EXPECT_TRUE(wait_until([&] { return sees(work); })) << work << run_of(target_).dump(1);
  }
  EXPECT_EQ(running.wait().exit_status, 0) << running.wait().err;
}

TEST_F(Observability, TheMetricsOfARunAreValidAtEveryMomentAndRightAtTheEnd) {
  const std::string path = (*folder_ / "run.prom").string();
  RunningCommand running(migrate({"--metrics-file", path}));
  ASSERT_TRUE(wait_until([&] { return std::filesystem::exists(path) || !running.running(); }));
  std::size_t read = 0;
  while (running.running()) {
    EXPECT_NO_THROW(static_cast<void>(PrometheusText(file_text(path)))) << file_text(path);
    ++read;
  }
  ASSERT_EQ(running.wait().exit_status, 0) << running.wait().err;
  EXPECT_GT(read, 0U);
  const PrometheusText text(file_text(path));
  EXPECT_EQ(text.value("sluice_exit_status"), 0);
  EXPECT_EQ(text.sum("sluice_rows_copied_total"), kRows);
  EXPECT_EQ(text.value("sluice_rows_sent_total"), kRows);
  EXPECT_EQ(text.value("sluice_read_back_rows_total"), kRows);
  EXPECT_EQ(std::to_string(
                static_cast<std::uint64_t>(text.value("sluice_rows_copied_total", {{"table", "customers"}}))),
            value("SELECT count(*) FROM customers"));
  EXPECT_EQ(std::to_string(static_cast<std::uint64_t>(text.value("sluice_bytes_copied_total"))),
            value("SELECT sum(bytes) FROM sluice.work"));
  EXPECT_EQ(text.value("sluice_bytes_sent_total"), text.value("sluice_bytes_copied_total"));
  EXPECT_EQ(text.value("sluice_ranges", {{"state", "done"}}), text.sum("sluice_ranges"));
  EXPECT_EQ(text.value("sluice_range_duration_seconds_count"), text.sum("sluice_ranges"));
  EXPECT_EQ(text.value("sluice_steps", {{"state", "done"}}), text.sum("sluice_steps"));
  EXPECT_EQ(text.value("sluice_verify_mismatched_ranges"), 0);
  EXPECT_EQ(text.value("sluice_run_info", {{"run_id", value("SELECT run_id FROM sluice.run")},
                                           {"source", std::filesystem::canonical(source_).string()}}),
            1);

  // A row that is lost later, and a run that looks again.
  execute(target_, "DELETE FROM customers WHERE id = (SELECT min(id) FROM customers)");
  EXPECT_EQ(run_command(migrate({"--metrics-file", path})).exit_status, 4);
  const PrometheusText again(file_text(path));
  EXPECT_EQ(again.value("sluice_exit_status"), 4);
  const double mismatched = again.value("sluice_verify_mismatched_ranges");
  EXPECT_TRUE(mismatched == 1 || mismatched == 2) << mismatched << ": its leaf may lie in two ranges";
  EXPECT_EQ(again.sum("sluice_rows_copied_total"), 0) << "this process copied none";
  EXPECT_EQ(again.value("sluice_ranges", {{"state", "done"}}), again.sum("sluice_ranges"));
}

TEST_F(Observability, AnInterruptedRunSaysSoInItsLogAndItsMetrics) {
  const std::string path = (*folder_ / "stopped.prom").string();
  RunningCommand running =
      begin_until(migrate({"--metrics-file", path, "--log-format", "json"}), "after range:3:stop");
  running.send(SIGINT);
  running.send(SIGCONT);
  const CommandResult& result = running.wait();
  ASSERT_EQ(result.exit_status, 5) << result.err;
  EXPECT_EQ(PrometheusText(file_text(path)).value("sluice_exit_status"), 5);
  const std::vector<json> events = log_of(result);
  ASSERT_GE(events.size(), 2U);
  const std::string run_id = value("SELECT run_id FROM sluice.run");
  bool said = false;
  for (const json& event : events) {
    if (!contains(event.at("msg"), "stopping after what is under way")) continue;
    said = true;
    EXPECT_EQ(event.at("run_id"), run_id);
    EXPECT_EQ(event.at("level"), "warning");
  }
  EXPECT_TRUE(said) << result.err;
  EXPECT_EQ(events.back().at("level"), "error");
  EXPECT_EQ(events.back().at("exit_status"), 5);
  EXPECT_EQ(events.back().at("run_id"), run_id);
}

TEST_F(Observability, TheLogOfARunIsJsonToItsLastLineWhateverItsTablesAreCalled) {
  const std::string source = (*folder_ / "hostile.db").string();
  Writer(source).run(
      "CREATE TABLE \"a \"\"quoted\"\"\nname\" (x INTEGER, y STRING);"
      "INSERT INTO \"a \"\"quoted\"\"\nname\" VALUES (1, 2), ('secret text', 3)");
  const std::string path = (*folder_ / "hostile.prom").string();
  const CommandResult result = run_command({sluice_program(), "migrate", source, target_, "--log-format",
                                            "json", "--metrics-file", path, "--progress", "none"});
  ASSERT_EQ(result.exit_status, 0) << result.err;
  const std::vector<json> events = log_of(result);
  ASSERT_FALSE(events.empty());
  std::set<std::string> phases;
  bool named = false;
  for (const json& event : events) {
    if (event.contains("phase")) phases.insert(event.at("phase"));
    named |= event.value("table", "") == "a \"quoted\"\nname";
    EXPECT_FALSE(contains(event.dump(), "secret")) << event;
  }
  EXPECT_TRUE(named) << result.err;
  EXPECT_TRUE(phases.contains("load") && phases.contains("verify")) << result.err;
  EXPECT_EQ(events.back().at("msg"), "done");
  EXPECT_EQ(events.back().at("exit_status"), 0);
  EXPECT_EQ(
      PrometheusText(file_text(path)).value("sluice_rows_copied_total", {{"table", "a \"quoted\"\nname"}}),
      2);

  // What ends in an error does so in JSON, too, and without the password.
  const CommandResult refused =
      run_command({sluice_program(), "migrate", source, "postgresql://me:hunter2@127.0.0.1:1/x",
                   "--log-format", "json", "--progress", "none"});
  EXPECT_EQ(refused.exit_status, 21) << refused.err;
  EXPECT_EQ(log_of(refused).back().at("exit_status"), 21);
  EXPECT_FALSE(contains(refused.err, "hunter2")) << refused.err;
}

TEST_F(Observability, AMetricsFileThatCannotBeWrittenStopsTheRunBeforeItBegins) {
  const CommandResult result =
      run_command(migrate({"--metrics-file", (*folder_ / "no" / "x.prom").string()}));
  EXPECT_EQ(result.exit_status, 2) << result.err;
  EXPECT_TRUE(contains(result.err, "sluice: output: cannot write ")) << result.err;
  EXPECT_EQ(value("SELECT to_regnamespace('sluice') IS NULL"), "t");
}

}  // namespace
}  // namespace sluice::testing
