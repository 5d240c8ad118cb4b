// A descriptor for other people's event loops that becomes readable when somebody rings a doorbell:
// as many rings as there are in one epoll_wait(), and neither the bell nor its publisher knows.
//
//   waiter                                            what makes fd() readable again
//   ------------------------------------------------  --------------------------------------------
//   there is nothing:
//     wake.clear()           not readable from here
//     w = bell.prepare_wait()
//     look once more: something? bell.cancel_wait(), wake.signal()        (at once)
//     wake.sleep(w)                                    the word of `w` changes; its slice is over;
//                                                      `pulse` gives another number
//
// So it is readable as long as its owner has not found nothing, whatever else was done in between:
// clearing comes before the last look, never after it. The ways, chosen when it runs:
//
//   kIoUring  the kernel waits on the word, and the publisher's wake itself writes the eventfd
//             (futex_ring.hpp): one way from publish to epoll_wait(), as that of an eventfd
//   kWaitv    where io_uring is missing or forbidden: the process's one thread sleeps on all words
//             (futex_waitv, Linux 5.16), and writes the eventfds: two sleepers woken for one
//   kSlices   where that is missing, too: the thread looks at the words each millisecond
//
// What no word tells (a death) the same thread asks for, of all descriptors that sleep: a `pulse`
// is a number that changes when there is such news. It asks 20 times a second, or twice; or, for a
// number that changes behind the closing of a file alone, when the kernel has told of one
// (close_watch.hpp). docs/waiting.md has figures.
#pragma once

#include <cstdint>
#include <memory>
#include <span>

#include "rondo/core/callback.hpp"
#include "rondo/core/platform.hpp"
#include "rondo/core/result.hpp"
#include "rondo/core/version.hpp"
#include "rondo/sync/doorbell.hpp"

namespace rondo::inline RONDO_ABI {

// One thread at a time, any thread; in a forked child all of it does nothing.
class RONDO_API WakeDescriptor {
 public:
  enum class Way : std::uint8_t {
    kIoUring,
    kWaitv,
    kSlices,
    kBeside  // of a descriptor that is readable by itself
  };

  // A number that does not change before somebody closes the file, or cuts it short. That is open
  // as long as the descriptor; without one the number is asked for as any other.
  struct Closing {
    NativeHandle file = NativeHandle(std::intptr_t{-1});
    Callback<std::uint64_t()> pulse{};
  };

  // How often the first number is asked for: as often as a sleep's slice ends, or, where it tells
  // of a wake alone that another process may keep back, as often as those of a quiet WaitSet do.
  enum class Asked : std::uint8_t { kEachSlice, kSeldom };

  // The pulses are called by another thread, beside any call of the owner, until this object is
  // gone; once here. They must be quick. Without any there is such a thread only where the way
  // needs it.
  // Errors: kNoDescriptors, kSystem, kUnsupported (no eventfd), with what was missing in the
  // message.
  [[nodiscard]] static Result<std::unique_ptr<WakeDescriptor>> make(
      Callback<std::uint64_t()> pulse = {});
  [[nodiscard]] static Result<std::unique_ptr<WakeDescriptor>> make(
      Callback<std::uint64_t()> pulse, Closing closing, Asked asked = Asked::kEachSlice);
  // Readable when `other` is, a pipe or a socket (or writable: `writing`), and when signalled: for
  // an owner that holds in its own memory what came from there. Where `other` is always ready, as a
  // file is, so is this. `pulse`: as above, of what the other descriptor does not tell; all there
  // is where `other` is none (kNoHandle). Errors: as above.
  [[nodiscard]] static Result<std::unique_ptr<WakeDescriptor>> beside(
      NativeHandle other, bool writing, Callback<std::uint64_t()> pulse = {});

  WakeDescriptor(const WakeDescriptor&) = delete;
  WakeDescriptor& operator=(const WakeDescriptor&) = delete;
  // Closes the descriptor. Afterwards `pulse` is not called, and no wake is spent on it.
  ~WakeDescriptor();

  // For epoll, poll, select, io_uring, level- or edge-triggered: wait for it to be readable. Do not
  // read it. Close-on-exec, never a standard stream's number, and this object's to close.
  [[nodiscard]] NativeHandle fd() const noexcept;
  [[nodiscard]] Way way() const noexcept;

  // Readable from now on, until clear(). Progress: a system call that never blocks.
  void signal() noexcept;
  // Readable already, and something is left of it: those who are told of changes alone
  // (EPOLLET) are told again. Progress: as signal(), but for calls that follow each other faster
  // than anybody could have been told.
  void signal_anew() noexcept;

  // The owner has taken something, and may hold more in its own memory: beside another descriptor
  // that is to be signalled; elsewhere it is readable already.
  void holds_more() noexcept;

  // Not readable from now on; ends what sleep() began. True: a pulse has changed since sleep().
  // The caller then looks before it calls sleep(). Progress: system calls that never block.
  [[nodiscard]] bool clear() noexcept;
  // Readable when the wait that was announced ends; `wait` is what prepare_wait() has just
  // returned. Of one beside another descriptor: when that is.
  // False: nothing can be waited for now, and it is readable.
  bool sleep(const PreparedWait& wait = {}) noexcept;
  // The same of several, when one of them ends. They stay where they are until interrupt().
  bool sleep(std::span<const PreparedWait> waits) noexcept;
  // Whether sleep() was called and nothing has ended that: then there is nothing to clear.
  [[nodiscard]] bool asleep() const noexcept;
  // Ends what sleep() began without clearing, and signals: the caller is about to sleep on the
  // word itself, where no wake may be spent on this descriptor. Progress: as clear(); where the
  // thread sleeps on the word, waits until it does not.
  void interrupt() noexcept;

 private:
  struct State;

  explicit WakeDescriptor(std::unique_ptr<State> state) noexcept;

  std::unique_ptr<State> state_;
};

}  // namespace rondo::inline RONDO_ABI
