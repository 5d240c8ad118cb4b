// How a caller and a service find one another: opening both channels, and the three hellos
// (call.hpp). Whatever ends a session before it has begun, be it what an earlier one has left or
// another side that goes, is no error: both channels are opened anew.
#include "call_session.hpp"

#include <algorithm>
#include <chrono>
#include <cstring>
#include <optional>
#include <random>
#include <span>
#include <string>
#include <string_view>
#include <utility>

#include "open/growing_pause.hpp"
#include "open/listening_socket.hpp"
#include "rondo/call.hpp"
#include "rondo/core/out_of_memory.hpp"
#include "rondo/transports/url.hpp"
#include "url/schemes.hpp"
#include "url/words.hpp"

namespace rondo::inline RONDO_ABI {
namespace detail {

std::uint64_t random_number() {
  std::random_device random;
  const std::uint64_t number = std::uint64_t{random()} << 32 | random();
  return number != 0 ? number : 1;
}

}  // namespace detail

namespace {

using detail::CallHead;

// For the second channel to be opened, and between two hellos.
constexpr std::chrono::milliseconds kHelloInterval{100};
constexpr std::chrono::milliseconds kShortestLook{1};
constexpr std::chrono::milliseconds kLongestLook{50};

// The channels of a service; with what their receivers ask for in addition.
struct Names {
  std::string requests;
  std::string replies;
  std::string for_receivers;
};

// Why a channel with these options is not one from one to one whose ends are told of each other's.
std::string_view unfit(const Url& url, const OpenOptions& options) {
  const ChannelOptions& asked = url.options;
  if (asked.kind.value_or(RingKind::kRecord) != RingKind::kRecord) return "kind=";
  if (asked.readers.value_or(1) > 1) return "readers=";
  if (asked.framing != Framing::kRondo) return "framing=";
  if (asked.await_successor || options.await_successor) return "await_successor";
  return {};
}

Result<Names> names_of_service(std::string_view text, const OpenOptions& options) {
  const auto url = Url::parse(text);
  if (!url) return url.error();
  const bool numbered = url->scheme == Scheme::kFd || url->scheme == Scheme::kSysv ||
                        url->scheme == Scheme::kSysvShm || detail::is_over_tcp(*url);
  if (url->target.empty() || numbered) {
    return Error{
        ErrorCode::kInvalidUrl,
        url->name() +
            " has no name for two channels; use one that has, such as shm:NAME, or make "
            "the Caller and the Service of channels that are open, as those of a Connection "
            "are"};
  }
  if (const std::string_view option = unfit(*url, options); !option.empty()) {
    return Error{ErrorCode::kInvalidOption,
                 url->name() +
                     ": calls go from one caller to one service and back, in messages of "
                     "Rondo's own, and end with either: not with " +
                     std::string(option)};
  }
  if (url->options.header) {
    return Error{
        ErrorCode::kInvalidOption,
        url->name() +
            ": requests and replies show no headers, so header= would be bytes that nobody "
            "sees; leave it out, and put into the message what belongs to it"};
  }
  if (url->options.align) {
    return Error{
        ErrorCode::kInvalidOption,
        url->name() +
            ": a request or a reply lies behind a head of the call's, so align= would be about "
            "that; leave it out"};
  }
  const std::size_t question = std::min(text.find('?'), text.size());
  const std::string name(text.substr(0, question));
  std::string asked(text.substr(question));
  const std::string_view options_there_are = detail::row_of(url->scheme).options;
  const auto with = [&](std::string_view option, std::string_view value) {
    const std::string name_and_is = std::string(option) + '=';
    if (!detail::has_word(options_there_are, option)) return std::string();
    if (asked.find(name_and_is) != std::string::npos) return std::string();
    return (asked.empty() ? '?' : '&') + name_and_is + std::string(value);
  };
  // A ring of another kind that is there is not taken as found.
  asked += with("kind", "record");
  // What an earlier session has left is dropped in any case; so it need not be read.
  return Names{name + ".requests" + asked, name + ".replies" + asked, with("from", "next")};
}

std::optional<CallHead> hello_in(const Message& message) noexcept {
  if (message.size() != sizeof(CallHead)) return std::nullopt;
  CallHead head;
  std::memcpy(&head, message.bytes().data(), sizeof head);
  if (head.kind != CallHead::kHello) return std::nullopt;
  return head;
}

Status say_hello(Sender& sender, std::uint64_t session, std::uint32_t value, Deadline deadline) {
  const CallHead hello{session, CallHead::kHello, value};
  return sender.send(std::as_bytes(std::span(&hello, 1)), deadline, Wake::kNow);
}

bool not_yet(Status status) noexcept {
  return status == Status::kOk || status == Status::kWouldBlock || status == Status::kTimedOut;
}

class Opening {
 public:
  explicit Opening(const OpenOptions& options) noexcept : options_(options) {}

  [[nodiscard]] bool over() const noexcept {
    // relaxed: a flag that orders no other data.
    const bool stopped = options_.stop != nullptr && options_.stop->load(std::memory_order_relaxed);
    return stopped || options_.wait.passed();
  }
  [[nodiscard]] Deadline within(std::chrono::milliseconds time) const noexcept {
    return earlier(options_.wait, Deadline::after(time));
  }
  [[nodiscard]] OpenOptions soon() const {
    OpenOptions options = options_;
    options.wait = within(kHelloInterval);
    return options;
  }
  void pause() noexcept { pause_.sleep(options_.wait); }

  // Of the second channel: whoever has the first one may wait for it.
  static bool may_pass(const Error& error) noexcept {
    return error.code == ErrorCode::kTimedOut || error.code == ErrorCode::kPeerGone ||
           error.code == ErrorCode::kBusy || error.code == ErrorCode::kReplaced;
  }
  [[nodiscard]] Error in_vain(std::string_view url) const {
    return Error{ErrorCode::kTimedOut,
                 "waited for the other side at " + std::string(url) + " in vain"};
  }

  // The caller's part: whether the service has answered.
  [[nodiscard]] bool meet_service(Sender& requests, Receiver& replies, std::uint64_t session) {
    while (!over() && requests.receiver_attached()) {
      if (!not_yet(say_hello(requests, session, 0, Deadline::now()))) return false;
      const Deadline again = within(kHelloInterval);
      while (!over()) {
        const auto message = replies.next(again);
        if (!message && not_yet(message.status())) break;
        if (!message) return false;
        const auto hello = hello_in(*message);
        if (!hello || hello->number != session || hello->value == 0) {
          if (again.passed()) break;
          continue;
        }
        const Status said = say_hello(requests, session, hello->value, again);
        if (said == Status::kOk) return true;
        if (!not_yet(said)) return false;
      }
    }
    return false;
  }

  // The service's: the session of the caller that has come; 0: none.
  [[nodiscard]] std::uint64_t meet_caller(Receiver& requests, Sender& replies) {
    const auto ours = static_cast<std::uint32_t>(detail::random_number() | 1);
    // One that sits in a session with this one's predecessor is to know.
    bool announced = !replies.receiver_attached();
    std::uint64_t session = 0;
    for (auto slice = kShortestLook; !over();) {
      if (!announced) announced = say_hello(replies, 0, 0, Deadline::now()) == Status::kOk;
      // In a guarded ring nobody comes while its sender does not look.
      if (!not_yet(replies.wait_for_receiver(Deadline::now()))) return 0;
      if (replies.status() != Status::kOk) return 0;
      const Deadline until = within(slice);
      const auto message = requests.next(until);
      if (!message && !not_yet(message.status())) return 0;
      if (!message) {
        slice = std::min(2 * slice, kLongestLook);
        continue;
      }
      const auto hello = hello_in(*message);
      if (!hello || hello->number == 0) continue;
      if (hello->value == ours && hello->number == session) return session;
      if (hello->value != 0) continue;
      session = hello->number;
      if (!not_yet(say_hello(replies, session, ours, within(kLongestLook)))) return 0;
    }
    return 0;
  }

  // Whether its sender is still there; what it says is of no use yet.
  [[nodiscard]] bool drop_all(Receiver& requests) const {
    while (!over() && requests.try_next()) {
    }
    return requests.status() == Status::kOk;
  }

 private:
  const OpenOptions& options_;
  detail::GrowingPause pause_;
};

}  // namespace

Result<Caller> Caller::open(std::string_view url, const OpenOptions& options) {
  return detail::refuse_without_memory([&]() -> Result<Caller> {
    const auto names = names_of_service(url, options);
    if (!names) return names.error();
    const std::uint64_t session = detail::random_number();
    for (Opening opening(options);; opening.pause()) {
      auto requests = Sender::open(names->requests, options);
      if (!requests) {
        if (requests.error().code != ErrorCode::kPeerGone) return std::move(requests).error();
      } else if (requests->wait_for_receiver(options.wait) == Status::kOk) {
        for (; !opening.over() && requests->receiver_attached(); opening.pause()) {
          auto replies = Receiver::open(names->replies + names->for_receivers, opening.soon());
          if (replies && opening.meet_service(*requests, *replies, session)) {
            return Caller(std::move(*requests), std::move(*replies), session, options.stop);
          }
          if (!replies && !Opening::may_pass(replies.error())) return std::move(replies).error();
        }
      }
      if (opening.over()) return opening.in_vain(url);
    }
  });
}

Result<Service> Service::open(std::string_view url, const OpenOptions& options) {
  return detail::refuse_without_memory([&]() -> Result<Service> {
    const auto names = names_of_service(url, options);
    if (!names) return names.error();
    for (Opening opening(options);; opening.pause()) {
      auto requests = Receiver::open(names->requests + names->for_receivers, options);
      if (!requests) {
        if (requests.error().code != ErrorCode::kPeerGone) return std::move(requests).error();
      } else {
        for (; !opening.over() && opening.drop_all(*requests); opening.pause()) {
          auto replies = Sender::open(names->replies, opening.soon());
          const std::uint64_t session = replies ? opening.meet_caller(*requests, *replies) : 0;
          if (session != 0) {
            return Service(std::move(*requests), std::move(*replies), session, options.stop);
          }
          if (!replies && !Opening::may_pass(replies.error())) return std::move(replies).error();
        }
      }
      if (opening.over()) return opening.in_vain(url);
    }
  });
}

}  // namespace rondo::inline RONDO_ABI
