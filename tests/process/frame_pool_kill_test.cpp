// A frame pool whose users are processes: killed, stopped and hostile ones, and a careless recovery
// that must be caught. CI's share of frame_pool_kill_soak_test.cpp.
#include "process/frame_pool_kills.hpp"

namespace rondo::testing {
namespace {

class FramePoolKills : public Watchdog {
 protected:
  std::uint32_t seed_ = static_cast<std::uint32_t>(random_seed());
};

TEST_F(FramePoolKills, WhatADeadReaderHeldComesBack) { kill_frame_readers(60, seed_, 2, 1); }
TEST_F(FramePoolKills, ManyReadersWithSeveralPins) { kill_frame_readers(30, seed_, 6, 3); }
TEST_F(FramePoolKills, ReadersGoOnWithTheSuccessorOfAKilledProducer) {
  kill_frame_producers(100, seed_);
}

TEST_F(FramePoolKills, AStoppedReaderKeepsItsOneFrameAndTheOthersGetAllOthers) {
  const LivePool pool({.frames = 4, .frame_bytes = 1500, .readers = 2, .pins = 1});
  Participants participants = pool.participants();
  frame_pool::Producer producer(pool.parts());
  ASSERT_TRUE(put_and_count(producer, pool));
  Child stopped([&]() -> int {
    Participants mine = pool.participants();
    if (!take_reader_slot(pool, mine, 0)) return 2;
    frame_pool::Consumer reader(pool.parts(), 0);
    frame_pool::Message frame;
    if (reader.try_next(frame) != ReadOutcome::kMessage) return 3;
    raise(SIGSTOP);
    return frame.number() == 1 && is_whole(frame, pool.parts()) ? 0 : 4;
  });
  stopped.join_stop();
  Participants quick_one = pool.participants();
  ASSERT_TRUE(take_reader_slot(pool, quick_one, 1));
  frame_pool::Consumer quick(pool.parts(), 1);
  frame_pool::Message frame;
  ASSERT_EQ(quick.try_next(frame), ReadOutcome::kMessage);
  for (std::uint64_t n = 2; n <= scaled(20'000) + 2; ++n) {
    ASSERT_TRUE(put_and_count(producer, pool));
    if (n % 100 == 0) {
      ASSERT_EQ(recover_dead_readers(pool.parts(), participants), 0u);
    }
    ASSERT_EQ(quick.try_next(frame), ReadOutcome::kMessage);
    ASSERT_EQ(frame.number(), n);
    ASSERT_TRUE(is_whole(frame, pool.parts()));
  }
  EXPECT_EQ(quick.stats().lost, 0u);
  stopped.signal(SIGCONT);
  EXPECT_EQ(stopped.join(), 0);
}

// It scribbles over every byte that it may write, its own part, while two others check what they
// get, and the producer with its frame for each pin and two more never fails.
TEST_F(FramePoolKills, AHostileReaderHarmsNeitherTheProducerNorTheOthers) {
  const LivePool pool({.frames = 8, .frame_bytes = 1500, .readers = 3, .pins = 2});
  const Child one([&] { return read_frames_until_killed(pool, 0, seed_); });
  const Child two([&] { return read_frames_until_killed(pool, 1, seed_); });
  const Child hostile([&]() -> int {
    std::mt19937_64 random(seed_);
    FrameReaderPart& part = pool.parts().reader(2);
    auto* words = reinterpret_cast<std::atomic<std::uint64_t>*>(&part);
    for (;;) {
      const std::uint64_t drawn = random();
      // Mostly pins, and mostly of frames that are there.
      const std::size_t at = drawn % 8 < 7 ? drawn / 8 % 2 : drawn / 8 % (sizeof part / 8);
      const auto f = static_cast<std::uint32_t>(drawn >> 60) % 8;
      const std::uint64_t state = pool.parts().producer->states[f].load(std::memory_order_relaxed);
      words[at].store(drawn / 64 % 4 == 0 ? random() : state, std::memory_order_relaxed);
    }
  });
  frame_pool::Producer producer(pool.parts());
  const std::uint64_t least = scaled(30'000);
  const auto both_got_some = [&] { return pool.log().got[0] > 100 && pool.log().got[1] > 100; };
  while (producer.number() < least || !both_got_some()) {
    ASSERT_TRUE(put_and_count(producer, pool)) << "a frame for each pin and two more do not do";
    if (producer.number() % 16 == 0) sched_yield();
    const std::uint64_t wrong = pool.first_wrong();
    ASSERT_EQ(wrong, kNoneWrong);
    static_cast<void>(read_frame_stats(pool.parts(), 2));
  }
}

// The other way round: the producer's part holds anything at any time.
TEST_F(FramePoolKills, AHostileProducerMakesAReaderNeitherHangNorReadBeyondThePool) {
  const LivePool pool({.frames = 4, .frame_bytes = 1500, .readers = 1, .pins = 2});
  const Child hostile([&]() -> int {
    std::mt19937_64 random(seed_);
    auto* words = reinterpret_cast<std::atomic<std::uint64_t>*>(pool.parts().producer);
    for (;;) {
      const std::uint64_t drawn = random();
      const auto f = static_cast<std::uint32_t>(drawn >> 61);  // some beyond the pool
      const std::uint64_t ticket =
          drawn % 8 == 0 ? random() : frame_ticket::make(drawn / 16 % 4096, f);
      const std::size_t sizes = offsetof(FrameProducerPart, sizes) / 8;
      const std::size_t states = offsetof(FrameProducerPart, states) / 8;
      words[drawn % 2 == 0 ? 0 : states + f].store(ticket, std::memory_order_relaxed);
      words[sizes + f].store(drawn / 16 % 3000, std::memory_order_relaxed);
    }
  });
  std::uint64_t got = 0;
  std::uint64_t sum = 0;
  while (got < scaled(2'000)) {
    frame_pool::Consumer reader(pool.parts(), 0);  // anew, as numbers soon are at their end
    std::vector<frame_pool::Message> held(2);
    for (int i = 0; i < 100; ++i) {
      frame_pool::Message& frame = held[static_cast<std::size_t>(i) % 2];
      if (reader.try_next(frame) != ReadOutcome::kMessage) continue;
      ++got;
      ASSERT_LE(frame.bytes().size(), 1500u);
      for (const std::byte byte : frame.bytes()) sum += static_cast<unsigned char>(byte);
      const std::byte* first = pool.parts().frame(0);
      ASSERT_GE(frame.bytes().data(), first);
      ASSERT_LE(frame.bytes().data(), pool.parts().frame(3));
    }
  }
  EXPECT_EQ(sum, 0u);  // no frame was ever written
}

// Takes everybody for dead.
struct NoLiveness {
  static bool try_lock_dead(std::uint32_t) { return true; }
  static void unlock(std::uint32_t) {}
};
TEST_F(FramePoolKills, ARecoveryThatDoesNotAskWhoIsAliveIsCaught) {
  const LivePool pool({.frames = 3, .frame_bytes = 1500, .readers = 2, .pins = 1});
  const Child one([&] { return read_frames_until_killed(pool, 0, seed_); });
  const Child two([&] { return read_frames_until_killed(pool, 1, seed_); });
  frame_pool::Producer producer(pool.parts());
  NoLiveness nobody;
  while (pool.first_wrong() == kNoneWrong) {
    if (put_and_count(producer, pool)) continue;
    static_cast<void>(recover_dead_readers(pool.parts(), nobody));
    sched_yield();
  }
  const std::uint64_t wrong = pool.first_wrong();
  EXPECT_TRUE(wrong == kOverwrittenFrame || wrong == kTornFrame) << wrong;
}

}  // namespace
}  // namespace rondo::testing
