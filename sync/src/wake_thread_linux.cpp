#include "wake_thread.hpp"

#include <pthread.h>
#include <unistd.h>

#include <algorithm>
#include <condition_variable>
#include <csignal>
#include <memory>
#include <mutex>
#include <new>
#include <utility>
#include <vector>

#include "rondo/core/min_max.hpp"
#include "rondo/core/os.hpp"
#include "rondo/sync/futex.hpp"
#include "rondo/sync/wait_any.hpp"

namespace rondo::inline RONDO_ABI::detail {
namespace {

// All that the thread calls fits well.
constexpr std::size_t kStackBytes = std::size_t{256} << 10;

bool any_changed(std::span<const PreparedWait> waits) noexcept {
  return std::any_of(waits.begin(), waits.end(), [](const PreparedWait& wait) {
    // relaxed: who is woken looks at the ring himself.
    return wait.word->load(std::memory_order_relaxed) != wait.value;
  });
}

// Says why, and writes the event: the owner reads it first and then takes the reason, so that a
// reason whose event he has read is not overlooked.
void tell(WakeEntry& entry, std::uint32_t why) noexcept {
  // relaxed: the kernel orders the write of the event before the read that meets it.
  entry.told.fetch_or(why, std::memory_order_relaxed);
  constexpr std::uint64_t kOne = 1;
  // It fails only where the event is readable already.
  [[maybe_unused]] const auto written = write(entry.event, &kOne, sizeof kOne);
}

}  // namespace

struct WakeThread::State {
  std::mutex mutex;
  std::condition_variable turned;
  std::vector<WakeEntry*> entries;
  std::uint64_t turn = 0;        // how often the thread has looked at the entries
  std::uint64_t generation = 0;  // of the thread: an older one ends
  bool runs = false;
  pthread_t thread{};
  Atomic<std::uint32_t> control{0};  // changes when the thread is to look again

  void call() noexcept {
    // relaxed: the mutex orders what the thread is to see.
    control.fetch_add(1, std::memory_order_relaxed);
    futex_wake(control, 1);
  }
  bool start();
  void run(std::uint64_t mine, std::vector<PreparedWait>& words) noexcept;
  Deadline look(Deadline& next_pulse, std::vector<PreparedWait>& words) noexcept;
};

WakeThread::WakeThread() : state_(new State) {
  const auto before = [] { instance().state_->mutex.lock(); };
  const auto in_parent = [] { instance().state_->mutex.unlock(); };
  // The thread has stayed behind, and what it looked after is the parent's.
  const auto in_child = [] {
    State& state = *instance().state_;
    state.entries.clear();
    // Those who waited there have stayed behind, too.
    new (&state.turned) std::condition_variable;
    state.runs = false;
    ++state.generation;
    state.mutex.unlock();
  };
  at_fork(before, in_parent, in_child);
}

WakeThread& WakeThread::instance() {
  static auto* const thread = new WakeThread;
  return *thread;
}

bool WakeThread::add(WakeEntry& entry) {
  entry.last_pulse = entry.pulse ? entry.pulse() : 0;
  const std::lock_guard lock(state_->mutex);
  state_->entries.reserve(state_->entries.size() + 1);
  if (!state_->runs && !state_->start()) return false;
  state_->entries.push_back(&entry);
  return true;
}

void WakeThread::remove(WakeEntry& entry) noexcept {
  forget(entry);
  std::unique_lock lock(state_->mutex);
  if (std::erase(state_->entries, &entry) == 0 || !state_->entries.empty() || !state_->runs) return;
  state_->runs = false;
  ++state_->generation;
  const pthread_t thread = state_->thread;
  lock.unlock();
  state_->call();
  pthread_join(thread, nullptr);
}

void WakeThread::watch(WakeEntry& entry, std::span<const PreparedWait> waits,
                       bool by_word) noexcept {
  std::chrono::nanoseconds slice = BellSystem::kSlice;
  for (const PreparedWait& wait : waits) slice = min_of(slice, wait.slice);
  const std::lock_guard lock(state_->mutex);
  if (!by_word) {
    entry.waits = {};
  } else if (waits.size() == 1) {
    entry.one = waits.front();
    entry.waits = {&entry.one, 1};
  } else {
    entry.waits = waits;
  }
  entry.due = slice < BellSystem::kSlice ? Deadline::after(slice) : Deadline::never();
  state_->call();
}

void WakeThread::forget(WakeEntry& entry) noexcept {
  std::unique_lock lock(state_->mutex);
  entry.due = Deadline::never();
  if (entry.waits.empty()) return;
  entry.waits = {};
  if (!state_->runs) return;
  const std::uint64_t seen = state_->turn;
  state_->call();
  state_->turned.wait(lock, [&] { return state_->turn != seen || !state_->runs; });
}

bool WakeThread::State::start() {
  struct Start {
    State* state;
    std::uint64_t generation;
    std::vector<PreparedWait> words;  // its own: one that is to end may still be at work
  };
  auto arguments = std::make_unique<Start>(Start{this, ++generation, {}});
  arguments->words.reserve(kMostWaits);
  pthread_attr_t attributes;
  pthread_attr_init(&attributes);
  pthread_attr_setstacksize(&attributes, kStackBytes);
  // An ordinary thread, on the cores of the main one: not one that competes with the thread that
  // happened to ask for the first descriptor, at its priority and on its core.
  const sched_param ordinary{};
  pthread_attr_setinheritsched(&attributes, PTHREAD_EXPLICIT_SCHED);
  pthread_attr_setschedpolicy(&attributes, SCHED_OTHER);
  pthread_attr_setschedparam(&attributes, &ordinary);
  cpu_set_t cores;
  if (sched_getaffinity(getpid(), sizeof cores, &cores) == 0) {
    pthread_attr_setaffinity_np(&attributes, sizeof cores, &cores);
  }
  // The program's signals are for its own threads; but not those that the thread itself gives rise
  // to. SIGBUS, for memory that was taken away, has its handler (sigbus_guard_linux.cpp).
  sigset_t all;
  sigset_t before;
  sigfillset(&all);
  for (const int own : {SIGBUS, SIGSEGV, SIGFPE, SIGILL, SIGTRAP, SIGSYS}) sigdelset(&all, own);
  pthread_sigmask(SIG_SETMASK, &all, &before);
  const auto main = [](void* given) -> void* {
    const std::unique_ptr<Start> start(static_cast<Start*>(given));
    pthread_setname_np(pthread_self(), "rondo-wake");
    start->state->run(start->generation, start->words);
    return nullptr;
  };
  runs = pthread_create(&thread, &attributes, main, arguments.get()) == 0;
  if (!runs) {
    // Who may not choose its priority or cores (SCHED_IDLE without rights, a system-call filter)
    // gets one as its own.
    pthread_attr_destroy(&attributes);
    pthread_attr_init(&attributes);
    pthread_attr_setstacksize(&attributes, kStackBytes);
    runs = pthread_create(&thread, &attributes, main, arguments.get()) == 0;
  }
  pthread_sigmask(SIG_SETMASK, &before, nullptr);
  pthread_attr_destroy(&attributes);
  if (runs) static_cast<void>(arguments.release());
  return runs;
}

// Tells those for whom there is something to tell. What is left to sleep on, and until when.
Deadline WakeThread::State::look(Deadline& next_pulse, std::vector<PreparedWait>& words) noexcept {
  const auto now = Deadline::Clock::now();
  const bool ask = next_pulse.passed_at(now);
  if (ask) next_pulse = Deadline::at(now + kInterval);
  Deadline until = next_pulse;
  std::size_t asleep = 0;
  for (WakeEntry* entry : entries) {
    if (any_changed(entry->waits) || entry->due.passed_at(now)) {
      entry->waits = {};
      entry->due = Deadline::never();
      tell(*entry, WakeEntry::kWoken);
    }
    // relaxed: one that is just falling asleep is asked at the next turn.
    if (ask && entry->pulse && entry->asleep.load(std::memory_order_relaxed)) {
      const std::uint64_t pulse = entry->pulse();
      if (std::exchange(entry->last_pulse, pulse) != pulse) tell(*entry, WakeEntry::kNews);
    }
    until = earlier(until, entry->due);
    asleep += entry->waits.size();
    if (words.size() + entry->waits.size() > kMostWaits) continue;
    words.insert(words.end(), entry->waits.begin(), entry->waits.end());
  }
  const bool all = can_wait_any() && asleep < kMostWaits;
  if (asleep != 0 && !all) until = earlier(until, Deadline::after(kLookInterval));
  return until;
}

void WakeThread::State::run(std::uint64_t mine, std::vector<PreparedWait>& words) noexcept {
  Deadline next_pulse = Deadline::after(kInterval);
  for (;;) {
    words.clear();
    // relaxed: the mutex orders what it stands for; it changes after that.
    const std::uint32_t seen = control.load(std::memory_order_relaxed);
    words.push_back({&control, seen, {}});
    Deadline until = Deadline::never();
    {
      const std::lock_guard lock(mutex);
      if (generation != mine) return;
      until = look(next_pulse, words);
      ++turn;
    }
    turned.notify_all();
    if (words.size() > 1) {
      if (wait_any(words, until) != FutexResult::kRefused) continue;
      until = earlier(until, Deadline::after(kLookInterval));
    }
    static_cast<void>(futex_wait(control, seen, until));
  }
}

}  // namespace rondo::inline RONDO_ABI::detail
