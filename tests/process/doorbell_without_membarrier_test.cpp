// Waiting where a seccomp filter forbids membarrier(2), as some containers do, on one side of
// a connection or on both. A filtered side runs in a program of its own, started anew, because
// what a process may do is found out once.
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <sys/syscall.h>

#include <cerrno>
#include <cstddef>
#include <string>

#include "support/doorbell_fixture.hpp"

namespace rondo {
namespace {

using testing::Mailbox;

struct Connection {
  Mailbox ping;
  Mailbox pong;
};

bool install(sock_filter* program, unsigned short length) {
  const sock_fprog filter{length, program};
  return prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0 &&
         prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &filter) == 0;
}

// From now on, and in all programs that this one becomes, membarrier fails with `error`.
bool forbid_membarrier(int error) {
  sock_filter program[] = {
      BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(seccomp_data, nr)),
      BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_membarrier, 0, 1),
      BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | static_cast<std::uint32_t>(error)),
      BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
  };
  return install(program, sizeof program / sizeof program[0]);
}

// From now on any system call but leaving is death.
bool forbid_all() {
  sock_filter program[] = {
      BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(seccomp_data, nr)),
      BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_exit_group, 0, 1),
      BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
      BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_KILL_PROCESS),
  };
  return install(program, sizeof program / sizeof program[0]);
}

constexpr const char* kConnection = "RONDO_TEST_CONNECTION";
constexpr const char* kTurns = "RONDO_TEST_TURNS";
constexpr const char* kLeads = "RONDO_TEST_LEADS";

// This program again, without membarrier, as one side of the connection in `file`.
int become_filtered(int error, int file, std::uint64_t turns, bool leads) {
  if (!forbid_membarrier(error)) return 96;
  setenv(kConnection, std::to_string(file).c_str(), 1);
  setenv(kTurns, std::to_string(turns).c_str(), 1);
  setenv(kLeads, leads ? "1" : "0", 1);
  execl("/proc/self/exe", "filtered", "--gtest_also_run_disabled_tests",
        "--gtest_filter=*DISABLED_OneSide", static_cast<char*>(nullptr));
  return 97;
}

// One side of the hand-offs; the one that leads begins. False if a wait went wrong.
bool play(Connection& connection, std::uint64_t turns, bool leads) {
  testing::MailboxReader in(leads ? connection.pong : connection.ping);
  testing::Publisher out(leads ? connection.ping : connection.pong);
  for (std::uint64_t i = 0; i < turns; ++i) {
    if (leads) out.publish();
    if (in.take() != WaitResult::kReady) return false;
    if (!leads) out.publish();
  }
  return true;
}

Connection* map(int file) {
  void* memory = mmap(nullptr, sizeof(Connection), PROT_READ | PROT_WRITE, MAP_SHARED, file, 0);
  return memory == MAP_FAILED ? nullptr : static_cast<Connection*>(memory);
}

class DoorbellWithoutMembarrier : public testing::Watchdog {
 protected:
  void TearDown() override { close(file); }

  // Whether the waiter of `box` has said that it can't make others fence.
  static bool must_fence(const Mailbox& box) {
    return (box.waiter.state.load(std::memory_order_relaxed) & BellWaiter::kMustFence) != 0;
  }

  // Hand-offs between this process and one that may not use membarrier.
  void hand_over(int error) {
    Connection* connection = map(file);
    ASSERT_NE(connection, nullptr);
    testing::Child follower([&] { return become_filtered(error, file, turns, false); });
    EXPECT_TRUE(play(*connection, turns, true));
    EXPECT_EQ(follower.join(), 0);
    EXPECT_TRUE(must_fence(connection->ping));
    munmap(connection, sizeof *connection);
  }

  const std::uint64_t turns = testing::scaled(2'000);
  int file = [] {
    const int made = memfd_create("connection", 0);
    return ftruncate(made, sizeof(Connection)) == 0 ? made : -1;
  }();
};

// Not a test by itself: what a filtered program runs.
TEST_F(DoorbellWithoutMembarrier, DISABLED_OneSide) {
  const char* given = std::getenv(kConnection);
  if (given == nullptr) GTEST_SKIP() << "run by the other tests";
  EXPECT_FALSE(register_publisher());
  EXPECT_FALSE(heavy_fence());
  Connection* connection = map(std::atoi(given));
  ASSERT_NE(connection, nullptr);
  EXPECT_TRUE(play(*connection, std::strtoull(std::getenv(kTurns), nullptr, 10),
                   *std::getenv(kLeads) == '1'));
}

TEST_F(DoorbellWithoutMembarrier, HandsOverWhereItIsNotPermitted) { hand_over(EPERM); }

TEST_F(DoorbellWithoutMembarrier, HandsOverWhereItDoesNotExist) { hand_over(ENOSYS); }

TEST_F(DoorbellWithoutMembarrier, HandsOverWhereNoProcessHasIt) {
  Connection* connection = map(file);
  ASSERT_NE(connection, nullptr);
  testing::Child follower([&] { return become_filtered(EPERM, file, turns, false); });
  testing::Child leader([&] { return become_filtered(ENOSYS, file, turns, true); });
  EXPECT_EQ(leader.join(), 0);
  EXPECT_EQ(follower.join(), 0);
  EXPECT_TRUE(must_fence(connection->ping));
  EXPECT_TRUE(must_fence(connection->pong));
  munmap(connection, sizeof *connection);
}

// The filter comes while the program runs: it registered as a publisher, and can no longer fence.
TEST_F(DoorbellWithoutMembarrier, AFilterInstalledLaterIsNoticed) {
  testing::Child child([] {
    Mailbox box{};
    if (!register_publisher()) return 0;  // no membarrier here anyway
    Waiter waiter(box.waiter, box.notifier);
    if (!forbid_membarrier(EPERM)) return 96;
    const auto never_ready = [] { return false; };
    if (waiter.sleep_once(never_ready, Deadline::never())) return 1;  // ends after a slice
    const std::uint32_t state = box.waiter.state.load(std::memory_order_relaxed);
    return (state & BellWaiter::kMustFence) != 0 ? 0 : 2;
  });
  EXPECT_EQ(child.join(), 0);
}

TEST_F(DoorbellWithoutMembarrier, PublishingToAnAwakePeerMakesNoSystemCall) {
  Mailbox box{};
  testing::Child child([&] {
    testing::MailboxReader waiter(box);  // has been here, and is awake
    static_cast<void>(waiter.take(Deadline::after(std::chrono::milliseconds(1))));
    testing::Publisher publisher(box);
    if (!forbid_all()) return 96;
    for (int i = 0; i < 10'000; ++i) publisher.publish();
    syscall(SYS_exit_group, 0);  // at once: a sanitizer's _exit() makes calls of its own
    return 1;
  });
  EXPECT_EQ(child.join(), 0);

  // And the filter does kill: waking a waiter is a system call.
  testing::Child other([&] {
    testing::Publisher publisher(box);
    box.waiter.state.store(BellWaiter::kAsleep, std::memory_order_relaxed);
    if (!forbid_all()) return 96;
    publisher.publish();
    return 0;
  });
  EXPECT_EQ(other.join(), -SIGSYS);
}

}  // namespace
}  // namespace rondo
