#pragma once
// One migration or repair that the faults are tried on, again and again from its beginning: small, so that a
// thousand shots take minutes, and with everything in it that a fault could tear apart.

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <random>
#include <string>
#include <string_view>
#include <vector>

#include "support/command.h"
#include "support/moments.h"
#include "support/temporary_directory.h"
#include "support/test_server.h"

namespace sluice::testing {

// Steps of sluice offload, which offload_kills_test.cc kills at: it is no migration.
inline const std::vector<std::string> kOffloadSteps = {"before files settle", "after files settle",
                                                       "after references", "after files committed"};
// And of sluice export, which pg/archive_test.cc ends it at.
inline const std::vector<std::string> kExportSteps = {"after part"};

// `standard` shots, and more where SLUICE_FAULTS asks for it: a factor, or "nightly" for 10.
std::size_t shots(std::size_t standard);

// The random choices of one shot: the same for the same test_seed().
std::mt19937_64 random_of_shot(std::string_view family, std::size_t shot);

enum class JobKind : std::uint8_t {
  tables,   // migrate into an empty database: three tables of many ranges, keys, indexes, a foreign key, a
            // view
  rejects,  // the same with rows that do not fit, --on-misfit reject
  frozen,   // a table of one range that is loaded with COPY FREEZE
  rebuild,  // migrate --data-only --rebuild into tables with keys, indexes and a trigger
  repair,   // verify --repair of a target in which rows were changed, deleted and added
};
constexpr std::string_view name_of(JobKind kind) {
  constexpr std::string_view kNames[] = {"tables", "rejects", "frozen", "rebuild", "repair"};
  return kNames[static_cast<std::size_t>(kind)];
}

class Job {
 public:
  // Makes the source and runs the job once undisturbed: what it leaves then is what it must always leave.
  // `server` is borrowed, and its database `fault_<kind>` belongs to the job.
  Job(TestServer& server, JobKind kind);

  // Ends what still has a session there, and makes the target as it was before the job began.
  void reset();

  // The same command every time, but for what is no part of the plan: lanes, and the folder for the report,
  // which two processes at the same time should not share.
  [[nodiscard]] std::vector<std::string> command(const std::string& program, unsigned lanes = 4,
                                                 const std::string& report = "report") const;
  // Without retries, so that what a fault ends is seen.
  [[nodiscard]] CommandOptions options() const;

  // What does not hold now, whatever is at work: see invariants.h.
  [[nodiscard]] std::vector<std::string> violations_now() const;
  // Fails the test for each of them.
  void expect_sound() const;

  // `end`: of the command, which was allowed to come to its end. Fails the test unless nothing is lost.
  void expect_complete(const CommandResult& end) const;

  // The command again, with sluice as it is shipped, and expect_complete().
  void go_on(unsigned lanes = 4) const;

  [[nodiscard]] const std::string& target() const { return target_; }
  [[nodiscard]] const std::vector<std::string>& tables() const { return tables_; }
  // In the course of the undisturbed run.
  [[nodiscard]] Moments& moments() { return moments_; }

 private:
  void make_source();
  void prepare_target();
  [[nodiscard]] std::vector<std::string> repair_violations() const;

  TestServer& server_;
  const JobKind kind_;
  TemporaryDirectory folder_;
  std::string source_;
  std::string target_;
  std::vector<std::string> tables_;
  std::vector<std::string> rows_before_;  // repair: per table, what it began with
  int exit_status_ = 0;
  std::string root_;
  std::string picture_;
  Moments moments_;
};

// The job of this kind on the server of this test program, made when it is first asked for.
Job& shared_job(JobKind kind);

}  // namespace sluice::testing
