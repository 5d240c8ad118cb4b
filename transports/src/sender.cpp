#include "rondo/transports/sender.hpp"

#include <array>
#include <chrono>
#include <cstdint>
#include <exception>
#include <functional>
#include <string>

#include "endpoint/backend.hpp"
#include "open/open.hpp"
#include "rondo/core/out_of_memory.hpp"

namespace rondo::inline RONDO_ABI {
Result<Sender> Sender::open(std::string_view url, const OpenOptions& options) {
  Result<detail::SenderParts> parts = detail::open_sender(url, options);
  if (!parts) return std::move(parts).error();
  return Sender(std::move(parts).value());
}

Sender::Sender(detail::SenderParts&& parts) noexcept
    : producer_(std::move(parts.producer)),
      notifier_(parts.notifier),
      exceptions_(std::uncaught_exceptions()),
      backend_(std::move(parts.backend)),
      mpmc_(parts.mpmc),
      elsewhere_(parts.elsewhere),
      in_our_ring_(!parts.elsewhere && parts.headers.room == 0),
      headers_(parts.headers) {
  if (headers_.room != 0) backend_->behind(headers_);
}

Sender::Sender(Sender&& other) noexcept
    : producer_(std::move(other.producer_)),
      notifier_(other.notifier_),
      refusal_(other.refusal_),
      status_(other.status_),
      exceptions_(other.exceptions_),
      backend_(std::move(other.backend_)),
      mpmc_(other.mpmc_),
      elsewhere_(other.elsewhere_),
      holds_(other.holds_),
      in_our_ring_(other.in_our_ring_),
      headers_(other.headers_) {
  other.stop(Status::kClosed);
}

Sender& Sender::operator=(Sender&& other) noexcept {
  if (this == &other) return *this;
  end();
  producer_ = std::move(other.producer_);
  notifier_ = other.notifier_;
  refusal_ = other.refusal_;
  status_ = other.status_;
  exceptions_ = other.exceptions_;
  backend_ = std::move(other.backend_);
  mpmc_ = other.mpmc_;
  elsewhere_ = other.elsewhere_;
  holds_ = other.holds_;
  in_our_ring_ = other.in_our_ring_;
  headers_ = other.headers_;
  other.stop(Status::kClosed);
  return *this;
}

Sender::~Sender() { end(); }

void Sender::end() noexcept {
  if (std::uncaught_exceptions() > exceptions_) {
    break_off();
  } else {
    static_cast<void>(close(last_deadline()));
  }
}

void Sender::stop(Status status) noexcept {
  if (status_ == Status::kOk) status_ = status;
  producer_.stop();
  mpmc_ = nullptr;
  if (backend_ != nullptr && backend_->wake() != nullptr) backend_->wake()->signal();
}

std::byte* Sender::reserve_behind_header(std::size_t size_bytes, Deadline deadline) noexcept {
  std::byte* const record = reserve_record(headers_.record_of(size_bytes), deadline);
  if (record == nullptr) return nullptr;
  room_came();
  return behind_header(record);
}

std::byte* Sender::behind_header(std::byte* record) const noexcept {
  const detail::CopyInLibrary copying;
  std::byte* const message = record + headers_.offset_in(record);
  // Also what pads it: none of what the memory held before gets out over a stream.
  std::memset(message - headers_.header_room(), 0, headers_.header_room());
  return message;
}

Status Sender::send_behind_header(std::span<const std::byte> message, Deadline deadline,
                                  Wake wake) noexcept {
  std::byte* const bytes = reserve_behind_header(message.size(), deadline);
  if (bytes == nullptr) return refusal_;
  {
    const detail::CopyInLibrary copying;
    if (!message.empty()) std::memcpy(bytes, message.data(), message.size());
  }
  return commit_record(headers_.record_of(message.size()), deadline, wake);
}

Status Sender::send_slowly(std::span<const std::byte> message, Deadline deadline,
                           Wake wake) noexcept {
  std::byte* const bytes = reserve_slowly(message.size(), deadline);
  if (bytes == nullptr) return refusal_;
  if (!message.empty()) std::memcpy(bytes, message.data(), message.size());
  return elsewhere_ ? commit_elsewhere(message.size(), deadline, wake)
                    : commit(message.size(), deadline, wake);
}

std::byte* Sender::reserve_slowly(std::size_t size_bytes, Deadline deadline) noexcept {
  refusal_ = status_;
  if (status_ != Status::kOk) return nullptr;
  return backend_->wake() == nullptr ? ask_backend(size_bytes, deadline)
                                     : reserve_or_rest(size_bytes, deadline);
}

std::byte* Sender::ask_backend(std::size_t size_bytes, Deadline deadline) noexcept {
  const bool held_back = backend_->held_back().any();
  std::byte* bytes = backend_->reserve(producer_, notifier_, size_bytes,
                                       held_back ? Deadline::now() : deadline, refusal_);
  // Who is not told of messages makes no room.
  if (held_back && bytes == nullptr && refusal_ == Status::kWouldBlock) {
    refusal_ = tell_all(Deadline::now());
    if (refusal_ != Status::kOk) return nullptr;
    bytes = backend_->reserve(producer_, notifier_, size_bytes, deadline, refusal_);
  }
  if (detail::is_final(refusal_)) stop(refusal_);
  return bytes;
}

// With a descriptor: who finds no room lets it sleep, and who waits does so as ever, with the bell
// to itself.
std::byte* Sender::reserve_or_rest(std::size_t size_bytes, Deadline deadline) noexcept {
  constexpr int kTurns = 4;  // somebody may make us look again and again
  const bool waits = deadline != Deadline::now();
  // Room in our own ring has been looked for.
  if (!elsewhere_ && !waits && backend_->wake()->asleep() && size_bytes <= max_record_bytes()) {
    refusal_ = tell_all(Deadline::now());
    if (refusal_ == Status::kOk) refusal_ = Status::kWouldBlock;
    return nullptr;
  }
  for (int turn = 0; turn < kTurns; ++turn) {
    std::byte* bytes = ask_backend(size_bytes, Deadline::now());
    if (bytes != nullptr || refusal_ != Status::kWouldBlock) return bytes;
    if (waits) {
      give_way();
      bytes = ask_backend(size_bytes, deadline);
      if (bytes == nullptr && status_ == Status::kOk) static_cast<void>(rest(size_bytes));
      return bytes;
    }
    if (rest(size_bytes)) return nullptr;
  }
  return nullptr;
}

// Lets the descriptor sleep. False: there may be room, and it is readable.
bool Sender::rest(std::size_t size_bytes) noexcept {
  WakeDescriptor& wake = *backend_->wake();
  if (wake.asleep()) return true;
  if (wake.clear()) backend_->expect_news();
  backend_->disarm();  // what a wake was spent on, the look finds
  const std::optional<detail::Arming> arming = backend_->arm(producer_, notifier_, size_bytes);
  if (arming && !arming->may_sleep) {
    wake.signal();
    return false;
  }
  wake.sleep(arming ? arming->wait : PreparedWait());
  return true;
}

// Before a wait of another kind, which has the bell to itself.
void Sender::give_way() noexcept {
  if (backend_->wake() == nullptr) return;
  backend_->wake()->interrupt();
  backend_->disarm();
}

Result<NativeHandle> Sender::fd() {
  bool made = false;
  auto fd =
      detail::refuse_without_memory([&] { return detail::descriptor_of(backend_.get(), made); });
  if (fd && status_ == Status::kOk) static_cast<void>(tell_all(Deadline::now()));
  if (!made) return fd;
  wake_each();
  notifier_.want_always();
  mpmc_ = nullptr;
  backend_->expect_news();  // of what came before the thread that looks for it
  backend_->wake()->signal();
  return fd;
}

bool Sender::arm(std::size_t size_bytes) noexcept {
  if (status_ != Status::kOk || size_bytes > max_message_bytes() || !fd()) return false;
  // Found, it is still there to be claimed.
  const std::size_t record_bytes = headers_.record_of(size_bytes);
  if (!elsewhere_ && ask_backend(record_bytes, Deadline::now()) != nullptr) return false;
  return status_ == Status::kOk && rest(record_bytes);
}

Status Sender::commit_elsewhere(std::size_t size_bytes, Deadline deadline, Wake wake) noexcept {
  if (backend_ == nullptr) return status_;
  if (backend_->forked()) {
    backend_->discard();
    stop(Status::kForked);
    return status_;
  }
  backend_->commit(size_bytes);
  return published(size_bytes, deadline, wake);
}
// Into our ring, where with more of them there may be nothing to do.
Status Sender::commit_for_later(std::size_t size_bytes, Deadline deadline) noexcept {
  if (status_ != Status::kOk) return status_;
  if (backend_->forked()) {
    stop(Status::kForked);
    return status_;
  }
  producer_.commit(size_bytes);
  return published(size_bytes, deadline, Wake::kLater);
}
void Sender::discard_elsewhere() noexcept {
  if (backend_ == nullptr) return;
  backend_->discard();
  if (backend_->wake() != nullptr) backend_->wake()->signal_anew();
}

// One message more than before, of `size_bytes`.
Status Sender::published(std::size_t size_bytes, Deadline deadline, Wake wake) noexcept {
  if (status_ != Status::kOk) return status_;
  if (wake == Wake::kLater || !backend_->tells_each()) {
    const Published message{1, record_header::footprint(size_bytes)};
    return tell(backend_->committed(producer_) - message, deadline, wake);
  }
  const Status status =
      backend_->forked() ? Status::kForked : backend_->published(notifier_, deadline);
  if (status != Status::kOk) {
    stop(status);
  } else if (backend_->wake() != nullptr) {
    backend_->wake()->signal_anew();
  }
  return status;
}

Status Sender::tell(const Published& before, Deadline deadline, Wake wake) noexcept {
  const Status status = backend_->tell(producer_, notifier_, before, wake, deadline);
  if (status != Status::kOk) {
    stop(status);
  } else if (backend_->wake() != nullptr) {
    backend_->wake()->signal_anew();
  }
  // Where each message passes by here anyway, it goes on to do so: a child of a fork is told.
  holds_ = backend_->held_back().any() && backend_->wake() == nullptr && notifier_.has_waiter() &&
           !backend_->looks();
  return status;
}

// Before any wait. Not of a handle that is over.
Status Sender::tell_all(Deadline deadline) noexcept {
  holds_ = false;
  if (backend_->forked()) return Status::kForked;
  const Status status = backend_->tell_all(notifier_, deadline);
  if (status != Status::kOk) stop(status);
  return status;
}

void Sender::wake_each() noexcept {
  if (backend_ == nullptr) return;
  // What is held already, too: nothing else might tell of it.
  if (status_ == Status::kOk && backend_->held_back().any()) {
    static_cast<void>(tell_all(Deadline::now()));
  }
  backend_->wake_each();
}

Status Sender::wait_until_read(Deadline deadline) noexcept {
  if (status_ != Status::kOk) return status_;
  if (!backend_->forked()) {
    if (const Status told = tell_all(Deadline::now()); told != Status::kOk) return told;
    give_way();
  }
  const Status status =
      backend_->forked() ? Status::kForked : backend_->flush(producer_, notifier_, deadline);
  if (detail::is_final(status)) stop(status);
  return status;
}

Status Sender::close(Deadline deadline) noexcept { return leave(status_, deadline); }

void Sender::break_off() noexcept {
  const Status status = status_ == Status::kOk ? Status::kClosed : status_;
  static_cast<void>(leave(status, last_deadline()));
}

// Of a handle that goes without having been closed.
Deadline Sender::last_deadline() const noexcept {
  return backend_ != nullptr ? Deadline::after(backend_->linger()) : Deadline::now();
}

// `status`: kOk if the stream has ended well.
Status Sender::leave(Status status, Deadline deadline) noexcept {
  if (backend_ == nullptr) return Status::kOk;
  backend_->drop_wake();
  Status result = Status::kForked;
  if (!backend_->forked()) result = backend_->close(producer_, notifier_, status, deadline);
  stop(Status::kClosed);
  elsewhere_ = true;  // a claim that is still held lies nowhere any more
  in_our_ring_ = false;
  notifier_ = Notifier();  // its words go away with the backend
  backend_ = nullptr;
  return result;
}

std::size_t Sender::max_message_bytes() const noexcept {
  return headers_.message_of(max_record_bytes());
}

std::size_t Sender::max_record_bytes() const noexcept {
  return backend_ != nullptr ? backend_->max_message_bytes(producer_)
                             : producer_.max_record_bytes();
}

detail::TsanSync Sender::tsan_sync() const noexcept { return detail::tsan_sync_of(backend_.get()); }

Status Sender::status() const noexcept { return status_; }

bool Sender::receiver_attached() const noexcept {
  return backend_ != nullptr && !backend_->forked() && backend_->receiver_attached();
}

// Before a wait for receivers: kOk, or why there is none.
Status Sender::prepare_to_meet() noexcept {
  if (status_ != Status::kOk) return status_;
  if (backend_->forked()) return Status::kForked;
  static_cast<void>(tell_all(Deadline::now()));
  if (status_ == Status::kOk) give_way();
  return status_;
}

Status Sender::wait_for_receiver(Deadline deadline) noexcept {
  const Status status = prepare_to_meet();
  return status == Status::kOk ? backend_->wait_for_receiver(notifier_, deadline) : status;
}

Status Sender::wait_for_receivers(std::uint32_t count, Deadline deadline) noexcept {
  const Status status = prepare_to_meet();
  return status == Status::kOk ? backend_->wait_for_receivers(notifier_, count, deadline) : status;
}

ChannelInfo Sender::info() const {
  ChannelInfo info;
  info.max_message_bytes = max_message_bytes();
  info.header_bytes = headers_.bytes;
  info.align_bytes = static_cast<std::uint32_t>(headers_.alignment());
  info.messages = producer_.sequence();
  if (backend_ == nullptr) return info;
  backend_->name(info);
  backend_->describe(producer_, info);
  info.max_message_bytes = max_message_bytes();  // of the ring it says what a record has
  return info;
}

// What had been published before it.
Published Sender::begin_batch() noexcept {
  if (backend_ == nullptr) return {};
  // Its messages would lie in the way of the parent's.
  if (backend_->forked()) stop(Status::kForked);
  const Published before = backend_->committed(producer_);
  backend_->begin_batch(producer_);
  return before;
}
void Sender::abandon_batch() noexcept {
  if (backend_ == nullptr) return;
  backend_->abandon_batch(producer_);
  // There is the room again behind which the descriptor may have been put to sleep.
  if (backend_->wake() != nullptr) backend_->wake()->signal();
}

std::byte* Sender::Batch::add(std::size_t record_bytes) noexcept {
  if (std::byte* const bytes = sender_->producer_.try_reserve(record_bytes)) [[likely]] {
    sender_->producer_.commit(record_bytes);
    return bytes;
  }
  Sender& sender = *sender_;
  sender.refusal_ = sender.status_;
  if (sender.status_ != Status::kOk) return nullptr;
  std::byte* const bytes =
      sender.backend_->add(sender.producer_, sender.notifier_, record_bytes, sender.refusal_);
  if (detail::is_final(sender.refusal_)) sender.stop(sender.refusal_);
  if (sender.refusal_ != Status::kWouldBlock || bytes != nullptr) return bytes;
  // As ask_backend(): what was sent before the batch.
  sender.refusal_ = sender.tell_all(Deadline::now());
  if (sender.refusal_ != Status::kOk) return nullptr;
  sender.refusal_ = Status::kWouldBlock;
  // Room for a batch's next message is room all the same.
  if (sender.backend_->wake() != nullptr) static_cast<void>(sender.rest(record_bytes));
  return nullptr;
}

Status Sender::Batch::send_all(Deadline deadline, Wake wake) noexcept {
  Sender& sender = *std::exchange(sender_, nullptr);
  if (sender.status_ == Status::kOk && sender.backend_->forked()) sender.stop(Status::kForked);
  if (sender.status_ != Status::kOk) {
    sender.abandon_batch();
    return sender.status_;
  }
  Status status = sender.backend_->commit_batch(sender.producer_, sender.notifier_, deadline);
  if (status == Status::kOk && (wake == Wake::kLater || sender.notifier_.wanted())) {
    status = sender.tell(before_, deadline, wake);
  }
  if (detail::is_final(status)) {
    sender.stop(status);
  } else if (sender.backend_->wake() != nullptr) {
    sender.backend_->wake()->signal();
  }
  return status;
}

}  // namespace rondo::inline RONDO_ABI

namespace rondo::inline RONDO_ABI::detail {

TsanSync tsan_sync_of(const Named* channel) noexcept {
  constexpr std::size_t kChannels = 512;
  static std::array<std::array<std::uint64_t, 2>, kChannels> words;  // never written
  if (RONDO_THREAD_SANITIZER != 0 || channel == nullptr) return {};
  auto& [messages, room] = words[std::hash<std::string>{}(channel->name()) % kChannels];
  return {&messages, &room};
}

}  // namespace rondo::inline RONDO_ABI::detail
