#include "rondo/sync/death_notice.hpp"

#include <algorithm>
#include <array>
#include <cerrno>
#include <chrono>
#include <string>
#include <utility>
#include <vector>

#include "file_watch.hpp"
#include "rondo/core/fork_check.hpp"
#include "rondo/core/os.hpp"
#include "rondo/core/out_of_memory.hpp"

namespace rondo::inline RONDO_ABI::sync {
namespace {

using namespace std::chrono_literals;
// When to look again after the file was opened or closed: who does that joins or goes soon.
constexpr std::array<std::chrono::nanoseconds, 5> kAgain = {100us, 1ms, 10ms, 100ms, 1s};
// From which of them on the file is listened to again.
constexpr std::size_t kListenFrom = 2;
// When nothing happens: so that whatever was not reported is late by no more.
constexpr std::chrono::nanoseconds kAtLast = 5s;
// Where nothing is reported.
constexpr std::chrono::nanoseconds kSlice = 50ms;

// What was seen of a slot.
struct Seen {
  bool alive = false;
  std::uint32_t generation = 0;
  std::uint32_t tenure = 0;  // of the one that is alive; 0: none, or not known
};

}  // namespace

struct death_notice::State {
  const Participants* participants;
  detail::FileWatch watch{};
  detail::ForkCheck fork_check{};
  std::vector<Seen> slots{};
  std::size_t looks = kAgain.size();  // since the file was last opened or closed

  [[nodiscard]] bool forked() const noexcept {
    return fork_check.forked() || participants->forked();
  }
  void begin() noexcept;
  [[nodiscard]] std::size_t look(bool last, const Tell& tell);
  // When to look again; whether this look is the last one for a while.
  [[nodiscard]] bool plan(detail::FileWatch::News news) noexcept;
};

// Whoever holds a slot now counts as alive, whatever the table says.
void death_notice::State::begin() noexcept {
  for (std::uint32_t slot = 0; slot < slots.size(); ++slot) {
    if (slot == participants->slot()) continue;
    slots[slot] = {participants->presence(slot, 1) == Presence::kPresent,
                   participants->generation(slot), participants->tenure_at(slot)};
  }
  // One may be joining.
  looks = 0;
  watch.set_timer(watch.watches() ? kAgain[0] : kSlice);
}

bool death_notice::State::plan(detail::FileWatch::News news) noexcept {
  if (!watch.watches()) {
    if (news.time) watch.set_timer(kSlice);
    return news.time;
  }
  if (news.file) {
    looks = 0;
  } else if (news.time) {
    looks = std::min(looks + 1, kAgain.size());
  } else {
    return false;
  }
  watch.listen(looks >= kListenFrom);
  const bool last = looks == kAgain.size();
  watch.set_timer(last ? kAtLast : kAgain[looks]);
  return last;
}

std::size_t death_notice::State::look(bool last, const Tell& tell) {
  std::size_t told = 0;
  for (std::uint32_t slot = 0; slot < slots.size(); ++slot) {
    if (slot == participants->slot()) continue;
    const Presence presence = participants->presence(slot, 1);
    if (presence == Presence::kUnknown) continue;
    Seen& seen = slots[slot];
    const std::uint32_t generation = participants->generation(slot);
    participant_end end{.slot = slot, .tenure = seen.tenure};
    bool ended = false;
    if (presence == Presence::kAbsent) {
      end.how =
          participants->says_left(slot) ? participant_end::How::kLeft : participant_end::How::kDied;
      end.by_table = !seen.alive;
      ended = seen.alive || generation != seen.generation;
      seen = {false, generation, 0};
    } else if (!seen.alive) {
      // Or somebody looks after what a dead one left, and holds its lock for a moment: a new one
      // says so in the table, or stays.
      if (generation != seen.generation || last) {
        seen = {true, generation, participants->tenure_at(slot)};
      }
    } else if (seen.tenure == 0) {
      seen.tenure = participants->tenure_at(slot);
    } else if (participants->tenure_ended(seen.tenure)) {
      end.how = participant_end::How::kReplaced;
      ended = true;
      seen = {true, generation, participants->tenure_at(slot)};
    }
    if (!ended) continue;
    ++told;
    tell(end);
  }
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
  return state_->look(state_->plan(state_->watch.take()), tell);
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
