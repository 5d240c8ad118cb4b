// The contract of bench/support/names.hpp: a benchmark that is killed leaves no names behind.
//
//   WhatAKilledOneMadeGoes      with everything that has its name in it, and nothing else
//   WhatItForkedIsWaitedFor     while a process that it forked lives, its names stay
//   WhoEndsInOrderWaitsForIt    all is gone when the object is
#include "../../bench/support/names.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <stdlib.h>
#include <sys/prctl.h>

#include <fstream>

namespace rondo::bench {
namespace {

namespace fs = std::filesystem;
using testing::IsEmpty;
using testing::UnorderedElementsAre;

class BenchNames : public testing::Test {
 protected:
  BenchNames() {
    char name[] = "/tmp/rondo-names-XXXXXX";
    directory_ = mkdtemp(name);
    if (pipe2(alive_, O_CLOEXEC) != 0) std::abort();
  }
  ~BenchNames() override { fs::remove_all(directory_); }

  void make(const std::string& name) const { std::ofstream(directory_ / name) << name; }
  [[nodiscard]] std::vector<std::string> there() const {
    std::vector<std::string> names;
    for (const auto& entry : fs::directory_iterator(directory_)) {
      names.push_back(entry.path().filename());
    }
    return names;
  }
  // Waits for the end of all processes that were forked since the object was made.
  void wait_for_all() {
    close(alive_[1]);
    char byte = 0;
    while (read(alive_[0], &byte, 1) < 0 && errno == EINTR) {
    }
    close(alive_[0]);
  }

  fs::path directory_;
  int alive_[2];  // every process that is forked has the writing end
};

TEST_F(BenchNames, WhatAKilledOneMadeGoes) {
  const pid_t child = fork();
  if (child == 0) {
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    const OwnName name("some-compare", {directory_});
    make("ring." + name.get());
    make(name.get() + "-3");
    make(name.get() + "3");  // of another process
    make("some-compare");
    kill(getpid(), SIGKILL);
  }
  waitpid(child, nullptr, 0);
  wait_for_all();

  EXPECT_THAT(there(),
              UnorderedElementsAre("some-compare", "some-compare-" + std::to_string(child) + "3"));
}

TEST_F(BenchNames, WhatItForkedIsWaitedFor) {
  int go[2];
  ASSERT_EQ(pipe2(go, O_CLOEXEC), 0);
  const pid_t child = fork();
  if (child == 0) {
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    const OwnName name("some-compare", {directory_});
    make(name.get());
    if (fork() == 0) {
      char byte = 0;
      // Outlives its parent until the test has looked.
      _exit(read(go[0], &byte, 1) == 1 ? 0 : 1);
    }
    kill(getpid(), SIGKILL);
  }
  close(go[0]);
  waitpid(child, nullptr, 0);
  EXPECT_THAT(there(), UnorderedElementsAre("some-compare-" + std::to_string(child)));
  ASSERT_EQ(write(go[1], "1", 1), 1);
  close(go[1]);
  wait_for_all();

  EXPECT_THAT(there(), IsEmpty());
}

TEST_F(BenchNames, WhoEndsInOrderWaitsForIt) {
  {
    const OwnName name("some-compare", {directory_});
    make(name.get());
  }
  EXPECT_THAT(there(), IsEmpty());
}

}  // namespace
}  // namespace rondo::bench
