// rondo send: standard input becomes messages.
#include <unistd.h>

#include <algorithm>
#include <array>
#include <chrono>
#include <cstdlib>
#include <string>

#include "commands.hpp"
#include "exit_code.hpp"
#include "input.hpp"
#include "name_watch.hpp"
#include "patience.hpp"
#include "progress.hpp"
#include "rondo/rondo.hpp"
#include "say.hpp"
#include "sending_end.hpp"
#include "stop_signal.hpp"
#include "units.hpp"

namespace rondo::program {
namespace {

constexpr std::size_t kInputBuffer = std::size_t{256} << 10;
constexpr std::size_t kSmallestBlock = std::size_t{4} << 10;
constexpr std::size_t kLargestBlock = std::size_t{1} << 20;

// Moves messages until the input ends, --count is reached, or a stop is requested (all of which are
// success), or until something fails, which it says.
class Pump {
 public:
  Pump(Sender& sender, Input& input, Progress& progress, const TransferOptions& options,
       NameWatch& watch)
      : sender_(sender), input_(input), progress_(progress), options_(options), watch_(watch) {}

  int run() {
    switch (options_.format) {
      case Format::kLines: return lines();
      case Format::kRecords: return records();
      case Format::kBlocks: return blocks();
    }
    return kUsage;
  }

 private:
  int lines() {
    BufferedInput input(input_, kInputBuffer);
    while (!enough()) {
      const auto line = input.next_line(sender_.max_message_bytes());
      if (!line)
        return input.line_too_long() ? too_large("a line", std::nullopt) : judge_input(input_);
      const Status status =
          watch_.wait(sender_, [&](Deadline deadline) { return sender_.send(*line, deadline); });
      if (status != Status::kOk) return channel_failed(status);
      count(line->size() + 1);
    }
    return kSuccess;
  }

  int records() {
    BufferedInput input(input_, kInputBuffer);
    while (!enough()) {
      std::array<std::byte, 4> length_bytes;
      const std::size_t length_read = input.read_fully(length_bytes);
      if (length_read == 0) return judge_input(input_);
      if (length_read < length_bytes.size()) return record_cut_short();
      std::size_t size = 0;
      for (std::size_t i = 0; i < length_bytes.size(); ++i) {
        size |= std::to_integer<std::size_t>(length_bytes[i]) << (8 * i);
      }
      if (size > sender_.max_message_bytes()) return too_large("a record", size);
      auto claim = this->claim(size);
      if (!claim) return channel_failed(claim.status());
      if (input.read_fully(claim->bytes()) < size) return record_cut_short();
      std::move(*claim).commit();
      count(size + length_bytes.size());
    }
    return kSuccess;
  }

  // Each read goes straight into the ring.
  int blocks() {
    const std::size_t most = sender_.max_message_bytes();
    // Of a pool of frames a whole one.
    const bool frames = sender_.info().as<FramesInfo>() != nullptr;
    const std::size_t size = options_.block_bytes.value_or(
        frames ? most : std::clamp(most / 4, kSmallestBlock, kLargestBlock));
    if (size > most) return too_large("a block", size);
    while (!enough()) {
      auto claim = this->claim(size);
      if (!claim) return channel_failed(claim.status());
      const std::size_t filled = options_.block_bytes ? input_.read_fully(claim->bytes())
                                                      : input_.read_some(claim->bytes());
      if (filled == 0) return judge_input(input_);
      claim->shrink(filled);
      std::move(*claim).commit();
      count(filled);
    }
    return kSuccess;
  }

  Polled<Claim> claim(std::size_t size) {
    return watch_.wait(sender_, [&](Deadline deadline) { return sender_.claim(size, deadline); });
  }
  void count(std::size_t input_bytes) noexcept {
    ++sent_;
    progress_.count(input_bytes);
  }
  [[nodiscard]] bool enough() const noexcept {
    return (options_.count && sent_ >= *options_.count) || stop_signal::requested();
  }

  int record_cut_short() const {
    if (input_.state() != Input::State::kEnd) return judge_input(input_);
    say_error("standard input ends inside record {}", grouped(sent_ + 1));
    return kInOut;
  }
  int channel_failed(Status status) const {
    if (status == Status::kInterrupted) return kSuccess;
    say_error("after {} messages: {}", grouped(sent_), what_happened_to_receiver(status));
    return exit_code_of(status);
  }
  int too_large(std::string_view what, std::optional<std::uint64_t> bytes) const {
    const std::string size = bytes ? fmt::format(" of {} bytes", grouped(*bytes)) : "";
    const ChannelInfo info = sender_.info();
    const std::string url = channel_name(options_);
    // Where the size is not known: twice as much as there was room for.
    const std::uint64_t needed = round_up(info.header_bytes, kMessageAlignment) + info.align_bytes -
                                 kMessageAlignment + bytes.value_or(2 * info.max_message_bytes);
    std::string header = info.header_bytes > 0 ? fmt::format("&header={}", info.header_bytes) : "";
    if (info.align_bytes > kMessageAlignment) header += fmt::format("&align={}", info.align_bytes);
    const std::string frames = fmt::format("'{}?kind=frames&frame_size={}{}'", url, needed, header);
    std::string remedy;
    if (info.as<FramesInfo>() != nullptr) {
      remedy = fmt::format("larger frames, such as {}", frames);
    } else if (info.as<MpmcInfo>() != nullptr) {
      remedy =
          fmt::format("larger slots, such as '{}?kind=mpmc&slot_size={}{}'", url, needed, header);
    } else {
      remedy = fmt::format("a larger capacity, at least '{}?capacity={}{}'", url,
                           format_size(capacity_for(needed)), header);
      if (info.scheme == Scheme::kShm || info.scheme == Scheme::kFile ||
          info.scheme == Scheme::kSysvShm) {
        remedy += fmt::format(", or frames, whose sender does not wait: {}", frames);
      }
    }
    say_error(
        "message {} is {}{}, but the largest this channel can carry is {} bytes; give the "
        "URL {}",
        grouped(sent_ + 1), what, size, grouped(info.max_message_bytes), remedy);
    return options_.format == Format::kBlocks ? kUsage : kInOut;
  }
  // The smallest in which such messages always fit.
  [[nodiscard]] static std::uint64_t capacity_for(std::uint64_t bytes) {
    std::uint64_t capacity = record_ring::kMinCapacity;
    while (record_ring::max_record_bytes(capacity) < bytes &&
           capacity < record_ring::kMaxCapacity) {
      capacity *= 2;
    }
    return capacity;
  }

  Sender& sender_;
  Input& input_;
  Progress& progress_;
  const TransferOptions& options_;
  NameWatch& watch_;
  std::uint64_t sent_ = 0;
};

// What the vanished receiver left unread must not be met by the next users of the name. Refused if
// one has come since: then it is theirs, as it is if they have made another one.
void discard_channel(const TransferOptions& options, std::uint64_t instance_id) {
  const auto url = Url::parse(options.url);
  if (!url || !url->segment()) return;
  const auto there = inspect(url->name());
  if (there && there->instance_id == instance_id) static_cast<void>(remove(url->name()));
}

// The user is told when this goes on with what an earlier sender has left. Returns whether there
// was anything.
bool say_what_was_found(const Sender& sender, const TransferOptions& options) {
  const ChannelInfo found = sender.info();
  const MpmcInfo* const shared = found.as<MpmcInfo>();
  if (shared != nullptr ? shared->pending_messages == 0 : found.messages == 0) return false;
  if (shared != nullptr && found.participants.size() > 1) return true;
  say_note("{} is taken up as it was left: {}, {}; with 'start=fresh' it would begin anew",
           channel_name(options),
           shared != nullptr ? fmt::format("{} messages unread", grouped(shared->pending_messages))
                             : fmt::format("{} messages sent before", grouped(found.messages)),
           shared != nullptr || found.pending_bytes != 0
               ? fmt::format("{} bytes unread", grouped(found.pending_bytes))
               : std::string("nothing unread"));
  return true;
}

int send(const TransferOptions& options) {
  const Patience patience(options, "a receiver");
  auto sender = open_patiently<Sender>(url_with_options(options), open_options(options), patience);
  if (!sender) return report_open_error(sender.error(), patience);

  const bool taken_up = say_what_was_found(*sender, options);
  NameWatch watch(options, sender->info());
  int code = options.keep ? int{kSuccess} : await_receiver(*sender, options, patience, watch);
  if (code == kSuccess) {
    // With wake_every= and the like: the receiver is told of all that was read before.
    const auto wake = [&] { static_cast<void>(sender->wake()); };
    Input input(STDIN_FILENO, wake);
    Progress progress("rondo send", options.progress, input.remaining_bytes());
    code = Pump(*sender, input, progress, options, watch).run();
    if (code == kSuccess) code = finish(*sender, options, watch);
  }
  // Half a stream must not look like a whole one.
  const ChannelInfo info = sender->info();
  if (code != kSuccess) sender->break_off();
  // What is left may be another's.
  const bool mine = info.as<MpmcInfo>() == nullptr && !taken_up;
  if (code == kPeerVanished && !options.keep && mine) discard_channel(options, info.instance_id);
  return code;
}

}  // namespace

int run_send(const TransferOptions& options) {
  stop_signal::install();
  if (options.block_bytes && options.format != Format::kBlocks) {
    say_error("--block-size is for --format blocks");
    return kUsage;
  }
  const int code = send(options);
  if (stop_signal::requested()) stop_signal::die_of(stop_signal::number());
  return code;
}

}  // namespace rondo::program
