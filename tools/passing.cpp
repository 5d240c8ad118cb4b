#include "passing.hpp"

#include <algorithm>
#include <bit>
#include <chrono>
#include <utility>

#include "say.hpp"
#include "units.hpp"

namespace rondo::program {

Status pass_on(const PassedOn& message, Sender& sender, Deadline deadline, std::uint64_t number,
               std::string_view to) {
  const auto& [header, bytes] = message;
  Status status = Status::kOk;
  if (header.empty()) {
    status = sender.send(bytes, deadline);
  } else if (auto claim = sender.claim(bytes.size(), deadline)) {
    const std::span<std::byte> room = claim->header();
    if (header.size() > room.size()) {
      say_error(
          "message {} has a header of {} bytes, but those of {} have {}; say header={} in its URL, "
          "and if it is there already make it anew",
          grouped(number), header.size(), to, room.size(), header.size());
      return Status::kTooLarge;
    }
    std::ranges::copy(header, room.begin());
    std::ranges::copy(bytes, claim->bytes().begin());
    std::move(*claim).commit();
    return sender.status();
  } else {
    status = claim.status();
  }
  if (status == Status::kTooLarge) {
    say_error("message {} has {} bytes, but the largest that {} can carry is {}; give it more room",
              grouped(number), grouped(bytes.size()), to, grouped(sender.max_message_bytes()));
  }
  return status;
}

bool may_return(Status status, std::string_view url) noexcept {
  if (url.starts_with("fd:") || url.starts_with("pipe:")) return false;
  return status == Status::kPeerGone || status == Status::kPeerDied || status == Status::kIoError;
}

std::chrono::milliseconds Losses::add(std::uint64_t passed, const std::string& why) {
  if (passed != passed_before_) {
    passed_before_ = passed;
    count_ = 0;
  }
  ++count_;
  if (count_ == 1) {
    say_note("{}", why);
  } else if (std::has_single_bit(count_)) {
    say_note("{} ({} times)", why, count_);
  }
  constexpr std::chrono::milliseconds kLongest{1000};
  const auto doublings = std::min<std::uint64_t>(count_ - 1, 10);
  return std::min(std::chrono::milliseconds(1 << doublings), kLongest);
}

}  // namespace rondo::program
