#include "endpoint/mpmc.hpp"

#include <algorithm>
#include <new>
#include <string>
#include <utility>

#include "open/growing_pause.hpp"

namespace rondo::inline RONDO_ABI::detail {
namespace {

constexpr std::uint32_t kEverybody = mpmc_limits::kMaxParticipants;

// For waits that no wake is meant for: a wake goes to one waiter, which has to take what it finds.
struct Nap {
  template <class Ready>
  [[nodiscard]] bool sleep_once(Ready&& ready, Deadline deadline) noexcept {
    pause.sleep(deadline);
    return ready();
  }

  GrowingPause pause;
};

// A caller told to try again at once does not sleep.
template <class Handle>
struct Restless {
  MpmcWaiter& waiter;
  const Handle& handle;

  template <class Ready>
  [[nodiscard]] bool sleep_once(Ready&& ready, Deadline deadline) noexcept {
    const bool again = handle.outcome() == decltype(handle.outcome())::kContended;
    return again ? ready() : waiter.sleep_once(ready, deadline);
  }
};

// Where the message begins in a record is what the address of the record makes of it.
void copy_aligned(std::span<const std::byte> from, std::span<std::byte> to,
                  const MessageHeaders& headers) noexcept {
  const std::size_t header = headers.header_room();
  const auto used = from.subspan(headers.offset_in(from.data()) - header,
                                 header + headers.message_of(from.size()));
  std::ranges::copy(used, to.subspan(headers.offset_in(to.data()) - header).begin());
}

}  // namespace

MpmcSender::MpmcSender(MpmcMembership membership, const Url& url, const OpenOptions& options)
    : SenderBackend(url),
      membership_(std::move(membership)),
      path_(membership_.ring(), membership_.slot()),
      strategy_(url.options.wait, options.stop),
      waiter_(membership_.ring().sleeping_producers(), membership_.slot()),
      await_successor_(url.options.await_successor || options.await_successor),
      keep_(url.options.keep),
      before_(membership_.ring().consuming().count()) {
  membership_.ring().producing().enter(membership_.slot());
  // Receivers may be asleep, waiting for a sender.
  path_.receivers_bell().ring(kEverybody);
}

std::size_t MpmcSender::max_message_bytes(const record_ring::Producer&) const noexcept {
  return membership_.ring().parts().slot_bytes;
}

std::byte* MpmcSender::reserve(record_ring::Producer&, Notifier&, std::size_t size_bytes,
                               Deadline deadline, Status& refusal) noexcept {
  if (forked()) {
    refusal = Status::kForked;
    return nullptr;
  }
  if (size_bytes > producer().max_message_bytes()) {
    refusal = Status::kTooLarge;
    return nullptr;
  }
  return wait_for_slot(deadline, refusal);
}

// Whether receivers came, and none of them is left.
bool MpmcSender::no_receivers() const noexcept {
  const MpmcPresence::Count now = membership_.ring().consuming().count();
  return now.present == 0 && now.gone() > before_.gone();
}

Status MpmcSender::why_no_receivers() const noexcept {
  return membership_.ring().consuming().count().died > before_.died ? Status::kPeerDied
                                                                    : Status::kPeerGone;
}

// Looks after the dead, as every blocked participant does, and says if there is no other.
Status MpmcSender::no_peer_to_wait_for() noexcept {
  if (recovery_pacer_.due_by_time()) membership_.recover();
  if (membership_.damaged()) return Status::kCorrupt;
  return !await_successor_ && no_receivers() ? why_no_receivers() : Status::kWouldBlock;
}

// Waits until `ready`, or there is no peer to wait for.
template <class Bell, class Ready>
Status MpmcSender::wait(Bell& bell, Deadline deadline, Ready&& ready) noexcept {
  if (forked()) return Status::kForked;
  Status why = Status::kWouldBlock;
  const auto lost = [&] { return (why = no_peer_to_wait_for()) != Status::kWouldBlock; };
  const WaitResult result = strategy_.wait(bell, deadline, ready, lost);
  return status_of(result, deadline, why);
}

std::byte* MpmcSender::wait_for_slot(Deadline deadline, Status& refusal) noexcept {
  std::byte* bytes = nullptr;
  bool corrupt = producer().outcome() == ClaimOutcome::kCorrupt;
  const auto ready = [&] {
    if (bytes == nullptr && !corrupt) {
      bytes = producer().try_reserve();
      corrupt = bytes == nullptr && producer().outcome() == ClaimOutcome::kCorrupt;
    }
    return bytes != nullptr || corrupt;
  };
  // A polling caller asks after the dead now and then.
  const bool polls = deadline == Deadline::now() && !pacer_.due();
  Restless<MpmcRing::Producer> bell{waiter_, producer()};
  if (polls) {
    refusal = ready() ? Status::kOk : Status::kWouldBlock;
  } else {
    refusal = wait(bell, deadline, ready);
  }
  if (deadline == Deadline::now() && !polls && refusal == Status::kWouldBlock) {
    refusal = no_peer_to_wait_for();
    if (ready()) refusal = Status::kOk;
  }
  if (corrupt) refusal = Status::kCorrupt;
  return bytes;
}

std::byte* MpmcSender::add(record_ring::Producer&, Notifier&, std::size_t size_bytes,
                           Status& refusal) noexcept {
  refusal = Status::kTooLarge;
  if (size_bytes > producer().max_message_bytes()) return nullptr;
  refusal = Status::kWouldBlock;
  const std::uint64_t most =
      std::min<std::uint64_t>(membership_.ring().capacity(), mpmc_announcement::kMaxCount);
  if (added_ == most) return nullptr;
  try {
    if (added_ == batch_.size()) batch_.emplace_back();
    // So that an empty message has an address, too.
    batch_[added_].reserve(std::max<std::size_t>(size_bytes, 1));
    batch_[added_].resize(size_bytes);
  } catch (const std::bad_alloc&) {
    refusal = Status::kNoMemory;
    return nullptr;
  }
  return batch_[added_++].data();
}

Status MpmcSender::commit_batch(record_ring::Producer&, Notifier& notifier,
                                Deadline deadline) noexcept {
  const auto count = static_cast<std::uint32_t>(std::exchange(added_, 0));
  if (count == 0) return Status::kOk;
  std::optional<MpmcRing::Producer::Claim> claim;
  const auto ready = [&] {
    if (!claim) {
      if (auto got = producer().try_claim(count)) claim.emplace(*std::move(got));
    }
    return claim.has_value() || producer().outcome() == ClaimOutcome::kCorrupt;
  };
  // As before any wait: those who would make room may sleep.
  if (!forked() && !ready()) static_cast<void>(tell_all(notifier, Deadline::now()));
  Nap nap;
  const Status status = wait(nap, deadline, ready);
  if (!claim) return status == Status::kOk ? Status::kCorrupt : status;
  for (std::uint32_t i = 0; i < count; ++i) {
    const std::vector<std::byte>& message = batch_[i];
    std::ranges::copy(message, (*claim)[i].begin());
    claim->resize(i, message.size());
  }
  // Once more, so that without align= no message pays for it.
  for (std::uint32_t i = 0; headers_.aligns() && i < count; ++i) {
    copy_aligned(batch_[i], (*claim)[i], headers_);
  }
  std::move(*claim).commit();
  path_.count_batch(count);
  sent_to_ = producer().first() + count;
  return Status::kOk;
}

// As many receivers as there are messages that none was woken for; but while we wake one after the
// other, those who are awake already may take them all.
Status MpmcSender::published(Notifier&, Deadline) noexcept {
  MpmcNotifier& bell = path_.receivers_bell();
  const std::uint64_t messages =
      held_back().any() ? path_.sent() - held_back().before().messages : 1;
  if (bell.wanted()) {
    bell.ring(static_cast<std::uint32_t>(std::min<std::uint64_t>(messages, kEverybody)),
              [this] { return membership_.ring().size() != 0; });
  }
  return Status::kOk;
}

// Looks at `most` slots; false if there are more of them.
bool MpmcSender::all_read(std::uint64_t most) noexcept {
  if (path_.sent() == 0) return true;
  const Position until = std::max(sent_to_, producer().first() + 1);
  return membership_.ring().given_back(read_to_, until, most);
}

Status MpmcSender::flush(record_ring::Producer&, Notifier&, Deadline deadline) noexcept {
  Nap nap;
  return wait(nap, deadline, [&] { return all_read(kMpmcSlotsPerSearch); });
}

Status MpmcSender::close(record_ring::Producer&, Notifier&, Status status, Deadline) noexcept {
  const MpmcRing& ring = membership_.ring();
  // A wake that was spent on us is another sender's.
  if (disarm()) MpmcNotifier(ring.sleeping_producers()).ring(1);
  Status told = no_receivers() && !all_read() ? why_no_receivers() : Status::kOk;
  const auto orderly_close = [&](bool) {
    // A sender that failed, gave up or lost its peer does not say that this was all.
    if (status == Status::kOk) {
      ring.producing().leave(membership_.slot());
    } else {
      ring.producing().give_up(membership_.slot());
    }
    path_.receivers_bell().ring(kEverybody);
    return false;
  };
  // What was committed and not read stays for a receiver that is still to come; unless it is all
  // ours, and our receivers did not want it, which the caller is told. One that breaks off is told
  // nothing, and no news of ours are a reason to throw away what another one sent.
  const auto only_ours = [&] {
    const MpmcPresence::Count senders = ring.producing().count();
    return senders.present == 0 && senders.gone() == 1;
  };
  membership_.leave(keep_, orderly_close, [&](bool) {
    const bool refused = !await_successor_ && status != Status::kClosed && only_ours() &&
                         no_receivers() && why_no_receivers() == Status::kPeerGone;
    if (refused) told = Status::kPeerGone;
    return refused;
  });
  return status != Status::kOk ? status : told;
}

bool MpmcSender::receiver_attached() noexcept {
  membership_.recover();
  return membership_.ring().consuming().count().present != 0;
}

Status MpmcSender::wait_for_receiver(Notifier&, Deadline deadline) noexcept {
  const auto came = [&] {
    const MpmcPresence::Count now = membership_.ring().consuming().count();
    return now.present != 0 || now.gone() > before_.gone();
  };
  membership_.recover();
  Nap nap;
  return wait(nap, deadline, came);
}

PreparedWait MpmcSender::announce(record_ring::Producer&, Notifier&, Fence fence) noexcept {
  return waiter_.prepare_wait(fence);
}

bool MpmcSender::has_room(record_ring::Producer&, std::size_t) noexcept {
  if (producer().might_claim() || producer().outcome() == ClaimOutcome::kCorrupt) return true;
  if (await_successor_ || !no_receivers()) return false;
  pacer_.hurry();
  return true;
}

void MpmcSender::pass_on() noexcept {
  MpmcNotifier(membership_.ring().sleeping_producers()).ring(1);
}

bool MpmcSender::has_news(record_ring::Producer&, std::size_t) noexcept {
  return no_peer_to_wait_for() != Status::kWouldBlock;
}

// A wake goes to one. If that one makes nothing of it, there is room, and none of us is told: so
// who sleeps beside room hears of it each time.
std::uint64_t MpmcSender::pulse() noexcept {
  if (membership_.ring().size() < membership_.ring().capacity()) ++heard_of_;
  return membership_.pulse() + (heard_of_ << 32);
}

void MpmcSender::expect_news() noexcept {
  pacer_.hurry();
  recovery_pacer_.hurry();
}

void MpmcSender::describe(const record_ring::Producer&, ChannelInfo& info) const {
  membership_.describe(info);
  info.messages = path_.sent();
}

MpmcReceiver::MpmcReceiver(MpmcMembership membership, const Url& url, const OpenOptions& options)
    : ReceiverBackend(url),
      membership_(std::move(membership)),
      path_(membership_.ring(), membership_.slot()),
      strategy_(url.options.wait, options.stop),
      waiter_(membership_.ring().sleeping_consumers(), membership_.slot()),
      await_successor_(url.options.await_successor || options.await_successor),
      keep_(url.options.keep),
      senders_(std::max<std::uint64_t>(options.senders, 1)),
      epoch_(membership_.ring().producing().epoch() - 1) {
  membership_.ring().consuming().enter(membership_.slot());
}

std::size_t MpmcReceiver::max_message_bytes(const record_ring::Consumer&) const noexcept {
  return membership_.ring().parts().slot_bytes;
}

// Whether as many senders as there should be have gone, and all they sent has been read: by us or
// by others, and given back, for what others hold may still come to us.
bool MpmcReceiver::over() noexcept {
  const MpmcRing& ring = membership_.ring();
  const std::uint64_t epoch = ring.producing().epoch();
  const MpmcPresence::Count count = ring.producing().count();
  // One that was killed is waited for if a successor is to take its place.
  const std::uint64_t gone = await_successor_ ? count.left : count.gone();
  if (count.present != 0 || gone < senders_) {
    epoch_ = epoch;
    return false;
  }
  return ring.given_back(read_to_, ring.claimed(), kMpmcSlotsPerSearch);
}

Status MpmcReceiver::how_it_ended() noexcept {
  // The others find the same.
  MpmcNotifier(membership_.ring().sleeping_consumers()).ring(kEverybody);
  const bool died = !await_successor_ && membership_.ring().producing().count().died != 0;
  return died ? Status::kPeerDied : Status::kEnded;
}

std::span<const std::byte> MpmcReceiver::fetch(record_ring::Consumer&, Deadline deadline,
                                               Status& refusal) noexcept {
  refusal = Status::kForked;
  if (forked()) return {};
  std::span<const std::byte> bytes;
  bool ended = false;
  bool corrupt = consumer().outcome() == ReadOutcome::kCorrupt;
  const auto ready = [&] {
    if (bytes.data() == nullptr && !corrupt) {
      bytes = path_.try_peek();
      corrupt = bytes.data() == nullptr && consumer().outcome() == ReadOutcome::kCorrupt;
    }
    if (bytes.data() != nullptr || corrupt) return true;
    return ended = ended || (membership_.ring().producing().epoch() != epoch_ && over());
  };
  const auto lost = [&] {
    if (recovery_pacer_.due_by_time()) membership_.recover();
    return membership_.damaged() || (ended = ended || over());
  };
  WaitResult result = WaitResult::kTimedOut;
  Restless<MpmcRing::Consumer> bell{waiter_, consumer()};
  if (deadline != Deadline::now()) {
    result = strategy_.wait(bell, deadline, ready, lost);
  } else if (!ready() && pacer_.due() && lost()) {
    ready();
  }
  if (result == WaitResult::kInterrupted) {
    refusal = Status::kInterrupted;
  } else if (bytes.data() != nullptr) {
    refusal = Status::kOk;
  } else if (corrupt || membership_.damaged()) {
    refusal = Status::kCorrupt;
  } else {
    refusal = ended ? how_it_ended() : too_late(deadline);
  }
  return bytes;
}

PreparedWait MpmcReceiver::announce(Fence fence) noexcept { return waiter_.prepare_wait(fence); }

bool MpmcReceiver::has_message(record_ring::Consumer&, Notifier&) noexcept {
  return consumer().might_take() || consumer().outcome() == ReadOutcome::kCorrupt ||
         (membership_.ring().producing().epoch() != epoch_ && over());
}

void MpmcReceiver::pass_on() noexcept {
  MpmcNotifier(membership_.ring().sleeping_consumers()).ring(1);
}

bool MpmcReceiver::has_news() noexcept {
  if (recovery_pacer_.due_by_time()) membership_.recover();
  return membership_.damaged() || over();
}

// As a sender's, of messages.
std::uint64_t MpmcReceiver::pulse() noexcept {
  if (membership_.ring().size() != 0) ++heard_of_;
  return membership_.pulse() + (heard_of_ << 32);
}

void MpmcReceiver::expect_news() noexcept {
  pacer_.hurry();
  recovery_pacer_.hurry();
}

// Whether a sender is there, or has been and left something, if only its end.
bool MpmcReceiver::sender_joined() const noexcept {
  const MpmcPresence::Count count = membership_.ring().producing().count();
  return count.present != 0 || count.gone() != 0 || membership_.ring().size() != 0;
}

Status MpmcReceiver::wait_for_sender(Deadline deadline) noexcept {
  const auto came = [&] { return sender_joined(); };
  return await_sender(strategy_, waiter_, deadline, came,
                      [&] { return membership_.at_its_name(); });
}

void MpmcReceiver::detach(record_ring::Consumer&, Notifier&) noexcept {
  disarm();  // a wake that was spent on us: all others are woken below
  // Said beneath the lock, so that senders which hear it and leave, too, find it given back: what
  // was not read is in their hands then. Without a sender none is told of that: it stays for
  // another receiver.
  const auto orderly_close = [&](bool) {
    // One that leaves before a sender came was not there: no sender is to take it for its receiver.
    if (sender_joined()) {
      membership_.ring().consuming().leave(membership_.slot());
    } else {
      membership_.ring().consuming().withdraw(membership_.slot());
    }
    // Senders may wait for room that none will make, receivers for what this one still held.
    path_.senders_bell().ring(kEverybody);
    MpmcNotifier(membership_.ring().sleeping_consumers()).ring(kEverybody);
    return false;
  };
  membership_.leave(keep_, orderly_close, [](bool) { return false; });
}

void MpmcReceiver::describe(const record_ring::Consumer&, ChannelInfo& info) const {
  membership_.describe(info);
  info.messages = path_.received();
}

SenderParts make_mpmc_sender(MpmcMembership membership, const Url& url,
                             const OpenOptions& options) {
  auto backend = std::make_unique<MpmcSender>(std::move(membership), url, options);
  MpmcSendPath* const path = backend->path();
  return SenderParts{record_ring::Producer::shut(), Notifier(), std::move(backend), true, path};
}

Result<ReceiverParts> make_mpmc_receiver(MpmcMembership membership, const Url& url,
                                         const OpenOptions& options) {
  auto backend = std::make_unique<MpmcReceiver>(std::move(membership), url, options);
  const Status status = backend->wait_for_sender(options.wait);
  MpmcReceivePath* const path = backend->path();
  return finish_receiver(status, {closed_consumer(), Notifier(), std::move(backend), 1, true, path},
                         url);
}

Result<SenderParts> open_mpmc_sender(RingSegment found, const Url& url,
                                     const OpenOptions& options) {
  auto membership = MpmcMembership::take(std::move(found), url, options, Role::kProducer);
  if (!membership) return std::move(membership).error();
  return make_mpmc_sender(std::move(membership).value(), url, options);
}

Result<ReceiverParts> open_mpmc_receiver(RingSegment found, const Url& url,
                                         const OpenOptions& options) {
  auto membership = MpmcMembership::take(std::move(found), url, options, Role::kConsumer);
  if (!membership) return std::move(membership).error();
  return make_mpmc_receiver(std::move(membership).value(), url, options);
}

}  // namespace rondo::inline RONDO_ABI::detail
