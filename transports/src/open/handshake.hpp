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

#include <cstddef>
#include <cstdint>

#include "rondo/core/version.hpp"
#include "rondo/transports/url.hpp"
#include "stream/framing.hpp"

namespace rondo::inline RONDO_ABI::detail {

// What the one that has connected is going to do. Little-endian; lengths of messages are less.
enum class Hello : std::uint32_t {
  kSends = kHello,
  kReceives = 0xFFFFFFFC,
  kBoth = 0xFFFFFFFB,
};
inline constexpr std::size_t kHelloBytes = sizeof(Hello);

[[nodiscard]] inline bool has_handshake(const Url& url) noexcept {
  return url.options.framing == Framing::kRondo;
}

enum class Answer : std::uint8_t {
  kConfirmed = 0x52,
  kWrongSide = 0x53,     // both would send, or both would receive
  kNotPermitted = 0x54,  // to that user
  kFull = 0x55,          // as many as may be are connected already
};

}  // namespace rondo::inline RONDO_ABI::detail
