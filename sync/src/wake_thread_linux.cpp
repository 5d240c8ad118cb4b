#include "wake_thread.hpp"

#include <poll.h>
#include <pthread.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <condition_variable>
#include <csignal>
#include <limits>
#include <memory>
#include <mutex>
#include <new>
#include <utility>
#include <vector>

#include "rondo/core/min_max.hpp"
#include "rondo/core/os.hpp"
#include "rondo/core/timespec.hpp"
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

void write_event(const UniqueFd& event) noexcept {
  constexpr std::uint64_t kOne = 1;
  if (!event.intact()) return;  // the program has closed it
  // It fails only where the event is readable already.
  [[maybe_unused]] const auto written = write(event.get(), &kOne, sizeof kOne);
}

// Says why, and writes the event: the owner reads it first and then takes the reason, so that a
// reason whose event he has read is not overlooked.
void tell(WakeEntry& entry, std::uint32_t why) noexcept {
  // relaxed: the kernel orders the write of the event before the read that meets it.
  entry.told.fetch_or(why, std::memory_order_relaxed);
  write_event(*entry.event);
}

// What wakes the thread where it sleeps by descriptors. A pipe, and no eventfd: where the program
// closes all that there is, the kernel itself tells the one that sleeps by the reading end, and so
// does letting go of the other end.
class WakePipe {
 public:
  [[nodiscard]] static WakePipe make() noexcept {
    WakePipe made;
    if (open_pipe(made.reading_, made.writing_)) {
      made.reading_.remember();
      made.writing_.remember();
    }
    return made;
  }

  explicit operator bool() const noexcept { return static_cast<bool>(reading_); }
  [[nodiscard]] bool intact() const noexcept { return reading_.intact() && writing_.intact(); }
  [[nodiscard]] NativeHandle fd() const noexcept { return reading_.get(); }
  // It is intact.
  void wake() const noexcept {
    // It fails only where the pipe is readable already.
    [[maybe_unused]] const auto written = write(writing_.get(), "", 1);
  }
  // False: the program has closed it, and the number is that of a file of its own.
  [[nodiscard]] bool drain() const noexcept {
    std::array<char, 64> bytes;  // what is left is one wake too many
    return intact() && (read(reading_.get(), bytes.data(), bytes.size()) > 0 || errno == EAGAIN);
  }

 private:
  UniqueFd reading_{};
  UniqueFd writing_{};
};

struct ByNumber {
  bool operator()(const FileEntry* entry, int number) const noexcept {
    return entry->number < number;
  }
  bool operator()(int number, const FileEntry* entry) const noexcept {
    return number < entry->number;
  }
};

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

  std::vector<FileEntry*> files;  // by their numbers
  FileNews news;                  // as long as there are files
  WakePipe pipe;                  // to the thread that runs, in place of the word, where it polls
  bool polls = false;             // it sleeps by `pipe` and `news`, or is about to

  // When the thread does next what it does by time.
  struct Times {
    Deadline pulse = Deadline::after(kInterval);
    Deadline seldom = Deadline::after(kSeldom);
    Deadline at_last = Deadline::after(kAtLast);
    Deadline news = Deadline::now();
  };
  // What it is about to sleep by, if not by the words alone.
  struct Polled {
    std::array<pollfd, 2> fds{pollfd{kNoHandle, POLLIN, 0}, pollfd{kNoHandle, POLLIN, 0}};
    [[nodiscard]] bool called() const noexcept { return fds[0].revents != 0; }
    [[nodiscard]] bool news() const noexcept { return fds[1].revents != 0; }
  };

  // All of these beneath the mutex.
  void call() noexcept {
    // relaxed: the mutex orders what the thread is to see.
    control.fetch_add(1, std::memory_order_relaxed);
    if (!polls) {
      // One that is to end may still sleep there, too.
      futex_wake(control, std::numeric_limits<int>::max());
    } else if (pipe.intact()) {
      pipe.wake();
    } else {
      lose_news();
    }
  }
  bool start();
  void end_if_unused(std::unique_lock<std::mutex>& lock) noexcept;
  [[nodiscard]] bool insert(FileEntry& entry, NativeHandle file) noexcept;
  void erase(FileEntry& entry) noexcept;
  void end_news_if_unused() noexcept;
  void mark(int number, bool last) noexcept;
  void tell_marked() noexcept;
  void lose_news() noexcept;
  void watch_anew() noexcept;
  void take_news(const Polled& polled, Times& times, Deadline::Clock::time_point now) noexcept;
  static bool is_seldom(WakeEntry& entry, Deadline::Clock::time_point now) noexcept;
  Deadline look(const Polled& polled, Times& times, std::vector<PreparedWait>& words) noexcept;

  void run(std::uint64_t mine, std::vector<PreparedWait>& words) noexcept;
};

WakeThread::WakeThread() : state_(new State) {
  const auto before = [] { instance().state_->mutex.lock(); };
  const auto in_parent = [] { instance().state_->mutex.unlock(); };
  // The thread has stayed behind, and what it looked after is the parent's.
  const auto in_child = [] {
    State& state = *instance().state_;
    state.entries.clear();
    state.files.clear();
    state.news = FileNews();
    state.pipe = WakePipe();
    state.polls = false;
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

bool WakeThread::add(WakeEntry& entry, NativeHandle file) {
  for (Pulse* pulse : {&entry.by_time, &entry.by_closing}) {
    if (pulse->ask) static_cast<void>(pulse->changed());
  }
  const std::lock_guard lock(state_->mutex);
  state_->entries.reserve(state_->entries.size() + 1);
  state_->files.reserve(state_->files.size() + 1);
  if (!state_->runs && !state_->start()) return false;
  state_->entries.push_back(&entry);
  entry.watched = file;
  if (entry.by_closing.ask && is_handle(file) && state_->insert(entry.file, file)) {
    // Of what came before that nothing was told.
    entry.again.begin(Deadline::Clock::now());
  }
  state_->call();
  return true;
}

void WakeThread::remove(WakeEntry& entry) noexcept {
  forget(entry);
  std::unique_lock lock(state_->mutex);
  state_->erase(entry.file);
  if (std::erase(state_->entries, &entry) != 0) state_->end_if_unused(lock);
}

bool WakeThread::watch_file(FileEntry& entry, NativeHandle file) {
  std::unique_lock lock(state_->mutex);
  state_->files.reserve(state_->files.size() + 1);
  if (!state_->insert(entry, file)) return false;
  bool runs = state_->runs;
  try {
    runs = runs || state_->start();
  } catch (const std::bad_alloc&) {
    state_->erase(entry);
    throw;
  }
  if (!runs) state_->erase(entry);
  state_->call();
  return runs;
}

void WakeThread::forget_file(FileEntry& entry) noexcept {
  std::unique_lock lock(state_->mutex);
  state_->erase(entry);
  state_->end_if_unused(lock);
}

void WakeThread::State::end_if_unused(std::unique_lock<std::mutex>& lock) noexcept {
  if (!entries.empty() || !files.empty() || !runs) return;
  runs = false;
  ++generation;
  call();
  polls = false;
  const pthread_t ending = thread;
  const WakePipe its_pipe = std::move(pipe);  // another thread has its own
  lock.unlock();
  pthread_join(ending, nullptr);
}

// There is place for one more.
bool WakeThread::State::insert(FileEntry& entry, NativeHandle file) noexcept {
  // The program has closed one of them.
  if (!pipe.intact() || !news.intact()) lose_news();
  if (!pipe) pipe = WakePipe::make();
  const int number = pipe ? news.watch(file) : FileNews::kNone;
  if (number == FileNews::kNone) {
    end_news_if_unused();
    return false;
  }
  entry.number = number;
  // relaxed: the caller's own so far.
  entry.stands.store(true, std::memory_order_relaxed);
  files.insert(std::upper_bound(files.begin(), files.end(), number, ByNumber()), &entry);
  return true;
}

void WakeThread::State::erase(FileEntry& entry) noexcept {
  if (std::erase(files, &entry) == 0) return;
  const int number = std::exchange(entry.number, FileNews::kNone);
  if (!std::binary_search(files.begin(), files.end(), number, ByNumber())) news.forget(number);
  end_news_if_unused();
}

// A thread that polls lets go of them, too.
void WakeThread::State::end_news_if_unused() noexcept {
  if (!files.empty()) return;
  news = FileNews();
  if (polls) call();
  if (!runs) pipe = WakePipe();
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
  auto arguments = std::make_unique<Start>(Start{this, generation + 1, {}});
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
  pthread_t started{};
  bool began = pthread_create(&started, &attributes, main, arguments.get()) == 0;
  if (!began) {
    // Who may not choose its priority or cores (SCHED_IDLE without rights, a system-call filter)
    // gets one as its own.
    pthread_attr_destroy(&attributes);
    pthread_attr_init(&attributes);
    pthread_attr_setstacksize(&attributes, kStackBytes);
    began = pthread_create(&started, &attributes, main, arguments.get()) == 0;
  }
  pthread_sigmask(SIG_SETMASK, &before, nullptr);
  pthread_attr_destroy(&attributes);
  if (!began) return false;
  static_cast<void>(arguments.release());
  ++generation;
  thread = started;
  runs = true;
  return true;
}

// Of one file, or of all: there is something to tell.
void WakeThread::State::mark(int number, bool last) noexcept {
  auto range = std::equal_range(files.begin(), files.end(), number, ByNumber());
  if (number == FileNews::kNone) range = {files.begin(), files.end()};
  for (auto at = range.first; at != range.second; ++at) {
    FileEntry& entry = **at;
    // relaxed: who is told looks himself, and what he is told by orders that.
    if (last) entry.stands.store(false, std::memory_order_relaxed);
    entry.marked = true;
  }
}

// Once, however much there was.
void WakeThread::State::tell_marked() noexcept {
  for (FileEntry* entry : files) {
    if (!std::exchange(entry->marked, false)) continue;
    entry->news.fetch_add(1, std::memory_order_relaxed);  // relaxed: as above
    if (entry->tell) entry->tell();
  }
}

// Nothing is told any more of these.
void WakeThread::State::lose_news() noexcept {
  polls = false;
  mark(FileNews::kNone, true);
  tell_marked();
  for (FileEntry* entry : files) entry->number = FileNews::kNone;
  news = FileNews();
  pipe = WakePipe();  // which wakes the thread that sleeps by it
}

// What the descriptors watched; the other files' owners do it themselves.
void WakeThread::State::watch_anew() noexcept {
  for (WakeEntry* entry : entries) {
    // Its place among the files is free then.
    if (std::erase(files, &entry->file) == 0) continue;
    static_cast<void>(insert(entry->file, entry->watched));
  }
}

void WakeThread::State::take_news(const Polled& polled, Times& times,
                                  Deadline::Clock::time_point now) noexcept {
  // Where the number is that of a file of the program, that may always be readable.
  if (polled.called() && !pipe.drain()) return lose_news();
  if (!news) return;
  // Where it sleeps by words, news are looked for by time.
  const bool by_words = !is_handle(polled.fds[0].fd);
  const bool due = times.news.passed_at(now) && (by_words || polled.news());
  // Of what the program has closed, nothing tells.
  if (!due && news.intact()) return;
  bool lost = false;
  const bool any = news.take([&](int number, bool last) {
    lost = lost || (last && number == FileNews::kNone);
    mark(number, last);
  });
  // To watch all of them anew costs more than to hear of them.
  if (any || by_words) times.news = Deadline::at(now + (by_words ? kInterval : kNewsInterval));
  if (!lost) return tell_marked();
  const bool closed = !news;
  lose_news();
  // Of a program that has closed it, the files may be others by now.
  if (!closed) watch_anew();
}

// Of one whose owner does something all the time: that is seen at a look.
bool WakeThread::State::is_seldom(WakeEntry& entry, Deadline::Clock::time_point now) noexcept {
  if (!entry.seldom) return false;
  // relaxed: a number that orders nothing.
  const std::uint32_t slept = entry.slept.load(std::memory_order_relaxed);
  if (std::exchange(entry.slept_seen, slept) != slept) entry.quiet_at = Deadline::at(now + kBusy);
  return entry.quiet_at.passed_at(now);
}

// Tells those for whom there is something to tell. What is left to sleep on, and until when.
Deadline WakeThread::State::look(const Polled& polled, Times& times,
                                 std::vector<PreparedWait>& words) noexcept {
  const auto now = Deadline::Clock::now();
  polls = false;
  take_news(polled, times, now);
  const bool ask = times.pulse.passed_at(now);
  const bool ask_seldom = times.seldom.passed_at(now);
  const bool ask_at_last = times.at_last.passed_at(now);
  if (ask) times.pulse = Deadline::at(now + kInterval);
  if (ask_seldom) times.seldom = Deadline::at(now + kSeldom);
  if (ask_at_last) times.at_last = Deadline::at(now + kAtLast);
  Deadline until = Deadline::never();
  std::size_t asleep = 0;
  for (WakeEntry* entry : entries) {
    if (any_changed(entry->waits) || entry->due.passed_at(now)) {
      entry->waits = {};
      entry->due = Deadline::never();
      tell(*entry, WakeEntry::kWoken);
    }
    // relaxed: one that is just falling asleep is asked at the next turn.
    const bool sleeps = entry->asleep.load(std::memory_order_relaxed);
    bool has_news = false;
    if (entry->by_time.ask) {
      const bool seldom = is_seldom(*entry, now);
      if ((seldom ? ask_seldom : ask) && sleeps) has_news = entry->by_time.changed();
      until = earlier(until, seldom ? times.seldom : times.pulse);
    }
    if (entry->by_closing.ask) {
      // relaxed, both: beneath the mutex.
      const bool by_file = entry->file.stands.load(std::memory_order_relaxed);
      const std::uint32_t news_of_it = entry->file.news.load(std::memory_order_relaxed);
      if (std::exchange(entry->news_seen, news_of_it) != news_of_it) entry->again.begin(now);
      const bool due = entry->again.due(now) || (by_file ? ask_at_last : ask);
      if (due && sleeps && entry->by_closing.changed()) has_news = true;
      until = earlier(until, by_file ? earlier(entry->again.next(), times.at_last) : times.pulse);
    }
    if (has_news) tell(*entry, WakeEntry::kNews);
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
  Times times;
  Polled polled;
  for (;;) {
    words.clear();
    // relaxed: the mutex orders what it stands for; it changes after that.
    const std::uint32_t seen = control.load(std::memory_order_relaxed);
    words.push_back({&control, seen, {}});
    Deadline until = Deadline::never();
    bool by_descriptors = false;
    {
      const std::lock_guard lock(mutex);
      if (generation != mine) return;
      until = look(polled, times, words);
      ++turn;
      // Words are not to be slept on by poll(), nor descriptors by a futex.
      polls = by_descriptors = words.size() == 1 && news;
      polled = Polled();
      if (by_descriptors) {
        polled.fds[0].fd = pipe.fd();
        // Where the program closes that now, and another file gets the number before the kernel
        // sleeps by it, nobody can wake us any more.
        until = earlier(until, Deadline::after(kAtLast));
        if (times.news.passed()) {
          polled.fds[1].fd = news.fd();
        } else {
          until = earlier(until, times.news);
        }
      } else if (news) {
        until = earlier(until, times.news);
      }
    }
    turned.notify_all();
    if (by_descriptors) {
      const timespec left = timespec_of(until.remaining());
      ppoll(polled.fds.data(), polled.fds.size(), &left, nullptr);
      continue;
    }
    if (words.size() > 1) {
      if (wait_any(words, until) != FutexResult::kRefused) continue;
      until = earlier(until, Deadline::after(kLookInterval));
    }
    static_cast<void>(futex_wait(control, seen, until));
  }
}

}  // namespace rondo::inline RONDO_ABI::detail
