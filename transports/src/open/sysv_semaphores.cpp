#include "open/sysv_semaphores.hpp"

#include <algorithm>
#include <array>
#include <optional>
#include <string>

#include "open/name.hpp"
#include "open/queue_channel.hpp"
#include "rondo/core/user_ids.hpp"

namespace rondo::inline RONDO_ABI::detail {
namespace {

constexpr int kIdentityWords = 4;
constexpr int kSemaphores = kIdentity + kIdentityWords;

constexpr std::int16_t kSysvMagic = 0x5256;
// A semaphore counts up to 32767.
constexpr int kPieceBits = 15;
constexpr int kPieceMask = (1 << kPieceBits) - 1;

// What a set of that queue begins with.
std::array<std::int16_t, kSemaphores> values_for(SysvId queue) noexcept {
  std::array<std::int16_t, kSemaphores> values{};
  values[kIdentity] = kSysvMagic;
  for (std::size_t i = 1; i < kIdentityWords; ++i) {
    values[kIdentity + i] = static_cast<std::int16_t>(queue & kPieceMask);
    queue >>= kPieceBits;
  }
  return values;
}

// Whose set it is; kNoSysvId: none of ours.
int owner_of_set(SysvId set, SysvId& queue) noexcept {
  std::array<int, kIdentityWords> words{};
  for (int i = 0; i < kIdentityWords; ++i) {
    const int error = value_of_semaphore(set, kIdentity + i, words[static_cast<std::size_t>(i)]);
    if (error != 0) return error;
  }
  // As unsigned: others' may be anything.
  unsigned number = 0;
  for (std::size_t i = kIdentityWords - 1; i > 0; --i) {
    number = number << kPieceBits | static_cast<unsigned>(words[i] & kPieceMask);
  }
  queue = words[0] == kSysvMagic ? static_cast<SysvId>(number) : kNoSysvId;
  return 0;
}

Error foreign_semaphores(const Url& url) {
  return Error{ErrorCode::kForeignObject,
               url.name() + ": the semaphores of key " + url.target +
                   " are another program's (ipcs -s); choose another key, or framing=raw, which "
                   "needs none"};
}

// The set of `queue` at the key, if it is there and all is as it should be. Nothing: look again.
Result<std::optional<SysvId>> join_semaphores(const Url& url, std::uint32_t key, SysvId set,
                                              SysvId queue) {
  SemaphoresState state;
  int error = look_at_semaphores(set, state);
  if (has_been_removed(error)) return std::optional<SysvId>();
  if (error != 0) return system_error(url, "semctl", error);
  if (state.count != kSemaphores) return foreign_semaphores(url);
  if (auto sound = check_sysv_owner(url, state.owner); !sound) return sound.error();
  // One that is as it was made becomes the queue's; so the first one to use it says whose it is.
  if (!state.used) error = fill_semaphores(set, values_for(queue));
  SysvId owner = kNoSysvId;
  if (error == 0 || error == EAGAIN) error = owner_of_set(set, owner);
  if (has_been_removed(error)) return std::optional<SysvId>();
  if (error != 0) return system_error(url, "semop", error);
  if (owner == queue) return std::optional(set);
  if (owner == kNoSysvId) return foreign_semaphores(url);
  // Its queue has gone, or ours.
  SysvId there = kNoSysvId;
  if (find_sysv_queue(key, false, there) != 0 || there != queue) return made_and_removed(url);
  error = remove_semaphores(set);
  if (error != 0 && !has_been_removed(error)) return system_error(url, "semctl", error);
  return std::optional<SysvId>();
}

}  // namespace

Error cannot_make_sysv(const Url& url, std::string_view call, int error) {
  switch (error) {
    case ENOSYS:
      return Error{ErrorCode::kUnsupported,
                   url.name() + ": this system has no System V message queues"};
    case ENOSPC:
      return Error{ErrorCode::kNoSpace,
                   url.name() +
                       ": there are as many queues, or sets of semaphores, as the system "
                       "allows (kernel.msgmni, kernel.sem); remove some (ipcs, ipcrm), or "
                       "raise it"};
    default: return system_error(url, call, error);
  }
}

Result<void> check_sysv_owner(const Url& url, const SysvOwner& owner) {
  auto owned = check_queue_owner(url, owner.user, owner.group, owner.mode);
  if (!owned || check_queue_owner(url, owner.creator, owner.group, owner.mode)) return owned;
  return Error{ErrorCode::kForeignOwner,
               url.name() + " was made by " + describe_user(owner.creator) +
                   ", who may use and remove it whoever it was given to (ipcs -c); remove it, or "
                   "allow others with mode=0660 or mode=0666"};
}

Error made_and_removed(const Url& url) {
  return Error{ErrorCode::kReplaced, url.name() + " is made and removed again and again"};
}

Result<SysvId> semaphores_of(const Url& url, std::uint32_t key, SysvId queue) {
  for (int turn = 0; turn < kSysvTurns; ++turn) {
    SysvId set = kNoSysvId;
    int error = find_semaphores(key, kSemaphores, set);
    if (error == EINVAL) return foreign_semaphores(url);  // there are fewer
    const bool makes = error == ENOENT;
    if (makes) error = make_semaphores(key, kSemaphores, url.options.segment.mode, set);
    if (error == EEXIST || error == EIDRM) continue;
    if (error != 0) return cannot_make_sysv(url, "semget", error);
    const auto joined = join_semaphores(url, key, set, queue);
    if (joined && *joined) return **joined;
    if (joined) continue;
    // What nobody has come to is nobody's.
    SemaphoresState state;
    if (makes && look_at_semaphores(set, state) == 0 && !state.used) {
      static_cast<void>(remove_semaphores(set));
    }
    return joined.error();
  }
  return made_and_removed(url);
}

SysvId find_semaphores_of(std::uint32_t key, SysvId queue) noexcept {
  SysvId set = kNoSysvId;
  SysvId owner = kNoSysvId;
  const bool found = find_semaphores(key, kSemaphores, set) == 0 && owner_of_set(set, owner) == 0;
  return found && owner == queue ? set : kNoSysvId;
}

bool remove_stray_semaphores(std::uint32_t key) noexcept {
  SysvId set = kNoSysvId;
  SysvId owner = kNoSysvId;
  if (find_semaphores(key, kSemaphores, set) != 0 || owner_of_set(set, owner) != 0) return false;
  SysvQueueState state;
  return owner != kNoSysvId && has_been_removed(look_at_sysv_queue(owner, state)) &&
         remove_semaphores(set) == 0;
}

}  // namespace rondo::inline RONDO_ABI::detail
