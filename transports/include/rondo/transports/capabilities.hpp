// What each way to move bytes can do, and what it can't.
#pragma once

#include <cstdint>
#include <span>
#include <string_view>

#include "rondo/core/result.hpp"
#include "rondo/core/version.hpp"
#include "rondo/transports/url.hpp"

namespace rondo::inline RONDO_ABI {

struct Capabilities {
  // Messages are written and read where they lie, in memory that both sides have.
  bool zero_copy = false;
  // The mechanism itself keeps messages apart; else a framing does.
  bool keeps_boundaries = false;
  // The sender does not wait for every receiver: one that is late is told how many it lost.
  bool lossy = false;
  // Some messages may overtake others.
  bool priorities = false;
  bool many_senders = false;
  bool many_receivers = false;
  bool between_processes = false;
  bool between_hosts = false;
  // A peer that was killed is told from one that has left, by the kernel.
  bool sees_death = false;
  // fd() is of the mechanism itself; else it is made, and written to by the kernel or a thread.
  bool own_descriptor = false;
  // Which users may be at the other end is decided by the system, and by the options.
  bool authenticated = false;
  bool encrypted = false;
  // The largest message that any options allow; what a channel takes, its handles say.
  std::uint64_t max_message_bytes = 0;

  friend bool operator==(const Capabilities&, const Capabilities&) = default;
};

// Of the channel that `url` asks for, whether or not it is there: of its scheme, kind=, readers=
// and framing=.
[[nodiscard]] RONDO_API Capabilities capabilities(const Url& url) noexcept;
// The same. Errors: those of Url::parse().
[[nodiscard]] RONDO_API Result<Capabilities> capabilities(std::string_view url);

// All schemes that there are, in the order of the help.
[[nodiscard]] RONDO_API std::span<const Scheme> all_schemes() noexcept;

}  // namespace rondo::inline RONDO_ABI
