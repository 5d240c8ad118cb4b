// The face of everything that passes messages between two processes, for rondo_driver.
//
// Each is a class `Ends`: what one of the two processes holds of it, for both directions. It is
// made anew for each sample, on both sides at once:
//
//   Ends(place, task)                  task.bytes is the size of the messages of this sample
//   send(bytes, i)                     writes message i in full, and waits for room
//   receive(checker, bytes, i)         waits for a message, and has the checker read it in full
//   static constexpr Manner kManner
//   static void prepare(place, task)   optional: before, by the asking process alone
//   static void remove(name)           optional: what is left of Place::name in the file system
//
// Each uses the fastest reasonable way that its mechanism offers. What goes wrong is said with
// fail(), which ends the process: the driver reports it for this engine and goes on with the rest.
#pragma once

#include <sched.h>
#include <unistd.h>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <cstring>
#include <fstream>
#include <optional>
#include <string>
#include <string_view>
#include <type_traits>
#include <utility>
#include <vector>

#include "rondo/core/platform.hpp"
#include "support/machine.hpp"
#include "support/payload.hpp"

namespace rondo::bench {

enum class Question : int { kRoundTrip, kThroughput };

// One measurement, as both processes are told it.
struct Task {
  std::size_t engine;
  Question question;
  std::size_t bytes;
  std::uint64_t messages;
  std::uint64_t number;
};

// What the two processes share beside the channels under test.
struct Meeting {
  ExchangeLines probe;
  StartLine line;
  Task task;
  // What came of it.
  double seconds, before_ns, after_ns;
  bool clean, answerer_clean;
  char failure[200];
};

// Room for a ring each way.
inline constexpr std::size_t kWayBytes = std::size_t{9} << 20;
inline constexpr std::size_t kLargestMessage = std::size_t{1} << 20;

struct KernelObjects;

struct Place {
  Meeting* meeting;
  std::byte* memory;            // shared: kWayBytes for each way
  const KernelObjects* kernel;  // made before the fork
  std::string name;             // of these two processes, and of nobody else on this machine
  bool answers;                 // this is the process that answers
  [[nodiscard]] std::byte* way_out() const { return memory + (answers ? kWayBytes : 0); }
  [[nodiscard]] std::byte* way_in() const { return memory + (answers ? 0 : kWayBytes); }
};

struct Manner {
  bool spins = false;    // never sleeps
  bool lasting = false;  // keeps its ends from sample to sample
  bool helpers = false;  // has threads of its own that move its messages
  bool streams = true;   // can be sent to while the last message has not been answered
};

// How long it takes, about: samples get so many messages that they last some milliseconds.
struct Cost {
  double round_trip_ns, message_ns, byte_ns;
};
inline constexpr Cost kInMemory{200, 10, 0.05};
inline constexpr Cost kThroughKernel{20'000, 500, 0.4};
inline constexpr Cost kThroughLibrary{70'000, 1000, 0.7};

// ---- what a process of the two does with them

inline Meeting* meeting_of_this_process = nullptr;

[[noreturn]] inline void fail(std::string_view why) {
  if (meeting_of_this_process == nullptr) {  // this is the driver
    std::fprintf(stderr, "%.*s\n", static_cast<int>(why.size()), why.data());
  } else {
    char* const failure = meeting_of_this_process->failure;
    const std::size_t length = std::min(why.size(), sizeof meeting_of_this_process->failure - 1);
    std::memcpy(failure, why.data(), length);
    failure[length] = '\0';
  }
  _exit(1);
}

// Whether this thread has had its core to itself since this was made, but for a percent: the kernel
// looks in for some microseconds now and then, above all after files have gone. Waiting of its own
// accord does not count, but the way from a wake-up to running does: who sleeps is allowed a tenth.
class Undisturbed {
 public:
  explicit Undisturbed(const Manner& manner) : allowed_(manner.spins ? 0.01 : 0.1) {}
  [[nodiscard]] bool get() const {
    const std::chrono::duration<double, std::nano> passed = Clock::now() - start_;
    return kept_waiting_ns() - before_ <= passed.count() * allowed_;
  }

 private:
  // How long it has been ready to run and not run.
  static double kept_waiting_ns() {
    double ran = 0, waited = 0;
    std::ifstream("/proc/thread-self/schedstat") >> ran >> waited;
    return waited;
  }
  double allowed_;
  double before_ = kept_waiting_ns();
  Clock::time_point start_ = Clock::now();
};

// Calls `loop` with the size as a constant where it is small, as a program has it that knows its
// messages.
template <class Loop>
void with_size(std::size_t bytes, Loop loop) {
  switch (bytes) {
    case 64: return loop(std::integral_constant<std::size_t, 64>{});
    case 1024: return loop(std::integral_constant<std::size_t, 1024>{});
    default: return loop(bytes);
  }
}

inline void verify(const Checker& checker, const Task& task) {
  if (!checker.complete(task.messages, task.bytes)) fail("messages arrived torn or out of order");
}

template <class Ends>
void answer(Meeting& meeting, const Task& task, Ends& ends) {
  Checker checker;
  meeting.line.wait();
  const Undisturbed undisturbed(Ends::kManner);
  with_size(task.bytes, [&](auto bytes) {
    if (task.question == Question::kThroughput) {
      for (std::uint64_t i = 0; i < task.messages; ++i) ends.receive(checker, bytes, i);
      ends.send(8, 0);  // the last one has been read
    } else {
      for (std::uint64_t i = 0; i < task.messages; ++i) {
        ends.receive(checker, bytes, i);
        ends.send(bytes, i);
      }
    }
  });
  meeting.answerer_clean = undisturbed.get();
  verify(checker, task);
  meeting.line.wait();
}

template <class Ends>
void ask(Meeting& meeting, const Task& task, Ends& ends) {
  Checker checker;
  meeting.line.wait();
  const Undisturbed undisturbed(Ends::kManner);
  const auto start = Clock::now();
  with_size(task.bytes, [&](auto bytes) {
    if (task.question == Question::kThroughput) {
      for (std::uint64_t i = 0; i < task.messages; ++i) ends.send(bytes, i);
      Checker last;
      ends.receive(last, 8, 0);
    } else {
      for (std::uint64_t i = 0; i < task.messages; ++i) {
        ends.send(bytes, i);
        ends.receive(checker, bytes, i);
      }
    }
  });
  meeting.seconds = seconds_since(start);
  const bool clean = undisturbed.get();
  meeting.line.wait();
  // Helpers of its own that stand in a thread's way are no disturbance: they are what it costs.
  meeting.clean = Ends::kManner.helpers || (clean && meeting.answerer_clean);
  if (task.question == Question::kRoundTrip) verify(checker, task);
}

// All cores, for threads that are made from here on, too.
inline void unpin() {
  cpu_set_t set;
  std::memset(&set, 0xff, sizeof set);
  sched_setaffinity(0, sizeof set, &set);
}

// The message at `data`, for those who may put it anywhere: where words may be read.
class Aligned {
 public:
  const void* of(const void* data, std::size_t bytes) {
    if (reinterpret_cast<std::uintptr_t>(data) % alignof(std::uint64_t) == 0) return data;
    words_.resize(bytes / 8);
    std::memcpy(words_.data(), data, bytes);
    return words_.data();
  }

 private:
  std::vector<std::uint64_t> words_;
};

// Returns when both ends have found each other.
template <class Ends>
void greet(Ends& ends, bool answers) {
  Checker checker;
  if (!answers) ends.send(8, 0);
  ends.receive(checker, 8, 0);
  if (answers) ends.send(8, 0);
}

// What this process holds of an engine that stays.
template <class Ends>
std::optional<Ends>& lasting_ends() {
  static std::optional<Ends> ends;
  return ends;
}
template <class Ends>
void end_lasting() {
  lasting_ends<Ends>().reset();
}

// One sample, by one of the two processes.
template <class Ends>
void take_part(const Place& place, const Task& task) {
  const auto run = [&](Ends& ends) {
    place.answers ? answer(*place.meeting, task, ends) : ask(*place.meeting, task, ends);
  };
  if constexpr (Ends::kManner.helpers) unpin();
  if constexpr (Ends::kManner.lasting) {
    std::optional<Ends>& lasting = lasting_ends<Ends>();
    if (!lasting) {
      lasting.emplace(place, task);
      greet(*lasting, place.answers);
    }
    run(*lasting);
  } else {
    Ends ends(place, task);
    run(ends);
  }
}

template <class Ends>
void prepare_ends(const Place& place, const Task& task) {
  if constexpr (requires { Ends::prepare(place, task); }) Ends::prepare(place, task);
}

// ---- and what the driver knows of them

struct Engine {
  std::string name;
  Manner manner;
  Cost cost;
  std::size_t largest;  // message in bytes; 0: none at all, here
  bool ours = false;
  void (*prepare)(const Place&, const Task&) = nullptr;
  void (*take_part)(const Place&, const Task&) = nullptr;  // null: only the probe itself
  void (*remove)(const std::string& name) = nullptr;
  void (*end)() = nullptr;    // in each of the two processes, at the last
  bool (*start)() = nullptr;  // starts the daemon that it needs; false if that can't be
};

template <class Ends>
Engine engine_of(std::string name, Cost cost, std::size_t largest = kLargestMessage) {
  Engine engine{std::move(name), Ends::kManner, cost, largest};
  engine.prepare = &prepare_ends<Ends>;
  engine.take_part = &take_part<Ends>;
  if (Ends::kManner.lasting) engine.end = &end_lasting<Ends>;
  if constexpr (requires { &Ends::remove; }) engine.remove = &Ends::remove;
  return engine;
}

}  // namespace rondo::bench
