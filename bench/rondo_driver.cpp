// Question: how long does a message take from one process to another and back, and how many bytes a
// second flow, through a ring in shared memory, a pipe and a UNIX socket? The ring is asked through
// Sender and Receiver, as a program would use it; spsc_ring and record_ring show what static use of
// a ring brings, and the bare exchange of two lines bounds what any shared memory can do.
//
// Not measured: waking a receiver that has been idle for long, more than two processes, cold
// memory. Every message is written in full and read in full, and checked. Two processes on one core
// each; samples interleaved, each on fresh channels, bracketed by a probe of the cores' placement;
// medians within a placement. What a spinning process's core did besides spoils the sample.
//
//   rondo_driver [--json FILE] [--seconds N] [--bytes B...] [--rings]    a table
//   rondo_driver --demo FILE [--seconds N]                               the figures for ./dev demo
#include <fcntl.h>
#include <fmt/core.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <CLI/CLI.hpp>
#include <csignal>
#include <cstdlib>
#include <fstream>
#include <map>
#include <new>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <vector>

#include "rondo/core/spsc_ring.hpp"
#include "rondo/transports/receiver.hpp"
#include "rondo/transports/sender.hpp"
#include "support/machine.hpp"
#include "support/payload.hpp"
#include "support/samples.hpp"

namespace rondo::bench {
namespace {

enum class Kind : int { kBare, kSlots, kRecords, kRing, kPipe, kSocket };
enum class Question : int { kRoundTrip, kThroughput };

// One measurement, as both processes are told it.
struct Task {
  Kind kind;
  Question question;
  std::size_t bytes;
  std::uint64_t messages;
  std::uint64_t number;
  bool quit;
};

// What the two processes share beside the channels under test.
struct Shared {
  ExchangeLines probe;
  StartLine line;
  Task task;
  bool child_clean;
};

// Room for an spsc ring each way.
constexpr std::size_t kSlotsBytes = std::size_t{9} << 20;

constexpr std::uint64_t kProbes = 2000;

// Whether this thread has had its core to itself since this was made, but for a percent: the kernel
// looks in for some microseconds now and then, above all after files have gone. Waiting of its own
// accord does not count.
class Undisturbed {
 public:
  [[nodiscard]] bool get() const {
    const std::chrono::duration<double, std::nano> passed = Clock::now() - start_;
    return kept_waiting_ns() - before_ <= passed.count() / 100;
  }

 private:
  // How long it has been ready to run and not run.
  static double kept_waiting_ns() {
    double ran = 0, waited = 0;
    std::ifstream("/proc/thread-self/schedstat") >> ran >> waited;
    return waited;
  }
  double before_ = kept_waiting_ns();
  Clock::time_point start_ = Clock::now();
};

[[noreturn]] void fail(const std::string& why) {
  fmt::print(stderr, "rondo_driver: {}\n", why);
  std::exit(1);
}

template <class T>
T value_or_fail(Result<T>&& result) {
  if (!result) fail(result.error().message);
  return std::move(result).value();
}

// Of each ring. Eight of the largest message have to fit.
std::size_t capacity_for(std::size_t message_bytes) {
  return std::max<std::size_t>(message_bytes * 8, ChannelOptions::kDefaultCapacity);
}

// Both ends of one process, on a ring each way.
class RingEnds {
 public:
  RingEnds(const Task& task, bool child)
      : there_(url(task, "there")),
        back_(url(task, "back")),
        // Each side makes its own ring before it waits for the other's.
        sender_(value_or_fail(Sender::open(child ? back_ : there_))),
        receiver_(value_or_fail(Receiver::open(child ? there_ : back_))) {}

  RONDO_ALWAYS_INLINE void send(std::size_t bytes, std::uint64_t i) {
    auto claim = sender_.claim(bytes);
    if (!claim) fail("a message could not be sent");
    write_message(claim->bytes().data(), bytes, i);
    std::move(*claim).commit();
  }
  RONDO_ALWAYS_INLINE void receive(Checker& checker, std::size_t bytes, std::uint64_t i) {
    auto message = receiver_.next();
    if (!message || message->size() != bytes) fail("a message did not arrive");
    checker.read_message(message->bytes().data(), bytes, i);
  }

 private:
  static std::string url(const Task& task, const char* way) {
    return fmt::format("shm:bench-{}-{}-{}?capacity={}", getpgrp(), task.number, way,
                       capacity_for(task.bytes));
  }

  std::string there_, back_;
  Sender sender_;
  Receiver receiver_;
};

// Both ends of one process, on an spsc ring each way. Spins.
class SlotEnds {
 public:
  using Ring = spsc_ring<raw_slots>;

  // In the parent, before the child is told: fresh rings.
  static void make_rings(std::byte* memory, std::size_t bytes) {
    for (std::size_t way = 0; way < 2; ++way) {
      value_or_fail(Ring::create(memory_of(memory, bytes, way), params(bytes)));
    }
  }

  SlotEnds(std::byte* memory, std::size_t bytes, bool child)
      : producer_(value_or_fail(Ring::attach(memory_of(memory, bytes, child ? 1 : 0)))),
        consumer_(value_or_fail(Ring::attach(memory_of(memory, bytes, child ? 0 : 1)))) {}

  RONDO_ALWAYS_INLINE void send(std::size_t bytes, std::uint64_t i) {
    std::byte* slot;
    while ((slot = producer_.try_reserve()) == nullptr) cpu_relax();
    write_message(slot, bytes, i);
    producer_.commit();
  }
  RONDO_ALWAYS_INLINE void receive(Checker& checker, std::size_t bytes, std::uint64_t i) {
    const std::byte* slot;
    while ((slot = consumer_.try_peek()) == nullptr) cpu_relax();
    checker.read_message(slot, bytes, i);
    consumer_.give_back();
  }

 private:
  // As many bytes as the other ring has, and at most 1024 slots.
  static SpscParams params(std::size_t bytes) {
    return {.capacity = std::min<std::size_t>(capacity_for(bytes) / bytes, 1024),
            .slot_bytes = static_cast<std::uint32_t>(bytes)};
  }
  static std::span<std::byte> memory_of(std::byte* memory, std::size_t bytes, std::size_t way) {
    return {memory + way * kSlotsBytes, value_or_fail(Ring::layout_for(params(bytes))).total_bytes};
  }

  Ring::Producer producer_;
  Ring::Consumer consumer_;
};

// Both ends of one process, on a record ring each way. Spins.
class RecordEnds {
 public:
  // In the parent, before the child is told: fresh rings.
  static void make_rings(std::byte* memory, std::size_t bytes) {
    for (std::size_t way = 0; way < 2; ++way) {
      const auto ring = memory_of(memory, bytes, way);
      std::fill(ring.begin(), ring.end(), std::byte{0});
      if (const auto made = record_ring::create(ring, params(bytes)); !made) {
        fail(made.error().message);
      }
    }
  }

  RecordEnds(std::byte* memory, std::size_t bytes, bool child)
      : producer_(record_ring::Producer::attach(parts(memory, bytes, child ? 1 : 0)).value()),
        consumer_(record_ring::Consumer::attach(parts(memory, bytes, child ? 0 : 1)).value()) {}

  RONDO_ALWAYS_INLINE void send(std::size_t bytes, std::uint64_t i) {
    std::byte* record;
    while ((record = producer_.try_reserve(bytes)) == nullptr) cpu_relax();
    write_message(record, bytes, i);
    producer_.commit(bytes);
  }
  RONDO_ALWAYS_INLINE void receive(Checker& checker, std::size_t bytes, std::uint64_t i) {
    while (consumer_.try_peek() != ReadOutcome::kMessage) cpu_relax();
    if (consumer_.size() != bytes) fail("a record of another size arrived");
    checker.read_message(consumer_.data(), bytes, i);
    consumer_.give_back();
  }

 private:
  static RecordParams params(std::size_t bytes) { return {.capacity = capacity_for(bytes)}; }
  static std::span<std::byte> memory_of(std::byte* memory, std::size_t bytes, std::size_t way) {
    return {memory + way * kSlotsBytes,
            value_or_fail(record_ring::layout_for(params(bytes))).total_bytes};
  }
  static RecordParts parts(std::byte* memory, std::size_t bytes, std::size_t way) {
    return value_or_fail(record_ring::attach(memory_of(memory, bytes, way)));
  }

  record_ring::Producer producer_;
  record_ring::Consumer consumer_;
};

// Both ends of one process on file descriptors, used as they are: blocking read and write.
class StreamEnds {
 public:
  StreamEnds(int out, int in, std::size_t bytes) : out_(out), in_(in), buffer_(bytes / 8) {}

  void send(std::size_t bytes, std::uint64_t i) {
    write_message(buffer_.data(), bytes, i);
    for (std::size_t done = 0; done < bytes;) {
      const ssize_t n = write(out_, reinterpret_cast<char*>(buffer_.data()) + done, bytes - done);
      if (n <= 0) fail("write failed");
      done += static_cast<std::size_t>(n);
    }
  }
  void receive(Checker& checker, std::size_t bytes, std::uint64_t i) {
    for (std::size_t done = 0; done < bytes;) {
      const ssize_t n = read(in_, reinterpret_cast<char*>(buffer_.data()) + done, bytes - done);
      if (n <= 0) fail("read failed");
      done += static_cast<std::size_t>(n);
    }
    checker.read_message(buffer_.data(), bytes, i);
  }

 private:
  int out_, in_;
  std::vector<std::uint64_t> buffer_;
};

// Descriptors made before the fork, for all stream samples. Each sample drains them.
struct Streams {
  int there[2], back[2], sockets[2];

  Streams() {
    if (pipe2(there, O_CLOEXEC) != 0 || pipe2(back, O_CLOEXEC) != 0 ||
        socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, sockets) != 0) {
      fail("no pipes or sockets");
    }
    // The largest pipe that an ordinary user may have: better than the default for all sizes.
    for (const int end : {there[1], back[1]}) fcntl(end, F_SETPIPE_SZ, 1 << 20);
  }
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

template <class Ends>
void run_child(Shared& shared, const Task& task, Ends ends) {
  Checker checker;
  shared.line.wait();
  const Undisturbed undisturbed;
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
  shared.child_clean = undisturbed.get();
  if (!checker.complete(task.messages, task.bytes)) fail("messages arrived torn or out of order");
  shared.line.wait();
}

// Seconds, and whether nothing disturbed either side.
template <class Ends>
std::pair<double, bool> run_parent(Shared& shared, const Task& task, Ends ends) {
  Checker checker;
  shared.line.wait();
  const Undisturbed undisturbed;
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
  const double seconds = seconds_since(start);
  const bool clean = undisturbed.get();
  shared.line.wait();
  if (task.question == Question::kRoundTrip && !checker.complete(task.messages, task.bytes)) {
    fail("messages arrived torn or out of order");
  }
  return {seconds, clean && shared.child_clean};
}

[[noreturn]] void be_child(Shared& shared, std::byte* slots, const Streams& streams,
                           bool real_time) {
  prctl(PR_SET_PDEATHSIG, SIGKILL);
  pin_to(1);
  std::uint64_t probes = 0;
  for (;;) {
    shared.line.wait();
    const Task task = shared.task;
    if (task.quit) _exit(0);
    {
      const RealTime fast(real_time);
      shared.probe.serve(probes, kProbes);
      switch (task.kind) {
        case Kind::kBare: break;
        case Kind::kSlots: run_child(shared, task, SlotEnds(slots, task.bytes, true)); break;
        case Kind::kRecords: run_child(shared, task, RecordEnds(slots, task.bytes, true)); break;
        case Kind::kRing: run_child(shared, task, RingEnds(task, true)); break;
        case Kind::kPipe:
          run_child(shared, task, StreamEnds(streams.back[1], streams.there[0], task.bytes));
          break;
        case Kind::kSocket:
          run_child(shared, task, StreamEnds(streams.sockets[1], streams.sockets[1], task.bytes));
          break;
      }
      shared.probe.serve(probes + kProbes, kProbes);
    }
    probes += 2 * kProbes;
  }
}

struct Row {
  Kind kind;
  std::size_t bytes;
  Samples round_trip_ns;
  Samples messages_per_s;
};

std::string name_of(Kind kind) {
  switch (kind) {
    case Kind::kBare: return "bare exchange";
    case Kind::kSlots: return "spsc_ring";
    case Kind::kRecords: return "record_ring";
    case Kind::kRing: return "shm ring";
    case Kind::kPipe: return "pipe";
    case Kind::kSocket: return "unix socket";
  }
  return "?";
}

bool in_memory(Kind kind) { return kind > Kind::kBare && kind <= Kind::kRing; }

// As many messages as take some milliseconds.
std::uint64_t messages_for(Kind kind, Question question, std::size_t bytes) {
  const double per_byte_ns = in_memory(kind) ? 0.05 : 0.4;
  if (question == Question::kRoundTrip) {
    const double ns = (in_memory(kind) ? 200 : 20'000) + 8 * per_byte_ns * double(bytes);
    return static_cast<std::uint64_t>(std::max(3e6 / ns, 10.0));
  }
  const double ns = (in_memory(kind) ? 10 : 500) + per_byte_ns * double(bytes);
  return static_cast<std::uint64_t>(std::max((in_memory(kind) ? 1.5e7 : 4e6) / ns, 40.0));
}

class Driver {
 public:
  explicit Driver(bool real_time) : real_time_(real_time) {
    shared_ = new (map(sizeof(Shared))) Shared{};
    slots_ = static_cast<std::byte*>(map(2 * kSlotsBytes));
    child_ = fork();
    if (child_ < 0) fail("no second process");
    if (child_ == 0) be_child(*shared_, slots_, streams_, real_time_);
    pin_to(0);
  }
  ~Driver() {
    shared_->task.quit = true;
    shared_->line.wait();
    waitpid(child_, nullptr, 0);
  }

  void measure(Row& row, Question question) {
    Task& task = shared_->task;
    task = {row.kind,  question, row.bytes, messages_for(row.kind, question, row.bytes),
            ++number_, false};
    if (row.kind == Kind::kSlots) SlotEnds::make_rings(slots_, row.bytes);
    if (row.kind == Kind::kRecords) RecordEnds::make_rings(slots_, row.bytes);
    std::pair<double, bool> taken{};
    double before = 0, after = 0;
    shared_->line.wait();
    {
      const RealTime fast(real_time_);
      const Undisturbed undisturbed;
      before = shared_->probe.ask(probes_, kProbes);
      switch (row.kind) {
        case Kind::kBare: break;
        case Kind::kSlots:
          taken = run_parent(*shared_, task, SlotEnds(slots_, row.bytes, false));
          break;
        case Kind::kRecords:
          taken = run_parent(*shared_, task, RecordEnds(slots_, row.bytes, false));
          break;
        case Kind::kRing: taken = run_parent(*shared_, task, RingEnds(task, false)); break;
        case Kind::kPipe:
          taken = run_parent(*shared_, task,
                             StreamEnds(streams_.there[1], streams_.back[0], row.bytes));
          break;
        case Kind::kSocket:
          taken = run_parent(*shared_, task,
                             StreamEnds(streams_.sockets[0], streams_.sockets[0], row.bytes));
          break;
      }
      after = shared_->probe.ask(probes_ + kProbes, kProbes);
      if (row.kind == Kind::kBare) {
        taken = {(before + after) / 2 * 1e-9 * double(task.messages), undisturbed.get()};
      }
    }
    probes_ += 2 * kProbes;
    const double per_message = taken.first / static_cast<double>(task.messages);
    const Placement placement = classify(before, after);
    if (question == Question::kRoundTrip) {
      row.round_trip_ns.add(placement, per_message * 1e9, taken.second);
    } else {
      row.messages_per_s.add(placement, 1 / per_message, taken.second);
    }
  }

 private:
  static void* map(std::size_t bytes) {
    void* memory = mmap(nullptr, bytes, PROT_READ | PROT_WRITE,
                        MAP_SHARED | MAP_ANONYMOUS | MAP_POPULATE, -1, 0);
    if (memory == MAP_FAILED) fail("no memory");
    return memory;
  }

  bool real_time_;
  Streams streams_;
  Shared* shared_;
  std::byte* slots_;
  pid_t child_;
  std::uint64_t probes_ = 0;
  std::uint64_t number_ = 0;
};

// The placement that most samples had.
Placement usual_placement(const std::vector<Row>& rows) {
  std::map<Placement, std::size_t> votes;
  for (const Row& row : rows) {
    for (const Placement placement : kPlacements) {
      votes[placement] += row.round_trip_ns.count(placement) + row.messages_per_s.count(placement);
    }
  }
  votes[Placement::kUnclear] = 0;
  return std::max_element(votes.begin(), votes.end(),
                          [](const auto& a, const auto& b) { return a.second < b.second; })
      ->first;
}

// The wanted placement if there are samples of it, else the one with the most.
Placement placement_of(const Row& row, Placement wanted) {
  const auto count = [&](Placement p) {
    return std::min(row.round_trip_ns.count(p), row.messages_per_s.count(p));
  };
  if (count(wanted) > 0) return wanted;
  return *std::max_element(kPlacements.begin(), kPlacements.end(),
                           [&](Placement a, Placement b) { return count(a) < count(b); });
}

nlohmann::json json_of(const Row& row, Placement placement) {
  const auto trip = row.round_trip_ns.get(placement);
  const auto rate = row.messages_per_s.get(placement);
  nlohmann::json json{{"transport", name_of(row.kind)},
                      {"bytes", row.bytes},
                      {"placement", to_string(placement)},
                      {"round_trip_ns", nullptr},
                      {"messages_per_s", nullptr},
                      {"bytes_per_s", nullptr},
                      {"samples", row.round_trip_ns.count(placement)},
                      {"dropped", row.round_trip_ns.dropped() + row.messages_per_s.dropped()}};
  if (trip) json["round_trip_ns"] = *trip;
  if (rate) {
    json["messages_per_s"] = *rate;
    json["bytes_per_s"] = *rate * static_cast<double>(row.bytes);
  }
  return json;
}

void print_table(const std::vector<Row>& rows) {
  for (const Placement placement : kPlacements) {
    bool headed = false;
    for (const Row& row : rows) {
      const auto trip = row.round_trip_ns.get(placement);
      const auto rate = row.messages_per_s.get(placement);
      if (!trip && !rate) continue;
      if (!headed) {
        fmt::print("\n{:<16}{:>9}{:>16}{:>16}{:>12}{:>10}\n", to_string(placement), "bytes",
                   "round trip ns", "messages/s", "GB/s", "samples");
        headed = true;
      }
      fmt::print("{:<16}{:>9}{:>16}{:>16}{:>12}{:>10}\n", name_of(row.kind), row.bytes,
                 trip ? fmt::format("{:.0f}", *trip) : "-",
                 rate ? fmt::format("{:.3e}", *rate) : "-",
                 rate ? fmt::format("{:.2f}", *rate * double(row.bytes) * 1e-9) : "-",
                 row.round_trip_ns.count(placement));
    }
  }
}

int main(int argc, char** argv) {
  CLI::App app("Round trips and throughput between two processes: a ring, a pipe, a UNIX socket");
  std::string demo, json;
  double seconds = 20;
  bool real_time = false;
  bool rings = false;
  std::vector<std::size_t> sizes{64, 1024, 65536, 1 << 20};
  app.add_option("--demo", demo, "write the figures for ./dev demo to this file");
  app.add_option("--json", json, "write all figures to this file");
  app.add_option("--seconds", seconds, "measure for about so long")->check(CLI::Range(1, 3600));
  app.add_option("--bytes", sizes, "messages of these sizes")->check(CLI::Range(8, 1 << 20));
  app.add_flag("--rings", rings, "measure rings only, no pipe and no socket");
  app.add_flag("--real-time", real_time, "keep other programs off the two cores (needs root)");
  CLI11_PARSE(app, argc, argv);
  if (sysconf(_SC_NPROCESSORS_ONLN) < 2) fail("needs two cores");
  setpgid(0, 0);

  std::vector<Row> rows{{Kind::kBare, 64, {}, {}}};
  for (const Kind kind : {Kind::kSlots, Kind::kRecords, Kind::kRing, Kind::kPipe, Kind::kSocket}) {
    if (rings && !in_memory(kind)) continue;
    for (const std::size_t bytes : sizes) rows.push_back({kind, bytes, {}, {}});
  }
  {
    Driver driver(real_time);
    const auto start = Clock::now();
    do {
      for (Row& row : rows) {
        driver.measure(row, Question::kRoundTrip);
        if (row.kind != Kind::kBare) driver.measure(row, Question::kThroughput);
      }
      if (isatty(2) != 0) {
        fmt::print(stderr, "\rmeasuring: {:.0f} of {:.0f} s ", seconds_since(start), seconds);
      }
    } while (seconds_since(start) < seconds);
    if (isatty(2) != 0) fmt::print(stderr, "\r{:40}\r", "");
  }

  const Placement usual = usual_placement(rows);
  nlohmann::json result{{"machine", describe_machine()}, {"placement", to_string(usual)}};
  if (!json.empty()) {
    for (const Row& row : rows) {
      for (const Placement placement : kPlacements) {
        if (row.round_trip_ns.count(placement) > 0) {
          result["rows"].push_back(json_of(row, placement));
        }
      }
    }
    std::ofstream(json) << result.dump(2) << '\n';
  }
  if (!demo.empty()) {
    result["rows"] = nlohmann::json::array();
    for (const Row& row : rows) {
      if (row.kind >= Kind::kRing) result["rows"].push_back(json_of(row, placement_of(row, usual)));
    }
    std::ofstream(demo) << result.dump(2) << '\n';
  } else {
    fmt::print("{}\n", describe_machine());
    print_table(rows);
  }
  return 0;
}

}  // namespace
}  // namespace rondo::bench

int main(int argc, char** argv) { return rondo::bench::main(argc, argv); }
