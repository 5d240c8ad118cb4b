// What others hand over through a socket: descriptors, of anything. To close one may wait for as
// long as its giver likes (a socket that lingers, a file system that is a program of his), and so
// may reading it, or asking for its size. So
//
//  - on the sockets that we listen at, no peer can hand anything over before it was judged (Linux
//    6.16; what it sends then fails at its side);
//  - what comes all the same stays in the queue of its connection, unless it is the memory that was
//    expected; the kernel tells that from everything else without touching it;
//  - a connection with such a thing in its queue, or a descriptor that was taken out, is not closed
//    but left open, for the life of the process. After a few of those no peer is let in any more.
//
// No other place is free of the wait: the last closing, whoever's it is, runs in the thread that
// does it, also when a queue goes with its socket.
#pragma once

#include <cstddef>
#include <cstdint>

#include "stream/owned_fd.hpp"

#include "rondo/core/version.hpp"

namespace rondo::inline RONDO_ABI::detail {

// So many descriptors of unpermitted peers a process leaves open at most.
inline constexpr int kMaxLeaked = 32;

// Whether descriptors can be handed over through `socket`, and through those that connect to it
// from now on. Where the kernel can't refuse them nothing happens.
void set_pass_descriptors(NativeHandle socket, bool taken) noexcept;

inline constexpr std::uint64_t kAnySize = ~std::uint64_t{0};

// Whether `fd` is memory that was made by memfd_create() or lies on tmpfs: what can be looked at
// and closed without waiting for a peer. And, unless that is kAnySize, whether it has at most
// `most_bytes`, for good: the last closing gives memory back page by page, for seconds if it is
// much.
[[nodiscard]] bool is_memory(NativeHandle fd, std::uint64_t most_bytes) noexcept;

// Lets go of a descriptor that may be anything.
void leak(OwnedFd fd) noexcept;
// Closes them all: for tests, whose unpermitted peers are harmless.
void close_leaked() noexcept;
// Whether more of that can be borne.
[[nodiscard]] bool can_leak() noexcept;

// Closes a connection, or leaves it open if something is in its queue that must not be closed.
void close_or_leak(OwnedFd socket) noexcept;

// A connection to a peer that may be hostile.
class UntrustedSocket {
 public:
  explicit UntrustedSocket(OwnedFd socket) noexcept : socket_(std::move(socket)) {}
  UntrustedSocket(UntrustedSocket&&) noexcept = default;
  UntrustedSocket& operator=(UntrustedSocket&&) noexcept = default;  // swaps
  ~UntrustedSocket() {
    if (socket_) close_or_leak(std::move(socket_));
  }
  [[nodiscard]] NativeHandle get() const noexcept { return socket_.get(); }

 private:
  OwnedFd socket_;
};

}  // namespace rondo::inline RONDO_ABI::detail
