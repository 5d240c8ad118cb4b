// Requests and replies over any pair of channels: one to the service, one back.
//
//   auto caller = rondo::Caller::open("shm:prices");               // one process
//   auto reply = caller->call(question, rondo::Deadline::after(1s));
//   if (reply) use(reply->bytes()); else complain(to_string(reply.status()));
//
//   auto service = rondo::Service::open("shm:prices");             // another
//   while (auto request = service->next())
//     service->reply(request->id(), answer_to(request->bytes()));
//
// Each request has a number that comes back with its reply, so any number may be under way and be
// answered in any order. A caller may stop waiting at any time: a reply that comes after that is
// dropped and counted, and never taken for another one's. Nothing is sent twice: where the other
// side is lost, what became of the requests under way is not known, and each wait says at once that
// it is lost. A message begins with 16 bytes of ours; the rest is the user's, in place.
//
//   u64 number    of the request, chosen by its caller; of a hello: of the session
//   u32 kind      1 request, 2 reply, 3 failure, 4 cancel, 5 hello
//   u32 value     of a request: microseconds that its caller waits, 0: without end, or for more
//                 than can be said; of a failure: the service's code; of a hello: see below
//
// A session begins with three hellos, so that nothing of an earlier one is acted upon, whoever was
// killed in it and whatever lies in the channels: the caller says its session, a random number, and
// 0 (again and again until it is answered); the service says the same number and one of its own,
// which is not 0; the caller says both. What comes before is dropped. A hello of another session in
// the middle means that this one is over: the other side has been replaced. Caller::open() and
// Service::open() do this; a Caller or Service that is made of channels knows no sessions.
//
// One thread at a time, each of them. Memory ordering: as of the channels. What is not trusted: a
// message that is none of these, a number that was never given, twice the same, is dropped and
// counted; no memory is taken for it.
#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "rondo/core/result.hpp"
#include "rondo/core/version.hpp"
#include "rondo/sync/deadline.hpp"
#include "rondo/transports/open_options.hpp"
#include "rondo/transports/receiver.hpp"
#include "rondo/transports/sender.hpp"
#include "rondo/transports/status.hpp"

namespace rondo::inline RONDO_ABI {

enum class CallId : std::uint64_t {};

namespace detail {

struct CallHead {
  static constexpr std::uint32_t kRequest = 1;
  static constexpr std::uint32_t kReply = 2;
  static constexpr std::uint32_t kFailure = 3;
  static constexpr std::uint32_t kCancel = 4;
  static constexpr std::uint32_t kHello = 5;

  std::uint64_t number = 0;
  std::uint32_t kind = 0;
  std::uint32_t value = 0;
};
static_assert(sizeof(CallHead) == 16);

// Sets a mark as long as it lives: of what is lent out, one at a time.
class InHand {
 public:
  InHand() noexcept = default;
  explicit InHand(bool& mark) noexcept : mark_(&mark) { mark = true; }
  InHand(InHand&& other) noexcept : mark_(std::exchange(other.mark_, nullptr)) {}
  InHand& operator=(InHand&&) = delete;
  ~InHand() {
    if (mark_ != nullptr) *mark_ = false;
  }

 private:
  bool* mark_ = nullptr;
};

// A copy of what a message says behind its head; null: there is no memory for it.
struct CallCopy {
  [[nodiscard]] std::span<const std::byte> bytes() const noexcept { return {start.get(), size}; }

  std::unique_ptr<std::byte[]> start;
  std::size_t size = 0;
};

// What a message says behind its head: where it lies, or a copy.
class CallBody {
 public:
  CallBody(Message message, bool& in_hand) noexcept
      : bytes_(message.bytes().subspan(sizeof(CallHead))),
        message_(std::move(message)),
        in_hand_(in_hand) {}
  explicit CallBody(CallCopy copy) noexcept : bytes_(copy.bytes()), kept_(std::move(copy.start)) {}

  [[nodiscard]] std::span<const std::byte> bytes() const noexcept { return bytes_; }
  [[nodiscard]] std::string_view text() const noexcept {
    return {reinterpret_cast<const char*>(bytes_.data()), bytes_.size()};
  }

 private:
  std::span<const std::byte> bytes_;
  std::unique_ptr<std::byte[]> kept_;
  Message message_;
  InHand in_hand_;
};

}  // namespace detail

// Room for a request or a reply, written in place. Destroyed without commit(): it never was. As
// long as there is one, nothing else is called on its Caller or Service, which stays where it is;
// in debug builds this is asserted.
class [[nodiscard]] CallClaim {
 public:
  RONDO_API CallClaim(Claim claim, const detail::CallHead& head, bool& in_hand) noexcept;

  // Where to write, aligned to 8.
  [[nodiscard]] std::span<std::byte> bytes() const noexcept {
    return claim_.bytes().subspan(sizeof(detail::CallHead));
  }
  void shrink(std::size_t size_bytes) noexcept {
    claim_.shrink(sizeof(detail::CallHead) + size_bytes);
  }

 private:
  friend class Caller;
  friend class Service;

  detail::InHand in_hand_;
  Claim claim_;
  std::uint64_t number_;
};

// What a service answered. It lies in the channel, as a Message does, unless it came while another
// one was waited for; so one at a time, and the Caller stays where it is meanwhile.
class [[nodiscard]] Reply {
 public:
  template <class... Body>
  Reply(CallId call, const detail::CallHead& head, Body&&... body) noexcept
      : call_(call),
        failed_(head.kind == detail::CallHead::kFailure),
        code_(head.value),
        body_(std::forward<Body>(body)...) {}

  [[nodiscard]] CallId call() const noexcept { return call_; }
  // Whether the service refused: then bytes() say why, in its words.
  [[nodiscard]] bool failed() const noexcept { return failed_; }
  [[nodiscard]] std::uint32_t code() const noexcept { return failed_ ? code_ : 0; }
  [[nodiscard]] std::span<const std::byte> bytes() const noexcept { return body_.bytes(); }
  [[nodiscard]] std::string_view text() const noexcept { return body_.text(); }

 private:
  CallId call_;
  bool failed_;
  std::uint32_t code_;
  detail::CallBody body_;
};

// The asking side.
class RONDO_API Caller {
 public:
  // Requests under way at most.
  static constexpr std::size_t kMaxUnderWay = 1024;

  // Of two channels that nobody else uses, with all that they hold: without a session, and so
  // without protection from what an earlier user has left there. Of a channel with several
  // receivers that may lose messages, each is copied, and one that was not intact is dropped.
  Caller(Sender requests, Receiver replies);
  // Opens both channels of the service at `url`, which are named after it: TARGET.requests and
  // TARGET.replies, each with the options of the URL, and begins a session; until there is a
  // service that takes part, for options.wait, or options.stop. Errors: those of Sender::open() and
  // Receiver::open(), kTimedOut also for a stop; kInvalidUrl for schemes without names;
  // kInvalidOption for what is no channel from one to one, or waits for successors: another kind=
  // than record, several readers=, another framing= than rondo, await_successor. Blocking.
  [[nodiscard]] static Result<Caller> open(std::string_view url, const OpenOptions& options = {});

  // Asks, and waits for the reply until `deadline`, of which the service is told. Else the status
  // is kTimedOut (the request is cancelled; whether it was acted upon is not known), kTooLarge,
  // kInterrupted, kWouldBlock (kMaxUnderWay), kNoMemory (for the request, or its reply, which is
  // lost), or why the service is lost: kEnded, kPeerGone, kPeerDied (also: another one has taken
  // its place), kCorrupt, ... Progress: blocking.
  [[nodiscard]] Polled<Reply> call(std::span<const std::byte> request,
                                   Deadline deadline = Deadline::never());
  [[nodiscard]] Polled<Reply> call(std::string_view request,
                                   Deadline deadline = Deadline::never()) {
    return call(std::as_bytes(std::span(request)), deadline);
  }

  // The same in two steps, with others between them. begin() waits until `deadline` for room, and
  // keeps replies that come meanwhile, so that the service is not stuck with them (but for one that
  // is held in place: then it only waits); the service is told that nobody waits for its reply any
  // more after `answer_by`.
  [[nodiscard]] Polled<CallId> begin(std::span<const std::byte> request,
                                     Deadline deadline = Deadline::never(),
                                     Deadline answer_by = Deadline::never());
  // begin(), in place.
  [[nodiscard]] Polled<CallClaim> claim(std::size_t size_bytes,
                                        Deadline deadline = Deadline::never(),
                                        Deadline answer_by = Deadline::never());
  [[nodiscard]] Polled<CallId> commit(CallClaim claim);
  // The reply to that request; others that come before it are kept, in memory of their own.
  // kClosed: there is no such request (any more). kNoMemory: its reply has come, and there was no
  // memory to keep it: it is lost. After kTimedOut it may be waited for again. Progress: blocking.
  [[nodiscard]] Polled<Reply> wait(CallId call, Deadline deadline = Deadline::never());
  // The reply that comes next, whichever it is. kClosed: no request is under way.
  [[nodiscard]] Polled<Reply> next(Deadline deadline = Deadline::never());
  // Its reply is not waited for any more; the service is told, if there is room for that now.
  void cancel(CallId call) noexcept;

  [[nodiscard]] std::size_t under_way() const noexcept { return calls_.size(); }
  // Replies that came when nobody waited for them any more.
  [[nodiscard]] std::uint64_t late() const noexcept { return late_; }
  // Messages that no service sends.
  [[nodiscard]] std::uint64_t malformed() const noexcept { return malformed_; }
  [[nodiscard]] std::size_t max_request_bytes() const noexcept;

  // For their descriptors, and what else is asked of a handle. Not to send or receive.
  [[nodiscard]] Sender& requests() noexcept { return requests_; }
  [[nodiscard]] Receiver& replies() noexcept { return replies_; }

 private:
  struct Call {
    std::uint64_t number;
    bool kept;  // its reply has come, and is this one; without a copy it is lost
    detail::CallHead head;
    detail::CallCopy copy;
  };

  Caller(Sender requests, Receiver replies, std::uint64_t session, const std::atomic<bool>* stop);

  [[nodiscard]] Call* find(std::uint64_t number) noexcept;
  void forget(Call& call) noexcept;
  [[nodiscard]] Polled<Claim> claim_and_keep(std::size_t size_bytes, Deadline deadline);
  [[nodiscard]] Call* answered_by(std::span<const std::byte> message, detail::CallHead& head);
  void keep(Call& call, const detail::CallHead& head, const Message& message);
  void keep_all();
  [[nodiscard]] Polled<Reply> take_kept(Call& call);
  template <class Wanted>
  [[nodiscard]] Polled<Reply> receive(Deadline deadline, Wanted&& wanted);

  Sender requests_;
  Receiver replies_;
  std::vector<Call> calls_;  // under way, in any order
  std::uint64_t number_;     // of the last one; begins anywhere, so that no earlier life's is met
  std::uint64_t session_;    // 0: none
  const std::atomic<bool>* stop_;
  bool staged_;            // requests may lie in this process
  bool claiming_ = false;  // there is a CallClaim
  bool replied_ = false;   // there is a Reply in place
  Status over_ = Status::kOk;
  std::uint64_t late_ = 0;
  std::uint64_t malformed_ = 0;
};

// A request, in place, as a Message is: one at a time. It may be answered later, by its id.
class [[nodiscard]] Request {
 public:
  template <class... Body>
  Request(CallId id, Deadline answer_by, Body&&... body) noexcept
      : id_(id), answer_by_(answer_by), body_(std::forward<Body>(body)...) {}

  [[nodiscard]] CallId id() const noexcept { return id_; }
  [[nodiscard]] std::span<const std::byte> bytes() const noexcept { return body_.bytes(); }
  [[nodiscard]] std::string_view text() const noexcept { return body_.text(); }
  // Until when its caller waits, reckoned from when it was taken here.
  [[nodiscard]] Deadline answer_by() const noexcept { return answer_by_; }

 private:
  CallId id_;
  Deadline answer_by_;
  detail::CallBody body_;
};

// The answering side, for one caller.
class RONDO_API Service {
 public:
  // Requests that were taken and not answered, at most; those whose callers do not wait any more
  // give way to others. More are refused with this code.
  static constexpr std::size_t kMaxUnderWay = 1024;
  static constexpr std::uint32_t kBusy = ~std::uint32_t{0};

  // As Caller's.
  Service(Receiver requests, Sender replies);
  // As Caller::open(), until a caller has begun a session with this one. A caller that has gone
  // before is none.
  [[nodiscard]] static Result<Service> open(std::string_view url, const OpenOptions& options = {});

  // The next request; not while another one is held. Else kTimedOut, kInterrupted, kNoMemory, or
  // why the caller is lost: kEnded when it has left in order, or another one has come. Progress:
  // blocking.
  [[nodiscard]] Polled<Request> next(Deadline deadline = Deadline::never());

  // Answers. kOk; kClosed: there is no such request (any more), as it was answered, dropped or
  // cancelled, and nothing was sent; kPeerGone, kPeerDied, kIoError: the caller is lost, and will
  // not read it; kTooLarge, kTimedOut, kInterrupted, ...: nothing was sent, and it can be answered
  // still. On a byte stream that takes nothing by `deadline` later calls write it.
  Status reply(CallId request, std::span<const std::byte> bytes,
               Deadline deadline = Deadline::never());
  Status reply(CallId request, std::string_view text, Deadline deadline = Deadline::never()) {
    return reply(request, std::as_bytes(std::span(text)), deadline);
  }
  // The same in place.
  [[nodiscard]] Polled<CallClaim> claim(CallId request, std::size_t size_bytes,
                                        Deadline deadline = Deadline::never());
  Status commit(CallClaim claim) noexcept;
  // Refuses, with a code of the user's and words.
  Status fail(CallId request, std::uint32_t code, std::string_view why,
              Deadline deadline = Deadline::never());
  // Does not answer it: its caller waits in vain.
  void drop(CallId request) noexcept { forget(static_cast<std::uint64_t>(request)); }
  // Whether it is not to be answered any more: its caller has said so, as far as next() has come,
  // or it has been answered.
  [[nodiscard]] bool cancelled(CallId request) const noexcept;

  [[nodiscard]] std::size_t under_way() const noexcept { return taken_.size(); }
  // Requests that were refused with kBusy, and there was no room to say so.
  [[nodiscard]] std::uint64_t refused_silently() const noexcept { return refused_silently_; }
  [[nodiscard]] std::uint64_t malformed() const noexcept { return malformed_; }
  [[nodiscard]] std::size_t max_reply_bytes() const noexcept;

  [[nodiscard]] Receiver& requests() noexcept { return requests_; }
  [[nodiscard]] Sender& replies() noexcept { return replies_; }

 private:
  struct Taken {
    std::uint64_t number;
    Deadline answer_by;
  };

  Service(Receiver requests, Sender replies, std::uint64_t session, const std::atomic<bool>* stop);

  [[nodiscard]] Taken* find(std::uint64_t number) noexcept;
  [[nodiscard]] bool has_place(std::uint64_t number) noexcept;
  [[nodiscard]] Polled<CallClaim> claim_answer(CallId request, const detail::CallHead& head,
                                               std::size_t size_bytes, Deadline deadline);
  Status answer(CallId request, const detail::CallHead& head, std::span<const std::byte> bytes,
                Deadline deadline);
  void forget(std::uint64_t number) noexcept;

  Receiver requests_;
  Sender replies_;
  std::vector<Taken> taken_;
  std::uint64_t session_;  // 0: none
  const std::atomic<bool>* stop_;
  bool staged_;            // replies may lie in this process
  bool claiming_ = false;  // there is a CallClaim
  bool asked_ = false;     // there is a Request in place
  Status over_ = Status::kOk;
  std::uint64_t refused_silently_ = 0;
  std::uint64_t malformed_ = 0;
};

}  // namespace rondo::inline RONDO_ABI
