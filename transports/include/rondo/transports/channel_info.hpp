// What can be told about a channel, by its handles and by outsiders.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "rondo/core/participants.hpp"
#include "rondo/core/result.hpp"
#include "rondo/core/segment.hpp"
#include "rondo/transports/url.hpp"

namespace rondo {

struct ChannelInfo {
  Scheme scheme = Scheme::kShm;
  std::string name;                  // SCHEME:TARGET
  std::uint64_t capacity_bytes = 0;  // of the ring, or of the staging ring of a byte stream
  std::uint64_t max_message_bytes = 0;
  std::uint64_t messages = 0;  // sent (a sender, an outsider) or received (a receiver)

  // Rings in segments only.
  std::optional<SegmentReport> memory;  // what was obtained: size, pages, locking, node
  std::uint64_t instance_id = 0;        // of this segment; random
  std::uint64_t pending_bytes = 0;      // published and not given back, headers included
  std::vector<ParticipantInfo> participants;
};

// What stands at a shm: or file: URL, without taking part in it. Options of the URL are not looked
// at. Errors: as those of attaching a segment; kUnsupported for other schemes.
[[nodiscard]] Result<ChannelInfo> inspect(std::string_view url);

// Takes the name of a shm:, file:, fifo: or unix: URL away. Those who are attached go on.
// Errors: kNotFound, kBusy when live participants are attached and `even_if_used` is false, and
// those of the segment; kUnsupported for schemes without a name.
[[nodiscard]] Result<void> remove(std::string_view url, bool even_if_used = false);

}  // namespace rondo
