// Letting go of lines that have been read, before their space is given back.
//
// Lines that a consumer has read stay in its private cache. When the producer comes round and
// writes them again, each one has to be asked back from the other core, and these questions, not
// the copying, bound the throughput of a ring that is larger than the first-level cache and smaller
// than the private caches. A consumer that evicts what it has read spares the producer the
// question. Measured on a Zen 4: 64-byte messages through 64 KiB become 2 to 3 times faster between
// near cores, and 5 to 7 times between far ones. The price is a write to memory per line.
//
// In other rings eviction costs more than it brings: small ones live in the first-level cache,
// large ones leave the private caches by themselves; and on an Intel Xeon (Ice Lake) it is a loss
// in all of them. So no size tells: the consumer begins without, and tries it from the third lap
// on, and now and then (ab_tuner.hpp). Only streams are treated at all, and passing a message
// costs nothing: all of this happens where a batch of space is given back.
#pragma once

#include <cstddef>
#include <cstdint>

#include "rondo/core/ab_tuner.hpp"
#include "rondo/core/min_max.hpp"
#include "rondo/core/pacer.hpp"
#include "rondo/core/platform.hpp"
#include "rondo/core/version.hpp"

namespace rondo::inline RONDO_ABI {

// One consumer's rule. Held by value in its handle; nothing of it is shared.
class CacheLineEvictor {
 public:
  // Less than this given back at once is no stream.
  static constexpr std::uint64_t kMinBytes = 1024;
  CacheLineEvictor(Pacing pacing, std::uint64_t ring_bytes) noexcept
      : CacheLineEvictor(pacing, ring_bytes, ring_bytes) {}
  // A lap is `lap_bytes` of messages: what of a large ring is used while the consumer keeps up.
  CacheLineEvictor(Pacing pacing, std::uint64_t ring_bytes, std::uint64_t lap_bytes) noexcept
      : ring_bytes_(ring_bytes),
        lap_bytes_(lap_bytes),
        usable_(pacing == Pacing::kOn && ring_bytes >= 4 * kMinBytes && can_evict_lines()) {}

  // To be called before the producer is told that the `bytes` bytes at `offset` of `ring` are free.
  // They may wrap. Progress: wait-free in the number of lines.
  RONDO_ALWAYS_INLINE void before_give_back(const void* ring, std::uint64_t offset,
                                            std::uint64_t bytes) noexcept {
    if (bytes < kMinBytes || bytes > ring_bytes_ || !usable_) return;
    treat(static_cast<const std::byte*>(ring), offset, bytes);
  }

  // Whether lines are being evicted now.
  [[nodiscard]] bool evicting() const noexcept { return tuner_.way(); }

 private:
  RONDO_COLD void treat(const std::byte* ring, std::uint64_t offset, std::uint64_t bytes) noexcept {
    if (!begun_) begin();
    if (tuner_.way()) {
      const std::uint64_t to_end = min_of(bytes, ring_bytes_ - offset);
      evict(ring, offset, offset + to_end);
      evict(ring, 0, bytes - to_end);
    }
    bytes_in_lap_ += bytes;
    const std::uint64_t now = cpu_ticks();
    const std::uint64_t taken = now - lap_began_;
    if (bytes_in_lap_ >= lap_bytes_) {
      tuner_.end_lap(taken);
    } else if (!tuner_.cut_short(
                   taken, static_cast<double>(bytes_in_lap_) / static_cast<double>(lap_bytes_))) {
      return;
    }
    lap_began_ = now;
    bytes_in_lap_ = 0;
  }

  void begin() noexcept {
    begun_ = true;
    lap_began_ = cpu_ticks();
  }

  // A line that is only begun is left to the next time, when it is finished.
  static void evict(const std::byte* ring, std::uint64_t from, std::uint64_t to) noexcept {
    constexpr std::uint64_t kLine = 64;
    for (std::uint64_t at = from & ~(kLine - 1); at + kLine <= to; at += kLine) {
      evict_line(ring + at);
    }
  }

  std::uint64_t ring_bytes_;
  std::uint64_t lap_bytes_;
  std::uint64_t bytes_in_lap_ = 0;
  std::uint64_t lap_began_ = 0;
  AbTuner tuner_;
  bool usable_;
  bool begun_ = false;  // a stream has been seen
};

}  // namespace rondo::inline RONDO_ABI
