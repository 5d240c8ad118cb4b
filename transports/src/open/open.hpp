// Opening an end of a channel, scheme by scheme. One function per scheme and end; transports.hpp
// has the table.
#pragma once

#include <chrono>

#include "endpoint/backend.hpp"
#include "open/growing_pause.hpp"
#include "rondo/core/result.hpp"
#include "rondo/core/version.hpp"
#include "rondo/transports/channel_info.hpp"
#include "rondo/transports/open_options.hpp"
#include "rondo/transports/url.hpp"

namespace rondo::inline RONDO_ABI::detail {

[[nodiscard]] Result<SenderParts> open_sender(std::string_view url, const OpenOptions& options);
[[nodiscard]] Result<ReceiverParts> open_receiver(std::string_view url, const OpenOptions& options);
[[nodiscard]] Result<PairParts> open_both(std::string_view url, const OpenOptions& options);

// shm: and file: (segment.cpp)
[[nodiscard]] Result<SenderParts> open_segment_sender(const Url& url, const OpenOptions& options);
[[nodiscard]] Result<ReceiverParts> open_segment_receiver(const Url& url,
                                                          const OpenOptions& options);
[[nodiscard]] Result<PairParts> open_segment_pair(const Url& url, const OpenOptions& options);
// (inspect_segment.cpp) Errors of remove: also kBusy, when live participants are attached.
[[nodiscard]] Result<void> remove_segment(const Url& url, bool even_if_used);
[[nodiscard]] Result<ChannelInfo> inspect_segment_channel(const Url& url);

// shm+guarded: (guarded/channel.cpp)
[[nodiscard]] Result<SenderParts> open_guarded_sender(const Url& url, const OpenOptions& options);
[[nodiscard]] Result<ReceiverParts> open_guarded_receiver(const Url& url,
                                                          const OpenOptions& options);
[[nodiscard]] Result<PairParts> open_guarded_pair(const Url& url, const OpenOptions& options);
[[nodiscard]] Result<void> remove_guarded(const Url& url, bool even_if_used);
// An error that says which side can.
[[nodiscard]] Result<ChannelInfo> inspect_guarded(const Url& url);

// inproc: (inproc.cpp). Without a name only as a pair.
[[nodiscard]] Result<SenderParts> open_inproc_sender(const Url& url, const OpenOptions& options);
[[nodiscard]] Result<ReceiverParts> open_inproc_receiver(const Url& url,
                                                         const OpenOptions& options);
[[nodiscard]] Result<PairParts> open_inproc_pair(const Url& url, const OpenOptions& options);

// pipe: and fd: (pipe.cpp)
[[nodiscard]] Result<PairParts> open_pipe_pair(const Url& url, const OpenOptions& options);
[[nodiscard]] Result<SenderParts> open_fd_sender(const Url& url, const OpenOptions& options);
[[nodiscard]] Result<ReceiverParts> open_fd_receiver(const Url& url, const OpenOptions& options);

// fifo: (fifo.cpp)
[[nodiscard]] Result<SenderParts> open_fifo_sender(const Url& url, const OpenOptions& options);
[[nodiscard]] Result<ReceiverParts> open_fifo_receiver(const Url& url, const OpenOptions& options);
[[nodiscard]] Result<PairParts> open_fifo_pair(const Url& url, const OpenOptions& options);
[[nodiscard]] Result<void> remove_fifo(const Url& url, bool even_if_used);

// unix: and tcp: (meeting.cpp)
[[nodiscard]] Result<SenderParts> open_socket_sender(const Url& url, const OpenOptions& options);
[[nodiscard]] Result<ReceiverParts> open_socket_receiver(const Url& url,
                                                         const OpenOptions& options);
[[nodiscard]] Result<PairParts> open_socket_pair(const Url& url, const OpenOptions& options);
[[nodiscard]] Result<void> remove_unix_socket(const Url& url, bool even_if_used);

// unix-dgram: (datagram_meeting.cpp)
[[nodiscard]] Result<SenderParts> open_datagram_sender(const Url& url, const OpenOptions& options);
[[nodiscard]] Result<ReceiverParts> open_datagram_receiver(const Url& url,
                                                           const OpenOptions& options);
[[nodiscard]] Result<PairParts> open_datagram_pair(const Url& url, const OpenOptions& options);

// auto: (auto.cpp)
[[nodiscard]] Result<SenderParts> open_auto_sender(const Url& url, const OpenOptions& options);
[[nodiscard]] Result<ReceiverParts> open_auto_receiver(const Url& url, const OpenOptions& options);
[[nodiscard]] Result<PairParts> open_auto_pair(const Url& url, const OpenOptions& options);
// udp: (udp.cpp)
[[nodiscard]] Result<SenderParts> open_udp_sender(const Url& url, const OpenOptions& options);
[[nodiscard]] Result<ReceiverParts> open_udp_receiver(const Url& url, const OpenOptions& options);
[[nodiscard]] Result<PairParts> open_udp_pair(const Url& url, const OpenOptions& options);

// Errors: kBadVersion if this library is older than the headers that a caller was compiled with.
[[nodiscard]] Result<void> check_library(const Version& headers);
// mq: (mq.cpp)
[[nodiscard]] Result<SenderParts> open_mq_sender(const Url& url, const OpenOptions& options);
[[nodiscard]] Result<ReceiverParts> open_mq_receiver(const Url& url, const OpenOptions& options);
[[nodiscard]] Result<PairParts> open_mq_pair(const Url& url, const OpenOptions& options);
[[nodiscard]] Result<void> remove_mq(const Url& url, bool even_if_used);
// sysv: (sysv.cpp)
[[nodiscard]] Result<SenderParts> open_sysv_sender(const Url& url, const OpenOptions& options);
[[nodiscard]] Result<ReceiverParts> open_sysv_receiver(const Url& url, const OpenOptions& options);
[[nodiscard]] Result<PairParts> open_sysv_pair(const Url& url, const OpenOptions& options);
[[nodiscard]] Result<void> remove_sysv(const Url& url, bool even_if_used);

// Errors where a scheme has no such end.
[[nodiscard]] Result<SenderParts> no_lone_sender(const Url& url, const OpenOptions& options);
[[nodiscard]] Result<ReceiverParts> no_lone_receiver(const Url& url, const OpenOptions& options);
[[nodiscard]] Result<PairParts> no_pair(const Url& url, const OpenOptions& options);

// Errors: kBadKind if no channel is made of rings of that kind.
[[nodiscard]] Result<void> refuse_other_kinds(const Url& url, RingKind found);
// Whether a ring of kind `found` is what `url` asks for, or leaves open. Errors: kGeometryMismatch;
// kBadKind if no channel is made of it.
[[nodiscard]] Result<void> check_ring_kind(const Url& url, RingKind found);
// Errors: kInvalidOption when OpenOptions::senders asks a ring with one sender to count.
[[nodiscard]] Result<void> reject_sender_count(const Url& url, const OpenOptions& options);

// Both ends, or the receiver's error, with the sender closed again.
[[nodiscard]] Result<PairParts> make_pair(SenderParts sender,
                                          const FunctionRef<Result<ReceiverParts>()>& receive);

// Looking again and again whether the other side has come.
class Retry {
 public:
  // With pauses of `longest` at most.
  explicit Retry(std::chrono::nanoseconds longest = GrowingPause::kLongest) noexcept
      : pause_(longest) {}

  // Whether to go on waiting. Errors: kTimedOut, also when the stop flag is set; `what` says for
  // what it waited.
  [[nodiscard]] static Result<void> allowed(const OpenOptions& options, std::string_view what);
  // As allowed(), and then a pause before the next look.
  [[nodiscard]] Result<void> pause(const OpenOptions& options, std::string_view what);

 private:
  GrowingPause pause_;
};

}  // namespace rondo::inline RONDO_ABI::detail
