// The queues that are compared: ours, and those of others. Each engine is one fresh queue for one
// sample, with an end for each side:
//
//   Engine(slots)                 room for about `slots` messages of Engine::kBytes
//   Engine::Sender(engine)        .try_send(write): write(bytes) fills the message; false if full
//   Engine::Receiver(engine)      .try_receive(read): read(bytes) looks at it; false if empty
//   Engine::kRole                 if it is no rival (role.hpp)
//
// Each uses the fastest way that its queue offers to write and to read a message in full.
#pragma once

#include <sys/mman.h>
#include <unistd.h>

#include <atomic>
#include <boost/lockfree/spsc_queue.hpp>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <memory>
#include <new>
#include <optional>
#include <string>
#include <utility>

#include "rondo/core/record_ring.hpp"
#include "rondo/core/spsc_ring.hpp"
#include "rondo/transports/receiver.hpp"
#include "rondo/transports/sender.hpp"
#include "support/role.hpp"

namespace rondo::bench {

template <std::size_t kBytes>
struct alignas(kBytes >= 64 ? 64 : 8) Message {
  std::uint64_t words[kBytes / 8];
};

// Zeroed pages that have been touched.
class Pages {
 public:
  explicit Pages(std::size_t bytes) : bytes_(bytes) {
    memory_ = mmap(nullptr, bytes, PROT_READ | PROT_WRITE,
                   MAP_PRIVATE | MAP_ANONYMOUS | MAP_POPULATE, -1, 0);
    if (memory_ == MAP_FAILED) std::abort();
  }
  Pages(const Pages&) = delete;
  Pages& operator=(const Pages&) = delete;
  ~Pages() { munmap(memory_, bytes_); }
  [[nodiscard]] std::span<std::byte> bytes() const noexcept {
    return {static_cast<std::byte*>(memory_), bytes_};
  }

 private:
  std::size_t bytes_;
  void* memory_;
};

template <std::size_t kMessageBytes, Pacing kPacing = Pacing::kOn>
class SpscRing {
 public:
  static constexpr std::size_t kBytes = kMessageBytes;
  static constexpr Role kRole = kPacing == Pacing::kOn ? Role::kOurs : Role::kVariant;
  using Ring = spsc_ring<Message<kBytes>>;

  static std::string name() {
    return kPacing == Pacing::kOn ? "spsc_ring" : "spsc_ring, not steered";
  }
  explicit SpscRing(std::size_t slots)
      : pages_(Ring::layout_for({.capacity = slots}).value().total_bytes),
        parts_(Ring::create(pages_.bytes(), {.capacity = slots}).value()) {}

  class Sender {
   public:
    explicit Sender(SpscRing& engine) : producer_(engine.parts_) {}
    template <class Write>
    RONDO_ALWAYS_INLINE bool try_send(Write write) {
      auto* slot = producer_.try_reserve();
      if (slot == nullptr) return false;
      write(slot);
      producer_.commit();
      return true;
    }

   private:
    typename Ring::Producer producer_;
  };
  class Receiver {
   public:
    explicit Receiver(SpscRing& engine) : consumer_(engine.parts_, Acknowledge::kLazily, kPacing) {}
    template <class Read>
    RONDO_ALWAYS_INLINE bool try_receive(Read read) {
      const auto* slot = consumer_.try_peek();
      if (slot == nullptr) return false;
      read(slot);
      consumer_.give_back();
      return true;
    }

   private:
    typename Ring::Consumer consumer_;
  };

 private:
  Pages pages_;
  SpscParts<Message<kBytes>> parts_;
};

// As many bytes as the spsc rings have.
template <std::size_t kMessageBytes>
class RecordRing {
 public:
  static constexpr std::size_t kBytes = kMessageBytes;
  static constexpr Role kRole = Role::kOurs;

  static std::string name() { return "record_ring"; }
  explicit RecordRing(std::size_t slots) : pages_(layout(slots).total_bytes) {
    parts_ = record_ring::create(pages_.bytes(), {.capacity = slots * kBytes}).value();
  }

  class Sender {
   public:
    explicit Sender(RecordRing& engine)
        : producer_(record_ring::Producer::attach(engine.parts_).value()) {}
    template <class Write>
    RONDO_ALWAYS_INLINE bool try_send(Write write) {
      std::byte* bytes = producer_.try_reserve(kBytes);
      if (bytes == nullptr) return false;
      write(bytes);
      producer_.commit(kBytes);
      return true;
    }

   private:
    record_ring::Producer producer_;
  };
  class Receiver {
   public:
    explicit Receiver(RecordRing& engine)
        : consumer_(record_ring::Consumer::attach(engine.parts_).value()) {}
    template <class Read>
    RONDO_ALWAYS_INLINE bool try_receive(Read read) {
      if (consumer_.try_peek() != ReadOutcome::kMessage) return false;
      if (consumer_.size() != kBytes) std::abort();
      read(consumer_.data());
      consumer_.give_back();
      return true;
    }

   private:
    record_ring::Consumer consumer_;
  };

 private:
  static RecordLayout layout(std::size_t slots) {
    return record_ring::layout_for({.capacity = slots * kBytes}).value();
  }

  Pages pages_;
  RecordParts parts_{};
};

// The two handles of the transports, over a ring in this process.
template <std::size_t kMessageBytes>
class Channel {
 public:
  static constexpr std::size_t kBytes = kMessageBytes;
  static constexpr Role kRole = Role::kOurs;

  static std::string name() { return "Sender, Receiver"; }
  explicit Channel(std::size_t slots)
      : pair_(open_pair("inproc:?capacity=" + std::to_string(slots * kBytes)).value()) {}

  class Sender {
   public:
    explicit Sender(Channel& engine) : sender_(std::move(engine.pair_.first)) {}
    template <class Write>
    RONDO_ALWAYS_INLINE bool try_send(Write write) {
      auto claim = sender_.try_claim(kBytes);
      if (!claim) return false;
      write(claim->bytes().data());
      std::move(*claim).commit();
      return true;
    }

   private:
    rondo::Sender sender_;
  };
  class Receiver {
   public:
    explicit Receiver(Channel& engine) : receiver_(std::move(engine.pair_.second)) {}
    template <class Read>
    RONDO_ALWAYS_INLINE bool try_receive(Read read) {
      auto message = receiver_.try_next();
      if (!message) return false;
      if (message->size() != kBytes) std::abort();
      read(message->bytes().data());
      return true;
    }

   private:
    rondo::Receiver receiver_;
  };

 private:
  std::pair<rondo::Sender, rondo::Receiver> pair_;
};

// The textbook ring: both positions shared, both cached, messages in place.
template <std::size_t kMessageBytes>
class Textbook {
 public:
  static constexpr std::size_t kBytes = kMessageBytes;
  static constexpr Role kRole = Role::kTextbook;

  static std::string name() { return "textbook ring"; }
  explicit Textbook(std::size_t slots) : mask_(slots - 1), pages_(slots * kBytes) {}

  class Sender {
   public:
    explicit Sender(Textbook& engine) : ring_(engine), slots_(ring_.slots()), mask_(ring_.mask_) {}
    template <class Write>
    RONDO_ALWAYS_INLINE bool try_send(Write write) {
      if (tail_ - head_seen_ > mask_) {
        head_seen_ = ring_.head_.load(std::memory_order_acquire);
        if (tail_ - head_seen_ > mask_) return false;
      }
      write(slots_ + (tail_ & mask_));
      ring_.tail_.store(++tail_, std::memory_order_release);
      return true;
    }

   private:
    Textbook& ring_;
    Message<kBytes>* slots_;
    std::uint64_t mask_, tail_ = 0, head_seen_ = 0;
  };
  class Receiver {
   public:
    explicit Receiver(Textbook& engine)
        : ring_(engine), slots_(ring_.slots()), mask_(ring_.mask_) {}
    template <class Read>
    RONDO_ALWAYS_INLINE bool try_receive(Read read) {
      if (head_ == tail_seen_) {
        tail_seen_ = ring_.tail_.load(std::memory_order_acquire);
        if (head_ == tail_seen_) return false;
      }
      read(slots_ + (head_ & mask_));
      ring_.head_.store(++head_, std::memory_order_release);
      return true;
    }

   private:
    Textbook& ring_;
    Message<kBytes>* slots_;
    std::uint64_t mask_, head_ = 0, tail_seen_ = 0;
  };

 private:
  Message<kBytes>* slots() const {
    return reinterpret_cast<Message<kBytes>*>(pages_.bytes().data());
  }

  alignas(128) std::atomic<std::uint64_t> tail_{0};
  alignas(128) std::atomic<std::uint64_t> head_{0};
  alignas(128) std::uint64_t mask_;
  Pages pages_;
};

// Boost.Lockfree: push copies, consume_one reads in place.
template <std::size_t kMessageBytes>
class BoostQueue {
 public:
  static constexpr std::size_t kBytes = kMessageBytes;

  static std::string name() { return "Boost spsc_queue"; }
  explicit BoostQueue(std::size_t slots) : queue_(slots - 1) {}  // it adds one

  class Sender {
   public:
    explicit Sender(BoostQueue& engine) : queue_(engine.queue_) {}
    template <class Write>
    RONDO_ALWAYS_INLINE bool try_send(Write write) {
      Message<kBytes> message;
      write(&message);
      return queue_.push(message);
    }

   private:
    boost::lockfree::spsc_queue<Message<kBytes>>& queue_;
  };
  class Receiver {
   public:
    explicit Receiver(BoostQueue& engine) : queue_(engine.queue_) {}
    template <class Read>
    RONDO_ALWAYS_INLINE bool try_receive(Read read) {
      return queue_.consume_one([&](const Message<kBytes>& message) { read(&message); }) != 0;
    }

   private:
    boost::lockfree::spsc_queue<Message<kBytes>>& queue_;
  };

 private:
  boost::lockfree::spsc_queue<Message<kBytes>> queue_;
};

}  // namespace rondo::bench

#if __has_include(<readerwriterqueue/readerwriterqueue.h>)
#define RONDO_BENCH_MOODYCAMEL 1
#include <readerwriterqueue/readerwriterqueue.h>

namespace rondo::bench {

// moodycamel's ReaderWriterQueue: enqueue copies, peek reads in place.
template <std::size_t kMessageBytes>
class Moodycamel {
 public:
  static constexpr std::size_t kBytes = kMessageBytes;

  static std::string name() { return "ReaderWriterQueue"; }
  explicit Moodycamel(std::size_t slots) : queue_(slots - 1) {}

  class Sender {
   public:
    explicit Sender(Moodycamel& engine) : queue_(engine.queue_) {}
    template <class Write>
    RONDO_ALWAYS_INLINE bool try_send(Write write) {
      Message<kBytes> message;
      write(&message);
      return queue_.try_enqueue(message);
    }

   private:
    moodycamel::ReaderWriterQueue<Message<kBytes>>& queue_;
  };
  class Receiver {
   public:
    explicit Receiver(Moodycamel& engine) : queue_(engine.queue_) {}
    template <class Read>
    RONDO_ALWAYS_INLINE bool try_receive(Read read) {
      const Message<kBytes>* message = queue_.peek();
      if (message == nullptr) return false;
      read(message);
      queue_.pop();
      return true;
    }

   private:
    moodycamel::ReaderWriterQueue<Message<kBytes>>& queue_;
  };

 private:
  moodycamel::ReaderWriterQueue<Message<kBytes>> queue_;
};

}  // namespace rondo::bench
#else
#define RONDO_BENCH_MOODYCAMEL 0
#endif
