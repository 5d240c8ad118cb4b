// What the conformance tests of channels share.
#pragma once

#include <gtest/gtest.h>

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "conformance/channel_cases.hpp"
#include "rondo/rondo.hpp"
#include "support/event_loop.hpp"
#include "support/processes.hpp"

namespace rondo::testing {

inline std::span<const std::byte> bytes_of(std::string_view text) noexcept {
  return std::as_bytes(std::span(text.data(), text.size()));
}

// A message of `size` bytes that tells from every other: its number, then a pattern of it.
inline std::string numbered_message(std::uint64_t number, std::size_t size) {
  std::string message(size, '\0');
  std::uint64_t state = number * 0x9E3779B97F4A7C15u + size;
  for (char& c : message) {
    state = state * 6364136223846793005u + 1442695040888963407u;
    c = static_cast<char>(state >> 56);
  }
  return message;
}

// The next message within a generous time, as text; or the status in angle brackets.
inline std::string receive(Receiver& receiver) {
  auto message = receiver.next(Deadline::after(std::chrono::seconds(60)));
  if (!message) return "<" + std::string(to_string(message.status())) + ">";
  return std::string(message->text());
}

// Sends messages of `size` bytes until there is no room any more. What TCP has taken goes on to the
// other side for a while, and makes room again.
inline void fill_up(Sender& sender, std::size_t size) {
  const std::string message(size, 'x');
  const auto takes_one = [&] { return sender.try_send(bytes_of(message)) == Status::kOk; };
  for (bool full = false; !full;) {
    while (takes_one()) {
    }
    full =
        sender.flush(Deadline::after(std::chrono::milliseconds(50))) != Status::kOk && !takes_one();
  }
}

inline const std::string kEndOfStreamText = "<" + std::string(to_string(Status::kEnded)) + ">";

class ChannelTest : public ::testing::TestWithParam<ChannelCase> {
 protected:
  ChannelTest() { alarm(240); }
  ~ChannelTest() override { alarm(0); }

  [[nodiscard]] std::string url() const { return fresh_url(GetParam(), directory_.path()); }
  // Both ends of a channel. Small, unless told otherwise: some messages fill it.
  [[nodiscard]] std::pair<Sender, Receiver> open(const std::string& options = "",
                                                 const OpenOptions& wishes = {},
                                                 std::uint64_t capacity = 4096) const {
    std::string text = url() + "?" + options_of(GetParam(), capacity);
    if (!options.empty()) text += "&" + options;
    auto pair = open_pair(text, wishes);
    if (!pair) throw std::runtime_error(pair.error().message);
    return std::move(pair).value();
  }
  // Whether looks tell of what is in the channel, and no descriptor: a little later; and once more
  // where one has crossed with a call that found nothing.
  [[nodiscard]] static bool has_looks() { return !GetParam().ring && !GetParam().has_descriptor(); }
  // Whether `fd` tells.
  [[nodiscard]] static bool told(int fd) {
    return has_looks() ? EventLoop(LoopKind::kPoll, fd).wait() : readable(fd);
  }
  // Whether it does not, as nothing was found.
  [[nodiscard]] static bool quiet(int fd, Receiver& receiver) {
    return !readable(fd) || (has_looks() && !receiver.try_next() && !readable(fd));
  }

 private:
  ScratchDirectory directory_;
};

}  // namespace rondo::testing
