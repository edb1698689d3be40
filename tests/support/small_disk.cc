#include "support/small_disk.h"

#include <fcntl.h>
#include <sys/mount.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <string>
#include <system_error>

namespace sluice::testing {
namespace {

std::string options_for(std::uint64_t bytes) { return "mode=0777,size=" + std::to_string(bytes); }

void mount_at(const std::filesystem::path& path, unsigned long flags, std::uint64_t bytes) {
  if (::mount("tmpfs", path.c_str(), "tmpfs", flags | MS_NODEV | MS_NOSUID, options_for(bytes).c_str()) !=
      0) {
    throw std::system_error(errno, std::generic_category(), "mount " + path.string());
  }
}

}  // namespace

bool SmallDisk::available() {
  try {
    const SmallDisk disk(65536);
    return true;
  } catch (const std::system_error&) {
    return false;
  }
}

SmallDisk::SmallDisk(std::uint64_t bytes) : folder_("sluice-disk") { mount_at(folder_.path(), 0, bytes); }

SmallDisk::~SmallDisk() { ::umount2(folder_.path().c_str(), MNT_DETACH); }

void SmallDisk::resize(std::uint64_t bytes) { mount_at(folder_.path(), MS_REMOUNT, bytes); }

void SmallDisk::fill() {
  const std::filesystem::path file = folder_ / "filling";
  const int descriptor = ::open(file.c_str(), O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0644);
  if (descriptor < 0) throw std::system_error(errno, std::generic_category(), file.string());
  const std::array<char, 4096> page{};
  while (::write(descriptor, page.data(), page.size()) > 0) {
  }
  const bool full = errno == ENOSPC;
  ::close(descriptor);
  if (!full) throw std::system_error(errno, std::generic_category(), file.string());
}

}  // namespace sluice::testing
