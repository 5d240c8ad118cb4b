// Which user a user id or group id belongs to. For Rondo's own sources: nothing else in them
// compares the ids of files and of other processes.
//
// Inside a user namespace the kernel shows every id that has none there as one and the same, the
// overflow id (user_namespaces(7); 65534 unless /proc/sys/kernel/overflowuid and overflowgid say
// otherwise). So two files with that owner may belong to two users, and a process that runs
// under it may be neither. It therefore matches no user, not even our own, unless every id
// is mapped, as outside of all namespaces: then it is an id like any other.
#pragma once

#include <cstdint>
#include <optional>
#include <string>

#include "rondo/core/permissions.hpp"
#include "rondo/core/version.hpp"

namespace rondo::inline RONDO_ABI::detail {

// Whether the id that the kernel told of a file or a process is `wanted`. They ask the kernel only
// where the answer depends on it; without /proc 65534 matches no user.
[[nodiscard]] RONDO_API bool is_user(std::uint32_t told, std::uint32_t wanted) noexcept;
[[nodiscard]] RONDO_API bool is_group(std::uint32_t told, std::uint32_t wanted) noexcept;
// Whether it is the effective user of this process.
[[nodiscard]] RONDO_API bool is_own_user(std::uint32_t told) noexcept;

// Asks the kernel now, for comparing later when no descriptors may be left to ask with. The
// answer is kept where every id is mapped, as long as this process stays in its user namespace.
RONDO_API void ask_about_ids() noexcept;

// For messages: "user 1000", and of an overflow id why it matches no user.
[[nodiscard]] RONDO_API std::string describe_user(std::uint32_t told);

// The group with this number, or with this name in /etc/group. (Groups that only a directory
// service knows have to be given by number: asking for them would load its libraries into this
// process.)
[[nodiscard]] RONDO_API std::optional<std::uint32_t> group_called(const std::string& name);

// A file's permissions as people write them: "0660".
[[nodiscard]] RONDO_API std::string octal(Permissions mode);

// Of a file with this owner, group and mode that does not let us in: what it has, and which side
// has to give which option, as the rest of a sentence. `asked`: our own mode=.
[[nodiscard]] RONDO_API std::string explain_mode(std::uint32_t owner, std::uint32_t group,
                                                 Permissions mode, Permissions asked);

}  // namespace rondo::inline RONDO_ABI::detail
