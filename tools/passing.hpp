// What passes messages on, whatever its ends are: how one goes on as it is, and what is said of one
// that can't, or of an end that is lost.
#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>

#include "rondo/rondo.hpp"
#include "rondo/sync/deadline.hpp"

namespace rondo::program {

struct PassedOn {
  std::span<const std::byte> header;
  std::span<const std::byte> bytes;
};

// kTooLarge: it does not fit, which has been said: it is message `number`, and `to` is the
// channel's name. Else as Sender::send(). What the sender's headers have beyond this one is zeros.
Status pass_on(const PassedOn& message, Sender& sender, Deadline deadline, std::uint64_t number,
               std::string_view to);

// Whether another one may come to `url` in place of one that was lost so: not through a descriptor.
[[nodiscard]] bool may_return(Status status, std::string_view url) noexcept;

// Before an end is opened anew, again and again: how long that waits, and how often it is said.
class Losses {
 public:
  // After `passed` messages: says why, and returns how long to rest; the more often nothing has
  // passed in between, the longer, and says it the less often.
  [[nodiscard]] std::chrono::milliseconds add(std::uint64_t passed, const std::string& why);

 private:
  std::optional<std::uint64_t> passed_before_;
  std::uint64_t count_ = 0;  // since then
};

}  // namespace rondo::program
