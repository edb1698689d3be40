#include "support/directories.h"

namespace sluice::testing {

std::string source_directory() { return SLUICE_SOURCE_DIR; }
std::string binary_directory() { return SLUICE_BINARY_DIR; }

}  // namespace sluice::testing
