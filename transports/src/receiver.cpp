#include "rondo/transports/receiver.hpp"

#include <array>
#include <utility>

#include "endpoint/backend.hpp"
#include "open/open.hpp"
#include "rondo/core/out_of_memory.hpp"
#include "rondo/transports/sender.hpp"

namespace rondo::inline RONDO_ABI {
namespace detail {

record_ring::Consumer closed_consumer() noexcept {
  static RecordProducerPart producer{};
  static RecordConsumerPart consumer{};
  alignas(kSharingRange) static std::array<std::byte, record_ring::kMinCapacity> records{};
  const RecordParts parts{&producer, &consumer, records.data(), records.size()};
  return *record_ring::Consumer::attach(parts, Acknowledge::kLazily, Pacing::kOff);
}

}  // namespace detail

Result<Receiver> Receiver::open(std::string_view url, const OpenOptions& options) {
  Result<detail::ReceiverParts> parts = detail::open_receiver(url, options);
  if (!parts) return std::move(parts).error();
  return Receiver(std::move(parts).value());
}

Receiver::Receiver(detail::ReceiverParts&& parts) noexcept
    : consumer_(std::move(parts.consumer)),
      notifier_(parts.notifier),
      elsewhere_(parts.elsewhere),
      gives_back_slowly_(parts.elsewhere),
      headers_(parts.headers),
      polls_per_fetch_(parts.polls_per_fetch),
      backend_(std::move(parts.backend)),
      mpmc_(parts.mpmc),
      held_in_(parts.mpmc) {}

Receiver::Receiver(Receiver&& other) noexcept
    : consumer_(std::exchange(other.consumer_, detail::closed_consumer())),
      notifier_(std::exchange(other.notifier_, Notifier())),
      status_(std::exchange(other.status_, Status::kClosed)),
      elsewhere_(other.elsewhere_),
      gives_back_slowly_(other.gives_back_slowly_),
      headers_(other.headers_),
      polls_per_fetch_(other.polls_per_fetch_),
      backend_(std::move(other.backend_)),
      mpmc_(std::exchange(other.mpmc_, nullptr)),
      held_in_(std::exchange(other.held_in_, nullptr)) {}

Receiver& Receiver::operator=(Receiver&& other) noexcept {
  if (this == &other) return *this;
  detach();
  consumer_ = std::exchange(other.consumer_, detail::closed_consumer());
  notifier_ = std::exchange(other.notifier_, Notifier());
  status_ = std::exchange(other.status_, Status::kClosed);
  elsewhere_ = other.elsewhere_;
  gives_back_slowly_ = other.gives_back_slowly_;
  headers_ = other.headers_;
  polls_per_fetch_ = other.polls_per_fetch_;
  backend_ = std::move(other.backend_);
  mpmc_ = std::exchange(other.mpmc_, nullptr);
  held_in_ = std::exchange(other.held_in_, nullptr);
  return *this;
}

Receiver::~Receiver() { detach(); }

std::span<const std::byte> Receiver::behind_header(std::span<const std::byte> record,
                                                   Deadline deadline) noexcept {
  // What was overwritten while we looked is a loss, of which the next look tells. That it looks
  // like a record all the same is rare: a sender that makes it so each time would keep us for ever.
  constexpr int kTurns = 4;
  const auto overwritten = [&] {
    return record.data() != nullptr && record.size() < headers_.room && !consumer_.intact();
  };
  for (int turn = 0; turn < kTurns && overwritten(); ++turn) {
    give_back();
    record = fetch_record_slowly(deadline);
  }
  if (record.data() == nullptr) return {};
  if (record.size() >= headers_.room) {
    return record.subspan(headers_.offset_in(record.data()), headers_.message_of(record.size()));
  }
  // In our own ring it stays where it is, in the way of all that follows.
  if (elsewhere_) give_back();
  mpmc_ = nullptr;
  refusal_ = status_ = Status::kCorrupt;
  return {};
}

std::span<const std::byte> Receiver::fetch_slowly(Deadline deadline) noexcept {
  return message_in(fetch_record_slowly(deadline), deadline);
}

std::span<const std::byte> Receiver::fetch_record_slowly(Deadline deadline) noexcept {
  refusal_ = status_;
  if (status_ != Status::kOk) return {};
  if (!elsewhere_) {
    if (consumer_.try_peek() == ReadOutcome::kMessage) return peeked();
    // The look that found nothing has told the sender of all the space there is.
    if (notifier_.wanted()) ring();
    const bool over = consumer_.outcome() != ReadOutcome::kEmpty;
    if (deadline == Deadline::now() && !over && (++polls_ & (polls_per_fetch_ - 1)) != 0) {
      refusal_ = Status::kWouldBlock;
      return {};
    }
    if (deadline != Deadline::now() && !over && polls_per_fetch_ > 1) {
      // An answer is often on its way already, and the way to a proper wait and back is longer than
      // its own: 80 of the 215 ns of a round trip, with this loop inside the wait.
      constexpr int kPolls = 16;
      for (int i = 0; i < kPolls; ++i) {
        cpu_relax();
        if (consumer_.try_peek() == ReadOutcome::kMessage) return peeked();
      }
    }
    if (backend_->forked()) {
      refusal_ = status_ = Status::kForked;
      return {};
    }
  }
  return backend_->wake() == nullptr ? ask_backend(deadline) : fetch_or_rest(deadline);
}

std::span<const std::byte> Receiver::ask_backend(Deadline deadline) noexcept {
  const std::span<const std::byte> bytes = backend_->fetch(consumer_, deadline, refusal_);
  if (detail::is_final(refusal_)) {
    status_ = refusal_;
    mpmc_ = nullptr;  // what others send from now on is not for a stream that is over
  }
  return bytes;
}

// With a descriptor: who finds nothing lets it sleep, and who waits does so as ever, with the bell
// to itself.
std::span<const std::byte> Receiver::fetch_or_rest(Deadline deadline) noexcept {
  constexpr int kTurns = 4;  // somebody may make us look again and again
  WakeDescriptor& wake = *backend_->wake();
  const bool waits = deadline != Deadline::now();
  // What lies in our own ring has been looked for.
  if (!elsewhere_ && !waits && wake.asleep()) {
    refusal_ = Status::kWouldBlock;
    return {};
  }
  std::span<const std::byte> bytes;
  for (int turn = 0; turn < kTurns; ++turn) {
    bytes = ask_backend(Deadline::now());
    if (bytes.data() != nullptr || status_ != Status::kOk) break;
    if (waits) {
      wake.interrupt();
      backend_->disarm();
      bytes = ask_backend(deadline);
      if (bytes.data() == nullptr && status_ == Status::kOk) static_cast<void>(rest());
      break;
    }
    if (rest()) return {};
  }
  if (status_ != Status::kOk) {
    wake.signal();
  } else if (bytes.data() != nullptr) {
    wake.holds_more();
  }
  return bytes;
}

// Lets the descriptor sleep. False: there is something, and it is readable.
bool Receiver::rest() noexcept {
  WakeDescriptor& wake = *backend_->wake();
  if (wake.asleep()) return true;
  if (wake.clear()) backend_->expect_news();
  backend_->disarm();  // what a wake was spent on, the look finds
  const std::optional<detail::Arming> arming = backend_->arm(consumer_, notifier_);
  if (arming && !arming->may_sleep) {
    wake.signal();
    return false;
  }
  wake.sleep(arming ? arming->wait : PreparedWait());
  return true;
}

Result<NativeHandle> Receiver::fd() {
  bool made = false;
  auto fd =
      detail::refuse_without_memory([&] { return detail::descriptor_of(backend_.get(), made); });
  if (!made) return fd;
  gives_back_slowly_ = true;
  mpmc_ = nullptr;
  polls_per_fetch_ = 1;
  backend_->expect_news();  // of what came before the thread that looks for it
  if (!arm()) backend_->wake()->signal();
  return fd;
}

bool Receiver::arm() noexcept {
  if (status_ != Status::kOk || !fd()) return false;
  if (!elsewhere_) {
    // Found, it is still there to be taken.
    if (consumer_.at_record()) return false;
    if (fetch_or_rest(Deadline::now()).data() != nullptr || status_ != Status::kOk) return false;
  }
  return rest();
}

void Receiver::give_back_slowly() noexcept {
  if (elsewhere_) {
    if (backend_ != nullptr) backend_->give_back();
  } else if (consumer_.give_back() && notifier_.wanted()) {
    ring();
  }
  // Also behind the last one: no bell rings for the next, as we have not found nothing yet.
  if (backend_ != nullptr && backend_->wake() != nullptr) backend_->wake()->signal_anew();
}

void Receiver::acknowledge() noexcept {
  if (backend_ == nullptr || elsewhere_ || backend_->forked()) return;
  if (consumer_.publish() && notifier_.wanted()) ring();
}

void Receiver::ring() noexcept { static_cast<void>(notifier_.ring()); }

void Receiver::detach() noexcept {
  if (backend_ == nullptr) return;
  backend_->drop_wake();
  if (!backend_->forked()) backend_->detach(consumer_, notifier_);
  if (status_ == Status::kOk) status_ = Status::kClosed;
  consumer_ = detail::closed_consumer();
  notifier_ = Notifier();  // its words go away with the backend
  backend_ = nullptr;
  mpmc_ = nullptr;
  held_in_ = nullptr;
}

std::uint64_t Receiver::lost() const noexcept {
  return backend_ != nullptr ? backend_->lost(consumer_) : consumer_.lost();
}

detail::TsanSync Receiver::tsan_sync() const noexcept {
  return detail::tsan_sync_of(backend_.get());
}

std::size_t Receiver::max_message_bytes() const noexcept {
  return headers_.message_of(backend_ != nullptr ? backend_->max_message_bytes(consumer_)
                                                 : consumer_.max_record_bytes());
}

ChannelInfo Receiver::info() const {
  ChannelInfo info;
  info.max_message_bytes = max_message_bytes();
  info.header_bytes = headers_.bytes;
  info.align_bytes = static_cast<std::uint32_t>(headers_.alignment());
  info.messages = consumer_.sequence();
  if (backend_ == nullptr) return info;
  backend_->name(info);
  backend_->describe(consumer_, info);
  info.max_message_bytes = max_message_bytes();  // of the ring it says what a record has
  return info;
}

Result<std::pair<Sender, Receiver>> open_pair(std::string_view url, const OpenOptions& options) {
  Result<detail::PairParts> parts = detail::open_both(url, options);
  if (!parts) return std::move(parts).error();
  return std::pair(Sender(std::move(parts->first)), Receiver(std::move(parts->second)));
}

}  // namespace rondo::inline RONDO_ABI
