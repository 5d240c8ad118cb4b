// What can be told about a channel, by its handles and by outsiders.
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "rondo/core/participants.hpp"
#include "rondo/core/record_readers.hpp"
#include "rondo/core/result.hpp"
#include "rondo/core/segment.hpp"
#include "rondo/core/version.hpp"
#include "rondo/transports/url.hpp"

namespace rondo::inline RONDO_ABI {

// What one participant of an mpmc ring has recovered, through all owners of its slot.
struct RecoveredBy {
  std::uint32_t slot = 0;
  std::uint64_t tombstones = 0;   // slots that dead senders had claimed, given up
  std::uint64_t orphaned = 0;     // messages that dead receivers had held, set free for others
  std::uint64_t dropped = 0;      // the same, dropped (on_consumer_death=drop)
  std::uint64_t redelivered = 0;  // such messages that it received

  [[nodiscard]] bool anything() const noexcept {
    return (tombstones | orphaned | dropped | redelivered) != 0;
  }
};

// One receiver of a ring with several. All but `alive` is what its part and the table of
// participants say, true or not. Sent = before + received + lost + to_come.
struct ReaderInfo {
  std::uint32_t reader = 0;  // its number, from 0
  std::string name;          // printable; under which it may come back
  bool alive = false;        // the kernel's word
  std::uint32_t pid = 0;     // of the one that is there, or died there; 0: none
  std::string participant;   // what it is called (OpenOptions::name), printable
  ReaderPolicy policy = ReaderPolicy::kNone;
  bool evicted = false;      // the sender waits for it no longer
  std::uint64_t before = 0;  // messages that went by before it came
  std::uint64_t received = 0;
  std::uint64_t lost = 0;
  std::uint64_t to_come = 0;
  std::uint64_t behind_bytes = 0;  // from it to the sender's position; of a ring
  std::uint32_t frames_held = 0;   // of a pool of frames
};

// What only channels of one kind have. A record ring with one receiver: nothing more.
struct RecordInfo {};

// One with several receivers, each of which gets every message.
struct BroadcastInfo {
  std::uint32_t reader_places = 0;  // receivers that can be attached at once
  std::vector<ReaderInfo> readers;  // all that are there or may come back; as the sender sees them
};

// An mpmc ring (kind=mpmc), that of an inproc: included.
struct MpmcInfo {
  std::uint64_t slots = 0;
  std::uint64_t pending_messages = 0;  // claimed and not taken, more or less
  std::uint64_t senders_closed = 0;    // that have gone from this stream
  std::uint64_t senders_died = 0;
  std::uint64_t receivers_left = 0;
  std::uint64_t receivers_died = 0;
  std::vector<RecoveredBy> recovered;  // those that did anything
};

// A pool of frames (kind=frames).
struct FramesInfo {
  std::uint64_t frames = 0;
  std::uint32_t reader_places = 0;  // receivers that can be attached at once
  std::vector<ReaderInfo> readers;  // all who are there, or hold a frame
};

// A byte stream: nothing more.
struct StreamInfo {};

// Datagrams that may be lost on their way (udp:). Of a receiver what came of them, as far as they
// have come in: sent by the senders heard of = before + received + lost.
struct DatagramsInfo {
  std::uint64_t datagrams = 0;  // that were sent, or taken
  std::uint64_t unsent = 0;  // a sender's: refused by the system, or by the host that they went to
  std::uint64_t before = 0;  // messages before the first that came: sent to nobody, or lost
  std::uint64_t lost = 0;    // messages between others that did not come, or too late
  std::uint64_t late = 0;    // datagrams behind a later one, not taken: their messages are lost
  std::uint64_t duplicates = 0;  // datagrams that had come already
  std::uint64_t stale = 0;       // datagrams of an earlier sender, or the echo of its end
  std::uint64_t foreign = 0;     // datagrams that are none of ours
  std::uint64_t corrupt = 0;     // datagrams that were changed on their way
  std::uint64_t too_large = 0;   // with framing=raw: datagrams larger than a message can be here
  std::uint64_t overflows = 0;   // datagrams that found no room in the socket's buffer
  std::uint64_t sessions = 0;    // senders heard of
  std::uint64_t session = 0;     // the number of the last one
};

struct RONDO_API ChannelInfo {
  Scheme scheme = Scheme::kShm;
  std::string name;                  // SCHEME:TARGET
  std::uint64_t capacity_bytes = 0;  // of the ring, or of the staging ring of a byte stream
  std::uint64_t max_message_bytes = 0;
  std::uint32_t header_bytes = 0;  // of the user's, in front of each message (header=)
  std::uint32_t align_bytes = 8;   // of what each message begins at a multiple (align=)
  std::uint64_t messages = 0;      // sent (a sender, an outsider) or received (a receiver)
  // Published and not given back, headers included; of a ring with several receivers, by the one
  // that is furthest behind of those that the sender waits for. Not of a pool of frames.
  std::uint64_t pending_bytes = 0;

  // Rings in segments only.
  std::optional<SegmentReport> memory;  // what was obtained: size, pages, locking, node
  std::uint64_t instance_id = 0;        // of this segment; random
  // Of a handle: whether the name still leads to its segment. False once the name was taken
  // away (rondo rm --force, the system's RemoveIPC): the handle goes on, but no process can join.
  bool at_its_name = true;
  std::vector<ParticipantInfo> participants;
  // Of a shm+guarded: sender: why it can't let receivers in now, for people; empty: it can.
  std::string accept_error;

  // Which kind of channel it is, and what only that kind has.
  std::variant<RecordInfo, BroadcastInfo, MpmcInfo, FramesInfo, StreamInfo, DatagramsInfo> kind;

  // Null if it is of another kind.
  template <class Kind>
  [[nodiscard]] const Kind* as() const noexcept {
    return std::get_if<Kind>(&kind);
  }
  // Of kinds with several receivers; empty of the others.
  [[nodiscard]] std::span<const ReaderInfo> readers() const& noexcept;
  void readers() const&& = delete;  // they go with the object
  // Receivers that can be attached at once and each get every message; 1 of the other kinds.
  [[nodiscard]] std::uint32_t reader_places() const noexcept;
};

// What stands at a shm:, file: or sysv-shm: URL, without taking part in it. Of its options mode= is
// looked at. Errors: as those of attaching a segment; kBadKind for a ring that no channel is made
// of; kUnsupported for other schemes.
[[nodiscard]] RONDO_API Result<ChannelInfo> inspect(std::string_view url);

// Takes the name of a shm:, file:, sysv-shm:, fifo:, unix: or shm+guarded: URL away. Those that are
// attached go on.
// Errors: kNotFound, kBusy when live participants are attached and `even_if_used` is false, and
// those of the segment; kUnsupported for schemes without a name.
[[nodiscard]] RONDO_API Result<void> remove(std::string_view url, bool even_if_used = false);

}  // namespace rondo::inline RONDO_ABI
