// Every word that a peer may write is read once, checked, then used: shown by a peer that changes
// any one of them just before any one of its loads, and by one that changes many of them.
//
// Built with RONDO_ATOMIC_HEADER=support/hostile_atomic.hpp, with assertions, and with the memory
// between two inaccessible pages. An act (attaching, then some calls of a role) is played
// again and again: for each of its loads, each of some nasty values, once seen by this load alone
// (so that a second fetch of the word finds the old value) and once to stay. It has to come to its
// end without an assertion, without leaving the memory, and within a number of loads: a call takes
// no longer because of what words say (docs/bounds.md).
//
//   1. OneWordOfAnyActMayChangeBeforeAnyLoad
//   2. ManyWordsMayChangeInOneAct
//   3. ASecondFetchIsNoticed                    what this test is worth
#include <gtest/gtest.h>
#include <signal.h>
#include <sys/mman.h>

#include <algorithm>
#include <array>
#include <cstring>
#include <functional>
#include <ostream>
#include <random>
#include <span>
#include <string>
#include <vector>

#include "rondo/core/frame_pool.hpp"
#include "rondo/core/latest.hpp"
#include "rondo/core/mpmc_ring.hpp"
#include "rondo/core/record_ring.hpp"
#include "rondo/core/spsc_ring.hpp"

namespace rondo {
namespace {

using hostile::peer;
using hostile::Strike;
using Bytes = std::span<std::byte>;

// The most loads of any act. The longest loop of one call, a search for orphans, is no longer.
constexpr std::uint64_t kMostLoads = 200'000;

// Memory between two inaccessible pages.
class Stage {
 public:
  explicit Stage(std::uint64_t bytes)
      : bytes_(bytes),
        whole_(static_cast<std::byte*>(mmap(nullptr, bytes + 2 * kPartAlignment, PROT_NONE,
                                            MAP_PRIVATE | MAP_ANONYMOUS, -1, 0))) {
    EXPECT_EQ(bytes % kPartAlignment, 0u);
    EXPECT_EQ(mprotect(whole_ + kPartAlignment, bytes, PROT_READ | PROT_WRITE), 0);
  }
  Stage(const Stage&) = delete;
  Stage& operator=(const Stage&) = delete;
  ~Stage() { munmap(whole_, bytes_ + 2 * kPartAlignment); }

  [[nodiscard]] Bytes bytes() const { return {whole_ + kPartAlignment, bytes_}; }

 private:
  std::uint64_t bytes_;
  std::byte* whole_;
};

// Reads what a call returned, as its user would; the pages around see to the bounds.
void use(std::span<const std::byte> bytes) {
  static volatile unsigned sum = 0;
  for (const std::byte byte : bytes) sum = sum + static_cast<unsigned>(byte);
}
void fill(std::span<std::byte> bytes) { std::fill(bytes.begin(), bytes.end(), std::byte{0x5a}); }

// What a role begins with; attaching has acts of its own.
template <class Ring>
auto attached(Bytes bytes) {
  peer().look_away(true);
  auto parts = Ring::attach(bytes).value();
  peer().look_away(false);
  return parts;
}

struct Act {
  std::string name;
  std::uint64_t bytes;
  std::uint64_t capacity;              // for values close to it
  std::function<void(Bytes)> setting;  // honest, on zeroed memory
  std::function<void(Bytes)> play;

  friend void PrintTo(const Act& act, std::ostream* out) { *out << act.name; }
};

// --- Record rings --------------------------------------------------------------------------------

constexpr std::uint64_t kCapacity = 256;

void send(record_ring::Producer& producer, std::size_t size_bytes) {
  if (std::byte* at = producer.try_reserve(size_bytes)) {
    fill({at, size_bytes});
    producer.commit(size_bytes);
  }
}
void receive(record_ring::Consumer& consumer, int most) {
  for (int i = 0; i < most; ++i) {
    const ReadOutcome state = consumer.try_peek();
    if (state == ReadOutcome::kCorrupt) return;
    if (state != ReadOutcome::kMessage) continue;
    use({consumer.data(), consumer.size()});
    static_cast<void>(consumer.intact());
    static_cast<void>(consumer.give_back());
  }
}
RecordParts record_parts(Bytes bytes) { return attached<record_ring>(bytes); }

void add_record_acts(std::vector<Act>& acts) {
  const std::uint64_t size = record_ring::layout_for({kCapacity, 1})->total_bytes;
  const auto make = [](Bytes bytes) { ASSERT_TRUE(record_ring::create(bytes, {kCapacity, 1})); };
  const auto with_records = [make](Bytes bytes) {
    make(bytes);
    auto producer = *record_ring::Producer::attach(record_parts(bytes));
    auto consumer = *record_ring::Consumer::attach(record_parts(bytes));
    for (int i = 0; i < 9; ++i) {
      send(producer, 40);
      receive(consumer, i < 6 ? 1 : 0);
    }
  };
  acts.push_back({"record: attach", size, kCapacity, with_records, [](Bytes bytes) {
                    if (const auto parts = record_ring::attach(bytes)) {
                      static_cast<void>(
                          parts->header_at(kCapacity - 8).load(std::memory_order_relaxed));
                    }
                  }});
  acts.push_back({"record: produce", size, kCapacity, with_records, [](Bytes bytes) {
                    auto producer = record_ring::Producer::attach(record_parts(bytes));
                    if (!producer) return;
                    for (const std::size_t i : {1, 40, 40, 100, 40}) send(*producer, i);
                    producer->begin_batch();
                    send(*producer, 8);
                    producer->end_batch();
                    static_cast<void>(producer->drained());
                    producer->close();
                  }});
  acts.push_back({"record: consume", size, kCapacity, with_records, [](Bytes bytes) {
                    auto consumer = record_ring::Consumer::attach(
                        record_parts(bytes), Acknowledge::kEagerly, Pacing::kOff);
                    if (!consumer) return;
                    receive(*consumer, 6);
                    consumer->pass_end();
                    consumer->publish();
                  }});
}

void add_reader_acts(std::vector<Act>& acts) {
  constexpr std::uint32_t kReaders = 2;
  const std::uint64_t size = record_ring::layout_for({kCapacity, kReaders})->total_bytes;
  const auto read_as = [](Bytes bytes, ReaderOptions options) {
    options.pacing = Pacing::kOff;
    auto reader = record_ring::Consumer::join(record_parts(bytes).of_reader(0), options);
    if (!reader) return;
    receive(*reader, 3);
    auto producer = record_ring::Producer::attach(record_parts(bytes));
    // More than a lap: a lossy reader is overrun.
    for (int i = 0; producer && i < 9; ++i) send(*producer, 40);
    receive(*reader, 6);
    reader->leave();
  };
  const auto with_records = [](Bytes bytes) {
    ASSERT_TRUE(record_ring::create(bytes, {kCapacity, kReaders}));
    const RecordParts parts = record_parts(bytes);
    auto producer = *record_ring::Producer::attach(parts);
    for (int i = 0; i < 9; ++i) send(producer, 40);
    auto named = *record_ring::Consumer::join(parts.of_reader(0),
                                              {.policy = ReaderPolicy::kLossy, .name = "one"});
    receive(named, 1);
    named.leave();
    auto reliable = *record_ring::Consumer::join(parts.of_reader(1), {});
    receive(reliable, 1);
    reliable.leave();
    send(producer, 24);
  };
  const auto add = [&](const char* name, const ReaderOptions& options) {
    acts.push_back({name, size, kCapacity, with_records,
                    [read_as, options](Bytes bytes) { read_as(bytes, options); }});
  };
  constexpr auto kLossy = ReaderPolicy::kLossy;
  add("readers: reliable", {});
  add("readers: lossy", {.policy = kLossy});
  add("readers: lossy, newest",
      {.policy = kLossy, .from = ReaderStart::kNewest, .after_loss = ReaderStart::kNewest});
  add("readers: from a sequence",
      {.policy = kLossy, .from = ReaderStart::kSequence, .sequence = 7});
  add("readers: back under a name", {.policy = kLossy, .name = "one"});
  add("readers: latest", {.policy = ReaderPolicy::kLatest});
  acts.push_back({"readers: produce", size, kCapacity,
                  [with_records](Bytes bytes) {
                    with_records(bytes);
                    static_cast<void>(
                        record_ring::Consumer::join(record_parts(bytes).of_reader(0), {}));
                  },
                  [](Bytes bytes) {
                    const RecordParts parts = record_parts(bytes);
                    auto producer = record_ring::Producer::attach(parts);
                    if (!producer) return;
                    for (int i = 0; i < 9; ++i) send(*producer, 40);
                    if (const auto held = producer->gating_reader()) {
                      ASSERT_LT(held->reader, kMaxReaders);
                      producer->evict(held->reader);
                    }
                    for (int i = 0; i < 9; ++i) send(*producer, 40);
                    static_cast<void>(producer->drained());
                    producer->close();
                    for (std::uint32_t i = 0; i < parts.readers; ++i) {
                      static_cast<void>(read_stats(parts.consumer_at(i)));
                      static_cast<void>(has_name(parts.consumer_at(i), "one"));
                    }
                  }});
}

// --- Mpmc rings ----------------------------------------------------------------------------------

constexpr std::uint64_t kSlots = 4;
constexpr std::uint32_t kDead = 3;

struct OneDead {
  bool try_lock_dead(std::uint32_t who) { return who == kDead; }
  void unlock(std::uint32_t) {}
};

void add_slot_acts(std::vector<Act>& acts) {
  using Ring = mpmc_ring<>;
  MpmcParams params{.capacity = kSlots, .participants = 4};
  params.slot_bytes = 100;
  const std::uint64_t size = Ring::layout_for(params)->total_bytes;
  const auto ring_in = [](Bytes bytes) -> Ring { return attached<Ring>(bytes); };
  const auto message = [](std::size_t bytes) {
    static const std::array<std::byte, 100> kBytes{};
    return std::span(kBytes).first(bytes);
  };
  const auto with_messages = [=](Bytes bytes) {
    ASSERT_TRUE(Ring::create(bytes, params));
    Ring::Producer producer(ring_in(bytes), 0, Pacing::kOff);
    Ring::Consumer consumer(ring_in(bytes), 1, Pacing::kOff);
    for (std::size_t i = 0; i < 6; ++i) {
      ASSERT_TRUE(producer.try_push(message(10 * i)));
      if (i < 3) {
        ASSERT_NE(consumer.try_peek().data(), nullptr);
        consumer.give_back();
      }
    }
  };
  // One has died with a claim, another one with a message in its hands.
  const auto with_the_dead = [=](Bytes bytes) {
    with_messages(bytes);
    Ring::Producer producer(ring_in(bytes), kDead, Pacing::kOff);
    Ring::Consumer consumer(ring_in(bytes), kDead, Pacing::kOff);
    ASSERT_NE(producer.try_reserve(), nullptr);
    ASSERT_NE(consumer.try_peek().data(), nullptr);
    ring_in(bytes).producing().enter(kDead);
    ring_in(bytes).sleeping_consumers().enter(kDead);
  };
  const auto with_orphans = [=](Bytes bytes) {
    with_the_dead(bytes);
    OneDead liveness;
    ASSERT_EQ(ring_in(bytes).recovery(2).all(liveness).orphaned, 1u);
  };
  const auto consume = [=](Bytes bytes) {
    Ring::Consumer consumer(ring_in(bytes), 1, Pacing::kOff);
    for (int i = 0; i < 3; ++i) {
      const auto found = consumer.try_peek();
      if (found.data() == nullptr) continue;
      use(found);
      consumer.give_back();
    }
    if (const auto taken = consumer.try_next()) {
      use(**taken);
    }
    if (const auto taken = consumer.try_next_some(3)) {
      for (std::uint32_t i = 0; i < taken->size(); ++i) {
        // Of one taking, a message has one size, however often it is asked for.
        const std::size_t first = (*taken)[i].size();
        use((*taken)[i]);
        ASSERT_EQ((*taken)[i].size(), first);
      }
    }
  };
  acts.push_back({"slots: attach", size, kSlots, with_messages, [](Bytes bytes) {
                    if (const auto parts = Ring::attach(bytes)) {
                      use({parts->slot_at(kSlots - 1), parts->stride});
                    }
                  }});
  acts.push_back({"slots: produce", size, kSlots, with_messages, [=](Bytes bytes) {
                    const Ring ring = ring_in(bytes);
                    Ring::Producer producer(ring, 0, Pacing::kOff);
                    static_cast<void>(producer.try_push(message(100)));
                    if (auto claim = producer.try_claim_some(3)) {
                      for (std::uint32_t i = 0; i < claim->size(); ++i) fill((*claim)[i]);
                      claim->shrink(1);
                      std::move(*claim).commit();
                    }
                    static_cast<void>(producer.try_claim(2));
                    static_cast<void>(ring.sleeping_consumers().take_one());
                    Position from = 0;
                    static_cast<void>(ring.given_back(from, ring.claimed()));
                  }});
  acts.push_back({"slots: consume", size, kSlots, with_messages, consume});
  acts.push_back({"slots: take over an orphan", size, kSlots, with_orphans, consume});
  acts.push_back({"slots: recover", size, kSlots, with_the_dead, [=](Bytes bytes) {
                    OneDead liveness;
                    static_cast<void>(ring_in(bytes).recovery(2).all(liveness));
                    static_cast<void>(ring_in(bytes).producing().count());
                  }});
  acts.push_back({"slots: take a slot over", size, kSlots, with_the_dead, [=](Bytes bytes) {
                    OneDead liveness;
                    static_cast<void>(ring_in(bytes).recovery(2).one(2, liveness));
                    static_cast<void>(ring_in(bytes).recovery(kDead).one(kDead, liveness));
                    ring_in(bytes).consuming().enter(kDead);
                    ring_in(bytes).consuming().leave(kDead);
                  }});

  using Values = mpmc_ring<std::uint64_t>;
  acts.push_back({"slots: values",
                  Values::layout_for({.capacity = kSlots, .participants = 4})->total_bytes, kSlots,
                  [](Bytes bytes) {
                    ASSERT_TRUE(Values::create(bytes, {.capacity = kSlots, .participants = 4}));
                  },
                  [](Bytes bytes) {
                    const Values ring = attached<Values>(bytes);
                    Values::Producer producer(ring, 0, Pacing::kOff);
                    Values::Consumer consumer(ring, 1, Pacing::kOff);
                    std::array<std::uint64_t, 3> values{1, 2, 3};
                    for (int i = 0; i < 3; ++i) {
                      static_cast<void>(producer.try_push(7));
                      static_cast<void>(producer.try_push_some(values));
                      static_cast<void>(consumer.try_pop(values[0]));
                      static_cast<void>(consumer.try_pop_some(values));
                    }
                  }});

  using Slots = spsc_ring<std::uint64_t>;
  acts.push_back({"spsc", Slots::layout_for({kSlots})->total_bytes, kSlots,
                  [](Bytes bytes) {
                    ASSERT_TRUE(Slots::create(bytes, {kSlots}));
                    Slots::Producer producer(attached<Slots>(bytes));
                    ASSERT_TRUE(producer.try_push(1));
                  },
                  [](Bytes bytes) {
                    const auto parts = Slots::attach(bytes);
                    if (!parts) return;
                    Slots::Producer producer(*parts);
                    Slots::Consumer consumer(*parts, Acknowledge::kEagerly, Pacing::kOff);
                    std::array<std::uint64_t, 3> values{1, 2, 3};
                    for (int i = 0; i < 3; ++i) {
                      static_cast<void>(producer.try_push(7));
                      static_cast<void>(producer.try_push_some(values));
                      if (auto claim = producer.try_claim_some(2)) {
                        std::fill(claim->first().begin(), claim->first().end(), 1);
                        std::move(*claim).commit();
                      }
                      static_cast<void>(consumer.try_pop());
                      if (const auto got = consumer.try_next_some(2))
                        use(std::as_bytes(got->first()));
                      static_cast<void>(consumer.try_pop_some(values));
                    }
                  }});
}

// --- Frames and the latest value -----------------------------------------------------------------

void add_frame_acts(std::vector<Act>& acts) {
  const FramePoolParams params{.frames = 3, .frame_bytes = 64, .readers = 2, .pins = 1};
  const std::uint64_t size = frame_pool::layout_for(params)->total_bytes;
  const auto with_frames = [=](Bytes bytes) {
    const auto parts = frame_pool::create(bytes, params);
    ASSERT_TRUE(parts);
    frame_pool::Producer producer(*parts);
    for (int i = 0; i < 5; ++i) {
      ASSERT_NE(producer.try_reserve(), nullptr);
      producer.commit(60);
    }
    frame_pool::Consumer reader(*parts, 1);
    frame_pool::Message frame;
    ASSERT_EQ(reader.try_next(frame), ReadOutcome::kMessage);
    alignas(frame_pool::Message) static std::byte grave[sizeof(frame_pool::Message)];
    new (grave) frame_pool::Message(std::move(frame));  // it stays pinned
  };
  acts.push_back({"frames: attach", size, params.frames, with_frames, [](Bytes bytes) {
                    if (const auto parts = frame_pool::attach(bytes)) {
                      use({parts->frame(parts->frame_count - 1), parts->frame_bytes});
                    }
                  }});
  acts.push_back({"frames: produce", size, params.frames, with_frames, [](Bytes bytes) {
                    const auto parts = attached<frame_pool>(bytes);
                    frame_pool::Producer producer(parts);
                    for (int i = 0; i < 4; ++i) {
                      auto frame = producer.try_claim();
                      if (!frame) continue;
                      fill(frame->bytes());
                      std::move(*frame).commit();
                    }
                    for_each_held(parts, [&](const HeldFrame& held) {
                      ASSERT_LT(held.reader, parts.reader_count);
                    });
                    static_cast<void>(read_frame_stats(parts, 1));
                    producer.close();
                  }});
  for (const FrameStart from : {FrameStart::kOldest, FrameStart::kNewest, FrameStart::kResume}) {
    const char* names[] = {"frames: read from the oldest", "frames: read from the newest", "",
                           "frames: resume"};
    acts.push_back(
        {names[static_cast<int>(from)], size, params.frames, with_frames, [from](Bytes bytes) {
           const auto parts = attached<frame_pool>(bytes);
           frame_pool::Consumer reader(parts, 0, from);
           frame_pool::Message frame;
           for (int i = 0; i < 4; ++i) {
             const ReadOutcome read =
                 i % 2 == 0 ? reader.try_next(frame) : reader.try_newest(frame);
             if (read == ReadOutcome::kMessage) use(frame.bytes());
           }
         }});
  }
  acts.push_back(
      {"frames: let go of the dead's", size, params.frames, with_frames, [](Bytes bytes) {
         struct {
           bool try_lock_dead(std::uint32_t) { return true; }
           void unlock(std::uint32_t) {}
         } liveness;
         const auto parts = attached<frame_pool>(bytes);
         static_cast<void>(recover_dead_readers(parts, liveness));
       }});

  struct Quote {
    std::uint64_t bid, ask;
  };
  using Cell = latest<Quote>;
  acts.push_back({"latest", Cell::layout_for({})->total_bytes, 4,
                  [](Bytes bytes) {
                    const auto parts = Cell::create(bytes);
                    ASSERT_TRUE(parts);
                    Cell::Writer(*parts).store({1, 2});
                  },
                  [](Bytes bytes) {
                    const auto parts = Cell::attach(bytes);
                    if (!parts) return;
                    Cell::Writer writer(*parts);
                    Cell::Reader reader(*parts);
                    Quote quote{};
                    for (int i = 0; i < 3; ++i) {
                      static_cast<void>(reader.try_load(quote));
                      static_cast<void>(reader.changed());
                      writer.store({3, 4});
                    }
                  }});
}

std::vector<Act> all_acts() {
  std::vector<Act> acts;
  add_record_acts(acts);
  add_reader_acts(acts);
  add_slot_acts(acts);
  add_frame_acts(acts);
  return acts;
}

std::vector<Strike> nasty(std::uint64_t capacity) {
  using How = Strike::How;
  std::vector<Strike> strikes;
  for (std::uint64_t value : {0, 1, 2, 3, 4, 7, 8, 15, 16})
    strikes.push_back({How::kWrites, value});
  for (const int bit : {9, 11, 20, 31, 32, 40, 48, 62, 63}) {
    const std::uint64_t value = std::uint64_t{1} << bit;
    strikes.push_back({How::kWrites, value});
    strikes.push_back({How::kWrites, value - 1});
    strikes.push_back({How::kFlips, value});
    strikes.push_back({How::kAdds, value});
  }
  for (const std::uint64_t value : {std::uint64_t{1}, std::uint64_t{8}, capacity - 8, capacity - 1,
                                    capacity, capacity + 1, capacity + 8, 2 * capacity}) {
    strikes.push_back({How::kWrites, value});
    strikes.push_back({How::kAdds, value});
    strikes.push_back({How::kAdds, 0 - value});
  }
  strikes.push_back({How::kWrites, ~std::uint64_t{0}});
  strikes.push_back({How::kWrites, ~std::uint64_t{7}});
  strikes.push_back({How::kFlips, 7});
  strikes.push_back({How::kFlips, ~std::uint64_t{0}});
  return strikes;
}

// Says in which act the program died.
void tell_and_die(int number) {
  peer().tell(number == SIGABRT ? "failed an assertion" : "left its memory");
  signal(number, SIG_DFL);
  raise(number);
}

class SingleFetch : public ::testing::TestWithParam<Act> {
 protected:
  SingleFetch() : stage_(GetParam().bytes) {
    for (const int number : {SIGABRT, SIGSEGV, SIGBUS}) signal(number, tell_and_die);
    peer().rest();
    GetParam().setting(stage_.bytes());
    scene_.assign(stage_.bytes().begin(), stage_.bytes().end());
  }
  ~SingleFetch() override {
    peer().rest();
    for (const int number : {SIGABRT, SIGSEGV, SIGBUS}) signal(number, SIG_DFL);
  }
  void play() {
    std::memcpy(stage_.bytes().data(), scene_.data(), scene_.size());
    peer().begin(GetParam().name.c_str(), kMostLoads);
    GetParam().play(stage_.bytes());
  }

  Stage stage_;
  std::vector<std::byte> scene_;
};

INSTANTIATE_TEST_SUITE_P(Acts, SingleFetch, ::testing::ValuesIn(all_acts()), [](const auto& act) {
  std::string name = act.param.name;
  std::erase_if(name, [](char c) { return !std::isalnum(static_cast<unsigned char>(c)); });
  return name;
});

TEST_P(SingleFetch, OneWordOfAnyActMayChangeBeforeAnyLoad) {
  play();
  const std::uint64_t loads = peer().loads();
  ASSERT_GT(loads, 0u);
  for (const Strike& strike : nasty(GetParam().capacity)) {
    for (std::uint64_t at = 1; at <= loads; ++at) {
      for (const bool stays : {false, true}) {
        peer().strike_at(at, strike, stays);
        play();
        peer().rest();
        ASSERT_FALSE(HasFatalFailure()) << at << ' ' << strike.with;
      }
    }
  }
}

std::mt19937_64 random_bits;  // for a function without a state

TEST_P(SingleFetch, ManyWordsMayChangeInOneAct) {
  const std::vector<Strike> strikes = nasty(GetParam().capacity);
  static const std::vector<Strike>* drawn_from;
  static std::uint64_t one_in;
  drawn_from = &strikes;
  for (std::uint64_t seed = 0; seed < 6'000; ++seed) {
    random_bits.seed(seed);
    one_in = 1 + seed % 16;
    peer().strike_whenever([](Strike& strike) {
      if (random_bits() % one_in != 0) return false;
      strike = (*drawn_from)[random_bits() % drawn_from->size()];
      return true;
    });
    play();
    peer().rest();
    ASSERT_FALSE(HasFatalFailure()) << "seed " << seed;
  }
}

// A reader as it must not be: it checks the size, and fetches it again to use it.
TEST(SingleFetchItself, ASecondFetchIsNoticed) {
  Atomic<std::uint64_t> size{8};
  const auto careless = [&] {
    // relaxed: of the two, it is the second load that is wrong.
    if (size.load(std::memory_order_relaxed) > 8) return std::uint64_t{0};
    return size.load(std::memory_order_relaxed);
  };
  std::uint64_t most = 0;
  for (std::uint64_t at = 1; at <= 2; ++at) {
    peer().begin("a careless reader", 2);
    peer().strike_at(at, {Strike::How::kWrites, 1u << 20}, false);
    most = std::max(most, careless());
  }
  peer().rest();
  EXPECT_GT(most, 8u);
  peer().begin("a reader that goes on", 10);
  EXPECT_EXIT(for (;;) static_cast<void>(careless()), ::testing::ExitedWithCode(1),
              "too many loads");
  peer().rest();
}

}  // namespace
}  // namespace rondo
