// Contract of the asymmetric fence. Each line has a test of the same name, in this order.
// That the fence fences is shown by ordering/doorbell_litmus_test.cpp.
//  1. RegisteringAgainGivesTheSameAnswer
//  2. TheAnswersAreTheKernels
//  3. AForkedChildIsRegistered
//  4. ErrnoIsLeftAlone
#include "rondo/sync/asymmetric_fence.hpp"

#include <linux/membarrier.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cerrno>

#include "support/doorbell_fixture.hpp"

namespace rondo {
namespace {

class AsymmetricFence : public testing::Watchdog {};

// Of Linux 6.3; the headers of Debian 12 do not know it.
constexpr int kGetRegistrations = 1 << 9;

long membarrier(int command) { return syscall(SYS_membarrier, command, 0, 0); }

TEST_F(AsymmetricFence, RegisteringAgainGivesTheSameAnswer) {
  const bool first = register_publisher();
  EXPECT_EQ(register_publisher(), first);
  EXPECT_EQ(register_publisher(), first);
}

TEST_F(AsymmetricFence, TheAnswersAreTheKernels) {
  const long known = membarrier(MEMBARRIER_CMD_QUERY);
  const bool has_it = known > 0 && (known & MEMBARRIER_CMD_GLOBAL_EXPEDITED) != 0;
  EXPECT_EQ(register_publisher(), has_it);
  EXPECT_EQ(heavy_fence(), has_it);
}

TEST_F(AsymmetricFence, AForkedChildIsRegistered) {
  if (!register_publisher()) GTEST_SKIP() << "no membarrier here";
  if (membarrier(kGetRegistrations) < 0) GTEST_SKIP() << "the kernel can't be asked";
  testing::Child child([] {
    const long registered = membarrier(kGetRegistrations);
    return (registered & MEMBARRIER_CMD_REGISTER_GLOBAL_EXPEDITED) != 0 ? 0 : 1;
  });
  EXPECT_EQ(child.join(), 0);
}

TEST_F(AsymmetricFence, ErrnoIsLeftAlone) {
  errno = E2BIG;
  static_cast<void>(heavy_fence());
  EXPECT_EQ(errno, E2BIG);
}

}  // namespace
}  // namespace rondo
