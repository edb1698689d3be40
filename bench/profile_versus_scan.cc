// Looking at every value before the first row moves, against a bare scan that reads every byte and learns
// nothing: the same file, the same ranges, the same number of threads, in one run. README.md says how to read
// it.

#include <fmt/format.h>

#include <CLI/CLI.hpp>
#include <chrono>
#include <filesystem>
#include <functional>
#include <iostream>
#include <optional>
#include <stdexcept>
#include <string>
#include <vector>

#include "bench/bare_scan.h"
#include "bench/figures.h"
#include "datasets/dataset.h"
#include "engine/app/profile.h"
#include "engine/model/error.h"
#include "engine/model/quote.h"
#include "engine/plan/planner.h"
#include "io/sqlite/snapshot.h"
#include "tests/support/temporary_directory.h"

namespace sluice::bench {
namespace {

namespace fs = std::filesystem;

struct Options {
  std::uint64_t rows = 2'200'000;
  std::string file;  // empty: a temporary one
  std::size_t threads = 2;
  std::size_t repetitions = 9;
  double ratio_max = 1.3;
};

std::vector<BareRange> ranges_of(const MigrationPlan& plan) {
  std::vector<BareRange> ranges;
  for (const TablePlan& table : plan.tables) {
    const std::string sql =
        "SELECT * FROM " + quote_identifier(table.source) + " NOT INDEXED WHERE rowid BETWEEN ? AND ?";
    for (const Extent& extent : table.extents) {
      const auto* range = std::get_if<RowidRange>(&extent);
      ranges.push_back(
          {sql, range != nullptr ? range->first : INT64_MIN, range != nullptr ? range->last : INT64_MAX});
    }
  }
  return ranges;
}

// ---- figures ----

struct Figures {
  double seconds = 0;
  double cpu_seconds = 0;
};

Figures measured(const std::function<void()>& work) {
  const double cpu = cpu_of_process();
  const auto began = std::chrono::steady_clock::now();
  work();
  return {std::chrono::duration<double>(std::chrono::steady_clock::now() - began).count(),
          cpu_of_process() - cpu};
}

bool run(const Options& options) {
  std::optional<testing::TemporaryDirectory> temporary;
  fs::path file = options.file;
  if (options.file.empty()) file = temporary.emplace("sluice-bench").path() / "three_tables.db";
  if (!fs::exists(file)) datasets::generate("three_tables", file, {.rows = options.rows});
  std::uint64_t rows = 0;
  for (const auto& table : datasets::count_rows(file)) rows += static_cast<std::uint64_t>(table.rows);

  Snapshot snapshot(file, options.threads);
  std::map<std::string, TableOutline> outlines;
  for (const SourceTable& table : snapshot.catalog().tables)
    outlines.emplace(table.name, snapshot.outline(table));
  PlanOptions wishes;
  wishes.lanes = options.threads;
  const MigrationPlan plan = plan_migration(snapshot.catalog(), outlines, wishes);
  const std::vector<BareRange> ranges = ranges_of(plan);
  std::vector<File> databases;
  for (std::size_t i = 0; i < options.threads; ++i) databases.push_back(open_file(file));
  Console console(ProgressMode::none);
  const StopRequest stop;

  fmt::print("{} rows, {} bytes, {} ranges, {} threads, {} pairs; load average {:.1f}\n", rows,
             fs::file_size(file), ranges.size(), options.threads, options.repetitions, load_average());
  const auto bare = [&] {
    if (scan_bare(databases, ranges, Values::touched) != rows)
      throw std::runtime_error("the bare scan missed rows");
  };
  const auto profile = [&] {
    std::uint64_t seen = 0;
    for (const auto& [name, facts] : profile_source(snapshot, plan, console, stop)) seen += facts.rows;
    if (seen != rows) throw std::runtime_error("the profile missed rows");
  };
  bare();  // the file into memory
  std::vector<double> bares;
  std::vector<double> profiles;
  std::vector<double> ratios;
  std::vector<double> cpu_ratios;
  for (std::size_t pair = 0; pair < options.repetitions; ++pair) {
    Figures of_bare;
    Figures of_profile;
    // Which comes first alternates, because neither should profit from what the other leaves behind.
    if (pair % 2 == 0) of_bare = measured(bare);
    of_profile = measured(profile);
    if (pair % 2 == 1) of_bare = measured(bare);
    bares.push_back(of_bare.seconds);
    profiles.push_back(of_profile.seconds);
    ratios.push_back(of_profile.seconds / of_bare.seconds);
    cpu_ratios.push_back(of_profile.cpu_seconds / of_bare.cpu_seconds);
    fmt::print(
        "pair {}: scan {:.3f} s ({:.3f} CPU), profile {:.3f} s ({:.3f} CPU), ratio {:.2f}, CPU {:.2f}\n",
        pair + 1, of_bare.seconds, of_bare.cpu_seconds, of_profile.seconds, of_profile.cpu_seconds,
        ratios.back(), cpu_ratios.back());
  }
  const double ratio = median(ratios);
  fmt::print("median: scan {:.3f} s, profile {:.3f} s, CPU ratio {:.2f}; load average {:.1f}\n",
             median(bares), median(profiles), median(cpu_ratios), load_average());
  const bool held = ratio <= options.ratio_max;
  fmt::print("{}  ratio: {:.2f}, bound {:.2f}\n", held ? "held  " : "MISSED", ratio, options.ratio_max);
  return held;
}

}  // namespace
}  // namespace sluice::bench

int main(int argc, char** argv) {
  sluice::bench::Options options;
  CLI::App app("Measures the look at every value against a bare scan that reads every byte");
  app.add_option("--rows", options.rows, "Rows of the three_tables data set")->capture_default_str();
  app.add_option("--file", options.file, "Database, made when it is not there and kept [a temporary one]");
  app.add_option("--threads", options.threads, "Threads of either")
      ->check(CLI::Range(1, 64))
      ->capture_default_str();
  app.add_option("--repetitions", options.repetitions, "Pairs of runs")
      ->check(CLI::Range(1, 1000))
      ->capture_default_str();
  app.add_option("--ratio-max", options.ratio_max, "Bound on profile time over scan time")
      ->capture_default_str();
  CLI11_PARSE(app, argc, argv);
  try {
    return sluice::bench::run(options) ? 0 : 1;
  } catch (const sluice::Error& error) {
    std::cerr << "profile_versus_scan: " << error.describe() << "\n";
  } catch (const std::exception& error) {
    std::cerr << "profile_versus_scan: " << error.what() << "\n";
  }
  return 1;
}
