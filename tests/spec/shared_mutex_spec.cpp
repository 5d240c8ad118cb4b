// Contract of sync::shared_mutex, over words in plain memory and deaths of the test's making. Each
// line has a test of the same name, in this order.
//  1. ManyReadOrOneWrites
//  2. TheStandardLocksWorkWithIt
//  3. WithoutItAWaitEndsAtItsDeadlineOfAnyClock
//  4. WhoDoesNotHoldItCannotUnlockIt
//  5. AWriterThatWaitsKeepsNewReadersOut     no writer starves
//  6. AWriterThatGivesUpLeavesNothing
//  7. ReadersBeyondTheWordsWait
//  8. AllWhoSleepGoOnWhenAWriterLeaves
//  9. TheHoldOfADeadReaderIsGivenBackByEachWayOfTaking
// 10. AfterADeadWriterTheNextOneIsToldByEachWay
// 11. AfterADeadWriterReadersAreToldButNotByTheStandardForms
// 12. AWriterThatDiedWaitingHasSpoiltNothing
// 13. WhoDeclaresNothingLeavesItNotRecoverable
// 14. TheLivingAreAskedAfterButNotRobbed
// 15. WhoIsNoMemberLocksNothing
// 16. ItIsSettledUnlessAWriterDiedWithIt
// 17. AnyWordsEndInAnAnswer                  a hostile peer
// 18. WordsThatChangeAllTheTimeEndAtTheDeadline
// 19. ByANameItIsOne
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <atomic>
#include <chrono>
#include <filesystem>
#include <functional>
#include <mutex>
#include <set>
#include <shared_mutex>
#include <system_error>
#include <thread>
#include <vector>

#include "rondo/sync/named.hpp"
#include "rondo/sync/shared_mutex.hpp"
#include "support/processes.hpp"
#include "support/segment_fixture.hpp"
#include "support/staged_member.hpp"

namespace rondo::testing {
namespace {

using namespace std::chrono_literals;
using sync::LockResult;
using ::testing::ElementsAre;
using ::testing::UnorderedElementsAre;
using Mutex = sync::basic_shared_mutex<3, BellSystem, StagedMember>;
using Part = Mutex::Part;

constexpr std::uint32_t kA = tenure_of(0);
constexpr std::uint32_t kB = tenure_of(1);
constexpr std::uint32_t kDead = tenure_of(2);
constexpr std::uint32_t kSuspect = Part::kSuspect;
constexpr std::uint32_t kContended = Part::kContended;

class SharedMutexSpec : public Watchdog {
 protected:
  [[nodiscard]] std::uint32_t writer() const { return part_.writer.load(); }
  [[nodiscard]] std::vector<std::uint32_t> readers() const {
    std::vector<std::uint32_t> found;
    for (const auto& word : part_.readers) found.push_back(word.load());
    return found;
  }
  void put(std::uint32_t writer, std::uint32_t first, std::uint32_t second, std::uint32_t third) {
    part_.writer = writer;
    part_.readers[0] = first;
    part_.readers[1] = second;
    part_.readers[2] = third;
  }
  void await_waiting_writer() const {
    while (part_.waiting.load() == 0) std::this_thread::yield();
  }
  void await_bell() const {
    while ((part_.rings.load() & sync::detail::kAsleep) == 0) std::this_thread::yield();
  }
  void await_contention() const {
    while ((writer() & kContended) == 0) std::this_thread::yield();
  }
  // Each way to lock it, to write or to read.
  [[nodiscard]] static std::vector<std::function<bool()>> ways_to_write(Mutex& mutex) {
    return {[&] { return mutex.acquire() <= LockResult::kOwnerDied; },
            [&] { return mutex.lock(), true; },
            [&] { return mutex.try_lock(); },
            [&] { return mutex.try_lock_for(1h); },
            [&] { return mutex.try_lock_until(Deadline::after(1h)); },
            [&] { return mutex.try_lock_until(std::chrono::system_clock::now() + 1h); }};
  }

  Part part_{};
  std::set<std::uint32_t> living_{kA, kB};
  StagedMember a_member_{kA, &living_};
  StagedMember b_member_{kB, &living_};
  Mutex a_{part_, a_member_};
  Mutex b_{part_, b_member_};
};

TEST_F(SharedMutexSpec, ManyReadOrOneWrites) {
  EXPECT_EQ(a_.acquire_shared(), LockResult::kLocked);
  EXPECT_EQ(b_.acquire_shared(), LockResult::kLocked);
  EXPECT_TRUE(b_.try_lock_shared());
  EXPECT_THAT(readers(), UnorderedElementsAre(kA, kB, kB));
  EXPECT_FALSE(a_.try_lock());
  EXPECT_EQ(writer(), 0u);
  EXPECT_TRUE(a_.unlock_shared());
  EXPECT_TRUE(b_.unlock_shared());
  EXPECT_FALSE(a_.try_lock());
  EXPECT_TRUE(b_.unlock_shared());
  EXPECT_THAT(readers(), ElementsAre(0u, 0u, 0u));

  EXPECT_EQ(a_.acquire(), LockResult::kLocked);
  EXPECT_EQ(writer(), kA);
  EXPECT_FALSE(a_.owner_died());
  EXPECT_FALSE(b_.try_lock());
  EXPECT_FALSE(b_.try_lock_shared());
  EXPECT_TRUE(a_.unlock());
  EXPECT_EQ(writer(), 0u);
  EXPECT_THAT(readers(), ElementsAre(0u, 0u, 0u));
}

TEST_F(SharedMutexSpec, TheStandardLocksWorkWithIt) {
  {
    std::shared_lock one(a_);
    std::shared_lock two(b_, std::try_to_lock);
    EXPECT_TRUE(two.owns_lock());
    std::unique_lock write(b_, 1ms);
    EXPECT_FALSE(write.owns_lock());
  }
  const std::lock_guard lock(a_);
  EXPECT_FALSE(std::shared_lock(b_, std::try_to_lock).owns_lock());
  EXPECT_FALSE(std::shared_lock(b_, 1ms).owns_lock());
  EXPECT_FALSE(std::shared_lock(b_, std::chrono::system_clock::now()).owns_lock());
}

TEST_F(SharedMutexSpec, WithoutItAWaitEndsAtItsDeadlineOfAnyClock) {
  for (const bool write : {false, true}) {
    if (write) put(kA, 0, 0, 0);
    if (!write) put(0, kA, kA, kA);
    EXPECT_EQ(b_.acquire(Deadline::now()), LockResult::kTimedOut);
    EXPECT_EQ(b_.acquire(Deadline::after(3ms)), LockResult::kTimedOut);
    EXPECT_EQ(b_.acquire_shared(Deadline::after(3ms)), LockResult::kTimedOut);
    EXPECT_FALSE(b_.try_lock_for(1ms));
    EXPECT_FALSE(b_.try_lock_until(std::chrono::steady_clock::now() + 1ms));
    EXPECT_FALSE(b_.try_lock_until(std::chrono::system_clock::time_point::min()));
    EXPECT_FALSE(b_.try_lock_shared_for(1ms));
    EXPECT_FALSE(b_.try_lock_shared_until(std::chrono::system_clock::now() + 1ms));
  }
}

TEST_F(SharedMutexSpec, WhoDoesNotHoldItCannotUnlockIt) {
  put(kA, kA, 0, kDead);
  EXPECT_FALSE(b_.unlock());
  EXPECT_FALSE(b_.unlock_shared());
  EXPECT_FALSE(b_.make_consistent());
  EXPECT_EQ(writer(), kA);
  EXPECT_THAT(readers(), ElementsAre(kA, 0u, kDead));
}

TEST_F(SharedMutexSpec, AWriterThatWaitsKeepsNewReadersOut) {
  ASSERT_EQ(a_.acquire_shared(), LockResult::kLocked);
  std::atomic<bool> wrote{false};
  std::thread writes([&] {
    EXPECT_EQ(b_.acquire(), LockResult::kLocked);
    wrote = true;
    EXPECT_TRUE(b_.unlock());
  });
  await_waiting_writer();
  await_bell();
  EXPECT_FALSE(a_.try_lock_shared());
  EXPECT_EQ(a_.acquire_shared(Deadline::after(5ms)), LockResult::kTimedOut);
  EXPECT_FALSE(wrote);
  EXPECT_TRUE(a_.unlock_shared());
  writes.join();
  EXPECT_TRUE(a_.try_lock_shared());
}

TEST_F(SharedMutexSpec, AWriterThatGivesUpLeavesNothing) {
  ASSERT_EQ(a_.acquire_shared(), LockResult::kLocked);
  std::thread writes([&] { EXPECT_EQ(b_.acquire(Deadline::after(200ms)), LockResult::kTimedOut); });
  await_waiting_writer();
  // One that came meanwhile sleeps beside it, and goes on when it has given up.
  EXPECT_EQ(a_.acquire_shared(), LockResult::kLocked);
  writes.join();
  EXPECT_EQ(writer(), 0u);
  EXPECT_EQ(part_.waiting.load(), 0u);
  put(kSuspect, kA, 0, 0);
  EXPECT_EQ(b_.acquire(Deadline::after(1ms)), LockResult::kTimedOut);
  EXPECT_EQ(writer(), kSuspect);
}

TEST_F(SharedMutexSpec, ReadersBeyondTheWordsWait) {
  EXPECT_EQ(Mutex::max_readers(), 3u);
  for (int i = 0; i < 3; ++i) ASSERT_TRUE(a_.try_lock_shared());
  EXPECT_FALSE(b_.try_lock_shared());
  std::thread waits([&] { EXPECT_EQ(b_.acquire_shared(), LockResult::kLocked); });
  await_bell();
  EXPECT_TRUE(a_.unlock_shared());
  waits.join();
  EXPECT_THAT(readers(), UnorderedElementsAre(kA, kA, kB));
  living_.erase(kA);
  EXPECT_EQ(b_.acquire_shared(), LockResult::kLocked);
  EXPECT_THAT(readers(), UnorderedElementsAre(kA, kB, kB));
}

TEST_F(SharedMutexSpec, AllWhoSleepGoOnWhenAWriterLeaves) {
  a_.lock();
  std::atomic<int> in{0};
  std::vector<std::thread> threads;
  for (int i = 0; i < 3; ++i) {
    threads.emplace_back([&] {
      EXPECT_EQ(b_.acquire_shared(), LockResult::kLocked);
      ++in;
      while (in != 3) std::this_thread::yield();  // beside each other
      EXPECT_TRUE(b_.unlock_shared());
    });
  }
  await_contention();
  EXPECT_TRUE(a_.unlock());
  for (std::thread& thread : threads) thread.join();
}

TEST_F(SharedMutexSpec, TheHoldOfADeadReaderIsGivenBackByEachWayOfTaking) {
  for (const auto& way : ways_to_write(b_)) {
    put(0, kDead, 0, kDead);
    EXPECT_TRUE(way());
    EXPECT_FALSE(b_.owner_died());
    EXPECT_TRUE(b_.unlock());
    EXPECT_THAT(readers(), ElementsAre(0u, 0u, 0u));
  }
}

TEST_F(SharedMutexSpec, AfterADeadWriterTheNextOneIsToldByEachWay) {
  for (const auto& way : ways_to_write(b_)) {
    put(kDead | kContended, 0, 0, 0);
    EXPECT_TRUE(way());
    EXPECT_TRUE(b_.owner_died());
    EXPECT_TRUE(b_.make_consistent());
    EXPECT_FALSE(b_.owner_died());
    EXPECT_TRUE(b_.unlock());
    EXPECT_EQ(writer(), 0u);
  }
  put(kDead, 0, 0, 0);
  EXPECT_EQ(b_.acquire(), LockResult::kOwnerDied);
}

TEST_F(SharedMutexSpec, AfterADeadWriterReadersAreToldButNotByTheStandardForms) {
  put(kDead | kContended, 0, 0, 0);
  EXPECT_EQ(b_.acquire_shared(), LockResult::kOwnerDied);
  EXPECT_TRUE(b_.owner_died());
  EXPECT_FALSE(b_.make_consistent());
  EXPECT_EQ(b_.acquire_shared(), LockResult::kOwnerDied);
  EXPECT_TRUE(b_.unlock_shared());
  EXPECT_TRUE(b_.unlock_shared());
  EXPECT_EQ(writer(), kSuspect);
  EXPECT_FALSE(b_.try_lock_shared());
  EXPECT_FALSE(b_.try_lock_shared_for(1h));
  try {
    b_.lock_shared();
    ADD_FAILURE() << "locked";
  } catch (const std::system_error& error) {
    EXPECT_EQ(error.code(), std::errc::owner_dead);
  }
  EXPECT_THAT(readers(), ElementsAre(0u, 0u, 0u));
  EXPECT_EQ(a_.acquire(), LockResult::kOwnerDied);
  EXPECT_TRUE(a_.make_consistent());
  EXPECT_TRUE(a_.unlock());
  b_.lock_shared();
  EXPECT_FALSE(b_.owner_died());
}

TEST_F(SharedMutexSpec, AWriterThatDiedWaitingHasSpoiltNothing) {
  for (const std::uint32_t before : {0u, kSuspect}) {
    const LockResult told = before == 0 ? LockResult::kLocked : LockResult::kOwnerDied;
    put(kDead | before, 0, 0, 0);
    part_.waiting = kDead;
    EXPECT_EQ(b_.acquire(), told);
    EXPECT_EQ(part_.waiting.load(), 0u);
    part_.waiting = kDead;
    put(kDead | before, 0, 0, 0);
    EXPECT_EQ(b_.acquire_shared(), told);
    EXPECT_EQ(writer(), before);
  }
}

TEST_F(SharedMutexSpec, WhoDeclaresNothingLeavesItNotRecoverable) {
  put(kDead, 0, 0, 0);
  EXPECT_EQ(a_.acquire(), LockResult::kOwnerDied);
  std::thread waits([&] { EXPECT_EQ(b_.acquire_shared(), LockResult::kNotRecoverable); });
  std::thread writes([&] { EXPECT_EQ(b_.acquire(), LockResult::kNotRecoverable); });
  await_contention();
  EXPECT_TRUE(a_.unlock());
  waits.join();
  writes.join();
  EXPECT_EQ(writer(), Part::kLost);
  EXPECT_FALSE(b_.try_lock());
  EXPECT_FALSE(b_.try_lock_shared());
  EXPECT_THROW(b_.lock(), std::system_error);
  EXPECT_THROW(b_.lock_shared(), std::system_error);
  EXPECT_THAT(readers(), ElementsAre(0u, 0u, 0u));
}

TEST_F(SharedMutexSpec, TheLivingAreAskedAfterButNotRobbed) {
  put(0, kA, kDead, kA);
  EXPECT_EQ(b_.acquire(Deadline::after(150ms)), LockResult::kTimedOut);
  EXPECT_GE(b_member_.asked, 2u);
  EXPECT_THAT(readers(), ElementsAre(kA, 0u, kA));
  put(kA, 0, 0, 0);
  EXPECT_EQ(b_.acquire(Deadline::after(150ms)), LockResult::kTimedOut);
  EXPECT_EQ(b_.acquire_shared(Deadline::after(150ms)), LockResult::kTimedOut);
  EXPECT_EQ(writer() & Part::kOwner, kA);
}

TEST_F(SharedMutexSpec, WhoIsNoMemberLocksNothing) {
  const StagedMember nobody{0, &living_};
  Mutex stranger(part_, nobody);
  for (const std::uint32_t word : {0u, kDead}) {
    put(word, 0, 0, 0);
    EXPECT_EQ(stranger.acquire(), LockResult::kNoMember);
    EXPECT_EQ(stranger.acquire_shared(), LockResult::kNoMember);
    EXPECT_FALSE(stranger.unlock());
    EXPECT_FALSE(stranger.unlock_shared());
    EXPECT_FALSE(stranger.make_consistent());
    EXPECT_EQ(writer(), word);
    EXPECT_THAT(readers(), ElementsAre(0u, 0u, 0u));
  }
  EXPECT_THROW(stranger.lock_shared(), std::system_error);
}

TEST_F(SharedMutexSpec, ItIsSettledUnlessAWriterDiedWithIt) {
  EXPECT_TRUE(Mutex::settled(part_));
  put(0, kDead, 0, 0);
  EXPECT_TRUE(Mutex::settled(part_));
  for (const std::uint32_t word : {kDead, kSuspect, Part::kLost}) {
    put(word, 0, 0, 0);
    EXPECT_FALSE(Mutex::settled(part_));
  }
}

TEST_F(SharedMutexSpec, AnyWordsEndInAnAnswer) {
  constexpr std::uint32_t kWords[] = {0,  Part::kLost, 2,     1023,        kA,
                                      kB, kA + 7,      kDead, 0x3FFF'FFFF, ~0u};
  for (const std::uint32_t word : kWords) {
    for (const std::uint32_t marks : {0u, kSuspect, kContended, kSuspect | kContended}) {
      for (const std::uint32_t reader : kWords) {
        for (const std::uint32_t waiting : {0u, word & Part::kOwner, kB}) {
          const std::uint32_t owner = word & Part::kOwner;
          const bool taken = owner == kA || owner == kB;
          put(word | marks, reader, 0, 0);
          part_.waiting = waiting;
          part_.rings = reader;
          const LockResult result = b_.acquire(Deadline::now());
          if (owner == Part::kLost) {
            EXPECT_EQ(result, LockResult::kNotRecoverable);
          } else if (taken || reader == kA || reader == kB) {
            EXPECT_EQ(result, LockResult::kTimedOut);
          } else {
            EXPECT_LE(result, LockResult::kOwnerDied);
            EXPECT_TRUE(b_.unlock());
          }
          put(word | marks, reader, reader, reader);
          const LockResult shared = b_.acquire_shared(Deadline::now());
          if (owner == Part::kLost) {
            EXPECT_EQ(shared, LockResult::kNotRecoverable);
          } else if (taken || reader == kA || reader == kB) {
            EXPECT_EQ(shared, LockResult::kTimedOut);
          } else {
            EXPECT_LE(shared, LockResult::kOwnerDied);
            EXPECT_TRUE(b_.unlock_shared());
          }
        }
      }
    }
  }
}

TEST_F(SharedMutexSpec, WordsThatChangeAllTheTimeEndAtTheDeadline) {
  std::atomic<bool> stop{false};
  std::thread scribbler([&] {
    for (std::uint32_t i = 1; !stop; ++i) {
      part_.rings = i * 2654435761u;
      part_.readers[i % 3] = i % 5 == 0 ? 0 : i * 2654435761u;
      part_.writer = i % 3 == 0 ? 0 : i * 40503u | 2;
    }
  });
  for (int i = 0; i < 20; ++i) {
    if (a_.acquire(Deadline::after(1ms)) <= LockResult::kOwnerDied) a_.unlock();
    if (a_.acquire_shared(Deadline::after(1ms)) <= LockResult::kOwnerDied) a_.unlock_shared();
  }
  stop = true;
  scribbler.join();
}

TEST_F(SharedMutexSpec, ByANameItIsOne) {
  ShmName name;
  const std::string url = "shm:" + name.word();
  {
    auto one = sync::named<sync::shared_mutex>(url).value();
    auto two = sync::named<sync::shared_mutex>(url).value();
    {
      std::shared_lock first(one);
      std::shared_lock second(two);
      EXPECT_FALSE(two.try_lock());
    }
    one.lock();
    EXPECT_FALSE(two.try_lock_shared());
    EXPECT_FALSE(two.try_lock());
    // It leaves in order, and so it counts as dead.
    one.leave();
    EXPECT_EQ(two.acquire_shared(), LockResult::kOwnerDied);
    EXPECT_TRUE(two.unlock_shared());
  }
  EXPECT_TRUE(std::filesystem::exists(name.path()));
  {
    auto three = sync::named<sync::shared_mutex>(url).value();
    EXPECT_EQ(three.acquire(), LockResult::kOwnerDied);
    EXPECT_TRUE(three.make_consistent());
    EXPECT_TRUE(three.unlock());
    three.lock_shared();
  }
  EXPECT_FALSE(std::filesystem::exists(name.path()));
}

}  // namespace
}  // namespace rondo::testing
