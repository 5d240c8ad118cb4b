// pthread_cancel() of a thread that is in Rondo, or comes there: the program goes on, the call ends
// as it would have, and the cancellation is acted upon outside, at a cancellation point of the
// program's own.
//
//  1. ACallOfACancelledThreadEndsAsUsual: opening, sending, receiving, waiting, closing
//  2. AThreadThatSleepsInTheChannelGoesOnSleeping: until a message comes; in every transport
//  3. TheDescriptorsOfOthersToo: fd:
//  4. NothingOfAHalfOpenChannelIsLeft
#include <pthread.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <array>
#include <atomic>
#include <filesystem>
#include <functional>

#include "conformance/channel_fixture.hpp"

namespace rondo {
namespace {

using namespace rondo::testing;

// A thread that can be cancelled.
class Cancellable {
 public:
  explicit Cancellable(std::function<void(const Cancellable&)> body) : body_(std::move(body)) {
    pthread_create(&thread_, nullptr, &run, this);
  }
  Cancellable(const Cancellable&) = delete;
  Cancellable& operator=(const Cancellable&) = delete;
  ~Cancellable() = default;

  void cancel() {
    pthread_cancel(thread_);
    cancelled_.store(true);
  }
  // Without a cancellation point.
  void await_cancel() const {
    while (!cancelled_.load()) {
    }
  }
  // Returns once it sleeps in the kernel.
  void await_sleep() const {
    while (id_.load() == 0) {
    }
    testing::await_sleep(id_.load());
  }
  // Whether it was cancelled in the end.
  bool join() {
    void* result = nullptr;
    pthread_join(thread_, &result);
    return result == PTHREAD_CANCELED;
  }

 private:
  static void* run(void* self) {
    auto* thread = static_cast<Cancellable*>(self);
    thread->id_.store(static_cast<pid_t>(syscall(SYS_gettid)));
    thread->body_(*thread);
    pthread_testcancel();
    return nullptr;
  }

  std::function<void(const Cancellable&)> body_;
  std::atomic<bool> cancelled_{false};
  std::atomic<pid_t> id_{0};
  pthread_t thread_{};
};

class CancelledThread : public ChannelTest {};

TEST_P(CancelledThread, ACallOfACancelledThreadEndsAsUsual) {
  const std::string address = url() + "?" + options_of(GetParam(), 4096);
  std::string received;
  Status full = Status::kOk;
  bool opened = false;
  Cancellable thread([&](const Cancellable& self) {
    self.await_cancel();
    auto pair = open_pair(address);
    opened = pair.has_value();
    if (!opened) return;
    auto& [sender, receiver] = *pair;
    static_cast<void>(sender.wait_for_receiver(Deadline::now()));
    static_cast<void>(sender.send(bytes_of(numbered_message(1, 100))));
    received = receive(receiver);
    for (int i = 0; i < 100000 && full == Status::kOk; ++i) {  // more than any of them takes
      full = sender.send(bytes_of(numbered_message(2, 1000)),
                         Deadline::after(std::chrono::milliseconds(20)));
    }
    static_cast<void>(sender.info());
    static_cast<void>(sender.close(Deadline::now()));
  });
  thread.cancel();
  EXPECT_TRUE(thread.join());
  EXPECT_TRUE(opened);
  EXPECT_EQ(received, numbered_message(1, 100));
  EXPECT_EQ(full, Status::kTimedOut);
  static_cast<void>(remove(address));  // what is unread keeps it
}

TEST_P(CancelledThread, AThreadThatSleepsInTheChannelGoesOnSleeping) {
  auto [sender, receiver] = open();
  std::string received;
  Cancellable thread([&, &into = receiver](const Cancellable&) { received = receive(into); });
  thread.await_sleep();
  thread.cancel();
  const std::string message = numbered_message(7, 100);
  ASSERT_EQ(sender.send(bytes_of(message)), Status::kOk);
  EXPECT_TRUE(thread.join());
  EXPECT_EQ(received, message);
}

INSTANTIATE_TEST_SUITE_P(Channels, CancelledThread, ::testing::ValuesIn(kChannelCases),
                         [](const auto& test) { return std::string(test.param.name); });

TEST(CancelledThreads, TheDescriptorsOfOthersToo) {
  std::array<int, 2> ends{};
  ASSERT_EQ(pipe(ends.data()), 0);
  auto sender = Sender::open("fd:" + std::to_string(ends[1])).value();
  auto receiver = Receiver::open("fd:" + std::to_string(ends[0])).value();
  std::string received;
  Cancellable thread([&](const Cancellable&) { received = receive(receiver); });
  thread.await_sleep();
  thread.cancel();
  ASSERT_EQ(sender.send(bytes_of("one")), Status::kOk);
  EXPECT_TRUE(thread.join());
  EXPECT_EQ(received, "one");
}

TEST(CancelledThreads, NothingOfAHalfOpenChannelIsLeft) {
  const ScratchDirectory directory;
  for (const std::string scheme : {"fifo:", "unix:", "shm+guarded:", "file:"}) {
    const std::string url = scheme + directory.path() + "/name";
    const auto wishes = [] {
      return OpenOptions{.wait = Deadline::after(std::chrono::milliseconds(100))};
    };
    Cancellable sending([&](const Cancellable& self) {
      self.await_cancel();
      static_cast<void>(Sender::open(url, wishes()));
    });
    sending.cancel();
    EXPECT_TRUE(sending.join()) << url;
    EXPECT_TRUE(std::filesystem::is_empty(directory.path())) << url;

    Cancellable receiving([&](const Cancellable& self) {
      self.await_cancel();
      EXPECT_FALSE(Receiver::open(url, wishes()));
    });
    receiving.cancel();
    EXPECT_TRUE(receiving.join()) << url;
    EXPECT_TRUE(std::filesystem::is_empty(directory.path())) << url;
  }
}

}  // namespace
}  // namespace rondo
