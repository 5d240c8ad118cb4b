// Two processes on two cores that measure together what the driver tells them. When one of them
// fails, dies or stalls, both are ended, the driver learns why, and the next sample gets new ones.
#pragma once

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <cstdint>
#include <cstdlib>
#include <memory>
#include <new>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "rivals/engine.hpp"
#include "rivals/kernel_ends.hpp"
#include "support/child.hpp"
#include "support/cores.hpp"

namespace rondo::bench {

class Workers {
 public:
  static constexpr std::uint64_t kProbes = 2000;
  static constexpr int kStalledMs = 15'000;
  static constexpr int kInterruptedMs = 2'000;

  // The engines stay where they are.
  Workers(const std::vector<Engine>& engines, std::string name, bool real_time)
      : engines_(engines), name_(std::move(name)), real_time_(real_time) {
    meeting_ = new (map(sizeof(Meeting))) Meeting{};
    memory_ = static_cast<std::byte*>(map(2 * kWayBytes));
  }
  Workers(const Workers&) = delete;
  Workers& operator=(const Workers&) = delete;
  ~Workers() {
    stop(false);
    munmap(meeting_, sizeof(Meeting));
    munmap(memory_, 2 * kWayBytes);
  }

  // Empty if all went well: the figures are in meeting() then. Otherwise why it did not.
  [[nodiscard]] std::string run(const Task& task) {
    if (pids_[0] == 0) start();
    meeting_->task = task;
    meeting_->failure[0] = '\0';
    for (const int fd : orders_) {
      if (write(fd, "1", 1) != 1) return broken("a process of the two has died");
    }
    // Both say when they are done.
    pollfd done[2] = {{done_[0], POLLIN, 0}, {done_[1], POLLIN, 0}};
    int patience = kStalledMs;
    while (done[0].fd >= 0 || done[1].fd >= 0) {
      const int ready = poll(done, 2, patience);
      if (ready < 0) {
        // A signal. After the sample, which takes milliseconds, libraries and daemons end in order.
        patience = kInterruptedMs;
        continue;
      }
      if (ready == 0) return broken("did not finish");
      for (pollfd& each : done) {
        if (each.fd < 0 || each.revents == 0) continue;
        char byte = 0;
        if (read(each.fd, &byte, 1) != 1) return broken("a process of the two has died");
        each.fd = -1;
      }
    }
    return {};
  }
  [[nodiscard]] const Meeting& meeting() const { return *meeting_; }

 private:
  static void* map(std::size_t bytes) {
    void* memory = mmap(nullptr, bytes, PROT_READ | PROT_WRITE,
                        MAP_SHARED | MAP_ANONYMOUS | MAP_POPULATE, -1, 0);
    if (memory == MAP_FAILED) fail("no memory");
    return memory;
  }

  void start() {
    kernel_ = std::make_unique<KernelObjects>();
    new (meeting_) Meeting{};
    for (const int which : {0, 1}) {
      int order[2], done[2];
      if (pipe2(order, O_CLOEXEC) != 0 || pipe2(done, O_CLOEXEC) != 0) fail("no pipe");
      pids_[which] = fork_child();
      if (pids_[which] == 0) {
        for (const int fd : {order[1], done[0], orders_[0], done_[0]}) close(fd);
        const Place place{meeting_, memory_, kernel_.get(), name_, which == 1};
        work(place, order[0], done[1]);
      }
      close(order[0]);
      close(done[1]);
      if (pids_[which] < 0) fail("no second process");
      orders_[which] = order[1];
      done_[which] = done[0];
    }
  }

  void stop(bool at_once) {
    if (pids_[0] == 0) return;
    if (at_once) {
      for (const pid_t pid : pids_) kill(pid, SIGKILL);
    }
    for (const int which : {0, 1}) {
      // By which it ends. That the pipe is closed here would not do: processes that were made later
      // have its end, too.
      static_cast<void>(!write(orders_[which], "0", 1));
      close(orders_[which]);
      close(done_[which]);
      while (waitpid(pids_[which], nullptr, 0) < 0 && errno == EINTR) {
      }
      pids_[which] = 0;
      orders_[which] = done_[which] = -1;
    }
    for (const Engine& engine : engines_) {
      if (engine.remove != nullptr) engine.remove(name_);
    }
    kernel_.reset();
  }

  std::string broken(const char* otherwise) {
    // The other one may be about to say why.
    stop(true);
    return meeting_->failure[0] != '\0' ? meeting_->failure : otherwise;
  }

  [[noreturn]] void work(const Place& place, int orders, int done) {
    meeting_of_this_process = meeting_;
    // Ctrl-C, and a terminal that goes, are for the driver, which ends this one.
    signal(SIGINT, SIG_IGN);
    signal(SIGHUP, SIG_IGN);
    signal(SIGTERM, SIG_DFL);
    // The whole of the mapping, before anything is measured.
    madvise(memory_, 2 * kWayBytes, MADV_POPULATE_WRITE);
    std::uint64_t probes = 0;
    char byte = 0;
    while (read(orders, &byte, 1) == 1 && byte == '1') {
      pin_to(place.answers ? 1 : 0);
      take_sample(place, probes);
      probes += 2 * kProbes;
      if (write(done, "1", 1) != 1) break;
    }
    alarm(10);  // a library that waits for the other process, which may have died, does so in vain
    for (const Engine& engine : engines_) {
      if (engine.end != nullptr) engine.end();
    }
    std::exit(0);  // libraries say good-bye to their daemons
  }

  void take_sample(const Place& place, std::uint64_t probes) {
    Meeting& meeting = *place.meeting;
    const Task task = meeting.task;
    const Engine& engine = engines_[task.engine];
    if (!place.answers && engine.prepare != nullptr) engine.prepare(place, task);
    meeting.line.wait();
    // A thread that gives its core to nobody would keep the engine's own helpers from running.
    std::optional<RealTime> fast(std::in_place, real_time_ && !engine.manner.helpers);
    const Undisturbed undisturbed(engine.manner);
    probe(place, probes, meeting.before_ns);
    if (engine.take_part != nullptr) engine.take_part(place, task);
    pin_to(place.answers ? 1 : 0);
    meeting.line.wait();
    probe(place, probes + kProbes, meeting.after_ns);
    if (engine.take_part == nullptr && !place.answers) {
      meeting.seconds =
          (meeting.before_ns + meeting.after_ns) / 2 * 1e-9 * static_cast<double>(task.messages);
      meeting.clean = undisturbed.get();
    }
  }
  static void probe(const Place& place, std::uint64_t from, double& ns) {
    if (place.answers) {
      place.meeting->probe.serve(from, kProbes);
    } else {
      ns = place.meeting->probe.ask(from, kProbes);
    }
  }

  const std::vector<Engine>& engines_;
  std::string name_;
  bool real_time_;
  Meeting* meeting_;
  std::byte* memory_;
  std::unique_ptr<KernelObjects> kernel_;
  pid_t pids_[2] = {0, 0};
  int orders_[2] = {-1, -1}, done_[2] = {-1, -1};
};

}  // namespace rondo::bench
