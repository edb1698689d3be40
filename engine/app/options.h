#pragma once
// The command line, the environment and the configuration file, as plain structs.
//
// A flag given on the command line wins over SLUICE_<FLAG>, which wins over the file of --config.

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <variant>
#include <vector>

#include "engine/app/log.h"
#include "engine/app/memory_budget.h"
#include "engine/plan/mapping.h"

namespace sluice {

enum class VerifyMode : std::uint8_t {
  full,    // reads everything back
  server,  // compares sums that the server makes, 64 bits a row; full where it cannot
  count,
  none,
};
enum class ProgressMode : std::uint8_t { automatic, plain, none };
enum class ExistingTables : std::uint8_t { fail, truncate, drop };
enum class SnapshotMode : std::uint8_t {
  live,  // the file itself, in one read transaction to the end
  copy,  // a private copy of it, made first
};
enum class PlanFormat : std::uint8_t { toml, sql };

struct CommonOptions {
  LogFormat log_format = LogFormat::text;
};

// What decides the plan: the same for migrate, plan and inspect.
struct PlanningOptions : CommonOptions {
  std::string source;  // a path, or sqlite:///path
  SnapshotMode snapshot = SnapshotMode::live;
  // Keep the copy under this name until a run has come to its end; empty: it goes with the process.
  std::string snapshot_file;

  // Readers of the source, and connections that load at the same time. Each of those sleeps in its socket
  // most of the time, so one or two per core of the server are worth having.
  std::size_t jobs = 2;
  // What --memory-limit allows; its lanes are the jobs above, which it may have made fewer.
  MemoryBudget memory;
  std::size_t jobs_wanted = 0;
  // Also without a limit: large rows of all lanes together take no more than one of them does. For commands
  // whose memory should not depend on the number of lanes.
  bool few_large_rows = false;
  std::uint64_t range_bytes = 0;  // 0: chosen from the size of the file
  std::vector<std::string> include;
  std::vector<std::string> exclude;
  std::string schema = "public";
  Mapping mapping;  // flags such as --on-misfit, and the tables of --config
  // Load into tables that are there: their columns and types decide.
  bool data_only = false;
  // Give up an earlier run, and the copy that it read.
  bool restart = false;
  // How long a stopped run may take to finish what is under way.
  std::chrono::milliseconds grace = std::chrono::seconds(20);
  ProgressMode progress = ProgressMode::automatic;
};

struct MigrateOptions : PlanningOptions {
  std::string target;  // for libpq, or local:DIR; empty: local:<name of the file>.pg
  std::size_t index_jobs = 4;
  ExistingTables table_handling = ExistingTables::fail;
  VerifyMode verify = VerifyMode::full;
  bool dry_run = false;
  // With data_only: foreign keys, indexes, checks and triggers of the target step aside for the load.
  bool rebuild = false;
  // Create tables and everything that belongs to them, and load no rows.
  bool schema_only = false;
  // Leave the statistics of the planner to autovacuum.
  bool no_analyze = false;
  std::string report_directory;  // empty: none
  // How long to try again what the server refuses for the moment; zero: not at all.
  std::chrono::milliseconds retry_for = std::chrono::minutes(5);
  std::string metrics_file;  // empty: none
};

struct ExportOptions : PlanningOptions {
  ExportOptions() { few_large_rows = true; }

  std::string archive;  // the folder to write
  int level = 1;        // of zstd
};

// `source` is the archive. What decides the plan is in it, and counts for nothing here.
struct RestoreOptions : MigrateOptions {};

struct PlanFileOptions : PlanningOptions {
  std::string target;  // empty: none; only --data-only looks at it
  PlanFormat format = PlanFormat::toml;
  std::string output;  // empty: standard output
};

struct InspectOptions : PlanningOptions {
  bool json = false;
  // Where it is time to move: a bigger file, a table with more rows, one that gets more rows a day.
  std::uint64_t threshold_bytes = 2'000'000'000;
  std::uint64_t threshold_rows = 1000;
  std::uint64_t threshold_daily_rows = 5000;
  std::string rows_table;  // the table whose rows count; empty: the one with the most
};

// `source` may be an archive, and then `target` may be empty: the archive alone is checked.
// `include` is --tables. Of the mapping, what decides how rows arrive counts when the ledger has no plan.
struct VerifyOptions : PlanningOptions {
  std::string target;
  std::vector<std::string> replicas;  // standbys of the target that take a part of the read-back
  std::uint32_t replica_wait_seconds = 60;
  VerifyMode verify = VerifyMode::full;  // never none
  double sample_percent = 100;           // of the leaves of tables with ordered keys
  std::uint64_t sample_seed = 0;         // 0: a new one
  std::uint64_t max_report = 100;        // rows that differ, named one by one
  bool show_values = false;
  bool json = false;
  bool scan = false;  // read the source even where the ledger has its digests
  bool repair = false;
  bool repair_without_key = false;
  // How long to try again what the server refuses for the moment; zero: not at all.
  std::chrono::milliseconds retry_for = std::chrono::minutes(5);
};

enum class OffloadAction : std::uint8_t { move, verify, collect_garbage };

struct OffloadOptions : CommonOptions {
  std::string target;
  OffloadAction action = OffloadAction::move;
  // As the target has them.
  std::string schema = "public";
  std::string table;
  std::string column;
  std::string store;
  FileReferences references;
  FileText text;
  OffloadedColumn afterwards = OffloadedColumn::null;  // or keep
  bool compress = false;
  bool drop_column = false;  // when all of it is moved and verified
  bool dry_run = false;
  bool remove = false;  // files that nobody refers to
  std::chrono::milliseconds older_than = std::chrono::hours(24);
  std::size_t jobs = 2;
  std::uint64_t max_rate = 0;  // bytes of files per second; 0: as fast as it goes
  std::chrono::milliseconds retry_for = std::chrono::minutes(5);
  std::chrono::milliseconds grace = std::chrono::seconds(20);
  ProgressMode progress = ProgressMode::automatic;
};

struct StatusOptions : CommonOptions {
  std::string target;
  bool json = false;
};

// Help or version text to print and be done.
struct PrintAndExit {
  std::string text;
};

using Command = std::variant<MigrateOptions, InspectOptions, PlanFileOptions, VerifyOptions, ExportOptions,
                             RestoreOptions, OffloadOptions, StatusOptions, PrintAndExit>;

// Throws Error (usage) with one clear line for anything it does not understand.
Command parse_command_line(int argc, const char* const* argv);

// What the command line or the environment asks for, found without understanding the rest: for what is wrong
// with the rest. The file of --config may be what is wrong and is not looked at.
LogFormat early_log_format(int argc, const char* const* argv);

// "64MB", "32 MiB", "1g", "5000000". Throws Error (usage).
std::uint64_t parse_size(const std::string& text);

// "90s", "5min", "1.5 h", "250ms"; 0 needs no unit. Throws Error (usage).
std::chrono::milliseconds parse_duration(const std::string& text);

}  // namespace sluice
