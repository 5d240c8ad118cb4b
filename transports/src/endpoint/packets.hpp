// Channels over a mechanism that keeps messages apart itself: unix-seqpacket: and others.
#pragma once

#include <cstddef>
#include <memory>

#include "endpoint/stream.hpp"
#include "rondo/core/version.hpp"
#include "stream/packets.hpp"

namespace rondo::inline RONDO_ABI::detail {

// What the packets of a URL's channel hold.
[[nodiscard]] PacketForm packet_form(const Url& url) noexcept;
// What a packet holds beside one message of the user's: its header, too.
[[nodiscard]] std::size_t packet_overhead(const Url& url) noexcept;
// Whether a mechanism that takes packets of `max_packet_bytes` takes messages as large as the URL
// has to have. `remedy`: what makes it take more, for people. Errors: kInvalidCapacity.
[[nodiscard]] Result<void> check_packet_limit(const Url& url, std::size_t max_packet_bytes,
                                              std::string_view remedy);

// As make_stream_sender() and make_stream_receiver(), around what carries packets.
[[nodiscard]] Result<SenderParts> make_packet_sender(std::unique_ptr<PacketPort> port,
                                                     PendingCleanup cleanup, const Url& url,
                                                     const OpenOptions& options);
[[nodiscard]] Result<ReceiverParts> make_packet_receiver(std::unique_ptr<PacketPort> port,
                                                         PendingCleanup cleanup, const Url& url,
                                                         const OpenOptions& options,
                                                         PacketStart start = PacketStart::kFirst);

}  // namespace rondo::inline RONDO_ABI::detail
