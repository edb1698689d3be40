// F1: SIGKILL at each named step, at its first, a middle and its last hit, with one lane and with four. What
// a dying process leaves is sound, and the same command ends with everything once.

#include <gtest/gtest.h>

#include <algorithm>
#include <cctype>
#include <csignal>
#include <filesystem>
#include <fstream>
#include <map>
#include <regex>
#include <set>
#include <sstream>
#include <string>
#include <vector>

#include "fault/job.h"
#include "support/directories.h"

namespace sluice::testing {
namespace {

namespace fs = std::filesystem;

struct Sweep {
  JobKind kind;
  std::vector<std::string> steps;
};

// Each step in the job where it can do harm; those that every transaction has, in several.
const std::vector<Sweep> kSweeps = {
    {JobKind::tables,
     {"before connect",        "after connect",        "before BEGIN",        "after BEGIN",
      "before COMMIT",         "after COMMIT sent",    "after COMMIT reply",  "before ledger",
      "after ledger",          "before run",           "after tables",        "after run",
      "before claim",          "after claim",          "after COPY start",    "after header",
      "after first row",       "mid buffer",           "after last row",      "after piece",
      "before CopyDone",       "after CopyDone",       "after COPY reply",    "before work UPDATE",
      "after work UPDATE",     "after range",          "before CREATE INDEX", "after CREATE INDEX",
      "before ADD CONSTRAINT", "after ADD CONSTRAINT", "before VALIDATE",     "after VALIDATE",
      "before finish step",    "after finish step",    "before CREATE VIEW",  "after CREATE VIEW",
      "after step record",     "before verification",  "before read back",    "after read back",
      "before conclude",       "after conclude",       "before report",       "mid report",
      "after report"}},
    {JobKind::rejects, {"after rejects", "after COMMIT sent"}},
    {JobKind::frozen, {"after TRUNCATE", "after piece", "after COMMIT sent"}},
    {JobKind::rebuild,
     {"after take down", "after tables", "after run", "before put back", "after put back",
      "after COMMIT sent", "after step record"}},
    {JobKind::repair,
     {"before repair DELETE", "after repair DELETE", "before repair row", "before repair record",
      "after repair record", "before settle", "after COMMIT sent", "before COMMIT"}},
};

enum class Hit : std::uint8_t { first, middle, last };

struct Shot {
  JobKind kind = JobKind::tables;
  std::string step;
  Hit hit = Hit::first;
  unsigned lanes = 1;
  std::size_t number = 0;  // of the middle ones
};

std::vector<Shot> all_shots() {
  std::vector<Shot> shots_of_sweeps;
  for (const Sweep& sweep : kSweeps) {
    for (const std::string& step : sweep.steps) {
      for (const unsigned lanes : {1U, 4U}) {
        shots_of_sweeps.push_back({sweep.kind, step, Hit::first, lanes});
        for (std::size_t i = 0; i < shots(1); ++i) {
          shots_of_sweeps.push_back({sweep.kind, step, Hit::middle, lanes, i});
        }
        shots_of_sweeps.push_back({sweep.kind, step, Hit::last, lanes});
      }
    }
  }
  return shots_of_sweeps;
}

std::string name_of_shot(const ::testing::TestParamInfo<Shot>& info) {
  const Shot& shot = info.param;
  constexpr const char* kHits[] = {"first", "middle", "last"};
  std::string name =
      std::string(name_of(shot.kind)) + "_" + shot.step + "_" + kHits[static_cast<std::size_t>(shot.hit)] +
      (shot.number > 0 ? std::to_string(shot.number) : "") + "_" + std::to_string(shot.lanes) + "_lanes";
  std::replace_if(
      name.begin(), name.end(), [](char c) { return std::isalnum(static_cast<unsigned char>(c)) == 0; }, '_');
  return name;
}

using Hits = std::map<std::string, std::size_t>;

// How often each step is reached when nothing happens. With several lanes it is not always the same.
const Hits& hits_of(JobKind kind, unsigned lanes) {
  static std::map<std::pair<JobKind, unsigned>, Hits> known;
  const auto [place, is_new] = known.try_emplace({kind, lanes});
  if (!is_new) return place->second;
  Job& job = shared_job(kind);
  job.reset();
  const TemporaryDirectory folder;
  CommandOptions options = job.options();
  options.environment.emplace_back("SLUICE_FAILPOINT_TRACE", folder / "trace");
  job.expect_complete(run_command(job.command(sluice_faults_program(), lanes), options));
  std::ifstream trace(folder / "trace");
  for (std::string step; std::getline(trace, step);) ++place->second[step];
  return place->second;
}

class StepsTest : public ::testing::TestWithParam<Shot> {};

TEST_P(StepsTest, AKillLosesNothingAndDoublesNothing) {
  const Shot& shot = GetParam();
  Job& job = shared_job(shot.kind);
  const Hits& hits = hits_of(shot.kind, shot.lanes);
  ASSERT_TRUE(hits.contains(shot.step)) << "this job does not come to that step";
  std::size_t hit = 1;
  if (shot.hit == Hit::last) hit = hits.at(shot.step);
  if (shot.hit == Hit::middle) {
    std::mt19937_64 random = random_of_shot(shot.step, shot.number);
    hit = std::uniform_int_distribution<std::size_t>(1, hits.at(shot.step))(random);
  }
  for (;; --hit) {
    ASSERT_GT(hit, 0U);
    job.reset();
    CommandOptions options = job.options();
    options.environment.emplace_back("SLUICE_FAILPOINT", shot.step + ":" + std::to_string(hit));
    const CommandResult result = run_command(job.command(sluice_faults_program(), shot.lanes), options);
    if (result.signal == SIGKILL) break;
    // With several lanes there may be a hit less than last time.
    job.expect_complete(result);
    if (HasFailure()) return;
  }
  job.expect_sound();
  job.go_on(shot.lanes);
}

INSTANTIATE_TEST_SUITE_P(Each, StepsTest, ::testing::ValuesIn(all_shots()), name_of_shot);

// ---- the sweep is whole ----

std::set<std::string> steps_in_the_sources() {
  static const std::regex call(R"(\bfailpoint\(([^;]*)\);)");
  static const std::regex literal("\"([^\"]*)\"");
  std::set<std::string> steps;
  for (const char* room : {"engine", "io", "verify"}) {
    for (const auto& entry : fs::recursive_directory_iterator(fs::path(source_directory()) / room)) {
      if (entry.path().extension() != ".cc") continue;
      std::ifstream file(entry.path());
      std::stringstream text;
      text << file.rdbuf();
      const std::string source = text.str();
      for (std::sregex_iterator match(source.begin(), source.end(), call), end; match != end; ++match) {
        const std::string arguments = (*match)[1];
        for (std::sregex_iterator step(arguments.begin(), arguments.end(), literal); step != end; ++step) {
          steps.insert((*step)[1]);
        }
      }
    }
  }
  return steps;
}

TEST(Steps, TheSweepKillsAtEveryStepOfTheSourcesAndAtNoOther) {
  std::set<std::string> swept;
  for (const Sweep& sweep : kSweeps) swept.insert(sweep.steps.begin(), sweep.steps.end());
  swept.insert(kOffloadSteps.begin(), kOffloadSteps.end());
  swept.insert(kExportSteps.begin(), kExportSteps.end());
  EXPECT_EQ(swept, steps_in_the_sources());
  EXPECT_GE(swept.size(), 25U);
}

TEST(Steps, EveryStepOfTheSourcesIsReached) {
  std::set<std::string> reached(kOffloadSteps.begin(), kOffloadSteps.end());  // each kill there lands
  reached.insert(kExportSteps.begin(), kExportSteps.end());                   // there, too
  for (const Sweep& sweep : kSweeps) {
    for (const auto& [step, count] : hits_of(sweep.kind, 4)) reached.insert(step);
  }
  EXPECT_EQ(reached, steps_in_the_sources());
}

// What is shipped has none of this.
TEST(Steps, TheProductHasNoFailpoints) {
  Job& job = shared_job(JobKind::tables);
  job.reset();
  CommandOptions options = job.options();
  options.environment.emplace_back("SLUICE_FAILPOINT", "before claim:1");
  job.expect_complete(run_command(job.command(sluice_program()), options));
}

}  // namespace
}  // namespace sluice::testing
