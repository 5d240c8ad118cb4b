// atomic_queue, with its switch for one producer and one consumer: copies in and out. As in
// engines.hpp, but that it waits within its calls: those that can back out look at both positions
// each time, and take four times as long.
#pragma once

#include <atomic_queue/atomic_queue.h>

#include <cstddef>
#include <memory>
#include <string>

#include "rondo/core/platform.hpp"
#include "support/engines.hpp"

namespace rondo::bench {

template <std::size_t kMessageBytes>
class AtomicQueueSpsc {
 public:
  static constexpr std::size_t kBytes = kMessageBytes;
  using Queue = atomic_queue::AtomicQueueB2<Message<kBytes>, std::allocator<Message<kBytes>>, true,
                                            false, true>;

  static std::string name() { return "atomic_queue push, pop"; }
  explicit AtomicQueueSpsc(std::size_t slots) : queue_(static_cast<unsigned>(slots)) {}

  class Sender {
   public:
    explicit Sender(AtomicQueueSpsc& engine) : queue_(engine.queue_) {}
    template <class Write>
    RONDO_ALWAYS_INLINE bool try_send(Write write) {
      Message<kBytes> message;
      write(&message);
      queue_.push(message);
      return true;
    }

   private:
    Queue& queue_;
  };
  class Receiver {
   public:
    explicit Receiver(AtomicQueueSpsc& engine) : queue_(engine.queue_) {}
    template <class Read>
    RONDO_ALWAYS_INLINE bool try_receive(Read read) {
      const Message<kBytes> message = queue_.pop();
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
