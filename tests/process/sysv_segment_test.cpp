// What rings in System V segments (sysv-shm:) have that other rings do not; what all have is in the
// conformance tests.
//
//   1. TheKeyLeadsToItAsLongAsTheRingIsThere
//   2. AKeyIsTheSameHoweverItIsWritten
//   3. AMessageWaitsInTheSegment
//   4. AKilledSenderIsDead
//   5. WhatAKilledMakerHasBegunIsMadeAnew
//   6. WhatAKilledMakerHasNotGivenItsPermissionsGetsThem
//   7. AMakerThatDoesNotFinishIsNamed
//   8. AnotherUserSeesThatOneIsBeingMade
//   9. ASegmentOfAnotherProgramStays
//  10. ARemovedSegmentIsMadeAnewBesideThoseWhoHaveIt
//  11. AFileWhoseSegmentHasGoneIsNoRing
//  12. AFileWhoseSegmentHasGoneGivesWayToANewOne
//  13. RemovingTakesAFileWhoseSegmentHasGone
//  14. AFileThatCanNotBeTidiedAwayIsToldOf
//  15. RemovingLeavesASegmentThatIsNotTheFiles
//  16. RemovingWithoutTheLockLeavesTheFile
//  17. TheModeOfThoseThatAreBeingMadeIsNobodyElses
//  18. AnUnfinishedOneWithItsFileStays
//  19. OneThatIsRemovedInTheMakingIsMadeAnew
//  20. ASegmentWithoutItsFileGoesWithTheLast
//  21. ARingWithoutItsFileIsMadeAnewWhenNobodyHasIt
//  22. AFileThatSaysSomethingElseIsRefused
//  23. ASegmentThatWasScribbledOverIsRefused
//  24. ASegmentOfAnotherUserIsRefused
//  25. ItsModeIsThatOfTheUrl
//  26. InAnotherNamespaceTheKeyIsAnotherOne
//  27. TheNamespaceIsTheThreads
//  28. RemovingTakesBoth
//  29. RemovingLeavesNoSegmentWithoutItsFile
//  30. OneThatCanNotBeLookedAtHasNotGone
//  31. ItStandsInTheList
//  32. LimitsOfTheSystemSayWhatToDo
#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sched.h>
#include <sys/ipc.h>
#include <sys/shm.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <chrono>
#include <csignal>
#include <cstdint>
#include <cstdio>
#include <cstring>
#include <string>
#include <thread>
#include <utility>

#include "process/stepper.hpp"
#include "rondo/core/liveness.hpp"
#include "rondo/core/segment_info.hpp"
#include "rondo/rondo.hpp"
#include "support/names.hpp"
#include "support/processes.hpp"

namespace rondo::testing {
namespace {

using ::testing::HasSubstr;

constexpr std::size_t kForeignBytes = 8192;
constexpr int kUnfinished = 0611;

class SysvSegments : public Watchdog {
 protected:
  [[nodiscard]] Result<Sender> sender(const std::string& more = "") const {
    return Sender::open(url_ + "?capacity=4KiB" + more);
  }
  // Waits for no sender that does not come.
  [[nodiscard]] Result<Receiver> receiver() const {
    OpenOptions soon;
    soon.wait = Deadline::after(std::chrono::seconds(60));
    return Receiver::open(url_ + "?start=join", soon);
  }
  void expect_a_new_ring_works() const {
    auto sends = sender();
    ASSERT_TRUE(sends) << sends.error().message;
    auto receives = receiver();
    ASSERT_TRUE(receives) << receives.error().message;
    ASSERT_EQ(sends->send("new"), Status::kOk);
    const auto message = receives->next();
    ASSERT_TRUE(message);
    EXPECT_EQ(message->text(), "new");
  }
  [[nodiscard]] bool file_is_there() const { return access(file_.c_str(), F_OK) == 0; }
  static struct flock membership_lock() {
    struct flock lock = {};
    lock.l_type = F_WRLCK;
    lock.l_whence = SEEK_SET;
    lock.l_start = static_cast<off_t>(kMembershipByte);
    lock.l_len = 1;
    return lock;
  }
  [[nodiscard]] bool membership_locked() const {
    const int fd = ::open(file_.c_str(), O_RDWR | O_CLOEXEC);
    struct flock lock = membership_lock();
    const bool locked = fd >= 0 && fcntl(fd, F_OFD_GETLK, &lock) == 0 && lock.l_type != F_UNLCK;
    if (fd >= 0) close(fd);
    return locked;
  }
  [[nodiscard]] shmid_ds state() const {
    shmid_ds found{};
    EXPECT_EQ(shmctl(segment_at(key_), IPC_STAT, &found), 0);
    return found;
  }
  [[nodiscard]] int lock_membership() const {
    const int fd = ::open(file_.c_str(), O_RDWR | O_CLOEXEC);
    struct flock lock = membership_lock();
    EXPECT_EQ(fcntl(fd, F_OFD_SETLK, &lock), 0);
    return fd;
  }
  int make_segment(int mode) const {
    return shmget(static_cast<key_t>(key_), kForeignBytes, IPC_CREAT | IPC_EXCL | mode);
  }

  std::uint32_t key_ = unique_key();
  std::string url_ = "sysv-shm:" + std::to_string(key_);
  std::string file_ = file_of_segment(key_);
};

TEST_F(SysvSegments, TheKeyLeadsToItAsLongAsTheRingIsThere) {
  {
    auto sends = sender();
    ASSERT_TRUE(sends) << sends.error().message;
    EXPECT_EQ(state().shm_nattch, 1u);
    EXPECT_EQ(state().shm_perm.mode & 0777, 0600);
    EXPECT_EQ(sends->info().memory->size_bytes, state().shm_segsz);
    auto receives = receiver();
    ASSERT_TRUE(receives) << receives.error().message;
    EXPECT_EQ(state().shm_nattch, 2u);
    EXPECT_TRUE(file_is_there());
  }
  EXPECT_LT(segment_at(key_), 0);
  EXPECT_FALSE(file_is_there());
}

TEST_F(SysvSegments, AKeyIsTheSameHoweverItIsWritten) {
  char hex[16];
  std::snprintf(hex, sizeof hex, "0x%x", key_);
  auto sends = Sender::open(std::string("sysv-shm:") + hex);
  ASSERT_TRUE(sends) << sends.error().message;
  const auto receives = receiver();
  EXPECT_TRUE(receives) << receives.error().message;
  for (const char* key : {"", "0", "0x0", "4294967296", "-1", "010", "name"}) {
    const auto none = Sender::open(std::string("sysv-shm:") + key);
    ASSERT_FALSE(none) << key;
    EXPECT_EQ(none.error().code, ErrorCode::kInvalidName);
  }
}

TEST_F(SysvSegments, AMessageWaitsInTheSegment) {
  {
    auto sends = sender();
    ASSERT_TRUE(sends) << sends.error().message;
    ASSERT_EQ(sends->send("early"), Status::kOk);
    ASSERT_EQ(sends->close(), Status::kOk);
  }
  EXPECT_EQ(state().shm_nattch, 0u);
  auto receives = receiver();
  ASSERT_TRUE(receives) << receives.error().message;
  {
    const auto message = receives->next();
    ASSERT_TRUE(message);
    EXPECT_EQ(message->text(), "early");
  }
  EXPECT_EQ(receives->next().status(), Status::kEnded);
  receives->detach();
  EXPECT_LT(segment_at(key_), 0);
}

TEST_F(SysvSegments, AKilledSenderIsDead) {
  {
    Child child([&] {
      auto sends = sender();
      if (!sends || sends->send("last") != Status::kOk) return 1;
      for (;;) pause();
    });
    OpenOptions soon;
    soon.wait = Deadline::after(std::chrono::seconds(60));
    auto receives = Receiver::open(url_, soon);
    ASSERT_TRUE(receives) << receives.error().message;
    {
      const auto message = receives->next(Deadline::after(std::chrono::seconds(60)));
      ASSERT_TRUE(message);
      EXPECT_EQ(message->text(), "last");
    }
    child.signal(SIGKILL);
    child.join();
    EXPECT_EQ(receives->next(Deadline::after(std::chrono::seconds(60))).status(),
              Status::kPeerDied);
  }
  EXPECT_LT(segment_at(key_), 0);
  EXPECT_FALSE(file_is_there());
}

TEST_F(SysvSegments, WhatAKilledMakerHasBegunIsMadeAnew) {
  const int begun = make_segment(kUnfinished);
  ASSERT_GE(begun, 0);
  EXPECT_FALSE(receiver()) << "it is no ring";
  expect_a_new_ring_works();
  shmid_ds gone{};
  EXPECT_NE(shmctl(begun, IPC_STAT, &gone), 0);
}

TEST_F(SysvSegments, WhatAKilledMakerHasNotGivenItsPermissionsGetsThem) {
  auto sends = sender("&mode=0660");
  ASSERT_TRUE(sends) << sends.error().message;
  shmid_ds early = state();
  EXPECT_EQ(early.shm_perm.mode & 0777, 0660);
  early.shm_perm.mode = kUnfinished;
  ASSERT_EQ(shmctl(segment_at(key_), IPC_SET, &early), 0);
  const auto seen = inspect(url_ + "?mode=0660");
  EXPECT_TRUE(seen) << seen.error().message;
  EXPECT_EQ(state().shm_perm.mode & 0777, kUnfinished) << "who only looks changes nothing";
  const auto receives = Receiver::open(url_ + "?mode=0660");
  ASSERT_TRUE(receives) << receives.error().message;
  EXPECT_EQ(state().shm_perm.mode & 0777, 0660);
}

TEST_F(SysvSegments, AMakerThatDoesNotFinishIsNamed) {
  const int id = make_segment(kUnfinished);
  ASSERT_GE(id, 0);
  void* const held = shmat(id, nullptr, 0);
  ASSERT_NE(held, reinterpret_cast<void*>(-1));
  const auto sends = sender();
  ASSERT_FALSE(sends);
  EXPECT_EQ(sends.error().code, ErrorCode::kBusy);
  EXPECT_THAT(sends.error().message, HasSubstr("ipcrm -M " + std::to_string(key_)));
  EXPECT_EQ(segment_at(key_), id);
  shmdt(held);
  expect_a_new_ring_works();
}

// Its mode lets them not even look at it.
TEST_F(SysvSegments, AnotherUserSeesThatOneIsBeingMade) {
  if (geteuid() != 0) GTEST_SKIP() << "there is no other user to be";
  const SegmentName name{Backing::kSystemV, std::to_string(key_)};
  const SegmentOptions anyone{.mode = 0666};
  const auto in_a_stranger = [](auto&& body) {
    Child stranger([&] {
      if (setgid(12345) != 0 || setuid(12345) != 0) return 2;
      return body();
    });
    return stranger.join();
  };
  {
    auto sends = sender("&mode=0666");
    ASSERT_TRUE(sends) << sends.error().message;
    shmid_ds early = state();
    early.shm_perm.mode = kUnfinished;
    ASSERT_EQ(shmctl(segment_at(key_), IPC_SET, &early), 0);
    EXPECT_EQ(in_a_stranger([&] {
                const auto attached = Segment::attach(name, anyone);
                return !attached && attached.error().code == ErrorCode::kReplaced ? 0 : 3;
              }),
              0)
        << "it is to be tried again";
    early.shm_perm.mode = 0666;
    ASSERT_EQ(shmctl(segment_at(key_), IPC_SET, &early), 0);
    EXPECT_EQ(in_a_stranger([&] { return Segment::attach(name, anyone) ? 0 : 3; }), 0);
  }
  const int id = make_segment(kUnfinished);
  ASSERT_GE(id, 0);
  EXPECT_EQ(in_a_stranger([&] {
              const auto makes = sender("&mode=0666");
              if (makes || makes.error().code != ErrorCode::kForeignOwner) return 3;
              const std::string& message = makes.error().message;
              return message.find("being made by user 0") == std::string::npos ? 4 : 0;
            }),
            0);
  EXPECT_EQ(segment_at(key_), id);
  expect_a_new_ring_works();
}

TEST_F(SysvSegments, ASegmentOfAnotherProgramStays) {
  for (const int mode : {0600, 0666, 0700}) {
    const int id = make_segment(mode);
    ASSERT_GE(id, 0);
    const auto sends = sender();
    ASSERT_FALSE(sends);
    EXPECT_EQ(sends.error().code, ErrorCode::kForeignObject);
    EXPECT_THAT(sends.error().message, HasSubstr("another program's"));
    EXPECT_THAT(sends.error().message, HasSubstr("ipcrm -m " + std::to_string(id)));
    EXPECT_EQ(segment_at(key_), id);
    EXPECT_FALSE(file_is_there());
    const auto removed = remove(url_, true);
    ASSERT_FALSE(removed);
    EXPECT_EQ(removed.error().code, ErrorCode::kNotFound);
    EXPECT_EQ(segment_at(key_), id);
    ASSERT_EQ(shmctl(id, IPC_RMID, nullptr), 0);
  }
}

// As with a name that was removed: ipcrm is anybody's of that user.
TEST_F(SysvSegments, ARemovedSegmentIsMadeAnewBesideThoseWhoHaveIt) {
  auto old_sends = sender();
  ASSERT_TRUE(old_sends) << old_sends.error().message;
  auto old_receives = receiver();
  ASSERT_TRUE(old_receives) << old_receives.error().message;
  ASSERT_EQ(shmctl(segment_at(key_), IPC_RMID, nullptr), 0);
  EXPECT_FALSE(old_sends->info().at_its_name);
  expect_a_new_ring_works();
  auto sends = sender();
  ASSERT_TRUE(sends) << sends.error().message;
  ASSERT_EQ(old_sends->send("old"), Status::kOk);
  {
    const auto message = old_receives->next();
    ASSERT_TRUE(message);
    EXPECT_EQ(message->text(), "old");
  }
  ASSERT_EQ(old_sends->close(), Status::kOk);
  old_receives->detach();
  EXPECT_GE(segment_at(key_), 0) << "the new one's";
  EXPECT_TRUE(file_is_there());
}

TEST_F(SysvSegments, AFileWhoseSegmentHasGoneIsNoRing) {
  {
    auto sends = sender("&keep=1");
    ASSERT_TRUE(sends) << sends.error().message;
  }
  ASSERT_TRUE(file_is_there());
  ASSERT_EQ(shmctl(segment_at(key_), IPC_RMID, nullptr), 0);
  EXPECT_EQ(inspect(url_).error().code, ErrorCode::kNotFound);
  EXPECT_TRUE(file_is_there()) << "who only looks changes nothing";
  const auto receives = receiver();
  ASSERT_FALSE(receives);
  EXPECT_EQ(receives.error().code, ErrorCode::kNotFound);
  EXPECT_FALSE(file_is_there());
  expect_a_new_ring_works();
}

class SysvStaleFiles : public SysvSegments {
 protected:
  // As ipcrm leaves it.
  void leave_a_file() const {
    {
      auto sends = sender("&keep=1");
      ASSERT_TRUE(sends) << sends.error().message;
    }
    ASSERT_EQ(shmctl(segment_at(key_), IPC_RMID, nullptr), 0);
    ASSERT_TRUE(file_is_there());
  }
};

TEST_F(SysvStaleFiles, AFileWhoseSegmentHasGoneGivesWayToANewOne) {
  for (const char* start : {"&start=new", "&start=fresh", "&start=any"}) {
    leave_a_file();
    const auto sends = sender(start);
    EXPECT_TRUE(sends) << start << ": " << sends.error().message;
  }
  leave_a_file();
  // A file that comes to stand there when the segment is made already.
  const std::string aside = file_ + "-aside";
  ASSERT_EQ(rename(file_.c_str(), aside.c_str()), 0);
  const auto made = Segment::create({Backing::kSystemV, std::to_string(key_)}, 4096, {},
                                    [&](std::span<std::byte>) -> Result<void> {
                                      EXPECT_EQ(rename(aside.c_str(), file_.c_str()), 0);
                                      return {};
                                    });
  EXPECT_TRUE(made) << made.error().message;
}

TEST_F(SysvStaleFiles, RemovingTakesAFileWhoseSegmentHasGone) {
  for (const bool even_if_used : {false, true}) {
    leave_a_file();
    const auto removed = remove(url_, even_if_used);
    EXPECT_TRUE(removed) << removed.error().message;
    EXPECT_FALSE(file_is_there());
    EXPECT_EQ(remove(url_, even_if_used).error().code, ErrorCode::kNotFound);
  }
}

TEST_F(SysvStaleFiles, AFileThatCanNotBeTidiedAwayIsToldOf) {
  leave_a_file();
  const int fd = lock_membership();
  for (const char* start : {"&start=new", "&start=any", "&start=join"}) {
    const auto sends = sender(start);
    ASSERT_FALSE(sends) << start;
    EXPECT_EQ(sends.error().code, ErrorCode::kTimedOut) << sends.error().message;
    EXPECT_THAT(sends.error().message, HasSubstr(file_));
  }
  close(fd);
  expect_a_new_ring_works();
}

// A file is anybody's to make, and may say what it likes.
TEST_F(SysvStaleFiles, RemovingLeavesASegmentThatIsNotTheFiles) {
  leave_a_file();
  const int id = make_segment(0666);
  ASSERT_GE(id, 0);
  const int fd = ::open(file_.c_str(), O_RDWR | O_CLOEXEC);
  ASSERT_GE(fd, 0);
  constexpr off_t kOffsetOfId = 12;
  ASSERT_EQ(pwrite(fd, &id, sizeof id, kOffsetOfId), static_cast<ssize_t>(sizeof id));
  const auto expect_refused = [&](const std::string& why) {
    const auto removed = remove(url_, true);
    ASSERT_FALSE(removed) << why;
    EXPECT_EQ(removed.error().code, ErrorCode::kForeignObject) << removed.error().message;
    EXPECT_THAT(removed.error().message, HasSubstr(why));
    EXPECT_EQ(segment_at(key_), id);
    EXPECT_TRUE(file_is_there());
  };
  expect_refused("ipcrm -m " + std::to_string(id));
  if (geteuid() == 0) {
    ASSERT_EQ(fchown(fd, 12345, 12345), 0);
    expect_refused("it belongs to user 12345");
    const auto attached =
        Segment::attach({Backing::kSystemV, std::to_string(key_)}, {.mode = 0666});
    ASSERT_FALSE(attached);
    EXPECT_EQ(attached.error().code, ErrorCode::kForeignObject) << attached.error().message;
  }
  close(fd);
}

TEST_F(SysvSegments, RemovingWithoutTheLockLeavesTheFile) {
  auto sends = sender();
  ASSERT_TRUE(sends) << sends.error().message;
  const int fd = lock_membership();
  const auto removed = remove(url_, true);
  EXPECT_TRUE(removed) << removed.error().message;
  EXPECT_LT(segment_at(key_), 0);
  EXPECT_TRUE(file_is_there()) << "another one's may stand there by now";
  close(fd);
  expect_a_new_ring_works();
}

TEST_F(SysvSegments, TheModeOfThoseThatAreBeingMadeIsNobodyElses) {
  const auto sends = sender("&mode=0611");
  ASSERT_FALSE(sends);
  EXPECT_EQ(sends.error().code, ErrorCode::kInvalidOption) << sends.error().message;
  EXPECT_LT(segment_at(key_), 0);
  EXPECT_FALSE(file_is_there());
}

// One whose maker was killed before its permissions, seen by one who comes to make it: its file
// tells, which has come to stand there since he looked for it.
TEST_F(SysvSegments, AnUnfinishedOneWithItsFileStays) {
  {
    auto kept = sender("&keep=1");
    ASSERT_TRUE(kept) << kept.error().message;
  }
  shmid_ds early = state();
  const int id = segment_at(key_);
  early.shm_perm.mode = kUnfinished;
  ASSERT_EQ(shmctl(id, IPC_SET, &early), 0);
  const std::string aside = file_ + "-aside";
  ASSERT_EQ(rename(file_.c_str(), aside.c_str()), 0);
  Stepper makes([&] {
    Stepper::begin();
    static_cast<void>(sender("&keep=1"));
    Stepper::end();
  });
  bool there = makes.run_to_system_call();
  while (there && makes.system_call() != SYS_shmget) there = makes.run_to_system_call();
  ASSERT_EQ(rename(aside.c_str(), file_.c_str()), 0);
  ASSERT_TRUE(there) << "it makes no segment";
  makes.finish();
  ASSERT_EQ(segment_at(key_), id);
  EXPECT_EQ(state().shm_perm.mode & 0777, 0600) << "it was taken up and finished";
}

TEST_F(SysvSegments, OneThatIsRemovedInTheMakingIsMadeAnew) {
  Stepper makes([&] {
    Stepper::begin();
    const auto sends = sender();
    if (!sends) std::fprintf(stderr, "%s\n", sends.error().message.c_str());
    if (!sends) _exit(3);
    Stepper::end();
  });
  // At the entry into the call that gives it its permissions.
  const auto gives = [&] { return makes.system_call() == SYS_shmctl && file_is_there(); };
  bool there = makes.run_to_system_call();
  while (there && !gives()) there = makes.run_to_system_call();
  ASSERT_TRUE(there);
  const int first = segment_at(key_);
  ASSERT_EQ(shmctl(first, IPC_RMID, nullptr), 0);
  makes.finish();
  EXPECT_TRUE(makes.finished());
  EXPECT_GE(segment_at(key_), 0);
}

TEST_F(SysvSegments, ASegmentWithoutItsFileGoesWithTheLast) {
  {
    auto sends = sender("&keep=0");
    ASSERT_TRUE(sends) << sends.error().message;
    auto receives = receiver();
    ASSERT_TRUE(receives) << receives.error().message;
    ASSERT_EQ(unlink(file_.c_str()), 0);
    static_cast<void>(sends->close());
    EXPECT_GE(segment_at(key_), 0) << "the receiver has it still";
  }
  EXPECT_LT(segment_at(key_), 0);
  expect_a_new_ring_works();
}

TEST_F(SysvSegments, ARingWithoutItsFileIsMadeAnewWhenNobodyHasIt) {
  int id = -1;
  {
    auto kept = sender("&keep=1");
    ASSERT_TRUE(kept) << kept.error().message;
    id = segment_at(key_);
    ASSERT_EQ(unlink(file_.c_str()), 0);
    const auto other = sender();
    ASSERT_FALSE(other) << "one has it still";
    EXPECT_EQ(other.error().code, ErrorCode::kForeignObject);
  }
  ASSERT_EQ(segment_at(key_), id) << "it was to be kept";
  expect_a_new_ring_works();
}

TEST_F(SysvSegments, AFileThatSaysSomethingElseIsRefused) {
  auto sends = sender();
  ASSERT_TRUE(sends) << sends.error().message;
  const std::uint32_t other_key = unique_key();
  auto other = Sender::open("sysv-shm:" + std::to_string(other_key));
  ASSERT_TRUE(other) << other.error().message;
  const int fd = ::open(file_.c_str(), O_RDWR | O_CLOEXEC);
  ASSERT_GE(fd, 0);
  std::array<unsigned char, 16> sound{};
  ASSERT_EQ(pread(fd, sound.data(), sound.size(), 0), 16);
  for (const std::size_t byte : {0u, 7u, 8u, 11u}) {  // the magic, the key
    auto changed = sound;
    changed[byte] ^= 1;
    ASSERT_EQ(pwrite(fd, changed.data(), changed.size(), 0), 16);
    const auto receives = receiver();
    ASSERT_FALSE(receives);
    EXPECT_EQ(receives.error().code, ErrorCode::kForeignObject) << receives.error().message;
    EXPECT_THAT(receives.error().message, HasSubstr("remove it"));
  }
  // Another ring's number: neither joined nor removed.
  auto changed = sound;
  const int other_id = segment_at(other_key);
  std::memcpy(changed.data() + 12, &other_id, sizeof other_id);
  ASSERT_EQ(pwrite(fd, changed.data(), changed.size(), 0), 16);
  EXPECT_FALSE(receiver());
  static_cast<void>(remove(url_, true));
  EXPECT_EQ(segment_at(other_key), other_id);
  close(fd);
}

TEST_F(SysvSegments, ASegmentThatWasScribbledOverIsRefused) {
  auto sends = sender();
  ASSERT_TRUE(sends) << sends.error().message;
  void* const memory = shmat(segment_at(key_), nullptr, 0);
  ASSERT_NE(memory, reinterpret_cast<void*>(-1));
  std::memset(memory, 0xA5, state().shm_segsz);
  const auto receives = receiver();
  ASSERT_FALSE(receives);
  EXPECT_EQ(receives.error().code, ErrorCode::kBadMagic) << receives.error().message;
  const Status status = sends->send("into it");
  EXPECT_TRUE(status == Status::kCorrupt || status == Status::kOk) << to_string(status);
  shmdt(memory);
}

TEST_F(SysvSegments, ASegmentOfAnotherUserIsRefused) {
  if (geteuid() != 0) GTEST_SKIP() << "there is no other user to be";
  auto sends = sender();
  ASSERT_TRUE(sends) << sends.error().message;
  Child stranger([&] {
    if (setgid(12345) != 0 || setuid(12345) != 0) return 2;
    const auto receives = receiver();
    if (receives || receives.error().code != ErrorCode::kForeignOwner) return 3;
    const auto makes = sender("&start=new");
    if (makes || makes.error().code != ErrorCode::kForeignOwner) return 4;
    return remove(url_, true) ? 5 : 0;
  });
  EXPECT_EQ(stranger.join(), 0);
  EXPECT_GE(segment_at(key_), 0);
}

TEST_F(SysvSegments, ItsModeIsThatOfTheUrl) {
  const auto sends = sender("&mode=0660");
  ASSERT_TRUE(sends) << sends.error().message;
  EXPECT_EQ(state().shm_perm.mode & 0777, 0660);
  const auto receives = receiver();
  ASSERT_FALSE(receives);
  EXPECT_EQ(receives.error().code, ErrorCode::kForeignOwner);
  EXPECT_THAT(receives.error().message, HasSubstr("mode=0660"));
}

TEST_F(SysvSegments, InAnotherNamespaceTheKeyIsAnotherOne) {
  auto sends = sender();
  ASSERT_TRUE(sends) << sends.error().message;
  Child elsewhere([&] {
    if (unshare(CLONE_NEWIPC) != 0) return 77;
    const auto receives = receiver();
    if (receives || receives.error().code != ErrorCode::kNotFound) return 1;
    const auto own = sender();
    return own && segment_at(key_) >= 0 ? 0 : 2;
  });
  const int code = elsewhere.join();
  if (code == 77) GTEST_SKIP() << "no namespace to be had";
  EXPECT_EQ(code, 0);
  EXPECT_TRUE(receiver());
}

TEST_F(SysvSegments, TheNamespaceIsTheThreads) {
  bool elsewhere = false;
  std::thread([&] {
    elsewhere = unshare(CLONE_NEWIPC) == 0;
    if (!elsewhere) return;
    const auto sends = sender();
    EXPECT_TRUE(sends) << sends.error().message;
    EXPECT_GE(segment_at(key_), 0);
    EXPECT_FALSE(file_is_there()) << "it is that of the other threads' namespace";
  }).join();
  if (!elsewhere) GTEST_SKIP() << "no namespace to be had";
  EXPECT_LT(segment_at(key_), 0);
}

TEST_F(SysvSegments, RemovingTakesBoth) {
  auto sends = sender();
  ASSERT_TRUE(sends) << sends.error().message;
  const auto refused = remove(url_);
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().code, ErrorCode::kBusy);
  EXPECT_GE(segment_at(key_), 0);
  ASSERT_TRUE(remove(url_, true));
  EXPECT_LT(segment_at(key_), 0);
  EXPECT_FALSE(file_is_there());
  EXPECT_EQ(sends->send("on it goes"), Status::kOk);
  EXPECT_EQ(remove(url_, true).error().code, ErrorCode::kNotFound);
}

// One that was made since the remover looked at the name, at whichever of its system calls up to
// that with which it orders itself among those who come and go.
TEST_F(SysvSegments, RemovingLeavesNoSegmentWithoutItsFile) {
  for (int moment = 0, there = true; there; ++moment) {
    SCOPED_TRACE("stop " + std::to_string(moment) + " at a system call");
    auto old = sender();
    ASSERT_TRUE(old) << old.error().message;
    Stepper removes([&] {
      Stepper::begin();
      static_cast<void>(remove(url_, true));
      Stepper::end();
    });
    for (int i = 0; i <= moment && there; ++i) there = removes.run_to_system_call();
    if (membership_locked()) break;
    static_cast<void>(old->close());
    {
      const auto fresh = sender();
      ASSERT_TRUE(fresh) << fresh.error().message;
      removes.finish();
      removes.kill();
    }
    expect_a_new_ring_works();
    if (HasFatalFailure()) return;
  }
}

// Who may not look at the segment knows nothing of it: it is neither gone, nor to lose its file.
TEST_F(SysvSegments, OneThatCanNotBeLookedAtHasNotGone) {
  if (geteuid() != 0) GTEST_SKIP() << "there is no other user to be";
  auto sends = sender("&mode=0666");
  ASSERT_TRUE(sends) << sends.error().message;
  shmid_ds closed = state();
  closed.shm_perm.mode = 0600;
  const SegmentName name{Backing::kSystemV, std::to_string(key_)};
  int ready[2];
  int go[2];
  ASSERT_EQ(pipe(ready), 0);
  ASSERT_EQ(pipe(go), 0);
  Child stranger([&] {
    if (setgid(12345) != 0 || setuid(12345) != 0) return 2;
    const auto attached = Segment::attach(name, {.mode = 0666});
    char byte = 0;
    if (!attached || write(ready[1], &byte, 1) != 1 || read(go[0], &byte, 1) != 1) return 3;
    if (!attached->still_at_its_name()) return 4;
    if (remove_if_at_its_name(attached->identity())) return 5;
    const auto removed = Segment::remove(name);
    return !removed && removed.error().code == ErrorCode::kPermission ? 0 : 6;
  });
  char byte = 0;
  ASSERT_EQ(read(ready[0], &byte, 1), 1);
  ASSERT_EQ(shmctl(segment_at(key_), IPC_SET, &closed), 0);
  ASSERT_EQ(write(go[1], &byte, 1), 1);
  EXPECT_EQ(stranger.join(), 0);
  for (const int end : {ready[0], ready[1], go[0], go[1]}) close(end);
  EXPECT_GE(segment_at(key_), 0);
  EXPECT_TRUE(file_is_there());
}

TEST_F(SysvSegments, ItStandsInTheList) {
  auto sends = sender();
  ASSERT_TRUE(sends) << sends.error().message;
  const auto all = list_segments();
  ASSERT_TRUE(all) << all.error().message;
  const auto found = std::ranges::find_if(
      *all, [&](const SegmentInfo& info) { return to_string(info.name) == url_; });
  ASSERT_NE(found, all->end());
  EXPECT_EQ(found->size_bytes, state().shm_segsz);
  EXPECT_EQ(found->participants.size(), 1u);
  EXPECT_FALSE(found->problem);
}

TEST_F(SysvSegments, LimitsOfTheSystemSayWhatToDo) {
  Child limited([&] {
    if (unshare(CLONE_NEWIPC) != 0) return 77;  // they are a namespace's
    const auto say = [](const char* limit, const char* value) {
      const int fd = ::open(limit, O_WRONLY | O_CLOEXEC);
      const auto length = static_cast<ssize_t>(std::strlen(value));
      const bool said = fd >= 0 && write(fd, value, std::strlen(value)) == length;
      if (fd >= 0) close(fd);
      return said;
    };
    if (!say("/proc/sys/kernel/shmmax", "8192")) return 77;
    const auto large = sender();
    if (large || large.error().code != ErrorCode::kNoSpace) return 1;
    if (large.error().message.find("kernel.shmmax") == std::string::npos) return 2;
    if (!say("/proc/sys/kernel/shmmax", "1073741824")) return 77;
    if (!say("/proc/sys/kernel/shmall", "1")) return 77;
    const auto many = sender();
    if (many || many.error().code != ErrorCode::kNoSpace) return 3;
    return many.error().message.find("kernel.shmall") == std::string::npos ? 4 : 0;
  });
  const int code = limited.join();
  if (code == 77) GTEST_SKIP() << "no limits of its own to be had";
  EXPECT_EQ(code, 0);
}

}  // namespace
}  // namespace rondo::testing
