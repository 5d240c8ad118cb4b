// The doorbell that rings in any way (sync/any_doorbell.hpp), in each of them.
//
//   1. ARingIsTakenOnce
//   2. ManyRingsAreOneAndOneCall
//   3. WhatIsRungBeforeTheWaitIsNotLost
//   4. NoWakeIsLost, between processes, with sleeps that do not end by themselves
//   5. ACarelessWaiterLosesSome, which takes first and then forgets what it was told
//   6. DeadlinesHold, also while the word is scribbled over
//   7. ARingerKilledBetweenItsStepsCostsASlice
//   8. AndTheNextOneTellsInItsPlace
//   9. WhatADeadWaiterWasToldTheNextOneFinds
//  10. ADeadWaiterDisturbsNoRinger
//  11. NobodyIsKeptByWhatIsFull
//  12. TheHandleIsReadableFromARingUntilAWaitFindsNothing
//  13. ABusyWaiterLeavesLittleBehind
//  14. AWordThatClaimsALoopWasToldIsNotBelievedForLong
//  15. ADescriptorThatAPeerLetBlockKeepsNobody
//  16. WhereNoLookIsAllowedNoRingIsLost
//  17. WhatGotTheNumbersOfClosedDescriptorsIsLeftAlone
//  18. NorIsTheWriterOfAnotherPipeWritten
//  19. NorIsTheProcessOfAnotherPidfdSignalled
// And of the signal: what is refused, and that a number is one bell's.
#include "rondo/sync/any_doorbell.hpp"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <poll.h>
#include <semaphore.h>
#include <signal.h>
#include <sys/eventfd.h>
#include <sys/ioctl.h>
#include <sys/signalfd.h>
#include <sys/syscall.h>

#include <array>
#include <atomic>
#include <cerrno>
#include <chrono>
#include <optional>
#include <random>
#include <thread>
#include <utility>

#include "rondo/sync/futex.hpp"
#include "support/processes.hpp"
#include "support/replaced_descriptors.hpp"
#include "support/system_call_filter.hpp"

namespace rondo::testing {
namespace {

using namespace std::chrono_literals;
using sync::any_doorbell;
using sync::doorbell_word;
using way = any_doorbell::way;

// Of one direction.
struct Side {
  doorbell_word word;
  sem_t semaphore;
  std::uint64_t sent;  // plain: the bell orders it
};
struct Table {
  Side ping;
  Side pong;
};

constexpr const char* kNames[] = {"Futex", "Eventfd", "Pipe", "Signal", "Semaphore"};
const int kSignal = SIGRTMIN + 5;

class AnyDoorbell : public Watchdog, public ::testing::WithParamInterface<way> {
 protected:
  AnyDoorbell() {
    sem_init(&table_->ping.semaphore, 1, 0);
    sem_init(&table_->pong.semaphore, 1, 0);
    // Before any child is there that could be signalled without it.
    sigset_t one;
    sigemptyset(&one);
    sigaddset(&one, kSignal);
    pthread_sigmask(SIG_BLOCK, &one, nullptr);
  }

  static any_doorbell must(Result<any_doorbell> made) {
    if (made) return std::move(made).value();
    ADD_FAILURE() << made.error().message;
    std::abort();
  }
  // `waiter`: the process that waits.
  static any_doorbell make(Side& side, pid_t waiter) {
    switch (GetParam()) {
      case way::futex: break;
      case way::eventfd: return must(any_doorbell::by_eventfd(side.word));
      case way::pipe: return must(any_doorbell::by_pipe(side.word));
      case way::signal: return must(any_doorbell::by_signal(side.word, waiter, kSignal));
      case way::semaphore: return any_doorbell::by_semaphore(side.word, side.semaphore);
    }
    return any_doorbell::by_futex(side.word);
  }
  // Another end of `bell`, as a second process would make it.
  static any_doorbell make_beside(const any_doorbell& bell, Side& side, pid_t waiter) {
    const NativeHandle reading = bell.native_handle();
    if (GetParam() == way::eventfd) return must(any_doorbell::by_eventfd(side.word, reading));
    if (GetParam() == way::pipe) {
      return must(any_doorbell::by_pipe(side.word, reading, bell.writing_handle()));
    }
    return make(side, waiter);
  }
  static bool has_handle() { return GetParam() != way::futex && GetParam() != way::semaphore; }
  static bool readable(const any_doorbell& bell) {
    pollfd poll{bell.native_handle(), POLLIN, 0};
    return ::poll(&poll, 1, 0) == 1;
  }

  Shared<Table> table_;
};

INSTANTIATE_TEST_SUITE_P(Every, AnyDoorbell,
                         ::testing::Values(way::futex, way::eventfd, way::pipe, way::signal,
                                           way::semaphore),
                         [](const auto& one) { return kNames[static_cast<int>(one.param)]; });

TEST_P(AnyDoorbell, ARingIsTakenOnce) {
  any_doorbell bell = make(table_->ping, getpid());
  EXPECT_EQ(bell.how(), GetParam());
  EXPECT_FALSE(bell.wait(Deadline::now()));
  EXPECT_TRUE(bell.ring());
  EXPECT_TRUE(bell.wait(Deadline::now()));
  EXPECT_FALSE(bell.wait(Deadline::now()));
  EXPECT_FALSE(bell.wait(Deadline::after(1ms)));
  EXPECT_EQ(bell.native_handle() == detail::kNoHandle, !has_handle());
}

TEST_P(AnyDoorbell, ManyRingsAreOneAndOneCall) {
  any_doorbell bell = make(table_->ping, getpid());
  bell.slice(1h);  // so long the word is believed
  for (int i = 0; i < 100; ++i) EXPECT_TRUE(bell.ring());
  if (GetParam() == way::eventfd) {
    std::uint64_t count = 0;
    EXPECT_EQ(read(bell.native_handle(), &count, sizeof count), 8);
    EXPECT_EQ(count, 1u);
  }
  if (GetParam() == way::semaphore) {
    int count = 0;
    sem_getvalue(&table_->ping.semaphore, &count);
    EXPECT_EQ(count, 1);
  }
  EXPECT_TRUE(bell.wait(Deadline::now()));
  EXPECT_FALSE(bell.wait(Deadline::now()));
}

TEST_P(AnyDoorbell, WhatIsRungBeforeTheWaitIsNotLost) {
  any_doorbell bell = make(table_->ping, getpid());
  bell.slice(1h);
  for (int i = 0; i < 1000; ++i) {
    ASSERT_TRUE(bell.ring());
    ASSERT_TRUE(bell.wait());
  }
}

// Turns between two processes; each sleeps until the other rings, however long that takes.
TEST_P(AnyDoorbell, NoWakeIsLost) {
  const std::uint64_t turns = scaled(50'000);
  const std::uint64_t seed = random_seed();
  const pid_t parent = getpid();
  any_doorbell pong = make(table_->pong, parent);
  const bool by_signal = GetParam() == way::signal;
  std::optional<any_doorbell> ping;
  if (!by_signal) ping.emplace(make(table_->ping, parent));
  const auto pause = [](std::mt19937_64& random) {
    for (std::uint64_t pauses = random() % 256; pauses > 0; --pauses) cpu_relax();
  };
  Child child([&] {
    std::mt19937_64 random(seed + 1);
    any_doorbell in = by_signal ? make(table_->ping, getpid()) : std::move(*ping);
    any_doorbell out = by_signal ? make(table_->pong, parent) : std::move(pong);
    in.slice(1h);
    for (std::uint64_t i = 1; i <= turns; ++i) {
      do {
        if (!in.wait()) return 1;
      } while (table_->ping.sent < i);
      if (table_->ping.sent != i) return 2;
      pause(random);
      table_->pong.sent = i;
      if (!out.ring()) return 3;
    }
    return 0;
  });
  std::mt19937_64 random(seed);
  if (by_signal) ping.emplace(make(table_->ping, child.pid()));
  pong.slice(1h);
  for (std::uint64_t i = 1; i <= turns; ++i) {
    table_->ping.sent = i;
    ASSERT_TRUE(ping->ring());
    pause(random);
    do {
      ASSERT_TRUE(pong.wait());
    } while (table_->pong.sent < i);
  }
  EXPECT_EQ(child.join(), 0);
}

// What a waiter without care makes of it: it takes, and only then forgets what it was told so far.
// What comes in between is forgotten with it.
class Careless {
 public:
  Careless(Side& side, const any_doorbell& bell) : side_(side), bell_(bell) {}

  // False: the deadline ended it, whatever had been rung.
  bool wait(Deadline deadline, int pauses) {
    while (!side_.word.take()) {
      for (int i = 0; i < pauses; ++i) cpu_relax();
      forget();
      sleep(deadline);
      if (deadline.passed()) return false;
    }
    return true;
  }

 private:
  void forget() {
    char there[1024];
    if (GetParam() == way::semaphore) {
      while (sem_trywait(&side_.semaphore) == 0) {
      }
    } else if (GetParam() == way::futex) {
      seen_ = side_.word.state.load(std::memory_order_relaxed);
    } else {
      static_cast<void>(!read(bell_.native_handle(), there, sizeof there));
    }
  }
  void sleep(Deadline deadline) {
    if (GetParam() == way::semaphore) {
      const auto end = deadline.time().time_since_epoch();
      timespec until{};
      until.tv_sec = std::chrono::duration_cast<std::chrono::seconds>(end).count();
      until.tv_nsec = std::chrono::nanoseconds(end % 1s).count();
      sem_clockwait(&side_.semaphore, CLOCK_MONOTONIC, &until);
      sem_post(&side_.semaphore);  // it is forgotten after the next look
    } else if (GetParam() == way::futex) {
      static_cast<void>(futex_wait(side_.word.state, seen_, deadline));
    } else {
      pollfd poll{bell_.native_handle(), POLLIN, 0};
      ::poll(&poll, 1, static_cast<int>(deadline.remaining() / 1ms) + 1);
    }
  }
  static way GetParam() { return AnyDoorbell::GetParam(); }

  Side& side_;
  const any_doorbell& bell_;
  std::uint32_t seen_ = 0;
};

TEST_P(AnyDoorbell, ACarelessWaiterLosesSome) {
  any_doorbell bell = make(table_->ping, getpid());
  std::atomic<std::uint64_t> asked{0};
  std::atomic<bool> over{false};
  std::thread ringing([&] {
    std::mt19937_64 random(random_seed());
    for (std::uint64_t i = 0; !over; ++i) {
      while (asked == i && !over) {
      }
      for (std::uint64_t pauses = random() % 1024; pauses > 0; --pauses) cpu_relax();
      bell.ring();
    }
  });
  Careless careless(table_->ping, bell);
  std::mt19937_64 random(random_seed());
  int lost = 0;
  for (int i = 0; i < 1'000'000 && lost == 0; ++i) {
    ++asked;
    if (careless.wait(Deadline::after(200ms), static_cast<int>(random() % 1024))) continue;
    // It has been rung meanwhile, or will be: nobody but us takes it.
    while (!table_->ping.word.take()) {
    }
    ++lost;
  }
  over = true;
  ringing.join();
  EXPECT_GT(lost, 0);
}

TEST_P(AnyDoorbell, DeadlinesHold) {
  any_doorbell bell = make(table_->ping, getpid());
  const Deadline brief = Deadline::after(20ms);
  EXPECT_FALSE(bell.wait(brief));
  EXPECT_TRUE(brief.passed());
  std::atomic<bool> over{false};
  std::thread scribbling([&] {
    std::mt19937_64 random(random_seed());
    while (!over) table_->ping.word.state = static_cast<std::uint32_t>(random());
  });
  for (int i = 0; i < 1000; ++i) {
    static_cast<void>(bell.wait(Deadline::after(10us)));
    bell.ring();
  }
  over = true;
  scribbling.join();
}

TEST_P(AnyDoorbell, ARingerKilledBetweenItsStepsCostsASlice) {
  any_doorbell bell = make(table_->ping, getpid());
  Child ringer([&] {
    std::uint32_t seen = 0;
    usleep(1000);  // mostly the other one sleeps by then
    return table_->ping.word.ring(seen) ? 0 : 1;
  });
  EXPECT_TRUE(bell.wait());
  EXPECT_EQ(ringer.join(), 0);
}

TEST_P(AnyDoorbell, AndTheNextOneTellsInItsPlace) {
  any_doorbell bell = make(table_->ping, getpid());
  bell.slice(1h);
  Child ringer([&] {
    std::uint32_t seen = 0;
    return table_->ping.word.ring(seen) ? 0 : 1;
  });
  EXPECT_EQ(ringer.join(), 0);
  EXPECT_TRUE(bell.ring());
  if (has_handle()) {
    EXPECT_TRUE(readable(bell));
  }
  EXPECT_TRUE(bell.wait());
}

TEST_P(AnyDoorbell, WhatADeadWaiterWasToldTheNextOneFinds) {
  std::optional<any_doorbell> bell(make(table_->ping, getpid()));
  EXPECT_TRUE(bell->ring());
  // It was woken, and died before it took.
  char there[1024];
  if (has_handle()) {
    EXPECT_GT(read(bell->native_handle(), there, sizeof there), 0);
  }
  while (sem_trywait(&table_->ping.semaphore) == 0) {
  }
  if (GetParam() == way::signal) bell.reset();  // the number is its own
  any_doorbell next =
      bell ? make_beside(*bell, table_->ping, getpid()) : make(table_->ping, getpid());
  next.slice(1h);
  if (has_handle()) {
    EXPECT_TRUE(readable(next));
  }
  EXPECT_TRUE(next.wait());
}

TEST_P(AnyDoorbell, ADeadWaiterDisturbsNoRinger) {
  const pid_t parent = getpid();
  const bool by_signal = GetParam() == way::signal;
  std::optional<any_doorbell> bell;
  if (!by_signal) bell.emplace(make(table_->ping, parent));
  Child waiter([&] {
    any_doorbell mine = by_signal ? make(table_->ping, getpid()) : std::move(*bell);
    table_->pong.word.state.store(1);
    for (;;) static_cast<void>(mine.wait());
    return 0;
  });
  while (table_->pong.word.state.load() == 0) usleep(100);
  if (by_signal) bell.emplace(make(table_->ping, waiter.pid()));
  EXPECT_TRUE(bell->ring());
  waiter.signal(SIGKILL);
  EXPECT_EQ(waiter.join(), -SIGKILL);
  while (table_->ping.word.take()) {
  }
  for (int i = 0; i < 100'000; ++i) ASSERT_EQ(bell->ring(), !by_signal);
}

TEST_P(AnyDoorbell, NobodyIsKeptByWhatIsFull) {
  any_doorbell bell = make(table_->ping, getpid());
  // A waiter that takes and never empties what it was told by.
  for (int i = 0; i < 100'000; ++i) {
    ASSERT_TRUE(bell.ring());
    ASSERT_TRUE(table_->ping.word.take());
  }
  if (GetParam() == way::eventfd) {
    const std::uint64_t most = ~std::uint64_t{1} - 100'000;
    EXPECT_EQ(write(bell.native_handle(), &most, sizeof most), 8);
    EXPECT_TRUE(bell.ring());
    EXPECT_TRUE(table_->ping.word.take());
  }
  EXPECT_TRUE(bell.ring());
  EXPECT_TRUE(bell.wait(Deadline::now()));
}

TEST_P(AnyDoorbell, TheHandleIsReadableFromARingUntilAWaitFindsNothing) {
  if (!has_handle()) GTEST_SKIP() << "has none";
  any_doorbell bell = make(table_->ping, getpid());
  EXPECT_FALSE(readable(bell));
  EXPECT_TRUE(bell.ring());
  EXPECT_TRUE(readable(bell));
  EXPECT_TRUE(bell.wait(Deadline::now()));
  EXPECT_FALSE(bell.wait(Deadline::now()));
  EXPECT_FALSE(readable(bell));
  EXPECT_TRUE(bell.ring());
  EXPECT_TRUE(readable(bell));
}

// What lies where the waiter is told, and takes what it can count by reading.
int left_behind(const any_doorbell& bell, Side& side) {
  int count = 0;
  signalfd_siginfo one{};
  switch (bell.how()) {
    case way::futex: break;
    case way::eventfd: break;  // it sums
    case way::pipe: ioctl(bell.native_handle(), FIONREAD, &count); break;
    case way::signal:
      while (read(bell.native_handle(), &one, sizeof one) > 0) ++count;
      break;
    case way::semaphore: sem_getvalue(&side.semaphore, &count); break;
  }
  return count;
}

TEST_P(AnyDoorbell, ABusyWaiterLeavesLittleBehind) {
  any_doorbell bell = make(table_->ping, getpid());
  bell.slice(1h);
  for (int i = 0; i < 1000; ++i) {
    ASSERT_TRUE(bell.ring());
    ASSERT_TRUE(bell.wait());
  }
  EXPECT_LE(left_behind(bell, table_->ping), 16);
}

TEST_P(AnyDoorbell, AWordThatClaimsALoopWasToldIsNotBelievedForLong) {
  if (GetParam() != way::eventfd && GetParam() != way::pipe) GTEST_SKIP() << "looks by itself";
  any_doorbell bell = make(table_->ping, getpid());
  EXPECT_TRUE(bell.ring());
  while (bell.wait(Deadline::now())) {
  }
  const Deadline end = Deadline::after(10s);
  while (!readable(bell) && !end.passed()) {
    table_->ping.word.state = doorbell_word::kTold;
    EXPECT_TRUE(bell.ring());
  }
  EXPECT_TRUE(readable(bell));
}

TEST_P(AnyDoorbell, ADescriptorThatAPeerLetBlockKeepsNobody) {
  if (GetParam() != way::eventfd && GetParam() != way::pipe) GTEST_SKIP() << "no peer has one";
  alarm(60);
  any_doorbell bell = make(table_->ping, getpid());
  EXPECT_EQ(fcntl(bell.native_handle(), F_SETFL, 0), 0);
  EXPECT_FALSE(bell.wait(Deadline::now()));  // empty
  if (GetParam() == way::eventfd) {
    const std::uint64_t most = ~std::uint64_t{1};
    EXPECT_EQ(write(bell.native_handle(), &most, sizeof most), 8);
  } else {
    while (write(bell.writing_handle(), "", 1) == 1) {
    }
    EXPECT_EQ(fcntl(bell.writing_handle(), F_SETFL, O_WRONLY), 0);
  }
  EXPECT_TRUE(bell.ring());  // full
  EXPECT_TRUE(bell.wait(Deadline::now()));
}

TEST_P(AnyDoorbell, WhereNoLookIsAllowedNoRingIsLost) {
  if (GetParam() != way::eventfd && GetParam() != way::pipe) GTEST_SKIP() << "does not look";
  any_doorbell bell = make(table_->ping, getpid());
  Child child([&] {
    for (const long call : {SYS_ppoll, SYS_preadv2, SYS_pwritev2}) {
      if (!forbid_system_call(call, EPERM)) return 77;
    }
    char there[8];
    if (!bell.ring() || read(bell.native_handle(), there, sizeof there) <= 0) return 1;
    return bell.wait(Deadline::now()) && !bell.wait(Deadline::now()) ? 0 : 2;
  });
  const int status = child.join();
  EXPECT_TRUE(status == 0 || status == 77) << status;
}

TEST_P(AnyDoorbell, WhatGotTheNumbersOfClosedDescriptorsIsLeftAlone) {
  Child child([&] {
    ReplacedDescriptors all;
    std::array<std::array<int, 2>, 8> pipes{};
    {
      any_doorbell bell = make(table_->ping, getpid());
      const any_doorbell beside = make(table_->pong, getppid());
      if (!all.replace_all("/dev/null")) return 1;
      for (auto& ends : pipes) {
        if (pipe2(ends.data(), O_CLOEXEC | O_NONBLOCK) != 0 || write(ends[1], "x", 1) != 1)
          return 2;
      }
      if (bell.ring() == has_handle()) return 3;
      if (!bell.wait() || bell.wait(Deadline::after(3ms))) return 4;
      // Rung by somebody else.
      std::uint32_t seen = 0;
      if (!table_->ping.word.ring(seen) || !bell.wait()) return 5;
    }
    for (const auto& ends : pipes) {
      int bytes = 0;
      if (ioctl(ends[0], FIONREAD, &bytes) != 0 || bytes != 1) return 6;
    }
    return all.touched() == 0 ? 0 : 7;
  });
  EXPECT_EQ(child.join(), 0);
}

// Both ends of a pipe are one file, and each has a number of its own.
TEST(AnyDoorbellByPipe, NorIsTheWriterOfAnotherPipeWritten) {
  Child child([] {
    doorbell_word word{};
    std::array<int, 2> ends{};
    if (pipe2(ends.data(), O_CLOEXEC) != 0) return 1;
    auto bell = any_doorbell::by_pipe(word, ends[0], ends[1]);
    if (!bell) return 2;
    close(ends[0]);
    close(ends[1]);
    std::array<int, 2> others{};
    if (pipe2(others.data(), O_CLOEXEC | O_NONBLOCK) != 0) return 3;
    // Its own, for writing, whichever number that has.
    for (int fd = 3; fd < 64; ++fd) {
      const int access = fcntl(fd, F_GETFL) & O_ACCMODE;
      if (fd == others[1] || access != O_WRONLY) continue;
      if (dup2(others[1], fd) != fd) return 4;
    }
    if (bell->ring()) return 5;
    char byte = 0;
    return read(others[0], &byte, 1) < 0 && errno == EAGAIN ? 0 : 6;
  });
  EXPECT_EQ(child.join(), 0);
}

TEST(AnyDoorbellBySignal, NorIsTheProcessOfAnotherPidfdSignalled) {
  doorbell_word word{};
  Child innocent([] {
    for (;;) pause();
    return 0;
  });
  Child ringing([&] {
    auto bell = any_doorbell::by_signal(word, getppid(), kSignal);
    if (!bell) return 1;
    if (close_range(3, ~0u, 0) != 0) return 2;
    for (int fd = 3; fd < 20; ++fd) {
      if (detail::open_process(innocent.pid()).release() != fd) return 3;
      if (fcntl(fd, F_SETSIG, 0) != 0) return 4;  // as the program's own are
    }
    return bell->ring() ? 5 : 0;
  });
  EXPECT_EQ(ringing.join(), 0);
  innocent.signal(SIGKILL);
  EXPECT_EQ(innocent.join(), -SIGKILL);
}

TEST(AnyDoorbellBySignal, ANumberIsOneBellsUntilItIsGone) {
  doorbell_word first{};
  doorbell_word second{};
  const auto other = [&](int signal) { return any_doorbell::by_signal(second, getpid(), signal); };
  std::optional<any_doorbell> bell(any_doorbell::by_signal(first, getpid(), kSignal).value());
  const auto refused = other(kSignal);
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().code, ErrorCode::kBusy);
  EXPECT_TRUE(other(kSignal + 1));
  EXPECT_TRUE(other(kSignal + 1));  // that one is gone
  // A forked child has numbers of its own; to lose its copy of another's changes none.
  Child child([&] {
    const auto mine = other(kSignal);
    if (!mine) return 1;
    bell.reset();
    return other(kSignal) ? 2 : 0;
  });
  EXPECT_EQ(child.join(), 0);
  any_doorbell moved(std::move(*bell));
  bell.reset();
  EXPECT_FALSE(other(kSignal));
  moved = any_doorbell::by_futex(second);
  EXPECT_TRUE(other(kSignal));
}

TEST(AnyDoorbellBySignal, WhatIsRefused) {
  doorbell_word word{};
  for (const int signal : {0, SIGTERM, SIGKILL, SIGRTMIN - 1, SIGRTMAX + 1, -1}) {
    const auto bell = any_doorbell::by_signal(word, getpid(), signal);
    ASSERT_FALSE(bell) << signal;
    EXPECT_EQ(bell.error().code, ErrorCode::kInvalidOption);
  }
  // Old kernels, filters, and no descriptors left.
  for (const auto& [error, code] :
       {std::pair{ENOSYS, ErrorCode::kUnsupported}, std::pair{EMFILE, ErrorCode::kNoDescriptors}}) {
    Child child([&, error = error, code = code] {
      for (const long call : {SYS_pidfd_open, SYS_eventfd2, SYS_pipe2}) {
        if (!forbid_system_call(call, error)) return 77;
      }
      const auto refused = [&](const Result<any_doorbell>& bell) {
        return !bell && bell.error().code == code;
      };
      if (!refused(any_doorbell::by_signal(word, getpid(), SIGRTMIN))) return 1;
      if (!refused(any_doorbell::by_eventfd(word))) return 2;
      return refused(any_doorbell::by_pipe(word)) ? 0 : 3;
    });
    const int status = child.join();
    EXPECT_TRUE(status == 0 || status == 77) << status;
  }
  Child gone([] { return 0; });
  const pid_t pid = gone.pid();
  gone.join();
  const auto bell = any_doorbell::by_signal(word, pid, SIGRTMIN);
  ASSERT_FALSE(bell);
  EXPECT_EQ(bell.error().code, ErrorCode::kPeerGone);
}

}  // namespace
}  // namespace rondo::testing
