#include "rondo/call.hpp"

#include <algorithm>
#include <bit>
#include <cassert>
#include <chrono>
#include <cstring>
#include <limits>
#include <new>

#include "call_session.hpp"
#include "endpoint/backend.hpp"

namespace rondo::inline RONDO_ABI {
namespace {

using detail::CallCopy;
using detail::CallHead;

static_assert(std::endian::native == std::endian::little,
              "heads are written as they lie in memory");

// Between two looks at the deadline while messages come that are of no use.
constexpr std::uint32_t kLooksAtOnce = 64;

// Of a wait for one channel while the other one is to be looked after.
constexpr std::chrono::milliseconds kShortSlice{1};
constexpr std::chrono::milliseconds kLongSlice{50};
constexpr std::chrono::milliseconds kStagedSlice{10};

// The next message. Before a wait for it what `ours` holds back goes out, which it may answer; as
// long as a byte stream does not take it, that is tried again and again.
Polled<Message> next_of(Receiver& receiver, Sender& ours, bool staged, Deadline deadline) {
  auto message = receiver.next(Deadline::now());
  if (message.status() != Status::kWouldBlock) return message;
  static_cast<void>(ours.wake());
  if (deadline == Deadline::now()) return message;
  while (staged && ours.flush(Deadline::now()) == Status::kWouldBlock) {
    const Deadline slice = earlier(deadline, Deadline::after(kStagedSlice));
    auto waited = receiver.next(slice);
    if (waited.status() != Status::kTimedOut || slice == deadline) return waited;
  }
  return receiver.next(deadline);
}

bool is_staged(const Sender& sender) {
  const ChannelInfo info = sender.info();
  return info.as<StreamInfo>() != nullptr || info.as<DatagramsInfo>() != nullptr;
}

// Of kind 0 if there is none.
CallHead head_of(std::span<const std::byte> message) noexcept {
  CallHead head;
  if (message.size() >= sizeof head) std::memcpy(&head, message.data(), sizeof head);
  return head;
}

CallCopy copy_of(const Message& message) noexcept {
  const auto bytes = message.bytes().subspan(sizeof(CallHead));
  CallCopy copy{std::unique_ptr<std::byte[]>(new (std::nothrow) std::byte[bytes.size()]),
                bytes.size()};
  if (copy.start != nullptr) std::ranges::copy(bytes, copy.start.get());
  return copy;
}

// 0: without end, or more than can be said.
std::uint32_t microseconds_until(Deadline deadline) noexcept {
  if (deadline.is_never()) return 0;
  const auto left = std::chrono::ceil<std::chrono::microseconds>(deadline.remaining()).count();
  if (left > std::numeric_limits<std::uint32_t>::max()) return 0;
  return static_cast<std::uint32_t>(std::max<std::int64_t>(left, 1));
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

// Why no more messages that are of no use are looked at; kOk: they are.
Status enough(std::uint32_t looks, Deadline deadline, const std::atomic<bool>* stop) noexcept {
  return looks % kLooksAtOnce == 0 ? detail::why_to_end(deadline, stop) : Status::kOk;
}

// Of the largest message that goes through `sender`, what its user has.
std::size_t max_body_bytes(const Sender& sender) noexcept {
  const std::size_t most = sender.max_message_bytes();
  return most - std::min(most, sizeof(CallHead));
}

}  // namespace

CallClaim::CallClaim(Claim claim, const CallHead& head, bool& in_hand) noexcept
    : in_hand_(in_hand), claim_(std::move(claim)), number_(head.number) {
  std::memcpy(claim_.bytes().data(), &head, sizeof head);
}

Caller::Caller(Sender requests, Receiver replies)
    : Caller(std::move(requests), std::move(replies), 0, nullptr) {}

Caller::Caller(Sender requests, Receiver replies, std::uint64_t session,
               const std::atomic<bool>* stop)
    : requests_(std::move(requests)),
      replies_(std::move(replies)),
      number_(detail::random_number()),
      session_(session),
      stop_(stop),
      staged_(is_staged(requests_)) {}

std::size_t Caller::max_request_bytes() const noexcept { return max_body_bytes(requests_); }

Caller::Call* Caller::find(std::uint64_t number) noexcept {
  const auto found = std::ranges::find(calls_, number, &Call::number);
  return found == calls_.end() ? nullptr : &*found;
}

void Caller::forget(Call& call) noexcept {
  if (&call != &calls_.back()) call = std::move(calls_.back());
  calls_.pop_back();
}

Polled<Reply> Caller::take_kept(Call& call) {
  const CallHead head = call.head;
  CallCopy copy = std::move(call.copy);
  forget(call);
  if (copy.start == nullptr) return Status::kNoMemory;
  return Polled<Reply>(std::in_place, CallId{head.number}, head, std::move(copy));
}

// A service that waits for room itself reads no requests before its replies are read.
Polled<Claim> Caller::claim_and_keep(std::size_t size_bytes, Deadline deadline) {
  auto claim = requests_.claim(size_bytes, Deadline::now());
  if (claim.status() != Status::kWouldBlock || deadline == Deadline::now()) return claim;
  for (auto slice = kShortSlice;; slice = std::min(2 * slice, kLongSlice)) {
    keep_all();
    const Deadline until = earlier(deadline, Deadline::after(slice));
    auto waited = requests_.claim(size_bytes, until);
    if (waited.status() != Status::kTimedOut || until == deadline) return waited;
  }
}

Polled<CallClaim> Caller::claim(std::size_t size_bytes, Deadline deadline, Deadline answer_by) {
  assert(!claiming_);
  if (over_ != Status::kOk) return over_;
  if (size_bytes > max_request_bytes()) return Status::kTooLarge;
  if (calls_.size() >= kMaxUnderWay) return Status::kWouldBlock;
  if (!has_room_for_one(calls_)) return Status::kNoMemory;  // commit() is to find it
  auto claim = claim_and_keep(sizeof(CallHead) + size_bytes, deadline);
  if (!claim) return claim.status();
  const CallHead head{++number_, CallHead::kRequest, microseconds_until(answer_by)};
  return Polled<CallClaim>(std::in_place, std::move(*claim), head, claiming_);
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

// The request whose reply `message` is; null if it is none that is waited for.
Caller::Call* Caller::answered_by(std::span<const std::byte> message, CallHead& head) {
  head = head_of(message);
  if (head.kind == CallHead::kReply || head.kind == CallHead::kFailure) {
    Call* const call = find(head.number);
    if (call != nullptr && !call->kept) return call;
    ++late_;
  } else if (head.kind == CallHead::kHello && session_ != 0) {
    if (head.number != session_) over_ = Status::kPeerDied;  // and another one is in its place
  } else {
    ++malformed_;
  }
  return nullptr;
}

void Caller::keep(Call& call, const CallHead& head, const Message& message) {
  call.head = head;
  call.copy = copy_of(message);
  call.kept = message.intact();
}

void Caller::keep_all() {
  if (replied_) return;  // it is in the way
  for (std::size_t i = 0; i < kMaxUnderWay && over_ == Status::kOk; ++i) {
    const auto message = replies_.next(Deadline::now());
    if (!message) return;
    CallHead head;
    if (Call* const call = answered_by(message->bytes(), head)) keep(*call, head, *message);
  }
}

// Takes replies until `wanted` says so of one; others that somebody waits for are kept.
template <class Wanted>
Polled<Reply> Caller::receive(Deadline deadline, Wanted&& wanted) {
  assert(!claiming_ && !replied_);
  for (std::uint32_t looks = 1; over_ == Status::kOk; ++looks) {
    auto message = next_of(replies_, requests_, staged_, deadline);
    if (!message) return message.status();
    CallHead head;
    if (Call* const call = answered_by(message->bytes(), head)) {
      if (wanted(head.number) && !replies_.may_lose()) [[likely]] {
        forget(*call);
        return Polled<Reply>(std::in_place, CallId{head.number}, head, std::move(*message),
                             replied_);
      }
      keep(*call, head, *message);
      if (call->kept && wanted(head.number)) return take_kept(*call);
    }
    if (const Status why = enough(looks, deadline, stop_); why != Status::kOk) return why;
  }
  return over_;
}

Polled<Reply> Caller::wait(CallId call, Deadline deadline) {
  const auto number = static_cast<std::uint64_t>(call);
  Call* const found = find(number);
  if (found == nullptr) return Status::kClosed;
  if (found->kept) return take_kept(*found);
  return receive(deadline, [&](std::uint64_t other) { return other == number; });
}

Polled<Reply> Caller::next(Deadline deadline) {
  if (calls_.empty()) return Status::kClosed;
  const auto kept = std::ranges::find(calls_, true, &Call::kept);
  if (kept != calls_.end()) return take_kept(*kept);
  return receive(deadline, [](std::uint64_t) { return true; });
}

void Caller::cancel(CallId call) noexcept {
  assert(!claiming_);
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
    : Service(std::move(requests), std::move(replies), 0, nullptr) {}

Service::Service(Receiver requests, Sender replies, std::uint64_t session,
                 const std::atomic<bool>* stop)
    : requests_(std::move(requests)),
      replies_(std::move(replies)),
      session_(session),
      stop_(stop),
      staged_(is_staged(replies_)) {}

std::size_t Service::max_reply_bytes() const noexcept { return max_body_bytes(replies_); }

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

// Whether one more can be taken; else it is refused.
bool Service::has_place(std::uint64_t number) noexcept {
  if (taken_.size() < kMaxUnderWay) [[likely]]
    return true;
  const auto now = Deadline::Clock::now();
  std::erase_if(taken_, [&](const Taken& taken) { return taken.answer_by.passed_at(now); });
  if (taken_.size() < kMaxUnderWay) return true;
  // Without waiting: a caller that reads no replies is not to hold up the others' requests.
  const CallHead refusal{number, CallHead::kFailure, kBusy};
  const Status said = replies_.try_send(std::as_bytes(std::span(&refusal, 1)));
  if (said != Status::kOk) ++refused_silently_;
  return false;
}

Polled<Request> Service::next(Deadline deadline) {
  assert(!claiming_ && !asked_);
  if (!has_room_for_one(taken_)) return Status::kNoMemory;
  for (std::uint32_t looks = 1; over_ == Status::kOk; ++looks) {
    auto message = next_of(requests_, replies_, staged_, deadline);
    if (!message) return message.status();
    const CallHead head = head_of(message->bytes());
    if (head.kind == CallHead::kRequest && find(head.number) == nullptr) [[likely]] {
      if (has_place(head.number)) {
        const CallId id{head.number};
        const Deadline answer_by = head.value == 0
                                       ? Deadline::never()
                                       : Deadline::after(std::chrono::microseconds(head.value));
        if (!requests_.may_lose()) [[likely]] {
          taken_.push_back({head.number, answer_by});
          return Polled<Request>(std::in_place, id, answer_by, std::move(*message), asked_);
        }
        CallCopy copy = copy_of(*message);
        if (copy.start == nullptr) return Status::kNoMemory;
        if (message->intact()) {
          taken_.push_back({head.number, answer_by});
          return Polled<Request>(std::in_place, id, answer_by, std::move(copy));
        }
      }
    } else if (head.kind == CallHead::kCancel && message->size() == sizeof(CallHead)) {
      forget(head.number);
    } else if (head.kind == CallHead::kHello && session_ != 0) {
      if (head.number != session_) over_ = Status::kEnded;
    } else {
      ++malformed_;
    }
    if (const Status why = enough(looks, deadline, stop_); why != Status::kOk) return why;
  }
  return over_;
}

Polled<CallClaim> Service::claim_answer(CallId request, const CallHead& head,
                                        std::size_t size_bytes, Deadline deadline) {
  assert(!claiming_);
  if (over_ != Status::kOk) return over_;
  if (find(static_cast<std::uint64_t>(request)) == nullptr) return Status::kClosed;
  if (size_bytes > max_reply_bytes()) return Status::kTooLarge;
  auto claim = replies_.claim(sizeof(CallHead) + size_bytes, deadline);
  if (!claim) return claim.status();
  return Polled<CallClaim>(std::in_place, std::move(*claim), head, claiming_);
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
  return std::ranges::find(taken_, static_cast<std::uint64_t>(request), &Taken::number) ==
         taken_.end();
}

}  // namespace rondo::inline RONDO_ABI
