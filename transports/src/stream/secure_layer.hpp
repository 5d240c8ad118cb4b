// What encrypts a connection, between its socket and those who read and write: TLS
// (tls/session_openssl.cpp). Whoever has the socket has this beside it.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <string>

#include "rondo/core/platform.hpp"
#include "rondo/core/version.hpp"
#include "stream/byte_stream.hpp"

namespace rondo::inline RONDO_ABI::detail {

// A thread for each direction, at the same time. Nothing here waits; what is waited for is the
// socket: to be readable, or, while has_unsent(), writable.
class SecureLayer {
 public:
  using Outcome = ByteStream::Outcome;
  using Moved = ByteStream::Moved;
  enum class Handshake : std::uint8_t {
    kDone,    // both sides are who they have to be, as far as this side has to know
    kNotNow,  // it would have to wait
    kGone,    // the other side has closed the connection
    kRefused  // one side does not want the other; why() says more
  };

  virtual ~SecureLayer() = default;

  // Moves the handshake on. Of a side that connects, kDone may come before the other side has
  // judged it: then the first read says what has become of that.
  [[nodiscard]] virtual Handshake shake_hands() noexcept = 0;
  enum class Refusal : std::uint8_t {
    kNone,      // it has not failed, or was lost
    kStranger,  // one side is not who the other one wants to talk to
    kNoTls      // what has come makes no sense
  };
  [[nodiscard]] virtual Refusal refusal() const noexcept = 0;
  // Why the connection failed, for people; empty: it has not.
  [[nodiscard]] virtual std::string why() const = 0;
  // Whom the other side has proved to be: the subject of its certificate, or what the key is called
  // that both have; empty: it had to prove nothing. After the handshake.
  [[nodiscard]] virtual std::string peer_identity() const = 0;

  // As those of ByteStream. After kNotNow the same bytes come again, perhaps with more behind them.
  [[nodiscard]] virtual Moved write(
      std::span<const std::span<const std::byte>> pieces) noexcept = 0;
  // kEnd: the other side has said that it has sent all; a connection that ends without that word is
  // kCutOff, whoever ended it.
  [[nodiscard]] virtual Moved read(const std::array<std::span<std::byte>, 2>& room) noexcept = 0;
  // Whether something may be there to be read that the socket does not tell of. The reader's.
  [[nodiscard]] virtual bool holds_more() const noexcept = 0;
  // Whether something is still to be written that nobody hands in again.
  [[nodiscard]] virtual bool has_unsent() const noexcept = 0;
  // Whether the last write waits for a read, of which the socket does not tell: something has come
  // in part that has to be whole before anything is written.
  [[nodiscard]] virtual bool wants_reader() const noexcept = 0;
  // Says that this side has sent all; nothing is written after that. Not where a write has not come
  // to its end: then the other side is to see that something is missing. True: there is nothing
  // left to be said.
  [[nodiscard]] virtual bool end() noexcept = 0;
};

// What the connections of one channel, or of one listener, have in common: certificates and keys,
// as they stood in the files when it was made.
class SecureSide {
 public:
  virtual ~SecureSide() = default;
  // A new connection over a connected socket, which outlives it. Null: there is no memory for it.
  [[nodiscard]] virtual std::unique_ptr<SecureLayer> begin(NativeHandle socket) = 0;
};

}  // namespace rondo::inline RONDO_ABI::detail
