#include "endpoint/broadcast.hpp"

#include <algorithm>
#include <bit>
#include <chrono>
#include <utility>

namespace rondo::inline RONDO_ABI::detail {

void fill_in_participant(const std::vector<ParticipantInfo>& participants, std::uint32_t slot,
                         ReaderInfo& reader) {
  const auto found = std::ranges::find(participants, slot, &ParticipantInfo::slot);
  if (found == participants.end()) return;
  reader.alive = found->alive;
  reader.pid = found->pid;
  reader.participant = found->name;
}

void look_at_readers(const RecordParts& parts, std::uint64_t sent, Position tail,
                     ChannelInfo& info) {
  say_kind(parts, info);
  auto* const several = std::get_if<BroadcastInfo>(&info.kind);
  if (several == nullptr) return;
  for (std::uint32_t i = 0; i < parts.readers; ++i) {
    const RecordConsumerPart& part = parts.consumer_at(i);
    // relaxed, all of these: for people.
    constexpr auto kRelaxed = std::memory_order_relaxed;
    const std::uint64_t state = part.state.load(kRelaxed);
    ReaderInfo reader;
    reader.reader = i;
    reader.policy = reader_state::policy_of(state);
    if (reader.policy == ReaderPolicy::kNone) continue;
    fill_in_participant(info.participants, record_ring::kConsumerSlot + i, reader);
    reader.evicted = parts.producer->evicted[i].load(kRelaxed) == state;
    reader.name = reader_name(part);
    // One without a name that has left will not come back.
    const bool left = reader.policy == ReaderPolicy::kDetached;
    if (left && !reader.alive && reader.name.empty()) continue;
    if (const auto stats = read_stats(part)) {
      reader.before = stats->next - stats->received - stats->lost;
      reader.received = stats->received;
      reader.lost = stats->lost;
      reader.to_come = stats->next <= sent ? sent - stats->next : 0;
      const std::uint64_t behind = tail - stats->position;
      reader.behind_bytes = behind < std::uint64_t{1} << 63 ? behind : 0;
    }
    if (reader.policy == ReaderPolicy::kReliable && !reader.evicted) {
      info.pending_bytes = std::max(info.pending_bytes, reader.behind_bytes);
    }
    several->readers.push_back(std::move(reader));
  }
}

std::string reader_name(const RecordConsumerPart& part) {
  std::string name;
  for (std::size_t at = 0; at < kReaderNameBytes; ++at) {
    // relaxed: for people.
    const std::uint64_t word = part.name[at / 8].load(std::memory_order_relaxed);
    const auto byte = static_cast<unsigned char>(word >> at % 8 * 8);
    if (byte == 0) break;
    name += byte < 0x20 || byte > 0x7e ? '?' : static_cast<char>(byte);
  }
  return name;
}

namespace {

// A reader sleeps on its own word for space; the producer on that of the slowest.
void listen_to_the_slowest(Waiter& waiter, const RecordParts& parts,
                           const record_ring::Producer& producer) noexcept {
  if (const auto held = producer.gating_reader()) {
    waiter.listen_to(parts.consumer_at(held->reader).space_notifier);
  }
}

class SlowestBell {
 public:
  SlowestBell(Waiter& waiter, const RecordParts& parts,
              const record_ring::Producer& producer) noexcept
      : waiter_(waiter), parts_(parts), producer_(producer) {}

  template <class Ready>
  bool sleep_once(Ready&& ready, Deadline deadline) noexcept {
    listen_to_the_slowest(waiter_, parts_, producer_);
    return waiter_.sleep_once(ready, deadline);
  }

 private:
  Waiter& waiter_;
  const RecordParts& parts_;
  const record_ring::Producer& producer_;
};

}  // namespace

BroadcastSender::BroadcastSender(std::unique_ptr<Membership> membership,
                                 const record_ring::Producer& producer, const Url& url,
                                 const OpenOptions& options)
    : RecordSender(url),
      membership_(std::move(membership)),
      parts_(producer.parts()),
      bell_(parts_.producer->record_notifier),
      waiter_(parts_.producer->space_waiter, parts_.consumer_at(0).space_notifier),
      strategy_(url.options.wait, options.stop),
      keep_(url.options.keep),
      evict_(url.options.evict),
      on_slow_(options.on_slow_reader) {
  watch_new_readers();
}

// Readers that are attached, and have joined.
std::uint32_t BroadcastSender::attached() noexcept {
  std::uint32_t count = 0;
  for (std::uint32_t i = 0; i < parts_.readers; ++i) {
    // relaxed: a reader that is just coming counts at the next look.
    const auto policy =
        reader_state::policy_of(parts_.consumer_at(i).state.load(std::memory_order_relaxed));
    if (policy == ReaderPolicy::kNone || policy == ReaderPolicy::kDetached) continue;
    count += membership_->reader(i) == Presence::kPresent ? 1 : 0;
  }
  return count;
}

// Readers that said that they may sleep, and that bell_ does not look after yet. After a publish,
// its load stands behind the light fence as those of the waiters' words do; the line is our own,
// so it costs nothing while no reader comes.
std::uint64_t BroadcastSender::not_watched_yet() const noexcept {
  const std::uint64_t places = ~std::uint64_t{0} >> (kMaxReaders - parts_.readers);
  // relaxed: a reader sets its bit before its first sleep, so its heavy fence (F1) orders this load
  // after the publish as it orders the load of its word.
  return parts_.producer->awaiting.load(std::memory_order_relaxed) & places & ~watched_;
}

// From now on these are looked at after every publish.
void BroadcastSender::watch_new_readers() noexcept {
  for (std::uint64_t left = not_watched_yet(); left != 0; left &= left - 1) {
    const auto i = static_cast<std::uint32_t>(std::countr_zero(left));
    if (bell_.watch(parts_.consumer_at(i).record_waiter)) watched_ |= std::uint64_t{1} << i;
  }
}

Status BroadcastSender::published(Notifier&, Deadline) noexcept {
  const bool wanted = bell_.wanted();
  if (wanted || not_watched_yet() != 0) [[unlikely]] {
    bell_.ring([this] { watch_new_readers(); });
  }
  return Status::kOk;
}

bool BroadcastSender::would_wake(Notifier&) noexcept {
  watch_new_readers();
  return bell_.would_wake();
}

bool BroadcastSender::eviction_due(const GatingReader& held, std::chrono::nanoseconds standing) {
  if (evict_ && standing >= *evict_) return true;
  return on_slow_ && on_slow_({.reader = held.reader,
                               .name = reader_name(parts_.consumer_at(held.reader)),
                               .behind_bytes = held.behind_bytes,
                               .standing = standing});
}

// Waits no longer for the dead, nor for those due for eviction, until it is `enough`: the next
// slowest may not be slow at all.
template <class Enough>
void BroadcastSender::check_gating_reader(record_ring::Producer& producer,
                                          Enough&& enough) noexcept {
  // One whose state word never stands still is held for a newcomer again and again.
  for (std::uint32_t turn = 0; turn < kMaxReaders; ++turn) {
    const auto held = producer.gating_reader();
    if (!held) return;
    if (membership_->reader(held->reader) != Presence::kAbsent) {
      const auto now = Deadline::Clock::now();
      const bool same =
          standing_ && standing_->reader == held->reader && standing_->head == held->head;
      if (!same) since_ = now;
      standing_ = held;
      if (!eviction_due(*held, now - since_)) return;
    }
    producer.evict(held->reader);
    if (enough()) return;
  }
}

template <class Ready>
Status BroadcastSender::wait(record_ring::Producer& producer, Deadline deadline,
                             Ready&& ready) noexcept {
  const auto probe = [&] {
    if (membership_->damaged()) return true;
    check_gating_reader(producer, ready);
    return false;
  };
  SlowestBell bell(waiter_, parts_, producer);
  return status_of(strategy_.wait(bell, deadline, ready, probe), deadline, Status::kCorrupt);
}

Status BroadcastSender::wait_for_room(record_ring::Producer& producer, Notifier&,
                                      std::size_t size_bytes, Deadline deadline) noexcept {
  const auto room = [&] { return producer.try_reserve(size_bytes) != nullptr; };
  if (deadline != Deadline::now()) return wait(producer, deadline, room);
  if (!pacer_.due()) return Status::kWouldBlock;
  if (membership_->damaged()) return Status::kCorrupt;
  check_gating_reader(producer, room);
  return room() ? Status::kOk : Status::kWouldBlock;
}

Status BroadcastSender::flush(record_ring::Producer& producer, Notifier&,
                              Deadline deadline) noexcept {
  return wait(producer, deadline, [&] { return producer.drained(); });
}

Status BroadcastSender::close(record_ring::Producer& producer, Notifier&, Status status,
                              Deadline) noexcept {
  disarm();
  end_stream(producer, status);
  bell_.ring([this] { watch_new_readers(); });
  membership_->leave([&](bool last) { return last && !keep_ && !anything_unread(parts_); });
  return status;
}

Status BroadcastSender::wait_for_receivers(Notifier&, std::uint32_t count,
                                           Deadline deadline) noexcept {
  const auto came = [&] { return attached() >= count; };
  const auto damaged = [&] { return membership_->damaged(); };
  return status_of(strategy_.wait(waiter_, deadline, came, damaged), deadline, Status::kCorrupt);
}

PreparedWait BroadcastSender::announce(record_ring::Producer& producer, Notifier&,
                                       Fence fence) noexcept {
  listen_to_the_slowest(waiter_, parts_, producer);
  return waiter_.prepare_wait(fence);
}

bool BroadcastSender::has_room(record_ring::Producer& producer, std::size_t size_bytes) noexcept {
  return producer.try_reserve(size_bytes) != nullptr;
}

bool BroadcastSender::has_news(record_ring::Producer& producer, std::size_t size_bytes) noexcept {
  if (membership_->damaged()) return true;
  check_gating_reader(producer, [&] { return has_room(producer, size_bytes); });
  return has_room(producer, size_bytes);
}

// The bells of all readers. Whether one is due for eviction the owner alone can say, so it is asked
// each time.
std::uint64_t BroadcastSender::pulse() noexcept {
  if (evict_ || on_slow_) return ++pulses_;
  std::uint64_t sum = 0;
  for (std::uint32_t i = 0; i < parts_.readers; ++i) {
    // relaxed: who is told looks himself.
    sum += parts_.consumer_at(i).space_notifier.rings.load(std::memory_order_relaxed);
  }
  return sum;
}

std::uint64_t BroadcastSender::deaths() noexcept {
  if (membership_->damaged()) return ~std::uint64_t{0};
  std::uint64_t dead = 0;
  for (std::uint32_t i = 0; i < parts_.readers; ++i) {
    // relaxed: as above.
    const std::uint64_t state = parts_.consumer_at(i).state.load(std::memory_order_relaxed);
    const auto policy = reader_state::policy_of(state);
    if (policy == ReaderPolicy::kNone || policy == ReaderPolicy::kDetached) continue;
    if (membership_->reader(i) == Presence::kAbsent) {
      dead += death_mark(i, membership_->reader_joins(i));
    }
  }
  return dead;
}

std::optional<NativeHandle> BroadcastSender::closing() const noexcept {
  if (evict_ || on_slow_) return std::nullopt;
  return membership_->closing();
}

bool BroadcastSender::disarm() noexcept {
  waiter_.cancel_wait();
  return false;
}

void BroadcastSender::describe(const record_ring::Producer& producer, ChannelInfo& info) const {
  info.capacity_bytes = parts_.capacity;
  membership_->describe(info);
  look_at_readers(parts_, producer.sequence(), producer.position(), info);
}

Result<SenderParts> make_record_sender(std::unique_ptr<Membership> membership,
                                       const RecordParts& parts, const Url& url,
                                       const OpenOptions& options) {
  auto producer = record_ring::Producer::attach(parts);
  if (!producer) {
    // A ring that can't be used for want of memory, and that was never used, goes again: its
    // successor would begin at 0 and find nothing there.
    // relaxed: ordered by the membership.
    const auto checkpoint = read_checkpoint(*parts.producer);
    const bool fresh = producer.error().code == ErrorCode::kNoSpace && checkpoint &&
                       checkpoint->position == 0 &&
                       parts.header_at(0).load(std::memory_order_relaxed) == 0;
    membership->leave([&](bool last) { return last && fresh; });
    return not_taken_up(url, producer.error());
  }
  if (parts.readers > 1) {
    auto backend =
        std::make_unique<BroadcastSender>(std::move(membership), *producer, url, options);
    // A notifier bound to no waiter: every publish comes to published(), which looks at all
    // readers.
    return SenderParts{*std::move(producer), Notifier(), std::move(backend)};
  }
  auto backend = std::make_unique<RingSender>(std::move(membership), *producer, url, options);
  return SenderParts{*std::move(producer),
                     Notifier(parts.consumer->record_waiter, parts.producer->record_notifier),
                     std::move(backend)};
}

}  // namespace rondo::inline RONDO_ABI::detail
