// While no side sleeps, passing a message makes no system call and allocates nothing. The calls run
// in a child that the kernel kills at its first system call but exit; one that makes a call on
// purpose shows that it would.
#include <gtest/gtest.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <array>
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <new>
#include <optional>
#include <string>
#include <utility>

#include "conformance/channel_cases.hpp"
#include "rondo/transports/receiver.hpp"
#include "rondo/transports/sender.hpp"
#include "support/processes.hpp"
#include "support/record_fixture.hpp"
#include "support/sanitizers.hpp"
#include "support/spsc_fixture.hpp"

namespace {

std::uint64_t allocations = 0;

}  // namespace

// Counted; the rest of the family ends here or in malloc, whose growth would be a system call.
// Not inlined, or gcc takes the pair for a mismatch.
[[gnu::noinline]] void* operator new(std::size_t size) {
  ++allocations;
  if (void* memory = std::malloc(size)) return memory;
  throw std::bad_alloc();
}
[[gnu::noinline]] void operator delete(void* memory) noexcept { std::free(memory); }
[[gnu::noinline]] void operator delete(void* memory, std::size_t) noexcept { std::free(memory); }

namespace rondo {
namespace {

using testing::kSanitized;

constexpr int kPassed = 0;
constexpr int kWrongMessage = 1;
constexpr int kAllocated = 2;
constexpr int kNoFilter = 77;
constexpr std::uint64_t kMessages = 100'000;

// From here on only exit_group is left.
bool forbid_system_calls() {
  std::array<sock_filter, 4> program{
      sock_filter BPF_STMT(BPF_LD | BPF_W | BPF_ABS, 0),
      sock_filter BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_exit_group, 0, 1),
      sock_filter BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
      sock_filter BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_KILL_PROCESS)};
  const sock_fprog filter{program.size(), program.data()};
  return prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0 &&
         prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &filter) == 0;
}

// Runs `pass(i)` for each message in a child without system calls. `pass` returns whether message i
// arrived.
template <class Pass>
int status_without_system_calls(Pass pass) {
  testing::Child child([&] {
    pass(0);  // what is done only once may be done here
    if (!forbid_system_calls()) return kNoFilter;
    const std::uint64_t before = allocations;
    for (std::uint64_t i = 1; i < kMessages; ++i) {
      if (!pass(i)) return kWrongMessage;
    }
    return allocations == before ? kPassed : kAllocated;
  });
  return child.join();
}

void expect_passed(int status) {
  if (status == kNoFilter) GTEST_SKIP() << "no seccomp here";
  EXPECT_NE(status, -SIGSYS) << "a system call was made";
  EXPECT_EQ(status, kPassed);
}

class PublishSystemCalls : public testing::Watchdog {
 protected:
  void SetUp() override {
    if (kSanitized) GTEST_SKIP() << "the sanitizer makes system calls of its own";
  }
};

TEST_F(PublishSystemCalls, AreNoticedByThisTest) {
  const int status = status_without_system_calls([](std::uint64_t) { return getppid() != 0; });
  if (status == kNoFilter) GTEST_SKIP() << "no seccomp here";
  EXPECT_EQ(status, -SIGSYS);
}

TEST_F(PublishSystemCalls, AreNotMadeBySlotRings) {
  testing::SpscFixture<std::uint64_t, 64> ring;
  auto producer = ring.producer();
  auto consumer = ring.consumer(Acknowledge::kLazily, Pacing::kOn);
  expect_passed(status_without_system_calls([&](std::uint64_t i) {
    return producer.try_push(i) && consumer.try_pop() == i && !consumer.try_pop();
  }));
}

TEST_F(PublishSystemCalls, AreNotMadeByRecordRings) {
  testing::RecordFixture ring(4096);
  auto producer = ring.producer();
  auto consumer = ring.consumer();
  expect_passed(status_without_system_calls([&](std::uint64_t i) {
    std::byte* bytes = producer.try_reserve(64);
    if (bytes == nullptr) return false;
    std::memcpy(bytes, &i, sizeof i);
    producer.commit(64);
    std::uint64_t found = ~i;
    if (consumer.try_peek() != ReadOutcome::kMessage) return false;
    std::memcpy(&found, consumer.data(), sizeof found);
    consumer.give_back();
    return found == i;
  }));
}

// `channel` is opened in the child: a forked handle refuses.
int status_of_a_channel(const std::string& url) {
  std::optional<std::pair<Sender, Receiver>> channel;
  return status_without_system_calls([&](std::uint64_t i) {
    if (!channel) channel = open_pair(url).value();
    auto& [sender, receiver] = *channel;
    std::array<std::byte, 64> bytes{};
    std::memcpy(bytes.data(), &i, sizeof i);
    if (sender.try_send(bytes) != Status::kOk) return false;
    const auto message = receiver.try_next();
    return message && std::memcmp(message->bytes().data(), bytes.data(), bytes.size()) == 0;
  });
}

TEST_F(PublishSystemCalls, AreNotMadeBySenderAndReceiver) {
  // Opened in the child: a handle does not survive a fork. Only the passing is without calls.
  const testing::ScratchDirectory directory;
  const std::string path = directory.path() + "/ring";
  expect_passed(status_of_a_channel("inproc:?capacity=64KiB"));
  expect_passed(status_of_a_channel("file:" + path + "1?capacity=64KiB"));
  expect_passed(status_of_a_channel("file:" + path + "2?capacity=64KiB&readers=2"));
  expect_passed(status_of_a_channel("shm+guarded:" + path + "3?capacity=64KiB"));
  expect_passed(status_of_a_channel("file:" + path + "4?kind=mpmc&slots=64"));
  expect_passed(status_of_a_channel("file:" + path + "5?kind=frames&frame_size=64"));
  for (int i = 1; i <= 5; ++i) unlink((path + std::to_string(i)).c_str());  // they just exit
}

}  // namespace
}  // namespace rondo
