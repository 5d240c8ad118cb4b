// Any messages as what the other side of calls says, between any calls of this one: to a Caller,
// and to a Service. Against a model: each request has one answer at the most, which is the first
// that came; each request is taken once; what nobody waits for, or nobody sends, is counted; and
// what goes out is what the head of rondo/call.hpp says.
#include <algorithm>
#include <deque>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "input.hpp"
#include "rondo/call.hpp"
#include "rondo/rondo.hpp"

using namespace rondo;
using detail::CallHead;

namespace {

using Bytes = std::vector<std::byte>;

constexpr std::size_t kMostWaiting = 40;  // fewer than are looked at between two looks at the time

struct Said {
  CallHead head;
  Bytes body;
  bool whole = true;  // it has a head
};

Said said_by(std::span<const std::byte> message) {
  Said said{{}, {}, message.size() >= sizeof(CallHead)};
  if (!said.whole) return said;
  std::memcpy(&said.head, message.data(), sizeof said.head);
  said.body.assign(message.begin() + sizeof said.head, message.end());
  return said;
}

// One side of calls that is under attack, of the other one's: both channels.
struct Channels {
  Channels() {
    auto there = open_pair("inproc:?capacity=16KiB");
    auto back = open_pair("inproc:?capacity=16KiB");
    RONDO_FUZZ_CHECK(there && back);
    ours_out.emplace(std::move(there->first));
    theirs_in.emplace(std::move(there->second));
    theirs_out.emplace(std::move(back->first));
    ours_in.emplace(std::move(back->second));
  }
  // The next message that our side has sent.
  [[nodiscard]] std::optional<Said> sent() {
    auto message = theirs_in->try_next();
    if (!message) return std::nullopt;
    return said_by(message->bytes());
  }

  std::optional<Sender> ours_out;
  std::optional<Receiver> theirs_in;
  std::optional<Sender> theirs_out;
  std::optional<Receiver> ours_in;
};

// Something of the other side, sound or not: about one of these numbers, or about any.
std::optional<Said> say_something(fuzz::Input& input, Channels& channels,
                                  const std::vector<std::uint64_t>& numbers) {
  const auto shape = input.take<std::uint8_t>();
  CallHead head;
  head.kind = (shape & 7) < 6 ? shape & 7 : input.take<std::uint32_t>();
  head.number = (shape & 8) != 0 || numbers.empty()
                    ? input.take<std::uint8_t>()
                    : numbers[input.take<std::uint8_t>() % numbers.size()];
  head.value = (shape & 16) != 0 ? input.take<std::uint32_t>() : 0;
  Bytes message(sizeof head);
  std::memcpy(message.data(), &head, sizeof head);
  if ((shape & 32) != 0) message.resize(message.size() + input.take<std::uint8_t>() % 100);
  if ((shape & 192) == 192) message.resize(input.take<std::uint8_t>() % sizeof head);
  if (channels.theirs_out->try_send(message) != Status::kOk) return std::nullopt;
  return said_by(message);
}

struct CallerModel {
  std::map<std::uint64_t, std::optional<Said>> calls;
  std::deque<Said> waiting;
  std::uint64_t late = 0;
  std::uint64_t malformed = 0;

  // The reply to that one, or to any (0), that comes now.
  std::optional<Said> receive(std::uint64_t wanted) {
    while (!waiting.empty()) {
      const Said said = std::move(waiting.front());
      waiting.pop_front();
      const bool reply = said.whole && (said.head.kind == CallHead::kReply ||
                                        said.head.kind == CallHead::kFailure);
      const auto call = calls.find(said.head.number);
      if (!reply) {
        ++malformed;
      } else if (call == calls.end() || call->second) {
        ++late;
      } else if (wanted == 0 || wanted == said.head.number) {
        calls.erase(call);
        return said;
      } else {
        call->second = said;
      }
    }
    return std::nullopt;
  }
};

void check_reply(const Reply& reply, const Said& expected) {
  const bool failed = expected.head.kind == CallHead::kFailure;
  RONDO_FUZZ_CHECK(static_cast<std::uint64_t>(reply.call()) == expected.head.number);
  RONDO_FUZZ_CHECK(reply.failed() == failed && reply.code() == (failed ? expected.head.value : 0));
  RONDO_FUZZ_CHECK(std::ranges::equal(reply.bytes(), expected.body));
}

void attack_a_caller(fuzz::Input& input) {
  Channels channels;
  Caller caller(*std::move(channels.ours_out), *std::move(channels.ours_in));
  CallerModel model;
  std::vector<std::uint64_t> numbers;  // of all calls
  const auto sent = [&](std::uint64_t number, std::uint32_t kind, std::size_t size) {
    const auto said = channels.sent();
    RONDO_FUZZ_CHECK(said && said->whole && said->body.size() == size);
    RONDO_FUZZ_CHECK(said->head.number == number && said->head.kind == kind);
  };
  while (!input.empty() && numbers.size() < 200) {
    const auto drawn = input.take<std::uint8_t>();
    const std::uint64_t any =
        numbers.empty() ? 0 : numbers[(drawn >> 3) * numbers.size() / 32 % numbers.size()];
    switch (drawn % 8) {
      case 0:
      case 1: {
        const Bytes request(drawn >> 3);
        const auto call = caller.begin(request, Deadline::now());
        RONDO_FUZZ_CHECK(call.has_value());
        const auto number = static_cast<std::uint64_t>(*call);
        RONDO_FUZZ_CHECK(model.calls.emplace(number, std::nullopt).second);
        numbers.push_back(number);
        sent(number, CallHead::kRequest, request.size());
        break;
      }
      case 2: {
        const bool under_way = model.calls.contains(any) && !model.calls[any];
        model.calls.erase(any);
        caller.cancel(CallId{any});
        if (under_way) sent(any, CallHead::kCancel, 0);
        break;
      }
      case 3: {
        const auto found = model.calls.find(any);
        std::optional<Said> expected;
        if (found != model.calls.end() && found->second) {
          expected = found->second;
          model.calls.erase(found);
        } else if (found != model.calls.end()) {
          expected = model.receive(any);
        }
        const auto reply = caller.wait(CallId{any}, Deadline::now());
        RONDO_FUZZ_CHECK(reply.has_value() == expected.has_value());
        if (reply) check_reply(*reply, *expected);
        break;
      }
      case 4: {
        const auto is_kept = [](const auto& call) { return call.second.has_value(); };
        const bool kept = std::ranges::any_of(model.calls, is_kept);
        const bool any_call = !model.calls.empty();
        const auto expected = !kept && any_call ? model.receive(0) : std::nullopt;
        const auto reply = caller.next(Deadline::now());
        RONDO_FUZZ_CHECK(reply.has_value() == (kept || expected));
        if (kept) {  // whichever of them
          const auto found = model.calls.find(static_cast<std::uint64_t>(reply->call()));
          RONDO_FUZZ_CHECK(found != model.calls.end() && found->second);
          check_reply(*reply, *found->second);
          model.calls.erase(found);
        } else if (expected) {
          check_reply(*reply, *expected);
        }
        break;
      }
      default:
        if (model.waiting.size() >= kMostWaiting) break;
        if (auto said = say_something(input, channels, numbers)) {
          model.waiting.push_back(*std::move(said));
        }
    }
    RONDO_FUZZ_CHECK(caller.under_way() == model.calls.size());
    RONDO_FUZZ_CHECK(caller.late() == model.late && caller.malformed() == model.malformed);
  }
}

void attack_a_service(fuzz::Input& input) {
  Channels channels;
  Service service(*std::move(channels.ours_in), *std::move(channels.ours_out));
  std::deque<Said> waiting;
  std::set<std::uint64_t> taken;
  std::vector<std::uint64_t> numbers{1, 2, 3};
  std::uint64_t malformed = 0;
  for (int acts = 0; !input.empty() && acts < 500; ++acts) {
    const auto drawn = input.take<std::uint8_t>();
    const std::uint64_t any = numbers[(drawn >> 3) % numbers.size()];
    switch (drawn % 8) {
      case 0:
      case 1: {
        std::optional<Said> expected;
        while (!expected && !waiting.empty()) {
          Said said = std::move(waiting.front());
          waiting.pop_front();
          if (!said.whole) said.head = {};
          if (said.head.kind == CallHead::kRequest && taken.insert(said.head.number).second) {
            expected = std::move(said);
          } else if (said.head.kind == CallHead::kCancel && said.body.empty()) {
            taken.erase(said.head.number);
          } else {
            ++malformed;
          }
        }
        const auto request = service.next(Deadline::now());
        RONDO_FUZZ_CHECK(request.has_value() == expected.has_value());
        if (!request) break;
        RONDO_FUZZ_CHECK(static_cast<std::uint64_t>(request->id()) == expected->head.number);
        RONDO_FUZZ_CHECK(std::ranges::equal(request->bytes(), expected->body));
        RONDO_FUZZ_CHECK(request->answer_by().is_never() == (expected->head.value == 0));
        break;
      }
      case 2:
      case 3: {
        const bool refuses = drawn % 8 == 3;
        const std::string answer(drawn >> 3, 'a');
        const Status status =
            refuses ? service.fail(CallId{any}, 7, answer, Deadline::now())
                    : service.reply(CallId{any}, std::as_bytes(std::span(answer)), Deadline::now());
        RONDO_FUZZ_CHECK(status == (taken.erase(any) != 0 ? Status::kOk : Status::kClosed));
        const auto said = channels.sent();
        RONDO_FUZZ_CHECK(said.has_value() == (status == Status::kOk));
        if (!said) break;
        RONDO_FUZZ_CHECK(said->head.number == any && said->body.size() == answer.size());
        RONDO_FUZZ_CHECK(said->head.kind == (refuses ? CallHead::kFailure : CallHead::kReply));
        RONDO_FUZZ_CHECK(said->head.value == (refuses ? 7 : 0));
        break;
      }
      default:
        if (waiting.size() >= kMostWaiting) break;
        if (auto said = say_something(input, channels, numbers)) {
          if (numbers.size() < 32) numbers.push_back(said->head.number);
          waiting.push_back(*std::move(said));
        }
    }
    for (const std::uint64_t number : numbers) {
      RONDO_FUZZ_CHECK(service.cancelled(CallId{number}) == !taken.contains(number));
    }
    RONDO_FUZZ_CHECK(service.malformed() == malformed);
  }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  fuzz::Input input(data, size);
  if ((input.take<std::uint8_t>() & 1) != 0) {
    attack_a_caller(input);
  } else {
    attack_a_service(input);
  }
  return 0;
}
