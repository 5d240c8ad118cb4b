// The one thread of a process that does for wake descriptors (wake_descriptor.hpp) and waits over
// many (close_watch.hpp) what nothing else does: it hears from the kernel whose files were closed
// and asks then, or now and then, whether the other side lives; and where there is no io_uring it
// sleeps on the words and writes the events. It begins with the first that needs it and ends with
// the last one, takes no signals, and a forked child has none until it needs one itself.
#pragma once

#include <atomic>
#include <chrono>
#include <cstdint>
#include <span>
#include <utility>

#include "file_news.hpp"
#include "rondo/core/callback.hpp"
#include "rondo/core/descriptor.hpp"
#include "rondo/core/platform.hpp"
#include "rondo/core/version.hpp"
#include "rondo/sync/close_watch.hpp"
#include "rondo/sync/deadline.hpp"
#include "rondo/sync/doorbell.hpp"
#include "rondo/sync/look_again.hpp"

namespace rondo::inline RONDO_ABI::detail {

// A file whose closings are told. Lies still from the call that begins that to the one that ends
// it.
struct FileEntry {
  Callback<void()> tell{};             // called by the thread, under its mutex
  std::atomic<std::uint32_t> news{0};  // how often there was something
  std::atomic<bool> stands{false};     // more may come
  // The thread's, under its mutex.
  int number = FileNews::kNone;
  bool marked = false;  // it is to be told
};

// A number that changes when there is news.
struct Pulse {
  Callback<std::uint64_t()> ask{};
  std::uint64_t last = 0;

  // Whether there is.
  [[nodiscard]] bool changed() noexcept {
    const std::uint64_t now = ask();
    return std::exchange(last, now) != now;
  }
};

// What the thread knows of a descriptor. Lies still from add() to remove().
struct WakeEntry {
  static constexpr std::uint32_t kWoken = 1;  // the word changed, or the slice is over
  static constexpr std::uint32_t kNews = 2;   // a pulse changed

  const UniqueFd* event = nullptr;      // that is written
  std::atomic<bool> asleep{false};      // its pulses are asked for
  std::atomic<std::uint32_t> slept{0};  // how often the owner fell asleep
  std::atomic<std::uint32_t> told{0};   // why it was written; the owner takes it
  // The thread's, under its mutex, from add() on.
  Pulse by_time{};
  bool seldom = false;  // that is asked for, while the owner does nothing
  std::uint32_t slept_seen = 0;
  Deadline quiet_at = Deadline::now();
  Pulse by_closing{};  // of the file `watched`
  NativeHandle watched = kNoHandle;
  std::span<const PreparedWait> waits{};
  PreparedWait one{};  // the place of a single wait
  Deadline due = Deadline::never();
  FileEntry file{};
  std::uint32_t news_seen = 0;
  LookAgain again{};
};

class WakeThread {
 public:
  // How often the pulses are asked for that no file stands for: as often as any wait asks whether
  // its peer lives.
  static constexpr std::chrono::nanoseconds kInterval = std::chrono::milliseconds(50);
  // How often those of entries that have it so, and of which the owner has done nothing for kBusy.
  static constexpr std::chrono::nanoseconds kSeldom = std::chrono::milliseconds(500);
  static constexpr std::chrono::nanoseconds kBusy = std::chrono::seconds(1);
  // How often those that one does, when nothing is told.
  static constexpr std::chrono::nanoseconds kAtLast = CloseWatch::kAtLast;
  // How often the words are looked at where futex_waitv is missing, or they are too many.
  static constexpr std::chrono::nanoseconds kLookInterval = std::chrono::milliseconds(1);
  // What is told of files within so long is taken at once: somebody may close one all the time.
  static constexpr std::chrono::nanoseconds kNewsInterval = std::chrono::milliseconds(10);

  static WakeThread& instance();

  // False: no thread can be had. Asks for the pulses once. Before `file` is closed by somebody,
  // by_closing does not change; if there is none, that is asked for by time, too. It is open until
  // remove().
  [[nodiscard]] bool add(WakeEntry& entry, NativeHandle file = kNoHandle);
  // Afterwards the entry is not looked at any more.
  void remove(WakeEntry& entry) noexcept;
  // Writes the entry's event, once, when one of its words changes (`by_word`) or the shortest slice
  // is over. Several waits stay where they are until forget(); a single one is copied.
  void watch(WakeEntry& entry, std::span<const PreparedWait> waits, bool by_word) noexcept;
  // Ends that, and returns when the thread does not sleep on the words any more: no wake is spent
  // on them.
  void forget(WakeEntry& entry) noexcept;

  // False: the file can't be watched, or no thread can be had.
  [[nodiscard]] bool watch_file(FileEntry& entry, NativeHandle file);
  void forget_file(FileEntry& entry) noexcept;

 private:
  struct State;

  WakeThread();

  State* state_;  // never destroyed: handles may outlive the end of main()
};

}  // namespace rondo::inline RONDO_ABI::detail
