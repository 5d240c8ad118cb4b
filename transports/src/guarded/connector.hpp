// A receiver on its way into a guarded ring, step by step, so that one thread can open both ends.
#pragma once

#include <memory>
#include <optional>

#include "endpoint/record.hpp"
#include "guarded/wire.hpp"
#include "open/listening_socket.hpp"
#include "open/untrusted_descriptors.hpp"
#include "rondo/core/liveness.hpp"
#include "rondo/core/record_ring.hpp"
#include "rondo/core/segment.hpp"
#include "rondo/core/version.hpp"

namespace rondo::inline RONDO_ABI::detail {

// A receiver's own part of the ring, with its lock on it. One that hands it over and gives up may
// have been let in without knowing that yet, so it closes in order before it lets the lock go.
class GuardedPart {
 public:
  GuardedPart(Segment memory, LivenessLock lock) noexcept;
  GuardedPart(const GuardedPart&) = delete;
  GuardedPart& operator=(const GuardedPart&) = delete;
  ~GuardedPart();

  [[nodiscard]] RecordConsumerPart& consumer() noexcept;
  void close_in_order() noexcept;
  [[nodiscard]] LivenessLock& lock() noexcept { return lock_; }

 private:
  Segment memory_;
  LivenessLock lock_;
};

class GuardedConnector {
 public:
  // Connects. `name`, for people, stands in our part. Errors: kNotFound (no sender now),
  // kForeignOwner (a sender that the URL does not allow), kForeignObject, kPermission, kSystem.
  static Result<GuardedConnector> connect(const Url& url, const std::string& name);
  // The same over a connection that there is.
  static Result<GuardedConnector> over(FdStream socket, const Url& url, const std::string& name);

  // To say something first; it blocks nothing.
  [[nodiscard]] NativeHandle socket() const noexcept { return socket_.get(); }
  // Does what can be done now. True when it is in. Errors: kNotFound (the sender has gone),
  // kForeignOwner (it does not let us in), kBusy (it has a receiver), kBadMagic (it is no guarded
  // ring), kBadVersion, those of Segment::attach_fd() and record_ring::attach(), kCorrupt.
  Result<bool> step();
  // Waits until there is something to do, or `deadline`; at most for a moment.
  void wait(Deadline deadline) const noexcept;

  struct JoinedRing {
    std::unique_ptr<Membership> membership;
    RecordParts parts;
  };
  // Of the user's in front of each message, as the sender said.
  [[nodiscard]] const MessageHeaders& headers() const noexcept { return headers_; }
  // Once step() has said true.
  [[nodiscard]] JoinedRing join() &&;

 private:
  GuardedConnector(const Url& url, std::string name, FdStream socket)
      : url_(url), name_(std::move(name)), socket_(std::move(socket).release()) {}
  Result<void> take_offer(const GuardedOffer& offer, const OwnedFd& ring_fd);
  Result<void> answer(std::uint64_t start);

  Url url_;
  std::string name_;
  UntrustedSocket socket_;
  std::optional<Segment> ring_;  // none: the offer has not come yet
  std::unique_ptr<GuardedPart> part_;
  RecordParts parts_{};
  MessageHeaders headers_;
};

}  // namespace rondo::inline RONDO_ABI::detail
