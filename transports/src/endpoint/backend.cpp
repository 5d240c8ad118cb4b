#include "endpoint/backend.hpp"

#include <utility>

namespace rondo::inline RONDO_ABI::detail {
namespace {

Watermark watermark_of(const ChannelOptions& options) noexcept {
  Watermark watermark;
  if (options.wake_bytes || options.wake_after) watermark.messages = Watermark::kUnlimited;
  if (options.wake_every) watermark.messages = *options.wake_every;
  if (options.wake_bytes) watermark.bytes = *options.wake_bytes;
  if (options.wake_after) watermark.after = *options.wake_after;
  return watermark;
}

}  // namespace

SenderBackend::SenderBackend(const Url& url)
    : Named(url),
      held_back_(watermark_of(url.options)),
      tells_each_(watermark_of(url.options).each()) {}

Status SenderBackend::tell(const record_ring::Producer& producer, Notifier& notifier,
                           const Published& before, Wake wake, Deadline deadline) noexcept {
  if (forked()) return Status::kForked;
  held_back_.begin(before);
  if (wake == Wake::kLater) {
    look(notifier);
    return Status::kOk;
  }
  // What nobody sleeps for, or has been woken for already, is not held back, nor counted.
  if (wake == Wake::kAuto && !held_back_.due(committed(producer)) && would_wake(notifier)) {
    return Status::kOk;
  }
  return tell_all(notifier, deadline);
}

Status SenderBackend::tell_all(Notifier& notifier, Deadline deadline) noexcept {
  // What a byte stream did not take the last time is held back no more, and still to be written.
  if (!held_back_.any() && has_word()) return Status::kOk;
  const Status status = published(notifier, deadline);
  held_back_.end();
  return status;
}

std::byte* RecordSender::reserve(record_ring::Producer& producer, Notifier& notifier,
                                 std::size_t size_bytes, Deadline deadline,
                                 Status& refusal) noexcept {
  if (forked()) {
    refusal = Status::kForked;
  } else if (size_bytes > producer.max_record_bytes()) {
    refusal = Status::kTooLarge;
  } else {
    refusal = wait_for_room(producer, notifier, size_bytes, deadline);
  }
  return refusal == Status::kOk ? producer.try_reserve(size_bytes) : nullptr;
}

std::byte* RecordSender::add(record_ring::Producer& producer, Notifier& notifier,
                             std::size_t size_bytes, Status& refusal) noexcept {
  std::byte* const bytes = reserve(producer, notifier, size_bytes, Deadline::now(), refusal);
  if (bytes != nullptr) producer.commit(size_bytes);
  return bytes;
}

Status RecordSender::commit_batch(record_ring::Producer& producer, Notifier&, Deadline) noexcept {
  producer.end_batch();
  return Status::kOk;
}

std::span<const std::byte> RecordReceiver::fetch(record_ring::Consumer& consumer, Deadline deadline,
                                                 Status& refusal) noexcept {
  refusal = wait_for_record(consumer, deadline);
  if (refusal != Status::kOk) return {};
  return {consumer.data(), consumer.size()};
}

std::optional<Arming> SenderBackend::arm(record_ring::Producer& producer, Notifier& notifier,
                                         std::size_t size_bytes) noexcept {
  if (!has_word()) return std::nullopt;
  const PreparedWait wait = announce(producer, notifier, Fence::kOwn);
  if (!stirs(producer, size_bytes, true)) return Arming{true, wait};
  disarm();
  return Arming{};
}

bool SenderBackend::stirs(record_ring::Producer& producer, std::size_t size_bytes,
                          bool before_sleep) noexcept {
  return has_room(producer, size_bytes) ||
         found_news(before_sleep, [&] { return has_news(producer, size_bytes); });
}

std::optional<Arming> ReceiverBackend::arm(record_ring::Consumer& consumer,
                                           Notifier& notifier) noexcept {
  if (!has_word()) return holds_more() ? std::optional(Arming{}) : std::nullopt;
  const PreparedWait wait = announce(Fence::kOwn);
  if (!stirs(consumer, notifier, true)) return Arming{true, wait};
  disarm();
  return Arming{};
}

bool ReceiverBackend::stirs(record_ring::Consumer& consumer, Notifier& notifier,
                            bool before_sleep) noexcept {
  return has_message(consumer, notifier) || found_news(before_sleep, [this] { return has_news(); });
}

Result<ReceiverParts> finish_receiver(Status status, ReceiverParts parts, const Url& url) {
  if (status == Status::kOk) return parts;
  parts.backend->detach(parts.consumer, parts.notifier);
  if (status == Status::kPeerGone) {
    return Error{ErrorCode::kReplaced, url.name() + " has been removed while it was opened"};
  }
  return Error{ErrorCode::kTimedOut,
               "no sender came to " + url.name() + " in time; start one, or wait longer"};
}

Result<NativeHandle> descriptor_of(Named* channel, bool& made) {
  made = false;
  if (channel == nullptr) {
    return Error{ErrorCode::kNotFound, "a handle that was closed or moved from has no descriptor"};
  }
  if (channel->forked()) {
    return Error{ErrorCode::kForked,
                 channel->name() + " was opened before fork(); open it anew in this process"};
  }
  if (channel->wake() == nullptr) {
    auto wake = channel->make_wake();
    if (!wake) return std::move(wake).error();
    channel->keep(std::move(wake).value());
    made = true;
  }
  return channel->wake()->fd();
}

void describe_attachment(const AttachmentBase& ring, ChannelInfo& info) {
  if (ring.segment().name().backing != Backing::kHeap) info.memory = ring.segment().report();
  info.participants = ring.participants().snapshot();
  info.at_its_name = ring.at_its_name();
  info.instance_id = ring.geometry().instance_id;
}

}  // namespace rondo::inline RONDO_ABI::detail
