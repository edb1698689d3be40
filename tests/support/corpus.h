#pragma once

#include <filesystem>
#include <optional>
#include <string_view>

namespace sluice::testing {

// A real database that nobody on this project wrote: corpus_file("chinook"). The result is a copy for the
// caller alone, writable, and gone when the test program ends. Looked for in SLUICE_CORPUS, else in
// ../shared/corpus beside the source tree; a .zst file is unpacked with the zstd program into the build
// directory, once.
//
// nullopt when it is not there. Say so: GTEST_SKIP() << "no corpus file chinook";
std::optional<std::filesystem::path> corpus_file(std::string_view name);

}  // namespace sluice::testing
