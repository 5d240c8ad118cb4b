// A mutex between processes that many may hold to read, or one to write, and that outlives any of
// them.
//
//   auto mutex = sync::named<sync::shared_mutex>("shm:prices");
//   { std::shared_lock lock(*mutex); read(); }
//   {
//     std::unique_lock lock(*mutex);
//     if (mutex->owner_died()) { repair(); mutex->make_consistent(); }
//     change();
//   }
//
// The words say who holds it, each of them a tenure (member.hpp): one word for the writer, and one
// for each reader that is inside. So there is no count that a kill could leave wrong; each step is
// one read-modify-write of one word.
//
//   writer                                     reader
//   ----------------------------------------   -------------------------------------------
//   writer: from nobody to me                  a word of `readers`: from nobody to me
//   is there any reader? then wait for it      is there a writer? then give the word back,
//   ... change ...                               and wait for it
//   writer: from me to nobody                  ... read ...
//                                              the word: from me to nobody
//
// Each says that it comes before it looks for the other, so one of them sees the other. If both
// do, the reader goes back: whoever wants to write has said so when it waits for readers, and none
// comes after it. So readers can't keep a writer waiting but for as long as those that are inside
// stay there; writers that follow one another without a pause can keep readers waiting. And a
// thread that holds it to read and locks it again waits for the writer that waits for it: neither
// recursive, nor to be upgraded.
//
//   owner  suspect  contended   of the writer's word
//     0       0         0       no writer
//     0       1         0       a writer died inside; readers are told, the next writer repairs
//    t        0         ?       t writes, or waits for readers to go
//    t        1         ?       the same, and one before it died inside; not declared sound yet
//  kLost      0         0       not recoverable: unlocked without being declared sound
//
// Who waits for a writer sleeps on the writer's word, and marks it `contended`; who waits for
// readers says so in `rings`, looks once more, and sleeps on that. Both in slices (patience.hpp),
// and at the end of one the kernel is asked after those who are waited for. A dead reader's word is
// cleared. A dead writer's word is taken by the next writer, or cleared by a reader, and marked
// suspect, unless `waiting` says that it was still waiting for readers, and had changed nothing.
//
// A peer that scribbles over the words can let in who should wait, as with a mutex. A word with
// nobody's tenure in it passes for a dead one's.
//
// Ordering. Each label stands at exactly one operation below; pairs are mutual.
//
//   U1, U2 release writer  ->  L1, L2, L3, R2 writer  what a writer did is done when the next one,
//                                                     or a reader, is in
//   F1 seq_cst readers     ->  S1 readers             what was read is read before a writer changes
//                                                     it
//   L1, L2, L3 seq_cst writer, S1 seq_cst readers     forbid, with R1, R3 and R2, that a writer and
//   R1, R3 seq_cst readers, R2 seq_cst writer         a reader that come at once miss each other
//   F1 seq_cst readers, F2 seq_cst rings              forbid, with W1, W2, S1 and R4, that a reader
//   W1, W2 seq_cst rings, R4 seq_cst readers          that goes and who waits for that miss each
//                                                     other
#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <type_traits>

#include "rondo/core/atomic.hpp"
#include "rondo/core/participants.hpp"
#include "rondo/core/platform.hpp"
#include "rondo/core/version.hpp"
#include "rondo/sync/deadline.hpp"
#include "rondo/sync/doorbell.hpp"
#include "rondo/sync/guess.hpp"
#include "rondo/sync/member.hpp"
#include "rondo/sync/mutex.hpp"
#include "rondo/sync/patience.hpp"
#include "rondo/sync/rings.hpp"

namespace rondo::inline RONDO_ABI::sync {

// The words in the segment. Zero is one that nobody holds.
//
//   offset  size         field    written by      meaning
//        0     4         writer   who locks it    bits 0-29 owner, 30 suspect, 31 contended; a
//                                                 futex word
//        4     4         rings    all             see rings.hpp; a futex word
//        8     4         waiting  the writer      its tenure while it waits for readers, or 0
//       12    52         (zero)
//       64  4 * Readers  readers  who reads       0, or the tenure of one who reads
template <std::uint32_t Readers>
struct SharedMutexPart {
  static_assert(Readers >= 1 && Readers <= 1024);
  static constexpr std::uint32_t kCommonTag = 8;
  static constexpr std::uint32_t kOwner = (std::uint32_t{1} << kTenureBits) - 1;
  static constexpr std::uint32_t kSuspect = std::uint32_t{1} << kTenureBits;
  static constexpr std::uint32_t kContended = std::uint32_t{1} << (kTenureBits + 1);
  static constexpr std::uint32_t kLost = 1;  // no tenure is so small

  Atomic<std::uint32_t> writer;
  Atomic<std::uint32_t> rings;
  Atomic<std::uint32_t> waiting;
  std::byte zero[52];
  Atomic<std::uint32_t> readers[Readers];
};
static_assert(offsetof(SharedMutexPart<2>, rings) == 4);
static_assert(offsetof(SharedMutexPart<2>, waiting) == 8);
static_assert(offsetof(SharedMutexPart<2>, readers) == kLineBytes);
static_assert(sizeof(SharedMutexPart<2>) == kLineBytes + 8);
static_assert(std::is_standard_layout_v<SharedMutexPart<2>>);
static_assert(std::is_trivially_destructible_v<SharedMutexPart<2>>);
static_assert(kFirstTenure > SharedMutexPart<1>::kLost);

// A handle; all threads of a process may share it, and each process has its own. `Readers`: how
// many may read at a time; those that come beyond wait. It is held by the process that locked it,
// not by a thread, and unlocked by that process. A forked child holds nothing of its parent's.
//
// Progress: blocking, but as said; all loops are over the words. A death costs those who wait up to
// 50 ms. Writers before readers; not fair otherwise. Priorities are not inherited.
// Memory ordering: what was done before unlock() is visible after each lock that follows, and what
// was read before unlock_shared() comes before what the next writer does.
template <std::uint32_t Readers, class System = BellSystem, class Member = member>
class basic_shared_mutex {
 public:
  using Part = SharedMutexPart<Readers>;

  // `part` lies in the segment of which `who` is a member; both outlive this object.
  basic_shared_mutex(Part& part, const Member& who) noexcept
      : part_(&part), who_(&who), near_(first_look(who.tenure())) {}

  [[nodiscard]] static constexpr std::uint32_t max_readers() noexcept { return Readers; }

  // As std::shared_timed_mutex has them, to write. What is said of mutex's (mutex.hpp) holds.
  void lock() {
    const LockResult result = acquire();
    if (result > LockResult::kOwnerDied) [[unlikely]]
      detail::throw_lock_error(result);
  }
  [[nodiscard]] bool try_lock() noexcept { return try_lock_until(Deadline::now()); }
  [[nodiscard]] bool try_lock_until(Deadline deadline) noexcept {
    return acquire(deadline) <= LockResult::kOwnerDied;
  }
  template <class Clock, class Duration>
  [[nodiscard]] bool try_lock_until(const std::chrono::time_point<Clock, Duration>& time) {
    return attempt_until(time, [&](Deadline deadline) { return try_lock_until(deadline); });
  }
  template <class Rep, class Period>
  [[nodiscard]] bool try_lock_for(std::chrono::duration<Rep, Period> duration) noexcept {
    return try_lock_until(Deadline::after(duration));
  }

  // The same, to read, for std::shared_lock. A reader can't repair what a writer that died inside
  // has left: until a writer has, these do not lock. lock_shared() throws std::system_error with
  // owner_dead then, or what lock() throws; the others return false. They may fail, too, when a
  // writer has just tried. To look at it all the same: acquire_shared().
  void lock_shared() {
    const LockResult result = acquire_sound();
    if (result != LockResult::kLocked) [[unlikely]]
      detail::throw_lock_error(result);
  }
  [[nodiscard]] bool try_lock_shared() noexcept { return try_lock_shared_until(Deadline::now()); }
  [[nodiscard]] bool try_lock_shared_until(Deadline deadline) noexcept {
    return acquire_sound(deadline) == LockResult::kLocked;
  }
  template <class Clock, class Duration>
  [[nodiscard]] bool try_lock_shared_until(const std::chrono::time_point<Clock, Duration>& time) {
    return attempt_until(time, [&](Deadline deadline) { return try_lock_shared_until(deadline); });
  }
  template <class Rep, class Period>
  [[nodiscard]] bool try_lock_shared_for(std::chrono::duration<Rep, Period> duration) noexcept {
    return try_lock_shared_until(Deadline::after(duration));
  }

  // Locks it to write, waiting until `deadline` at most, and says how that went. After kLocked and
  // kOwnerDied the caller is alone with it. Once it has waited, the answer kTimedOut stands on the
  // kernel's word that those live for whom it waited.
  [[nodiscard]] RONDO_ALWAYS_INLINE LockResult
  acquire(Deadline deadline = Deadline::never()) noexcept {
    const std::uint32_t mine = who_->tenure();
    std::uint32_t seen = 0;
    // L1 (seq_cst, pairs with U1, U2): what the writer before did is done. And it stands before S1.
    // relaxed on failure: acquire_slowly() looks again.
    if (mine == 0 || !part_->writer.compare_exchange_strong(seen, mine, std::memory_order_seq_cst,
                                                            std::memory_order_relaxed))
        [[unlikely]] {
      return acquire_slowly(mine, deadline);
    }
    if (any_reader()) [[unlikely]]
      return await_readers(mine, deadline);
    return LockResult::kLocked;
  }
  // Gives it to whoever takes it next. If a writer died inside and make_consistent() was not called
  // since, nobody gets it any more, and all who wait are told. False, and nothing is changed, if
  // the word does not say that this process writes.
  // Progress: wait-free while nobody waits, a system call otherwise.
  RONDO_ALWAYS_INLINE bool unlock() noexcept {
    const std::uint32_t mine = who_->tenure();
    std::uint32_t seen = mine;
    // U1 (release, pairs with L1, L2, L3, R2): what this writer did is done.
    // relaxed on failure: give_up_writing() looks again.
    if (mine != 0 && part_->writer.compare_exchange_strong(seen, 0, std::memory_order_release,
                                                           std::memory_order_relaxed)) [[likely]]
      return true;
    return give_up_writing(mine, Part::kLost);
  }

  // Locks it to read, as acquire(). After kLocked and kOwnerDied the caller holds it. kOwnerDied: a
  // writer died inside, and what it guards may be half changed.
  [[nodiscard]] RONDO_ALWAYS_INLINE LockResult
  acquire_shared(Deadline deadline = Deadline::never()) noexcept {
    const std::uint32_t mine = who_->tenure();
    if (mine != 0) [[likely]] {
      const Entry entry = enter(mine);
      if (entry == Entry::kIn) [[likely]]
        return LockResult::kLocked;
      if (entry == Entry::kSuspect) return LockResult::kOwnerDied;
    }
    return acquire_shared_slowly(mine, deadline);
  }
  // Gives back what one acquire_shared() or lock_shared() of this process got. False, and nothing
  // is changed, if it reads nothing.
  // Progress: wait-free while nobody waits, a system call otherwise.
  RONDO_ALWAYS_INLINE bool unlock_shared() noexcept {
    const std::uint32_t mine = who_->tenure();
    if (mine == 0) return false;
    for (std::uint32_t i = 0, at = near_.get(); i < kTurns * Readers; ++i, at = after(at)) {
      // relaxed: F1 decides.
      if (part_->readers[at].load(std::memory_order_relaxed) == mine && clear(at, mine))
        return true;
    }
    return false;
  }

  // For who holds it: whether a writer died inside, and make_consistent() was not called since.
  // Progress: wait-free.
  [[nodiscard]] bool owner_died() const noexcept {
    // relaxed: stays while it is held, but by the holder itself.
    return (part_->writer.load(std::memory_order_relaxed) & Part::kSuspect) != 0;
  }
  // For the writer: declares that what the mutex guards is sound again. False, and nothing is
  // changed, if this process does not write. Progress: lock-free.
  bool make_consistent() noexcept {
    const std::uint32_t mine = who_->tenure();
    // relaxed, all: unlock() says it to others.
    std::uint32_t seen = part_->writer.load(std::memory_order_relaxed);
    do {
      if (mine == 0 || (seen & Part::kOwner) != mine) return false;
    } while (!part_->writer.compare_exchange_weak(
        seen, seen & ~Part::kSuspect, std::memory_order_relaxed, std::memory_order_relaxed));
    return true;
  }

  // Whether nothing would be lost with the words: nobody writes, nor has died inside. For the last
  // one to leave, under the membership lock: who still reads then, is dead.
  [[nodiscard]] static bool settled(const Part& part) noexcept {
    // relaxed: the membership lock orders what others did.
    return part.writer.load(std::memory_order_relaxed) == 0;
  }

 private:
  // As the semaphore's: a single look at all words can miss one's own, as other threads of this
  // process move theirs.
  static constexpr std::uint32_t kTurns = 64;
  enum class Entry : std::uint8_t { kIn, kSuspect, kWriter, kFull };

  // Those of the first members lie in different lines.
  [[nodiscard]] static std::uint32_t first_look(std::uint32_t tenure) noexcept {
    constexpr std::uint32_t kOfALine = kLineBytes / 4;
    constexpr std::uint32_t kLines = Readers < kOfALine ? 1 : Readers / kOfALine;
    const std::uint32_t slot = tenure % kFirstTenure;
    return (slot % kLines * kOfALine + slot / kLines % kOfALine) % Readers;
  }
  [[nodiscard]] static std::uint32_t after(std::uint32_t at) noexcept {
    return at + 1 == Readers ? 0 : at + 1;
  }

  [[nodiscard]] LockResult acquire_sound(Deadline deadline = Deadline::never()) noexcept {
    const LockResult result = acquire_shared(deadline);
    if (result == LockResult::kOwnerDied) unlock_shared();
    return result;
  }

  // Takes a reader's word, and looks whether there is a writer; then nothing is held.
  [[nodiscard]] RONDO_ALWAYS_INLINE Entry enter(std::uint32_t mine) noexcept {
    for (std::uint32_t i = 0, at = near_.get(); i < Readers; ++i, at = after(at)) {
      auto& word = part_->readers[at];
      // R4 (seq_cst, forbids that a word cleared by one that missed W2 is missed here).
      std::uint32_t seen = word.load(std::memory_order_seq_cst);
      if (seen != 0) continue;
      // R1 (seq_cst, forbids that a writer that R2 misses misses this).
      // relaxed on failure: another one was faster.
      if (!word.compare_exchange_strong(seen, mine, std::memory_order_seq_cst,
                                        std::memory_order_relaxed)) {
        continue;
      }
      if (i != 0) near_.set(at);
      return stay(at, mine);
    }
    return Entry::kFull;
  }
  // With a reader's word: in, or out again.
  [[nodiscard]] RONDO_ALWAYS_INLINE Entry stay(std::uint32_t at, std::uint32_t mine) noexcept {
    // R2 (seq_cst, pairs with U1, U2): what a writer did is done. And no writer that missed R1 or
    // R3 is missed.
    const std::uint32_t seen = part_->writer.load(std::memory_order_seq_cst);
    if (seen == 0) [[likely]]
      return Entry::kIn;
    if ((seen & Part::kOwner) == 0) return Entry::kSuspect;
    clear(at, mine);
    return Entry::kWriter;
  }
  // Gives a reader's word back. False, and nothing is changed, if it is not ours.
  RONDO_ALWAYS_INLINE bool clear(std::uint32_t at, std::uint32_t mine) noexcept {
    std::uint32_t seen = mine;
    // F1 (seq_cst, pairs with S1): what was read is read. And it stands before F2.
    // relaxed on failure: it is not ours.
    if (!part_->readers[at].compare_exchange_strong(seen, 0, std::memory_order_seq_cst,
                                                    std::memory_order_relaxed)) {
      return false;
    }
    // F2 (seq_cst, forbids that one who waits, and missed F1, is missed here).
    if ((part_->rings.load(std::memory_order_seq_cst) & detail::kAsleep) != 0) [[unlikely]]
      detail::ring_all<System>(part_->rings);
    return true;
  }

  [[nodiscard]] RONDO_ALWAYS_INLINE bool any_reader() const noexcept {
    std::uint32_t any = 0;
    for (const auto& word : part_->readers) {
      // S1 (seq_cst, pairs with F1): what readers read was read. And no reader that missed L1, L2
      // or L3 is missed, nor one that goes and missed W1.
      any |= word.load(std::memory_order_seq_cst);
    }
    return any != 0;
  }
  // Calls act(at, word, tenure) for each word of a reader that is dead, until it returns true. A
  // system call for each other one that reads.
  template <class Act>
  void for_the_dead(Act&& act) noexcept {
    std::uint32_t alive = who_->tenure();
    for (std::uint32_t at = 0; at < Readers; ++at) {
      auto& word = part_->readers[at];
      // relaxed: who changes it orders.
      const std::uint32_t seen = word.load(std::memory_order_relaxed);
      if (seen == 0 || seen == alive || seen == who_->tenure()) continue;
      if (!who_->ended(seen)) {
        alive = seen;
      } else if (act(at, word, seen)) {
        return;
      }
    }
  }
  void clear_dead_readers() noexcept {
    for_the_dead([](std::uint32_t, Atomic<std::uint32_t>& word, std::uint32_t seen) {
      // relaxed, both: a read-modify-write, so S1 still finds what those released that had this
      // word before the dead one.
      word.compare_exchange_strong(seen, 0, std::memory_order_relaxed, std::memory_order_relaxed);
      return false;
    });
  }
  // As enter(), with the word of a dead reader.
  [[nodiscard]] Entry enter_for_the_dead(std::uint32_t mine) noexcept {
    Entry entry = Entry::kFull;
    for_the_dead([&](std::uint32_t at, Atomic<std::uint32_t>& word, std::uint32_t seen) {
      // R3 (seq_cst, forbids that a writer that R2 misses misses this).
      // relaxed on failure: another one was faster.
      if (!word.compare_exchange_strong(seen, mine, std::memory_order_seq_cst,
                                        std::memory_order_relaxed)) {
        return false;
      }
      near_.set(at);
      entry = stay(at, mine);
      return true;
    });
    return entry;
  }

  // What stands in the writer's word once its owner has died: `owner`, and the marks.
  [[nodiscard]] std::uint32_t inherited(std::uint32_t seen, std::uint32_t owner) noexcept {
    // relaxed: a read-modify-write, so what it sees is the last that the dead one stored; the rest
    // is the kernel's word.
    const bool had_waited =
        part_->waiting.fetch_or(0, std::memory_order_relaxed) == (seen & Part::kOwner);
    return owner | (seen & Part::kSuspect) | (had_waited ? 0 : Part::kSuspect);
  }
  void say_waiting(std::uint32_t tenure) noexcept {
    // relaxed: of interest when this process is dead.
    part_->waiting.store(tenure, std::memory_order_relaxed);
  }
  // Sets `contended` in a word that has an owner. False if it changed meanwhile.
  [[nodiscard]] bool mark_contended(std::uint32_t seen) noexcept {
    // relaxed, both: says nothing about what the mutex guards.
    return (seen & Part::kContended) != 0 ||
           part_->writer.compare_exchange_strong(
               seen, seen | Part::kContended, std::memory_order_relaxed, std::memory_order_relaxed);
  }

  RONDO_COLD LockResult acquire_slowly(std::uint32_t mine, Deadline deadline) noexcept;
  RONDO_COLD LockResult await_readers(std::uint32_t mine, Deadline deadline) noexcept;
  RONDO_COLD LockResult acquire_shared_slowly(std::uint32_t mine, Deadline deadline) noexcept;
  RONDO_COLD bool give_up_writing(std::uint32_t mine, std::uint32_t if_suspect) noexcept;
  RONDO_COLD void clear_dead_writer(std::uint32_t seen) noexcept;
  void wake_all() noexcept { System::wake(part_->writer, std::numeric_limits<int>::max()); }

  Part* part_;
  const Member* who_;
  detail::Guess near_;  // the reader's word that was had last
};

using shared_mutex = basic_shared_mutex<64>;

}  // namespace rondo::inline RONDO_ABI::sync

#include "rondo/sync/shared_mutex_inl.hpp"
