// Notice that a file was closed, and the waits over many channels that stand on it.
//
//   1. WhoeverClosesItIsTold               killed, too; a mere reader's closing is not
//   2. WhatIsCutShortIsTold
//   3. SeveralWatchesOfOneFileAreTold      until the last one goes
//   4. AFileThatGoesIsToldOfNoMore
//   5. AForkedChildHasItsOwn
//   6. WhereTheKernelTellsNothingThereIsNone
//   7. FilesOfAProgramThatClosedAllDescriptorsAreLeftAlone
//   8. SoIsAnInotifyOfTheProgram            which has the inode of the closed one
//   9. WhatIsWatchedAfterThatIsToldAtOnce
//  10. AfterThatTheLastOneGoesAtOnce
//  11. AQuietFileWithTheNumberOfTheInotifyIsFoundOut
//  12. AStormOfClosingsIsToldNowAndThen    a hostile peer; and keeps nothing else from being told
//  13. AStormKeepsNoOtherClosingBack
//  14. NoneStandsBehindAnOverflow
//  15. ADescriptorsFileIsWatchedAnewBehindAnOverflow
//  16. AnIdleSetOfManyAsksTheKernelSeldom  system calls counted
//  17. AKilledSenderIsToldToOneThatSlept   wait sets and descriptors, rings of every kind, with and
//                                          without inotify
//  18. AKilledReceiverIsToldToOneThatSlept beside a sender without room, the same
//  19. ADeathIsToldInAStormOfClosings      a hostile peer
#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <array>
#include <atomic>
#include <cerrno>
#include <fstream>
#include <functional>
#include <memory>
#include <sstream>
#include <string>
#include <string_view>
#include <thread>
#include <vector>

#include "conformance/channel_cases.hpp"
#include "process/stepper.hpp"
#include "rondo/core/descriptor.hpp"
#include "rondo/rondo.hpp"
#include "rondo/sync/close_watch.hpp"
#include "rondo/sync/wake_descriptor.hpp"
#include "support/event_loop.hpp"
#include "support/names.hpp"
#include "support/processes.hpp"
#include "support/replaced_descriptors.hpp"
#include "support/sanitizers.hpp"
#include "support/system_call_filter.hpp"

namespace rondo::testing {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;
using Clock = Deadline::Clock;
using Key = WaitSet::Key;

// A file that is open, and its other openings.
class File {
 public:
  explicit File(const std::string& path)
      : fd_(open(path.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0600)), path_(path) {}
  // Without a name.
  File() : fd_(detail::open_memory("watched", 0).release()), path_(proc_path(fd_)) {}
  File(const File&) = delete;
  File& operator=(const File&) = delete;
  ~File() { close_it(); }

  [[nodiscard]] int fd() const { return fd_; }
  [[nodiscard]] int again(int flags = O_RDWR) const {
    return open(path_.c_str(), flags | O_CLOEXEC);
  }
  void open_and_close(int flags = O_RDWR) const { close(again(flags)); }
  void close_it() { close(std::exchange(fd_, -1)); }

 private:
  static std::string proc_path(int fd) { return "/proc/self/fd/" + std::to_string(fd); }

  int fd_;
  std::string path_;
};

// A watch, and how often it has told.
struct Watched {
  explicit Watched(const File& file)
      : watch(CloseWatch::of(file.fd(), [this] { times.fetch_add(1); })) {}
  [[nodiscard]] bool due() const { return watch->due(Clock::now()); }
  // Bounded by the test's watchdog.
  void await(int count) const {
    while (times.load() < count) usleep(100);
  }

  std::atomic<int> times{0};
  std::unique_ptr<CloseWatch> watch;
};

class CloseWatches : public Watchdog {
 protected:
  [[nodiscard]] std::string path() const { return directory_.path() + "/file"; }
  void TearDown() override { unlink(path().c_str()); }

  ScratchDirectory directory_;
};

TEST_F(CloseWatches, WhoeverClosesItIsTold) {
  const File named(path());
  const File nameless;
  for (const File* file : {&named, &nameless}) {
    Watched watched(*file);
    ASSERT_NE(watched.watch, nullptr);
    EXPECT_TRUE(watched.watch->stands());
    // Of what came before nothing is told.
    EXPECT_TRUE(watched.due());
    EXPECT_FALSE(watched.watch->next().is_never());
    run_and_kill([&] { return file->again() < 0 ? 1 : 0; });
    watched.await(1);
    EXPECT_TRUE(watched.due());
    // The lock goes just after that: so it is due again.
    while (!watched.due()) usleep(10);
    file->open_and_close(O_RDONLY);
    file->open_and_close();
    watched.await(2);
    EXPECT_EQ(watched.times.load(), 2);
    // One that another process still has open is not closed.
    const int other = file->again();
    Child child([] {
      for (;;) pause();
      return 0;
    });
    close(other);
    file->open_and_close();
    watched.await(3);
    EXPECT_EQ(watched.times.load(), 3);
    // At last there is nothing more to expect.
    while (!watched.watch->next().is_never()) static_cast<void>(watched.due()), usleep(1000);
    EXPECT_FALSE(watched.due());
  }
}

TEST_F(CloseWatches, WhatIsCutShortIsTold) {
  const File file(path());
  ASSERT_EQ(ftruncate(file.fd(), 4096), 0);
  Watched watched(file);
  ASSERT_NE(watched.watch, nullptr);
  ASSERT_EQ(ftruncate(file.fd(), 0), 0);
  watched.await(1);
}

TEST_F(CloseWatches, SeveralWatchesOfOneFileAreTold) {
  const File file(path());
  const File other;
  auto first = std::make_unique<Watched>(file);
  Watched second(file);
  const Watched third(other);
  ASSERT_TRUE(first->watch && second.watch && third.watch);
  file.open_and_close();
  first->await(1);
  second.await(1);
  first.reset();
  file.open_and_close();
  second.await(2);
  second.watch.reset();
  file.open_and_close();
  other.open_and_close();
  third.await(1);
  EXPECT_EQ(second.times.load(), 2);
}

TEST_F(CloseWatches, AFileThatGoesIsToldOfNoMore) {
  File file(path());
  const Watched watched(file);
  ASSERT_NE(watched.watch, nullptr);
  unlink(path().c_str());
  file.close_it();
  while (watched.watch->stands()) usleep(100);
  watched.await(1);
}

TEST_F(CloseWatches, AForkedChildHasItsOwn) {
  const File file(path());
  auto watched = std::make_unique<Watched>(file);
  ASSERT_NE(watched->watch, nullptr);
  await_sleep_of_other_threads();
  Child child([&] {
    const File mine;
    // The kernel gives it the number that the parent's has there.
    const Watched watched_here(mine);
    if (watched_here.watch == nullptr) return 1;
    watched.reset();
    mine.open_and_close();
    watched_here.await(1);
    return 0;
  });
  EXPECT_EQ(child.join(), 0);
  EXPECT_EQ(watched->times.load(), 0);
  file.open_and_close();
  watched->await(1);
}

TEST_F(CloseWatches, WhereTheKernelTellsNothingThereIsNone) {
  for (const long number : {SYS_inotify_init1, SYS_inotify_add_watch, SYS_pipe2}) {
    // By a pipe a sanitizer finds out whether memory can be read.
    if (kAddressSanitizer && number == SYS_pipe2) continue;
    Child child([&] {
      const File file(path());
      if (!forbid_system_call(number, number == SYS_inotify_init1 ? EMFILE : EPERM)) return 77;
      const int next = dup(0);
      close(next);
      for (int i = 0; i < 3; ++i) {
        if (Watched(file).watch != nullptr) return 1;
      }
      // Nor does it keep a descriptor.
      return dup(0) == next ? 0 : 2;
    });
    const int status = child.join();
    if (status == 77) GTEST_SKIP() << "no seccomp here";
    EXPECT_EQ(status, 0) << number;
  }
}

TEST_F(CloseWatches, FilesOfAProgramThatClosedAllDescriptorsAreLeftAlone) {
  const File file(path());
  Child child([&] {
    const Watched watched(file);
    if (watched.watch == nullptr) return 1;
    file.open_and_close();
    watched.await(1);
    if (close_range(3, ~0u, 0) != 0) return 2;
    // Each is readable, and its only byte is the program's.
    std::vector<std::array<int, 2>> pipes(30);
    for (auto& ends : pipes) {
      if (pipe2(ends.data(), O_CLOEXEC | O_NONBLOCK) != 0) return 3;
      if (write(ends[1], "x", 1) != 1) return 4;
    }
    file.open_and_close();
    while (watched.watch->stands()) usleep(100);
    for (const auto& ends : pipes) {
      char byte = 0;
      if (read(ends[0], &byte, 1) != 1) return 5;
    }
    // What is opened anew is told of.
    const Watched anew(File{});
    return anew.watch != nullptr ? 0 : 6;
  });
  EXPECT_EQ(child.join(), 0);
}

TEST_F(CloseWatches, SoIsAnInotifyOfTheProgram) {
  const File file(path());
  for (const bool closed_again : {false, true}) {
    Child child([&] {
      ReplacedDescriptors all;
      {
        auto watched = std::make_unique<Watched>(file);
        if (watched->watch == nullptr) return 1;
        file.open_and_close();
        watched->await(1);
        if (!all.replace_all(path())) return 2;
        if (all.count("inotify") != 1) return 3;
        // What the thread still sleeps by tells it.
        if (closed_again) {
          file.open_and_close();
          while (watched->watch->stands()) usleep(100);
        }
        // What is opened anew is watched by another one; and the thread ends with the last.
        const File other;
        Watched anew(other);
        if (anew.watch == nullptr || watched->watch->stands()) return 4;
        other.open_and_close();
        anew.await(1);
      }
      return all.touched() == 0 ? 0 : 5;
    });
    EXPECT_EQ(child.join(), 0) << closed_again;
  }
}

// The descriptors that this process has of a kind, as the kernel's name of it begins.
std::vector<int> descriptors_of(std::string_view kind) {
  std::vector<int> found;
  for (int fd = 3; fd < 256; ++fd) {
    std::array<char, 64> link{};
    const std::string path = "/proc/self/fd/" + std::to_string(fd);
    const auto size = readlink(path.c_str(), link.data(), link.size());
    if (size > 0 && std::string_view(link.data(), std::size_t(size)).starts_with(kind)) {
      found.push_back(fd);
    }
  }
  return found;
}

// The thread sleeps by what was closed, for up to CloseWatch::kAtLast. In one of a few times it is
// woken, or relieved, well before that.
TEST_F(CloseWatches, WhatIsWatchedAfterThatIsToldAtOnce) {
  for (const bool both : {true, false}) {
    Child child([&] {
      for (int i = 0; i < 3; ++i) {
        const File early;
        const Watched before(early);
        if (before.watch == nullptr) return 1;
        early.open_and_close();
        before.await(1);
        // Nothing tells that it has begun its long sleep. If it has not, this tests less.
        usleep(50'000);
        for (const int fd : descriptors_of("anon_inode:inotify")) close(fd);
        if (both) {
          for (const int fd : descriptors_of("pipe:")) close(fd);
        }
        const auto begin = Clock::now();
        const File file;
        const Watched after(file);
        if (after.watch == nullptr || before.watch->stands()) return 2;
        file.open_and_close();
        after.await(1);
        if (Clock::now() - begin < CloseWatch::kAtLast / 2) return 0;
      }
      return 3;
    });
    EXPECT_EQ(child.join(), 0) << both;
  }
}

// The same, of its end.
TEST_F(CloseWatches, AfterThatTheLastOneGoesAtOnce) {
  Child child([] {
    for (int i = 0; i < 3; ++i) {
      const File file;
      auto watched = std::make_unique<Watched>(file);
      if (watched->watch == nullptr) return 1;
      file.open_and_close();
      watched->await(1);
      usleep(50'000);
      if (close_range(3, ~0u, 0) != 0) return 2;
      const auto begin = Clock::now();
      watched.reset();
      if (Clock::now() - begin < CloseWatch::kAtLast / 2) return 0;
    }
    return 3;
  });
  EXPECT_EQ(child.join(), 0);
}

// Of which nothing is ever told, and nobody watches anything else.
TEST_F(CloseWatches, AQuietFileWithTheNumberOfTheInotifyIsFoundOut) {
  Child child([] {
    const File file;
    const Watched watched(file);
    if (watched.watch == nullptr) return 1;
    file.open_and_close();
    watched.await(1);
    std::array<int, 2> quiet{};
    if (pipe2(quiet.data(), O_CLOEXEC) != 0) return 2;
    for (const int fd : descriptors_of("anon_inode:inotify")) {
      if (dup2(quiet[0], fd) != fd) return 3;
    }
    for (const auto until = Clock::now() + seconds(60); watched.watch->stands();) {
      if (Clock::now() > until) return 4;
      usleep(1000);
    }
    return 0;
  });
  EXPECT_EQ(child.join(), 0);
}

// Opens and closes a file for as long as it lives.
class Storm {
 public:
  explicit Storm(const std::string& path)
      : child_([path] {
          for (;;) close(open(path.c_str(), O_RDWR | O_CLOEXEC));
          return 0;
        }) {}

 private:
  Child child_;
};

TEST_F(CloseWatches, AStormOfClosingsIsToldNowAndThen) {
  const File file(path());
  const File other;
  const Watched watched(file);
  const Watched calm(other);
  ASSERT_TRUE(watched.watch && calm.watch);
  const Storm storm(path());
  watched.await(1);
  const int before = watched.times.load();
  const auto begin = Clock::now();
  watched.await(before + 20);
  other.open_and_close();
  calm.await(1);
  const int times = watched.times.load() - before;
  // Each is read at once with those that came since, some of which the kernel has merged.
  EXPECT_LE(times, 2 * (Clock::now() - begin) / milliseconds(10) + 4);
}

TEST_F(CloseWatches, AStormKeepsNoOtherClosingBack) {
  const File file(path());
  const File other;
  std::atomic<bool> over{false};
  std::atomic<int> times{0};
  const auto stormy = CloseWatch::of(file.fd(), [&] {
    while (!over.load()) usleep(100);
    times.fetch_add(1);
  });
  const Watched calm(other);
  ASSERT_TRUE(stormy && calm.watch);
  // The kernel merges none of them, as no two that follow each other are alike.
  constexpr int kMany = 4000;
  for (int i = 0; i < kMany; ++i) {
    const int again = file.again();
    EXPECT_EQ(write(again, "x", 1), 1);
    close(again);
  }
  other.open_and_close();
  over.store(true);
  calm.await(1);
  // What lay before the other one's was told at once.
  EXPECT_LE(times.load(), 3);
}

// Keeps the thread until more has come than the kernel's queue holds.
class Overflow {
 public:
  explicit Overflow(const std::string& path)
      : file_(path), watch_(CloseWatch::of(file_.fd(), [this] {
          keeps_.store(true);
          while (!over_.load()) usleep(100);
        })) {
    std::ifstream("/proc/sys/fs/inotify/max_queued_events") >> most_;
  }
  [[nodiscard]] bool may_come() const { return most_ > 0 && most_ <= 100'000 && watch_ != nullptr; }
  void come() const {
    file_.open_and_close();
    while (!keeps_.load()) usleep(100);
    for (int i = 0; i < most_; ++i) {
      const int again = file_.again();
      EXPECT_EQ(write(again, "x", 1), 1);
      close(again);
    }
  }
  void pass() { over_.store(true); }
  [[nodiscard]] const File& file() const { return file_; }
  [[nodiscard]] bool stands() const { return watch_->stands(); }

 private:
  File file_;
  int most_ = 0;
  std::atomic<bool> keeps_{false};
  std::atomic<bool> over_{false};
  std::unique_ptr<CloseWatch> watch_;
};

TEST_F(CloseWatches, NoneStandsBehindAnOverflow) {
  Overflow overflow(path());
  if (!overflow.may_come()) GTEST_SKIP() << "it does not overflow soon";
  File going;
  const Watched gone(going);
  ASSERT_NE(gone.watch, nullptr);
  overflow.come();
  going.close_it();  // nobody hears of it
  overflow.pass();
  while (gone.watch->stands() || overflow.stands()) usleep(100);
  const Watched anew(overflow.file());
  ASSERT_NE(anew.watch, nullptr);
  overflow.file().open_and_close();
  anew.await(1);
}

// The files that an inotify instance of this process watches, by the kernel's word.
bool is_watched(const File& file) {
  struct stat status {};
  if (fstat(file.fd(), &status) != 0) return false;
  std::ostringstream inode;
  inode << " ino:" << std::hex << status.st_ino << ' ';
  for (const int fd : descriptors_of("anon_inode:inotify")) {
    std::ifstream watches("/proc/self/fdinfo/" + std::to_string(fd));
    for (std::string line; std::getline(watches, line);) {
      if (line.find(inode.str()) != std::string::npos) return true;
    }
  }
  return false;
}

// Those that wait for their owners to be watched anew are not.
TEST_F(CloseWatches, ADescriptorsFileIsWatchedAnewBehindAnOverflow) {
  Overflow overflow(path());
  if (!overflow.may_come()) GTEST_SKIP() << "it does not overflow soon";
  const File file;
  std::atomic<int> asks{0};
  const auto wake = WakeDescriptor::make(
      {}, {file.fd(), [&] { return static_cast<std::uint64_t>(0 * asks.fetch_add(1)); }});
  ASSERT_TRUE(wake) << wake.error().message;
  const Atomic<std::uint32_t> word{0};
  ASSERT_TRUE((*wake)->sleep({&word, 0, seconds(500)}));
  ASSERT_TRUE(is_watched(file) && is_watched(overflow.file()));
  overflow.come();
  overflow.pass();
  while (overflow.stands()) usleep(100);
  // Waits until the thread is done with that.
  const Watched other(File{});
  EXPECT_TRUE(is_watched(file));
  EXPECT_FALSE(is_watched(overflow.file()));
  const int before = asks.load();
  file.open_and_close();
  while (asks.load() < before + 3) usleep(100);
}

WaitSet make_set() { return WaitSet::make(WaitMode::kPark).value(); }

// How often the thread asks who has a lock, in so many seconds, when it waits for nothing.
TEST_F(CloseWatches, AnIdleSetOfManyAsksTheKernelSeldom) {
  constexpr int kRings = 64;
  constexpr seconds kLong{3};
  constexpr long kAsksOld = 20 * kLong.count() * kRings;
  std::vector<std::string> urls;
  for (int i = 0; i < kRings; ++i) urls.push_back("shm:" + unique_word());
  std::vector<Sender> senders;
  for (const std::string& url : urls) {
    auto sender = Sender::open(url + "?capacity=4KiB");
    ASSERT_TRUE(sender) << sender.error().message;
    senders.push_back(std::move(sender).value());
  }
  Shared<std::atomic<int>> lost;
  Stepper waiting([&] {
    std::vector<Receiver> receivers;
    for (const std::string& url : urls) receivers.push_back(Receiver::open(url).value());
    WaitSet set = make_set();
    for (Receiver& receiver : receivers) {
      if (!set.add(receiver, static_cast<Key>(&receiver - receivers.data()))) ++*lost;
    }
    std::array<Key, 1> room{};
    // It is idle; and what it asks at once when it begins to be told is asked.
    static_cast<void>(set.wait(room, Deadline::after(milliseconds(2000))));
    Stepper::begin();
    if (set.wait(room, Deadline::after(kLong)).status() != Status::kTimedOut) ++*lost;
    Stepper::end();
  });
  long asks = 0;
  bool entry = true;
  while (waiting.run_to_system_call()) {
    if (entry && waiting.system_call() == SYS_fcntl) ++asks;
    entry = !entry;
  }
  EXPECT_EQ(lost->load(), 0);
  EXPECT_GE(asks, kRings);
  EXPECT_LE(asks, kAsksOld / 5);
}

struct Case {
  const char* name;
  const char* scheme;
  const char* options;
  bool path;
  long forbidden;
};
void PrintTo(const Case& one, std::ostream* out) { *out << one.name; }

constexpr Case kCases[] = {
    {"Shm", "shm:", "capacity=4KiB", false, -1},
    {"File", "file:", "capacity=4KiB", true, -1},
    {"Readers", "shm:", "capacity=4KiB&readers=3", false, -1},
    {"Slots", "shm:", "kind=mpmc&slots=4", false, -1},
    {"Frames", "shm:", "kind=frames&readers=2", false, -1},
    {"Guarded", "shm+guarded:", "capacity=4KiB", true, -1},
    {"GuardedReaders", "shm+guarded:", "capacity=4KiB&readers=3", true, -1},
    {"ShmWithoutInotify", "shm:", "capacity=4KiB", false, SYS_inotify_init1},
    {"GuardedWithoutWatches", "shm+guarded:", "capacity=4KiB", true, SYS_inotify_add_watch},
};

// A wait that has lasted for so long that all is over which comes at its beginning.
constexpr milliseconds kSilence{1800};

class LongSilence : public Watchdog, public ::testing::WithParamInterface<Case> {
 protected:
  using Victim = std::function<int(const std::string& url)>;
  using Sleeper = std::function<int(const std::string& url, bool by_set, const Child& victim)>;

  // Each in a process of its own, with a wait set and with a descriptor. The victim only ends as
  // it is killed, the sleeper with 0.
  void live(const Victim& victim, const Sleeper& sleeper) {
    for (const bool by_set : {true, false}) {
      const std::string url =
          GetParam().scheme + (GetParam().path ? directory_.path() + "/" : "") + unique_word();
      Child dying([&] { return victim(url); });
      Child sleeping([&] { return sleeper(url, by_set, dying); });
      const int status = sleeping.join();
      dying.join();
      if (GetParam().path) {
        unlink(url.substr(url.find(':') + 1).c_str());
      } else {
        static_cast<void>(remove(url, true));
      }
      if (status == 77) GTEST_SKIP() << "no seccomp here";
      EXPECT_EQ(status, 0) << by_set;
    }
  }
  [[nodiscard]] static bool filter() {
    return GetParam().forbidden < 0 || forbid_system_call(GetParam().forbidden, EPERM);
  }
  // In the sleeper: waits in vain for as long as kSilence, and on until `over` says so, which it
  // does not before the victim was killed. `room`: that the end waits for, of a sender.
  template <class End, class... Room, class Over>
  [[nodiscard]] static int sleep_until(Over&& over, End& end, bool by_set, const Child& victim,
                                       Room... room) {
    std::thread killing;
    const auto kill_it = [&] {
      killing = std::thread([&] {
        await_sleep(getpid());  // once this thread sleeps again
        victim.signal(SIGKILL);
      });
    };
    if (by_set) {
      WaitSet set = make_set();
      if (!set.add(end, 1, room...)) return 51;
      std::array<Key, 1> keys{};
      if (set.wait(keys, Deadline::after(kSilence)).status() != Status::kTimedOut) return 52;
      kill_it();
      while (!over()) {
        if (!set.wait(keys)) _exit(53);
      }
    } else {
      const auto fd = end.fd();
      if (!fd || over()) return 54;
      const EventLoop loop(LoopKind::kPoll, *fd);
      for (const auto until = Clock::now() + kSilence; Clock::now() < until;) {
        if (loop.wait(milliseconds(100)) && over()) return 55;
      }
      kill_it();
      while (!over()) {
        if (!loop.wait()) _exit(56);
      }
    }
    killing.join();
    return 0;
  }

  ScratchDirectory directory_;
};

INSTANTIATE_TEST_SUITE_P(Every, LongSilence, ::testing::ValuesIn(kCases),
                         [](const auto& one) { return std::string(one.param.name); });

// The sender's name for it: it goes with the receiver, as the sender is dead.
TEST_P(LongSilence, AKilledSenderIsToldToOneThatSlept) {
  live(
      [](const std::string& url) {
        auto sender = Sender::open(url + "?" + GetParam().options);
        if (!sender) return 1;
        for (;;) static_cast<void>(sender->wait_for_receiver()), usleep(1000);
        return 0;
      },
      [](const std::string& url, bool by_set, const Child& sending) {
        auto receiver = Receiver::open(url, {.wait = Deadline::after(seconds(60))});
        if (!receiver) return 1;
        if (!filter()) return 77;
        bool came = false;
        const auto over = [&] {
          came = came || receiver->try_next();
          return receiver->status() != Status::kOk;
        };
        if (const int failed = sleep_until(over, *receiver, by_set, sending)) return failed;
        return !came && receiver->status() == Status::kPeerDied ? 0 : 2;
      });
}

TEST_P(LongSilence, AKilledReceiverIsToldToOneThatSlept) {
  if (std::string(GetParam().name) == "Frames") GTEST_SKIP() << "there is always room for one more";
  live(
      [](const std::string& url) {
        auto receiver = Receiver::open(url, {.wait = Deadline::after(seconds(60))});
        if (!receiver) return 1;
        for (;;) pause();
        return 0;
      },
      [](const std::string& url, bool by_set, const Child& receiving) {
        auto sender = Sender::open(url + "?" + GetParam().options);
        if (!sender || sender->wait_for_receivers(1) != Status::kOk) return 1;
        if (!filter()) return 77;
        const std::string_view message = "a message";
        Status status = Status::kOk;
        while (status == Status::kOk) status = sender->try_send(message);
        if (status != Status::kWouldBlock) return 2;
        const auto over = [&] {
          status = sender->try_send(message);
          return status != Status::kWouldBlock;
        };
        if (const int failed = sleep_until(over, *sender, by_set, receiving, message.size())) {
          return failed;
        }
        // Of several readers nobody waits for the dead.
        const bool several =
            std::string_view(GetParam().options).find("readers") != std::string::npos;
        if (status != (several ? Status::kOk : Status::kPeerDied)) return 3;
        static_cast<void>(sender->close(Deadline::now()));
        return 0;
      });
}

TEST_F(CloseWatches, ADeathIsToldInAStormOfClosings) {
  const std::string name = unique_word();
  const std::string url = "shm:" + name;
  Child child([&] {
    auto sender = Sender::open(url);
    if (!sender) return 1;
    for (;;) pause();
  });
  auto receiver = Receiver::open(url, {.wait = Deadline::after(seconds(60))});
  ASSERT_TRUE(receiver) << receiver.error().message;
  const Storm storm("/dev/shm/rondo-" + name);
  WaitSet set = make_set();
  ASSERT_TRUE(set.add(*receiver, 1));
  std::array<Key, 1> room{};
  EXPECT_EQ(set.wait(room, Deadline::after(milliseconds(800))).status(), Status::kTimedOut);
  child.signal(SIGKILL);
  while (receiver->status() == Status::kOk) {
    ASSERT_TRUE(set.wait(room));
    EXPECT_FALSE(receiver->try_next());
  }
  EXPECT_EQ(receiver->status(), Status::kPeerDied);
}

}  // namespace
}  // namespace rondo::testing
