#include "rondo/transports/capabilities.hpp"

#include <array>

#include "endpoint/packets.hpp"
#include "rondo/core/out_of_memory.hpp"
#include "stream/udp_packets.hpp"
#include "url/host_port.hpp"
#include "url/schemes.hpp"

namespace rondo::inline RONDO_ABI {
namespace {

constexpr std::uint64_t kLargestRecord = record_ring::max_record_bytes(record_ring::kMaxCapacity);

// Of a ring that processes share, or the threads of one.
Capabilities of_ring(const ChannelOptions& options, bool between_processes) noexcept {
  Capabilities can;
  can.zero_copy = true;
  can.keeps_boundaries = true;
  can.between_processes = between_processes;
  can.sees_death = between_processes;
  can.authenticated = between_processes;
  switch (options.kind.value_or(RingKind::kRecord)) {
    case RingKind::kMpmc:
      can.many_senders = can.many_receivers = true;
      can.max_message_bytes = mpmc_limits::kMaxSlotBytes;
      break;
    case RingKind::kFramePool:
      can.many_receivers = can.lossy = true;
      can.max_message_bytes = ~std::uint32_t{0};
      break;
    default:
      can.many_receivers = options.readers.value_or(1) > 1;
      can.lossy = can.many_receivers && options.reader.policy != ReaderPolicy::kReliable &&
                  options.policy_given;
      can.max_message_bytes = kLargestRecord;
  }
  return can;
}

// Of bytes in order, which a framing makes messages of.
Capabilities of_stream(const ChannelOptions& options, bool authenticated) noexcept {
  Capabilities can;
  can.between_processes = true;
  // A sender of others has no way to say that it has come to its end.
  can.sees_death = options.framing == Framing::kRondo;
  can.own_descriptor = true;
  can.authenticated = authenticated;
  can.max_message_bytes = kLargestRecord;
  return can;
}

// Of a queue of the system's, which is anybody's if its packets are raw.
Capabilities of_queue(const ChannelOptions& options, std::uint64_t max_message_bytes) noexcept {
  Capabilities can = of_stream(options, true);
  can.keeps_boundaries = true;
  can.many_senders = can.many_receivers = options.framing == Framing::kRaw;
  can.max_message_bytes = max_message_bytes;
  return can;
}

}  // namespace

Capabilities capabilities(const Url& url) noexcept {
  switch (url.scheme) {
    case Scheme::kShm:
    case Scheme::kFile:
    case Scheme::kSysvShm:
    case Scheme::kGuarded: return of_ring(url.options, true);
    case Scheme::kInproc: return of_ring(url.options, false);
    case Scheme::kPipe:
    case Scheme::kFd: return of_stream(url.options, false);
    case Scheme::kFifo:
    case Scheme::kUnix: return of_stream(url.options, true);
    case Scheme::kTcp: {
      Capabilities can = of_stream(url.options, false);
      can.between_hosts = true;
      return can;
    }
    // What both the socket and the ring can.
    case Scheme::kAuto: {
      Capabilities can = of_stream(url.options, false);
      can.between_hosts = true;
      can.own_descriptor = false;
      return can;
    }
    case Scheme::kTls: {
      Capabilities can = of_stream(url.options, true);
      // By its own word of the end, whatever the framing.
      can.between_hosts = can.encrypted = can.sees_death = true;
      return can;
    }
    case Scheme::kUnixSeqpacket: {
      Capabilities can = of_stream(url.options, true);
      can.keeps_boundaries = true;
      return can;
    }
    case Scheme::kUnixDgram: {
      Capabilities can = of_stream(url.options, true);
      can.keeps_boundaries = true;
      can.many_senders = url.options.framing == Framing::kRaw;
      return can;
    }
    case Scheme::kUdp: {
      Capabilities can = of_stream(url.options, false);
      can.keeps_boundaries = can.lossy = can.between_hosts = true;
      can.sees_death = false;
      can.many_senders = url.options.framing == Framing::kRaw;
      const auto place = detail::parse_host_port(url.target);
      can.many_receivers = place && detail::is_group_host(place->host);
      can.max_message_bytes =
          detail::max_udp_packet(can.many_senders) - detail::packet_overhead(url);
      return can;
    }
    // HARD_MSGSIZEMAX of mq_overview(7)
    case Scheme::kMq: return of_queue(url.options, std::uint64_t{16} << 20);
    case Scheme::kSysv: {
      // The largest kernel.msgmax.
      Capabilities can = of_queue(url.options, (std::uint64_t{1} << 31) - 1);
      can.own_descriptor = false;
      return can;
    }
  }
  return {};
}

Result<Capabilities> capabilities(std::string_view url) {
  return detail::refuse_without_memory([&]() -> Result<Capabilities> {
    const auto parsed = Url::parse(url);
    if (!parsed) return parsed.error();
    return capabilities(*parsed);
  });
}

std::span<const Scheme> all_schemes() noexcept {
  static constexpr auto kAll = [] {
    std::array<Scheme, detail::kSchemes.size()> all{};
    for (std::size_t i = 0; i < all.size(); ++i) all[i] = detail::kSchemes[i].scheme;
    return all;
  }();
  return kAll;
}

}  // namespace rondo::inline RONDO_ABI
