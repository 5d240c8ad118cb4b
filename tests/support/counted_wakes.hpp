// Runs something in a thread of its own, and counts the system calls by which it wakes others:
// FUTEX_WAKE of shared words (libraries' own are of private ones), and writes to pipes, sockets and
// message queues.
// Each is made all the same: the filter traps it, and the handler makes it.
#pragma once

#include <gtest/gtest.h>
#include <linux/filter.h>
#include <linux/futex.h>
#include <linux/seccomp.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <ucontext.h>
#include <unistd.h>

#include <cerrno>
#include <cstddef>
#include <cstdint>
#include <thread>
#include <utility>

namespace rondo::testing {

class CountedWakes {
 public:
  // Where the calls can't be counted the test is skipped.
  template <class Body>
  static void run(Body&& body) {
    struct sigaction handler {};
    handler.sa_sigaction = count_and_make;
    handler.sa_flags = SA_SIGINFO | SA_NODEFER;
    ASSERT_EQ(sigaction(SIGSYS, &handler, nullptr), 0);
    std::thread([&] {
      count_ = 0;
      taken_ = 0;
      if (!trap()) GTEST_SKIP() << "no seccomp here";
      body();
    }).join();
  }
  // By this thread since the last call.
  [[nodiscard]] static int taken() noexcept { return count_ - std::exchange(taken_, count_); }

 private:
  // In the sixth argument, which none of these calls reads: not to be trapped again.
  static constexpr std::uint32_t kMadeByUs = 0x52696E67;

  [[nodiscard]] static bool trap() {
    sock_filter program[] = {
        BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(seccomp_data, args[5])),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, kMadeByUs, 11, 0),
        BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(seccomp_data, nr)),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_mq_timedsend, 8, 0),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_msgsnd, 7, 0),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_writev, 6, 0),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_sendmsg, 5, 0),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_sendto, 4, 0),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_sendmmsg, 3, 0),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_futex, 0, 3),
        BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(seccomp_data, args[1])),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, FUTEX_WAKE, 0, 1),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_TRAP),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
    };
    const sock_fprog filter{sizeof program / sizeof program[0], program};
    return prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0 &&
           prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &filter) == 0;
  }
  static void count_and_make(int, siginfo_t* info, void* context) {
    const int saved = errno;
    greg_t* const is = static_cast<ucontext_t*>(context)->uc_mcontext.gregs;
    const long result = syscall(info->si_syscall, is[REG_RDI], is[REG_RSI], is[REG_RDX],
                                is[REG_R10], is[REG_R8], static_cast<long>(kMadeByUs));
    is[REG_RAX] = result < 0 ? -errno : result;
    ++count_;
    errno = saved;
  }

  static inline thread_local int count_ = 0;
  static inline thread_local int taken_ = 0;
};

}  // namespace rondo::testing
