// rondo bridge --duplex: what comes at either of two addresses goes out at the other one.
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
  bool full = false;    // `to` has no room for it
  bool staged = false;  // not all that was passed on is written
  bool over = false;    // nothing more comes
  bool closed = false;  // and `to` has been told
  std::uint64_t passed = 0;

  [[nodiscard]] bool has_message() const noexcept { return held || kept; }
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
    int code = kSuccess;
    for (DuplexEnd& end : ends_) {
      if (code == kSuccess) code = end.open();
    }
    if (code == kSuccess) leave_out_what_is_not_there();
    if (code == kSuccess) code = pump();
    progress_.reset();
    if (code == kSuccess) close_all();
    // Half a stream must not look like a whole one.
    for (DuplexEnd& end : ends_) {
      if (end.is_open()) end.sender().break_off();
    }
    return code;
  }

 private:
  // Who connects may do so for one direction alone: then the other one is closed from the start.
  void leave_out_what_is_not_there() {
    for (Lane& lane : lanes_) {
      if (lane.to.sender().status() != Status::kClosed) continue;
      lane.over = lane.closed = true;
      lane.from.receiver().detach();
    }
  }

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
      for (Lane& lane : lanes_) {
        const int code = move(lane);
        if (code != kSuccess) return code;
      }
      if (passed() == before && !ended()) wait(*set);
    }
    return kSuccess;
  }

  // What can be moved now, but no more than the other direction can wait for.
  int move(Lane& lane) {
    constexpr int kAtOnce = 64;
    for (int i = 0; i < kAtOnce && !lane.over && !enough(); ++i) {
      const Status status = take(lane);
      if (status == Status::kWouldBlock) break;
      if (status != Status::kOk) return lose(lane.from, status);
      if (!lane.has_message()) break;
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
    if (auto message = lane.from.receiver().try_next()) {
      lane.held.emplace(*std::move(message));
      return Status::kOk;
    }
    const Status status = lane.from.receiver().status();
    if (status == Status::kOk) return Status::kWouldBlock;
    lane.over = status == Status::kEnded || status == Status::kClosed;
    return lane.over ? Status::kOk : status;
  }

  // Also of the end, once it has come.
  int write_out(Lane& lane) {
    if (lane.closed) return kSuccess;
    const Status status = lane.to.sender().flush(Deadline::now());
    lane.staged = status == Status::kWouldBlock;
    if (lane.staged) return kSuccess;
    if (status == Status::kOk && lane.over && !lane.has_message()) {
      // It takes a moment if the kernel's buffer is full. A reader that left after the last message
      // has not missed anything.
      static_cast<void>(lane.to.sender().close(Deadline::after(kPatience)));
      lane.closed = true;
    }
    if (status == Status::kOk || status == Status::kInterrupted) return kSuccess;
    return lose(lane.to, status);
  }

  void wait(WaitSet& set) {
    // What is staged is tried again and again, as is what can't be waited for.
    constexpr std::chrono::milliseconds kStagedSlice{10};
    Deadline deadline = Deadline::never();
    for (std::size_t i = 0; i < lanes_.size(); ++i) {
      Lane& lane = lanes_[i];
      if (lane.staged) deadline = Deadline::after(kStagedSlice);
      Result<void> added;
      if (lane.full) {
        added = set.add(lane.to.sender(), i, lane.message().bytes.size());
      } else if (!lane.over) {
        added = set.add(lane.from.receiver(), i);
      }
      if (!added) deadline = Deadline::after(kStagedSlice);
    }
    std::array<WaitSet::Key, 2> room{};
    static_cast<void>(set.wait(room, deadline));
    for (std::size_t i = 0; i < lanes_.size(); ++i) set.remove(i);
  }

  int lose(DuplexEnd& end, Status status) {
    const std::string what =
        fmt::format("{}: after {} messages from it and {} to it: {}", end.name(),
                    grouped(from(end).passed), grouped(to(end).passed), to_string(status));
    // Who was told of an end in one direction is not to meet a new stream there.
    const bool ended = lanes_[0].over || lanes_[1].over;
    if (!options_.restart || ended || !is_lost(status)) {
      say_error("{}", what);
      return exit_code_of(status);
    }
    from(end).keep_message();
    end.losses().add(passed(),
                     what + "; what was on its way to it is lost; waiting for another one");
    const int code = end.open();
    for (Lane& lane : lanes_) lane.full = lane.staged = false;
    if (code == kSuccess) leave_out_what_is_not_there();
    return code;
  }

  // What was passed on is written, and the ends told: a reader that does not take it has some
  // seconds.
  void close_all() {
    const stop_signal::PutOff put_off;
    const Deadline deadline = Deadline::after(kPatience);
    for (DuplexEnd& end : ends_) {
      if (end.sender().flush(deadline) == Status::kOk) {
        static_cast<void>(end.sender().close(deadline));
      }
    }
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

  static constexpr std::chrono::seconds kPatience{2};

  const BridgeOptions& options_;
  std::array<DuplexEnd, 2> ends_;
  std::array<Lane, 2> lanes_;
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
