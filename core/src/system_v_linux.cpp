#include "system_v.hpp"

#include <sys/ipc.h>
#include <sys/shm.h>
#include <unistd.h>

#include <cerrno>

#include "system_linux.hpp"

namespace rondo::inline RONDO_ABI::detail {
namespace {

int id_of_system_v(int result, SystemVId& id) noexcept {
  if (result < 0) return errno;
  id = result;
  return 0;
}

SystemVState state_of(const shmid_ds& status) noexcept {
  const ipc_perm& permissions = status.shm_perm;
  return {static_cast<std::uint32_t>(permissions.__key),
          permissions.uid,
          permissions.cuid,
          permissions.gid,
          Permissions(permissions.mode & 0777u),
          status.shm_segsz,
          status.shm_nattch,
          static_cast<std::uint32_t>(status.shm_cpid),
          status.shm_atime != 0,
          (permissions.mode & SHM_DEST) != 0};
}

}  // namespace

int make_system_v(std::uint32_t key, std::size_t size_bytes, Permissions mode,
                  SystemVId& id) noexcept {
  const int flags = IPC_CREAT | IPC_EXCL | static_cast<int>(mode.bits());
  return id_of_system_v(shmget(static_cast<key_t>(key), size_bytes, flags), id);
}

int find_system_v(std::uint32_t key, SystemVId& id) noexcept {
  return id_of_system_v(shmget(static_cast<key_t>(key), 0, 0), id);
}

int look_at_system_v(SystemVId id, SystemVState& state) noexcept {
  shmid_ds status{};
  if (shmctl(id, IPC_STAT, &status) < 0) return errno;
  state = state_of(status);
  return 0;
}

int look_past_permissions_of_system_v(SystemVId id, SystemVState& state) noexcept {
#ifdef SHM_STAT_ANY
  shmid_ds status{};
  // By its place in the system's table, which another one may have by now: it says whose it is.
  const int found = shmctl(id, SHM_STAT_ANY, &status);
  if (found < 0) return errno;
  if (found != id) return EIDRM;
  state = state_of(status);
  return 0;
#else
  static_cast<void>(id);
  static_cast<void>(state);
  return ENOSYS;
#endif
}

int set_access_of_system_v(SystemVId id, std::uint32_t group, Permissions mode) noexcept {
  shmid_ds status{};
  if (shmctl(id, IPC_STAT, &status) < 0) return errno;
  status.shm_perm.gid = group;
  status.shm_perm.mode = static_cast<decltype(status.shm_perm.mode)>(mode.bits() & 0777u);
  return shmctl(id, IPC_SET, &status) < 0 ? errno : 0;
}

int remove_system_v(SystemVId id) noexcept { return shmctl(id, IPC_RMID, nullptr) < 0 ? errno : 0; }

std::byte* attach_system_v(SystemVId id, Access access) noexcept {
  void* const memory = shmat(id, nullptr, access == Access::kReadOnly ? SHM_RDONLY : 0);
  // NOLINTNEXTLINE(performance-no-int-to-ptr): how shmat(2) says no.
  return memory == reinterpret_cast<void*>(-1) ? nullptr : static_cast<std::byte*>(memory);
}

void detach_system_v(std::byte* memory) noexcept { shmdt(memory); }

int read_note(NativeHandle file, SystemVNote& note) noexcept {
  const ssize_t size = retry_interrupted([&] { return pread(file, &note, sizeof note, 0); });
  if (size < 0) return errno;
  return size == sizeof note ? 0 : EIO;
}

int write_note(NativeHandle file, const SystemVNote& note) noexcept {
  const ssize_t size = retry_interrupted([&] { return pwrite(file, &note, sizeof note, 0); });
  if (size < 0) return errno;
  return size == sizeof note ? 0 : ENOSPC;
}

}  // namespace rondo::inline RONDO_ABI::detail
