// The one thread of a process that does for wake descriptors (wake_descriptor.hpp) what nothing
// else does: it asks now and then whether the other side lives, and where there is no io_uring it
// sleeps on the words and writes the events. It begins with the first descriptor and ends with the
// last one, takes no signals, and a forked child has none until it makes a descriptor of its own.
#pragma once

#include <atomic>
#include <chrono>
#include <cstdint>
#include <span>

#include "rondo/core/callback.hpp"
#include "rondo/core/descriptor.hpp"
#include "rondo/core/platform.hpp"
#include "rondo/core/version.hpp"
#include "rondo/sync/deadline.hpp"
#include "rondo/sync/doorbell.hpp"

namespace rondo::inline RONDO_ABI::detail {

// What the thread knows of a descriptor. Lies still from add() to remove().
struct WakeEntry {
  static constexpr std::uint32_t kWoken = 1;  // the word changed, or the slice is over
  static constexpr std::uint32_t kNews = 2;   // the pulse changed

  NativeHandle event = kNoHandle;  // that is written
  Callback<std::uint64_t()> pulse{};
  std::atomic<bool> asleep{false};     // its pulse is asked for
  std::atomic<std::uint32_t> told{0};  // why it was written; the owner takes it
  // The thread's, under its mutex.
  std::uint64_t last_pulse = 0;
  std::span<const PreparedWait> waits{};
  PreparedWait one{};  // the place of a single wait
  Deadline due = Deadline::never();
};

class WakeThread {
 public:
  // How often the pulses are asked for: as often as any wait asks whether its peer lives.
  static constexpr std::chrono::nanoseconds kInterval = std::chrono::milliseconds(50);
  // How often the words are looked at where futex_waitv is missing, or they are too many.
  static constexpr std::chrono::nanoseconds kLookInterval = std::chrono::milliseconds(1);

  static WakeThread& instance();

  // False: no thread can be had. Asks for the pulse once.
  [[nodiscard]] bool add(WakeEntry& entry);
  // Afterwards the entry is not looked at any more.
  void remove(WakeEntry& entry) noexcept;
  // Writes the entry's event, once, when one of its words changes (`by_word`) or the shortest slice
  // is over. Several waits stay where they are until forget(); a single one is copied.
  void watch(WakeEntry& entry, std::span<const PreparedWait> waits, bool by_word) noexcept;
  // Ends that, and returns when the thread does not sleep on the words any more: no wake is spent
  // on them.
  void forget(WakeEntry& entry) noexcept;

 private:
  struct State;

  WakeThread();

  State* state_;  // never destroyed: handles may outlive the end of main()
};

}  // namespace rondo::inline RONDO_ABI::detail
