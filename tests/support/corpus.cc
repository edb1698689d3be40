#include "support/corpus.h"
#include "support/directories.h"

#include <unistd.h>

#include <atomic>
#include <cstdlib>
#include <stdexcept>
#include <string>

#include "support/command.h"
#include "support/temporary_directory.h"

namespace sluice::testing {
namespace {

namespace fs = std::filesystem;

fs::path unpacked(const fs::path& packed) {
  const fs::path folder = fs::path(binary_directory()) / "corpus";
  const fs::path result = folder / packed.stem();
  if (fs::exists(result) && fs::last_write_time(result) >= fs::last_write_time(packed)) return result;
  fs::create_directories(folder);
  // Tests run side by side: each unpacks under a name of its own, and the rename is all or nothing.
  const fs::path mine = folder / (packed.stem().string() + "." + std::to_string(getpid()));
  const CommandResult command = run_command({"zstd", "-d", "-q", "-f", packed, "-o", mine});
  if (command.exit_status != 0) throw std::runtime_error("zstd: " + command.err);
  fs::last_write_time(mine, fs::file_time_type::clock::now());  // zstd kept the packed file's time
  fs::rename(mine, result);
  return result;
}

}  // namespace

std::optional<fs::path> corpus_file(std::string_view name) {
  const char* given = std::getenv("SLUICE_CORPUS");
  const fs::path folder =
      given != nullptr ? fs::path(given) : fs::path(source_directory() + "/../shared/corpus");
  const std::string file = std::string(name) + ".sqlite";
  fs::path found = folder / file;
  if (!fs::exists(found)) {
    const fs::path packed = folder / (file + ".zst");
    if (!fs::exists(packed)) return std::nullopt;
    found = unpacked(packed);
  }
  static const TemporaryDirectory copies("sluice-corpus");
  static std::atomic<int> count = 0;
  // A folder per copy keeps the file's own name, which reports show.
  const fs::path copy = copies / std::to_string(count++) / file;
  fs::create_directories(copy.parent_path());
  fs::copy_file(found, copy);
  fs::permissions(
      copy, fs::perms::owner_read | fs::perms::owner_write | fs::perms::group_read | fs::perms::others_read);
  return copy;
}

}  // namespace sluice::testing
