// What the transports ask of the system's POSIX message queues, one call each. `int`: 0, or the
// error.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>

#include "rondo/core/descriptor.hpp"
#include "rondo/core/permissions.hpp"
#include "rondo/core/version.hpp"

namespace rondo::inline RONDO_ABI::detail {

struct QueueGeometry {
  std::uint64_t slots = 0;       // messages that it holds
  std::uint64_t slot_bytes = 0;  // of the largest
};

// A queue, to send and to receive, which does not block; none: errno says why. `name`: with its
// slash. Descriptors of queues can be waited for, and locked, as those of files (mq_overview(7)).
[[nodiscard]] UniqueFd open_queue(const std::string& name) noexcept;
// A new one. EEXIST: the name is taken.
[[nodiscard]] UniqueFd make_queue(const std::string& name, Permissions mode,
                                  const QueueGeometry& geometry) noexcept;
[[nodiscard]] int remove_posix_queue(const std::string& name) noexcept;

// Also how many messages are in it.
[[nodiscard]] int look_at_queue(NativeHandle queue, QueueGeometry& geometry,
                                std::uint64_t& messages) noexcept;
// EAGAIN: it is full, or empty. `room` is as large as the queue's slots. Messages of one priority
// stay in order.
[[nodiscard]] int send_to_queue(NativeHandle queue, std::span<const std::byte> message,
                                unsigned priority) noexcept;
[[nodiscard]] int receive_from_queue(NativeHandle queue, std::span<std::byte> room,
                                     std::size_t& size_bytes, unsigned& priority) noexcept;
// What /proc/sys/fs/mqueue has under that name: msg_default, msgsize_default, msg_max, msgsize_max,
// queues_max.
[[nodiscard]] std::optional<std::uint64_t> queue_limit(std::string_view name);

}  // namespace rondo::inline RONDO_ABI::detail
