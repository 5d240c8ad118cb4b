// What stands behind a handle's ring. Only slow paths come here: a full or an empty ring, a peer
// that sleeps or has left, a system call.
#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <utility>

#include "rondo/core/attachment.hpp"
#include "rondo/core/descriptor.hpp"
#include "rondo/core/fork_check.hpp"
#include "rondo/core/record_ring.hpp"
#include "rondo/core/version.hpp"
#include "rondo/sync/deadline.hpp"
#include "rondo/sync/doorbell.hpp"
#include "rondo/sync/probe_pacer.hpp"
#include "rondo/sync/wait.hpp"
#include "rondo/sync/wake_descriptor.hpp"
#include "rondo/sync/watermark.hpp"
#include "rondo/transports/channel_info.hpp"
#include "rondo/transports/open_options.hpp"
#include "rondo/transports/receiver.hpp"
#include "rondo/transports/sender.hpp"
#include "rondo/transports/status.hpp"
#include "rondo/transports/url.hpp"

namespace rondo::inline RONDO_ABI::detail {

// True of a status after which a handle does nothing any more.
[[nodiscard]] constexpr bool is_final(Status status) noexcept {
  switch (status) {
    case Status::kOk:
    case Status::kWouldBlock:
    case Status::kTimedOut:
    case Status::kInterrupted:
    case Status::kTooLarge:
    case Status::kNoMemory: return false;
    default: return true;
  }
}

// The status of a call that did not wait long enough.
[[nodiscard]] inline Status too_late(Deadline deadline) noexcept {
  return deadline == Deadline::now() ? Status::kWouldBlock : Status::kTimedOut;
}

// Why a call that does not sleep, and meets nothing that it waits for, ends; kOk: it goes on.
[[nodiscard]] inline Status why_to_end(Deadline deadline, const std::atomic<bool>* stop) noexcept {
  // relaxed: the flag orders nothing.
  if (stop != nullptr && stop->load(std::memory_order_relaxed)) return Status::kInterrupted;
  return deadline.passed() ? too_late(deadline) : Status::kOk;
}

// What both sides' backends have: a name for ChannelInfo, and a process that they belong to.
class Named {
 public:
  explicit Named(const Url& url) : scheme_(url.scheme), name_(url.name()) {}
  // True when this object came here by fork().
  [[nodiscard]] bool forked() const noexcept { return fork_check_.forked(); }
  [[nodiscard]] const std::string& name() const noexcept { return name_; }
  void name(ChannelInfo& info) const {
    info.scheme = scheme_;
    info.name = name_;
  }

  // The handle's descriptor: none until it is asked for, and none any more before the end leaves.
  [[nodiscard]] WakeDescriptor* wake() const noexcept { return wake_.get(); }
  void keep(std::unique_ptr<WakeDescriptor> wake) noexcept { wake_ = std::move(wake); }
  void drop_wake() noexcept { wake_.reset(); }

  // A number that changes when there is news that the word does not tell, and memory does: another
  // bell than the one that is listened to was rung. Asked for by time, by another thread while the
  // end is armed, beside any call of its owner. Where that never comes, has_pulse() is false.
  [[nodiscard]] virtual bool has_pulse() const noexcept { return true; }
  [[nodiscard]] virtual std::uint64_t pulse() noexcept { return 0; }
  // The same of what the kernel alone tells: a peer has died, memory was taken away.
  [[nodiscard]] virtual std::uint64_t deaths() noexcept { return 0; }
  // A file before whose closing by somebody, or cutting short, that number does not change, nor has
  // has_news() anything to tell; kNoHandle: nobody dies here. nullopt: both are asked for by time.
  // Open as long as this end is.
  [[nodiscard]] virtual std::optional<NativeHandle> closing() const noexcept {
    return std::nullopt;
  }
  // There is such news: the next look asks the kernel.
  virtual void expect_news() noexcept { pacer_.hurry(); }
  [[nodiscard]] virtual Result<std::unique_ptr<WakeDescriptor>> make_wake() {
    Callback<std::uint64_t()> by_time;
    if (has_pulse()) by_time = [this] { return pulse(); };
    WakeDescriptor::Closing by_closing{closing().value_or(kNoHandle)};
    if (closing() != kNoHandle) by_closing.pulse = [this] { return deaths(); };
    return WakeDescriptor::make(std::move(by_time), std::move(by_closing));
  }

  // Whether the wait of this end, for messages or for room, is one for a word: see announce(). Ends
  // that have none have a descriptor (byte streams).
  [[nodiscard]] virtual bool has_word() const noexcept { return true; }
  // Ends what announce() began. True: a wake has been spent on this end, and no other one is woken
  // for what there is; so fetch() or reserve() is called before it is announced again or left
  // alone. Of an end that announced nothing, or has left, nothing: it says false, and touches no
  // word, which may be a successor's.
  virtual bool disarm() noexcept { return false; }
  // Instead of that call: a wake that was spent on this end goes to another one.
  virtual void pass_on() noexcept {}

 protected:
  ~Named() = default;

  // Whether it is time to ask the kernel, and there is news. What the look of a handle that polls
  // would not see at once, it is made to see.
  template <class Ask>
  [[nodiscard]] bool found_news(bool before_sleep, Ask&& ask) noexcept {
    const bool due = before_sleep ? pacer_.due_by_time() : pacer_.due();
    if (!due || !ask()) return false;
    expect_news();
    return true;
  }

  ProbePacer pacer_;

 private:
  Scheme scheme_;
  std::string name_;
  ForkCheck fork_check_;
  std::unique_ptr<WakeDescriptor> wake_;
};

// The descriptor of a handle with this backend, or none; `made` when this call has made it. Errors:
// kNotFound (closed), kForked, WakeDescriptor::make()'s.
[[nodiscard]] Result<NativeHandle> descriptor_of(Named* channel, bool& made);

// What is known of a ring in a segment whatever its kind, into `info`.
void describe_attachment(const AttachmentBase& ring, ChannelInfo& info);

// What ThreadSanitizer is told of the channel; see tsan_sync.hpp. Nothing without a channel.
[[nodiscard]] TsanSync tsan_sync_of(const Named* channel) noexcept;

// What a wait has come to; `lost` is what it means that WaitResult::kPeerGone was reported.
[[nodiscard]] constexpr Status status_of(WaitResult result, Deadline deadline,
                                         Status lost) noexcept {
  switch (result) {
    case WaitResult::kReady: return Status::kOk;
    case WaitResult::kInterrupted: return Status::kInterrupted;
    case WaitResult::kPeerGone: return lost;
    case WaitResult::kTimedOut: break;
  }
  return too_late(deadline);
}

// What an end that is to be waited for, beside others, says; see ReceiverBackend::arm().
struct Arming {
  // False: there is something to do already, and the end is not armed.
  bool may_sleep = false;
  PreparedWait wait{};
};

// The sending end of a channel. The handle passes its own ring end and bell in, so that they can be
// its members and move with it.
class SenderBackend : public Named {
 public:
  explicit SenderBackend(const Url& url);
  virtual ~SenderBackend() = default;

  // Messages, as far as the handle does not pass them on by itself.
  [[nodiscard]] virtual std::size_t max_message_bytes(
      const record_ring::Producer& producer) const noexcept = 0;
  // Room for one message, waiting for it until `deadline`; nullptr with the reason in `refusal`.
  [[nodiscard]] virtual std::byte* reserve(record_ring::Producer& producer, Notifier& notifier,
                                           std::size_t size_bytes, Deadline deadline,
                                           Status& refusal) noexcept = 0;
  // Of room that does not lie in the handle's ring; tells nobody.
  virtual void commit(std::size_t size_bytes) noexcept = 0;
  virtual void discard() noexcept = 0;
  // What lies beside each message: for those that copy a batch from elsewhere.
  virtual void behind(const MessageHeaders&) noexcept {}
  // Adds a message to the open batch; nullptr with the reason in `refusal`.
  virtual void begin_batch(record_ring::Producer& producer) noexcept = 0;
  [[nodiscard]] virtual std::byte* add(record_ring::Producer& producer, Notifier& notifier,
                                       std::size_t size_bytes, Status& refusal) noexcept = 0;
  // Publishes the open batch as a whole, waiting until `deadline`, or nothing of it. Tells nobody.
  [[nodiscard]] virtual Status commit_batch(record_ring::Producer& producer, Notifier& notifier,
                                            Deadline deadline) noexcept = 0;
  virtual void abandon_batch(record_ring::Producer& producer) noexcept = 0;

  // What was committed so far.
  [[nodiscard]] virtual Published committed(
      const record_ring::Producer& producer) const noexcept = 0;
  // Passes on what was committed, one message or all that is held_back(): wakes receivers, or
  // writes it out, waiting until `deadline`. kOk unless the channel is over.
  [[nodiscard]] virtual Status published(Notifier& notifier, Deadline deadline) noexcept = 0;
  // Whether that would do anything; as a notifier's.
  [[nodiscard]] virtual bool would_wake(Notifier& notifier) noexcept {
    return notifier.would_wake();
  }
  // Whether there is something to be done at each message, though nobody is to be woken; and that.
  [[nodiscard]] virtual bool looks() const noexcept { return false; }
  virtual void look(Notifier&) noexcept {}
  // Calls published() for what was committed behind `before`, and all that was held back; or holds
  // it back, too, as `wake` and the watermark say. Also kForked.
  [[nodiscard]] Status tell(const record_ring::Producer& producer, Notifier& notifier,
                            const Published& before, Wake wake, Deadline deadline) noexcept;
  // The same for what was held back, if there is anything.
  [[nodiscard]] Status tell_all(Notifier& notifier, Deadline deadline) noexcept;
  [[nodiscard]] const HeldBack& held_back() const noexcept { return held_back_; }
  // Whether nothing is to be counted, as each message wakes and none is held back: published() will
  // do for one message, without tell().
  [[nodiscard]] bool tells_each() const noexcept { return tells_each_ && !held_back_.any(); }
  void wake_each() noexcept {
    tells_each_ = true;
    held_back_.wake_each();
  }

  [[nodiscard]] virtual Status flush(record_ring::Producer& producer, Notifier& notifier,
                                     Deadline deadline) noexcept = 0;
  // Ends the stream in order if `status` is kOk, else breaks it off as far as the status allows,
  // and leaves. Called once.
  [[nodiscard]] virtual Status close(record_ring::Producer& producer, Notifier& notifier,
                                     Status status, Deadline deadline) noexcept = 0;
  // How long that may take where the user gave no deadline: out of scope, or broken off.
  [[nodiscard]] virtual std::chrono::nanoseconds linger() const noexcept {
    return OpenOptions{}.linger;
  }

  [[nodiscard]] virtual bool receiver_attached() noexcept = 0;
  [[nodiscard]] virtual Status wait_for_receiver(Notifier& notifier,
                                                 Deadline deadline) noexcept = 0;
  // For as many as a channel can have.
  [[nodiscard]] virtual Status wait_for_receivers(Notifier& notifier, std::uint32_t,
                                                  Deadline deadline) noexcept {
    return wait_for_receiver(notifier, deadline);
  }
  // As those of ReceiverBackend, for a caller that waits for room for `size_bytes`: the word
  // changes when a receiver makes room, and when the last one leaves in order. With several
  // receivers it is the word of the one that holds the sender back now; the slice covers the
  // others, and their deaths.
  [[nodiscard]] virtual PreparedWait announce(record_ring::Producer&, Notifier&, Fence) noexcept {
    return {};
  }
  [[nodiscard]] virtual bool has_room(record_ring::Producer&, std::size_t) noexcept {
    return false;
  }
  [[nodiscard]] virtual bool has_news(record_ring::Producer&, std::size_t) noexcept {
    return false;
  }
  [[nodiscard]] std::optional<Arming> arm(record_ring::Producer& producer, Notifier& notifier,
                                          std::size_t size_bytes) noexcept;
  [[nodiscard]] bool stirs(record_ring::Producer& producer, std::size_t size_bytes,
                           bool before_sleep) noexcept;
  virtual void describe(const record_ring::Producer& producer, ChannelInfo& info) const = 0;

 private:
  HeldBack held_back_;
  bool tells_each_;
};

// The receiving end.
class ReceiverBackend : public Named {
 public:
  using Named::Named;
  virtual ~ReceiverBackend() = default;

  [[nodiscard]] virtual std::size_t max_message_bytes(
      const record_ring::Consumer& consumer) const noexcept = 0;
  // The next message, waiting for it until `deadline`; null with the reason in `refusal`. Ours
  // until it is given back: to the handle's ring if it lies there, else by give_back().
  [[nodiscard]] virtual std::span<const std::byte> fetch(record_ring::Consumer& consumer,
                                                         Deadline deadline,
                                                         Status& refusal) noexcept = 0;
  virtual void give_back() noexcept = 0;
  // Messages that it did not get.
  [[nodiscard]] virtual std::uint64_t lost(
      const record_ring::Consumer& consumer) const noexcept = 0;

  // Announces a wait, as a bell's prepare_wait() does: the word changes, and those who sleep on it
  // are woken, when a message comes, when the stream ends, and for no reason. What no word can tell
  // is that a sender was killed, or memory taken away: no process is left to change it. So nobody
  // sleeps on it for longer than its slice.
  [[nodiscard]] virtual PreparedWait announce(Fence) noexcept { return {}; }
  // Whether a fetch() with Deadline::now() has something to tell: looks, and takes nothing. A look
  // that finds nothing has told the sender of all the space there is.
  [[nodiscard]] virtual bool has_message(record_ring::Consumer&, Notifier&) noexcept {
    return false;
  }
  // The same of what the kernel alone knows. System calls.
  [[nodiscard]] virtual bool has_news() noexcept { return false; }
  // Of one without a word: whether there may be something that its descriptor does not tell of.
  [[nodiscard]] virtual bool holds_more() const noexcept { return false; }

  // For a caller that waits for several ends at once: it arms each, sleeps once on the words of
  // all, and disarms each. Announces the wait and looks again; and asks the kernel, as often as a
  // fetch() that polls does. If the caller may not sleep, a fetch() with Deadline::now() tells what
  // there is; or nothing any more, where another receiver was faster. News of a death come one
  // slice late at most. A receiver that opens without a sender finds out with its open, not here.
  //
  // nullopt: !has_word(), and the descriptor tells. Not for a forked() end. Progress: a system
  // call, and another one now and then; never blocks.
  [[nodiscard]] std::optional<Arming> arm(record_ring::Consumer& consumer,
                                          Notifier& notifier) noexcept;
  // arm()'s look, without an announcement: for a caller that polls many. It asks the kernel now and
  // then, as a fetch() that polls does; or, before a sleep, when it is time to.
  [[nodiscard]] bool stirs(record_ring::Consumer& consumer, Notifier& notifier,
                           bool before_sleep) noexcept;

  // Leaves in order, armed or not. Called once.
  virtual void detach(record_ring::Consumer& consumer, Notifier& notifier) noexcept = 0;
  virtual void describe(const record_ring::Consumer& consumer, ChannelInfo& info) const = 0;
};

// A sender whose messages lie in the handle's ring: what is left to say is how it waits for room,
// and what becomes of what was published.
class RecordSender : public SenderBackend {
 public:
  using SenderBackend::SenderBackend;

  // Waits for room for `size_bytes`; kOk when producer.try_reserve() will find it.
  [[nodiscard]] virtual Status wait_for_room(record_ring::Producer& producer, Notifier& notifier,
                                             std::size_t size_bytes,
                                             Deadline deadline) noexcept = 0;

  std::size_t max_message_bytes(const record_ring::Producer& producer) const noexcept final {
    return producer.max_record_bytes();
  }
  Published committed(const record_ring::Producer& producer) const noexcept final {
    return {producer.sequence(), producer.position()};
  }
  std::byte* reserve(record_ring::Producer& producer, Notifier& notifier, std::size_t size_bytes,
                     Deadline deadline, Status& refusal) noexcept final;
  void begin_batch(record_ring::Producer& producer) noexcept final { producer.begin_batch(); }
  std::byte* add(record_ring::Producer& producer, Notifier& notifier, std::size_t size_bytes,
                 Status& refusal) noexcept final;
  Status commit_batch(record_ring::Producer& producer, Notifier& notifier,
                      Deadline deadline) noexcept final;
  void abandon_batch(record_ring::Producer& producer) noexcept final { producer.abandon_batch(); }

 private:
  // Nothing lies elsewhere.
  void commit(std::size_t) noexcept final {}
  void discard() noexcept final {}
};

// A receiver whose messages lie in the handle's ring.
class RecordReceiver : public ReceiverBackend {
 public:
  using ReceiverBackend::ReceiverBackend;

  // Waits for a record; kOk when it has been peeked at.
  [[nodiscard]] virtual Status wait_for_record(record_ring::Consumer& consumer,
                                               Deadline deadline) noexcept = 0;

  std::size_t max_message_bytes(const record_ring::Consumer& consumer) const noexcept override {
    return consumer.max_record_bytes();
  }
  std::span<const std::byte> fetch(record_ring::Consumer& consumer, Deadline deadline,
                                   Status& refusal) noexcept final;
  std::uint64_t lost(const record_ring::Consumer& consumer) const noexcept override {
    return consumer.lost();
  }

 private:
  void give_back() noexcept final {}
};

// A consumer for handles without a ring: it finds nothing, and holds nothing. (For producers there
// is record_ring::Producer::shut().)
[[nodiscard]] record_ring::Consumer closed_consumer() noexcept;

// What an opened end consists of.
struct SenderParts {
  record_ring::Producer producer;
  Notifier notifier;
  std::unique_ptr<SenderBackend> backend;
  bool elsewhere = false;        // messages do not lie in the producer's ring, which is shut
  MpmcSendPath* mpmc = nullptr;  // inside the backend, if that is what it has
  MessageHeaders headers = {};   // beside each message
};
struct ReceiverParts {
  record_ring::Consumer consumer;
  Notifier notifier;
  std::unique_ptr<ReceiverBackend> backend;
  // A receiver that finds nothing asks the backend at every so many looks: 1, or a power of two
  // where nothing comes of asking but news of the other side's death.
  std::uint32_t polls_per_fetch = 1;
  bool elsewhere = false;  // as above
  MpmcReceivePath* mpmc = nullptr;
  MessageHeaders headers = {};
};
using PairParts = std::pair<SenderParts, ReceiverParts>;

// Waits until `came()`, which says that a sender is there, or has left something; kPeerGone when
// the name leads elsewhere by now (`at_its_name()`), so that no sender will come here.
template <class Bell, class Came, class AtItsName>
[[nodiscard]] Status await_sender(WaitStrategy& strategy, Bell& bell, Deadline deadline,
                                  Came&& came, AtItsName&& at_its_name) noexcept {
  const WaitResult result = strategy.wait(bell, deadline, came, [&] { return !at_its_name(); });
  return status_of(result, deadline, Status::kPeerGone);
}

// The receiving end in `parts`, which has waited for a sender with this status; or, as it waited in
// vain, lets go of it. Errors: kReplaced: the ring has to be looked for anew; kTimedOut.
[[nodiscard]] Result<ReceiverParts> finish_receiver(Status status, ReceiverParts parts,
                                                    const Url& url);

}  // namespace rondo::inline RONDO_ABI::detail
