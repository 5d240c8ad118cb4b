// One wait over many: receivers, senders, descriptors, timers and a stop flag.
//
//   auto set = rondo::WaitSet::make();
//   for (std::size_t i = 0; i < feeds.size(); ++i) set->add(feeds[i], i);
//   std::array<rondo::WaitSet::Key, 8> room;
//   while (auto ready = set->wait(room)) {
//     for (const rondo::WaitSet::Key i : *ready) {
//       if (auto message = feeds[i].try_next()) use(i, message->bytes());
//       if (feeds[i].status() != rondo::Status::kOk) set->remove(i);
//     }
//   }
//
// The set says of whom there may be something; to take it is the caller's part. It is told again
// for as long as there is: one message per turn is as good as all. Who was served goes to the back,
// so that one that is never empty keeps none of the others waiting. "Ready" may be untrue once,
// where another receiver was faster; so look with try_next().
//
// It looks first, as its wait mode says, then sleeps: on the words of all rings in one system call
// (futex_waitv) if there are up to 127 and nothing else; else in an epoll, in which one descriptor
// stands for all the rings. Publishers know nothing of it: they wake it as they would wake a
// receiver, and pay nothing while it does not sleep. A set to which nothing has come for half a
// second has the kernel tell it of deaths, which takes a thread, and sleeps for up to half a second
// at a time. docs/waiting.md has figures.
//
// A member is used by the thread that waits, for as long as the wait lasts, and has no claim open
// meanwhile; it stays where it is as long as it is in the set. Remove it before it is closed or
// moved.
#pragma once

#include <atomic>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>

#include "rondo/core/platform.hpp"
#include "rondo/core/result.hpp"
#include "rondo/core/version.hpp"
#include "rondo/sync/deadline.hpp"
#include "rondo/sync/wait.hpp"
#include "rondo/transports/status.hpp"

namespace rondo::inline RONDO_ABI {

class Listener;
class Receiver;
class Sender;

// One thread at a time waits; any thread adds, removes and interrupts meanwhile. Movable while none
// does. In a forked child every call says so, and does nothing.
class RONDO_API WaitSet {
 public:
  // What a member is called; the caller gives it, and no two have the same.
  using Key = std::uint64_t;

  // `stop` is as in OpenOptions. Errors: kNoSpace.
  [[nodiscard]] static Result<WaitSet> make(WaitMode mode = WaitMode::kAdaptive,
                                            const std::atomic<bool>* stop = nullptr);
  WaitSet(WaitSet&& other) noexcept;
  WaitSet& operator=(WaitSet&& other) noexcept;
  ~WaitSet();

  // Each of these makes a member, which a wait that goes on takes into account at once. Errors of
  // all: kInvalidOption (a member has this key, or the same handle); kNoSpace; kForked.

  // Ready when try_next() finds a message, and when status() says that none will come. Errors: also
  // kNotFound (closed); of byte streams, Receiver::fd()'s.
  Result<void> add(Receiver& receiver, Key key);
  // Ready when there is room for a message of `size_bytes`, and when the channel is over. Errors:
  // also kNotFound (closed), kInvalidOption (more than max_message_bytes()); of byte streams,
  // Sender::fd()'s.
  Result<void> add(Sender& sender, Key key, std::size_t size_bytes);
  // Ready when accept(Deadline::now()) is worth a call; more often than there is a connection, and
  // for ever once that says kPeerGone. Errors: also kSystem (closed).
  Result<void> add(Listener& listener, Key key);
  // Ready when `fd` is readable, or writable, or broken; it stays the caller's, and open until it
  // is removed. Files are always ready. Errors: also kNoDescriptors, kSystem (no descriptor).
  Result<void> add_descriptor(NativeHandle fd, bool writing, Key key);
  // Ready at `first`, and from then on every `period`; late ones are not made up for. Without a
  // period the member goes with its first time.
  Result<void> add_timer(Deadline first, std::chrono::nanoseconds period, Key key);

  // False: there is none of this key. Afterwards nothing of the member is looked at any more, also
  // by a wait that goes on; one that is just returning may still tell its key. Progress: where a
  // thread sleeps in the set, blocks until that is awake.
  bool remove(Key key) noexcept;

  // The wait that goes on ends with kInterrupted, or the next one; its thread sees what was done
  // before. Async-signal-safe.
  void interrupt() noexcept;

  // Waits until some are ready: their keys, as many as `room` has place for, at its beginning. Else
  // kTimedOut (kWouldBlock for Deadline::now(), and for no room), kInterrupted (the stop flag, or
  // interrupt()), kForked, kClosed (moved from). Not for two threads at once. A sender's
  // on_slow_reader is called from here: it must not add to this set or remove from it, nor take a
  // lock under which others do. Progress: blocking; a look at each member, whatever their number.
  // Memory ordering: that of the handles' own looks.
  Polled<std::span<const Key>> wait(std::span<Key> room,
                                    Deadline deadline = Deadline::never()) noexcept;

 private:
  struct State;

  explicit WaitSet(std::unique_ptr<State> state) noexcept;

  std::unique_ptr<State> state_;
};

}  // namespace rondo::inline RONDO_ABI
