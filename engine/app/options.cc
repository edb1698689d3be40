#include "engine/app/options.h"

#include <fmt/format.h>

#include <toml++/toml.h>
#include <CLI/CLI.hpp>
#include <algorithm>
#include <array>
#include <cctype>
#include <charconv>
#include <cmath>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <map>
#include <set>
#include <thread>
#include <utility>

#include "engine/app/plan_file.h"
#include "engine/app/version.h"
#include "engine/app/words.h"
#include "engine/model/error.h"
#include "engine/plan/names.h"

namespace sluice {
namespace {

constexpr std::size_t kJobsMax = 64;

std::size_t default_jobs() {
  const std::size_t cores = std::max(1u, std::thread::hardware_concurrency());
  return std::clamp<std::size_t>(cores, 2, 8);
}

// SLUICE_TABLE_HANDLING for --table-handling
std::string environment_name(const std::string& flag) {
  std::string name = "SLUICE_" + flag;
  for (char& c : name) c = c == '-' ? '_' : static_cast<char>(std::toupper(static_cast<unsigned char>(c)));
  return name;
}

template <class Value>
std::string choices_of(const std::map<std::string, Value>& choices) {
  std::string list;
  for (const auto& [name, value] : choices) list += (list.empty() ? "" : ", ") + name;
  return list;
}

// Maps a word to a value; anything else is refused with the list of words.
template <class Value>
CLI::Option* add_choice(CLI::App& app, const std::string& flags, Value& value,
                        std::map<std::string, Value> choices, const std::string& help) {
  return app.add_option_function<std::string>(
      flags,
      [&value, choices = std::move(choices), flags](const std::string& word) {
        const auto found = choices.find(word);
        if (found == choices.end()) {
          throw CLI::ValidationError(flags, word + " is not one of " + choices_of(choices));
        }
        value = found->second;
      },
      help);
}

template <class Value, std::size_t count>
std::map<std::string, Value> choices_in(const std::array<Word<Value>, count>& words) {
  std::map<std::string, Value> choices;
  for (const Word<Value>& word : words) choices.emplace(word.word, word.value);
  return choices;
}

// An unset variable of a script must not silently become a new local server, or libpq's default database.
CLI::Option* add_target(CLI::App& app, std::string& target, const std::string& help) {
  return app.add_option_function<std::string>(
      "TARGET",
      [&target](const std::string& word) {
        if (word.empty()) {
          throw Error(Fault::usage, "TARGET is empty (an unset variable?)",
                      "name the database; migrate without TARGET makes local:<name of the file>.pg");
        }
        target = word;
      },
      help);
}

void add_duration(CLI::App& app, const char* flag, std::chrono::milliseconds& duration,
                  const std::string& help) {
  app.add_option_function<std::string>(
         flag, [&duration](const std::string& text) { duration = parse_duration(text); }, help)
      ->type_name("TIME");
}

void add_retry_for(CLI::App& app, std::chrono::milliseconds& retry_for) {
  add_duration(app, "--retry-for", retry_for,
               "Go on trying so long when the server restarts, is full or cannot be reached;\n"
               "0 gives up at once [5min]");
}

void add_memory_limit(CLI::App& app, PlanningOptions& options) {
  app.add_option_function<std::string>(
         "--memory-limit",
         [&options](const std::string& text) { options.memory.limit_bytes = parse_size(text); },
         "Keep to this much memory, such as 64MB: as many of the --jobs as fit, smaller\n"
         "buffers, few large rows at once. One value may come on top of it [no limit]")
      ->type_name("SIZE");
}

void add_snapshot(CLI::App& app, PlanningOptions& options) {
  add_choice<SnapshotMode>(app, "--snapshot", options.snapshot,
                           {{"live", SnapshotMode::live}, {"copy", SnapshotMode::copy}},
                           "Read the file itself (live), or copy it to TMPDIR first, so that writers in\n"
                           "rollback-journal mode wait for the copy alone and a WAL does not grow [live]")
      ->type_name("MODE");
}

// Only when all is known: the environment and the file may say either.
template <class Options>
Options within_memory(Options options, std::uint64_t more_per_lane = 0) {
  options.jobs_wanted = options.jobs;
  options.memory = budget_of(options.memory.limit_bytes, options.jobs, more_per_lane);
  options.jobs = options.memory.lanes;
  return options;
}

void add_log_format(CLI::App& app, CommonOptions& options) {
  add_choice<LogFormat>(app, "--log-format", options.log_format, choices_in(kLogFormatWords),
                        "Lines on stderr: text, or json, one object a line [text]")
      ->type_name("FORMAT");
}

void add_progress(CLI::App& app, ProgressMode& progress,
                  const std::string& help = "auto (a live line on a terminal), plain or none [auto]") {
  add_choice<ProgressMode>(
      app, "--progress", progress,
      {{"auto", ProgressMode::automatic}, {"plain", ProgressMode::plain}, {"none", ProgressMode::none}}, help)
      ->type_name("MODE");
}

// The flags that decide the plan: those of migrate, plan and inspect.
void add_planning_options(CLI::App& app, PlanningOptions& options) {
  options.jobs = default_jobs();
  app.add_option("-j,--jobs", options.jobs,
                 fmt::format("Readers, and connections that load at the same time [{}]", options.jobs))
      ->type_name("N")
      ->check(CLI::Range(std::size_t{1}, kJobsMax).description(""));
  add_memory_limit(app, options);
  add_snapshot(app, options);
  app.add_option_function<std::string>(
         "--range-size", [&options](const std::string& text) { options.range_bytes = parse_size(text); },
         "Source bytes loaded per transaction, such as 32MB [by file size]")
      ->type_name("SIZE");
  app.add_option("--include", options.include, "Only tables whose name matches; * and ? are wildcards")
      ->type_name("PATTERN")
      ->delimiter(',');
  app.add_option("--exclude", options.exclude, "No tables whose name matches")
      ->type_name("PATTERN")
      ->delimiter(',');
  app.add_option("--schema", options.schema, "Schema to load into, created where missing [public]")
      ->type_name("NAME");
  add_choice<Identifiers>(app, "--identifiers", options.mapping.identifiers, choices_in(kIdentifierWords),
                          "Names of tables and columns: preserve, lower, or snake (OrderItem to\n"
                          "order_item) [preserve]")
      ->type_name("MODE");
  add_choice<MisfitPolicy>(app, "--on-misfit", options.mapping.on_misfit, choices_in(kMisfitWords),
                           "Values that their declared type cannot hold: widen the column to a type that\n"
                           "takes them all, reject the rows, or fail before the first row [widen]")
      ->type_name("MODE");
  add_choice<JsonTarget>(app, "--json-type", options.mapping.json, choices_in(kJsonWords),
                         "Columns declared JSON: auto (jsonb where that loses nothing, else json), json,\n"
                         "jsonb (repeated keys are lost) or text [auto]")
      ->type_name("TYPE");
  add_choice<BadTextPolicy>(app, "--bad-text", options.mapping.bad_text, choices_in(kBadTextWords),
                            "Text that PostgreSQL refuses (not UTF-8, or with NUL): stop before the first\n"
                            "row, reject the rows, replace by U+FFFD, strip, or make the column bytea [stop]")
      ->type_name("MODE");
  app.add_flag("--narrow-ints", options.mapping.narrow_integers,
               "smallint and integer where declared so and every value fits [bigint]");
  app.add_flag("--keep-lengths", options.mapping.keep_lengths,
               "varchar(n) and numeric(p,s) where declared so and every value fits");
  app.add_flag("--keep-rowid", options.mapping.keep_rowid,
               "The hidden rowid arrives as a column of tables that have no integer key");
  app.add_flag("--data-only", options.data_only,
               "Load into tables that exist, whose columns and types decide; create nothing");
  add_progress(app, options.progress);
  add_log_format(app, options);
}

void add_source(CLI::App& app, PlanningOptions& options) {
  app.add_option("SOURCE", options.source, "The SQLite file: a path or sqlite:///path")->required();
}

// What decides how a run goes, and nothing of what it loads: those of migrate and restore.
void add_run_options(CLI::App& app, MigrateOptions& options) {
  app.add_option("--index-jobs", options.index_jobs, "Indexes and constraints made at the same time [4]")
      ->type_name("N")
      ->check(CLI::Range(std::size_t{1}, kJobsMax).description(""));
  add_choice<ExistingTables>(app, "--table-handling", options.table_handling,
                             {{"fail", ExistingTables::fail},
                              {"truncate", ExistingTables::truncate},
                              {"drop", ExistingTables::drop}},
                             "What to do with tables that exist: fail (when they hold rows), truncate or\n"
                             "drop [fail]")
      ->type_name("MODE");
  app.add_flag("--schema-only", options.schema_only, "Create tables, keys, indexes and views; load no rows");
  app.add_flag("--no-analyze", options.no_analyze,
               "Leave the planner's statistics to autovacuum: ANALYZE of many columns is slow");
  add_choice<VerifyMode>(app, "--verify", options.verify,
                         {{"full", VerifyMode::full},
                          {"server", VerifyMode::server},
                          {"count", VerifyMode::count},
                          {"none", VerifyMode::none}},
                         "full reads everything back and compares digests, server compares sums that\n"
                         "PostgreSQL makes, count compares row counts, or none [full]")
      ->type_name("MODE");
}

void add_more_run_options(CLI::App& app, MigrateOptions& options) {
  add_retry_for(app, options.retry_for);
  add_duration(app, "--grace", options.grace,
               "When told to stop, finish what is under way for so long before cancelling it\n"
               "[20s]");
  app.add_option("--report", options.report_directory,
                 "Write report.json, schema.sql and, where rows were rejected, rejects.jsonl")
      ->type_name("DIR");
  app.add_option("--metrics-file", options.metrics_file,
                 "Write numbers for Prometheus every 5 seconds, for the textfile collector of\n"
                 "node_exporter")
      ->type_name("FILE");
}

void add_restart(CLI::App& app, PlanningOptions& options) {
  app.add_flag("--restart", options.restart, "Give up an earlier run, drop what it created and begin again");
}

void add_dry_run(CLI::App& app, MigrateOptions& options) {
  app.add_flag("--dry-run", options.dry_run,
               "Print the DDL, the ranges, and what TARGET lacks; change nothing");
}

void add_migrate_options(CLI::App& app, MigrateOptions& options) {
  add_source(app, options);
  add_target(app, options.target,
             "The PostgreSQL database: postgresql://..., 'host=... dbname=...', or\n"
             "local:DIR for an embedded server in DIR [local:<name of the file>.pg]");
  add_planning_options(app, options);
  add_run_options(app, options);
  app.add_flag("--rebuild", options.rebuild,
               "With --data-only: take indexes, keys, checks and triggers of the tables out of\n"
               "the way, and put them back after the load");
  add_dry_run(app, options);
  add_restart(app, options);
  app.add_option("--snapshot-file", options.snapshot_file,
                 "With --snapshot copy: the copy is this file, kept until a run has come to its\n"
                 "end, so that an interrupted one goes on from it, whatever became of the source")
      ->type_name("FILE");
  add_more_run_options(app, options);
}

void add_jobs(CLI::App& app, PlanningOptions& options, const char* what) {
  options.jobs = default_jobs();
  app.add_option("-j,--jobs", options.jobs, fmt::format("{} [{}]", what, options.jobs))
      ->type_name("N")
      ->check(CLI::Range(std::size_t{1}, kJobsMax).description(""));
}

// What compressing takes, for a lane: the content of a frame, what it became, and the tables of zstd, as
// measured with frames of 4 MiB.
std::uint64_t bytes_of_lane_at_level(int level) {
  constexpr std::uint64_t kMega = std::uint64_t{1} << 20;
  return 9 * kMega + (level <= 4 ? 4 : level <= 9 ? 18 : level <= 15 ? 50 : 90) * kMega;
}

// Levels above this one take hundreds of megabytes for a lane.
constexpr int kLevelMax = 19;

void add_export_options(CLI::App& app, ExportOptions& options) {
  add_source(app, options);
  app.add_option("ARCHIVE", options.archive,
                 "The folder to write: new, empty, or with an unfinished export, which goes on if\n"
                 "it is of the same source, and begins anew otherwise")
      ->required();
  add_planning_options(app, options);
  app.remove_option(app.get_option("--data-only"));  // needs a target
  app.remove_option(app.get_option("--jobs"));
  add_jobs(app, options, "Lanes that read and compress at the same time");
  app.add_option("--level", options.level, "How hard zstd tries: 1 is fast, 19 small and slow [1]")
      ->type_name("N")
      ->check(CLI::Range(1, kLevelMax).description(""));
  app.add_flag("--restart", options.restart, "Begin again where an export was not finished");
}

void add_restore_options(CLI::App& app, RestoreOptions& options) {
  app.add_option("ARCHIVE", options.source, "The folder that sluice export wrote")->required();
  add_target(app, options.target,
             "The PostgreSQL database: postgresql://..., 'host=... dbname=...', or\n"
             "local:DIR for an embedded server in DIR")
      ->required();
  add_jobs(app, options, "Readers, and connections that load at the same time");
  add_run_options(app, options);
  add_dry_run(app, options);
  add_restart(app, options);
  add_more_run_options(app, options);
  add_progress(app, options.progress);
  add_log_format(app, options);
}

void add_verify_options(CLI::App& app, VerifyOptions& options) {
  app.add_option("SOURCE", options.source,
                 "The SQLite file: a path or sqlite:///path; or an archive of sluice export")
      ->required();
  add_target(app, options.target,
             "The PostgreSQL database, or local:DIR. Without it an archive is checked for\n"
             "damage");
  options.jobs = default_jobs();
  app.add_option("-j,--jobs", options.jobs,
                 fmt::format("Readers, and connections that read back at the same time [{}]", options.jobs))
      ->type_name("N")
      ->check(CLI::Range(std::size_t{1}, kJobsMax).description(""));
  add_memory_limit(app, options);
  add_snapshot(app, options);
  app.add_option("--tables,--include", options.include,
                 "Only tables whose name matches; * and ? are wildcards")
      ->type_name("PATTERN")
      ->delimiter(',');
  app.add_option("--exclude", options.exclude, "No tables whose name matches")
      ->type_name("PATTERN")
      ->delimiter(',');
  app.add_option("--schema", options.schema, "Schema of the tables [public]")->type_name("NAME");
  add_choice<VerifyMode>(
      app, "--verify", options.verify,
      {{"full", VerifyMode::full}, {"server", VerifyMode::server}, {"count", VerifyMode::count}},
      "full reads everything back and compares digests of 128 bits; server compares\n"
      "sums of 64-bit hashes that PostgreSQL makes, so that no row travels; count\n"
      "compares row counts [full]")
      ->type_name("MODE");
  app.add_flag("--scan", options.scan,
               "Read the source as it is now, even where the ledger has the digests of what\n"
               "was loaded");
  app.add_option("--target", options.replicas,
                 "A standby of TARGET that takes a part of the read-back; may be repeated")
      ->type_name("TARGET");
  app.add_option("--replica-wait", options.replica_wait_seconds,
                 "How long a standby may take to replay what the primary has [60]")
      ->type_name("SECONDS");
  app.add_option("--sample", options.sample_percent,
                 "Read back only so much of each table that has an integer key, at random")
      ->type_name("PERCENT")
      ->check(CLI::Range(0.000001, 100.0).description(""));
  app.add_option("--sample-seed", options.sample_seed, "The same sample as an earlier run, which printed it")
      ->type_name("N");
  app.add_option("--max-report", options.max_report, "Name so many rows that differ; all are counted [100]")
      ->type_name("N");
  app.add_flag("--show-values", options.show_values, "Show the values that differ, not only their columns");
  app.add_flag("--json", options.json, "Print one JSON object instead of lines");
  app.add_flag("--repair", options.repair,
               "Make the target equal: delete and insert the rows that differ, and no others,\n"
               "then compare again");
  app.add_flag("--repair-without-key", options.repair_without_key,
               "With --repair: also in tables whose rows have no key, where equal rows stand\n"
               "for each other");
  add_choice<BadTextPolicy>(app, "--bad-text", options.mapping.bad_text, choices_in(kBadTextWords),
                            "How text that PostgreSQL refuses was loaded, where no ledger says so [stop]")
      ->type_name("MODE");
  add_retry_for(app, options.retry_for);
  add_progress(app, options.progress);
  add_log_format(app, options);
}

void add_plan_options(CLI::App& app, PlanFileOptions& options) {
  add_source(app, options);
  add_target(app, options.target, "The PostgreSQL database whose tables decide, with --data-only");
  add_choice<PlanFormat>(
      app, "--format", options.format, {{"toml", PlanFormat::toml}, {"sql", PlanFormat::sql}},
      "toml, a file to edit and to give to --config, or sql, the DDL with comments\n[toml]")
      ->type_name("FORMAT");
  app.add_option("-o,--output", options.output, "Write to this file, which must not exist [standard output]")
      ->type_name("FILE");
  add_planning_options(app, options);
}

void add_inspect_options(CLI::App& app, InspectOptions& options) {
  add_source(app, options);
  app.add_flag("--json", options.json, "Print one JSON object with all that was found, not a summary");
  app.add_option_function<std::string>(
         "--threshold-size",
         [&options](const std::string& text) { options.threshold_bytes = parse_size(text); },
         "It is time to move when the file has this size [2GB]")
      ->type_name("SIZE");
  const auto add_count = [&app](const std::string& flag, std::uint64_t& count, const std::string& help) {
    app.add_option(flag, count, help)
        ->type_name("N")
        ->check(CLI::Range(std::uint64_t{1}, std::uint64_t{INT64_MAX}).description(""));
  };
  add_count("--threshold-rows", options.threshold_rows,
            "... or a table has so many rows: managed sites, say [1000]");
  app.add_option("--rows-table", options.rows_table, "The table whose rows count for it [the largest]")
      ->type_name("NAME");
  add_count("--threshold-daily-rows", options.threshold_daily_rows,
            "... or a table gets so many rows a day: an audit log, say. By the column that\n"
            "says when a row was made, over the last 30 days of its history [5000]");
  add_planning_options(app, options);
  // These need a target.
  for (const char* flag : {"--data-only", "--range-size"}) app.remove_option(app.get_option(flag));
}

[[noreturn]] void refuse_config(const std::string& file, const toml::source_region& where,
                                const std::string& why) {
  throw Error(Fault::usage, fmt::format("{}:{}: {}", file, where.begin.line, why),
              "keys are the long flags without dashes in front, such as jobs = 4");
}

// A TOML value as the words the flag would take on the command line.
std::vector<std::string> words_of(const std::string& file, const toml::node& node) {
  if (const auto* list = node.as_array()) {
    std::vector<std::string> words;
    for (const toml::node& element : *list) {
      for (std::string& word : words_of(file, element)) words.push_back(std::move(word));
    }
    return words;
  }
  if (const auto* text = node.as_string()) return {text->get()};
  if (const auto* number = node.as_integer()) return {std::to_string(number->get())};
  if (const auto* flag = node.as_boolean()) return {flag->get() ? "true" : "false"};
  refuse_config(file, node.source(), "expected a string, a number, true, false or a list of them");
}

std::string read_config(const std::string& file) {
  std::error_code error;
  std::string text;
  if (std::filesystem::is_regular_file(file, error)) {
    std::ifstream stream(file, std::ios::binary);
    text.assign(std::istreambuf_iterator<char>(stream), {});
    if (stream) return text;
  }
  throw Error(Fault::usage, "cannot read the configuration file " + file, "check the path of --config");
}

// What a configuration file can be for.
std::vector<std::string> config_keys(const CLI::App& program) {
  std::vector<std::string> keys = {"tables", "plan"};
  for (const CLI::App* command : program.get_subcommands([](const CLI::App*) { return true; })) {
    for (const CLI::Option* option : command->get_options()) {
      if (option->nonpositional()) keys.push_back(option->get_single_name());
    }
  }
  return keys;
}

// `app`: the command that was given. Keys that only other commands know are theirs: one file serves all.
// `mapping`: that of the command, null where it has none.
void apply_config(CLI::App& app, const CLI::App& program, const std::string& file, Mapping* mapping) {
  const std::string text = read_config(file);
  toml::table table;
  try {
    table = toml::parse(text);
  } catch (const toml::parse_error& error) {
    refuse_config(file, error.source(), std::string(error.description()));
  }
  for (const auto& [key, node] : table) {
    const std::string name(key.str());
    if (name == "tables" || name == "plan") continue;
    CLI::Option* option = app.get_option_no_throw("--" + name);
    const auto others = program.get_subcommands([&](const CLI::App* command) {
      return command != &app && command->get_option_no_throw("--" + name) != nullptr;
    });
    // A table is no value of any flag, whoever has it.
    if (option == nullptr && !others.empty() && !node.is_table()) continue;
    if (option == nullptr || name == "config" || name == "help") {
      const std::vector<std::string> known =
          node.is_table() ? std::vector<std::string>{"tables"} : config_keys(program);
      refuse_config(file, key.source(), fmt::format("unknown key {}{}", name, did_you_mean(name, known)));
    }
    if (option->count() > 0) continue;  // the command line or the environment said it already
    try {
      for (const std::string& word : words_of(file, node)) option->add_result(word);
      option->run_callback();
    } catch (const CLI::Error& error) {
      refuse_config(file, node.source(), error.what());
    } catch (const Error& error) {
      refuse_config(file, node.source(), error.what());
    }
  }
  if (mapping == nullptr) return;
  Mapping read = read_mapping(text, file);
  mapping->tables = std::move(read.tables);
  mapping->complete = read.complete;
  mapping->origin = std::move(read.origin);
}

// What was typed that nobody asked for. Positional arguments are not repeated: one may hold a password.
std::string describe_extras(const CLI::App& app) {
  for (const std::string& word : app.remaining(true)) {
    if (word.starts_with('-')) return "unknown flag " + word.substr(0, word.find('='));
  }
  return "too many arguments";
}

void take_environment(CLI::App& app) {
  for (CLI::Option* option : app.get_options()) {
    const std::string name = option->get_single_name();
    if (!option->nonpositional() || name == "help") continue;
    option->envname(environment_name(name));
  }
}

void check_planning_options(const PlanningOptions& options) {
  // The server would cut it in silence, perhaps to the name of another one.
  if (options.schema.size() > kNameBytesMax) {
    throw Error(Fault::usage,
                fmt::format("--schema has {} bytes, and a name of PostgreSQL at most {}",
                            options.schema.size(), kNameBytesMax),
                "choose a shorter one");
  }
  if (!options.schema.empty() && options.schema != "sluice") return;
  throw Error(Fault::usage, fmt::format("--schema cannot be '{}'", options.schema),
              "the schema sluice holds the ledger; choose another name");
}

void check_verify_options(const VerifyOptions& options) {
  if (options.repair_without_key && !options.repair) {
    throw Error(Fault::usage, "--repair-without-key says how to repair", "give it together with --repair");
  }
  // The range of the flag lets it pass, as would every comparison below.
  if (std::isnan(options.sample_percent)) {
    throw Error(Fault::usage, "--sample takes a number of percent, not nan", "--sample 5");
  }
  if (options.repair && options.sample_percent < 100) {
    throw Error(Fault::usage, "--sample leaves rows unread, and --repair would call the rest equal",
                "give one of them");
  }
  if (options.repair && options.verify == VerifyMode::count) {
    throw Error(Fault::usage, "--verify count finds no row to repair", "leave it out");
  }
  if (options.sample_percent < 100 && options.verify != VerifyMode::full) {
    throw Error(Fault::usage, "--sample chooses what is read back, and --verify reads nothing back",
                "leave one of them out");
  }
}

void add_offload_options(CLI::App& app, OffloadOptions& options) {
  add_target(app, options.target, "The PostgreSQL database, or local:DIR")->required();
  app.add_option("--table", options.table, "The table, as PostgreSQL has its name")
      ->type_name("NAME")
      ->required();
  app.add_option("--column", options.column, "The column with the files")->type_name("NAME")->required();
  app.add_option("--store", options.store,
                 "Where files go: file:///FOLDER, or s3://BUCKET/PREFIX of any S3 (AWS_ENDPOINT_URL,\n"
                 "AWS_REGION, AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY, ~/.aws/credentials)")
      ->type_name("URI")
      ->required();
  app.add_option("--schema", options.schema, "The table's schema [public]")->type_name("NAME");
  app.add_option("--path", options.references.path,
                 "Column for the name of the file in the store, added where missing [filePath]")
      ->type_name("NAME");
  app.add_option("--storage-type", options.references.storage_type,
                 "Column for the kind of the store, file or s3 [storageType]")
      ->type_name("NAME");
  const auto add_name = [&](const char* flag, std::optional<std::string>& name, const char* help) {
    app.add_option_function<std::string>(
           flag, [&name](const std::string& text) { name = text; }, help)
        ->type_name("NAME");
  };
  add_name("--size", options.references.size, "Column for the size of the file in bytes [none]");
  add_name("--sha256", options.references.sha256, "Column for its SHA-256 in hex [none]");
  add_name("--media-type", options.references.media_type, "Column for the media type of a data: URI [none]");
  add_choice<OffloadedColumn>(app, "--after", options.afterwards,
                              {{"null", OffloadedColumn::null}, {"keep", OffloadedColumn::keep}},
                              "What becomes of the text of a file that was moved [null]")
      ->type_name("null|keep");
  app.add_flag("--data-uri", options.text.data_uri, "Values may begin with data:TYPE;base64,");
  app.add_flag("--line-breaks", options.text.line_breaks, "Values may have line breaks");
  app.add_flag("--url-alphabet", options.text.url_alphabet, "Values may have - and _ for + and /");
  app.add_flag("--missing-padding", options.text.missing_padding, "Values may lack their = at the end");
  app.add_flag("--compress", options.compress, "zstd for media types that it makes smaller");
  app.add_flag("--drop-column", options.drop_column,
               "When every file is moved and was read back, drop the column");
  app.add_flag("--dry-run", options.dry_run, "Look at every value, say what there is to do, and do nothing");
  app.add_flag_callback(
      "--verify", [&options] { options.action = OffloadAction::verify; },
      "Move nothing; read every file that rows refer to, and compare size and SHA-256");
  app.add_flag_callback(
      "--gc", [&options] { options.action = OffloadAction::collect_garbage; },
      "Move nothing; list files of the store that no row of this database refers to");
  app.add_flag("--delete", options.remove, "With --gc: remove them");
  add_duration(app, "--older-than", options.older_than,
               "With --gc: leave alone what is younger, since its row may be on its way [24h]");
  options.jobs = default_jobs();
  app.add_option("-j,--jobs", options.jobs,
                 fmt::format("Files that are moved or read at the same time [{}]", options.jobs))
      ->type_name("N")
      ->check(CLI::Range(std::size_t{1}, kJobsMax).description(""));
  app.add_option_function<std::string>(
         "--max-rate", [&options](const std::string& text) { options.max_rate = parse_size(text); },
         "Bytes of files per second at most, such as 20MB [no limit]")
      ->type_name("SIZE");
  add_duration(app, "--retry-for", options.retry_for,
               "Try again for so long what a server or a store refuses for the moment [5min]");
  add_duration(app, "--grace", options.grace,
               "How long a stopped run may take to finish what is under way [20s]");
  add_progress(app, options.progress,
               "Live line on a terminal, a plain line every ten seconds elsewhere, or none [auto]");
  add_log_format(app, options);
}

void check_offload_options(const OffloadOptions& options) {
  std::set<std::string> names;
  const std::vector<std::optional<std::string>> all = {
      options.column,          options.references.path,   options.references.storage_type,
      options.references.size, options.references.sha256, options.references.media_type};
  for (const std::optional<std::string>& name : all) {
    if (!name || names.insert(*name).second) continue;
    throw Error(Fault::usage, "column " + *name + " is named twice, and can hold one thing",
                "give --column, --path, --storage-type and the others a column each");
  }
  if (options.remove && options.action != OffloadAction::collect_garbage) {
    throw Error(Fault::usage, "--delete is for files that nobody refers to", "give it together with --gc");
  }
  if (options.action != OffloadAction::move && (options.drop_column || options.dry_run)) {
    throw Error(Fault::usage, "--verify and --gc move nothing, so there is nothing to drop or to try",
                "give --drop-column and --dry-run without them");
  }
  if (options.drop_column && options.afterwards == OffloadedColumn::keep) {
    throw Error(Fault::usage, "--after keep leaves the files in the column that --drop-column would drop",
                "give one of them");
  }
}

std::string version_text() { return fmt::format("sluice {}\n", kVersion); }

// CLI11 prints the environment variables beside every flag; one sentence says the same.
class HelpFormatter : public CLI::Formatter {
 public:
  std::string make_option_opts(const CLI::Option* option) const override {
    if (option->get_type_size() == 0 || !option->nonpositional()) return {};
    return " " + option->get_type_name();
  }
  std::string make_usage(const CLI::App* app, std::string name) const override {
    if (app->get_name() == "migrate") return "Usage: sluice migrate SOURCE [TARGET] [OPTIONS]\n";
    if (app->get_name() == "inspect") return "Usage: sluice inspect SOURCE [OPTIONS]\n";
    if (app->get_name() == "plan") return "Usage: sluice plan SOURCE [TARGET] [OPTIONS]\n";
    if (app->get_name() == "verify") return "Usage: sluice verify SOURCE TARGET [OPTIONS]\n";
    if (app->get_name() == "offload") {
      return "Usage: sluice offload TARGET --table NAME --column NAME --store URI [OPTIONS]\n";
    }
    if (app->get_name() == "export") return "Usage: sluice export SOURCE ARCHIVE [OPTIONS]\n";
    if (app->get_name() == "restore") return "Usage: sluice restore ARCHIVE TARGET [OPTIONS]\n";
    if (app->get_name() == "status") return "Usage: sluice status TARGET [OPTIONS]\n";
    static_cast<void>(name);
    return "Usage: sluice COMMAND [OPTIONS]\n";
  }
};

}  // namespace

std::uint64_t parse_size(const std::string& text) {
  std::uint64_t number = 0;
  const auto [end, status] = std::from_chars(text.data(), text.data() + text.size(), number);
  std::string unit;
  for (const char* at = end; at != text.data() + text.size(); ++at) {
    if (*at != ' ') unit += static_cast<char>(std::tolower(static_cast<unsigned char>(*at)));
  }
  constexpr std::array<std::pair<std::string_view, std::uint64_t>, 14> kUnits = {{{"", 1},
                                                                                  {"b", 1},
                                                                                  {"k", 1024},
                                                                                  {"kb", 1000},
                                                                                  {"kib", 1024},
                                                                                  {"m", 1048576},
                                                                                  {"mb", 1000000},
                                                                                  {"mib", 1048576},
                                                                                  {"g", 1073741824},
                                                                                  {"gb", 1000000000},
                                                                                  {"gib", 1073741824},
                                                                                  {"t", 1099511627776},
                                                                                  {"tb", 1000000000000},
                                                                                  {"tib", 1099511627776}}};
  const auto* found =
      std::find_if(kUnits.begin(), kUnits.end(), [&](const auto& row) { return row.first == unit; });
  if (status != std::errc{} || number == 0 || found == kUnits.end() || number > UINT64_MAX / found->second) {
    throw Error(Fault::usage, "not a size: " + text, "write it like 32MB, 64MiB or 5000000");
  }
  return number * found->second;
}

std::chrono::milliseconds parse_duration(const std::string& text) {
  double number = 0;
  const auto [end, status] = std::from_chars(text.data(), text.data() + text.size(), number);
  std::string unit(end, text.data() + text.size());
  std::erase(unit, ' ');
  constexpr std::array<std::pair<std::string_view, double>, 5> kUnits = {
      {{"ms", 1}, {"s", 1'000}, {"min", 60'000}, {"h", 3'600'000}, {"d", 86'400'000}}};
  const auto* found =
      std::find_if(kUnits.begin(), kUnits.end(), [&](const auto& row) { return row.first == unit; });
  constexpr double kLongest = 365 * 86'400'000.0;
  const bool zero = status == std::errc{} && number == 0 && unit.empty();
  if (!zero && (status != std::errc{} || found == kUnits.end() || !(number >= 0) ||
                number * found->second > kLongest)) {
    throw Error(Fault::usage, "not a duration: " + text, "write it like 30s, 5min or 1.5h");
  }
  return std::chrono::milliseconds(zero ? 0 : static_cast<std::int64_t>(number * found->second));
}

LogFormat early_log_format(int argc, const char* const* argv) {
  std::string_view word;
  if (const char* variable = std::getenv(environment_name("log-format").c_str())) word = variable;
  constexpr std::string_view kFlag = "--log-format";
  for (int i = 1; i < argc; ++i) {
    const std::string_view given = argv[i];
    if (given == kFlag && i + 1 < argc) word = argv[i + 1];
    if (given.starts_with(kFlag) && given.substr(kFlag.size()).starts_with('=')) {
      word = given.substr(kFlag.size() + 1);
    }
  }
  const LogFormat* format = value_of<LogFormat>(kLogFormatWords, word);
  return format == nullptr ? LogFormat::text : *format;
}

Command parse_command_line(int argc, const char* const* argv) {
  CLI::App app("sluice moves a SQLite database into PostgreSQL, and proves that every row arrived.",
               "sluice");
  app.formatter(std::make_shared<HelpFormatter>());
  app.require_subcommand(1);
  bool want_version = false;
  app.add_flag("--version", want_version, "Print the version");
  const std::string environment =
      "Every flag is also an environment variable (SLUICE_JOBS for --jobs) and a key of the file that\n"
      "--config names. libpq's own environment (PGPASSFILE, PGSERVICE, PGSSLMODE ...) holds.";
  app.footer(environment);

  MigrateOptions migrate;
  CLI::App* migrate_command =
      app.add_subcommand("migrate", "Move a SQLite file: schema, rows, indexes, keys, verification, report");
  add_migrate_options(*migrate_command, migrate);
  migrate_command->footer(
      environment +
      "\n\n"
      "Exit status: 0 done and verified, 2 usage, 3 rows were rejected, 4 verification found differences,\n"
      "5 interrupted (the same command goes on), 10 source unreadable, 11 source changed, 20 target\n"
      "refused, 21 target unavailable, 40 a file store failed, 70 a bug.");

  InspectOptions inspect;
  CLI::App* inspect_command = app.add_subcommand(
      "inspect", "Show what a file holds, what will surprise, and whether it is time to move");
  add_inspect_options(*inspect_command, inspect);
  inspect_command->footer(
      environment +
      "\n\n"
      "Reads every value and changes nothing; needs no server. A threshold is crossed, near (70 % of it) or\n"
      "far. Size and time in PostgreSQL are estimates: the profile, and loads measured on two cores shared\n"
      "with the server. Your machine, its disk and compression decide.\n\n"
      "Exit status: 0 also when there are surprises, 2 usage, 5 interrupted, 10 source unreadable, 70 a "
      "bug.");
  PlanFileOptions plan;
  CLI::App* plan_command =
      app.add_subcommand("plan", "Write what migrate would do as a file to read, to edit and to follow");
  add_plan_options(*plan_command, plan);
  plan_command->footer(
      "Changes nothing. Edit the file and run sluice migrate SOURCE TARGET --config FILE. Values that no\n"
      "type can hold are listed on stderr; the plan is written all the same, and the exit status is 2.\n\n" +
      environment);

  VerifyOptions verify;
  CLI::App* verify_command =
      app.add_subcommand("verify", "Compare source and target row by row, name what differs, and repair it");
  add_verify_options(*verify_command, verify);
  verify_command->footer(
      "After a migrate the ledger has the digests of what was loaded, and only the target is read. Without\n"
      "one, or with --scan, both sides are read. Rows that differ are named by key: missing, mismatch (with\n"
      "the columns) or extraneous.\n\n" +
      environment +
      "\n\n"
      "Exit status: 0 equal (or equal again after --repair), 2 usage, 4 there are differences, 5 "
      "interrupted,\n"
      "10 source unreadable, 11 not the source that was migrated, 20 target refused, 21 target unavailable,\n"
      "70 a bug.");

  OffloadOptions offload;
  CLI::App* offload_command =
      app.add_subcommand("offload", "Move Base64 files out of a column of PostgreSQL into a folder or S3");
  add_offload_options(*offload_command, offload);
  offload_command->footer(
      "Readers go on meanwhile: a row has its content or its path at any time. Interrupted, the same command "
      "goes\n"
      "on. Values that are no Base64 stay as they are and are listed. Equal files are stored once.\n\n" +
      environment +
      "\n\n"
      "Exit status: 0 done, 2 usage, 4 a file is missing or damaged, 5 interrupted (the same command goes "
      "on),\n"
      "20 target refused, 21 target unavailable, 40 the store failed, 70 a bug.");
  ExportOptions export_options;
  CLI::App* export_command = app.add_subcommand(
      "export", "Write a file as a compressed archive, with its plan and digests; needs no server");
  add_export_options(*export_command, export_options);
  export_command->footer(
      "The archive is for sluice restore, and its files are for everybody: zstd, inside of it PostgreSQL's "
      "binary\n"
      "COPY, and schema.sql. It is complete when it has a manifest.json, which is written last. The same "
      "command\n"
      "goes on where an export was interrupted.\n\n" +
      environment +
      "\n\n"
      "Exit status: 0 done, 2 usage, or the archive cannot be written, 3 rows were rejected, 5 interrupted "
      "(the\n"
      "same command goes on), 10 source unreadable, 11 source changed, 40 a file store failed, 70 a bug.");

  RestoreOptions restore;
  CLI::App* restore_command =
      app.add_subcommand("restore", "Load an archive: schema, rows, indexes, keys, verification, report");
  add_restore_options(*restore_command, restore);
  restore_command->footer(
      "Every file is checked while it is read, and each range before it is committed. What is loaded, how, "
      "and\n"
      "into which schema was decided when the archive was written. Its SQL is run as you: restore only what "
      "you\n"
      "trust.\n\n" +
      environment +
      "\n\n"
      "Exit status: 0 done and verified, 2 usage, 3 rows had been rejected, 4 verification found "
      "differences,\n"
      "5 interrupted (the same command goes on), 10 archive damaged, 20 target refused, 21 target "
      "unavailable,\n"
      "70 a bug.");

  StatusOptions status;
  CLI::App* status_command =
      app.add_subcommand("status", "Show runs, who works on them, ranges, rates and failures");
  add_target(*status_command, status.target, "The PostgreSQL database, or local:DIR")->required();
  status_command->add_flag("--json", status.json, "Print one JSON object instead of lines");
  add_log_format(*status_command, status);
  status_command->footer(
      "Works beside a run, from any terminal: what is done, who is at it, how fast, and what is left. The "
      "role\n"
      "needs USAGE on schema sluice and SELECT on its tables; pg_read_all_stats shows more of other "
      "roles.\n\n" +
      environment);

  std::string config_file;
  for (CLI::App* command : {migrate_command, inspect_command, plan_command, verify_command, export_command,
                            restore_command, offload_command, status_command}) {
    command
        ->add_option("--config", config_file,
                     "A TOML file whose keys are these flags, or that sluice plan wrote")
        ->type_name("FILE");
    // The environment speaks to the command that was given: another one may take fewer words for the same
    // flag.
    if (argc > 1 && command->get_name() == argv[1]) take_environment(*command);
  }
  // Of other commands SLUICE_VERIFY says how; here it would be another action.
  offload_command->get_option("--verify")->envname("");

  try {
    if (argc <= 1) return PrintAndExit{app.help()};
    for (int i = 1; i < argc; ++i) {
      if (std::string_view(argv[i]) == "--version") return PrintAndExit{version_text()};
    }
    const std::string first = argv[1];
    const auto known =
        app.get_subcommands([&](const CLI::App* command) { return command->get_name() == first; });
    if (!first.starts_with('-') && known.empty()) {
      // Somebody may have forgotten the command and put the target, with a password in it, here.
      const bool is_word = std::all_of(first.begin(), first.end(), [](char c) {
        return std::isalnum(static_cast<unsigned char>(c)) != 0 || c == '-' || c == '_';
      });
      throw Error(Fault::usage, is_word ? "unknown command " + first : "the command is missing",
                  "see sluice --help");
    }
    app.parse(argc, argv);
    CLI::App* command = app.get_subcommands().front();
    const std::map<const CLI::App*, Mapping*> mappings = {{migrate_command, &migrate.mapping},
                                                          {inspect_command, &inspect.mapping},
                                                          {plan_command, &plan.mapping},
                                                          {export_command, &export_options.mapping},
                                                          {verify_command, &verify.mapping}};
    if (!config_file.empty()) {
      const auto mapping = mappings.find(command);
      apply_config(*command, app, config_file, mapping == mappings.end() ? nullptr : mapping->second);
    }
  } catch (const CLI::CallForHelp&) {
    const auto chosen = app.get_subcommands();
    return PrintAndExit{chosen.empty() ? app.help() : chosen.front()->help()};
  } catch (const CLI::Error& error) {
    const auto chosen = app.get_subcommands();
    const bool extras = dynamic_cast<const CLI::ExtrasError*>(&error) != nullptr;
    throw Error(
        Fault::usage, extras ? describe_extras(app) : error.what(),
        chosen.empty() ? "see sluice --help" : "see sluice " + chosen.front()->get_name() + " --help");
  }
  if (status_command->parsed()) return status;
  if (offload_command->parsed()) {
    check_offload_options(offload);
    return offload;
  }
  if (verify_command->parsed()) {
    check_planning_options(verify);
    check_verify_options(verify);
    return within_memory(std::move(verify));
  }
  if (inspect_command->parsed()) {
    check_planning_options(inspect);
    return within_memory(std::move(inspect));
  }
  if (plan_command->parsed()) {
    check_planning_options(plan);
    return within_memory(std::move(plan));
  }
  if (export_command->parsed()) {
    check_planning_options(export_options);
    return within_memory(std::move(export_options), bytes_of_lane_at_level(export_options.level));
  }
  if (restore_command->parsed()) {
    restore.jobs_wanted = restore.jobs;
    if (restore.schema_only) restore.verify = VerifyMode::none;
    return restore;
  }
  check_planning_options(migrate);
  if (migrate.rebuild && !migrate.data_only) {
    throw Error(Fault::usage, "--rebuild is for tables that exist", "give it together with --data-only");
  }
  if (!migrate.snapshot_file.empty() && migrate.snapshot != SnapshotMode::copy) {
    throw Error(Fault::usage, "--snapshot-file names the copy of the source",
                "give it together with --snapshot copy");
  }
  if (migrate.schema_only) migrate.verify = VerifyMode::none;  // there are no rows to be sure of
  if (migrate.data_only && migrate.schema_only) {
    throw Error(Fault::usage, "--data-only and --schema-only leave nothing to do", "give one of them");
  }
  if (migrate.data_only && migrate.table_handling == ExistingTables::drop) {
    throw Error(Fault::usage, "--data-only loads into tables that --table-handling drop would remove",
                "empty them with --table-handling truncate");
  }
  return within_memory(std::move(migrate));
}

}  // namespace sluice
