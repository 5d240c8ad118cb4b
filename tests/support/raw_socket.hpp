// A peer that is not ours: sockets as the system has them, and what goes over them by hand.
#pragma once

#include <arpa/inet.h>
#include <netinet/in.h>
#include <poll.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <string>
#include <string_view>
#include <utility>

#include "rondo/core/descriptor.hpp"

namespace rondo::testing {

inline constexpr std::string_view kHelloOfSender{"\xFE\xFF\xFF\xFF", 4};
inline constexpr std::string_view kHelloOfReceiver{"\xFC\xFF\xFF\xFF", 4};
inline constexpr std::string_view kHelloOfBoth{"\xFB\xFF\xFF\xFF", 4};
inline constexpr std::string_view kConfirmation{"\x52", 1};
inline constexpr std::string_view kEndMark{"\xFF\xFF\xFF\xFF", 4};

// As it goes over a byte stream.
inline std::string frame_of(std::string_view message) {
  const auto size = static_cast<std::uint32_t>(message.size());
  std::string frame(sizeof size, '\0');
  std::memcpy(frame.data(), &size, sizeof size);
  return frame.append(message);
}

class RawSocket {
 public:
  // For the address of a URL: unix:PATH, unix:@NAME, tcp://127.0.0.1:PORT.
  explicit RawSocket(std::string_view url) {
    if (url.starts_with("tcp:")) {
      auto* internet = reinterpret_cast<sockaddr_in*>(&address_);
      internet->sin_family = AF_INET;
      internet->sin_addr.s_addr = htonl(INADDR_LOOPBACK);
      internet->sin_port =
          htons(static_cast<std::uint16_t>(std::stoi(std::string(url.substr(url.rfind(':') + 1)))));
      size_ = sizeof *internet;
    } else {
      url.remove_prefix(url.find(':') + 1);
      auto* local = reinterpret_cast<sockaddr_un*>(&address_);
      local->sun_family = AF_UNIX;
      url.copy(local->sun_path, sizeof local->sun_path);
      if (url.starts_with('@')) local->sun_path[0] = '\0';
      size_ = static_cast<socklen_t>(offsetof(sockaddr_un, sun_path) + url.size() +
                                     (url.starts_with('@') ? 0 : 1));
    }
    fd_ = detail::UniqueFd(socket(address_.ss_family, SOCK_STREAM | SOCK_CLOEXEC, 0));
  }
  explicit RawSocket(detail::UniqueFd fd) noexcept : fd_(std::move(fd)) {}

  [[nodiscard]] bool try_connect() const {
    return ::connect(fd(), reinterpret_cast<const sockaddr*>(&address_), size_) == 0;
  }
  // Once a process listens there.
  void connect() const {
    while (!try_connect()) usleep(500);
  }
  [[nodiscard]] bool listen() const {
    const int reuse = 1;
    setsockopt(fd(), SOL_SOCKET, SO_REUSEADDR, &reuse, sizeof reuse);
    return bind(fd(), reinterpret_cast<const sockaddr*>(&address_), size_) == 0 &&
           ::listen(fd(), 16) == 0;
  }
  [[nodiscard]] RawSocket next() const {
    return RawSocket(detail::UniqueFd(accept4(fd(), nullptr, nullptr, SOCK_CLOEXEC)));
  }
  void send(std::string_view bytes) const {
    while (!bytes.empty()) {
      const ssize_t sent = ::send(fd(), bytes.data(), bytes.size(), MSG_NOSIGNAL);
      if (sent <= 0) return;
      bytes.remove_prefix(static_cast<std::size_t>(sent));
    }
  }
  // `count` bytes, or fewer at the end.
  [[nodiscard]] std::string receive(std::size_t count) const {
    std::string bytes(count, '\0');
    std::size_t there = 0;
    while (there < count) {
      const ssize_t came = recv(fd(), bytes.data() + there, count - there, 0);
      if (came <= 0) break;
      there += static_cast<std::size_t>(came);
    }
    bytes.resize(there);
    return bytes;
  }
  [[nodiscard]] std::string receive_all() const {
    std::string all;
    for (std::string part = receive(4096);; part = receive(4096)) {
      all += part;
      if (part.size() < 4096) return all;
    }
  }
  void close() { fd_ = detail::UniqueFd(); }
  [[nodiscard]] int fd() const noexcept { return fd_.get(); }

 private:
  detail::UniqueFd fd_;
  sockaddr_storage address_{};
  socklen_t size_ = 0;
};

}  // namespace rondo::testing
