// Question: how long from a publish to the wake of a process that sleeps in its own event loop?
// Through a handle's fd() and epoll, and in a WaitSet among others that have nothing to say; beside
// an eventfd that the publisher writes and a bare futex, which is the least. One message every
// `gap` to a process on another core that sleeps in between; the median of a sample's wakes, from
// just before the publish to just after the message was seen.
//
// Not measured: busy cores, many descriptors, throughput, idle CPU. The engines take turns, sample
// by sample, so the ratios matter.
//
//   fd_wake_compare [--json FILE] [--rounds N] [--seconds S] [--gap MICROSECONDS] [--messages N]
#include <fmt/core.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <array>
#include <cerrno>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <functional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "rondo/sync/futex.hpp"
#include "rondo/transports/receiver.hpp"
#include "rondo/transports/sender.hpp"
#include "rondo/transports/wait_set.hpp"
#include "support/child.hpp"
#include "support/cores.hpp"
#include "support/machine.hpp"
#include "support/results.hpp"

namespace rondo::bench {
namespace {

using std::chrono::microseconds;

[[noreturn]] void fail(std::string_view what) {
  fmt::print(stderr, "fd_wake_compare: {}\n", what);
  std::_Exit(1);
}

std::int64_t now_ns() {
  timespec time{};
  clock_gettime(CLOCK_MONOTONIC, &time);
  return std::int64_t{time.tv_sec} * 1'000'000'000 + time.tv_nsec;
}

struct Rhythm {
  microseconds gap;
  int messages;
};
constexpr int kWarmUp = 50;

// What both processes see.
struct Shared {
  Atomic<std::uint32_t> word{0};
  Atomic<std::uint32_t> ready{0};
  Atomic<double> median_us{0};
};

Shared* map_shared() {
  void* memory =
      mmap(nullptr, sizeof(Shared), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
  if (memory == MAP_FAILED) fail("mmap");
  return new (memory) Shared;
}

class Poller {
 public:
  explicit Poller(int fd) : epoll_(epoll_create1(EPOLL_CLOEXEC)) {
    epoll_event event{};
    event.events = EPOLLIN;
    if (epoll_ctl(epoll_, EPOLL_CTL_ADD, fd, &event) != 0) fail("epoll_ctl");
  }
  void wait() const {
    epoll_event event{};
    while (epoll_wait(epoll_, &event, 1, -1) != 1) {
    }
  }

 private:
  int epoll_;
};

// `take` sleeps until a message is there and returns when it was sent.
template <class Take>
void time_wakes(Shared& shared, const Rhythm& rhythm, Take take) {
  std::vector<double> wakes;
  shared.ready.store(1, std::memory_order_release);
  for (int i = 0; i < kWarmUp + rhythm.messages; ++i) {
    const std::int64_t sent = take();
    const std::int64_t now = now_ns();
    if (i >= kWarmUp) wakes.push_back(static_cast<double>(now - sent) * 1e-3);
  }
  std::ranges::sort(wakes);
  // relaxed: read when this process has ended.
  shared.median_us.store(wakes[wakes.size() / 2], std::memory_order_relaxed);
}

template <class Send>
void send_now_and_then(Shared& shared, const Rhythm& rhythm, Send send) {
  while (shared.ready.load(std::memory_order_acquire) == 0) usleep(100);
  for (int i = 0; i < kWarmUp + rhythm.messages; ++i) {
    usleep(static_cast<unsigned>(rhythm.gap.count()));
    send(now_ns());
  }
}

struct Entry {
  std::string name;
  std::function<void(Shared&, const Rhythm&)> receive;
  std::function<void(Shared&, const Rhythm&)> send;
  Role role;
  Samples* samples = nullptr;
};

struct Mail {
  std::int64_t sent = 0;
};
Mail* mail = nullptr;  // shared
int event = -1;

Entry bare_futex() {
  return {"bare futex",
          [](Shared& shared, const Rhythm& rhythm) {
            std::uint32_t seen = 0;
            time_wakes(shared, rhythm, [&] {
              while (shared.word.load(std::memory_order_acquire) == seen) {
                static_cast<void>(futex_wait(shared.word, seen, Deadline::never()));
              }
              ++seen;
              return mail->sent;
            });
          },
          [](Shared& shared, const Rhythm& rhythm) {
            std::uint32_t sent = 0;
            send_now_and_then(shared, rhythm, [&](std::int64_t now) {
              mail->sent = now;
              shared.word.store(++sent, std::memory_order_release);
              futex_wake(shared.word, 1);
            });
          },
          Role::kFloor};
}

Entry bare_eventfd() {
  return {"an eventfd and epoll",
          [](Shared& shared, const Rhythm& rhythm) {
            const Poller poller(event);
            time_wakes(shared, rhythm, [&] {
              poller.wait();
              std::uint64_t count = 0;
              if (read(event, &count, sizeof count) < 0) fail("read");
              return mail->sent;
            });
          },
          [](Shared& shared, const Rhythm& rhythm) {
            send_now_and_then(shared, rhythm, [&](std::int64_t now) {
              mail->sent = now;
              const std::uint64_t one = 1;
              if (write(event, &one, sizeof one) < 0) fail("write");
            });
          },
          Role::kRival};
}

void forbid(long number) {
  sock_filter program[] = {
      BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(seccomp_data, nr)),
      BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, static_cast<std::uint32_t>(number), 0, 1),
      BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | EPERM),
      BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
  };
  const sock_fprog filter{sizeof program / sizeof program[0], program};
  if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0 ||
      prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &filter) != 0) {
    fail("no seccomp here");
  }
}

enum class By { kNext, kDescriptor, kWaitSet, kWaitSetWithDescriptor };

// Sleeps in a wait set until a message is there, `others` silent rings beside it.
template <class SentIn>
void time_wait_set(Shared& shared, const Rhythm& rhythm, Receiver& receiver, std::size_t others,
                   bool with_descriptor, SentIn sent_in) {
  auto set = WaitSet::make(WaitMode::kPark);
  if (!set || !set->add(receiver, 0)) fail("no wait set");
  std::vector<std::pair<Sender, Receiver>> silent;
  for (std::size_t i = 0; i < others; ++i) {
    auto pair = open_pair("inproc:?capacity=4KiB");
    if (!pair) fail(pair.error().message);
    silent.push_back(std::move(pair).value());
  }
  for (std::size_t i = 0; i < others; ++i) {
    if (!set->add(silent[i].second, i + 1)) fail("no member");
  }
  const int nothing = eventfd(0, EFD_CLOEXEC);
  if (with_descriptor && !set->add_descriptor(nothing, false, others + 1)) fail("no member");
  std::array<WaitSet::Key, 4> room{};
  time_wakes(shared, rhythm, [&] {
    for (;;) {
      if (!set->wait(room)) fail("wait");
      if (const auto message = receiver.try_next()) return sent_in(*message);
    }
  });
}

Entry channel(std::string name, const std::string& options, By by, std::vector<long> forbidden,
              std::size_t others = 0) {
  const std::string url =
      fmt::format("shm:fd_wake.{}{}", getpid(), options.empty() ? "" : "?" + options);
  return {std::move(name),
          [=](Shared& shared, const Rhythm& rhythm) {
            for (const long number : forbidden) forbid(number);
            auto receiver =
                Receiver::open(url, {.wait = Deadline::after(std::chrono::seconds(10))});
            if (!receiver) fail(receiver.error().message);
            const auto sent_in = [](const Message& message) {
              std::int64_t sent = 0;
              std::memcpy(&sent, message.bytes().data(), sizeof sent);
              return sent;
            };
            if (by == By::kNext) {
              return time_wakes(shared, rhythm, [&] { return sent_in(*receiver->next()); });
            }
            if (by != By::kDescriptor) {
              return time_wait_set(shared, rhythm, *receiver, others,
                                   by == By::kWaitSetWithDescriptor, sent_in);
            }
            const auto fd = receiver->fd();
            if (!fd) fail(fd.error().message);
            const Poller poller(*fd);
            time_wakes(shared, rhythm, [&] {
              for (;;) {
                poller.wait();
                if (const auto message = receiver->try_next()) return sent_in(*message);
              }
            });
          },
          [=](Shared& shared, const Rhythm& rhythm) {
            auto sender = Sender::open(url);
            if (!sender) fail(sender.error().message);
            if (sender->wait_for_receiver() != Status::kOk) fail("nobody came");
            send_now_and_then(shared, rhythm, [&](std::int64_t now) {
              if (sender->send(std::as_bytes(std::span(&now, 1))) != Status::kOk) fail("send");
            });
          },
          Role::kOurs};
}

void sample(Entry& entry, const Rhythm& rhythm) {
  Shared* shared = map_shared();
  const pid_t child = fork_child();
  if (child < 0) fail("fork");
  if (child == 0) {
    pin_to(1);
    entry.receive(*shared, rhythm);
    std::_Exit(0);
  }
  entry.send(*shared, rhythm);
  int status = 0;
  if (waitpid(child, &status, 0) != child || status != 0) fail(entry.name);
  // relaxed: that process has ended.
  entry.samples->add(shared->median_us.load(std::memory_order_relaxed));
  munmap(shared, sizeof(Shared));
}

int main(int argc, char** argv) {
  CLI::App app("From a publish to the wake of an event loop in another process");
  RunOptions options;
  options.rounds = 5;
  int gap = 300;
  int messages = 1000;
  options.add_to(app);
  app.add_option("--gap", gap, "microseconds between messages")->check(CLI::Range(1, 1'000'000));
  app.add_option("--messages", messages, "of one sample")->check(CLI::Range(1, 1'000'000));
  CLI11_PARSE(app, argc, argv);
  pin_to(0);
  event = eventfd(0, EFD_CLOEXEC | EFD_SEMAPHORE);  // a slow waiter misses none
  mail = new (map_shared()) Mail;
  const Rhythm rhythm{microseconds(gap), messages};
  std::vector<Entry> entries{
      bare_futex(),
      bare_eventfd(),
      channel("shm: fd() and epoll", "", By::kDescriptor, {}),
      channel("shm: fd() and epoll, no io_uring", "", By::kDescriptor, {SYS_io_uring_setup}),
      channel("shm: fd() and epoll, no futex_waitv", "", By::kDescriptor,
              {SYS_io_uring_setup, SYS_futex_waitv}),
      channel("shm: next(), wait=park", "wait=park", By::kNext, {}),
      channel("shm: WaitSet", "", By::kWaitSet, {}),
      channel("shm: WaitSet of 64 rings", "", By::kWaitSet, {}, 63),
      channel("shm: WaitSet of 64 rings and an eventfd", "", By::kWaitSetWithDescriptor, {}, 63),
      channel("shm: the same, no io_uring", "", By::kWaitSetWithDescriptor, {SYS_io_uring_setup},
              63)};
  Results results("fd_wake_compare");
  for (Entry& entry : entries) {
    entry.samples =
        &results.add({"fd_wake", entry.name, entry.role, {{"gap_us", gap}}, "us", false});
  }
  {
    Rounds rounds("fd_wake_compare", options.rounds, options.seconds, entries.size());
    while (rounds.next()) {
      for (Entry& entry : entries) {
        rounds.question();
        sample(entry, rhythm);
      }
    }
  }
  const auto each = [](const Entry& entry) { return *entry.samples->get(Placement::kAny); };
  fmt::print("{}\nOne message every {} us: from publish to wake, p50\n\n{:<40}{:>8}{:>12}{:>12}\n",
             describe_machine(), gap, "", "us", "to futex", "to eventfd");
  for (const Entry& entry : entries) {
    fmt::print("{:<40}{:>8.1f}{:>12.2f}{:>12.2f}\n", entry.name, each(entry),
               each(entry) / each(entries[0]), each(entry) / each(entries[1]));
  }
  results.write(options.json);
  return 0;
}

}  // namespace
}  // namespace rondo::bench

int main(int argc, char** argv) { return rondo::bench::main(argc, argv); }
