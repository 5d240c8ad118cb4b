// concurrencykit's ck_ring, of one producer and one consumer. Its calls for any type of message are
// those that its macro CK_RING_PROTOTYPE wraps, which knows C's structs only.
#pragma once

#include "rivals/ck_ring_header.hpp"

#include <cstddef>
#include <cstdint>
#include <string>

#include "rondo/core/platform.hpp"
#include "support/engines.hpp"

namespace rondo::bench {

// Written in place, copied out. As in engines.hpp; one slot stays empty.
template <std::size_t kMessageBytes>
class CkRingSpsc {
 public:
  static constexpr std::size_t kBytes = kMessageBytes;

  static std::string name() { return "concurrencykit ck_ring"; }
  explicit CkRingSpsc(std::size_t slots) : pages_(slots * kBytes) {
    ck_ring_init(&ring_, static_cast<unsigned>(slots));
  }

  class Sender {
   public:
    explicit Sender(CkRingSpsc& engine) : engine_(engine) {}
    template <class Write>
    RONDO_ALWAYS_INLINE bool try_send(Write write) {
      void* const slot =
          _ck_ring_enqueue_reserve_sp(&engine_.ring_, engine_.slots(), kBytes, nullptr);
      if (slot == nullptr) return false;
      write(slot);
      _ck_ring_enqueue_commit_sp(&engine_.ring_);
      return true;
    }

   private:
    CkRingSpsc& engine_;
  };
  class Receiver {
   public:
    explicit Receiver(CkRingSpsc& engine) : engine_(engine) {}
    template <class Read>
    RONDO_ALWAYS_INLINE bool try_receive(Read read) {
      Message<kBytes> message;
      if (!_ck_ring_dequeue_sc(&engine_.ring_, engine_.slots(), &message, kBytes)) return false;
      read(&message);
      return true;
    }

   private:
    CkRingSpsc& engine_;
  };

 private:
  [[nodiscard]] void* slots() const { return pages_.bytes().data(); }

  ck_ring_t ring_{};
  Pages pages_;
};

}  // namespace rondo::bench
