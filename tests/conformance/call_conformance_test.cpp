// Requests and replies over each pair of channels (rondo/call.hpp). Each line has a test of the
// same name, in this order.
//
//  1. AReplyComesToItsRequest
//  2. RepliesComeInAnyOrderAndToWhoeverWaits
//  3. WhoeverComesNextIsTaken
//  4. AReplyThatIsTooLateIsDroppedAndIsNobodyElses
//  5. ACancelledRequestIsNotAnswered
//  6. TheServiceRefusesInItsOwnWords
//  7. TheServiceIsToldHowLongItsCallerWaits
//  8. RequestsAndRepliesAreWrittenInPlace
//  9. SizesUpToTheLargestAndNoMore
// 10. GarbageIsCountedAndHarmsNobody
// 11. NothingOfAnEarlierSessionIsActedUpon
// 12. SoManyAtOnceAndNoMore
// 13. AServiceThatLeavesOrBreaksOffIsToldAtOnce
// 14. ACallerThatLeavesIsToldAtOnce
// 15. BetweenProcessesByOneName
// 16. AServiceThatIsKilledIsToldAtOnce
// 17. WhatIsHeldBackGoesOutBeforeTheOtherSideIsWaitedFor
// 18. AHelloOfAnotherSessionEndsThisOne
// 19. WhatIsNoChannelFromOneToOneIsRefused
// 20. AskingMoreThanThereIsRoomForWaitsForNoReplyInTheWay
// 21. WhatAStreamDidNotTakeYetIsWrittenWhileTheAnswerIsWaitedFor
// 22. SoIsAnAnswerWhileMoreRequestsAreWaitedFor, WhoIsRefusedAndReadsNoAnswerIsCounted
// 23. RequestsThatNobodyWaitsForGiveWayToOthers
// 24. AFloodOfNonsenseHoldsNoStop
// 25. AReplyThatIsHeldInPlaceStaysWhileMoreIsAsked
#include "rondo/call.hpp"

#include <gtest/gtest.h>
#include <signal.h>
#include <unistd.h>

#include <atomic>
#include <chrono>
#include <optional>
#include <stdexcept>
#include <string>
#include <thread>
#include <vector>

#include "conformance/channel_fixture.hpp"

namespace rondo::testing {
namespace {

using detail::CallHead;
using std::chrono::milliseconds;
using std::chrono::seconds;

const Deadline kNow = Deadline::now();
Deadline soon() { return Deadline::after(seconds(60)); }

class CallTest : public ChannelTest {
 protected:
  // A caller and its service, in one thread: nothing that they do waits for the other.
  struct Both {
    Caller caller;
    Service service;
  };
  [[nodiscard]] Both both(std::uint64_t capacity = 1 << 16, const std::string& options = "") const {
    auto there = open(options, {}, capacity);
    auto back = open(options, {}, capacity);
    return {Caller(std::move(there.first), std::move(back.second)),
            Service(std::move(there.second), std::move(back.first))};
  }
  // What comes next at the service, or why nothing.
  static std::string asked(Service& service) {
    const auto request = service.next(soon());
    return request ? std::string(request->text()) : std::string(to_string(request.status()));
  }
  static CallId take(Service& service) {
    const auto request = service.next(soon());
    EXPECT_TRUE(request) << to_string(request.status());
    return request ? request->id() : CallId{};
  }
  static std::string text_of(const Polled<Reply>& reply) {
    return reply ? std::string(reply->text()) : "<" + std::string(to_string(reply.status())) + ">";
  }
  // Whether calls by a name go over such channels.
  [[nodiscard]] static bool has_calls() {
    // A port, or a key, has no second name.
    const auto target = GetParam().target;
    return !GetParam().slots && target != ChannelCase::Target::kNone &&
           target != ChannelCase::Target::kPort && target != ChannelCase::Target::kKey;
  }
  static std::string call_url(const ScratchDirectory& directory) {
    return fresh_url(GetParam(), directory.path()) + "?" + options_of(GetParam(), 1 << 16);
  }
  // Of sides that were killed, or left what they had not read.
  static void remove_both(const std::string& url) {
    const std::string name = url.substr(0, url.find('?'));
    static_cast<void>(remove(name + ".requests", true));
    static_cast<void>(remove(name + ".replies", true));
  }
  // A service for one caller, which may ask nothing else than `only`; empty: anything.
  static int answer_all(const std::string& url, const std::string& only = "") {
    auto service = Service::open(url);
    if (!service) return 1;
    for (;;) {
      const auto request = service->next(soon());
      if (!request) return request.status() == Status::kEnded ? 0 : 2;
      if (!only.empty() && request->text() != only) return 3;
      const std::string answer = "re: " + std::string(request->text());
      if (service->reply(request->id(), answer, soon()) != Status::kOk) return 4;
    }
  }
  // The same of two by one name, in this process.
  [[nodiscard]] static Both by_name(const std::string& url, const OpenOptions& options = {},
                                    const OpenOptions& of_service = {}) {
    std::optional<Result<Service>> service;
    std::thread other([&] { service.emplace(Service::open(url, of_service)); });
    auto caller = Caller::open(url, options);
    other.join();
    if (!caller) throw std::runtime_error(caller.error().message);
    if (!*service) throw std::runtime_error(service->error().message);
    return {std::move(*caller), std::move(**service)};
  }
  static CallId begin(Caller& caller, std::string_view text) {
    const auto call = caller.begin(bytes_of(text), soon());
    EXPECT_TRUE(call) << to_string(call.status());
    return call ? *call : CallId{};
  }
};

INSTANTIATE_TEST_SUITE_P(Every, CallTest, ::testing::ValuesIn(kChannelCases),
                         [](const auto& one) { return std::string(one.param.name); });

TEST_P(CallTest, AReplyComesToItsRequest) {
  auto [caller, service] = both();
  for (int i = 0; i < 100; ++i) {
    const CallId call = begin(caller, "question " + std::to_string(i));
    EXPECT_EQ(caller.under_way(), 1u);
    {
      const auto request = service.next(soon());
      ASSERT_TRUE(request);
      EXPECT_EQ(request->text(), "question " + std::to_string(i));
      EXPECT_TRUE(request->answer_by().is_never());
      // While it still lies in the channel.
      EXPECT_EQ(service.reply(request->id(), "answer to " + std::string(request->text())),
                Status::kOk);
      EXPECT_EQ(service.reply(request->id(), "twice"), Status::kClosed);
    }
    const auto reply = caller.wait(call, soon());
    EXPECT_EQ(text_of(reply), "answer to question " + std::to_string(i));
    EXPECT_FALSE(reply->failed());
    EXPECT_EQ(reply->call(), call);
    EXPECT_EQ(caller.under_way(), 0u);
  }
  EXPECT_EQ(service.under_way(), 0u);
}

TEST_P(CallTest, RepliesComeInAnyOrderAndToWhoeverWaits) {
  auto [caller, service] = both();
  std::vector<CallId> calls;
  std::vector<CallId> requests;
  for (int i = 0; i < 5; ++i) calls.push_back(begin(caller, std::to_string(i)));
  for (int i = 0; i < 5; ++i) requests.push_back(take(service));
  for (const int i : {3, 0, 4, 2, 1}) {
    EXPECT_EQ(service.reply(requests[i], "to " + std::to_string(i)), Status::kOk);
  }
  for (const int i : {4, 1, 0, 3, 2}) {
    EXPECT_EQ(text_of(caller.wait(calls[i], soon())), "to " + std::to_string(i));
    EXPECT_EQ(caller.wait(calls[i], kNow).status(), Status::kClosed);
  }
  EXPECT_EQ(caller.late(), 0u);
}

TEST_P(CallTest, WhoeverComesNextIsTaken) {
  auto [caller, service] = both();
  EXPECT_EQ(caller.next(kNow).status(), Status::kClosed);
  const CallId first = begin(caller, "a");
  const CallId second = begin(caller, "b");
  const CallId third = begin(caller, "c");
  const CallId a = take(service);
  const CallId b = take(service);
  const CallId c = take(service);
  EXPECT_EQ(service.reply(b, "B"), Status::kOk);
  EXPECT_EQ(service.reply(c, "C"), Status::kOk);
  EXPECT_EQ(text_of(caller.wait(third, soon())), "C");  // b's is kept
  EXPECT_EQ(caller.next(kNow)->call(), second);
  EXPECT_EQ(caller.next(kNow).status(), Status::kWouldBlock);
  EXPECT_EQ(service.reply(a, "A"), Status::kOk);
  EXPECT_EQ(caller.next(soon())->call(), first);
}

TEST_P(CallTest, AReplyThatIsTooLateIsDroppedAndIsNobodyElses) {
  auto [caller, service] = both();
  EXPECT_EQ(caller.call(bytes_of("slow"), Deadline::after(milliseconds(1))).status(),
            Status::kTimedOut);
  EXPECT_EQ(caller.under_way(), 0u);
  const CallId slow = take(service);
  EXPECT_EQ(service.reply(slow, "too late"), Status::kOk);  // it has not seen yet that it is
  const CallId next = begin(caller, "next");
  EXPECT_EQ(service.reply(take(service), "in time"), Status::kOk);
  EXPECT_EQ(text_of(caller.wait(next, soon())), "in time");
  EXPECT_EQ(caller.late(), 1u);
  // A wait that was in vain may be taken up again.
  const CallId again = begin(caller, "again");
  EXPECT_EQ(caller.wait(again, Deadline::after(milliseconds(1))).status(), Status::kTimedOut);
  EXPECT_EQ(service.reply(take(service), "now"), Status::kOk);
  EXPECT_EQ(text_of(caller.wait(again, soon())), "now");
}

TEST_P(CallTest, ACancelledRequestIsNotAnswered) {
  auto [caller, service] = both();
  const CallId call = begin(caller, "long work");
  const CallId request = take(service);
  EXPECT_FALSE(service.cancelled(request));
  caller.cancel(call);
  caller.cancel(call);  // there is no such one any more
  EXPECT_EQ(caller.wait(call, kNow).status(), Status::kClosed);
  begin(caller, "next");
  const CallId next = take(service);  // comes behind the cancel
  EXPECT_TRUE(service.cancelled(request));
  EXPECT_EQ(service.under_way(), 1u);  // it takes no place any more
  EXPECT_EQ(service.reply(request, "of no use"), Status::kClosed);
  EXPECT_EQ(service.reply(next, "fine"), Status::kOk);
  EXPECT_EQ(text_of(caller.next(soon())), "fine");
  EXPECT_EQ(service.under_way(), 0u);
}

TEST_P(CallTest, TheServiceRefusesInItsOwnWords) {
  auto [caller, service] = both();
  const CallId call = begin(caller, "?");
  EXPECT_EQ(service.fail(take(service), 42, "no such instrument"), Status::kOk);
  const auto reply = caller.wait(call, soon());
  EXPECT_EQ(text_of(reply), "no such instrument");
  EXPECT_TRUE(reply->failed());
  EXPECT_EQ(reply->code(), 42u);
}

TEST_P(CallTest, TheServiceIsToldHowLongItsCallerWaits) {
  auto [caller, service] = both();
  const Deadline answer_by = Deadline::after(seconds(1000));
  ASSERT_TRUE(caller.begin(bytes_of("?"), soon(), answer_by));
  ASSERT_TRUE(caller.begin(bytes_of("?"), soon(), Deadline::after(std::chrono::hours(100))));
  ASSERT_TRUE(caller.begin(bytes_of("?"), soon(), Deadline::now()));
  {
    const auto request = service.next(soon());
    ASSERT_TRUE(request);
    EXPECT_GT(request->answer_by().remaining(), seconds(900));
    EXPECT_LE(request->answer_by().remaining(), seconds(1001));
  }
  {
    const auto most = service.next(soon());  // more than can be said is not made less
    EXPECT_TRUE(most->answer_by().is_never());
  }
  EXPECT_FALSE(service.next(soon())->answer_by().is_never());
}

TEST_P(CallTest, RequestsAndRepliesAreWrittenInPlace) {
  auto [caller, service] = both();
  auto claim = caller.claim(8, soon());
  ASSERT_TRUE(claim);
  EXPECT_EQ(claim->bytes().size(), 8u);
  EXPECT_EQ(reinterpret_cast<std::uintptr_t>(claim->bytes().data()) % 8, 0u);
  std::memcpy(claim->bytes().data(), "question", 8);
  const auto call = caller.commit(std::move(*claim));
  ASSERT_TRUE(call);
  const CallId request = take(service);
  {
    auto dropped = service.claim(request, 3, soon());  // never was
    ASSERT_TRUE(dropped);
  }
  auto answer = service.claim(request, 8, soon());
  ASSERT_TRUE(answer);
  std::memcpy(answer->bytes().data(), "answer", 6);
  answer->shrink(6);
  EXPECT_EQ(service.commit(std::move(*answer)), Status::kOk);
  EXPECT_EQ(text_of(caller.wait(*call, soon())), "answer");
}

TEST_P(CallTest, SizesUpToTheLargestAndNoMore) {
  auto [caller, service] = both();
  EXPECT_EQ(caller.max_request_bytes(), caller.requests().max_message_bytes() - 16);
  for (const std::size_t size : {std::size_t{0}, std::size_t{1}, caller.max_request_bytes()}) {
    const std::string text = numbered_message(size, size);
    const CallId call = begin(caller, text);
    {
      const auto request = service.next(soon());
      ASSERT_TRUE(request);
      ASSERT_EQ(request->text(), text);
      ASSERT_EQ(service.reply(request->id(), request->bytes(), soon()), Status::kOk);
    }
    ASSERT_EQ(text_of(caller.wait(call, soon())), text);
  }
  const std::string large(caller.max_request_bytes() + 1, 'x');
  EXPECT_EQ(caller.begin(bytes_of(large), kNow).status(), Status::kTooLarge);
  begin(caller, "?");
  const CallId request = take(service);
  EXPECT_EQ(service.reply(request, large, kNow), Status::kTooLarge);
  EXPECT_EQ(service.reply(request, "small"), Status::kOk);
  EXPECT_EQ(text_of(caller.next(soon())), "small");
}

TEST_P(CallTest, GarbageIsCountedAndHarmsNobody) {
  auto [caller, service] = both();
  const auto head = [](std::uint64_t number, std::uint32_t kind) {
    const CallHead made{number, kind, 0};
    return std::string(reinterpret_cast<const char*>(&made), sizeof made);
  };
  const CallId call = begin(caller, "sound");
  const CallId request = take(service);
  const auto number = static_cast<std::uint64_t>(request);
  const auto ask = [&](const std::string& garbage) {
    ASSERT_EQ(caller.requests().send(garbage, soon()), Status::kOk);
  };
  ask("");
  ask("short");
  for (const std::uint32_t kind : {0u, 99u, CallHead::kReply}) ask(head(1, kind));
  ask(head(number, CallHead::kRequest));
  std::string more = head(number, CallHead::kCancel);
  more.push_back('!');
  ask(more);
  ASSERT_EQ(caller.requests().send(head(77, CallHead::kCancel), soon()), Status::kOk);
  const CallId behind = begin(caller, "behind");
  EXPECT_EQ(take(service), behind);
  EXPECT_EQ(service.malformed(), 7u);
  EXPECT_EQ(service.under_way(), 2u);

  const auto answer = [&](const std::string& garbage) {
    ASSERT_EQ(service.replies().send(garbage, soon()), Status::kOk);
  };
  answer("");
  answer("short");
  answer(head(number, 0));
  answer(head(number, CallHead::kRequest));
  ASSERT_EQ(service.replies().send(head(12345, CallHead::kReply), soon()), Status::kOk);
  ASSERT_EQ(service.reply(request, "answer"), Status::kOk);
  answer(head(number, CallHead::kReply));  // twice
  ASSERT_EQ(service.reply(behind, "last"), Status::kOk);
  EXPECT_EQ(text_of(caller.wait(call, soon())), "answer");
  EXPECT_EQ(text_of(caller.wait(behind, soon())), "last");
  EXPECT_EQ(caller.malformed(), 4u);
  EXPECT_EQ(caller.late(), 2u);
}

TEST_P(CallTest, NothingOfAnEarlierSessionIsActedUpon) {
  if (!GetParam().processes || !has_calls()) GTEST_SKIP() << "no two processes by a name";
  ScratchDirectory directory;
  const std::string url = call_url(directory);
  {
    Child service([&] {
      auto old = Service::open(url);
      if (!old) return 1;
      static_cast<void>(old->reply(take(*old), "old answer"));
      const auto in_hand = old->next(soon());
      kill(getpid(), SIGKILL);
      return 0;
    });
    Child caller([&] {
      auto old = Caller::open(url);
      if (!old) return 1;
      for (int i = 0; i < 4; ++i) begin(*old, "old");
      for (;;) pause();
    });
    EXPECT_EQ(service.join(), -SIGKILL);
    // Two requests were never read, nor the one reply.
    caller.signal(SIGKILL);
    EXPECT_EQ(caller.join(), -SIGKILL);
  }
  Child service([&] { return answer_all(url, "new"); });
  {
    auto caller = Caller::open(url);
    ASSERT_TRUE(caller) << caller.error().message;
    EXPECT_EQ(text_of(caller->call("new", soon())), "re: new");
    EXPECT_EQ(caller->late(), 0u);
  }
  EXPECT_EQ(service.join(), 0);
  remove_both(url);  // of a fifo, whose maker was killed
}

TEST_P(CallTest, SoManyAtOnceAndNoMore) {
  if (GetParam().slots) GTEST_SKIP() << "no room for so many";
  auto [caller, service] = both(1 << 20);
  std::vector<CallId> requests;
  for (std::size_t i = 0; i < Caller::kMaxUnderWay; ++i) {
    begin(caller, "x");
    requests.push_back(take(service));
  }
  EXPECT_EQ(caller.begin(bytes_of("x"), kNow).status(), Status::kWouldBlock);
  // One that does not keep to it is refused, and told so.
  const CallHead one_more{4711, CallHead::kRequest, 0};
  ASSERT_EQ(caller.requests().send(std::as_bytes(std::span(&one_more, 1)), soon()), Status::kOk);
  EXPECT_EQ(service.next(Deadline::after(milliseconds(1))).status(), Status::kTimedOut);
  EXPECT_EQ(service.under_way(), Service::kMaxUnderWay);
  for (const CallId request : requests) {
    ASSERT_EQ(service.reply(request, "y", soon()), Status::kOk);
    ASSERT_EQ(text_of(caller.next(soon())), "y");
  }
  EXPECT_EQ(caller.late(), 1u);  // the refusal
}

TEST_P(CallTest, AServiceThatLeavesOrBreaksOffIsToldAtOnce) {
  for (const bool in_order : {true, false}) {
    auto [caller, service] = both();
    const CallId call = begin(caller, "?");
    const CallId lost = begin(caller, "?");
    EXPECT_EQ(service.reply(take(service), "answered"), Status::kOk);
    if (in_order) {
      service.replies().close();
    } else {
      service.replies().break_off();
    }
    service.requests().detach();
    EXPECT_EQ(text_of(caller.wait(call, soon())), "answered");
    const Status status = caller.wait(lost, Deadline::never()).status();
    if (in_order) {
      EXPECT_EQ(status, Status::kEnded);
    } else {
      EXPECT_TRUE(status == Status::kPeerGone || status == Status::kPeerDied) << to_string(status);
    }
  }
}

TEST_P(CallTest, ACallerThatLeavesIsToldAtOnce) {
  auto [caller, service] = both();
  begin(caller, "last words");
  caller.requests().close();
  EXPECT_EQ(asked(service), "last words");
  EXPECT_EQ(service.next(Deadline::never()).status(), Status::kEnded);
}

TEST_P(CallTest, BetweenProcessesByOneName) {
  if (!GetParam().processes || !has_calls()) GTEST_SKIP() << "no two processes by a name";
  ScratchDirectory directory;
  const std::string url = call_url(directory);
  Child child([&] { return answer_all(url); });
  {
    auto caller = Caller::open(url);
    ASSERT_TRUE(caller) << caller.error().message;
    for (int i = 0; i < 200; ++i) {
      EXPECT_EQ(text_of(caller->call(std::to_string(i), soon())), "re: " + std::to_string(i));
    }
  }
  EXPECT_EQ(child.join(), 0);
}

TEST_P(CallTest, AServiceThatIsKilledIsToldAtOnce) {
  if (!GetParam().processes || !has_calls()) GTEST_SKIP() << "no two processes by a name";
  ScratchDirectory directory;
  const std::string url = call_url(directory);
  Child child([&] {
    auto service = Service::open(url);
    if (!service) return 1;
    const auto request = service->next(soon());
    kill(getpid(), SIGKILL);  // with the request in its hands
    return 0;
  });
  auto caller = Caller::open(url);
  ASSERT_TRUE(caller) << caller.error().message;
  const auto reply = caller->call("?", Deadline::never());
  EXPECT_TRUE(reply.status() == Status::kPeerDied || reply.status() == Status::kPeerGone)
      << to_string(reply.status());
  EXPECT_EQ(caller->under_way(), 0u);
  EXPECT_EQ(child.join(), -SIGKILL);
  caller->requests().break_off();
  caller->replies().detach();
  remove_both(url);
}

// Of byte streams it could not be read before.
TEST_P(CallTest, WhatIsHeldBackGoesOutBeforeTheOtherSideIsWaitedFor) {
  auto [caller, service] = both(1 << 16, "wake_every=100");
  std::vector<CallId> calls;
  for (int i = 0; i < 3; ++i) calls.push_back(begin(caller, "question"));
  EXPECT_EQ(caller.wait(calls[0], kNow).status(), Status::kWouldBlock);
  for (int i = 0; i < 3; ++i) EXPECT_EQ(service.reply(take(service), "answer"), Status::kOk);
  EXPECT_EQ(service.next(kNow).status(), Status::kWouldBlock);
  for (const CallId call : calls) EXPECT_EQ(text_of(caller.wait(call, soon())), "answer");
}

TEST_P(CallTest, AHelloOfAnotherSessionEndsThisOne) {
  if (!has_calls()) GTEST_SKIP() << "no calls by a name";
  ScratchDirectory directory;
  const std::string url = call_url(directory);
  auto [caller, service] = by_name(url);
  const CallId call = begin(caller, "?");
  const CallId request = take(service);
  const CallHead hello{4711, CallHead::kHello, 0};
  const auto message = std::as_bytes(std::span(&hello, 1));
  ASSERT_EQ(service.replies().send(message, soon()), Status::kOk);
  EXPECT_EQ(caller.wait(call, soon()).status(), Status::kPeerDied);
  EXPECT_EQ(caller.begin(bytes_of("more"), soon()).status(), Status::kPeerDied);
  ASSERT_EQ(caller.requests().send(message, soon()), Status::kOk);
  EXPECT_EQ(service.next(soon()).status(), Status::kEnded);
  EXPECT_EQ(service.reply(request, "not to be read by the next one"), Status::kEnded);
  EXPECT_EQ(service.malformed() + caller.malformed(), 0u);
  remove_both(url);  // of a queue, with what nobody has read
}

TEST_P(CallTest, WhatIsNoChannelFromOneToOneIsRefused) {
  if (GetParam().slots) GTEST_SKIP() << "its scheme has another case";
  const ErrorCode why = has_calls() ? ErrorCode::kInvalidOption : ErrorCode::kInvalidUrl;
  const auto refused = [why](const std::string& url, const OpenOptions& options) {
    const auto caller = Caller::open(url, options);
    const auto service = Service::open(url, options);
    return !caller && caller.error().code == why && !service && service.error().code == why;
  };
  OpenOptions options;
  options.wait = Deadline::after(milliseconds(1));
  ScratchDirectory directory;
  const std::string url = fresh_url(GetParam(), directory.path());
  if (!has_calls()) {  // it has no second name
    EXPECT_TRUE(refused(url, options));
    return;
  }
  if (GetParam().ring) {
    EXPECT_TRUE(refused(url + "?readers=2", options));
    if (GetParam().scheme != "shm+guarded:") {
      EXPECT_TRUE(refused(url + "?kind=mpmc", options));
      // Nor is one taken that is there already.
      const std::string there = url + "-there";
      auto ring = Sender::open(there + ".requests?kind=mpmc&slots=64&slot_size=64");
      ASSERT_TRUE(ring) << ring.error().message;
      const auto caller = Caller::open(there, {.wait = soon()});
      ASSERT_FALSE(caller);
      EXPECT_EQ(caller.error().code, ErrorCode::kGeometryMismatch) << caller.error().message;
      const auto service = Service::open(there, {.wait = soon()});
      ASSERT_FALSE(service);
      EXPECT_EQ(service.error().code, ErrorCode::kGeometryMismatch) << service.error().message;
    }
  } else {
    EXPECT_TRUE(refused(url + "?framing=length32", options));
  }
  EXPECT_TRUE(refused(url + "?header=16", options));
  options.await_successor = true;
  EXPECT_TRUE(refused(url, options));
}

TEST_P(CallTest, AskingMoreThanThereIsRoomForWaitsForNoReplyInTheWay) {
  auto [caller, service] = both(4096);
  const std::string text(1000, 'x');
  std::thread answering([&service = service] {
    for (;;) {
      const auto request = service.next(soon());
      if (!request) return;
      if (service.reply(request->id(), request->bytes(), soon()) != Status::kOk) return;
    }
  });
  constexpr int kCalls = 1000;  // more than both channels and their sockets hold
  int begun = 0;
  while (begun < kCalls && caller.begin(bytes_of(text), soon())) ++begun;
  EXPECT_EQ(begun, kCalls);
  int answered = 0;
  while (answered < begun && text_of(caller.next(soon())) == text) ++answered;
  EXPECT_EQ(answered, kCalls);
  caller.requests().close();
  answering.join();
}

TEST_P(CallTest, WhatAStreamDidNotTakeYetIsWrittenWhileTheAnswerIsWaitedFor) {
  auto [caller, service] = both(1 << 16);
  const std::string text(1000, 'x');
  std::optional<CallId> last;
  std::size_t begun = 0;
  while (auto call = caller.begin(bytes_of(text), kNow)) {
    last = *call;
    if (++begun == Caller::kMaxUnderWay) break;
  }
  std::thread answering([&service = service, last] {
    for (;;) {
      const auto request = service.next(soon());
      if (!request) return;
      if (request->id() == *last) static_cast<void>(service.reply(request->id(), "last", soon()));
    }
  });
  EXPECT_EQ(text_of(caller.wait(*last, soon())), "last");
  caller.requests().close();
  answering.join();
}

TEST_P(CallTest, SoIsAnAnswerWhileMoreRequestsAreWaitedFor) {
  auto [caller, service] = both(1 << 16);
  const std::string text(1000, 'x');
  std::vector<CallId> answered;
  while (answered.size() < Caller::kMaxUnderWay) {
    const CallId call = begin(caller, "?");
    if (service.reply(take(service), text, kNow) != Status::kOk) break;
    answered.push_back(call);
  }
  std::thread waiting([&service = service] {
    while (service.next(soon())) {
    }
  });
  // Enough for it to sleep, mostly: what has room before that is written at once.
  std::this_thread::sleep_for(milliseconds(30));
  std::size_t read = 0;
  while (read < answered.size() && text_of(caller.wait(answered[read], soon())) == text) ++read;
  EXPECT_EQ(read, answered.size());
  caller.requests().close();
  waiting.join();
}

TEST_P(CallTest, WhoIsRefusedAndReadsNoAnswerIsCounted) {
  if (GetParam().slots) GTEST_SKIP() << "no room for so many";
  auto [caller, service] = both(1 << 20);
  for (std::size_t i = 0; i < Service::kMaxUnderWay; ++i) {
    begin(caller, "x");
    take(service);
  }
  while (service.replies().try_send(std::string(60'000, 'x')) == Status::kOk) {
  }
  while (service.replies().try_send("") == Status::kOk) {
  }
  const CallHead one_more{4711, CallHead::kRequest, 0};
  ASSERT_EQ(caller.requests().send(std::as_bytes(std::span(&one_more, 1)), soon()), Status::kOk);
  EXPECT_EQ(service.refused_silently(), 0u);
  EXPECT_EQ(service.next(Deadline::after(milliseconds(1))).status(), Status::kTimedOut);
  EXPECT_EQ(service.refused_silently(), 1u);
  EXPECT_EQ(service.under_way(), Service::kMaxUnderWay);
  caller.replies().detach();  // or what is not written yet would be waited for
}

TEST_P(CallTest, RequestsThatNobodyWaitsForGiveWayToOthers) {
  auto [caller, service] = both(1 << 20);
  for (std::size_t i = 0; i < Service::kMaxUnderWay; ++i) {
    const CallHead head{i + 1, CallHead::kRequest, 1};  // for a microsecond
    ASSERT_EQ(caller.requests().send(std::as_bytes(std::span(&head, 1)), soon()), Status::kOk);
    take(service);
  }
  EXPECT_EQ(service.under_way(), Service::kMaxUnderWay);
  const CallId call = begin(caller, "one more");
  EXPECT_EQ(service.reply(take(service), "and why not"), Status::kOk);
  EXPECT_EQ(text_of(caller.wait(call, soon())), "and why not");
}

// As it would be if more came all the time: there is always one more message, and the wait ends
// before it has come to the last.
TEST_P(CallTest, AFloodOfNonsenseHoldsNoStop) {
  if (!has_calls()) GTEST_SKIP() << "no calls by a name";
  if (GetParam().target == ChannelCase::Target::kQueue) GTEST_SKIP() << "ten are no flood";
  ScratchDirectory directory;
  const std::string url = call_url(directory);
  std::atomic<bool> stop{false};
  OpenOptions options;
  options.stop = &stop;
  constexpr std::uint64_t kNonsense = 200;
  auto [caller, service] = by_name(url, options, options);
  const CallId call = begin(caller, "?");
  take(service);
  for (std::uint64_t i = 0; i < kNonsense; ++i) {
    ASSERT_EQ(service.replies().send("nonsense", soon()), Status::kOk);
    ASSERT_EQ(caller.requests().send("nonsense", soon()), Status::kOk);
  }
  EXPECT_EQ(caller.wait(call, kNow).status(), Status::kWouldBlock);
  EXPECT_EQ(service.next(kNow).status(), Status::kWouldBlock);
  EXPECT_LT(caller.malformed(), kNonsense);
  EXPECT_LT(service.malformed(), kNonsense);
  stop = true;
  EXPECT_EQ(caller.wait(call, Deadline::never()).status(), Status::kInterrupted);
  EXPECT_EQ(service.next(Deadline::never()).status(), Status::kInterrupted);
  EXPECT_LT(caller.malformed(), kNonsense);
  EXPECT_LT(service.malformed(), kNonsense);
  caller.replies().detach();
  service.replies().close();
  remove_both(url);
}

TEST_P(CallTest, AReplyThatIsHeldInPlaceStaysWhileMoreIsAsked) {
  auto [caller, service] = both(4096);
  const CallId first = begin(caller, "first");
  const CallId second = begin(caller, "second");
  EXPECT_EQ(service.reply(take(service), "one"), Status::kOk);
  EXPECT_EQ(service.reply(take(service), "two"), Status::kOk);
  {
    const auto held = caller.wait(first, soon());
    const std::string text(1000, 'x');
    while (caller.under_way() < Caller::kMaxUnderWay && caller.begin(bytes_of(text), kNow)) {
    }
    static_cast<void>(caller.begin(bytes_of(text), Deadline::after(milliseconds(1))));
    EXPECT_EQ(text_of(held), "one");
  }
  EXPECT_EQ(text_of(caller.wait(second, soon())), "two");
  EXPECT_EQ(caller.late(), 0u);
}

}  // namespace
}  // namespace rondo::testing
