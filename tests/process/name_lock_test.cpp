// Who makes a name of a socket or a FIFO, and who takes it away, and who can keep them from it.
//
//   1. AUserThatMayOnlyReadTheDirectoryBlocksNone
//   2. OneThatStandsStillWhileItOpensIsNotWaitedForForEver
//   3. ADeathLeavesNothingThatBlocks
//   4. AFileOfAnotherUserStays
//   5. ANameThatHasComeSinceTheLookStays
#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/file.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>
#include <string>
#include <thread>
#include <utility>

#include "conformance/channel_fixture.hpp"
#include "process/stepper.hpp"

namespace rondo::testing {
namespace {

using std::chrono::seconds;

OpenOptions patient() { return {.wait = Deadline::after(seconds(60))}; }
OpenOptions at_once() { return {.wait = Deadline::now()}; }

class NameLocks : public Watchdog, public ::testing::WithParamInterface<const char*> {
 protected:
  [[nodiscard]] std::string path() const { return directory_.path() + "/name"; }
  [[nodiscard]] std::string lock() const { return path() + ".rondo-lock"; }
  [[nodiscard]] std::string url() const { return GetParam() + path(); }
  [[nodiscard]] bool sender_makes_it() const { return std::string(GetParam()) == "shm+guarded:"; }
  // The side that makes the name, in the least time that it takes.
  [[nodiscard]] ErrorCode made() const {
    if (sender_makes_it()) {
      const auto sender = Sender::open(url(), at_once());
      return sender ? ErrorCode{} : sender.error().code;
    }
    const auto receiver = Receiver::open(url(), at_once());
    return receiver ? ErrorCode{} : receiver.error().code;  // kTimedOut: it has listened
  }
  void expect_a_message_passes() const {
    Child sends([&] {
      auto sender = Sender::open(url(), patient());
      return sender && sender->send(bytes_of("hello")) == Status::kOk &&
                     sender->close(Deadline::after(seconds(60))) == Status::kOk
                 ? 0
                 : 1;
    });
    auto receiver = Receiver::open(url(), patient());
    ASSERT_TRUE(receiver) << receiver.error().message;
    EXPECT_EQ(receive(*receiver), "hello");
    EXPECT_EQ(receive(*receiver), kEndOfStreamText);
    EXPECT_EQ(sends.join(), 0);
  }
  [[nodiscard]] std::string what_is_left() const {
    std::string names;
    for (const auto& entry : std::filesystem::directory_iterator(directory_.path())) {
      names += entry.path().filename().string() + " ";
    }
    return names;
  }

  ScratchDirectory directory_;
};

INSTANTIATE_TEST_SUITE_P(Schemes, NameLocks, ::testing::Values("unix:", "shm+guarded:", "fifo:"),
                         [](const auto& scheme) {
                           return scheme.param[0] == 's'   ? "Guarded"
                                  : scheme.param[0] == 'u' ? "Unix"
                                                           : "Fifo";
                         });

TEST_P(NameLocks, AUserThatMayOnlyReadTheDirectoryBlocksNone) {
  for (const int how : {LOCK_SH, LOCK_EX}) {
    Shared<std::atomic<bool>> locked;
    Child reader([&] {
      const int fd = open(directory_.path().c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
      if (fd < 0 || flock(fd, how | LOCK_NB) != 0) return 1;
      *locked = true;
      for (;;) pause();
    });
    while (!*locked) std::this_thread::yield();
    EXPECT_NE(made(), ErrorCode::kBusy);
    expect_a_message_passes();
    EXPECT_EQ(what_is_left(), "");
  }
}

TEST_P(NameLocks, OneThatStandsStillWhileItOpensIsNotWaitedForForEver) {
  if (url().starts_with("fifo:")) GTEST_SKIP() << "a FIFO is made without a lock, if need be";
  {
    Shared<std::atomic<bool>> locked;
    Child holder([&] {
      const int fd = open(lock().c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0600);
      struct flock whole {};
      whole.l_type = F_WRLCK;
      if (fd < 0 || fcntl(fd, F_OFD_SETLK, &whole) != 0) return 1;
      *locked = true;
      for (;;) pause();
    });
    while (!*locked) std::this_thread::yield();
    EXPECT_EQ(made(), ErrorCode::kBusy);
    if (sender_makes_it()) {
      EXPECT_FALSE(Sender::open(url()));
    } else {
      EXPECT_FALSE(Receiver::open(url()));
    }
  }
  expect_a_message_passes();  // what it has left is taken over
  EXPECT_EQ(what_is_left(), "");
}

// At each system call of an open, and of what follows it.
TEST_P(NameLocks, ADeathLeavesNothingThatBlocks) {
  int deaths_with_lock = 0;
  for (int moment = 0;; ++moment) {
    ASSERT_LT(moment, 2000);
    {
      Stepper victim([&] {
        Stepper::begin();
        static_cast<void>(made());
        Stepper::end();
      });
      bool there = true;
      for (int i = 0; i <= moment && there; ++i) there = victim.run_to_system_call();
      if (!there) break;
    }
    deaths_with_lock += access(lock().c_str(), F_OK) == 0 ? 1 : 0;
    const ErrorCode next = made();
    EXPECT_TRUE(next == ErrorCode{} || next == ErrorCode::kTimedOut) << moment << to_string(next);
    // A FIFO that is there already needs no lock.
    if (!url().starts_with("fifo:")) {
      EXPECT_NE(access(lock().c_str(), F_OK), 0) << moment;
    }
  }
  EXPECT_GT(deaths_with_lock, 4);
  expect_a_message_passes();
  static_cast<void>(remove(url()));  // a dead one's FIFO stays until then
  EXPECT_EQ(what_is_left(), "");
}

TEST_P(NameLocks, AFileOfAnotherUserStays) {
  if (url().starts_with("fifo:")) GTEST_SKIP() << "a FIFO is made without a lock, if need be";
  std::ofstream(lock()) << "mine";
  EXPECT_EQ(made(), ErrorCode::kForeignObject);
  EXPECT_EQ(std::filesystem::file_size(lock()), 4u);
  std::filesystem::remove(lock());
  std::filesystem::create_symlink(path() + "-elsewhere", lock());
  EXPECT_EQ(made(), ErrorCode::kForeignObject);
  EXPECT_FALSE(std::filesystem::exists(path() + "-elsewhere"));
  EXPECT_TRUE(std::filesystem::remove(lock()));
}

// One that closes has looked whether the name is its own, and stands still. The name is removed,
// and another one opens.
TEST_P(NameLocks, ANameThatHasComeSinceTheLookStays) {
  if (!sender_makes_it()) GTEST_SKIP() << "it is enough to see it once";
  Stepper closes([&] {
    auto sender = Sender::open(url(), at_once());
    Stepper::begin();
    sender->break_off();
  });
  for (;;) {
    ASSERT_TRUE(closes.run_to_system_call());
    if (closes.system_call() == SYS_unlink) break;
  }
  ASSERT_EQ(unlink(path().c_str()), 0);
  auto opened = Sender::open(url(), at_once());
  EXPECT_EQ(closes.run_to_exit(), 0);
  if (!opened) {
    EXPECT_EQ(opened.error().code, ErrorCode::kBusy);
    opened = Sender::open(url(), patient());
  }
  ASSERT_TRUE(opened) << opened.error().message;
  EXPECT_EQ(access(path().c_str(), F_OK), 0);
}

}  // namespace
}  // namespace rondo::testing
