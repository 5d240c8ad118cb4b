// A socket of UDP that is not ours, for what comes and goes by hand.
#pragma once

#include <arpa/inet.h>
#include <netinet/in.h>
#include <sys/socket.h>

#include <cstdint>
#include <stdexcept>
#include <string>
#include <string_view>

#include "rondo/core/descriptor.hpp"

namespace rondo::testing {

inline std::uint16_t port_of(std::string_view url) {
  return static_cast<std::uint16_t>(std::stoi(std::string(url.substr(url.rfind(':') + 1))));
}

// At a port of 127.0.0.1 that is its own.
class UdpSocket {
 public:
  UdpSocket() : fd_(socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0)) {
    sockaddr_in address = at(0);
    socklen_t size = sizeof address;
    auto* const raw = reinterpret_cast<sockaddr*>(&address);
    if (bind(fd_.get(), raw, size) != 0 || getsockname(fd_.get(), raw, &size) != 0) {
      throw std::runtime_error("no port of UDP");
    }
    port_ = ntohs(address.sin_port);
  }
  [[nodiscard]] std::string url() const { return "udp://127.0.0.1:" + std::to_string(port_); }
  void send_to(std::uint16_t port, std::string_view datagram) const {
    const sockaddr_in to = at(port);
    const ssize_t sent = sendto(fd_.get(), datagram.data(), datagram.size(), MSG_NOSIGNAL,
                                reinterpret_cast<const sockaddr*>(&to), sizeof to);
    if (sent != static_cast<ssize_t>(datagram.size())) throw std::runtime_error("sendto failed");
  }
  // The next one; waits for it.
  [[nodiscard]] std::string receive() const {
    std::string datagram(65'536, '\0');
    sockaddr_in from{};
    socklen_t from_size = sizeof from;
    const ssize_t size = recvfrom(fd_.get(), datagram.data(), datagram.size(), 0,
                                  reinterpret_cast<sockaddr*>(&from), &from_size);
    from_ = ntohs(from.sin_port);
    datagram.resize(size > 0 ? static_cast<std::size_t>(size) : 0);
    return datagram;
  }

  // The port that it came from.
  [[nodiscard]] std::uint16_t from() const noexcept { return from_; }

 private:
  static sockaddr_in at(std::uint16_t port) {
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_port = htons(port);
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    return address;
  }
  detail::UniqueFd fd_;
  std::uint16_t port_ = 0;
  mutable std::uint16_t from_ = 0;
};

}  // namespace rondo::testing
