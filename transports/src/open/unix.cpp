// unix: and unix-seqpacket: a socket with a name, of bytes or of packets. The receiver makes the
// name and listens; it takes the name away as soon as its sender has come, so that nothing stays
// behind. The sender waits for a confirmation: a connection that the receiver never accepted is
// none.
#include <array>
#include <cerrno>
#include <chrono>
#include <memory>
#include <string>
#include <utility>

#include "endpoint/packets.hpp"
#include "endpoint/stream.hpp"
#include "open/name.hpp"
#include "open/open.hpp"
#include "open/packet_socket.hpp"
#include "open/remove_name.hpp"
#include "open/unix_listener.hpp"
#include "open/untrusted_descriptors.hpp"
#include "rondo/core/user_ids.hpp"
#include "stream/fd_stream.hpp"

namespace rondo::inline RONDO_ABI::detail {
namespace {

using Direction = FdStream::Direction;

constexpr std::byte kConfirmed{0x52};

// Whether the other side is one that the channel's mode lets in.
Result<void> check_peer(const Url& url, NativeHandle socket) {
  if (url.options.segment.mode.shared()) return {};
  const auto peer = credentials_of(url, socket);
  if (!peer) return peer.error();
  if (is_own_user(peer->user)) return {};
  return Error{ErrorCode::kForeignOwner, url.name() + ": the other side runs as " +
                                             describe_user(peer->user) +
                                             "; mode=0660 or so on both sides lets it in"};
}

SocketKind kind_of(const Url& url) noexcept {
  return url.scheme == Scheme::kUnixSeqpacket ? SocketKind::kMessages : SocketKind::kStream;
}

Result<Listener> listen_for_sender(const Url& url, const OpenOptions& options) {
  return listen_at(url, options, kind_of(url), 1, "a receiver");
}

// Around a connection.
Result<SenderParts> make_sender_over(FdStream socket, const Url& url, const OpenOptions& options) {
  if (kind_of(url) == SocketKind::kStream) {
    return make_stream_sender(on_heap(std::move(socket)), {}, url, options);
  }
  auto packets = packets_over(std::move(socket), url);
  if (!packets) return std::move(packets).error();
  return make_packet_sender(std::move(packets).value(), {}, url, options);
}
Result<ReceiverParts> make_receiver_over(FdStream socket, const Url& url,
                                         const OpenOptions& options) {
  if (kind_of(url) == SocketKind::kStream) {
    return make_stream_receiver(on_heap(std::move(socket)), {}, url, options);
  }
  auto packets = packets_over(std::move(socket), url);
  if (!packets) return std::move(packets).error();
  return make_packet_receiver(std::move(packets).value(), {}, url, options);
}

// Listens anew where the name was taken away: no sender would come here any more.
Result<FdStream> accept_sender(const Url& url, const OpenOptions& options, Listener& listener) {
  for (;;) {
    const Deadline slice = earlier(options.wait, Deadline::after(kNameCheckInterval));
    if (listener.socket.wait(Direction::kRead, slice, WaitMode::kPark, options.stop) !=
        WaitResult::kReady) {
      if (auto go_on = Retry::allowed(options, "a sender for " + url.name()); !go_on) {
        return std::move(go_on).error();
      }
      if (listener.at_its_name()) continue;
      auto anew = listen_for_sender(url, options);
      if (!anew) return std::move(anew).error();
      listener.close();
      listener = std::move(anew).value();
      continue;
    }
    UniqueFd accepted = accept_from(listener.socket.fd());
    if (!accepted) {
      if (errno == EAGAIN || errno == EINTR || errno == ECONNABORTED) continue;
      return system_error(url, "accept", errno);
    }
    const NativeHandle socket = accepted.get();
    if (!check_peer(url, socket)) {  // an unpermitted peer; our sender may still come
      close_or_leak(std::move(accepted));
      continue;
    }
    FdStream stream(std::move(accepted), Direction::kRead);
    if (url.options.framing != Framing::kRondo || send_byte(socket, kConfirmed)) return stream;
  }
}

Result<ReceiverParts> make_receiver(const Url& url, const OpenOptions& options,
                                    Listener& listener) {
  auto stream = accept_sender(url, options, listener);
  listener.cleanup->run();
  listener.close();
  if (!stream) return std::move(stream).error();
  return make_receiver_over(std::move(stream).value(), url, options);
}

// kNotFound: no process listens now.
Result<FdStream> connect_to_receiver(const Url& url) {
  auto made = connect_to(url, kind_of(url));
  if (!made) return made;
  if (auto checked = check_peer(url, made->fd()); !checked) {
    close_or_leak(std::move(*made).release());
    return std::move(checked).error();
  }
  set_pass_descriptors(made->fd(), false);
  return made;
}

// True once the receiver has taken the connection; false if it never will.
Result<bool> await_confirmation(const Url& url, const OpenOptions& options, ByteStream& stream) {
  if (url.options.framing != Framing::kRondo) return true;  // nothing but the user's bytes
  for (;;) {
    std::array<std::byte, 1> byte{};
    const auto moved = stream.read({std::span(byte), std::span<std::byte>{}});
    if (moved.outcome == FdStream::Outcome::kMoved) return byte[0] == kConfirmed;
    if (moved.outcome != FdStream::Outcome::kNotNow) return false;
    const WaitResult waited =
        stream.wait(Direction::kRead, options.wait, WaitMode::kPark, options.stop);
    if (waited != WaitResult::kReady) {
      return Error{ErrorCode::kTimedOut,
                   url.name() + " has a receiver that is busy with another sender, or stopped"};
    }
  }
}

}  // namespace

Result<ReceiverParts> open_unix_receiver(const Url& url, const OpenOptions& options) {
  auto listener = listen_for_sender(url, options);
  if (!listener) return std::move(listener).error();
  return make_receiver(url, options, *listener);
}

Result<SenderParts> open_unix_sender(const Url& url, const OpenOptions& options) {
  Retry retry;
  for (;;) {
    auto stream = connect_to_receiver(url);
    if (stream) {
      const auto confirmed = await_confirmation(url, options, *stream);
      if (!confirmed) return confirmed.error();
      if (*confirmed) return make_sender_over(std::move(stream).value(), url, options);
    } else if (stream.error().code != ErrorCode::kNotFound) {
      return std::move(stream).error();
    }
    if (auto paused = retry.pause(options, "a receiver for " + url.name()); !paused) {
      return std::move(paused).error();
    }
  }
}

Result<PairParts> open_unix_pair(const Url& url, const OpenOptions& options) {
  auto listener = listen_for_sender(url, options);
  if (!listener) return std::move(listener).error();
  auto stream = connect_to_receiver(url);
  if (!stream) {  // no other sender is waited for
    listener->cleanup->run();
    listener->close();
    return std::move(stream).error();
  }
  auto receiver = make_receiver(url, options, *listener);
  if (!receiver) return std::move(receiver).error();
  const auto confirmed = await_confirmation(url, options, *stream);
  if (!confirmed) return confirmed.error();
  auto sender = make_sender_over(std::move(stream).value(), url, options);
  if (!sender) return std::move(sender).error();
  return PairParts(std::move(sender).value(), std::move(receiver).value());
}

Result<void> remove_unix_socket(const Url& url, bool even_if_used) {
  return remove_special_file(url, even_if_used, "a receiver that waits for its sender");
}

}  // namespace rondo::inline RONDO_ABI::detail
