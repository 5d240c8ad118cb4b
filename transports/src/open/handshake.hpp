// What is said over a connection before its messages, of our own framing: so that neither a program
// that connects by chance, nor a server of something else, is taken for the other side.
//
//   who has connected   at once, four bytes: a Hello
//   who listens         one byte: an Answer; after any but kConfirmed it closes
//
// With a framing of others nothing of this is said: whoever comes first is the other side.
//
// Then messages go, in the directions that the hello has named (framing.hpp, in which kSends is a
// frame without meaning).
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <span>

#include "rondo/core/platform.hpp"
#include "rondo/core/version.hpp"
#include "rondo/transports/url.hpp"
#include "stream/fd_stream.hpp"
#include "stream/framing.hpp"
#include "stream/secure_layer.hpp"

namespace rondo::inline RONDO_ABI::detail {

// What the one that has connected is going to do. Little-endian; lengths of messages are less.
enum class Hello : std::uint32_t {
  kSends = kHello,
  kReceives = 0xFFFFFFFC,
  kBoth = 0xFFFFFFFB,
  // The same of auto:, whose two sides have more to say (auto.cpp).
  kSendsEitherWay = 0xFFFFFFFA,
  kReceivesEitherWay = 0xFFFFFFF9,
};
inline constexpr std::size_t kHelloBytes = sizeof(Hello);

inline constexpr std::array kHellos{Hello::kSends, Hello::kReceives, Hello::kBoth,
                                    Hello::kSendsEitherWay, Hello::kReceivesEitherWay};

// What a side that does `ours`, one of the first three, says of a channel at `url`.
[[nodiscard]] inline Hello hello_at(const Url& url, Hello ours) noexcept {
  if (url.scheme != Scheme::kAuto) return ours;
  return ours == Hello::kSends ? Hello::kSendsEitherWay : Hello::kReceivesEitherWay;
}
// Whether one that says so can be the other side of a channel at `url`.
[[nodiscard]] inline bool is_of(Hello hello, const Url& url) noexcept {
  const bool either_way = hello == Hello::kSendsEitherWay || hello == Hello::kReceivesEitherWay;
  return either_way == (url.scheme == Scheme::kAuto);
}

[[nodiscard]] inline bool has_handshake(const Url& url) noexcept {
  return url.options.framing == Framing::kRondo;
}

// As read_socket(), and whether all of `bytes` went out at once: over the socket, or over what
// encrypts it, where that is not null.
[[nodiscard]] inline ByteStream::Moved receive_through(NativeHandle socket, SecureLayer* secure,
                                                       std::span<std::byte> room) noexcept {
  return secure != nullptr ? secure->read({room, {}}) : read_socket(socket, {room, {}});
}
[[nodiscard]] inline bool send_through(NativeHandle socket, SecureLayer* secure,
                                       std::span<const std::byte> bytes) noexcept {
  const std::array<std::span<const std::byte>, 1> pieces{bytes};
  const auto [outcome, moved] =
      secure != nullptr ? secure->write(pieces) : write_socket(socket, pieces);
  return outcome == ByteStream::Outcome::kMoved && moved == bytes.size();
}

enum class Answer : std::uint8_t {
  kConfirmed = 0x52,
  kWrongSide = 0x53,     // both would send, or both would receive; or only one is of auto:
  kNotPermitted = 0x54,  // to that user
  kFull = 0x55,          // as many as may be are connected already
};

}  // namespace rondo::inline RONDO_ABI::detail
