// All primitives beside a process that scribbles over the whole segment all the while, its
// participant table included: every call with a deadline comes back, with an answer that there is,
// and nothing but the segment is touched.
#include <gtest/gtest.h>
#include <unistd.h>

#include <atomic>
#include <chrono>
#include <cstdint>
#include <random>
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
  sync::shared_mutex shared(all.shared, *self);
  sync::barrier barrier(all.barrier, *self);
  struct Lock {
    sync::mutex& what;
    void lock() { static_cast<void>(what.acquire(Deadline::after(1ms))); }
    void unlock() { what.unlock(); }
  };
  while (*scribbled == 0) usleep(100);
  const std::uint64_t turns = scaled(1500);
  std::uint64_t answers = 0;
  for (std::uint64_t i = 0; i < turns; ++i) {
    const auto soon = [] { return Deadline::after(200us); };
    answers += mutex.acquire(soon()) <= sync::LockResult::kNoMember ? 1 : 0;
    mutex.make_consistent();
    mutex.unlock();
    static_cast<void>(mutex.try_lock());
    mutex.unlock();
    Lock lock{mutex};
    static_cast<void>(condition.wait_until(lock, soon()));
    condition.notify_one();
    condition.notify_all();
    answers += once.call([] {}, soon()) <= sync::OnceResult::kNoMember ? 1 : 0;
    flags.set(static_cast<std::uint32_t>(i));
    const std::uint32_t taken = flags.take_any(12, soon());
    answers += (taken & ~12u) == 0 ? 1 : 0;
    static_cast<void>(flags.wait_all(3, soon()));
    latch.count_down();
    latch.wait(soon());
    static_cast<void>(semaphore.acquire(soon()));
    static_cast<void>(semaphore.consume(soon()));
    semaphore.post();
    semaphore.release();
    answers += semaphore.held() <= 8 ? 1 : 0;
    static_cast<void>(shared.acquire(soon()));
    shared.make_consistent();
    shared.unlock();
    static_cast<void>(shared.acquire_shared(soon()));
    shared.unlock_shared();
    barrier.take_seat();
    answers += barrier.wait(barrier.arrive(), soon()) <= sync::BarrierResult::kNoSeat ? 1 : 0;
    barrier.arrive_and_drop();
    answers += barrier.parties() <= barrier.max() ? 1 : 0;
  }
  EXPECT_EQ(answers, 6 * turns);
  // The kernel's word is no matter of the segment's.
  EXPECT_EQ(self->tenure(), ours);
  EXPECT_FALSE(self->ended(ours));
  scribbler.signal(SIGKILL);
  scribbler.join();
  all.mutex.word.store(ours + kFirstTenure, std::memory_order_relaxed);
  EXPECT_EQ(mutex.acquire(Deadline::now()), sync::LockResult::kOwnerDied);
}

}  // namespace
}  // namespace rondo::testing
