#pragma once
// What the benchmarks with a server of their own have in common: how that server is set up, where it works,
// runs of sluice, bounds, and an end that leaves nothing behind.

#include <cstdint>
#include <filesystem>
#include <nlohmann/json_fwd.hpp>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "tests/support/temporary_directory.h"

namespace sluice::bench {

// A server as people run them, unlike that of the tests: what is committed is on the disk. Sizes are such
// that no checkpoint and no vacuum falls into one measurement and misses another.
extern const std::vector<std::pair<std::string, std::string>> kServerSettings;
std::string server_settings_text();

// Between two measurements is soon enough, and there every destructor runs: the server stops and its folder
// goes.
void stop_on_signals();
void check_stop();  // throws std::runtime_error after a signal

// The folder that a benchmark works in, its server included. A given one stays, with the data sets in it.
//
// Not the usual temporary folder, which may be memory: the server must write to a disk, as others do. Sets
// TMPDIR, so make it before the server.
class WorkFolder {
 public:
  // Empty: a temporary one.
  explicit WorkFolder(const std::string& given);

  [[nodiscard]] const std::filesystem::path& path() const { return path_; }

  // The file with this data set; makes it where it is not yet there.
  [[nodiscard]] std::filesystem::path dataset(const std::string& kind, std::uint64_t rows) const;

 private:
  std::optional<testing::TemporaryDirectory> temporary_;
  std::filesystem::path path_;
};

// One run of sluice, from before the fork until it has been waited for.
struct SluiceRun {
  std::string failure;  // empty when it ended with 0
  std::string out;
  double seconds = 0;
  double cpu_seconds = 0;  // all its threads
};
SluiceRun run_sluice(std::vector<std::string> arguments);

// At once: a run takes minutes, and whoever watches wants to see it live.
void print(const std::string& text);

void write_figures(const std::string& file, const nlohmann::ordered_json& figures);

// Whether everything was within its bounds.
class Bounds {
 public:
  // Says whether the bound held, on a line of its own.
  std::string judge(const std::string& what, double value, double bound);
  void miss() { held_ = false; }

  [[nodiscard]] bool held() const { return held_; }

 private:
  bool held_ = true;
};

}  // namespace sluice::bench
