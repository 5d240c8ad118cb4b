// An open that fails leaves nothing behind that it made: no name, no file with a temporary one.
// Each system call of an open is made to fail in turn, by ptrace(2).
//
//  1. AtEachSystemCallOfASender, AtEachSystemCallOfAPair: every transport and kind
//  2. WithoutDescriptors: each number of them that is too small
//  3. WithoutProc
//  4. WhatAnotherOneHasJoinedStays
#include <gtest/gtest.h>
#include <sched.h>
#include <sys/mount.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/user.h>

#include <filesystem>
#include <functional>
#include <string>
#include <vector>

#include "conformance/channel_cases.hpp"
#include "process/stepper.hpp"
#include "rondo/rondo.hpp"
#include "support/processes.hpp"
#include "support/sanitizers.hpp"
#include "support/segment_fixture.hpp"

namespace rondo {
namespace {

using namespace rondo::testing;

constexpr int kOpened = 10;
constexpr int kFailed = 11;

struct Case {
  ChannelCase channel;
  std::string options;
};
std::vector<Case> all_cases() {
  std::vector<Case> cases;
  for (const ChannelCase& channel : kChannelCases) {
    cases.push_back({channel, options_of(channel, 4096)});
    // OpenSSL sets itself up in this process: by pthread_once(), which ends the program if its
    // futex(2) fails, in any library.
    if (!needed_options(channel).empty()) {
      EXPECT_TRUE(open_pair(fresh_url(channel, {}) + "?" + options_of(channel, 4096)));
    }
    if (channel.has_readers() && channel.processes) {
      cases.push_back({channel, options_of(channel, 4096) + "&readers=3"});
    }
    if (channel.scheme == "fifo:") cases.push_back({channel, "keep=1"});
  }
  for (const ChannelCase& channel : kLossyChannelCases) {
    cases.push_back({channel, "kind=frames&frame_size=4KiB"});
  }
  return cases;
}

// Calls that give something back: if they fail, there is nothing more that could be done. And
// those of the child's own life. A brk that fails returns no error, but what it was before.
bool may_fail(long call) {
  for (const long spared :
       {SYS_unlink, SYS_unlinkat, SYS_munmap, SYS_exit_group, SYS_exit, SYS_kill, SYS_tgkill,
        SYS_getpid, SYS_gettid, SYS_rt_sigprocmask, SYS_rt_sigaction, SYS_close, SYS_brk}) {
    if (call == spared) return false;
  }
  return true;
}

class FailedOpen : public Watchdog {
 protected:
  // What stands in shared memory, in our directory, and at the URL if that is a queue's or a key's.
  [[nodiscard]] std::vector<std::string> names(const std::string& url) const {
    std::vector<std::string> names;
    for (const auto& entry : std::filesystem::directory_iterator(directory_)) {
      names.push_back(entry.path());
    }
    const std::string mine = "test-" + std::to_string(getpid()) + "-";
    for (const auto& entry : std::filesystem::directory_iterator("/dev/shm")) {
      const std::string name = entry.path();
      if (name.find(mine) != std::string::npos) names.push_back(name);
    }
    const bool queue = url.starts_with("mq:") || url.starts_with("sysv");
    if (queue && remove(url.substr(0, url.find('?')), true)) names.push_back(url);
    return names;
  }
  // But what stands at a URL, which is gone.
  static void remove_all(const std::vector<std::string>& names) {
    for (const std::string& name : names) unlink(name.c_str());
  }

  using Open = std::function<bool(const std::string&)>;

  // Whether `open` failed in a child whose system call number `index` failed with `error`; nothing
  // when it makes fewer calls.
  std::optional<bool> failed_at(int index, int error, const std::function<bool()>& open) {
    Stepper child([&] {
      Stepper::begin();
      _exit(open() ? kOpened : kFailed);
    });
    for (int i = 0;;) {
      if (!child.run_to_system_call()) return std::nullopt;
      if (may_fail(child.system_call()) && !child.unlocks() && i++ == index) break;
      if (!child.run_to_system_call()) return std::nullopt;
    }
    call_ = child.system_call();
    child.fail_system_call(error);
    const int status = child.run_to_exit();
    EXPECT_TRUE(status == kOpened || status == kFailed) << status;
    return status == kFailed;
  }

  void at_each_system_call(const std::string& what, bool pairs, const Open& open) {
    std::uint64_t failures = 0;
    for (const Case& one : all_cases()) {
      // Whose open fails of itself would have the calls fail by which it cleans up.
      const bool alone = one.channel.ring && one.channel.processes;
      if (!pairs && !alone) continue;
      for (const int error : {EMFILE, ENOENT}) {
        for (int index = 0;; ++index) {
          ASSERT_LT(index, 2000);
          const std::string url = fresh_url(one.channel, directory_) + "?" + one.options;
          const auto failed = failed_at(index, error, [&] { return open(url); });
          const auto left = names(url);
          remove_all(left);
          if (!failed) break;
          if (!*failed) continue;
          ++failures;
          EXPECT_TRUE(left.empty()) << what << " " << url << ", call " << index << " (" << call_
                                    << "): " << strerror(error) << ", left " << left.front();
        }
      }
    }
    std::printf("%s: %llu opens failed\n", what.c_str(), static_cast<unsigned long long>(failures));
    EXPECT_GT(failures, 100u);
  }

  long call_ = 0;  // that failed last
  ScratchDirectory scratch_;
  std::string directory_ = scratch_.path();
};

OpenOptions at_once() { return {.wait = Deadline::now()}; }

TEST_F(FailedOpen, AtEachSystemCallOfASender) {
  if (kAddressSanitizer) GTEST_SKIP() << kSanitizerNeedsIt;
  at_each_system_call("sender", false, [](const std::string& url) {
    return Sender::open(url, at_once()).has_value();
  });
}

TEST_F(FailedOpen, AtEachSystemCallOfAPair) {
  if (kAddressSanitizer) GTEST_SKIP() << kSanitizerNeedsIt;
  at_each_system_call("pair", true, [](const std::string& url) {
    return open_pair(url, {.wait = Deadline::after(std::chrono::milliseconds(200))}).has_value();
  });
}

TEST_F(FailedOpen, WithoutDescriptors) {
  if (kAddressSanitizer) GTEST_SKIP() << kSanitizerNeedsIt;
  for (const Case& one : all_cases()) {
    for (rlim_t limit = 3; limit < 16; ++limit) {
      const std::string url = fresh_url(one.channel, directory_) + "?" + one.options;
      Child child([&] {
        for (int fd = 3; fd < 64; ++fd) close(fd);
        const rlimit few{limit, limit};
        if (setrlimit(RLIMIT_NOFILE, &few) != 0) return 1;
        return open_pair(url, at_once()) ? kOpened : kFailed;
      });
      const int result = child.join();
      const auto left = names(url);
      remove_all(left);
      if (result == kOpened) continue;
      EXPECT_EQ(result, kFailed);
      EXPECT_TRUE(left.empty()) << url << " with " << limit << " descriptors left " << left[0];
    }
  }
}

TEST_F(FailedOpen, WithoutProc) {
  if (geteuid() != 0) GTEST_SKIP() << "needs root to hide /proc";
  for (const Case& one : all_cases()) {
    const std::string url = fresh_url(one.channel, directory_) + "?" + one.options;
    Child child([&] {
      if (unshare(CLONE_NEWNS) != 0) return 77;
      if (mount(nullptr, "/", nullptr, MS_REC | MS_PRIVATE, nullptr) != 0) return 77;
      if (mount("none", "/proc", "tmpfs", 0, nullptr) != 0) return 77;
      return open_pair(url, at_once()) ? kOpened : kFailed;
    });
    const int result = child.join();
    if (result == 77) GTEST_SKIP() << "may not hide /proc here";
    const auto left = names(url);
    remove_all(left);
    if (result != kOpened) {
      EXPECT_TRUE(left.empty()) << url;
    }
  }
}

TEST_F(FailedOpen, WhatAnotherOneHasJoinedStays) {
  const SegmentName name{Backing::kFile, directory_ + "/segment"};
  const Geometry geometry = small_geometry();
  {
    const Segment made = sound(create_small(name));
    const Segment seen = sound(Segment::attach(name));
    Participants other = participants_of(seen);
    ASSERT_TRUE(other.join({.role = Role::kProducer}));
    EXPECT_FALSE(remove_if_never_joined(made, geometry));  // it is there
    other.leave(false);
    EXPECT_FALSE(remove_if_never_joined(made, geometry));  // it may have left something
    EXPECT_TRUE(made.still_at_its_name());
  }
  EXPECT_TRUE(Segment::remove(name));
  {
    const Segment made = sound(create_small(name));
    EXPECT_TRUE(remove_if_never_joined(made, geometry));
    EXPECT_FALSE(made.still_at_its_name());
  }
}

}  // namespace
}  // namespace rondo
