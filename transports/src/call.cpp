#include "rondo/call.hpp"

#include <algorithm>
#include <bit>
#include <chrono>
#include <cstring>
#include <limits>
#include <new>
#include <random>

#include "rondo/core/out_of_memory.hpp"
#include "rondo/transports/url.hpp"

namespace rondo::inline RONDO_ABI {
namespace {

// The next message; before a wait for it what `ours` holds back goes out, which it may answer.
Polled<Message> next_of(Receiver& receiver, Sender& ours, Deadline deadline) {
  auto message = receiver.next(Deadline::now());
  if (message.status() != Status::kWouldBlock) return message;
  static_cast<void>(ours.wake(deadline));
  return deadline == Deadline::now() ? std::move(message) : receiver.next(deadline);
}

using detail::CallHead;

static_assert(std::endian::native == std::endian::little,
              "heads are written as they lie in memory");

// Between two looks at the deadline while messages come that are of no use.
constexpr std::uint32_t kLooksAtOnce = 64;

// One that no caller of an earlier life has used.
std::uint64_t first_number() {
  std::random_device random;
  return std::uint64_t{random()} << 32 | random();
}

std::optional<CallHead> head_of(std::span<const std::byte> message) noexcept {
  if (message.size() < sizeof(CallHead)) return std::nullopt;
  CallHead head;
  std::memcpy(&head, message.data(), sizeof head);
  return head;
}

// 0: without end.
std::uint32_t microseconds_until(Deadline deadline) noexcept {
  if (deadline.is_never()) return 0;
  const auto left = std::chrono::ceil<std::chrono::microseconds>(deadline.remaining()).count();
  constexpr std::int64_t kMost = std::numeric_limits<std::uint32_t>::max();
  return static_cast<std::uint32_t>(std::clamp<std::int64_t>(left, 1, kMost));
}

// Whether one more can be put in without asking for memory.
template <class T>
bool has_room_for_one(std::vector<T>& all) noexcept {
  if (all.size() < all.capacity()) [[likely]]
    return true;
  try {
    all.reserve(2 * all.size() + 8);
    return true;
  } catch (const std::bad_alloc&) {
    return false;
  }
}

bool time_is_up(std::uint32_t looks, Deadline deadline) noexcept {
  return looks % kLooksAtOnce == 0 && deadline.passed();
}

Status too_late_for(Deadline deadline) noexcept {
  return deadline == Deadline::now() ? Status::kWouldBlock : Status::kTimedOut;
}

struct Names {
  std::string requests;
  std::string replies;
};

// Of the two channels of a service.
Result<Names> names_of_service(std::string_view url) {
  const auto parsed = Url::parse(url);
  if (!parsed) return parsed.error();
  if (parsed->target.empty() || parsed->scheme == Scheme::kFd) {
    return Error{ErrorCode::kInvalidUrl,
                 parsed->name() +
                     " has no name for two channels; use one that has, such as shm:NAME, or make "
                     "the Caller and the Service of channels that are open"};
  }
  const std::size_t question = std::min(url.find('?'), url.size());
  const std::string name(url.substr(0, question));
  const std::string options(url.substr(question));
  return Names{name + ".requests" + options, name + ".replies" + options};
}

// A sender whose receiver has come. In a guarded ring nobody comes while its sender does not look.
Result<Sender> open_and_meet(const std::string& url, const OpenOptions& options) {
  auto sender = Sender::open(url, options);
  if (!sender) return sender;
  const Status met = sender->wait_for_receiver(options.wait);
  if (met == Status::kOk) return sender;
  return Error{met == Status::kPeerGone ? ErrorCode::kPeerGone : ErrorCode::kTimedOut,
               "waited for the other side at " + url + " in vain: " + std::string(to_string(met))};
}

}  // namespace

CallClaim::CallClaim(Claim claim, const CallHead& head) noexcept
    : claim_(std::move(claim)), number_(head.number) {
  std::memcpy(claim_.bytes().data(), &head, sizeof head);
}

Caller::Caller(Sender requests, Receiver replies)
    : requests_(std::move(requests)), replies_(std::move(replies)), number_(first_number()) {}

Result<Caller> Caller::open(std::string_view url, const OpenOptions& options) {
  return detail::refuse_without_memory([&]() -> Result<Caller> {
    auto names = names_of_service(url);
    if (!names) return std::move(names).error();
    auto requests = open_and_meet(names->requests, options);
    if (!requests) return std::move(requests).error();
    auto replies = Receiver::open(names->replies, options);
    if (!replies) return std::move(replies).error();
    return Caller(std::move(requests).value(), std::move(replies).value());
  });
}

std::size_t Caller::max_request_bytes() const noexcept {
  const std::size_t most = requests_.max_message_bytes();
  return most - std::min(most, sizeof(CallHead));
}

Caller::Call* Caller::find(std::uint64_t number) noexcept {
  const auto found = std::ranges::find(calls_, number, &Call::number);
  return found == calls_.end() ? nullptr : &*found;
}

void Caller::forget(Call& call) noexcept {
  if (&call != &calls_.back()) call = std::move(calls_.back());
  calls_.pop_back();
}

Reply Caller::take_kept(Call& call) {
  Reply reply(CallId{call.number}, call.head, std::move(call.bytes));
  forget(call);
  return reply;
}

Polled<CallClaim> Caller::claim(std::size_t size_bytes, Deadline deadline, Deadline answer_by) {
  if (size_bytes > max_request_bytes()) return Status::kTooLarge;
  if (calls_.size() >= kMaxUnderWay) return Status::kWouldBlock;
  if (!has_room_for_one(calls_)) return Status::kNoMemory;  // commit() is to find it
  auto claim = requests_.claim(sizeof(CallHead) + size_bytes, deadline);
  if (!claim) return claim.status();
  const CallHead head{++number_, CallHead::kRequest, microseconds_until(answer_by)};
  return Polled<CallClaim>(std::in_place, std::move(*claim), head);
}

Polled<CallId> Caller::commit(CallClaim claim) {
  calls_.push_back({claim.number_, false, {}, {}});
  std::move(claim.claim_).commit();
  return Polled<CallId>(std::in_place, CallId{claim.number_});
}

Polled<CallId> Caller::begin(std::span<const std::byte> request, Deadline deadline,
                             Deadline answer_by) {
  auto claim = this->claim(request.size(), deadline, answer_by);
  if (!claim) return claim.status();
  if (!request.empty()) std::memcpy(claim->bytes().data(), request.data(), request.size());
  return commit(std::move(*claim));
}

// Takes replies until `wanted` says so of one; others that somebody waits for are kept.
template <class Wanted>
Polled<Reply> Caller::receive(Deadline deadline, Wanted&& wanted) {
  for (std::uint32_t looks = 1;; ++looks) {
    auto message = next_of(replies_, requests_, deadline);
    if (!message) return message.status();
    const auto head = head_of(message->bytes());
    const bool answers =
        head && (head->kind == CallHead::kReply || head->kind == CallHead::kFailure);
    Call* const call = answers ? find(head->number) : nullptr;
    if (call != nullptr && !call->kept) {
      if (wanted(head->number)) {
        forget(*call);
        return Polled<Reply>(std::in_place, CallId{head->number}, *head, std::move(*message));
      }
      call->head = *head;
      try {
        const auto bytes = message->bytes().subspan(sizeof(CallHead));
        call->bytes.assign(bytes.begin(), bytes.end());
      } catch (const std::bad_alloc&) {
        // It is lost, which is an answer, too.
        call->head = {head->number, CallHead::kFailure, Service::kBusy};
      }
      call->kept = true;
    } else if (answers) {
      ++late_;
    } else {
      ++malformed_;
    }
    if (time_is_up(looks, deadline)) return too_late_for(deadline);
  }
}

Polled<Reply> Caller::wait(CallId call, Deadline deadline) {
  const auto number = static_cast<std::uint64_t>(call);
  Call* const found = find(number);
  if (found == nullptr) return Status::kClosed;
  if (found->kept) return Polled<Reply>(std::in_place, take_kept(*found));
  return receive(deadline, [&](std::uint64_t other) { return other == number; });
}

Polled<Reply> Caller::next(Deadline deadline) {
  if (calls_.empty()) return Status::kClosed;
  const auto kept = std::ranges::find(calls_, true, &Call::kept);
  if (kept != calls_.end()) return Polled<Reply>(std::in_place, take_kept(*kept));
  return receive(deadline, [](std::uint64_t) { return true; });
}

void Caller::cancel(CallId call) noexcept {
  Call* const found = find(static_cast<std::uint64_t>(call));
  if (found == nullptr) return;
  const bool answered = found->kept;
  forget(*found);
  if (answered) return;
  const CallHead head{static_cast<std::uint64_t>(call), CallHead::kCancel, 0};
  static_cast<void>(requests_.try_send(std::as_bytes(std::span(&head, 1))));
}

Polled<Reply> Caller::call(std::span<const std::byte> request, Deadline deadline) {
  const auto begun = begin(request, deadline, deadline);
  if (!begun) return begun.status();
  auto reply = wait(*begun, deadline);
  if (!reply) cancel(*begun);
  return reply;
}

Service::Service(Receiver requests, Sender replies)
    : requests_(std::move(requests)), replies_(std::move(replies)) {}

Result<Service> Service::open(std::string_view url, const OpenOptions& options) {
  return detail::refuse_without_memory([&]() -> Result<Service> {
    auto names = names_of_service(url);
    if (!names) return std::move(names).error();
    auto requests = Receiver::open(names->requests, options);
    if (!requests) return std::move(requests).error();
    auto replies = open_and_meet(names->replies, options);
    if (!replies) return std::move(replies).error();
    return Service(std::move(requests).value(), std::move(replies).value());
  });
}

std::size_t Service::max_reply_bytes() const noexcept {
  const std::size_t most = replies_.max_message_bytes();
  return most - std::min(most, sizeof(CallHead));
}

Service::Taken* Service::find(std::uint64_t number) noexcept {
  const auto found = std::ranges::find(taken_, number, &Taken::number);
  return found == taken_.end() ? nullptr : &*found;
}

void Service::forget(std::uint64_t number) noexcept {
  Taken* const found = find(number);
  if (found == nullptr) return;
  *found = taken_.back();
  taken_.pop_back();
}

Polled<Request> Service::next(Deadline deadline) {
  if (!has_room_for_one(taken_)) return Status::kNoMemory;
  for (std::uint32_t looks = 1;; ++looks) {
    auto message = next_of(requests_, replies_, deadline);
    if (!message) return message.status();
    const auto head = head_of(message->bytes());
    Taken* const taken = head ? find(head->number) : nullptr;
    if (head && head->kind == CallHead::kCancel && message->size() == sizeof(CallHead)) {
      if (taken != nullptr) taken->cancelled = true;
    } else if (head && head->kind == CallHead::kRequest && taken == nullptr) {
      if (taken_.size() < kMaxUnderWay) {
        taken_.push_back({head->number, false});
        const Deadline answer_by = head->value == 0
                                       ? Deadline::never()
                                       : Deadline::after(std::chrono::microseconds(head->value));
        return Polled<Request>(std::in_place, CallId{head->number}, answer_by, std::move(*message));
      }
      // Without waiting: a caller that reads no replies is not to hold up the others' requests.
      const CallHead refusal{head->number, CallHead::kFailure, kBusy};
      static_cast<void>(replies_.try_send(std::as_bytes(std::span(&refusal, 1))));
    } else {
      ++malformed_;
    }
    if (time_is_up(looks, deadline)) return too_late_for(deadline);
  }
}

Polled<CallClaim> Service::claim_answer(CallId request, const CallHead& head,
                                        std::size_t size_bytes, Deadline deadline) {
  const Taken* const taken = find(static_cast<std::uint64_t>(request));
  if (taken == nullptr) return Status::kClosed;
  if (taken->cancelled) {
    forget(taken->number);
    return Status::kInterrupted;
  }
  if (size_bytes > max_reply_bytes()) return Status::kTooLarge;
  auto claim = replies_.claim(sizeof(CallHead) + size_bytes, deadline);
  if (!claim) return claim.status();
  return Polled<CallClaim>(std::in_place, std::move(*claim), head);
}

Polled<CallClaim> Service::claim(CallId request, std::size_t size_bytes, Deadline deadline) {
  const CallHead head{static_cast<std::uint64_t>(request), CallHead::kReply, 0};
  return claim_answer(request, head, size_bytes, deadline);
}

Status Service::commit(CallClaim claim) noexcept {
  std::move(claim.claim_).commit();
  forget(claim.number_);
  return replies_.status();
}

Status Service::answer(CallId request, const CallHead& head, std::span<const std::byte> bytes,
                       Deadline deadline) {
  auto claim = claim_answer(request, head, bytes.size(), deadline);
  if (!claim) return claim.status();
  if (!bytes.empty()) std::memcpy(claim->bytes().data(), bytes.data(), bytes.size());
  return commit(std::move(*claim));
}

Status Service::reply(CallId request, std::span<const std::byte> bytes, Deadline deadline) {
  const CallHead head{static_cast<std::uint64_t>(request), CallHead::kReply, 0};
  return answer(request, head, bytes, deadline);
}

Status Service::fail(CallId request, std::uint32_t code, std::string_view why, Deadline deadline) {
  const CallHead head{static_cast<std::uint64_t>(request), CallHead::kFailure, code};
  return answer(request, head, std::as_bytes(std::span(why)), deadline);
}

bool Service::cancelled(CallId request) const noexcept {
  const auto found = std::ranges::find(taken_, static_cast<std::uint64_t>(request), &Taken::number);
  return found != taken_.end() && found->cancelled;
}

}  // namespace rondo::inline RONDO_ABI
