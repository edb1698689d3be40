// The load phase of `sluice migrate` against the replay of ready-made COPY streams: the same rows, the same
// server, the same settings, the same number of connections, in one run. README.md says how to read it.

#include <fmt/format.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <filesystem>
#include <fstream>
#include <iostream>
#include <map>
#include <nlohmann/json.hpp>
#include <optional>
#include <stdexcept>
#include <string>
#include <vector>

#include "bench/figures.h"
#include "bench/recorded_streams.h"
#include "bench/workbench.h"
#include "datasets/dataset.h"
#include "engine/model/quote.h"
#include "tests/support/query.h"
#include "tests/support/temporary_directory.h"
#include "tests/support/test_server.h"

namespace sluice::bench {
namespace {

namespace fs = std::filesystem;
using Json = nlohmann::ordered_json;
using testing::TemporaryDirectory;
using testing::TestServer;

struct Options {
  std::uint64_t rows = 2'200'000;
  std::string directory;  // empty: a temporary one
  std::vector<std::size_t> connections = {2, 4};
  std::size_t repetitions = 5;
  std::string json;
  double ratio_max = 1.6;
  double memory_max_mb = 150;
};

constexpr const char* kPrepared = "prepared";  // the tables' definitions, and at first their rows
constexpr const char* kReplayed = "replayed";
constexpr const char* kLoaded = "loaded";

// ---- one run of sluice ----

struct Migration {
  std::string failure;     // empty when all went well
  double cpu_seconds = 0;  // of the whole program, all its threads
  Json report;             // as sluice wrote it; null when it did not

  [[nodiscard]] double phase(const char* name) const { return report.at("phases").at(name).get<double>(); }
  [[nodiscard]] std::uint64_t peak_memory() const {
    return report.at("peak_memory_bytes").get<std::uint64_t>();
  }
};

class Bench {
 public:
  Bench(const Options& options, const WorkFolder& folder)
      : options_(options), folder_(folder), server_({.settings = kServerSettings}) {
    database_ = server_.create_database("bench");
  }

  // True when every run ended well and within the bounds.
  bool run() {
    prepare();
    measure();
    verify_once();
    conclude();
    return bounds_.held();
  }

 private:
  void prepare() {
    source_ = folder_.dataset("three_tables", options_.rows);
    for (const datasets::TableRows& table : datasets::count_rows(source_))
      expected_[table.table] = table.rows;

    const Migration first = migrate(kPrepared, options_.connections.front(), "none");
    if (!first.failure.empty()) throw std::runtime_error("the preparing run failed: " + first.failure);
    std::vector<StreamCut> cuts;  // in the order of the plan, largest table first
    for (const Json& table : first.report.at("tables")) {
      cuts.push_back({table.at("target").get<std::string>(), table.at("ranges").get<std::size_t>()});
    }
    streams_.emplace(database_, kPrepared, cuts);
    for (const StreamCut& cut : cuts) {
      tables_.push_back(cut.table);
      testing::execute(database_, "TRUNCATE " + quote_qualified(kPrepared, cut.table));
    }
    print(fmt::format("PostgreSQL {}, Unix socket, {}\n",
                      testing::query_value(database_, "SHOW server_version"), server_settings_text()));
    print(
        fmt::format("{} rows, {:.0f} MB file, {:.0f} MB COPY payload in {} streams; load average {:.1f}\n\n",
                    rows_in_all(), megabytes(fs::file_size(source_)), megabytes(streams_->bytes()),
                    streams_->count(), load_average()));
    json_["rows"] = rows_in_all();
    json_["payload_bytes"] = streams_->bytes();
    json_["streams"] = streams_->count();
    json_["settings"] = Json::object();
    for (const auto& [name, value] : kServerSettings) json_["settings"][name] = value;
    json_["load_average_before"] = load_average();
  }

  // ---- the measurements ----

  struct Series {
    std::vector<double> replay;
    std::vector<double> replay_cpu;  // ours
    std::vector<double> server_cpu;  // during the replay
    std::vector<double> load;
    std::vector<double> load_cpu;
    std::vector<double> peak_memory_mb;
    std::vector<double> ratios;  // of the two runs that stood side by side
  };

  void measure() {
    for (std::size_t repetition = 0; repetition < options_.repetitions; ++repetition) {
      for (const std::size_t connections : options_.connections) {
        Series& series = series_[connections];
        // Turns about, so that neither side always comes second.
        std::optional<MeasuredReplay> replay;
        if (repetition % 2 == 0) replay = measure_replay(connections);
        const Migration load = measure_load(connections);
        if (repetition % 2 == 1) replay = measure_replay(connections);

        series.replay.push_back(replay->time.seconds);
        series.replay_cpu.push_back(replay->time.cpu_seconds);
        series.server_cpu.push_back(replay->server_cpu_seconds);
        std::string line = fmt::format("run {}, {} connections: replay {:.2f} s", repetition + 1, connections,
                                       replay->time.seconds);
        if (load.failure.empty()) {
          series.load.push_back(load.phase("load"));
          series.load_cpu.push_back(load.cpu_seconds);
          series.peak_memory_mb.push_back(megabytes(load.peak_memory()));
          series.ratios.push_back(series.load.back() / replay->time.seconds);
          line += fmt::format(", load {:.2f} s, ratio {:.2f}", series.load.back(), series.ratios.back());
        } else {
          note_failure(fmt::format("migrate --jobs {}, run {}", connections, repetition + 1), load.failure);
          line += ", load FAILED: " + load.failure;
        }
        print(line + "\n");
      }
    }
  }

  struct MeasuredReplay {
    FloorTime time;
    double server_cpu_seconds = 0;
  };

  MeasuredReplay measure_replay(std::size_t connections) {
    make_tables(kReplayed);
    settle();
    const double server_before = cpu_of_server(server_.pid());
    MeasuredReplay replay;
    replay.time = streams_->replay(database_, kReplayed, connections);
    replay.server_cpu_seconds = cpu_of_server(server_.pid()) - server_before;
    if (const std::string wrong = count_rows(kReplayed); !wrong.empty()) throw std::runtime_error(wrong);
    testing::execute(database_, fmt::format("DROP SCHEMA {} CASCADE", kReplayed));
    return replay;
  }

  // Without keys, and empty.
  void make_tables(const char* schema) {
    std::string sql = fmt::format("DROP SCHEMA IF EXISTS {0} CASCADE; CREATE SCHEMA {0};", schema);
    for (const std::string& table : tables_) {
      sql += fmt::format("CREATE TABLE {} (LIKE {} INCLUDING ALL EXCLUDING INDEXES);",
                         quote_qualified(schema, table), quote_qualified(kPrepared, table));
    }
    testing::execute(database_, sql);
  }

  // Into tables that are there and have no keys, because elsewhere the indexes of one table share the cores
  // with the load of the next.
  Migration measure_load(std::size_t connections) {
    make_tables(kLoaded);
    settle();
    Migration migration = migrate(kLoaded, connections, "none", {"--data-only"});
    testing::execute(database_, fmt::format("DROP SCHEMA IF EXISTS {} CASCADE", kLoaded));
    return migration;
  }

  // Nobody pays for the pages that another one left dirty, nor for the files of dropped tables.
  void settle() {
    check_stop();
    testing::execute(database_, "CHECKPOINT");
  }

  Migration migrate(const std::string& schema, std::size_t connections, const std::string& verify,
                    const std::vector<std::string>& wishes = {}) {
    testing::execute(database_, "DROP SCHEMA IF EXISTS sluice CASCADE");  // the ledger: no run to go on with
    const TemporaryDirectory report;
    std::vector<std::string> arguments = {"migrate",
                                          source_.string(),
                                          database_,
                                          "--schema",
                                          schema,
                                          "--jobs",
                                          std::to_string(connections),
                                          "--verify",
                                          verify,
                                          "--progress",
                                          "none",
                                          "--report",
                                          report.path().string()};
    arguments.insert(arguments.end(), wishes.begin(), wishes.end());
    const SluiceRun run = run_sluice(arguments);
    Migration migration;
    migration.cpu_seconds = run.cpu_seconds;
    if (std::ifstream file(report / "report.json"); file) {
      migration.report = Json::parse(file, nullptr, /*allow_exceptions=*/false);
    }
    if (!run.failure.empty()) {
      migration.failure = run.failure;
    } else if (!migration.report.is_object()) {
      migration.failure = "there is no report.json that can be read";
    } else {
      migration.failure = count_rows(schema);
    }
    return migration;
  }

  // What is wrong with the number of rows in `schema`; empty when nothing is.
  std::string count_rows(const std::string& schema) {
    for (const auto& [table, rows] : expected_) {
      const std::string found =
          testing::query_value(database_, "SELECT count(*) FROM " + quote_qualified(schema, table));
      if (found != std::to_string(rows)) {
        return fmt::format("{}.{} holds {} rows of {}", schema, table, found, rows);
      }
    }
    return {};
  }

  // ---- the whole, verified ----

  void verify_once() {
    const std::size_t connections = options_.connections.back();
    settle();
    testing::execute(database_, fmt::format("DROP SCHEMA IF EXISTS {} CASCADE", kLoaded));
    const Migration whole = migrate(kLoaded, connections, "full");
    if (!whole.failure.empty()) {
      note_failure(fmt::format("migrate --jobs {} --verify full", connections), whole.failure);
      print("\nmigrate --verify full FAILED: " + whole.failure + "\n");
      return;
    }
    print(fmt::format(
        "\nOnce with --verify full, {} connections, overlapping: load {:.2f} s, indexes {:.2f} s, "
        "constraints {:.2f} s,\nverify {:.2f} s; total {:.2f} s\n\n",
        connections, whole.phase("load"), whole.phase("indexes"), whole.phase("constraints"),
        whole.phase("verify"), whole.phase("total")));
    json_["verified_run"] = {{"connections", connections},
                             {"phases", whole.report.at("phases")},
                             {"peak_memory_bytes", whole.peak_memory()},
                             {"cpu_seconds", whole.cpu_seconds}};
    memory_peak_mb_ = std::max(memory_peak_mb_, megabytes(whole.peak_memory()));
  }

  // ---- results ----

  void conclude() {
    json_["series"] = Json::array();
    constexpr const char* kHead = "{:>2}  {:>14}  {:>14}  {:>7}  {:>8}  {:>5}  {:>7}  {:>4}  {:>21}  {:>7}\n";
    print(fmt::format(kHead, "N", "replay s", "load s", "ratio", "pairwise", "CPU", "rows/s", "MB/s",
                      "CPU seconds", "peak MB"));
    print(fmt::format(kHead, "", "min    median", "min    median", "medians", "median", "ratio", "", "",
                      "server replay sluice", ""));
    std::vector<std::string> verdicts;
    for (const auto& [connections, series] : series_) {
      if (series.load.empty()) continue;  // every run failed, which has been said
      const double load = median(series.load);
      const double pairwise = median(series.ratios);
      const double peak = maximum(series.peak_memory_mb);
      memory_peak_mb_ = std::max(memory_peak_mb_, peak);
      // What the ratio would be if CPU were all that counts: the server's work is the same for both sides.
      const double server_cpu = median(series.server_cpu);
      const double cpu_ratio =
          (server_cpu + median(series.load_cpu)) / (server_cpu + median(series.replay_cpu));
      print(fmt::format(
          "{:>2}  {:>6.2f}  {:>6.2f}  {:>6.2f}  {:>6.2f}  {:>7.2f}  {:>8.2f}  {:>5.2f}  {:>7.0f}  {:>4.0f}  "
          "{:>6.2f} {:>6.2f} {:>6.2f}   {:>7.1f}\n",
          connections, minimum(series.replay), median(series.replay), minimum(series.load), load,
          load / median(series.replay), pairwise, cpu_ratio, static_cast<double>(rows_in_all()) / load,
          megabytes(streams_->bytes()) / load, server_cpu, median(series.replay_cpu), median(series.load_cpu),
          peak));
      json_["series"].push_back({{"connections", connections},
                                 {"replay_seconds", series.replay},
                                 {"replay_cpu_seconds", series.replay_cpu},
                                 {"replay_server_cpu_seconds", series.server_cpu},
                                 {"load_seconds", series.load},
                                 {"load_cpu_seconds", series.load_cpu},
                                 {"ratio_of_medians", load / median(series.replay)},
                                 {"pairwise_ratios", series.ratios},
                                 {"median_pairwise_ratio", pairwise},
                                 {"cpu_ratio", cpu_ratio},
                                 {"peak_memory_mb", peak}});
      verdicts.push_back(
          bounds_.judge(fmt::format("ratio, {} connections", connections), pairwise, options_.ratio_max));
    }
    verdicts.push_back(bounds_.judge("peak memory, MB", memory_peak_mb_, options_.memory_max_mb));
    print("\n");
    for (const std::string& line : verdicts) print(line);
    for (const Json& failure : json_["failures"]) {
      print(fmt::format("FAILED  {}: {}\n", failure.at("run").get<std::string>(),
                        failure.at("reason").get<std::string>()));
    }
    print(fmt::format("load average at the end {:.1f}\n", load_average()));
    json_["load_average_after"] = load_average();
    json_["memory_peak_mb"] = memory_peak_mb_;
    json_["good"] = bounds_.held();
    if (!options_.json.empty()) write_figures(options_.json, json_);
  }

  void note_failure(const std::string& run, const std::string& reason) {
    bounds_.miss();
    json_["failures"].push_back({{"run", run}, {"reason", reason}});
  }

  [[nodiscard]] std::int64_t rows_in_all() const {
    std::int64_t sum = 0;
    for (const auto& [table, rows] : expected_) sum += rows;
    return sum;
  }

  const Options& options_;
  const WorkFolder& folder_;
  TestServer server_;
  std::string database_;
  fs::path source_;
  std::vector<std::string> tables_;               // in the order of the streams
  std::map<std::string, std::int64_t> expected_;  // rows by table
  std::optional<RecordedStreams> streams_;
  std::map<std::size_t, Series> series_;  // by connections
  double memory_peak_mb_ = 0;
  Bounds bounds_;
  Json json_ = {{"failures", Json::array()}};
};

int run(int argc, char** argv) {
  Options options;
  CLI::App app("Measures the load phase of sluice against the replay of ready-made COPY streams");
  app.add_option("--rows", options.rows, "Rows of the three_tables data set")->capture_default_str();
  app.add_option(
      "--directory", options.directory,
      "Work folder, kept with its data set; the server's user must be able to enter it [a temporary one]");
  app.add_option("--connections", options.connections, "Numbers of connections, such as 1,2,4")
      ->delimiter(',')
      ->check(CLI::Range(1, 64))
      ->capture_default_str();
  app.add_option("--repetitions", options.repetitions, "Pairs of runs for each number of connections")
      ->check(CLI::Range(1, 1000))
      ->capture_default_str();
  app.add_option("--json", options.json, "Write all figures to this file");
  app.add_option("--ratio-max", options.ratio_max, "Bound on load time over replay time")
      ->capture_default_str();
  app.add_option("--memory-max", options.memory_max_mb, "Bound on the peak memory of sluice, in MB")
      ->capture_default_str();
  CLI11_PARSE(app, argc, argv);
  stop_on_signals();

  const WorkFolder folder(options.directory);
  return Bench(options, folder).run() ? 0 : 1;
}

}  // namespace
}  // namespace sluice::bench

int main(int argc, char** argv) {
  try {
    return sluice::bench::run(argc, argv);
  } catch (const std::exception& error) {
    std::cerr << "load_versus_replay: " << error.what() << "\n";
    return 1;
  }
}
