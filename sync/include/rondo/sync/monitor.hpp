// A monitor: a value between processes, the mutex that guards it, and the condition that it
// changed.
//
//   struct Book { std::uint64_t orders; std::uint64_t total; };
//   auto shared = sync::named<sync::monitor<Book>>("shm:book");
//   {
//     auto book = shared->enter();
//     if (book.owner_died()) { repair(*book); book.make_consistent(); }
//     book.wait([&] { return book->orders != 0; });
//     if (book.owner_died()) ...                       // others were inside meanwhile
//     book->orders -= 1;
//     book.notify_all();
//   }
//
// The value can be reached in no other way, and who is inside is alone. What is said of mutexes
// (mutex.hpp) holds: whoever comes after one that died inside is told so, and if it leaves without
// make_consistent(), nobody gets in any more. The value goes with the name when the last process
// leaves, unless it was opened with keep.
#pragma once

#include <cstddef>
#include <cstdint>
#include <type_traits>
#include <utility>

#include "rondo/core/atomic.hpp"
#include "rondo/core/platform.hpp"
#include "rondo/core/version.hpp"
#include "rondo/sync/condition_variable.hpp"
#include "rondo/sync/deadline.hpp"
#include "rondo/sync/doorbell.hpp"
#include "rondo/sync/member.hpp"
#include "rondo/sync/mutex.hpp"

namespace rondo::inline RONDO_ABI::sync {

// What lies in the segment.
//
//   offset  size       field    written by           meaning
//        0     4       mutex    see mutex.hpp
//        4     4       changed  see condition_variable.hpp
//       64  sizeof(T)  value    who owns the mutex
template <class T>
struct MonitorPart {
  static_assert(std::is_standard_layout_v<T> && std::is_trivially_destructible_v<T>);
  static_assert(alignof(T) <= kLineBytes);
  // Of another T of the same size, another one, if it has a tag of its own.
  static constexpr std::uint64_t kCommonTag = [] {
    std::uint64_t of_value = 0;
    if constexpr (requires { T::kCommonTag; }) of_value = T::kCommonTag;
    return (of_value * 0x9E37'79B9'7F4A'7C15 + sizeof(T)) << 3 | 4;
  }();

  MutexPart mutex;
  ConditionPart changed;
  alignas(kLineBytes) T value;
};
static_assert(offsetof(MonitorPart<int>, changed) == 4);
static_assert(offsetof(MonitorPart<int>, value) == 64);
static_assert(std::is_standard_layout_v<MonitorPart<int>>);

// A handle; all threads of a process may share it, and each process has its own.
template <class T, class System = BellSystem, class Member = member>
class basic_monitor {
  using Mutex = basic_mutex<System, Member>;

 public:
  using Part = MonitorPart<T>;
  class Inside;

  // `part` lies in the segment of which `who` is a member; both outlive this object.
  basic_monitor(Part& part, const Member& who) noexcept
      : part_(&part), mutex_(part.mutex, who), changed_(part.changed) {}

  // Gets in. Blocking. Throws what mutex::lock() throws.
  [[nodiscard]] Inside enter() {
    mutex_.lock();
    return Inside(*this);
  }
  // Gets in, or not, within a time: to be asked (`if (auto book = shared->try_enter(deadline))`).
  [[nodiscard]] Inside try_enter(Deadline deadline = Deadline::now()) noexcept {
    return mutex_.try_lock_until(deadline) ? Inside(*this) : Inside();
  }

  [[nodiscard]] static bool settled(const Part& part) noexcept {
    return Mutex::settled(part.mutex);
  }

 private:
  Part* part_;
  Mutex mutex_;
  basic_condition_variable<System> changed_;
};

// The time of one owner inside; ends with the object. One thread at a time. The monitor outlives
// it.
template <class T, class System, class Member>
class [[nodiscard]] basic_monitor<T, System, Member>::Inside {
 public:
  Inside() noexcept = default;  // outside
  Inside(Inside&& other) noexcept : monitor_(std::exchange(other.monitor_, nullptr)) {}
  Inside& operator=(Inside&& other) noexcept {
    std::swap(monitor_, other.monitor_);
    return *this;
  }
  ~Inside() { leave(); }

  [[nodiscard]] explicit operator bool() const noexcept { return monitor_ != nullptr; }
  [[nodiscard]] T& operator*() const noexcept { return monitor_->part_->value; }
  [[nodiscard]] T* operator->() const noexcept { return &monitor_->part_->value; }

  // Whether the one before died inside; that the value is sound again.
  [[nodiscard]] bool owner_died() const noexcept { return monitor_->mutex_.owner_died(); }
  bool make_consistent() noexcept { return monitor_->mutex_.make_consistent(); }

  // Lets others in until `condition` holds; with a deadline: whether it does. Ends, too, when
  // another one died inside: then owner_died() holds, and the condition was not looked at. So ask
  // for that first. Throws what mutex::lock() throws; this one is outside then.
  template <class Condition>
  void wait(Condition condition) {
    static_cast<void>(wait_until(Deadline::never(), condition));
  }
  template <class Condition>
  [[nodiscard]] bool wait_until(Deadline deadline, Condition condition) {
    Relock lock{*this, *monitor_};
    return monitor_->changed_.wait_until(lock, deadline, condition);
  }
  // Wakes those who wait, for another look.
  void notify_one() noexcept { monitor_->changed_.notify_one(); }
  void notify_all() noexcept { monitor_->changed_.notify_all(); }

  // As the destructor.
  void leave() noexcept {
    if (monitor_ != nullptr) std::exchange(monitor_, nullptr)->mutex_.unlock();
  }

 private:
  friend basic_monitor;
  // What a wait unlocks and locks: outside in between, also if that throws.
  struct Relock {
    Inside& inside;
    basic_monitor& monitor;
    [[nodiscard]] bool owner_died() const noexcept { return monitor.mutex_.owner_died(); }
    void unlock() noexcept { inside.leave(); }
    void lock() {
      monitor.mutex_.lock();
      inside.monitor_ = &monitor;
    }
  };
  explicit Inside(basic_monitor& monitor) noexcept : monitor_(&monitor) {}

  basic_monitor* monitor_ = nullptr;
};

template <class T>
using monitor = basic_monitor<T>;

}  // namespace rondo::inline RONDO_ABI::sync
