// Contract of futex_wait and futex_wake. Each line has a test of the same name, in this order.
//  1. AChangedWordIsNotWaitedFor
//  2. ADeadlineInThePastIsNotWaitedFor
//  3. AWaitDoesNotEndBeforeItsDeadline
//  4. AWakeEndsAWaitWithoutEnd
//  5. AWakeReachesAnotherProcess
//  6. BothWorkOnReadOnlyMemory
//  7. NoMoreAreWokenThanAsked
//  8. ASignalEndsTheWait
//  9. MemoryThatIsGoneIsRefusedAndPolled
// 10. AWakeLeavesErrnoAlone
#include "rondo/sync/futex.hpp"

#include <pthread.h>
#include <sys/mman.h>

#include <atomic>
#include <cerrno>
#include <thread>

#include "support/doorbell_fixture.hpp"

namespace rondo {
namespace {

using namespace std::chrono_literals;
using Clock = Deadline::Clock;
using Word = Atomic<std::uint32_t>;

class Futex : public testing::Watchdog {};

// Returns once a waiter was asleep there, and was woken.
void wake_one_who_sleeps(const Word& word) {
  while (futex_wake(word, 1) == 0) std::this_thread::yield();
}

TEST_F(Futex, AChangedWordIsNotWaitedFor) {
  const Word word{7};
  EXPECT_EQ(futex_wait(word, 6, Deadline::never()), FutexResult::kChanged);
}

TEST_F(Futex, ADeadlineInThePastIsNotWaitedFor) {
  const Word word{7};
  EXPECT_EQ(futex_wait(word, 7, Deadline::now()), FutexResult::kTimedOut);
  EXPECT_EQ(futex_wait(word, 7, Deadline::at(Clock::time_point{})), FutexResult::kTimedOut);
  EXPECT_EQ(futex_wait(word, 7, Deadline::at(Clock::now() - 1h)), FutexResult::kTimedOut);
}

TEST_F(Futex, AWaitDoesNotEndBeforeItsDeadline) {
  const Word word{7};
  const Deadline deadline = Deadline::after(10ms);
  while (futex_wait(word, 7, deadline) != FutexResult::kTimedOut) {
  }
  EXPECT_TRUE(deadline.passed());
}

TEST_F(Futex, AWakeEndsAWaitWithoutEnd) {
  const Word word{7};
  std::thread waiter(
      [&] { EXPECT_EQ(futex_wait(word, 7, Deadline::never()), FutexResult::kWoken); });
  wake_one_who_sleeps(word);
  waiter.join();
}

TEST_F(Futex, AWakeReachesAnotherProcess) {
  testing::Shared<Word> word;
  testing::Child child(
      [&] { return futex_wait(*word, 0, Deadline::never()) == FutexResult::kWoken ? 0 : 1; });
  wake_one_who_sleeps(*word);
  EXPECT_EQ(child.join(), 0);
}

TEST_F(Futex, BothWorkOnReadOnlyMemory) {
  const int file = memfd_create("word", 0);
  ASSERT_EQ(ftruncate(file, 4096), 0);
  void* memory = mmap(nullptr, 4096, PROT_READ, MAP_SHARED, file, 0);
  ASSERT_NE(memory, MAP_FAILED);
  const Word& word = *static_cast<const Word*>(memory);

  EXPECT_EQ(futex_wait(word, 1, Deadline::never()), FutexResult::kChanged);
  std::thread waiter(
      [&] { EXPECT_EQ(futex_wait(word, 0, Deadline::never()), FutexResult::kWoken); });
  wake_one_who_sleeps(word);
  waiter.join();
  munmap(memory, 4096);
  close(file);
}

TEST_F(Futex, NoMoreAreWokenThanAsked) {
  const Word word{0};
  std::atomic<int> awake{0};
  const auto body = [&] {
    while (futex_wait(word, 0, Deadline::never()) != FutexResult::kWoken) {
    }
    awake.fetch_add(1);
  };
  std::thread first(body);
  std::thread second(body);

  wake_one_who_sleeps(word);
  while (awake.load() == 0) std::this_thread::yield();
  EXPECT_EQ(awake.load(), 1);
  wake_one_who_sleeps(word);
  first.join();
  second.join();
}

TEST_F(Futex, ASignalEndsTheWait) {
  struct sigaction action {};
  action.sa_handler = [](int) {};
  ASSERT_EQ(sigaction(SIGUSR1, &action, nullptr), 0);
  const Word word{0};
  std::atomic<bool> ended{false};
  std::thread waiter([&] {
    EXPECT_EQ(futex_wait(word, 0, Deadline::never()), FutexResult::kInterrupted);
    ended = true;
  });
  // A signal that comes before the wait is lost to it: send them until one ends it.
  while (!ended) {
    pthread_kill(waiter.native_handle(), SIGUSR1);
    std::this_thread::yield();
  }
  waiter.join();
}

TEST_F(Futex, MemoryThatIsGoneIsRefusedAndPolled) {
  void* memory = mmap(nullptr, 4096, PROT_READ, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
  ASSERT_EQ(munmap(memory, 4096), 0);
  const Word& word = *static_cast<const Word*>(memory);

  const Clock::time_point start = Clock::now();
  EXPECT_EQ(futex_wait(word, 0, Deadline::never()), FutexResult::kRefused);
  EXPECT_GE(Clock::now() - start, 1ms);
  EXPECT_EQ(futex_wait(word, 0, Deadline::now()), FutexResult::kRefused);
  EXPECT_EQ(futex_wake(word, 1), 0);
}

TEST_F(Futex, AWakeLeavesErrnoAlone) {
  // A word that can't be looked at: refused.
  void* const page = mmap(nullptr, 4096, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  ASSERT_NE(page, MAP_FAILED);
  errno = E2BIG;
  EXPECT_EQ(futex_wake(*static_cast<const Word*>(page), 1), 0);
  EXPECT_EQ(errno, E2BIG);
  munmap(page, 4096);
}

}  // namespace
}  // namespace rondo
