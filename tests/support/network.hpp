// A network of a test's own, in a child: a loopback that can be switched, and settings that nobody
// else sees.
#pragma once

#include <fcntl.h>
#include <net/if.h>
#include <sched.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cstring>
#include <string>
#include <string_view>

namespace rondo::testing {

// The loopback is there, or cut: nothing that is sent arrives. False: not permitted.
inline bool switch_loopback(bool on) {
  const int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
  ifreq request{};
  std::strcpy(request.ifr_name, "lo");
  bool done = ioctl(fd, SIOCGIFFLAGS, &request) == 0;
  if (on) {
    request.ifr_flags = static_cast<short>(request.ifr_flags | IFF_UP);
  } else {
    request.ifr_flags = static_cast<short>(request.ifr_flags & ~IFF_UP);
  }
  done = done && ioctl(fd, SIOCSIFFLAGS, &request) == 0;
  close(fd);
  return done;
}

// This process, and those that it starts, have a network of their own from now on. False: not
// permitted.
inline bool enter_own_network() { return unshare(CLONE_NEWNET) == 0 && switch_loopback(true); }

// Of net/ in /proc/sys.
inline bool set_network(const std::string& name, std::string_view value) {
  const int fd = open(("/proc/sys/net/" + name).c_str(), O_WRONLY | O_CLOEXEC);
  const bool done = fd >= 0 && write(fd, value.data(), value.size()) > 0;
  close(fd);
  return done;
}

}  // namespace rondo::testing
