#include "endpoint/stream.hpp"

#include <algorithm>
#include <utility>

#include "stream/framed.hpp"
#include "url/url_options.hpp"

namespace rondo::inline RONDO_ABI::detail {
namespace {

// Between two looks at the clock while bytes come and no message is whole.
constexpr std::uint32_t kMovesAtOnce = 64;

MessageHeaders headers_of(const ChannelOptions& options) noexcept {
  return MessageHeaders(options.header_bytes());
}

std::uint64_t capacity_of(const ChannelOptions& options) noexcept {
  if (options.capacity) return *options.capacity;
  const std::uint64_t largest =
      std::max(options.max_bytes.value_or(0), options.block_bytes.value_or(0));
  if (largest > 0 || options.max_bytes) return capacity_for(headers_of(options).record_of(largest));
  return ChannelOptions::kDefaultStaging;
}

Result<Staging> make_staging(const Url& url, std::size_t chunk_bytes) {
  const std::uint64_t capacity = capacity_of(url.options);
  Staging staging;
  const auto producer = staging.memory.take_zeroed(sizeof(RecordProducerPart), kSharingRange);
  const auto consumer = staging.memory.take_zeroed(sizeof(RecordConsumerPart), kSharingRange);
  const auto records = staging.memory.take_zeroed(capacity, kSharingRange);
  if (chunk_bytes > 0) staging.chunk = staging.memory.take_zeroed(chunk_bytes, kSharingRange);
  if (producer.empty() || consumer.empty() || records.empty() ||
      staging.chunk.size() != chunk_bytes) {
    return Error{ErrorCode::kNoSpace, "no memory for the staging ring of " + url.name() + " of " +
                                          format_size(capacity) + " bytes"};
  }
  staging.parts = {new (producer.data()) RecordProducerPart{},
                   new (consumer.data()) RecordConsumerPart{}, records.data(), capacity};
  return staging;
}

}  // namespace

Result<std::unique_ptr<WakeDescriptor>> wake_beside(const Conduit& end, bool writing) {
  if (!end.has_pulse()) return WakeDescriptor::beside(end.fd(), writing);
  return WakeDescriptor::beside(end.fd(), writing, [&end] { return end.pulse(); });
}

StreamSender::StreamSender(std::unique_ptr<Outlet> outlet, Staging staging,
                           PendingCleanup&& cleanup, const Url& url, const OpenOptions& options)
    : RecordSender(url),
      staging_(std::move(staging)),
      outlet_(std::move(outlet)),
      cleanup_(cleanup.take()),
      mode_(url.options.wait),
      linger_(options.linger),
      stop_(options.stop) {
  if (url.options.keep) cleanup_.reset();
}

Status StreamSender::wait(Deadline deadline) const noexcept {
  return status_of(outlet_->wait(deadline, mode_, stop_), deadline, Status::kPeerGone);
}

Status StreamSender::write_all(Deadline deadline) noexcept {
  for (;;) {
    bool all = false;
    Status status = outlet_->move_on(all);
    if (status != Status::kOk || all) return status;
    status = wait(deadline);
    if (status != Status::kOk) return status;
  }
}

Status StreamSender::wait_for_room(record_ring::Producer& producer, Notifier&,
                                   std::size_t size_bytes, Deadline deadline) noexcept {
  for (;;) {
    bool all = false;
    Status status = outlet_->move_on(all);
    if (status != Status::kOk || producer.try_reserve(size_bytes) != nullptr) return status;
    // A batch that is larger than the ring: everything before it has been written.
    if (all) return Status::kWouldBlock;
    status = wait(deadline);
    if (status != Status::kOk) return status;
  }
}

Status StreamSender::published(Notifier&, Deadline deadline) noexcept {
  const Status status = write_all(deadline);
  // What is late is not lost: later calls write it.
  return is_final(status) ? status : Status::kOk;
}

Status StreamSender::flush(record_ring::Producer&, Notifier&, Deadline deadline) noexcept {
  return write_all(deadline);
}

Status StreamSender::close(record_ring::Producer&, Notifier&, Status status,
                           Deadline deadline) noexcept {
  // kClosed: the user breaks it off. Else nothing is read any more.
  if (status == Status::kOk || status == Status::kClosed) {
    outlet_->finish(status == Status::kOk);
    status = write_all(deadline);
    if (status == Status::kOk) {
      status = status_of(outlet_->wait_taken(deadline, stop_), deadline, Status::kPeerGone);
    }
  }
  outlet_->close();
  if (cleanup_ != nullptr) cleanup_->run();
  return status;
}

Status StreamSender::wait_for_receiver(Notifier&, Deadline deadline) noexcept {
  return status_of(outlet_->wait_for_receiver(deadline, stop_), deadline, Status::kPeerGone);
}

void StreamSender::describe(const record_ring::Producer& producer, ChannelInfo& info) const {
  outlet_->describe(info);
  info.capacity_bytes = staging_.parts.capacity;
  // relaxed: producer and consumer are one thread.
  info.pending_bytes =
      producer.position() - staging_.parts.consumer->head.load(std::memory_order_relaxed);
}

StreamReceiver::StreamReceiver(std::unique_ptr<Inlet> inlet, Staging staging,
                               PendingCleanup&& cleanup, const Url& url, const OpenOptions& options)
    : RecordReceiver(url),
      staging_(std::move(staging)),
      inlet_(std::move(inlet)),
      cleanup_(cleanup.take()),
      mode_(url.options.wait),
      stop_(options.stop) {
  if (url.options.keep) cleanup_.reset();
}

Status StreamReceiver::wait_for_record(record_ring::Consumer& consumer,
                                       Deadline deadline) noexcept {
  for (std::uint32_t moves = 1;; ++moves) {
    const bool drained = inlet_->take_in();
    if (consumer.try_peek() == ReadOutcome::kMessage) return Status::kOk;
    if (!drained) {  // the ring is empty now, and there is more to take in
      if (moves % kMovesAtOnce != 0) continue;
      if (const Status status = why_to_end(deadline, stop_); status != Status::kOk) return status;
      continue;
    }
    if (const Status state = inlet_->state(); state != Status::kOk) return state;
    // One that always has some bytes more, and never the rest of a message, is left now and then.
    const bool moved = inlet_->let_in() != Inlet::Outcome::kNotNow;
    if (moved && moves % kMovesAtOnce != 0) continue;
    const Status status =
        moved ? why_to_end(deadline, stop_)
              : status_of(inlet_->wait(deadline, mode_, stop_), deadline, Status::kPeerGone);
    if (status != Status::kOk) return status;
  }
}

void StreamReceiver::detach(record_ring::Consumer&, Notifier&) noexcept {
  inlet_->close();
  if (cleanup_ != nullptr) cleanup_->run();
}

void StreamReceiver::describe(const record_ring::Consumer&, ChannelInfo& info) const {
  inlet_->describe(info);
  info.capacity_bytes = staging_.parts.capacity;
}

Result<SenderParts> make_staged_sender(const MakeOutlet& make, PendingCleanup cleanup,
                                       const Url& url, const OpenOptions& options) {
  auto staging = make_staging(url, 0);
  if (!staging) return std::move(staging).error();
  auto producer = record_ring::Producer::attach(staging->parts, EarlyWrap::kNever);
  auto outlet = make(*staging);
  producer->limit_records(outlet->max_message_bytes());
  auto backend = std::make_unique<StreamSender>(std::move(outlet), std::move(staging).value(),
                                                std::move(cleanup), url, options);
  // The notifier is bound to no waiter: every commit takes the slow path, and is written out there.
  SenderParts parts{*std::move(producer), Notifier(), std::move(backend)};
  parts.headers = headers_of(url.options);
  return parts;
}

Result<ReceiverParts> make_staged_receiver(const MakeInlet& make, std::size_t chunk_bytes,
                                           PendingCleanup cleanup, const Url& url,
                                           const OpenOptions& options) {
  auto staging = make_staging(url, chunk_bytes);
  if (!staging) return std::move(staging).error();
  auto producer = record_ring::Producer::attach(staging->parts, EarlyWrap::kNever);
  auto consumer = record_ring::Consumer::attach(staging->parts, Acknowledge::kLazily, Pacing::kOff);
  auto inlet = make(*staging, *std::move(producer));
  auto backend = std::make_unique<StreamReceiver>(std::move(inlet), std::move(staging).value(),
                                                  std::move(cleanup), url, options);
  ReceiverParts parts{*std::move(consumer), Notifier(), std::move(backend)};
  parts.headers = headers_of(url.options);
  return parts;
}

std::uint64_t staged_bytes(const ChannelOptions& options) noexcept {
  return 2 * capacity_of(options) + FramedInlet::kChunkBytes + FrameWriter::kGatheredBytes;
}

Result<SenderParts> make_stream_sender(std::unique_ptr<ByteStream> stream, PendingCleanup cleanup,
                                       const Url& url, const OpenOptions& options) {
  return make_staged_sender(
      [&](const Staging& staging) {
        return std::make_unique<FramedOutlet>(std::move(stream), staging.parts,
                                              FrameForm(url.options));
      },
      std::move(cleanup), url, options);
}

Result<ReceiverParts> make_stream_receiver(std::unique_ptr<ByteStream> stream,
                                           PendingCleanup cleanup, const Url& url,
                                           const OpenOptions& options) {
  return make_staged_receiver(
      [&](const Staging& staging, record_ring::Producer producer) {
        return std::make_unique<FramedInlet>(std::move(stream), std::move(producer), staging.chunk,
                                             FrameForm(url.options));
      },
      FramedInlet::kChunkBytes, std::move(cleanup), url, options);
}

}  // namespace rondo::inline RONDO_ABI::detail
