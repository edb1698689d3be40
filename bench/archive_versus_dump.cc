// `sluice export` and `sluice restore` against pg_dump -Fc -Z1 and pg_restore -j: the same rows, indexes and
// keys, the same server, in one run. README.md says how to read it.

#include <fmt/format.h>
#include <sqlite3.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <filesystem>
#include <functional>
#include <iostream>
#include <memory>
#include <nlohmann/json.hpp>
#include <stdexcept>
#include <string>
#include <utility>
#include <vector>

#include "bench/figures.h"
#include "bench/floor_session.h"
#include "bench/workbench.h"
#include "tests/support/command.h"
#include "tests/support/query.h"
#include "tests/support/test_server.h"

namespace sluice::bench {
namespace {

namespace fs = std::filesystem;
using Json = nlohmann::ordered_json;
using testing::CommandResult;
using testing::TestServer;

struct Options {
  std::string dataset = "three_tables";
  std::uint64_t rows = 2'200'000;
  std::string directory;  // empty: a temporary one
  std::size_t jobs = 2;
  std::size_t repetitions = 5;
  std::string json;
  double export_max = 0.667;
  // Both sides wait for the same server to build the same indexes.
  double restore_max = 0.85;
  double memory_max_mb = 200;
};

// Either side of a pair.
struct Measured {
  double seconds = 0;
  double cpu_seconds = 0;  // of the program and the server
  double peak_memory_mb = 0;
};

struct Series {
  std::string name;
  double bound = 0;  // of run / other; 0: none
  std::vector<double> other;
  std::vector<double> run;
  std::vector<double> ratios;  // of the two that stood side by side
  std::vector<double> cpu_ratios;
  double peak_memory_mb = 0;  // of sluice
};

class Bench {
 public:
  Bench(const Options& options, const WorkFolder& folder)
      : options_(options), folder_(folder), server_({.settings = kServerSettings}) {}

  // True when everything was within the bounds. Throws when a program did not end as it must.
  bool run() {
    prepare();
    for (std::size_t repetition = 0; repetition < options_.repetitions; ++repetition) measure(repetition);
    measure_large_values();
    conclude();
    return bounds_.held();
  }

 private:
  void prepare() {
    source_ = folder_.dataset(options_.dataset, options_.rows);
    database_ = server_.create_database("migrated");
    expect_good(sluice({"migrate", source_, database_, "--verify", "none"}));
    // Whatever is read for the first time is read here, and what a dump would not have is gone.
    testing::execute(database_, "DROP SCHEMA sluice CASCADE");
    static_cast<void>(count_rows(database_));
    prepare_floor();
    print(fmt::format(
        "PostgreSQL {}, Unix socket, {}\n{}: {} rows, {:.0f} MB file, {} jobs; load average {:.1f}\n\n",
        testing::query_value(database_, "SHOW server_version"), server_settings_text(), options_.dataset,
        options_.rows, megabytes(fs::file_size(source_)), options_.jobs, load_average()));
    json_["dataset"] = options_.dataset;
    json_["rows"] = options_.rows;
    json_["jobs"] = options_.jobs;
    json_["load_average_before"] = load_average();
  }

  // Of every table; reads them all.
  static std::vector<testing::QueryRow> count_rows(const std::string& database) {
    std::vector<testing::QueryRow> counts;
    for (const auto& table :
         testing::query(database,
                        "SELECT oid::regclass::text FROM pg_class WHERE relkind = 'r' AND "
                        "relnamespace = 'public'::regnamespace ORDER BY relname")) {
      counts.push_back(
          {*table.at(0), testing::query_value(database, "SELECT count(*) FROM " + *table.at(0))});
    }
    return counts;
  }

  // What the server needs in order to do a restore by itself: the rows as binary COPY on its own disk, in
  // parts of 4096 blocks, and the indexes.
  void prepare_floor() {
    const std::string folder = testing::query_value(database_, "SHOW data_directory");
    for (const auto& row : testing::query(
             database_,
             "SELECT t.oid::regclass, t.part::text, (t.part + 4096)::text FROM (SELECT oid, "
             "generate_series(0, pg_relation_size(oid) / 8192, 4096) AS part FROM pg_class WHERE "
             "relkind = 'r' AND relnamespace = 'public'::regnamespace ORDER BY relpages DESC) AS t")) {
      const std::string& table = *row.at(0);
      const std::string file = fmt::format("{}/floor_{}", folder, floor_copies_.size());
      testing::execute(
          database_, fmt::format("COPY (SELECT * FROM {} WHERE ctid >= '({},0)' AND ctid < '({},0)') TO '{}' "
                                 "(FORMAT binary)",
                                 table, *row.at(1), *row.at(2), file));
      floor_copies_.push_back(fmt::format("COPY {} FROM '{}' (FORMAT binary)", table, file));
    }
    for (const auto& row :
         testing::query(database_,
                        "SELECT pg_get_indexdef(indexrelid) FROM pg_index JOIN pg_class ON pg_class.oid = "
                        "indrelid WHERE relnamespace = 'public'::regnamespace ORDER BY relpages DESC")) {
      floor_indexes_.push_back("SET maintenance_work_mem = '512MB'; " + *row.at(0));
    }
  }

  // ---- the measurements ----

  void measure(std::size_t repetition) {
    pair(
        {"export / pg_dump -Fc -Z1", options_.export_max}, repetition, [&] { return dump(); },
        [&] { return export_archive(); });
    pair(
        {"restore of the same / pg_restore -j", options_.restore_max}, repetition,
        [&] { return restore_dump(); }, [&] { return restore_archive("none", {"--no-analyze"}); });
    pair(
        {"restore --verify none / pg_restore -j", 0}, repetition, [&] { return restore_dump(); },
        [&] { return restore_archive("none"); });
    pair(
        {"restore (verified) / pg_restore -j", 0}, repetition, [&] { return restore_dump(); },
        [&] { return restore_archive("full"); });
    pair(
        {"server alone / pg_restore -j", 0}, repetition, [&] { return restore_dump(); },
        [&] { return load_by_the_server_alone(); });
  }

  void pair(const std::pair<std::string, double>& what, std::size_t repetition,
            const std::function<Measured()>& other, const std::function<Measured()>& run) {
    Series& series = series_of(what.first);
    series.bound = what.second;
    // Turns about, so that neither side always comes second.
    Measured of_other;
    if (repetition % 2 == 0) of_other = other();
    const Measured of_run = run();
    if (repetition % 2 == 1) of_other = other();
    series.other.push_back(of_other.seconds);
    series.run.push_back(of_run.seconds);
    series.ratios.push_back(of_run.seconds / of_other.seconds);
    series.cpu_ratios.push_back(of_run.cpu_seconds / of_other.cpu_seconds);
    series.peak_memory_mb = std::max(series.peak_memory_mb, of_run.peak_memory_mb);
    print(fmt::format("run {}, {}: {:.2f} s / {:.2f} s, ratio {:.2f}, CPU {:.2f} s / {:.2f} s\n",
                      repetition + 1, what.first, of_run.seconds, of_other.seconds, series.ratios.back(),
                      of_run.cpu_seconds, of_other.cpu_seconds));
  }

  Series& series_of(const std::string& name) {
    for (Series& series : series_) {
      if (series.name == name) return series;
    }
    Series& series = series_.emplace_back();
    series.name = name;
    return series;
  }

  [[nodiscard]] Measured timed(const std::function<CommandResult()>& command) const {
    check_stop();
    testing::execute(server_.conninfo(), "CHECKPOINT");
    const double server_before = cpu_of_server(server_.pid());
    const double children_before = cpu_of_children();
    const CommandResult result = command();
    expect_good(result);
    return {result.seconds.count(),
            cpu_of_children() - children_before + cpu_of_server(server_.pid()) - server_before,
            megabytes(result.peak_memory_bytes)};
  }

  Measured dump() const {
    fs::remove(dump_file());
    return timed([&] {
      return testing::run_command(
          {(server_.binaries() / "pg_dump").string(), "-Fc", "-Z1", "-f", dump_file(), database_}, kPatient);
    });
  }

  Measured export_archive() const {
    fs::remove_all(archive());
    return timed([&] {
      return sluice({"export", source_, archive(), "--jobs", std::to_string(options_.jobs)});
    });
  }

  Measured restore_dump() {
    const std::string target = server_.create_database("restored");
    return timed([&] {
      return testing::run_command({(server_.binaries() / "pg_restore").string(), "-j",
                                   std::to_string(options_.jobs), "--no-owner", "-d", target, dump_file()},
                                  kPatient);
    });
  }

  Measured restore_archive(const std::string& verify, const std::vector<std::string>& flags = {}) {
    std::vector<std::string> words = {
        "restore",  archive(), server_.create_database("restored"), "--jobs", std::to_string(options_.jobs),
        "--verify", verify};
    words.insert(words.end(), flags.begin(), flags.end());
    return timed([&] { return sluice(words); });
  }

  // The same tables and indexes, and nothing else: the server reads its own disk, no byte goes through a
  // socket, nobody checks, counts or analyses. No loader that uses COPY can be sooner.
  Measured load_by_the_server_alone() {
    const std::string target = server_.create_database("restored");
    expect_good(testing::run_command({(server_.binaries() / "pg_restore").string(), "--section=pre-data",
                                      "--no-owner", "-d", target, dump_file()},
                                     kPatient));
    testing::execute(server_.conninfo(), "CHECKPOINT");
    const double server_before = cpu_of_server(server_.pid());
    Measured measured;
    for (const std::vector<std::string>* statements : {&floor_copies_, &floor_indexes_}) {
      check_stop();
      const FloorTime time = run_over_sessions(
          target, options_.jobs, statements->size(),
          [&](pg_conn* session, std::size_t task) { command(session, statements->at(task)); });
      measured.seconds += time.seconds;
      measured.cpu_seconds += time.cpu_seconds;
    }
    measured.cpu_seconds += cpu_of_server(server_.pid()) - server_before;
    if (count_rows(target) != count_rows(database_)) {
      throw std::runtime_error("the server alone did not load all rows");
    }
    return measured;
  }

  // Each in a file of its own, so that neither pays for the other.
  void measure_large_values() {
    const fs::path large = folder_.path() / "large.sqlite";
    fs::remove(large);
    sqlite3* raw = nullptr;
    const int code = sqlite3_open(large.c_str(), &raw);
    const std::unique_ptr<sqlite3, int (*)(sqlite3*)> owner(raw, sqlite3_close);
    if (code != SQLITE_OK ||
        sqlite3_exec(raw,
                     "CREATE TABLE files (id INTEGER PRIMARY KEY, body BLOB);"
                     "INSERT INTO files VALUES (1, randomblob(100000000)), (2, zeroblob(100000000)),"
                     " (3, randomblob(100000000)), (4, x'00')",
                     nullptr, nullptr, nullptr) != SQLITE_OK) {
      throw std::runtime_error(sqlite3_errmsg(raw));
    }
    const fs::path archive = folder_.path() / "large.archive";
    fs::remove_all(archive);
    const CommandResult exported = sluice({"export", large, archive, "--memory-limit", "160MB"});
    expect_good(exported);
    const std::string target = server_.create_database("large");
    const CommandResult restored =
        sluice({"restore", archive, target, "--jobs", std::to_string(options_.jobs), "--verify", "full"});
    expect_good(restored);
    export_peak_mb_ = megabytes(exported.peak_memory_bytes);
    restore_peak_mb_ = megabytes(restored.peak_memory_bytes);
    print(fmt::format("\nvalues of 100 MB: export --memory-limit 160MB took {:.1f} MB, restore {:.1f} MB\n",
                      export_peak_mb_, restore_peak_mb_));
    fs::remove(large);
    fs::remove_all(archive);
  }

  // ---- results ----

  void conclude() {
    json_["series"] = Json::array();
    constexpr const char* kHead = "{:<40}{:>14}  {:>14}  {:>8}  {:>7}  {:>7}\n";
    print("\n" + fmt::format(kHead, "", "other s", "sluice s", "pairwise", "CPU", "peak MB"));
    print(fmt::format(kHead, "", "min    median", "min    median", "median", "ratio", ""));
    std::vector<std::string> verdicts;
    double peak = std::max(export_peak_mb_, restore_peak_mb_);
    for (const Series& series : series_) {
      peak = std::max(peak, series.peak_memory_mb);
      print(fmt::format("{:<40}{:>6.2f}  {:>6.2f}  {:>6.2f}  {:>6.2f}  {:>8.2f}  {:>7.2f}  {:>7.1f}\n",
                        series.name, minimum(series.other), median(series.other), minimum(series.run),
                        median(series.run), median(series.ratios), median(series.cpu_ratios),
                        series.peak_memory_mb));
      json_["series"].push_back({{"name", series.name},
                                 {"other_seconds", series.other},
                                 {"run_seconds", series.run},
                                 {"pairwise_ratios", series.ratios},
                                 {"cpu_ratios", series.cpu_ratios},
                                 {"peak_memory_mb", series.peak_memory_mb}});
      if (series.bound > 0)
        verdicts.push_back(bounds_.judge(series.name, median(series.ratios), series.bound));
    }
    verdicts.push_back(bounds_.judge("peak memory, MB", peak, options_.memory_max_mb));
    std::uint64_t archive_bytes = 0;
    for (const auto& entry : fs::recursive_directory_iterator(archive())) {
      if (entry.is_regular_file()) archive_bytes += entry.file_size();
    }
    print(fmt::format("\narchive {:.1f} MB, dump {:.1f} MB\n", megabytes(archive_bytes),
                      megabytes(fs::file_size(dump_file()))));
    for (const std::string& line : verdicts) print(line);
    print(fmt::format("load average at the end {:.1f}\n", load_average()));
    json_["archive_bytes"] = archive_bytes;
    json_["dump_bytes"] = fs::file_size(dump_file());
    json_["export_peak_mb_large_values"] = export_peak_mb_;
    json_["restore_peak_mb_large_values"] = restore_peak_mb_;
    json_["load_average_after"] = load_average();
    json_["good"] = bounds_.held();
    if (!options_.json.empty()) write_figures(options_.json, json_);
  }

  static CommandResult sluice(std::vector<std::string> words) {
    words.insert(words.begin(), testing::sluice_program());
    words.insert(words.end(), {"--progress", "none"});
    return testing::run_command(std::move(words), kPatient);
  }

  static void expect_good(const CommandResult& result) {
    if (result.exit_status != 0) throw std::runtime_error("a program failed: " + result.err);
  }

  [[nodiscard]] fs::path archive() const { return folder_.path() / "archive"; }
  [[nodiscard]] fs::path dump_file() const { return folder_.path() / "dump"; }

  static inline const testing::CommandOptions kPatient = {.timeout = std::chrono::minutes(20)};

  const Options& options_;
  const WorkFolder& folder_;
  TestServer server_;
  std::string database_;
  fs::path source_;
  std::vector<std::string> floor_copies_;  // statements, the largest tables first
  std::vector<std::string> floor_indexes_;
  std::vector<Series> series_;
  double export_peak_mb_ = 0;
  double restore_peak_mb_ = 0;
  Bounds bounds_;
  Json json_;
};

int run(int argc, char** argv) {
  Options options;
  CLI::App app("Measures sluice export and restore against pg_dump -Fc -Z1 and pg_restore -j");
  app.add_option("--dataset", options.dataset, "Kind of data set; generate_dataset --list has them")
      ->capture_default_str();
  app.add_option("--rows", options.rows, "Rows of the data set")->capture_default_str();
  app.add_option(
      "--directory", options.directory,
      "Work folder, kept with its data set; the server's user must be able to enter it [a temporary one]");
  app.add_option("--jobs", options.jobs, "Lanes of sluice and jobs of pg_restore")
      ->check(CLI::Range(1, 64))
      ->capture_default_str();
  app.add_option("--repetitions", options.repetitions, "Pairs of runs")
      ->check(CLI::Range(1, 1000))
      ->capture_default_str();
  app.add_option("--json", options.json, "Write all figures to this file");
  app.add_option("--export-max", options.export_max, "Bound on export over pg_dump")->capture_default_str();
  app.add_option("--restore-max", options.restore_max, "Bound on restore over pg_restore")
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
    std::cerr << "archive_versus_dump: " << error.what() << "\n";
    return 1;
  }
}
