#include "endpoint/frames.hpp"

#include <chrono>
#include <cstring>
#include <utility>

namespace rondo::inline RONDO_ABI::detail {
namespace {

FrameStart start_of(const Url& url) noexcept {
  return url.options.reader.from == ReaderStart::kNewest ? FrameStart::kNewest
                                                         : FrameStart::kOldest;
}

}  // namespace

PoolSender::PoolSender(PoolSeat seat, const Url& url, const OpenOptions& options)
    : SenderBackend(url),
      seat_(std::move(seat)),
      producer_(seat_.parts()),
      bell_(seat_.parts().producer->publish_ringer),
      sleeper_(seat_.parts().producer->unpin_waiter, seat_.parts().reader(0).unpin_ringer),
      strategy_(url.options.wait, options.stop),
      keep_(url.options.keep) {
  for (std::uint32_t i = 0; i < seat_.parts().reader_count; ++i) {
    static_cast<void>(bell_.watch(seat_.parts().reader(i).publish_waiter));
  }
  // Receivers may be asleep, waiting for a sender.
  bell_.ring();
}

std::byte* PoolSender::reserve(record_ring::Producer& producer, Ringer&, std::size_t size_bytes,
                               Deadline deadline, Status& refusal) noexcept {
  refusal = forked() ? Status::kForked : Status::kTooLarge;
  if (forked() || size_bytes > max_message_bytes(producer)) return nullptr;
  std::byte* frame = producer_.try_reserve();
  if (frame != nullptr) [[likely]]
    return frame;
  const auto ready = [&] { return (frame = producer_.try_reserve()) != nullptr; };
  if (deadline == Deadline::now()) {
    // A polling caller asks after the dead now and then.
    refusal = seat_.damaged() ? Status::kCorrupt : Status::kWouldBlock;
    if (!pacer_.due_by_time()) return nullptr;
    seat_.recover();
    return ready() ? frame : nullptr;
  }
  refusal = wait(deadline, ready);
  return refusal == Status::kOk ? frame : nullptr;
}

// Whose bell to listen to: a reader that holds a frame, or has not got the newest one.
std::optional<std::uint32_t> PoolSender::somebody_at_it() const noexcept {
  const FramePoolParts& parts = seat_.parts();
  std::optional<std::uint32_t> holder;
  for_each_held(parts, [&](const HeldFrame& held) { holder = held.reader; });
  if (holder) return holder;
  for (std::uint32_t i = 0; i < parts.reader_count; ++i) {
    const auto account = read_frame_account(parts, i);
    if (account && account->last < producer_.number() && seat_.reader(i) != Presence::kAbsent) {
      return i;
    }
  }
  return std::nullopt;
}

// The sleeper has one bell to listen to at a time; the slice of its sleep covers the others.
void PoolSender::listen_to_somebody_at_it() noexcept {
  sleeper_.listen_to(seat_.parts().reader(somebody_at_it().value_or(0)).unpin_ringer);
}

// Waits until `ready`, and lets go of what the dead hold.
template <class Ready>
Status PoolSender::wait(Deadline deadline, Ready&& ready) noexcept {
  if (forked()) return Status::kForked;
  const auto damaged = [&] {
    seat_.recover();
    listen_to_somebody_at_it();
    return seat_.damaged();
  };
  return status_of(strategy_.wait(sleeper_, deadline, ready, damaged), deadline, Status::kCorrupt);
}

void PoolSender::commit(std::size_t size_bytes) noexcept {
  producer_.commit(size_bytes);
  bell_.notify();
}

Status PoolSender::send(record_ring::Producer& producer, Ringer& ringer,
                        std::span<const std::byte> message, Deadline deadline) noexcept {
  Status refusal = Status::kOk;
  std::byte* const bytes = reserve(producer, ringer, message.size(), deadline, refusal);
  if (bytes == nullptr) return refusal;
  if (!message.empty()) std::memcpy(bytes, message.data(), message.size());
  commit(message.size());
  return Status::kOk;
}

std::byte* PoolSender::add(record_ring::Producer& producer, Ringer& ringer, std::size_t size_bytes,
                           Status& refusal) noexcept {
  refusal = Status::kWouldBlock;
  if (added_) return nullptr;
  std::byte* const bytes = reserve(producer, ringer, size_bytes, Deadline::now(), refusal);
  if (bytes != nullptr) added_ = size_bytes;
  return bytes;
}

Status PoolSender::commit_batch(record_ring::Producer&, Ringer&, Deadline) noexcept {
  if (const auto size_bytes = std::exchange(added_, std::nullopt)) commit(*size_bytes);
  return Status::kOk;
}

void PoolSender::abandon_batch(record_ring::Producer&) noexcept {
  if (std::exchange(added_, std::nullopt)) producer_.discard();
}

// Until all that are there have read the newest frame, and let go of all.
Status PoolSender::flush(record_ring::Producer&, Ringer&, Deadline deadline) noexcept {
  return wait(deadline, [&] { return !somebody_at_it(); });
}

Status PoolSender::close(record_ring::Producer&, Ringer&, Status status, Deadline) noexcept {
  // A sender that failed or gave up does not say that this was all.
  if (status == Status::kOk) producer_.close();
  bell_.ring();
  seat_.leave(keep_);
  return status;
}

std::uint32_t PoolSender::attached() const noexcept {
  std::uint32_t count = 0;
  for (std::uint32_t i = 0; i < seat_.parts().reader_count; ++i) {
    count += seat_.reader(i) == Presence::kPresent ? 1 : 0;
  }
  return count;
}

Status PoolSender::wait_for_receivers(Ringer&, std::uint32_t count, Deadline deadline) noexcept {
  return wait(deadline, [&] { return attached() >= count; });
}

std::optional<Arming> PoolSender::arm(record_ring::Producer&, std::size_t) noexcept {
  const auto ready = [&] { return producer_.try_reserve() != nullptr; };
  const auto lost = [&] {
    seat_.recover();
    return seat_.damaged() || ready();
  };
  listen_to_somebody_at_it();
  return arm_bell(sleeper_, pacer_, ready, lost);
}

bool PoolSender::disarm() noexcept {
  sleeper_.cancel_wait();
  return false;
}

void PoolSender::describe(const record_ring::Producer&, ChannelInfo& info) const {
  seat_.describe(info);
}

PoolReceiver::PoolReceiver(PoolSeat seat, const Url& url, const OpenOptions& options)
    : ReceiverBackend(url),
      seat_(std::move(seat)),
      latest_(url.options.reader.policy == ReaderPolicy::kLatest),
      reader_(seat_.parts(), seat_.reader(), start_of(url)),
      bell_(seat_.parts().producer->unpin_waiter,
            seat_.parts().reader(seat_.reader()).unpin_ringer),
      sleeper_(seat_.parts().reader(seat_.reader()).publish_waiter,
               seat_.parts().producer->publish_ringer),
      strategy_(url.options.wait, options.stop),
      linger_(url.options.linger || options.linger),
      keep_(url.options.keep) {
  say(latest_ ? ReaderPolicy::kLatest : ReaderPolicy::kLossy);
  // A sender may be asleep, waiting for a receiver.
  static_cast<void>(bell_.ring());
}

void PoolReceiver::say(ReaderPolicy policy) noexcept {
  // relaxed: a sender that waits for us looks again, and orders nothing by it.
  seat_.parts()
      .reader(reader_.index())
      .policy.store(static_cast<std::uint64_t>(policy), std::memory_order_relaxed);
}

// Whether there is none, or no pool any more. Asks the kernel.
bool PoolReceiver::sender_is_lost(Absence& absence) noexcept {
  if (seat_.damaged()) return true;
  if (linger_) return false;
  // A successor wipes the end away.
  absence = seat_.sender_absence([this] { return reader_.changed(); });
  return absence != Absence::kNone;
}

std::optional<Arming> PoolReceiver::arm(record_ring::Consumer&, Ringer&) noexcept {
  Absence absence = Absence::kNone;
  return arm_bell(
      sleeper_, pacer_, [this] { return reader_.changed(); },
      [&] { return sender_is_lost(absence); });
}

bool PoolReceiver::disarm() noexcept {
  sleeper_.cancel_wait();
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
    result = strategy_.wait(sleeper_, deadline, ready, lost);
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
  if (seat_.damaged() || read == ReadOutcome::kContended) return Status::kCorrupt;
  // What had changed, and is not there any more, was the end.
  return absence == Absence::kLeft ? Status::kEnded : Status::kPeerDied;
}

void PoolReceiver::give_back() noexcept {
  frame_.release();
  static_cast<void>(bell_.notify());
}

Status PoolReceiver::wait_for_sender(Deadline deadline) noexcept {
  const auto came = [&] { return seat_.sender() == Presence::kPresent || reader_.changed(); };
  return wait_for_a_sender(strategy_, sleeper_, deadline, came,
                           [&] { return seat_.at_its_name(); });
}

void PoolReceiver::detach(record_ring::Consumer&, Ringer&) noexcept {
  frame_.release();
  say(ReaderPolicy::kDetached);
  static_cast<void>(bell_.ring());
  seat_.leave(keep_);
}

void PoolReceiver::describe(const record_ring::Consumer&, ChannelInfo& info) const {
  seat_.describe(info);
  // The one that is being looked at is not received yet.
  info.messages = reader_.account().last - (frame_ ? 1 : 0);
}

SenderParts make_pool_sender(PoolSeat seat, const Url& url, const OpenOptions& options) {
  auto backend = std::make_unique<PoolSender>(std::move(seat), url, options);
  return SenderParts{record_ring::Producer::shut(), Ringer(), std::move(backend), true};
}

Result<ReceiverParts> make_pool_receiver(PoolSeat seat, const Url& url,
                                         const OpenOptions& options) {
  auto backend = std::make_unique<PoolReceiver>(std::move(seat), url, options);
  const Status status = backend->wait_for_sender(options.wait);
  return when_a_sender_came(status, {shut_consumer(), Ringer(), std::move(backend), 1, true}, url);
}

Result<SenderParts> open_pool_sender(RingSegment found, const Url& url,
                                     const OpenOptions& options) {
  auto seat = PoolSeat::take(std::move(found), url, options, Role::kProducer);
  if (!seat) return std::move(seat).error();
  return make_pool_sender(std::move(seat).value(), url, options);
}

Result<ReceiverParts> open_pool_receiver(RingSegment found, const Url& url,
                                         const OpenOptions& options) {
  auto seat = PoolSeat::take(std::move(found), url, options, Role::kConsumer);
  if (!seat) return std::move(seat).error();
  return make_pool_receiver(std::move(seat).value(), url, options);
}

}  // namespace rondo::inline RONDO_ABI::detail
