// Ordering. Each label stands at exactly one operation below; pairs are mutual.
//
//   W1 heavy fence               is F1 of all bells that were announced (doorbell.hpp)
//   W2 release control  ->  W3 acquire control   who finds it changed finds why
//   W4 release interrupted -> W5 acquire interrupted   who is told of it finds why
#include "rondo/transports/wait_set.hpp"

#include <algorithm>
#include <array>
#include <condition_variable>
#include <mutex>
#include <new>
#include <optional>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "endpoint/backend.hpp"
#include "poller.hpp"
#include "rondo/core/fork_check.hpp"
#include "rondo/core/out_of_memory.hpp"
#include "rondo/sync/asymmetric_fence.hpp"
#include "rondo/sync/close_watch.hpp"
#include "rondo/sync/doorbell.hpp"
#include "rondo/sync/futex.hpp"
#include "rondo/sync/wait_any.hpp"
#include "rondo/sync/wake_descriptor.hpp"
#include "rondo/transports/receiver.hpp"
#include "rondo/transports/sender.hpp"
#include "wait_set_end.hpp"
#include "wait_set_member.hpp"

namespace rondo::inline RONDO_ABI {
namespace {

using detail::Timer;
using detail::WaitSetEnd;
using Clock = Deadline::Clock;
using Member = detail::WaitSetMember;

// The poller's tag of all words together; members have their numbers, from 1 on.
constexpr std::uint64_t kWords = 0;
// How many descriptors the poller is asked for at a time. It tells others next time.
constexpr std::size_t kDescriptorsAtOnce = 64;
// Where nothing can be slept on: the next look.
constexpr std::chrono::milliseconds kNap{1};
// So many sleeps in a row that ended at once, and for nothing, are none: a system that refuses to
// wait for something, or a descriptor that is ready for nobody.
constexpr int kMostVainSleeps = 32;
constexpr std::chrono::microseconds kVainSleep{50};
// For so long nothing has come to a set that is not busy.
constexpr std::chrono::milliseconds kSilence{500};
// How often a thread that looks gives way to those that want to change something.
constexpr int kMostYields = 64;

Error invalid(const std::string& why) { return Error{ErrorCode::kInvalidOption, why}; }

}  // namespace

struct WaitSet::State {
  State(WaitMode mode, const std::atomic<bool>* stop)
      : news([this] { call(); }), has_flag(stop != nullptr), strategy(mode, stop) {}
  State(const State&) = delete;
  State& operator=(const State&) = delete;
  ~State() { members.clear(); }  // first: another thread calls what they listen to

  std::mutex mutex;  // for what follows, but for what only the waiting thread uses
  std::vector<Member> members;
  std::uint64_t last_number = kWords;
  std::size_t next = 0;         // who is looked at first
  std::size_t words = 0;        // members that sleep on one
  std::size_t senders = 0;      // among them
  std::size_t all_senders = 0;  // also those with a descriptor
  std::size_t timers = 0;
  std::optional<detail::Poller> poller;
  bool asleep = false;
  std::uint64_t sleeps = 0;           // that have ended
  std::condition_variable awake;      // told of that
  Clock::time_point last_thorough{};  // look
  std::atomic<int> changers{0};       // threads that want the mutex from one that looks

  // Read without the mutex, too.
  std::atomic<bool> interrupted{false};
  Atomic<std::uint32_t> control{0};  // changes when whoever sleeps is to look again
  detail::ForkCheck fork_check;

  const Callback<void()> news;  // a member may have some

  // The waiting thread's.
  bool has_flag;  // to stop by, which nobody rings for
  WaitStrategy strategy;
  Deadline wait_ends;
  int vain_sleeps = 0;  // in a row
  Clock::time_point last_ready = Clock::now();
  bool armed = false;      // what the last sleep announced still stands
  bool spent = false;      // a wake, on a member
  std::uint32_t seen = 0;  // of `control`, then
  std::vector<PreparedWait> waits;
  std::unique_ptr<WakeDescriptor> wake;  // stands for all words in the poller
  detail::Poller::Watched wake_watched;

  [[nodiscard]] std::unique_lock<std::mutex> lock_for_change() noexcept {
    // relaxed, both: a hint; the mutex orders.
    changers.fetch_add(1, std::memory_order_relaxed);
    std::unique_lock lock(mutex);
    changers.fetch_sub(1, std::memory_order_relaxed);
    return lock;
  }
  [[nodiscard]] std::unique_lock<std::mutex> lock_for_look() noexcept {
    // Who looks again and again would hardly let anybody in. But it may be a real-time thread that
    // yields to none.
    for (int i = 0; i < kMostYields; ++i) {
      // relaxed: as above.
      if (changers.load(std::memory_order_relaxed) == 0) break;
      std::this_thread::yield();
    }
    return std::unique_lock(mutex);
  }
  void count(const Member& member, int by) noexcept {
    const auto add = static_cast<std::size_t>(by);
    if (member.sleeps_on_word()) words += add;
    const bool sends = member.end && member.end->is_sender();
    if (sends && member.sleeps_on_word()) senders += add;
    if (sends) all_senders += add;
    if (member.timer) timers += add;
  }
  void call(bool wakes = true) noexcept {
    // W2 (release, pairs with W3): who sees it sees what it stands for.
    control.fetch_add(1, std::memory_order_release);
    if (wakes) futex_wake(control, 1);
  }
  // Members have come or gone.
  void changed() noexcept { call(asleep); }
  [[nodiscard]] bool is_interrupted() const noexcept {
    return interrupted.load(std::memory_order_relaxed);  // relaxed: orders nothing
  }

  template <class Make>
  static Result<void> add(State* set, Key key, Make&& make);
  template <class Make>
  Result<void> add(Key key, Make&& make);
  static Result<void> add_end(State* set, WaitSetEnd end, Key key);
  Result<void> watch_for(Member& member, NativeHandle fd, bool writing);
  [[nodiscard]] Result<detail::Poller::Watched> watch(NativeHandle fd, bool writing,
                                                      std::uint64_t number);
  void take_out(std::size_t i) noexcept;

  [[nodiscard]] std::size_t collect(std::span<Key> room) noexcept;
  [[nodiscard]] bool anything_ready() noexcept;
  void ask_poller() noexcept;
  [[nodiscard]] Deadline next_timer() const noexcept;
  [[nodiscard]] Deadline rest_until(Clock::time_point now) const noexcept;
  void listen() noexcept;
  [[nodiscard]] bool make_wake() noexcept;
  [[nodiscard]] bool reserve_waits() noexcept;
  [[nodiscard]] std::chrono::nanoseconds announce_all() noexcept;
  void disarm_all() noexcept;
  // As a bell's (doorbell.hpp).
  template <class Ready>
  bool sleep_once(Ready&& ready, Deadline deadline) noexcept;
  [[nodiscard]] bool end_wait() noexcept;
  void pass_on() noexcept;
};

// ---- members ----

template <class Make>
Result<void> WaitSet::State::add(State* set, Key key, Make&& make) {
  if (set == nullptr) {
    return Error{ErrorCode::kNotFound, "a wait set that was moved from has no members"};
  }
  return set->add(key, std::forward<Make>(make));
}

template <class Make>
Result<void> WaitSet::State::add(Key key, Make&& make) {
  if (fork_check.forked()) {
    return Error{ErrorCode::kForked, "a wait set of the parent process; make one in this process"};
  }
  return detail::refuse_without_memory([&]() -> Result<void> {
    const auto lock = lock_for_change();
    for (const Member& member : members) {
      if (member.key == key) {
        return invalid("the wait set has a member with the key " + std::to_string(key) +
                       "; remove it first, or take another key");
      }
    }
    if (members.size() == members.capacity()) members.reserve(2 * members.size() + 1);
    Member member;
    member.key = key;
    member.number = ++last_number;
    if (auto made = make(member); !made) return made;
    count(member, 1);
    members.push_back(std::move(member));
    changed();
    return {};
  });
}

Result<void> WaitSet::State::add_end(State* set, WaitSetEnd end, Key key) {
  return add(set, key, [&](Member& member) -> Result<void> {
    if (auto fit = end.check(); !fit) return fit;
    for (const Member& other : set->members) {
      if (other.end && other.end->is_same(end)) {
        return invalid("the handle is in the wait set already, with the key " +
                       std::to_string(other.key));
      }
    }
    member.end = end;
    if (end.has_word()) return {};
    // Its descriptor is readable, whatever it waits for.
    auto fd = end.fd();
    if (!fd) return std::move(fd).error();
    return set->watch_for(member, *fd, false);
  });
}

Result<void> WaitSet::State::watch_for(Member& member, NativeHandle fd, bool writing) {
  auto made = watch(fd, writing, member.number);
  if (!made) return std::move(made).error();
  member.watched = std::move(made).value();
  return {};
}

Result<detail::Poller::Watched> WaitSet::State::watch(NativeHandle fd, bool writing,
                                                      std::uint64_t number) {
  if (!poller) {
    auto made = detail::Poller::make();
    if (!made) return std::move(made).error();
    poller.emplace(std::move(made).value());
  }
  return poller->add(fd, writing, number);
}

void WaitSet::State::take_out(std::size_t i) noexcept {
  Member& member = members[i];
  count(member, -1);
  if (member.watched) poller->remove(*member.watched);
  members.erase(members.begin() + static_cast<std::ptrdiff_t>(i));
  if (next > i) --next;
}

// ---- looking ----

// The keys of those that are ready, from `next` on; they go to the back. Now and then all are
// asked, however busy some of them are.
std::size_t WaitSet::State::collect(std::span<Key> room) noexcept {
  const auto lock = lock_for_look();
  if (is_interrupted()) return 0;
  if (poller) ask_poller();
  const Clock::time_point now = Clock::now();
  const bool thorough = now - last_thorough >= BellSystem::kSlice;
  if (thorough) last_thorough = now;
  std::size_t count = 0;
  std::size_t i = next < members.size() ? next : 0;
  for (std::size_t left = members.size(); left > 0; --left) {
    if (count == room.size() && !thorough) break;
    Member& member = members[i];
    bool stays = true;
    if (member.ready(now, thorough)) {
      member.owed = count == room.size();
      if (!member.owed) {
        member.spent = false;
        room[count++] = member.key;
        next = i + 1;
        stays = !member.timer || member.timer->advance(now);
      }
    }
    if (stays) {
      ++i;
    } else {
      take_out(i);
    }
    if (i >= members.size()) i = 0;
  }
  if (count == 0 && all_senders != 0) {
    for (const Member& member : members) {
      if (member.end) member.end->tell_all();
    }
  }
  return count;
}

// The look between an announcement and the sleep.
bool WaitSet::State::anything_ready() noexcept {
  const auto lock = lock_for_look();
  if (is_interrupted()) return true;
  if (poller) ask_poller();
  last_thorough = Clock::now();
  return std::any_of(members.begin(), members.end(),
                     [this](Member& member) { return member.ready(last_thorough, true); });
}

// Which descriptors are ready.
void WaitSet::State::ask_poller() noexcept {
  for (Member& member : members) member.reported = false;
  std::array<std::uint64_t, kDescriptorsAtOnce> numbers;
  for (std::size_t asked = 0; asked <= members.size(); asked += numbers.size()) {
    const std::size_t count = poller->ready(numbers);
    for (const std::uint64_t number : std::span(numbers).first(count)) {
      const auto at = std::find_if(members.begin(), members.end(), [number](const Member& member) {
        return member.number == number;
      });
      if (at != members.end()) at->reported = true;
    }
    if (count < numbers.size()) break;
  }
}

Deadline WaitSet::State::next_timer() const noexcept {
  Deadline first = Deadline::never();
  if (timers == 0) return first;
  for (const Member& member : members) {
    if (member.timer) first = earlier(first, member.timer->due());
  }
  return first;
}

// When somebody is to be looked at again, though nothing is told.
Deadline WaitSet::State::rest_until(Clock::time_point now) const noexcept {
  Deadline first = Deadline::at(now + (has_flag ? BellSystem::kSlice : Member::kQuietSlice));
  for (const Member& member : members) first = earlier(first, member.rests_until(now));
  return first;
}

// Nothing has come for some time. From now on the kernel says when it is to be asked; a set that is
// busy has no use for that.
void WaitSet::State::listen() noexcept {
  const auto lock = lock_for_look();
  try {
    for (Member& member : members) member.listen(Clock::now(), news);
  } catch (const std::bad_alloc&) {  // then it is asked by time
  }
}

// ---- sleeping ----

// The descriptor that stands for all words, in the poller.
bool WaitSet::State::make_wake() noexcept {
  if (wake != nullptr) return true;
  const Result<void> made = detail::refuse_without_memory([&]() -> Result<void> {
    auto one = WakeDescriptor::make();
    if (!one) return std::move(one).error();
    auto watched = watch((*one)->fd(), false, kWords);
    if (!watched) return std::move(watched).error();
    if (watched->always_ready) return Error{ErrorCode::kUnsupported, "no epoll here"};
    wake = std::move(one).value();
    wake_watched = std::move(watched).value();
    return {};
  });
  return static_cast<bool>(made);
}

bool WaitSet::State::reserve_waits() noexcept {
  try {
    waits.reserve(words + 1);
    return true;
  } catch (const std::bad_alloc&) {
    return false;
  }
}

// All that sleep on words announce a wait, and one fence makes the publishers see it. How long to
// sleep at most.
std::chrono::nanoseconds WaitSet::State::announce_all() noexcept {
  std::chrono::nanoseconds slice = BellSystem::kSlice;
  for (const Fence fence : {Fence::kCallers, Fence::kOwn}) {
    waits.assign(1, PreparedWait{&control, seen, BellSystem::kSlice});
    for (Member& member : members) {
      if (!member.sleeps_on_word()) continue;
      spent |= member.disarm();
      const PreparedWait wait = member.end->announce(fence);
      if (wait.word == nullptr) continue;
      member.armed = true;
      waits.push_back(wait);
      slice = std::min(slice, wait.slice);
    }
    // W1 (seq_cst, forbids that a publish is missed by our looks and our words by its publisher):
    // it is F1 of all bells that were announced.
    if (fence == Fence::kOwn || waits.size() == 1 || heavy_fence()) break;
  }
  return slice;
}

void WaitSet::State::disarm_all() noexcept {
  for (Member& member : members) spent |= member.disarm();
}

// Announces, looks again, and sleeps once: until something may be ready, `deadline`, or a slice.
template <class Ready>
bool WaitSet::State::sleep_once(Ready&& ready, Deadline deadline) noexcept {
  bool by_words = false;
  bool by_descriptors = false;
  Clock::time_point begin;
  {
    const auto lock = lock_for_look();
    const bool has_place = reserve_waits();
    by_words = has_place && !poller && words < kMostWaits && can_wait_any();
    by_descriptors = has_place && !by_words && make_wake();
    if (by_descriptors) static_cast<void>(wake->clear());
    // W3 (acquire, pairs with W2): who changed it before has nothing more to tell than our looks
    // find.
    const std::uint32_t now = control.load(std::memory_order_acquire);
    armed = armed && now == seen && by_words;
    std::chrono::nanoseconds slice = BellSystem::kSlice;
    if (!armed) {
      seen = now;
      slice = by_words || by_descriptors ? announce_all() : kNap;
    }
    armed = slice == BellSystem::kSlice;
    begin = Clock::now();
    // The strategy's own deadline ends a sleep each slice, so that it looks at the flag.
    if (!has_flag) deadline = wait_ends;
    deadline = earlier(earlier(deadline, next_timer()), rest_until(begin));
    if (!armed) deadline = earlier(deadline, Deadline::at(begin + slice));
    asleep = true;
  }
  // What was announced stands as long as no word has changed.
  bool unchanged = false;
  if (!anything_ready()) {
    // False: nothing was slept on.
    bool slept = vain_sleeps < kMostVainSleeps;
    if (slept && by_words) {
      const FutexResult result = wait_any(waits, deadline);
      slept = result != FutexResult::kRefused;
      unchanged = result == FutexResult::kTimedOut;
    } else if (slept && by_descriptors) {
      slept = wake->sleep(waits);
      if (slept) poller->sleep(deadline);
      wake->interrupt();
    } else {
      slept = false;
    }
    if (!slept) {
      static_cast<void>(futex_wait(control, seen, earlier(deadline, Deadline::after(kNap))));
    }
  }
  {
    const auto lock = lock_for_look();
    asleep = false;
    ++sleeps;
    // A sender's announcement is also when it looks for whom to listen to.
    armed = armed && unchanged && senders == 0;
    if (!armed) disarm_all();
  }
  awake.notify_all();
  const bool is_ready = ready();
  const Clock::time_point now = Clock::now();
  vain_sleeps = is_ready || now - begin > kVainSleep ? 0 : vain_sleeps + 1;
  if (is_ready) {
    last_ready = now;
  } else if (now - last_ready >= kSilence) {
    listen();
  }
  return is_ready;
}

// Publishers pay nothing while nobody waits. True: a wake was spent on us since the last look, so
// there is to be one more.
bool WaitSet::State::end_wait() noexcept {
  if (!armed) return false;
  const auto lock = lock_for_look();
  disarm_all();
  armed = false;
  return std::any_of(members.begin(), members.end(),
                     [](const Member& member) { return member.owed; });
}

// There may be no other wait: a wake that was spent on a member of which nobody is told, as there
// was no room or the wait was interrupted, would be lost to the others of its channel.
void WaitSet::State::pass_on() noexcept {
  if (!std::exchange(spent, false)) return;
  const auto lock = lock_for_look();
  for (Member& member : members) member.pass_on();
}

// ---- the interface ----

WaitSet::WaitSet(std::unique_ptr<State> state) noexcept : state_(std::move(state)) {}
WaitSet::WaitSet(WaitSet&& other) noexcept = default;
WaitSet& WaitSet::operator=(WaitSet&& other) noexcept = default;
WaitSet::~WaitSet() = default;

Result<WaitSet> WaitSet::make(WaitMode mode, const std::atomic<bool>* stop) {
  return detail::refuse_without_memory([&]() -> Result<WaitSet> {
    auto state = std::make_unique<State>(mode, stop);
    return WaitSet(std::move(state));
  });
}

Result<void> WaitSet::add(Receiver& receiver, Key key) {
  return State::add_end(state_.get(), WaitSetEnd(receiver), key);
}

Result<void> WaitSet::add(Sender& sender, Key key, std::size_t size_bytes) {
  return State::add_end(state_.get(), WaitSetEnd(sender, size_bytes), key);
}

Result<void> WaitSet::add_descriptor(NativeHandle fd, bool writing, Key key) {
  return State::add(state_.get(), key,
                    [&](Member& member) { return state_->watch_for(member, fd, writing); });
}

Result<void> WaitSet::add_timer(Deadline first, std::chrono::nanoseconds period, Key key) {
  return State::add(state_.get(), key, [&](Member& member) -> Result<void> {
    member.timer.emplace(first, period, Clock::now());
    return {};
  });
}

bool WaitSet::remove(Key key) noexcept {
  if (state_ == nullptr || state_->fork_check.forked()) return false;
  State& state = *state_;
  auto lock = state.lock_for_change();
  const auto at = std::find_if(state.members.begin(), state.members.end(),
                               [key](const Member& member) { return member.key == key; });
  if (at == state.members.end()) return false;
  if (at->sleeps_on_word()) {
    static_cast<void>(at->disarm());
    at->pass_on();
  }
  state.take_out(static_cast<std::size_t>(at - state.members.begin()));
  state.changed();
  if (!state.asleep) return true;
  // The words of a sleep that goes on are still looked at, by the kernel or by the process's thread
  // for wakes.
  const std::uint64_t seen = state.sleeps;
  state.awake.wait(lock, [&] { return state.sleeps != seen; });
  return true;
}

void WaitSet::interrupt() noexcept {
  if (state_ == nullptr) return;
  // W4 (release, pairs with W5): who is told of it sees what was done before.
  state_->interrupted.store(true, std::memory_order_release);
  state_->call();
}

Polled<std::span<const WaitSet::Key>> WaitSet::wait(std::span<Key> room,
                                                    Deadline deadline) noexcept {
  if (state_ == nullptr) return Status::kClosed;
  State& state = *state_;
  if (state.fork_check.forked()) return Status::kForked;
  if (room.empty()) return Status::kWouldBlock;
  std::size_t count = 0;
  const auto ready = [&] {
    count = state.collect(room);
    return count != 0 || state.is_interrupted();
  };
  state.wait_ends = deadline;
  const WaitResult result = state.strategy.wait(state, deadline, ready, [] { return false; });
  if (state.end_wait() && count == 0) static_cast<void>(ready());
  state.pass_on();
  if (count == 0) {
    // W5 (acquire, pairs with W4): as the caller may ask what the interrupt was for.
    if (state.interrupted.exchange(false, std::memory_order_acquire)) return Status::kInterrupted;
    return detail::status_of(result, deadline, Status::kInterrupted);
  }
  return Polled<std::span<const Key>>(std::in_place, room.first(count));
}

}  // namespace rondo::inline RONDO_ABI
