// How a channel is named: SCHEME:TARGET?OPTION=VALUE&OPTION=VALUE
//
//   shm:NAME      a ring in shared memory, by name
//   shm+guarded:PATH
//                 a ring in shared memory that its receivers can't write to, handed over the UNIX
//                 socket at PATH to those whom its sender allows
//   file:PATH     a ring in a memory-mapped file
//   inproc:NAME   a ring between threads of this process
//   pipe:         an anonymous pipe; opened as a pair
//   fd:N          a pipe, socket or file that is open already, by its descriptor
//   fifo:PATH     a named pipe
//   unix:PATH     a UNIX stream socket
//
//   option    value                        for                  meaning
//   kind      record mpmc frames           shm file inproc      which ring: record (default), one
//                                                               sender and one receiver; mpmc,
//                                                               many of both share the messages;
//                                                               frames (shm file), large ones to
//                                                               many receivers, who may hold them.
//                                                               Unset: as found, else record
//   capacity  a power of two, e.g. 1MiB    all (kind=record)    bytes of the ring; default 4MiB,
//                                                               1MiB for pipe fd fifo unix
//   slots     a power of two, e.g. 1024    kind=mpmc            messages in the ring; default 4096
//   slot_size e.g. 256, 4KiB               kind=mpmc            the largest message; default 256
//   on_consumer_death                      kind=mpmc            what a receiver held that was
//             redeliver drop                                    killed: another one gets it,
//                                                               marked, or nobody does
//   frames    2 to 1024                    kind=frames          frames in the pool; default 8, or
//                                                               readers + 2 if that is more
//   frame_size                             kind=frames          the largest frame; default 1MiB
//             e.g. 12MiB
//   max       e.g. 64KiB                   pipe fd fifo unix    messages up to this size shall fit
//   wait      spin pause yield adaptive    all                  how to wait; default adaptive
//             park
//   ack       lazy eager explicit          shm file inproc      when the receiver gives space back;
//                                          (kind=record)        explicit: in acknowledge() alone
//   linger    0 1                          shm file inproc      wait for a successor of a peer that
//                                                               died or left
//   keep      0 1                          shm file fifo        leave the name when the last one
//                                                               goes
//   start     any new fresh join           shm file             what to do with what is there: any:
//                                                               take it up, or make it; new: make
//                                                               it, or fail (a sender's); fresh:
//                                                               throw away what an earlier life
//                                                               left, fail if somebody is attached
//                                                               (a receiver then joins); join:
//                                                               take it up, or fail
//   from      oldest next                  a receiver's         next: only what is sent from now
//                                          (kind=record)        on; what lies there is thrown
//                                                               away, if there is one receiver
//   mode      octal, e.g. 0660             shm file fifo unix   permissions; default 0600
//   group     a number or a name           shm file             the group that the new file is
//                                                               given, with a mode such as 0660
//   huge      no try require               shm file             huge pages
//   lock      0 1                          shm file             keep it in memory
//   numa      a node's number              shm file             where the memory is taken
//   uid gid   numbers, e.g. 1000,1001      shm+guarded          whose processes are let in beside
//                                                               our own user's
//   readers   1 to 64                      shm file             receivers at once (default 1), each
//                                                               of which gets every message
//
// and with several readers (of kind=frames: policy=lossy, which is the default there, or latest;
// and from=oldest or newest):
//
//   policy    reliable lossy latest        a receiver's         whether the sender waits for it
//   from      oldest newest next NUMBER    a receiver's         where it starts
//   name      text                         a receiver's         to go on where that name stopped
//   evict     seconds                      the sender's         how long it waits for a reliable
//                                                               receiver that does not move
//
// shm+guarded also has capacity, wait, ack, linger (sender), mode, lock, numa, readers, and of
// several readers all but name.
//
// Sizes are bytes, or take a suffix: KiB, MiB, GiB (K, M and G mean the same). A '?', '&' or '%' in
// a target is written %3F, %26 or %25.
#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "rondo/core/frame_pool_layout.hpp"
#include "rondo/core/mpmc_ring_layout.hpp"
#include "rondo/core/record_ring.hpp"
#include "rondo/core/result.hpp"
#include "rondo/core/segment.hpp"
#include "rondo/core/segment_header.hpp"
#include "rondo/core/version.hpp"
#include "rondo/sync/wait.hpp"

namespace rondo::inline RONDO_ABI {

enum class Scheme : std::uint8_t { kShm, kFile, kInproc, kPipe, kFd, kFifo, kUnix, kGuarded };

[[nodiscard]] std::string_view to_string(Scheme scheme) noexcept;

// What an opener does with what an earlier life left at the name.
enum class Start : std::uint8_t {
  kAny,    // takes it up; makes it if there is none
  kNew,    // makes it; an error if there is one
  kFresh,  // throws it away, unless somebody is attached; makes it
  kJoin    // takes it up; an error if there is none
};

struct ChannelOptions {
  // More than the private caches of two cores hold (docs/performance.md, the size of the ring).
  static constexpr std::uint64_t kDefaultCapacity = std::uint64_t{4} << 20;
  // Of a ring that one thread fills and empties, between a stream and its messages.
  static constexpr std::uint64_t kDefaultStaging = std::uint64_t{1} << 20;
  static constexpr std::uint64_t kDefaultSlots = 4096;
  static constexpr std::uint32_t kDefaultSlotBytes = 256;
  static constexpr std::uint32_t kDefaultFrames = 8;
  static constexpr std::uint32_t kDefaultFrameBytes = 1 << 20;

  std::optional<RingKind> kind;            // unset: as found, else kRecord
  std::optional<std::uint64_t> capacity;   // bytes of the ring; unset: as found, else the default
  std::optional<std::uint64_t> max_bytes;  // of the largest message of a byte stream
  std::optional<std::uint64_t> slots;      // kMpmc; unset: as found, else the default
  std::optional<std::uint32_t> slot_bytes;
  std::optional<OnConsumerDeath> on_consumer_death;
  std::optional<std::uint32_t> frames;  // kFramePool; unset: as found, else the default
  std::optional<std::uint32_t> frame_bytes;
  WaitMode wait = WaitMode::kAdaptive;
  Acknowledge acknowledge = Acknowledge::kLazily;
  bool linger = false;
  bool keep = false;
  Start start = Start::kAny;
  std::optional<std::uint32_t> readers;  // unset: as found, else 1
  ReaderOptions reader;                  // policy, from, sequence; name stands in reader_name
  bool policy_given = false;             // else it is what the kind of ring makes of it
  std::string reader_name;
  std::optional<std::chrono::seconds> evict;
  SegmentOptions segment;  // mode, group, huge pages, lock, NUMA node
  // Guarded rings: users and groups, by number, whose processes are let in beside our own user's.
  std::vector<std::uint32_t> users;
  std::vector<std::uint32_t> groups;
};

// A name taken apart and checked. Whether anything stands at it is not asked.
struct Url {
  Scheme scheme = Scheme::kShm;
  std::string target;  // a name, a path, or the digits of a descriptor; empty for pipe:
  ChannelOptions options;

  // Errors: kInvalidUrl (no such scheme, or malformed), kInvalidName, kInvalidOption,
  // kInvalidCapacity; each message says what would be right.
  [[nodiscard]] static Result<Url> parse(std::string_view text);

  // SCHEME:TARGET, without the options.
  [[nodiscard]] std::string name() const;
};

// "64KiB" -> 65536. Empty if it is no size or does not fit 64 bits.
[[nodiscard]] std::optional<std::uint64_t> parse_size(std::string_view text) noexcept;
// 65536 -> "64KiB": the largest suffix without a remainder.
[[nodiscard]] std::string format_size(std::uint64_t bytes);

}  // namespace rondo::inline RONDO_ABI
