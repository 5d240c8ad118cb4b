// A small MPMC ring in shared memory, a list of things that a participant does with it, and the
// judgement on what it left behind when it died: nothing committed lost, nothing torn, nothing
// twice except what is marked, and the capacity whole again. Used with stepper.hpp.
#pragma once

#include <sys/mman.h>

#include <cstdint>
#include <cstring>
#include <functional>
#include <memory>
#include <optional>
#include <sstream>
#include <string>
#include <vector>

#include "rondo/core/mpmc_ring.hpp"

namespace rondo::testing {

inline constexpr std::uint64_t kWorldCapacity = 4;
inline constexpr std::uint32_t kVictim = 0;     // does something, and is killed
inline constexpr std::uint32_t kRecoverer = 1;  // recovers, and is killed
inline constexpr std::uint32_t kSurvivor = 2;   // goes on
inline constexpr std::uint32_t kBystander = 3;  // is paused holding things, and goes on later
inline constexpr std::uint32_t kLongDead = 4;   // left something behind before the story begins
inline constexpr std::uint32_t kLongDead2 = 5;
inline constexpr std::uint32_t kParticipants = 6;

// Who is dead, as a test decides. No memory, no libc: it is single-stepped too.
struct StagedLiveness {
  std::uint32_t dead_bits = 0;
  std::uint32_t locked_bits = 0;

  bool is_dead(std::uint32_t who) const { return ((dead_bits & ~locked_bits) >> who & 1) != 0; }
  bool try_lock_dead(std::uint32_t who) {
    if (!is_dead(who)) return false;
    locked_bits |= 1u << who;
    return true;
  }
  void unlock(std::uint32_t who) { locked_bits &= ~(1u << who); }
};
static_assert(MpmcLiveness<StagedLiveness>);

struct Note {
  std::uint64_t sender;
  std::uint64_t number;
  std::uint64_t check;

  static Note make(std::uint64_t sender, std::uint64_t number) {
    return {sender, number, (sender << 32 ^ number) * 0x9E37'79B9'7F4A'7C15u + 1};
  }
  [[nodiscard]] bool whole() const { return check == make(sender, number).check; }
};

// What the victim has done, as it says itself; in shared memory, after the ring.
struct Journal {
  Atomic<std::uint64_t> consumed;   // bit n: read note n of the long dead, about to give it back
  Atomic<std::uint64_t> committed;  // bit n: its own note n is committed
};

// Ring and journal at one place in memory.
template <class Policy>
struct World {
  using Ring = mpmc_ring<Note, Policy>;
  using Producer = typename Ring::Producer;
  using Consumer = typename Ring::Consumer;

  static MpmcParams params() {
    return {.capacity = kWorldCapacity,
            .slot_bytes = sizeof(Note),
            .participants = kParticipants,
            .sized = false};
  }
  static std::size_t bytes() {
    return detail::mpmc_layout_of(params()).total_bytes + kPartAlignment;
  }

  explicit World(std::byte* at)
      : base(at),
        ring(detail::mpmc_parts_at(at, params())),
        journal(reinterpret_cast<Journal*>(at + bytes() - kPartAlignment)) {}

  // Notes 0 to count - 1 of kLongDead, which every story accounts for.
  void prefill(std::uint64_t count) const {
    Producer producer(ring, kLongDead);
    for (std::uint64_t i = 0; i < count; ++i) {
      if (!producer.try_push(Note::make(kLongDead, i))) std::abort();
    }
  }
  // Lets `laps` laps pass.
  void spin(int laps) const {
    Producer producer(ring, kLongDead);
    Consumer consumer(ring, kLongDead);
    Note note{};
    for (std::uint64_t i = 0; i < kWorldCapacity * static_cast<std::uint64_t>(laps); ++i) {
      if (!producer.try_push(note) || !consumer.try_pop(note)) std::abort();
    }
  }
  void took(const Note& note) const {
    journal->consumed.fetch_or(std::uint64_t{1} << note.number, std::memory_order_relaxed);
  }
  void committed(std::uint64_t number) const {
    journal->committed.fetch_or(std::uint64_t{1} << number, std::memory_order_relaxed);
  }

  std::byte* base;
  Ring ring;
  Journal* journal;
};

// What came out, and what is wrong with it.
class Account {
 public:
  void deliver(const Note& note, bool marked) {
    if (!note.whole()) {
      complain() << "a torn message; ";
    } else {
      deliveries_.push_back({note, marked});
    }
  }
  // Note `number` of `sender`; `claimed_done`: its sender or consumer says that it is done with it.
  void expect(std::uint64_t sender, std::uint64_t number, bool may_be_missing,
              bool must_be_marked) {
    int times = 0;
    for (const auto& [note, marked] : deliveries_) {
      if (note.sender != sender || note.number != number) continue;
      ++times;
      if (must_be_marked && !marked) complain() << "unmarked redelivery of " << number << "; ";
    }
    if (times > 1) complain() << "note " << number << " of " << sender << " came twice; ";
    if (times == 0 && !may_be_missing) {
      complain() << "note " << number << " of " << sender << " is lost; ";
    }
  }
  std::ostream& complain() { return complaints_; }
  [[nodiscard]] std::string verdict() const { return complaints_.str(); }

 private:
  std::vector<std::pair<Note, bool>> deliveries_;
  std::ostringstream complaints_;
};

// Lets the survivor go on in a world that others died in, and judges. With a bystander, one
// alive claims and takes before recovery runs, is paused through it, and ends its work afterwards.
// Empty: all is well.
template <class Policy, class L>
std::string judge(const World<Policy>& world, std::uint64_t prefilled, L& liveness,
                  bool with_bystander) {
  using Producer = typename World<Policy>::Producer;
  using Consumer = typename World<Policy>::Consumer;
  Account account;
  Producer producer(world.ring, kSurvivor);
  Consumer consumer(world.ring, kSurvivor);
  Producer paused_producer(world.ring, kBystander);
  Consumer paused_consumer(world.ring, kBystander);
  const auto drain = [&] {
    while (auto message = consumer.try_next()) account.deliver(**message, message->redelivered());
  };
  const auto recover = [&] { return world.ring.recovery(kSurvivor).all(liveness); };

  if (with_bystander) {
    auto claim = paused_producer.try_claim();
    auto message = paused_consumer.try_next();
    recover();
    drain();
    if (claim) {
      **claim = Note::make(kBystander, 0);
      std::move(*claim).commit();
    }
    if (message) account.deliver(**message, message->redelivered());
    message.reset();
    drain();
    account.expect(kBystander, 0, !claim.has_value(), false);
  }
  for (int i = 0; i < 3; ++i) {
    recover();
    drain();
  }
  const std::uint64_t consumed = world.journal->consumed.load(std::memory_order_relaxed);
  const std::uint64_t committed = world.journal->committed.load(std::memory_order_relaxed);
  for (std::uint64_t i = 0; i < prefilled; ++i) {
    const bool done = (consumed >> i & 1) != 0;
    account.expect(kLongDead, i, done, done);
  }
  for (std::uint64_t i = 0; i < kWorldCapacity; ++i) {
    account.expect(kVictim, i, (committed >> i & 1) == 0, false);
  }
  for (std::uint64_t i = 0; i < kWorldCapacity; ++i) {
    if (!producer.try_push(Note::make(kSurvivor, i))) account.complain() << "capacity lost; ";
  }
  if (producer.try_push(Note::make(kSurvivor, 99))) account.complain() << "capacity grown; ";
  for (std::uint64_t i = 0; i < kWorldCapacity; ++i) {
    const auto message = consumer.try_next();
    if (!message || !(**message).whole() || (**message).number != i || message->redelivered()) {
      account.complain() << "lap afterwards broken; ";
    }
  }
  if (consumer.try_next()) account.complain() << "a message too many; ";
  return account.verdict();
}

// Something that the victim does. `arrange` is done before the story begins.
template <class Policy>
struct Story {
  const char* name;
  std::uint64_t prefilled;
  std::uint32_t long_dead;  // bits of who is dead from the beginning
  std::function<void(const World<Policy>&)> arrange;
  std::function<void(const World<Policy>&, std::uint32_t me)> act;
};

template <class Handle>
void abandon(std::optional<Handle>& handle) {
  alignas(std::optional<Handle>) static std::byte grave[sizeof(std::optional<Handle>)];
  new (grave) std::optional<Handle>(std::move(handle));  // a killed process runs no destructor
}

template <class Policy>
std::vector<Story<Policy>> all_stories() {
  using W = World<Policy>;
  using Producer = typename W::Producer;
  using Consumer = typename W::Consumer;
  const auto nothing = [](const W&) {};
  const auto discard = [](const W& w) {
    Producer producer(w.ring, kLongDead);
    auto given_up = producer.try_claim();
  };
  const auto push = [](const W& w, std::uint32_t me) {
    Producer producer(w.ring, me);
    if (auto claim = producer.try_claim()) {
      **claim = Note::make(kVictim, 0);
      std::move(*claim).commit();
      w.committed(0);
    }
  };
  const auto push_three = [](const W& w, std::uint32_t me) {
    Producer producer(w.ring, me);
    if (auto claim = producer.try_claim_some(3)) {
      const auto size = static_cast<std::uint32_t>(claim->size());
      for (std::uint32_t i = 0; i < size; ++i) (*claim)[i] = Note::make(kVictim, i);
      std::move(*claim).commit();
      for (std::uint32_t i = 0; i < size; ++i) w.committed(i);
    }
  };
  const auto take = [](std::uint32_t most) {
    return [most](const W& w, std::uint32_t me) {
      Consumer consumer(w.ring, me);
      if (most == 1) {
        if (auto message = consumer.try_next()) w.took(**message);
      } else if (auto messages = consumer.try_next_some(most)) {
        for (std::size_t i = 0; i < messages->size(); ++i) w.took((*messages)[i]);
      }
    };
  };
  const auto recover = [](const W& w, std::uint32_t me) {
    StagedLiveness liveness{1u << kLongDead | 1u << kLongDead2, 0};
    w.ring.recovery(me).all(liveness);
  };
  constexpr std::uint32_t kOneDead = 1u << kLongDead;
  constexpr std::uint32_t kTwoDead = kOneDead | 1u << kLongDead2;
  return {
      {"claim and commit", 1, kOneDead, [](const W& w) { w.prefill(1); }, push},
      {"claim and commit, laps later", 3, kOneDead,
       [](const W& w) {
         w.spin(3);
         w.prefill(3);
       },
       push},
      {"claim when full", 4, kOneDead, [](const W& w) { w.prefill(4); }, push},
      {"claim and commit three", 1, kOneDead, [](const W& w) { w.prefill(1); }, push_three},
      {"claim and discard", 1, kOneDead, [](const W& w) { w.prefill(1); },
       [](const W& w, std::uint32_t me) {
         Producer producer(w.ring, me);
         auto claim = producer.try_claim();
         if (claim) **claim = Note::make(kVictim, 0);
       }},
      {"take and give back", 2, kOneDead, [](const W& w) { w.prefill(2); }, take(1)},
      {"take and give back three", 4, kOneDead,
       [](const W& w) {
         w.spin(1);
         w.prefill(4);
       },
       take(3)},
      {"take from empty", 0, kOneDead, nothing, take(1)},
      {"skip a tombstone and take", 1, kOneDead,
       [discard](const W& w) {
         discard(w);
         w.prefill(1);
       },
       take(1)},
      {"take over an orphan", 1, kOneDead,
       [](const W& w) {
         w.prefill(1);
         Consumer dead(w.ring, kLongDead);
         auto message = dead.try_next();
         abandon(message);
         StagedLiveness liveness{kOneDead, 0};
         w.ring.recovery(kLongDead2).all(liveness);
       },
       take(1)},
      {"recover a claim", 1, kTwoDead,
       [](const W& w) {
         w.prefill(1);
         Producer dead(w.ring, kLongDead2);
         auto claim = dead.try_claim_some(2);
         abandon(claim);
       },
       recover},
      {"recover messages and a tombstone", 2, kTwoDead,
       [discard](const W& w) {
         w.prefill(2);
         Consumer dead(w.ring, kLongDead2);
         auto messages = dead.try_next_some(2);
         abandon(messages);
         discard(w);
         w.ring.parts().participants[kLongDead].taking = mpmc_announcement::make(2, 1);
         w.ring.parts().positions->head = 3;
       },
       recover},
      {"recover both sides of two who shared a record", 2, kTwoDead,
       [](const W& w) {
         w.prefill(2);
         Consumer dead_consumer(w.ring, kLongDead2);
         auto message = dead_consumer.try_next();
         abandon(message);
         Producer dead_producer(w.ring, kLongDead2);
         auto claim = dead_producer.try_claim();
         abandon(claim);
         w.ring.parts().participants[kLongDead].claiming = mpmc_announcement::make(2, 1);
         w.ring.parts().participants[kLongDead].taking = mpmc_announcement::make(0, 1);
       },
       recover},
  };
}

}  // namespace rondo::testing
