// The set of semaphores beside a System V queue, with the same key:
//
//   the parts that its ends hold    1 while a process has it; the kernel takes it back (SEM_UNDO)
//   arrived, freed                  1 once a message has come, or gone, since the last wait: the
//                                   other side's doorbell, with a deadline (semtimedop(2))
//   magic, queue                    whose they are: the number of the queue in three pieces
//
// The set goes with its queue. Of a stray one, which another queue has left (ipcrm -q), the magic
// is ours and the number is not: the next opener takes it away.
#pragma once

#include <cerrno>
#include <cstdint>
#include <string_view>

#include "open/queue.hpp"
#include "open/sysv_queues.hpp"
#include "rondo/core/result.hpp"
#include "rondo/core/version.hpp"
#include "rondo/transports/url.hpp"

namespace rondo::inline RONDO_ABI::detail {

// Behind the parts.
inline constexpr int kArrived = Queue::kParts;
inline constexpr int kFreed = kArrived + 1;
inline constexpr int kIdentity = kFreed + 1;

inline constexpr int kSysvTurns = 100;  // others may make and remove them again and again

[[nodiscard]] inline bool has_been_removed(int error) noexcept {
  return error == EIDRM || error == EINVAL;
}
// Whose a queue or a set is, and who has made it: the kernel lets either do all (ipcperms()), and
// the maker may have given it away (IPC_SET). Errors: kForeignOwner, unless the URL allows others.
[[nodiscard]] Result<void> check_sysv_owner(const Url& url, const SysvOwner& owner);
[[nodiscard]] Error cannot_make_sysv(const Url& url, std::string_view call, int error);
[[nodiscard]] Error made_and_removed(const Url& url);

// The set of a queue that was found, or a new one. Errors: kForeignObject; kReplaced: the queue has
// gone meanwhile.
[[nodiscard]] Result<SysvId> semaphores_of(const Url& url, std::uint32_t key, SysvId queue);
// kNoSysvId: it has none.
[[nodiscard]] SysvId find_semaphores_of(std::uint32_t key, SysvId queue) noexcept;
// Whether there was one, of a queue that is there no more. Nobody's semaphores stay otherwise.
[[nodiscard]] bool remove_stray_semaphores(std::uint32_t key) noexcept;

}  // namespace rondo::inline RONDO_ABI::detail
