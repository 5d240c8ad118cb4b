// What an opener wishes for beyond what the URL says.
#pragma once

#include <atomic>
#include <chrono>
#include <cstdint>
#include <optional>
#include <string>

#include "rondo/core/acknowledge.hpp"
#include "rondo/core/callback.hpp"
#include "rondo/core/version.hpp"
#include "rondo/sync/deadline.hpp"

namespace rondo::inline RONDO_ABI {

// A receiver for which a sender waits.
struct SlowReader {
  std::uint32_t reader = 0;             // its number, from 0
  std::string name;                     // as it calls itself; may be empty
  std::uint64_t behind_bytes = 0;       // from it to the sender
  std::chrono::nanoseconds standing{};  // how long it has held this send back without moving
};

struct OpenOptions {
  // How long to wait for the other side: a Receiver for the channel to appear, a Sender on what
  // goes over a FIFO or a socket for the receiver. A Sender on a ring does not wait (see
  // wait_for_receiver()). Not of the system's name service, which is asked for a host that is not
  // given in digits, and takes what time it takes (docs/transports.md, "Over a network").
  Deadline wait = Deadline::never();
  // As await_successor=1 in the URL: when the other side dies (for a sender also: when it leaves),
  // wait for its successor. Rings only: kInvalidOption for byte streams.
  bool await_successor = false;
  // kind=mpmc, a Receiver: the stream ends when so many senders have come and gone and all that
  // they sent has been read; 0: as soon as no sender is left. kInvalidOption elsewhere.
  std::uint64_t senders = 0;
  // A Receiver of a ring of records: when space is given back, in place of the URL's ack=. Without
  // effect elsewhere.
  std::optional<Acknowledge> acknowledge{};
  // Shown to people in the list of participants; at most 32 bytes are kept.
  std::string name{};
  // A sender with several readers: called now and then while a send waits for a reliable receiver
  // that lives and does not move. True: it is waited for no longer, goes on as a lossy one, and is
  // told what it lost. From the sending thread.
  Callback<bool(const SlowReader&)> on_slow_reader{};
  // Over a byte stream: how long a Sender that goes out of scope, or breaks off, waits for the
  // other side to take what was sent. Zero: what is not taken at once is lost, and the other side
  // learns that the stream was broken off. close() waits as long as its own deadline says.
  std::chrono::nanoseconds linger = std::chrono::seconds(5);
  // When it becomes true, every wait of the handle, and of opening it, ends with kInterrupted. May
  // be set by a signal handler. Outlives the handle.
  const std::atomic<bool>* stop = nullptr;
  // Of the headers that the caller was compiled with. A library that is older than they are does
  // not open: kBadVersion.
  Version headers = kVersion;
};

}  // namespace rondo::inline RONDO_ABI
