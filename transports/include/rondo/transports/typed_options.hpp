// How a typed handle is opened, whatever stands behind it (typed.hpp, typed_latest.hpp).
#pragma once

#include <atomic>
#include <chrono>
#include <cstdint>
#include <string_view>

#include "rondo/core/segment.hpp"
#include "rondo/core/version.hpp"
#include "rondo/sync/wait.hpp"

namespace rondo::inline RONDO_ABI {

struct TypedOptions {
  // Values in a ring that is made here, a power of two; 0: what 1 MiB holds. Of a ring that is
  // there, what it has to have; 0: whatever it has. A cell has none.
  std::uint64_t slots = 0;
  // Readers that a cell made here has places for, up to 64.
  std::uint32_t readers = 16;
  // A number of your own for the type, such as its version: both sides say the same. It tells types
  // of one size apart; those of different sizes are told apart without it.
  std::uint64_t tag = 0;
  // Of a receiver: it gives each value back at once, instead of an eighth of the ring at a time. So
  // flush() ends when all was read, and of what a dead receiver had read at most one value comes
  // again. The sender's line is fetched for each value then.
  bool acknowledge_each = false;
  WaitMode wait = WaitMode::kAdaptive;
  // When it becomes true, every wait of the handle ends with kInterrupted, and one of opening it
  // with kTimedOut. It outlives the handle.
  const std::atomic<bool>* stop = nullptr;
  // How long opening waits: a sender for the receiver of an earlier stream that has not gone yet; a
  // reader of a cell for its writer.
  std::chrono::nanoseconds timeout = std::chrono::seconds(5);
  bool keep = false;  // the name stays when this one leaves, also as the last participant
  // Of what is made here; of what is there, `mode` is what others may be allowed at most.
  SegmentOptions segment = {};
  std::string_view participant = {};  // for people; empty: the program's name
};

}  // namespace rondo::inline RONDO_ABI
