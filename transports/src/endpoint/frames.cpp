#include "endpoint/frames.hpp"

#include <chrono>
#include <utility>

namespace rondo::inline RONDO_ABI::detail {
namespace {

FrameStart start_of(const Url& url) noexcept {
  return url.options.reader.from == ReaderStart::kNewest ? FrameStart::kNewest
                                                         : FrameStart::kOldest;
}

}  // namespace

PoolSender::PoolSender(PoolMembership membership, const Url& url, const OpenOptions& options)
    : SenderBackend(url),
      membership_(std::move(membership)),
      producer_(membership_.parts()),
      bell_(membership_.parts().producer->publish_notifier),
      waiter_(membership_.parts().producer->unpin_waiter,
              membership_.parts().reader(0).unpin_notifier),
      strategy_(url.options.wait, options.stop),
      keep_(url.options.keep) {
  for (std::uint32_t i = 0; i < membership_.parts().reader_count; ++i) {
    static_cast<void>(bell_.watch(membership_.parts().reader(i).publish_waiter));
  }
  // Receivers may be asleep, waiting for a sender.
  bell_.ring();
}

std::byte* PoolSender::reserve(record_ring::Producer& producer, Notifier&, std::size_t size_bytes,
                               Deadline deadline, Status& refusal) noexcept {
  refusal = forked() ? Status::kForked : Status::kTooLarge;
  if (forked() || size_bytes > max_message_bytes(producer)) return nullptr;
  std::byte* frame = producer_.try_reserve();
  if (frame != nullptr) [[likely]]
    return frame;
  const auto ready = [&] { return (frame = producer_.try_reserve()) != nullptr; };
  if (deadline == Deadline::now()) {
    // A polling caller asks after the dead now and then.
    refusal = membership_.damaged() ? Status::kCorrupt : Status::kWouldBlock;
    if (!pacer_.due_by_time()) return nullptr;
    membership_.recover();
    return ready() ? frame : nullptr;
  }
  refusal = wait(deadline, ready);
  return refusal == Status::kOk ? frame : nullptr;
}

// Whose bell to listen to: a reader that holds a frame, or has not got the newest one.
std::optional<std::uint32_t> PoolSender::reader_not_done() const noexcept {
  const FramePoolParts& parts = membership_.parts();
  std::optional<std::uint32_t> holder;
  for_each_held(parts, [&](const HeldFrame& held) { holder = held.reader; });
  if (holder) return holder;
  for (std::uint32_t i = 0; i < parts.reader_count; ++i) {
    const auto stats = read_frame_stats(parts, i);
    if (stats && stats->last < producer_.number() && membership_.reader(i) != Presence::kAbsent) {
      return i;
    }
  }
  return std::nullopt;
}

// The waiter has one bell to listen to at a time; the slice of its sleep covers the others.
void PoolSender::listen_to_somebody_at_it() noexcept {
  waiter_.listen_to(membership_.parts().reader(reader_not_done().value_or(0)).unpin_notifier);
}

// Waits until `ready`, and lets go of what the dead hold.
template <class Ready>
Status PoolSender::wait(Deadline deadline, Ready&& ready) noexcept {
  if (forked()) return Status::kForked;
  const auto damaged = [&] {
    membership_.recover();
    listen_to_somebody_at_it();
    return membership_.damaged();
  };
  return status_of(strategy_.wait(waiter_, deadline, ready, damaged), deadline, Status::kCorrupt);
}

Status PoolSender::published(Notifier&, Deadline) noexcept {
  bell_.notify();
  return Status::kOk;
}

std::byte* PoolSender::add(record_ring::Producer& producer, Notifier& notifier,
                           std::size_t size_bytes, Status& refusal) noexcept {
  refusal = Status::kWouldBlock;
  if (added_) return nullptr;
  std::byte* const bytes = reserve(producer, notifier, size_bytes, Deadline::now(), refusal);
  if (bytes != nullptr) added_ = size_bytes;
  return bytes;
}

Status PoolSender::commit_batch(record_ring::Producer&, Notifier&, Deadline) noexcept {
  if (const auto size_bytes = std::exchange(added_, std::nullopt)) commit(*size_bytes);
  return Status::kOk;
}

void PoolSender::abandon_batch(record_ring::Producer&) noexcept {
  if (std::exchange(added_, std::nullopt)) producer_.discard();
}

// Until all that are there have read the newest frame, and let go of all.
Status PoolSender::flush(record_ring::Producer&, Notifier&, Deadline deadline) noexcept {
  return wait(deadline, [&] { return !reader_not_done(); });
}

Status PoolSender::close(record_ring::Producer&, Notifier&, Status status, Deadline) noexcept {
  disarm();
  // A sender that failed or gave up does not say that this was all.
  if (status == Status::kOk) producer_.close();
  bell_.ring();
  membership_.leave(keep_);
  return status;
}

std::uint32_t PoolSender::attached() const noexcept {
  std::uint32_t count = 0;
  for (std::uint32_t i = 0; i < membership_.parts().reader_count; ++i) {
    count += membership_.reader(i) == Presence::kPresent ? 1 : 0;
  }
  return count;
}

Status PoolSender::wait_for_receivers(Notifier&, std::uint32_t count, Deadline deadline) noexcept {
  return wait(deadline, [&] { return attached() >= count; });
}

PreparedWait PoolSender::announce(record_ring::Producer&, Notifier&, Fence fence) noexcept {
  listen_to_somebody_at_it();
  return waiter_.prepare_wait(fence);
}

bool PoolSender::has_room(record_ring::Producer&, std::size_t) noexcept {
  return producer_.try_reserve() != nullptr;
}

bool PoolSender::has_news(record_ring::Producer& producer, std::size_t size_bytes) noexcept {
  membership_.recover();
  return membership_.damaged() || has_room(producer, size_bytes);
}

// The bells of all readers.
std::uint64_t PoolSender::pulse() noexcept {
  std::uint64_t sum = 0;
  for (std::uint32_t i = 0; i < membership_.parts().reader_count; ++i) {
    // relaxed: who is told looks himself.
    sum += membership_.parts().reader(i).unpin_notifier.rings.load(std::memory_order_relaxed);
  }
  return sum;
}

std::uint64_t PoolSender::deaths() noexcept {
  if (membership_.damaged()) return ~std::uint64_t{0};
  std::uint64_t dead = 0;
  for (std::uint32_t i = 0; i < membership_.parts().reader_count; ++i) {
    if (membership_.reader(i) == Presence::kAbsent) {
      dead += death_mark(i, membership_.reader_joins(i));
    }
  }
  return dead;
}

bool PoolSender::disarm() noexcept {
  waiter_.cancel_wait();
  return false;
}

void PoolSender::describe(const record_ring::Producer&, ChannelInfo& info) const {
  membership_.describe(info);
}

PoolReceiver::PoolReceiver(PoolMembership membership, const Url& url, const OpenOptions& options)
    : ReceiverBackend(url),
      membership_(std::move(membership)),
      latest_(url.options.reader.policy == ReaderPolicy::kLatest),
      reader_(membership_.parts(), membership_.reader(), start_of(url)),
      bell_(membership_.parts().producer->unpin_waiter,
            membership_.parts().reader(membership_.reader()).unpin_notifier),
      waiter_(membership_.parts().reader(membership_.reader()).publish_waiter,
              membership_.parts().producer->publish_notifier),
      strategy_(url.options.wait, options.stop),
      await_successor_(url.options.await_successor || options.await_successor),
      keep_(url.options.keep) {
  say(latest_ ? ReaderPolicy::kLatest : ReaderPolicy::kLossy);
  // A sender may be asleep, waiting for a receiver.
  static_cast<void>(bell_.ring());
}

void PoolReceiver::say(ReaderPolicy policy) noexcept {
  // relaxed: a sender that waits for us looks again, and orders nothing by it.
  membership_.parts()
      .reader(reader_.index())
      .policy.store(static_cast<std::uint64_t>(policy), std::memory_order_relaxed);
}

// Whether there is none, or no pool any more. Asks the kernel.
bool PoolReceiver::sender_is_lost(Absence& absence) noexcept {
  if (membership_.damaged()) return true;
  if (await_successor_) return false;
  // A successor wipes the end away.
  absence = membership_.sender_absence([this] { return reader_.changed(); });
  return absence != Absence::kNone;
}

PreparedWait PoolReceiver::announce(Fence fence) noexcept { return waiter_.prepare_wait(fence); }

bool PoolReceiver::has_message(record_ring::Consumer&, Notifier&) noexcept {
  return reader_.changed();
}

bool PoolReceiver::has_news() noexcept {
  Absence absence = Absence::kNone;
  return sender_is_lost(absence);
}

std::uint64_t PoolReceiver::deaths() noexcept {
  const bool absent = membership_.sender() == Presence::kAbsent;
  return (membership_.damaged() ? 1u : 0u) +
         (absent ? death_mark(0, membership_.sender_joins()) : 0u);
}

bool PoolReceiver::disarm() noexcept {
  waiter_.cancel_wait();
  return false;
}

std::span<const std::byte> PoolReceiver::fetch(record_ring::Consumer&, Deadline deadline,
                                               Status& refusal) noexcept {
  refusal = wait_for_frame(deadline);
  return refusal == Status::kOk ? frame_.bytes() : std::span<const std::byte>();
}

// kOk when frame_ is the next one.
Status PoolReceiver::wait_for_frame(Deadline deadline) noexcept {
  if (forked()) return Status::kForked;
  ReadOutcome read = ReadOutcome::kEmpty;
  const auto ready = [&] {
    read = latest_ ? reader_.try_newest(frame_) : reader_.try_next(frame_);
    // A sender that runs away while we look stays ahead; so we look again.
    return read != ReadOutcome::kEmpty && read != ReadOutcome::kContended;
  };
  Absence absence = Absence::kNone;
  const auto lost = [&] { return sender_is_lost(absence); };
  WaitResult result = WaitResult::kTimedOut;
  if (deadline != Deadline::now()) {
    result = strategy_.wait(waiter_, deadline, ready, lost);
  } else if (!ready() && pacer_.due_by_time() && lost() && !ready()) {
    // What was published before the death came first.
    result = WaitResult::kPeerGone;
  }
  switch (read) {
    case ReadOutcome::kMessage: return Status::kOk;
    case ReadOutcome::kEnd: return Status::kEnded;
    case ReadOutcome::kBrokenOff:  // no pool says so, nor the next one
    case ReadOutcome::kLost:
    case ReadOutcome::kNoPin:
    case ReadOutcome::kCorrupt: return Status::kCorrupt;
    case ReadOutcome::kEmpty:
    case ReadOutcome::kContended: break;
  }
  if (result == WaitResult::kInterrupted) return Status::kInterrupted;
  if (result != WaitResult::kPeerGone) return too_late(deadline);
  if (membership_.damaged() || read == ReadOutcome::kContended) return Status::kCorrupt;
  // What had changed, and is not there any more, was the end.
  return absence == Absence::kLeft ? Status::kEnded : Status::kPeerDied;
}

void PoolReceiver::give_back() noexcept {
  frame_.release();
  static_cast<void>(bell_.notify());
}

Status PoolReceiver::wait_for_sender(Deadline deadline) noexcept {
  const auto came = [&] { return membership_.sender() == Presence::kPresent || reader_.changed(); };
  return await_sender(strategy_, waiter_, deadline, came,
                      [&] { return membership_.at_its_name(); });
}

void PoolReceiver::detach(record_ring::Consumer&, Notifier&) noexcept {
  disarm();
  frame_.release();
  say(ReaderPolicy::kDetached);
  static_cast<void>(bell_.ring());
  membership_.leave(keep_);
}

void PoolReceiver::describe(const record_ring::Consumer&, ChannelInfo& info) const {
  membership_.describe(info);
  // The one that is being looked at is not received yet.
  info.messages = reader_.stats().last - (frame_ ? 1 : 0);
}

SenderParts make_pool_sender(PoolMembership membership, const Url& url,
                             const OpenOptions& options) {
  auto backend = std::make_unique<PoolSender>(std::move(membership), url, options);
  return {record_ring::Producer::shut(), Notifier(), std::move(backend), true};
}

Result<ReceiverParts> make_pool_receiver(PoolMembership membership, const Url& url,
                                         const OpenOptions& options) {
  auto backend = std::make_unique<PoolReceiver>(std::move(membership), url, options);
  const Status status = backend->wait_for_sender(options.wait);
  return finish_receiver(status, {closed_consumer(), Notifier(), std::move(backend), 1, true}, url);
}

Result<SenderParts> open_pool_sender(RingSegment found, const Url& url,
                                     const OpenOptions& options) {
  auto membership = PoolMembership::take(std::move(found), url, options, Role::kProducer);
  if (!membership) return std::move(membership).error();
  return make_pool_sender(std::move(membership).value(), url, options);
}

Result<ReceiverParts> open_pool_receiver(RingSegment found, const Url& url,
                                         const OpenOptions& options) {
  auto membership = PoolMembership::take(std::move(found), url, options, Role::kConsumer);
  if (!membership) return std::move(membership).error();
  return make_pool_receiver(std::move(membership).value(), url, options);
}

}  // namespace rondo::inline RONDO_ABI::detail
