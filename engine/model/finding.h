#pragma once
// Something that must be decided before the first row moves.

#include <string>
#include <vector>

namespace sluice {

struct Finding {
  std::string table;    // of the source; empty when it concerns the whole
  std::string column;   // of the source; may be empty
  std::string what;     // with counts and, where there is one, the key of an example: never a value
  std::string resolve;  // the flag, or the line of the mapping, that would resolve it
  std::string origin;   // file:line of the mapping that asked for it; empty for what nobody asked for
};

// One line: where, what, what to do.
std::string describe(const Finding& finding);

}  // namespace sluice
