// Contract of primitives opened by a name, shown with the mutex. Each line has a test of the same
// name, in this order.
//  1. SeveralHandlesAreOneMutex
//  2. WhatHoldsSomethingElseIsRefusedAndStays
//  3. TheLastOneWhoLeavesTakesTheNameAway
//  4. ADeadOwnersMutexKeepsItsNameAndTellsTheNextOne
//  5. WhoLeavesWithItLockedCountsAsDead
//  6. OneThatIsNotRecoverableKeepsItsName
//  7. KeepKeepsTheName
//  8. OneThatWasMovedLeavesOnce
//  9. AFileHoldsOneToo
// 10. OneMayBePlacedBesideWhatItGuards
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstdint>
#include <filesystem>
#include <mutex>
#include <optional>

#include "rondo/core/spsc_open.hpp"
#include "rondo/sync/mutex.hpp"
#include "rondo/sync/named.hpp"
#include "support/processes.hpp"
#include "support/segment_fixture.hpp"

namespace rondo::testing {
namespace {

using namespace std::chrono_literals;
using sync::LockResult;
using sync::mutex;
using sync::named;
using NamedMutex = sync::Named<mutex>;

class NamedPrimitive : public Watchdog {
 protected:
  [[nodiscard]] bool is_there() const { return std::filesystem::exists(name_.path()); }
  [[nodiscard]] NamedMutex open(bool keep = false) const {
    auto opened = named<mutex>(url_, {}, {.keep = keep});
    if (!opened) ADD_FAILURE() << opened.error().message;
    return std::move(opened).value();
  }

  ShmName name_;
  std::string url_ = "shm:" + name_.word();
};

TEST_F(NamedPrimitive, SeveralHandlesAreOneMutex) {
  NamedMutex one = open();
  NamedMutex two = open();
  {
    const std::lock_guard lock(one);
    EXPECT_FALSE(two.try_lock());
    EXPECT_FALSE(two.unlock());
  }
  EXPECT_TRUE(two.try_lock());
  EXPECT_FALSE(two.owner_died());
  EXPECT_TRUE(two.unlock());
}

TEST_F(NamedPrimitive, WhatHoldsSomethingElseIsRefusedAndStays) {
  const auto ring = spsc_ring<int>::open_producer(url_);
  ASSERT_TRUE(ring);
  EXPECT_EQ(code_of(named<mutex>(url_)), code_of(ErrorCode::kBadKind));
  ShmName other;
  const auto object = common<std::uint32_t>::open("shm:" + other.word());
  ASSERT_TRUE(object);
  EXPECT_EQ(code_of(named<mutex>("shm:" + other.word())), code_of(ErrorCode::kGeometryMismatch));
  EXPECT_EQ(code_of(named<mutex>("orders")), code_of(ErrorCode::kInvalidUrl));
  EXPECT_TRUE(is_there());
}

TEST_F(NamedPrimitive, TheLastOneWhoLeavesTakesTheNameAway) {
  NamedMutex one = open();
  {
    NamedMutex two = open();
    two.lock();
    two.unlock();
  }
  EXPECT_TRUE(is_there());
  EXPECT_TRUE(one.leave());
  EXPECT_FALSE(is_there());
  EXPECT_FALSE(one.leave());
}

TEST_F(NamedPrimitive, ADeadOwnersMutexKeepsItsNameAndTellsTheNextOne) {
  run_and_kill([&] {
    static NamedMutex victim = open();
    return victim.try_lock() ? 0 : 1;
  });
  EXPECT_TRUE(is_there());
  { const NamedMutex passer_by = open(); }
  EXPECT_TRUE(is_there());
  {
    NamedMutex next = open();
    EXPECT_EQ(next.acquire(), LockResult::kOwnerDied);
    EXPECT_TRUE(next.make_consistent());
    EXPECT_TRUE(next.unlock());
  }
  EXPECT_FALSE(is_there());
}

TEST_F(NamedPrimitive, WhoLeavesWithItLockedCountsAsDead) {
  { open().lock(); }
  EXPECT_TRUE(is_there());
  EXPECT_EQ(open().acquire(), LockResult::kOwnerDied);
}

TEST_F(NamedPrimitive, OneThatIsNotRecoverableKeepsItsName) {
  { open().lock(); }
  {
    NamedMutex careless = open();
    careless.lock();
    careless.unlock();
  }
  EXPECT_TRUE(is_there());
  EXPECT_EQ(open().acquire(), LockResult::kNotRecoverable);
}

TEST_F(NamedPrimitive, KeepKeepsTheName) {
  { const NamedMutex one = open(true); }
  EXPECT_TRUE(is_there());
  { const NamedMutex one = open(); }
  EXPECT_FALSE(is_there());
}

TEST_F(NamedPrimitive, OneThatWasMovedLeavesOnce) {
  std::optional<NamedMutex> one = open();
  NamedMutex two = std::move(*one);
  one.reset();
  EXPECT_TRUE(is_there());
  const std::lock_guard lock(two);
  ShmName other;
  NamedMutex three = named<mutex>("shm:" + other.word()).value();
  three = open();
  EXPECT_FALSE(std::filesystem::exists(other.path()));
  EXPECT_FALSE(three.try_lock());
}

TEST_F(NamedPrimitive, AFileHoldsOneToo) {
  Directory directory;
  {
    auto one = named<mutex>("file:" + directory.path("lock"));
    ASSERT_TRUE(one) << one.error().message;
    EXPECT_TRUE(one->try_lock());
    EXPECT_TRUE(one->unlock());
  }
  EXPECT_TRUE(directory.empty());
}

TEST_F(NamedPrimitive, OneMayBePlacedBesideWhatItGuards) {
  struct Account {
    sync::MutexPart mutex;
    std::int64_t balance;
  };
  auto one = common<Account>::open(url_);
  auto two = common<Account>::open(url_);
  ASSERT_TRUE(one && two);
  const auto me = sync::member::of(one->participants());
  const auto you = sync::member::of(two->participants());
  ASSERT_TRUE(me && you);
  EXPECT_NE(me->tenure(), you->tenure());
  mutex mine(one->parts().object->mutex, *me);
  mutex yours(two->parts().object->mutex, *you);
  {
    const std::lock_guard lock(mine);
    one->parts().object->balance = 7;
    EXPECT_FALSE(yours.try_lock());
  }
  const std::lock_guard lock(yours);
  EXPECT_EQ(two->parts().object->balance, 7);
  // Left with it locked: the kernel's word, at once.
  EXPECT_FALSE(mine.try_lock());
  two->leave([](bool) { return false; });
  EXPECT_EQ(mine.acquire(Deadline::now()), LockResult::kOwnerDied);
}

}  // namespace
}  // namespace rondo::testing
