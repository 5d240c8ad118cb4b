// What no ring can outdo by much: two halves of a memory that are handed to and fro, with one store
// for each. An engine as those in engines.hpp; the number of messages must be whole halves.
#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <string>

#include "rondo/core/platform.hpp"
#include "support/engines.hpp"

namespace rondo::bench {

// kEvict: the receiver evicts the lines of a half before it hands it back (docs/performance.md).
template <std::size_t kMessageBytes, bool kEvict>
class Halves {
 public:
  static constexpr std::size_t kBytes = kMessageBytes;
  static constexpr Role kRole = Role::kFloor;

  static std::string name() { return kEvict ? "two halves, evicted" : "two halves, no ring"; }
  explicit Halves(std::size_t slots) : mask_(slots - 1), pages_(slots * kBytes) {}

  class Sender {
   public:
    explicit Sender(Halves& engine) : halves_(engine) {}
    template <class Write>
    RONDO_ALWAYS_INLINE bool try_send(Write write) {
      const std::size_t half = halves_.slots() / 2;
      if (next_ % half == 0 && next_ >= halves_.slots() &&
          halves_.emptied_.load(std::memory_order_acquire) < next_ - half) {
        return false;
      }
      write(halves_.message(next_));
      if (++next_ % half == 0) halves_.filled_.store(next_, std::memory_order_release);
      return true;
    }

   private:
    Halves& halves_;
    std::uint64_t next_ = 0;
  };
  class Receiver {
   public:
    explicit Receiver(Halves& engine) : halves_(engine) {}
    template <class Read>
    RONDO_ALWAYS_INLINE bool try_receive(Read read) {
      const std::size_t half = halves_.slots() / 2;
      if (next_ % half == 0 && halves_.filled_.load(std::memory_order_acquire) == next_) {
        return false;
      }
      read(halves_.message(next_));
      if (++next_ % half == 0) give_back(half);
      return true;
    }

   private:
    void give_back(std::size_t half) {
      if (kEvict) {
        const std::byte* from = halves_.message(next_ - half);
        for (std::size_t at = 0; at < half * kBytes; at += 64) evict_line(from + at);
      }
      halves_.emptied_.store(next_, std::memory_order_release);
    }

    Halves& halves_;
    std::uint64_t next_ = 0;
  };

 private:
  [[nodiscard]] std::size_t slots() const { return mask_ + 1; }
  [[nodiscard]] std::byte* message(std::uint64_t i) const {
    return pages_.bytes().data() + (i & mask_) * kBytes;
  }

  alignas(128) std::atomic<std::uint64_t> filled_{0};
  alignas(128) std::atomic<std::uint64_t> emptied_{0};
  alignas(128) std::uint64_t mask_;
  Pages pages_;
};

}  // namespace rondo::bench
