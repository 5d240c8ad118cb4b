// Contract of sync::condition_variable and sync::monitor. Each line has a test of the same name, in
// this order.
//  1. ToNotifyNobodyChangesNothing
//  2. OneIsWokenOrAll
//  3. AWaitEndsAtItsDeadlineOfAnyClock
//  4. AWaitEndsForNoReasonAfterASlice
//  5. TheMarkGoesOnceNobodySleeps
//  6. AWaiterIsToldThatTheOwnerDiedMeanwhile
//  7. AWaiterWhoseMutexIsLostIsOutside
//  8. AMonitorLetsOneInAtATime
//  9. InAMonitorOneWaitsForWhatAnotherDoes
// 10. WhoComesAfterADeathInAMonitorIsTold
// 11. AMonitorHasAName
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <atomic>
#include <chrono>
#include <mutex>
#include <set>
#include <system_error>
#include <thread>
#include <vector>

#include "rondo/sync/condition_variable.hpp"
#include "rondo/sync/monitor.hpp"
#include "rondo/sync/named.hpp"
#include "support/processes.hpp"
#include "support/segment_fixture.hpp"
#include "support/staged_member.hpp"

namespace rondo::testing {
namespace {

using namespace std::chrono_literals;
using sync::ConditionPart;
using sync::MutexPart;
using Mutex = sync::basic_mutex<BellSystem, StagedMember>;

constexpr std::uint32_t kA = tenure_of(0);
constexpr std::uint32_t kB = tenure_of(1);

class ConditionSpec : public Watchdog {
 protected:
  [[nodiscard]] std::uint32_t rings() const { return part_.rings.load(); }
  void await_sleeper() const {
    while ((rings() & sync::detail::kAsleep) == 0) std::this_thread::yield();
  }

  MutexPart mutex_part_{};
  ConditionPart part_{};
  std::set<std::uint32_t> living_{kA, kB};
  StagedMember a_member_{kA, &living_};
  StagedMember b_member_{kB, &living_};
  Mutex a_{mutex_part_, a_member_};
  Mutex b_{mutex_part_, b_member_};
  sync::condition_variable condition_{part_};
};

TEST_F(ConditionSpec, ToNotifyNobodyChangesNothing) {
  condition_.notify_one();
  condition_.notify_all();
  EXPECT_EQ(rings(), 0u);
}

TEST_F(ConditionSpec, OneIsWokenOrAll) {
  for (const bool all : {false, true}) {
    int tickets = 0;
    std::atomic<int> through{0};
    std::vector<std::thread> waiters;
    for (int i = 0; i < 3; ++i) {
      waiters.emplace_back([&] {
        std::unique_lock lock(a_);
        condition_.wait(lock, [&] { return tickets > 0; });
        --tickets;
        ++through;
      });
    }
    await_sleeper();
    for (int i = 0; i < (all ? 1 : 3); ++i) {
      {
        const std::lock_guard lock(b_);
        tickets += all ? 3 : 1;
      }
      all ? condition_.notify_all() : condition_.notify_one();
    }
    for (std::thread& waiter : waiters) waiter.join();
    EXPECT_EQ(through, 3);
    EXPECT_EQ(tickets, 0);
  }
}

TEST_F(ConditionSpec, AWaitEndsAtItsDeadlineOfAnyClock) {
  std::unique_lock lock(a_);
  const auto never = [] { return false; };
  EXPECT_FALSE(condition_.wait_until(lock, Deadline::now()));
  EXPECT_FALSE(condition_.wait_until(lock, Deadline::after(2ms)));
  EXPECT_FALSE(condition_.wait_until(lock, Deadline::after(70ms), never));
  EXPECT_FALSE(condition_.wait_until(lock, std::chrono::system_clock::now() + 2ms, never));
  EXPECT_FALSE(condition_.wait_for(lock, 2ms, never));
  EXPECT_TRUE(condition_.wait_for(lock, -1ms, [] { return true; }));
  EXPECT_TRUE(lock.owns_lock());
  EXPECT_EQ(mutex_part_.word.load() & MutexPart::kOwner, kA);
}

TEST_F(ConditionSpec, AWaitEndsForNoReasonAfterASlice) {
  std::unique_lock lock(a_);
  condition_.wait(lock);
  EXPECT_TRUE(condition_.wait_until(lock, Deadline::after(1h)));
  EXPECT_TRUE(lock.owns_lock());
}

TEST_F(ConditionSpec, TheMarkGoesOnceNobodySleeps) {
  for (const bool all : {false, true}) {
    part_.rings = sync::detail::kAsleep;  // of one that died
    all ? condition_.notify_all() : condition_.notify_one();
    EXPECT_EQ(rings() & sync::detail::kAsleep, 0u);
    EXPECT_NE(rings(), 0u);
    const std::uint32_t now = rings();
    condition_.notify_one();
    EXPECT_EQ(rings(), now);
  }
}

TEST_F(ConditionSpec, AWaiterIsToldThatTheOwnerDiedMeanwhile) {
  std::unique_lock lock(a_);
  std::thread dies([&] {
    b_.lock();
    living_.erase(kB);
    condition_.notify_all();
  });
  // Before the condition sees what the dead one left.
  condition_.wait(lock, [&] {
    EXPECT_FALSE(a_.owner_died());
    return false;
  });
  EXPECT_TRUE(a_.owner_died());
  EXPECT_FALSE(condition_.wait_until(lock, Deadline::never(), [] { return true; }));
  EXPECT_TRUE(a_.make_consistent());
  dies.join();
  EXPECT_TRUE(condition_.wait_until(lock, Deadline::never(), [] { return true; }));
}

TEST_F(ConditionSpec, AWaiterWhoseMutexIsLostIsOutside) {
  std::unique_lock lock(a_);
  std::thread careless([&] {
    b_.lock();
    mutex_part_.word = kB | MutexPart::kSuspect;
    b_.unlock();
    condition_.notify_all();
  });
  EXPECT_THROW(condition_.wait(lock, [] { return false; }), std::system_error);
  EXPECT_FALSE(lock.owns_lock());
  careless.join();
}

struct Book {
  std::uint64_t orders;
  std::uint64_t done;
};
using Monitor = sync::basic_monitor<Book, BellSystem, StagedMember>;

class MonitorSpec : public Watchdog {
 protected:
  sync::MonitorPart<Book> part_{};
  std::set<std::uint32_t> living_{kA, kB};
  StagedMember a_member_{kA, &living_};
  StagedMember b_member_{kB, &living_};
  Monitor a_{part_, a_member_};
  Monitor b_{part_, b_member_};
};

TEST_F(MonitorSpec, AMonitorLetsOneInAtATime) {
  auto inside = a_.enter();
  EXPECT_TRUE(inside);
  EXPECT_FALSE(b_.try_enter());
  EXPECT_FALSE(b_.try_enter(Deadline::after(2ms)));
  inside->orders = 3;
  auto moved = std::move(inside);
  EXPECT_FALSE(inside);
  EXPECT_FALSE(b_.try_enter());
  moved.leave();
  EXPECT_EQ(b_.enter()->orders, 3u);
  EXPECT_TRUE(Monitor::settled(part_));
}

TEST_F(MonitorSpec, InAMonitorOneWaitsForWhatAnotherDoes) {
  constexpr std::uint64_t kOrders = 1000;
  std::thread works([&] {
    for (std::uint64_t i = 0; i < kOrders; ++i) {
      auto book = b_.enter();
      book.wait([&] { return book->orders != 0; });
      --book->orders;
      ++book->done;
      book.notify_all();
    }
  });
  for (std::uint64_t i = 0; i < kOrders; ++i) {
    auto book = a_.enter();
    ++book->orders;
    book.notify_one();
    if (i % 8 == 0) book.wait([&] { return book->orders == 0; });
  }
  works.join();
  auto book = a_.enter();
  EXPECT_EQ(book->done, kOrders);
  EXPECT_FALSE(book.wait_until(Deadline::after(2ms), [&] { return book->orders != 0; }));
  EXPECT_TRUE(book);
}

TEST_F(MonitorSpec, WhoComesAfterADeathInAMonitorIsTold) {
  part_.mutex.word = kB;
  living_.erase(kB);
  {
    auto book = a_.enter();
    EXPECT_TRUE(book.owner_died());
    EXPECT_TRUE(book.make_consistent());
    EXPECT_FALSE(book.owner_died());
  }
  part_.mutex.word = kB;
  { const auto careless = a_.enter(); }
  EXPECT_FALSE(a_.try_enter());
  EXPECT_THROW(static_cast<void>(a_.enter()), std::system_error);
  EXPECT_FALSE(Monitor::settled(part_));
}

TEST_F(MonitorSpec, AMonitorHasAName) {
  ShmName name;
  auto one = sync::named<sync::monitor<Book>>("shm:" + name.word());
  auto two = sync::named<sync::monitor<Book>>("shm:" + name.word());
  ASSERT_TRUE(one && two);
  struct Other {
    std::uint64_t values[3];
  };
  static_assert(sizeof(Other) != sizeof(Book));
  const auto other = sync::named<sync::monitor<Other>>("shm:" + name.word());
  ASSERT_FALSE(other);
  EXPECT_EQ(other.error().code, ErrorCode::kGeometryMismatch);
  one->enter()->orders = 9;
  EXPECT_EQ(two->enter()->orders, 9u);
  EXPECT_EQ(code_of(sync::named<sync::mutex>("shm:" + name.word())),
            code_of(ErrorCode::kGeometryMismatch));
  auto condition = sync::named<sync::condition_variable>("shm:" + ShmName().word());
  EXPECT_TRUE(condition);
}

}  // namespace
}  // namespace rondo::testing
