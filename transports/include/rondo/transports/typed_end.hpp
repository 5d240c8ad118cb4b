// What the typed handles have in common, whatever their type: the membership, the peer, the wait.
#pragma once

#include <cstdint>
#include <string_view>

#include "rondo/core/attachment.hpp"
#include "rondo/core/callback.hpp"
#include "rondo/core/liveness.hpp"
#include "rondo/core/participants.hpp"
#include "rondo/core/result.hpp"
#include "rondo/core/segment_header.hpp"
#include "rondo/core/version.hpp"
#include "rondo/sync/deadline.hpp"
#include "rondo/sync/probe_pacer.hpp"
#include "rondo/sync/wait.hpp"
#include "rondo/transports/status.hpp"
#include "rondo/transports/typed_options.hpp"

namespace rondo::inline RONDO_ABI::detail {

// Whether what stands at the name has the user's tag. Errors: kGeometryMismatch.
[[nodiscard]] RONDO_API Result<void> check_tag(const Geometry& found, std::uint64_t tag,
                                               std::string_view name);

// Opens, and while that fails and `may_come` says that it may come yet, again after growing pauses,
// until the timeout has passed. Errors: kTimedOut when the stop flag is set; those of `attempt`.
[[nodiscard]] RONDO_API Result<void> open_again(const TypedOptions& options,
                                                const FunctionRef<Result<void>()>& attempt,
                                                const FunctionRef<bool()>& may_come);

// One side's place, once it is taken. Not thread-safe.
class RONDO_API TypedEnd {
 public:
  // The peers: the slots from `peer_slot` on. What becomes of the first one's owners is told, but
  // for those who had gone when we took our place: `gone_before`, as generation() counts.
  TypedEnd(AttachmentBase attachment, std::uint32_t peer_slot, std::uint32_t peers,
           std::uint32_t gone_before, const TypedOptions& options);

  [[nodiscard]] bool forked() const noexcept { return attachment_.forked(); }
  [[nodiscard]] bool damaged() const noexcept { return attachment_.damaged(); }
  [[nodiscard]] bool keep() const noexcept { return keep_; }
  // A system call.
  [[nodiscard]] Presence peer() const noexcept;
  // The `index`th peer's place.
  [[nodiscard]] Presence peer_at(std::uint32_t index) const noexcept;
  // The last one of those who had gone counts, too: it has left something.
  void count_on_predecessor() noexcept { came_ = true; }

  // kOk; or kCorrupt when memory was taken away; and, of a peer that is absent and was there at any
  // time since we came, kPeerGone when it gave up, as the participant table has it, kPeerDied when
  // it died. When it left in order, as `left` says, kOk, too: the handle hears of that itself. Asks
  // the kernel.
  using PeerLeft = FunctionRef<bool()>;
  [[nodiscard]] Status lost(const PeerLeft& left) noexcept;

  // Waits until `ready`; kOk then, else kWouldBlock, kTimedOut, kInterrupted, or what lost() says.
  template <class Bell, class Ready>
  [[nodiscard]] Status wait(Bell& bell, Deadline deadline, Ready&& ready, const PeerLeft& left) {
    Status why = Status::kOk;
    const auto is_lost = [&] { return (why = lost(left)) != Status::kOk; };
    if (deadline == Deadline::now()) {
      if (ready()) return Status::kOk;
      if (!pacer_.due() || !is_lost()) return Status::kWouldBlock;
      return ready() ? Status::kOk : why;
    }
    switch (strategy_.wait(bell, deadline, ready, is_lost)) {
      case WaitResult::kReady: return Status::kOk;
      case WaitResult::kTimedOut: return Status::kTimedOut;
      case WaitResult::kInterrupted: return Status::kInterrupted;
      case WaitResult::kPeerGone: break;
    }
    return why;
  }

  // The same, for a handle that hears of its peer's leaving in order from `left`, and of nonsense
  // from `corrupt`: kOk when `ready` held, kCorrupt, and `gone` when the peer has left and nothing
  // is ready. What was true at one look is not asked for again: a peer may die in between.
  template <class Bell, class Ready, class Corrupt>
  [[nodiscard]] Status wait(Bell& bell, Deadline deadline, Ready&& ready, Corrupt&& corrupt,
                            const PeerLeft& left, const FunctionRef<Status()>& gone) {
    Status found = Status::kOk;
    const auto look = [&] {
      found = Status::kOk;
      if (ready()) return true;
      if (corrupt()) {
        found = Status::kCorrupt;
        return true;
      }
      if (!left()) return false;
      // What the peer did before it left comes first.
      if (!ready()) found = corrupt() ? Status::kCorrupt : gone();
      return true;
    };
    const Status status = wait(bell, deadline, look, left);
    return status == Status::kOk ? found : status;
  }

  // AttachmentBase::leave().
  void leave(const Participants::NameGoes& name_goes) noexcept { attachment_.leave(name_goes); }

 private:
  AttachmentBase attachment_;
  std::uint32_t peer_slot_;
  std::uint32_t peers_;
  std::uint32_t gone_before_;
  bool came_ = false;  // a peer that counts has been there
  bool keep_;
  WaitStrategy strategy_;
  ProbePacer pacer_;
};

// Whether this status is the last one of a handle.
[[nodiscard]] constexpr bool is_last(Status status) noexcept {
  return status == Status::kEnded || status == Status::kPeerGone || status == Status::kPeerDied ||
         status == Status::kCorrupt;
}

}  // namespace rondo::inline RONDO_ABI::detail
