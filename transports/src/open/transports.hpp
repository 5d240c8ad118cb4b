// What opens, removes and looks into the channels of each scheme: one row for each. What their URLs
// may say stands in url/schemes.hpp, which has a row for each, too.
#pragma once

#include <algorithm>
#include <array>

#include "open/open.hpp"
#include "rondo/transports/channel_info.hpp"
#include "url/schemes.hpp"

namespace rondo::inline RONDO_ABI::detail {

struct Transport {
  Scheme scheme;
  Result<SenderParts> (*sender)(const Url&, const OpenOptions&);
  Result<ReceiverParts> (*receiver)(const Url&, const OpenOptions&);
  Result<PairParts> (*pair)(const Url&, const OpenOptions&);
  // Takes the name away; null where there is none.
  Result<void> (*remove)(const Url&, bool even_if_used) = nullptr;
  // Looks at the channel from outside; null where nothing lies there to be looked at.
  Result<ChannelInfo> (*inspect)(const Url&) = nullptr;
};

inline constexpr std::array kTransports{
    Transport{Scheme::kShm, open_segment_sender, open_segment_receiver, open_segment_pair,
              remove_segment, inspect_segment_channel},
    Transport{Scheme::kFile, open_segment_sender, open_segment_receiver, open_segment_pair,
              remove_segment, inspect_segment_channel},
    Transport{Scheme::kGuarded, open_guarded_sender, open_guarded_receiver, open_guarded_pair,
              remove_guarded, inspect_guarded},
    Transport{Scheme::kInproc, open_inproc_sender, open_inproc_receiver, open_inproc_pair},
    Transport{Scheme::kPipe, no_lone_sender, no_lone_receiver, open_pipe_pair},
    Transport{Scheme::kFd, open_fd_sender, open_fd_receiver, no_pair},
    Transport{Scheme::kFifo, open_fifo_sender, open_fifo_receiver, open_fifo_pair, remove_fifo},
    Transport{Scheme::kUnix, open_socket_sender, open_socket_receiver, open_socket_pair,
              remove_unix_socket},
    Transport{Scheme::kUnixSeqpacket, open_socket_sender, open_socket_receiver, open_socket_pair,
              remove_unix_socket},
    Transport{Scheme::kUnixDgram, open_datagram_sender, open_datagram_receiver, open_datagram_pair,
              remove_unix_socket},
    Transport{Scheme::kTcp, open_socket_sender, open_socket_receiver, open_socket_pair},
    Transport{Scheme::kAuto, open_auto_sender, open_auto_receiver, open_auto_pair},
    Transport{Scheme::kUdp, open_udp_sender, open_udp_receiver, open_udp_pair},
    Transport{Scheme::kTls, open_socket_sender, open_socket_receiver, open_socket_pair},
    Transport{Scheme::kMq, open_mq_sender, open_mq_receiver, open_mq_pair, remove_mq},
    Transport{Scheme::kSysv, open_sysv_sender, open_sysv_receiver, open_sysv_pair, remove_sysv},
    Transport{Scheme::kSysvShm, open_segment_sender, open_segment_receiver, open_segment_pair,
              remove_segment, inspect_segment_channel},
};
static_assert(kTransports.size() == kSchemes.size() && one_row_each(kTransports));

[[nodiscard]] constexpr const Transport& transport_of(Scheme scheme) noexcept {
  return *std::ranges::find(kTransports, scheme, &Transport::scheme);
}

}  // namespace rondo::inline RONDO_ABI::detail
