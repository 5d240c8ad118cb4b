// A doorbell for whoever waits in his own way: one interface over a shared futex, an eventfd, a
// pipe, a real-time signal and a POSIX semaphore. For programs that take nothing else of Rondo; the
// rings have their own (doorbell.hpp), which costs nobody anything while nobody sleeps.
//
//   sync::doorbell_word& word = ...;                     // in memory that both map; zero is fresh
//   auto bell = sync::any_doorbell::by_eventfd(word);   // before fork(), or hand the descriptor on
//
//   put something there; bell->ring();                   // any number of ringers
//   while (bell->wait()) { take all that is there }      // one waiter
//
// It is an event that one wait takes: rings that come before that are one ring, and only the first
// of them is a system call. Nothing is lost if a ring comes before the wait for it.
//
//   way        native_handle()  takes
//   futex      none             the word itself
//   eventfd    readable         an eventfd that both sides have
//   pipe       readable         a pipe, both ends of it in both processes
//   signal     readable         the waiter's process, and a real-time signal that is blocked there
//   semaphore  none             a sem_t, shared between processes that trust each other
//
// In an event loop: when native_handle() is readable, wait(Deadline::now()) until it says false.
//
// Deaths. A ringer that was killed between its two steps, the word and the call, costs a wait the
// rest of a slice (50 ms); the next ringer makes the call in its place. What a waiter that was
// killed has not taken the next one finds at once. What it had taken is gone with it: so a new
// waiter looks at what it waits for, first.
//
// Hostile peers. A scribbled word: a wake too many, or a slice late. In an event loop the word may
// claim that the loop has been told: by eventfd and pipe a ringer believes that for a slice and
// then makes the call again; by signal it does not, as the queue of one who is stopped would fill.
// Whoever can't rely on a ring to come calls wait(Deadline::now()) every 50 ms, too. By semaphore
// nothing is promised: the C library keeps words of its own in a sem_t, and where those are
// scribbled over its calls abort or block.
//
// A program that closes all descriptors (closefrom) has closed the bell's, too; what of its own
// gets their numbers is neither read, written nor signalled, a waiter looks at the word every
// millisecond instead, and a ringer tells nobody. But an eventfd that was handed in, and has not
// been opened by Rondo, is not told from another eventfd by that number.
//
// Ordering. Each label stands at exactly one operation below; pairs are mutual.
//
//   B1 release state  ->  B2 acquire state   what was done before a ring is done when it is taken
#pragma once

#include <chrono>
#include <cstdint>
#include <type_traits>
#include <utility>

#include "rondo/core/atomic.hpp"
#include "rondo/core/descriptor.hpp"
#include "rondo/core/platform.hpp"
#include "rondo/core/result.hpp"
#include "rondo/core/version.hpp"
#include "rondo/sync/deadline.hpp"
#include "rondo/sync/doorbell.hpp"

namespace rondo::inline RONDO_ABI::sync {

// What both sides see.
//
//   offset  size  field  written by  meaning
//        0     4  state  all         bits below
//
//   bit  0      rung, and not taken yet
//   bit  1      and the waiter has been told: whoever rings may leave it at that
//   bits 2-31   rings taken so far, modulo 2^30; only the waiter changes them
struct doorbell_word {
  static constexpr std::uint32_t kRung = 1;
  static constexpr std::uint32_t kTold = 2;
  static constexpr std::uint32_t kFlags = 3;
  static constexpr std::uint32_t kTaken = 4;  // one; counted from here up

  Atomic<std::uint32_t> state;

  // True: the caller has to tell the waiter, and to say so then, with the state returned.
  [[nodiscard]] bool ring(std::uint32_t& seen) noexcept {
    // B1 (release, pairs with B2): what is waited for. A read-modify-write also when it changes
    // nothing: so either the waiter takes it with the others, or it finds the flags taken away.
    seen = state.fetch_or(kRung, std::memory_order_release) | kRung;
    return (seen & kTold) == 0;
  }
  void told(std::uint32_t seen) noexcept {
    // Not if that ring has been taken since: what was told may be of that one alone.
    // relaxed, both: it says nothing but that the kernel knows.
    state.compare_exchange_strong(seen, seen | kTold, std::memory_order_relaxed,
                                  std::memory_order_relaxed);
  }
  // Whether it was rung since the last call that said so.
  [[nodiscard]] bool take() noexcept {
    // relaxed: B2 acquires.
    const std::uint32_t seen = state.load(std::memory_order_relaxed);
    if ((seen & kFlags) == 0) return false;
    // B2 (acquire, pairs with B1): what was waited for, of all who rang. What others write
    // meanwhile is the flags alone, and goes with those.
    state.exchange((seen & ~kFlags) + kTaken, std::memory_order_acquire);
    return true;
  }
};
static_assert(sizeof(doorbell_word) == 4);
static_assert(std::is_standard_layout_v<doorbell_word>);
static_assert(std::is_trivially_destructible_v<doorbell_word>);

// One end, or both. Any number of ringers, with an object for each process or one for all its
// threads; one waiting thread at a time. `word`, and a semaphore, outlive it.
class RONDO_API any_doorbell {
 public:
  enum class way : std::uint8_t { futex, eventfd, pipe, signal, semaphore };

  [[nodiscard]] static any_doorbell by_futex(doorbell_word& word) noexcept;
  // With an eventfd of its own, or `event`, which stays the caller's and is made not to block. A
  // peer can undo that: so nothing is read or written that the kernel does not say is ready.
  // Errors, of all that have one: kNoDescriptors, kSystem, kUnsupported (the kernel has no such
  // thing).
  [[nodiscard]] static Result<any_doorbell> by_eventfd(doorbell_word& word,
                                                       NativeHandle event = detail::kNoHandle);
  // With a pipe of its own, or both ends of one, which stay the caller's and are made not to block.
  // Both on both sides: so a waiter's death sends no SIGPIPE.
  [[nodiscard]] static Result<any_doorbell> by_pipe(doorbell_word& word,
                                                    NativeHandle reading = detail::kNoHandle,
                                                    NativeHandle writing = detail::kNoHandle);
  // The waiter is process `waiter`; in that one, the signal is blocked in this thread, and has to
  // be in all others, before anybody rings: else it ends the process. The process is held by a
  // descriptor, so no successor to its number is ever signalled; and it is told by the caller, not
  // by the shared word, where a hostile peer could name any. Not for a forked child's copy.
  // The number is used for nothing else in the waiter's process: whoever waits for it takes it from
  // the bell. Two bells can't have one there; it is free again when the first is gone.
  // Errors: also kInvalidOption (no real-time signal), kBusy (a bell of this process has it),
  // kPeerGone (no such process), kPermission.
  [[nodiscard]] static Result<any_doorbell> by_signal(doorbell_word& word, int waiter, int signal);
  // `semaphore`: a sem_t that is shared between the processes (sem_init with pshared, or
  // sem_open), for this alone. All who can write to it are trusted.
  template <class Semaphore>
  [[nodiscard]] static any_doorbell by_semaphore(doorbell_word& word,
                                                 Semaphore& semaphore) noexcept {
    any_doorbell bell(word, way::semaphore);
    bell.semaphore_ = &semaphore;
    bell.tell_of_earlier();
    return bell;
  }

  any_doorbell(any_doorbell&&) noexcept = default;
  any_doorbell& operator=(any_doorbell&&) noexcept = default;

  // Rings. False if it is known that nobody is told of it: a signal's process has ended, or is not
  // ours to signal, or this program has closed the descriptors. Progress: wait-free, and a system
  // call or a few if none is pending, which do not block (an eventfd's can while a peer lets it
  // block and fills it just between a look and the call, a pipe's the same before Linux 6.4; a
  // semaphore's while a peer scribbles over it).
  // Memory ordering: what the caller did before is visible to the waiter whose wait() takes it.
  bool ring() noexcept;

  // Waits until it is rung. True: it was, since the last wait() that said so, by anybody, or may
  // have been. False: the deadline. Progress: blocking; Deadline::now() does not wait (on
  // kernels that can't be asked to read without blocking, a peer can have it wait: one that lets
  // the descriptor block, and empties it just between a look and the call).
  [[nodiscard]] bool wait(Deadline deadline = Deadline::never()) noexcept;

  // Readable from a ring on until that is taken, and then mostly until a wait() says false.
  // kNoHandle where there is none. Also to be handed to the other side, with writing_handle() of a
  // pipe. This object's, which closes it.
  [[nodiscard]] NativeHandle native_handle() const noexcept { return reading_.get(); }
  [[nodiscard]] NativeHandle writing_handle() const noexcept {
    return way_ == way::pipe ? writing_.get() : reading_.get();
  }
  [[nodiscard]] way how() const noexcept { return way_; }

  // The longest sleep at a time, and how long a ringer believes that another one made the call; for
  // tests.
  void slice(std::chrono::nanoseconds slice) noexcept { slice_ = slice; }

 private:
  // A signal number of this process, for one bell at a time. A forked child has claimed none: what
  // it inherits are copies, which give nothing back.
  class RONDO_API SignalClaim {
   public:
    SignalClaim() noexcept = default;
    // Holds nothing if another one has it.
    explicit SignalClaim(int signal) noexcept;
    SignalClaim(SignalClaim&& other) noexcept
        : signal_(std::exchange(other.signal_, 0)), mark_(other.mark_) {}
    SignalClaim& operator=(SignalClaim&& other) noexcept {
      SignalClaim taken(std::move(other));
      std::swap(signal_, taken.signal_);
      std::swap(mark_, taken.mark_);
      return *this;
    }
    ~SignalClaim();
    explicit operator bool() const noexcept { return signal_ != 0; }

   private:
    int signal_ = 0;
    std::uint32_t mark_ = 0;
  };

  // A time that several threads note. Moved while none does.
  class NotedTime {
   public:
    NotedTime() noexcept = default;
    NotedTime(NotedTime&& other) noexcept : time_(other.get()) {}
    NotedTime& operator=(NotedTime&& other) noexcept {
      set(other.get());
      return *this;
    }
    ~NotedTime() = default;
    // relaxed, both: it says nothing of anything else.
    [[nodiscard]] std::int64_t get() const noexcept {
      return time_.load(std::memory_order_relaxed);
    }
    void set(std::int64_t time) noexcept { time_.store(time, std::memory_order_relaxed); }

   private:
    Atomic<std::int64_t> time_{0};
  };

  any_doorbell(doorbell_word& word, way how) noexcept : word_(&word), way_(how) {}

  void tell_of_earlier() noexcept;
  [[nodiscard]] bool is_told() noexcept;
  [[nodiscard]] bool tell() noexcept;
  [[nodiscard]] bool intact() const noexcept { return reading_.intact() && writing_.intact(); }
  void sleep(Deadline deadline) noexcept;
  void drain() noexcept;
  void forget_signals() noexcept;

  // So many takes without a drain: each may leave a signal, a byte or a count where it was told.
  static constexpr int kMostUndrained = 8;

  doorbell_word* word_;
  SignalClaim claim_;
  void* semaphore_ = nullptr;
  detail::UniqueFd reading_;
  detail::UniqueFd writing_;  // of a signal: the process
  int signal_ = 0;
  way way_;
  int undrained_ = 0;  // takes since the last one
  NotedTime told_at_;
  std::chrono::nanoseconds slice_ = BellSystem::kSlice;
};

}  // namespace rondo::inline RONDO_ABI::sync
