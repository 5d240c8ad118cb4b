// What is first made while a fork() has begun already, in another thread: the child knows of it.
//
//   1. AForkSeesWhatWasFirstMadeAfterItHadBegun
#include <fcntl.h>
#include <gtest/gtest.h>
#include <pthread.h>
#include <sys/wait.h>
#include <unistd.h>

#include <optional>

#include "rondo/core/fork_check.hpp"
#include "rondo/core/fork_watch.hpp"
#include "rondo/core/liveness.hpp"

namespace rondo::testing {
namespace {

struct Told : detail::ForkWatch {
  Told() : ForkWatch(tell) {}
  static void tell(ForkWatch& watch) noexcept { static_cast<Told&>(watch).is_child = true; }
  bool is_child = false;
};

std::optional<Told> told;
std::optional<detail::ForkCheck> check;
std::optional<LivenessLock> lock;
int locked = -1;

// The last handler that was registered is the first one to be called before a fork.
void make_the_first_ones() {
  told.emplace();
  check.emplace();
  lock.emplace(LivenessLock::adopt(locked));
}

TEST(ForkHandlers, AForkSeesWhatWasFirstMadeAfterItHadBegun) {
  locked = open("/dev/null", O_RDWR | O_CLOEXEC);
  ASSERT_GE(locked, 0);
  ASSERT_EQ(pthread_atfork(make_the_first_ones, nullptr, nullptr), 0);
  const pid_t child = fork();
  if (child == 0) {
    const bool closed = fcntl(locked, F_GETFD) < 0;
    _exit((told->is_child ? 0 : 1) + (check->forked() ? 0 : 2) + (closed ? 0 : 4));
  }
  int status = -1;
  ASSERT_EQ(waitpid(child, &status, 0), child);
  EXPECT_EQ(WEXITSTATUS(status), 0) << "1: the watch, 2: the check, 4: the lock";
  EXPECT_FALSE(told->is_child);
  EXPECT_FALSE(check->forked());
}

}  // namespace
}  // namespace rondo::testing
