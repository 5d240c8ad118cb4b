#include "endpoint/packets.hpp"

#include <string>
#include <utility>

namespace rondo::inline RONDO_ABI::detail {

PacketForm packet_form(const Url& url) noexcept {
  return url.options.framing == Framing::kRaw ? PacketForm::kRaw : PacketForm::kRecords;
}

std::size_t packet_overhead(const Url& url) noexcept {
  return packet_overhead(packet_form(url)) + MessageHeaders(url.options.header_bytes()).room;
}

Result<void> check_packet_limit(const Url& url, std::size_t max_packet_bytes,
                                std::string_view remedy) {
  const std::size_t overhead = packet_overhead(url);
  const std::size_t most = max_packet_bytes > overhead ? max_packet_bytes - overhead : 0;
  if (most > 0 && url.options.max_bytes.value_or(0) <= most) return {};
  return Error{ErrorCode::kInvalidCapacity,
               url.name() + " takes messages of " + std::to_string(most) +
                   " bytes at most, and max= asks for " +
                   format_size(url.options.max_bytes.value_or(0)) + "; " + std::string(remedy)};
}

Result<SenderParts> make_packet_sender(std::unique_ptr<PacketPort> port, PendingCleanup cleanup,
                                       const Url& url, const OpenOptions& options) {
  return make_staged_sender(
      [&](const Staging& staging) {
        return std::make_unique<PacketOutlet>(std::move(port), staging.parts, packet_form(url),
                                              url.options.header_bytes());
      },
      std::move(cleanup), url, options);
}

Result<ReceiverParts> make_packet_receiver(std::unique_ptr<PacketPort> port, PendingCleanup cleanup,
                                           const Url& url, const OpenOptions& options,
                                           PacketStart start) {
  const std::size_t chunk_bytes = PacketInlet::chunk_bytes(port->max_packet_bytes());
  return make_staged_receiver(
      [&](const Staging& staging, record_ring::Producer producer) {
        return std::make_unique<PacketInlet>(std::move(port), std::move(producer), staging.chunk,
                                             packet_form(url), start, url.options.header_bytes());
      },
      chunk_bytes, std::move(cleanup), url, options);
}

}  // namespace rondo::inline RONDO_ABI::detail
