// Many connections at one address, each with messages in both directions.
//
//   auto listener = rondo::Listener::open("tcp://:7000");       // or unix:PATH, unix:@NAME, tls:
//   if (!listener) die(listener.error().message);
//   for (;;) {
//     auto connection = listener->accept();
//     if (connection.status() == rondo::Status::kNoMemory) continue;  // for this one
//     if (!connection) break;
//     for (const rondo::Message& message : connection->receiver) {
//       connection->sender.send(message.bytes());
//     }
//     connection->sender.close(rondo::Deadline::after(std::chrono::seconds(5)));
//   }
//
// At the other side Connection::open() with the same URL; or a Sender or a Receiver, for one of the
// directions. Who has connected is let in as soon as it has said what it is (a Connection, a Sender
// or a Receiver does so at once), and accept() gives out only those: one that says nothing, or
// something else, keeps nobody waiting, and is let go of. With a framing of others (framing=) there
// is nothing to be said, and whoever connects is let in.
//
// Over tcp: nothing is authenticated or encrypted. Over tls: all is encrypted, and those are let in
// who prove what the URL asks for (ca=, psk=). Over unix: those are let in whom the URL names
// (uid=, gid=, mode=), by the kernel's word.
#pragma once

#include <atomic>
#include <chrono>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>

#include "rondo/core/platform.hpp"
#include "rondo/core/result.hpp"
#include "rondo/core/version.hpp"
#include "rondo/sync/deadline.hpp"
#include "rondo/transports/open_options.hpp"
#include "rondo/transports/peer.hpp"
#include "rondo/transports/receiver.hpp"
#include "rondo/transports/sender.hpp"
#include "rondo/transports/status.hpp"

namespace rondo::inline RONDO_ABI {

// The two directions of one socket. Each is a handle of its own, for one thread at a time, and both
// may be used at the same time. A direction that the other side does not use is closed from the
// start. When `sender` is closed, the other side reads its end (kEnded), and can still send. When
// `receiver` is detached first, the other side is told so over unix:, and over tcp: when `sender`
// is closed, too: TCP has no word for it.
struct RONDO_API Connection {
  Sender sender;
  Receiver receiver;
  Peer peer{};

  // Connects to a Listener, waiting for it, until options.wait. Errors: those of Sender::open();
  // kUnsupported for schemes other than unix:, tcp: and tls:. Blocking.
  [[nodiscard]] static Result<Connection> open(std::string_view url,
                                               const OpenOptions& options = {});
};

// How much all that connect may cost together. Each of them takes two descriptors while it is on
// its way in, then one, and at most twice the URL's capacity= (default 1MiB; or what max= needs)
// and 96 KiB of memory (of tls: 196). What it sends beyond that waits in the kernel's buffers and
// at its side; the kernel's come on top of the limits here and have limits of their own: tcp_rmem,
// tcp_wmem and, of all connections together, tcp_mem (tcp(7)), or net.core.wmem_default (unix(7)).
struct ListenOptions {
  // At once, until both handles are closed, also of those that have ended or were cut off; those
  // that come then wait until one has gone, in the system's queue.
  std::uint32_t connections = 256;
  // Of one user of unix:, or one address of tcp: or tls: (of IPv6: its first 64 bits); 0: as many.
  std::uint32_t connections_per_peer = 0;
  // The memory of all of them; fewer than `connections` are let in where it is not enough.
  std::uint64_t buffered_bytes = std::uint64_t{1} << 30;
  // On their way in at once: of more, the one that came first goes, of the user or the address that
  // has the most of them; and how long each may take.
  std::uint32_t handshakes = 64;
  std::chrono::nanoseconds handshake = std::chrono::seconds(5);
  // One that could send and from which no whole message has come for so long is cut off: its
  // receiver says kPeerDied. One that has closed its sender is not, nor one whose receiver was
  // detached here, nor one that waits for us to read: after a message the time runs from when its
  // receiver was asked for the next one in vain. And one that does not read: that in so long
  // takes neither all of what is sent to it, nor 64 KiB of that; its sender says kPeerGone. Zero:
  // any time. Looked after by accept() and try_accept().
  std::chrono::nanoseconds idle{};
  // As in OpenOptions, of the connections: by default none of them that does not read holds up the
  // server that drops it. One that is to get all of what was sent, and its end, is closed with
  // sender.close(Deadline::after(...)), which waits for it, and as long at most.
  std::chrono::nanoseconds linger{};
  // As in OpenOptions: of accept(), and of the connections.
  const std::atomic<bool>* stop = nullptr;
  Version headers = kVersion;
};

struct ListenerInfo {
  std::string name;               // the URL without options; with the port that it has
  bool at_its_name = true;        // false: the name of unix:PATH was taken away, and nobody comes
  std::uint32_t connections = 0;  // that are open
  std::uint32_t handshakes = 0;   // on their way in
  std::uint64_t accepted = 0;
  std::uint64_t turned_away = 0;  // said nothing, or nonsense, or were not permitted, or too many
  // Why the last one of them was, and its address; of tls: whose certificates both sides judge.
  std::string last_turned_away;
  std::uint64_t cut_off = 0;  // idle for too long
  std::string trouble;        // why none can be accepted now, for people; empty: nothing
};

// One thread at a time. The connections that it gave out are independent of it.
class RONDO_API Listener {
 public:
  // Errors: those of Url::parse(); kUnsupported (a scheme without connections), kBusy (the address
  // is in use), kInvalidOption (limits that let nobody in), kNoDescriptors, kPermission, kSystem.
  [[nodiscard]] static Result<Listener> open(std::string_view url,
                                             const ListenOptions& options = {});
  Listener(Listener&& other) noexcept;
  Listener& operator=(Listener&& other) noexcept;
  // As close().
  ~Listener();

  // The next connection, waiting for it until `deadline`. Else kTimedOut (kWouldBlock for
  // Deadline::now()), kInterrupted, kClosed, kForked, kIoError (the socket is broken, for good),
  // kPeerGone (the name of unix:PATH was taken away, which is noticed within about a second: none
  // can come any more; close it, and open another one), or kNoMemory: there was none for this one,
  // which has been let go of; the next one may come. While there are no descriptors left it waits,
  // looks again after 10 ms and more, up to a second, and info() says so. Progress: blocking.
  [[nodiscard]] Polled<Connection> accept(Deadline deadline = Deadline::never()) noexcept;
  // One that is there now. It does not say why there is none: where fd() is waited for, call
  // accept(Deadline::now()). Progress: system calls that never block.
  [[nodiscard]] std::optional<Connection> try_accept() noexcept;

  // Readable when accept(Deadline::now()) is worth a call; that may be in vain, as it does what
  // else there is to do for those on their way in. Where it says kPeerGone this stays readable:
  // one who waits for it and does not look at the status would go round and round. The listener's
  // own: closed with it. Stays the same.
  [[nodiscard]] NativeHandle fd() const noexcept;

  // No more are let in, and the name goes. Those that are in stay.
  void close() noexcept;

  [[nodiscard]] ListenerInfo info() const;

 private:
  struct State;

  explicit Listener(std::unique_ptr<State> state) noexcept;

  std::unique_ptr<State> state_;
};

}  // namespace rondo::inline RONDO_ABI
