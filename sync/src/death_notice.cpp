#include "rondo/sync/death_notice.hpp"

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "file_watch.hpp"
#include "rondo/core/fork_check.hpp"
#include "rondo/core/os.hpp"
#include "rondo/core/out_of_memory.hpp"
#include "rondo/sync/look_again.hpp"

namespace rondo::inline RONDO_ABI::sync {
namespace {

using namespace std::chrono_literals;
// When to look again after the file was opened or closed: who does that joins or goes soon.
constexpr auto& kAgain = detail::LookAgain::kAfter;
// From which of them on the file is listened to again.
constexpr std::size_t kListenFrom = 2;
// When nothing happens: so that whatever was not reported is late by no more.
constexpr std::chrono::nanoseconds kAtLast = 5s;
// Where nothing is reported.
constexpr std::chrono::nanoseconds kSlice = 50ms;

// Who holds a slot for that long is a participant, whatever the table says; who looks after what a
// dead one left holds it for a moment.
constexpr std::chrono::nanoseconds kStays = 1s;

using Clock = std::chrono::steady_clock;

// What was seen of a slot.
struct Seen {
  bool alive = false;
  bool sure = false;  // that it was alive, by the kernel's word: it had its tenure, or stayed
  std::uint32_t generation = 0;
  std::uint32_t tenure = 0;                 // of the one that is alive; 0: none, or not known
  std::optional<Clock::time_point> held{};  // since when, without interruption
};

// What is found there now.
struct Found {
  Presence presence = Presence::kUnknown;
  bool ended = false;  // whoever had the tenure that was asked for
  bool left = false;
  std::uint32_t generation = 0;
  std::uint32_t tenure = 0;  // of the one that is there
};

// All of one owner: none comes in between. Unless somebody scribbles all the time; then it is what
// it is.
Found find(const Participants& participants, std::uint32_t slot, std::uint32_t tenure) noexcept {
  constexpr int kTries = 4;
  Found found;
  for (int i = 0; i < kTries; ++i) {
    found.generation = participants.generation(slot);
    // Before the slot: no owner keeps its slot for longer than its tenure, so whoever has the slot
    // after that is another one.
    found.ended = tenure != 0 && participants.tenure_ended(tenure);
    found.presence = participants.presence(slot, 1);
    found.left = participants.says_left(slot);
    found.tenure = tenure;
    if (found.presence == Presence::kPresent && (tenure == 0 || found.ended)) {
      found.tenure = participants.tenure_at(slot);
    }
    if (participants.generation(slot) == found.generation) break;
  }
  return found;
}

}  // namespace

struct death_notice::State {
  const Participants* participants;
  detail::FileWatch watch{};
  detail::ForkCheck fork_check{};
  std::vector<Seen> slots{};
  std::size_t looks = kAgain.size();  // since the file was last opened or closed
  bool undecided = false;             // what the last look has seen, of some slot

  [[nodiscard]] bool forked() const noexcept {
    return fork_check.forked() || participants->forked();
  }
  void begin() noexcept;
  // When to look again.
  void plan(detail::FileWatch::News news) noexcept;
  [[nodiscard]] std::size_t look(const Tell& tell);
  [[nodiscard]] std::optional<participant_end> look_at(std::uint32_t slot,
                                                       Clock::time_point now) noexcept;
};

// Whoever holds a slot now counts as alive, whatever the table says.
void death_notice::State::begin() noexcept {
  const auto now = Clock::now();
  for (std::uint32_t slot = 0; slot < slots.size(); ++slot) {
    if (slot == participants->slot()) continue;
    const Found found = find(*participants, slot, 0);
    slots[slot].generation = found.generation;
    if (found.presence != Presence::kPresent) continue;
    slots[slot] = {true, found.tenure != 0, found.generation, found.tenure, now};
  }
  // One may be joining.
  looks = 0;
  watch.set_timer(watch.watches() ? kAgain[0] : kSlice);
}

void death_notice::State::plan(detail::FileWatch::News news) noexcept {
  if (!watch.watches()) {
    if (news.time) watch.set_timer(kSlice);
    return;
  }
  if (news.file) {
    looks = 0;
  } else if (news.time) {
    looks = std::min(looks + 1, kAgain.size());
  } else {
    return;
  }
  watch.listen(looks >= kListenFrom);
  watch.set_timer(looks == kAgain.size() ? kAtLast : kAgain[looks]);
}

std::optional<participant_end> death_notice::State::look_at(std::uint32_t slot,
                                                            Clock::time_point now) noexcept {
  using How = participant_end::How;
  Seen& seen = slots[slot];
  const Found found = find(*participants, slot, seen.tenure);
  if (found.presence == Presence::kUnknown) return {};
  participant_end end{.slot = slot, .tenure = seen.tenure};
  bool ended = false;
  if (found.presence == Presence::kAbsent) {
    // It is leaving: what it owns is its own until it has.
    if (found.left && seen.tenure != 0 && !participants->tenure_ended(seen.tenure)) {
      undecided = true;
      return {};
    }
    end.how = found.left ? How::kLeft : How::kDied;
    end.by_table = !seen.sure;
    ended = seen.alive || found.generation != seen.generation;
    seen = {.generation = found.generation};
  } else {
    if (found.ended) {
      // Who is there now may be looking after what it left.
      end.how = How::kReplaced;
      ended = true;
      seen = {.generation = seen.generation};
    } else if (seen.alive && seen.tenure == 0 && found.generation != seen.generation) {
      end.how = How::kReplaced;
      end.by_table = true;
      ended = true;
      seen.generation = found.generation;
    }
    if (!seen.held) seen.held = now;
    seen.tenure = found.tenure;
    seen.sure = seen.sure || seen.tenure != 0 || now - *seen.held >= kStays;
    if (!seen.alive) {
      // A new one says so in the table, or is surely there.
      seen.alive = seen.sure || found.generation != seen.generation;
      if (seen.alive) seen.generation = found.generation;
    }
    undecided = undecided || !seen.sure;
  }
  return ended ? std::optional(end) : std::nullopt;
}

std::size_t death_notice::State::look(const Tell& tell) {
  const auto now = Clock::now();
  std::size_t told = 0;
  undecided = false;
  for (std::uint32_t slot = 0; slot < slots.size(); ++slot) {
    if (slot == participants->slot()) continue;
    const auto end = look_at(slot, now);
    if (!end) continue;
    ++told;
    try {
      tell(*end);
    } catch (...) {
      // The slots behind it were not looked at. 0 would disarm it.
      watch.set_timer(1ns);
      throw;
    }
  }
  if (undecided && watch.watches() && looks == kAgain.size()) watch.set_timer(kStays);
  return told;
}

Result<death_notice> death_notice::of(const Participants& participants) {
  return rondo::detail::refuse_without_memory([&]() -> Result<death_notice> {
    if (participants.forked()) {
      return Error{ErrorCode::kForked,
                   "these participants were inherited by fork, and nothing can be seen of them; "
                   "open the segment anew"};
    }
    std::unique_ptr<State> state(new State{.participants = &participants});
    if (const int error = state->watch.open(participants.lock_file()); error != 0) {
      Error failure = detail::system_error(error, "can't make the descriptor of a death_notice");
      if (error == ENOSYS || error == EPERM) failure.code = ErrorCode::kUnsupported;
      return failure;
    }
    state->slots.resize(participants.count());
    state->begin();
    return death_notice(std::move(state));
  });
}

death_notice::death_notice(std::unique_ptr<State> state) noexcept : state_(std::move(state)) {}
death_notice::death_notice(death_notice&&) noexcept = default;
death_notice& death_notice::operator=(death_notice&&) noexcept = default;
death_notice::~death_notice() = default;

NativeHandle death_notice::fd() const noexcept { return state_->watch.fd(); }
bool death_notice::watches() const noexcept { return state_->watch.watches(); }

std::size_t death_notice::take(const Tell& tell) {
  // What is read in a child, the parent would miss.
  if (state_->forked()) return 0;
  state_->plan(state_->watch.take());
  return state_->look(tell);
}

std::size_t death_notice::wait(const Tell& tell, Deadline deadline) {
  for (;;) {
    if (state_->forked()) return 0;
    const std::size_t told = take(tell);
    if (told != 0 || deadline.passed()) return told;
    state_->watch.wait(deadline);
  }
}

}  // namespace rondo::inline RONDO_ABI::sync
