// What a call on an open channel returns, and a value together with it.
//
// Setting a channel up returns a Result with a message (rondo/core/result.hpp); once it is open, a
// Status says all there is to say.
#pragma once

#include <cassert>
#include <cstdint>
#include <optional>
#include <string_view>
#include <utility>

#include "rondo/core/version.hpp"

namespace rondo::inline RONDO_ABI {

enum class Status : std::uint8_t {
  kOk,           // done
  kWouldBlock,   // not now: the ring is full, or empty
  kTimedOut,     // not by the deadline
  kInterrupted,  // the caller's stop flag was set
  kTooLarge,     // larger than max_message_bytes(): never
  kEnded,        // the sender closed the stream in order, and all of it has been read
  kPeerGone,     // the other side has left: a receiver in order (a stream's reader: or died, which
                 // looks the same), a sender before the end of what it had to send
  kPeerDied,     // the other side died; what it had committed has been read
  kClosed,       // this handle is closed, or was moved from
  kForked,       // this handle came here by fork(); open a new one in the child
  kCorrupt,      // the other side wrote what no honest one writes
  kIoError,      // the system refused to read or write
  kNoMemory      // the program's allocator has none for it; nothing was done, nor is anything over
};

// The status as a person reads it, e.g. "the sender died".
[[nodiscard]] RONDO_API std::string_view to_string(Status status) noexcept;

// A T if the status is kOk, else nothing but the status.
template <class T>
class [[nodiscard]] Polled {
 public:
  Polled(Status status) noexcept : status_(status) { assert(status != Status::kOk); }
  Polled(std::optional<T>&& value) noexcept
      : value_(std::move(value)), status_(value_ ? Status::kOk : Status::kWouldBlock) {}
  // Makes the value in place.
  template <class... Arguments>
  explicit Polled(std::in_place_t, Arguments&&... arguments) noexcept
      : value_(std::in_place, std::forward<Arguments>(arguments)...), status_(Status::kOk) {}

  [[nodiscard]] Status status() const noexcept { return status_; }
  [[nodiscard]] bool has_value() const noexcept { return value_.has_value(); }
  explicit operator bool() const noexcept { return value_.has_value(); }

  T& operator*() & noexcept { return *value_; }
  const T& operator*() const& noexcept { return *value_; }
  T&& operator*() && noexcept { return *std::move(value_); }
  T* operator->() noexcept { return &*value_; }
  const T* operator->() const noexcept { return &*value_; }

 private:
  std::optional<T> value_;
  Status status_;
};

}  // namespace rondo::inline RONDO_ABI
