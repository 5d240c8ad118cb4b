// What the conformance tests of channels with several receivers share: one sender, and a set of
// receivers, each with a policy of its own.
#pragma once

#include <gtest/gtest.h>

#include <array>
#include <atomic>
#include <chrono>
#include <cstdint>
#include <optional>
#include <ostream>
#include <stdexcept>
#include <string>
#include <string_view>
#include <thread>
#include <utility>
#include <vector>

#include "conformance/channel_fixture.hpp"

namespace rondo::testing {

struct ReceiversCase {
  ChannelCase channel;
  std::uint32_t receivers;
};
inline void PrintTo(const ReceiversCase& receivers_case, std::ostream* out) {
  *out << receivers_case.channel.name << receivers_case.receivers;
}

// Of the channels, those that take several receivers; each with so many of them.
inline std::vector<ReceiversCase> receivers_cases() {
  std::vector<ReceiversCase> cases;
  for (const ChannelCase& channel : kChannelCases) {
    if (!channel.has_readers()) continue;
    for (const std::uint32_t receivers : {1u, 2u, 8u, 64u}) cases.push_back({channel, receivers});
  }
  for (const ChannelCase& channel : kLossyChannelCases) {
    for (const std::uint32_t receivers : {1u, 2u, 8u, 64u}) cases.push_back({channel, receivers});
  }
  return cases;
}

inline Deadline soon() { return Deadline::after(std::chrono::seconds(120)); }

// The receiver's place in the stream, and whether all that it saw was right.
class TestReader {
 public:
  TestReader(Receiver receiver, ReaderPolicy policy)
      : receiver_(std::move(receiver)), policy_(policy) {}

  [[nodiscard]] ReaderPolicy policy() const noexcept { return policy_; }
  [[nodiscard]] bool is_reliable() const noexcept { return policy_ == ReaderPolicy::kReliable; }
  [[nodiscard]] Receiver& receiver() noexcept { return receiver_; }
  // Of the next message, or, after the end, how many there were.
  [[nodiscard]] std::uint64_t sequence() const { return receiver_.info().messages; }
  [[nodiscard]] std::uint64_t messages() const noexcept { return messages_; }
  // The one after the last message that was intact when it was looked at.
  [[nodiscard]] std::uint64_t next() const noexcept { return next_; }

  // Reads up to the end, or to the first error; `text(i)` is what message i has to be.
  template <class Text>
  void read_to_the_end(const Text& text, Deadline deadline = soon()) {
    while (read(text, deadline) == Status::kOk) {
    }
  }
  template <class Text>
  Status read(const Text& text, Deadline deadline = soon()) {
    auto message = receiver_.next(deadline);
    if (!message) return message.status();
    const std::vector<std::byte> copy = message->take();
    // What is not intact may be anything, and will count as lost.
    if (!message->intact()) return Status::kOk;
    // Of 64 receivers each one's info() asks the kernel about all of them.
    const std::uint64_t at = is_reliable() ? next_ : sequence();
    EXPECT_GE(at, next_) << "a message came again";
    const std::string came(reinterpret_cast<const char*>(copy.data()), copy.size());
    EXPECT_EQ(came, text(at)) << "message " << at;
    // What the numbers leave out is what it is told that it lost.
    EXPECT_EQ(receiver_.lost() - lost_before_, at - next_) << "message " << at;
    lost_before_ = receiver_.lost();
    next_ = at + 1;
    ++messages_;
    return ::testing::Test::HasFailure() ? Status::kCorrupt : Status::kOk;
  }
  // It is not the first message that comes first.
  void expect_next(std::uint64_t sequence) noexcept {
    next_ = sequence;
    lost_before_ = receiver_.lost();
  }

 private:
  Receiver receiver_;
  ReaderPolicy policy_;
  std::uint64_t next_ = 0;
  std::uint64_t lost_before_ = 0;  // when next_ was set
  std::uint64_t messages_ = 0;     // that were intact when they were looked at
};

class SeveralReceivers : public ::testing::TestWithParam<ReceiversCase> {
 protected:
  SeveralReceivers() { alarm(280); }
  ~SeveralReceivers() override { alarm(0); }

  static constexpr std::array kPolicies{ReaderPolicy::kReliable, ReaderPolicy::kLossy,
                                        ReaderPolicy::kLatest};
  static constexpr std::array<std::string_view, 3> kPolicyNames{"reliable", "lossy", "latest"};

  [[nodiscard]] static std::uint32_t receiver_count() { return GetParam().receivers; }
  [[nodiscard]] static bool guarded() { return GetParam().channel.name == "Guarded"; }
  // Whether somebody who takes no part can look at the ring; else its own handles alone do.
  [[nodiscard]] static bool outsiders_see() { return GetParam().channel.processes && !guarded(); }
  [[nodiscard]] static bool frames() { return GetParam().channel.frames; }
  // Receiver i is reliable, lossy, or wants the newest, by turns; in a pool of frames one of the
  // latter two.
  [[nodiscard]] static std::uint32_t turn(std::uint32_t i) { return frames() ? 1 + i % 2 : i % 3; }
  [[nodiscard]] static ReaderPolicy policy_of_receiver(std::uint32_t i) {
    return kPolicies[turn(i)];
  }
  [[nodiscard]] static std::string options_of_receiver(std::uint32_t i) {
    return "policy=" + std::string(kPolicyNames[turn(i)]);
  }

  // The sender, with places for the set of receivers (a ring for one alone knows no policies).
  Sender& open_sender(std::uint64_t capacity, const OpenOptions& wishes = {}) {
    url_ = fresh_url(GetParam().channel, directory_.path());
    const std::uint32_t places = std::max(receiver_count(), 2u);
    // Frames as large as the largest message of such a ring, about as many as it has short ones.
    const std::string size =
        frames() ? "kind=frames&frames=80&frame_size=" + std::to_string(capacity / 2 - 64)
                 : "capacity=" + std::to_string(capacity);
    auto sender = Sender::open(url_ + "?" + size + "&readers=" + std::to_string(places), wishes);
    if (!sender) throw std::runtime_error(sender.error().message);
    return sender_.emplace(std::move(sender).value());
  }

  // What opening a receiver comes to, while the sender waits: one that guards its ring lets nobody
  // in but in its own calls.
  Result<Receiver> try_to_come(const std::string& options) {
    std::atomic<bool> done = false;
    std::optional<Result<Receiver>> came;
    std::thread coming([&] {
      came.emplace(Receiver::open(url_ + "?" + options, {.wait = soon()}));
      done = true;
    });
    while (!done) {
      // More than can be: it waits as long as it may.
      static_cast<void>(sender_->wait_for_receivers(kMaxReaders + 1,
                                                    Deadline::after(std::chrono::milliseconds(1))));
    }
    coming.join();
    return std::move(*came);
  }
  TestReader come(const std::string& options, ReaderPolicy policy) {
    auto receiver = try_to_come(options);
    if (!receiver) throw std::runtime_error(receiver.error().message);
    return {std::move(receiver).value(), policy};
  }
  // The whole set of receivers, each with its policy.
  std::vector<TestReader> all_come() {
    std::vector<TestReader> readers;
    for (std::uint32_t i = 0; i < receiver_count(); ++i) {
      readers.push_back(come(options_of_receiver(i), policy_of_receiver(i)));
    }
    EXPECT_EQ(sender_->wait_for_receivers(receiver_count(), soon()), Status::kOk);
    return readers;
  }

  [[nodiscard]] Sender& sender() { return *sender_; }
  [[nodiscard]] const std::string& url() const { return url_; }

 private:
  ScratchDirectory directory_;
  std::string url_;
  std::optional<Sender> sender_;
};

}  // namespace rondo::testing
