// The options of a URL: one row for each. Which scheme takes which, the rows of the schemes say
// (schemes.hpp); which kind of ring, those of the kinds (kinds.hpp).
#pragma once

#include <algorithm>
#include <array>
#include <string>
#include <string_view>

#include "rondo/core/result.hpp"
#include "rondo/core/version.hpp"
#include "rondo/transports/url.hpp"
#include "url/kinds.hpp"
#include "url/schemes.hpp"
#include "url/words.hpp"

namespace rondo::inline RONDO_ABI::detail {

// Takes a value in. False if it is none that could be meant.
using SetOption = bool (*)(std::string_view value, ChannelOptions& options);
// What would be right in place of a certain value; empty: what is right of any.
using Remedy = std::string (*)(std::string_view value);

namespace set {
bool kind(std::string_view value, ChannelOptions& options);
bool capacity(std::string_view value, ChannelOptions& options);
bool slots(std::string_view value, ChannelOptions& options);
bool ring_slots(std::string_view value, ChannelOptions& options);
bool slot_size(std::string_view value, ChannelOptions& options);
bool on_consumer_death(std::string_view value, ChannelOptions& options);
bool frames(std::string_view value, ChannelOptions& options);
bool frame_size(std::string_view value, ChannelOptions& options);
bool max(std::string_view value, ChannelOptions& options);
bool framing(std::string_view value, ChannelOptions& options);
bool crc(std::string_view value, ChannelOptions& options);
bool block(std::string_view value, ChannelOptions& options);
bool header(std::string_view value, ChannelOptions& options);
bool align(std::string_view value, ChannelOptions& options);
bool wait(std::string_view value, ChannelOptions& options);
bool ack(std::string_view value, ChannelOptions& options);
bool await_successor(std::string_view value, ChannelOptions& options);
bool keep(std::string_view value, ChannelOptions& options);
bool start(std::string_view value, ChannelOptions& options);
bool from(std::string_view value, ChannelOptions& options);
bool mode(std::string_view value, ChannelOptions& options);
bool group(std::string_view value, ChannelOptions& options);
bool huge(std::string_view value, ChannelOptions& options);
bool lock(std::string_view value, ChannelOptions& options);
bool numa(std::string_view value, ChannelOptions& options);
bool uid(std::string_view value, ChannelOptions& options);
bool gid(std::string_view value, ChannelOptions& options);
bool readers(std::string_view value, ChannelOptions& options);
bool policy(std::string_view value, ChannelOptions& options);
bool name(std::string_view value, ChannelOptions& options);
bool evict(std::string_view value, ChannelOptions& options);
bool wake_every(std::string_view value, ChannelOptions& options);
bool wake_bytes(std::string_view value, ChannelOptions& options);
bool wake_after(std::string_view value, ChannelOptions& options);
bool listen(std::string_view value, ChannelOptions& options);
bool keepalive(std::string_view value, ChannelOptions& options);
bool silence(std::string_view value, ChannelOptions& options);
bool buffer(std::string_view value, ChannelOptions& options);
bool ttl(std::string_view value, ChannelOptions& options);
bool interface(std::string_view value, ChannelOptions& options);
bool certificate(std::string_view value, ChannelOptions& options);
bool key(std::string_view value, ChannelOptions& options);
bool ca(std::string_view value, ChannelOptions& options);
bool psk(std::string_view value, ChannelOptions& options);
bool psk_identity(std::string_view value, ChannelOptions& options);
}  // namespace set
std::string kinds_there_are(std::string_view value);
std::string nearest_capacity(std::string_view value);
std::string nearest_slots(std::string_view value);

struct OptionRow {
  std::string_view name;
  SetOption set;
  std::string_view value;  // what it has to be
  // For help, which has a short form: what comes before the first ':' or ';'.
  std::string_view meaning;
  ErrorCode error = ErrorCode::kInvalidOption;
  Remedy remedy = nullptr;
  SetOption of_ring = nullptr;  // what more it has to be where it is about a ring
};

inline constexpr std::array kOptions{
    OptionRow{"kind", set::kind, "the name of a kind of ring",
              "which kind of ring; unset: as found, else record", ErrorCode::kInvalidOption,
              kinds_there_are},
    OptionRow{"capacity", set::capacity, "a power of two, such as 64KiB, 1MiB or 4GiB",
              "bytes of the ring; default 4MiB, 1MiB before a pipe, a socket or a queue",
              ErrorCode::kInvalidCapacity, nearest_capacity},
    OptionRow{"slots", set::slots, "a power of two from 2 to 4GiB, such as 1024; of mq a number",
              "messages in the ring, default 4096; of mq those of the queue, default "
              "fs.mqueue.msg_default",
              ErrorCode::kInvalidCapacity, nearest_slots, set::ring_slots},
    OptionRow{
        "slot_size", set::slot_size, "a size from 1 to 1GiB, such as 64 or 4KiB",
        "the largest message, default 256; of mq the largest of the queue's, of which 8 bytes "
        "are ours, default fs.mqueue.msgsize_default",
        ErrorCode::kInvalidCapacity},
    OptionRow{"on_consumer_death", set::on_consumer_death, "redeliver or drop",
              "what becomes of the message that a killed receiver held: another receiver gets it, "
              "marked (the default), or none does"},
    OptionRow{"frames", set::frames, "a number from 2 to 1024",
              "frames in the pool; default 8, or readers + 2 if that is more",
              ErrorCode::kInvalidCapacity},
    OptionRow{"frame_size", set::frame_size, "a size below 4GiB, such as 12MiB",
              "the largest frame; default 1MiB", ErrorCode::kInvalidCapacity},
    OptionRow{"max", set::max, "a size such as 64KiB, at most 4294967280",
              "messages up to this size shall fit"},
    OptionRow{
        "framing", set::framing, "rondo, lines, raw, length32, length32be or varint",
        "how messages are kept apart; default rondo: a length and marks of our own; for other "
        "programs: lines: a line feed behind each; raw: bytes as they come; length32, "
        "length32be, varint: a length before each, of 32 bits, the same in network order, or "
        "as Protocol Buffers are delimited"},
    OptionRow{"crc", set::crc, "0 or 1",
              "checksums; default 0; 1: a sender sends a number and a CRC-32C with each message, "
              "and a receiver insists on them; with framing=rondo"},
    OptionRow{"block", set::block, "a size such as 4KiB, from 1 to 4294967280",
              "bytes of each message with framing=raw; default: as many as have come"},
    OptionRow{"header", set::header, "a number from 1 to 256",
              "bytes of a header of the user's own in front of each message: Claim::header() and "
              "Message::header(); default none; it takes its room, rounded up to 8, of slot_size "
              "and frame_size; left out, what the ring has, but on byte streams and packets both "
              "sides say it; with framing=rondo"},
    OptionRow{
        "align", set::align, "64 or 4096",
        "each message begins at a multiple of so many bytes, in both processes; default 8; it "
        "takes as many less 8 beside each message, of slot_size and frame_size too; left "
        "out, what the ring has"},
    OptionRow{"wait", set::wait, "one of spin, pause, yield, adaptive, park",
              "how to wait; default adaptive"},
    OptionRow{"ack", set::ack, "lazy, eager or explicit",
              "when the receiver gives space back; default lazy; explicit: in acknowledge() alone"},
    OptionRow{"await_successor", set::await_successor, "0 or 1",
              "wait for a successor of a peer that died or left; of shm+guarded and udp the "
              "sender's"},
    OptionRow{"keep", set::keep, "0 or 1", "leave the name when the last one goes"},
    OptionRow{"start", set::start, "any, new, fresh or join",
              "what to do with what is there: any: take it up, or make it (the default); new: make "
              "it, or fail (a sender's); fresh: throw away what an earlier life left, fail if "
              "a process is attached (a receiver then joins); join: take it up, or fail"},
    OptionRow{"from", set::from, "oldest, newest, next, or the number of a message, from 0 up",
              "where the receiver starts; default oldest; next: with what is sent from now on, and "
              "what lies there is thrown away if there is one receiver; newest and a number: one "
              "of several receivers; of kind=frames: oldest or newest"},
    OptionRow{"mode", set::mode,
              "octal permissions that let the owner read and write, such as 0600 or 0660",
              "permissions; default 0600"},
    OptionRow{"group", set::group, "a group's number, or its name in /etc/group",
              "the group that the new file is given; with a mode such as 0660"},
    OptionRow{"huge", set::huge, "no, try or require", "huge pages; default no"},
    OptionRow{"lock", set::lock, "0 or 1", "keep it in memory"},
    OptionRow{"numa", set::numa, "the number of a memory node, such as 0",
              "where the memory is taken"},
    OptionRow{"uid", set::uid,
              "numbers of users or groups with commas between them, such as 1000,1001",
              "users whose processes are let in beside our own user's"},
    OptionRow{"gid", set::gid,
              "numbers of users or groups with commas between them, such as 1000,1001",
              "groups whose processes are let in beside our own user's"},
    OptionRow{"readers", set::readers, "a number from 1 to 64",
              "receivers at once, each of which gets every message; default 1"},
    OptionRow{"policy", set::policy, "reliable, lossy or latest",
              "whether the sender waits for this one of several receivers: reliable: it does (the "
              "default); lossy: this one gets what is still there (the default of kind=frames, "
              "which has no reliable); latest: it gets the newest alone"},
    OptionRow{"name", set::name, "a name of 1 to 32 bytes",
              "of one of several receivers, to go on where the last one of that name stopped"},
    OptionRow{"evict", set::evict, "a number of seconds",
              "how long a sender waits for a reliable one of several receivers that does not move"},
    OptionRow{"wake_every", set::wake_every, "a number from 1 up, such as 32",
              "a sender wakes receivers that sleep, or writes to a byte stream, once for so many "
              "messages; default 1; of wake_every, wake_bytes and wake_after the first that comes "
              "counts; what is held back then waits for more, or for Sender::wake()"},
    OptionRow{"wake_bytes", set::wake_bytes, "a size from 1 up, such as 16KiB",
              "the same once for so many bytes; as they lie in the ring"},
    OptionRow{"wake_after", set::wake_after, "a time such as 100us, 5ms or 1s",
              "the same when the first of them is so old; looked at with each message, and by none "
              "in between"},
    OptionRow{"listen", set::listen, "0 or 1",
              "whether this side waits for the other one to connect; default: a receiver does, a "
              "sender connects; one says 1, the other one 0"},
    OptionRow{"keepalive", set::keepalive, "a number of seconds from 15 to 32767, or 0",
              "after about so long a machine at the other end that does not answer counts as lost; "
              "default 30; 0: never asked, which the system finds out in its own time or not at "
              "all"},
    OptionRow{"silence", set::silence, "a number of seconds from 0 up",
              "after so long without a datagram a receiver that has heard of a sender takes it for "
              "dead; default 0: it waits on"},
    OptionRow{"buffer", set::buffer, "a size from 1KiB to 1GiB, such as 4MiB",
              "bytes of the socket's buffer, of a receiver for what it has not read yet; default: "
              "the system's; at most net.core.rmem_max, of a sender wmem_max"},
    OptionRow{
        "ttl", set::ttl, "a number from 0 to 255",
        "how many networks what is sent to a group (multicast) may pass; default 1: this one; "
        "0: none, but this machine"},
    OptionRow{
        "interface", set::interface, "the name of an interface, or an address that it has",
        "the interface over which a group is joined, or sent to; default: the system's choice"},
    OptionRow{
        "certificate", set::certificate, "the path of a file",
        "this side's certificate; then those that have issued it, up to the authority; in PEM, "
        "as all of these files; the side that listens needs it, or psk="},
    OptionRow{"key", set::key, "the path of a file",
              "its private key; default: it stands in the file of the certificate, too; nobody but "
              "the owner and the group may have access to the file"},
    OptionRow{"ca", set::ca, "the path of a file",
              "whom this side trusts: certificates of authorities, or of the other side itself; "
              "default of the side that connects: the system's; with it, the side that listens "
              "lets in those alone who show such a certificate, else whoever comes"},
    OptionRow{"psk", set::psk, "the path of a file",
              "a key that both sides have, instead of certificates: 32 to 128 hexadecimal digits, "
              "as openssl rand -hex 32 prints; nobody but the owner and the group may have access "
              "to the file"},
    OptionRow{"psk_identity", set::psk_identity, "a name of 1 to 128 bytes",
              "what that key is called, the same at both sides; default rondo"},
};

[[nodiscard]] constexpr bool is_option(std::string_view name) noexcept {
  return std::ranges::count(kOptions, name, &OptionRow::name) == 1;
}
[[nodiscard]] constexpr const OptionRow* find_option(std::string_view name) noexcept {
  const auto* row = std::ranges::find(kOptions, name, &OptionRow::name);
  return row == kOptions.end() ? nullptr : row;
}

// Each word of a row is an option, and each option is in some row.
static_assert(std::ranges::all_of(kSchemes, [](const SchemeRow& row) {
  return all_words(row.options, is_option);
}));
static_assert(std::ranges::all_of(kKinds, [](const KindRow& row) {
  return all_words(row.options, is_option);
}));
static_assert(std::ranges::all_of(kOptions, [](const OptionRow& option) {
  return std::ranges::any_of(
      kSchemes, [&](const SchemeRow& row) { return has_word(row.options, option.name); });
}));

// Whether it goes with that kind of ring.
[[nodiscard]] constexpr bool takes(const KindRow& kind, std::string_view option) noexcept {
  return has_word(kind.options, option) || std::ranges::none_of(kKinds, [&](const KindRow& row) {
           return has_word(row.options, option);
         });
}

}  // namespace rondo::inline RONDO_ABI::detail
