// How the two sides of a channel over connected sockets meet: one listens, the other one connects,
// and each waits for the other until its deadline. Of unix:, unix-seqpacket: and tcp:.
#pragma once

#include <chrono>
#include <memory>
#include <string_view>

#include "endpoint/backend.hpp"
#include "open/handshake.hpp"
#include "rondo/core/descriptor.hpp"
#include "rondo/core/result.hpp"
#include "rondo/core/version.hpp"
#include "rondo/transports/open_options.hpp"
#include "rondo/transports/peer.hpp"
#include "rondo/transports/url.hpp"
#include "stream/secure_layer.hpp"
#include "stream/socket_stream.hpp"

namespace rondo::inline RONDO_ABI::detail {

inline constexpr int kMeetingBacklog = 16;
// A machine that comes back is not asked by all its peers 20 times a second.
inline constexpr std::chrono::seconds kLongestPauseOfTcp{1};

// For messages: "a receiver" for one that sends; and "a sender" for the same one.
[[nodiscard]] std::string_view other_side_of(Hello ours) noexcept;
[[nodiscard]] std::string_view this_side_of(Hello ours) noexcept;

struct Meeting {
  UniqueFd socket;
  std::unique_ptr<SecureLayer> secure;  // null: none is asked for
  Peer peer;
  Url url;  // as it was asked for; but a port that was left open is the one that was found
};

// Connects, again and again until somebody confirms it. `ours`: what this side does. Errors: those
// of connect_by_url(), but kNotFound; kForeignOwner, kForeignObject (what answers is none of ours),
// kInvalidOption (it does what this side does), kTimedOut. Blocking.
[[nodiscard]] Result<Meeting> connect_to_peer(const Url& url, const OpenOptions& options,
                                              Hello ours);
// Listens, until one has come that does the opposite. Errors: those of Reception, kTimedOut.
// Blocking.
[[nodiscard]] Result<Meeting> await_peer(const Url& url, const OpenOptions& options, Hello ours);

// What an answer to a hello says: whether the other side is there for this one, for now. Errors:
// kInvalidOption, kForeignOwner, kForeignObject.
[[nodiscard]] Result<bool> judge(const Url& url, Answer answer, Hello ours);

// Both sides, in one thread.
struct MetPair {
  Meeting sender;
  Meeting receiver;
};
[[nodiscard]] Result<MetPair> meet_oneself(const Url& url, const OpenOptions& options);

// The handles' ends over a connection.
[[nodiscard]] Result<SenderParts> make_socket_sender(Meeting met, const OpenOptions& options);
[[nodiscard]] Result<ReceiverParts> make_socket_receiver(Meeting met, const OpenOptions& options);

// The socket of a connection of bytes, as this side uses it.
[[nodiscard]] std::shared_ptr<StreamSocket> socket_of(const Url& url, UniqueFd fd,
                                                      std::unique_ptr<SecureLayer> secure,
                                                      Hello ours);

}  // namespace rondo::inline RONDO_ABI::detail
