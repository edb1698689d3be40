#include "support/network_namespace.h"

#include <net/if.h>
#include <sched.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <system_error>

namespace sluice::testing {

bool enter_network_namespace() {
  if (::unshare(CLONE_NEWNET) != 0) return false;
  set_loopback(true);
  return true;
}

void set_loopback(bool up) {
  const int any = ::socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
  if (any < 0) throw std::system_error(errno, std::generic_category(), "socket");
  ifreq request{};
  std::strncpy(request.ifr_name, "lo", sizeof request.ifr_name - 1);
  int failed = ::ioctl(any, SIOCGIFFLAGS, &request);
  const int flags = up ? request.ifr_flags | IFF_UP : request.ifr_flags & ~IFF_UP;
  request.ifr_flags = static_cast<short>(flags);
  if (failed == 0) failed = ::ioctl(any, SIOCSIFFLAGS, &request);
  const int error = errno;
  ::close(any);
  if (failed != 0) throw std::system_error(error, std::generic_category(), "lo");
}

}  // namespace sluice::testing
