// A program that closes all its descriptors under its channels, as daemons do, and opens files of
// its own, which get the numbers.
//
//   1. FilesThatGotTheNumbersAreLeftAlone
//   2. SoAreThoseWithoutAFileOfTheirOwn   eventfds, inotify and others, which share one inode
//   3. AnotherFileMakesNoParticipantDead
#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/mman.h>
#include <unistd.h>

#include <array>
#include <string>
#include <vector>

#include "conformance/channel_cases.hpp"
#include "conformance/channel_fixture.hpp"
#include "rondo/core/liveness.hpp"
#include "support/processes.hpp"
#include "support/replaced_descriptors.hpp"
#include "support/segment_fixture.hpp"

namespace rondo::testing {
namespace {

// What the participants of a segment, and those of a FIFO or a queue, lock of its file.
std::array<struct flock, 2> participants_locks() {
  std::array<struct flock, 2> locks{};
  for (struct flock& lock : locks) lock.l_type = F_WRLCK;
  locks[0].l_start = static_cast<off_t>(kLockBase);
  locks[0].l_len = 1024;
  locks[1].l_len = 8;
  return locks;
}

// Every number up to 255 is that of a file of the program's now, locked as by a participant.
bool replace_all() {
  if (close_range(3, ~0u, 0) != 0) return false;
  for (int fd = 3; fd < 256; ++fd) {
    if (memfd_create("the program's", MFD_CLOEXEC) != fd) return false;
    for (struct flock lock : participants_locks()) {
      if (fcntl(fd, F_OFD_SETLK, &lock) != 0) return false;
    }
  }
  return true;
}
// Whether they all still are, and locked.
bool all_there() {
  for (int fd = 3; fd < 256; ++fd) {
    const std::string path = "/proc/self/fd/" + std::to_string(fd);
    const int again = open(path.c_str(), O_RDWR | O_CLOEXEC);
    if (again < 0) return false;
    for (struct flock lock : participants_locks()) {
      // One that is free in part tells of the rest.
      const off_t length = lock.l_len;
      if (fcntl(again, F_OFD_GETLK, &lock) != 0 || lock.l_type == F_UNLCK) return false;
      if (lock.l_len != length) return false;
    }
    close(again);
  }
  return true;
}

class ClosedDescriptors : public ::testing::TestWithParam<ChannelCase> {
 protected:
  // They stay, as those of a dead one would.
  static void remove_names(const std::string& url) {
    if (GetParam().scheme == "shm:") unlink(("/dev/shm/rondo-" + url.substr(4)).c_str());
    if (GetParam().target != ChannelCase::Target::kPath) return;
    const std::string path = url.substr(url.find(':') + 1);
    unlink(path.c_str());
    unlink((path + ".rondo-lock").c_str());
  }

  ScratchDirectory directory_;
};

TEST_P(ClosedDescriptors, FilesThatGotTheNumbersAreLeftAlone) {
  const std::string url = fresh_url(GetParam(), directory_.path());
  const std::string whole = url + "?" + needed_options(GetParam());
  Child child([&] {
    {
      auto pair = open_pair(whole, {.wait = Deadline::after(std::chrono::seconds(10))});
      if (!pair) return 1;
      if (!replace_all()) return 2;
      pair->second.detach();
      static_cast<void>(pair->first.close(Deadline::now()));
    }
    return all_there() ? 0 : 3;
  });
  EXPECT_EQ(child.join(), 0);
  remove_names(url);
}

TEST_P(ClosedDescriptors, SoAreThoseWithoutAFileOfTheirOwn) {
  const std::string url = fresh_url(GetParam(), directory_.path());
  const std::string whole = url + "?" + needed_options(GetParam());
  Child child([&] {
    ReplacedDescriptors all;
    {
      auto pair = open_pair(whole, {.wait = Deadline::after(std::chrono::seconds(10))});
      if (!pair) return 1;
      static_cast<void>(pair->first.fd());
      static_cast<void>(pair->second.fd());
      if (!all.replace_all("/dev/null")) return 2;
      pair->second.detach();
      static_cast<void>(pair->first.close(Deadline::now()));
    }
    return all.touched() == 0 ? 0 : 3;
  });
  EXPECT_EQ(child.join(), 0);
  remove_names(url);
}

INSTANTIATE_TEST_SUITE_P(Every, ClosedDescriptors, ::testing::ValuesIn(kChannelCases),
                         [](const auto& each) { return std::string(each.param.name); });

TEST(ClosedDescriptorsOfALock, AnotherFileMakesNoParticipantDead) {
  const Segment segment = sound(create_small(ShmName()));
  auto mine = LivenessLock::open(segment);
  auto other = LivenessLock::open(segment);
  ASSERT_TRUE(mine && other);
  ASSERT_TRUE(other->try_hold(1));
  EXPECT_EQ(mine->presence(1), Presence::kPresent);
  EXPECT_EQ(mine->presence(2), Presence::kAbsent);
  Child child([&] {
    auto here = LivenessLock::open(segment);
    if (!here || here->presence(2) != Presence::kAbsent) return 1;
    close_range(3, ~0u, 0);
    for (int fd = 3; fd < 256; ++fd) {
      if (memfd_create("the program's", MFD_CLOEXEC) != fd) return 2;
    }
    if (here->presence(1) != Presence::kUnknown) return 3;
    if (here->presence(2) != Presence::kUnknown) return 4;
    return here->try_hold(3) ? 5 : 0;
  });
  EXPECT_EQ(child.join(), 0);
}

}  // namespace
}  // namespace rondo::testing
