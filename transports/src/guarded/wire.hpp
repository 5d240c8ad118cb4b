// What the two sides of a guarded ring say to each other while one joins, over a SOCK_SEQPACKET
// socket, so that each message arrives whole or not at all:
//
//   sender (listens)                              receiver (connects)
//   ------------------------------------------    ------------------------------------------
//   looks at the peer's credentials
//   Offer, with the ring, open for reading   ->   checks seals, size, header, credentials
//                                                 makes its own part, starting where Offer says,
//                                                 seals it, and takes its lock on it
//   checks seals and size of the part        <-   Answer, with the part, open for reading, and once
//   maps it, takes its own lock on it             more, open for locking
//   Join reply                               ->
//
// The ring is open for reading alone, and sealed: no receiver can write to it, whatever it does. A
// receiver's part can be written by that receiver alone, and is sealed too: neither side can take
// memory away from under the other.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <span>
#include <type_traits>

#include "open/untrusted_descriptors.hpp"
#include "stream/owned_fd.hpp"

#include "rondo/core/version.hpp"

namespace rondo::inline RONDO_ABI::detail {

enum class GuardedVerdict : std::uint32_t {
  kAdmitted = 0,
  kNotPermitted = 1,  // not on the sender's list
  kFull = 2,          // every place is taken by a receiver that lives
  kUnsound = 3,       // what the receiver handed over is not what it has to be
  kNoRoom = 4         // the sender has no descriptors, or no memory, left for it
};

//   offset  size  field    meaning
//        0     8  magic    kMagic
//        8     4  version  kVersion
//       12     4  verdict  GuardedVerdict
//       16     8  start    position where the receiver begins
struct GuardedOffer {
  static constexpr std::uint64_t kMagic = 0x4452'4755'444E'4F52;  // "RONDUGRD" in memory
  static constexpr std::uint32_t kVersion = 1;

  std::uint64_t magic = kMagic;
  std::uint32_t version = kVersion;
  std::uint32_t verdict = 0;
  std::uint64_t start = 0;
};
//   offset  size  field    meaning
//        0     8  magic    kMagic
//        8     4  version  kVersion
//       12     4  reserved zero
struct GuardedAnswer {
  std::uint64_t magic = GuardedOffer::kMagic;
  std::uint32_t version = GuardedOffer::kVersion;
  std::uint32_t reserved = 0;
};
//   offset  size  field    meaning
//        0     8  magic    kMagic
//        8     4  verdict  GuardedVerdict
//       12     4  reader   which of the ring's readers it is now
//       16     8  state    from where that one's state word goes on: tells it from its predecessors
struct GuardedJoinReply {
  std::uint64_t magic = GuardedOffer::kMagic;
  std::uint32_t verdict = 0;
  std::uint32_t reader = 0;
  std::uint64_t state = 0;
};
static_assert(sizeof(GuardedOffer) == 24 && std::is_trivially_copyable_v<GuardedOffer>);
static_assert(sizeof(GuardedAnswer) == 16 && std::is_trivially_copyable_v<GuardedAnswer>);
static_assert(sizeof(GuardedJoinReply) == 24 && std::is_trivially_copyable_v<GuardedJoinReply>);

// Up to this many descriptors come with a message.
inline constexpr std::size_t kMaxDescriptors = 2;

enum class WireResult : std::uint8_t {
  kDone,
  kNotNow,  // it would have to wait
  kGone,    // the other side is
  kBroken   // it sent what is no such message
};

// Sends `message` and copies of `fds` with it.
[[nodiscard]] WireResult send_message(NativeHandle socket, std::span<const std::byte> message,
                                      std::span<const NativeHandle> fds) noexcept;
// Receives a message of just this size, with as many descriptors as `fds` has room for, all of
// memory, at most so much. What is anything else stays in the queue
// (untrusted_descriptors.hpp).
[[nodiscard]] WireResult receive_message(NativeHandle socket, std::span<std::byte> message,
                                         std::span<OwnedFd> fds, std::uint64_t most_bytes) noexcept;

template <class T>
[[nodiscard]] WireResult send_struct(NativeHandle socket, const T& value,
                                     std::span<const NativeHandle> fds = {}) noexcept {
  return send_message(socket, std::as_bytes(std::span(&value, 1)), fds);
}
template <class T>
[[nodiscard]] WireResult receive_struct(NativeHandle socket, T& value, std::span<OwnedFd> fds = {},
                                        std::uint64_t most_bytes = kAnySize) noexcept {
  return receive_message(socket, std::as_writable_bytes(std::span(&value, 1)), fds, most_bytes);
}

}  // namespace rondo::inline RONDO_ABI::detail
