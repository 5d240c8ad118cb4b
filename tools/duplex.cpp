// rondo bridge --duplex: what comes at either of two addresses goes out at the other one.
#include <poll.h>

#include <algorithm>
#include <array>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "commands.hpp"
#include "duplex_end.hpp"
#include "exit_code.hpp"
#include "passing.hpp"
#include "progress.hpp"
#include "rondo/rondo.hpp"
#include "rondo/sync/deadline.hpp"
#include "say.hpp"
#include "stop_signal.hpp"
#include "units.hpp"

namespace rondo::program {
namespace {

// One of the directions.
struct Lane {
  DuplexEnd& from;
  DuplexEnd& to;
  std::optional<Message> held{};  // taken, and not passed on yet
  // The same of a connection that was lost since.
  std::optional<std::pair<std::vector<std::byte>, std::vector<std::byte>>> kept{};
  bool full = false;      // `to` has no room for it
  bool staged = false;    // not all that was passed on is written
  bool silent = false;    // `from`, as it is now, sends nothing
  bool deaf = false;      // `to`, as it is now, receives nothing
  bool over = false;      // nothing more comes
  bool unwanted = false;  // nobody is to take it any more
  bool closed = false;    // and `to` has been told, or is gone
  bool drained = false;   // of what nobody is to take nothing more comes
  std::uint64_t passed = 0;
  std::uint64_t lost = 0;  // as there was nobody to take it

  [[nodiscard]] bool has_message() const noexcept { return held || kept; }
  [[nodiscard]] bool may_take() const noexcept { return from.is_open() && !silent && !over; }
  [[nodiscard]] bool may_drop() const noexcept { return from.is_open() && unwanted && !drained; }
  [[nodiscard]] bool may_pass() const noexcept { return to.can_send() && !deaf; }
  [[nodiscard]] PassedOn message() const noexcept {
    if (kept) return {kept->first, kept->second};
    return {held->header(), held->bytes()};
  }
  void drop_message() noexcept {
    held.reset();
    kept.reset();
  }
  // Before what it came from goes.
  void keep_message() {
    if (!held) return;
    const auto header = held->header();
    kept.emplace(std::vector(header.begin(), header.end()), held->take());
    held.reset();
  }
};

class Duplex {
 public:
  explicit Duplex(const BridgeOptions& options)
      : options_(options),
        ends_{DuplexEnd(options.from), DuplexEnd(options.to)},
        lanes_{Lane{ends_[0], ends_[1]}, Lane{ends_[1], ends_[0]}} {
    progress_.emplace("rondo bridge", options.progress, std::nullopt);
  }

  int run() {
    for (const DuplexEnd& end : ends_) {
      if (const auto good = end.check(); !good) {
        say_error("{}", good.error().message);
        return exit_code_of(good.error().code);
      }
    }
    ends_[0].begin_open();
    int code = pump();
    progress_.reset();
    if (code == kSuccess) code = close_all();
    for (const Lane& lane : lanes_) {
      if (lane.lost > 1) {
        say_note("{}: nobody there took {} messages that came from {}; they are lost",
                 lane.to.name(), grouped(lane.lost), lane.from.name());
      }
    }
    // Half a stream must not look like a whole one.
    for (Lane& lane : lanes_) lane.held.reset();
    for (DuplexEnd& end : ends_) end.give_up();
    return code;
  }

 private:
  // Until both directions have ended, --count is reached or a stop is requested, all of which are
  // success; or until something fails, which it says.
  int pump() {
    auto set = WaitSet::make(WaitMode::kAdaptive, &stop_signal::flag());
    if (!set) {
      say_error("{}", set.error().message);
      return kInOut;
    }
    while (!enough() && !ended()) {
      const std::uint64_t before = passed();
      for (DuplexEnd& end : ends_) {
        const int code = look_at(end);
        if (code != kSuccess) return code;
      }
      const int code = look_for_readers();
      if (code != kSuccess) return code;
      for (Lane& lane : lanes_) {
        const int moved = move(lane);
        if (moved != kSuccess) return moved;
        if (lane.may_drop()) drop_all(lane);
      }
      // What has ended with it is told on before all waits.
      bool settled = false;
      for (Lane& lane : lanes_) settled |= settle(lane);
      if (passed() == before && !settled && !ended()) wait(*set);
    }
    return kSuccess;
  }

  // What has been done beside.
  int look_at(DuplexEnd& end) {
    switch (end.take_done()) {
      case DuplexEnd::Work::kNone: return kSuccess;
      case DuplexEnd::Work::kOpening: return end.is_open() ? welcome(end) : end.code();
      case DuplexEnd::Work::kClosing: break;
    }
    to(end).closed = true;
    return end.close_status() == Status::kOk ? int{kSuccess} : lose(end, end.close_status());
  }

  // Who connects may do so for one direction alone. With --restart the other one rests meanwhile,
  // as the next who connects may do so for both.
  int welcome(DuplexEnd& end) {
    if (!std::exchange(both_begun_, true)) ends_[1].begin_open();
    Lane& out = to(end);
    Lane& in = from(end);
    in.silent = end.receiver().status() == Status::kClosed;
    out.deaf = end.sender().status() == Status::kClosed;
    if (options_.restart) return kSuccess;
    in.over |= in.silent;
    if (out.deaf) leave_out(out);
    return kSuccess;
  }

  // A connection that is over in one direction, and was never there in the other one, is over.
  // Whether that is news.
  bool settle(Lane& lane) {
    const Lane& back = from(lane.to);
    if (lane.closed || !lane.to.is_open()) return false;
    if (lane.deaf && (back.over || lane.over)) {
      leave_out(lane);
      return true;
    }
    if (lane.over || !lane.silent || !to(lane.from).closed) return false;
    return lane.over = true;
  }

  // Nobody is left to whom it could go.
  void leave_out(Lane& lane) {
    lane.over = lane.unwanted = lane.closed = true;
    if (lane.has_message()) lose_message(lane);
    if (lane.may_drop()) drop_all(lane);
  }
  void lose_message(Lane& lane) {
    if (++lane.lost == 1) {
      say_note("{}: nobody there takes messages; one that came from {} is lost", lane.to.name(),
               lane.from.name());
    }
    lost_ = kPeerVanished;
    lane.drop_message();
  }
  // What has come meanwhile, and then who sends it is told, where that can be.
  void drop_all(Lane& lane) {
    for (int i = 0; i < kAtOnce; ++i) {
      auto message = lane.from.receiver().try_next();
      if (!message) {
        lane.drained = lane.from.tells_senders() || lane.from.receiver().status() != Status::kOk;
        if (lane.drained) lane.from.receiver().detach();
        return;
      }
      lose_message(lane);
    }
  }

  // Who has ended what it sends, or never sent anything, may go without a word. That would show
  // with the next message to it, and never if there is none.
  int look_for_readers() {
    if (!std::ranges::any_of(lanes_, [this](Lane& lane) { return is_watched(lane); })) {
      return kSuccess;
    }
    if (!next_look_.passed()) return kSuccess;
    next_look_ = Deadline::after(kLookInterval);
    for (Lane& lane : lanes_) {
      if (!is_watched(lane) || lane.to.sender().receiver_attached()) continue;
      if (from(lane.to).silent || lane.staged || lane.has_message()) {
        return lose(lane.to, Status::kPeerGone);
      }
      leave_out(lane);  // it has hung up
    }
    return kSuccess;
  }
  [[nodiscard]] bool is_watched(const Lane& lane) {
    const Lane& back = from(lane.to);
    return lane.may_pass() && !lane.closed && (back.over || back.silent) &&
           lane.to.tells_of_readers();
  }

  // What can be moved now, but no more than the other direction can wait for.
  int move(Lane& lane) {
    lane.full = false;
    for (int i = 0; i < kAtOnce && !enough(); ++i) {
      const Status status = take(lane);
      if (status == Status::kWouldBlock) break;
      if (status != Status::kOk) return lose(lane.from, status);
      if (!lane.has_message() || !lane.may_pass()) break;
      const PassedOn message = lane.message();
      const std::size_t bytes = message.bytes.size();
      const Status sent =
          pass_on(message, lane.to.sender(), Deadline::now(), lane.passed + 1, lane.to.name());
      if (sent == Status::kTooLarge) return exit_code_of(sent);
      lane.full = sent == Status::kWouldBlock;
      if (lane.full || sent == Status::kInterrupted) break;
      if (sent != Status::kOk) return lose(lane.to, sent);
      lane.drop_message();
      ++lane.passed;
      progress_->count(bytes);
    }
    return write_out(lane);
  }

  // The next message, unless there is one. kOk without one: the direction is over.
  static Status take(Lane& lane) {
    if (lane.has_message()) return Status::kOk;
    if (!lane.may_take()) return Status::kWouldBlock;
    if (auto message = lane.from.receiver().try_next()) {
      lane.held.emplace(*std::move(message));
      return Status::kOk;
    }
    const Status status = lane.from.receiver().status();
    if (status == Status::kOk) return Status::kWouldBlock;
    lane.over = status == Status::kEnded || status == Status::kClosed;
    return lane.over ? Status::kOk : status;
  }

  // Then the end, once it has come.
  int write_out(Lane& lane) {
    // What is full has just been written as far as it goes, and is waited for: flush() would wake.
    if (!lane.may_pass() || lane.closed || lane.full) return kSuccess;
    const Status status = lane.to.sender().flush(Deadline::now());
    lane.staged = status == Status::kWouldBlock;
    if (lane.staged || status == Status::kInterrupted) return kSuccess;
    if (status != Status::kOk) return lose(lane.to, status);
    if (lane.over && !lane.has_message()) lane.to.begin_close();
    return kSuccess;
  }

  void wait(WaitSet& set) {
    // What is staged is tried again and again, as is what can't be waited for.
    constexpr std::chrono::milliseconds kSlice{10};
    Deadline deadline = Deadline::never();
    const auto added = [&](const Result<void>& result) {
      if (!result) deadline = Deadline::after(kSlice);
    };
    for (std::size_t i = 0; i < lanes_.size(); ++i) {
      Lane& lane = lanes_[i];
      if (lane.staged && !lane.full) deadline = Deadline::after(kSlice);
      if (is_watched(lane)) deadline = earlier(deadline, next_look_);
      if (lane.full) {
        added(set.add(lane.to.sender(), i, lane.message().bytes.size()));
      } else if (lane.may_drop() || (!lane.has_message() && lane.may_take())) {
        added(set.add(lane.from.receiver(), i));
      }
      if (ends_[i].busy()) added(set.add_descriptor(ends_[i].fd(), false, lanes_.size() + i));
    }
    std::array<WaitSet::Key, 4> room{};
    static_cast<void>(set.wait(room, deadline));
    for (std::size_t key = 0; key < room.size(); ++key) set.remove(key);
  }

  int lose(DuplexEnd& end, Status status) {
    // Who was told of an end in one direction is not to meet a new stream there.
    const bool ended = lanes_[0].over || lanes_[1].over;
    if (!options_.restart || ended || !may_return(status, end.url())) return report(end, status);
    from(end).keep_message();
    from(end).silent = false;
    to(end).full = to(end).staged = to(end).deaf = false;
    end.begin_open(end.losses().add(
        passed(),
        loss_of(end, status) + "; what was on its way to it is lost; waiting for another one"));
    return kSuccess;
  }
  int report(const DuplexEnd& end, Status status) {
    say_error("{}", loss_of(end, status));
    return exit_code_of(status);
  }
  [[nodiscard]] std::string loss_of(const DuplexEnd& end, Status status) {
    return fmt::format("{}: after {} messages from it and {} to it: {}", end.name(),
                       grouped(from(end).passed), grouped(to(end).passed), to_string(status));
  }

  // What was passed on is written, and the ends told, however long the readers take; after a stop,
  // which may come meanwhile, they have some seconds.
  int close_all() {
    for (DuplexEnd& end : ends_) {
      if (!end.is_open()) end.give_up();  // nobody waits for it any more
    }
    for (Lane& lane : lanes_) {
      if (lane.may_pass() && !lane.closed) lane.to.begin_close();
    }
    if (!stop_signal::requested()) {
      for (Lane& lane : lanes_) report_uncounted(lane);
    }
    constexpr int kSliceMilliseconds = 50;
    Deadline patience = Deadline::never();
    while (ends_[0].busy() || ends_[1].busy()) {
      if (stop_signal::requested()) patience = earlier(patience, Deadline::after(kPatience));
      if (patience.passed()) break;
      std::array<pollfd, 2> done{};
      for (std::size_t i = 0; i < done.size(); ++i) {
        done[i] = {ends_[i].busy() ? ends_[i].fd() : -1, POLLIN, 0};
      }
      // Who writes till all is taken before it reads is not waited for in vain.
      bool more = false;
      for (Lane& lane : lanes_) more |= drop_uncounted(lane);
      ::poll(done.data(), done.size(), more ? 0 : kSliceMilliseconds);
      for (DuplexEnd& end : ends_) static_cast<void>(end.take_done());
    }
    for (DuplexEnd& end : ends_) {
      if (stop_signal::requested() || end.close_status() == Status::kOk) continue;
      return report(end, end.close_status());
    }
    return lost_;
  }

  // It was taken, and --count was reached before it could be passed on.
  void report_uncounted(Lane& lane) {
    if (!lane.has_message()) return;
    say_note("{}: --count was reached; one message that came from {} is lost", lane.to.name(),
             lane.from.name());
    lost_ = kPeerVanished;
    lane.drop_message();
  }
  // What comes after --count was reached. Whether there was any.
  static bool drop_uncounted(Lane& lane) {
    if (!lane.from.is_open()) return false;
    int dropped = 0;
    while (dropped < kAtOnce && lane.from.receiver().try_next()) ++dropped;
    return dropped > 0;
  }

  [[nodiscard]] Lane& from(const DuplexEnd& end) { return lanes_[&end == &ends_[0] ? 0 : 1]; }
  [[nodiscard]] Lane& to(const DuplexEnd& end) { return lanes_[&end == &ends_[0] ? 1 : 0]; }
  [[nodiscard]] std::uint64_t passed() const noexcept {
    return lanes_[0].passed + lanes_[1].passed;
  }
  [[nodiscard]] bool ended() const noexcept { return lanes_[0].closed && lanes_[1].closed; }
  [[nodiscard]] bool enough() const noexcept {
    return (options_.count && passed() >= *options_.count) || stop_signal::requested();
  }

  static constexpr int kAtOnce = 64;
  static constexpr std::chrono::seconds kPatience{2};
  static constexpr std::chrono::milliseconds kLookInterval{500};

  const BridgeOptions& options_;
  std::array<DuplexEnd, 2> ends_;
  std::array<Lane, 2> lanes_;
  bool both_begun_ = false;
  Deadline next_look_ = Deadline::now();
  int lost_ = kSuccess;  // or the exit code that tells of a loss
  std::optional<Progress> progress_;
};

}  // namespace

int run_duplex(const BridgeOptions& options) {
  stop_signal::install();
  const int code = Duplex(options).run();
  if (stop_signal::requested()) stop_signal::die_of(stop_signal::number());
  return code;
}

}  // namespace rondo::program
