#pragma once
// Where the time went, phase by phase, and what kept each from being faster.

#include <string>
#include <vector>

#include "engine/run/phase_clock.h"

namespace sluice {

struct PhaseExplanation {
  std::string name;  // as among the phases of report.json
  PhaseUse use;
};

struct Machine {
  unsigned cores = 1;
  bool has_server = false;  // the server runs on it, too
};

struct Explanation {
  Machine machine;
  std::vector<PhaseExplanation> phases;  // those that took any time
  std::uint64_t wal_bytes = 0;           // that the server wrote meanwhile, for whomever
  std::string wal_level;
  std::size_t tables_frozen = 0;  // loaded with COPY FREEZE
};

// The resource that bound the phase, in one sentence without a full stop.
std::string binding_of(const PhaseExplanation& phase, const Machine& machine);

// One line per phase, for stdout.
std::string explanation_text(const Explanation& explanation);

}  // namespace sluice
