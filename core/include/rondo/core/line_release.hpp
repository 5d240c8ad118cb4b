// Letting go of lines that have been read, before their space is given back.
//
// Lines that a consumer has read stay in its private cache. When the producer comes round and
// writes them again, each one has to be asked back from the other core, and these questions, not
// the copying, bound the throughput of a ring that is larger than the first-level cache and smaller
// than the private caches. A consumer that evicts what it has read spares the producer the
// question. Measured on a Zen 4: 64-byte messages through 64 KiB become 2 to 3 times faster between
// near cores, and 5 to 7 times between far ones. The price is a write to memory per line.
//
// In other rings eviction costs more than it brings: small ones live in the first-level cache, and
// large ones leave the private caches by themselves. It depends on the processor and on where the
// two cores happen to be, too. So the size is but a first guess: the consumer now and then runs a
// lap of the ring the other way, and keeps to what was faster. A lap the wrong way can take as long
// as twenty the right way, so a trial ends as soon as it has failed, and the dearer it was, the
// later comes the next one. Only streams are treated at all, and passing a message costs nothing:
// all of this happens where a batch of space is given back.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>

#include "rondo/core/distance.hpp"
#include "rondo/core/platform.hpp"

namespace rondo {

// One consumer's rule. Held by value in its handle; nothing of it is shared.
class LineRelease {
 public:
  // Less than this given back at once is no stream.
  static constexpr std::uint64_t kMinBytes = 1024;
  // Rings of these sizes are guessed to gain: they exceed a first-level cache and fit into a
  // private one.
  static constexpr std::uint64_t kGuessFrom = std::uint64_t{48} << 10;
  static constexpr std::uint64_t kGuessTo = std::uint64_t{2} << 20;

  LineRelease(Steering steering, std::uint64_t ring_bytes) noexcept
      : ring_bytes_(ring_bytes),
        usable_(steering == Steering::kOn && ring_bytes >= 4 * kMinBytes && can_evict_lines()) {}

  // To be called before the producer is told that the `bytes` bytes at `offset` of `ring` are free.
  // They may wrap. Progress: wait-free in the number of lines.
  RONDO_ALWAYS_INLINE void before_give_back(const void* ring, std::uint64_t offset,
                                            std::uint64_t bytes) noexcept {
    if (bytes < kMinBytes || !usable_) return;
    treat(static_cast<const std::byte*>(ring), offset, bytes);
  }

  // Whether lines are being evicted now.
  [[nodiscard]] bool releasing() const noexcept { return releasing_; }

 private:
  // Laps between trials. Without a guess the first one comes soon: a large ring's laps are long.
  static constexpr std::uint32_t kFirstPatience = 2;
  static constexpr std::uint32_t kMinPatience = 8;
  static constexpr std::uint32_t kGuessPatience = 64;
  static constexpr std::uint32_t kMaxPatience = 512;
  // How much longer than a trial's loss the time until the next one is at least.
  static constexpr double kLossesApart = 32;

  RONDO_COLD void treat(const std::byte* ring, std::uint64_t offset, std::uint64_t bytes) noexcept {
    if (!begun_) guess();
    if (releasing_) {
      const std::uint64_t to_end = std::min(bytes, ring_bytes_ - offset);
      evict(ring, offset, offset + to_end);
      evict(ring, 0, bytes - to_end);
    }
    bytes_in_lap_ += bytes;
    const std::uint64_t now = cpu_ticks();
    if (bytes_in_lap_ >= ring_bytes_) {
      end_lap(now);
    } else if (trying_ && laps_ != 0 && now - lap_began_ > usual_lap_) {
      const double part = static_cast<double>(bytes_in_lap_) / static_cast<double>(ring_bytes_);
      const double taken = static_cast<double>(now - lap_began_);
      start_lap(now);
      end_trial(taken / part);
    }
  }

  void guess() noexcept {
    begun_ = true;
    releasing_ = ring_bytes_ >= kGuessFrom && ring_bytes_ <= kGuessTo;
    patience_ = releasing_ ? kGuessPatience : kFirstPatience;
  }

  // The lap in which the mode changes tells nothing: its lines were treated the other way. A trial
  // is that lap and the next one.
  void end_lap(std::uint64_t now) noexcept {
    const std::uint64_t lap = now - lap_began_;
    start_lap(now);
    ++laps_;
    if (!trying_) {
      // The better of the last laps, so that a lap that was interrupted does not count.
      usual_lap_ = laps_ <= 2 ? lap : std::min(usual_lap_ + usual_lap_ / 8, lap);
      if (laps_ < patience_) return;
      releasing_ = !releasing_;
      trying_ = true;
    } else if (laps_ < 2) {
      return;
    } else if (lap < usual_lap_ - usual_lap_ / 8) {
      trying_ = false;
      patience_ = kMinPatience;
    } else {
      return end_trial(static_cast<double>(lap));
    }
    laps_ = 0;
  }
  void start_lap(std::uint64_t now) noexcept {
    lap_began_ = now;
    bytes_in_lap_ = 0;
  }

  // `lap` is what a lap this way takes. The next one will take as long: its lines were treated so.
  void end_trial(double lap) noexcept {
    trying_ = false;
    releasing_ = !releasing_;
    laps_ = 0;
    const double lost = std::max(lap / static_cast<double>(usual_lap_ | 1) - 1, 0.0);
    const double patience = std::max(2.0 * patience_, kLossesApart * lost);
    patience_ = static_cast<std::uint32_t>(std::min<double>(patience, kMaxPatience));
  }

  // A line that is only begun is left to the next time, when it is finished.
  static void evict(const std::byte* ring, std::uint64_t from, std::uint64_t to) noexcept {
    constexpr std::uint64_t kLine = 64;
    for (std::uint64_t at = from & ~(kLine - 1); at + kLine <= to; at += kLine) {
      evict_line(ring + at);
    }
  }

  std::uint64_t ring_bytes_;
  std::uint64_t bytes_in_lap_ = 0;
  std::uint64_t lap_began_ = 0;
  std::uint64_t usual_lap_ = 0;
  std::uint32_t laps_ = 0;  // since the last trial began or ended
  std::uint32_t patience_ = kFirstPatience;
  bool usable_;
  bool begun_ = false;  // a stream has been seen
  bool releasing_ = false;
  bool trying_ = false;
};

}  // namespace rondo
