// What core asks of the operating system, so that the callers need not know which one it is:
// os_linux.cpp. Small, as yet: the process, and byte locks. For files and memory there are
// segment_*_linux.cpp.
#pragma once

#include <chrono>
#include <cstdint>
#include <string_view>

#include "rondo/core/liveness.hpp"
#include "rondo/core/platform.hpp"
#include "rondo/core/version.hpp"

namespace rondo::inline RONDO_ABI::detail {

// This process, as others see it.
[[nodiscard]] std::uint32_t process_id() noexcept;
// What its program is called, without the directory.
[[nodiscard]] std::string_view program_name() noexcept;

// Byte locks belong to an open file description: fcntl(2), F_OFD_SETLK.
//
// Takes the exclusive lock of one byte, or gives it back. 0, or the error: EAGAIN if another open
// file description has it.
[[nodiscard]] int lock_byte(NativeHandle file, std::uint64_t byte) noexcept;
void unlock_byte(NativeHandle file, std::uint64_t byte) noexcept;
void unlock_all(NativeHandle file) noexcept;

// Whether another open file description has an exclusive lock on any byte of the range: a shared
// one, which a process that may only read the file can take, does not count.
[[nodiscard]] Presence bytes_locked_by_other(NativeHandle file, std::uint64_t first,
                                             std::uint64_t count) noexcept;

// Takes the lock of one byte, again and again for `timeout` at most. 0, or the last error.
[[nodiscard]] int lock_byte_within(NativeHandle file, std::uint64_t byte,
                                   std::chrono::nanoseconds timeout) noexcept;

}  // namespace rondo::inline RONDO_ABI::detail
