// How much memory this process may still have. A process that reserves more is not refused by
// the kernel: some process is killed, most likely this one.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>

#include "rondo/core/result.hpp"
#include "rondo/core/version.hpp"

namespace rondo::inline RONDO_ABI {

struct AvailableMemory {
  std::uint64_t bytes = UINT64_MAX;  // UINT64_MAX: not known
  std::string limit;  // what sets it, for people: a file; empty: the machine has no more
};

// What the machine has left (MemAvailable in /proc/meminfo), and what the memory limits of this
// process's control group and of all above it leave of that: memory.max and memory.high (version
// 2), memory.limit_in_bytes and memory.memsw.limit_in_bytes (version 1), less what is used, but for
// the page cache, which the kernel gives up first. Swap is not counted as memory: a ring has no use
// for it. Limits above what a container can see are not found.
//
// `root`: a folder in whose proc/ and control groups all this is looked up. Blocking: reads files.
// Sources: proc(5), the kernel's cgroup-v2.rst and cgroup-v1/memory.rst.
[[nodiscard]] RONDO_API AvailableMemory available_memory(const std::string& root = {});

namespace detail {

// kNoSpace if `size_bytes`, and what the kernel needs to keep account of them, are more than is
// left. `what` is named in the message. A look, and no reservation: others may be faster.
[[nodiscard]] RONDO_API Result<void> check_available_memory(std::size_t size_bytes,
                                                            const std::string& what);

// Brings in the pages of memory that is this process's own, all of them whole, so that none is met
// for the first time while messages pass. Contents stay. What can't be had now comes when it is
// touched. Blocking.
RONDO_API void bring_in_pages(std::span<std::byte> memory) noexcept;

}  // namespace detail
}  // namespace rondo::inline RONDO_ABI
