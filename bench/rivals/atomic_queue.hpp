// atomic_queue, with its switch for one producer and one consumer: copies in and out. As in
// engines.hpp, but that its size is a constant: those whose size is not are two to three times
// slower.
#pragma once

#include <atomic_queue/atomic_queue.h>

#include <cstddef>
#include <string>

#include "rondo/core/platform.hpp"
#include "support/engines.hpp"

namespace rondo::bench {

template <std::size_t kMessageBytes, std::size_t kSlots>
class AtomicQueueSpsc {
 public:
  static constexpr std::size_t kBytes = kMessageBytes;
  using Queue = atomic_queue::AtomicQueue2<Message<kBytes>, kSlots, true, true, false, true>;

  static std::string name() { return "atomic_queue"; }
  explicit AtomicQueueSpsc(std::size_t /*slots*/) {}

  class Sender {
   public:
    explicit Sender(AtomicQueueSpsc& engine) : queue_(engine.queue_) {}
    template <class Write>
    RONDO_ALWAYS_INLINE bool try_send(Write write) {
      Message<kBytes> message;
      write(&message);
      return queue_.try_push(message);
    }

   private:
    Queue& queue_;
  };
  class Receiver {
   public:
    explicit Receiver(AtomicQueueSpsc& engine) : queue_(engine.queue_) {}
    template <class Read>
    RONDO_ALWAYS_INLINE bool try_receive(Read read) {
      Message<kBytes> message;
      if (!queue_.try_pop(message)) return false;
      read(&message);
      return true;
    }

   private:
    Queue& queue_;
  };

 private:
  Queue queue_;
};

}  // namespace rondo::bench
