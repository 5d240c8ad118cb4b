// Where the messages of a staging ring go, and where they come from: the two ends of a mechanism
// that a channel goes over, which keeps the messages apart itself or has to be helped. A handle
// moves messages into and out of the ring; these move them between the ring and the mechanism,
// from the same thread.
#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>

#include "rondo/core/platform.hpp"
#include "rondo/core/version.hpp"
#include "rondo/sync/deadline.hpp"
#include "rondo/sync/wait.hpp"
#include "rondo/transports/channel_info.hpp"
#include "rondo/transports/status.hpp"

namespace rondo::inline RONDO_ABI::detail {

// What both ends have.
class Conduit {
 public:
  virtual ~Conduit() = default;

  // Waits until another move is worth a try. Spinning modes return kReady at once for that.
  // kPeerGone is left to the move to find.
  [[nodiscard]] virtual WaitResult wait(Deadline deadline, WaitMode mode,
                                        const std::atomic<bool>* stop) const noexcept = 0;
  // What to wait for where others wait for many things; kNoHandle if there is none.
  [[nodiscard]] virtual NativeHandle fd() const noexcept = 0;
  // Of the largest message that the mechanism takes; the ring may take less.
  [[nodiscard]] virtual std::size_t max_message_bytes() const noexcept { return ~std::size_t{0}; }
  // Of a mechanism whose descriptor does not tell that the other side has gone: a number that
  // changes with that. Asked for by another thread, beside any other call.
  [[nodiscard]] virtual bool has_pulse() const noexcept { return false; }
  [[nodiscard]] virtual std::uint64_t pulse() const noexcept { return 0; }
  // What is known of the mechanism: ChannelInfo::kind.
  virtual void describe(ChannelInfo& info) const { info.kind = StreamInfo(); }
  virtual void close() noexcept = 0;
};

// The sending end. It is the consumer of the ring.
class Outlet : public Conduit {
 public:
  // Moves on what was committed to the ring, as much as goes now; never blocks. `all`: nothing is
  // left. kOk, or kPeerGone or kIoError for good.
  [[nodiscard]] virtual Status move_on(bool& all) noexcept = 0;
  // From now on the last message is followed by the end of the stream: in order, or broken off.
  virtual void finish(bool in_order) noexcept = 0;
  // After all has been moved on: waits until close() can't lose any of it.
  [[nodiscard]] virtual WaitResult wait_taken(Deadline, const std::atomic<bool>*) noexcept {
    return WaitResult::kReady;
  }
  // True if the other side is known to be gone. A system call.
  [[nodiscard]] virtual bool peer_gone() const noexcept = 0;
  // Waits until the other side is there, or has been.
  [[nodiscard]] virtual WaitResult wait_for_receiver(Deadline, const std::atomic<bool>*) noexcept {
    // It was there when the channel was opened.
    return peer_gone() ? WaitResult::kPeerGone : WaitResult::kReady;
  }
};

// The receiving end. It is the producer of the ring.
class Inlet : public Conduit {
 public:
  enum class Outcome : std::uint8_t {
    kMoved,   // something came, perhaps not yet a whole message
    kNotNow,  // it would have to wait
    kOver     // nothing will come any more: once it is all taken in, state() says why
  };

  // Makes messages in the ring of what has come already. False if it has to be called again once
  // the ring has been drained.
  [[nodiscard]] virtual bool take_in() noexcept = 0;
  // Lets in what is there now; never blocks. Only when take_in() has said true.
  [[nodiscard]] virtual Outcome let_in() noexcept = 0;
  // Whether let_in() may find something that fd() does not tell of.
  [[nodiscard]] virtual bool holds_more() const noexcept { return false; }
  // kOk while messages can come; else why not: kEnded, kPeerGone, kPeerDied, kCorrupt, kIoError.
  [[nodiscard]] virtual Status state() const noexcept = 0;
  // Messages that the mechanism has lost, of those that have come in or should have.
  [[nodiscard]] virtual std::uint64_t lost() const noexcept { return 0; }
};

}  // namespace rondo::inline RONDO_ABI::detail
