#pragma once
// Opening files beneath a folder, so that nothing in that folder can lead out of it: no "..", no absolute
// path, no symbolic link on the way or at its end. Whoever may write into a store must not thereby make us
// read or write elsewhere.

#include <sys/types.h>

#include <string>

namespace sluice {

// Owns a file descriptor; -1 when it has none.
class Descriptor {
 public:
  Descriptor() = default;
  explicit Descriptor(int descriptor) : descriptor_(descriptor) {}
  ~Descriptor();
  Descriptor(Descriptor&& other) noexcept;
  Descriptor& operator=(Descriptor&& other) noexcept;

  [[nodiscard]] int get() const { return descriptor_; }
  [[nodiscard]] int release();  // somebody else closes it
  explicit operator bool() const { return descriptor_ >= 0; }

 private:
  int descriptor_ = -1;
};

// As openat(2), always with O_CLOEXEC; `path` is relative. Without a descriptor, errno says why: ELOOP for a
// symbolic link (ENOTDIR where a folder was asked for), EXDEV for what leads out.
//
// openat2(2) does it in one call. Where the kernel or a container's filter does not know it, the path is
// walked by hand.
Descriptor open_beneath(int folder, const std::string& path, int flags, mode_t mode = 0);

// The same, always by hand. For the test of it.
Descriptor open_beneath_by_hand(int folder, const std::string& path, int flags, mode_t mode = 0);

}  // namespace sluice
