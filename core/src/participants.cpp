#include <algorithm>
#include <array>
#include <chrono>
#include <cstring>
#include <new>
#include <utility>

#include "byte_lock.hpp"
#include "rondo/core/arrival.hpp"
#include "rondo/core/liveness.hpp"
#include "rondo/core/os.hpp"
#include "rondo/core/out_of_memory.hpp"
#include "rondo/core/participants.hpp"
#include "rondo/core/unix_time.hpp"

namespace rondo::inline RONDO_ABI {
namespace {

// relaxed throughout this file: the table is for people, and each word tells only itself, but for
// the two in arrival.hpp.
constexpr auto kRelaxed = std::memory_order_relaxed;

using NameBytes = std::array<char, kParticipantNameBytes>;

// A tenure is a term of a slot: of the generation, what fits.
constexpr std::uint32_t kTerms = (std::uint32_t{1} << kTenureBits) / kFirstTenure;

// How many bytes the character at the start of `text` has; 0 if it is broken, a control character,
// or one that changes the direction of what_ follows.
std::size_t printable_bytes(std::string_view text) noexcept {
  const auto byte = [&](std::size_t i) { return static_cast<unsigned char>(text[i]); };
  if (byte(0) < 0x80) return byte(0) >= 0x20 && byte(0) != 0x7F ? 1 : 0;
  const std::size_t length = byte(0) >= 0xF0 ? 4 : byte(0) >= 0xE0 ? 3 : 2;
  if (byte(0) < 0xC2 || byte(0) > 0xF4 || text.size() < length) return 0;
  std::uint32_t code = byte(0) & (0x7Fu >> length);
  for (std::size_t i = 1; i < length; ++i) {
    if ((byte(i) & 0xC0) != 0x80) return 0;
    code = code << 6 | (byte(i) & 0x3Fu);
  }
  constexpr std::array<std::uint32_t, 5> kSmallest = {0, 0, 0x80, 0x800, 0x10000};
  const bool sound = code >= kSmallest[length] && code <= 0x10FFFF && (code >> 11) != 0x1B;
  const bool control = code < 0xA0 || (code >= 0x2028 && code <= 0x202E) ||
                       (code >= 0x2066 && code <= 0x2069) || code == 0xFEFF;
  return sound && !control ? length : 0;
}

std::string printable(const NameBytes& bytes) {
  std::string_view rest(bytes.data(), strnlen(bytes.data(), bytes.size()));
  std::string result;
  while (!rest.empty()) {
    const std::size_t length = printable_bytes(rest);
    result += length == 0 ? std::string_view("?") : rest.substr(0, length);
    rest.remove_prefix(std::max<std::size_t>(length, 1));
  }
  return result;
}

// As many whole characters of `name` as fit.
NameBytes packed(std::string_view name) noexcept {
  std::size_t length = std::min(name.size(), kParticipantNameBytes);
  if (length < name.size()) {
    while (length > 0 && (static_cast<unsigned char>(name[length]) & 0xC0) == 0x80) --length;
  }
  NameBytes bytes{};
  std::copy_n(name.begin(), length, bytes.begin());
  return bytes;
}

std::string quoted(const ParticipantInfo& info) {
  return "process " + std::to_string(info.pid) + " '" + info.name + "'";
}

}  // namespace

std::string_view to_string(Role role) noexcept {
  switch (role) {
    case Role::kNone: return "none";
    case Role::kProducer: return "producer";
    case Role::kConsumer: return "consumer";
    case Role::kBoth: return "producer and consumer";
  }
  return "unknown";
}

Result<Participants> Participants::open(const Segment& segment, const Geometry& geometry) {
  const std::span<std::byte> bytes = segment.bytes();
  const std::uint64_t end = kParticipantTable + geometry.participants * kParticipantBytes;
  if (geometry.participants > kMaxParticipants || bytes.size() < end) {
    return Error{ErrorCode::kTooSmall,
                 to_string(segment.name()) + " is too small for its table of participants"};
  }
  auto lock = LivenessLock::open(segment);
  if (!lock) return lock.error();
  auto* table = reinterpret_cast<ParticipantEntry*>(bytes.data() + kParticipantTable);
  return Participants(std::move(*lock), table, geometry.participants, segment);
}

Participants::Participants(LivenessLock lock, ParticipantEntry* table, std::uint32_t count,
                           const Segment& segment)
    : lock_(std::move(lock)),
      table_(table),
      count_(count),
      what_(to_string(segment.name())),
      identity_(segment.identity()),
      access_(segment.access()) {}

Participants::Participants(Participants&&) noexcept = default;
Participants& Participants::operator=(Participants&&) noexcept = default;

// Whose set-up fails has written nothing; and where none has been here before it, its ring goes,
// too.
Participants::~Participants() {
  if (!slot_ || !lock_ || !detail::SetUp::fails()) return;
  leave([this](bool last) {
    std::uint64_t came = 0;
    for (std::uint32_t slot = 0; slot < count_; ++slot) came += generation(slot);
    return last && came == 1;
  });
}

Result<Joined> Participants::join(const JoinRequest& request, const Recover& recover) {
  if (forked()) return inherited();
  if (access_ == Access::kReadOnly) {
    return Error{ErrorCode::kPermission, what_ + " is open for reading only; it can't be joined"};
  }
  if (slot_) {
    return Error{ErrorCode::kNoSlot, "this handle holds slot " + std::to_string(*slot_) + " of " +
                                         what_ + " already; open another one for each participant"};
  }
  if (request.slot_count == 0 || request.first_slot >= count_ ||
      request.slot_count > count_ - request.first_slot) {
    return Error{ErrorCode::kNoSlot,
                 what_ + " was made for " + std::to_string(count_) +
                     " participants, so there is no slot " +
                     std::to_string(std::uint64_t{request.first_slot} +
                                    std::max(request.slot_count, std::uint32_t{1}) - 1) +
                     "; remove it and make it for more (readers=N of a channel, `participants` of "
                     "mpmc_ring)"};
  }
  if (!lock_.lock_membership(request.timeout)) {
    if (!lock_.membership_held_by_other()) return barred();
    return Error{ErrorCode::kTimedOut, "someone is joining or leaving " + what_ +
                                           " and does not finish; look for a stopped process"};
  }
  auto joined = take_slot(request, recover);
  lock_.unlock_membership();
  return joined;
}

// Under the membership lock.
Result<Joined> Participants::take_slot(const JoinRequest& request, const Recover& recover) {
  if (!is_at_its_name(identity_)) {
    return Error{ErrorCode::kReplaced, what_ +
                                           " was removed meanwhile by its last participant; open "
                                           "it again"};
  }
  std::uint32_t unrecovered = 0;
  std::uint32_t readers_locks = 0;
  for (std::uint32_t i = 0; i < request.slot_count; ++i) {
    const std::uint32_t slot = request.first_slot + i;
    if (!lock_.try_hold(slot)) {
      if (lock_.held_by_other(slot)) continue;
      // Not held, and yet not to be had; unless it was let go of just now.
      if (!lock_.try_hold(slot)) {
        ++readers_locks;
        continue;
      }
    }
    slot_ = slot;  // before recover, to which we are alive from now on
    if (!recover || recover(slot)) return enter(slot, request);
    slot_.reset();
    lock_.drop(slot);
    ++unrecovered;
  }
  if (unrecovered == 0 && readers_locks != 0) return barred();
  return all_taken(request, unrecovered);
}

Joined Participants::enter(std::uint32_t slot, const JoinRequest& request) noexcept {
  ParticipantEntry& entry = table_[slot];
  // One that no tenure can be made of is passed over, here and not in tenure(): else two in a row
  // would have the same.
  std::uint32_t generation = entry.generation.load(kRelaxed) + 1;
  if (generation % kTerms == 0) ++generation;
  const bool predecessor_died = entry.pid.load(kRelaxed) != 0;
  const NameBytes name = packed(request.name.empty() ? detail::program_name() : request.name);
  for (std::size_t i = 0; i < std::size(entry.name); ++i) {
    std::uint64_t word;
    std::memcpy(&word, name.data() + i * sizeof word, sizeof word);
    entry.name[i].store(word, kRelaxed);
  }
  entry.attached_unix_ns.store(unix_nanoseconds(), kRelaxed);
  entry.role.store(static_cast<std::uint32_t>(request.role), kRelaxed);
  detail::say_arrived(entry.pid, entry.generation, detail::process_id(), generation);
  return {slot, generation, predecessor_died};
}

Error Participants::inherited() const {
  return Error{ErrorCode::kForked,
               "this handle of " + what_ + " was inherited by fork; open a new one"};
}

Error Participants::barred() const {
  return Error{
      ErrorCode::kBusy,
      what_ +
          " can't be joined, as a process that may only read it holds a lock on it; end "
          "that process (fuser tells who has it open), or let none read it who may not write it "
          "(mode=0600, mode=0660)"};
}

Error Participants::all_taken(const JoinRequest& request, std::uint32_t unrecovered) const {
  if (unrecovered != 0) {
    return Error{ErrorCode::kNoSlot,
                 what_ + " has no participant slot free: " + std::to_string(unrecovered) +
                     " of dead participants can't be recovered yet, as a live one may still be at "
                     "work on their messages; try again"};
  }
  if (request.slot_count > 1) {
    return Error{ErrorCode::kNoSlot, "all " + std::to_string(request.slot_count) +
                                         " participant slots of " + what_ +
                                         " are held by live participants; let one leave"};
  }
  return Error{ErrorCode::kBusy, what_ + " has a live " + std::string(to_string(request.role)) +
                                     " already (" + quoted(info(request.first_slot)) +
                                     "); let it end, choose another name, or make it for several" +
                                     (request.role == Role::kConsumer ? " (readers=N or kind=mpmc)"
                                                                      : " (kind=mpmc)")};
}

bool Participants::leave(const NameGoes& name_goes, std::chrono::nanoseconds timeout) noexcept {
  if (!slot_ || forked()) return false;
  table_[*slot_].pid.store(0, kRelaxed);
  const bool ordered = lock_.lock_membership(timeout);
  const bool last = ordered && lock_.presence(0, count_) == Presence::kAbsent;
  if (name_goes(last) && last) remove_if_at_its_name(identity_);
  // The slot first: whose tenure has ended has no slot any more, which tells it from its successor
  // (death_notice.cpp). A successor takes another tenure, as the generation is another, or finds
  // ours held and passes it over; and what we own is ours for a moment longer.
  lock_.drop(*slot_);
  lock_.drop_tenure();
  slot_.reset();
  if (ordered) lock_.unlock_membership();
  return last;
}

bool Participants::is_dead(std::uint32_t slot) const noexcept {
  return slot != slot_ && !lock_.held_by_other(slot);
}

bool Participants::try_lock_dead(std::uint32_t slot) noexcept {
  return slot != slot_ && slot < count_ && lock_.try_hold(slot);
}

void Participants::unlock(std::uint32_t slot) noexcept {
  if (slot != slot_) lock_.drop(slot);
}

Result<const Atomic<std::uint32_t>*> Participants::tenure() {
  if (forked()) return inherited();
  if (!slot_) {
    return Error{ErrorCode::kNoSlot, "this handle of " + what_ + " is no participant yet; join it"};
  }
  // relaxed: one thread at a time.
  if (lock_.tenure().load(kRelaxed) != 0) return &lock_.tenure();
  constexpr std::uint32_t kTries = 64;
  // The table is scribbled over at worst: then a number may come too early a second time, but never
  // to two who live.
  auto& generation = table_[*slot_].generation;
  for (std::uint32_t i = 0; i < kTries; ++i) {
    const std::uint32_t term = generation.load(kRelaxed) % kTerms;
    if (term != 0 && lock_.try_hold_tenure(term * kFirstTenure + *slot_)) return &lock_.tenure();
    // Before the number that is passed over could be had: else a successor would have ours again.
    generation.store(generation.load(kRelaxed) + 1, kRelaxed);
  }
  return Error{ErrorCode::kBusy, "other processes hold the locks by which this participant of " +
                                     what_ + " would prove that it lives; look who has it open"};
}

bool Participants::tenure_ended(std::uint32_t tenure) const noexcept {
  if (tenure < kFirstTenure) return true;  // the kernel would speak of a slot
  // relaxed: changes only when this object joins or leaves.
  return tenure != lock_.tenure().load(kRelaxed) && !lock_.held_by_other(tenure);
}

std::uint32_t Participants::tenure_at(std::uint32_t slot) const noexcept {
  const std::uint32_t term = generation(slot) % kTerms;
  const std::uint32_t told = term * kFirstTenure + slot;
  return term != 0 && lock_.presence(told) == Presence::kPresent ? told : 0;
}

Presence Participants::presence(std::uint32_t first_slot, std::uint32_t slot_count) const noexcept {
  return lock_.presence(first_slot, slot_count);
}

std::uint32_t Participants::generation(std::uint32_t slot) const noexcept {
  return detail::arrivals(table_[slot].generation);
}

bool Participants::says_left(std::uint32_t slot) const noexcept {
  return table_[slot].pid.load(kRelaxed) == 0;
}

ParticipantInfo Participants::info(std::uint32_t slot) const {
  const ParticipantEntry& entry = table_[slot];
  NameBytes name;
  for (std::size_t i = 0; i < std::size(entry.name); ++i) {
    const std::uint64_t word = entry.name[i].load(kRelaxed);
    std::memcpy(name.data() + i * sizeof word, &word, sizeof word);
  }
  return {.slot = slot,
          .alive = slot == slot_ || lock_.held_by_other(slot),
          .pid = entry.pid.load(kRelaxed),
          .role = static_cast<Role>(entry.role.load(kRelaxed)),
          .generation = entry.generation.load(kRelaxed),
          .attached_unix_ns = entry.attached_unix_ns.load(kRelaxed),
          .name = printable(name)};
}

bool remove_if_never_joined(const Segment& segment, const Geometry& geometry) noexcept {
  const std::span<std::byte> bytes = segment.bytes();
  const std::uint32_t count = geometry.participants;
  if (bytes.size() < kParticipantTable + count * kParticipantBytes) return false;
  // By the description that the segment was made with: there may be no descriptor for another.
  const NativeHandle file = segment.lock_fd();
  if (detail::lock_byte_within(file, kMembershipByte, std::chrono::seconds(1)) != 0) return false;
  const auto* table = reinterpret_cast<const ParticipantEntry*>(bytes.data() + kParticipantTable);
  const bool came = std::any_of(table, table + count, [](const ParticipantEntry& entry) {
    return entry.generation.load(kRelaxed) != 0;
  });
  const bool removed = !came &&
                       detail::bytes_locked_by_other(file, kLockBase, count) == Presence::kAbsent &&
                       remove_if_at_its_name(segment.identity());
  detail::unlock_byte(file, kMembershipByte);
  return removed;
}

std::vector<ParticipantInfo> Participants::snapshot() const {
  std::vector<ParticipantInfo> result;
  for (std::uint32_t slot = 0; slot < count_; ++slot) {
    ParticipantInfo participant = info(slot);
    if (participant.alive || participant.pid != 0) result.push_back(std::move(participant));
  }
  return result;
}

}  // namespace rondo::inline RONDO_ABI
