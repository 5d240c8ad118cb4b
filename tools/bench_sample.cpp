#include "bench_sample.hpp"

#include <fcntl.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cmath>
#include <new>
#include <optional>
#include <utility>

#include "rivals/kernel_ends.hpp"
#include "rondo/transports/channel_info.hpp"
#include "rondo/transports/receiver.hpp"
#include "rondo/transports/sender.hpp"
#include "stop_signal.hpp"
#include "support/machine.hpp"
#include "support/payload.hpp"

namespace rondo::program {

using namespace rondo::bench;

std::uint64_t Histogram::top_of(std::size_t bucket) noexcept {
  const std::size_t row = bucket >> kBits;
  if (row == 0) return bucket;
  const auto shift = static_cast<int>(row) - 1;
  const std::uint64_t in_row = (bucket & ((1u << kBits) - 1)) + (1u << kBits);
  return ((in_row + 1) << shift) - 1;
}

std::optional<std::uint64_t> Histogram::quantile(double share) const noexcept {
  if (static_cast<double>(total_) * (1 - share) < 1 - 1e-9) return std::nullopt;
  const double wanted = std::ceil(share * static_cast<double>(total_));
  std::uint64_t seen = 0;
  for (std::size_t i = 0; i < counts_.size(); ++i) {
    seen += counts_[i];
    if (seen > 0 && static_cast<double>(seen) >= wanted) return std::min(top_of(i), max_);
  }
  return max_;
}

namespace {

// What the two processes share beside the channel.
struct Table {
  Meeting meeting;
  std::uint64_t batch;  // messages of the next one; 0: no more
  BenchSample sample;
};

struct Plan {
  std::size_t bytes;
  double seconds;
  Table* table;
};

void check(const Checker& checker, std::uint64_t messages, std::size_t bytes) {
  if (!checker.complete(messages, bytes)) fail("messages arrived torn or out of order");
}

// Tells the other side how many messages come next, and returns when it has been understood that
// no more do.
void begin_batch(Table& table, std::uint64_t messages) {
  table.batch = messages;
  table.meeting.line.wait();
  if (messages == 0) table.meeting.line.wait();
}
// What the other side is told.
std::uint64_t await_batch(Table& table) {
  table.meeting.line.wait();
  const std::uint64_t messages = table.batch;
  if (messages == 0) table.meeting.line.wait();
  return messages;
}

// Batches so long that it does not count where they begin: about a twentieth of the time.
std::uint64_t next_batch(std::uint64_t before, double took, double seconds) {
  return took * 20 < seconds ? before * 2 : before;
}

template <class Ends>
void ask_round_trips(const Plan& plan, Ends& ends) {
  Histogram& histogram = plan.table->sample.round_trips;
  const auto start = Clock::now();
  std::uint64_t batch = 8;
  for (bool warm = false; seconds_since(start) < plan.seconds || histogram.total() == 0;
       warm = true) {
    begin_batch(*plan.table, batch);
    Checker checker;
    const auto begun = Clock::now();
    auto before = begun;
    for (std::uint64_t i = 0; i < batch; ++i) {
      ends.send(plan.bytes, i);
      ends.receive(checker, plan.bytes, i);
      const auto now = Clock::now();
      if (warm) histogram.add(static_cast<std::uint64_t>((now - before).count()));
      before = now;
    }
    check(checker, batch, plan.bytes);
    batch = next_batch(batch, seconds_since(begun), plan.seconds);
  }
  begin_batch(*plan.table, 0);
}

template <class Ends>
void ask_throughput(const Plan& plan, Ends& ends) {
  double seconds = 0;
  std::uint64_t messages = 0;
  const auto start = Clock::now();
  std::uint64_t batch = 64;
  for (bool warm = false; seconds_since(start) < plan.seconds || messages == 0; warm = true) {
    begin_batch(*plan.table, batch);
    const auto begun = Clock::now();
    for (std::uint64_t i = 0; i < batch; ++i) ends.send(plan.bytes, i);
    Checker last;
    ends.receive(last, 8, 0);  // all have been read
    const double took = seconds_since(begun);
    const std::uint64_t next = next_batch(batch, took, plan.seconds);
    if (next != batch) {  // what counts are those of the full length
      seconds = 0;
      messages = 0;
    }
    if (warm) {
      seconds += took;
      messages += batch;
    }
    batch = next;
  }
  begin_batch(*plan.table, 0);
  plan.table->sample.messages_per_s = static_cast<double>(messages) / seconds;
}

template <class Ends>
void answer_round_trips(const Plan& plan, Ends& ends) {
  while (const std::uint64_t batch = await_batch(*plan.table)) {
    Checker checker;
    for (std::uint64_t i = 0; i < batch; ++i) {
      ends.receive(checker, plan.bytes, i);
      ends.send(plan.bytes, i);
    }
    check(checker, batch, plan.bytes);
  }
}

template <class Ends>
void answer_throughput(const Plan& plan, Ends& ends) {
  while (const std::uint64_t batch = await_batch(*plan.table)) {
    Checker checker;
    for (std::uint64_t i = 0; i < batch; ++i) ends.receive(checker, plan.bytes, i);
    check(checker, batch, plan.bytes);
    ends.send(8, 0);
  }
}

// A channel each way, through the handles.
class ChannelEnds {
 public:
  ChannelEnds(const std::string& url, const std::string& options, bool answers) {
    const std::string there = url + "-there" + options;
    const std::string back = url + "-back" + options;
    if (answers) {
      open_receiver(there);
      open_sender(back);
    } else {
      open_sender(there);
      open_receiver(back);
    }
  }
  void send(std::size_t bytes, std::uint64_t i) {
    auto claim = sender_->claim(bytes);
    if (!claim) fail("a message could not be sent");
    write_message(claim->bytes().data(), bytes, i);
    std::move(*claim).commit();
  }
  void receive(Checker& checker, std::size_t bytes, std::uint64_t i) {
    auto message = receiver_->next();
    if (!message || message->size() != bytes) fail("a message did not arrive");
    checker.read_message(message->bytes().data(), bytes, i);
  }

 private:
  void open_sender(const std::string& url) {
    auto opened = Sender::open(url);
    if (!opened) fail(opened.error().message);
    sender_.emplace(std::move(*opened));
    // A guarded channel hands its memory out from here.
    if (sender_->wait_for_receiver() != Status::kOk) fail("the receiver did not come");
  }
  void open_receiver(const std::string& url) {
    auto opened = Receiver::open(url);
    if (!opened) fail(opened.error().message);
    receiver_.emplace(std::move(*opened));
  }

  std::optional<Sender> sender_;
  std::optional<Receiver> receiver_;
};

template <class Ends>
void measure(const Plan& plan, bool answers, Ends ends) {
  if (answers) {
    answer_round_trips(plan, ends);
    answer_throughput(plan, ends);
  } else {
    ask_round_trips(plan, ends);
    ask_throughput(plan, ends);
  }
}

enum Number : int { kShm, kGuarded, kFifo, kUnix, kRawPipe, kRawUnix, kRawTcp, kWakeUp, kClock };

// As long as it takes to look at the clock: what the machine adds by itself.
void look_at_clock(const Plan& plan) {
  const auto start = Clock::now();
  auto before = start;
  while (seconds_since(start) < plan.seconds) {
    for (int i = 0; i < 1000; ++i) {
      const auto now = Clock::now();
      plan.table->sample.round_trips.add(static_cast<std::uint64_t>((now - before).count()));
      before = now;
    }
  }
}

// A message lies in shared memory, and an eventfd wakes the other side: no throughput.
void wake_up(const Plan& plan, bool answers, EventEnds ends) {
  answers ? answer_round_trips(plan, ends) : ask_round_trips(plan, ends);
}

void take_part(int number, const Plan& plan, const Place& place, const std::string& directory) {
  const Task task{0, Question::kRoundTrip, plan.bytes, 0, 0};
  const bool answers = place.answers;
  const std::string file = directory + "/channel";
  switch (number) {
    case kShm: return measure(plan, answers, ChannelEnds("shm:" + place.name, "", answers));
    case kGuarded: return measure(plan, answers, ChannelEnds("shm+guarded:" + file, "", answers));
    case kFifo: return measure(plan, answers, ChannelEnds("fifo:" + file, "", answers));
    case kUnix: return measure(plan, answers, ChannelEnds("unix:" + file, "", answers));
    case kRawPipe: return measure(plan, answers, PipeEnds(place, task));
    case kRawUnix: return measure(plan, answers, UnixEnds(place, task));
    case kRawTcp: return measure(plan, answers, TcpEnds(place, task));
    case kWakeUp: return wake_up(plan, answers, EventEnds(place, task));
    case kClock: return answers ? void() : look_at_clock(plan);
  }
}

class SharedMemory {
 public:
  explicit SharedMemory(std::size_t bytes)
      : bytes_(bytes),
        memory_(mmap(nullptr, bytes, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0)) {
    if (memory_ == MAP_FAILED) throw std::bad_alloc();
  }
  SharedMemory(const SharedMemory&) = delete;
  SharedMemory& operator=(const SharedMemory&) = delete;
  ~SharedMemory() { munmap(memory_, bytes_); }
  [[nodiscard]] void* get() const { return memory_; }

 private:
  std::size_t bytes_;
  void* memory_;
};

// Ends by itself when it is stuck, or its parent has gone.
[[noreturn]] void run_process(int number, const Plan& plan, const Place& place,
                              const std::string& directory, pid_t parent, int done, int core) {
  prctl(PR_SET_PDEATHSIG, SIGKILL);
  if (getppid() != parent) _exit(1);
  for (const int signal : {SIGINT, SIGTERM, SIGHUP}) ::signal(signal, SIG_IGN);  // parent's matter
  alarm(30 + 4 * static_cast<unsigned>(plan.seconds));
  meeting_of_this_process = place.meeting;
  pin_to_number(core);
  take_part(number, plan, place, directory);
  if (!place.answers && write(done, "1", 1) != 1) _exit(1);
  _exit(0);
}

}  // namespace

const std::vector<BenchWay>& bench_ways() {
  static const std::vector<BenchWay> ways{
      {"shm:", "a ring in shared memory", kShm},
      {"shm+guarded:", "the same, for parties that do not trust each other", kGuarded},
      {"fifo:", "Rondo's messages through a named pipe", kFifo},
      {"unix:", "Rondo's messages through a UNIX socket", kUnix},
      {"pipe", "read and write", kRawPipe},
      {"UNIX socket", "read and write", kRawUnix},
      {"TCP loopback", "read and write", kRawTcp},
      {"eventfd", "shared memory, and a wake-up by the kernel", kWakeUp},
      {"no message", "a look at the clock: what the machine adds by itself", kClock},
  };
  return ways;
}

SampleOutcome take_bench_sample(const BenchWay& way, std::size_t bytes, double seconds,
                                TwoCores cores, const std::string& name,
                                const std::string& directory, BenchSample& sample,
                                std::string& why) {
  const SharedMemory memory(2 * kWayBytes);
  const SharedMemory for_table(sizeof(Table));
  auto* const table = new (for_table.get()) Table{};
  const KernelObjects kernel(false);
  const Plan plan{bytes, seconds / 2, table};
  int done[2];
  if (pipe2(done, O_CLOEXEC) != 0) {
    why = "no pipe";
    return SampleOutcome::kFailed;
  }
  const pid_t parent = getpid();
  std::array<pid_t, 2> pids{};
  for (const bool answers : {false, true}) {
    const Place place{&table->meeting, static_cast<std::byte*>(memory.get()), &kernel, name,
                      answers};
    pids[answers] = fork();
    if (pids[answers] == 0) {
      run_process(way.number, plan, place, directory, parent, done[1],
                  answers ? cores.second : cores.first);
    }
  }
  close(done[1]);
  // The end of the pipe, when both have gone; a byte, when all has been measured.
  char byte = 0;
  const bool stopped = stop_signal::wait_readable(done[0]) == stop_signal::Readable::kStopped;
  const bool taken = !stopped && read(done[0], &byte, 1) == 1;
  close(done[0]);
  for (const pid_t pid : pids) {
    if (pid <= 0) continue;
    // The one that answers is about to end by itself.
    if (!taken) kill(pid, SIGKILL);
    while (waitpid(pid, nullptr, 0) < 0 && errno == EINTR) {
    }
  }
  for (const char* way_of : {"-there", "-back"}) {
    static_cast<void>(remove("shm:" + name + way_of, true));
    unlink((directory + "/channel" + way_of).c_str());
  }
  if (stopped) return SampleOutcome::kStopped;
  if (!taken) {
    why = table->meeting.failure[0] != '\0' ? table->meeting.failure : "it did not finish";
    return SampleOutcome::kFailed;
  }
  sample = table->sample;
  return SampleOutcome::kTaken;
}

}  // namespace rondo::program
