// What the transports ask of the system's sockets, one call each: sockets with names in the file
// system, and who is at their other end. `int`: 0, or the error.
#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <span>
#include <string>

#include "rondo/core/descriptor.hpp"
#include "rondo/core/permissions.hpp"
#include "rondo/core/version.hpp"
#include "rondo/sync/deadline.hpp"

namespace rondo::inline RONDO_ABI::detail {

enum class SocketKind : std::uint8_t {
  kStream,    // of bytes
  kMessages,  // each arrives whole or not at all
  kDatagrams  // the same, and without a connection
};

// A new socket that does not block; none: errno says why.
[[nodiscard]] UniqueFd make_socket(SocketKind kind) noexcept;
// Gives it a name, with the mode of the socket, less the umask.
[[nodiscard]] int bind_to(NativeHandle socket, const std::string& path) noexcept;
[[nodiscard]] int listen_on(NativeHandle socket, int backlog) noexcept;
// From now on none can connect, and those that have, and were not accepted, still can be.
void stop_listening(NativeHandle socket) noexcept;
// Nothing goes over it any more, whoever else has it open.
void hang_up(NativeHandle socket) noexcept;
[[nodiscard]] int connect_to(NativeHandle socket, const std::string& path) noexcept;
// Whether one has connected to a listening socket and was not accepted yet: what accept(2) says
// first of all is that there is no descriptor for it. Where that can't be told, there may be one.
[[nodiscard]] bool may_be_queued(NativeHandle socket) noexcept;
// Of an error of accept(2): whether it was about a connection that has gone again, and not about
// the socket.
[[nodiscard]] bool is_of_a_connection(int error) noexcept;
// Whether a process listens at the name. A connection of another type tells without disturbing: a
// living socket says that the type is wrong, a dead one that none is there.
[[nodiscard]] bool is_listening(const std::string& path) noexcept;
// Of what pin_file() has pinned.
[[nodiscard]] int set_mode_of_pinned(NativeHandle pin, Permissions mode);

struct PeerCredentials {
  std::uint32_t process = 0;
  std::uint32_t user = 0;
  std::uint32_t group = 0;
};
// Those of the other end, as the kernel has them: of a listener, as of the time it began to.
[[nodiscard]] int credentials_of(NativeHandle socket, PeerCredentials& credentials) noexcept;

// The group whose rights this process has.
[[nodiscard]] std::uint32_t effective_group() noexcept;

// Whether the byte went out. May block.
[[nodiscard]] bool send_byte(NativeHandle socket, std::byte byte) noexcept;

// What has come and is there now, up to the length of `bytes`; 0: the other side has ended; -1: not
// now, or why not, in errno. Does not wait. `peek`: it stays there.
[[nodiscard]] std::ptrdiff_t receive_now(NativeHandle socket, std::span<std::byte> bytes,
                                         bool peek = false) noexcept;
// Whether all of them went out, at once.
[[nodiscard]] bool send_now(NativeHandle socket, std::span<const std::byte> bytes) noexcept;
// `timer` (open_timer()) is readable from then on, and until it is set anew.
void set_timer(NativeHandle timer, Deadline time) noexcept;

inline constexpr std::size_t kMaxWaitedFor = 32;
// How long a wait may last at most before another look at what no socket tells.
inline constexpr std::chrono::milliseconds kWaitSlice{50};
// Waits until one of the sockets, kMaxWaitedFor at most, has something to be read or accepted, or
// has gone; until `deadline` at most, in whole milliseconds. kNoHandle: none in its place.
void wait_readable(std::span<const NativeHandle> sockets, Deadline deadline) noexcept;

}  // namespace rondo::inline RONDO_ABI::detail
