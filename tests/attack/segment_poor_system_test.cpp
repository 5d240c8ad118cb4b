// Systems that lack something: unnamed files, /proc, seals that forbid execution. Each in a child
// that loses it.
#include <errno.h>
#include <fcntl.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <sched.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>

#include <cstddef>

#include "support/processes.hpp"
#include "support/segment_fixture.hpp"

namespace rondo {
namespace {

using namespace rondo::testing;

constexpr int kCantTakeAway = 77;

class PoorSystem : public Watchdog {
 protected:
  static void expect_success(Child& child) {
    const int result = child.join();
    if (result == kCantTakeAway) GTEST_SKIP() << "this test may not take it away here";
    EXPECT_EQ(result, 0);
  }

  Directory directory_;
  SegmentName name_ = directory_.name("segment");
};

// From now on the kernel answers `error` to system call `number` when its argument `index` has all
// of `bits` (in its low half).
bool refuse(int number, unsigned index, std::uint32_t bits, int error) {
  const auto argument = static_cast<std::uint32_t>(offsetof(seccomp_data, args) + 8 * index);
  const auto answer = SECCOMP_RET_ERRNO | static_cast<std::uint32_t>(error);
  sock_filter program[] = {
      BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(seccomp_data, nr)),
      BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, static_cast<std::uint32_t>(number), 0, 4),
      BPF_STMT(BPF_LD | BPF_W | BPF_ABS, argument),
      BPF_STMT(BPF_ALU | BPF_AND | BPF_K, bits),
      BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, bits, 0, 1),
      BPF_STMT(BPF_RET | BPF_K, answer),
      BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
  };
  const sock_fprog filter{sizeof program / sizeof program[0], program};
  return prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0 &&
         prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &filter) == 0;
}

TEST_F(PoorSystem, WithoutUnnamedFilesATemporaryNameIsUsed) {
  for (const int error : {EOPNOTSUPP, EISDIR, EINVAL}) {
    Child child([&] {
      if (!refuse(SYS_openat, 2, O_TMPFILE, error)) return kCantTakeAway;
      const auto created = create_small(name_);
      if (!created) return 1;
      if (!Segment::attach(name_)) return 2;
      if (code_of(create_small(name_)) != code_of(ErrorCode::kAlreadyExists)) return 3;
      const auto failed = Segment::create(directory_.name("b"), 8192, {}, [](auto) -> Result<void> {
        return Error{ErrorCode::kInvalidCapacity, "no"};
      });
      if (failed) return 4;
      return Segment::remove(name_) ? 0 : 5;
    });
    expect_success(child);
    EXPECT_TRUE(directory_.empty());  // no temporary name is left either
  }
}

TEST_F(PoorSystem, WithoutRenamingThatSparesWhatIsThereNothingIsOverwritten) {
  Child child([&] {
    if (!refuse(SYS_openat, 2, O_TMPFILE, EOPNOTSUPP)) return kCantTakeAway;
    if (!refuse(SYS_renameat2, 4, 1, EINVAL)) return kCantTakeAway;
    return code_of(create_small(name_)) == code_of(ErrorCode::kUnsupported) ? 0 : 1;
  });
  expect_success(child);
  EXPECT_TRUE(directory_.empty());
}

TEST_F(PoorSystem, WithoutProcSegmentsStillOpenButNoneCanJoin) {
  if (geteuid() != 0) GTEST_SKIP() << "needs root to hide /proc";
  Child child([&] {
    if (unshare(CLONE_NEWNS) != 0) return kCantTakeAway;
    if (mount(nullptr, "/", nullptr, MS_REC | MS_PRIVATE, nullptr) != 0) return kCantTakeAway;
    if (mount("none", "/proc", "tmpfs", 0, nullptr) != 0) return kCantTakeAway;
    const auto created = create_small(name_);
    if (!created) return 1;
    const auto attached = Segment::attach(name_);
    if (!attached || !check_header(attached->bytes(), RingKind::kRecord, "it")) return 2;
    const auto lock = LivenessLock::open(*attached);
    if (code_of(lock) != code_of(ErrorCode::kUnsupported)) return 3;
    return lock.error().message.find("/proc") != std::string::npos ? 0 : 4;
  });
  expect_success(child);
}

TEST_F(PoorSystem, OlderKernelsWithoutSealsAgainstExecution) {
  Child child([&] {
    if (!refuse(SYS_memfd_create, 1, 8, EINVAL)) return kCantTakeAway;
    return create_small({Backing::kMemfd, {}}) ? 0 : 1;
  });
  expect_success(child);
}

TEST_F(PoorSystem, OlderKernelsThatDontPopulateOnAdvice) {
  Child child([&] {
    if (!refuse(SYS_madvise, 2, 22, EINVAL)) return kCantTakeAway;  // and 23
    const auto created = create_small(name_);
    return created && created->report().prefaulted && Segment::attach(name_) ? 0 : 1;
  });
  expect_success(child);
}

TEST_F(PoorSystem, TheHeapsPagesAreThereWithoutThatAdviceToo) {
  Child child([&] {
    if (!refuse(SYS_madvise, 2, 22, EINVAL)) return kCantTakeAway;  // and 23
    constexpr std::size_t kBytes = std::size_t{16} << 20;
    const auto created =
        Segment::create({Backing::kHeap, {}}, kBytes, {}, [](auto) -> Result<void> { return {}; });
    if (!created || !created->report().prefaulted) return 1;
    rusage before{};
    getrusage(RUSAGE_SELF, &before);
    const auto bytes = created->bytes();
    for (std::size_t at = 0; at < bytes.size(); at += 4096) bytes[at] = std::byte{1};
    rusage after{};
    getrusage(RUSAGE_SELF, &after);
    return after.ru_minflt - before.ru_minflt < 64 ? 0 : 2;  // of 4096
  });
  expect_success(child);
}

TEST_F(PoorSystem, SystemsThatForbidPlacementAndLockingSaySo) {
  Child child([&] {
    if (!refuse(SYS_mbind, 0, 0, EPERM) || !refuse(SYS_mlock, 0, 0, EPERM)) return kCantTakeAway;
    const auto created = create_small({Backing::kMemfd, {}}, {.lock = true, .numa_node = 0});
    if (!created) return 1;
    const SegmentReport& report = created->report();
    // Sanitizers swallow mlock, and say that it worked.
    const std::size_t unmet = report.locked ? 1 : 2;
    return report.numa_node == -1 && report.notes.size() == unmet ? 0 : 2;
  });
  expect_success(child);
}

}  // namespace
}  // namespace rondo
