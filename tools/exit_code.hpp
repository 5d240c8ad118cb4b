// What the program's exit codes mean. They are documented in docs/program.md and never change.
#pragma once

#include "rondo/core/result.hpp"
#include "rondo/transports/status.hpp"

namespace rondo::program {

enum ExitCode : int {
  kSuccess = 0,
  kUsage = 2,         // an option, URL or capacity that can't be meant
  kCannotOpen = 3,    // the channel can't be opened; the message says what stands there
  kTimedOut = 4,      // the other side did not come within --wait
  kPeerVanished = 5,  // the other side was killed, or left before the end
  kCorruptData = 6,   // the channel holds bytes that no honest peer writes
  kInOut = 7,         // reading the input or writing the output failed
  kRefused = 8,       // a service refused what was asked of it
  // 128 + n: ended by signal n, as shells report it
};

// The exit code for an error met while opening a channel.
[[nodiscard]] ExitCode exit_code_of(ErrorCode code) noexcept;

// The exit code for what ended a transfer.
[[nodiscard]] ExitCode exit_code_of(Status status) noexcept;

}  // namespace rondo::program
