// What the transports ask of the system's System V message queues and semaphores, one call each.
// `int`: 0, or the error. A removed object is EIDRM or EINVAL to whoever has its number still;
// numbers are not given again soon.
#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <span>

#include "rondo/core/permissions.hpp"
#include "rondo/core/version.hpp"

namespace rondo::inline RONDO_ABI::detail {

// The number of a queue or of a set of semaphores, in this IPC namespace.
using SysvId = int;
inline constexpr SysvId kNoSysvId = -1;

struct SysvOwner {
  std::uint32_t user = 0;
  std::uint32_t group = 0;
  std::uint32_t creator = 0;
  Permissions mode;
};

struct SysvQueueState {
  SysvOwner owner;
  std::uint64_t messages = 0;
  std::uint64_t bytes = 0;      // that are in it
  std::uint64_t max_bytes = 0;  // that may be in it: msg_qbytes
};

struct SysvLimits {
  std::uint64_t max_message_bytes = 0;  // kernel.msgmax
  std::uint64_t queue_bytes = 0;        // kernel.msgmnb: of a new queue
  std::uint64_t queues = 0;             // kernel.msgmni
};
[[nodiscard]] int sysv_limits(SysvLimits& limits) noexcept;

// ENOENT: the key has none. `to_use`: EACCES if we may not send and receive.
[[nodiscard]] int find_sysv_queue(std::uint32_t key, bool to_use, SysvId& queue) noexcept;
// EEXIST: the key has one. The umask does not count.
[[nodiscard]] int make_sysv_queue(std::uint32_t key, Permissions mode, SysvId& queue) noexcept;
[[nodiscard]] int look_at_sysv_queue(SysvId queue, SysvQueueState& state) noexcept;
[[nodiscard]] int remove_sysv_queue(SysvId queue) noexcept;

// A message as the calls take it: the word of its type, and its bytes.
inline constexpr std::size_t kSysvTypeBytes = sizeof(long);
// EAGAIN: it is full, or empty. A type is from 1 up; what is received may have any, or has `type`,
// if that is not 0. `message` begins with room for the type; of one that is received the bytes
// behind it count, and those that do not fit are lost.
[[nodiscard]] int send_to_sysv_queue(SysvId queue, std::span<std::byte> message,
                                     long type) noexcept;
[[nodiscard]] int receive_from_sysv_queue(SysvId queue, std::span<std::byte> message,
                                          std::size_t& size_bytes, long type) noexcept;

// A set of semaphores, all of them 0 when it is made. EINVAL: the key has one of fewer.
[[nodiscard]] int find_semaphores(std::uint32_t key, int count, SysvId& set) noexcept;
[[nodiscard]] int make_semaphores(std::uint32_t key, int count, Permissions mode,
                                  SysvId& set) noexcept;
struct SemaphoresState {
  SysvOwner owner;
  int count = 0;
  bool used = false;  // any of the operations below has been done with them
};
[[nodiscard]] int look_at_semaphores(SysvId set, SemaphoresState& state) noexcept;
[[nodiscard]] int remove_semaphores(SysvId set) noexcept;

// From 0 to 1 until it is given back, or until this process is gone. EAGAIN: it is not 0.
[[nodiscard]] int claim_semaphore(SysvId set, int semaphore) noexcept;
[[nodiscard]] int give_semaphore_back(SysvId set, int semaphore) noexcept;
[[nodiscard]] int value_of_semaphore(SysvId set, int semaphore, int& value) noexcept;
// Adds those values to the semaphores of a set, all at once, if all of them are 0. EAGAIN: one is
// not. At most kMaxSemaphoresAtOnce.
inline constexpr std::size_t kMaxSemaphoresAtOnce = 16;
[[nodiscard]] int fill_semaphores(SysvId set, std::span<const std::int16_t> values) noexcept;
// From 0 to 1. EAGAIN: it is 1 already.
[[nodiscard]] int raise_semaphore(SysvId set, int semaphore) noexcept;
// Waits until it is not 0, and takes 1 from it. EAGAIN: the time is over; EINTR: a signal came.
[[nodiscard]] int await_semaphore(SysvId set, int semaphore,
                                  std::chrono::nanoseconds timeout) noexcept;

}  // namespace rondo::inline RONDO_ABI::detail
