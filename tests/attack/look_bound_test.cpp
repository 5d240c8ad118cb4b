// One look at a ring takes a bounded number of loads, whatever a peer has written: who looks again
// and again until a deadline comes to look at the clock (docs/bounds.md). Counted, and not timed.
//
// Built with RONDO_ATOMIC_HEADER=support/hostile_atomic.hpp, which ends the program when one look
// takes more. The rings are large, so that a lap is much more than a look may take.
//
//   1. ALatestReaderLooksThroughNoLapForAReclaimFromNowhere
//   2. ALatestReaderGoesALongWayInSeveralLooks
//   3. WhoWasOverrunSearchesNoLap
//   4. WhoOpensARingWalksAFewLaps
//   5. WhoLosesEachRaceToJoinIsToldSo
//   6. ASearchForOrphansIsCut
//   7. ALookForSlotsNotGivenBackIsCut
//   8. RacesThatAreAlwaysLostAreGivenUp
//   9. AReaderOfFramesSearchesThePoolAFewTimes
#include <gtest/gtest.h>

#include <algorithm>
#include <cstring>
#include <memory>
#include <new>
#include <optional>
#include <span>
#include <utility>

#include "rondo/core/frame_pool.hpp"
#include "rondo/core/mpmc_ring.hpp"
#include "rondo/core/record_ring.hpp"

namespace rondo {
namespace {

using hostile::peer;
using hostile::Strike;

constexpr auto kRelaxed = std::memory_order_relaxed;
// Headers or slots, and some loads beside them.
constexpr std::uint64_t kMostLoads = (1u << 16) + 5'000;

// Zeroed memory that is cheap while it is not touched.
class Memory {
 public:
  explicit Memory(std::uint64_t bytes)
      : at_(static_cast<std::byte*>(operator new(bytes, kAlignment))), bytes_(bytes) {
    std::memset(at_.get(), 0, bytes);
  }
  [[nodiscard]] std::span<std::byte> bytes() const { return {at_.get(), bytes_}; }

 private:
  static constexpr std::align_val_t kAlignment{kPartAlignment};
  struct Free {
    void operator()(std::byte* at) const { operator delete(at, kAlignment); }
  };
  std::unique_ptr<std::byte, Free> at_;
  std::uint64_t bytes_;
};

class LookBound : public ::testing::Test {
 protected:
  ~LookBound() override { peer().rest(); }
  // What `f` returns, which takes so many loads at most.
  template <class F>
  static auto bounded(const char* what, F&& f, std::uint64_t most = kMostLoads) {
    peer().begin(what, most);
    auto result = f();
    peer().begin(what, ~std::uint64_t{0});
    return result;
  }
};

// A ring of many empty records, one behind the other.
class RecordLookBound : public LookBound {
 protected:
  static constexpr std::uint64_t kCapacity = std::uint64_t{4} << 20;
  static constexpr std::uint64_t kLap = kCapacity / record_header::kBytes;

  RecordLookBound() {
    parts_ = record_ring::create(memory_.bytes(), {kCapacity, 2}).value();
    producer_.emplace(*record_ring::Producer::attach(parts_));
  }
  void send(std::uint64_t records) {
    for (std::uint64_t i = 0; i < records; ++i) {
      if (producer_->try_reserve(0) != nullptr) producer_->commit(0);
    }
  }
  [[nodiscard]] record_ring::Consumer join(const ReaderOptions& options) {
    return *record_ring::Consumer::join(parts_.of_reader(0), options);
  }
  static ReadOutcome look(record_ring::Consumer& reader) {
    return bounded("a look", [&] { return reader.try_peek(); });
  }

  Memory memory_{record_ring::layout_for({kCapacity, 2})->total_bytes};
  RecordParts parts_{};
  std::optional<record_ring::Producer> producer_;
};

TEST_F(RecordLookBound, ALatestReaderLooksThroughNoLapForAReclaimFromNowhere) {
  auto reader = join({.policy = ReaderPolicy::kLatest, .pacing = Pacing::kOff});
  send(kLap / 2);
  parts_.producer->reclaim.store(std::uint64_t{1} << 40, kRelaxed);

  ReadOutcome state = ReadOutcome::kEmpty;
  int looks = 0;
  for (; state == ReadOutcome::kEmpty && looks < 1'000; ++looks) state = look(reader);

  EXPECT_EQ(state, ReadOutcome::kCorrupt);
  EXPECT_GT(looks, 1) << "the deadline is looked at in between";
}

TEST_F(RecordLookBound, ALatestReaderGoesALongWayInSeveralLooks) {
  auto reader = join({.policy = ReaderPolicy::kLatest, .pacing = Pacing::kOff});
  send(kLap / 2);
  // Nothing but the first checkpoint is left to begin from.
  parts_.producer->current.store(0, kRelaxed);

  ReadOutcome state = look(reader);
  EXPECT_EQ(state, ReadOutcome::kLost);
  for (int looks = 0; state == ReadOutcome::kLost && looks < 100; ++looks) state = look(reader);

  EXPECT_EQ(state, ReadOutcome::kMessage);
  EXPECT_EQ(reader.sequence(), kLap / 2 - 1);
  EXPECT_EQ(reader.lost(), kLap / 2 - 1);
}

TEST_F(RecordLookBound, WhoWasOverrunSearchesNoLap) {
  auto reader = join(
      {.policy = ReaderPolicy::kLossy, .after_loss = ReaderStart::kNewest, .pacing = Pacing::kOff});
  send(2 * kLap - 5);
  // Wherever the search ends, it has been taken back.
  parts_.producer->reclaim.store(std::uint64_t{1} << 40, kRelaxed);

  ReadOutcome state = ReadOutcome::kEmpty;
  int looks = 0;
  for (; state == ReadOutcome::kEmpty && looks < 1'000; ++looks) state = look(reader);

  EXPECT_EQ(state, ReadOutcome::kCorrupt);
  EXPECT_GT(looks, 1) << "the deadline is looked at in between";
}

TEST_F(RecordLookBound, WhoOpensARingWalksAFewLaps) {
  send(kLap / 2);
  // From the beginning of all to its end, each time; and then that was for nothing.
  parts_.producer->current.store(1, kRelaxed);
  for (RecordCheckpoint& checkpoint : parts_.producer->checkpoints) {
    checkpoint.position.store(0, kRelaxed);
    checkpoint.sequence.store(0, kRelaxed);
  }
  parts_.producer->intent.store(8, kRelaxed);
  const std::uint64_t most = 4 * kLap + (1u << 20) + 5'000;

  EXPECT_FALSE(bounded(
      "to join",
      [&] {
        return record_ring::Consumer::join(
            parts_.of_reader(0), {.policy = ReaderPolicy::kLossy, .from = ReaderStart::kNewest});
      },
      most));
  parts_.consumer->head.store(kCapacity - 8, kRelaxed);
  EXPECT_FALSE(bounded(
      "to attach", [&] { return record_ring::Consumer::attach(parts_); }, most));
}

// A small ring whose producer goes on by laps each time that a joining reader has found a place,
// just before it says that it stands there. So the reader loses that race, as often as it should.
class RecordJoinRace : public LookBound {
 protected:
  static constexpr RecordParams kParams{1024, 2};

  RecordJoinRace() { send(); }
  // Two laps, as far as readers let it.
  void send() {
    constexpr std::uint64_t kTwoLaps = 2 * kParams.capacity / (2 * record_header::kBytes);
    for (std::uint64_t i = 0; i < kTwoLaps && producer_.try_reserve(8) != nullptr; ++i) {
      producer_.commit(8);
    }
  }
  Result<record_ring::Consumer> join(const ReaderOptions& options, int races_lost) {
    producer_wins_ = races_lost;
    races_ = 0;
    stood_ = stood();
    at_work_ = this;
    peer().strike_whenever([](Strike&) {
      peer().look_away(true);
      at_work_->race();
      peer().look_away(false);
      return false;
    });
    auto reader = record_ring::Consumer::join(parts_.of_reader(0), options);
    peer().rest();
    return reader;
  }
  // What the reader says of itself: it stands somewhere anew when the state changes.
  struct Stood {
    Position head = 0;
    std::uint64_t state = 0;
  };
  [[nodiscard]] Stood stood() const {
    return {parts_.consumer->head.load(kRelaxed), parts_.consumer->state.load(kRelaxed)};
  }
  void show(const Stood& stood) {
    parts_.consumer->head.store(stood.head, kRelaxed);
    parts_.consumer->state.store(stood.state, kRelaxed);
  }
  // At the reader's first load from there: the producer's laps came before it was said.
  void race() {
    const Stood now = stood();
    const Stood before = std::exchange(stood_, now);
    if (now.state == before.state || ++races_ > producer_wins_) return;
    show(before);
    send();
    show(now);
  }

  Memory memory_{record_ring::layout_for(kParams)->total_bytes};
  RecordParts parts_ = record_ring::create(memory_.bytes(), kParams).value();
  record_ring::Producer producer_ = record_ring::Producer::attach(parts_).value();
  Stood stood_;
  int races_ = 0;
  int producer_wins_ = 0;
  inline static RecordJoinRace* at_work_ = nullptr;
};

TEST_F(RecordJoinRace, WhoLosesEachRaceToJoinIsToldSo) {
  constexpr int kTries = 64;
  for (const ReaderPolicy policy :
       {ReaderPolicy::kReliable, ReaderPolicy::kLossy, ReaderPolicy::kLatest}) {
    for (const ReaderStart from : {ReaderStart::kOldest, ReaderStart::kNewest}) {
      const auto reader = join({.policy = policy, .from = from}, kTries);
      ASSERT_FALSE(reader);
      EXPECT_EQ(reader.error().code, ErrorCode::kTimedOut) << reader.error().message;
      EXPECT_EQ(races_, kTries);
      EXPECT_EQ(reader_state::policy_of(stood().state), ReaderPolicy::kNone) << "it stands nowhere";

      // The last one it may win.
      auto later = join({.policy = policy, .from = from}, kTries - 1);
      ASSERT_TRUE(later) << later.error().message;
      EXPECT_EQ(races_, kTries);
      EXPECT_EQ(later->try_peek(), ReadOutcome::kMessage);
      later->leave();
    }
  }
}

// A ring of many slots.
class SlotLookBound : public LookBound {
 protected:
  using Ring = mpmc_ring<std::uint64_t>;
  static constexpr std::uint64_t kSlots = 1u << 18;

  MpmcParams params_{.capacity = kSlots, .participants = 4};
  Memory memory_{Ring::layout_for(params_)->total_bytes};
  Ring ring_ = Ring::create(memory_.bytes(), params_).value();
  Ring::Producer producer_{ring_, 0, Pacing::kOff};
  Ring::Consumer consumer_{ring_, 1, Pacing::kOff};
};

TEST_F(SlotLookBound, ASearchForOrphansIsCut) {
  std::uint64_t value = 0;
  const auto take = [&] { return bounded("a taking", [&] { return consumer_.try_pop(value); }); };
  for (int i = 0; i < 100; ++i) {
    ring_.parts().positions->orphans.fetch_add(1, kRelaxed);  // there is none
    EXPECT_FALSE(take());
    EXPECT_EQ(consumer_.outcome(), ReadOutcome::kContended) << "so that nobody sleeps on it";
  }
  // It comes to its end when no more are told of.
  int takings = 0;
  do EXPECT_FALSE(take());
  while (consumer_.outcome() == ReadOutcome::kContended && ++takings < 100);
  EXPECT_EQ(consumer_.outcome(), ReadOutcome::kEmpty);
}

TEST_F(SlotLookBound, ALookForSlotsNotGivenBackIsCut) {
  std::uint64_t value = 0;
  for (std::uint64_t i = 0; i < kSlots; ++i) {
    ASSERT_TRUE(producer_.try_push(i));
    ASSERT_TRUE(consumer_.try_pop(value));
  }
  Position from = 0;
  int looks = 0;
  const auto look = [&] {
    return ring_.given_back(from, ring_.claimed(), detail::kMpmcSlotsPerSearch);
  };
  while (!bounded("a look", look)) ASSERT_LT(++looks, 100);
  EXPECT_EQ(looks, static_cast<int>(kSlots / detail::kMpmcSlotsPerSearch) - 1);
}

TEST_F(SlotLookBound, RacesThatAreAlwaysLostAreGivenUp) {
  // Whenever one comes to the tail (or head) after a look at a slot, it is one further on.
  const auto lose = [] {
    peer().strike_whenever([](Strike& strike) {
      strike = {Strike::How::kAdds, 1};
      return peer().loads() % 2 == 0;
    });
  };
  lose();
  EXPECT_FALSE(bounded("a claim", [&] { return producer_.try_push(7); }));
  EXPECT_EQ(producer_.outcome(), ClaimOutcome::kContended);
  peer().rest();

  for (Position p = 0; p < kSlots; ++p) {
    const std::uint64_t written = mpmc_state::make(ring_.parts().lap_of(p), SlotKind::kWritten);
    ring_.parts().state_at(p).store(written, kRelaxed);
  }
  std::uint64_t value = 0;
  lose();
  EXPECT_FALSE(bounded("a taking", [&] { return consumer_.try_pop(value); }));
  EXPECT_EQ(consumer_.outcome(), ReadOutcome::kContended);
}

TEST_F(LookBound, AReaderOfFramesSearchesThePoolAFewTimes) {
  const FramePoolParams params{.frames = kMaxFrames, .frame_bytes = 8, .readers = 1, .pins = 1};
  const Memory memory(frame_pool::layout_for(params)->total_bytes);
  const auto parts = frame_pool::create(memory.bytes(), params).value();
  frame_pool::Consumer reader(parts, 0);
  // Frames 2 to 1001 are there; whichever the reader pins has just been taken back.
  for (std::uint32_t f = 1; f <= 1'000; ++f) {
    parts.producer->states[f].store(frame_ticket::make(f + 1, f), kRelaxed);
  }
  parts.producer->newest.store(frame_ticket::make(1'002, 0), kRelaxed);
  frame_pool::Message frame;
  // A turn reads the newest, a pin, all states, and after the pin is set the frame's state again.
  peer().strike_whenever([](Strike& strike) {
    strike = {Strike::How::kFlips, frame_ticket::kFlag};
    return peer().loads() % (kMaxFrames + 4) == 0;
  });

  EXPECT_EQ(bounded("a look", [&] { return reader.try_next(frame); }), ReadOutcome::kContended);
}

}  // namespace
}  // namespace rondo
