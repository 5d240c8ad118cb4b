// Runs a piece of code in a child process, instruction by instruction, so that a test can look at
// shared memory between any two of them, or end the process there.
//
//   Stepper victim([&] { prepare(); Stepper::begin(); work(); Stepper::end(); });
//   while (victim.step()) { look(); }          // all of work(), or
//   victim.step_to(1234); victim.kill();       // die after 1234 instructions of it
//
// By ptrace(2), single steps: a system call is one step. The child is a fork of the test, so it
// sees what the test had prepared; what it changes elsewhere than in shared memory is not seen.
// Between begin() and end() it should stay clear of the C library, whose steps are no
// business. It dies with its parent. x86-64 and any other Linux with PTRACE_SINGLESTEP; to
// make system calls fail, x86-64 alone.
#pragma once

#include <fcntl.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/syscall.h>
#include <sys/user.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <functional>
#include <utility>

namespace rondo::testing {

class Stepper {
 public:
  // Starts the child and lets it run to begin().
  explicit Stepper(const std::function<void()>& body) : child_(fork()) {
    if (child_ < 0) fail("fork");
    if (child_ == 0) {
      prctl(PR_SET_PDEATHSIG, SIGKILL);
      if (ptrace(PTRACE_TRACEME, 0, nullptr, nullptr) != 0) _exit(126);
      body();
      _exit(0);
    }
    wait_for_stop();
    if (!stopped_by(SIGSTOP)) fail("waiting for begin()");
  }
  Stepper(const Stepper&) = delete;
  Stepper& operator=(const Stepper&) = delete;
  ~Stepper() { kill(); }

  // In the child: the steps that count lie between these two.
  static void begin() { raise(SIGSTOP); }
  static void end() { raise(SIGSTOP); }

  // One instruction. False once end() is reached or the child is gone; then it counts no further.
  bool step() {
    if (!alive_ || finished_) return false;
    if (ptrace(PTRACE_SINGLESTEP, child_, nullptr, nullptr) != 0) fail("PTRACE_SINGLESTEP");
    wait_for_stop();
    if (!alive_) return false;
    if (stopped_by(SIGSTOP)) {
      finished_ = true;
      return false;
    }
    if (!stopped_by(SIGTRAP)) fail("single step: unexpected signal");
    ++steps_;
    return true;
  }
  // Steps until `count` instructions are done in total. False if there are fewer.
  bool step_to(std::uint64_t count) {
    while (steps_ < count) {
      if (!step()) return false;
    }
    return true;
  }
  // Runs on to the next entry into a system call, or the next return from one, whichever comes
  // first. False once end() is reached or the child is gone.
  bool run_to_system_call() {
    if (!alive_ || finished_) return false;
    if (ptrace(PTRACE_SYSCALL, child_, nullptr, nullptr) != 0) fail("PTRACE_SYSCALL");
    wait_for_stop();
    if (!alive_) return false;
    if (stopped_by(SIGSTOP)) finished_ = true;
    return !finished_;
  }
  // At an entry into a system call: which one.
  [[nodiscard]] long system_call() const { return static_cast<long>(registers().orig_rax); }
  // At an entry into a system call: whether it takes a lock, or gives one back.
  [[nodiscard]] bool locks() const { return sets_lock(F_WRLCK); }
  [[nodiscard]] bool unlocks() const { return sets_lock(F_UNLCK); }
  // At an entry into a system call: it is not made, and returns `error`. Goes to its return.
  void fail_system_call(int error) {
    user_regs_struct changed = registers();
    changed.orig_rax = ~0ULL;
    set_registers(changed);
    if (ptrace(PTRACE_SYSCALL, child_, nullptr, nullptr) != 0) fail("PTRACE_SYSCALL");
    wait_for_stop();
    changed = registers();
    changed.rax = static_cast<unsigned long long>(-static_cast<long long>(error));
    set_registers(changed);
  }
  // Lets it run to its exit, and returns its exit status; minus the signal that killed it.
  int run_to_exit() {
    while (alive_) {
      // What stopped it, if that is its own: a fault that is not delivered comes again for ever.
      const bool fault = stopped_by(SIGSEGV) || stopped_by(SIGBUS) || stopped_by(SIGABRT);
      const auto signal = static_cast<std::uintptr_t>(fault ? WSTOPSIG(status_) : 0);
      if (ptrace(PTRACE_CONT, child_, nullptr, signal) != 0) fail("PTRACE_CONT");
      wait_for_stop();
    }
    return WIFEXITED(status_) ? WEXITSTATUS(status_) : -WTERMSIG(status_);
  }
  // Lets it run freely to end(), or to its exit.
  void finish() {
    if (!alive_ || finished_) return;
    if (ptrace(PTRACE_CONT, child_, nullptr, nullptr) != 0) fail("PTRACE_CONT");
    wait_for_stop();
    finished_ = true;
  }
  // SIGKILL, and waits until the kernel has taken it down, its locks included.
  void kill() {
    if (!alive_) return;
    ::kill(child_, SIGKILL);
    while (alive_) wait_for_stop();
  }

  [[nodiscard]] std::uint64_t steps() const { return steps_; }
  [[nodiscard]] bool finished() const { return finished_; }  // has it come to end()?
  [[nodiscard]] pid_t pid() const { return child_; }

 private:
  void wait_for_stop() {
    if (waitpid(child_, &status_, __WALL) != child_) fail("waitpid");
    if (WIFEXITED(status_) || WIFSIGNALED(status_)) alive_ = false;
  }
  [[nodiscard]] bool sets_lock(short type) const {
    const user_regs_struct now = registers();
    if (now.orig_rax != SYS_fcntl || now.rsi != F_OFD_SETLK) return false;
    return static_cast<short>(ptrace(PTRACE_PEEKDATA, child_, now.rdx, nullptr)) == type;
  }
  [[nodiscard]] user_regs_struct registers() const {
    user_regs_struct now{};
    if (ptrace(PTRACE_GETREGS, child_, nullptr, &now) != 0) fail("PTRACE_GETREGS");
    return now;
  }
  void set_registers(user_regs_struct& changed) {
    if (ptrace(PTRACE_SETREGS, child_, nullptr, &changed) != 0) fail("PTRACE_SETREGS");
  }
  [[nodiscard]] bool stopped_by(int signal) const {
    return alive_ && WIFSTOPPED(status_) && WSTOPSIG(status_) == signal;
  }
  [[noreturn]] static void fail(const char* what) {
    std::perror(what);
    std::abort();
  }

  pid_t child_;
  int status_ = 0;
  bool alive_ = true;
  bool finished_ = false;
  std::uint64_t steps_ = 0;
};

}  // namespace rondo::testing
