#include "open/error_of.hpp"
#include "open/posix_queues.hpp"

#include <fcntl.h>
#include <mqueue.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <charconv>
#include <system_error>

#include "rondo/core/cancellation_disabled.hpp"

namespace rondo::inline RONDO_ABI::detail {

UniqueFd open_queue(const std::string& name) noexcept {
  const CancellationDisabled here;
  return take_over(mq_open(name.c_str(), O_RDWR | O_NONBLOCK | O_CLOEXEC));
}

UniqueFd make_queue(const std::string& name, Permissions mode,
                    const QueueGeometry& geometry) noexcept {
  mq_attr attributes{};
  attributes.mq_maxmsg = static_cast<long>(geometry.slots);
  attributes.mq_msgsize = static_cast<long>(geometry.slot_bytes);
  const CancellationDisabled here;
  return take_over(mq_open(name.c_str(), O_RDWR | O_NONBLOCK | O_CLOEXEC | O_CREAT | O_EXCL,
                           static_cast<mode_t>(mode), &attributes));
}

int remove_posix_queue(const std::string& name) noexcept {
  return error_of(mq_unlink(name.c_str()));
}

int look_at_queue(NativeHandle queue, QueueGeometry& geometry, std::uint64_t& messages) noexcept {
  mq_attr attributes{};
  if (mq_getattr(queue, &attributes) != 0) return errno;
  geometry = {static_cast<std::uint64_t>(attributes.mq_maxmsg),
              static_cast<std::uint64_t>(attributes.mq_msgsize)};
  messages = static_cast<std::uint64_t>(attributes.mq_curmsgs);
  return 0;
}

int send_to_queue(NativeHandle queue, std::span<const std::byte> message,
                  unsigned priority) noexcept {
  const CancellationDisabled here;
  return error_of(
      mq_send(queue, reinterpret_cast<const char*>(message.data()), message.size(), priority));
}

int receive_from_queue(NativeHandle queue, std::span<std::byte> room, std::size_t& size_bytes,
                       unsigned& priority) noexcept {
  const CancellationDisabled here;
  const ssize_t size =
      mq_receive(queue, reinterpret_cast<char*>(room.data()), room.size(), &priority);
  if (size < 0) return errno;
  size_bytes = static_cast<std::size_t>(size);
  return 0;
}

std::optional<std::uint64_t> queue_limit(std::string_view name) {
  const UniqueFd file = open_file(("/proc/sys/fs/mqueue/" + std::string(name)).c_str(), O_RDONLY);
  std::array<char, 32> text{};
  const ssize_t size = file ? read(file.get(), text.data(), text.size()) : -1;
  std::uint64_t value = 0;
  if (size <= 0 || std::from_chars(text.data(), text.data() + size, value).ec != std::errc()) {
    return std::nullopt;
  }
  return value;
}

}  // namespace rondo::inline RONDO_ABI::detail
