#include "rondo/sync/wake_descriptor.hpp"

#include <poll.h>
#include <sys/epoll.h>
#include <unistd.h>

#include <cerrno>
#include <chrono>
#include <new>
#include <span>
#include <utility>

#include "futex_ring.hpp"
#include "rondo/core/descriptor.hpp"
#include "rondo/core/fork_check.hpp"
#include "rondo/core/os.hpp"
#include "rondo/core/unnoticed.hpp"
#include "rondo/sync/wait_any.hpp"
#include "wake_thread.hpp"

namespace rondo::inline RONDO_ABI {
namespace {

// Fewer ticks of the processor's clock, where it is that fine, than lie between two calls with an
// epoll_wait() in between: that alone takes several times as many.
std::uint64_t no_time_for_a_call() noexcept { return can_evict_lines() ? 100 : 0; }

// How often to ask for an io_uring that was not to be had.
constexpr std::chrono::seconds kRingAgain{1};

Error no_event(int error) {
  Error failure = detail::system_error(error, "can't make an eventfd for the handle's descriptor");
  if (error == ENOSYS || error == EPERM) failure.code = ErrorCode::kUnsupported;
  return failure;
}

Error no_thread() {
  return detail::system_error(EAGAIN, "can't start the thread that a handle's descriptor needs");
}

}  // namespace

struct WakeDescriptor::State {
  detail::UniqueFd event;
  detail::UniqueFd outer;                 // of one beside another descriptor: epoll, over both
  bool always = false;                    // the other one is always ready
  bool by_thread = false;                 // the thread sleeps on the words, or would
  bool for_good = false;                  // as it is known to be all that is left
  Deadline ring_again{};                  // else: when to ask for a ring once more
  bool added = false;                     // the thread knows of the entry
  NativeHandle file = detail::kNoHandle;  // of the entry's second pulse
  detail::FutexRing::Ptr ring{};
  detail::WakeEntry entry{};
  detail::ForkCheck fork_check{};
  bool asleep = false;
  bool signalled = false;  // by the owner, since clear()
  std::uint64_t signalled_at = 0;

  [[nodiscard]] bool is_beside() const noexcept { return static_cast<bool>(outer); }
  [[nodiscard]] bool forked() const noexcept { return fork_check.forked(); }

  void write_event() noexcept {
    constexpr std::uint64_t kOne = 1;
    signalled = true;
    if (!event.intact()) return;  // the program has closed it
    // It fails only where it is readable already.
    [[maybe_unused]] const auto written = write(event.get(), &kOne, sizeof kOne);
  }
  void read_event() noexcept {
    std::uint64_t count = 0;
    signalled = false;
    if (!event.intact()) return;  // the program has closed it
    // Nothing there is as good.
    [[maybe_unused]] const auto got = read(event.get(), &count, sizeof count);
  }
  void fall_asleep(bool is) noexcept {
    asleep = is;
    // relaxed, both: a pulse that is asked for once too often, or at the next turn.
    if (is) entry.slept.fetch_add(1, std::memory_order_relaxed);
    entry.asleep.store(is, std::memory_order_relaxed);
  }
  // What the kernel waits for is the opening thread's: another one begins anew.
  void drop_anothers_ring() noexcept {
    if (ring != nullptr && !ring->ours()) ring.reset();
  }
  // True: the thread looks after the entry. Throws bad_alloc.
  [[nodiscard]] bool has_thread() {
    return added = added || detail::WakeThread::instance().add(entry, file);
  }
  // False where neither thread nor memory is to be had.
  [[nodiscard]] bool watch(std::span<const PreparedWait> waits, bool by_word) noexcept {
    try {
      if (!has_thread()) return false;
    } catch (const std::bad_alloc&) {
      return false;
    }
    detail::WakeThread::instance().watch(entry, waits, by_word);
    return true;
  }
  void take_ring() noexcept {
    try {
      // Nothing writes what the program has closed.
      if (event.intact()) ring = detail::FutexRing::take(event.get(), for_good);
    } catch (const std::bad_alloc&) {  // then there is the thread
    }
    refuse_ring();
  }
  // For want of descriptors or memory: that may pass.
  void refuse_ring() noexcept {
    if (ring == nullptr) ring_again = Deadline::after(kRingAgain);
  }
  void end_ring_wait() noexcept {
    if (ring != nullptr && !ring->cancel()) ring.reset();
  }
  // False: there is none for so many words, or none now.
  [[nodiscard]] bool ring_waits(std::span<const PreparedWait> waits) noexcept {
    drop_anothers_ring();
    if (for_good || waits.size() > detail::FutexRing::kMostWords) {
      end_ring_wait();
      return false;
    }
    if (ring == nullptr && (!by_thread || ring_again.passed())) take_ring();
    if (ring == nullptr || ring->wait(waits)) return ring != nullptr;
    ring.reset();
    refuse_ring();
    return false;
  }
  // False: nothing can be waited for now.
  [[nodiscard]] bool sleep_on(std::span<const PreparedWait> waits) noexcept {
    bool brief = false;
    for (const PreparedWait& wait : waits) brief = brief || wait.slice < BellSystem::kSlice;
    const bool was_by_thread = std::exchange(by_thread, !ring_waits(waits));
    if (was_by_thread && !by_thread && added) detail::WakeThread::instance().forget(entry);
    return !(by_thread || brief) || watch(waits, by_thread);
  }
  void end_wait() noexcept {
    if (is_beside()) return;
    drop_anothers_ring();
    end_ring_wait();
    if (added) detail::WakeThread::instance().forget(entry);
  }
};

WakeDescriptor::WakeDescriptor(std::unique_ptr<State> state) noexcept : state_(std::move(state)) {}

Result<std::unique_ptr<WakeDescriptor>> WakeDescriptor::make(Callback<std::uint64_t()> pulse) {
  return make(std::move(pulse), Closing());
}

Result<std::unique_ptr<WakeDescriptor>> WakeDescriptor::make(Callback<std::uint64_t()> pulse,
                                                             Closing closing, Asked asked) {
  auto state = std::make_unique<State>();
  state->event = detail::open_event();
  if (!state->event) return no_event(errno);
  state->entry.event = &state->event;
  state->entry.by_time.ask = std::move(pulse);
  state->entry.seldom = asked == Asked::kSeldom;
  state->entry.by_closing.ask = std::move(closing.pulse);
  state->file = closing.file;
  state->take_ring();
  state->by_thread = state->ring == nullptr;
  const bool has_pulse = state->entry.by_time.ask || state->entry.by_closing.ask;
  if ((has_pulse || state->by_thread) && !state->has_thread()) {
    return no_thread();
  }
  return std::unique_ptr<WakeDescriptor>(new WakeDescriptor(std::move(state)));
}

Result<std::unique_ptr<WakeDescriptor>> WakeDescriptor::beside(NativeHandle other, bool writing,
                                                               Callback<std::uint64_t()> pulse) {
  auto state = std::make_unique<State>();
  state->event = detail::open_event();
  if (!state->event) return no_event(errno);
  state->outer = detail::open_poller();
  if (!state->outer) {
    return detail::system_error(errno, "can't make an epoll descriptor for the handle's");
  }
  const auto add = [&](NativeHandle fd, std::uint32_t events) {
    epoll_event event{};
    event.events = events;
    return epoll_ctl(state->outer.get(), EPOLL_CTL_ADD, fd, &event) == 0 ? 0 : errno;
  };
  int error = add(state->event.get(), EPOLLIN);
  if (error == 0 && detail::is_handle(other)) error = add(other, writing ? EPOLLOUT : EPOLLIN);
  state->always = error == EPERM;  // a file
  if (error != 0 && !state->always) {
    return detail::system_error(error, "can't wait for the channel's descriptor by epoll");
  }
  if (pulse) {
    state->entry.event = &state->event;
    state->entry.by_time.ask = std::move(pulse);
    if (!state->has_thread()) return no_thread();
  }
  std::unique_ptr<WakeDescriptor> wake(new WakeDescriptor(std::move(state)));
  wake->signal();
  return wake;
}

WakeDescriptor::~WakeDescriptor() {
  State& state = *state_;
  const detail::Unnoticed here;
  if (!state.forked()) state.end_wait();
  if (state.added) detail::WakeThread::instance().remove(state.entry);
}

NativeHandle WakeDescriptor::fd() const noexcept {
  return state_->is_beside() ? state_->outer.get() : state_->event.get();
}

WakeDescriptor::Way WakeDescriptor::way() const noexcept {
  if (state_->is_beside()) return Way::kBeside;
  if (!state_->by_thread) return Way::kIoUring;
  return can_wait_any() ? Way::kWaitv : Way::kSlices;
}

void WakeDescriptor::signal() noexcept {
  const detail::Unnoticed here;
  if (!state_->forked()) state_->write_event();
}

void WakeDescriptor::signal_anew() noexcept {
  const std::uint64_t now = cpu_ticks();
  if (now - std::exchange(state_->signalled_at, now) < no_time_for_a_call()) return;
  signal();
}

void WakeDescriptor::holds_more() noexcept {
  if (state_->is_beside() && !state_->signalled) signal();
}

bool WakeDescriptor::clear() noexcept {
  State& state = *state_;
  const detail::Unnoticed here;
  if (state.forked() || state.always) return false;
  state.fall_asleep(false);
  if (state.is_beside() && !state.added) {
    if (state.signalled) state.read_event();
    return false;
  }
  state.drop_anothers_ring();
  if (state.ring != nullptr) state.ring->take_completions();
  state.read_event();
  // relaxed: the kernel orders the read above behind the write of the event, and that behind this.
  const std::uint32_t told = state.entry.told.exchange(0, std::memory_order_relaxed);
  return (told & detail::WakeEntry::kNews) != 0;
}

bool WakeDescriptor::sleep(const PreparedWait& wait) noexcept { return sleep({&wait, 1}); }

bool WakeDescriptor::sleep(std::span<const PreparedWait> waits) noexcept {
  State& state = *state_;
  const detail::Unnoticed here;
  if (state.forked() || state.always) return false;
  if (!state.is_beside() && !state.sleep_on(waits)) {
    state.write_event();
    return false;
  }
  state.fall_asleep(true);
  return true;
}

bool WakeDescriptor::asleep() const noexcept {
  const State& state = *state_;
  if (!state.asleep || state.signalled || state.is_beside()) return false;
  // relaxed: what is not seen yet makes the descriptor readable, and is seen then.
  if (state.entry.told.load(std::memory_order_relaxed) != 0) return false;
  if (state.ring != nullptr && (!state.ring->ours() || state.ring->stirred())) return false;
  // The ring of another thread, or a wake that was overtaken, may write late: who is told that
  // there is nothing to clear must not find it readable for ever.
  const detail::Unnoticed here;
  pollfd event{state.event.get(), POLLIN, 0};
  return poll(&event, 1, 0) == 0;
}

void WakeDescriptor::interrupt() noexcept {
  State& state = *state_;
  const detail::Unnoticed here;
  if (state.forked()) return;
  const bool was_asleep = state.asleep;
  state.end_wait();
  state.fall_asleep(false);
  if (was_asleep) state.write_event();
}

}  // namespace rondo::inline RONDO_ABI
