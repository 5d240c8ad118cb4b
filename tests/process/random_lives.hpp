// Stories of random lives: workers come to a channel, send, receive, leave, are killed, stopped and
// replaced; at the end all that is left is read, and the books are judged. Used with a few stories
// in CI and with a million events in the soak.
#pragma once

#include <signal.h>
#include <unistd.h>

#include <array>
#include <cstdio>
#include <memory>
#include <optional>
#include <random>
#include <string>
#include <thread>
#include <vector>

#include "conformance/channel_cases.hpp"
#include "process/lives_judge.hpp"
#include "process/lives_worker.hpp"
#include "support/ports.hpp"
#include "support/processes.hpp"

namespace rondo::testing::lives {

inline constexpr std::array kChannels{
    Channel{"Shm", "shm:", Kind::kSingle, "capacity=#KiB", 2, 2},
    Channel{"File", "file:", Kind::kSingle, "capacity=#KiB", 2, 2},
    Channel{"Inproc", "inproc:", Kind::kSingle, "capacity=#KiB", 2, 2, true},
    Channel{"Guarded", "shm+guarded:", Kind::kSingle, "capacity=#KiB", 2, 2},
    Channel{"GuardedReaders", "shm+guarded:", Kind::kReaders, "readers=3&capacity=#KiB", 2, 3},
    Channel{"ShmReaders", "shm:", Kind::kReaders, "readers=4&capacity=#KiB", 2, 4},
    Channel{"FileReaders", "file:", Kind::kReaders, "readers=3&capacity=#KiB", 1, 4},
    Channel{"ShmSlots", "shm:", Kind::kSlots, "kind=mpmc&slot_size=128&slots=#", 3, 3},
    Channel{"ShmSlotsDrop", "shm:", Kind::kSlots,
            "kind=mpmc&slot_size=64&slots=#&on_consumer_death=drop", 2, 3},
    Channel{"FileSlots", "file:", Kind::kSlots, "kind=mpmc&slot_size=256&slots=#", 2, 2},
    Channel{"InprocSlots", "inproc:", Kind::kSlots, "kind=mpmc&slot_size=64&slots=#", 2, 2, true},
    Channel{"ShmFrames", "shm:", Kind::kFrames, "kind=frames&frames=6&frame_size=512&readers=3", 2,
            3},
    Channel{"FileFrames", "file:", Kind::kFrames, "kind=frames&frames=8&frame_size=256&readers=2",
            1, 2},
    Channel{"InprocReaders", "inproc:", Kind::kReaders, "readers=3&capacity=#KiB", 2, 3, true},
    Channel{"InprocFrames", "inproc:", Kind::kFrames,
            "kind=frames&frames=6&frame_size=512&readers=2", 2, 2, true},
    Channel{"Pipe", "fd:", Kind::kBytes, "capacity=64KiB", 1, 1},
    Channel{"Fifo", "fifo:", Kind::kBytes, "capacity=64KiB", 2, 2},
    Channel{"Unix", "unix:", Kind::kBytes, "capacity=64KiB", 2, 2},
    Channel{"Tcp", "tcp:", Kind::kBytes, "capacity=64KiB", 2, 2},
};

class Stories {
 public:
  explicit Stories(std::uint64_t seed) : seed_(seed) {}

  [[nodiscard]] std::uint64_t events() const { return events_; }
  [[nodiscard]] const Tally& tally() const { return tally_; }

  // Tells story `number` of this seed. What is wrong, with the lives that led to it; else empty.
  std::string tell(const Channel& channel, std::uint64_t number,
                   Careless careless = Careless::kNone) {
    random_.seed(seed_ * 1'000'003 + number);
    begin(channel, number);
    world_->careless = careless;
    crashes_.clear();
    channel.threads ? live_as_threads(channel) : live_as_processes(channel);
    events_ += world_->events;
    Judge judge(*world_, channel, crashes_.empty() && settle(channel));
    const std::string wrong = crashes_ + judge.verdict(tally_);
    if (wrong.empty()) return {};
    return std::string(channel.name) + " " + world_->url + "?" + world_->made_with + ", story " +
           std::to_string(number) + " of RONDO_SEED=" + std::to_string(seed_) + ":\n" + wrong +
           judge.history();
  }

 private:
  struct Process {
    std::unique_ptr<Child> child;
    bool sends = false;
    bool stopped = false;
  };

  std::uint64_t below(std::uint64_t bound) { return random_() % bound; }

  void begin(const Channel& channel, std::uint64_t number) {
    world_->begin(number);
    world_->events = 0;
    std::string made_with(channel.made_with);
    if (const auto at = made_with.find('#'); at != std::string::npos) {
      made_with.replace(at, 1, std::to_string(4u << below(5)));
    }
    std::string target = directory_.path() + "/lives";
    if (channel.scheme == "shm:" || channel.threads) target = unique_word();
    if (channel.scheme == "fd:") target.clear();
    if (channel.scheme == "tcp:") target = free_tcp_url().substr(channel.scheme.size());
    std::snprintf(world_->url, sizeof world_->url, "%s%s", std::string(channel.scheme).c_str(),
                  target.c_str());
    std::snprintf(world_->made_with, sizeof world_->made_with, "%s", made_with.c_str());
  }

  // --- Processes ---------------------------------------------------------------------------------

  void spawn(const Channel& channel, std::uint32_t index, Process& process) {
    const std::uint64_t seed = random_();
    process.stopped = false;
    world_->current[index] = kNobody;
    process.child = std::make_unique<Child>([&] {
      Worker(*world_, channel, index, process.sends, seed).live_on();
      return 0;
    });
  }
  void mark_dead(std::uint32_t index, std::uint64_t before) {
    const std::uint32_t current = world_->current[index];
    if (current >= World::kLives) return;
    Life& life = world_->life[current];
    if (life.closed != 0 || life.refused != 0) return;
    life.killing = before;
    life.killed = world_->tick();
    ++world_->events;
  }
  void kill(std::uint32_t index, Process& process) {
    const std::uint64_t before = world_->tick();
    process.child->signal(SIGKILL);
    const int status = process.child->join();
    mark_dead(index, before);
    // It may have ended before; but not by a fault of its own.
    if (status != -SIGKILL && status != 0) crashed(index, status);
  }
  void crashed(std::uint32_t index, int status) {
    crashes_ += "  worker " + std::to_string(index) + ", life " +
                std::to_string(world_->current[index]) + ", ended with " + std::to_string(status) +
                (status == -SIGKILL ? " (it hung)\n" : "\n");
  }
  void stop_or_continue(Process& process, bool stop) {
    if (process.stopped == stop) return;
    process.child->signal(stop ? SIGSTOP : SIGCONT);
    process.stopped = stop;
    ++world_->events;
  }
  void wait_a_moment() {
    switch (below(4)) {
      case 0: sched_yield(); break;
      case 1: usleep(static_cast<useconds_t>(below(200))); break;
      default: usleep(static_cast<useconds_t>(below(3'000)));
    }
  }

  void live_as_processes(const Channel& channel) {
    const bool pipe = channel.scheme == "fd:";
    if (pipe && ::pipe(world_->pipe) != 0) std::abort();
    std::vector<Process> processes(channel.senders + channel.receivers);
    // Now and then no receiver comes to read until all is over.
    const bool unread = !pipe && below(12) == 0;
    for (std::uint32_t i = 0; i < processes.size(); ++i) {
      processes[i].sends = i < channel.senders || unread;
      spawn(channel, i, processes[i]);
    }
    if (pipe) {
      ::close(world_->pipe[0]);
      ::close(world_->pipe[1]);
    }
    for (std::uint64_t i = pipe ? below(3) : 10 + below(60); i > 0; --i) {
      wait_a_moment();
      const auto index = static_cast<std::uint32_t>(below(processes.size()));
      Process& process = processes[index];
      const std::uint64_t what = below(10);
      if (what < 2) {
        stop_or_continue(process, !process.stopped);
      } else if (what < 7 && !pipe) {
        kill(index, process);
        spawn(channel, index, process);
      }
    }
    end(processes);
  }
  // Some are killed, the others may leave in order.
  void end(std::vector<Process>& processes) {
    const std::uint64_t how = below(3);
    for (std::uint32_t i = 0; i < processes.size(); ++i) {
      stop_or_continue(processes[i], false);
      if (how == 0 || (how == 1 && below(2) == 0)) {
        kill(i, processes[i]);
        processes[i].child.reset();
      }
    }
    world_->stop = true;
    for (std::uint32_t i = 0; i < processes.size(); ++i) {
      if (processes[i].child == nullptr) continue;
      const std::uint64_t before = world_->tick();
      const int status = join_in_time(*processes[i].child);
      if (status == 0) continue;
      mark_dead(i, before);
      crashed(i, status);
    }
  }
  // Kills workers that hang.
  static int join_in_time(Child& child) {
    const Deadline timeout = Deadline::after(std::chrono::seconds(60));
    siginfo_t info{};
    while (!timeout.passed()) {
      info.si_pid = 0;
      waitid(P_PID, static_cast<id_t>(child.pid()), &info, WEXITED | WNOHANG | WNOWAIT);
      if (info.si_pid != 0) return child.join();
      usleep(200);
    }
    child.signal(SIGKILL);
    return child.join();
  }

  // --- Threads -----------------------------------------------------------------------------------

  void live_as_threads(const Channel& channel) {
    const std::uint64_t seed = random_();
    const auto length = static_cast<useconds_t>(below(60'000));
    // In a process of their own, so that a hang ends.
    Child child([&] {
      std::vector<std::jthread> threads;
      for (std::uint32_t i = 0; i < channel.senders + channel.receivers; ++i) {
        threads.emplace_back(
            [&, i] { Worker(*world_, channel, i, i < channel.senders, seed + i).live_on(); });
      }
      usleep(length);
      world_->stop = true;
      threads.clear();
      Worker settler(*world_, channel, World::kWorkers - 1, false, seed);
      for (int i = 0; i < kSettlers && settler.settle(); ++i) {
      }
      return 0;
    });
    const int status = join_in_time(child);
    if (status != 0) crashes_ += "  the threads ended with " + std::to_string(status) + "\n";
  }

  // --- The end -----------------------------------------------------------------------------------

  // Reads all that is there. True if the name stays though nothing is left.
  bool settle(const Channel& channel) {
    if (channel.threads) return false;
    if (outlives_its_sender(channel)) {
      const std::uint64_t seed = random_();
      Child child([&] {
        Worker settler(*world_, channel, World::kWorkers - 1, false, seed);
        for (int i = 0; i < kSettlers && settler.settle(); ++i) {
        }
        return 0;
      });
      child.join();
      if (!inspect(world_->url)) return false;
      static_cast<void>(remove(world_->url, true));
      // Of several readers, one with a name may still have something to come for.
      return channel.kind != Kind::kReaders;
    }
    if (channel.scheme != "fd:") static_cast<void>(remove(world_->url, true));
    return false;
  }

  static constexpr int kSettlers = 100;

  std::uint64_t seed_;
  std::mt19937_64 random_;
  ScratchDirectory directory_;
  Shared<World> world_;
  Tally tally_;
  std::uint64_t events_ = 0;
  std::string crashes_;
};

// Stories about each channel in turn, until `enough(events)`. What is wrong in the first that is.
template <class Enough>
std::string tell_stories(std::uint64_t seed, Enough&& enough) {
  Stories stories(seed);
  std::string wrong;
  std::uint64_t number = 0;
  do {
    const char* only = std::getenv("RONDO_LIVES");  // of one channel, to look for something
    for (const Channel& channel : kChannels) {
      if (only != nullptr && channel.name != only) continue;
      alarm(240);
      wrong = stories.tell(channel, number);
      if (!wrong.empty()) break;
    }
    ++number;
  } while (wrong.empty() && !enough(stories.events()));
  alarm(0);
  const Tally& tally = stories.tally();
  const auto print = [](std::uint64_t value, const char* what) {
    std::printf("%llu %s", static_cast<unsigned long long>(value), what);
  };
  print(stories.events(), "events in ");
  print(tally.lives, "lives (");
  print(tally.left, "left, ");
  print(tally.deaths, "killed, ");
  print(tally.refused, "refused), ");
  print(tally.certain, "messages sent for certain, ");
  print(tally.delivered, "delivered, ");
  print(tally.again, "again, ");
  print(tally.told, "unread with their senders told, ");
  print(tally.by_policy, "dropped by policy, ");
  print(tally.went, "gone with a stream\n");
  return wrong;
}

}  // namespace rondo::testing::lives
