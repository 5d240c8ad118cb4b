#include "endpoint/mpmc.hpp"

#include <algorithm>
#include <cstring>
#include <new>
#include <string>
#include <utility>

#include "open/growing_pause.hpp"

namespace rondo::inline RONDO_ABI::detail {
namespace {

constexpr std::uint32_t kEverybody = mpmc_limits::kMaxParticipants;

// For waits that no wake is meant for: a wake goes to one sleeper, which has to take what it finds.
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
  SlotSleeper& sleeper;
  const Handle& handle;

  template <class Ready>
  [[nodiscard]] bool sleep_once(Ready&& ready, Deadline deadline) noexcept {
    const bool again = handle.outcome() == decltype(handle.outcome())::kContended;
    return again ? ready() : sleeper.sleep_once(ready, deadline);
  }
};

}  // namespace

SlotSender::SlotSender(SlotSeat seat, const Url& url, const OpenOptions& options)
    : SenderBackend(url),
      seat_(std::move(seat)),
      path_(seat_.ring(), seat_.slot()),
      strategy_(url.options.wait, options.stop),
      sleeper_(seat_.ring().sleeping_producers(), seat_.slot()),
      linger_(url.options.linger || options.linger),
      keep_(url.options.keep),
      before_(seat_.ring().consuming().count()) {
  seat_.ring().producing().enter(seat_.slot());
  // Receivers may be asleep, waiting for a sender.
  path_.receivers_bell().ring(kEverybody);
}

std::size_t SlotSender::max_message_bytes(const record_ring::Producer&) const noexcept {
  return seat_.ring().parts().slot_bytes;
}

std::byte* SlotSender::reserve(record_ring::Producer&, Ringer&, std::size_t size_bytes,
                               Deadline deadline, Status& refusal) noexcept {
  if (size_bytes > producer().max_message_bytes()) {
    refusal = Status::kTooLarge;
    return nullptr;
  }
  return wait_for_slot(deadline, refusal);
}

Status SlotSender::send(record_ring::Producer& producer, Ringer& ringer,
                        std::span<const std::byte> message, Deadline deadline) noexcept {
  Status refusal = Status::kOk;
  std::byte* const bytes = reserve(producer, ringer, message.size(), deadline, refusal);
  if (bytes == nullptr) return refusal;
  if (!message.empty()) std::memcpy(bytes, message.data(), message.size());
  commit(message.size());
  return Status::kOk;
}

// Whether receivers came, and none of them is left.
bool SlotSender::deserted() const noexcept {
  const MpmcAttendance::Count now = seat_.ring().consuming().count();
  return now.present == 0 && now.gone() > before_.gone();
}

Status SlotSender::why_deserted() const noexcept {
  return seat_.ring().consuming().count().died > before_.died ? Status::kPeerDied
                                                              : Status::kPeerGone;
}

// Looks after the dead, as every blocked participant does, and says if there is no other.
Status SlotSender::nobody_to_wait_for() noexcept {
  if (recovery_pacer_.due_by_time()) seat_.recover();
  if (seat_.damaged()) return Status::kCorrupt;
  return !linger_ && deserted() ? why_deserted() : Status::kWouldBlock;
}

// Waits until `ready`, or there is no peer to wait for.
template <class Bell, class Ready>
Status SlotSender::wait(Bell& bell, Deadline deadline, Ready&& ready) noexcept {
  if (forked()) return Status::kForked;
  Status why = Status::kWouldBlock;
  const auto lost = [&] { return (why = nobody_to_wait_for()) != Status::kWouldBlock; };
  const WaitResult result = strategy_.wait(bell, deadline, ready, lost);
  return status_of(result, deadline, why);
}

std::byte* SlotSender::wait_for_slot(Deadline deadline, Status& refusal) noexcept {
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
  Restless<SlotRing::Producer> bell{sleeper_, producer()};
  refusal = polls ? Status::kWouldBlock : wait(bell, deadline, ready);
  if (deadline == Deadline::now() && !polls && refusal == Status::kWouldBlock) {
    refusal = nobody_to_wait_for();
    if (ready()) refusal = Status::kOk;
  }
  if (corrupt) refusal = Status::kCorrupt;
  return bytes;
}

std::byte* SlotSender::add(record_ring::Producer&, Ringer&, std::size_t size_bytes,
                           Status& refusal) noexcept {
  refusal = Status::kTooLarge;
  if (size_bytes > producer().max_message_bytes()) return nullptr;
  refusal = Status::kWouldBlock;
  const std::uint64_t most =
      std::min<std::uint64_t>(seat_.ring().capacity(), mpmc_announcement::kMaxCount);
  if (added_ == most) return nullptr;
  try {
    if (added_ == batch_.size()) batch_.emplace_back();
    // So that an empty message has an address, too.
    batch_[added_].reserve(std::max<std::size_t>(size_bytes, 1));
    batch_[added_].resize(size_bytes);
  } catch (const std::bad_alloc&) {
    return nullptr;
  }
  return batch_[added_++].data();
}

Status SlotSender::commit_batch(record_ring::Producer&, Ringer&, Deadline deadline) noexcept {
  const auto count = static_cast<std::uint32_t>(std::exchange(added_, 0));
  if (count == 0) return Status::kOk;
  std::optional<SlotRing::Producer::Claim> claim;
  const auto ready = [&] {
    if (!claim) {
      if (auto got = producer().try_claim(count)) claim.emplace(*std::move(got));
    }
    return claim.has_value() || producer().outcome() == ClaimOutcome::kCorrupt;
  };
  Nap nap;
  const Status status = wait(nap, deadline, ready);
  if (!claim) return status == Status::kOk ? Status::kCorrupt : status;
  for (std::uint32_t i = 0; i < count; ++i) {
    const std::vector<std::byte>& message = batch_[i];
    std::ranges::copy(message, (*claim)[i].begin());
    claim->resize(i, message.size());
  }
  std::move(*claim).commit();
  path_.count_batch(count);
  sent_to_ = producer().first() + count;
  path_.receivers_bell().notify(count);
  return Status::kOk;
}

// Looks at `most` slots; false if there are more of them.
bool SlotSender::all_read(std::uint64_t most) noexcept {
  if (path_.sent() == 0) return true;
  const Position until = std::max(sent_to_, producer().first() + 1);
  return seat_.ring().given_back(read_to_, until, most);
}

Status SlotSender::flush(record_ring::Producer&, Ringer&, Deadline deadline) noexcept {
  Nap nap;
  return wait(nap, deadline, [&] { return all_read(kMpmcSlotsPerSearch); });
}

Status SlotSender::close(record_ring::Producer&, Ringer&, Status status, Deadline) noexcept {
  const SlotRing& ring = seat_.ring();
  Status told = deserted() && !all_read() ? why_deserted() : Status::kOk;
  const auto farewell = [&](bool) {
    // A sender that failed, gave up or lost its peer does not say that this was all.
    if (status == Status::kOk) {
      ring.producing().leave(seat_.slot());
    } else {
      ring.producing().give_up(seat_.slot());
    }
    path_.receivers_bell().ring(kEverybody);
    return false;
  };
  // What was committed and not read stays for a receiver that is still to come; unless it is all
  // ours, and our receivers did not want it, which the caller is told. One that breaks off is told
  // nothing, and no news of ours are a reason to throw away what another one sent.
  const auto only_ours = [&] {
    const MpmcAttendance::Count senders = ring.producing().count();
    return senders.present == 0 && senders.gone() == 1;
  };
  seat_.leave(keep_, farewell, [&](bool) {
    const bool refused = !linger_ && status != Status::kClosed && only_ours() && deserted() &&
                         why_deserted() == Status::kPeerGone;
    if (refused) told = Status::kPeerGone;
    return refused;
  });
  return status != Status::kOk ? status : told;
}

bool SlotSender::receiver_attached() noexcept {
  seat_.recover();
  return seat_.ring().consuming().count().present != 0;
}

Status SlotSender::wait_for_receiver(Ringer&, Deadline deadline) noexcept {
  const auto came = [&] {
    const MpmcAttendance::Count now = seat_.ring().consuming().count();
    return now.present != 0 || now.gone() > before_.gone();
  };
  seat_.recover();
  Nap nap;
  return wait(nap, deadline, came);
}

std::optional<Arming> SlotSender::arm(record_ring::Producer&, std::size_t) noexcept {
  const auto ready = [&] {
    if (producer().might_claim() || producer().outcome() == ClaimOutcome::kCorrupt) return true;
    if (linger_ || !deserted()) return false;
    pacer_.hurry();
    return true;
  };
  const auto lost = [&] { return nobody_to_wait_for() != Status::kWouldBlock; };
  return arm_bell(sleeper_, pacer_, ready, lost);
}

void SlotSender::describe(const record_ring::Producer&, ChannelInfo& info) const {
  seat_.describe(info);
  info.messages = path_.sent();
}

SlotReceiver::SlotReceiver(SlotSeat seat, const Url& url, const OpenOptions& options)
    : ReceiverBackend(url),
      seat_(std::move(seat)),
      path_(seat_.ring(), seat_.slot()),
      strategy_(url.options.wait, options.stop),
      sleeper_(seat_.ring().sleeping_consumers(), seat_.slot()),
      linger_(url.options.linger || options.linger),
      keep_(url.options.keep),
      senders_(std::max<std::uint64_t>(options.senders, 1)),
      news_(seat_.ring().producing().news() - 1) {
  seat_.ring().consuming().enter(seat_.slot());
}

std::size_t SlotReceiver::max_message_bytes(const record_ring::Consumer&) const noexcept {
  return seat_.ring().parts().slot_bytes;
}

// Whether as many senders as there should be have gone, and all they sent has been read: by us or
// by others, and given back, for what others hold may still come to us.
bool SlotReceiver::over() noexcept {
  const SlotRing& ring = seat_.ring();
  const std::uint64_t news = ring.producing().news();
  const MpmcAttendance::Count count = ring.producing().count();
  // One that was killed is waited for if a successor is to take its place.
  const std::uint64_t gone = linger_ ? count.left : count.gone();
  if (count.present != 0 || gone < senders_) {
    news_ = news;
    return false;
  }
  return ring.given_back(read_to_, ring.claimed(), kMpmcSlotsPerSearch);
}

Status SlotReceiver::how_it_ended() noexcept {
  // The others find the same.
  SlotRinger(seat_.ring().sleeping_consumers()).ring(kEverybody);
  const bool died = !linger_ && seat_.ring().producing().count().died != 0;
  return died ? Status::kPeerDied : Status::kEnded;
}

std::span<const std::byte> SlotReceiver::fetch(record_ring::Consumer&, Deadline deadline,
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
    return ended = ended || (seat_.ring().producing().news() != news_ && over());
  };
  const auto lost = [&] {
    if (recovery_pacer_.due_by_time()) seat_.recover();
    return seat_.damaged() || (ended = ended || over());
  };
  WaitResult result = WaitResult::kTimedOut;
  Restless<SlotRing::Consumer> bell{sleeper_, consumer()};
  if (deadline != Deadline::now()) {
    result = strategy_.wait(bell, deadline, ready, lost);
  } else if (!ready() && pacer_.due() && lost()) {
    ready();
  }
  if (result == WaitResult::kInterrupted) {
    refusal = Status::kInterrupted;
  } else if (bytes.data() != nullptr) {
    refusal = Status::kOk;
  } else if (corrupt || seat_.damaged()) {
    refusal = Status::kCorrupt;
  } else {
    refusal = ended ? how_it_ended() : too_late(deadline);
  }
  return bytes;
}

std::optional<Arming> SlotReceiver::arm(record_ring::Consumer&, Ringer&) noexcept {
  const auto ready = [&] {
    return consumer().might_take() || consumer().outcome() == ReadOutcome::kCorrupt ||
           (seat_.ring().producing().news() != news_ && over());
  };
  const auto lost = [&] {
    if (recovery_pacer_.due_by_time()) seat_.recover();
    return seat_.damaged() || over();
  };
  return arm_bell(sleeper_, pacer_, ready, lost);
}

// Whether a sender is there, or has been and left something, if only its end.
bool SlotReceiver::someone_came() const noexcept {
  const MpmcAttendance::Count count = seat_.ring().producing().count();
  return count.present != 0 || count.gone() != 0 || seat_.ring().size() != 0;
}

Status SlotReceiver::wait_for_sender(Deadline deadline) noexcept {
  const auto came = [&] { return someone_came(); };
  return wait_for_a_sender(strategy_, sleeper_, deadline, came,
                           [&] { return seat_.at_its_name(); });
}

void SlotReceiver::detach(record_ring::Consumer&, Ringer&) noexcept {
  // Said beneath the lock, so that senders which hear it and leave, too, find it given back: what
  // was not read is in their hands then. Without a sender none is told of that: it stays for
  // another receiver.
  const auto farewell = [&](bool) {
    // One that leaves before a sender came was not there: no sender is to take it for its receiver.
    if (someone_came()) {
      seat_.ring().consuming().leave(seat_.slot());
    } else {
      seat_.ring().consuming().withdraw(seat_.slot());
    }
    // Senders may wait for room that none will make, receivers for what this one still held.
    path_.senders_bell().ring(kEverybody);
    SlotRinger(seat_.ring().sleeping_consumers()).ring(kEverybody);
    return false;
  };
  seat_.leave(keep_, farewell, [](bool) { return false; });
}

void SlotReceiver::describe(const record_ring::Consumer&, ChannelInfo& info) const {
  seat_.describe(info);
  info.messages = path_.received();
}

SenderParts make_slot_sender(SlotSeat seat, const Url& url, const OpenOptions& options) {
  auto backend = std::make_unique<SlotSender>(std::move(seat), url, options);
  MpmcSendPath* const path = backend->path();
  return SenderParts{record_ring::Producer::shut(), Ringer(), std::move(backend), true, path};
}

Result<ReceiverParts> make_slot_receiver(SlotSeat seat, const Url& url,
                                         const OpenOptions& options) {
  auto backend = std::make_unique<SlotReceiver>(std::move(seat), url, options);
  const Status status = backend->wait_for_sender(options.wait);
  MpmcReceivePath* const path = backend->path();
  return when_a_sender_came(status, {shut_consumer(), Ringer(), std::move(backend), 1, true, path},
                            url);
}

Result<SenderParts> open_slot_sender(RingSegment found, const Url& url,
                                     const OpenOptions& options) {
  auto seat = SlotSeat::take(std::move(found), url, options, Role::kProducer);
  if (!seat) return std::move(seat).error();
  return make_slot_sender(std::move(seat).value(), url, options);
}

Result<ReceiverParts> open_slot_receiver(RingSegment found, const Url& url,
                                         const OpenOptions& options) {
  auto seat = SlotSeat::take(std::move(found), url, options, Role::kConsumer);
  if (!seat) return std::move(seat).error();
  return make_slot_receiver(std::move(seat).value(), url, options);
}

}  // namespace rondo::inline RONDO_ABI::detail
