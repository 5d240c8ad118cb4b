#include "open/queue_channel.hpp"

#include <cerrno>
#include <memory>
#include <string>
#include <string_view>
#include <utility>

#include "endpoint/packets.hpp"
#include "open/name.hpp"
#include "open/open.hpp"
#include "open/queue_end.hpp"
#include "rondo/core/user_ids.hpp"

namespace rondo::inline RONDO_ABI::detail {
namespace {

using Direction = Queue::Direction;

bool is_raw(const Url& url) noexcept { return packet_form(url) == PacketForm::kRaw; }

// Why a part can't be held; kReplaced: the queue has gone meanwhile.
Error not_held(const Url& url, std::string_view role, int error) {
  if (error == EPIPE) {
    return Error{ErrorCode::kReplaced, url.name() + " was removed while it was opened"};
  }
  if (!is_anothers(error)) return system_error(url, "lock", error);
  return Error{ErrorCode::kBusy, url.name() + " has a " + std::string(role) +
                                     " already; it takes one at a time, but for framing=raw"};
}

// Of an end that holds nothing.
Error not_let_in(const Url& url, std::string_view role, QueueEnd& end, int error) {
  if (!is_anothers(error) && error != EPIPE) end.discard();
  return not_held(url, role, error);
}

Result<std::shared_ptr<QueueEnd>> open_end(const Url& url, OpenQueue opener, Direction direction) {
  auto queue = opener(url, direction);
  if (!queue) return std::move(queue).error();
  return std::make_shared<QueueEnd>(std::move(queue).value(), direction, !is_raw(url));
}

PendingCleanup leaving(const Url& url, const std::shared_ptr<QueueEnd>& end) {
  if (is_raw(url) || url.options.keep) return {};
  return PendingCleanup(std::make_unique<QueueCleanup>(end));
}

// What an opener waits for, as Retry has it.
std::string staying(const Url& url) {
  return url.name() + " to stay, which is made and removed again and again,";
}
std::string judge_of(const Url& url) {
  return "the process that is opening or closing " + url.name() + " (if it is stopped: kill -CONT)";
}

// A sender's way in: its end of a queue that is its own from now on, or what it waits for.
struct WayIn {
  std::shared_ptr<QueueEnd> end;
  std::string awaited;
};

Result<WayIn> try_sender(const Url& url, OpenQueue opener) {
  auto opened = open_end(url, opener, Direction::kWrite);
  if (!opened) return std::move(opened).error();
  if (is_raw(url)) return WayIn{std::move(opened).value(), {}};
  QueueEnd& end = **opened;
  const Judging judging(end);
  if (judging.is_anothers()) return WayIn{nullptr, judge_of(url)};
  if (judging.error() != 0) return not_let_in(url, "sender", end, judging.error());
  const auto left = [&] {
    return WayIn{nullptr, "a receiver to read what an earlier sender has left in " + url.name() +
                              " (or remove it: rondo rm " + url.name() + ")"};
  };
  // Before it takes the role, too: a receiver that has met another one would hold it for that one.
  if (end.still_anothers()) {
    if (end.queue().held(Queue::Part::kSender) == Presence::kPresent) {
      return not_held(url, "sender", EAGAIN);
    }
    return left();
  }
  if (end.queue().leads_elsewhere()) return not_held(url, "sender", EPIPE);
  if (const int error = end.take_role(); error != 0) return not_let_in(url, "sender", end, error);
  if (end.still_anothers()) {
    end.give_role_back();
    return left();
  }
  return WayIn{std::move(opened).value(), {}};
}

}  // namespace

Result<SenderParts> open_queue_sender(const Url& url, const OpenOptions& options,
                                      OpenQueue opener) {
  Retry retry;
  for (;;) {
    auto way = try_sender(url, opener);
    if (!way && way.error().code != ErrorCode::kReplaced) return std::move(way).error();
    if (way && way->end != nullptr) {
      PendingCleanup cleanup = leaving(url, way->end);
      return make_packet_sender(std::make_unique<QueuePackets>(std::move(way->end), is_raw(url)),
                                std::move(cleanup), url, options);
    }
    const std::string awaited = way ? std::move(way->awaited) : staying(url);
    if (auto paused = retry.pause(options, awaited); !paused) return std::move(paused).error();
  }
}

namespace {

// Whether there is a sender, or what one has left.
bool anything_to_receive(const Queue& queue) noexcept {
  return queue.any_messages() || queue.held(Queue::Part::kSender) == Presence::kPresent;
}

enum class Meeting : std::uint8_t { kMet, kNobody, kJudgedByAnother };

Result<Meeting> try_meet_sender(QueueEnd& end, const Url& url) {
  const Judging judging(end);
  if (judging.is_anothers()) return Meeting::kJudgedByAnother;
  if (judging.error() != 0) return not_held(url, "receiver", judging.error());
  if (!anything_to_receive(end.queue()) || end.queue().leads_elsewhere()) return Meeting::kNobody;
  if (const int error = end.say_met(); error != 0) return not_held(url, "receiver", error);
  return Meeting::kMet;
}

// Waits for a sender, and meets it. False if the name leads elsewhere by now.
Result<bool> meet_sender(QueueEnd& end, const Url& url, const OpenOptions& options) {
  Queue& queue = end.queue();
  for (;;) {
    std::string awaited = "a sender for " + url.name();
    if (anything_to_receive(queue)) {
      const auto meeting = try_meet_sender(end, url);
      if (!meeting) return meeting.error();
      if (*meeting == Meeting::kMet) return true;
      if (*meeting == Meeting::kJudgedByAnother) awaited = judge_of(url);
    } else {
      const Deadline slice = earlier(options.wait, Deadline::after(kNameCheckInterval));
      static_cast<void>(queue.wait(Direction::kRead, slice, WaitMode::kPark, options.stop));
      if (anything_to_receive(queue)) continue;
    }
    if (queue.leads_elsewhere()) return false;
    if (auto go_on = Retry::allowed(options, awaited); !go_on) return std::move(go_on).error();
  }
}

Result<std::shared_ptr<QueueEnd>> open_reading(const Url& url, OpenQueue opener) {
  auto end = open_end(url, opener, Direction::kRead);
  if (!end) return end;
  if (const int error = (*end)->take_role(); error != 0) {
    return not_let_in(url, "receiver", **end, error);
  }
  return end;
}

Result<ReceiverParts> make_receiver(std::shared_ptr<QueueEnd> end, PendingCleanup cleanup,
                                    const Url& url, const OpenOptions& options) {
  return make_packet_receiver(std::make_unique<QueuePackets>(std::move(end), is_raw(url)),
                              std::move(cleanup), url, options, PacketStart::kAny);
}

}  // namespace

Result<ReceiverParts> open_queue_receiver(const Url& url, const OpenOptions& options,
                                          OpenQueue opener) {
  Retry retry;
  for (;;) {
    auto end = open_reading(url, opener);
    if (!end && end.error().code == ErrorCode::kReplaced) {
      if (auto paused = retry.pause(options, staying(url)); !paused) {
        return std::move(paused).error();
      }
      continue;
    }
    if (!end) return std::move(end).error();
    PendingCleanup cleanup = leaving(url, *end);
    if (!is_raw(url)) {
      const auto came = meet_sender(**end, url, options);
      if (!came && came.error().code == ErrorCode::kReplaced) continue;
      if (!came) return came.error();
      if (!*came) continue;
    }
    return make_receiver(std::move(*end), std::move(cleanup), url, options);
  }
}

namespace {

// Errors: kReplaced, also where the ends have come to different queues.
Result<PairParts> try_pair(const Url& url, const OpenOptions& options, OpenQueue opener) {
  auto end = open_reading(url, opener);
  if (!end) return std::move(end).error();
  PendingCleanup cleanup = leaving(url, *end);
  // A sender would wait for a receiver to read that, and it is this one.
  if (!is_raw(url) && (*end)->still_anothers()) {
    return Error{ErrorCode::kBusy,
                 url.name() +
                     " has messages of an earlier sender, or a receiver that reads them; "
                     "open a receiver of its own for them, or remove it (rondo rm " +
                     url.name() + ")"};
  }
  auto sender = open_queue_sender(url, options, opener);
  if (!sender) return std::move(sender).error();
  return make_pair(std::move(sender).value(), [&]() -> Result<ReceiverParts> {
    const int error = (*end)->queue().leads_elsewhere() ? EPIPE : (*end)->say_met();
    if (error != 0) {
      // The receiver leaves before the sender does: else that one's mark would stay for it.
      cleanup = PendingCleanup();
      return not_held(url, "receiver", error);
    }
    return make_receiver(std::move(*end), std::move(cleanup), url, options);
  });
}

}  // namespace

Result<PairParts> open_queue_pair(const Url& url, const OpenOptions& options, OpenQueue opener) {
  Retry retry;
  for (;;) {
    auto pair = try_pair(url, options, opener);
    if (pair || pair.error().code != ErrorCode::kReplaced) return pair;
    if (auto paused = retry.pause(options, staying(url)); !paused) return std::move(paused).error();
  }
}

Result<void> check_queue_owner(const Url& url, std::uint32_t owner, std::uint32_t group,
                               Permissions mode) {
  const Permissions asked = url.options.segment.mode;
  if (asked.shared() || is_own_user(owner)) return {};
  return Error{ErrorCode::kForeignOwner,
               url.name() + " " + explain_mode(owner, group, mode, asked)};
}

Result<void> remove_queue(const Url& url, bool even_if_used, Queue& queue) {
  const auto is_taken = [&](Queue::Part part) { return queue.held(part) != Presence::kAbsent; };
  if (!even_if_used && (is_taken(Queue::Part::kSender) || is_taken(Queue::Part::kReceiver))) {
    return Error{ErrorCode::kBusy, url.name() +
                                       " has a sender or a receiver; end it first, or remove the "
                                       "name all the same"};
  }
  if (const int error = queue.remove(); error != 0) return system_error(url, "unlink", error);
  return {};
}

}  // namespace rondo::inline RONDO_ABI::detail
