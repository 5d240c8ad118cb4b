// Every `#if` about compilers, processors and operating systems stands here, and nowhere else.
#pragma once

#include <cstddef>
#include <cstdint>

#if defined(__x86_64__) || defined(__i386__)
#include <cpuid.h>
#endif

#include "rondo/core/version.hpp"

#if defined(__SANITIZE_THREAD__)
#define RONDO_THREAD_SANITIZER 1
#elif defined(__has_feature)
#if __has_feature(thread_sanitizer)
#define RONDO_THREAD_SANITIZER 1
#endif
#endif
#ifndef RONDO_THREAD_SANITIZER
#define RONDO_THREAD_SANITIZER 0
#endif

#if RONDO_THREAD_SANITIZER
extern "C" {  // of its run-time library
void __tsan_acquire(void* address);
void __tsan_release(void* address);
void AnnotateIgnoreReadsBegin(const char* file, int line);
void AnnotateIgnoreReadsEnd(const char* file, int line);
}
#endif

// For the few functions whose inlining a hot path stands or falls with.
#define RONDO_ALWAYS_INLINE [[gnu::always_inline]] inline
// For slow paths that must stay out of the caller's instruction stream. Not noinline as well: gcc
// warns of that on inline functions, and cold ones are not inlined anyway.
#define RONDO_COLD [[gnu::cold]]

namespace rondo::inline RONDO_ABI {

// 128, not 64: adjacent-line prefetch makes two lines travel together.
// Not std::hardware_destructive_interference_size: this number is ABI, and that one may differ
// between two compilers that map the same segment.
inline constexpr std::size_t kSharingRange = 128;

// What caches hand about. Only a matter of speed, not part of any layout. Handles (producers and
// consumers, senders and receivers) change with each message and are aligned to it: else two that
// lie side by side in one object, each with a thread of its own, would cost each other a miss per
// message, and how fast a program is would hang on where its variables come to lie.
inline constexpr std::size_t kLineBytes = 64;

// Parts with different writers start on pages of their own. ABI, like kSharingRange: also on
// machines with larger pages, where guarded mode is then refused rather than laid out anew.
inline constexpr std::size_t kPartAlignment = 4096;

// A file or a piece of memory as the operating system numbers it. Owns nothing.
#if defined(_WIN32)
using NativeHandle = void*;  // a HANDLE
#else
using NativeHandle = int;  // a file descriptor
#endif

// Tells the processor that this is a spin loop: yields the core's resources to its sibling and
// avoids the mis-speculation when the awaited line arrives. About 40 cycles on x86-64.
RONDO_ALWAYS_INLINE void cpu_relax() noexcept {
#if defined(__x86_64__) || defined(__i386__)
  __builtin_ia32_pause();
#elif defined(__aarch64__)
  asm volatile("isb" ::: "memory");
#elif defined(__riscv)
  asm volatile(".insn i 0x0F, 0, x0, x0, 0x010" ::: "memory");  // Zihintpause; a no-op elsewhere
#endif
}

// Asks for the line at `address` to be brought in for reading. Never faults.
RONDO_ALWAYS_INLINE void prefetch_for_read(const void* address) noexcept {
  __builtin_prefetch(address, 0, 3);
}

// Asks for the line at `address` to be brought in for writing. Never faults.
RONDO_ALWAYS_INLINE void prefetch_for_write(const void* address) noexcept {
#if defined(__x86_64__)
  // Not the builtin: without a flag that says what the processor has, it fetches for reading, and
  // the store then asks for the line once more. Where prefetchw is not known it does nothing.
  asm volatile("prefetchw %0" : : "m"(*static_cast<const char*>(address)));
#else
  __builtin_prefetch(address, 1, 3);
#endif
}

// Whether evict_line() does anything, and cpu_ticks() goes on.
[[nodiscard]] inline bool can_evict_lines() noexcept {
#if defined(__x86_64__)
  static const bool can = [] {
    unsigned eax = 0, ebx = 0, ecx = 0, edx = 0;
    return __get_cpuid_count(7, 0, &eax, &ebx, &ecx, &edx) != 0 && (ebx >> 23 & 1) != 0;
  }();
  return can;
#else
  return false;
#endif
}

// Writes the line at `address` back to memory and drops it from all caches. Only when
// can_evict_lines(). Needs no more than read access; what the line holds stays the same for all.
RONDO_ALWAYS_INLINE void evict_line([[maybe_unused]] const void* address) noexcept {
#if defined(__x86_64__)
  // Not the intrinsic: it would need a compiler flag, and with it a newer processor for everything.
  asm volatile("clflushopt %0" : : "m"(*static_cast<const char*>(address)));
#endif
}

// A clock for comparing short stretches of work on one core. No unit, no syscall, no fence.
RONDO_ALWAYS_INLINE std::uint64_t cpu_ticks() noexcept {
#if defined(__x86_64__) || defined(__i386__)
  return __builtin_ia32_rdtsc();
#elif defined(__aarch64__)
  std::uint64_t ticks;
  asm volatile("mrs %0, cntvct_el0" : "=r"(ticks));
  return ticks;
#else
  return 0;
#endif
}

// Whether the processor has cpu_pause_for(). `hardware` is what the system says of a 64-bit ARM one
// (AT_HWCAP2 of its auxiliary vector); x86 ones are asked themselves.
[[nodiscard]] inline bool can_pause_for([[maybe_unused]] unsigned long hardware) noexcept {
#if defined(__x86_64__)
  unsigned eax = 0, ebx = 0, ecx = 0, edx = 0;
  return __get_cpuid_count(7, 0, &eax, &ebx, &ecx, &edx) != 0 && (ecx >> 5 & 1) != 0;  // WAITPKG
#elif defined(__aarch64__)
  return (hardware >> 31 & 1) != 0;  // HWCAP2_WFXT
#else
  return false;
#endif
}

// Pauses for `ticks` of cpu_ticks() at the most, in a state that takes less power and leaves a
// sibling more than cpu_relax(). Only when can_pause_for(). It may be for less: an interrupt ends
// it, an event of another core (ARM), and the system's own limit (IA32_UMWAIT_CONTROL).
inline void cpu_pause_for([[maybe_unused]] std::uint64_t ticks) noexcept {
#if defined(__x86_64__)
  const std::uint64_t end = __builtin_ia32_rdtsc() + ticks;
  // TPAUSE, with 1 in ecx: the light state, C0.1, which ends within some ten nanoseconds. In bytes,
  // as the intrinsic would need a compiler flag, and with it a newer processor for everything.
  asm volatile(".byte 0x66, 0x0f, 0xae, 0xf1"
               :
               : "c"(1), "a"(static_cast<std::uint32_t>(end)),
                 "d"(static_cast<std::uint32_t>(end >> 32))
               : "cc", "memory");
#elif defined(__aarch64__)
  register std::uint64_t end asm("x0") = cpu_ticks() + ticks;
  asm volatile(".inst 0xd5031000" : : "r"(end) : "memory");  // WFET x0
#endif
}

// Whether the processor has cpu_crc32c(). `hardware` is what the system says of a 64-bit ARM one
// (AT_HWCAP of its auxiliary vector); x86 ones are asked themselves.
[[nodiscard]] inline bool can_crc32c([[maybe_unused]] unsigned long hardware) noexcept {
#if defined(__x86_64__)
  unsigned eax = 0, ebx = 0, ecx = 0, edx = 0;
  return __get_cpuid(1, &eax, &ebx, &ecx, &edx) != 0 && (ecx >> 20 & 1) != 0;  // SSE4.2
#elif defined(__aarch64__)
  return (hardware >> 7 & 1) != 0;                           // HWCAP_CRC32
#else
  return false;
#endif
}

// The CRC-32C register `crc` after eight more bytes, the lowest of `bytes` first. Only when
// can_crc32c().
[[nodiscard]] RONDO_ALWAYS_INLINE std::uint32_t cpu_crc32c(
    std::uint32_t crc, [[maybe_unused]] std::uint64_t bytes) noexcept {
#if defined(__x86_64__)
  // Not the intrinsic: it would need a compiler flag, and with it a newer processor for everything.
  std::uint64_t result = crc;
  asm("crc32q %1, %0" : "+r"(result) : "rm"(bytes) : "cc");
  return static_cast<std::uint32_t>(result);
#elif defined(__aarch64__)
  register std::uint64_t result asm("x0") = crc;
  register std::uint64_t next asm("x1") = bytes;
  asm(".inst 0x9ac15c00" : "+r"(result) : "r"(next));  // CRC32CX w0, w0, x1
  return static_cast<std::uint32_t>(result);
#else
  return crc;
#endif
}

// Tell ThreadSanitizer of an order that it can't see; where it is not there, nothing.
RONDO_ALWAYS_INLINE void tsan_acquire([[maybe_unused]] void* address) noexcept {
#if RONDO_THREAD_SANITIZER
  __tsan_acquire(address);
#endif
}
RONDO_ALWAYS_INLINE void tsan_release([[maybe_unused]] void* address) noexcept {
#if RONDO_THREAD_SANITIZER
  __tsan_release(address);
#endif
}

// While it lives, ThreadSanitizer compares what this thread reads and writes with nothing; what its
// atomic accesses order they order all the same.
class [[nodiscard]] TsanBlind {
 public:
  RONDO_ALWAYS_INLINE explicit TsanBlind([[maybe_unused]] bool wanted = true) noexcept {
#if RONDO_THREAD_SANITIZER
    if ((wanted_ = wanted)) AnnotateIgnoreReadsBegin(__FILE__, __LINE__);
#endif
  }
  TsanBlind(const TsanBlind&) = delete;
  TsanBlind& operator=(const TsanBlind&) = delete;
  RONDO_ALWAYS_INLINE ~TsanBlind() {
#if RONDO_THREAD_SANITIZER
    if (wanted_) AnnotateIgnoreReadsEnd(__FILE__, __LINE__);
#endif
  }

#if RONDO_THREAD_SANITIZER
 private:
  bool wanted_ = false;
#endif
};

}  // namespace rondo::inline RONDO_ABI
