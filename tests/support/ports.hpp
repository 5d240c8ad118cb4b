// Ports of TCP for tests.
#pragma once

#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

#include <atomic>
#include <cstdint>
#include <stdexcept>
#include <string>

namespace rondo::testing {

// A socket bound to a port of 127.0.0.1, or -1.
inline int bound_socket(std::uint16_t port) {
  const int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_port = htons(port);
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  if (bind(fd, reinterpret_cast<sockaddr*>(&address), sizeof address) == 0) return fd;
  close(fd);
  return -1;
}

// One that no process has now. Below those that the system gives to connections, so that none of
// these takes it before the test does; and where another test begins to look depends on its pid.
inline std::uint16_t free_port() {
  static std::atomic<unsigned> counter{0};
  constexpr unsigned kFirst = 10'000;
  constexpr unsigned kPorts = 22'000;
  for (unsigned tries = 0; tries < kPorts; ++tries) {
    const unsigned index = static_cast<unsigned>(getpid()) * 83 + counter++;
    const auto port = static_cast<std::uint16_t>(kFirst + index % kPorts);
    const int fd = bound_socket(port);
    if (fd < 0) continue;
    close(fd);
    return port;
  }
  throw std::runtime_error("no port is free");
}

inline std::string free_tcp_url() { return "tcp://127.0.0.1:" + std::to_string(free_port()); }

}  // namespace rondo::testing
