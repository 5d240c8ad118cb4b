// Contract of Participants. Each line has a test of the same name, in this order.
//  1. OneJoinsTheFirstFreeSlot
//  2. TheTableSaysWhoIsThere
//  3. ASecondHolderOfTheOnlySlotIsRefusedAndToldWhoHasIt
//  4. WhenAllSlotsAreTakenThereIsNone
//  5. OneJoinsOnce
//  6. SlotsBeyondTheTableAreRefused
//  7. ASlotThatWasLeftIsFreeAgain
//  8. TheLastToLeaveIsToldAndRemovesTheName
//  9. TheNameStaysWhenAskedTo
// 10. LeavingWithoutHavingJoinedDoesNothing
// 11. NoProcessJoinsWhatHasLostItsName
// 12. JoiningWaitsForMembershipNoLongerThanAsked
// 13. LeavingWorksWithoutMembershipButRemovesNothing
// 14. RecoveryRunsUnderTheSlotsLockBeforeItIsTaken
// 15. ASlotThatCantBeRecoveredYetIsPassedOver
// 16. ADeathIsTakenOverAndReported
// 17. TheDeadAreShownUntilTheirSlotsAreTaken
// 18. OnesOwnSlotIsNeverDead
// 19. ADeadSlotIsLockedByOneAtATime
// 20. NamesAreCutAtWholeCharacters
// 21. ScribbledTablesAreShownWithoutHarmAndDecideNothing
// 22. TooSmallSegmentsHaveNoTable
// 23. AReadersLockIsToldFromALiveParticipants
// 24. ATenureStandsForOneMembershipOfASlot
// 25. ATenureEndsWhenItsHolderLeavesOrDies
// 26. ATenureTakesAMembership
// 27. ScribbledGenerationsGiveNoTwoTheSameTenure
#include "rondo/core/participants.hpp"

#include <fcntl.h>

#include <atomic>
#include <cstring>
#include <optional>
#include <random>
#include <utility>

#include "rondo/core/mpmc_ring_recovery.hpp"
#include "support/processes.hpp"
#include "support/segment_fixture.hpp"

namespace rondo {
namespace {

using namespace rondo::testing;
using std::chrono::milliseconds;
using ::testing::ElementsAre;
using ::testing::Field;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

static_assert(MpmcLiveness<Participants>);

constexpr JoinRequest kAnySlot{.first_slot = 0, .slot_count = 4, .role = Role::kBoth};
constexpr JoinRequest kProducerSlot{.first_slot = 0, .slot_count = 1, .role = Role::kProducer};

class ParticipantsOf : public Watchdog {
 protected:
  Participants open() { return participants_of(segment_); }
  ParticipantEntry& entry(std::uint32_t slot) {
    return reinterpret_cast<ParticipantEntry*>(segment_.bytes().data() + kParticipantTable)[slot];
  }
  bool name_exists() { return std::filesystem::exists(name_.path()); }

  ShmName name_;
  Segment segment_ = sound(create_small(name_));
};

TEST_F(ParticipantsOf, OneJoinsTheFirstFreeSlot) {
  Participants one = open();
  Participants two = open();
  EXPECT_FALSE(one.slot());

  const auto first = one.join(kAnySlot);
  const auto second = two.join(kAnySlot);

  ASSERT_TRUE(first) << first.error().message;
  EXPECT_EQ(first->slot, 0u);
  EXPECT_EQ(first->generation, 1u);
  EXPECT_FALSE(first->predecessor_died);
  ASSERT_TRUE(second);
  EXPECT_EQ(second->slot, 1u);
  EXPECT_EQ(two.slot(), 1u);
}

TEST_F(ParticipantsOf, TheTableSaysWhoIsThere) {
  Participants one = open();
  Participants two = open();
  ASSERT_TRUE(one.join({.first_slot = 0, .role = Role::kProducer, .name = "camera"}));
  ASSERT_TRUE(two.join({.first_slot = 3, .role = Role::kConsumer}));

  const auto all = one.snapshot();

  ASSERT_EQ(all.size(), 2u);
  EXPECT_EQ(all[0].slot, 0u);
  EXPECT_TRUE(all[0].alive);
  EXPECT_EQ(all[0].pid, static_cast<std::uint32_t>(getpid()));
  EXPECT_EQ(all[0].role, Role::kProducer);
  EXPECT_EQ(all[0].generation, 1u);
  EXPECT_GT(all[0].attached_unix_ns, std::uint64_t{1'600'000'000} * 1'000'000'000);
  EXPECT_EQ(all[0].name, "camera");
  EXPECT_EQ(all[1].slot, 3u);
  EXPECT_EQ(all[1].role, Role::kConsumer);
  EXPECT_EQ(all[1].name, "participants_spec");  // the program's
}

TEST_F(ParticipantsOf, ASecondHolderOfTheOnlySlotIsRefusedAndToldWhoHasIt) {
  Participants one = open();
  Participants two = open();
  ASSERT_TRUE(one.join({.role = Role::kProducer, .name = "camera"}));

  const auto second = two.join(kProducerSlot);

  EXPECT_EQ(code_of(second), code_of(ErrorCode::kBusy));
  EXPECT_THAT(message_of(second), HasSubstr("shm:" + name_.word()));
  EXPECT_THAT(message_of(second), HasSubstr("live producer"));
  EXPECT_THAT(message_of(second), HasSubstr(std::to_string(getpid()) + " 'camera'"));
  EXPECT_THAT(message_of(second), HasSubstr("kind=mpmc"));
  EXPECT_FALSE(two.slot());
}

TEST_F(ParticipantsOf, WhenAllSlotsAreTakenThereIsNone) {
  std::vector<Participants> all;
  for (int i = 0; i < 4; ++i) {
    all.push_back(open());
    ASSERT_TRUE(all.back().join(kAnySlot));
  }
  Participants late = open();
  EXPECT_EQ(code_of(late.join(kAnySlot)), code_of(ErrorCode::kNoSlot));
  all.pop_back();
  EXPECT_TRUE(late.join(kAnySlot));
}

TEST_F(ParticipantsOf, OneJoinsOnce) {
  Participants one = open();
  ASSERT_TRUE(one.join(kAnySlot));
  const auto again = one.join(kAnySlot);
  EXPECT_EQ(code_of(again), code_of(ErrorCode::kNoSlot));
  EXPECT_THAT(message_of(again), HasSubstr("holds slot 0"));
  EXPECT_EQ(one.slot(), 0u);
  EXPECT_FALSE(open().is_dead(0));
}

TEST_F(ParticipantsOf, SlotsBeyondTheTableAreRefused) {
  Participants one = open();
  EXPECT_EQ(one.count(), 4u);
  const std::uint32_t kMax = ~0u;
  for (const auto& [first, count] :
       {std::pair{4u, 1u}, {0u, 5u}, {3u, 2u}, {0u, 0u}, {1u, kMax}, {kMax, 1u}, {kMax, kMax}}) {
    const auto refused = one.join({.first_slot = first, .slot_count = count});
    EXPECT_EQ(code_of(refused), code_of(ErrorCode::kNoSlot));
    EXPECT_THAT(message_of(refused), HasSubstr("made for 4 participants"));
    EXPECT_THAT(message_of(refused), HasSubstr("readers=N"));  // what would help
  }
  EXPECT_FALSE(one.try_lock_dead(4));
}

TEST_F(ParticipantsOf, ASlotThatWasLeftIsFreeAgain) {
  Participants one = open();
  Participants two = open();
  ASSERT_TRUE(one.join(kProducerSlot));
  one.leave(false);
  EXPECT_FALSE(one.slot());

  const auto joined = two.join(kProducerSlot);

  ASSERT_TRUE(joined);
  EXPECT_EQ(joined->generation, 2u);
  EXPECT_FALSE(joined->predecessor_died);
}

TEST_F(ParticipantsOf, TheLastToLeaveIsToldAndRemovesTheName) {
  Participants one = open();
  Participants two = open();
  ASSERT_TRUE(one.join(kAnySlot));
  ASSERT_TRUE(two.join(kAnySlot));

  EXPECT_FALSE(one.leave(true));
  EXPECT_TRUE(name_exists());
  EXPECT_TRUE(two.leave(true));
  EXPECT_FALSE(name_exists());
}

TEST_F(ParticipantsOf, TheNameStaysWhenAskedTo) {
  Participants one = open();
  ASSERT_TRUE(one.join(kAnySlot));
  EXPECT_TRUE(one.leave(false));
  EXPECT_TRUE(name_exists());
}

TEST_F(ParticipantsOf, LeavingWithoutHavingJoinedDoesNothing) {
  Participants one = open();
  EXPECT_FALSE(one.leave(true));
  EXPECT_TRUE(name_exists());
  ASSERT_TRUE(one.join(kAnySlot));
  EXPECT_TRUE(one.leave(true));
  EXPECT_FALSE(one.leave(true));
}

TEST_F(ParticipantsOf, NoProcessJoinsWhatHasLostItsName) {
  Participants last = open();
  Participants late = open();
  ASSERT_TRUE(last.join(kAnySlot));
  ASSERT_TRUE(last.leave(true));

  EXPECT_EQ(code_of(late.join(kAnySlot)), code_of(ErrorCode::kReplaced));
  EXPECT_FALSE(late.slot());
  // Also when something else has the name now.
  const Segment anew = sound(create_small(name_));
  EXPECT_EQ(code_of(late.join(kAnySlot)), code_of(ErrorCode::kReplaced));
}

TEST_F(ParticipantsOf, JoiningWaitsForMembershipNoLongerThanAsked) {
  auto stuck = LivenessLock::open(segment_);
  ASSERT_TRUE(stuck && stuck->lock_membership(milliseconds(0)));
  Participants one = open();
  JoinRequest request = kAnySlot;
  request.timeout = milliseconds(10);
  EXPECT_EQ(code_of(one.join(request)), code_of(ErrorCode::kTimedOut));
  stuck->unlock_membership();
  EXPECT_TRUE(one.join(request));
}

TEST_F(ParticipantsOf, LeavingWorksWithoutMembershipButRemovesNothing) {
  Participants one = open();
  ASSERT_TRUE(one.join(kAnySlot));
  auto stuck = LivenessLock::open(segment_);
  ASSERT_TRUE(stuck && stuck->lock_membership(milliseconds(0)));

  EXPECT_FALSE(one.leave(true, milliseconds(10)));

  EXPECT_TRUE(name_exists());
  EXPECT_FALSE(stuck->held_by_other(0));
}

TEST_F(ParticipantsOf, RecoveryRunsUnderTheSlotsLockBeforeItIsTaken) {
  Participants watcher = open();
  Participants one = open();
  std::vector<std::uint32_t> recovered;
  const auto joined = one.join(kAnySlot, [&](std::uint32_t slot) {
    recovered.push_back(slot);
    EXPECT_FALSE(watcher.is_dead(slot));
    EXPECT_FALSE(one.is_dead(slot));
    EXPECT_EQ(entry(slot).pid.load(), 0u);  // not entered yet
    return true;
  });
  EXPECT_TRUE(joined);
  EXPECT_THAT(recovered, ElementsAre(0u));
}

TEST_F(ParticipantsOf, ASlotThatCantBeRecoveredYetIsPassedOver) {
  Participants one = open();
  const auto joined = one.join(kAnySlot, [](std::uint32_t slot) { return slot == 2; });
  ASSERT_TRUE(joined);
  EXPECT_EQ(joined->slot, 2u);

  Participants two = open();
  EXPECT_TRUE(two.is_dead(0));
  EXPECT_EQ(code_of(two.join(kAnySlot, [](std::uint32_t) { return false; })),
            code_of(ErrorCode::kNoSlot));
  EXPECT_FALSE(two.slot());
  EXPECT_TRUE(one.is_dead(0));
}

TEST_F(ParticipantsOf, ADeathIsTakenOverAndReported) {
  {
    Participants dies = open();
    ASSERT_TRUE(dies.join(kProducerSlot));
  }
  Participants successor = open();
  const auto joined = successor.join(kProducerSlot);
  ASSERT_TRUE(joined);
  EXPECT_TRUE(joined->predecessor_died);
  EXPECT_EQ(joined->generation, 2u);
}

TEST_F(ParticipantsOf, TheDeadAreShownUntilTheirSlotsAreTaken) {
  Participants watcher = open();
  {
    Participants dies = open();
    ASSERT_TRUE(dies.join({.role = Role::kProducer, .name = "ghost"}));
  }
  auto all = watcher.snapshot();
  ASSERT_EQ(all.size(), 1u);
  EXPECT_FALSE(all[0].alive);
  EXPECT_EQ(all[0].name, "ghost");

  Participants successor = open();
  ASSERT_TRUE(successor.join(kProducerSlot));
  all = watcher.snapshot();
  ASSERT_EQ(all.size(), 1u);
  EXPECT_TRUE(all[0].alive);
  successor.leave(false);
  EXPECT_THAT(watcher.snapshot(), IsEmpty());
}

TEST_F(ParticipantsOf, OnesOwnSlotIsNeverDead) {
  Participants one = open();
  ASSERT_TRUE(one.join(kAnySlot));
  EXPECT_FALSE(one.is_dead(0));
  EXPECT_FALSE(one.try_lock_dead(0));
  one.unlock(0);  // nothing happens
  EXPECT_FALSE(open().is_dead(0));
  EXPECT_EQ(one.presence(0, 4), Presence::kAbsent);  // other than itself
  EXPECT_EQ(open().presence(0, 4), Presence::kPresent);
}

TEST_F(ParticipantsOf, ADeadSlotIsLockedByOneAtATime) {
  Participants one = open();
  Participants two = open();
  EXPECT_TRUE(one.is_dead(1));
  EXPECT_TRUE(one.try_lock_dead(1));
  EXPECT_FALSE(two.try_lock_dead(1));
  EXPECT_FALSE(two.is_dead(1));  // being recovered: not for others to touch
  one.unlock(1);
  EXPECT_TRUE(two.try_lock_dead(1));
}

TEST_F(ParticipantsOf, NamesAreCutAtWholeCharacters) {
  const std::string umlauts = "123456789012345678901234567890\u00e4\u00f6";  // 34 bytes
  Participants one = open();
  ASSERT_TRUE(one.join({.name = umlauts}));
  EXPECT_EQ(one.snapshot().at(0).name, umlauts.substr(0, 32));
  one.leave(false);
  ASSERT_TRUE(one.join({.name = "1" + umlauts}));
  EXPECT_EQ(one.snapshot().at(0).name, "1" + umlauts.substr(0, 30));
}

TEST_F(ParticipantsOf, ScribbledTablesAreShownWithoutHarmAndDecideNothing) {
  std::mt19937_64 random(random_seed());
  Participants one = open();
  ASSERT_TRUE(one.join(kProducerSlot));
  Participants two = open();
  for (int i = 0; i < 2'000; ++i) {
    auto* bytes = segment_.bytes().data() + kParticipantTable;
    for (std::size_t k = 0; k < 4 * sizeof(ParticipantEntry); ++k) {
      bytes[k] = static_cast<std::byte>(random());
    }
    for (const ParticipantInfo& info : two.snapshot()) {
      EXPECT_EQ(info.alive, info.slot == 0);
      EXPECT_FALSE(to_string(info.role).empty());
      EXPECT_LE(info.name.size(), kParticipantNameBytes);
      for (const char c : info.name) EXPECT_TRUE(static_cast<unsigned char>(c) >= 0x20 && c != 127);
    }
  }
  std::memcpy(static_cast<void*>(entry(0).name), "\x1b[2Jx\xc2\x9by\xe2\x80\xaez\xff\xc3", 15);
  EXPECT_THAT(two.snapshot().at(0).name, ::testing::StartsWith("?[2Jx?"
                                                               "?y?"
                                                               "?"
                                                               "?z?"));
  // A forged orderly close frees nothing, a forged presence occupies nothing.
  entry(0).pid = 0;
  EXPECT_EQ(code_of(two.join(kProducerSlot)), code_of(ErrorCode::kBusy));
  entry(1).pid = 1;
  const auto joined = two.join({.first_slot = 1});
  ASSERT_TRUE(joined);
  EXPECT_EQ(joined->slot, 1u);
}

TEST_F(ParticipantsOf, TooSmallSegmentsHaveNoTable) {
  Geometry geometry = small_geometry();
  for (const std::uint32_t count : {kMaxParticipants, kMaxParticipants + 1, ~0u}) {
    geometry.participants = count;
    EXPECT_EQ(code_of(Participants::open(segment_, geometry)), code_of(ErrorCode::kTooSmall));
  }
}

// A process that may only read the segment: shared locks on the membership byte, on the slots.
TEST_F(ParticipantsOf, AReadersLockIsToldFromALiveParticipants) {
  Participants one = open();
  ASSERT_TRUE(one.join(kProducerSlot));
  for (const std::uint64_t first : {kMembershipByte, kLockBase}) {
    const int reading = ::open(name_.path().c_str(), O_RDONLY | O_CLOEXEC);
    struct flock lock {};
    lock.l_type = F_RDLCK;
    lock.l_start = static_cast<off_t>(first == kLockBase ? first + 1 : first);
    lock.l_len = first == kLockBase ? 3 : 1;
    ASSERT_EQ(fcntl(reading, F_OFD_SETLK, &lock), 0);

    Participants late = open();
    JoinRequest request = kAnySlot;
    request.timeout = milliseconds(1);
    const auto joined = late.join(request);
    ASSERT_FALSE(joined);
    EXPECT_EQ(joined.error().code, ErrorCode::kBusy);
    EXPECT_THAT(joined.error().message, HasSubstr("may only read it"));
    EXPECT_TRUE(late.is_dead(1));
    EXPECT_FALSE(late.is_dead(0));
    if (first == kLockBase) {  // the producer's slot has a live owner, who is named
      EXPECT_THAT(message_of(late.join(kProducerSlot)), HasSubstr("live producer"));
    }
    close(reading);
    EXPECT_TRUE(late.join(request));
  }
}

TEST_F(ParticipantsOf, ATenureStandsForOneMembershipOfASlot) {
  std::uint32_t before = 0;
  for (std::uint32_t generation = 1; generation <= 3; ++generation) {
    Participants one = open();
    ASSERT_TRUE(one.join({.first_slot = 2}));
    const auto tenure = one.tenure();
    ASSERT_TRUE(tenure) << tenure.error().message;
    EXPECT_EQ((*tenure)->load(), generation * kFirstTenure + 2);
    EXPECT_EQ(*one.tenure(), *tenure);
    EXPECT_FALSE(one.tenure_ended((*tenure)->load()));
    if (before != 0) {
      EXPECT_TRUE(one.tenure_ended(before));
    }
    before = (*tenure)->load();
  }
}

TEST_F(ParticipantsOf, ATenureEndsWhenItsHolderLeavesOrDies) {
  Participants watcher = open();
  for (const bool in_order : {true, false}) {
    std::optional<Participants> one = open();
    ASSERT_TRUE(one->join(kProducerSlot));
    const Atomic<std::uint32_t>* const word = *one->tenure();
    const std::uint32_t tenure = word->load();
    EXPECT_FALSE(watcher.tenure_ended(tenure));
    const Participants moved = std::move(*one);
    EXPECT_EQ(word->load(), tenure);
    one.emplace(std::move(const_cast<Participants&>(moved)));
    if (in_order) {
      one->leave(false);
      EXPECT_EQ(word->load(), 0u);
    } else {
      one.reset();
    }
    EXPECT_TRUE(watcher.tenure_ended(tenure));
  }
}

TEST_F(ParticipantsOf, ATenureTakesAMembership) {
  Participants one = open();
  Participants two = open();
  ASSERT_TRUE(two.join({.first_slot = 2}));
  EXPECT_FALSE(one.is_dead(2));
  for (const std::uint32_t nobodys : {0u, 2u, kFirstTenure + 2, ~0u}) {
    EXPECT_TRUE(one.tenure_ended(nobodys));
  }
  EXPECT_EQ(code_of(one.tenure()), code_of(ErrorCode::kNoSlot));
  ASSERT_TRUE(one.join(kProducerSlot));
  EXPECT_TRUE(one.tenure());
  one.leave(false);
  EXPECT_EQ(code_of(one.tenure()), code_of(ErrorCode::kNoSlot));
  ASSERT_TRUE(one.join(kProducerSlot));
  ASSERT_TRUE(one.tenure());
  EXPECT_EQ((*one.tenure())->load(), 2 * kFirstTenure);
}

TEST_F(ParticipantsOf, NoTwoMembershipsInARowHaveTheSameTenure) {
  constexpr std::uint32_t kTerms = (1u << kTenureBits) / kFirstTenure;
  for (const std::uint32_t begin : {0u, kTerms - 3, 5 * kTerms - 2, ~0u - 2}) {
    entry(1).generation = begin;
    std::uint32_t last = 0;
    for (int i = 0; i < 6; ++i) {
      Participants one = open();
      ASSERT_TRUE(one.join({.first_slot = 1}));
      ASSERT_TRUE(one.tenure());
      EXPECT_NE((*one.tenure())->load(), last) << "generation " << entry(1).generation.load();
      last = (*one.tenure())->load();
    }
  }
  // Also where a term was passed over, because another process had its lock.
  entry(1).generation = 7;
  LivenessLock peer = LivenessLock::open(segment_).value();
  ASSERT_TRUE(peer.try_hold(8 * kFirstTenure + 1));
  std::uint32_t last = 0;
  for (int i = 0; i < 3; ++i) {
    Participants one = open();
    ASSERT_TRUE(one.join({.first_slot = 1}));
    ASSERT_TRUE(one.tenure());
    EXPECT_NE((*one.tenure())->load(), last);
    last = (*one.tenure())->load();
    peer.drop(8 * kFirstTenure + 1);
  }
}

TEST_F(ParticipantsOf, ScribbledGenerationsGiveNoTwoTheSameTenure) {
  Participants one = open();
  ASSERT_TRUE(one.join(kProducerSlot));
  ASSERT_TRUE(one.tenure());
  const std::uint32_t first = (*one.tenure())->load();
  for (const std::uint32_t generation : {0u, 1u, 1u << 20, ~0u}) {
    Participants two = open();
    ASSERT_TRUE(two.join({.first_slot = 1}));
    entry(1).generation = generation;
    const auto tenure = two.tenure();
    ASSERT_TRUE(tenure);
    EXPECT_GE((*tenure)->load(), kFirstTenure);
    EXPECT_EQ((*tenure)->load() >> kTenureBits, 0u);
    EXPECT_NE((*tenure)->load(), first);
  }
  // All that were to be had are taken.
  LivenessLock peer = LivenessLock::open(segment_).value();
  for (std::uint32_t term = 1; term <= 64; ++term) {
    ASSERT_TRUE(peer.try_hold(term * kFirstTenure + 3));
  }
  Participants late = open();
  ASSERT_TRUE(late.join({.first_slot = 3}));
  EXPECT_EQ(code_of(late.tenure()), code_of(ErrorCode::kBusy));
}

}  // namespace
}  // namespace rondo
