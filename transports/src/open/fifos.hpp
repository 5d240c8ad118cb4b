// What the transports ask of the system's FIFOs, and of the locks on one, one call each. `int`: 0,
// or the error.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>

#include "rondo/core/descriptor.hpp"
#include "rondo/core/permissions.hpp"
#include "rondo/core/version.hpp"
#include "stream/byte_stream.hpp"

namespace rondo::inline RONDO_ABI::detail {

// A new one with a name, for its user alone. EEXIST: the name is taken.
[[nodiscard]] int make_fifo(const std::string& path) noexcept;
// Exactly this mode, whatever the umask, of what stands at a path.
[[nodiscard]] int set_mode_at(const std::string& path, Permissions mode) noexcept;
// An end of what stands at a path, unless it is a symbolic link. Does not wait. None: errno says
// why; ENXIO: to write, and no process has it open to read.
[[nodiscard]] UniqueFd open_fifo_end(const std::string& path,
                                     ByteStream::Direction direction) noexcept;
// How much was written and not read.
[[nodiscard]] int unread_in(NativeHandle fifo, std::size_t& bytes) noexcept;

// Locks belong to an open file description, as those of core/os.hpp do.

// Takes that of the whole file, which is of another kind than the locks of bytes: the two do not
// meet.
[[nodiscard]] int lock_whole(NativeHandle file) noexcept;
// Takes a shared one of a byte: for that a descriptor to read will do.
[[nodiscard]] int share_byte(NativeHandle file, std::uint64_t byte) noexcept;
// Whether no other has a lock of the byte, not even a shared one. False, too, if none can tell.
[[nodiscard]] bool is_byte_free(NativeHandle file, std::uint64_t byte) noexcept;

}  // namespace rondo::inline RONDO_ABI::detail
