// A message queue of the system's, as an end of a channel needs it: mq.cpp and sysv.cpp have one
// each. Each message in it says how large the headers of ours are (header=), so that a receiver
// that goes on where another one stopped knows it as well: a POSIX one by its priority, a System V
// one by its type.
#pragma once

#include <atomic>
#include <cerrno>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>

#include "rondo/core/liveness.hpp"
#include "rondo/core/platform.hpp"
#include "rondo/core/result.hpp"
#include "rondo/core/version.hpp"
#include "rondo/sync/deadline.hpp"
#include "rondo/sync/wait.hpp"
#include "rondo/transports/url.hpp"
#include "stream/byte_stream.hpp"

namespace rondo::inline RONDO_ABI::detail {

// Of Queue::hold(): another one has it.
[[nodiscard]] inline bool is_anothers(int error) noexcept {
  return error == EAGAIN || error == EACCES;
}

// One thread at a time, but for held() and leads_elsewhere(). `int`: 0, or the error.
class Queue {
 public:
  using Direction = ByteStream::Direction;
  // What a process can have in a queue until it gives it back or is gone: the roles, a receiver's
  // word that it has met its sender, and the right to judge the name.
  enum class Part : std::uint8_t { kSender, kReceiver, kMet, kName };
  static constexpr int kParts = 4;

  virtual ~Queue() = default;

  // is_anothers(), or EPIPE: it is there no more.
  [[nodiscard]] virtual int hold(Part part) noexcept = 0;
  virtual void drop(Part part) noexcept = 0;
  // Whether another one has it. Not asked of what we have ourselves.
  [[nodiscard]] virtual Presence held(Part part) const noexcept = 0;

  [[nodiscard]] virtual std::size_t max_packet_bytes() const noexcept = 0;
  // EAGAIN: it is full, or empty; EPIPE: it is there no more. `room` has max_packet_bytes().
  // EBADMSG: what was received has other headers than ours, or did not fit, and is there no more.
  // ENOMSG: what is there has other headers, and stays, in a queue that tells of them before.
  [[nodiscard]] virtual int send(std::span<const std::byte> packet) noexcept = 0;
  [[nodiscard]] virtual int receive(std::span<std::byte> room,
                                    std::size_t& size_bytes) noexcept = 0;
  [[nodiscard]] virtual bool any_messages() const noexcept = 0;
  // As ByteStream::wait().
  [[nodiscard]] virtual WaitResult wait(Direction direction, Deadline deadline, WaitMode mode,
                                        const std::atomic<bool>* stop) const noexcept = 0;
  // kNoHandle: there is none; then, for another thread, whether there is anything to receive, or
  // room.
  [[nodiscard]] virtual NativeHandle fd() const noexcept = 0;
  [[nodiscard]] virtual bool ready(Direction) const noexcept { return false; }

  // Whether it was made when it was opened here.
  [[nodiscard]] virtual bool made() const noexcept = 0;
  // Whether it is certain that the name does not lead here any more.
  [[nodiscard]] virtual bool leads_elsewhere() const noexcept = 0;
  // Takes the name away.
  virtual int remove() noexcept = 0;
  virtual void close() noexcept = 0;
};

// Of one that was made here and is to go again. Those who have it open and hold no part of it yet
// find that the name leads elsewhere.
[[nodiscard]] inline bool nobody_came_to(const Queue& queue) noexcept {
  const auto is_free = [&](Queue::Part part) { return queue.held(part) == Presence::kAbsent; };
  return !queue.any_messages() && is_free(Queue::Part::kSender) && is_free(Queue::Part::kReceiver);
}

// The queue at a URL, or a new one, for an end of that direction.
using OpenQueue = Result<std::unique_ptr<Queue>> (*)(const Url& url, Queue::Direction);

}  // namespace rondo::inline RONDO_ABI::detail
