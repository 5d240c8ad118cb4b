// A stream of messages through the two handles of a channel, from one thread to another: one
// sample.
#pragma once

#include <fmt/core.h>

#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <optional>
#include <string>
#include <utility>

#include "rondo/transports/receiver.hpp"
#include "rondo/transports/sender.hpp"
#include "support/pair.hpp"
#include "support/payload.hpp"
#include "support/samples.hpp"

namespace rondo::bench {

struct Ends {
  Sender sender;
  Receiver receiver;

  // Empty if this machine can't have it (no huge pages, no directory): says why.
  static std::optional<Ends> open(const std::string& url,
                                  const std::string& receiver_options = "") {
    const auto why = [&](const Error& error) {
      fmt::print("left out: {}: {}\n", url, error.message);
      return std::nullopt;
    };
    if (url.starts_with("shm+guarded:") || url.starts_with("inproc:")) {
      auto pair = open_pair(url);
      if (!pair) return why(pair.error());
      return Ends{std::move(pair->first), std::move(pair->second)};
    }
    auto sender = Sender::open(url);
    if (!sender) return why(sender.error());
    auto receiver = Receiver::open(url + receiver_options);
    if (!receiver) return why(receiver.error());
    return Ends{*std::move(sender), *std::move(receiver)};
  }
};

// How the messages are read.
enum class Reading {
  kInPlace,
  kCopied  // Message::take()
};

// Adds messages per second. False if what came is not what was sent.
inline bool take_stream(Pair& pair, Ends& ends, std::size_t bytes, std::uint64_t messages,
                        Samples& into, Reading reading = Reading::kInPlace) {
  bool sound = false;
  const auto outcome = pair.run(
      [&] {
        for (std::uint64_t i = 0; i < messages;) {
          auto claim = ends.sender.try_claim(bytes);
          if (!claim) {
            cpu_relax();
            continue;
          }
          write_message(claim->bytes().data(), bytes, i++);
          std::move(*claim).commit();
        }
      },
      [&] {
        Checker checker;
        for (std::uint64_t i = 0; i < messages;) {
          const auto message = ends.receiver.try_next();
          if (!message) {
            cpu_relax();
            continue;
          }
          if (message->size() != bytes) return;
          if (reading == Reading::kCopied) {
            checker.read_message(message->take().data(), bytes, i++);
          } else {
            checker.read_message(message->bytes().data(), bytes, i++);
          }
        }
        sound = checker.complete(messages, bytes);
      });
  into.add(outcome.probes, static_cast<double>(messages) / outcome.seconds, outcome.clean);
  return sound;
}

}  // namespace rondo::bench
