#include "bench/workbench.h"

#include <fmt/format.h>
#include <stdlib.h>  // setenv

#include <atomic>
#include <chrono>
#include <csignal>
#include <fstream>
#include <iostream>
#include <nlohmann/json.hpp>
#include <stdexcept>

#include "bench/figures.h"
#include "tests/support/command.h"

namespace sluice::bench {
namespace {

using namespace std::chrono_literals;

std::atomic<bool> stop_requested{false};

}  // namespace

const std::vector<std::pair<std::string, std::string>> kServerSettings = {
    {"fsync", "on"},
    {"full_page_writes", "on"},
    {"wal_level", "replica"},
    {"shared_buffers", "128MB"},
    {"max_wal_size", "8GB"},
    {"min_wal_size", "2GB"},  // every run finds old segments to write over, not only the later ones
    {"checkpoint_timeout", "1h"},
    {"autovacuum", "off"},
};

std::string server_settings_text() {
  std::string text;
  for (const auto& [name, value] : kServerSettings) text += (text.empty() ? "" : ", ") + name + "=" + value;
  return text;
}

void stop_on_signals() {
  struct sigaction action {};
  action.sa_handler = [](int) { stop_requested = true; };
  for (const int signal : {SIGINT, SIGTERM, SIGHUP}) sigaction(signal, &action, nullptr);
}

void check_stop() {
  if (stop_requested) throw std::runtime_error("stopped by a signal");
}

WorkFolder::WorkFolder(const std::string& given) {
  setenv("TMPDIR", "/var/tmp", 1);
  if (given.empty()) {
    path_ = temporary_.emplace("sluice-bench").path();
    return;
  }
  std::filesystem::create_directories(given);
  path_ = std::filesystem::canonical(given);
  setenv("TMPDIR", path_.c_str(), 1);
}

std::filesystem::path WorkFolder::dataset(const std::string& kind, std::uint64_t rows) const {
  const std::filesystem::path file = path_ / fmt::format("{}-{}.db", kind, rows);
  if (std::filesystem::exists(file)) return file;
  // By the program, so that its memory is not ours: Linux would count that as the peak of every sluice we
  // start.
  const testing::CommandResult made = testing::run_command(
      {testing::generate_dataset_program(), kind, file.string(), "--rows", std::to_string(rows)},
      {.timeout = 30min});
  if (made.exit_status != 0) throw std::runtime_error("generate_dataset: " + made.err);
  return file;
}

SluiceRun run_sluice(std::vector<std::string> arguments) {
  arguments.insert(arguments.begin(), testing::sluice_program());
  const double cpu_before = cpu_of_children();
  testing::CommandResult ended = testing::run_command(std::move(arguments), {.timeout = 30min});
  SluiceRun run;
  run.cpu_seconds = cpu_of_children() - cpu_before;
  run.seconds = ended.seconds.count();
  run.out = std::move(ended.out);
  check_stop();
  if (ended.exit_status != 0) {
    run.failure = fmt::format("exit status {}{}: {}", ended.exit_status,
                              ended.timed_out ? " (killed after too long)" : "", ended.err);
  }
  return run;
}

void print(const std::string& text) { std::cout << text << std::flush; }

void write_figures(const std::string& file, const nlohmann::ordered_json& figures) {
  std::ofstream out(file, std::ios::trunc);
  out << figures.dump(2, ' ', false, nlohmann::ordered_json::error_handler_t::replace) << "\n";
  out.flush();
  if (!out) throw std::runtime_error("cannot write " + file);
}

std::string Bounds::judge(const std::string& what, double value, double bound) {
  const bool held = value <= bound;
  held_ = held_ && held;
  return fmt::format("{}  {}: {:.2f}, bound {:.2f}\n", held ? "held  " : "MISSED", what, value, bound);
}

}  // namespace sluice::bench
