// What stands behind a handle's ring. Only slow paths come here: a full or an empty ring, a peer
// that sleeps or has left, a system call.
#pragma once

#include <cstddef>
#include <memory>
#include <string>
#include <utility>

#include "rondo/core/record_ring.hpp"
#include "rondo/sync/deadline.hpp"
#include "rondo/sync/doorbell.hpp"
#include "rondo/transports/channel_info.hpp"
#include "rondo/transports/receiver.hpp"
#include "rondo/transports/sender.hpp"
#include "rondo/transports/status.hpp"
#include "rondo/transports/url.hpp"

namespace rondo::detail {

// True of a status after which a handle does nothing any more.
[[nodiscard]] constexpr bool is_final(Status status) noexcept {
  switch (status) {
    case Status::kOk:
    case Status::kWouldBlock:
    case Status::kTimedOut:
    case Status::kInterrupted:
    case Status::kTooLarge: return false;
    default: return true;
  }
}

// The status of a call that did not wait long enough.
[[nodiscard]] inline Status too_late(Deadline deadline) noexcept {
  return deadline == Deadline::now() ? Status::kWouldBlock : Status::kTimedOut;
}

// What a handle is called in ChannelInfo.
class Named {
 public:
  explicit Named(const Url& url) : scheme_(url.scheme), name_(url.name()) {}
  void name(ChannelInfo& info) const {
    info.scheme = scheme_;
    info.name = name_;
  }

 private:
  Scheme scheme_;
  std::string name_;
};

// The handle passes its own ring end and bell in, so that they can be its members and move with it.
class SenderBackend : public Named {
 public:
  using Named::Named;
  virtual ~SenderBackend() = default;

  // True when this object came here by fork().
  [[nodiscard]] virtual bool forked() const noexcept = 0;
  // Waits for room for `size_bytes`; kOk when producer.try_reserve() will find it.
  [[nodiscard]] virtual Status wait_for_room(record_ring::Producer& producer, Ringer& ringer,
                                             std::size_t size_bytes,
                                             Deadline deadline) noexcept = 0;
  // Passes on what was committed: wakes the receiver, or writes it out, waiting until `deadline`.
  // kOk unless the channel is over.
  [[nodiscard]] virtual Status published(Ringer& ringer, Deadline deadline) noexcept = 0;
  [[nodiscard]] virtual Status flush(record_ring::Producer& producer, Ringer& ringer,
                                     Deadline deadline) noexcept = 0;
  // Ends the stream in order if `status` (the handle's) allows it, and leaves. Called once.
  [[nodiscard]] virtual Status close(record_ring::Producer& producer, Ringer& ringer, Status status,
                                     Deadline deadline) noexcept = 0;
  [[nodiscard]] virtual bool receiver_attached() noexcept = 0;
  [[nodiscard]] virtual Status wait_for_receiver(Ringer& ringer, Deadline deadline) noexcept = 0;
  virtual void describe(const record_ring::Producer& producer, ChannelInfo& info) const = 0;
};

class ReceiverBackend : public Named {
 public:
  using Named::Named;
  virtual ~ReceiverBackend() = default;

  [[nodiscard]] virtual bool forked() const noexcept = 0;
  // Waits for a record; kOk when it has been peeked at.
  [[nodiscard]] virtual Status fetch(record_ring::Consumer& consumer,
                                     Deadline deadline) noexcept = 0;
  // Leaves in order. Called once.
  virtual void detach(record_ring::Consumer& consumer, Ringer& ringer) noexcept = 0;
  virtual void describe(const record_ring::Consumer& consumer, ChannelInfo& info) const = 0;
};

// What an opened end consists of.
struct SenderParts {
  record_ring::Producer producer;
  Ringer ringer;
  std::unique_ptr<SenderBackend> backend;
};
struct ReceiverParts {
  record_ring::Consumer consumer;
  Ringer ringer;
  std::unique_ptr<ReceiverBackend> backend;
  // A receiver that finds nothing asks the backend at every so many looks: 1, or a power of two
  // where nothing comes of asking but news of the other side's death.
  std::uint32_t looks_per_fetch = 1;
};
using PairParts = std::pair<SenderParts, ReceiverParts>;

// How often fork() has been called on the way from the first process to this one, as far as this
// library has been watching. An object that was made at another count was inherited.
[[nodiscard]] std::uint32_t fork_count() noexcept;

}  // namespace rondo::detail
