#include "io/store/beneath.h"

#include <fcntl.h>
#include <linux/openat2.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cerrno>
#include <cstddef>
#include <utility>

namespace sluice {

Descriptor::~Descriptor() {
  if (descriptor_ < 0) return;
  const int kept = errno;  // often what an error on its way out is about
  ::close(descriptor_);
  errno = kept;
}

Descriptor::Descriptor(Descriptor&& other) noexcept : descriptor_(std::exchange(other.descriptor_, -1)) {}

Descriptor& Descriptor::operator=(Descriptor&& other) noexcept {
  std::swap(descriptor_, other.descriptor_);
  return *this;
}

int Descriptor::release() { return std::exchange(descriptor_, -1); }

Descriptor open_beneath(int folder, const std::string& path, int flags, mode_t mode) {
  open_how how{};
  how.flags = static_cast<unsigned>(flags | O_CLOEXEC);
  how.mode = (flags & O_CREAT) != 0 ? mode : 0;
  how.resolve = RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS | RESOLVE_NO_MAGICLINKS;
  // EAGAIN: something was renamed meanwhile, and the kernel could not tell whether the path leads out.
  for (int attempt = 0; attempt < 32; ++attempt) {
    const long opened = ::syscall(SYS_openat2, folder, path.c_str(), &how, sizeof how);
    if (opened >= 0) return Descriptor(static_cast<int>(opened));
    // Old filters of containers say EPERM to every call that they do not know.
    if (errno == ENOSYS || errno == EPERM) return open_beneath_by_hand(folder, path, flags, mode);
    if (errno != EAGAIN && errno != EINTR) break;
  }
  return {};
}

Descriptor open_beneath_by_hand(int folder, const std::string& path, int flags, mode_t mode) {
  if (path.empty()) {
    errno = ENOENT;
    return {};
  }
  if (path.front() == '/') {
    errno = EXDEV;
    return {};
  }
  Descriptor above;
  int from = folder;
  for (std::size_t begin = 0;;) {
    const std::size_t slash = path.find('/', begin);
    const std::string part = path.substr(begin, slash == std::string::npos ? slash : slash - begin);
    if (part == "..") {
      errno = EXDEV;
      return {};
    }
    if (slash == std::string::npos) {
      return Descriptor(
          ::openat(from, part.empty() ? "." : part.c_str(), flags | O_NOFOLLOW | O_CLOEXEC, mode));
    }
    if (!part.empty()) {
      Descriptor next(::openat(from, part.c_str(), O_PATH | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC));
      if (!next) return {};
      above = std::move(next);
      from = above.get();
    }
    begin = slash + 1;
  }
}

}  // namespace sluice
