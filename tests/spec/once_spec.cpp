// Contract of sync::once, over a word in plain memory and deaths of the test's making. Each line
// has a test of the same name, in this order.
//  1. TheFirstOneDoesItAndNobodyElse
//  2. OthersWaitUntilItIsDone
//  3. AWaitEndsAtItsDeadline
//  4. TheTurnOfOneThatDiedGoesToTheNext
//  5. TheTurnOfOneThatThrowsGoesToTheNext
//  6. TheLivingAreAskedAfterButKeepTheirTurn
//  7. OneMayDoAnotherInside
//  8. WhoIsNoMemberDoesNothing
//  9. AnyWordEndsInAnAnswer                  a hostile peer
// 10. ByANameItKeepsThatItWasDone
// 11. AmongProcessesThatDieInsideOneDoesIt
#include <gtest/gtest.h>

#include <atomic>
#include <chrono>
#include <filesystem>
#include <memory>
#include <set>
#include <stdexcept>
#include <thread>
#include <vector>

#include "rondo/sync/named.hpp"
#include "rondo/sync/once.hpp"
#include "support/processes.hpp"
#include "support/segment_fixture.hpp"
#include "support/staged_member.hpp"

namespace rondo::testing {
namespace {

using namespace std::chrono_literals;
using sync::OncePart;
using sync::OnceResult;
using Once = sync::basic_once<BellSystem, StagedMember>;

constexpr std::uint32_t kA = tenure_of(0);
constexpr std::uint32_t kB = tenure_of(1);
constexpr std::uint32_t kDone = OncePart::kDone;
constexpr std::uint32_t kAgain = OncePart::kAgain;
constexpr std::uint32_t kContended = OncePart::kContended;

class OnceSpec : public Watchdog {
 protected:
  [[nodiscard]] std::uint32_t word() const { return part_.word.load(); }

  OncePart part_{};
  std::set<std::uint32_t> living_{kA, kB};
  StagedMember a_member_{kA, &living_};
  StagedMember b_member_{kB, &living_};
  Once a_{part_, a_member_};
  Once b_{part_, b_member_};
};

TEST_F(OnceSpec, TheFirstOneDoesItAndNobodyElse) {
  int times = 0;
  EXPECT_FALSE(a_.done());
  EXPECT_EQ(a_.call([&](bool again) {
    ++times;
    EXPECT_FALSE(again);
    EXPECT_EQ(word(), kA);
  }),
            OnceResult::kDone);
  EXPECT_EQ(word(), kDone);
  EXPECT_TRUE(b_.done());
  EXPECT_EQ(b_.call([&] { ++times; }), OnceResult::kDone);
  EXPECT_EQ(times, 1);
}

TEST_F(OnceSpec, OthersWaitUntilItIsDone) {
  std::atomic<int> times{0};
  std::vector<std::thread> others;
  a_.call([&] {
    for (int i = 0; i < 3; ++i) {
      others.emplace_back([&] {
        EXPECT_EQ(b_.call([&] { ++times; }), OnceResult::kDone);
        EXPECT_EQ(times, 1);
      });
    }
    while ((word() & kContended) == 0) std::this_thread::yield();
    ++times;
  });
  for (std::thread& other : others) other.join();
  EXPECT_EQ(times, 1);
}

TEST_F(OnceSpec, AWaitEndsAtItsDeadline) {
  a_.call([&] {
    EXPECT_EQ(b_.call([] { ADD_FAILURE(); }, Deadline::now()), OnceResult::kTimedOut);
    EXPECT_EQ(b_.call([] { ADD_FAILURE(); }, Deadline::after(3ms)), OnceResult::kTimedOut);
    EXPECT_EQ(a_.call([] { ADD_FAILURE(); }, Deadline::after(3ms)), OnceResult::kTimedOut);
  });
}

TEST_F(OnceSpec, TheTurnOfOneThatDiedGoesToTheNext) {
  living_.erase(kA);
  for (const std::uint32_t marks : {0u, kContended, kAgain}) {
    part_.word = kA | marks;
    bool told = false;
    EXPECT_EQ(b_.call([&](bool again) { told = again; }), OnceResult::kDone);
    EXPECT_TRUE(told);
    EXPECT_EQ(word(), kDone);
  }
}

TEST_F(OnceSpec, TheTurnOfOneThatThrowsGoesToTheNext) {
  EXPECT_THROW(a_.call([] { throw std::runtime_error("no"); }), std::runtime_error);
  EXPECT_EQ(word(), kAgain);
  bool told = false;
  EXPECT_EQ(b_.call([&](bool again) { told = again; }), OnceResult::kDone);
  EXPECT_TRUE(told);
  EXPECT_EQ(word(), kDone);
}

TEST_F(OnceSpec, TheLivingAreAskedAfterButKeepTheirTurn) {
  part_.word = kA;
  EXPECT_EQ(b_.call([] { ADD_FAILURE(); }, Deadline::after(150ms)), OnceResult::kTimedOut);
  EXPECT_GE(b_member_.asked, 1u);
  EXPECT_EQ(word(), kA | kContended);
}

TEST_F(OnceSpec, OneMayDoAnotherInside) {
  OncePart inner_part{};
  Once inner(inner_part, a_member_);
  int times = 0;
  a_.call([&] { inner.call([&] { ++times; }); });
  EXPECT_EQ(times, 1);
  EXPECT_TRUE(a_.done());
  EXPECT_TRUE(inner.done());
}

TEST_F(OnceSpec, WhoIsNoMemberDoesNothing) {
  const StagedMember nobody{0, &living_};
  Once stranger(part_, nobody);
  EXPECT_EQ(stranger.call([] { ADD_FAILURE(); }), OnceResult::kNoMember);
  EXPECT_EQ(word(), 0u);
  part_.word = kDone;
  EXPECT_EQ(stranger.call([] { ADD_FAILURE(); }), OnceResult::kDone);
}

TEST_F(OnceSpec, AnyWordEndsInAnAnswer) {
  for (const std::uint32_t low : {0u, kDone, 2u, 1023u, kA, kB, kA + 7, 0x3FFF'FFFFu}) {
    for (const std::uint32_t marks : {0u, kAgain, kContended, kAgain | kContended}) {
      part_.word = low | marks;
      int times = 0;
      const OnceResult result = b_.call([&] { ++times; }, Deadline::after(3ms));
      const bool lives = low == kA || low == kB;
      EXPECT_EQ(result, lives ? OnceResult::kTimedOut : OnceResult::kDone);
      EXPECT_EQ(times, lives || (low | marks) == kDone ? 0 : 1);
    }
  }
  // What a peer makes another one's stays so.
  part_.word = 0;
  b_.call([&] { part_.word = kA; });
  EXPECT_EQ(word(), kA);
}

TEST_F(OnceSpec, ByANameItKeepsThatItWasDone) {
  ShmName name;
  const std::string url = "shm:" + name.word();
  const auto open = [&] { return sync::named<sync::once>(url).value(); };
  { const auto looks = open(); }
  EXPECT_FALSE(std::filesystem::exists(name.path()));
  {
    auto one = open();
    one.call([] {});
  }
  EXPECT_TRUE(open().done());
}

TEST_F(OnceSpec, AmongProcessesThatDieInsideOneDoesIt) {
  ShmName name;
  const std::string url = "shm:" + name.word();
  struct Books {
    std::atomic<int> began, done;
  };
  Shared<Books> books;
  auto mine = sync::named<sync::once>(url).value();
  for (int i = 0; i < 3; ++i) {
    Child child([&] {
      auto theirs = sync::named<sync::once>(url).value();
      theirs.call([&] {
        ++books->began;
        for (;;) pause();
      });
      return 0;
    });
    while (books->began != i + 1) usleep(100);
    EXPECT_EQ(mine.call([] { ADD_FAILURE(); }, Deadline::now()), OnceResult::kTimedOut);
    child.signal(SIGSTOP);
    child.join_stop();
    EXPECT_EQ(mine.call([] { ADD_FAILURE(); }, Deadline::after(100ms)), OnceResult::kTimedOut);
    child.signal(SIGKILL);
    child.join();
  }
  std::vector<std::unique_ptr<Child>> children;
  for (int i = 0; i < 3; ++i) {
    children.push_back(std::make_unique<Child>([&] {
      auto theirs = sync::named<sync::once>(url).value();
      return theirs.call([&](bool again) { books->done += again ? 1 : 100; }) == OnceResult::kDone
                 ? 0
                 : 1;
    }));
  }
  // A child that was forked from one that does it is nobody.
  Child child([&] { return mine.call([] {}) == OnceResult::kNoMember || mine.done() ? 0 : 1; });
  EXPECT_EQ(mine.call([&](bool again) { books->done += again ? 1 : 100; }), OnceResult::kDone);
  for (const auto& one : children) EXPECT_EQ(one->join(), 0);
  EXPECT_EQ(child.join(), 0);
  EXPECT_EQ(books->done, 1);
}

}  // namespace
}  // namespace rondo::testing
