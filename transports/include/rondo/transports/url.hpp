// How a channel is named: SCHEME:TARGET?OPTION=VALUE&OPTION=VALUE
//
// From here on what `rondo help options` prints.
// Addresses (URL):
//   shm:NAME                a ring in shared memory, by name: the fastest
//   shm+guarded:PATH        a ring in shared memory that its receivers can't write to, handed over
//                           the UNIX socket at PATH to those that its sender allows
//   file:PATH               a ring in a memory-mapped file
//   inproc:NAME             a ring between threads of this process
//   pipe:                   an anonymous pipe; opened as a pair
//   fd:N                    a pipe, socket or file that is open already, by its descriptor
//   fifo:PATH               a named pipe
//   unix:PATH               a UNIX stream socket; unix:@NAME: with an abstract name, which stands
//                           in no directory, and which processes in the same network namespace find
//                           (containers mostly have their own); a file whose name begins with @ is
//                           ./@NAME
//   unix-seqpacket:PATH     a UNIX socket that keeps messages apart: up to about 200 KiB each, or
//                           as many as net.core.wmem_max lets max= ask for
//   unix-dgram:PATH         a UNIX socket of datagrams, as programs have it that log;
//                           unix-dgram:@NAME as of unix
//   tcp://HOST:PORT         TCP, neither authenticated nor encrypted: whoever reaches the port can
//                           be the other side; :PORT is every address of this machine, port 0 of a
//                           listener any free one
//   auto://HOST:PORT        tcp:// that becomes a ring in shared memory where both ends are on one
//                           machine and may see each other: of one user, or of those that uid= and
//                           gid= name
//   udp://HOST:PORT         UDP, which loses messages, never repeats or reorders those that come,
//                           and tells how many did not; neither authenticated nor encrypted; the
//                           receiver binds the address
//   tls://HOST:PORT         TCP with TLS 1.3: encrypted, and each side knows the other one by a
//                           certificate or by a key that both have
//   mq:/NAME                a POSIX message queue
//   sysv:KEY                a System V message queue, by its key: a number, decimal or with 0x, and
//                           not 0
//   sysv-shm:KEY            a ring in a System V segment, by its key, as of sysv: where shm has too
//                           little room, as in containers
// Kinds of ring, and the options of each:
//   'shm:NAME?capacity=16MiB&readers=64'
//                           the default: messages from one sender to one receiver, or, with
//                           readers=, to each of several; the largest is about half of the capacity
//   'shm:NAME?kind=mpmc&slots=4096&slot_size=256'
//                           many senders and many receivers share the messages; each one, up to
//                           slot_size bytes, goes to one of the receivers
//   'shm:NAME?kind=frames&frames=8&frame_size=12MiB&readers=4'
//                           large messages to each of several receivers, which may hold one; the
//                           sender does not wait, and a late one is told how many it lost
// Options follow a question mark, as in 'shm:NAME?capacity=16MiB&wait=park', quoted for a shell:
//   option             for                     meaning (value)
//   kind               shm file inproc         which kind of ring; unset: as found, else record
//                      sysv-shm                (record, mpmc or frames)
//   capacity           all; kind=record        bytes of the ring; default 4MiB, 1MiB before a pipe,
//                                              a socket or a queue (a power of two, such as 64KiB,
//                                              1MiB or 4GiB)
//   slots              shm file inproc mq      messages in the ring, default 4096; of mq those of
//                      sysv-shm; kind=mpmc     the queue, default fs.mqueue.msg_default (a power of
//                                              two from 2 to 4GiB, such as 1024; of mq a number)
//   slot_size          shm file inproc mq      the largest message, default 256; of mq the largest
//                      sysv-shm; kind=mpmc     of the queue's, of which 8 bytes are ours, default
//                                              fs.mqueue.msgsize_default (a size from 1 to 1GiB,
//                                              such as 64 or 4KiB)
//   on_consumer_death  shm file inproc         what becomes of the message that a killed receiver
//                      sysv-shm; kind=mpmc     held: another receiver gets it, marked (the
//                                              default), or none does (redeliver or drop)
//   frames             shm file inproc         frames in the pool; default 8, or readers + 2 if
//                      sysv-shm; kind=frames   that is more (a number from 2 to 1024)
//   frame_size         shm file inproc         the largest frame; default 1MiB (a size below 4GiB,
//                      sysv-shm; kind=frames   such as 12MiB)
//   max                pipe fd fifo unix       messages up to this size shall fit (a size such as
//                      unix-seqpacket          64KiB, at most 4294967280)
//                      unix-dgram tcp udp tls
//                      mq sysv
//   framing            pipe fd fifo unix       how messages are kept apart; default rondo: a length
//                      unix-seqpacket          and marks of our own; for other programs: lines: a
//                      unix-dgram tcp udp tls  line feed behind each; raw: bytes as they come;
//                      mq sysv                 length32, length32be, varint: a length before each,
//                                              of 32 bits, the same in network order, or as
//                                              Protocol Buffers are delimited (rondo, lines, raw,
//                                              length32, length32be or varint)
//   crc                pipe fd fifo unix tcp   checksums; default 0; 1: a sender sends a number and
//                      tls                     a CRC-32C with each message, and a receiver insists
//                                              on them; with framing=rondo (0 or 1)
//   block              pipe fd fifo unix tcp   bytes of each message with framing=raw; default: as
//                      tls                     many as have come (a size such as 4KiB, from 1 to
//                                              4294967280)
//   header             all                     bytes of a header of the user's own in front of each
//                                              message: Claim::header() and Message::header();
//                                              default none; it takes its room, rounded up to 8, of
//                                              slot_size and frame_size; left out, what the ring
//                                              has, but on byte streams and packets both sides say
//                                              it; with framing=rondo (a number from 1 to 256)
//   align              shm shm+guarded file    each message begins at a multiple of so many bytes,
//                      inproc sysv-shm         in both processes; default 8; it takes as many less
//                                              8 beside each message, of slot_size and frame_size
//                                              too; left out, what the ring has (64 or 4096)
//   wait               all                     how to wait; default adaptive (one of spin, pause,
//                                              yield, adaptive, park)
//   ack                shm shm+guarded file    when the receiver gives space back; default lazy;
//                      inproc sysv-shm;        explicit: in acknowledge() alone (lazy, eager or
//                      kind=record             explicit)
//   await_successor    shm shm+guarded file    wait for a successor of a peer that died or left; of
//                      inproc udp sysv-shm     shm+guarded and udp the sender's (0 or 1)
//   keep               shm file fifo mq sysv   leave the name when the last one goes (0 or 1)
//                      sysv-shm
//   start              shm file sysv-shm       what to do with what is there: any: take it up, or
//                                              make it (the default); new: make it, or fail (a
//                                              sender's); fresh: throw away what an earlier life
//                                              left, fail if a process is attached (a receiver then
//                                              joins); join: take it up, or fail (any, new, fresh
//                                              or join)
//   from               shm shm+guarded file    where the receiver starts; default oldest; next:
//                      inproc sysv-shm;        with what is sent from now on, and what lies there
//                      kind=record frames      is thrown away if there is one receiver; newest and
//                                              a number: one of several receivers; of kind=frames:
//                                              oldest or newest (oldest, newest, next, or the
//                                              number of a message, from 0 up)
//   mode               shm shm+guarded file    permissions; default 0600 (octal permissions that
//                      fifo unix               let the owner read and write, such as 0600 or 0660)
//                      unix-seqpacket
//                      unix-dgram mq sysv
//                      sysv-shm
//   group              shm file sysv-shm       the group that the new file is given; with a mode
//                                              such as 0660 (a group's number, or its name in
//                                              /etc/group)
//   huge               shm file                huge pages; default no (no, try or require)
//   lock               shm shm+guarded file    keep it in memory (0 or 1)
//                      sysv-shm
//   numa               shm shm+guarded file    where the memory is taken (the number of a memory
//                      sysv-shm                node, such as 0)
//   uid                shm+guarded unix        users whose processes are let in beside our own
//                      unix-seqpacket          user's (numbers of users or groups with commas
//                      unix-dgram auto         between them, such as 1000,1001)
//   gid                shm+guarded unix        groups whose processes are let in beside our own
//                      unix-seqpacket          user's (numbers of users or groups with commas
//                      unix-dgram auto         between them, such as 1000,1001)
//   readers            shm shm+guarded file    receivers at once, each of which gets every message;
//                      inproc sysv-shm;        default 1 (a number from 1 to 64)
//                      kind=record frames
//   policy             shm shm+guarded file    whether the sender waits for this one of several
//                      inproc sysv-shm;        receivers: reliable: it does (the default); lossy:
//                      kind=record frames      this one gets what is still there (the default of
//                                              kind=frames, which has no reliable); latest: it gets
//                                              the newest alone (reliable, lossy or latest)
//   name               shm file inproc         of one of several receivers, to go on where the last
//                      sysv-shm; kind=record   one of that name stopped (a name of 1 to 32 bytes)
//   evict              shm shm+guarded file    how long a sender waits for a reliable one of
//                      inproc sysv-shm;        several receivers that does not move (a number of
//                      kind=record             seconds)
//   wake_every         all                     a sender wakes receivers that sleep, or writes to a
//                                              byte stream, once for so many messages; default 1;
//                                              of wake_every, wake_bytes and wake_after the first
//                                              that comes counts; what is held back then waits for
//                                              more, or for Sender::wake() (a number from 1 up,
//                                              such as 32)
//   wake_bytes         all; kind=record        the same once for so many bytes; as they lie in the
//                                              ring (a size from 1 up, such as 16KiB)
//   wake_after         all                     the same when the first of them is so old; looked at
//                                              with each message, and by none in between (a time
//                                              such as 100us, 5ms or 1s)
//   listen             unix unix-seqpacket tcp whether this side waits for the other one to
//                      auto tls                connect; default: a receiver does, a sender
//                                              connects; one says 1, the other one 0 (0 or 1)
//   keepalive          tcp auto tls            after about so long a machine at the other end that
//                                              does not answer counts as lost; default 30; 0: never
//                                              asked, which the system finds out in its own time or
//                                              not at all (a number of seconds from 15 to 32767, or
//                                              0)
//   silence            udp                     after so long without a datagram a receiver that has
//                                              heard of a sender takes it for dead; default 0: it
//                                              waits on (a number of seconds from 0 up)
//   buffer             udp                     bytes of the socket's buffer, of a receiver for what
//                                              it has not read yet; default: the system's; at most
//                                              net.core.rmem_max, of a sender wmem_max (a size from
//                                              1KiB to 1GiB, such as 4MiB)
//   ttl                udp                     how many networks what is sent to a group
//                                              (multicast) may pass; default 1: this one; 0: none,
//                                              but this machine (a number from 0 to 255)
//   interface          udp                     the interface over which a group is joined, or sent
//                                              to; default: the system's choice (the name of an
//                                              interface, or an address that it has)
//   certificate        tls                     this side's certificate; then those that have issued
//                                              it, up to the authority; in PEM, as all of these
//                                              files; the side that listens needs it, or psk= (the
//                                              path of a file)
//   key                tls                     its private key; default: it stands in the file of
//                                              the certificate, too; nobody but the owner and the
//                                              group may have access to the file (the path of a
//                                              file)
//   ca                 tls                     whom this side trusts: certificates of authorities,
//                                              or of the other side itself; default of the side
//                                              that connects: the system's; with it, the side that
//                                              listens lets in those alone who show such a
//                                              certificate, else whoever comes (the path of a file)
//   psk                tls                     a key that both sides have, instead of certificates:
//                                              32 to 128 hexadecimal digits, as openssl rand -hex
//                                              32 prints; nobody but the owner and the group may
//                                              have access to the file (the path of a file)
//   psk_identity       tls                     what that key is called, the same at both sides;
//                                              default rondo (a name of 1 to 128 bytes)
// Sizes are bytes, or take a suffix: KiB, MiB, GiB (K, M and G mean the same). A '?', '&' or
// '%' in a target is written %3F, %26 or %25.
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

enum class Scheme : std::uint8_t {
  kShm,
  kFile,
  kInproc,
  kPipe,
  kFd,
  kFifo,
  kUnix,
  kGuarded,
  kUnixSeqpacket,
  kTcp,
  kMq,
  kSysv,
  kUnixDgram,
  kAuto,
  kUdp,
  kTls,
  kSysvShm
};

[[nodiscard]] RONDO_API std::string_view to_string(Scheme scheme) noexcept;

// What an opener does with what an earlier life left at the name.
enum class Start : std::uint8_t {
  kAny,    // takes it up; makes it if there is none
  kNew,    // makes it; an error if there is one
  kFresh,  // throws it away, unless a participant is attached; makes it
  kJoin    // takes it up; an error if there is none
};

// How messages are kept apart in a byte stream.
enum class Framing : std::uint8_t {
  kRondo,       // by a length before each, with marks of ours: for two programs of Rondo's
  kLines,       // by a line feed behind each
  kRaw,         // not at all: bytes
  kLength32,    // by a length of 32 bits before each, the lowest byte first
  kLength32Be,  // the same in network order
  kVarint       // by a length in groups of seven bits, as Protocol Buffers are delimited
};

// Of kTls: how each side knows the other one. Paths of files, empty: none.
struct TlsOptions {
  std::string certificate;   // this side's, and those that it depends on
  std::string key;           // its private key; none: in the same file
  std::string ca;            // whom to trust
  std::string psk;           // a key that both have, instead of all of these
  std::string psk_identity;  // what it is called; empty: kDefaultIdentity
  static constexpr std::string_view kDefaultIdentity = "rondo";
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

  std::optional<RingKind> kind;              // unset: as found, else kRecord
  std::optional<std::uint64_t> capacity;     // bytes of the ring; unset: as found, else the default
  std::optional<std::uint64_t> max_bytes;    // of the largest message of a byte stream
  Framing framing = Framing::kRondo;         // of a byte stream
  bool crc = false;                          // checksums in the frames of kRondo
  std::optional<std::uint64_t> block_bytes;  // kRaw: of each message; unset: as they come
  std::optional<std::uint64_t> slots;        // kMpmc; unset: as found, else the default
  std::optional<std::uint32_t> slot_bytes;
  std::optional<OnConsumerDeath> on_consumer_death;
  std::optional<std::uint32_t> frames;  // kFramePool; unset: as found, else the default
  std::optional<std::uint32_t> frame_bytes;
  // Bytes of the user's own in front of each message; unset: as found, else none.
  std::optional<std::uint32_t> header;
  // Of what each message begins at a multiple, 64 or 4096; unset: as found, else 8.
  std::optional<std::uint32_t> align;
  WaitMode wait = WaitMode::kAdaptive;
  Acknowledge acknowledge = Acknowledge::kLazily;
  bool await_successor = false;
  bool keep = false;
  Start start = Start::kAny;
  std::optional<std::uint32_t> readers;  // unset: as found, else 1
  ReaderOptions reader;                  // policy, from, sequence; name stands in reader_name
  bool policy_given = false;             // else it is what the kind of ring makes of it
  std::string reader_name;
  std::optional<std::chrono::seconds> evict;
  // A sender's, as Watermark has them (sync/watermark.hpp): unset: no limit, if another one is set;
  // else each message wakes.
  std::optional<std::uint64_t> wake_every;
  std::optional<std::uint64_t> wake_bytes;
  std::optional<std::chrono::nanoseconds> wake_after;
  std::optional<bool> listen;                 // sockets; unset: a receiver does
  std::chrono::seconds keepalive{30};         // kTcp, kTls; 0: none
  std::chrono::seconds silence{0};            // kUdp; 0: none
  std::optional<std::uint64_t> buffer_bytes;  // kUdp: of the socket
  std::optional<std::uint32_t> hops;          // kUdp, of a group; unset: 1
  std::string interface;                      // kUdp, of a group; empty: the system's choice
  TlsOptions tls;                             // kTls
  SegmentOptions segment;                     // mode, group, huge pages, lock, NUMA node
  // Guarded rings and UNIX sockets: users and groups, by number, whose processes are let in beside
  // our own user's.
  std::vector<std::uint32_t> users;
  std::vector<std::uint32_t> groups;

  // What `header` and `align` ask for, if nothing is found that has some.
  [[nodiscard]] std::uint32_t header_bytes() const noexcept { return header.value_or(0); }
  [[nodiscard]] std::uint32_t align_bytes() const noexcept { return align.value_or(8); }
};

// A name taken apart and checked. Whether anything stands at it is not asked.
struct RONDO_API Url {
  Scheme scheme = Scheme::kShm;
  std::string target;  // a name, a path, "//HOST:PORT", a descriptor's digits; empty for pipe:
  ChannelOptions options;

  // Errors: kInvalidUrl (no such scheme, or malformed), kInvalidName, kInvalidOption,
  // kInvalidCapacity; each message says what would be right.
  [[nodiscard]] static Result<Url> parse(std::string_view text);

  // SCHEME:TARGET, without the options.
  [[nodiscard]] std::string name() const;
  // Of the segment that the channel is, for outsiders to look into; none of what keeps no segment
  // at its target.
  [[nodiscard]] std::optional<SegmentName> segment() const;
};

// What stands at the head of this file, as text for people; brief: for the --help of a program.
enum class UrlHelp : std::uint8_t { kBrief, kFull };
[[nodiscard]] RONDO_API std::string url_help(UrlHelp detail);

// "64KiB" -> 65536. Empty if it is no size or does not fit 64 bits.
[[nodiscard]] RONDO_API std::optional<std::uint64_t> parse_size(std::string_view text) noexcept;
// 65536 -> "64KiB": the largest suffix without a remainder.
[[nodiscard]] RONDO_API std::string format_size(std::uint64_t bytes);

}  // namespace rondo::inline RONDO_ABI
