#include "engine/app/explain.h"

#include <fmt/format.h>

#include <algorithm>

#include "engine/app/console.h"

namespace sluice {
namespace {

double share(double part, double whole) { return whole > 0 ? std::clamp(part / whole, 0.0, 1.0) : 0; }

int percent(double fraction) { return static_cast<int>(fraction * 100 + 0.5); }

// From here on a machine has nothing more to give: the rest is what switching and measuring lose.
constexpr double kBusy = 0.85;

// Below this a phase is mostly its begin and its end, and its bounds are a matter of luck.
constexpr double kSecondsWorthSaving = 0.2;

}  // namespace

std::string binding_of(const PhaseExplanation& phase, const Machine& machine) {
  const PhaseUse& use = phase.use;
  const double cores = machine.cores;
  const double busy = share(use.machine, use.wall * cores);
  const double computing = share(use.cpu, use.lanes);
  const double for_server = share(use.for_server, use.lanes);
  const double for_source = share(use.for_source, use.lanes);
  if (busy >= kBusy) {
    const double own = share(use.process, use.wall * cores);
    return fmt::format("the cores of this machine: {} % busy, {} % with sluice{}", percent(busy),
                       percent(own),
                       machine.has_server ? ", the rest with the server and what else runs here" : "");
  }
  if (for_source >= std::max(for_server, computing)) {
    return fmt::format("the disk with the source: the lanes slept in reading it for {} % of their time",
                       percent(for_source));
  }
  if (for_server >= computing) {
    const bool more = phase.name == "load" || phase.name == "verify";
    return fmt::format("the server: the lanes waited {} % of their time for it{}", percent(for_server),
                       more
                           ? "; with cores to spare there, more --jobs would help"
                           : "; with cores to spare there, more --index-jobs or parallel workers would help");
  }
  return fmt::format(
      "sluice's own computing, {} % of the lanes' time, while {} % of the cores were idle; more --jobs "
      "would help",
      percent(computing), percent(1 - busy));
}

std::string explanation_text(const Explanation& explanation) {
  double all = 0;
  for (const PhaseExplanation& phase : explanation.phases) all += phase.use.wall;
  std::string text = fmt::format("{:<11}  {:>8}  {:>8}  {:>14}  {:>8}  {:>8}  {:>11}  {:>9}\n", "phase",
                                 "seconds", "CPU", "waits for core", "server", "source", "rows/s", "bytes/s");
  std::string reasons;
  for (const PhaseExplanation& phase : explanation.phases) {
    const PhaseUse& use = phase.use;
    std::string rows = "-";
    std::string bytes = "-";
    if (use.rows > 0 && use.wall > 0) {
      rows = human_count(static_cast<std::uint64_t>(static_cast<double>(use.rows) / use.wall));
      bytes = human_bytes(static_cast<std::uint64_t>(static_cast<double>(use.bytes) / use.wall));
    }
    text +=
        fmt::format("{:<11}  {:>8.2f}  {:>8.2f}  {:>14.2f}  {:>8.2f}  {:>8.2f}  {:>11}  {:>9}\n", phase.name,
                    use.wall, use.cpu, use.for_core, use.for_server, use.for_source, rows, bytes);
    // Of what took no time worth speaking of, the report has it; nor is there any to be saved.
    if (use.wall < std::max(all / 10, kSecondsWorthSaving)) continue;
    reasons += fmt::format("{} was bound by {}\n", phase.name, binding_of(phase, explanation.machine));
  }
  text += reasons;
  if (explanation.wal_bytes > 0 || explanation.tables_frozen > 0) {
    text += fmt::format("write-ahead log {}", human_bytes(explanation.wal_bytes));
    if (explanation.tables_frozen > 0) {
      text += fmt::format(
          "; {} loaded frozen{}", counted(explanation.tables_frozen, "table"),
          explanation.wal_level == "minimal" ? ", past the log where larger than wal_skip_threshold" : "");
    }
    text += "\n";
  }
  return text;
}

}  // namespace sluice
