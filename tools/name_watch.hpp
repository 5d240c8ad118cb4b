// Waits that notice when the channel loses its name, and say it once: the transfer goes on, but
// no other process can join it, and one that opens the name next is in a channel of its own.
#pragma once

#include <chrono>
#include <string>

#include "options.hpp"
#include "patience.hpp"
#include "rondo/rondo.hpp"
#include "rondo/sync/deadline.hpp"
#include "say.hpp"

namespace rondo::program {

class NameWatch {
 public:
  // `info`: of the handle. Rings in segments alone lose their names: no other handle tells of its
  // name, and byte streams take a deadline in another way.
  NameWatch(const TransferOptions& options, const ChannelInfo& info)
      : name_(channel_name(options)), watching_(info.memory.has_value()) {}

  // Calls attempt(Deadline) until it comes to something or `limit` has passed, and returns its last
  // result: a Status, or a Polled. Once a second, `handle` is asked for its name. What needs no
  // waiting costs no look at the clock.
  template <class Handle, class Attempt>
  auto wait(const Handle& handle, Attempt attempt, Deadline limit = Deadline::never()) {
    if (watching_) {
      auto at_once = attempt(Deadline::now());
      if (!timed_out(at_once)) return at_once;
    }
    while (watching_) {
      const Deadline slice = earlier(limit, Deadline::after(kInterval));
      auto result = attempt(slice);
      if (!timed_out(result) || slice == limit) return result;
      if (!handle.info().at_its_name) say();
    }
    return attempt(limit);
  }

 private:
  static constexpr std::chrono::seconds kInterval{1};

  static bool timed_out(Status status) noexcept {
    return status == Status::kTimedOut || status == Status::kWouldBlock;
  }
  template <class T>
  static bool timed_out(const Polled<T>& polled) noexcept {
    return timed_out(polled.status());
  }
  void say() {
    watching_ = false;
    say_note(
        "{} has lost its name (rondo rm --force, or the system's RemoveIPC): this transfer goes "
        "on, but no other process can join it",
        name_);
  }

  std::string name_;
  bool watching_;
};

}  // namespace rondo::program
