// Bytes in order, to and from another side: what a channel of framed messages goes over. A pipe has
// one direction, a socket both. One that encrypts may have to read before it can write: so a wait
// says what for, and the stream knows what it waits for beneath.
#pragma once

#include <array>
#include <atomic>
#include <cstddef>
#include <cstdint>
#include <span>

#include "rondo/core/platform.hpp"
#include "rondo/core/version.hpp"
#include "rondo/sync/deadline.hpp"
#include "rondo/sync/wait.hpp"

namespace rondo::inline RONDO_ABI::detail {

// One thread at a time.
class ByteStream {
 public:
  enum class Outcome : std::uint8_t {
    kMoved,    // some bytes, at least one
    kNotNow,   // it would have to wait
    kEnd,      // the other side is gone, or has closed its direction
    kCutOff,   // the connection is lost; what the other side wrote last may be lost with it
    kCorrupt,  // what came is not what the other side sent
    kRefused   // for good: by the system, or as the stream is not for that direction
  };
  struct Moved {
    Outcome outcome;
    std::size_t bytes;
  };
  enum class Direction : std::uint8_t { kRead, kWrite };

  virtual ~ByteStream() = default;

  // Writes as much as it takes now; never blocks. A program whose peer is gone gets no signal.
  [[nodiscard]] virtual Moved write(
      std::span<const std::span<const std::byte>> pieces) noexcept = 0;
  // Reads what is there now, into the first span and then into the second; never blocks.
  [[nodiscard]] virtual Moved read(const std::array<std::span<std::byte>, 2>& room) noexcept = 0;
  // Waits until reading or writing is worth a try. Spinning modes return kReady at once for that.
  // kPeerGone is left to read() and write() to find.
  [[nodiscard]] virtual WaitResult wait(Direction direction, Deadline deadline, WaitMode mode,
                                        const std::atomic<bool>* stop) const noexcept = 0;
  // Whether read() may find something that fd() does not tell of.
  [[nodiscard]] virtual bool holds_more() const noexcept { return false; }
  // What of the other side has to be gone for it to be gone: of a stream of ours, that is read and
  // not written, it is when it has closed its own direction; others may only have nothing to say.
  enum class Gone : std::uint8_t { kEitherWay, kBothWays };
  // True if the other side is known to be gone. A system call.
  [[nodiscard]] virtual bool peer_gone(Gone gone = Gone::kEitherWay) const noexcept = 0;
  // What was read has made a whole message, or several.
  virtual void message_came() noexcept {}
  // How long close() may wait for the other side to take what was written.
  virtual void give_time(Deadline) noexcept {}
  // All has been written that ever will be. Waits until closing can't lose any of it, though the
  // other side talks to us; `talks`: it may, also where we do not receive.
  [[nodiscard]] virtual WaitResult wait_taken(Deadline, const std::atomic<bool>*,
                                              bool /*talks*/) noexcept {
    return WaitResult::kReady;
  }
  // What to wait for where others wait for many things; kNoHandle if there is none.
  [[nodiscard]] virtual NativeHandle fd() const noexcept = 0;
  virtual void close() noexcept = 0;
};

}  // namespace rondo::inline RONDO_ABI::detail
