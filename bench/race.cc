// sluice and the tools that people use today over the same course, beside the floors that nobody can get
// under: the same file, the same server, in one run. README.md says how to read it.

#include <fmt/format.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <filesystem>
#include <fstream>
#include <functional>
#include <iostream>
#include <map>
#include <nlohmann/json.hpp>
#include <optional>
#include <stdexcept>
#include <string>
#include <vector>

#include "bench/bare_scan.h"
#include "bench/chart.h"
#include "bench/drain.h"
#include "bench/figures.h"
#include "bench/insert_batches.h"
#include "bench/recorded_streams.h"
#include "bench/workbench.h"
#include "datasets/dataset.h"
#include "engine/model/quote.h"
#include "tests/support/command.h"
#include "tests/support/query.h"
#include "tests/support/temporary_directory.h"
#include "tests/support/test_server.h"

namespace sluice::bench {
namespace {

namespace fs = std::filesystem;
using namespace std::chrono_literals;
using Json = nlohmann::ordered_json;
using testing::TemporaryDirectory;
using testing::TestServer;

struct Options {
  std::uint64_t rows = 2'200'000;
  std::string directory;  // empty: a temporary one
  std::size_t connections = 2;
  std::size_t repetitions = 3;
  std::string json;
  std::string svg;
  std::vector<std::string> only;
};

constexpr const char* kPrepared = "prepared";  // as sluice loads them; stays filled
constexpr const char* kRaced = "raced";        // where floors and contestants write
constexpr std::size_t kBatchRows = 100;

// One run of anything. The server's CPU time is in steps of 10 ms.
constexpr const char* kLoadAlone = "sluice, load alone";
constexpr const char* kLoadOverOne = "sluice, load alone, 1 lane";
constexpr const char* kUnverified = "sluice, complete, not verified";
constexpr const char* kComplete = "sluice, complete and verified";

struct Lap {
  double seconds = 0;
  double client_cpu = 0;
  double server_cpu = 0;
  double phase_cpu = 0;  // of the client, in the phase that `seconds` is about
  std::optional<double> peak_memory_mb;
  double wal_mb = 0;
  std::string failure;  // empty when it ended well
};

struct Entrant {
  std::string name;
  bool floor = false;
  std::function<void(Lap&)> run;  // REQUIRES: an empty schema `raced` in the race's database
  std::vector<Lap> laps{};

  [[nodiscard]] std::vector<double> of(double Lap::*figure) const {
    std::vector<double> values;
    for (const Lap& lap : laps) {
      if (lap.failure.empty()) values.push_back(lap.*figure);
    }
    return values;
  }
};

std::string one_line(std::string text) {
  std::replace(text.begin(), text.end(), '\n', ' ');
  return text.substr(0, 120);
}

class Race {
 public:
  Race(const Options& options, const WorkFolder& folder)
      : options_(options), folder_(folder), server_({.settings = kServerSettings}) {}

  bool run() {
    prepare();
    enter_floors();
    enter_contestants();
    for (std::size_t lap = 0; lap < options_.repetitions; ++lap) {
      // Nobody always runs first.
      for (std::size_t i = 0; i < entrants_.size(); ++i)
        measure(entrants_[(i + lap) % entrants_.size()], lap);
    }
    conclude();
    return bounds_.held();
  }

 private:
  void prepare() {
    database_ = server_.create_database("race");
    source_ = folder_.dataset("three_tables", options_.rows);
    for (const datasets::TableRows& table : datasets::count_rows(source_)) {
      expected_[table.table] = table.rows;
      rows_ += table.rows;
    }
    const TemporaryDirectory report;
    const SluiceRun first =
        run_sluice({"migrate", source_.string(), database_, "--schema", kPrepared, "--verify", "none",
                    "--progress", "none", "--report", report.path().string()});
    if (!first.failure.empty()) throw std::runtime_error("the preparing run failed: " + first.failure);
    std::ifstream file(report / "report.json");
    std::vector<StreamCut> cuts;
    const Json written = Json::parse(file);
    for (const Json& table : written.at("tables")) {
      cuts.push_back({table.at("target").get<std::string>(), table.at("ranges").get<std::size_t>()});
      tables_.push_back(cuts.back().table);  // largest first
    }
    streams_.emplace(database_, kPrepared, cuts);
    for (const testing::QueryRow& row : testing::query(
             database_, fmt::format("SELECT replace(indexdef, ' ON {0}.', ' ON {1}.') FROM pg_indexes WHERE "
                                    "schemaname = '{0}' ORDER BY tablename, indexname",
                                    kPrepared, kRaced))) {
      indexes_.push_back(row.at(0).value());
    }
    for (std::size_t i = 0; i < options_.connections; ++i) files_.push_back(open_file(source_));
    constexpr std::size_t kRangesPerTable = 8;
    ranges_ = even_ranges(files_.front().get(), tables_, kRangesPerTable);
    scan_bare(files_, ranges_, Values::touched);  // the file into memory

    print(
        fmt::format("PostgreSQL {}, Unix socket, {}\n{} rows, {:.0f} MB file, {:.0f} MB COPY payload, {} "
                    "indexes; {} connections; load average {:.1f}\n\n",
                    testing::query_value(database_, "SHOW server_version"), server_settings_text(), rows_,
                    megabytes(fs::file_size(source_)), megabytes(streams_->bytes()), indexes_.size(),
                    options_.connections, load_average()));
    json_["rows"] = rows_;
    json_["file_bytes"] = fs::file_size(source_);
    json_["payload_bytes"] = streams_->bytes();
    json_["connections"] = options_.connections;
    json_["load_average_before"] = load_average();
  }

  // ---- the floors ----

  void floor(const std::string& name, std::function<void(Lap&)> run) {
    if (wanted(name)) entrants_.push_back({name, true, std::move(run)});
  }

  void enter_floors() {
    floor("scan, values skipped",
          [this](Lap& lap) { timed(lap, [&] { scan_bare(files_, ranges_, Values::skipped); }); });
    floor("scan, values touched",
          [this](Lap& lap) { timed(lap, [&] { scan_bare(files_, ranges_, Values::touched); }); });
    for (const std::size_t connections : connection_counts()) {
      floor(fmt::format("replay over {}", connections), [this, connections](Lap& lap) {
        make_tables();
        timed(lap, [&] { (void)streams_->replay(database_, kRaced, connections); });
        check_rows(lap, database_, kRaced);
      });
    }
    floor("replay, not stored", [this](Lap& lap) {
      make_tables();
      timed(lap, [&] { (void)streams_->replay(database_, kRaced, options_.connections, Stored::no); });
    });
    floor("indexes one by one", [this](Lap& lap) {
      fill_tables();
      timed(lap, [&] { make_indexes(1); });
    });
    floor("indexes together", [this](Lap& lap) {
      fill_tables();
      timed(lap, [&] { make_indexes(options_.connections); });
    });
    floor("drain", [this](Lap& lap) {
      timed(lap, [&] {
        (void)drain(database_ + " options='-c search_path=" + kPrepared + "'", tables_, options_.connections);
      });
    });
  }

  [[nodiscard]] std::vector<std::size_t> connection_counts() const {
    std::vector<std::size_t> counts;
    for (std::size_t count = 1; count < options_.connections; count *= 2) counts.push_back(count);
    counts.push_back(options_.connections);
    return counts;
  }

  void make_tables() {
    std::string sql;
    for (const std::string& table : tables_) {
      sql += fmt::format("CREATE TABLE {} (LIKE {} INCLUDING ALL EXCLUDING INDEXES);",
                         quote_qualified(kRaced, table), quote_qualified(kPrepared, table));
    }
    testing::execute(database_, sql);
  }

  void fill_tables() {
    make_tables();
    (void)streams_->replay(database_, kRaced, options_.connections);
  }

  void make_indexes(std::size_t connections) {
    run_over_sessions(database_, connections, indexes_.size(),
                      [&](pg_conn* session, std::size_t index) { command(session, indexes_[index]); });
  }

  // ---- the contestants ----

  void contestant(const std::string& name, const std::vector<std::string>& programs,
                  std::function<void(Lap&)> run) {
    if (!wanted(name)) return;
    for (const std::string& program : programs) {
      if (testing::run_command({"sh", "-c", "command -v " + program}).exit_status == 0) continue;
      print(name + ": not there, " + program + " is not installed\n");
      json_["not_installed"].push_back({{"name", name}, {"program", program}});
      return;
    }
    entrants_.push_back({name, false, std::move(run)});
  }

  void enter_contestants() {
    contestant(kLoadAlone, {}, [this](Lap& lap) { load_alone(lap, options_.connections); });
    contestant(kLoadOverOne, {}, [this](Lap& lap) { load_alone(lap, 1); });
    contestant(kUnverified, {}, [this](Lap& lap) { migrate(lap, "none"); });
    contestant(kComplete, {},
               [this](Lap& lap) { phases_.push_back(migrate(lap, "full").value("phases", Json())); });
    contestant("sqlite3 -csv | psql \\copy, indexes", {"sqlite3", "psql"}, [this](Lap& lap) {
      make_tables();
      timed(lap, [&] {
        for (const std::string& table : tables_) {
          run_program(
              lap,
              {"bash", "-o", "pipefail", "-c",
               R"sh(sqlite3 -csv "$1" "SELECT * FROM \"$2\"" | psql -qX -d "$3" -c "\\copy $4 FROM STDIN (FORMAT csv)")sh",
               "pipe", source_.string(), table, database_, quote_qualified(kRaced, table)});
        }
        make_indexes(1);
        testing::execute(database_, "ANALYZE");
      });
      check_rows(lap, database_, kRaced);
    });
    contestant("pgloader as it comes", {"pgloader"}, [this](Lap& lap) { pgloader(lap, false); });
    contestant("pgloader tuned", {"pgloader"}, [this](Lap& lap) { pgloader(lap, true); });
    contestant("ogr2ogr by COPY, no indexes", {"ogr2ogr"}, [this](Lap& lap) {
      const std::string database = server_.create_database("peer");
      timed(lap, [&] {
        run_program(lap, {"ogr2ogr", "-f", "PostgreSQL", "PG:" + database, source_.string(), "--config",
                          "PG_USE_COPY", "YES", "--config", "OGR_SQLITE_LIST_ALL_TABLES", "NO"});
      });
      check_rows(lap, database, "public");
    });
    contestant(fmt::format("INSERT of {} rows, indexes", kBatchRows), {}, [this](Lap& lap) {
      make_tables();
      timed(lap, [&] {
        for (const std::string& table : tables_)
          insert_in_batches(source_, database_, table, quote_qualified(kRaced, table), kBatchRows);
        make_indexes(1);
        testing::execute(database_, "ANALYZE");
      });
      check_rows(lap, database_, kRaced);
    });
  }

  // Into tables that are there and have no keys: nothing but the load, which elsewhere shares the cores with
  // the indexes of the tables before.
  void load_alone(Lap& lap, std::size_t lanes) {
    make_tables();
    const Json report = run_migrate(lap, {"--data-only", "--verify", "none"}, lanes);
    if (!lap.failure.empty()) return;
    for (const Json& phase : report.at("explain").at("phases")) {
      if (phase.at("phase") != "load") continue;
      lap.seconds = phase.at("wall_seconds").get<double>();
      lap.phase_cpu = phase.at("client_cpu_seconds").get<double>();
    }
  }

  Json migrate(Lap& lap, const std::string& verify) {
    testing::execute(database_, fmt::format("DROP SCHEMA {}", kRaced));
    return run_migrate(lap, {"--verify", verify}, options_.connections);
  }

  Json run_migrate(Lap& lap, const std::vector<std::string>& wishes, std::size_t lanes) {
    testing::execute(database_, "DROP SCHEMA IF EXISTS sluice CASCADE");
    const TemporaryDirectory report;
    std::vector<std::string> arguments = {"migrate",
                                          source_.string(),
                                          database_,
                                          "--schema",
                                          kRaced,
                                          "--jobs",
                                          std::to_string(lanes),
                                          "--progress",
                                          "none",
                                          "--report",
                                          report.path().string()};
    arguments.insert(arguments.end(), wishes.begin(), wishes.end());
    timed(lap, [&] { lap.failure = run_sluice(arguments).failure; });
    if (!lap.failure.empty()) return Json::object();
    std::ifstream file(report / "report.json");
    Json written = Json::parse(file);
    lap.peak_memory_mb = megabytes(written.at("peak_memory_bytes").get<std::uint64_t>());
    check_rows(lap, database_, kRaced);
    return written;
  }

  void pgloader(Lap& lap, bool tuned) {
    (void)server_.create_database("peer");
    const std::string target =
        fmt::format("postgresql://postgres@unix:{}:5432/peer", server_.socket_directory().string());
    const TemporaryDirectory folder;
    std::ofstream(folder / "race.load")
        << "load database from sqlite://" << source_.string() << " into " << target
        << " with include drop, create tables, create indexes, reset sequences"
        << (tuned ? ", workers = 2, concurrency = 1, batch rows = 10000, batch size = 8MB, prefetch rows = "
                    "10000"
                  : "")
        << ";\n";
    timed(lap, [&] {
      run_program(lap, {"pgloader", "--root-dir", folder.path().string(), (folder / "race.load").string()});
    });
    check_rows(lap, server_.conninfo("peer"), "public");
  }

  void run_program(Lap& lap, std::vector<std::string> argv) {
    if (!lap.failure.empty()) return;
    const std::string program = argv.front();
    const testing::CommandResult ended = testing::run_command(std::move(argv), {.timeout = 60min});
    check_stop();
    lap.peak_memory_mb = std::max(lap.peak_memory_mb.value_or(0), megabytes(ended.peak_memory_bytes));
    if (ended.exit_status == 0) return;
    const std::string said = (ended.err.empty() ? ended.out : ended.err).substr(0, 300);
    lap.failure = fmt::format("{} ended with status {}{}: {}", program, ended.exit_status,
                              ended.timed_out ? " (killed after an hour)" : "", said);
  }

  // ---- measuring ----

  [[nodiscard]] bool wanted(const std::string& name) const {
    return options_.only.empty() ||
           std::any_of(options_.only.begin(), options_.only.end(),
                       [&](const std::string& part) { return name.find(part) != std::string::npos; });
  }

  // The part of a lap that counts. A statement of a floor that fails ends the lap, not the race.
  void timed(Lap& lap, const std::function<void()>& work) {
    check_stop();
    testing::execute(database_, "CHECKPOINT");  // nobody pays for pages that another one left dirty
    const std::string position = testing::query_value(database_, "SELECT pg_current_wal_insert_lsn()");
    const double client = cpu_of_process() + cpu_of_children();
    const double server = cpu_of_server(server_.pid());
    const auto began = std::chrono::steady_clock::now();
    work();
    lap.seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - began).count();
    lap.client_cpu = cpu_of_process() + cpu_of_children() - client;
    lap.server_cpu = cpu_of_server(server_.pid()) - server;
    lap.wal_mb = megabytes(std::stoull(testing::query_value(
        database_, "SELECT pg_wal_lsn_diff(pg_current_wal_insert_lsn(), '" + position + "')::bigint")));
  }

  void measure(Entrant& entrant, std::size_t number) {
    testing::execute(database_, fmt::format("DROP SCHEMA IF EXISTS {0} CASCADE; CREATE SCHEMA {0}", kRaced));
    Lap lap;
    try {
      entrant.run(lap);
    } catch (const std::exception& error) {
      check_stop();
      lap.failure = error.what();
    }
    print(fmt::format(
        "run {}, {}: {}\n", number + 1, entrant.name,
        lap.failure.empty() ? fmt::format("{:.2f} s", lap.seconds) : "FAILED: " + one_line(lap.failure)));
    entrant.laps.push_back(std::move(lap));
  }

  void check_rows(Lap& lap, const std::string& database, const std::string& schema) const {
    for (const auto& [table, rows] : expected_) {
      if (!lap.failure.empty()) return;
      std::string found;
      try {
        found = testing::query_value(database, "SELECT count(*) FROM " + quote_qualified(schema, table));
      } catch (const std::exception&) {
        found = "no table";
      }
      if (found != std::to_string(rows))
        lap.failure = fmt::format("table {}: {} in the target of {}", table, found, rows);
    }
  }

  // ---- results ----

  [[nodiscard]] const Entrant* entrant(const std::string& name) const {
    const auto found = std::find_if(entrants_.begin(), entrants_.end(),
                                    [&](const Entrant& candidate) { return candidate.name == name; });
    return found == entrants_.end() || found->of(&Lap::seconds).empty() ? nullptr : &*found;
  }

  // At least so many times faster than the other, by medians.
  void judge_faster(const std::string& ours, const std::string& theirs, double times) {
    const Entrant* fast = entrant(ours);
    const Entrant* slow = entrant(theirs);
    if (fast == nullptr || slow == nullptr) return;
    const double factor = median(slow->of(&Lap::seconds)) / median(fast->of(&Lap::seconds));
    const bool held = factor >= times;
    if (!held) bounds_.miss();
    print(fmt::format("{}  {} / {}: {:.2f}, at least {:.1f}\n", held ? "held  " : "MISSED", theirs, ours,
                      factor, times));
    json_["factors"].push_back({{"ours", ours}, {"theirs", theirs}, {"factor", factor}, {"bound", times}});
  }

  void judge_ratio(const std::string& what, double value, double bound) {
    print(bounds_.judge(what, value, bound));
    json_["ratios"].push_back({{"what", what}, {"value", value}, {"bound", bound}});
  }

  void conclude() {
    print(fmt::format("\n{:<37} {:>7} {:>7} {:>7} {:>9} {:>9} {:>8} {:>8}\n", "", "min s", "median", "max",
                      "client", "server", "peak MB", "WAL MB"));
    print(fmt::format("{:<37} {:>7} {:>7} {:>7} {:>9} {:>9} {:>8} {:>8}\n", "", "", "", "", "CPU s", "CPU s",
                      "", ""));
    std::vector<Bar> bars;
    json_["entrants"] = Json::array();
    for (const Entrant& entrant : entrants_) {
      Json laps = Json::array();
      for (const Lap& lap : entrant.laps) {
        Json entry = {{"seconds", lap.seconds},
                      {"client_cpu_seconds", lap.client_cpu},
                      {"server_cpu_seconds", lap.server_cpu},
                      {"wal_mb", lap.wal_mb}};
        if (lap.peak_memory_mb) entry["peak_memory_mb"] = *lap.peak_memory_mb;
        if (!lap.failure.empty()) entry = {{"failure", lap.failure}};
        laps.push_back(std::move(entry));
      }
      json_["entrants"].push_back({{"name", entrant.name}, {"floor", entrant.floor}, {"laps", laps}});
      const std::vector<double> seconds = entrant.of(&Lap::seconds);
      if (seconds.empty()) {
        print(fmt::format("{:<37} FAILED: {}\n", entrant.name, one_line(entrant.laps.back().failure)));
        if (!entrant.floor) bars.push_back({entrant.name, 0, "failed", false, true});
        continue;
      }
      double peak = 0;
      for (const Lap& lap : entrant.laps) peak = std::max(peak, lap.peak_memory_mb.value_or(0));
      print(fmt::format("{:<37} {:>7.2f} {:>7.2f} {:>7.2f} {:>9.2f} {:>9.2f} {:>8} {:>8.0f}\n", entrant.name,
                        minimum(seconds), median(seconds), maximum(seconds),
                        median(entrant.of(&Lap::client_cpu)), median(entrant.of(&Lap::server_cpu)),
                        peak > 0 ? fmt::format("{:.0f}", peak) : "", median(entrant.of(&Lap::wal_mb))));
      bars.push_back({entrant.name, median(seconds), fmt::format("{:.2f} s", median(seconds)),
                      entrant.name.starts_with("sluice"), false});
    }
    print("\n");
    judge();
    print(fmt::format("load average at the end {:.1f}\n", load_average()));
    json_["load_average_after"] = load_average();
    json_["good"] = bounds_.held();
    if (!options_.json.empty()) write_figures(options_.json, json_);
    if (!options_.svg.empty()) {
      std::ofstream out(options_.svg, std::ios::trunc);
      out << bar_chart(
          fmt::format("{:.1f} million rows, seconds; floors first", static_cast<double>(rows_) / 1e6), bars);
      if (!out.flush()) throw std::runtime_error("cannot write " + options_.svg);
    }
  }

  void judge() {
    const std::string load = kLoadAlone;
    const std::string complete = kComplete;
    const std::string replay = fmt::format("replay over {}", options_.connections);
    const auto middle = [](const Entrant* entrant) { return median(entrant->of(&Lap::seconds)); };
    if (entrant(load) != nullptr && entrant(replay) != nullptr)
      judge_ratio("load / replay", middle(entrant(load)) / middle(entrant(replay)), 1.2);
    if (const Entrant* scan = entrant("scan, values touched"); scan != nullptr && entrant(load) != nullptr) {
      judge_ratio("client CPU of the load / bare scan",
                  median(entrant(load)->of(&Lap::phase_cpu)) / median(scan->of(&Lap::client_cpu)), 1.5);
    }
    if (const Entrant* one = entrant(kLoadOverOne); one != nullptr && entrant("replay over 1") != nullptr) {
      const double slower = std::max(middle(entrant("replay over 1")), median(one->of(&Lap::phase_cpu)));
      judge_ratio("load over one lane / the slower side alone", middle(one) / slower, 1.25);
    }
    for (const char* pgloader : {"pgloader as it comes", "pgloader tuned"}) {
      judge_faster(complete, pgloader, 3.5);
      judge_faster(load, pgloader, 8);
    }
    judge_faster(complete, "sqlite3 -csv | psql \\copy, indexes", 2.5);
    judge_faster(complete, "ogr2ogr by COPY, no indexes", 2);
    judge_faster(complete, fmt::format("INSERT of {} rows, indexes", kBatchRows), 8);
    // It overlaps the other phases, so what it costs is what a run without it saves.
    if (entrant(kUnverified) != nullptr && entrant(complete) != nullptr) {
      judge_ratio("share of verification", 1 - middle(entrant(kUnverified)) / middle(entrant(complete)),
                  0.25);
    }
    std::vector<double> profile;
    for (const Json& phases : phases_) {
      if (phases.is_object())
        profile.push_back(phases.at("profile").get<double>() / phases.at("total").get<double>());
    }
    if (profile.empty()) return;
    judge_ratio("share of the profile", median(profile), 0.10);
    double peak = 0;
    for (const std::string& name : {load, complete}) {
      if (entrant(name) == nullptr) continue;
      for (const Lap& lap : entrant(name)->laps) peak = std::max(peak, lap.peak_memory_mb.value_or(0));
    }
    judge_ratio("peak memory of sluice, MB", peak, 150);
  }

  const Options& options_;
  const WorkFolder& folder_;
  TestServer server_;
  std::string database_;
  fs::path source_;
  std::int64_t rows_ = 0;
  std::map<std::string, std::int64_t> expected_;  // rows by table
  std::vector<std::string> tables_;               // largest first
  std::vector<std::string> indexes_;              // CREATE INDEX, of `raced`
  std::optional<RecordedStreams> streams_;
  std::vector<File> files_;
  std::vector<BareRange> ranges_;
  std::vector<Entrant> entrants_;
  std::vector<Json> phases_;  // of the complete runs
  Bounds bounds_;
  Json json_;
};

int run(int argc, char** argv) {
  Options options;
  CLI::App app("Races sluice against floors and against the tools that people use today");
  app.add_option("--rows", options.rows, "Rows of the three_tables data set")->capture_default_str();
  app.add_option(
      "--directory", options.directory,
      "Work folder, kept with its data set; the server's user must be able to enter it [a temporary one]");
  app.add_option("--connections", options.connections, "Connections of sluice and of the floors")
      ->check(CLI::Range(1, 64))
      ->capture_default_str();
  app.add_option("--repetitions", options.repetitions, "Runs of each")
      ->check(CLI::Range(1, 1000))
      ->capture_default_str();
  app.add_option("--only", options.only, "Those whose names contain one of these")->delimiter(',');
  app.add_option("--json", options.json, "Write all figures to this file");
  app.add_option("--svg", options.svg, "Write a chart of the medians to this file");
  CLI11_PARSE(app, argc, argv);
  stop_on_signals();

  const WorkFolder folder(options.directory);
  return Race(options, folder).run() ? 0 : 1;
}

}  // namespace
}  // namespace sluice::bench

int main(int argc, char** argv) {
  try {
    return sluice::bench::run(argc, argv);
  } catch (const std::exception& error) {
    std::cerr << "race: " << error.what() << "\n";
    return 1;
  }
}
