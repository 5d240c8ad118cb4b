#include "open/error_of.hpp"
#include "open/sysv_queues.hpp"

#include <sys/ipc.h>
#include <sys/msg.h>
#include <sys/sem.h>

#include <array>
#include <cerrno>
#include <cstring>

#include "rondo/core/cancellation_disabled.hpp"
#include "rondo/core/timespec.hpp"

namespace rondo::inline RONDO_ABI::detail {
namespace {

constexpr int kToUse = 0600;  // msgget(2), semget(2): whether our class of users has these

// semctl(2): its caller defines it.
union SemaphoreArgument {
  int value;
  semid_ds* status;
};

int id_of(int result, SysvId& id) noexcept {
  if (result < 0) return errno;
  id = result;
  return 0;
}

key_t sysv_key(std::uint32_t key) noexcept { return static_cast<key_t>(key); }

SysvOwner owner_of(const ipc_perm& permissions) noexcept {
  return {permissions.uid, permissions.gid, permissions.cuid,
          Permissions(permissions.mode & 0777u)};
}

sembuf step(int semaphore, int change, int flags = IPC_NOWAIT) noexcept {
  sembuf made{};
  made.sem_num = static_cast<unsigned short>(semaphore);
  made.sem_op = static_cast<short>(change);
  made.sem_flg = static_cast<short>(flags);
  return made;
}

// All of the steps at once, or none.
template <std::size_t kCount>
int take_steps(SysvId set, std::array<sembuf, kCount> steps, std::size_t count = kCount) noexcept {
  return error_of(semop(set, steps.data(), count));
}

}  // namespace

int sysv_limits(SysvLimits& limits) noexcept {
  msginfo info{};
  if (msgctl(0, IPC_INFO, reinterpret_cast<msqid_ds*>(&info)) < 0) return errno;
  limits = {static_cast<std::uint64_t>(info.msgmax), static_cast<std::uint64_t>(info.msgmnb),
            static_cast<std::uint64_t>(info.msgmni)};
  return 0;
}

int find_sysv_queue(std::uint32_t key, bool to_use, SysvId& queue) noexcept {
  return id_of(msgget(sysv_key(key), to_use ? kToUse : 0), queue);
}

int make_sysv_queue(std::uint32_t key, Permissions mode, SysvId& queue) noexcept {
  return id_of(msgget(sysv_key(key), IPC_CREAT | IPC_EXCL | static_cast<int>(mode.bits())), queue);
}

int look_at_sysv_queue(SysvId queue, SysvQueueState& state) noexcept {
  msqid_ds status{};
  if (msgctl(queue, IPC_STAT, &status) != 0) return errno;
  state = {owner_of(status.msg_perm), status.msg_qnum, status.__msg_cbytes, status.msg_qbytes};
  return 0;
}

int remove_sysv_queue(SysvId queue) noexcept { return error_of(msgctl(queue, IPC_RMID, nullptr)); }

int send_to_sysv_queue(SysvId queue, std::span<std::byte> message, long type) noexcept {
  std::memcpy(message.data(), &type, kSysvTypeBytes);
  const CancellationDisabled here;
  return error_of(msgsnd(queue, message.data(), message.size() - kSysvTypeBytes, IPC_NOWAIT));
}

int receive_from_sysv_queue(SysvId queue, std::span<std::byte> message, std::size_t& size_bytes,
                            long type) noexcept {
  const CancellationDisabled here;
  const ssize_t size = msgrcv(queue, message.data(), message.size() - kSysvTypeBytes, type,
                              IPC_NOWAIT | MSG_NOERROR);
  if (size < 0) return errno == ENOMSG ? EAGAIN : errno;
  size_bytes = static_cast<std::size_t>(size);
  return 0;
}

int find_semaphores(std::uint32_t key, int count, SysvId& set) noexcept {
  return id_of(semget(sysv_key(key), count, kToUse), set);
}

int make_semaphores(std::uint32_t key, int count, Permissions mode, SysvId& set) noexcept {
  const int flags = IPC_CREAT | IPC_EXCL | static_cast<int>(mode.bits());
  return id_of(semget(sysv_key(key), count, flags), set);
}

int look_at_semaphores(SysvId set, SemaphoresState& state) noexcept {
  semid_ds status{};
  SemaphoreArgument argument{};
  argument.status = &status;
  if (semctl(set, 0, IPC_STAT, argument) < 0) return errno;
  state = {owner_of(status.sem_perm), static_cast<int>(status.sem_nsems), status.sem_otime != 0};
  return 0;
}

int remove_semaphores(SysvId set) noexcept { return error_of(semctl(set, 0, IPC_RMID)); }

int claim_semaphore(SysvId set, int semaphore) noexcept {
  return take_steps(set, std::array{step(semaphore, 0), step(semaphore, 1, IPC_NOWAIT | SEM_UNDO)});
}

int give_semaphore_back(SysvId set, int semaphore) noexcept {
  return take_steps(set, std::array{step(semaphore, -1, IPC_NOWAIT | SEM_UNDO)});
}

int value_of_semaphore(SysvId set, int semaphore, int& value) noexcept {
  return id_of(semctl(set, semaphore, GETVAL), value);
}

int fill_semaphores(SysvId set, std::span<const std::int16_t> values) noexcept {
  std::array<sembuf, 2 * kMaxSemaphoresAtOnce> steps{};
  std::size_t count = 0;
  for (std::size_t i = 0; i < values.size(); ++i) steps[count++] = step(static_cast<int>(i), 0);
  for (std::size_t i = 0; i < values.size(); ++i) {
    if (values[i] != 0) steps[count++] = step(static_cast<int>(i), values[i]);
  }
  return take_steps(set, steps, count);
}

int raise_semaphore(SysvId set, int semaphore) noexcept {
  return take_steps(set, std::array{step(semaphore, 0), step(semaphore, 1)});
}

int await_semaphore(SysvId set, int semaphore, std::chrono::nanoseconds timeout) noexcept {
  const CancellationDisabled here;
  sembuf taken = step(semaphore, -1, 0);
  const timespec time = timespec_of(timeout);
  return error_of(semtimedop(set, &taken, 1, &time));
}

}  // namespace rondo::inline RONDO_ABI::detail
