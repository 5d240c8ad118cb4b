// In a user namespace all users without an id there look alike, by the overflow id: 65534.
//
//   1. AnOverflowIdMatchesNoUserUnlessAllIdsAreMapped
//   2. AnotherUsersSegmentIsNotOurs
//   3. AnotherUsersFifoIsNotOurs
//   4. AGuardedSenderLetsNoOtherUserIn
//   5. AGuardedReceiverReadsFromNoOtherUser
//   6. AUnixReceiverLetsNoOtherUserIn
#include <fcntl.h>
#include <gtest/gtest.h>
#include <sched.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <atomic>
#include <fstream>
#include <string>

#include "conformance/channel_fixture.hpp"
#include "rondo/core/user_ids.hpp"
#include "support/processes.hpp"
#include "support/segment_fixture.hpp"

namespace rondo::testing {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;

constexpr uid_t kOverflow = 65534;
constexpr uid_t kInside = 12'001;  // whose processes live in a namespace that maps no id
constexpr uid_t kNotPermitted = 12'002;

void become(uid_t user) {
  if (setgid(user) != 0 || setuid(user) != 0) _exit(250);
}
// Afterwards this process sees itself as 65534, and everybody else too.
void become_unmapped() {
  become(kInside);
  if (unshare(CLONE_NEWUSER) != 0 || geteuid() != kOverflow) _exit(251);
}

Deadline soon() { return Deadline::after(seconds(60)); }

class OverflowIds : public Watchdog {
 protected:
  void SetUp() override {
    if (geteuid() != 0) GTEST_SKIP() << "only root can become another user";
    if (!detail::is_user(kOverflow, kOverflow)) GTEST_SKIP() << "runs in a user namespace itself";
    if (Child([] { return unshare(CLONE_NEWUSER); }).join() != 0) {
      GTEST_SKIP() << "no user namespaces here";
    }
    ASSERT_EQ(chmod(directory_.path().c_str(), 0777), 0);
  }
  [[nodiscard]] std::string path() const { return directory_.path() + "/x"; }

  ScratchDirectory directory_;
};

TEST_F(OverflowIds, AnOverflowIdMatchesNoUserUnlessAllIdsAreMapped) {
  EXPECT_TRUE(detail::is_user(kOverflow, kOverflow));
  EXPECT_TRUE(detail::is_group(kOverflow, kOverflow));
  EXPECT_FALSE(detail::is_user(~0u, ~0u));
  struct Case {
    const char* map;  // empty: none
    bool matches;
  };
  for (const Case& one :
       {Case{"", false}, Case{"0 0 65536", false}, Case{"65534 65534 1", false},
        Case{"0 0 4294967295", true}, Case{"0 0 100000\n100000 100000 4294867295", true}}) {
    std::array<int, 2> unshared{};
    std::array<int, 2> mapped{};
    ASSERT_EQ(pipe(unshared.data()) + pipe(mapped.data()), 0);
    Child child([&] {
      if (unshare(CLONE_NEWUSER) != 0) return 251;
      char byte = 0;
      if (write(unshared[1], &byte, 1) != 1 || read(mapped[0], &byte, 1) != 1) return 252;
      return (detail::is_user(kOverflow, kOverflow) ? 1 : 0) +
             (detail::is_group(kOverflow, kOverflow) ? 2 : 0) + (detail::is_user(7, 7) ? 4 : 0);
    });
    char byte = 0;
    ASSERT_EQ(read(unshared[0], &byte, 1), 1);
    for (const char* file : {"/uid_map", "/gid_map"}) {
      if (*one.map != '\0') std::ofstream("/proc/" + std::to_string(child.pid()) + file) << one.map;
    }
    ASSERT_EQ(write(mapped[1], &byte, 1), 1);
    EXPECT_EQ(child.join(), one.matches ? 7 : 4) << one.map;
    for (const int fd : {unshared[0], unshared[1], mapped[0], mapped[1]}) close(fd);
  }
}

TEST_F(OverflowIds, AnotherUsersSegmentIsNotOurs) {
  const SegmentName name{Backing::kFile, path()};
  const Segment segment = sound(Segment::create(
      name, 8192, {.mode = 0644}, [](std::span<std::byte>) { return Result<void>(); }));
  Child child([&] {
    become_unmapped();
    const auto attached = Segment::attach(name, {}, Access::kReadOnly);
    return attached ? 0 : 1 + static_cast<int>(attached.error().code);
  });
  EXPECT_EQ(child.join(), 1 + static_cast<int>(ErrorCode::kForeignOwner));
  EXPECT_EQ(unlink(path().c_str()), 0);
}

// What opening a receiver comes to: 0 when it is open, else 1 + the error.
int open_receiver(const std::string& url, Deadline deadline) {
  auto receiver = Receiver::open(url, {.wait = deadline});
  return receiver ? 0 : 1 + static_cast<int>(receiver.error().code);
}
constexpr int kRefused = 1 + static_cast<int>(ErrorCode::kForeignOwner);

TEST_F(OverflowIds, AnotherUsersFifoIsNotOurs) {
  ASSERT_EQ(mkfifo(path().c_str(), 0600), 0);
  ASSERT_EQ(chmod(path().c_str(), 0666), 0);
  Child child([&] {
    become_unmapped();
    return open_receiver("fifo:" + path(), Deadline::now());
  });
  EXPECT_EQ(child.join(), kRefused);
  EXPECT_EQ(unlink(path().c_str()), 0);
}

// A guarded sender that does nothing but keep its acceptor, after `prepare`.
template <class Prepare>
class Serving {
 public:
  Serving(const std::string& url, Prepare prepare)
      : child_([this, url, prepare] {
          prepare();
          auto sender = Sender::open(url);
          *state_ = sender ? 1 : 2;
          while (sender && *state_ == 1) {
            static_cast<void>(sender->wait_for_receiver(Deadline::after(milliseconds(5))));
          }
          return sender ? 0 : 1;
        }) {
    while (*state_ == 0) usleep(100);  // the watchdog bounds it
    EXPECT_EQ(*state_, 1);
  }
  ~Serving() {
    *state_ = 2;
    EXPECT_EQ(child_.join(), 0);
  }
  Serving(const Serving&) = delete;
  Serving& operator=(const Serving&) = delete;

 private:
  Shared<std::atomic<int>> state_;
  Child child_;
};

TEST_F(OverflowIds, AGuardedSenderLetsNoOtherUserIn) {
  for (const char* allowed : {"", "&uid=65534", "&gid=65534"}) {
    const Serving serving("shm+guarded:" + path() + "?capacity=4KiB&mode=0666" + allowed,
                          become_unmapped);
    // It does not take the name for its own either, and leaves its mode as the umask has it.
    ASSERT_EQ(chmod(path().c_str(), 0666), 0);
    Child receiver([&] {
      become(kNotPermitted);
      return open_receiver("shm+guarded:" + path() + "?uid=" + std::to_string(kInside), soon());
    });
    EXPECT_EQ(receiver.join(), kRefused) << allowed;
  }
}

TEST_F(OverflowIds, AGuardedReceiverReadsFromNoOtherUser) {
  const Serving serving(
      "shm+guarded:" + path() + "?capacity=4KiB&mode=0666&uid=" + std::to_string(kInside),
      [] { become(kNotPermitted); });
  for (const char* expected : {"", "?uid=65534", "?gid=65534"}) {
    Child receiver([&] {
      become_unmapped();
      return open_receiver("shm+guarded:" + path() + expected, soon());
    });
    EXPECT_EQ(receiver.join(), kRefused) << expected;
  }
}

// Root may connect to any socket, and so may a user let into its directory before its mode was
// set.
TEST_F(OverflowIds, AUnixReceiverLetsNoOtherUserIn) {
  Child receiver([&] {
    become_unmapped();
    return open_receiver("unix:" + path(), soon());
  });
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  path().copy(address.sun_path, sizeof address.sun_path - 1);
  const int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
  while (connect(fd, reinterpret_cast<const sockaddr*>(&address), sizeof address) != 0) usleep(100);
  char answer = 0;
  EXPECT_EQ(recv(fd, &answer, 1, 0), 1);
  EXPECT_EQ(answer, 0x54);  // it is not permitted
  EXPECT_EQ(recv(fd, &answer, 1, 0), 0);
  close(fd);
  // Not before the name is made, or its lock stays, too.
  while (access((path() + ".rondo-lock").c_str(), F_OK) == 0) usleep(100);
  receiver.signal(SIGKILL);
  EXPECT_EQ(receiver.join(), -SIGKILL);
  EXPECT_EQ(unlink(path().c_str()), 0);
}

}  // namespace
}  // namespace rondo::testing
