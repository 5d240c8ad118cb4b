// One entry of a table of address ranges that a signal handler searches while others change it. The
// table is process-local; the guard against SIGBUS (segment.hpp) keeps its mappings there.
//
// A version that is odd during changes, as a seqlock has it, so that a mixture of an old and a new
// range never passes for a hit. (Boehm, "Can seqlocks get along with programming language memory
// models?", MSPC 2012; the bounds themselves carry the orders that he gives to fences.)
//
// Ordering. Each label stands at exactly one operation below; pairs are mutual.
//
//   G1 release version  ->  G2 acquire version  the bounds are at least those of this version
//   G3 release begin    ->  G4 acquire begin    a later begin seen shows that the version moved
//   G5 release end      ->  G6 acquire end      a later end seen shows that the version moved
#pragma once

#include <cstdint>

#include "rondo/core/atomic.hpp"
#include "rondo/core/version.hpp"

namespace rondo::inline RONDO_ABI::detail {

class GuardedRange {
 public:
  // Sets the range [begin, end); an empty one covers nothing. Caller: one at a time.
  void set(std::uint64_t begin, std::uint64_t end, std::uint64_t page_bytes,
           bool writable) noexcept {
    // relaxed: only callers of set() write, one at a time.
    const std::uint64_t version = version_.load(std::memory_order_relaxed);
    // relaxed: G3 and G5 publish it to a reader that sees what comes after.
    version_.store(version + 1, std::memory_order_relaxed);
    // G3 (release, pairs with G4): the version is odd.
    begin_.store(begin, std::memory_order_release);
    // G5 (release, pairs with G6): the version is odd.
    end_.store(end, std::memory_order_release);
    // relaxed: G1 publishes these.
    page_bytes_.store(page_bytes, std::memory_order_relaxed);
    writable_.store(writable ? 1 : 0, std::memory_order_relaxed);
    hit_.store(0, std::memory_order_relaxed);
    // G1 (release, pairs with G2): the range is described.
    version_.store(version + 2, std::memory_order_release);
  }

  // Whether `address` lies in the range. Never true by mistake; false while the range changes,
  // which a range that is in use does not. Progress: wait-free. Caller: any thread, signal handlers
  // too.
  [[nodiscard]] bool covers(std::uint64_t address) const noexcept {
    // G2 (acquire, pairs with G1): the bounds read below are of this version, or of a later one.
    const std::uint64_t version = version_.load(std::memory_order_acquire);
    if (version % 2 != 0) return false;
    // G4 (acquire, pairs with G3): if this is a later one's, the version reads differently below.
    const std::uint64_t begin = begin_.load(std::memory_order_acquire);
    // G6 (acquire, pairs with G5): likewise.
    const std::uint64_t end = end_.load(std::memory_order_acquire);
    if (address < begin || address >= end) return false;
    // relaxed: G4 and G6 order it after the bounds.
    return version_.load(std::memory_order_relaxed) == version;
  }

  // relaxed, all of these: asked of a range in use, which does not change; G2 made it visible.
  static constexpr auto kRelaxed = std::memory_order_relaxed;
  [[nodiscard]] std::uint64_t begin() const noexcept { return begin_.load(kRelaxed); }
  [[nodiscard]] std::uint64_t end() const noexcept { return end_.load(kRelaxed); }
  [[nodiscard]] std::uint64_t page_bytes() const noexcept { return page_bytes_.load(kRelaxed); }
  [[nodiscard]] bool writable() const noexcept { return writable_.load(kRelaxed) != 0; }

  // A mark, until the next set(). It tells nothing but itself.
  void mark() noexcept { hit_.store(1, kRelaxed); }
  [[nodiscard]] bool marked() const noexcept { return hit_.load(kRelaxed) != 0; }

 private:
  Atomic<std::uint64_t> version_{0};
  Atomic<std::uint64_t> begin_{0};
  Atomic<std::uint64_t> end_{0};
  Atomic<std::uint64_t> page_bytes_{0};
  Atomic<std::uint32_t> writable_{0};
  Atomic<std::uint32_t> hit_{0};
};

}  // namespace rondo::inline RONDO_ABI::detail
