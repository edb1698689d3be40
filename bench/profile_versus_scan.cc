// Looking at every value before the first row moves, against a bare scan that reads every byte and learns
// nothing: the same file, the same ranges, the same number of threads, in one run. README.md says how to read
// it.

#include <fmt/format.h>
#include <sqlite3.h>

#include <CLI/CLI.hpp>
#include <atomic>
#include <chrono>
#include <cstring>
#include <filesystem>
#include <functional>
#include <iostream>
#include <memory>
#include <optional>
#include <stdexcept>
#include <string>
#include <thread>
#include <vector>

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

// ---- the bare scan ----

// It shares no code with ours, so that the floor does not sink when that becomes slow.
struct Close {
  void operator()(sqlite3* database) const { sqlite3_close(database); }
  void operator()(sqlite3_stmt* statement) const { sqlite3_finalize(statement); }
};
using Database = std::unique_ptr<sqlite3, Close>;
using Statement = std::unique_ptr<sqlite3_stmt, Close>;

Database open(const fs::path& file) {
  sqlite3* raw = nullptr;
  const int code = sqlite3_open_v2(file.c_str(), &raw, SQLITE_OPEN_READONLY | SQLITE_OPEN_NOMUTEX, nullptr);
  Database database(raw);
  if (code != SQLITE_OK) throw std::runtime_error(sqlite3_errmsg(raw));
  return database;
}

struct BareRange {
  std::string sql;
  std::int64_t first;
  std::int64_t last;
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

// Every byte, eight at a time.
std::uint64_t touch(const void* bytes, std::size_t size) {
  const auto* at = static_cast<const unsigned char*>(bytes);
  std::uint64_t sum = 0;
  for (; size >= 8; at += 8, size -= 8) {
    std::uint64_t word;
    std::memcpy(&word, at, sizeof word);
    sum += word;
  }
  for (; size > 0; ++at, --size) sum += *at;
  return sum;
}

// A sum over all that was read, so that the compiler has to read it.
std::uint64_t scan_bare(sqlite3* database, const BareRange& range, std::uint64_t& rows) {
  sqlite3_stmt* raw = nullptr;
  if (sqlite3_prepare_v2(database, range.sql.c_str(), -1, &raw, nullptr) != SQLITE_OK) {
    throw std::runtime_error(sqlite3_errmsg(database));
  }
  const Statement statement(raw);
  sqlite3_bind_int64(raw, 1, range.first);
  sqlite3_bind_int64(raw, 2, range.last);
  const int columns = sqlite3_column_count(raw);
  std::uint64_t sum = 0;
  int code = 0;
  while ((code = sqlite3_step(raw)) == SQLITE_ROW) {
    ++rows;
    for (int i = 0; i < columns; ++i) {
      sqlite3_value* const value = sqlite3_column_value(raw, i);
      switch (sqlite3_value_type(value)) {
        case SQLITE_INTEGER:
          sum += static_cast<std::uint64_t>(sqlite3_value_int64(value));
          break;
        case SQLITE_FLOAT: {
          const double real = sqlite3_value_double(value);
          sum += touch(&real, sizeof real);
          break;
        }
        case SQLITE_TEXT: {
          const void* text = sqlite3_value_text(value);
          sum += touch(text, static_cast<std::size_t>(sqlite3_value_bytes(value)));
          break;
        }
        case SQLITE_BLOB: {
          const void* blob = sqlite3_value_blob(value);
          sum += touch(blob, static_cast<std::size_t>(sqlite3_value_bytes(value)));
          break;
        }
        default:
          break;
      }
    }
  }
  if (code != SQLITE_DONE) throw std::runtime_error(sqlite3_errmsg(database));
  return sum;
}

std::uint64_t scan_all_bare(const std::vector<Database>& databases, const std::vector<BareRange>& ranges) {
  std::atomic<std::size_t> next{0};
  std::atomic<std::uint64_t> sum{0};
  std::atomic<std::uint64_t> rows{0};
  std::vector<std::thread> threads;
  for (const Database& database : databases) {
    threads.emplace_back([&] {
      std::uint64_t mine = 0;
      std::uint64_t seen = 0;
      for (std::size_t i = next++; i < ranges.size(); i = next++)
        mine += scan_bare(database.get(), ranges[i], seen);
      sum += mine;
      rows += seen;
    });
  }
  for (std::thread& thread : threads) thread.join();
  static std::atomic<std::uint64_t> kept;
  kept = sum.load();
  return rows;
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
  std::vector<Database> databases;
  for (std::size_t i = 0; i < options.threads; ++i) databases.push_back(open(file));
  Console console(ProgressMode::none);
  const StopRequest stop;

  fmt::print("{} rows, {} bytes, {} ranges, {} threads, {} pairs; load average {:.1f}\n", rows,
             fs::file_size(file), ranges.size(), options.threads, options.repetitions, load_average());
  const auto bare = [&] {
    if (scan_all_bare(databases, ranges) != rows) throw std::runtime_error("the bare scan missed rows");
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
