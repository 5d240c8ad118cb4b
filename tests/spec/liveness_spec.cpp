// Contract of LivenessLock. Each line has a test of the same name, in this order.
//  1. AFreeSlotHasNoHolder
//  2. OneHolderExcludesAllOthers
//  3. SlotsAreIndependent
//  4. WhatOneHoldsOneselfDoesNotCount
//  5. DroppedIsFree
//  6. TheEndOfTheObjectFreesAll
//  7. MovingKeepsTheLocks
//  8. ARangeIsAskedAtOnce
//  9. TheMembershipLockHasOneHolder
// 10. WaitingForMembershipEnds
// 11. MembershipGoesToAWaiterWhenItIsFree
// 12. ReadersCanAskButNotHold
// 13. AReadersLockProvesNoLife
// 14. TheSegmentMayBeRemovedMeanwhile
// 15. ClosingOtherDescriptorsOfTheFileKeepsTheLocks
// 16. EveryBackingWithSeveralParticipantsHasLocks
#include "rondo/core/liveness.hpp"

#include <fcntl.h>
#include <unistd.h>

#include <atomic>
#include <thread>

#include "support/processes.hpp"
#include "support/segment_fixture.hpp"

namespace rondo {
namespace {

using namespace rondo::testing;
using std::chrono::hours;
using std::chrono::milliseconds;

LivenessLock open_lock(const Segment& segment) {
  auto lock = LivenessLock::open(segment);
  if (!lock) std::abort();
  return std::move(*lock);
}

class Liveness : public Watchdog {
 protected:
  ShmName name_;
  Segment segment_ = sound(create_small(name_));
  LivenessLock one_ = open_lock(segment_);
  LivenessLock two_ = open_lock(segment_);
};

TEST_F(Liveness, AFreeSlotHasNoHolder) {
  EXPECT_FALSE(one_.held_by_other(0));
  EXPECT_FALSE(one_.forked());
}

TEST_F(Liveness, OneHolderExcludesAllOthers) {
  EXPECT_TRUE(one_.try_hold(0));
  EXPECT_FALSE(two_.try_hold(0));
  EXPECT_TRUE(two_.held_by_other(0));
  EXPECT_TRUE(open_lock(sound(Segment::attach(name_))).held_by_other(0));
}

TEST_F(Liveness, SlotsAreIndependent) {
  EXPECT_TRUE(one_.try_hold(5));
  EXPECT_TRUE(two_.try_hold(4));
  EXPECT_TRUE(two_.try_hold(6));
  one_.drop(5);
  EXPECT_TRUE(one_.held_by_other(4));
  EXPECT_TRUE(one_.held_by_other(6));
}

TEST_F(Liveness, WhatOneHoldsOneselfDoesNotCount) {
  EXPECT_TRUE(one_.try_hold(0));
  EXPECT_FALSE(one_.held_by_other(0));
  EXPECT_TRUE(one_.try_hold(0));
}

TEST_F(Liveness, DroppedIsFree) {
  EXPECT_TRUE(one_.try_hold(0));
  two_.drop(0);  // not its own: nothing happens
  EXPECT_TRUE(two_.held_by_other(0));
  one_.drop(0);
  EXPECT_TRUE(two_.try_hold(0));
}

TEST_F(Liveness, TheEndOfTheObjectFreesAll) {
  {
    LivenessLock three = open_lock(segment_);
    EXPECT_TRUE(three.try_hold(0));
    EXPECT_TRUE(three.lock_membership(hours(1)));
    EXPECT_TRUE(one_.held_by_other(0));
  }
  EXPECT_FALSE(one_.held_by_other(0));
  EXPECT_TRUE(one_.lock_membership(milliseconds(0)));
}

TEST_F(Liveness, MovingKeepsTheLocks) {
  EXPECT_TRUE(one_.try_hold(0));
  LivenessLock moved = std::move(one_);
  EXPECT_TRUE(two_.held_by_other(0));
  one_ = open_lock(segment_);
  one_ = std::move(moved);
  EXPECT_TRUE(two_.held_by_other(0));
  EXPECT_FALSE(one_.held_by_other(0));
}

TEST_F(Liveness, ARangeIsAskedAtOnce) {
  EXPECT_TRUE(one_.try_hold(7));
  EXPECT_TRUE(two_.any_held_by_other(0, 8));
  EXPECT_TRUE(two_.any_held_by_other(7, 1));
  EXPECT_FALSE(two_.any_held_by_other(0, 7));
  EXPECT_FALSE(two_.any_held_by_other(8, 1000));
  EXPECT_FALSE(two_.any_held_by_other(0, 0));
  EXPECT_FALSE(one_.any_held_by_other(0, 8));
}

TEST_F(Liveness, TheMembershipLockHasOneHolder) {
  EXPECT_TRUE(one_.lock_membership(milliseconds(0)));
  EXPECT_FALSE(two_.lock_membership(milliseconds(0)));
  EXPECT_FALSE(two_.any_held_by_other(0, kMaxParticipants));  // it is no participant
  one_.unlock_membership();
  EXPECT_TRUE(two_.lock_membership(milliseconds(0)));
}

TEST_F(Liveness, WaitingForMembershipEnds) {
  EXPECT_TRUE(one_.lock_membership(milliseconds(0)));
  const auto start = std::chrono::steady_clock::now();
  EXPECT_FALSE(two_.lock_membership(milliseconds(30)));
  EXPECT_GE(std::chrono::steady_clock::now() - start, milliseconds(30));
}

TEST_F(Liveness, MembershipGoesToAWaiterWhenItIsFree) {
  EXPECT_TRUE(one_.lock_membership(milliseconds(0)));
  bool got = false;
  std::atomic<pid_t> id{0};
  std::thread waiter([&] {
    id = gettid();
    got = two_.lock_membership(hours(1));
  });
  while (id == 0) std::this_thread::yield();
  await_sleep(id);
  one_.unlock_membership();
  waiter.join();
  EXPECT_TRUE(got);
}

TEST_F(Liveness, ReadersCanAskButNotHold) {
  const Segment read_only = sound(Segment::attach(name_, {}, Access::kReadOnly));
  LivenessLock reader = open_lock(read_only);
  EXPECT_TRUE(one_.try_hold(0));
  EXPECT_TRUE(reader.held_by_other(0));
  EXPECT_FALSE(reader.held_by_other(1));
  EXPECT_FALSE(reader.try_hold(1));
  EXPECT_FALSE(reader.lock_membership(milliseconds(0)));
}

// Shared locks on every byte there is, by a descriptor that is open for reading alone.
TEST_F(Liveness, AReadersLockProvesNoLife) {
  const int reading = open(name_.path().c_str(), O_RDONLY | O_CLOEXEC);
  ASSERT_TRUE(one_.try_hold(0));
  struct flock lock {};
  lock.l_type = F_RDLCK;
  lock.l_start = static_cast<off_t>(kMembershipByte);
  lock.l_len = 1;
  ASSERT_EQ(fcntl(reading, F_OFD_SETLK, &lock), 0);
  lock.l_start = static_cast<off_t>(kLockBase + 1);
  lock.l_len = 0;  // to the end
  ASSERT_EQ(fcntl(reading, F_OFD_SETLK, &lock), 0);

  EXPECT_TRUE(two_.held_by_other(0));
  EXPECT_FALSE(two_.held_by_other(1));
  EXPECT_FALSE(two_.any_held_by_other(1, 8));
  EXPECT_FALSE(two_.membership_held_by_other());
  // What it can do is to keep others from holding.
  EXPECT_FALSE(two_.try_hold(1));
  EXPECT_FALSE(two_.lock_membership(milliseconds(0)));
  close(reading);
  EXPECT_TRUE(two_.try_hold(1));
  EXPECT_TRUE(two_.lock_membership(milliseconds(0)));
  EXPECT_TRUE(one_.membership_held_by_other());
}

TEST_F(Liveness, TheSegmentMayBeRemovedMeanwhile) {
  ASSERT_TRUE(Segment::remove(name_));
  LivenessLock three = open_lock(segment_);
  EXPECT_TRUE(three.try_hold(0));
  EXPECT_TRUE(one_.held_by_other(0));
}

// What fcntl's older locks (F_SETLK) get wrong.
TEST_F(Liveness, ClosingOtherDescriptorsOfTheFileKeepsTheLocks) {
  EXPECT_TRUE(one_.try_hold(0));
  close(open(name_.path().c_str(), O_RDWR));
  { const Segment again = sound(Segment::attach(name_)); }
  EXPECT_TRUE(two_.held_by_other(0));
}

TEST_F(Liveness, EveryBackingWithSeveralParticipantsHasLocks) {
  const Directory directory;
  for (const SegmentName& name :
       {directory.name("file"), SegmentName{Backing::kMemfd, {}},
        SegmentName{Backing::kAnonymous, {}}, SegmentName{Backing::kHeap, {}}}) {
    const Segment segment = sound(create_small(name));
    LivenessLock one = open_lock(segment);
    const LivenessLock two = open_lock(segment);
    EXPECT_TRUE(one.try_hold(0)) << to_string(name);
    EXPECT_TRUE(two.held_by_other(0)) << to_string(name);
  }
}

}  // namespace
}  // namespace rondo
