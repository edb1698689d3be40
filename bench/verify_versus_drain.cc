// `sluice verify` against a drain of the same rows that looks at nothing, and a repair of few rows against a
// verification that finds none: the same server, the same number of connections, in one run. README.md says
// how to read it.

#include <fmt/format.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <filesystem>
#include <functional>
#include <iostream>
#include <map>
#include <nlohmann/json.hpp>
#include <optional>
#include <stdexcept>
#include <string>
#include <utility>
#include <vector>

#include "bench/drain.h"
#include "bench/figures.h"
#include "bench/workbench.h"
#include "datasets/dataset.h"
#include "engine/model/quote.h"
#include "tests/support/query.h"
#include "tests/support/test_server.h"

namespace sluice::bench {
namespace {

namespace fs = std::filesystem;
using Json = nlohmann::ordered_json;
using testing::TestServer;

struct Options {
  std::uint64_t rows = 2'200'000;
  std::string directory;  // empty: a temporary one
  std::vector<std::size_t> connections = {2};
  std::size_t repetitions = 5;
  std::string json;
  double full_max = 1.3;
  double server_max = 0.6;
  double repair_max = 2;
  double memory_max_mb = 150;
};

// A file and the database that it was migrated into.
struct Migrated {
  fs::path source;
  std::string target;
  std::vector<std::string> tables;  // largest first
  std::int64_t rows = 0;
};

// A table in which rows are changed and repaired.
struct Damaged {
  const Migrated* where = nullptr;
  std::string table;
  std::string key;
  std::string column;   // an integer or a number that changes
  std::string new_key;  // an expression over `key` that no row has
};

constexpr std::size_t kUpdated = 5;
constexpr std::size_t kDeleted = 3;
constexpr std::size_t kInserted = 2;

// Either side of a pair. The server's CPU time is in steps of 10 ms.
struct Measured {
  double seconds = 0;
  double cpu_seconds = 0;  // ours and the server's
  double peak_memory_mb = 0;
};

struct Series {
  std::string name;
  std::size_t connections = 0;
  std::optional<double> bound;
  std::vector<double> floor;
  std::vector<double> floor_cpu;
  std::vector<double> run;
  std::vector<double> run_cpu;
  std::vector<double> ratios;  // of the two that stood side by side
  std::vector<double> cpu_ratios;
  double peak_memory_mb = 0;  // of all runs of sluice
};

class Bench {
 public:
  Bench(const Options& options, const WorkFolder& folder)
      : options_(options), folder_(folder), server_({.settings = kServerSettings}) {}

  // True when every run was within the bounds. Throws when one did not end as it must: then nothing that
  // would follow is worth measuring.
  bool run() {
    prepare();
    for (std::size_t repetition = 0; repetition < options_.repetitions; ++repetition) {
      for (const std::size_t connections : options_.connections) measure(repetition, connections);
    }
    conclude();
    return bounds_.held();
  }

 private:
  void prepare() {
    const fs::path three_tables = folder_.dataset("three_tables", options_.rows);
    as_declared_ = migrate("as_declared", three_tables, {});
    json_as_text_ = migrate("json_as_text", three_tables, {"--json-type", "text"});
    std::int64_t orders = 0;
    for (const datasets::TableRows& table : datasets::count_rows(three_tables)) {
      if (table.table == "orders") orders = table.rows;
    }
    // Half of its rows are sessions.
    const fs::path text_keys = folder_.dataset("text_keys", 2 * static_cast<std::uint64_t>(orders));
    text_keys_ = migrate("text_keys", text_keys, {"--include", "sessions"});

    print(fmt::format("PostgreSQL {}, Unix socket, {}\n",
                      testing::query_value(server_.conninfo(), "SHOW server_version"),
                      server_settings_text()));
    // Whatever is read for the first time is read here.
    const Drained drained = drain(as_declared_.target, as_declared_.tables, options_.connections.front());
    for (const Migrated* migrated : {&json_as_text_, &text_keys_}) {
      drain(migrated->target, migrated->tables, options_.connections.front());
    }
    print(fmt::format(
        "{} rows, {:.0f} MB file, {:.0f} MB COPY payload in {} tasks; repairs in {} orders and {} sessions; "
        "load average {:.1f}\n\n",
        as_declared_.rows, megabytes(fs::file_size(three_tables)), megabytes(drained.bytes), drained.tasks,
        orders, text_keys_.rows, load_average()));
    json_["rows"] = as_declared_.rows;
    json_["payload_bytes"] = drained.bytes;
    json_["tasks"] = drained.tasks;
    json_["settings"] = Json::object();
    for (const auto& [name, value] : kServerSettings) json_["settings"][name] = value;
    json_["load_average_before"] = load_average();
    show_levels();
  }

  Migrated migrate(const std::string& database, const fs::path& source,
                   const std::vector<std::string>& wishes) {
    Migrated migrated{source, server_.create_database(database), {}, 0};
    std::vector<std::string> arguments = {
        "migrate",  source.string(), migrated.target,
        "--verify", "server",        "--progress",
        "none",     "--jobs",        std::to_string(options_.connections.front())};
    arguments.insert(arguments.end(), wishes.begin(), wishes.end());
    const SluiceRun run = run_sluice(std::move(arguments));
    if (!run.failure.empty()) throw std::runtime_error("migrate into " + database + ": " + run.failure);
    for (const testing::QueryRow& row :
         testing::query(migrated.target,
                        "SELECT relname FROM pg_class WHERE relkind = 'r' AND relnamespace = "
                        "'public'::regnamespace ORDER BY pg_relation_size(oid) DESC")) {
      migrated.tables.push_back(row.at(0).value());
      migrated.rows += std::stoll(testing::query_value(
          migrated.target, "SELECT count(*) FROM " + quote_identifier(migrated.tables.back())));
    }
    return migrated;
  }

  // What --verify server makes of the tables as they are declared: the server's hash of jsonb is beyond us.
  void show_levels() {
    const Json report = verify(as_declared_, options_.connections.front(), {"--verify", "server"}).report;
    for (const Json& table : report.at("tables")) {
      print(fmt::format("--verify server of {}: {} {}\n", table.at("source").get<std::string>(),
                        table.at("level").get<std::string>(), table.value("note", "")));
      json_["levels"][table.at("source").get<std::string>()] = table.at("level");
    }
    print("\n");
  }

  // ---- the measurements ----

  void measure(std::size_t repetition, std::size_t connections) {
    const std::vector<std::string> orders = {"orders"};
    const auto drained = [&](const Migrated& what, const std::vector<std::string>& tables) {
      return [&, connections] { return measure_drain(what, tables, connections); };
    };
    const auto verified = [&](const Migrated& what, std::vector<std::string> wishes) {
      return [&, wishes, connections] { return verify(what, connections, wishes).measured; };
    };
    pair({"verify / drain", options_.full_max}, repetition, connections,
         drained(as_declared_, as_declared_.tables), verified(as_declared_, {}));
    pair({"verify --verify server / drain, JSON as text", options_.server_max}, repetition, connections,
         drained(json_as_text_, json_as_text_.tables), verified(json_as_text_, {"--verify", "server"}));
    pair({"verify --verify server / drain, orders alone", options_.server_max}, repetition, connections,
         drained(as_declared_, orders), verified(as_declared_, {"--verify", "server", "--tables", "orders"}));
    pair({"repair / verify, orders", options_.repair_max}, repetition, connections,
         verified(as_declared_, {"--tables", "orders"}), [&] {
           return measure_repair({&as_declared_, "orders", "id", "quantity", "id + 100000000"}, connections);
         });
    pair({"repair / verify, sessions (text keys)", std::nullopt}, repetition, connections,
         verified(text_keys_, {"--tables", "sessions"}), [&] {
           return measure_repair({&text_keys_, "sessions", "token", "account", "token || ' again'"},
                                 connections);
         });
  }

  void pair(const std::pair<std::string, std::optional<double>>& what, std::size_t repetition,
            std::size_t connections, const std::function<Measured()>& floor,
            const std::function<Measured()>& run) {
    Series& series = series_of(what.first, connections);
    series.bound = what.second;
    // Turns about, so that neither side always comes second.
    Measured of_floor;
    if (repetition % 2 == 0) of_floor = floor();
    const Measured of_run = run();
    if (repetition % 2 == 1) of_floor = floor();
    series.floor.push_back(of_floor.seconds);
    series.floor_cpu.push_back(of_floor.cpu_seconds);
    series.run.push_back(of_run.seconds);
    series.run_cpu.push_back(of_run.cpu_seconds);
    series.ratios.push_back(of_run.seconds / of_floor.seconds);
    series.cpu_ratios.push_back(of_run.cpu_seconds / of_floor.cpu_seconds);
    series.peak_memory_mb = std::max({series.peak_memory_mb, of_run.peak_memory_mb, of_floor.peak_memory_mb});
    print(fmt::format("run {}, {} connections, {}: {:.2f} s / {:.2f} s, ratio {:.2f}\n", repetition + 1,
                      connections, what.first, of_run.seconds, of_floor.seconds, series.ratios.back()));
  }

  Series& series_of(const std::string& name, std::size_t connections) {
    for (Series& series : series_) {
      if (series.name == name && series.connections == connections) return series;
    }
    Series& series = series_.emplace_back();
    series.name = name;
    series.connections = connections;
    return series;
  }

  // Nobody pays for the pages that another one left dirty.
  void settle() {
    check_stop();
    testing::execute(server_.conninfo(), "CHECKPOINT");
  }

  Measured measure_drain(const Migrated& what, const std::vector<std::string>& tables,
                         std::size_t connections) {
    settle();
    const double server_before = cpu_of_server(server_.pid());
    const Drained drained = drain(what.target, tables, connections);
    const double server = cpu_of_server(server_.pid()) - server_before;
    if (tables.size() == what.tables.size() && static_cast<std::int64_t>(drained.rows) != what.rows) {
      throw std::runtime_error(fmt::format("the drain saw {} rows of {}", drained.rows, what.rows));
    }
    return {drained.time.seconds, drained.time.cpu_seconds + server, 0};
  }

  struct Verified {
    Measured measured;
    Json report;
  };

  // The whole program, by the ledger. It must end with 0: nothing differs, or not any more.
  Verified verify(const Migrated& what, std::size_t connections, const std::vector<std::string>& wishes) {
    settle();
    std::vector<std::string> arguments = {
        "verify", what.source.string(),       what.target, "--json", "--progress", "none",
        "--jobs", std::to_string(connections)};
    arguments.insert(arguments.end(), wishes.begin(), wishes.end());
    const double server_before = cpu_of_server(server_.pid());
    const SluiceRun run = run_sluice(std::move(arguments));
    const double server = cpu_of_server(server_.pid()) - server_before;
    if (!run.failure.empty()) throw std::runtime_error("verify: " + run.failure + run.out);
    Verified verified;
    verified.report = Json::parse(run.out);
    if (verified.report.at("basis") != "ledger") throw std::runtime_error("verify has read the source");
    const double peak = megabytes(verified.report.at("peak_memory_bytes").get<std::uint64_t>());
    verified.measured = {run.seconds, run.cpu_seconds + server, peak};
    return verified;
  }

  Measured measure_repair(const Damaged& damaged, std::size_t connections) {
    damage(damaged);
    const std::vector<std::string> only = {"--tables", damaged.table};
    std::vector<std::string> wishes = only;
    wishes.emplace_back("--repair");
    const Verified repaired = verify(*damaged.where, connections, wishes);
    const Json& table = repaired.report.at("tables").at(0);
    const auto expect = [&](const char* name, const Json& found, std::size_t expected) {
      if (found != expected) {
        throw std::runtime_error(
            fmt::format("repair of {}: {} {}, expected {}", damaged.table, name, found.dump(), expected));
      }
    };
    expect("mismatch", table.at("mismatch"), kUpdated);
    expect("missing", table.at("missing"), kDeleted);
    expect("extraneous", table.at("extraneous"), kInserted);
    expect("rows_deleted", repaired.report.at("repair").at("rows_deleted"), kUpdated + kInserted);
    expect("rows_inserted", repaired.report.at("repair").at("rows_inserted"), kUpdated + kDeleted);
    if (verify(*damaged.where, connections, only).report.at("status") != "equal") {
      throw std::runtime_error("table " + damaged.table + " is not equal after its repair");
    }
    return repaired.measured;
  }

  // Changes rows at random, other ones each time and the same ones in every run of the benchmark.
  void damage(const Damaged& damaged) {
    const std::string table = quote_identifier(damaged.table);
    const auto chosen = [](std::size_t first, std::size_t count) {
      return fmt::format("(SELECT key FROM chosen WHERE number > {} AND number <= {})", first, first + count);
    };
    testing::execute(
        damaged.where->target,
        fmt::format(
            "SET LOCAL session_replication_role = replica;"
            "SELECT setseed({0});"
            "CREATE TEMPORARY TABLE chosen ON COMMIT DROP AS SELECT key, row_number() OVER () AS number"
            "  FROM (SELECT {2} AS key FROM {1} ORDER BY random() LIMIT {4}) rows;"
            "CREATE TEMPORARY TABLE added ON COMMIT DROP AS SELECT * FROM {1} WHERE {2} IN {5};"
            "UPDATE added SET {2} = {8};"
            "INSERT INTO {1} SELECT * FROM added;"
            "UPDATE {1} SET {3} = {3} + 1 WHERE {2} IN {6};"
            "DELETE FROM {1} WHERE {2} IN {7};",
            1e-6 * static_cast<double>(++damages_), table, damaged.key, damaged.column,
            kUpdated + kDeleted + kInserted, chosen(0, kInserted), chosen(kInserted, kUpdated),
            chosen(kInserted + kUpdated, kDeleted), damaged.new_key));
  }

  // ---- results ----

  void conclude() {
    json_["series"] = Json::array();
    constexpr const char* kHead = "{:<45}{:>2}  {:>14}  {:>14}  {:>7}  {:>8}  {:>7}  {:>14}  {:>7}\n";
    print("\n" + fmt::format(kHead, "", "N", "floor s", "run s", "ratio", "pairwise", "CPU", "CPU seconds",
                             "peak MB"));
    print(fmt::format(kHead, "", "", "min    median", "min    median", "medians", "median", "ratio",
                      "floor      run", ""));
    std::vector<std::string> verdicts;
    double memory_peak_mb = 0;
    for (const Series& series : series_) {
      const double pairwise = median(series.ratios);
      const double ratio = median(series.run) / median(series.floor);
      const double cpu_ratio = median(series.cpu_ratios);
      memory_peak_mb = std::max(memory_peak_mb, series.peak_memory_mb);
      print(
          fmt::format("{:<45}{:>2}  {:>6.2f}  {:>6.2f}  {:>6.2f}  {:>6.2f}  {:>7.2f}  {:>8.2f}  {:>7.2f}  "
                      "{:>6.2f}  {:>6.2f}"
                      "  {:>7.1f}\n",
                      series.name, series.connections, minimum(series.floor), median(series.floor),
                      minimum(series.run), median(series.run), ratio, pairwise, cpu_ratio,
                      median(series.floor_cpu), median(series.run_cpu), series.peak_memory_mb));
      json_["series"].push_back({{"name", series.name},
                                 {"connections", series.connections},
                                 {"floor_seconds", series.floor},
                                 {"floor_cpu_seconds", series.floor_cpu},
                                 {"run_seconds", series.run},
                                 {"run_cpu_seconds", series.run_cpu},
                                 {"ratio_of_medians", ratio},
                                 {"pairwise_ratios", series.ratios},
                                 {"median_pairwise_ratio", pairwise},
                                 {"cpu_ratio", cpu_ratio},
                                 {"peak_memory_mb", series.peak_memory_mb}});
      if (!series.bound) continue;
      verdicts.push_back(bounds_.judge(fmt::format("{}, {} connections", series.name, series.connections),
                                       pairwise, *series.bound));
    }
    verdicts.push_back(bounds_.judge("peak memory, MB", memory_peak_mb, options_.memory_max_mb));
    print("\n");
    for (const std::string& line : verdicts) print(line);
    print(fmt::format("load average at the end {:.1f}\n", load_average()));
    json_["load_average_after"] = load_average();
    json_["memory_peak_mb"] = memory_peak_mb;
    json_["good"] = bounds_.held();
    if (!options_.json.empty()) write_figures(options_.json, json_);
  }

  const Options& options_;
  const WorkFolder& folder_;
  TestServer server_;
  Migrated as_declared_;   // three_tables
  Migrated json_as_text_;  // the same, where every type has a hash that we can compute
  Migrated text_keys_;
  std::size_t damages_ = 0;
  std::vector<Series> series_;
  Bounds bounds_;
  Json json_;
};

int run(int argc, char** argv) {
  Options options;
  CLI::App app("Measures sluice verify against a drain of the same rows, and repairs against verifications");
  app.add_option("--rows", options.rows, "Rows of the three_tables data set")->capture_default_str();
  app.add_option(
      "--directory", options.directory,
      "Work folder, kept with its data sets; the server's user must be able to enter it [a temporary one]");
  app.add_option("--connections", options.connections, "Numbers of connections, such as 1,2,4")
      ->delimiter(',')
      ->check(CLI::Range(1, 64))
      ->capture_default_str();
  app.add_option("--repetitions", options.repetitions, "Pairs of runs for each number of connections")
      ->check(CLI::Range(1, 1000))
      ->capture_default_str();
  app.add_option("--json", options.json, "Write all figures to this file");
  app.add_option("--full-max", options.full_max, "Bound on verify over drain")->capture_default_str();
  app.add_option("--server-max", options.server_max, "Bound on verify --verify server over drain")
      ->capture_default_str();
  app.add_option("--repair-max", options.repair_max, "Bound on repair over verify")->capture_default_str();
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
    std::cerr << "verify_versus_drain: " << error.what() << "\n";
    return 1;
  }
}
