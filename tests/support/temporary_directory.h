#pragma once
// A fresh folder that is gone, with everything in it, when the object is.

#include <stdlib.h>  // mkdtemp
#include <sys/stat.h>

#include <cerrno>
#include <filesystem>
#include <string>
#include <string_view>
#include <system_error>
#include <utility>

namespace sluice::testing {

// Under TMPDIR, or /tmp. Other users may enter and read it (0755): as root the server under test runs as
// another user, and must get through.
class TemporaryDirectory {
 public:
  explicit TemporaryDirectory(std::string_view prefix = "sluice-test") {
    std::string name = (std::filesystem::temp_directory_path() / prefix).string() + "-XXXXXX";
    if (mkdtemp(name.data()) == nullptr) throw std::system_error(errno, std::generic_category(), name);
    ::chmod(name.c_str(), 0755);
    path_ = name;
  }
  ~TemporaryDirectory() {
    std::error_code ignored;  // a destructor has no one to tell, and the folder is only temporary
    if (!path_.empty()) std::filesystem::remove_all(path_, ignored);
  }
  TemporaryDirectory(TemporaryDirectory&& other) noexcept : path_(std::exchange(other.path_, {})) {}
  TemporaryDirectory& operator=(TemporaryDirectory&&) = delete;

  [[nodiscard]] const std::filesystem::path& path() const { return path_; }
  [[nodiscard]] std::filesystem::path operator/(const std::filesystem::path& name) const {
    return path_ / name;
  }

 private:
  std::filesystem::path path_;
};

}  // namespace sluice::testing
