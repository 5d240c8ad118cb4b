// The handles of an mpmc ring; part of mpmc_ring.hpp, which includes it.
#pragma once

#include "rondo/core/min_max.hpp"
#include "rondo/core/mpmc_ring.hpp"
#include "rondo/core/version.hpp"

namespace rondo::inline RONDO_ABI {

namespace detail {

[[nodiscard]] constexpr std::uint32_t bounded_batch(std::size_t count) noexcept {
  return static_cast<std::uint32_t>(min_of<std::size_t>(count, mpmc_announcement::kMaxCount));
}

// The slots that a handle owns just now: what a claim and a message have in common. The handle must
// outlive it.
template <class Handle, class Slot>
class MpmcOwned {
 public:
  MpmcOwned(MpmcOwned&& other) noexcept : owner_(std::exchange(other.owner_, nullptr)) {}
  MpmcOwned& operator=(MpmcOwned&&) = delete;

  // How many. Positions i and i + 1 are adjacent in the ring's order, not in memory.
  [[nodiscard]] std::size_t size() const noexcept { return owner_->core_.count(); }
  [[nodiscard]] Slot operator[](std::size_t i) const noexcept {
    return owner_->slot(static_cast<std::uint32_t>(i));
  }
  [[nodiscard]] Slot operator*() const noexcept { return owner_->slot(0); }
  [[nodiscard]] auto* operator->() const noexcept requires(std::is_reference_v<Slot>) {
    return &owner_->slot(0);
  }

 protected:
  explicit MpmcOwned(Handle* owner) noexcept : owner_(owner) {}
  ~MpmcOwned() = default;

  Handle* owner_;  // nothing is owned any more if nullptr
};

}  // namespace detail

// Writes messages. One thread at a time; each handle has a participant slot of its own (or shares
// it with one Consumer). Memory ordering, for all verbs: what the producer did before it committed
// a message is visible to the consumer that takes it.
template <class T, class Policy>
class mpmc_ring<T, Policy>::Producer {
 public:
  // One claimed slot or several, written in place: claim[i] is all of slot i. Going out of scope
  // without commit() gives them up: consumers skip them. One claim at a time for each handle.
  class [[nodiscard]] Claim : public detail::MpmcOwned<Producer, Writable> {
   public:
    Claim(Claim&&) noexcept = default;
    ~Claim() {
      if (this->owner_ != nullptr) [[unlikely]]
        this->owner_->core_.shrink(0);
    }

    // Message `i` is `bytes` long. Without it, a message is as long as the slot.
    void resize(std::size_t i, std::size_t bytes) const noexcept requires(kSized) {
      this->owner_->set_size(static_cast<std::uint32_t>(i), bytes);
    }
    // Keeps only the first `messages`, at most size(), and gives up the others at once.
    void shrink(std::size_t messages) noexcept {
      this->owner_->core_.shrink(static_cast<std::uint32_t>(messages));
    }

    // Publishes all of it. The first message comes last, so all of them become visible at once.
    // Progress: wait-free.
    RONDO_ALWAYS_INLINE void commit() && noexcept {
      std::exchange(this->owner_, nullptr)->core_.publish_all();
    }

   private:
    friend class Producer;
    using detail::MpmcOwned<Producer, Writable>::MpmcOwned;
  };

  // `participant`: a slot that this process holds the liveness lock of, after recovery has run for
  // its last owner.
  Producer(const mpmc_ring& ring, std::uint32_t participant, Pacing pacing = Pacing::kOn) noexcept
      : core_(ring.parts_, participant, pacing) {}
  Producer(Producer&&) noexcept = default;

  // Claims the next slot. Empty if the ring is full now; outcome() says more. Progress: lock-free.
  [[nodiscard]] RONDO_ALWAYS_INLINE std::optional<Claim> try_claim() & noexcept {
    return core_.claim() ? claimed() : std::nullopt;
  }
  // Claims exactly `messages` slots; up to so many, as many as are free now and at least one.
  // No other producer's message comes between them. Empty if they are not free now, if `messages`
  // is 0, and an exact claim also of more than max_batch(). Progress: lock-free.
  [[nodiscard]] std::optional<Claim> try_claim(std::size_t messages) & noexcept {
    if (messages - 1 >= max_batch()) return std::nullopt;
    const auto count = static_cast<std::uint32_t>(messages);
    return core_.claim(count, count) ? claimed() : std::nullopt;
  }
  [[nodiscard]] std::optional<Claim> try_claim_some(std::size_t messages) & noexcept {
    if (messages == 0) return std::nullopt;
    return core_.claim(detail::bounded_batch(messages)) ? claimed() : std::nullopt;
  }

  // Copies one value in. False, and nothing changes, if the ring is full. Progress: lock-free.
  [[nodiscard]] RONDO_ALWAYS_INLINE bool try_push(const T& value) noexcept requires(!kSized) {
    if (!core_.claim()) return false;
    slot(0) = value;
    core_.publish(SlotKind::kWritten);
    return true;
  }
  // Copies as many values in as fit now, at most 256. Returns how many. Progress: lock-free.
  [[nodiscard]] std::size_t try_push_some(std::span<const T> values) noexcept requires(!kSized) {
    if (values.empty() || !core_.claim(detail::bounded_batch(values.size()))) return 0;
    const std::uint32_t count = core_.count();
    core_.publish_each([values](std::uint32_t i, std::byte* payload) {
      *reinterpret_cast<T*>(payload) = values[i];
    });
    return count;
  }
  // Copies one message of bytes in. False, and nothing changes, if the ring is full; longer than a
  // slot is a programmer's mistake. Progress: lock-free.
  [[nodiscard]] bool try_push(std::span<const std::byte> message) noexcept requires(kSized) {
    std::byte* const to = try_reserve();
    if (to == nullptr) return false;
    if (!message.empty()) std::memcpy(to, message.data(), message.size());
    commit(message.size());
    return true;
  }

  // The same without objects, for building handles of one's own: reserve one raw slot, then
  // commit its size or discard it.
  [[nodiscard]] RONDO_ALWAYS_INLINE std::byte* try_reserve() noexcept {
    return core_.claim() ? core_.payload(0) : nullptr;
  }
  RONDO_ALWAYS_INLINE void commit(std::size_t bytes) noexcept requires(kSized) {
    set_size(0, bytes);
    core_.publish(SlotKind::kWritten);
  }
  RONDO_ALWAYS_INLINE void discard() noexcept { core_.publish(SlotKind::kTombstone); }

  // The most that one claim can have: what the ring has, up to 256.
  [[nodiscard]] std::size_t max_batch() const noexcept {
    return core_.parts().at_most_a_lap(mpmc_announcement::kMaxCount);
  }
  // The position of the message claimed last, or of the first of several.
  [[nodiscard]] Position first() const noexcept { return core_.first(); }
  // Whether a slot might be free now, for a waiter, which claims nothing yet. At times true for no
  // reason, until a try_ has found nothing. Progress: wait-free.
  [[nodiscard]] bool might_claim() const noexcept { return core_.might_claim(); }
  // Why the last try_ got nothing.
  [[nodiscard]] ClaimOutcome outcome() const noexcept { return core_.outcome(); }
  [[nodiscard]] std::size_t max_message_bytes() const noexcept { return core_.parts().slot_bytes; }

 private:
  [[nodiscard]] RONDO_ALWAYS_INLINE Writable slot(std::uint32_t i) const noexcept {
    if constexpr (kSized) {
      return {core_.payload(i), core_.parts().slot_bytes};
    } else {
      return *reinterpret_cast<T*>(core_.payload(i));
    }
  }
  RONDO_ALWAYS_INLINE void set_size(std::uint32_t i, std::size_t bytes) noexcept {
    assert(bytes <= core_.parts().slot_bytes);
    // relaxed: published with the slot.
    detail::size_word(core_.payload(i)).store(bytes, std::memory_order_relaxed);
  }
  // Messages are as long as their slots, until resized.
  RONDO_ALWAYS_INLINE std::optional<Claim> claimed() noexcept {
    if constexpr (kSized) {
      for (std::uint32_t i = 0; i < core_.count(); ++i) set_size(i, core_.parts().slot_bytes);
    }
    return Claim(this);
  }

  template <class Handle, class Slot>
  friend class detail::MpmcOwned;

  MpmcProducerCore<Shape, Policy> core_;
};

// Reads messages. One thread at a time; each handle has a participant slot of its own (or shares it
// with one Producer).
template <class T, class Policy>
class mpmc_ring<T, Policy>::Consumer {
 public:
  // Messages, read in place; given back when it goes out of scope. One object at a time for each
  // handle. In a ring shared with peers that are not trusted, copy before checking: they may write
  // while we read. Where the bytes lie, and how many, does not change after the taking.
  class [[nodiscard]] Messages : public detail::MpmcOwned<Consumer, Readable> {
   public:
    Messages(Messages&&) noexcept = default;
    RONDO_ALWAYS_INLINE ~Messages() {
      if (this->owner_ != nullptr) this->owner_->core_.give_back();
    }

    // Whether a consumer died holding it: it may have been acted upon already. Such a message comes
    // alone.
    [[nodiscard]] bool redelivered() const noexcept { return this->owner_->core_.redelivered(); }

   private:
    friend class Consumer;
    using detail::MpmcOwned<Consumer, Readable>::MpmcOwned;
  };
  // The same of one.
  class [[nodiscard]] Message : private Messages {
   public:
    using Messages::redelivered;
    using Messages::operator*;
    using Messages::operator->;

   private:
    friend class Consumer;
    using Messages::Messages;
  };

  // `participant`: as for a Producer.
  Consumer(const mpmc_ring& ring, std::uint32_t participant, Pacing pacing = Pacing::kOn) noexcept
      : core_(ring.parts_, participant, pacing) {}
  Consumer(Consumer&&) noexcept = default;

  // Takes the next message. Empty if none is waiting; outcome() says more. Progress: lock-free.
  [[nodiscard]] RONDO_ALWAYS_INLINE std::optional<Message> try_next() & noexcept {
    if (!core_.take() || !is_sound()) return std::nullopt;
    return Message(this);
  }
  // Takes up to `messages` (at most 256) that follow each other, as many as are waiting and at
  // least one. Empty if none is waiting. A message of impossible size (a hostile peer's) is a span
  // with a null pointer. Progress: lock-free.
  //
  // There is no taking of exactly n: what a dead consumer held comes back alone, and a tombstone
  // ends a run, so messages would lie there for ever if everybody waited for n of them.
  [[nodiscard]] std::optional<Messages> try_next_some(std::size_t messages) & noexcept {
    if (messages == 0 || !core_.take(detail::bounded_batch(messages))) return std::nullopt;
    if constexpr (kSized) {
      for (std::uint32_t i = 0; i < core_.count(); ++i) fetch_size(i);
    }
    return Messages(this);
  }

  // Copies one value out. False if none is waiting. Progress: lock-free.
  [[nodiscard]] RONDO_ALWAYS_INLINE bool try_pop(T& value) noexcept requires(!kSized) {
    if (!core_.take()) return false;
    value = slot(0);
    core_.give_back_one();
    return true;
  }
  // Copies up to values.size() out, at most 256. Returns how many. Progress: lock-free.
  [[nodiscard]] std::size_t try_pop_some(std::span<T> values) noexcept requires(!kSized) {
    if (values.empty() || !core_.take(detail::bounded_batch(values.size()))) return 0;
    const std::uint32_t count = core_.count();
    core_.give_back_each([values](std::uint32_t i, const std::byte* payload) {
      values[i] = *reinterpret_cast<const T*>(payload);
    });
    return count;
  }

  // The same without objects: peek at the next message, which stays ours until given back.
  // A span with a null pointer means that none is waiting.
  [[nodiscard]] std::span<const std::byte> try_peek() noexcept requires(kSized) {
    if (!core_.take() || !is_sound()) return {};
    return slot(0);
  }
  RONDO_ALWAYS_INLINE void give_back() noexcept { core_.give_back_one(); }
  // Whether the message last taken may have been acted upon by a consumer that died.
  [[nodiscard]] bool redelivered() const noexcept { return core_.redelivered(); }
  // Whether a message might be waiting, for a waiter, which takes nothing yet. At times true
  // for no reason, until a try_ has found nothing. Progress: wait-free.
  [[nodiscard]] bool might_take() const noexcept { return core_.might_take(); }

  // Why the last try_ got nothing.
  [[nodiscard]] ReadOutcome outcome() const noexcept { return core_.outcome(); }
  [[nodiscard]] std::size_t max_message_bytes() const noexcept { return core_.parts().slot_bytes; }

 private:
  [[nodiscard]] RONDO_ALWAYS_INLINE Readable slot(std::uint32_t i) const noexcept {
    if constexpr (kSized) {
      if (sizes_[i] > core_.parts().slot_bytes) [[unlikely]]
        return {};
      return {core_.payload(i), sizes_[i]};
    } else {
      return *reinterpret_cast<const T*>(core_.payload(i));
    }
  }
  // The size words are read here, once for each taking: a hostile peer may change them at any time.
  RONDO_ALWAYS_INLINE void fetch_size(std::uint32_t i) noexcept requires(kSized) {
    // relaxed: published with the slot.
    const std::uint64_t bytes = detail::size_word(core_.payload(i)).load(std::memory_order_relaxed);
    sizes_[i] = static_cast<std::uint32_t>(min_of<std::uint64_t>(bytes, kImpossibleSize));
  }
  // Of the one message taken. One with a size that no honest producer writes is given back unread.
  RONDO_ALWAYS_INLINE bool is_sound() noexcept {
    if constexpr (kSized) {
      fetch_size(0);
      if (sizes_[0] > core_.parts().slot_bytes) [[unlikely]] {
        core_.give_back();
        core_.report_corrupt();
        return false;
      }
    }
    return true;
  }

  static constexpr std::uint32_t kImpossibleSize = ~std::uint32_t{0};
  static_assert(mpmc_limits::kMaxSlotBytes < kImpossibleSize);

  template <class Handle, class Slot>
  friend class detail::MpmcOwned;

  MpmcConsumerCore<Shape, Policy> core_;
  // Of the messages taken; the first count() mean something.
  std::array<std::uint32_t, kSized ? mpmc_announcement::kMaxCount : 0> sizes_;
};

}  // namespace rondo::inline RONDO_ABI
