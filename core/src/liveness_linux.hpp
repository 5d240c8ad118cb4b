// Byte locks on open file descriptions, as fcntl(2) has them.
#pragma once

#include <chrono>
#include <cstdint>

#include "rondo/core/liveness.hpp"
#include "rondo/core/version.hpp"

namespace rondo::inline RONDO_ABI::detail {

// Takes the exclusive lock of one byte, or gives it back. 0, or the error: EAGAIN if another open
// file description has it.
[[nodiscard]] int lock_byte(int fd, std::uint64_t byte) noexcept;
void unlock_byte(int fd, std::uint64_t byte) noexcept;
void unlock_all(int fd) noexcept;

// Whether another open file description has an exclusive lock on any byte of the range: a shared
// one, which a process that may only read the file can take, does not count.
[[nodiscard]] Presence bytes_locked_by_other(int fd, std::uint64_t first,
                                             std::uint64_t count) noexcept;

// Takes the lock of one byte, again and again for `patience` at most. 0, or the last error.
[[nodiscard]] int lock_byte_within(int fd, std::uint64_t byte,
                                   std::chrono::nanoseconds patience) noexcept;

}  // namespace rondo::inline RONDO_ABI::detail
