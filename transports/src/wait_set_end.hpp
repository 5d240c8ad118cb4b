// A handle as a wait set sees it: one thing to look at, whichever end it is.
#pragma once

#include <cstddef>
#include <optional>

#include "rondo/core/platform.hpp"
#include "rondo/core/result.hpp"
#include "rondo/core/version.hpp"
#include "rondo/sync/doorbell.hpp"
#include "rondo/transports/receiver.hpp"
#include "rondo/transports/sender.hpp"

namespace rondo::inline RONDO_ABI::detail {

class Named;

// A view; the handle stays where it is. One thread at a time, as the handle. Of a handle that is
// closed meanwhile nothing is announced, and it has something to tell.
class WaitSetEnd {
 public:
  explicit WaitSetEnd(Receiver& receiver) noexcept : receiver_(&receiver) {}
  // Waits for room for `size_bytes`.
  WaitSetEnd(Sender& sender, std::size_t size_bytes) noexcept
      : sender_(&sender), size_bytes_(size_bytes) {}

  // Errors: kNotFound (closed), kForked, kInvalidOption (a message too large).
  [[nodiscard]] Result<void> check() const;
  [[nodiscard]] bool is_same(const WaitSetEnd& other) const noexcept {
    return receiver_ == other.receiver_ && sender_ == other.sender_;
  }
  [[nodiscard]] bool is_sender() const noexcept { return sender_ != nullptr; }
  // Whether it waits on a word; else fd() is readable when there may be something.
  [[nodiscard]] bool has_word() const noexcept;
  [[nodiscard]] Result<NativeHandle> fd() const;

  // Whether the channel is over, as far as the handle knows.
  [[nodiscard]] bool is_over() const noexcept;
  // Whether a message or room is there, or the channel is over; ReceiverBackend::stirs().
  [[nodiscard]] bool has_something(bool before_sleep) const noexcept;
  // A sender's: nothing is held back any more. Before a wait.
  void tell_all() const noexcept;
  // Those of the backends. Of a handle that is closed, kNoHandle and a wait without a word: there
  // is nothing to wait for.
  [[nodiscard]] std::optional<NativeHandle> closing() const noexcept;
  [[nodiscard]] bool has_pulse() const noexcept;
  void expect_news() const noexcept;
  [[nodiscard]] PreparedWait announce(Fence fence) const noexcept;
  [[nodiscard]] bool disarm() const noexcept;
  void pass_on() const noexcept;

 private:
  [[nodiscard]] Named* channel() const noexcept;

  Receiver* receiver_ = nullptr;  // one of the two
  Sender* sender_ = nullptr;
  std::size_t size_bytes_ = 0;
};

}  // namespace rondo::inline RONDO_ABI::detail
