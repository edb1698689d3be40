#pragma once
// A file system that is soon full, and that can be made larger while it is in use: a tmpfs.

#include <cstdint>
#include <filesystem>

#include "support/temporary_directory.h"

namespace sluice::testing {

// Mounted as long as it lives. Needs root: see available().
class SmallDisk {
 public:
  // Whether this process may mount at all; skip, visibly, where not.
  static bool available();

  // Throws std::system_error when it cannot be mounted. On it everybody may write.
  explicit SmallDisk(std::uint64_t bytes);
  ~SmallDisk();  // also under files that are still open
  SmallDisk(const SmallDisk&) = delete;
  SmallDisk& operator=(const SmallDisk&) = delete;

  void resize(std::uint64_t bytes);
  void fill();  // takes all the room that is left, with a file `filling`

  [[nodiscard]] const std::filesystem::path& path() const { return folder_.path(); }

 private:
  TemporaryDirectory folder_;
};

}  // namespace sluice::testing
