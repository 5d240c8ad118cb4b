// Contract of sync::death_notice. Each line has a test of the same name, in this order.
//  1. AKilledOneIsToldOfThroughTheDescriptor  and nothing is asked while nothing happens
//  2. WhoLeavesIsToldApartFromWhoIsDropped
//  3. WhoExecutesAnotherProgramHasEnded
//  4. AStoppedOneIsNotDeadWhateverIsOpenedAndClosed
//  5. AWaitEndsAtItsDeadlineOrWithADeath
//  6. OneThatWasThereBeforeAndOneThatComesLaterAreTheSame
//  7. WhoHasASuccessorAlreadyIsToldOf
//  8. WhoCameAndWentUnseenIsToldOfByTheTable
//  9. WhoLooksAfterADeadOneIsNoParticipant
// 10. AScribbledTableMakesNoDeathOfTheLiving      a hostile peer
// 11. WhoOpensAndClosesAllTheTimeGetsFewLooks     a hostile peer
// 12. WhatNothingReportsIsFoundAllTheSame         within 5 s
// 13. AForkedChildIsToldNothingAndTakesNothing
// 14. WithoutInotifyItLooksFromTimeToTime
// 15. WithoutDescriptorsItSaysSo
// 16. EachDeathIsToldOnce                         300 of them, at random
// 17. NeitherADeathNorALeaveIsToldTwice           a look between any two of its locks
// 18. ASuccessorHidesNoDeathOfOneWithoutATenure
// 19. WhoLooksAfterADeadOneAtALateLookIsNone
// 20. OneThatStaysIsKnownInAStormOfOpenings       a hostile peer, that scribbles, too
// 21. AProgramThatClosedAllDescriptorsWaitsWithoutSpinning
// 22. WhoIsLeavingIsToldOfWhenItsTenureHasEnded
// 23. WhatIsThrownPutsTheOthersOffNoLonger
#include <fcntl.h>
#include <gtest/gtest.h>
#include <poll.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <atomic>
#include <cerrno>
#include <chrono>
#include <cstdint>
#include <memory>
#include <optional>
#include <random>
#include <stdexcept>
#include <thread>
#include <vector>

#include "rondo/sync/death_notice.hpp"
#include "rondo/sync/mutex.hpp"
#include "rondo/sync/named.hpp"
#include "support/processes.hpp"
#include "support/segment_fixture.hpp"
#include "support/system_call_filter.hpp"

namespace rondo::testing {
namespace {

using namespace std::chrono_literals;
using sync::death_notice;
using sync::participant_end;
using How = participant_end::How;
using Clock = std::chrono::steady_clock;

class DeathNotice : public Watchdog {
 protected:
  [[nodiscard]] sync::Named<sync::mutex> open() const {
    auto opened = sync::named<sync::mutex>(url_);
    if (!opened) {
      std::fprintf(stderr, "%s\n", opened.error().message.c_str());
      std::abort();
    }
    return std::move(opened).value();
  }
  [[nodiscard]] const Participants& participants() const {
    return mine_.attachment().participants();
  }
  [[nodiscard]] death_notice notice() const { return death_notice::of(participants()).value(); }
  // A participant without a tenure.
  [[nodiscard]] Participants join() {
    auto other = Participants::open(segment_, mine_.attachment().geometry()).value();
    EXPECT_TRUE(other.join({.slot_count = other.count()}));
    return other;
  }
  // A child that is a participant until it is killed.
  [[nodiscard]] std::unique_ptr<Child> come() const {
    const Shared<std::atomic<std::uint32_t>> tenure;
    auto child = std::make_unique<Child>([&] {
      static auto theirs = open();
      *tenure = theirs.who().tenure();
      for (;;) pause();
      return 0;
    });
    while (*tenure == 0) usleep(100);
    last_tenure_ = *tenure;
    return child;
  }
  static void kill(std::unique_ptr<Child>& child) {
    child->signal(SIGKILL);
    child->join();
    child.reset();
  }
  [[nodiscard]] static std::vector<participant_end> taken(death_notice& notice) {
    std::vector<participant_end> ends;
    notice.take([&](const participant_end& end) { ends.push_back(end); });
    return ends;
  }
  // Takes whenever the descriptor is readable, until something has ended.
  [[nodiscard]] static std::vector<participant_end> next(death_notice& notice) {
    for (;;) {
      pollfd ready{notice.fd(), POLLIN, 0};
      if (poll(&ready, 1, -1) != 1) continue;
      auto ends = taken(notice);
      if (!ends.empty()) return ends;
    }
  }
  // Takes until the descriptor stays unreadable for longer than it ever looks again. How often it
  // was readable.
  static int settle(death_notice& notice) {
    for (int times = 0;; ++times) {
      pollfd ready{notice.fd(), POLLIN, 0};
      if (poll(&ready, 1, 1500) == 0) return times;
      EXPECT_TRUE(taken(notice).empty());
    }
  }

  ShmName name_;
  std::string url_ = "shm:" + name_.word();
  sync::Named<sync::mutex> mine_ = open();
  Segment segment_ = sound(Segment::attach(name_));
  mutable std::uint32_t last_tenure_ = 0;  // of who came last
};

TEST_F(DeathNotice, AKilledOneIsToldOfThroughTheDescriptor) {
  auto child = come();
  const std::uint32_t tenure = last_tenure_;
  auto notice = this->notice();
  ASSERT_TRUE(notice.watches());
  EXPECT_LE(settle(notice), 60);
  pollfd ready{notice.fd(), POLLIN, 0};
  EXPECT_EQ(poll(&ready, 1, 500), 0);
  // In somebody else's loop.
  const int loop = epoll_create1(EPOLL_CLOEXEC);
  epoll_event event{};
  event.events = EPOLLIN;
  ASSERT_EQ(epoll_ctl(loop, EPOLL_CTL_ADD, notice.fd(), &event), 0);
  child->signal(SIGKILL);
  ASSERT_EQ(epoll_wait(loop, &event, 1, -1), 1);
  close(loop);
  const auto ends = next(notice);
  ASSERT_EQ(ends.size(), 1u);
  EXPECT_EQ(ends[0].how, How::kDied);
  EXPECT_EQ(ends[0].tenure, tenure);
  EXPECT_EQ(ends[0].slot, tenure % kFirstTenure);
  EXPECT_FALSE(ends[0].by_table);
  EXPECT_LE(settle(notice), 60);
}

TEST_F(DeathNotice, WhoLeavesIsToldApartFromWhoIsDropped) {
  auto notice = this->notice();
  auto other = open();
  EXPECT_TRUE(taken(notice).empty());
  other.leave();
  EXPECT_EQ(next(notice).at(0).how, How::kLeft);
  {
    auto segment = sound(Segment::attach(name_));
    auto dropped = Participants::open(segment, mine_.attachment().geometry()).value();
    ASSERT_TRUE(dropped.join({.slot_count = dropped.count()}));
    EXPECT_TRUE(taken(notice).empty());
  }
  EXPECT_EQ(next(notice).at(0).how, How::kDied);
}

TEST_F(DeathNotice, WhoExecutesAnotherProgramHasEnded) {
  auto notice = this->notice();
  Child child([&] {
    static auto theirs = open();
    execl("/bin/sleep", "sleep", "1000", nullptr);
    return 1;
  });
  EXPECT_EQ(next(notice).at(0).how, How::kDied);
}

TEST_F(DeathNotice, AStoppedOneIsNotDeadWhateverIsOpenedAndClosed) {
  auto child = come();
  auto notice = this->notice();
  child->signal(SIGSTOP);
  child->join_stop();
  for (int i = 0; i < 300; ++i) {
    close(::open(name_.path().c_str(), O_RDWR | O_CLOEXEC));
    EXPECT_TRUE(taken(notice).empty());
    usleep(1000);
  }
  child->signal(SIGKILL);
  EXPECT_EQ(next(notice).at(0).how, How::kDied);
}

TEST_F(DeathNotice, AWaitEndsAtItsDeadlineOrWithADeath) {
  auto child = come();
  auto notice = this->notice();
  int told = 0;
  const auto tell = [&](const participant_end&) { ++told; };
  EXPECT_EQ(notice.wait(tell, Deadline::now()), 0u);
  const auto start = Clock::now();
  EXPECT_EQ(notice.wait(tell, Deadline::after(50ms)), 0u);
  EXPECT_GE(Clock::now() - start, 50ms);
  child->signal(SIGKILL);
  EXPECT_EQ(notice.wait(tell), 1u);
  EXPECT_EQ(told, 1);
}

TEST_F(DeathNotice, OneThatWasThereBeforeAndOneThatComesLaterAreTheSame) {
  auto before = come();
  auto notice = this->notice();
  auto later = come();
  const std::uint32_t laters = last_tenure_;
  EXPECT_TRUE(taken(notice).empty());
  before->signal(SIGKILL);
  EXPECT_EQ(next(notice).size(), 1u);
  later->signal(SIGKILL);
  const auto ends = next(notice);
  ASSERT_EQ(ends.size(), 1u);
  EXPECT_EQ(ends[0].how, How::kDied);
  EXPECT_EQ(ends[0].tenure, laters);
  EXPECT_FALSE(ends[0].by_table);
}

TEST_F(DeathNotice, WhoHasASuccessorAlreadyIsToldOf) {
  auto child = come();
  const std::uint32_t tenure = last_tenure_;
  auto notice = this->notice();
  kill(child);
  auto successor = come();
  ASSERT_EQ(last_tenure_ % kFirstTenure, tenure % kFirstTenure);
  auto ends = next(notice);
  ASSERT_EQ(ends.size(), 1u);
  EXPECT_EQ(ends[0].how, How::kReplaced);
  EXPECT_EQ(ends[0].tenure, tenure);
  EXPECT_TRUE(taken(notice).empty());
  successor->signal(SIGKILL);
  ends = next(notice);
  ASSERT_EQ(ends.size(), 1u);
  EXPECT_EQ(ends[0].tenure, last_tenure_);
}

TEST_F(DeathNotice, WhoCameAndWentUnseenIsToldOfByTheTable) {
  auto notice = this->notice();
  auto child = come();
  kill(child);
  const auto ends = next(notice);
  ASSERT_EQ(ends.size(), 1u);
  EXPECT_EQ(ends[0].how, How::kDied);
  EXPECT_TRUE(ends[0].by_table);
}

// Holds the lock of its slot for a moment.
TEST_F(DeathNotice, WhoLooksAfterADeadOneIsNoParticipant) {
  auto child = come();
  const std::uint32_t slot = last_tenure_ % kFirstTenure;
  auto notice = this->notice();
  child->signal(SIGKILL);
  EXPECT_EQ(next(notice).size(), 1u);
  auto segment = sound(Segment::attach(name_));
  auto other = Participants::open(segment, mine_.attachment().geometry()).value();
  for (int i = 0; i < 20; ++i) {
    ASSERT_TRUE(other.try_lock_dead(slot));
    EXPECT_TRUE(taken(notice).empty());
    other.unlock(slot);
    EXPECT_TRUE(taken(notice).empty());
  }
}

TEST_F(DeathNotice, AScribbledTableMakesNoDeathOfTheLiving) {
  auto child = come();
  const std::uint32_t slot = last_tenure_ % kFirstTenure;
  auto notice = this->notice();
  auto segment = sound(Segment::attach(name_));
  auto* const table =
      reinterpret_cast<ParticipantEntry*>(segment.bytes().data() + kParticipantTable);
  std::mt19937_64 random(random_seed());
  for (int i = 0; i < 2000; ++i) {
    // relaxed, all: scribbles.
    table[slot].generation.store(static_cast<std::uint32_t>(random()), std::memory_order_relaxed);
    table[slot].pid.store(i % 3 == 0 ? 0 : 1, std::memory_order_relaxed);
    for (const auto& end : taken(notice)) ADD_FAILURE() << "slot " << end.slot;
  }
  child->signal(SIGKILL);
  const auto ends = next(notice);
  ASSERT_EQ(ends.size(), 1u);
  EXPECT_EQ(ends[0].slot, slot);
  EXPECT_FALSE(ends[0].by_table);
  // Of a slot that nobody has it can tell, but says whose word that is.
  table[slot].generation.store(1, std::memory_order_relaxed);
  table[slot].pid.store(1, std::memory_order_relaxed);
  for (const auto& end : taken(notice)) EXPECT_TRUE(end.by_table);
}

TEST_F(DeathNotice, WhoOpensAndClosesAllTheTimeGetsFewLooks) {
  auto child = come();
  auto notice = this->notice();
  Shared<std::atomic<std::uint64_t>> times;
  Child storm([&] {
    for (;;) {
      close(::open(name_.path().c_str(), O_RDWR | O_CLOEXEC));
      ++*times;
    }
    return 0;
  });
  while (*times < 100) usleep(100);
  const auto start = Clock::now();
  std::int64_t looks = 0;
  while (Clock::now() - start < 300ms) {
    pollfd ready{notice.fd(), POLLIN, 0};
    if (poll(&ready, 1, 10) != 1) continue;
    EXPECT_TRUE(taken(notice).empty());
    ++looks;
  }
  const auto ms = std::chrono::duration_cast<std::chrono::milliseconds>(Clock::now() - start);
  std::printf("%lld looks in %lld ms\n", static_cast<long long>(looks),
              static_cast<long long>(ms.count()));
  EXPECT_LE(looks, 4 * ms.count());
  child->signal(SIGKILL);
  EXPECT_EQ(next(notice).at(0).how, How::kDied);
}

// It has given its slot back, and still has the file open.
TEST_F(DeathNotice, WhatNothingReportsIsFoundAllTheSame) {
  auto segment = sound(Segment::attach(name_));
  auto other = Participants::open(segment, mine_.attachment().geometry()).value();
  ASSERT_TRUE(other.join({.slot_count = other.count()}));
  auto notice = this->notice();
  settle(notice);
  other.leave(false);
  EXPECT_EQ(next(notice).at(0).how, How::kLeft);
}

TEST_F(DeathNotice, AForkedChildIsToldNothingAndTakesNothing) {
  auto child = come();
  auto notice = this->notice();
  child->signal(SIGKILL);
  child->join();
  Child forked([&] {
    const auto tell = [](const participant_end&) {};
    if (notice.take(tell) != 0 || notice.wait(tell) != 0) return 1;
    if (code_of(death_notice::of(participants())) != code_of(ErrorCode::kForked)) return 2;
    { const death_notice closed = std::move(notice); }
    return 0;
  });
  EXPECT_EQ(forked.join(), 0);
  EXPECT_EQ(next(notice).at(0).how, How::kDied);
}

TEST_F(DeathNotice, WithoutInotifyItLooksFromTimeToTime) {
  Child forbidden([&] {
    if (!forbid_system_call(SYS_inotify_init1, EMFILE)) return 99;
    auto own = open();
    auto child = come();
    auto notice = death_notice::of(own.attachment().participants()).value();
    if (notice.watches()) return 1;
    child->signal(SIGKILL);
    const auto ends = next(notice);
    return ends.size() == 1 && ends[0].how == How::kDied && !ends[0].by_table ? 0 : 2;
  });
  EXPECT_EQ(forbidden.join(), 0);
}

TEST_F(DeathNotice, WithoutDescriptorsItSaysSo) {
  Child poor([&] {
    auto own = open();
    const int last = dup(0);
    close(last);
    for (int more = 0; more < 3; ++more) {
      const rlimit limit{static_cast<rlim_t>(last + more), static_cast<rlim_t>(last + more)};
      rlimit old{};
      getrlimit(RLIMIT_NOFILE, &old);
      const rlimit soft{limit.rlim_cur, old.rlim_max};
      setrlimit(RLIMIT_NOFILE, &soft);
      const auto notice = death_notice::of(own.attachment().participants());
      setrlimit(RLIMIT_NOFILE, &old);
      // With two it does without inotify.
      if (more < 2 && code_of(notice) != code_of(ErrorCode::kNoDescriptors)) return 1 + more;
      if (more == 2 && (!notice || notice->watches())) return 3;
    }
    return 0;
  });
  EXPECT_EQ(poor.join(), 0);
}

TEST_F(DeathNotice, EachDeathIsToldOnce) {
  constexpr std::size_t kChildren = 4;
  const std::uint64_t kills = scaled(300);
  std::mt19937_64 random(random_seed());
  auto notice = this->notice();
  std::vector<std::unique_ptr<Child>> children;
  for (std::size_t i = 0; i < kChildren; ++i) children.push_back(come());
  std::uint64_t told = 0;
  std::uint64_t replaced = 0;
  const auto count = [&](const std::vector<participant_end>& ends) {
    told += ends.size();
    for (const auto& end : ends) {
      EXPECT_NE(end.how, How::kLeft);
      replaced += end.how == How::kReplaced ? 1 : 0;
    }
  };
  count(taken(notice));  // so that all are seen
  for (std::uint64_t i = 0; i < kills; ++i) {
    auto& child = children[random() % kChildren];
    kill(child);
    // It is told before its successor comes, or after.
    if (random() % 2 == 0) count(next(notice));
    child = come();
    while (told <= i) count(next(notice));
    // The successor is seen: it has a tenure by now.
    count(taken(notice));
    EXPECT_EQ(told, i + 1);
  }
  std::printf("%llu told, %llu of them replaced\n", static_cast<unsigned long long>(told),
              static_cast<unsigned long long>(replaced));
  EXPECT_GT(replaced, 0u);
}

TEST_F(DeathNotice, NeitherADeathNorALeaveIsToldTwice) {
  const std::uint64_t rounds = scaled(2000);
  std::atomic<std::uint64_t> came = 0;
  std::atomic<std::uint64_t> goes = 0;
  std::atomic<std::uint64_t> told = 0;
  std::jthread others([&] {
    for (std::uint64_t i = 1; i <= rounds; ++i) {
      std::optional<Participants> other = join();
      EXPECT_TRUE(other->tenure());
      came = i;
      came.notify_one();
      while (goes != i) goes.wait(i - 1);
      if (i % 2 == 0) other->leave(false);
      other.reset();  // without a leave() it is as if it had died
      while (told != i) told.wait(i - 1);
    }
  });
  auto notice = this->notice();
  for (std::uint64_t i = 1; i <= rounds; ++i) {
    while (came != i) came.wait(i - 1);
    EXPECT_TRUE(taken(notice).empty());
    goes = i;
    goes.notify_one();
    std::vector<participant_end> ends;
    while (ends.empty()) ends = taken(notice);
    for (int again = 0; again < 20; ++again) {
      for (const auto& end : taken(notice)) ends.push_back(end);
    }
    EXPECT_EQ(ends.size(), 1u);
    EXPECT_EQ(ends[0].how, i % 2 == 0 ? How::kLeft : How::kDied);
    EXPECT_FALSE(ends[0].by_table);
    told = i;
    told.notify_one();
  }
}

TEST_F(DeathNotice, ASuccessorHidesNoDeathOfOneWithoutATenure) {
  std::optional<Participants> other = join();
  const std::uint32_t slot = *other->slot();
  auto notice = this->notice();
  EXPECT_TRUE(taken(notice).empty());
  other.reset();
  auto successor = come();
  ASSERT_EQ(last_tenure_ % kFirstTenure, slot);
  auto ends = next(notice);
  ASSERT_EQ(ends.size(), 1u);
  EXPECT_EQ(ends[0].how, How::kReplaced);
  EXPECT_EQ(ends[0].slot, slot);
  EXPECT_TRUE(ends[0].by_table);
  EXPECT_TRUE(taken(notice).empty());
  successor->signal(SIGKILL);
  ends = next(notice);
  ASSERT_EQ(ends.size(), 1u);
  EXPECT_EQ(ends[0].tenure, last_tenure_);
}

TEST_F(DeathNotice, WhoLooksAfterADeadOneAtALateLookIsNone) {
  auto child = come();
  const std::uint32_t slot = last_tenure_ % kFirstTenure;
  auto notice = this->notice();
  child->signal(SIGKILL);
  EXPECT_EQ(next(notice).size(), 1u);
  auto other = Participants::open(segment_, mine_.attachment().geometry()).value();
  settle(notice);
  ASSERT_TRUE(other.try_lock_dead(slot));
  pollfd ready{notice.fd(), POLLIN, 0};
  ASSERT_EQ(poll(&ready, 1, -1), 1);
  EXPECT_TRUE(taken(notice).empty());
  other.unlock(slot);
  EXPECT_TRUE(taken(notice).empty());
}

TEST_F(DeathNotice, OneThatStaysIsKnownInAStormOfOpenings) {
  auto notice = this->notice();
  Shared<std::atomic<std::uint64_t>> times;
  Child storm([&] {
    for (;;) {
      close(::open(name_.path().c_str(), O_RDWR | O_CLOEXEC));
      ++*times;
    }
    return 0;
  });
  while (*times < 100) usleep(100);
  std::optional<Participants> other = join();
  auto* const table =
      reinterpret_cast<ParticipantEntry*>(segment_.bytes().data() + kParticipantTable);
  // As if it had not come. relaxed: a scribble.
  table[*other->slot()].generation.store(0, std::memory_order_relaxed);
  const auto start = Clock::now();
  while (Clock::now() - start < 1500ms) {
    pollfd ready{notice.fd(), POLLIN, 0};
    if (poll(&ready, 1, 10) != 1) continue;
    EXPECT_TRUE(taken(notice).empty());
  }
  other.reset();
  const auto ends = next(notice);
  ASSERT_EQ(ends.size(), 1u);
  EXPECT_EQ(ends[0].how, How::kDied);
  EXPECT_FALSE(ends[0].by_table);
}

TEST_F(DeathNotice, AProgramThatClosedAllDescriptorsWaitsWithoutSpinning) {
  Child careless([&] {
    auto own = open();
    auto notice = death_notice::of(own.attachment().participants()).value();
    if (close_range(3, ~0u, 0) != 0) return 99;
    rusage before{};
    rusage after{};
    getrusage(RUSAGE_SELF, &before);
    if (notice.wait([](const participant_end&) {}, Deadline::after(300ms)) != 0) return 1;
    getrusage(RUSAGE_SELF, &after);
    // It has slept.
    return after.ru_nvcsw - before.ru_nvcsw >= 3 ? 0 : 2;
  });
  EXPECT_EQ(careless.join(), 0);
}

TEST_F(DeathNotice, WhoIsLeavingIsToldOfWhenItsTenureHasEnded) {
  auto other = join();
  const std::uint32_t slot = *other.slot();
  EXPECT_TRUE(other.tenure());
  auto notice = this->notice();
  // As far as leave() comes between its two locks. relaxed: the table is for people.
  auto* const table =
      reinterpret_cast<ParticipantEntry*>(segment_.bytes().data() + kParticipantTable);
  table[slot].pid.store(0, std::memory_order_relaxed);
  struct flock byte {};
  byte.l_type = F_UNLCK;
  byte.l_whence = SEEK_SET;
  byte.l_start = static_cast<off_t>(kLockBase + slot);
  byte.l_len = 1;
  ASSERT_EQ(fcntl(other.lock_file(), F_OFD_SETLK, &byte), 0);
  EXPECT_TRUE(taken(notice).empty());
  other.leave(false);
  const auto ends = taken(notice);
  ASSERT_EQ(ends.size(), 1u);
  EXPECT_EQ(ends[0].how, How::kLeft);
  EXPECT_FALSE(ends[0].by_table);
  EXPECT_TRUE(taken(notice).empty());
}

TEST_F(DeathNotice, WhatIsThrownPutsTheOthersOffNoLonger) {
  // They keep the file open, so nothing is reported.
  auto one = join();
  auto two = join();
  auto notice = this->notice();
  settle(notice);
  one.leave(false);
  two.leave(false);
  const auto throws = [](const participant_end&) { throw std::runtime_error("told"); };
  EXPECT_THROW(notice.take(throws), std::runtime_error);
  pollfd ready{notice.fd(), POLLIN, 0};
  EXPECT_EQ(poll(&ready, 1, 1000), 1);
  EXPECT_EQ(taken(notice).size(), 1u);
  EXPECT_TRUE(taken(notice).empty());
}

}  // namespace
}  // namespace rondo::testing
