// Question: what do the process-shared primitives cost beside those of the C library?
//
// alone      lock and unlock by one thread whom nobody disturbs: ours, a private pthread mutex, a
//            robust process-shared one. In a program with two threads: in one with a single thread
//            the C library leaves the atomic operations out
// contended  two processes lock, add one, and unlock, over and over: pairs of both in a second; and
//            again with some work of their own in between
//
// and the same of a semaphore with one permit, taken and given back, beside sem_t between
// processes; of a shared mutex, to write and to read, beside a process-shared pthread_rwlock_t; and
// of a spin mutex beside a process-shared pthread_spinlock_t
//
// And of a barrier beside a process-shared pthread_barrier_t: alone, one of a single party, who
// never waits; between two processes, how many phases they pass in a second, each of which waits
// for the other one.
//
// Not measured: who waits how long (fairness), more than two processes. All take turns, sample by
// sample; ratios within a round.
//
//   primitives_compare [--json FILE] [--rounds N] [--seconds S] [--real-time]
#include <fmt/core.h>
#include <pthread.h>
#include <semaphore.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include <CLI/CLI.hpp>
#include <atomic>
#include <chrono>
#include <cstdint>
#include <cstdlib>
#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <thread>
#include <utility>
#include <vector>

#include "rondo/sync/barrier.hpp"
#include "rondo/sync/mutex.hpp"
#include "rondo/sync/named.hpp"
#include "rondo/sync/semaphore.hpp"
#include "rondo/sync/shared_mutex.hpp"
#include "rondo/sync/spin_mutex.hpp"
#include "support/child.hpp"
#include "support/machine.hpp"
#include "support/results.hpp"

namespace rondo::bench {
namespace {

constexpr std::uint64_t kPairs = 100'000;  // of one sample, alone
constexpr auto kContended = std::chrono::milliseconds(30);

[[noreturn]] void fail(std::string_view what) {
  fmt::print(stderr, "primitives_compare: {}\n", what);
  std::_Exit(1);
}

template <class T>
T* map_shared() {
  void* memory =
      mmap(nullptr, sizeof(T), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
  if (memory == MAP_FAILED) fail("mmap");
  return new (memory) T{};
}

class PthreadMutex {
 public:
  explicit PthreadMutex(bool shared) : mutex_(map_shared<pthread_mutex_t>()) {
    pthread_mutexattr_t attributes;
    pthread_mutexattr_init(&attributes);
    if (shared) {
      pthread_mutexattr_setpshared(&attributes, PTHREAD_PROCESS_SHARED);
      pthread_mutexattr_setrobust(&attributes, PTHREAD_MUTEX_ROBUST);
    }
    if (pthread_mutex_init(mutex_, &attributes) != 0) fail("pthread_mutex_init");
  }
  void join() {}
  void lock() { pthread_mutex_lock(mutex_); }
  void unlock() { pthread_mutex_unlock(mutex_); }

 private:
  pthread_mutex_t* mutex_;
};

class PosixSemaphore {
 public:
  PosixSemaphore() : semaphore_(map_shared<sem_t>()) {
    if (sem_init(semaphore_, 1, 1) != 0) fail("sem_init");
  }
  void join() {}
  void lock() { sem_wait(semaphore_); }
  void unlock() { sem_post(semaphore_); }

 private:
  sem_t* semaphore_;
};

class PthreadSpinlock {
 public:
  PthreadSpinlock() : lock_(map_shared<Padded>()) {
    if (pthread_spin_init(&lock_->lock, PTHREAD_PROCESS_SHARED) != 0) fail("pthread_spin_init");
  }
  void join() {}
  void lock() { pthread_spin_lock(&lock_->lock); }
  void unlock() { pthread_spin_unlock(&lock_->lock); }

 private:
  struct Padded {
    pthread_spinlock_t lock;
  };
  Padded* lock_;
};

template <bool Reads>
class PthreadRwlock {
 public:
  static constexpr bool kReads = Reads;
  PthreadRwlock() : lock_(map_shared<pthread_rwlock_t>()) {
    pthread_rwlockattr_t attributes;
    pthread_rwlockattr_init(&attributes);
    pthread_rwlockattr_setpshared(&attributes, PTHREAD_PROCESS_SHARED);
    if (pthread_rwlock_init(lock_, &attributes) != 0) fail("pthread_rwlock_init");
  }
  void join() {}
  void lock() { Reads ? pthread_rwlock_rdlock(lock_) : pthread_rwlock_wrlock(lock_); }
  void unlock() { pthread_rwlock_unlock(lock_); }

 private:
  pthread_rwlock_t* lock_;
};

class PthreadBarrier {
 public:
  explicit PthreadBarrier(std::uint32_t parties) : barrier_(map_shared<pthread_barrier_t>()) {
    pthread_barrierattr_t attributes;
    pthread_barrierattr_init(&attributes);
    pthread_barrierattr_setpshared(&attributes, PTHREAD_PROCESS_SHARED);
    if (pthread_barrier_init(barrier_, &attributes, parties) != 0) fail("pthread_barrier_init");
  }
  PthreadBarrier(const PthreadBarrier&) = delete;
  PthreadBarrier& operator=(const PthreadBarrier&) = delete;
  ~PthreadBarrier() { munmap(barrier_, sizeof *barrier_); }
  void join() {}
  void meet() {
    const int result = pthread_barrier_wait(barrier_);
    if (result != 0 && result != PTHREAD_BARRIER_SERIAL_THREAD) fail("pthread_barrier_wait");
  }

 private:
  pthread_barrier_t* barrier_;
};

// One handle in each process, as a forked child has no part in its parent's.
template <class Primitive>
class Ours {
 public:
  // `count`: what the part begins with, if with anything.
  explicit Ours(std::string_view what, std::uint32_t count = 1)
      : url_(fmt::format("shm:compare.{}.{}", what, getpid())), count_(count) {
    join();
  }
  void join() {
    const auto begin = [this](auto& part) {
      if constexpr (requires { part.begin(count_); }) part.begin(count_);
    };
    auto opened = sync::named<Primitive>(url_, {.begin = begin});
    if (!opened) fail(opened.error().message);
    mine_ = std::make_unique<sync::Named<Primitive>>(std::move(opened).value());
  }
  void lock() {
    if constexpr (requires { mine_->lock(); }) {
      mine_->lock();
    } else {
      if (!mine_->acquire()) fail("acquire");
    }
  }
  void unlock() {
    if constexpr (requires { mine_->unlock(); }) {
      mine_->unlock();
    } else {
      mine_->release();
    }
  }

 protected:
  std::string url_;
  std::uint32_t count_;
  std::unique_ptr<sync::Named<Primitive>> mine_;
};

class OursToRead : public Ours<sync::shared_mutex> {
 public:
  static constexpr bool kReads = true;
  using Ours::Ours;
  void lock() { mine_->lock_shared(); }
  void unlock() { mine_->unlock_shared(); }
};

class OurBarrier : public Ours<sync::barrier> {
 public:
  explicit OurBarrier(std::uint32_t parties) : Ours("barrier", parties) {}
  void meet() {
    if (mine_->arrive_and_wait() != sync::BarrierResult::kDone) fail("arrive_and_wait");
  }
};

template <class T>
constexpr bool kMeets = requires(T& barrier) {
  barrier.meet();
};

template <class Primitive>
double alone(Primitive& primitive) {
  const auto start = Clock::now();
  for (std::uint64_t i = 0; i < kPairs; ++i) {
    if constexpr (kMeets<Primitive>) {
      primitive.meet();
    } else {
      primitive.lock();
      primitive.unlock();
    }
  }
  return seconds_since(start) * 1e9 / static_cast<double>(kPairs);
}

struct Race {
  alignas(kSharingRange) std::atomic<int> ready{0};
  std::atomic<bool> stop{false};
  alignas(kSharingRange) std::atomic<std::uint64_t> turns{0};  // of both, in the end
  alignas(kSharingRange) std::uint64_t count = 0;              // guarded
  alignas(kSharingRange) std::atomic<std::uint64_t> last{0};   // phase of a barrier; 0: not yet
};

void begin_together(Race& race, int core) {
  pin_to(core);
  race.ready.fetch_add(1);
  while (race.ready.load() != 2) cpu_relax();
}

// The first process says one phase before which the last is: the other one reads that in time, as
// the barrier orders it.
template <class Barrier>
void meet(Barrier& barrier, Race& race, int core, int work, bool real_time) {
  const RealTime high(real_time);
  begin_together(race, core);
  const auto start = Clock::now();
  std::uint64_t phase = 0;
  do {
    ++phase;
    barrier.meet();
    for (int i = 0; i < work; ++i) cpu_relax();
    if (core == 0 && phase % 64 == 0 && race.last.load(std::memory_order_relaxed) == 0 &&
        Clock::now() - start >= kContended) {
      race.last.store(phase + 1, std::memory_order_relaxed);
    }
  } while (phase != race.last.load(std::memory_order_relaxed));
  if (core == 0) race.turns = phase;
}

// Both processes do this, until the first one says so; `work`: turns of their own between two
// pairs.
template <class Mutex>
void contend(Mutex& mutex, Race& race, int core, int work, bool real_time) {
  const RealTime high(real_time);
  begin_together(race, core);
  const auto start = Clock::now();
  std::uint64_t turn = 0;
  for (; !race.stop.load(std::memory_order_relaxed); ++turn) {
    mutex.lock();
    if constexpr (requires { requires Mutex::kReads; }) {
      if (*static_cast<volatile std::uint64_t*>(&race.count) != 0) fail("a writer");
    } else {
      ++race.count;
    }
    mutex.unlock();
    for (int i = 0; i < work; ++i) cpu_relax();
    if (core == 0 && turn % 64 == 0 && Clock::now() - start >= kContended) race.stop = true;
  }
  race.turns += turn;
}

template <class Primitive>
double contended(Primitive& primitive, int work, bool real_time) {
  Race* race = map_shared<Race>();
  const auto take_part = [&](int core) {
    if constexpr (kMeets<Primitive>) {
      meet(primitive, *race, core, work, real_time);
    } else {
      contend(primitive, *race, core, work, real_time);
    }
  };
  const pid_t child = fork_child();
  if (child < 0) fail("fork");
  if (child == 0) {
    primitive.join();
    take_part(1);
    std::_Exit(0);
  }
  // A thread, so that this one's core and priority stay.
  double seconds = 0;
  std::thread here([&] {
    while (race->ready.load() != 1) std::this_thread::sleep_for(std::chrono::microseconds(50));
    const auto start = Clock::now();
    take_part(0);
    seconds = seconds_since(start);
  });
  here.join();
  int status = 0;
  if (waitpid(child, &status, 0) != child || status != 0) fail("the other process failed");
  const auto count = static_cast<double>(race->turns.load());
  munmap(race, sizeof *race);
  return count / seconds;
}

struct Entry {
  std::string name;
  Role role;
  std::function<double()> alone;
  std::function<double(int, bool)> contended;
  std::string question = "lock";
  std::string unit = "pairs/s";
  std::vector<Samples*> samples{};
};

template <class Mutex>
Entry entry(const std::string& name, Role role, Mutex& mutex) {
  return {name, role, [&] { return alone(mutex); },
          [&](int work, bool real_time) { return contended(mutex, work, real_time); }};
}

// A new one each time: the seat of a process that has ended is not free again.
template <class Barrier>
Entry barrier_entry(const std::string& name, Role role) {
  const auto alone_once = [] {
    Barrier of_one(1);
    return alone(of_one);
  };
  const auto contended_once = [](int work, bool real_time) {
    Barrier of_two(2);
    return contended(of_two, work, real_time);
  };
  return {name, role, alone_once, contended_once, "barrier", "phases/s"};
}

int main(int argc, char** argv) {
  CLI::App app("Process-shared primitives beside those of the C library");
  RunOptions options;
  options.add_to(app);
  CLI11_PARSE(app, argc, argv);
  Ours<sync::mutex> ours("mutex");
  Ours<sync::binary_semaphore> our_semaphore("semaphore");
  PosixSemaphore theirs;
  PthreadMutex shared(true);
  PthreadMutex own(false);
  Ours<sync::shared_mutex> our_shared("shared");
  OursToRead our_shared_to_read("shared.read");
  Ours<sync::spin_mutex> our_spin("spin");
  PthreadSpinlock spinlock;
  PthreadRwlock<false> rwlock;
  PthreadRwlock<true> rwlock_to_read;
  std::vector<Entry> entries{entry("rondo mutex", Role::kOurs, ours),
                             entry("robust process-shared pthread mutex", Role::kRival, shared),
                             entry("private pthread mutex", Role::kFloor, own),
                             entry("rondo semaphore", Role::kOurs, our_semaphore),
                             entry("sem_t between processes", Role::kRival, theirs),
                             entry("rondo shared_mutex, to write", Role::kOurs, our_shared),
                             entry("pthread_rwlock_t, to write", Role::kRival, rwlock),
                             entry("rondo shared_mutex, to read", Role::kOurs, our_shared_to_read),
                             entry("pthread_rwlock_t, to read", Role::kRival, rwlock_to_read),
                             entry("rondo spin_mutex", Role::kOurs, our_spin),
                             entry("pthread_spinlock_t", Role::kRival, spinlock),
                             barrier_entry<OurBarrier>("rondo barrier", Role::kOurs),
                             barrier_entry<PthreadBarrier>("pthread_barrier_t", Role::kRival)};
  Results results("primitives_compare");
  constexpr int kWork[] = {0, 20};
  for (Entry& each : entries) {
    each.samples.push_back(&results.add(
        {each.question + "_alone", each.name, each.role, nlohmann::json::object(), "ns", false}));
    if (each.role == Role::kFloor) continue;
    for (const int work : kWork) {
      each.samples.push_back(&results.add(
          {each.question + "_contended", each.name, each.role, {{"work", work}}, each.unit, true}));
    }
  }
  // So that the C library takes this for a program with threads.
  std::atomic<bool> stop{false};
  std::thread other([&] {
    while (!stop) std::this_thread::sleep_for(std::chrono::milliseconds(1));
  });
  {
    Rounds rounds("primitives_compare", options.rounds, options.seconds, 37);
    while (rounds.next()) {
      for (Entry& each : entries) {
        rounds.question();
        const RealTime real_time(options.real_time);
        static_cast<void>(each.alone());
        each.samples[0]->add(each.alone());
      }
      for (std::size_t i = 0; i < std::size(kWork); ++i) {
        for (Entry& each : entries) {
          if (each.role == Role::kFloor) continue;
          rounds.question();
          each.samples[1 + i]->add(each.contended(kWork[i], options.real_time));
        }
      }
    }
  }
  stop = true;
  other.join();

  const auto of = [](const Samples* samples) { return *samples->get(Placement::kAny); };
  fmt::print("{}\n\n{:<40}{:>14}{:>18}{:>18}\n", describe_machine(), "", "alone/ns",
             "contended/(1/us)", "with work/(1/us)");
  for (const Entry& each : entries) {
    fmt::print("{:<40}{:>14.2f}", each.name, of(each.samples[0]));
    for (std::size_t i = 1; i < each.samples.size(); ++i) {
      fmt::print("{:>18.3f}", of(each.samples[i]) * 1e-6);
    }
    fmt::print("\n");
  }
  const auto ratio = [&](std::size_t one, std::size_t two, std::size_t question) {
    return of(entries[one].samples[question]) / of(entries[two].samples[question]);
  };
  fmt::print("\nmutex to a private one, alone (goal: at most 1.2): {:.2f}\n", ratio(0, 2, 0));
  fmt::print("mutex to a robust one, contended (goal: at least 1): {:.2f}, {:.2f}\n",
             ratio(0, 1, 1), ratio(0, 1, 2));
  fmt::print(
      "semaphore to sem_t, alone (goal: at most 1): {:.2f}; contended (at least 1): {:.2f}, "
      "{:.2f}\n",
      ratio(3, 4, 0), ratio(3, 4, 1), ratio(3, 4, 2));
  results.write(options.json);
  return 0;
}

}  // namespace
}  // namespace rondo::bench

int main(int argc, char** argv) { return rondo::bench::main(argc, argv); }
