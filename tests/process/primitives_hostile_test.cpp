// All primitives beside a process that scribbles over the whole segment all the while, its
// participant table included: every call with a deadline comes back, no wait ends as timed out
// before its deadline, each answer is given that such words can mean and no other, nothing but the
// primitives' own words is touched, and the handles are as good as new once the words are.
#include <gtest/gtest.h>
#include <unistd.h>

#include <atomic>
#include <chrono>
#include <cstdint>
#include <cstring>
#include <map>
#include <random>
#include <string>
#include <system_error>

#include "rondo/core/common.hpp"
#include "rondo/sync/barrier.hpp"
#include "rondo/sync/condition_variable.hpp"
#include "rondo/sync/event_flags.hpp"
#include "rondo/sync/latch.hpp"
#include "rondo/sync/member.hpp"
#include "rondo/sync/mutex.hpp"
#include "rondo/sync/once.hpp"
#include "rondo/sync/semaphore.hpp"
#include "rondo/sync/shared_mutex.hpp"
#include "rondo/sync/spin_mutex.hpp"
#include "support/processes.hpp"
#include "support/segment_fixture.hpp"

namespace rondo::testing {
namespace {

using namespace std::chrono_literals;

struct Everything {
  sync::MutexPart mutex;
  sync::ConditionPart condition;
  sync::OncePart once;
  sync::EventFlagsPart flags;
  sync::LatchPart latch;
  sync::SemaphorePart<8> semaphore;
  sync::shared_mutex::Part shared;
  sync::barrier::Part barrier;
};

class PrimitivesBesideAScribbler : public Watchdog {};

TEST_F(PrimitivesBesideAScribbler, EveryCallWithADeadlineComesBack) {
  ShmName name;
  const std::string url = "shm:" + name.word();
  const std::uint64_t seed = random_seed();
  auto place = common<Everything>::open(url);
  ASSERT_TRUE(place) << place.error().message;
  const auto self = sync::member::of(place->participants());
  ASSERT_TRUE(self) << self.error().message;
  const std::uint32_t ours = self->tenure();
  Shared<std::atomic<std::uint64_t>> scribbled;
  Child scribbler([&] {
    const auto theirs = Segment::attach(name);
    if (!theirs) return 1;
    const auto bytes = theirs->bytes();
    auto* const words = reinterpret_cast<Atomic<std::uint32_t>*>(bytes.data());
    std::mt19937_64 random(seed);
    const std::uint32_t kinds[] = {0, 1, 2, ours, ours + 1, ours | 1u << 31, 1u << 30, ~0u};
    const std::size_t first = (bytes.size() - kPartAlignment) / 4;  // the object's page
    for (;;) {
      const bool object = random() % 8 != 0;
      const std::size_t at = object ? first + random() % (sizeof(Everything) / 4)
                                    : kParticipantTable / 4 + random() % 256;
      // relaxed: a scribble.
      words[at].store(random() % 4 == 0 ? static_cast<std::uint32_t>(random())
                                        : kinds[random() % std::size(kinds)],
                      std::memory_order_relaxed);
      ++*scribbled;
    }
  });
  Everything& all = *place->parts().object;
  sync::mutex mutex(all.mutex, *self);
  sync::condition_variable condition(all.condition);
  sync::once once(all.once, *self);
  sync::event_flags flags(all.flags, *self);
  sync::latch latch(all.latch, *self);
  sync::counting_semaphore<8> semaphore(all.semaphore, *self);
  sync::spin_mutex spinning(all.mutex, *self);
  sync::shared_mutex shared(all.shared, *self);
  sync::barrier barrier(all.barrier, *self);
  struct Lock {
    sync::mutex& what;
    void lock() { static_cast<void>(what.acquire(Deadline::after(1ms))); }
    void unlock() { what.unlock(); }
  };
  while (*scribbled == 0) usleep(100);
  const auto bytes = place->segment().bytes();
  const auto outside = [&] {
    const auto* const first = reinterpret_cast<const char*>(bytes.data());
    const auto* const object_ends = reinterpret_cast<const char*>(&all + 1);
    std::string found(first, kParticipantTable);
    return found.append(object_ends, first + bytes.size());
  };
  const auto outside_before = outside();
  const std::uint64_t turns = scaled(1500);
  std::map<sync::LockResult, std::uint64_t> locked, shared_locked;
  std::map<sync::OnceResult, std::uint64_t> done;
  std::map<sync::BarrierResult, std::uint64_t> met;
  std::uint64_t too_early = 0;
  Deadline deadline;
  const auto soon = [&] { return deadline = Deadline::after(200us); };
  // Of a wait that gave up: it had the time that it was given.
  const auto gave_up = [&](bool in_vain) { too_early += in_vain && !deadline.passed() ? 1 : 0; };
  const auto count = [&](auto& answers, auto answer) {
    ++answers[answer];
    gave_up(answer == decltype(answer)::kTimedOut);
  };
  for (std::uint64_t i = 0; i < turns; ++i) {
    count(locked, mutex.acquire(soon()));
    mutex.make_consistent();
    mutex.unlock();
    static_cast<void>(mutex.try_lock());
    mutex.unlock();
    Lock lock{mutex};
    static_cast<void>(condition.wait_until(lock, soon()));
    condition.notify_one();
    condition.notify_all();
    count(done, once.call([] {}, soon()));
    flags.set(static_cast<std::uint32_t>(i));
    const std::uint32_t taken = flags.take_any(12, soon());
    EXPECT_EQ(taken & ~12u, 0u);
    gave_up(taken == 0);
    const std::uint32_t both = flags.wait_all(3, soon());
    EXPECT_TRUE(both == 0 || both == 3) << both;
    gave_up(both == 0);
    latch.count_down();
    gave_up(!latch.wait(soon()));
    gave_up(!semaphore.acquire(soon()));
    gave_up(!semaphore.consume(soon()));
    semaphore.post();
    semaphore.release();
    count(locked, spinning.acquire(soon()));
    spinning.unlock();
    count(shared_locked, shared.acquire(soon()));
    shared.make_consistent();
    shared.unlock();
    count(shared_locked, shared.acquire_shared(soon()));
    shared.unlock_shared();
    barrier.take_seat();
    count(met, barrier.wait(barrier.arrive(), soon()));
    barrier.arrive_and_drop();
  }
  EXPECT_EQ(too_early, 0u);
  for (auto* const answers : {&locked, &shared_locked}) {
    EXPECT_EQ((*answers)[sync::LockResult::kNoMember], 0u);
    for (const auto answer : {sync::LockResult::kLocked, sync::LockResult::kOwnerDied,
                              sync::LockResult::kTimedOut, sync::LockResult::kNotRecoverable}) {
      // Of the shared one's words, one means that it is lost for good.
      if (answers == &shared_locked && answer == sync::LockResult::kNotRecoverable) continue;
      EXPECT_GT((*answers)[answer], 0u) << static_cast<int>(answer);
    }
  }
  EXPECT_EQ(done[sync::OnceResult::kNoMember], 0u);
  EXPECT_GT(done[sync::OnceResult::kDone], 0u);
  EXPECT_GT(done[sync::OnceResult::kTimedOut], 0u);
  EXPECT_EQ(met[sync::BarrierResult::kNoMember], 0u);
  EXPECT_GT(met[sync::BarrierResult::kDone] + met[sync::BarrierResult::kPartyDied], 0u);
  // The kernel's word is no matter of the segment's.
  EXPECT_EQ(self->tenure(), ours);
  EXPECT_FALSE(self->ended(ours));
  scribbler.signal(SIGKILL);
  scribbler.join();
  EXPECT_TRUE(outside() == outside_before);

  // The words are as new, and so are the handles.
  std::memset(static_cast<void*>(&all), 0, sizeof all);
  all.mutex.word.store(ours + kFirstTenure, std::memory_order_relaxed);
  EXPECT_EQ(mutex.acquire(Deadline::now()), sync::LockResult::kOwnerDied);
  EXPECT_TRUE(mutex.make_consistent());
  EXPECT_TRUE(mutex.unlock());
  EXPECT_EQ(spinning.acquire(), sync::LockResult::kLocked);
  EXPECT_TRUE(spinning.unlock());
  EXPECT_EQ(shared.acquire_shared(), sync::LockResult::kLocked);
  EXPECT_FALSE(shared.try_lock());
  EXPECT_TRUE(shared.unlock_shared());
  EXPECT_EQ(shared.acquire(), sync::LockResult::kLocked);
  EXPECT_TRUE(shared.unlock());
  all.barrier.begin(1);
  EXPECT_EQ(barrier.arrive_and_wait(), sync::BarrierResult::kDone);
  bool called = false;
  EXPECT_EQ(once.call([&] { called = true; }), sync::OnceResult::kDone);
  EXPECT_TRUE(called);
  flags.set(12);
  EXPECT_EQ(flags.take_all(12), 12u);
  all.latch.begin(1);
  EXPECT_FALSE(latch.try_wait());
  latch.count_down();
  EXPECT_TRUE(latch.wait());
  EXPECT_TRUE(semaphore.post());
  EXPECT_TRUE(semaphore.acquire());
  EXPECT_EQ(semaphore.held(), 1u);
  EXPECT_TRUE(semaphore.release());
}

}  // namespace
}  // namespace rondo::testing
