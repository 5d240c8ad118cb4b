// What set-up returns: a value, or an error that says what was found, where, and what to do.
// Hot paths do not use it; they return bool, optional or a small enum.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <utility>
#include <variant>

#include "rondo/core/version.hpp"

namespace rondo::inline RONDO_ABI {

// The closed set of things that can go wrong while setting up. Programs branch on the code and
// show the message.
enum class ErrorCode : std::uint8_t {
  // The caller's wishes
  kInvalidName,      // empty, too long, or with a character a name may not hold
  kInvalidUrl,       // no known transport, or malformed
  kInvalidOption,    // unknown option, or a value it can't take
  kInvalidCapacity,  // zero, no power of two where one is needed, or too large
  kUnsupported,      // this system, kernel or build can't do it

  // What stands at the name
  kNotFound,       // nothing has this name
  kNoDirectory,    // nothing can have it: the directory for it is missing
  kAlreadyExists,  // something has this name already
  kPermission,     // the system refused access
  kForeignObject,  // a symlink, device, FIFO, directory, or a file with several hard links
  kForeignOwner,   // owned by another user, or writable by others
  kReplaced,       // the file changed behind its name while it was being opened

  // What it holds
  kTooSmall,          // fewer bytes than the header needs, or than the header claims
  kSizeMismatch,      // another size than its header claims
  kNotReady,          // the magic is zero: never finished
  kBadMagic,          // not a Rondo segment
  kBadByteOrder,      // written on a machine of the other endianness
  kBadVersion,        // another layout version, or a library older than the headers
  kBadKind,           // a segment of another kind of ring
  kBadGeometry,       // capacity, slot size or counts that are impossible
  kGeometryMismatch,  // sound, but not what the caller asked for
  kMisaligned,        // memory that is not aligned as the layout needs
  kUnsealed,          // a memfd without the seals that make it safe to map
  kCorrupt,           // contents that no honest participant writes

  // Other participants
  kBusy,      // the role is held by a live participant
  kNoSlot,    // all participant slots are taken by live participants
  kPeerGone,  // the other side is gone for good
  kTimedOut,  // the deadline passed
  kForked,    // a handle inherited by fork; open a new one in the child

  // The machine
  kNoSpace,        // no memory or disk space
  kNoDescriptors,  // no file descriptors left
  kSystem,         // any other failed system call; the message names it
};

// The code's name as a person reads it, e.g. "not found".
[[nodiscard]] RONDO_API std::string_view to_string(ErrorCode code) noexcept;

struct Error {
  ErrorCode code;
  std::string message;  // one sentence: what was found, where, and what to do
};

// Either a T or an Error. `value()` and `error()` on the wrong one are programmer's mistakes.
template <class T>
class [[nodiscard]] Result {
 public:
  Result(T value) : state_(std::in_place_index<0>, std::move(value)) {}
  Result(Error error) : state_(std::in_place_index<1>, std::move(error)) {}

  [[nodiscard]] bool has_value() const noexcept { return state_.index() == 0; }
  explicit operator bool() const noexcept { return has_value(); }

  T& value() & { return std::get<0>(state_); }
  const T& value() const& { return std::get<0>(state_); }
  T&& value() && { return std::get<0>(std::move(state_)); }
  T& operator*() & { return value(); }
  const T& operator*() const& { return value(); }
  T&& operator*() && { return std::move(*this).value(); }
  T* operator->() { return &value(); }
  const T* operator->() const { return &value(); }

  Error& error() & { return std::get<1>(state_); }
  const Error& error() const& { return std::get<1>(state_); }
  Error&& error() && { return std::get<1>(std::move(state_)); }

 private:
  std::variant<T, Error> state_;
};

// Success without a value, or an Error.
template <>
class [[nodiscard]] Result<void> {
 public:
  Result() = default;
  Result(Error error) : error_(std::move(error)), failed_(true) {}
  // Whether it went well, without what came of it.
  template <class T>
  Result(const Result<T>& other) {
    if (!other) *this = other.error();
  }

  [[nodiscard]] bool has_value() const noexcept { return !failed_; }
  explicit operator bool() const noexcept { return has_value(); }

  Error& error() & { return error_; }
  const Error& error() const& { return error_; }
  Error&& error() && { return std::move(error_); }

 private:
  Error error_{};
  bool failed_ = false;
};

}  // namespace rondo::inline RONDO_ABI
