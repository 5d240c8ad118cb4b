// The descriptors that Rondo opens and is handed. For its own sources: nothing else in them makes a
// descriptor (`./dev lint` looks).
//
// All of them are at least 3. In a program whose standard streams are closed, the kernel would give
// a new file the number of one of them, and the program's next log line would go into that file: a
// ring. And all are closed on exec, so that no program started from this one holds what is ours.
//
// The kernel gives the lowest number that is free, and a file is moved up from there. So there is a
// moment in which it has a low number; it is short, and nothing in Rondo happens in it. Occupying
// the low numbers first would be worse: another thread may be about to put its own file there.
#pragma once

#include <cstdint>
#include <utility>

#include "rondo/core/platform.hpp"
#include "rondo/core/version.hpp"

namespace rondo::inline RONDO_ABI::detail {

// No file: what -1 is to a descriptor, and INVALID_HANDLE_VALUE to Windows.
inline const auto kNoHandle = NativeHandle(std::intptr_t{-1});
[[nodiscard]] inline bool is_handle(NativeHandle handle) noexcept {
  return std::intptr_t(handle) >= 0;
}

// Owns a descriptor.
class RONDO_API UniqueFd {
 public:
  UniqueFd() noexcept = default;
  // Takes `fd` over, or kNoHandle.
  explicit UniqueFd(NativeHandle fd) noexcept : fd_(fd) {}
  UniqueFd(UniqueFd&& other) noexcept
      : fd_(std::exchange(other.fd_, kNoHandle)),
        mark_(other.mark_),
        device_(other.device_),
        file_(other.file_) {}
  UniqueFd& operator=(UniqueFd&& other) noexcept {
    std::swap(fd_, other.fd_);
    std::swap(mark_, other.mark_);
    std::swap(device_, other.device_);
    std::swap(file_, other.file_);
    return *this;
  }
  ~UniqueFd();

  [[nodiscard]] NativeHandle get() const noexcept { return fd_; }
  // Gives it to the caller, which closes it.
  [[nodiscard]] NativeHandle release() noexcept { return std::exchange(fd_, kNoHandle); }
  explicit operator bool() const noexcept { return is_handle(fd_); }

  // Keeps in mind which file this is. A program that closes all descriptors (closefrom) gives our
  // number to a file of its own, later; that one is not closed with this object then. For those
  // that live as long as a channel, and not for what an untrusted peer handed over: it asks the
  // file.
  void remember() noexcept;
  // The same for a description that this process has just made, and that is no file of its own: the
  // kernel gives all eventfds, inotify instances, timers, epolls and io_urings one inode. So it
  // puts a mark on the description. Nobody else's is to be marked: the program would see it.
  void mark() noexcept;
  // Whether the number still is that of the file; true if it was not kept in mind. Costs a system
  // call.
  [[nodiscard]] bool intact() const noexcept;

 private:
  NativeHandle fd_ = kNoHandle;
  std::uint8_t mark_ = 0;  // 0: none
  std::uint64_t device_ = 0;
  std::uint64_t file_ = 0;  // 0: not kept in mind
};

// Each of these gives a descriptor, or none, and then errno says why. Calls that a signal
// interrupts are repeated, but for accept_from(). What has no file of its own is marked. `flags`:
// of open(2), without O_CLOEXEC.
[[nodiscard]] RONDO_API UniqueFd open_file(const char* path, int flags, unsigned mode = 0) noexcept;
// `flags`: of memfd_create(2), without MFD_CLOEXEC.
[[nodiscard]] RONDO_API UniqueFd open_memory(const char* name, unsigned flags) noexcept;
// A socket of the family AF_UNIX. `type`: of socket(2), without SOCK_CLOEXEC.
[[nodiscard]] RONDO_API UniqueFd open_socket(int type) noexcept;
// A socket of any family, by the numbers of socket(2).
[[nodiscard]] RONDO_API UniqueFd open_socket_of(int family, int type) noexcept;
// The next connection, which does not block.
[[nodiscard]] RONDO_API UniqueFd accept_from(NativeHandle listener) noexcept;
// Another descriptor of the same description.
[[nodiscard]] RONDO_API UniqueFd duplicate(NativeHandle fd) noexcept;
// A pipe that does not block; false: none, and both ends are empty.
[[nodiscard]] RONDO_API bool open_pipe(UniqueFd& reading, UniqueFd& writing) noexcept;
// An eventfd that does not block, and holds nothing.
[[nodiscard]] RONDO_API UniqueFd open_event() noexcept;
// A signalfd that does not block, for one signal.
[[nodiscard]] RONDO_API UniqueFd open_signal(int signal) noexcept;
// A pidfd: that process, and never another one that has its number later.
[[nodiscard]] RONDO_API UniqueFd open_process(int process) noexcept;
// An epoll descriptor.
[[nodiscard]] RONDO_API UniqueFd open_poller() noexcept;
// What tells of files that are opened and closed (inotify(7)), and a timer on the monotonic clock;
// they do not block.
[[nodiscard]] RONDO_API UniqueFd open_file_watch() noexcept;
[[nodiscard]] RONDO_API UniqueFd open_timer() noexcept;
// One that the kernel has put among ours, as it does with those that come over a socket.
[[nodiscard]] RONDO_API UniqueFd take_over(NativeHandle fd) noexcept;

}  // namespace rondo::inline RONDO_ABI::detail
